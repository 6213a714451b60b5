"""Which SynDB column each column of a table is.

Belongs here: what names suggest, held against the first values. Does not: which table a file is
(`guess.py`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from syndb_pipeline.contract.tables import SERVER_COLUMNS, Kind, Table
from syndb_pipeline.contract.vocabularies import nearest
from syndb_pipeline.scaffold.names import (
    COLUMN_WORDS,
    WORDS,
    are_numbers,
    end_of,
    hold_several_numbers,
    plain,
)
from syndb_pipeline.scaffold.peek import Candidate

UNIT_SUFFIX: Final = re.compile(
    r"^(?P<name>.+?)[ _\[(]+(?P<unit>nm|um|µm|μm|mm)[23²³]?[\])]?$", re.IGNORECASE
)
_PROBABILITY: Final = re.compile(r"(?P<name>.+?)_(prob|probability|score|avg|mean|p)")
MEASURES: Final = (Kind.NUMBER, Kind.INTEGER)
KEYS: Final = (Kind.KEY, Kind.REFERENCE)

_LOOKED_AT: Final = 200
"""Values that show whether a column holds numbers."""

LONG: Final = 6
"""Characters of a key beyond which two tables hardly have it by chance."""

Keys = Mapping[str, Collection[str]]
"""Table -> the keys of its first rows."""


@dataclass(frozen=True)
class Mapped:
    """One column of the lab, as SynDB's `target`. `sure` when the name leaves no doubt; `unit` is
    one that the name states.
    """

    column: str
    target: str
    sure: bool
    unit: str | None = None


def share(values: Sequence[str], among: Collection[str]) -> float:
    """The share of the different `values` that are `among` others."""
    different = set(values)
    return len(different & set(among)) / len(different) if different else 0


def map_columns(
    candidate: Candidate, table: Table, keys: Keys | None = None, named: Iterable[str] = ()
) -> tuple[list[Mapped], list[str]]:
    """Each column's SynDB column, and the columns that have none. No SynDB column is given twice.

    Args:
        candidate: the file, with its first rows.
        table: the table it is taken for.
        keys: the keys of the dataset's tables; among columns that may be one reference, that one is
            taken whose values are such keys.
        named: the values by which other tables refer to this one; they choose its key likewise.
    """
    named = set(named)
    options: list[tuple[tuple[float, ...], Mapped]] = []
    for at, column in enumerate(candidate.columns):
        if not column or column in SERVER_COLUMNS:
            continue
        for attempt, item in enumerate(_meanings(column, table)):
            if item is None or not _may_be(item, candidate, table):
                continue
            evidence = 0.0 if item.sure else _evidence(item, candidate, table, keys or {}, named)
            values = candidate.values(column)
            if attempt == _SEGMENT and not any(len(value) > LONG for value in values):
                # short keys are met by chance: the rows of most tables are numbered 1, 2, 3
                continue
            if attempt < _OTHER_END or evidence > 0:
                order = (not item.sure, -evidence, attempt, item.column != item.target, at)
                options.append((order, item))
    found: dict[str, Mapped] = {}
    taken: set[str] = set()
    for _, item in sorted(options, key=lambda option: option[0]):
        if item.target not in found and item.column not in taken:
            found[item.target] = item
            taken.add(item.column)
    mapped = sorted(found.values(), key=lambda item: candidate.columns.index(item.column))
    return mapped, [column for column in candidate.columns if column not in taken]


def _may_be(item: Mapped, candidate: Candidate, table: Table) -> bool:
    """Whether the first values of a column allow what its name suggests. What a name leaves no
    doubt about is for `check` to judge.
    """
    kind = table.columns[item.target].kind
    if item.column == item.target:
        return True
    values = candidate.values(item.column)[:_LOOKED_AT]
    if not values:
        return True
    if kind in (*KEYS, *MEASURES) and hold_several_numbers(values):
        return False
    return item.sure or kind not in MEASURES or are_numbers(values)


def _evidence(
    item: Mapped, candidate: Candidate, table: Table, keys: Keys, named: Collection[str]
) -> float:
    """How much the values say for a key or reference: the share of them that are known; less than
    nothing for a key that repeats.
    """
    column = table.columns[item.target]
    if column.kind not in KEYS:
        return 0
    values = candidate.values(item.column)
    if column.kind is Kind.REFERENCE:
        return max(
            (share(values, keys[name]) for name in column.targets if name in keys), default=0
        )
    if table.pair is None and len(set(values)) < len(values):
        return -1
    return share(list(named), values)


def _meanings(column: str, table: Table) -> list[Mapped | None]:
    """What a column called `column` may be, by each way to understand a name, the surest first."""
    name = plain(column)

    def item(target: str | None, *, sure: bool = False, unit: str | None = None) -> Mapped | None:
        return Mapped(column, target, sure, unit) if target in table.columns else None

    alias, end = table.column(name), end_of(name)
    own = {f"{table.name}_id": "cid", f"{table.name}_ids": "cid"}.get(name)
    words = (target for target, known in COLUMN_WORDS.items() if name in known)
    words = (target for target in words if target in table.columns)
    partner = end[0] if end and end[1] else None
    return [
        item(column if column in table.columns else name, sure=True),
        item(alias.name if alias else None, sure=True),
        item(own, sure=True) or item(_parent(name, table) or next(words, partner)),
        _with_unit(column, table),
        _probability(column, table),
        item(next(iter(nearest(name, table.columns, 1, 0.84)), None)),
        # The end of a synapse, without naming its partner; and the parent's segment, as `root_id`
        # is in a table of axons. These suggest so little that the values must agree.
        item(end[0] if end else None),
        item("parent_id" if table.has_parent and name in WORDS["segments"] else None),
    ]


_EXACT, _ALIAS, _SYNONYM, _NEAR, _OTHER_END, _SEGMENT = 0, 1, 2, 5, 6, 7
"""Places of `_meanings`."""


def _parent(name: str, table: Table) -> str | None:
    """`parent_id`, where `name` is a parent's and no column of its own."""
    singular = name.replace("_ids", "_id")
    if singular in table.columns or not table.has_parent:
        return None
    return "parent_id" if singular.removesuffix("_id") in table.parents else None


def _with_unit(column: str, table: Table) -> Mapped | None:
    match = UNIT_SUFFIX.match(column.strip())
    if not match:
        return None
    meanings = _meanings(match["name"], table)
    inner = meanings[_EXACT] or meanings[_SYNONYM] or meanings[_NEAR]
    declared = table.columns[inner.target] if inner else None
    if inner is None or declared is None or declared.kind is not Kind.NUMBER:
        return None
    unit = match["unit"].lower().replace("μ", "u").replace("µ", "u")
    return Mapped(column, inner.target, inner.sure, unit) if declared.dimension else None


def _probability(column: str, table: Table) -> Mapped | None:
    match = _PROBABILITY.fullmatch(plain(column))
    if not match:
        return None
    meanings = _meanings(match["name"], table)
    inner = meanings[_ALIAS] or meanings[_SYNONYM]
    known = inner is not None and inner.target in WORDS["transmitters"]
    return Mapped(column, inner.target, False) if inner and known else None
