"""Declared counts and totals beside rows that are rejected or unread: reported only where those do
not explain the difference.

Belongs here: what silences SYN-INT-004 and SYN-INT-005, and what SYN-INT-001 silences. Does not:
plain differences (`test_check_integrity.py`).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import Lab, csv

TERMINALS = csv("cid,vesicle_count", "t1,2", "t2,1")


def beside(
    *vesicles: str, terminals: str = TERMINALS, columns: str = "voxel_radius"
) -> dict[str, str]:
    return {
        "pre_synaptic_terminal": terminals,
        "vesicle": csv(f"cid,parent_id,{columns}", *vesicles),
    }


CASES: dict[str, tuple[dict[str, str], list[str]]] = {
    "the orphan may be the one that t1 lacks": (
        beside("v1,t1,20", "v2,t9,20", "v3,t2,20"),
        ["SYN-REL-001"],
    ),
    "a row without a parent": (beside("v1,t1,20", "v2,,20", "v3,t2,20"), ["SYN-REL-003"]),
    "a row that is not read": (beside("v1,t1,20", "v2,t1", "v3,t2,20"), ["SYN-READ-002"]),
    "the copy will go": (
        beside("v1,t1,20", "v1,t1,20", "v3,t2,20", "v4,t1,21"),
        ["SYN-ID-002"],
    ),
    "it counts once it is corrected": (
        beside("v1,t1,20", "v2,t1,-20", "v3,t2,20"),
        ["SYN-VAL-001"],
    ),
    "one orphan cannot be two vesicles": (
        beside("v1,t9,20", "v3,t2,20"),
        ["SYN-INT-004", "SYN-REL-001"],
    ),
    "t2 has one too many": (
        beside("v1,t1,20", "v2,t9,20", "v3,t2,20", "v4,t2,20"),
        ["SYN-INT-004", "SYN-REL-001"],
    ),
    "a count out of range": (
        beside("v1,t1,20", terminals=csv("cid,vesicle_count", "t1,-4")),
        ["SYN-VAL-001"],
    ),
    "a total in another unit": (
        beside(
            *(f"v{n},t{n // 2},3.5e4" for n in range(8)),
            terminals=csv("cid,total_vesicle_volume", *(f"t{n},{3.5e-5 * 2}" for n in range(4))),
            columns="mesh_volume",
        ),
        ["SYN-UNIT-003"],
    ),
    "a volume that could not be read": (
        beside(
            *("v1,t1,35000", "v2,t1,many", "v3,t2,35000"),
            terminals=csv("cid,total_vesicle_volume", "t1,70000", "t2,35000"),
            columns="mesh_volume",
        ),
        ["SYN-TYPE-001"],
    ),
    "an unrelated table": (
        {
            "neuron": csv("cid", "n1"),
            "axon": csv("cid,parent_id", "a1,n1"),
            "mitochondria": csv("cid", "m1"),
        },
        ["SYN-INT-001"],
    ),
    "parents that are there but unrelated": (
        {
            "neuron": csv("cid", "n1"),
            "axon": csv("cid", "a1"),
            "vesicle": csv("cid,parent_id", "v1,a1"),
        },
        ["SYN-INT-001"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_explains_a_difference_is_reported_alone(tmp_path: Path, name: str) -> None:
    tables, faults = CASES[name]
    found = Lab(tmp_path, tables).check().faults
    assert [code for code in found if code != "SYN-INT-003"] == faults


def test_what_is_lost_is_said_where_it_explains_only_a_part(tmp_path: Path) -> None:
    tables = beside("v1,t1,1", "v2,t9,1", terminals=csv("cid,vesicle_count", "t1,9"))
    message = Lab(tmp_path, tables).check().finding("SYN-INT-004").message
    assert message.endswith(
        "; 1 row of vesicle could not be read or related, which explains only a part."
    )


def test_pairs_of_neurons_are_never_called_parts_without_a_parent(tmp_path: Path) -> None:
    pairs = csv("pre_synapse_id,post_synapse_id", "n1,n2")
    assert "SYN-INT-003" not in Lab(tmp_path, {"neuron_relation": pairs}).check().codes
