"""Lines whose values no single character separates: the whole line in quotation marks, runs of
blanks, names that are too few.

Belongs here: recognising them in a sample of a file's records. Does not: finding a delimiter,
reading (`text.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from syndb_pipeline.readers.headers import JOINTS
from syndb_pipeline.readers.part import cannot_read
from syndb_pipeline.readers.text.lines import Record, Splitter

_HALF: Final = 0.5


def joined_by(value: bytes, width: int | None = None) -> str | None:
    """What separates the values in `value`, a whole line that is one cell: `width` of them, or more
    than one; None where nothing does.
    """
    for mark in JOINTS:
        try:
            count = len(Splitter(mark.encode()).split(value))
        except (ValueError, EOFError):
            continue
        if count == width or (width is None and count > 1):
            return mark
    return None


def check_not_quoted_whole(file: str, sample: Sequence[Record]) -> None:
    """Raise `Unreadable` when each line of `sample` stands in quotation marks as a whole, its
    values and what separates them.
    """
    rows = [record for record in sample if not record.blank]
    if len(rows) < 2 or any(
        record.fault or record.plain or len(record.values) != 1 for record in rows
    ):
        return
    marks = {joined_by(record.values[0]) for record in rows}
    if len(marks) == 1 and (mark := marks.pop()) is not None:
        reason = (
            f"each line as a whole is in quotation marks, so it is one value, although {mark!r}"
            " separates several in it"
        )
        raise cannot_read(
            file,
            reason,
            "Export it again without quotation marks around the lines, or remove them in a text"
            " editor.",
        )


def check_not_aligned(
    file: str, sample: Sequence[Record], mark: str, *, has_header: bool, width: int
) -> None:
    """Raise `Unreadable` when runs of blanks or tabs align the columns of `sample`, read with the
    delimiter `mark` as `width` columns.
    """
    rows = [record for record in sample if not record.blank]
    if mark not in (" ", "\t") and width > 1:
        return
    if any(record.fault or not record.plain for record in rows):
        return
    blank, what = (b"\t", "tabs") if mark == "\t" and width > 1 else (b" ", "blanks")
    lines = [record.raw.strip(blank) for record in rows]
    if not any(blank * 2 in line for line in lines):
        return
    nameless = has_header and width > 1 and any(not name.strip() for name in rows[0].values)
    body = rows[1:] if has_header else rows
    fitting = sum(len(record.values) == width for record in body)
    if width > 1 and fitting == len(body) and not (nameless and what == "blanks"):
        return
    for run in (blank * 2 + b"+", blank + b"+"):
        widths = [len(re.split(run, line)) for line in lines]
        expected = widths[0] if has_header else max(set(widths), key=widths.count)
        share = (
            sum(found == expected for found in widths[1:] if has_header)
            if has_header
            else widths.count(expected)
        )
        if (
            expected > 1
            and share >= max(1, _HALF * len(body))
            and (width == 1 or nameless or share > fitting)
        ):
            reason = f"several {what} stand between its values, and one separator is needed"
            advice = (
                "Export it with a comma or one tab between the values, or replace each run of"
                f" {what} by one tab in a text editor. Where a value is empty, nothing may show it:"
                " look at those lines."
            )
            raise cannot_read(file, reason, advice)
