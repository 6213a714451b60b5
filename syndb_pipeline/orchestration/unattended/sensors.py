"""What Dagster watches by itself: dataset configs, files dropped beside them, and the clock.

Belongs here: the sensors. Does not: deciding whether files rest (`watching.py`) or whether a
schedule is due (`schedules.py`).
"""

# No `from __future__ import annotations`: Dagster reads the annotations of sensor functions as
# types.

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache, lru_cache, partial
from types import MappingProxyType
from typing import cast

import dagster as dg
from pydantic import ValidationError

from syndb_pipeline.base.errors import ConfigError, Exit, PipelineError
from syndb_pipeline.config.settings import DatasetConfig, PipelineSettings
from syndb_pipeline.orchestration.failures import exit_of
from syndb_pipeline.orchestration.jobs import PREPARE, PREPARE_AND_PUBLISH, approval, jobs
from syndb_pipeline.orchestration.resources import DESTINATION, SynDBResource, pipeline_of
from syndb_pipeline.orchestration.scope import Scope
from syndb_pipeline.orchestration.unattended.datasets import shown_again, traces
from syndb_pipeline.orchestration.unattended.lab_files import observation
from syndb_pipeline.orchestration.unattended.lost_runs import close_lost_runs
from syndb_pipeline.orchestration.unattended.schedules import due
from syndb_pipeline.orchestration.unattended.watching import (
    UNATTENDED,
    Answer,
    Background,
    Memory,
    Outcome,
    Seen,
    glance,
    look,
)
from syndb_pipeline.publishing.records import PublishRecords
from syndb_pipeline.report.notify import notify
from syndb_pipeline.state.registry import away, configs, ignored
from syndb_pipeline.state.store import DatasetStore

LOOK_SECONDS = 10.0
"""How long a tick waits for files to be found and read, or for messages to be sent; what takes
longer, a later tick has."""

_background = Background()

_FOR_PEOPLE = (Exit.USAGE, Exit.REJECTED, Exit.APPROVAL)
"""Exit codes after which the same files and config can only come to the same end."""


_opened: dict[str, dg.DagsterInstance] = {}
"""The instance, opened once in a process: to open one takes longer than all else at a tick."""


def _instance(context: dg.SensorEvaluationContext) -> dg.DagsterInstance:
    if context.instance_ref is None:  # where it is called without a daemon
        return context.instance
    place = repr(context.instance_ref)
    if place not in _opened:
        _opened[place] = dg.DagsterInstance.from_ref(context.instance_ref)
    return _opened[place]


@lru_cache
def _made(repository: dg.RepositoryDefinition, key: str) -> SynDBResource:
    """The resource called `key`, made once in a process: it keeps nothing, and Dagster would open
    the instance for it."""
    defined = repository.get_top_level_resources()[key]
    made = ExitStack().enter_context(dg.build_resources({key: defined}))
    return cast(SynDBResource, getattr(made, key))


