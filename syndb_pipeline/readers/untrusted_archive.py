"""Zip archives whose directory cannot be believed, and compressed data that unpack to more than a
table holds.

Belongs here: what must hold before a library may open an archive; inflating with an early stop.
Does not: what a member means.

Sources: PKWARE's APPNOTE, 4.3 and 4.4; RFC 1952 (gzip).
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

from syndb_pipeline.readers.untrusted_limits import (
    BOMB_BYTES,
    BOMB_RATIO,
    MIN_MEMBER_BYTES,
    UNPACK,
    refused,
)

MAX_MEMBERS: Final = 10_000
"""Files in a workbook's zip archive. A workbook has some ten, and one for each sheet, chart and
picture.
"""

AGAIN: Final = (
    "Open it in a spreadsheet program and save it again as .xlsx, or export the sheet as .csv."
)
EXPORT: Final = (
    "Export the sheet as .csv, or write the table as .parquet; their size does not matter."
)
_END: Final = struct.Struct("<4s4H2LH")
_LOCAL: Final = struct.Struct("<4s5H3L2H")
# bytes of the extended end and its locator (APPNOTE 4.3.14 and 4.3.15), as they are without a
# comment
_EXTENDED: Final = 76
_TOO_LARGE_TO_TELL: Final = (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
_STEP: Final = 1 << 20
_FEED: Final = 1 << 16
_FREE_MEMBERS: Final = 1_000
_MAX_GZIP_HEADER: Final = 1 << 20


def directory(source: BinaryIO, file: str) -> list[zipfile.ZipInfo]:
    """The members of a zip archive whose directory tells the truth about them; empty when it has
    none. Raises `Unreadable`.

    Readers of zip differ in what they believe when directory, local headers and data disagree, so
    nothing that disagrees is read.
    """
    size = source.seek(0, 2)
    source.seek(max(size - _END.size, 0))
    end = source.read(_END.size)
    if not end.startswith(b"PK\5\6"):
        if zipfile.is_zipfile(source):
            raise refused(file, "something follows the end of its zip directory", AGAIN)
        return []
    _, _, _, here, count, length, start, comment = _END.unpack(end)
    stop = size - _END.size
    source.seek(max(stop - _EXTENDED, 0))
    extended = source.read(_EXTENDED)
    if (
        extended.startswith(b"PK\6\6") and extended[56:60] == b"PK\6\7"
    ):  # some programs write it however small the archive is
        told = (count, length, start)
        count, length, start = struct.unpack_from("<32xQQQ", extended)
        if any(
            short not in (full, most)
            for short, full, most in zip(
                told, (count, length, start), _TOO_LARGE_TO_TELL, strict=True
            )
        ):
            raise refused(file, "its zip directory contradicts itself", AGAIN)
        stop -= _EXTENDED
    elif 0xFFFF in (here, count) or 0xFFFFFFFF in (length, start):
        raise refused(file, "its zip directory contradicts itself", AGAIN)
    if count > MAX_MEMBERS or length > MAX_MEMBERS * 200:
        raise refused(
            file,
            f"it is a zip archive of {count:,} files, and a workbook has at most {MAX_MEMBERS:,}",
            EXPORT,
        )
    if comment or start + length != stop:
        raise refused(file, "its zip directory is not where it says", AGAIN)
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, struct.error):
        raise refused(file, "its zip directory is damaged", AGAIN) from None
    if len(members) != count:
        raise refused(
            file, f"its zip directory tells of {count:,} files and lists {len(members):,}", AGAIN
        )
    _check_members(source, members, start, file)
    return members


def _check_members(source: BinaryIO, members: list[zipfile.ZipInfo], start: int, file: str) -> None:
    seen: set[str] = set()
    reached = 0
    for member in sorted(members, key=lambda each: each.header_offset):
        name = member.orig_filename
        if (
            name.startswith(("/", "\\"))
            or ".." in re.split(r"[/\\]", name)
            or "\0" in name
            or re.match(r"[A-Za-z]:", name)
        ):
            raise refused(
                file,
                f"its zip directory has the name {name[:100]!r}, which leads out of the archive",
                AGAIN,
            )
        if name.lower() in seen:
            raise refused(file, f"its zip directory has the name {name[:100]!r} twice", AGAIN)
        seen.add(name.lower())
        source.seek(member.header_offset)
        header = source.read(_LOCAL.size)
        if len(header) < _LOCAL.size or not header.startswith(b"PK\3\4"):
            raise refused(
                file, f"its zip directory points to {name[:100]!r} where there is no file", AGAIN
            )
        _, _, flags, method, _, _, _, packed, unpacked, name_length, extra = _LOCAL.unpack(header)
        told = source.read(name_length)
        later = flags & 8 or 0xFFFFFFFF in (
            packed,
            unpacked,
        )  # sizes stand behind the data, or in an extra field
        same = later or (packed, unpacked) == (member.compress_size, member.file_size)
        if (
            not same
            or method != member.compress_type
            or told != name.encode("utf-8" if flags & 0x800 else "cp437", "replace")
        ):
            raise refused(
                file,
                f"its zip directory and the header of {name[:100]!r} tell different things",
                AGAIN,
            )
        if member.header_offset < reached:
            raise refused(
                file, f"{name[:100]!r} and another of its files lie over each other", AGAIN
            )
        reached = member.header_offset + _LOCAL.size + name_length + extra + member.compress_size
        if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise refused(
                file, f"{name[:100]!r} in it is compressed in a way that workbooks are not", AGAIN
            )
    if reached > start:
        raise refused(file, "its last file and its zip directory lie over each other", AGAIN)


def inflated(source: BinaryIO, member: zipfile.ZipInfo, file: str) -> Iterator[bytes]:
    """The bytes of a member, never more than its directory declares."""
    if member.file_size > BOMB_BYTES and member.file_size > BOMB_RATIO * member.compress_size:
        reason = (
            f"{member.compress_size:,} bytes of it unpack to {member.file_size:,}, as no table does"
        )
        raise refused(file, reason, UNPACK)
    source.seek(member.header_offset)
    header = _LOCAL.unpack(source.read(_LOCAL.size))
    source.seek(header[-2] + header[-1], 1)
    stream = zlib.decompressobj(-15) if member.compress_type == zipfile.ZIP_DEFLATED else None
    left, given, first = member.compress_size, 0, b""
    while left:
        data = source.read(min(left, _STEP >> 3))
        if not data:
            break
        left -= len(data)
        while data:
            try:
                piece = stream.decompress(data, _STEP) if stream else data
            except zlib.error as error:
                raise refused(
                    file, f"{member.filename!r} in it is damaged ({error})", AGAIN
                ) from None
            data = stream.unconsumed_tail if stream else b""
            given += len(piece)
            if given > member.file_size:
                raise refused(
                    file, f"{member.filename!r} in it is larger than its zip directory says", AGAIN
                )
            if len(first) < 4096:
                first = (first + piece)[:4096]
                if b"<!DOCTYPE" in first or b"<!ENTITY" in first:
                    raise refused(
                        file,
                        f"{member.filename!r} in it declares a document type, as no workbook does",
                        AGAIN,
                    )
            yield piece
    if given != member.file_size:
        raise refused(
            file, f"{member.filename!r} in it is smaller than its zip directory says", AGAIN
        )


def gunzipped(source: BinaryIO, file: str) -> Iterator[bytes]:
    """The text of a gzip file in pieces, all of its parts one after the other.

    Raises `zlib.error` or `EOFError` when it is not whole, and `Unreadable` when it holds far more
    than a table that was compressed.
    """
    stream: zlib._Decompress | None = None
    data, taken, given, members, silent = b"", 0, 0, 0, 0
    while True:
        if not data:
            data = source.read(_FEED)
            taken += len(data)
            if not data:
                break
        if stream is None:
            data = (
                data.lstrip(b"\0") if members else data
            )  # tapes and some programs fill up with zeros
            if not data:
                continue
            members += 1
            if members > _FREE_MEMBERS and given < members * MIN_MEMBER_BYTES:
                raise refused(
                    file,
                    f"it is made of {members:,} or more compressed parts that hold nearly nothing",
                    UNPACK,
                )
            stream = zlib.decompressobj(31)
        piece = stream.decompress(data, _STEP)
        rest = stream.unconsumed_tail or stream.unused_data
        silent = 0 if piece or stream.eof else silent + len(data) - len(rest)
        if silent > _MAX_GZIP_HEADER:
            raise refused(
                file, "its gzip header does not end", "Compress it again from its source."
            )
        data = rest
        if stream.eof:
            stream = None
        given += len(piece)
        if given > BOMB_BYTES and given > BOMB_RATIO * taken:
            raise refused(
                file,
                f"{taken:,} bytes of it unpack to {given:,} and more, as no table does",
                UNPACK,
            )
        if piece:
            yield piece
    if stream is not None:
        raise EOFError("compressed data end too early")
