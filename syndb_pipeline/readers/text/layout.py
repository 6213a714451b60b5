"""How a text file is laid out: what separates its values, and where its header is.

Belongs here: finding delimiter and header in a sample of a file's records. Does not: reading it
(`text_files.py`).
"""

from __future__ import annotations

import glob
import json
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import Table
from syndb_pipeline.readers import headers
from syndb_pipeline.readers.part import Places, Unreadable, cannot_read
from syndb_pipeline.readers.text import refusals
from syndb_pipeline.readers.text.encoding_guess import Evidence
from syndb_pipeline.readers.text.lines import (
    Record,
    line_end,
    physical_lines,
    records,
    sample,
)
from syndb_pipeline.readers.text.refusals import BYTES, is_utf8, shown
from syndb_pipeline.rules.finding import Example

DELIMITERS: Final = (",", "\t", ";", "|", " ")
"""Delimiters that are found by themselves, the likelier first."""


_SAMPLE_RECORDS: Final = 50


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


def is_one_of_several(file: str, config: TableConfig) -> bool:
    """Whether the config names other files of the table beside `file`: a setting is for all of
    them.
    """
    return glob.has_magic(config.file) and file != config.file


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
    if not any(record.raw.strip() for sample in samples.values() for record in sample):
        reason = "it holds nothing but blank lines"
        if config.header_row and start > 1:
            reason = (
                f"it ends {'with' if config.names else 'before'} its header in row"
                f" {config.header_row}"
            )
        raise cannot_read(
            file, reason, f"Export it again, or correct `tables.{table.name}.header_row`."
        )
    known = headers.known_names(table, config)
    scores = {mark: _score(mark, sample, known, config.names) for mark, sample in samples.items()}
    mark = max(candidates, key=lambda candidate: scores[candidate])
    _check_separator(samples[mark], mark, scores[mark], file, table, config)
    if config.names is not None:
        names = headers.tidy(config.names)
        return Layout(
            mark.encode(), end, names, start - 1, first=_first_row(samples[mark], len(names))
        )
    blank = []
    for record in samples[mark]:
        if not record.blank:
            break
        blank.append(record.line)
    if record.fault:
        places = Places(file)
        places.add(record.line, shown(record))
        raise Unreadable(*places.problem("SYN-READ-015"))
    if not is_utf8(record.raw):
        raise _header_of_other_bytes(path, file, table, config, end, record)
    names = headers.tidy([value.decode() for value in record.values])
    place = Example(file=file, row=record.line)
    if not scores[mark][0]:  # not one name is known
        _check_other_delimiter(record, file, table, config)
        # `header_row` may point too far down, so the lines above it are looked at first.
        above = islice(records(path, mark.encode(), end), min(start - 1, _SAMPLE_RECORDS))
        rows = [
            (row.line, _decoded(row))
            for sample in (above, *samples.values())
            for row in sample
            if not row.fault
        ]
        names_in = headers.row_of_names(rows, table, config)
        if names_in is not None or not headers.is_header(names, table, config):
            raise Unreadable(headers.no_header(place, names, table, config, names_in))
    # A title may be one of the names, and does not show what separates them.
    fits = scores[mark][1] > 0.5
    for marked in (samples[mark],) if fits else (samples[mark], *samples.values()):
        head = [
            (row.line, _decoded(row)) for row in marked if not row.fault and row.line >= record.line
        ]
        names_in = (
            headers.row_of_better_names(head[0][1], head[1:], table, config) if head else None
        )
        if names_in is not None:
            raise Unreadable(headers.no_header(place, names, table, config, names_in))
    first = _first_row(samples[mark][len(blank) + 1 :], len(names))
    return Layout(mark.encode(), end, names, record.line + record.spans - 1, tuple(blank), first)


def read_as(
    path: Path, file: str, table: Table, config: TableConfig
) -> tuple[tuple[str, ...], str]:
    """The column names and the delimiter that `read` takes the UTF-8 text at `path` to have. Raises
    `Unreadable`.
    """
    layout = find_layout(path, file, table, config)
    return layout.names, layout.delimiter.decode()


def _line_after(path: Path, end: bytes, config: TableConfig) -> int:
    """The line of the first row where the config names the columns: the one after `header_row`,
    which may be several lines long.
    """
    if config.header_row is None:
        return 1
    header = records(path, (config.delimiter or DELIMITERS[0]).encode(), end)
    return next(
        (
            record.line + record.spans
            for record in header
            if record.line + record.spans > config.header_row
        ),
        config.header_row + 1,
    )


