"""A first config as YAML text, with `# QUESTION:` wherever only a person knows.

Belongs here: what the template `config.yaml.jinja` needs to know. Does not: its words, or the
guesses (`guess.py`).
"""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from textwrap import wrap

import duckdb
from jinja2 import Environment, PackageLoader, StrictUndefined

from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import SERVER_COLUMNS, TABLES
from syndb_pipeline.contract.vocabularies import LICENSES
from syndb_pipeline.readers.formats import suffix
from syndb_pipeline.scaffold.columns import KEYS, MEASURES, Mapped
from syndb_pipeline.scaffold.guess import Guess
from syndb_pipeline.scaffold.names import comma, hold_several_numbers, listed
from syndb_pipeline.scaffold.peek import SUFFIXES, reads_alike

SCHEMA = Path("config/schema/dataset.schema.json")
_WIDTH = 80


def config_text(
    guesses: list[Guess],
    *,
    relative_to: Path,
    missed: dict[str, Path],
    unused: dict[str, str],
    out: Path,
) -> tuple[str, list[str]]:
    """The YAML and its questions.

    Args:
        guesses: the tables.
        relative_to: the tables' folder as seen from the config.
        missed: tables whose files, by their names, cannot be read.
        unused: every file that is not used, with the reason.
        out: where the config goes.
    """
    questions: list[str] = []

    def question(key: str, text: str) -> str:
        text = " ".join(text.split())  # a name may hold a line break, which would end the comment
        questions.append(f"{key}: {text}")
        return f"QUESTION: {text}"

    def ask(
        key: str, text: str = "", indent: int = 4, *, caller: Callable[[], str] | None = None
    ) -> str:
        asked = _wrapped(question(key, caller() if caller else text), indent)
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
        id=_new_id(),
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
        wrapped=_wrapped,
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


def _wrapped(text: str, indent: int) -> str:
    """`text` in lines of a comment, those after the first one further in."""
    start = f"{' ' * indent}# "
    lines = wrap(
        text,
        _WIDTH,
        initial_indent=start,
        subsequent_indent=f"{start}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)


def _comment(text: str, longest: int = 120) -> str:
    return " ".join(text.split())[:longest]


def _scalar(text: str) -> str:
    """`text` as YAML, quoted unless it is plain for every reader of YAML."""
    plain = re.fullmatch(r"[A-Za-z_./][\w./ -]*", text) and text == text.strip()
    words = {"yes", "no", "on", "off", "true", "false", "null"}
    if plain and text.lower() not in words and not re.match(r"\.(\d|inf|nan)", text.lower()):
        return text
    return json.dumps(text, ensure_ascii=False)
