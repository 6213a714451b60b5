"""What distinguishes one set of our definitions from another in the same code location: its names,
its partitions, and what it follows.

Belongs here: the names that keep sets apart, and keeping partitions in step with the configs. Does
not: making definitions (`definitions.py`) or reading configs (`resources.py`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import dagster as dg

GROUP = "syndb"
OWNERS = ["team:data-engineering"]

DATASETS = dg.DynamicPartitionsDefinition(name="dataset")
"""A partition is a dataset; its key is the dataset's name, the stem of its config file."""


LOCATION = "dagster_defs"
"""Name of our own deployment's code in every workspace: runs keep their place whoever serves the
UI.
"""


@dataclass(frozen=True, eq=False)
class Scope:
    """One set of assets, checks, jobs and sensors. `build_defs` says what its fields mean.

    Names of jobs, ops, sensors and the resource begin with the prefix; without one they are those
    of our own deployment.
    """

    prefix: Sequence[str] = ()
    group: str = GROUP
    owners: Sequence[str] = field(default_factory=lambda: [*OWNERS])
    deps: Sequence[dg.AssetKey] = ()
    partitions_def: dg.PartitionsDefinition[Any] | None = DATASETS
    executor: dg.ExecutorDefinition = dg.in_process_executor
    automation_condition: dg.AutomationCondition[Any] | None = None
    with_sensors: bool = True
    with_schedules: bool = True
    tables: Mapping[str, dg.AssetKey] = field(default_factory=dict)
    publishes: bool = False

    def key(self, asset: str) -> dg.AssetKey:
        """The key of the asset called `asset` in our own deployment."""
        return dg.AssetKey([*self.prefix, asset])

    def named(self, name: str) -> str:
        """The name of the job, op, sensor or resource called `name` in our own deployment."""
        return "_".join(re.sub(r"\W", "_", part) for part in (*self.prefix, name))

    def page(self, asset: str, dataset: str) -> str:
        """Where a UI shows what happened to an asset, below its address."""
        path = "/".join(map(quote, self.key(asset).path))
        partition = f"&partition={quote(dataset)}" if self.partitions_def else ""
        return f"/assets/{path}?view=events{partition}"

    @property
    def follows_configs(self) -> bool:
        """Whether partitions come and go with the configs."""
        return isinstance(self.partitions_def, dg.DynamicPartitionsDefinition)

    def known(self, instance: dg.DagsterInstance) -> set[str]:
        """The names of datasets that are partitions."""
        if isinstance(self.partitions_def, dg.DynamicPartitionsDefinition):
            return {*instance.get_dynamic_partitions(str(self.partitions_def.name))}
        return {*self.partitions_def.get_partition_keys()} if self.partitions_def else set()

    def changes(
        self, known: Collection[str], wanted: Collection[str]
    ) -> list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest]:
        """What a sensor asks of Dagster so that the `known` partitions become the `wanted` ones;
        nothing where they are fixed."""
        added, gone = sorted({*wanted} - {*known}), sorted({*known} - {*wanted})
        dynamic = self.partitions_def
        requests: list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest] = []
        if isinstance(dynamic, dg.DynamicPartitionsDefinition) and added:
            requests.append(dynamic.build_add_request(added))
        if isinstance(dynamic, dg.DynamicPartitionsDefinition) and gone:
            requests.append(dynamic.build_delete_request(gone))
        return requests

    @property
    def row_count(self) -> str:
        """Where Dagster looks for the rows of what a run made."""
        return f"dagster/{'partition_' if self.partitions_def else ''}row_count"

    @property
    def follows(self) -> bool:
        """Whether ingest comes after assets that are not ours."""
        return bool(self.deps or self.tables)

    @property
    def resource(self) -> str:
        """The key of our resource."""
        return self.named("pipeline")


OWN = Scope()
"""That of our own deployment."""


def add_partition(instance: dg.DagsterInstance, name: str) -> None:
    """Make `name` a partition of `instance`; nothing happens when it is one."""
    instance.add_dynamic_partitions("dataset", [name])
