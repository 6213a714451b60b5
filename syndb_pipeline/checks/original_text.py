"""What the lab wrote in the cells that findings name: ingest keeps values, a person looks for the
text.

Belongs here: which cells are read again from the lab's files, and how many. Does not: reading them
(`readers/formats/`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, tee
from typing import Any, Final
from uuid import uuid4

import duckdb

from syndb_pipeline.base.engine import given, literal, parquet
from syndb_pipeline.contract.tables import TABLES, Column, Kind
from syndb_pipeline.readers.fence import Fence
from syndb_pipeline.readers.files import located
from syndb_pipeline.readers.formats import LabFile, Means, format_of
from syndb_pipeline.readers.part import Unreadable
from syndb_pipeline.rules.finding import Example
from syndb_pipeline.state.row_locations import Source, SourceMap
from syndb_pipeline.state.stage import Context

MOST_ROWS: Final = 1_000_000
"""Failing rows of one file that are looked up again in it; further cells are shown as they were
read.
"""

WRITTEN: Final = "written"
"""Name of the table of `look_up`: tbl, row_number, col, value (as read), raw (as written)."""

_CONVERTED: Final = (Kind.NUMBER, Kind.INTEGER, Kind.PATH)
"""Kinds whose text ingest does not keep. Keys keep theirs in `cells.parquet` where it is not the
key itself; text is its own.
"""

_TOGETHER: Final = 50_000
"""Texts, and rows, that are held at a time."""

_FOUND: Final = {"row_number": "BIGINT", "col": "VARCHAR", "raw": "VARCHAR"}


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the table `WRITTEN`, empty."""
    connection.execute(
        f"CREATE TABLE {WRITTEN} (tbl VARCHAR, row_number BIGINT, col VARCHAR, value VARCHAR,"
        " raw VARCHAR)"
    )


