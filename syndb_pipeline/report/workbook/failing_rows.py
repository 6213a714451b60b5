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
from syndb_pipeline.report.workbook.layout import LINE
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

    sources: dict[tuple[str, str], Failing] = field(default_factory=dict)
    lines: dict[tuple[str, str], Failing] = field(default_factory=dict)
    total: int = 0

    def source(self, table: str, file: str, sheet: str | None) -> Failing:
        return self.sources.setdefault((file, sheet or ""), Failing(table, file, sheet or None))


def choose(report: Report, connection: duckdb.DuckDBPyConnection, limit: int = MAX_ROWS) -> Chosen:
    """The rows to show: unreadable lines, rows with errors that only a person can fix, those that
    a setting may fix, warnings, then rows that hold no data.

    `connection` is the one `gathered` gives beside `report`.
    """
    ranks = [
        2 * (len(SEVERITIES) - SEVERITIES.index(finding.severity)) + bool(finding.settings)
        for finding in report.findings
    ]
    rank = f"coalesce({literal(ranks)}[finding + 1], 99)" if ranks else "0"
    lines = parquet(report.context.store.stage("ingest") / UNREADABLE_FILE)
    connection.execute(f"""CREATE OR REPLACE TEMP VIEW faults AS
        SELECT {rank} AS rank, place, tbl, row_number, file, coalesce(sheet, '') AS sheet, line,
            col, code, finding, NULL AS text FROM {FAILING}
        UNION ALL BY NAME
        SELECT if(code = {literal(STRAY)}, 100, -1) AS rank, first(tbl) AS tbl, file,
            coalesce(sheet, '') AS sheet, line, code, first(text) AS text
            FROM {lines} GROUP BY file, sheet, line, code""")
    rows = """SELECT min(rank) AS rank, min(place) AS place, file, sheet, line,
        sum(max(length(text))) OVER (ORDER BY min(rank), file, sheet, line) AS letters
        FROM faults GROUP BY file, sheet, line"""
    (total,) = connection.execute(f"SELECT count(*) FROM ({rows})").fetchone() or (0,)
    connection.execute(f"""CREATE OR REPLACE TEMP TABLE chosen AS
        SELECT * FROM faults SEMI JOIN (
            FROM ({rows}) WHERE coalesce(letters, 0) <= {MAX_LETTERS}
            ORDER BY rank, place, file, sheet, line LIMIT {limit}) USING (file, sheet, line)""")
    chosen, replaced = Chosen(total=total), _replaced(report)
    earlier = _earlier_keys(report, connection)
    cells = connection.execute("""SELECT
        tbl, row_number, file, sheet, line, col, code, finding, text
        FROM chosen ORDER BY rank = 100, place, file, sheet, line, col, code""").fetchall()
    for table, number, file, sheet, line, column, code, index, text in cells:
        known = _about(report, code, table, file) if index is None else report.findings[index]
        whole = replaced.get((file, line), None if code == STRAY else text)
        if whole is None:
            source = chosen.source(table, file, sheet)
        else:
            source = chosen.lines.setdefault((file, sheet), Failing(table, file, sheet or None))
            source.lines[line], column = whole, LINE
        note = earlier.get((table, number), "") if code == REPEATED_KEY else ""
        source.rows.setdefault(line, []).append(Fault(column, code, known, note))
    for finding in report.findings:
        if finding.code in CELL_FAULTS and finding.table:
            for example in finding.examples[:1]:
                chosen.source(finding.table, example.file, example.sheet)
    return chosen


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
    report: Report, connection: duckdb.DuckDBPyConnection
) -> dict[tuple[str, int], str]:
    """Table and number of each chosen row that repeats a key -> where the key is first."""
    sources = SourceMap.read(report.context.store.stage("ingest"))
    repeated = f"FROM chosen WHERE code = {literal(REPEATED_KEY)}"
    notes: dict[tuple[str, int], str] = {}
    for (table,) in connection.execute(f"SELECT DISTINCT tbl {repeated}").fetchall():
        path = report.context.store.stage("assign_ids") / "ids" / f"{table}.parquet"
        ids = rows_of(path, row_number=True)
        rows = connection.execute(f"""SELECT row_number, first FROM {ids}
            JOIN (SELECT key, min(file_row_number) AS first FROM {ids} GROUP BY key) USING (key)
            JOIN (SELECT row_number {repeated} AND tbl = {literal(table)})
            ON row_number = file_row_number WHERE first < row_number""").fetchall()
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
