"""The package's manifest, read back with types.

Belongs here: what `manifest.json` says. Does not: writing it (`stages/package.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from syndb_pipeline.base.tar_stream import FilePayload, TarPayload
from syndb_pipeline.contract.tables import ordered
from syndb_pipeline.destinations.base import FileKind, Metadata

NAME = "manifest.json"
FOLDER = "tables"


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True)


class PackagedTable(_Read):
    rows: int
    sha256: str
    bytes: int


class RowsSetAside(_Read):
    """Rows and unreadable lines of a table that were left out: `rows` of those `read`, `below` of
    them only for other rows' errors.
    """

    read: int
    rows: int
    below: int

    def __str__(self) -> str:
        wrong = self.rows - self.below
        why = [
            f"{wrong:,} wrong" if wrong else "",
            f"{self.below:,} below others" if self.below else "",
        ]
        return f"{self.rows:,} of {self.read:,} rows: {', '.join(part for part in why if part)}"


class PackagedTar(_Read):
    """The tar of all tables, put together while it is sent."""

    name: str
    bytes: int


class PackagedFile(_Read):
    """A mesh or skeleton that goes with a row; `path` as the lab wrote it, relative to the
    dataset's config.
    """

    kind: FileKind
    table: str
    cid: UUID
    path: str
    sha256: str
    bytes: int


class Manifest(_Read):
    """What the package stage made: metadata, tables, tar, files, and what it was made from."""

    dataset: Metadata
    tables: dict[str, PackagedTable]
    tar: PackagedTar
    files: tuple[PackagedFile, ...] = ()
    set_aside: dict[str, RowsSetAside] = {}
    terms: dict[str, Any] | None
    verdict: str
    chain: dict[str, str]
    versions: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest in the package stage's folder."""
        return cls.model_validate_json((folder / NAME).read_text(encoding="utf-8"))


def as_sent(package: Path, tar: PackagedTar, tables: Mapping[str, PackagedTable]) -> TarPayload:
    """The tar of the tables in the package stage's folder."""
    members = {
        name: FilePayload(package / FOLDER / f"{name}.parquet", table.bytes, table.sha256)
        for name, table in tables.items()
    }
    return TarPayload(tar.name, tuple(members[name] for name in ordered(members)))
