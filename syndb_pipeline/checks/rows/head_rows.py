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
from syndb_pipeline.checks.causes import read
from syndb_pipeline.checks.dataset import JustRead
from syndb_pipeline.contract.key_encoding import is_number, rows_of
from syndb_pipeline.contract.no_value import IN_NUMBERS
from syndb_pipeline.contract.tables import Column, Kind
from syndb_pipeline.readers import casts

_MOST: Final = 10
"""Rows of a file that may be its header."""

_ENOUGH: Final = 2.0
"""Points (`_Judge.points`) that make a header row of one that can be."""

_WORDS: Final = frozenset(
    read(Path(__file__).with_name("stray_rows.toml"))["macros"]["names"].split()
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
    kinds = {name: read.table.columns[name].kind for name in read.names}
    texts = [
        name for name, kind in kinds.items() if kind in _KEYS and not is_number(read.file, name)
    ]
    if not read.has_cells and not any(
        _has_word(read, index, texts) for index in range(len(read.parts))
    ):
        return []
    judge = _Judge(read, texts, [row for rows in first_rows(read) for row in rows])
    found: list[tuple[int, dict[str, str]]] = []
    for numbers in first_rows(read):
        rows = [judge.rows[row] for row in numbers]
        heads = (
            at for at, row in enumerate(numbers) if row not in known and not judge.may_be(rows[at])
        )
        # Where all look alike, as names without numbers do, only what the first one says
        # distinguishes it from others.
        head = next(heads, 1)
        evident = [
            at
            for at, row in enumerate(numbers[:head])
            if known.get(row) in ("units", "types", "header", "order")
            or judge.points(rows[at], rows[head:]) >= _ENOUGH
        ]
        last = max(evident, default=-1)
        for number, row in zip(numbers[: last + 1], rows, strict=False):
            if number not in known:
                found.append((number, {name: row.texts[name] for name in row.bad}))
    return found


def _has_word(read: JustRead, index: int, columns: Sequence[str]) -> bool:
    """Whether the first row of a part has a word in one of the `columns` of keys: its rows are
    worth a look.
    """
    part = read.parts[index]
    first = dict(zip(part.names, part.first, strict=False))
    return any(_is_word(first.get(read.names[name], "")) for name in columns)


def _is_word(text: str) -> bool:
    return any(map(str.isalpha, text)) and not any(map(str.isdigit, text))


def tokens(text: str) -> set[str]:
    """The words in a column name, in small letters: of `preSynapse_ID` pre, synapse and id."""
    parts = re.split(r"[\W_0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text))
    return {part.casefold() for part in parts if part}


class _Judge:
    """Judges the `first` rows of the files; `texts` are the columns of keys that are not all whole
    numbers.
    """

    def __init__(self, read: JustRead, texts: Sequence[str], first: list[int]) -> None:
        self.read, self.texts = read, texts
        columns = ", ".join(f"{quote(name)}::VARCHAR" for name in read.names)
        lists = (
            f"SELECT file_row_number, [{columns}], {casts.cells_of()} FROM"
            f" {rows_of(read.file, row_number=True)}"
        )
        # Of one file nothing but its first rows needs to be looked at.
        alone = first == [*range(len(first))]
        listed = f"list_contains({literal(first)}, file_row_number)"
        self.below = f"file_row_number >= {len(first)}" if alone else f"NOT {listed}"
        self.rows: dict[int, _Row] = {}
        for number, values, cells in read.fetch(
            f"{lists} {f'LIMIT {len(first)}' if alone else f'WHERE {listed}'}"
        ):
            uncast = {cell["col"]: cell["raw"] for cell in cells or () if cell["kind"] == "uncast"}
            stated = {
                name: value
                for name, value in zip(read.names, values, strict=True)
                if value is not None
            }
            stripped = {
                name: text.strip(casts.WHITE_SPACE) for name, text in (stated | uncast).items()
            }
            self.rows[number] = _Row(
                {name: text for name, text in stripped.items() if text}, frozenset(uncast)
            )

    def may_be(self, row: _Row) -> bool:
        """Whether `row` can be one of a header: no number where numbers belong, and keys that are
        words.
        """
        kinds = {name: self.read.table.columns[name].kind for name in row.texts}
        for name, text in row.texts.items():
            if kinds[name] in _NUMERIC and (name not in row.bad or _DAMAGED.match(text)):
                return False
            if kinds[name] in _KEYS and not _is_word(text):
                return False
        return any(kind in (*_NUMERIC, *_KEYS) for kind in kinds.values())

    def points(self, row: _Row, below: Sequence[_Row]) -> float:
        """How much says that `row` is one of a header, `below` being rows of data."""
        points = 1.0 if self.read.config.header_row is None else 0.0
        wrong = {name for cells in below for name in cells.bad}
        words = {
            text.casefold() for name, text in row.texts.items() if name in row.bad - wrong
        } - _NO_WORDS
        points += len(words)
        for name, text in row.texts.items():
            column = self.read.table.columns[name]
            named = self._names_column(text, column)
            if column.kind in _KEYS:
                others = [cells.texts[name] for cells in below if name in cells.texts]
                points += next(
                    (
                        worth
                        for form, worth in _FORMS.items()
                        if others and self._are(name, others, form)
                    ),
                    0,
                )
                points += named and text not in others and not self._is_elsewhere(name, text)
            else:
                points += named and (column.kind not in _NUMERIC or text.casefold() in words)
        return points

    def _names_column(self, text: str, column: Column) -> bool:
        """Whether the words of `text` are those of column names, for keys, or of the name of
        `column`.
        """
        names = (column.name, self.read.names[column.name], *column.aliases)
        own = {part for name in names for part in tokens(name)}
        return bool(said := tokens(text)) and said <= (
            own | _WORDS if column.kind in _KEYS else own
        )

    def _are(self, name: str, others: Sequence[str], form: str) -> bool:
        """Whether the keys `others` of column `name`, and nine in ten of those below, have the
        form.
        """
        if not all(re.fullmatch(form, other, re.DOTALL) for other in others):
            return False
        if name not in self.texts:
            return True
        fit = f"count(*) FILTER (regexp_full_match({quote(name)}, {literal(form)}))"
        query = (
            f"SELECT {fit} * 10 >= count({quote(name)}) * 9 FROM {self.read.source} WHERE"
            f" {self.below}"
        )
        return self.read.fetch(query) == [(True,)]

    def _is_elsewhere(self, name: str, text: str) -> bool:
        """Whether another row than the first ones of files has the key `text` in column `name`."""
        same = f"{quote(name)}::VARCHAR = {literal(text)}"
        return bool(
            self.read.fetch(
                f"SELECT 1 FROM {self.read.source} WHERE {same} AND {self.below} LIMIT 1"
            )
        )
