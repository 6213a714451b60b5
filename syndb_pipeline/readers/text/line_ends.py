"""What ends the lines of a text file: LF, CR LF, CR alone as old Macs and instruments write it, or
several of them.

Belongs here: finding it, and a copy with one kind of end where a file has several. Does not:
splitting lines (`lines.py`).
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from syndb_pipeline.readers.text.lines import MAX_LINE_BYTES, MAX_RECORD_LINES

_CHUNK: Final = 4 << 20
_HEAD: Final = 1 << 18

_MARKS: Final = b",\t;| \r\n"
_END: Final = re.compile(rb"\r?\n|\r")


def line_end(path: Path) -> bytes:
    """What ends the lines: b"\\n", or b"\\r" alone as old instruments write it."""
    returns = False
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
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
        while chunk := source.read(_CHUNK):
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
