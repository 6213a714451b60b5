"""How far something is that takes its time: the one event of stages and uploads, its pace, and its
words.

Belongs here: what bars and log lines have in common. Does not: measuring (`state/progress.py`,
`destinations/`) or drawing (`bars.py`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from rich.filesize import decimal

Unit = Literal["bytes", "files", "rows"]

LINE_SECONDS: Final = 10.0
"""Seconds between two lines on one thing."""

_PACE_SECONDS: Final = 30.0
"""The pace is that of so many seconds back: long enough to be steady, short enough to notice a
network that slows down.
"""

_CREDIBLE_SECONDS: Final = 5.0
_CREDIBLE_SHARE: Final = 0.01
"""After so many seconds, or so much of the whole, a pace means something; before, the start of the
work and its small parts do.
"""

_SAMPLE_SECONDS: Final = 0.2
"""Events closer together than this say nothing new about the pace."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """`done` of `total`, in `unit`, of `what`; `part` is what of it is at work, e.g. a table. The
    last event says `done` == `total`.

    `found` of what is done took no time: it was there already, or is too little to measure.
    """

    what: str
    done: int
    total: int
    unit: Unit
    part: str = ""
    found: int = 0


Watch = Callable[[Progress], None]
"""Who hears of progress: a bar at a terminal, lines in a log."""


def unwatched(_: Progress) -> None:
    """No progress is wanted."""


class Pace:
    """How fast one thing goes, from its events."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._total = self._left = 0

    def hear(self, event: Progress) -> None:
        now, self._total, self._left = time.monotonic(), event.total, event.total - event.done
        if len(self._seen) > 1 and now - self._seen[-2][0] < _SAMPLE_SECONDS:
            self._seen.pop()
        self._seen.append((now, event.done - event.found))
        while len(self._seen) > 2 and now - self._seen[1][0] > _PACE_SECONDS:
            self._seen.popleft()

    @property
    def rate(self) -> float | None:
        """Units a second; None while that cannot be said."""
        if len(self._seen) < 2:
            return None
        (first, before), (last, done) = self._seen[0], self._seen[-1]
        if done <= before or last <= first:
            return None
        known = last - first >= _CREDIBLE_SECONDS or done - before >= _CREDIBLE_SHARE * self._total
        return (done - before) / (last - first) if known else None

    @property
    def left(self) -> float | None:
        """Seconds until the end at this pace; None while that cannot be said."""
        rate = self.rate
        return self._left / rate if rate else None


def as_lines(say: Callable[[str], None], every: float = LINE_SECONDS) -> Watch:
    """A `Watch` that calls `say` with lines: one every so many seconds, and none of what ends
    sooner.
    """
    paces: dict[str, Pace] = {}
    said: dict[str, float] = {}

    def watch(event: Progress) -> None:
        now = time.monotonic()
        said.setdefault(event.what, now)
        pace = paces.setdefault(event.what, Pace())
        pace.hear(event)
        if now - said[event.what] >= every:
            say(describe(event, pace))
            said[event.what] = now
        if event.done >= event.total:
            del said[event.what], paces[event.what]

    return watch


def describe(event: Progress, pace: Pace | None = None) -> str:
    """One event as a line, e.g. `ingest: synapse, 45 % of 1.2 GB, 45.0 MB/s, 15 s left`."""
    if event.unit == "rows":
        words = [f"{event.done:,} of {event.total:,} rows"]
    else:
        words = [
            f"{100 * event.done // event.total if event.total else 100} % of"
            f" {amount(event.total, event.unit)}"
        ]
    if pace is not None and event.done < event.total:
        words += [f"{amount(round(pace.rate), event.unit)}/s"] if pace.rate else []
        words += [f"{duration(pace.left)} left"] if pace.left is not None else []
    return f"{event.what}: {', '.join([event.part, *words] if event.part else words)}"


def amount(number: int, unit: Unit = "bytes") -> str:
    """A number of bytes, files or rows as a person reads it."""
    return decimal(number) if unit == "bytes" else f"{number:,} {unit}"


def duration(seconds: float) -> str:
    """A time as a person reads it: `43 s`, `12 min`, `3 h 5 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
