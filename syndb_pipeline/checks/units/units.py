"""The unit of whole columns, from what such things measure: micrometres, voxels, two units in one.

Belongs here: SYN-UNIT-003, one finding for all columns of a table that one wrong unit spoiled.
Does not: thresholds (`magnitudes.py`), whether shape columns agree (`plausibility.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from syndb_pipeline.base.engine import literal, quote
from syndb_pipeline.checks.causes import Cause, causes
from syndb_pipeline.checks.cells.pandera_judge import SAMPLED
from syndb_pipeline.checks.inspected import Inspected
from syndb_pipeline.checks.units import magnitudes
from syndb_pipeline.checks.units.magnitudes import AXES, factor, listed, units_setting, window
from syndb_pipeline.contract.tables import Column, Kind
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Confidence, Finding

_OTHER_UNITS: Final = ("um", "mm", "angstrom", "pm")
_VOXELS, _FLAT, _CONVERTED, _UNKNOWN = "voxels", "flat", "converted", "unknown"

_CAUSES: Final = causes(Path(__file__).with_suffix(".toml"), Cause)

_STEP_VALUES: Final = 10_000
"""Values that are asked for a common factor: of so many without one, two are without."""

Facts = Mapping[str, Any]
"""What the sample says of one column. Of a volume, and where there is a window, of its finite
values above 0: `values` (their number), `spread` (percentiles 5, 50 and 95), `whole` (whether all
are whole) and `outside` (how many are not in the window). Of a centroid's finite values: `finite`
(their number) and `all_whole`. Of the whole column: `present`, its values.
"""


def measure(table: Inspected, columns: Sequence[Column]) -> dict[str, Facts]:
    """The `Facts`, but for `present`, of those of the numeric `columns` that have a unit to doubt,
    from the sample of `take_sample`.
    """
    wanted = {}
    for column in columns:
        cell, finite = quote(column.name), _finite(column)
        whole, facts = f"bool_and({cell} = trunc({cell}))", {}
        bounds = window(table.name, column.name)
        if bounds or column.dimension == 3:
            sized = f"FILTER ({finite} AND {cell} > 0)"
            facts["values"] = f"count(*) {sized}"
            facts["spread"] = f"quantile_disc({cell}, [0.05, 0.5, 0.95]) {sized}"
            facts["whole"] = f"{whole} {sized}"
        if bounds:
            inside = _within(column, bounds)
            facts["outside"] = f"count(*) FILTER ({finite} AND {cell} > 0 AND NOT {inside})"
        if column.name in AXES:
            facts["finite"] = f"count(*) FILTER ({finite})"
            facts["all_whole"] = f"{whole} FILTER ({finite})"
        if facts:
            packed = ", ".join(f"{name} := {sql}" for name, sql in facts.items())
            wanted[column.name] = f"struct_pack({packed})"
    found = table.row(f"SELECT {', '.join(wanted.values())} FROM {SAMPLED}") if wanted else ()
    return dict(zip(wanted, found, strict=True))


def _finite(column: Column) -> str:
    cell = quote(column.name)
    return f"isfinite({cell})" if column.kind is Kind.NUMBER else f"{cell} IS NOT NULL"


def _percentiles(table: Inspected, column: Column, low: float, high: float, where: str) -> Any:
    """Two percentiles of those values of `column` in the sample that fulfil a condition."""
    query = f"SELECT quantile_disc({quote(column.name)}, [{low}, {high}]) FROM {SAMPLED}"
    return table.row(f"{query} WHERE {where}")[0]


def _within(column: Column, bounds: tuple[float, float]) -> str:
    return f"({quote(column.name)} BETWEEN {bounds[0]!r} AND {bounds[1]!r})"


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

    @property
    def factor(self) -> float:
        """What would turn the values into SynDB's unit; 1 where that is not known."""
        return factor(self.unit, self.column)


def guess_units(
    table: Inspected, columns: Sequence[Column], facts: Mapping[str, Facts]
) -> list[Guess]:
    """A guess for each of `columns` whose values are not believable in nanometres."""
    guesses = []
    for column in columns:
        own, bounds = facts[column.name], window(table.name, column.name)
        guess = _counted(table, column, own)
        if (
            guess is None
            and bounds
            and column.dimension
            and own["values"] >= magnitudes.FEWEST_VALUES
        ):
            guess = _mixed(table, column, bounds, own) or _whole(table, column, bounds, own)
        guesses += [guess] if guess else []
    return guesses + _flat(table, columns, facts)


