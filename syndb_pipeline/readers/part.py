"""What every reader gives back: a file's rows as an SQL source, and what was wrong with the file.

Belongs here: the types the readers share, how much a file may hold before it is refused, and why so
much. Does not: any file format.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO, Final

from syndb_pipeline.base.arrow import pa, pq
from syndb_pipeline.rules.catalogue import Severity
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Confidence, Example

DATE_KEY = "SYN-ID-006"
"""The rule on keys that a spreadsheet made dates of."""

SHOWN_CHARACTERS = 200
"""How much of a line an example shows."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something to say about a file, as a rule's code and the values its sentences need
    (`rules/catalogue.py`).

    `file` is None when it is about several. `severity` is given where the case is milder than its
    rule, `settings` (YAML to paste) where the settings that the fix names are of no use one by
    one.
    """

    code: str
    file: str | None
    column: str | None = None
    count: int = 1
    examples: tuple[Example, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    confidence: Confidence = "certain"
    severity: Severity | None = None
    settings: tuple[str, ...] = ()


class Unreadable(Exception):
    """A file gives no rows at all, for these reasons. Caught by the ingest stage, which reports
    them as findings.
    """

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(problem.code for problem in problems))
        self.problems = problems

    def __reduce__(self) -> tuple[type[Unreadable], tuple[Problem, ...]]:
        return type(self), self.problems  # to pickle it

    @property
    def reason(self) -> str:
        """Why, in words, as far as the problems have any."""
        return "; ".join(
            str(problem.values.get("reason") or problem.code) for problem in self.problems
        )


def cannot_read(file: str, reason: str, advice: str) -> Unreadable:
    """`Unreadable` by SYN-READ-014: `reason` completes "... cannot be read:", `advice` says what to
    do.
    """
    return Unreadable(
        Problem("SYN-READ-014", file, values={"reason": reason.rstrip("."), "advice": advice})
    )


CUT_OFF: Final = "SYN-READ-018"


def stops_early(file: str, reason: str) -> Unreadable:
    """`Unreadable` by SYN-READ-018 for a file whose format says where it ends: `reason` completes
    "... in the middle:".
    """
    advice = "Copy it again from its source, or write it again."
    return Unreadable(Problem(CUT_OFF, file, values={"reason": reason, "advice": advice}))


class Places:
    """Counts places of one kind in a file and keeps the first few to show."""

    def __init__(self, file: str, sheet: str | None = None) -> None:
        self.file = file
        self.sheet = sheet
        self.count = 0
        self.examples: list[Example] = []

    def add(self, row: int, value: str | None = None, column: str | None = None) -> None:
        self.count += 1
        if len(self.examples) < MAX_EXAMPLES:
            shown = (
                value
                if value is None or len(value) <= SHOWN_CHARACTERS
                else value[:SHOWN_CHARACTERS] + "..."
            )
            self.examples.append(
                Example(file=self.file, sheet=self.sheet, row=row, column=column, value=shown)
            )

    def problem(self, code: str, **values: Any) -> list[Problem]:
        """One `Problem` for all places, or none when there was no place."""
        return (
            [
                Problem(
                    code, self.file, count=self.count, examples=tuple(self.examples), values=values
                )
            ]
            if self.count
            else []
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """Where an earlier run left the rows of a part, typed: in `file`, of `all_rows` rows, from row
    `first_row` on.
    """

    file: Path
    first_row: int
    all_rows: int

    def after(self, rows: int) -> Kept:
        """The place behind so many rows."""
        return Kept(self.file, self.first_row + rows, self.all_rows)


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one file (or of one sheet), ready to be selected from.

    `source` is a FROM item whose columns are `c0`, `c1`, ... in the order of `names`, the lab's own
    names, of DuckDB type `types`. `damaged` gives, for a column of `source`, the SQL condition
    under which its text came from a float that could not hold it. `rows` is how many rows the
    source must give; `refused` how many more the file holds that cannot be read as rows;
    `refused_lines` is the file of those (`RefusedLines`). `first_line` and `jumps` are
    those of `row_locations.Source`. `exact` is False when only a fast look vouches for `rows`;
    `plain_numbers` says that it saw no number which DuckDB reads otherwise than it is written, and
    `trimmed` that no text has white space around it. `first` are the values of its first row as
    they are written, where the reader has seen them. `table` is SynDB's; `returns` says that the
    lines of a text file end in CR, `headerless` that the config names its columns, `several` that
    the file is one of several of its table.
    """

    path: Path
    file: str
    names: tuple[str, ...]
    types: tuple[str, ...]
    source: str
    rows: int
    sheet: str | None = None
    damaged: Mapping[str, str] = field(default_factory=dict)
    refused: int = 0
    refused_lines: Path | None = None
    first_line: int = 2
    jumps: tuple[tuple[int, int], ...] = ()
    exact: bool = True
    plain_numbers: bool = False
    trimmed: bool = False
    first: tuple[str, ...] = ()
    delimiter: str | None = None
    encoding: str | None = None
    problems: tuple[Problem, ...] = ()
    faults: tuple[
        tuple[int, int, str, str], ...
    ] = ()  # spreadsheet row, column index, what the cell holds, code of the rule
    kept: Kept | None = None
    table: str = ""
    returns: bool = False
    headerless: bool = False
    several: bool = False


def column_name(index: int) -> str:
    """The name of the column at `index` in a part's source."""
    return f"c{index}"


