"""What tests leave out for time, where nothing that they look at depends on it.

Belongs here: starting DuckDB and the process that opens files once for many datasets, writing
without waiting for the disk. Does not: anything that a test asserts.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final
from unittest.mock import Mock
from uuid import UUID

import duckdb

from syndb_pipeline.base import engine
from syndb_pipeline.checks.references import search
from syndb_pipeline.readers import casts
from syndb_pipeline.readers.fence import Fence


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


def start_once() -> None:
    """Have all that runs on this process's main thread from now on share one DuckDB and one process
    for opening files, whose starts take longer than all else that is done with few rows.

    That is so within the limits of most labs here: one thread, hence one connection at work, and
    memory enough for it. Within others, each is as a command starts it.
    """
    engine.connect = _connect
    for module, macro in _MACROS.items():
        module.prepare = _unless_it_has(macro, _PREPARE[module])
    Fence.__enter__ = lambda fence: _fence() if _on_main_thread() else fence


def start_each() -> None:
    """As a command does it, again."""
    engine.connect, Fence.__enter__ = _CONNECT, _ENTER
    for module, prepare in _PREPARE.items():
        module.prepare = prepare


_ENOUGH_MEMORY: Final = 600_000_000
_CONNECT: Final = engine.connect
_MACROS: Final = {casts: "tidy", search: "form_case"}
"""Modules that define macros, and one of each."""
_PREPARE: Final = {module: module.prepare for module in _MACROS}
_ENTER: Final = Fence.__enter__


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


_OPEN: Final[list[duckdb.DuckDBPyConnection]] = []


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
    shared.execute("SET GLOBAL TimeZone = 'UTC'")
    macros = Mock()
    for prepare in _PREPARE.values():
        prepare(macros)
    for call in macros.execute.call_args_list:
        shared.execute(call.args[0].replace(" TEMP ", " "))
    return shared


@contextmanager
def _connect(
    *, memory_limit: int, threads: int, spill: Path, dataset: UUID | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    if threads != 1 or memory_limit < _ENOUGH_MEMORY or not _on_main_thread():
        with _CONNECT(
            memory_limit=memory_limit, threads=threads, spill=spill, dataset=dataset
        ) as own:
            yield own
        return
    with connected() as connection:
        engine.set_memory(connection, engine.memory_for_queries(memory_limit))
        if dataset is not None:
            connection.execute(engine._uuid5_macro(dataset))
        yield connection


@contextmanager
def connected() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the DuckDB of this process, which forgets afterwards what was made by it."""
    with _shared().cursor() as connection:
        others = _tables_and_views(connection) if _OPEN else set()
        _OPEN.append(connection)
        try:
            yield connection
        finally:
            _OPEN.remove(connection)
            for kind, own in _tables_and_views(connection) - others:
                connection.execute(f"DROP {kind} {engine.quote(own)}")


def _tables_and_views(connection: duckdb.DuckDBPyConnection) -> set[tuple[str, str]]:
    return set(
        connection.execute("""
            SELECT 'TABLE', table_name FROM duckdb_tables() WHERE NOT temporary
            UNION ALL
            SELECT 'VIEW', view_name FROM duckdb_views() WHERE NOT temporary AND NOT internal
        """).fetchall()
    )


def _unless_it_has(
    macro: str, prepare: Callable[[duckdb.DuckDBPyConnection], None]
) -> Callable[[duckdb.DuckDBPyConnection], None]:
    def prepared(connection: duckdb.DuckDBPyConnection) -> None:
        try:
            connection.execute(f"SELECT {macro}('1')")
        except duckdb.CatalogException:
            prepare(connection)

    return prepared
