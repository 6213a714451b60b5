"""Distributions of the numeric columns and a sample of where rows lie, counted by DuckDB.

Belongs here: bins, medians and samples, in SQL over ingest's tables. Does not: drawing (`charts.py`), judging values (`stages/`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, isfinite, log10, sqrt
from pathlib import Path
from typing import Final

import duckdb

from syndb_pipeline.contract.tables import INT32_MAX, TABLE_ORDER, TABLES, Column, Kind
from syndb_pipeline.engine import literal, parquet, quote
from syndb_pipeline.stages.tables import columns_of

FEWEST_BINS: Final = 6
BINS: Final = 32
"""The most bins of a histogram; few values get fewer."""

SAMPLE_ROWS: Final = 100_000
"""Rows from which medians and the middle of a column come: chosen by row number, so always the same. About, in a larger table."""

POINTS: Final = 4_000
"""Rows of all tables together in the scatter of centroids."""

AXES: Final = ("centroid_x", "centroid_y", "centroid_z")

_DECADES: Final = 200.0
"""A positive column without upper bound whose middle 98 % spans more than this factor is drawn on a logarithmic axis."""

_FAR: Final = 20.0
"""A column that spans more than this many times its middle 98 % has its ends counted together."""


_DRAWN: Final = 1e300
"""The largest number that stands on an axis; larger ones are counted at its end."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How the values of one column are distributed. `counts` are of equal bins from `low` to `high`, in decades when `log`.

    `below` and `above` are values off the axis, `outside` those that break the column's bounds, `not_finite` NaN and infinities.
    """

    table: str
    column: Column
    rows: int
    given: int
    not_finite: int
    outside: int
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
        """The largest value the rules allow; the largest of SynDB's integers is a limit of storage, not of anatomy, and is not drawn."""
        return self.column.maximum if self.column.maximum != INT32_MAX else None


@dataclass(frozen=True, slots=True)
class Cloud:
    """Sampled centroids of one table, in nanometres: its rows that have one, and (x, y, z) of some, None where an axis is not given."""

    table: str
    rows: int
    points: Sequence[tuple[float | None, float | None, float | None]]


def histograms(connection: duckdb.DuckDBPyConnection, table: str, path: Path) -> list[Histogram]:
    """The distribution of every measured column of `table`, in the contract's order; ids and codes among the integers are none."""
    there = columns_of(connection, path)
    columns = [column for name, column in TABLES[table].columns.items() if name in there and _measured(column)]
    if not columns:
        return []
    source = parquet(path, row_number=True)
    (rows,) = connection.execute(f"SELECT count(*) FROM {source}").fetchone() or (0,)
    # A value that is not finite is taken out once: a FILTER at each of the counts would take four times as long.
    values, facts = [], []
    for index, column in enumerate(columns):
        value, finite = f"{quote(column.name)}::DOUBLE", f"finite{index}"
        values.append(f"{value} AS given{index}, if(isfinite({value}), {value}, NULL) AS {finite}")
        facts.append(
            f"count(given{index}), count(given{index}) - count({finite}), count(CASE WHEN {_outside(column, finite)} THEN 1 END), "
            f"min({finite}), max({finite}), min(if({finite} > 0, {finite}, NULL))"
        )
    found = connection.execute(f"SELECT {', '.join(facts)} FROM (SELECT {', '.join(values)} FROM {source})").fetchone() or ()
    middles = _middles(connection, source, columns, max(1, ceil(rows / SAMPLE_ROWS)))
    drawn = []
    for index, (column, middle) in enumerate(zip(columns, middles, strict=True)):
        given, not_finite, outside, smallest, largest, positive = found[6 * index : 6 * index + 6]
        plain = Histogram(table, column, rows, given, not_finite, outside)
        drawn.append(_with_axis(plain, smallest, largest, positive, middle))
    return _binned(connection, source, drawn)


def clouds(connection: duckdb.DuckDBPyConnection, paths: dict[str, Path]) -> list[Cloud]:
    """Centroids of each table that has x and y, about `POINTS` in all, every n-th row of those that have them."""
    placed: dict[str, tuple[str, int]] = {}
    for table, path in paths.items():
        there = columns_of(connection, path)
        if {"centroid_x", "centroid_y"} <= set(there):
            axes = ", ".join(
                f"if(isfinite({axis}), {axis}, NULL) AS {axis}" if axis in there else f"NULL::DOUBLE AS {axis}" for axis in AXES
            )
            known = f"SELECT {axes} FROM {parquet(path)} WHERE isfinite(centroid_x) AND isfinite(centroid_y)"
            (rows,) = connection.execute(f"SELECT count(*) FROM ({known})").fetchone() or (0,)
            if rows:
                placed[table] = (known, rows)
    sampled, left = [], POINTS
    # Small tables first: what they do not need of their share, the larger ones get.
    for number, (table, (known, rows)) in enumerate(sorted(placed.items(), key=lambda each: each[1][1])):
        every = ceil(rows * (len(placed) - number) / max(1, left))
        numbered = f"SELECT *, row_number() OVER () - 1 AS n FROM ({known})"
        points = connection.execute(f"SELECT {', '.join(AXES)} FROM ({numbered}) WHERE n % {every} = 0").fetchall()
        sampled.append(Cloud(table, rows, points))
        left -= len(points)
    sampled.sort(key=lambda cloud: TABLE_ORDER.index(cloud.table))
    return sampled


