"""Keys that several columns make together: ids that restart in every parent need no new file.

Belongs here: the setting `key`, from the file to the UUID. Does not: keys of one column (`test_assign_ids.py`).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from stage_lab import Lab, csv, uid

from syndb_pipeline.errors import ConfigError

NEURONS = csv("cid", "7", "8")
SYNAPSES = csv("id,body", "0,7", "1,7", "0,8", " 1 ,8")
SETTINGS = {"synapse": {"columns": {"id": "cid", "body": "parent_id"}, "key": ["parent_id", "cid"]}}


def test_ids_that_restart_become_keys_with_their_parents(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"neuron": NEURONS, "synapse": SYNAPSES}, SETTINGS)
    checked = lab.check()
    assert checked.faults == []
    assert lab.ids("synapse") == [(key, uid("synapse", key)) for key in ("7:0", "7:1", "8:0", "8:1")]


def test_without_the_setting_the_same_table_is_refused(tmp_path: Path) -> None:
    settings = {"synapse": {"columns": SETTINGS["synapse"]["columns"]}}
    assert Lab(tmp_path, {"neuron": NEURONS, "synapse": SYNAPSES}, settings).check().faults == ["SYN-ID-002"]


def test_other_rows_name_such_a_row_by_its_whole_key(tmp_path: Path) -> None:
    spines = csv("cid,parent_id,forms_synapse_with", "s,d,8:0", "t,d,0")
    tables = {"neuron": NEURONS, "dendrite": csv("cid,parent_id", "d,7"), "dendritic_spine": spines, "synapse": SYNAPSES}
    checked = Lab(tmp_path, tables, SETTINGS).check()
    orphan = checked.finding("SYN-REL-002")
    assert (orphan.table, orphan.count, orphan.examples[0].value) == ("dendritic_spine", 1, "0")


def test_a_row_that_lacks_a_part_of_its_key_has_none(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"neuron": NEURONS, "synapse": csv("id,body", "0,7", "1,", ",8")}, SETTINGS)
    missing = lab.check().finding("SYN-ID-001")
    assert (missing.count, [example.row for example in missing.examples]) == (2, [3, 4])


def test_a_column_of_the_key_that_is_not_there_is_told(tmp_path: Path) -> None:
    settings = {"synapse": {"columns": {"id": "cid"}, "ignore": ["body"], "key": ["parent_id", "cid"]}}
    lab = Lab(tmp_path, {"neuron": NEURONS, "synapse": SYNAPSES}, settings)
    told = lab.check().finding("SYN-COL-006")
    assert "no column 'parent_id'" in told.cause and "`tables.synapse.key`" in told.cause


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (["cid"], r"tables\.synapse\.key is \['cid'\]; give cid and one or more of: pre_synapse_id, "),
        (["parent_id"], r"give cid and one or more of"),
        (["cid", "cid"], r"give cid and one or more of"),
        (["cid", "connection_score"], r"tables\.synapse\.key names 'connection_score'; allowed: cid, pre_synapse_id, "),
    ],
)
def test_a_key_that_is_none_is_refused(tmp_path: Path, key: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Lab(tmp_path, {"synapse": SYNAPSES}, {"synapse": {"key": key}}).check()
