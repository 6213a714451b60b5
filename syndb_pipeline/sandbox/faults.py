"""Scripted faults around the sandbox's application, and a record of what happened.

Belongs here: disturbing requests, as ASGI middleware; the routes that script it. Does not: the
language of faults, or changing tables (`fault_script.py`).

Everything under `/_sandbox/` passes untouched and uncounted. Resets need
`serve.ResettableProtocol`.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.config.addresses import is_loopback
from syndb_pipeline.sandbox.fault_script import DATA_FAULTS, Fault, parse_fault, route_name

ADMIN: Final = "/_sandbox/"
"""Requests below this path are the sandbox's own: never counted, never disturbed."""

CONNECTION: Final = "syndb_pipeline.connection"
"""Where a request's ASGI state (`scope["state"]`) holds its connection, which can be reset."""

REMEMBERED: Final = 10_000
"""Requests kept for `GET /_sandbox/requests`; a server may run for weeks."""

MAX_PATH: Final = 500
"""Characters of a path that are kept: the memory of `REMEMBERED` requests has an end too."""

_TICKS_PER_SECOND: Final = 20

Log = list[tuple[int, str, str]]


class Script(BaseModel):
    """Texts of the fault language."""

    faults: list[str]


class Faults:
    """The script, the count of requests since it was set, and what happened to them.

    Safe to use from any thread. `tamper` changes the stored tables of a dataset as a fault says,
    and returns whether anything changed.
    """

    def __init__(self, tamper: Callable[[UUID, Fault], bool], *texts: str) -> None:
        self.tamper = tamper
        self._lock = Lock()
        self.script(*texts)

    def script(self, *texts: str) -> None:
        """Replace the script; nothing given means no faults.

        Counts start again at 1, the logs are emptied, no token is expired. Raises `ConfigError`,
        and then changes nothing.
        """
        faults = tuple(map(parse_fault, texts))
        with self._lock:
            self._faults = faults
            self._of_route: Counter[str] = Counter()
            self.expired = False
            """Whether tokens no longer count, until the next log-in."""
            self.requests = 0
            """Requests that reached the server since the script was set."""
            self.log: Log = []
            """What was done, in order: number of the request, its route, the fault's text."""
            self.seen: deque[dict[str, Any]] = deque(maxlen=REMEMBERED)
            """Requests, without their query strings: a pre-signed URL's is a secret.

            `status` is what was answered or, when a fault kept the answer back, would have been;
            None when the application was not asked. `fault` are the texts of what happened to it.
            """

    @property
    def texts(self) -> list[str]:
        return [fault.text for fault in self._faults]

    def around(self, app: ASGIApp) -> ASGIApp:
        """`app` with the faults before it."""

        async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"].startswith(ADMIN):
                await app(scope, receive, send)
            else:
                await _Answering(self, app, scope, receive, send).run()

        return faulty

    def router(self) -> APIRouter:
        """Routes to script a running server, for callers on this machine only."""
        router = APIRouter(
            prefix=ADMIN[:-1], include_in_schema=False, dependencies=[Depends(_only_from_here)]
        )

        @router.get("/faults")
        async def state() -> dict[str, Any]:
            return {"faults": self.texts, "requests": self.requests, "log": self.log}

        @router.put("/faults")
        async def replace(script: Script) -> dict[str, Any]:
            try:
                self.script(*script.faults)
            except ConfigError as error:
                raise HTTPException(400, str(error)) from None
            return await state()

        @router.get("/requests")
        async def requests() -> list[dict[str, Any]]:
            return list(self.seen)

        return router

    def count(self, method: str, path: str) -> tuple[dict[str, Any], Log, tuple[Fault, ...]]:
        """Count a request. Returns its record, the log to write to, and the faults that meet it."""
        route = route_name(method, path)
        with self._lock:
            self.requests += 1
            self._of_route[route] += 1
            seen = {"number": self.requests, "method": method, "path": path[:MAX_PATH]}
            seen |= {"route": route, "status": None, "fault": None}
            self.seen.append(seen)
            place = (self.requests, route, self._of_route[route])
            return seen, self.log, tuple(fault for fault in self._faults if fault.meets(*place))


