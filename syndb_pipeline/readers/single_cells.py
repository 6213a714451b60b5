"""Single cells of a lab's file, read again to the letter: what a finding quotes.

Belongs here: opening a file at given rows, by format. Does not: reading whole tables, or which
cells are wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import duckdb

from syndb_pipeline.base.engine import given, parquet
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import Table
from syndb_pipeline.readers import casts, files, headers
from syndb_pipeline.readers.parquet import parquet_files
from syndb_pipeline.readers.part import column_name
from syndb_pipeline.readers.text import encodings, line_ends
from syndb_pipeline.readers.text.lines import MAX_RECORD_LINES, Splitter, records

_CHUNK: Final = 1 << 20

Texts = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class LabFile:
    """One file (or sheet) as ingest read it: `first_line` is the row of its first record,
    `delimiter` that of a text file.
    """

    path: Path
    table: Table
    config: TableConfig
    first_line: int
    sheet: str | None = None
    delimiter: str | None = None


def read_cells(
    connection: duckdb.DuckDBPyConnection,
    lab_file: LabFile,
    names: Sequence[str],
    lines: Iterable[int],
    scratch: Path,
) -> Iterator[Texts]:
    """The cells of the columns called `names` (the lab's names) in the rows `lines`, ascending and
    counted as a person does, row by row.

    A cell is its text between delimiters without the quotation marks around it; in a workbook or
    Parquet file a number's shortest exact form. None where there is nothing, or where the row is
    not there any more. `scratch` is an empty folder. Raises `Unreadable`, `OSError` or `ValueError`
    when the file is not the one that was read: gone, or without one of the columns.
    """
    suffix = files.suffix(lab_file.path)
    if suffix in files.PARQUET_SUFFIXES:
        return _of_parquet(connection, lab_file, names, lines)
    if suffix in files.WORKBOOK_SUFFIXES:
        return _of_workbook(lab_file, names, lines)
    return _of_text(lab_file, names, lines, scratch)


def _of_parquet(
    connection: duckdb.DuckDBPyConnection,
    lab_file: LabFile,
    names: Sequence[str],
    lines: Iterable[int],
) -> Iterator[Texts]:
    casts.prepare(connection)
    part = parquet_files.read(
        connection, lab_file.path, lab_file.path.name, lab_file.table, lab_file.config
    )
    indexes = [headers.tidy(part.names).index(name) for name in names]
    texts = [casts.to_text(f"file.{column_name(index)}", part.types[index]) for index in indexes]
    # By position: two names that differ only in case are one to DuckDB and two to a lab.
    every = ", ".join([*(column_name(index) for index in range(len(part.names))), "number"])
    source = f"{parquet(lab_file.path, row_number=True)} AS file({every})"
    with given(connection, "wanted_lines", {"line": "BIGINT"}, ((line,) for line in lines)):
        yield from connection.execute(
            f"""SELECT {", ".join(texts)} FROM wanted_lines LEFT JOIN {source} ON number = line - {lab_file.first_line} ORDER BY line"""
        ).fetchall()


def _of_workbook(lab_file: LabFile, names: Sequence[str], lines: Iterable[int]) -> Iterator[Texts]:
    from python_calamine import CalamineWorkbook

    from syndb_pipeline.readers.workbook import cells, workbooks

    with workbooks.readable(lab_file.path.name):
        book = CalamineWorkbook.from_path(lab_file.path)
        rows = enumerate(book.get_sheet_by_name(str(lab_file.sheet)).iter_rows(), start=1)
        header: Sequence[str] = lab_file.config.names or ()
        if lab_file.config.names is None:
            header = next(
                (
                    [cells.cell_text(cell) for cell in row]
                    for number, row in rows
                    if number == lab_file.first_line - 1
                ),
                [],
            )
        indexes = [headers.tidy(header).index(name) for name in names]
        for line in lines:
            row = next((row for number, row in rows if number == line), None)
            yield (
                tuple(cells.cell_text(row[index]) or None for index in indexes)
                if row
                else (None,) * len(indexes)
            )


def _of_text(
    lab_file: LabFile, names: Sequence[str], lines: Iterable[int], scratch: Path
) -> Iterator[Texts]:
    path, _ = encodings.as_utf8(
        lab_file.path, lab_file.path.name, lab_file.config.encoding, lab_file.table.name, scratch
    )
    path = line_ends.settled(path, lab_file.config.delimiter, scratch).path
    end, mark = line_ends.line_end(path), (lab_file.delimiter or ",").encode()
    header: Sequence[str] = lab_file.config.names or ()
    if lab_file.config.names is None:
        found = (
            record.values
            for record in records(path, mark, end, lab_file.config.header_row or 1)
            if not record.blank
        )
        header = [value.decode() for value in next(found, [])]
    indexes = [headers.tidy(header).index(name) for name in names]
    splitter = Splitter(mark)
    with path.open("rb") as file:
        source = _Lines(file, end)
        for line in lines:
            source.skip_to(line)
            values = _record(splitter, source)
            yield tuple(
                values[index].decode() or None if index < len(values) else None for index in indexes
            )


def _record(splitter: Splitter, source: _Lines) -> list[bytes]:
    """The values of the record that begins in the next line; empty when none does."""
    taken: list[bytes] = []
    while len(taken) < MAX_RECORD_LINES and (line := source.take()) is not None:
        taken.append(line)
        if len(taken) > 1 and b'"' not in line:
            continue
        try:
            return splitter.split(b"\n".join(taken))
        except EOFError:
            continue  # a quoted value goes on in the next line
        except ValueError:
            return []
    return []


class _Lines:
    """The lines of a text file, with a fast way past those that nobody wants."""

    def __init__(self, file: BinaryIO, end: bytes) -> None:
        self._file = file
        self._end = end
        self._number = 1  # of the next line
        self._block = b""  # whole lines, not split yet
        self._lines: list[bytes] = []
        self._at = 0
        self._rest = b""
        mark = file.read(3)
        if mark != b"\xef\xbb\xbf":
            file.seek(0)

    def skip_to(self, number: int) -> None:
        """Stand before line `number`, which is not behind."""
        while self._number < number:
            left = len(self._lines) - self._at
            if left:
                step = min(left, number - self._number)
                self._at += step
                self._number += step
            elif not self._fill():
                return
            elif self._number + (count := self._block.count(self._end)) <= number:
                self._number += count
                self._block = b""
            else:
                self._split()

    def take(self) -> bytes | None:
        """The next line without its end; None behind the last one."""
        while self._at == len(self._lines):
            if not self._block and not self._fill():
                return None
            self._split()
        line = self._lines[self._at]
        self._at += 1
        self._number += 1
        return line[:-1] if self._end == b"\n" and line.endswith(b"\r") else line

    def _split(self) -> None:
        self._lines, self._at = self._block.split(self._end)[:-1], 0
        self._block = b""

    def _fill(self) -> bool:
        """Read the next whole lines into the empty block. A last line without end is given one."""
        while not self._block:
            chunk = self._file.read(_CHUNK)
            data = self._rest + (chunk or (self._end if self._rest else b""))
            if not data:
                return False
            cut = data.rfind(self._end) + len(self._end) if self._end in data else 0
            self._block, self._rest = data[:cut], data[cut:]
        return True
