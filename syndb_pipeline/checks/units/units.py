"""Measurements that are believable in nanometres: columns by themselves, and shape columns among
themselves.

Belongs here: SYN-UNIT-003, one finding for all columns of a table that one wrong unit spoiled;
SYN-UNIT-001 and 002, and the summary of numeric columns. Does not: thresholds (`magnitudes.py`),
single values (`contract/checks.py`), other tables (`places.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import pi
from pathlib import Path
from typing import Any, Final

from syndb_pipeline.base.engine import literal, quote
from syndb_pipeline.checks.causes import Cause, causes
from syndb_pipeline.checks.cells.pandera_judge import SAMPLED, summarise
from syndb_pipeline.checks.dataset import Inspected
from syndb_pipeline.checks.references.relations import Swap
from syndb_pipeline.checks.references.swapped import columns_setting
from syndb_pipeline.checks.units import magnitudes
from syndb_pipeline.checks.units.magnitudes import (
    AREA,
    AXES,
    NEARLY_ALL,
    VOLUME,
    factor,
    listed,
    units_setting,
    window,
)
from syndb_pipeline.contract.tables import TABLES, Column, Kind
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Confidence, Finding
from syndb_pipeline.state.results import ValidatedTable

_OTHER_UNITS: Final = ("um", "mm", "angstrom", "pm")
_VOXELS, _FLAT, _CONVERTED, _UNKNOWN = "voxels", "flat", "converted", "unknown"

_CAUSES: Final = causes(Path(__file__).with_suffix(".toml"), Cause)

_STEP_VALUES: Final = 10_000
"""Values that are asked for a common factor: of so many without one, two are without."""


def numeric_columns(table: str, columns: Sequence[str]) -> list[Column]:
    """Those of `columns` of `table` that hold numbers: `check_units` wants a sample of them
    taken.
    """
    declared = [TABLES[table].columns[name] for name in columns]
    return [column for column in declared if column.kind in (Kind.NUMBER, Kind.INTEGER)]


def check_units(table: Inspected) -> tuple[list[Finding], ValidatedTable]:
    """Warnings about units of `table`, and what validate's record keeps of it.

    That is in `columns` the `Summary` of each numeric column, and in `units`, where there are any,
    the columns that seem to be in another unit. Adds the rows concerned to the failures where the
    config makes an error of a rule about rows.
    """
    numeric = numeric_columns(table.name, table.columns)
    if not numeric:
        return [], ValidatedTable(columns={})
    rows, summaries = summarise(table.connection, table.file, numeric)
    measured = _measure(
        table, numeric, {name: rows - each.nulls for name, each in summaries.items()}
    )
    guesses = [guess for each in measured.values() if (guess := _guess(table, each))]
    guesses += _flat(table, [measured[axis] for axis in sorted(AXES) if axis in measured])
    together: dict[tuple[str, bool, str], list[Guess]] = {}
    for guess in guesses:
        together.setdefault((guess.unit, guess.mixed, guess.named), []).append(guess)
    findings = _disagreements(table, guesses) + [
        _finding(table, some) for some in together.values()
    ]
    units = {guess.column.name: guess.unit for guess in guesses}
    return findings, ValidatedTable(columns=summaries, units=units)


# -- one column by itself


@dataclass(frozen=True, slots=True)
class _Measured:
    """A column of whose unit something is known: how many cells have a value, and of the usable
    ones of the sample (finite, and above 0 but for places) their number, percentiles 5, 50 and 95,
    whether all are whole, and how many are outside the `bounds` of what is believable.
    """

    column: Column
    bounds: tuple[float, float] | None
    present: int
    values: int
    spread: tuple[float, float, float] | None
    whole: bool | None
    outside: int


@dataclass(frozen=True, slots=True)
class Guess:
    """What is wrong with a column's unit: `unit` is a length unit or one of the four kinds above.

    `low` and `high` enclose nine tenths of the `count` values concerned. `mixed` says that the
    other values are in SynDB's unit. `named` is the lab's name of a column that, by it, may count
    voxels.
    """

    column: Column
    unit: str
    low: float
    high: float
    count: int
    confidence: Confidence = "possible"
    mixed: bool = False
    named: str = ""


def _within(column: Column, bounds: tuple[float, float]) -> str:
    return f"({quote(column.name)} BETWEEN {bounds[0]!r} AND {bounds[1]!r})"


def _measure(
    table: Inspected, columns: Sequence[Column], present: Mapping[str, int]
) -> dict[str, _Measured]:
    """What the sample of `take_sample` says of those of `columns` that have a unit to doubt."""
    known = [(column, window(table.name, column.name)) for column in columns]
    doubted = [
        (column, bounds)
        for column, bounds in known
        if bounds or column.dimension == 3 or column.name in AXES
    ]
    wanted = []
    for column, bounds in doubted:
        cell = quote(column.name)
        usable = f"isfinite({cell}::DOUBLE)"
        usable += "" if column.name in AXES else f" AND {cell} > 0"
        outside = f"{usable} AND NOT {_within(column, bounds)}" if bounds else "FALSE"
        wanted.append(f"""row(count(*) FILTER ({usable}),
            quantile_disc({cell}, [0.05, 0.5, 0.95]) FILTER ({usable}),
            bool_and({cell} = trunc({cell})) FILTER ({usable}), count(*) FILTER ({outside}))""")
    found = table.row(f"SELECT {', '.join(wanted)} FROM {SAMPLED}") if wanted else ()
    return {
        column.name: _Measured(column, bounds, present[column.name], *facts)
        for (column, bounds), facts in zip(doubted, found, strict=True)
    }


def _guess(table: Inspected, own: _Measured) -> Guess | None:
    """What is wrong with a column whose values are not believable in nanometres."""
    if guess := _counted(table, own):
        return guess
    if own.bounds and own.column.dimension and own.values >= magnitudes.FEWEST_VALUES:
        return _mixed(table, own, own.bounds) or _whole(table, own, own.bounds)
    return None


def _counted(table: Inspected, own: _Measured) -> Guess | None:
    """The guess that a volume is a number of voxels: by the lab's name of it, or as neurons are not
    so small.

    A unit in the config, nm as well, says that it is none.
    """
    column = own.column
    if column.dimension != 3 or not (own.spread and own.whole) or table.config.unit(column):
        return None
    low, median, high = own.spread
    guess = partial(Guess, column, _VOXELS, low, high, own.present)
    name = table.sources.tables[table.name][0].columns.get(column.name, column.name)
    plain = re.sub("[^a-z]", "", name.casefold())
    if magnitudes.VOXEL_NAMES.fullmatch(plain):
        return guess("likely", named=name)
    if not magnitudes.is_small(table.name, column.name, median):
        return None
    if magnitudes.SIZE_NAMES.fullmatch(plain):
        return guess(named=name)
    counts = (
        (table.name, column.name) == magnitudes.NAMELESS_COUNT
        and own.bounds
        and median >= own.bounds[0]
        and own.values >= magnitudes.FEWEST_NAMELESS
    )
    return guess() if counts and _step(table, column.name) == 1 else None


def _flat(table: Inspected, axes: Sequence[_Measured]) -> list[Guess]:
    """Guesses that whole places are voxels which are longer along one axis, as those of sections
    are.

    Places that were multiplied by the size of a voxel are multiples of it. A unit in the config
    says that they are none.
    """
    if len(axes) < len(AXES) or any(table.config.unit(axis.column) for axis in axes):
        return []
    if any(axis.values < magnitudes.FEWEST_PLACES or not axis.whole for axis in axes):
        return []
    ends = [(low, high) for low, _, high in (axis.spread for axis in axes if axis.spread)]
    flat, *others = sorted(high - low for low, high in ends)
    if not 0 < flat * magnitudes.FLATTER <= min(others):
        return []
    if any(_step(table, axis.column.name) != 1 for axis in axes):
        return []
    return [
        Guess(axis.column, _FLAT, *end, axis.present) for axis, end in zip(axes, ends, strict=True)
    ]


def _step(table: Inspected, name: str) -> int:
    """The largest number that divides all differences between the whole values of a column, in the
    sample.
    """
    cell = quote(name)
    few = f"(SELECT {cell} FROM {SAMPLED} WHERE isfinite({cell}) LIMIT {_STEP_VALUES})"
    (step,) = table.row(
        f"""SELECT list_reduce(list(DISTINCT try_cast({cell} - least AS BIGINT)), lambda a, b:
              gcd(a, b))
            FROM {few}, (SELECT min({cell}) AS least FROM {few})"""
    )
    return abs(int(step)) if step is not None else 0


def _whole(table: Inspected, own: _Measured, bounds: tuple[float, float]) -> Guess | None:
    """The guess about a column whose median is not believable."""
    low, median, high = own.spread or (0, 0, 0)
    if bounds[0] <= median <= bounds[1]:
        return None

    def believable(times: float) -> bool:
        return bounds[0] <= median * times <= bounds[1]

    guess = partial(Guess, own.column, low=low, high=high, count=own.present)
    declared = table.config.factor(own.column)
    if declared != 1 and believable(1 / declared):
        return guess(_CONVERTED, confidence="likely")
    if own.whole and median < bounds[0]:
        return guess(_VOXELS)
    for unit in _OTHER_UNITS:
        if believable(factor(unit, own.column)):
            return guess(unit, confidence="likely" if unit == "um" else "possible")
    return guess(_UNKNOWN)


def _mixed(table: Inspected, own: _Measured, bounds: tuple[float, float]) -> Guess | None:
    """The guess that a part of a column is in another unit; None when no unit explains nearly all
    outside.
    """
    column, cell, inside = own.column, quote(own.column.name), _within(own.column, bounds)
    if own.outside <= 1:
        return None
    (bulk,) = table.row(f"SELECT quantile_disc({cell}, [0.25, 0.75]) FROM {SAMPLED} WHERE {inside}")
    if not bulk:
        return None
    outside = f"FROM {table.source} WHERE isfinite({cell}) AND {cell} > 0 AND NOT {inside}"
    (beyond,) = table.row(f"SELECT count(*) {outside}")
    candidates = {unit: factor(unit, column) for unit in ("um", "mm")}
    candidates[_CONVERTED] = 1 / table.config.factor(column)
    near = f"{bulk[0] / magnitudes.ALIKE!r} AND {bulk[1] * magnitudes.ALIKE!r}"
    for unit, times in candidates.items():
        if times == 1:
            continue
        count, low, high = table.row(
            f"SELECT count(*), min({cell}), max({cell}) {outside} AND {cell} * {times!r} BETWEEN"
            f" {near}"
        )
        if count > 1 and count >= NEARLY_ALL * beyond:
            return Guess(column, unit, low, high, count, "likely", mixed=True)
    return None


def _finding(table: Inspected, guesses: list[Guess]) -> Finding:
    """SYN-UNIT-003 about `guesses`, all of one unit, with the config's line that would fix it, if
    any.
    """
    first, columns = guesses[0], [guess.column for guess in guesses]
    facts = _facts(table, guesses)
    look = "named" if first.named else first.unit if first.unit in _CAUSES else "other"
    facts["looks"] = _CAUSES[look].described(facts)["reason"]
    if first.mixed:
        odd, look = "in_part", "mixed"
    elif first.named:
        odd = "count" if first.confidence == "likely" else "size"
    else:
        odd = (
            "along_one_axis" if first.unit == _FLAT else "columns" if columns[1:] else "one_column"
        )
    cells = []
    for guess in guesses[:MAX_EXAMPLES]:
        within = f"BETWEEN {literal(guess.low)} AND {literal(guess.high)}" if guess.mixed else "> 0"
        where = f"{quote(guess.column.name)} {within}"
        cells += table.first([guess.column.name], where, max(1, MAX_EXAMPLES // len(guesses)))
    sure = all(guess.confidence == "likely" for guess in guesses)
    return table.finding(
        "SYN-UNIT-003",
        cells,
        column=None if columns[1:] else columns[0].name,
        count=max(guess.count for guess in guesses),
        confidence="likely" if sure else "possible",
        situation=_CAUSES[odd].described(facts)["reason"],
        advice=_CAUSES[look].advice(**facts),
    )


def _facts(table: Inspected, guesses: list[Guess]) -> dict[str, Any]:
    """What the sentences about `guesses`, all of one unit, name."""
    first, columns = guesses[0], [guess.column for guess in guesses]
    declared = table.config.unit(first.column) or ""
    spans = {guess.column.name: guess.high - guess.low for guess in guesses}
    flat, *others = sorted(spans, key=spans.__getitem__)
    voxels = first.unit in (_VOXELS, _FLAT)
    units = {each.name: f"<{each.unit} of one voxel>" if voxels else first.unit for each in columns}
    ranges = [(guess, f"{guess.low:g} and {guess.high:g}") for guess in guesses]
    return {
        "table": table.name,
        "columns": listed([each.name for each in columns]),
        "units": ", ".join(dict.fromkeys(each.unit for each in columns)),
        "unit": first.unit,
        "named": first.named,
        "number": 2 if first.mixed else len(guesses),
        "conversion": (
            f"multiplication by {declared:g}"
            if isinstance(declared, float)
            else f"conversion from {declared}"
        ),
        "setting": units_setting(table.name, table.config, units),
        "flat": flat,
        "times": f"{spans[others[0]] / spans[flat]:.3g}" if first.unit == _FLAT else "",
        "ranges": "; ".join(
            f"{f'{guess.column.name} ' if columns[1:] else ''}mostly between {ends}"
            for guess, ends in ranges
        ),
        "parts": "; ".join(
            f"{guess.count:,} values of {guess.column.name}, between {ends}"
            for guess, ends in ranges
        ),
    }


# -- shape columns among themselves


@dataclass(frozen=True, slots=True)
class _Agreement:
    """A column that follows from area and volume: its rule, and the SQL of what it should be."""

    code: str
    column: str
    expected: str
    usable: str = "TRUE"

    def fails(self, factors: Mapping[str, float] | None = None, *, swapped: bool = False) -> str:
        """SQL: the three values are there and disagree, times `factors`, or with area for
        volume.
        """
        names = (self.column, AREA, VOLUME)
        value, area, volume = (f"({name} * {(factors or {}).get(name, 1.0)!r})" for name in names)
        area, volume = (volume, area) if swapped else (area, volume)
        usable = " AND ".join(f"isfinite({name}) AND {name} > 0" for name in names)
        difference = f"{value} / ({self.expected.format(area=area, volume=volume)}) - 1"
        return f"({usable} AND {self.usable} AND abs({difference}) > {magnitudes.SHAPE_TOLERANCE})"


_RATIO: Final = _Agreement("SYN-UNIT-001", "mesh_area_volume_ratio", "{area} / {volume}")
_SPHERICITY: Final = _Agreement(
    "SYN-UNIT-002",
    "mesh_sphericity",
    f"{pi ** (1 / 3)!r} * pow(6 * {{volume}}, 2.0 / 3) / {{area}}",
    "mesh_sphericity <= 1",  # what is larger is out of range, by SYN-VAL-001
)


def _disagreements(table: Inspected, guesses: Sequence[Guess]) -> list[Finding]:
    """The findings for rows whose shape columns disagree, but for those that agree once columns are
    in the units guessed. A row is named by one of them: both follow from two columns.
    """
    factors = {
        guess.column.name: factor(guess.unit, guess.column) for guess in guesses if not guess.mixed
    }
    findings, named = [], "FALSE"
    for agreement in (_RATIO, _SPHERICITY):
        if {agreement.column, AREA, VOLUME} <= {*table.columns}:
            wrong = f"{agreement.fails()} AND NOT coalesce({named}, FALSE)"
            named = agreement.fails()
            if table.row(f"SELECT count(*) FROM {table.source} WHERE {wrong}") != (0,):
                wrong += f" AND {agreement.fails(factors)}" if factors else ""
                findings += _disagreement(table, agreement, wrong)
    return findings


def _disagreement(table: Inspected, agreement: _Agreement, wrong: str) -> list[Finding]:
    """The finding for the rows `wrong`, if there are any."""
    usable = f"{agreement.column} > 0 AND {AREA} > 0 AND {VOLUME} > 0"
    log = f"log10({agreement.column} / ({agreement.expected.format(area=AREA, volume=VOLUME)}))"
    count, comparable, swapped, low, high = table.row(
        f"""SELECT count(*) FILTER ({wrong}), count(*) FILTER ({usable}),
                   count(*) FILTER ({wrong} AND NOT {agreement.fails(swapped=True)}),
                   min({log}) FILTER ({wrong}), max({log}) FILTER ({wrong})
            FROM {table.source}"""
    )
    if not count:
        return []
    table.refuse(agreement.code, agreement.column, wrong)
    facts: dict[str, Any] = {"table": table.name}
    cause, power = "unclear", round((low + high) / 2)
    if swapped >= NEARLY_ALL * count:
        cause, swap = "exchanged", Swap(AREA, VOLUME, "")
        facts["columns"] = columns_setting(table.name, table.config, table.sources, swap)
    elif (
        agreement is _RATIO
        and max(high - power, power - low) < magnitudes.STEADY
        and power in magnitudes.RATIO_UNITS
    ):
        cause, (column, unit) = "other_unit", magnitudes.RATIO_UNITS[power]
        setting = units_setting(table.name, table.config, {column: unit})
        facts |= {"power": power, "column": column, "unit": unit, "setting": setting}
    if cause != "unclear" and count < NEARLY_ALL * comparable:
        cause += "_in_part"
    values = _CAUSES[cause].described(facts)
    cells = table.first([agreement.column], wrong)
    known = {"column": agreement.column, "count": count, "guess": values["reason"]}
    return [table.finding(agreement.code, cells, **known, **values)]
