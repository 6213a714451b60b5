"""Measurements that hold together in nanometres: shape columns among themselves, whole columns against anatomy.

Belongs here: warnings about units and the summary of numeric columns they rest on. Does not: single values (`contract/schema.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite, pi
from pathlib import Path
from typing import Any, Final

import duckdb

from syndb_pipeline.contract.tables import TABLES, Column, Kind
from syndb_pipeline.engine import literal, parquet, quote
from syndb_pipeline.findings.finding import MAX_EXAMPLES, Finding
from syndb_pipeline.settings import NANOMETRE_EXPONENT
from syndb_pipeline.sources import SourceMap
from syndb_pipeline.stages.failures import Failures, is_error
from syndb_pipeline.stages.stage import Context
from syndb_pipeline.stages.uncast import units_setting

TOLERANCE: Final = 0.01
"""Relative difference up to which a derived shape column agrees with area and volume: rounding to three digits stays below it."""

SAMPLE_ROWS: Final = 100_000
"""Rows from which medians come: all of a small table, about this many of a large one, chosen by row number and so always the same."""

_FEWEST_VALUES: Final = 3  # a median of fewer says nothing about a column

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
"""Smallest and largest believable median radius in nm, R. Each is some three times beyond what is known: synaptic vesicles have 15 to 25 nm
and dense core ones up to 150, the thinnest axons 50 and a squid's giant one 250,000, mitochondria 70 to 1,000, nuclei 1,000 to 30,000."""

_WINDOWS: Final[dict[tuple[str, str], tuple[float, float]]] = {
    ("neuron", "cable_length"): (5e3, 1e10),
    ("neuron", "volume"): (1e6, 1e18),
    ("neuron", "area"): (1e6, 1e15),
    ("vesicle", "distance_to_active_zone"): (1, 1e6),
}
"""Windows that do not follow from a radius, R: a piece of neuron exceeds 1 um2; a vesicle lies within 1 mm of its active zone."""

_VOLUMES: Final = {"voxel_volume": "", "mesh_volume": "", "total_vesicle_volume": "vesicle", "total_mitochondria_volume": "mitochondria"}
"""Columns that are volumes -> the table whose row is the smallest thing they can hold, when it is not their own."""


