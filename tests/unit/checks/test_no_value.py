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
from syndb_pipeline.rules.finding import Finding
from tests.lab import Checked, Lab
from tests.written_lab import written_lab

NEURONS = {"cid": ["1", "2", "3", "4"]}


def vesicles(*words: str) -> dict[str, Any]:
    names = [str(number) for number in range(len(words))]
    return {
        "neuron": NEURONS,
        "vesicle": {"cid": names, "parent_id": ["1"] * len(words), "neurotransmitter": list(words)},
    }


def pasted(lab: Lab, *findings: Finding) -> Checked:
    """The dataset after the first setting of each finding was pasted into its config."""
    for finding in findings:
        for table, settings in yaml.safe_load(finding.settings[0])["tables"].items():
            lab.config["tables"][table] |= settings
    return lab.check()


def test_the_words_of_every_kind_of_column_are_of_one_list() -> None:
    assert set(no_value.IN_KEYS) < set(no_value.IN_NUMBERS) < set(no_value.IN_TEXT)
    assert all(word == word.lower().strip() for word in no_value.IN_TEXT)
    assert not set(no_value.IN_TEXT) & {word for words in VOCABULARIES.values() for word in words}


@pytest.mark.parametrize(
    ("word", "suffix", "substance"),
    [
        ("NA", "xlsx", "norepinephrine"),
        ("na", "parquet", "norepinephrine"),
        ("no", "csv", "nitric oxide"),
        (" NA", "tsv", "norepinephrine"),
    ],
)
def test_a_marker_that_syndb_reads_as_a_substance_is_asked_for(
    tmp_path: Path, word: str, suffix: str, substance: str
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
    assert substance in unclear.message
    assert checked.rows("vesicle").rejected == 2
    assert not any(substance in other.message for other in checked.all("SYN-VOC-003"))
    assert not checked.all("SYN-VOC-002")
    fixed = pasted(lab, unclear)
    assert (fixed.verdict, fixed.faults, fixed.rows("vesicle").passed) == ("accepted", [], 4)
    words = lab.query("SELECT neurotransmitter FROM {f}", f="ingest/tables/vesicle.parquet")
    assert words == [("glutamate",), (None,), ("gaba",), (None,)]


def test_syndbs_reading_may_be_allowed_and_ser_is_serotonin_to_many_labs(tmp_path: Path) -> None:
    lab = written_lab(tmp_path, vesicles("ser", "gaba", "NA"), rules={"SYN-VOC-004": "warning"})
    checked = lab.check()
    unclear = checked.finding("SYN-VOC-004")
    assert (checked.verdict, unclear.severity) == ("accepted", "warning")
    said = "'ser' is 'd serine' to SynDB, and serotonin in the tables of FlyWire and CAVE"
    assert said in unclear.message
    assert "ser" not in unclear.settings[0], "it is no marker"


@pytest.mark.parametrize(
    ("word", "suffix"),
    [("none", "csv"), ("unknown", "xls"), ("N/A", "parquet"), ("NaN", "csv"), ("no", "xlsx")],
)
def test_no_marker_is_published_as_a_word_unseen(tmp_path: Path, word: str, suffix: str) -> None:
    tables = {
        "neuron": {"cid": ["1", "2"], "neuron_type": [word, None], "polarity": [None, word]},
        "vesicle": vesicles(word, "")["vesicle"],
    }
    lab = written_lab(tmp_path, tables, suffix)
    asked = [each for each in lab.check().findings if each.code in ("SYN-VOC-001", "SYN-VOC-004")]
    assert {each.column for each in asked} == {"neuron_type", "polarity", "neurotransmitter"}
    assert all(f'missing: ["{word}"]' in each.fix for each in asked)
    assert pasted(lab, *asked).faults == []


def test_a_marker_among_many_unknown_words_and_in_free_text(tmp_path: Path) -> None:
    types = [f"type {number}" for number in range(40) for _ in range(3)] + ["unknown"]
    boxes = ["NA", "1 2 3 4 5 6", "na", *[None] * 118]
    columns = {"cid": [str(n) for n in range(121)], "neuron_type": types, "bounding_box": boxes}
    checked = written_lab(tmp_path, {"neuron": columns}).check()
    assert 'missing: ["unknown"]' in checked.finding("SYN-VOC-001").fix
    unclear = checked.finding("SYN-VOC-004")
    assert (unclear.column, unclear.count) == ("bounding_box", 2)
    assert 'missing: ["NA", "na"]' in unclear.fix


def test_words_that_mean_one_thing(tmp_path: Path) -> None:
    words = ["gaba", "ach", "glutamate", "Nitric Oxide", "norepinephrine", "noradrenaline", "ne"]
    assert not written_lab(tmp_path, vesicles(*words, "co")).check().all("SYN-VOC-004")


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


@pytest.mark.parametrize("suffix", ["csv", "xls", "parquet"])
def test_a_marker_that_empties_true_zeros(tmp_path: Path, suffix: str) -> None:
    lab = written_lab(tmp_path, synapses(), suffix, {"synapse": {"missing": ["0", "NA"]}})
    checked = lab.check()
    emptied = checked.finding("SYN-VAL-006")
    assert (checked.verdict, emptied.severity, emptied.count) == ("accepted", "warning", 6)
    assert "cleft_score (2), gaba (3), centroid_x (1)" in emptied.message
    assert 'missing: {all: ["NA"], pre_synapse_id: ["0"], post_synapse_id: ["0"]}' in emptied.fix
    fixed = pasted(lab, emptied)
    assert (fixed.verdict, fixed.all("SYN-VAL-006")) == ("accepted", [])
    counts = "SELECT count(gaba), count(cleft_score), count(centroid_x) FROM {f}"
    assert lab.query(counts, f="ingest/tables/synapse.parquet") == [(4, 4, 4)]
    assert lab.related("synapse", "pre_synapse_id").count(None) == 1


@pytest.mark.parametrize(
    "missing",
    [
        ["-1", "NA", "-999"],
        {"pre_synapse_id": ["0"], "post_synapse_id": ["0"]},
        {"gaba": ["0"], "cleft_score": ["0"], "centroid_x": ["0"]},
    ],
)
def test_markers_that_empty_nothing_true(tmp_path: Path, missing: Any) -> None:
    tables = synapses("" if isinstance(missing, list) or "gaba" in missing else "0")
    lab = written_lab(tmp_path, tables, settings={"synapse": {"missing": missing}})
    assert lab.check().faults == ["SYN-COL-004"], "SynDB's synapse has no centroid"


def test_a_zero_that_the_column_cannot_hold_is_no_true_one_and_an_answer_no_marker(
    tmp_path: Path,
) -> None:
    cells = {"cable_length": ["0", "5000", "0", "6000"], "is_tree": ["no", "yes", "no", "yes"]}
    lab = written_lab(
        tmp_path, {"neuron": NEURONS | cells}, settings={"neuron": {"missing": ["0", "no"]}}
    )
    emptied = lab.check().finding("SYN-VAL-006")
    assert (emptied.count, "is_tree (2)" in emptied.message) == (2, True)


def test_a_marker_among_answers_is_offered_as_one(tmp_path: Path) -> None:
    lab = written_lab(tmp_path, {"neuron": NEURONS | {"is_tree": ["yes", "NA", "no", "NA"]}})
    wrong = lab.check().finding("SYN-TYPE-003")
    assert (wrong.count, 'missing: ["NA"]' in wrong.fix) == (2, True)
    assert pasted(lab, wrong).faults == []


def test_a_marker_of_one_column_counts_there_alone(tmp_path: Path) -> None:
    cells = {"cable_length": ["-2", "5000", "NA", "7"], "n_branches": ["3", "-2", "NA", "NA"]}
    missing = {"all": ["NA"], "cable_length": ["-2"]}
    lab = written_lab(
        tmp_path, {"neuron": NEURONS | cells}, "xlsx", {"neuron": {"missing": missing}}
    )
    errors = [each for each in lab.check().findings if each.severity == "error"]
    assert [(f.code, f.column, f.count) for f in errors] == [("SYN-VAL-001", "n_branches", 1)]
    rows = lab.query("SELECT cable_length, n_branches FROM {f}", f="ingest/tables/neuron.parquet")
    assert rows == [(None, 3), (5000.0, -2), (None, None), (7.0, None)]


def test_one_number_in_all_cells_out_of_range_may_be_a_marker(tmp_path: Path) -> None:
    wrong = {
        "n_branches": ["-2", "4", "-2", "4"],
        "n_trees": ["-5", "4", "-5", "4"],
        "mesh_sphericity": ["255", "0.5", "255", "0.5"],
        "n_skeletons": ["-2", "-3", "4", "5"],
    }
    lab = written_lab(tmp_path, {"neuron": NEURONS | wrong})
    found = {each.column: each for each in lab.check().all("SYN-VAL-001")}
    several = found.pop("n_skeletons")
    assert "missing" not in several.fix and several.confidence == "certain"
    for column, finding in found.items():
        assert f'"{wrong[column][0]}"' in finding.fix and finding.confidence == "likely"
    lab.write("neuron", "cid,n_branches\n1,-2\n2,4\n3,-2\n4,4\n")
    assert pasted(lab, found["n_branches"]).faults == []


def test_the_setting_names_the_column_where_another_would_lose_a_value(tmp_path: Path) -> None:
    neuron = {"n_branches": ["-2", "4", "-2", "5"], "centroid_x": ["-2", "100", "200", "300"]}
    vesicle = {
        "cid": ["1", "2"],
        "parent_id": ["1", "2"],
        "neurotransmitter": ["NA", "gaba"],
        "voxel_radius": ["20", "NA"],
    }
    lab = written_lab(tmp_path, {"neuron": NEURONS | neuron, "vesicle": vesicle})
    checked = lab.check()
    wrong = checked.finding("SYN-VAL-001")
    assert 'missing: {n_branches: ["-2"]}' in wrong.fix
    assert 'missing: {voxel_radius: ["NA"]}' in checked.finding("SYN-TYPE-001").fix
    assert checked.finding("SYN-VOC-004").column == "neurotransmitter", "a substance elsewhere"
    assert "SYN-VAL-001" not in pasted(lab, wrong).faults
    kept = lab.query("SELECT count(centroid_x) FROM {f}", f="ingest/tables/neuron.parquet")
    assert kept == [(4,)]


def test_numbers_in_one_cell(tmp_path: Path) -> None:
    texts = {
        "centroid_x": "[528216 261556 174880]",
        "centroid_y": "(1, 2, 3)",
        "centroid_z": "[ 1.  2.  3.]",
        "voxel_radius": "array([1, 2])",
        "voxel_volume": "<1; 2>",
        "mesh_volume": "{1|2}",
        "mesh_sphericity": "[12]",
        "cable_length": "(12.5)",
    }
    columns = {name: [text] * 4 for name, text in texts.items()}
    found = written_lab(tmp_path, {"neuron": NEURONS | columns}).check().all("SYN-TYPE-001")
    assert len(found) == len(texts)
    for finding in found:
        one = finding.column in ("mesh_sphericity", "cable_length")
        assert ("without brackets" if one else "Several numbers") in finding.fix
