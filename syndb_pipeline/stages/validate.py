"""Stage 2: cells against the contract, columns against anatomy, paths against the disk. Writes
failing cells, no copy of a table.

Belongs here: the order of the checks and the sentences of rules on types and values. Does not: the
rules (`contract/`), keys and relations.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import duckdb

from syndb_pipeline.base.digests import digest_of
from syndb_pipeline.base.engine import literal, quote
from syndb_pipeline.checks.cells import vocabulary
from syndb_pipeline.checks.cells.emptied import check_emptied
from syndb_pipeline.checks.cells.pandera_judge import (
    FAILING,
    ROW_NUMBER,
    check_types,
    failing_cells,
)
from syndb_pipeline.checks.cells.plausibility import check_plausibility, numeric_columns
from syndb_pipeline.checks.cells.summaries import SAMPLED, take_sample
from syndb_pipeline.checks.cells.unparsed_cells import (
    add_uncast,
    confidence,
    limit_in_words,
    marker_settings,
    number_advice,
    safe_setting,
)
from syndb_pipeline.checks.failures import Failures, Group
from syndb_pipeline.checks.units import file_scales
from syndb_pipeline.checks.units.mesh_and_skeleton_files import (
    CONTENT_RULES,
    check_paths,
    describe_file,
    digest_of_paths,
)
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.checks import checked_table, ruled_columns
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.contract.no_value import NUMBERS_OUT_OF_RANGE
from syndb_pipeline.contract.tables import TABLE_ORDER, TABLES, Column
from syndb_pipeline.rules.finding import Confidence, Finding
from syndb_pipeline.state.failing_cells import FILE
from syndb_pipeline.state.progress import Meter
from syndb_pipeline.state.reuse import MADE_FROM
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context, Result, Stage
from syndb_pipeline.state.tables import columns_of, content, ingested, rows_by_table, rows_read

_TOLD_BY_SUMMARY: Final = vocabulary.CODES | {"SYN-UNIT-001", "SYN-UNIT-002"}
"""Rules whose finding is made where they are checked, from counts; rows of theirs among the
failures only count as rejected.
"""


def _tables(context: Context) -> dict[str, list[str]]:
    """The tables ingest left, parents first, and their columns in the contract's order."""
    told = context.upstream("ingest").details["tables"]
    return {
        table: [name for name in TABLES[table].columns if name in told[table]["columns"]]
        for table in ingested(context)
    }


def inputs(context: Context) -> dict[str, str]:
    """What validate depends on beside ingest's record: severities, the settings that advice
    repeats, and the named files.
    """
    tables = {name: _settings(table) for name, table in context.config.tables.items()}
    found = {
        "config:rules": digest_of(dict(context.config.rules)),
        "config:tables": digest_of(tables),
    }
    paths = digest_of_paths(context, _tables(context)) if context.store.record("ingest") else None
    return found | ({"paths": paths} if paths else {})


def run(context: Context, folder: Path) -> Result:
    """Check the tables ingest left; write `failures.parquet` into `folder`.

    Gives the rows of each table, those without an error in this stage having passed, findings in
    the order of tables and codes, and in `details["tables"][table]` what `check_plausibility` says
    of the table.
    """
    sources = SourceMap.read(context.store.stage("ingest"))
    tables = _tables(context)
    findings: list[Finding] = []
    details: dict[str, Any] = {}
    made_from = {
        table: _made_from(context, sources, table, columns) for table, columns in tables.items()
    }
    former = context.former
    kept = [table for table in tables if former and former.holds(table, made_from[table], FILE)]
    with (
        context.duckdb() as connection,
        Meter("validate", rows_read(context), "rows", context.watch, steps=[0.3]) as meter,
    ):
        failures = Failures(connection)
        add_uncast(context, failures)
        connection.execute("DELETE FROM failures WHERE list_contains(?, tbl)", [kept])
        for table in meter.each(tables, connection):
            columns = tables[table]
            if former and table in kept:
                findings += former.findings(table)
                details[table] = former.record.details["tables"][table]
                continue
            context.say(f"validate: {table}")
            _check_cells(context, failures, sources, table, columns)
            check_paths(context, failures, table, columns)
            findings += vocabulary.check_words(context, failures, sources, table, columns)
            meter.step(table)
            findings += check_emptied(context, failures.connection, sources, table)
            warnings, details[table] = check_plausibility(
                context, failures, sources, table, columns
            )
            findings += warnings
        findings += _findings(context, failures, sources, details)
        failures.write(folder, keep=(former.folder, kept) if former else None)
    findings.sort(
        key=lambda finding: (
            TABLE_ORDER.index(finding.table or ""),
            finding.code,
            finding.column or "",
        )
    )
    return Result(
        tables=rows_by_table(context, folder),
        findings=findings,
        details={"tables": details, MADE_FROM: made_from},
    )


