"""Which SynDB column each column of a table is.

Belongs here: what names suggest, held against the first values. Does not: which table a file is
(`guess.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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
    for attempt, named_by in enumerate(_ATTEMPTS):
        for at, column in enumerate(candidate.columns):
            if not column or column in SERVER_COLUMNS:
                continue
            item = named_by(column, table)
            if item is None or not _may_be(item, candidate, table):
                continue
            evidence = 0.0 if item.sure else _evidence(item, candidate, table, keys or {}, named)
            if named_by is _segment_of_parent and not any(
                len(value) > LONG for value in candidate.values(column)
            ):
                # short keys are met by chance: the rows of most tables are numbered 1, 2, 3
                continue
            if named_by not in _ONLY_BY_VALUES or evidence > 0:
                options.append(
                    ((not item.sure, -evidence, attempt, item.column != item.target, at), item)
                )
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


def _exact(column: str, table: Table) -> Mapped | None:
    spelled = column if column in table.columns else plain(column)
    return Mapped(column, spelled, True) if spelled in table.columns else None


def _alias(column: str, table: Table) -> Mapped | None:
    found = table.column(plain(column))
    return Mapped(column, found.name, True) if found else None


def _synonym(column: str, table: Table) -> Mapped | None:
    name = plain(column)
    singular = name.replace("_ids", "_id")
    if singular == f"{table.name}_id" and "cid" in table.columns:
        return Mapped(column, "cid", True)
    if (
        table.has_parent
        and singular.removesuffix("_id") in table.parents
        and singular not in table.columns
    ):
        return Mapped(column, "parent_id", False)
    for target, words in COLUMN_WORDS.items():
        if name in words and target in table.columns:
            return Mapped(column, target, False)
    end = end_of(name)
    return Mapped(column, end[0], False) if end and end[1] and end[0] in table.columns else None


def _with_unit(column: str, table: Table) -> Mapped | None:
    match = UNIT_SUFFIX.match(column.strip())
    if not match:
        return None
    inner = (
        _exact(match["name"], table)
        or _synonym(match["name"], table)
        or _near(match["name"], table)
    )
    declared = table.columns[inner.target] if inner else None
    if (
        inner is None
        or declared is None
        or declared.dimension is None
        or declared.kind is not Kind.NUMBER
    ):
        return None
    return Mapped(
        column, inner.target, inner.sure, match["unit"].lower().replace("μ", "u").replace("µ", "u")
    )


def _probability(column: str, table: Table) -> Mapped | None:
    match = _PROBABILITY.fullmatch(plain(column))
    inner = (_alias(match["name"], table) or _synonym(match["name"], table)) if match else None
    return (
        Mapped(column, inner.target, False)
        if inner and inner.target in WORDS["transmitters"]
        else None
    )


def _near(column: str, table: Table) -> Mapped | None:
    hits = nearest(plain(column), table.columns, 1, 0.84)
    return Mapped(column, hits[0], False) if hits else None


def _other_end(column: str, table: Table) -> Mapped | None:
    """The end of a synapse that a column speaks of without naming its partner: taken only where its
    values are keys.
    """
    end = end_of(plain(column))
    return Mapped(column, end[0], False) if end and end[0] in table.columns else None


def _segment_of_parent(column: str, table: Table) -> Mapped | None:
    """The parent whose segment a column names, as `root_id` does in a table of axons: taken only
    where its values are long keys.
    """
    return (
        Mapped(column, "parent_id", False)
        if table.has_parent and plain(column) in WORDS["segments"]
        else None
    )


_ATTEMPTS: Final[tuple[Callable[[str, Table], Mapped | None], ...]] = (
    _exact,
    _alias,
    _synonym,
    _with_unit,
    _probability,
    _near,
    _other_end,
    _segment_of_parent,
)
"""How a name is understood, the surest way first."""

_ONLY_BY_VALUES: Final = (_other_end, _segment_of_parent)
"""Those that suggest so little that the values must agree."""
