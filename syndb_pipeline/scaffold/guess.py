"""Which SynDB table a file holds, and which of several files.

Belongs here: scoring files, and what the values of several say about each other. Does not: columns
(`columns.py`), or deciding anything that a person should; what is not plain becomes a question
(`text.py`).
"""

from __future__ import annotations

import glob
import os.path
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import combinations
from typing import Final

from syndb_pipeline.contract.tables import TABLES, Table, ordered
from syndb_pipeline.readers.formats import suffix
from syndb_pipeline.scaffold.columns import LONG, Mapped, map_columns, share
from syndb_pipeline.scaffold.names import TABLE_WORDS, listed
from syndb_pipeline.scaffold.peek import Candidate

MINIMUM_SCORE: Final = 1.0
_shared_start: Final = os.path.commonprefix

_AS_GOOD: Final = 0.3
"""How much less than the best a file may resemble a table and still be one that a person must
choose from.
"""


@dataclass(frozen=True)
class Choice:
    """A file, or a sheet of one, that a person may choose for a table."""

    file: str
    sheet: str | None = None

    def __str__(self) -> str:
        return self.file + (f", sheet {self.sheet}" if self.sheet else "")


@dataclass
class Guess:
    """A file taken for a SynDB table, with what is open about it.

    `file` is a name or glob, relative to the folder looked at. `choices` are the files, or the
    sheets, of which a person must choose, and `doubt` says why, or what else is to be asked about
    `file`.
    """

    table: str
    file: str
    candidate: Candidate
    mapped: list[Mapped]
    unknown: list[str]
    # tables of the dataset that parent_id could point to
    parents: list[str] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    doubt: str = ""
    # files that look like the table too, but less, and are not used
    lesser: list[str] = field(default_factory=list)
    # unknown columns whose values are keys of a parent
    hints: list[str] = field(default_factory=list)

    @property
    def chooses_sheet(self) -> bool:
        return bool(self.choices) and not self.doubt

    def column_of(self, target: str) -> str | None:
        """The lab's column that is taken for `target`."""
        return next((item.column for item in self.mapped if item.target == target), None)


def guess_tables(candidates: list[Candidate]) -> tuple[list[Guess], dict[str, str]]:
    """The tables among `candidates`, parents first, and the files that fit none, with the
    reason.
    """
    by_table: dict[str, list[tuple[float, Candidate]]] = {}
    unfit: list[Candidate] = []
    for candidate in candidates:
        scores = {name: score(candidate, table) for name, table in TABLES.items()}
        best = max(scores, key=lambda name: scores[name])
        if scores[best] < MINIMUM_SCORE:
            unfit.append(candidate)
        else:
            by_table.setdefault(best, []).append((scores[best], candidate))
    guesses = []
    for name in ordered(by_table):
        ranked = sorted(by_table[name], key=lambda item: -item[0])
        alike = [candidate for worth, candidate in ranked if worth >= ranked[0][0] - _AS_GOOD]
        guesses.append(_guess(name, alike))
        guesses[-1].lesser = [str(less) for _, less in ranked[len(alike) :]]
    if "neuron" not in by_table:
        guesses = [*_neurons_by_values(guesses, unfit), *guesses]
    _relate(guesses)
    reason = "neither its name nor its columns resemble a SynDB table"
    return guesses, {str(other): reason for other in unfit}


def _relate(guesses: list[Guess]) -> None:
    """Choose among columns that may be keys or references by what the tables' values say about each
    other.
    """
    for _ in range(2):  # a better key lets references be found, and the other way round
        keys = {guess.table: set(_values(guess, "cid")) for guess in guesses}
        named: dict[str, set[str]] = {}
        for guess in guesses:
            for column in TABLES[guess.table].references.values():
                for target in column.targets:
                    named.setdefault(target, set()).update(_values(guess, column.name))
        for guess in guesses:
            guess.mapped, guess.unknown = map_columns(
                guess.candidate, TABLES[guess.table], keys, named.get(guess.table, ())
            )
    for guess in guesses:
        table = TABLES[guess.table]
        if table.has_parent:
            parents = [name for name in table.parents if name in keys and name != "neuron_relation"]
            named_parents = _values(guess, "parent_id")
            guess.parents = sorted(parents, key=lambda name: -share(named_parents, keys[name]))
            guess.hints = [
                f"the values of {column} are keys of {parent}"
                for column in guess.unknown
                for parent in guess.parents
                if column and share(guess.candidate.values(column), keys[parent]) == 1
            ]


