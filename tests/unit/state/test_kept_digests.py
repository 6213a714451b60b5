"""Digests known from earlier: what a run believes of them, what publishing never does, and
tampering that is noticed.

Belongs here: whole runs and publishing, with kept digests that lie. Does not: when a digest is
known (`tests/unit/test_digests.py`).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from syndb_pipeline.base import digests
from syndb_pipeline.base.errors import ApprovalError, Exit
from syndb_pipeline.publishing.plan import plan
from syndb_pipeline.stages import runner
from tests.command_line import Lab as CommandLab
from tests.publish_lab import DATASET, Lab, lab, prepared

__all__ = ["lab", "prepared"]

CHANGED = {
    "a lab file": "vesicle.csv",
    "a mesh": "one.glb",
    "a table ingest read": f"state/datasets/{DATASET}/ingest/tables/axon.parquet",
    "the ids": f"state/datasets/{DATASET}/assign_ids/ids/axon.parquet",
    "the manifest": f"state/datasets/{DATASET}/package/manifest.json",
    "a table of the package": f"state/datasets/{DATASET}/package/tables/axon.parquet",
}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def flip_unseen(path: Path) -> tuple[list[int], str]:
    """Change a byte of the file as on a file system that shows no trace of it: its stamp of now
    stands for its content of before.
    """
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    flip(path)
    status = path.stat()
    return [
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    ], before


@pytest.mark.parametrize("name", CHANGED.values(), ids=CHANGED)
def test_publishing_believes_no_kept_digest(lab: Lab, name: str) -> None:
    lab.approved()
    context = lab.context
    with context.store.lock():
        stamp, before = flip_unseen(lab.root / name)
        digests._remember(tuple(stamp), before)
        assert digests.digest_file(lab.root / name) == before  # deceived
        for options in ({}, {"approve": lab.records.approvals()[0].digest}):
            with pytest.raises(ApprovalError) as refused:
                lab.publish(**options)
            assert refused.value.exit == Exit.APPROVAL
    assert lab.node.info(DATASET) is None


def test_publishing_reads_every_byte_before_it_sends(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.approved()
    context, read = lab.context, set()
    real = hashlib.file_digest

    def spy(file: Any, name: str) -> Any:
        if hasattr(file, "name"):  # a file, not the tar that they make together
            read.add(Path(file.name).resolve())
        return real(file, name)

    with context.store.lock():
        time.sleep(0.15)
        plan(context)  # all digests are known now
        monkeypatch.setattr(digests.hashlib, "file_digest", spy)
        plan(context)
        assert read == set()
        lab.publish()
    outputs = {
        (context.store.stage(stage) / name).resolve()
        for stage in runner.STAGES
        for name in (context.store.record(stage) or pytest.fail(stage)).outputs
    }
    assert {
        (lab.root / name).resolve() for name in ("axon.csv", "vesicle.csv", "one.glb", "two.glb")
    } | outputs <= read


TABLES = {"axon": {"file": "axon.csv"}, "vesicle": {"file": "vesicle.csv", "parent": "axon"}}
TAMPERED = {
    "ingest/tables/axon.parquet": (b"voxel_volume", b"vowel_volume"),
    "ingest/sources.json": (b'"first_line": 2', b'"first_line": 3'),
    "join_relations/relations/vesicle.parquet": (b"parent_id", b"parent_ib"),
}


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> CommandLab:
    """A lab on the command line, checked and approved."""
    lab = CommandLab(tmp_path_factory.mktemp("checked"))
    (lab.folder / "axon.csv").write_text("cid,voxel_volume\n1,1e8\n2,2e8\n")
    (lab.folder / "vesicle.csv").write_text("cid,parent_id,voxel_radius\n1,1,20.5\n2,2,20.5\n")
    lab.config("guide", str(DATASET), TABLES)
    assert lab.run("check", "guide.yaml").code == 0
    return lab


def test_an_output_tampered_with_after_a_run_is_noticed_by_the_next_check(
    checked: CommandLab,
) -> None:
    home = checked.store(str(DATASET))
    whole = {name: (home / name).read_bytes() for name in TAMPERED}
    for name, (old, new) in TAMPERED.items():
        path, times = home / name, (home / name).stat()
        assert old in whole[name]
        with path.open("r+b") as same:
            same.write(whole[name].replace(old, new))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert checked.run("check", "guide.yaml").code == 0
        assert path.read_bytes() == whole[name], name


def test_publishing_from_the_command_line_believes_no_kept_digest(checked: CommandLab) -> None:
    """The lie lies in the file of kept digests, so that it outlives the process."""
    approved = checked.run("plan", "guide.yaml", "--json")
    assert approved.code == 0
    digest = approved.report["digest"]
    home = checked.store(str(DATASET))
    kept = json.loads((home / ".digests.json").read_text())
    (home / ".digests.json").write_text(
        json.dumps([*kept, flip_unseen(home / "package" / "tables" / "axon.parquet")])
    )
    assert checked.run("plan", "guide.yaml", "--json").report["digest"] == digest  # deceived
    refused = checked.run("publish", "guide.yaml", "--approve", digest)
    assert (refused.code, checked.node().info(DATASET)) == (4, None)
    assert "package/tables/axon.parquet" in refused.err
