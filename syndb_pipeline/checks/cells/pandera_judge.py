"""Rows held against the contract: pandera judges them, one SQL scan counts what fails in rows it
does not see.

Belongs here: compiling checks to SQL, having pandera judge, holding the two against each other, and
the sample of rows that it judges, of which percentiles are kept. Does not: which checks there are,
what failing means.

pandera is the authority. It judges every row of a small table; of a large one a sample, every row
that fails in SQL, and of each column the least and the greatest cell that pass there. SQL that lets
a cell pass which pandera does not is a fault of ours, never a verdict.

pandera and polars are imported where they judge: a process that finds everything unchanged needs
neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from math import isfinite
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import duckdb

from syndb_pipeline.base.arrow import pa
from syndb_pipeline.base.engine import parquet, quote, rows_in
from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.contract.checks import CheckedTable
from syndb_pipeline.contract.tables import SQL_TYPES, Column
from syndb_pipeline.rules.catalogue import RULES
from syndb_pipeline.state.results import Summary

if TYPE_CHECKING:
    import polars as pl

SAMPLE_ROWS: Final = 100_000
"""Rows of a sample: all of a small table, about this many of a large one, the same each time."""

SAMPLED: Final = "sampled"
"""The table in which `take_sample` leaves its sample."""

FAILING: Final = "failing_cells"
"""Name under which `failing_cells` shows each batch's failing cells to DuckDB."""

ROW_NUMBER: Final = "row_number"
"""Name of the column of a query for `failing_cells` that numbers its rows."""

_BATCH_ROWS: Final = 100_000
"""Failing rows that pandera is given at a time: some 20 MB of the widest table."""

_ABSENT: Final = "not_nullable"  # pandera's name of the check that a required column has a value
_JUDGED: Final = "judged_rows"  # the view of the rows that pandera judges just now

Counts = Counter[tuple[str, str]]
"""Failing cells by (code, column)."""


# -- the sample


def sampled(query: str, rows: int) -> str:
    """Those of the `rows` rows of `query`, which gives ROW_NUMBER, that are a sample of
    `SAMPLE_ROWS`.
    """
    # By a hash, because tables have rhythms: every other row may be empty.
    if rows <= SAMPLE_ROWS:
        return query
    return f"SELECT * FROM ({query}) WHERE hash({ROW_NUMBER}) % {-(-rows // SAMPLE_ROWS)} = 0"


def take_sample(
    connection: duckdb.DuckDBPyConnection, file: Path, columns: Collection[str]
) -> None:
    """Leave the table `SAMPLED`: `columns` of a sample of the rows of a Parquet file, and their
    ROW_NUMBER.
    """
    wanted = ", ".join([f"file_row_number AS {ROW_NUMBER}", *map(quote, columns)])
    rows = sampled(f"SELECT {wanted} FROM {parquet(file, row_number=True)}", rows_in(file))
    # Kept, as that many aggregates over chunks in which one row of a hundred is left cost six times
    # as much. No temporary table, which a second cursor would not see.
    connection.execute(f"CREATE OR REPLACE TABLE {SAMPLED} AS {rows}")


def summarise(
    connection: duckdb.DuckDBPyConnection, file: Path, columns: Sequence[Column]
) -> tuple[int, dict[str, Summary]]:
    """The rows of a Parquet file, and by name a `Summary` of each of the numeric `columns`, all in
    the sample.
    """
    names = [quote(column.name) for column in columns]
    source = parquet(file, row_number=True)
    # The file's footer knows these; NaN counts as the largest number there is.
    ends = "".join(f", row(count({name}), min({name}), max({name}))" for name in names)
    [(rows, *found)] = connection.execute(f"SELECT count(*){ends} FROM {source}").fetchall()
    # Exact quantiles hold every value in memory and approximate ones depend on the threads: hence a
    # sample.
    middles = ", ".join(
        f"quantile_disc({name}, [0.01, 0.5, 0.99]) FILTER (isfinite({name}::DOUBLE))"
        for name in names
    )
    [sample] = connection.execute(f"SELECT {middles} FROM {SAMPLED}").fetchall()
    summaries = {}
    for column, (present, least, most), middle in zip(columns, found, sample, strict=True):
        if present and not (isfinite(least) and isfinite(most)):
            name = quote(column.name)
            finite = f"SELECT min({name}), max({name}) FROM {source} WHERE isfinite({name}::DOUBLE)"
            [(least, most)] = connection.execute(finite).fetchall()
        p1, median, p99 = middle or (None, None, None)
        summaries[column.name] = Summary(
            nulls=rows - present, min=least, p1=p1, median=median, p99=p99, max=most
        )
    return rows, summaries