def _values(guess: Guess, target: str) -> list[str]:
    column = guess.column_of(target)
    return guess.candidate.values(column) if column is not None else []


def _neurons_by_values(guesses: list[Guess], unfit: list[Candidate]) -> list[Guess]:
    """A table of neurons, where a file has a column of what the others refer to as neurons; none
    where there is no such.

    A file that is no table otherwise is taken out of `unfit`; one that is may serve as two.
    """
    for guess in guesses:
        others = [each.candidate for each in guesses if each is not guess and not each.choices]
        for column in TABLES[guess.table].references.values():
            named = _values(guess, column.name)
            if not named or not (column.targets == ("neuron",) or column.name in _ENDS):
                continue  # the parent of a vesicle, say, is hardly a neuron
            for candidate in [*unfit, *others]:
                for key in filter(None, candidate.columns):
                    values = candidate.values(key)
                    if len(set(values)) < len(values) or not _are_keys_of(
                        named, set(values), only_long=candidate in others
                    ):
                        continue
                    unfit[:] = [other for other in unfit if other is not candidate]
                    doubt = (
                        f"is it the table of neurons? {guess.column_of(column.name)} of"
                        f" {guess.candidate} holds values of its {key}"
                    )
                    unknown = [other for other in candidate.columns if other != key]
                    mapped = [Mapped(key, "cid", False)]
                    file = _file(candidate)
                    return [Guess("neuron", file, candidate, mapped, unknown, doubt=doubt)]
    return []


_ENDS: Final = ("pre_synapse_id", "post_synapse_id")


def _are_keys_of(named: Sequence[str], keys: set[str], *, only_long: bool) -> bool:
    """Whether `named` are references to `keys`: most of them or, as these are the first rows only,
    some that are too long for chance.
    """
    met = set(named) & keys
    long = sum(len(key) > LONG for key in met)
    most = len(met) > 1 and 2 * len(met) > len(set(named))
    return long > 2 or (most and (long > 0 or not only_long))


# Several files


def _guess(name: str, alike: list[Candidate]) -> Guess:
    """`alike`, files that look like the table `name`, the likeliest first, as one guess."""
    first, several = alike[0], len(alike) > 1
    guess = Guess(name, _file(first), first, *map_columns(first, TABLES[name]))
    pieces = alike if several else list(first.pieces)
    pattern = common_glob(alike) if several else guess.file
    if len(pieces) > 1 and pattern is not None:
        folder = "" if several else f"{glob.escape(first.path.name)}/"
        names = sorted(f"{folder}{_file(piece)}" for piece in pieces)
        guess.file = pattern
        if shared := _shared_keys(pieces, guess):
            guess.choices = [Choice(each) for each in (*names[:_MOST_CHOICES], pattern)]
            guess.doubt = (
                f"two releases of the same data, or parts of one table? {shared}. Remove the # of"
                " one line"
            )
        elif not _numbered(pieces):
            guess.doubt = (
                f"parts of one table, or releases or groups? All are read: {listed(names)}"
            )
    elif several:
        guess.choices = [Choice(_file(each), each.sheet) for each in alike]
        if any(each.path != first.path for each in alike):
            guess.doubt = (
                f"which one? These look like {name}, as releases, versions or parts of one table"
                " do. Remove the # of one line"
            )
    return guess


_MOST_CHOICES: Final = 6
_COMPARED: Final = 20
"""Files of one table whose keys are compared."""


def _file(candidate: Candidate) -> str:
    """What a config calls the file, relative to the folder looked at."""
    if candidate.pieces:
        first = candidate.pieces[0].path
        return f"{glob.escape(candidate.path.name)}/*{first.name[-len(suffix(first)) :]}"
    return glob.escape(candidate.path.name)


