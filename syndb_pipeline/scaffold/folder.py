"""What is in a lab's folder: tables to look at, folders of parts, and everything else with why it
is not used.

Belongs here: going through the folder. Does not: what is inside a table (`peek.py`), which table it
is (`guess.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import groupby, islice
from pathlib import Path
from typing import Final

from syndb_pipeline.base.irregular_files import irregular
from syndb_pipeline.readers.files import PARQUET_SUFFIXES, suffix
from syndb_pipeline.scaffold.guess import name_score
from syndb_pipeline.scaffold.names import TABLE_WORDS
from syndb_pipeline.scaffold.peek import SUFFIXES, Candidate, Unreadable, peek

_LOOKED_AT: Final = 100_000
"""Files deeper down that are counted."""

_PIECES: Final = 5
"""Files of a folder of parts that are looked into."""

_NAMED: Final = 3
"""Files of one useless kind that are named one by one; more are counted."""

_EXPORT: Final = "is not read; export the table as .csv or .parquet"
_UNPACK: Final = "is packed in a way that is not read; unpack it, or pack it with gzip (.csv.gz)"
_FORMATS: Final = {
    (".feather", ".arrow", ".ipc"): f"Feather (Arrow) {_EXPORT}",
    (".h5", ".hdf5", ".hdf", ".nwb", ".n5", ".zarr"): f"HDF5 or Zarr {_EXPORT}",
    (".json", ".jsonl", ".ndjson"): f"JSON {_EXPORT}",
    (
        ".mat",
        ".npy",
        ".npz",
        ".pkl",
        ".pickle",
        ".rds",
        ".rda",
        ".rdata",
    ): f"a file of MATLAB, Python or R {_EXPORT}",
    (".sqlite", ".sqlite3", ".db", ".duckdb"): f"a database {_EXPORT}",
    (".ods", ".xlsb", ".numbers"): "this kind of workbook is not read; save it as .xlsx",
    (".orc", ".avro", ".sav", ".dta", ".xml", ".html", ".htm"): f"this format {_EXPORT}",
    (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".lz4"): f"it {_UNPACK}",
    (
        ".dat",
        ".tab",
        ".asc",
        ".data",
        ".lst",
    ): "not the suffix of a table; if it holds text in rows, call it .txt or .csv",
    ("",): "without a suffix; if it holds text in rows, call it .txt or .csv",
}
"""Suffixes of files that may hold a table and are not read, with what to do."""

_KINDS: Final = _FORMATS | {
    (".swc",): "a skeleton; a table names it in its column swc_path",
    (".glb",): "a mesh; a table names it in its column mesh_path",
    (".obj", ".ply", ".stl", ".gltf", ".off"): "SynDB takes meshes as .glb",
}
_NO_TABLE: Final = "not a kind of file that holds a table"


def survey(folder: Path, out: Path, scratch: Path) -> tuple[list[Candidate], dict[str, str], bool]:
    """The candidates in `folder`, what is not used with the reason, and whether there was anything
    that is called a table.

    `out`, where the config goes, is passed over, and so is what is hidden. `scratch` is for
    samples.
    """
    candidates: list[Candidate] = []
    unused: dict[str, str] = {}
    others: list[Path] = []
    tables = False
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path == out:
            continue
        what = irregular(path)
        if path.name.startswith("~$"):
            unused[path.name] = "the lock file of a workbook that is open"
        elif what is not None:
            tables = tables or suffix(path) in SUFFIXES
            unused[path.name] = f"it is {what}, not a file"
        elif path.is_dir():
            found = _folder(path, scratch)
            if isinstance(found, str):
                unused[f"{path.name}/"] = found
            else:
                candidates.append(found)
        elif suffix(path) not in SUFFIXES:
            others.append(path)
        else:
            tables = True
            try:
                candidates += peek(path, scratch)
            except Unreadable as error:
                unused[path.name] = str(error)
    return candidates, unused | _others(others), tables or bool(candidates)


def missed_tables(folder: Path, unused: Iterable[str], found: Collection[str]) -> dict[str, Path]:
    """Tables, beside those `found`, that files and folders in `folder` hold by their names, though
    they are `unused`.
    """
    missed: dict[str, Path] = {}
    for name in unused:
        path = folder / name
        if path.is_dir():
            holds = any(suffix(file) in SUFFIXES for file in islice(path.rglob("*"), _LOOKED_AT))
        else:
            holds = path.is_file() and (
                suffix(path) in SUFFIXES
                or any(path.suffix.lower() in endings for endings in _FORMATS)
            )
        if not holds:
            continue
        stem = path.name.partition(".")[0]
        table = next((table for table in TABLE_WORDS if name_score(stem, table) == 1), None)
        if table is not None and table not in found:
            missed.setdefault(table, path)
    return missed


def _others(paths: list[Path]) -> dict[str, str]:
    """Files whose suffix is no table's, with the reason; many of one suffix together."""
    reasons: dict[str, str] = {}
    for ending, group in groupby(
        sorted(paths, key=lambda path: (path.suffix.lower(), path)),
        key=lambda path: path.suffix.lower(),
    ):
        reason = next(
            (words for suffixes, words in _KINDS.items() if ending in suffixes), _NO_TABLE
        )
        same = list(group)
        if len(same) > _NAMED:
            reasons[f"{len(same):,} files {ending or 'without suffix'}"] = reason
        else:
            reasons |= dict.fromkeys((path.name for path in same), reason)
    return reasons


