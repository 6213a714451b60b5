"""The work behind `syndb-pipeline init FOLDER`: a first dataset config for a folder of tables.

Belongs here: looking, guessing, and writing YAML with its open questions marked. Does not: reading rows or checking them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from syndb_pipeline.errors import ConfigError
from syndb_pipeline.readers.files import irregular, suffix
from syndb_pipeline.scaffold.guess import Guess, guess_tables
from syndb_pipeline.scaffold.peek import SUFFIXES, Unreadable, peek
from syndb_pipeline.scaffold.text import config_text
from syndb_pipeline.settings import DATASET_NAME
from syndb_pipeline.visible import visible

__all__ = ["InitReport", "init"]

_LOOKED_AT = 100_000
"""Files deeper down that are looked at when a folder holds no table."""


@dataclass(frozen=True)
class InitReport:
    """What `init` found: the config it wrote, tables with their file, questions a person must answer, files it left out and why."""

    config: Path
    tables: dict[str, str]
    questions: list[str] = field(default_factory=list)
    unused: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"Wrote {self.config}"]
        lines += [f"  {table}: {file}" for table, file in self.tables.items()]
        lines += [f"  left out: {file} ({reason})" for file, reason in self.unused.items()]
        lines += [f"{len(self.questions)} questions are marked # QUESTION in it:"] + [f"  - {question}" for question in self.questions]
        return visible("\n".join([*lines, f"Answer them, then: syndb-pipeline check {self.config}"]))


def init(folder: Path, out: Path, *, overwrite: bool = False) -> InitReport:
    """Look at the tables in `folder` and write a first config for them to `out`.

    The config names a new dataset (UUIDv7), a guess for each table, and open questions. Raises `ConfigError` when the folder holds no
    table, when `out` exists and is not to be overwritten, or when its name cannot be a dataset's name.
    """
    folder, out = folder.expanduser().absolute(), out.expanduser().absolute()
    _check_paths(folder, out, overwrite)
    candidates, unused = [], {}
    for path in sorted(folder.iterdir()):
        if suffix(path) not in SUFFIXES or path.name.startswith((".", "~$")):
            continue
        what = irregular(path)
        if what is not None:
            unused[path.name] = f"it is {what}, not a file"
            continue
        if not path.is_file():
            continue
        try:
            candidates += peek(path)
        except Unreadable as error:
            unused[path.name] = str(error)
    if not candidates and not unused:
        below = sorted(
            {file.parent.relative_to(folder).as_posix() for file in islice(folder.rglob("*"), _LOOKED_AT) if suffix(file) in SUFFIXES}
        )
        hint = (
            f"Tables lie deeper, in {', '.join(below[:5])}: give one of these folders." if below else "Give the folder your tables lie in."
        )
        raise ConfigError(f"{folder} holds no table ({', '.join(SUFFIXES)}).", next_step=hint)
    guesses, left = guess_tables(candidates)
    unused |= left
    text, questions = config_text(guesses, relative_to=Path(os.path.relpath(folder, out.parent)), unused=unused, out=out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    return InitReport(out, {guess.table: _named(guess) for guess in guesses}, questions, unused)


def _check_paths(folder: Path, out: Path, overwrite: bool) -> None:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder.", next_step="Give the folder your tables lie in.")
    if not DATASET_NAME.fullmatch(out.stem) or out.suffix not in (".yaml", ".yml"):
        raise ConfigError(
            f"{out.name} cannot be a config's name: it names the dataset and may hold letters, digits, '.', '_' and '-', and end in .yaml."
        )
    if out.exists() and not overwrite:
        raise ConfigError(f"{out} exists already.", next_step="Give another name, or say that it may be overwritten.")


def _named(guess: Guess) -> str:
    return guess.file + (f", sheet {guess.sheet}" if guess.sheet else "")
