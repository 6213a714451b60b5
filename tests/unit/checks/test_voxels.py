"""Numbers of voxels and places in voxels, in a table by itself, and the unit that turns them into
nanometres.

Belongs here: SYN-UNIT-003 for whole numbers that are believable in nm, and `units` as numbers. Does
not: tables against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
import xlsxwriter

from syndb_pipeline.rules.finding import Finding
from tests.stage_lab import Lab

AXES = ("centroid_x", "centroid_y", "centroid_z")


def lab(
    folder: Path, table: str, cells: dict[str, Sequence[Any]], suffix: str = "csv", **settings: Any
) -> Lab:
    """A table of one file of the kind `suffix`, whose rows have keys beside `cells`."""
    folder.mkdir(exist_ok=True)
    count = len(next(iter(cells.values())))
    frame = pl.DataFrame(
        {"cid": [f"k{number}" for number in range(count)]}
        | {name: list(each) for name, each in cells.items()}
    )
    target = folder / f"{table}.{suffix}"
    if suffix == "parquet":
        frame.write_parquet(target)
    elif suffix == "xlsx":
        with xlsxwriter.Workbook(target) as book:
            frame.write_excel(book)
    else:
        frame.write_csv(target, separator="\t" if suffix == "tsv" else ",")
    return Lab(folder, {table: None}, {table: {"file": target.name, **settings}})


def found(dataset: Lab) -> list[Finding]:
    return [finding for finding in dataset.check().findings if finding.code.startswith("SYN-UNIT")]


def places(
    rows: int, size: tuple[int, int, int], steps: tuple[int, int, int] = (1, 1, 1), seed: int = 3
) -> dict[str, list[int]]:
    """Whole places that fill a volume, each a multiple of its step."""
    random = Random(seed)
    return {
        axis: [random.randrange(length // step) * step + 17 for _ in range(rows)]
        for axis, length, step in zip(AXES, size, steps, strict=True)
    }


# -- places


@pytest.mark.parametrize("suffix", ["csv", "tsv", "xlsx", "parquet"])
@pytest.mark.parametrize("table", ["neuron", "synapse"])
def test_places_in_voxels_that_are_longer_along_z(tmp_path: Path, suffix: str, table: str) -> None:
    dataset = lab(tmp_path, table, places(60, (200_000, 90_000, 6_000)), suffix)
    [finding] = found(dataset)
    assert (finding.code, finding.severity, finding.count) == ("SYN-UNIT-003", "warning", 60)
    assert "centroid_z spreads" in finding.message and "they look like voxels" in finding.message
    assert [place.column for place in finding.examples] == list(AXES)
    assert "4, 4 and 40 for voxels of 4 x 4 x 40 nm" in finding.fix
    dataset.config["tables"][table]["units"] = {
        "centroid_x": 4,
        "centroid_y": 4.0,
        "centroid_z": 40,
    }
    assert found(dataset) == []


def test_the_flat_axis_may_have_another_name(tmp_path: Path) -> None:
    """Voxels as z, y, x: the sections are in the column x."""
    wide = places(60, (5_000, 90_000, 200_000))
    assert "centroid_x spreads" in found(lab(tmp_path, "nucleus", wide))[0].message


def test_many_places_in_voxels(tmp_path: Path) -> None:
    [finding] = found(lab(tmp_path, "synapse", places(20_000, (200_000, 90_000, 6_000)), "parquet"))
    assert finding.count == 20_000


def sections() -> dict[str, list[float]]:
    return {
        name: [value * 1.0 for value in cells]
        for name, cells in places(60, (200_000, 90_000, 240_000), (4, 4, 40)).items()
    }


@pytest.mark.parametrize(
    "columns",
    [
        places(60, (200_000, 90_000, 240_000)),
        places(60, (200_000, 90_000, 9_000), (4, 4, 40)),
        sections(),
        {
            name: [value + 0.5 for value in cells]
            for name, cells in places(60, (200_000, 90_000, 6_000)).items()
        },
        places(5, (200_000, 90_000, 6_000)),
        places(60, (200_000, 90_000, 30_000)),
        {
            name: cells
            for name, cells in places(60, (200_000, 90_000, 6_000)).items()
            if name != "centroid_z"
        },
        places(60, (200_000, 90_000, 6_000)) | {"centroid_z": [45] * 60},
        places(60, (200_000, 90_000, 6_000)) | {"centroid_z": [None] * 59 + [4]},
    ],
    ids=[
        "a block",
        "multiples of voxels in a slab",
        "multiples",
        "fractions",
        "few",
        "a third",
        "no z",
        "one section",
        "one z",
    ],
)
def test_places_in_nanometres_say_nothing(tmp_path: Path, columns: dict[str, list[float]]) -> None:
    assert found(lab(tmp_path, "neuron", columns)) == []


def test_a_lab_may_say_that_a_slab_is_in_nanometres(tmp_path: Path) -> None:
    slab = places(60, (200_000, 90_000, 6_000))
    assert found(lab(tmp_path, "neuron", slab, units=dict.fromkeys(AXES, "nm"))) == []


# -- volumes

SIZES = [1_174_706_004, 1_184_706_011, 1_194_700_004, 904_706_007, 1_214_706_003, 88_110_451]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "xlsx", "parquet"])
def test_a_size_that_is_a_number_of_voxels(tmp_path: Path, suffix: str) -> None:
    dataset = lab(tmp_path, "neuron", {"size": SIZES}, suffix, columns={"size": "voxel_volume"})
    [finding] = found(dataset)
    assert (finding.code, finding.column, finding.count) == (
        "SYN-UNIT-003",
        "voxel_volume",
        len(SIZES),
    )
    assert (
        "comes from the column 'size'" in finding.message
        and "often a number of voxels" in finding.message
    )
    dataset.config["tables"]["neuron"]["units"] = {"voxel_volume": 512}
    assert found(dataset) == []


@pytest.mark.parametrize(
    ("table", "count"),
    [("mitochondria", 150_000), ("pre_synaptic_terminal", 160_000), ("dendritic_spine", 20_000)],
)
@pytest.mark.parametrize("target", ["voxel_volume", "mesh_volume"])
def test_a_size_of_every_table(tmp_path: Path, table: str, count: int, target: str) -> None:
    [finding] = found(
        lab(
            tmp_path,
            table,
            {"size": [count + 1_003 * n for n in range(20)]},
            columns={"size": target},
        )
    )
    assert "'size'" in finding.message


@pytest.mark.parametrize(
    "name",
    ["n_voxels", "Voxel Count", "num_voxels", "voxels", "size_in_voxels", "NVox", "Volume (vox)"],
)
@pytest.mark.parametrize("scale", [1, 1_000])
def test_a_name_that_counts_voxels_needs_no_small_numbers(
    tmp_path: Path, name: str, scale: int
) -> None:
    cells = [size * scale for size in SIZES[:2]]
    [finding] = found(lab(tmp_path, "neuron", {name: cells}, columns={name: "voxel_volume"}))
    assert f"the column {name!r}, which counts voxels by its name" in finding.message
    assert finding.confidence == "likely"


def test_whole_neurons_cannot_be_as_small(tmp_path: Path) -> None:
    [finding] = found(lab(tmp_path, "neuron", {"voxel_volume": SIZES}))
    assert "look like voxels" in finding.message


@pytest.mark.parametrize(
    ("table", "name", "cells", "settings"),
    [
        ("neuron", "voxel_volume", [size * 512 for size in SIZES], {}),
        ("neuron", "voxel_volume", [size + 0.25 for size in SIZES], {}),
        ("neuron", "voxel_volume", [size // 512 * 512 for size in SIZES], {}),
        ("neuron", "voxel_volume", SIZES[:3], {}),
        ("neuron", "size", [size * 512 for size in SIZES], {}),
        ("neuron", "size", [size + 0.25 for size in SIZES], {}),
        ("neuron", "size", SIZES, {"units": {"voxel_volume": "nm"}}),
        ("neuron", "n_voxels", SIZES, {"units": {"voxel_volume": "um"}}),
        ("mitochondria", "size", [80_000_000 + 7 * n for n in range(9)], {}),
        (
            "axon",
            "voxel_volume",
            [505_262_223, 491_003_871, 700_000_001, 600_000_003, 500_000_009, 400_000_007],
            {},
        ),
    ],
)
def test_volumes_in_nanometres_say_nothing(
    tmp_path: Path, table: str, name: str, cells: list[float], settings: dict[str, Any]
) -> None:
    columns = {} if name == "voxel_volume" else {"columns": {name: "voxel_volume"}}
    findings = found(lab(tmp_path, table, {name: cells}, **columns, **settings))
    assert [finding.message for finding in findings if "voxels" in finding.message] == []


# -- units as numbers


@pytest.mark.parametrize("suffix", ["csv", "tsv", "xlsx", "parquet"])
def test_a_number_as_the_unit_multiplies(tmp_path: Path, suffix: str) -> None:
    dataset = lab(
        tmp_path,
        "neuron",
        {"size": [1_000_003, 5, None], "centroid_z": [2271, -3, 0], "mesh_volume": [1.5, 2.5, 3.5]},
        suffix,
        columns={"size": "voxel_volume"},
        units={"voxel_volume": 640, "centroid_z": 40.5, "mesh_volume": "um"},
    )
    dataset.run("package")
    packaged = pl.read_parquet(dataset.packaged("neuron"))
    assert sorted(packaged["voxel_volume"].to_list(), key=str) == sorted(
        [640_001_920.0, 3_200.0, None], key=str
    )
    assert sorted(packaged["centroid_z"].to_list()) == [-121.5, 0.0, 2271 * 40.5]
    assert sorted(packaged["mesh_volume"].to_list()) == [1.5e9, 2.5e9, 3.5e9]


def test_decimal_commas_and_wrong_cells_are_told_as_the_lab_wrote_them(tmp_path: Path) -> None:
    columns = {"voxel_radius": ["1,5", "-2,5", "many", "1e308"]}
    dataset = lab(tmp_path, "neuron", columns, "tsv", decimal=",", units={"voxel_radius": 1e3})
    checked = dataset.check()
    assert checked.verdict == "rejected"
    negative = checked.finding("SYN-VAL-001")
    assert [place.value for place in negative.examples] == ["-2,5"]
    assert "which is -2500 nm" in negative.message
    assert [place.value for place in checked.finding("SYN-TYPE-001").examples] == ["many"]
    assert [place.value for place in checked.finding("SYN-VAL-005").examples] == ["1e308"]


def test_nanometres_multiplied_once_too_often(tmp_path: Path) -> None:
    dataset = lab(
        tmp_path, "vesicle", {"voxel_radius": [18.0, 19.5, 21.2]}, units={"voxel_radius": 1000}
    )
    [finding] = found(dataset)
    assert (
        "after multiplication by 1000; it looks like nanometres that were converted"
        in finding.message
    )
    assert "take voxel_radius out of `tables.vesicle.units`" in finding.fix
