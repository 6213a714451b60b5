"""The tables of an embedded node: what a sent table must be, how it joins the rows that are there,
how the two are compared.

Belongs here: SQL over Parquet files, streamed. Does not: datasets, owners, or which file is the
table now (`embedded.py`).
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.base.engine import exact_path, literal, parquet, quote, write_parquet
from syndb_pipeline.base.errors import BadTable, DestinationRefused
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.destinations.base import TableCheck


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
    try:
        announced, *_ = connection.execute(
            f"SELECT num_rows FROM parquet_file_metadata({file})"
        ).fetchone() or (0,)
        groups, values, unpacked = connection.execute(
            "SELECT max(row_group_num_rows), max(num_values),"
            f" sum(total_uncompressed_size::HUGEINT) FROM parquet_metadata({file})"
        ).fetchone() or (0, 0, 0)
    except duckdb.Error as error:
        raise BadTable(
            f"{path.name}: no readable Parquet file ({str(error).splitlines()[0]})."
        ) from None
    if max_rows is not None and (rows := max(announced or 0, groups or 0, values or 0)) > max_rows:
        raise BadTable(
            f"{path.name}: it announces {rows:,} rows; no more than {max_rows:,} are taken."
        )
    if max_bytes is not None and (unpacked or 0) > max_bytes:
        raise BadTable(
            f"{path.name}: it would unpack to {unpacked:,} bytes; no more than {max_bytes:,} are"
            " taken."
        )


def check_table(connection: duckdb.DuckDBPyConnection, table: str, path: Path) -> int:
    """Rows of a sent table.

    Raises `BadTable` unless every column is one SynDB publishes for the table, in its type, every
    row has its key (`cid`, or the two ends of a pair) and no key stands twice; also when any part
    of the file cannot be read.
    """
    key = _key(table)
    keys = ", ".join(map(quote, key))
    try:
        found = _columns(connection, path)
        if wrong := _wrong_columns(table, found):
            raise BadTable(
                f"{path.name}: {'; '.join(wrong)}.",
                next_step="Make the package with the package stage.",
            )
        # Every value is read, so a file that is broken anywhere is refused now and not by a reader
        # later. Counting alone reads the footer.
        rows, *_ = connection.execute(
            f"SELECT count(*), max(hash(COLUMNS(*))) FROM {parquet(path)}"
        ).fetchone() or (0,)
        empty = " OR ".join(f"{quote(name)} IS NULL" for name in key)
        (without,) = connection.execute(
            f"SELECT count(*) FROM {parquet(path)} WHERE {empty}"
        ).fetchone() or (0,)
        twice = connection.execute(
            f"SELECT {keys} FROM {parquet(path)} GROUP BY {keys} HAVING count(*) > 1 LIMIT 1"
        ).fetchone()
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise BadTable(
            f"{path.name}: no readable Parquet file ({str(error).splitlines()[0]})."
        ) from None
    if without:
        raise BadTable(f"{path.name}: {without:,} rows have no {' or no '.join(key)}.")
    if twice:
        raise BadTable(
            f"{path.name}: {' and '.join(key)} {' and '.join(map(str, twice))} stands on several"
            " rows."
        )
    return int(rows)


def count_rows(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    (rows,) = connection.execute(f"SELECT count(*) FROM {parquet(path)}").fetchone() or (0,)
    return int(rows)


def write_merged(
    connection: duckdb.DuckDBPyConnection, table: str, held: Path, sent: Path, target: Path
) -> None:
    """Write the held rows, then the sent ones; a sent row takes the place of the held row with its
    key.

    A column that only the held table has keeps its values, as an upsert of the other columns leaves
    it in SynDB. Raises `DestinationRefused` when the held file is no Parquet file any more.
    """
    try:
        has, sends = (
            _columns(connection, held),
            _columns(connection, sent),
        )  # `sent` was read to its end before: see `check_table`
    except duckdb.InvalidInputException as error:
        raise DestinationRefused(
            f"{held}: the rows that are there cannot be read ({str(error).splitlines()[0]})."
            " Nothing was changed.",
            next_step="Restore it from a backup; or delete the dataset and publish it anew.",
        ) from None
    columns = [name for name in TABLES[table].published if name in has or name in sends]
    kept = ", ".join(
        f"h.{quote(name)}" if name in has else f"NULL::{sends[name]} AS {quote(name)}"
        for name in columns
    )
    new = ", ".join(f"s.{quote(name)}" if name in sends else f"h.{quote(name)}" for name in columns)
    same = _same_key(table)
    untouched = f"SELECT {kept} FROM {parquet(held)} AS h ANTI JOIN {parquet(sent)} AS s ON {same}"
    old = f" LEFT JOIN {parquet(held)} AS h ON {same}" if set(has) - set(sends) else ""
    write_parquet(
        connection,
        f"{untouched} UNION ALL SELECT {new} FROM {parquet(sent)} AS s{old}",
        target,
        published=True,
    )


def compare_table(
    connection: duckdb.DuckDBPyConnection, table: str, sent: Path, held: Path | None
) -> TableCheck:
    """A sent table against the one held, row by row in the columns that were sent. What is held and
    cannot be read counts as not there.
    """
    rows = count_rows(connection, sent)
    if held is None:
        return TableCheck(table=table, sent=rows, found=0, missing=rows)
    keys = ", ".join(map(quote, _key(table)))
    columns = _columns(connection, sent)
    try:
        if digest_file(held) == digest_file(sent):
            return TableCheck(table=table, sent=rows, found=rows, missing=0)
        found, distinct = connection.execute(
            f"SELECT count(*), (SELECT count(*) FROM (SELECT DISTINCT {keys} FROM {parquet(held)}))"
            f" FROM {parquet(held)}"
        ).fetchone() or (0, 0)
        # Compared as one struct, so that NULL equals NULL. A server may give a column back in a
        # wider type.
        whole = f"struct_pack({', '.join(map(quote, columns))})"
        there = f"struct_pack({', '.join(f'{quote(name)} := {quote(name)}::{kind}' for name, kind in columns.items())})"
        (missing,) = connection.execute(
            f"""SELECT count(*) FROM (SELECT {keys}, {whole} AS whole FROM {parquet(sent)}) AS s
                ANTI JOIN (SELECT {keys}, {there} AS whole FROM {parquet(held)}) AS h
                ON {_same_key(table)} AND s.whole IS NOT DISTINCT FROM h.whole"""
        ).fetchone() or (rows,)
    except duckdb.OutOfMemoryException:
        raise
    except (duckdb.Error, FileNotFoundError):
        return TableCheck(table=table, sent=rows, found=0, missing=rows)
    return TableCheck(
        table=table,
        sent=rows,
        found=int(found),
        missing=int(missing),
        doubled=int(found) - int(distinct),
    )


def _key(table: str) -> tuple[str, ...]:
    return TABLES[table].pair or ("cid",)


def _same_key(table: str) -> str:
    """The join condition between sent rows `s` and held rows `h`."""
    return " AND ".join(f"s.{quote(name)} = h.{quote(name)}" for name in _key(table))


def _columns(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
    return {
        name: kind
        for name, kind, *_ in connection.execute(
            f"DESCRIBE SELECT * FROM {parquet(path)}"
        ).fetchall()
    }


def _wrong_columns(table: str, found: dict[str, str]) -> list[str]:
    wanted = TABLES[table].published
    wrong = [
        f"{name} is not a column that {table} has in SynDB" for name in found if name not in wanted
    ]
    wrong += [f"{name} is missing" for name in _key(table) if name not in found]
    return wrong + [
        f"{name} is {kind}, not {wanted[name]}"
        for name, kind in found.items()
        if name in wanted and kind != wanted[name]
    ]
