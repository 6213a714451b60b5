"""Servers to upload to, each in a process of its own: the sandbox, and a sink that reads a body and
keeps nothing of it.

Belongs here: the sink, starting and stopping. Does not: measuring (`upload.py`).

The sandbox unpacks, checks and merges what it is sent, which takes longer than sending: how fast a
sender is shows against the sink alone.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import uvicorn
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from syndb_pipeline.sandbox.backend import DEMO_ACCOUNTS
from syndb_pipeline.sandbox.serve import ADDRESS_FILE, PASSWORD_VARIABLE, serve, server_config

Kind = Literal["sink", "sandbox"]
KINDS: Final[tuple[Kind, ...]] = ("sink", "sandbox")

ROOT: Final = Path(__file__).resolve().parent.parent
USER: Final = DEMO_ACCOUNTS.users[0].email
_START_SECONDS: Final = 60
_PIECE: Final = bytes(1 << 20)


def own_environment() -> dict[str, str]:
    """The environment for a process of the benchmark: without the settings and secrets of who runs
    it.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("SYNDB_")} | {
        "PYTHONPATH": str(ROOT)
    }


async def sink(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body to its end, then answer as SynDB would: who asks, a token, a form to send files
    with; 204 to all else.

    `/download/<n>` is a file of n bytes.
    """
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message.get("more_body", False)
    path = scope["path"]
    status, content = 204, b""
    if path.endswith("/profile/current"):
        status, content = (
            200,
            json.dumps({"id": "sink", "email": USER, "is_verified": True}).encode(),
        )
    elif path.endswith("/login"):
        status, content = 200, json.dumps({"access_token": "sink", "token_type": "bearer"}).encode()
    elif "/upload_url/" in path:
        host, port = scope["server"]
        form = {"upload_url": f"http://{host}:{port}/objects", "fields": {"key": "${filename}"}}
        status, content = 201, json.dumps(form).encode()
    elif path.startswith("/download/"):
        await _send_zeros(send, int(path.removeprefix("/download/")))
        return
    headers = [(b"content-length", str(len(content)).encode())] if content else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _send_zeros(send: Send, size: int) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", str(size).encode())],
        }
    )
    for start in range(0, size, len(_PIECE)):
        await send(
            {"type": "http.response.body", "body": _PIECE[: size - start], "more_body": True}
        )
    await send({"type": "http.response.body", "body": b""})


@contextmanager
def running(kind: Kind, folder: Path) -> Iterator[tuple[str, SecretStr]]:
    """A server in `folder` for as long as the block lasts: its address, and the password of `USER`.

    Raises `SystemExit` with what the server printed when it does not start.
    """
    folder.mkdir(parents=True)
    password = secrets.token_hex(16)
    environment = own_environment() | {PASSWORD_VARIABLE: password}
    log, address = folder / "server.log", folder / ADDRESS_FILE
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.servers", kind, str(folder)],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until = time.monotonic() + _START_SECONDS
        while not address.is_file():
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(
                    f"the {kind} did not start:\n{log.read_text(errors='replace')[-4000:]}"
                )
            time.sleep(0.02)
        yield address.read_text().strip(), SecretStr(password)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_START_SECONDS)


def main() -> None:
    kind, folder = sys.argv[1], Path(sys.argv[2])
    if kind == "sandbox":
        serve(folder, port=0)
        return
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        part = folder / f"{ADDRESS_FILE}.part"
        part.write_text(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
        part.replace(folder / ADDRESS_FILE)  # whole, or not there
        uvicorn.Server(server_config(sink)).run(sockets=[listener])


if __name__ == "__main__":
    main()
