"""What is sent: a file, or a tar of files that is nowhere but on its way.

Belongs here: the bytes, how many they are, and the proof that they are still those announced. Does
not: forms, tables, servers.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from syndb_pipeline.base.digests import Stamp, digest_file, stamp
from syndb_pipeline.base.errors import NotAPackage

_PIECE: Final = 1 << 20

_LARGEST_USTAR: Final = 8**11 - 1
"""Bytes whose number still fits into a POSIX header (11 octal digits); GNU's form of the same
header holds more.
"""


@dataclass(frozen=True)
class FilePayload:
    """A file of `bytes` bytes with the digest `sha256`, or so it is said: `proof` looks."""

    path: Path
    bytes: int
    sha256: str

    def __str__(self) -> str:
        return str(self.path)

    @classmethod
    def of(cls, path: Path) -> FilePayload:
        """The file as it is now. Raises `OSError`."""
        return cls(path, path.stat().st_size, digest_file(path))

    @property
    def name(self) -> str:
        return self.path.name

    def open(self) -> io.BufferedReader:
        """The bytes, to be read once from first to last. Raises `OSError`."""
        return self.path.open("rb")

    def proof(self) -> tuple[Stamp, ...] | None:
        """None when the bytes are others than announced; else what stays equal as long as no one
        touches the file. Raises `OSError`.
        """
        now = stamp(self.path)
        return (now,) if now[2] == self.bytes and digest_file(self.path) == self.sha256 else None


@dataclass(frozen=True)
class TarPayload:
    """A tar of `members` under their files' names, called `name`. It is kept nowhere: its bytes are
    put together while they are read.

    They depend on names and contents alone, and are those that `tarfile` writes for regular files
    of mode 644.
    """

    name: str
    members: tuple[FilePayload, ...]

    def __str__(self) -> str:
        return self.name

    @property
    def bytes(self) -> int:
        least = self._of_members + 2 * tarfile.BLOCKSIZE
        return least + -least % tarfile.RECORDSIZE

    @property
    def _of_members(self) -> int:
        return sum(
            tarfile.BLOCKSIZE + member.bytes + _padding(member.bytes) for member in self.members
        )

    @cached_property
    def sha256(self) -> str:
        """The digest of the tar, for which all of it is read. Raises `NotAPackage` when a member is
        not as announced, or cannot be read.
        """
        try:
            before = self.proof()
            with self.open() as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            unchanged = before is not None and self.proof() == before
        except OSError as error:
            raise NotAPackage(
                f"{error.filename or self} cannot be read: {error.strerror}.",
                next_step="Restore it and give the same command again.",
            ) from None
        if not unchanged:
            raise NotAPackage(
                f"{self}: its tables are not those announced.",
                next_step="Prepare the dataset again, and look at the new plan.",
            )
        return digest

    def open(self) -> io.BufferedReader:
        """The bytes, to be read once from first to last. Raises `OSError`, there and while it is
        read.
        """
        return io.BufferedReader(_Joined(self._pieces()), _PIECE)

    def proof(self) -> tuple[Stamp, ...] | None:
        """As that of a file, over all members."""
        proofs = [member.proof() for member in self.members]
        return None if None in proofs else tuple(each for proof in proofs for each in proof or ())

    def _pieces(self) -> Iterator[io.BytesIO | io.FileIO]:
        for member in self.members:
            header = tarfile.TarInfo(member.name)
            header.size, header.mode = member.bytes, 0o644
            yield io.BytesIO(
                header.tobuf(
                    tarfile.USTAR_FORMAT if member.bytes <= _LARGEST_USTAR else tarfile.GNU_FORMAT
                )
            )
            yield member.path.open("rb", buffering=0)
            yield io.BytesIO(bytes(_padding(member.bytes)))
        yield io.BytesIO(bytes(self.bytes - self._of_members))


Payload = FilePayload | TarPayload


def _padding(size: int) -> int:
    """Bytes that fill the last block of a member."""
    return -size % tarfile.BLOCKSIZE


class _Joined(io.RawIOBase):
    """Files read one after the other, each closed at its end."""

    def __init__(self, pieces: Iterator[io.BytesIO | io.FileIO]) -> None:
        self._pieces = pieces
        self._piece: io.BytesIO | io.FileIO = io.BytesIO()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not (count := self._piece.readinto(buffer)):
            following = next(self._pieces, None)
            if following is None:
                return 0
            self._piece.close()
            self._piece = following
        return count

    def close(self) -> None:
        self._piece.close()
        super().close()
