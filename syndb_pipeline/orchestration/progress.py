"""How far a stage or an upload is, in the run's log; and at the terminal that started the run, when
there is one.

Belongs here: who hears of progress in a Dagster run. Does not: measuring it
(`syndb_pipeline.state.progress`) or its words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from syndb_pipeline.base.progress import Progress, Watch, as_lines

_bar: ContextVar[Watch | None] = ContextVar("_bar", default=None)
"""The bar at the terminal of this process: Dagster builds a run from names alone, so it cannot be
an argument.
"""

_beside_bar: ContextVar[bool] = ContextVar("_beside_bar", default=False)


@contextmanager
def drawn_by(bar: Watch | None) -> Iterator[None]:
    """Inside, runs of this process are drawn by `bar` as well."""
    token = _bar.set(bar)
    try:
        yield
    finally:
        _bar.reset(token)


def shown_by_bar() -> bool:
    """Whether what is being logged just now is what a bar at the terminal shows already."""
    return _beside_bar.get()


def progress_to(log: Callable[[str], None]) -> Watch:
    """A `Watch` that writes lines to `log`, and the bar of this process's terminal."""
    lines, bar = as_lines(log), _bar.get()
    if bar is None:
        return lines

    def watch(event: Progress) -> None:
        bar(event)
        token = _beside_bar.set(True)
        try:
            lines(event)
        finally:
            _beside_bar.reset(token)

    return watch
