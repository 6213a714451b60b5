"""A `Lab` whose tables are written in any format that is read, for tests of what holds in all of
them.

Belongs here: the same cells as csv, tsv, xlsx, xls and Parquet. Does not: expectations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import xlwt

from tests.campaigns import sampled
from tests.lab import Lab
from tests.lab_files import Cell, as_parquet, workbook

FORMATS = ("csv", "tsv", "xlsx", "xls", "parquet")


def crossed(campaign: str, at_most: int, *axes: Sequence[Any]) -> list[tuple[Any, ...]]:
    """A sample of all combinations of one value of each of `axes`; tuples give several values."""
    every = [
        tuple(
            part for value in values for part in (value if isinstance(value, tuple) else (value,))
        )
        for values in product(*axes)
    ]
    return sampled(campaign, every, at_most)


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
    write_rows(path, [tuple(columns), *zip(*columns.values(), strict=True)])


def write_rows(path: Path, rows: Sequence[Sequence[str | None]], *, numbers: bool = False) -> str:
    """Write `rows`, the header first, as the format that `path` ends in, and return its name.

    Every cell stays text, but for `numbers`: then workbooks have those cells as numbers that are.
    """
    grid: list[list[Cell]] = [
        [float(cell) if numbers and _is_number(cell) else cell for cell in row] for row in rows
    ]
    if path.suffix == ".parquet":
        path.write_bytes(as_parquet()([list(row) for row in rows]))
    elif path.suffix == ".xlsx":
        path.write_bytes(workbook({"Sheet1": grid}))
    elif path.suffix == ".xls":
        old = xlwt.Workbook(encoding="utf-8")
        page = old.add_sheet("Sheet1")
        for number, row in enumerate(grid):
            for column, cell in enumerate(row):
                if cell not in (None, ""):
                    page.write(number, column, cell)
        old.save(str(path))
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        lines = [mark.join(_quoted(cell, mark) for cell in row) for row in rows]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path.name


def _is_number(cell: str | None) -> bool:
    return bool(cell) and cell.replace(".", "", 1).isdigit()


def _quoted(cell: str | None, mark: str) -> str:
    text = cell or ""
    return '"' + text.replace('"', '""') + '"' if '"' in text or mark in text else text
