"""Runs whose process died without a word (kill -9, power): Dagster would show them as running and
hold others back.

Belongs here: distinguishing such a run from a living one, and closing it. Does not: the data, which
the next run takes up where it was left.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import psutil

_HOST = "syndb/host"
_PLACE = "syndb/boot"
_PROCESS = "syndb/process"


def process_tags() -> dict[str, str]:
    """Tags that name this process as the one a run lives in: the machine, its start with the
    namespace of process ids, the process with its start.
    """
    return {_HOST: socket.gethostname(), _PLACE: _place(), _PROCESS: _named(psutil.Process())}


def close_lost_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs as failed that lived on this machine and whose process is gone. Returns their ids.

    A run of another machine or container is left alone: whether it lives is not known here.
    """
    unfinished = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING],
        tags={_HOST: socket.gethostname()},
    )
    lost = [run for run in instance.get_runs(unfinished) if _is_lost(run.tags)]
    for run in lost:
        instance.report_run_failed(
            run, "The process of this run is gone. Run it again: finished stages are not repeated."
        )
    return [run.run_id for run in lost]


def _is_lost(tags: Mapping[str, str]) -> bool:
    boot, _, namespace = tags.get(_PLACE, "").partition("/")
    here, _, own = _place().partition("/")
    if boot != here:  # the machine was started again since
        return bool(boot)
    if namespace != own or _PROCESS not in tags:
        return False
    try:
        return _named(psutil.Process(int(tags[_PROCESS].partition("@")[0]))) != tags[_PROCESS]
    except psutil.NoSuchProcess:
        return True


def _named(process: psutil.Process) -> str:
    """A process by its id and start; a later one with the same id is another."""
    return f"{process.pid}@{process.create_time():.2f}"


def _place() -> str:
    """The start of this machine, and the namespace that its process ids count in."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # not Linux
        boot = f"{psutil.boot_time():.0f}"
    try:
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return f"{boot}/"
