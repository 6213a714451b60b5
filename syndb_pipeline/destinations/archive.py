"""Reading a tar that came from outside: every byte of it is untrusted.

Belongs here: which members a tar may have, and taking its tables out. Does not: what the tables
hold (`tables.py`).

Python's own reader takes any number of bytes for a header and follows links. This one reads once
from front to back, and never more of a header than `_MAX_EXTENDED_HEADER` bytes.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from syndb_pipeline.base.errors import NotAPackage, UnknownTable
from syndb_pipeline.base.tar_stream import Payload
from syndb_pipeline.contract.tables import TABLES

_PIECE: Final = 1 << 20
_MAX_EXTENDED_HEADER: Final = 64 * 1024
"""Bytes of an extended (pax) header: needed for a member above 8 GiB; Python's tarfile also writes
one for a fraction of a second."""

_EXTENDED: Final = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME)
_HARMLESS: Final = {b"size", b"atime", b"ctime", b"mtime", b"uid", b"gid", b"uname", b"gname"}
_AGAIN: Final = "Run the package stage again."


class NotReadable(Exception):
    """What is read is no tar of tables, or a broken one; the message says why."""


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass
class _Member:
    """A member of a tar, to be saved before the next one is asked for. `says` is what extended
    headers before it say about it."""

    name: str
    type: bytes
    size: int
    says: dict[bytes, bytes]
    file: Readable
    unread: int

    @property
    def regular(self) -> bool:
        return self.type in (tarfile.REGTYPE, tarfile.AREGTYPE)

    def save(self, path: Path) -> None:
        """Write its bytes to a new file."""
        with path.open("xb") as file:
            for piece in self.pieces(self.size):
                file.write(piece)

    def pieces(self, size: int) -> Iterator[bytes]:
        while size:
            piece = _exactly(self.file, min(size, _PIECE))
            size -= len(piece)
            self.unread -= len(piece)
            yield piece


def _members(file: Readable, size: int) -> Iterator[_Member]:
    """The members of a tar of `size` bytes, in its order. Raises `NotReadable`."""
    left = size
    says: dict[bytes, bytes] = {}
    while (block := _exactly(file, tarfile.BLOCKSIZE)).strip(b"\0"):
        left -= tarfile.BLOCKSIZE
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "replace")
        except (tarfile.TarError, ValueError):
            raise NotReadable("this is no tar, or part of it is missing") from None
        length = int(says.get(b"size", header.size))
        padded = length + -length % tarfile.BLOCKSIZE
        if not 0 <= length <= left:
            raise NotReadable(
                f"{header.name} claims {length:,} bytes; {left:,} are left in the tar"
            )
        left -= padded
        if header.type not in _EXTENDED:
            name = says[b"path"].decode("utf-8", "replace") if b"path" in says else header.name
            member = _Member(name, header.type, length, says, file, padded)
            says = {}
            yield member
            for _ in member.pieces(member.unread):
                pass
            continue
        if length > _MAX_EXTENDED_HEADER:
            raise NotReadable("a header in it is too large")
        content = _exactly(file, padded)[:length]
        if header.type == tarfile.XHDTYPE:
            says |= _records(content)
        elif header.type == tarfile.GNUTYPE_LONGNAME:
            says[b"path"] = content.rstrip(b"\0")
        else:
            says[b"of all members"] = content


def _records(header: bytes) -> dict[bytes, bytes]:
    """What an extended (pax) header says: records `<length> <key>=<value>\\n`."""
    records = {}
    while header:
        number, space, _ = header.partition(b" ")
        length = int(number) if space and number.isdigit() and len(number) < 6 else 0
        key, _, value = header[len(number) + 1 : length].rstrip(b"\n").partition(b"=")
        whole = len(number) < length <= len(header)
        if not whole or (key == b"size" and not (value.isdigit() and len(value) < 20)):
            raise NotReadable("an extended header is damaged")
        records[key] = value
        header = header[length:]
    return records


def _exactly(file: Readable, size: int) -> bytes:
    data = file.read(size) if size else b""
    if len(data) != size:
        raise NotReadable("it ends in the middle; part of it is missing")
    return data


def take_tables(tar: Path, folder: Path, known: Container[str] = TABLES) -> dict[str, Path]:
    """Every `<table>.parquet` of a tar that came from outside, as files of `folder` by table; none,
    when the tar is empty. `known` are the tables that are taken.

    SynDB does not publish what its tar looks like, so folders, and headers that other writers add,
    are passed over; links and devices are not. Raises `NotReadable`.
    """
    tables: dict[str, Path] = {}
    others = False
    with tar.open("rb") as file:
        for member in _members(file, tar.stat().st_size):
            name = PurePosixPath(member.name).name
            table = name.removesuffix(".parquet")
            if member.regular and name.endswith(".parquet") and table in known:
                if table in tables:
                    raise NotReadable(f"{name} is in it twice")
                tables[table] = folder / name
                member.save(tables[table])
            elif member.regular:
                others = True
            elif member.type != tarfile.DIRTYPE:
                raise NotReadable("it holds links or devices")
    if others and not tables:
        raise NotReadable("it holds no table of SynDB")
    return tables


class _Digested:
    """A file read once from front to back, every byte of it going into the digest."""

    def __init__(self, payload: Payload) -> None:
        self.file = payload.open()
        self.digest = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        data = self.file.read(size)
        self.digest.update(data)
        return data


def extract_tables(tar: Payload, folder: Path) -> dict[str, Path]:
    """Take `<table>.parquet` members out of a package, one file for each table.

    Args:
        tar: Stricter than tars in general: only regular files, each once, whose extended headers
            say no more than size, times and owner.
        folder: Where the files go.

    Returns:
        The files by table, in the tar's order.

    Raises:
        NotAPackage: The bytes are not those announced, or a member is anything but a regular file:
            a path, a link, a device, a name twice, a size beyond the tar's end.
        UnknownTable: A member's name is not that of a SynDB table.
    """
    tables: dict[str, Path] = {}
    pieces = _Digested(tar)
    try:
        for member in _members(pieces, tar.bytes):
            table = _table_of(member, tar.name)
            if table in tables:
                raise NotReadable(f"{member.name} is in it twice")
            tables[table] = folder / f"{table}.parquet"
            member.save(tables[table])
        while pieces.read(_PIECE):
            pass
        digest = pieces.digest.hexdigest()
        if digest != tar.sha256:
            raise NotReadable(
                f"its bytes have the digest {digest[:12]}..., not {tar.sha256[:12]}... as announced"
            )
        if not tables:
            raise NotReadable("no table in it; a package holds a `<table>.parquet` for each")
    except NotReadable as why:
        raise NotAPackage(f"{tar.name}: {why}.", next_step=_AGAIN) from None
    finally:
        pieces.file.close()
    return tables


def _table_of(member: _Member, tar: str) -> str:
    if not member.regular:
        raise NotReadable(
            f"{member.name!r} is no regular file (a link, a folder, a device or an unusual header)"
        )
    if member.says.keys() - _HARMLESS:
        raise NotReadable("an extended header says more than a member's size, times and owner")
    table, _, suffix = member.name.partition(".")
    if suffix != "parquet" or table not in TABLES:
        raise UnknownTable(
            f"{tar}: {member.name!r} is not the file of a SynDB table.",
            next_step=f"Allowed: {', '.join(TABLES)}, each with .parquet",
        )
    if not member.size:
        raise NotReadable(f"{member.name} is empty")
    return table