def line_of(part: Part, row: int) -> int:
    """The line, or row of the sheet, of row number `row` (from 0) of `part`."""
    before = bisect_right(part.jumps, row, key=itemgetter(0))
    return part.first_line + row + (part.jumps[before - 1][1] if before else 0)


def jumps_without(part: Part, gone: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """The part's jumps when its rows `gone`, ascending, are no longer counted."""
    changes = {row for row, _ in part.jumps} | {row + 1 for row in gone}
    jumps: list[tuple[int, int]] = []
    for row in sorted(changes.difference(gone)):
        index = row - bisect_left(gone, row)
        shift = line_of(part, row) - part.first_line - index
        if row < part.rows and shift != (jumps[-1][1] if jumps else 0):
            jumps.append((index, shift))
    return tuple(jumps)


MAX_TEXT: Final = 100_000
"""Characters of a refused line that are kept."""

_BATCH_CHARACTERS: Final = 4_000_000
_BATCH_LINES: Final = 10_000


class RefusedLines:
    """Streams refused lines into the Parquet file `path` (line BIGINT, text VARCHAR, code VARCHAR),
    which is there once one was added.

    `add` takes the line's number as a person counts it, its text and the code of the rule that
    refuses it; `close` ends the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._pending: list[tuple[int, str, str]] = []
        self._size = 0
        self._schema = pa.schema(
            [("line", pa.int64()), ("text", pa.string()), ("code", pa.string())]
        )
        self._writer: Any = None

    def add(self, line: int, text: str, code: str) -> None:
        self.count += 1
        self._pending.append((line, text[:MAX_TEXT], code))
        self._size += min(len(text), MAX_TEXT)
        if self._size >= _BATCH_CHARACTERS or len(self._pending) >= _BATCH_LINES:
            self._flush()

    def _flush(self) -> None:
        if not self._pending:
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(self.path, self._schema, compression="lz4")
        columns = zip(*self._pending, strict=True)
        arrays = [
            pa.array(column, field.type)
            for column, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))
        self._pending, self._size = [], 0

    def close(self) -> Path | None:
        """End the file and give its path; None when no line was added."""
        self._flush()
        if self._writer is None:
            return None
        self._writer.close()
        return self.path


MAX_COLUMNS: Final = 4_096
"""Columns of one table. SynDB's widest has fewer than 40; programs that measure everything they can
write about 3,000.
"""

BOMB_BYTES: Final = 100_000_000
"""Compressed data may hold this much whatever their ratio: it is read in a second and does no
harm.
"""

BOMB_RATIO: Final = 200
"""Beyond `BOMB_BYTES`: bytes for each compressed one. Tables of measurements reach 3 to 20, one
with the same number in every cell about 50, and what deflate makes of zeros 1,032.
"""

UNPACK: Final = (
    "Unpack it yourself if you trust it, see what it holds, and give the table as .csv or .parquet."
)


def refused(file: str, reason: str, advice: str) -> Unreadable:
    """`Unreadable` by SYN-READ-019: `reason` completes "... was refused unread:", `advice` says
    what to do.
    """
    return Unreadable(Problem("SYN-READ-019", file, values={"reason": reason, "advice": advice}))


def too_many_columns(file: str, count: int) -> Unreadable:
    """`Unreadable` for a file with more than `MAX_COLUMNS` columns."""
    advice = (
        "Export the columns that SynDB is to have; if rows and columns changed places, turn the"
        " table round."
    )
    return refused(
        file, f"it has {count:,} columns, and no more than {MAX_COLUMNS:,} are read", advice
    )


# Text compressed with gzip, unpacked with an early stop where it is a bomb

_STEP: Final = 1 << 20
_FEED: Final = 1 << 16
_MOST_SILENT: Final = 1 << 20
"""Bytes that may be read without one that is given: of a header that does not end."""

_FREE_PARTS: Final = 1_000
_LEAST_PART: Final = 64
"""Bytes that more parts than these must hold on average. Programs that write parts (bgzip, pigz)
make them 64 kB.
"""


def gunzipped(source: BinaryIO, file: str) -> Iterator[bytes]:
    """The text of a gzip file in pieces, all of its parts (RFC 1952) one after the other.

    Raises `zlib.error` or `EOFError` when it is not whole, and `Unreadable` when it holds far more
    than a table that was compressed, or nearly nothing.
    """
    stream: zlib._Decompress | None = None
    data, taken, given, silent, parts = b"", 0, 0, 0, 0
    while data or (data := source.read(_FEED)):
        if stream is None:
            data = (
                data.lstrip(b"\0") if parts else data
            )  # tapes and some programs fill up with zeros
            if not data:
                continue
            parts += 1
            if parts > _FREE_PARTS and given < parts * _LEAST_PART:
                reason = (
                    f"it is made of {parts:,} or more compressed parts that hold nearly nothing"
                )
                raise refused(file, reason, UNPACK)
            stream = zlib.decompressobj(31)
        piece = stream.decompress(data, _STEP)
        rest = stream.unconsumed_tail or stream.unused_data
        taken += len(data) - len(rest)
        silent = 0 if piece else silent + len(data) - len(rest)
        given += len(piece)
        if silent > _MOST_SILENT:
            advice = "Compress it again from its source."
            raise refused(file, "its gzip header does not end", advice)
        if given > BOMB_BYTES and given > BOMB_RATIO * taken:
            raise refused(
                file,
                f"{taken:,} bytes of it unpack to {given:,} and more, as no table does",
                UNPACK,
            )
        data, stream = rest, None if stream.eof else stream
        if piece:
            yield piece
    if stream is not None:
        raise EOFError("compressed data end too early")
