"""The httpx client below every request: whose certificates it believes, through which proxies it
goes, and how long it waits in all.

Belongs here: how a connection is made and read. Does not: what is sent over it, or sent again
(`http.py`).
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpcore
import httpx

from syndb_pipeline.base.errors import ConfigError

_deadline: Final = threading.local()


@contextmanager
def within(deadline: float) -> Iterator[None]:
    """Let what this thread reads in the block end with a time-out at `deadline` (monotonic),
    however little comes how often.

    httpx starts its time-out anew with each byte, so a server that sends a header's bytes, or `102
    Processing`, one at a time would be waited for without end.
    """
    _deadline.at = deadline
    try:
        yield
    finally:
        del _deadline.at


class _Stream(httpcore.NetworkStream):
    """A connection whose reading ends at the deadline."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        at = getattr(_deadline, "at", None)
        if at is not None:
            left = at - time.monotonic()
            if left <= 0:
                raise httpcore.ReadTimeout
            timeout = left if timeout is None else min(timeout, left)
        return self._stream.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(super().connect_tcp(host, port, timeout, local_address, socket_options))


def open_client(context: ssl.SSLContext, *, proxies: bool, **options: Any) -> httpx.Client:
    """A client that believes `context` and follows no redirect; with `proxies`, it goes through
    those the environment names.

    Raises `ConfigError` when the environment names one that cannot be used.
    """
    try:
        client = httpx.Client(verify=context, trust_env=proxies, follow_redirects=False, **options)
    except (
        ImportError,
        ValueError,
        httpx.InvalidURL,
    ):  # an unknown scheme, SOCKS without its package, an address that is none
        pass  # raised below, without their words
    else:
        # httpx has no word for it in public; `test_hostile_server.py` sees to it that it holds.
        for transport in (client._transport, *client._mounts.values()):
            if isinstance(transport, httpx.HTTPTransport):
                transport._pool._network_backend = _Backend()
        return client
    raise unusable_proxy()


def unusable_proxy() -> ConfigError:
    """Its address is not in it, for that may hold a password."""
    return ConfigError(
        "The environment names a proxy that cannot be used: it is no address, or not that of an"
        " HTTP proxy.",
        next_step=(
            "Look at HTTPS_PROXY, ALL_PROXY and NO_PROXY: write proxies as http://host:port (SOCKS"
            " is not spoken here), and exceptions as names or addresses with commas between."
        ),
    )


def certificates() -> ssl.SSLContext:
    """Whose certificates are believed: there is no way to believe all. SSL_CERT_FILE and
    SSL_CERT_DIR name a lab's own authority.

    Raises `ConfigError`.
    """
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise ConfigError(
            "The certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read:"
            f" {error.strerror}.",
            next_step="Correct the environment variable, or remove it.",
        ) from None
