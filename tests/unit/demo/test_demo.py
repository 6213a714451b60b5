"""The demo lab: complete, the same every time, and true to its own numbers."""

from __future__ import annotations

import csv
import json
import math
import struct
from pathlib import Path

import polars as pl
import pytest
from python_calamine import CalamineWorkbook

from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.contract.tables import DECLARED, TABLES
from syndb_pipeline.demo import CLEAN_CONFIG, ERRORS_CONFIG, write_demo
from syndb_pipeline.demo.lab import Lab, invent_lab
from syndb_pipeline.demo.shapes import Mesh, ball, branch_points, cable_length, glb, sphericity

LAB = invent_lab()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "lab"
    write_demo(folder)
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): digest_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_it_is_the_same_every_time(folder: Path, tmp_path: Path) -> None:
    assert write_demo(tmp_path / "again") == tmp_path / "again" / CLEAN_CONFIG
    assert digests(tmp_path / "again") == digests(folder)
    (tmp_path / "again" / "notes.txt").write_text("mine")
    write_demo(tmp_path / "again")
    assert (tmp_path / "again" / "notes.txt").read_text() == "mine"


def test_all_tables_and_formats_are_there(folder: Path) -> None:
    config = load_dataset(folder / CLEAN_CONFIG)
    assert set(config.tables) == set(TABLES)
    files = [folder / table.file for table in config.tables.values()]
    assert all(file.is_file() for file in files)
    assert {file.suffix for file in files} == {".csv", ".tsv", ".xlsx", ".parquet"}
    assert config.publish.approval == "standing"
    assert config.terms is not None
    assert config.terms.accepted_by == "Demo Person"
    other = load_dataset(folder / ERRORS_CONFIG)
    assert other.dataset.id != config.dataset.id
    assert {name for name in TABLES if other.tables[name] != config.tables[name]} == {
        "vesicle",
        "endoplasmic_reticulum",
    }


def test_it_shows_the_features(folder: Path) -> None:
    tables = load_dataset(folder / CLEAN_CONFIG).tables
    assert tables["neuron_relation"].columns == {
        "pre_id": "pre_synapse_id",
        "post_id": "post_synapse_id",
    }
    assert tables["neuron_relation"].combine == {"connection_score": "sum"}
    assert tables["vesicle"].units == {"voxel_radius": "um"}
    assert tables["vesicle"].missing == ["-1"]
    assert CalamineWorkbook.from_path(folder / "organelles.xlsx").sheet_names == [
        tables["vesicle"].sheet,
        tables["mitochondria"].sheet,
    ]
    pairs = [(row["pre_id"], row["post_id"]) for row in LAB.tables["neuron_relation"]]
    assert len(set(pairs)) < len(pairs)
    assert "-1" in {row["distance_to_active_zone"] for row in LAB.tables["vesicle"]}
    assert "4620263339,4" in (folder / "er.csv").read_text(encoding="utf-8")


def test_neurons_have_keys_that_a_float_would_damage() -> None:
    for row in LAB.tables["neuron"]:
        assert int(float(row["cid"])) != int(row["cid"])


def test_the_tables_hold_what_the_lab_measured(folder: Path) -> None:
    with (folder / "neuron.csv").open(encoding="utf-8", newline="") as file:
        assert [row["cid"] for row in csv.DictReader(file)] == [
            row["cid"] for row in LAB.tables["neuron"]
        ]
    frame = pl.read_parquet(folder / "synapse.parquet")
    assert frame["cave_id"].to_list() == [row["cave_id"] for row in LAB.tables["synapse"]]
    assert frame.schema["cid"] == pl.String
    sheet = (
        CalamineWorkbook.from_path(folder / "organelles.xlsx")
        .get_sheet_by_name("Vesicles")
        .to_python()
    )
    assert sheet[1][:2] == ["v00001", "1001"]


def keys(table: str) -> set[str]:
    return {row["cid"] for row in LAB.tables[table]}


def test_keys_are_unique_and_references_hold() -> None:
    for name, rows in LAB.tables.items():
        if name != "neuron_relation":
            assert len(keys(name)) == len(rows)
    parents = {
        "dendrite": "neuron",
        "axon": "neuron",
        "nucleus": "neuron",
        "pre_synaptic_terminal": "axon",
        "dendritic_spine": "dendrite",
        "endoplasmic_reticulum": "dendrite",
        "vesicle": "pre_synaptic_terminal",
        "mitochondria": "axon",
    }
    for child, parent in parents.items():
        assert {row["parent_id"] for row in LAB.tables[child]} <= keys(parent)
    for table in ("pre_synaptic_terminal", "dendritic_spine"):
        assert {row["forms_synapse_with"] for row in LAB.tables[table]} - {None} == keys("synapse")
    assert {row["pre_terminal"] for row in LAB.tables["synapse"]} <= keys("pre_synaptic_terminal")
    assert {row["post_spine"] for row in LAB.tables["synapse"]} <= keys("dendritic_spine")


