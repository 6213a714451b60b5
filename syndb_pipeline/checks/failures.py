"""Failing cells, gathered in DuckDB and made into findings: one for each cause, with count, first
places and last.

Belongs here: the table of failing cells every checking stage writes (`failures.parquet`). Does not:
the checks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from syndb_pipeline.base.engine import literal, parquet, write_sorted
from syndb_pipeline.checks import original_text
from syndb_pipeline.checks.original_text import WRITTEN
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Example, Finding
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.tables import FILE


@dataclass(frozen=True, slots=True)
class Group:
    """Failing cells of one table and column that share a rule and a cause.

    `value` is the first failing value as it was read, `examples` hold the cells as the lab wrote
    them.
    """

    code: str
    table: str
    column: str
    cause: str
    count: int
    examples: list[Example]
    value: str = ""

    @property
    def written(self) -> str:
        """The first failing cell, as the lab wrote it; "" where it is empty."""
        return (self.examples[0].value if self.examples else None) or ""


class Failures:
    """Failing cells of one stage, in a DuckDB table that spills within the memory limit.

    Columns: code, tbl (SynDB table), row_number (from 0, as in ingest's Parquet), col (SynDB
    column), value (text), cause (a short label that splits one rule's rows by reason; "" when there
    is one reason).
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        connection.execute(
            "CREATE TABLE failures (code VARCHAR, tbl VARCHAR, row_number BIGINT, col VARCHAR,"
            " value VARCHAR, cause VARCHAR DEFAULT '')"
        )
        original_text.prepare(connection)

    def add(self, query: str) -> int:
        """Insert the rows of `query`, whose columns are code, tbl, row_number, col, value, cause.
        Returns how many there were.
        """
        (count,) = self.connection.execute(f"INSERT INTO failures {query}").fetchone() or (0,)
        return int(count)

    def write(self, folder: Path, *, keep: tuple[Path, Collection[str]] | None = None) -> None:
        """Write `failures.parquet`, ordered by table, row and column, so that equal failures give
        equal bytes.

        `value` is there the cell as the lab wrote it, where `groups` has looked it up. `keep` names
        a folder whose file holds the failures of some tables already.
        """
        if keep and keep[1]:
            self.add(
                f"SELECT * FROM {parquet(keep[0] / FILE)} WHERE"
                f" list_contains({literal([*keep[1]])}, tbl)"
            )
        query = f"""SELECT code, tbl, row_number, col, coalesce(raw, value) AS value, cause
                    FROM failures LEFT JOIN {WRITTEN} USING (tbl, row_number, col, value)"""
        write_sorted(
            self.connection, query, "tbl, row_number, col, code, cause, value", folder / FILE
        )

    def groups(self, context: Context, sources: SourceMap) -> list[Group]:
        """The failing cells by code, table, column and cause, in hierarchy of first appearance,
        with their first places and the last.
        """
        rows = self.connection.execute(f"""SELECT code, tbl, col, cause, count(*),
                       min(struct_pack(r := row_number, v := value), {MAX_EXAMPLES - 1}),
                       max(struct_pack(r := row_number, v := value))
                FROM failures GROUP BY ALL ORDER BY tbl, code, col, cause""").fetchall()
        if not rows:
            return []
        places: list[list[original_text.Place]] = []
        for _, table, column, _, _, first, last in rows:
            cells = [*first, *([last] if last not in first else [])]
            places.append([(table, cell["r"], column, cell["v"]) for cell in cells])
        failing = "SELECT tbl, row_number, col, value FROM failures WHERE value IS NOT NULL"
        original_text.look_up(self.connection, context, sources, failing)
        groups = []
        for (code, table, column, cause, count, *_), cells in zip(rows, places, strict=True):
            texts = original_text.texts(self.connection, cells)
            found = zip(cells, texts, strict=True)
            examples = [sources.example(table, row, column, text) for (_, row, *_), text in found]
            groups.append(Group(code, table, column, cause, count, examples, cells[0][3] or ""))
        return groups

    def findings(
        self,
        context: Context,
        sources: SourceMap,
        describe: Callable[[Group], dict[str, Any]],
        leave: Collection[str] = (),
    ) -> list[Finding]:
        """A finding for each group but those of the codes `leave`; `describe` gives what its
        sentences need beside table, column, count and value.
        """
        return [
            context.finding(
                group.code,
                table=group.table,
                column=group.column,
                count=group.count,
                examples=group.examples,
                **({"value": group.written} | describe(group)),
            )
            for group in self.groups(context, sources)
            if group.code not in leave
        ]
