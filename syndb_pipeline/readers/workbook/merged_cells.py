"""Merged cells among the rows of a sheet: a person sees one value over all of them, and the file
holds it in the first one alone.

Belongs here: which ranges empty cells of columns that are read. Does not: merged headers
(`workbook.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from syndb_pipeline.readers.part import Places, Problem

CODE: Final = "SYN-READ-022"

_SHOWN: Final = 5

Range = tuple[tuple[int, int], tuple[int, int]]
"""First and last cell, each as row and column from 0."""


class MergedCells:
    """Gathers merged ranges while a sheet's rows go by.

    `columns` gives the name of each column that is read, by its index in the sheet (from 0). Ranges
    above spreadsheet row `first_row` are left out, and those that empty no cell of such a column.
    """

    def __init__(
        self, ranges: Sequence[Range], first_row: int, columns: Mapping[int, str], places: Places
    ) -> None:
        self.columns = columns
        self.places = places
        self.shown: list[str] = []
        self.rows: dict[int, list[Range]] = {}
        for top_left, bottom_right in ranges:
            # Below its first row all columns of a range are emptied; in it, all but the first.
            first = top_left[1] + (bottom_right[0] == top_left[0])
            if top_left[0] + 1 >= first_row and any(
                first <= column <= bottom_right[1] for column in columns
            ):
                self.rows.setdefault(top_left[0] + 1, []).append((top_left, bottom_right))

    def see(self, number: int, texts: Mapping[int, Any]) -> None:
        """Note the ranges that begin in spreadsheet row `number`, whose cells are `texts` by their
        index in the sheet.
        """
        for top_left, bottom_right in self.rows.get(number, ()):
            column = top_left[1]
            if len(self.shown) < _SHOWN:
                self.shown.append(range_name(top_left, bottom_right))
            value = texts.get(column)
            self.places.add(
                number,
                None if value is None else str(value),
                self.columns.get(column, column_letters(column)),
            )

    def problem(self) -> list[Problem]:
        """One problem for all ranges, about a column when they all begin in it; none when there was
        none.
        """
        more = "" if self.places.count == len(self.shown) else ", ..."
        starts = {
            self.columns.get(column) for ranges in self.rows.values() for (_, column), _ in ranges
        }
        only = next(iter(starts)) if len(starts) == 1 else None
        return [
            replace(found, column=only)
            for found in self.places.problem(CODE, ranges=", ".join(self.shown) + more)
        ]


def range_name(start: tuple[int, int], end: tuple[int, int]) -> str:
    """A range as a spreadsheet writes it, e.g. B2:B14."""
    return f"{column_letters(start[1])}{start[0] + 1}:{column_letters(end[1])}{end[0] + 1}"


def column_letters(index: int) -> str:
    """A spreadsheet's name of the column at `index` (from 0): A, B, ... Z, AA."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
