"""The package's manifest: what `manifest.json` says.

Belongs here: its model, written by the package stage and read by publishing. Does not: making a
package (`package.py`), or deciding about it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from syndb_pipeline.base.tar_stream import FilePayload, TarPayload
from syndb_pipeline.contract.dataset import FileKind, Metadata
from syndb_pipeline.contract.tables import ordered
from syndb_pipeline.state.results import PackagedTable, PackagedTar, RowsSetAside
from syndb_pipeline.state.store import write_atomically

NAME = "manifest.json"
FOLDER = "tables"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class PackagedFile(_Frozen):
    """A mesh or skeleton that goes with a row; `path` as the lab wrote it, relative to the
    dataset's config."""

    kind: FileKind
    table: str
    cid: UUID
    path: str
    sha256: str
    bytes: int


class Packed(_Frozen):
    """What would be sent, and what it was made from."""

    tables: dict[str, PackagedTable]
    tar: PackagedTar
    files: tuple[PackagedFile, ...] = ()
    set_aside: dict[str, RowsSetAside] = {}
    terms: dict[str, Any] | None
    chain: dict[str, str]
    versions: dict[str, str]


class Manifest(Packed):
    """What the package stage made."""

    manifest_version: Literal[2] = 2
    set_aside: dict[str, RowsSetAside] = Field(default={}, exclude_if=lambda found: not found)
    dataset: Metadata
    verdict: str

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest in the package stage's folder."""
        return cls.model_validate_json((folder / NAME).read_text(encoding="utf-8"))

    def write(self, folder: Path) -> None:
        """Keep it there. Equal manifests have equal bytes."""
        content = self.model_dump(mode="json")
        text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True)
        write_atomically(folder / NAME, text + "\n")


def as_sent(package: Path, tar: PackagedTar, tables: Mapping[str, PackagedTable]) -> TarPayload:
    """The tar of the tables in the package stage's folder."""
    members = (
        FilePayload(package / FOLDER / f"{name}.parquet", tables[name].bytes, tables[name].sha256)
        for name in ordered(tables)
    )
    return TarPayload(tar.name, tuple(members))
