"""Lines that cannot be read as rows, kept as they were written.

Belongs here: the file they are streamed into while a table is read. Does not: why a line is
refused, or telling it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pyarrow
import pyarrow.parquet

pa: Any = pyarrow  # it carries no types
pq: Any = pyarrow.parquet

MAX_TEXT: Final = 100_000
"""Characters of a refused line that are kept."""

_BATCH_CHARACTERS: Final = 4_000_000
_BATCH_LINES: Final = 10_000


class RefusedLines:
    """Streams refused lines into the Parquet file `path` (line BIGINT, text VARCHAR, code VARCHAR),
    which is there once one was added.

    `add` takes the line's number as a person counts it, its text and the code of the rule that
    refuses it; `close` ends the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._pending: list[tuple[int, str, str]] = []
        self._size = 0
        self._schema = pa.schema(
            [("line", pa.int64()), ("text", pa.string()), ("code", pa.string())]
        )
        self._writer: Any = None

    def add(self, line: int, text: str, code: str) -> None:
        self.count += 1
        self._pending.append((line, text[:MAX_TEXT], code))
        self._size += min(len(text), MAX_TEXT)
        if self._size >= _BATCH_CHARACTERS or len(self._pending) >= _BATCH_LINES:
            self._flush()

    def _flush(self) -> None:
        if not self._pending:
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(self.path, self._schema, compression="lz4")
        columns = zip(*self._pending, strict=True)
        arrays = [
            pa.array(column, field.type)
            for column, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))
        self._pending, self._size = [], 0

    def close(self) -> Path | None:
        """End the file and give its path; None when no line was added."""
        self._flush()
        if self._writer is None:
            return None
        self._writer.close()
        return self.path
