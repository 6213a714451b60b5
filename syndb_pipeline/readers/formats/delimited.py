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
from typing import Final

from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import Table
from syndb_pipeline.readers import headers, signatures
from syndb_pipeline.readers.formats import Format, Glimpse, LabFile, Means, Rows, Texts
from syndb_pipeline.readers.part import (
    MAX_COLUMNS,
    Part,
    cannot_read,
    gunzipped,
    too_many_columns,
)
from syndb_pipeline.readers.text import encodings, text_files
from syndb_pipeline.readers.text.layout import DELIMITERS
from syndb_pipeline.readers.text.lines import (
    MAX_LINE_BYTES,
    LineTooLong,
    Record,
    line_end,
    records,
    records_at,
    settled,
)
from syndb_pipeline.readers.text.lines import sample as first_records

_LOOK_BYTES: Final = 1 << 20
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
            reason = "it holds zero bytes where its text should be"
            raise cannot_read(file, reason, "Copy or export it again from its source.")
        raise LineTooLong(1).in_file(file)
    line = _LINE_END.split(head, config.header_row or 1)[: config.header_row or 1][-1]
    delimiters = [config.delimiter] if config.delimiter else DELIMITERS[:-1]
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
        reason = "its compressed data are not whole"
        raise cannot_read(file, reason, "Compress it again from its source.") from None
    if not start.strip():
        raise cannot_read(file, "it is empty", "")
    encoding, readings = encodings.seen(start)
    text = codecs.getincrementaldecoder(encoding)("replace").decode(start).lstrip("\ufeff")
    sample = Path(mkdtemp(dir=means.scratch)) / "sample.txt"
    sample.write_bytes(text.encode("utf-8", "replace"))
    end = line_end(sample)
    last = text.rfind(end.decode())
    if len(start) == _LOOK_BYTES and last > 0:  # the last line is cut off
        sample.write_bytes(text[: last + 1].encode("utf-8", "replace"))

    def rows(mark: str | None) -> Rows:
        return _rows(islice(records(sample, (mark or "").encode(), end), count))

    try:
        ways: dict[str | None, Rows] = {
            mark: _rows(first_records(records(sample, mark.encode(), end), _SAMPLE_ROWS))
            for mark in DELIMITERS
        }
    except LineTooLong as error:
        raise error.in_file(file) from None
    return [Glimpse(ways, encoding=encoding, readings=readings, sample=sample, more=rows)]


def _rows(found: Iterable[Record]) -> list[tuple[int, list[str]]]:
    """The line and the values of each of the records that are rows."""
    return [
        (record.line, [text.strip() for text in record.texts])
        for record in found
        if not (record.blank or record.fault)
    ]


def _cells(
    lab_file: LabFile, names: Sequence[str], lines: Iterable[int], means: Means
) -> Iterator[Texts]:
    config, file = lab_file.config, lab_file.path.name
    setting = encodings.Setting.of(config, lab_file.table.name, file)
    text = encodings.as_utf8(lab_file.path, file, setting, means.scratch)
    path = settled(text.path, config.delimiter, means.scratch).path
    end, mark = line_end(path), (lab_file.delimiter or ",").encode()
    header: Sequence[str] = config.names or ()
    if config.names is None:
        found = records(path, mark, end, config.header_row or 1)
        header = next((record.texts for record in found if not record.blank), [])
    indexes = [headers.tidy(header).index(name) for name in names]
    for record in records_at(path, mark, end, lines):
        texts = record.texts if record else []
        yield tuple(texts[index] or None if index < len(texts) else None for index in indexes)


FORMAT: Final = Format(
    name="text",
    suffixes=dict.fromkeys((".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz"), ()),
    read=_read,
    peek=_peek,
    cells=_cells,
    glance=_glance,
    read_ahead=True,
)
