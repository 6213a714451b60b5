"""What every destination can do, whatever it speaks: the one interface between publishing and a SynDB.

Belongs here: the interface and the types that cross it. Does not: any wire format, any stage, any decision about approval.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict

FileKind = Literal["mesh", "swb"]
"""A file beside a row: its mesh (.glb) or its skeleton (.swc), under the names SynDB's upload route has for them."""

SUFFIX: dict[FileKind, str] = {"mesh": ".glb", "swb": ".swc"}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Identity(_Frozen):
    """Who a destination takes us for. `verified` is its word on academic status."""

    id: str
    name: str
    verified: bool


class Region(_Frozen):
    brain_structure: str
    direction: str


class Mutation(_Frozen):
    gene: str
    expression: str


class Metadata(_Frozen):
    """A dataset's metadata as the package's manifest holds it: SynDB's `NewDatasetSchema` (syndb-api-client 0.7.2), names beside codes.

    `data_license`, `animal` and `syndb_tables` are SynDB's codes; `license` and `animal_name` the same in words, for people.
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


class Upload(_Frozen):
    """One tar that arrived: its digest, the rows it held by table, who sent it and when."""

    tar_sha256: str
    bytes: int
    rows: dict[str, int]
    by: str
    at: datetime


class StoredFile(_Frozen):
    """A mesh or skeleton at the destination, by the UUID of its row."""

    kind: FileKind
    unit: UUID
    sha256: str
    bytes: int


class Deletion(_Frozen):
    """What a deleted dataset was: kept for good, so that the history of an id can be seen."""

    dataset: UUID
    label: str
    owner: str
    rows: dict[str, int]
    files: int
    uploads: tuple[Upload, ...]
    by: str
    at: datetime


class DatasetInfo(_Frozen):
    """A dataset as its destination tells it.

    `number_of_units` grows by an upload's rows at each upload, as SynDB's does, so it is no count of rows; `rows` is. `uploads`, oldest
    first, is None when a destination does not tell which tars it took.
    """

    metadata: Metadata
    owner: str
    rows: dict[str, int]
    number_of_units: int
    uploads: tuple[Upload, ...] | None
    registered: datetime | None = None


class TableCheck(_Frozen):
    """One sent table held against what the destination has.

    `found` counts every row of the table there, earlier uploads' too. `missing` counts sent rows that are not there as they were sent;
    None when the destination cannot tell.
    """

    table: str
    sent: int
    found: int
    missing: int | None


class Destination(Protocol):
    """A SynDB that datasets are published to.

    Every method may raise `DestinationRefused` (a no for good: unknown dataset, another owner, a broken tar) and `OutcomeUnknown` (no
    answer). Every method may be repeated: what is there already is not done twice.
    """

    @property
    def name(self) -> str:
        """Its name in pipeline.yaml."""
        ...

    @property
    def target(self) -> str:
        """What the name stands for, the same on every machine; a part of what is approved (an HTTP destination's address)."""
        ...

    def who_am_i(self) -> Identity: ...

    def register(self, metadata: Metadata) -> DatasetInfo:
        """Create the dataset; the same dataset of the same owner with the same metadata is given back as it is."""
        ...

    def owned(self) -> list[DatasetInfo]:
        """The datasets of `who_am_i`, by label."""
        ...

    def incomplete(self) -> list[DatasetInfo]:
        """Those of `owned` that were registered with tables of which nothing arrived."""
        ...

    def info(self, dataset: UUID) -> DatasetInfo | None:
        """The dataset, or None when there is none (never was, or was deleted)."""
        ...

    def upload(self, dataset: UUID, tar: Path, sha256: str) -> Upload:
        """Send a package whose bytes must have the digest `sha256`. All of it arrives or nothing.

        The newest upload sent again changes nothing and is given back.
        """
        ...

    def compare(self, dataset: UUID, tar: Path) -> tuple[TableCheck, ...]:
        """Read back: each table of a package against what is there."""
        ...

    def put_file(self, dataset: UUID, kind: FileKind, unit: UUID, path: Path, sha256: str) -> StoredFile:
        """Send the mesh or skeleton of the row `unit`, whose bytes must have the digest `sha256`; it replaces an earlier one."""
        ...

    def files(self, dataset: UUID) -> list[StoredFile]: ...

    def delete(self, dataset: UUID) -> Deletion:
        """Delete the dataset with all its rows and files, for good."""
        ...

    def deletions(self, dataset: UUID) -> tuple[Deletion, ...]:
        """Earlier lives of the id, oldest first; empty when the destination keeps no memory of them."""
        ...


def differences(wanted: Metadata, found: Metadata) -> list[str]:
    """In words, where the metadata at a destination differ from those wanted; empty when the dataset can be selected as it is.

    `syndb_tables` may differ: a dataset grows by uploads of further tables (S: each upload adds).
    """
    return [
        f"{name}: here {_short(getattr(wanted, name))}, there {_short(getattr(found, name))}"
        for name in Metadata.model_fields
        if name != "syndb_tables" and getattr(wanted, name) != getattr(found, name)
    ]


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) or "nothing" if isinstance(value, tuple) else repr(str(value))
    return text if len(text) <= 120 else text[:117] + "..."
