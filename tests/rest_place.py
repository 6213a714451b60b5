"""A REST destination before the sandbox, and what tests send to it.

Belongs here: opening it, metadata, packages, files. Does not: any assertion about what becomes of
them.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import duckdb
from pydantic import SecretStr

from syndb_pipeline.base.tar_stream import FilePayload
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.destinations import open_destination
from syndb_pipeline.destinations.base import FileKind, Metadata, OutgoingFile, Package
from syndb_pipeline.destinations.rest import RestDestination as RestSettings
from syndb_pipeline.destinations.rest.destination import RestDestination
from tests.rest_lab import ADA, PASSWORD, Sandbox

DATASET = UUID("01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11")
NEURON, AXON = 1, 4


def destination(
    sandbox: Sandbox,
    tmp_path: Path,
    user: str | None = ADA,
    told: list[str] | None = None,
    **more: Any,
) -> RestDestination:
    """The sandbox as `user` meets it; as nobody for None."""
    config = RestSettings(kind="rest", url=sandbox.url, **{"attempts": 4, **more})
    settings = PipelineSettings(
        state=tmp_path / "state",
        memory_limit=600_000_000,
        threads=1,
        destinations={"syndb": config},
    )
    place = open_destination(settings, "syndb", (told if told is not None else []).append)
    assert isinstance(place, RestDestination)
    if user is not None:
        place.login(user, SecretStr(PASSWORD))
        place.who_am_i()
        sandbox.script()  # counts of requests begin after this
    return place


def metadata(**other: Any) -> Metadata:
    fields: dict[str, Any] = {
        "id": uuid4(),
        "label": "A dataset",
        "notes": "Notes.",
        "data_license": 7,
        "license": "ODC_BY",
        "animal": 1,
        "animal_name": "MUS_MUSCULUS",
        "microscopy": "ssTEM",
        "brain_regions": ({"brain_structure": "hippocampus", "direction": "null"},),
        "syndb_tables": (AXON, NEURON),
    }
    return Metadata.model_validate(fields | other)


def parquet_of(path: Path, query: str) -> Path:
    duckdb.sql(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    return path


def package(
    folder: Path, dataset: UUID, rows: int = 100, *, other: dict[str, bytes] | None = None
) -> Package:
    """A tar with neurons and axons, or with `other` members."""
    queries = {
        "neuron": f"SELECT uuid() AS cid, i::DOUBLE AS voxel_volume FROM range({rows}) r(i)",
        "axon": (
            "SELECT uuid() AS cid, i::DOUBLE / 3 AS voxel_volume, i::INTEGER AS terminal_count"
            f" FROM range({rows}) r(i)"
        ),
    }
    members = other or {
        f"{name}.parquet": parquet_of(folder / f"made.{name}", query).read_bytes()
        for name, query in queries.items()
    }
    path = folder / f"{dataset}.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return Package(tar=FilePayload.of(path), rows=dict.fromkeys(queries, rows))


def statuses(sandbox: Sandbox, route: str) -> list[int]:
    return [request["status"] for request in sandbox.requests() if request["route"] == route]


def mesh(folder: Path, kind: FileKind = "mesh", content: bytes = b"") -> OutgoingFile:
    unit = uuid4()
    path = folder / f"a {kind} of {unit}"
    path.write_bytes(content or hashlib.shake_256(unit.bytes).digest(5000))
    read = path.read_bytes()
    return OutgoingFile(
        kind=kind, unit=unit, path=path, sha256=hashlib.sha256(read).hexdigest(), bytes=len(read)
    )
