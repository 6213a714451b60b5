"""The meshes and skeletons of a dataset in an embedded node: files called `<unit>.<digest><suffix>`
in `files/mesh` and `files/swb`.

Belongs here: keeping and finding them. Does not: who may (`embedded.py`), or what they hold.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict

from syndb_pipeline.base.engine import flush
from syndb_pipeline.base.errors import NotAPackage
from syndb_pipeline.destinations.base import SUFFIX, FileKind


class StoredFile(BaseModel):
    """A mesh or skeleton in the node, by the UUID of its row; `path` is where its bytes are now."""

    model_config = ConfigDict(frozen=True)

    kind: FileKind
    unit: UUID
    sha256: str
    bytes: int
    path: Path


def keep_file(folder: Path, kind: FileKind, unit: UUID, path: Path, sha256: str) -> StoredFile:
    """Keep a copy of `path` in the dataset's `folder`, in the place of an earlier one of the same
    row.

    Raises `NotAPackage` when its bytes do not have the digest `sha256`.
    """
    shelf = folder / "files" / kind
    shelf.mkdir(parents=True, exist_ok=True)
    target = shelf / f"{unit}.{sha256}{SUFFIX[kind]}"
    if not target.is_file():
        staging = folder / ".staging"
        staging.mkdir(exist_ok=True)
        beside = staging / uuid4().hex
        if _copy(path, beside) != sha256:
            raise NotAPackage(
                f"{path}: its bytes are not those announced.",
                next_step="Run the package stage again.",
            )
        beside.replace(target)
        flush(shelf)
    for older in shelf.glob(f"{unit}.*"):
        if older != target:
            older.unlink()
    return StoredFile(kind=kind, unit=unit, sha256=sha256, bytes=target.stat().st_size, path=target)


def stored_files(folder: Path, unit: UUID | None = None) -> list[StoredFile]:
    """Meshes and skeletons, or those of one unit, from their names `<unit>.<digest><suffix>`.

    Of two of a kind for one unit (a replacement under way), the newer.
    """
    newest: dict[tuple[FileKind, UUID], tuple[int, StoredFile]] = {}
    for kind, suffix in SUFFIX.items():
        for path in sorted((folder / "files" / kind).glob(f"{unit or ''}*{suffix}")):
            name, sha256, _ = path.name.split(".")
            state = path.stat()
            stored = StoredFile(
                kind=kind, unit=UUID(name), sha256=sha256, bytes=state.st_size, path=path
            )
            if state.st_mtime_ns >= newest.get((kind, stored.unit), (0, stored))[0]:
                newest[kind, stored.unit] = (state.st_mtime_ns, stored)
    return [stored for _, stored in newest.values()]


def _copy(source: Path, target: Path) -> str:
    """Copy a file and flush it; the digest of what was copied."""
    digest = hashlib.sha256()
    with source.open("rb") as read, target.open("xb") as written:
        while piece := read.read(1 << 20):
            digest.update(piece)
            written.write(piece)
        written.flush()
        os.fsync(written.fileno())
    return digest.hexdigest()
