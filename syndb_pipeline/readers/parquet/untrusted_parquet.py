"""Parquet files that would harm whoever reads them: footers that lie, pages that inflate to
gigabytes, rows that are nowhere.

Belongs here: what must hold before pyarrow and DuckDB may open one. Does not: its columns.

Source: the Parquet format (parquet.thrift: FileMetaData, ColumnMetaData, PageHeader) and Thrift's
compact protocol.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow
import pyarrow.parquet

from syndb_pipeline.readers.untrusted_limits import MAX_COLUMNS, refused, too_many_columns

pa: Any = pyarrow  # it carries no types
pq: Any = pyarrow.parquet

MAX_FOOTER_BYTES: Final = 16_000_000
"""Of one file. A billion rows of 40 columns in row groups of a million take 6 MB."""

MAX_PAGE_BYTES: Final = 128_000_000
"""Of one page, unpacked. Writers make pages of 8 kB to 1 MB; DuckDB's may have 100 MB."""

FREE_ROWS: Final = 1_000_000
MAX_ROWS_PER_BYTE: Final = 300
"""Rows for each byte of data, beyond `FREE_ROWS`. Every row has a key of its own, and even counted
keys alone (1, 2, 3, ...), packed as differences and compressed, reach 190; one value for all rows
reaches 430 in row groups of a million, and millions in one.
"""

_PAGES_LOOKED_AT: Final = 20_000
_WALKED_FOOTER: Final = 256_000
"""A smaller footer cannot name enough columns and row groups to do harm."""

_MAX_CHUNKS: Final = 200_000
"""Column chunks: columns times row groups. Each takes 700 bytes for whoever reads the footer."""

_AGAIN: Final = "Write the file again with the program that made it."
_SMALLER: Final = (
    "Write the file again with row groups of about a million rows and pages of about 1 MB, as"
    " programs do by themselves."
)


class _Damaged(Exception):
    """Bytes are no Thrift structure."""


def glance(path: Path, file: str) -> None:
    """Raise `Unreadable` when the footer of the Parquet file at `path` announces what no reader
    should try. No Parquet is left alone.
    """
    with path.open("rb") as source:
        size = source.seek(0, 2)
        if size < 12:
            return
        source.seek(size - 8)
        tail = source.read(8)
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != b"PAR1":
            return
        if length + 12 > size:
            raise refused(
                file, f"its footer is said to have {length:,} bytes, more than the file", _AGAIN
            )
        if length > MAX_FOOTER_BYTES:
            raise refused(
                file,
                f"its footer has {length:,} bytes; it describes far more columns and row groups"
                " than a table has",
                _SMALLER,
            )
        source.seek(size - 8 - length)
        footer = source.read(length)
    try:
        columns = _columns(footer)
    except _Damaged:
        raise refused(file, "its footer is damaged", _AGAIN) from None
    if columns > MAX_COLUMNS:
        raise too_many_columns(file, columns)
    if length > _WALKED_FOOTER:
        try:
            chunks = _Walk(footer).chunks()
        except (_Damaged, RecursionError):
            raise refused(file, "its footer is damaged", _AGAIN) from None
        if chunks > _MAX_CHUNKS:
            raise refused(file, f"its footer describes {chunks:,} pieces of columns", _SMALLER)


def measure(path: Path, file: str) -> None:
    """Raise `Unreadable` when the data of the Parquet file at `path` cannot be what its footer
    says. One that is damaged is left alone.
    """
    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        return
    size = path.stat().st_size
    data = 0
    chunks = []
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for index in range(row_group.num_columns):
            chunk = row_group.column(index)
            offsets = [at for at in (chunk.dictionary_page_offset, chunk.data_page_offset) if at]
            start, packed = min(offsets, default=4), chunk.total_compressed_size
            if packed < 0 or start < 4 or start + packed > size:
                raise refused(
                    file, f"column {chunk.path_in_schema!r} is said to lie outside the file", _AGAIN
                )
            data += packed
            chunks.append((start, packed, chunk.path_in_schema))
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
    _check_pages(path, file, chunks)


