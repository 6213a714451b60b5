"""Column names: every problem of a header is told at once, with a line for the config that can be
copied.

Belongs here: names in, matches and problems out. Does not: files.
"""

from __future__ import annotations

import pytest
import yaml

from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.readers import headers
from syndb_pipeline.readers.headers import Match


def match(names: list[str], table: str = "vesicle", **config: object) -> Match:
    return headers.match(
        "f.csv", names, TABLES[table], TableConfig.model_validate({"file": "f.csv", **config})
    )


def codes(found: Match) -> list[tuple[str, str | None]]:
    return [(problem.code, problem.column) for problem in found.problems]


def test_known_names_and_old_names() -> None:
    found = match(["cid", "pre_id", "post_id", "serotonin", "GABA"], "synapse")
    assert found.targets == {
        "cid": 0,
        "pre_synapse_id": 1,
        "post_synapse_id": 2,
        "serine": 3,
        "gaba": 4,
    }
    assert found.problems == ()


def test_a_mapping_wins_over_the_name() -> None:
    found = match(
        ["id", "radius", "voxel_volume"],
        columns={"id": "cid", "radius": "voxel_radius", "voxel_volume": "mesh_volume"},
    )
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
    by_column = {
        problem.column: problem.values
        for problem in found.problems
        if problem.code == "SYN-COL-001"
    }
    assert "{x: centroid_x}" in by_column["x"]["advice"]
    line = by_column["yes"]["advice"].split("`tables.vesicle.ignore: ")[1].split("`")[0]
    assert yaml.safe_load(line) == ["note", "x", "neuron type?", "yes"]


def test_names_that_differ_in_spelling_are_mapped_in_one_line() -> None:
    found = match(["CID", "Parent ID", "nonsense"], columns={})
    assert codes(found) == [
        ("SYN-COL-001", "CID"),
        ("SYN-COL-001", "Parent ID"),
        ("SYN-COL-001", "nonsense"),
    ]
    assert all(
        "CID: cid, Parent ID: parent_id" in problem.values["advice"] for problem in found.problems
    )
    assert not found.complete


def test_columns_without_a_name_are_told_together() -> None:
    (problem,) = match(["cid", "", "voxel_radius", ""], columns={}).problems
    assert (problem.count, problem.values["positions"], problem.values["ignoring"]) == (
        2,
        "2, 4",
        '""',
    )


def test_a_missing_required_column_names_the_nearest() -> None:
    found = match(["presynapse_id", "post_id"], "neuron_relation")
    (problem,) = [p for p in found.problems if p.code == "SYN-COL-002"]
    assert problem.column == "pre_synapse_id"
    assert "{presynapse_id: pre_synapse_id}" in problem.values["advice"]


def test_an_unnamed_column_can_be_mapped_or_ignored() -> None:
    assert match(["", "x"], columns={"": "cid", "x": "centroid_x"}).targets == {
        "cid": 0,
        "centroid_x": 1,
    }
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


@pytest.mark.parametrize(
    ("table", "name", "near"),
    [
        ("mitochondria", "Major_Length_um", []),
        ("mitochondria", "Perimeter_um", []),
        ("mitochondria", "Section_ID", []),
        ("mitochondria", "Aspect", []),
        ("neuron", "root_id", []),
        ("neuron", "Minor_Axis_Length", []),
        ("synapse", "pre_pt_position", []),
        ("synapse", "pre_pt_root_id", ["pre_synapse_id"]),
        ("neuron", "cable_lenght", ["cable_length"]),
        ("neuron", "Cell Type", ["neuron_type"]),
        ("neuron", "voxelVolume (um3)", ["voxel_volume"]),
        ("neuron", "id", ["cid"]),
        ("neuron", "soma_x", []),
        ("neuron", "soma_centroid_x", ["centroid_x"]),
        ("vesicle", "voxel\u200b_radius", ["voxel_radius"]),
        ("vesicle", "radius", ["voxel_radius"]),
    ],
)
def test_a_nearest_name_is_given_only_where_one_is_near(
    table: str, name: str, near: list[str]
) -> None:
    [problem] = [
        problem for problem in match(["cid", name], table).problems if problem.code == "SYN-COL-001"
    ]
    said = f"{problem.values['near']} {problem.values['advice']}"
    if "cid" in near:  # the file has it already
        assert "'cid' is cid already" in said
        assert ": cid" not in said
    else:
        assert problem.values["near"].startswith(f" (nearest: {near[0]}" if near else ""), said
        assert bool(problem.values["near"]) == bool(near)
        assert "ignore" in said


