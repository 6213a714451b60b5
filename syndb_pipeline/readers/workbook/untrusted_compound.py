"""Old workbooks (.xls) that would harm whoever reads them: sectors in circles, sizes that only a
crash can check.

Belongs here: what must hold before calamine may open a compound file. Does not: reading one
(`compound_file.py`).

Source: [MS-CFB] 2.2 to 2.6.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO, Final

from syndb_pipeline.readers.untrusted_limits import refused

MAGIC: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

MAX_BYTES: Final = 300_000_000
"""Memory for an .xls. The format ends at 65,536 rows and 256 columns; a full sheet of 50 columns
takes 250 MB.
"""

_SECONDS: Final = 6
_LIBRARIES: Final = 60_000_000
"""Address space of an interpreter that has calamine loaded."""

_LAST: Final = 0xFFFFFFFA
_AGAIN: Final = (
    "Open it in a spreadsheet program and save it as .xlsx, or export the sheet as .csv."
)

_TRIAL: Final = """
import resource, sys
from python_calamine import CalamineWorkbook
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[3]), int(sys.argv[3])))
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
CalamineWorkbook.from_path(sys.argv[1])
"""


def glance(source: BinaryIO, file: str) -> None:
    """Raise `Unreadable` when the chains of sectors in a compound file run in circles or through
    each other.
    """
    size = source.seek(0, 2)
    if size > MAX_BYTES:
        raise refused(file, f"it has {size:,} bytes, more than a whole .xls takes", _AGAIN)
    source.seek(0)
    header = source.read(512)
    if len(header) < 512:
        return
    (shift,) = struct.unpack_from("<H", header, 30)
    if shift not in (9, 12):
        return  # no version of the format has such sectors, and the reader says so
    sector = 1 << shift
    sectors = size // sector
    per_sector = sector // 4
    tables = [number for number in struct.unpack_from("<109I", header, 76) if number < _LAST]
    (listing,) = struct.unpack_from("<I", header, 68)
    visited: set[int] = set()
    while listing < _LAST:
        if listing in visited or listing >= sectors:
            raise refused(
                file, "the list of its sectors runs in a circle or leads out of the file", _AGAIN
            )
        visited.add(listing)
        entries = _sector(source, listing, sector)
        tables += [number for number in entries[:-1] if number < _LAST]
        listing = entries[-1] if entries else _LAST
    if len(set(tables)) != len(tables) or len(tables) > sectors // per_sector + 1:
        raise refused(file, "the list of its sectors names some twice", _AGAIN)
    following: dict[int, int] = {}
    number = 0
    for table in tables:
        for entry in _sector(source, table, sector):
            if entry < _LAST:
                following[number] = entry
            number += 1
    led_to = set(following.values())
    # Where every sector has one before it at most, a chain that is entered at its start never comes
    # back.
    circle = len(led_to) < len(following) or max(led_to, default=0) >= sectors
    starts = [struct.unpack_from("<I", header, at)[0] for at in (48, 60)]
    if not circle and starts[0] not in led_to:
        starts += _streams(source, starts[0], following, sector)
    if circle or any(start in led_to for start in starts):
        raise refused(file, "its sectors run in a circle or through each other", _AGAIN)


def _streams(source: BinaryIO, directory: int, following: dict[int, int], size: int) -> list[int]:
    """The first sectors of the streams that have sectors of their own: the root's, which holds the
    small ones, and large ones.
    """
    starts = []
    number: int | None = directory
    while number is not None and number < _LAST:
        source.seek((number + 1) * size)
        data = source.read(size)
        for at in range(0, len(data) - 127, 128):
            kind = data[at + 66]
            start, length = struct.unpack_from("<II", data, at + 116)
            if start < _LAST and (kind == 5 or (kind == 2 and length >= 4096)):
                starts.append(start)
        number = following.get(number)
    return starts


def _sector(source: BinaryIO, number: int, size: int) -> tuple[int, ...]:
    source.seek((number + 1) * size)
    data = source.read(size)
    return struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])


def try_out(path: Path, file: str, room: int) -> None:
    """Raise `Unreadable` when opening the compound file at `path` takes more than `room` bytes of
    memory, crashes or does not end.

    A process of its own tries it: an .xls has sizes everywhere, and a library that believes one
    ends the process it runs in.
    """
    room = min(room, MAX_BYTES)
    command = [sys.executable, "-I", "-c", _TRIAL, str(path), str(room + _LIBRARIES), str(_SECONDS)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode < 0 or b"MemoryError" in done.stderr:
        reason = (
            f"opening it crashes, does not end, or takes more than {room / 1e6:,.0f} MB of memory"
        )
        raise refused(file, reason, _AGAIN)
