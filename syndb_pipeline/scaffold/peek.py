"""A first look at one file: its columns, its sheets, its first rows, read as `check` will read
them.

Belongs here: just enough reading to guess what a file holds, by the readers' own means. Does not:
strict reading with findings (`readers/`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final

from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import TABLES, Table
from syndb_pipeline.readers import headers
from syndb_pipeline.readers.files import vet
from syndb_pipeline.readers.formats import Glimpse, Means, Rows, every_suffix, format_of, suffix
from syndb_pipeline.readers.part import Unreadable as Refused
from syndb_pipeline.readers.text.layout import DELIMITERS, read_as
from syndb_pipeline.scaffold.names import KNOWN, plain

SUFFIXES: Final = every_suffix()
_LOOK_ROWS: Final = 2_000
"""Rows that a guess may rest on: enough for keys of one file to be met again in another."""

_HEADER_ROWS: Final = 200
_COMMENT: Final = ("#", "%", "//")
_ANY: Final = TableConfig(file="-")


class Unreadable(Exception):
    """The file cannot be looked at; the message says why and what to do."""


@dataclass(frozen=True)
class Candidate:
    """A file, or a sheet of one, or a folder of parts, that may hold a table.

    `columns` is empty when there is no header; `width` counts the cells of a row. `rows` are the
    first rows below the header, as text. `header_row` is the header's row where `check` would not
    find it by itself, else 1. `pieces` are some of the files of a folder of parts, which `path`
    then is, and `of` is how many there are.
    """

    path: Path
    columns: tuple[str, ...]
    width: int
    sheet: str | None = None
    sheets: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    header_row: int = 1
    delimiter: str | None = None
    encoding: str = "utf-8"
    readings: tuple[tuple[str, str], ...] | None = (
        None  # encodings it may have, with what a line reads in each
    )
    sample: Path | None = field(
        default=None, compare=False
    )  # the beginning of a text file, as UTF-8
    pieces: tuple[Candidate, ...] = ()
    of: int = 1

    def __str__(self) -> str:
        if self.pieces:
            return f"{self.path.name}/"
        return self.path.name + (f", sheet {self.sheet}" if self.sheet else "")

    @property
    def name(self) -> str:
        """The name that says what is inside, without its suffix: the file's, or that of the folder
        of parts.
        """
        return self.path.name.removesuffix(
            self.path.name[-len(suffix(self.path)) :] if suffix(self.path) in SUFFIXES else ""
        )

    def values(self, column: str) -> list[str]:
        """The values of a column in the first rows, blank ones left out."""
        return self._values[column]

    @cached_property
    def _values(self) -> dict[str, list[str]]:
        texts = list(zip(*self.rows, strict=True)) or [()] * len(self.columns)
        # Of two columns with one name, the first.
        return {
            name: [text.strip() for text in column if text.strip()]
            for name, column in reversed([*zip(self.columns, texts, strict=False)])
        }


def peek(path: Path, means: Means) -> list[Candidate]:
    """The candidates in the file at `path`: one, or one for each sheet with content.

    The scratch folder of `means` is for samples, which the candidates refer to. Raises
    `Unreadable`.
    """
    own = format_of(path)
    assert own is not None  # of a suffix that tables have
    try:
        vet(path, path.name)
        glimpses = own.peek(path, means, _LOOK_ROWS)
    except Refused as error:
        raise Unreadable(_in_words(error)) from None
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from None
    sheets = tuple(each.sheet for each in glimpses if each.sheet is not None)
    filled = [each for each in glimpses if each.names is not None or any(each.ways.values())]
    if not filled:
        raise Unreadable("its quotation marks leave no row whole")
    return [_candidate(path, each, sheets) for each in filled]


def _candidate(path: Path, seen: Glimpse, sheets: tuple[str, ...]) -> Candidate:
    if seen.names is not None:
        rows = tuple(tuple(cells) for _, cells in seen.ways[None])
        return Candidate(path, seen.names, len(seen.names), rows=rows)
    mark = max(seen.ways, key=lambda each: _fit(each, seen.ways[each][:_HEADER_ROWS]))
    blank = Candidate(
        path,
        (),
        0,
        sheet=seen.sheet,
        sheets=sheets,
        delimiter=mark,
        encoding=seen.encoding,
        readings=None if seen.readings is None else tuple(seen.readings.items()),
        sample=seen.sample,
    )
    return _laid_out(blank, seen.more(mark) if seen.more else seen.ways[mark])


def _in_words(error: Refused) -> str:
    reasons = []
    for problem in error.problems:
        reason = str(problem.values.get("reason") or problem.code)
        advice = str(problem.values.get("advice") or "").rstrip(".")
        reasons.append(f"{reason}. {advice}" if advice else reason)
    return "; ".join(reasons)


def reads_alike(candidate: Candidate, table: Table, config: TableConfig) -> bool:
    """Whether `check`, given `config`, takes the names and values of a text file for what
    `candidate` says.
    """
    if candidate.sample is None:
        return True
    try:
        names, delimiter = read_as(candidate.sample, candidate.path.name, table, config)
    except Refused:
        return False
    return (
        names == (candidate.columns or tuple(config.names or ()))
        and delimiter == candidate.delimiter
    )


def _fit(mark: str | None, rows: Rows) -> tuple[float, ...]:
    """How well a delimiter explains the rows: names it makes known, rows as wide as their header,
    columns of numbers.
    """
    if not rows:
        return (-1,)
    at = _header_at(rows)
    width = len(rows[at][1])
    alike = sum(len(cells) == width for _, cells in rows)
    known = _hits(rows[at][1]) if alike > _MOST * (len(rows) - at) and _is_header(rows, at) else 0
    # A quotation mark left over was torn from its other half, and hardly a value holds a tab.
    whole = not any(cell.count('"') % 2 or "\t" in cell for _, cells in rows for cell in cells)
    columns = list(
        zip(*(cells for _, cells in rows[at + 1 :] if len(cells) == width), strict=False)
    )
    numbers = (
        sum(all(map(headers.is_datum, filter(None, column))) for column in columns) / len(columns)
        if columns
        else 0
    )
    # Rows above the header count too: the fewer titles, the likelier.
    return (
        known,
        whole,
        alike / len(rows) if width > 1 else 0,
        numbers,
        width > 1,
        mark != " ",
        -DELIMITERS.index(mark) if mark else 0,
    )


# Where the names are


_MOST: Final = 0.8
"""The share of the rows below a header that must be as wide as it."""


def _laid_out(candidate: Candidate, rows: Sequence[tuple[int, list[str]]]) -> Candidate:
    """`candidate` with its names and rows; `rows` are pairs of number and cells, blank ones left
    out.
    """
    top = rows[:_HEADER_ROWS]
    at = _header_at(top)
    number, first = rows[at]
    below = [cells for _, cells in rows[at + 1 :] if len(cells) == len(first)]
    has_header = _is_header(top, at)
    values = below if has_header else [first, *below]
    kept = list(range(len(first)))
    if candidate.delimiter is None and has_header:
        # A spreadsheet's column without name and without values is only a formatted one, as its
        # reader takes it.
        kept = [index for index in kept if first[index] or any(row[index] for row in values)]
    return replace(
        candidate,
        columns=tuple(first[index] for index in kept) if has_header else (),
        width=len(kept),
        rows=tuple(tuple(row[index] for index in kept) for row in values),
        header_row=number if has_header and at > 0 else 1,
    )


def _is_header(rows: Sequence[tuple[int, list[str]]], at: int) -> bool:
    """Whether row `at` can hold names: by the rule of `check`, or because a word in it heads a
    column of numbers.
    """
    first = rows[at][1]
    if headers.is_header(first, TABLES["neuron"], _ANY):
        return True
    below = [cells for _, cells in rows[at + 1 :] if len(cells) == len(first)]
    for index, cell in enumerate(first):
        values = [cells[index] for cells in below if cells[index]]
        if cell and values and not headers.is_datum(cell) and all(map(headers.is_datum, values)):
            return True
    return False


def _header_at(rows: Sequence[tuple[int, list[str]]]) -> int:
    """The index of the row of `rows` that most likely holds the names, or, where none does, of the
    first row of values.
    """
    hits = [_hits(cells) for _, cells in rows]
    shapes = [(len(cells), _extent(cells)) for _, cells in rows]

    def fits(index: int) -> bool:
        """Whether most rows below have as many cells, and none filled beyond those that this row
        fills.
        """
        (width, filled), below = shapes[index], shapes[index + 1 :]
        return not below or sum(
            cells == width and last <= filled for cells, last in below
        ) > _MOST * len(below)

    if hits[0] and fits(0):
        return 0
    for index in range(len(rows)):
        if hits[index] > 1 and fits(index):
            return index
    if hits[0] > 1:
        # names that we know, above rows of another width: `check` says what is wrong with these
        return 0
    # No name is known, or there is one column only: titles above are narrower, and comments say
    # what they are.
    return next(
        (
            index
            for index in range(len(rows))
            if not rows[index][1][0].startswith(_COMMENT) and fits(index)
        ),
        0,
    )


def _hits(cells: Sequence[str]) -> int:
    return len({word for cell in cells if (word := plain(cell)) in KNOWN})


def _extent(cells: Sequence[str]) -> int:
    """How many cells a row has up to its last one with a value."""
    return max((index + 1 for index, cell in enumerate(cells) if cell), default=0)
