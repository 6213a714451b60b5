"""One way to open DuckDB, the few SQL pieces every stage shares, and the Parquet files they write.

Belongs here: limits, spill folder, the UUID macro, quoting, writing Parquet and reading the footers
of what was written. Does not: what a stage asks; files of labs, whose footers may be wrong
(`readers/formats/parquet.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from threading import Thread
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import duckdb

from syndb_pipeline.base.arrow import pa, pc, pq
from syndb_pipeline.base.digests import Stamp, digest_of, stamp
from syndb_pipeline.base.system import force

PYTHON_SHARE: Final = 400_000_000
"""Bytes of the memory limit kept for what DuckDB does not count: the interpreter, arrow batches,
Parquet writers.
"""

DICTIONARY_VALUES: Final = 10_000
"""Distinct values up to which a column's row group is written by a dictionary. Looking for more in
keys and measurements costs a fifth of the writing, in vain.
"""

ROW_GROUP_ROWS: Final = 122_880
"""Rows of a Parquet row group, DuckDB's default: fixed, so equal rows give equal bytes whatever the
threads.
"""

_LITTLE_MEMORY: Final = 300_000_000
"""Bytes for queries of which none is spared."""

_NO_STATISTICS: Final = ("disabled_optimizers", "statistics_propagation")
"""Else a column is marked as required where a source's statistics happen to show that no value is
missing, and equal rows differ.
"""

_ahead: Final[dict[Path, Future[None]]] = {}
"""What `flush_ahead` has started writing."""

T = TypeVar("T")
R = TypeVar("R")


def quote(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """`value` (text, number, None, or a list of those) as an SQL literal."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    return "'" + str(value).replace("'", "''") + "'"


def exact_path(path: Path | str) -> str:
    """`path` as DuckDB's file readers take it literally: a glob character in it would make them
    search.
    """
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(path))


def parquet(*paths: Path | str, row_number: bool = False) -> str:
    """A FROM item that reads Parquet files, one after the other; with `row_number`, its column
    `file_row_number` counts rows from 0.

    A folder called `gaba=0.9` is a name like any other: by itself DuckDB would take it for a
    column, in place of the file's own.
    """
    files = [exact_path(path) for path in paths]
    number = ", file_row_number=true" if row_number else ""
    return (
        f"read_parquet({literal(files if len(files) > 1 else files[0])},"
        f" hive_partitioning=false{number})"
    )