def _measured(column: Column) -> bool:
    return column.kind in (Kind.NUMBER, Kind.INTEGER) and column.name != "parent_enum" and column.wire != "BIGINT"


def _outside(column: Column, value: str) -> str:
    """SQL: `value` breaks the column's bounds."""
    broken = []
    if column.minimum is not None:
        broken.append(f"{value} {'<=' if column.exclusive_minimum else '<'} {literal(column.minimum)}")
    if column.maximum is not None:
        broken.append(f"{value} > {literal(column.maximum)}")
    return " OR ".join(broken) or "FALSE"


def _middles(
    connection: duckdb.DuckDBPyConnection, source: str, columns: list[Column], every: int
) -> list[tuple[float | None, float | None, float | None]]:
    """The 1st, 50th and 99th percentile of each column, over one in `every` rows.

    They are chosen by a hash, because tables have rhythms: every other row may be empty.
    """
    wanted = ", ".join(
        f"quantile_disc({quote(c.name)}::DOUBLE, [0.01, 0.5, 0.99]) FILTER (isfinite({quote(c.name)}::DOUBLE))" for c in columns
    )
    found = connection.execute(f"SELECT {wanted} FROM {source} WHERE hash(file_row_number) % {every} = 0").fetchone() or ()
    return [tuple(each) if each else (None, None, None) for each in found]


def _with_axis(
    plain: Histogram, smallest: float | None, largest: float | None, positive: float | None, middle: tuple[float | None, ...]
) -> Histogram:
    """Choose the axis: all values, or where a few lie far off, three times the middle's width on each side of it."""
    low_middle, median, high_middle = middle
    known = replace(plain, minimum=smallest, median=median, maximum=largest)
    if smallest is None or largest is None:
        return known
    if low_middle is None or high_middle is None:  # so few values that the sample has none
        low_middle, high_middle = smallest, largest
    if known.upper is None and low_middle > 0 and positive is not None and high_middle / low_middle > _DECADES:
        low, high = max(log10(positive), log10(low_middle) - 3), min(log10(largest), log10(high_middle) + 3)
        return replace(known, low=min(low, log10(_DRAWN)), high=min(high, log10(_DRAWN)), log=True)
    low, high, width = smallest, largest, high_middle - low_middle
    if width > 0 and (not isfinite(high - low) or high - low > _FAR * width):
        low, high = max(low, low_middle - 3 * width), min(high, high_middle + 3 * width)
    # Of the largest doubles there are, even a difference is too large for one.
    return replace(known, low=max(min(low, _DRAWN), -_DRAWN), high=max(min(high, _DRAWN), -_DRAWN))


def _binned(connection: duckdb.DuckDBPyConnection, source: str, drawn: list[Histogram]) -> list[Histogram]:
    """Count all columns' bins in one pass over the table. Whole numbers that are few get a bin each."""
    wanted, bins = [], []
    for each in drawn:
        whole = each.column.kind is Kind.INTEGER and not each.log and each.high - each.low < BINS
        number = int(each.high - each.low) + 1 if whole else min(BINS, max(FEWEST_BINS, ceil(2 * sqrt(each.given))))
        low, high = (each.low - 0.5, each.low + number - 0.5) if whole else (each.low, each.high)
        bins.append((number, low, high))
        value = f"{quote(each.column.name)}::DOUBLE"
        on_axis = f"CASE WHEN {value} > 0 THEN log10({value}) ELSE '-infinity'::DOUBLE END" if each.log else value
        width = (high - low) / number
        place = f"floor(({on_axis} - {low!r}) / {width!r})" if width > 0 else "0"
        # The largest value belongs to the last bin; rounding may put it one further.
        bin_of = f"CASE WHEN {on_axis} < {low!r} THEN -1 WHEN {on_axis} > {high!r} THEN {number} ELSE least({place}, {number - 1}) END"
        wanted.append(f"histogram(({bin_of})::INTEGER) FILTER (isfinite({value}))")
    found = connection.execute(f"SELECT {', '.join(wanted)} FROM {source}").fetchone() or ()
    counted = []
    for each, (number, low, high), tally in zip(drawn, bins, found, strict=True):
        if each.minimum is None or not tally:
            counted.append(each)
            continue
        counts = tuple(int(tally.get(index, 0)) for index in range(number))
        below, above = int(tally.get(-1, 0)), int(tally.get(number, 0))
        counted.append(replace(each, low=low, high=high, counts=counts, below=below, above=above))
    return counted
