"""The sandbox as a running server: SynDB's published REST contract over an embedded node, a socket,
uvicorn, and what a person is shown at the start.

Belongs here: putting the parts together, what holds for every request, serving and stopping, and
what needs the socket: resetting a connection, a limit to a request's head. Does not: any route's
work, when a reset happens (`faults.py`), or the command's options.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from syndb_pipeline.base.errors import ConfigError, NotPermitted, PipelineError, UnknownDataset
from syndb_pipeline.config.addresses import is_loopback
from syndb_pipeline.config.yaml_file import read_yaml, validated
from syndb_pipeline.sandbox import files, metadata, profile
from syndb_pipeline.sandbox import v1 as generation_2
from syndb_pipeline.sandbox.backend import (
    DEMO_ACCOUNTS,
    NODE,
    TOKEN_SECONDS,
    Accounts,
    Backend,
    Limits,
    Users,
    without_paths,
)
from syndb_pipeline.sandbox.fault_script import tamper
from syndb_pipeline.sandbox.faults import CONNECTION, Faults
from syndb_pipeline.sandbox.files import S3Error
from syndb_pipeline.state.locks import hold
from syndb_pipeline.state.store import write_atomically

PASSWORD_VARIABLE: Final = "SYNDB_SANDBOX_PASSWORD"
ADDRESS_FILE: Final = "address"
STOP_SECONDS: Final = 600
"""How long a stopping server lets uploads that are being taken in come to their end."""

MAX_HEAD: Final = 64 * 1024
"""Bytes of a request's head after its first packet; httptools itself would take any number into
memory."""

FLUSH_SECONDS: Final = 2.0
"""How long a reset waits for bytes under way to reach a client that reads slowly."""


BODY_BYTES: Final = 1_000_000
"""Bytes of a body that is no file; a dataset's metadata are a few thousand."""

_FORM_SLACK: Final = 200_000
"""Bytes of a form beside its file."""


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
    v1: bool = False,
    v1_upload: bool = False,
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
        v1: Whether it speaks generation 2 (`v1.py`) in place of the published contract.
        v1_upload: The same, with a route that takes tables.
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
    known = validated(read_yaml(accounts), Accounts) if accounts is not None else DEMO_ACCOUNTS
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
        users = Users(folder, token_seconds)
        passwords = users.add(known, os.environ.get(PASSWORD_VARIABLE))
        backend = Backend(folder, address, users, limits)
        v1 = v1 or v1_upload
        api = build_api(script, limits, v1=v1, v1_upload=v1_upload)
        app = build_app(backend, script, api, any_host=not is_loopback(host))
        kind = "syndb_v1" if v1 else "rest"
        # What is received goes beside where it will be kept, not to a system's /tmp of little room.
        backend.incoming.mkdir()
        tempfile.tempdir = str(backend.incoming)
        for line in (
            f"SynDB sandbox at {address}; its data are in {folder}. Ctrl+C stops it.",
            "Accounts (name, password):",
            *_account_lines(known, passwords),
            *(f"Fault: {text}" for text in script.texts),
            "For pipeline.yaml; if it has `destinations:` already, only the last line, below it:",
            "",
            "destinations:",
            f"  sandbox: {{kind: {kind}, url: '{address}'}}",
            "",
        ):
            log(line)
        write_atomically(folder / ADDRESS_FILE, address + "\n")
        try:
            _run(uvicorn.Server(server_config(app)), listener)
        finally:
            (folder / ADDRESS_FILE).unlink(missing_ok=True)


def _account_lines(accounts: Accounts, passwords: Mapping[str, str]) -> Iterator[str]:
    """A line for each account, with its password."""
    width = max(map(len, passwords))
    for each in accounts.users:
        rights = ["verified" if each.verified else "not verified"]
        rights += ["superuser"] * each.superuser
        if each.groups:
            rights.append(f"in {', '.join(each.groups)}")
        yield f"  {each.email:<{width}}  {passwords[each.email]}  {', '.join(rights)}"


