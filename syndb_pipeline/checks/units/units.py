"""The unit of whole columns, from what such things measure: micrometres, voxels, two units in one
column.

Belongs here: windows of believable medians, and one finding for all columns of a table that one
wrong unit spoiled. Does not: whether shape columns agree among themselves (`plausibility.py`),
coordinates (`children.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import pi
from pathlib import Path
from typing import Any, Final

import duckdb

from syndb_pipeline.base.engine import literal, parquet, quote
from syndb_pipeline.checks.cells.summaries import SAMPLED
from syndb_pipeline.checks.original_text import examples
from syndb_pipeline.config.table_settings import NANOMETRE_EXPONENT, TableConfig
from syndb_pipeline.contract.tables import Column
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Confidence, Example, Finding
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context

_FEWEST_VALUES: Final = 3  # a median of fewer says nothing about a column

_MOSTLY: Final = 0.9
"""The share of the values outside their window that one unit must explain before two units are
told.
"""

_ALIKE: Final = 30.0
"""How far beyond the middle half of a column (its quartiles) a converted value may lie to be one of
them.
"""

_OTHER_UNITS: Final = ("um", "mm", "angstrom", "pm")

VOXELS, FLAT, CONVERTED, UNKNOWN = "voxels", "flat voxels", "converted", ""

_USUAL_VOLUMES: Final[dict[str, float]] = {
    "neuron": 1e10,
    "dendrite": 1e8,
    "axon": 1e8,
    "pre_synaptic_terminal": 3e7,
    "dendritic_spine": 3e6,
    "vesicle": 4e3,
    "mitochondria": 1e7,
    "endoplasmic_reticulum": 1e7,
    "nucleus": 4e9,
}
"""Volumes in nm3 below which the median of whole ones hardly lies, R: the cell body of a small fly
neuron alone has 1e10. What is below may still be a piece, so the window above is wider; as whole
numbers under the name of a count they are voxels.
"""

_COUNT = r"(?:n|no|nr|num|number|numberof)?(?:vox|voxels?|vx|px|pixels?)(?:count|counts|number|num|nr|size|sizes)?"
_VOXEL_NAMES: Final = re.compile(
    rf"{_COUNT}|(?:size|volume|vol)(?:in)?(?:vox|voxels?|vx|px|pixels?)"
)
"""Names of columns that count voxels, in lower case and without marks."""

_SIZE_NAMES: Final = re.compile(r"(?:body|cell|seg|segment|object|obj)?(?:size|sizes|count)")
"""Names of columns that often do: neuPrint's `size` of a body is a number of voxels."""

_FEWEST_NAMELESS: Final = 5
"""Whole volumes of neurons from which on they are taken for counts without such a name, if nothing
divides all of them.
"""

_AXES: Final = ("centroid_x", "centroid_y", "centroid_z")
_FLATTER: Final = 4.0
"""How many times less than along the two others whole places spread along one axis, when that axis
has longer voxels, R.
"""

_FEWEST_PLACES: Final = 10

_STEP_VALUES: Final = 10_000
"""Values that are asked for a common factor: of so many without one, two are without."""

_RADII: Final[dict[str, tuple[float, float]]] = {
    "neuron": (30, 500_000),
    "dendrite": (20, 50_000),
    "axon": (15, 500_000),
    "pre_synaptic_terminal": (30, 50_000),
    "dendritic_spine": (10, 10_000),
    "vesicle": (5, 1_000),
    "mitochondria": (20, 10_000),
    "endoplasmic_reticulum": (10, 100_000),
    "nucleus": (200, 100_000),
}
"""Smallest and largest believable median radius in nm, R. Each is some three times beyond what is
known: synaptic vesicles have 15 to 25 nm and dense core ones up to 150, the thinnest axons 50 and a
squid's giant one 250,000, mitochondria 70 to 1,000, nuclei 1,000 to 30,000.
"""

_WINDOWS: Final[dict[tuple[str, str], tuple[float, float]]] = {
    ("neuron", "cable_length"): (5e3, 1e10),
    ("neuron", "volume"): (1e6, 1e18),
    ("neuron", "area"): (1e6, 1e15),
    ("vesicle", "distance_to_active_zone"): (1, 1e6),
}
"""Windows that do not follow from a radius, R: a piece of neuron exceeds 1 um2; a vesicle lies
within 1 mm of its active zone.
"""

