"""The package's manifest, read back with types.

Belongs here: what `manifest.json` says. Does not: writing it (`stages/package.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from syndb_pipeline.destinations.base import FileKind, Metadata

NAME = "manifest.json"


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True)


class PackagedTable(_Read):
    rows: int
    sha256: str
    bytes: int


class PackagedTar(_Read):
    name: str
    sha256: str
    bytes: int


class PackagedFile(_Read):
    """A mesh or skeleton that goes with a row; `path` as the lab wrote it, relative to the dataset's config."""

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
    terms: dict[str, Any] | None
    verdict: str
    chain: dict[str, str]
    versions: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest in the package stage's folder."""
        return cls.model_validate_json((folder / NAME).read_text(encoding="utf-8"))
