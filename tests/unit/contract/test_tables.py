"""The contract's tables against what SynDB's packages publish.

Belongs here: codes, hierarchy and column lists. Does not: the schemas made from them
(`test_schema.py`).
"""

from __future__ import annotations

import pytest
from syndb_constants.table import COMPARTMENT_HIERARCHY, syndb_table_name_to_enum

from syndb_pipeline.contract.tables import SERVER_COLUMNS, TABLE_ORDER, TABLES, Kind, ordered

SHAPE = (
    *(
        "voxel_volume",
        "voxel_radius",
        "mesh_volume",
        "mesh_surface_area",
        "mesh_area_volume_ratio",
        "mesh_sphericity",
    ),
    *("centroid_z", "centroid_x", "centroid_y"),
)
PARENT = ("parent_id", "parent_enum", "neuron_id")

# syndb-constants 0.15.0, schema.py, without the server's columns, under the names of 0.17.0 (gaba,
# pre_synapse_id, post_synapse_id).
PUBLISHED_2024 = {
    "neuron": {"cid": "uuid", "polarity": "ascii"} | dict.fromkeys(SHAPE, "double"),
    "dendrite": {"cid": "uuid", "dendritic_spine_count": "int"} | dict.fromkeys(SHAPE, "double"),
    "axon": {
        "cid": "uuid",
        "terminal_count": "int",
        "mitochondria_count": "int",
        "total_mitochondria_volume": "double",
    }
    | dict.fromkeys(SHAPE, "double"),
    "pre_synaptic_terminal": {
        "cid": "uuid",
        "vesicle_count": "int",
        "total_vesicle_volume": "double",
        "mitochondria_count": "int",
        "total_mitochondria_volume": "double",
        "forms_synapse_with": "uuid",
    }
    | dict.fromkeys(SHAPE, "double"),
    "dendritic_spine": {"cid": "uuid", "forms_synapse_with": "uuid"}
    | dict.fromkeys(SHAPE, "double"),
    "synapse": {"cid": "uuid", "connection_score": "double", "cleft_score": "int", "cave_id": "int"}
    | dict.fromkeys(
        ("gaba", "acetylcholine", "glutamate", "octopamine", "serine", "dopamine"), "double"
    )
    | {"pre_synapse_id": "uuid", "post_synapse_id": "uuid"},
    "vesicle": {
        "cid": "uuid",
        "neurotransmitter": "ascii",
        "distance_to_active_zone": "double",
        "minimum_normal_length": "int",
    }
    | dict.fromkeys(SHAPE, "double"),
    "mitochondria": {"cid": "uuid"} | dict.fromkeys(SHAPE, "double"),
    "endoplasmic_reticulum": {"cid": "uuid", "ribosome_count": "int"}
    | dict.fromkeys(SHAPE, "double"),
}
for _name in PUBLISHED_2024:
    if _name not in ("neuron", "synapse"):
        PUBLISHED_2024[_name] |= {"parent_id": "uuid", "parent_enum": "int", "neuron_id": "uuid"}

# Known by name only, from 0.17.0.
ADDED = {
    "neuron": {
        "neuron_type",
        "cable_length",
        "bounding_box",
        "is_tree",
        "n_branches",
        "n_skeletons",
        "n_trees",
    }
}

WIRE = {"uuid": "UUID", "ascii": "VARCHAR", "double": "DOUBLE", "int": "INTEGER"}


def test_codes_are_those_of_syndb_constants() -> None:
    assert {name: table.code for name, table in TABLES.items()} == {
        name: int(code) for name, code in syndb_table_name_to_enum.items()
    }
    assert {name: table.code for name, table in TABLES.items()} == {
        "neuron": 1,
        "neuron_relation": 2,
        "dendrite": 3,
        "axon": 4,
        "pre_synaptic_terminal": 5,
        "synapse": 6,
        "dendritic_spine": 7,
        "endoplasmic_reticulum": 8,
        "nucleus": 9,
        "vesicle": 10,
        "mitochondria": 11,
    }


