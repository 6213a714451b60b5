"""What tables hold where there is no value: the one list of these words and numbers, with where
each counts.

Belongs here: the words and numbers. Does not: what a lab itself declares (`missing` of a table's
settings), finding them in cells.

A word counts in keys (it identifies no row), in columns of numbers (it is no number) or in columns
of text (it describes nothing). All words are in small letters and are compared without case.
"""

from __future__ import annotations

from typing import Final

OF_PROGRAMS: Final = ("na", "n/a", "#n/a", "<na>", "nan", "null", "none", "\\n")
"""Words that R, pandas, spreadsheets and databases write by themselves; no column is called so."""

_ANYWHERE: Final = (
    *OF_PROGRAMS,
    *("n.a.", "n.a", "nd", "n/d", "n.d.", "nil", "missing", "unknown", "undefined", "unassigned"),
    *(
        "not found",
        "not available",
        "not applicable",
        "-",
        "--",
        "---",
        "–",
        "—",
        "?",
        "??",
        ".",
        "..",
    ),
)
"""Those, and what people write by hand."""

_NAMES_AS_WELL: Final = ("empty", "*", "x")
"""Words that may name a row, so that they say nothing in a column of keys."""

IN_KEYS: Final = _ANYWHERE
IN_NUMBERS: Final = (*_ANYWHERE, *_NAMES_AS_WELL)
IN_TEXT: Final = (*_ANYWHERE, *_NAMES_AS_WELL, "no")
"""`no` is an answer in a column of true and false, and no word for a type."""

_NINES: Final = ("-1", "-9", "-99", "-999", "-9999", "-99999")
_MANY_NINES: Final = ("9999", "99999")

NUMBERS_IN_KEYS: Final = (
    *("0", "-2", "999999", *_NINES, *_MANY_NINES),
    *(
        "4294967295",
        "2147483647",
        "-2147483648",
        "18446744073709551615",
        "9223372036854775807",
        "-9223372036854775808",
    ),
)
"""Numbers that may mean "no key": 0 is the background of a segmentation, the long ones are the
limits of integer columns.
"""

UUID_OF_ZEROS: Final = "00000000-0000-0000-0000-000000000000"

NUMBERS_OUT_OF_RANGE: Final = tuple(int(number) for number in (*_NINES, "999", *_MANY_NINES))
"""Numbers that mean "no value" where a column cannot hold them: no fraction is 9999, no size -1."""
