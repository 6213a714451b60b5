"""Runs whose process died without a word (kill -9, power): Dagster would show them as running and
hold others back.

Belongs here: distinguishing such a run from a living one, and closing it. Does not: the data, which
the next run takes up where it was left.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psutil

from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.config.operating_settings import Locking
from syndb_pipeline.state.locks import hold, is_free

_PROC = Path("/proc")
_HOST = "syndb/host"
# Dagster's prefix of tags that its pages leave out.
_PLACE = ".dagster/syndb_boot"
_PROCESS = ".dagster/syndb_process"
_RUN = ".dagster/syndb_run"
"""The run that the other tags are of: one that is run again inherits those of its parent."""

_UNFINISHED = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]

_SILENT = timedelta(minutes=10)
"""A run says which process it lives in as soon as it starts; one that has not for so long cannot.
"""


_LOCK = "syndb/lock"
"""Of a run that holds a lock of PostgreSQL, which says to every machine whether it lives."""


def process_tags(run_id: str) -> dict[str, str]:
    """Tags that name this process as the one that the run lives in: the machine, its start with
    the namespace of process ids, the process with its start.
    """
    process = _named(os.getpid())
    return {_HOST: socket.gethostname(), _PLACE: _place(), _PROCESS: process, _RUN: run_id}


@contextmanager
def alive(instance: dg.DagsterInstance, run_id: str, locking: Locking | None) -> Iterator[None]:
    """Inside, the run's tags name this process as the one that it lives in; with locks of
    PostgreSQL, every other machine knows whether it does.
    """
    tags = process_tags(run_id)
    with ExitStack() as held:
        if locking is not None and locking.kind == "postgresql":
            # Without it, the steps say what is wrong: they need locks of the same kind.
            with suppress(PipelineError):
                held.enter_context(hold(Path(), "", locking=locking, name=f"run {run_id}"))
                tags[_LOCK] = locking.kind
        instance.add_run_tags(run_id, tags)
        yield


def close_lost_runs(
    instance: dg.DagsterInstance, locking: Locking | None = None, jobs: Collection[str] = ()
) -> list[str]:
    """Mark runs as failed that lived on this machine and whose process is gone. Returns their ids.

    A run of another machine or container is left alone, as whether it lives is not known here,
    unless the lock of PostgreSQL that it held, by `locking`, is free. So is one that does not say
    where it lives, unless it is of our `jobs` and should have said so long ago: its process died in
    the moment after its start.
    """
    several = locking is not None and locking.kind == "postgresql"
    unfinished = instance.get_run_records(dg.RunsFilter(statuses=_UNFINISHED))

    def judged(run: dg.DagsterRun) -> bool:
        if _HOST not in run.tags:
            return run.job_name in jobs
        here = run.tags[_HOST] == socket.gethostname()
        return here or (several and run.tags.get(_LOCK) == "postgresql")

    lost = [
        record.dagster_run
        for record in unfinished
        if judged(record.dagster_run)
        and _is_lost(record.dagster_run, record.update_timestamp, locking if several else None)
    ]
    for run in lost:
        instance.report_run_failed(
            run, "The process of this run is gone. Run it again: finished stages are not repeated."
        )
    return [run.run_id for run in lost]


def holds_lock(run: dg.DagsterRun, locking: Locking) -> bool | None:
    """Whether the run's process, on whatever machine, still holds its lock of PostgreSQL; None when
    that is not known.
    """
    if locking.kind != "postgresql" or _LOCK not in run.tags or run.tags.get(_RUN) != run.run_id:
        return None
    try:
        return not is_free(locking, f"run {run.run_id}")
    except PipelineError:
        return None


def _is_lost(run: dg.DagsterRun, changed: datetime, locking: Locking | None) -> bool:
    tags = run.tags
    if _HOST not in tags or tags.get(_RUN, run.run_id) != run.run_id:
        return datetime.now(UTC) - changed > _SILENT
    if locking is not None and _LOCK in tags:
        return holds_lock(run, locking) is False
    if _PLACE not in tags or _PROCESS not in tags:
        return False  # of a version that did not say enough
    boot, _, namespace = tags[_PLACE].partition("/")
    here, _, own = _place().partition("/")
    if boot != here:  # the machine was started again since
        return True
    if namespace != own:
        return False
    try:
        return _named(int(tags[_PROCESS].partition("@")[0])) != tags[_PROCESS]
    except psutil.NoSuchProcess:
        return True


def _named(process: int) -> str:
    """A process by its id and start; a later one with the same id is another. Raises
    `psutil.NoSuchProcess`.

    On Linux the start is counted from that of the machine (proc_pid_stat(5), field 22): as a time
    it would become another when somebody sets the clock.
    """
    started = psutil.Process(process).create_time()
    if _PROC.is_dir():
        try:
            state = (_PROC / str(process) / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            raise psutil.NoSuchProcess(process) from None
        started = state.rpartition(")")[2].split()[19]  # the name before it may hold anything
    return f"{process}@{started}"


def _place() -> str:
    """The start of this machine, and the namespace that its process ids count in; nothing where
    the system does not say them, as the start of a process says enough there.
    """
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{(_PROC / 'self/ns/pid').stat().st_ino}"
    except OSError:
        return ""
