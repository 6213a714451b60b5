"""HTTP as every destination behind it needs it: tokens, retries, time-outs, streamed files,
redirects, errors in words.

Belongs here: HTTP. Does not: SynDB's routes, bodies, or what a status means to it (`rest.py`).

There is one rule for sending again. A request that may be repeated is; any other only when the
server certainly did not carry it out: the connection was never made, the server said so (408, 425,
429; 503 in its own words; 401 once a new token is there), or the body was not sent to its end. Else
the outcome is unknown, and somebody has to ask.
"""

from __future__ import annotations

import logging
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx
from pydantic import SecretStr

from syndb_pipeline import __version__
from syndb_pipeline.base.errors import DestinationRefused, NotLoggedIn, OutcomeUnknown, Unreachable
from syndb_pipeline.config.destination_settings import RestDestination as RestSettings
from syndb_pipeline.config.destination_settings import is_loopback, origin_of
from syndb_pipeline.destinations.rest.access import log_in_anew
from syndb_pipeline.destinations.rest.http_address import host_of, moved, redirected, require_safe
from syndb_pipeline.destinations.rest.http_answer import Answer, cleaned, retry_after, words_of
from syndb_pipeline.destinations.rest.http_body import FilePart, FormBody
from syndb_pipeline.destinations.rest.http_client import certificates, open_client, within
from syndb_pipeline.destinations.rest.http_retry import Failed, Say, attempts

_NOT_TAKEN: Final = frozenset({408, 425, 429, 503})
"""Answers by which a server says that it did not carry the request out, and that it may be sent
again (RFC 9110, 6585, 8470).
"""

_TROUBLE: Final = frozenset({500, 502, 503, 504})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS: Final = 5
_MAX_ANSWER: Final = 64 * 1024 * 1024
"""Bytes of an answer that is read into memory: a list of all datasets has some hundred thousand
lines.
"""


@dataclass
class _Call:
    """One request with all its attempts."""

    method: str
    url: str
    what: str  # in words; a pre-signed address never stands in it
    repeatable: bool
    ours: bool = True  # the server that the token is for
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None
    part: FilePart | None = None
    into: Path | None = None
    limit: int = _MAX_ANSWER
    cut: bool = False
    secrets: tuple[str, ...] = ()
    deadline: float = 0.0
    attempts: int = 0
    may_be_done: bool = False

    @property
    def host(self) -> str:
        return host_of(self.url)

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()