def window(table: str, column: str) -> tuple[float, float] | None:
    """The range in which the median of `table`'s column may lie when it is in nanometres; None where nothing is known.

    A compact body of radius r has the volume 4/3 pi r^3 and the area 4 pi r^2; long ones have up to 1,000 and 100 times more.
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
        return _WINDOWS.get((table, "area")) or (4 * pi * radii[0] ** 2, 4 * pi * radii[1] ** 2 * 100)
    if column == "mesh_area_volume_ratio":
        return 3 / radii[1] / 10, 3 / radii[0] * 10
    return None


@dataclass(frozen=True, slots=True)
class _Agreement:
    """A column that follows from area and volume: the rule, the column, and the SQL of what it should be."""

    code: str
    column: str
    expected: str


_AGREEMENTS: Final = (
    _Agreement("SYN-UNIT-001", "mesh_area_volume_ratio", "mesh_surface_area / mesh_volume"),
    _Agreement("SYN-UNIT-002", "mesh_sphericity", f"{pi ** (1 / 3)!r} * pow(6 * mesh_volume, 2.0 / 3) / mesh_surface_area"),
)


def _disagrees(agreement: _Agreement) -> str:
    usable = " AND ".join(f"isfinite({name}) AND {name} > 0" for name in (agreement.column, "mesh_surface_area", "mesh_volume"))
    return f"({usable} AND abs({agreement.column} / ({agreement.expected}) - 1) > {TOLERANCE})"


def _agreements(columns: list[str]) -> Iterator[_Agreement]:
    for agreement in _AGREEMENTS:
        if {agreement.column, "mesh_surface_area", "mesh_volume"} <= set(columns):
            yield agreement


def check_plausibility(
    context: Context, failures: Failures, sources: SourceMap, table: str, columns: list[str]
) -> tuple[list[Finding], dict[str, dict[str, Any]]]:
    """Warnings about units of `table`, and for each numeric column its `nulls`, `min`, `median` and `max`.

    Adds the rows concerned to `failures` where the config makes an error of a rule about rows.
    """
    file = context.store.stage("ingest") / "tables" / f"{table}.parquet"
    numeric = [TABLES[table].columns[name] for name in columns if TABLES[table].columns[name].kind in (Kind.NUMBER, Kind.INTEGER)]
    if not numeric:
        return [], {}
    facts = _measure(failures.connection, file, numeric, list(_agreements(columns)))
    findings = []
    for agreement in _agreements(columns):
        count = facts[agreement.code]
        if not count:
            continue
        rows = f"FROM {parquet(file, row_number=True)} WHERE {_disagrees(agreement)}"
        first = failures.connection.execute(
            f"SELECT file_row_number, {agreement.column} {rows} ORDER BY file_row_number LIMIT {MAX_EXAMPLES}"
        ).fetchall()
        examples = [sources.example(table, row, agreement.column, repr(value)) for row, value in first]
        findings.append(context.finding(agreement.code, table=table, column=agreement.column, count=count, examples=examples))
        if is_error(context, agreement.code):
            failures.add(
                f"""SELECT {literal(agreement.code)}, {literal(table)}, file_row_number, {literal(agreement.column)},
                    {agreement.column}::VARCHAR, '' {rows}"""
            )
    for column in numeric:
        if window(table, column.name) and facts[f"{column.name} values"] >= _FEWEST_VALUES:
            finding = _scale(context, table, column, facts)
            findings += [finding] if finding else []
    summary = {column.name: {fact: facts[f"{column.name} {fact}"] for fact in ("nulls", "min", "median", "max")} for column in numeric}
    return findings, summary


def _measure(connection: duckdb.DuckDBPyConnection, file: Path, numeric: list[Column], agreements: list[_Agreement]) -> dict[str, Any]:
    """Every number the warnings and the summary need, by name. What is neither an agreement nor sampled comes from the file's footer."""
    of_all, of_sample = {"rows": "count(*)"}, {}
    for column in numeric:
        cell, name = quote(column.name), column.name
        of_all |= {f"{name} present": f"count({cell})", f"{name} min": f"min({cell})", f"{name} max": f"max({cell})"}
        finite = f"isfinite({cell})" if column.kind is Kind.NUMBER else f"{cell} IS NOT NULL"
        of_sample[f"{name} median"] = f"quantile_disc({cell}, 0.5) FILTER ({finite})"
        sized = f"FILTER ({finite} AND {cell} > 0)"
        of_sample[f"{name} values"] = f"count(*) {sized}"
        of_sample[f"{name} spread"] = f"quantile_disc({cell}, [0.05, 0.5, 0.95]) {sized}"
        of_sample[f"{name} whole"] = f"bool_and({cell} = trunc({cell})) {sized}"
    facts = _select(connection, of_all, parquet(file))
    facts |= {f"{column.name} nulls": facts["rows"] - facts[f"{column.name} present"] for column in numeric}
    # Where an extreme is no finite number, the values are looked through for the finite ones.
    odd = [column.name for column in numeric if not all(isfinite(facts[f"{column.name} {end}"] or 0) for end in ("min", "max"))]
    for name in odd:
        finite_only = {f"{name} {end}": f"{end}({quote(name)}) FILTER (isfinite({quote(name)}))" for end in ("min", "max")}
        facts |= _select(connection, finite_only, parquet(file))
    counts = {agreement.code: f"count(*) FILTER ({_disagrees(agreement)})" for agreement in agreements}
    facts |= _select(connection, counts, parquet(file)) if counts else {}
    # Exact quantiles hold every value in memory and approximate ones depend on the threads: hence a fixed sample.
    step = max(1, -(-facts["rows"] // SAMPLE_ROWS))
    return facts | _select(connection, of_sample, f"{parquet(file, row_number=True)} WHERE hash(file_row_number) % {step} = 0")


def _select(connection: duckdb.DuckDBPyConnection, facts: dict[str, str], rows: str) -> dict[str, Any]:
    cursor = connection.execute(f"SELECT {', '.join(f'{sql} AS {quote(name)}' for name, sql in facts.items())} FROM {rows}")
    return dict(zip(facts, cursor.fetchone() or (), strict=True))


def _scale(context: Context, table: str, column: Column, facts: dict[str, Any]) -> Finding | None:
    """The finding that a whole column is not in nanometres; None when its median is believable."""
    bounds = window(table, column.name)
    low, median, high = facts[f"{column.name} spread"]
    dimension = column.dimension
    if bounds is None or dimension is None or bounds[0] <= median <= bounds[1]:
        return None
    smallest, largest = bounds
    config = context.config.tables[table]

    def believable(exponent: int) -> bool:
        return bool(smallest <= median * 10.0 ** (exponent * dimension) <= largest)

    declared = config.units.get(column.name)
    units = [unit for unit in ("um", "mm", "angstrom", "pm") if believable(NANOMETRE_EXPONENT[unit])]
    if declared and believable(-NANOMETRE_EXPONENT[declared]):
        guess = f" after conversion from {declared}; it looks like nanometres that were converted"
        advice = f"If the file has nanometres, take {column.name} out of `tables.{table}.units`."
    elif facts[f"{column.name} whole"] and median < smallest:
        guess = "; whole numbers this small look like voxels"
        size = {1: "the length", 2: "the face's area", 3: "the volume"}.get(dimension, "the size")
        advice = f"SynDB wants {column.unit}. Multiply by {size} of a voxel in {column.unit} before you export {column.name}."
    elif units:
        guess = f"; it looks like {units[0]}{column.unit.removeprefix('nm') if dimension > 0 else '^-1'}"
        advice = f"If that is the unit, say so: `{units_setting(table, config, column.name, units[0])}`."
    else:
        guess = ""
        advice = f"Check its unit; SynDB wants {column.unit}. Convert with `tables.{table}.units`."
    return context.finding(
        "SYN-UNIT-003",
        table=table,
        column=column.name,
        count=facts[f"{column.name} values"],
        low=f"{low:g}",
        high=f"{high:g}",
        unit=column.unit,
        guess=guess,
        advice=f"{advice} If the values are right, there is nothing to do.",
    )
