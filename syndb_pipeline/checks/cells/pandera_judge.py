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
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb

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

Place = Callable[[int, str, str], str]
"""Names the cell of a row (its number), a column and a value to a person."""


def _by_number(row: int, column: str, value: str) -> str:
    return f"row {row}, column {column}: {value!r}"


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
    wanted = ", ".join(f"count({name}), min({name}), max({name})" for name in names)
    [(rows, *found)] = connection.execute(f"SELECT count(*), {wanted} FROM {source}").fetchall()
    # Exact quantiles hold every value in memory and approximate ones depend on the threads: hence a
    # sample.
    wanted = ", ".join(
        f"quantile_disc({name}, [0.01, 0.5, 0.99]) FILTER (isfinite({name}::DOUBLE))"
        for name in names
    )
    [middles] = connection.execute(f"SELECT {wanted} FROM {SAMPLED}").fetchall()
    summaries = {}
    ends = zip(found[::3], found[1::3], found[2::3], strict=True)
    for column, name, middle, (present, least, most) in zip(
        columns, names, middles, ends, strict=True
    ):
        if present and not (isfinite(least) and isfinite(most)):
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
    place: Place = _by_number,
) -> Iterator[int]:
    """Hold the rows of `query` against `table`, whose checks are named by rule codes.

    Args:
        query: Gives `ROW_NUMBER` and the table's columns.
        sample: Gives those rows of `query` that pandera judges whatever SQL says of them, as
            `sampled` would choose them.
        place: Names a cell to a person.

    Yields:
        The number of failing cells of some rows. They are in the view `FAILING` (code, row_number,
        col, value) while the caller handles it.

    Raises:
        PipelineError: A column's type is not the contract's (an earlier stage wrote something
            else), or SQL and pandera disagree about a cell: mistakes of ours, and no findings about
            the lab's data.
    """
    rows, counted = count_failing(connection, query, table)
    judge = _Judge(connection, table, place)
    sample = sample or sampled(query, rows)
    chosen = connection.sql(sample).to_arrow_table()
    yield from judge.failing(chosen)
    if chosen.num_rows < rows:
        judge.extremes(query, {column for _, column in counted})
    if counted != judge.found:  # more rows fail than were chosen
        fails = " OR ".join(check.fails for check in compile_checks(table))
        rest = (
            f"SELECT * FROM ({query}) WHERE ({fails}) AND {ROW_NUMBER} NOT IN (SELECT {ROW_NUMBER}"
            f" FROM ({sample}))"
        )
        # A connection with an open result takes no other statement; a cursor is a second one on the
        # database.
        with connection.cursor() as cursor:
            for batch in cursor.sql(rest).to_arrow_reader(_BATCH_ROWS):
                yield from judge.failing(_pyarrow().Table.from_batches([batch]))
    if counted != judge.found:
        raise _fault(
            f"Of the cells of {table.name}, {dict(counted)} fail in DuckDB and {dict(judge.found)}"
            " in pandera."
        )


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
        import polars as pl

        frame: Any = pl.from_arrow(connection.sql(query).to_arrow_table().slice(0, 0))
        _failing(frame.with_columns(pl.lit(0).alias(ROW_NUMBER)), table)


