"""What a text file's bytes say without being parsed: lines, delimiters, and what DuckDB would read
otherwise than it is written.

Belongs here: counting and looking for bytes, a few ms for a megabyte. Does not: lines, values, what
follows from the counts (`text.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow

pa: Any = pyarrow  # it carries no types

_CHUNK: Final = 4 << 20
_DROPPED_BY_DUCKDB: Final = re.compile(rb'" +"')

_DIGITS: Final = (ord("0"), ord("9"))
_MANY_ZEROS: Final = b"0" * 200
"""So many and an exponent of two digits may be less than the smallest double: 1e-99 after 224 zeros
is read as 0.
"""

_ODD_NUMBER: Final = re.compile(rb"[0-9]_[0-9]|\+-|[eE]-[0-9]{3}|" + _MANY_ZEROS)
_LONGEST_ODD: Final = len(_MANY_ZEROS)
_LONGEST_LENIENT: Final = 8
"""Bytes from a delimiter (at most 4) to the end of its line, with two quotation marks between."""

_LAST_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Census:
    """What a file's bytes say without being parsed."""

    lines: int
    delimiters: int
    quotes: bool
    blank_end: int  # blank lines after the last record, which DuckDB passes over
    odd: bool  # line ends of several kinds, or quotation marks that DuckDB would read leniently
    # DuckDB's own reading of numbers is exact: nothing like `1_000`, `+-5` or 1e-400 anywhere
    plain_numbers: bool
    # bytes of white space but for line ends and delimiters, of control characters, and of what is
    # not ASCII
    blanks: int
    returns: bool = False  # a CR that no LF follows, where LF ends lines
    zeros: bool = False  # bytes that no text has


def take(path: Path, delimiter: bytes, end: bytes) -> Census:
    """Count lines and delimiters of the text file at `path`, and look for what only slower ways
    read rightly.
    """
    lines = delimiters = returns = pairs = blanks = done = 0
    quotes = lenient = odd_numbers = zeros = False
    seam = near = b""  # the last bytes before a chunk; in `near`, blanks at its end are one
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            piece = _as_series(chunk)
            lines += _count(piece, end)
            delimiters += (
                _count(piece, delimiter)
                if len(delimiter) == 1
                else _count_long(seam, chunk, delimiter)
            )
            blanks += blanks_in(chunk)
            zeros = zeros or b"\0" in chunk
            if end == b"\n" and b"\r" in chunk:
                returns += _count(piece, b"\r")
                pairs += chunk.count(b"\r\n")
            pairs += seam.endswith(b"\r") and chunk.startswith(b"\n")
            if not quotes and b'"' in chunk:
                quotes = True
                lenient = _is_lenient_before(path, delimiter, done)
            if quotes and not lenient:
                lenient = _is_lenient(near + chunk, delimiter)
            odd_numbers = (
                odd_numbers
                or _has_odd_number(chunk, piece)
                or bool(_ODD_NUMBER.search(seam + chunk[:_LONGEST_ODD]))
            )
            seam = (seam + chunk[-_LONGEST_ODD:])[-_LONGEST_ODD:]
            near = _near(near, chunk)
            done += len(chunk)
    odd_numbers = odd_numbers or bool(_ODD_NUMBER.search(seam))
    seam = seam[-_LAST_BYTES:]
    lenient = lenient or (
        quotes and _is_lenient(seam + b"\n", delimiter)
    )  # the last line may have no end
    mixed = returns != pairs or (pairs not in (0, lines) and not quotes)
    ends = seam[len(seam.rstrip(b"\r\n")) :].count(end)
    # More blank lines than the last bytes show are left to the careful way.
    blank_end = max(ends - 1, 0) if len(seam.rstrip(b"\r\n")) else 0
    all_lines = lines + (not seam.endswith(end) and seam != b"")
    blanks -= lines + pairs + delimiters * blanks_in(delimiter)
    return Census(
        all_lines,
        delimiters,
        quotes,
        blank_end,
        mixed or lenient,
        not odd_numbers,
        blanks,
        returns != pairs,
        zeros,
    )


