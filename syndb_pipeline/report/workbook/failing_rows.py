"""Which rows a fix-me workbook shows: those with failing cells, the worst first, up to a limit.

Belongs here: choosing rows, and what is wrong in each. Does not: reading the lab's files, or the
workbook.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import duckdb
import polars as pl

from syndb_pipeline.base.engine import literal, parquet
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.readers import corrections
from syndb_pipeline.readers.files import Witness
from syndb_pipeline.report.failing import FAILING
from syndb_pipeline.report.gather import Report
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
"""The rule that refuses rows which hold no data: they can be read, and stand in the workbook among
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
    note: str = ""  # what only this place needs to be told

    @property
    def severity(self) -> str:
        return self.finding.severity if self.finding else RULES[self.code].severity


@dataclass
class Failing:
    """The failing rows of one file, or of one sheet of it: number of the row there -> its
    faults.
    """

    table: str
    file: str
    sheet: str | None
    rows: dict[int, list[Fault]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """A line that could not be read as a row."""

    table: str
    file: str
    sheet: str | None
    number: int
    text: str
    code: str


@dataclass
class Chosen:
    """What the workbook shows, and how many rows there would be in all."""

    sources: list[Failing] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    total: int = 0

    @property
    def rows(self) -> int:
        return sum(len(source.rows) for source in self.sources) + len(self.lines)


def choose(report: Report, connection: duckdb.DuckDBPyConnection, limit: int = MAX_ROWS) -> Chosen:
    """The rows to show: unreadable lines, rows with errors that only a person can fix, those that
    a setting may fix, then warnings.

    `connection` is the one `gathered` gives beside `report`.
    """
    chosen = Chosen()
    lines = report.context.store.stage("ingest") / UNREADABLE_FILE
    if lines.is_file():
        # A file that two tables read is refused its lines twice.
        refused = f"""SELECT first(tbl), file, sheet, line, first(text) AS text, first(code) FROM
              {parquet(lines)}
                      WHERE code <> {literal(STRAY)} GROUP BY file, sheet, line"""
        (chosen.total,) = connection.execute(f"SELECT count(*) FROM ({refused})").fetchone() or (0,)
        first = f"SELECT * FROM ({refused}) ORDER BY file, sheet, line LIMIT {limit}"
        counted = (
            "SELECT *, sum(length(text)) OVER (ORDER BY file, sheet, line) AS letters FROM"
            f" ({first})"
        )
        rows = connection.execute(
            f"SELECT * EXCLUDE (letters) FROM ({counted}) WHERE letters <= {MAX_LETTERS} ORDER BY"
            " file, sheet, line"
        )
        chosen.lines = [Line(*row) for row in rows.fetchall()]
    replaced = _replaced(report)
    chosen.lines = [
        replace(line, text=replaced.get((line.file, line.number), line.text))
        for line in chosen.lines
    ]
    _rank(report.findings, connection)
    connection.execute("""CREATE OR REPLACE TEMP TABLE failing_rows AS
           SELECT place, tbl, row_number, any_value(file) AS file, any_value(sheet) AS sheet,
             any_value(line) AS line, min(rank) AS rank
           FROM (SELECT f.*, coalesce(r.rank, 9) AS rank FROM failing f LEFT JOIN finding_ranks r ON
             r.finding = f.finding)
           GROUP BY place, tbl, row_number""")
    (count,) = connection.execute("SELECT count(*) FROM failing_rows").fetchone() or (0,)
    chosen.total += int(count)
    cells = connection.execute(
        f"""SELECT c.tbl, c.row_number, c.file, c.sheet, c.line, f.col, f.code, f.finding
            FROM {FAILING} f JOIN (
                SELECT * FROM failing_rows ORDER BY rank, place, file, sheet NULLS FIRST, line LIMIT
                  {max(0, limit - len(chosen.lines))}) c
            ON f.tbl = c.tbl AND f.row_number = c.row_number
            ORDER BY c.place, c.file, c.sheet NULLS FIRST, c.line, f.col, f.code"""
    ).fetchall()
    whole = {(line.file, line.number) for line in chosen.lines}
    found: dict[tuple[str, str | None], Failing] = {}
    notes = _earlier_keys(
        report, connection, {table for table, *_, code, _ in cells if code == REPEATED_KEY}
    )
    for table, number, file, sheet, line, column, code, finding in cells:
        if (file, line) in replaced:
            if (file, line) not in whole:
                whole.add((file, line))
                text = replaced[file, line]
                chosen.lines.append(Line(table, file, sheet, line, text, code))
            continue
        source = found.setdefault((file, sheet), Failing(table, file, sheet))
        note = notes.get((table, number), "") if code == REPEATED_KEY else ""
        fault = Fault(column, code, None if finding is None else report.findings[finding], note)
        source.rows.setdefault(line, []).append(fault)
    left = limit - len(chosen.lines) - sum(len(each.rows) for each in found.values())
    for table, file, sheet, line in _stray_rows(report, connection, max(0, left)):
        told = next(
            (each for each in report.findings if (each.code, each.table) == (STRAY, table)), None
        )
        found.setdefault((file, sheet), Failing(table, file, sheet)).rows[line] = [
            Fault(None, STRAY, told)
        ]
        chosen.total += 1
    for table, file, sheet in _cell_faults(report):
        found.setdefault((file, sheet), Failing(table, file, sheet))
    chosen.sources = list(found.values())
    return chosen


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
    """Table and number of each chosen row that repeats a key -> where the key stands first."""
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
            (table, row): f"The key stands first in {sources.example(table, first)}."
            for row, first in rows
        }
    return notes


def _rank(findings: Sequence[Finding], connection: duckdb.DuckDBPyConnection) -> None:
    """Make the table of findings' ranks. An error that a line of the config may fix comes after
    those that only a person can.
    """
    ranks = [
        2 * (len(SEVERITIES) - 1 - SEVERITIES.index(finding.severity)) + bool(finding.settings)
        for finding in findings
    ]
    frame = pl.DataFrame(
        {"finding": range(len(ranks)), "rank": ranks},
        schema={"finding": pl.Int64, "rank": pl.Int64},
    )
    connection.register("frame", frame.to_arrow())
    connection.execute("CREATE OR REPLACE TEMP TABLE finding_ranks AS FROM frame")
    connection.unregister("frame")


def _stray_rows(
    report: Report, connection: duckdb.DuckDBPyConnection, limit: int
) -> list[tuple[str, str, str | None, int]]:
    """Table, file, sheet and number of the first `limit` rows that hold no data; a file that two
    tables read has them once.
    """
    lines = report.context.store.stage("ingest") / UNREADABLE_FILE
    if not lines.is_file():
        return []
    return connection.execute(
        f"""SELECT first(tbl), file, sheet, line FROM {parquet(lines)} WHERE code = {literal(STRAY)}
            GROUP BY file, sheet, line ORDER BY file, sheet NULLS FIRST, line LIMIT {limit}"""
    ).fetchall()


def _cell_faults(report: Report) -> list[tuple[str, str, str | None]]:
    """Table, file and sheet of workbooks with cells whose faults only their reader sees."""
    return [
        (finding.table, example.file, example.sheet)
        for finding in report.findings
        for example in finding.examples[:1]
        if finding.code in CELL_FAULTS and finding.table
    ]


def about_rows(report: Report) -> list[bool]:
    """For each finding of `report`, whether its rows can stand in a workbook; the others are cured
    in the config or in the file.
    """
    return [
        bool(case.kept) or case.finding.code in {*LINE_FAULTS, STRAY, *CELL_FAULTS}
        for case in report.cases
    ]
