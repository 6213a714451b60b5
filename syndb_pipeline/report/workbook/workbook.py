"""Writing the fix-me workbook: a lab's failing rows as they stand in its files, what is wrong with
each cell, and how to correct it.

Belongs here: sheets, colours, comments, the record. Does not: which rows (`failing_rows.py`), what
comes back (`returned.py`).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import duckdb
import xlsxwriter

from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.base.engine import flush
from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.readers import corrections
from syndb_pipeline.report.gather import Report
from syndb_pipeline.report.workbook.failing_rows import (
    CELL_FAULTS,
    MAX_ROWS,
    Chosen,
    Failing,
    Fault,
    Line,
    choose,
)
from syndb_pipeline.report.workbook.instructions import Row, instructions
from syndb_pipeline.report.workbook.originals import Original, files_of, open_original
from syndb_pipeline.report.workbook.record import (
    LINE,
    OWN_COLUMNS,
    README,
    RECORD,
    FixRecord,
    SheetRecord,
    is_cut,
    shown,
)
from syndb_pipeline.rules.catalogue import RULES, SEVERITIES

MAX_CELLS: Final = 2_000_000
"""Cells of one workbook; files with many columns show fewer rows."""

MAX_COMMENTS: Final = 4_000
"""Comments of one workbook: a spreadsheet draws each as a shape, and opens slowly with more. The
column beside says the same.
"""

MAX_SHEETS: Final = 100
"""Files of one workbook, each on a sheet of its own; the rows of more are told to wait for the
next.
"""

MAX_COLUMNS: Final = 16_384 - len(OWN_COLUMNS)
"""The lab's columns that a sheet has room for (Excel's own limit)."""

_CHUNK: Final = 30_000  # characters of the record in one cell
_COLOURS: Final = {"error": "#FFB3B3", "warning": "#FFE699", "hint": "#CFE8F3", "info": "#E7E6E6"}
_PALE: Final = {"error": "#FFE5E5", "warning": "#FFF5D6", "hint": "#EDF6FA", "info": "#F5F5F5"}
_LONG_AGO: Final = datetime(2000, 1, 1)


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
        beside.replace(path)
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
        self.file.set_properties(
            {
                "title": f"{self.report.name}: rows to correct",
                "created": made,
                "comments": "Made by syndb-pipeline.",
            }
        )
        text = {"num_format": "@", "valign": "top"}
        self.formats: dict[str, Any] = {
            "head": self.file.add_format(
                {"bold": True, "bg_color": "#DDE3EA", "bottom": 1, **text}
            ),
            "own head": self.file.add_format(
                {"bold": True, "bg_color": "#BFBFBF", "bottom": 1, **text}
            ),
            "own": self.file.add_format(
                {"bg_color": "#EDEDED", "font_color": "#595959", "locked": True, **text}
            ),
            "remove": self.file.add_format(
                {
                    "bg_color": "#FFFFFF",
                    "align": "center",
                    "border": 1,
                    "border_color": "#BFBFBF",
                    **text,
                }
            ),
            "plain": self.file.add_format(text),
            "cut": self.file.add_format({"bg_color": "#EDEDED", "font_color": "#595959", **text}),
            "h1": self.file.add_format({"bold": True, "font_size": 16, "num_format": "@"}),
            "h2": self.file.add_format(
                {"bold": True, "font_size": 12, "num_format": "@", "top": 1}
            ),
            "wrap": self.file.add_format({"text_wrap": True, **text}),
            "strong": self.file.add_format({"bold": True, "text_wrap": True, **text}),
            "code": self.file.add_format(
                {"font_name": "Consolas", "text_wrap": True, "font_color": "#1F5F2F", **text}
            ),
        }
        for severity in SEVERITIES:
            self.formats[severity] = self.file.add_format({"bg_color": _COLOURS[severity], **text})
            self.formats[f"row {severity}"] = self.file.add_format(
                {"bg_color": _PALE[severity], **text}
            )
            self.formats[f"wrap {severity}"] = self.file.add_format(
                {"bg_color": _COLOURS[severity], "text_wrap": True, **text}
            )

    def write(self, scratch: Path, limit: int) -> None:
        readme = self.file.add_worksheet(README)
        paths = files_of(self.report.context.config.folder, self.report.context.config.tables)
        self._require_checked(paths)
        cells = 0
        for number, source in enumerate(self.chosen.sources[:MAX_SHEETS]):
            context, folder = self.report.context, scratch / f"file{number}"
            path = paths[source.file]
            original = open_original(context, self.connection, path, source.table, folder)
            self._add_cell_faults(source, original, limit)
            room = max(0, MAX_CELLS - cells) // max(1, len(original.columns))
            kept = sorted(source.rows)[: max(room, 1)]
            cells += len(kept) * len(original.columns)
            if kept:
                self._sheet(source, original, kept)
            shutil.rmtree(folder)
        self._lines()
        told = instructions(self.report, self.rows, max(self.chosen.total, self.rows))
        self._readme(readme, told)
        self._record()

    def _require_checked(self, paths: Mapping[str, Path]) -> None:
        """Raise `PipelineError` unless the files are those that were checked, and the config still
        reads them.
        """
        digests, inputs = self.report.files, self.report.records["ingest"].inputs
        home = self.report.context.config.folder
        shown_files = {(source.file, source.table) for source in self.chosen.sources} | {
            (line.file, line.table) for line in self.chosen.lines
        }
        for file, table in sorted(shown_files):
            path = paths.get(file)
            if (
                path is None
                or table not in self.report.context.config.tables
                or digest_file(path) != digests.get(file)
                or corrections.digest(home, table) != inputs.get(f"corrections:{table}", "")
            ):
                raise PipelineError(
                    f"{file} is not as it was when it was checked, so its rows may be others now.",
                    next_step=(
                        "Run the checks again: syndb-pipeline check"
                        f" {self.report.context.config.path}"
                    ),
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

    def _sheet(self, source: Failing, original: Original, rows: list[int]) -> None:
        """The sheet of one source: a row for each of its failing rows."""
        title = self._title(
            f"{Path(source.file).name} {source.sheet}" if source.sheet else Path(source.file).name
        )
        columns = original.columns[:MAX_COLUMNS]
        sheet = self.file.add_worksheet(title)
        self._head(sheet, [shown(column) for column in columns], source)
        texts = original.rows(rows)
        position = {name: index for index, name in reversed(list(enumerate(columns)))}
        number = 0
        for row in rows:
            if row not in texts:
                continue
            number += 1
            faults = source.rows[row]
            wrong = _worst_first(faults)
            place = [fault for fault in wrong if fault.column in position]
            by_cell: dict[int, list[Fault]] = {}
            for fault in place:
                by_cell.setdefault(position[fault.column or ""], []).append(fault)
            words = "; ".join(
                dict.fromkeys(
                    f"{fault.column or 'row'}: {fault.code} {RULES[fault.code].title}"
                    for fault in wrong
                )
            )
            self._own(sheet, number, (source.file, source.sheet or "", str(row), words))
            ground = self.formats["plain"] if place else self.formats[f"row {wrong[0].severity}"]
            for index, value in enumerate(texts[row][: len(columns)]):
                text = shown(value)
                found = by_cell.get(index)
                style = (
                    self.formats[found[0].severity]
                    if found
                    else self.formats["cut"]
                    if is_cut(text)
                    else ground
                )
                sheet.write_string(number, len(OWN_COLUMNS) + index, text, style)
                if found:
                    self._comment(sheet, number, len(OWN_COLUMNS) + index, found)
            if not place:
                self._comment(sheet, number, OWN_COLUMNS.index("what is wrong"), wrong)
        self.rows += number
        told = [row for row in rows if row in texts]
        self.sheets.append(
            SheetRecord(
                title=title,
                table=source.table,
                file=source.file,
                sheet=source.sheet,
                columns=columns,
                rows=told,
            )
        )

    def _head(self, sheet: Any, columns: Sequence[str], source: Failing | None) -> None:
        for index, name in enumerate((*OWN_COLUMNS, *columns)):
            sheet.write_string(
                0, index, name, self.formats["own head" if index < len(OWN_COLUMNS) else "head"]
            )
        several = source is None or source.sheet
        for index, width in enumerate((16, 12 if several else 6, 8, 34, 9)):
            sheet.set_column(index, index, width)
        widest = 14 if columns and len(columns) > 1 else 100
        sheet.set_column(len(OWN_COLUMNS), len(OWN_COLUMNS) + max(0, len(columns) - 1), widest)
        sheet.freeze_panes(1, OWN_COLUMNS.index("row") + 1)

    def _own(self, sheet: Any, number: int, values: Iterable[str]) -> None:
        for index, value in enumerate(values):
            sheet.write_string(number, index, shown(value), self.formats["own"])
        sheet.write_blank(number, OWN_COLUMNS.index("remove"), None, self.formats["remove"])

    def _comment(self, sheet: Any, row: int, column: int, faults: list[Fault]) -> None:
        if self.comments >= MAX_COMMENTS:
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

    def _lines(self) -> None:
        """The sheet of lines that could not be read as rows, each as one cell."""
        if not self.chosen.lines:
            return
        title = self._title("unreadable lines")
        sheet = self.file.add_worksheet(title)
        self._head(sheet, [LINE], None)
        sources: dict[tuple[str, str, str | None], list[int]] = {}
        for number, line in enumerate(self.chosen.lines, start=1):
            self._own(
                sheet,
                number,
                (
                    line.file,
                    line.sheet or "",
                    str(line.number),
                    f"{line.code} {RULES[line.code].title}",
                ),
            )
            sheet.write_string(number, len(OWN_COLUMNS), shown(line.text), self.formats["error"])
            self._comment(
                sheet, number, len(OWN_COLUMNS), [Fault(None, line.code, self._finding(line))]
            )
            sources.setdefault((line.table, line.file, line.sheet), []).append(line.number)
        self.rows += len(self.chosen.lines)
        self.unreadable = [
            SheetRecord(title=title, table=table, file=file, sheet=inner, rows=rows)
            for (table, file, inner), rows in sources.items()
        ]

    def _finding(self, line: Line) -> Any:
        near = [
            finding
            for finding in self.report.findings
            if (finding.code, finding.table) == (line.code, line.table)
        ]
        return next(
            (finding for finding in near if finding.file == line.file), near[0] if near else None
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
            for index, (text, style) in enumerate(row):
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


def _worst_first(faults: list[Fault]) -> list[Fault]:
    return sorted(faults, key=lambda fault: -SEVERITIES.index(fault.severity))


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
