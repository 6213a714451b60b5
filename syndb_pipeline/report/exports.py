"""A report for programs: JUnit XML for CI, a flat CSV of failing cells, JSON.

Belongs here: their forms, and making hostile values harmless in each. Does not: facts
(`gather.py`), the HTML report (`html.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4
from xml.etree import ElementTree

import duckdb
import polars as pl

from syndb_pipeline.base.engine import literal
from syndb_pipeline.contract.tables import TABLE_ORDER
from syndb_pipeline.report.failing import FAILING
from syndb_pipeline.report.gather import Report
from syndb_pipeline.report.report import as_json, describe
from syndb_pipeline.rules.catalogue import RULES
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.store import write_atomically

COLUMNS: Final = (
    "table",
    "file",
    "sheet",
    "row",
    "column",
    "value",
    "code",
    "severity",
    "cause",
    "cure",
    "count",
)
"""Columns of the CSV, in their order; docs/report.md says what each holds."""

_STAGE_OF_RULE: Final = (
    (("SYN-INT-", "SYN-UNIT-004", "SYN-COL-004"), "check_integrity"),
    (("SYN-READ-", "SYN-COL-", "SYN-ID-006"), "ingest"),
    (("SYN-TYPE-", "SYN-VAL-", "SYN-VOC-", "SYN-UNIT-", "SYN-PATH-"), "validate"),
    (("SYN-ID-",), "assign_ids"),
    (("SYN-REL-",), "join_relations"),
)
"""Beginnings of codes -> the stage that checks those rules; the first that fits."""

_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped (W3C, section 2.2)."""

_LONGEST: Final = 10_000
"""Characters of a failure's text; a sentence may quote a whole cell."""

_FORMULA: Final = r"^[=+\-@＝＋－＠\x00-\x1f\x7f]"
"""What spreadsheets take for the beginning of a formula, also in full width, and control
characters, which some of them skip.
"""

_NUMBER: Final = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"


def stage_of(code: str) -> str:
    """The stage that checks rule `code`."""
    return next(stage for beginnings, stage in _STAGE_OF_RULE if code.startswith(beginnings))


# -- JUnit


def write_junit(report: Report, path: Path) -> None:
    """One test case for every rule and table: a failure where it found an error, skipped where its
    stage has not run.

    Warnings, hints and information are in the case's `system-out`.
    """
    suites = ElementTree.Element("testsuites", name=_xml(f"syndb-pipeline {report.name}"))
    totals = {"tests": 0, "failures": 0, "skipped": 0}
    configured = report.context.config.tables
    for table in [name for name in TABLE_ORDER if name in configured]:
        _add_suite(
            suites,
            report,
            table,
            [finding for finding in report.findings if finding.table == table],
            totals,
        )
    whole = [finding for finding in report.findings if finding.table not in configured]
    if whole:
        _add_suite(suites, report, "dataset", whole, totals)
    for name, count in totals.items():
        suites.set(name, str(count))
    ElementTree.indent(suites)
    text = ElementTree.tostring(suites, encoding="unicode", xml_declaration=False)
    write_atomically(path, '<?xml version="1.0" encoding="UTF-8"?>\n' + text + "\n")


def _add_suite(
    suites: ElementTree.Element,
    report: Report,
    table: str,
    findings: list[Finding],
    totals: dict[str, int],
) -> None:
    suite = ElementTree.SubElement(suites, "testsuite", name=_xml(table))
    if report.last_run:
        suite.set("timestamp", f"{report.last_run:%Y-%m-%dT%H:%M:%S}")
    counts = dict.fromkeys(totals, 0)
    for code, rule in RULES.items():
        own = [finding for finding in findings if finding.code == code]
        case = ElementTree.SubElement(
            suite, "testcase", classname=_xml(f"{report.name}.{table}"), name=f"{code} {rule.title}"
        )
        counts["tests"] += 1
        errors = [finding for finding in own if finding.severity == "error"]
        others = [finding for finding in own if finding.severity != "error"]
        if errors:
            counts["failures"] += 1
            message = " ".join(finding.cause for finding in errors)
            failure = ElementTree.SubElement(case, "failure", type=code, message=_xml(message))
            failure.text = _xml("\n".join(describe(finding) for finding in errors))
        elif not own and stage_of(code) not in report.records:
            counts["skipped"] += 1
            ElementTree.SubElement(
                case, "skipped", message=f"{stage_of(code)} has not run on these tables"
            )
        if others:
            ElementTree.SubElement(case, "system-out").text = _xml(
                "\n".join(describe(finding) for finding in others)
            )
    for name, count in counts.items():
        suite.set(name, str(count))
        totals[name] += count


def _xml(text: str) -> str:
    """`text` without what XML cannot hold, and not longer than a CI server shows."""
    return _NOT_XML.sub("\ufffd", text[:_LONGEST]) + ("…" if len(text) > _LONGEST else "")


# -- CSV


def define_harmless(connection: duckdb.DuckDBPyConnection) -> None:
    """Define the macro `harmless(x)`: a text that a spreadsheet would run gets an apostrophe in
    front; numbers stay numbers.
    """
    connection.execute(
        f"""CREATE OR REPLACE TEMP MACRO harmless(x) AS
            CASE WHEN regexp_matches(x, {literal(_FORMULA)}) AND NOT regexp_full_match(x,
              {literal(_NUMBER)}) THEN '''' || x ELSE x END"""
    )