_VOLUMES: Final = {
    "voxel_volume": "",
    "mesh_volume": "",
    "total_vesicle_volume": "vesicle",
    "total_mitochondria_volume": "mitochondria",
}
"""Columns that are volumes -> the table whose row is the smallest thing they can hold, when it is
not their own.
"""


def window(table: str, column: str) -> tuple[float, float] | None:
    """The range in which the median of `table`'s column may lie when it is in nanometres; None
    where nothing is known.

    A compact body of radius r has the volume 4/3 pi r^3 and the area 4 pi r^2; long ones have up to
    1,000 and 100 times more.
    """
    if (table, column) in _WINDOWS:
        return _WINDOWS[table, column]
    radii = _RADII.get(table)
    if radii is None:
        return None
    if column == "voxel_radius":
        return radii
    if column in _VOLUMES:
        own = _WINDOWS.get((table, "volume")) if not _VOLUMES[column] else None
        smallest = _RADII[_VOLUMES[column] or table][0]
        return own or (4 / 3 * pi * smallest**3, 4 / 3 * pi * radii[1] ** 3 * 1_000)
    if column == "mesh_surface_area":
        return _WINDOWS.get((table, "area")) or (
            4 * pi * radii[0] ** 2,
            4 * pi * radii[1] ** 2 * 100,
        )
    if column == "mesh_area_volume_ratio":
        return 3 / radii[1] / 10, 3 / radii[0] * 10
    return None


def is_believable(column: Column, bounds: tuple[float, float]) -> str:
    """SQL: the cell of `column` lies in the window `bounds`."""
    return f"({quote(column.name)} BETWEEN {bounds[0]!r} AND {bounds[1]!r})"


