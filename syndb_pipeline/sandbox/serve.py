"""The sandbox as a running server: a socket, uvicorn, and what a person is shown at the start.

Belongs here: serving and stopping, and what needs the socket: resetting a connection, a limit to a
request's head. Does not: the application (`app.py`), when a reset happens (`faults.py`), or the
command's options.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.destinations.rest import is_loopback
from syndb_pipeline.sandbox.app import build_app
from syndb_pipeline.sandbox.backend import NODE, Backend, Limits, Objects
from syndb_pipeline.sandbox.faults import CONNECTION, Faults, tamper
from syndb_pipeline.sandbox.users import (
    DEMO_ACCOUNTS,
    TOKEN_SECONDS,
    Signer,
    Users,
    account_lines,
    load_accounts,
)
from syndb_pipeline.state.store import hold, write_atomically

PASSWORD_VARIABLE: Final = "SYNDB_SANDBOX_PASSWORD"
ADDRESS_FILE: Final = "address"
STOP_SECONDS: Final = 600
"""How long a stopping server lets uploads that are being taken in come to their end."""

MAX_HEAD: Final = 64 * 1024
"""Bytes of a request's head after its first packet; httptools itself would take any number into
memory."""

FLUSH_SECONDS: Final = 2.0
"""How long a reset waits for bytes under way to reach a client that reads slowly."""


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def serve(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8585,
    allow_remote: bool = False,
    faults: Sequence[str] = (),
    accounts: Path | None = None,
    token_seconds: float = TOKEN_SECONDS,
    limits: Limits | None = None,
    objects: Callable[[], Objects] = Objects,
    log: Callable[[str], None] = _print,
) -> None:
    """Serve the sandbox in `folder` until SIGTERM or Ctrl+C; then finish what is under way.

    Args:
        folder: Made when it does not exist. Its file `address` holds the address while the server
            answers.
        host: What to listen on.
        port: 0 takes any free one.
        allow_remote: Whether `host` may be one that others can reach.
        faults: Texts of the fault language.
        accounts: A YAML or JSON file, the demo accounts without it. Their passwords come from it,
            else from SYNDB_SANDBOX_PASSWORD, else from the folder's secret.
        token_seconds: How long a token is good.
        limits: How much the server takes in.
        objects: Makes another store of meshes and skeletons than the node.
        log: What is called with each line for a person: address, accounts and their passwords.

    Raises:
        ConfigError: A host that is not this machine without `allow_remote`, a port in use, accounts
            or faults that cannot be read.
        PipelineError: Another server holds the folder.
    """
    if not is_loopback(host) and not allow_remote:
        raise ConfigError(
            f"--host {host}: others could reach the sandbox there, and what goes over plain http "
            "can be read on its way.",
            next_step="Leave --host out; or add --allow-remote if that is what you want.",
        )
    folder = folder.expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    known = load_accounts(accounts) if accounts is not None else DEMO_ACCOUNTS
    limits = limits or Limits()
    change = partial(
        tamper, folder / NODE, memory_limit=limits.memory_limit, threads=limits.threads
    )
    script = Faults(change, *faults)
    held = hold(folder / "lock", f"Another sandbox serves {folder}.")
    with held, _listening(host, port) as listener:
        name = socket.gethostname() if host in ("0.0.0.0", "::", "") else host
        name = f"[{name}]" if ":" in name else name
        address = f"http://{name}:{listener.getsockname()[1]}"
        users = Users(folder, Signer(folder), token_seconds=token_seconds)
        passwords = users.add(known, password=os.environ.get(PASSWORD_VARIABLE))
        backend = Backend(folder, address, users, limits, objects())
        app = build_app(backend, script, any_host=not is_loopback(host))
        # What is received goes beside where it will be kept, not to a system's /tmp of little room.
        backend.incoming.mkdir()
        tempfile.tempdir = str(backend.incoming)
        for line in (
            f"SynDB sandbox at {address}; its data are in {folder}. Ctrl+C stops it.",
            "Accounts (name, password):",
            *account_lines(known.users, passwords),
            *(f"Fault: {text}" for text in script.texts),
            "For pipeline.yaml; if it has `destinations:` already, only the last line, below it:",
            "",
            "destinations:",
            f"  sandbox: {{kind: rest, url: '{address}'}}",
            "",
        ):
            log(line)
        write_atomically(folder / ADDRESS_FILE, address + "\n")
        try:
            _run(uvicorn.Server(server_config(app)), listener)
        finally:
            (folder / ADDRESS_FILE).unlink(missing_ok=True)


def server_config(app: ASGIApp) -> uvicorn.Config:
    """How uvicorn serves `app`: the sandbox, and what is measured against it."""
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    return uvicorn.Config(
        app,
        http=ResettableProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,  # its lines would hold the signatures of links
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


class ResettableProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol, found by the application under `CONNECTION`.

    It builds on httptools, which takes a body twice as fast as h11.
    """

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
        """Close the connection with RST, so the client meets "connection reset", no orderly end.

        With `flush`, what was written before goes to the network first; without, what is not there
        yet never will be. Returns when the connection is gone: whatever the application sends from
        then on is thrown away.
        """
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
        # asyncio sets it only on sockets made with a protocol number; else each small answer takes
        # 40 ms.
        with suppress(OSError):
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.cycle is not None and self.cycle.body and not self.cycle.more_body:
            # All of the request is here: it is carried out, although no client waits.
            self.cycle.disconnected = False
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


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    """Run until a signal. uvicorn raises it again once it has stopped; that one is ignored here."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {each: signal.signal(each, lambda *_: None) for each in signals}
    try:
        server.run(sockets=[listener])
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that takes connections from now on. Raises `ConfigError`."""
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(place[:2], family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"--host {host} --port {port}: {reason}.",
            next_step="Give another port; 0 takes any free one.",
        ) from None
    with listener:
        yield listener
