"""The rows of a table's parts, typed, in one Parquet file: queries for parts of every kind, how
many of them go together, and the careful way where the fast ones cannot vouch for every row.

Belongs here: putting parts behind one another in the order of their rows. Does not: opening files
(`table_reader.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import duckdb

from syndb_pipeline.base.digests import digest_of
from syndb_pipeline.base.engine import (
    in_order,
    is_surely_empty,
    literal,
    parquet,
    quote,
    rows_in,
    write_parquet,
)
from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.key_encoding import KEY_COLUMNS, is_number, kept_columns, not_whole
from syndb_pipeline.contract.tables import Table
from syndb_pipeline.readers import casts
from syndb_pipeline.readers.formats.parquet import first_line
from syndb_pipeline.readers.part import Part, cannot_read, column_name
from syndb_pipeline.readers.text import text_files

_ROWS_TOGETHER: Final = 500_000
"""How many rows of several files go through one query."""


def _groups(parts: list[Part]) -> Iterator[tuple[int, int]]:
    """The parts, in order, that are read by one query each, as first index and last but one: at
    most `_ROWS_TOGETHER` rows, or one part, or parts whose rows an earlier run left side by side.
    """
    start, rows = 0, 0
    for index, part in enumerate(parts):
        before = parts[index - 1] if index > start else None
        beside = (
            before is not None
            and before.kept is not None
            and part.kept == before.kept.after(before.rows)
        )
        few = (
            before is not None
            and before.kept is None
            and part.kept is None
            and rows + part.rows <= _ROWS_TOGETHER
        )
        if before is not None and not (beside or few):
            yield start, index
            start, rows = index, 0
        rows += part.rows
    yield start, len(parts)


def _whole_file(parts: list[Part], order: list[str], numbers: list[str]) -> Path | None:
    """The file that holds the rows of `parts`, and no others, as they are to be written."""
    kept = parts[0].kept
    if kept is None or kept.first_row or sum(part.rows for part in parts) != kept.all_rows:
        return None
    return (
        kept.file
        if all(is_number(kept.file, name) == (name in numbers) for name in KEY_COLUMNS & set(order))
        else None
    )


def _apart(part: Part, targets: dict[str, int]) -> tuple[Part, dict[str, int]]:
    """`part` and `targets` with a column of its own for each target: one that means two is in
    the source twice.
    """
    apart: dict[str, int] = {}
    copies: dict[int, int] = {}  # index of the copy -> index in the file
    for name, index in targets.items():
        apart[name] = index
        if index in list(apart.values())[:-1]:
            apart[name] = len(part.names) + len(copies)
            copies[apart[name]] = index
    if not copies:
        return part, targets
    more = ", ".join(
        f"{column_name(index)} AS {column_name(copy)}" for copy, index in copies.items()
    )
    damaged = {
        column_name(copy): part.damaged[column_name(index)]
        for copy, index in copies.items()
        if column_name(index) in part.damaged
    }
    source = f"(SELECT *, {more} FROM {part.source})"
    names, types = (
        tuple(values[index] for index in copies.values()) for values in (part.names, part.types)
    )
    changed = replace(
        part,
        source=source,
        names=(*part.names, *names),
        types=(*part.types, *types),
        damaged={**part.damaged, **damaged},
    )
    return changed, apart


@dataclass
class PartWriter:
    """Writes parts of one table. `targets` say for each part which column of the contract is
    where, `order` how they are written.

    `texts` are columns of keys that were seen to hold other texts than whole numbers.
    """

    connection: duckdb.DuckDBPyConnection
    table: Table
    config: TableConfig
    scratch: Path
    texts: set[str] = field(default_factory=set)

    def scratch_of(self, file: str) -> Path:
        """The folder for what is worked out of one of the table's files."""
        return self.scratch / digest_of(file)[:16]

    def write(
        self, parts: list[Part], targets: list[dict[str, int]], order: list[str], target: Path
    ) -> list[Part]:
        """Write `parts` to `target` and return them as they were read: those that the fast ways
        could not vouch for, carefully.
        """
        if self._write_with_numbers(parts, targets, order, target):
            return parts
        try:
            if self._write(parts, targets, order, target) == sum(part.rows for part in parts):
                return parts
        except duckdb.Error as error:
            if isinstance(error, duckdb.OutOfMemoryException) or all(part.exact for part in parts):
                raise self.blame(parts, targets, order, error) from None
            parts = [self._carefully(part) for part in parts]
        else:
            read_fast, parts = parts, [self._carefully(part) for part in parts]
            if (
                rows_in(target) == sum(part.rows for part in parts)
                and not any(part.refused for part in parts)
                and read_fast != parts
            ):
                # every record was read; blank lines or line breaks inside quotes made the
                # difference
                return parts
        try:
            rows = self._write(parts, targets, order, target)
        except duckdb.Error as error:
            raise self.blame(parts, targets, order, error) from None
        if rows != sum(part.rows for part in parts):
            message = (
                f"{parts[0].file}: {rows:,} rows were read of {sum(part.rows for part in parts):,}."
            )
            raise PipelineError(
                message, next_step="Please report this with the file; nothing was written."
            )
        return parts

    def _write_with_numbers(
        self, parts: list[Part], targets: list[dict[str, int]], order: list[str], target: Path
    ) -> bool:
        """Write `parts`, DuckDB reading the numbers of text files itself; False where that could
        not read all of them to the letter.
        """
        numeric = [
            name for name in order if casts.is_plain_number(self.table.columns[name], self.config)
        ]
        # A column that is read as something else as well keeps its text.
        shared = [
            [index for index, times in Counter(found.values()).items() if times > 1]
            for found in targets
        ]
        typed = [
            text_files.with_numbers(part, {found[name] for name in numeric} - set(kept))
            for part, found, kept in zip(parts, targets, shared, strict=True)
        ]
        if typed == parts:
            return False
        try:
            rows = self._write(typed, targets, order, target)
        except duckdb.OutOfMemoryException as error:
            raise self.blame(parts, targets, order, error) from None
        except duckdb.Error:
            return False
        if rows != sum(part.rows for part in parts):
            return False
        if is_surely_empty(target, casts.CELLS):
            return True
        lost = (
            f"list_filter({casts.cells_of()}, lambda cell: cell.kind = 'uncast' AND"
            f" list_contains({literal(numeric)}, cell.col))"
        )
        uncast = f"SELECT 1 FROM {parquet(target)} WHERE len({lost}) > 0 LIMIT 1"
        return not self.connection.execute(uncast).fetchall()

    def _carefully(self, part: Part) -> Part:
        return part if part.exact else text_files.careful(part, self.scratch_of(part.file))

    def blame(
        self,
        parts: list[Part],
        targets: list[dict[str, int]],
        order: list[str],
        error: duckdb.Error,
    ) -> Exception:
        """What to raise for `error`: the file it came from, found by reading each alone; when none
        is at fault, the run's limits are.
        """
        if not isinstance(error, duckdb.OutOfMemoryException):
            for part, indexes in zip(parts, targets, strict=True):
                select = self.query([part], [indexes], order)
                try:
                    self.connection.execute(
                        f"SELECT sum(hash(everything)) FROM ({select}) AS everything"
                    ).fetchall()
                except duckdb.Error as again:
                    return cannot_read(
                        part.file,
                        first_line(again),
                        "Write the file again with the program that made it.",
                    )
        message = f"{self.table.name} could not be written: {first_line(error)}."
        return PipelineError(
            message,
            next_step="Check the free space of the disk and `memory_limit` in pipeline.yaml.",
        )

    def _write(
        self, parts: list[Part], targets: list[dict[str, int]], order: list[str], target: Path
    ) -> int:
        """Write the typed rows of `parts` to `target`, keys as numbers where all of a column are
        such. Returns how many rows there are.
        """
        may_be = casts.may_be_numbers(order, self.table.columns, self.config)
        for part, indexes in zip(parts, targets, strict=True):
            # Trying to read them as numbers would fail too, and take longer.
            self.texts |= {
                name
                for name in may_be
                if part.first and self._is_text(name, part.first[indexes[name]])
            }
        while True:
            numbers = [name for name in may_be if name not in self.texts]
            try:
                return self._write_with(numbers, parts, targets, order, target)
            except duckdb.Error as error:
                name = not_whole(error)
                if name not in numbers:  # another error, which may quote a line of the lab's
                    raise
                self.texts.add(name)

    def _is_text(self, name: str, value: str) -> bool:
        return casts.is_surely_text(value, self.config.markers(self.table.columns[name]))

    def _write_with(
        self,
        numbers: list[str],
        parts: list[Part],
        targets: list[dict[str, int]],
        order: list[str],
        target: Path,
    ) -> int:
        groups = list(_groups(parts))
        queries = [
            self.query(parts[start:end], targets[start:end], order, numbers)
            for start, end in groups
        ]
        if len(queries) == 1:
            return write_parquet(self.connection, queries[0], target)
        # To keep the order of two large files in one query, DuckDB would hold the second back
        # whole; so they are read one after the other.
        pieces = []
        for number, ((start, end), query) in enumerate(zip(groups, queries, strict=True)):
            whole = _whole_file(parts[start:end], order, numbers)
            pieces.append(whole or self.scratch / f"piece{number}.parquet")
            if whole is None:
                form = f"{literal(str(pieces[-1]))} (FORMAT parquet, COMPRESSION lz4)"
                with in_order(self.connection, query):
                    self.connection.execute(f"COPY ({query}) TO {form}")
        columns = ", ".join([*map(quote, order), casts.CELLS])
        return write_parquet(self.connection, f"SELECT {columns} FROM {parquet(*pieces)}", target)

    def query(
        self,
        parts: list[Part],
        targets: list[dict[str, int]],
        order: list[str],
        numbers: Collection[str] = (),
    ) -> str:
        """A query for the typed rows of `parts`, in their order; the keys of the columns `numbers`
        as such.
        """
        if kept := parts[0].kept:
            rows = sum(part.rows for part in parts)
            within = f"file_row_number BETWEEN {kept.first_row} AND {kept.first_row + rows - 1}"
            return (
                f"SELECT {kept_columns(kept.file, order, numbers)}, {casts.CELLS} FROM"
                f" {parquet(kept.file, row_number=True)} WHERE {within}"
            )
        selects = [
            casts.select(*_apart(part, indexes), self.table.columns, order, self.config, numbers)
            for part, indexes in zip(parts, targets, strict=True)
        ]
        return " UNION ALL ".join(f"({select})" for select in selects)