def blanks_in(text: bytes) -> int:
    """How many bytes of `text` are no printed ASCII: white space, control characters, parts of
    other characters.
    """
    # Read with a sign, bytes beyond ASCII are below 0: one comparison finds them and what is not
    # printed.
    array = pa.Array.from_buffers(pa.int8(), len(text), [None, pa.py_buffer(text)])
    return int((pl.Series(values=array) <= ord(" ")).sum())


def _as_series(chunk: bytes) -> pl.Series:
    """The bytes as numbers, not copied: counting them so is some 20 times faster than
    `bytes.count`.
    """
    array = pa.Array.from_buffers(pa.uint8(), len(chunk), [None, pa.py_buffer(chunk)])
    return pl.Series(values=array)


def _count(piece: pl.Series, mark: bytes) -> int:
    return int((piece == mark[0]).sum())


def _count_long(seam: bytes, chunk: bytes, mark: bytes) -> int:
    """How often `mark`, a character of several bytes, ends in `chunk`, which comes after `seam`."""
    within = len(mark) - 1
    return chunk.count(mark) + (seam[-within:] + chunk[:within]).count(mark)


def _has_odd_number(chunk: bytes, piece: pl.Series) -> bool:
    """Whether the bytes `chunk`, and as numbers `piece`, hold what `_ODD_NUMBER` finds; beyond its
    ends nothing is seen.

    A regular expression over every byte would take longer than DuckDB takes to parse them. It may
    find a little more: of an exponent only its sign and its third digit are looked at.
    """
    if (
        b"_" in chunk
        and (_are(piece, b"_", 1) & _are_digits(piece, 0) & _are_digits(piece, 2)).any()
    ):
        return True
    if b"+" in chunk and (_are(piece, b"+", 0) & _are(piece, b"-", 1)).any():
        return True
    if b"-" in chunk:
        exponents = (_are(piece, b"e", 0) | _are(piece, b"E", 0)) & _are(piece, b"-", 1)
        if exponents.any() and (exponents & _are_digits(piece, 4)).any():
            return True
    return _MANY_ZEROS in chunk


_SPAN: Final = 5
"""Bytes that `_has_odd_number` looks at together: `e-308`."""


def _from(piece: pl.Series, offset: int) -> pl.Series:
    """The bytes from `offset` on, so many that those of all offsets are side by side; a view,
    nothing is copied.
    """
    return piece.slice(offset, max(len(piece) - _SPAN + 1, 0))


def _are(piece: pl.Series, mark: bytes, offset: int) -> pl.Series:
    return _from(piece, offset) == ord(mark)


def _are_digits(piece: pl.Series, offset: int) -> pl.Series:
    return _from(piece, offset).is_between(*_DIGITS)


def _near(before: bytes, chunk: bytes) -> bytes:
    """The last bytes of `before` and `chunk`, as many as what is lenient may begin with; blanks at
    the end count as one.
    """
    last = (before + chunk.rstrip(b" ")[-_LONGEST_LENIENT:]).rstrip(b" ")[-_LONGEST_LENIENT:]
    return last + b" " if chunk.endswith(b" ") else last


def _is_lenient_before(path: Path, delimiter: bytes, size: int) -> bool:
    """`_is_lenient` of the first `size` bytes of a file, whose first quotation mark comes later."""
    near = b""
    with path.open("rb") as source:
        while chunk := source.read(min(_CHUNK, size - source.tell())):
            if _is_lenient(near + chunk, delimiter):
                return True
            near = _near(near, chunk)
    return False


def _is_lenient(piece: bytes, delimiter: bytes) -> bool:
    """Whether a piece of a file with quotation marks may hold what DuckDB reads without a word:
    `"a" "b"`, or an empty surplus value.
    """
    if any(delimiter + stop in piece for stop in (b"\n", b"\r", b'""\n', b'""\r')):
        return True
    return delimiter != b" " and _DROPPED_BY_DUCKDB.search(piece) is not None
