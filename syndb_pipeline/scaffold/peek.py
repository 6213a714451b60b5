"""A first look at one file: its columns, its sheets, a few rows.

Belongs here: just enough reading to guess what a file holds. Does not: strict reading with findings (`readers/`).
"""

from __future__ import annotations

import codecs
import csv
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow
import pyarrow.parquet
from python_calamine import CalamineError, CalamineWorkbook

from syndb_pipeline.readers.files import PARQUET_SUFFIXES, TEXT_SUFFIXES, WORKBOOK_SUFFIXES, suffix
from syndb_pipeline.readers.part import Unreadable as Refused
from syndb_pipeline.readers.untrusted import first_bytes, vet
from syndb_pipeline.readers.untrusted_archive import gunzipped

pa: Any = pyarrow  # it carries no types
pq: Any = pyarrow.parquet

SUFFIXES: Final = (*TEXT_SUFFIXES, *WORKBOOK_SUFFIXES, *PARQUET_SUFFIXES)
_LOOK_BYTES: Final = 1 << 18
_LOOK_ROWS: Final = 20
_DELIMITERS: Final = (",", "\t", ";", "|", " ")


class Unreadable(Exception):
    """The file cannot be looked at; the message says why."""


@dataclass(frozen=True)
class Candidate:
    """A file, or a sheet of one, that may hold a table. `columns` is empty when the first row is no header; `width` counts its cells."""

    path: Path
    columns: tuple[str, ...]
    width: int
    sheet: str | None = None
    sheets: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    delimiter: str | None = None
    encoding: str = "utf-8"
    decimal: str = "."

    def __str__(self) -> str:
        return self.path.name + (f", sheet {self.sheet}" if self.sheet else "")


def peek(path: Path) -> list[Candidate]:
    """The candidates in the file at `path`: one, or one for each sheet with content. Raises `Unreadable`."""
    try:
        vet(path, path.name)
        if suffix(path) in PARQUET_SUFFIXES:
            columns = tuple(pq.read_metadata(path).schema.to_arrow_schema().names)  # polars crashes on what is nested deep
            return [Candidate(path, columns, len(columns))]
        if suffix(path) in WORKBOOK_SUFFIXES:
            return _peek_workbook(path)
        return [_peek_text(path)]
    except Refused as error:
        raise Unreadable(error.reason) from None
    except (OSError, EOFError, zlib.error, CalamineError, pa.ArrowException) as error:
        raise Unreadable(f"cannot be read: {str(error).splitlines()[0]}") from None


def _peek_workbook(path: Path) -> list[Candidate]:
    with CalamineWorkbook.from_path(path) as book:
        sheets = {name: book.get_sheet_by_name(name).to_python(skip_empty_area=False, nrows=_LOOK_ROWS) for name in book.sheet_names}
    filled = {name: rows for name, rows in sheets.items() if any(cell not in ("", None) for row in rows for cell in row)}
    if not filled:
        raise Unreadable("every sheet is empty")
    several = tuple(sheets) if len(sheets) > 1 else ()
    return [
        _candidate(
            path, [["" if cell is None else str(cell) for cell in row] for row in rows], sheet=name if several else None, sheets=several
        )
        for name, rows in filled.items()
    ]


def _peek_text(path: Path) -> Candidate:
    with path.open("rb") as file:
        start = first_bytes(gunzipped(file, path.name), _LOOK_BYTES) if path.suffix.lower() == ".gz" else file.read(_LOOK_BYTES)
    text, encoding = _decoded(start)
    lines = text.splitlines(keepends=True)
    if len(start) == _LOOK_BYTES and len(lines) > 1:
        del lines[-1]  # cut off in the middle
    tables = {delimiter: _parsed(lines, delimiter) for delimiter in _DELIMITERS}
    delimiter = max(_DELIMITERS, key=lambda each: _steadiness(tables[each]))
    rows = tables[delimiter]
    if not rows:
        raise Unreadable("it is empty")
    decimal = "," if delimiter != "," and any(re.fullmatch(r"-?\d+,\d+", cell) for row in rows[1:] for cell in row) else "."
    return _candidate(path, rows, delimiter=delimiter, encoding=encoding, decimal=decimal)


def _decoded(start: bytes) -> tuple[str, str]:
    """The text and the name of its encoding; Windows' western one when it is no Unicode."""
    for mark, encoding in ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if start.startswith(mark):
            return codecs.getincrementaldecoder(encoding)("replace").decode(start).lstrip("\ufeff"), encoding
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(start), "utf-8"
    except UnicodeDecodeError:
        return start.decode("cp1252", "replace"), "cp1252"


def _parsed(lines: Iterable[str], delimiter: str) -> list[list[str]]:
    rows = []
    try:
        for row in csv.reader(lines, delimiter=delimiter):
            if row:
                rows.append(row)
            if len(rows) == _LOOK_ROWS:
                break
    except csv.Error:
        return []
    return rows


def _steadiness(rows: list[list[str]]) -> float:
    """How well a delimiter explains the rows: all of one width, and more than one column."""
    if not rows or len(rows[0]) == 1:
        return 0
    same = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
    return same + min(len(rows[0]), 50) / 1000


def _candidate(
    path: Path,
    rows: list[list[str]],
    *,
    sheet: str | None = None,
    sheets: tuple[str, ...] = (),
    delimiter: str | None = None,
    encoding: str = "utf-8",
    decimal: str = ".",
) -> Candidate:
    first = [cell.strip() for cell in rows[0]]
    headerless = any(re.fullmatch(r"-?\d+([.,]\d+)?([eE][+-]?\d+)?", cell) for cell in first)
    return Candidate(
        path,
        () if headerless else tuple(first),
        len(first),
        sheet,
        sheets,
        tuple(tuple(row) for row in rows),
        delimiter,
        encoding,
        decimal,
    )
