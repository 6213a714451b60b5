"""Missing values, extremes and percentiles of a table's numeric columns: validate keeps them in its
record, reports draw from them.

Belongs here: the facts, and the sample of rows that percentiles come from and that pandera judges.
Does not: judging (`frames.py`, `plausibility.py`), drawing (`findings/`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import isfinite
from pathlib import Path
from typing import Final, TypedDict

import duckdb

from syndb_pipeline.base.engine import parquet, quote
from syndb_pipeline.base.footers import rows_in
from syndb_pipeline.checks.cells.pandera_judge import ROW_NUMBER, sampled
from syndb_pipeline.contract.tables import Column

SAMPLED: Final = "sampled"
"""The table in which `take_sample` leaves its sample."""


class Summary(TypedDict):
    """Of one column: cells without a value, and of its finite values the smallest, some percentiles
    and the largest; None without any.
    """

    nulls: int
    min: float | None
    p1: float | None
    median: float | None
    p99: float | None
    max: float | None


def take_sample(
    connection: duckdb.DuckDBPyConnection, file: Path, columns: Collection[str]
) -> None:
    """Leave the table `SAMPLED`: `columns` of a sample of the rows of the Parquet file `file`, and
    their `ROW_NUMBER`.
    """
    wanted = ", ".join([f"file_row_number AS {ROW_NUMBER}", *map(quote, columns)])
    rows = sampled(f"SELECT {wanted} FROM {parquet(file, row_number=True)}", rows_in(file))
    # Laid aside: that many aggregates over chunks in which one row of a hundred is left cost six
    # times as much. No temporary table, which a second cursor would not see.
    connection.execute(f"CREATE OR REPLACE TABLE {SAMPLED} AS {rows}")


def summarise(
    connection: duckdb.DuckDBPyConnection, file: Path, columns: Sequence[Column]
) -> tuple[int, dict[str, Summary]]:
    """The rows of the Parquet file `file`, and a `Summary` of each of the numeric `columns`, by
    name; `take_sample` was called for them.
    """
    names = [quote(column.name) for column in columns]
    source = parquet(file, row_number=True)
    # The file's footer knows these; NaN counts as the largest number there is.
    wanted = ", ".join(f"count({name}), min({name}), max({name})" for name in names)
    rows, *found = connection.execute(f"SELECT count(*), {wanted} FROM {source}").fetchone() or (0,)
    # Exact quantiles hold every value in memory and approximate ones depend on the threads: hence a
    # fixed sample.
    wanted = ", ".join(
        f"quantile_disc({name}, [0.01, 0.5, 0.99]) FILTER (isfinite({name}::DOUBLE))"
        for name in names
    )
    middles = connection.execute(f"SELECT {wanted} FROM {SAMPLED}").fetchone() or ()
    summaries = {}
    for index, (column, name) in enumerate(zip(columns, names, strict=True)):
        present, smallest, largest = found[3 * index : 3 * index + 3]
        if present and not (isfinite(smallest) and isfinite(largest)):
            finite = f"SELECT min({name}), max({name}) FROM {source} WHERE isfinite({name}::DOUBLE)"
            smallest, largest = connection.execute(finite).fetchone() or (None, None)
        p1, median, p99 = middles[index] or (None, None, None)
        summaries[column.name] = Summary(
            nulls=rows - present, min=smallest, p1=p1, median=median, p99=p99, max=largest
        )
    return rows, summaries
