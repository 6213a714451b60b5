"""How far a stage is: asked of DuckDB while it works, a few times a second, by a thread that
changes nothing.

Belongs here: from what DuckDB says of its statements to the part of the stage's work that is done.
Does not: showing it (`bars.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from threading import Event, Lock
from types import TracebackType
from typing import Final, Self

import duckdb

from syndb_pipeline.base.progress import Progress, Unit, Watch

LOOK_SECONDS: Final = 0.25
"""Seconds between two looks."""

NEVER_MORE: Final = 0.99
"""The part of a table, and of all of them, that is done at most before its end: what DuckDB counts
is not all that a stage does.
"""

_MAIN_STATEMENT: Final = 0.8
"""The part of what is left of a table that its next long statement is taken to be. In every step
one statement outweighs the others.
"""


@dataclass
class _Work:
    """A table at work. `behind` is the part that earlier statements were; `part` what is done,
    which never falls; `ends` those of steps.
    """

    connection: duckdb.DuckDBPyConnection
    reach: float
    ends: list[float]
    behind: float = 0.0
    part: float = 0.0
    percent: float = 0.0
    looks: int = 0
    seen: bool = False

    def look(self) -> None:
        """Ask how far the statement is that runs. One that was seen but once was short, and does
        not count.
        """
        self.seen = True
        try:
            percent = self.connection.query_progress()
        except duckdb.ConnectionException:  # closed before its table was done
            percent = -1.0
        if (
            percent < self.percent / 2 or percent < 0
        ):  # another statement; estimates within one fall less
            if self.looks > 1:
                self.behind += self._next()
            self.percent, self.looks = 0.0, 0
        if percent <= 0:
            return
        self.percent, self.looks = percent, self.looks + 1
        if self.looks > 1:
            self.part = max(
                self.part,
                min(NEVER_MORE, self.behind + self._next() * min(1.0, percent / self.reach)),
            )

    def _next(self) -> float:
        """The part of the table that the statement which runs is taken to be."""
        return (self.ends[0] - self.behind) * _MAIN_STATEMENT

    def step(self) -> None:
        """Go on to the next step."""
        self.behind = self.part = self.ends.pop(0)
        self.percent, self.looks = 0.0, 0


class Meter:
    """Reports to `watch` how far a stage is, in rows or bytes. Use as a context manager; without a
    `watch` it does nothing at all.

    `amounts` gives each table's part of the work. `reach` is the percentage at which DuckDB's own
    count of the main statement ends: it counts a positional join's sources as work of their own, of
    which only the first ever moves. `steps` are the parts of a table's work that are done where the
    stage says `step`: for stages with more than one large statement a table. `watch` is called from
    another thread, never twice at a time; what it raises is raised at the end. Nothing is said of
    what failed.
    """

    def __init__(
        self,
        stage: str,
        amounts: Mapping[str, int],
        unit: Unit,
        watch: Watch | None,
        *,
        reach: float = 100.0,
        steps: Sequence[float] = (),
    ) -> None:
        self._stage, self._amounts, self._unit, self._watch = stage, dict(amounts), unit, watch
        self._reach, self._ends = reach, (*steps, 1.0)
        self._total = sum(self._amounts.values())
        self._done = 0  # of tables that are done
        self._found = 0  # of those that took no time: they were taken over, or are small
        self._told = 0
        self._work: dict[str, _Work] = {}
        self._lock = (
            Lock()
        )  # no look at a connection once its table is done, and one event at a time
        self._end = Event()
        self._pool: ThreadPoolExecutor | None = None
        self._looking: Future[None] | None = None

    def __enter__(self) -> Self:
        if self._watch is not None and self._total:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"progress of {self._stage}")
            # Whoever listens may be known by context variables, which a new thread does not have by
            # itself.
            self._looking = self._pool.submit(copy_context().run, self._keep_looking)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is None or self._looking is None:
            return
        self._end.set()
        self._pool.shutdown()
        if kind is None:
            self._looking.result()
            self._tell(self._total)

    @contextmanager
    def table(self, name: str, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """While the stage works on the table `name` with `connection`, which must stay open so
        long. Several may be at work at a time.
        """
        if self._pool is None:
            yield
            return
        # Only so does DuckDB count; it prints nothing.
        connection.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")
        with self._lock:
            self._work[name] = _Work(connection, self._reach, list(self._ends))
        try:
            yield
        finally:
            with self._lock:
                amount = self._amounts.get(name, 0)
                self._done += amount
                self._found += 0 if self._work.pop(name).seen else amount

    def each(self, names: Iterable[str], connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
        """The tables `names`, each at work while the loop's body runs."""
        for name in names:
            with self.table(name, connection):
                yield name

    def step(self, table: str) -> None:
        """Say that the next of `steps` is done for `table`, which is at work."""
        with self._lock:
            if table in self._work:
                self._work[table].step()

    def _keep_looking(self) -> None:
        while not self._end.wait(LOOK_SECONDS):
            with self._lock:
                for work in self._work.values():
                    work.look()
                done = self._done + sum(
                    self._amounts.get(name, 0) * work.part for name, work in self._work.items()
                )
                self._told = max(self._told, int(min(done, self._total * NEVER_MORE)))
                self._tell(self._told)

    def _tell(self, done: int) -> None:
        assert self._watch is not None
        part = ", ".join(self._work)
        self._watch(
            Progress(
                what=self._stage,
                part=part,
                done=done,
                total=self._total,
                unit=self._unit,
                found=min(self._found, done),
            )
        )
