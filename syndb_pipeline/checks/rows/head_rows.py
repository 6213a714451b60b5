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

import duckdb

from syndb_pipeline.base.engine import literal, parquet, quote
from syndb_pipeline.base.footers import is_surely_empty
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.key_encoding import is_number, rows_of
from syndb_pipeline.contract.no_value import IN_NUMBERS
from syndb_pipeline.contract.tables import Column, Kind, Table
from syndb_pipeline.readers import casts
from syndb_pipeline.readers.part import Part

_MOST: Final = 10
"""Rows of a file that may be its header."""

_ENOUGH: Final = 2.0
"""Points (`_Judge.points`) that make a header row of one that can be."""

_WORDS: Final = frozenset(
    re.findall(
        "[a-z]+",
        """from to pre post presynaptic postsynaptic presynapse postsynapse source target sender receiver origin destination
        start end input output partner upstream downstream id ids no nr num number index idx key keys name names label class
        type kind title unit units count weight weights strength score size total synapse synapses neuron neurons cell cells
        axon axons dendrite dendrites bouton boutons spine spines terminal terminals vesicle vesicles nucleus mitochondrion
        mitochondria organelle body bodyid root rootid seg segment segid segmentid skeleton skid cid parent child object
        track spot node volume area length surface radius diameter position centroid""",
    )
)
"""Words of column names of such tables."""

_NUMERIC: Final = (Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN)
_KEYS: Final = (Kind.KEY, Kind.REFERENCE)
_WHOLE: Final = r"[+-]?[0-9]+(\.0+)?"
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


def first_rows(parts: Sequence[Part], starts: Sequence[int]) -> list[int]:
    """The numbers of the rows that are looked at: the first ones of each of `parts`, which begin at
    `starts`.
    """
    return [
        row
        for start, part in zip(starts, parts, strict=False)
        for row in range(start, start + min(part.rows, _MOST + 1))
    ]


def find(
    connection: duckdb.DuckDBPyConnection,
    parts: Sequence[Part],
    starts: Sequence[int],
    names: Mapping[str, str],
    table: Table,
    config: TableConfig,
    target: Path,
    known: Mapping[int, str],
) -> list[tuple[int, dict[str, str]]]:
    """The rows of the table at `target` that are header rows, each with the texts of its cells that
    could not be cast.

    `parts` are its files, which begin at the rows `starts`; `names` gives the lab's name of each of
    its columns; `known` the rows that are none already, and why.
    """
    texts = [
        name for name in names if table.columns[name].kind in _KEYS and not is_number(target, name)
    ]
    bad_cells = not is_surely_empty(target, casts.CELLS)
    if not bad_cells and not any(_is_hint(part, names, texts) for part in parts):
        return []
    judge = _Judge(connection, names, table, config, target, texts)
    firsts = judge.read(first_rows(parts, starts))
    found: list[tuple[int, dict[str, str]]] = []
    for start, part in zip(starts, parts, strict=False):
        rows = [(row, firsts[row]) for row in range(start, start + min(part.rows, _MOST + 1))]
        head = next(
            (
                at
                for at, (row, cells) in enumerate(rows)
                if row not in known and not judge.may_be(cells)
            ),
            len(rows),
        )
        if head == len(rows):
            # all look alike, as names without numbers do: then only what the first one says tells
            # it from others
            head = 1
        evident = [
            at
            for at, (row, cells) in enumerate(rows[:head])
            if known.get(row) in ("units", "types", "header", "order")
            or judge.points(cells, rows[head:], set(firsts)) >= _ENOUGH
        ]
        for row, cells in rows[: max(evident) + 1] if evident else ():
            if row not in known:
                found.append((row, {name: cells.texts[name] for name in cells.bad}))
    return found


def _is_hint(part: Part, names: Mapping[str, str], texts: Sequence[str]) -> bool:
    """Whether the first row of `part` has a word in one of the columns of keys `texts`, so that its
    rows are worth a look.
    """
    first = dict(zip(part.names, part.first, strict=False))
    return any(_is_word(first.get(names[name], "")) for name in texts)


def _is_word(text: str) -> bool:
    return any(map(str.isalpha, text)) and not any(map(str.isdigit, text))


