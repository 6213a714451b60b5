"""Applying a fix-me workbook: corrected copies of the lab's files, proved, put in place, and named
by the config.

Belongs here: the order of it, and what is refused before anything is written. Does not: formats of
files, or running the checks.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import duckdb

from syndb_pipeline.base.engine import flush, literal, parquet
from syndb_pipeline.base.errors import ConfigError, PipelineError
from syndb_pipeline.corrections import config_edit
from syndb_pipeline.corrections.old_workbook import write_as_xlsx
from syndb_pipeline.corrections.parquet_copy import write_parquet_copy
from syndb_pipeline.corrections.places import (
    FOLDER,
    OLD_EXCEL,
    Plan,
    files_by_table,
    plan_copies,
    require_same_files,
)
from syndb_pipeline.corrections.proof import differing
from syndb_pipeline.corrections.returned import Returned, Workbook
from syndb_pipeline.corrections.sheet_copy import SheetChanges, write_workbook_copy
from syndb_pipeline.corrections.text_copy import TextCopy
from syndb_pipeline.readers import files
from syndb_pipeline.report.workbook.originals import Original, open_original, prepare
from syndb_pipeline.report.workbook.record import SheetRecord
from syndb_pipeline.state.stage import Context


@dataclass(frozen=True)
class Applied:
    """What was done: numbers of cells, rows and lines, the files written (relative to the config),
    notes for the person.
    """

    cells: int
    rows_corrected: int
    rows_removed: int
    rows_untouched: int
    folder: str
    files: list[str]
    config: str
    config_before: str
    notes: list[str] = field(default_factory=list)


@dataclass
class _Source:
    """One file, or one sheet of it, with what came back for it."""

    original: Original
    rows: Returned | None = None
    lines: Returned | None = None

    @property
    def changed(self) -> bool:
        return bool((self.rows and self.rows.changed) or (self.lines and self.lines.changed))


def apply(context: Context, book: Workbook) -> Applied:
    """Merge what a person changed in `book` into copies of the dataset's files, and point the
    config at them.

    The dataset's lock must be held. The lab's own files are only read. Everything is written beside
    and renamed; whatever fails leaves files and config as they were. Raises `ConfigError` for a
    workbook that cannot be applied, with every reason.
    """
    before = files_by_table(context.config)
    witness = files.Witness()
    paths = _require_same(context, book, before, witness)
    scratch = context.store.scratch / "corrections"
    with context.duckdb() as connection:
        prepare(connection)
        sources = _compared(context, book, connection, paths, scratch)
        book.finish()
        changed = {
            name: group
            for name, group in sources.items()
            if any(source.changed for source in group)
        }
        if not changed:
            raise ConfigError(
                f"{book.path}: no cell differs from your files and no row is marked, so there is"
                " nothing to apply.",
                next_step=(
                    "Correct the coloured cells, save the workbook, and give the same command"
                    " again."
                ),
            )
        plan = plan_copies(context.config, [paths[name] for name in changed])
        config_edit.edited(context.config.path, plan.patterns)  # refused now rather than later
        with _new_folder(context, plan) as folder:
            for name, group in changed.items():
                _Copier(context, connection, folder, plan, scratch).write(paths[name], group, book)
                book.finish()
            for path in plan.copies:
                if path not in {paths[name] for name in changed}:
                    _copy_unchanged(path, folder / plan.copies[path])
            for path in plan.copies:
                witness.confirm(path)
    try:
        require_same_files(context.config, plan, before)
    except ConfigError:
        shutil.rmtree(context.config.folder / plan.name)
        raise
    text = config_edit.edited(context.config.path, plan.patterns)
    kept = config_edit.replace(context.config.path, text, plan.number)
    return _told(context, book, plan, changed, sources, kept)


def _require_same(
    context: Context, book: Workbook, before: Mapping[str, list[Path]], witness: files.Witness
) -> dict[str, Path]:
    """The paths of the workbook's files by name. Raises `ConfigError` unless dataset and files are
    those it was made from.
    """
    record, config = book.record, context.config
    again = f"Write it anew: syndb-pipeline report {config.path} --fixes FILE"
    if record.dataset != context.dataset:
        raise ConfigError(
            f"{book.path} was made for dataset {record.dataset}; {config.path} is dataset"
            f" {context.dataset}.",
            next_step=(
                "Give the dataset's own YAML: syndb-pipeline apply-fixes FILE --config CONFIG"
            ),
        )
    paths: dict[str, Path] = {}
    for sheet in (*record.sheets, *record.unreadable):
        found = {files.shown(path, config.folder): path for path in before.get(sheet.table, [])}
        if sheet.file not in found or sheet.file not in record.files:
            raise ConfigError(
                f"{sheet.file} is not what {config.path} reads as {sheet.table} any more. Was"
                f" {book.path.name} applied already?",
                next_step=again,
            )
        paths[sheet.file] = found[sheet.file]
    for name, path in paths.items():
        if witness.digest(path) != record.files[name]:
            raise ConfigError(
                f"{name} changed since {book.path} was made, so its rows may be others now.",
                next_step=again,
            )
    return paths


def _compared(
    context: Context,
    book: Workbook,
    connection: duckdb.DuckDBPyConnection,
    paths: Mapping[str, Path],
    scratch: Path,
) -> dict[str, list[_Source]]:
    """What came back of each file, sheet by sheet."""
    sources: dict[tuple[str, str | None], _Source] = {}
    memory = context.settings.memory_limit
    for record in (*book.record.sheets, *book.record.unreadable):
        config = context.config.tables[record.table]
        key = (record.file, record.sheet)
        if key not in sources:
            folder = scratch / f"original{len(sources)}"
            sources[key] = _Source(
                open_original(
                    connection,
                    paths[record.file],
                    record.file,
                    record.table,
                    config,
                    folder,
                    memory,
                )
            )
        source = sources[key]
        texts = _texts(connection, source.original, record)
        if set(texts) != set(record.rows) or source.original.part.sheet != record.sheet:
            raise ConfigError(
                f"{record.file} is not read as it was when {book.path} was made:"
                f" {context.config.path} changed.",
                next_step=(
                    f"Write the workbook anew: syndb-pipeline report {context.config.path} --fixes"
                    " FILE"
                ),
            )
        is_text = files.suffix(source.original.path) in files.TEXT_SUFFIXES
        returned = book.changes(record, texts, comma=is_text and config.decimal == ",")
        if record.columns:
            source.rows = returned
        else:
            source.lines = returned
    grouped: dict[str, list[_Source]] = {}
    for (name, _), source in sources.items():
        grouped.setdefault(name, []).append(source)
    return grouped


def _texts(
    connection: duckdb.DuckDBPyConnection, original: Original, record: SheetRecord
) -> dict[int, list[str]]:
    """The texts of the record's rows in the lab's file now, by row; none when its columns are
    others.
    """
    if record.columns:
        return (
            original.rows(connection, record.rows)
            if original.columns[: len(record.columns)] == record.columns
            else {}
        )
    refused = original.part.refused_lines
    if refused is None:
        return {}
    wanted = f"line IN (SELECT unnest({literal(record.rows)}))"
    return {
        line: [text]
        for line, text in connection.execute(
            f"SELECT line, text FROM {parquet(refused)} WHERE {wanted}"
        ).fetchall()
    }


@contextmanager
def _new_folder(context: Context, plan: Plan) -> Iterator[Path]:
    """A folder to write into, which becomes the plan's when all went well and is gone otherwise."""
    outer = context.config.folder / FOLDER
    outer.mkdir(exist_ok=True)
    for left in outer.glob(f".{context.dataset}.*/"):  # by a run that died
        shutil.rmtree(left)
    folder = outer / f".{context.dataset}.{uuid4().hex}"
    folder.mkdir()
    try:
        yield folder
        for path in sorted(folder.rglob("*"), reverse=True):
            flush(path)
        flush(folder)
        try:
            folder.rename(outer / str(plan.number))
        except OSError as error:
            message = (
                f"{outer / str(plan.number)} cannot be made ({error.strerror}); perhaps another"
                " dataset's workbook was applied just now."
            )
            raise PipelineError(message, next_step="Give the same command again.") from None
        flush(outer)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if not any(outer.iterdir()):
            outer.rmdir()


