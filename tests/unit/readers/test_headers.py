"""Column names: every problem of a header is told at once, with a line for the config that can be copied.

Belongs here: names in, matches and problems out. Does not: files.
"""

from __future__ import annotations

import pytest
import yaml

from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.readers import headers
from syndb_pipeline.readers.headers import Match
from syndb_pipeline.table_settings import TableConfig


def match(names: list[str], table: str = "vesicle", **config: object) -> Match:
    return headers.match("f.csv", names, TABLES[table], TableConfig.model_validate({"file": "f.csv", **config}))


def codes(found: Match) -> list[tuple[str, str | None]]:
    return [(problem.code, problem.column) for problem in found.problems]


def test_known_names_and_old_names() -> None:
    found = match(["cid", "pre_id", "post_id", "serotonin", "GABA"], "synapse")
    assert found.targets == {"cid": 0, "pre_synapse_id": 1, "post_synapse_id": 2, "serine": 3, "gaba": 4}
    assert found.problems == ()


def test_a_mapping_wins_over_the_name() -> None:
    found = match(["id", "radius", "voxel_volume"], columns={"id": "cid", "radius": "voxel_radius", "voxel_volume": "mesh_volume"})
    assert found.targets == {"cid": 0, "voxel_radius": 1, "mesh_volume": 2}


def test_every_problem_is_told() -> None:
    found = match(
        ["", "x", "type", "dataset_id", "mesh_volume", "mesh_volume", "vol", "voxel_volume"],
        columns={"vol": "voxel_volume", "gone": "centroid_y"},
        ignore=["coment"],
        units={"voxel_radius": "um"},
    )
    assert codes(found) == [
        ("SYN-READ-005", None),
        ("SYN-READ-004", "mesh_volume"),
        ("SYN-COL-003", "dataset_id"),
        ("SYN-COL-001", "x"),
        ("SYN-COL-001", "type"),
        ("SYN-COL-005", "voxel_volume"),
        ("SYN-COL-002", "cid"),
        ("SYN-COL-006", "gone"),
        ("SYN-COL-006", "coment"),
        ("SYN-COL-006", "voxel_radius"),
    ]
    assert not found.complete


def test_advice_can_be_copied_into_the_config() -> None:
    found = match(["cid", "x", "neuron type?", "yes"], ignore=["note"])
    by_column = {problem.column: problem.values for problem in found.problems if problem.code == "SYN-COL-001"}
    assert "{x: centroid_x}" in by_column["x"]["advice"]
    line = by_column["yes"]["advice"].split("`tables.vesicle.ignore: ")[1].split("`")[0]
    assert yaml.safe_load(line) == ["note", "x", "neuron type?", "yes"]


def test_names_that_differ_in_spelling_are_mapped_in_one_line() -> None:
    found = match(["CID", "Parent ID", "nonsense"], columns={})
    assert codes(found) == [("SYN-COL-001", "CID"), ("SYN-COL-001", "Parent ID"), ("SYN-COL-001", "nonsense")]
    assert all("CID: cid, Parent ID: parent_id" in problem.values["advice"] for problem in found.problems)
    assert not found.complete


def test_columns_without_a_name_are_told_together() -> None:
    (problem,) = match(["cid", "", "voxel_radius", ""], columns={}).problems
    assert (problem.count, problem.values["positions"], problem.values["ignoring"]) == (2, "2, 4", '""')


def test_a_missing_required_column_names_the_nearest() -> None:
    found = match(["presynapse_id", "post_id"], "neuron_relation")
    (problem,) = [p for p in found.problems if p.code == "SYN-COL-002"]
    assert problem.column == "pre_synapse_id"
    assert "{presynapse_id: pre_synapse_id}" in problem.values["advice"]


def test_columns_that_are_not_sent_are_told_as_hints() -> None:
    found = match(["cid", "pre_id", "post_id"], "neuron_relation")
    assert found.complete
    assert codes(found) == [("SYN-COL-004", "cid")]
    several = match(["cid", "parent_id", "centroid_x", "centroid_z"], "synapse")
    (told,) = several.problems
    assert (told.code, told.column, told.count) == ("SYN-COL-004", None, 3)
    assert told.values["names"] == "parent_id, centroid_x, centroid_z"
    assert match(["cid", "mesh_path"]).problems == ()


def test_an_unnamed_column_can_be_mapped_or_ignored() -> None:
    assert match(["", "x"], columns={"": "cid", "x": "centroid_x"}).targets == {"cid": 0, "centroid_x": 1}
    assert match(["cid", ""], ignore=[""]).problems == ()
    assert ("SYN-READ-005", None) in codes(match(["cid", ""]))


def test_a_repeated_key_is_not_chosen_for_the_lab() -> None:
    found = match(["cid", "cid"])
    assert found.targets == {}
    assert not found.complete
    assert codes(found) == [("SYN-READ-004", "cid")]


@pytest.mark.parametrize(
    ("row", "header"),
    [
        (["29", "8419602", "9.0"], False),
        (["KC-4claw", "input", "29"], False),
        (["cid", "29"], True),
        (["", "x", "y"], True),
        (["a", "NaN"], False),
        (["", ""], False),
        (["n1", "2020-01-02"], False),
        (["uname", "label"], True),
    ],
)
def test_first_rows_that_are_no_header(row: list[str], header: bool) -> None:
    assert headers.is_header(row, TABLES["vesicle"], TableConfig(file="f")) is header


def test_difference_in_words() -> None:
    assert headers.difference(["a", "b"], ["a", "c"]) == "it has 'b' and it lacks 'c'"
    assert headers.difference(["a"], ["a"]) == ""
