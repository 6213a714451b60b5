"""How a text file is laid out: what separates its values, and where its header is.

Belongs here: finding delimiter and header in a sample of a file's records, or why no single
character separates the values of all lines. Does not: reading it (`text_files.py`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import Table
from syndb_pipeline.readers import headers
from syndb_pipeline.readers.part import Places, Unreadable, cannot_read
from syndb_pipeline.readers.text.encodings import BYTES, Evidence, Setting, utf8_fault
from syndb_pipeline.readers.text.lines import Record, line_end, physical_lines, records, sample
from syndb_pipeline.readers.text.refusals import QUOTES, joined_by
from syndb_pipeline.rules.finding import Example

DELIMITERS: Final = (",", "\t", ";", "|", " ")
"""Delimiters that are found by themselves, the likelier first."""


_SAMPLE_RECORDS: Final = 50
_HALF: Final = 0.5


@dataclass(frozen=True, slots=True)
class Layout:
    """How a text file is laid out: `skip` lines come before the first row; `blank` are the blank
    ones right before the header.

    `first` are the values of the first row, where it was looked at.
    """

    delimiter: bytes
    end: bytes
    names: tuple[str, ...]
    skip: int
    blank: tuple[int, ...] = ()
    first: tuple[str, ...] = ()


def find_layout(path: Path, file: str, table: Table, config: TableConfig) -> Layout:
    """Find delimiter and header. Raises `Unreadable` when there is no header where there should be
    one.
    """
    end = line_end(path)
    start = config.header_row or 1
    if config.names is not None:
        start = _line_after(path, end, config)
    candidates = [config.delimiter] if config.delimiter else list(DELIMITERS)
    samples = {
        mark: sample(records(path, mark.encode(), end, start), _SAMPLE_RECORDS)
        for mark in candidates
    }
    if not any(record.raw.strip() for found in samples.values() for record in found):
        reason = "it holds nothing but blank lines"
        if config.header_row and start > 1:
            reason = (
                f"it ends {'with' if config.names else 'before'} its header in row"
                f" {config.header_row}"
            )
        advice = f"Export it again, or correct `tables.{table.name}.header_row`."
        raise cannot_read(file, reason, advice)
    known = headers.known_names(table, config) - {""}
    scores = {mark: _score(mark, found, known, config.names) for mark, found in samples.items()}
    mark = max(candidates, key=lambda candidate: scores[candidate])
    hits, fit, *_ = scores[mark]
    rows = [record for record in samples[mark] if not record.blank]
    if not hits:
        _check_whole_lines(rows, file, table, config)
    if config.delimiter in (None, " ", "\t"):
        _check_not_aligned(rows, mark, file, config)
    if config.names is not None:
        names = headers.tidy(config.names)
        return Layout(mark.encode(), end, names, start - 1, first=_first_row(rows, len(names)))
    header = rows[0]
    if header.fault:
        places = Places(file)
        places.add(header.line, header.shown)
        raise Unreadable(*places.problem(QUOTES))
    if utf8_fault(header.raw):
        raise _header_of_other_bytes(path, file, Setting.of(config, table.name, file), end, header)
    names = headers.tidy(header.texts)
    every = [*samples.values()]
    names_in = None
    if not hits:
        # `header_row` may point too far down, so the lines above it are looked at first.
        above = islice(records(path, mark.encode(), end), min(start - 1, _SAMPLE_RECORDS))
        names_in = headers.row_of_names(_numbered(above, *every), table, config)
    # A title may be one of the names, and does not show what separates them.
    for found in () if names_in else (samples[mark],) if fit > _HALF else (samples[mark], *every):
        head = [row for row in _numbered(found) if row[0] >= header.line]
        if head and names_in is None:
            names_in = headers.row_of_better_names(head[0][1], head[1:], table, config)
    if names_in is not None or not (hits or headers.is_header(names, table, config)):
        place = Example(file=file, row=header.line)
        raise Unreadable(headers.no_header(place, names, table, config, names_in))
    blank = tuple(record.line for record in samples[mark] if record.line < header.line)
    skip = header.line + header.spans - 1
    return Layout(mark.encode(), end, names, skip, blank, _first_row(rows[1:], len(names)))


def read_as(
    path: Path, file: str, table: Table, config: TableConfig
) -> tuple[tuple[str, ...], str]:
    """The column names and the delimiter that `read` takes the UTF-8 text at `path` to have. Raises
    `Unreadable`.
    """
    layout = find_layout(path, file, table, config)
    return layout.names, layout.delimiter.decode()


def _numbered(*found: Iterable[Record]) -> list[tuple[int, list[str]]]:
    return [(row.line, row.texts) for rows in found for row in rows if not row.fault]


def _line_after(path: Path, end: bytes, config: TableConfig) -> int:
    """The line of the first row where the config names the columns: the one after `header_row`,
    which may be several lines long.
    """
    row = config.header_row
    if row is None:
        return 1
    header = records(path, (config.delimiter or DELIMITERS[0]).encode(), end)
    ends = (record.line + record.spans for record in header)
    return next((line for line in ends if line > row), row + 1)


def _header_of_other_bytes(
    path: Path, file: str, setting: Setting, end: bytes, header: Record
) -> Unreadable:
    """`Unreadable` for a file whose header is no UTF-8; the lines below it say in which encoding
    it is.
    """
    evidence = Evidence(end == b"\r")
    places = Places(file)
    with path.open("rb") as source:
        for number, line in enumerate(physical_lines(source, end), start=1):
            if number >= header.line:
                evidence.add(number, line)
                if utf8_fault(line):
                    places.add(number, line.decode("utf-8", "replace"))
    return Unreadable(*places.problem(BYTES, **evidence.values(setting)))


def _first_row(rows: list[Record], width: int) -> tuple[str, ...]:
    """The values of the first of `rows`; none where no record has as many."""
    for record in rows:
        if not record.fault and len(record.values) == width and not utf8_fault(record.raw):
            return tuple(record.texts)
    return ()


def _check_whole_lines(rows: list[Record], file: str, table: Table, config: TableConfig) -> None:
    """Raise `Unreadable` when lines are one value although one character separates several in
    them: quotation marks are around each as a whole, or the config says another delimiter.
    """
    mark = None
    if all(len(record.values) == 1 and not record.fault for record in rows):
        marks = {joined_by(record.values[0]) for record in rows}
        mark = marks.pop() if len(marks) == 1 else None
        if mark and len(rows) > 1 and not any(record.plain for record in rows):
            raise cannot_read(
                file,
                "each line as a whole is in quotation marks, so it is one value, although"
                f" {mark!r} separates several in it",
                "Export it again without quotation marks around the lines, or remove them in a"
                " text editor.",
            )
    if not config.delimiter or len(config.names or DELIMITERS) == 1 or len(rows[0].values) > 1:
        return
    splits = {each: [(1, rows[0].shown.split(each))] for each in DELIMITERS if not config.names}
    known = (each for each, row in splits.items() if headers.row_of_names(row, table, config))
    if mark := next(known, mark):
        raise cannot_read(
            file,
            f"the config says that {config.delimiter!r} separates its values, and {mark!r} does",
            f"Correct it, `tables.{table.name}.delimiter: {json.dumps(mark)}`, or take the setting"
            " out.",
        )


def _check_not_aligned(rows: list[Record], mark: str, file: str, config: TableConfig) -> None:
    """Raise `Unreadable` when runs of blanks or tabs align the columns of `rows`, read with the
    delimiter `mark`.
    """
    has_header = config.names is None
    width = len(config.names or rows[0].values)
    if (mark not in " \t" and width > 1) or any(row.fault or not row.plain for row in rows):
        return
    blank, what = (b"\t", "tabs") if mark == "\t" and width > 1 else (b" ", "blanks")
    lines = [record.raw.strip(blank) for record in rows]
    body = rows[has_header:]
    fitting = sum(len(record.values) == width for record in body)
    nameless = has_header and width > 1 and any(not name.strip() for name in rows[0].values)
    fits = width > 1 and fitting == len(body) and not (nameless and what == "blanks")
    if fits or not any(blank * 2 in line for line in lines):
        return
    for run in (blank * 2 + b"+", blank + b"+"):
        widths = [len(re.split(run, line)) for line in lines]
        expected = widths[0] if has_header else max(set(widths), key=widths.count)
        share = widths[has_header:].count(expected)
        if (
            expected > 1
            and share >= max(1, _HALF * len(body))
            and (width == 1 or nameless or share > fitting)
        ):
            reason = f"several {what} are between its values, and one separator is needed"
            raise cannot_read(
                file, reason, "Export it again with a comma or one tab between the values."
            )


def _score(
    mark: str, found: list[Record], known: set[str], names: list[str] | None
) -> tuple[float, ...]:
    """How well a delimiter fits: names it makes known, then rows as wide as the header, then more
    than one column.

    Where no row is as wide as the config's names, rows of one width speak for a delimiter.
    """
    whole = [record for record in found if not record.blank and not record.fault]
    if not whole:
        return (0, 0, 0, 0, 0, 0)
    width = len(names or whole[0].values)
    rows = whole if names else whole[1:]
    fitting = sum(len(record.values) == width for record in rows) / len(rows) if rows else 1.0
    usual, times = Counter(len(record.values) for record in rows or whole).most_common(1)[0]
    return (
        0 if names else len(set(headers.tidy(whole[0].texts)) & known),
        fitting if width > 1 or names else 0.0,
        times / len(rows) if names and usual > 1 else 0.0,
        width > 1,
        mark != " ",
        -DELIMITERS.index(mark) if mark in DELIMITERS else 0,
    )