def _check_pages(path: Path, file: str, chunks: list[tuple[int, int, str]]) -> None:
    """Go from page to page by their headers, which are small; the pages themselves are not read."""
    looked_at = 0
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for start, packed, column in chunks:
            at, end = start, start + packed
            while at < end and looked_at < _PAGES_LOOKED_AT:
                looked_at += 1
                try:
                    unpacked, inside, header = _page_at(descriptor, at)
                except _Damaged:
                    raise refused(
                        file, f"a page of column {column!r} does not begin where it should", _AGAIN
                    ) from None
                if not 0 <= unpacked <= MAX_PAGE_BYTES:
                    raise refused(
                        file, f"a page of column {column!r} unpacks to {unpacked:,} bytes", _SMALLER
                    )
                if inside < 0 or at + header + inside > end:
                    raise refused(
                        file,
                        f"a page of column {column!r} is said to reach beyond its column",
                        _AGAIN,
                    )
                at += header + inside
    finally:
        os.close(descriptor)


def _page_at(descriptor: int, at: int) -> tuple[int, int, int]:
    try:
        return _page(os.pread(descriptor, 512, at))
    except _Damaged:
        return _page(
            os.pread(descriptor, 1 << 20, at)
        )  # a header may hold the least and the greatest value


def _page(data: bytes) -> tuple[int, int, int]:
    """Size unpacked, size in the file, and size of its header, of the page whose header `data`
    begins with.
    """
    walk = _Walk(data)
    sizes = {number: value for number, kind, value in walk.fields(0) if kind in (4, 5, 6)}
    if 2 not in sizes or 3 not in sizes:
        raise _Damaged
    return sizes[2], sizes[3], walk.at


def _columns(footer: bytes) -> int:
    """How many elements the schema has, which comes first in a footer."""
    walk = _Walk(footer)
    for number, kind, value in walk.fields(0, stop_at=2):
        if number == 2 and kind == 9:
            return value
    raise _Damaged


class _Walk:
    """Goes through a structure in Thrift's compact protocol without keeping any of it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self._chunks = 0

    def chunks(self) -> int:
        """How many structures lie in lists in lists: the column chunks of all row groups."""
        for _ in self.fields(0):
            pass
        return self._chunks

    def _byte(self) -> int:
        if self.at >= len(self.data):
            raise _Damaged
        self.at += 1
        return self.data[self.at - 1]

    def _number(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise _Damaged

    def _signed(self) -> int:
        value = self._number()
        return (value >> 1) ^ -(value & 1)

    def fields(self, depth: int, stop_at: int | None = None) -> Iterator[tuple[int, int, int]]:
        """Number, type and value of each field: a list's value is its length. Ends at the field
        `stop_at`, whose value is not passed.
        """
        number = 0
        if depth > 16:
            raise _Damaged
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._signed()
            kind = head & 15
            if number == stop_at and kind == 9:
                yield number, kind, self._list_head()[0]
                return
            yield number, kind, self._skip(kind, depth)

    def _list_head(self) -> tuple[int, int]:
        head = self._byte()
        return (self._number() if head >> 4 == 15 else head >> 4), head & 15

    def _skip(self, kind: int, depth: int) -> int:
        if kind in (1, 2):
            return 0
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._signed()
        if kind in (7, 8):
            size = 8 if kind == 7 else self._number()
            self.at += size
            if self.at > len(self.data):
                raise _Damaged
            return size
        if kind in (9, 10):
            size, inner = self._list_head()
            if size > len(self.data) - self.at:
                raise _Damaged  # not even one byte for each
            if inner == 12 and depth == 1:
                self._chunks += size
            for _ in range(size):
                self._skip(3 if inner in (1, 2) else inner, depth)
            return size
        if kind == 12:
            for _ in self.fields(depth + 1):
                pass
            return 0
        raise _Damaged  # maps are in no Parquet footer
