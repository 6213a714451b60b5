"""Declared counts and totals beside rows that are rejected or unread: told only where those do not
explain the difference.

Belongs here: what silences SYN-INT-004 and SYN-INT-005, and what SYN-INT-001 silences. Does not:
plain differences (`test_check_integrity.py`).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stage_lab import Lab, csv

TERMINALS = csv("cid,vesicle_count", "t1,2", "t2,1")


@pytest.mark.parametrize(
    ("vesicles", "faults"),
    [
        (
            ("v1,t1,20", "v2,t9,20", "v3,t2,20"),
            ["SYN-REL-001"],
        ),  # the orphan may be the one that t1 lacks
        (("v1,t1,20", "v2,,20", "v3,t2,20"), ["SYN-REL-003"]),
        (("v1,t1,20", "v2,t1", "v3,t2,20"), ["SYN-READ-002"]),
        (("v1,t1,20", "v1,t1,20", "v3,t2,20", "v4,t1,21"), ["SYN-ID-002"]),  # the copy will go
        (("v1,t1,20", "v2,t1,-20", "v3,t2,20"), ["SYN-VAL-001"]),  # it counts once it is mended
        (
            ("v1,t9,20", "v3,t2,20"),
            ["SYN-INT-004", "SYN-REL-001"],
        ),  # one orphan cannot be two vesicles
        (
            ("v1,t1,20", "v2,t9,20", "v3,t2,20", "v4,t2,20"),
            ["SYN-INT-004", "SYN-REL-001"],
        ),  # t2 has one too many
    ],
)
def test_rejected_children_explain_what_they_can(
    tmp_path: Path, vesicles: tuple[str, ...], faults: list[str]
) -> None:
    lab = Lab(
        tmp_path,
        {
            "pre_synaptic_terminal": TERMINALS,
            "vesicle": csv("cid,parent_id,voxel_radius", *vesicles),
        },
    )
    assert [code for code in lab.check().faults if code != "SYN-INT-003"] == faults


def test_what_is_lost_is_said_where_it_explains_only_a_part(tmp_path: Path) -> None:
    lab = Lab(
        tmp_path,
        {
            "pre_synaptic_terminal": csv("cid,vesicle_count", "t1,9"),
            "vesicle": csv("cid,parent_id", "v1,t1", "v2,t9"),
        },
    )
    cause = lab.check().finding("SYN-INT-004").message
    assert cause.endswith(
        "; 1 row of vesicle could not be read or related, which explains only a part."
    )


def test_a_count_that_is_out_of_range_is_told_once(tmp_path: Path) -> None:
    lab = Lab(
        tmp_path,
        {
            "pre_synaptic_terminal": csv("cid,vesicle_count", "t1,-4"),
            "vesicle": csv("cid,parent_id", "v1,t1"),
        },
    )
    assert [code for code in lab.check().faults if code != "SYN-INT-003"] == ["SYN-VAL-001"]


def test_a_total_in_another_unit_is_told_by_its_unit(tmp_path: Path) -> None:
    terminals = csv("cid,total_vesicle_volume", *(f"t{n},{3.5e-5 * 2}" for n in range(4)))
    vesicles = csv("cid,parent_id,mesh_volume", *(f"v{n},t{n // 2},3.5e4" for n in range(8)))
    checked = Lab(tmp_path, {"pre_synaptic_terminal": terminals, "vesicle": vesicles}).check()
    assert [code for code in checked.faults if code != "SYN-INT-003"] == ["SYN-UNIT-003"]


def test_a_volume_that_could_not_be_read_explains_its_total(tmp_path: Path) -> None:
    tables = {
        "pre_synaptic_terminal": csv("cid,total_vesicle_volume", "t1,70000", "t2,35000"),
        "vesicle": csv("cid,parent_id,mesh_volume", "v1,t1,35000", "v2,t1,many", "v3,t2,35000"),
    }
    assert [code for code in Lab(tmp_path, tables).check().faults if code != "SYN-INT-003"] == [
        "SYN-TYPE-001"
    ]


def test_an_unrelated_table_is_told_once_with_its_first_row(tmp_path: Path) -> None:
    tables = {
        "neuron": csv("cid", "n1"),
        "axon": csv("cid,parent_id", "a1,n1"),
        "mitochondria": csv("cid", "m1"),
    }
    checked = Lab(tmp_path, tables).check()
    assert checked.faults == ["SYN-INT-001"]
    assert [str(place) for place in checked.finding("SYN-INT-001").examples] == [
        "mitochondria.csv, row 2, column cid: 'm1'"
    ]


def test_parents_that_are_there_but_unrelated_are_not_called_missing(tmp_path: Path) -> None:
    checked = Lab(
        tmp_path,
        {
            "neuron": csv("cid", "n1"),
            "axon": csv("cid", "a1"),
            "vesicle": csv("cid,parent_id", "v1,a1"),
        },
    ).check()
    assert [(finding.code, finding.table) for finding in checked.findings] == [
        ("SYN-INT-001", "neuron")
    ]


def test_pairs_of_neurons_are_never_called_parts_without_a_parent(tmp_path: Path) -> None:
    checked = Lab(
        tmp_path, {"neuron_relation": csv("pre_synapse_id,post_synapse_id", "n1,n2")}
    ).check()
    assert "SYN-INT-003" not in checked.codes