@contextmanager
def connect(
    *, memory_limit: int, threads: int, spill: Path, dataset: UUID | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory DuckDB that stays within `memory_limit` bytes of process memory and spills into
    the folder `spill`.

    With `dataset`, the macro `row_uuid(table_name, key)` gives `uuid5(dataset,
    "<table_name>/<key>")` (RFC 9562, 5.5), NULL for NULL. Nothing is downloaded: extensions are
    neither installed nor loaded on demand.
    """
    spill.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(
        config={
            "threads": threads,
            "memory_limit": f"{memory_for_queries(memory_limit)}B",
            "temp_directory": str(spill),
            "preserve_insertion_order": True,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )
    try:
        connection.execute("SET enable_progress_bar = false; SET TimeZone = 'UTC'")
        if dataset is not None:
            connection.execute(_uuid5_macro(dataset))
        yield connection
    except (duckdb.InterruptException, RuntimeError) as error:
        # Ctrl+C during a query: DuckDB takes the signal, so Python does not raise what everybody
        # else listens for.
        if "interrupted" in str(error).casefold():
            raise KeyboardInterrupt from error
        raise
    finally:
        connection.close()


def memory_for_queries(memory_limit: int) -> int:
    """Bytes of `memory_limit` that are DuckDB's."""
    return max(memory_limit - PYTHON_SHARE, 100_000_000)


def memory_to_spill(memory: int, rows: int) -> int:
    """Bytes for DuckDB to stay within while so many `rows` go to the disk and back: it keeps books
    on them that it does not count.

    0.7 to 1.3 bytes for each row were measured, of 10 to 100 million. It is a tenth of `memory` at
    most, and nothing where that is little: DuckDB counts 30 million distinct keys within 100 MB,
    and cannot within 90.
    """
    return max(memory - min(rows * 3 // 2, memory // 10), min(memory, _LITTLE_MEMORY))


def set_memory(connection: duckdb.DuckDBPyConnection, memory: int) -> None:
    """Have `connection` stay within `memory` bytes from now on: what it holds beyond them goes to
    its spill folder.
    """
    connection.execute(f"SET memory_limit = '{memory}B'")


def _uuid5_macro(namespace: UUID) -> str:
    keep = ((1 << 128) - 1) & ~(0xF << 76) & ~(0x3 << 62)
    version_and_variant = (5 << 76) | (0b10 << 62)
    # the same for all rows of a table
    prefix = f"(from_hex('{namespace.hex}') || encode(table_name || '/'))"
    digest = f"from_hex(left(sha1({prefix} || encode(key)), 32))"
    # Bits, not numbers, which DuckDB makes a UUID of from 2.0 only, and 0.08 s faster a million.
    return (
        f"CREATE TEMP MACRO row_uuid(table_name, key) AS ((({digest}::BIT & '{keep:0128b}'::BIT) |"
        f" '{version_and_variant:0128b}'::BIT)::BLOB::UUID)"
    )


def write_parquet(
    connection: duckdb.DuckDBPyConnection, query: str, path: Path, *, published: bool = False
) -> int:
    """Write the rows of `query`, in their order, to one Parquet file that is on its way to the disk
    (`flush_ahead`), or into a pipe. Returns the number of rows.

    What is `published` is small and open to every reader: zstd, pages of version 1; level 1, for
    the default of 3 takes half as long again to make measurements 4 % smaller. What only the next
    stage reads is written fast: lz4, pages of version 2, some 10 % less processor time over all
    stages for some 15 % more disk (2 million rows in the largest table).
    """
    form = (
        "COMPRESSION zstd, COMPRESSION_LEVEL 1"
        if published
        else "COMPRESSION lz4, PARQUET_VERSION v2"
    )
    groups = f"ROW_GROUP_SIZE {ROW_GROUP_ROWS}, DICTIONARY_SIZE_LIMIT {DICTIONARY_VALUES}"
    copy = (
        f"COPY ({query}) TO {literal(str(path))} (FORMAT parquet, {form}, {groups}, USE_TMP_FILE"
        " false)"
    )
    with _setting(connection, *_NO_STATISTICS), in_order(connection, query):
        (rows,) = connection.execute(copy).fetchone() or (0,)
    if path.is_file():
        flush_ahead(path)
    return int(rows)


@contextmanager
def in_order(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[None]:
    """While `query` is copied to a file: a second thread for a UNION ALL where there is but one,
    for DuckDB 2.0 alone writes the last of its selects first.
    """
    alone = "UNION ALL" in query and _value(connection, "threads") == 1
    if alone:
        connection.execute("SET threads = 2")
    try:
        yield
    finally:
        if alone:
            connection.execute("SET threads = 1")


def write_sorted(
    connection: duckdb.DuckDBPyConnection, query: str, order: str, path: Path, columns: str = "*"
) -> None:
    """Write `columns` of the rows of `query`, sorted by `order`, which distinguishes any two, to
    one Parquet file, as `write_parquet` does.

    Many rows go to the disk and come back twice, so `query` gives as few bytes as will do, and
    `columns` are worked out of them at the end. The bytes are those that `write_parquet` gives for
    the same rows when they come in that order. Joining and sorting would each hold memory that it
    does not give back to the other, so they come one after the other, when both can use the disk.
    Where that is too little still, one thread does it: each holds memory of its own.
    """
    try:
        _write_sorted(connection, query, order, path, columns)
    except duckdb.OutOfMemoryException:
        threads = _value(connection, "threads")
        connection.execute("SET threads = 1")
        try:
            _write_sorted(connection, query, order, path, columns)
        finally:
            connection.execute(f"SET threads = {threads}")


def _write_sorted(
    connection: duckdb.DuckDBPyConnection, query: str, order: str, path: Path, columns: str
) -> None:
    connection.execute(f"CREATE OR REPLACE TEMP TABLE unsorted AS {query}")
    # Sorted in a subquery: else DuckDB would work `columns` out first and sort them.
    write_parquet(connection, f"SELECT {columns} FROM (FROM unsorted ORDER BY {order})", path)
    connection.execute("DROP TABLE unsorted")


@dataclass(frozen=True)
class Job(Generic[T]):
    """One of several works: on `item`, with so many bytes of `memory`, once those on the items of
    `after` are done.
    """

    item: T
    after: frozenset[T] = frozenset()
    memory: int = 0


def side_by_side(
    connection: duckdb.DuckDBPyConnection,
    work: Callable[[duckdb.DuckDBPyConnection, T], R],
    items: Sequence[T],
    threads: int,
) -> list[R]:
    """`work(cursor, item)` for each of `items`, started in their order, at most `threads` at a
    time, each with a cursor of its own.

    For statements of which DuckDB runs each with one thread. Returns what each gave, in the order
    of `items`. What one raises, and Ctrl+C, is raised once the others were stopped.
    """
    # This setting is the whole database's: no one may give it back while another one writes.
    with _setting(connection, *_NO_STATISTICS):
        gave = do_jobs([Job(item) for item in items], work, lambda _: connection.cursor(), threads)
    return [gave[item] for item in items]


def do_jobs(
    jobs: Iterable[Job[T]],
    work: Callable[[duckdb.DuckDBPyConnection, T], R],
    connected: Callable[[Job[T]], AbstractContextManager[duckdb.DuckDBPyConnection]],
    threads: int,
    memory: int = 0,
) -> dict[T, R]:
    """`work(connection, item)` for each of `jobs`, with a connection that `connected` opens for it
    alone. Returns what each gave, by item.

    Of the jobs that may begin, the first one does; at most `threads` are at work at a time, and
    together within `memory` bytes, but for a larger one, which works alone. What one raises, and
    Ctrl+C, is raised once the others were stopped. Raises `ValueError` for jobs that wait for one
    another, or for one that is not there.
    """
    left, gave = list(jobs), dict[T, R]()
    at_work: dict[Future[R], tuple[Job[T], duckdb.DuckDBPyConnection, ExitStack]] = {}
    with ThreadPoolExecutor(threads) as pool, ExitStack() as connections:
        try:
            while left or at_work:
                for job in list(left):
                    taken = [other.memory for other, *_ in at_work.values()]
                    if (
                        len(taken) < threads
                        and job.after <= gave.keys()
                        and (not taken or sum(taken) + job.memory <= memory)
                    ):
                        left.remove(job)
                        opened = connections.enter_context(ExitStack())
                        connection = opened.enter_context(connected(job))
                        at_work[pool.submit(work, connection, job.item)] = job, connection, opened
                if not at_work:
                    raise ValueError(f"None of these can begin: {[job.item for job in left]}")
                # Looked at now and then: libraries make Ctrl+C (SIGINT) a signal after which a wait
                # goes on as if nothing had been.
                for future in wait(at_work, timeout=0.1, return_when=FIRST_COMPLETED).done:
                    gave[at_work[future][0].item] = (
                        future.result()
                    )  # raises what ended it while others go on
                    at_work.pop(future)[2].close()
            return gave
        except BaseException:
            while any(
                not future.done() for future in at_work
            ):  # more than once: one may be between two statements
                for _, connection, _ in at_work.values():
                    connection.interrupt()
                wait(at_work, timeout=0.05)
            raise


@contextmanager
def given(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    columns: Mapping[str, str],
    rows: Iterable[Sequence[Any]],
) -> Iterator[None]:
    """`rows` of Python's, as the view `name` while inside. `columns` gives each name its DuckDB
    type, VARCHAR, BIGINT or DOUBLE.
    """
    types = {"VARCHAR": pa.string(), "BIGINT": pa.int64(), "DOUBLE": pa.float64()}
    cells = list(zip(*rows, strict=True)) or [()] * len(columns)
    arrays = [
        pa.array(values, types[kind]) for values, kind in zip(cells, columns.values(), strict=True)
    ]
    connection.register(name, pa.table(arrays, names=list(columns)))
    try:
        yield
    finally:
        connection.unregister(name)


@contextmanager
def _setting(connection: duckdb.DuckDBPyConnection, name: str, value: str) -> Iterator[None]:
    """`name` set to `value` inside; where that is so already, it is left to whoever set it."""
    if _value(connection, name) == value:
        yield
        return
    connection.execute(f"SET {name} = {literal(value)}")
    try:
        yield
    finally:
        connection.execute(f"RESET {name}")


def _value(connection: duckdb.DuckDBPyConnection, name: str) -> Any:
    """What the setting `name` is now."""
    [(value,)] = connection.execute(f"SELECT current_setting({literal(name)})").fetchall()
    return value


def flush_ahead(path: Path) -> None:
    """Begin to force a file to disk in a thread: `flush`, which has to come before anything relies
    on it, will wait for less. It also raises what goes wrong here.
    """
    done = _ahead[path] = Future()

    def begin() -> None:
        try:
            force(path)
        except FileNotFoundError:  # taken away since
            pass
        except OSError as error:
            done.set_exception(error)
            return
        done.set_result(None)

    Thread(target=begin).start()


def flush(path: Path) -> None:
    """Force a file or folder to disk (fsync). Raises `OSError`."""
    if started := _ahead.pop(path, None):
        started.result()
    force(path)


def types_of(path: Path) -> Mapping[str, str]:
    """The names of the columns, in the file's order, with their Arrow types, e.g. `int64`. Raises
    `OSError`.
    """
    return _types(path, stamp(path))


@lru_cache(maxsize=256)
def _types(path: Path, _: Stamp) -> Mapping[str, str]:
    return {field.name: str(field.type) for field in pq.read_schema(path)}


def rows_in(path: Path) -> int:
    """How many rows the file has. Raises `OSError`."""
    return int(pq.read_metadata(path).num_rows)


def values_in(path: Path, column: str) -> int:
    """How many values `column` has at most: its rows, less those that the statistics of a row group
    know to have none. Raises `OSError`.

    Our own files have these statistics in every row group, so that it is the number of values.
    """
    rows, empty = _empty_cells(path, column)
    return rows - sum(each or 0 for each in empty)


def is_surely_full(path: Path, column: str) -> bool:
    """Whether the statistics of every row group say that no cell of `column` is empty."""
    return all(each == 0 for each in _empty_cells(path, column)[1])


def _empty_cells(path: Path, column: str) -> tuple[int, list[int | None]]:
    """The rows, and the empty cells of each row group, None where its statistics do not know."""
    metadata = pq.read_metadata(path)
    index = metadata.schema.names.index(column)
    groups = (metadata.row_group(group) for group in range(metadata.num_row_groups))
    known = [group.column(index).statistics for group in groups]
    empty = [each.null_count if each and each.has_null_count else None for each in known]
    return int(metadata.num_rows), empty


def is_surely_empty(path: Path, column: str) -> bool:
    """Whether the statistics of every row group say that `column` has no value."""
    return values_in(path, column) == 0


def digest_of_rows(path: Path) -> str:
    """A digest of the columns of a Parquet file, by name and type, and of their values in the order
    of the rows. Raises `OSError`.

    Which library wrote it, in which version, encoding or groups of rows, changes nothing.
    """
    file = pq.ParquetFile(path)
    parts = {name: (sha256(), sha256(), sha256()) for name in file.schema_arrow.names}
    for batch in file.iter_batches():
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            for part, content in zip(parts[name], _content(column), strict=True):
                part.update(content)
    return digest_of(
        [
            [field.name, str(field.type), *(part.hexdigest() for part in parts[field.name])]
            for field in file.schema_arrow
        ]
    )


def _content(column: Any) -> tuple[memoryview, memoryview, memoryview]:
    """Of a pyarrow array: which cells have a value, how long each is where that differs, and the
    values, all as they are in memory, so that arrays side by side give what one of both would.
    """
    there, nothing = column.is_valid().cast(pa.uint8()), memoryview(b"")
    values = getattr(column, "storage", column).drop_null()
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    if not len(values):
        return _cells(there, 1), nothing, nothing
    if pa.types.is_string(values.type):
        offsets = _cells(values, 4, more=1).cast("i")
        text = memoryview(values.buffers()[2] or b"")[offsets[0] : offsets[-1]]
        return _cells(there, 1), _cells(pc.binary_length(values), 4), text
    return _cells(there, 1), nothing, _cells(values, values.type.bit_width // 8)


def _cells(array: Any, width: int, more: int = 0) -> memoryview:
    start, end = array.offset, array.offset + len(array) + more
    return memoryview(array.buffers()[1])[start * width : end * width]
