"""A package of a given size, as the package stage writes one: Parquet files. Its columns are
random, so nothing shrinks them.

Belongs here: the tables, their tar as a file for curl, and the metadata to register them under.
Does not: sending (`upload.py`).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final
from uuid import UUID

import duckdb

from syndb_pipeline.base.engine import flush, literal, quote
from syndb_pipeline.base.tar_stream import FilePayload, TarPayload
from syndb_pipeline.contract.tables import TABLES, Kind
from syndb_pipeline.contract.vocabularies import ANIMALS, LICENSES
from syndb_pipeline.destinations.base import Metadata, Package, Region

DATASET: Final = UUID("01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a9a")
MEMBERS: Final = ("nucleus", "mitochondria")

_BYTES: Final = {"UUID": 16, "DOUBLE": 8}


def metadata() -> Metadata:
    """What the package's dataset is registered under."""
    return Metadata(
        id=DATASET,
        label="Upload benchmark",
        notes="",
        data_license=LICENSES["CC0"],
        license="CC0",
        animal=ANIMALS["MUS_MUSCULUS"],
        animal_name="MUS_MUSCULUS",
        microscopy="none, the rows are invented",
        brain_regions=(Region(brain_structure="cortex", direction="null"),),
        syndb_tables=tuple(TABLES[name].code for name in MEMBERS),
    )


def write_package(folder: Path, size: int) -> Package:
    """Write tables of about `size` bytes into a new folder, and their tar beside them
    (`tar_file`).
    """
    folder.mkdir(parents=True)
    rows, parts = {}, []
    with duckdb.connect() as connection:
        for name in MEMBERS:
            part = folder / f"{name}.parquet"
            query, width = _random_rows(name)
            rows[name] = size // len(MEMBERS) // width
            connection.execute(
                f"COPY ({query} FROM range({rows[name]})) TO {literal(str(part))} (FORMAT parquet,"
                " COMPRESSION uncompressed)"
            )
            flush(part)  # else the disk is busy with it while it is sent
            parts.append(FilePayload.of(part))
    package = Package(tar=TarPayload(f"{DATASET}.tar", tuple(parts)), rows=rows)
    with package.tar.open() as tar, tar_file(package).open("wb") as copy:
        shutil.copyfileobj(tar, copy)
    flush(tar_file(package))
    return package


def tar_file(package: Package) -> Path:
    """Where `write_package` left the tar of its package: curl sends files, and has no other way to
    send the same bytes.
    """
    assert isinstance(package.tar, TarPayload)
    return package.tar.members[0].path.with_name(package.tar.name)


def _random_rows(table: str) -> tuple[str, int]:
    """A SELECT of the table's key and measures, and the bytes of a row."""
    columns, width = [], 0
    for name, kind in TABLES[table].published.items():
        if kind == "DOUBLE" or TABLES[table].columns[name].kind is Kind.KEY:
            columns.append(f"{'random()' if kind == 'DOUBLE' else 'uuid()'} AS {quote(name)}")
            width += _BYTES[kind]
    return f"SELECT {', '.join(columns)}", width
