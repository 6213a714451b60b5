"""What of the rows changed since the dataset was last published, by the UUIDs that they have.

Belongs here: comparing the package with the tables that the newest receipt kept. Does not: keeping
them (`records.py`), or deciding whether to send (`publish.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from syndb_pipeline.base import engine
from syndb_pipeline.base.engine import parquet, quote, types_of
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.contract.tables import TABLES, ordered
from syndb_pipeline.publishing.records import Changes, PublishRecords, Receipt, Since


def changes_since(
    settings: PipelineSettings,
    records: PublishRecords,
    destination: tuple[str, str],
    package: Mapping[str, Path],
) -> Since | None:
    """What changed since the newest receipt.

    Args:
        settings: Limits of memory and threads.
        records: Those of the dataset.
        destination: Name and target of where the package would go.
        package: Its tables.

    Returns:
        None where the dataset was not published there, was deleted there since, or the tables that
        were published are not there, each with its rows: an old receipt's were not kept.
    """
    receipt = records.receipt()
    if receipt is None or (receipt.destination, receipt.target) != destination:
        return None
    kept, deleted = records.kept.tables(receipt.plan), records.deleted(receipt.destination)
    if not all(each.before(receipt) for each in deleted) or not _whole(kept, receipt):
        return None
    with (
        TemporaryDirectory(dir=records.folder, prefix=".spill-") as spill,
        engine.connect(
            memory_limit=settings.memory_limit, threads=settings.threads, spill=Path(spill)
        ) as connection,
    ):
        tables = {
            name: _compare(connection, name, kept.get(name), package.get(name))
            for name in ordered({*kept, *package})
        }
    return Since(published=receipt.published, plan=receipt.plan, tables=tables)


def _whole(kept: Mapping[str, Path], receipt: Receipt) -> bool:
    try:
        rows = {name: engine.rows_in(path) for name, path in kept.items()}
    except (OSError, ValueError):  # no Parquet file, says pyarrow
        return False
    return rows == {name: table.sent for name, table in receipt.tables.items()}


def _compare(
    connection: duckdb.DuckDBPyConnection, table: str, before: Path | None, now: Path | None
) -> Changes:
    if before is None or now is None:
        added, withdrawn = (engine.rows_in(path) if path else 0 for path in (now, before))
        return Changes(added=added, changed=0, withdrawn=withdrawn)
    if before.samefile(now):
        return Changes(added=0, changed=0, withdrawn=0)
    keys, (old, new) = ", ".join(map(quote, key_of(table))), hashed(table, before, now)
    added, withdrawn, changed = connection.execute(
        f"SELECT count_if(o.row IS NULL), count_if(n.row IS NULL), count_if(o.row <> n.row)"
        f" FROM {old} o FULL JOIN {new} n USING ({keys})"
    ).fetchall()[0]
    return Changes(added=added, changed=changed, withdrawn=withdrawn)


def key_of(table: str) -> tuple[str, ...]:
    """The columns of UUIDs that a packed row is known by."""
    return TABLES[table].pair or ("cid",)


def hashed(table: str, before: Path, now: Path) -> tuple[str, str]:
    """FROM items of both versions of a table: the key of each row, and `row`, a hash of all."""
    sides, columns = (types_of(before), types_of(now)), {*types_of(before), *types_of(now)}
    keys = ", ".join(map(quote, key_of(table)))
    old, new = (
        f"(SELECT {keys}, hash({', '.join(_value(name, side) for name in sorted(columns))}) AS row"
        f" FROM {parquet(path)})"
        for side, path in zip(sides, (before, now), strict=True)
    )
    return old, new


def _value(column: str, there: Mapping[str, str]) -> str:
    return quote(column) if column in there else "NULL"
