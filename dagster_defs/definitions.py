"""Everything Dagster shows, put together; nothing is read but configs, and only when the
definitions are loaded.

Belongs here: assembling. Does not: any definition.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from dagster_defs.assets import ASSETS
from dagster_defs.checks import CHECKS
from dagster_defs.jobs import JOBS
from dagster_defs.notices import notices
from dagster_defs.prune import prune_job, prune_schedule
from dagster_defs.resources import PipelineResource
from dagster_defs.schedules import build_schedules
from dagster_defs.sensors import SENSORS
from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.destinations import load_settings


def build_defs(
    pipeline_file: Path | None = None,
    *,
    resources: Mapping[str, object] | None = None,
    loggers: Mapping[str, dg.LoggerDefinition] | None = None,
    with_schedules: bool = True,
) -> dg.Definitions:
    """All definitions for the pipeline that `pipeline_file` describes; found as the command line
    finds it when left out.

    `resources` and `loggers` replace ours of the same name. A config that cannot be used takes its
    schedule with it and nothing else; what is wrong with it is logged here and shown by the sensor
    `discover_datasets` at each tick. Without schedules, no config is read at all.
    """
    try:
        schedules, problems = (
            build_schedules(load_settings(pipeline_file)) if with_schedules else ([], [])
        )
    except ConfigError as error:
        schedules, problems = [], [str(error)]
    for problem in problems:
        logging.getLogger(__name__).warning(problem)
    return dg.Definitions(
        assets=ASSETS,
        asset_checks=CHECKS,
        jobs=[*JOBS, prune_job],
        sensors=[*SENSORS, notices],
        schedules=[*schedules, prune_schedule],
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


@dg.definitions
def defs() -> dg.Definitions:
    """What `dagster dev`, `dg` and the code server load."""
    return build_defs()
