"""Locks between processes: of one machine by a file, of several by PostgreSQL.

Belongs here: holding a lock, knowing whether it is still held, and whether anybody holds it. Does
not: what is locked.

A lock of PostgreSQL is an advisory lock of a session: it ends with its process, with its machine,
and with the connection to it. So whoever holds one asks before each step that cannot be undone
whether it still does. We learn of a broken connection within some 20 seconds, the server only after
60: another machine gets the lock when this one has stopped.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from syndb_pipeline.base.errors import Busy, ConfigError, PipelineError
from syndb_pipeline.base.progress import Progress, Watch
from syndb_pipeline.config.operating_settings import Locking

_POLL_SECONDS = 0.5
_ASK_SECONDS = 5.0
"""Between two questions during an upload."""

_CONNECTION: Final[dict[str, Any]] = {
    "connect_timeout": 10,
    "application_name": "syndb-pipeline",
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "options": "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3",
}


class _File:
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path, timeout=0)

    def acquire(self) -> bool:
        try:
            self._lock.acquire()
        except Timeout:
            return False
        return True

    def release(self) -> None:
        self._lock.release()


class _Session:
    """A lock of PostgreSQL, by its name."""

    def __init__(self, locking: Locking, name: str) -> None:
        self._name = name
        self._key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        try:
            psycopg2 = import_module("psycopg2")
        except ImportError:
            raise ConfigError(
                "`lock: {kind: postgresql}` needs a library that is not installed.",
                next_step="Install it: pip install 'syndb-pipeline[cluster]'",
            ) from None
        self._trouble = psycopg2.Error
        try:
            self._connection = psycopg2.connect(locking.connection, **_CONNECTION)
        except psycopg2.Error as error:
            raise PipelineError(
                f"The PostgreSQL of `lock` in pipeline.yaml cannot be used: {error}".strip(),
                next_step="Nothing was done. Once it can, give the same command again.",
            ) from None
        self._connection.autocommit = True

    def _ask(self, query: str, *values: object) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchone()[0]

    def acquire(self) -> bool:
        try:
            got = bool(self._ask("SELECT pg_try_advisory_lock(%s)", self._key))
        except self._trouble as error:
            raise PipelineError(f"PostgreSQL gave no lock: {error}".strip()) from None
        if got:
            _held.append(self)
        return got

    def require(self) -> None:
        try:
            self._ask("SELECT 1")
        except self._trouble:
            raise PipelineError(
                f"The connection that held the lock of {self._name} is lost, so another machine may"
                " have taken it up. Stopped before the next step.",
                next_step="Give the same command again: it goes on from what is there.",
            ) from None

    def release(self) -> None:
        if self in _held:
            _held.remove(self)
        with suppress(self._trouble):
            self._connection.close()


_held: list[_Session] = []
"""Those of this process, which may be lost while it runs."""


def require_held() -> None:
    """Before a step that cannot be undone. Raises `PipelineError` when a lock of this process was
    lost.
    """
    for lock in _held:
        lock.require()


def while_held(watch: Watch) -> Watch:
    """`watch`, which also calls `require_held` now and then."""
    asked = time.monotonic()

    def hear(event: Progress) -> None:
        nonlocal asked
        if time.monotonic() - asked > _ASK_SECONDS:
            require_held()
            asked = time.monotonic()
        watch(event)

    return hear


def is_free(locking: Locking, name: str) -> bool:
    """Whether no process of any machine holds the lock of PostgreSQL called `name`."""
    lock = _Session(locking, name)
    try:
        return lock.acquire()
    finally:
        lock.release()


@contextmanager
def hold(
    lock_file: Path,
    message: str,
    *,
    locking: Locking | None = None,
    name: str = "",
    wait: float = 0,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[None]:
    """Hold a lock between processes, which ends with its process.

    Args:
        lock_file: Where it is.
        message: Why it cannot be had, when another process has it.
        locking: Whether another kind of lock is wanted, which is called `name`.
        name: The same on every machine.
        wait: How many seconds to wait for another process.
        say: Hears that it is waited for.

    Raises:
        Busy: Another process has it and does not release it within `wait` seconds.
    """
    several = locking is not None and locking.kind == "postgresql"
    lock = _Session(locking, name) if locking is not None and several else _File(lock_file)
    try:
        if not lock.acquire():
            if wait > 0:
                say(f"{message} Waiting up to {wait:.0f} s for it to end.")
            end = time.monotonic() + wait
            while time.monotonic() < end:
                time.sleep(_POLL_SECONDS)
                if lock.acquire():
                    break
            else:
                waited = f" It did not end within {wait:.0f} s." if wait > 0 else ""
                raise Busy(
                    message + waited,
                    next_step="Wait for it to end, then give the same command again.",
                )
        yield
    finally:
        lock.release()
