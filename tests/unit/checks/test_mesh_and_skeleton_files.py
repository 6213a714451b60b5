"""Meshes and skeletons beside a table, as the whole pipeline meets them: what they hold, on which
scale they are, and that they are looked at again when they change.

Belongs here: SYN-PATH-003 to 010 through the stages. Does not: the formats, boxes and surfaces of
single files (`tests/unit/readers`).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from math import pi
from pathlib import Path
from typing import Any

import duckdb
import pytest

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.checks.units import mesh_and_skeleton_files
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.stages.package import Manifest
from tests.lab import Lab, csv
from tests.meshes import ball_mesh, glb, small_mesh, triangle
from tests.written_lab import written_lab

SKELETON = "# a skeleton\n1 1 0 0 0 3 -1\n2 3 0 1 0 1 1\n3 3 0 2 0 1 2\n"


def lab(
    folder: Path,
    files: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]] | None = None,
    table: str = "neuron",
    suffix: str = "csv",
    **settings: Any,
) -> Lab:
    """One table of `rows`, by default one for each of the `files`, which it names."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    rows = rows or [{column_of(name): name} for name in files]
    cells = {
        name: [None if (cell := row.get(name)) is None else str(cell) for row in rows]
        for name in dict.fromkeys(name for row in rows for name in row)
    }
    keys: dict[str, list[str | None]] = {"cid": [f"k{number}" for number in range(len(rows))]}
    return written_lab(folder, {table: keys | cells}, suffix, {table: settings})


def column_of(file: str) -> str:
    return "mesh_path" if file.endswith(".glb") else "swc_path"


def found(dataset: Lab) -> list[Finding]:
    """What validate says of files."""
    findings = dataset.run("validate")["validate"].findings
    return [finding for finding in findings if finding.code.startswith("SYN-PATH")]


def lines(finding: Finding) -> list[int | None]:
    return [place.row for place in finding.examples]


# -- what files hold


def test_good_files_say_nothing(tmp_path: Path) -> None:
    files = {"a.glb": small_mesh(), "a.swc": SKELETON}
    mesh, skeleton = {"mesh_path": "a.glb"}, {"swc_path": "a.swc"}
    assert lab(tmp_path, files, [mesh | skeleton, mesh, skeleton]).check().findings == []


def test_a_mesh_that_cannot_be_read_is_told_with_cell_reason_and_fix(tmp_path: Path) -> None:
    size = len(small_mesh())
    checked = lab(tmp_path, {"good.glb": small_mesh(), "short.glb": small_mesh()[:-9]}).check()
    finding = checked.finding("SYN-PATH-003")
    assert (
        finding.message
        == "1 file named in neuron.mesh_path cannot be read as binary glTF 2.0, e.g. 'short.glb': "
        f"its header announces {size} bytes and it has {size - 9}, so its end is missing."
    )
    assert "Export the mesh again" in finding.fix
    [place] = finding.examples
    assert (place.row, place.column, place.value) == (3, "mesh_path", "short.glb")
    rows = checked.rows("neuron")
    assert (checked.verdict, rows.passed, rows.rejected) == ("rejected", 1, 1)


def test_many_files_of_one_cause_are_one_finding(tmp_path: Path) -> None:
    scene, binary = triangle()
    scene["buffers"][0]["uri"] = "elsewhere.bin"
    files = {f"{n:02}.glb": small_mesh()[: -4 * n] for n in range(1, 9)} | {
        "a.glb": glb(scene, binary),
        "b.glb": b"a mesh?",
        "c.glb": b"no mesh",
        "d.glb": small_mesh(),
    }
    findings = sorted(found(lab(tmp_path, files)), key=lambda finding: finding.count)
    assert [(each.count, lines(each)) for each in findings] == [
        (1, [10]),
        (2, [11, 12]),
        (8, [2, 3, 4, 5, 9]),
    ]
    assert "'elsewhere.bin', which SynDB does not get" in findings[0].message