def _folder(path: Path, scratch: Path) -> Candidate | str:
    """The table whose parts a folder holds, as Spark and Dask write them, or why it is not used."""
    try:
        inside = [file for file in sorted(path.iterdir()) if not file.name.startswith((".", "_"))]
        tables = [
            file
            for file in inside
            if suffix(file) in SUFFIXES and file.is_file() and irregular(file) is None
        ]
        if not tables:
            return _without_tables(path)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    endings = {suffix(file) for file in tables}
    is_table = suffix(path) in SUFFIXES or any(
        name_score(path.name, table) == 1 for table in TABLE_WORDS
    )
    if (
        not is_table
        or len(endings) > 1
        or len({file.name[-len(suffix(file)) :] for file in tables}) > 1
    ):
        return (
            f"a folder with tables of its own, such as {tables[0].name}; look at it alone:"
            f" syndb-pipeline init {path}"
        )
    chosen = {*range(min(_PIECES - 1, len(tables))), len(tables) - 1}
    try:
        pieces = [piece for index in sorted(chosen) for piece in peek(tables[index], scratch)]
    except Unreadable as error:
        return f"one of its parts cannot be read: {error}"
    first = pieces[0]
    if any(
        (piece.columns, piece.width, piece.sheets) != (first.columns, first.width, ())
        for piece in pieces
    ):
        return (
            "a folder whose tables differ in their columns; look at it alone: syndb-pipeline init"
            f" {path}"
        )
    return Candidate(
        path,
        first.columns,
        first.width,
        rows=tuple(row for piece in pieces for row in piece.rows),
        header_row=first.header_row,
        delimiter=first.delimiter,
        encoding=first.encoding,
        readings=first.readings,
        sample=first.sample,
        pieces=tuple(pieces),
    )


def _without_tables(path: Path) -> str:
    deeper = [
        file
        for file in islice(path.rglob("*"), _LOOKED_AT)
        if not file.name.startswith((".", "_")) and file.is_file()
    ]
    below = [file for file in deeper if suffix(file) in SUFFIXES]
    if below:
        at = below[0].relative_to(path)
        parted = suffix(path) in PARQUET_SUFFIXES or any("=" in part for part in at.parts[:-1])
        if parted:
            levels = "*/" * (len(at.parts) - 1)
            return (
                f"its parts are in folders such as {at.parts[0]}; they can be named"
                f" {path.name}/{levels}*{suffix(at)}, but what the folders' names say is then no"
                " column"
            )
        return (
            f"its tables are deeper, in {at.parent.as_posix()}; look at it alone: syndb-pipeline"
            f" init {path / at.parent}"
        )
    endings = sorted({file.suffix.lower() for file in deeper})
    reason = next(
        (
            words
            for suffixes, words in _KINDS.items()
            if len(endings) == 1 and endings[0] in suffixes
        ),
        "",
    )
    if reason:
        return f"{len(deeper):,} files {endings[0]}: {reason}"
    for file in deeper:
        if reason := next(
            (
                words
                for suffixes, words in _FORMATS.items()
                if file.suffix and file.suffix.lower() in suffixes
            ),
            "",
        ):
            return (
                f"a folder without tables that are read; {file.relative_to(path).as_posix()}:"
                f" {reason}"
            )
    return "a folder without tables"
