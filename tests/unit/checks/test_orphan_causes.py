"""Root causes of keys that name no row: each from small tables through the real stages, as one
finding with its message and its fix.
"""

from __future__ import annotations

import random
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from syndb_pipeline.readers.casts import WHITE_SPACE
from syndb_pipeline.rules.finding import Finding
from tests.lab import Checked, Lab, csv, paste, settings_line, uid

LONG = [str(720575940623636701 + n * 1_000_003) for n in range(6)]
SPREAD = [str(864691135571546917 + n * 10**13) for n in range(6)]
THROUGH_FLOAT = [str(int(float(key))) for key in LONG]


def axons(folder: Path, keys: list[str], parents: list[str], **settings: object) -> Lab:
    """Neurons `keys` and axons with `parents`, all quoted as csv wants it."""
    neurons = ['"' + key.replace('"', '""') + '"' for key in keys]
    rows = [f'a{n},"{parent.replace(chr(34), chr(34) * 2)}"' for n, parent in enumerate(parents)]
    return Lab(
        folder,
        {"neuron": csv("cid", *neurons), "axon": csv("cid,parent_id", *rows)},
        {"axon": settings},
    )


def orphans(checked: Checked) -> list[Finding]:
    return checked.all("SYN-REL-001") + checked.all("SYN-REL-002")


CAUSES = tomllib.loads(Path(__file__).with_name("orphan_causes.toml").read_text(encoding="utf-8"))
CAUSES["cut file"] = {
    "keys": [f"n{n}" for n in range(90)],
    "parents": [f"n{n}" for n in range(100)],
    "count": 10,
    "says": [
        "neuron ends at 'n89', axon goes on to 'n99' (neuron has 90 keys, axon names 100)",
        "neuron.csv looks cut off",
    ],
    "sure": "likely",
}


@pytest.mark.parametrize("name", CAUSES)
def test_a_cause_is_one_finding(tmp_path: Path, name: str) -> None:
    case = CAUSES[name]
    keys, parents, count = case["keys"], case["parents"], case["count"]
    checked = axons(tmp_path, keys, parents).check()
    (finding,) = orphans(checked)
    said = f"{finding.message} {finding.fix}"
    place = (finding.code, finding.table, finding.column, finding.count, finding.confidence)
    assert place == ("SYN-REL-001", "axon", "parent_id", count, case["sure"])
    assert [words for words in case["says"] if words not in said] == [], said
    assert finding.settings == []
    lost = [(n + 2, parent) for n, parent in enumerate(parents) if parent not in keys]
    shown = [(example.row, example.value) for example in finding.examples]
    assert shown == (lost if count <= 5 else [*lost[:4], lost[-1]])
    assert checked.rows("axon").rejected == count
    related = [uid("neuron", parent) if parent in keys else None for parent in parents]
    assert checked.lab.related("axon", "parent_id") == related


