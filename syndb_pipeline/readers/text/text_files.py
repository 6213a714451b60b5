"""Delimited text: csv, tsv and txt, read strictly and with every value as text.

Belongs here: delimiter, header, and the counts every read is held against. Does not: casts, or
splitting single records (`lines.py`).

The fast way is one look at the bytes (counting line ends, delimiters, quotation marks) and DuckDB's
strict reader. Where the counts do not fit together, or DuckDB refuses a line, the careful way goes
through the records in Python and hands DuckDB the good ones.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from syndb_pipeline.base.engine import exact_path, literal
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import Table
from syndb_pipeline.readers import endings
from syndb_pipeline.readers.corrections import FileCorrections
from syndb_pipeline.readers.part import Part, Places, Problem, cannot_read, column_name
from syndb_pipeline.readers.text import census, encodings
from syndb_pipeline.readers.text.encoding_guess import doubts
from syndb_pipeline.readers.text.layout import Layout, find_layout, is_one_of_several
from syndb_pipeline.readers.text.lines import (
    MAX_LINE_BYTES,
    LineTooLong,
    Settled,
    joined,
    line_end,
    line_too_long,
    physical_lines,
    records,
    settled,
    starts_mixed,
)
from syndb_pipeline.readers.text.refusals import BLANK, BYTES, RAGGED, Refusals


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
    several = is_one_of_several(file, config)
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


def _looked_at(
    utf8: Path, file: str, table: Table, config: TableConfig
) -> tuple[Layout, census.Census]:
    """How the file at `utf8` is laid out, and what its bytes say. Raises `Unreadable`, also where
    they hold zeros.
    """
    layout = find_layout(utf8, file, table, config)
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


def _blank_end(file: str, counts: census.Census) -> tuple[Problem, ...]:
    places = Places(file)
    for line in range(counts.lines - counts.blank_end + 1, counts.lines + 1):
        places.add(line)
    return tuple(places.problem("SYN-READ-011"))


def careful(
    part: Part, scratch: Path, blank: Sequence[int] = (), fixes: FileCorrections | None = None
) -> Part:
    """`part` read record by record: what cannot be a row is refused and reported, and the rest is a
    clean file in `scratch`.

    `blank` are blank lines already seen before the header; whole lines are corrected by `fixes`.
    Raises `Unreadable` when a line is too long to be one.
    """
    assert part.delimiter is not None
    end = line_end(part.path)
    clean = scratch / "clean.csv"
    seen = Refusals(part, scratch)
    for line in blank:
        seen.places[BLANK].add(line)
    rows, shift = 0, 0
    jumps: list[tuple[int, int]] = []
    try:
        with clean.open("wb") as sink:
            found = records(part.path, part.delimiter.encode(), end, part.first_line)
            if fixes is not None:
                found = fixes.in_place(found, part.delimiter.encode(), scratch)
            for record in found:
                if seen.last is not None:
                    seen.report_last()
                if code := seen.code_of(record):
                    seen.last = (record, code)
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
    whole = seen.last is None
    seen.report_last(ended=endings.has_end(part.path))
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


def _lines_of(path: Path, end: bytes, count: int) -> list[bytes]:
    with path.open("rb") as source:
        return list(islice(physical_lines(source, end), count))
