"""Stage 1: the lab's files become one Parquet file per table, each column in its final type where
the cast loses nothing.

Belongs here: putting files, columns and casts together, conserving rows, reporting what is amiss.
Does not: file formats (`readers/`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb

from syndb_pipeline.base.digests import digest_of, in_pairs
from syndb_pipeline.base.engine import literal, parquet, write_parquet
from syndb_pipeline.checks.cells.pandera_judge import import_ahead
from syndb_pipeline.contract.tables import TABLE_ORDER, TABLES
from syndb_pipeline.readers import casts, corrections, files, summary_words
from syndb_pipeline.readers.fence import Fence
from syndb_pipeline.readers.files import Guard
from syndb_pipeline.readers.part import Problem
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.stages.table_reader import (
    READING_KEYS,
    TableReader,
    made_from,
    own_severities,
    witness,
)
from syndb_pipeline.state.progress import Meter
from syndb_pipeline.state.results import IngestDetails, IngestedTable
from syndb_pipeline.state.row_locations import SOURCES_FILE, UNREADABLE_FILE, SourceMap
from syndb_pipeline.state.stage import Context, Result, Stage
from syndb_pipeline.state.store import Rows

CELLS_FILE: Final = "cells.parquet"
"""The lines that were refused, as written: tbl, file (as shown), sheet, line, text, code; as many
as `unreadable` counts.
"""

_SHARED: Final = "SYN-COL-007"


def inputs(context: Context) -> dict[str, str]:
    """Digests of the config's reading instructions, of the severities ingest's findings have, and
    of every file it would read, corrections among them.
    """
    config = context.config
    tables = {
        name: table.model_dump(mode="json", include=set(READING_KEYS))
        | {"file": files.in_memory(Path(table.file)) or table.file}
        for name, table in config.tables.items()
    }
    digests = {
        "config:tables": digest_of(tables),
        "config:rules": digest_of(own_severities(context)),
    }
    to_read: dict[str, Path] = {}
    for name, table in config.tables.items():
        if fixes := corrections.find(config.folder, name, context.settings.data_folders):
            to_read[f"corrections:{name}"] = fixes
        guard = Guard(config.folder, context.settings.data_folders, table)
        digests |= guard.forbidden_pattern()
        for path in guard.find():
            file = f"file:{files.shown(path, config.folder)}"
            if file not in digests and file not in to_read:
                if refused := guard.refusal(path):
                    digests[file] = refused
                else:
                    to_read[file] = path
    return digests | dict(zip(to_read, in_pairs(witness.digest, [*to_read.values()]), strict=True))


def run(context: Context, folder: Path) -> Result:
    """Read every table of the config into `folder`. What is wrong with a file is a finding;
    `PipelineError` if one changes meanwhile.
    """
    import_ahead()  # of what validate judges with, while DuckDB reads
    (folder / "tables").mkdir()
    reading = context.store.scratch / "reading"
    shutil.rmtree(reading, ignore_errors=True)
    details = IngestDetails(tables={}, files=[], made_from={})
    result = Result(details=details)
    sources = SourceMap()
    shared = _shared_files(context)
    names = [table for table in TABLE_ORDER if table in context.config.tables]
    meter = Meter("ingest", _bytes(context), "bytes", context.watch)
    with context.duckdb() as connection, meter, _looking_ahead() as pool, Fence() as fence:
        casts.prepare(connection)
        connection.execute(
            "CREATE TABLE unreadable (tbl VARCHAR, file VARCHAR, sheet VARCHAR, line BIGINT, text"
            " VARCHAR, code VARCHAR)"
        )
        readers = {
            name: TableReader(
                context,
                connection,
                TABLES[name],
                context.config.tables[name],
                reading / name,
                fence,
            )
            for name in names
        }
        for name in names[
            1:
        ]:  # a large table is counted through while all small ones before it are read
            readers[name].look_ahead(pool, packed=False)
        for name, following in zip(meter.each(names, connection), [*names[1:], None], strict=True):
            findings = _take_over(context, connection, name, folder, sources, result, details)
            if findings is None:
                context.say(f"ingest: {name}")
                if following:
                    readers[following].look_ahead(pool, packed=True)
                read = readers[name].read(folder / "tables" / f"{name}.parquet")
                shutil.rmtree(reading / name, ignore_errors=True)
                if read.sources:
                    sources.tables[name] = read.sources
                result.tables[name] = Rows(
                    read=read.rows + read.unreadable, passed=read.rows, rejected=read.unreadable
                )
                details.tables[name] = IngestedTable(
                    rows=read.rows, unreadable=read.unreadable, columns=read.columns
                )
                details.files.extend(read.files)
                findings = [_finding(context, name, problem) for problem in read.problems]
            details.made_from[name] = made_from(context, name)
            result.findings.extend(
                [*findings, *(_finding(context, name, problem) for problem in shared.get(name, []))]
            )
        _write_cells(connection, folder, list(sources.tables))
        write_parquet(
            connection,
            "SELECT * FROM unreadable ORDER BY tbl, file, line",
            folder / UNREADABLE_FILE,
        )
    shutil.rmtree(reading, ignore_errors=True)
    sources.write(folder)
    return result


@contextmanager
def _looking_ahead() -> Iterator[ThreadPoolExecutor]:
    """A thread for work that is wanted later. What it has not started by the end, also where that
    comes early, is left undone.
    """
    pool = ThreadPoolExecutor(1)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _take_over(
    context: Context,
    connection: duckdb.DuckDBPyConnection,
    table: str,
    folder: Path,
    sources: SourceMap,
    result: Result,
    details: IngestDetails,
) -> list[Finding] | None:
    """Have what the last run left of `table` in `folder`, `sources`, `result` and its `details`
    too; its findings, or None where it is to be read.
    """
    former, config, file = context.former, context.config, f"tables/{table}.parquet"
    if former is None or not former.holds(
        table, made_from(context, table), file, SOURCES_FILE, UNREADABLE_FILE
    ):
        return None
    paths, strange = Guard(
        config.folder, context.settings.data_folders, config.tables[table]
    ).survey()
    left = former.details(IngestDetails)
    read = left.files_of(table)
    now = [(files.shown(path, config.folder), witness.seen(path)) for path in paths]
    if strange or now != [
        (each.file, former.record.inputs.get(f"file:{each.file}")) for each in read
    ]:
        return None
    for path in paths:
        witness.confirm(path)
    former.take_over(file, folder)
    sources.tables[table] = SourceMap.read(former.folder).tables[table]
    result.tables[table] = former.record.tables[table]
    details.tables[table] = left.tables[table]
    details.files.extend(read)
    connection.execute(
        f"INSERT INTO unreadable SELECT * FROM {parquet(former.folder / UNREADABLE_FILE)} WHERE"
        " tbl = ?",
        [table],
    )
    return [finding for finding in former.findings(table) if finding.code != _SHARED]


def _bytes(context: Context) -> dict[str, int]:
    """The bytes of each table's files, as far as they are there: what there is to do."""
    config, allowed = context.config, context.settings.data_folders
    found = {
        name: Guard(config.folder, allowed, table).find() for name, table in config.tables.items()
    }
    return {
        name: sum(path.stat().st_size for path in paths if path.is_file())
        for name, paths in found.items()
    }


