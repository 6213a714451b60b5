"""Distributions of the numeric columns and a sample of where rows lie, counted by DuckDB.

Belongs here: bins and sampled places, in SQL over ingest's tables. Does not: drawing (`charts.py`),
percentiles (`stages/summaries.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, isfinite, log10, sqrt
from pathlib import Path
from typing import Final

import duckdb

from syndb_pipeline.base.engine import literal, parquet, quote
from syndb_pipeline.checks.cells.pandera_judge import Summary, summarise, take_sample
from syndb_pipeline.contract.tables import INT32_MAX, TABLE_ORDER, TABLES, Column, Kind
from syndb_pipeline.state.tables import columns_of

FEWEST_BINS: Final = 6
BINS: Final = 32
"""The most bins of a histogram; few values get fewer."""

POINTS: Final = 4_000
"""Rows of all tables together in the scatter of centroids."""

AXES: Final = ("centroid_x", "centroid_y", "centroid_z")

_DECADES: Final = 200.0
"""A positive column without upper bound whose middle 98 % spans more than this factor is drawn on a
logarithmic axis.
"""

_FAR: Final = 20.0
"""A column that spans more than this many times its middle 98 % has its ends counted together."""


_DRAWN: Final = 1e300
"""The largest number that stands on an axis; larger ones are counted at its end."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How the values of one column are distributed. `counts` are of equal bins from `low` to
    `high`, in decades when `log`.

    `below` and `above` are values off the axis, `outside` those that break the column's bounds,
    `not_finite` NaN and infinities.
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
        """The largest value the rules allow; the largest of SynDB's integers is a limit of storage,
        not of anatomy, and is not drawn.
        """
        return self.column.maximum if self.column.maximum != INT32_MAX else None


@dataclass(frozen=True, slots=True)
class Cloud:
    """Sampled centroids of one table, in nanometres: its rows that have one, and (x, y, z) of some,
    None where an axis is not given.
    """

    table: str
    rows: int
    points: Sequence[tuple[float | None, float | None, float | None]]


def histograms(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    path: Path,
    summaries: Mapping[str, Summary] | None = None,
) -> list[Histogram]:
    """The distribution of every measured column of `table`, in the contract's order; ids and codes
    among the integers are none.

    `summaries` are those of validate's record, by column; without them they are made here.
    """
    there = columns_of(path)
    columns = [
        column
        for name, column in TABLES[table].columns.items()
        if name in there and _measured(column)
    ]
    if not columns:
        return []
    source = parquet(path)
    (rows,) = connection.execute(f"SELECT count(*) FROM {source}").fetchone() or (0,)
    if summaries is None:
        take_sample(connection, path, [column.name for column in columns])
        _, summaries = summarise(connection, path, columns)
    drawn = []
    for column in columns:
        summary = summaries[column.name]
        smallest, median, largest = (_number(summary[fact]) for fact in ("min", "median", "max"))
        known = Histogram(
            table,
            column,
            rows,
            rows - summary["nulls"],
            minimum=smallest,
            median=median,
            maximum=largest,
        )
        known = replace(known, outside=_count_outside(connection, source, known))
        drawn.append(
            _with_axis(connection, source, known, _number(summary["p1"]), _number(summary["p99"]))
        )
    return _binned(connection, source, drawn)


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def clouds(connection: duckdb.DuckDBPyConnection, paths: dict[str, Path]) -> list[Cloud]:
    """Centroids of each table that has x and y, about `POINTS` in all, every n-th row of those that
    have them.
    """
    placed: dict[str, tuple[str, int]] = {}
    for table, path in paths.items():
        there = columns_of(path)
        if {"centroid_x", "centroid_y"} <= set(there):
            axes = ", ".join(
                (
                    f"if(isfinite({axis}), {axis}, NULL) AS {axis}"
                    if axis in there
                    else f"NULL::DOUBLE AS {axis}"
                )
                for axis in AXES
            )
            known = (
                f"FROM {parquet(path, row_number=True)} WHERE isfinite(centroid_x) AND"
                " isfinite(centroid_y)"
            )
            rows, number = _placed(connection, path), "file_row_number"
            if rows is None:
                (rows,) = connection.execute(f"SELECT count(*) {known}").fetchone() or (0,)
                number = "row_number() OVER () - 1"
            if rows:
                placed[table] = (f"SELECT {axes}, {number} AS n {known}", rows)
    sampled, left = [], POINTS
    # Small tables first: what they do not need of their share, the larger ones get.
    for place, (table, (numbered, rows)) in enumerate(
        sorted(placed.items(), key=lambda each: each[1][1])
    ):
        every = ceil(rows * (len(placed) - place) / max(1, left))
        points = connection.execute(
            f"SELECT {', '.join(AXES)} FROM ({numbered}) WHERE n % {every} = 0"
        ).fetchall()
        sampled.append(Cloud(table, rows, points))
        left -= len(points)
    sampled.sort(key=lambda cloud: TABLE_ORDER.index(cloud.table))
    return sampled


