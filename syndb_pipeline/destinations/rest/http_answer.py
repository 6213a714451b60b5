"""What a server answered, with its words made fit for a person and a log.

Belongs here: statuses, headers and error bodies as text that can be shown. Does not: sending
(`http.py`), or what a status means to SynDB.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

import httpx

MAX_WORDS: Final = 400
"""Characters of a server's words that are shown."""

_MAX_READ: Final = 64 * 1024
"""Bytes of an error's body that are looked at for words."""

_MAX_MARKUP: Final = 8 * 1024
"""Characters of a page or of XML that are searched: a search takes the square of it where nothing
is found.
"""


@dataclass(frozen=True)
class Answer:
    """A final answer: nothing below it is tried again. `words` is what the server says about an
    error, made fit to be shown.
    """

    status: int
    headers: httpx.Headers
    content: bytes
    words: str = ""

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body as JSON. Raises `ValueError`."""
        try:
            return json.loads(self.content)
        except RecursionError:
            raise ValueError("nested too deep") from None

    @property
    def has_detail(self) -> bool:
        """Whether the body is an error in the form that SynDB's contract gives it, and so the
        server's own and no proxy's.
        """
        return _detail(self.content) is not None

    def __str__(self) -> str:
        return f"{status_name(self.status)}{': ' + self.words if self.words else ''}"


def status_name(status: int) -> str:
    """A status as `404 Not Found`; the number alone when it is none of the known ones."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def words_of(content: bytes, secrets: Iterable[str] = ()) -> str:
    """The words of an error's body: `detail` in each form FastAPI gives it, S3's XML, a page's
    title, or plain text.

    One line, bounded, without control characters, and without any of `secrets`, should the server
    repeat them.
    """
    head = content[:_MAX_READ]
    detail = _detail(head)
    if detail is None:
        text = head.decode("utf-8", "replace")
        markup = text[:_MAX_MARKUP]
        if error := re.search(
            r"<Error>.*?<Code>([^<]*)</Code>(?:.*?<Message>([^<]*)</Message>)?", markup, re.DOTALL
        ):
            detail = ": ".join(part for part in error.groups() if part)
        elif re.match(r"\s*<", text):
            title = re.search(r"<title>([^<]*)</title>", markup, re.IGNORECASE)
            detail = title[1] if title else ""
        else:
            detail = text
    try:
        words = _in_words(detail)
    except RecursionError:
        words = "(nested too deep to be shown)"
    return cleaned(words, secrets)


def cleaned(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` in one bounded line that moves no terminal's cursor and holds none of `secrets`."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * MAX_WORDS]).split())
    return line if len(line) <= MAX_WORDS else line[: MAX_WORDS - 3] + "..."


def _detail(content: bytes) -> object | None:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    found: object = body.get("detail", body.get("error"))
    return found


def _in_words(detail: object) -> str:
    if isinstance(detail, str):
        return detail
    if isinstance(detail, dict):
        if "msg" in detail:  # one entry of HTTPValidationError
            place = detail.get("loc")
            where = ".".join(map(str, place)) if isinstance(place, list) else ""
            return f"{where}: {detail['msg']}" if where else str(detail["msg"])
        known = [detail[key] for key in ("message", "reason", "code") if key in detail]
        return str(known[0] if known else json.dumps(detail))
    if isinstance(detail, list):
        shown = "; ".join(_in_words(item) for item in detail[:5])
        return shown + (f"; and {len(detail) - 5} more" if len(detail) > 5 else "")
    return json.dumps(detail)


def retry_after(headers: httpx.Headers, now: datetime) -> float | None:
    """Seconds to wait by the header `Retry-After`, a number or an HTTP date; None when there is
    none that can be read.
    """
    given = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,12}(\.\d{1,6})?", given):
        return float(given)
    try:
        moment = parsedate_to_datetime(given)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