def _shared_files(context: Context) -> dict[str, list[Problem]]:
    """For each table that reads the same sheet of the same file as one before it, and its columns
    in the same way: what to say of that.

    A lab that keeps two tables in one file on purpose maps its columns otherwise for each.
    """
    config = context.config
    readers: dict[tuple[Path, str | None, str], str] = {}
    problems: dict[str, list[Problem]] = {}
    for name in (table for table in TABLE_ORDER if table in config.tables):
        table = config.tables[name]
        way = digest_of(
            table.model_dump(mode="json", include={"columns", "ignore", "names", "header_row"})
        )
        for path in Guard(config.folder, context.settings.data_folders, table).find():
            other = readers.setdefault((path, table.sheet, way), name)
            if other != name:
                problems.setdefault(name, []).append(
                    Problem(_SHARED, files.shown(path, config.folder), values={"other": other})
                )
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
    changed = ({"severity": problem.severity} if problem.severity else {}) | (
        {"settings": [*problem.settings]} if problem.settings else {}
    )
    return finding.model_copy(update=changed)


def _write_cells(connection: duckdb.DuckDBPyConnection, folder: Path, tables: list[str]) -> None:
    """Write `cells.parquet` from the tables' own last columns: the one column of a table that this
    reads again.
    """
    selects = [
        "SELECT ''::VARCHAR AS tbl, 0::BIGINT AS row_number, ''::VARCHAR AS col, ''::VARCHAR AS"
        " raw, ''::VARCHAR AS kind LIMIT 0"
    ]
    for table in tables:
        source = parquet(folder / "tables" / f"{table}.parquet", row_number=True)
        selects.append(
            f"SELECT {literal(table)}, file_row_number, cell.col, cell.raw, cell.kind FROM (SELECT"
            f" file_row_number, unnest({casts.cells_of()}) AS cell FROM {source} WHERE"
            f" {casts.CELLS} IS NOT NULL) WHERE cell.kind <> {literal(summary_words.LABEL)}"
        )
    write_parquet(
        connection, " UNION ALL ".join(f"({select})" for select in selects), folder / CELLS_FILE
    )


STAGE = Stage(
    "ingest",
    run,
    inputs,
    None,
    "10",
    "Reads the lab's files: each column in its final type, every row accounted for.",
)
