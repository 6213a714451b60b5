"""Keys that tables use for "no value": told even once where they are out of line; an ordinary
numbering is not.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.written_lab import with_formats, written_lab

LONG = [str(720_575_940_611_125_869 + 7_919 * number) for number in range(6)]


@pytest.mark.parametrize(
    ("key", "suffix"),
    [
        *with_formats(["nan", "None", "NULL", "NA", "<NA>", "#N/A", "unknown", "-", "\\N"]),
        *with_formats(["0", "-1", "0.0", "-9999", "4294967295"]),
    ],
)
def test_a_marker_that_one_row_has_is_a_warning(tmp_path: Path, key: str, suffix: str) -> None:
    ends = [LONG[0], key, LONG[1], key]
    tables = {
        "neuron": {"cid": [*LONG, key]},
        "synapse": {
            "cid": ["a", "b", "c", "d"],
            "pre_synapse_id": ends,
            "post_synapse_id": ends[::-1],
        },
    }
    checked = written_lab(tmp_path, tables, suffix).check()
    marker = checked.finding("SYN-ID-007")
    assert (marker.severity, marker.count, marker.examples[0].value) == ("warning", 1, key)
    assert repr(key) in marker.message and "4 rows of synapse name it" in marker.message
    assert marker.settings == []
    assert (checked.verdict, checked.rows("neuron").passed) == ("accepted", 7)


@pytest.mark.parametrize(
    "keys",
    [
        ["nan", "-1", "None", LONG[0]],
        ["0", LONG[0]],
        ["n1", "0"],
        ["MAR3", "AVAL", "-1"],
        ["1", "2", "nan"],
    ],
)
def test_markers_among_few_keys(tmp_path: Path, keys: list[str]) -> None:
    checked = written_lab(tmp_path, {"neuron": {"cid": keys}}).check()
    assert checked.faults == ["SYN-ID-007"]


@pytest.mark.parametrize(
    "keys",
    [
        [str(number) for number in range(50)],
        ["0", "1"],
        ["0"],
        ["0", "5", "1000", "29", "37365"],
        [str(1000 * number) for number in range(40)],
        [str(-number) for number in range(1, 9)],
        [str(number) for number in range(9990, 10010)],
        ["1", "2", "999", "9999"],
        ["n0", "n-1", "0:1", "1:0"],
        ["x", "y", "empty", "z"],
        ["0", "1", "2", "a3"],
    ],
)
def test_an_ordinary_numbering_is_right(tmp_path: Path, keys: list[str]) -> None:
    tables = {
        "neuron": {"cid": keys},
        "axon": {"cid": [f"a{n}" for n in range(len(keys))], "parent_id": keys},
    }
    assert written_lab(tmp_path, tables).check().faults == []


def test_a_zero_that_two_rows_have_among_long_ids_is_no_repeated_key(tmp_path: Path) -> None:
    checked = written_lab(
        tmp_path,
        {"neuron": {"cid": ["0", *LONG, "0"]}, "nucleus": {"cid": ["1"], "parent_id": ["0"]}},
    ).check()
    marker = checked.finding("SYN-ID-007")
    assert (checked.verdict, marker.severity, marker.count) == ("rejected", "error", 2)
    assert "1 row of nucleus names it" in marker.message
    assert "SYN-ID-002" not in checked.faults
    assert "parent" not in marker.fix


def test_the_rows_of_each_marker_are_counted(tmp_path: Path) -> None:
    keys = ["0", "-1", "0", "7", "-1", "0", "8", "-1", "0"]
    marker = written_lab(tmp_path, {"neuron": {"cid": keys}}).check().finding("SYN-ID-007")
    assert marker.count == 7
    assert marker.message.endswith(
        "a cid that tables use for `no value`: '0' in 4 rows and '-1' in 3 rows."
    )


def test_a_name_beside_a_marker_and_a_repeated_key(tmp_path: Path) -> None:
    checked = written_lab(
        tmp_path, {"neuron": {"cid": ["n1", "n1", "NA"], "cable_length": ["5000", "5001", "5002"]}}
    ).check()
    assert {f.code: f.severity for f in checked.findings if f.code.startswith("SYN-ID")} == {
        "SYN-ID-002": "error",
        "SYN-ID-007": "warning",
    }
