"""Which magnitudes a measure may have in nanometres, and how far apart two measures of one thing
may be.

Belongs here: every such threshold, and the few words that name units. Does not: asking tables.
All thresholds are rules of this project (R).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import pi
from typing import Final, NamedTuple

from syndb_pipeline.config.table_settings import NANOMETRE_EXPONENT, TableConfig
from syndb_pipeline.contract.tables import Column

AXES: Final = ("centroid_x", "centroid_y", "centroid_z")
AREA, VOLUME = "mesh_surface_area", "mesh_volume"

NEARLY_ALL: Final = 0.9
"""The share of values that one explanation must cover."""

# -- one column by itself


class Body(NamedTuple):
    """Smallest and largest believable median radius in nm, and the volume in nm3 below which the
    median of whole ones hardly is.

    Each radius is some three times beyond what is known: synaptic vesicles have 15 to 25 nm and
    dense core ones up to 150, the thinnest axons 50 and a squid's giant one 250,000, mitochondria
    70 to 1,000, nuclei 1,000 to 30,000. The cell body of a small fly neuron alone has 1e10 nm3.
    What is smaller may still be a piece; as whole numbers under the name of a count they are
    voxels.
    """

    least: float
    most: float
    usual_volume: float


_BODIES: Final = {
    "neuron": Body(30, 500_000, 1e10),
    "dendrite": Body(20, 50_000, 1e8),
    "axon": Body(15, 500_000, 1e8),
    "pre_synaptic_terminal": Body(30, 50_000, 3e7),
    "dendritic_spine": Body(10, 10_000, 3e6),
    "vesicle": Body(5, 1_000, 4e3),
    "mitochondria": Body(20, 10_000, 1e7),
    "endoplasmic_reticulum": Body(10, 100_000, 1e7),
    "nucleus": Body(200, 100_000, 4e9),
}

_WINDOWS: Final = {
    ("neuron", "cable_length"): (5e3, 1e10),
    ("neuron", "voxel_volume"): (1e6, 1e18),
    ("neuron", VOLUME): (1e6, 1e18),
    ("neuron", AREA): (1e6, 1e15),
    ("vesicle", "distance_to_active_zone"): (1.0, 1e6),
}
"""Windows that do not follow from a radius: a piece of neuron exceeds 1 um2; a vesicle is within
1 mm of its active zone.
"""

_TOTALS: Final = {"total_vesicle_volume": "vesicle", "total_mitochondria_volume": "mitochondria"}
"""Volumes of other things than their row -> the table whose row is the smallest thing they can
hold.
"""


def window(table: str, column: str) -> tuple[float, float] | None:
    """The range in which the median of a column may be when it is in nanometres; None where
    nothing is known.

    A compact body of radius r has the volume 4/3 pi r^3 and the area 4 pi r^2; long ones have up to
    1,000 and 100 times more.
    """
    body = _BODIES.get(table)
    if body is None or (table, column) in _WINDOWS:
        return _WINDOWS.get((table, column))
    low, high = body.least, body.most
    smallest = _BODIES[_TOTALS.get(column, table)].least
    volume = 4 / 3 * pi * smallest**3, 4 / 3 * pi * high**3 * 1_000
    return {
        "voxel_radius": (low, high),
        AREA: (4 * pi * low**2, 4 * pi * high**2 * 100),
        "mesh_area_volume_ratio": (3 / high / 10, 3 / low * 10),
        **dict.fromkeys(("voxel_volume", VOLUME, *_TOTALS), volume),
    }.get(column)


def is_small(table: str, column: str, median: float) -> bool:
    """Whether `median` is little for a volume of whole rows of `table`."""
    return table in _BODIES and column not in _TOTALS and median < _BODIES[table].usual_volume


_VOXELS = "(?:vox|voxels?|vx|px|pixels?)"
VOXEL_NAMES: Final = re.compile(
    f"(?:n|no|nr|num|number|numberof)?{_VOXELS}(?:count|counts|number|num|nr|size|sizes)?"
    f"|(?:size|volume|vol)(?:in)?{_VOXELS}"
)
"""Names of columns that count voxels, in lower case and without marks."""

SIZE_NAMES: Final = re.compile(r"(?:body|cell|seg|segment|object|obj)?(?:size|sizes|count)")
"""Names of columns that often do: neuPrint's `size` of a body is a number of voxels."""

