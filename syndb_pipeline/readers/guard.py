"""What stands before the files of a table: places that are not allowed, what is no file, and first
bytes that would harm whoever reads on.

Belongs here: which look fits which format, and the look at text. Does not: limits (`limits.py`),
what happens once a library opens a file (`fence.py`).

A glance costs a few reads whatever the file's size, so it comes before even the file's digest is
taken.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from syndb_pipeline.base.irregular_files import irregular
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.readers import files, signatures
from syndb_pipeline.readers.gzipped import gunzipped
from syndb_pipeline.readers.limits import MAX_COLUMNS, line_too_long, too_many_columns
from syndb_pipeline.readers.parquet import parquet_files
from syndb_pipeline.readers.part import Problem, Unreadable, cannot_read
from syndb_pipeline.readers.text.lines import MAX_LINE_BYTES

_DELIMITERS: Final = (b",", b"\t", b";", b"|")
_LINE_END: Final = re.compile(rb"\r\n?|\n")


@dataclass(frozen=True)
class Guard:
    """Keeps the files of one table from being opened that are in a folder which is not allowed, or
    would harm.

    `home` is the folder of the dataset's YAML; `allowed` are pipeline.yaml's `data_folders`, None
    when every folder is allowed.
    """

    home: Path
    allowed: Sequence[Path] | None
    config: TableConfig

    def forbidden_pattern(self) -> dict[str, str]:
        """What stands for the digests of the table's files when it looks for them in a folder that
        is not allowed; empty when not.
        """
        return (
            {f"file:{self.config.file}": "refused: SYN-READ-021"} if self._looks_outside() else {}
        )

    def find(self) -> list[Path]:
        """The table's files, in order; empty when it looks for them in a folder that is not
        allowed.
        """
        return [] if self._looks_outside() else files.find(self.home, self.config.file)

    def survey(self) -> tuple[list[Path], list[Problem]]:
        """The table's files, and what is to be told of everything else that its `file` stands for:
        pipes, devices, a forbidden place.
        """
        if self._looks_outside():
            start = files.starting_point(self.home, self.config.file)
            return [], list(outside(self.config.file, start, self.allowed).problems)
        found, strange = files.survey(self.home, self.config.file)
        return found, [
            problem
            for path, what in strange.items()
            for problem in not_a_file(files.shown(path, self.home), what).problems
        ]

    def _looks_outside(self) -> bool:
        return files.outside(
            files.starting_point(self.home, self.config.file), self.home, self.allowed
        )

    def check(self, path: Path) -> None:
        """Raise `Unreadable` when the file at `path` must not be read. What takes a parser to tell
        is left to the readers.
        """
        file = files.shown(path, self.home)
        try:
            self._glance(path, file)
        except OSError:
            return  # the reader tells why it cannot be read

    def refusal(self, path: Path) -> str | None:
        """What stands for the digest of a file that a glance refuses: equal when the finding is
        equal. None when it is not refused.
        """
        try:
            self._glance(path, files.shown(path, self.home))
        except Unreadable as error:
            return "; ".join(
                f"refused: {problem.code} {problem.values.get('reason', '')}"
                for problem in error.problems
            )
        except OSError:
            return None  # the digest tells why
        return None

    def _glance(self, path: Path, file: str) -> None:
        if files.outside(path, self.home, self.allowed):
            raise outside(file, path, self.allowed)
        what = irregular(path)
        if what is not None:
            raise not_a_file(file, what)
        suffix = files.suffix(path)
        if suffix in files.TEXT_SUFFIXES:
            _glance_at_text(path, file, self.config)
        elif suffix in files.PARQUET_SUFFIXES:
            parquet_files.glance(path, file)


def vet(path: Path, file: str) -> None:
    """Raise `Unreadable` when the file at `path`, of which no config tells anything yet, must not
    be opened to look into it.
    """
    Guard(path.parent, None, TableConfig(file=file)).check(path)


def _glance_at_text(path: Path, file: str, config: TableConfig) -> None:
    with path.open("rb") as source:
        if not path.name.lower().endswith(".gz"):
            head = source.read(MAX_LINE_BYTES + 2)
        else:
            try:
                head = first_bytes(gunzipped(source, file), MAX_LINE_BYTES + 2)
            except (zlib.error, EOFError):
                return  # the reader tells what is wrong with it
    if signatures.recognise(head[: signatures.HEAD_BYTES]):
        return  # the reader tells what it is instead
    if len(head) > MAX_LINE_BYTES and b"\n" not in head and b"\r" not in head:
        if not head.strip(b"\0"):
            raise cannot_read(
                file,
                "it holds zero bytes where its text should be",
                "Copy or export it again from its source.",
            )
        raise line_too_long(file, 1)
    lines = _LINE_END.split(head, config.header_row or 1)
    line = lines[min(config.header_row or 1, len(lines)) - 1]
    delimiters = (config.delimiter.encode(),) if config.delimiter else _DELIMITERS
    columns = max(line.count(mark) for mark in delimiters) + 1
    if columns > MAX_COLUMNS:
        raise too_many_columns(file, columns)


def first_bytes(pieces: Iterator[bytes], size: int) -> bytes:
    """The first `size` bytes of what `pieces` gives, or all when there are fewer."""
    head = bytearray()
    for piece in pieces:
        head += piece
        if len(head) >= size:
            break
    return bytes(head[:size])


def not_a_file(file: str, what: str) -> Unreadable:
    """`Unreadable` by SYN-READ-020: `file` is `what` ("a named pipe")."""
    return Unreadable(Problem("SYN-READ-020", file, values={"reason": what}))


def forbidden(what: str, path: Path, allowed: Sequence[Path] | None) -> str:
    """The sentence of SYN-READ-021: `what` ("neuron.csv lies") is at `path`, outside the folders
    `allowed`.
    """
    try:
        real = path.resolve()
    except (OSError, RuntimeError, ValueError):
        real = path
    places = ", ".join(map(str, allowed or ())) or "a folder that is named there"
    return (
        f"{what} outside the folders that pipeline.yaml allows: {real} is neither in {places} nor"
        " beside the dataset's YAML"
    )


def outside(file: str, path: Path, allowed: Sequence[Path] | None) -> Unreadable:
    """`Unreadable` by SYN-READ-021 for `file`, which leads to `path`."""
    return Unreadable(
        Problem("SYN-READ-021", file, values={"reason": forbidden(f"{file} lies", path, allowed)})
    )
