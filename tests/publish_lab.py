"""A small prepared dataset for tests of publishing: the real stages have run, into a real node."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest

from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.destinations import load_settings, open_destination
from syndb_pipeline.destinations.base import DatasetInfo
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.publishing import records
from syndb_pipeline.publishing.plan import approve, plan
from syndb_pipeline.publishing.publish import publish
from syndb_pipeline.publishing.records import PublishRecords
from syndb_pipeline.publishing.status import delete
from syndb_pipeline.stages import runner
from syndb_pipeline.state.stage import Context
from tests.meshes import small_mesh

Node = TypeVar("Node", bound=EmbeddedNode)

DATASET = UUID("01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11")
PIPELINE = """\
state: state
memory_limit: 600MB
threads: 1
destinations:
  local: {kind: embedded, path: node, owner: ada}
"""
CONFIG = """\
dataset:
  id: 01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11
  label: Guide example
  animal: DROSOPHILA_MELANOGASTER
  microscopy: ssTEM
  brain_regions: [{structure: hippocampus}]
tables:
  axon: {file: axon.csv}
  vesicle: {file: vesicle.csv, parent: axon}
terms: {accepted_by: Ada, accepted_on: 2026-11-23, accurate: true, redistributable: true, license_agreed: true}
publish: {destination: local, approval: manual}
"""


@dataclass(frozen=True)
class Lab:
    """A lab's folder: two tables, two meshes, a config."""

    root: Path

    @property
    def context(self) -> Context:
        return Context(
            load_dataset(self.root / "guide.yaml"), load_settings(self.root / "pipeline.yaml")
        )

    @property
    def node(self) -> EmbeddedNode:
        node = open_destination(self.context.settings, "local")
        assert isinstance(node, EmbeddedNode)
        return node

    @property
    def records(self) -> PublishRecords:
        return PublishRecords(self.context.store)

    @property
    def digest(self) -> str:
        """The plan's, as it is now."""
        return plan(self.context).digest

    def info(self) -> DatasetInfo:
        info = self.node.info(DATASET)
        assert info is not None
        return info

    def prepare(self) -> Lab:
        context = self.context
        with context.store.lock():
            list(runner.run_through(context, "package"))
        return self

    def edit(self, name: str, old: str, new: str) -> Lab:
        path = self.root / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        return self

    def at(self, kind: type[Node], **attributes: Any) -> Node:
        """The lab's node as another kind of it, which counts each upload as SynDB does."""
        node = kind(
            "local",
            self.node.folder,
            owner="ada",
            repeats="counted",
            memory_limit=600_000_000,
            threads=1,
        )
        for name, value in attributes.items():
            setattr(node, name, value)
        return node

    def publish(self, to: EmbeddedNode | type[EmbeddedNode] | None = None, **options: Any) -> Any:
        """Publish what was approved, to the lab's node or another kind of it."""
        node = self.at(to) if isinstance(to, type) else to
        return publish(self.context, destination=node, **options)

    def send(self, to: EmbeddedNode | type[EmbeddedNode] | None = None, **options: Any) -> Any:
        """`publish`, with this plan approved by the command."""
        return self.publish(to, approve=self.digest, **options)

    def copy(self, root: Path) -> Lab:
        """The lab in another folder, whose config is the dataset's then."""
        shutil.copytree(self.root, root)
        for config in (root / "state" / "datasets").glob("*/config.json"):
            config.unlink()
        return Lab(root)

    def approved(self) -> Lab:
        context = self.context
        current = plan(context)
        approve(context, current, current.digest, "Ada", "prompt")
        return self


def die_in(root: str, what: str, digest: str, die_at: int) -> None:
    """Publish or delete, and die at that step; how many there were is in the file `steps`."""
    steps = 0

    def step() -> None:
        nonlocal steps
        if steps == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        steps += 1

    def make_mortal(owner: Any, name: str) -> None:
        function = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            step()
            result = function(*args, **kwargs)
            step()
            return result

        setattr(owner, name, call)

    for name in ("register", "upload", "put_file", "compare", "delete"):
        make_mortal(EmbeddedNode, name)
    make_mortal(records.PublishRecords, "note")
    make_mortal(records, "write_atomically")
    lab = Lab(Path(root))
    if what == "publish":
        lab.publish(approve=digest)
    else:
        delete(lab.context.settings, DATASET, lab.node, "Guide example")
    (lab.root / "steps").write_text(str(steps))


def import_all() -> None:
    """To have imported this module is all that `die_in` needs."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    root = tmp_path_factory.mktemp("prepared")
    (root / "pipeline.yaml").write_text(PIPELINE)
    (root / "guide.yaml").write_text(CONFIG)
    (root / "one.glb").write_bytes(small_mesh("one"))
    (root / "two.glb").write_bytes(small_mesh("two"))
    (root / "axon.csv").write_text(
        "cid,voxel_volume,mesh_path\n1,1e8,one.glb\n2,2e8,two.glb\n4,3e8,\n"
    )
    parents = (1, 1, 1, 1, 1, 2, 2, 4)
    (root / "vesicle.csv").write_text(
        "cid,parent_id,voxel_radius\n"
        + "".join(f"{n},{parent},20.5\n" for n, parent in enumerate(parents))
    )
    return Lab(root).prepare()


@pytest.fixture
def lab(prepared: Lab, tmp_path: Path) -> Lab:
    return prepared.copy(tmp_path / "lab")
