"""The demo lab through the stages: clean without a single warning, and with mistakes refused with
each of them told.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from syndb_pipeline.config.settings import PipelineSettings, load_dataset
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.demo import CLEAN_CONFIG, ERRORS_CONFIG, write_demo
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import Record
from tests.lab import run_stages


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "lab"
    write_demo(folder)
    return folder


def run(config: Path, state: Path) -> dict[str, Record]:
    context = Context(load_dataset(config), PipelineSettings(state=state, threads=2))
    return run_stages(context, "package")


def test_the_clean_lab_is_accepted_and_warned_of_nothing_but_what_is_not_sent(
    folder: Path, tmp_path: Path
) -> None:
    records = run(folder / CLEAN_CONFIG, tmp_path)
    verdict = records["check_integrity"]
    assert verdict.details.verdict == "accepted"
    warned = [
        (finding.code, finding.table)
        for finding in verdict.findings
        if finding.severity not in ("hint", "info")
    ]
    assert warned == [("SYN-COL-004", "synapse")], "SynDB takes no centroids of synapses"
    assert set(verdict.tables) == set(TABLES)
    assert all(
        rows.rejected == 0 and rows.read == rows.passed > 0 for rows in verdict.tables.values()
    )
    assert verdict.tables["neuron_relation"].combined > 0
    assert set(records["package"].outputs) == {
        *("manifest.json", "datapackage.json", "ro-crate-metadata.json", "croissant.json"),
        *("schema-org.jsonld", "datacite.json", "CITATION.cff"),
        *(f"tables/{name}.parquet" for name in TABLES),
    }


def test_the_lab_with_mistakes_is_refused_and_every_mistake_told(
    folder: Path, tmp_path: Path
) -> None:
    records = run(folder / ERRORS_CONFIG, tmp_path)
    assert "package" not in records
    verdict = records["check_integrity"]
    assert verdict.details.verdict == "rejected"
    told = {
        (finding.code, finding.column): finding.count
        for finding in verdict.findings
        if finding.table == "vesicle"
    }
    orphans = sorted(finding.count for finding in verdict.findings if finding.code == "SYN-REL-001")
    assert told | {("SYN-REL-001", "parent_id"): 0} == {
        ("SYN-READ-002", None): 2,
        ("SYN-TYPE-001", "distance_to_active_zone"): 1,
        ("SYN-TYPE-002", "minimum_normal_length"): 1,
        ("SYN-VAL-001", "voxel_radius"): 1,
        ("SYN-VAL-002", "voxel_radius"): 1,
        ("SYN-VOC-001", "neurotransmitter"): 1,
        ("SYN-ID-001", "cid"): 1,
        ("SYN-ID-002", "cid"): 2,
        ("SYN-ID-003", "cid"): 1,
        ("SYN-REL-001", "parent_id"): 0,
        ("SYN-REL-003", "parent_id"): 1,
    }
    assert orphans == [1, 4]
    assert ("SYN-COL-001", "endoplasmic_reticulum") in {
        (finding.code, finding.table) for finding in verdict.findings
    }
    vesicles = verdict.tables["vesicle"]
    assert (vesicles.read, vesicles.rejected) == (457, 16)
    assert vesicles.read == vesicles.passed + vesicles.rejected