def _placed(connection: duckdb.DuckDBPyConnection, path: Path) -> int | None:
    """The rows of a table where the file's statistics tell that all have a finite centroid; None
    where it takes a look at the rows.
    """
    ends = [f"{end}({axis})" for axis in AXES[:2] for end in ("min", "max")]
    counted = (
        f"SELECT count(*), count(centroid_x), count(centroid_y), {', '.join(ends)} FROM"
        f" {parquet(path)}"
    )
    rows, x, y, *extremes = connection.execute(counted).fetchone() or (0, 0, 0)
    return (
        rows
        if rows == x == y and all(value is not None and isfinite(value) for value in extremes)
        else None
    )


def _measured(column: Column) -> bool:
    return (
        column.kind in (Kind.NUMBER, Kind.INTEGER)
        and column.name != "parent_enum"
        and column.wire != "BIGINT"
    )


def _count_outside(connection: duckdb.DuckDBPyConnection, source: str, known: Histogram) -> int:
    """The finite values that break the column's bounds; they are looked at only where the smallest
    or the largest does.
    """
    column, value, broken = known.column, f"{quote(known.column.name)}::DOUBLE", []
    if known.minimum is None or known.maximum is None:
        return 0
    least = column.minimum
    if least is not None and (
        known.minimum < least or (column.exclusive_minimum and known.minimum == least)
    ):
        broken.append(f"{value} {'<=' if column.exclusive_minimum else '<'} {literal(least)}")
    if column.maximum is not None and known.maximum > column.maximum:
        broken.append(f"{value} > {literal(column.maximum)}")
    if not broken:
        return 0
    query = f"SELECT count(*) FROM {source} WHERE isfinite({value}) AND ({' OR '.join(broken)})"
    (count,) = connection.execute(query).fetchone() or (0,)
    return int(count)


def _with_axis(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    known: Histogram,
    low_middle: float | None,
    high_middle: float | None,
) -> Histogram:
    """Choose the axis: all values, or where a few lie far off the middle 98 %, three times its
    width on each side of it.
    """
    smallest, largest = known.minimum, known.maximum
    if smallest is None or largest is None:
        return known
    if low_middle is None or high_middle is None:  # so few values that the sample has none
        low_middle, high_middle = smallest, largest
    if known.upper is None and low_middle > 0 and high_middle / low_middle > _DECADES:
        positive = (
            smallest if smallest > 0 else _smallest_positive(connection, source, known.column)
        )
        low, high = (
            max(log10(positive), log10(low_middle) - 3),
            min(log10(largest), log10(high_middle) + 3),
        )
        return replace(known, low=min(low, log10(_DRAWN)), high=min(high, log10(_DRAWN)), log=True)
    low, high, width = smallest, largest, high_middle - low_middle
    if width > 0 and (not isfinite(high - low) or high - low > _FAR * width):
        low, high = max(low, low_middle - 3 * width), min(high, high_middle + 3 * width)
    # Of the largest doubles there are, even a difference is too large for one.
    return replace(known, low=max(min(low, _DRAWN), -_DRAWN), high=max(min(high, _DRAWN), -_DRAWN))


