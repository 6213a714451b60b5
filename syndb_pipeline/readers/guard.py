"""What is before the files of a table: places that are not allowed, what is no file, and first
bytes that would harm whoever reads on.

Belongs here: which look fits which format, and the look at text. Does not: limits (`part.py`),
what happens once a library opens a file (`fence.py`).

A glance costs a few reads whatever the file's size, so it comes before even the file's digest is
taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from syndb_pipeline.base.irregular_files import irregular
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.readers import files
from syndb_pipeline.readers.formats import format_of
from syndb_pipeline.readers.part import Problem, Unreadable


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
        """What replaces the digests of the table's files when it looks for them in a folder that
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
        """The table's files, and what is to be said of everything else that its `file` means:
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
        """Raise `Unreadable` when the file at `path` must not be read. What takes a parser to find
        out is left to the readers.
        """
        file = files.shown(path, self.home)
        try:
            self._glance(path, file)
        except OSError:
            return  # the reader says why it cannot be read

    def refusal(self, path: Path) -> str | None:
        """What replaces the digest of a file that a glance refuses: equal when the finding is
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
            return None  # the digest says why
        return None

    def _glance(self, path: Path, file: str) -> None:
        if files.outside(path, self.home, self.allowed):
            raise outside(file, path, self.allowed)
        what = irregular(path)
        if what is not None:
            raise not_a_file(file, what)
        if own := format_of(path):
            own.glance(path, file, self.config)


def vet(path: Path, file: str) -> None:
    """Raise `Unreadable` when the file at `path`, of which no config says anything yet, must not
    be opened to look into it.
    """
    Guard(path.parent, None, TableConfig(file=file)).check(path)


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
