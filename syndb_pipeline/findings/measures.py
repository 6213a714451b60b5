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
    rows, facts = _facts(connection, source, columns)
    middles = _middles(connection, source, columns, max(1, ceil(rows / SAMPLE_ROWS)))
    drawn = []
    for column, (given, not_finite, outside, smallest, largest), middle in zip(columns, facts, middles, strict=True):
        known = Histogram(table, column, rows, given, not_finite, outside, smallest, middle[1], largest)
        drawn.append(_with_axis(connection, source, known, middle))
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


def _inside(column: Column, value: float) -> bool:
    """Whether `value` keeps the column's bounds."""
    above = column.minimum is None or value > column.minimum or (value == column.minimum and not column.exclusive_minimum)
    return above and (column.maximum is None or value <= column.maximum)


def _facts(
    connection: duckdb.DuckDBPyConnection, source: str, columns: list[Column]
) -> tuple[int, list[tuple[int, int, int, float | None, float | None]]]:
    """The rows; of each column the values given, not finite and outside its bounds, and the smallest and largest of the finite ones.

    DuckDB knows what all columns are asked from the file's statistics, without reading them; NaN is its largest number. Only values that
    are not finite, or outside the bounds, have to be counted.
    """
    names = [quote(column.name) for column in columns]
    wanted = ", ".join(f"count({name}), min({name})::DOUBLE, max({name})::DOUBLE" for name in names)
    rows, *found = connection.execute(f"SELECT count(*), {wanted} FROM {source}").fetchone() or (0,)
    facts, counted, values = [], [], []
    for index, (column, name) in enumerate(zip(columns, names, strict=True)):
        given, smallest, largest = found[3 * index : 3 * index + 3]
        facts.append((given, 0, 0, smallest, largest))
        if given and not (isfinite(smallest) and isfinite(largest) and _inside(column, smallest) and _inside(column, largest)):
            finite = f"finite{index}"
            values.append(f"if(isfinite({name}::DOUBLE), {name}::DOUBLE, NULL) AS {finite}")
            counted.append(
                (index, f"count({finite}), count(CASE WHEN {_outside(column, finite)} THEN 1 END), min({finite}), max({finite})")
            )
    if counted:
        # A value that is not finite is taken out once: a FILTER at each of the counts would take four times as long.
        query = f"SELECT {', '.join(each for _, each in counted)} FROM (SELECT {', '.join(values)} FROM {source})"
        found = list(connection.execute(query).fetchone() or ())
        for place, (index, _) in enumerate(counted):
            finite_ones, outside, smallest, largest = found[4 * place : 4 * place + 4]
            given = facts[index][0]
            facts[index] = (given, given - finite_ones, outside, smallest, largest)
    return rows, facts


def _middles(
    connection: duckdb.DuckDBPyConnection, source: str, columns: list[Column], every: int
) -> list[tuple[float | None, float | None, float | None]]:
    """The 1st, 50th and 99th percentile of each column, over one in `every` rows.

    They are chosen by a hash, because tables have rhythms: every other row may be empty.
    """
    values = ", ".join(f"if(isfinite({quote(c.name)}::DOUBLE), {quote(c.name)}::DOUBLE, NULL) AS {quote(c.name)}" for c in columns)
    sampled = f"SELECT {values} FROM {source} WHERE hash(file_row_number) % {every} = 0"
    wanted = ", ".join(f"quantile_disc({quote(c.name)}, [0.01, 0.5, 0.99])" for c in columns)
    # Laid aside first: at the aggregates' side the few rows would be looked at in the many pieces that they come in.
    found = connection.execute(f"WITH sampled AS MATERIALIZED ({sampled}) SELECT {wanted} FROM sampled").fetchone() or ()
    return [tuple(each) if each else (None, None, None) for each in found]