def _counted(table: Inspected, column: Column, facts: Facts) -> Guess | None:
    """The guess that a volume is a number of voxels: by the lab's name of it, or as neurons are not
    so small.

    A unit in the config, nm as well, says that it is none.
    """
    if column.dimension != 3 or not (facts["values"] and facts["whole"]):
        return None
    if table.config.unit(column):
        return None
    low, median, high = facts["spread"]
    name = table.sources.tables[table.name][0].columns.get(column.name, column.name)
    plain = re.sub("[^a-z]", "", name.casefold())
    small = magnitudes.is_small(table.name, column.name, median)
    if magnitudes.VOXEL_NAMES.fullmatch(plain):
        return Guess(column, _VOXELS, low, high, facts["present"], "likely", named=name)
    if small and magnitudes.SIZE_NAMES.fullmatch(plain):
        return Guess(column, _VOXELS, low, high, facts["present"], named=name)
    bounds = window(table.name, column.name)
    neuron = table.name == "neuron" and column.name == "voxel_volume" and small
    if not (
        neuron and bounds and median >= bounds[0] and facts["values"] >= magnitudes.FEWEST_NAMELESS
    ):
        return None
    return (
        Guess(column, _VOXELS, low, high, facts["present"])
        if _step(table, column.name) == 1
        else None
    )


