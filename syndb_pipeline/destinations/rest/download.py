"""Reading a dataset's tables back from what a server lets us download: a tar of Parquet files,
every byte of it untrusted.

Belongs here: taking tables out of it and holding them against a package. Does not: requests
(`rest.py`).

SynDB does not publish what its tar looks like, so folders, and headers that other writers add, are
passed over; links and devices are not.
"""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final
from uuid import UUID

import duckdb

from syndb_pipeline.base import engine
from syndb_pipeline.base.engine import literal, parquet, quote, write_parquet
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.destinations.archive import (
    BLOCK,
    MAX_EXTENDED_HEADER,
    PIECE,
    extended_records,
    extract_tables,
)
from syndb_pipeline.destinations.base import Package, TableCheck
from syndb_pipeline.destinations.embedded.tables import compare_table

_EXTENDED: Final = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME)

_INTEGERS: Final = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
)


class NotReadable(Exception):
    """What was downloaded is no tar of Parquet files; the message says why."""


def compare_download(
    package: Package,
    dataset: UUID,
    downloaded: Path,
    folder: Path,
    *,
    memory_limit: int,
    threads: int,
) -> tuple[TableCheck, ...]:
    """Each table of `package` against the tar `downloaded`, in the scratch `folder`. Raises
    `NotReadable`.
    """
    there, sent = folder / "there", folder / "sent"
    there.mkdir()
    sent.mkdir()
    held = take_tables(downloaded, there)
    downloaded.unlink()
    tables = extract_tables(package.tar, sent)
    with engine.connect(
        memory_limit=memory_limit, threads=threads, spill=folder / "spill"
    ) as connection:
        return tuple(
            compare_table(
                connection,
                name,
                path,
                _as_sent(connection, path, held[name], dataset) if name in held else None,
            )
            for name, path in tables.items()
        )


def take_tables(tar: Path, folder: Path) -> dict[str, Path]:
    """Every `<table>.parquet` of a tar, in whatever folder it lies, as files of `folder` by table;
    none, when the tar is empty.

    Raises `NotReadable`.
    """
    tables: dict[str, Path] = {}
    left, others = tar.stat().st_size, False
    with tar.open("rb") as file:
        extended: dict[str, str] = {}
        while (block := file.read(BLOCK)).strip(b"\0"):
            left -= len(block)
            member = _header(block)
            size = int(extended.get("size", member.size))
            padded = -(-size // BLOCK) * BLOCK
            if not 0 <= size <= left:
                raise NotReadable("a member is larger than what was downloaded")
            left -= padded
            if member.type in _EXTENDED:
                extended = _extended(file, member, padded, extended)
                continue
            name = PurePosixPath(extended.get("path", member.name)).name
            extended = {}
            if (
                member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)
                and name.endswith(".parquet")
                and name[:-8] in TABLES
            ):
                if name[:-8] in tables:
                    raise NotReadable(f"{name} is in it twice")
                tables[name[:-8]] = folder / name
                _copy(file, size, folder / name)
                file.seek(padded - size, 1)
            elif member.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE):
                others = others or member.type != tarfile.DIRTYPE
                file.seek(padded, 1)
            else:
                raise NotReadable("it holds links or devices")
        if not block:
            raise NotReadable("it is no tar, or part of it is missing")
    if others and not tables:
        raise NotReadable("it holds no table of SynDB")
    return tables


def _header(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "replace")
    except (tarfile.TarError, ValueError):
        raise NotReadable("it is no tar, or part of it is missing") from None


def _extended(
    file: BinaryIO, member: tarfile.TarInfo, padded: int, before: dict[str, str]
) -> dict[str, str]:
    """What an extended header says of the member after it: its size and path; nothing else
    matters.
    """
    if member.size > MAX_EXTENDED_HEADER:
        raise NotReadable("a header in it is too large")
    content = file.read(padded)[: member.size]
    if member.type == tarfile.XGLTYPE:
        return before
    if member.type == tarfile.GNUTYPE_LONGNAME:
        return before | {"path": content.rstrip(b"\0").decode("utf-8", "replace")}
    try:
        records = extended_records(content)
    except ValueError:
        raise NotReadable("a header in it is damaged") from None
    return before | {
        key.decode(): value.decode("utf-8", "replace")
        for key, value in records.items()
        if key in (b"path", b"size")
    }


def _copy(file: BinaryIO, size: int, path: Path) -> None:
    with path.open("xb") as written:
        while size:
            piece = file.read(min(size, PIECE))
            if not piece:
                raise NotReadable("part of it is missing")
            written.write(piece)
            size -= len(piece)


def _as_sent(connection: duckdb.DuckDBPyConnection, sent: Path, held: Path, dataset: UUID) -> Path:
    """The downloaded table with the types of the sent one, its other columns left out, and the rows
    of this dataset alone.

    A server may add `dataset_id`, write UUIDs as text or as 16 bytes, and numbers wider. A value
    that does not fit becomes NULL, so that its row counts as not there. A file that cannot be read
    is given back as it is: comparing it says that nothing is there.
    """
    wanted = _columns(connection, sent)
    try:
        has = _columns(connection, held)
        if has == wanted:
            return held
        columns = [
            f"{_cast(name, has[name], kind)} AS {quote(name)}"
            for name, kind in wanted.items()
            if name in has
        ]
        where = (
            f" WHERE {_cast('dataset_id', has['dataset_id'], 'UUID')} ="
            f" {literal(str(dataset))}::UUID"
            if "dataset_id" in has
            else ""
        )
        target = held.with_name(f"cast.{held.name}")
        write_parquet(
            connection, f"SELECT {', '.join(columns)} FROM {parquet(held)}{where}", target
        )
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error:
        return held
    return target


def _columns(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
    return {
        name: kind
        for name, kind, *_ in connection.execute(
            f"DESCRIBE SELECT * FROM {parquet(path)}"
        ).fetchall()
    }


def _cast(name: str, has: str, wanted: str) -> str:
    column = quote(name)
    if has == wanted:
        return column
    if (has, wanted) == ("BLOB", "UUID"):
        return f"TRY_CAST(hex({column}) AS UUID)"
    if (
        wanted in _INTEGERS and has not in _INTEGERS
    ):  # a cast would round 1.4 to 1, and so hide a change
        return (
            f"CASE WHEN TRY_CAST({column} AS DOUBLE) = TRY_CAST({column} AS {wanted})::DOUBLE THEN"
            f" TRY_CAST({column} AS {wanted}) END"
        )
    return f"TRY_CAST({column} AS {wanted})"