OBJ = "a mesh in Wavefront OBJ text"
OTHERS: list[tuple[Any, str, str]] = [
    (
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
        *("a pointer of Git LFS", "git lfs pull"),
    ),
    ("<!DOCTYPE html><html></html>", "a web page (HTML)", "Download the file itself"),
    ("# made by hand\nv 0.5 0 0\nv 1 0 0\nv 0 1 0\nf 1//1 2//2 3//3\n", OBJ, "export or convert"),
    ("mtllib a.mtl\no cell\nv 0 0 0\n" + "v 1 2 3\n" * 2_000, OBJ, "export or convert"),
    ("ply\nformat ascii 1.0\n", "a mesh in PLY", "export or convert"),
    ("solid cell\nfacet normal 0 0 1\n", "a mesh in STL text", "export or convert"),
    (
        b"cell".ljust(80) + struct.pack("<I", 2) + bytes(100),
        *("a mesh in binary STL", "export or convert"),
    ),
    ("OFF\n3 1 0\n", "a mesh in OFF", "export or convert"),
    (b"DRACO\x02\x02", "a bare Draco stream", "export or convert"),
    (b"\x1f\x8b\x08\0", "compressed with gzip", "Export the mesh again"),
    ('<?xml version="1.0"?><COLLADA>', "XML text, such as COLLADA", "Export the mesh again"),
]


def test_what_another_kind_of_file_really_is(tmp_path: Path) -> None:
    for number, (content, what, advice) in enumerate(OTHERS):
        [finding] = found(lab(tmp_path / f"{number}", {"a.glb": content}, table="nucleus"))
        assert f"it does not start as a binary glTF file does; it is {what}" in finding.message
        assert advice in finding.fix


def test_a_skeleton_that_is_no_tree_is_told_with_its_line(tmp_path: Path) -> None:
    files = {
        "good.swc": SKELETON,
        "orphan.swc": SKELETON + "4 3 0 0 0 1 44\n",
        "orphan_too.swc": "# more\n" + SKELETON + "9 3 0 0 0 1 99\n",
        "circle.swc": SKELETON + "4 3 0 0 0 1 5\n5 3 0 0 0 1 4\n",
        "it's {odd} %s.swc": "1 2 3\n",
    }
    checked = lab(tmp_path, files).check()
    assert {(each.message, each.count, *lines(each)) for each in checked.all("SYN-PATH-004")} == {
        (
            "1 file named in neuron.swc_path is not a skeleton in SWC text, e.g. 'circle.swc': line"
            " 5: the parents of sample 4 go round in a circle and lead to no root.",
            *(1, 5),
        ),
        (
            "2 files named in neuron.swc_path are not skeletons in SWC text, e.g. 'orphan.swc': "
            "line 5: sample 4 has the parent 44, which is no sample of the file.",
            *(2, 3, 4),
        ),
        (
            "1 file named in neuron.swc_path is not a skeleton in SWC text, e.g. \"it's {odd}"
            ' %s.swc": line 1: it has 3 values where a sample has 7 (id type x y z radius parent).',
            *(1, 6),
        ),
    }
    assert (checked.verdict, checked.rows("neuron").rejected) == ("rejected", 4)


def test_strange_skeletons_are_warned_of_and_taken(tmp_path: Path) -> None:
    files = {
        "pieces.swc": SKELETON + "4 3 9 9 9 1 -1\n",
        "more_pieces.swc": SKELETON + "4 3 9 9 9 1 -1\n5 3 9 9 8 1 -1\n",
        "repeated.swc": SKELETON + "4 3 0 2 0 1 3\n",
        "negative.swc": SKELETON + "4 3 0 3 0 -1 3\n",
    }
    dataset = lab(tmp_path, files)
    checked = dataset.check()
    assert checked.verdict == "accepted"
    assert checked.faults == ["SYN-PATH-005", "SYN-PATH-006", "SYN-PATH-007"]
    pieces, repeated, negative = (checked.finding(code) for code in checked.faults)
    assert (
        pieces.message == "2 skeletons of neuron.swc_path are in several pieces, e.g. 'pieces.swc':"
        " 2 roots, the second in line 5."
    )
    assert lines(pieces) == [2, 3]
    assert "'repeated.swc': 1 of 4 samples, the first in line 5" in repeated.message
    assert "'negative.swc': 1 of 4 samples, the first in line 5" in negative.message
    dataset.config["rules"] = {"SYN-PATH-005": "error"}
    assert dataset.check().verdict == "rejected"
    for code in ("SYN-PATH-003", "SYN-PATH-004"):
        dataset.config["rules"] = {code: "warning"}
        with pytest.raises(ConfigError, match=code):
            dataset.check()


