"""What earlier stages left, table by table.

Belongs here: finding their Parquet files, their columns and their counts, and the failing cells in
`failures.parquet`: which of them refuse rows, and how many. Does not: writing any of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import duckdb

from syndb_pipeline.base.digests import digest_of
from syndb_pipeline.base.engine import literal, parquet, rows_in, types_of
from syndb_pipeline.contract.tables import TABLE_ORDER, TABLES, Column
from syndb_pipeline.rules.catalogue import RULES
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import Rows


def ingested(context: Context) -> dict[str, Path]:
    """The tables that ingest could read, parents before children, with their Parquet file."""
    folder = context.store.stage("ingest") / "tables"
    return {name: path for name in TABLE_ORDER if (path := folder / f"{name}.parquet").is_file()}


def rows_read(context: Context) -> dict[str, int]:
    """Rows of each table that ingest could read: what later stages have to do."""
    return {name: table.rows for name, table in context.ingested.details.tables.items()}


def content(context: Context, sources: SourceMap, table: str) -> str:
    """Digest of what ingest left of `table`: its rows and odd cells, where they came from, its
    columns, and how it was to be read.
    """
    ingest = context.ingested
    places = [source.model_dump(mode="json") for source in sources.tables[table]]
    left = ingest.details.tables[table].model_dump(mode="json")
    details = [left, ingest.details.made_from[table]]
    return digest_of([ingest.outputs[f"tables/{table}.parquet"].sha256, places, details])


def written(context: Context, stage: str, kind: str) -> dict[str, Path]:
    """The `<kind>/<table>.parquet` files of a finished stage, by table, e.g. ids of assign_ids."""
    folder = context.store.stage(stage) / kind
    return {name: path for name in TABLE_ORDER if (path := folder / f"{name}.parquet").is_file()}


def columns_of(path: Path) -> list[str]:
    """The columns of a Parquet file, without ingest's own `_cells`."""
    return [name for name in types_of(path) if not name.startswith("_")]


def contract_columns(table: str, path: Path) -> dict[str, Column]:
    """The contract's columns that an ingested table has, in the file's order."""
    declared = TABLES[table].columns
    return {name: declared[name] for name in columns_of(path)}


def rows_by_table(context: Context, folder: Path) -> dict[str, Rows]:
    """Rows read, passed and rejected by one stage, from ingest's counts and the failing cells in
    `folder`.
    """
    rejected = _rejected(context, folder)
    return {
        name: Rows(read=rows, passed=rows - rejected.get(name, 0), rejected=rejected.get(name, 0))
        for name, rows in rows_read(context).items()
    }


def _rejected(context: Context, folder: Path) -> dict[str, int]:
    # Mostly nothing failed: opening a DuckDB takes longer than all else a small dataset asks for
    # here.
    if not rows_in(folder / FILE):
        return {}
    with context.duckdb() as connection:
        return rejected_rows(connection, context, [folder])


FILE: Final = "failures.parquet"


def is_error(context: Context, code: str) -> bool:
    """Whether rule `code` refuses rows in this dataset: by the config's `rules`, else by the
    catalogue.
    """
    return context.severities.get(code, RULES[code].severity) == "error"


def error_cells(context: Context, folders: list[Path]) -> str:
    """A query for tbl, row_number, col, code and cause of the failing cells of stage `folders` that
    break a rule which refuses rows.
    """
    errors = [code for code in RULES if is_error(context, code)]
    selects = [
        "SELECT ''::VARCHAR AS tbl, 0::BIGINT AS row_number, ''::VARCHAR AS col, ''::VARCHAR AS"
        " code, ''::VARCHAR AS cause LIMIT 0"
    ]
    files = [folder / FILE for folder in folders if (folder / FILE).is_file()]
    selects += [f"SELECT tbl, row_number, col, code, cause FROM {parquet(file)}" for file in files]
    union = " UNION ALL ".join(f"({select})" for select in selects)
    return f"SELECT * FROM ({union}) WHERE list_contains({literal(errors)}, code)"


def rejected_places(context: Context, folders: list[Path]) -> str:
    """A query for tbl and row_number of every row with at least one error among the failing cells
    of stage `folders`, each row once.
    """
    return f"SELECT DISTINCT tbl, row_number FROM ({error_cells(context, folders)})"


def rejected_rows(
    connection: duckdb.DuckDBPyConnection, context: Context, folders: list[Path]
) -> dict[str, int]:
    """How many rows `rejected_places` gives, by table."""
    rows = connection.execute(
        f"SELECT tbl, count(*) FROM ({rejected_places(context, folders)}) GROUP BY tbl"
    ).fetchall()
    return {table: int(count) for table, count in rows}
