"""Duplicate keys: the fix that the rows themselves point to, and its lines to paste.

Belongs here: the advice of SYN-ID-002. Does not: which rows are reported (`test_assign_ids.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars
import pytest
import yaml

from syndb_pipeline.rules.finding import Finding
from tests.stage_lab import Lab, csv
from tests.written_lab import FORMATS, written_lab

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
            "If the ids restart in each, let both columns be the key together",
            "whole key",
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
    assert bool(finding.settings) == ("key together" in said or "by their pairs" in said)


def test_tables_that_name_such_rows_need_the_whole_key(tmp_path: Path) -> None:
    spines = csv("cid,parent_id,forms_synapse_with", "s,7,0")
    tables = {"dendritic_spine": spines, "synapse": csv("cid,parent_id", "0,7", "0,8")}
    fix = repeated(tmp_path, tables, {}).fix
    assert fix.endswith("tables that name these rows then need the whole key, e.g. 7:0.")


def check(
    folder: Path, suffix: str, table: str, header: list[str], rows: list[list[str]], **settings: Any
) -> Finding:
    """SYN-ID-002 about a table of one file in any format, beside two neurons."""
    columns = dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))
    tables: dict[str, Any] = {"neuron": {"cid": ["7", "8"]}, table: columns}
    finding = written_lab(folder, tables, suffix, {table: settings}).check().finding("SYN-ID-002")
    assert finding.severity == "error"
    return finding


@pytest.mark.parametrize("suffix", FORMATS)
def test_rows_that_differ_in_an_ignored_column_are_no_copies(tmp_path: Path, suffix: str) -> None:
    header = ["id", "pre", "post", "tree node", "note"]
    rows = [[str(10 + n), "7", "8", str(n), "x"] for n in range(20)]
    rows += [["12", "7", "8", "99", "x"], ["13", "7", "8", "98", "x"]]
    columns = {"id": "cid", "pre": "pre_synapse_id", "post": "post_synapse_id"}
    ignore = ["tree node", "note"]
    found = check(tmp_path, suffix, "synapse", header, rows, columns=columns, ignore=ignore)
    assert found.fix.startswith(
        "All of them are equal to an earlier row in the columns that are read, but not in tree"
        " node, which is ignored"
    )
    assert found.settings == [] and "whole row" not in found.fix and "remove" not in found.fix


NOTES = ["cid", "parent_id", "note"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_copies_are_equal_in_the_ignored_columns_as_well(tmp_path: Path, suffix: str) -> None:
    rows = [["10", "7", "a"], ["11", "7", "b"], ["11", "7", "b"]]
    found = check(tmp_path, suffix, "axon", NOTES, rows, ignore=["note"])
    assert found.fix == "It is a copy of a whole row: remove it from the file."


@pytest.mark.parametrize(
    ("notes", "said"),
    [("aabb", "was not seen in all of them"), ("abcc", "but not in note, which is ignored")],
)
def test_of_many_rows_the_first_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notes: str, said: str
) -> None:
    monkeypatch.setattr("syndb_pipeline.checks.keys.repeated_keys.MOST_LOOKED_AT", 2)
    rows = [[str(10 + n // 2), "7", note] for n, note in enumerate(notes)]
    found = check(tmp_path, "csv", "axon", NOTES, rows, ignore=["note"])
    assert said in found.fix and "whole row" not in found.fix


@pytest.mark.parametrize(
    ("column", "keys", "plainly"),
    [
        ("cid", ["Tm23/24"] * 16 + ["Mi1", "Dm3", "Dm3"], True),
        ("cid", ["Tm3"] * 3, True),
        ("cell type", ["Tm3", "Tm3", "Mi1"], True),
        ("cid", ["n1", "n1", "n2", "n2"], False),
        ("cid", ["n1", "n2", "n2"], False),
    ],
)
def test_names_that_rows_share_are_no_keys(
    tmp_path: Path, column: str, keys: list[str], plainly: bool
) -> None:
    settings = {"ignore": ["side"], "columns": {column: "cid"} if column != "cid" else {}}
    rows = csv(f"{column},side", *(f"{key},L" for key in keys))
    fix = repeated(tmp_path, {"neuron": rows}, settings).fix
    assert ("looks like the name of a kind" in fix) == plainly
    assert ("if several rows share it as a name" in fix) == (not plainly)
    assert "remove the copies" not in fix


@pytest.mark.parametrize("count", [2, 20, 20_000])
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


@pytest.mark.parametrize("table", ["neuron", "axon"])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "xlsx"])
def test_ids_that_lost_digits_are_no_copies(tmp_path: Path, table: str, suffix: str) -> None:
    keys = ["6.485183463612935e+17", "6.485183463612935e+17", "6.4851834636152307e+17"]
    tables: dict[str, Any] = {"neuron": {"cid": ["7", "8"]}, table: {"cid": keys}}
    if table == "axon":
        tables[table]["parent_id"] = ["7"] * 3
    checked = written_lab(tmp_path, tables, suffix).check()
    assert checked.faults == ["SYN-ID-003"] and checked.finding("SYN-ID-003").count == 3
    assert checked.rows(table).rejected == 3


def test_floats_of_a_parquet_column_are_no_copies(tmp_path: Path) -> None:
    keys = polars.DataFrame({"cid": [7.205759406111258e17, 7.205759406111258e17, 7.0]})
    keys.write_parquet(tmp_path / "neuron.parquet")
    lab = Lab(tmp_path, {"neuron": None}, {"neuron": {"file": "neuron.parquet"}})
    assert lab.check().faults == ["SYN-ID-003"]


def test_ids_that_a_spreadsheet_rounded_are_no_copies(tmp_path: Path) -> None:
    keys = ["720575940611125000", "720575940611125000", "720575940612856000", "720575940615016000"]
    checked = Lab(tmp_path, {"neuron": csv("cid", *keys)}).check()
    assert checked.faults == ["SYN-ID-002", "SYN-ID-005"]
    assert "Export the ids as text from their source first" in checked.finding("SYN-ID-002").fix
