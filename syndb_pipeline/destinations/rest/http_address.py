"""Which addresses a request may go to: where a redirect may lead, and what a pre-signed address may
be.

Belongs here: deciding by the address alone. Does not: sending (`http.py`).
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import httpx

from syndb_pipeline.base.errors import DestinationRefused
from syndb_pipeline.config.destination_settings import is_loopback
from syndb_pipeline.destinations.rest.http_answer import cleaned


def host_of(url: str) -> str:
    """Host and port, for messages."""
    return cleaned(urlsplit(url).netloc.rpartition("@")[2])


def shown(url: str) -> str:
    """An address without its query, which may be a signature, and without a name and password."""
    parts = urlsplit(url)
    return cleaned(f"{parts.scheme}://{host_of(url)}{parts.path}")


def redirected(url: str, location: str, name: str, what: str) -> str:
    """Where the answer of `url` to a GET leads. Raises `DestinationRefused` when that is no
    address, or less safe than `url`.
    """
    advice = f"Look at url of {name} in pipeline.yaml."
    try:
        target = urljoin(url, location)
        parts = httpx.URL(target)
        is_address = (
            parts.scheme in ("http", "https") and bool(parts.host) and urlsplit(target).port != 0
        )  # raises for one above 65535
    except (ValueError, httpx.InvalidURL):
        is_address = False
    if not is_address:
        raise DestinationRefused(
            f"{host_of(url)} redirects to something that is no address ({what}).", next_step=advice
        )
    if parts.scheme == "http" and (urlsplit(url).scheme == "https" or not is_loopback(parts.host)):
        raise DestinationRefused(
            f"{host_of(url)} redirects to {shown(target)}, which is not encrypted ({what}). It was"
            " not followed.",
            next_step=advice,
        )
    if is_loopback(parts.host) and not is_loopback(urlsplit(url).hostname or ""):
        raise DestinationRefused(
            f"{host_of(url)} redirects to {shown(target)}, which is this machine ({what}). It was"
            " not followed.",
            next_step=advice,
        )
    return target


def moved(url: str, location: str, base: str, name: str, what: str) -> DestinationRefused:
    """The refusal to send again, to where `location` points, what is no GET; it says which `url` of
    the settings would be the new one.
    """
    try:
        target = urljoin(url, location)
        address = shown(target)
    except ValueError:
        address = cleaned(location.partition("?")[0])
    below = urlsplit(url).path.removeprefix(urlsplit(base).path)
    return DestinationRefused(
        f"{host_of(url)} has moved to {address} ({what}). Nothing was sent there.",
        next_step=(
            f"If that is right, set url of {name} in pipeline.yaml to {address.removesuffix(below)}"
        ),
    )


def require_safe(url: str, base: str, name: str, what: str) -> None:
    """A pre-signed address comes from outside: it must be https, or plain http of this machine when
    the server is this machine too.

    A server elsewhere has no business with the services of this machine. Raises
    `DestinationRefused`.
    """
    try:
        parts = httpx.URL(url)
        local = is_loopback(parts.host)
        near = is_loopback(urlsplit(base).hostname or "")
        safe = (
            bool(parts.host)
            and not parts.userinfo
            and ((parts.scheme == "https" and not local) or (local and near))
        )
        safe = (
            safe and parts.scheme in ("http", "https") and urlsplit(url).port != 0
        )  # raises for one above 65535
    except (ValueError, httpx.InvalidURL):
        safe = False
    if not safe:
        raise DestinationRefused(
            f"{name} gave an address that is not https, or that is no server's ({what}). Nothing"
            " was sent there.",
            next_step=f"Report it to who runs {name}.",
        )
