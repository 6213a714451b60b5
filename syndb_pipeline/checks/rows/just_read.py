"""A table right after it was read: its files, their names for its columns, and the Parquet file of
its rows.

Belongs here: what all questions about rows that are no data start from. Does not: the questions.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from syndb_pipeline.base.engine import is_surely_empty, parquet
from syndb_pipeline.checks.dataset import Asking
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import Column, Table
from syndb_pipeline.readers import casts
from syndb_pipeline.readers.part import Part, line_of


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
    def declared(self) -> Mapping[str, Column]:
        return self.table.columns

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
