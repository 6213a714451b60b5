"""Columns that hold each other's keys: proven by counts of both ways, reported as one finding, and
fixed by the line that it gives.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab import Lab, csv, uid

NEURON = csv("cid", "n1", "n2")
AXON = csv("cid,parent_id", "a1,n1", "a2,n2", "a3,n2")
CIRCUIT = {
    "neuron": NEURON,
    "axon": AXON,
    "dendrite": csv("cid,parent_id", "d1,n1", "d2,n2"),
    "pre_synaptic_terminal": csv("cid,parent_id", "t1,a1", "t2,a2", "t3,a3"),
    "dendritic_spine": csv("cid,parent_id", "p1,d1", "p2,d2", "p3,d2"),
}
TERMINAL_TO_SPINE = {
    "references": {"pre_synapse_id": "pre_synaptic_terminal", "post_synapse_id": "dendritic_spine"}
}

SWAPS: dict[str, tuple[dict[str, str], dict[str, Any], str, int, str]] = {
    # name: tables, settings, table of the finding, rows, words
    "cid and parent_id, and everything below": (
        {
            "neuron": NEURON,
            "axon": csv("cid,parent_id", "n1,a1", "n2,a2", "n2,a3"),
            "vesicle": csv("cid,parent_id", "v1,a1", "v2,a3"),
            "synapse": csv("cid,pre_synapse_id,post_synapse_id", "s1,a1,n2", "s2,a2,n1"),
        },
        {},
        "axon",
        3,
        (
            "as they are, 0 of 3 rows find their neuron; the other way round, 3 do, and no two have"
            " one key"
        ),
    ),
    "the lab's own names": (
        {"neuron": NEURON, "axon": csv("Zelle,Axon,note", "n1,a1,x", "n2,a2,y", "n2,a3,z")},
        {"axon": {"columns": {"Zelle": "cid", "Axon": "parent_id"}, "ignore": ["note"]}},
        "axon",
        3,
        "cid and parent_id look swapped",
    ),
    "parent_id and neuron_id": (
        {
            "neuron": NEURON,
            "axon": AXON,
            "vesicle": csv("cid,parent_id,neuron_id", "v1,n1,a1", "v2,n2,a2", "v3,n2,a3"),
        },
        {},
        "vesicle",
        3,
        "as they are, 0 of 6 keys are where they should be; the other way round, 6",
    ),
    "the ends of synapses, against the config": (
        CIRCUIT | {"synapse": csv("cid,pre_id,post_id", "s1,p1,t1", "s2,p2,t2", "s3,p3,t3")},
        {"synapse": TERMINAL_TO_SPINE},
        "synapse",
        3,
        "as they are, 0 of 6 keys are where they should be; the other way round, 6",
    ),
    "the ends of synapses, against anatomy": (
        CIRCUIT | {"synapse": csv("cid,pre_id,post_id", "s1,p1,t1", "s2,p2,t2", "s3,p3,t3")},
        {},
        "synapse",
        3,
        "pre_synapse_id names rows of dendritic_spine, which receives",
    ),
    "a relation's key and its sender": (
        {
            "neuron": NEURON,
            "neuron_relation": csv(
                "cid,pre_synapse_id,post_synapse_id", "n1,e1,n2", "n1,e2,n1", "n2,e3,n2"
            ),
        },
        {},
        "neuron_relation",
        3,
        "cid and pre_synapse_id look swapped",
    ),
    "a receiver and its score": (
        {
            "neuron": csv("cid", "101", "102", "103"),
            "neuron_relation": csv(
                "pre_synapse_id,post_synapse_id,connection_score",
                "101,7,102",
                "102,7,103",
                "101,7,103",
                "103,9,101",
            ),
        },
        {},
        "neuron_relation",
        4,
        (
            "0 of 4 values of post_synapse_id are keys of the table it points to, and 4 of"
            " connection_score"
        ),
    ),
}


@pytest.mark.parametrize("name", SWAPS)
def test_swapped_columns_are_one_finding_and_its_line_fixes_them(tmp_path: Path, name: str) -> None:
    tables, settings, table, count, words = SWAPS[name]
    lab = Lab(tmp_path, tables, settings)
    checked = lab.check()
    assert checked.faults == ["SYN-REL-010"], "whatever follows from it is not reported beside it"
    finding = checked.finding("SYN-REL-010")
    assert (finding.table, finding.count, finding.severity) == (table, count, "error")
    assert words in finding.message
    swapped = words.split()
    assert finding.confidence == ("likely" if "anatomy" in name else "certain")
    assert checked.rows(table).rejected == count
    for pasted in yaml.safe_load(finding.settings[0])["tables"].items():
        lab.config["tables"][pasted[0]] |= pasted[1]
    fixed = lab.check()
    kept = (
        ["SYN-COL-004"] if "cid" in swapped and table == "neuron_relation" else []
    )  # SynDB takes no key of a pair
    assert (fixed.verdict, fixed.faults) == ("accepted", kept)


def test_the_line_keeps_what_is_mapped_already(tmp_path: Path) -> None:
    tables, settings, *_ = SWAPS["the lab's own names"]
    settings = {
        "axon": (
            settings["axon"]
            | {
                "columns": settings["axon"]["columns"] | {"note": "terminal_count"},
                "ignore": [],
            }
        )
    }
    finding = Lab(tmp_path, tables, settings).check().finding("SYN-REL-010")
    assert yaml.safe_load(finding.settings[0])["tables"]["axon"]["columns"] == {
        "note": "terminal_count",
        "Zelle": "parent_id",
        "Axon": "cid",
    }


def test_synapses_that_the_config_calls_so_may_run_from_dendrites_to_axons(tmp_path: Path) -> None:
    tables = CIRCUIT | {
        "synapse": csv("cid,pre_synapse_id,post_synapse_id", "s1,d1,a1", "s2,d2,a2")
    }
    lab = Lab(tmp_path, tables)
    finding = lab.check().finding("SYN-REL-010")
    stated = yaml.safe_load(finding.settings[1])["tables"]["synapse"]
    assert stated == {"references": {"pre_synapse_id": "dendrite", "post_synapse_id": "axon"}}
    lab.config["tables"]["synapse"] |= stated
    assert lab.check().faults == []
    assert lab.related("synapse", "pre_synapse_id") == [
        uid("dendrite", "d1"),
        uid("dendrite", "d2"),
    ]


@pytest.mark.parametrize(
    ("tables", "codes"),
    [
        # Each nucleus has its neuron's key, and its parents come from elsewhere.
        ({"neuron": NEURON, "nucleus": csv("cid,parent_id", "n1,x7", "n2,x9")}, ["SYN-REL-001"]),
        # Repeated keys, and parents that are right.
        (
            {"neuron": NEURON, "axon": csv("cid,parent_id", "n1,n1", "n1,n2", "n2,n2", "n2,n1")},
            ["SYN-ID-002"],
        ),
        # Two rows swapped by hand.
        (
            {
                "neuron": NEURON,
                "axon": csv("cid,parent_id", "n1,a1", "n1,a2", *(f"b{n},n2" for n in range(30))),
            },
            ["SYN-ID-002", "SYN-REL-001"],
        ),
    ],
)
def test_what_only_looks_like_a_swap(
    tmp_path: Path, tables: dict[str, str], codes: list[str]
) -> None:
    assert Lab(tmp_path, tables).check().faults == codes


def test_a_column_without_values_holds_no_keys(tmp_path: Path) -> None:
    tables = {
        "neuron": csv("cid,neuron_type", "n1,", "n2,"),
        "axon": csv("cid,parent_id,voxel_volume", "a1,x1,", "a2,x2,", "a3,x3,"),
    }
    assert Lab(tmp_path, tables).check().faults == ["SYN-REL-001"]


def test_numbers_beyond_every_key_are_no_keys(tmp_path: Path) -> None:
    edges = csv(
        "pre_synapse_id,post_synapse_id,connection_score", "n1,x7,1e300", "n2,x8,-1e18", "n1,x9,0.5"
    )
    checked = Lab(tmp_path, {"neuron": NEURON, "neuron_relation": edges}).check()
    assert checked.faults == ["SYN-REL-002"]


def test_swapped_columns_are_found_where_some_rows_are_right(tmp_path: Path) -> None:
    """Of each hundred rows one is as it should be."""
    rows = [(f"n{n // 2}", f"a{n}") for n in range(200)]
    turned = [pair if n % 100 else pair[::-1] for n, pair in enumerate(rows)]
    tables = {
        "neuron": csv("cid", *(f"n{n}" for n in range(200))),
        "axon": csv("cid,parent_id", *map(",".join, turned)),
    }
    finding = Lab(tmp_path, tables).check().finding("SYN-REL-010")
    assert (finding.table, finding.column) == ("axon", "cid")
