"""What Dagster watches by itself: dataset configs, files dropped beside them, and the clock.

Belongs here: the sensors. Does not: deciding whether files rest (`watching.py`) or whether a
schedule is due (`schedules.py`).
"""

# No `from __future__ import annotations`: Dagster reads the annotations of sensor functions as
# types.

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, partial
from types import MappingProxyType
from typing import Any, TypeAlias

import dagster as dg
from pydantic import ValidationError

from syndb_pipeline.base.errors import ConfigError, Exit, PipelineError
from syndb_pipeline.config.settings import DatasetConfig, PipelineSettings
from syndb_pipeline.orchestration.failures import exit_of
from syndb_pipeline.orchestration.jobs import PREPARE, PREPARE_AND_PUBLISH, approval, jobs
from syndb_pipeline.orchestration.partitions import Scope
from syndb_pipeline.orchestration.resources import DESTINATION, SynDBResource, pipeline_of
from syndb_pipeline.orchestration.unattended.datasets import changed
from syndb_pipeline.orchestration.unattended.lab_files import observation
from syndb_pipeline.orchestration.unattended.lost_runs import close_lost_runs
from syndb_pipeline.orchestration.unattended.schedules import due
from syndb_pipeline.orchestration.unattended.watching import (
    UNATTENDED,
    Background,
    Memory,
    Outcome,
    Seen,
    look,
)
from syndb_pipeline.publishing.records import PublishRecords
from syndb_pipeline.state.registry import away, configs, ignored, read_configs
from syndb_pipeline.state.store import DatasetStore

_Remembered: TypeAlias = dict[str, Seen]

LOOK_SECONDS = 10.0
"""How long a tick waits for files to be found and read; what takes longer, a later tick has."""

_background = Background()

_FOR_PEOPLE = (Exit.USAGE, Exit.REJECTED, Exit.APPROVAL)
"""Exit codes after which the same files and config can only come to the same end."""


def _usable(pipeline: SynDBResource) -> tuple[dict[str, DatasetConfig], list[str]]:
    """The datasets whose configs can be used, and what is wrong with the others."""
    settings = pipeline.settings()
    read = read_configs(settings)
    usable = {name: each for name, each in read.items() if isinstance(each, DatasetConfig)}
    wrong = dict.fromkeys(str(each) for each in read.values() if isinstance(each, ConfigError))
    return usable, [*ignored(settings), *wrong]


_DISCOVER: dict[str, Any] = {
    "minimum_interval_seconds": 60,
    "default_status": dg.DefaultSensorStatus.RUNNING,
    "description": (
        "Makes a partition of every config in the datasets folder, and takes away those whose"
        " config is gone; brings the asset `datasets` up to date. Starts no run."
    ),
}


def _discover_datasets(
    context: dg.SensorEvaluationContext, pipeline: SynDBResource, scope: Scope
) -> dg.SensorResult:
    try:
        locking = pipeline.settings().lock
    except ConfigError:  # said below
        locking = None
    for run_id in close_lost_runs(context.instance, locking):
        context.log.warning(f"Run {run_id} is over: its process is gone.")
    try:
        settings = pipeline.settings()
        usable, problems = _usable(pipeline)
        wanted = set(configs(settings))
    except ConfigError as error:
        return dg.SensorResult(skip_reason=str(error))
    for problem in problems:
        context.log.warning(problem)
    known = scope.known(context.instance)
    # A config that is broken for the moment keeps its partition, and so its history.
    if gone := away(settings, known):
        problems.append(
            f"The configs of {', '.join(sorted(gone))} are away with their whole folder"
            f" ({settings.datasets}, or where they were run from). The datasets stay as they are;"
            " if the folder is on a share, see whether it is mounted."
        )
    requests = scope.changes(known, set(usable) | (known & wanted) | gone)
    told = [f"{len(usable)} dataset{'' if len(usable) == 1 else 's'}"] + [
        f"Cannot be used: {problem}" for problem in problems
    ]
    event, cursor = changed(settings, scope, context.cursor)
    return dg.SensorResult(
        dynamic_partitions_requests=requests,
        skip_reason="\n".join(told),
        asset_events=[event] if event else [],
        cursor=cursor,
    )


