"""Header rows that were read as rows: a header the config denies, further header rows below the
first.

Belongs here: judging the first rows of each file by their words. Does not: headers further down,
taking rows out (`stray_rows.py`).

A header row has words where the rows below have numbers, or words that name columns. A single word
says little: a lab may call one of its neurons anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from syndb_pipeline.base.engine import literal, quote
from syndb_pipeline.checks.causes import read as read_causes
from syndb_pipeline.checks.dataset import JustRead
from syndb_pipeline.contract.key_encoding import is_number, rows_of
from syndb_pipeline.contract.no_value import IN_NUMBERS
from syndb_pipeline.contract.tables import Column, Kind
from syndb_pipeline.readers import casts

_MOST: Final = 10
"""Rows of a file that may be its header."""

_ENOUGH: Final = 2.0
"""Points (`_points`) that make a header row of one that can be."""

_WORDS: Final = frozenset(
    read_causes(Path(__file__).with_name("stray_rows.toml"))["macros"]["names"].split()
)
"""Words of column names of such tables."""

_NUMERIC: Final = (Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN)
_KEYS: Final = (Kind.KEY, Kind.REFERENCE)
_FORMS: Final = {r"[+-]?[0-9]+(\.0+)?": 1.0, ".*[0-9].*": 0.5}
"""Forms of the keys below from which a word differs -> points for it, the surest first."""

_NO_WORDS: Final = frozenset(
    {*IN_NUMBERS, "nan", "inf", "true", "false", "yes", "no", "t", "f", "y"}
)
_DAMAGED: Final = re.compile(r"[-+.(]?[0-9]")
"""How a number begins, and a damaged one too."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A row: the text of each column that has one, and in which of them it could not be cast."""

    texts: Mapping[str, str]
    bad: frozenset[str]


def first_rows(read: JustRead) -> list[list[int]]:
    """The numbers of the rows that are looked at: for each part its first ones."""
    return [
        list(range(start, start + min(part.rows, _MOST + 1)))
        for start, part in zip(read.starts, read.parts, strict=False)
    ]


def find(read: JustRead, known: Mapping[int, str]) -> list[tuple[int, dict[str, str]]]:
    """The rows that are header rows, each with the texts of its cells that could not be cast.

    `known` gives the rows that are none of data already, and why.
    """
    if not read.has_cells and not _begins_with_word(read):
        return []
    found: list[tuple[int, dict[str, str]]] = []
    numbers = first_rows(read)
    looked_at = _rows(read, [row for each in numbers for row in each])
    for part in numbers:
        rows = [looked_at[row] for row in part]
        heads = (
            at for at, row in enumerate(part) if row not in known and not _may_be(read, rows[at])
        )
        # Where all look alike, as names without numbers do, only what the first one says
        # distinguishes it from others.
        head = next(heads, 1)
        evident = [
            at
            for at, row in enumerate(part[:head])
            if known.get(row) in ("units", "types", "header", "order")
            or _points(read, rows[at], rows[head:]) >= _ENOUGH
        ]
        for number, row in zip(part[: max(evident, default=-1) + 1], rows, strict=False):
            if number not in known:
                found.append((number, {name: row.texts[name] for name in row.bad}))
    return found


def _begins_with_word(read: JustRead) -> bool:
    """Whether the first row of a part has a word in a column of keys that are not all whole
    numbers: its rows are worth a look."""
    columns = [
        lab
        for name, lab in read.names.items()
        if read.table.columns[name].kind in _KEYS and not is_number(read.file, name)
    ]
    return any(
        _is_word(text)
        for part in read.parts
        for lab, text in zip(part.names, part.first, strict=False)
        if lab in columns
    )


def _is_word(text: str) -> bool:
    return any(map(str.isalpha, text)) and not any(map(str.isdigit, text))