def test_tables_that_name_the_same_file(tmp_path: Path) -> None:
    """Each cell is reported in its own table; one file is wrong for a mesh, its neighbour for a
    skeleton.
    """
    tables = {
        "neuron": csv("cid,mesh_path,swc_path", "n,bad.glb,bad.swc"),
        "axon": csv("cid,parent_id,mesh_path", "a,n,bad.glb", "b,n,bad.glb"),
    }
    for suffix in ("glb", "swc"):
        (tmp_path / f"bad.{suffix}").write_bytes(b"no")
    assert [(each.table, each.code, each.count) for each in found(Lab(tmp_path, tables))] == [
        ("neuron", "SYN-PATH-003", 1),
        ("neuron", "SYN-PATH-004", 1),
        ("axon", "SYN-PATH-003", 2),
    ]


def test_a_changed_file_is_looked_at_again(tmp_path: Path) -> None:
    dataset, file = lab(tmp_path, {"a.glb": small_mesh()}), tmp_path / "a.glb"
    first = dataset.run()
    assert dataset.run()["validate"].run == first["validate"].run, "nothing changed"
    file.write_bytes(small_mesh()[:-1] + b"x")
    again = dataset.run()
    assert again["validate"].inputs["paths"] != first["validate"].inputs["paths"]
    assert again["validate"].run != first["validate"].run
    file.write_bytes(b"ruined")
    assert dataset.check().verdict == "rejected"
    file.write_bytes(small_mesh())
    restored = dataset.run()
    for stage in ("validate", "check_integrity"):
        assert restored[stage].digest == first[stage].digest


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    dataset = lab(tmp_path, {"mine.swc": SKELETON})
    (tmp_path / "mine.swc").chmod(0)
    assert "it cannot be opened: Permission denied" in found(dataset)[0].message


