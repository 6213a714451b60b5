"""How much a file may hold before it is refused, and why so much; what is said of a refusal.

Belongs here: limits that formats share, each with the fact it rests on. Does not: looking at files
(`guard.py`, the formats).
"""

from __future__ import annotations

from typing import Final

from syndb_pipeline.readers.part import Problem, Unreadable, cannot_read
from syndb_pipeline.readers.text.lines import MAX_LINE_BYTES

MAX_COLUMNS: Final = 4_096
"""Columns of one table. SynDB's widest has fewer than 40; programs that measure everything they can
write about 3,000.
"""

BOMB_BYTES: Final = 100_000_000
"""Compressed data may hold this much whatever their ratio: it is read in a second and does no
harm.
"""

BOMB_RATIO: Final = 200
"""Beyond `BOMB_BYTES`: bytes for each compressed one. Tables of measurements reach 3 to 20, one
with the same number in every cell about 50, and what deflate makes of zeros 1,032.
"""

UNPACK: Final = (
    "Unpack it yourself if you trust it, see what it holds, and give the table as .csv or .parquet."
)


def refused(file: str, reason: str, advice: str) -> Unreadable:
    """`Unreadable` by SYN-READ-019: `reason` completes "... was refused unread:", `advice` says
    what to do.
    """
    return Unreadable(Problem("SYN-READ-019", file, values={"reason": reason, "advice": advice}))


def line_too_long(file: str, number: int) -> Unreadable:
    """`Unreadable` for a file whose line `number`, from 1, is no line of a table."""
    reason = f"line {number:,} is longer than {MAX_LINE_BYTES:,} bytes"
    return cannot_read(
        file,
        reason,
        "Check that it is a table of delimited text whose lines are ended, and export it again.",
    )


def too_many_columns(file: str, count: int) -> Unreadable:
    """`Unreadable` for a file with more than `MAX_COLUMNS` columns."""
    advice = (
        "Export the columns that SynDB is to have; if rows and columns changed places, turn the"
        " table round."
    )
    return refused(
        file, f"it has {count:,} columns, and no more than {MAX_COLUMNS:,} are read", advice
    )
