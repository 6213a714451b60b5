"""A package of a given size, as the package stage writes one: Parquet files in a tar. Its columns are random, so nothing shrinks them.

Belongs here: the tar, and the metadata to register it under. Does not: sending it (`upload.py`).
"""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Final
from uuid import UUID

import duckdb

from syndb_pipeline.contract.tables import TABLES, Kind
from syndb_pipeline.contract.vocabularies import ANIMALS, LICENSES
from syndb_pipeline.destinations.base import Metadata, Package, Region
from syndb_pipeline.engine import flush, literal, quote
from syndb_pipeline.payload import FilePayload

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
    """Write `<dataset id>.tar` of about `size` bytes into a new folder."""
    folder.mkdir(parents=True)
    tar = folder / f"{DATASET}.tar"
    rows = {}
    with duckdb.connect() as connection, tarfile.open(tar, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in MEMBERS:
            part = folder / f"{name}.parquet"
            query, width = _random_rows(name)
            rows[name] = size // len(MEMBERS) // width
            connection.execute(
                f"COPY ({query} FROM range({rows[name]})) TO {literal(str(part))} (FORMAT parquet, COMPRESSION uncompressed)"
            )
            member = tarfile.TarInfo(part.name)
            member.size = part.stat().st_size
            with part.open("rb") as file:
                archive.addfile(member, file)
            part.unlink()
    flush(tar)  # else the disk is busy with it while it is sent
    return Package(tar=FilePayload.of(tar), rows=rows)


def _random_rows(table: str) -> tuple[str, int]:
    """A SELECT of the table's key and measures, and the bytes of a row."""
    columns, width = [], 0
    for name, kind in TABLES[table].published.items():
        if kind == "DOUBLE" or TABLES[table].columns[name].kind is Kind.KEY:
            columns.append(f"{'random()' if kind == 'DOUBLE' else 'uuid()'} AS {quote(name)}")
            width += _BYTES[kind]
    return f"SELECT {', '.join(columns)}", width
