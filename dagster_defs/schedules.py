"""A schedule for each dataset whose config has one.

Belongs here: from a config's cron line to a Dagster schedule. Does not: what it runs (`jobs.py`).
"""

# No `from __future__ import annotations`: Dagster reads the annotations of schedule functions as
# types.

import re
from hashlib import sha256

import dagster as dg

from dagster_defs.jobs import approval, prepare, prepare_and_publish
from dagster_defs.partitions import add_partition
from dagster_defs.watching import UNATTENDED
from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.config.settings import DatasetConfig, PipelineSettings, load_dataset
from syndb_pipeline.state.registry import configs


def schedule_name(dataset: str) -> str:
    """`nightly_<dataset>`; characters that Dagster does not take become `_`, and a short digest
    then keeps two names apart.
    """
    plain = re.sub(r"[^A-Za-z0-9_]", "_", dataset)
    return (
        f"nightly_{plain}"
        if plain == dataset
        else f"nightly_{plain}_{sha256(dataset.encode()).hexdigest()[:6]}"
    )


def build_schedule(config: DatasetConfig) -> dg.ScheduleDefinition:
    """The schedule of one dataset. Raises `dagster.DagsterInvalidDefinitionError` when its cron
    line is none.
    """
    standing = config.publish.approval == "standing"
    dataset = config.name

    @dg.schedule(
        name=schedule_name(dataset),
        cron_schedule=config.schedule or "",
        job=prepare_and_publish if standing else prepare,
        description=(
            f"Prepares {dataset}{' and publishes it under standing approval' if standing else ''}"
            f" at {config.schedule} (UTC). From `schedule:` in {config.path}; switch it on here,"
            " reload the definitions after changing the line."
        ),
    )
    def at_its_time(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        add_partition(context.instance, dataset)
        return dg.RunRequest(
            partition_key=dataset,
            run_config=approval(None) if standing else None,
            tags={UNATTENDED: "true"},
        )

    return at_its_time


def build_schedules(settings: PipelineSettings) -> tuple[list[dg.ScheduleDefinition], list[str]]:
    """The schedules of all known datasets, and what is wrong with the configs that could not be
    used.
    """
    schedules, problems = [], []
    for path in configs(settings).values():
        try:
            config = load_dataset(path)
            if config.schedule:
                schedules.append(build_schedule(config))
        except PipelineError as error:
            problems.append(str(error))
        except dg.DagsterInvalidDefinitionError:
            problems.append(
                f"{path}: schedule: found {config.schedule!r}, which is no cron line; write it like"
                ' "0 2 * * *".'
            )
    return schedules, problems
