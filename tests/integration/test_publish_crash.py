"""Publishing and deleting, killed (SIGKILL) before and after everything they do that can be seen
from outside; then the same command again.

Belongs here: real processes that die. Does not: refusals and answers
(`unit/stages/test_publish.py`).
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.destinations import load_settings, open_destination
from syndb_pipeline.publishing.plan import plan
from syndb_pipeline.publishing.records import PublishRecords
from syndb_pipeline.stages import runner
from syndb_pipeline.state.stage import Context
from tests.meshes import small_mesh

ROOT = Path(__file__).resolve().parents[2]
DATASET = UUID("01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11")
PIPELINE = (
    "state: state\nmemory_limit: 600MB\nthreads: 1\ndestinations:\n  local: {kind: embedded, path:"
    " node, owner: ada}\n"
)
CONFIG = f"""\
dataset:
  id: {DATASET}
  label: Guide example
  animal: DROSOPHILA_MELANOGASTER
  microscopy: ssTEM
  brain_regions: [{{structure: hippocampus}}]
tables:
  axon: {{file: axon.csv}}
  vesicle: {{file: vesicle.csv, parent: axon}}
terms: {{accepted_by: Ada, accepted_on: 2026-11-23, accurate: true, redistributable: true, license_agreed: true}}
"""

# One process imports everything once; each command then runs in a child of its own, which dies at
# the step it is told, as by `kill -9`.
COMMANDS = """
import json, os, signal, sys
from pathlib import Path
from uuid import UUID

from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.publishing import records
from syndb_pipeline.config.settings import load_dataset, load_settings
from syndb_pipeline.publishing.publish import publish
from syndb_pipeline.publishing.status import delete
from syndb_pipeline.state.stage import Context

steps = 0
die_at = None

def step():
    global steps
    if steps == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
    steps += 1

def mortal(function):
    def call(*args, **kwargs):
        step()
        result = function(*args, **kwargs)
        step()
        return result
    return call

class MortalNode(EmbeddedNode):
    pass

for name in ("register", "upload", "put_file", "compare", "delete"):
    setattr(MortalNode, name, mortal(getattr(EmbeddedNode, name)))
records.PublishRecords.note = mortal(records.PublishRecords.note)
records.write_atomically = mortal(records.write_atomically)

def run(command, folder, digest):
    context = Context(load_dataset(folder / "guide.yaml"), load_settings(folder / "pipeline.yaml"))
    node = MortalNode("local", folder / "state" / "node", owner="ada", memory_limit=600_000_000, threads=1)
    if command == "publish":
        publish(context, digest, destination=node)
    else:
        delete(context.settings, context.dataset, node, "Guide example")

for line in sys.stdin:
    command, folder, digest, die_at = json.loads(line)
    child = os.fork()
    if child == 0:
        run(command, Path(folder), digest)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class Lab:
    """A lab's folder and a process that runs commands on copies of it."""

    def __init__(self, root: Path, commands: subprocess.Popen[str]) -> None:
        self.root = root
        self.commands = commands
        self.context = Context(
            load_dataset(root / "guide.yaml"), load_settings(root / "pipeline.yaml")
        )

    def copy(self, to: Path) -> Lab:
        shutil.copytree(self.root, to)
        return Lab(to, self.commands)

    def run(self, command: str, digest: str, die_at: int | None = None) -> int:
        assert self.commands.stdin is not None and self.commands.stdout is not None
        self.commands.stdin.write(json.dumps([command, str(self.root), digest, die_at]) + "\n")
        self.commands.stdin.flush()
        return int(self.commands.stdout.readline())

    @property
    def node(self) -> Any:
        return open_destination(self.context.settings, "local")

    @property
    def records(self) -> PublishRecords:
        return PublishRecords(self.context.store)


@pytest.fixture
def lab(tmp_path: Path) -> Any:
    root = tmp_path / "lab"
    root.mkdir()
    (root / "pipeline.yaml").write_text(PIPELINE)
    (root / "guide.yaml").write_text(CONFIG)
    for name in ("one", "two"):
        (root / f"{name}.glb").write_bytes(small_mesh(name))
    (root / "axon.csv").write_text(
        "cid,voxel_volume,mesh_path\n1,1e8,one.glb\n2,2e8,two.glb\n4,3e8,\n"
    )
    parents = (1, 1, 1, 1, 1, 2, 2, 4)
    (root / "vesicle.csv").write_text(
        "cid,parent_id\n" + "".join(f"{n},{parent}\n" for n, parent in enumerate(parents))
    )
    with subprocess.Popen(
        [sys.executable, "-c", COMMANDS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as commands:
        made = Lab(root, commands)
        with made.context.store.lock():
            list(runner.run_through(made.context, "package"))
        yield made
        assert commands.stdin is not None
        commands.stdin.close()


def test_publishing_killed_at_every_step_completes_with_nothing_twice(
    lab: Lab, tmp_path: Path
) -> None:
    current = plan(lab.context)
    died = 0
    for step in range(100):
        copy = lab.copy(tmp_path / f"killed-{step}")
        ended = copy.run("publish", current.digest, die_at=step)
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
        died += 1
        seen = copy.node.info(DATASET)
        assert seen is None or seen.rows in (
            {},
            {"axon": 3, "vesicle": 8},
        ), "a reader never sees a part"
        assert copy.run("publish", current.digest) == 0
        info = copy.node.info(DATASET)
        assert (info.rows, info.number_of_units, len(info.uploads)) == (
            {"axon": 3, "vesicle": 8},
            11,
            1,
        ), f"killed at step {step}"
        assert copy.node.files(DATASET).count == 2
        receipt = copy.records.receipt()
        assert (
            receipt is not None
            and receipt.plan == current.digest
            and receipt == copy.records.receipt(current.digest)
        )
        assert {check.missing for check in receipt.tables.values()} == {0}
        assert len(copy.records.approvals()) == 1
        starts = [line.step for line in copy.records.journal() if line.state == "start"]
        assert starts.count("upload") <= 2 and {line.step for line in copy.records.journal()} >= {
            "upload",
            "read-back",
            "receipt",
        }
        shutil.rmtree(copy.root)
    assert died >= 20, (
        "approval, nine journal lines, register, upload, two files, read-back, receipt: each before"
        " and after"
    )


def test_deleting_killed_at_every_step_completes_with_one_tombstone(
    lab: Lab, tmp_path: Path
) -> None:
    assert lab.run("publish", plan(lab.context).digest) == 0
    died = 0
    for step in range(40):
        copy = lab.copy(tmp_path / f"killed-{step}")
        ended = copy.run("delete", "", die_at=step)
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
        died += 1
        again = copy.run("delete", "")
        settled = [line for line in copy.records.journal() if line.step == "delete"][-1]
        # Killed after the last line was written, the deletion was complete: there is nothing to
        # delete any more.
        assert again == 0 or (copy.node.info(DATASET) is None and settled.state == "done")
        assert copy.node.info(DATASET) is None
        [tombstone] = copy.records.tombstones()
        assert tombstone.deletion.rows == {"axon": 3, "vesicle": 8}
        assert copy.node.deletions(DATASET) == (tombstone.deletion,)
        shutil.rmtree(copy.root)
    assert died >= 6
