"""Rows held against the contract: one SQL scan counts what fails, and pandera judges the rows that do.

Belongs here: compiling checks to SQL, and the failing cells back from pandera. Does not: which rows, which checks, what failing means.

pandera and polars are imported where a row fails: a process that reads clean tables does without them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import duckdb

from syndb_pipeline.contract.checks import CheckedTable
from syndb_pipeline.contract.tables import SQL_TYPES
from syndb_pipeline.engine import quote
from syndb_pipeline.errors import PipelineError
from syndb_pipeline.findings.catalogue import RULES

if TYPE_CHECKING:
    import pandera.polars as pa
    import polars as pl

FAILING: Final = "failing_cells"
"""Name under which `failing_cells` shows each batch's failing cells to DuckDB."""

ROW_NUMBER: Final = "row_number"
"""Name of the column of a query for `failing_cells` that numbers its rows."""

_BATCH_ROWS: Final = 100_000
"""Failing rows that pandera is given at a time: some 20 MB of the widest table."""

_ABSENT: Final = "not_nullable"  # pandera's name of the check that a required column has a value


@dataclass(frozen=True, slots=True)
class CompiledCheck:
    """One check of one column: its name (a rule's code) and the SQL condition under which a cell fails it."""

    code: str
    column: str
    fails: str


def compile_checks(table: CheckedTable) -> list[CompiledCheck]:
    """The checks of `table` as SQL; a required column has one more."""
    compiled = []
    for name, column in table.columns.items():
        cell = quote(name)
        compiled += [CompiledCheck(check.code, name, f"NOT ({check.predicate.sql(cell)})") for check in column.checks]
        if column.required:
            compiled.append(CompiledCheck(_ABSENT, name, f"{cell} IS NULL"))
    return compiled


def count_failing(connection: duckdb.DuckDBPyConnection, query: str, table: CheckedTable) -> dict[tuple[str, str], int]:
    """How many cells of `query` fail each check of `table`, by (code, column), in one scan; checks that all cells pass are left out."""
    checks = compile_checks(table)
    if not checks:
        return {}
    counts = ", ".join(f"count_if({check.fails})" for check in checks)
    [found] = connection.execute(f"SELECT {counts} FROM ({query})").fetchall()
    return {(check.code, check.column): int(count) for check, count in zip(checks, found, strict=True) if count}


def failing_cells(connection: duckdb.DuckDBPyConnection, query: str, table: CheckedTable) -> Iterator[int]:
    """Hold the rows of `query` against `table`, whose checks are named by rule codes. `query` gives ROW_NUMBER and the table's columns.

    Rows that pass are only counted, in DuckDB; those that fail are fetched in batches, and pandera names their cells. For each batch the
    view `FAILING` (code, row_number, col, value) is there while the caller handles the yielded number of failing cells. Raises
    `PipelineError` when a column's type is not the contract's (an earlier stage wrote something else), and when the count and pandera
    disagree: mistakes of ours, and no findings about the lab's data.
    """
    counted = count_failing(connection, query, table)
    if not counted:
        return
    import polars as pl

    from syndb_pipeline.contract.schema import schema_of

    schema = schema_of(table)
    told: Counter[tuple[str, str]] = Counter()
    fails = " OR ".join(check.fails for check in compile_checks(table) if (check.code, check.column) in counted)
    # A connection with an open result takes no other statement; a cursor is a second one on the same database.
    with connection.cursor() as cursor:
        for batch in cursor.sql(f"SELECT * FROM ({query}) WHERE {fails}").to_arrow_reader(_BATCH_ROWS):
            frame: Any = pl.from_arrow(batch)
            failing = _failing(frame.drop(ROW_NUMBER), schema, frame[ROW_NUMBER])
            if failing is not None:
                told.update({(code, column): count for code, column, count in failing.group_by("code", "col").len().rows()})
                with _registered(connection, failing):
                    yield failing.height
    if told != counted:
        raise PipelineError(
            f"The rules of {table.name} failed {dict(counted)} cells in DuckDB and {dict(told)} in pandera.",
            next_step="This is a fault of syndb-pipeline; please report it with the table.",
        )


def check_types(connection: duckdb.DuckDBPyConnection, query: str, table: CheckedTable) -> None:
    """Hold the columns and types of `query`, whose rows do not matter, against `table`. Raises `PipelineError` as `failing_cells` does.

    Only columns that DuckDB describes in the contract's own words pass by themselves; whatever is otherwise, pandera judges.
    """
    described = {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE {query}").fetchall()}
    if described == {name: SQL_TYPES[column.kind] for name, column in table.columns.items() if column.required or name in described}:
        return
    import polars as pl

    from syndb_pipeline.contract.schema import schema_of

    frame: Any = pl.from_arrow(connection.sql(query).to_arrow_table().slice(0, 0))
    _failing(frame, schema_of(table), pl.Series(dtype=pl.Int64))


def _failing(frame: pl.DataFrame, schema: pa.DataFrameSchema, numbers: pl.Series) -> pl.DataFrame | None:
    """The failing cells of `frame`, whose rows have `numbers`; None when there are none."""
    import polars as pl
    from pandera.errors import SchemaErrors

    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases
        # Cases without an index concern the frame, not a cell: a type, a column too many or too few.
        broken = cases.filter(pl.col("index").is_null() | ~pl.col("check").is_in(list(RULES)))
        if broken.height:
            wrong = "; ".join(f"{case['column']}: {case['failure_case']}, {case['check']}" for case in broken.head(3).to_dicts())
            raise PipelineError(
                f"The stage before wrote {schema.name} with columns that the contract does not describe ({wrong}).",
                next_step="This is a fault of syndb-pipeline. Run the command again with a clean state; report it if it comes back.",
            ) from None
        failing: pl.DataFrame = cases.select(
            code=pl.col("check"), row_number=numbers.gather(cases["index"]), col=pl.col("column"), value=pl.col("failure_case")
        )
        return failing
    return None


@contextmanager
def _registered(connection: duckdb.DuckDBPyConnection, failing: pl.DataFrame) -> Iterator[None]:
    connection.register(FAILING, failing.to_arrow())
    try:
        yield
    finally:
        connection.unregister(FAILING)
