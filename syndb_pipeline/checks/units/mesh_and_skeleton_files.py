"""Meshes and skeletons that a table names: whether each file is there, of the right kind, and holds
it.

Belongs here: asking for distinct files, several at a time, and finding their cells. Does not: the
formats (`readers/`), sending the files.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import duckdb

from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.base.engine import given, literal, parquet, quote
from syndb_pipeline.base.irregular_files import irregular
from syndb_pipeline.checks.failures import Group
from syndb_pipeline.checks.inspected import Inspected
from syndb_pipeline.checks.units import file_scales
from syndb_pipeline.checks.units.file_scales import Shape
from syndb_pipeline.contract.tables import TABLES, Column, Kind
from syndb_pipeline.readers.files import outside
from syndb_pipeline.readers.guard import forbidden
from syndb_pipeline.state.stage import Context

CONTENT_RULES: Final = (*(f"SYN-PATH-00{number}" for number in range(3, 9)), "SYN-READ-021")
"""Rules on what a file holds; their sentences need a `reason`."""

_ADVICE: Final = {
    "SYN-PATH-003": (
        "Export the mesh again as one .glb file that holds everything it needs (binary glTF 2.0), "
        "or leave the cell empty."
    ),
    "SYN-PATH-004": (
        "Write one sample a line (id type x y z radius parent), every id once, every parent an id "
        "of the file, or -1 at the root; or leave the cell empty."
    ),
}
"""What to do about a file where its reader has no better advice."""

_BY_REASON: Final = ("SYN-PATH-003", "SYN-PATH-004", "SYN-PATH-008")
_QUOTED_OR_NUMBER: Final = r"'[^']*'|[0-9][0-9,]*"
"""What differs between the reasons of files that are wrong in one way."""

_FAULTS: Final = dict.fromkeys(("tbl", "col", "path", "code", "reason", "advice"), "VARCHAR")
_BATCH: Final = 10_000
_FILES_AT_A_TIME: Final = 4
"""At most: each may take some tens of megabytes."""

Answer = TypeVar("Answer")
Fault = tuple[str, str, str]
"""Code of the rule that a file breaks, the reason, and advice ("" for the rule's own)."""


def path_columns(table: str, columns: Sequence[str]) -> list[Column]:
    """The columns of `table`, among `columns`, that name files."""
    return [column for name in columns if (column := TABLES[table].columns[name]).kind is Kind.PATH]


def is_file(folder: Path, path: str) -> bool:
    """Whether `path`, absolute or relative to `folder`, is a regular file that can be found."""
    try:
        return stat.S_ISREG((folder / path).stat().st_mode) and irregular(folder / path) is None
    except (OSError, ValueError):  # not there, not allowed, too long, or no path at all
        return False


def _each(
    context: Context,
    connection: duckdb.DuckDBPyConnection,
    rows: str,
    column: Column,
    ask: Callable[[str], Answer],
) -> Iterator[list[tuple[str, Answer]]]:
    """The distinct paths of a column in order, some at a time, each with what `ask` says of it.

    Python asks the file system, DuckDB cannot; most of the asking waits for the disk or runs
    outside Python's lock.
    """
    cell = quote(column.name)
    with (
        connection.cursor() as cursor,
        ThreadPoolExecutor(min(context.settings.threads, _FILES_AT_A_TIME)) as pool,
    ):
        query = f"SELECT DISTINCT {cell} FROM {rows} WHERE {cell} IS NOT NULL ORDER BY 1"
        for batch in cursor.sql(query).to_arrow_reader(_BATCH):
            paths = batch.column(0).to_pylist()
            yield list(zip(paths, pool.map(ask, paths), strict=True))


def check_paths(table: Inspected) -> None:
    """Add the cells to the failures whose file is not there (SYN-PATH-001), has another suffix
    (002), or is by what it holds no mesh (003), no skeleton (004), a strange skeleton (005 to 007),
    a mesh without a surface (008), or on another scale than its row (009).
    """
    connection = table.connection
    for column in path_columns(table.name, table.columns):
        names = ", ".join(f"{name} {kind}" for name, kind in _FAULTS.items())
        connection.execute(f"CREATE TABLE IF NOT EXISTS path_faults ({names})")
        look, first = partial(_look_at, table.context, table.name, column), True
        for answers in _each(table.context, connection, table.rows, column, look):
            faults = [
                (table.name, column.name, path, *fault)
                for path, (found, _) in answers
                for fault in found
            ]
            with given(connection, "some_faults", _FAULTS, faults):
                connection.execute("INSERT INTO path_faults FROM some_faults")
            file_scales.keep(
                table, column, [shape for _, (_, shape) in answers if shape], first=first
            )
            first = False
        if not first:
            file_scales.check_scales(table, column)
        cell = quote(column.name)
        row = f"{literal(table.name)}, file_row_number, {literal(column.name)}, {cell}"
        cause = f"""CASE WHEN code IN {_BY_REASON}
            THEN regexp_replace(reason, {literal(_QUOTED_OR_NUMBER)}, '_', 'g') ELSE '' END"""
        connection.execute(
            f"""INSERT INTO failures SELECT code, {row}, {cause} FROM {table.rows} JOIN path_faults
                ON path = {cell} AND tbl = {literal(table.name)} AND col = {literal(column.name)}
                UNION ALL SELECT 'SYN-PATH-002', {row}, '' FROM {table.rows}
                WHERE NOT ends_with(lower({cell}), {literal(column.suffix)})"""
        )


def describe_file(connection: duckdb.DuckDBPyConnection, group: Group) -> dict[str, str]:
    """Why the first file of `group` breaks its rule, one of `CONTENT_RULES`, and what to do about
    it.
    """
    [(reason, advice), *_] = connection.execute(
        "SELECT reason, advice FROM path_faults WHERE tbl = ? AND col = ? AND path = ? AND"
        " code = ?",
        [group.table, group.column, group.value, group.code],
    ).fetchall() or [("", "")]
    return {"reason": reason, "advice": advice or _ADVICE.get(group.code, "")}


def _look_at(
    context: Context, table: str, column: Column, path: str
) -> tuple[list[Fault], Shape | None]:
    """What is wrong with the file `path`, and what it measures. A wrong suffix is found by its cell
    alone.
    """
    if not path.lower().endswith(column.suffix or ""):
        return [], None
    folder, allowed = context.config.folder, context.settings.data_folders
    if outside(folder / path, folder, allowed):
        reason = forbidden(f"{table}.{column.name} names files", folder / path, allowed)
        return [("SYN-READ-021", reason, "")], None
    if not is_file(folder, path):
        return [("SYN-PATH-001", "", "")], None
    return (_look_at_mesh if column.suffix == ".glb" else _look_at_skeleton)(folder / path, path)


# What reads them is imported here: most tables name neither kind, and the import takes as long as a
# small table.


def _look_at_mesh(file: Path, path: str) -> tuple[list[Fault], Shape | None]:
    from syndb_pipeline.readers.mesh_and_skeleton.glb import check_glb

    mesh = check_glb(file)
    if mesh.reason:
        return [("SYN-PATH-003", mesh.reason, mesh.advice)], None
    return [("SYN-PATH-008", mesh.bare, "")] if mesh.bare else [], (
        Shape(path, mesh.box) if mesh.box else None
    )


def _look_at_skeleton(file: Path, path: str) -> tuple[list[Fault], Shape | None]:
    from syndb_pipeline.readers.mesh_and_skeleton.swc import check_swc

    report = check_swc(file)
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
    hold.

    None when there are none. It is what validate depends on outside the tables: a file put in its
    place, or changed, makes the stage run again.
    """
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
            rows = parquet(context.store.stage("ingest") / "tables" / f"{table}.parquet")
            for answers in _each(context, connection, rows, column, partial(_content, context)):
                for path, content in answers:
                    digest.update(f"{table}\0{column.name}\0{path}\0{content}\n".encode())
    return digest.hexdigest()


def _content(context: Context, path: str) -> str:
    """The digest of a file that a table names, or why there is none."""
    folder = context.config.folder
    if outside(folder / path, folder, context.settings.data_folders):
        return "outside"
    if not is_file(folder, path):
        return "missing"
    try:
        return digest_file(folder / path)
    except OSError:  # not ours to read, or gone this moment
        return "unreadable"
