"""Keys that stand twice: the cure that the rows themselves point to, and its lines to paste.

Belongs here: the advice of SYN-ID-002. Does not: which rows are told (`test_assign_ids.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from stage_lab import Lab, csv

NEURONS = csv("cid", "7", "8")
PAIRS = "cid,pre_synapse_id,post_synapse_id,connection_score"
EDGES = csv(PAIRS, "e,7,8,1", "e,8,7,2")


def pasted(settings: list[str], table: str) -> dict[str, Any]:
    """The one block of a cure, as settings of the table."""
    [block] = settings
    return dict(yaml.safe_load(block)["tables"][table])


def test_ids_that_restart_are_cured_by_what_the_finding_prints(tmp_path: Path) -> None:
    tables = {"neuron": NEURONS, "synapse": csv("cid,parent_id", "0,7", "1,7", "0,8", "1,8")}
    told = Lab(tmp_path / "told", tables).check().finding("SYN-ID-002")
    assert told.cure.startswith("No parent_id has a cid twice. If the ids restart in each,")
    assert pasted(told.settings, "synapse") == {"key": ["parent_id", "cid"]}
    assert "whole key" not in told.cure
    assert Lab(tmp_path / "cured", tables, {"synapse": pasted(told.settings, "synapse")}).check().faults == []


def test_tables_that_name_such_rows_are_spoken_of(tmp_path: Path) -> None:
    spines = csv("cid,parent_id,forms_synapse_with", "s,7,0")
    tables = {"neuron": NEURONS, "synapse": csv("cid,parent_id", "0,7", "0,8"), "dendritic_spine": spines}
    cure = Lab(tmp_path, tables).check().finding("SYN-ID-002").cure
    assert cure.endswith("tables that name these rows then need the whole key, e.g. 7:0.")


@pytest.mark.parametrize(
    "rows",
    [
        ("s,7", "s,8", "s,8", "t,8"),  # a parent has a key twice
        ("s,7", "s,", "t,8"),  # a row has no parent, and would have no key
    ],
)
def test_columns_that_do_not_tell_the_rows_apart_are_not_offered(tmp_path: Path, rows: tuple[str, ...]) -> None:
    told = Lab(tmp_path, {"neuron": NEURONS, "synapse": csv("cid,parent_id", *rows)}).check().finding("SYN-ID-002")
    assert told.settings == [] and "put the parent's id in front" in told.cure


def test_the_needless_key_of_a_relation_is_left_out(tmp_path: Path) -> None:
    tables = {"neuron": NEURONS, "neuron_relation": csv(PAIRS + ",comment", "e,7,8,1,a", "e,8,7,2,b")}
    told = Lab(tmp_path / "told", tables, {"neuron_relation": {"ignore": ["comment"]}}).check().finding("SYN-ID-002")
    assert "SynDB knows the rows of neuron_relation by their pairs" in told.cure
    assert pasted(told.settings, "neuron_relation") == {"ignore": ["comment", "cid"]}
    assert Lab(tmp_path / "cured", tables, {"neuron_relation": pasted(told.settings, "neuron_relation")}).check().faults == []


def test_a_mapped_key_of_a_relation_is_to_be_moved(tmp_path: Path) -> None:
    tables = {"neuron": NEURONS, "neuron_relation": EDGES.replace("cid", "edge", 1)}
    told = Lab(tmp_path, tables, {"neuron_relation": {"columns": {"edge": "cid"}}}).check().finding("SYN-ID-002")
    assert told.settings == [] and told.cure.endswith("move its column from `columns` to `ignore`.")


def test_a_relation_that_has_children_keeps_its_keys(tmp_path: Path) -> None:
    tables = {"neuron": NEURONS, "neuron_relation": EDGES, "axon": csv("cid,parent_id", "a,7")}
    told = Lab(tmp_path, tables).check().finding("SYN-ID-002")
    assert "by their pairs" not in told.cure
