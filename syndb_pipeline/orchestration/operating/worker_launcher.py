"""Dagster's launcher of runs on Celery workers, with another answer to whether a worker lives.

Belongs here: that answer. Does not: starting workers (`deploy/`), or locks (`lost_runs.py`).

Celery goes on calling a task started whose worker was killed, and knows nothing of any task once
Redis lost its data, which Dagster takes for the end of a living run. The lock that a run holds in
PostgreSQL says what is so.
"""

from __future__ import annotations

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.config.settings import load_settings
from syndb_pipeline.orchestration.unattended.lost_runs import holds_lock


class WorkerLauncher(CeleryRunLauncher):
    """As its parent, for runs that say with a lock whether they live."""

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """FAILED only when it is known that the run's process is gone."""
        try:
            held = holds_lock(run, load_settings().lock)
        except ConfigError:
            held = None
        if held is False:
            return CheckRunHealthResult(WorkerStatus.FAILED, "The worker of this run is gone.")
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def terminate(self, run_id: str) -> bool:
        """Ask the worker to end the run; False when no worker has it, but e.g. a command line."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or DAGSTER_CELERY_TASK_ID_TAG not in run.tags:
            return False
        return super().terminate(run_id)
