"""Parquet files: their columns as they are, with the types the casts need to know.

Belongs here: the schema of a Parquet file. Does not: casts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow
import pyarrow.parquet

from syndb_pipeline.base.engine import parquet
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import Table
from syndb_pipeline.readers import headers
from syndb_pipeline.readers.endings import stops_early
from syndb_pipeline.readers.part import Part, cannot_read, column_name
from syndb_pipeline.readers.signatures import check_is

pa: Any = pyarrow  # it carries no types
pq: Any = pyarrow.parquet

_MAGIC = b"PAR1"
_ADVICE = "Write the file again with the program that made it."


def read(
    connection: duckdb.DuckDBPyConnection, path: Path, file: str, table: Table, config: TableConfig
) -> Part:
    """The rows of the Parquet file at `path`, called `file` in findings. Raises `Unreadable` when
    it is none.
    """
    try:
        metadata = pq.read_metadata(path)
        schema = metadata.schema.to_arrow_schema()
        described = connection.execute(f"DESCRIBE SELECT * FROM {parquet(path)}").fetchall()
    except (pa.ArrowException, OSError, duckdb.Error) as error:
        check_is(path, file, "Parquet file")
        if _lacks_footer(path):
            raise stops_early(
                file, "it begins as a Parquet file and lacks the footer that ends one"
            ) from None
        raise cannot_read(
            file, f"it is no whole Parquet file ({first_line(error)})", _ADVICE
        ) from None
    types = tuple(
        "UUID BYTES"
        if kind == "BLOB"
        and pa.types.is_fixed_size_binary(field.type)
        and field.type.byte_width == 16
        else kind
        for (_, kind, *_), field in zip(described, schema, strict=True)
    )
    texts = [column_name(i) if kind == "VARCHAR" else "''" for i, kind in enumerate(types)]
    # By position: two names that differ only in case are one to DuckDB and two to a lab.
    aliases = ", ".join(column_name(i) for i in range(len(types)))
    source = f"{parquet(path)} AS file({aliases})"
    try:
        found = (
            connection.execute(f"SELECT {', '.join(texts)} FROM {source} LIMIT 1").fetchall()
            if "VARCHAR" in types
            else []
        )
    except duckdb.Error:
        found = []  # whoever reads all of it tells why
    return Part(
        path=path,
        file=file,
        names=headers.tidy(schema.names),
        types=types,
        source=source,
        rows=metadata.num_rows,
        first_line=1,
        first=tuple(text or "" for row in found for text in row),
    )


def _lacks_footer(path: Path) -> bool:
    with path.open("rb") as source:
        begins = source.read(4) == _MAGIC
        source.seek(0, 2)
        source.seek(-min(4, source.tell()), 2)
        return begins and source.read() != _MAGIC


def first_line(error: Exception) -> str:
    """The first line of an error's message, short enough for a sentence."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
