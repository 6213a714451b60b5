"""From a lab's folder to a config: its tables, folders of parts, and all else with why it is not
used.

Belongs here: going through the folder, and the report. Does not: what is inside a table
(`peek.py`), which table it is (`guess.py`), or the YAML (`text.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill
from typing import Any, Final

import duckdb

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.base.escape_text import visible
from syndb_pipeline.base.irregular_files import irregular
from syndb_pipeline.config.settings import DATASET_NAME
from syndb_pipeline.readers.fence import Fence
from syndb_pipeline.readers.formats import Means, suffix
from syndb_pipeline.readers.formats.parquet import FORMAT as PARQUET
from syndb_pipeline.scaffold.guess import Guess, guess_tables, name_score
from syndb_pipeline.scaffold.names import TABLE_WORDS, WORDS
from syndb_pipeline.scaffold.peek import SUFFIXES, Candidate, Unreadable, peek
from syndb_pipeline.scaffold.text import config_text

_LITTLE: Final[dict[str, Any]] = {"memory_limit": "500MB", "threads": "1"}
"""What DuckDB may take to look into files."""

_LOOKED_AT: Final = 100_000
"""Files deeper down that are looked at."""

_PIECES: Final = 5
"""Files of a folder of parts that are looked into."""

_NAMED: Final = 3
"""Files of one useless kind that are named one by one; more are counted."""

_WIDTH: Final = 80

_UNREAD, _OTHER = (
    {ending: kind["reason"] for kind in WORDS[group] for ending in kind["suffixes"]}
    for group in ("unread", "other")
)
"""Suffix -> what to do: of files that may hold a table and are not read, and of files without
one.
"""


@dataclass(frozen=True)
class InitReport:
    """What `init` found.

    The config it wrote, tables with their file, questions a person must answer, files that are not
    used and why.
    """

    config: Path
    tables: dict[str, str]
    questions: list[str] = field(default_factory=list)
    unused: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"Wrote {self.config}"]
        lines += [f"  {table}: {file}" for table, file in self.tables.items()]
        for file, reason in self.unused.items():
            lines.append(_wrapped(f"  not used: {file} ({reason})"))
        lines.append(f"{len(self.questions)} questions are marked # QUESTION in it:")
        lines += [_wrapped(f"  - {question}") for question in self.questions]
        lines.append(f"Answer them, then: syndb-pipeline check {self.config}")
        return visible("\n".join(lines))


def _wrapped(text: str) -> str:
    return fill(
        text, _WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )


def init(folder: Path, out: Path, *, overwrite: bool = False) -> InitReport:
    """Look at the tables in `folder` and write a first config for them to `out`.

    The config names a new dataset (UUIDv7), a guess for each table, and open questions. Raises
    `ConfigError` when the folder holds no table, when `out` exists and is not to be overwritten, or
    when its name cannot be a dataset's name.
    """
    folder, out = folder.expanduser().absolute(), out.expanduser().absolute()
    _check_paths(folder, out, overwrite)
    with TemporaryDirectory(prefix="syndb-init-") as scratch:
        try:
            with duckdb.connect(config=_LITTLE) as connection, Fence() as fence:
                means = Means(connection, fence, Path(scratch))
                candidates, unused, tables = _survey(folder, out, means)
        except PermissionError:
            advice = "Check that you may read it."
            raise ConfigError(f"{folder} cannot be read.", next_step=advice) from None
        if not tables:
            raise _no_table(folder, unused)
        guesses, left = guess_tables(candidates)
        unused |= left
        missed = _missed_tables(folder, unused, {guess.table for guess in guesses})
        text, questions = config_text(
            guesses,
            relative_to=Path(os.path.relpath(folder, out.parent)),
            missed=missed,
            unused=unused,
            out=out,
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    for path in missed.values():  # which are asked about
        unused.pop(f"{path.name}/" if path.is_dir() else path.name, None)
    return InitReport(out, {guess.table: _named(guess) for guess in guesses}, questions, unused)


def _named(guess: Guess) -> str:
    """The file of a guess in the report, or those to choose from."""
    if guess.choices:
        more = ["..."] if len(guess.choices) > 3 else []
        return " or ".join([*map(str, guess.choices[:3]), *more])
    return guess.file + (f", sheet {guess.candidate.sheet}" if guess.candidate.sheet else "")


def _check_paths(folder: Path, out: Path, overwrite: bool) -> None:
    if not folder.is_dir():
        advice = "Give the folder your tables are in."
        raise ConfigError(f"{folder}: there is no such folder.", next_step=advice)
    if not DATASET_NAME.fullmatch(out.stem) or out.suffix not in (".yaml", ".yml"):
        raise ConfigError(
            f"{out.name} cannot be a config's name: it names the dataset and may hold letters, "
            "digits, '.', '_' and '-', and end in .yaml."
        )
    if out.exists() and not overwrite:
        advice = "Give another name, or say that it may be overwritten."
        raise ConfigError(f"{out} exists already.", next_step=advice)


def _no_table(folder: Path, unused: dict[str, str]) -> ConfigError:
    below = sorted({file.parent.relative_to(folder).as_posix() for file in _tables_below(folder)})
    if below:
        hint = f"There are tables deeper, in {', '.join(below[:5])}: give one of these folders."
    elif unused:
        hint = " ".join(f"{file}: {reason}." for file, reason in list(unused.items())[:3])
    else:
        hint = "Give the folder your tables are in."
    return ConfigError(f"{folder} holds no table ({', '.join(SUFFIXES)}).", next_step=hint)


def _tables_below(folder: Path) -> Iterator[Path]:
    """Files in or below `folder` that are called a table."""
    return (file for file in islice(folder.rglob("*"), _LOOKED_AT) if suffix(file) in SUFFIXES)


# What is in the folder


def _survey(folder: Path, out: Path, means: Means) -> tuple[list[Candidate], dict[str, str], bool]:
    """The candidates, what is not used with the reason, and whether anything is called a table.

    `out`, where the config goes, is passed over, and so is what is hidden. `means` are those of
    `peek`.
    """
    candidates: list[Candidate] = []
    unused: dict[str, str] = {}
    others: list[Path] = []
    tables = False
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path == out:
            continue
        what = irregular(path)
        called_table = suffix(path) in SUFFIXES
        if path.name.startswith("~$"):
            unused[path.name] = "the lock file of a workbook that is open"
        elif what is not None:
            tables = tables or called_table
            unused[path.name] = f"it is {what}, not a file"
        elif path.is_dir():
            try:
                candidates.append(_folder(path, means))
            except Unreadable as error:
                unused[f"{path.name}/"] = str(error)
        elif called_table:
            tables = True
            try:
                candidates += peek(path, means)
            except Unreadable as error:
                unused[path.name] = str(error)
        else:
            others.append(path)
    return candidates, unused | _others(others), tables or bool(candidates)


def _missed_tables(folder: Path, unused: Iterable[str], found: set[str]) -> dict[str, Path]:
    """Tables, beside those `found`, that files and folders hold by their names, though `unused`."""
    missed: dict[str, Path] = {}
    for name in unused:
        path = folder / name
        if path.is_dir():
            holds = any(_tables_below(path))
        else:
            holds = path.is_file() and (suffix(path) in SUFFIXES or path.suffix.lower() in _UNREAD)
        table = _table_called(path.name.partition(".")[0]) if holds else None
        if table is not None and table not in found:
            missed.setdefault(table, path)
    return missed


def _table_called(name: str) -> str | None:
    return next((table for table in TABLE_WORDS if name_score(name, table) == 1), None)


def _others(paths: list[Path]) -> dict[str, str]:
    """Files whose suffix is no table's, with the reason; many of one suffix together."""

    def ending(path: Path) -> str:
        return path.suffix.lower()

    reasons: dict[str, str] = {}
    for end, group in groupby(sorted(paths, key=lambda path: (ending(path), path)), key=ending):
        reason = (_UNREAD | _OTHER).get(end, "not a kind of file that holds a table")
        names = [path.name for path in group]
        if len(names) > _NAMED:
            names = [f"{len(names):,} files {end or 'without suffix'}"]
        reasons |= dict.fromkeys(names, reason)
    return reasons


