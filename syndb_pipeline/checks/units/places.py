"""Where children are, against where the rows they are part of are: on one scale, with axes in one
order.

Belongs here: SYN-UNIT-004 and SYN-UNIT-005, from one sample of each child table and its parents.
Does not: a table by itself (`units.py`), files beside a row (`mesh_and_skeleton_files.py`),
thresholds (`magnitudes.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import isfinite, log10, sqrt
from pathlib import Path
from typing import Any, Final

from syndb_pipeline.base.engine import parquet, quote
from syndb_pipeline.checks.causes import Cause, causes
from syndb_pipeline.checks.dataset import Inspected
from syndb_pipeline.checks.references.declared_totals import Related
from syndb_pipeline.checks.units import magnitudes
from syndb_pipeline.checks.units.magnitudes import AXES, listed, units_setting
from syndb_pipeline.config.table_settings import NANOMETRE_EXPONENT
from syndb_pipeline.readers.headers import yaml_word
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.tables import written

SAMPLE_ROWS: Final = 100_000
"""Rows of a child table, about, that are looked at."""

_REFERENCES: Final = ("parent_id", "pre_synapse_id", "post_synapse_id", "forms_synapse_with")
"""What leads from a row to one near it; of a table, the first whose rows have centroids is
taken.
"""

_CAUSES: Final = causes(Path(__file__).with_suffix(".toml"), Cause)

Square = Sequence[Sequence[float | None]]
"""What each axis of the children (first index) has to do with each of the parents' (second)."""


@dataclass(frozen=True, slots=True)
class _Near:
    """What a sample says of children and parents, by the axes they share, in order: medians of the
    absolute values of either, correlations, mean distances; `rows` looked at, and what counts
    `parents` at different places.
    """

    axes: tuple[str, ...]
    small: Sequence[float | None]
    large: Sequence[float | None]
    correlations: Square
    distances: Square
    rows: int
    parents: Callable[[], int]


def check_places(data: Related) -> list[Finding]:
    """SYN-UNIT-004: centroids of a child table on another scale than its parents', on every axis
    alike. SYN-UNIT-005: their axes are in another order. A table on another scale is named once,
    whatever number of others it disagrees with.
    """
    scales: dict[str, tuple[str, list[float]]] = {}
    exchanged = []
    for name in data.tables:
        shared = ((column, _shared(data, name, column)) for column in _REFERENCES)
        column, axes = next(((each, axes) for each, axes in shared if len(axes) > 1), ("", ()))
        if not axes:
            continue
        parent = data.target(name, column) or ""
        near = _look(data, name, column, parent, axes)
        if order := _order(near):
            exchanged.append(_exchanged(data, name, parent, dict(zip(axes, order, strict=True))))
            continue
        # How many times larger, axis by axis, the parents' centroids are.
        pairs = zip(near.small, near.large, strict=True)
        factors = [large / small for small, large in pairs if small and large]
        if len(factors) == len(AXES):
            if min(factors) > magnitudes.SCALE_FACTOR:
                scales.setdefault(name, (parent, factors))
            elif max(factors) < 1 / magnitudes.SCALE_FACTOR:
                scales.setdefault(parent, (name, [1 / factor for factor in factors]))
    found = [
        _other_scale(data, small, large, factors) for small, (large, factors) in scales.items()
    ]
    return [*found, *exchanged]


def _shared(data: Related, table: str, column: str) -> tuple[str, ...]:
    """The axes that `table` and the one its `column` leads to both measure."""
    other = data.target(table, column)
    both = {*data.columns(table)} & {*data.columns(other)} if other in data.tables else set()
    return tuple(axis for axis in AXES if axis in both)


