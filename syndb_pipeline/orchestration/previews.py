"""The first rows of the tables that a stage wrote, small enough to be kept with every run.

Belongs here: reading a few rows. Does not: what columns mean (`columns.py`), or how rows are shown
(`markdown.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from syndb_pipeline.base.arrow import pq
from syndb_pipeline.contract.tables import ordered
from syndb_pipeline.quarantine.rows import FOLDER
from syndb_pipeline.state.store import Record

PREVIEW_ROWS = 2
FAILING_ROWS = 8
"""Rows of the failing cells: each is another mistake, while two rows say what a table looks
like.
"""

_BUFFER = 65_536
"""Bytes that are read at a time."""


@dataclass(frozen=True)
class FirstRows:
    """The first rows of a table, with the name and type of each column."""

    columns: Sequence[tuple[str, str]]
    rows: Sequence[dict[str, Any]]


def first_rows(folder: Path, record: Record) -> Iterator[tuple[str, FirstRows]]:
    """The first rows of each table that the stage wrote into `folder`, by the table's name; of its
    failing cells, when there are any.

    Quarantined rows go by "quarantined <table>". Columns whose names start with `_` are between our
    stages only and stay out.
    """
    files = [name for name in record.outputs if name.endswith(".parquet") and "/" in name]
    by_table = {Path(name).stem: folder / name for name in files}
    aside = {name for name in by_table if f"{FOLDER}/{name}.parquet" in files}
    for table in ordered(by_table):
        with by_table[table].open("rb") as file:
            yield f"quarantined {table}" if table in aside else table, _read(file, PREVIEW_ROWS)
    for name in record.outputs:
        if name == "failures.parquet":
            with (folder / name).open("rb") as file:
                failing = _read(file, FAILING_ROWS)
            if failing.rows:
                yield "failing cells (rows counted from 0)", failing


def _read(file: IO[bytes], rows: int) -> FirstRows:
    # A little of the first row group: by default all of its columns' pages would be fetched for a
    # few rows.
    parquet: Any = pq.ParquetFile(file, buffer_size=_BUFFER)
    columns = [
        (field.name, str(field.type))
        for field in parquet.schema_arrow
        if not field.name.startswith("_")
    ]
    first = range(min(1, parquet.num_row_groups))
    names = [name for name, _ in columns]
    batch = next(
        parquet.iter_batches(batch_size=rows, row_groups=first, columns=names, use_threads=False),
        None,
    )
    return FirstRows(columns, [] if batch is None else batch.to_pylist())