@pytest.mark.parametrize("declared", DECLARED, ids=lambda item: f"{item.table}.{item.column}")
def test_counts_and_totals_agree_with_the_children(declared: object) -> None:
    table, column, child, volumes = (
        declared.table,
        declared.column,
        declared.child,
        declared.volumes,
    )  # type: ignore[attr-defined]
    for row in LAB.tables[table]:
        if column not in row:
            assert (table, child) == (
                "pre_synaptic_terminal",
                "mitochondria",
            )  # this lab's mitochondria belong to axons
            continue
        children = [c for c in LAB.tables[child] if c["parent_id"] == row["cid"]]
        expected = sum(c["voxel_volume"] for c in children) if volumes else len(children)
        assert row[column] == pytest.approx(expected)


def test_ratio_and_sphericity_follow_from_area_and_volume() -> None:
    for row in LAB.tables["neuron"] + LAB.tables["nucleus"]:
        area, volume = row["mesh_surface_area"], row["mesh_volume"]
        assert row["mesh_area_volume_ratio"] == pytest.approx(area / volume)
        assert row["mesh_sphericity"] == pytest.approx(
            math.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / area
        )
        assert 0 < row["mesh_sphericity"] <= 1


def closed(mesh: Mesh) -> bool:
    """Whether every edge is used once in each direction."""
    edges = [(t[i], t[(i + 1) % 3]) for t in mesh.triangles for i in range(3)]
    return len(set(edges)) == len(edges) and {(b, a) for a, b in edges} == set(edges)


def test_meshes_are_closed_and_measured_right() -> None:
    round_one = ball((1_000, 2_000, 3_000), 5_000)
    assert closed(round_one)
    assert 0.9 < round_one.volume / (4 / 3 * math.pi * 5_000**3) < 1
    assert 0.95 < sphericity(round_one.area, round_one.volume) < 1
    assert LAB.meshes
    assert all(closed(mesh) and mesh.volume > 0 for mesh in LAB.meshes.values())


def test_a_glb_file_is_well_formed() -> None:
    mesh = ball((0, 0, 0), 1_000)
    data = glb(mesh)
    magic, version, length, json_length, json_kind = struct.unpack_from("<4sIII4s", data)
    assert (magic, version, length, json_kind) == (b"glTF", 2, len(data), b"JSON")
    scene = json.loads(data[20 : 20 + json_length])
    binary_length, binary_kind = struct.unpack_from("<I4s", data, 20 + json_length)
    assert (binary_kind, 28 + json_length + binary_length, length % 4, json_length % 4) == (
        b"BIN\0",
        length,
        0,
        0,
    )
    assert (
        scene["buffers"][0]["byteLength"] <= binary_length < scene["buffers"][0]["byteLength"] + 4
    )
    at = 28 + json_length
    points = list(struct.iter_unpack("<3f", data[at : at + scene["bufferViews"][0]["byteLength"]]))
    assert points == mesh.vertices
    view = scene["bufferViews"][1]
    faces = list(
        struct.iter_unpack(
            "<3H", data[at + view["byteOffset"] : at + view["byteOffset"] + view["byteLength"]]
        )
    )
    assert faces == mesh.triangles
    assert scene["accessors"][0]["count"] == len(points)
    assert scene["accessors"][0]["max"] == [max(p[i] for p in points) for i in range(3)]


def test_skeletons_are_trees_that_their_neuron_describes(folder: Path) -> None:
    neurons = {row["swc_path"]: row for row in LAB.tables["neuron"] if row["swc_path"]}
    assert neurons.keys() == LAB.skeletons.keys()
    for name, row in neurons.items():
        nodes = LAB.skeletons[name]
        assert [n.parent for n in nodes].count(None) == 1
        assert all(n.parent is None or n.parent < i for i, n in enumerate(nodes))
        assert row["cable_length"] == round(cable_length(nodes), 1)
        assert row["n_branches"] == branch_points(nodes) > 0
        lines = [
            line.split()
            for line in (folder / name).read_text().splitlines()
            if not line.startswith("#")
        ]
        assert len(lines) == len(nodes)
        assert lines[0][6] == "-1"
        assert all(len(line) == 7 and int(line[6]) < int(line[0]) for line in lines)


def test_every_path_of_the_tables_exists(folder: Path) -> None:
    named = [
        row[column]
        for rows in LAB.tables.values()
        for row in rows
        for column in ("swc_path", "mesh_path")
        if row.get(column)
    ]
    assert len(named) == 7
    assert all((folder / name).is_file() for name in named)


def test_the_mistakes_are_the_ones_told_of(folder: Path) -> None:
    lines = (folder / "vesicles_with_mistakes.csv").read_text(encoding="utf-8").splitlines()
    rows = list(csv.reader(lines))
    width = len(rows[0])
    assert [number for number, row in enumerate(rows, start=1) if len(row) != width] == [91, 92]
    whole = [row for row in rows[1:] if len(row) == width]
    cids = [row[0] for row in whole if row[0]]
    assert len(cids) - len(set(cids)) == 2
    assert sum(row[1].endswith(".0") for row in whole) == 4
    assert [row[1] for row in whole if row[1] in ("9999", "")] == ["9999", ""]
    assert sum(row[0] == "" for row in whole) == 1
    assert {"NaN", "-0.018"} <= {row[3] for row in whole}
    assert "voxel_volum" in (folder / "er_with_unknown_column.csv").read_text(
        encoding="utf-8"
    ).splitlines()[0].split(",")


def test_the_lab_is_small() -> None:
    lab: Lab = invent_lab()
    assert sum(len(rows) for rows in lab.tables.values()) < 1_000
