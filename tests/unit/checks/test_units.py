"""Units by what the values are, of a table by itself and beside its parents: one finding for one
wrong unit, nothing twice, and a fix that heals it.

Belongs here: SYN-UNIT-001 to 005, what they silence, units as numbers, from real files. Does not:
windows of single columns (`test_validate.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import pi
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
import yaml

from syndb_pipeline.rules.finding import Finding
from tests.lab import Checked, Lab
from tests.written_lab import written_lab

AXES = ("centroid_x", "centroid_y", "centroid_z")
SHAPE = ("mesh_surface_area", "mesh_volume", "mesh_area_volume_ratio")
RADII = (210.0, 180.0, 195.0, 240.0, 205.0)


def lab(
    folder: Path,
    table: str,
    cells: Mapping[str, Sequence[Any]],
    suffix: str = "csv",
    **settings: Any,
) -> Lab:
    """One table, whose rows have keys beside `cells`."""
    texts = {name: [None if x is None else str(x) for x in each] for name, each in cells.items()}
    keys = [f"k{number}" for number in range(len(next(iter(cells.values()))))]
    return written_lab(folder, {table: {"cid": keys} | texts}, suffix, {table: settings})


def of_units(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.code.startswith("SYN-UNIT")]


def found(dataset: Lab) -> list[Finding]:
    """What validate says of units."""
    return of_units(dataset.run("validate")["validate"].findings)


def faults(checked: Checked) -> list[str]:
    return [code for code in checked.faults if code != "SYN-INT-003"]


def healed(dataset: Lab, finding: Finding) -> list[str]:
    """What is wrong once the finding's first setting is in the config."""
    for table, keys in yaml.safe_load(finding.settings[0])["tables"].items():
        dataset.config["tables"][table] |= keys
    return faults(dataset.check())


# -- shapes


def balls(
    folder: Path, radii: Sequence[float], *factors: float, table: str = "mitochondria"
) -> Lab:
    """Areas, volumes and ratios of balls, each times what a wrong unit makes of it."""
    rows = [(4 * pi * r**2, 4 / 3 * pi * r**3, 3 / r) for r in radii]
    columns = zip(*rows, strict=True)
    return lab(
        folder,
        table,
        {
            name: [f"{value * factor:.6g}" for value in values]
            for name, values, factor in zip(SHAPE, columns, factors, strict=True)
        },
    )


@pytest.mark.parametrize(
    ("factors", "columns"),
    [
        ((1, 1, 1e3), SHAPE[2:]),
        ((1e-6, 1e-9, 1e3), SHAPE),
        ((1, 1e-9, 1), SHAPE[1:2]),
        ((1e-6, 1, 1), SHAPE[:1]),
    ],
)
def test_one_wrong_unit_is_one_finding_and_its_line_heals_it(
    tmp_path: Path, factors: tuple[float, ...], columns: tuple[str, ...]
) -> None:
    dataset = balls(tmp_path, RADII, *factors)
    checked = dataset.check()
    assert faults(checked) == ["SYN-UNIT-003"]
    finding = checked.finding("SYN-UNIT-003")
    offered = yaml.safe_load(finding.settings[0])["tables"]["mitochondria"]["units"]
    assert offered == dict.fromkeys(columns, "um")
    assert (finding.confidence, finding.count, finding.examples[0].row) == ("likely", 5, 2)
    assert healed(dataset, finding) == []


def test_a_ratio_that_only_area_and_volume_betray(tmp_path: Path) -> None:
    dataset = balls(tmp_path, [radius * 25 for radius in RADII], 1, 1, 1e3, table="neuron")
    [finding] = found(dataset)
    assert finding.code == "SYN-UNIT-001"
    assert "it is 10^3 times that, as if mesh_area_volume_ratio were in um" in finding.message
    assert healed(dataset, finding) == []


