"""Ids that passed through a double or a spreadsheet and were printed in full are reported by the grid
they are on; other ids are not.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.written_lab import with_formats, written_lab


def ids(count: int, *, digits: int = 18, seed: int = 1) -> list[int]:
    """Different ids as a segmentation gives them."""
    rng = random.Random(seed)
    first = {
        16: 9_100_000_000_000_000,
        17: 86_469_113_500_000_000,
        18: 720_575_940_600_000_000,
        19: 1_152_921_504_700_000_000,
    }[digits]
    return rng.sample(range(first, first + 10**8), count)


def doubles(numbers: list[int]) -> list[str]:
    return list(dict.fromkeys(f"{float(number):.0f}" for number in numbers))


def found(lab: Any) -> dict[tuple[str | None, str | None], int]:
    return {(f.table, f.column): f.count for f in lab.check().all("SYN-ID-005")}


@pytest.mark.parametrize(("count", "suffix"), with_formats([8, 2, 40, 300]))
def test_ids_through_a_double_in_all_tables_alike(tmp_path: Path, count: int, suffix: str) -> None:
    keys = doubles(ids(count))
    ends = keys[1:] + keys[:1]
    names = [str(number) for number in range(len(keys))]
    synapses = {"cid": names, "pre_synapse_id": keys, "post_synapse_id": ends, "cave_id": keys}
    lab = written_lab(tmp_path, {"neuron": {"cid": keys}, "synapse": synapses}, suffix)
    checked = lab.check()
    reported = checked.all("SYN-ID-005")
    columns = [
        ("neuron", "cid"),
        ("synapse", "pre_synapse_id"),
        ("synapse", "post_synapse_id"),
        ("synapse", "cave_id"),
    ]
    assert {(f.table, f.column): f.count for f in reported} == dict.fromkeys(columns, len(keys))
    assert all(
        "are multiples of 128" in f.message
        and "by chance" in f.message
        and f.confidence == "likely"
        for f in reported
    )
    assert all("R, MATLAB" in f.fix for f in reported)
    assert checked.verdict == "accepted", "a suspicion is a warning"


@pytest.mark.parametrize(
    ("digits", "count", "step"), [(16, 40, "2"), (17, 8, "16"), (19, 2, "256")]
)
def test_the_spacing_follows_from_the_size_of_the_ids(
    tmp_path: Path, digits: int, count: int, step: str
) -> None:
    lab = written_lab(tmp_path, {"neuron": {"cid": doubles(ids(count, digits=digits))}})
    assert f"are multiples of {step};" in lab.check().finding("SYN-ID-005").message


def test_ids_beyond_64_bits_with_sign_and_typed_in_parquet(tmp_path: Path) -> None:
    large = [
        f"{float(number):.0f}" for number in random.Random(3).sample(range(2**63, 2**64 - 2**12), 5)
    ]
    assert found(written_lab(tmp_path / "u", {"neuron": {"cid": large}})) == {("neuron", "cid"): 5}
    lab = written_lab(tmp_path / "t", {"neuron": {"cid": ["1"]}}, "parquet")
    keys = [int(key) for key in doubles(ids(20))]
    duckdb.sql(f"SELECT unnest({keys}::BIGINT[]) AS cid").write_parquet(
        str(tmp_path / "t" / "neuron.parquet")
    )
    assert found(lab) == {("neuron", "cid"): len(keys)}


def test_damage_in_one_of_two_files_and_beside_names(tmp_path: Path) -> None:
    mixed = [*doubles(ids(90)), *map(str, ids(20, seed=2))]
    ((_, count),) = found(written_lab(tmp_path, {"neuron": {"cid": mixed}})).items()
    assert 90 <= count <= 92, "a whole id may be on the grid by chance"
    beside = [*doubles(ids(9)), *(f"x{n}" for n in range(32))]
    lab = written_lab(tmp_path / "names", {"neuron": {"cid": beside}})
    assert found(lab) == {("neuron", "cid"): 9}


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        (1000, "that a spreadsheet rounded, zeros from the 16th digit on"),
        (100, "JavaScript"),
    ],
)
def test_digits_that_a_program_made_zeros_of(tmp_path: Path, cut: int, words: str) -> None:
    keys = [str(number // cut * cut) for number in ids(6)]
    lab = written_lab(tmp_path, {"neuron": {"cid": keys}})
    message = lab.check().finding("SYN-ID-005").message
    assert [word for word in words.split(", ") if word not in message] == []


@pytest.mark.parametrize(
    "keys",
    [
        [str(number) for number in ids(300)],
        [str(number) for number in ids(2)],
        [f"{float(ids(1)[0]):.0f}"],  # one id in 128 is so
        [str((1 << 59) + (number << 32)) for number in range(100)],  # numbered in steps of 2^32
        [str(128 * number) for number in range(100)],  # short, so that a double holds all of them
        [str(2**53 - number) for number in range(100)],
        [str(9_100_000_000_000_000 + number) for number in range(100)],
        [
            f"{number}00" for number in range(20_240_301_120_000, 20_240_301_120_050)
        ],  # a day and an hour
        [f"n{key}" for key in doubles(ids(40))],
    ],
)
def test_ids_that_are_what_they_are(tmp_path: Path, keys: list[str]) -> None:
    checked = written_lab(
        tmp_path, {"neuron": {"cid": keys}, "axon": {"cid": keys, "parent_id": keys}}
    ).check()
    assert checked.faults == []


def test_a_column_that_is_damaged_for_certain_is_told_once(tmp_path: Path) -> None:
    lab = written_lab(tmp_path, {"neuron": {"cid": ["1"]}}, "parquet")
    duckdb.sql(f"SELECT unnest({ids(20)}::DOUBLE[]) AS cid").write_parquet(
        str(tmp_path / "neuron.parquet")
    )
    assert lab.check().faults == ["SYN-ID-003"]
