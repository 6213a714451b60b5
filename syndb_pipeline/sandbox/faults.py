"""Scripted faults around the sandbox's application: what goes wrong, at which request, and a record
of it.

Belongs here: carrying faults out as ASGI middleware, the routes that script them. Does not: their
language (`fault_script.py`).

`faults = Faults("429@upload,retry-after=2")`, then `uvicorn.Config(faults.around(app),
http=ResettableProtocol)`. Everything under `/_sandbox/` passes untouched and uncounted;
`Faults.routes` belongs there, inside the application.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.sandbox.fault_script import (
    FAULTS_HELP,
    OBJECTS,
    ROUTES,
    Fault,
    parse_fault,
    route_name,
)
from syndb_pipeline.sandbox.protocol import CONNECTION, ResettableProtocol
from syndb_pipeline.sandbox.tamper import NodeTamper, Tamper
from syndb_pipeline.sandbox.wire import Refusal, read_body

__all__ = ["FAULTS_HELP", "ROUTES", "Faults", "NodeTamper", "ResettableProtocol", "Seen", "Tamper"]

ADMIN: Final = "/_sandbox/"
"""Requests below this path are the sandbox's own: never counted, never disturbed."""

REMEMBERED: Final = 10_000
"""Requests kept for `GET /_sandbox/requests`; a server may run for weeks."""

MAX_PATH: Final = 500
"""Characters of a path that are kept: the memory of `REMEMBERED` requests has an end too."""

_ENDINGS: Final = ("reset", "drop", "reset-response")
_TICKS_PER_SECOND: Final = 20


@dataclass
class Seen:
    """One request; no query string, for a pre-signed URL's is a secret.

    `status` is what was answered or, when a fault kept the answer back, would have been; None when
    the application was not asked. `faults` are the texts of the faults that happened to it.
    """

    number: int
    method: str
    path: str
    route: str
    status: int | None = None
    faults: list[str] = field(default_factory=list)
    log: list[tuple[int, str, str]] = field(
        default_factory=list, repr=False
    )  # of the script it arrived under

    def note(self, fault: str) -> None:
        """Record that a fault happened to this request."""
        self.faults.append(fault)
        self.log.append((self.number, self.route, fault))

    def as_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "method": self.method,
            "path": self.path,
            "route": self.route,
            "status": self.status,
            "fault": ", ".join(self.faults) or None,
        }


