"""The lab's files read once more, as corrected: every column of a row as text, found by the row's
line.

Belongs here: opening a file as ingest opens it, and fetching rows of it. Does not: formats
(`readers/`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from syndb_pipeline.base.engine import literal, parquet
from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.readers import casts, files, overlay
from syndb_pipeline.readers.fence import Fence
from syndb_pipeline.readers.part import Part, Unreadable
from syndb_pipeline.stages.table_reader import TableReader
from syndb_pipeline.state.stage import Context


@dataclass(frozen=True)
class Original:
    """A file, or one sheet of it, opened. `replaced` are the texts that corrections give whole
    lines.
    """

    part: Part
    table: str
    config: TableConfig
    connection: duckdb.DuckDBPyConnection
    replaced: Mapping[int, str]

    @property
    def columns(self) -> list[str]:
        """The lab's names, in the lab's order."""
        return list(self.part.names)

    def markers(self, index: int) -> list[str]:
        """What the column at `index` holds for "no value"; nothing for one that SynDB does not
        know.
        """
        columns = map(TABLES[self.table].column, self.config.names_of(self.columns[index]))
        return [marker for column in columns if column for marker in self.config.markers(column)]

    def rows(self, lines: Iterable[int]) -> dict[int, list[str]]:
        """The texts of the rows at `lines`, of those that the file has."""
        return {
            line: values for line, _, values in overlay.texts(self.connection, self.part, lines)
        }

    def refused(self, lines: Collection[int]) -> dict[int, list[str]]:
        """The texts of those of `lines` that are no rows, or were none before a correction."""
        found = {line: [self.replaced[line]] for line in lines if line in self.replaced}
        if self.part.refused_lines is not None:
            wanted = f"line IN (SELECT unnest({literal([*lines])}))"
            kept = f"SELECT line, text FROM {parquet(self.part.refused_lines)} WHERE {wanted}"
            found = {
                line: [text] for line, text in self.connection.execute(kept).fetchall()
            } | found
        return found


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
    context: Context, connection: duckdb.DuckDBPyConnection, path: Path, table: str, scratch: Path
) -> Original:
    """The file at `path` as ingest reads it for `table`. `scratch` is a folder of its own, made
    here.

    Raises `PipelineError` when it cannot be read; ingest could.
    """
    casts.prepare(connection)
    config = context.config.tables[table]
    try:
        with Fence() as fence:
            reader = TableReader(context, connection, TABLES[table], config, scratch, fence)
            part = reader.open(path)
    except Unreadable as error:
        file = files.shown(path, context.config.folder)
        raise PipelineError(
            f"{file} cannot be read any more ({error}).",
            next_step="Run the checks again; they say why.",
        ) from None
    fixes = reader.corrections.get(part.file)
    replaced = {line: row.now for line, row in fixes.rows.items() if row.now} if fixes else {}
    return Original(part, table, config, connection, replaced)
