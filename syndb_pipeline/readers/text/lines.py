"""Records of a delimited text file, one by one and to the letter: the careful way, taken when the
fast one cannot vouch for every line.

Belongs here: what ends the lines, splitting bytes into lines and lines into values. Does not:
encodings, headers, DuckDB.
"""

from __future__ import annotations

import mmap
import re
from codecs import BOM_UTF8
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from syndb_pipeline.base.arrow import pa
from syndb_pipeline.readers.part import Unreadable, cannot_read

if TYPE_CHECKING:
    import polars as pl


MAX_LINE_BYTES: Final = 2_000_000
"""The longest record that is read, DuckDB's own limit for a line of text."""

MAX_RECORD_LINES: Final = 1_000
"""How many lines one record may span: a quotation mark that stays open longer is a stray one."""

CHUNK: Final = 4 << 20


class OpenQuote(EOFError):
    """A quotation mark is still open at the end; its value begins at byte `at`."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


class LineTooLong(Exception):
    """A line is longer than `MAX_LINE_BYTES`. `number` is the line's, from 1."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def in_file(self, file: str) -> Unreadable:
        """`Unreadable` for the file that has the line."""
        return cannot_read(
            file,
            f"line {self.number:,} is longer than {MAX_LINE_BYTES:,} bytes",
            "Check that it is a table of delimited text whose lines are ended, and export it"
            " again.",
        )


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its first line (from 1), how many lines it spans, its values; `fault` says that a
    quotation mark is misplaced or never closed.

    `raw` is the text as written, without the line end; `plain` says that it holds no quotation
    mark.
    """

    line: int
    spans: int
    values: list[bytes]
    raw: bytes
    fault: bool = False
    plain: bool = True
    blank: bool = False

    @property
    def shown(self) -> str:
        """Its text as findings show it."""
        return self.raw.decode("utf-8", "replace")

    @property
    def texts(self) -> list[str]:
        """Its values as text, whatever its bytes."""
        return [value.decode("utf-8", "replace") for value in self.values]


@dataclass
class Splitter:
    """Splits a record's bytes into values, as RFC 4180 says; spaces around a quoted value are no
    part of it, nor of any other.

    Raises `ValueError` when a quotation mark is misplaced and `EOFError` when one is still open at
    the end.
    """

    delimiter: bytes
    _quoted: re.Pattern[bytes] = field(init=False)
    _plain: re.Pattern[bytes] = field(init=False)
    _opens: re.Pattern[bytes] = field(init=False)

    def __post_init__(self) -> None:
        mark = re.escape(self.delimiter)
        around = b"" if self.delimiter == b" " else b" *"
        self._opens = re.compile(around + rb'"')
        self._quoted = re.compile(
            self._opens.pattern + rb'((?:[^"]++|"")*+)"' + around + rb"(?=" + mark + rb"|\Z)"
        )
        self._plain = re.compile(rb"[^" + mark + rb"]*")

    def split(self, record: bytes) -> list[bytes]:
        if b'"' not in record:
            return record.split(self.delimiter)
        values: list[bytes] = []
        self.go_on(record, 0, values)
        return values

    def go_on(self, record: bytes | bytearray, at: int, values: list[bytes]) -> None:
        """Add the values of `record` from byte `at` on to `values`, those before one that is still
        open included.
        """
        while True:
            if self._opens.match(record, at):
                match = self._quoted.match(record, at)
                if match is None:
                    inside = record[record.index(b'"', at) + 1 :].replace(b'""', b"")
                    raise ValueError("misplaced") if b'"' in inside else OpenQuote(at)
                values.append(bytes(match[1]).replace(b'""', b'"'))
            else:
                match = self._plain.match(record, at)
                assert match is not None  # it matches the empty text
                values.append(bytes(match[0]))
            at = match.end()
            if at == len(record):
                return
            at += 1


def physical_lines(file: BinaryIO, end: bytes) -> Iterator[bytes]:
    """The lines of `file` from where it is, without their ends; `end` is b"\\n" (a b"\\r"
    before it goes too) or b"\\r".
    """
    if end == b"\n":
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 2):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise LineTooLong(number)
            if line.endswith(b"\n"):
                line = line[:-2] if line.endswith(b"\r\n") else line[:-1]
            yield line
        return
    rest, number = b"", 0
    while chunk := file.read(CHUNK):
        *lines, rest = (rest + chunk).split(end)
        number += len(lines)
        yield from lines
        if len(rest) > MAX_LINE_BYTES:
            raise LineTooLong(number + 1)
    if rest:
        yield rest


class _Source:
    """The records of an open text file, from any line on; a byte order mark is left out."""

    def __init__(self, file: BinaryIO, delimiter: bytes, end: bytes) -> None:
        if file.read(len(BOM_UTF8)) != BOM_UTF8:
            file.seek(0)
        self._lines = physical_lines(file, end)
        self._waiting: deque[bytes] = deque()  # looked at in vain for the end of a quoted value
        self._splitter = Splitter(delimiter)
        self._line = 0  # the number of the last one taken
        self._blank = b"" if delimiter in b" \t" else b" \t"

    def _take(self) -> bytes | None:
        return self._waiting.popleft() if self._waiting else next(self._lines, None)

    def skip_to(self, line: int) -> None:
        """Go to before `line`, which is not behind."""
        while self._waiting and self._line < line - 1:
            self._waiting.popleft()
            self._line += 1
        self._line += sum(1 for _ in islice(self._lines, line - 1 - self._line))

    def record(self) -> Record | None:
        """The next record or blank line; None behind the last one."""
        line = self._take()
        if line is None:
            return None
        self._line += 1
        if b'"' not in line:
            blank = not line.strip(self._blank) if self._blank else not line
            values = [] if blank else line.split(self._splitter.delimiter)
            return Record(self._line, 1, values, line, blank=blank)
        record = self._quoted_record(line)
        self._line += record.spans - 1
        return record

    def _quoted_record(self, line: bytes) -> Record:
        """The record that starts with `line`; lines taken in vain wait to be taken again."""
        taken = [line]
        values: list[bytes] = []
        raw, at = bytearray(line), 0
        while len(taken) <= MAX_RECORD_LINES and len(raw) <= MAX_LINE_BYTES + len(taken):
            try:
                # Within an open value two marks mean one, so only a mark left over can end it.
                # What is read once is not read again.
                if len(taken) == 1 or b'"' in taken[-1].replace(b'""', b""):
                    self._splitter.go_on(raw, at, values)
                    return Record(self._line, len(taken), values, bytes(raw), plain=False)
            except OpenQuote as open_quote:
                at = open_quote.at
            except ValueError:
                break
            following = self._take()
            if following is None:
                break
            taken.append(following)
            raw += b"\n" + following
        self._waiting.extendleft(reversed(taken[1:]))
        return Record(self._line, 1, [], line, fault=True, plain=False)


def records(path: Path, delimiter: bytes, end: bytes, start: int = 1) -> Iterator[Record]:
    """Every record and blank line of the text file at `path` from line `start` on, in order. Raises
    `LineTooLong`.
    """
    with path.open("rb") as file:
        source = _Source(file, delimiter, end)
        source.skip_to(start)
        while record := source.record():
            yield record


def records_at(
    path: Path, delimiter: bytes, end: bytes, lines: Iterable[int]
) -> Iterator[Record | None]:
    """The records that begin in such `lines`, in ascending order; None where none does."""
    with path.open("rb") as file:
        source = _Source(file, delimiter, end)
        for line in lines:
            source.skip_to(line)
            record = source.record()
            yield record if record and record.line == line else None


def sample(from_start: Iterator[Record], count: int) -> list[Record]:
    """The first `count` records, or fewer when they are long: together they are not much more than
    one of the longest that is read.
    """
    taken, size = [], 0
    for record in islice(from_start, count):
        taken.append(record)
        size += len(record.raw)
        if size > MAX_LINE_BYTES // 4:
            break
    return taken


def joined(values: list[bytes], delimiter: bytes) -> bytes:
    """`values` as one line in which every value that could be misread is quoted."""
    awkward = (b'"', b"\n", b"\r", delimiter)
    return delimiter.join(
        b'"' + value.replace(b'"', b'""') + b'"'
        if any(mark in value for mark in awkward) or value != value.strip(b" ")
        else value
        for value in values
    )


def as_series(text: bytes, kind: Any = None) -> pl.Series:
    """The bytes as numbers, not copied: counting them so is some 20 times faster than
    `bytes.count`. Their Arrow type `kind` is uint8 unless one is given.
    """
    import polars as pl  # takes 20 MB, which a process that reads no file does not need

    array = pa.Array.from_buffers(kind or pa.uint8(), len(text), [None, pa.py_buffer(text)])
    return pl.Series(values=array)


def blanks_in(text: bytes) -> int:
    """How many bytes of `text` are no printed ASCII: white space, control characters, parts of
    other characters.
    """
    # Read with a sign, bytes beyond ASCII are below 0: one comparison finds them and what is not
    # printed.
    return int((as_series(text, pa.int8()) <= ord(" ")).sum())


def line_end(path: Path) -> bytes:
    """What ends the lines: b"\\n", or b"\\r" alone as old instruments write it."""
    returns = False
    with path.open("rb") as source:
        while chunk := source.read(CHUNK):
            if b"\n" in chunk:
                return b"\n"
            returns = returns or b"\r" in chunk
    return b"\r" if returns else b"\n"


@dataclass(frozen=True, slots=True)
class LineEnds:
    """How often a file has LF, CR, and CR LF, which counts as each of them; whether it has
    quotation marks, and bytes that are zero, as no text has.
    """

    feeds: int = 0
    returns: int = 0
    pairs: int = 0
    quotes: bool = False
    zeros: bool = False

    @property
    def end(self) -> bytes:
        return b"\r" if self.returns and not self.feeds else b"\n"


def count_ends(path: Path) -> LineEnds:
    feeds = returns = pairs = 0
    quotes = zeros = ended = False
    with path.open("rb", buffering=0) as source:
        while chunk := source.read(CHUNK):
            bytes_of = as_series(chunk)
            feeds += int((bytes_of == ord("\n")).sum())
            if b"\r" in chunk:
                returns += int((bytes_of == ord("\r")).sum())
                pairs += chunk.count(b"\r\n")
            pairs += ended and chunk.startswith(b"\n")
            ended = chunk.endswith(b"\r")
            quotes = quotes or b'"' in chunk
            zeros = zeros or b"\0" in chunk
    return LineEnds(feeds, returns, pairs, quotes, zeros)


@dataclass(frozen=True, slots=True)
class Settled:
    """The text of a file with one kind of line end, at `path`, which has the line ends `ends`.

    Where a copy had to be written, `mostly_returns` says that most lines of the file ended in CR,
    and `stray` is the first line (from 1, by LF alone) that holds a CR outside of quotation marks;
    it is None where nothing was changed.
    """

    path: Path
    ends: LineEnds
    mostly_returns: bool = False
    stray: int | None = None


def settled(path: Path, delimiter: str | None, scratch: Path) -> Settled:
    """The file at `path` where its lines end in one way, else a copy in `scratch` whose lines end
    in LF.

    A CR alone ends a line where it is outside of quotation marks and some line ends so; line ends
    inside of quotation marks are part of a value and stay. `delimiter` is the config's.
    """
    ends = count_ends(path)
    if not ends.feeds or ends.returns == ends.pairs:
        return Settled(path, ends)
    tokens = _tokens(delimiter)
    with path.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as text:
        returns = feeds = inside = doubled = 0
        stray = None
        for token in tokens.finditer(text):
            if token[1]:
                returns += token[0] == b"\r"
                feeds += token[0] != b"\r"
                doubled += len(token[0]) > 2
                if token[0] == b"\r":
                    stray = stray or feeds + inside + 1
            else:
                inside += token[0].count(b"\n")
        if not (returns and (feeds or inside)) and not doubled:
            return Settled(path, ends)
        target = scratch / "settled.txt"
        at = 0
        with target.open("wb") as sink:
            for token in tokens.finditer(text):
                if token[1]:
                    sink.write(text[at : token.start()] + b"\n")
                    at = token.end()
            sink.write(text[at:])
    return Settled(target, count_ends(target), returns > feeds, stray)


def _tokens(delimiter: str | None) -> re.Pattern[bytes]:
    """Finds quoted values, and line ends as its group. A CR before CR LF is what a program leaves
    that turns LF into CR LF twice.

    Of more pieces than a record may have lines, what is between quotation marks is no value.
    """
    marks = re.escape(b",\t;| \r\n" + (delimiter or ",").encode()[-1:])
    return re.compile(
        rb"(?:(?<=[%b])|\A)" % marks
        + rb'"(?:[^"\r\n]++|""|\r?\n|\r){0,%d}+"' % (2 * MAX_RECORD_LINES)
        + rb"(?=[%b]|\Z)|(\r{0,3}\n|\r)" % marks
    )
