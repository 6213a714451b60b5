"""Missing values, extremes and percentiles of a table's numeric columns: validate keeps them in its record, reports draw from them.

Belongs here: the facts, and the sample that percentiles come from. Does not: judging them (`plausibility.py`), drawing them (`findings/`).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Final, TypedDict

import duckdb

from syndb_pipeline.contract.tables import Column
from syndb_pipeline.engine import parquet, quote

SAMPLED: Final = "sampled"
"""The temporary table in which `summarise` leaves its sample."""

SAMPLE_ROWS: Final = 100_000
"""Rows from which percentiles come: all of a small table, about this many of a large one, chosen by row number and so always the same."""


class Summary(TypedDict):
    """Of one column: cells without a value, and of its finite values the smallest, some percentiles and the largest; None without any."""

    nulls: int
    min: float | None
    p1: float | None
    median: float | None
    p99: float | None
    max: float | None


def summarise(connection: duckdb.DuckDBPyConnection, file: Path, columns: Sequence[Column]) -> tuple[int, dict[str, Summary]]:
    """The rows of the Parquet file `file`, and a `Summary` of each of the numeric `columns`, by name.

    Leaves the temporary table `SAMPLED`: those columns of the rows that percentiles come from.
    """
    names = [quote(column.name) for column in columns]
    source = parquet(file, row_number=True)
    # The file's footer knows these; NaN counts as the largest number there is.
    wanted = ", ".join(f"count({name}), min({name}), max({name})" for name in names)
    rows, *found = connection.execute(f"SELECT count(*), {wanted} FROM {source}").fetchone() or (0,)
    # Exact quantiles hold every value in memory and approximate ones depend on the threads: hence a fixed sample. It is chosen by a hash,
    # because tables have rhythms: every other row may be empty.
    step = max(1, -(-rows // SAMPLE_ROWS))
    sampled = f"SELECT {', '.join(names)} FROM {source} WHERE hash(file_row_number) % {step} = 0"
    # Laid aside first: that many aggregates over chunks in which one row of a hundred is left cost six times as much.
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {SAMPLED} AS {sampled}")
    wanted = ", ".join(f"quantile_disc({name}, [0.01, 0.5, 0.99]) FILTER (isfinite({name}::DOUBLE))" for name in names)
    middles = connection.execute(f"SELECT {wanted} FROM {SAMPLED}").fetchone() or ()
    summaries = {}
    for index, (column, name) in enumerate(zip(columns, names, strict=True)):
        present, smallest, largest = found[3 * index : 3 * index + 3]
        if present and not (isfinite(smallest) and isfinite(largest)):
            finite = f"SELECT min({name}), max({name}) FROM {source} WHERE isfinite({name}::DOUBLE)"
            smallest, largest = connection.execute(finite).fetchone() or (None, None)
        p1, median, p99 = middles[index] or (None, None, None)
        summaries[column.name] = Summary(nulls=rows - present, min=smallest, p1=p1, median=median, p99=p99, max=largest)
    return rows, summaries
