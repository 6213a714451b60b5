"""Which table a column points to: inferred when one table holds all keys, asked for when it is not clear, never guessed in silence."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from stage_lab import Lab, csv, paste, uid

from syndb_pipeline.stages.targets import SAMPLE_ROWS, choose_target

NEURON = csv("cid", "n1", "n2")
AXON = csv("cid,parent_id", "a1,n1", "a2,n2")


def chosen(
    folder: Path, keys: list[str | None], candidates: dict[str, list[str | None]], *, every_key: bool = False
) -> tuple[str | None, str]:
    connection = duckdb.connect()

    def write(name: str, column: str, values: list[str | None]) -> Path:
        path = folder / f"{name}.parquet"
        connection.execute("CREATE OR REPLACE TABLE t AS SELECT unnest(?::VARCHAR[]) AS k", [values])
        connection.execute(f"COPY (SELECT k AS {column} FROM t) TO '{path}' (FORMAT parquet)")
        return path

    ids = {name: write(name, "key", values) for name, values in candidates.items()}
    choice = choose_target(connection, write("children", "parent_id", keys), "parent_id", ids, every_key=every_key)
    return choice.target, choice.reason


def test_one_candidate_needs_no_look(tmp_path: Path) -> None:
    assert chosen(tmp_path, ["x"], {"axon": ["a"]}) == ("axon", "")


def test_the_only_table_that_holds_all_keys(tmp_path: Path) -> None:
    assert chosen(tmp_path, ["1", "2", None], {"axon": ["1", "3"], "dendrite": ["1", "2", None], "neuron": ["1"]}) == ("dendrite", "")


def test_several_tables_hold_all_keys(tmp_path: Path) -> None:
    target, reason = chosen(tmp_path, ["1", "2"], {"axon": ["1", "2"], "dendrite": ["1"], "neuron": ["2", "1"]})
    assert target is None
    assert reason == "all of its keys are in axon and in neuron"


def test_most_keys_in_one_table_only(tmp_path: Path) -> None:
    assert chosen(tmp_path, ["1", "2", "x"], {"axon": ["1", "2"], "neuron": ["9"]}) == ("axon", "")
    target, reason = chosen(tmp_path, ["1", "2", "3", "4"], {"axon": ["1", "2"], "neuron": ["3", "4"]})
    assert target is None
    assert reason == "no table holds all of its keys; of 4 looked at, these hold axon 2, neuron 2"
    assert chosen(tmp_path, ["1", "2", "3"], {"axon": ["1"], "neuron": ["9"]})[0] is None


def test_what_the_sample_does_not_show_is_looked_up(tmp_path: Path) -> None:
    common = [str(n % 10) for n in range(SAMPLE_ROWS)]
    tables: dict[str, list[str | None]] = {"axon": [*map(str, range(10)), "late"], "neuron": list(map(str, range(10)))}
    assert chosen(tmp_path, [*common, "late"], tables) == ("axon", "")
    assert chosen(tmp_path, [*common, "nowhere"], tables)[0] is None
    assert chosen(tmp_path, [*([None] * SAMPLE_ROWS), "late"], tables) == ("axon", "")


def test_a_column_without_keys_goes_to_the_nearest_table(tmp_path: Path) -> None:
    assert chosen(tmp_path, [None, None], {"axon": ["1"], "neuron": ["1"]}) == ("axon", "")
    assert chosen(tmp_path, [], {"axon": [], "neuron": []}) == ("axon", "")


def test_with_every_key_a_part_is_not_enough(tmp_path: Path) -> None:
    assert chosen(tmp_path, ["1", "2", "x"], {"axon": ["1", "2"], "neuron": ["9"]}, every_key=True)[0] is None
    assert chosen(tmp_path, ["1", "2"], {"axon": ["1", "2"], "neuron": ["9"]}, every_key=True)[0] == "axon"
    assert chosen(tmp_path, ["x"], {"axon": ["1"]}, every_key=True)[0] is None


def test_a_dataset_whose_keys_fit_several_tables_is_asked_and_the_line_can_be_pasted(tmp_path: Path) -> None:
    same = {"neuron": csv("cid", "1", "2"), "axon": csv("cid,parent_id", "1,1", "2,2"), "vesicle": csv("cid,parent_id", "v,2")}
    lab = Lab(tmp_path, same)
    asked = lab.check().finding("SYN-REL-004")
    assert (asked.table, asked.column, asked.severity) == ("vesicle", "parent_id", "error")
    assert "in axon and in neuron" in asked.cause
    assert "`tables.vesicle.parent: axon`" in asked.cure
    paste(lab, asked.cure)
    assert lab.check().faults == []
    assert lab.related("vesicle", "parent_id", "parent_enum", "neuron_id") == [(uid("axon", "2"), 4, uid("neuron", "2"))]


def test_the_config_decides_between_tables_and_its_choice_is_held(tmp_path: Path) -> None:
    tables = {"neuron": csv("cid", "1", "2"), "axon": csv("cid,parent_id", "1,1", "3,2"), "vesicle": csv("cid,parent_id", "v,1", "w,3")}
    lab = Lab(tmp_path, tables, {"vesicle": {"parent": "neuron"}})
    checked = lab.check()
    orphan = checked.finding("SYN-REL-001")
    assert (orphan.count, orphan.examples[0].value) == (1, "3")
    assert "`tables.vesicle.parent: axon`" in orphan.cure
    assert lab.related("vesicle", "parent_id", "parent_enum") == [(uid("neuron", "1"), 1), (None, None)]


def test_a_reference_that_fits_several_tables_is_asked_and_the_line_can_be_pasted(tmp_path: Path) -> None:
    tables = {"neuron": csv("cid", "1"), "axon": csv("cid,parent_id", "1,1"), "synapse": csv("cid,pre_synapse_id", "s,1")}
    lab = Lab(tmp_path, tables)
    asked = lab.check().finding("SYN-REL-004")
    assert "`tables.synapse.references: {pre_synapse_id: axon}`" in asked.cure
    paste(lab, asked.cure)
    assert lab.check().faults == []
    assert lab.related("synapse", "pre_synapse_id") == [uid("axon", "1")]


def test_a_table_that_points_to_nothing_there(tmp_path: Path) -> None:
    tables = {"neuron": NEURON, "axon": AXON, "pre_synaptic_terminal": csv("cid,parent_id,forms_synapse_with", "t1,a1,s1")}
    lab = Lab(tmp_path, tables)
    missing = lab.check().finding("SYN-REL-005")
    assert (missing.table, missing.column) == ("pre_synaptic_terminal", "forms_synapse_with")
    paste(lab, missing.cure)
    assert lab.check().faults == []


def test_a_single_table_keeps_its_column_and_says_that_it_leads_nowhere(tmp_path: Path) -> None:
    checked = Lab(tmp_path, {"vesicle": csv("cid,parent_id", "v1,a1", "v2,")}).check()
    assert checked.verdict == "accepted"
    assert checked.faults == ["SYN-INT-003"]
    assert (checked.rows("vesicle").read, checked.rows("vesicle").rejected) == (2, 0)


@pytest.mark.parametrize("fault", [None, "key,parent_id\na1,n1\n"], ids=["missing file", "no cid"])
def test_an_unreadable_parent_table_is_told_once(tmp_path: Path, fault: str | None) -> None:
    vesicles = csv("cid,parent_id", "v1,a1", "v2,a2")
    checked = Lab(tmp_path, {"neuron": NEURON, "axon": fault, "vesicle": vesicles}).check()
    assert checked.verdict == "rejected"
    assert {finding.table for finding in checked.findings if finding.severity in ("error", "warning")} == {"axon"}
    assert checked.rows("vesicle").rejected == 0
    alone = Lab(tmp_path / "alone", {"axon": fault, "vesicle": vesicles}).check()
    assert {finding.table for finding in alone.findings if finding.severity in ("error", "warning")} == {"axon"}


def test_an_unreadable_table_does_not_hide_the_relations_that_are_there(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"neuron": NEURON, "axon": AXON, "dendrite": None, "vesicle": csv("cid,parent_id", "v1,a1")})
    checked = lab.check()
    assert checked.faults == ["SYN-READ-001"]
    assert lab.related("vesicle", "neuron_id") == [uid("neuron", "n1")]
