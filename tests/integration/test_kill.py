"""`kill -9` in the middle of any stage, then the same command: it completes, and with the same
digests.

Belongs here: dying while stages run. Does not: dying while publishing or deleting
(`test_publish_crash.py`).
"""

from __future__ import annotations

import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.generate import DATASET, write_dataset
from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.stages.package import Manifest, as_sent
from syndb_pipeline.stages.runner import STAGES
from syndb_pipeline.state.store import DatasetStore
from tests.command_line import Lab

ROWS = 200_000
"""Of the largest tables; with the others half a million, so that each stage takes long enough to
die in.
"""

DELAYS = {
    "ingest": (0.0, 0.3),
    "validate": (0.0, 0.3),
    "assign_ids": (0.0, 0.2),
    "join_relations": (0.0, 0.1),
    "check_integrity": (0.0, 0.05),
    "package": (0.0, 0.2),
}
"""Seconds between the first word of a stage and its death."""

CONFIG = "benchmark.yaml"


@dataclass(frozen=True)
class Digests:
    """All that a second run must give again, to the byte."""

    plan: str
    tar: str
    manifest: str
    records: dict[str, str]


def digests(lab: Lab) -> Digests:
    store = DatasetStore(lab.folder / "state", DATASET)
    records = {}
    for stage in STAGES:
        record = store.record(stage)
        assert record is not None, stage
        assert store.mismatches(record) == []
        records[stage] = record.digest
    package = store.stage("package")
    manifest = Manifest.read(package)
    plan = lab.run("plan", CONFIG, "--json").report["digest"]
    return Digests(
        plan,
        as_sent(package, manifest.tar, manifest.tables).sha256,
        digest_file(package / "manifest.json"),
        records,
    )


STAYING = {".lock", "attempts/.prepare.lock", "attempts/.publish.lock", ".digests.json"}
"""Files that stay: locks, which another process may be waiting for, and the digests that are known."""


def leftovers(lab: Lab) -> list[str]:
    """What a run that died may have left, and a run that ended must not."""
    folder = DatasetStore(lab.folder / "state", DATASET).folder
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob(".*")
        if path.relative_to(folder).as_posix() not in STAYING
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, Digests]:
    """A lab whose plan was made without any disturbance."""
    lab = Lab(tmp_path_factory.mktemp("undisturbed") / "lab", threads=2)
    write_dataset(lab.folder, ROWS, "csv", memory_limit=1_000_000_000, threads=2)
    assert lab.run("plan", CONFIG).code == 0
    return lab, digests(lab)


def copy_of(lab: Lab, folder: Path, stage: str) -> Lab:
    """The same tables and config in another folder, and of its state what is before the stage."""
    copy = Lab(folder, threads=2)
    shutil.copytree(lab.folder, folder, dirs_exist_ok=True)
    store = DatasetStore(folder / "state", DATASET)
    for later in list(STAGES)[list(STAGES).index(stage) :]:
        shutil.rmtree(store.stage(later))
    return copy


def kill_in(lab: Lab, stage: str, delay: float) -> bool:
    """Run `plan` and kill it `delay` seconds after `stage` began. Returns whether the stage was
    still under way.
    """
    with lab.start("plan", CONFIG) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if f"{stage}: started" in line:
                break
        else:
            pytest.fail(f"{stage} did not start")
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        rest = process.stderr.read()
    assert process.returncode in (-signal.SIGKILL, 0)
    return process.returncode == -signal.SIGKILL and f"{stage}: done" not in rest


@pytest.mark.parametrize("stage", STAGES)
def test_killed_in_a_stage_the_same_command_completes_with_the_same_digests(
    undisturbed: tuple[Lab, Digests], tmp_path: Path, stage: str
) -> None:
    original, expected = undisturbed
    lab = copy_of(original, tmp_path / "lab", stage)
    hits = 0
    for delay in DELAYS[stage]:
        hits += kill_in(lab, stage, delay)
        store = DatasetStore(lab.folder / "state", DATASET)
        for finished in STAGES:
            record = store.record(finished)
            assert record is None or store.mismatches(record) == [], (
                "a stage is there whole or not at all"
            )
        shutil.rmtree(
            store.stage(stage), ignore_errors=True
        )  # so that the next one dies in this stage too
    assert hits, f"no kill fell into {stage}: it needs more rows or shorter delays"

    again = lab.run("plan", CONFIG)
    assert again.code == 0, again.err
    assert f"{stage}: done" in again.err
    for earlier in list(STAGES)[: list(STAGES).index(stage)]:
        assert f"{earlier}: unchanged" in again.err
    assert digests(lab) == expected
    assert leftovers(lab) == []


def test_killed_again_and_again_wherever_it_is(
    undisturbed: tuple[Lab, Digests], tmp_path: Path
) -> None:
    """Deaths at fixed times after the start, whatever happens then: in the middle of writing, of
    renaming, of hashing.
    """
    original, expected = undisturbed
    lab = copy_of(original, tmp_path / "lab", "ingest")
    deaths = 0
    for tenths in (5, 7, 9, 11, 13, 15):
        with lab.start("plan", CONFIG) as process:
            time.sleep(tenths / 10)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        deaths += process.returncode == -signal.SIGKILL
    assert deaths >= 3
    assert lab.run("plan", CONFIG).code == 0
    assert digests(lab) == expected
    assert leftovers(lab) == []
