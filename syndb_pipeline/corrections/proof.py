"""Proof that a corrected copy is what it should be: read again as ingest reads it, and held against
the original.

Belongs here: comparing. Does not: writing the copy.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping

import duckdb

from syndb_pipeline.base.engine import literal
from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.corrections.returned import Returned
from syndb_pipeline.corrections.sheet_copy import number_in_cell
from syndb_pipeline.readers import casts
from syndb_pipeline.readers.part import column_name
from syndb_pipeline.report.workbook.originals import Original

Cell = tuple[int, int]
"""Number of a row as a person counts it in the original, and index of the column."""


def differing(
    connection: duckdb.DuckDBPyConnection,
    before: Original,
    after: Original,
    rows: Returned | None,
    added: Mapping[int, list[list[str]]],
) -> set[Cell]:
    """The corrected cells that do not read back as they were corrected. `added` are the rows that
    unreadable lines became, by line.

    Raises `PipelineError` when anything else differs: the copy is not to be used.
    """
    changed = {
        row: cells
        for row, cells in (rows.cells if rows else {}).items()
        if rows and row not in rows.removed
    }
    removed = sorted(
        index for row in (rows.removed if rows else ()) if (index := before.index(row)) is not None
    )
    inserts = sorted((before.position(line), line) for line in added)
    places = _Places(removed, [(position, len(added[line])) for position, line in inserts])
    touched = {index: row for row in changed if (index := before.index(row)) is not None}
    moved = {places.new(index): row for index, row in touched.items()}
    fresh: dict[int, list[str]] = {}
    for number, (position, line) in enumerate(inserts):
        first = places.first_of(number, position)
        fresh |= {first + offset: values for offset, values in enumerate(added[line])}
    same_names = before.part.names == after.part.names and len(before.part.types) == len(
        after.part.types
    )
    kept = before.part.rows - len(removed) + len(fresh)
    if not same_names or before.part.types != after.part.types or kept != after.part.rows:
        raise _wrong(before)
    untouched = (
        _checksum(connection, before, {*removed, *touched}),
        _checksum(connection, after, {*moved, *fresh}),
    )
    if untouched[0] != untouched[1]:
        raise _wrong(before)
    if any(texts != fresh[number] for number, texts in after.numbered(connection, fresh).items()):
        raise _wrong(before)
    originals = before.rows(connection, changed)
    found = after.numbered(connection, moved)
    wrong: set[Cell] = set()
    for number, row in moved.items():
        for index, (old, new) in enumerate(zip(originals[row], found[number], strict=True)):
            correction = changed[row].get(index)
            if correction is None:
                # Of a fault of a workbook's cell, the copy's own texts have nothing.
                if new != old and (
                    new or not any(fault[:2] == (row, index) for fault in before.part.faults)
                ):
                    raise _wrong(before)
            elif new != correction.text and new not in (
                number_in_cell(correction.text),
                _as_typed(connection, after, index, correction.text),
            ):
                wrong.add((row, index))
    return wrong


class _Places:
    """Where rows of the original stand in the copy, rows counted from 0."""

    def __init__(self, removed: list[int], inserted: list[tuple[int, int]]) -> None:
        self.removed = removed
        self.positions = [position for position, _ in inserted]
        self.before = [0]
        for _, count in inserted:
            self.before.append(self.before[-1] + count)

    def new(self, index: int) -> int:
        inserted = bisect_left(self.positions, index + 1)
        return index - bisect_left(self.removed, index) + self.before[inserted]

    def first_of(self, insert: int, position: int) -> int:
        """The place of the first row of insert number `insert`, which stands before the original's
        row at `position`.
        """
        return position - bisect_left(self.removed, position) + self.before[insert]


def _checksum(
    connection: duckdb.DuckDBPyConnection, original: Original, without: Iterable[int]
) -> object:
    """Count and sum over all rows but `without`, each with its place among them and every value:
    alike for alike tables only.
    """
    columns = ", ".join(column_name(i) for i in range(len(original.part.names)))
    rows = f"SELECT row_number() OVER () - 1 AS n, {columns} FROM {original.part.source}"
    excluded = sorted(without)
    kept = f"SELECT * EXCLUDE (n) FROM ({rows})"
    if excluded:
        kept += f" WHERE n NOT IN (SELECT unnest({literal(excluded)}))"
    return connection.execute(
        f"SELECT count(*), sum(hash(place, {columns})::HUGEINT) FROM (SELECT row_number() OVER ()"
        f" AS place, * FROM ({kept}))"
    ).fetchone()


def _as_typed(
    connection: duckdb.DuckDBPyConnection, after: Original, index: int, text: str
) -> str | None:
    """How `text` reads once it is a value of a column's type; None when it is none."""
    kind = after.part.types[index]
    if kind == "UUID BYTES":
        kind = "UUID"
    text_of = casts.to_text("x", kind) if kind != "VARCHAR" else "x"
    (value,) = connection.execute(
        f"SELECT {text_of} FROM (SELECT try_cast(? AS {kind}) AS x)", [text.strip()]
    ).fetchone() or (None,)
    return None if value is None else str(value)


def _wrong(original: Original) -> PipelineError:
    return PipelineError(
        f"{original.part.file}: the corrected copy does not read as the original does where nothing"
        " was corrected, so it was thrown away.",
        next_step="Please report this with the file. Correct the file itself meanwhile.",
    )
