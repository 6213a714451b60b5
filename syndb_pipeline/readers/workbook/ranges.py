"""Ranges of cells that a workbook declares: merged cells, and the totals rows of its tables.

Belongs here: which ranges empty cells that are read, which rows are totals. Does not: merged
headers (`workbooks.py`), rows that only look like totals (`summary_words.py`).

Source: ECMA-376 part 1, 18.5.1.2 (table: `ref` with the totals rows in it, `totalsRowCount`) and
18.3.1.95 (tablePart).
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from syndb_pipeline.readers.part import Places, Problem
from syndb_pipeline.readers.workbook.faults import column_index, sheet_member

_MERGED: Final = "SYN-READ-022"

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
            for found in self.places.problem(_MERGED, ranges=", ".join(self.shown) + more)
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


TOTALS: Final = "SYN-READ-017"

_MOST_BYTES: Final = 1_000_000
"""Of one part; a table of 1,000 columns takes 100,000."""

_MOST_TABLES: Final = 1_000
_TABLE_PART: Final = re.compile(rb"""<(?:\w+:)?Relationship\b[^>]*>""")
_ATTRIBUTE: Final = re.compile(rb"""([\w:]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_TABLE: Final = re.compile(rb"""<(?:\w+:)?table\b[^>]*>""")
_RANGE: Final = re.compile(r"\$?([A-Z]+)\$?[0-9]+:\$?([A-Z]+)\$?([0-9]+)")


@dataclass(frozen=True, slots=True)
class TotalsRows:
    """The spreadsheet rows `first` to `last` (from 1) of the columns `left` to `right` (from 0) are
    totals.
    """

    first: int
    last: int
    left: int
    right: int


def totals_rows(path: Path, sheet: str) -> list[TotalsRows]:
    """The totals rows of the tables of `sheet` in the workbook at `path`; none in an .xls, which
    has no such tables.
    """
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        member = sheet_member(archive, sheet)
        if member is None:
            return []
        folder, name = posixpath.split(member)
        found = []
        for relation in _TABLE_PART.findall(_small(archive, f"{folder}/_rels/{name}.rels"))[
            :_MOST_TABLES
        ]:
            told = _attributes(relation)
            if told.get("Type", "").endswith("/table"):
                target = told.get("Target", "")
                part = (
                    target.lstrip("/")
                    if target.startswith("/")
                    else posixpath.normpath(posixpath.join(folder, target))
                )
                found += _totals(_small(archive, part))
        return found


def _small(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of a part; none where it is not there, or larger than such a part is."""
    members = {member.lower(): member for member in archive.namelist()}
    member = members.get(name.lower())
    if member is None:
        return b""
    with archive.open(member) as source:
        content = source.read(_MOST_BYTES + 1)
    return content if len(content) <= _MOST_BYTES else b""


def _attributes(tag: bytes) -> dict[str, str]:
    return {
        key.decode(): (double or single).decode("utf-8", "replace")
        for key, double, single in _ATTRIBUTE.findall(tag)
    }


def _totals(part: bytes) -> list[TotalsRows]:
    tag = _TABLE.search(part)
    told = _attributes(tag[0]) if tag else {}
    place = _RANGE.fullmatch(told.get("ref", ""))
    count = told.get("totalsRowCount", "0")
    if place is None or not count.isdecimal() or not int(count):
        return []
    last = int(place[3])
    return [TotalsRows(last - int(count) + 1, last, column_index(place[1]), column_index(place[2]))]