_OF_8_NM: Final = {1: "8", 2: "64", 3: "512", -1: "0.125"}
"""What a voxel of 8 nm measures, by the power of nanometres."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What is wrong with a column's unit: `unit` is a length unit, `VOXELS`, `CONVERTED`
    (nanometres that were converted) or `UNKNOWN`.

    `low` and `high` enclose nine tenths of the `count` values concerned. `mixed` tells that the
    other values are in SynDB's unit. `named` is the lab's name of a column that says by its name
    that it may count voxels.
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
        exponent = NANOMETRE_EXPONENT.get(self.unit, 0)
        return float(10.0 ** (exponent * (self.column.dimension or 0)))


def guess_units(
    connection: duckdb.DuckDBPyConnection,
    file: Path,
    config: TableConfig,
    table: str,
    columns: Sequence[Column],
    facts: dict[str, Any],
    names: Mapping[str, str],
) -> list[Guess]:
    """A guess for each of `columns` whose values are not believable in nanometres.

    Args:
        facts: those of `plausibility`, whose sample is still there.
        names: SynDB's names of columns -> the lab's.
    """
    guesses = []
    for column in columns:
        if guess := _counted(
            connection, config, table, column, facts, names.get(column.name, column.name)
        ):
            guesses.append(guess)
            continue
        bounds = window(table, column.name)
        if (
            bounds is None
            or column.dimension is None
            or facts[f"{column.name} values"] < _FEWEST_VALUES
        ):
            continue
        smallest, largest = bounds
        median = facts[f"{column.name} spread"][1]
        guess = None
        if facts[f"{column.name} outside"] > 1 and facts[f"{column.name} bulk"]:
            guess = _mixed(connection, file, config, column, bounds, facts[f"{column.name} bulk"])
        if guess is None and not smallest <= median <= largest:
            guess = _whole(config, column, bounds, facts)
        guesses += [guess] if guess else []
    return guesses + _flat(connection, config, columns, facts)


def _counted(
    connection: duckdb.DuckDBPyConnection,
    config: TableConfig,
    table: str,
    column: Column,
    facts: dict[str, Any],
    name: str,
) -> Guess | None:
    """The guess that a volume is a number of voxels: by the lab's `name` of it, or because whole
    neurons are not as small.

    A unit in the config, nm as well, says that it is none.
    """
    if (
        column.dimension != 3
        or not facts[f"{column.name} values"]
        or not facts[f"{column.name} whole"]
        or config.unit(column)
    ):
        return None
    low, median, high = facts[f"{column.name} spread"]
    plain = re.sub("[^a-z]", "", name.casefold())
    small = median < _USUAL_VOLUMES.get(table, 0) and column.name not in (
        "total_vesicle_volume",
        "total_mitochondria_volume",
    )
    if _VOXEL_NAMES.fullmatch(plain):
        return Guess(
            column, VOXELS, low, high, facts[f"{column.name} present"], "likely", named=name
        )
    if small and _SIZE_NAMES.fullmatch(plain):
        return Guess(column, VOXELS, low, high, facts[f"{column.name} present"], named=name)
    bounds = window(table, column.name)
    if bounds is None or not (
        table == "neuron" and small and column.name == "voxel_volume" and median >= bounds[0]
    ):
        return None
    if facts[f"{column.name} values"] >= _FEWEST_NAMELESS and _step(connection, column.name) == 1:
        return Guess(column, VOXELS, low, high, facts[f"{column.name} present"])
    return None


def _flat(
    connection: duckdb.DuckDBPyConnection,
    config: TableConfig,
    columns: Sequence[Column],
    facts: dict[str, Any],
) -> list[Guess]:
    """Guesses that whole places are voxels which are longer along one axis, as those of sections
    are.

    Places that were multiplied by the size of a voxel are multiples of it. A unit in the config, nm
    as well, says that they are none.
    """
    axes = sorted(
        (column for column in columns if column.name in _AXES), key=lambda column: column.name
    )
    if len(axes) < len(_AXES) or any(config.unit(axis) for axis in axes):
        return []
    spreads = [facts[f"{axis.name} places"] for axis in axes]
    if min(facts[f"{axis.name} finite"] for axis in axes) < _FEWEST_PLACES or not all(
        facts[f"{axis.name} all whole"] for axis in axes
    ):
        return []
    flat, *others = sorted(high - low for low, high in spreads)
    if not 0 < flat * _FLATTER <= min(others) or any(
        _step(connection, axis.name) != 1 for axis in axes
    ):
        return []
    return [
        Guess(axis, FLAT, low, high, facts[f"{axis.name} present"])
        for axis, (low, high) in zip(axes, spreads, strict=True)
    ]


def _step(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    """The largest number that divides all differences between the whole values of a column, in the
    sample that `summarise` left.
    """
    cell = quote(name)
    few = f"(SELECT {cell} FROM {SAMPLED} WHERE isfinite({cell}) LIMIT {_STEP_VALUES})"
    (step,) = connection.execute(
        f"""SELECT list_reduce(list(DISTINCT try_cast({cell} - least AS BIGINT)), lambda a, b:
              gcd(a, b))
            FROM {few}, (SELECT min({cell}) AS least FROM {few})"""
    ).fetchone() or (None,)
    return abs(int(step)) if step is not None else 0


def _whole(
    config: TableConfig, column: Column, bounds: tuple[float, float], facts: dict[str, Any]
) -> Guess:
    low, median, high = facts[f"{column.name} spread"]
    count = facts[f"{column.name} present"]

    def believable(factor: float) -> bool:
        return bool(bounds[0] <= median * factor <= bounds[1])

    units = [
        unit
        for unit in _OTHER_UNITS
        if believable(10.0 ** (NANOMETRE_EXPONENT[unit] * (column.dimension or 0)))
    ]
    if config.factor(column) != 1 and believable(1 / config.factor(column)):
        return Guess(column, CONVERTED, low, high, count, "likely")
    if facts[f"{column.name} whole"] and median < bounds[0]:
        return Guess(column, VOXELS, low, high, count)
    if units:
        return Guess(
            column, units[0], low, high, count, "likely" if units[0] == "um" else "possible"
        )
    return Guess(column, UNKNOWN, low, high, count)


def _mixed(
    connection: duckdb.DuckDBPyConnection,
    file: Path,
    config: TableConfig,
    column: Column,
    bounds: tuple[float, float],
    bulk: tuple[float, float],
) -> Guess | None:
    """The guess that a part of a column is in another unit than `bulk`; None when no unit explains
    nearly all that lies outside.
    """
    cell = quote(column.name)
    outside = f"isfinite({cell}) AND {cell} > 0 AND NOT {is_believable(column, bounds)}"
    (beyond,) = connection.execute(
        f"SELECT count(*) FROM {parquet(file)} WHERE {outside}"
    ).fetchone() or (0,)
    candidates = {
        unit: 10.0 ** (NANOMETRE_EXPONENT[unit] * (column.dimension or 0)) for unit in ("um", "mm")
    }
    if config.factor(column) != 1:
        candidates[CONVERTED] = 1 / config.factor(column)
    for unit, factor in candidates.items():
        alike = (
            f"{outside} AND {cell} * {factor!r} BETWEEN {bulk[0] / _ALIKE!r} AND"
            f" {bulk[1] * _ALIKE!r}"
        )
        count, least, most = connection.execute(
            f"SELECT count(*), min({cell}), max({cell}) FROM {parquet(file)} WHERE {alike}"
        ).fetchone() or (0, 0, 0)
        if count > 1 and count >= _MOSTLY * beyond:
            return Guess(column, unit, least, most, count, "likely", mixed=True)
    return None


def units_setting(table: str, config: TableConfig, units: dict[str, str]) -> str:
    """`tables.<table>.units: {...}` as YAML ready to paste: `units`, and what the config declares
    of other columns.
    """
    merged = dict(config.units) | units
    return (
        f"tables.{table}.units: {{{', '.join(f'{name}: {unit}' for name, unit in merged.items())}}}"
    )


def tell_units(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    sources: SourceMap,
    table: str,
    file: Path,
    guesses: Sequence[Guess],
) -> list[Finding]:
    """SYN-UNIT-003 for each unit among `guesses`, with the first rows and, where one line of the
    config would cure it, that line.
    """
    together: dict[tuple[str, bool, str], list[Guess]] = {}
    for guess in guesses:
        together.setdefault((guess.unit, guess.mixed, guess.named), []).append(guess)
    return [_tell(connection, context, sources, table, file, some) for some in together.values()]


def _tell(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    sources: SourceMap,
    table: str,
    file: Path,
    guesses: list[Guess],
) -> Finding:
    first = guesses[0]
    config = context.config.tables[table]
    names = [guess.column.name for guess in guesses]
    listed = ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]
    looks = _looks_like(config, guesses)
    ranges = "; ".join(
        f"{f'{guess.column.name} ' if len(guesses) > 1 else ''}mostly between {guess.low:g} and"
        f" {guess.high:g}"
        for guess in guesses
    )
    units = ", ".join(dict.fromkeys(guess.column.unit for guess in guesses))
    if first.mixed:
        parts = "; ".join(
            f"{guess.count:,} value{'' if guess.count == 1 else 's'} of {guess.column.name}, from"
            f" {guess.low:g} to {guess.high:g}"
            for guess in guesses
        )
        situation = (
            f"Two units in one column of {table}: {parts}, lie far from the others, which are"
            f" believable in {units}{looks}"
        )
    elif first.unit == FLAT:
        spans = {guess.column.name: guess.high - guess.low for guess in guesses}
        flat = min(spans, key=spans.__getitem__)
        times = " and ".join(
            f"{span / spans[flat]:.3g} times less than {name}"
            for name, span in spans.items()
            if name != flat
        )
        situation = (
            f"The {listed} of {table} are whole numbers, and {flat} spreads {times}: they look like"
            " voxels, which are longer along one axis"
        )
    elif first.named:
        situation = (
            f"The {listed} of {table} comes from the column {first.named!r}, which counts voxels by"
            " its name, and has no unit"
        )
        if first.confidence != "likely":
            situation = (
                f"The {listed} of {table} comes from the column {first.named!r}, whose whole"
                f" numbers lie {ranges}: that is little for {table} in {units}, and such a column"
                " is often a number of voxels"
            )
    elif len(guesses) == 1:
        situation = f"The {listed} of {table} lies {ranges}, which is implausible in {units}{looks}"
    else:
        situation = f"The {listed} of {table} are implausible in {units}{looks}: {ranges}"
    return context.finding(
        "SYN-UNIT-003",
        table=table,
        column=names[0] if len(names) == 1 else None,
        count=max(guess.count for guess in guesses),
        examples=_first_cells(connection, context, sources, table, file, guesses),
        confidence=(
            "possible" if any(guess.confidence == "possible" for guess in guesses) else "likely"
        ),
        situation=situation,
        advice=_advice(table, config, guesses, listed),
    )


def _looks_like(config: TableConfig, guesses: list[Guess]) -> str:
    unit = guesses[0].unit
    subject = "they look" if len(guesses) > 1 or guesses[0].mixed else "it looks"
    if unit == CONVERTED:
        declared = config.unit(guesses[0].column) or ""
        how = (
            f"multiplication by {declared:g}"
            if isinstance(declared, float)
            else f"conversion from {declared}"
        )
        return f" after {how}; {subject} like nanometres that were converted"
    if unit == VOXELS:
        return "; whole numbers this small look like voxels"
    if unit == UNKNOWN:
        return ""
    powers = dict.fromkeys(
        f"{unit}{guess.column.unit.removeprefix('nm') if (guess.column.dimension or 0) > 0 else '^-1'}"
        for guess in guesses
    )
    return f"; {subject} like {', '.join(powers)}"


def _advice(table: str, config: TableConfig, guesses: list[Guess], listed: str) -> str:
    unit, column = guesses[0].unit, guesses[0].column
    otherwise = " If the values are right, there is nothing to do."
    if guesses[0].mixed:
        return (
            f"Write all values of {listed} in one unit; a unit in the config is that of a whole"
            f" column.{otherwise}"
        )
    if unit == CONVERTED:
        return (
            f"If the file has nanometres, take {listed} out of `tables.{table}.units`.{otherwise}"
        )
    if unit in (VOXELS, FLAT):
        wants = ", ".join(dict.fromkeys(guess.column.unit for guess in guesses))
        setting = units_setting(
            table,
            config,
            {guess.column.name: f"<{guess.column.unit} of one voxel>" for guess in guesses},
        )
        sizes = dict.fromkeys(_OF_8_NM[guess.column.dimension or 0] for guess in guesses)
        example = (
            "4, 4 and 40 for voxels of 4 x 4 x 40 nm"
            if unit == FLAT
            else f"{' or '.join(sizes)} for voxels of 8 nm"
        )
        if unit == FLAT or guesses[0].named:
            otherwise = " If the values are right, say so by naming nm as their unit there."
        return (
            f"SynDB wants {wants}. Multiply by the size of a voxel, or let the pipeline do it:"
            f" `{setting}`, such as {example}.{otherwise}"
        )
    if unit == UNKNOWN:
        return (
            f"Check the unit; SynDB wants {column.unit}. Convert with"
            f" `tables.{table}.units`.{otherwise}"
        )
    setting = units_setting(table, config, {guess.column.name: unit for guess in guesses})
    return f"If that is the unit, say so: `{setting}`.{otherwise}"


def _first_cells(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    sources: SourceMap,
    table: str,
    file: Path,
    guesses: list[Guess],
) -> list[Example]:
    """The first cells concerned, of each column as many as there is room for."""
    places: list[tuple[int, str, Any]] = []
    for guess in guesses[:MAX_EXAMPLES]:
        cell = quote(guess.column.name)
        concerned = (
            f"{cell} BETWEEN {literal(guess.low)} AND {literal(guess.high)}"
            if guess.mixed
            else f"{cell} > 0"
        )
        rows = connection.execute(
            f"""SELECT file_row_number, {cell} FROM {parquet(file, row_number=True)} WHERE
                  {concerned}
                ORDER BY file_row_number LIMIT {max(1, MAX_EXAMPLES // len(guesses))}"""
        ).fetchall()
        places += [(row, guess.column.name, value) for row, value in rows]
    return examples(connection, context, sources, table, places)