@pytest.mark.parametrize(
    ("first", "second"),
    [("Centroid_X", "centroid x"), ("CENTROID-X", "Centroid.X"), ("x", "X"), ("x", "centroidX")],
)
@pytest.mark.parametrize("others", [[], ["Major", "Minor", "Aspect"], ["VOXEL volume"]])
def test_no_line_to_paste_maps_two_columns_to_one(
    first: str, second: str, others: list[str]
) -> None:
    found = match(["cid", first, second, *others], "neuron")
    lines = [
        problem.values["advice"].split("columns: ")[1].split("`")[0]
        for problem in found.problems
        if problem.column in (first, second)
    ]
    assert len(lines) == 2
    for name, line in zip((first, second), lines, strict=True):
        pasted = yaml.safe_load(line)
        assert pasted[name] == "centroid_x"
        again = match(["cid", first, second, *others], "neuron", columns=pasted)
        assert "centroid_x" in again.targets
        assert "SYN-COL-005" not in [code for code, _ in codes(again)]
        [left] = [problem for problem in again.problems if problem.column in (first, second)]
        assert left.column != name
        assert f"{name!r} is centroid_x already" in left.values["advice"]


def test_a_column_that_the_file_has_is_offered_to_no_other() -> None:
    found = match(["cid", "voxel_radius", "Voxel Radius", "gone"], columns={"lost": "voxel_volume"})
    [problem] = [problem for problem in found.problems if problem.column == "Voxel Radius"]
    assert "'voxel_radius' is voxel_radius already" in problem.values["advice"]
    assert ": voxel_radius" not in problem.values["advice"]


def test_a_missing_column_is_mapped_beside_the_columns_that_are_mapped() -> None:
    found = match(["presynapse_id", "to"], "neuron_relation", columns={"to": "post_synapse_id"})
    [problem] = [problem for problem in found.problems if problem.code == "SYN-COL-002"]
    assert "{to: post_synapse_id, presynapse_id: pre_synapse_id}" in problem.values["advice"]


@pytest.mark.parametrize("blank", ["", " ", "  ", "\t", "\u00a0"])
def test_a_name_of_blanks_is_the_empty_name(blank: str) -> None:
    assert match(
        list(headers.tidy([blank, " x "])), columns={blank: "cid", "x\u00a0": "centroid_x"}
    ).targets == {"cid": 0, "centroid_x": 1}
    assert match(["cid", ""], ignore=[blank]).problems == ()


def test_two_names_that_are_one_without_their_blanks() -> None:
    with pytest.raises(ValueError, match="mapped twice"):
        TableConfig.model_validate({"file": "f", "columns": {"": "cid", " ": "voxel_radius"}})


def test_the_only_column_without_a_name_can_be_mapped() -> None:
    [key] = [
        problem
        for problem in match(["", "voxel_radius"]).problems
        if problem.code == "SYN-READ-005"
    ]
    assert '{"": cid}' in key.values["naming"]
    [other] = match(["cid", ""]).problems
    assert '{"": <column of SynDB>}' in other.values["naming"]
    [several] = match(["cid", "", ""]).problems
    assert several.values["naming"] == ""


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_a_header_in_one_cell(mark: str) -> None:
    found = match([f"cid{mark}Voxel Radius{mark}voxel_volume"])
    assert (codes(found), found.complete, found.targets) == ([("SYN-READ-014", None)], False, {})
    assert repr(mark) in found.problems[0].values["reason"]
    assert codes(match([f"root{mark}size"])) == [("SYN-READ-014", None)]
    # A name with a comma in it is a name where the config knows it, and beside others.
    assert match([f"cid{mark} of ours"], columns={f"cid{mark} of ours": "cid"}).problems == ()
    assert codes(match(["cid", f"shape{mark}size"])) == [("SYN-COL-001", f"shape{mark}size")]


def test_a_header_of_names_and_blanks_in_one_cell() -> None:
    assert codes(match(["cid   voxel_radius"])) == [("SYN-READ-014", None)]
    assert codes(match(["Voxel Radius"])) == [
        ("SYN-COL-001", "Voxel Radius"),
        ("SYN-COL-002", "cid"),
    ]
