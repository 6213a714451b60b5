"""Progress drawn as a bar at a terminal, one at a time, with every other line above it.

Belongs here: what a bar shows, and when there is one. Does not: measuring, or what is logged where
there is no bar (`progress.py`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from rich.filesize import pick_unit_and_suffix

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
"""Seconds between two drawings at least: there may be thousands of events on small files."""


class Bars:
    """What draws progress at a terminal.

    There is a bar only while something is under way, and it leaves nothing behind.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._what = ""
        self._pace = Pace()
        self._bar: Drawn | None = None
        self._next = 0.0  # when the bar may be drawn again

    def watch(self, event: Progress) -> None:
        """Draw `event`. Its last takes the bar away."""
        if event.done >= event.total or event.what != self._what:
            self.clear()  # what broke off sends no last event
        if event.done >= event.total:
            return
        now = time.monotonic()
        if not self._what:
            self._what, self._pace, self._next = event.what, Pace(), now + _PATIENCE_SECONDS
        self._pace.hear(event)
        if now < self._next:
            return
        self._next = now + _DRAW_SECONDS
        if self._bar is None:
            self._bar = _bar(self._console)
            self._bar.add_task("", amount="", rate="", left="")
            self._bar.start()
        left = self._pace.left
        what = "package" if event.what.endswith(".tar") else event.what
        self._bar.update(
            self._bar.task_ids[0],
            description=f"{f'{what} {event.part}'.strip():<{_DESCRIPTION}}",
            completed=event.done,
            total=event.total,
            amount=_share(event),
            rate=_rate(self._pace.rate, event.unit),
            left="-:--:--" if left is None else str(timedelta(seconds=round(left))),
        )
        self._bar.refresh()

    def say(self, line: str) -> None:
        """Print `line` above the bar."""
        self._console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def clear(self) -> None:
        """Take the bar away."""
        self._what, bar = "", self._bar
        self._bar = None
        if bar is not None:
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

    described = TextColumn(
        "  {task.description}",
        markup=False,
        table_column=Column(no_wrap=True, max_width=_LONGEST),
    )
    figures = [
        TextColumn(
            f"{{task.fields[{field}]}}",
            justify="right",
            table_column=Column(min_width=width, no_wrap=True, justify="right"),
        )
        for field, width in (("amount", 16), ("rate", 9), ("left", 7))
    ]
    return Drawn(
        described,
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4, max_width=30)),
        *figures,
        console=console,
        transient=True,
        expand=True,
        auto_refresh=False,
        redirect_stdout=False,  # what is printed there may go to no terminal
    )


def _scaled(number: float, unit: Unit) -> tuple[int, str]:
    """The thousands in which `number` is shown, and their letter, e.g. `M` or `MB`."""
    scale, letter = pick_unit_and_suffix(int(number), ["", "k", "M", "G", "T"], 1000)
    return scale, f"{letter}B" if unit == "bytes" else letter


def _share(event: Progress) -> str:
    """Done and total in one unit, e.g. `4.5/23.9 M rows`."""
    if event.unit != "bytes" and event.total < 10_000:
        return f"{event.done:,}/{event.total:,} {event.unit}"
    scale, letter = _scaled(event.total, event.unit)
    # Rounded down: what is not done must not look as if it were.
    done, total = (
        str(number) if scale == 1 else f"{number * 10 // scale / 10:.1f}"
        for number in (event.done, event.total)
    )
    return f"{done}/{total} {letter}{'' if event.unit == 'bytes' else f' {event.unit}'}"


def _rate(rate: float | None, unit: Unit) -> str:
    if not rate:
        return ""
    scale, letter = _scaled(rate, unit)
    digits = 0 if rate >= 100 * scale or scale == 1 else 1
    return f"{rate / scale:.{digits}f} {letter}".rstrip() + "/s"
