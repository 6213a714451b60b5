"""The HTTP protocol the sandbox is served with: uvicorn's, with a way to reset a connection and a
limit to a request's head.

Belongs here: what ASGI cannot do, because it needs the socket. Does not: deciding when
(`faults.py`).

Serve with `uvicorn.Config(app, http=ResettableProtocol)`. It builds on httptools, which takes a
body twice as fast as h11.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

CONNECTION: Final = "syndb_pipeline.cli.connection"
"""Where a request's ASGI state (`scope["state"]`) holds its `ResettableProtocol`."""

MAX_HEAD: Final = 64 * 1024
"""Bytes of a request's head after its first packet; httptools itself would take any number into
memory.
"""

FLUSH_SECONDS: Final = 2.0
"""How long a reset waits for bytes under way to reach a client that reads slowly."""


class ResettableProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol, found by the application under `CONNECTION`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, CONNECTION: self}, _loop)
        self.lost = asyncio.Event()
        """Set once the connection is closed, whoever closed it."""
        self._in_head = False
        self._head_bytes = 0

    async def reset(self, *, flush: bool = False) -> None:
        """Close the connection with RST instead of FIN, so the client meets "connection reset" and
        not an orderly end.

        With `flush`, what was written before goes to the network first; without, what is not there
        yet never will be. Returns when the connection is gone: whatever the application sends from
        then on is thrown away.
        """
        if self.lost.is_set():
            return
        if flush:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._flushed(), FLUSH_SECONDS)
        with suppress(OSError):  # the client may close first
            self.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        self.transport.abort()
        await self.lost.wait()

    async def _flushed(self) -> None:
        while self.transport.get_write_buffer_size() and not self.lost.is_set():
            await asyncio.sleep(0.01)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio sets it only on sockets made with a protocol number; without it each small answer
        # takes 40 ms.
        with suppress(OSError):
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lost.set()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        began_in_head = self._in_head
        super().data_received(data)
        if began_in_head and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD and not self.transport.is_closing():
                self.send_400_response("The head of the request is too long.")
