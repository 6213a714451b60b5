"""A server of raw sockets that does exactly what a test says, also what no good server would.

Belongs here: reading requests and answering them by a script. Does not: any assertion.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

MAX_BODY = 1 << 30


@dataclass
class Seen:
    """A request as it arrived; `body` is what came of it, `whole` whether that was all that was
    announced.
    """

    method: str
    target: str
    headers: dict[str, str]
    announced: int
    connection: socket.socket
    body: bytes = b""

    @property
    def whole(self) -> bool:
        return len(self.body) == self.announced

    def read(self, limit: int = MAX_BODY) -> None:
        """Read of the body until it has `limit` bytes, or all of them."""
        pieces = [self.body]
        size = len(self.body)
        while size < min(limit, self.announced):
            piece = self.connection.recv(min(1 << 16, self.announced - size))
            if not piece:
                break
            pieces.append(piece)
            size += len(piece)
        self.body = b"".join(pieces)

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def reset(self) -> None:
        """Close with RST."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


Reply = Callable[[Seen], None]


def answer(status: int, body: bytes = b"", **headers: str) -> Reply:
    """Read the whole request, then answer it."""
    lines = {
        "content-length": str(len(body)),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }

    def reply(seen: Seen) -> None:
        seen.read()
        head = f"HTTP/1.1 {status} Told\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in lines.items()
        )
        seen.send(head.encode() + b"\r\n" + body)

    return reply


def drop(seen: Seen) -> None:
    """Read the whole request and close without an answer."""
    seen.read()
    seen.reset()


@dataclass
class Server:
    """Answers the n-th request with the n-th of `script`, all further ones with the last. `seen`
    are the requests, in order.
    """

    script: list[Reply]
    context: ssl.SSLContext | None = None
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._open = True
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False
        self._socket.close()

    @property
    def url(self) -> str:
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while self._open:
            with suppress(OSError):
                connection, _ = self._socket.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            if self.context is not None:
                connection = self.context.wrap_socket(connection, server_side=True)
            with connection:
                while connection.fileno() != -1 and (seen := self._request(connection)) is not None:
                    with self._lock:
                        self.seen.append(seen)
                        reply = self.script[min(len(self.seen), len(self.script)) - 1]
                    reply(seen)

    @staticmethod
    def _request(connection: socket.socket) -> Seen | None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(1 << 16)
            if not piece:
                return None
            head += piece
        head, _, rest = head.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        return Seen(
            method, target, headers, int(headers.get("content-length", 0)), connection, rest
        )


def certified(folder: Path, host: str = "127.0.0.1", days: int = 9) -> ssl.SSLContext:
    """A server's side of TLS with a certificate for `host` that no authority signed, good for so
    many days; it is `folder`/cert.pem."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 1, now - timedelta(days=9), now + timedelta(days=days)
    )
    extensions: list[x509.ExtensionType] = [
        x509.SubjectAlternativeName(
            [x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host)]
        ),
        x509.BasicConstraints(ca=True, path_length=None),
    ]
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    signed = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "cert.pem").write_bytes(signed)
    (folder / "both.pem").write_bytes(private + signed)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context
