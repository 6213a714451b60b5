"""Delimited text: csv, tsv and txt, read strictly and with every value as text.

Belongs here: delimiter, header, and the counts every read is held against. Does not: casts, or
splitting single records (`lines.py`).

The fast way is one look at the bytes (counting line ends, delimiters, quotation marks) and DuckDB's
strict reader. Where the counts do not fit together, or DuckDB refuses a line, the careful way goes
through the records in Python and hands DuckDB the good ones.
"""

from __future__ import annotations

import glob
import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

from syndb_pipeline.base.engine import exact_path, literal
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import Table
from syndb_pipeline.readers import endings, headers
from syndb_pipeline.readers.corrections import FileCorrections
from syndb_pipeline.readers.part import Part, Places, Problem, Unreadable, cannot_read, column_name
from syndb_pipeline.readers.text import census, encodings, refusals
from syndb_pipeline.readers.text.encoding_guess import Evidence, doubts
from syndb_pipeline.readers.text.lines import (
    MAX_LINE_BYTES,
    LineTooLong,
    Record,
    Settled,
    joined,
    line_end,
    line_too_long,
    physical_lines,
    records,
    sample,
    settled,
    starts_mixed,
)
from syndb_pipeline.readers.text.refusals import BLANK, BYTES, RAGGED, Refusals, is_utf8, shown
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
    encoding = encodings.check_name(config.encoding, table.name)
    several = _is_one_of_several(file, config)
    utf8, found = encodings.as_utf8(path, file, encoding, table.name, scratch, several=several)
    ends = settled(utf8, config.delimiter, scratch) if starts_mixed(utf8) else None
    try:
        layout, counts = _looked_at(ends.path if ends else utf8, file, table, config)
        if counts.returns and ends is None:
            ends = settled(utf8, config.delimiter, scratch)
            if ends.stray is not None:
                layout, counts = _looked_at(ends.path, file, table, config)
    except LineTooLong as error:
        raise line_too_long(file, error.number) from None
    ends = ends or Settled(utf8)
    width = len(layout.names)
    part = Part(
        path=ends.path,
        file=file,
        names=layout.names,
        types=("VARCHAR",) * width,
        source=_source(ends.path, layout.delimiter.decode(), ["VARCHAR"] * width, layout.skip),
        rows=counts.lines - counts.blank_end - layout.skip,
        first_line=layout.skip + 1,
        exact=False,
        delimiter=layout.delimiter.decode(),
        encoding=found,
        plain_numbers=counts.plain_numbers,
        first=layout.first,
        problems=(
            *_blank_end(file, counts),
            *doubts(ends.path, layout.end, file, table.name, found, several=several),
        ),
        table=table.name,
        returns=layout.end == b"\r" or ends.mostly_returns,
        several=several,
        headerless=config.names is not None,
    )
    if ends.stray is not None and not ends.mostly_returns:
        return _with_stray_returns(part, ends.stray, scratch, layout.blank, fixes)
    if part.rows <= 0:
        return careful(part, scratch, layout.blank, fixes)
    head = _lines_of(ends.path, layout.end, layout.skip)
    in_names = sum(
        census.blanks_in(line) - line.count(layout.delimiter) * census.blanks_in(layout.delimiter)
        for line in head
    )
    part = replace(part, trimmed=not counts.quotes and counts.blanks == in_names)
    # Without quotation marks, whole lines have one delimiter fewer than values; DuckDB alone would
    # pass over the last one of `1,2,,`.
    uneven = not counts.quotes and counts.delimiters - sum(
        line.count(layout.delimiter) for line in head
    ) != part.rows * (width - 1)
    quoted_head = layout.skip > 1 and any(b'"' in line for line in head)
    replaces = fixes is not None and fixes.replaces
    if width == 1 or uneven or counts.odd or quoted_head or layout.blank or replaces:
        return careful(part, scratch, layout.blank, fixes)
    return endings.with_broken_value(part, layout.end, as_given=ends.path == path)


def _is_one_of_several(file: str, config: TableConfig) -> bool:
    """Whether the config names other files of the table beside `file`: a setting is for all of
    them.
    """
    return glob.has_magic(config.file) and file != config.file


