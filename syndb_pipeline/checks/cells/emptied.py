"""Values that a marker of the config emptied although they may be true ones.

Belongs here: the warning about them (SYN-VAL-006). Does not: which values may be true
(`readers/casts.py`).
"""

from __future__ import annotations

from typing import Final

import duckdb

from syndb_pipeline.base.engine import literal, parquet, quote
from syndb_pipeline.checks.cells.unparsed_cells import missing_setting
from syndb_pipeline.config.table_settings import ALL_COLUMNS
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.contract.tables import TABLES, Kind
from syndb_pipeline.readers.casts import WHITE_SPACE, true_markers
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.tables import columns_of, ingested

CODE: Final = "SYN-VAL-006"


def check_emptied(
    context: Context, connection: duckdb.DuckDBPyConnection, sources: SourceMap, table: str
) -> list[Finding]:
    """The finding about values of `table` that a marker for all columns emptied; none where no
    marker did.
    """
    cells = parquet(context.store.stage("ingest") / "cells.parquet")
    emptied = f"FROM {cells} WHERE kind = 'emptied' AND tbl = {literal(table)}"
    counts = connection.execute(
        f"""SELECT col, count(*), list(DISTINCT trim(raw, {literal(WHITE_SPACE)})), min(row_number),
              arg_min(raw, row_number)
            {emptied} GROUP BY col"""
    ).fetchall()
    if not counts:
        return []
    by_column = {column: (count, written, row, raw) for column, count, written, row, raw in counts}
    columns = [name for name in TABLES[table].columns if name in by_column]
    written = sorted({text for _, texts, _, _ in by_column.values() for text in texts})
    return [
        context.finding(
            CODE,
            table=table,
            count=sum(count for count, *_ in by_column.values()),
            examples=[
                sources.example(table, by_column[name][2], name, by_column[name][3])
                for name in columns
            ],
            listed=", ".join(f"{name} ({by_column[name][0]:,})" for name in columns),
            value=written[0],
            advice=_advice(context, connection, table, columns),
        )
    ]


def _advice(
    context: Context, connection: duckdb.DuckDBPyConnection, table: str, columns: list[str]
) -> str:
    """To name the marker for the columns that have gaps and in which it empties no value that may
    be true.
    """
    config, declared = context.config.tables[table], TABLES[table].columns
    markers = {marker: None for name in columns for marker in true_markers(declared[name], config)}
    path = ingested(context)[table]
    others = [
        name
        for name in columns_of(path)
        if name in declared and name not in columns and declared[name].kind is not Kind.KEY
    ]
    gaps = ", ".join(f"count_if({quote(name)} IS NULL)" for name in others)
    [empty] = (
        connection.execute(f"SELECT {gaps} FROM {rows_of(path)}").fetchall() if others else [()]
    )
    alone = {name: markers for name, count in zip(others, empty, strict=True) if count}
    left = {
        name: [m for m in told if name != ALL_COLUMNS or m not in markers]
        for name, told in config.missing_by_column.items()
    }
    setting = missing_setting(table, config.model_copy(update={"missing": left}), [], alone)
    shown = " or ".join(map(repr, markers))
    return (
        f"If {shown} means `no value` in some columns only, name these: `{setting}`. If it does in"
        " all, name all of them so."
    )
