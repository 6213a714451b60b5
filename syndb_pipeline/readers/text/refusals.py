"""Lines that are no rows: refused one by one, or because no single character separates the values
of all of them.

Belongs here: recognising such lines, and what to say of them. Does not: finding a delimiter,
reading (`text_files.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from syndb_pipeline.readers import endings
from syndb_pipeline.readers.headers import JOINTS
from syndb_pipeline.readers.part import Part, Places, Problem, RefusedLines, cannot_read
from syndb_pipeline.readers.text import refusals
from syndb_pipeline.readers.text.encoding_guess import UNFINISHED, Evidence, what_is_wrong
from syndb_pipeline.readers.text.lines import Record, Splitter

RAGGED: Final = "SYN-READ-002"
BYTES: Final = "SYN-READ-003"
BLANK: Final = "SYN-READ-011"
QUOTES: Final = "SYN-READ-015"


class Refusals:
    """What is no row of a part, by the rule that says so; `last` is the record seen last when it is
    none, not reported yet.
    """

    def __init__(self, part: Part, scratch: Path) -> None:
        self.part = part
        self.lines = RefusedLines(scratch / "refused.parquet")
        self.places = {
            code: Places(part.file) for code in (RAGGED, BYTES, BLANK, QUOTES, endings.CODE)
        }
        self.last: tuple[Record, str] | None = None
        self._evidence = Evidence(part.returns)
        self._width = len(part.names)
        self._widths: set[int] = set()  # of all records that have values
        self._one_too_many = 0
        self._whole = 0
        self._blanks = b' \t"' + (part.delimiter or "").encode()

    def code_of(self, record: Record) -> str:
        """The rule that `record` breaks; "" when it is a row."""
        if not record.raw.strip(self._blanks) and (record.blank or self._is_empty(record)):
            return BLANK
        if not record.raw.isascii():
            if not is_utf8(record.raw):
                return BYTES
            self._evidence.add_good(record.raw)
        if record.fault:
            return QUOTES
        self._widths.add(len(record.values))
        return "" if len(record.values) == self._width else RAGGED

    @staticmethod
    def _is_empty(record: Record) -> bool:
        """Whether a record is delimiters and blanks alone, as a spreadsheet writes for an empty
        row.
        """
        return len(record.values) > 1 and not any(value.strip(b" \t") for value in record.values)

    def report_last(self, *, ended: bool = True) -> None:
        """Count and keep `last`. It is the file's last line when `ended` is false: that one may
        have been cut off.
        """
        if self.last is None:
            return
        record, code = self.last
        self.last = None
        if code == BLANK:
            self.places[code].add(record.line)
            return
        if not ended and self._is_cut(record, code):
            code = endings.CODE
        if code == BYTES:
            self._evidence.add_bad(record.line, record.raw)
        if code == RAGGED:
            self._one_too_many += (
                len(record.values) == self._width + 1 and not record.values[-1].strip()
            )
            self._whole += (
                len(record.values) == 1
                and not record.plain
                and refusals.joined_by(record.values[0], self._width) is not None
            )
        self.places[code].add(record.line, shown(record))
        self.lines.add(record.line, shown(record), code)

    def _is_cut(self, record: Record, code: str) -> bool:
        if code == BYTES:
            return what_is_wrong(record.line, record.raw).endswith(UNFINISHED)
        if self.part.headerless and len(self._widths) == 1:
            return (
                code == QUOTES
            )  # it has as many values as every other line, so `names` may be wrong
        # Where other lines are broken likewise, the last one need not be cut.
        return not self.places[code].count and (
            code == QUOTES or len(record.values) < len(self.part.names)
        )

    def problems(self) -> list[Problem]:
        announced = "that `names` lists" if self.part.headerless else "the header announces"
        values: dict[str, dict[str, Any]] = {
            RAGGED: {
                "expected": len(self.part.names),
                "announced": announced,
                "advice": self._advice(),
            },
        }
        if self._evidence.first:
            values[BYTES] = self._evidence.values(self.part.table, several=self.part.several)
        values[endings.CODE] = endings.BROKEN_LINE
        return [
            problem
            for code, places in self.places.items()
            for problem in places.problem(code, **values.get(code, {}))
        ]

    def _advice(self) -> str:
        """What to do about lines with too many or too few values."""
        if self._one_too_many and self._one_too_many == self.places[RAGGED].count:
            return (
                "They end with a delimiter that the header does not have. Remove it from the lines,"
                " or add one to the header."
            )
        if self._whole and self._whole == self.places[RAGGED].count:
            return (
                "Each of these lines as a whole is in quotation marks, so it is one value. Remove"
                " the quotation marks around them."
            )
        if len(self._widths) == 1:  # no line is as wide as the header
            (found,) = self._widths
            each = f"{found} value{'' if found == 1 else 's'}"
            if self.part.headerless:
                return (
                    f"Each line has {each} and `names` has {self._width}: give one name for each"
                    " value of a line, in their order."
                )
            if self.places[RAGGED].count > 1 and found == self._width + 1:
                return (
                    "Every row has one value more than there are names, as R's write.table leaves"
                    " them: write the file with row.names = FALSE, or name the first column in the"
                    " file."
                )
            if self.places[RAGGED].count > 1:
                return (
                    f"Each line has {each} and the header has {self._width}: name every column in"
                    " the file, and write every value."
                )
        return (
            f"Quote values that contain the delimiter {self.part.delimiter!r}, and complete or"
            " remove broken lines."
        )


def is_utf8(text: bytes) -> bool:
    """Whether `text` is valid UTF-8."""
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def shown(record: Record) -> str:
    """The text of a record as findings show it."""
    return record.raw.decode("utf-8", "replace")


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
    """Raise `Unreadable` when each line of `sample` is in quotation marks as a whole, its
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