def _with_axis(connection: duckdb.DuckDBPyConnection, source: str, known: Histogram, middle: tuple[float | None, ...]) -> Histogram:
    """Choose the axis: all values, or where a few lie far off, three times the middle's width on each side of it."""
    low_middle, _, high_middle = middle
    smallest, largest = known.minimum, known.maximum
    if smallest is None or largest is None:
        return known
    if low_middle is None or high_middle is None:  # so few values that the sample has none
        low_middle, high_middle = smallest, largest
    if known.upper is None and low_middle > 0 and high_middle / low_middle > _DECADES:
        positive = smallest if smallest > 0 else _smallest_positive(connection, source, known.column)
        low, high = max(log10(positive), log10(low_middle) - 3), min(log10(largest), log10(high_middle) + 3)
        return replace(known, low=min(low, log10(_DRAWN)), high=min(high, log10(_DRAWN)), log=True)
    low, high, width = smallest, largest, high_middle - low_middle
    if width > 0 and (not isfinite(high - low) or high - low > _FAR * width):
        low, high = max(low, low_middle - 3 * width), min(high, high_middle + 3 * width)
    # Of the largest doubles there are, even a difference is too large for one.
    return replace(known, low=max(min(low, _DRAWN), -_DRAWN), high=max(min(high, _DRAWN), -_DRAWN))


def _smallest_positive(connection: duckdb.DuckDBPyConnection, source: str, column: Column) -> float:
    """The smallest value above zero of a column that has one."""
    name = quote(column.name)
    (smallest,) = connection.execute(f"SELECT min({name})::DOUBLE FROM {source} WHERE {name} > 0").fetchone() or (None,)
    assert smallest is not None
    return float(smallest)


def _binned(connection: duckdb.DuckDBPyConnection, source: str, drawn: list[Histogram]) -> list[Histogram]:
    """Count all columns' bins, the columns side by side. Whole numbers that are few get a bin each."""
    wanted: list[str] = []
    bins = []
    for each in drawn:
        whole = each.column.kind is Kind.INTEGER and not each.log and each.high - each.low < BINS
        number = int(each.high - each.low) + 1 if whole else min(BINS, max(FEWEST_BINS, ceil(2 * sqrt(each.given))))
        low, high = (each.low - 0.5, each.low + number - 0.5) if whole else (each.low, each.high)
        bins.append((number, low, high))
        # Groups of small whole numbers are counted in an array; the aggregate `histogram` keeps a map.
        finite = f"{source} WHERE isfinite({quote(each.column.name)}::DOUBLE)"
        binned = f"SELECT ({_bin_of(each, number, low, high)})::TINYINT AS bin FROM {finite}"
        wanted.append(f"SELECT {len(wanted)}, bin, count(*) FROM ({binned}) GROUP BY bin")
    tallies: list[dict[int, int]] = [{} for _ in drawn]
    for place, number, count in connection.execute(" UNION ALL ".join(wanted)).fetchall():
        tallies[place][number] = count
    counted = []
    for each, (number, low, high), tally in zip(drawn, bins, tallies, strict=True):
        if each.minimum is None or not tally:
            counted.append(each)
            continue
        counts = [tally.get(index, 0) for index in range(number)]
        below, above = tally.get(-1, 0), tally.get(number, 0)
        if _holds_all(each, low, high):
            # The largest value belongs to the last bin, as does what rounding puts one further.
            counts[-1], above = counts[-1] + above, 0
        counted.append(replace(each, low=low, high=high, counts=tuple(counts), below=below, above=above))
    return counted


def _holds_all(known: Histogram, low: float, high: float) -> bool:
    """Whether all of the column's finite values lie on the axis from `low` to `high`."""
    if known.minimum is None or known.maximum is None:
        return False
    if known.log:
        return known.minimum > 0 and low <= log10(known.minimum) and log10(known.maximum) <= high
    return low <= known.minimum and known.maximum <= high


def _bin_of(known: Histogram, number: int, low: float, high: float) -> str:
    """SQL: the bin of a finite value, -1 below the axis and `number` above it, or at its very end where the axis holds all values."""
    value = f"{quote(known.column.name)}::DOUBLE"
    if known.log:
        value = f"log10({value})" if (known.minimum or 0) > 0 else f"CASE WHEN {value} > 0 THEN log10({value}) ELSE '-infinity'::DOUBLE END"
    width = (high - low) / number
    place = f"floor(({value} - {low!r}) / {width!r})" if width > 0 else "0"
    if _holds_all(known, low, high):
        return place
    return f"CASE WHEN {value} < {low!r} THEN -1 WHEN {value} > {high!r} THEN {number} ELSE least({place}, {number - 1}) END"