def _smallest_positive(connection: duckdb.DuckDBPyConnection, source: str, column: Column) -> float:
    """The smallest value above zero of a column that has one."""
    name = quote(column.name)
    (smallest,) = connection.execute(
        f"SELECT min({name})::DOUBLE FROM {source} WHERE {name} > 0"
    ).fetchone() or (None,)
    assert smallest is not None
    return float(smallest)


def _binned(
    connection: duckdb.DuckDBPyConnection, source: str, drawn: list[Histogram]
) -> list[Histogram]:
    """Count all columns' bins, the columns side by side. Whole numbers that are few get a bin
    each.
    """
    wanted: list[str] = []
    bins = []
    for each in drawn:
        whole = each.column.kind is Kind.INTEGER and not each.log and each.high - each.low < BINS
        number = (
            int(each.high - each.low) + 1
            if whole
            else min(BINS, max(FEWEST_BINS, ceil(2 * sqrt(each.given))))
        )
        low, high = (each.low - 0.5, each.low + number - 0.5) if whole else (each.low, each.high)
        bins.append((number, low, high))
        # Groups of small whole numbers are counted in an array; the aggregate `histogram` keeps a
        # map.
        finite = f"{source} WHERE isfinite({quote(each.column.name)}::DOUBLE)"
        binned = f"SELECT ({_bin_of(each, number, low, high)})::TINYINT AS bin FROM {finite}"
        wanted.append(f"SELECT {len(wanted)}, bin, count(*) FROM ({binned}) GROUP BY bin")
    tallies: list[dict[int, int]] = [{} for _ in drawn]
    for place, number, count in connection.execute(" UNION ALL ".join(wanted)).fetchall():
        tallies[place][number] = count
    counted = []
    for each, (number, low, high), tally in zip(drawn, bins, tallies, strict=True):
        each = replace(each, not_finite=each.given - sum(tally.values()))
        if not tally:
            counted.append(each)
            continue
        counts = [tally.get(index, 0) for index in range(number)]
        below = sum(count for index, count in tally.items() if index < 0)
        above = sum(count for index, count in tally.items() if index >= number)
        if _holds_all(each, low, high):
            # The largest value belongs to the last bin, as does what rounding puts further: much,
            # where values hardly differ from zero.
            counts[-1], above = counts[-1] + above, 0
        counted.append(
            replace(each, low=low, high=high, counts=tuple(counts), below=below, above=above)
        )
    return counted


def _holds_all(known: Histogram, low: float, high: float) -> bool:
    """Whether all of the column's finite values lie on the axis from `low` to `high`."""
    if known.minimum is None or known.maximum is None:
        return False
    if known.log:
        return known.minimum > 0 and low <= log10(known.minimum) and log10(known.maximum) <= high
    return low <= known.minimum and known.maximum <= high


def _bin_of(known: Histogram, number: int, low: float, high: float) -> str:
    """SQL: the bin of a finite value, -1 below the axis and `number` above it, or at its very end
    where the axis holds all values.
    """
    value = f"{quote(known.column.name)}::DOUBLE"
    if known.log:
        value = (
            f"log10({value})"
            if (known.minimum or 0) > 0
            else f"CASE WHEN {value} > 0 THEN log10({value}) ELSE '-infinity'::DOUBLE END"
        )
    width = (high - low) / number
    place = f"floor(({value} - {low!r}) / {width!r})" if width > 0 else "0"
    if _holds_all(known, low, high):
        return place
    return (
        f"CASE WHEN {value} < {low!r} THEN -1 WHEN {value} > {high!r} THEN {number} ELSE"
        f" least({place}, {number - 1}) END"
    )
