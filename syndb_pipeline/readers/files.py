"""Finding a table's files, naming them for people, and telling whether they changed while they were read.

Belongs here: paths, globs, digests of lab files. Does not: what is inside them.
"""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from syndb_pipeline.errors import PipelineError
from syndb_pipeline.store import digest_file

TEXT_SUFFIXES: Final = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
WORKBOOK_SUFFIXES: Final = (".xlsx", ".xlsm", ".xls")
PARQUET_SUFFIXES: Final = (".parquet", ".pq")
_SUFFIXES: Final = TEXT_SUFFIXES + WORKBOOK_SUFFIXES + PARQUET_SUFFIXES


def find(folder: Path, pattern: str) -> list[Path]:
    """The files that `pattern`, a path or glob relative to `folder`, stands for, sorted by path; empty when there is none.

    A file whose name really is `pattern` is taken literally, brackets and stars included.
    """
    if not pattern or "\0" in pattern:
        return []
    if pattern.startswith("~/"):
        pattern = os.path.expanduser(pattern)  # noqa: PTH111 - pathlib's raises where there is no home
    literal = folder / pattern
    try:
        if literal.is_file():
            return [literal]
        if not glob.has_magic(pattern):
            return []
        base = Path(glob.escape(str(folder))) / pattern
        hits = {Path(os.path.normpath(hit)) for hit in glob.iglob(str(base), recursive=True)}  # noqa: PTH207 - pathlib refuses absolute patterns
        return sorted(hit for hit in hits if hit.is_file())
    except OSError:  # a name longer than the file system takes, or a folder that may not be read
        return []


def is_folder(folder: Path, pattern: str) -> bool:
    """Whether `pattern` names a folder instead of files."""
    try:
        return "\0" not in pattern and (folder / pattern).is_dir()
    except OSError:
        return False


def neighbours(folder: Path, pattern: str) -> list[str]:
    """Names of the tables that lie where `pattern` looks, sorted; empty when that is no folder."""
    try:
        return sorted(path.name for path in (folder / pattern).parent.iterdir() if suffix(path) in _SUFFIXES)
    except (OSError, ValueError):  # no such folder; a name with a zero byte
        return []


def shown(path: Path, folder: Path) -> str:
    """`path` as people and records know it: relative to the config's folder when it lies below it."""
    normal = Path(os.path.normpath(path))
    home = Path(os.path.normpath(folder))
    return normal.relative_to(home).as_posix() if normal.is_relative_to(home) else normal.as_posix()


def suffix(path: Path) -> str:
    """The suffix that tells the format, lower case; `.csv.gz` counts as one."""
    name = path.name.lower()
    return next((known for known in TEXT_SUFFIXES if name.endswith(known)), path.suffix.lower())


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the file system tells of a file's content without reading it. Setting a file's times back still changes `changed`."""

    inode: int
    size: int
    modified: int
    changed: int


def stamp(path: Path) -> Stamp:
    """The stamp of `path` now. Raises `OSError` when it is gone."""
    status = path.stat()
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class Witness:
    """Remembers each file as it was when it was hashed, so that reading it later can be tied to that digest."""

    def __init__(self) -> None:
        self._stamps: dict[Path, Stamp] = {}

    def digest(self, path: Path) -> str:
        """SHA-256 of the file, or why it could not be read; its stamp is remembered. Raises `PipelineError` if it changed meanwhile."""
        try:
            self._stamps[path] = stamp(path)
            digest = digest_file(path)
        except OSError as error:
            self._stamps.pop(path, None)
            return f"unreadable: {error.strerror}"
        self.confirm(path)
        return digest

    def confirm(self, path: Path) -> None:
        """Raise `PipelineError` when the file is no longer the one first seen. A file never seen is seen now."""
        try:
            now = stamp(path)
        except OSError:
            now = None
        if now is None or self._stamps.setdefault(path, now) != now:
            raise PipelineError(
                f"{path} changed while it was being read.", next_step="Wait until the file is complete, then give the same command again."
            )
