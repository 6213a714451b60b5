"""The file formats that tables are read from: each module of this folder is one, with the entry
`FORMAT`.

Belongs here: what a format is, and finding the one of a file. Does not: what is special about any
of them, elsewhere included. A new format is a new module here; everything that names or reads files
asks this registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, TypeAlias

import duckdb

from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import Table
from syndb_pipeline.readers.fence import Fence
from syndb_pipeline.readers.part import Part

if TYPE_CHECKING:
    from syndb_pipeline.readers.corrections import FileCorrections

Rows: TypeAlias = Sequence[tuple[int, list[str]]]
"""Rows with their numbers, as a person counts them."""

Texts = tuple[str | None, ...]
"""The cells of one row, None where there is nothing."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a file is read with: the run's connection, the process for files of which nothing is
    known, and limits.

    `scratch` is a folder of the file's own, for copies; `corrections` are those of the file's
    lines.
    """

    connection: duckdb.DuckDBPyConnection
    fence: Fence
    scratch: Path
    memory_limit: int = 2_000_000_000
    corrections: FileCorrections | None = None


@dataclass(frozen=True, slots=True)
class Glimpse:
    """The beginning of a file, or of one sheet of it.

    Attributes:
        ways: Its first rows, blank ones left out, by the delimiter that gives them; None where
            nothing is delimited.
        more: More rows by one of the delimiters, where `ways` has a sample.
        sheet: The sheet they are of.
        names: Its column names, of a format that has them apart from its rows.
        encoding: That of a text file.
        readings: What its first line beyond ASCII reads in each encoding that it may have.
        sample: The beginning of a text file as UTF-8.
    """

    ways: Mapping[str | None, Rows]
    sheet: str | None = None
    names: tuple[str, ...] | None = None
    encoding: str = "utf-8"
    readings: Mapping[str, str] | None = None
    sample: Path | None = None
    more: Callable[[str | None], Rows] | None = None


@dataclass(frozen=True, slots=True)
class LabFile:
    """One file (or sheet) as ingest read it: `first_line` is the row of its first record,
    `delimiter` that of a text file.
    """

    path: Path
    table: Table
    config: TableConfig
    first_line: int
    sheet: str | None = None
    delimiter: str | None = None


def _harmless(path: Path, file: str, config: TableConfig) -> None:
    """The glance at a format of which a glance says nothing."""


@dataclass(frozen=True, slots=True)
class Format:
    """One file format.

    Attributes:
        name: What a person calls such a file: "workbook".
        suffixes: Those of its files, in lower case (`.csv.gz` counts as one), each with what such
            files may start with, where they have a signature.
        read: The rows of the file at a path, called as in findings, for a table as its config says.
            Raises `Unreadable`.
        peek: A look into the file at a path, with a row count at most, from which `init` guesses.
            Raises `Unreadable`.
        cells: The cells of the columns called so (the lab's names) in such rows of a file that was
            read, row by row: the text between delimiters, a number's shortest exact form. None
            where there is nothing, or no such row any more.
        glance: A first look that takes a few reads whatever the file's size, before its digest is
            taken. Raises `Unreadable`.
        prepare: What the other process should import ahead, where it is to be read there.
        read_ahead: Whether reading it is only counting through, which another thread may do while
            it waits for its turn.
    """

    name: str
    suffixes: Mapping[str, tuple[bytes, ...]]
    read: Callable[[Path, str, Table, TableConfig, Means], Part]
    peek: Callable[[Path, Means, int], list[Glimpse]]
    cells: Callable[[LabFile, Sequence[str], Iterable[int], Means], Iterator[Texts]]
    glance: Callable[[Path, str, TableConfig], object] = field(default=_harmless)
    prepare: Callable[..., object] | None = None
    read_ahead: bool = False


@cache
def every_format() -> tuple[Format, ...]:
    return tuple(
        import_module(f"{__name__}.{module.name}").FORMAT for module in iter_modules(__path__)
    )


def format_of(path: Path) -> Format | None:
    """The format that a file's name promises; None when it is that of no table."""
    return next(
        (each for each in every_format() if path.name.lower().endswith(tuple(each.suffixes))), None
    )


def suffix(path: Path) -> str:
    """The suffix of a file's name that says its format, in lower case."""
    known = (
        ending
        for each in every_format()
        for ending in each.suffixes
        if path.name.lower().endswith(ending)
    )
    return max(known, key=len, default=path.suffix.lower())


def every_suffix() -> tuple[str, ...]:
    return tuple(ending for each in every_format() for ending in each.suffixes)


def in_words() -> str:
    """The suffixes of all formats for a sentence: ".csv, .tsv, ... or .parquet"."""
    *others, last = [
        ending for ending in every_suffix() if ending.count(".") == 1 and ending != ".pq"
    ]
    return f"{', '.join(others)} or {last}"
