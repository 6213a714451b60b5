"""Cells of a workbook as calamine gives them, as text and as rows of a Parquet file.

Belongs here: single cells and rows. Does not: sheets and headers (`workbooks.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Final

import pyarrow
import pyarrow.parquet

from syndb_pipeline.readers.casts import EXACT_FLOAT, WHITE_SPACE
from syndb_pipeline.readers.part import column_name

pa: Any = pyarrow  # it carries no types
pq: Any = pyarrow.parquet

SPREADSHEET_DIGITS: Final = 15
"""Significant digits a spreadsheet keeps; a longer number was rounded when it was typed or
opened.
"""

_CHUNK_CELLS: Final = 200_000
Cell = Any  # what calamine gives: str, int, float, bool, date, datetime, time, timedelta


def cell_text(cell: Cell) -> str:
    """A cell as text: whole numbers without `.0`, other numbers in their shortest exact form,
    true/false, ISO dates.
    """
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e22 else repr(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ")
    if isinstance(cell, date | time):
        return cell.isoformat()
    return str(cell)


def is_damaged(cell: Cell) -> bool:
    """Whether a number has more digits than a spreadsheet or a double keeps, so that as a key it
    may not be what the lab had.
    """
    if isinstance(cell, bool) or not isinstance(cell, float | int):
        return False
    if abs(cell) < 1e15 and cell == int(cell):
        return False
    digits = repr(cell).lower().partition("e")[0].replace(".", "").strip("-").strip("0")
    return len(digits) > SPREADSHEET_DIGITS or abs(cell) > EXACT_FLOAT


@dataclass
class Sink:
    """Writes rows of cells as text columns `c0`, `c1`, ... and, for the columns `flagged`, `f0`,
    ...: whether the number is damaged.
    """

    path: Path
    width: int
    flagged: frozenset[int]
    rows: int = 0
    filled: list[bool] = field(default_factory=list)
    first: Sequence[Cell] = ()
    _pending: list[Sequence[Cell]] = field(default_factory=list)
    _writer: Any = None

    def __post_init__(self) -> None:
        self.filled = [False] * self.width
        texts = [pa.field(column_name(i), pa.string()) for i in range(self.width)]
        flags = [pa.field(f"f{i}", pa.bool_()) for i in sorted(self.flagged)]
        self._schema = pa.schema(texts + flags)
        self._writer = pq.ParquetWriter(self.path, self._schema, compression="lz4")

    def add(self, row: Sequence[Cell]) -> None:
        self.first = self.first or row
        self._pending.append(row)
        self.rows += 1
        if len(self._pending) * self.width >= _CHUNK_CELLS:
            self._flush()

    def _flush(self) -> None:
        columns = list(zip(*self._pending, strict=True)) if self._pending else [()] * self.width
        texts = [[cell_text(cell) or None for cell in column] for column in columns]
        self.filled = [
            full or any(text is not None for text in column)
            for full, column in zip(self.filled, texts, strict=True)
        ]
        flags = [[is_damaged(cell) for cell in columns[i]] for i in sorted(self.flagged)]
        arrays = [pa.array(column, pa.string()) for column in texts] + [
            pa.array(column, pa.bool_()) for column in flags
        ]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))
        self._pending = []

    def close(self) -> None:
        self._flush()
        self._writer.close()


def is_blank(row: Sequence[Cell]) -> bool:
    return all(isinstance(cell, str) and not cell.strip(WHITE_SPACE) for cell in row)