def write_csv(report: Report, connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Write a line for every failing cell the stages kept, and for each example of a finding whose
    cells they only counted.

    In the order of tables, files and rows. Cells that a spreadsheet would take for a formula get an
    apostrophe in front, unless they are a number. Returns the number of lines below the header.
    """
    define_harmless(connection)
    _register(connection, "finding_words", _words(report), {"finding": pl.Int64, "count": pl.Int64})
    _register(
        connection,
        "counted_only",
        _examples(report),
        {"place": pl.Int64, "line": pl.Int64, "finding": pl.Int64},
    )
    # Sorted while narrow, and told by looking words up in constants: neither a join nor long
    # sentences stand in a sort's way.
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE sorted AS
            SELECT tbl, file, sheet, line, col, value, code, finding FROM (
                SELECT place, tbl, file, sheet, line, col, value, code, finding FROM {FAILING} UNION
                  ALL BY NAME FROM counted_only)
            ORDER BY place, file NULLS FIRST, sheet NULLS FIRST, line NULLS FIRST, col, code,
              finding, value"""
    )
    for name in ("severity", "cause", "cure", "count"):
        word = f"harmless({name})" if name in ("cause", "cure") else name
        connection.execute(
            f"SET VARIABLE told_{name} = (SELECT list({word} ORDER BY finding) FROM finding_words)"
        )
    harmless = {
        name: f'harmless({name}) AS "{shown}"'
        for name, shown in {
            "file": "file",
            "sheet": "sheet",
            "col": "column",
            "value": "value",
        }.items()
    }
    told = {
        name: f"getvariable('told_{name}')[finding + 1] AS {name}"
        for name in ("severity", "cause", "cure", "count")
    }
    lines = f"""
        SELECT tbl AS "table", {harmless["file"]}, {harmless["sheet"]}, line AS "row",
          {harmless["col"]}, {harmless["value"]}, code,
               {told["severity"]}, {told["cause"]}, {told["cure"]}, {told["count"]}
        FROM sorted"""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        connection.execute(
            "SET threads = 1"
        )  # more would each hold a row group of long lines until its turn has come
        (count,) = connection.execute(
            f"COPY ({lines}) TO {literal(str(beside))} (FORMAT csv, HEADER, DELIMITER ',')"
        ).fetchone() or (0,)
        beside.replace(path)
    finally:
        connection.execute(f"SET threads = {report.context.settings.threads}")
        beside.unlink(missing_ok=True)
    return int(count)


def _words(report: Report) -> list[dict[str, Any]]:
    return [
        {
            "finding": index,
            "severity": finding.severity,
            "cause": finding.cause,
            "cure": finding.cure,
            "count": finding.count,
        }
        for index, finding in enumerate(report.findings)
    ]


def _examples(report: Report) -> Iterator[dict[str, Any]]:
    """Places of findings whose cells were only counted; a finding without any place has one line
    that names its table and file.
    """
    for index, case in enumerate(report.cases):
        finding = case.finding
        if not case.kept:
            known = {"tbl": finding.table, "code": finding.code, "finding": index}
            known["place"] = (
                TABLE_ORDER.index(finding.table)
                if finding.table in TABLE_ORDER
                else len(TABLE_ORDER)
            )
            if not finding.examples:
                yield known | {
                    "file": finding.file,
                    "sheet": None,
                    "line": None,
                    "col": finding.column,
                    "value": None,
                }
            for example in finding.examples:
                yield known | {
                    "file": example.file,
                    "sheet": example.sheet,
                    "line": example.row,
                    "col": example.column,
                    "value": example.value,
                }


_TEXTS: Final = {
    "finding_words": ("severity", "cause", "cure"),
    "counted_only": ("tbl", "file", "sheet", "col", "value", "code"),
}


def _register(
    connection: duckdb.DuckDBPyConnection, name: str, rows: Any, numbers: dict[str, Any]
) -> None:
    """A DuckDB table `name` of `rows`, whose columns are `numbers` and the texts known for it."""
    schema = numbers | dict.fromkeys(_TEXTS[name], pl.String)
    connection.register("frame", pl.DataFrame(list(rows), schema=schema, orient="row").to_arrow())
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM frame")
    connection.unregister("frame")


# -- JSON


def report_json(report: Report) -> dict[str, Any]:
    """The object that the other commands print with --json, and below `report` what else the HTML
    report tells in words.
    """
    sealed = report.sealed
    return as_json(
        verdict=report.verdict,
        tables=report.tables,
        findings=report.findings,
        digest=sealed.digest if sealed else None,
        report={
            "name": report.name,
            "stages": [
                {
                    "stage": stage.name,
                    "state": stage.state,
                    "digest": stage.record.digest if stage.record else None,
                    "run": stage.record.run.model_dump(mode="json")
                    if stage.record and stage.record.run
                    else None,
                }
                for stage in report.stages
            ],
            "relations": [each.as_json() for each in report.relations],
            "metadata": report.metadata,
            "terms": report.terms,
            "versions": report.versions,
            "files": report.files,
        },
    )


def write_json(report: Report, path: Path) -> None:
    """Write `report_json`, indented, as UTF-8."""
    write_atomically(
        path, json.dumps(report_json(report), indent=1, ensure_ascii=False, default=str) + "\n"
    )
