"""check_integrity: one whole dataset or not, no row lost on the way, and a verdict sealed over the
chain.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.campaigns import examples
from tests.lab import Lab, csv

NEURON = csv("cid", "n1", "n2")
AXON = csv("cid,parent_id", "a1,n1", "a2,n2")


# -- connected, or not


def test_tables_that_nothing_relates(tmp_path: Path) -> None:
    tables = {"neuron": NEURON, "axon": AXON, "synapse": csv("cid,connection_score", "s1,1")}
    checked = Lab(tmp_path, tables).check()
    unrelated = checked.finding("SYN-INT-001")
    assert (unrelated.table, unrelated.severity, checked.verdict) == (
        "synapse",
        "error",
        "rejected",
    )
    assert "pre_synapse_id" in unrelated.fix
    assert "neuron" in unrelated.fix
    assert checked.all("SYN-INT-002") == [], "told once, for the table"


def test_neurons_alone_beside_another_tree(tmp_path: Path) -> None:
    tables = {"neuron": NEURON, "axon": csv("cid", "a1"), "vesicle": csv("cid,parent_id", "v1,a1")}
    (unrelated,) = Lab(tmp_path, tables).check().all("SYN-INT-001")
    assert unrelated.table == "neuron"
    assert (
        unrelated.fix
        == "Add a table that names rows of neuron, or publish it as a dataset of its own."
    )


def test_an_empty_table_is_a_warning_and_unrelates_nothing(tmp_path: Path) -> None:
    checked = Lab(
        tmp_path, {"neuron": NEURON, "axon": AXON, "dendrite": csv("cid,parent_id")}
    ).check()
    assert (checked.verdict, checked.faults) == ("accepted", ["SYN-READ-013"])


# -- synapses and neurons


def test_each_synapse_leads_to_a_neuron(tmp_path: Path) -> None:
    synapses = csv(
        "cid,parent_id,pre_synapse_id,post_synapse_id", "s1,,n1,", "s2,a1,,", "s3,,,", "s4,,,n2"
    )
    lab = Lab(
        tmp_path,
        {"neuron": NEURON, "axon": AXON, "synapse": synapses},
        {"synapse": {"parent": "axon"}},
    )
    checked = lab.check()
    assert checked.faults == ["SYN-COL-004", "SYN-INT-002"]
    astray = checked.finding("SYN-INT-002")
    assert (
        astray.message
        == "1 synapse leads to no neuron through parent_id, pre_synapse_id or post_synapse_id."
    )
    assert [example.row for example in astray.examples] == [4]
    assert checked.rows("synapse").rejected == 1


def test_a_synapse_on_an_axon_without_a_neuron_leads_nowhere(tmp_path: Path) -> None:
    tables = {
        "neuron": NEURON,
        "axon": csv("cid,parent_id", "a1,n1", "a2,"),
        "synapse": csv("cid,pre_synapse_id", "s1,a1", "s2,a2"),
    }
    checked = Lab(tmp_path, tables).check()
    assert checked.faults == ["SYN-INT-002", "SYN-REL-003"]
    assert checked.finding("SYN-INT-002").count == 1


@pytest.mark.parametrize("own_column", ["cave_id", "pre_synapse_id"])
def test_a_terminal_that_takes_part_in_a_synapse_leads_it_to_a_neuron(
    tmp_path: Path, own_column: str
) -> None:
    tables = {
        "neuron": NEURON,
        "axon": csv("cid,parent_id", "a1,n1"),
        "pre_synaptic_terminal": csv("cid,parent_id,forms_synapse_with", "t1,a1,s1", "t2,a1,"),
        "synapse": csv(f"cid,{own_column}", "s1,", "s2,"),
    }
    checked = Lab(tmp_path, tables).check()
    assert checked.faults == ["SYN-INT-002"]
    assert [example.row for example in checked.finding("SYN-INT-002").examples] == [3]


def test_synapses_alone_are_a_dataset(tmp_path: Path) -> None:
    checked = Lab(tmp_path, {"synapse": csv("cid,cave_id", "s1,720575940623636701")}).check()
    assert (checked.verdict, checked.faults) == ("accepted", ["SYN-INT-003"])


# -- declared counts and totals


def test_counts_are_held_against_the_right_children_only(tmp_path: Path) -> None:
    tables = {
        "axon": csv("cid,mitochondria_count,total_mitochondria_volume,terminal_count", "a1,9,9,9"),
        "pre_synaptic_terminal": csv("cid,parent_id,mitochondria_count,vesicle_count", "t1,a1,1,5"),
        "mitochondria": csv("cid,parent_id", "m1,t1"),
    }
    checked = Lab(tmp_path, tables).check()
    told = [
        (finding.code, finding.table, finding.column)
        for finding in checked.all("SYN-INT-004") + checked.all("SYN-INT-005")
    ]
    assert told == [("SYN-INT-004", "axon", "terminal_count")], (
        "the axon's mitochondria are not here, nor are vesicles"
    )


# -- units


def centroids(folder: Path, axons: list[str], vesicles: list[str]) -> Lab:
    tables = {"axon": csv("cid,centroid_x,centroid_y,centroid_z", *axons)}
    return Lab(
        folder,
        tables | {"vesicle": csv("cid,parent_id,centroid_x,centroid_y,centroid_z", *vesicles)},
    )


@pytest.mark.parametrize(
    ("axons", "vesicles"),
    [
        (["a1,8000,9000,7000"], ["v1,a1,8100,8800,7040", "v2,a1,7900,9100,6900"]),
        (["a1,8000,9000,7000"], ["v1,a1,1000,8800,7040"]),  # far off on one axis
        (["a1,8000,9000,7000"], ["v1,a1,,,"]),
        (["a1,0,0,0"], ["v1,a1,5,5,5"]),
        # Only the axons in one corner have vesicles: like must be compared with like.
        (
            [f"a{n},{n}000,{n}000,{n}000" for n in range(1, 40)],
            ["v1,a1,1010,990,1001", "v2,a2,2020,2000,1990"],
        ),
    ],
)
def test_coordinates_that_agree_raise_no_alarm(
    tmp_path: Path, axons: list[str], vesicles: list[str]
) -> None:
    assert centroids(tmp_path, axons, vesicles).check().all("SYN-UNIT-004") == []


# -- the verdict


def test_the_verdict_seals_every_stage_and_repeats_all_findings(tmp_path: Path) -> None:
    checked = Lab(
        tmp_path,
        {
            "neuron": csv("cid,mesh_volume", "n1,-5", "n1,2"),
            "axon": csv("cid,parent_id", "a1,x", "a2,n1"),
        },
    ).check()
    assert checked.sealed.details.chain == {
        stage: checked.records[stage].digest
        for stage in ("ingest", "validate", "assign_ids", "join_relations")
    }
    earlier = [
        finding
        for stage in checked.sealed.details.chain
        for finding in checked.records[stage].findings
    ]
    assert checked.findings[: len(earlier)] == earlier
    assert checked.verdict == "rejected"


def test_a_severity_of_the_config_decides_the_verdict_and_the_rows(tmp_path: Path) -> None:
    tables = {"axon": csv("cid,mesh_volume", "a1,-5", "a2,7")}
    assert Lab(tmp_path / "as it is", tables).check().rows("axon").rejected == 1
    lenient = Lab(tmp_path / "lenient", tables, rules={"SYN-VAL-001": "warning"}).check()
    assert (lenient.verdict, lenient.rows("axon").rejected) == ("accepted", 0)
    strict = Lab(
        tmp_path / "strict", tables, rules={"SYN-VAL-001": "warning", "SYN-INT-003": "error"}
    ).check()
    assert (strict.verdict, strict.rows("axon").rejected) == ("rejected", 0)


# -- rows are conserved, held against counts made in plain Python

KEY = st.sampled_from(["", "k1", "k2", "k3", "k4", "k5", "K1", "k1.0", "ghost"])
NUMBER = st.sampled_from(["", "1", "2.5", "-3", "many"])
COLUMNS = {
    "neuron": ["cid", "mesh_volume"],
    "axon": ["cid", "parent_id", "mesh_volume"],
    "neuron_relation": ["pre_synapse_id", "post_synapse_id"],
}
# A row of empty cells is a blank line.
DATA = st.fixed_dictionaries(
    {
        "neuron": st.lists(st.tuples(KEY, NUMBER).filter(any), min_size=1, max_size=8),
        "axon": st.lists(st.tuples(KEY, KEY, NUMBER).filter(any), min_size=1, max_size=8),
        "neuron_relation": st.lists(st.tuples(KEY, KEY).filter(any), min_size=1, max_size=8),
    }
)


def expected(data: dict[str, list[tuple[str, ...]]]) -> dict[str, Any]:
    """Failing cells by (rule, table, column), and rejected rows by table, without SQL and without
    the pipeline.
    """
    cells: Counter[tuple[str, str, str]] = Counter()
    rejected: dict[str, set[int]] = {table: set() for table in data}
    neurons = {row[0] for row in data["neuron"]} - {""}

    def fails(code: str, table: str, column: str, number: int) -> None:
        cells[code, table, column] += 1
        rejected[table].add(number)

    for table, rows in data.items():
        seen: set[tuple[str, ...]] = set()
        for number, row in enumerate(rows):
            cell = dict(zip(COLUMNS[table], row, strict=True))
            identity = tuple(
                cell[column] for column in (["cid"] if "cid" in cell else COLUMNS[table])
            )
            if "cid" in cell and not cell["cid"]:
                fails("SYN-ID-001", table, "cid", number)
            elif all(identity):
                if identity in seen:
                    fails(
                        *(
                            ("SYN-ID-002", table, "cid")
                            if "cid" in cell
                            else ("SYN-REL-006", table, "post_synapse_id")
                        ),
                        number,
                    )
                seen.add(identity)
            for column in set(cell) - {"cid", "mesh_volume"}:
                if not cell[column]:
                    fails(
                        "SYN-REL-003" if column == "parent_id" else "SYN-REL-007",
                        table,
                        column,
                        number,
                    )
                elif cell[column] not in neurons:
                    fails(
                        "SYN-REL-001" if column == "parent_id" else "SYN-REL-002",
                        table,
                        column,
                        number,
                    )
            if cell.get("mesh_volume") == "many":
                fails("SYN-TYPE-001", table, "mesh_volume", number)
            if cell.get("mesh_volume") == "-3":
                fails("SYN-VAL-001", table, "mesh_volume", number)
    return {
        "cells": dict(cells),
        "rejected": {table: len(rows) for table, rows in rejected.items()},
    }


@settings(
    max_examples=examples(8, 100),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)
@given(DATA)
def test_rows_are_conserved_and_counted_as_by_hand(data: dict[str, list[tuple[str, ...]]]) -> None:
    tables = {
        name: csv(",".join(COLUMNS[name]), *(",".join(f'"{cell}"' for cell in row) for row in rows))
        for name, rows in data.items()
    }
    oracle = expected(data)
    with tempfile.TemporaryDirectory() as folder:
        # An axon's parent could be a relation too, whose own keys are its pairs.
        checked = Lab(Path(folder), tables, {"axon": {"parent": "neuron"}}, threads=1).check()
    told: Counter[tuple[str, str, str]] = Counter()
    for finding in checked.findings:
        if finding.severity == "error" and finding.code != "SYN-INT-001":
            told[finding.code, finding.table or "", finding.column or ""] += finding.count
    assert dict(told) == oracle["cells"]
    for name, rows in data.items():
        assert checked.rows(name).read == len(rows)
        assert checked.rows(name).rejected == oracle["rejected"][name]
    errors = [finding for finding in checked.findings if finding.severity == "error"]
    assert checked.verdict == ("rejected" if errors else "accepted")


def test_every_column_that_is_not_sent_is_named_with_its_values(tmp_path: Path) -> None:
    tables = {
        "neuron": NEURON,
        "synapse": csv(
            "cid,parent_id,pre_synapse_id,centroid_x,centroid_y,centroid_z",
            "s1,n1,n1,1,2.50,",
            "s2,,n2,3,,",
        ),
        "neuron_relation": csv("cid,pre_synapse_id,post_synapse_id", "r1,n1,n2"),
    }
    checked = Lab(tmp_path, tables).check()
    assert checked.verdict == "accepted"
    named = {finding.table: finding for finding in checked.all("SYN-COL-004")}
    synapse, relation = named["synapse"], named["neuron_relation"]
    assert (synapse.severity, synapse.count) == ("warning", 4)
    assert (
        synapse.message
        == "1 value each of parent_id and centroid_y and 2 values of centroid_x in synapse are not"
        " sent: SynDB's synapse has no such columns."
    ), "centroid_z has no value"
    assert [(example.row, example.column, example.value) for example in synapse.examples] == [
        (2, "parent_id", "n1"),
        (2, "centroid_x", None),
        (2, "centroid_y", None),
    ]
    assert (
        relation.message
        == "1 value of cid in neuron_relation is not sent: SynDB's neuron_relation has no such"
        " column."
    )
    quiet = Lab(
        tmp_path,
        tables,
        {
            "synapse": {"ignore": [f"centroid_{axis}" for axis in "xyz"]},
            "neuron_relation": {"ignore": ["cid"]},
        },
    )
    assert (
        quiet.check()
        .finding("SYN-COL-004")
        .message.startswith("1 value of parent_id in synapse is not sent")
    )


@pytest.mark.parametrize("rows", [1, 3])
def test_columns_that_are_sent_are_not_named(tmp_path: Path, rows: int) -> None:
    """Neither are files, which are sent beside the tables, nor columns without a value."""
    tables = {
        "neuron": NEURON,
        "axon": csv(
            "cid,parent_id,neuron_id,parent_enum,swc_path", *(f"a{n},n1,n1,1," for n in range(rows))
        ),
        "vesicle": csv("cid,parent_id", *(f"v{n},a0" for n in range(rows))),
    }
    assert Lab(tmp_path, tables).check().findings == []
