"""The lab's files read once more: every column of a row as the text that stands in the file, found
by the row's place.

Belongs here: opening a file as ingest opens it, and fetching rows by their number there. Does not:
formats (`readers/`), writing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from syndb_pipeline.base.engine import literal
from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.readers import casts, files
from syndb_pipeline.readers.fence import Fence
from syndb_pipeline.readers.parquet import parquet_files
from syndb_pipeline.readers.part import Part, Unreadable, column_name
from syndb_pipeline.readers.text import text_files
from syndb_pipeline.readers.workbook import workbooks


@dataclass(frozen=True)
class Original:
    """A file, or one sheet of it, opened. `part.source` gives its rows in order; `texts` is the SQL
    of each column as text.
    """

    part: Part
    path: Path
    table: str
    config: TableConfig

    @property
    def columns(self) -> list[str]:
        """The lab's names, in the lab's order."""
        return list(self.part.names)

    @property
    def texts(self) -> list[str]:
        return [
            column_name(i) if kind == "VARCHAR" else casts.to_text(column_name(i), kind)
            for i, kind in enumerate(self.part.types)
        ]

    def markers(self, index: int) -> list[str]:
        """What the column at `index` holds for "no value"; nothing for a column that SynDB does not
        know.
        """
        columns = map(TABLES[self.table].column, self.config.names_of(self.columns[index]))
        return [marker for column in columns if column for marker in self.config.markers(column)]

    def index(self, row: int) -> int | None:
        """The place among the file's rows, from 0, of the row that a person sees as number `row`;
        None when there is none.
        """
        segments = [(0, 0), *self.part.jumps]
        starts = [self.part.first_line + index + lines for index, lines in segments]
        at = bisect_right(starts, row) - 1
        if at < 0:
            return None
        index = row - self.part.first_line - segments[at][1]
        end = segments[at + 1][0] if at + 1 < len(segments) else self.part.rows
        return index if index < end else None

    def position(self, row: int) -> int:
        """How many rows the file has before number `row`, which need not be one itself."""
        segments = [(0, 0), *self.part.jumps]
        starts = [self.part.first_line + index + lines for index, lines in segments]
        at = bisect_right(starts, row) - 1
        if at < 0:
            return 0
        end = segments[at + 1][0] if at + 1 < len(segments) else self.part.rows
        return min(row - self.part.first_line - segments[at][1], end)

    def rows(
        self, connection: duckdb.DuckDBPyConnection, rows: Iterable[int]
    ) -> dict[int, list[str]]:
        """The texts of the rows numbered `rows`, by number; of those that the file has."""
        places = {index: row for row in rows if (index := self.index(row)) is not None}
        texts = {
            places[number]: values for number, values in self.numbered(connection, places).items()
        }
        for row, index, told, _ in self.part.faults:  # calamine gives nothing for them
            if row in texts and not texts[row][index]:
                texts[row][index] = told
        return texts

    def numbered(
        self, connection: duckdb.DuckDBPyConnection, numbers: Iterable[int]
    ) -> dict[int, list[str]]:
        """The texts of the rows at the places `numbers`, from 0, by place."""
        wanted = list(numbers)
        if not wanted:
            return {}
        found = connection.execute(
            f"""SELECT n, {", ".join(f"coalesce({each}, '')" for each in self.texts)}
                FROM (SELECT row_number() OVER () - 1 AS n, * FROM {self.part.source}) WHERE n IN
                  (SELECT unnest({literal(wanted)}))"""
        ).fetchall()
        return {number: list(values) for number, *values in found}


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Give `connection` the macros that texts are made with."""
    casts.prepare(connection)


def files_of(folder: Path, tables: Mapping[str, TableConfig]) -> dict[str, Path]:
    """The files of a dataset's tables by the name that findings give them; `folder` is the
    config's.
    """
    return {
        files.shown(path, folder): path
        for table in tables.values()
        for path in files.find(folder, table.file)
    }


def open_original(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    file: str,
    table: str,
    config: TableConfig,
    scratch: Path,
    memory_limit: int,
) -> Original:
    """The file at `path`, called `file`, as ingest reads it for `table`. `scratch` is a folder of
    its own, made here. `memory_limit` is the run's, in bytes.

    Raises `PipelineError` when it cannot be read; ingest could.
    """
    scratch.mkdir(parents=True)
    suffix = files.suffix(path)
    declared = TABLES[table]
    try:
        if suffix in files.WORKBOOK_SUFFIXES:
            with Fence() as fence:
                part = workbooks.read(path, file, declared, config, scratch, fence, memory_limit)
        elif suffix in files.PARQUET_SUFFIXES:
            part = parquet_files.read(connection, path, file, declared, config)
        else:
            part = text_files.read(path, file, declared, config, scratch)
            if not part.exact and _count(connection, part) != part.rows:
                part = text_files.careful(part, scratch)
    except Unreadable as error:
        raise PipelineError(
            f"{file} cannot be read any more ({error}).",
            next_step="Run the checks again; they say why.",
        ) from None
    return Original(part, path, table, config)


def _count(connection: duckdb.DuckDBPyConnection, part: Part) -> int:
    """How many rows the fast way gives; -1 when it refuses a line."""
    try:
        (rows,) = connection.execute(
            f"SELECT count(*) FROM (SELECT {column_name(0)} FROM {part.source})"
        ).fetchone() or (0,)
    except duckdb.InvalidInputException:
        return -1
    return int(rows)
