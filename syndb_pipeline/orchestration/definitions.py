"""Everything Dagster shows, put together; nothing is read but configs, and only when the
definitions are loaded.

Belongs here: assembling, for other projects and for our own deployment. Does not: any definition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.orchestration.assets import assets
from syndb_pipeline.orchestration.checks import checks
from syndb_pipeline.orchestration.jobs import jobs
from syndb_pipeline.orchestration.operating.prune import prune_job, prune_schedule
from syndb_pipeline.orchestration.resources import PipelineResource, SynDBResource
from syndb_pipeline.orchestration.scope import DATASETS, GROUP, OWN, OWNERS, Scope
from syndb_pipeline.orchestration.unattended.datasets import datasets
from syndb_pipeline.orchestration.unattended.sensors import sensors


def build_defs(
    *,
    prefix: str | Sequence[str] = (),
    group: str = GROUP,
    deps: Sequence[dg.AssetKey | str | Sequence[str]] = (),
    partitions_def: dg.PartitionsDefinition[Any] | None = DATASETS,
    executor: dg.ExecutorDefinition | None = None,
    resources: Mapping[str, object] | None = None,
    owners: Sequence[str] = OWNERS,
    automation_condition: dg.AutomationCondition[Any] | None = None,
    with_sensors: bool = True,
    with_schedules: bool = True,
) -> dg.Definitions:
    """Assets, checks and jobs for another Dagster project, to be merged with its own.

    No config is read here: what is wrong with one is shown by the run, or the sensor, that reads
    it.

    Args:
        prefix: Of every asset key; names of jobs, ops and our resource begin with it. Two sets in
            one code location need different ones.
        group: Asset group.
        deps: Assets that ingest comes after, beside those that hand it tables, such as one that
            writes a file. A key may be text, `segmentation/neurons`.
        partitions_def: Keys are names of datasets. Left out, those of the pipeline's configs; there
            are none where the resource names its dataset.
        executor: Of our jobs. Left out, steps share the run's process: starting one for each takes
            longer than most steps, and DuckDB uses the cores by itself. What people materialize
            without a job has the executor of the project.
        resources: `pipeline` is ours, a `SynDBResource`; others are passed on as they are.
        owners: Of the assets.
        automation_condition: When stages follow by themselves, e.g. `AutomationCondition.eager()`:
            those from validate on, ingest where it comes after assets of yours, and publish where
            the resource has `approval: standing`; else it is left to jobs.
        with_sensors: Whether there are the sensors that find datasets, watch their files and notify
            people.
        with_schedules: Whether a sensor keeps each dataset's `schedule`.

    Returns:
        The definitions, without an executor of their own.
    """
    path = (prefix,) if isinstance(prefix, str) else tuple(prefix)
    resource = (resources or {}).get("pipeline") or SynDBResource()
    if not isinstance(resource, SynDBResource):
        raise ConfigError("resources: `pipeline` is a SynDBResource; give yours another name.")
    if resource.names_dataset and partitions_def is DATASETS:
        partitions_def = None
    elif path and partitions_def is DATASETS:  # else each set would take the other's away
        partitions_def = dg.DynamicPartitionsDefinition(name="_".join([*path, "dataset"]))
    scope = Scope(
        prefix=path,
        group=group,
        owners=owners,
        deps=[_key(each) for each in deps],
        partitions_def=partitions_def,
        executor=executor or dg.in_process_executor,
        automation_condition=automation_condition,
        tables={name: _key(key) for name, key in resource.tables.items()},
        publishes=resource.approval == "standing",
        with_sensors=with_sensors,
        with_schedules=with_schedules,
    )
    return _definitions(scope, {**(resources or {}), "pipeline": resource})


def _key(key: dg.AssetKey | str | Sequence[str]) -> dg.AssetKey:
    if isinstance(key, dg.AssetKey):
        return key
    return dg.AssetKey.from_user_string(key) if isinstance(key, str) else dg.AssetKey(key)


def own_defs(
    pipeline_file: Path | None = None,
    *,
    loggers: Mapping[str, dg.LoggerDefinition] | None = None,
    automation_condition: dg.AutomationCondition[Any] | None = None,
) -> dg.Definitions:
    """All definitions of our own deployment, for the pipeline that `pipeline_file` describes; found
    as the command line finds it when left out.
    """
    condition = automation_condition
    scope = replace(OWN, automation_condition=condition) if condition else OWN
    own = dg.Definitions(
        jobs=[prune_job], schedules=[prune_schedule], loggers=loggers, executor=scope.executor
    )
    resource = PipelineResource(pipeline_file=str(pipeline_file) if pipeline_file else None)
    return dg.Definitions.merge(_definitions(scope, {"pipeline": resource}), own)


def _definitions(scope: Scope, resources: Mapping[str, object]) -> dg.Definitions:
    return dg.Definitions(
        assets=[*assets(scope), *([datasets(scope)] if scope.follows_configs else [])],
        asset_checks=checks(scope),
        jobs=[*jobs(scope).values()],
        sensors=sensors(scope),
        resources={
            scope.resource if key == "pipeline" else key: each for key, each in resources.items()
        },
    )
