"""A lab's folder before it is written: tables as rows of cells, the files beside them, and what the
config says.

Belongs here: holding them, editing them, writing them in each format. Does not: which tables there
are, mistakes, expectations.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
import pyarrow.parquet
import xlsxwriter
import yaml

pa: Any = pyarrow  # it carries no types

DATASET: dict[str, Any] = {
    "id": "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a35",
    "label": "A real table with a mistake",
    "animal": "DROSOPHILA_MELANOGASTER",
    "microscopy": "ssTEM",
    "brain_regions": [{"structure": "septum"}],
}


class Formula(NamedTuple):
    """A formula in a workbook's cell, and the result that was saved with it; "" when none was."""

    text: str
    result: str = ""


Cell = str | int | float | date | Formula | None
Write = Callable[[list[list[Cell]]], bytes]
"""Rows, the header first, as the bytes of a file."""


def as_text(delimiter: str = ",", encoding: str = "utf-8", end: str = "\n") -> Write:
    """Delimited text, quoted where it must be."""

    def write(rows: list[list[Cell]]) -> bytes:
        text = io.StringIO()
        csv.writer(text, delimiter=delimiter, lineterminator=end).writerows(rows)
        return text.getvalue().encode(encoding, "surrogatepass" if "utf" in encoding else "strict")

    return write


def as_workbook(
    sheet: str = "Sheet1",
    merged: Iterable[str] = (),
    others: Iterable[str] = (),
    top: Iterable[list[Cell]] = (),
    left: int = 0,
) -> Write:
    """An .xlsx of one sheet, numbers as numbers: `merged` ranges, further sheets `others`, rows
    above and columns left of the table.
    """

    def write(rows: list[list[Cell]]) -> bytes:
        sheets = {sheet: [[None] * left + list(row) for row in (*top, *rows)]}
        return workbook(
            sheets | {name: [[f"{name} of the measurements"]] for name in others}, merged
        )

    return write


def workbook(sheets: Mapping[str, Sequence[Sequence[Cell]]], merged: Iterable[str] = ()) -> bytes:
    """An .xlsx of these sheets, numbers as numbers; `merged` are ranges of the first."""
    target = io.BytesIO()
    as_they_are = dict.fromkeys(["numbers", "formulas", "urls"], False)
    options = {f"strings_to_{kind}": made for kind, made in as_they_are.items()}
    with xlsxwriter.Workbook(target, options | {"in_memory": True}) as book:
        dates = book.add_format({"num_format": "d mmm yyyy"})
        for number, (name, rows) in enumerate(sheets.items()):
            page = book.add_worksheet(name)
            for cells in merged if number == 0 else ():
                page.merge_range(cells, "")
            for row, values in enumerate(rows):
                for column, cell in enumerate(values):
                    _write_cell(page, row, column, cell, dates)
    return target.getvalue()


def _write_cell(page: Any, row: int, column: int, cell: Cell, dates: Any) -> None:
    if isinstance(cell, Formula):
        page.write_formula(row, column, cell.text, None, cell.result)
    elif isinstance(cell, date):
        page.write_datetime(row, column, datetime(cell.year, cell.month, cell.day), dates)
    elif cell is not None and cell != "":
        page.write(row, column, cell)


def as_parquet(**types: Any) -> Write:
    """Parquet; every column is text but those that `types` (column -> pyarrow type) says otherwise
    of. Empty cells are null.
    """

    def write(rows: list[list[Cell]]) -> bytes:
        header, *body = rows
        columns = []
        for index, name in enumerate(header):
            values = [row[index] if row[index] != "" else None for row in body]
            kind = types.get(str(name), pa.string())
            columns.append(pa.array([_as_type(value, kind) for value in values], kind))
        target = io.BytesIO()
        pyarrow.parquet.write_table(
            pa.Table.from_arrays(columns, [str(name) for name in header]), target
        )
        return target.getvalue()

    return write


def _as_type(value: Cell, kind: Any) -> Any:
    if value is None:
        return None
    if pa.types.is_integer(kind):
        return int(str(value))
    if pa.types.is_floating(kind):
        return float(str(value))
    return str(value) if pa.types.is_string(kind) else value


@dataclass
class File:
    """One table's file: its name, its rows with the header first, how they are written, and what
    was done to the bytes afterwards.
    """

    name: str
    rows: list[list[Cell]]
    write: Write = field(default_factory=as_text)
    bytes_of: Callable[[bytes], bytes] = bytes

    @property
    def content(self) -> bytes:
        return self.bytes_of(self.write(self.rows))


@dataclass
class Lab:
    """What is written: a file for each table, other files by name (`Path`: the real file is
    linked), and the config.
    """

    tables: dict[str, File]
    config: dict[str, Any]
    beside: dict[str, bytes | Path] = field(default_factory=dict)
    config_text: Callable[[str], str] = str
    config_name: str = "dataset.yaml"
    data_folders: list[str] | None = None
    """Of pipeline.yaml: the only folders, relative to the lab's, where files may lie."""

    @property
    def metadata(self) -> dict[str, Any]:
        """What the config says of the dataset as a whole."""
        said: dict[str, Any] = self.config["dataset"]
        return said

    def rows(self, table: str) -> list[list[Cell]]:
        return self.tables[table].rows

    def index(self, table: str, column: str) -> int:
        return self.rows(table)[0].index(column)

    def options(self, table: str) -> dict[str, Any]:
        """What the config says of `table`."""
        options: dict[str, Any] = self.config["tables"][table]
        return options

    @property
    def contents(self) -> dict[str, bytes | Path]:
        """Every file beside the config, by its name."""
        return {file.name: file.content for file in self.tables.values()} | self.beside

    def write(self, folder: Path) -> Path:
        """Write everything into `folder`, which is empty or was written by this lab, and return the
        path of the config.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.contents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                path.unlink(missing_ok=True)
                path.symlink_to(content)
            else:
                path.write_bytes(content)
        config = folder / self.config_name
        config.write_text(
            self.config_text(yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True)),
            encoding="utf-8",
        )
        return config