FEWEST_VALUES: Final = 3
"""A median of fewer says nothing about a column."""

NAMELESS_COUNT: Final = ("neuron", "voxel_volume")
"""The volume that counts voxels, whatever its name, where it is too small for one in nanometres."""

FEWEST_NAMELESS: Final = 5
"""Whole volumes of neurons from which on they are taken for counts without such a name, if nothing
divides all of them.
"""

ALIKE: Final = 30.0
"""How far beyond the middle half of a column (its quartiles) a converted value may be to be one of
them.
"""

FEWEST_PLACES: Final = 10
FLATTER: Final = 4.0
"""How many times less than along the two others whole places spread along one axis, when that axis
has longer voxels.
"""

# -- shape columns among themselves

SHAPE_TOLERANCE: Final = 0.01
"""Relative difference up to which a derived shape column agrees with area and volume: rounding to
three digits stays below it.
"""

STEADY: Final = 0.01
"""Powers of ten that rounding may move a ratio."""

RATIO_UNITS: Final = {
    3: ("mesh_area_volume_ratio", "um"),
    -9: (VOLUME, "um"),
    6: (AREA, "um"),
    -1: ("mesh_area_volume_ratio", "angstrom"),
}
"""How many powers of ten a ratio is above area / volume -> the column that is in another unit,
and that unit.
"""

# -- a row and its file. Only factors of a thousand are spoken of: a skeleton in voxels of 8 nm
# beside measures in nanometres is common, and its smoothing, its missing pieces or another centre
# explain a smaller factor as well.

SIZES: Final = {
    AREA: "sqrt({})",
    VOLUME: "cbrt({})",
    "voxel_volume": "cbrt({})",
    "voxel_radius": "{}",
}
"""Measures of a row -> the length they imply, from the one that says most about the extent of a
mesh.
"""

LARGEST_SIZE: Final = 150.0
"""Such a length never exceeds some ten diagonals of the box, even of a much folded mesh; in voxels
of 15 nm that is this many.
"""

LENGTH_TOLERANCE: Final = 0.15
"""How far, in powers of ten, a skeleton's length may be from a thousand times cable_length:
smoothing takes some of it.
"""

FULLER_THAN_THE_BOX: Final = 8.0
"""A volume that is this many times that of the whole box around its mesh is twice too long in every
direction, at least.
"""

# -- children and their parents

SCALE_FACTOR: Final = 3.0
"""Medians of children's and their own parents' centroids this far apart on every axis speak of two
units.
"""

NEAR_POWER: Final = 0.15
"""How far, in powers of ten, a factor between centroids may be from that of a unit: no part is in
the middle of its parent.
"""

FEWEST_PARENTS: Final = 5
"""Parents at different places from which on a correlation is looked at."""

BY_CHANCE: Final = 5.0
"""A correlation counts from as many of its standard errors on, and from `CORRELATED` on."""

CORRELATED: Final = 0.6
CLEARLY: Final = 0.4
"""How much the correlation with another axis must exceed the one with its own."""

NEARER: Final = {2: 30.0}
NEARER_OF_MANY: Final = 10.0
"""How many times nearer children must be to their parents with the axes exchanged: of two rows,
and of three and more.
"""


def factor(unit: str, column: Column) -> float:
    """What turns values of `column` in the length unit `unit` into SynDB's; 1 for what is no length
    unit.
    """
    return float(10.0 ** (NANOMETRE_EXPONENT.get(unit, 0) * (column.dimension or 0)))


def units_setting(table: str, config: TableConfig, units: Mapping[str, object]) -> str:
    """`tables.<table>.units: {...}` as YAML ready to paste: `units`, and what the config declares
    of other columns.
    """
    merged = {**config.units, **units}
    return (
        f"tables.{table}.units: {{{', '.join(f'{name}: {unit}' for name, unit in merged.items())}}}"
    )


def listed(parts: Sequence[str]) -> str:
    """`parts` in a sentence: a, b and c."""
    return " and ".join(part for part in (", ".join(parts[:-1]), *parts[-1:]) if part)
