"""A dataset's metadata and the files beside its rows, as SynDB names them.

Belongs here: SynDB's `NewDatasetSchema` (syndb-api-client 0.7.2) and kinds of files. Does not: what
a lab writes in its config (`config/`), or what a destination answers.
"""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

FileKind = Literal["mesh", "swb"]
"""A file beside a row: its mesh (.glb) or its skeleton (.swc), under the names SynDB's upload route
has for them (C17 `S3DataType`)."""

SUFFIX: dict[FileKind, str] = {"mesh": ".glb", "swb": ".swc"}

COLUMN: dict[str, FileKind] = {"mesh_path": "mesh", "swc_path": "swb"}
"""The columns that name such files."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Region(_Frozen):
    brain_structure: str
    direction: str


class Mutation(_Frozen):
    gene: str
    expression: str


class Metadata(_Frozen):
    """A dataset's metadata as the package's manifest holds it.

    `data_license`, `animal` and `syndb_tables` are SynDB's codes; `license` and `animal_name` the
    same in words, for people.
    """

    id: UUID
    label: str
    notes: str
    data_license: int
    license: str
    animal: int
    animal_name: str
    microscopy: str
    brain_regions: tuple[Region, ...]
    mutations: tuple[Mutation, ...] = ()
    publication_dois: tuple[str, ...] = ()
    authorized_group_names: tuple[str, ...] = ()
    dataset_collection_names: tuple[str, ...] = ()
    syndb_tables: tuple[int, ...]
