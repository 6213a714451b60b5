"""Duplicate keys: the fix that the rows themselves point to, and its lines to paste.

Belongs here: the advice of SYN-ID-002. Does not: which rows are reported (`test_assign_ids.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from syndb_pipeline.rules.finding import Finding
from tests.lab import Lab, csv
from tests.written_lab import written_lab

NEURON = csv("cid", "7", "8")
PAIRS = "cid,pre_synapse_id,post_synapse_id,connection_score"
EDGES = csv(PAIRS, "e,7,8,1", "e,8,7,2")
SYNAPSE = csv("cid,parent_id", "0,7", "1,7", "0,8", "1,8")
UUID = "8f14e45f-ceea-467f-a0e6-1c2f3d4b5a69"
RIGHT = "Find out which row of a key is right"


def repeated(folder: Path, tables: dict[str, str], settings: dict[str, Any]) -> Finding:
    """SYN-ID-002 about the last of `tables`, beside two neurons where it is another."""
    lab = Lab(folder, {"neuron": NEURON} | tables, {[*tables][-1]: settings})
    return lab.check().finding("SYN-ID-002")


@pytest.mark.parametrize(
    ("tables", "settings", "faults"),
    [
        ({"synapse": SYNAPSE}, {"key": ["parent_id", "cid"]}, ["SYN-COL-004"]),
        (
            {"neuron_relation": csv(PAIRS + ",comment", "e,7,8,1,a", "e,8,7,2,b")},
            {"ignore": ["comment", "cid"]},
            [],
        ),
    ],
)
def test_the_line_that_the_finding_prints_fixes_it(
    tmp_path: Path, tables: dict[str, str], settings: dict[str, Any], faults: list[str]
) -> None:
    [table] = tables
    ignored = {"ignore": ["comment"]} if "ignore" in settings else {}
    [block] = repeated(tmp_path / "found", tables, ignored).settings
    assert yaml.safe_load(block)["tables"] == {table: settings}
    fixed = Lab(tmp_path / "fixed", {"neuron": NEURON} | tables, {table: settings})
    assert fixed.check().faults == faults


@pytest.mark.parametrize(
    ("tables", "settings", "said", "unsaid"),
    [
        (
            {"synapse": SYNAPSE},
            {},
            "tables that name these rows then need the whole key, e.g. 7:0.",
            RIGHT,
        ),
        # A parent has a key twice; a row has no parent, and would have no key.
        (
            {"synapse": csv("cid,parent_id", "s,7", "s,8", "s,8", "t,8")},
            {},
            "take the copies out and check again",
            "tables.",
        ),
        ({"synapse": csv("cid,parent_id", "s,7", "s,", "t,8")}, {}, RIGHT, "tables."),
        (
            {"neuron_relation": EDGES},
            {},
            "SynDB knows the rows of neuron_relation by their pairs",
            RIGHT,
        ),
        (
            {"neuron_relation": EDGES.replace("cid", "edge", 1)},
            {"columns": {"edge": "cid"}},
            "move 'edge' from `tables.neuron_relation.columns` to `ignore`.",
            "tables.neuron_relation.ignore:",
        ),
        # The rows of the relation may have children, which name them by their keys.
        (
            {"axon": csv("cid,parent_id", "a,7"), "neuron_relation": EDGES},
            {},
            "let both columns be the key together",
            "by their pairs",
        ),
        (
            {"neuron": csv("cid", *["720575940611125869"] * 4, *[UUID] * 5)},
            {},
            "All of them are copies of whole rows: remove the copies from the file.",
            "name",
        ),
    ],
)
def test_what_is_advised(
    tmp_path: Path, tables: dict[str, str], settings: dict[str, Any], said: str, unsaid: str
) -> None:
    finding = repeated(tmp_path, tables, settings)
    assert said in finding.fix and unsaid not in finding.fix
    offered = ("whole key", "key together", "by their pairs")
    assert bool(finding.settings) == any(words in said for words in offered)


def test_rows_that_may_differ_in_an_ignored_column_are_not_called_copies(tmp_path: Path) -> None:
    rows = csv("id,pre,post,tree node", "12,7,8,1", "13,7,8,2", "12,7,8,99", "13,7,8,98")
    columns = {"id": "cid", "pre": "pre_synapse_id", "post": "post_synapse_id"}
    found = repeated(tmp_path, {"synapse": rows}, {"columns": columns, "ignore": ["tree node"]})
    assert found.fix.startswith(
        "All of them are equal to an earlier row in the columns that are read. tree node is ignored:"
        " compare it before you take a row out"
    )
    assert found.settings == [] and "whole row" not in found.fix


@pytest.mark.parametrize("keys", [["Tm23/24"] * 16 + ["Mi1", "Dm3", "Dm3"], ["n1", "n1", "n2"]])
def test_words_that_rows_share_may_be_names(tmp_path: Path, keys: list[str]) -> None:
    fix = repeated(tmp_path, {"neuron": csv("cid", *keys)}, {}).fix
    assert "if it is a name that several rows share, map another" in fix
    assert repr(keys[0]) in fix and "remove the copies" not in fix


@pytest.mark.parametrize("count", [2, 2_000])
def test_a_table_without_a_parent_is_not_advised_to_use_one(tmp_path: Path, count: int) -> None:
    rows = [f"{n},{1000 + n}" for n in range(count)] + ["1,7"]
    found = repeated(tmp_path, {"neuron": csv("cid,voxel_volume", *rows)}, {})
    differ = "Rows of one key differ in voxel_volume. "
    assert found.fix == f"{differ}{RIGHT}, or give each row a key of its own."


def test_ids_that_restart_in_every_file(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"neuron": None}, {"neuron": {"file": "neuron_*.csv"}})
    for number, animal in enumerate("ab"):
        lab.write(f"neuron_{animal}", csv("cid,voxel_volume", f"1,{number + 9}", f"2,{number + 9}"))
    fix = lab.check().finding("SYN-ID-002").fix
    assert fix.startswith("No file has a cid twice. If the ids restart in every file,")


@pytest.mark.parametrize(("table", "suffix"), [("neuron", "csv"), ("axon", "xlsx")])
def test_ids_that_lost_digits_are_no_copies(tmp_path: Path, table: str, suffix: str) -> None:
    keys = ["6.485183463612935e+17", "6.485183463612935e+17", "6.4851834636152307e+17"]
    tables: dict[str, Any] = {"neuron": {"cid": ["7", "8"]}, table: {"cid": keys}}
    if table == "axon":
        tables[table]["parent_id"] = ["7"] * 3
    checked = written_lab(tmp_path, tables, suffix).check()
    assert checked.faults == ["SYN-ID-003"] and checked.finding("SYN-ID-003").count == 3
    assert checked.rows(table).rejected == 3


def test_ids_that_a_spreadsheet_rounded_are_no_copies(tmp_path: Path) -> None:
    keys = ["720575940611125000", "720575940611125000", "720575940612856000", "720575940615016000"]
    checked = Lab(tmp_path, {"neuron": csv("cid", *keys)}).check()
    assert checked.faults == ["SYN-ID-002", "SYN-ID-005"]
    assert "Export the ids as text from their source first" in checked.finding("SYN-ID-002").fix
