"""Which rows a fix-me workbook shows: those with failing cells, the worst first, up to a limit.

Belongs here: choosing rows, and what is wrong in each. Does not: reading the lab's files, or the
workbook.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import duckdb

from syndb_pipeline.base.engine import literal, parquet
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.readers import corrections
from syndb_pipeline.readers.files import Witness
from syndb_pipeline.report.gather import FAILING, Report
from syndb_pipeline.report.workbook.record import LINE
from syndb_pipeline.rules.catalogue import RULES, SEVERITIES
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.row_locations import UNREADABLE_FILE, SourceMap

MAX_ROWS: Final = 20_000
"""Rows of one workbook, over all its sheets: as many as a person looks through, and a spreadsheet
opens at once.
"""

MAX_LETTERS: Final = 50_000_000
"""Characters of all unreadable lines that one workbook shows."""

LINE_FAULTS: Final = ("SYN-READ-002", "SYN-READ-003", "SYN-READ-015", "SYN-READ-018")
"""Rules that refuse lines which are no rows."""

STRAY: Final = "SYN-READ-017"
"""The rule that refuses rows which hold no data: they can be read, and are in the workbook among
the rows of their file.
"""

REPEATED_KEY: Final = "SYN-ID-002"

CELL_FAULTS: Final = frozenset({"SYN-READ-010", "SYN-READ-016"})
"""Rules on cells that only the reader of a workbook sees; no stage keeps them."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one cell, or with the whole row when the file has no column of this
    name.
    """

    column: str | None
    code: str
    finding: Finding | None
    note: str = ""  # what only this place needs to say

    @property
    def severity(self) -> str:
        return self.finding.severity if self.finding else RULES[self.code].severity


@dataclass
class Failing:
    """The failing rows of one file, or of one sheet of it: number of the row there -> its faults.

    Of lines that are no rows, `lines` holds the texts, and `LINE` is their one column.
    """

    table: str
    file: str
    sheet: str | None
    rows: dict[int, list[Fault]] = field(default_factory=dict)
    lines: dict[int, str] = field(default_factory=dict)


@dataclass
class Chosen:
    """What the workbook shows: rows of files, lines that are no rows; and how many there would be
    in all.
    """

    sources: dict[tuple[str, str | None], Failing] = field(default_factory=dict)
    lines: dict[tuple[str, str | None], Failing] = field(default_factory=dict)
    total: int = 0

    @property
    def rows(self) -> int:
        return sum(len(each.rows) for each in (*self.sources.values(), *self.lines.values()))

    def source(self, table: str, file: str, sheet: str | None) -> Failing:
        return self.sources.setdefault((file, sheet), Failing(table, file, sheet))


def choose(report: Report, connection: duckdb.DuckDBPyConnection, limit: int = MAX_ROWS) -> Chosen:
    """The rows to show: unreadable lines, rows with errors that only a person can fix, those that
    a setting may fix, then warnings.

    `connection` is the one `gathered` gives beside `report`.
    """
    chosen = Chosen()
    replaced = _replaced(report)

    def add_line(
        table: str, file: str, sheet: str | None, number: int, text: str, code: str
    ) -> None:
        lines = chosen.lines.setdefault((file, sheet), Failing(table, file, sheet))
        lines.lines[number] = replaced.get((file, number), text)
        lines.rows.setdefault(number, []).append(
            Fault(LINE, code, _about(report, code, table, file))
        )

    refused = _refused(report, f"code <> {literal(STRAY)}")
    (chosen.total,) = connection.execute(f"SELECT count(*) FROM ({refused})").fetchone() or (0,)
    first = f"SELECT * FROM ({refused}) ORDER BY file, sheet, line LIMIT {limit}"
    letters = "sum(length(text)) OVER (ORDER BY file, sheet, line)"
    lines = (
        f"SELECT *, {letters} AS letters FROM ({first}) QUALIFY letters <= {MAX_LETTERS} ORDER"
        " BY ALL"
    )
    for *line, _ in connection.execute(lines).fetchall():
        add_line(*line)
    ranks = [
        2 * (len(SEVERITIES) - SEVERITIES.index(finding.severity)) + bool(finding.settings)
        for finding in report.findings
    ]
    rank = f"min(coalesce({literal(ranks)}[finding + 1], 99))" if ranks else "0"
    connection.execute(f"""CREATE OR REPLACE TEMP TABLE failing_rows AS
            SELECT place, tbl, row_number, any_value(file) AS file, any_value(sheet) AS sheet,
                any_value(line) AS line, {rank} AS rank
            FROM {FAILING} GROUP BY place, tbl, row_number""")
    (count,) = connection.execute("SELECT count(*) FROM failing_rows").fetchone() or (0,)
    chosen.total += int(count)
    cells = connection.execute(
        f"""SELECT c.tbl, c.row_number, c.file, c.sheet, c.line, f.col, f.code, f.finding
            FROM {FAILING} f JOIN (
                FROM failing_rows ORDER BY rank, place, file, sheet NULLS FIRST, line
                LIMIT {max(0, limit - chosen.rows)}) c USING (tbl, row_number)
            ORDER BY c.place, c.file, c.sheet NULLS FIRST, c.line, f.col, f.code"""
    ).fetchall()
    notes = _earlier_keys(
        report, connection, {table for table, *_, code, _ in cells if code == REPEATED_KEY}
    )
    for table, number, file, sheet, line, column, code, finding in cells:
        if (file, line) in replaced:
            add_line(table, file, sheet, line, "", code)
            continue
        note = notes.get((table, number), "") if code == REPEATED_KEY else ""
        fault = Fault(column, code, None if finding is None else report.findings[finding], note)
        chosen.source(table, file, sheet).rows.setdefault(line, []).append(fault)
    stray = _refused(report, f"code = {literal(STRAY)}")
    ordered = f"{stray} ORDER BY file, sheet NULLS FIRST, line LIMIT {max(0, limit - chosen.rows)}"
    for table, file, sheet, line, _, code in connection.execute(ordered).fetchall():
        fault = Fault(None, code, _about(report, code, table, file))
        chosen.source(table, file, sheet).rows[line] = [fault]
        chosen.total += 1
    for finding in report.findings:
        for example in (
            finding.examples[:1] if finding.code in CELL_FAULTS and finding.table else ()
        ):
            chosen.source(str(finding.table), example.file, example.sheet)
    return chosen


def _refused(report: Report, which: str) -> str:
    """A query for what was refused as a row: table, file, sheet, line, text and code, once for all
    tables that read a file.
    """
    lines = parquet(report.context.store.stage("ingest") / UNREADABLE_FILE)
    return f"""SELECT first(tbl) AS tbl, file, sheet, line, first(text) AS text, first(code) AS code
               FROM {lines} WHERE {which} GROUP BY file, sheet, line"""


def _about(report: Report, code: str, table: str, file: str) -> Finding | None:
    """The finding that is about a refused line."""
    near = [each for each in report.findings if (each.code, each.table) == (code, table)]
    return next((each for each in near if each.file == file), near[0] if near else None)


def _replaced(report: Report) -> dict[tuple[str, int], str]:
    """File and line of each line that was corrected as a whole -> its text now: it may be several
    rows, so it is corrected as a whole again.
    """
    folder = report.context.config.folder
    return {
        (file, line): row.now
        for table in report.context.config.tables
        for file, fixes in corrections.by_file(folder, table, Witness()).items()
        for line, row in fixes.rows.items()
        if row.now
    }


def _earlier_keys(
    report: Report, connection: duckdb.DuckDBPyConnection, tables: set[str]
) -> dict[tuple[str, int], str]:
    """Table and number of each chosen row that repeats a key -> where the key is first."""
    sources = SourceMap.read(report.context.store.stage("ingest"))
    notes: dict[tuple[str, int], str] = {}
    for table in tables:
        ids = rows_of(
            report.context.store.stage("assign_ids") / "ids" / f"{table}.parquet", row_number=True
        )
        rows = connection.execute(f"""SELECT r.row_number, f.first
                FROM kept r JOIN failing_rows c ON c.tbl = r.tbl AND c.row_number = r.row_number
                JOIN {ids} i ON i.file_row_number = r.row_number
                JOIN (SELECT key, min(file_row_number) AS first FROM {ids} GROUP BY key HAVING
                  count(*) > 1) f ON f.key = i.key
                WHERE r.tbl = {literal(table)} AND r.code = {literal(REPEATED_KEY)} AND f.first <
                  r.row_number
                ORDER BY c.rank, r.row_number LIMIT {MAX_ROWS}""").fetchall()
        notes |= {
            (table, row): f"The key is first in {sources.example(table, first)}."
            for row, first in rows
        }
    return notes


def about_rows(report: Report) -> list[bool]:
    """For each finding of `report`, whether its rows can be in a workbook; the others are fixed
    in the config or in the file.
    """
    return [
        bool(case.kept) or case.finding.code in {*LINE_FAULTS, STRAY, *CELL_FAULTS}
        for case in report.cases
    ]
