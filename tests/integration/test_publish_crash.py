"""Publishing and deleting, killed (SIGKILL) before and after everything they do that can be seen
from outside; then the same command again.

Belongs here: real processes that die. Does not: refusals and answers
(`unit/publishing/test_publish.py`).
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syndb_pipeline.publishing.overview import overview
from syndb_pipeline.state.registry import register
from tests.campaigns import sampled
from tests.forks import Forks
from tests.publish_lab import DATASET, Lab, die_in, import_all, lab, prepared

__all__ = ["lab", "prepared"]  # fixtures

ROWS = {"axon": 3, "vesicle": 8}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Run a command on a lab, to its end or to its death; returns the exit code."""
    forks = Forks(import_all, dict(os.environ))

    def run(lab: Lab, what: str, die_at: int = -1) -> int:
        asked = {"root": str(lab.root), "what": what, "digest": lab.digest, "die_at": die_at}
        return forks.start(die_in, tmp_path, tmp_path / "output", **asked).wait()

    yield run
    forks.close()


def killed(
    lab: Lab, run: Callable[..., int], what: str, folder: Path, at_least: int
) -> Iterator[tuple[int, Lab]]:
    """A copy of the lab for each step of the command, or for some of them, killed there."""

    def copied() -> Lab:
        shutil.rmtree(folder / "copy", ignore_errors=True)
        shutil.copytree(lab.root, folder / "copy")
        return Lab(folder / "copy")

    whole = copied()
    assert run(whole, what) == 0
    steps = int((whole.root / "steps").read_text())
    assert steps >= at_least, "each before and after"
    for step in sampled(f"{what}, killed", range(steps), 8):
        copy = copied()
        assert run(copy, what, step) == -signal.SIGKILL
        yield step, copy


def test_publishing_killed_at_every_step_completes_with_nothing_twice(
    lab: Lab, run: Callable[..., int], tmp_path: Path
) -> None:
    digest = lab.digest
    # Approval, nine journal lines, register, upload, two files, read-back, receipt.
    for step, copy in killed(lab, run, "publish", tmp_path, at_least=20):
        seen = copy.node.info(DATASET)
        assert seen is None or seen.rows in ({}, ROWS), "a reader never sees a part"
        settings = copy.context.settings
        register(settings, copy.root / "guide.yaml")
        sending = any(line.step == "upload" for line in copy.records.journal())
        [line] = overview(settings)
        if copy.records.receipt():
            assert line.state == "published"
        elif sending and copy.records.last(digest, "local", "upload", "done") is None:
            assert line.state == "unknown", line
        else:
            assert line.state in ("failed", "unpublished"), line
        assert run(copy, "publish") == 0
        assert [each.state for each in overview(settings)] == ["published"]
        info = copy.info()
        found = (info.rows, info.number_of_units, len(info.uploads or ()))
        assert found == (ROWS, 11, 1), f"killed at step {step}"
        assert len(copy.node.stored(DATASET)) == 2
        receipt = copy.records.receipt()
        assert receipt is not None and receipt == copy.records.receipt(digest)
        assert {check.missing for check in receipt.tables.values()} == {0}
        assert len(copy.records.approvals()) == 1
        journal = copy.records.journal()
        starts = [line.step for line in journal if line.state == "start"]
        assert starts.count("upload") <= 2
        assert {line.step for line in journal} >= {"upload", "read-back", "receipt"}


def test_deleting_killed_at_every_step_completes_with_one_tombstone(
    lab: Lab, run: Callable[..., int], tmp_path: Path
) -> None:
    assert run(lab, "publish") == 0
    for _, copy in killed(lab, run, "delete", tmp_path, at_least=6):
        again = run(copy, "delete")
        settled = [line for line in copy.records.journal() if line.step == "delete"][-1]
        # Killed after the last line was written, the deletion was complete: there is nothing to
        # delete any more.
        assert again == 0 or settled.state == "done"
        assert copy.node.info(DATASET) is None
        [tombstone] = copy.records.tombstones()
        assert tombstone.deletion.rows == ROWS
        assert copy.node.deletions(DATASET) == (tombstone.deletion,)
