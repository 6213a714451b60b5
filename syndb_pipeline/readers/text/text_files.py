"""Delimited text: csv, tsv and txt, read strictly and with every value as text.

Belongs here: the look at a file's bytes, the two ways to its rows, and the counts every read is
held against. Does not: casts, delimiter and header (`layout.py`), single records (`lines.py`).

The fast way is one look at the bytes (counting delimiters, quotation marks, white space) and
DuckDB's strict reader. Where the counts do not fit together, or DuckDB refuses a line, the careful
way goes through the records in Python and hands DuckDB the good ones.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from syndb_pipeline.base.engine import exact_path, literal
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import Table
from syndb_pipeline.readers.corrections import FileCorrections
from syndb_pipeline.readers.part import Part, Places, cannot_read, column_name
from syndb_pipeline.readers.text.encodings import BYTES, Setting, as_utf8, zero_bytes
from syndb_pipeline.readers.text.layout import find_layout
from syndb_pipeline.readers.text.lines import (
    CHUNK,
    MAX_LINE_BYTES,
    LineEnds,
    LineTooLong,
    as_series,
    blanks_in,
    joined,
    line_end,
    physical_lines,
    records,
    settled,
)

if TYPE_CHECKING:
    import polars as pl
from syndb_pipeline.readers.text.refusals import (
    BLANK,
    RAGGED,
    Refusals,
    has_end,
    with_broken_value,
)

_DROPPED_BY_DUCKDB: Final = re.compile(rb'" +"')

_MANY_ZEROS: Final = b"0" * 200
"""So many and an exponent of two digits may be less than the smallest double: 1e-99 after 224 zeros
is read as 0.
"""

ODD_NUMBER: Final = re.compile(rb"[0-9]_[0-9]|\+-|[eE]-[0-9]{3}|" + _MANY_ZEROS)
"""Numbers that DuckDB reads otherwise than they are written: 1_000, +-5, 1e-400."""

_SPAN: Final = 5
"""Bytes that `_has_odd_number` looks at together: `e-308`."""

_LAST_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Census:
    """What a file's bytes say without being parsed.

    Attributes:
        lines: How many it has.
        delimiters: How many it has.
        quotes: Whether it has quotation marks.
        blank_end: Blank lines after the last record, which DuckDB passes over; of more than the
            last bytes show none, so that the counts do not fit together.
        odd: Line ends of several kinds, or quotation marks that DuckDB would read leniently.
        plain_numbers: Nothing like `1_000`, `+-5` or 1e-400 is anywhere, so that DuckDB's own
            reading of numbers is exact.
        blanks: Bytes of white space but for line ends and delimiters, of control characters, and
            of what is not ASCII.
    """

    lines: int
    delimiters: int
    quotes: bool
    blank_end: int
    odd: bool
    plain_numbers: bool
    blanks: int


def census(path: Path, delimiter: bytes, ends: LineEnds) -> Census:
    """Count what the text file at `path`, which has the line ends `ends`, has of `delimiter` and
    blanks, and look for what only slower ways read rightly.
    """
    delimiters = blanks = 0
    lenient = odd_numbers = False
    piece = last = b""
    for piece in _pieces(path, ends.end):
        text = as_series(piece)
        delimiters += (
            int((text == delimiter[0]).sum()) if len(delimiter) == 1 else piece.count(delimiter)
        )
        blanks += blanks_in(piece)
        lenient = lenient or (ends.quotes and _is_lenient(piece, delimiter))
        odd_numbers = odd_numbers or _has_odd_number(piece, text)
        last = (last + piece[-_LAST_BYTES:])[-_LAST_BYTES:]
    lines = ends.feeds or ends.returns
    mixed = ends.returns != ends.pairs and ends.feeds > 0
    mixed = mixed or (ends.pairs not in (0, lines) and not ends.quotes)
    # The last line may have no end.
    lenient = lenient or (ends.quotes and _is_lenient(last + b"\n", delimiter))
    stripped = last.rstrip(b"\r\n")
    return Census(
        lines=lines + (not last.endswith(ends.end) and last != b""),
        delimiters=delimiters,
        quotes=ends.quotes,
        blank_end=max(last[len(stripped) :].count(ends.end) - 1, 0) if stripped else 0,
        odd=mixed or lenient,
        plain_numbers=not odd_numbers,
        blanks=blanks - lines - ends.pairs - delimiters * blanks_in(delimiter),
    )


def _pieces(path: Path, end: bytes) -> Iterator[bytes]:
    """The bytes of a text file in pieces of whole lines, but for such as are longer than any that
    is read.
    """
    with path.open("rb", buffering=0) as source:
        while chunk := source.read(CHUNK):
            cut = chunk.rfind(end) + 1 or len(chunk)
            source.seek(cut - len(chunk), 1)
            yield chunk[:cut]


def _has_odd_number(piece: bytes, text: pl.Series) -> bool:
    """Whether whole lines, as bytes and as numbers, hold what `ODD_NUMBER` finds.

    A regular expression over every byte would take longer than DuckDB takes to parse them. It may
    find a little more: of an exponent only its sign and its third digit are looked at.
    """
    # Views on the bytes from each offset on, side by side; nothing is copied.
    views = [text.slice(offset, max(len(text) - _SPAN + 1, 0)) for offset in range(_SPAN)]
    digits = (ord("0"), ord("9"))
    if b"_" in piece and (
        ((views[1] == ord("_")) & views[0].is_between(*digits) & views[2].is_between(*digits)).any()
    ):
        return True
    if b"+" in piece and ((views[0] == ord("+")) & (views[1] == ord("-"))).any():
        return True
    if b"-" in piece:
        exponents = ((views[0] == ord("e")) | (views[0] == ord("E"))) & (views[1] == ord("-"))
        if exponents.any() and (exponents & views[4].is_between(*digits)).any():
            return True
    return _MANY_ZEROS in piece or ODD_NUMBER.search(piece[-2 * _SPAN :]) is not None


def _is_lenient(piece: bytes, delimiter: bytes) -> bool:
    """Whether a piece of a file with quotation marks may hold what DuckDB reads without a word:
    `"a" "b"`, or an empty surplus value.
    """
    if any(delimiter + stop in piece for stop in (b"\n", b"\r", b'""\n', b'""\r')):
        return True
    return delimiter != b" " and _DROPPED_BY_DUCKDB.search(piece) is not None


def read(
    path: Path,
    file: str,
    table: Table,
    config: TableConfig,
    scratch: Path,
    fixes: FileCorrections | None = None,
) -> Part:
    """The rows of the text file at `path`, called `file` in findings. `scratch` is an empty folder
    of this file's own, `fixes` are its corrections.

    Raises `Unreadable` when it gives no rows, `ConfigError` for an unknown encoding.
    """
    setting = Setting.of(config, table.name, file)
    try:
        text = as_utf8(path, file, setting, scratch)
        ends = settled(text.path, config.delimiter, scratch)
        if ends.ends.zeros:
            raise zero_bytes(text.path, file)
        layout = find_layout(ends.path, file, table, config)
        counts = census(ends.path, layout.delimiter, ends.ends)
    except LineTooLong as error:
        raise error.in_file(file) from None
    blank_end = Places(file)
    for line in range(counts.lines - counts.blank_end + 1, counts.lines + 1):
        blank_end.add(line)
    part = Part(
        path=ends.path,
        file=file,
        names=layout.names,
        types=("VARCHAR",) * len(layout.names),
        source=_source(
            ends.path, layout.delimiter.decode(), ["VARCHAR"] * len(layout.names), layout.skip
        ),
        rows=counts.lines - counts.blank_end - layout.skip,
        first_line=layout.skip + 1,
        exact=False,
        delimiter=layout.delimiter.decode(),
        encoding=text.encoding,
        plain_numbers=counts.plain_numbers,
        first=layout.first,
        problems=(*blank_end.problem(BLANK), *text.problems),
        table=table.name,
        returns=layout.end == b"\r" or ends.mostly_returns,
        several=setting.several,
        headerless=config.names is not None,
    )
    if ends.stray is not None and not ends.mostly_returns:
        part = careful(part, scratch, layout.blank, fixes)
        if len(part.names) == 1 or any(problem.code == RAGGED for problem in part.problems):
            reason = (
                f"line {ends.stray:,} holds a carriage return (CR) outside of quotation marks, and"
                " lines end in LF"
            )
            advice = (
                "Remove it, or write a line break (LF) in its place; inside of a value, put the"
                " value in quotation marks."
            )
            raise cannot_read(file, reason, advice)
        return part
    with ends.path.open("rb") as source:
        head = list(islice(physical_lines(source, layout.end), layout.skip))
    in_names = sum(line.count(layout.delimiter) for line in head)
    blanks = sum(map(blanks_in, head)) - in_names * blanks_in(layout.delimiter)
    # Without quotation marks, whole lines have one delimiter fewer than values; DuckDB alone would
    # pass over the last one of `1,2,,`.
    width = len(part.names)
    uneven = not counts.quotes and counts.delimiters - in_names != part.rows * (width - 1)
    quoted_head = layout.skip > 1 and any(b'"' in line for line in head)
    replaces = fixes is not None and fixes.replaces
    part = replace(part, trimmed=not counts.quotes and counts.blanks == blanks)
    odd = counts.odd or uneven or quoted_head or replaces or layout.blank
    if width == 1 or part.rows <= 0 or odd:
        return careful(part, scratch, layout.blank, fixes)
    return with_broken_value(part, layout.end, as_given=ends.path == path)


def careful(
    part: Part, scratch: Path, blank: Sequence[int] = (), fixes: FileCorrections | None = None
) -> Part:
    """`part` read record by record: what cannot be a row is refused and reported, and the rest is a
    clean file in `scratch`.

    `blank` are blank lines already seen before the header; whole lines are corrected by `fixes`.
    Raises `Unreadable` when a line is too long to be one.
    """
    assert part.delimiter is not None
    end, mark = line_end(part.path), part.delimiter.encode()
    ended = has_end(part.path)
    clean = scratch / "clean.csv"
    seen = Refusals(part, scratch)
    for line in blank:
        seen.places[BLANK].add(line)
    rows, shift = 0, 0
    jumps: list[tuple[int, int]] = []
    is_row = True
    try:
        with clean.open("wb") as sink:
            found = records(part.path, mark, end, part.first_line)
            if fixes is not None:
                found = fixes.in_place(found, mark, scratch)
            following = next(found, None)
            while (record := following) is not None:
                following = next(found, None)
                is_row = seen.is_row(record, last=following is None and not ended)
                if not is_row:
                    continue
                if record.line - part.first_line - rows != shift:
                    shift = record.line - part.first_line - rows
                    jumps.append((rows, shift))
                rows += 1
                plain = record.plain and b"\r" not in record.raw
                sink.write((record.raw if plain else joined(record.values, mark)) + b"\n")
    except LineTooLong as error:
        raise error.in_file(part.file) from None
    now = replace(
        part,
        source=_source(clean, part.delimiter, ["VARCHAR"] * len(part.names), 0, ", new_line='\\n'"),
        types=("VARCHAR",) * len(part.names),
        rows=rows,
        refused=seen.lines.count,
        refused_lines=seen.lines.close(),
        jumps=tuple(jumps),
        exact=True,
        problems=(
            *(problem for problem in part.problems if problem.code == BYTES),
            *seen.problems(),
        ),
    )
    return with_broken_value(now, end, as_given=part.path.parent != scratch) if is_row else now


def with_numbers(part: Part, numbers: Collection[int]) -> Part:
    """`part` with DuckDB reading the columns at the indexes `numbers` as DOUBLE; itself where its
    bytes do not vouch for that.

    What is no number then fails the whole read, and what is not finite comes as such: both are for
    the caller to see.
    """
    if not (part.plain_numbers and numbers) or part.exact:
        return part
    assert part.delimiter is not None
    types = ["DOUBLE" if index in numbers else "VARCHAR" for index in range(len(part.names))]
    return replace(
        part,
        types=tuple(types),
        source=_source(part.path, part.delimiter, types, part.first_line - 1),
    )


def _source(path: Path, delimiter: str, types: Sequence[str], skip: int, more: str = "") -> str:
    columns = ", ".join(
        f"{literal(column_name(index))}: {literal(name)}" for index, name in enumerate(types)
    )
    return (
        f"read_csv({literal(exact_path(path))}, auto_detect=false, columns={{{columns}}},"
        f" header=false, skip={skip}, delim={literal(delimiter)}, quote='\"', escape='\"',"
        " comment='', nullstr='', strict_mode=true, null_padding=false, ignore_errors=false,"
        f" compression='none', hive_partitioning=false{more}, max_line_size={2 * MAX_LINE_BYTES},"
        f" buffer_size={4 * MAX_LINE_BYTES})"
    )
