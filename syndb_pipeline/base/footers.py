"""What the footer of a Parquet file of ours says without a query: its columns, its rows, and
whether a column holds anything.

Belongs here: files that the stages wrote. Does not: files of labs, whose footers may lie
(`readers/formats/parquet.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from syndb_pipeline.base.digests import Stamp, stamp


def types_of(path: Path) -> Mapping[str, str]:
    """The names of the columns, in the file's order, with their Arrow types, e.g. `int64`. Raises
    `OSError`.
    """
    return _types(path, stamp(path))


@lru_cache(maxsize=256)
def _types(path: Path, _: Stamp) -> Mapping[str, str]:
    return {field.name: str(field.type) for field in _parquet().read_schema(path)}


def rows_in(path: Path) -> int:
    """How many rows the file has. Raises `OSError`."""
    return int(_parquet().read_metadata(path).num_rows)


def values_in(path: Path, column: str) -> int:
    """How many values `column` has at most: its rows, less those that the statistics of a row group
    know to have none. Raises `OSError`.

    Our own files have these statistics in every row group, so that it is the number of values.
    """
    metadata = _parquet().read_metadata(path)
    index = metadata.schema.names.index(column)
    statistics = [
        metadata.row_group(group).column(index).statistics
        for group in range(metadata.num_row_groups)
    ]
    empty = [
        each.null_count if each is not None and each.has_null_count else 0 for each in statistics
    ]
    return int(metadata.num_rows - sum(empty))


def is_surely_empty(path: Path, column: str) -> bool:
    """Whether the statistics of every row group say that `column` has no value; they need not be
    there. Raises `OSError`.
    """
    return values_in(path, column) == 0


def _parquet() -> Any:
    """pyarrow.parquet, which carries no types, imported where it is used: it takes a tenth of a
    second.
    """
    import pyarrow.parquet

    return pyarrow.parquet
