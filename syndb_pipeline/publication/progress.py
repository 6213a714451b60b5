"""Progress told in lines: for logs, for Dagster, and wherever no bar can be drawn.

Belongs here: which of many events are worth a line. Does not: measuring progress (`destinations/`), or drawing bars (`terminal.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from syndb_pipeline.destinations.base import Progress, Watch

LINE_SECONDS = 10.0
"""Seconds between two lines on one thing."""


def as_lines(say: Callable[[str], None], every: float = LINE_SECONDS) -> Watch:
    """A `Watch` that tells `say`: a line every so many seconds."""
    told: dict[str, float] = {}

    def watch(progress: Progress) -> None:
        now = time.monotonic()
        told.setdefault(progress.what, now)
        if now - told[progress.what] >= every:
            say(describe(progress))
            told[progress.what] = now
        if progress.done >= progress.total:
            del told[progress.what]

    return watch


def describe(progress: Progress) -> str:
    """One event as a line, e.g. `package: 45 % of 1.2 GB`."""
    share = 100 * progress.done // progress.total if progress.total else 100
    return f"{progress.what}: {share} % of {amount(progress.total, progress.unit)}"


def amount(number: int, unit: Literal["bytes", "files"] = "bytes") -> str:
    """A number of bytes or of files as a person reads it."""
    if unit != "bytes":
        return f"{number:,} {unit}"
    if number < 1000:
        return f"{number} bytes"
    power = min(4, (len(str(number)) - 1) // 3)
    return f"{number / 1000**power:,.1f} {'kMGT'[power - 1]}B"
