"""Keys that several columns make together: ids that restart in every parent need no new file.

Belongs here: the setting `key`, from the file to the UUID. Does not: keys of one column
(`test_assign_ids.py`).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from syndb_pipeline.base.errors import ConfigError
from tests.lab import Lab, csv, paste, uid

NEURONS = csv("cid", "7", "8")
SYNAPSES = csv("id,body", "0,7", "1,7", "0,8", " 1 ,8")
SETTINGS = {"synapse": {"columns": {"id": "cid", "body": "parent_id"}, "key": ["parent_id", "cid"]}}


def test_ids_that_restart_become_keys_with_their_parents(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"neuron": NEURONS, "synapse": SYNAPSES}, SETTINGS)
    checked = lab.check()
    assert checked.faults == ["SYN-COL-004"], "SynDB takes no parent_id of synapses"
    assert lab.ids("synapse") == [
        (key, uid("synapse", key)) for key in ("7:0", "7:1", "8:0", "8:1")
    ]


COMPOSITE = {
    "neuron": csv("cid", "1", "2", "3"),
    "axon": csv("cid,parent_id", "1,1", "2,1", "1,2", "2,2"),
    "vesicle": csv("cid,parent_id", "v1,1", "v2,2", "v3,2"),
}


def test_children_that_hold_the_cid_alone_are_not_joined_to_another_table(tmp_path: Path) -> None:
    lab = Lab(tmp_path, COMPOSITE, {"axon": {"key": ["parent_id", "cid"]}})
    asked = lab.check().finding("SYN-REL-004")
    assert "keys of axon are written parent_id:cid here, e.g. '1:1' and '1:2'" in asked.message
    assert "write the whole keys of axon into parent_id" in asked.fix
    paste(lab, asked.fix)
    orphan = lab.check().finding("SYN-REL-001")
    assert (
        "it is a cid alone, and keys of axon are written parent_id:cid here, e.g. '1:1' and '1:2'"
        in orphan.message
    )
    assert (
        orphan.fix
        == "Write the whole key into vesicle.parent_id, made of parent_id and cid of its row of"
        " axon, e.g. '1:1'. A cid alone does not say which row: axon has several of the same"
        " cid."
    )
    assert orphan.settings == []
    lab.write("vesicle", csv("cid,parent_id", "v1,1:1", "v2,2:2", "v3,2:2"))
    assert lab.check().faults == []


def test_keys_that_the_lab_wrote_of_two_parts_are_recognised_too(tmp_path: Path) -> None:
    tables = COMPOSITE | {"axon": csv("cid,parent_id", "1:1,1", "1:2,1", "2:1,2", "2:2,2")}
    lab = Lab(tmp_path, tables)
    asked = lab.check().finding("SYN-REL-004")
    assert "keys of axon are written parent:cid here, e.g. '1:1' and '1:2'" in asked.message
    paste(lab, asked.fix)
    orphan = lab.check().finding("SYN-REL-001")
    assert "it is a cid alone" in orphan.message and orphan.settings == []


def test_children_that_name_neurons_beside_such_keys_are_not_asked(tmp_path: Path) -> None:
    tables = COMPOSITE | {
        "neuron": csv("cid", "n1", "n2"),
        "axon": csv("cid,parent_id", "n1:1,n1", "n2:1,n2"),
        "vesicle": csv("cid,parent_id", "v1,n1", "v2,n2"),
    }
    assert Lab(tmp_path, tables).check().findings == []


def test_a_colon_inside_a_part_does_not_make_two_keys_one(tmp_path: Path) -> None:
    table = "axon"
    tables = {
        "neuron": csv("cid", "a", "a:b"),
        table: csv("cid,parent_id", "b:c,a", "c,a:b", "d,a"),
        "vesicle": csv("cid,parent_id", "v1,a\\:b:c", "v2,a:b\\:c", "v3,a:d"),
    }
    lab = Lab(tmp_path, tables, {table: {"key": ["parent_id", "cid"]}})
    assert lab.check().faults == []
    keys = ["a:b\\:c", "a\\:b:c", "a:d"]
    assert lab.ids(table) == [(key, uid(table, key)) for key in keys]
    assert lab.related("vesicle", "parent_id") == [
        uid(table, keys[1]),
        uid(table, keys[0]),
        uid(table, keys[2]),
    ]


def test_a_reference_without_the_backslash_is_explained(tmp_path: Path) -> None:
    tables = {
        "neuron": csv("cid", "a"),
        "axon": csv("cid,parent_id", "b:c,a", "d,a"),
        "vesicle": csv("cid,parent_id", "v1,a:b:c", "v2,a:d"),
    }
    settings = {"axon": {"key": ["parent_id", "cid"]}}
    orphan = Lab(tmp_path, tables, settings).check().finding("SYN-REL-001")
    assert orphan.count == 1
    assert "':' inside a part of the key has a backslash before it" in orphan.message


def test_a_row_that_lacks_a_part_of_its_key_has_none(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"neuron": NEURONS, "synapse": csv("id,body", "0,7", "1,", ",8")}, SETTINGS)
    missing = lab.check().finding("SYN-ID-001")
    assert (missing.count, [example.row for example in missing.examples]) == (2, [3, 4])


def test_a_column_of_the_key_that_is_not_there_is_told(tmp_path: Path) -> None:
    settings = {
        "synapse": {"columns": {"id": "cid"}, "ignore": ["body"], "key": ["parent_id", "cid"]}
    }
    lab = Lab(tmp_path, {"neuron": NEURONS, "synapse": SYNAPSES}, settings)
    reported = lab.check().finding("SYN-COL-006")
    assert (
        "no column 'parent_id'" in reported.message and "`tables.synapse.key`" in reported.message
    )


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (
            ["cid"],
            r"tables\.synapse\.key: found \['cid'\]; give cid and one or more of: pre_synapse_id, ",
        ),
        (["parent_id"], r"give cid and one or more of"),
        (["cid", "cid"], r"give cid and one or more of"),
        (
            ["cid", "connection_score"],
            r"'connection_score' is no part of a key of synapse; allowed: cid, pre_synapse_id, ",
        ),
    ],
)
def test_a_key_that_is_none_is_refused(tmp_path: Path, key: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Lab(tmp_path, {"synapse": SYNAPSES}, {"synapse": {"key": key}}).check()
