"""Writing the relations that join_relations has planned: each table's file in the order of its
rows, as many tables at a time as may be.

Belongs here: which table is written when, with how much memory, and what is done where that is too
little. Does not: what is looked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final

import duckdb

from syndb_pipeline.base.engine import (
    ROW_GROUP_ROWS,
    Job,
    do_jobs,
    memory_for_queries,
    memory_to_spill,
    parquet,
    set_memory,
    write_parquet,
    write_sorted,
)
from syndb_pipeline.checks.references.relations import Join
from syndb_pipeline.state.progress import Meter
from syndb_pipeline.state.stage import Context

_BYTES_OF_A_PARENT: Final = 200
"""Memory, about, that DuckDB wants for a row that others name, or else it moves it to disk while
they look it up: 140 to 200 were measured, with keys of 7 to 36 characters. For two such tables it
wants half as much again of each.
"""

_BYTES_OF_A_TABLE: Final = 32_000_000
"""Memory, about, that reading and writing take beside that."""

_BYTES_AT_REST: Final = 16_000_000
"""Memory of a connection while others work: the failing cells that the stage's own one holds are on
disk so long.
"""


def memory_to_join(parents: Iterable[int]) -> int:
    """Bytes that a join needs to look up a column in each of some tables with so many rows without
    the help of the disk.
    """
    rows = list(parents)
    return _BYTES_OF_A_TABLE + _BYTES_OF_A_PARENT * sum(rows) * (2 if len(rows) == 1 else 3) // 2


def write_joins(
    context: Context, connection: duckdb.DuckDBPyConnection, joins: Mapping[str, Join], meter: Meter
) -> None:
    """Write the file of every one of `joins`, by table, parents before children; `connection` is
    free for it, with all threads and memory.

    DuckDB joins with several threads in any order. With one it keeps the order of the rows that
    look something up, as long as what they look it up in fits into memory: it does not promise so,
    but the file shows it. So tables are joined side by side, each with one thread; one whose rows
    do not come in order is joined again by all threads, alone, and sorted. Both ways give the same
    bytes.
    """
    memory, threads = memory_for_queries(context.settings.memory_limit), context.settings.threads
    written: set[str] = set()
    unfit = {table for table, join in joins.items() if join.memory > memory}
    if sum(join.rows for join in joins.values()) < ROW_GROUP_ROWS:
        unfit = set(joins)  # sooner done than another connection is opened

    def write(own: duckdb.DuckDBPyConnection, table: str) -> None:
        if joins[table].after <= written:  # else it waits until what it reads is written alone
            with meter.table(table, own):
                (written if _in_order(own, joins[table]) else unfit).add(table)

    with ExitStack() as stack:
        idle: list[duckdb.DuckDBPyConnection] = []

        @contextmanager
        def one_thread(job: Job[str]) -> Iterator[duckdb.DuckDBPyConnection]:
            own = idle.pop() if idle else stack.enter_context(context.duckdb(threads=1))
            set_memory(own, job.memory)
            yield own
            idle.append(own)

        while left := [table for table in joins if table not in written]:
            together: dict[str, Job[str]] = {}
            for table in left:
                reads = joins[table].after - written
                if table not in unfit and reads <= together.keys():
                    together[table] = Job(table, reads, joins[table].memory)
            if together:
                hanging: dict[
                    str, int
                ] = {}  # rows of a table and of the longest line of those that wait for it
                for table in reversed(together):
                    behind = [hanging[other] for other in hanging if table in together[other].after]
                    hanging[table] = joins[table].rows + max(behind, default=0)
                set_memory(connection, _BYTES_AT_REST)
                do_jobs(
                    sorted(together.values(), key=lambda job: -hanging[job.item]),
                    write,
                    one_thread,
                    threads,
                    memory,
                )
                for own in idle:
                    set_memory(own, _BYTES_AT_REST)
            table = next((table for table in left if table not in written), "")
            if table:
                join = joins[table]
                set_memory(
                    connection, memory_to_spill(memory - len(idle) * _BYTES_AT_REST, join.rows)
                )
                with meter.table(table, connection):
                    write_sorted(
                        connection, join.in_any_order, "row_number", join.path, join.columns
                    )
                written.add(table)
    set_memory(connection, memory)


def _in_order(connection: duckdb.DuckDBPyConnection, join: Join) -> bool:
    """Write the file of `join` as its rows come; whether they came in their order, and all of
    them.
    """
    try:
        write_parquet(connection, f"SELECT {join.columns} FROM ({join.in_order})", join.path)
    except duckdb.OutOfMemoryException:
        return False
    found = (
        "SELECT count(*), count_if(row_number IS DISTINCT FROM file_row_number) FROM"
        f" {parquet(join.path, row_number=True)}"
    )
    return connection.execute(found).fetchone() == (join.rows, 0)
