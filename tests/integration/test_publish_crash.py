"""Publishing and deleting, killed (SIGKILL) before and after everything they do that can be seen
from outside; then the same command again.

Belongs here: real processes that die. Does not: refusals and answers
(`unit/publishing/test_publish.py`).
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syndb_pipeline.publishing.plan import plan
from tests.campaigns import sampled
from tests.publish_lab import DATASET, Lab, lab, prepared
from tests.rest_lab import ROOT

__all__ = ["lab", "prepared"]  # fixtures

ROWS = {"axon": 3, "vesicle": 8}

# One process imports everything once; each command then runs in a child of its own, which dies at
# the step it is told, as by `kill -9`.
COMMANDS = """
import json, os, signal, sys
from pathlib import Path

from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.publishing import records
from syndb_pipeline.publishing.publish import publish
from syndb_pipeline.publishing.status import delete
from tests.publish_lab import Lab

steps = 0
die_at = None

def step():
    global steps
    if steps == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
    steps += 1

def mortal(owner, name):
    function = getattr(owner, name)
    def call(*args, **kwargs):
        step()
        result = function(*args, **kwargs)
        step()
        return result
    setattr(owner, name, call)

for name in ("register", "upload", "put_file", "compare", "delete"):
    mortal(EmbeddedNode, name)
mortal(records.PublishRecords, "note")
mortal(records, "write_atomically")

for line in sys.stdin:
    command, folder, digest, die_at = json.loads(line)
    child = os.fork()
    if child == 0:
        lab = Lab(Path(folder))
        if command == "publish":
            publish(lab.context, digest)
        else:
            delete(lab.context.settings, lab.context.dataset, lab.node, "Guide example")
        (lab.root / "steps").write_text(str(steps))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


@pytest.fixture
def run() -> Iterator[Callable[..., int]]:
    """Run a command on a lab, to its end or to its death; returns the exit code."""
    with subprocess.Popen(
        [sys.executable, "-c", COMMANDS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as commands:
        assert commands.stdin is not None and commands.stdout is not None

        def command(lab: Lab, what: str, die_at: int | None = None) -> int:
            digest = plan(lab.context).digest
            asked = json.dumps([what, str(lab.root), digest, die_at])
            print(asked, file=commands.stdin, flush=True)
            return int(commands.stdout.readline())

        yield command
        commands.stdin.close()


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
    digest = plan(lab.context).digest
    # Approval, nine journal lines, register, upload, two files, read-back, receipt.
    for step, copy in killed(lab, run, "publish", tmp_path, at_least=20):
        seen = copy.node.info(DATASET)
        assert seen is None or seen.rows in ({}, ROWS), "a reader never sees a part"
        assert run(copy, "publish") == 0
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
