"""Brain regions of a dataset's metadata: SynDB's words, a fly's, and names of one's own.

Belongs here: which ones warn, where it shows, and that they are published as written. Does not: the
words (`contract/vocabularies.py`).
"""

from __future__ import annotations

from pathlib import Path

from syndb_pipeline.contract.vocabularies import BRAIN_STRUCTURES, FLY_STRUCTURES
from syndb_pipeline.publishing.plan import plan
from syndb_pipeline.publishing.plan_text import describe
from tests.lab import METADATA, Lab, csv

TABLES = {"neuron": csv("cid,voxel_volume", "n1,5e9", "n2,6e9")}


def lab(folder: Path, *structures: str, **config: object) -> Lab:
    regions = [{"structure": structure} for structure in structures]
    metadata = METADATA | {"brain_regions": regions}
    return Lab(folder, TABLES, dataset=metadata, publish={"destination": "local"}, **config)


def test_words_that_are_known_say_nothing(tmp_path: Path) -> None:
    assert (
        lab(tmp_path, "septum", "SEPTUM", "Mushroom Body", *FLY_STRUCTURES).check().findings == []
    )
    assert len(BRAIN_STRUCTURES) == len(set(BRAIN_STRUCTURES)) == 244 + 24
    assert len(set(FLY_STRUCTURES.values())) == 24


def test_any_other_name_warns_and_is_published_as_written(tmp_path: Path) -> None:
    here = lab(tmp_path, "septum", "hipocampus", "MB", "Nerve Ring")
    checked = here.check()
    [finding] = checked.findings
    assert (finding.code, finding.severity, finding.count) == ("SYN-VOC-005", "warning", 3)
    assert [(place.file, place.column, place.value) for place in finding.examples] == [
        ("dataset.yaml", "dataset.brain_regions", structure)
        for structure in ("hipocampus", "MB", "Nerve Ring")
    ]
    assert "hippocampus" in finding.message and "mushroom body" in finding.message
    here.run("package")
    with here.context.store.lock():
        current = plan(here.context)
    regions = [region.brain_structure for region in current.metadata.brain_regions]
    assert regions == ["septum", "hipocampus", "MB", "Nerve Ring"]
    said = "Brain region Nerve Ring: not in SynDB's vocabulary, published as written"
    assert said in describe(current) and "septum" not in describe(current)


def test_it_follows_the_config_and_made_an_error_it_refuses_the_dataset(tmp_path: Path) -> None:
    here = lab(tmp_path, "nerve ring")
    assert [finding.count for finding in here.check().findings] == [1]
    here.config["rules"] = {"SYN-VOC-005": "error"}
    for on_invalid in ("refuse", "quarantine"):
        here.config["on_invalid"] = on_invalid
        assert here.check().verdict == "rejected"
    here.config["dataset"]["brain_regions"] = [{"structure": "septum"}]
    assert here.check().findings == []