class Faults:
    """The script, the count of requests since it was set, and what happened to them. Safe to use
    from any thread.

    `tamper` spoils stored tables; without one, scripts with such faults are refused. `objects` is
    the path of pre-signed forms and URLs.
    """

    def __init__(self, *texts: str, tamper: Tamper | None = None, objects: str = OBJECTS) -> None:
        self.tamper = tamper
        self.objects = objects
        self._lock = Lock()
        self.script(*texts)

    def script(self, *texts: str) -> None:
        """Replace the script; nothing given means no faults. Counts start again at 1, the logs are
        emptied, no token is expired.

        Raises `ConfigError`, and then changes nothing.
        """
        faults = tuple(map(parse_fault, texts))
        if self.tamper is None and (
            spoiling := [fault.text for fault in faults if fault.data_fault]
        ):
            raise ConfigError(
                f"Fault {spoiling[0]!r}: this server keeps no tables that could be spoilt.",
                next_step=FAULTS_HELP,
            )
        with self._lock:
            self._faults = faults
            self._of_route: dict[str, int] = {}
            self._expired = False
            self.requests = 0
            """Requests that reached the server since the script was set."""
            self.log: list[tuple[int, str, str]] = []
            """What was done, in order: number of the request, its route, the fault's text."""
            self.seen: deque[Seen] = deque(maxlen=REMEMBERED)

    @property
    def texts(self) -> list[str]:
        return [fault.text for fault in self._faults]

    def around(self, app: ASGIApp) -> ASGIApp:
        """`app` with the faults before it."""

        async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"].startswith(ADMIN):
                await app(scope, receive, send)
            else:
                seen, faults = self._count(scope["method"], scope["path"])
                await _Answering(self, app, scope, receive, send, seen, faults).run()

        return faulty

    def routes(self) -> list[Route]:
        """`GET`, `PUT` and `DELETE /_sandbox/faults`, `GET /_sandbox/requests`; for callers on this
        machine only.

        `PUT` takes `{"faults": [texts]}`; a text that cannot be read is a 400 with what there is.
        """

        async def script(request: Request) -> Response:
            if not _from_here(request):
                return _only_here()
            try:
                if request.method == "PUT":
                    self.script(*_texts_in(await read_body(request)))
                elif request.method == "DELETE":
                    self.script()
            except ConfigError as error:
                return JSONResponse({"detail": str(error)}, status_code=400)
            except Refusal as error:
                return error.response
            return JSONResponse({"faults": self.texts, "requests": self.requests, "log": self.log})

        async def requests(request: Request) -> Response:
            return (
                JSONResponse([each.as_json() for each in self.seen])
                if _from_here(request)
                else _only_here()
            )

        return [
            Route(ADMIN + "faults", script, methods=["GET", "PUT", "DELETE"]),
            Route(ADMIN + "requests", requests, methods=["GET"]),
        ]

    def refuses_token(self, seen: Seen, expiring: Fault | None) -> bool:
        """Whether the request's token no longer counts; `expiring` is the fault that ends it
        now.
        """
        self._expired = self._expired or expiring is not None
        return self._expired and seen.route != "login"

    def logged_in(self) -> None:
        self._expired = False

    def _count(self, method: str, path: str) -> tuple[Seen, tuple[Fault, ...]]:
        route = route_name(method, path, self.objects)
        with self._lock:
            self.requests += 1
            self._of_route[route] = of_route = self._of_route.get(route, 0) + 1
            seen = Seen(self.requests, method, path[:MAX_PATH], route, log=self.log)
            self.seen.append(seen)
            return seen, tuple(
                fault for fault in self._faults if fault.meets(seen.number, route, of_route)
            )