def _copy_unchanged(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if files.suffix(path) == OLD_EXCEL:
        write_as_xlsx(path, target)
    else:
        shutil.copyfile(path, target)


@dataclass
class _Copier:
    """Writes the corrected copy of one file and proves it."""

    context: Context
    connection: duckdb.DuckDBPyConnection
    folder: Path
    plan: Plan
    scratch: Path

    def write(self, path: Path, sources: list[_Source], book: Workbook) -> None:
        target = self.folder / self.plan.copies[path]
        target.parent.mkdir(parents=True, exist_ok=True)
        self.context.say(f"{self.plan.name}/{self.plan.copies[path]}")
        suffix = files.suffix(path)
        if suffix in files.WORKBOOK_SUFFIXES:
            self._workbook(path, target, sources, book)
        elif suffix in files.PARQUET_SUFFIXES:
            (source,) = sources
            assert source.rows is not None
            write_parquet_copy(source.original, source.rows, target, book.problems)
            if not book.problems:
                self._require_right(self._wrong(target, source, {}), source)
        else:
            (source,) = sources
            copy = TextCopy(source.original, source.rows, source.lines, book.problems)
            copy.write(target, self.scratch)
            if not book.problems:
                self._require_right(self._wrong(target, source, copy.added), source)

    def _workbook(self, path: Path, target: Path, sources: list[_Source], book: Workbook) -> None:
        values = path
        if files.suffix(path) == OLD_EXCEL:
            values = self.scratch / f"{uuid4().hex}.xlsx"
            write_as_xlsx(path, values)
        changed = {
            source.original.part.sheet or "": source
            for source in sources
            if source.rows and source.rows.changed
        }
        as_text: dict[str, frozenset[tuple[int, int]]] = dict.fromkeys(changed, frozenset())
        for attempt in range(2):
            changes = {
                name: SheetChanges(source.original, source.rows, as_text[name])
                for name, source in changed.items()
                if source.rows is not None
            }
            write_workbook_copy(values, target, changes, book.problems)
            if book.problems:
                return
            wrong = {name: self._wrong(target, source, {}) for name, source in changed.items()}
            if not any(wrong.values()):
                break
            if attempt:
                for name, source in changed.items():
                    self._require_right(wrong[name], source)
            # A number in a cell that is formatted as a date reads as a date: there it has to stand
            # as text.
            as_text = {name: frozenset(cells) for name, cells in wrong.items()}
        for source in sources if values != path else ():
            if not source.changed:
                self._require_right(self._wrong(target, source, {}), source)

    def _wrong(
        self, target: Path, source: _Source, added: Mapping[int, list[list[str]]]
    ) -> set[tuple[int, int]]:
        original = source.original
        folder = self.scratch / uuid4().hex
        memory = self.context.settings.memory_limit
        after = open_original(
            self.connection,
            target,
            original.part.file,
            original.table,
            original.config,
            folder,
            memory,
        )
        wrong = differing(self.connection, original, after, source.rows, added)
        shutil.rmtree(folder)
        return wrong

    def _require_right(self, wrong: set[tuple[int, int]], source: _Source) -> None:
        if wrong and source.rows is not None:
            row, index = min(wrong)
            correction = source.rows.cells[row][index]
            raise PipelineError(
                f"{correction.address}: the copy of {source.original.part.file} does not hold"
                f" {correction.text!r} in row {row}.",
                next_step=(
                    "Nothing was written. Write the value otherwise, or correct it in the file"
                    " itself."
                ),
            )


def _told(
    context: Context,
    book: Workbook,
    plan: Plan,
    changed: Mapping[str, list[_Source]],
    sources: Mapping[str, list[_Source]],
    kept: Path,
) -> Applied:
    every = [
        part
        for group in sources.values()
        for source in group
        for part in (source.rows, source.lines)
        if part
    ]
    corrected = {
        id(part): {row: cells for row, cells in part.cells.items() if row not in part.removed}
        for part in every
    }
    rows = sum(len(cells) for cells in corrected.values())
    removed = sum(len(part.removed) for part in every)
    notes = []
    absent = sum(part.absent for part in every)
    if absent:
        notes.append(
            f"Rows missing from the workbook, copied as they stand: {absent:,}. To take a row out,"
            " mark it with x."
        )
    if any(part.moved for part in every):
        notes.append(
            "The rows stand in another order; each was merged into its own row of the file."
        )
    repeated = sum(part.repeated for part in every)
    if repeated:
        notes.append(
            f"{repeated:,} row{'' if repeated == 1 else 's'} stand{'s' if repeated == 1 else ''}"
            " twice, alike; merged once."
        )
    if book.unknown_sheets:
        notes.append(
            "Sheets that are not of this workbook were passed over:"
            f" {', '.join(book.unknown_sheets)}."
        )
    if any(files.suffix(path) == OLD_EXCEL for path in plan.copies):
        notes.append(
            "Old Excel workbooks (.xls) were copied as .xlsx, values without formats; nothing"
            " writes .xls any more."
        )
    return Applied(
        cells=sum(len(cells) for rows_ in corrected.values() for cells in rows_.values()),
        rows_corrected=rows,
        rows_removed=removed,
        rows_untouched=sum(len(part.record.rows) for part in every) - rows - removed,
        folder=plan.name,
        files=[f"{plan.name}/{plan.copies[path]}" for path in plan.copies],
        config=str(context.config.path),
        config_before=os.path.relpath(kept, context.config.folder),
        notes=notes,
    )