class _Tick:
    """One look of a sensor: the datasets, what is remembered of each, what is asked for and said.
    Raises `ConfigError` when the pipeline's settings cannot be used.
    """

    def __init__(
        self, context: dg.SensorEvaluationContext, pipeline: SynDBResource, scope: Scope
    ) -> None:
        self.context, self.instance, self.now = context, _instance(context), time.time()
        self.settings, self.scope = pipeline.settings(), scope
        read = pipeline.datasets()
        self.usable = {name: each for name, each in read.items() if isinstance(each, DatasetConfig)}
        wrong = dict.fromkeys(str(each) for each in read.values() if isinstance(each, ConfigError))
        self.problems = [*ignored(self.settings), *wrong]
        self.partitions = scope.known(self.instance)
        try:
            self.memory = Memory.model_validate_json(context.cursor or "")
        except ValidationError:
            # An empty cursor, or one that a person edited: look at everything again.
            self.memory = Memory()
        # Of a dataset that cannot be used at this tick what is known is kept as long as its
        # partition is there, so that the cursor cannot grow without end.
        self.seen = {
            name: known
            for name, known in self.memory.datasets.items()
            if name not in self.usable and (name in self.partitions or not scope.partitions_def)
        }
        self.requests: list[dg.RunRequest] = []
        self.events: list[dg.AssetObservation | dg.AssetMaterialization] = []
        self.said: list[str] = []

    def ask(
        self,
        decide: Callable[[DatasetConfig, Seen | None], Answer | None],
        tags: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Ask for the runs, with `tags`, that are due by `decide`; None leaves a dataset alone."""
        for name, config in self.usable.items():
            before = self.memory.datasets.get(name)
            try:
                answer = decide(config, before)
            except ConfigError as error:
                self.problems.append(str(error))
                continue
            except OSError as error:
                why = f"{error.filename}: {error.strerror}; looking again at the next tick"
                answer = Answer(before or Seen(epoch=int(self.now)), waiting=why)
            if answer is None:
                continue
            self.seen[name] = answer.seen
            if answer.files:
                self.events.append(observation(self.scope, name, answer.files))
            if answer.waiting:
                self.said.append(f"{name}: {answer.waiting}")
            if answer.run_key:
                self.requests.append(_request(self.scope, config, answer.run_key, tags))

    def outcome(self, run_key: str) -> Outcome:
        """What came of the run that was asked for under `run_key`."""
        runs = self.instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": run_key}), limit=1)
        if not runs:
            return Outcome.ABSENT
        (run,) = runs
        if not run.is_finished:
            return Outcome.UNFINISHED
        failed = run.status is dg.DagsterRunStatus.FAILURE
        if failed and exit_of(self.instance, run) not in _FOR_PEOPLE:
            return Outcome.FAILED
        return Outcome.ANSWERED

    def result(self, wanted: set[str]) -> dg.SensorResult:
        """What the sensor returns. `wanted` are the partitions to be; of requested runs they have
        to be there.
        """
        said = [*(f"Cannot be used: {each}" for each in self.problems), *self.said]
        if self.requests:  # else the tick shows it as its reason
            for line in said:
                self.context.log.info(line)
        memory = self.memory.model_copy(update={"datasets": self.seen})
        return dg.SensorResult(
            run_requests=self.requests,
            dynamic_partitions_requests=self.scope.changes(self.partitions, wanted),
            asset_events=self.events,
            skip_reason=None if self.requests else "\n".join(said) or "Nothing changed.",
            cursor=memory.model_dump_json(exclude_defaults=True),
        )


_RUNS = (
    " A run that failed for no fault of the data, e.g. of a server that was down, is tried again"
    " after a minute, then two, up to six hours."
)

_SCHEDULES = (
    "Prepares each dataset at the times of `schedule:` in its config, and publishes it where the"
    " config has standing approval. A line that is added or changed needs nothing else. Of the"
    " times missed while nothing ran, the last one is made up for, once." + _RUNS
)

_DISCOVER = (
    "Makes a partition of every config in the datasets folder, and takes away those whose config is"
    " gone; closes runs whose process is gone; brings the asset `datasets` up to date; sends what"
    " became of datasets to everyone that `notify` in pipeline.yaml names. "
)


def _discover_datasets(
    context: dg.SensorEvaluationContext, pipeline: SynDBResource, scope: Scope
) -> dg.SensorResult:
    if scope.with_sensors:
        try:
            locking = pipeline.settings().lock
        except ConfigError:  # said below
            locking = None
        names = [each.name for each in jobs(scope).values()]
        for run_id in close_lost_runs(_instance(context), locking, names):
            context.log.warning(f"Run {run_id} is over: its process is gone.")
    tick = _Tick(context, pipeline, scope)
    wanted = tick.partitions
    if scope.with_sensors:
        _report(tick)
        # A config that is broken for the moment keeps its partition, and so its history.
        gone = away(tick.settings, tick.partitions)
        wanted = set(tick.usable) | (tick.partitions & configs(tick.settings).keys()) | gone
        if gone:
            tick.problems.append(
                f"The configs of {', '.join(sorted(gone))} are away with their whole folder"
                f" ({tick.settings.datasets}, or where they were run from). The datasets stay as"
                " they are; if the folder is on a share, see whether it is mounted."
            )

    def decide(config: DatasetConfig, before: Seen | None) -> Answer | None:
        if config.schedule is None:
            return None
        return due(config, config.schedule, before, now=tick.now, outcome_of=tick.outcome)

    if scope.with_schedules:
        tick.ask(decide, {UNATTENDED: "true"})
    tick.said.append(f"{len(tick.usable)} dataset{'' if len(tick.usable) == 1 else 's'}")
    return tick.result(wanted)


def _report(tick: _Tick) -> None:
    """Where something may have changed: what the asset `datasets` shows now, and messages to
    people. What could not be sent is tried again at the next tick.
    """
    now, update = traces(tick.settings), {}
    if now == tick.memory.traces:
        return
    notifying = partial(notify, tick.settings, wait=0, log=tick.said.append)
    try:
        sent = _background.within(LOOK_SECONDS)(("", now), notifying)
        unsent = ["People are still being notified."] if sent is None else sent
    except Exception as error:  # noqa: BLE001 - whatever it is, schedules and partitions go on
        own = isinstance(error, PipelineError | OSError)  # what others say may hold a secret
        unsent = [str(error) if own else type(error).__name__]
    tick.said += [f"Not notified: {problem}" for problem in unsent]
    update["traces"] = "" if unsent else now
    if tick.scope.follows_configs:
        shown, update["shown"] = shown_again(tick.settings, tick.scope, tick.memory.shown)
        tick.events += shown
    tick.memory = tick.memory.model_copy(update=update)


_WATCH = (
    "Prepares a dataset when the content of its files or config has changed and they have stopped"
    " growing, and publishes it where the config has standing approval. A plan that was held is"
    f" published once a person has approved it.{_RUNS} Datasets with `watch: false` are left alone."
    " Switch it on where labs drop files."
)


def _watch_files(
    context: dg.SensorEvaluationContext, pipeline: SynDBResource, scope: Scope
) -> dg.SensorResult:
    tick = _Tick(context, pipeline, scope)
    worker = _background.within(LOOK_SECONDS)

    def decide(config: DatasetConfig, before: Seen | None) -> Answer | None:
        if not config.watch:
            return None
        found = worker((str(config.path), "files"), partial(glance, config))
        seen = before or Seen(epoch=int(tick.now))
        answer = look(
            config,
            seen,
            found,
            now=tick.now,
            outcome_of=tick.outcome,
            approved=_approved(tick.settings, config),
            worker=worker,
        )
        return answer if answer.seen.shown == seen.shown else replace(answer, files=found)

    tick.ask(decide)
    asked = {request.partition_key for request in tick.requests if request.partition_key}
    return tick.result(tick.partitions | asked)


@cache
def sensors(scope: Scope) -> Sequence[dg.SensorDefinition]:
    """The sensors of `scope`: what it says of `discover_datasets`, or of schedules alone, is on
    from the start."""
    made = []
    on = dg.DefaultSensorStatus.RUNNING
    if scope.with_sensors:
        said = _DISCOVER + (_SCHEDULES if scope.with_schedules else "")
        made = [
            _sensor(scope, "discover_datasets", _discover_datasets, 60, said, on),
            _sensor(scope, "watch_files", _watch_files, 30, _WATCH),
        ]
    elif scope.with_schedules:
        made = [_sensor(scope, "run_schedules", _discover_datasets, 60, _SCHEDULES, on)]
    return made


def _sensor(
    scope: Scope,
    name: str,
    look: Callable[[dg.SensorEvaluationContext, SynDBResource, Scope], dg.SensorResult],
    seconds: int,
    description: str,
    status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.STOPPED,
) -> dg.SensorDefinition:
    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        repository = context.repository_def
        pipeline = _made(repository, scope.resource) if repository else pipeline_of(scope, context)
        try:
            return look(context, pipeline, scope)
        except ConfigError as error:
            return dg.SensorResult(skip_reason=str(error), cursor=context.cursor)

    return dg.SensorDefinition(
        name=scope.named(name),
        jobs=[jobs(scope)[each] for each in (PREPARE, PREPARE_AND_PUBLISH)],
        evaluation_fn=evaluate,
        minimum_interval_seconds=seconds,
        default_status=status,
        description=description,
    )


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


def _request(
    scope: Scope, config: DatasetConfig, run_key: str, tags: Mapping[str, str]
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
