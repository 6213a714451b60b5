"""One table that ingest left, and what every check asks of it.

Belongs here: its rows, its first cells as the lab wrote them, findings about it, rows it refuses.
Does not: the checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syndb_pipeline.base.engine import literal, parquet, quote
from syndb_pipeline.checks.dataset import Asking
from syndb_pipeline.checks.original_text import examples
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import TABLES, Column
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Example, Finding
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.tables import is_error

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

    def examples(self, cells: Sequence[Cell]) -> list[Example]:
        """The places of a few `cells`, each with its text in the lab's file."""
        return examples(
            self.connection, self.context, self.sources, self.name, cells[:MAX_EXAMPLES]
        )

    def finding(self, code: str, cells: Sequence[Cell] = (), **values: Any) -> Finding:
        """The finding of rule `code` about this table, with `cells` as its examples."""
        return self.context.finding(code, table=self.name, examples=self.examples(cells), **values)

    def refuse(self, code: str, column: str, where: str) -> None:
        """Put the cells of `column` in the rows `where` among the failures, where rule `code`
        refuses rows here.
        """
        if is_error(self.context, code):
            self.connection.execute(
                f"""INSERT INTO failures SELECT {literal(code)}, {literal(self.name)},
                      file_row_number,
                    {literal(column)}, {quote(column)}::VARCHAR, '' FROM {self.source} WHERE
                      {where}"""
            )
