"""Where children lie, against where the rows they are part of lie: on one scale, and with the axes
in one order.

Belongs here: SYN-UNIT-004 and SYN-UNIT-005, from one sample of each child table and the centroids
of its parents. Does not: a table by itself (`units.py`), files beside a row (`file_scales.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import isfinite, log10, sqrt
from typing import Final

from syndb_pipeline.base.engine import parquet, quote
from syndb_pipeline.checks.original_text import examples
from syndb_pipeline.checks.references.declared_totals import Related
from syndb_pipeline.checks.units.units import units_setting
from syndb_pipeline.config.table_settings import NANOMETRE_EXPONENT
from syndb_pipeline.readers.headers import yaml_word
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Confidence, Finding
from syndb_pipeline.state.tables import written

SCALE_FACTOR: Final = 3.0
"""Medians of children's and their own parents' centroids this far apart on every axis speak of two
units (R).
"""

SAMPLE_ROWS: Final = 100_000
"""Rows of a child table, about, that are looked at."""

_AXES: Final = ("centroid_x", "centroid_y", "centroid_z")
_REFERENCES: Final = ("parent_id", "pre_synapse_id", "post_synapse_id", "forms_synapse_with")
"""What leads from a row to one that lies near it; of a table, the first whose rows have centroids
is taken.
"""

_NEAR_POWER: Final = 0.15
"""How far, in powers of ten, a factor between centroids may lie from that of a unit: a part does
not lie in the middle of its parent.
"""

_FEWEST_PARENTS: Final = 5
"""Parents at different places from which on a correlation is looked at."""

_BY_CHANCE: Final = 5.0
"""A correlation counts from as many of its standard errors on, and from `_CORRELATED` on (R)."""

_CORRELATED: Final = 0.6
_CLEARLY: Final = 0.4
"""How much the correlation with another axis must exceed the one with its own (R)."""

_NEARER: Final = {2: 30.0}
_NEARER_OF_MANY: Final = 10.0
"""How many times nearer children must lie to their parents with the axes exchanged: of two rows,
and of three and more (R).
"""

_PAIRS: Final = "places_of_pairs"


@dataclass(frozen=True, slots=True)
class _Near:
    """What the sample says of children and parents: by axes they share, in order, of both sides.

    `medians` of absolute values, children's and parents'; `correlations` and mean `distances` of a
    child's axis (first index) and a parent's (second); `rows` looked at, and `parents` at different
    places.
    """

    axes: tuple[str, ...]
    medians: tuple[list[float | None], list[float | None]]
    correlations: list[list[float | None]]
    distances: list[list[float | None]]
    rows: int
    parents: int


@dataclass(frozen=True, slots=True)
class _Scale:
    """`small` has centroids that are, axis by axis, `factors` times smaller than those of `large`,
    its parent or child.
    """

    small: str
    large: str
    factors: tuple[float, ...]


def check_places(data: Related) -> list[Finding]:
    """SYN-UNIT-004: centroids of a child table on another scale than its parents', on every axis
    alike. SYN-UNIT-005: their axes are in another order. A table on another scale is named once,
    whatever number of others it disagrees with.
    """
    scales: dict[str, _Scale] = {}
    exchanged = []
    for name in data.tables:
        column = next(
            (
                column
                for column in _REFERENCES
                if len(_shared(data, name, data.target(name, column))) > 1
            ),
            None,
        )
        parent = data.target(name, column) if column else None
        if column is None or parent is None:
            continue
        near = _look(data, name, column, parent)
        if order := _order(near):
            exchanged.append(
                _tell_exchanged(data, name, parent, dict(zip(near.axes, order, strict=True)))
            )
        elif (scale := _scale(name, parent, near)) is not None and scale.small not in scales:
            scales[scale.small] = scale
    return [*(_tell_scale(data, scale) for scale in scales.values()), *exchanged]


def _shared(data: Related, table: str, other: str | None) -> tuple[str, ...]:
    """The axes that `table` and `other` both measure."""
    if other is None or other not in data.tables:
        return ()
    return tuple(
        axis for axis in _AXES if axis in data.columns(table) and axis in data.columns(other)
    )


def _look(data: Related, name: str, column: str, parent: str) -> _Near:
    """Lay a sample of the rows of `name`, and of those that `column` leads to, aside, and measure
    it.
    """
    axes = _shared(data, name, parent)
    every = max(
        1, data.rows(name) // SAMPLE_ROWS
    )  # an exact median holds all its values in memory; a fixed stride is as good here
    names = ", ".join(quote(axis) for axis in axes)
    ids = written(data.context, "assign_ids", "ids")[parent]
    pairs = ", ".join(
        f"{side}.{quote(axis)} AS {side}_{axis}" for side in ("c", "p") for axis in axes
    )
    data.connection.execute(f"""CREATE OR REPLACE TEMP TABLE {_PAIRS} AS SELECT {pairs}
            FROM (SELECT r.{quote(column)} AS parent, {names}
                  FROM {parquet(data.tables[name])} POSITIONAL JOIN {parquet(data.relations[name])}
                    r WHERE r.row_number % {every} = 0) c
            JOIN (SELECT i.cid, {names} FROM {parquet(data.tables[parent])} POSITIONAL JOIN
              {parquet(ids)} i) p ON c.parent = p.cid""")
    medians = ", ".join(
        f"quantile_disc(abs({side}_{axis}), 0.5)" for side in ("c", "p") for axis in axes
    )
    found = [*(data.connection.execute(f"SELECT {medians} FROM {_PAIRS}").fetchone() or ())]
    given = " AND ".join(f"isfinite({side}_{axis})" for side in ("c", "p") for axis in axes)
    wanted = [f"corr(c_{mine} / 1e9, p_{theirs} / 1e9)" for mine in axes for theirs in axes]
    wanted += [f"avg(abs(c_{mine} - p_{theirs}))" for mine in axes for theirs in axes]
    wanted += ["count(*)", f"count(DISTINCT ({', '.join(f'p_{axis}' for axis in axes)}))"]
    *more, rows, parents = (
        data.connection.execute(
            f"SELECT {', '.join(wanted)} FROM {_PAIRS} WHERE {given}"
        ).fetchone()
        or ()
    )
    found += more
    size = len(axes)
    numbers = [value if value is not None and isfinite(value) else None for value in found]
    square = [numbers[at : at + size] for at in range(0, len(numbers), size)]
    return _Near(
        axes, (square[0], square[1]), square[2 : 2 + size], square[2 + size :], rows, parents
    )


# -- axes


def _order(near: _Near) -> list[str] | None:
    """For each axis of the children the axis of the parents that it follows, where some follow
    another than their own; else None.
    """
    size = range(len(near.axes))
    own = tuple(size)
    for order in permutations(size):
        if order != own and (_follows(near, order) or _lies_nearer(near, order)):
            return [near.axes[axis] for axis in order]
    return None


def _follows(near: _Near, order: Sequence[int]) -> bool:
    """Whether every axis that `order` moves is correlated with the parents' axis it names, and
    clearly less with its own.
    """
    if near.parents < _FEWEST_PARENTS:
        return False
    for mine, theirs in enumerate(order):
        other, own = near.correlations[mine][theirs], near.correlations[mine][mine]
        if mine == theirs:
            continue
        if other is None or own is None or other < _CORRELATED or other - own < _CLEARLY:
            return False
        if other < 1 and other * sqrt(near.parents - 2) < _BY_CHANCE * sqrt(1 - other**2):
            return False
    return True


def _lies_nearer(near: _Near, order: Sequence[int]) -> bool:
    """Whether the children lie many times nearer to their parents with the axes in `order`, on all
    that it moves.
    """
    times = _NEARER.get(near.rows, _NEARER_OF_MANY)
    moved = [
        (near.distances[mine][theirs], near.distances[mine][mine])
        for mine, theirs in enumerate(order)
        if mine != theirs
    ]
    return near.rows > 1 and all(
        other is not None and own is not None and other * times < own for other, own in moved
    )


def _tell_exchanged(data: Related, table: str, parent: str, follows: Mapping[str, str]) -> Finding:
    moved = [axis for axis in _AXES if follows.get(axis, axis) != axis]
    columns = ", ".join(quote(axis) for axis in moved)
    source = parquet(data.tables[table], row_number=True)
    present = " AND ".join(f"{quote(axis)} IS NOT NULL" for axis in moved)
    (count,) = data.connection.execute(
        f"SELECT count(*) FROM {source} WHERE {present}"
    ).fetchone() or (0,)
    rows = data.connection.execute(
        f"SELECT file_row_number, {columns} FROM {source} WHERE {present} ORDER BY 1 LIMIT 2"
    ).fetchall()
    cells = [
        (row, axis, value)
        for row, *values in rows
        for axis, value in zip(moved, values, strict=True)
    ]
    return data.context.finding(
        "SYN-UNIT-005",
        table=table,
        column=moved[0],
        count=count,
        examples=examples(data.connection, data.context, data.sources, table, cells[:MAX_EXAMPLES]),
        confidence="likely",
        other=parent,
        follows=_listed([f"{axis} follows {follows[axis]} of {parent}" for axis in moved]),
        advice=(
            "Find out which of the two tables is wrong, and map its columns the other way round:"
            f" in `tables.{table}.columns` {_mapped(data, table, follows)}, or in"
            f" `tables.{parent}.columns`"
            f" {_mapped(data, parent, {v: k for k, v in follows.items()})}."
        ),
    )


def _mapped(data: Related, table: str, follows: Mapping[str, str]) -> str:
    """The lab's names of the columns that `follows` moves, each with the axis it should be, as the
    YAML says it.
    """
    names = data.sources.tables[table][0].columns
    return ", ".join(
        f"{yaml_word(names.get(axis, axis))}: {follows[axis]}"
        for axis in _AXES
        if follows.get(axis, axis) != axis
    )


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + f" and {parts[-1]}" if len(parts) > 1 else parts[0]


# -- scales


def _scale(name: str, parent: str, near: _Near) -> _Scale | None:
    """Whether all three axes of the children are on another scale than their parents'."""
    mine, theirs = near.medians
    factors = [large / small for small, large in zip(mine, theirs, strict=True) if small and large]
    if len(factors) < len(_AXES):
        return None
    if min(factors) > SCALE_FACTOR:
        return _Scale(name, parent, tuple(factors))
    return (
        _Scale(parent, name, tuple(1 / factor for factor in factors))
        if max(factors) < 1 / SCALE_FACTOR
        else None
    )