NUMBERS = [str(n) for n in range(1, 61)]
AXONS = csv("cid,parent_id", "a1,n1", "a2,n2", "a3,n1")
OTHERS: dict[str, tuple[dict[str, str], dict[str, Any], int, str, str]] = {
    # name: tables, settings, orphans, how sure it is, words of the finding
    "several keys that it may be": (
        {"neuron": csv("cid", "da1", "DA1", "x"), "axon": csv("cid,parent_id", "1,Da1", "2,x")},
        {},
        1,
        "possible",
        "same capitals",
    ),
    # A1 is also an axon's key, but all the others are neurons in small letters.
    "what explains more orphans wins": (
        {
            "neuron": csv("cid", "a1", "a2", "a3", "a4"),
            "axon": csv("cid,parent_id", "A1,a1", "x,a2"),
            "vesicle": csv("cid,parent_id", "v1,A1", "v2,A2", "v3,A3", "v4,A4", "v5,a1"),
        },
        {"vesicle": {"parent": "neuron"}},
        4,
        "certain",
        "same capitals",
    ),
    # The axons are cut off at 40; that dendrites have numbers up to 60 is chance.
    "short numbers in another table": (
        {
            "neuron": csv("cid", "n1"),
            "axon": csv("cid,parent_id", *(f"{n},n1" for n in NUMBERS[:40])),
            "dendrite": csv("cid,parent_id", *(f"{n},n1" for n in range(41, 200))),
            "vesicle": csv("cid,parent_id", *(f"v{n},{n}" for n in NUMBERS)),
        },
        {},
        20,
        "likely",
        "axon ends at '40', vesicle goes on to '60'",
    ),
    "parents that could not be read": (
        {
            "neuron": csv("cid,cable_length", "n1,5000", "n2,5000,7", "n3,6000"),
            "axon": csv("cid,parent_id", "a1,n1", "a2,n2"),
        },
        {},
        1,
        "possible",
        "1 row of neuron could not be read or has no key: correct it first",
    ),
    "a marker that counts elsewhere": (
        {
            "neuron": csv("cid", "n1"),
            "axon": csv(
                "cid,parent_id,terminal_count,voxel_volume", "a1,n1,0,", "a2,0,0,", "a3,n1,2,"
            ),
        },
        {},
        1,
        "likely",
        "would empty 2 cells of other columns as well",
    ),
    "a marker that is a key": (
        {"neuron": csv("cid", "n1"), "axon": csv("cid,parent_id", "0,n1", "1,0")},
        {},
        1,
        "likely",
        "would empty 1 cell of other columns as well",
    ),
    # Pointed to neuron, the other three rows would be orphans in turn.
    "keys of another table": (
        {
            "neuron": csv("cid", "n1", "n2"),
            "axon": AXONS,
            "vesicle": csv("cid,parent_id", "v1,a1", "v2,a2", "v3,n1", "v4,n2", "v5,a3"),
        },
        {},
        2,
        "likely",
        "2 rows of vesicle: parent_id 'n1' is not the cid of any axon, nor is 1 other value; "
        "neuron has it; neuron lacks 3 other values, e.g. 'a1'.",
    ),
    "keys of a table that the column cannot name": (
        {
            "neuron": csv("cid", "n1", "n2"),
            "axon": AXONS,
            "neuron_relation": csv("pre_synapse_id,post_synapse_id", "n1,a2"),
        },
        {},
        1,
        "likely",
        "One column points to one table, here to neuron",
    ),
    "keys in another writing choose their table": (
        {
            "neuron": csv("cid", "n1", "n2"),
            "axon": csv("cid,parent_id", "1,n1", "2,n2"),
            "vesicle": csv("cid,parent_id", "v1,1.0", "v2,2.0"),
        },
        {},
        2,
        "likely",
        "is not the cid of any axon",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_else_there_is_says_why(tmp_path: Path, name: str) -> None:
    tables, settings, count, sure, words = OTHERS[name]
    (finding,) = orphans(Lab(tmp_path, tables, settings).check())
    assert (finding.count, finding.confidence, finding.settings) == (count, sure, [])
    assert words in f"{finding.message} {finding.fix}"


def test_a_whole_file_of_another_dataset(tmp_path: Path) -> None:
    lab = axons(tmp_path, ["x", "q", "b"], [])
    lab.config["tables"]["axon"]["file"] = "axon_*.csv"
    for number, rows in enumerate(("1,x 2,q 3,b", "4,kp 5,w 6,oo 7,kp", "8,x 9,b"), 1):
        lab.write(f"axon_{number}", csv("cid,parent_id", *rows.split()))
    (finding,) = orphans(lab.check())
    assert (finding.count, finding.file, finding.confidence) == (4, "axon_2.csv", "likely")
    assert "they are the rows of axon_2.csv, of 3 files" in finding.message


# -- settings to paste


def merge(lab: Lab, finding: Finding) -> None:
    """Merge the finding's first settings into the lab's YAML, as a person does who pastes them."""
    for table, keys in yaml.safe_load(finding.settings[0])["tables"].items():
        lab.config["tables"][table] |= keys


def test_markers_of_a_table_are_declared_together_with_those_that_are(tmp_path: Path) -> None:
    terminals = csv(
        "cid,forms_synapse_with,vesicle_count", "t1,s1,3", "t2,NA,4", "t3,-1,7", "t4,NA,n.d."
    )
    lab = Lab(
        tmp_path,
        {"synapse": csv("cid", "s1"), "pre_synaptic_terminal": terminals},
        {"pre_synaptic_terminal": {"missing": ["n.d."]}},
    )
    (finding,) = orphans(lab.check())
    assert (finding.code, finding.count, finding.confidence) == ("SYN-REL-002", 3, "likely")
    assert "it is what tables hold where there is no key" in finding.message
    merge(lab, finding)
    assert lab.config["tables"]["pre_synaptic_terminal"]["missing"] == ["n.d.", "NA", "-1"]
    checked = lab.check()
    assert (orphans(checked), checked.verdict) == ([], "accepted")


@pytest.mark.parametrize("sentinel", ["-1", "n/a", "?"])
def test_what_stands_for_no_value_can_be_declared(tmp_path: Path, sentinel: str) -> None:
    lab = axons(tmp_path, ["n1"], ["n1", sentinel])
    (finding,) = orphans(lab.check())
    assert settings_line(finding.fix) == (["tables", "axon", "missing"], [sentinel])
    paste(lab, finding.fix)
    assert lab.check().faults == ["SYN-REL-003"], "then the row has no parent"


def test_a_marker_of_the_config_that_emptied_a_parent(tmp_path: Path) -> None:
    tables = {
        "neuron": csv("cid", "0", "1", "2"),
        "axon": csv("cid,parent_id", "a1,0", "a2,1", "a3,", "a4,NA"),
    }
    lab = Lab(tmp_path, tables, {"axon": {"missing": ["0", "NA"]}})
    empty, emptied = sorted(lab.check().all("SYN-REL-003"), key=lambda finding: finding.count)
    assert (empty.count, [example.row for example in empty.examples]) == (1, [4])
    assert (emptied.count, emptied.confidence) == (2, "likely")
    assert "`missing` of the config emptied '0' and 'NA'" in emptied.message
    assert "'0' is the key of a row there" in emptied.fix
    merge(lab, emptied)
    assert lab.config["tables"]["axon"]["missing"] == ["NA"]
    assert lab.related("axon", "parent_id")[0] is None
    assert [finding.count for finding in lab.check().all("SYN-REL-003")] == [1, 1]
    assert lab.related("axon", "parent_id")[0] == uid("neuron", "0")


def test_a_marker_of_the_config_that_emptied_the_end_of_a_pair(tmp_path: Path) -> None:
    edges = csv("pre_synapse_id,post_synapse_id", "n1,n2", "n2,-1")
    tables = {"neuron": csv("cid", "n1", "n2"), "neuron_relation": edges}
    lab = Lab(tmp_path, tables, {"neuron_relation": {"missing": ["-1"]}})
    finding = lab.check().finding("SYN-REL-007")
    assert "`missing` of the config emptied '-1'" in finding.message
    assert (finding.examples[0].row, finding.examples[0].value, finding.settings) == (3, "-1", [])


def test_the_parents_table_that_is_meant(tmp_path: Path) -> None:
    tables = {
        "neuron": csv("cid", "n1", "n2", "n3"),
        "axon": csv("cid,parent_id", "a1,n1"),
        "vesicle": csv("cid,parent_id", "v1,n1", "v2,n2", "v3,n3"),
    }
    lab = Lab(tmp_path, tables, {"vesicle": {"parent": "axon"}})
    (finding,) = orphans(lab.check())
    assert (finding.count, finding.confidence) == (3, "certain")
    merge(lab, finding)
    assert lab.check().faults == []


# -- properties


def pointed(key: str) -> str:
    """`key` as pandas writes it; not a long id, which then lost digits (SYN-ID-003)."""
    return key if key[:16].isdigit() and len(key) > 15 else f"{key}.0"


def test_valid_keys_are_never_orphans_however_much_they_resemble_each_other(tmp_path: Path) -> None:
    chance = random.Random(11)
    stems = [
        "1",
        "12",
        "neuron 1",
        "DA1",
        "été",
        "720575940623636701",
        "1-3",
        "2023-03-01",
        "MAR1",
        "O0",
    ]
    stems += ["NA", "-1", "0"]
    changes = [
        *(str.lower, str.upper, pointed, lambda key: key),
        *(lambda key, put=put: put.format(key) for put in ("0{}", "n_{}")),
        *(
            lambda key, pair=pair: key.replace(*pair)
            for pair in ((" ", "\u00a0"), ("1", "\u200b1"), ("a", "\u0430"), ("-", "_"))
        ),
        *(lambda key: f"{key[:15]}000", lambda key: key[: len(key) // 2 + 1]),
    ]
    keys = set(stems)
    while len(keys) < 400:
        key = chance.choice(changes)(chance.choice(changes)(chance.choice(sorted(keys)))).strip(
            WHITE_SPACE
        )
        keys |= {key} if key and len(key) < 60 else set()
    every = sorted(keys)
    parents = [chance.choice(every) for _ in range(1_000)]
    lab = axons(tmp_path, every, parents)
    checked = lab.check()
    assert orphans(checked) == []
    # '1' with its marks and 1 without are one key, and 720575940623636000.0 was a float.
    assert {finding.code for finding in checked.findings if finding.severity == "error"} <= {
        "SYN-ID-002",
        "SYN-ID-003",
    }
    assert lab.related("axon", "parent_id") == [uid("neuron", key) for key in parents]


@pytest.mark.parametrize("mark", [".", ","])
def test_parents_in_short_form_are_told_as_damaged_and_not_as_orphans(
    tmp_path: Path, mark: str
) -> None:
    checked = axons(
        tmp_path, SPREAD, [f"{int(key):.5E}".replace(".", mark) for key in SPREAD]
    ).check()
    assert orphans(checked) == []
    assert [(f.table, f.column, f.count) for f in checked.all("SYN-ID-003")] == [
        ("axon", "parent_id", 6)
    ]


def test_every_orphan_is_told_once_whatever_the_mixture(tmp_path: Path) -> None:
    chance = random.Random(5)
    keys = [f"N{n:04d}" for n in range(300)] + LONG
    spoil = [
        str.lower,
        pointed,
        lambda key: f'"{key}"',
        lambda key: key[1:],
        lambda key: f"x{key}",
        lambda key: "NA",
    ]
    parents = [
        chance.choice(spoil)(key) if chance.random() < 0.4 else key
        for key in (chance.choice(keys) for _ in range(500))
    ]
    checked = axons(tmp_path, keys, parents).check()
    wrong = [parent for parent in parents if parent not in keys]
    found = orphans(checked)
    assert sum(finding.count for finding in found) == len(wrong) == checked.rows("axon").rejected
    assert len({finding.message for finding in found}) == len(found)
    lines = {n + 2: parent for n, parent in enumerate(parents)}
    assert all(
        lines[example.row or 0] == example.value
        for finding in found
        for example in finding.examples
    )


def test_any_number_of_keys_of_one_form_costs_no_product(tmp_path: Path) -> None:
    """5,000 keys and 5,000 orphans that are all one key but for invisible characters would meet
    25 million times.
    """
    marks = ["\u200b", "\u200c", "\u200d", "\u2060"]
    bits = ["".join(marks[(n >> shift) & 3] for shift in range(0, 16, 2)) for n in range(5_000)]
    found = orphans(
        axons(tmp_path, [f"n{mark}1" for mark in bits], [f"N{mark}1" for mark in bits]).check()
    )
    assert sum(finding.count for finding in found) == 5_000
    assert {finding.confidence for finding in found} == {"possible"}


def test_every_cause_is_told_apart_and_the_counts_add_up(tmp_path: Path) -> None:
    parents = ["n1", "N1", "1.0", "1.0", "01", "-1", "ghost", '"1"', "a0"]
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
