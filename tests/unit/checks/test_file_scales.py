"""Meshes and skeletons in another unit than their own row: what is found, and what stays without a
word.

Belongs here: SYN-PATH-008 and 009 through the stages. Does not: boxes and surfaces of single files
(`tests/unit/readers`).
"""

from __future__ import annotations

from math import pi
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xlsxwriter

from tests.meshes import ball_mesh
from tests.stage_lab import Checked, Lab

CENTRE, RADIUS = (530_000.0, 390_000.0, 78_000.0), 500.0
AREA, VOLUME = 4 * pi * RADIUS**2, 4 / 3 * pi * RADIUS**3
PLACE = {f"centroid_{axis}": value for axis, value in zip("xyz", CENTRE, strict=True)}
LENGTH = 30_000.0


def skeleton(unit: float = 1, samples: int = 30) -> bytes:
    """A path of `LENGTH` nanometres that starts in `CENTRE`."""
    x, y, z = CENTRE
    step = LENGTH / (samples - 1)
    lines = [
        f"{n} 3 {(x + n * step) * unit} {y * unit} {(z + (n % 2) * 9) * unit} {50 * unit}"
        f" {n - 1 or -1}"
        for n in range(1, samples + 1)
    ]
    return "\n".join(lines).encode()


def lab(
    folder: Path,
    table: str,
    rows: list[dict[str, Any]],
    files: dict[str, bytes],
    suffix: str = "csv",
    **settings: Any,
) -> Lab:
    """One table of `rows`, in a file of the kind `suffix`, and the files that its rows name."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    frame = pl.DataFrame([{"cid": f"k{number}"} | row for number, row in enumerate(rows)])
    target = folder / f"{table}.{suffix}"
    if suffix == "parquet":
        frame.write_parquet(target)
    elif suffix == "xlsx":
        with xlsxwriter.Workbook(target) as book:
            frame.write_excel(book)
    else:
        frame.write_csv(target, separator="\t" if suffix == "tsv" else ",")
    return Lab(folder, {table: None}, {table: {"file": target.name, **settings}})


def found(checked: Checked) -> list[tuple[str, str | None, int, str]]:
    """Code, column, count and cause of the findings that are about files."""
    told = [finding for finding in checked.findings if finding.code.startswith("SYN-PATH")]
    return [(finding.code, finding.column, finding.count, finding.message) for finding in told]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "xlsx", "parquet"])
@pytest.mark.parametrize("table", ["neuron", "nucleus", "mitochondria"])
def test_a_mesh_in_metres_beside_nanometres(tmp_path: Path, suffix: str, table: str) -> None:
    files = {"right.glb": ball_mesh(CENTRE, RADIUS), "metres.glb": ball_mesh(CENTRE, RADIUS, 1e-9)}
    rows = [{"mesh_volume": VOLUME, "mesh_path": name} for name in files]
    checked = lab(tmp_path, table, rows, files, suffix).check()
    [(code, _, count, cause)] = found(checked)
    assert (code, count, checked.verdict) == ("SYN-PATH-009", 1, "accepted")
    assert (
        "'metres.glb': its coordinates are about 1,000,000,000 times smaller than mesh_volume of"
        " the row says" in cause
    )
    assert "as if they were in metres" in cause
    finding = checked.finding("SYN-PATH-009")
    assert [(place.row, place.column) for place in finding.examples] == [
        (2 if suffix == "parquet" else 3, "mesh_path")
    ]
    assert "multiply the coordinates of the file by 1,000,000,000" in finding.fix


@pytest.mark.parametrize(
    ("unit", "factor", "name"),
    [(1e-3, "1,000", "micro"), (1e-6, "1,000,000", "milli"), (1e-9, "1,000,000,000", "")],
)
@pytest.mark.parametrize(
    "row", [PLACE, {"mesh_surface_area": AREA}, {"voxel_volume": VOLUME}, {"voxel_radius": RADIUS}]
)
def test_every_measure_of_a_row_tells_the_unit_of_its_mesh(
    tmp_path: Path, unit: float, factor: str, name: str, row: dict[str, float]
) -> None:
    files = {"m.glb": ball_mesh(CENTRE, RADIUS, unit)}
    [(code, _, _, cause)] = found(
        lab(tmp_path, "nucleus", [row | {"mesh_path": "m.glb"}], files).check()
    )
    assert code == "SYN-PATH-009"
    assert f"about {factor} times smaller than {next(iter(row))}" in cause
    assert f"as if they were in {name}metres" in cause


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        (1e-3, "1,000 times smaller"),
        (1e-9, "1,000,000,000 times smaller"),
        (1e3, "1,000 times larger"),
    ],
)
@pytest.mark.parametrize("row", [{"cable_length": LENGTH * 1.2}, PLACE])
def test_a_skeleton_in_another_unit(
    tmp_path: Path, unit: float, words: str, row: dict[str, float]
) -> None:
    files = {"right.swc": skeleton(), "other.swc": skeleton(unit)}
    rows = [row | {"swc_path": name} for name in files]
    [(code, _, count, cause)] = found(lab(tmp_path, "neuron", rows, files).check())
    assert (code, count) == ("SYN-PATH-009", 1)
    assert f"'other.swc': its coordinates are about {words}" in cause


def test_the_row_may_be_the_one_in_another_unit(tmp_path: Path) -> None:
    files = {"right.swc": skeleton()}
    row = {"cable_length": LENGTH / 1e3, "swc_path": "right.swc"}
    checked = lab(tmp_path / "um", "neuron", [row], files).check()
    assert (
        "1,000 times larger than cable_length of the row says"
        in checked.finding("SYN-PATH-009").message
    )
    assert (
        "name the unit of cable_length in `tables.neuron.units`"
        in checked.finding("SYN-PATH-009").fix
    )
    assert (
        found(lab(tmp_path / "said", "neuron", [row], files, units={"cable_length": "um"}).check())
        == []
    )
    row["cable_length"] = LENGTH
    checked = lab(
        tmp_path / "wrongly", "neuron", [row], files, units={"cable_length": "um"}
    ).check()
    assert "take cable_length out of `tables.neuron.units`" in checked.finding("SYN-PATH-009").fix


def test_a_volume_larger_than_the_box_of_its_mesh(tmp_path: Path) -> None:
    """A thin long neuron in micrometres: its volume is a small part of its box, and still larger
    than the box seems.
    """
    files = {"m.glb": ball_mesh(CENTRE, RADIUS, 1 / 16)}
    [(code, _, _, cause)] = found(
        lab(tmp_path, "neuron", [{"mesh_volume": VOLUME, "mesh_path": "m.glb"}], files).check()
    )
    assert (code, "larger than the whole box around the mesh" in cause) == ("SYN-PATH-009", True)


def test_thousands_of_rows_of_one_cause_are_one_finding(tmp_path: Path) -> None:
    files = {"right.glb": ball_mesh(CENTRE, RADIUS), "um.glb": ball_mesh(CENTRE, RADIUS, 1e-3)}
    rows = [
        PLACE | {"mesh_surface_area": AREA, "mesh_path": ["right.glb", "um.glb"][number % 2]}
        for number in range(6_000)
    ]
    [(_, _, count, cause)] = found(lab(tmp_path, "mitochondria", rows, files, "parquet").check())
    assert count == 3_000
    assert (
        "than centroid_x, centroid_y and centroid_z of the row say, as if they were in micrometres"
        in cause
    )


CLEAN: dict[str, tuple[dict[str, float | None], dict[str, bytes]]] = {
    "everything in nanometres": (
        PLACE
        | {
            "mesh_surface_area": AREA,
            "mesh_volume": VOLUME,
            "voxel_radius": RADIUS,
            "cable_length": LENGTH,
        },
        {"m.glb": ball_mesh(CENTRE, RADIUS), "s.swc": skeleton()},
    ),
    "a mesh around its own origin": (
        PLACE | {"mesh_volume": VOLUME},
        {"m.glb": ball_mesh((0, 0, 0), RADIUS)},
    ),
    "a mesh that starts at its own origin": (
        PLACE,
        {"m.glb": ball_mesh((RADIUS + 9, RADIUS + 9, RADIUS + 9), RADIUS)},
    ),
    "a skeleton in voxels of 8 nm": (PLACE | {"cable_length": LENGTH}, {"s.swc": skeleton(1 / 8)}),
    "a skeleton smoothed": ({"cable_length": LENGTH * 0.6}, {"s.swc": skeleton()}),
    "a skeleton of a tenth of the cable": ({"cable_length": LENGTH * 10}, {"s.swc": skeleton()}),
    "a centre far off": (
        PLACE | {"centroid_x": 830_000.0},
        {"m.glb": ball_mesh(CENTRE, RADIUS), "s.swc": skeleton()},
    ),
    "a part of a large neuron": (
        {"mesh_surface_area": AREA * 1e4, "mesh_volume": None},
        {"m.glb": ball_mesh(CENTRE, RADIUS)},
    ),
    "no measures": (
        {"centroid_x": None, "mesh_volume": None},
        {"m.glb": ball_mesh(CENTRE, RADIUS, 1e-9)},
    ),
    "a length beside a mesh": (
        {"cable_length": LENGTH},
        {"m.glb": ball_mesh(CENTRE, RADIUS, 1e-9)},
    ),
    "one axis beside a mesh": (
        {"centroid_x": 1.0},
        {"m.glb": ball_mesh(CENTRE, RADIUS, 1e-9), "s.swc": skeleton(1e-9)},
    ),
    "nothing to hold against": (
        {},
        {"m.glb": ball_mesh(CENTRE, RADIUS, 1e-9), "s.swc": skeleton(1e-9)},
    ),
    "on the other side of the origin": (
        {"centroid_x": -CENTRE[0], "centroid_y": -CENTRE[1]},
        {"m.glb": ball_mesh((-CENTRE[0], -CENTRE[1], -CENTRE[2]), RADIUS)},
    ),
}


@pytest.mark.parametrize("name", list(CLEAN))
def test_right_neighbours_are_taken_without_a_word(tmp_path: Path, name: str) -> None:
    row, files = CLEAN[name]
    paths = {"mesh_path" if file.endswith(".glb") else "swc_path": file for file in files}
    assert found(lab(tmp_path, "neuron", [row | paths] * 1, files).check()) == []


def test_negative_places_tell_it_as_well(tmp_path: Path) -> None:
    away = (-CENTRE[0], CENTRE[1], -CENTRE[2])
    row = {f"centroid_{axis}": value for axis, value in zip("xyz", away, strict=True)} | {
        "mesh_path": "m.glb"
    }
    [(code, *_)] = found(
        lab(tmp_path, "axon", [row], {"m.glb": ball_mesh(away, RADIUS, 1e-3)}).check()
    )
    assert code == "SYN-PATH-009"


def test_the_yaml_may_make_an_error_of_it_and_set_the_rows_aside(tmp_path: Path) -> None:
    files = {"right.glb": ball_mesh(CENTRE, RADIUS), "um.glb": ball_mesh(CENTRE, RADIUS, 1e-3)}
    rows = [
        PLACE | {"mesh_path": "um.glb" if number == 7 else "right.glb"} for number in range(500)
    ]
    dataset = lab(tmp_path, "neuron", rows, files)
    dataset.config |= {"rules": {"SYN-PATH-009": "error"}, "on_invalid": "quarantine"}
    checked = dataset.check()
    assert (checked.verdict, checked.rows("neuron").passed, checked.rows("neuron").rejected) == (
        "accepted",
        499,
        1,
    )
