"""A server that spoils what it took: rows lost, doubled, altered or cut off in the tables of an
embedded node.

Belongs here: changing stored Parquet behind the node's back. Does not: when that happens
(`faults.py`).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import UUID, uuid4

import duckdb
from filelock import FileLock

from syndb_pipeline.base import engine
from syndb_pipeline.base.engine import flush, literal, parquet, quote, write_parquet
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.sandbox.fault_script import Counts, DataFault
from syndb_pipeline.state.store import write_atomically

KEPT_ROWS: Final = 1_000
"""What `truncate` leaves: one stored version of SynDB wrote only an upload's last chunk of 1,000
rows.
"""


class Tamper(Protocol):
    """What the server behind the faults gives, so that they can spoil what it stored."""

    def change(self, dataset: UUID, fault: DataFault, table: str | None, counts: Counts) -> bool:
        """Spoil one table of the dataset: `table`, or its largest.

        With counts `sent` the server goes on telling what it was sent; with `stored` its counts
        follow the rows that are there. Returns whether anything changed; there may be no such
        table, or no row to spoil.
        """
        ...


class NodeTamper:
    """`Tamper` for the folder of an embedded node. It knows the layout that
    `destinations/embedded.py` describes.

    A changed table is a new file, and `dataset.json` is replaced in one rename, so readers see it
    before or after as with an upload.
    """

    def __init__(self, node: Path, *, memory_limit: int, threads: int) -> None:
        self.node = node
        self.memory_limit = memory_limit
        self.threads = threads

    def change(self, dataset: UUID, fault: DataFault, table: str | None, counts: Counts) -> bool:
        with FileLock(self.node / "locks" / f"{dataset}.lock"):
            folder = self.node / "datasets" / str(dataset)
            path = folder / "dataset.json"
            entry: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            tables = entry["tables"]
            if not tables or (table is not None and table not in tables):
                return False
            name = table or max(tables, key=lambda each: tables[each]["rows"])
            spoilt = folder / "tables" / f"{name}.{uuid4().hex}.parquet"
            spill = folder / ".spill-of-tamper"
            try:
                with engine.connect(
                    memory_limit=self.memory_limit, threads=self.threads, spill=spill
                ) as connection:
                    held = folder / "tables" / tables[name]["file"]
                    (before,) = connection.execute(
                        f"SELECT count(*) FROM {parquet(held)}"
                    ).fetchone() or (0,)
                    query = _spoilt(connection, name, held, before, fault)
                    if query is None:
                        return False
                    after = write_parquet(connection, query, spoilt, published=True)
            finally:
                shutil.rmtree(spill, ignore_errors=True)
            flush(spoilt.parent)
            tables[name]["file"] = spoilt.name
            if counts == "stored":
                tables[name]["rows"] = after
                entry["number_of_units"] += after - before
            write_atomically(path, json.dumps(entry, indent=1) + "\n")
            return True


def _spoilt(
    connection: duckdb.DuckDBPyConnection, table: str, held: Path, rows: int, fault: DataFault
) -> str | None:
    """The query of the table as the fault leaves it, its rows in their order; None when it would
    change nothing.
    """
    source = parquet(held, row_number=True)
    whole = f"SELECT * EXCLUDE (file_row_number) FROM {source}"
    if rows == 0:
        return None
    if fault == "lose-row":
        return f"{whole} WHERE file_row_number <> {rows - 1}"
    if fault == "double-row":
        return f"{whole} UNION ALL {whole} WHERE file_row_number = {rows - 1}"
    if fault == "truncate":
        return f"{whole} WHERE file_row_number >= {rows - KEPT_ROWS}" if rows > KEPT_ROWS else None
    key = TABLES[table].pair or ("cid",)
    columns = {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE {whole}").fetchall()}
    # A measure rather than a key: a changed key would be a row lost and another one added.
    for name in sorted(columns, key=lambda each: each in key):
        column = quote(name)
        (row,) = connection.execute(
            f"SELECT max(file_row_number) FROM {source} WHERE {column} IS NOT NULL"
        ).fetchone() or (None,)
        if row is not None:
            other = (
                f"CASE WHEN file_row_number = {row} THEN"
                f" ({_another(column, columns[name])})::{columns[name]} ELSE {column} END"
            )
            return f"SELECT * EXCLUDE (file_row_number) REPLACE ({other} AS {column}) FROM {source}"
    return None


def _another(column: str, kind: str) -> str:
    """An SQL expression for a value of the column's type that is not the column's value."""
    if kind == "UUID":
        return f"md5({column}::VARCHAR)"
    if kind == "VARCHAR":
        return f"{column} || {literal('x')}"
    if (
        kind == "DOUBLE"
    ):  # a half differs at any size, where minus 1 would be lost in a large volume
        return f"CASE WHEN {column} = 0 THEN 1 ELSE {column} / 2 END"
    return f"CASE WHEN {column} > 0 THEN {column} - 1 ELSE {column} + 1 END"
