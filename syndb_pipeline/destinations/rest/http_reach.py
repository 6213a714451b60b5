"""Whether a server can be reached, taken apart: its name, the connection, encryption, an answer,
and what its clock says.

Belongs here: one look at an address, without a token and without retries. Does not: requests that
do something (`http.py`).
"""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from syndb_pipeline.base.errors import ConfigError, DestinationRefused, Unreachable
from syndb_pipeline.config.destination_settings import RestDestination as RestSettings
from syndb_pipeline.config.destination_settings import is_loopback
from syndb_pipeline.destinations.rest.http_address import host_of
from syndb_pipeline.destinations.rest.http_answer import cleaned, status_name
from syndb_pipeline.destinations.rest.http_client import (
    certificates,
    open_client,
    unusable_proxy,
    within,
)

_PORTS: Final = {"http": 80, "https": 443}
_PATIENCE: Final = 10.0
"""Seconds at most for each step."""


@dataclass(frozen=True)
class Reached:
    """What a look at a server found. `ahead` is how many seconds its clock is ahead of ours; None
    when it does not tell the time.
    """

    told: str
    status: int
    ahead: float | None


def reach(settings: RestSettings) -> Reached:
    """Look up the name, connect, agree on encryption, ask for the address itself; through a proxy
    where the environment names one.

    Whatever the server answers, it was reached. Raises `Unreachable`, or `DestinationRefused` for a
    certificate that proves nothing; the message says which of the steps failed, the next step what
    to do about it.
    """
    parts = urlsplit(settings.url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    patience = min(_PATIENCE, settings.connect_seconds)
    proxy = _proxy(parts.scheme, host)
    steps = []
    if proxy is not None:
        with _connected(*proxy, patience, ", the proxy,"):
            steps.append(f"proxy {_address(*proxy)}")
    else:
        clock = time.monotonic()
        with _connected(host, port, patience) as connection:
            steps.append("name and connection")
            if parts.scheme == "https":
                steps.append(_encrypted(connection, host, port))
        steps.append(f"{(time.monotonic() - clock) * 1000:.0f} ms")
    before = datetime.now(UTC)
    try:
        with (
            within(time.monotonic() + 2 * patience),
            open_client(certificates(), proxies=proxy is not None, timeout=patience) as client,
            client.stream("GET", settings.url + "/") as answer,  # its head is enough
        ):
            after = datetime.now(UTC)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        silent = (
            "does not answer through the proxy"
            if proxy is not None
            else "takes connections, but does not answer"
        )
        raise Unreachable(
            f"HTTP: {host_of(settings.url)} {silent}:"
            f" {cleaned(str(error)) or type(error).__name__}.",
            next_step="Look at url in pipeline.yaml; or the server is in trouble: try later.",
        ) from None
    said = f"answers {status_name(answer.status_code)}" if answer.status_code >= 500 else "answers"
    return Reached(
        f"{host_of(settings.url)} {said} ({', '.join(steps)})",
        answer.status_code,
        _ahead(answer.headers.get("date", ""), before + (after - before) / 2),
    )


def _proxy(scheme: str, host: str) -> tuple[str, int] | None:
    """Where the environment sends such a request instead; this machine is always asked directly, as
    `http.Session` does.
    """
    if is_loopback(host) or proxy_bypass(host):
        return None
    named = getproxies()
    address = named.get(scheme) or named.get("all")
    try:
        parts = urlsplit(address if address and "://" in address else f"http://{address}")
        return (
            (parts.hostname, parts.port or _PORTS.get(parts.scheme, 1080))
            if address and parts.hostname
            else None
        )
    except ValueError:
        raise unusable_proxy() from None


def _connected(host: str, port: int, patience: float, who: str = "") -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unreachable(
            f"DNS: the name {host}{who} is not known here ({error.strerror}).",
            next_step="Look at its spelling in pipeline.yaml, and at this machine's network.",
        ) from None
    except UnicodeError:  # a part of it is empty, or too long
        raise ConfigError(
            f"DNS: {host}{who} is no name that a server can have.",
            next_step="Look at url in pipeline.yaml.",
        ) from None
    failed: OSError | None = None
    for family, kind, protocol, _, address in found:
        connection = socket.socket(family, kind, protocol)
        connection.settimeout(patience)
        try:
            connection.connect(address)
        except OSError as error:
            connection.close()
            failed = error
        else:
            return connection
    reason = (
        "no answer in time"
        if isinstance(failed, TimeoutError)
        else failed.strerror
        if failed
        else "no address"
    )
    raise Unreachable(
        f"TCP: {_address(host, port)}{who} takes no connection ({reason}).",
        next_step=(
            "Does the server run, and is the port right? A firewall may be in between; a proxy is"
            " set with HTTPS_PROXY."
        ),
    )


def _encrypted(connection: socket.socket, host: str, port: int) -> str:
    try:
        with certificates().wrap_socket(connection, server_hostname=host) as encrypted:
            return encrypted.version() or "TLS"
    except ssl.SSLCertVerificationError as error:
        raise DestinationRefused(
            f"TLS: {_address(host, port)} does not prove that it is this server:"
            f" {cleaned(error.verify_message)}.",
            next_step=(
                "Look at url and at this machine's clock; for a certificate authority of your own,"
                " set SSL_CERT_FILE."
            ),
        ) from None
    except OSError as error:  # SSLError is one, and its `reason` is a name in capitals
        reason = (
            (getattr(error, "reason", None) or error.strerror or str(error))
            .replace("_", " ")
            .lower()
        )
        raise Unreachable(
            f"TLS: {_address(host, port)} takes connections, but not encrypted ones"
            f" ({cleaned(reason)}).",
            next_step="Look at url in pipeline.yaml: scheme and port. A proxy may be in between.",
        ) from None


def _ahead(date: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - now).total_seconds()


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
