"""From a row's number back to the place a person can open: file, sheet, row.

Belongs here: the map that ingest writes and every finding uses. Does not: reading tables.
"""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from syndb_pipeline.rules.finding import Example
from syndb_pipeline.state.store import write_atomically

SOURCES_FILE: Final = "sources.json"

UNREADABLE_FILE: Final = "unreadable.parquet"
"""Lines that ingest could not read. Columns: tbl, file, sheet, line, text, code."""


class Source(BaseModel):
    """Rows `first_row` to `first_row + rows - 1` of a table, as they lie in one file.

    `first_line` is the line (spreadsheet row) of the first of them. `jumps` are (index of a row in
    this file, lines to add from there on), ascending, for files where a row is not a line: blank or
    refused lines, line breaks inside quotes.
    """

    model_config = ConfigDict(frozen=True)

    file: str
    sheet: str | None = None
    first_row: int
    rows: int
    first_line: int = 2
    jumps: list[tuple[int, int]] = []
    columns: dict[str, str] = {}  # SynDB's name -> the lab's name in this file

    def line(self, row: int) -> int:
        """The line, or row of the sheet, of row number `row` of the table."""
        index = row - self.first_row
        at = bisect_right(self.jumps, (index, 2**62))
        return self.first_line + index + (self.jumps[at - 1][1] if at else 0)


class SourceMap(BaseModel):
    """Where every row of every table came from."""

    model_config = ConfigDict(frozen=True)

    tables: dict[str, list[Source]] = {}

    @classmethod
    def read(cls, folder: Path) -> SourceMap:
        """The map that ingest left in its folder."""
        return cls.model_validate_json((folder / SOURCES_FILE).read_text(encoding="utf-8"))

    def write(self, folder: Path) -> None:
        write_atomically(folder / SOURCES_FILE, self.model_dump_json(indent=1) + "\n")

    def segments(self, table: str) -> list[tuple[int, str, str | None, int]]:
        """Runs of rows of `table` whose lines follow each other: first row, file, sheet, and what
        makes a row's number its line.
        """
        found: dict[int, tuple[int, str, str | None, int]] = {}
        for source in self.tables[table]:
            for index, lines in [(0, 0), *source.jumps]:
                start = source.first_row + index
                found[start] = (
                    start,
                    source.file,
                    source.sheet,
                    source.first_line - source.first_row + lines,
                )
        return list(found.values())

    def example(
        self, table: str, row: int, column: str | None = None, value: str | None = None
    ) -> Example:
        """The place of row number `row` (from 0) of `table`, and of its `column` (SynDB's name) as
        the lab calls it.
        """
        source = next(s for s in self.tables[table] if s.first_row <= row < s.first_row + s.rows)
        lab_column = source.columns.get(column, column) if column else None
        return Example(
            file=source.file,
            sheet=source.sheet,
            row=source.line(row),
            column=lab_column,
            value=value,
        )
