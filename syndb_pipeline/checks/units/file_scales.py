"""Meshes and skeletons beside what their own rows measure: coordinates in micrometres or metres
where SynDB wants nanometres.

Belongs here: SYN-PATH-009, from the boxes and lengths that the readers found. Does not: reading
files (`paths.py`, `readers/`), whole columns in another unit (`units.py`).

All limits are rules of this project (R). Only factors of a thousand are spoken of: a skeleton in
voxels of 8 nm beside measures in nanometres is common, and its smoothing, its missing pieces or
another centre explain a smaller factor as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from syndb_pipeline.base.engine import given, literal, parquet, quote
from syndb_pipeline.checks.failures import Failures, Group
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import Column

CODE: Final = "SYN-PATH-009"

_SHAPES: Final = "path_shapes"
_BOX: Final = ("x0", "y0", "z0", "x1", "y1", "z1")
_AXES: Final = ("x", "y", "z")

_SIZES: Final = {
    "mesh_surface_area": "sqrt({})",
    "mesh_volume": "cbrt({})",
    "voxel_volume": "cbrt({})",
    "voxel_radius": "{}",
}
"""Measures of a row -> the length they stand for, from the one that says most about the extent of a
mesh.
"""

_LARGEST_SIZE: Final = 150.0
"""Such a length never exceeds some ten diagonals of the box, even of a much folded mesh; in voxels
of 15 nm that is this many.
"""

_LENGTH_TOLERANCE: Final = 0.15
"""How far, in powers of ten, the length of a skeleton may lie from a thousand times cable_length:
smoothing takes some of it.
"""

_FULLER_THAN_THE_BOX: Final = 8.0
"""A volume that is this many times that of the whole box around its mesh is twice too long in every
direction, at least.
"""

_UNITS: Final = {1: "micrometres", 2: "millimetres", 3: "metres"}


@dataclass(frozen=True, slots=True)
class Shape:
    """What a file measures in its own unit: the box around it, and the length of a skeleton (0 of a
    mesh).
    """

    path: str
    box: tuple[float, ...]
    length: float = 0.0


def keep(
    connection: duckdb.DuckDBPyConnection, table: str, column: str, shapes: Sequence[Shape]
) -> None:
    """Remember `shapes` of the files that `table` names in `column`, for `check_scales`."""
    names = ", ".join(f"{name} DOUBLE" for name in (*_BOX, "length"))
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {_SHAPES} (tbl VARCHAR, col VARCHAR, path VARCHAR, {names})"
    )
    columns = {"path": "VARCHAR"} | dict.fromkeys((*_BOX, "length"), "DOUBLE")
    rows = [(shape.path, *shape.box, shape.length) for shape in shapes]
    with given(connection, "some_shapes", columns, rows):
        connection.execute(
            f"INSERT INTO {_SHAPES} SELECT {literal(table)}, {literal(column)}, * FROM some_shapes"
        )


def comparable(column: Column, columns: Sequence[str]) -> bool:
    """Whether a table with these columns measures anything that the files of `column` can be held
    against.
    """
    return bool(_powers(columns, skeleton=column.suffix == ".swc"))


def check_scales(
    failures: Failures, table: str, column: Column, columns: Sequence[str], file: Path
) -> None:
    """Add the cells of `column` to `failures` whose file is a thousand, a million ... times smaller
    or larger than its row says.

    The cause is the power of a thousand, and the columns that say so, `2 mesh_volume`; the power is
    0 where it cannot be told.
    """
    cell, skeleton = quote(column.name), column.suffix == ".swc"
    powers = _powers(columns, skeleton=skeleton)
    full = [name for name in ("mesh_volume", "voxel_volume") if name in columns and not skeleton]
    fuller = " ".join(
        f"WHEN isfinite({name}) AND {name} > {_FULLER_THAN_THE_BOX} * room THEN"
        f" {literal(f'0 {name}')}"
        for name in full
    )
    chosen = " ".join(
        f"WHEN coalesce({power}, 0) <> 0 THEN ({power})::BIGINT || {literal(f' {names}')}"
        for names, power in powers.items()
    )
    failures.add(
        f"""SELECT {literal(CODE)}, {literal(table)}, file_row_number, {literal(column.name)},
              {cell}, cause FROM (
                SELECT file_row_number, {cell}, CASE {chosen} {fuller} END AS cause FROM (
                    SELECT *, sqrt((x1 - x0) ^ 2 + (y1 - y0) ^ 2 + (z1 - z0) ^ 2) AS diagonal,
                        nullif((x1 - x0) * (y1 - y0) * (z1 - z0), 0) AS room
                    FROM {parquet(file, row_number=True)} JOIN {_SHAPES} s
                    ON s.path = {cell} AND s.tbl = {literal(table)} AND s.col =
                      {literal(column.name)}))
            WHERE cause IS NOT NULL"""
    )


def describe_scale(group: Group, config: TableConfig, columns: dict[str, Column]) -> dict[str, str]:
    """What SYN-PATH-009 says of `group`: how far apart file and row are, by which columns, and what
    to do.
    """
    power, _, named = group.cause.partition(" ")
    smaller, thousands = int(power) >= 0, abs(int(power))
    names = named.split(",")
    listed = ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]
    factor = f"{1000**thousands:,}"
    unit = f", as if they were in {_UNITS[thousands]}" if smaller and thousands in _UNITS else ""
    reason = (
        f"its coordinates are about {factor} times {'smaller' if smaller else 'larger'} than"
        f" {listed} of the row say{unit}"
    )
    if len(names) == 1:
        reason = reason.replace(" say", " says", 1)
    if not thousands:
        reason = (
            f"{listed} of the row is larger than the whole box around the mesh, as if the file were"
            " in micrometres or voxels"
        )
        factor = "what one of its units is in nanometres"
    declared = [name for name in names if config.unit(columns[name]) not in (None, "nm")]
    advice = "SynDB wants nanometres in the file and in the row. "
    if smaller:
        radii = " and radii" if group.column == "swc_path" else ""
        advice += (
            f"If the row is right, multiply the coordinates{radii} of the file by {factor}, and"
            " export it again"
        )
        if declared:
            advice += (
                f"; if the table is in nanometres already, take {', '.join(declared)} out of"
                f" `tables.{group.table}.units`"
            )
    else:
        advice += f"If the file is right, name the unit of {listed} in `tables.{group.table}.units`"
        advice += (
            f"; if the row is right, divide the coordinates of the file by {factor}, and export it"
            " again"
        )
    return {"reason": reason, "advice": f"{advice}."}


def _centroids(columns: Sequence[str]) -> list[str]:
    return [axis for axis in _AXES if f"centroid_{axis}" in columns]


def _powers(columns: Sequence[str], *, skeleton: bool) -> dict[str, str]:
    """Columns -> SQL of the power of a thousand by which they say that the file is too small, 0 or
    NULL where they say nothing.

    What says it most surely comes first.
    """
    powers = {}
    if skeleton and "cable_length" in columns:
        ratio = (
            "CASE WHEN length > 0 AND cable_length > 0 AND isfinite(cable_length) THEN"
            " log10(cable_length / length) END"
        )
        powers["cable_length"] = (
            f"CASE WHEN abs(({ratio}) / 3 - round(({ratio}) / 3)) * 3 < {_LENGTH_TOLERANCE} THEN"
            f" round(({ratio}) / 3) END"
        )
    if len(axes := _centroids(columns)) > 1:
        powers[",".join(f"centroid_{axis}" for axis in axes)] = _power_of_place(axes)
    for name, length in _SIZES.items():
        if name in columns:
            ratio = (
                f"CASE WHEN diagonal > 0 AND {name} > 0 AND isfinite({name}) THEN"
                f" {length.format(name)} / diagonal END"
            )
            # The length is a hundredth of the diagonal at least, and ten times it at most.
            powers[name] = (
                f"CASE WHEN {ratio} > {_LARGEST_SIZE} THEN ceil((log10({ratio}) - 1) / 3) END"
            )
    return powers


def _power_of_place(axes: Sequence[str]) -> str:
    """SQL of the power of a thousand that brings the row's centroid into the box of its file; NULL
    where nothing is certain.

    Asked only of boxes that lie aside of the origin on two axes, by more than a fifth of their
    extent: a mesh in coordinates of its own starts at the origin or lies around it, and any power
    may bring a point into such a box.
    """
    leasts, mosts, inside = [], [], []
    for axis in axes:
        low, high, centroid = f"{axis}0", f"{axis}1", f"centroid_{axis}"
        near, far = f"least(abs({low}), abs({high}))", f"greatest(abs({low}), abs({high}))"
        one_side = (
            f"sign({low}) = sign({high}) AND sign({centroid}) = sign({low}) AND {near} > 0.2 *"
            f" ({high} - {low})"
        )
        known = f"isfinite({centroid}) AND {centroid} <> 0 AND {one_side}"
        leasts.append(f"CASE WHEN {known} THEN log10(abs({centroid}) / {far}) END")
        mosts.append(f"CASE WHEN {known} THEN log10(abs({centroid}) / {near}) END")
        room = f"(0.25 * ({high} - {low}) + 0.1 * diagonal)"
        inside.append(
            f"coalesce({centroid} / pow(1000, power) BETWEEN {low} - {room} AND {high} + {room},"
            " TRUE)"
        )
    # Those of DuckDB leave out what is NULL.
    least, most = f"greatest({', '.join(leasts)})", f"least({', '.join(mosts)})"
    enough = " + ".join(f"(({each}) IS NOT NULL)::INTEGER" for each in leasts)
    within = (
        f"({enough}) > 1 AND 3 * power BETWEEN {least} - 0.1 AND {most} + 0.1 AND"
        f" {' AND '.join(inside)}"
    )
    power = f"round((({least}) + ({most})) / 6)"
    return f"CASE WHEN {within.replace('power', power)} THEN {power} END"
