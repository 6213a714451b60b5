"""Everything Dagster shows, put together; nothing is read but configs, and only when the
definitions are loaded.

Belongs here: assembling. Does not: any definition.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from syndb_pipeline.orchestration.assets import ASSETS
from syndb_pipeline.orchestration.checks import CHECKS
from syndb_pipeline.orchestration.jobs import JOBS
from syndb_pipeline.orchestration.operating.prune import prune_job, prune_schedule
from syndb_pipeline.orchestration.resources import PipelineResource
from syndb_pipeline.orchestration.unattended.datasets import datasets
from syndb_pipeline.orchestration.unattended.notices import notices
from syndb_pipeline.orchestration.unattended.sensors import SENSORS
from syndb_pipeline.stages.runner import STAGES


def build_defs(
    pipeline_file: Path | None = None,
    *,
    resources: Mapping[str, object] | None = None,
    loggers: Mapping[str, dg.LoggerDefinition] | None = None,
    automation: dg.AutomationCondition[Any] | None = None,
) -> dg.Definitions:
    """All definitions for the pipeline that `pipeline_file` describes; found as the command line
    finds it when left out.

    `resources` and `loggers` replace ours of the same name. With `automation` the stages from
    validate on follow by themselves whenever it holds, e.g. `AutomationCondition.eager()`; ingest
    is left to sensors and people, publish to jobs. No config is read here: what is wrong with one
    is shown by the sensor `discover_datasets` at each tick.
    """

    def automated(spec: dg.AssetSpec) -> dg.AssetSpec:
        stage = STAGES.get(spec.key.to_user_string())
        follows = stage is not None and stage.after
        return spec.replace_attributes(automation_condition=automation) if follows else spec

    every = [*ASSETS, datasets]
    return dg.Definitions(
        assets=dg.map_asset_specs(automated, every) if automation else every,
        asset_checks=CHECKS,
        jobs=[*JOBS, prune_job],
        sensors=[*SENSORS, notices],
        schedules=[prune_schedule],
        resources={
            "pipeline": PipelineResource(
                pipeline_file=str(pipeline_file) if pipeline_file else None
            )
        }
        | dict(resources or {}),
        loggers=loggers,
        # Steps share the run's process: starting one for each step takes longer than most steps,
        # and DuckDB uses the cores by itself.
        executor=dg.in_process_executor,
    )