def _memory(cursor: str | None) -> Memory:
    try:
        return Memory.model_validate_json(cursor or "")
    except ValidationError:
        # An empty cursor, or one that a person edited: look at everything again.
        return Memory()


def _outcome(instance: dg.DagsterInstance, run_key: str) -> Outcome:
    """What came of the run that this sensor asked for under `run_key`."""
    runs = instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": run_key}), limit=1)
    if not runs:
        return Outcome.ABSENT
    (run,) = runs
    if not run.is_finished:
        return Outcome.UNFINISHED
    if run.status is dg.DagsterRunStatus.FAILURE and exit_of(instance, run) not in _FOR_PEOPLE:
        return Outcome.FAILED
    return Outcome.ANSWERED


_WATCH: dict[str, Any] = {
    "minimum_interval_seconds": 30,
    "description": (
        "Prepares a dataset when the content of its files or config has changed and they have"
        " stopped growing, and publishes it where the config has standing approval. A plan that was"
        " held is published once a person has approved it. A run that"
        " failed for no fault of the files, e.g. of a server that was down, is tried again after"
        " a minute, then two, up to six hours. Datasets with `watch: false` are left alone."
        " Switch it on where labs drop files."
    ),
}


def _watch_files(
    context: dg.SensorEvaluationContext, pipeline: SynDBResource, scope: Scope
) -> dg.SensorResult:
    try:
        settings = pipeline.settings()
        usable, problems = _usable(pipeline)
    except ConfigError as error:
        return dg.SensorResult(skip_reason=str(error), cursor=context.cursor)
    memory, now = _memory(context.cursor), time.time()
    seen = _of_others(memory, usable, scope, context.instance)
    requests, events = [], []
    told = [f"Cannot be used: {problem}" for problem in problems]
    outcome_of = partial(_outcome, context.instance)
    worker = _background.within(LOOK_SECONDS)
    for name, config in usable.items():
        if not config.watch:
            continue
        before = memory.datasets.get(name, Seen(epoch=int(now)))
        approved = _approved(settings, config)
        try:
            answer = look(
                config, before, now=now, outcome_of=outcome_of, approved=approved, worker=worker
            )
        except OSError as error:
            seen[name] = before
            told.append(
                f"{name}: {error.filename}: {error.strerror}; looking again at the next tick"
            )
            continue
        seen[name] = answer.seen
        if answer.files:
            events.append(observation(scope, name, answer.files))
        if answer.waiting:
            told.append(f"{name}: {answer.waiting}")
        if answer.run_key:
            requests.append(_request(scope, config, answer.run_key))
    told = told or ["No file changed."]
    return _result(context, scope, requests, told, seen, events)


_SCHEDULES: dict[str, Any] = {
    "minimum_interval_seconds": 60,
    "default_status": dg.DefaultSensorStatus.RUNNING,
    "description": (
        "Prepares each dataset at the times of `schedule:` in its config, and publishes it where"
        " the config has standing approval. A line that is added or changed needs nothing else. Of"
        " the times missed while nothing ran, the last one is made up for, once; a run that failed"
        " for no fault of the data is tried again after a minute, then two, up to six hours."
    ),
}


def _run_schedules(
    context: dg.SensorEvaluationContext, pipeline: SynDBResource, scope: Scope
) -> dg.SensorResult:
    try:
        usable, problems = _usable(pipeline)
    except ConfigError as error:
        return dg.SensorResult(skip_reason=str(error), cursor=context.cursor)
    memory, now = _memory(context.cursor), time.time()
    seen = _of_others(memory, usable, scope, context.instance)
    requests = []
    told = [f"Cannot be used: {problem}" for problem in problems]
    outcome_of = partial(_outcome, context.instance)
    for name, config in usable.items():
        if config.schedule is None:
            continue
        before = memory.datasets.get(name)
        try:
            answer = due(config, config.schedule, before, now=now, outcome_of=outcome_of)
        except ConfigError as error:
            told.append(f"Cannot be used: {error}")
            continue
        seen[name] = answer.seen
        if answer.waiting:
            told.append(f"{name}: {answer.waiting}")
        if answer.run_key:
            requests.append(_request(scope, config, answer.run_key, {UNATTENDED: "true"}))
    return _result(context, scope, requests, told or ["No dataset has a schedule."], seen)


