"""Rows whose parent or partner is not there: told by cause, each with its count, its cure and a
line that helps.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from syndb_pipeline.rules.finding import Finding
from tests.stage_lab import Lab, csv, paste, settings_line, uid


def orphans(lab: Lab) -> list[Finding]:
    checked = lab.check()
    return checked.all("SYN-REL-001") + checked.all("SYN-REL-002")


def axons(folder: Path, keys: list[str], parents: list[str], **settings: object) -> Lab:
    """Axons with quoted `parents`, none of which is among the neurons `keys` as it is written."""
    rows = [f'a{n},"{parent}"' for n, parent in enumerate(parents)]
    return Lab(
        folder,
        {"neuron": csv("cid", *keys), "axon": csv("cid,parent_id", *rows)},
        {"axon": settings},
    )


@pytest.mark.parametrize(
    ("key", "written", "advice"),
    [
        ("1", "1.0", "as text; a column with empty cells makes pandas"),
        ("1.0", "1", "as text; a column with empty cells makes pandas"),
        ("0042", "42", "Leading zeros were lost"),
        ("42", "0042", "Leading zeros were lost"),
        ("DA1", "da1", "same capitals"),
        ("da1", "DA1", "same capitals"),
        ("1", '""1""', "Remove the quotation marks"),
        ("1", "'1", "Remove the quotation marks"),
        ("007", "7.0", "Write the key alike in both files"),
        ("DA1", "'da1'", "Write the key alike in both files"),
    ],
)
def test_keys_that_differ_only_in_their_writing(
    tmp_path: Path, key: str, written: str, advice: str
) -> None:
    lab = axons(tmp_path, [key, "other"], ["other", written, written])
    (finding,) = orphans(lab)
    shown = written.replace('""', '"')
    assert (finding.code, finding.table, finding.column, finding.count) == (
        "SYN-REL-001",
        "axon",
        "parent_id",
        2,
    )
    assert (
        finding.message
        == f"2 rows of axon: parent_id {shown!r} is not the cid of any neuron; neuron has {key!r}."
    )
    assert advice in finding.fix
    assert [(example.row, example.value) for example in finding.examples] == [
        (3, shown),
        (4, shown),
    ]
    assert lab.related("axon", "parent_id") == [uid("neuron", "other"), None, None]


@pytest.mark.parametrize("sentinel", ["0", "-1", "NA", "n/a", "None", "NULL", "unknown", "?"])
def test_what_stands_for_no_value_can_be_declared(tmp_path: Path, sentinel: str) -> None:
    lab = axons(tmp_path, ["n1"], ["n1", sentinel])
    (finding,) = orphans(lab)
    assert finding.count == 1
    assert settings_line(finding.fix) == (["tables", "axon", "missing"], [sentinel])
    paste(lab, finding.fix)
    assert lab.check().faults == ["SYN-REL-003"], (
        "then the row has no parent, which is another thing to say"
    )


def test_keys_of_another_table(tmp_path: Path) -> None:
    tables = {
        "neuron": csv("cid", "n1", "n2"),
        "axon": csv("cid,parent_id", "a1,n1", "a2,n2", "a3,n1"),
        "vesicle": csv("cid,parent_id", "v1,a1", "v2,a2", "v3,n1", "v4,n2", "v5,a3"),
    }
    (finding,) = orphans(Lab(tmp_path, tables))
    assert finding.count == 2
    told = (
        "2 rows of vesicle: parent_id 'n1' is not the cid of any axon, nor is 1 other value; neuron has it;"
        " neuron lacks 3 other values, e.g. 'a1'."
    )
    assert finding.message == told
    assert finding.settings == [], (
        "pointed to neuron, the other three rows would be orphans in turn"
    )


def test_a_column_that_another_table_holds_whole(tmp_path: Path) -> None:
    tables = {
        "neuron": csv("cid", "n1", "n2", "a1"),
        "axon": csv("cid,parent_id", "a1,n1", "a2,n2"),
        "vesicle": csv("cid,parent_id", "v1,a1", "v2,n1", "v3,n2"),
    }
    (finding,) = orphans(Lab(tmp_path, tables, {"vesicle": {"parent": "axon"}}))
    assert finding.count == 2
    assert settings_line(finding.fix) == (["tables", "vesicle", "parent"], "neuron")


def test_references_to_another_table(tmp_path: Path) -> None:
    tables = {
        "neuron": csv("cid", "n1", "n2", "n3"),
        "axon": csv("cid,parent_id", "a1,n1"),
        "synapse": csv("cid,pre_synapse_id,post_synapse_id", "s1,n1,n2", "s2,a1,n3", "s3,n2,n1"),
    }
    (finding,) = orphans(Lab(tmp_path, tables))
    assert (finding.code, finding.column, finding.count) == ("SYN-REL-002", "pre_synapse_id", 1)
    assert finding.settings == [] and "axon lacks 2 other values, e.g. 'n1'" in finding.message


def test_keys_that_are_nowhere(tmp_path: Path) -> None:
    lab = axons(tmp_path, ["n1", "n2"], ["n1", "ghost", "ghost", "phantom", "wraith", "n2"])
    (finding,) = orphans(lab)
    assert (
        finding.message
        == "4 rows of axon: parent_id 'ghost' is not the cid of any neuron, nor are 2 other values."
    )
    assert finding.fix == "Add the missing rows to neuron, or remove the rows that point to them."


def test_every_cause_is_told_apart_and_the_counts_add_up(tmp_path: Path) -> None:
    parents = ["n1", "N1", "1.0", "1.0", "01", "-1", "ghost", '""1""', "a0"]
    lab = axons(tmp_path, ["n1", "1", "n2"], parents)
    checked = lab.check()
    counts = {finding.fix: finding.count for finding in checked.all("SYN-REL-001")}
    assert sorted(counts.values()) == [
        1,
        1,
        1,
        1,
        2,
        2,
    ], "ghost and a0, a key of its own table, are nowhere"
    assert checked.rows("axon").rejected == 8
    assert sum(counts.values()) == 8


def test_a_row_that_stands_twice_and_is_an_orphan_is_one_rejected_row(tmp_path: Path) -> None:
    tables = {
        "neuron": csv("cid", "n1"),
        "axon": csv("cid,parent_id", "a1,n1", "a2,x", "a2,x", "a2,x"),
    }
    checked = Lab(tmp_path, tables).check()
    assert (checked.finding("SYN-REL-001").count, checked.finding("SYN-ID-002").count) == (3, 2)
    assert (checked.rows("axon").passed, checked.rows("axon").rejected) == (1, 3)


def test_the_first_places_and_the_last_are_shown(tmp_path: Path) -> None:
    (finding,) = orphans(axons(tmp_path, ["n1"], ["n1", *(f"x{n}" for n in range(40))]))
    assert [example.row for example in finding.examples] == [3, 4, 5, 6, 42]
    assert all(example.file == "axon.csv" for example in finding.examples)


def test_a_key_with_quotes_in_it_breaks_nothing(tmp_path: Path) -> None:
    (finding,) = orphans(axons(tmp_path, ["o'neil", "n1"], ["n1", "O'NEIL"]))
    assert '"O\'NEIL"' in finding.message
    assert '"o\'neil"' in finding.message
