"""Runs started from the command line, through Dagster and on the instance the UI shows.

Belongs here: one run in this process. Does not: what a run does (`jobs.py`), serving the UI
(`up.py`) or printing (the command line).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.execution.api import execute_run
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.utils import make_new_run_id

from syndb_pipeline.base.errors import Exit
from syndb_pipeline.base.progress import Watch
from syndb_pipeline.base.system import quoted
from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.destinations import load_settings
from syndb_pipeline.orchestration.definitions import own_defs
from syndb_pipeline.orchestration.failures import reason_in, show_tracebacks
from syndb_pipeline.orchestration.jobs import PREPARE, PREPARE_AND_PUBLISH, approval
from syndb_pipeline.orchestration.operating.home import dagster_home
from syndb_pipeline.orchestration.operating.up import open_ui
from syndb_pipeline.orchestration.progress import drawn_by, shown_by_bar
from syndb_pipeline.orchestration.resources import commanded
from syndb_pipeline.orchestration.scope import LOCATION, add_partition
from syndb_pipeline.orchestration.unattended.lost_runs import close_lost_runs, process_tags
from syndb_pipeline.publishing.records import How, PublishRecords, Receipt
from syndb_pipeline.stages.runner import STAGES
from syndb_pipeline.state.registry import register
from syndb_pipeline.state.store import DatasetStore, Record

_SERVED = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(LOCATION), "__repository__")
"""Where the UI finds the jobs of our runs, by the names that `up` gives them: it lists runs by it,
and runs them again through it.
"""

__all__ = ["LaunchResult", "launch", "open_ui"]


@dataclass(frozen=True)
class LaunchResult:
    """What a run came to: `exit` and `message` say why it did not succeed; `records` are the stages
    that ran, in their order.
    """

    run_id: str
    succeeded: bool
    exit: Exit
    message: str
    ui_command: str
    records: dict[str, Record] = field(default_factory=dict)
    receipt: Receipt | None = None


def launch(
    config_path: Path,
    settings_path: Path | None = None,
    *,
    publish: bool = False,
    approve: str | None = None,
    how: How = "option",
    say: Callable[[str], None] = lambda line: None,
    watch: Watch | None = None,
) -> LaunchResult:
    """Prepare the dataset of `config_path`, and publish it if asked, as a Dagster run in this
    process on the instance that the UI shows.

    `approve` is the digest of the approved plan, given as `how` says; None leaves it to standing
    approval. `say` gets
    each line of progress; with `watch`, which draws it, all but those that say how far something
    is. Raises `ConfigError` for a config that cannot be used; what happens within the run comes
    back in the result.
    """
    config = load_dataset(config_path)
    settings = load_settings(settings_path, near=config.folder)
    name = register(settings, config.path)
    run_config: dict[str, Any] = dict(approval(approve).to_config_dict()) if publish else {}  # type: ignore[no-untyped-call]
    # In the run's config rather than in the job, so that the UI knows the run's job as its own and
    # can run it again from the same settings.
    named = (
        None if settings.beside else settings.file
    )  # one beside the dataset is not named by anybody, which is less
    beside = str(config.folder) if settings.beside else None
    run_config["resources"] = {
        "pipeline": {"config": {"pipeline_file": str(named) if named else None, "near": beside}}
    }
    run_config["loggers"] = {"console": {}}
    job = dg.reconstructable(_prepare_and_publish if publish else _prepare)
    with (
        _instance(dagster_home(settings)) as instance,
        _heard_by(say),
        drawn_by(watch),
        commanded(how),
    ):
        close_lost_runs(instance, settings.lock)
        add_partition(instance, name)
        try:
            result = _execute(job, instance, run_config, name)
        finally:
            show_tracebacks()
    exit_code, message = _outcome(result)
    ran = {
        event.asset_key.to_user_string()
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    store = DatasetStore(settings.state, config.dataset.id)
    records = {
        stage: record
        for stage in STAGES
        if stage in ran and (record := store.record(stage)) is not None
    }
    return LaunchResult(
        run_id=result.run_id,
        succeeded=result.success,
        exit=exit_code,
        message=message,
        ui_command=_ui_command(result.run_id, settings_path),
        records=records,
        receipt=PublishRecords(store).receipt() if "publish" in ran else None,
    )


def _execute(
    job: ReconstructableJob, instance: dg.DagsterInstance, run_config: dict[str, Any], name: str
) -> dg.JobExecutionResult:
    """Run `job` on the dataset called `name` in this process, as a run that the UI can run again:
    `dagster.execute_job` says of its runs no place where their job is served.
    """
    definition = job.get_definition()
    run_id = make_new_run_id()
    run = instance.create_run_for_job(
        definition,
        run_id=run_id,
        run_config=run_config,
        tags={"dagster/partition": name, **process_tags(run_id)},
        remote_job_origin=RemoteJobOrigin(_SERVED, definition.name),
        job_code_origin=job.get_python_origin(),
    )
    return execute_run(job, run, instance)


def _instance(home: Path) -> dg.DagsterInstance:
    """The instance at `home`, without capture of standard output: that would cut the terminal off
    from what it shows.
    """
    quiet = {
        "compute_logs": {
            "module": "dagster.core.storage.noop_compute_log_manager",
            "class": "NoOpComputeLogManager",
        }
    }
    # Of Dagster's public ways to an instance only this one takes overrides. Nothing is temporary
    # about a folder that it is given.
    return dg.DagsterInstance.local_temp(str(home), overrides=quiet)


def _prepare() -> dg.JobDefinition:
    return _job(PREPARE)


def _prepare_and_publish() -> dg.JobDefinition:
    return _job(PREPARE_AND_PUBLISH)


@cache
def _job(name: str) -> dg.JobDefinition:
    """One of our jobs, with its console log going to whoever called `launch`."""
    # Described as the logger it replaces, because the UI compares the job of a run with its
    # own.
    usual = dg.colored_console_logger
    console = dg.LoggerDefinition(_console, usual.config_schema, usual.description)
    return own_defs(loggers={"console": console}).resolve_job_def(name)


_say: ContextVar[Callable[[str], None]] = ContextVar("_say")
"""Who hears the run of this process: Dagster builds the job from its name alone, so it cannot be an
argument.
"""


@contextmanager
def _heard_by(say: Callable[[str], None]) -> Iterator[None]:
    token = _say.set(say)
    try:
        yield
    finally:
        _say.reset(token)


class _Listener(logging.Handler):
    """Passes on what our assets say (at level INFO), and none of Dagster's own events and
    complaints.
    """

    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", {})
        if (
            meta.get("dagster_event") is None
            and record.levelno == logging.INFO
            and not shown_by_bar()
        ):
            _say.get()(str(meta.get("orig_message", record.getMessage())))


def _console(_: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("syndb-pipeline", logging.INFO)
    logger.addHandler(_Listener())
    return logger


def _outcome(result: dg.JobExecutionResult) -> tuple[Exit, str]:
    """The exit code of a run and, when it failed, the first failed step's message."""
    if result.success:
        return Exit.OK, ""
    for event in result.all_events:
        if not event.is_step_failure:
            continue
        failed = event.step_failure_data
        if reason := reason_in(failed):
            return reason
        error = failed.error
        if error is not None and error.cls_name in (
            "DagsterExecutionInterruptedError",
            "KeyboardInterrupt",
        ):
            return (
                Exit.INTERRUPTED,
                (
                    f"Interrupted during {event.step_key}. Run it again: finished stages are not"
                    " repeated."
                ),
            )
        while error is not None and error.cause is not None:
            error = error.cause
        return (
            Exit.INTERNAL,
            f"{event.step_key} broke off: {error.message.strip() if error else 'no reason given'}",
        )
    return Exit.INTERNAL, "The run broke off before its first step."


def _ui_command(run_id: str, settings_path: Path | None) -> str:
    """What a person types to see this very run."""
    settings = f" --settings {quoted(settings_path)}" if settings_path else ""
    return f"syndb-pipeline ui --run {run_id}{settings}"
