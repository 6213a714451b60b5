"""Distributions of the numeric columns and a sample of where rows are, counted by DuckDB.

Belongs here: bins and sampled places, in SQL over ingest's tables. Does not: drawing
(`drawings.py`), percentiles (`checks/cells/pandera_judge.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, isfinite, log10, sqrt
from pathlib import Path
from typing import Any, Final

import duckdb

from syndb_pipeline.base.engine import parquet, quote
from syndb_pipeline.checks.cells.pandera_judge import summarise, take_sample
from syndb_pipeline.contract.checks import Within
from syndb_pipeline.contract.tables import INT32_MAX, TABLE_ORDER, TABLES, Column, Kind
from syndb_pipeline.state.results import Summary
from syndb_pipeline.state.tables import columns_of

FEWEST_BINS: Final = 6
BINS: Final = 32
"""The most bins of a histogram; few values get fewer."""

POINTS: Final = 4_000
"""Rows of all tables together in the scatter of centroids."""

AXES: Final = ("centroid_x", "centroid_y", "centroid_z")

_DECADES: Final = 200.0
"""A positive column without upper bound whose middle 98 % spans more is drawn on a log axis."""

_FAR: Final = 20.0
"""A column that spans more than this many times its middle 98 % has its ends counted together."""

_DRAWN: Final = 1e300
"""The largest number on an axis; larger ones are counted at its end."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How the values of one column are distributed.

    `counts` are of equal bins from `low` to `high`, in decades when `log`; `below` and `above` are
    values off the axis, `outside` those that break the column's bounds, `not_finite` NaN and
    infinities.
    """

    table: str
    column: Column
    rows: int
    given: int
    not_finite: int = 0
    outside: int = 0
    minimum: float | None = None
    median: float | None = None
    maximum: float | None = None
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    counts: tuple[int, ...] = ()
    below: int = 0
    above: int = 0

    @property
    def empty(self) -> int:
        return self.rows - self.given

    @property
    def lower(self) -> float | None:
        """The smallest value the rules allow."""
        return self.column.minimum

    @property
    def upper(self) -> float | None:
        """The largest value the rules allow; a limit of storage is not drawn."""
        return self.column.maximum if self.column.maximum != INT32_MAX else None


@dataclass(frozen=True, slots=True)
class Cloud:
    """Sampled centroids of one table: its rows that have one, and (x, y, z) of some, in
    nanometres.
    """

    table: str
    rows: int
    points: Sequence[tuple[float | None, float | None, float | None]]


def histograms(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    path: Path,
    summaries: Mapping[str, Summary] | None = None,
    only: Collection[str] | None = None,
) -> list[Histogram]:
    """The distribution of every measured column of `table`, in the contract's order.

    Args:
        path: The table as ingest wrote it.
        summaries: Those of validate's record, by column; without them they are made here.
        only: The columns to measure, where not all are wanted.
    """
    there = columns_of(path)
    columns = [
        column
        for name, column in TABLES[table].columns.items()
        if name in there and _measured(column) and (only is None or name in only)
    ]
    if not columns:
        return []
    source = parquet(path)
    [(rows,)] = connection.execute(f"SELECT count(*) FROM {source}").fetchall()
    if summaries is None:
        take_sample(connection, path, [column.name for column in columns])
        _, summaries = summarise(connection, path, columns)
    drawn = []
    for column in columns:
        facts = summaries[column.name]
        smallest, median, largest, p1, p99 = (
            None if value is None else float(value)
            for value in (facts.min, facts.median, facts.max, facts.p1, facts.p99)
        )
        known = Histogram(table, column, rows, rows - facts.nulls)
        if smallest is not None and largest is not None:
            known = replace(known, minimum=smallest, median=median, maximum=largest)
            # So few values that the sample has none have no middle.
            middle = (smallest, largest) if p1 is None or p99 is None else (p1, p99)
            known = _with_axis(connection, source, known, (smallest, largest), middle)
        drawn.append(known)
    return _binned(connection, source, drawn)


def clouds(connection: duckdb.DuckDBPyConnection, paths: Mapping[str, Path]) -> list[Cloud]:
    """Centroids of each table that has x and y, about `POINTS` in all, always of the same rows."""
    placed: dict[str, tuple[int, str]] = {}
    for table, path in paths.items():
        there = columns_of(path)
        if not set(AXES[:2]) <= set(there):
            continue
        axes = ", ".join(
            f"if(isfinite({axis}), {axis}, NULL)" if axis in there else "NULL" for axis in AXES
        )
        known = (
            f"FROM {parquet(path, row_number=True)} WHERE isfinite(centroid_x) AND"
            " isfinite(centroid_y)"
        )
        [(rows,)] = connection.execute(f"SELECT count(*) {known}").fetchall()
        if rows:
            placed[table] = (rows, f"SELECT {axes} {known}")
    sampled, left = [], POINTS
    # Small tables first: what they do not need of their share, the larger ones get.
    ranked = sorted(placed.items(), key=lambda each: each[1])
    for place, (table, (rows, query)) in enumerate(ranked):
        every = ceil(rows * (len(placed) - place) / max(1, left))
        # By a hash, because rows that have a centroid may follow a rhythm of their own.
        chosen = f"{query} AND hash(file_row_number) % {every} = 0"
        sampled.append(Cloud(table, rows, connection.execute(chosen).fetchall()))
        left -= len(sampled[-1].points)
    return sorted(sampled, key=lambda cloud: TABLE_ORDER.index(cloud.table))


def _measured(column: Column) -> bool:
    """Whether a column holds measurements; ids and codes among the integers are none."""
    numeric = column.kind in (Kind.NUMBER, Kind.INTEGER)
    return numeric and column.name != "parent_enum" and column.wire != "BIGINT"


def _with_axis(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    known: Histogram,
    ends: tuple[float, float],
    middle: tuple[float, float],
) -> Histogram:
    """Choose the axis: all values, or three widths of their middle 98 % where a few are far off
    it.
    """
    low, high = ends
    if known.upper is None and middle[0] > 0 and middle[1] / middle[0] > _DECADES:
        name = quote(known.column.name)
        positive = f"SELECT min({name})::DOUBLE FROM {source} WHERE {name} > 0"
        if low <= 0:
            [(low,)] = connection.execute(positive).fetchall()
        low, high = max(log10(low), log10(middle[0]) - 3), min(log10(high), log10(middle[1]) + 3)
        return replace(known, low=min(low, log10(_DRAWN)), high=min(high, log10(_DRAWN)), log=True)
    width = middle[1] - middle[0]
    if width > 0 and (not isfinite(high - low) or high - low > _FAR * width):
        low, high = max(low, middle[0] - 3 * width), min(high, middle[1] + 3 * width)
    # Of the largest doubles there are, even a difference is too large for one.
    return replace(known, low=max(min(low, _DRAWN), -_DRAWN), high=max(min(high, _DRAWN), -_DRAWN))


def _binned(
    connection: duckdb.DuckDBPyConnection, source: str, drawn: list[Histogram]
) -> list[Histogram]:
    """Count the bins of all columns in one query. Whole numbers that are few get a bin each."""
    queries: list[str] = []
    bins = []
    for each in drawn:
        whole = each.column.kind is Kind.INTEGER and not each.log and each.high - each.low < BINS
        if whole:
            number = int(each.high - each.low) + 1
            each = replace(each, low=each.low - 0.5, high=each.low + number - 0.5)
        else:
            number = min(BINS, max(FEWEST_BINS, ceil(2 * sqrt(each.given))))
        # Groups of small whole numbers are counted in an array; the aggregate `histogram` has a
        # map.
        column = each.column
        value = f"{quote(column.name)}::DOUBLE"
        inside = Within(column.minimum, column.maximum, above=column.exclusive_minimum).sql(value)
        numbers = (
            f"SELECT {_bin_of(each, value, number)}::TINYINT AS bin, NOT ({inside}) AS out FROM"
            f" {source} WHERE isfinite({value})"
        )
        queries.append(
            f"SELECT {len(queries)}, bin, count(*), count_if(out) FROM ({numbers}) GROUP BY bin"
        )
        bins.append((each, number))
    tallies: list[dict[int, int]] = [{} for _ in drawn]
    outside = [0] * len(drawn)
    for place, number, count, out in connection.execute(" UNION ALL ".join(queries)).fetchall():
        tallies[place][number] = count
        outside[place] += out
    return [
        replace(_counted(*each, tally), outside=out)
        for each, tally, out in zip(bins, tallies, outside, strict=True)
    ]


def _bin_of(known: Histogram, value: str, number: int) -> str:
    """SQL: the bin of a finite value; -1 below the axis, `number` above it or at its very end."""
    if known.log:
        value = f"CASE WHEN {value} > 0 THEN log10({value}) ELSE '-infinity'::DOUBLE END"
    width = (known.high - known.low) / number
    if width <= 0:  # one value, and those of the largest doubles that are beyond it
        return f"greatest(-1, sign({value} - {known.low!r}) * {number})"
    return f"greatest(-1, least(floor(({value} - {known.low!r}) / {width!r}), {number}))"


def _counted(known: Histogram, number: int, tally: Mapping[int, int]) -> Histogram:
    """`known` with its counts from `tally`, which is by bin."""
    known = replace(known, not_finite=known.given - sum(tally.values()))
    if not tally or known.maximum is None:
        return known
    counts = [tally.get(index, 0) for index in range(number)]
    below, above = tally.get(-1, 0), tally.get(number, 0)
    if (log10(known.maximum) if known.log else known.maximum) <= known.high:
        # All values are on the axis: the largest belongs to the last bin, and what rounding puts
        # further.
        counts[-1], above = counts[-1] + above, 0
    values: dict[str, Any] = {"counts": tuple(counts), "below": below, "above": above}
    return replace(known, **values)
