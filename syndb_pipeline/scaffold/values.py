"""What the first values of a column say: numbers, several numbers in one cell, and what a comma
means in them.

Belongs here: looking at texts of a sample. Does not: names (`names.py`), reading (`peek.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

_NUMBER: Final = re.compile(r"[-+]?(\d[\d.,' _]*|[.,]\d+)([eE][-+]?\d+)?")
_ONE: Final = r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
_SEVERAL: Final = re.compile(
    rf"[\[({{]\s*{_ONE}(?:[,;\s]\s*{_ONE})*\s*[\])}}]|{_ONE}(?:(?:[,;]\s*|\s+){_ONE})+"
)
_GROUPED: Final = re.compile(r"[-+]?\d{1,3}(?:([, ])\d{3})(?:\1\d{3})*(?:\.\d+)?")
_DECIMAL: Final = re.compile(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?")

_COMMA_GROUPS: Final = re.compile(r"[-+]?\d{1,3}(?:(?:,\d{3}){2,}(?:\.\d+)?|(?:,\d{3})+\.\d+)")
_DOT_GROUPS: Final = re.compile(r"[-+]?\d{1,3}(?:(?:\.\d{3}){2,}(?:,\d+)?|(?:\.\d{3})+,\d+)")
_EITHER: Final = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")


def are_numbers(values: Iterable[str]) -> bool:
    """Whether most of `values` are numbers, whatever marks group or divide their digits."""
    found = [_NUMBER.fullmatch(value) is not None for value in values]
    return 2 * sum(found) > len(found)


def hold_several_numbers(values: Sequence[str]) -> bool:
    """Whether most of `values` are several numbers each, as positions are: [430050 179248
    53280].
    """
    found = [
        _SEVERAL.fullmatch(value) and not (_GROUPED.fullmatch(value) or _DECIMAL.fullmatch(value))
        for value in values
    ]
    return 2 * sum(map(bool, found)) > len(found)


def comma(values: Iterable[str]) -> tuple[set[str], str]:
    """What the commas in numbers must mean: any of "decimal", "thousands" and "dots" (dots group
    the digits), each proved by some value; and the first value in which a comma may be either, ""
    without one.
    """
    proved: set[str] = set()
    either = ""
    for value in values:
        if "," not in value and value.count(".") < 2:
            continue
        if _COMMA_GROUPS.fullmatch(value):
            proved.add("thousands")
        elif _DOT_GROUPS.fullmatch(value):
            proved |= {"dots", "decimal"}
        elif _EITHER.fullmatch(value):
            either = either or value
        elif _DECIMAL.fullmatch(value):
            proved.add("decimal")
    return proved, either
