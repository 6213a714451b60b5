"""Lines of a text file that are no rows, and a last line that seems to be cut off, as that of a
file whose copy or export broke off.

Belongs here: recognising such lines, and what to say of them. Does not: finding a delimiter
(`layout.py`), reading (`text_files.py`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from syndb_pipeline.readers.headers import JOINTS
from syndb_pipeline.readers.part import CUT_OFF, Part, Places, Problem, RefusedLines
from syndb_pipeline.readers.text.encodings import BYTES, Evidence, Setting, stops_inside, utf8_fault
from syndb_pipeline.readers.text.lines import Record, Splitter

RAGGED: Final = "SYN-READ-002"
BLANK: Final = "SYN-READ-011"
QUOTES: Final = "SYN-READ-015"

_AGAIN: Final = "Copy or export it again: rows after this place may be missing."

_SAMPLE_BYTES: Final = 1 << 18
_ENOUGH: Final = 20
"""Values it takes to say what the last column always looks like."""

_MANY_DIGITS: Final = 3
"""Of a thousand numbers picked by chance, one has so many digits fewer than the others."""

_BLOCK: Final = 4096
"""Disks and networks move whole blocks, so a copy that broke off mostly ends with one; chance does
so once in 4096 files.
"""

_BROKEN_NUMBER: Final = re.compile(r"[+-]|[+-]?[0-9]*\.([0-9]*[eE][+-]?)?|[+-]?[0-9]+[eE][+-]?")
_DECIMAL: Final = re.compile(r"[+-]?[0-9]*\.([0-9]+)")
_WORD: Final = re.compile(r"[^\W\d_]{2,}[^\d]*")


class Refusals:
    """What is no row of a part, by the rule that says so."""

    def __init__(self, part: Part, scratch: Path) -> None:
        self.part = part
        self.lines = RefusedLines(scratch / "refused.parquet")
        self.places = {code: Places(part.file) for code in (RAGGED, BYTES, BLANK, QUOTES, CUT_OFF)}
        self._evidence = Evidence(part.returns)
        self._width = len(part.names)
        self._widths: set[int] = set()  # of all records that have values
        self._one_too_many = self._whole = 0
        self._blanks = b' \t"' + (part.delimiter or "").encode()

    def is_row(self, record: Record, *, last: bool) -> bool:
        """Whether `record` is a row; else it is counted and kept. The file's `last` line, where
        nothing ends it, may have been cut off.
        """
        code = self._code_of(record)
        if not code:
            return True
        if code == BLANK:
            self.places[code].add(record.line)
            return False
        if last and self._is_cut(record, code):
            code = CUT_OFF
        elif code == BYTES:
            self._evidence.add(record.line, record.raw)
        elif code == RAGGED:
            values = record.values
            self._one_too_many += len(values) == self._width + 1 and not values[-1].strip()
            self._whole += (
                len(values) == 1 and not record.plain and joined_by(values[0]) is not None
            )
        self.places[code].add(record.line, record.shown)
        self.lines.add(record.line, record.shown, code)
        return False

    def _code_of(self, record: Record) -> str:
        """The rule that `record` breaks; "" when it is a row."""
        # Delimiters and blanks alone are what a spreadsheet writes for an empty row.
        if not record.raw.strip(self._blanks) and (
            record.blank
            or (len(record.values) > 1 and not any(value.strip(b" \t") for value in record.values))
        ):
            return BLANK
        if not record.raw.isascii():
            if utf8_fault(record.raw):
                return BYTES
            self._evidence.is_mixed = True
        if record.fault:
            return QUOTES
        self._widths.add(len(record.values))
        return "" if len(record.values) == self._width else RAGGED

    def _is_cut(self, record: Record, code: str) -> bool:
        if code == BYTES:
            return stops_inside(utf8_fault(record.raw))
        if self.part.headerless and len(self._widths) == 1:
            # It has as many values as every other line, so `names` may be wrong.
            return code == QUOTES
        # Where other lines are broken likewise, the last one need not be cut.
        return not self.places[code].count and (code == QUOTES or len(record.values) < self._width)

    def problems(self) -> list[Problem]:
        by_config = self.part.headerless
        values: dict[str, dict[str, Any]] = {
            RAGGED: {
                "expected": self._width,
                "announced": "that `names` lists" if by_config else "the header announces",
                "advice": self._advice(),
            },
            BYTES: self._evidence.values(Setting("utf-8", self.part.table, self.part.several)),
            CUT_OFF: {
                "reason": "its last line has no end and stops before its last value",
                "advice": _AGAIN,
            },
        }
        return [
            problem
            for code, places in self.places.items()
            for problem in places.problem(code, **values.get(code, {}))
        ]

    def _advice(self) -> str:
        """What to do about lines with too many or too few values."""
        count = self.places[RAGGED].count
        if self._one_too_many == count:
            return (
                "They end with a delimiter that the header does not have. Remove it from the lines,"
                " or add one to the header."
            )
        if self._whole == count:
            return (
                "Each of these lines as a whole is in quotation marks, so it is one value. Remove"
                " the quotation marks around them."
            )
        if len(self._widths) == 1 and (self.part.headerless or count > 1):
            (found,) = self._widths  # no line is as wide as the header
            return (
                f"Each line has {found} value{'' if found == 1 else 's'} and"
                f" {'`names`' if self.part.headerless else 'the header'} has {self._width}: give"
                " one name for each value of a line."
            )
        return (
            f"Quote values that contain the delimiter {self.part.delimiter!r}, and complete or"
            " remove broken lines."
        )


def joined_by(value: bytes) -> str | None:
    """What separates several values in `value`, a whole line that is one cell; None where nothing
    does.
    """
    for mark in JOINTS:
        try:
            if len(Splitter(mark.encode()).split(value)) > 1:
                return mark
        except (ValueError, EOFError):
            continue
    return None


# A last value that is cut off


def has_end(path: Path) -> bool:
    """Whether the last line of the text file at `path` is ended."""
    with path.open("rb") as source:
        source.seek(-1, 2)
        return source.read(1) in (b"\n", b"\r")


def with_broken_value(part: Part, end: bytes, *, as_given: bool) -> Part:
    """`part` with the problem that its last value seems to be cut; unchanged where its last line is
    ended or nothing says so.

    A file whose last line is not ended is common and clean: something else must speak against it.
    `as_given` says that the bytes at `part.path` are those of the lab, so that their number may.
    """
    if has_end(part.path) or not part.rows or not (values := _last_values(part, end)):
        return part
    *others, last = values
    reason, sure = _reason(last, others)
    size = part.path.stat().st_size
    if not reason and as_given and size % _BLOCK == 0:
        reason = f"its size, {size:,} bytes, is a whole number of blocks, as of a broken copy"
    if not reason:
        return part
    places = Places(part.file)
    line = part.first_line + part.rows - 1 + (part.jumps[-1][1] if part.jumps else 0)
    places.add(line, last, part.names[-1])
    found = places.problem(
        CUT_OFF,
        reason=f"its last line has no end, and {reason}",
        advice=f"{_AGAIN} If the file is whole, end its last line with a line break.",
    )
    doubtful = replace(found[0], confidence="possible", severity="warning")
    problem = replace(found[0], confidence="likely") if sure else doubtful
    return replace(part, problems=(*part.problems, problem))


def _last_values(part: Part, end: bytes) -> list[str]:
    """Values of the last column, from the first and the last lines of the file, in order; the
    file's very last value is the last.
    """
    assert part.delimiter is not None
    with part.path.open("rb") as source:
        lines = source.read(_SAMPLE_BYTES).split(end)[part.first_line - 1 :]
        size = source.seek(0, 2)
        if size > _SAMPLE_BYTES:
            source.seek(max(size - _SAMPLE_BYTES, _SAMPLE_BYTES))
            lines = [*lines[:-1], *source.read().split(end)[1:]]
    mark = part.delimiter.encode()
    return [
        line.rstrip(b"\r").rpartition(mark)[2].decode("utf-8", "replace").strip(' "')
        for line in lines
        if line.strip()
    ]


def _reason(last: str, others: Sequence[str]) -> tuple[str, bool]:
    """What says that `last` is only the beginning of a value, and whether that is strong; "" when
    nothing does.
    """
    if _BROKEN_NUMBER.fullmatch(last) and not any(map(_BROKEN_NUMBER.fullmatch, others)):
        return f"{last!r} is the beginning of a number", any(map(str.isdigit, last))
    if len(others) >= _ENOUGH and all(others):
        if not last:
            return "its last value is empty, which no other is", False
        decimals = {len(found[1]) if (found := _DECIMAL.fullmatch(each)) else 0 for each in others}
        least = min(decimals)
        if len(decimals) == 1 and least >= 2 and len(last.partition(".")[2]) < least:
            return f"{last!r} has fewer than the {least} decimals of all other values", True
        lengths = {len(value) for value in others}
        missing = min(lengths) - len(last)
        if len(lengths) == 1 and missing > 0 and min(lengths) >= 4:
            # A number with fewer digits is a number still: 999 after 1000, or one of ten that are
            # picked by chance. Numbers are alike whatever their length.
            is_number = len({re.sub(r"[0-9]+", "0", value) for value in (last, *others)}) == 1
            if not (is_number and _goes_on(last, others)):
                reason = f"{last!r} is shorter than the {min(lengths)} characters of all others"
                return reason, not is_number or missing >= _MANY_DIGITS
        if min(lengths) >= 8 and len(last) * 2 <= min(lengths):
            return f"{last!r} is much shorter than all other values", True
    counts = Counter(others)
    longer = next(
        (
            value
            for value, count in counts.most_common()
            if count > 1 and value != last and value.startswith(last)
        ),
        None,
    )
    if longer and last not in counts and _WORD.fullmatch(longer):
        return f"{last!r} looks like the beginning of {longer!r}", False
    return "", False


def _goes_on(last: str, others: Sequence[str]) -> bool:
    """Whether the number in `last` follows those before it as they follow one another: in steps no
    larger, all up or all down.
    """
    numbers = [int(re.sub(r"[^0-9]", "", value) or 0) for value in (*others[-_ENOUGH:], last)]
    steps = [after - before for before, after in pairwise(numbers)]
    one_way = all(step >= 0 for step in steps) or all(step <= 0 for step in steps)
    return one_way and abs(steps[-1]) <= max(map(abs, steps[:-1]))
