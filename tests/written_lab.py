"""A `Lab` whose tables are written in any format that is read, for tests of what holds in all of
them.

Belongs here: the same cells as csv, tsv, xlsx, xls and Parquet. Does not: expectations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xlsxwriter
import xlwt

from tests.stage_lab import Lab

FORMATS = ("csv", "tsv", "xlsx", "xls", "parquet")


def with_formats(values: Sequence[Any]) -> list[tuple[Any, str]]:
    """Each of `values` as csv, and the first of them in every other format."""
    return [*((value, "csv") for value in values), *((values[0], suffix) for suffix in FORMATS[1:])]


Columns = Mapping[str, Sequence[str | None]]
"""Column -> its cells as text."""


def written_lab(
    folder: Path,
    tables: Mapping[str, Columns],
    suffix: str = "csv",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    **config: Any,
) -> Lab:
    """A lab whose `tables` are files of text cells that end in `suffix`."""
    lab = Lab(folder, dict.fromkeys(tables), settings, **config)
    for table, columns in tables.items():
        lab.config["tables"][table]["file"] = f"{table}.{suffix}"
        write(folder / f"{table}.{suffix}", columns)
    return lab


def write(path: Path, columns: Columns) -> None:
    """Write `columns` as the format that `path` ends in; every cell stays text."""
    rows = list(zip(*columns.values(), strict=True))
    if path.suffix == ".parquet":
        pq.write_table(
            pa.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()}), path
        )
    elif path.suffix == ".xlsx":
        with xlsxwriter.Workbook(
            path, {"strings_to_numbers": False, "strings_to_formulas": False}
        ) as book:
            sheet = book.add_worksheet()
            for number, row in enumerate([tuple(columns), *rows]):
                for column, cell in enumerate(row):
                    if cell is not None:
                        sheet.write_string(number, column, cell)
    elif path.suffix == ".xls":
        old = xlwt.Workbook(encoding="utf-8")
        sheet = old.add_sheet("Sheet1")
        for number, row in enumerate([tuple(columns), *rows]):
            for column, cell in enumerate(row):
                if cell is not None:
                    sheet.write(number, column, cell)
        old.save(str(path))
    else:
        mark = "," if path.suffix == ".csv" else "\t"
        lines = [mark.join(_quoted(cell, mark) for cell in row) for row in [tuple(columns), *rows]]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _quoted(cell: str | None, mark: str) -> str:
    text = cell or ""
    return '"' + text.replace('"', '""') + '"' if '"' in text or mark in text else text