def _flat(table: Inspected, columns: Sequence[Column], facts: Mapping[str, Facts]) -> list[Guess]:
    """Guesses that whole places are voxels which are longer along one axis, as those of sections
    are.

    Places that were multiplied by the size of a voxel are multiples of it. A unit in the config
    says that they are none.
    """
    axes = sorted(
        (column for column in columns if column.name in AXES), key=lambda column: column.name
    )
    own = [facts[axis.name] for axis in axes]
    if len(axes) < len(AXES) or any(table.config.unit(axis) for axis in axes):
        return []
    if any(each["finite"] < magnitudes.FEWEST_PLACES or not each["all_whole"] for each in own):
        return []
    places = [_percentiles(table, axis, 0.05, 0.95, _finite(axis)) for axis in axes]
    flat, *others = sorted(high - low for low, high in places)
    if not 0 < flat * magnitudes.FLATTER <= min(others):
        return []
    if any(_step(table, axis.name) != 1 for axis in axes):
        return []
    return [
        Guess(axis, _FLAT, low, high, facts[axis.name]["present"])
        for axis, (low, high) in zip(axes, places, strict=True)
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


def _whole(
    table: Inspected, column: Column, bounds: tuple[float, float], facts: Facts
) -> Guess | None:
    """The guess about a column whose median is not believable."""
    low, median, high = facts["spread"]
    if bounds[0] <= median <= bounds[1]:
        return None

    def believable(times: float) -> bool:
        return bool(bounds[0] <= median * times <= bounds[1])

    def guess(unit: str, sure: Confidence = "possible") -> Guess:
        return Guess(column, unit, low, high, facts["present"], sure)

    declared = table.config.factor(column)
    if declared != 1 and believable(1 / declared):
        return guess(_CONVERTED, "likely")
    if facts["whole"] and median < bounds[0]:
        return guess(_VOXELS)
    unit = next((unit for unit in _OTHER_UNITS if believable(factor(unit, column))), _UNKNOWN)
    return guess(unit, "likely" if unit == "um" else "possible")


def _mixed(
    table: Inspected, column: Column, bounds: tuple[float, float], facts: Facts
) -> Guess | None:
    """The guess that a part of a column is in another unit; None when no unit explains nearly all
    outside.
    """
    if facts["outside"] <= 1:
        return None
    bulk = _percentiles(table, column, 0.25, 0.75, _within(column, bounds))
    if not bulk:
        return None
    cell = quote(column.name)
    outside = (
        f"FROM {table.source} WHERE isfinite({cell}) AND {cell} > 0 AND NOT"
        f" {_within(column, bounds)}"
    )
    (beyond,) = table.row(f"SELECT count(*) {outside}")
    candidates = {unit: factor(unit, column) for unit in ("um", "mm")}
    if table.config.factor(column) != 1:
        candidates[_CONVERTED] = 1 / table.config.factor(column)
    for unit, times in candidates.items():
        near = f"{bulk[0] / magnitudes.ALIKE!r} AND {bulk[1] * magnitudes.ALIKE!r}"
        count, least, most = table.row(
            f"SELECT count(*), min({cell}), max({cell}) {outside} AND {cell} * {times!r} BETWEEN"
            f" {near}"
        )
        if count > 1 and count >= magnitudes.NEARLY_ALL * beyond:
            return Guess(column, unit, least, most, count, "likely", mixed=True)
    return None


def unit_findings(table: Inspected, guesses: Sequence[Guess]) -> list[Finding]:
    """SYN-UNIT-003 for each unit among `guesses`, with the config's line that would fix it, if
    any.
    """
    together: dict[tuple[str, bool, str], list[Guess]] = {}
    for guess in guesses:
        together.setdefault((guess.unit, guess.mixed, guess.named), []).append(guess)
    return [_finding(table, some) for some in together.values()]


def _finding(table: Inspected, guesses: list[Guess]) -> Finding:
    first, facts = guesses[0], _facts(table, guesses)
    look = first.unit if first.unit in _CAUSES else "other"
    facts["looks"] = _CAUSES["named" if first.named else look].described(facts)["reason"]
    if first.mixed:
        odd, look = "in_part", "mixed"
    elif first.named:
        odd, look = "count" if first.confidence == "likely" else "size", "named"
    elif first.unit == _FLAT:
        odd = "along_one_axis"
    else:
        odd = "columns" if len(guesses) > 1 else "one_column"
    cells = []
    for guess in guesses[:MAX_EXAMPLES]:
        cell = quote(guess.column.name)
        within = f"BETWEEN {literal(guess.low)} AND {literal(guess.high)}" if guess.mixed else "> 0"
        each = max(1, MAX_EXAMPLES // len(guesses))
        cells += table.first([guess.column.name], f"{cell} {within}", each)
    sure = all(guess.confidence == "likely" for guess in guesses)
    return table.finding(
        "SYN-UNIT-003",
        cells,
        column=first.column.name if len(guesses) == 1 else None,
        count=max(guess.count for guess in guesses),
        confidence="likely" if sure else "possible",
        situation=_CAUSES[odd].described(facts)["reason"],
        advice=_CAUSES[look].advice(**facts),
    )


def _facts(table: Inspected, guesses: list[Guess]) -> dict[str, Any]:
    """What the sentences about `guesses`, all of one unit, name."""
    first, several = guesses[0], len(guesses) > 1
    columns = [guess.column for guess in guesses]
    declared = table.config.unit(first.column) or ""
    by_number = isinstance(declared, float)
    spans = {guess.column.name: guess.high - guess.low for guess in guesses}
    flat = min(spans, key=spans.__getitem__)
    powers = [
        each.unit.removeprefix("nm") if (each.dimension or 0) > 0 else "^-1" for each in columns
    ]
    units = {each.name: first.unit for each in columns}
    if first.unit in (_VOXELS, _FLAT):
        units = {each.name: f"<{each.unit} of one voxel>" for each in columns}
    return {
        "table": table.name,
        "columns": listed([each.name for each in columns]),
        "units": ", ".join(dict.fromkeys(each.unit for each in columns)),
        "unit": first.column.unit,
        "named": first.named,
        "it": "they look" if several or first.mixed else "it looks",
        "conversion": (
            f"multiplication by {declared:g}" if by_number else f"conversion from {declared}"
        ),
        "powers": ", ".join(dict.fromkeys(first.unit + power for power in powers)),
        "sizes": " or ".join(
            dict.fromkeys(magnitudes.OF_8_NM[each.dimension or 0] for each in columns)
        ),
        "setting": units_setting(table.name, table.config, units),
        "flat": flat,
        "times": " and ".join(
            f"{span / spans[flat]:.3g} times less than {name}"
            for name, span in spans.items()
            if name != flat and first.unit == _FLAT
        ),
        "ranges": "; ".join(
            f"{f'{guess.column.name} ' if several else ''}mostly between {guess.low:g} and"
            f" {guess.high:g}"
            for guess in guesses
        ),
        "parts": "; ".join(
            f"{guess.count:,} value{'' if guess.count == 1 else 's'} of {guess.column.name},"
            f" from {guess.low:g} to {guess.high:g}"
            for guess in guesses
        ),
    }
