"""HTTP as every destination behind it needs it: tokens, retries, time-outs, files, redirects,
errors in words.

Belongs here: requests and sending them again. Does not: SynDB's routes, bodies, or what a status
means to it (`client.py`).

There is one rule for sending again. A request that may be repeated is; any other only when the
server certainly did not carry it out: the connection was never made, the server said so (408, 425,
429; 503 in its own words; 401 once a new token is there), or the body was not sent to its end. Else
the outcome is unknown, and somebody has to ask.
"""

from __future__ import annotations

import io
import logging
import random
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpcore
import httpx
from pydantic import SecretStr

from syndb_pipeline import __version__
from syndb_pipeline.base.errors import (
    DestinationRefused,
    NotLoggedIn,
    OutcomeUnknown,
    Unreachable,
)
from syndb_pipeline.destinations.http import HttpDestination, origin_of
from syndb_pipeline.destinations.http.answers import (
    Answer,
    host_of,
    moved,
    redirected,
    require_safe,
    retry_after,
    words_of,
)
from syndb_pipeline.destinations.http.bodies import FilePart, PartReader
from syndb_pipeline.destinations.http.connections import (
    FAILURES,
    certificates,
    open_pool,
    proxy_of,
    reason_of,
    send,
    unproven,
    within,
)
from syndb_pipeline.destinations.http.credentials import log_in_again

_NOT_TAKEN: Final = frozenset({408, 425, 429})
"""Answers by which a server says that it did not carry the request out, and that it may be sent
again (RFC 9110, 6585, 8470); so does a 503 of its own."""

_TROUBLE: Final = frozenset({500, 502, 503, 504})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS: Final = 5
_MAX_ANSWER: Final = 64 * 1024 * 1024
"""Bytes of an answer that is read into memory: a list of all datasets has some hundred thousand
lines."""

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_LONGEST_DELAY: Final = 10 * 365 * 24 * 3600.0

for _name in ("httpx", "httpcore"):  # they log pre-signed addresses and the token
    logging.getLogger(_name).setLevel(logging.WARNING)


@dataclass
class _Call:
    """One request with all its attempts; `body` is given to httpx as it is."""

    method: str
    url: str
    what: str  # in words, without a pre-signed address
    repeatable: bool
    ours: bool = True  # the server that the token is for
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    part: FilePart | None = None
    into: Path | None = None
    limit: int = _MAX_ANSWER
    cut: bool = False
    secrets: tuple[str, ...] = ()
    deadline: float = 0.0
    may_be_done: bool = False

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()


