"""Which table a column points to: inferred when one table holds all keys, asked for when it is not
clear, never guessed in silence.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import duckdb
import pytest

from syndb_pipeline.checks.references.targets import SAMPLE_ROWS, Choice, Pointing
from tests.lab import Lab, csv, paste, uid

NEURON = csv("cid", "n1", "n2")
AXON = csv("cid,parent_id", "a1,n1", "a2,n2")


def choose(
    folder: Path,
    keys: list[str | None],
    candidates: dict[str, list[str | None]],
    joined: dict[str, list[str]] | None = None,
    every_key: bool = False,
    preferred: Collection[str] = (),
) -> Choice:
    connection = duckdb.connect()

    def write(name: str, column: str, values: list[str | None]) -> Path:
        path = folder / f"{name}.parquet"
        connection.execute(
            "CREATE OR REPLACE TABLE t AS SELECT unnest(?::VARCHAR[]) AS k", [values]
        )
        connection.execute(f"COPY (SELECT k AS {column} FROM t) TO '{path}' (FORMAT parquet)")
        return path

    ids = {name: write(name, "key", values) for name, values in candidates.items()}
    children = write("children", "parent_id", keys)
    pointing = Pointing(connection, children, "parent_id", ids, joined or {}, preferred)
    return pointing.choose(every_key=every_key)


def numbers(first: int, last: int) -> list[str | None]:
    return [str(number) for number in range(first, last + 1)]


def listed(text: str) -> list[str | None]:
    """The keys that `targets.toml` writes in short."""
    keys: list[str | None] = []
    for word in text.split():
        ends, _, times = word.partition("*")
        first, dots, last = ends.partition("..")
        several = numbers(int(first), int(last)) if dots else [None if first == "-" else first]
        keys += several * int(times or 1)
    return keys


CASES = tomllib.loads(Path(__file__).with_name("targets.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", CASES)
def test_the_keys_of_a_column_choose_its_table_or_it_is_not_clear(
    tmp_path: Path, name: str
) -> None:
    case = CASES[name]
    tables = {table: listed(keys) for table, keys in case["tables"].items()}
    choice = choose(tmp_path, listed(case["keys"]), tables, **case.get("options", {}))
    assert (choice.target, choice.reason) == (case.get("target"), case.get("reason", ""))
    assert choice.plain == case.get("plain")
    if "closest" in case:
        assert choice.closest == tuple(case["closest"])


def test_what_the_sample_does_not_show_is_looked_up(tmp_path: Path) -> None:
    common = [str(n % 10) for n in range(SAMPLE_ROWS)]
    tables: dict[str, list[str | None]] = {
        "axon": [*map(str, range(10)), "late"],
        "neuron": list(map(str, range(10))),
    }
    choice = choose(tmp_path, [*common, "late"], tables)
    reason = "axon has the keys of all 20,001 rows, neuron those of 20,000"
    assert (choice.target, choice.reason) == (None, reason)
    assert choose(tmp_path, [*common, "nowhere"], tables).target is None
    assert choose(tmp_path, [*([None] * SAMPLE_ROWS), "late"], tables).target == "axon"


def test_the_odd_key_may_be_in_any_row_of_a_large_table(tmp_path: Path) -> None:
    keys: list[str | None] = [str(row % 200 + 1) for row in range(50_000)]
    keys[45_077] = "201"
    choice = choose(tmp_path, keys, {"axon": numbers(1, 200), "neuron": numbers(1, 300)})
    assert (choice.target, choice.lacks) == (None, "axon")


@pytest.mark.parametrize("order", [1, -1])
def test_the_first_rows_of_a_large_table_do_not_decide(tmp_path: Path, order: int) -> None:
    """Sorted by parent: the rows that both tables could be meant by come first, or last."""
    keys = [str(row // 5) for row in range(100_000)][::order]
    tables = {"axon": numbers(0, 19_999), "neuron": numbers(0, 14_000)}
    assert choose(tmp_path, keys, tables).target is None


TEN = csv("cid", *map(str, range(1, 11)))
FIVE = csv("cid,parent_id", *(f"{n},{n}" for n in range(1, 6)))
TERMINALS = csv("cid,parent_id", "1,n1", "2,n1")
ENDS = "{pre_synapse_id: pre_synaptic_terminal, post_synapse_id: dendritic_spine}"
ASKED: dict[str, tuple[dict[str, str], dict[str, Any], list[str], str, str, list[str]]] = {
    # name: tables, settings, columns, words of the finding, values shown, faults after pasting
    "keys that fit several tables": (
        {
            "neuron": csv("cid", "1", "2"),
            "axon": csv("cid,parent_id", "1,1", "2,2"),
            "vesicle": csv("cid,parent_id", "v,2"),
        },
        {},
        ["parent_id"],
        "in axon and in neuron. Choose one: `tables.vesicle.parent: axon` or "
        "`tables.vesicle.parent: neuron`.",
        "2",
        [],
    ),
    "a reference": (
        {
            "neuron": csv("cid", "1"),
            "axon": csv("cid,parent_id", "1,1"),
            "synapse": csv("cid,pre_synapse_id", "s,1"),
        },
        {},
        ["pre_synapse_id"],
        "`tables.synapse.references: {pre_synapse_id: axon}`",
        "1",
        [],
    ),
    # The line that names the right table first must lead to the wrong key, and not to the wrong
    # table.
    "one wrong key": (
        {
            "neuron": TEN,
            "axon": FIVE,
            "vesicle": csv("cid,parent_id", *(f"v{n},{n % 5 + 1}" for n in range(8)), "v8,6"),
        },
        {},
        ["parent_id"],
        "It is not clear which table vesicle.parent_id points to: neuron has the keys of all 9"
        " rows, axon those of 8. Choose one: `tables.vesicle.parent: axon` or",
        "6",
        ["SYN-REL-001"],
    ),
    "both ends of synapses, by one line": (
        {
            "neuron": csv("cid", "n1"),
            "pre_synaptic_terminal": TERMINALS,
            "dendritic_spine": TERMINALS,
            "synapse": csv("cid,pre_synapse_id,post_synapse_id", "s1,1,2", "s2,2,1"),
        },
        {},
        ["pre_synapse_id", "post_synapse_id"],
        f"`tables.synapse.references: {ENDS}`",
        "1",
        [],
    ),
    "one end while the config names the other": (
        {
            "neuron": TEN,
            "axon": FIVE,
            "synapse": csv("cid,pre_synapse_id,post_synapse_id", "s1,1,2", "s2,2,3", "s3,6,4"),
        },
        {"synapse": {"references": {"post_synapse_id": "axon"}}},
        ["pre_synapse_id"],
        "{post_synapse_id: axon, pre_synapse_id: axon}",
        "6",
        ["SYN-REL-002"],
    ),
}


@pytest.mark.parametrize("name", ASKED)
def test_what_is_not_clear_is_asked_and_the_line_can_be_pasted(tmp_path: Path, name: str) -> None:
    tables, settings, columns, words, value, faults = ASKED[name]
    lab = Lab(tmp_path, tables, settings)
    asked = lab.check().all("SYN-REL-004")
    assert [(each.table, each.column) for each in asked] == [([*tables][-1], c) for c in columns]
    assert words in f"{asked[0].message} {asked[0].fix}"
    assert (asked[0].severity, asked[0].examples[0].value) == ("error", value)
    paste(lab, asked[0].fix)
    checked = lab.check()
    assert checked.faults == faults
    for orphan in map(checked.finding, faults):
        assert (orphan.count, orphan.examples[0].value, orphan.settings) == (1, value, [])


def test_the_config_decides_between_tables_and_its_choice_is_held(tmp_path: Path) -> None:
    tables = {
        "neuron": csv("cid", "1", "2"),
        "axon": csv("cid,parent_id", "1,1", "3,2"),
        "vesicle": csv("cid,parent_id", "v,1", "w,3"),
    }
    lab = Lab(tmp_path, tables, {"vesicle": {"parent": "neuron"}})
    orphan = lab.check().finding("SYN-REL-001")
    assert (orphan.count, orphan.examples[0].value) == (1, "3")
    assert "`tables.vesicle.parent: axon`" in orphan.fix
    assert lab.related("vesicle", "parent_id", "parent_enum") == [
        (uid("neuron", "1"), 1),
        (None, None),
    ]


@pytest.mark.parametrize("kind", ["BIGINT", "DOUBLE"])
def test_one_wrong_key_is_asked_about_in_parquet(tmp_path: Path, kind: str) -> None:
    tables = {
        "neuron": TEN,
        "axon": FIVE,
        "vesicle": csv("cid,parent_id", *(f"v{n},{n % 5 + 1}" for n in range(8)), "v8,6"),
    }
    lab = Lab(tmp_path, tables, {"vesicle": {"file": "v.parquet"}}, on_invalid="quarantine")
    duckdb.sql(
        f"COPY (SELECT * REPLACE (parent_id::{kind} AS parent_id)"
        f" FROM '{tmp_path}/vesicle.csv') TO '{tmp_path}/v.parquet'"
    )
    checked = lab.check()
    asked = checked.finding("SYN-REL-004")
    assert (checked.verdict, asked.examples[0].value) == ("rejected", "6")
    assert "neuron has the keys of all 9 rows, axon those of 8" in asked.message


def test_a_table_that_points_to_nothing_there(tmp_path: Path) -> None:
    terminals = csv("cid,parent_id,forms_synapse_with", "t1,a1,s1")
    lab = Lab(tmp_path, {"neuron": NEURON, "axon": AXON, "pre_synaptic_terminal": terminals})
    missing = lab.check().finding("SYN-REL-005")
    assert (missing.table, missing.column) == ("pre_synaptic_terminal", "forms_synapse_with")
    paste(lab, missing.fix)
    assert lab.check().faults == []


def test_a_single_table_keeps_its_column_and_says_that_it_leads_nowhere(tmp_path: Path) -> None:
    checked = Lab(tmp_path, {"vesicle": csv("cid,parent_id", "v1,a1", "v2,")}).check()
    assert (checked.verdict, checked.faults) == ("accepted", ["SYN-COL-004", "SYN-INT-003"])
    assert (checked.rows("vesicle").read, checked.rows("vesicle").rejected) == (2, 0)


@pytest.mark.parametrize("axons", [None, "key,parent_id\na1,n1\n"], ids=["no file", "no cid"])
@pytest.mark.parametrize("others", [{"neuron": NEURON}, {}], ids=["with neurons", "alone"])
def test_an_unreadable_parent_table_is_reported_once(
    tmp_path: Path, axons: str | None, others: dict[str, str]
) -> None:
    vesicles = csv("cid,parent_id", "v1,a1", "v2,a2")
    checked = Lab(tmp_path, {**others, "axon": axons, "vesicle": vesicles}).check()
    faulty = [each.table for each in checked.findings if each.severity in ("error", "warning")]
    assert (checked.verdict, {*faulty}) == ("rejected", {"axon"})
    assert checked.rows("vesicle").rejected == 0


def test_an_unreadable_table_does_not_hide_the_relations_that_are_there(tmp_path: Path) -> None:
    tables = {"neuron": NEURON, "axon": AXON, "dendrite": None}
    lab = Lab(tmp_path, {**tables, "vesicle": csv("cid,parent_id", "v1,a1")})
    assert lab.check().faults == ["SYN-READ-001"]
    assert lab.related("vesicle", "neuron_id") == [uid("neuron", "n1")]
