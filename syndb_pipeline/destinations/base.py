"""What every destination can do, whatever it speaks: the one interface between publishing and a
SynDB.

Belongs here: the interface and the types that cross it. Does not: any wire format, any stage, any
decision about approval.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from syndb_pipeline.base.errors import UnknownDataset
from syndb_pipeline.base.progress import Watch, unwatched
from syndb_pipeline.base.tar_stream import FilePayload, Payload
from syndb_pipeline.config.description import Policy as Policy
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.config.yaml_file import Strict
from syndb_pipeline.contract.metadata import SUFFIX as SUFFIX
from syndb_pipeline.contract.metadata import FileKind as FileKind
from syndb_pipeline.contract.metadata import Metadata as Metadata
from syndb_pipeline.contract.metadata import Mutation as Mutation
from syndb_pipeline.contract.metadata import Region as Region
from syndb_pipeline.manifests.described import Described


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DestinationSettings(Strict, ABC):
    """What pipeline.yaml says of a destination; each kind has its own."""

    kind: str

    @property
    @abstractmethod
    def target(self) -> str:
        """`Destination.target` of what these open."""

    @property
    def replaces(self) -> bool:
        """Whether what is published takes the place of what was there, and not its rows alone."""
        return False

    @property
    def speaks(self) -> str:
        """Which interface, of which generation, and what it was tested against, for people."""
        return ""

    def cannot_send(self, tables: Collection[str], files: int) -> list[str]:
        """What of a package it has no place for, a reason each. Then nothing at all is sent.

        Args:
            tables: Of the package.
            files: How many meshes and skeletons belong to it.
        """
        return []

    @abstractmethod
    def located(self, state: Path, beside: Path | None) -> DestinationSettings:
        """The same with whole paths.

        `state` is the folder of the pipeline's state; `beside` the pipeline.yaml that names the
        destination, where it was only found beside a dataset, so that whoever wrote the dataset may
        have written it.
        """

    @abstractmethod
    def open(
        self, name: str, settings: PipelineSettings, log: Callable[[str], None]
    ) -> Destination:
        """The destination itself; `log` is called with what it does and waits for."""


class Identity(_Frozen):
    """Who a destination takes us for. `verified` is its word on academic status."""

    id: str
    name: str
    verified: bool


class Upload(_Frozen):
    """One tar that arrived: its digest, the rows it held by table, who sent it and when."""

    tar_sha256: str
    bytes: int
    rows: dict[str, int]
    by: str
    at: datetime

    @classmethod
    def of(cls, package: Package, by: str) -> Upload:
        """What an upload of the package that arrives now is. Reads the tar, for its digest."""
        tar, now = package.tar, datetime.now(UTC)
        return cls(tar_sha256=tar.sha256, bytes=tar.bytes, rows=package.rows, by=by, at=now)


class OutgoingFile(_Frozen):
    """A mesh or skeleton to send for the row `unit`, whose bytes must have the digest `sha256`."""

    kind: FileKind
    unit: UUID
    path: Path
    sha256: str
    bytes: int
    table: str = ""


class Package(_Frozen):
    """The tar to send, and its rows by table.

    A folder of files also needs what they are, the meshes and skeletons that will follow, with
    paths relative to the dataset's config, and, of tables whose `parent_id` SynDB's interface does
    not take, the files of its rows' UUIDs and of their parents, side by side.
    """

    tar: Payload
    rows: dict[str, int]
    files: tuple[OutgoingFile, ...] = ()
    described: Described | None = None
    parents: dict[str, tuple[FilePayload, FilePayload]] = {}


class FailedFile(_Frozen):
    """A mesh or skeleton that did not arrive, and why."""

    file: OutgoingFile
    reason: str


class StoredFiles(_Frozen):
    """Meshes and skeletons of a dataset at its destination."""

    count: int
    bytes: int


class Deletion(_Frozen):
    """What a deleted dataset was: kept for good, so that the history of an id can be seen.

    `rows` and `files` are None when the destination did not give them.
    """

    dataset: UUID
    label: str
    owner: str
    rows: dict[str, int] | None
    files: int | None
    uploads: tuple[Upload, ...]
    by: str
    at: datetime

    @classmethod
    def of(cls, info: DatasetInfo, files: StoredFiles | None, by: str) -> Deletion:
        """What a deletion of the dataset now takes."""
        return cls(
            dataset=info.metadata.id,
            label=info.metadata.label,
            owner=info.owner,
            rows=info.rows,
            files=files.count if files is not None else None,
            uploads=info.uploads or (),
            by=by,
            at=datetime.now(UTC),
        )


class DatasetInfo(_Frozen):
    """A dataset as its destination gives it.

    `number_of_units` grows by an upload's rows at each upload, as SynDB's does, so it is no count
    of rows; `rows` is, or None when the destination does not count by table. `uploads`, oldest
    first, is None when it does not say which tars it took. `new` is given by `register` alone: this
    very call created the dataset, so no other can have started to send to it. `unsaid` are fields
    of the metadata that the destination does not give; `access` says who may read the dataset, None
    when that is not known.
    """

    metadata: Metadata
    owner: str
    rows: dict[str, int] | None
    number_of_units: int
    uploads: tuple[Upload, ...] | None
    registered: datetime | None = None
    new: bool = False
    unsaid: tuple[str, ...] = ()
    access: str | None = None


class TableCheck(_Frozen):
    """One sent table held against what the destination has.

    `found` counts every row of the table there, earlier uploads' too; None when the destination
    does not let us read. `missing` counts sent rows that are not there as they were sent, `doubled`
    the rows there whose key another row has; None as `found`.
    """

    table: str
    sent: int
    found: int | None
    missing: int | None
    doubled: int | None = 0

    @property
    def whole(self) -> bool:
        """Whether every sent row was read and is there once, as it was sent."""
        return (
            self.found is not None
            and self.found >= self.sent
            and not self.missing
            and not self.doubled
        )


class Destination(Protocol):
    """A SynDB that datasets are published to.

    Every method may raise `DestinationRefused` (a no for good: unknown dataset, another owner, a
    broken tar) and `OutcomeUnknown` (no answer). Every method may be repeated: what is there
    already is not done twice.
    """

    @property
    def name(self) -> str:
        """Its name in pipeline.yaml."""
        ...

    @property
    def target(self) -> str:
        """What the name means, the same on every machine; a part of what is approved (an HTTP
        destination's address)."""
        ...

    @property
    def settle_seconds(self) -> float:
        """How long after an unanswered upload its rows may still appear; 0 when a destination is
        done once it stops answering."""
        ...

    @property
    def keeps_access(self) -> bool:
        """Whether it keeps a dataset from those whom its access policy leaves out."""
        ...

    def who_am_i(self) -> Identity: ...

    def register(self, metadata: Metadata, policy: Policy = "open") -> DatasetInfo:
        """Create the dataset, and the tags and collections it needs; the same dataset with the same
        metadata is given back as it is. `policy` says who may read it; nothing but "open" is asked
        of a destination that does not keep to it (`keeps_access`)."""
        ...

    def owned(self) -> list[DatasetInfo]:
        """The datasets of `who_am_i`, by label."""
        ...

    def modifiable(self) -> list[DatasetInfo]:
        """The datasets `who_am_i` may upload to: owned ones, and those of a group they are in; by
        label."""
        ...

    def incomplete(self) -> list[DatasetInfo]:
        """Those of `owned` that were registered with tables of which nothing arrived."""
        ...

    def info(self, dataset: UUID) -> DatasetInfo | None:
        """The dataset, or None when there is none (never was, or was deleted)."""
        ...

    def upload(self, dataset: UUID, package: Package, watch: Watch = unwatched) -> Upload:
        """Send a package. All of it arrives or nothing, as far as the destination keeps its word;
        `compare` sees.

        Raises `OutcomeUnknown` when the last byte may have arrived and no answer came. Never sends
        twice by itself after that.
        """
        ...

    def compare(self, dataset: UUID, package: Package) -> tuple[TableCheck, ...]:
        """Read back: each table of a package against what is there."""
        ...

    def lacking(self, dataset: UUID, files: Sequence[OutgoingFile]) -> list[OutgoingFile]:
        """Those of `files` that are not there with these very bytes."""
        ...

    def put_files(
        self, dataset: UUID, files: Sequence[OutgoingFile], watch: Watch = unwatched
    ) -> list[FailedFile]:
        """Send meshes and skeletons; each replaces an earlier one of its row. Returns those that
        did not arrive; the others did."""
        ...

    def files(self, dataset: UUID) -> StoredFiles | None:
        """How many meshes and skeletons the dataset has; None when the destination does not say."""
        ...

    def delete(self, dataset: UUID) -> Deletion:
        """Delete the dataset with all its rows and files, for good."""
        ...

    def deletions(self, dataset: UUID) -> tuple[Deletion, ...]:
        """Earlier lives of the id, oldest first; empty when the destination keeps no memory of
        them."""
        ...


def unknown_dataset(dataset: UUID, destination: str) -> UnknownDataset:
    """The refusal of a request about a dataset that a destination does not have."""
    return UnknownDataset(
        f"There is no dataset {dataset} at {destination}.",
        next_step=f"List those there are with: syndb-pipeline datasets --destination {destination}",
    )


def by_label(infos: Iterable[DatasetInfo]) -> list[DatasetInfo]:
    return sorted(infos, key=lambda info: (info.metadata.label, str(info.metadata.id)))


def differences(wanted: Metadata, found: Metadata, unsaid: Collection[str] = ()) -> list[str]:
    """In words, where the metadata at a destination differ from those wanted; empty when the
    dataset can be selected as it is. Fields that are `unsaid` there are not compared.

    `syndb_tables` may differ: a dataset grows by uploads of further tables (S: each upload adds).
    The order of regions, mutations, publications, groups and collections means nothing.
    """
    return [
        f"{name}: here {here}, there {there}"
        for name, here, there in changed_fields(wanted, found)
        if name not in unsaid
    ]


def changed_fields(wanted: Metadata, found: Metadata) -> list[tuple[str, str, str]]:
    """`differences` as names of fields with what each side has, shortened."""
    return [
        (name, _short(getattr(wanted, name)), _short(getattr(found, name)))
        for name in Metadata.model_fields
        if name != "syndb_tables"
        and _unordered(getattr(wanted, name)) != _unordered(getattr(found, name))
    ]


class Beside(_Frozen):
    """One field of a dataset's metadata, in words: at its destination (None: not said), and in the
    config (None: there is none); whether they differ."""

    field: str
    there: str | None
    here: str | None
    differs: bool


def side_by_side(info: DatasetInfo, wanted: Metadata | None) -> list[Beside]:
    """Each field that a person reads, there and in a config."""
    different = {name for name, *_ in changed_fields(wanted, info.metadata)} if wanted else set()
    return [
        Beside(
            field=name,
            there=None if name in info.unsaid else _short(getattr(info.metadata, name)),
            here=None if wanted is None else _short(getattr(wanted, name)),
            differs=name in different and name not in info.unsaid,
        )
        for name in Metadata.model_fields
        if name not in ("id", "data_license", "animal", "syndb_tables")
    ]


def _unordered(value: object) -> object:
    return frozenset(value) if isinstance(value, tuple) else value


def _short(value: object) -> str:
    if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        value = tuple(" ".join(item.model_dump().values()) for item in value)
    text = ", ".join(map(str, value)) or "nothing" if isinstance(value, tuple) else repr(str(value))
    text = "".join(
        c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:121]
    )  # another's words, on our terminal
    return text if len(text) <= 120 else text[:117] + "..."
