"""Rows held against the contract: pandera judges them, and one SQL scan counts what fails among the
rows that it does not see.

Belongs here: compiling checks to SQL, having pandera judge, and holding the two against each other.
Does not: which rows are the sample (`summaries.py`), which checks there are, what failing means.

pandera is the authority. It judges every row of a small table; of a large one a sample, every row
that fails in SQL, and of each column the least and the greatest cell that pass there. SQL that lets
a cell pass which pandera does not is a fault of ours, never a verdict.

pandera and polars are imported where they judge: a process that finds everything unchanged does
without them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NoReturn

import duckdb

from syndb_pipeline.base.engine import quote
from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.contract.checks import CheckedTable
from syndb_pipeline.contract.tables import SQL_TYPES
from syndb_pipeline.rules.catalogue import RULES

if TYPE_CHECKING:
    import pandera.polars as pa
    import polars as pl

SAMPLE_ROWS: Final = 100_000
"""Rows of a sample: all of a small table, about this many of a large one, chosen by row number and
so always the same.
"""

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
            CompiledCheck(check.code, name, f"NOT ({check.predicate.sql(cell)})")
            for check in column.checks
        ]
        if column.required:
            compiled.append(CompiledCheck(_ABSENT, name, f"{cell} IS NULL"))
    return compiled


def count_failing(
    connection: duckdb.DuckDBPyConnection, query: str, table: CheckedTable
) -> tuple[int, Counts]:
    """The rows of `query`, and how many of its cells fail each check of `table` in SQL, by (code,
    column), where any do. One scan.
    """
    checks = compile_checks(table)
    counts = "".join(f", count_if({check.fails})" for check in checks)
    [(rows, *found)] = connection.execute(f"SELECT count(*){counts} FROM ({query})").fetchall()
    return int(rows), Counter(
        {
            (check.code, check.column): int(count)
            for check, count in zip(checks, found, strict=True)
            if count
        }
    )


def sampled(query: str, rows: int) -> str:
    """Those of the `rows` rows of `query`, which gives ROW_NUMBER, that are a sample of
    `SAMPLE_ROWS`.
    """
    # By a hash, because tables have rhythms: every other row may be empty.
    return (
        query
        if rows <= SAMPLE_ROWS
        else f"SELECT * FROM ({query}) WHERE hash({ROW_NUMBER}) % {-(-rows // SAMPLE_ROWS)} = 0"
    )


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
    judged: Counts = Counter()

    def judge(chosen: Any) -> Iterator[int]:
        failing = _judge(connection, chosen, table, place)
        if failing is not None:
            judged.update(_count(failing))
            with _registered(connection, FAILING, failing.to_arrow()):
                yield failing.height

    sample = sample or sampled(query, rows)
    chosen = connection.sql(sample).to_arrow_table()
    yield from judge(chosen)
    if chosen.num_rows < rows:
        _judge_extremes(connection, query, table, counted, place)
    if counted != judged:  # more rows fail than were chosen
        fails = " OR ".join(check.fails for check in compile_checks(table))
        rest = (
            f"SELECT * FROM ({query}) WHERE ({fails}) AND {ROW_NUMBER} NOT IN (SELECT {ROW_NUMBER}"
            f" FROM ({sample}))"
        )
        # A connection with an open result takes no other statement; a cursor is a second one on the
        # same database.
        with connection.cursor() as cursor:
            for batch in cursor.sql(rest).to_arrow_reader(_BATCH_ROWS):
                yield from judge(_pyarrow().Table.from_batches([batch]))
    if counted != judged:
        raise _fault(
            f"Of the cells of {table.name}, {dict(counted)} fail in DuckDB and {dict(judged)} in"
            " pandera."
        )


def _judge(
    connection: duckdb.DuckDBPyConnection, rows: Any, table: CheckedTable, place: Place
) -> pl.DataFrame | None:
    """The cells of the Arrow table `rows` that fail in pandera, None when none do. Raises
    `PipelineError` where SQL says otherwise.
    """
    import polars as pl

    from syndb_pipeline.contract.schema import schema_of

    frame: Any = pl.from_arrow(rows)
    failing = _failing(frame.drop(ROW_NUMBER), schema_of(table), frame[ROW_NUMBER])
    with _registered(connection, _JUDGED, rows):
        _, counted = count_failing(connection, f"FROM {_JUDGED}", table)
        if counted != (Counter() if failing is None else _count(failing)):
            _raise_first_difference(connection, table, failing, place)
    return failing


def _raise_first_difference(
    connection: duckdb.DuckDBPyConnection,
    table: CheckedTable,
    failing: pl.DataFrame | None,
    place: Place,
) -> NoReturn:
    """Raise `PipelineError` for the first cell of `_JUDGED` that fails in only one of SQL and
    pandera, whose verdict is `failing`.
    """
    in_pandera = (
        set() if failing is None else set(failing.select("code", "col", "row_number").rows())
    )
    for check in compile_checks(table):
        found = connection.execute(
            f"SELECT {ROW_NUMBER} FROM {_JUDGED} WHERE {check.fails}"
        ).fetchall()
        in_sql = {row for (row,) in found}
        differing = in_sql ^ {
            row for code, column, row in in_pandera if (code, column) == (check.code, check.column)
        }
        if differing:
            row = min(differing)
            [(value,)] = connection.execute(
                f"SELECT {quote(check.column)} FROM {_JUDGED} WHERE {ROW_NUMBER} = ?", [row]
            ).fetchall()
            raise _disagreement(
                table,
                check.code,
                check.column,
                place(row, check.column, str(value)),
                in_sql=row in in_sql,
            )
    raise _fault(f"DuckDB and pandera count the failing cells of {table.name} differently.")


def _judge_extremes(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    table: CheckedTable,
    counted: Counts,
    place: Place,
) -> None:
    """Have pandera judge, of each column, the cells that would fail first among those of `query`
    that SQL lets pass.

    So a large table is judged whole as far as bounds and lengths go, by a few cells that the files'
    footers mostly know. Raises `PipelineError` when one fails.
    """
    import polars as pl

    from syndb_pipeline.contract.schema import POLARS_TYPES, schema_of

    failed = {column for _, column in counted}
    cells: dict[str, list[Any]] = {}
    for name, column in table.columns.items():
        cell = quote(name)
        # Only where it is needed: a footer does not know which cells pass.
        passes = (
            " AND ".join(f"({check.predicate.sql(cell)})" for check in column.checks)
            if name in failed
            else "TRUE"
        )
        extremes = dict.fromkeys(
            each for check in column.checks for each in check.predicate.extremes(cell)
        )
        if extremes:
            wanted = ", ".join(
                f"{each} FILTER ({passes})" if name in failed else each for each in extremes
            )
            [found] = connection.execute(f"SELECT {wanted} FROM ({query})").fetchall()
            cells[name] = list(found)
    if not cells:
        return
    height = max(map(len, cells.values()))
    columns = {name: replace(table.columns[name], required=False) for name in cells}
    types = {name: POLARS_TYPES[column.kind] for name, column in columns.items()}
    frame = pl.DataFrame(
        {
            name: pl.Series(found + [None] * (height - len(found)), dtype=types[name])
            for name, found in cells.items()
        }
    )
    failing = _failing(
        frame,
        schema_of(CheckedTable(table.name, columns)),
        pl.Series(range(height), dtype=pl.Int64),
    )
    if failing is not None:
        code, index, name, value = failing.row(0)
        where = f"SELECT min({ROW_NUMBER}) FROM ({query}) WHERE {quote(name)} = ?"
        [(row,)] = connection.execute(where, [cells[name][index]]).fetchall()
        raise _disagreement(table, code, name, place(row, name, value), in_sql=False)


def _disagreement(
    table: CheckedTable, code: str, column: str, cell: str, *, in_sql: bool
) -> PipelineError:
    one, other = ("DuckDB", "pandera") if in_sql else ("pandera", "DuckDB")
    return _fault(
        f"The cell {cell} ({table.name}.{column}) breaks the rule {code} by {one}, and does not by"
        f" {other}."
    )


def _fault(message: str) -> PipelineError:
    return PipelineError(
        message,
        next_step=(
            "This is a fault of syndb-pipeline, not of the table. Nothing was accepted or sent."
            " Please report it with this message."
        ),
    )


def check_types(connection: duckdb.DuckDBPyConnection, query: str, table: CheckedTable) -> None:
    """Hold the columns and types of `query`, whose rows do not matter, against `table`. Raises
    `PipelineError` as `failing_cells` does.

    Only columns that DuckDB describes in the contract's own words pass by themselves; whatever is
    otherwise, pandera judges.
    """
    described = {
        name: kind for name, kind, *_ in connection.execute(f"DESCRIBE {query}").fetchall()
    }
    if described == {
        name: SQL_TYPES[column.kind]
        for name, column in table.columns.items()
        if column.required or name in described
    }:
        return
    import polars as pl

    from syndb_pipeline.contract.schema import schema_of

    frame: Any = pl.from_arrow(connection.sql(query).to_arrow_table().slice(0, 0))
    _failing(frame, schema_of(table), pl.Series(dtype=pl.Int64))


def _failing(
    frame: pl.DataFrame, schema: pa.DataFrameSchema, numbers: pl.Series
) -> pl.DataFrame | None:
    """The failing cells of `frame`, whose rows have `numbers`; None when there are none."""
    import polars as pl
    from pandera.errors import SchemaErrors

    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases
        # Cases without an index concern the frame, not a cell: a type, a column too many or too
        # few.
        broken = cases.filter(pl.col("index").is_null() | ~pl.col("check").is_in(list(RULES)))
        if broken.height:
            wrong = "; ".join(
                f"{case['column']}: {case['failure_case']}, {case['check']}"
                for case in broken.head(3).to_dicts()
            )
            raise PipelineError(
                f"The stage before wrote {schema.name} with columns that the contract does not"
                f" describe ({wrong}).",
                next_step=(
                    "This is a fault of syndb-pipeline. Run the command again with a clean state;"
                    " report it if it comes back."
                ),
            ) from None
        failing: pl.DataFrame = cases.select(
            code=pl.col("check"),
            row_number=numbers.gather(cases["index"]),
            col=pl.col("column"),
            value=pl.col("failure_case"),
        )
        return failing
    return None


def _count(failing: pl.DataFrame) -> Counts:
    return Counter(
        {
            (code, column): count
            for code, column, count in failing.group_by("code", "col").len().rows()
        }
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
