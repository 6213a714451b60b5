"""Applying a fix-me workbook: what a person changed in it becomes lines of
`corrections/<table>.csv`.

Belongs here: what is refused before anything is written, and new corrections joined to those that
are there. Does not: the workbook (`returned.py`), laying corrections over files
(`readers/overlay.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.corrections.returned import Returned, Workbook
from syndb_pipeline.readers import corrections, files
from syndb_pipeline.readers.corrections import FOLDER, Correction, Place, row_text, unified
from syndb_pipeline.report.workbook.layout import (
    Original,
    SheetRecord,
    files_of,
    first_changed,
    open_original,
)
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import write_atomically

_LAYOUT: Final = ("names", "header_row", "delimiter", "encoding")
"""The settings by which two tables that read one file see the same rows and columns in it."""


@dataclass(frozen=True)
class Applied:
    """What was done: numbers of cells, rows and lines, the files written (relative to the config),
    notes for the person.
    """

    cells: int
    rows_corrected: int
    rows_removed: int
    rows_untouched: int
    files: list[str]
    config: str
    notes: list[str] = field(default_factory=list)


def apply(context: Context, book: Workbook) -> Applied:
    """Add what a person changed in `book` to the dataset's corrections.

    The dataset's lock must be held. The corrections of each table are replaced at once, so that the
    command can be given again after a crash. Raises `ConfigError` for a workbook that cannot be
    applied, with every reason; nothing is written then.
    """
    paths = _require_same(context, book)
    found: list[tuple[Original, Returned]] = []
    with context.duckdb() as connection:
        originals: dict[tuple[str, str | None], Original] = {}
        for record in (*book.record.sheets, *book.record.unreadable):
            key = (record.file, record.sheet)
            if key not in originals:
                scratch = context.store.scratch / f"original{len(originals)}"
                path = paths[record.file]
                originals[key] = open_original(context, connection, path, record.table, scratch)
            found.append((originals[key], _compared(context, book, originals[key], record)))
    book.finish()
    changed = [(original, returned) for original, returned in found if returned.changed]
    if not changed:
        raise ConfigError(
            f"{book.path}: no cell differs from your files and no row is marked, so there is"
            " nothing to apply.",
            next_step=(
                "Correct the coloured cells, save the workbook, and give the same command again."
            ),
        )
    texts: dict[Path, str] = {}
    for table in context.config.tables:
        of_table = [pair for pair in changed if _reads(context, table, pair[1].record)]
        if of_table:
            path = corrections.path_of(context.config.folder, table)
            texts[path] = corrections.as_csv(_joined(path, of_table))
    for path, text in texts.items():
        write_atomically(path, text)
    return _applied(context, book, [returned for _, returned in found], texts)


def _require_same(context: Context, book: Workbook) -> dict[str, Path]:
    """The paths of the workbook's files by name. Raises `ConfigError` unless they are those it was
    made from.
    """
    record, config = book.record, context.config
    if record.dataset != context.dataset:
        raise ConfigError(
            f"{book.path} was made for dataset {record.dataset}; {config.path} is dataset"
            f" {context.dataset}.",
            next_step=(
                "Give the dataset's own YAML: syndb-pipeline apply-fixes FILE --config CONFIG"
            ),
        )
    sources = [(sheet.file, sheet.table) for sheet in (*record.sheets, *record.unreadable)]
    if file := first_changed(context, sources, record.files):
        raise ConfigError(
            f"{file} changed since {book.path} was made, or {config.path} reads it otherwise, so"
            " its rows may be others now.",
            next_step=_again(context),
        )
    return files_of(config.folder, config.tables)


def _again(context: Context) -> str:
    return f"Write it again: syndb-pipeline report {context.config.path} --fixes FILE"


def _compared(
    context: Context, book: Workbook, original: Original, record: SheetRecord
) -> Returned:
    """What came back of one sheet of the workbook. Raises `ConfigError` where its rows are others
    now.
    """
    fits = (
        original.columns[: len(record.columns)] == record.columns
        and original.part.sheet == record.sheet
    )
    texts = (original.rows if record.columns else original.refused)(record.rows) if fits else {}
    stale = corrections.digest(context.config.folder, record.table) != book.record.corrections.get(
        record.table
    )
    if not fits or (set(texts) != set(record.rows) and not stale):
        raise ConfigError(
            f"{record.file} is not read as it was when {book.path} was made: {context.config.path}"
            " changed.",
            next_step=_again(context),
        )
    comma = original.part.delimiter is not None and original.config.decimal == ","
    returned = book.changes(record, texts, comma=comma)
    if stale and returned.changed:
        raise ConfigError(
            f"{FOLDER}/{record.table}.csv changed since {book.path} was made. Was it applied"
            " already?",
            next_step=_again(context),
        )
    return returned


def _reads(context: Context, table: str, record: SheetRecord) -> bool:
    """Whether `table` reads the rows of `record` as its own table does, so that they are corrected
    for both.
    """
    config, other = context.config.tables[record.table], context.config.tables[table]
    if record.file not in files_of(context.config.folder, {table: other}):
        return False
    alike = all(getattr(config, name) == getattr(other, name) for name in _LAYOUT)
    return alike and (other.sheet or record.sheet) == record.sheet


def _joined(path: Path, changed: list[tuple[Original, Returned]]) -> list[Correction]:
    """The corrections at `path` with what changed: of one place the first `was` stays and the last
    `now` counts.
    """
    found: dict[Place, Correction] = {}
    if path.is_file():
        found = {each.place: each for each in corrections.read(path)}

    def put(file: str, line: int, column: str, text: str, now: str) -> None:
        before = found.pop((file, line, column), None)
        was = before.was if before else unified(text)
        if was != now:
            found[file, line, column] = Correction(file, line, column, was, now)

    for original, returned in changed:
        record = returned.record
        for line in returned.removed:
            row = returned.texts[line]
            if record.columns:
                places = [(record.file, line, name) for name in original.columns]
                before = [found.pop(place, None) for place in places]
                values = [
                    each.was if each else value for each, value in zip(before, row, strict=True)
                ]
                put(record.file, line, "", row_text(values, original.part.delimiter), "")
            else:
                put(record.file, line, "", row[0], "")
        for line, cells in returned.cells.items():
            for index, text in cells.items() if line not in returned.removed else ():
                column = record.columns[index] if record.columns else ""
                put(record.file, line, column, returned.texts[line][index], text)
    return list(found.values())


def _applied(
    context: Context, book: Workbook, every: list[Returned], texts: dict[Path, str]
) -> Applied:
    corrected = [
        cells for part in every for row, cells in part.cells.items() if row not in part.removed
    ]
    removed = sum(len(part.removed) for part in every)
    shown = sum(len(part.texts) for part in every)
    notes = []
    if absent := sum(part.absent for part in every):
        notes.append(
            f"Rows missing from the workbook, read as they are: {absent:,}. To take a row out, mark"
            " it with x."
        )
    if book.unknown_sheets:
        notes.append(
            "Sheets that are not of this workbook were passed over:"
            f" {', '.join(book.unknown_sheets)}."
        )
    return Applied(
        cells=sum(map(len, corrected)),
        rows_corrected=len(corrected),
        rows_removed=removed,
        rows_untouched=shown - len(corrected) - removed,
        files=[files.shown(path, context.config.folder) for path in texts],
        config=str(context.config.path),
        notes=notes,
    )
