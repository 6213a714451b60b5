"""The files of a report that a person asked for: CSV of failing cells, CSV of quarantined rows,
JSON.

Belongs here: their forms, making hostile values harmless in each, and which are written, never over
a lab's own file. Does not: facts (`gather.py`), the HTML report (`html.py`), the workbook.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import duckdb

from syndb_pipeline.base.engine import given, literal, parquet, quote
from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.base.system import rename
from syndb_pipeline.contract.tables import TABLE_ORDER, ordered
from syndb_pipeline.quarantine.rows import FOLDER, quarantined_files
from syndb_pipeline.readers import corrections
from syndb_pipeline.report.gather import FAILING, Report, gathered, require_ingest, states
from syndb_pipeline.report.html import render, write_report
from syndb_pipeline.report.terminal import as_json
from syndb_pipeline.report.workbook.workbook import write_workbook
from syndb_pipeline.rules.finding import Example
from syndb_pipeline.stages.runner import STAGES
from syndb_pipeline.state.row_locations import UNREADABLE_FILE
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import write_atomically
from syndb_pipeline.state.tables import columns_of

_FORMULA: Final = r"^[=+\-@＝＋－＠\x00-\x1f\x7f]"
"""What spreadsheets take for a formula, also in full width, and controls, which some skip."""

_NUMBER: Final = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"


def _define_harmless(connection: duckdb.DuckDBPyConnection) -> None:
    """Define the macro `harmless(x)`: an apostrophe in front of what a spreadsheet would run."""
    connection.execute(f"""CREATE OR REPLACE TEMP MACRO harmless(x) AS
            CASE WHEN regexp_matches(x, {literal(_FORMULA)}) AND NOT regexp_full_match(x,
              {literal(_NUMBER)})
                THEN '''' || x ELSE x END""")


def _copy(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> int:
    """Write the rows of `query` as CSV to `path`, whole or not at all; returns how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid4().hex}")
    target = f"{literal(str(beside))} (FORMAT csv, HEADER, DELIMITER ',')"
    try:
        [(count,)] = connection.execute(f"COPY ({query}) TO {target}").fetchall()
        rename(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return int(count)


def write_differences(
    folder: Path, connection: duckdb.DuckDBPyConnection, table: str, query: str
) -> None:
    """Write the rows of `query`, those of a table that differ, to `<folder>/<table>.csv`."""
    _define_harmless(connection)
    names = {"key": "key", "col": '"column"', "was": "was", "now": "now"}
    cells = ", ".join(f"harmless({name}) AS {shown}" for name, shown in names.items())
    _copy(connection, f"SELECT change, {cells} FROM ({query})", folder / f"{table}.csv")


def write_csv(report: Report, connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Write a line for every failing cell, and for each example of findings that were only counted.

    In the order of tables, files and rows. Cells that a spreadsheet would take for a formula get an
    apostrophe in front, unless they are a number. Returns the number of lines below the header.
    """
    _define_harmless(connection)
    words = {"severity": "VARCHAR", "message": "VARCHAR", "fix": "VARCHAR", "count": "BIGINT"}
    found = [(f.severity, f.message, f.fix, f.count, n) for n, f in enumerate(report.findings)]
    with given(connection, "words", words | {"finding": "BIGINT"}, found):
        for name in words:
            word = f"harmless({name})" if name in ("message", "fix") else name
            connection.execute(
                f"SET VARIABLE finding_{name} = (SELECT list({word} ORDER BY finding) FROM words)"
            )
    columns = dict.fromkeys(("place", "line", "finding"), "BIGINT")
    columns |= dict.fromkeys(("tbl", "file", "sheet", "col", "value", "code"), "VARCHAR")
    # Sorted while narrow, words looked up in constants: neither a join nor long sentences in a
    # sort.
    with given(connection, "counted_only", columns, _examples(report)):
        connection.execute(f"""CREATE OR REPLACE TEMP TABLE sorted AS
                SELECT tbl, file, sheet, line, col, value, code, finding FROM (
                    SELECT {", ".join(columns)} FROM {FAILING} UNION ALL BY NAME FROM counted_only)
                ORDER BY place, file NULLS FIRST, sheet NULLS FIRST, line NULLS FIRST,
                         col, code, finding, value""")
    looked_up = ", ".join(f"getvariable('finding_{name}')[finding + 1] AS {name}" for name in words)
    lines = f"""
        SELECT tbl AS "table", harmless(file) AS file, harmless(sheet) AS sheet, line AS "row",
               harmless(col) AS "column", harmless(value) AS value, code, {looked_up} FROM sorted"""
    # More threads would each hold a row group of long lines until its turn has come.
    connection.execute("SET threads = 1")
    try:
        return _copy(connection, lines, path)
    finally:
        connection.execute(f"SET threads = {report.context.settings.threads}")


def _examples(report: Report) -> Iterator[tuple[Any, ...]]:
    """Places of findings whose cells were only counted; without any, a line with table and file.

    Columns: place, line, finding, tbl, file, sheet, col, value, code.
    """
    for number, case in enumerate(report.cases):
        finding, table = case.finding, case.finding.table
        if case.kept:
            continue
        place = TABLE_ORDER.index(table) if table in TABLE_ORDER else len(TABLE_ORDER)
        for at in finding.examples or [Example(file=finding.file or "", column=finding.column)]:
            yield (
                place,
                at.row,
                number,
                table,
                at.file or None,
                at.sheet,
                at.column,
                at.value,
                finding.code,
            )


def write_quarantined(context: Context, connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Write a line for each quarantined row and unreadable line, in the order of tables and rows.

    Columns: table, file, sheet, row, codes, reason, text (of an unreadable line), then SynDB's
    columns of all tables concerned; cells harmless as in `write_csv`. Returns the number of lines.

    Raises:
        ConfigError: No row is quarantined.
    """
    files = quarantined_files(context)
    lines = context.store.stage("check_integrity") / FOLDER / UNREADABLE_FILE
    if not files and not lines.is_file():
        raise ConfigError(
            f"No row of {context.config.name} is quarantined.",
            next_step=(
                "The failing cells of a refused dataset: syndb-pipeline report CONFIG --csv FILE"
            ),
        )
    _define_harmless(connection)
    where = 'harmless(file) AS file, harmless(sheet) AS sheet, line AS "row"'
    own = ("row_number", "file", "sheet", "line", "codes", "reason")
    selects = []
    for place, table in enumerate(ordered(files)):
        names = [quote(name) for name in columns_of(files[table]) if name not in own]
        values = "".join(f", harmless({name}) AS {name}" for name in names)
        selects.append(f"""SELECT {place} AS place, {literal(table)} AS "table", {where}, codes,
                       harmless(reason) AS reason, NULL::VARCHAR AS text{values} FROM
                         {parquet(files[table])}""")
    if lines.is_file():
        selects.append(f"""SELECT {len(files)} AS place, tbl AS "table", {where}, code AS codes,
                       harmless(reason) AS reason, harmless(text) AS text FROM {parquet(lines)}""")
    union = " UNION ALL BY NAME ".join(selects)
    query = f"SELECT * EXCLUDE (place) FROM ({union}) ORDER BY place, file, sheet, row"
    return _copy(connection, query, path)


def report_json(report: Report) -> dict[str, Any]:
    """The object of the other commands' --json, and below `report` the rest of the HTML report."""
    verdict = report.verdict_record
    stages = []
    for stage in report.stages:
        record = stage.record
        run = record.run.model_dump(mode="json") if record and record.run else None
        digest = record.digest if record else None
        stages.append({"stage": stage.name, "state": stage.state, "digest": digest, "run": run})
    more = ("name", "metadata", "terms", "versions", "files")
    return as_json(
        verdict=report.verdict,
        tables=report.tables,
        findings=report.findings,
        digest=verdict.digest if verdict else None,
        report={name: getattr(report, name) for name in more}
        | {"stages": stages, "relations": [each.as_json() for each in report.relations]},
    )


# The files that a person asked for


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where each form of the report goes; None for those that are not asked for."""

    html: Path | None = None
    csv: Path | None = None
    json: Path | None = None
    fixes: Path | None = None
    quarantine: Path | None = None

    @property
    def paths(self) -> dict[str, Path]:
        """The paths asked for, by the option of the command."""
        named = {f"--{option.name}": getattr(self, option.name) for option in fields(self)}
        return {option: path for option, path in named.items() if path is not None}


def write_files(context: Context, wanted: Wanted) -> list[Path]:
    """Write what is wanted, or the HTML report in its usual place without wishes; returns the
    paths.

    Says which stages have not run. The dataset's lock must be held.

    Raises:
        PipelineError: Nothing was ingested.
        ConfigError: A path is a folder, a device, another option's, or a file of the dataset.
    """
    stages, config = states(context.store), context.config.path
    read = [config, *_files_read(context)]
    _require_harmless(wanted, {path.resolve() for path in read})
    require_ingest(context, stages)
    for stage in stages:
        if stage.state != "done":
            context.say(f"{stage.name}: {stage.state}; the report is of the stages before it")
    records = [path for name in STAGES if (path := context.store.record_path(name)).is_file()]
    checked = max(path.stat().st_mtime_ns for path in records)
    for path in read:
        if path.is_file() and path.stat().st_mtime_ns > checked:
            context.say(
                f"{path.name} changed after the checks, and the report is of what they found"
                f" before; check again: syndb-pipeline check {config}"
            )
            break
    if not wanted.paths:
        return [write_report(context)]
    with gathered(context, measured=wanted.html is not None) as (report, connection):
        if wanted.html:
            write_atomically(wanted.html, render(report))
        if wanted.csv:
            write_csv(report, connection, wanted.csv)
        if wanted.json:
            text = json.dumps(report_json(report), indent=1, ensure_ascii=False, default=str)
            write_atomically(wanted.json, text + "\n")
        if wanted.quarantine:
            write_quarantined(context, connection, wanted.quarantine)
        if wanted.fixes:
            made = write_workbook(report, connection, wanted.fixes)
            rows = f"{made.rows:,} of {made.total:,} rows to correct"
            context.say(f"{wanted.fixes}: {rows}; its first sheet says how")
    return list(wanted.paths.values())


def _files_read(context: Context) -> Iterator[Path]:
    record, folder = context.store.record("ingest"), context.config.folder
    for name in record.inputs if record else ():
        kind, _, file = name.partition(":")
        if kind == "file":
            yield folder / file
        elif kind == "corrections":
            yield corrections.path_of(folder, file)


def _require_harmless(wanted: Wanted, own: set[Path]) -> None:
    seen: dict[Path, str] = {}
    for option, path in wanted.paths.items():
        resolved, wrong = path.resolve(), ""
        if resolved in own:
            wrong = f"{option} {path}: the dataset is made from this file"
        elif resolved.exists() and not resolved.is_file():
            wrong = f"{option} {path} is a folder or not a regular file"
        elif resolved in seen:
            wrong = f"{seen[resolved]} and {option} name one file, {path}"
        elif option == "--fixes" and path.suffix.lower() != ".xlsx":
            wrong = f"--fixes {path}: a workbook to correct ends in .xlsx"
        if wrong:
            raise ConfigError(f"{wrong}.", next_step="Name another file for the report.")
        seen[resolved] = option