def _made_from(context: Context, sources: SourceMap, table: str, columns: list[str]) -> str:
    """Digest of all that the findings about `table` depend on."""
    paths = digest_of_paths(context, {table: columns})
    return digest_of(
        [
            content(context, sources, table),
            _settings(context.config.tables[table]),
            dict(context.config.rules),
            paths,
        ]
    )


def _settings(table: TableConfig) -> dict[str, Any]:
    """The settings of a table that checks or their advice use, beside those by which it was
    read.
    """
    return {
        "units": dict(table.units),
        "missing": table.missing_by_column,
        "decimal": table.decimal,
    }


def _check_cells(
    context: Context, failures: Failures, sources: SourceMap, table: str, columns: list[str]
) -> None:
    """Hold the table's types, then the cells of every column that has rules, against the contract's
    pandera schema.

    Leaves the sample of `take_sample`, which `check_plausibility` uses too: pandera judges all of
    its rows.
    """
    connection = failures.connection
    file = context.store.stage("ingest") / "tables" / f"{table}.parquet"
    left = columns_of(file)
    check_types(
        connection,
        f"SELECT {', '.join(quote(name) for name in left)} FROM {rows_of(file)} LIMIT 0",
        checked_table(table),
    )
    ruled = [name for name in ruled_columns(TABLES[table]) if name in columns]
    take_sample(
        connection,
        file,
        dict.fromkeys([*ruled, *(column.name for column in numeric_columns(table, columns))]),
    )
    if not ruled:
        return
    wanted = ", ".join(quote(name) for name in ruled)
    cells = (
        f"SELECT file_row_number AS {ROW_NUMBER}, {wanted} FROM {rows_of(file, row_number=True)}"
    )
    sample = f"SELECT {ROW_NUMBER}, {wanted} FROM {SAMPLED}"

    def place(row: int, column: str, value: str) -> str:
        return str(sources.example(table, row, column, value))

    for _ in failing_cells(
        connection, cells, checked_table(table, ruled), sample=sample, place=place
    ):
        failures.add(
            f"SELECT code, {literal(table)}, row_number, col, value,"
            f" {_cause(context, table, ruled)} FROM {FAILING}"
        )


def _cause(context: Context, table: str, columns: list[str]) -> str:
    """SQL of the label that splits failing values by what was probably meant. Markers are told as
    the lab wrote them, before conversion.
    """
    declared = TABLES[table].columns
    factors = {
        name: factor
        for name in columns
        if (factor := context.config.tables[table].factor(declared[name])) != 1
    }
    by_column = " ".join(
        f"WHEN {literal(name)} THEN {literal(factor)}" for name, factor in factors.items()
    )
    written = (
        "round(try_cast(value AS DOUBLE)"
        + (f" / CASE col {by_column} ELSE 1 END" if factors else "")
        + ", 6)"
    )
    fractions = [name for name in columns if declared[name].maximum == 1]
    return f"""CASE code WHEN 'SYN-VAL-002' THEN lower(value) WHEN 'SYN-VAL-001' THEN CASE
        WHEN list_contains({literal([float(number) for number in NUMBERS_OUT_OF_RANGE])}, {written}) THEN 'marker ' || {written}::BIGINT
        WHEN {written} = 0 THEN 'zero'
        WHEN {written} < 0 THEN 'negative'
        WHEN {written} BETWEEN CASE col WHEN 'mesh_sphericity' THEN 2 ELSE 1 END AND 100
            AND list_contains({literal(fractions)}::VARCHAR[], col) THEN 'percent'
        ELSE 'above' END ELSE '' END"""


_RANGE_ADVICE: Final = {
    # Declared as missing, 0 would empty the keys and counts that are 0 as well.
    "zero": "If 0 stands for `no value`, leave those cells empty.",
    "negative": "Correct them at their source; a sign or a subtraction went wrong.",
    "percent": "They look like percentages; divide them by 100.",
    "above": "Correct them at their source; check the unit and the formula.",
}


