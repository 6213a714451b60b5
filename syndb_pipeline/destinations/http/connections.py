"""Connections below every request: whose certificates count, which proxy is used, how long a server
may take in all; and one look at whether a server can be reached.

Belongs here: how a connection is made and read. Does not: what is sent over it, or sent again
(`session.py`).
"""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from socket import gaierror
from typing import Any, Final, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from syndb_pipeline.base.errors import (
    ConfigError,
    DestinationRefused,
    PipelineError,
    Unreachable,
)
from syndb_pipeline.config.addresses import is_loopback
from syndb_pipeline.destinations.http import HttpDestination
from syndb_pipeline.destinations.http.answers import cleaned, host_of, moment_of, status_name

_LONGEST_STEP: Final = 10.0
"""Seconds that each step of `reach` may take at most."""

FAILURES: Final = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.RemoteProtocolError,
)
"""What httpcore raises when a server, or the way to it, is at fault."""

_SMALL: Final = 64 * 1024
"""Bytes up to which pieces of a body are sent together."""

_deadline: Final = threading.local()


@contextmanager
def within(deadline: float) -> Iterator[None]:
    """Let what this thread reads in the block end with a time-out at `deadline` (monotonic).

    Any other time-out starts again with each byte, so a server that sends a header's bytes, or
    `102 Processing`, one at a time would be waited for without end.
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
        left = getattr(_deadline, "at", float("inf")) - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout
        if left != float("inf"):
            timeout = min(left, timeout or left)
        return self._stream.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, *arguments: Any, **options: Any) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(*arguments, **options))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    def connect_tcp(self, *arguments: Any, **options: Any) -> httpcore.NetworkStream:
        return _Stream(super().connect_tcp(*arguments, **options))


def proxy_of(url: str) -> httpx.URL | None:
    """The proxy that the environment names for an address; None between this machine and itself.

    Raises `ConfigError` for one that cannot be used. Its address is not in the message, for that
    may hold a password.
    """
    parts, named = urlsplit(url), getproxies()
    host = parts.hostname or ""
    address = named.get(parts.scheme) or named.get("all")
    if not address or is_loopback(host) or proxy_bypass(host):
        return None
    try:
        proxy = httpx.URL(address if "://" in address else f"http://{address}")
        if proxy.scheme in ("http", "https") and proxy.host:
            return proxy
    except httpx.InvalidURL:
        pass  # raised below: an exception raised in here would carry the address as its context
    raise ConfigError(
        "The environment names a proxy that cannot be used: it is no address, or not that of an "
        "HTTP proxy.",
        next_step="Look at HTTPS_PROXY and ALL_PROXY: write them as http://host:port "
        "(SOCKS is not spoken here).",
    )


def open_pool(
    context: ssl.SSLContext, proxy: httpx.URL | None, *, idle: int = 0
) -> httpcore.ConnectionPool:
    """Connections that believe `context`, through `proxy` if there is one; as many as `idle` are
    kept for another request."""
    options: dict[str, Any] = {
        "ssl_context": context,
        "max_connections": None,
        "max_keepalive_connections": idle,
        "keepalive_expiry": 30,
        "network_backend": _Backend(),
    }
    if proxy is None:
        return httpcore.ConnectionPool(**options)
    user = (proxy.username, proxy.password) if proxy.userinfo else None
    return httpcore.HTTPProxy(_core_url(proxy), proxy_auth=user, **options)


def send(pool: httpcore.ConnectionPool, request: httpx.Request) -> httpcore.Response:
    """The answer to a request, its body still to be read. Raises the exceptions of httpcore."""
    return pool.handle_request(
        httpcore.Request(
            request.method,
            _core_url(request.url),
            headers=request.headers.raw,
            content=_joined(cast(Iterable[bytes], request.stream)),
            extensions=request.extensions,
        )
    )


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces, as each is a packet of its own."""
    small = b""
    for piece in pieces:
        if small and len(small) + len(piece) > _SMALL:
            yield small
            small = b""
        if len(piece) > _SMALL:
            yield piece
        else:
            small += piece
    if small:
        yield small


def _core_url(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )


def certificates() -> ssl.SSLContext:
    """Whose certificates are believed: there is no way to believe all. SSL_CERT_FILE and
    SSL_CERT_DIR name a lab's own authority. Raises `ConfigError`."""
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise ConfigError(
            "The certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read: "
            f"{error.strerror}.",
            next_step="Correct the environment variable, or remove it.",
        ) from None