class _Judge:
    """Has pandera judge rows of `table`; `found` counts what failed."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, table: CheckedTable, place: Place
    ) -> None:
        self.connection, self.table, self.place = connection, table, place
        self.found: Counts = Counter()

    def failing(self, rows: Any) -> Iterator[int]:
        """The number of cells of the Arrow table `rows` that fail, while they are in the view
        `FAILING`.
        """
        import polars as pl

        failing = _failing(pl.from_arrow(rows), self.table)
        counts = Counter(
            {
                (code, column): count
                for code, column, count in failing.group_by("code", "col").len().rows()
            }
        )
        with _registered(self.connection, _JUDGED, rows):
            if count_failing(self.connection, f"FROM {_JUDGED}", self.table)[1] != counts:
                self._name_difference(failing)
        self.found.update(counts)
        if failing.height:
            with _registered(self.connection, FAILING, failing.to_arrow()):
                yield failing.height

    def extremes(self, query: str, failed: Collection[str]) -> None:
        """Judge, of each column, the cells that would fail first among those of `query` that SQL
        lets pass.

        So a large table is judged whole as far as bounds and lengths go, by a few cells that the
        files' footers mostly know. `failed` are the columns in which cells fail in SQL. Raises
        `PipelineError` when such a cell fails.
        """
        import polars as pl

        from syndb_pipeline.contract.schema import POLARS_TYPES

        cells: dict[str, list[Any]] = {}
        for name, column in self.table.columns.items():
            cell = quote(name)
            wanted = dict.fromkeys(
                each for check in column.checks for each in check.predicate.extremes(cell)
            )
            if not wanted:
                continue
            # Only where it is needed: a footer does not know which cells pass.
            passes = " AND ".join(f"({check.predicate.sql(cell)})" for check in column.checks)
            only = f" FILTER ({passes})" if name in failed else ""
            extremes = f"SELECT {', '.join(each + only for each in wanted)} FROM ({query})"
            cells[name] = [*self.connection.execute(extremes).fetchall()[0]]
        height = max(map(len, cells.values()), default=0)
        columns = {name: replace(self.table.columns[name], required=False) for name in cells}
        series = {
            name: pl.Series(
                found + [None] * (height - len(found)), dtype=POLARS_TYPES[columns[name].kind]
            )
            for name, found in cells.items()
        }
        frame = pl.DataFrame(series | {ROW_NUMBER: pl.Series(range(height), dtype=pl.Int64)})
        for code, index, name, value in _failing(
            frame, CheckedTable(self.table.name, columns)
        ).rows():
            where = f"SELECT min({ROW_NUMBER}) FROM ({query}) WHERE {quote(name)} = ?"
            [(row,)] = self.connection.execute(where, [cells[name][index]]).fetchall()
            raise self._disagreement(code, name, self.place(row, name, value), in_sql=False)

    def _name_difference(self, failing: pl.DataFrame) -> None:
        """Raise `PipelineError` for the first cell of `_JUDGED` that fails in only one of SQL and
        pandera.
        """
        in_pandera = set(failing.select("code", "col", "row_number").rows())
        for check in compile_checks(self.table):
            rows = self.connection.execute(
                f"SELECT {ROW_NUMBER} FROM {_JUDGED} WHERE {check.fails}"
            ).fetchall()
            in_sql = {row for (row,) in rows}
            named = {
                row
                for code, column, row in in_pandera
                if (code, column) == (check.code, check.column)
            }
            if differing := in_sql ^ named:
                row = min(differing)
                cell = f"SELECT {quote(check.column)} FROM {_JUDGED} WHERE {ROW_NUMBER} = ?"
                [(value,)] = self.connection.execute(cell, [row]).fetchall()
                place = self.place(row, check.column, str(value))
                raise self._disagreement(check.code, check.column, place, in_sql=row in in_sql)
        raise _fault(
            f"DuckDB and pandera count the failing cells of {self.table.name} differently."
        )

    def _disagreement(self, code: str, column: str, cell: str, *, in_sql: bool) -> PipelineError:
        one, other = ("DuckDB", "pandera") if in_sql else ("pandera", "DuckDB")
        where = f"{self.table.name}.{column}"
        return _fault(
            f"The cell {cell} ({where}) breaks the rule {code} by {one}, and does not by {other}."
        )


def _fault(message: str) -> PipelineError:
    return PipelineError(
        message,
        next_step=(
            "This is a fault of syndb-pipeline, not of the table. Nothing was accepted or sent. "
            "Please report it with this message."
        ),
    )


def _failing(frame: Any, table: CheckedTable) -> pl.DataFrame:
    """The failing cells of `frame`, which has ROW_NUMBER beside the columns of `table`."""
    import polars as pl
    from pandera.errors import SchemaErrors

    from syndb_pipeline.contract.schema import schema_of

    try:
        schema_of(table).validate(frame.drop(ROW_NUMBER), lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases
        # Cases without an index concern the frame, not a cell: a type, a column too many or too
        # few.
        broken = cases.filter(pl.col("index").is_null() | ~pl.col("check").is_in(list(RULES)))
        if broken.height:
            shown = broken.head(3).to_dicts()
            wrong = "; ".join(
                f"{case['column']}: {case['failure_case']}, {case['check']}" for case in shown
            )
            raise PipelineError(
                f"The stage before wrote {table.name} with columns that the contract does not"
                f" describe ({wrong}).",
                next_step=(
                    "This is a fault of syndb-pipeline. Run the command again with a clean state; "
                    "report it if it comes back."
                ),
            ) from None
        failing: pl.DataFrame = cases.select(
            code=pl.col("check"),
            row_number=frame[ROW_NUMBER].gather(cases["index"]),
            col=pl.col("column"),
            value=pl.col("failure_case"),
        )
        return failing
    return pl.DataFrame(
        schema={"code": pl.String, "row_number": pl.Int64, "col": pl.String, "value": pl.String}
    )


def _pyarrow() -> Any:
    """pyarrow, which carries no types."""
    import pyarrow

    return pyarrow


@contextmanager
def _registered(connection: duckdb.DuckDBPyConnection, name: str, rows: Any) -> Iterator[None]:
    connection.register(name, rows)
    try:
        yield
    finally:
        connection.unregister(name)