class _Answering:
    """One request and the faults that meet it. Of several that would end it, the first of the
    script does.
    """

    def __init__(
        self,
        faults: Faults,
        app: ASGIApp,
        scope: Scope,
        receive: Receive,
        send: Send,
        seen: Seen,
        meeting: tuple[Fault, ...],
    ) -> None:
        self.faults, self.app, self.scope, self.receive, self.uvicorn_send, self.seen = (
            faults,
            app,
            scope,
            receive,
            send,
            seen,
        )
        self.connection: ResettableProtocol | None = scope.get("state", {}).pop(CONNECTION, None)
        self.meeting = meeting
        self.ending = next(
            (fault for fault in meeting if fault.status or fault.kind in _ENDINGS), None
        )
        self.cut = False
        self.body_left: int | None = None  # bytes until the answer is cut
        self.held: Message | None = None  # the answer's head, until its body comes

    async def run(self) -> None:
        for fault in self._of_kind("slow"):
            self.seen.note(fault.text)
            await asyncio.sleep(fault.amount)
        expiring = next(self._of_kind("expire"), None)
        if self.faults.refuses_token(self.seen, expiring) and self._has_token():
            self.seen.note(expiring.text if expiring else "expire")
            await self._answer(401, {"www-authenticate": "Bearer"}, "Unauthorized")
        elif self.ending is not None and self.ending.status is not None:
            self.seen.note(self.ending.text)
            retry_after = self.ending.retry_after_header(datetime.now(UTC))
            await self._answer(
                self.ending.status,
                {"retry-after": retry_after} if retry_after is not None else {},
                "A scripted fault.",
            )
        elif self.ending is not None and self.ending.kind == "reset":
            await self._read(self.ending.after)
            await self._reset()
        else:
            try:
                await self.app(self.scope, self.receive, self._from_app)
            finally:
                # In any case, so that uvicorn cannot answer an error of the application by itself.
                if self.ending is not None and not self.cut:
                    await self._reset()

    async def _from_app(self, message: Message) -> None:
        """Take one message of the application's answer."""
        if message["type"] == "http.response.start":
            self.seen.status = message["status"]
            if self.seen.route == "login" and message["status"] == 200:
                self.faults.logged_in()
            if self.seen.route == "upload" and message["status"] == 204:
                await self._spoil()
            for fault in self._of_kind("slow-answer"):
                self.seen.note(fault.text)
                await asyncio.sleep(fault.amount)
        if self.ending is None:
            await self._towards_client(message)
        elif self.ending.kind == "reset-response":
            await self._until_half(message)

    async def _spoil(self) -> None:
        for fault in self.meeting:
            if fault.data_fault is not None and self.faults.tamper is not None:
                dataset = UUID(self.seen.path.split("/")[-2])
                if await asyncio.to_thread(
                    self.faults.tamper.change, dataset, fault.data_fault, fault.table, fault.counts
                ):
                    self.seen.note(fault.text)

    async def _until_half(self, message: Message) -> None:
        """Hand on the first half of the answer's body; an answer without a body is cut off before
        its first byte.
        """
        if self.cut:
            return
        if message["type"] == "http.response.start":
            self.held = message
            return
        body = message.get("body", b"")
        if self.held is not None and body:
            length = next(
                (
                    int(value)
                    for name, value in self.held["headers"]
                    if name.lower() == b"content-length"
                ),
                len(body),
            )
            self.body_left = length // 2
            await self._towards_client(self.held)
            self.held = None
        if self.body_left is not None:
            piece = body[: self.body_left]
            await self._towards_client(
                {"type": "http.response.body", "body": piece, "more_body": True}
            )
            self.body_left -= len(piece)
            if len(piece) < len(body) or self.body_left == 0:
                await self._reset(flush=True)

    async def _towards_client(self, message: Message) -> None:
        trickle = next(self._of_kind("trickle"), None)
        body: bytes = message.get("body", b"")
        if trickle is None or not body:
            await self.uvicorn_send(message)
            return
        if trickle.text not in self.seen.faults:
            self.seen.note(trickle.text)
        size = max(1, int(trickle.amount) // _TICKS_PER_SECOND)
        for start in range(0, len(body), size):
            if self.connection is not None and self.connection.lost.is_set():
                return
            piece = body[start : start + size]
            await asyncio.sleep(len(piece) / trickle.amount)
            more = message.get("more_body", False) or start + size < len(body)
            await self.uvicorn_send(
                {"type": "http.response.body", "body": piece, "more_body": more}
            )

    async def _answer(self, status: int, headers: dict[str, str], detail: str) -> None:
        self.seen.status = status
        if status in (502, 503, 504):  # a gateway's, which speaks no JSON
            response = Response(
                f"<html><body><h1>{status}</h1>{detail}</body></html>", status, headers, "text/html"
            )
        else:
            response = JSONResponse({"detail": detail}, status, headers)
        await response(self.scope, self.receive, self._towards_client)

    async def _read(self, size: int) -> None:
        while size > 0:
            message = await self.receive()
            size -= len(message.get("body", b""))
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                return

    async def _reset(self, *, flush: bool = False) -> None:
        self.cut = True
        if self.ending is not None:
            self.seen.note(self.ending.text)
        if self.connection is None:
            raise ConfigError(
                "A connection can only be reset when the server runs with uvicorn.Config(...,"
                " http=ResettableProtocol)."
            )
        await self.connection.reset(flush=flush)

    def _of_kind(self, kind: str) -> Iterator[Fault]:
        return (fault for fault in self.meeting if fault.kind == kind)

    def _has_token(self) -> bool:
        return any(name == b"authorization" for name, _ in self.scope["headers"])


def _from_here(request: Request) -> bool:
    """Whether the caller is on this machine, and asked for it by a name of this machine (not for a
    web page's that points here).
    """
    if request.client is None or not _loopback(request.client.host):
        return False
    name = request.url.hostname or ""
    return name == "localhost" or _loopback(name)


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _only_here() -> Response:
    return JSONResponse({"detail": "Only from the machine this server runs on."}, status_code=403)


def _texts_in(body: bytes) -> list[str]:
    try:
        texts = json.loads(body)["faults"]
    except (ValueError, TypeError, KeyError):
        texts = None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ConfigError('Send {"faults": ["429@3", ...]}.', next_step=FAULTS_HELP)
    return texts