def test_a_few_rows_in_another_unit(tmp_path: Path) -> None:
    right = balls(tmp_path / "right", RADII * 3, 1, 1, 1)
    wrong = balls(tmp_path / "wrong", RADII, 1e-6, 1e-9, 1e3)
    more = (wrong.folder / "mitochondria.csv").read_text().split("\n", 1)[1].replace("k", "m")
    with (right.folder / "mitochondria.csv").open("a") as file:
        file.write(more)
    [finding] = found(right)
    assert "Two units in one column of mitochondria: 5 values of mesh_volume" in finding.message
    assert "they look like um." in finding.message
    assert (finding.examples[0].row, finding.count) == (17, 5)
    assert finding.settings == [], "a unit in the config would be that of the whole column"


def test_extremes_of_one_column_are_no_other_unit(tmp_path: Path) -> None:
    assert found(balls(tmp_path, (*RADII, 6.0, 3.0, 2.0, 40_000.0), 1, 1, 1)) == []


def test_exchanged_columns_are_mapped_the_other_way_round(tmp_path: Path) -> None:
    dataset = balls(tmp_path, RADII, 1, 1, 1)
    file = tmp_path / "mitochondria.csv"
    area, volume = SHAPE[:2]
    file.write_text(file.read_text().replace(f"{area},{volume}", f"{volume},{area}"))
    [finding] = found(dataset)
    assert (finding.code, finding.confidence) == ("SYN-UNIT-001", "likely")
    assert "they agree once mesh_surface_area and mesh_volume are exchanged" in finding.message
    assert healed(dataset, finding) == []


def test_a_sphericity_in_percent_is_told_by_its_range_alone(tmp_path: Path) -> None:
    dataset = balls(tmp_path, RADII[:3], 1, 1, 1)
    file = tmp_path / "mitochondria.csv"
    head, *rows = file.read_text().split()
    lines = [f"{row},{value}" for row, value in zip(rows, (95, 88, 91), strict=True)]
    file.write_text("\n".join([f"{head},mesh_sphericity", *lines]) + "\n")
    checked = dataset.check()
    assert faults(checked) == ["SYN-VAL-001"]
    finding = checked.finding("SYN-VAL-001")
    assert ("percentages" in finding.fix, finding.confidence) == (True, "likely")
    assert finding.examples[0].value == "95"


@pytest.mark.parametrize(
    ("value", "marker"), [("-9999", "-9999"), ("9999", "9999"), ("-1.0", "-1"), ("-9.99e2", "-999")]
)
def test_a_marker_out_of_range_is_told_with_its_setting(
    tmp_path: Path, value: str, marker: str
) -> None:
    dataset = lab(tmp_path, "synapse", {"gaba": [0.5, value]})
    [finding] = dataset.run("validate")["validate"].findings
    assert yaml.safe_load(finding.settings[0])["tables"]["synapse"]["missing"] == [marker]
    assert (finding.code, finding.confidence, finding.examples[0].value) == (
        *("SYN-VAL-001", "likely"),
        value,
    )
    assert healed(dataset, finding) == []


# -- places of a table by itself, and volumes


