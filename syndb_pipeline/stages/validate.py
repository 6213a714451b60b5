"""Stage 2: cells against the contract, columns against anatomy, paths against the disk.

Belongs here: the order of the checks. Does not: the rules (`contract/`), keys and relations. It
writes failing cells, no copy of a table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from syndb_pipeline.base.digests import digest_of
from syndb_pipeline.base.engine import literal, quote
from syndb_pipeline.checks.cells import unparsed_cells, vocabulary
from syndb_pipeline.checks.cells.markers import check_emptied
from syndb_pipeline.checks.cells.pandera_judge import (
    FAILING,
    ROW_NUMBER,
    SAMPLED,
    check_types,
    failing_cells,
    take_sample,
)
from syndb_pipeline.checks.dataset import Inspected
from syndb_pipeline.checks.failures import Failures, Group
from syndb_pipeline.checks.units.mesh_and_skeleton_files import (
    FILE_RULES,
    check_paths,
    describe_file,
    digest_of_paths,
)
from syndb_pipeline.checks.units.units import check_units, numeric_columns
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.checks import checked_table, ruled_columns
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.contract.tables import TABLE_ORDER, TABLES
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.progress import Meter
from syndb_pipeline.state.results import TableDetails, ValidatedTable
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context, Result, Stage
from syndb_pipeline.state.tables import (
    FILE,
    columns_of,
    content,
    ingested,
    rows_by_table,
    rows_read,
)

_FOUND_IN_SUMS: Final = vocabulary.CODES | {"SYN-UNIT-001", "SYN-UNIT-002"}
"""Rules whose finding is made where they are checked; their rows among the failures only count as
rejected.
"""


def _tables(context: Context) -> dict[str, list[str]]:
    """The tables ingest left, parents first, and their columns in the contract's order."""
    left = context.ingested.details.tables
    return {
        table: [name for name in TABLES[table].columns if name in left[table].columns]
        for table in ingested(context)
    }


def inputs(context: Context) -> dict[str, str]:
    """What validate depends on beside ingest's record: severities, settings in advice, and named
    files.
    """
    tables = {name: _settings(table) for name, table in context.config.tables.items()}
    found = {
        "config:rules": digest_of(dict(context.config.rules)),
        "config:tables": digest_of(tables),
    }
    paths = digest_of_paths(context, _tables(context)) if context.store.record("ingest") else None
    return found | ({"paths": paths} if paths else {})


def _settings(table: TableConfig) -> dict[str, Any]:
    """The settings of a table that checks or their advice use, beside those by which it was
    read.
    """
    return {
        "units": dict(table.units),
        "missing": table.missing_by_column,
        "decimal": table.decimal,
    }


def run(context: Context, folder: Path) -> Result:
    """Check the tables ingest left; write `failures.parquet` into `folder`.

    Gives the rows of each table, those without an error in this stage having passed, findings in
    the order of tables and codes, and in `details.tables[table]` what `check_units` says
    of it.
    """
    sources = SourceMap.read(context.store.stage("ingest"))
    columns = _tables(context)
    findings: list[Finding] = []
    details: dict[str, ValidatedTable] = {}
    made_from = {
        table: _made_from(context, sources, table, names) for table, names in columns.items()
    }
    former = context.former
    read = rows_read(context)
    kept = [table for table in columns if former and former.holds(table, made_from[table], FILE)]
    with (
        context.duckdb() as connection,
        Meter("validate", read, "rows", context.watch, steps=[0.3]) as meter,
    ):
        failures = Failures(connection)
        tables = {
            name: Inspected(connection, context, sources, name, names)
            for name, names in columns.items()
        }
        unparsed_cells.add_unparsed(context, failures)
        connection.execute("DELETE FROM failures WHERE list_contains(?, tbl)", [kept])
        for name in meter.each(tables, connection):
            table = tables[name]
            if former and name in kept:
                findings += former.findings(name)
                details[name] = former.details(TableDetails[ValidatedTable]).tables[name]
                continue
            context.say(f"validate: {name}")
            _check_cells(failures, table)
            check_paths(table)
            findings += vocabulary.check_words(table)
            meter.step(name)
            findings += check_emptied(table)
            warnings, details[name] = check_units(table)
            findings += warnings
        unparsed_cells.label_lone_numbers(failures, tables)
        markers = unparsed_cells.marker_settings(failures, tables)

        def describe(group: Group) -> dict[str, Any]:
            table = tables[group.table]
            if group.code in FILE_RULES:
                return describe_file(group, table)
            summary = details[group.table].columns.get(group.column)
            empty = summary.nulls if summary else 0
            return unparsed_cells.describe(group, table, markers, read[group.table] - empty)

        findings += failures.findings(context, sources, describe, leave=_FOUND_IN_SUMS)
        failures.write(folder, keep=(former.folder, kept) if former else None)
    findings.sort(
        key=lambda each: (TABLE_ORDER.index(each.table or ""), each.code, each.column or "")
    )
    return Result(
        tables=rows_by_table(context, folder),
        findings=findings,
        details=TableDetails[ValidatedTable](tables=details, made_from=made_from),
    )


def _made_from(context: Context, sources: SourceMap, table: str, columns: list[str]) -> str:
    """Digest of all that the findings about `table` depend on."""
    settings = _settings(context.config.tables[table])
    paths = digest_of_paths(context, {table: columns})
    return digest_of(
        [content(context, sources, table), settings, dict(context.config.rules), paths]
    )


def _check_cells(failures: Failures, table: Inspected) -> None:
    """Hold the table's types, then the cells of every column that has rules, against the contract.

    Leaves the sample of `take_sample`, which `check_units` uses too: pandera judges all its
    rows.
    """
    connection = table.connection
    left = ", ".join(map(quote, columns_of(table.file)))
    check_types(
        connection, f"SELECT {left} FROM {rows_of(table.file)} LIMIT 0", checked_table(table.name)
    )
    ruled = [name for name in ruled_columns(TABLES[table.name]) if name in table.columns]
    numeric = [column.name for column in numeric_columns(table.name, table.columns)]
    take_sample(connection, table.file, dict.fromkeys([*ruled, *numeric]))
    if not ruled:
        return
    wanted = ", ".join(map(quote, ruled))
    numbered = rows_of(table.file, row_number=True)
    cells = f"SELECT file_row_number AS {ROW_NUMBER}, {wanted} FROM {numbered}"

    judged = failing_cells(
        connection,
        cells,
        checked_table(table.name, ruled),
        sample=f"SELECT {ROW_NUMBER}, {wanted} FROM {SAMPLED}",
    )
    for _ in judged:
        labelled = unparsed_cells.causes_of(table, ruled, FAILING)
        failures.add(
            f"SELECT code, {literal(table.name)}, row_number, col, value, cause FROM ({labelled})"
        )


STAGE = Stage(
    "validate",
    run,
    inputs,
    "ingest",
    "12",
    "Holds cells against SynDB's contract (types, ranges, words, text), named files against their"
    " formats, and whole columns against what is plausible in nanometres.",
)
