"""Cells of a workbook as calamine gives them, as text and as rows of a Parquet file; merged cells
and totals rows among them.

Belongs here: single cells and rows, which ranges empty cells that are read, which rows are totals
as the workbook says. Does not: sheets and headers (`workbooks.py`), rows that only look like totals
(`summary_words.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Final

from syndb_pipeline.base.arrow import pa, pq
from syndb_pipeline.readers.casts import EXACT_FLOAT, WHITE_SPACE
from syndb_pipeline.readers.part import Places, Problem, RefusedLines, column_name
from syndb_pipeline.readers.text.lines import joined

SPREADSHEET_DIGITS: Final = 15
"""Significant digits a spreadsheet keeps; a longer number was rounded when it was typed or
opened.
"""

_CHUNK_CELLS: Final = 200_000
Cell = Any  # what calamine gives: str, int, float, bool, date, datetime, time, timedelta


def cell_text(cell: Cell) -> str:
    """A cell as text: whole numbers without `.0`, other numbers in their shortest exact form,
    true/false, ISO dates.
    """
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e22 else repr(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ")
    if isinstance(cell, date | time):
        return cell.isoformat()
    return str(cell)


def is_damaged(cell: Cell) -> bool:
    """Whether a number has more digits than a spreadsheet or a double keeps, so that as a key it
    may not be what the lab had.
    """
    if isinstance(cell, bool) or not isinstance(cell, float | int):
        return False
    if abs(cell) < 1e15 and cell == int(cell):
        return False
    digits = repr(cell).lower().partition("e")[0].replace(".", "").strip("-").strip("0")
    return len(digits) > SPREADSHEET_DIGITS or abs(cell) > EXACT_FLOAT


@dataclass
class Sink:
    """Writes rows of cells as text columns `c0`, `c1`, ... and, for the columns `flagged`, `f0`,
    ...: whether the number is damaged.
    """

    path: Path
    width: int
    flagged: frozenset[int]
    rows: int = 0
    filled: list[bool] = field(default_factory=list)
    first: Sequence[Cell] = ()
    _pending: list[Sequence[Cell]] = field(default_factory=list)
    _writer: Any = None

    def __post_init__(self) -> None:
        self.filled = [False] * self.width
        texts = [pa.field(column_name(i), pa.string()) for i in range(self.width)]
        flags = [pa.field(f"f{i}", pa.bool_()) for i in sorted(self.flagged)]
        self._schema = pa.schema(texts + flags)
        self._writer = pq.ParquetWriter(self.path, self._schema, compression="lz4")

    def add(self, row: Sequence[Cell]) -> None:
        self.first = self.first or row
        self._pending.append(row)
        self.rows += 1
        if len(self._pending) * self.width >= _CHUNK_CELLS:
            self._flush()

    def _flush(self) -> None:
        columns = list(zip(*self._pending, strict=True)) if self._pending else [()] * self.width
        texts = [[cell_text(cell) or None for cell in column] for column in columns]
        self.filled = [
            full or any(text is not None for text in column)
            for full, column in zip(self.filled, texts, strict=True)
        ]
        flags = [[is_damaged(cell) for cell in columns[i]] for i in sorted(self.flagged)]
        arrays = [pa.array(column, pa.string()) for column in texts] + [
            pa.array(column, pa.bool_()) for column in flags
        ]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))
        self._pending = []

    def close(self) -> None:
        self._flush()
        self._writer.close()


def is_blank(row: Sequence[Cell]) -> bool:
    return all(isinstance(cell, str) and not cell.strip(WHITE_SPACE) for cell in row)


# -- ranges of cells that a workbook declares

_MERGED: Final = "SYN-READ-022"
_TOTALS: Final = "SYN-READ-017"
_SHOWN: Final = 5

Range = tuple[tuple[int, int], tuple[int, int]]
"""First and last cell, each as row and column from 0."""


def column_letters(index: int) -> str:
    """A spreadsheet's name of the column at `index` (from 0): A, B, ... Z, AA."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def column_index(reference: str) -> int:
    """The column (from 0) of a cell's reference: 27 of AB12."""
    index = 0
    for letter in reference.upper():
        if not "A" <= letter <= "Z":
            break
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1


def range_name(start: tuple[int, int], end: tuple[int, int]) -> str:
    """A range as a spreadsheet writes it, e.g. B2:B14."""
    return f"{column_letters(start[1])}{start[0] + 1}:{column_letters(end[1])}{end[0] + 1}"


class MergedCells:
    """Gathers merged ranges while a sheet's rows go by.

    `columns` gives the name of each column that is read, by its index in the sheet (from 0). Ranges
    above spreadsheet row `first_row` do not count, nor those that empty no cell of such a column.
    """

    def __init__(
        self, ranges: Sequence[Range], first_row: int, columns: Mapping[int, str], places: Places
    ) -> None:
        self.columns = columns
        self.places = places
        self.shown: list[str] = []
        self.rows: dict[int, list[Range]] = {}
        for start, end in ranges:
            # Below its first row all columns of a range are emptied; in it, all but the first.
            first = start[1] + (end[0] == start[0])
            if start[0] + 1 >= first_row and any(first <= at <= end[1] for at in columns):
                self.rows.setdefault(start[0] + 1, []).append((start, end))

    def see(self, number: int, first_column: int, row: Sequence[Cell]) -> None:
        """Note the ranges that begin in spreadsheet row `number`, of which `row` are the cells."""
        for start, end in self.rows.get(number, ()):
            self.shown.append(range_name(start, end))
            column = start[1]
            at = column - first_column
            value = cell_text(row[at]) if 0 <= at < len(row) else None
            self.places.add(number, value, self.columns.get(column, column_letters(column)))

    def problem(self) -> list[Problem]:
        """One problem for all ranges, about a column when they all begin in it; none when there was
        none.
        """
        shown = [*self.shown[:_SHOWN], *(["..."] if len(self.shown) > _SHOWN else [])]
        found = self.places.problem(_MERGED, ranges=", ".join(shown))
        starts = {self.columns.get(start[1]) for each in self.rows.values() for start, _ in each}
        only = next(iter(starts)) if len(starts) == 1 else None
        return [replace(problem, column=only) for problem in found]


@dataclass(frozen=True, slots=True)
class TotalsRows:
    """The spreadsheet rows `first` to `last` (from 1) of the columns `left` to `right` (from 0) are
    totals.
    """

    first: int
    last: int
    left: int
    right: int


@dataclass
class Totals:
    """Takes the totals rows that the workbook declares out of its rows: `read` are the columns that
    count, from 0.
    """

    rows: Sequence[TotalsRows]
    read: Sequence[int]
    refused: RefusedLines
    places: Places

    def take(self, number: int, first_column: int, row: Sequence[Cell]) -> bool:
        """Whether the spreadsheet row `number` is a totals row, in all its cells that are read."""
        for totals in self.rows:
            if totals.first <= number <= totals.last and all(
                totals.left <= at <= totals.right
                for at in self.read
                if cell_text(row[at - first_column]).strip(WHITE_SPACE)
            ):
                text = joined([cell_text(cell).encode() for cell in row], b",").decode()
                self.places.add(number, text)
                self.refused.add(number, text, _TOTALS)
                return True
        return False

    def problem(self) -> list[Problem]:
        what, rows = "is the totals row of its table", "row"
        if self.places.count > 1:
            what, rows = "are totals rows of their table", "rows"
        return self.places.problem(
            _TOTALS,
            place=self.places.file,
            what=f"{what}, as the workbook says",
            advice=f"Remove the {rows}: in Excel, switch off Table Design, Total Row.",
        )