def _looked_at(
    utf8: Path, file: str, table: Table, config: TableConfig
) -> tuple[Layout, census.Census]:
    """How the file at `utf8` is laid out, and what its bytes say. Raises `Unreadable`, also where
    they hold zeros.
    """
    layout = _layout(utf8, file, table, config)
    counts = census.take(utf8, layout.delimiter, layout.end)
    if counts.zeros:
        raise encodings.zero_bytes(utf8, file)
    return layout, counts


def _with_stray_returns(
    part: Part, line: int, scratch: Path, blank: Sequence[int], fixes: FileCorrections | None
) -> Part:
    """`part`, some of whose lines end in CR and most in LF, where all of them are rows. Raises
    `Unreadable` where a CR may end no line.
    """
    read = careful(part, scratch, blank, fixes)
    if len(part.names) > 1 and not any(problem.code == RAGGED for problem in read.problems):
        return read
    reason = (
        f"line {line:,} holds a carriage return (CR) outside of quotation marks, and lines end"
        " in LF"
    )
    advice = (
        "Remove it, or write a line break (LF) in its place; inside of a value, put the value in"
        " quotation marks."
    )
    raise cannot_read(part.file, reason, advice)


def read_as(
    path: Path, file: str, table: Table, config: TableConfig
) -> tuple[tuple[str, ...], str]:
    """The column names and the delimiter that `read` takes the UTF-8 text at `path` to have. Raises
    `Unreadable`.
    """
    layout = _layout(path, file, table, config)
    return layout.names, layout.delimiter.decode()


def _blank_end(file: str, counts: census.Census) -> tuple[Problem, ...]:
    places = Places(file)
    for line in range(counts.lines - counts.blank_end + 1, counts.lines + 1):
        places.add(line)
    return tuple(places.problem("SYN-READ-011"))


def careful(
    part: Part, scratch: Path, blank: Sequence[int] = (), fixes: FileCorrections | None = None
) -> Part:
    """`part` read record by record: what cannot be a row is refused and told, and the rest is a
    clean file in `scratch`.

    `blank` are blank lines already seen before the header; whole lines are corrected by `fixes`. Raises `Unreadable` when a line is too
    long to be one.
    """
    assert part.delimiter is not None
    end = line_end(part.path)
    clean = scratch / "clean.csv"
    told = Refusals(part, scratch)
    for line in blank:
        told.places[BLANK].add(line)
    rows, shift = 0, 0
    jumps: list[tuple[int, int]] = []
    try:
        with clean.open("wb") as sink:
            found = records(part.path, part.delimiter.encode(), end, part.first_line)
            if fixes is not None:
                found = fixes.in_place(found, part.delimiter.encode(), scratch)
            for record in found:
                if told.last is not None:
                    told.tell_last()
                if code := told.code_of(record):
                    told.last = (record, code)
                    continue
                if record.line - part.first_line - rows != shift:
                    shift = record.line - part.first_line - rows
                    jumps.append((rows, shift))
                rows += 1
                plain = record.plain and b"\r" not in record.raw
                sink.write(record.raw if plain else joined(record.values, part.delimiter.encode()))
                sink.write(b"\n")
    except LineTooLong as error:
        raise line_too_long(part.file, error.number) from None
    whole = told.last is None
    told.tell_last(ended=endings.has_end(part.path))
    now = replace(
        part,
        source=_source(clean, part.delimiter, ["VARCHAR"] * len(part.names), 0, ", new_line='\\n'"),
        types=("VARCHAR",) * len(part.names),
        rows=rows,
        refused=told.lines.count,
        refused_lines=told.lines.close(),
        jumps=tuple(jumps),
        exact=True,
        problems=(
            *(problem for problem in part.problems if problem.code == BYTES),
            *told.problems(),
        ),
    )
    return (
        endings.with_broken_value(now, end, as_given=part.path.parent != scratch) if whole else now
    )


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


def _layout(path: Path, file: str, table: Table, config: TableConfig) -> Layout:
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
    """`Unreadable` for a file whose header is no UTF-8; the lines below it tell in which encoding
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
            BYTES, **evidence.values(table.name, several=_is_one_of_several(file, config))
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


def _lines_of(path: Path, end: bytes, count: int) -> list[bytes]:
    with path.open("rb") as source:
        return list(islice(physical_lines(source, end), count))