def _approved(settings: PipelineSettings, config: DatasetConfig) -> str:
    """The held plan that a person approved and that was not sent since, and when that was."""
    if config.publish.approval != "standing":
        return ""
    try:
        hold = PublishRecords(DatasetStore(settings.state, config.dataset.id)).hold()
    except PipelineError:  # it is damaged, which the next run says
        return ""
    yes = hold.decision if hold is not None and not hold.rejected else None
    return f"{hold.plan} {yes.at}" if hold and yes else ""


def _of_others(
    memory: Memory, usable: Collection[str], scope: Scope, instance: dg.DagsterInstance
) -> _Remembered:
    """What is remembered of datasets that cannot be used at this tick: as long as their partition
    is there, so that the cursor cannot grow without end.
    """
    partitions = scope.known(instance) if scope.partitions_def else set(memory.datasets)
    return {
        name: known
        for name, known in memory.datasets.items()
        if name in partitions and name not in usable
    }


def _request(
    scope: Scope,
    config: DatasetConfig,
    run_key: str,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> dg.RunRequest:
    """A run that prepares a dataset, and publishes it under standing approval."""
    standing = config.publish.approval == "standing"
    return dg.RunRequest(
        run_key=run_key,
        job_name=scope.named(PREPARE_AND_PUBLISH if standing else PREPARE),
        partition_key=config.name if scope.partitions_def else None,
        run_config=approval(None, scope) if standing else None,
        tags={**tags, **({DESTINATION: config.publish.destination} if standing else {})},
    )


def _result(
    context: dg.SensorEvaluationContext,
    scope: Scope,
    requests: list[dg.RunRequest],
    told: list[str],
    seen: _Remembered,
    events: Sequence[dg.AssetObservation] = (),
) -> dg.SensorResult:
    if requests:  # else the tick shows it as its reason
        for line in told:
            context.log.info(line)
    # Partitions of requested runs must be there; discover_datasets may not have looked yet.
    known = scope.known(context.instance)
    new = known | {request.partition_key for request in requests if request.partition_key}
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=scope.changes(known, new),
        skip_reason=None if requests else "\n".join(told),
        asset_events=events,
        cursor=Memory(datasets=seen).model_dump_json(exclude_defaults=True),
    )


_Look: TypeAlias = Callable[[dg.SensorEvaluationContext, SynDBResource, Scope], dg.SensorResult]

_SENSORS: dict[str, tuple[_Look, dict[str, Any]]] = {
    "discover_datasets": (_discover_datasets, _DISCOVER),
    "watch_files": (_watch_files, _WATCH),
    "run_schedules": (_run_schedules, _SCHEDULES),
}


@cache
def sensors(scope: Scope) -> dict[str, dg.SensorDefinition]:
    """The sensors of `scope`, by their names in our own deployment."""
    return {name: _sensor(scope, name, *each) for name, each in _SENSORS.items()}


def _sensor(scope: Scope, name: str, look: _Look, how: Mapping[str, Any]) -> dg.SensorDefinition:
    # Where it is called without a daemon, Dagster gives the resource again, by its name.
    def evaluate(context: dg.SensorEvaluationContext, **_: object) -> dg.SensorResult:
        return look(context, pipeline_of(scope, context), scope)

    starts = [] if look is _discover_datasets else [PREPARE, PREPARE_AND_PUBLISH]
    return dg.SensorDefinition(
        name=scope.named(name),
        jobs=[jobs(scope)[each] for each in starts],
        evaluation_fn=evaluate,
        required_resource_keys={scope.resource},
        **how,
    )