def test_more_files_than_are_asked_for_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 files, in several batches; every 100th is wrong."""
    monkeypatch.setattr(mesh_and_skeleton_files, "_BATCH", 90)
    names = [f"{n}.swc" for n in range(300)]
    files = {name: SKELETON if n % 100 else "# nothing\n" for n, name in enumerate(names)}
    dataset = lab(tmp_path, files)
    dataset.run("validate")
    failures = duckdb.read_parquet(
        str(dataset.context.store.stage("validate") / "failures.parquet")
    )
    assert failures.order("row_number").fetchall() == [
        ("SYN-PATH-004", "neuron", n, "swc_path", names[n], "it holds no sample")
        for n in range(0, 300, 100)
    ]


# -- on which scale they are

CENTRE, RADIUS = (530_000.0, 390_000.0, 78_000.0), 500.0
AREA, VOLUME = 4 * pi * RADIUS**2, 4 / 3 * pi * RADIUS**3
PLACE = {f"centroid_{axis}": value for axis, value in zip("xyz", CENTRE, strict=True)}
LENGTH = 30_000.0
MESH, BARE = ball_mesh(CENTRE, RADIUS), ball_mesh(CENTRE, RADIUS, 1e-9)


def skeleton(unit: float = 1, samples: int = 30) -> bytes:
    """A path of `LENGTH` nanometres that starts in `CENTRE`."""
    x, y, z = CENTRE
    step = LENGTH / (samples - 1)
    written = [
        f"{n} 3 {(x + n * step) * unit} {y * unit} {(z + (n % 2) * 9) * unit} {50 * unit}"
        f" {n - 1 or -1}"
        for n in range(1, samples + 1)
    ]
    return "\n".join(written).encode()


@pytest.mark.parametrize(("suffix", "table"), [("csv", "neuron"), ("parquet", "mitochondria")])
def test_a_mesh_in_metres_beside_nanometres(tmp_path: Path, suffix: str, table: str) -> None:
    files = {"right.glb": MESH, "metres.glb": BARE}
    rows = [{"mesh_volume": VOLUME, "mesh_path": name} for name in files]
    checked = lab(tmp_path, files, rows, table, suffix).check()
    finding = checked.finding("SYN-PATH-009")
    assert (checked.verdict, finding.count) == ("accepted", 1)
    said = "'metres.glb': its coordinates are about 1,000,000,000 times smaller than mesh_volume of"
    assert f"{said} the row says, as if they were in metres" in finding.message
    assert [(place.row, place.column) for place in finding.examples] == [
        (2 if suffix == "parquet" else 3, "mesh_path")
    ]
    assert "multiply the coordinates of the file by 1,000,000,000" in finding.fix


def test_every_measure_of_a_row_tells_the_unit_of_its_mesh(tmp_path: Path) -> None:
    units = {"micrometres": (1e-3, "1,000"), "millimetres": (1e-6, "1,000,000")}
    for row in (
        PLACE,
        {"mesh_surface_area": AREA},
        {"voxel_volume": VOLUME},
        {"voxel_radius": RADIUS},
    ):
        measure = next(iter(row))
        files = {
            f"{name}.glb": ball_mesh(CENTRE, RADIUS, unit) for name, (unit, _) in units.items()
        }
        rows = [row | {"mesh_path": file} for file in files]
        findings = found(lab(tmp_path / measure, files, rows, "nucleus"))
        for finding, (name, (_, factor)) in zip(findings, units.items(), strict=True):
            assert f"about {factor} times smaller than {measure}" in finding.message
            assert f"as if they were in {name}" in finding.message


@pytest.mark.parametrize("row", [{"cable_length": LENGTH * 1.2}, PLACE])
def test_a_skeleton_in_another_unit(tmp_path: Path, row: dict[str, float]) -> None:
    files = {"right.swc": skeleton()} | {f"{u}.swc": skeleton(u) for u in (1e-3, 1e-9, 1e3)}
    findings = found(lab(tmp_path, files, [row | {"swc_path": name} for name in files]))
    assert [(finding.code, finding.count) for finding in findings] == [("SYN-PATH-009", 1)] * 3
    said = " ".join(finding.message for finding in findings)
    for unit, words in ((1e-3, "1,000 times smaller"), (1e-9, "1,000,000,000 times smaller")):
        assert f"'{unit}.swc': its coordinates are about {words}" in said
    assert "'1000.0.swc': its coordinates are about 1,000 times larger" in said


def test_the_row_may_be_the_one_in_another_unit(tmp_path: Path) -> None:
    def of(length: float, **settings: Any) -> list[Finding]:
        rows = [{"cable_length": length, "swc_path": "right.swc"}]
        folder = tmp_path / f"{length}{len(settings)}"
        return found(lab(folder, {"right.swc": skeleton()}, rows, **settings))

    [finding] = of(LENGTH / 1e3)
    assert "1,000 times larger than cable_length of the row says" in finding.message
    assert "name the unit of cable_length in `tables.neuron.units`" in finding.fix
    units = {"units": {"cable_length": "um"}}
    assert of(LENGTH / 1e3, **units) == []
    assert "take cable_length out of `tables.neuron.units`" in of(LENGTH, **units)[0].fix


def test_a_volume_larger_than_the_box_of_its_mesh_and_negative_places(tmp_path: Path) -> None:
    """A thin long neuron in micrometres: its volume is a small part of its box, and still larger
    than the box seems.
    """
    away = (-CENTRE[0], CENTRE[1], -CENTRE[2])
    files = {
        "thin.glb": ball_mesh(CENTRE, RADIUS, 1 / 16),
        "away.glb": ball_mesh(away, RADIUS, 1e-3),
    }
    rows: list[dict[str, Any]] = [
        {"mesh_volume": VOLUME, "mesh_path": "thin.glb"},
        dict(zip(PLACE, away, strict=True)) | {"mesh_path": "away.glb"},
    ]
    fuller, place = sorted(found(lab(tmp_path, files, rows)), key=lambda each: lines(each)[0] or 0)
    assert "larger than the whole box around the mesh" in fuller.message
    assert "1,000 times smaller than centroid_x, centroid_y and centroid_z" in place.message


def test_thousands_of_rows_of_one_cause_are_one_finding_and_may_be_quarantined(
    tmp_path: Path,
) -> None:
    files = {"right.glb": MESH, "um.glb": ball_mesh(CENTRE, RADIUS, 1e-3)}
    rows = [
        PLACE | {"mesh_surface_area": AREA, "mesh_path": [*files][number % 2]}
        for number in range(3_000)
    ]
    dataset = lab(tmp_path, files, rows, "mitochondria", "parquet")
    [finding] = found(dataset)
    said = "than centroid_x, centroid_y and centroid_z of the row say, as if they were in micro"
    assert (finding.count, said in finding.message) == (1_500, True)
    dataset.config |= {"rules": {"SYN-PATH-009": "error"}, "on_invalid": "quarantine"}
    dataset.config["max_rejected"] = "50%"
    checked = dataset.check()
    counts = checked.rows("mitochondria")
    assert (checked.verdict, counts.passed, counts.rejected) == ("accepted", 1_500, 1_500)


CLEAN: dict[str, tuple[dict[str, Any], dict[str, bytes]]] = {
    "everything in nanometres": (
        PLACE
        | {"mesh_surface_area": AREA, "mesh_volume": VOLUME}
        | {"voxel_radius": RADIUS, "cable_length": LENGTH},
        {"a.glb": MESH, "a.swc": skeleton()},
    ),
    "a mesh around its own origin": (
        PLACE | {"mesh_volume": VOLUME},
        {"b.glb": ball_mesh((0, 0, 0), RADIUS)},
    ),
    "a mesh that starts at its own origin": (
        PLACE,
        {"c.glb": ball_mesh((RADIUS + 9, RADIUS + 9, RADIUS + 9), RADIUS)},
    ),
    "a skeleton in voxels of 8 nm": (PLACE | {"cable_length": LENGTH}, {"d.swc": skeleton(1 / 8)}),
    "a skeleton smoothed": ({"cable_length": LENGTH * 0.6}, {"a.swc": skeleton()}),
    "a skeleton of a tenth of the cable": ({"cable_length": LENGTH * 10}, {"a.swc": skeleton()}),
    "a centre far off": (
        PLACE | {"centroid_x": 830_000.0},
        {"a.glb": MESH, "a.swc": skeleton()},
    ),
    "a part of a large neuron": ({"mesh_surface_area": AREA * 1e4}, {"a.glb": MESH}),
    "no measures": ({}, {"bare.glb": BARE, "bare.swc": skeleton(1e-9)}),
    "a length beside a mesh": ({"cable_length": LENGTH}, {"bare.glb": BARE}),
    "one axis beside a mesh": ({"centroid_x": 1.0}, {"bare.glb": BARE, "bare.swc": skeleton(1e-9)}),
    "on the other side of the origin": (
        {"centroid_x": -CENTRE[0], "centroid_y": -CENTRE[1]},
        {"e.glb": ball_mesh((-CENTRE[0], -CENTRE[1], -CENTRE[2]), RADIUS)},
    ),
}


def test_right_neighbours_are_taken_without_a_word(tmp_path: Path) -> None:
    files = {name: content for _, own in CLEAN.values() for name, content in own.items()}
    rows = [row | {column_of(name): name for name in own} for row, own in CLEAN.values()]
    findings = found(lab(tmp_path, files, rows))
    wrong = [list(CLEAN)[(line or 2) - 2] for finding in findings for line in lines(finding)]
    assert wrong == []


@pytest.mark.parametrize(
    ("places", "path", "meant"),
    [
        (("tables",), "n.glb", "tables/n.glb"),
        ((".",), "n.glb", "n.glb"),
        ((".", "tables"), "n.glb", "n.glb"),  # the same bytes: no doubt
        (("tables/meshes",), "meshes/n.glb", "tables/meshes/n.glb"),
        (("elsewhere",), "../elsewhere/n.glb", "tables/../elsewhere/n.glb"),
    ],
)
def test_paths_are_relative_to_the_config_or_to_the_table(
    places: tuple[str, ...], path: str, meant: str, tmp_path: Path
) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "neuron.csv").write_text(csv("cid,mesh_path", f"n1,{path}"))
    for place in places:
        (tmp_path / place).mkdir(exist_ok=True)
        (tmp_path / place / "n.glb").write_bytes(small_mesh())
    dataset = Lab.of_files(tmp_path, {"neuron": "tables/neuron.csv"})
    assert dataset.run("package")["check_integrity"].findings == []
    (file,) = Manifest.read(dataset.package).files
    assert (file.path, file.bytes) == (meant, len(small_mesh()))


def test_a_file_that_must_not_be_read_is_none_that_could_be_meant(tmp_path: Path) -> None:
    home = tmp_path / "lab"
    (home / "tables").mkdir(parents=True)
    (home / "tables" / "neuron.csv").write_text(csv("cid,mesh_path", "n1,n.glb"))
    (home / "n.glb").write_bytes(small_mesh())
    (tmp_path / "other.glb").write_bytes(small_mesh("other"))
    (home / "tables" / "n.glb").symlink_to(tmp_path / "other.glb")
    dataset = Lab.of_files(home, {"neuron": "tables/neuron.csv"})
    assert [each.code for each in found(dataset)] == ["SYN-PATH-010"]
    dataset.limits = dataset.limits.model_copy(update={"data_folders": []})
    assert found(dataset) == []