# -- the checks in SQL


@dataclass(frozen=True, slots=True)
class CompiledCheck:
    """One check of one column: its name (a rule's code) and the SQL condition under which a cell
    fails it.
    """

    code: str
    column: str
    fails: str


def compile_checks(table: CheckedTable) -> list[CompiledCheck]:
    """The checks of `table` as SQL; a required column has one more."""
    compiled = []
    for name, column in table.columns.items():
        cell = quote(name)
        compiled += [
            CompiledCheck(each.code, name, f"NOT ({each.predicate.sql(cell)})")
            for each in column.checks
        ]
        if column.required:
            compiled.append(CompiledCheck(_ABSENT, name, f"{cell} IS NULL"))
    return compiled


def count_failing(
    connection: duckdb.DuckDBPyConnection, query: str, table: CheckedTable
) -> tuple[int, Counts]:
    """The rows of `query`, and how many cells fail each check of `table` in SQL, where any do. One
    scan.
    """
    checks = compile_checks(table)
    counts = "".join(f", count_if({check.fails})" for check in checks)
    [(rows, *found)] = connection.execute(f"SELECT count(*){counts} FROM ({query})").fetchall()
    failing = zip(checks, found, strict=True)
    return int(rows), Counter(
        {(check.code, check.column): int(count) for check, count in failing if count}
    )


# -- pandera


def failing_cells(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    table: CheckedTable,
    *,
    sample: str | None = None,
) -> Iterator[int]:
    """Hold the rows of `query` against `table`, whose checks are named by rule codes.

    Args:
        query: Gives `ROW_NUMBER` and the table's columns.
        sample: Gives those rows of `query` that pandera judges whatever SQL says of them, as
            `sampled` would choose them.

    Yields:
        The number of failing cells of some rows. They are in the view `FAILING` (code, row_number,
        col, value) while the caller handles it.

    Raises:
        PipelineError: A column's type is not the contract's (an earlier stage wrote something
            else), or SQL and pandera disagree about cells: mistakes of ours, and no findings about
            the lab's data.
    """
    rows, counted = count_failing(connection, query, table)
    sample = sample or sampled(query, rows)
    found: Counts = Counter()
    chosen = connection.sql(sample).to_arrow_table()
    every = chosen.num_rows == rows
    yield from _judged(connection, chosen, table, found, counted if every else None)
    if not every:
        _judge_extremes(connection, query, table, {column for _, column in counted})
    if counted != found:  # more rows fail than were chosen
        fails = " OR ".join(check.fails for check in compile_checks(table))
        rest = (
            f"SELECT * FROM ({query}) WHERE ({fails}) AND {ROW_NUMBER} NOT IN (SELECT {ROW_NUMBER}"
            f" FROM ({sample}))"
        )
        # A connection with an open result takes no other statement; a cursor is a second one on the
        # database.
        with connection.cursor() as cursor:
            for batch in cursor.sql(rest).to_arrow_reader(_BATCH_ROWS):
                yield from _judged(connection, pa.Table.from_batches([batch]), table, found)
    _compare(table, counted, found)


def _judged(
    connection: duckdb.DuckDBPyConnection,
    rows: Any,
    table: CheckedTable,
    found: Counts,
    counted: Counts | None = None,
) -> Iterator[int]:
    """The number of cells of the Arrow table `rows` that fail, while they are in the view
    `FAILING`; added to `found`. `counted` are those that fail in SQL, where that is known.
    """
    failing, counts = _failing(rows, table)
    if counted is None:
        with _registered(connection, _JUDGED, rows):
            _, counted = count_failing(connection, f"FROM {_JUDGED}", table)
    _compare(table, counted, counts)
    found.update(counts)
    if failing.height:
        with _registered(connection, FAILING, failing.to_arrow()):
            yield failing.height


