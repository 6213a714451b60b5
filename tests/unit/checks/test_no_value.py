"""Words and numbers for "no value" in columns of text and numbers: asked for, never published as a
word, never emptied unseen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from syndb_pipeline.contract import no_value
from syndb_pipeline.contract.vocabularies import VOCABULARIES
from tests.written_lab import FORMATS, with_formats, written_lab

NEURONS = {"cid": ["1", "2", "3", "4"]}


def vesicles(*words: str | None) -> dict[str, Any]:
    names = [str(number) for number in range(len(words))]
    return {
        "neuron": NEURONS,
        "vesicle": {"cid": names, "parent_id": ["1"] * len(words), "neurotransmitter": list(words)},
    }


def pasted(lab: Any, block: str) -> Any:
    for table, settings in yaml.safe_load(block)["tables"].items():
        lab.config["tables"][table] |= settings
    return lab.check()


def test_the_words_of_every_kind_of_column_are_of_one_list() -> None:
    assert set(no_value.IN_KEYS) < set(no_value.IN_NUMBERS) < set(no_value.IN_TEXT)
    assert all(word == word.lower().strip() for word in no_value.IN_TEXT)
    assert not set(no_value.IN_TEXT) & {word for words in VOCABULARIES.values() for word in words}


@pytest.mark.parametrize(("word", "suffix"), with_formats(["NA", "na", "no", " NA"]))
def test_a_marker_that_syndb_reads_as_a_substance_is_asked_for(
    tmp_path: Path, word: str, suffix: str
) -> None:
    lab = written_lab(tmp_path, vesicles("glutamate", word, "gaba", word), suffix)
    checked = lab.check()
    unclear = checked.finding("SYN-VOC-004")
    assert (checked.verdict, unclear.severity, unclear.count, unclear.examples[0].value) == (
        "rejected",
        "error",
        2,
        word,
    )
    assert ("nitric oxide" if word == "no" else "norepinephrine") in unclear.message
    assert checked.rows("vesicle").rejected == 2
    assert not any(
        "norepinephrine" in f.message or "nitric" in f.message for f in checked.all("SYN-VOC-003")
    )
    assert not checked.all("SYN-VOC-002")
    cured = pasted(lab, unclear.settings[0])
    assert (cured.verdict, cured.faults) == ("accepted", [])
    assert cured.rows("vesicle").passed == 4
    values = [
        value
        for (value,) in lab.query(
            "SELECT neurotransmitter FROM {f}", f="ingest/tables/vesicle.parquet"
        )
    ]
    assert values == ["glutamate", None, "gaba", None]


def test_syndbs_reading_may_be_allowed(tmp_path: Path) -> None:
    checked = written_lab(tmp_path, vesicles("NA"), rules={"SYN-VOC-004": "warning"}).check()
    assert (checked.verdict, checked.finding("SYN-VOC-004").severity) == ("accepted", "warning")


def test_ser_is_serotonin_to_many_labs_and_no_marker(tmp_path: Path) -> None:
    unclear = written_lab(tmp_path, vesicles("ser", "gaba")).check().finding("SYN-VOC-004")
    assert (
        "'ser' is 'd serine' to SynDB, and serotonin in the tables of FlyWire and CAVE"
        in unclear.message
    )
    assert unclear.settings == []


@pytest.mark.parametrize(
    ("table", "column"),
    [("neuron", "neuron_type"), ("neuron", "polarity"), ("vesicle", "neurotransmitter")],
)
@pytest.mark.parametrize(
    ("word", "suffix"), with_formats(["none", "unknown", "nd", "N/A", "NaN", "no"])
)
def test_no_marker_is_published_as_a_word_unseen(
    tmp_path: Path, word: str, table: str, column: str, suffix: str
) -> None:
    tables = {"neuron": NEURONS} | {
        table: {"cid": ["1", "2"], "parent_id": ["1", "2"], column: [word, None]}
    }
    if table == "neuron":
        del tables["neuron"]["parent_id"]
    lab = written_lab(tmp_path, tables, suffix)
    (told,) = [f for f in lab.check().findings if f.code in ("SYN-VOC-001", "SYN-VOC-004")]
    assert f'missing: ["{word}"]' in told.fix
    assert pasted(lab, told.settings[0]).faults == []


def test_a_marker_among_many_unknown_words_is_named(tmp_path: Path) -> None:
    types = [f"type {number}" for number in range(40) for _ in range(3)] + ["unknown"]
    lab = written_lab(
        tmp_path, {"neuron": {"cid": [str(n) for n in range(len(types))], "neuron_type": types}}
    )
    assert 'missing: ["unknown"]' in lab.check().finding("SYN-VOC-001").fix


def test_a_marker_in_free_text(tmp_path: Path) -> None:
    lab = written_lab(
        tmp_path, {"neuron": NEURONS | {"bounding_box": ["NA", "1 2 3 4 5 6", None, "na"]}}
    )
    unclear = lab.check().finding("SYN-VOC-004")
    assert (unclear.column, unclear.count) == ("bounding_box", 2)
    assert pasted(lab, unclear.settings[0]).verdict == "accepted"


@pytest.mark.parametrize(
    "words",
    [
        ("gaba", "ach"),
        ("glutamate", "Nitric Oxide"),
        ("norepinephrine", "noradrenaline"),
        ("ne", "co"),
    ],
)
def test_words_that_mean_one_thing(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert not written_lab(tmp_path, vesicles(*words)).check().all("SYN-VOC-004")


def synapses(marker: str = "0") -> dict[str, Any]:
    synapse = {
        "cid": ["a", "b", "c", "d"],
        "pre_synapse_id": ["1", marker, "2", "3"],
        "post_synapse_id": ["2", "1", marker, "1"],
        "cleft_score": ["12", "0", "7", "0.0"],
        "gaba": ["0", "0.5", "0", "0"],
        "centroid_x": ["0", "10", "20", "30"],
    }
    return {"neuron": NEURONS, "synapse": synapse}


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_marker_that_empties_true_zeros(tmp_path: Path, suffix: str) -> None:
    lab = written_lab(tmp_path, synapses(), suffix, {"synapse": {"missing": ["0", "NA"]}})
    checked = lab.check()
    emptied = checked.finding("SYN-VAL-006")
    assert (checked.verdict, emptied.severity, emptied.count) == ("accepted", "warning", 6)
    assert "cleft_score (2), gaba (3), centroid_x (1)" in emptied.message
    assert 'missing: {all: ["NA"], pre_synapse_id: ["0"], post_synapse_id: ["0"]}' in emptied.fix
    cured = pasted(lab, emptied.settings[0])
    assert not cured.all("SYN-VAL-006")
    assert cured.verdict == "accepted"
    [counts] = lab.query(
        "SELECT count(gaba), count(cleft_score), count(centroid_x) FROM {f}",
        f="ingest/tables/synapse.parquet",
    )
    assert counts == (4, 4, 4)
    assert lab.related("synapse", "pre_synapse_id").count(None) == 1


@pytest.mark.parametrize(
    "missing",
    [
        ["-1"],
        ["NA", "-999"],
        {"pre_synapse_id": ["0"], "post_synapse_id": ["0"]},
        {"gaba": ["0"], "cleft_score": ["0"], "centroid_x": ["0"]},
    ],
)
def test_markers_that_empty_nothing_true(tmp_path: Path, missing: Any) -> None:
    tables = synapses("" if isinstance(missing, list) or "gaba" in missing else "0")
    faults = (
        written_lab(tmp_path, tables, settings={"synapse": {"missing": missing}}).check().faults
    )
    assert faults == ["SYN-COL-004"], "SynDB's synapse has no centroid"


def test_a_zero_that_the_column_cannot_hold_is_no_true_zero(tmp_path: Path) -> None:
    lab = written_lab(
        tmp_path,
        {"neuron": NEURONS | {"cable_length": ["0", "5000", "0", "6000"]}},
        settings={"neuron": {"missing": ["0"]}},
    )
    assert lab.check().faults == []


def test_an_answer_is_no_marker(tmp_path: Path) -> None:
    lab = written_lab(
        tmp_path,
        {"neuron": NEURONS | {"is_tree": ["no", "yes", "no", "yes"]}},
        settings={"neuron": {"missing": ["no"]}},
    )
    assert "is_tree (2)" in lab.check().finding("SYN-VAL-006").message


def test_a_marker_among_answers_is_offered_as_one(tmp_path: Path) -> None:
    lab = written_lab(tmp_path, {"neuron": NEURONS | {"is_tree": ["yes", "NA", "no", "NA"]}})
    wrong = lab.check().finding("SYN-TYPE-003")
    assert (wrong.count, wrong.settings) == (2, ["tables:\n  neuron:\n    missing: [NA]"])
    assert pasted(lab, wrong.settings[0]).faults == []


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_marker_of_one_column_counts_there_alone(tmp_path: Path, suffix: str) -> None:
    tables = {
        "neuron": NEURONS
        | {"cable_length": ["-2", "5000", "NA", "7"], "n_branches": ["3", "-2", "NA", "NA"]}
    }
    lab = written_lab(
        tmp_path, tables, suffix, {"neuron": {"missing": {"all": ["NA"], "cable_length": ["-2"]}}}
    )
    checked = lab.check()
    assert [(f.code, f.column, f.count) for f in checked.findings if f.severity == "error"] == [
        ("SYN-VAL-001", "n_branches", 1)
    ]
    rows = lab.query("SELECT cable_length, n_branches FROM {f}", f="ingest/tables/neuron.parquet")
    assert rows == [(None, 3), (5000.0, -2), (None, None), (7.0, None)]


@pytest.mark.parametrize("number", ["-2", "-5", "255", "-0.5"])
def test_one_number_in_all_cells_out_of_range_may_be_a_marker(tmp_path: Path, number: str) -> None:
    column = "mesh_sphericity" if number in ("255", "-0.5") else "n_branches"
    good = "0.5" if column == "mesh_sphericity" else "4"
    lab = written_lab(tmp_path, {"neuron": NEURONS | {column: [number, good, number, good]}})
    wrong = lab.check().finding("SYN-VAL-001")
    assert f'missing: ["{number}"]' in wrong.fix and wrong.confidence == "likely"
    assert pasted(lab, wrong.settings[0]).faults == []


def test_several_numbers_out_of_range_are_no_marker(tmp_path: Path) -> None:
    wrong = (
        written_lab(tmp_path, {"neuron": NEURONS | {"n_branches": ["-2", "-3", "4", "5"]}})
        .check()
        .finding("SYN-VAL-001")
    )
    assert "missing" not in wrong.fix and wrong.confidence == "certain"


def test_the_setting_names_the_column_where_another_would_lose_a_value(tmp_path: Path) -> None:
    cells = {"n_branches": ["-2", "4", "-2", "5"], "centroid_x": ["-2", "100", "200", "300"]}
    lab = written_lab(tmp_path, {"neuron": NEURONS | cells})
    wrong = lab.check().finding("SYN-VAL-001")
    assert 'missing: {n_branches: ["-2"]}' in wrong.fix
    assert pasted(lab, wrong.settings[0]).faults == []
    assert lab.query("SELECT count(centroid_x) FROM {f}", f="ingest/tables/neuron.parquet") == [
        (4,)
    ]


def test_a_word_that_is_a_substance_elsewhere_is_declared_for_its_column(tmp_path: Path) -> None:
    vesicle = {
        "cid": ["1", "2"],
        "parent_id": ["1", "2"],
        "neurotransmitter": ["NA", "gaba"],
        "voxel_radius": ["20", "NA"],
    }
    checked = written_lab(tmp_path, {"neuron": NEURONS, "vesicle": vesicle}).check()
    assert 'missing: {voxel_radius: ["NA"]}' in checked.finding("SYN-TYPE-001").fix
    assert checked.finding("SYN-VOC-004").column == "neurotransmitter"


@pytest.mark.parametrize(
    "text",
    [
        "[528216 261556 174880]",
        "(1, 2, 3)",
        "1 2 3",
        "[ 1.  2.  3.]",
        "array([1, 2])",
        "<1; 2>",
        "{1|2}",
    ],
)
def test_several_numbers_in_one_cell(tmp_path: Path, text: str) -> None:
    wrong = (
        written_lab(tmp_path, {"neuron": NEURONS | {"centroid_x": [text] * 4}})
        .check()
        .finding("SYN-TYPE-001")
    )
    assert "Several numbers" in wrong.fix


@pytest.mark.parametrize("text", ["[12]", "(12.5)"])
def test_one_number_in_brackets(tmp_path: Path, text: str) -> None:
    wrong = (
        written_lab(tmp_path, {"neuron": NEURONS | {"centroid_x": [text] * 4}})
        .check()
        .finding("SYN-TYPE-001")
    )
    assert "without brackets" in wrong.fix