class Failed(Exception):
    """An attempt that failed and may be made again, after `wait` seconds if the server named
    them."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.message = message.rstrip(".")
        self.wait = wait


class Session:
    """Requests to one server, and to the object stores that it points to.

    `token` gives the bearer token to send, or None; `renew` is given one that was refused and
    returns whether there is another now. Addresses are paths below the settings' `url`, or whole
    addresses with `ours=False`, which never get the token.

    Every method raises `OutcomeUnknown` (it may have happened), `Unreachable` (it did not: no
    connection, or trouble at each attempt), `NotLoggedIn`, and `DestinationRefused` for an answer
    that cannot be followed or is too large. Threads may share a session.
    """

    def __init__(
        self,
        name: str,
        settings: HttpDestination,
        log: Callable[[str], None],
        *,
        token: Callable[[], SecretStr | None],
        renew: Callable[[SecretStr | None], bool],
    ) -> None:
        self.name = name
        self.settings = settings
        self.log = log
        self._token = token
        self._renew = renew
        self._pools: dict[tuple[httpx.URL | None, bool], httpcore.ConnectionPool] = {}
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def ask(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
        ours: bool = True,
        secrets: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A small request and its answer.

        Args:
            method: GET, HEAD, PUT and DELETE are repeatable unless said otherwise.
            path: Below the settings' `url`.
            json: A body to be written as JSON.
            form: A body to be written as a form.
            repeatable: Whether the server may get the request twice.
            ours: Without it, no token is sent.
            secrets: What is never shown, should the server repeat it.
            headers: More of them.
        """
        if repeatable is None:
            repeatable = method in ("GET", "HEAD", "PUT", "DELETE")
        what, body = f"{method} {path}", {"json": json, "data": form}
        url = self.settings.url + path
        call = _Call(method, url, what, repeatable, ours, body=body, secrets=secrets)
        call.headers = headers or {}
        return self._run(call)

    def send_file(
        self,
        method: str,
        address: str,
        part: FilePart,
        *,
        query: Mapping[str, str] | None = None,
        what: str = "",
        ours: bool = True,
    ) -> Answer:
        """Send a form with a file in it, streamed.

        Args:
            method: PATCH or POST.
            address: With `ours` a path below `url`, and nothing is sent twice after the last byte;
                else a pre-signed form's address, which may be sent to again.
            part: The file with the form's other fields.
            query: The query of a path of ours.
            what: In words what a pre-signed form is sent for.
            ours: Whether the token is sent.
        """
        if ours:
            url = f"{self.settings.url}{address}?{httpx.QueryParams(dict(query or {}))}"
            return self._run(_Call(method, url, f"{method} {address}", False, part=part))
        require_safe(address, self.settings.url, self.name, what)
        return self._run(_Call(method, address, what, True, ours=False, part=part))

    def fetch(
        self,
        url: str,
        what: str,
        *,
        limit: int,
        into: Path | None = None,
        cut: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """GET a pre-signed address without the token; a good answer's body goes to the file `into`.

        A body of more than `limit` bytes is refused, or with `cut` not read any further.
        """
        require_safe(url, self.settings.url, self.name, what)
        call = _Call("GET", url, what, True, ours=False, headers=headers or {})
        call.into, call.limit, call.cut = into, limit, cut
        return self._run(call)

    def refused(self, answer: Answer, what: str) -> str:
        """`answer` as the first half of a message."""
        return f"{self.name} ({host_of(self.settings.url)}) answered {answer} ({what})."

    def stop(self) -> None:
        """Let requests in other threads end at their next piece."""
        self._stop.set()

    def resume(self) -> None:
        """Let requests be made again."""
        self._stop.clear()

    # One call, all its attempts

    def _run(self, call: _Call) -> Answer:
        call.deadline = time.monotonic() + self.settings.total_seconds
        most = self.settings.attempts
        for number in count(1):
            try:
                return self._attempt(call)
            except Failed as failed:
                wait, left = failed.wait, call.left
                advice = look_with_doctor(self.name) if number >= most else ""
                if wait is not None and wait > left:
                    moment = datetime.now(UTC) + timedelta(seconds=min(wait, _LONGEST_DELAY))
                    advice = (
                        f"It asks to be left alone until {moment:%Y-%m-%d %H:%M:%S} UTC; give the "
                        "same command again after that."
                    )
                elif left <= 0:
                    advice = "total_seconds, the limit for one request, is over; try again later."
                if advice:
                    tries = f" ({number} attempts)" if number > 1 else ""
                    message = f"{failed.message}{tries}; asked: {call.what}."
                    if call.may_be_done and call.method not in ("GET", "HEAD"):
                        raise _unknown(message) from None
                    raise Unreachable(message, next_step=advice) from None
                if wait is None:
                    wait = min(_FIRST_WAIT * 2.0 ** (number - 1), _LONGEST_WAIT, left)
                wait *= random.uniform(1, 1.1)  # many clients do not come again at once
                following = f"attempt {number + 1} of {most}"
                self.log(f"{failed.message}; waiting {wait:.1f} s, {following}")
            time.sleep(wait)
        raise AssertionError("the loop ends by returning or raising")

    def _attempt(self, call: _Call) -> Answer:
        token = self._token() if call.ours else None
        answer, whole = self._exchange(call, token)
        if answer.status == 401 and call.ours and self._renew(token):
            token = self._token()
            answer, whole = self._exchange(call, token)
        host = host_of(call.url)
        if answer.status == 401 and call.ours:
            raise NotLoggedIn(
                f"{self.name} ({host}) does not know you any more: {answer}."
                if token
                else f"You are not logged in to {self.name}.",
                next_step=log_in_again(self.name, self.settings),
            )
        message, status = f"{self.name if call.ours else host} answered {answer}", answer.status
        # A 503 without a word on when to come again may be a gateway's, which lost the server after
        # handing everything on. A 500 in the contract's form is the server's own word on what was
        # sent; any other, a 502 and a 504 come from somewhere before it.
        own_word = status == 503 and ("retry-after" in answer.headers or answer.has_detail)
        judged = status == 500 and answer.has_detail
        trouble = status in _TROUBLE and (call.repeatable or not (whole or judged))
        if status in _NOT_TAKEN or own_word or trouble:
            call.may_be_done |= whole and status not in (*_NOT_TAKEN, 503)
            raise Failed(message, retry_after(answer.headers, datetime.now(UTC)))
        if status in _TROUBLE and not judged:
            raise _unknown(f"{message} after everything was sent ({call.what}).")
        return answer

    # One attempt

    def _exchange(self, call: _Call, token: SecretStr | None) -> tuple[Answer, bool]:
        """The answer to one request, redirects of a GET followed; whether all of it was sent."""
        url = call.url
        for _ in range(_MAX_REDIRECTS + 1):
            reader = PartReader(call.part, lambda: self._go_on(call)) if call.part else None
            own = token if origin_of(url) == origin_of(call.url) else None
            try:
                answer = self._send(call, url, own, reader)
            except _ON_THE_WAY as error:
                raise self._in_words(call, url, error, reader is None or reader.whole) from None
            finally:
                if reader is not None:
                    reader.close()
            if answer.status not in _REDIRECTS or "location" not in answer.headers:
                return answer, reader is None or reader.whole
            location = answer.headers["location"]
            if call.method not in ("GET", "HEAD"):
                raise moved(url, location, self.name, call.what)
            url = redirected(url, location, self.name, call.what)
        raise DestinationRefused(
            f"{host_of(call.url)} redirects in a circle ({call.what}).",
            next_step=f"Look at url of {self.name} in pipeline.yaml.",
        )

    def _in_words(self, call: _Call, url: str, error: Exception, whole: bool) -> Exception:
        """What to raise for an error on the way: `Failed` when the request may be sent again."""
        who = f"{self.name} ({host_of(url)})" if call.ours else host_of(url)
        if isinstance(error, _UNCONNECTED):
            reason = reason_of(error)
            return unproven(error, who) or Failed(f"{who} cannot be reached ({reason})")
        if isinstance(error, FAILURES):
            late = f"{call.what} took too long"
            message = late if call.left <= 0 else f"{who} gave no answer ({reason_of(error)})"
            if whole and not call.repeatable:
                return _unknown(f"{message} after everything was sent ({call.what}).")
            call.may_be_done = call.may_be_done or whole
            return Failed(message)
        # Where it redirects to, or a host that no name server can be asked for.
        return DestinationRefused(
            f"{who} is, or leads to, something that is no address ({call.what}).",
            next_step=f"Report it to who runs {self.name}.",
        )

    def _send(
        self, call: _Call, url: str, token: SecretStr | None, reader: PartReader | None
    ) -> Answer:
        self._go_on(call)
        # Nothing is unpacked: a small answer cannot become a large one.
        headers = {"User-Agent": f"syndb-pipeline/{__version__}", "Accept-Encoding": "identity"}
        secret = token.get_secret_value() if token else ""
        if secret:
            headers["Authorization"] = f"Bearer {secret}"
        body = dict(call.body)
        if (part := call.part) is not None:
            file = (part.name, reader, part.content_type)
            body = {"data": part.fields, "files": {part.field: file}}
        left = min(self.settings.answer_seconds, call.left)
        timeout = httpx.Timeout(left, connect=min(self.settings.connect_seconds, call.left))
        request = httpx.Request(
            call.method,
            url,
            headers=headers | dict(call.headers),
            extensions={"timeout": timeout.as_dict()},
            **body,
        )
        with within(call.deadline):
            response = send(self._pool(url, fresh=not call.repeatable), request)
            good = 200 <= response.status < 300
            try:
                content = self._content(call, response, good)
            finally:
                response.close()
        words = "" if good else words_of(content, (*call.secrets, secret))
        return Answer(response.status, httpx.Headers(response.headers), content, words)

    def _content(self, call: _Call, response: httpcore.Response, good: bool) -> bytes:
        """The body of an answer; empty when it went to the file that was asked for."""
        file = call.into.open("wb") if call.into is not None and good else io.BytesIO()
        size = 0
        with file:
            try:
                for piece in response.iter_stream():
                    self._go_on(call)
                    size += len(piece)
                    if size > call.limit:
                        if call.cut or not call.repeatable:
                            break
                        raise DestinationRefused(
                            f"{host_of(call.url)} answered with more than {call.limit:,} bytes "
                            f"({call.what}).",
                            next_step="Report it to who runs it.",
                        )
                    file.write(piece)
            except (*FAILURES, Failed):
                # The status has said what became of it; only a request that may be repeated is
                # asked again for the rest.
                if call.repeatable:
                    call.may_be_done = True
                    raise
            return file.getvalue() if isinstance(file, io.BytesIO) else b""

    def _go_on(self, call: _Call) -> None:
        if self._stop.is_set():
            raise Unreachable(f"Stopped: {call.what}.")
        if call.left <= 0:
            raise Failed(f"{call.what} took too long")

    def _pool(self, url: str, *, fresh: bool) -> httpcore.ConnectionPool:
        """The connections for an address. `fresh`: one for each request, so that none meets one
        that the server just closed."""
        proxy = proxy_of(url)
        with self._lock:
            if (proxy, fresh) not in self._pools:
                self._context = self._context or certificates()
                pool = open_pool(self._context, proxy, idle=0 if fresh else 64)
                self._pools[proxy, fresh] = pool
            return self._pools[proxy, fresh]


_UNCONNECTED: Final = (
    httpcore.ConnectError,
    httpcore.ConnectTimeout,
    httpcore.PoolTimeout,
    httpcore.ProxyError,
)
_ON_THE_WAY: Final = (*_UNCONNECTED, *FAILURES, httpx.InvalidURL, UnicodeError)


def look_with_doctor(destination: str) -> str:
    """The next step after a failure that may be due to the settings, the network or the server."""
    return f"See what is wrong, then try again: syndb-pipeline doctor --destination {destination}"


def path_part(text: object) -> str:
    """`text` as one part of a path."""
    return quote(str(text), safe="")


def _unknown(message: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"{message} Whether it was done is not known.",
        next_step="Give the same command again; it asks first.",
    )
