"""Delimited text: .csv, .tsv and .txt, also compressed with gzip.

Belongs here: the looks at a text file, single cells of one. Does not: reading all of it
(`readers/text/`).
"""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import mkdtemp
from typing import BinaryIO, Final

from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import Table
from syndb_pipeline.readers import headers, signatures
from syndb_pipeline.readers.formats import Format, Glimpse, LabFile, Means, Rows, Texts
from syndb_pipeline.readers.gzipped import gunzipped
from syndb_pipeline.readers.part import MAX_COLUMNS, Part, cannot_read, too_many_columns
from syndb_pipeline.readers.text import encodings, text_files
from syndb_pipeline.readers.text.layout import DELIMITERS
from syndb_pipeline.readers.text.lines import (
    MAX_LINE_BYTES,
    MAX_RECORD_LINES,
    LineTooLong,
    Record,
    Splitter,
    line_end,
    line_too_long,
    records,
    settled,
)
from syndb_pipeline.readers.text.lines import sample as first_records

_LOOK_BYTES: Final = 1 << 20
_CHUNK: Final = 1 << 20
_SAMPLE_ROWS: Final = 200
_LINE_END: Final = re.compile(rb"\r\n?|\n")


def _read(path: Path, file: str, table: Table, config: TableConfig, means: Means) -> Part:
    return text_files.read(path, file, table, config, means.scratch, means.corrections)


def _head(path: Path, file: str, size: int) -> bytes:
    """The first `size` bytes of the text in a file, which may be compressed."""
    with path.open("rb") as source:
        if not path.name.lower().endswith(".gz"):
            return source.read(size)
        head = bytearray()
        for piece in gunzipped(source, file):
            head += piece
            if len(head) >= size:
                break
        return bytes(head[:size])


def _glance(path: Path, file: str, config: TableConfig) -> None:
    try:
        head = _head(path, file, MAX_LINE_BYTES + 2)
    except (zlib.error, EOFError):
        return  # the reader says what is wrong with it
    if signatures.recognise(head[: signatures.HEAD_BYTES]):
        return  # the reader says what it is instead
    if len(head) > MAX_LINE_BYTES and b"\n" not in head and b"\r" not in head:
        if not head.strip(b"\0"):
            raise cannot_read(
                file,
                "it holds zero bytes where its text should be",
                "Copy or export it again from its source.",
            )
        raise line_too_long(file, 1)
    lines = _LINE_END.split(head, config.header_row or 1)
    line = lines[min(config.header_row or 1, len(lines)) - 1]
    delimiters = (
        [config.delimiter] if config.delimiter else [mark for mark in DELIMITERS if mark != " "]
    )
    columns = max(line.count(mark.encode()) for mark in delimiters) + 1
    if columns > MAX_COLUMNS:
        raise too_many_columns(file, columns)


def _peek(path: Path, means: Means, count: int) -> list[Glimpse]:
    file = path.name
    if not file.lower().endswith(".gz"):
        signatures.check_is(path, file, FORMAT.name)
    try:
        start = _head(path, file, _LOOK_BYTES)
    except (EOFError, zlib.error):
        raise cannot_read(
            file, "its compressed data are not whole", "Compress it again from its source."
        ) from None
    if not start.strip():
        raise cannot_read(file, "it is empty", "")
    encoding, readings = encodings.seen(start)
    text = codecs.getincrementaldecoder(encoding)("replace").decode(start).lstrip("\ufeff")
    sample = Path(mkdtemp(dir=means.scratch)) / "sample.txt"
    sample.write_bytes(text.encode("utf-8", "replace"))
    end = line_end(sample)
    if (
        len(start) == _LOOK_BYTES and (last := text.rfind(end.decode())) > 0
    ):  # the last line is cut off
        sample.write_bytes(text[: last + 1].encode("utf-8", "replace"))

    def rows(mark: str | None) -> Rows:
        return _rows(islice(records(sample, (mark or "").encode(), end), count))

    try:
        ways: dict[str | None, Rows] = {
            mark: _rows(first_records(records(sample, mark.encode(), end), _SAMPLE_ROWS))
            for mark in DELIMITERS
        }
    except LineTooLong as error:
        reason = f"line {error.number:,} is too long to be a row"
        raise cannot_read(file, reason, "") from None
    return [Glimpse(ways, encoding=encoding, readings=readings, sample=sample, more=rows)]


