"""What a server answered and where it points to, made fit for a person, a log and our own safety.

Belongs here: statuses, headers and error bodies as text; which addresses may be followed. Does not:
sending (`session.py`), or what a status means to SynDB (`client.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpx

from syndb_pipeline.base.errors import DestinationRefused
from syndb_pipeline.config.addresses import is_loopback

MAX_WORDS: Final = 400
"""Characters of a server's words that are shown."""

_MAX_READ: Final = 64 * 1024
"""Bytes of an error's body that are searched for words."""

_MAX_MARKUP: Final = 8 * 1024
"""Characters of a page or of XML that are searched: a search takes the square of it where nothing
is found."""


@dataclass(frozen=True)
class Answer:
    """A final answer: nothing below it is tried again. `words` is what the server says about an
    error, made fit to be shown."""

    status: int
    headers: httpx.Headers
    content: bytes
    words: str = ""

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300

    @property
    def has_detail(self) -> bool:
        """Whether the body is an error in the form that SynDB's contract gives it, and so the
        server's own and no proxy's."""
        return _detail(self.content) is not None

    def __str__(self) -> str:
        return f"{status_name(self.status)}{': ' + self.words if self.words else ''}"


def status_name(status: int) -> str:
    """A status as `404 Not Found`; the number alone when it is none of the known ones."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


# Words


def words_of(content: bytes, secrets: Iterable[str] = ()) -> str:
    """The words of an error's body: `detail` in each form FastAPI gives it, S3's XML, a page's
    title, or plain text.

    One line, bounded, without control characters, and without any of `secrets`, should the server
    repeat them.
    """
    head = content[:_MAX_READ]
    text = head.decode("utf-8", "replace")
    detail = _detail(head)
    if detail is None:
        error = r"<Error>.*?<Code>([^<]*)</Code>(?:.*?<Message>([^<]*)</Message>)?"
        title = r"<(?i:title)>([^<]*)</"
        markup = text[:_MAX_MARKUP]
        found = re.search(error, markup, re.DOTALL) or re.search(title, markup)
        page = text.lstrip().startswith("<")
        detail = ": ".join(filter(None, found.groups())) if found else "" if page else text
    try:
        words = _in_words(detail)
    except RecursionError:
        words = "(nested too deep to be shown)"
    return cleaned(words, secrets)


def cleaned(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` in one bounded line that moves no terminal's cursor and holds none of `secrets`."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    shown = "".join(c if c.isprintable() else " " for c in text[: 4 * MAX_WORDS])
    line = " ".join(shown.split())
    return line if len(line) <= MAX_WORDS else line[: MAX_WORDS - 3] + "..."


def _detail(content: bytes) -> object | None:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return body.get("detail", body.get("error")) if isinstance(body, dict) else None


def _in_words(detail: object) -> str:
    if isinstance(detail, str):
        return detail
    if isinstance(detail, list):
        more = f"; and {len(detail) - 5} more" if len(detail) > 5 else ""
        return "; ".join(_in_words(item) for item in detail[:5]) + more
    if isinstance(detail, dict):
        if "msg" in detail:  # one entry of HTTPValidationError
            place = detail.get("loc")
            where = ".".join(map(str, place)) if isinstance(place, list) else ""
            return f"{where}: {detail['msg']}" if where else str(detail["msg"])
        for key in ("message", "reason", "code"):
            if key in detail:
                return str(detail[key])
    return json.dumps(detail)


# Times


def moment_of(text: str) -> datetime | None:
    """A header's HTTP date; None when it is none."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def retry_after(headers: httpx.Headers, now: datetime) -> float | None:
    """Seconds to wait by the header `Retry-After`, a number or an HTTP date; None without one that
    can be read."""
    given = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,12}(\.\d{1,6})?", given):
        return float(given)
    moment = moment_of(given)
    return None if moment is None else max(0.0, (moment - now).total_seconds())


# Addresses


def host_of(url: str) -> str:
    """Host and port, for messages."""
    return cleaned(urlsplit(url).netloc.rpartition("@")[2])


def shown(url: str) -> str:
    """An address without its query, which may be a signature, and without a name and password."""
    parts = urlsplit(url)
    return cleaned(f"{parts.scheme}://{host_of(url)}{parts.path}")


def redirected(url: str, location: str, name: str, what: str) -> str:
    """Where the answer of `url` to a GET leads.

    Args:
        url: The address that was asked.
        location: The answer's header of this name.
        name: The destination, for messages.
        what: The request in words.

    Raises:
        DestinationRefused: That is no address, or one that is less safe than `url`.
    """
    target = _joined(url, location)
    require_safe(target, url, name, what)
    return target


def moved(url: str, location: str, name: str, what: str) -> DestinationRefused:
    """The refusal to send again, to where `location` points, what is no GET."""
    address = shown(_joined(url, location))
    return DestinationRefused(
        f"{host_of(url)} has moved to {address} ({what}). Nothing was sent there.",
        next_step=f"If that is right, correct url of {name} in pipeline.yaml.",
    )


def require_safe(url: str, base: str, name: str, what: str) -> None:
    """An address from outside must be https, or of this machine when `base`, which leads to it, is
    this machine too: a server elsewhere has no business with the services of this machine.

    Raises `DestinationRefused`, which shows no query.
    """
    parts = _address(url)
    if parts is None:
        why = "something that is no address"
    elif is_loopback(parts.host) and not is_loopback(urlsplit(base).hostname or ""):
        why = f"{shown(url)}, which is this machine"
    elif parts.scheme == "http" and (base.startswith("https:") or not is_loopback(parts.host)):
        why = f"{shown(url)}, which is not encrypted"
    else:
        return
    raise DestinationRefused(
        f"{name} leads to {why} ({what}). Nothing was sent there.",
        next_step=f"Look at url of {name} in pipeline.yaml, or report it to who runs {name}.",
    )


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        return ""


def _address(url: str) -> httpx.URL | None:
    """An address of HTTP with a host, no user, and a port that can be; None for anything else."""
    try:
        parts = httpx.URL(url)
        fits = parts.scheme in ("http", "https") and parts.host and urlsplit(url).port != 0
    except (ValueError, httpx.InvalidURL):  # `port` raises for one above 65535
        return None
    return parts if fits and not parts.userinfo else None
