"""Reading a dataset's tables back from what a server lets us download: a tar of Parquet files,
every byte of it untrusted.

Belongs here: taking tables out of it and holding them against a package. Does not: requests
(`destination.py`).

SynDB does not publish what its tar looks like, so folders, and headers that other writers add, are
passed over; links and devices are not.
"""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath
from typing import Final
from uuid import UUID

import duckdb

from syndb_pipeline.base import engine
from syndb_pipeline.base.engine import literal, parquet, quote, write_parquet
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.destinations.archive import Damaged, extract_tables, members
from syndb_pipeline.destinations.base import Package, TableCheck
from syndb_pipeline.destinations.embedded.tables import columns_of, compare_table

_INTEGERS: Final = {
    f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG", "HUGE")
} | {"INTEGER", "UINTEGER"}


class NotReadable(Exception):
    """What was downloaded is no tar of Parquet files; the message says why."""


def compare_download(
    package: Package, dataset: UUID, downloaded: Path, folder: Path, settings: PipelineSettings
) -> tuple[TableCheck, ...]:
    """Each table of a package against what a server gave.

    Args:
        package: What was sent.
        dataset: Whose rows count, where a table has several.
        downloaded: The server's tar; it is removed once it is unpacked.
        folder: A scratch folder.
        settings: For the limit of memory and threads.

    Raises:
        NotReadable: The download is no tar of Parquet files.
    """
    there, sent = folder / "there", folder / "sent"
    there.mkdir()
    sent.mkdir()
    held = take_tables(downloaded, there)
    downloaded.unlink()
    limit, spill = settings.memory_limit, folder / "spill"
    with engine.connect(memory_limit=limit, threads=settings.threads, spill=spill) as connection:
        checks = []
        for name, path in extract_tables(package.tar, sent).items():
            found = held.get(name)
            if found is not None:
                found = _as_sent(connection, path, found, dataset)
            checks.append(compare_table(connection, name, path, found))
        return tuple(checks)


def take_tables(tar: Path, folder: Path) -> dict[str, Path]:
    """Every `<table>.parquet` of a tar, whatever folder it has there, as files of `folder` by
    table; none, when the tar is empty.

    Raises `NotReadable`.
    """
    tables: dict[str, Path] = {}
    others = False
    try:
        with tar.open("rb") as file:
            for member in members(file, tar.stat().st_size):
                name = PurePosixPath(member.name).name
                table = name.removesuffix(".parquet")
                if member.regular and name.endswith(".parquet") and table in TABLES:
                    if table in tables:
                        raise NotReadable(f"{name} is in it twice")
                    tables[table] = folder / name
                    member.save(tables[table])
                elif member.regular:
                    others = True
                elif member.type != tarfile.DIRTYPE:
                    raise NotReadable("it holds links or devices")
    except Damaged as why:
        raise NotReadable(str(why)) from None
    if others and not tables:
        raise NotReadable("it holds no table of SynDB")
    return tables


def _as_sent(connection: duckdb.DuckDBPyConnection, sent: Path, held: Path, dataset: UUID) -> Path:
    """The downloaded table with the types of the sent one, without its other columns, and the rows
    of this dataset alone.

    A server may add `dataset_id`, write UUIDs as text or as 16 bytes, and numbers wider. A value
    that does not fit becomes NULL, so that its row counts as not there. A file that cannot be read
    is given back as it is: comparing it says that nothing is there.
    """
    wanted = columns_of(connection, sent)
    try:
        has = columns_of(connection, held)
        if has == wanted:
            return held
        columns = [
            f"{_cast(name, has[name], kind)} AS {quote(name)}"
            for name, kind in wanted.items()
            if name in has
        ]
        query = f"SELECT {', '.join(columns)} FROM {parquet(held)}"
        if "dataset_id" in has:
            owner = _cast("dataset_id", has["dataset_id"], "UUID")
            query += f" WHERE {owner} = {literal(str(dataset))}::UUID"
        target = held.with_name(f"cast.{held.name}")
        write_parquet(connection, query, target)
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error:
        return held
    return target


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
