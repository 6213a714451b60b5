"""The zip archive of a workbook: whether its directory can be believed.

Belongs here: what is seen without unpacking anything but the beginnings of parts. Does not: what
unpacking takes, which the fence limits; what a part means.

Readers of zip differ in what they believe when directory and headers disagree, so nothing that
disagrees is read. Source: PKWARE's APPNOTE, 4.3 and 4.4.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Final

from syndb_pipeline.readers.part import BOMB_BYTES, BOMB_RATIO, UNPACK, refused

MAX_MEMBERS: Final = 10_000
"""Files in a workbook's archive. A workbook has some ten, and one for each sheet, chart and
picture.
"""

AGAIN: Final = (
    "Open it in a spreadsheet program and save it again as .xlsx, or export the sheet as .csv."
)
EXPORT: Final = (
    "Export the sheet as .csv, or write the table as .parquet; their size does not matter."
)
_END_BYTES: Final = 98  # the end of the directory, before it the extended end and its locator
_LOCAL_BYTES: Final = 30
_LEADS_OUT: Final = re.compile(r"[/\\]|[A-Za-z]:|(?:.*[/\\])?\.\.(?:[/\\]|\Z)|.*\0", re.DOTALL)


def check_archive(path: Path, file: str) -> int:
    """The bytes of all parts of the archive at `path`, called `file` in findings. Raises
    `Unreadable` where it is not to be opened.
    """
    with path.open("rb") as source:
        source.seek(-min(_END_BYTES, source.seek(0, 2)), 2)
        end = source.read()
    if end[-22:-18] != b"PK\5\6":
        raise refused(file, "something follows the end of its zip directory", AGAIN)
    counts = {*struct.unpack_from("<H", end, len(end) - 12)} - {0xFFFF}
    if (
        end.startswith(b"PK\6\6") and end[56:60] == b"PK\6\7"
    ):  # some programs write it however small the archive is
        counts |= {*struct.unpack_from("<Q", end, 32)}
    if max(counts, default=0) > MAX_MEMBERS:
        raise refused(
            file,
            f"it is a zip archive of {max(counts):,} files, and a workbook has at most"
            f" {MAX_MEMBERS:,}",
            EXPORT,
        )
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(archive.infolist(), key=lambda member: member.header_offset)
            if counts != {len(members)}:
                raise refused(file, "its zip directory contradicts itself", AGAIN)
            _check_members(members, archive.start_dir, file)
            for member in members:
                with archive.open(
                    member
                ) as part:  # which compares the header there with the directory
                    start = part.read(4096) if member.filename.endswith((".xml", ".rels")) else b""
                if b"<!DOCTYPE" in start or b"<!ENTITY" in start:
                    raise refused(
                        file,
                        f"{member.filename!r} in it declares a document type, as no workbook does",
                        AGAIN,
                    )
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        ValueError,
        struct.error,
        zlib.error,
    ) as error:
        raise refused(
            file, f"its zip directory is damaged, or is not that of its files ({error})", AGAIN
        ) from None
    return sum(member.file_size for member in members)


def _check_members(members: list[zipfile.ZipInfo], end: int, file: str) -> None:
    """Raise `Unreadable` for names that lead out of the archive or come twice, files over each
    other, and bombs.
    """
    names = [member.orig_filename for member in members]
    for name in filter(_LEADS_OUT.match, names):
        raise refused(
            file,
            f"its zip directory has the name {name[:100]!r}, which leads out of the archive",
            AGAIN,
        )
    if len({name.lower() for name in names}) < len(names):
        raise refused(file, "its zip directory has a name twice", AGAIN)
    starts = [*(member.header_offset for member in members), end]
    for member, (start, following) in zip(members, pairwise(starts), strict=True):
        if following - start < _LOCAL_BYTES + len(member.orig_filename) + member.compress_size:
            raise refused(
                file,
                f"{member.filename[:100]!r} and what follows it in its zip directory lie over"
                " each other",
                AGAIN,
            )
        if member.file_size > BOMB_BYTES and member.file_size > BOMB_RATIO * member.compress_size:
            raise refused(
                file,
                f"{member.compress_size:,} bytes of it unpack to {member.file_size:,}, as no table"
                " does",
                UNPACK,
            )