def tokens(text: str) -> set[str]:
    """The words in a column name, in small letters: of `preSynapse_ID` pre, synapse and id."""
    parts = re.split(r"[\W_0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text))
    return {part.casefold() for part in parts if part}


def _rows(read: JustRead, numbers: list[int]) -> dict[int, _Row]:
    """Some rows by their numbers."""
    columns = ", ".join(f"{quote(name)}::VARCHAR" for name in read.names)
    found = {}
    for number, values, cells in read.fetch(
        f"""SELECT file_row_number, [{columns}], {casts.cells_of()}
            FROM {rows_of(read.file, row_number=True)}
            WHERE list_contains({literal(numbers)}::BIGINT[], file_row_number)
                AND file_row_number <= {max(numbers, default=0)}"""
    ):
        uncast = {cell["col"]: cell["raw"] for cell in cells or () if cell["kind"] == "uncast"}
        texts = {**dict(zip(read.names, values, strict=True)), **uncast}
        stripped = {name: (text or "").strip(casts.WHITE_SPACE) for name, text in texts.items()}
        known = {name: text for name, text in stripped.items() if text}
        found[number] = _Row(known, frozenset(uncast))
    return found


def _may_be(read: JustRead, row: _Row) -> bool:
    """Whether `row` can be one of a header: no number where numbers belong, and keys that are
    words.
    """
    kinds = {name: read.table.columns[name].kind for name in row.texts}
    for name, text in row.texts.items():
        if kinds[name] in _NUMERIC and (name not in row.bad or _DAMAGED.match(text)):
            return False
        if kinds[name] in _KEYS and not _is_word(text):
            return False
    return any(kind in (*_NUMERIC, *_KEYS) for kind in kinds.values())


def _points(read: JustRead, row: _Row, below: Sequence[_Row]) -> float:
    """How much says that `row` is one of a header, `below` being rows of data."""
    points = 1.0 if read.config.header_row is None else 0.0
    wrong = {name for cells in below for name in cells.bad}
    words = {text.casefold() for name, text in row.texts.items() if name in row.bad - wrong}
    words -= _NO_WORDS
    points += len(words)
    for name, text in row.texts.items():
        column = read.table.columns[name]
        named = _names_column(read, text, column)
        if column.kind in _KEYS:
            others = [cells.texts[name] for cells in below if name in cells.texts]
            forms = (worth for form, worth in _FORMS.items() if _are(read, name, others, form))
            points += next(forms, 0)
            points += named and text not in others and not _is_elsewhere(read, name, text)
        else:
            points += named and (column.kind not in _NUMERIC or text.casefold() in words)
    return points


def _names_column(read: JustRead, text: str, column: Column) -> bool:
    """Whether the words of `text` are those of column names, for keys, or of the name of
    `column`.
    """
    names = (column.name, read.names[column.name], *column.aliases)
    own = {part for name in names for part in tokens(name)}
    return bool(said := tokens(text)) and said <= (own | _WORDS if column.kind in _KEYS else own)


def _below(read: JustRead) -> str:
    """A FROM item of the rows below the first ones of their files, and WHERE before a condition."""
    first = literal([row for rows in first_rows(read) for row in rows])
    return f"{read.source} WHERE NOT list_contains({first}::BIGINT[], file_row_number) AND"


def _are(read: JustRead, name: str, others: Sequence[str], form: str) -> bool:
    """Whether the keys `others` of column `name`, and nine in ten of those further below, have the
    form.
    """
    if not others or not all(re.fullmatch(form, other, re.DOTALL) for other in others):
        return False
    key = f"{quote(name)}::VARCHAR"
    fit = f"count(*) FILTER (regexp_full_match({key}, {literal(form)})) * 10"
    return bool(read.row(f"SELECT {fit} >= count({key}) * 9 FROM {_below(read)} TRUE")[0])


def _is_elsewhere(read: JustRead, name: str, text: str) -> bool:
    """Whether a row below the first ones of its file has the key `text` in column `name`."""
    return read.some(f"FROM {_below(read)} {quote(name)}::VARCHAR = {literal(text)}")
