"""Corrections laid over the rows that a reader gives: the part as if its file had the corrected
text.

Belongs here: finding rows by their line, comparing cells with `was`, the part that results. Does
not: the file of corrections and whole lines of text (`corrections.py`), formats.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Final

import duckdb

from syndb_pipeline.base.engine import given, literal, parquet
from syndb_pipeline.readers import casts, corrections
from syndb_pipeline.readers.corrections import Correction, FileCorrections, row_text
from syndb_pipeline.readers.part import CUT_OFF, Part, Problem, column_name, jumps_without, line_of
from syndb_pipeline.readers.text import text_files

_ROWS: Final = "rows.parquet"
_CORRECTED: Final = "corrected.parquet"
_TOGETHER: Final = 1000


def counted(
    connection: duckdb.DuckDBPyConnection,
    part: Part,
    scratch: Path,
    fixes: FileCorrections | None = None,
) -> Part:
    """`part` with its rows in a Parquet file in `scratch`, as many as it says.

    A text file that DuckDB reads otherwise than it was counted is read line by line, with `fixes`.
    """
    if part.source in (parquet(scratch / _ROWS), parquet(scratch / _CORRECTED)):
        return part
    target = scratch / _ROWS
    flags = sorted(set(part.damaged.values()))
    columns = ", ".join([column_name(index) for index in range(len(part.names))] + flags)
    try:
        rows = _copy(connection, f"SELECT {columns} FROM {part.source}", target)
    except duckdb.InvalidInputException:
        if part.exact:
            raise
        rows = -1
    if rows != part.rows and not part.exact:
        return counted(connection, text_files.careful(part, scratch, fixes=fixes), scratch)
    return replace(part, source=parquet(target), exact=True, plain_numbers=False)


def texts(
    connection: duckdb.DuckDBPyConnection, part: Part, lines: Iterable[int]
) -> Iterator[tuple[int, int, list[str]]]:
    """Of a part that is `counted`, the rows at `lines`: line, index from 0, and the text of each
    cell.

    Lines without a row are passed over. Nothing else may ask `connection` meanwhile.
    """
    wanted = [(index, line) for line, index in indexes_of(part, lines).items()]
    cells = ", ".join(f"coalesce({_text(part, index)}, '')" for index in range(len(part.names)))
    hidden: dict[int, list[tuple[int, str]]] = {}  # cells that calamine gives as empty
    for line, index, shown, _ in part.faults:
        hidden.setdefault(line, []).append((index, shown))
    with given(connection, "wanted", {"row": "BIGINT", "line": "BIGINT"}, wanted):
        found = connection.execute(
            f"""SELECT line, row, [{cells}] FROM wanted
                JOIN ({_numbered(part)}) ON row = file_row_number"""
        )
        while rows := found.fetchmany(_TOGETHER):
            for line, row, values in rows:
                for index, shown in hidden.get(line, ()):
                    values[index] = values[index] or shown
                yield line, row, values


def indexes_of(part: Part, lines: Iterable[int]) -> dict[int, int]:
    """Those of `lines` at which `part` has a row -> the place of the row among its rows, from 0."""
    segments = [(0, 0), *part.jumps]
    starts = [part.first_line + index + lines_added for index, lines_added in segments]
    ends = [*(index for index, _ in segments[1:]), part.rows]
    found = {}
    for line in lines:
        at = bisect_right(starts, line) - 1
        index = line - part.first_line - segments[at][1]
        if at >= 0 and index < ends[at]:
            found[line] = index
    return found


def lay_over(
    connection: duckdb.DuckDBPyConnection, part: Part, fixes: FileCorrections, scratch: Path
) -> Part:
    """`part` with `fixes`, which note what became of them. `scratch` is the folder of its file."""
    fixes.sheet = part.sheet
    if fixes.open:
        part = _with_cells(connection, counted(connection, part, scratch, fixes), fixes, scratch)
    return replace(part, problems=tuple(_left(part, fixes)))


def _with_cells(
    connection: duckdb.DuckDBPyConnection, part: Part, fixes: FileCorrections, scratch: Path
) -> Part:
    """`part`, which is `counted`, with those of `fixes` that are not settled yet."""
    at_line: dict[int, list[Correction]] = {}
    there = indexes_of(part, [fix.line for fix in fixes.open])
    for fix in fixes.open:
        if fix.line not in there:
            fixes.outcome[fix] = corrections.NO_ROW
        elif fix.column and fix.column not in part.names:
            fixes.outcome[fix] = corrections.NO_COLUMN
        elif fix.now and not fix.column:
            fixes.outcome[fix] = corrections.NO_LINE
        else:
            at_line.setdefault(fix.line, []).append(fix)
    fitting: dict[tuple[int, int], Correction] = {}  # by row and column, -1 for the whole row
    for line, row, values in texts(connection, part, at_line):
        for fix in at_line[line]:
            column = part.names.index(fix.column) if fix.column else -1
            found = values[column] if fix.column else row_text(values, part.delimiter)
            if fixes.settle(fix, found):
                fitting[row, column] = fix
    for place in _misfits(connection, part, fitting):
        fix = fitting.pop(place)
        fixes.outcome[fix] = corrections.UNTYPED
    return _changed(connection, part, fitting, scratch) if fitting else part


def _misfits(
    connection: duckdb.DuckDBPyConnection, part: Part, fitting: dict[tuple[int, int], Correction]
) -> list[tuple[int, int]]:
    """The places whose new text is no value of the type that its column has in the file."""
    tests = ""
    for column in sorted({column for _, column in fitting if column >= 0}):
        kind = part.types[column]
        typed = _typed("now", kind)
        # A cast rounds 1.5 to a whole number: only what comes back as it went is its value.
        back = f"lower(decimal_text({casts.to_text(typed, kind)}))"
        fits = f"{back} = lower(decimal_text(strip_text(now)))"
        if kind in ("FLOAT", "DOUBLE"):
            fits = f"isfinite({typed})"
        tests += f" WHEN {column} THEN {fits}" if kind != "VARCHAR" else ""
    if not tests:
        return []
    with _given(connection, fitting):
        return connection.execute(
            f"""SELECT row, col FROM fixes
                WHERE now <> '' AND NOT coalesce(CASE col {tests} ELSE TRUE END, FALSE)"""
        ).fetchall()


def _changed(
    connection: duckdb.DuckDBPyConnection,
    part: Part,
    fitting: dict[tuple[int, int], Correction],
    scratch: Path,
) -> Part:
    """`part` with the new text in the places of `fitting`, and without the rows that go."""
    changed = sorted({column for _, column in fitting if column >= 0})
    now = [f"max(now) FILTER (col = {column}) AS n{column}" for column in changed]
    by_row = f"SELECT {', '.join(['row', 'min(col) AS first', *now])} FROM fixes GROUP BY row"
    columns = []
    for index, kind in enumerate(part.types):
        name, new = column_name(index), f"n{index}"
        text = f"CASE WHEN {new} IS NULL THEN {name} ELSE {_typed(new, kind)} END AS {name}"
        columns.append(text if index in changed else name)
        if flag := part.damaged.get(name):
            columns.append(f"{flag} AND {new} IS NULL AS {flag}" if index in changed else flag)
    target = scratch / _CORRECTED
    with _given(connection, fitting):
        rows = _copy(
            connection,
            f"""SELECT {", ".join(columns)} FROM ({_numbered(part)})
                LEFT JOIN ({by_row}) ON row = file_row_number
                WHERE coalesce(first, 0) >= 0 ORDER BY file_row_number""",
            target,
        )
    gone = sorted(row for row, column in fitting if column < 0)
    lines = {(fix.line, column) for (_, column), fix in fitting.items()}
    part = replace(
        part,
        source=parquet(target),
        rows=rows,
        jumps=jumps_without(part, gone),
        trimmed=False,
        faults=tuple(fault for fault in part.faults if not lines & {fault[:2], (fault[0], -1)}),
    )
    found = texts(connection, part, [line_of(part, 0)])
    return replace(part, first=tuple(next((values for _, _, values in found), ())))


def _left(part: Part, fixes: FileCorrections) -> Iterator[Problem]:
    """The problems of `part` but for those of cells alone that are all corrected."""
    places = {(fix.line, fix.column) for fix in fixes.applied}
    last = max((line for line, _ in places), default=0)
    for problem in part.problems:
        cells = [(each.row, each.column) for each in problem.examples if each.column]
        seen = all({cell, (cell[0], "")} & places for cell in cells) or (
            problem.code == CUT_OFF and (cells[0][0] or 0) <= last
        )
        if not (cells and len(cells) == problem.count and seen):
            yield problem


def _numbered(part: Part) -> str:
    return f"SELECT * FROM {part.source.removesuffix(')')}, file_row_number=true)"


def _text(part: Part, index: int) -> str:
    """SQL: the text of a cell."""
    kind = part.types[index]
    return column_name(index) if kind == "VARCHAR" else casts.to_text(column_name(index), kind)


def _typed(text: str, kind: str) -> str:
    """SQL: what `text` is in a column of type `kind`; NULL where it is nothing."""
    if kind == "VARCHAR":
        return f"nullif({text}, '')"
    if kind == "UUID BYTES":
        return f"try(from_hex(replace(try_cast({text} AS UUID)::VARCHAR, '-', '')))"
    return f"try_cast(strip_text({text}) AS {kind})"


def _given(
    connection: duckdb.DuckDBPyConnection, fitting: dict[tuple[int, int], Correction]
) -> AbstractContextManager[None]:
    """The view `fixes` of what applies: row from 0, column (-1 for the whole row), new text."""
    rows = ((row, column, fix.now) for (row, column), fix in fitting.items())
    return given(connection, "fixes", {"row": "BIGINT", "col": "BIGINT", "now": "VARCHAR"}, rows)


def _copy(connection: duckdb.DuckDBPyConnection, query: str, target: Path) -> int:
    copy = f"COPY ({query}) TO {literal(str(target))} (FORMAT parquet, COMPRESSION lz4)"
    (rows,) = connection.execute(copy).fetchone() or (0,)
    return int(rows)
