"""Parquet files: their columns as they are, with the types the casts need to know.

Belongs here: the schema of a Parquet file, and what its footer says that cannot be. Does not:
casts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import duckdb

from syndb_pipeline.base.arrow import pa, pq
from syndb_pipeline.base.engine import given, parquet
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import TABLES, Table
from syndb_pipeline.readers import casts, headers
from syndb_pipeline.readers.fence import LimitReached
from syndb_pipeline.readers.formats import Format, Glimpse, LabFile, Means, Texts
from syndb_pipeline.readers.part import (
    MAX_COLUMNS,
    Part,
    cannot_read,
    column_name,
    refused,
    stops_early,
    too_many_columns,
)
from syndb_pipeline.readers.signatures import check_is

MAX_FOOTER_BYTES: Final = 16_000_000
"""Of one file. A billion rows of 40 columns in row groups of a million take 6 MB."""

MAX_MEAN_VALUE: Final = 100_000
"""Bytes of a value, on average of a column's, from `MAX_VALUES_FREE` bytes on: no table of a lab
comes near.
"""

MAX_VALUES_FREE: Final = 100_000_000

FREE_ROWS: Final = 1_000_000
MAX_ROWS_PER_BYTE: Final = 300
"""Rows for each byte of data, beyond `FREE_ROWS`. Every row has a key of its own, and even counted
keys alone (1, 2, 3, ...), packed as differences and compressed, reach 190; one value for all rows
reaches 430 in row groups of a million, and millions in one.
"""

_MAGIC: Final = b"PAR1"
_FENCED_FOOTER: Final = 256_000
"""A smaller footer cannot name enough columns and row groups to do harm."""

_FOOTER_MEMORY: Final = 330_000_000
_FOOTER_SECONDS: Final = 10
_AGAIN: Final = "Write the file again with the program that made it."
_SMALLER: Final = (
    "Write the file again with row groups of about a million rows and pages of about 1 MB, as"
    " programs do by themselves."
)
_DESCRIBES_TOO_MUCH: Final = "its footer describes far more columns and row groups than a table has"


def _glance(path: Path, file: str, _: TableConfig) -> int:
    """The bytes of the footer of the Parquet file at `path`, 0 where it is none. Raises
    `Unreadable` when no reader should try.
    """
    with path.open("rb") as source:
        size = source.seek(0, 2)
        source.seek(-min(8, size), 2)
        tail = source.read()
    if size < 12 or tail[4:] != _MAGIC:
        return 0
    length = int.from_bytes(tail[:4], "little")
    if length + 12 > size:
        raise refused(
            file, f"its footer is said to have {length:,} bytes, more than the file", _AGAIN
        )
    if length > MAX_FOOTER_BYTES:
        raise refused(file, f"{_DESCRIBES_TOO_MUCH}: it has {length:,} bytes", _SMALLER)
    return length


def _try_footer(path: Path) -> None:
    with suppress(pa.ArrowException, OSError):  # which it raises again where it is read to be used
        pq.read_metadata(path)


def _check(metadata: Any, size: int, file: str) -> None:
    """Raise `Unreadable` when the data of a file of `size` bytes cannot be what its footer says."""
    if metadata.num_columns > MAX_COLUMNS:
        raise too_many_columns(file, metadata.num_columns)
    data = 0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for chunk in map(group.column, range(group.num_columns)):
            start = min(
                (at for at in (chunk.dictionary_page_offset, chunk.data_page_offset) if at),
                default=4,
            )
            packed, unpacked = chunk.total_compressed_size, chunk.total_uncompressed_size
            if packed < 0 or start < 4 or start + packed > size:
                raise refused(
                    file, f"column {chunk.path_in_schema!r} is said to lie outside the file", _AGAIN
                )
            if unpacked > max(MAX_VALUES_FREE, MAX_MEAN_VALUE * chunk.num_values):
                which = f"{chunk.num_values:,} values of column {chunk.path_in_schema!r}"
                reason = f"{which} unpack to {unpacked:,} bytes"
                raise refused(file, reason, _SMALLER)
            data += packed
    rows = metadata.num_rows
    if rows > FREE_ROWS and rows > MAX_ROWS_PER_BYTE * min(data, size):
        reason = (
            f"it has {rows:,} rows in {min(data, size):,} bytes of data, so nearly all of them are"
            " the same"
        )
        raise refused(
            file,
            reason,
            "Give each row its own key; if this is what was measured, export the table as .csv.",
        )


def _read(path: Path, file: str, table: Table, config: TableConfig, means: Means) -> Part:
    connection = means.connection
    try:
        if _glance(path, file, config) > _FENCED_FOOTER:
            means.fence.call(_try_footer, path, memory=_FOOTER_MEMORY, seconds=_FOOTER_SECONDS)
        metadata = pq.read_metadata(path)
        schema = metadata.schema.to_arrow_schema()
        _check(metadata, path.stat().st_size, file)
        described = connection.execute(f"DESCRIBE SELECT * FROM {parquet(path)}").fetchall()
    except LimitReached:
        raise refused(file, _DESCRIBES_TOO_MUCH, _SMALLER) from None
    except (pa.ArrowException, OSError, duckdb.Error) as error:
        if "size limit" in str(error):
            raise refused(file, _DESCRIBES_TOO_MUCH, _SMALLER) from None
        check_is(path, file, FORMAT.name)
        if _lacks_footer(path):
            raise stops_early(
                file, "it begins as a Parquet file and lacks the footer that ends one"
            ) from None
        raise cannot_read(
            file, f"it is no whole Parquet file ({first_line(error)})", _AGAIN
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
    source = f"{parquet(path)} AS file({', '.join(map(column_name, range(len(types))))})"
    try:
        select = f"SELECT {', '.join(texts)} FROM {source} LIMIT 1"
        found = connection.execute(select).fetchall() if "VARCHAR" in types else []
    except duckdb.OutOfMemoryException:
        raise refused(
            file, "a page of it unpacks to more than this run can hold in memory", _SMALLER
        ) from None
    except duckdb.Error:
        found = []  # whoever reads all of it says why
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
        source.seek(-min(4, source.seek(0, 2)), 2)
        return begins and source.read() != _MAGIC


def _peek(path: Path, means: Means, count: int) -> list[Glimpse]:
    part = _read(path, path.name, TABLES["neuron"], TableConfig(file=path.name), means)
    cells = [_peeked(column_name(index), kind) for index, kind in enumerate(part.types)]
    try:
        rows = means.connection.execute(
            f"SELECT {', '.join(cells)} FROM {part.source} LIMIT {count}"
        ).fetchall()
    except duckdb.Error as error:
        raise cannot_read(path.name, first_line(error), _AGAIN) from None
    return [Glimpse({None: [*enumerate(map(list, rows), start=1)]}, names=part.names)]


def _peeked(column: str, kind: str) -> str:
    if kind == "BLOB" or kind.startswith(("STRUCT", "MAP", "UNION")):
        return "''"
    # Whole numbers as a person writes them, so that keys of one file are met again in another.
    return f"coalesce(regexp_replace({column}::VARCHAR, '\\.0$', ''), '')"


def _cells(
    lab_file: LabFile, names: Sequence[str], lines: Iterable[int], means: Means
) -> Iterator[Texts]:
    connection = means.connection
    casts.prepare(connection)
    part = _read(lab_file.path, lab_file.path.name, lab_file.table, lab_file.config, means)
    indexes = [part.names.index(name) for name in names]
    texts = [casts.to_text(f"file.{column_name(index)}", part.types[index]) for index in indexes]
    every = ", ".join([*(column_name(index) for index in range(len(part.names))), "number"])
    source = f"{parquet(lab_file.path, row_number=True)} AS file({every})"
    with given(connection, "wanted_lines", {"line": "BIGINT"}, ((line,) for line in lines)):
        yield from connection.execute(
            f"""SELECT {", ".join(texts)} FROM wanted_lines LEFT JOIN {source}
            ON number = line - {lab_file.first_line} ORDER BY line"""
        ).fetchall()


def first_line(error: Exception) -> str:
    """The first line of an error's message, short enough for a sentence."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")


FORMAT: Final = Format(
    name="Parquet file",
    suffixes=dict.fromkeys((".parquet", ".pq"), (_MAGIC,)),
    read=_read,
    peek=_peek,
    cells=_cells,
    glance=_glance,
)
