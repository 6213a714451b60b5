"""Tables of packages as Parquet files: what a sent table must be, how it joins the rows that are
there, how the two are compared.

Belongs here: SQL over Parquet files, streamed. Does not: datasets, owners, tars (`archive.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import duckdb

from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.base.engine import exact_path, flush, literal, parquet, quote, write_parquet
from syndb_pipeline.base.errors import BadTable, DestinationRefused
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.destinations.base import TableCheck

_INTEGERS: Final = {
    f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG", "HUGE")
} | {"INTEGER", "UINTEGER"}


def check_size(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    *,
    max_rows: int | None,
    max_bytes: int | None,
) -> None:
    """Raises `BadTable` when a sent table announces more rows, or more bytes once unpacked, than a
    limit (None: no limit).

    Reads the file's end only: a small file can announce any number of rows, and reading them would
    take days.
    """
    if max_rows is None and max_bytes is None:
        return
    file = literal(exact_path(path))
    with _readable(path):
        rows, unpacked = _row(
            connection,
            f"SELECT greatest((SELECT max(num_rows) FROM parquet_file_metadata({file})), "
            "max(row_group_num_rows), max(num_values)), "
            f"coalesce(sum(total_uncompressed_size::HUGEINT), 0) FROM parquet_metadata({file})",
        )
    if max_rows is not None and (rows or 0) > max_rows:
        wrong = f"it announces {rows:,} rows; no more than {max_rows:,} are taken"
    elif max_bytes is not None and unpacked > max_bytes:
        wrong = f"it would unpack to {unpacked:,} bytes; no more than {max_bytes:,} are taken"
    else:
        return
    raise BadTable(f"{path.name}: {wrong}.")


def check_table(connection: duckdb.DuckDBPyConnection, table: str, path: Path) -> int:
    """Rows of a sent table.

    Raises `BadTable` unless every column is one SynDB publishes for the table, in its type, every
    row has its key (`cid`, or the two ends of a pair) and no two rows have the same; also when any
    part of the file cannot be read.
    """
    key = _key(table)
    keys = ", ".join(map(quote, key))
    file = parquet(path)
    with _readable(path):
        if wrong := _wrong_columns(table, columns_of(connection, path)):
            advice = "Make the package with the package stage."
            raise BadTable(f"{path.name}: {'; '.join(wrong)}.", next_step=advice)
        # Every value is read, so a file that is broken anywhere is refused now and not by a reader
        # later. Counting alone reads the footer.
        rows, *_ = _row(connection, f"SELECT count(*), max(hash(COLUMNS(*))) FROM {file}")
        empty = " OR ".join(f"{quote(name)} IS NULL" for name in key)
        (without,) = _row(connection, f"SELECT count(*) FROM {file} WHERE {empty}")
        repeated = connection.execute(
            f"SELECT {keys} FROM {file} GROUP BY {keys} HAVING count(*) > 1 LIMIT 1"
        ).fetchone()
    if without:
        raise BadTable(f"{path.name}: {without:,} rows have no {' or no '.join(key)}.")
    if repeated:
        raise BadTable(
            f"{path.name}: {' and '.join(key)} {' and '.join(map(str, repeated))} is on several "
            "rows."
        )
    return int(rows)


def count_rows(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    return int(_row(connection, f"SELECT count(*) FROM {parquet(path)}")[0])


def write_merged(
    connection: duckdb.DuckDBPyConnection, table: str, held: Path, sent: Path, target: Path
) -> None:
    """Write the held rows, then the sent ones; a sent row takes the place of the held row with its
    key.

    A column that only the held table has keeps its values, as an upsert of the other columns leaves
    it in SynDB. Raises `DestinationRefused` when the held file is no Parquet file any more.
    """
    sends = columns_of(connection, sent)  # was read to its end before: see `check_table`
    try:
        has = columns_of(connection, held)
    except duckdb.InvalidInputException as error:
        raise DestinationRefused(
            f"{held}: the rows that are there cannot be read ({str(error).splitlines()[0]}). "
            "Nothing was changed.",
            next_step="Restore it from a backup; or delete the dataset and publish it again.",
        ) from None
    old, new = [], []
    for name in (name for name in TABLES[table].published if name in has or name in sends):
        column = quote(name)
        old.append(f"h.{column}" if name in has else f"NULL::{sends[name]} AS {column}")
        new.append(f"s.{column}" if name in sends else f"h.{column}")
    there, arrived, same = f"{parquet(held)} AS h", f"{parquet(sent)} AS s", _same_key(table)
    merged = (
        f"SELECT {', '.join(old)} FROM {there} ANTI JOIN {arrived} ON {same} "
        f"UNION ALL SELECT {', '.join(new)} FROM {arrived}"
    )
    if set(has) - set(sends):
        merged += f" LEFT JOIN {there} ON {same}"
    write_parquet(connection, merged, target, published=True)
    flush(target)


def compare_table(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    sent: Path,
    held: Path | None,
    dataset: UUID | None = None,
) -> TableCheck:
    """A sent table against the one held, row by row in the columns that were sent.

    Args:
        connection: Where to compare.
        table: Its name.
        sent: The file that was sent.
        held: The file that is there. One that cannot be read counts as not there.
        dataset: Whose rows count, where the held table has a column `dataset_id`.
    """
    rows = count_rows(connection, sent)
    absent = TableCheck(table=table, sent=rows, found=0, missing=rows)
    if held is None:
        return absent
    keys = ", ".join(map(quote, _key(table)))
    try:
        if digest_file(held) == digest_file(sent):
            return TableCheck(table=table, sent=rows, found=rows, missing=0)
        columns = columns_of(connection, sent)
        there = _as_sent(held, columns_of(connection, held), columns, dataset)
        distinct = f"SELECT count(*) FROM (SELECT DISTINCT {keys} FROM {there})"
        found, different = _row(connection, f"SELECT count(*), ({distinct}) FROM {there}")
        # Compared as one struct, so that NULL equals NULL.
        whole = f"{keys}, struct_pack({', '.join(map(quote, columns))}) AS whole"
        (missing,) = _row(
            connection,
            f"SELECT count(*) FROM (SELECT {whole} FROM {parquet(sent)}) AS s "
            f"ANTI JOIN (SELECT {whole} FROM {there}) AS h "
            f"ON {_same_key(table)} AND s.whole IS NOT DISTINCT FROM h.whole",
        )
    except duckdb.OutOfMemoryException:
        raise
    except (duckdb.Error, FileNotFoundError):
        return absent
    return TableCheck(
        table=table, sent=rows, found=found, missing=missing, doubled=found - different
    )


def _as_sent(held: Path, has: dict[str, str], wanted: dict[str, str], dataset: UUID | None) -> str:
    """A held file as a relation with the types of the sent one, and the rows of `dataset` alone.

    A server may add `dataset_id`, write UUIDs as text or as 16 bytes, and numbers wider. A value
    that does not fit becomes NULL, so that its row counts as not there.
    """
    columns = ", ".join(
        f"{_cast(name, has[name], kind)} AS {quote(name)}"
        for name, kind in wanted.items()
        if name in has
    )
    query = f"SELECT {columns} FROM {parquet(held)}"
    if dataset is not None and "dataset_id" in has:
        owner = _cast("dataset_id", has["dataset_id"], "UUID")
        query += f" WHERE {owner} = {literal(str(dataset))}::UUID"
    return f"({query})"


def _cast(name: str, has: str, wanted: str) -> str:
    column = quote(name)
    if has == wanted:
        return column
    if (has, wanted) == ("BLOB", "UUID"):
        return f"TRY_CAST(hex({column}) AS UUID)"
    cast = f"TRY_CAST({column} AS {wanted})"
    if wanted in _INTEGERS and has not in _INTEGERS:
        # A cast would round 1.4 to 1, and so hide a change.
        return f"CASE WHEN TRY_CAST({column} AS DOUBLE) = {cast}::DOUBLE THEN {cast} END"
    return cast


def columns_of(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
    """The columns of a Parquet file and their types in DuckDB."""
    found = connection.execute(f"DESCRIBE SELECT * FROM {parquet(path)}").fetchall()
    return {name: kind for name, kind, *_ in found}


def _row(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None  # each query here counts
    return row


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Inside: what DuckDB cannot read is a bad table."""
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise BadTable(f"{path.name}: no readable Parquet file ({reason}).") from None


def _key(table: str) -> tuple[str, ...]:
    return TABLES[table].pair or ("cid",)


def _same_key(table: str) -> str:
    """The join condition between sent rows `s` and held rows `h`."""
    return " AND ".join(f"s.{quote(name)} = h.{quote(name)}" for name in _key(table))


def _wrong_columns(table: str, found: dict[str, str]) -> list[str]:
    wanted = TABLES[table].published
    unknown = [name for name in found if name not in wanted]
    return [
        *(f"{name} is not a column that {table} has in SynDB" for name in unknown),
        *(f"{name} is missing" for name in _key(table) if name not in found),
        *(
            f"{name} is {kind}, not {wanted[name]}"
            for name, kind in found.items()
            if name in wanted and kind != wanted[name]
        ),
    ]
