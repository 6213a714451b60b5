"""Meshes and skeletons that a table names: whether each file is there, of the right kind, holds it,
and is on the scale of its row.

Belongs here: asking for distinct files, several at a time, and finding their cells; the boxes and
lengths of files beside the measures of their rows (SYN-PATH-009). Does not: the formats
(`readers/`), sending the files, whole columns in another unit (`units.py`), thresholds
(`magnitudes.py`).
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import duckdb

from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.base.engine import given, literal, parquet, quote
from syndb_pipeline.base.irregular_files import irregular
from syndb_pipeline.checks.causes import Cause, causes
from syndb_pipeline.checks.dataset import Inspected
from syndb_pipeline.checks.failures import Group
from syndb_pipeline.checks.units import magnitudes
from syndb_pipeline.checks.units.magnitudes import AXES, listed
from syndb_pipeline.config.settings import DatasetConfig
from syndb_pipeline.contract.tables import TABLES, Column, Kind
from syndb_pipeline.readers.files import forbidden, outside, shown, starting_point
from syndb_pipeline.state.stage import Context

_SHAPES: Final = {"path": "VARCHAR"} | dict.fromkeys(
    ("x0", "y0", "z0", "x1", "y1", "z1", "length"), "DOUBLE"
)
_CAUSES: Final = causes(Path(__file__).with_suffix(".toml"), Cause)

_UNITS: Final = {1: "micrometres", 2: "millimetres", 3: "metres"}


_SCALE: Final = "SYN-PATH-009"
_TWO_FILES: Final = "SYN-PATH-010"
FILE_RULES: Final = (
    *(f"SYN-PATH-00{number}" for number in range(3, 9)),
    "SYN-READ-021",
    _SCALE,
    _TWO_FILES,
)
"""Rules on what a file holds; `describe_file` gives what their sentences need."""

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

Shape = tuple[float, ...]
"""What a file measures in its own unit: the box around it, and the length of a skeleton (0 of a
mesh); empty where that is not known."""


def path_columns(table: str, columns: Sequence[str]) -> list[Column]:
    """The columns of `table`, among `columns`, that name files."""
    return [column for name in columns if (column := TABLES[table].columns[name]).kind is Kind.PATH]


def is_file(folder: Path, path: str) -> bool:
    """Whether `path`, absolute or relative to `folder`, is a regular file that can be found."""
    try:
        return stat.S_ISREG((folder / path).stat().st_mode) and irregular(folder / path) is None
    except (OSError, ValueError):  # not there, not allowed, too long, or no path at all
        return False


def folders_of(config: DatasetConfig, table: str) -> tuple[Path, ...]:
    """The folders that paths in `table` may be relative to: the config's, then the table's."""
    start = starting_point(config.folder, config.tables[table].file)
    return tuple(dict.fromkeys((config.folder, start.parent if start.is_file() else start)))


def files_meant(folders: Sequence[Path], path: str) -> list[Path]:
    """The files that `path` may mean, relative to each of `folders`; where there is none, where it
    would be in the first.
    """
    found = [folder / path for folder in folders if is_file(folder, path)]
    return found or [folders[0] / path]


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

    def make(name: str, columns: Mapping[str, str], how: str) -> None:
        listed = ", ".join(f"{column} {kind}" for column, kind in columns.items())
        table.fetch(f"CREATE {how} {name} ({listed})")

    def insert(name: str, columns: dict[str, str], rows: Iterable[Sequence[Any]]) -> None:
        with given(table.connection, "some_rows", columns, rows):
            table.fetch(f"INSERT INTO {name} FROM some_rows")

    make("path_faults", _FAULTS, "TABLE IF NOT EXISTS")
    for column in path_columns(table.name, table.columns):
        make("shapes", _SHAPES, "OR REPLACE TABLE")
        place = (table.name, column.name)
        folders = folders_of(table.context.config, table.name)
        look = partial(_look_at, table.context, table.name, column, folders)
        for answers in _each(table.context, table.connection, table.source, column, look):
            faults = [(*place, path, *each) for path, (found, _) in answers for each in found]
            insert("path_faults", _FAULTS, faults)
            insert("shapes", _SHAPES, [(path, *shape) for path, (_, shape) in answers if shape])
        cell = quote(column.name)
        row = f"{literal(table.name)}, file_row_number, {literal(column.name)}, {cell}"
        cause = f"""CASE WHEN code IN {_BY_REASON}
            THEN regexp_replace(reason, {literal(_QUOTED_OR_NUMBER)}, '_', 'g') ELSE '' END"""
        table.fetch(
            f"""INSERT INTO failures SELECT '{_SCALE}', {row}, cause FROM ({_scales(table, column)})
                WHERE cause IS NOT NULL
                UNION ALL SELECT code, {row}, {cause} FROM {table.source} JOIN path_faults
                ON path = {cell} AND (tbl, col) = {place}
                UNION ALL SELECT 'SYN-PATH-002', {row}, '' FROM {table.source}
                WHERE NOT ends_with(lower({cell}), {literal(column.suffix)})"""
        )


def describe_file(group: Group, table: Inspected) -> dict[str, Any]:
    """Why the first file of `group` breaks its rule, one of `FILE_RULES`, and what to do about
    it.
    """
    if group.code == _SCALE:
        return _describe_scale(group, table)
    found = table.fetch(
        "SELECT reason, advice FROM path_faults WHERE tbl = ? AND col = ? AND path = ? AND"
        " code = ?",
        [group.table, group.column, group.value, group.code],
    )
    reason, advice = found[0] if found else ("", "")
    own = _CAUSES.get(group.code)
    return {"reason": reason, "advice": advice or (own.fix if own else "")}


def _look_at(
    context: Context, table: str, column: Column, folders: Sequence[Path], path: str
) -> tuple[list[Fault], Shape]:
    """What is wrong with the file `path`, and what it measures. A wrong suffix is found by its cell
    alone.
    """
    if not path.lower().endswith(column.suffix or ""):
        return [], ()
    home, allowed = context.config.folder, context.settings.data_folders
    found, *others = files_meant(folders, path)
    if outside(found, home, allowed):
        reason = forbidden(f"{table}.{column.name} names files", found, allowed)
        return [("SYN-READ-021", reason, "")], ()
    if not is_file(home, str(found)):
        return [("SYN-PATH-001", "", "")], ()
    # A file that must not be read is none that could be meant.
    others = [other for other in others if not outside(other, home, allowed)]
    if any(_unlike(found, other) for other in others):
        return [(_TWO_FILES, " and ".join(shown(each, home) for each in (found, *others)), "")], ()
    return (_look_at_mesh if column.suffix == ".glb" else _look_at_skeleton)(found)


def _unlike(one: Path, other: Path) -> bool:
    try:
        return not one.samefile(other) and digest_file(one) != digest_file(other)
    except OSError:  # not ours to read, which is said where it is read
        return False


# What reads them is imported here: most tables name neither kind, and the import takes as long as a
# small table.


def _look_at_mesh(file: Path) -> tuple[list[Fault], Shape]:
    from syndb_pipeline.readers.glb import check_glb

    mesh = check_glb(file)
    if mesh.reason:
        return [("SYN-PATH-003", mesh.reason, mesh.advice)], ()
    bare = [("SYN-PATH-008", mesh.bare, "")] if mesh.bare else []
    return bare, (*mesh.box, 0.0) if mesh.box else ()


def _look_at_skeleton(file: Path) -> tuple[list[Fault], Shape]:
    from syndb_pipeline.readers.swc import check_swc

    report = check_swc(file)
    if report.fault:
        return [("SYN-PATH-004", report.fault, report.advice)], ()
    strange = []
    if report.roots > 1:
        reason = f"{report.roots:,} roots, the second in line {report.other_root}"
        strange.append(("SYN-PATH-005", reason, ""))
    for code, count, line in (
        ("SYN-PATH-006", report.repeated, report.first_repeated),
        ("SYN-PATH-007", report.negative, report.first_negative),
    ):
        if count:
            reason = f"{count:,} of {report.samples:,} samples, the first in line {line}"
            strange.append((code, reason, ""))
    return strange, (*report.box, report.length) if report.box else ()


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
            folders = folders_of(context.config, table)
            for answers in _each(
                context, connection, rows, column, partial(_content, context, folders)
            ):
                for path, content in answers:
                    digest.update(f"{table}\0{column.name}\0{path}\0{content}\n".encode())
    return digest.hexdigest()


def _content(context: Context, folders: Sequence[Path], path: str) -> str:
    """The digest of a file that a table names, or why there is none."""
    home, allowed = context.config.folder, context.settings.data_folders
    found, *others = files_meant(folders, path)
    if outside(found, home, allowed):
        return "outside"
    if not is_file(home, str(found)):
        return "missing"
    try:
        meant = [found, *(other for other in others if not outside(other, home, allowed))]
        return " ".join(map(digest_file, meant))
    except OSError:  # not ours to read, or gone this moment
        return "unreadable"


# -- a file beside its row


def _scales(table: Inspected, column: Column) -> str:
    """A query for the rows whose file of `column`, in the table `shapes`, may be 1,000, 1,000,000
    ... times smaller or larger, and its cause.

    The cause is the power of a thousand, and the columns that say so, `2 mesh_volume`; the power is
    0 where it is not known, and the cause NULL where nothing is wrong.
    """
    cases = "".join(
        f" WHEN coalesce({power}, 0) <> 0 THEN ({power})::BIGINT || {literal(f' {names}')}"
        for names, power in _powers(table.columns, column).items()
    )
    for name in ("mesh_volume", "voxel_volume") if column.suffix != ".swc" else ():
        if name in table.columns:
            fuller = f"{name} > {magnitudes.FULLER_THAN_THE_BOX} * room"
            cases += f" WHEN isfinite({name}) AND {fuller} THEN '0 {name}'"
    return f"""SELECT file_row_number, {quote(column.name)},
            CASE {cases or "WHEN FALSE THEN ''"} END AS cause
        FROM (SELECT *, sqrt((x1 - x0) ^ 2 + (y1 - y0) ^ 2 + (z1 - z0) ^ 2) AS diagonal,
                nullif((x1 - x0) * (y1 - y0) * (z1 - z0), 0) AS room
            FROM {table.source} JOIN shapes ON path = {quote(column.name)})"""


def _powers(columns: Sequence[str], column: Column) -> dict[str, str]:
    """Columns -> SQL of the power of a thousand by which the file is too small, 0 or NULL if they
    do not say.

    What says it most surely comes first.
    """
    powers = {}
    if column.suffix == ".swc" and "cable_length" in columns:
        ratio = """CASE WHEN length > 0 AND cable_length > 0 AND isfinite(cable_length)
                   THEN log10(cable_length / length) / 3 END"""
        near = f"abs({ratio} - round({ratio})) * 3 < {magnitudes.LENGTH_TOLERANCE}"
        powers["cable_length"] = f"CASE WHEN {near} THEN round({ratio}) END"
    axes = [axis for axis in AXES if axis in columns]
    if len(axes) > 1:
        powers[",".join(axes)] = _power_of_place(axes)
    for name, length in magnitudes.SIZES.items():
        if name in columns:
            size = length.format(name)
            ratio = (
                f"CASE WHEN diagonal > 0 AND {name} > 0 AND isfinite({name}) THEN {size} /"
                " diagonal END"
            )
            # The length is a hundredth of the diagonal at least, and ten times it at most.
            power = f"ceil((log10({ratio}) - 1) / 3)"
            powers[name] = f"CASE WHEN {ratio} > {magnitudes.LARGEST_SIZE} THEN {power} END"
    return powers


def _power_of_place(axes: Sequence[str]) -> str:
    """SQL of the power of a thousand that brings the centroid into the file's box; NULL in any
    doubt.

    Asked only of boxes that are aside of the origin on two axes, by more than a fifth of their
    extent: a mesh in coordinates of its own starts at the origin or is around it, and any power
    may bring a point into such a box.
    """
    least, most, inside = [], [], []
    for axis in axes:
        low, high = f"{axis[-1]}0", f"{axis[-1]}1"
        extent, near = f"({high} - {low})", f"least(abs({low}), abs({high}))"
        known = f"""CASE WHEN isfinite({axis}) AND {axis} <> 0 AND sign({low}) = sign({high})
                    AND sign({axis}) = sign({low}) AND {near} > 0.2 * {extent} THEN"""
        least.append(f"{known} log10(abs({axis}) / greatest(abs({low}), abs({high}))) END")
        most.append(f"{known} log10(abs({axis}) / {near}) END")
        room = f"(0.25 * {extent} + 0.1 * diagonal)"
        place = f"{axis} / pow(1000, power)"
        inside.append(f"coalesce({place} BETWEEN {low} - {room} AND {high} + {room}, TRUE)")
    # DuckDB's greatest and least leave out what is NULL.
    lowest, highest = f"greatest({', '.join(least)})", f"least({', '.join(most)})"
    known = " + ".join(f"(({each}) IS NOT NULL)::INTEGER" for each in least)
    power = f"round((({lowest}) + ({highest})) / 6)"
    within = f"""({known}) > 1 AND 3 * power BETWEEN {lowest} - 0.1 AND {highest} + 0.1
                 AND {" AND ".join(inside)}"""
    return f"CASE WHEN {within.replace('power', power)} THEN {power} END"


def _describe_scale(group: Group, table: Inspected) -> dict[str, Any]:
    """What SYN-PATH-009 says of `group`: how far apart file and row are, by which columns."""
    power, _, named = group.cause.partition(" ")
    thousands, names = abs(int(power)), named.split(",")
    unit = _UNITS.get(thousands)
    units = {name: table.config.unit(table.declared[name]) for name in names}
    declared = ", ".join(name for name, unit in units.items() if unit not in (None, "nm"))
    converted = "; if the table is in nanometres already, take {} out of `tables.{}.units`"
    facts = {
        "table": table.name,
        "columns": listed(names),
        "number": len(names),
        "factor": f"{1000**thousands:,}",
        "unit": f", as if they were in {unit}" if unit else "",
        "radii": " and radii" if group.column == "swc_path" else "",
        "converted": converted.format(declared, table.name) if declared else "",
    }
    look = "fuller" if not thousands else "larger" if power.startswith("-") else "smaller"
    return _CAUSES[look].described(facts, "certain")
