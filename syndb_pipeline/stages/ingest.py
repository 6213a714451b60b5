"""Stage 1: the lab's files become one Parquet file per table, each column in its final type where the cast loses nothing.

Belongs here: putting files, columns and casts together, conserving rows, telling what is amiss. Does not: file formats (`readers/`).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import duckdb

from syndb_pipeline.contract.tables import TABLE_ORDER, TABLES, Table
from syndb_pipeline.contract.vocabularies import nearest
from syndb_pipeline.digests import digest_of
from syndb_pipeline.engine import exact_path, literal, parquet, write_parquet
from syndb_pipeline.errors import PipelineError
from syndb_pipeline.findings.finding import Example, Finding
from syndb_pipeline.readers import casts, columnar, files, headers, text, untrusted, workbook
from syndb_pipeline.readers.part import Part, Places, Problem, Unreadable, cannot_read
from syndb_pipeline.sources import Source, SourceMap
from syndb_pipeline.stages import stray_rows
from syndb_pipeline.stages.stage import Context, Result, Stage
from syndb_pipeline.store import Rows
from syndb_pipeline.table_settings import TableConfig

CELLS_FILE: Final = "cells.parquet"
UNREADABLE_FILE: Final = "unreadable.parquet"
"""The lines that were refused, as written: tbl, file (as shown), sheet, line, text, code; as many as `unreadable` counts."""

_READING_KEYS: Final = frozenset(
    {
        "file",
        "columns",
        "ignore",
        "sheet",
        "key",
        "header_row",
        "names",
        "delimiter",
        "encoding",
        "decimal",
        "thousands",
        "units",
        "missing",
    }
)
_OWN_CODES: Final = ("SYN-READ-", "SYN-COL-", "SYN-ID-006")

_ROWS_TOGETHER: Final = 500_000
"""How many rows of several files go through one query."""

_witness = files.Witness()
"""The files as they were when `inputs` hashed them; `run` reads no others."""


@dataclass
class _Read:
    """What came of one table. `sources` is empty when the table could not be read."""

    problems: list[Problem] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    rows: int = 0
    unreadable: int = 0
    columns: dict[str, str] = field(default_factory=dict)
    files: list[dict[str, Any]] = field(default_factory=list)


def inputs(context: Context) -> dict[str, str]:
    """Digests of the config's reading instructions, of the severities ingest's findings have, and of every file it would read."""
    config = context.config
    tables = {name: table.model_dump(mode="json", include=set(_READING_KEYS)) for name, table in config.tables.items()}
    severities = {code: severity for code, severity in config.rules.items() if code.startswith(_OWN_CODES)}
    digests = {"config:tables": digest_of(tables), "config:rules": digest_of(severities)}
    for table in config.tables.values():
        guard = untrusted.Guard(config.folder, context.settings.data_folders, table)
        digests |= guard.forbidden_pattern()
        for path in guard.find():
            name = f"file:{files.shown(path, config.folder)}"
            if name not in digests:
                digests[name] = guard.refusal(path) or _witness.digest(path)
    return digests


def run(context: Context, folder: Path) -> Result:
    """Read every table of the config into `folder`. What is wrong with a file is a finding; `PipelineError` if one changes meanwhile."""
    (folder / "tables").mkdir()
    reading = context.store.scratch / "reading"
    result = Result(details={"tables": {}, "files": []})
    sources = SourceMap()
    shared = _shared_files(context)
    with context.duckdb() as connection:
        casts.prepare(connection)
        connection.execute("CREATE TABLE unreadable (tbl VARCHAR, file VARCHAR, sheet VARCHAR, line BIGINT, text VARCHAR, code VARCHAR)")
        for name in (table for table in TABLE_ORDER if table in context.config.tables):
            shutil.rmtree(reading, ignore_errors=True)
            reading.mkdir(parents=True)
            context.say(f"ingest: {name}")
            read = _Reader(context, connection, TABLES[name], context.config.tables[name], reading).read(
                folder / "tables" / f"{name}.parquet"
            )
            if read.sources:
                sources.tables[name] = read.sources
            result.tables[name] = Rows(read=read.rows + read.unreadable, passed=read.rows, rejected=read.unreadable)
            result.details["tables"][name] = {"rows": read.rows, "unreadable": read.unreadable, "columns": read.columns}
            result.details["files"] += read.files
            result.findings.extend(_finding(context, name, problem) for problem in [*read.problems, *shared.get(name, [])])
        _write_cells(connection, folder, list(sources.tables))
        write_parquet(connection, "SELECT * FROM unreadable ORDER BY tbl, file, line", folder / UNREADABLE_FILE)
    shutil.rmtree(reading, ignore_errors=True)
    sources.write(folder)
    return result


def _shared_files(context: Context) -> dict[str, list[Problem]]:
    """For each table that reads the same sheet of the same file as one before it, and its columns in the same way: what to tell of that.

    A lab that keeps two tables in one file on purpose maps its columns otherwise for each.
    """
    config = context.config
    readers: dict[tuple[Path, str | None, str], str] = {}
    problems: dict[str, list[Problem]] = {}
    for name in (table for table in TABLE_ORDER if table in config.tables):
        table = config.tables[name]
        way = digest_of(table.model_dump(mode="json", include={"columns", "ignore", "names", "header_row"}))
        for path in untrusted.Guard(config.folder, context.settings.data_folders, table).find():
            other = readers.setdefault((path, table.sheet, way), name)
            if other != name:
                problems.setdefault(name, []).append(Problem("SYN-COL-007", files.shown(path, config.folder), values={"other": other}))
    return problems


def _finding(context: Context, table: str, problem: Problem) -> Finding:
    finding = context.finding(
        problem.code,
        table=table,
        file=problem.file,
        column=problem.column,
        count=problem.count,
        examples=list(problem.examples),
        confidence=problem.confidence,
        **problem.values,
    )
    changed = ({"severity": problem.severity} if problem.severity else {}) | ({"settings": [*problem.settings]} if problem.settings else {})
    return finding.model_copy(update=changed)


def _write_cells(connection: duckdb.DuckDBPyConnection, folder: Path, tables: list[str]) -> None:
    """Write `cells.parquet` from the tables' own last columns: the one column of a table that this reads again."""
    selects = ["SELECT ''::VARCHAR AS tbl, 0::BIGINT AS row_number, ''::VARCHAR AS col, ''::VARCHAR AS raw, ''::VARCHAR AS kind LIMIT 0"]
    for table in tables:
        source = parquet(folder / "tables" / f"{table}.parquet", row_number=True)
        selects.append(
            f"SELECT {literal(table)}, file_row_number, cell.col, cell.raw, cell.kind "
            f"FROM (SELECT file_row_number, unnest({casts.CELLS}) AS cell FROM {source} WHERE {casts.CELLS} IS NOT NULL)"
        )
    write_parquet(connection, " UNION ALL ".join(f"({select})" for select in selects), folder / CELLS_FILE)


