"""assign_ids: UUIDs bit for bit as Python's, and every way in which a key can be wrong."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid5

import pytest

from tests.lab import DATASET, Lab, csv, uid

KEYS = [
    "1",
    "1.0",
    "01",
    "a/b",
    "ä € 神経",
    "O'Neil",
    'say ""hi""',
    "x" * 5000,
    "720575940620000001",
    "%s {0} \\n",
    "a\u0301",
    "\u00e1",
]


def test_uuids_are_pythons_bit_for_bit(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"neuron": csv("cid", *(f'"{key}"' for key in KEYS))})
    checked = lab.check()
    keys = [key.replace('""', '"') for key in KEYS]
    assert lab.ids("neuron") == [(key, uuid5(DATASET, f"neuron/{key}")) for key in keys]
    assert len({cid for _, cid in lab.ids("neuron")}) == len(KEYS), (
        "1, 1.0 and 01 are different keys"
    )
    assert all(cid is not None and cid.version == 5 for _, cid in lab.ids("neuron"))
    assert checked.records["assign_ids"].details.tables["neuron"].model_dump() == {
        "rows": len(KEYS),
        "distinct": len(KEYS),
        "missing": 0,
        "repeated": 0,
    }
    assert checked.verdict == "accepted"


def test_a_uuid_depends_on_dataset_table_and_key_alone(tmp_path: Path) -> None:
    first = Lab(tmp_path / "a", {"axon": csv("cid", "1", "2")})
    shuffled = Lab(
        tmp_path / "b",
        {"axon": csv("voxel_volume,cid", "5,2", "7,1"), "neuron": csv("cid", "1")},
        threads=1,
    )
    other = Lab(tmp_path / "c", {"axon": csv("cid", "1", "2")})
    other.config["dataset"] = other.config["dataset"] | {
        "id": "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a12"
    }
    for lab in (first, shuffled, other):
        lab.run("assign_ids")
    assert dict(first.ids("axon")) == dict(shuffled.ids("axon"))
    assert shuffled.ids("neuron") == [("1", uid("neuron", "1"))]
    assert not {cid for _, cid in first.ids("axon")} & {cid for _, cid in other.ids("axon")}


def test_a_relation_without_a_key_is_called_by_its_pair(tmp_path: Path) -> None:
    edges = csv("pre_synapse_id,post_synapse_id", "a,b", "b,a")
    lab = Lab(tmp_path, {"neuron": csv("cid", "a", "b"), "neuron_relation": edges})
    assert lab.check().faults == []
    assert lab.ids("neuron_relation") == [
        ("a/b", uid("neuron_relation", "a/b")),
        ("b/a", uid("neuron_relation", "b/a")),
    ]


def test_a_relations_own_key_may_be_missing_but_not_stand_twice(tmp_path: Path) -> None:
    edges = csv("cid,pre_synapse_id,post_synapse_id", "e1,a,b", ",b,a", "e1,a,a")
    checked = Lab(tmp_path, {"neuron": csv("cid", "a", "b"), "neuron_relation": edges}).check()
    assert checked.faults == ["SYN-COL-004", "SYN-ID-002"], "nor is the key sent"
    assert checked.finding("SYN-ID-002").count == 1


def test_missing_keys(tmp_path: Path) -> None:
    lab = Lab(
        tmp_path,
        {"neuron": csv("cid,polarity", "1,", ",bipolar", "  ,bipolar", "NA,bipolar", "5,")},
        {"neuron": {"missing": ["NA"]}},
    )
    checked = lab.check()
    empty, emptied = sorted(checked.all("SYN-ID-001"), key=lambda finding: -finding.count)
    assert (empty.count, [example.row for example in empty.examples]) == (2, [3, 4])
    assert empty.message == "2 rows of neuron have no cid."
    assert (emptied.count, emptied.examples[0].row, emptied.examples[0].value) == (1, 5, "NA")
    assert emptied.message == "1 row of neuron has no cid: `missing` of the config emptied 'NA'."
    assert checked.rows("neuron").rejected == 3
    assert [cid for key, cid in lab.ids("neuron") if key is None] == [None, None, None]


@pytest.mark.parametrize(
    ("rows", "count", "sentence", "told"),
    [
        (
            ["1,5", "2,5", "1,5"],
            1,
            "1 row of neuron repeats a cid that an earlier row has; 2 of 3 keys are distinct.",
            "It is a copy of a whole row",
        ),
        (
            ["1,5", "1,5", "1,5"],
            2,
            "2 rows of neuron repeat a cid that an earlier row has; 1 of 3 keys are distinct.",
            "All of them are copies",
        ),
        (
            ["1,5", "1,6", "2,7", "2,8"],
            2,
            "2 rows of neuron repeat",
            "Rows of one key differ in voxel_volume. Find out which row",
        ),
        (
            ["1,5", "1,5", "1,6", "2,7"],
            2,
            "2 rows of neuron repeat",
            "1 of them is a copy of a whole row and 1 differs from the first.",
        ),
        (
            ["1,5", "1,5", "1,5", "1,6", "1,7"],
            4,
            "4 rows of neuron repeat",
            "2 of them are copies of whole rows and 2 differ from the first.",
        ),
        (["1,5", "1,x", "1,y"], 2, "2 rows of neuron repeat", "give each row a key of its own"),
    ],
)
def test_repeated_keys_as_copies_and_as_others(
    tmp_path: Path, rows: list[str], count: int, sentence: str, told: str
) -> None:
    checked = Lab(tmp_path, {"neuron": csv("cid,voxel_volume", *rows)}).check()
    repeated = checked.finding("SYN-ID-002")
    assert (repeated.count, repeated.severity) == (count, "error")
    assert repeated.message.startswith(sentence)
    assert told in repeated.fix
    assert ("copies of whole rows" in repeated.fix or "copy of a whole row" in repeated.fix) == (
        "cop" in told
    )
    assert checked.rows("neuron").rejected == count
    assert checked.verdict == "rejected"


def test_keys_that_a_spreadsheet_showed_in_scientific_notation(tmp_path: Path) -> None:
    keys = ["7.20576E+17", "7,20576E+17", "1e+05", "E+5", "a+b", "1E5", "2e-3"]
    checked = Lab(tmp_path, {"neuron": csv("cid", *(f'"{key}"' for key in keys))}).check()
    damaged = checked.finding("SYN-ID-003")
    assert [example.value for example in damaged.examples] == [
        "7.20576E+17",
        "7,20576E+17",
        "1e+05",
    ]
    assert damaged.count == checked.rows("neuron").rejected == 3


def test_white_space_around_keys_is_cut_off_and_told(tmp_path: Path) -> None:
    lab = Lab(
        tmp_path, {"neuron": csv("cid", " 1", "2\t", "3"), "axon": csv("cid,parent_id", "7, 2 ")}
    )
    checked = lab.check()
    assert checked.verdict == "accepted"
    assert [(f.table, f.column, f.count, f.severity) for f in checked.all("SYN-ID-004")] == [
        ("axon", "parent_id", 1, "hint"),
        ("neuron", "cid", 2, "hint"),
    ]
    assert (
        checked.all("SYN-ID-004")[0].message
        == "1 key of axon.parent_id had white space around it, which was removed."
    )
    assert checked.all("SYN-ID-004")[1].examples[0].value == " 1"
    assert lab.related("axon", "parent_id") == [uid("neuron", "2")]


def test_the_id_map_keeps_the_order_of_the_rows(tmp_path: Path) -> None:
    keys = [str((n * 7919) % 30_011) for n in range(30_000)]
    lab = Lab(tmp_path, {"neuron": csv("cid", *keys)})
    lab.run("assign_ids")
    assert lab.ids("neuron") == [(key, uid("neuron", key)) for key in keys]
    assert isinstance(lab.ids("neuron")[0][1], UUID)