def _shared_keys(pieces: Sequence[Candidate], guess: Guess) -> str:
    """Which keys the first rows of two of `pieces` share, in words; "" where no two share any."""
    pair = TABLES[guess.table].pair or ("cid",)
    names = [column for target in pair if (column := guess.column_of(target)) is not None]
    what = ("pairs" if len(names) > 1 else "keys") if names else "rows"
    found = {}
    for piece in pieces[:_COMPARED]:
        at = [piece.columns.index(name) for name in names] or range(piece.width)
        found[piece.path.name] = {tuple(row[index] for index in at) for row in piece.rows} - {
            ("",) * len(at)
        }
    most = max(combinations(found, 2), key=lambda two: len(found[two[0]] & found[two[1]]))
    common = len(found[most[0]] & found[most[1]])
    return (
        f"{common:,} of the first {len(found[most[1]]):,} {what} of {most[1]} are in {most[0]} too"
        if common
        else ""
    )


def _numbered(pieces: Sequence[Candidate]) -> bool:
    """Whether the names of `pieces` differ in a number that counts them: 1, 2, 3 or 000, 001; 630
    and 783 do not.
    """
    names = sorted(piece.path.name for piece in pieces)
    start = len(_shared_start(names).rstrip("0123456789"))
    digits = [found[0] for name in names if (found := re.match(r"\d+", name[start:]))]
    numbers = sorted(map(int, digits))
    return (
        len(digits) == len(names)
        and numbers[0] < 2
        and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    )


def common_glob(candidates: list[Candidate]) -> str | None:
    """A pattern that matches exactly the files of `candidates`, when they are parts of one table:
    same kind, same columns, like names.
    """
    first = candidates[0]
    ending = suffix(first.path)
    if any(
        each.sheet
        or each.pieces
        or (each.columns, each.width, suffix(each.path)) != (first.columns, first.width, ending)
        for each in candidates
    ):
        return None
    names = sorted(each.path.name for each in candidates)
    start = _shared_start(names)
    end = _shared_start([name[len(start) : -len(ending)][::-1] for name in names])[::-1]
    pattern = f"{glob.escape(start)}*{glob.escape(end + first.path.name[-len(ending) :])}"
    matched = sorted(path.name for path in first.path.parent.glob(pattern))
    return pattern if start and matched == names else None


# Tables by name and columns


def score(candidate: Candidate, table: Table) -> float:
    """How much a candidate resembles a table: 1 and more is a fair guess, below it is none."""
    named = max(
        name_score(candidate.name, table.name), 1.2 * name_score(candidate.sheet or "", table.name)
    )
    if not candidate.columns:
        return named + 0.3 if named else 0  # no header: the name is all there is to go by
    mapped, _ = map_columns(candidate, table)
    found = {item.target for item in mapped}
    if table.pair is not None and not set(table.pair) <= found:
        return 0  # a list of pairs without pairs is none, whatever it is called
    # A column that few tables have says more than a centroid does.
    distinct = sum(
        1 / sum(target in other.columns for other in TABLES.values())
        for target in found
        if target != "cid"
    )
    if table.pair is not None and "cid" not in found:
        distinct += 0.5
    known = sum(1.0 if item.sure else 0.5 for item in mapped) / len(candidate.columns)
    return (
        1.2 * named
        + 0.4 * known
        + min(distinct, 1.5) * 0.6
        - (0.15 if table.pair is None and "cid" not in found else 0)
    )


def name_score(name: str, table: str) -> float:
    """1 when `name` is one of the table's words, in the plural or with numbers; less inside a
    longer name; 0 without any of them.
    """
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = " ".join(word.removesuffix("s") for word in re.findall(r"[a-z]+", split.lower()))
    best = 0.0
    for phrase in TABLE_WORDS[table]:
        if words == phrase:
            return 1.0
        if re.search(rf"\b{phrase}\b", words):
            best = max(best, 0.7 + 0.02 * len(phrase.split()) + 0.1 * len(phrase) / len(words))
        elif len(phrase) > 4 and SequenceMatcher(None, words, phrase).ratio() > 0.85:
            best = max(best, 0.7)
    return best
