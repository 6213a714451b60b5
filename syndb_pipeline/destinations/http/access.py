"""The token that is sent to a server: looked up, renewed by a log-in or by a refresh token.

Belongs here: when a token is renewed, by how many at a time. Does not: where secrets are kept
(`credentials.py`), an interface's routes.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Final

from filelock import FileLock, Timeout
from pydantic import SecretStr

from syndb_pipeline.base.errors import Busy, Unreachable
from syndb_pipeline.destinations.http import HttpDestination
from syndb_pipeline.destinations.http.credentials import Credentials, credentials_file, find, kept

_EXCHANGE_SECONDS: Final = 120.0

Exchange = Callable[[SecretStr], tuple[SecretStr, SecretStr]]
"""Gives a new token and what renews it for a refresh token, which is spent by that."""


class Access:
    """The token for a server. Nothing is looked up before it is needed. Threads share it."""

    def __init__(
        self,
        destination: str,
        server: HttpDestination,
        log: Callable[[str], None],
        log_in: Callable[[str, SecretStr], SecretStr],
        exchange: Exchange | None = None,
    ) -> None:
        self._destination = destination
        self._server = server
        self._log = log
        self._log_in = log_in
        self._exchange = exchange
        self._lock = threading.Lock()
        self.use(None)

    def use(self, token: SecretStr | None) -> None:
        """Take this token instead of what is kept; None: what is kept again."""
        with self._lock:
            self._asked = token is not None
            self._found = Credentials(token=token, source="given") if token else None

    def token(self) -> SecretStr | None:
        """The token; with a name and a password and no token yet, one that a log-in gives. None
        when there is nothing to log in with."""
        with self._lock:
            if not self._asked:
                self._found = find(self._destination, self._server, log=self._log)
                self._asked = True
            if self._found and self._found.token is None:
                self._renew(self._found)
            return self._found.token if self._found else None

    def renew(self, refused: SecretStr | None) -> bool:
        """Whether there is another token than the `refused` one: another thread's or process's, or
        that of a new log-in."""
        with self._lock:
            found = self._found
            if found is not None and found.token == refused and found.password is not None:
                self._log(
                    f"{self._destination} does not take the token any more; "
                    f"logging in again as {found.username}"
                )
                self._renew(found)
            elif (
                found is not None
                and found.token == refused
                and found.source in ("keyring", "file")
                and self._exchange is not None
            ):
                self._found = exchanged(found, self._server.origin, self._exchange, self._log)
            return self._found is not None and self._found.token != refused

    def _renew(self, found: Credentials) -> None:
        assert found.username is not None and found.password is not None
        token = self._log_in(found.username, found.password)
        self._found = found.renewed(self._server.origin, token, log=self._log)


def exchanged(
    refused: Credentials, origin: str, exchange: Exchange, log: Callable[[str], None]
) -> Credentials:
    """What is kept for `origin` now, where `refused` is no longer good: what another process has
    renewed meanwhile, else what `exchange` gives for the refresh token.

    A server ends the whole log-in when it sees a refresh token twice. So one process at a time
    gets here, and the token is taken out of where it is kept before it is used: whoever finds
    none, as after a crash in between, has to log in again. It goes back only when `exchange`
    raises `Unreachable`, which says that the server did not get it.

    Raises `Busy` while another process is at it for long, `ConfigError` as `find` does, and
    what `exchange` raises. Returns `refused` when there is nothing to renew it with.
    """
    path = credentials_file().resolve()
    name = hashlib.sha256(origin.encode()).hexdigest()[:16]
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with FileLock(
            path.with_name(f"{path.name}.{name}.lock"), timeout=_EXCHANGE_SECONDS, mode=0o600
        ):
            found = kept(origin, log=log)
            if found is None or found.username != refused.username:
                return refused  # somebody logged out, or in as another user
            if found.token != refused.token or found.refresh is None:
                return found
            spent = found.model_copy(update={"refresh": None})
            if not found.keep(spent, origin, log):
                return refused
            try:
                token, refresh = exchange(found.refresh)
            except Unreachable:
                spent.keep(found, origin, log)
                raise
            new = spent.model_copy(update={"token": token, "refresh": refresh})
            return spent.kept_as(new, origin, log)
    except Timeout:
        raise Busy(
            f"Another process is renewing the log-in at {origin}.",
            next_step="Give the same command again in a while.",
        ) from None