def test_levels_and_parents_follow_the_published_hierarchy() -> None:
    assert len(COMPARTMENT_HIERARCHY) == 5
    by_level = {
        level: {name for name, table in TABLES.items() if table.level == level}
        for level in range(5)
    }
    assert by_level == {
        0: {"neuron"},
        1: {"neuron_relation"},
        2: {"dendrite", "axon"},
        3: {"synapse", "pre_synaptic_terminal", "dendritic_spine"},
        4: {"nucleus", "endoplasmic_reticulum", "mitochondria", "vesicle"},
    }
    for table in TABLES.values():
        levels = [TABLES[parent].level for parent in table.parents]
        assert levels == sorted(levels, reverse=True), "nearest level first"
        assert set(table.parents) == {
            name for name, other in TABLES.items() if other.level < table.level
        }
    assert TABLE_ORDER[0] == "neuron"
    assert ordered({"vesicle", "neuron", "axon"}) == ["neuron", "axon", "vesicle"]


@pytest.mark.parametrize("table", sorted(PUBLISHED_2024))
def test_published_columns_are_those_syndb_lists(table: str) -> None:
    published = {name: column for name, column in TABLES[table].columns.items() if column.published}
    assert set(published) == set(PUBLISHED_2024[table]) | ADDED.get(table, set())
    for name, kind in PUBLISHED_2024[table].items():
        # CAVE's ids take 64 bits, whatever the list of 2024 says.
        assert published[name].wire_type == ("BIGINT" if name == "cave_id" else WIRE[kind]), name


def test_tables_without_a_published_list() -> None:
    nucleus = {name for name, column in TABLES["nucleus"].columns.items() if column.published}
    assert nucleus == {"cid", *SHAPE, *PARENT}
    relation = TABLES["neuron_relation"]
    assert relation.pair == ("pre_synapse_id", "post_synapse_id")
    assert {name for name, column in relation.columns.items() if column.published} == {
        "pre_synapse_id",
        "post_synapse_id",
        "connection_score",
    }
    assert (
        relation.columns["pre_synapse_id"].targets
        == relation.columns["post_synapse_id"].targets
        == ("neuron",)
    )


def test_renamed_columns_are_found_by_their_old_name() -> None:
    for table, old, new in (
        ("synapse", "pre_id", "pre_synapse_id"),
        ("synapse", "post_id", "post_synapse_id"),
        ("synapse", "GABA", "gaba"),
        ("synapse", "serotonin", "serine"),
        ("neuron_relation", "pre_id", "pre_synapse_id"),
        ("neuron", "swb_path", "swc_path"),
    ):
        column = TABLES[table].column(old)
        assert column is not None and column.name == new


def test_no_table_holds_a_column_of_the_server() -> None:
    assert set(SERVER_COLUMNS) == {"dataset_id", "s3_mesh_location", "s3_swb_location"}
    for table in TABLES.values():
        assert not SERVER_COLUMNS & set(table.columns)


def test_references_point_up_or_sideways_as_the_guide_says() -> None:
    for name, table in TABLES.items():
        if table.has_parent:
            assert table.columns["parent_id"].targets == table.parents, name
    assert TABLES["dendritic_spine"].columns["forms_synapse_with"].targets == ("synapse",)
    assert set(TABLES["synapse"].columns["pre_synapse_id"].targets) == {
        "pre_synaptic_terminal",
        "dendritic_spine",
        "dendrite",
        "axon",
        "neuron",
    }


def test_paths_are_never_published() -> None:
    paths = [
        column
        for table in TABLES.values()
        for column in table.columns.values()
        if column.kind is Kind.PATH
    ]
    assert {column.name: column.suffix for column in paths} == {
        "mesh_path": ".glb",
        "swc_path": ".swc",
    }
    assert not any(column.published for column in paths)