class _Answering:
    """One request and the faults that meet it. Of several that would end it, the first one does."""

    def __init__(
        self, faults: Faults, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self.faults, self.app = faults, app
        self.scope, self.receive, self.send = scope, receive, send
        self.connection = scope.get("state", {}).pop(CONNECTION, None)
        self.seen, self.log, self.meeting = faults.count(scope["method"], scope["path"])
        endings = ("reset", "drop", "reset-response")
        self.ending = next(
            (fault for fault in self.meeting if fault.status or fault.kind in endings), None
        )
        self.head: Message | None = None  # the answer's, until its body comes
        self.left = 0  # bytes until the answer is cut
        self.noted: list[str] = []

    async def run(self) -> None:
        await self._wait("slow")
        expiring = next(self._of_kind("expire"), None)
        self.faults.expired |= expiring is not None
        ending, headers = self.ending, dict(self.scope["headers"])
        if self.faults.expired and self.seen["route"] != "login" and b"authorization" in headers:
            self._note(expiring.text if expiring else "expire")
            await self._answer(401, {"www-authenticate": "Bearer"}, "Unauthorized")
        elif ending is None:
            await self.app(self.scope, self.receive, self._from_app)
        elif ending.status is not None:
            self._note(ending.text)
            again = ending.retry_after(datetime.now(UTC))
            await self._answer(ending.status, again, "A scripted fault.")
        elif ending.kind == "reset":
            await self._read(int(ending.options.get("after", 0)))
            await self._reset()
        else:
            try:
                await self.app(self.scope, self.receive, self._from_app)
            finally:
                # In any case, so that uvicorn cannot answer an error of the application by itself.
                await self._reset()

    async def _from_app(self, message: Message) -> None:
        """Take one message of the application's answer."""
        if message["type"] == "http.response.start":
            self.seen["status"] = message["status"]
            if self.seen["route"] in ("login", "refresh") and message["status"] == 200:
                self.faults.expired = False
            if self.seen["route"] == "upload" and message["status"] == 204:
                await self._tamper()
            await self._wait("slow-answer")
        if self.ending is None:
            await self._to_client(message)
        elif self.ending.kind == "reset-response":
            await self._until_half(message)

    async def _tamper(self) -> None:
        dataset = UUID(self.seen["path"].split("/")[-2])
        for fault in self._of_kind(*DATA_FAULTS):
            if await asyncio.to_thread(self.faults.tamper, dataset, fault):
                self._note(fault.text)

    async def _until_half(self, message: Message) -> None:
        """Hand on the first half of the answer's body; without a body, nothing at all."""
        if message["type"] == "http.response.start":
            self.head = message
        elif body := message.get("body", b""):
            if self.head is not None:
                sizes = {name.lower(): value for name, value in self.head["headers"]}
                self.left = int(sizes.get(b"content-length", len(body))) // 2
                await self._to_client(self.head)
                self.head = None
            elif not self.left:
                return
            piece = body[: self.left]
            await self._to_client({"type": message["type"], "body": piece, "more_body": True})
            self.left -= len(piece)
            if not self.left:
                await self._reset(flush=True)

    async def _to_client(self, message: Message) -> None:
        trickle = next(self._of_kind("trickle"), None)
        body: bytes = message.get("body", b"")
        if trickle is None or not body:
            await self.send(message)
            return
        self._note(trickle.text)
        size = max(1, int(trickle.amount) // _TICKS_PER_SECOND)
        for start in range(0, len(body), size):
            if self.connection is not None and self.connection.lost.is_set():
                return
            piece = body[start : start + size]
            await asyncio.sleep(len(piece) / trickle.amount)
            more = message.get("more_body", False) or start + size < len(body)
            await self.send({"type": message["type"], "body": piece, "more_body": more})

    async def _answer(self, status: int, headers: dict[str, str], detail: str) -> None:
        self.seen["status"] = status
        response: Response = JSONResponse({"detail": detail}, status, headers)
        if status in (502, 503, 504):  # a gateway's, which speaks no JSON
            page = f"<html><body><h1>{status}</h1>{detail}</body></html>"
            response = HTMLResponse(page, status, headers)
        await response(self.scope, self.receive, self._to_client)

    async def _wait(self, kind: str) -> None:
        for fault in self._of_kind(kind):
            self._note(fault.text)
            await asyncio.sleep(fault.amount)

    async def _read(self, size: int) -> None:
        more = True
        while size > 0 and more:
            message = await self.receive()
            size -= len(message.get("body", b""))
            more = message.get("more_body", False)

    async def _reset(self, *, flush: bool = False) -> None:
        """Reset the connection, once: whatever the application sends from then on goes nowhere."""
        if self.ending is not None and self._note(self.ending.text):
            await self.connection.reset(flush=flush)

    def _note(self, fault: str) -> bool:
        """Record that a fault happened to this request; False when it had already."""
        if fault in self.noted:
            return False
        self.noted.append(fault)
        self.seen["fault"] = ", ".join(self.noted)
        self.log.append((self.seen["number"], self.seen["route"], fault))
        return True

    def _of_kind(self, *kinds: str) -> Iterator[Fault]:
        return (fault for fault in self.meeting if fault.kind in kinds)


async def _only_from_here(request: Request) -> None:
    """Refuse a caller elsewhere, and one who uses another name (a web page's that points here)."""
    caller = request.client.host if request.client else ""
    if not (is_loopback(caller) and is_loopback(request.url.hostname or "")):
        raise HTTPException(403, "Only from the machine this server runs on.")
