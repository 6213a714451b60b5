"""Reading a package that came from outside: a tar whose every byte is untrusted.

Belongs here: which members a tar may have and taking them out. Does not: what the tables hold.

Stricter than a general tar reader on purpose: only regular files called `<table>.parquet`, each
once, in one pass over the bytes.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from pathlib import Path
from typing import Final

from syndb_pipeline.base.errors import NotAPackage, UnknownTable
from syndb_pipeline.base.tar_stream import Payload
from syndb_pipeline.contract.tables import TABLES

BLOCK: Final = tarfile.BLOCKSIZE
PIECE: Final = 1 << 20
MAX_EXTENDED_HEADER: Final = 64 * 1024
"""Bytes of an extended (pax) header: needed for a member above 8 GiB; Python's tarfile also writes
one for a fraction of a second.
"""

_MEANINGLESS: Final = (b"atime", b"ctime", b"mtime", b"uid", b"gid", b"uname", b"gname")


class _Pieces:
    """A file read once from front to back, every byte of it going into the digest."""

    def __init__(self, payload: Payload) -> None:
        self.file = payload.open()
        self.left = payload.bytes
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self.file.read(size)
        self.left -= len(data)
        self.digest.update(data)
        return data


def extract_tables(tar: Payload, folder: Path) -> dict[str, Path]:
    """Take `<table>.parquet` members out of `tar` into `folder`, one file for each table, flushed
    to disk.

    Returns the files by table, in the tar's order. Raises `NotAPackage` when the bytes are not
    those announced, or when a member is anything but a regular file: a path, a link, a device, a
    name twice, a size beyond the tar's end; and `UnknownTable` when its name is not that of a SynDB
    table.
    """
    pieces = _Pieces(tar)
    try:
        tables = _members(pieces, tar.name, folder)
        while pieces.read(PIECE):
            pass
    finally:
        pieces.file.close()
    if pieces.digest.hexdigest() != tar.sha256:
        raise NotAPackage(
            f"{tar.name}: its bytes have the digest {pieces.digest.hexdigest()[:12]}..., not"
            f" {tar.sha256[:12]}... as announced.",
            next_step="The package changed or was damaged on its way. Run the package stage again.",
        )
    if not tables:
        raise NotAPackage(
            f"{tar.name}: no table in it.",
            next_step="A package holds one `<table>.parquet` for each table.",
        )
    return tables


def _members(pieces: _Pieces, name: str, folder: Path) -> dict[str, Path]:
    tables: dict[str, Path] = {}
    announced: int | None = None  # a size too large for the plain header
    while block := pieces.read(BLOCK):
        if not block.strip(b"\0"):
            return tables
        member = _header(block, name)
        if member.type == tarfile.XHDTYPE and 0 < member.size <= min(
            MAX_EXTENDED_HEADER, pieces.left
        ):
            announced = _size_in(_exactly(pieces, _padded(member.size), name)[: member.size], name)
            continue
        size = member.size if announced is None else announced
        announced = None
        table = _table_of(member, name)
        if table in tables:
            raise NotAPackage(f"{name}: {member.name} is in it twice.")
        if not 0 < size <= pieces.left:
            raise NotAPackage(
                f"{name}: {member.name} claims {size:,} bytes; {pieces.left:,} are left in the tar."
            )
        tables[table] = folder / f"{table}.parquet"
        _copy(pieces, size, tables[table], name)
        _exactly(pieces, _padded(size) - size, name)
    raise NotAPackage(
        f"{name}: it ends in the middle; part of it is missing.",
        next_step="Run the package stage again.",
    )


def _header(block: bytes, name: str) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.TarError, UnicodeDecodeError, ValueError):
        raise NotAPackage(
            f"{name}: this is no tar, or part of it is missing.",
            next_step="Run the package stage again.",
        ) from None


def _table_of(member: tarfile.TarInfo, name: str) -> str:
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        raise NotAPackage(
            f"{name}: {member.name!r} is no regular file (a link, a folder, a device or an unusual"
            " header)."
        )
    table, dot, suffix = member.name.partition(".")
    if f"{dot}{suffix}" != ".parquet" or table not in TABLES:
        raise UnknownTable(
            f"{name}: {member.name!r} is not the file of a SynDB table.",
            next_step=f"Allowed: {', '.join(TABLES)}, each with .parquet",
        )
    return table


def extended_records(header: bytes) -> dict[bytes, bytes]:
    """What an extended (pax) header says: records `<length> <key>=<value>\\n`. Raises `ValueError`
    when it is damaged.
    """
    records = {}
    while header:
        length, space, _ = header.partition(b" ")
        if not (
            space
            and length.isdigit()
            and len(length) < 6
            and len(length) < int(length) <= len(header)
        ):
            raise ValueError("an extended header is damaged")
        record, header = header[len(length) + 1 : int(length)], header[int(length) :]
        key, _, value = record.rstrip(b"\n").partition(b"=")
        if key == b"size" and not (value.isdigit() and len(value) < 20):
            raise ValueError("an extended header is damaged")
        records[key] = value
    return records


def _size_in(header: bytes, name: str) -> int | None:
    """The size of which an extended header tells, if it does; times and owners mean nothing here,
    and anything else is refused.
    """
    try:
        records = extended_records(header)
    except ValueError as error:
        raise NotAPackage(f"{name}: {error}.") from None
    if records.keys() - {b"size", *_MEANINGLESS}:
        raise NotAPackage(
            f"{name}: an extended header says more than a member's size, times and owner."
        )
    return int(records[b"size"]) if b"size" in records else None


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _exactly(pieces: _Pieces, size: int, name: str) -> bytes:
    data = pieces.read(size) if size else b""
    if len(data) != size:
        raise NotAPackage(
            f"{name}: it ends in the middle; part of it is missing.",
            next_step="Run the package stage again.",
        )
    return data


def _copy(pieces: _Pieces, size: int, path: Path, name: str) -> None:
    with path.open("xb") as file:
        while size:
            piece = _exactly(pieces, min(size, PIECE), name)
            file.write(piece)
            size -= len(piece)
        file.flush()
        os.fsync(file.fileno())
