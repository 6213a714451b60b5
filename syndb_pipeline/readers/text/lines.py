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
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from syndb_pipeline.readers.part import Unreadable, cannot_read

MAX_LINE_BYTES: Final = 2_000_000
"""The longest record that is read, DuckDB's own limit for a line of text."""

MAX_RECORD_LINES: Final = 1_000
"""How many lines one record may span: a quotation mark that stays open longer is a stray one."""

_CHUNK: Final = 1 << 20


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


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its first line (from 1), how many lines it spans, its values; `fault` is "" or
    "quote".

    `raw` is the text as written, without the line end; `plain` says that it holds no quotation
    mark.
    """

    line: int
    spans: int
    values: list[bytes]
    raw: bytes
    fault: str = ""
    plain: bool = True
    blank: bool = False


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
        self._quoted = re.compile(
            around + rb'"((?:[^"]++|"")*+)"' + around + rb"(?=" + mark + rb"|\Z)"
        )
        self._plain = re.compile(rb"[^" + mark + rb"]*")
        self._opens = re.compile(around + rb'"')

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
                    raise self._fault(record, at)
                values.append(bytes(match[1]).replace(b'""', b'"'))
            else:
                match = self._plain.match(record, at)
                assert match is not None  # it matches the empty text
                values.append(bytes(match[0]))
            at = match.end()
            if at == len(record):
                return
            at += 1

    def _fault(self, record: bytes | bytearray, at: int) -> Exception:
        inside = record[record.index(b'"', at) + 1 :].replace(b'""', b"")
        return ValueError("misplaced") if b'"' in inside else OpenQuote(at)


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
    while chunk := file.read(_CHUNK):
        *lines, rest = (rest + chunk).split(end)
        for line in lines:
            number += 1
            yield line
        if len(rest) > MAX_LINE_BYTES:
            raise LineTooLong(number + 1)
    if rest:
        yield rest


def records(path: Path, delimiter: bytes, end: bytes, start: int = 1) -> Iterator[Record]:
    """Every record and blank line of the text file at `path` from line `start` on, in order; a byte
    order mark is left out.

    Raises `LineTooLong`.
    """
    splitter = Splitter(delimiter)
    with path.open("rb") as file:
        if file.read(len(BOM_UTF8)) != BOM_UTF8:
            file.seek(0)
        lines = physical_lines(file, end)
        for _ in islice(lines, start - 1):
            pass
        waiting: deque[bytes] = deque()  # lines looked at in vain for the end of a quoted value
        number = start - 1
        while True:
            line = waiting.popleft() if waiting else next(lines, None)
            if line is None:
                return
            number += 1
            if b'"' not in line:
                blank = not line.strip(b" \t") if delimiter not in b" \t" else not line
                yield Record(number, 1, [] if blank else line.split(delimiter), line, blank=blank)
                continue
            record = _quoted_record(splitter, line, number, lines, waiting)
            yield record
            number += record.spans - 1


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


def _quoted_record(
    splitter: Splitter, line: bytes, number: int, lines: Iterator[bytes], waiting: deque[bytes]
) -> Record:
    """The record that starts with `line`; lines taken in vain are put back into `waiting`."""
    taken = [line]
    values: list[bytes] = []
    raw, at = bytearray(line), 0
    while True:
        try:
            # Within an open value two marks mean one, so only a mark left over can end it. What is
            # read once is not read again.
            if len(taken) == 1 or b'"' in taken[-1].replace(b'""', b""):
                splitter.go_on(raw, at, values)
                return Record(number, len(taken), values, bytes(raw), plain=False)
        except OpenQuote as open_quote:
            at = open_quote.at
        except ValueError:
            break
        following = waiting.popleft() if waiting else next(lines, None)
        if following is None:
            break
        taken.append(following)
        raw += b"\n" + following
        if len(taken) > MAX_RECORD_LINES or len(raw) > MAX_LINE_BYTES + len(taken):
            break
    waiting.extendleft(reversed(taken[1:]))
    return Record(number, 1, [], line, fault="quote", plain=False)


def joined(values: list[bytes], delimiter: bytes) -> bytes:
    """`values` as one line in which every value that could be misread is quoted."""
    awkward = (b'"', b"\n", b"\r", delimiter)
    return delimiter.join(
        b'"' + value.replace(b'"', b'""') + b'"'
        if any(mark in value for mark in awkward) or value != value.strip(b" ")
        else value
        for value in values
    )


_LARGE_CHUNK: Final = 4 << 20
_HEAD: Final = 1 << 18

_MARKS: Final = b",\t;| \r\n"
_END: Final = re.compile(rb"\r?\n|\r")


def line_end(path: Path) -> bytes:
    """What ends the lines: b"\\n", or b"\\r" alone as old instruments write it."""
    returns = False
    with path.open("rb") as source:
        while chunk := source.read(_LARGE_CHUNK):
            if b"\n" in chunk:
                return b"\n"
            returns = returns or b"\r" in chunk
    return b"\r" if returns else b"\n"


@dataclass(frozen=True, slots=True)
class Settled:
    """The text of a file with one kind of line end, at `path`.

    Where a copy had to be written, `mostly_returns` says that most lines of the file ended in CR,
    and `stray` is the first line (from 1, by LF alone) that holds a CR outside of quotation marks;
    it is None where nothing was changed.
    """

    path: Path
    mostly_returns: bool = False
    stray: int | None = None


def starts_mixed(path: Path) -> bool:
    """Whether the first bytes of the file at `path` hold a CR that no LF follows: what `settled`
    should look at.
    """
    with path.open("rb") as source:
        head = source.read(_HEAD)
    return head.count(b"\r") > head.count(b"\r\n") + head.endswith(b"\r")


def settled(path: Path, delimiter: str | None, scratch: Path) -> Settled:
    """The file at `path` where its lines end in one way, else a copy in `scratch` whose lines end
    in LF.

    A CR alone ends a line where it is outside of quotation marks and some line ends so; line ends
    inside of quotation marks are part of a value and stay. `delimiter` is the config's.
    """
    if not _is_mixed(path):
        return Settled(path)
    tokens = _tokens(delimiter)
    with path.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as text:
        returns = feeds = inside = doubled = 0
        stray = None
        for start, stop, quoted in _each(tokens, text):
            token = text[start:stop]
            if quoted:
                inside += token.count(b"\n")
            elif token == b"\r":
                returns += 1
                stray = stray or feeds + inside + 1
            else:
                feeds += 1
                doubled += len(token) > 2
        if not (returns and (feeds or inside)) and not doubled:
            return Settled(path)
        target = scratch / "settled.txt"
        at = 0
        with target.open("wb") as sink:
            for start, stop, quoted in _each(tokens, text):
                if not quoted:
                    sink.write(text[at:start])
                    sink.write(b"\n")
                    at = stop
            sink.write(text[at:])
    return Settled(target, returns > feeds, stray)


def _is_mixed(path: Path) -> bool:
    """Whether a file has both a CR that no LF follows and a LF."""
    alone = feeds = 0
    before = b""
    with path.open("rb") as source:
        while chunk := source.read(_LARGE_CHUNK):
            pairs = chunk.count(b"\r\n") + (before == b"\r" and chunk.startswith(b"\n"))
            alone += chunk.count(b"\r") - pairs
            feeds += chunk.count(b"\n")
            before = chunk[-1:]
    return bool(alone and feeds)


def _tokens(delimiter: str | None) -> re.Pattern[bytes]:
    """Finds quoted values and line ends. A CR before CR LF is what a program leaves that turns LF
    into CR LF twice.
    """
    marks = re.escape(_MARKS) + (
        b""
        if delimiter is None or delimiter.encode() in _MARKS
        else re.escape(delimiter.encode()[-1:])
    )
    return re.compile(
        rb"(?:(?<=[" + marks + rb'])|\A)"(?:[^"]++|"")*+"(?=[' + marks + rb"]|\Z)|\r{0,3}\n|\r"
    )


def _each(tokens: re.Pattern[bytes], text: mmap.mmap) -> Iterator[tuple[int, int, bool]]:
    """The quoted values and line ends of `text`: where each starts and stops, and whether it is a
    value.

    A value longer than a record may be begins with a stray quotation mark, so it is none.
    """
    at = 0
    while match := tokens.search(text, at):
        start, at = match.span()
        quoted = at - start > 1 and text[start : start + 1] == b'"'
        if quoted and (
            at - start > MAX_LINE_BYTES or len(_END.findall(text[start:at])) > MAX_RECORD_LINES
        ):
            at = start + 1
            continue
        yield start, at, quoted


def line_too_long(file: str, number: int) -> Unreadable:
    """`Unreadable` for a file whose line `number`, from 1, is no line of a table."""
    reason = f"line {number:,} is longer than {MAX_LINE_BYTES:,} bytes"
    return cannot_read(
        file,
        reason,
        "Check that it is a table of delimited text whose lines are ended, and export it again.",
    )
