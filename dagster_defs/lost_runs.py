"""Runs of the command line whose process died without a word (kill -9, power): Dagster would show
them as running and hold others back.

Belongs here: distinguishing such a run from a living one, and closing it. Does not: the data, which
the next run takes up where it was left.
"""

from __future__ import annotations

import os
import socket

import dagster as dg

_HOST = "syndb/host"
_PROCESS = "syndb/process"


def process_tags() -> dict[str, str]:
    """Tags that name this process as the one a run lives in."""
    return {_HOST: socket.gethostname(), _PROCESS: str(os.getpid())}


def close_lost_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs as failed that were started by a command on this machine whose process is gone.
    Returns their ids.
    """
    unfinished = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.STARTED], tags={_HOST: socket.gethostname()}
    )
    lost = [
        run
        for run in instance.get_runs(unfinished)
        if not _lives(int(run.tags.get(_PROCESS, os.getpid())))
    ]
    for run in lost:
        instance.report_run_failed(
            run, "The process of this run is gone. Run it again: finished stages are not repeated."
        )
    return [run.run_id for run in lost]


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