def _folder(path: Path, means: Means) -> Candidate:
    """The table whose parts a folder holds, as Spark and Dask write them. Raises `Unreadable`."""
    try:
        inside = sorted(file for file in path.iterdir() if not file.name.startswith((".", "_")))
        tables = [file for file in inside if suffix(file) in SUFFIXES]
        tables = [file for file in tables if file.is_file() and irregular(file) is None]
        if not tables:
            raise Unreadable(_without_tables(path))
    except OSError as error:
        raise Unreadable(f"it cannot be read: {error.strerror}") from None
    alone = f"; look at it alone: syndb-pipeline init {path}"
    is_table = suffix(path) in SUFFIXES or _table_called(path.name)
    if not is_table or len({file.name[-len(suffix(file)) :] for file in tables}) > 1:
        raise Unreadable(f"a folder with tables of its own, such as {tables[0].name}{alone}")
    chosen = sorted({*range(min(_PIECES - 1, len(tables))), len(tables) - 1})
    try:
        pieces = [piece for index in chosen for piece in peek(tables[index], means)]
    except Unreadable as error:
        raise Unreadable(f"one of its parts cannot be read: {error}") from None
    first = pieces[0]
    if any(
        (each.columns, each.width, each.sheets) != (first.columns, first.width, ())
        for each in pieces
    ):
        raise Unreadable(f"a folder whose tables differ in their columns{alone}")
    rows = tuple(row for piece in pieces for row in piece.rows)
    return replace(first, path=path, rows=rows, pieces=tuple(pieces))


def _without_tables(path: Path) -> str:
    """Why a folder without tables of its own is not used."""
    deeper = [
        file
        for file in islice(path.rglob("*"), _LOOKED_AT)
        if not file.name.startswith((".", "_")) and file.is_file()
    ]
    if below := [file for file in deeper if suffix(file) in SUFFIXES]:
        at = below[0].relative_to(path)
        if suffix(path) in PARQUET.suffixes or any("=" in part for part in at.parts[:-1]):
            levels = "*/" * (len(at.parts) - 1)
            return (
                f"its parts are in folders such as {at.parts[0]}; they can be named"
                f" {path.name}/{levels}*{suffix(at)}, but what the folders' names say is then no"
                " column"
            )
        where = at.parent.as_posix()
        alone = f"look at it alone: syndb-pipeline init {path / at.parent}"
        return f"its tables are deeper, in {where}; {alone}"
    endings = {file.suffix.lower() for file in deeper}
    if len(endings) == 1 and (reason := (_UNREAD | _OTHER).get(min(endings))):
        return f"{len(deeper):,} files {min(endings)}: {reason}"
    for file in deeper:
        if file.suffix and (reason := _UNREAD.get(file.suffix.lower())):
            name = file.relative_to(path).as_posix()
            return f"a folder without tables that are read; {name}: {reason}"
    return "a folder without tables"
