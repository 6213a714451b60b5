"""What Dagster watches by itself: new dataset configs, and files dropped beside them.

Belongs here: the sensors. Does not: deciding whether files rest (`watching.py`).
"""

# No `from __future__ import annotations`: Dagster reads the annotations of sensor functions as
# types.

import time

import dagster as dg
from pydantic import ValidationError

from dagster_defs.jobs import approval, prepare, prepare_and_publish
from dagster_defs.lost_runs import close_lost_runs
from dagster_defs.partitions import DATASETS, changes
from dagster_defs.registry import configs
from dagster_defs.resources import PipelineResource
from dagster_defs.watching import Memory, Seen, look
from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.config.settings import DatasetConfig, load_dataset


def _usable(pipeline: PipelineResource) -> tuple[dict[str, DatasetConfig], list[str]]:
    """The datasets whose configs can be used, and what is wrong with the others."""
    usable, problems = {}, []
    for name, path in configs(pipeline.settings()).items():
        try:
            usable[name] = load_dataset(path)
        except ConfigError as error:
            problems.append(str(error))
    return usable, problems


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Makes a partition of every config in the datasets folder, and takes away those whose"
        " config is gone. Starts no run."
    ),
)
def discover_datasets(
    context: dg.SensorEvaluationContext, pipeline: PipelineResource
) -> dg.SensorResult:
    for run_id in close_lost_runs(context.instance):
        context.log.warning(f"Run {run_id} is over: its process is gone.")
    try:
        usable, problems = _usable(pipeline)
        wanted = set(configs(pipeline.settings()))
    except ConfigError as error:
        return dg.SensorResult(skip_reason=str(error))
    for problem in problems:
        context.log.warning(problem)
    known = set(context.instance.get_dynamic_partitions("dataset"))
    # A config that is broken for the moment keeps its partition, and so its history.
    requests = changes(known, set(usable) | (known & wanted))
    told = [f"{len(usable)} dataset{'' if len(usable) == 1 else 's'}"] + [
        f"Cannot be used: {problem}" for problem in problems
    ]
    return dg.SensorResult(dynamic_partitions_requests=requests, skip_reason="\n".join(told))


def _memory(cursor: str | None) -> Memory:
    try:
        return Memory.model_validate_json(cursor or "")
    except ValidationError:
        # An empty cursor, or one that a person edited: look at everything again, under run keys
        # that were never used.
        return Memory(epoch=int(time.time()))


@dg.sensor(
    jobs=[prepare, prepare_and_publish],
    minimum_interval_seconds=15,
    description=(
        "Prepares a dataset when the content of its files or config has changed and they have"
        " stopped growing, and publishes it where the config has standing approval. Datasets with"
        " `watch: false` are left alone. Switch it on where labs drop files."
    ),
)
def watch_files(context: dg.SensorEvaluationContext, pipeline: PipelineResource) -> dg.SensorResult:
    try:
        usable, problems = _usable(pipeline)
    except ConfigError as error:
        return dg.SensorResult(skip_reason=str(error), cursor=context.cursor)
    memory = _memory(context.cursor)
    seen: dict[str, Seen] = {}
    requests = []
    told = [f"Cannot be used: {problem}" for problem in problems]
    for name, config in usable.items():
        if not config.watch:
            continue
        before = memory.datasets.get(name, Seen())
        try:
            answer = look(config, before, epoch=memory.epoch, now=time.time())
        except OSError as error:
            seen[name] = before
            told.append(
                f"{name}: {error.filename}: {error.strerror}; looking again at the next tick"
            )
            continue
        seen[name] = answer.seen
        if answer.waiting:
            told.append(f"{name}: {answer.waiting}")
        if answer.run_key:
            standing = config.publish.approval == "standing"
            job = prepare_and_publish if standing else prepare
            requests.append(
                dg.RunRequest(
                    run_key=answer.run_key,
                    job_name=job.name,
                    partition_key=name,
                    run_config=approval(None) if standing else None,
                )
            )
    for line in told:
        context.log.info(line)
    # Partitions of requested runs must be there; discover_datasets may not have looked yet.
    new = {request.partition_key for request in requests if request.partition_key} - set(
        context.instance.get_dynamic_partitions("dataset")
    )
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=[DATASETS.build_add_request(sorted(new))] if new else [],
        skip_reason=None if requests else "\n".join(told) or "No file changed.",
        # Only datasets that are there are kept, so the cursor cannot grow without end.
        cursor=Memory(epoch=memory.epoch, datasets=seen).model_dump_json(),
    )


SENSORS = [discover_datasets, watch_files]
