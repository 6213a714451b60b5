"""Rows of a query held against a pandera schema, batch by batch.

Belongs here: streaming from DuckDB into pandera and the failing cells back. Does not: which rows, which schema, what failing means.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import duckdb
import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaErrors

from syndb_pipeline.errors import PipelineError
from syndb_pipeline.findings.catalogue import RULES

FAILING: Final = "failing_cells"
"""Name under which `failing_cells` shows each batch's failing cells to DuckDB."""

_CELLS_OF_A_BATCH: Final = 4_000_000
_MOST_ROWS: Final = 1_000_000
_FEWEST_ROWS: Final = 65_536


def batch_rows(columns: int) -> int:
    """Rows of one batch of `columns` columns: enough for pandera's cost per batch not to count, few enough for some 50 MB of memory."""
    return min(_MOST_ROWS, max(_FEWEST_ROWS, _CELLS_OF_A_BATCH // max(columns, 1)))


def failing_cells(connection: duckdb.DuckDBPyConnection, query: str, schema: pa.DataFrameSchema, columns: int) -> Iterator[int]:
    """Hold the rows of `query`, in their order, against `schema`, whose checks are named by rule codes.

    For each batch that fails, the view `FAILING` (code, row_number, col, value) is there while the caller handles the yielded number of
    failing cells; `row_number` counts the query's rows from 0. Raises `PipelineError` when a column's type is not the schema's: what an
    earlier stage wrote is not what the contract says, which is our mistake and no finding about the lab's data.
    """
    # A connection with an open result takes no other statement; a cursor is a second one on the same database.
    with connection.cursor() as cursor:
        offset = 0
        for batch in cursor.sql(query).to_arrow_reader(batch_rows(columns)):
            failing = _failing(batch, schema, offset)
            if failing is not None:
                with _registered(connection, failing):
                    yield failing.height
            offset += batch.num_rows


def check_types(connection: duckdb.DuckDBPyConnection, query: str, schema: pa.DataFrameSchema) -> None:
    """Hold the columns and types of `query`, whose rows do not matter, against `schema`. Raises `PipelineError` as `failing_cells` does."""
    _failing(connection.sql(query).to_arrow_table().slice(0, 0), schema, 0)


def _failing(batch: Any, schema: pa.DataFrameSchema, offset: int) -> pl.DataFrame | None:
    """The failing cells of an arrow batch or table whose first row is number `offset`; None when there are none."""
    frame: Any = pl.from_arrow(batch)
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
            code=pl.col("check"), row_number=pl.col("index").cast(pl.Int64) + offset, col=pl.col("column"), value=pl.col("failure_case")
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
