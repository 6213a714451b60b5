"""Finding a table's files, naming them for people, keeping those from being opened that are not
allowed or would harm, and noticing whether they changed while they were read.

Belongs here: paths, globs, digests of lab files. Does not: what is inside them, limits (`part.py`),
what happens once a library opens a file (`fence.py`).
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from threading import Thread
from typing import Final

from syndb_pipeline.base.digests import Stamp, digest_file, stamp
from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.base.irregular_files import irregular
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.readers.formats import every_suffix, format_of, suffix
from syndb_pipeline.readers.part import Problem, Unreadable

_LOOKED_AT: Final = 10_000
"""Files of a folder whose suffixes are counted."""


def find(folder: Path, pattern: str) -> list[Path]:
    """The files that `pattern`, a path or glob relative to `folder`, means, sorted by path;
    empty when there is none.

    A file whose name really is `pattern` is taken literally, brackets and stars included. What is
    no regular file is left out.
    """
    return survey(folder, pattern)[0]


def survey(folder: Path, pattern: str) -> tuple[list[Path], dict[Path, str]]:
    """The files that `find` gives, and what else `pattern` means, with what each is ("a named
    pipe"); folders are passed over.
    """
    if not pattern or "\0" in pattern:
        return [], {}
    pattern = _with_home(pattern)
    literal = folder / pattern
    try:
        if irregular(literal) is not None or literal.is_file():
            hits = {literal}
        elif not glob.has_magic(pattern):
            return [], {}
        else:
            hits = {
                Path(os.path.normpath(hit))
                for hit in _expanded((Path(glob.escape(str(folder))) / pattern).as_posix())
            }
        strange = {hit: what for hit in sorted(hits) if (what := irregular(hit)) is not None}
        return sorted(hit for hit in hits if hit not in strange and hit.is_file()), strange
    except OSError:  # a name longer than the file system takes, or a folder that may not be read
        return [], {}


def sizes_and_times(folder: Path, pattern: str) -> list[tuple[str, int, int]]:
    """Path, size and time of change, in nanoseconds, of each file that `pattern` means, sorted:
    what `find` gives at a tenth of its time, for who asks again and again. What only looks like a
    regular file is among them.
    """
    if not pattern or "\0" in pattern:
        return []
    pattern = _with_home(pattern)
    literal, found = str(folder / pattern), []
    above, name = os.path.split(literal)
    try:
        hits: Iterator[os.DirEntry[str] | Path]
        if not glob.has_magic(pattern) or Path(literal).is_file():
            hits = iter([Path(literal)])
        elif name != "**" and not glob.has_magic(os.path.split(pattern)[0]):
            fits = re.compile(fnmatch.translate(name)).match
            with os.scandir(above) as entries:
                hits = iter([each for each in entries if fits(each.name)])
            if not name.startswith("."):
                hits = (each for each in hits if not each.name.startswith("."))
        else:
            hits = map(Path, _expanded((Path(glob.escape(str(folder))) / pattern).as_posix()))
        for hit in hits:
            with suppress(OSError, ValueError):  # gone meanwhile, or a link in a circle
                seen = hit.stat()
                if stat.S_ISREG(seen.st_mode):
                    found.append((os.fspath(hit), seen.st_size, seen.st_mtime_ns))
    except OSError:  # as in `survey`
        return []
    return sorted(found)


def _with_home(pattern: str) -> str:
    # pathlib's raises where there is no home
    return os.path.expanduser(pattern) if pattern.startswith("~/") else pattern  # noqa: PTH111


def _expanded(pattern: str) -> Iterator[str]:
    """The paths of a glob. `**` goes through folders but, unlike Python's own, not through links to
    folders, which may lead in circles.
    """
    head, deep, tail = (
        (pattern.removesuffix("/**"), "/**/", "*")
        if pattern.endswith("/**")
        else pattern.partition("/**/")
    )
    if not deep:
        yield from glob.iglob(pattern)  # noqa: PTH207 - pathlib refuses absolute patterns
        return
    for base in glob.iglob(head or "/"):  # noqa: PTH207
        for folder, below, _ in os.walk(base):
            below[:] = [name for name in below if not name.startswith(".")]
            yield from _expanded(f"{glob.escape(folder)}/{tail}")


def outside(path: Path, home: Path, allowed: Sequence[Path] | None) -> bool:
    """Whether `path`, links followed, is neither below `home` nor below one of the folders
    `allowed`; never when that is None.
    """
    if allowed is None:
        return False
    try:
        real = path.resolve()
        return not any(real.is_relative_to(folder.resolve()) for folder in (home, *allowed))
    except (
        OSError,
        RuntimeError,
        ValueError,
    ):  # a circle of links, or no path at all: no one can say where it leads
        return True


def starting_point(folder: Path, pattern: str) -> Path:
    """The path of `pattern`, or where a glob starts to look: what is before its first star or
    bracket.
    """
    pattern = _with_home(pattern)
    parts = Path(pattern).parts
    plain = list(takewhile(lambda part: not glob.has_magic(part), parts))
    return folder / pattern if len(plain) == len(parts) else folder.joinpath(*plain)


def tables_inside(folder: Path, pattern: str) -> list[str] | None:
    """Globs of the tables in the folders that `pattern` names, one for each format and depth; None
    where it names no folder.

    Names that begin with a dot or `_` are notes of the program that wrote the folder.
    """
    if "\0" in pattern:
        return None
    try:
        if (folder / pattern).is_dir():
            folders, start = [folder / pattern], glob.escape(pattern.rstrip("/") or "/")
        elif glob.has_magic(pattern):
            hits = map(Path, _expanded((Path(glob.escape(str(folder))) / pattern).as_posix()))
            folders, start = sorted(hit for hit in hits if hit.is_dir()), pattern.rstrip("/")
        else:
            folders = []
        if not folders:
            return None
        inside = (
            (path, path.relative_to(each).parts)
            for each in folders
            for path in islice(each.rglob("*"), _LOOKED_AT)
        )
        found = {
            (len(names) > 1, suffix(path))
            for path, names in inside
            if not any(name[0] in "._" for name in names) and path.is_file()
        }
    except OSError:
        return None
    known = sorted((deep, ending) for deep, ending in found if ending in every_suffix())
    return [f"{start}{'/**/' if deep else '/'}*{ending}" for deep, ending in known]


def neighbours(folder: Path, pattern: str) -> list[str]:
    """Names of the tables that lie where `pattern` looks, sorted; empty when that is no folder."""
    try:
        return sorted(path.name for path in (folder / pattern).parent.iterdir() if format_of(path))
    except (OSError, ValueError):  # no such folder; a name with a zero byte
        return []


IN_MEMORY: Final = "tables_in_memory"
"""The folder of a dataset's store with the rows that Python code handed over: `<table>/<digest of
the file>.parquet`.
"""


def in_memory(path: Path) -> str | None:
    """What people call the file at `path`, "table neuron", if it is of that folder."""
    ours = path.parent.parent.name == IN_MEMORY and re.fullmatch(r"[0-9a-f]{64}", path.stem)
    return f"table {path.parent.name}" if ours else None


def shown(path: Path, folder: Path) -> str:
    """`path` as people and records know it: relative to the config's folder when it is below it,
    `in_memory` for rows that Python code handed over.
    """
    normal = Path(os.path.normpath(path))
    home = Path(os.path.normpath(folder))
    if named := in_memory(normal):
        return named
    return normal.relative_to(home).as_posix() if normal.is_relative_to(home) else normal.as_posix()


def located(file: str, folder: Path, config: TableConfig) -> Path:
    """The path of a table's file that is `shown` as `file`."""
    return Path(config.file) if in_memory(Path(config.file)) == file else folder / file


@dataclass(frozen=True)
class Guard:
    """Keeps the files of one table from being opened that are in a folder which is not allowed, or
    would harm.

    `home` is the folder of the dataset's YAML; `allowed` are pipeline.yaml's `data_folders`, None
    when every folder is allowed. A glance at a file costs a few reads whatever its size, so it
    comes before even the file's digest is taken.
    """

    home: Path
    allowed: Sequence[Path] | None
    config: TableConfig

    def forbidden_pattern(self) -> dict[str, str]:
        """What replaces the digests of the table's files when it looks for them in a folder that
        is not allowed; empty when not.
        """
        refused = {f"file:{self.config.file}": "refused: SYN-READ-021"}
        return refused if self._looks_outside() else {}

    def find(self) -> list[Path]:
        """The table's files, in order; empty when it looks for them in a folder that is not
        allowed.
        """
        return [] if self._looks_outside() else find(self.home, self.config.file)

    def survey(self) -> tuple[list[Path], list[Problem]]:
        """The table's files, and what is to be said of everything else that its `file` means:
        pipes, devices, a forbidden place.
        """
        if self._looks_outside():
            start = starting_point(self.home, self.config.file)
            return [], [self._outside(self.config.file, start)]
        found, strange = survey(self.home, self.config.file)
        return found, [_not_a_file(shown(path, self.home), what) for path, what in strange.items()]

    def _looks_outside(self) -> bool:
        return outside(starting_point(self.home, self.config.file), self.home, self.allowed)

    def _outside(self, file: str, path: Path) -> Problem:
        reason = forbidden(f"{file} is", path, self.allowed)
        return Problem("SYN-READ-021", file, values={"reason": reason})

    def check(self, path: Path) -> None:
        """Raise `Unreadable` when the file at `path` must not be read. What takes a parser to find
        out, and why it cannot be read at all, is left to the readers.
        """
        file = shown(path, self.home)
        try:
            if outside(path, self.home, self.allowed):
                raise Unreadable(self._outside(file, path))
            if (what := irregular(path)) is not None:
                raise Unreadable(_not_a_file(file, what))
            if own := format_of(path):
                own.glance(path, file, self.config)
        except OSError:
            return

    def refusal(self, path: Path) -> str | None:
        """What replaces the digest of a file that a glance refuses: equal when the finding is
        equal. None when it is not refused.
        """
        try:
            self.check(path)
        except Unreadable as error:
            return "; ".join(
                f"refused: {problem.code} {problem.values.get('reason', '')}"
                for problem in error.problems
            )
        return None


def hash_ahead(guards: Sequence[Guard]) -> list[Thread]:
    """Have threads hash the files of some tables, but for those that a glance refuses: who asks
    for their digests once they have ended finds them known. Patterns are left to whoever reads
    them, and so is what cannot be read.
    """
    paths: list[Path] = []
    with suppress(OSError):
        named = [guard for guard in guards if not glob.has_magic(guard.config.file)]
        allowed = [path for each in named for path in each.find() if each.refusal(path) is None]
        paths = sorted(allowed, key=lambda path: -path.stat().st_size)
    left = iter(paths)

    def hash_some() -> None:
        for path in left:
            with suppress(OSError):
                digest_file(path)

    # Nobody waits for them after Ctrl+C.
    threads = [Thread(target=hash_some, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    return threads


def vet(path: Path, file: str) -> None:
    """Raise `Unreadable` when the file at `path`, of which no config says anything yet, must not
    be opened to look into it.
    """
    Guard(path.parent, None, TableConfig(file=file)).check(path)


def _not_a_file(file: str, what: str) -> Problem:
    return Problem("SYN-READ-020", file, values={"reason": what})


def forbidden(what: str, path: Path, allowed: Sequence[Path] | None) -> str:
    """The sentence of SYN-READ-021: `what` ("neuron.csv is") is at `path`, outside the folders
    `allowed`.
    """
    with suppress(OSError, RuntimeError, ValueError):  # a circle of links leads nowhere
        path = path.resolve()
    places = ", ".join(map(str, allowed or ())) or "a folder that is named there"
    return (
        f"{what} outside the folders that pipeline.yaml allows: {path} is neither in {places} nor"
        " beside the dataset's YAML"
    )


class Witness:
    """Remembers each file as it was when it was hashed, so that reading it later can be tied to
    that digest.
    """

    def __init__(self) -> None:
        self._stamps: dict[Path, Stamp] = {}
        self._digests: dict[Path, str] = {}

    def seen(self, path: Path) -> str | None:
        """The digest that `digest` gave last; None when it gave none."""
        return self._digests.get(path)

    def digest(self, path: Path) -> str:
        """SHA-256 of the file, or why it could not be read; its stamp is remembered. Raises
        `PipelineError` if it changed meanwhile.
        """
        try:
            self._stamps[path] = stamp(path)
            digest = digest_file(path)
        except OSError as error:
            self._stamps.pop(path, None)
            self._digests.pop(path, None)
            return f"unreadable: {error.strerror}"
        self.confirm(path)
        self._digests[path] = digest
        return digest

    def confirm(self, path: Path) -> None:
        """Raise `PipelineError` when the file is no longer the one first seen. A file never seen is
        seen now.
        """
        try:
            now = stamp(path)
        except OSError:
            now = None
        if now is None or self._stamps.setdefault(path, now) != now:
            raise PipelineError(
                f"{path} changed while it was being read.",
                next_step="Wait until the file is complete, then give the same command again.",
            )