def _groups(rows: list[int]) -> list[list[int]]:
    """The indexes of parts, in order, in groups of at most `_ROWS_TOGETHER` rows or of one part."""
    groups: list[list[int]] = [[]]
    together = 0
    for index, count in enumerate(rows):
        if groups[-1] and together + count > _ROWS_TOGETHER:
            groups.append([])
            together = 0
        groups[-1].append(index)
        together += count
    return groups


@dataclass
class _Reader:
    """Reads the files of one table into one Parquet file."""

    context: Context
    connection: duckdb.DuckDBPyConnection
    table: Table
    config: TableConfig
    scratch: Path

    def read(self, target: Path) -> _Read:
        home = self.context.config.folder
        guard = untrusted.Guard(home, self.context.settings.data_folders, self.config)
        paths, strange = guard.survey()
        if not paths:
            return _Read(strange or [self._not_found()])
        read = _Read(strange)
        parts = []
        for path in paths:
            _witness.confirm(path)
            try:
                guard.check(path)
                parts.append(self._open(path, files.shown(path, home)))
            except Unreadable as error:
                read.problems += error.problems
        if len(parts) == len(paths) and not strange:
            self._combine(parts, paths, target, read)
        else:
            read.problems += [problem for part in parts for problem in part.problems]
        for path in paths:
            _witness.confirm(path)
        return read

    def _not_found(self) -> Problem:
        shown = self.config.file
        if files.is_folder(self.context.config.folder, shown):
            reason = {
                "reason": "it is a folder",
                "advice": f"Name the files in it, e.g. `tables.{self.table.name}.file: {shown.rstrip('/')}/*.csv`.",
            }
            return Problem("SYN-READ-014", shown, values=reason)
        there = files.neighbours(self.context.config.folder, shown)
        near = nearest(Path(shown).name, there)
        advice = f"Check `tables.{self.table.name}.file`; it is relative to the dataset's YAML."
        if near:
            advice = f"Is it this one? `tables.{self.table.name}.file: {headers.yaml_word((Path(shown).parent / near[0]).as_posix())}`"
        return Problem("SYN-READ-001", shown, values={"advice": advice})

    def _open(self, path: Path, file: str) -> Part:
        suffix = files.suffix(path)
        scratch = self._scratch_of(file)
        scratch.mkdir(parents=True)
        try:
            if suffix in files.TEXT_SUFFIXES:
                return text.read(path, file, self.table, self.config, scratch)
            if suffix in files.WORKBOOK_SUFFIXES:
                return workbook.read(path, file, self.table, self.config, scratch, self.context.settings.memory_limit)
            if suffix in files.PARQUET_SUFFIXES:
                return columnar.read(self.connection, path, file, self.table, self.config)
        except PermissionError as error:
            raise cannot_read(file, f"{error.strerror or error}", "Check that you may read it.") from None
        known = ".csv, .tsv, .txt, .xlsx, .xlsm, .xls or .parquet"
        raise cannot_read(file, f"files that end in {suffix or 'nothing'} are not understood", f"Export the table as {known}.")

    def _scratch_of(self, file: str) -> Path:
        return self.scratch / digest_of(file)[:16]

    def _combine(self, parts: list[Part], paths: list[Path], target: Path, read: _Read) -> None:
        """Write the rows of `parts`, in order, to `target`, and say in `read` what came of it."""
        first = parts[0]
        matches = [headers.match(part.file, part.names, self.table, self.config) for part in parts]
        read.problems += [self._placed(problem, first) for problem in matches[0].problems]
        different = [part for part in parts[1:] if sorted(part.names) != sorted(first.names)]
        for part in different:
            how = headers.difference(part.names, first.names) or "one of them has a name twice"
            problem = Problem("SYN-READ-012", part.file, values={"other": first.file, "difference": how})
            read.problems.append(self._placed(problem, part))
        if different or not matches[0].complete:
            read.problems += [problem for part in parts for problem in part.problems]
            return
        order = list(matches[0].targets)
        targets = [match.targets for match in matches]
        try:
            parts = self._write(parts, targets, order, target)
            names = {name: first.names[index] for name, index in targets[0].items()}
            found = stray_rows.take_out(self.connection, parts, names, self.table, self.config, target, self.scratch)
        except Unreadable as error:
            target.unlink(missing_ok=True)
            read.problems += error.problems
            return
        read.problems += found.problems
        for part, kept in [*((part, part.refused_lines) for part in parts), *found.refused]:
            self._keep_refused(part, kept)
        for part, path, indexes in zip(found.parts, paths, targets, strict=True):
            read.problems += [*part.problems, *self._faults(part, indexes)]
            if part.rows + part.refused == 0:
                read.problems.append(Problem("SYN-READ-013", part.file))
            columns = {name: part.names[index] for name, index in indexes.items()}
            read.sources.append(
                Source(
                    file=part.file,
                    sheet=part.sheet,
                    first_row=read.rows,
                    rows=part.rows,
                    first_line=part.first_line,
                    jumps=list(part.jumps),
                    columns=columns,
                )
            )
            read.rows += part.rows
            read.unreadable += part.refused
            read.files.append(
                {
                    "table": self.table.name,
                    "file": part.file,
                    "sheet": part.sheet,
                    "rows": part.rows,
                    "bytes": path.stat().st_size,
                    "delimiter": part.delimiter,
                    "encoding": part.encoding,
                }
            )
        read.columns = names

    def _placed(self, problem: Problem, part: Part) -> Problem:
        """A problem of the header of `part`, with the place of the header or of the column in it."""
        has_row = self.config.header_row is not None and (part.delimiter is not None or part.sheet is not None)
        column = problem.column if problem.column in part.names else None
        if problem.examples or not (has_row or column):
            return problem
        return replace(
            problem, examples=(Example(file=part.file, sheet=part.sheet, row=part.first_line - 1 if has_row else None, column=column),)
        )

    def _keep_refused(self, part: Part, refused: Path | None) -> None:
        """Put the lines of `part` that were refused among those of the other files."""
        if refused is not None:
            place = ", ".join(literal(value) for value in (self.table.name, part.file, part.sheet))
            self.connection.execute(f"INSERT INTO unreadable SELECT {place}, line, text, code FROM {parquet(refused)}")

    def _write(self, parts: list[Part], targets: list[dict[str, int]], order: list[str], target: Path) -> list[Part]:
        """Write `parts` to `target` and return them as they were read: those that the fast ways could not vouch for, carefully."""
        if self._write_with_numbers(parts, targets, order, target):
            return parts
        try:
            if self._copy(parts, targets, order, target) == sum(part.rows for part in parts):
                return parts
        except duckdb.Error as error:
            if isinstance(error, duckdb.OutOfMemoryException) or all(part.exact for part in parts):
                raise self._blame(parts, targets, order, error) from None
            parts = [self._carefully(part) for part in parts]
        else:
            read_fast, parts = parts, [self._carefully(part) for part in parts]
            written = self._rows_in(target)
            if written == sum(part.rows for part in parts) and not any(part.refused for part in parts) and read_fast != parts:
                return parts  # every record was read; blank lines or line breaks inside quotes made the difference
        try:
            rows = self._copy(parts, targets, order, target)
        except duckdb.Error as error:
            raise self._blame(parts, targets, order, error) from None
        if rows != sum(part.rows for part in parts):
            message = f"{parts[0].file}: {rows:,} rows were read of {sum(part.rows for part in parts):,}."
            raise PipelineError(message, next_step="Please report this with the file; nothing was written.")
        return parts

    def _write_with_numbers(self, parts: list[Part], targets: list[dict[str, int]], order: list[str], target: Path) -> bool:
        """Write `parts`, DuckDB reading the numbers of text files itself; False where that could not read all of them to the letter."""
        numeric = [name for name in order if casts.is_plain_number(self.table.columns[name], self.config)]
        typed = [text.with_numbers(part, {found[name] for name in numeric}) for part, found in zip(parts, targets, strict=True)]
        if typed == parts:
            return False
        try:
            rows = self._copy(typed, targets, order, target)
        except duckdb.OutOfMemoryException as error:
            raise self._blame(parts, targets, order, error) from None
        except duckdb.Error:
            return False
        uncast = f"list_contains(list_transform({casts.CELLS}, lambda cell: cell.kind), 'uncast')"
        told = f"SELECT 1 FROM {parquet(target)} WHERE {uncast} LIMIT 1"
        return rows == sum(part.rows for part in parts) and not self.connection.execute(told).fetchall()

    def _carefully(self, part: Part) -> Part:
        return part if part.exact else text.careful(part, self._scratch_of(part.file))

    def _copy(self, parts: list[Part], targets: list[dict[str, int]], order: list[str], target: Path) -> int:
        selects = [
            casts.select(part, indexes, self.table.columns, order, self.config) for part, indexes in zip(parts, targets, strict=True)
        ]
        groups = _groups([part.rows for part in parts])
        queries = [" UNION ALL ".join(f"({selects[i]})" for i in group) for group in groups]
        if len(queries) == 1:
            return write_parquet(self.connection, queries[0], target)
        # To keep the order of two large files in one query, DuckDB would hold the second back whole; so they are read one after the other.
        pieces = [self.scratch / f"piece{number}.parquet" for number in range(len(queries))]
        for query, piece in zip(queries, pieces, strict=True):
            self.connection.execute(f"COPY ({query}) TO {literal(str(piece))} (FORMAT parquet, COMPRESSION lz4)")
        return write_parquet(self.connection, f"SELECT * FROM read_parquet({literal([exact_path(piece) for piece in pieces])})", target)

    def _rows_in(self, target: Path) -> int:
        (rows,) = self.connection.execute(f"SELECT count(*) FROM {parquet(target)}").fetchone() or (0,)
        return int(rows)

    def _blame(self, parts: list[Part], targets: list[dict[str, int]], order: list[str], error: duckdb.Error) -> Exception:
        """What to raise for `error`: the file it came from, found by reading each alone; when none is at fault, the run's limits are."""
        if not isinstance(error, duckdb.OutOfMemoryException):
            for part, indexes in zip(parts, targets, strict=True):
                select = casts.select(part, indexes, self.table.columns, order, self.config)
                try:
                    self.connection.execute(f"SELECT sum(hash(everything)) FROM ({select}) AS everything").fetchall()
                except duckdb.Error as again:
                    return cannot_read(part.file, columnar.first_line(again), "Write the file again with the program that made it.")
        message = f"{self.table.name} could not be written: {columnar.first_line(error)}."
        return PipelineError(message, next_step="Check the free space of the disk and `memory_limit` in pipeline.yaml.")

    def _faults(self, part: Part, targets: dict[str, int]) -> list[Problem]:
        """Spreadsheet errors and unsaved formulas in the columns that are read, but for those the lab declared to mean "no value"."""
        by_index = {index: part.names[index] for index in targets.values()}
        places: dict[str, Places] = {}
        for row, index, shown, code in part.faults:
            if index in by_index and shown not in self.config.missing:
                places.setdefault(code, Places(part.file, part.sheet)).add(row, shown, by_index[index])
        return [problem for code, found in sorted(places.items()) for problem in found.problem(code, value=found.examples[0].value)]


STAGE = Stage("ingest", run, inputs, None, "3", "Reads the lab's files: each column in its final type, every row accounted for.")
