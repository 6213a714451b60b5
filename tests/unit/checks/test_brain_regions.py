"""Brain regions of a dataset's metadata: SynDB's words, a fly's, and names of one's own.

Belongs here: which ones warn, where it shows, and that they are published as written. Does not: the
words (`contract/vocabularies.py`).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from syndb_pipeline.contract.vocabularies import BRAIN_STRUCTURES, FLY_STRUCTURES
from syndb_pipeline.publishing.plan import describe, plan
from tests.stage_lab import METADATA, Lab, csv

TABLES = {"neuron": csv("cid,voxel_volume", "n1,5e9", "n2,6e9")}


def lab(folder: Path, *structures: str, **config: object) -> Lab:
    regions = [{"structure": structure} for structure in structures]
    return Lab(
        folder,
        TABLES,
        dataset=METADATA | {"brain_regions": regions},
        publish={"destination": "local"},
        **config,
    )


@pytest.mark.parametrize(
    "structure", ["septum", "SEPTUM", "mushroom body", "Mushroom Body", *FLY_STRUCTURES]
)
def test_a_word_that_is_known_says_nothing(structure: str, tmp_path: Path) -> None:
    checked = lab(tmp_path, structure).check()
    assert (checked.verdict, checked.findings) == ("accepted", [])


def test_both_lists_are_whole() -> None:
    assert len(BRAIN_STRUCTURES) == 244 + 24
    assert len(set(BRAIN_STRUCTURES)) == len(BRAIN_STRUCTURES)
    assert len(set(FLY_STRUCTURES.values())) == 24


@pytest.mark.parametrize(
    ("structure", "near"),
    [("hipocampus", "hippocampus"), ("MB", "mushroom body"), ("Nerve Ring", None)],
)
def test_any_other_name_warns_and_is_published_as_written(
    structure: str, near: str | None, tmp_path: Path
) -> None:
    here = lab(tmp_path, "septum", structure)
    checked = here.check()
    assert checked.verdict == "accepted"
    [finding] = checked.findings
    assert (finding.code, finding.severity, finding.count) == ("SYN-VOC-005", "warning", 1)
    assert [(place.file, place.column, place.value) for place in finding.examples] == [
        ("lab.yaml", "dataset.brain_regions", structure)
    ]
    assert near is None or near in finding.message
    here.run("package")
    with here.context.store.lock():
        current = plan(here.context)
    assert [region.brain_structure for region in current.metadata.brain_regions] == [
        "septum",
        structure,
    ]
    assert f"Brain region {structure}: not in SynDB's vocabulary, published as written" in describe(
        current
    )
    assert "septum" not in describe(current)


def test_several_are_one_finding_and_it_follows_the_config(tmp_path: Path) -> None:
    here = lab(tmp_path, "nerve ring", "ventral cord")
    assert [(finding.code, finding.count) for finding in here.check().findings] == [
        ("SYN-VOC-005", 2)
    ]
    here.config["dataset"]["brain_regions"] = [{"structure": "septum"}]
    assert here.check().findings == []
    here.config["dataset"]["brain_regions"] = [{"structure": "nerve ring"}]
    assert [finding.count for finding in here.check().findings] == [1]


@pytest.mark.parametrize("on_invalid", ["refuse", "quarantine"])
def test_made_an_error_it_refuses_the_dataset(on_invalid: str, tmp_path: Path) -> None:
    assert (
        lab(tmp_path, "nerve ring", rules={"SYN-VOC-005": "error"}, on_invalid=on_invalid)
        .check()
        .verdict
        == "rejected"
    )
