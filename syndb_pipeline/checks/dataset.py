"""A dataset as checks of its keys and references ask about it.

Belongs here: short ways to count rows in DuckDB and to make a finding of those that a query gives.
Does not: any check.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from syndb_pipeline.base.engine import literal
from syndb_pipeline.checks.failures import Failures
from syndb_pipeline.checks.original_text import examples
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Example, Finding
from syndb_pipeline.state.results import TableDetails
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.tables import FILE

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
            f"SELECT row, value::VARCHAR FROM ({cells}) ORDER BY {order} LIMIT {most}"
        )
        return examples(
            self.connection,
            self.context,
            self.sources,
            table,
            [(row, column, value) for row, value in found],
        )

    def findings(
        self, code: str, table: str, column: str, cells: str, **values: Any
    ) -> list[Finding]:
        """The finding `code` about the `cells` of a column, a query that gives row and value; none
        where there are none."""
        count = self.count(cells)
        shown = self.examples(table, column, cells) if count else []
        return (
            [
                self.context.finding(
                    code, table=table, column=column, count=count, examples=shown, **values
                )
            ]
            if count
            else []
        )

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
