"""Keys that tables use for "no value": reported even once where they are out of line; an ordinary
numbering is not.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import Lab, csv
from tests.written_lab import written_lab

LONG = [str(720_575_940_611_125_869 + 7_919 * number) for number in range(6)]


def keyed(folder: Path, keys: list[str]) -> Lab:
    return Lab(folder, {"neuron": csv("cid", *keys)})


@pytest.mark.parametrize(
    ("key", "suffix"),
    [
        *(("nan", "parquet"), ("None", "xlsx"), ("NULL", "csv"), ("<NA>", "csv"), ("#N/A", "xls")),
        *(("unknown", "csv"), ("-", "csv"), ("\\N", "tsv"), ("0", "parquet"), ("-1", "csv")),
        *(("0.0", "xlsx"), ("-9999", "tsv"), ("4294967295", "csv")),
    ],
)
def test_a_marker_that_one_row_has_is_a_warning(tmp_path: Path, key: str, suffix: str) -> None:
    ends = [LONG[0], key, LONG[1], key]
    synapse = {"cid": ["a", "b", "c", "d"], "pre_synapse_id": ends, "post_synapse_id": ends[::-1]}
    tables = {"neuron": {"cid": [*LONG, key]}, "synapse": synapse}
    checked = written_lab(tmp_path, tables, suffix).check()
    marker = checked.finding("SYN-ID-007")
    assert (marker.severity, marker.count, marker.examples[0].value) == ("warning", 1, key)
    assert repr(key) in marker.message and "4 rows of synapse name it" in marker.message
    assert (marker.settings, checked.verdict, checked.rows("neuron").passed) == ([], "accepted", 7)


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
    found = keyed(tmp_path, keys).run("assign_ids")["assign_ids"].findings
    assert [finding.code for finding in found] == ["SYN-ID-007"]


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
    axons = csv("cid,parent_id", *(f"a{number},{key}" for number, key in enumerate(keys)))
    assert Lab(tmp_path, {"neuron": csv("cid", *keys), "axon": axons}).check().faults == []


def test_a_zero_that_two_rows_have_among_long_ids_is_no_repeated_key(tmp_path: Path) -> None:
    tables = {"neuron": csv("cid", "0", *LONG, "0"), "nucleus": csv("cid,parent_id", "1,0")}
    checked = Lab(tmp_path, tables).check()
    marker = checked.finding("SYN-ID-007")
    assert (checked.verdict, marker.severity, marker.count) == ("rejected", "error", 2)
    assert "1 row of nucleus names it" in marker.message
    assert "SYN-ID-002" not in checked.faults
    assert "parent" not in marker.fix


def test_the_rows_of_each_marker_are_counted(tmp_path: Path) -> None:
    keys = ["0", "-1", "0", "7", "-1", "0", "8", "-1", "0"]
    [marker] = keyed(tmp_path, keys).run("assign_ids")["assign_ids"].findings
    assert marker.count == 7
    assert marker.message.endswith("for `no value`: '0' in 4 rows and '-1' in 3 rows.")


def test_a_name_beside_a_marker_and_a_repeated_key(tmp_path: Path) -> None:
    found = keyed(tmp_path, ["n1", "n1", "NA"]).run("assign_ids")["assign_ids"].findings
    assert {each.code: each.severity for each in found} == {
        "SYN-ID-002": "error",
        "SYN-ID-007": "warning",
    }