def tokens(text: str) -> set[str]:
    """The words in a column name, in small letters: of `preSynapse_ID` pre, synapse and id."""
    parts = re.split(r"[\W_0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text))
    return {part.casefold() for part in parts if part}


@dataclass
class _Judge:
    connection: duckdb.DuckDBPyConnection
    names: Mapping[str, str]
    table: Table
    config: TableConfig
    target: Path
    texts: Sequence[str]
    """Columns of keys that are not all whole numbers."""

    def read(self, wanted: Sequence[int]) -> dict[int, _Row]:
        """The rows `wanted`, by number."""
        columns = ", ".join(f"{quote(name)}::VARCHAR" for name in self.names)
        lists = (
            f"SELECT file_row_number, [{columns}], {casts.cells_of()} FROM"
            f" {rows_of(self.target, row_number=True)}"
        )
        alone = [*wanted] == [
            *range(len(wanted))
        ]  # then the first of the file, and nothing else needs to be looked at
        which = (
            f"LIMIT {len(wanted)}"
            if alone
            else f"WHERE list_contains({literal([*wanted])}, file_row_number)"
        )
        rows = {}
        for number, values, cells in self.connection.execute(f"{lists} {which}").fetchall():
            uncast = {
                cell["col"]: cell["raw"].strip(casts.WHITE_SPACE)
                for cell in cells or ()
                if cell["kind"] == "uncast"
            }
            stated = {
                name: value.strip(casts.WHITE_SPACE)
                for name, value in zip(self.names, values, strict=True)
                if value is not None
            }
            rows[number] = _Row(
                {name: text for name, text in (stated | uncast).items() if text}, frozenset(uncast)
            )
        return rows

    def may_be(self, row: _Row) -> bool:
        """Whether `row` can be one of a header: no number where numbers belong, and keys that are
        words.
        """
        for name, text in row.texts.items():
            kind = self.table.columns[name].kind
            if kind in _NUMERIC and (name not in row.bad or _DAMAGED.match(text)):
                return False
            if kind in _KEYS and not _is_word(text):
                return False
        return any(self.table.columns[name].kind in (*_NUMERIC, *_KEYS) for name in row.texts)

    def points(self, row: _Row, below: Sequence[tuple[int, _Row]], firsts: set[int]) -> float:
        """How much says that `row` is one of a header, `below` being rows of data and `firsts` the
        first rows of all files.
        """
        points = 1.0 if self.config.header_row is None else 0.0
        wrong = {name for _, cells in below for name in cells.bad}
        words = {
            text.casefold() for name, text in row.texts.items() if name in row.bad - wrong
        } - _NO_WORDS
        points += len(words)
        for name, text in row.texts.items():
            column = self.table.columns[name]
            named = self._names_column(text, column)
            if column.kind in _NUMERIC:
                points += named and text.casefold() in words
            elif column.kind in _KEYS:
                others = [cells.texts[name] for _, cells in below if name in cells.texts]
                if (
                    others
                    and all(re.fullmatch(_WHOLE, other) for other in others)
                    and self._most_are(name, _WHOLE, firsts)
                ):
                    points += 1
                elif (
                    others
                    and all(any(map(str.isdigit, other)) for other in others)
                    and self._most_are(name, ".*[0-9].*", firsts)
                ):
                    points += 0.5
                points += (
                    named and text not in others and not self._is_elsewhere(name, text, firsts)
                )
            else:
                points += named
        return points

    def _names_column(self, text: str, column: Column) -> bool:
        """Whether the words of `text` are those of column names, for keys, or of the name of
        `column` itself.
        """
        own = (
            tokens(column.name)
            | tokens(self.names[column.name])
            | {part for alias in column.aliases for part in tokens(alias)}
        )
        said = tokens(text)
        return bool(said) and said <= (own | _WORDS if column.kind in _KEYS else own)

    def _most_are(self, name: str, pattern: str, firsts: set[int]) -> bool:
        """Whether nine in ten of the keys in column `name` have the form `pattern`, the first rows
        of files aside.
        """
        if name not in self.texts:
            return True
        fit = f"count(*) FILTER (regexp_full_match({quote(name)}, {literal(pattern)}))"
        query = (
            f"SELECT {fit} * 10 >= count({quote(name)}) * 9 FROM"
            f" {parquet(self.target, row_number=True)} WHERE {_below(firsts)}"
        )
        return self.connection.execute(query).fetchall() == [(True,)]

    def _is_elsewhere(self, name: str, text: str, firsts: set[int]) -> bool:
        """Whether another row than the first ones of files has the key `text` in column `name`."""
        same = f"{quote(name)}::VARCHAR = {literal(text)}"
        query = (
            f"SELECT 1 FROM {parquet(self.target, row_number=True)} WHERE {same} AND"
            f" {_below(firsts)} LIMIT 1"
        )
        return bool(self.connection.execute(query).fetchall())


def _below(firsts: set[int]) -> str:
    if firsts == set(range(len(firsts))):
        return f"file_row_number >= {len(firsts)}"
    return f"NOT list_contains({literal(sorted(firsts))}, file_row_number)"