def _became(group: Group, column: Column, context: Context) -> str:
    """What the first value of `group` became, in words, where the config gives its column a unit
    other than SynDB's.
    """
    return (
        f", which is {float(group.value):g} {column.unit}"
        if context.config.tables[group.table].factor(column) != 1
        else ""
    )


def _range_advice(group: Group, context: Context, connection: duckdb.DuckDBPyConnection) -> str:
    marker = group.cause.removeprefix("marker ") if group.cause.startswith("marker ") else None
    if marker is None:
        return _RANGE_ADVICE[group.cause]
    number = marker.removeprefix("alone ")
    setting = safe_setting(connection, context, group.table, {number: [group.column]})
    advice = f"If {number} stands for `no value`, leave those cells empty, or say so: `{setting}`."
    return (
        f"All of them are {number}, as a marker is. {advice} Otherwise correct them at their"
        " source."
        if number != marker
        else advice
    )


def _label_lone_numbers(context: Context, failures: Failures) -> None:
    """Label values out of range that are one and the same number in all cells of their column: a
    slip of a sign gives several.
    """
    groups = failures.connection.execute(
        """SELECT tbl, col, any_value(value), any_value(cause) FROM failures WHERE code =
              'SYN-VAL-001'
           GROUP BY ALL HAVING count(*) > 1 AND count(DISTINCT value) = 1 AND any_value(cause) IN
             ('negative', 'above')"""
    ).fetchall()
    for table, column, value, _ in groups:
        factor = context.config.tables[table].factor(TABLES[table].columns[column])
        number = f"{round(float(value) / factor, 6):.15g}"
        failures.connection.execute(
            "UPDATE failures SET cause = ? WHERE code = 'SYN-VAL-001' AND tbl = ? AND col = ?",
            [f"marker alone {number}", table, column],
        )


def _confidence(context: Context, group: Group, details: dict[str, Any]) -> Confidence:
    """How sure it is what a value out of range stands for. A percentage is likely where most of a
    column's values would be one.
    """
    if group.code != "SYN-VAL-001" or group.cause in ("negative", "above"):
        return "certain"
    if group.cause == "zero":
        return "possible"
    if group.cause == "percent":
        rows = context.upstream("ingest").details["tables"][group.table]["rows"]
        return (
            "likely"
            if group.count * 2 > rows - details[group.table]["columns"][group.column]["nulls"]
            else "possible"
        )
    return "likely"


def _findings(
    context: Context, failures: Failures, sources: SourceMap, details: dict[str, Any]
) -> list[Finding]:
    """The findings of rules that fail cell by cell."""
    _label_lone_numbers(context, failures)
    markers = marker_settings(failures.connection, context)

    def describe(group: Group) -> dict[str, Any]:
        column = TABLES[group.table].columns[group.column]
        if group.code == "SYN-TYPE-001":
            advice = number_advice(group, column, context.config.tables[group.table], markers)
            return {"advice": advice, "confidence": confidence(group)}
        if group.code == "SYN-TYPE-003":
            marked = group.cause == "marker"
            return {
                "advice": (
                    f" If {group.written!r} stands for `no value`, say so:"
                    f" `{markers[group.table]}`."
                    if marked
                    else ""
                )
            }
        if group.code == "SYN-VAL-001":
            return {
                "bounds": column.bounds,
                "became": _became(group, column, context),
                "advice": _range_advice(group, context, failures.connection),
            }
        if group.code == "SYN-VAL-002":
            return {"value": group.value.strip(), "setting": markers[group.table]}
        if group.code in CONTENT_RULES:
            return describe_file(failures, group)
        if group.code == file_scales.CODE:
            return file_scales.describe_scale(
                group, context.config.tables[group.table], TABLES[group.table].columns
            )
        return {
            "limit": column.max_length if group.code == "SYN-VAL-003" else limit_in_words(column),
            "suffix": column.suffix,
        }

    def told(group: Group) -> dict[str, Any]:
        return {"confidence": _confidence(context, group, details)} | describe(group)

    return failures.findings(context, sources, told, leave=_TOLD_BY_SUMMARY)


STAGE = Stage(
    "validate",
    run,
    inputs,
    "ingest",
    "10",
    "Holds cells against SynDB's contract (types, ranges, words, text), named files against their"
    " formats, and whole columns against what is plausible in nanometres.",
)
