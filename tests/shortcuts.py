"""What tests leave out for time, where nothing that they look at depends on it.

Belongs here: starting DuckDB and the process that opens files once for many datasets, writing
without waiting for the disk. Does not: anything that a test asserts.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any
from unittest.mock import Mock, patch
from uuid import UUID

import duckdb

from syndb_pipeline.base import engine
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.readers import casts
from syndb_pipeline.readers.fence import Fence
from syndb_pipeline.stages import runner
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import Record


def write_without_waiting() -> None:
    """No fsync in this process from now on: a test may kill a process, but cannot cut the power,
    and what was written is there for every process that comes after.
    """
    os.fsync = lambda descriptor: None


def log_without_waiting() -> None:
    """The same for what Dagster keeps in SQLite, an event at a time."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def connected(connection: Any, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")


@contextmanager
def started_once(settings: PipelineSettings) -> Iterator[None]:
    """Have stages share the DuckDB of this process and its process for opening files, whose starts
    take longer than all else they do with few rows.

    That is so within the limits of most labs here: one thread, hence one connection at work, and
    1 GB. Within others, each is as a command starts it.
    """
    if (settings.threads, settings.memory_limit) != (1, 1_000_000_000):
        yield
        return
    _shared()
    with (
        patch.object(engine, "connect", _connect),
        patch.object(casts, "prepare", lambda connection: None),
        patch.object(Fence, "__enter__", lambda fence: _fence()),
    ):
        yield


def start_once() -> None:
    """`started_once` for every stage that runs in this process from now on."""
    run_stage = runner.run_stage

    @wraps(run_stage)
    def quickly(context: Context, name: str, *, force: bool = False) -> Record:
        with started_once(context.settings):
            return run_stage(context, name, force=force)

    runner.run_stage = quickly


@cache
def _fence() -> Fence:
    return Fence()


@cache
def _shared() -> duckdb.DuckDBPyConnection:
    shared = duckdb.connect(
        config={
            "threads": 1,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "temp_directory": tempfile.mkdtemp(prefix="spill-"),
        }
    )
    # Files change under the same path from one dataset to the next.
    shared.execute("SET enable_progress_bar = false; SET enable_external_file_cache = false")
    macros = Mock()
    casts.prepare(macros)
    shared.execute(macros.execute.call_args.args[0].replace(" TEMP ", " "))
    return shared


@contextmanager
def _connect(
    *, memory_limit: int, dataset: UUID | None = None, **_: Any
) -> Iterator[duckdb.DuckDBPyConnection]:
    with _shared().cursor() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        engine.set_memory(connection, engine.memory_for_queries(memory_limit))
        if dataset is not None:
            connection.execute(engine._uuid5_macro(dataset))
        others = _tables(connection)
        try:
            yield connection
        finally:
            for own in _tables(connection) - others:
                connection.execute(f"DROP TABLE {engine.quote(own)}")


def _tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    return {
        name
        for (name,) in connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE NOT temporary"
        ).fetchall()
    }
