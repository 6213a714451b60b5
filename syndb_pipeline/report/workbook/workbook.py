"""Writing the fix-me workbook: a lab's failing rows as they are in its files, what is wrong with
each cell, and how to correct it.

Belongs here: sheets, comments, instructions, the record. Does not: which rows (`failing_rows.py`),
how it looks and what it says (`look.toml`), what comes back (`corrections/returned.py`).
"""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import duckdb
import xlsxwriter

from syndb_pipeline.base.engine import flush
from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.base.system import rename
from syndb_pipeline.readers import corrections
from syndb_pipeline.report.gather import Report
from syndb_pipeline.report.workbook.failing_rows import (
    CELL_FAULTS,
    MAX_ROWS,
    Chosen,
    Failing,
    Fault,
    about_rows,
    choose,
)
from syndb_pipeline.report.workbook.layout import (
    LINE,
    OWN_COLUMNS,
    README,
    RECORD,
    REMOVE,
    FixRecord,
    Original,
    SheetRecord,
    files_of,
    first_changed,
    is_cut,
    open_original,
    shown,
)
from syndb_pipeline.rules.catalogue import RULES, SEVERITIES
from syndb_pipeline.rules.finding import Finding

MAX_CELLS: Final = 2_000_000
"""Cells of one workbook; files with many columns show fewer rows."""

MAX_COMMENTS: Final = 4_000
"""Comments of one workbook: a spreadsheet draws each as a shape, and opens slowly with more. The
column beside says the same.
"""

MAX_SHEETS: Final = 100
"""Files of one workbook, each on a sheet of its own; the rows of more have to wait for the
next.
"""

MAX_COLUMNS: Final = 16_384 - len(OWN_COLUMNS)
"""The lab's columns that a sheet has room for (Excel's own limit)."""

LOOK: Final[dict[str, Any]] = tomllib.loads(
    files(__package__).joinpath("look.toml").read_text(encoding="utf-8")
)
"""Formats, colours and texts."""

_CHUNK: Final = 30_000  # characters of the record in one cell
_TEXT: Final = {"num_format": "@", "valign": "top"}
_LONG_AGO: Final = datetime(2000, 1, 1)


Row = Sequence[Sequence[str]]
"""Cells of one row: the name of its format, and text."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: rows shown, and all there are."""

    rows: int
    total: int


