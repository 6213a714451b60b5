"""A dataset checked, its fix-me workbook, and a person who corrects it.

Belongs here: running the checks, writing the workbook, the person's hand, applying it. Does not:
expectations.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl

from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.corrections.apply import Applied, apply
from syndb_pipeline.corrections.returned import opened
from syndb_pipeline.readers.corrections import path_of, read
from syndb_pipeline.report.exports import Wanted, write_files
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import Record
from tests.lab import run_stages


def check(context: Context) -> Record:
    """Run the checks; gives the record of the verdict."""
    return run_stages(context)["check_integrity"]


def fixes(context: Context, path: Path) -> Path:
    """Write the fix-me workbook."""
    with context.store.lock():
        write_files(context, Wanted(fixes=path))
    return path


def applied(context: Context, path: Path) -> tuple[Applied, Context]:
    """Apply the workbook; gives also a context that reads the config again."""
    with context.store.lock():
        done = apply(context, opened(path))
    return done, Context(load_dataset(context.config.path), context.settings)


def corrections(folder: Path, table: str) -> list[tuple[int, str, str, str]]:
    """The corrections of a table, each without its file."""
    path = path_of(folder, table)
    every = read(path) if path.is_file() else []
    return [(each.line, each.column, each.was, each.now) for each in every]


def edit(path: Path, change: Callable[[Any], None], out: Path | None = None) -> Path:
    """What `change` does to the workbook, opened as a person's program opens it, saved as a file of
    its own.
    """
    book = openpyxl.load_workbook(path)
    change(book)
    out = out or path.with_name(f"corrected-{path.name}")
    book.save(out)
    return out


def set_cell(path: Path, sheet: str, row: int, column: str, value: object) -> Path:
    """The workbook with one cell set, by the row of the lab's file and the lab's name of the
    column.
    """

    def change(book: Any) -> None:
        cells = book[sheet]
        names = [cell.value for cell in cells[1]]
        (number,) = [cell.row for cell in cells["C"] if str(cell.value) == str(row)]
        cells.cell(number, names.index(column) + 1).value = value

    return edit(path, change, path)
