"""The demo lab: complete, the same every time, and true to its own numbers."""

from __future__ import annotations

import csv
import json
import math
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from python_calamine import CalamineWorkbook

from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.contract.tables import DECLARED, TABLES
from syndb_pipeline.demo import CLEAN_CONFIG, ERRORS_CONFIG, write_demo

Row = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "lab"
    write_demo(folder)
    return folder


@pytest.fixture(scope="module")
def lab(folder: Path) -> dict[str, list[Row]]:
    """The lab's rows by table, under its own column names."""
    tables = {}
    for name, config in load_dataset(folder / CLEAN_CONFIG).tables.items():
        file = folder / config.file
        if file.suffix == ".parquet":
            frame = pl.read_parquet(file)
        elif file.suffix == ".xlsx":
            book = CalamineWorkbook.from_path(file)
            head, *rows = book.get_sheet_by_name(config.sheet or book.sheet_names[0]).to_python()
            frame = pl.DataFrame(rows, schema=head, orient="row", strict=False)
        else:
            separator = {"terminals.tsv": "\t", "er.csv": ";"}.get(file.name, ",")
            keys = {"cid": pl.String, "parent_id": pl.String, "pre_id": pl.String}
            decimal_comma = config.decimal == ","
            frame = pl.read_csv(
                file,
                separator=separator,
                decimal_comma=decimal_comma,
                infer_schema_length=None,
                schema_overrides=keys | {"post_id": pl.String},
            )
        tables[name] = frame.to_dicts()
    return tables


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in files}


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
    differ = {name for name in TABLES if other.tables[name] != config.tables[name]}
    assert differ == {"vesicle", "endoplasmic_reticulum"}


def test_it_shows_the_features(folder: Path, lab: dict[str, list[Row]]) -> None:
    tables = load_dataset(folder / CLEAN_CONFIG).tables
    mapped = {"pre_id": "pre_synapse_id", "post_id": "post_synapse_id"}
    assert tables["neuron_relation"].columns == mapped
    assert tables["neuron_relation"].combine == {"connection_score": "sum"}
    assert tables["vesicle"].units == {"voxel_radius": "um"}
    assert tables["vesicle"].missing == ["-1"]
    sheets = CalamineWorkbook.from_path(folder / "organelles.xlsx").sheet_names
    assert sheets == [tables["vesicle"].sheet, tables["mitochondria"].sheet]
    pairs = [(row["pre_id"], row["post_id"]) for row in lab["neuron_relation"]]
    assert len(set(pairs)) < len(pairs)
    assert "-1" in {str(row["distance_to_active_zone"]) for row in lab["vesicle"]}
    assert "4620263339,4" in (folder / "er.csv").read_text(encoding="utf-8")


def test_it_is_small_and_has_keys_that_a_float_would_damage(lab: dict[str, list[Row]]) -> None:
    assert sum(len(rows) for rows in lab.values()) < 1_000
    assert all(int(float(row["cid"])) != int(row["cid"]) for row in lab["neuron"])


def test_keys_are_unique_and_references_hold(lab: dict[str, list[Row]]) -> None:
    keys = {name: {str(row.get("cid")) for row in rows} for name, rows in lab.items()}
    for name, rows in lab.items():
        assert name == "neuron_relation" or len(keys[name]) == len(rows)
    for child, column, parent in (
        ("dendrite", "parent_id", "neuron"),
        ("axon", "parent_id", "neuron"),
        ("nucleus", "parent_id", "neuron"),
        ("pre_synaptic_terminal", "parent_id", "axon"),
        ("dendritic_spine", "parent_id", "dendrite"),
        ("endoplasmic_reticulum", "parent_id", "dendrite"),
        ("vesicle", "parent_id", "pre_synaptic_terminal"),
        ("mitochondria", "parent_id", "axon"),
        ("synapse", "pre_terminal", "pre_synaptic_terminal"),
        ("synapse", "post_spine", "dendritic_spine"),
    ):
        assert {str(row[column]) for row in lab[child]} <= keys[parent]
    for table in ("pre_synaptic_terminal", "dendritic_spine"):
        assert {row["forms_synapse_with"] or None for row in lab[table]} - {None} == keys["synapse"]


@pytest.mark.parametrize("declared", DECLARED, ids=lambda item: f"{item.table}.{item.column}")
def test_counts_and_totals_agree_with_the_children(
    declared: Any, lab: dict[str, list[Row]]
) -> None:
    for row in lab[declared.table]:
        if declared.column not in row:  # this lab's mitochondria belong to axons
            assert (declared.table, declared.child) == ("pre_synaptic_terminal", "mitochondria")
            continue
        children = [c for c in lab[declared.child] if c["parent_id"] == row["cid"]]
        volume = sum(c["voxel_volume"] for c in children)
        expected = volume if declared.volumes else len(children)
        assert row[declared.column] == pytest.approx(expected)


