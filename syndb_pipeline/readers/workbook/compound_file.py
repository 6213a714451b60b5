"""The container of old Office files, as far as reading one stream out of it.

Belongs here: sectors and directory of [MS-CFB]. Does not: what the stream holds.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

_MAGIC: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_FREE: Final = 0xFFFFFFFF
_LAST: Final = 0xFFFFFFFA
"""Sector numbers from here on are marks: end of chain, free, and the like."""


def read_stream(path: Path, names: tuple[str, ...]) -> bytes | None:
    """The first stream called one of `names` in the compound file at `path`; None when there is
    none or the file is none or broken.
    """
    data = path.read_bytes()
    if not data.startswith(_MAGIC) or len(data) < 512:
        return None
    try:
        return _Compound(data).stream(names)
    except (struct.error, IndexError):  # a table points outside the file
        return None


def is_cut(path: Path) -> bool:
    """Whether the compound file at `path` is shorter than its own table of sectors says; False when
    it is no compound file.
    """
    with path.open("rb") as source:
        if source.read(len(_MAGIC)) != _MAGIC:
            return False
    data = path.read_bytes()
    try:
        compound = _Compound(data)
    except (struct.error, IndexError):
        return True
    used = max(
        (number for number, following in enumerate(compound.next) if following != _FREE), default=-1
    )
    return bool(len(data) < (used + 1) * compound.sector + 512)


class _Compound:
    def __init__(self, data: bytes) -> None:
        self.data = data
        sector_shift, mini_shift = struct.unpack_from("<HH", data, 30)
        self.sector, self.mini = 1 << sector_shift, 1 << mini_shift
        (self.directory,) = struct.unpack_from("<I", data, 48)
        self.mini_cutoff, mini_table, _, difat, difat_count = struct.unpack_from("<IIIII", data, 56)
        tables = list(struct.unpack_from("<109I", data, 76))
        per_sector = self.sector // 4
        for _ in range(difat_count):
            if difat >= _LAST:
                break
            entries = struct.unpack_from(f"<{per_sector}I", self._at(difat))
            tables += entries[:-1]
            difat = entries[-1]
        self.next: list[int] = []
        for number in tables:
            if number < _LAST:
                self.next += struct.unpack_from(f"<{per_sector}I", self._at(number))
        mini_bytes = self._chain(mini_table)
        self.mini_next = list(struct.unpack(f"<{len(mini_bytes) // 4}I", mini_bytes))

    def _at(self, number: int) -> bytes:
        start = (number + 1) * self.sector
        return self.data[start : start + self.sector]

    def _chain(self, number: int) -> bytes:
        pieces: list[bytes] = []
        while number < _LAST and len(pieces) <= len(self.next):
            pieces.append(self._at(number))
            number = self.next[number]
        return b"".join(pieces)

    def stream(self, names: tuple[str, ...]) -> bytes | None:
        directory = self._chain(self.directory)
        root_start = struct.unpack_from("<I", directory, 116)[0]
        for at in range(0, len(directory) - 127, 128):
            (name_bytes,) = struct.unpack_from("<H", directory, at + 64)
            name = directory[at : at + max(name_bytes - 2, 0)].decode("utf-16-le", "replace")
            if name in names and directory[at + 66] == 2:
                start, size = struct.unpack_from("<II", directory, at + 116)
                if size >= self.mini_cutoff:
                    return self._chain(start)[:size]
                return self._mini_chain(start, self._chain(root_start))[:size]
        return None

    def _mini_chain(self, number: int, container: bytes) -> bytes:
        pieces: list[bytes] = []
        while number < _LAST and len(pieces) <= len(self.mini_next):
            pieces.append(container[number * self.mini : (number + 1) * self.mini])
            number = self.mini_next[number]
        return b"".join(pieces)