# Their INFO lines hold whole addresses, and a pre-signed one is a secret; their DEBUG lines hold
# the token.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class Session:
    """Requests to one server, and to the object stores that it points to.

    `token` gives the bearer token to send, or None; `renew` is given one that was refused and says
    whether there is another now. Addresses are paths below the settings' `url`, or whole addresses
    with `ours=False`, which never get the token.

    Every method raises `OutcomeUnknown` (it may have happened), `Unreachable` (it did not: no
    connection, or trouble at each attempt), `NotLoggedIn`, and `DestinationRefused` for an answer
    that cannot be followed or is too large. Threads may share a session.
    """

    def __init__(
        self,
        name: str,
        settings: RestSettings,
        say: Say,
        *,
        token: Callable[[], SecretStr | None],
        renew: Callable[[SecretStr | None], bool],
    ) -> None:
        self.name = name
        self.settings = settings
        self.say = say
        self._token = token
        self._renew = renew
        self._clients: dict[tuple[bool, bool], httpx.Client] = {}
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
    ) -> Answer:
        """A small request and its answer. GET, HEAD, PUT and DELETE are repeatable unless said
        otherwise; a POST is when the caller knows.

        `secrets` are never shown, should the server repeat them. `ours=False` sends no token to a
        path below `url`.
        """
        request = httpx.Request(method, "http://ignored", json=json, data=form)
        kind = (
            {"Content-Type": request.headers["Content-Type"]}
            if "Content-Type" in request.headers
            else {}
        )
        repeats = method in ("GET", "HEAD", "PUT", "DELETE") if repeatable is None else repeatable
        call = _Call(
            method,
            self.settings.url + path,
            f"{method} {path}",
            repeats,
            ours,
            kind,
            secrets=secrets,
        )
        call.content = request.content or None
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
        """Send a form with a file in it, streamed. `ours`: `address` is a path below `url` and
        nothing is sent twice after the last byte.

        Otherwise it is a pre-signed form's address, which may be sent to again: `what` says in
        words what for.
        """
        if ours:
            url = f"{self.settings.url}{address}?{httpx.QueryParams(dict(query or {}))}"
            return self._run(_Call(method, url, f"{method} {address}", repeatable=False, part=part))
        require_safe(address, self.settings.url, self.name, what)
        return self._run(_Call(method, address, what, repeatable=True, ours=False, part=part))

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
        """GET a pre-signed address without the token; the body of a good answer goes to the file
        `into`.

        A body of more than `limit` bytes is refused, or with `cut` not read any further.
        """
        require_safe(url, self.settings.url, self.name, what)
        given = dict(headers or {})
        return self._run(
            _Call(
                "GET",
                url,
                what,
                repeatable=True,
                ours=False,
                headers=given,
                into=into,
                limit=limit,
                cut=cut,
            )
        )

    def refused(self, answer: Answer, what: str) -> str:
        """`answer` as the first half of a message."""
        return f"{self.name} ({host_of(self.settings.url)}) answered {answer} ({what})."

    def stop(self) -> None:
        """Let requests in other threads end at their next piece."""
        self._stop.set()

    def resume(self) -> None:
        """Let requests be made again."""
        self._stop.clear()

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    # One call, all its attempts

    def _run(self, call: _Call) -> Answer:
        call.deadline = time.monotonic() + self.settings.total_seconds
        try:
            for attempt in attempts(self.settings.attempts, self.settings.total_seconds):
                with attempt:
                    call.attempts += 1
                    return self._attempt(call)
        except Failed as failed:
            raise self._given_up(call, failed) from None
        raise AssertionError("stamina ends by returning or raising")

    def _given_up(self, call: _Call, failed: Failed) -> OutcomeUnknown | Unreachable:
        tries = f" ({call.attempts} attempts)" if call.attempts > 1 else ""
        message = f"{failed.told.rstrip('.')}{tries}; asked: {call.what}."
        if call.may_be_done and call.method not in ("GET", "HEAD"):
            return OutcomeUnknown(
                f"{message} Whether it was done is not known.",
                next_step="Give the same command again; it asks first.",
            )
        return Unreachable(message, next_step=failed.come_again or look_with_doctor(self.name))

    def _attempt(self, call: _Call) -> Answer:
        token = self._token() if call.ours else None
        answer, whole = self._exchange(call, token)
        if answer.status == 401 and call.ours and self._renew(token):
            token = self._token()
            answer, whole = self._exchange(call, token)
        if answer.status == 401 and call.ours:
            raise NotLoggedIn(
                (
                    f"{self.name} ({call.host}) does not know you any more: {answer}."
                    if token
                    else f"You are not logged in to {self.name}."
                ),
                next_step=log_in_anew(self.name, self.settings),
            )
        told = f"{self.name if call.ours else call.host} answered {answer}"
        # A 503 without a word on when to come again may be a gateway's, which lost the server after
        # handing everything on.
        gateway = (
            answer.status == 503 and "retry-after" not in answer.headers and not answer.has_detail
        )
        if answer.status in _NOT_TAKEN and (call.repeatable or not whole or not gateway):
            raise self._failed(call, told, retry_after(answer.headers, datetime.now(UTC)))
        # A 500 in the contract's form is the server's own word on what was sent; any other, a 502
        # and a 504 come from somewhere before it.
        judged = answer.status == 500 and answer.has_detail
        if answer.status in _TROUBLE and (call.repeatable or (not whole and not judged)):
            call.may_be_done = call.may_be_done or whole
            raise self._failed(call, told, retry_after(answer.headers, datetime.now(UTC)))
        if answer.status in _TROUBLE and not judged:
            raise self._unknown(call, told)
        return answer

    def _failed(self, call: _Call, told: str, wait: float | None = None) -> Failed:
        return Failed(told, self.say, self.settings.attempts, call.deadline, wait)

    def _unknown(self, call: _Call, told: str) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"{told} after everything was sent ({call.what}). Whether it was done is not known.",
            next_step="Give the same command again; it asks first.",
        )

    # One attempt

    def _exchange(self, call: _Call, token: SecretStr | None) -> tuple[Answer, bool]:
        """The answer to one request, redirects of a GET followed; and whether the whole request was
        sent.
        """
        url = call.url
        for _ in range(_MAX_REDIRECTS + 1):
            with self._errors_in_words(call, url) as body:
                answer = self._send(
                    call, url, token if origin_of(url) == origin_of(call.url) else None, body
                )
            if answer.status not in _REDIRECTS or "location" not in answer.headers:
                return answer, body is None or body.whole
            if call.method not in ("GET", "HEAD"):
                raise moved(
                    url, answer.headers["location"], self.settings.url, self.name, call.what
                )
            url = redirected(url, answer.headers["location"], self.name, call.what)
        raise DestinationRefused(
            f"{call.host} redirects in a circle ({call.what}).",
            next_step=f"Look at url of {self.name} in pipeline.yaml.",
        )

    @contextmanager
    def _errors_in_words(self, call: _Call, url: str) -> Iterator[FormBody | None]:
        body = FormBody(call.part, lambda: self._go_on(call)) if call.part else None
        who = f"{self.name} ({host_of(url)})" if call.ours else host_of(url)
        try:
            yield body
        except (
            httpx.ConnectError,
            httpx.ConnectTimeout,
            httpx.PoolTimeout,
            httpx.ProxyError,
        ) as error:
            if (untrusted := _certificate_error(error)) is not None:
                raise DestinationRefused(
                    f"{who} does not prove that it is this server:"
                    f" {cleaned(untrusted.verify_message)}. Nothing was sent.",
                    next_step=(
                        "Look at the address and this machine's clock; for a certificate authority"
                        " of your own, set SSL_CERT_FILE."
                    ),
                ) from None
            raise self._failed(call, f"{who} cannot be reached ({_reason(error)})") from None
        except (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError) as error:
            told = (
                f"{call.what} took too long"
                if call.left <= 0
                else f"{who} gave no answer ({_reason(error)})"
            )
            if body is None or body.whole:
                if not call.repeatable:
                    raise self._unknown(call, told) from None
                call.may_be_done = True
            raise self._failed(call, told) from None
        except (
            httpx.InvalidURL,
            UnicodeError,
        ):  # where it redirects to, or a host that no name server can be asked for
            raise DestinationRefused(
                f"{who} is, or leads to, something that is no address ({call.what}).",
                next_step=f"Report it to who runs {self.name}.",
            ) from None

    def _send(
        self, call: _Call, url: str, token: SecretStr | None, body: FormBody | None
    ) -> Answer:
        self._go_on(call)
        left = min(self.settings.answer_seconds, call.left)
        connect = min(self.settings.connect_seconds, call.left)
        # Nothing is unpacked: a small answer cannot become a large one.
        headers = {
            "User-Agent": f"syndb-pipeline/{__version__}",
            "Accept-Encoding": "identity",
            **call.headers,
        }
        if token is not None:
            headers["Authorization"] = f"Bearer {token.get_secret_value()}"
        request = httpx.Request(
            call.method,
            url,
            headers=headers | (body.headers if body else {}),
            content=body or call.content,
            extensions={"timeout": httpx.Timeout(left, connect=connect).as_dict()},
        )
        with within(call.deadline):
            response = self._client(url, fresh=not call.repeatable).send(request, stream=True)
            try:
                content = self._content(call, response)
            finally:
                response.close()
        secrets = (*call.secrets, token.get_secret_value() if token else "")
        words = "" if response.is_success else words_of(content, secrets)
        return Answer(response.status_code, response.headers, content, words)

    def _content(self, call: _Call, response: httpx.Response) -> bytes:
        """The body of an answer; empty when it went to the file that was asked for."""
        file = call.into.open("wb") if call.into is not None and response.is_success else None
        kept, size = bytearray(), 0
        try:
            for piece in response.iter_raw():
                self._go_on(call)
                size += len(piece)
                if size > call.limit:
                    if call.cut or not call.repeatable:
                        break
                    raise DestinationRefused(
                        f"{call.host} answered with more than {call.limit:,} bytes ({call.what}).",
                        next_step="Report it to who runs it.",
                    )
                if file is None:
                    kept += piece
                else:
                    file.write(piece)
        except (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError, Failed):
            # The status has said what became of it; only a request that may be repeated is asked
            # again for the rest.
            if call.repeatable:
                call.may_be_done = True
                raise
        finally:
            if file is not None:
                file.close()
        return bytes(kept)

    def _go_on(self, call: _Call) -> None:
        if self._stop.is_set():
            raise Unreachable(f"Stopped: {call.what}.")
        if call.left <= 0:
            raise self._failed(call, f"{call.what} took too long")

    def _client(self, url: str, *, fresh: bool) -> httpx.Client:
        """The client for an address. `fresh`: a connection for each request, so that none meets one
        that the server just closed.
        """
        near = is_loopback(urlsplit(url).hostname or "")
        with self._lock:
            if (near, fresh) not in self._clients:
                self._context = self._context or certificates()
                self._clients[near, fresh] = open_client(
                    self._context,
                    proxies=not near,  # none between this machine and itself
                    limits=httpx.Limits(
                        max_keepalive_connections=0 if fresh else 64,
                        max_connections=None,
                        keepalive_expiry=30,
                    ),
                )
            return self._clients[near, fresh]


def look_with_doctor(destination: str) -> str:
    """The next step after a failure that may lie in the settings, the network or the server."""
    return f"See what is wrong, then try again: syndb-pipeline doctor --destination {destination}"


def path_part(text: object) -> str:
    """`text` as one part of a path."""
    return quote(str(text), safe="")


def _certificate_error(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error


def _reason(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return "no connection in time"
    if isinstance(error, httpx.TimeoutException):
        return "it was silent for too long"
    # The number that the system has for an error tells a person nothing, nor does where in
    # OpenSSL's source it was found.
    words = re.sub(r"^\[Errno -?\d+\] |^\[SSL: \w+\] | \(_ssl\.c:\d+\)$", "", cleaned(str(error)))
    return words.rstrip(".") or "the connection broke"
