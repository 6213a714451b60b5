"""From a lab's folder to a config: its tables, folders of parts, all else with why it is not used,
and the first config as YAML with `# QUESTION:` wherever only a person knows.

Belongs here: going through the folder, the report, and what the template `config.yaml.jinja` needs.
Does not: what is inside a table (`peek.py`), which table it is (`guess.py`), or the config's words.
"""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill
from typing import Any, Final

import duckdb
from jinja2 import Environment, PackageLoader, StrictUndefined

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.base.escape_text import visible
from syndb_pipeline.base.irregular_files import irregular
from syndb_pipeline.base.system import seen_from
from syndb_pipeline.config.settings import DATASET_NAME
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import SERVER_COLUMNS, TABLES
from syndb_pipeline.contract.vocabularies import LICENSES
from syndb_pipeline.readers.fence import Fence
from syndb_pipeline.readers.formats import Means, suffix
from syndb_pipeline.readers.formats.parquet import FORMAT as PARQUET
from syndb_pipeline.scaffold.columns import KEYS, MEASURES, Mapped
from syndb_pipeline.scaffold.guess import Guess, guess_tables, name_score
from syndb_pipeline.scaffold.names import TABLE_WORDS, WORDS, comma, hold_several_numbers, listed
from syndb_pipeline.scaffold.peek import SUFFIXES, Candidate, Unreadable, peek, reads_alike

_LITTLE: Final[dict[str, Any]] = {"memory_limit": "500MB", "threads": "1"}
"""What DuckDB may take to look into files."""

_LOOKED_AT: Final = 100_000
"""Files deeper down that are looked at."""

_PIECES: Final = 5
"""Files of a folder of parts that are looked into."""

_NAMED: Final = 3
"""Files of one useless kind that are named one by one; more are counted."""

_WIDTH: Final = 80

SCHEMA: Final = Path("config/schema/dataset.schema.json")

_UNREAD: Final = {ending for kind in WORDS["unread"] for ending in kind["suffixes"]}
"""Suffixes of files that may hold a table and are not read."""

_REASONS: Final = {
    ending: kind["reason"]
    for kind in (*WORDS["other"], *WORDS["unread"])
    for ending in kind["suffixes"]
}
"""Suffix of a file that is not used -> what it is, or what to do."""


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


def _wrapped(text: str, first: str = "", then: str = "    ") -> str:
    return fill(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=then,
        break_long_words=False,
        break_on_hyphens=False,
    )


