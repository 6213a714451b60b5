"""The work behind `syndb-pipeline init FOLDER`: a first dataset config for a folder of tables.

Belongs here: looking, guessing, and writing YAML with its open questions marked. Does not: reading
rows or checking them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.base.escape_text import visible
from syndb_pipeline.config.settings import DATASET_NAME
from syndb_pipeline.readers.files import suffix
from syndb_pipeline.scaffold.folder import missed_tables, survey
from syndb_pipeline.scaffold.guess import Guess, guess_tables
from syndb_pipeline.scaffold.peek import SUFFIXES
from syndb_pipeline.scaffold.text import config_text

__all__ = ["InitReport", "init"]

_LOOKED_AT = 100_000
"""Files deeper down that are looked at when a folder holds no table."""

_WIDTH = 80


@dataclass(frozen=True)
class InitReport:
    """What `init` found: the config it wrote, tables with their file, questions a person must
    answer, files not used and why.
    """

    config: Path
    tables: dict[str, str]
    questions: list[str] = field(default_factory=list)
    unused: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"Wrote {self.config}"]
        lines += [f"  {table}: {file}" for table, file in self.tables.items()]
        lines += [
            _wrapped(f"  not used: {file} ({reason})", 4) for file, reason in self.unused.items()
        ]
        lines.append(f"{len(self.questions)} questions are marked # QUESTION in it:")
        lines += [_wrapped(f"  - {question}", 4) for question in self.questions]
        return visible(
            "\n".join([*lines, f"Answer them, then: syndb-pipeline check {self.config}"])
        )


def _wrapped(text: str, indent: int) -> str:
    return fill(
        text, _WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
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
            candidates, unused, tables = survey(folder, out, Path(scratch))
        except PermissionError:
            raise ConfigError(
                f"{folder} cannot be read.", next_step="Check that you may read it."
            ) from None
        if not tables:
            raise _no_table(folder, unused)
        guesses, left = guess_tables(candidates)
        unused |= left
        missed = missed_tables(folder, unused, {guess.table for guess in guesses})
        seen_from = Path(os.path.relpath(folder, out.parent))
        text, questions = config_text(
            guesses, relative_to=seen_from, missed=missed, unused=unused, out=out
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    asked = {
        f"{path.name}/" if path.is_dir() else path.name for path in missed.values()
    }  # asked about
    unused = {file: reason for file, reason in unused.items() if file not in asked}
    return InitReport(out, {guess.table: _named(guess) for guess in guesses}, questions, unused)


def _no_table(folder: Path, unused: dict[str, str]) -> ConfigError:
    below = sorted(
        {
            file.parent.relative_to(folder).as_posix()
            for file in islice(folder.rglob("*"), _LOOKED_AT)
            if suffix(file) in SUFFIXES
        }
    )
    if below:
        hint = f"There are tables deeper, in {', '.join(below[:5])}: give one of these folders."
    elif unused:
        hint = " ".join(f"{file}: {reason}." for file, reason in list(unused.items())[:3])
    else:
        hint = "Give the folder your tables are in."
    return ConfigError(f"{folder} holds no table ({', '.join(SUFFIXES)}).", next_step=hint)


def _check_paths(folder: Path, out: Path, overwrite: bool) -> None:
    if not folder.is_dir():
        raise ConfigError(
            f"{folder}: there is no such folder.", next_step="Give the folder your tables are in."
        )
    if not DATASET_NAME.fullmatch(out.stem) or out.suffix not in (".yaml", ".yml"):
        raise ConfigError(
            f"{out.name} cannot be a config's name: it names the dataset and may hold letters,"
            " digits, '.', '_' and '-', and end in .yaml."
        )
    if out.exists() and not overwrite:
        raise ConfigError(
            f"{out} exists already.",
            next_step="Give another name, or say that it may be overwritten.",
        )


def _named(guess: Guess) -> str:
    if guess.choices:
        return " or ".join(
            [*map(str, guess.choices[:3]), *(["..."] if len(guess.choices) > 3 else [])]
        )
    return guess.file + (f", sheet {guess.candidate.sheet}" if guess.candidate.sheet else "")
