"""Meshes and skeletons that a table names: whether each file is there, of the right kind, and holds
what its kind should.

Belongs here: asking for distinct files, several at a time, and telling it by cell. Does not: the
formats (`readers/`), sending the files.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import duckdb

from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.base.engine import given, literal, parquet, quote
from syndb_pipeline.base.irregular_files import irregular
from syndb_pipeline.checks.failures import Failures, Group
from syndb_pipeline.checks.units import file_scales
from syndb_pipeline.checks.units.file_scales import Shape
from syndb_pipeline.contract.tables import TABLES, Column, Kind
from syndb_pipeline.readers.files import outside
from syndb_pipeline.readers.untrusted_limits import forbidden
from syndb_pipeline.state.stage import Context

CONTENT_RULES: Final = (
    "SYN-PATH-003",
    "SYN-PATH-004",
    "SYN-PATH-005",
    "SYN-PATH-006",
    "SYN-PATH-007",
    "SYN-PATH-008",
    "SYN-READ-021",
)
"""Rules on what a file holds; their sentences need a `reason`."""

_ADVICE: Final = {
    "SYN-PATH-003": (
        "Export the mesh again as one .glb file that holds everything it needs (binary glTF 2.0),"
        " or leave the cell empty."
    ),
    "SYN-PATH-004": (
        "Write one sample a line (id type x y z radius parent), every id once, every parent an id"
        " of the file, or -1 at the root; or leave the cell empty."
    ),
}
"""What to do about a file where its reader has no better advice."""

_QUOTED_OR_NUMBER: Final = r"'[^']*'|[0-9][0-9,]*"
"""What differs between the reasons of files that are wrong in one way."""

_FAULTS: Final = "path_faults"
_BATCH: Final = 10_000
_FILES_AT_A_TIME: Final = 4
"""At most: each may take some tens of megabytes."""

Answer = TypeVar("Answer")


def path_columns(table: str, columns: list[str]) -> list[Column]:
    """The columns of `table`, among `columns`, that name files."""
    return [
        TABLES[table].columns[name]
        for name in columns
        if TABLES[table].columns[name].kind is Kind.PATH
    ]


def is_file(folder: Path, path: str) -> bool:
    """Whether `path`, absolute or relative to `folder`, is a regular file that can be found."""
    try:
        return stat.S_ISREG((folder / path).stat().st_mode) and irregular(folder / path) is None
    except (OSError, ValueError):  # not there, not allowed, too long, or no path at all
        return False


def _each(
    context: Context,
    connection: duckdb.DuckDBPyConnection,
    table: Path,
    column: Column,
    ask: Callable[[str], Answer],
) -> Iterator[tuple[list[str], list[Answer]]]:
    """The distinct paths of a column in order, some at a time, and what `ask` says to each, several
    at a time.

    Python asks the file system, DuckDB cannot; most of the asking waits for the disk or runs
    outside Python's lock.
    """
    cell = quote(column.name)
    with (
        connection.cursor() as cursor,
        ThreadPoolExecutor(min(context.settings.threads, _FILES_AT_A_TIME)) as pool,
    ):
        query = f"SELECT DISTINCT {cell} FROM {parquet(table)} WHERE {cell} IS NOT NULL ORDER BY 1"
        for batch in cursor.sql(query).to_arrow_reader(_BATCH):
            paths = batch.column(0).to_pylist()
            yield paths, list(pool.map(ask, paths))


def check_paths(context: Context, failures: Failures, table: str, columns: list[str]) -> None:
    """Add the cells to `failures` whose file is not there (SYN-PATH-001), has another suffix (002),
    or is by what it holds no mesh (003), no skeleton (004), a strange skeleton (005 to 007), a mesh
    without a surface (008), or on another scale than its row (009).
    """
    named = path_columns(table, columns)
    if not named:
        return
    file = context.store.stage("ingest") / "tables" / f"{table}.parquet"
    connection = failures.connection
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {_FAULTS} (tbl VARCHAR, col VARCHAR, path VARCHAR, code"
        " VARCHAR, reason VARCHAR, advice VARCHAR)"
    )
    for column in named:
        look = partial(_look_at, context, f"{table}.{column.name}", column.suffix or "")
        for paths, answers in _each(context, connection, file, column, look):
            told = [
                (path, *fault)
                for path, (found, _) in zip(paths, answers, strict=True)
                for fault in found
            ]
            with given(
                connection,
                "told",
                dict.fromkeys(("path", "code", "reason", "advice"), "VARCHAR"),
                told,
            ):
                connection.execute(
                    f"INSERT INTO {_FAULTS} SELECT {literal(table)}, {literal(column.name)}, path,"
                    " code, reason, advice FROM told"
                )
            if file_scales.comparable(column, columns):
                file_scales.keep(
                    connection, table, column.name, [shape for _, shape in answers if shape]
                )
        if file_scales.comparable(column, columns):
            file_scales.check_scales(failures, table, column, columns, file)
        cell, rows = quote(column.name), parquet(file, row_number=True)
        row = f"{literal(table)}, file_row_number, {literal(column.name)}, {cell}"
        cause = f"""CASE WHEN code IN ('SYN-PATH-003', 'SYN-PATH-004', 'SYN-PATH-008')
                    THEN regexp_replace(reason, {literal(_QUOTED_OR_NUMBER)}, '_', 'g') ELSE '' END"""
        ours = f"tbl = {literal(table)} AND col = {literal(column.name)}"
        failures.add(
            f"SELECT code, {row}, {cause} FROM {rows} JOIN {_FAULTS} ON path = {cell} AND {ours}"
        )
        failures.add(
            f"SELECT 'SYN-PATH-002', {row}, '' FROM {rows} WHERE NOT ends_with(lower({cell}),"
            f" {literal(column.suffix)})"
        )


def describe_file(failures: Failures, group: Group) -> dict[str, str]:
    """Why the first file of `group` breaks its rule, one of `CONTENT_RULES`, and what to do about
    it.
    """
    reason, advice = failures.connection.execute(
        f"SELECT reason, advice FROM {_FAULTS} WHERE tbl = ? AND col = ? AND path = ? AND code = ?",
        [group.table, group.column, group.value, group.code],
    ).fetchone() or ("", "")
    return {"reason": reason, "advice": advice or _ADVICE.get(group.code, "")}


def _look_at(
    context: Context, named_in: str, suffix: str, path: str
) -> tuple[list[tuple[str, str, str]], Shape | None]:
    """Codes of the rules that the file `path` breaks, each with reason and advice ("" for the
    rule's own), and what the file measures.

    A path with another suffix is found by its cell alone.
    """
    if not path.lower().endswith(suffix):
        return [], None
    folder, allowed = context.config.folder, context.settings.data_folders
    if outside(folder / path, folder, allowed):
        return [
            ("SYN-READ-021", forbidden(f"{named_in} names files", folder / path, allowed), "")
        ], None
    if not is_file(folder, path):
        return [("SYN-PATH-001", "", "")], None
    # Imported here: most tables name neither kind, and what reads them takes as long to import as a
    # small table to read.
    if suffix == ".glb":
        from syndb_pipeline.readers.mesh_and_skeleton.glb import check_glb

        mesh = check_glb(folder / path)
        if mesh.reason:
            return [("SYN-PATH-003", mesh.reason, mesh.advice)], None
        return [("SYN-PATH-008", mesh.bare, "")] if mesh.bare else [], (
            Shape(path, mesh.box) if mesh.box else None
        )
    from syndb_pipeline.readers.mesh_and_skeleton.swc import check_swc

    report = check_swc(folder / path)
    if report.told:
        return [("SYN-PATH-004", report.told, report.advice)], None
    strange = []
    if report.roots > 1:
        strange.append(
            ("SYN-PATH-005", f"{report.roots:,} roots, the second in line {report.other_root}", "")
        )
    for code, count, line in (
        ("SYN-PATH-006", report.repeated, report.first_repeated),
        ("SYN-PATH-007", report.negative, report.first_negative),
    ):
        if count:
            strange.append(
                (code, f"{count:,} of {report.samples:,} samples, the first in line {line}", "")
            )
    return strange, Shape(path, report.box, report.length) if report.box else None


def digest_of_paths(context: Context, tables: dict[str, list[str]]) -> str | None:
    """SHA-256 over the distinct paths of `tables` (SynDB's columns by table) and what their files
    hold; None when there are none.

    It is what validate depends on outside the tables: a file put in its place, or changed, makes
    the stage run again.
    """
    folder = context.store.stage("ingest") / "tables"
    named = [
        (table, column)
        for table, columns in tables.items()
        for column in path_columns(table, columns)
    ]
    if not named:
        return None
    digest = hashlib.sha256()
    with context.duckdb(threads=1) as connection:
        for table, column in named:
            for paths, contents in _each(
                context,
                connection,
                folder / f"{table}.parquet",
                column,
                lambda path: _content(context, path),
            ):
                for path, content in zip(paths, contents, strict=True):
                    digest.update(f"{table}\0{column.name}\0{path}\0{content}\n".encode())
    return digest.hexdigest()


def _content(context: Context, path: str) -> str:
    """The digest of a file that a table names, or that there is none."""
    if outside(context.config.folder / path, context.config.folder, context.settings.data_folders):
        return "outside"
    if not is_file(context.config.folder, path):
        return "missing"
    try:
        return digest_file(context.config.folder / path)
    except OSError:  # not ours to read, or gone this moment
        return "unreadable"
