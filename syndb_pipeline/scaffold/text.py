"""A first config as YAML text, with `# QUESTION:` wherever only a person knows.

Belongs here: how the YAML is laid out and what is asked. Does not: the guesses (`guess.py`).
"""

from __future__ import annotations

import glob
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap

import duckdb
import yaml

from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import SERVER_COLUMNS, TABLES, Column
from syndb_pipeline.contract.vocabularies import LICENSES
from syndb_pipeline.readers.files import suffix
from syndb_pipeline.scaffold.columns import KEYS, MEASURES, Mapped
from syndb_pipeline.scaffold.guess import Guess
from syndb_pipeline.scaffold.peek import SUFFIXES, reads_alike
from syndb_pipeline.scaffold.values import comma, hold_several_numbers

SCHEMA = Path("config/schema/dataset.schema.json")

_METADATA = """\
dataset:
  id: {id}   # new; an existing dataset's id would select that one
  label:                       # QUESTION: {label}
  notes: ""                    # up to 280 characters about the data
  license: ODC_BY              # QUESTION: {license}
                               # or: {licenses}
  animal:                      # QUESTION: {animal}
  microscopy:                  # QUESTION: {microscopy}
  brain_regions:
    - structure:               # QUESTION: {structure}
      direction: "null"        # e.g. dorsal, anterior; "null" when it does not apply
  mutations: []                # e.g. [{{gene: ABC, expression: knock-out}}]
  publications: []             # DOIs, e.g. ["10.1126/science.add9330"]
"""

_QUESTIONS = {
    "label": "its name, up to 120 characters",
    "license": "SynDB's default; do you agree?",
    "animal": "which animal? e.g. MUS_MUSCULUS",
    "microscopy": "which microscopy? e.g. ssTEM",
    "structure": "which? e.g. cortex; one per dataset",
}

_TERMS = """\
# QUESTION: {terms}
# terms:
#   accepted_by:               # your name
#   accepted_on:               # the day, e.g. 2026-01-31
#   accurate:                  # true: the data are not false or misleading
#   redistributable:           # true: you may redistribute them
#   license_agreed:            # true: you agree to the licence above

publish:
  destination: local
  approval: manual             # standing: the person of `terms` consents to unattended runs
"""

_TERMS_QUESTION = "a person accepts SynDB's terms before anything is published; fill in"

_WIDTH = 80
_TABLE = " " * 4
_COLUMN = " " * 6
_ASKED = {
    "cid": "is this the key of a row?",
    "parent_id": "is this the key of the parent?",
    "neuron_id": "is this the key of the neuron?",
    "pre_synapse_id": "is this the sending end?",
    "post_synapse_id": "is this the receiving end?",
}


@dataclass
class _Writer:
    """Lines of the YAML and the questions in them. `where` is the place in the config that is
    written now.
    """

    lines: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    where: str = ""

    def ask(self, indent: str, question: str, key: str) -> None:
        """Write `question` as a comment, and remember that it is about `key` of the table."""
        question = " ".join(
            question.split()
        )  # a file's or column's name may hold a line break, which would end the comment
        self.questions.append(f"{self.where}.{key}: {question}")
        self.lines += _commented(f"{indent}# ", f"QUESTION: {question}")

    def offer(self, indent: str, *settings: str) -> None:
        """Write settings that count once a person removes the # before them."""
        self.lines += [f"{indent}# {setting}" for setting in settings]

    def set(self, *settings: str) -> None:
        self.lines += [f"{_TABLE}{setting}" for setting in settings]


