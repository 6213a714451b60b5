"""The unit of whole columns, from what such things measure: micrometres, voxels, two units in one.

Belongs here: SYN-UNIT-003, one finding for all columns of a table that one wrong unit spoiled.
Does not: thresholds (`magnitudes.py`), whether shape columns agree (`plausibility.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from syndb_pipeline.base.engine import literal, quote
from syndb_pipeline.checks.cells.pandera_judge import SAMPLED
from syndb_pipeline.checks.inspected import Inspected
from syndb_pipeline.checks.units import magnitudes
from syndb_pipeline.checks.units.magnitudes import AXES, factor, listed, units_setting, window
from syndb_pipeline.contract.tables import Column, Kind
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Confidence, Finding

_OTHER_UNITS: Final = ("um", "mm", "angstrom", "pm")
_VOXELS, _FLAT, _CONVERTED, _UNKNOWN = "voxels", "flat voxels", "converted", ""

_STEP_VALUES: Final = 10_000
"""Values that are asked for a common factor: of so many without one, two are without."""

Facts = Mapping[str, Any]
"""What the sample says of one column, of its finite values above 0: `values` (their number),
`spread` (percentiles 5, 50 and 95), `whole` (whether all are whole); where there is a window,
`outside` (how many are not in it) and `bulk` (the quartiles of the others). Of the finite values of
a centroid: `finite`, `all_whole` and `places` (percentiles 5 and 95). Of the whole column:
`present`, its values.
"""


def measure(table: Inspected, columns: Sequence[Column]) -> dict[str, Facts]:
    """The `Facts` of each of the numeric `columns`, but for `present`, from the sample of
    `take_sample`.
    """
    wanted = []
    for column in columns:
        cell = quote(column.name)
        finite = f"isfinite({cell})" if column.kind is Kind.NUMBER else f"{cell} IS NOT NULL"
        sized = f"FILTER ({finite} AND {cell} > 0)"
        whole = f"bool_and({cell} = trunc({cell}))"
        facts = {
            "values": f"count(*) {sized}",
            "spread": f"quantile_disc({cell}, [0.05, 0.5, 0.95]) {sized}",
            "whole": f"{whole} {sized}",
        }
        if column.name in AXES:
            facts["finite"] = f"count(*) FILTER ({finite})"
            facts["all_whole"] = f"{whole} FILTER ({finite})"
            facts["places"] = f"quantile_disc({cell}, [0.05, 0.95]) FILTER ({finite})"
        if bounds := window(table.name, column.name):
            inside = _within(column, bounds)
            facts["outside"] = f"count(*) FILTER ({finite} AND {cell} > 0 AND NOT {inside})"
            facts["bulk"] = f"quantile_disc({cell}, [0.25, 0.75]) FILTER ({inside})"
        packed = ", ".join(f"{name} := {sql}" for name, sql in facts.items())
        wanted.append(f"struct_pack({packed})")
    found = table.ask(f"SELECT {', '.join(wanted)} FROM {SAMPLED}")
    return {column.name: facts for column, facts in zip(columns, found, strict=True)}


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
    whole = facts["values"] and facts["whole"]
    if column.dimension != 3 or not whole or table.config.unit(column):
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
    flat, *others = sorted(high - low for low, high in (each["places"] for each in own))
    if not 0 < flat * magnitudes.FLATTER <= min(others):
        return []
    if any(_step(table, axis.name) != 1 for axis in axes):
        return []
    return [
        Guess(axis, _FLAT, low, high, facts[axis.name]["present"])
        for axis in axes
        for low, high in [facts[axis.name]["places"]]
    ]


def _step(table: Inspected, name: str) -> int:
    """The largest number that divides all differences between the whole values of a column, in the
    sample.
    """
    cell = quote(name)
    few = f"(SELECT {cell} FROM {SAMPLED} WHERE isfinite({cell}) LIMIT {_STEP_VALUES})"
    (step,) = table.ask(
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
    bulk = facts["bulk"]
    if facts["outside"] <= 1 or not bulk:
        return None
    cell = quote(column.name)
    outside = (
        f"FROM {table.rows} WHERE isfinite({cell}) AND {cell} > 0 AND NOT {_within(column, bounds)}"
    )
    (beyond,) = table.ask(f"SELECT count(*) {outside}")
    candidates = {unit: factor(unit, column) for unit in ("um", "mm")}
    if table.config.factor(column) != 1:
        candidates[_CONVERTED] = 1 / table.config.factor(column)
    for unit, times in candidates.items():
        near = f"{bulk[0] / magnitudes.ALIKE!r} AND {bulk[1] * magnitudes.ALIKE!r}"
        count, least, most = table.ask(
            f"SELECT count(*), min({cell}), max({cell}) {outside} AND {cell} * {times!r} BETWEEN"
            f" {near}"
        )
        if count > 1 and count >= magnitudes.NEARLY_ALL * beyond:
            return Guess(column, unit, least, most, count, "likely", mixed=True)
    return None


def unit_findings(table: Inspected, guesses: Sequence[Guess]) -> list[Finding]:
    """SYN-UNIT-003 for each unit among `guesses`, with the line of the config that would fix it, if
    one would.
    """
    together: dict[tuple[str, bool, str], list[Guess]] = {}
    for guess in guesses:
        together.setdefault((guess.unit, guess.mixed, guess.named), []).append(guess)
    return [_finding(table, some) for some in together.values()]


def _finding(table: Inspected, guesses: list[Guess]) -> Finding:
    columns = [guess.column for guess in guesses]
    looks, advice = _explain(table, guesses)
    cells = []
    for guess in guesses[:MAX_EXAMPLES]:
        cell = quote(guess.column.name)
        within = f"BETWEEN {literal(guess.low)} AND {literal(guess.high)}" if guess.mixed else "> 0"
        each = max(1, MAX_EXAMPLES // len(guesses))
        cells += table.first([guess.column.name], f"{cell} {within}", each)
    return table.finding(
        "SYN-UNIT-003",
        cells,
        column=columns[0].name if len(columns) == 1 else None,
        count=max(guess.count for guess in guesses),
        confidence=(
            "possible" if any(guess.confidence == "possible" for guess in guesses) else "likely"
        ),
        situation=_situation(table.name, guesses, looks),
        advice=advice,
    )


def _units(guesses: Sequence[Guess]) -> str:
    return ", ".join(dict.fromkeys(guess.column.unit for guess in guesses))


def _situation(table: str, guesses: list[Guess], looks: str) -> str:
    """What is odd about the columns of `guesses`, which look like `looks`."""
    first, several = guesses[0], len(guesses) > 1
    which, units = listed([guess.column.name for guess in guesses]), _units(guesses)
    ranges = "; ".join(
        f"{f'{guess.column.name} ' if several else ''}mostly between {guess.low:g} and"
        f" {guess.high:g}"
        for guess in guesses
    )
    if first.mixed:
        parts = "; ".join(
            f"{guess.count:,} value{'' if guess.count == 1 else 's'} of {guess.column.name}, "
            f"from {guess.low:g} to {guess.high:g}"
            for guess in guesses
        )
        return (
            f"Two units in one column of {table}: {parts}, lie far from the others, "
            f"which are believable in {units}{looks}"
        )
    if first.unit == _FLAT:
        spans = {guess.column.name: guess.high - guess.low for guess in guesses}
        flat = min(spans, key=spans.__getitem__)
        times = " and ".join(
            f"{span / spans[flat]:.3g} times less than {name}"
            for name, span in spans.items()
            if name != flat
        )
        return (
            f"The {which} of {table} are whole numbers, and {flat} spreads {times}: "
            "they look like voxels, which are longer along one axis"
        )
    if first.named:
        source = f"The {which} of {table} comes from the column {first.named!r}, "
        if first.confidence == "likely":
            return source + "which counts voxels by its name, and has no unit"
        return (
            f"{source}whose whole numbers lie {ranges}: that is little for {table} in {units}, "
            "and such a column is often a number of voxels"
        )
    if several:
        return f"The {which} of {table} are implausible in {units}{looks}: {ranges}"
    return f"The {which} of {table} lies {ranges}, which is implausible in {units}{looks}"


def _explain(table: Inspected, guesses: list[Guess]) -> tuple[str, str]:
    """What the columns of `guesses` look like, "" where that is not known, and what to do about
    it.
    """
    config, first = table.config, guesses[0]
    unit, names = first.unit, [guess.column.name for guess in guesses]
    it = "they look" if len(guesses) > 1 or first.mixed else "it looks"
    otherwise = "If the values are right, there is nothing to do."
    if unit == _CONVERTED:
        declared = config.unit(first.column) or ""
        by = (
            f"multiplication by {declared:g}"
            if isinstance(declared, float)
            else f"conversion from {declared}"
        )
        looks = f" after {by}; {it} like nanometres that were converted"
        advice = (
            f"If the file has nanometres, take {listed(names)} out of `tables.{table.name}.units`."
        )
    elif unit in (_VOXELS, _FLAT):
        looks = "; whole numbers this small look like voxels"
        wanted = {guess.column.name: f"<{guess.column.unit} of one voxel>" for guess in guesses}
        sizes = dict.fromkeys(magnitudes.OF_8_NM[guess.column.dimension or 0] for guess in guesses)
        example = f"{' or '.join(sizes)} for voxels of 8 nm"
        if unit == _FLAT:
            example = "4, 4 and 40 for voxels of 4 x 4 x 40 nm"
        if unit == _FLAT or first.named:
            otherwise = "If the values are right, say so by naming nm as their unit there."
        advice = (
            f"SynDB wants {_units(guesses)}. Multiply by the size of a voxel, or let the pipeline"
            f" do it: `{units_setting(table.name, config, wanted)}`, such as {example}."
        )
    elif unit == _UNKNOWN:
        looks = ""
        wants = f"SynDB wants {first.column.unit}"
        advice = f"Check the unit; {wants}. Convert with `tables.{table.name}.units`."
    else:
        powers = dict.fromkeys(
            unit
            + (guess.column.unit.removeprefix("nm") if (guess.column.dimension or 0) > 0 else "^-1")
            for guess in guesses
        )
        looks = f"; {it} like {', '.join(powers)}"
        setting = units_setting(table.name, config, dict.fromkeys(names, unit))
        advice = f"If that is the unit, say so: `{setting}`."
    if first.mixed:
        advice = (
            f"Write all values of {listed(names)} in one unit; a unit in the config is that of a"
            " whole column."
        )
    return looks, f"{advice} {otherwise}"
