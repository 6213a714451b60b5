"""Column names: every problem of a header is reported at once, with a line for the config that can
be copied.

Belongs here: names in, matches and problems out. Does not: files.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.readers import headers
from syndb_pipeline.readers.headers import Match


def match(names: list[str], table: str = "vesicle", **config: object) -> Match:
    settings = TableConfig.model_validate({"file": "f.csv", **config})
    return headers.match("f.csv", names, TABLES[table], settings)


def codes(found: Match) -> list[tuple[str, str | None]]:
    return [(problem.code, problem.column) for problem in found.problems]


def said(found: Match, column: str | None) -> dict[str, Any]:
    """The values of the only problem of a column."""
    (values,) = [dict(each.values) for each in found.problems if each.column == column]
    return values


@pytest.mark.parametrize(
    ("names", "table", "config", "targets", "problems"),
    [
        (
            ["cid", "pre_id", "post_id", "serotonin", "GABA"],
            "synapse",
            {},
            {"cid": 0, "pre_synapse_id": 1, "post_synapse_id": 2, "serine": 3, "gaba": 4},
            [],
        ),
        (  # a mapping wins over the name
            ["id", "radius", "voxel_volume"],
            "vesicle",
            {"columns": {"id": "cid", "radius": "voxel_radius", "voxel_volume": "mesh_volume"}},
            {"cid": 0, "voxel_radius": 1, "mesh_volume": 2},
            [],
        ),
        *(
            (
                ["", "x"],
                "vesicle",
                {"columns": {blank: "cid", "x\u00a0": "centroid_x"}},
                {"cid": 0, "centroid_x": 1},
                [],
            )
            for blank in ("", " ", "\t", "\u00a0")
        ),
        (["cid", ""], "vesicle", {"ignore": [" "]}, {"cid": 0}, []),
        (["cid", ""], "vesicle", {}, {"cid": 0}, [("SYN-READ-005", None)]),
        (["cid", "cid"], "vesicle", {}, {}, [("SYN-READ-004", "cid")]),
        # A name with a comma in it is a name where the config knows it, and beside others.
        (["cid, ours"], "vesicle", {"columns": {"cid, ours": "cid"}}, {"cid": 0}, []),
        (["cid", "shape,size"], "vesicle", {}, {"cid": 0}, [("SYN-COL-001", "shape,size")]),
        *(
            ([name], "vesicle", {}, {}, [("SYN-READ-014", None)])
            for name in ("cid,Voxel Radius", "root;size", "a\tb", "a|b", "cid   voxel_radius")
        ),
        (
            ["Voxel Radius"],
            "vesicle",
            {},
            {},
            [("SYN-COL-001", "Voxel Radius"), ("SYN-COL-002", "cid")],
        ),
        (
            ["", "x", "type", "dataset_id", "mesh_volume", "mesh_volume", "vol", "voxel_volume"],
            "vesicle",
            {
                "columns": {"vol": "voxel_volume", "gone": "centroid_y"},
                "ignore": ["coment"],
                "units": {"voxel_radius": "um"},
            },
            {},
            [
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
            ],
        ),
    ],
)
def test_columns_and_every_problem(
    names: list[str],
    table: str,
    config: dict[str, object],
    targets: dict[str, int],
    problems: list[tuple[str, str | None]],
) -> None:
    found = match(names, table, **config)
    assert (found.targets, codes(found)) == (targets, problems)
    assert found.complete is ("cid" in targets)


def test_advice_can_be_copied_into_the_config() -> None:
    found = match(["cid", "x", "neuron type?", "yes"], ignore=["note"])
    assert "{x: centroid_x}" in said(found, "x")["advice"]
    line = said(found, "yes")["advice"].split("`tables.vesicle.ignore: ")[1].split("`")[0]
    assert yaml.safe_load(line) == ["note", "x", "neuron type?", "yes"]


def test_names_that_differ_in_spelling_are_mapped_in_one_line() -> None:
    found = match(["CID", "Parent ID", "nonsense"])
    assert [problem.column for problem in found.problems] == ["CID", "Parent ID", "nonsense"]
    for problem in found.problems:
        assert "CID: cid, Parent ID: parent_id" in problem.values["advice"]


def test_columns_without_a_name() -> None:
    (problem,) = match(["cid", "", "voxel_radius", ""]).problems
    values = problem.values
    assert (problem.count, values["positions"], values["ignoring"]) == (2, "2, 4", '""')
    for names, naming in (
        (["", "voxel_radius"], '{"": cid}'),
        (["cid", ""], '{"": <column of SynDB>}'),
    ):
        assert naming in said(match(names), None)["naming"]
    assert said(match(["cid", "", ""]), None)["naming"] == ""


@pytest.mark.parametrize(
    ("names", "config", "line"),
    [
        (["presynapse_id", "post_id"], {}, "{presynapse_id: pre_synapse_id}"),
        (
            ["presynapse_id", "to"],
            {"columns": {"to": "post_synapse_id"}},
            "{to: post_synapse_id, presynapse_id: pre_synapse_id}",
        ),
    ],
)
def test_a_missing_column_is_mapped_to_the_nearest_beside_those_that_are(
    names: list[str], config: dict[str, object], line: str
) -> None:
    found = match(names, "neuron_relation", **config)
    assert ("SYN-COL-002", "pre_synapse_id") in codes(found)
    assert line in said(found, "pre_synapse_id")["advice"]


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
        *(
            ("mitochondria", name, "")
            for name in ("Major_Length_um", "Perimeter_um", "Section_ID", "Aspect")
        ),
        *(("neuron", name, "") for name in ("root_id", "Minor_Axis_Length", "soma_x")),
        ("synapse", "pre_pt_position", ""),
        ("synapse", "pre_pt_root_id", "pre_synapse_id"),
        ("neuron", "cable_lenght", "cable_length"),
        ("neuron", "voxelVolume (um3)", "voxel_volume"),
        ("neuron", "soma_centroid_x", "centroid_x"),
        ("vesicle", "voxel\u200b_radius", "voxel_radius"),
        ("vesicle", "radius", "voxel_radius"),
    ],
)
def test_a_nearest_name_is_given_only_where_one_is_near(table: str, name: str, near: str) -> None:
    values = said(match(["cid", name], table), name)
    assert values["near"].startswith(f" (nearest: {near}") if near else values["near"] == ""
    assert "ignore" in values["advice"]


def test_a_column_of_generation_2_may_be_an_older_one() -> None:
    advice = said(match(["cid", "Cell Type", "species"], "neuron"), "Cell Type")["advice"]
    assert "If Cell Type is neuron_type, map it under `columns` of neuron." in advice
    assert "keep them in the file" in advice and "species" not in advice


@pytest.mark.parametrize(
    ("names", "name", "taken", "config"),
    [
        (["cid", "id"], "id", "cid", {}),
        (
            ["cid", "voxel_radius", "Voxel Radius", "gone"],
            "Voxel Radius",
            "voxel_radius",
            {"columns": {"lost": "voxel_volume"}},
        ),
    ],
)
def test_a_column_that_the_file_has_is_offered_to_no_other(
    names: list[str], name: str, taken: str, config: dict[str, object]
) -> None:
    advice = said(match(names, **config), name)["advice"]
    assert f"'{taken}' is {taken} already" in advice
    assert f": {taken}" not in advice


@pytest.mark.parametrize(
    ("first", "second"),
    [("Centroid_X", "centroid x"), ("CENTROID-X", "Centroid.X"), ("x", "X"), ("x", "centroidX")],
)
@pytest.mark.parametrize("others", [[], ["Major", "Minor", "Aspect"], ["VOXEL volume"]])
def test_no_line_to_paste_maps_two_columns_to_one(
    first: str, second: str, others: list[str]
) -> None:
    names = ["cid", first, second, *others]
    found = match(names, "neuron")
    for name, left in ((first, second), (second, first)):
        pasted = yaml.safe_load(said(found, name)["advice"].split("columns: ")[1].split("`")[0])
        assert pasted[name] == "centroid_x"
        again = match(names, "neuron", columns=pasted)
        assert "centroid_x" in again.targets
        assert "SYN-COL-005" not in [code for code, _ in codes(again)]
        assert f"{name!r} is centroid_x already" in said(again, left)["advice"]


def test_two_names_that_are_one_without_their_blanks() -> None:
    with pytest.raises(ValueError, match="mapped twice"):
        TableConfig.model_validate({"file": "f", "columns": {"": "cid", " ": "voxel_radius"}})
