"""A tar whose members flow into it while they are written: on the disk once, hashed on their way.

Belongs here: pipes, headers, digests of members and of the whole. Does not: what the members are (`package`).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeVar

from syndb_pipeline.engine import flush
from syndb_pipeline.errors import PipelineError
from syndb_pipeline.store import Output

T = TypeVar("T")

_PIECE: Final = 1 << 20
_AT_ONCE: Final = 1 << 28
"""Bytes that the kernel is asked to copy in one call: Ctrl+C is heard between two of them."""

_NOT_BY_KERNEL: Final = (errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM)
"""What network disks and old kernels say to `copy_file_range`."""

_LARGEST_USTAR: Final = 8**11 - 1
"""Bytes whose number still fits into a POSIX header (11 octal digits); GNU's form of the same header holds more."""


class TarStream:
    """Writes a tar. Its bytes depend on the members' names and bytes alone, and are those that `tarfile` writes for regular files."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("xb", buffering=0)
        self._end = 0
        self._digest = hashlib.sha256()
        self._hasher = ThreadPoolExecutor(1)
        self._hashed: list[Future[None]] = []

    def stream(self, name: str, write: Callable[[Path], T]) -> tuple[T, Output]:
        """Add member `name` with the bytes that `write` writes, once and from first to last, to the path it is given.

        Returns what `write` returned, and the member's digest and size. Raises what `write` raises, and `OSError` when the tar cannot be
        written.
        """
        with TemporaryDirectory() as folder, ThreadPoolExecutor(1) as pool:  # not every disk of a lab knows pipes
            pipe = Path(folder) / name
            os.mkfifo(pipe)
            # Both ends are opened here, so that neither side waits for the other when one fails before it has begun.
            source = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
            kept_open = os.open(pipe, os.O_WRONLY)
            os.set_blocking(source, True)
            if hasattr(fcntl, "F_SETPIPE_SZ"):
                fcntl.fcntl(source, fcntl.F_SETPIPE_SZ, _PIECE)
            reading = pool.submit(self._take_in, name, source)
            try:
                result = write(pipe)
            finally:
                os.close(kept_open)
                # When the disk is full, writing fails because reading did: this raises what says so.
                output = reading.result()
        return result, output

    def _take_in(self, name: str, source: int) -> Output:
        try:
            return self._add(name, _pieces(lambda buffer: os.readv(source, [buffer])))
        finally:
            os.close(source)

    def copy(self, name: str, archive: Path, output: Output) -> None:
        """Add member `name` of another tar, `archive`. `close` raises `PipelineError` when it was not there as `output` describes."""
        with tarfile.open(archive) as tar:
            at = tar.getmember(name).offset_data
        start = self._end + tarfile.BLOCKSIZE
        with archive.open("rb", buffering=0) as source:
            _copy_bytes(source.fileno(), at, self._file.fileno(), start, output.bytes)
        self._hashed.append(self._hasher.submit(self._prove, f"{name} in {archive}", start, output))
        self._end_member(name, output.bytes)

    def _add(self, name: str, pieces: Iterator[memoryview]) -> Output:
        digest, size = hashlib.sha256(), 0
        for piece in pieces:
            digest.update(piece)
            self._write(piece, self._end + tarfile.BLOCKSIZE + size)
            size += len(piece)
        self._end_member(name, size)
        return Output(sha256=digest.hexdigest(), bytes=size)

    def _end_member(self, name: str, size: int) -> None:
        """Put the header before the member whose `size` bytes are there, and fill its last block."""
        start = self._end
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o644
        self._write(member.tobuf(tarfile.USTAR_FORMAT if size <= _LARGEST_USTAR else tarfile.GNU_FORMAT), start)
        self._end = self._write(bytes(-size % tarfile.BLOCKSIZE), start + tarfile.BLOCKSIZE + size)
        self._hashed.append(self._hasher.submit(self._hash, start, self._end))

    def _write(self, piece: bytes | memoryview, at: int) -> int:
        """Write all of `piece` at byte `at` of the tar; returns the place behind it."""
        rest = memoryview(piece)
        while rest:
            written = os.pwrite(self._file.fileno(), rest, at)
            rest, at = rest[written:], at + written
        return at

    def _hash(self, start: int, end: int) -> None:
        """Take the bytes from `start` to `end`, which are as they stay, into the digest of the whole, and have the disk begin with them."""
        for piece in self._bytes(start, end):
            self._digest.update(piece)
        os.fdatasync(self._file.fileno())

    def _prove(self, told: str, start: int, output: Output) -> None:
        digest = hashlib.sha256()
        for piece in self._bytes(start, start + output.bytes):
            digest.update(piece)
        if digest.hexdigest() != output.sha256:
            raise PipelineError(f"{told} changed while it was read.", next_step="Give the same command again.")

    def _bytes(self, start: int, end: int) -> Iterator[memoryview]:
        with self._path.open("rb", buffering=0) as whole:
            whole.seek(start)
            yield from _pieces(whole.readinto, end - start)

    def close(self) -> Output:
        """End the tar and have it on the disk; its digest and size."""
        end = self._write(bytes(2 * tarfile.BLOCKSIZE), self._end)
        end = self._write(bytes(-end % tarfile.RECORDSIZE), end)
        self._hashed.append(self._hasher.submit(self._hash, self._end, end))
        for each in self._hashed:
            each.result()
        flush(self._path)
        self.abandon()
        return Output(sha256=self._digest.hexdigest(), bytes=end)

    def abandon(self) -> None:
        """Stop where it is; whoever asked for the tar puts away what there is of it."""
        self._hasher.shutdown(cancel_futures=True)
        self._file.close()


@contextmanager
def tar_stream(path: Path) -> Iterator[TarStream]:
    """A new tar at `path`, which the caller closes."""
    tar = TarStream(path)
    try:
        yield tar
    finally:
        tar.abandon()


def _copy_bytes(source: int, at: int, target: int, to: int, count: int) -> None:
    """Copy `count` bytes from byte `at` of one open file to byte `to` of another; by the kernel alone where system and disk can."""
    by_kernel = hasattr(os, "copy_file_range")
    while count:
        try:
            if by_kernel:
                copied = os.copy_file_range(source, target, min(count, _AT_ONCE), at, to)
            else:
                copied = os.pwrite(target, os.pread(source, min(count, _PIECE), at), to)
        except OSError as error:
            if not by_kernel or error.errno not in _NOT_BY_KERNEL:
                raise
            by_kernel = False
            continue
        if not copied:
            raise EOFError(f"{count} bytes are missing.")
        at, to, count = at + copied, to + copied, count - copied


def _pieces(read_into: Callable[[memoryview], int | None], limit: int | None = None) -> Iterator[memoryview]:
    """What `read_into` gives, at most `limit` bytes, piece by piece; a piece holds until the next one is asked for."""
    buffer = memoryview(bytearray(_PIECE))
    left = limit
    while left is None or left > 0:
        count = read_into(buffer if left is None else buffer[:left])
        if not count:
            return
        left = None if left is None else left - count
        yield buffer[:count]