def _commented(start: str, text: str) -> list[str]:
    """`text` in lines of a comment that begin with `start`, those after the first one further
    in.
    """
    return wrap(
        text,
        _WIDTH,
        initial_indent=start,
        subsequent_indent=f"{start}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


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
    writer = _Writer(
        [
            *_schema_line(out),
            _METADATA.format(id=_new_id(), licenses=", ".join(_other_licenses()), **_QUESTIONS),
            "tables:",
        ]
    )
    writer.questions += [
        f"dataset.{key if key != 'structure' else 'brain_regions'}: {question}"
        for key, question in _QUESTIONS.items()
    ]
    for guess in guesses:
        _table(writer, guess, relative_to)
    asked_about = set()
    for table, path in missed.items():
        writer.where = f"tables.{table}"
        name = f"{path.name}/" if path.is_dir() else path.name
        if suffix(path) in SUFFIXES and path.is_file():
            # Named all the same, so that no table is left out unnoticed: `check` refuses it until
            # it can be read.
            writer.lines.append(f"  {table}:")
            writer.ask(_TABLE, f"{name} cannot be read as it is ({unused[name]})", "file")
            writer.set(f"file: {_path(relative_to, glob.escape(name))}")
        else:
            writer.ask(
                "  ",
                f"by its name {name} is the table {table}; it is not used ({unused[name]})",
                "file",
            )
        asked_about.add(name)
    if not guesses and not missed:
        writer.where = "tables"
        writer.ask(
            "  ",
            f"no file looks like a SynDB table; name them yourself, as any of {', '.join(TABLES)}",
            "*",
        )
    for file, reason in unused.items():
        if file not in asked_about:
            writer.lines += _commented(
                "  # ", f"not used: {_comment(file)} ({_comment(reason, 400)})"
            )
    writer.questions.append(f"terms: {_TERMS_QUESTION}")
    return "\n".join([*writer.lines, "", _TERMS.format(terms=_TERMS_QUESTION)]), writer.questions


def _path(folder: Path, file: str) -> str:
    """`file`, a name or glob in `folder`, as YAML."""
    if folder != Path() and glob.has_magic(file):
        return _scalar(f"{glob.escape(folder.as_posix())}/{file}")
    return _scalar((folder / file).as_posix())


def _other_licenses() -> list[str]:
    return [name for name in LICENSES if name != "ODC_BY"]


def _schema_line(out: Path) -> list[str]:
    for folder in out.parents:
        if (folder / SCHEMA).is_file():
            return [
                "# yaml-language-server:"
                f" $schema={Path(os.path.relpath(folder / SCHEMA, out.parent)).as_posix()}"
            ]
    return [
        "# For help while editing: syndb-pipeline schema > dataset.schema.json",
        "# yaml-language-server: $schema=dataset.schema.json",
    ]


def _new_id() -> str:
    with duckdb.connect() as connection:
        (value,) = connection.execute("SELECT uuidv7()::VARCHAR").fetchone() or ("",)
    return str(value)


def _table(writer: _Writer, guess: Guess, folder: Path) -> None:
    writer.where = f"tables.{guess.table}"
    writer.lines.append(f"  {guess.table}:")
    _file(writer, guess, folder)
    active = {
        item.column: item.target
        for item in guess.mapped
        if item.column != item.target and _is_active(item, guess)
    }
    _reading(writer, guess, active)
    _columns(writer, guess)
    _relations(writer, guess)


def _file(writer: _Writer, guess: Guess, folder: Path) -> None:
    """Which file, and which sheet; without one while a person has to choose, for none of several is
    more right than another.
    """

    if guess.doubt:
        writer.ask(_TABLE, guess.doubt, "file")
    if guess.lesser:
        one = len(guess.lesser) == 1
        lesser = (
            f"{_and(guess.lesser)} {'looks' if one else 'look'} like this table too, but less, and"
            f" {'is' if one else 'are'} not used"
        )
        writer.ask(_TABLE, f"{lesser}. Is that right?", "file")
    if guess.choices and not guess.chooses_sheet:
        for choice in guess.choices:
            sheet = f"   # with sheet: {_scalar(choice.sheet)}" if choice.sheet else ""
            writer.offer(_TABLE, f"file: {_path(folder, choice.file)}{sheet}")
        return
    writer.set(f"file: {_path(folder, guess.file)}")
    if guess.chooses_sheet:
        sheets = [choice.sheet or "" for choice in guess.choices]
        writer.ask(
            _TABLE,
            f"which sheet? {_and(sheets)} fit, as releases, versions or parts of one table do."
            " Remove the # of one line",
            "sheet",
        )
        writer.offer(_TABLE, *(f"sheet: {_scalar(sheet)}" for sheet in sheets))
    elif guess.candidate.sheet is not None:
        writer.set(
            f"sheet: {_scalar(guess.candidate.sheet)}   # of"
            f" {_comment(', '.join(guess.candidate.sheets))}"
        )


def _reading(writer: _Writer, guess: Guess, active: dict[str, str]) -> None:
    """How the file is read, where `check` would not find it by itself."""
    candidate = guess.candidate
    if candidate.readings is not None:
        choice = (
            "in which encoding is it? Remove the # of the one that reads right"
            if candidate.readings
            else "name its `encoding`"
        )
        writer.ask(_TABLE, f"not UTF-8; {choice}", "encoding")
        for name, text in candidate.readings:
            writer.offer(_TABLE, f"encoding: {name}   # {_comment(text, 40)}")
    elif candidate.encoding not in ("utf-8", "utf-8-sig"):
        writer.set(f"encoding: {candidate.encoding}")
    names = [f"column_{number + 1}" for number in range(candidate.width)]
    if not candidate.columns:
        writer.ask(
            _TABLE,
            "there seems to be no header. What are the columns of:"
            f" {_comment(', '.join(candidate.rows[0]))}?",
            "names",
        )
        writer.set("header_row: null", f"names: [{', '.join(names)}]")
        # An edge list without header is sender, receiver and, third, how strong.
        likely = ["pre_synapse_id", "post_synapse_id", "connection_score"][: candidate.width]
        if guess.table == "neuron_relation" and candidate.width == len(likely):
            writer.lines[-1] += "   # perhaps:"
            writer.offer(_TABLE, f"names: [{', '.join(likely)}]")
    elif candidate.header_row != 1:
        writer.set(f"header_row: {candidate.header_row}")
    config = TableConfig(
        file="-",
        columns=dict(active),
        header_row=candidate.header_row if candidate.columns else None,
        names=None if candidate.columns else names,
    )
    if not reads_alike(candidate, TABLES[guess.table], config):
        writer.set(f"delimiter: {json.dumps(candidate.delimiter)}")
    _numbers(writer, guess)


def _numbers(writer: _Writer, guess: Guess) -> None:
    """What commas and dots in numbers mean: a fact where some number can be read in one way only,
    else a question.
    """
    declared, candidate = TABLES[guess.table].columns, guess.candidate
    measured = [item.column for item in guess.mapped if declared[item.target].kind in MEASURES]
    for columns in (
        measured,
        [name for name in guess.unknown if name],
    ):  # what is not mapped speaks where nothing else does
        found = {column: comma(candidate.values(column)) for column in columns}
        proved = set().union(*(each for each, _ in found.values()))
        asked = next(((column, value) for column, (_, value) in found.items() if value), None)
        if {"decimal", "thousands"} <= proved:
            why = (
                "commas group thousands in some numbers and are decimal marks in others; write all"
                " in one way, in the file"
            )
            writer.ask(_TABLE, why, "decimal")
        elif proved and columns is measured:
            writer.set(*_marks(proved))
        elif proved:
            # Of a column that is not mapped it is not known that it holds numbers: 12,13 may be two
            # ids.
            column = next(column for column, (each, _) in found.items() if each)
            writer.ask(_TABLE, f"is {column} a column of numbers? Then remove the #", "decimal")
            writer.offer(_TABLE, *_marks(proved))
        elif asked:
            column, value = asked
            writer.ask(
                _TABLE,
                f"is the comma in {value} ({column}) a decimal mark, or does it group thousands?"
                " Remove one #",
                "decimal",
            )
            decimal, whole = value.replace(",", "."), value.replace(",", "")
            writer.offer(
                _TABLE,
                f'decimal: ","     # {value} is {decimal}',
                f'thousands: ","   # {value} is {whole}',
            )
        if proved or asked:
            return


def _marks(proved: set[str]) -> list[str]:
    """The settings that say what commas and dots were proved to mean."""
    return [
        'decimal: ","' if "decimal" in proved else 'thousands: ","',
        *(['thousands: "."'] if "dots" in proved else []),
    ]


def _is_active(item: Mapped, guess: Guess) -> bool:
    """Whether a mapping counts as it is written. A guess does only where `check` holds it against
    the data: keys and references.
    """
    return item.sure or TABLES[guess.table].columns[item.target].kind in KEYS


def _columns(writer: _Writer, guess: Guess) -> None:
    table = TABLES[guess.table]
    renamed = [item for item in guess.mapped if item.column != item.target]
    active = [item for item in renamed if _is_active(item, guess)]
    guessed = [item for item in renamed if not _is_active(item, guess)]
    if active:
        writer.set("columns:")
    for item in active:
        doubt = (
            ""
            if item.sure
            else f"   # QUESTION: {_ASKED.get(item.target, f'is it {item.target}?')}"
        )
        writer.lines.append(f"{_COLUMN}{_scalar(item.column)}: {item.target}{doubt}")
        if doubt:
            writer.questions.append(
                f"{writer.where}.columns: is {item.column} really {item.target}?"
            )
    _guessed(writer, guess, guessed, inside=bool(active))
    units = {item.target: item.unit for item in active if item.unit and item.unit != "nm"}
    if units:
        writer.set(f"units: {{{', '.join(f'{column}: {unit}' for column, unit in units.items())}}}")
    found = {item.target for item in guess.mapped}
    for column in table.columns.values():
        if guess.candidate.columns and column.required and column.name not in found:
            way_out = ""
            if guess.table == "synapse":
                way_out = (
                    ". If rows are connections of two neurons, not single synapses, call the table"
                    " neuron_relation"
                )
            writer.ask(
                _TABLE,
                f"no column looks like {column.name}; which one is it? Add it to"
                f" `columns`{way_out}",
                "columns",
            )
    nameless = [
        str(number) for number, name in enumerate(guess.candidate.columns, start=1) if not name
    ]
    if len(nameless) == 1:
        keys = (
            ""
            if "cid" in found
            else ' if it holds the keys of the rows, map it: `columns: {"": cid}`;'
        )
        writer.ask(
            _TABLE,
            f"column {nameless[0]} has no name, which is refused;{keys} to leave it out: `ignore:"
            ' [""]`',
            "columns",
        )
    elif nameless:
        writer.ask(
            _TABLE,
            f"columns {_and(nameless)} have no name, which is refused; name them in the file",
            "file",
        )
    _unknown(writer, guess)


def _guessed(writer: _Writer, guess: Guess, guessed: list[Mapped], *, inside: bool) -> None:
    """Mappings that nothing but a name suggests, for a person to take over. `inside`: below
    `columns:`, which is written already.
    """
    if not guessed:
        return
    listed = ", ".join(f"{item.column}: {item.target}" for item in guessed)
    question = "guesses from the names; remove the # of those that are right"
    columns = TABLES[guess.table].columns
    if any(columns[item.target].dimension and not item.unit for item in guessed):
        question += (
            ". Which unit? SynDB takes nm: give others with `units`; multiply voxels by the size"
            " of one"
        )
    writer.questions.append(f"{writer.where}.columns: {listed}: {question}")
    writer.lines += _commented(f"{_COLUMN if inside else _TABLE}# ", f"QUESTION: {question}")
    if not inside:
        writer.offer(_TABLE, "columns:")
    for item in guessed:
        setting, note = f"{_scalar(item.column)}: {item.target}", _note(item, columns[item.target])
        writer.offer(*((_COLUMN, f"{setting}{note}") if inside else (_TABLE, f"  {setting}{note}")))


def _note(item: Mapped, column: Column) -> str:
    if column.dimension and item.unit != "nm":
        return (
            f"   # with units: {{{item.target}: {item.unit}}}"
            if item.unit
            else f"   # in {column.unit}?"
        )
    return "   # SynDB's name for serotonin" if item.target == "serine" else ""


def _unknown(writer: _Writer, guess: Guess) -> None:
    unknown = [name for name in guess.unknown if name]
    if not unknown:
        return
    why = (
        "SynDB does not know these columns; map them with `columns`, or remove the # to leave"
        " them out"
    )
    if set(unknown) <= SERVER_COLUMNS:
        why = "SynDB's server fills these itself; remove the # to leave them out"
    elif several := [
        name for name in unknown if hold_several_numbers(guess.candidate.values(name))
    ]:
        why += f" ({_and(several[:3])}: several numbers in one cell, to be split first)"
    writer.ask(_TABLE, why, "ignore")
    writer.lines += wrap(
        f"ignore: [{', '.join(map(_scalar, unknown))}]",
        _WIDTH,
        initial_indent=f"{_TABLE}# ",
        subsequent_indent=f"{_TABLE}#   ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _relations(writer: _Writer, guess: Guess) -> None:
    unrelated = guess.candidate.columns and guess.column_of("parent_id") is None
    if guess.parents and guess.table != "synapse" and unrelated:
        hint = f" ({_and(guess.hints[:2])})" if guess.hints else ""
        writer.ask(
            _TABLE,
            f"which column holds the parent's cid? Map it to parent_id in `columns`{hint}",
            "columns",
        )
    elif len(guess.parents) > 1:
        # Not asked: `check` sees from the keys which table it is, and asks only when they fit
        # several.
        others = f"{', '.join(guess.parents[:-1])} or {guess.parents[-1]}"
        writer.lines += _commented(
            f"{_TABLE}# ", f"only if `check` asks which table parent_id means, {others}:"
        )
        writer.offer(_TABLE, f"parent: {guess.parents[0]}")


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _comment(text: str, longest: int = 120) -> str:
    return " ".join(text.split())[:longest]


def _scalar(text: str) -> str:
    """`text` as YAML, quoted unless it is plain everywhere."""
    if (
        re.fullmatch(r"[A-Za-z_./][\w./ -]*", text)
        and text == text.strip()
        and yaml.safe_load(text) == text
    ):
        return text
    return json.dumps(text, ensure_ascii=False)
