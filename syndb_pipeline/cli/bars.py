"""Progress drawn as a bar at a terminal, one at a time, with every other line above it.

Belongs here: what a bar shows, and when there is one. Does not: measuring, or what is told where
nobody sees a bar (`progress.py`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from syndb_pipeline.base.progress import Pace, Progress, Unit

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Drawn

_DESCRIPTION: Final = 26
"""Characters kept for what is at work, so that the bar stays where it is from table to table."""

_LONGEST: Final = 38
"""Characters it may take at most: those of the longest names of a stage and of a table."""

_PATIENCE_SECONDS: Final = 0.5
"""What ends sooner gets no bar: it would only flicker."""

_DRAW_SECONDS: Final = 0.1
"""Seconds between two drawings at least."""


class Bars:
    """What listens to progress at a terminal. A bar stands only while something is under way, and
    leaves nothing behind.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._drawn: dict[str, Drawn] = {}
        self._paces: dict[str, Pace] = {}
        self._next = 0.0  # when the bar may be drawn again

    def watch(self, event: Progress) -> None:
        """Draw `event`. Its last takes the bar away."""
        if event.done >= event.total:
            self._take_away(event.what)
            return
        if event.what not in self._paces:
            self.clear()  # what broke off says no last word
            self._paces[event.what], self._next = Pace(), time.monotonic() + _PATIENCE_SECONDS
        pace = self._paces[event.what]
        pace.hear(event)
        if not self._due():
            return
        if event.what not in self._drawn:
            self._drawn[event.what] = _bar(self._console)
            self._drawn[event.what].start()
        bar = self._drawn[event.what]
        what = "package" if event.what.endswith(".tar") else event.what
        words = f"{what} {event.part}".strip()
        shown: dict[str, Any] = {
            "description": f"{words:<{_DESCRIPTION}}",
            "completed": event.done,
            "amount": _share(event),
            "rate": _rate(pace.rate, event.unit) if pace.rate else "",
            "left": _clock(pace.left),
        }
        if bar.task_ids:
            bar.update(bar.task_ids[0], **shown)
        else:
            bar.add_task(total=event.total, **shown)
        bar.refresh()

    def _due(self) -> bool:
        """Whether the bar may be drawn anew. Small files are told of by the thousand."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _DRAW_SECONDS
        return True

    def say(self, line: str) -> None:
        """Print `line` above the bar."""
        self._console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def clear(self) -> None:
        for what in list(self._paces):
            self._take_away(what)

    def _take_away(self, what: str) -> None:
        self._paces.pop(what, None)
        if (bar := self._drawn.pop(what, None)) is not None:
            bar.stop()


@contextmanager
def bars() -> Iterator[Bars | None]:
    """What draws on standard error; None where that is no terminal, or one that cannot take a line
    back.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_dumb_terminal:
        yield None
        return
    drawing = Bars(console)
    try:
        yield drawing
    finally:
        drawing.clear()


def _bar(console: Console) -> Drawn:
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Drawn
    from rich.table import Column

    def text(field: str, width: int) -> TextColumn:
        return TextColumn(
            f"{{task.fields[{field}]}}",
            justify="right",
            table_column=Column(min_width=width, no_wrap=True, justify="right"),
        )

    described = TextColumn(
        "  {task.description}", markup=False, table_column=Column(no_wrap=True, max_width=_LONGEST)
    )
    return Drawn(
        described,
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4, max_width=30)),
        text("amount", 16),
        text("rate", 9),
        text("left", 7),
        console=console,
        transient=True,
        expand=True,
        auto_refresh=False,
        # what is printed there is for whoever reads it, and it may be no terminal
        redirect_stdout=False,
    )


def _share(event: Progress) -> str:
    """Done and total in one unit, e.g. `4.5/23.9 M rows`."""
    if event.unit == "bytes" or event.total >= 10_000:
        done, total = _short(event.done, event.total), _short(event.total, event.total)
        unit = "" if event.unit == "bytes" else f" {event.unit}"
        return f"{done}/{total} {_scale(event.total, event.unit)}{unit}"
    return f"{event.done:,}/{event.total:,} {event.unit}"


def _short(number: float, like: float) -> str:
    """`number` in the scale of `like`, rounded down: what is not done must not look as if it
    were.
    """
    power = _power(like)
    shown = number / 1000**power
    return f"{int(shown * 10) / 10:.1f}" if power else f"{int(shown)}"


def _rate(rate: float, unit: Unit) -> str:
    shown = rate / 1000 ** _power(rate)
    digits = f"{shown:.0f}" if shown >= 100 or rate < 1000 else f"{shown:.1f}"
    return f"{digits} {_scale(rate, unit)}".rstrip() + "/s"


def _scale(number: float, unit: Unit) -> str:
    return f"{' kMGT'[_power(number)]}{'B' if unit == 'bytes' else ''}".strip()


def _power(number: float) -> int:
    """How many times a thousand goes into `number`."""
    return min(4, (len(str(int(number))) - 1) // 3)


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "-:--:--"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
