"""Removing Dagster's old runs: their events, their logs, and the room they took.

Belongs here: which runs may go, the `prune` job and its schedule. Does not: files of datasets
(`syndb_pipeline.publishing.prune`).
"""

# No `from __future__ import annotations`: Dagster reads the annotations of op functions as types.

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
from dagster._core.instance.utils import RUNLESS_RUN_ID
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import RunTagsTable
from sqlalchemy import func, select

from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.orchestration.failures import as_failures
from syndb_pipeline.orchestration.operating.home import dagster_home
from syndb_pipeline.orchestration.resources import PipelineResource
from syndb_pipeline.orchestration.unattended.datasets import DATASETS_ASSET
from syndb_pipeline.publishing.prune import DAY, Pruned, Removed, bytes_of, prune

_FINISHED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]
_PAGE = 500
_WORTH_IT = 4
"""A database is written again once one in so many of its pages is free."""


def prune_runs(
    settings: PipelineSettings,
    *,
    dry_run: bool,
    now: float | None = None,
    instance: dg.DagsterInstance | None = None,
) -> Pruned:
    """Remove finished runs that are older than `retention.runs` days.

    The newest run of each dataset stays, and the newest of each of its jobs that succeeded: the UI
    shows their assets as the last ones.

    Args:
        settings: Where DAGSTER_HOME is, and how long runs are kept.
        dry_run: Whether only to say what would be removed.
        now: Seconds since 1970; the clock's when left out.
        instance: That of the run at work; the one of DAGSTER_HOME when left out.

    Returns:
        What was removed. Bytes are those of the run's own files; what a run takes in a database
        that it shares is freed as well, and not counted.
    """
    days = settings.retention.runs
    if days is None:
        return Pruned()
    if instance is None:
        with dg.DagsterInstance.local_temp(str(dagster_home(settings))) as opened:
            return prune_runs(settings, dry_run=dry_run, now=now, instance=opened)
    now = time.time() if now is None else now
    before, pruned = datetime.fromtimestamp(now - days * DAY, UTC), Pruned()
    for record in [*_old(instance, before)]:
        run = record.dagster_run
        files = _files(instance, run.run_id)
        what = f"run {run.run_id} ({run.job_name}, {record.create_timestamp:%Y-%m-%d})"
        taken = sum(bytes_of(file) for file in files)
        if not dry_run:
            _delete(instance, run.run_id, files)
        pruned.removed.append(Removed(kind="runs", what=what, bytes=taken))
    if count := _old_overviews(instance, before, dry_run=dry_run):
        what = f"{count:,} old events of the asset {DATASETS_ASSET}"
        pruned.removed.append(Removed(kind="runs", what=what, bytes=0))
    if pruned.removed and not dry_run:
        pruned.notes += _shrink(instance)
    return pruned


def _old(instance: dg.DagsterInstance, before: datetime) -> Iterator[dg.RunRecord]:
    kept: set[tuple[str | None, str | None]] = set()
    cursor = None
    while page := instance.get_run_records(limit=_PAGE, cursor=cursor):
        for record in page:  # newest first
            run = record.dagster_run
            dataset = run.tags.get("dagster/partition")
            succeeded = run.status is dg.DagsterRunStatus.SUCCESS
            roles = {(dataset, None), (dataset, run.job_name if succeeded else None)}
            if roles <= kept and run.status in _FINISHED and record.update_timestamp < before:
                yield record
            kept |= roles
        cursor = page[-1].dagster_run.run_id


def _files(instance: dg.DagsterInstance, run_id: str) -> list[Path]:
    """The database of a run, where each has its own, with what SQLite keeps beside it."""
    events = instance.event_log_storage
    if not isinstance(events, SqliteEventLogStorage):
        return []
    own = Path(events.path_for_shard(run_id))
    return [path for path in own.parent.glob(f"{own.name}*") if path.is_file()]


def _delete(instance: dg.DagsterInstance, run_id: str, files: list[Path]) -> None:
    events, runs = instance.event_log_storage, instance.run_storage
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    if isinstance(events, SqliteEventLogStorage):
        # Dagster would open, bring up to date and empty the run's own database, which goes whole.
        with events.index_connection() as connection:
            events.delete_events_for_run(connection, run_id)
        runs.delete_run(run_id)
    else:
        instance.delete_run(run_id)
    # What Dagster leaves behind of a run that it deletes.
    if isinstance(events, SqlEventLogStorage):
        with events.index_connection() as connection:
            own = AssetCheckExecutionsTable.c.run_id == run_id
            connection.execute(AssetCheckExecutionsTable.delete().where(own))
    if isinstance(runs, SqlRunStorage):
        with runs.connect() as connection:
            connection.execute(RunTagsTable.delete().where(RunTagsTable.c.run_id == run_id))
    for file in files:
        file.unlink(missing_ok=True)


def _old_overviews(instance: dg.DagsterInstance, before: datetime, *, dry_run: bool) -> int:
    """How many events of the asset `datasets`, which belong to no run, are older than `before`;
    they are removed unless `dry_run`. The newest stays."""
    events, table, count = instance.event_log_storage, SqlEventLogStorageTable, 0
    if not isinstance(events, SqlEventLogStorage):
        return 0
    own = table.c.asset_key == dg.AssetKey(DATASETS_ASSET).to_string()
    # SQLite has them twice: in the file of runs without a name, and in the index.
    shards = [events.index_connection]
    if isinstance(events, SqliteEventLogStorage):
        shards.append(lambda: events.run_connection(RUNLESS_RUN_ID))
    for shard in shards:
        with shard() as connection:
            newest = connection.execute(select(func.max(table.c.id)).where(own)).scalar()
            old = own & (table.c.timestamp < before.replace(tzinfo=None)) & (table.c.id != newest)
            found = connection.execute(select(func.count()).where(old)).scalar() or 0
            count = max(count, found)
            if found and not dry_run:
                connection.execute(table.delete().where(old))
    return count


def _shrink(instance: dg.DagsterInstance) -> Iterator[str]:
    """Give back the room in the databases that all runs share; says which are in use."""
    events = instance.event_log_storage
    if not isinstance(events, SqliteEventLogStorage):
        return
    index = Path(events.path_for_shard("index"))
    for path in filter(Path.is_file, (index, index.parents[1] / "runs.db")):
        try:
            with closing(sqlite3.connect(path, timeout=5)) as connection:
                (free,) = connection.execute("PRAGMA freelist_count").fetchone()
                (pages,) = connection.execute("PRAGMA page_count").fetchone()
                if free > pages / _WORTH_IT:  # else the next runs fill it again
                    connection.execute("VACUUM")
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            yield f"{path} keeps its size for now: {error}."


@dg.op(name="prune_state", description="Remove what `retention` of pipeline.yaml says.")
def prune_state(context: dg.OpExecutionContext, pipeline: PipelineResource) -> None:
    with as_failures():
        settings = pipeline.settings()
        done = prune(settings, dry_run=False)
        own = prune_runs(settings, dry_run=False, instance=context.instance)
        removed = done.removed + own.removed
        for note in done.notes + own.notes:
            context.log.warning(note)
        context.add_output_metadata(
            {"removed": len(removed), "bytes": sum(each.bytes for each in removed)}
        )


@dg.job(
    name="prune",
    description="Remove old runs, reports and leftovers: what `syndb-pipeline prune` removes.",
)
def prune_job() -> None:
    prune_state()


prune_schedule = dg.ScheduleDefinition(
    name="prune_nightly",
    job=prune_job,
    cron_schedule="30 4 * * *",
    description="Off until you switch it on.",
)
