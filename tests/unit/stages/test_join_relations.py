"""join_relations: keys become UUIDs through any number of levels, rows stay as many and in the
order they were.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from tests.lab import DATASET, Lab, csv, paste, settings_line, uid

NEURON = csv("cid", "n1", "n2")


def test_parents_and_neurons_through_four_levels(tmp_path: Path) -> None:
    lab = Lab(
        tmp_path,
        {
            "neuron": NEURON,
            "axon": csv("cid,parent_id", "a2,n2", "a1,n1"),
            "pre_synaptic_terminal": csv("cid,parent_id", "t1,a1", "t2,a2"),
            "vesicle": csv("cid,parent_id", "v1,t2", "v2,t1", "v3,t1"),
        },
    )
    checked = lab.check()
    assert (checked.verdict, checked.faults) == ("accepted", [])
    wanted = ("parent_id", "parent_enum", "neuron_id")
    assert lab.related("axon", *wanted) == [
        (uid("neuron", n), 1, uid("neuron", n)) for n in ("n2", "n1")
    ]
    assert lab.related("pre_synaptic_terminal", *wanted) == [
        (uid("axon", f"a{n}"), 4, uid("neuron", f"n{n}")) for n in (1, 2)
    ]
    assert lab.related("vesicle", *wanted) == [
        (uid("pre_synaptic_terminal", f"t{n}"), 5, uid("neuron", f"n{n}")) for n in (2, 1, 1)
    ]
    links = checked.records["join_relations"].details.tables
    assert links["vesicle"].model_dump()["references"] == {
        "parent_id": {"target": "pre_synaptic_terminal", "how": "inferred", "resolved": 3}
    }


@pytest.mark.parametrize(
    "child",
    ["vesicle", "mitochondria", "nucleus", "endoplasmic_reticulum", "dendritic_spine", "synapse"],
)
def test_parents_may_skip_levels(tmp_path: Path, child: str) -> None:
    lab = Lab(tmp_path, {"neuron": NEURON, child: csv("cid,parent_id", "c1,n2", "c2,n1")})
    assert lab.check().faults == (["SYN-COL-004"] if child == "synapse" else [])
    assert lab.related(child, "parent_id", "parent_enum", "neuron_id") == [
        (uid("neuron", "n2"), 1, uid("neuron", "n2")),
        (uid("neuron", "n1"), 1, uid("neuron", "n1")),
    ]


def test_without_neurons_there_is_no_neuron_to_name(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"axon": csv("cid", "a1"), "vesicle": csv("cid,parent_id", "v1,a1")})
    checked = lab.check()
    assert (checked.verdict, checked.faults) == ("accepted", ["SYN-INT-003"])
    assert lab.related("vesicle", "parent_id", "neuron_id") == [(uid("axon", "a1"), None)]


def test_the_chain_breaks_where_a_parent_is_missing_and_is_told_there_only(tmp_path: Path) -> None:
    lab = Lab(
        tmp_path,
        {
            "neuron": NEURON,
            "axon": csv("cid,parent_id", "a1,n1", "a2,ghost", "a3,"),
            "vesicle": csv("cid,parent_id", "v1,a2", "v2,a1", "v3,a3"),
        },
    )
    checked = lab.check()
    assert checked.faults == ["SYN-REL-001", "SYN-REL-003"]
    assert (
        checked.finding("SYN-REL-003").message
        == "1 row of axon has no parent_id, so it belongs to nothing."
    )
    assert lab.related("vesicle", "neuron_id") == [None, uid("neuron", "n1"), None]
    assert (checked.rows("axon").rejected, checked.rows("vesicle").rejected) == (2, 0)


AXONS = csv("cid,parent_id", "a1,n1", "a2,n2", "a3,n2")


def test_a_neuron_id_of_the_lab_that_contradicts_its_parents(tmp_path: Path) -> None:
    vesicles = csv(
        "cid,parent_id,neuron_id", "v1,a1,n2", "v2,a2,n2", "v3,a3,n2", "v4,a3,N9", "v5,a2,n2.0"
    )
    checked = Lab(tmp_path, {"neuron": NEURON, "axon": AXONS, "vesicle": vesicles}).check()
    contradiction = checked.finding("SYN-REL-008")
    assert (
        contradiction.message
        == "1 row of vesicle gives a neuron_id that is not the neuron at the root of its parents."
    )
    assert [(example.row, example.value) for example in contradiction.examples] == [(2, "n2")]
    orphans = checked.all("SYN-REL-002")
    assert [(finding.column, finding.examples[0].value) for finding in orphans] == [
        ("neuron_id", "N9"),
        ("neuron_id", "n2.0"),
    ]
    assert checked.faults == ["SYN-REL-002", "SYN-REL-002", "SYN-REL-008"]
    assert checked.rows("vesicle").rejected == 3


def test_a_neuron_id_alone_relates_a_row(tmp_path: Path) -> None:
    lab = Lab(
        tmp_path, {"neuron": NEURON, "mitochondria": csv("cid,neuron_id", "m1,n2", "m2,", "m3,x")}
    )
    checked = lab.check()
    assert checked.faults == ["SYN-REL-002"]
    assert lab.related("mitochondria", "neuron_id") == [uid("neuron", "n2"), None, None]


def test_codes_of_an_older_release_in_parent_enum(tmp_path: Path) -> None:
    vesicles = csv("cid,parent_id,parent_enum", "v1,a1,3", "v2,a2,4", "v3,a3,3", "v4,a1,")
    lab = Lab(tmp_path, {"neuron": NEURON, "axon": AXONS, "vesicle": vesicles})
    checked = lab.check()
    old = checked.finding("SYN-REL-009")
    assert (old.severity, old.count, [example.value for example in old.examples]) == (
        "warning",
        2,
        ["3", "3"],
    )
    assert old.message == "2 rows of vesicle give a parent_enum other than 4, the code of axon."
    assert checked.verdict == "accepted"
    assert lab.related("vesicle", "parent_enum") == [4, 4, 4, 4]


def test_synapses_between_components_of_neurons(tmp_path: Path) -> None:
    lab = Lab(
        tmp_path,
        {
            "neuron": NEURON,
            "axon": csv("cid,parent_id", "a1,n1"),
            "dendrite": csv("cid,parent_id", "d1,n2"),
            "pre_synaptic_terminal": csv("cid,parent_id,forms_synapse_with", "t1,a1,s1", "t2,a1,"),
            "dendritic_spine": csv("cid,parent_id,forms_synapse_with", "p1,d1,s1"),
            "synapse": csv("cid,pre_synapse_id,post_synapse_id", "s1,t1,p1", "s2,t2,p1", "s3,,p1"),
        },
    )
    checked = lab.check()
    assert checked.faults == []
    assert lab.related("pre_synaptic_terminal", "forms_synapse_with") == [
        uid("synapse", "s1"),
        None,
    ]
    assert lab.related("dendritic_spine", "forms_synapse_with") == [uid("synapse", "s1")]
    assert lab.related("synapse", "pre_synapse_id", "post_synapse_id", "neuron_id") == [
        (uid("pre_synaptic_terminal", "t1"), uid("dendritic_spine", "p1"), uid("neuron", "n1")),
        (uid("pre_synaptic_terminal", "t2"), uid("dendritic_spine", "p1"), uid("neuron", "n1")),
        (None, uid("dendritic_spine", "p1"), uid("neuron", "n2")),
    ]


@pytest.mark.parametrize(("pre", "post"), [("n1", "n2"), ("a1", "d1"), ("a1", "n2")])
def test_synapses_between_neurons_axons_and_dendrites(tmp_path: Path, pre: str, post: str) -> None:
    table = {"n": "neuron", "a": "axon", "d": "dendrite"}
    lab = Lab(
        tmp_path,
        {
            "neuron": NEURON,
            "axon": csv("cid,parent_id", "a1,n1"),
            "dendrite": csv("cid,parent_id", "d1,n2"),
            "synapse": csv("cid,pre_id,post_id", f"s1,{pre},{post}"),
        },
    )
    assert lab.check().faults == []
    assert lab.related("synapse", "pre_synapse_id", "post_synapse_id", "neuron_id") == [
        (uid(table[pre[0]], pre), uid(table[post[0]], post), uid("neuron", "n1"))
    ]


def test_a_parent_key_that_stands_twice_does_not_multiply_its_children(tmp_path: Path) -> None:
    lab = Lab(
        tmp_path,
        {
            "neuron": csv("cid", "n1", "n1", "n1", "n2"),
            "axon": csv("cid,parent_id", "a1,n1", "a1,n2", "a2,n1"),
            "vesicle": csv("cid,parent_id", "v1,a1", "v2,a2"),
        },
    )
    checked = lab.check()
    assert checked.faults == ["SYN-ID-002", "SYN-ID-002"]
    assert (checked.rows("axon").read, checked.rows("vesicle").read) == (3, 2)
    assert lab.related("axon", "parent_id") == [uid("neuron", key) for key in ("n1", "n2", "n1")]
    assert lab.related("vesicle", "parent_id") == [uid("axon", "a1"), uid("axon", "a2")]


PAIRS = ("n1,n2", "n1,n2", "n2,n1")


def test_what_a_sum_does_is_said_with_it(tmp_path: Path) -> None:
    edges = csv("pre_id,post_id,connection_score", "n1,n2,0.5", "n1,n2,0.5", "n1,n2,", "n2,n1,0.25")
    lab = Lab(tmp_path, {"neuron": NEURON, "neuron_relation": edges})
    cure = lab.check().finding("SYN-REL-006").fix
    assert settings_line(cure)[1] == {"connection_score": "sum"}
    for told in (
        "1 of the rows has no connection_score",
        "1 of the rows is a copy of a whole row",
        "If the score is a confidence",
    ):
        assert told in cure
    paste(lab, cure)
    checked = lab.check()
    assert (checked.verdict, checked.faults) == ("accepted", ["SYN-REL-011"])
    lost = checked.finding("SYN-REL-011")
    assert (
        lost.message
        == "1 row of neuron_relation has no connection_score and adds nothing to the sum of its"
        " pair."
    )
    assert [(example.row, example.value) for example in lost.examples] == [(4, None)]


def test_scores_that_the_count_replaces_are_told(tmp_path: Path) -> None:
    edges = csv("pre_id,post_id,connection_score", "n1,n2,4", "n1,n2,", "n2,n1,3")
    lab = Lab(
        tmp_path,
        {"neuron": NEURON, "neuron_relation": edges},
        {"neuron_relation": {"combine": {"connection_score": "count"}}},
    )
    replaced = lab.check().finding("SYN-REL-011")
    assert (
        replaced.message
        == "2 rows of neuron_relation have a connection_score, which the number of rows of their"
        " pair replaces."
    )
    assert (replaced.severity, settings_line(replaced.fix)[1]) == (
        "warning",
        {"connection_score": "sum"},
    )


def test_combined_pairs_that_lose_nothing_are_not_spoken_of(tmp_path: Path) -> None:
    edges = csv(
        "pre_id,post_id,connection_score", "n1,n2,4", "n1,n2,1", "n2,n1,", "n2,n2,", "n2,n2,"
    )
    lab = Lab(
        tmp_path,
        {"neuron": NEURON, "neuron_relation": edges},
        {"neuron_relation": {"combine": {"connection_score": "sum"}}},
    )
    assert lab.check().codes == []


LONG = [str(720575940623636701 + n * 3) for n in range(6)]


@pytest.mark.parametrize(
    "damage",
    [lambda key: str(int(float(key))), lambda key: key[:15] + "000", lambda key: f"{int(key):.5E}"],
)
def test_pairs_that_became_equal_by_damage_are_not_told(
    tmp_path: Path, damage: Callable[[str], str]
) -> None:
    edges = csv("pre_id,post_id,connection_score", *(f"{damage(key)},{LONG[0]},1" for key in LONG))
    checked = Lab(tmp_path, {"neuron": csv("cid", *LONG), "neuron_relation": edges}).check()
    assert checked.verdict == "rejected" and checked.rows("neuron_relation").rejected == 6
    assert {"SYN-REL-002", "SYN-ID-003"} & set(
        checked.faults
    ) and "SYN-REL-006" not in checked.faults


def test_pairs_that_are_combined_and_rejected_count_once(tmp_path: Path) -> None:
    edges = csv(
        "pre_id,post_id,connection_score", "x,n1,1", "x,n1,1", "x,n1,1", "n1,n2,1", "n1,n2,1"
    )
    lab = Lab(
        tmp_path,
        {"neuron": NEURON, "neuron_relation": edges},
        {"neuron_relation": {"combine": {"connection_score": "sum"}}},
    )
    rows = lab.check().rows("neuron_relation")
    assert (rows.read, rows.passed, rows.rejected, rows.combined, rows.published) == (5, 2, 3, 1, 1)


def test_ends_that_are_missing_or_not_there(tmp_path: Path) -> None:
    edges = csv("pre_id,post_id", "n1,n2", ",n1", "n1,", "n2,muscle", "muscle,muscle")
    checked = Lab(tmp_path, {"neuron": NEURON, "neuron_relation": edges}).check()
    assert sorted(
        (f.code, f.column, f.count) for f in checked.findings if f.severity == "error"
    ) == [
        ("SYN-REL-002", "post_synapse_id", 2),
        ("SYN-REL-002", "pre_synapse_id", 1),
        ("SYN-REL-007", "post_synapse_id", 1),
        ("SYN-REL-007", "pre_synapse_id", 1),
    ]
    assert checked.rows("neuron_relation").rejected == 4


def test_uuids_are_written_as_uuids(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"neuron": NEURON, "axon": AXONS})
    lab.run("join_relations")
    path = lab.context.store.stage("join_relations") / "relations" / "axon.parquet"
    types = {
        name: kind for name, kind, *_ in duckdb.sql(f"DESCRIBE SELECT * FROM '{path}'").fetchall()
    }
    assert types == {
        "row_number": "BIGINT",
        "parent_id": "UUID",
        "parent_enum": "INTEGER",
        "neuron_id": "UUID",
    }
    assert str(DATASET) in str(path)
