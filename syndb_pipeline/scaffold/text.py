"""A first config as YAML text, with `# QUESTION:` wherever only a person knows.

Belongs here: how the YAML is laid out and what is asked. Does not: the guesses (`guess.py`).
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import duckdb
import yaml

from syndb_pipeline.contract.tables import SERVER_COLUMNS, TABLES
from syndb_pipeline.scaffold.guess import Guess, Mapped

SCHEMA = Path("config/schema/dataset.schema.json")
_SELF_EVIDENT = {".csv": ",", ".tsv": "\t"}

_METADATA = """\
dataset:
  id: {id}   # new; an existing dataset's id would select that one
  label:                       # QUESTION: {label}
  notes: ""                    # up to 280 characters about the data
  license: ODC_BY              # QUESTION: {license}
  animal:                      # QUESTION: {animal}
  microscopy:                  # QUESTION: {microscopy}
  brain_regions:
    - structure:               # QUESTION: {structure}
      direction: "null"        # e.g. dorsal, anterior; "null" when it does not apply
  mutations: []                # e.g. [{{gene: ABC, expression: knock-out}}]
  publications: []             # DOIs, e.g. ["10.1126/science.add9330"]
"""

_QUESTIONS = {
    "label": "the dataset's name, up to 120 characters",
    "license": "SynDB's default; do you agree, or which of CC0, CC_BY, CC_BY_SA, CC_BY_NC, CC_BY_NC_SA, PDDL, ODC_BY, ODC_ODbL?",
    "animal": "which animal? e.g. MUS_MUSCULUS",
    "microscopy": "which microscopy? e.g. ssTEM, FIB-SEM",
    "structure": "which brain structure? e.g. cortex, ca1; split the data into several datasets if regions differ",
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

_TERMS_QUESTION = "a person accepts SynDB's terms here before anything is published; remove the # and fill in"


def config_text(guesses: list[Guess], *, relative_to: Path, unused: dict[str, str], out: Path) -> tuple[str, list[str]]:
    """The YAML and its questions. `relative_to` is the tables' folder as seen from the config `out`."""
    questions = [f"dataset.{key if key != 'structure' else 'brain_regions'}: {question}" for key, question in _QUESTIONS.items()]
    lines = [*_schema_line(out), _METADATA.format(id=_new_id(), **_QUESTIONS), "tables:"]
    for guess in guesses:
        lines += _table(guess, relative_to, questions)
    if not guesses:
        lines += _ask(questions, "  ", "no file looks like a SynDB table; name them yourself", f"tables: any of {', '.join(TABLES)}")
    for file, reason in unused.items():
        lines.append(f"  # not used: {_comment(f'{file} ({reason})')}")
    questions.append(f"terms: {_TERMS_QUESTION}")
    return "\n".join([*lines, "", _TERMS.format(terms=_TERMS_QUESTION)]), questions


def _schema_line(out: Path) -> list[str]:
    for folder in out.parents:
        if (folder / SCHEMA).is_file():
            return [f"# yaml-language-server: $schema={Path(os.path.relpath(folder / SCHEMA, out.parent)).as_posix()}"]
    return ["# For help while editing: syndb-pipeline schema > dataset.schema.json", "# yaml-language-server: $schema=dataset.schema.json"]


def _new_id() -> str:
    with duckdb.connect() as connection:
        (value,) = connection.execute("SELECT uuidv7()::VARCHAR").fetchone() or ("",)
    return str(value)


def _ask(questions: list[str], indent: str, question: str, where: str) -> list[str]:
    question = " ".join(question.split())  # a file's or column's name may hold a line break, which would end the comment
    questions.append(f"{where}: {question}")
    return [f"{indent}# QUESTION: {question}"]


def _table(guess: Guess, folder: Path, questions: list[str]) -> list[str]:
    where, candidate = f"tables.{guess.table}", guess.candidate
    lines = [f"  {guess.table}:"]
    others = [str(other) for other in guess.also if other.path != candidate.path]
    if others:
        other = "other files look" if len(others) > 1 else "another file looks"
        question = f"{other} like this table too: {', '.join(others)}; is {candidate.path.name} the right one?"
        lines += _ask(questions, "    ", question, f"{where}.file")
    lines.append(f"    file: {_scalar((folder / guess.file).as_posix())}")
    if candidate.sheets:
        rivals = [other.sheet for other in guess.also if other.path == candidate.path]
        if rivals:
            lines += _ask(questions, "    ", f"which sheet? {guess.sheet} and {' and '.join(map(str, rivals))} fit", f"{where}.sheet")
        lines.append(f"    sheet: {_scalar(guess.sheet or '')}   # of {_comment(', '.join(candidate.sheets))}")
    lines += _reading(guess, questions, where)
    lines += _columns(guess, questions, where)
    lines += _relations(guess, questions, where)
    return lines


