"""What a fix-me workbook and what comes back of it share: its layout, the record of its own making
by which corrections reach the very rows they were made for, and the lab's files read once more.

Belongs here: the columns beside the lab's own, how a value is in a cell, a file as ingest opens it
with its corrections, rows of it by line. Does not: writing the workbook, what a person changed,
formats (`readers/`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import duckdb
from pydantic import BaseModel, ConfigDict

from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.base.engine import literal, parquet
from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.readers import casts, files, overlay
from syndb_pipeline.readers.fence import Fence
from syndb_pipeline.readers.part import Part, Unreadable
from syndb_pipeline.stages.table_reader import TableReader
from syndb_pipeline.state.stage import Context

FORMAT: Final = 2
"""Of the workbook; it changes when one of today can no longer be applied by the reader of
tomorrow.
"""

README: Final = "Read me"
RECORD: Final = "syndb-pipeline"
"""Titles of the first sheet, and of the hidden one that holds the record."""

OWN_COLUMNS: Final = ("file", "sheet", "row", "what is wrong", "remove")
"""Columns before the lab's own. `remove` is the person's: an x takes the row out."""
REMOVE: Final = OWN_COLUMNS.index("remove")
LINE: Final = "line as it is in the file"
"""The column of the sheet of unreadable lines."""

LONGEST_CELL: Final = 32_767
"""Characters that a cell of a workbook holds (Excel's own limit); a longer value is shown cut and
cannot be edited.
"""

_CUT: Final = " ... (too long for a workbook; correct it in the file)"
_CONTROL: Final = {code: 0x2400 + code for code in range(32) if code not in (9, 10)} | {
    0x7F: 0x2421
}
_NOT_XML: Final = re.compile("[\ud800-\udfff\ufffe\uffff]")
PLACEHOLDERS: Final = frozenset({chr(picture) for picture in _CONTROL.values()} | {"\ufffd"})
"""What a cell holds for a character that none can hold."""


class SheetRecord(BaseModel):
    """One sheet of the workbook: rows of `file` (and its `sheet`), read as the config reads
    `table`. `rows` as a person counts them there.

    On a sheet of unreadable lines `columns` is empty, and the line is one cell.
    """

    model_config = ConfigDict(frozen=True)

    title: str
    table: str
    file: str
    sheet: str | None = None
    columns: list[str] = []
    rows: list[int] = []


class FixRecord(BaseModel):
    """The workbook's record. `files` are the lab's files whose rows it holds, by the name findings
    give them, with their SHA-256; `corrections` the same of the corrections of its tables.
    """

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    dataset: UUID
    config: str
    files: dict[str, str] = {}
    corrections: dict[str, str] = {}
    sheets: list[SheetRecord] = []
    unreadable: list[SheetRecord] = []


def shown(value: str) -> str:
    """`value` as it is in a cell: line ends as line feeds, a control picture for a control
    character, cut where it is too long.
    """
    text = value.replace("\r\n", "\n").replace("\r", "\n") if "\r" in value else value
    text = _NOT_XML.sub("\ufffd", text.translate(_CONTROL))
    # A spreadsheet counts in UTF-16, where a character beyond U+FFFF is two.
    if len(text) * 2 > LONGEST_CELL and len(text.encode("utf-16-le")) // 2 > LONGEST_CELL:
        text = (
            text.encode("utf-16-le")[: 2 * (LONGEST_CELL - len(_CUT))].decode("utf-16-le", "ignore")
            + _CUT
        )
    return text


def is_cut(text: str) -> bool:
    """Whether `text`, as `shown` gave it, is only the beginning of the value."""
    return text.endswith(_CUT)


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


def first_changed(
    context: Context, sources: Iterable[tuple[str, str]], digests: Mapping[str, str]
) -> str | None:
    """The first file of `sources` (file, table) that has another digest now, or that the config no
    longer reads for its table.
    """
    config = context.config
    paths = files_of(config.folder, config.tables)
    for file, table in sorted(set(sources)):
        if file not in paths or table not in config.tables:
            return file
        if digest_file(paths[file]) != digests.get(file):
            return file
    return None


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