def _header_of_other_bytes(
    path: Path, file: str, table: Table, config: TableConfig, end: bytes, header: Record
) -> Unreadable:
    """`Unreadable` for a file whose header is no UTF-8; the lines below it say in which encoding
    it is.
    """
    evidence = Evidence(end == b"\r")
    places = Places(file)
    with path.open("rb") as source:
        for number, line in enumerate(physical_lines(source, end), start=1):
            if number < header.line or line.isascii():
                continue
            if is_utf8(line):
                evidence.add_good(line)
            else:
                evidence.add_bad(number, line)
                places.add(number, line.decode("utf-8", "replace"))
    return Unreadable(
        *places.problem(
            BYTES, **evidence.values(table.name, several=is_one_of_several(file, config))
        )
    )


def _first_row(sample: list[Record], width: int) -> tuple[str, ...]:
    """The values of the first row among the records of `sample`; none where no record has as
    many.
    """
    rows = (
        record
        for record in sample
        if not record.fault and len(record.values) == width and is_utf8(record.raw)
    )
    return tuple(_decoded(row)) if (row := next(rows, None)) else ()


def _decoded(record: Record) -> list[str]:
    return [value.decode("utf-8", "replace") for value in record.values]


def _check_separator(
    sample: list[Record],
    mark: str,
    score: tuple[float, ...],
    file: str,
    table: Table,
    config: TableConfig,
) -> None:
    """Raise `Unreadable` when something else than `mark`, the delimiter of the config or the
    likeliest one, separates the values.
    """
    rows = [record for record in sample if not record.blank]
    has_header = config.names is None
    if not score[0]:
        refusals.check_not_quoted_whole(file, sample)
    if config.delimiter in (None, " ", "\t") and rows:
        width = len(rows[0].values) if has_header else len(config.names or ())
        refusals.check_not_aligned(file, rows, mark, has_header=has_header, width=width)
    if (
        config.delimiter
        and not has_header
        and rows
        and all(len(record.values) == 1 for record in rows)
        and len(config.names or ()) > 1
    ):
        others = {
            joined
            for record in rows
            for joined in (refusals.joined_by(record.raw),)
            if joined != config.delimiter
        }
        if len(others) == 1 and (other := others.pop()) is not None:
            raise _other_delimiter(file, table, config, other)


def _other_delimiter(file: str, table: Table, config: TableConfig, mark: str) -> Unreadable:
    reason = f"the config says that {config.delimiter!r} separates its values, and {mark!r} does"
    return cannot_read(
        file,
        reason,
        f"Correct it, `tables.{table.name}.delimiter: {json.dumps(mark)}`, or take the setting"
        " out.",
    )


def _check_other_delimiter(header: Record, file: str, table: Table, config: TableConfig) -> None:
    """Raise `Unreadable` when the config's delimiter leaves the header whole and another one splits
    it into known names.
    """
    if not config.delimiter or len(header.values) > 1:
        return
    for mark in DELIMITERS:
        if headers.row_of_names(
            [(1, header.raw.decode("utf-8", "replace").split(mark))], table, config
        ):
            raise _other_delimiter(file, table, config, mark)


def _score(
    mark: str, sample: list[Record], known: set[str], names: list[str] | None
) -> tuple[float, ...]:
    """How well a delimiter fits: names it makes known, then rows as wide as the header, then more
    than one column.

    Where no row is as wide as the config's names, rows of one width speak for a delimiter.
    """
    whole = [record for record in sample if not record.blank and not record.fault]
    if not whole:
        return (0, 0, 0, 0, 0, 0)
    header = _decoded(whole[0])
    width = len(names) if names else len(header)
    rows = whole if names else whole[1:]
    fitting = sum(len(record.values) == width for record in rows) / len(rows) if rows else 1.0
    hits = 0 if names else len(set(headers.tidy(header)) & (known - {""}))
    usual, times = (
        Counter(len(record.values) for record in rows).most_common(1)[0] if rows else (1, 0)
    )
    return (
        hits,
        fitting if width > 1 or names else min(fitting, 0.0),
        times / len(rows) if names and usual > 1 else 0.0,
        width > 1,
        mark != " ",
        -DELIMITERS.index(mark) if mark in DELIMITERS else 0,
    )