def mesh(file: Path) -> tuple[list[tuple[float, ...]], list[tuple[int, ...]]]:
    """The corners and triangles of a .glb file, whose chunks are where glTF 2.0 has them."""
    data = file.read_bytes()
    magic, version, length, size, kind = struct.unpack_from("<4sIII4s", data)
    assert (magic, version, length, kind, size % 4) == (b"glTF", 2, len(data), b"JSON", 0)
    views = json.loads(data[20 : 20 + size])["bufferViews"]
    assert data[24 + size : 28 + size] == b"BIN\0"
    points, faces = (data[28 + size + view["byteOffset"] :][: view["byteLength"]] for view in views)
    return list(struct.iter_unpack("<3f", points)), list(struct.iter_unpack("<3H", faces))


def test_meshes_are_closed_and_their_rows_hold_what_they_measure(
    folder: Path, lab: dict[str, list[Row]]
) -> None:
    rows = lab["neuron"] + lab["nucleus"]
    for row in rows:
        area, volume = row["mesh_surface_area"], row["mesh_volume"]
        assert row["mesh_area_volume_ratio"] == pytest.approx(area / volume)
        sphere = math.pi ** (1 / 3) * (6 * volume) ** (2 / 3)
        assert row["mesh_sphericity"] == pytest.approx(sphere / area)
        assert 0 < row["mesh_sphericity"] <= 1
    named = [row for row in rows if row["mesh_path"]]
    assert len(named) == 4
    for row in named:
        points, triangles = mesh(folder / row["mesh_path"])
        edges = [(t[i], t[(i + 1) % 3]) for t in triangles for i in range(3)]
        assert len(set(edges)) == len(edges)
        assert {(b, a) for a, b in edges} == set(edges)
        area = volume = 0.0
        for corners in triangles:
            a, b, c = (
                [p - q for p, q in zip(points[corner], points[0], strict=True)]
                for corner in corners
            )
            u, v = ([p - q for p, q in zip(end, a, strict=True)] for end in (b, c))
            cross = [u[i - 2] * v[i - 1] - u[i - 1] * v[i - 2] for i in range(3)]
            area += math.hypot(*cross) / 2
            volume += sum(p * q for p, q in zip(a, cross, strict=True)) / 6
        assert row["mesh_surface_area"] == pytest.approx(area)
        assert row["mesh_volume"] == pytest.approx(volume)


def test_skeletons_are_trees_that_their_neuron_describes(
    folder: Path, lab: dict[str, list[Row]]
) -> None:
    named = [row for row in lab["neuron"] if row["swc_path"]]
    assert len(named) == 3
    for row in named:
        text = (folder / row["swc_path"]).read_text().splitlines()
        nodes = [line.split() for line in text if not line.startswith("#")]
        assert [node[0] for node in nodes] == [str(at) for at in range(1, len(nodes) + 1)]
        assert [node[6] for node in nodes].count("-1") == 1
        places = {node[0]: tuple(map(float, node[2:5])) for node in nodes}
        parents = [node[6] for node in nodes[1:]]
        assert all(
            int(parent) < int(node[0]) for node, parent in zip(nodes[1:], parents, strict=True)
        )
        length = sum(math.dist(places[node[0]], places[node[6]]) for node in nodes[1:])
        assert row["cable_length"] == pytest.approx(length, abs=3)
        assert row["n_branches"] == sum(parents.count(parent) > 1 for parent in set(parents)) > 0


def test_the_mistakes_are_the_ones_listed(folder: Path) -> None:
    text = (folder / "vesicles_with_mistakes.csv").read_text(encoding="utf-8")
    rows = list(csv.reader(text.splitlines()))
    width = len(rows[0])
    assert [at for at, row in enumerate(rows, start=1) if len(row) != width] == [91, 92]
    whole = [row for row in rows[1:] if len(row) == width]
    cids = [row[0] for row in whole if row[0]]
    assert len(cids) - len(set(cids)) == 2
    assert any(one == other for one, other in pairwise(whole))
    assert sum(row[1].endswith(".0") for row in whole) == 4
    assert [row[1] for row in whole if row[1] in ("9999", "")] == ["9999", ""]
    assert sum(row[0] == "" for row in whole) == 1
    assert {"NaN", "-0.018"} <= {row[3] for row in whole}
    head = (folder / "er_with_unknown_column.csv").read_text(encoding="utf-8").splitlines()[0]
    assert "voxel_volum" in head.split(",")
