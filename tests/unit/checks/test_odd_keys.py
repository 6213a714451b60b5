"""Ids in short form and keys with marks: reported in keys, references and 64-bit ids, in every format;
names that look like them are not.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from tests.written_lab import with_formats, written_lab

SHORT = [
    "7.205759406317978e+17",
    "7.2E+17",
    "7,20576E+17",
    "720.576E+15",
    "7e+17",
    "720575940631797800.0",
]


@pytest.mark.parametrize(("text", "suffix"), with_formats(SHORT))
def test_an_id_in_short_form_is_refused_as_key_reference_and_cave_id(
    tmp_path: Path, text: str, suffix: str
) -> None:
    neurons = ["720575940631797801", text]
    tables = {
        "neuron": {"cid": neurons, "cable_length": ["5000", "6000"]},
        "axon": {"cid": ["a1", "a2"], "parent_id": neurons},
        "synapse": {
            "cid": ["s1", "s2"],
            "pre_synapse_id": neurons,
            "post_synapse_id": neurons,
            "cave_id": ["5", text],
        },
    }
    checked = written_lab(tmp_path, tables, suffix).check()
    damaged = {
        (f.table, f.column): (f.count, f.examples[0].value) for f in checked.all("SYN-ID-003")
    }
    columns = [
        ("neuron", "cid"),
        ("axon", "parent_id"),
        ("synapse", "pre_synapse_id"),
        ("synapse", "post_synapse_id"),
    ]
    assert damaged == dict.fromkeys([*columns, ("synapse", "cave_id")], (1, text))
    assert {f.examples[0].row for f in checked.all("SYN-ID-003")} == (
        {3} if suffix != "parquet" else {2}
    )
    assert checked.verdict == "rejected"


@pytest.mark.parametrize(
    "keys",
    [
        ["3E17", "4B02", "12E5"],  # wells of a plate
        ["1.5", "2.5", "2.10"],  # sections
        ["12345e67", "3f2a9e10", "99e12345"],  # hashes
        ["123.0", "124.0", "9007199254740992.0"],  # pandas, with every digit
        ["1.2345678e7", "2.2345678e7"],  # in short form, with every digit
        ["2e-3", "1.5e-05"],
        ["e+5", "a+b", "1+2", "E17"],
        ["2024.03.01", "1,2", "720575940631797801.1"],
        ["720575940631797801.0", "720575940631797803.0"],  # no double is such a number
    ],
)
def test_names_that_look_like_numbers_in_short_form(tmp_path: Path, keys: list[str]) -> None:
    checked = written_lab(
        tmp_path, {"neuron": {"cid": keys}, "axon": {"cid": keys, "parent_id": keys}}
    ).check()
    assert checked.faults == []
    assert checked.verdict == "accepted"


def test_a_number_without_point_and_sign_goes_with_its_neighbours(tmp_path: Path) -> None:
    checked = written_lab(tmp_path / "some", {"neuron": {"cid": ["7e17", "7.3e17", "n1"]}}).check()
    assert checked.finding("SYN-ID-003").count == 2
    checked = written_lab(tmp_path / "all", {"neuron": {"cid": ["7e17", "8e17"]}}).check()
    assert checked.finding("SYN-ID-003").count == 2
    checked = written_lab(tmp_path / "one", {"neuron": {"cid": ["7e17", "8a17"]}}).check()
    assert checked.faults == []


@pytest.mark.parametrize("text", ["1e+05", "100000.0", "1.0E5", "720575940631797801", "1E+2"])
def test_a_cave_id_whose_digits_are_all_there(tmp_path: Path, text: str) -> None:
    tables = {
        "neuron": {"cid": ["1", "2"]},
        "synapse": {
            "cid": ["s"],
            "pre_synapse_id": ["1"],
            "post_synapse_id": ["2"],
            "cave_id": [text],
        },
    }
    checked = written_lab(tmp_path, tables).check()
    assert checked.faults == []
    ((cave_id,),) = checked.lab.query("SELECT cave_id FROM {f}", f="ingest/tables/synapse.parquet")
    assert cave_id == int(float(text)) or str(cave_id) == text


@pytest.mark.parametrize(
    ("kind", "whole", "lost"), [("FLOAT", 16777216, 16777220), ("DOUBLE", 2**53, 2**53 + 2)]
)
def test_floats_of_32_and_64_bits_hold_ids_up_to_their_own_limit(
    tmp_path: Path, kind: str, whole: int, lost: int
) -> None:
    lab = written_lab(tmp_path, {"neuron": {"cid": ["1"]}}, "parquet")
    for ids, count in (([1, whole], 0), ([1, lost], 1)):
        duckdb.sql(f"SELECT unnest({ids}::{kind}[]) AS cid").write_parquet(
            str(tmp_path / "neuron.parquet")
        )
        assert sum(finding.count for finding in lab.check().all("SYN-ID-003")) == count


@pytest.mark.parametrize(("mark", "suffix"), with_formats(['"{}"', "'{}'", "“{}”", '="{}"', "={}"]))
def test_marks_around_keys_are_told_on_both_sides(tmp_path: Path, mark: str, suffix: str) -> None:
    cause = "formula" if mark.startswith("=") else "quotation marks"
    keys = [mark.format(key) for key in ("0001", "0002")]
    checked = written_lab(
        tmp_path, {"neuron": {"cid": keys}, "axon": {"cid": ["a", "b"], "parent_id": keys}}, suffix
    ).check()
    reported = {
        (f.table, f.column): (f.count, f.severity, f.examples[0].value)
        for f in checked.all("SYN-ID-008")
    }
    assert reported == {
        ("neuron", "cid"): (2, "warning", keys[0]),
        ("axon", "parent_id"): (2, "warning", keys[0]),
    }
    assert all(
        cause in f.message and "Write 0001 instead of" in f.fix for f in checked.all("SYN-ID-008")
    )
    assert checked.verdict == "accepted", "the tables agree"


@pytest.mark.parametrize(("mark", "suffix"), with_formats(['"{}"', "'{}'", '="{}"']))
def test_one_key_with_marks_and_without_is_one_key(tmp_path: Path, mark: str, suffix: str) -> None:
    keys = [mark.format("864691135270013257"), "864691135270013257", "864691135270013258"]
    checked = written_lab(tmp_path, {"neuron": {"cid": keys}}, suffix).check()
    twins = checked.finding("SYN-ID-002")
    assert (twins.count, twins.examples[0].value, checked.verdict) == (1, keys[0], "rejected")
    assert "2 of 3 keys are distinct" in twins.message
    assert keys[0] in twins.fix and keys[1] in twins.fix
    assert "parent" not in twins.fix


@pytest.mark.parametrize(
    "keys",
    [
        ["O'Neil", "5'", 'say "hi"'],
        ["'a", '"b'],
        ["(1)", "[2]", "-3", "#4"],
        ["A1'", "A1''"],
        ["a=1", "b=2"],
    ],
)
def test_marks_that_belong_to_a_name(tmp_path: Path, keys: list[str]) -> None:
    faults = written_lab(tmp_path, {"neuron": {"cid": keys}}).check().faults
    assert [code for code in faults if code != "SYN-READ-023"] == [], (
        "whether a row is a remark is another question"
    )