def unproven(error: BaseException | None, who: str) -> DestinationRefused | None:
    """The refusal of a server whose certificate proves nothing; None for another error."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    if error is None:
        return None
    return DestinationRefused(
        f"{who} does not prove that it is this server: {cleaned(error.verify_message)}. "
        "Nothing was sent.",
        next_step="Look at url in pipeline.yaml and at this machine's clock; for a certificate "
        "authority of your own, set SSL_CERT_FILE.",
    )


def reason_of(error: Exception) -> str:
    """What went wrong on the way, in words."""
    if isinstance(error, httpcore.ConnectTimeout | httpcore.PoolTimeout):
        return "no connection in time"
    if isinstance(error, httpcore.TimeoutException):
        return "it was silent for too long"
    # The number that the system has for an error means nothing to a person, nor does where in
    # OpenSSL's source it was found.
    noise = r"^\[Errno -?\d+\] |^\[SSL: \w+\] | \(_ssl\.c:\d+\)$"
    return re.sub(noise, "", cleaned(str(error))).rstrip(".") or "the connection broke"


# Reaching a server


@dataclass(frozen=True)
class Reached:
    """What a look at a server found. `ahead` is how many seconds its clock is ahead of ours; None
    when it does not say the time."""

    summary: str
    status: int
    ahead: float | None


def reach(settings: HttpDestination) -> Reached:
    """Look up the name, connect, agree on encryption, ask for the address itself, without a token.

    Whatever the server answers, it was reached. Raises `Unreachable`, or `DestinationRefused` for a
    certificate that proves nothing; the message says which of the steps failed, the next step what
    to do about it.
    """
    seconds = min(_LONGEST_STEP, settings.connect_seconds)
    proxy, timeout = proxy_of(settings.url), httpx.Timeout(seconds).as_dict()
    began = time.monotonic()
    try:
        with within(began + 3 * seconds), open_pool(certificates(), proxy) as pool:
            before = datetime.now(UTC)
            request = httpx.Request("GET", settings.url + "/", extensions={"timeout": timeout})
            answer = send(pool, request)
            answer.close()  # its head is enough
    except (httpcore.ProxyError, *FAILURES, httpx.InvalidURL, UnicodeError) as error:
        raise _step_failed(settings.url, proxy, error) from None
    seconds = time.monotonic() - began
    through = f" through the proxy {_where(proxy)}" if proxy else ""
    said = f"answers {status_name(answer.status)}" if answer.status >= 500 else "answers"
    moment = moment_of(httpx.Headers(answer.headers).get("date", ""))
    return Reached(
        f"{host_of(settings.url)} {said}{through} ({seconds * 1000:.0f} ms)",
        answer.status,
        None if moment is None else (moment - before).total_seconds() - seconds / 2,
    )


def _step_failed(url: str, proxy: httpx.URL | None, error: Exception) -> PipelineError:
    """Which step failed: the name, the connection, encryption, or the answer."""
    server = httpx.URL(url)
    host, who = (proxy or server).host, _where(proxy or server)
    if proxy:
        host, who = f"{host}, the proxy,", f"{who}, the proxy,"
    cause = error.__cause__ or error.__context__
    if refusal := unproven(error, f"TLS: {who}"):
        return refusal
    advice = "Look at url in pipeline.yaml: its name, scheme and port, "
    if isinstance(cause, gaierror) or isinstance(error, httpx.InvalidURL | UnicodeError):
        what = f"DNS: the name {host} is not known here"
        advice += "and at this machine's network."
    elif isinstance(cause, ssl.SSLError) or "handshake" in str(error):
        what = f"TLS: {who} takes connections, but not encrypted ones"
        advice += "and whether a proxy is in between."
    elif isinstance(error, httpcore.ConnectError | httpcore.ConnectTimeout):
        what = f"TCP: {who} takes no connection"
        advice += "and whether it runs. A firewall may be in between; HTTPS_PROXY sets a proxy."
    else:
        silent = "takes connections, but does not answer"
        silent = "does not answer through the proxy" if proxy else silent
        what = f"HTTP: {host_of(url)} {silent}"
        advice += "or try later."
    return Unreachable(f"{what} ({reason_of(error)}).", next_step=advice)


def _where(url: httpx.URL) -> str:
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{host}:{url.port or {'http': 80, 'https': 443}[url.scheme]}"