def write_workbook(
    report: Report, connection: duckdb.DuckDBPyConnection, path: Path, *, limit: int = MAX_ROWS
) -> Written:
    """Write the workbook to `path`, beside first and then renamed. `report` and `connection` are
    those that `gathered` gives.

    Raises `PipelineError` when a file or the config changed since the checks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid4().hex}")
    scratch = report.context.store.scratch / "fixes"
    chosen = choose(report, connection, limit)
    book = _Book(
        report,
        connection,
        chosen,
        xlsxwriter.Workbook(str(beside), {"constant_memory": True, "tmpdir": str(_made(scratch))}),
    )
    try:
        try:
            book.write(scratch, limit)
        finally:
            book.file.close()
        flush(beside)
        rename(beside, path)
        flush(path.parent)
    finally:
        beside.unlink(missing_ok=True)
    return Written(book.rows, max(chosen.total, book.rows))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass
class _Book:
    """The workbook while it is written."""

    report: Report
    connection: duckdb.DuckDBPyConnection
    chosen: Chosen
    file: Any
    rows: int = 0
    comments: int = 0
    sheets: list[SheetRecord] = field(default_factory=list)
    unreadable: list[SheetRecord] = field(default_factory=list)
    titles: set[str] = field(default_factory=lambda: {README.casefold(), RECORD.casefold()})

    def __post_init__(self) -> None:
        made = self.report.last_run.replace(tzinfo=None) if self.report.last_run else _LONG_AGO
        title = f"{self.report.name}: rows to correct"
        comments = "Made by syndb-pipeline."
        self.file.set_properties({"title": title, "created": made, "comments": comments})
        formats: dict[str, dict[str, Any]] = dict(LOOK["formats"])
        for severity, (cell, row) in LOOK["colours"].items():
            formats[severity] = {"bg_color": cell}
            formats[f"row {severity}"] = {"bg_color": row}
            formats[f"wrap {severity}"] = {"bg_color": cell, "text_wrap": True}
        self.formats = {name: self.file.add_format(_TEXT | each) for name, each in formats.items()}

    def write(self, scratch: Path, limit: int) -> None:
        readme = self.file.add_worksheet(README)
        self._require_checked()
        paths = files_of(self.report.context.config.folder, self.report.context.config.tables)
        cells = 0
        for number, source in enumerate([*self.chosen.sources.values()][:MAX_SHEETS]):
            context, folder = self.report.context, scratch / f"file{number}"
            path = paths[source.file]
            original = open_original(context, self.connection, path, source.table, folder)
            self._add_cell_faults(source, original, limit)
            room = max(0, MAX_CELLS - cells) // max(1, len(original.columns))
            kept = sorted(source.rows)[: max(room, 1)]
            cells += len(kept) * len(original.columns)
            if kept:
                columns = original.columns[:MAX_COLUMNS]
                name = f"{Path(source.file).name} {source.sheet or ''}".rstrip()
                title, sheet = self._sheet(name, columns, several=bool(source.sheet))
                rows = self._rows(sheet, 0, source, columns, original.rows(kept))
                self.sheets.append(_record_of(title, source, columns, rows))
            shutil.rmtree(folder)
        if self.chosen.lines:
            title, sheet = self._sheet("unreadable lines", [LINE], several=True)
            written = 0
            for source in self.chosen.lines.values():
                texts = {line: [text] for line, text in source.lines.items()}
                rows = self._rows(sheet, written, source, [LINE], texts)
                written += len(rows)
                self.unreadable.append(_record_of(title, source, [], rows))
        self._readme(
            readme, _instructions(self.report, self.rows, max(self.chosen.total, self.rows))
        )
        self._record()

    def _require_checked(self) -> None:
        """Raise `PipelineError` unless the files are those that were checked, and the config still
        reads them.
        """
        context, inputs = self.report.context, self.report.records["ingest"].inputs
        every = [*self.chosen.sources.values(), *self.chosen.lines.values()]
        sources = {(source.file, source.table) for source in every}
        file = first_changed(context, sources, self.report.files)
        for name, table in () if file else sorted(sources):
            digest = corrections.digest(context.config.folder, table)
            if digest != inputs.get(f"corrections:{table}", ""):
                file = name
        if file:
            raise PipelineError(
                f"{file} is not as it was when it was checked, so its rows may be others now.",
                next_step=f"Run the checks again: syndb-pipeline check {context.config.path}",
            )

    def _add_cell_faults(self, source: Failing, original: Original, limit: int) -> None:
        """Add the cells whose faults the reader saw: no stage keeps them."""
        findings = {
            finding.code: finding
            for finding in self.report.findings
            if finding.table == source.table
        }
        wrong = [
            fault
            for fault in original.part.faults
            if fault[3] in CELL_FAULTS and fault[3] in findings
        ]
        wrong = [fault for fault in wrong if fault[2] not in original.markers(fault[1])]
        self.chosen.total += len({fault[0] for fault in wrong} - set(source.rows))
        for row, index, _, code in wrong:
            if row in source.rows or self.rows + len(source.rows) < limit:
                source.rows.setdefault(row, []).append(
                    Fault(original.columns[index], code, findings[code])
                )

    def _sheet(self, name: str, columns: Sequence[str], *, several: bool) -> tuple[str, Any]:
        """A new sheet with its title and header; `several` where its rows are of several sheets or
        files.
        """
        title = self._title(name)
        sheet = self.file.add_worksheet(title)
        for index, column in enumerate((*OWN_COLUMNS, *map(shown, columns))):
            own = "own head" if index < len(OWN_COLUMNS) else "head"
            sheet.write_string(0, index, column, self.formats[own])
        for index, width in enumerate((16, 12 if several else 6, 8, 34, 9)):
            sheet.set_column(index, index, width)
        last = len(OWN_COLUMNS) + len(columns) - 1
        sheet.set_column(len(OWN_COLUMNS), last, 14 if len(columns) > 1 else 100)
        sheet.freeze_panes(1, OWN_COLUMNS.index("row") + 1)
        return title, sheet

    def _rows(
        self,
        sheet: Any,
        above: int,
        source: Failing,
        columns: Sequence[str],
        texts: Mapping[int, list[str]],
    ) -> list[int]:
        """Write the failing rows of `source` that have texts below row `above`; gives their
        lines.
        """
        position = {name: index for index, name in reversed(list(enumerate(columns)))}
        lines = sorted(texts)
        for number, line in enumerate(lines, start=above + 1):
            faults = sorted(source.rows[line], key=lambda fault: -SEVERITIES.index(fault.severity))
            by_cell: dict[int, list[Fault]] = {}
            for fault in faults:
                if fault.column in position:
                    by_cell.setdefault(position[fault.column or ""], []).append(fault)
            wrong = "; ".join(dict.fromkeys(map(_in_short, faults)))
            for index, value in enumerate((source.file, source.sheet or "", str(line), wrong)):
                sheet.write_string(number, index, shown(value), self.formats["own"])
            sheet.write_blank(number, REMOVE, None, self.formats["remove"])
            ground = "plain" if by_cell else f"row {faults[0].severity}"
            for index, value in enumerate(texts[line][: len(columns)]):
                text, found = shown(value), by_cell.get(index, [])
                style = found[0].severity if found else "cut" if is_cut(text) else ground
                at = len(OWN_COLUMNS) + index
                sheet.write_string(number, at, text, self.formats[style])
                self._comment(sheet, number, at, found)
            if not by_cell:
                self._comment(sheet, number, OWN_COLUMNS.index("what is wrong"), faults)
        self.rows += len(lines)
        return lines

    def _comment(self, sheet: Any, row: int, column: int, faults: list[Fault]) -> None:
        if not faults or self.comments >= MAX_COMMENTS:
            return
        self.comments += 1
        words = [
            _words(fault)
            for fault in {(fault.code, fault.column): fault for fault in faults}.values()
        ]
        text = shown("\n\n".join(words))[:4_000]
        lines = sum(1 + len(line) // 60 for line in text.split("\n"))
        sheet.write_comment(
            row,
            column,
            text,
            {"x_scale": 3.2, "height": min(600, 22 + 16 * lines), "author": "syndb-pipeline"},
        )

    def _title(self, wanted: str) -> str:
        """A title that a spreadsheet takes and no other sheet has."""
        plain = re.sub(r"[\[\]:*?/\\\x00-\x1f]", "_", shown(wanted)).strip("' ") or "rows"
        title, number = plain[:31], 1
        while title.casefold() in self.titles or title.casefold() == "history":
            number += 1
            title = f"{plain[: 31 - len(str(number)) - 1]} {number}"
        self.titles.add(title.casefold())
        return title

    def _readme(self, sheet: Any, rows: Iterable[Row]) -> None:
        sheet.set_column(0, 0, 12)
        sheet.set_column(1, 1, 78)
        sheet.set_column(2, 2, 44)
        sheet.hide_gridlines(2)
        for number, row in enumerate(rows):
            for index, (style, text) in enumerate(row):
                if text:
                    sheet.write_string(number, index, shown(text), self.formats[style])

    def _record(self) -> None:
        names = {sheet.file for sheet in (*self.sheets, *self.unreadable)}
        tables = {sheet.table for sheet in (*self.sheets, *self.unreadable)}
        home = self.report.context.config.folder
        record = FixRecord(
            dataset=self.report.context.dataset,
            config=str(self.report.context.config.path),
            files={name: digest for name, digest in self.report.files.items() if name in names},
            corrections={table: corrections.digest(home, table) for table in sorted(tables)},
            sheets=self.sheets,
            unreadable=self.unreadable,
        )
        text = record.model_dump_json(ensure_ascii=True)
        sheet = self.file.add_worksheet(RECORD)
        sheet.very_hidden()
        for number, start in enumerate(range(0, len(text), _CHUNK)):
            sheet.write_string(number, 0, text[start : start + _CHUNK], self.formats["plain"])


def _record_of(title: str, source: Failing, columns: list[str], rows: list[int]) -> SheetRecord:
    return SheetRecord(
        title=title,
        table=source.table,
        file=source.file,
        sheet=source.sheet,
        columns=columns,
        rows=rows,
    )


def _in_short(fault: Fault) -> str:
    where = "" if fault.column == LINE else f"{fault.column or 'row'}: "
    return f"{where}{fault.code} {RULES[fault.code].title}"


def _words(fault: Fault) -> str:
    """What a comment says of one fault."""
    finding = fault.finding
    if finding is None:
        return f"{fault.code} {RULES[fault.code].title}"
    note = f"\n{fault.note}" if fault.note else ""
    settings = f"\nIn the config: {finding.settings[0]}" if finding.settings else ""
    return (
        f"{fault.severity.upper()} {fault.code} {finding.title}\n{finding.message}{note}\nFix:"
        f" {finding.fix}{settings}"
    )


def _instructions(report: Report, rows: int, total: int) -> Iterator[Row]:
    """The rows of the sheet, for a workbook that shows `rows` of `total` failing rows."""
    counts = {"rows": f"{rows:,}", "total": f"{total:,}", "left": f"{total - rows:,}"}
    beginning = ("title", "some" if total else "none", *(("more",) if total > rows else ()))
    for row in [row for part in beginning for row in LOOK["read_me"][part]]:
        yield [(style, text.format(name=report.name, **counts)) for style, text in row]
    yield from LOOK["read_me"]["how"]
    pairs = list(zip(report.findings, about_rows(report), strict=True))
    whole = [each for each, of_rows in pairs if not of_rows]
    parts = {
        "whole": [finding for finding in whole if finding.severity in ("error", "warning")],
        "of_rows": [finding for finding, of_rows in pairs if of_rows],
    }
    for heading, findings in parts.items():
        if findings:
            yield from LOOK["read_me"][heading]
            yield from map(_about, findings)


def _about(finding: Finding) -> Row:
    first = finding.examples[0] if finding.examples else None
    where = f"\nFirst: {first}" if first and first.row is not None else ""
    text = f"{finding.code} {finding.title}\n{finding.message}{where}\nFix: {finding.fix}"
    style = f"wrap {finding.severity}"
    settings = finding.settings[0] if finding.settings else ""
    return ((style, finding.severity), ("wrap", text), ("code", settings))