# The application


def build_api(
    faults: Faults, limits: Limits, *, v1: bool = False, v1_upload: bool = False
) -> FastAPI:
    """The routes, and what answers when one refuses. `v1` and `v1_upload` as for `serve`."""
    api = FastAPI(
        title="SynDB sandbox",
        version="v1" if v1 else "0.7.2",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would go to whatever host the request named
        max_body_size=BODY_BYTES,
    )

    @api.get("/")
    async def root() -> dict[str, str]:
        return {"name": "SynDB sandbox", "contract": "v1" if v1 else "syndb-api-client 0.7.2"}

    routers = generation_2.ROUTERS if v1 else (profile.router, metadata.router, files.router)
    large = [(files.uploads, limits.upload_bytes), (files.objects, limits.object_bytes)]
    if v1:
        large = [(generation_2.tables, limits.upload_bytes)] if v1_upload else []
    for router in (*routers, faults.router()):
        api.include_router(router)
    for router, most in large:
        api.include_router(router, max_body_size=most + _FORM_SLACK)
    for error, handler in (_HANDLERS | (generation_2.HANDLERS if v1 else {})).items():
        api.add_exception_handler(error, handler)
    return api


def build_app(backend: Backend, faults: Faults, api: FastAPI, *, any_host: bool = False) -> ASGIApp:
    """The sandbox as an application, to be served by `serve.ResettableProtocol`.

    Args:
        backend: What it serves; what a server that was killed left there is removed.
        faults: What goes wrong, as a middleware around everything else.
        api: The routes.
        any_host: Whether a request may call the server by any name. Otherwise by the name in its
            address, or by one of this machine's when that is one: a web page elsewhere that
            points its own name here gets nothing.
    """
    for left in ("incoming", "outgoing"):
        shutil.rmtree(backend.folder / left, ignore_errors=True)
    api.state.backend = backend
    own = urlsplit(backend.address).hostname or ""
    names = [own, *(("localhost", "127.0.0.1", "::1", "[::1]") if is_loopback(own) else ())]
    hosts = ["*"] if any_host else names
    return faults.around(TrustedHostMiddleware(api, allowed_hosts=hosts, www_redirect=False))


async def _on_invalid(_: Request, error: Any) -> Response:
    """422 as `HTTPValidationError` has it, without what was sent."""
    found = [{key: each[key] for key in ("loc", "msg", "type")} for each in error.errors()[:100]]
    # In ASCII, for a lone surrogate in a key that was sent could not be written otherwise.
    return Response(json.dumps({"detail": found}), 422, media_type="application/json")


async def _on_s3_error(_: Request, error: Any) -> Response:
    return Response(error.body, error.status, media_type="application/xml")


async def _on_refused(request: Request, error: Any) -> Response:
    """What the node refuses: `DatasetErrorModel` where it is about a dataset, else words."""
    detail: Any = without_paths(error.message)
    status = {NotPermitted: 403, UnknownDataset: 404}.get(type(error), 500)
    if status == 403:
        detail = "This dataset belongs to somebody else."
    if status == 404:
        detail = "There is no such dataset."
    if status < 500 and "dataset_id" in request.path_params:
        detail = {"message": detail, "dataset_id": request.path_params["dataset_id"]}
    return JSONResponse({"detail": detail}, status)


async def _on_mistake(_: Request, error: Any) -> Response:
    """A mistake of ours: nothing of its inside goes out. The server's log has it."""
    return JSONResponse(
        {"detail": "The sandbox failed in a way it should not; its log says how."},
        500,
        {"connection": "close"},
    )


_HANDLERS: Final[dict[type[Exception], Any]] = {
    RequestValidationError: _on_invalid,
    S3Error: _on_s3_error,
    PipelineError: _on_refused,
    Exception: _on_mistake,
}


# The server


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
