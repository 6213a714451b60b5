"""A corrected copy of a delimited text file: changed values in their places, every other byte as it
was.

Belongs here: lines, quotation marks and encodings while copying. Does not: which values change
(`returned.py`), proof (`proof.py`).
"""

from __future__ import annotations

import codecs
import gzip
import re
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO, Final

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.corrections.returned import Correction, Returned
from syndb_pipeline.readers.text.line_ends import line_end
from syndb_pipeline.readers.text.lines import MAX_RECORD_LINES, Splitter
from syndb_pipeline.report.workbook.originals import Original

_CHUNK: Final = 1 << 20
_BOMS: Final = {
    "utf-16": ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")),
    "utf-32": ((codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be")),
}
_NATIVE: Final = "le" if sys.byteorder == "little" else "be"


@dataclass(frozen=True, slots=True)
class _Encoding:
    """How a file's text stands in its bytes: a mark before it, and Python's name of the rest."""

    mark: bytes
    name: str


@dataclass
class TextCopy:
    """What to change in one text file. `rows` and `lines` come from its sheets of rows and of
    unreadable lines.

    After `write`, `added` gives the values of the rows that each unreadable line became.
    """

    original: Original
    rows: Returned | None = None
    lines: Returned | None = None
    problems: list[str] = field(default_factory=list)
    added: dict[int, list[list[str]]] = field(default_factory=dict)

    def write(self, target: Path, scratch: Path) -> None:
        """Write the copy. What cannot be written is added to `problems`, and the copy is then of no
        use.

        Raises `ConfigError` when the file's encoding cannot be written back to the byte.
        """
        utf8 = self.original.part.path
        found = self.original.part.encoding or "utf-8"
        with _raw(self.original.path) as file:
            head = file.read(4)
        encoding = _encoding(found, head)
        if found == "utf-8":
            with _sink(target) as sink:
                self._merge(utf8, sink, "utf-8")
            return
        self._require_exact(utf8, encoding)
        merged = scratch / "merged.txt"
        with merged.open("wb") as plain:
            self._merge(utf8, plain, encoding.name)
        if self.problems:
            return
        with _sink(target) as sink:
            sink.write(encoding.mark)
            for piece in _encoded(merged, encoding.name):
                sink.write(piece)
        merged.unlink()

    def _require_exact(self, utf8: Path, encoding: _Encoding) -> None:
        """Raise `ConfigError` unless writing the text in its encoding gives the very bytes that
        were read.
        """
        with _raw(self.original.path) as file:
            same = file.read(len(encoding.mark)) == encoding.mark
            for piece in _encoded(utf8, encoding.name):
                same = same and file.read(len(piece)) == piece
            same = same and not file.read(1)
        if not same:
            raise ConfigError(
                f"{self.original.part.file}: its {self.original.part.encoding} text cannot be"
                " written back byte for byte.",
                next_step="Save it as UTF-8, run the checks again, and write the workbook anew.",
            )

    def _merge(self, utf8: Path, sink: IO[bytes], encoding: str) -> None:
        """Copy the lines of `utf8`, with the changes."""
        assert self.original.part.delimiter is not None
        cells = self.rows.cells if self.rows else {}
        lines = self.lines.cells if self.lines else {}
        gone = {
            *(self.rows.removed if self.rows else ()),
            *(self.lines.removed if self.lines else ()),
        }
        touched = {*cells, *lines, *gone}
        end = line_end(utf8)
        editor = _Editor(
            self.original.part.delimiter.encode(),
            len(self.original.columns),
            encoding,
            end,
            self.problems,
        )
        with utf8.open("rb") as file:
            source = _lines(file, end)
            number = 0
            waiting: deque[bytes] = deque()
            while True:
                line = waiting.popleft() if waiting else next(source, None)
                if line is None:
                    return
                number += 1
                if number not in touched:
                    sink.write(line)
                    continue
                mark = codecs.BOM_UTF8 if number == 1 and line.startswith(codecs.BOM_UTF8) else b""
                taken = editor.record([line[len(mark) :]], source, waiting)
                sink.write(mark)
                if number in cells and number not in gone:
                    sink.write(editor.replaced(taken, cells[number]))
                elif number in lines and number not in gone:
                    piece, self.added[number] = editor.rewritten(taken, lines[number][0])
                    sink.write(piece)
                number += len(taken) - 1


@dataclass
class _Editor:
    """Changes records of a file whose lines end with `end` and whose text becomes `encoding` in the
    end.
    """

    delimiter: bytes
    width: int
    encoding: str
    end: bytes
    problems: list[str]
    _splitter: Splitter = field(init=False)
    _quoted: re.Pattern[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self._splitter = Splitter(self.delimiter)
        around = b"" if self.delimiter == b" " else b" *"
        self._quoted = re.compile(
            around + rb'"(?:[^"]|"")*"' + around + rb"(?=" + re.escape(self.delimiter) + rb"|\Z)"
        )

    def record(
        self, taken: list[bytes], source: Iterator[bytes], waiting: deque[bytes]
    ) -> list[bytes]:
        """The lines of the record that begins with the one in `taken`: more than one where a quoted
        value holds line ends.

        Lines looked at in vain are put in front of `waiting`, as `readers.lines.records` does.
        """
        while b'"' in taken[0]:
            if b'"' in taken[-1]:
                try:
                    self._splitter.split(_bare(b"".join(taken), self.end))
                except EOFError:
                    pass
                except ValueError:
                    break
                else:
                    return taken
            line = waiting.popleft() if waiting else next(source, None)
            if line is None or len(taken) >= MAX_RECORD_LINES:
                waiting.extendleft([line] if line is not None else [])
                break
            taken.append(line)
        waiting.extendleft(reversed(taken[1:]))
        return taken[:1]

    def replaced(self, taken: list[bytes], changes: dict[int, Correction]) -> bytes:
        """The record with the values of `changes`, by index, in their places."""
        whole = b"".join(taken)
        bare = _bare(whole, self.end)
        pieces = self._pieces(bare)
        assert len(pieces) == self.width, "a row has one value for each column"
        for index, correction in changes.items():
            quoted = pieces[index].lstrip(b" ").startswith(b'"')
            pieces[index] = self._value(correction, quoted, whole[len(bare) :])
        return self.delimiter.join(pieces) + whole[len(bare) :]

    def _pieces(self, record: bytes) -> list[bytes]:
        """The bytes of each value, quotation marks and spaces included."""
        if b'"' not in record:
            return record.split(self.delimiter)
        pieces, at = [], 0
        while True:
            match = self._quoted.match(record, at)
            after = match.end() if match else record.find(self.delimiter, at)
            after = len(record) if after < 0 else after
            pieces.append(record[at:after])
            if after == len(record):
                return pieces
            at = after + len(self.delimiter)

    def _value(self, correction: Correction, quoted: bool, end: bytes) -> bytes:
        text = correction.text
        self._check(correction)
        value = text.encode("utf-8", "replace")
        if b"\n" in value and end == b"\r\n":
            value = value.replace(b"\n", b"\r\n")
        awkward = any(
            mark in value for mark in (b'"', b"\n", b"\r", self.delimiter)
        ) or value != value.strip(b" ")
        if quoted or awkward or (self.width == 1 and not value.strip(b" \t")):
            return b'"' + value.replace(b'"', b'""') + b'"'
        return value

    def _check(self, correction: Correction) -> None:
        if self.end == b"\r" and "\n" in correction.text:
            self.problems.append(
                f"{correction.address}: the lines of this file end as old Macs end them, so no"
                " value of it can hold a line end"
            )
        try:
            correction.text.encode(self.encoding)
        except UnicodeEncodeError as error:
            wrong = correction.text[error.start]
            self.problems.append(
                f"{correction.address}: {wrong!r} cannot be written in the file's encoding,"
                f" {self.encoding}"
            )

    def rewritten(
        self, taken: list[bytes], correction: Correction
    ) -> tuple[bytes, list[list[str]]]:
        """What stands in the place of a line that could not be read, and the values of the rows it
        holds now.
        """
        self._check(correction)
        lines = [line.encode("utf-8", "replace") + b"\n" for line in correction.text.split("\n")]
        rows: list[list[str]] = []
        at = iter(lines)
        waiting: deque[bytes] = deque()
        while line := waiting.popleft() if waiting else next(at, b""):
            record = _bare(b"".join(self.record([line], at, waiting)), b"\n")
            try:
                values = self._splitter.split(record)
            except (ValueError, EOFError):
                self.problems.append(
                    f"{correction.address}: a quotation mark is still not closed properly"
                )
                return b"", []
            if len(values) != self.width or not record.strip():
                count = (
                    f"{len(values)} value{'' if len(values) == 1 else 's'}"
                    if record.strip()
                    else "nothing"
                )
                self.problems.append(
                    f"{correction.address}: it still holds {count} where the header announces"
                    f" {self.width}"
                )
                return b"", []
            rows.append([value.decode() for value in values])
        last = taken[-1]
        end = last[len(_bare(last, self.end)) :]
        inner = end or (b"\r\n" if taken[0].endswith(b"\r\n") else self.end)
        return inner.join(line[:-1] for line in lines) + end, rows


def _bare(record: bytes, end: bytes) -> bytes:
    """`record` without its line end."""
    if not record.endswith(end):
        return record
    return record[:-2] if end == b"\n" and record.endswith(b"\r\n") else record[:-1]


def _lines(file: BinaryIO, end: bytes) -> Iterator[bytes]:
    """The lines of `file` with their ends."""
    if end == b"\n":
        yield from file
        return
    rest = b""
    while chunk := file.read(_CHUNK):
        *lines, rest = (rest + chunk).split(end)
        yield from (line + end for line in lines)
    if rest:
        yield rest


def _is_packed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _raw(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if _is_packed(path) else path.open("rb")  # type: ignore[return-value]


def _sink(path: Path) -> IO[bytes]:
    # Without name and time, so that equal copies have equal bytes.
    return gzip.GzipFile(path, "wb", mtime=0) if _is_packed(path) else path.open("wb")  # type: ignore[return-value]


def _encoding(found: str, head: bytes) -> _Encoding:
    for mark, name in _BOMS.get(found, ()):
        if head.startswith(mark):
            return _Encoding(mark, name)
    return _Encoding(b"", f"{found}-{_NATIVE}" if found in _BOMS else found)


def _encoded(utf8: Path, name: str) -> Iterator[bytes]:
    """The text of `utf8` in another encoding, piece by piece."""
    encoder = codecs.getincrementalencoder(name)()
    with utf8.open(encoding="utf-8", newline="") as source:
        while text := source.read(_CHUNK):
            yield encoder.encode(text)
    yield encoder.encode("", final=True)