def _look(data: Related, name: str, column: str, parent: str, axes: tuple[str, ...]) -> _Near:
    """Measure a sample of the rows of `name` beside those that `column` leads to."""
    # An exact median holds all its values in memory; a fixed stride is as good here.
    every = max(1, data.rows(name) // SAMPLE_ROWS)
    ids = parquet(written(data.context, "assign_ids", "ids")[parent])
    count = len(axes)
    mine, theirs = ([f"{side}{axis}" for axis in range(count)] for side in "cp")
    cells = [*mine, *theirs]
    own, others = (
        ", ".join(f"{axis} AS {cell}" for axis, cell in zip(axes, side, strict=True))
        for side in (mine, theirs)
    )
    near = f"""(SELECT *, {" AND ".join(f"isfinite({cell})" for cell in cells)} AS finite
        FROM (SELECT r.{quote(column)} AS parent, {own} FROM {parquet(data.tables[name])}
            POSITIONAL JOIN {parquet(data.relations[name])} r WHERE r.row_number % {every} = 0) c
        JOIN (SELECT i.cid, {others} FROM {parquet(data.tables[parent])}
            POSITIONAL JOIN {ids} i) p ON c.parent = p.cid)"""
    medians = [f"quantile_disc(abs({cell}), 0.5)" for cell in cells]
    pairs = [f"{one}{{}} {other}" for one in mine for other in theirs]
    correlations = [f"corr({pair.format(' / 1e9,')} / 1e9)" for pair in pairs]
    distances = [f"avg(abs({pair.format(' -')}))" for pair in pairs]
    wanted = [f"{each} FILTER (finite)" for each in (*correlations, *distances, "count(*)")]
    # Whether they are finite is asked here: DuckDB would take three times as long to plan it.
    *found, rows = data.row(f"SELECT {', '.join([*medians, *wanted])} FROM {near}")
    known = [each if each is not None and isfinite(each) else None for each in found]
    different = f"SELECT count(DISTINCT ({', '.join(theirs)})) FILTER (finite) FROM {near}"
    lines = [known[at : at + count] for at in range(0, len(known), count)]
    return _Near(
        axes,
        small=lines[0],
        large=lines[1],
        correlations=lines[2 : 2 + count],
        distances=lines[2 + count :],
        rows=rows,
        parents=lambda: data.row(different)[0],
    )


# -- axes


def _order(near: _Near) -> list[str] | None:
    """For each axis of the children the parents' axis that it follows, where some follow another
    than theirs.
    """
    for order in permutations(range(len(near.axes))):
        moved = [(mine, theirs) for mine, theirs in enumerate(order) if mine != theirs]
        if moved and (_follow(near, moved) or _are_nearer(near, moved)):
            return [near.axes[axis] for axis in order]
    return None


def _pairs(square: Square, moved: Sequence[tuple[int, int]]) -> list[tuple[float, float]]:
    """Of each axis that is moved, its number with the axis it is moved to, and with its own; none
    where one is not known.
    """
    pairs = [(square[mine][theirs], square[mine][mine]) for mine, theirs in moved]
    known = [(other, own) for other, own in pairs if other is not None and own is not None]
    return known if len(known) == len(pairs) else []


def _follow(near: _Near, moved: Sequence[tuple[int, int]]) -> bool:
    """Whether all axes are correlated with the parents' axis they are moved to, clearly less with
    their own.
    """
    pairs = _pairs(near.correlations, moved)
    if not pairs or not all(
        other >= magnitudes.CORRELATED and other - own >= magnitudes.CLEARLY for other, own in pairs
    ):
        return False
    parents = near.parents()
    return parents >= magnitudes.FEWEST_PARENTS and all(
        other * sqrt(parents - 2) >= magnitudes.BY_CHANCE * sqrt(max(0.0, 1 - other**2))
        for other, _ in pairs
    )


def _are_nearer(near: _Near, moved: Sequence[tuple[int, int]]) -> bool:
    """Whether the children are many times nearer to their parents with the axes moved."""
    times = magnitudes.NEARER.get(near.rows, magnitudes.NEARER_OF_MANY)
    pairs = _pairs(near.distances, moved)
    return near.rows > 1 and bool(pairs) and all(other * times < own for other, own in pairs)


def _about_centroids(
    data: Related, code: str, table: str, axes: Sequence[str], **values: Any
) -> Finding:
    """The finding about all rows of `table` that have the centroids `axes`."""
    present = " AND ".join(f"{axis} IS NOT NULL" for axis in axes)
    inspected = Inspected(data.connection, data.context, data.sources, table, data.columns(table))
    (count,) = inspected.row(f"SELECT count(*) FROM {inspected.source} WHERE {present}")
    return inspected.finding(
        code, inspected.first(axes, present, 2), column=axes[0], count=count, **values
    )


def _exchanged(data: Related, table: str, parent: str, follows: Mapping[str, str]) -> Finding:
    moved = {axis: other for axis, other in follows.items() if axis != other}

    def mapped(name: str, wanted: Mapping[str, str]) -> str:
        names = data.sources.tables[name][0].columns
        pairs = (f"{yaml_word(names.get(axis, axis))}: {wanted[axis]}" for axis in sorted(wanted))
        return f"in `tables.{name}.columns` {', '.join(pairs)}"

    back = {other: axis for axis, other in moved.items()}
    return _about_centroids(
        data,
        "SYN-UNIT-005",
        table,
        list(moved),
        confidence="likely",
        other=parent,
        follows=listed([f"{axis} follows {other} of {parent}" for axis, other in moved.items()]),
        advice=_CAUSES["exchanged"].advice(here=mapped(table, moved), there=mapped(parent, back)),
    )


# -- scales


def _other_scale(data: Related, small: str, large: str, factors: Sequence[float]) -> Finding:
    config = data.context.config.tables
    sizes = [f"{axis} by {factor:.3g}" for axis, factor in zip(AXES, factors, strict=True)]
    facts = {"small": small, "large": large, "axes": ", ".join(AXES), "sizes": ", ".join(sizes)}
    cause = "voxels"
    for unit in ("um", "mm"):
        power = NANOMETRE_EXPONENT[unit]
        if all(abs(log10(factor) - power) <= magnitudes.NEAR_POWER for factor in factors):
            converted = all(config[large].units.get(axis) == unit for axis in AXES)
            cause = "converted" if converted else "other_unit"
            setting = units_setting(small, config[small], dict.fromkeys(AXES, unit))
            facts |= {"unit": unit, "setting": setting}
    values = _CAUSES[cause].described(facts)
    known = {"other": large, "factor": f"{sorted(factors)[1]:,.1f}", "guess": values["reason"]}
    return _about_centroids(data, "SYN-UNIT-004", small, AXES, **known, **values)
