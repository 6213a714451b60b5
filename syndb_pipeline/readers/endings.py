"""Whether a file stops before its end, as one does whose copy or export broke off.

Belongs here: the evidence, read from the file's last bytes and a sample of its lines. Does not:
refusing lines (`text.py`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final

from syndb_pipeline.readers.part import Part, Places, Problem, Unreadable
from syndb_pipeline.rules.finding import Confidence

CODE: Final = "SYN-READ-018"
_AGAIN: Final = "Copy or export it again: rows after this place may be missing."

BROKEN_LINE: Final = {
    "reason": "its last line has no end and stops before its last value",
    "advice": _AGAIN,
}
"""What a problem of this rule says about a line that was refused for it."""

_SAMPLE_BYTES: Final = 1 << 18
_ENOUGH: Final = 20
"""Values it takes to say what the last column always looks like."""

_MANY_DIGITS: Final = 3
"""Of a thousand numbers picked by chance, one has so many digits fewer than the others."""

_BLOCK: Final = 4096
"""Disks and networks move whole blocks, so a copy that broke off mostly ends with one; chance does
so once in 4096 files.
"""

_BROKEN_NUMBER: Final = re.compile(
    r"[+-]|[+-]?[0-9]*\.[0-9]*[eE][+-]?|[+-]?[0-9]+[eE][+-]?|[+-]?[0-9]*\."
)
_WORD: Final = re.compile(r"[^\W\d_]{2,}[^\d]*")


def stops_early(file: str, reason: str) -> Unreadable:
    """`Unreadable` by SYN-READ-018 for a file whose format says where it ends: `reason` completes
    "... in the middle:".
    """
    return Unreadable(
        Problem(
            CODE,
            file,
            values={
                "reason": reason,
                "advice": "Copy it again from its source, or write it again.",
            },
        )
    )


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
    assert part.delimiter is not None
    if has_end(part.path):
        return part
    values = _last_values(part, end)
    if not values or not part.rows:
        return part
    last, others = values[-1], values[:-1]
    reason, sure = _reason(last, others, part.path.stat().st_size if as_given else None)
    if not reason:
        return part
    confidence: Confidence = "likely" if sure else "possible"
    places = Places(part.file)
    line = part.first_line + part.rows - 1 + (part.jumps[-1][1] if part.jumps else 0)
    places.add(line, last, part.names[-1])
    advice = f"{_AGAIN} If the file is whole, end its last line with a line break."
    (problem,) = places.problem(
        CODE, reason=f"its last line has no end, and {reason}", advice=advice
    )
    return replace(
        part,
        problems=(
            *part.problems,
            replace(problem, confidence=confidence, severity=None if sure else "warning"),
        ),
    )


def _last_values(part: Part, end: bytes) -> list[str]:
    """Values of the last column, from the first and the last lines of the file, in order; the
    file's very last value is the last.
    """
    assert part.delimiter is not None
    size = part.path.stat().st_size
    with part.path.open("rb") as source:
        head = source.read(_SAMPLE_BYTES).split(end)
        if size > _SAMPLE_BYTES:
            source.seek(max(size - _SAMPLE_BYTES, _SAMPLE_BYTES))
            lines = [*head[part.first_line - 1 : -1], *source.read().split(end)[1:]]
        else:
            lines = head[part.first_line - 1 :]
    mark = part.delimiter.encode()
    return [
        line.rstrip(b"\r").rpartition(mark)[2].decode("utf-8", "replace").strip(' "')
        for line in lines
        if line.strip()
    ]


def _reason(last: str, others: Sequence[str], size: int | None) -> tuple[str, bool]:
    """What says that `last` is only the beginning of a value, and whether that is strong; "" when
    nothing does.
    """
    if _BROKEN_NUMBER.fullmatch(last) and not any(
        _BROKEN_NUMBER.fullmatch(value) for value in others
    ):
        return f"{last!r} is the beginning of a number", any(map(str.isdigit, last))
    if len(others) >= _ENOUGH and all(others):
        if not last:
            return "its last value is empty, which no other is", False
        places = {len(value.partition(".")[2]) for value in others if _is_decimal(value)}
        if (
            len(places) == 1
            and min(places) >= 2
            and all(map(_is_decimal, others))
            and len(last.partition(".")[2]) < min(places)
        ):
            return f"{last!r} has fewer than the {min(places)} decimals of all other values", True
        lengths = {len(value) for value in others}
        missing = min(lengths) - len(last)
        if len(lengths) == 1 and missing > 0 and min(lengths) >= 4:
            # A number with fewer digits is a number still: 999 after 1000, or one of ten that are
            # picked by chance.
            is_number = len({_shape(value) for value in (last, *others)}) == 1
            if not (is_number and _goes_on(last, others)):
                sure = not is_number or missing >= _MANY_DIGITS
                return (
                    (
                        f"{last!r} is shorter than all other values, which have {min(lengths)}"
                        " characters"
                    ),
                    sure,
                )
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
    if size and size % _BLOCK == 0:
        return (
            f"its size, {size:,} bytes, is a whole number of blocks, as a copy has that broke off",
            False,
        )
    return "", False


def _shape(value: str) -> str:
    """A value with each number in it as one digit; numbers are alike in it whatever their
    length.
    """
    return re.sub(r"[0-9]+", "0", value)


def _goes_on(last: str, others: Sequence[str]) -> bool:
    """Whether the number in `last` follows those before it as they follow one another: in steps no
    larger, all up or all down.
    """
    numbers = [
        int("".join(re.findall(r"[0-9]", value)) or 0) for value in (*others[-_ENOUGH:], last)
    ]
    steps = [after - before for before, after in pairwise(numbers)]
    one_way = all(step >= 0 for step in steps) or all(step <= 0 for step in steps)
    return one_way and abs(steps[-1]) <= max(map(abs, steps[:-1]))


def _is_decimal(value: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]*\.[0-9]+", value) is not None