def _judge_extremes(
    connection: duckdb.DuckDBPyConnection, query: str, table: CheckedTable, failed: Collection[str]
) -> None:
    """Judge, of each column, the cells that would fail first among those of `query` that SQL lets
    pass.

    So a large table is judged whole as far as bounds and lengths go, by a few cells that the files'
    footers mostly know. `failed` are the columns in which cells fail in SQL.
    """
    columns, cells = {}, [f"(SELECT 0::BIGINT AS {ROW_NUMBER})"]
    for name, column in table.columns.items():
        cell = quote(name)
        wanted = {each for check in column.checks for each in check.predicate.extremes(cell)}
        if wanted:
            columns[name] = replace(column, required=False)
            # Only where it is needed: a footer does not know which cells pass.
            passes = " AND ".join(f"({check.predicate.sql(cell)})" for check in column.checks)
            only = f" FILTER ({passes})" if name in failed else ""
            extremes = ", ".join(each + only for each in sorted(wanted))
            cells.append(f"(SELECT unnest([{extremes}]) AS {cell} FROM ({query}))")
    rows = connection.sql(f"FROM {' POSITIONAL JOIN '.join(cells)}").to_arrow_table()
    _compare(table, Counter(), _failing(rows, CheckedTable(table.name, columns))[1])


def check_types(connection: duckdb.DuckDBPyConnection, query: str, table: CheckedTable) -> None:
    """Hold the columns and types of `query`, whose rows do not matter, against `table`; raises as
    `failing_cells`.

    Only columns that DuckDB describes in the contract's own words pass by themselves; pandera
    judges others.
    """
    described = {
        name: kind for name, kind, *_ in connection.execute(f"DESCRIBE {query}").fetchall()
    }
    wanted = {
        name: SQL_TYPES[column.kind]
        for name, column in table.columns.items()
        if column.required or name in described
    }
    if described != wanted:
        none = f"SELECT *, 0::BIGINT AS {ROW_NUMBER} FROM ({query}) LIMIT 0"
        _failing(connection.sql(none).to_arrow_table(), table)


def _compare(table: CheckedTable, in_sql: Counts, in_pandera: Counts) -> None:
    """Raise `PipelineError` where SQL and pandera count failing cells of `table` differently."""
    for code, column in sorted(in_sql.keys() | in_pandera.keys()):
        one, other = in_sql[code, column], in_pandera[code, column]
        if one != other:
            raise PipelineError(
                f"Of the cells of {table.name}.{column}, {one:,} break the rule {code} by DuckDB,"
                f" and {other:,} by pandera.",
                next_step=(
                    "This is a fault of syndb-pipeline, not of the table. Nothing was accepted or"
                    " sent. Please report it with this message."
                ),
            )


def _failing(rows: Any, table: CheckedTable) -> tuple[pl.DataFrame, Counts]:
    """The failing cells of the Arrow table `rows`, which has ROW_NUMBER beside the columns of
    `table`, and how many they are."""
    import polars as pl
    from pandera.errors import SchemaErrors

    from syndb_pipeline.contract.schema import schema_of

    frame: Any = pl.from_arrow(rows)
    cases = pl.DataFrame(
        schema={
            "check": pl.String,
            "index": pl.Int32,
            "column": pl.String,
            "failure_case": pl.String,
        }
    )
    try:
        schema_of(table).validate(frame.drop(ROW_NUMBER), lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases
    # Cases without an index concern the frame, not a cell: a type, a column too many or too few.
    broken = cases.filter(pl.col("index").is_null() | ~pl.col("check").is_in(list(RULES)))
    if broken.height:
        wrong = "; ".join(
            f"{case['column']}: {case['failure_case']}, {case['check']}"
            for case in broken.head(3).to_dicts()
        )
        raise PipelineError(
            f"The stage before wrote {table.name} with columns that the contract does not describe"
            f" ({wrong}).",
            next_step=(
                "This is a fault of syndb-pipeline. Run the command again with a clean state; "
                "report it if it comes back."
            ),
        )
    failing = cases.select(
        code="check",
        row_number=frame[ROW_NUMBER].gather(cases["index"]),
        col="column",
        value="failure_case",
    )
    counts = failing.group_by("code", "col").len().rows()
    return failing, Counter({(code, column): count for code, column, count in counts})


def import_ahead() -> None:
    """Import pandera in a thread of its own, while this one waits for DuckDB: it takes a quarter of
    a second. What asks for it sooner waits for that thread.
    """
    import_module("pyarrow")  # which both would import otherwise
    Thread(target=_import_schema).start()


def _import_schema() -> None:
    import syndb_pipeline.contract.schema  # noqa: F401


@contextmanager
def _registered(connection: duckdb.DuckDBPyConnection, name: str, rows: Any) -> Iterator[None]:
    connection.register(name, rows)
    try:
        yield
    finally:
        connection.unregister(name)
