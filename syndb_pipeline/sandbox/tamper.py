"""A server that changes what it took: rows lost, doubled, altered or cut off in an embedded node.

Belongs here: changing stored Parquet behind the node's back. Does not: when that happens
(`faults.py`).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import duckdb
from filelock import FileLock

from syndb_pipeline.base import engine
from syndb_pipeline.base.engine import flush, literal, parquet, quote, write_parquet
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.sandbox.fault_script import Fault
from syndb_pipeline.state.store import write_atomically

KEPT_ROWS: Final = 1_000
"""What `truncate` leaves: one stored version of SynDB wrote only an upload's last 1,000 rows."""


def tamper(node: Path, dataset: UUID, fault: Fault, *, memory_limit: int, threads: int) -> bool:
    """Change one table of a dataset in the embedded node `node`: the fault's, or the largest.

    With counts `sent` (the default) the node goes on giving the number it was sent; with `stored`
    its counts follow the rows there are. Returns whether anything changed; there may be no such
    table, or no row. A changed table is a new file, and `dataset.json` is replaced in one rename,
    so readers see it before or after, as with an upload.
    """
    with FileLock(node / "locks" / f"{dataset}.lock"):
        folder = node / "datasets" / str(dataset)
        path = folder / "dataset.json"
        entry: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        tables = entry["tables"]
        table = fault.options.get("table")
        if not tables or (table is not None and table not in tables):
            return False
        name = table or max(tables, key=lambda each: tables[each]["rows"])
        changed = folder / "tables" / f"{name}.{uuid4().hex}.parquet"
        spill = folder / ".spill-of-tamper"
        try:
            with engine.connect(
                memory_limit=memory_limit, threads=threads, spill=spill
            ) as connection:
                held = folder / "tables" / tables[name]["file"]
                before = _one(connection, f"SELECT count(*) FROM {parquet(held)}")
                query = _changed(connection, name, held, before, fault.kind)
                if query is None:
                    return False
                after = write_parquet(connection, query, changed, published=True)
        finally:
            shutil.rmtree(spill, ignore_errors=True)
        flush(changed.parent)
        tables[name]["file"] = changed.name
        if fault.options.get("counts") == "stored":
            tables[name]["rows"] = after
            entry["number_of_units"] += after - before
        write_atomically(path, json.dumps(entry, indent=1) + "\n")
        return True


def _changed(
    connection: duckdb.DuckDBPyConnection, table: str, held: Path, rows: int, kind: str
) -> str | None:
    """The query of the table as the fault leaves it; None when it would change nothing."""
    source = parquet(held, row_number=True)
    whole = f"SELECT * EXCLUDE (file_row_number) FROM {source}"
    if rows == 0 or (kind == "truncate" and rows <= KEPT_ROWS):
        return None
    if kind == "lose-row":
        return f"{whole} WHERE file_row_number <> {rows - 1}"
    if kind == "double-row":
        return f"{whole} UNION ALL {whole} WHERE file_row_number = {rows - 1}"
    if kind == "truncate":
        return f"{whole} WHERE file_row_number >= {rows - KEPT_ROWS}"
    key = TABLES[table].pair or ("cid",)
    columns = dict(row[:2] for row in connection.execute(f"DESCRIBE {whole}").fetchall())
    # A measure rather than a key: a changed key would be a row lost and another one added.
    for name in sorted(columns, key=lambda each: each in key):
        column, type_ = quote(name), columns[name]
        last = f"SELECT max(file_row_number) FROM {source} WHERE {column} IS NOT NULL"
        if (row := _one(connection, last)) is not None:
            other = f"({_another(column, type_)})::{type_}"
            other = f"CASE WHEN file_row_number = {row} THEN {other} ELSE {column} END"
            return f"SELECT * EXCLUDE (file_row_number) REPLACE ({other} AS {column}) FROM {source}"
    return None


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    return (connection.execute(query).fetchone() or (None,))[0]


def _another(column: str, type_: str) -> str:
    """An SQL expression for a value of the column's type that is not the column's value."""
    if type_ == "UUID":
        return f"md5({column}::VARCHAR)"
    if type_ == "VARCHAR":
        return f"{column} || {literal('x')}"
    if (
        type_ == "DOUBLE"
    ):  # a half differs at any size, where minus 1 would be lost in a large volume
        return f"CASE WHEN {column} = 0 THEN 1 ELSE {column} / 2 END"
    return f"CASE WHEN {column} > 0 THEN {column} - 1 ELSE {column} + 1 END"