def look_up(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    sources: SourceMap,
    failing: str,
) -> None:
    """Add the text of the cells that the query `failing` (tbl, row_number, col, value) names to the
    table `WRITTEN`.

    Cells are left out whose value is their text, or whose file does not hold that value any more,
    and those beyond the first `MOST_ROWS` failing rows of a file.
    """
    cells = parquet(context.store.stage("ingest") / "cells.parquet")
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE failing_now AS SELECT DISTINCT tbl, row_number, col, value
            FROM ({failing}) ANTI JOIN {WRITTEN} USING (tbl, row_number, col, value)"""
    )
    if not connection.execute("SELECT 1 FROM failing_now LIMIT 1").fetchall():
        return
    converted = connection.execute(
        f"""INSERT INTO {WRITTEN} SELECT tbl, row_number, col, value, raw
                FROM {cells} JOIN failing_now USING (tbl, row_number, col)
                WHERE raw <> value AND contains(raw, value);
            CREATE OR REPLACE TABLE not_kept AS
                FROM failing_now ANTI JOIN {cells} USING (tbl, row_number, col);
            SELECT tbl, list(DISTINCT col ORDER BY col) FROM not_kept GROUP BY tbl ORDER BY tbl"""
    ).fetchall()
    for table, names in converted:
        columns = [
            each for name in names if (each := TABLES[table].columns[name]).kind in _CONVERTED
        ]
        if columns:
            _look_up_table(connection, context, sources, table, columns)


def _look_up_table(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    sources: SourceMap,
    table: str,
    columns: list[Column],
) -> None:
    config = context.config.tables[table]
    names = literal([column.name for column in columns])
    here = f"""SELECT row_number, col, value FROM not_kept
               WHERE tbl = {literal(table)} AND list_contains({names}, col)"""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE found (row_number BIGINT, col VARCHAR, raw VARCHAR)"
    )
    for source in sources.tables[table]:
        last = source.first_row + source.rows - 1
        inside = f"{here} AND row_number BETWEEN {source.first_row} AND {last}"
        rows = f"SELECT DISTINCT row_number FROM ({inside}) ORDER BY 1 LIMIT {MOST_ROWS}"
        # A connection with an open result takes no other statement; a cursor is a second one.
        with connection.cursor() as cursor:
            batches = cursor.sql(rows).to_arrow_reader(_TOGETHER)
            wanted = chain.from_iterable(batch.column(0).to_pylist() for batch in batches)
            texts = _read_again(connection, context, table, source, columns, wanted)
            while some := list(islice(texts, _TOGETHER)):
                with given(connection, "some_texts", _FOUND, some):
                    connection.execute("INSERT INTO found FROM some_texts")
    factors = " ".join(
        f"WHEN {literal(column.name)} THEN {config.factor(column)!r}" for column in columns
    )
    # Without white space and the marks that group digits.
    digits = f"replace(regexp_replace(raw, '[^0-9eE+{config.decimal}-]', '', 'g'), ',', '.')"
    number = f"try_cast({digits} AS DOUBLE) * CASE col {factors} END"
    paths = literal([column.name for column in columns if column.kind is Kind.PATH])
    # A file that changed since must not put other words into a finding's mouth.
    connection.execute(
        f"""INSERT INTO {WRITTEN} SELECT {literal(table)}, row_number, col, value, raw
            FROM (SELECT *, {number} AS number, try_cast(value AS DOUBLE) AS read
                  FROM found JOIN ({here}) USING (row_number, col))
            WHERE raw <> value AND CASE
                WHEN list_contains({paths}::VARCHAR[], col) THEN contains(raw, value)
                ELSE number IS NOT DISTINCT FROM read OR abs(number - read) <= 1e-9 * abs(number)
                END"""
    )


def _read_again(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    table: str,
    source: Source,
    columns: Sequence[Column],
    rows: Iterable[int],
) -> Iterator[tuple[int, str, str | None]]:
    """Row, column and text of the cells of `columns` in `rows` of a table, all of which are in
    `source`, ascending.

    Ends where the file cannot be read as it was: it has changed since, and the finding stays as it
    is.
    """
    config = context.config
    delimiters = [
        each.delimiter
        for each in context.ingested.details.files_of(table)
        if (each.file, each.sheet) == (source.file, source.sheet)
    ]
    lab_file = LabFile(
        located(source.file, config.folder, config.tables[table]),
        TABLES[table],
        config.tables[table],
        source.first_line,
        source.sheet,
        delimiters[0] if delimiters else None,
    )
    scratch = context.store.scratch / f"single_cells-{uuid4().hex}"
    scratch.mkdir(parents=True)
    names = [source.columns.get(column.name, column.name) for column in columns]
    asked, lines = tee(rows)
    try:
        own = format_of(lab_file.path)
        assert own is not None  # ingest has read it
        with Fence() as fence:
            means = Means(connection, fence, scratch)
            found = own.cells(lab_file, names, map(source.line, lines), means)
            for texts, row in zip(found, asked, strict=False):
                for column, text in zip(columns, texts, strict=True):
                    yield row, column.name, text
    except (Unreadable, OSError, ValueError, duckdb.Error):
        return
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


Place = tuple[str, int, str, str | None]
"""Table, row number, SynDB's column, value as read."""


def _rows(places: Sequence[Place]) -> str:
    """A FROM item of `places`, of which there are a few, with the columns place (their number),
    tbl, row_number, col and value.
    """
    listed = ", ".join(
        f"({number}, {', '.join(map(literal, place))}::VARCHAR)"
        for number, place in enumerate(places)
    )
    return f"(VALUES {listed}) AS places(place, tbl, row_number, col, value)"


def texts(connection: duckdb.DuckDBPyConnection, places: Sequence[Place]) -> list[str | None]:
    """The text that `look_up` found for each of a few `places`; else the value as read."""
    if not places:
        return []
    rows = connection.execute(
        f"""SELECT coalesce(any_value(raw), any_value(value)) FROM {_rows(places)}
            LEFT JOIN {WRITTEN} USING (tbl, row_number, col, value) GROUP BY place ORDER BY place"""
    ).fetchall()
    return [text for (text,) in rows]


def examples(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    sources: SourceMap,
    table: str,
    places: Sequence[tuple[int, str, Any]],
) -> list[Example]:
    """An example for each of a few `places` (row number, SynDB's column, value as read) of `table`,
    with the text of its cell.

    A value that is None stays None. `connection` has the table `WRITTEN`.
    """
    cells = [
        (table, row, column, None if value is None else str(value)) for row, column, value in places
    ]
    if cells:
        look_up(
            connection,
            context,
            sources,
            f"SELECT tbl, row_number, col, value FROM {_rows(cells)} WHERE value IS NOT NULL",
        )
    found = zip(cells, texts(connection, cells), strict=True)
    return [sources.example(table, row, column, text) for (_, row, column, _), text in found]
