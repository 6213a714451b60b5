"""A small lab for the Dagster tests: a good dataset, a bad one, one that waits for approval.

Belongs here: writing files and starting jobs. Does not: any assertion.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from syndb_pipeline.config.settings import PipelineSettings, load_settings
from syndb_pipeline.orchestration.definitions import own_defs
from syndb_pipeline.orchestration.operating.home import dagster_home
from syndb_pipeline.orchestration.resources import PipelineResource
from syndb_pipeline.orchestration.scope import add_partition
from tests.shortcuts import log_without_waiting

log_without_waiting()

IDS = {
    name: f"01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a{number:02d}"
    for number, name in enumerate(("good", "bad", "manual", "elsewhere"))
}
VESICLES = 300
ORPHANS = len(range(0, VESICLES, 7))

CONFIG = """\
dataset:
  id: {id}
  label: {name} vesicles
  animal: DROSOPHILA_MELANOGASTER
  microscopy: ssTEM
  brain_regions: [{{structure: hippocampus}}]
tables:
  neuron: {{file: {name}/neuron.csv}}
  axon: {{file: {name}/axon.csv}}
  vesicle: {{file: {name}/vesicle.csv, parent: axon}}
terms: {{accepted_by: Ada, accepted_on: 2026-11-23, accurate: true, redistributable: true, license_agreed: true}}
publish: {{destination: local, approval: {approval}}}
{more}
"""


def free_port() -> int:
    """One that another test has not."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Lab:
    """A folder with `pipeline.yaml`, dataset configs and tables."""

    root: Path

    @property
    def pipeline_file(self) -> Path:
        return self.root / "pipeline.yaml"

    @property
    def settings(self) -> PipelineSettings:
        return load_settings(self.pipeline_file)

    @property
    def pipeline(self) -> PipelineResource:
        return PipelineResource(pipeline_file=str(self.pipeline_file))

    def config(self, name: str) -> Path:
        return self.root / "datasets" / f"{name}.yaml"

    def table(self, name: str, table: str) -> Path:
        return self.root / "datasets" / name / f"{table}.csv"

    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.local_temp(str(dagster_home(self.settings)))

    def add(
        self,
        name: str,
        *,
        folder: Path | None = None,
        bad: bool = False,
        approval: str = "manual",
        more: str = "",
    ) -> Path:
        """Write a dataset: 20 neurons, 50 axons, 300 vesicles; `bad` breaks a parent in every
        seventh vesicle and one radius.
        """
        folder = folder or self.root / "datasets"
        (folder / name).mkdir(parents=True)
        neurons = [f"n{i},bipolar,{1e11 + i}" for i in range(20)]
        axons = [f"{i},n{i % 20},{1e8 + i}" for i in range(50)]
        vesicles = [
            f"v{i},{'1.0' if bad and i % 7 == 0 else i % 50},{-5 if bad and i == 3 else 20.5},glutamate"
            for i in range(VESICLES)
        ]
        for table, header, rows in (
            ("neuron", "cid,polarity,voxel_volume", neurons),
            ("axon", "cid,parent_id,voxel_volume", axons),
            ("vesicle", "cid,parent_id,voxel_radius,neurotransmitter", vesicles),
        ):
            (folder / name / f"{table}.csv").write_text("\n".join([header, *rows]) + "\n")
        config = folder / f"{name}.yaml"
        config.write_text(
            CONFIG.format(id=IDS.get(name, IDS["good"]), name=name, approval=approval, more=more)
        )
        return config

    def run(
        self,
        instance: dg.DagsterInstance,
        job: str,
        name: str | None,
        *,
        assets: list[str] | None = None,
        config: dict[str, Any] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Run a job as the UI would, on some of its assets if told so."""
        if name:
            add_partition(instance, name)
        return (
            own_defs(self.pipeline_file)
            .resolve_job_def(job)
            .execute_in_process(
                instance=instance,
                partition_key=name,
                asset_selection=[dg.AssetKey(asset) for asset in assets] if assets else None,
                run_config=config,
                raise_on_error=False,
            )
        )


def make_lab(root: Path) -> Lab:
    """An empty lab in `root`."""
    (root / "datasets").mkdir(parents=True)
    (root / "pipeline.yaml").write_text(
        "state: state\ndatasets: datasets\nmemory_limit: 1GB\nthreads: 2\n"
    )
    return Lab(root)


def cells(markdown: object) -> list[dict[str, str]]:
    """The rows of a table in Markdown, by the names of its columns; for cells without the sign
    `|`.
    """
    header, _, *lines = (line[1:-1].split("|") for line in str(markdown).splitlines())
    return [dict(zip(header, line, strict=True)) for line in lines]


def failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Message of each failed step, as the run page shows it, stack included."""
    return {
        event.step_key or "": str(event.step_failure_data.error)
        for event in result.all_events
        if event.is_step_failure and event.step_failure_data.error
    }
