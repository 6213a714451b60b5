"""The sandbox as a running server: a socket, uvicorn, and what a person is told at the start.

Belongs here: serving and stopping. Does not: the application (`app.py`) or the command's options
(`connection.py`).
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.config.destination_settings import is_loopback
from syndb_pipeline.sandbox.app import build_app
from syndb_pipeline.sandbox.backend import NODE, Limits
from syndb_pipeline.sandbox.faults import Faults, NodeTamper, ResettableProtocol
from syndb_pipeline.sandbox.objects import Objects
from syndb_pipeline.sandbox.users import (
    DEMO_ACCOUNTS,
    TOKEN_SECONDS,
    Users,
    account_lines,
    folder_secret,
    load_accounts,
)
from syndb_pipeline.state.store import hold, write_atomically

PASSWORD_VARIABLE: Final = "SYNDB_SANDBOX_PASSWORD"
ADDRESS_FILE: Final = "address"
STOP_SECONDS: Final = 600
"""How long a stopping server lets uploads that are being taken in come to their end."""


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
    objects: Callable[[str], Objects] | None = None,
    say: Callable[[str], None] = _print,
) -> None:
    """Serve the sandbox in `folder`, made when it is not there, until SIGTERM or Ctrl+C; then
    finish what is under way and return.

    `port` 0 takes any free one. The address stands in `<folder>/address` while the server answers.
    `faults` are texts of the fault language; `accounts` is a YAML or JSON file, the demo accounts
    without it; their passwords come from it, else from SYNDB_SANDBOX_PASSWORD, else from the
    folder's secret, and are told to `say` with the address. `objects` makes another store of meshes
    and skeletons from the address. Raises `ConfigError` for a host that is not this machine without
    `allow_remote`, a port in use, accounts or faults that cannot be read; `PipelineError` when
    another server holds the folder.
    """
    if not is_loopback(host) and not allow_remote:
        raise ConfigError(
            f"--host {host}: others could reach the sandbox there, and what goes over plain http"
            " can be read on its way.",
            next_step="Leave --host out; or add --allow-remote if that is what you want.",
        )
    folder = folder.expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    known = load_accounts(accounts) if accounts is not None else DEMO_ACCOUNTS
    limits = limits or Limits()
    tamper = NodeTamper(folder / NODE, memory_limit=limits.memory_limit, threads=limits.threads)
    script = Faults(*faults, tamper=tamper)
    with (
        hold(folder / "lock", f"Another sandbox serves {folder}."),
        _listening(host, port) as listener,
    ):
        address = _address(host, listener)
        users = Users(folder, folder_secret(folder), token_seconds=token_seconds)
        passwords = users.add(known, password=os.environ.get(PASSWORD_VARIABLE))
        app = build_app(
            folder,
            address,
            faults=script,
            users=users,
            limits=limits,
            objects=objects(address) if objects is not None else None,
            any_host=not is_loopback(host),
        )
        for line in (
            f"SynDB sandbox at {address}; its data lie in {folder}. Ctrl+C stops it.",
            "Accounts (name, password):",
            *account_lines(known.users, passwords),
            *(f"Fault: {text}" for text in script.texts),
            (
                "For pipeline.yaml; where `destinations:` stands in it already, the last line"
                " alone, below it:"
            ),
            "",
            "destinations:",
            f"  sandbox: {{kind: rest, url: '{address}'}}",
            "",
        ):
            say(line)
        write_atomically(folder / ADDRESS_FILE, address + "\n")
        try:
            _run(uvicorn.Server(server_config(app)), listener)
        finally:
            (folder / ADDRESS_FILE).unlink(missing_ok=True)


def _to_the_last_byte(app: ASGIApp) -> ASGIApp:
    """`app`, given a request's whole body even when the client left after sending it.

    uvicorn forgets the last bytes it holds once the connection is closed, so an upload that had
    arrived would depend on who was faster.
    """

    async def patient(scope: Scope, receive: Receive, send: Send) -> None:
        cycle = getattr(receive, "__self__", None)
        whole = not isinstance(cycle, RequestResponseCycle)

        async def receive_all() -> Message:
            nonlocal whole
            message = await receive()
            if message["type"] == "http.request":
                whole = whole or not message.get("more_body", False)
            elif isinstance(cycle, RequestResponseCycle) and not whole and not cycle.more_body:
                whole = True
                body, cycle.body = bytes(cycle.body), bytearray()
                return {"type": "http.request", "body": body, "more_body": False}
            return message

        await app(scope, receive_all, send)

    return patient


def server_config(app: ASGIApp) -> uvicorn.Config:
    """How uvicorn serves `app`: the sandbox, and what is measured against it."""
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    return uvicorn.Config(
        _to_the_last_byte(app),
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


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    """Run until a signal. uvicorn raises the signal again once it has stopped; that one is
    swallowed here.
    """
    if threading.current_thread() is not threading.main_thread():
        server.run(sockets=[listener])
        return
    before = {each: signal.signal(each, _swallow) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run(sockets=[listener])
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _swallow(number: int, frame: FrameType | None) -> None:
    return None


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


def _address(host: str, listener: socket.socket) -> str:
    name = socket.gethostname() if host in ("0.0.0.0", "::", "") else host
    return f"http://{f'[{name}]' if ':' in name else name}:{listener.getsockname()[1]}"
