"""What checks ask: a dataset, one table that ingest left, or a table that was just read.

Belongs here: short ways to count rows in DuckDB, to make a finding of those that a query gives, and
to refuse rows. Does not: any check.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from syndb_pipeline.base.engine import is_surely_empty, literal, parquet, quote
from syndb_pipeline.checks.failures import Failures
from syndb_pipeline.checks.original_text import examples
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.key_encoding import cells_of, keys_of, rows_of
from syndb_pipeline.contract.tables import TABLES, Column, Table
from syndb_pipeline.readers import casts
from syndb_pipeline.readers.part import Part, line_of
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Example, Finding
from syndb_pipeline.state.results import TableDetails
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.tables import FILE, is_error

T = TypeVar("T")


@dataclass
class Asking:
    """Whatever has a DuckDB connection of which it asks something."""

    connection: duckdb.DuckDBPyConnection

    def fetch(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of `query`, whose question marks mean `values`."""
        return self.connection.execute(query, values).fetchall()

    def row(self, query: str) -> tuple[Any, ...]:
        """The only row of `query`."""
        [row] = self.fetch(query)
        return row

    def count(self, query: str) -> int:
        """How many rows `query` gives."""
        return int(self.row(f"SELECT count(*) FROM ({query})")[0])

    def some(self, query: str) -> bool:
        """Whether `query` gives any row."""
        return bool(self.fetch(f"SELECT 1 FROM ({query}) LIMIT 1"))


@dataclass
class Dataset(Asking):
    """The tables of a dataset: their rows as ingest left them, and their keys as far as assign_ids
    has written them."""

    context: Context
    sources: SourceMap
    tables: dict[str, Path]
    ids: dict[str, Path]
    failures: Failures

    def source(self, table: str) -> str:
        """A FROM item of a table's rows, keys as text, with `file_row_number`."""
        return rows_of(self.tables[table], row_number=True)

    def cells(self, table: str, column: str) -> str:
        """A FROM item of a column: row, counted from 0, and value, a key as text."""
        return cells_of(self.tables[table], column)

    def keys(self, table: str) -> str:
        """A FROM item of a table's keys: row, counted from 0, and key as text, of rows with one."""
        return keys_of(self.ids[table])

    def lab_name(self, table: str, column: str) -> str:
        """What the first file of a table calls a column."""
        return self.sources.tables[table][0].columns.get(column, column)

    def fail(self, code: str, table: str, column: str, cells: str, cause: str = "''") -> None:
        """Add the `cells` of a column, a query that gives row and value, to the failing ones;
        `cause` is SQL over them."""
        cell = f"{literal(code)}, {literal(table)}, row, {literal(column)}, value, {cause}"
        self.failures.add(f"SELECT {cell} FROM ({cells})")

    def examples(
        self, table: str, column: str, cells: str, most: int = MAX_EXAMPLES, order: str = "row"
    ) -> list[Example]:
        """The first of the `cells` of a column, a query that gives row and value, as the lab wrote
        them."""
        found = self.fetch(
            f"SELECT row, {literal(column)}, value::VARCHAR FROM ({cells}) "
            f"ORDER BY {order} LIMIT {most}"
        )
        return examples(self.connection, self.context, self.sources, table, found)

    def findings(
        self, code: str, table: str, column: str, cells: str, **values: Any
    ) -> list[Finding]:
        """The finding `code` about the `cells` of a column, a query that gives row and value; none
        where there are none."""
        if not (count := self.count(cells)):
            return []
        shown = self.examples(table, column, cells)
        place = {"table": table, "column": column, "count": count, "examples": shown}
        return [self.context.finding(code, **place, **values)]

    def reuse(
        self, kind: type[TableDetails[T]], table: str, made_from: str, file: str, folder: Path
    ) -> T | None:
        """Have what the last run of the stage left of a table in the new `folder` too: its output
        `file`, if there was one.

        Args:
            kind: The stage's details.
            table: Its name.
            made_from: The digest of what the table would be made from now.
            file: As in the record.
            folder: Of this run's outputs.

        Returns:
            The details of the table, or None where there is something to report or to make.
        """
        former = self.context.former
        if former is None or not former.holds(table, made_from):
            return None
        if not former.is_clean(self.connection, table, FILE):
            return None
        if file in former.record.outputs:
            if not former.is_whole(file):
                return None
            former.take_over(file, folder)
        return former.details(kind).tables[table]


Cell = tuple[int, str, Any]
"""Row number (from 0), SynDB's column, value as read."""


@dataclass
class Inspected(Asking):
    """A table that ingest left, with those of its `columns` that are SynDB's, in their order.

    `connection` has the tables that `Failures` makes.
    """

    context: Context
    sources: SourceMap
    name: str
    columns: Sequence[str]

    @property
    def config(self) -> TableConfig:
        return self.context.config.tables[self.name]

    @property
    def declared(self) -> Mapping[str, Column]:
        return TABLES[self.name].columns

    @property
    def file(self) -> Path:
        return self.context.store.stage("ingest") / "tables" / f"{self.name}.parquet"

    @property
    def source(self) -> str:
        """A FROM item of its rows, with `file_row_number`."""
        return parquet(self.file, row_number=True)

    def first(self, columns: Sequence[str], where: str, limit: int = MAX_EXAMPLES) -> list[Cell]:
        """The cells of `columns` in the first `limit` rows that fulfil the condition `where`."""
        cells = ", ".join(map(quote, columns))
        rows = self.fetch(f"""SELECT file_row_number, {cells} FROM {self.source} WHERE {where}
                ORDER BY file_row_number LIMIT {limit}""")
        return [
            (row, name, value)
            for row, *values in rows
            for name, value in zip(columns, values, strict=True)
        ]

    def finding(self, code: str, cells: Sequence[Cell] = (), **values: Any) -> Finding:
        """The finding of rule `code` about this table, with the first of `cells` as its examples,
        each with its text in the lab's file."""
        shown = cells[:MAX_EXAMPLES]
        found = examples(self.connection, self.context, self.sources, self.name, shown)
        return self.context.finding(code, table=self.name, examples=found, **values)

    def refuse(self, code: str, column: str, where: str) -> None:
        """Put the cells of `column` in the rows `where` among the failures, where rule `code`
        refuses rows here.
        """
        if is_error(self.context, code):
            self.connection.execute(
                f"""INSERT INTO failures SELECT {literal(code)}, {literal(self.name)},
                        file_row_number, {literal(column)}, {quote(column)}::VARCHAR, ''
                    FROM {self.source} WHERE {where}"""
            )


@dataclass
class JustRead(Asking):
    """The table at `file`, read from `parts`; `names` gives the lab's name of each of its
    columns.
    """

    parts: Sequence[Part]
    names: dict[str, str]
    table: Table
    config: TableConfig
    file: Path

    @property
    def starts(self) -> list[int]:
        """The row at which each part begins, and the number of all rows."""
        return list(accumulate((part.rows for part in self.parts), initial=0))

    @property
    def source(self) -> str:
        """A FROM item of the rows, with `file_row_number`."""
        return parquet(self.file, row_number=True)

    @property
    def has_cells(self) -> bool:
        """Whether any cell could not be cast, or was noted for another reason."""
        return not is_surely_empty(self.file, casts.CELLS)

    def place(self, row: int) -> tuple[Part, int]:
        """The part that row number `row` (from 0) of the table is of, and its line there."""
        starts = self.starts
        index = bisect_right(starts, row) - 1
        return self.parts[index], line_of(self.parts[index], row - starts[index])
