"""SHA-256 of files and values, each file read once for as long as it stays the same.

Belongs here: hashing, and knowing from the file system that a file was not touched. Does not: what
a digest is compared with.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Annotated, Any, Final

from pydantic import ConfigDict, StringConstraints, TypeAdapter, ValidationError

from syndb_pipeline.base.system import rename

Stamp = tuple[int, int, int, int, int]
"""Device, inode, size in bytes, and when content and file were last changed, in ns."""

_SETTLED_NS: Final = 100_000_000
"""A file's clock may be still for some milliseconds; one that changed this recently is read
again next time.
"""

_COARSE_NS: Final = 10_000_000
_COARSE_SETTLED_NS: Final = 2_500_000_000
"""A time in whole hundredths of a second says something of a disk, such as a USB stick's, that may
count in steps of up to two seconds.
"""

_Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_KEPT: Final = TypeAdapter(list[tuple[Stamp, _Digest]], config=ConfigDict(strict=True))

_known: dict[Stamp, str] = {}
_used: set[Stamp] = set()


def digest_of(value: Any) -> str:
    """SHA-256, in hex, of a JSON value in canonical form (sorted keys, no spaces, UTF-8)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def stamp(file: IO[bytes] | Path) -> Stamp:
    """The stamp of a file, open or not: another one once its content was changed, also where its
    times were set back. Raises `OSError`.
    """
    status = file.stat() if isinstance(file, Path) else os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex; reads it in pieces, and only where its `stamp` is not
    known. Raises `OSError`.
    """
    with path.open("rb") as file:
        key = stamp(file)
        if key in _known:
            _used.add(key)
            return _known[key]
        settled = _is_settled(key[-1])
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if settled:
        _remember(key, digest)
    return digest


def digest_files(paths: Sequence[Path]) -> list[str]:
    """`digest_file` of each path, two files at a time."""
    return in_pairs(digest_file, paths)


def in_pairs(digest: Callable[[Path], str], paths: Sequence[Path]) -> list[str]:
    """What `digest` gives of each path, two at a time, the largest first: started last, it would be
    alone for long. Raises `OSError`.
    """
    order = sorted(range(len(paths)), key=lambda index: -paths[index].stat().st_size)
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(order, pool.map(digest, [paths[index] for index in order]), strict=True))
    return [found[index] for index in range(len(paths))]


def adopt(path: Path, digest: str, *, just_written: bool = False) -> None:
    """Take `digest` for that of a file of our own, which was hashed while it was written or before
    it was moved.

    A move or another link to a file changes the time of its last change, not that of its content.
    What was `just_written` is where no one else writes.
    """
    key = stamp(path)
    if just_written or _is_settled(key[-2]):
        _remember(key, digest)


def _is_settled(changed: int) -> bool:
    """Whether a change from now on would show as another time than `changed`."""
    return time.time_ns() - changed > (_SETTLED_NS if changed % _COARSE_NS else _COARSE_SETTLED_NS)


def _remember(key: Stamp, digest: str) -> None:
    _known[key] = digest
    _used.add(key)


def forget() -> None:
    """Read every file again from here on, whatever the file system says: for what is about to leave
    the machine.
    """
    _known.clear()
    _used.clear()


@contextmanager
def kept(file: Path) -> Iterator[None]:
    """Start from the digests kept in `file`, and keep there those that were asked for meanwhile. A
    damaged `file` counts as none.
    """
    with suppress(OSError, ValidationError):
        _known.update(_KEPT.validate_json(file.read_bytes()))
    _used.clear()
    try:
        yield
    finally:
        beside = file.with_name(f"{file.name}.new")
        with suppress(OSError):  # without it the next run reads more, that is all
            beside.write_bytes(
                _KEPT.dump_json([(key, _known[key]) for key in sorted(_used & set(_known))])
            )
            rename(beside, file)