def init(
    folder: Path, out: Path, *, overwrite: bool = False, known: Mapping[str, str] | None = None
) -> InitReport:
    """Look at the tables in `folder` and write a first config for them to `out`.

    The config names a new dataset (UUIDv7), or the `known` one (`selected.py`), a guess for each
    table, and open questions. Raises `ConfigError` when the folder holds no table, when `out`
    exists and is not to be overwritten, or when its name cannot be a dataset's name.
    """
    folder, out = folder.expanduser().absolute(), out.expanduser().absolute()
    _check_paths(folder, out, overwrite)
    with TemporaryDirectory(prefix="syndb-init-") as scratch:
        try:
            with duckdb.connect(config=_LITTLE) as connection, Fence() as fence:
                means = Means(connection, fence, Path(scratch))
                candidates, unused, tables = _survey(folder, out, means)
        except PermissionError:
            raise ConfigError(f"{folder}: you may not read it.") from None
        if not tables:
            raise _no_table(folder, unused)
        guesses, left = guess_tables(candidates)
        unused |= left
        missed = _missed_tables(folder, unused, {guess.table for guess in guesses})
        text, questions = _config_text(
            guesses,
            relative_to=seen_from(out.parent, folder),
            missed=missed,
            unused=unused,
            out=out,
            known=known or {},
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
        called_table = suffix(path) in SUFFIXES
        what = irregular(path)
        if path.name.startswith(".") or path == out:
            continue
        if path.name.startswith("~$"):
            unused[path.name] = "the lock file of a workbook that is open"
        elif what is not None:
            tables = tables or called_table
            unused[path.name] = f"it is {what}, not a file"
        elif path.is_dir() or called_table:
            tables = tables or not path.is_dir()
            try:
                candidates += [_folder(path, means)] if path.is_dir() else peek(path, means)
            except Unreadable as error:
                unused[f"{path.name}{'/' if path.is_dir() else ''}"] = str(error)
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
        table = _table_called(path.name.partition(".")[0])
        if holds and table is not None and table not in found:
            missed.setdefault(table, path)
    return missed


def _table_called(name: str) -> str | None:
    return next((table for table in TABLE_WORDS if name_score(name, table) == 1), None)


def _others(paths: list[Path]) -> dict[str, str]:
    """Files whose suffix is no table's, with the reason; many of one suffix together."""
    by_ending: dict[str, list[str]] = {}
    for path in paths:
        by_ending.setdefault(path.suffix.lower(), []).append(path.name)
    reasons: dict[str, str] = {}
    for end, names in sorted(by_ending.items()):
        if len(names) > _NAMED:
            names = [f"{len(names):,} files {end or 'without suffix'}"]
        reason = _REASONS.get(end, "not a kind of file that holds a table")
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
    inside = islice(path.rglob("*"), _LOOKED_AT)
    deeper = [file for file in inside if not file.name.startswith((".", "_")) and file.is_file()]
    for file in deeper:
        if suffix(file) not in SUFFIXES:
            continue
        at = file.relative_to(path)
        if suffix(path) in PARQUET.suffixes or any("=" in part for part in at.parts[:-1]):
            pattern = f"{path.name}/{'*/' * (len(at.parts) - 1)}*{suffix(at)}"
            return (
                f"its parts are in folders such as {at.parts[0]}; they can be named {pattern}, but"
                " what the folders' names say is then no column"
            )
        alone = f"look at it alone: syndb-pipeline init {path / at.parent}"
        return f"its tables are deeper, in {at.parent.as_posix()}; {alone}"
    reasons = {file: _REASONS.get(file.suffix.lower()) for file in deeper}
    for file, reason in reasons.items():
        if reason:
            name = file.relative_to(path).as_posix()
            return f"a folder without tables that are read; {name}: {reason}"
    return "a folder without tables"


# The config


def _config_text(
    guesses: list[Guess],
    *,
    relative_to: Path,
    missed: dict[str, Path],
    unused: dict[str, str],
    out: Path,
    known: Mapping[str, str],
) -> tuple[str, list[str]]:
    """The YAML and its questions.

    Args:
        guesses: the tables.
        relative_to: the tables' folder as seen from the config.
        missed: tables whose files, by their names, cannot be read.
        unused: every file that is not used, with the reason.
        out: where the config goes; `known`: what is not asked.
    """
    questions: list[str] = []

    def question(key: str, text: str) -> str:
        text = " ".join(text.split())  # a name may hold a line break, which would end the comment
        questions.append(f"{key}: {text}")
        return f"QUESTION: {text}"

    def ask(
        key: str, text: str = "", indent: int = 4, *, caller: Callable[[], str] | None = None
    ) -> str:
        asked = _comment_lines(question(key, caller() if caller else text), indent)
        return f"{asked}\n" if caller else asked

    def path(file: str, *, escaped: bool = False) -> str:
        """`file`, a name or glob in the folder, as YAML; `escaped` makes a glob of a name."""
        file = glob.escape(file) if escaped else file
        if relative_to != Path() and glob.has_magic(file):
            return _scalar(f"{glob.escape(relative_to.as_posix())}/{file}")
        return _scalar((relative_to / file).as_posix())

    environment = Environment(
        loader=PackageLoader("syndb_pipeline.scaffold", ""),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.do"],
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "scalar": _scalar,
        "comment": _comment,
        "listed": partial(listed, most=1_000),
        "mapping": lambda item: f"{item.column}: {item.target}",
    }
    text = environment.get_template("config.yaml.jinja").render(
        schema=_schema_line(out),
        id=known.get("id") or _new_id(),
        known=known,
        licenses=[name for name in LICENSES if name != "ODC_BY"],
        tables=[_Table(guess) for guess in guesses],
        # Named even when it cannot be read: `check` refuses it until it can be.
        missed=[
            (
                table,
                f"{file.name}/" if file.is_dir() else file.name,
                file.is_file() and suffix(file) in SUFFIXES,
            )
            for table, file in missed.items()
        ],
        unused=unused,
        all_tables=TABLES,
        questions=questions,
        question=question,
        ask=ask,
        path=path,
        wrapped=_comment_lines,
    )
    return text, questions


class _Table:
    """One guess as the template needs it."""

    def __init__(self, guess: Guess) -> None:
        self.guess, self.name = guess, guess.table
        declared, candidate = TABLES[guess.table].columns, guess.candidate
        found = {item.target for item in guess.mapped}
        renamed = [item for item in guess.mapped if item.column != item.target]
        # A guess counts as it is written only where `check` holds it against the data.
        self.active = [each for each in renamed if each.sure or declared[each.target].kind in KEYS]
        self.guessed = [item for item in renamed if item not in self.active]
        self.lacks_unit = any(
            declared[each.target].dimension and not each.unit for each in self.guessed
        )
        self.units = {
            each.target: each.unit for each in self.active if each.unit not in (None, "nm")
        }
        required = [column.name for column in declared.values() if column.required]
        self.lacking = [name for name in required if name not in found] if candidate.columns else []
        self.has_key = "cid" in found
        self.nameless = [str(at) for at, name in enumerate(candidate.columns, start=1) if not name]
        self.unknown = [name for name in guess.unknown if name]
        self.server_fills = set(self.unknown) <= SERVER_COLUMNS
        self.several = [
            name for name in self.unknown if hold_several_numbers(candidate.values(name))
        ]
        self.lacks_parent = bool(
            guess.parents
            and self.name != "synapse"
            and candidate.columns
            and guess.column_of("parent_id") is None
        )
        self.names = [f"column_{number + 1}" for number in range(candidate.width)]

    @property
    def delimiter(self) -> str:
        """What separates the columns, as YAML, where `check` would not find it; else ""."""
        candidate = self.guess.candidate
        config = TableConfig(
            file="-",
            columns={item.column: item.target for item in self.active},
            header_row=candidate.header_row if candidate.columns else None,
            names=None if candidate.columns else self.names,
        )
        alike = reads_alike(candidate, TABLES[self.name], config)
        return "" if alike else json.dumps(candidate.delimiter)

    @cached_property
    def marks(self) -> dict[str, object]:
        """What commas and dots in numbers mean.

        `settings` say it where some number can be read in one way only. They are to be asked about
        where `column`, which holds them, is not mapped. Else `either` is a number of `column` that
        can be read in two ways. `mixed`: some numbers contradict others.
        """
        declared, candidate = TABLES[self.name].columns, self.guess.candidate
        kinds = {item.column: declared[item.target].kind for item in self.guess.mapped}
        measured = [column for column, kind in kinds.items() if kind in MEASURES]
        # What is not mapped is asked where nothing else says anything.
        for columns in (measured, self.unknown):
            found = {column: comma(candidate.values(column)) for column in columns}
            for column, (proved, _) in found.items():
                if not proved:
                    continue
                proved = set().union(*(each for each, _ in found.values()))
                marks = ['decimal: ","' if "decimal" in proved else 'thousands: ","']
                marks += ['thousands: "."'] if "dots" in proved else []
                # Of a column that is not mapped, 12,13 may be two ids.
                asked = "" if columns is measured else column
                mixed = {"decimal", "thousands"} <= proved
                return {"mixed": mixed, "either": "", "column": asked, "settings": marks}
            for column, (_, either) in found.items():
                if either:
                    return {"mixed": False, "either": either, "column": column, "settings": []}
        return {"mixed": False, "either": "", "column": "", "settings": []}

    def note(self, item: Mapped) -> str:
        """What to think of before a guessed mapping is taken over, as a comment."""
        column = TABLES[self.name].columns[item.target]
        if column.dimension and item.unit != "nm":
            unit = (
                f"with units: {{{item.target}: {item.unit}}}" if item.unit else f"in {column.unit}?"
            )
            return f"   # {unit}"
        return "   # SynDB's name for serotonin" if item.target == "serine" else ""


def _new_id() -> str:
    with duckdb.connect() as connection:
        return str(connection.execute("SELECT uuidv7()").fetchall()[0][0])


def _schema_line(out: Path) -> str:
    """Where an editor finds the schema of the config `out`."""
    line = "# yaml-language-server: $schema="
    for folder in out.parents:
        if (folder / SCHEMA).is_file():
            return line + Path(os.path.relpath(folder / SCHEMA, out.parent)).as_posix()
    help_line = "# For help while editing: syndb-pipeline schema > dataset.schema.json"
    return f"{help_line}\n{line}dataset.schema.json"


def _comment_lines(text: str, indent: int) -> str:
    """`text` in lines of a comment, those after the first one further in."""
    start = f"{' ' * indent}# "
    return _wrapped(text, start, f"{start}  ")


def _comment(text: str, longest: int = 120) -> str:
    return " ".join(text.split())[:longest]


def _scalar(text: str) -> str:
    """`text` as YAML, quoted unless it is plain for every reader of YAML."""
    plain = re.fullmatch(r"[A-Za-z_./][\w./ -]*", text) and text == text.strip()
    words = {"yes", "no", "on", "off", "true", "false", "null"}
    if plain and text.lower() not in words and not re.match(r"\.(\d|inf|nan)", text.lower()):
        return text
    return json.dumps(text, ensure_ascii=False)