def _reading(guess: Guess, questions: list[str], where: str) -> list[str]:
    candidate, lines = guess.candidate, []
    if candidate.delimiter in ("|", " ") and candidate.delimiter != _SELF_EVIDENT.get(candidate.path.suffix.lower()):
        lines.append(f"    delimiter: {json.dumps(candidate.delimiter)}")
    if candidate.encoding == "cp1252":
        lines += _ask(questions, "    ", "the file is no UTF-8; is this its encoding?", f"{where}.encoding")
        lines.append("    encoding: cp1252")
    elif candidate.encoding != "utf-8":
        lines.append(f"    encoding: {candidate.encoding}")
    if candidate.decimal == ",":
        lines.append('    decimal: ","')
    if not candidate.columns:
        first = ", ".join(candidate.rows[0])
        lines += _ask(questions, "    ", f"there seems to be no header; what are the columns of: {_comment(first)}", f"{where}.names")
        # An edge list without header is sender, receiver and, third, how strong.
        edges = (
            ["pre_synapse_id", "post_synapse_id", "connection_score"] if guess.table == "neuron_relation" and candidate.width <= 3 else []
        )
        names = [*edges, *(f"column_{n + 1}" for n in range(len(edges), candidate.width))][: candidate.width]
        lines += ["    header_row: null", f"    names: [{', '.join(names)}]"]
    return lines


def _columns(guess: Guess, questions: list[str], where: str) -> list[str]:
    lines = []
    renamed = [item for item in guess.mapped if item.column != item.target]
    if renamed:
        lines.append("    columns:")
        for item in renamed:
            lines.append(f"      {_scalar(item.column)}: {item.target}" + _doubt(item, questions, where))
    units = {item.target: item.unit for item in guess.mapped if item.unit}
    if units:
        lines.append(f"    units: {{{', '.join(f'{column}: {unit}' for column, unit in units.items())}}}")
    found = {item.target for item in guess.mapped}
    table = TABLES[guess.table]
    for column in table.columns.values():
        if guess.candidate.columns and column.required and column.name not in found:
            lines += _ask(
                questions, "    ", f"no column looks like {column.name}; which one is it? Add it to `columns`", f"{where}.columns"
            )
    nameless = [str(number) for number, name in enumerate(guess.candidate.columns, start=1) if not name]
    if nameless:
        why = f"column {', '.join(nameless)} has no name, which is refused; name it in the file, e.g. cid if it holds the rows' keys"
        lines += _ask(questions, "    ", why, f"{where}.file")
    unknown = [name for name in guess.unknown if name]
    if unknown:
        listed = ", ".join(_scalar(name) for name in unknown)
        why = "SynDB does not know these columns; map them with `columns`, or remove the # to leave them out"
        if set(unknown) <= SERVER_COLUMNS:
            why = "SynDB's server fills these itself; remove the # to leave them out"
        lines += _ask(questions, "    ", why, f"{where}.ignore")
        lines.append(f"    # ignore: [{listed}]")
    return lines


def _doubt(item: Mapped, questions: list[str], where: str) -> str:
    if item.sure:
        return ""
    questions.append(f"{where}.columns: is {item.column} really {item.target}?")
    return f"   # QUESTION: a guess from the name; is it {item.target}?"


def _relations(guess: Guess, questions: list[str], where: str) -> list[str]:
    lines: list[str] = []
    unrelated = guess.candidate.columns and not any(m.target == "parent_id" for m in guess.mapped)
    if guess.parents and guess.table != "synapse" and unrelated:
        lines += _ask(questions, "    ", "which column holds the parent's cid? Map it to parent_id in `columns`", f"{where}.columns")
    elif len(guess.parents) > 1:
        # Not asked: `check` sees from the keys which table it is, and asks only when they fit several.
        lines.append(f"    # parent: {guess.parents[0]}   # only if `check` asks which table parent_id means: {' or '.join(guess.parents)}")
    return lines


def _comment(text: str) -> str:
    return " ".join(text.split())[:120]


def _scalar(text: str) -> str:
    """`text` as YAML, quoted unless it is plain everywhere."""
    if re.fullmatch(r"[A-Za-z_./][\w./ -]*", text) and text == text.strip() and yaml.safe_load(text) == text:
        return text
    return json.dumps(text, ensure_ascii=False)
