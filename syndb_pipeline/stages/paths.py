"""Meshes and skeletons that a table names: whether each file is there and of the right kind.

Belongs here: existence and suffix of distinct paths. Does not: what the files hold, or sending them (`package.py` reads and digests them).
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl

from syndb_pipeline.contract.tables import TABLES, Column, Kind
from syndb_pipeline.engine import literal, parquet, quote
from syndb_pipeline.stages.failures import Failures
from syndb_pipeline.stages.stage import Context

_BATCH = 100_000


def path_columns(table: str, columns: list[str]) -> list[Column]:
    """The columns of `table`, among `columns`, that name files."""
    return [TABLES[table].columns[name] for name in columns if TABLES[table].columns[name].kind is Kind.PATH]


def is_file(folder: Path, path: str) -> bool:
    """Whether `path`, absolute or relative to `folder`, is a regular file that can be found."""
    try:
        return stat.S_ISREG((folder / path).stat().st_mode)
    except (OSError, ValueError):  # not there, not allowed, too long, or no path at all
        return False


def _distinct(connection: duckdb.DuckDBPyConnection, table: Path, column: Column) -> Iterator[list[str]]:
    """The distinct paths of a column in order, some at a time. Python asks the file system for each; DuckDB cannot."""
    cell = quote(column.name)
    with connection.cursor() as cursor:
        query = f"SELECT DISTINCT {cell} FROM {parquet(table)} WHERE {cell} IS NOT NULL ORDER BY 1"
        for batch in cursor.sql(query).to_arrow_reader(_BATCH):
            yield batch.column(0).to_pylist()


def check_paths(context: Context, failures: Failures, table: str, columns: list[str]) -> None:
    """Add the cells to `failures` that name a file that is not there (SYN-PATH-001) or has another suffix (SYN-PATH-002)."""
    file = context.store.stage("ingest") / "tables" / f"{table}.parquet"
    for column in path_columns(table, columns):
        failures.connection.execute("CREATE OR REPLACE TABLE missing_paths (path VARCHAR)")
        for paths in _distinct(failures.connection, file, column):
            missing = [path for path in paths if not is_file(context.config.folder, path)]
            if missing:
                failures.connection.register("missing", pl.DataFrame({"path": missing}).to_arrow())
                failures.connection.execute("INSERT INTO missing_paths SELECT path FROM missing")
                failures.connection.unregister("missing")
        cell = quote(column.name)
        rows = f"{literal(table)}, file_row_number, {literal(column.name)}, {cell}, '' FROM {parquet(file, row_number=True)}"
        suffixed = f"ends_with(lower({cell}), {literal(column.suffix)})"
        # What is no mesh at all need not be looked for.
        failures.add(f"SELECT 'SYN-PATH-001', {rows} WHERE {cell} IN (SELECT path FROM missing_paths) AND {suffixed}")
        failures.add(f"SELECT 'SYN-PATH-002', {rows} WHERE NOT {suffixed}")


def digest_of_paths(context: Context, tables: dict[str, list[str]]) -> str | None:
    """SHA-256 over the distinct paths of `tables` (SynDB's columns by table) and whether each is a file; None when there are none.

    It is what validate depends on outside the tables: a file put in its place makes the stage run again. Contents are not part of it;
    the package digests them.
    """
    folder = context.store.stage("ingest") / "tables"
    named = [(table, column) for table, columns in tables.items() for column in path_columns(table, columns)]
    if not named:
        return None
    digest = hashlib.sha256()
    with context.duckdb(threads=1) as connection:
        for table, column in named:
            for paths in _distinct(connection, folder / f"{table}.parquet", column):
                for path in paths:
                    digest.update(f"{table}\0{column.name}\0{path}\0{is_file(context.config.folder, path)}\n".encode())
    return digest.hexdigest()
