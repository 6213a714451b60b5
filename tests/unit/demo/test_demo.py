"""The demo lab: complete, written the same every time, and showing what it says it shows.

Belongs here: its files and configs. Does not: that keys, references, totals, meshes and skeletons
are right, which the stages look at (`tests/integration/test_demo_stages.py`).
"""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path

import pytest
from python_calamine import CalamineWorkbook

from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.demo import CLEAN_CONFIG, ERRORS_CONFIG, write_demo


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "lab"
    write_demo(folder)
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in files}


def lines(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_text(encoding="utf-8").splitlines()))


def test_it_is_the_same_every_time_and_leaves_other_files_alone(
    folder: Path, tmp_path: Path
) -> None:
    assert write_demo(tmp_path) == tmp_path / CLEAN_CONFIG
    assert digests(tmp_path) == digests(folder)
    (tmp_path / "notes.txt").write_text("mine")
    write_demo(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_all_tables_formats_and_features_are_there(folder: Path) -> None:
    config, other = (load_dataset(folder / name) for name in (CLEAN_CONFIG, ERRORS_CONFIG))
    tables = config.tables
    assert set(tables) == set(TABLES)
    suffixes = {(folder / table.file).suffix for table in tables.values()}
    assert suffixes == {".csv", ".tsv", ".xlsx", ".parquet"}
    assert config.publish.approval == "standing"
    assert config.terms is not None and config.terms.accepted_by == "Demo Person"
    assert other.dataset.id != config.dataset.id
    differ = {name for name in TABLES if other.tables[name] != tables[name]}
    assert differ == {"vesicle", "endoplasmic_reticulum"}
    mapped = {"pre_id": "pre_synapse_id", "post_id": "post_synapse_id"}
    assert tables["neuron_relation"].columns == mapped
    assert tables["neuron_relation"].combine == {"connection_score": "sum"}
    assert tables["vesicle"].units == {"voxel_radius": "um"}
    assert tables["vesicle"].missing == ["-1"]
    sheets = CalamineWorkbook.from_path(folder / "organelles.xlsx").sheet_names
    assert sheets == [tables["vesicle"].sheet, tables["mitochondria"].sheet]
    assert "4620263339,4" in (folder / "er.csv").read_text(encoding="utf-8")
    pairs = [tuple(row[:2]) for row in lines(folder / "connections.csv")]
    assert len(set(pairs)) < len(pairs)
    head, *neurons = lines(folder / "neuron.csv")
    keys = [row[head.index("cid")] for row in neurons]
    assert all(int(float(key)) != int(key) for key in keys), "a float would damage them"


def test_the_mistakes_are_the_ones_listed(folder: Path) -> None:
    rows = lines(folder / "vesicles_with_mistakes.csv")
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
    assert "voxel_volum" in lines(folder / "er_with_unknown_column.csv")[0]