def places(
    rows: int, size: tuple[int, int, int], steps: tuple[int, int, int] = (1, 1, 1)
) -> dict[str, list[Any]]:
    """Whole places that fill a volume, each a multiple of its step."""
    random = Random(3)
    return {
        axis: [random.randrange(length // step) * step + 17 for _ in range(rows)]
        for axis, length, step in zip(AXES, size, steps, strict=True)
    }


SLAB = places(60, (200_000, 90_000, 6_000))


@pytest.mark.parametrize(("suffix", "table"), [("csv", "neuron"), ("parquet", "synapse")])
def test_places_in_voxels_that_are_longer_along_z(tmp_path: Path, suffix: str, table: str) -> None:
    dataset = lab(tmp_path, table, SLAB, suffix)
    [finding] = found(dataset)
    assert (finding.code, finding.severity, finding.count) == ("SYN-UNIT-003", "warning", 60)
    assert "centroid_z spreads" in finding.message and "they look like voxels" in finding.message
    assert [place.column for place in finding.examples] == list(AXES)
    assert "4, 4 and 40 for voxels of 4 x 4 x 40 nm" in finding.fix
    dataset.config["tables"][table]["units"] = dict(zip(AXES, (4, 4.0, 40), strict=True))
    assert found(dataset) == []


def test_the_flat_axis_may_have_another_name_and_many_places(tmp_path: Path) -> None:
    """Voxels as z, y, x: the sections are in the column x."""
    [finding] = found(lab(tmp_path, "nucleus", places(20_000, (5_000, 90_000, 200_000))))
    assert (finding.count, "centroid_x spreads" in finding.message) == (20_000, True)


@pytest.mark.parametrize(
    ("columns", "settings"),
    [
        (places(60, (200_000, 90_000, 240_000)), {}),
        (places(60, (200_000, 90_000, 9_000), (4, 4, 40)), {}),
        ({name: [value + 0.5 for value in cells] for name, cells in SLAB.items()}, {}),
        (places(5, (200_000, 90_000, 6_000)), {}),
        (places(60, (200_000, 90_000, 30_000)), {}),
        ({name: cells for name, cells in SLAB.items() if name != "centroid_z"}, {}),
        (SLAB | {"centroid_z": [45] * 60}, {}),
        (SLAB | {"centroid_z": [None] * 59 + [4]}, {}),
        (SLAB, {"units": dict.fromkeys(AXES, "nm")}),
    ],
    ids=["block", "multiples", "fractions", "few", "third", "no z", "flat", "one z", "said so"],
)
def test_places_in_nanometres_say_nothing(
    tmp_path: Path, columns: dict[str, list[Any]], settings: dict[str, Any]
) -> None:
    assert found(lab(tmp_path, "neuron", columns, **settings)) == []


SIZES = [1_174_706_004, 1_184_706_011, 1_194_700_004, 904_706_007, 1_214_706_003, 88_110_451]


@pytest.mark.parametrize(
    ("table", "name", "cells", "said"),
    [
        ("neuron", "size", SIZES, "whole numbers are mostly"),
        ("neuron", "voxel_volume", SIZES, "look like voxels"),
        *(
            (table, "size", [count + 1_003 * n for n in range(20)], "often a number of voxels")
            for table, count in (
                ("mitochondria", 150_000),
                ("pre_synaptic_terminal", 160_000),
                ("dendritic_spine", 20_000),
            )
        ),
        *(
            ("neuron", name, [size * scale for size in SIZES[:2]], f"{name!r}, which counts voxels")
            for name, scale in (
                *(("n_voxels", 1), ("Voxel Count", 1_000), ("voxels", 1), ("NVox", 1_000)),
                *(("num_voxels", 1), ("size_in_voxels", 1), ("Volume (vox)", 1)),
            )
        ),
    ],
)
def test_a_volume_that_is_a_number_of_voxels(
    tmp_path: Path, table: str, name: str, cells: list[int], said: str
) -> None:
    target = "voxel_volume" if table == "neuron" else "mesh_volume"
    columns: dict[str, Any] = {} if name == target else {"columns": {name: target}}
    dataset = lab(tmp_path, table, {name: cells}, **columns)
    [finding] = found(dataset)
    assert (finding.code, finding.column, finding.count) == ("SYN-UNIT-003", target, len(cells))
    assert said in finding.message
    assert finding.confidence == ("likely" if "counts voxels" in said else "possible")
    dataset.config["tables"][table]["units"] = {target: 512}
    assert found(dataset) == []


@pytest.mark.parametrize(
    ("table", "name", "cells", "settings"),
    [
        ("neuron", "voxel_volume", [size * 512 for size in SIZES], {}),
        ("neuron", "voxel_volume", [size // 512 * 512 for size in SIZES], {}),
        ("neuron", "voxel_volume", SIZES[:3], {}),
        ("neuron", "size", [size * 512 for size in SIZES], {}),
        ("neuron", "size", [size + 0.25 for size in SIZES], {}),
        ("neuron", "size", SIZES, {"units": {"voxel_volume": "nm"}}),
        ("neuron", "n_voxels", SIZES, {"units": {"voxel_volume": "um"}}),
        ("mitochondria", "size", [80_000_000 + 7 * n for n in range(9)], {}),
        ("axon", "voxel_volume", [505_262_223, 491_003_871, 700_000_001, 600_000_003, 5e8], {}),
    ],
)
def test_volumes_in_nanometres_say_nothing(
    tmp_path: Path, table: str, name: str, cells: list[float], settings: dict[str, Any]
) -> None:
    more = {} if name == "voxel_volume" else {"columns": {name: "voxel_volume"}}
    findings = found(lab(tmp_path, table, {name: cells}, **more | settings))
    assert [finding.message for finding in findings if "voxels" in finding.message] == []


# -- units in the config


@pytest.mark.parametrize("suffix", ["csv", "xlsx"])
def test_a_number_as_the_unit_multiplies(tmp_path: Path, suffix: str) -> None:
    cells: dict[str, Sequence[Any]] = {
        "size": [1_000_003, 5, None],
        "centroid_z": [2271, -3, 0],
        "mesh_volume": [1.5, 2, 3],
    }
    units = {"voxel_volume": 640, "centroid_z": 40.5, "mesh_volume": "um"}
    dataset = lab(tmp_path, "neuron", cells, suffix, columns={"size": "voxel_volume"}, units=units)
    dataset.run("package")
    packaged = pl.read_parquet(dataset.packaged("neuron")).sort("mesh_volume")
    assert packaged["voxel_volume"].to_list() == [640_001_920.0, 3_200.0, None]
    assert packaged["centroid_z"].to_list() == [2271 * 40.5, -121.5, 0.0]
    assert packaged["mesh_volume"].to_list() == [1.5e9, 2e9, 3e9]


def test_wrong_cells_are_shown_as_the_lab_wrote_them_and_what_they_became(tmp_path: Path) -> None:
    cells = {"voxel_radius": ["1,5", " -2,5 ", "many", "1e308"]}
    dataset = lab(tmp_path, "neuron", cells, "tsv", decimal=",", units={"voxel_radius": 1e3})
    by_code = {each.code: each for each in dataset.run("validate")["validate"].findings}
    assert {code: each.examples[0].value for code, each in by_code.items()} == {
        "SYN-TYPE-001": "many",
        "SYN-VAL-001": " -2,5 ",
        "SYN-VAL-005": "1e308",
    }
    message = "1 value of neuron.voxel_radius is not > 0, e.g. ' -2,5 ', which is -2500 nm."
    assert by_code["SYN-VAL-001"].message == message


def test_nanometres_multiplied_once_too_often(tmp_path: Path) -> None:
    radii = {"voxel_radius": [18.0, 19.5, 21.2]}
    [finding] = found(lab(tmp_path, "vesicle", radii, units={"voxel_radius": 1000}))
    said = "after multiplication by 1000; it looks like nanometres that were converted"
    assert said in finding.message
    assert "take voxel_radius out of `tables.vesicle.units`" in finding.fix


# -- centroids beside those of parents

Place = tuple[float, float, float]


def beside(
    folder: Path,
    child: str,
    parents: Sequence[Place],
    children: Sequence[tuple[int, Place]],
    order: str = "xyz",
    *,
    reference: str = "parent_id",
    parent: str = "neuron",
    parents_order: str = "xyz",
    suffix: str = "csv",
    axes: str = "xyz",
) -> Lab:
    """Places of parents, and of children with their parent's number. Of an order zyx, the column z
    has what is x.
    """

    def centroids(places: Sequence[Place], order: str) -> dict[str, list[str | None]]:
        real = {f"centroid_{axis}": "xyz".index(order["xyz".index(axis)]) for axis in axes}
        return {name: [str(place[at]) for place in places] for name, at in real.items()}

    tables: dict[str, dict[str, list[str | None]]] = {
        parent: {
            "cid": [f"p{n}" for n in range(len(parents))],
            **centroids(parents, parents_order),
        },
        child: {
            "cid": [f"c{n}" for n in range(len(children))],
            reference: [f"p{of}" for of, _ in children],
            **centroids([place for _, place in children], order),
        },
    }
    return written_lab(folder, tables, suffix)


def checked_units(dataset: Lab) -> list[Finding]:
    return of_units(dataset.check().findings)


NANOMETRES = ((48000.0, 32000.0, 16000.0), (52000.0, 30000.0, 18000.0))
MICROMETRES = ((48.1, 32.2, 15.9), (51.9, 30.1, 18.2))


def test_centroids_in_micrometres_are_healed_by_a_line(tmp_path: Path) -> None:
    dataset = beside(tmp_path, "axon", NANOMETRES, list(enumerate(MICROMETRES)))
    finding = dataset.check().finding("SYN-UNIT-004")
    assert (finding.table, finding.count, finding.confidence) == ("axon", 2, "likely")
    assert [str(place) for place in finding.examples[:2]] == [
        "axon.csv, row 2, column centroid_x: '48.1'",
        "axon.csv, row 2, column centroid_y: '32.2'",
    ]
    assert healed(dataset, finding) == []


def test_the_table_on_another_scale_is_told_once_whoever_disagrees(tmp_path: Path) -> None:
    voxels = ((6000.0, 4000.0, 400.0), (6500.0, 3750.0, 450.0))
    dataset = beside(tmp_path, "axon", NANOMETRES, list(enumerate(voxels)))
    lines = [f"m{n},c{n},{','.join(map(str, place))}" for n, place in enumerate(NANOMETRES)]
    dataset.write("mitochondria", "\n".join([f"cid,parent_id,{','.join(AXES)}", *lines, ""]))
    dataset.config["tables"]["mitochondria"] = {"file": "mitochondria.csv"}
    finding = dataset.check().finding("SYN-UNIT-004")
    assert (finding.table, finding.confidence, finding.settings) == ("axon", "possible", [])
    assert "centroid_x by 8, centroid_y by 8, centroid_z by 40" in finding.fix


def test_nanometres_converted_once_too_often(tmp_path: Path) -> None:
    dataset = beside(tmp_path, "axon", NANOMETRES, list(enumerate(NANOMETRES)))
    dataset.config["tables"]["axon"]["units"] = dict.fromkeys(AXES, "um")
    finding = dataset.check().finding("SYN-UNIT-004")
    assert "those of axon look like nanometres that were converted" in finding.message
    assert "take centroid_x, centroid_y, centroid_z out of `tables.axon.units`" in finding.fix


def volume(count: int, seed: int = 1, size: Place = (600_000, 250_000, 120_000)) -> list[Place]:
    """Places that fill a volume evenly, in whole nanometres."""
    random = Random(seed)
    x, y, z = (int(length) for length in size)
    return [(random.randrange(x), random.randrange(y), random.randrange(z)) for _ in range(count)]


def near(parents: Sequence[Place], spread: float, each: int = 1) -> list[tuple[int, Place]]:
    """Children, `each` of every parent, at most so far from it."""
    random = Random(2)

    def moved(value: float) -> float:
        return value + random.uniform(-spread, spread)

    return [
        (number, (moved(x), moved(y), moved(z)))
        for number, (x, y, z) in enumerate(parents)
        for _ in range(each)
    ]


@pytest.mark.parametrize(
    ("order", "follows", "child"),
    [
        ("zyx", {"x": "z", "z": "x"}, "nucleus"),
        ("yxz", {"x": "y", "y": "x"}, "mitochondria"),
        ("xzy", {"y": "z", "z": "y"}, "nucleus"),
        ("zxy", {"x": "z", "y": "x", "z": "y"}, "nucleus"),
    ],
)
def test_axes_in_another_order_and_the_mapping_that_brings_them_into_order(
    tmp_path: Path, order: str, follows: dict[str, str], child: str
) -> None:
    parents = volume(60)
    dataset = beside(tmp_path, child, parents, near(parents, 2_000), order)
    [finding] = checked_units(dataset)
    assert (finding.code, finding.table, finding.count) == ("SYN-UNIT-005", child, 60)
    said = [
        f"centroid_{axis} follows centroid_{other} of neuron" for axis, other in follows.items()
    ]
    assert ", ".join(said[:-1]) + f" and {said[-1]}" in finding.message
    columns = {f"centroid_{axis}": f"centroid_{other}" for axis, other in follows.items()}
    assert {place.column for place in finding.examples} == columns.keys()
    assert ", ".join(f"{mine}: {theirs}" for mine, theirs in columns.items()) in finding.fix
    dataset.config["tables"][child]["columns"] = columns
    assert checked_units(dataset) == []


def test_the_parents_may_be_the_ones_in_another_order(tmp_path: Path) -> None:
    parents = volume(20)
    dataset = beside(
        *(tmp_path, "axon", parents, near(parents, 9_000)), parents_order="zyx", suffix="parquet"
    )
    [finding] = checked_units(dataset)
    mapping = {"centroid_x": "centroid_z", "centroid_z": "centroid_x"}
    said = ", ".join(f"{mine}: {theirs}" for mine, theirs in mapping.items())
    assert f"in `tables.neuron.columns` {said}" in finding.fix
    dataset.config["tables"]["neuron"]["columns"] = mapping
    assert checked_units(dataset) == []


@pytest.mark.parametrize("rows", [2, 3])
def test_few_rows_that_lie_close_to_their_parents(tmp_path: Path, rows: int) -> None:
    dataset = beside(tmp_path, "nucleus", volume(rows), near(volume(rows), 500), "zyx")
    assert [finding.code for finding in checked_units(dataset)] == ["SYN-UNIT-005"]


@pytest.mark.parametrize(
    ("child", "parents", "spread", "each", "more"),
    [
        ("vesicle", 20, 300, 9, {"parent": "axon", "axes": "xy"}),
        ("synapse", 40, 20_000, 5, {"reference": "pre_synapse_id"}),
        ("pre_synaptic_terminal", 200, 40_000, 10, {"parent": "axon"}),
    ],
    ids=["a section", "by an end", "spread over 80 micrometres"],
)
def test_other_children_whose_axes_are_exchanged(
    tmp_path: Path, child: str, parents: int, spread: float, each: int, more: dict[str, Any]
) -> None:
    around = volume(parents)
    dataset = beside(tmp_path, child, around, near(around, spread, each), "yxz", **more)
    assert "SYN-UNIT-005" in [finding.code for finding in checked_units(dataset)]


DIAGONAL: list[Place] = [
    (1_000.0 * n, 1_000.0 * n + 300 * (n % 3), 1_000.0 * n + 200 * (n % 5)) for n in range(1, 60)
]
SLICE = volume(40, size=(50_000, 50_000, 300))
CLUSTER = volume(5, size=(3_000, 3_000, 3_000))
PLANE: list[Place] = [(x, y, 5_000.0) for x, y, _ in volume(40)]
CLEAN: dict[str, tuple[list[Place], list[tuple[int, Place]]]] = {
    "right": (volume(60), near(volume(60), 2_000)),
    "two rows": (volume(2), near(volume(2), 2_000)),
    "children all over the volume": (volume(30), list(enumerate(volume(30, seed=9)))),
    "children far around": (volume(200), near(volume(200), 40_000, each=10)),
    "one parent": (volume(1), near(volume(1), 90_000, each=400)),
    "parents at nearly one place": (CLUSTER, near(CLUSTER, 90_000, each=300)),
    "parents along a diagonal": (DIAGONAL, near(DIAGONAL, 2_000)),
    "a thin slab": (SLICE, near(SLICE, 2_000)),
    "all on one plane": (PLANE, list(enumerate(PLANE))),
}


@pytest.mark.parametrize("name", list(CLEAN))
def test_right_places_say_nothing(tmp_path: Path, name: str) -> None:
    codes = [each.code for each in checked_units(beside(tmp_path, "nucleus", *CLEAN[name]))]
    assert "SYN-UNIT-005" not in codes
