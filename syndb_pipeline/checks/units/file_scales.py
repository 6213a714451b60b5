"""Meshes and skeletons beside what their own rows measure: micrometres or metres where SynDB wants
nm.

Belongs here: SYN-PATH-009, from the boxes and lengths that the readers found. Does not: reading
files (`paths.py`, `readers/`), whole columns in another unit (`units.py`), thresholds
(`magnitudes.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from syndb_pipeline.base.engine import given, literal, quote
from syndb_pipeline.checks.failures import Group
from syndb_pipeline.checks.inspected import Inspected
from syndb_pipeline.checks.units import magnitudes
from syndb_pipeline.checks.units.magnitudes import AXES, listed
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import TABLES, Column

CODE: Final = "SYN-PATH-009"

_COLUMNS: Final = {"path": "VARCHAR"} | dict.fromkeys(
    ("x0", "y0", "z0", "x1", "y1", "z1", "length"), "DOUBLE"
)
_UNITS: Final = {1: "micrometres", 2: "millimetres", 3: "metres"}


@dataclass(frozen=True, slots=True)
class Shape:
    """What a file measures in its own unit: the box around it, and the length of a skeleton (0 of a
    mesh).
    """

    path: str
    box: tuple[float, ...]
    length: float = 0.0


def keep(table: Inspected, column: Column, shapes: Sequence[Shape], *, first: bool) -> None:
    """Remember `shapes` of files that `column` names for `check_scales`, the `first` ones in place
    of others.
    """
    if not _powers(table.columns, column):
        return
    with given(
        table.connection,
        "some_shapes",
        _COLUMNS,
        ((each.path, *each.box, each.length) for each in shapes),
    ):
        start = "CREATE OR REPLACE TABLE shapes AS" if first else "INSERT INTO shapes"
        table.connection.execute(f"{start} SELECT * FROM some_shapes")


def check_scales(table: Inspected, column: Column) -> None:
    """Add the cells of `column` to the failures whose file is 1,000, 1,000,000 ... times smaller or
    larger.

    The cause is the power of a thousand, and the columns that say so, `2 mesh_volume`; the power is
    0 where it cannot be told.
    """
    powers = _powers(table.columns, column)
    if not powers:
        return
    cases = {
        f"coalesce({power}, 0) <> 0": f"({power})::BIGINT || {literal(f' {names}')}"
        for names, power in powers.items()
    }
    for name in ("mesh_volume", "voxel_volume") if column.suffix != ".swc" else ():
        if name in table.columns:
            fuller = f"{name} > {magnitudes.FULLER_THAN_THE_BOX} * room"
            cases[f"isfinite({name}) AND {fuller}"] = literal(f"0 {name}")
    chosen = " ".join(f"WHEN {when} THEN {cause}" for when, cause in cases.items())
    cell = quote(column.name)
    table.connection.execute(f"""INSERT INTO failures
            SELECT {literal(CODE)}, {literal(table.name)}, file_row_number, {literal(column.name)},
              {cell}, cause FROM (
                SELECT file_row_number, {cell}, CASE {chosen} END AS cause FROM (
                    SELECT *, sqrt((x1 - x0) ^ 2 + (y1 - y0) ^ 2 + (z1 - z0) ^ 2) AS diagonal,
                        nullif((x1 - x0) * (y1 - y0) * (z1 - z0), 0) AS room
                    FROM {table.rows} JOIN shapes ON path = {cell}))
            WHERE cause IS NOT NULL""")


def _powers(columns: Sequence[str], column: Column) -> dict[str, str]:
    """Columns -> SQL of the power of a thousand by which the file is too small, 0 or NULL if they
    do not say.

    What says it most surely comes first.
    """
    powers = {}
    if column.suffix == ".swc" and "cable_length" in columns:
        ratio = """CASE WHEN length > 0 AND cable_length > 0 AND isfinite(cable_length)
                   THEN log10(cable_length / length) / 3 END"""
        near = f"abs({ratio} - round({ratio})) * 3 < {magnitudes.LENGTH_TOLERANCE}"
        powers["cable_length"] = f"CASE WHEN {near} THEN round({ratio}) END"
    axes = [axis for axis in AXES if axis in columns]
    if len(axes) > 1:
        powers[",".join(axes)] = _power_of_place(axes)
    for name, length in magnitudes.SIZES.items():
        if name in columns:
            size = length.format(name)
            ratio = (
                f"CASE WHEN diagonal > 0 AND {name} > 0 AND isfinite({name}) THEN {size} /"
                " diagonal END"
            )
            # The length is a hundredth of the diagonal at least, and ten times it at most.
            power = f"ceil((log10({ratio}) - 1) / 3)"
            powers[name] = f"CASE WHEN {ratio} > {magnitudes.LARGEST_SIZE} THEN {power} END"
    return powers


def _power_of_place(axes: Sequence[str]) -> str:
    """SQL of the power of a thousand that brings the centroid into the file's box; NULL in any
    doubt.

    Asked only of boxes that lie aside of the origin on two axes, by more than a fifth of their
    extent: a mesh in coordinates of its own starts at the origin or lies around it, and any power
    may bring a point into such a box.
    """
    least: list[str] = []
    most: list[str] = []
    inside: list[str] = []
    for axis in axes:
        low, high = f"{axis[-1]}0", f"{axis[-1]}1"
        extent, near = f"({high} - {low})", f"least(abs({low}), abs({high}))"
        known = f"""isfinite({axis}) AND {axis} <> 0 AND sign({low}) = sign({high})
                    AND sign({axis}) = sign({low}) AND {near} > 0.2 * {extent}"""
        far = f"greatest(abs({low}), abs({high}))"
        for ends, end in ((least, far), (most, near)):
            ends.append(f"CASE WHEN {known} THEN log10(abs({axis}) / {end}) END")
        room = f"(0.25 * {extent} + 0.1 * diagonal)"
        place = f"{axis} / pow(1000, power)"
        inside.append(f"coalesce({place} BETWEEN {low} - {room} AND {high} + {room}, TRUE)")
    # DuckDB's greatest and least leave out what is NULL.
    lowest, highest = f"greatest({', '.join(least)})", f"least({', '.join(most)})"
    known = " + ".join(f"(({each}) IS NOT NULL)::INTEGER" for each in least)
    power = f"round((({lowest}) + ({highest})) / 6)"
    within = f"""({known}) > 1 AND 3 * power BETWEEN {lowest} - 0.1 AND {highest} + 0.1
                 AND {" AND ".join(inside)}"""
    return f"CASE WHEN {within.replace('power', power)} THEN {power} END"


def describe_scale(group: Group, config: TableConfig) -> dict[str, str]:
    """What SYN-PATH-009 says of `group`: how far apart file and row are, by which columns, what to
    do.
    """
    power, _, named = group.cause.partition(" ")
    smaller, thousands, names = int(power) >= 0, abs(int(power)), named.split(",")
    which, verb = listed(names), "says" if len(names) == 1 else "say"
    factor = f"{1000**thousands:,}"
    unit = f", as if they were in {_UNITS[thousands]}" if smaller and thousands in _UNITS else ""
    how = "smaller" if smaller else "larger"
    reason = f"its coordinates are about {factor} times {how} than {which} of the row {verb}{unit}"
    if not thousands:
        reason = (
            f"{which} of the row is larger than the whole box around the mesh, "
            "as if the file were in micrometres or voxels"
        )
        factor = "what one of its units is in nanometres"
    units = f"`tables.{group.table}.units`"
    if smaller:
        radii = " and radii" if group.column == "swc_path" else ""
        advice = (
            f"If the row is right, multiply the coordinates{radii} of the file by {factor}, and"
            " export it again"
        )
        columns = TABLES[group.table].columns
        if declared := [name for name in names if config.unit(columns[name]) not in (None, "nm")]:
            advice += (
                f"; if the table is in nanometres already, take {', '.join(declared)} out of"
                f" {units}"
            )
    else:
        advice = (
            f"If the file is right, name the unit of {which} in {units}; if the row is right, "
            f"divide the coordinates of the file by {factor}, and export it again"
        )
    return {
        "reason": reason,
        "advice": f"SynDB wants nanometres in the file and in the row. {advice}.",
    }