def _tell_scale(data: Related, scale: _Scale) -> Finding:
    middle = sorted(scale.factors)[1]
    guess, advice, sure = _explained(data, scale)
    columns = ", ".join(quote(axis) for axis in _AXES)
    source = parquet(data.tables[scale.small], row_number=True)
    present = " AND ".join(f"{quote(axis)} IS NOT NULL" for axis in _AXES)
    (count,) = data.connection.execute(
        f"SELECT count(*) FROM {source} WHERE {present}"
    ).fetchone() or (0,)
    rows = data.connection.execute(
        f"SELECT file_row_number, {columns} FROM {source} WHERE {present} ORDER BY 1 LIMIT 2"
    ).fetchall()
    cells = [
        (row, axis, value)
        for row, *values in rows
        for axis, value in zip(_AXES, values, strict=True)
    ]
    return data.context.finding(
        "SYN-UNIT-004",
        table=scale.small,
        column=_AXES[0],
        count=count,
        examples=examples(
            data.connection, data.context, data.sources, scale.small, cells[:MAX_EXAMPLES]
        ),
        confidence=sure,
        other=scale.large,
        factor=f"{middle:,.1f}",
        guess=guess,
        advice=advice,
    )


def _explained(data: Related, scale: _Scale) -> tuple[str, str, Confidence]:
    """What the scale looks like, what to do about it, and how sure that is."""
    for unit in ("um", "mm"):
        if any(
            abs(log10(factor) - NANOMETRE_EXPONENT[unit]) > _NEAR_POWER for factor in scale.factors
        ):
            continue
        declared = data.context.config.tables[scale.large].units
        if all(declared.get(axis) == unit for axis in _AXES):
            advice = (
                f"If the file of {scale.large} has nanometres, take {', '.join(_AXES)} out of"
                f" `tables.{scale.large}.units`."
            )
            return (
                f"; those of {scale.large} look like nanometres that were converted",
                advice,
                "likely",
            )
        config = data.context.config.tables[scale.small]
        setting = units_setting(scale.small, config, dict.fromkeys(_AXES, unit))
        return f"; they look like {unit}", f"If that is the unit, say so: `{setting}`.", "likely"
    sizes = ", ".join(
        f"{axis} by {factor:.3g}" for axis, factor in zip(_AXES, scale.factors, strict=True)
    )
    advice = (
        "SynDB wants nanometres in both. If these are voxels, multiply by the size of a voxel"
        f" (here about: {sizes})"
    )
    return (
        "",
        f"{advice}; if they are in another unit, name it in `tables.{scale.small}.units`.",
        "possible",
    )