def _rows(found: Iterable[Record]) -> list[tuple[int, list[str]]]:
    """The line and the values of each of the records that are rows."""
    return [
        (record.line, [value.decode("utf-8", "replace").strip() for value in record.values])
        for record in found
        if not (record.blank or record.fault)
    ]


def _cells(
    lab_file: LabFile, names: Sequence[str], lines: Iterable[int], means: Means
) -> Iterator[Texts]:
    config = lab_file.config
    path, _ = encodings.as_utf8(
        lab_file.path, lab_file.path.name, config.encoding, lab_file.table.name, means.scratch
    )
    path = settled(path, config.delimiter, means.scratch).path
    end, mark = line_end(path), (lab_file.delimiter or ",").encode()
    header: Sequence[str] = config.names or ()
    if config.names is None:
        found = (
            record.values
            for record in records(path, mark, end, config.header_row or 1)
            if not record.blank
        )
        header = [value.decode() for value in next(found, [])]
    indexes = [headers.tidy(header).index(name) for name in names]
    splitter = Splitter(mark)
    with path.open("rb") as file:
        source = _Lines(file, end)
        for line in lines:
            source.skip_to(line)
            values = _record(splitter, source)
            yield tuple(
                values[index].decode() or None if index < len(values) else None for index in indexes
            )


def _record(splitter: Splitter, source: _Lines) -> list[bytes]:
    """The values of the record that begins in the next line; empty when none does."""
    taken: list[bytes] = []
    while len(taken) < MAX_RECORD_LINES and (line := source.take()) is not None:
        taken.append(line)
        if len(taken) > 1 and b'"' not in line:
            continue
        try:
            return splitter.split(b"\n".join(taken))
        except EOFError:
            continue  # a quoted value goes on in the next line
        except ValueError:
            return []
    return []


class _Lines:
    """The lines of a text file, with a fast way past those that no one wants."""

    def __init__(self, file: BinaryIO, end: bytes) -> None:
        self._file = file
        self._end = end
        self._number = 1  # of the next line
        self._block = b""  # whole lines, not split yet
        self._lines: list[bytes] = []
        self._at = 0
        self._rest = b""
        mark = file.read(3)
        if mark != b"\xef\xbb\xbf":
            file.seek(0)

    def skip_to(self, number: int) -> None:
        """Go to before line `number`, which is not behind."""
        while self._number < number:
            left = len(self._lines) - self._at
            if left:
                step = min(left, number - self._number)
                self._at += step
                self._number += step
            elif not self._fill():
                return
            elif self._number + (count := self._block.count(self._end)) <= number:
                self._number += count
                self._block = b""
            else:
                self._split()

    def take(self) -> bytes | None:
        """The next line without its end; None behind the last one."""
        while self._at == len(self._lines):
            if not self._block and not self._fill():
                return None
            self._split()
        line = self._lines[self._at]
        self._at += 1
        self._number += 1
        return line[:-1] if self._end == b"\n" and line.endswith(b"\r") else line

    def _split(self) -> None:
        self._lines, self._at = self._block.split(self._end)[:-1], 0
        self._block = b""

    def _fill(self) -> bool:
        """Read the next whole lines into the empty block. A last line without end is given one."""
        while not self._block:
            chunk = self._file.read(_CHUNK)
            data = self._rest + (chunk or (self._end if self._rest else b""))
            if not data:
                return False
            cut = data.rfind(self._end) + len(self._end) if self._end in data else 0
            self._block, self._rest = data[:cut], data[cut:]
        return True


FORMAT: Final = Format(
    name="text",
    suffixes=dict.fromkeys((".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz"), ()),
    read=_read,
    peek=_peek,
    cells=_cells,
    glance=_glance,
    read_ahead=True,
)
