"""A SynDB node in a folder of this machine: datasets, owners, tables as Parquet, uploads, meshes
and skeletons.

Belongs here: storing and reading datasets so that readers and writers never see a half. Does not:
what the rows of tables are (`tables.py`), deciding what may be published.

One dataset is one folder, `<node>/datasets/<id>/`. Its `dataset.json` says all: metadata, owner,
uploads, and which files of `tables/` are the tables now. Table files are never changed, only added;
a write ends by renaming one new `dataset.json` over the old, so a reader has the dataset before the
upload or after it. Writers of one dataset wait for each other. As SynDB does, rows upsert by
(dataset, cid), pairs by their two ends, and `number_of_units` grows at each upload.

A deleted dataset's `dataset.json` stays as its tombstone. Its id can be registered again by the
same owner only: its UUIDs may have been cited, and no other person may put other rows behind them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal
from uuid import UUID, uuid4

import duckdb
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from syndb_pipeline.base import engine
from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.base.engine import flush
from syndb_pipeline.base.errors import (
    DestinationRefused,
    NotAPackage,
    NotPermitted,
    OutcomeUnknown,
)
from syndb_pipeline.base.progress import Progress, Watch, unwatched
from syndb_pipeline.base.system import rename, user
from syndb_pipeline.contract.tables import TABLES, ordered
from syndb_pipeline.destinations.archive import extract_tables
from syndb_pipeline.destinations.base import (
    SUFFIX,
    DatasetInfo,
    Deletion,
    FailedFile,
    FileKind,
    Identity,
    Metadata,
    OutgoingFile,
    Package,
    Policy,
    StoredFiles,
    TableCheck,
    Upload,
    by_label,
    differences,
    unknown_dataset,
)
from syndb_pipeline.destinations.tables import (
    check_size,
    check_table,
    compare_table,
    count_rows,
    write_merged,
)
from syndb_pipeline.state.store import write_atomically

LOCK_SECONDS: Final = 600.0
"""How long a writer waits for another writer of the same dataset."""


@dataclass(frozen=True)
class StoredFile:
    """A mesh or skeleton in the node, by the UUID of its row; `path` is where its bytes are now."""

    kind: FileKind
    unit: UUID
    sha256: str
    bytes: int
    path: Path


class _TableFile(BaseModel):
    model_config = ConfigDict(frozen=True)

    file: str  # below `tables/`
    rows: int


class _Entry(BaseModel):
    """`dataset.json`: a dataset, or the tombstone of one."""

    model_config = ConfigDict(frozen=True)

    format: int = 1
    state: Literal["present", "deleted"] = "present"
    metadata: Metadata
    owner: str
    registered: datetime
    tables: dict[str, _TableFile] = {}
    uploads: tuple[Upload, ...] = ()
    number_of_units: int = 0
    deletions: tuple[Deletion, ...] = ()

    @property
    def info(self) -> DatasetInfo:
        return DatasetInfo(
            metadata=self.metadata,
            owner=self.owner,
            rows={name: table.rows for name, table in self.tables.items()},
            number_of_units=self.number_of_units,
            uploads=self.uploads,
            registered=self.registered,
        )


class EmbeddedNode:
    """The embedded destination (`base.Destination`).

    Args:
        name: The destination's name.
        folder: Where the node is.
        owner: Who acts: the operating system's user unless said otherwise. Owners and members of a
            dataset's authorised groups may upload to it, its owner alone may delete it (S).
        groups: Those that `owner` is a member of.
        repeats: What becomes of the newest upload sent again: nothing, or counted once more as
            SynDB does (S).
        memory_limit: Of DuckDB, in bytes.
        threads: Of DuckDB.
        max_rows: A table that announces more is not read at all.
        max_bytes: As `max_rows`, for a table's bytes once unpacked.
    """

    settle_seconds = 0.0
    keeps_access = False
    # Not the folder's path: the same plan has the same digest wherever the node is.
    target = "embedded"

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        owner: str = "",
        groups: frozenset[str] = frozenset(),
        repeats: Literal["ignored", "counted"] = "ignored",
        memory_limit: int,
        threads: int,
        max_rows: int | None = None,
        max_bytes: int | None = None,
    ) -> None:
        self.name = name
        self.folder = folder
        self.owner = owner or user()
        self.groups = groups
        self.repeats = repeats
        self.memory_limit = memory_limit
        self.threads = threads
        self.max_rows = max_rows
        self.max_bytes = max_bytes

    def who_am_i(self) -> Identity:
        return Identity(id=self.owner, name=self.owner, verified=True)

    # Datasets

    def register(self, metadata: Metadata, policy: Policy = "open") -> DatasetInfo:
        with self._writing(metadata.id) as folder:
            entry = _read(folder)
            if entry is not None:
                self._require_owner(entry)
            if entry is not None and entry.state == "present":
                if found := differences(metadata, entry.metadata):
                    raise DestinationRefused(
                        "\n  ".join(
                            [
                                f"Dataset {metadata.id} is at {self.name} with other metadata:",
                                *found,
                            ]
                        ),
                        next_step="Give the config the metadata that are there, or delete the "
                        "dataset there and publish it again.",
                    )
                return entry.info
            new = _Entry(
                metadata=metadata,
                owner=self.owner,
                registered=datetime.now(UTC),
                deletions=entry.deletions if entry is not None else (),
            )
            _write(folder, new)
            return new.info

    def owned(self) -> list[DatasetInfo]:
        return [info for info in self.all() if info.owner == self.owner]

    def modifiable(self) -> list[DatasetInfo]:
        return [info for info in self.all() if self._may_write(info.owner, info.metadata)]

    def incomplete(self) -> list[DatasetInfo]:
        return [
            info
            for info in self.owned()
            if {TABLES[name].code for name in info.rows or {}} < set(info.metadata.syndb_tables)
        ]

    def all(self) -> list[DatasetInfo]:
        """Every dataset of the node, whoever owns it, by label."""
        entries = (_present(folder) for folder in (self.folder / "datasets").glob("*/"))
        return by_label(entry.info for entry in entries if entry is not None)

    def info(self, dataset: UUID) -> DatasetInfo | None:
        entry = _present(self._dataset(dataset))
        return entry.info if entry is not None else None

    def delete(self, dataset: UUID) -> Deletion:
        with self._changing(dataset) as (folder, entry):
            self._require_owner(entry)
            deletion = Deletion.of(entry.info, self.files(dataset), self.owner)
            # The tombstone takes the dataset's place in one rename; what it pointed to goes after
            # that, at the latest with the next write.
            tombstone = _Entry(
                state="deleted",
                metadata=entry.metadata,
                owner=entry.owner,
                registered=entry.registered,
                deletions=(*entry.deletions, deletion),
            )
            _write(folder, tombstone)
            _sweep(folder, tombstone)
            return deletion

    def deletions(self, dataset: UUID) -> tuple[Deletion, ...]:
        entry = _read(self._dataset(dataset))
        return entry.deletions if entry is not None else ()

    # Tables

    def table_files(self, dataset: UUID) -> dict[str, Path]:
        """The Parquet files of the dataset's tables, all of one moment. A file stays readable until
        the second upload after this call."""
        folder = self._dataset(dataset)
        entry = _present(folder)
        if entry is None:
            raise unknown_dataset(dataset, self.name)
        return _held(folder, entry)

    def upload(self, dataset: UUID, package: Package, watch: Watch = unwatched) -> Upload:
        tar = package.tar
        with self._changing(dataset) as (folder, entry):
            newest = entry.uploads[-1] if entry.uploads else None
            if self.repeats == "ignored" and newest and newest.tar_sha256 == tar.sha256:
                return newest
            # An older upload of the same tar is no reason to stop: one in between may have replaced
            # its rows.
            if str(dataset) not in tar.name:
                raise NotAPackage(
                    f"{tar.name}: the name of a package must hold the dataset's id, {dataset}."
                )
            with self._extracted(folder, package) as (connection, sent):
                for path in sent.values():
                    check_size(connection, path, max_rows=self.max_rows, max_bytes=self.max_bytes)
                rows = {name: check_table(connection, name, path) for name, path in sent.items()}
                merged = {
                    name: _merge(connection, folder / "tables", name, path, entry.tables.get(name))
                    for name, path in sent.items()
                }
            upload = Upload.of(Package(tar=tar, rows=rows), self.owner)
            tables = entry.tables | merged
            codes = {*entry.metadata.syndb_tables, *(TABLES[name].code for name in sent)}
            known = {"syndb_tables": tuple(sorted(codes))}
            new = entry.model_copy(
                update={
                    "metadata": entry.metadata.model_copy(update=known),
                    "tables": {name: tables[name] for name in ordered(tables)},
                    "uploads": (*entry.uploads, upload),
                    "number_of_units": entry.number_of_units + sum(rows.values()),
                }
            )
            _write(folder, new)
            # Files of the entry before stay for readers that have just read it.
            _keep_only(
                folder / "tables", {*_held(folder, entry).values(), *_held(folder, new).values()}
            )
            return upload

    def compare(self, dataset: UUID, package: Package) -> tuple[TableCheck, ...]:
        with self._changing(dataset) as (folder, entry):
            held = _held(folder, entry)
            with self._extracted(folder, package) as (connection, sent):
                return tuple(
                    compare_table(connection, name, path, held.get(name))
                    for name, path in sent.items()
                )

    # Meshes and skeletons

    def lacking(self, dataset: UUID, files: Sequence[OutgoingFile]) -> list[OutgoingFile]:
        there = {(file.kind, file.unit, file.sha256) for file in self.stored(dataset)}
        return [file for file in files if (file.kind, file.unit, file.sha256) not in there]

    def put_files(
        self, dataset: UUID, files: Sequence[OutgoingFile], watch: Watch = unwatched
    ) -> list[FailedFile]:
        failed = []
        for done, file in enumerate(files, 1):
            try:
                self.put_file(dataset, file.kind, file.unit, file.path, file.sha256)
            except NotAPackage as error:
                failed.append(FailedFile(file=file, reason=error.message))
            except OSError as error:
                failed.append(FailedFile(file=file, reason=str(error.strerror)))
            watch(Progress(what="meshes and skeletons", done=done, total=len(files), unit="files"))
        return failed

    def put_file(
        self, dataset: UUID, kind: FileKind, unit: UUID, path: Path, sha256: str
    ) -> StoredFile:
        """Keep a copy of `path`, whose bytes must have the digest `sha256`, as the mesh or skeleton
        of the row `unit`, in the place of an earlier one."""
        with self._changing(dataset) as (folder, _):
            shelf = folder / "files" / kind
            target = shelf / f"{unit}.{sha256}{SUFFIX[kind]}"
            if not target.is_file():
                beside = folder / ".staging" / target.name
                for parent in (shelf, beside.parent):
                    parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, beside)
                if digest_file(beside) != sha256:
                    raise NotAPackage(
                        f"{path}: its bytes are not those announced.",
                        next_step="Run the package stage again.",
                    )
                flush(beside)
                rename(beside, target)
                flush(shelf)
            _keep_only(shelf, {target}, f"{unit}.*")
            return StoredFile(kind, unit, sha256, target.stat().st_size, target)

    def files(self, dataset: UUID) -> StoredFiles:
        stored = self.stored(dataset)
        return StoredFiles(count=len(stored), bytes=sum(file.bytes for file in stored))

    def stored(self, dataset: UUID, unit: UUID | None = None) -> list[StoredFile]:
        """The dataset's meshes and skeletons, or those of one row."""
        if self.info(dataset) is None:
            raise unknown_dataset(dataset, self.name)
        newest: dict[tuple[FileKind, UUID], tuple[int, StoredFile]] = {}
        for kind, suffix in SUFFIX.items():
            shelf = self._dataset(dataset) / "files" / kind
            for path in sorted(shelf.glob(f"{unit or ''}*{suffix}")):
                name, sha256, _ = path.name.split(".")
                state = path.stat()
                stored = StoredFile(kind, UUID(name), sha256, state.st_size, path)
                # Two of one unit: a replacement under way.
                if state.st_mtime_ns >= newest.get((kind, stored.unit), (0, stored))[0]:
                    newest[kind, stored.unit] = (state.st_mtime_ns, stored)
        return [stored for _, stored in newest.values()]

    # Who may, and one writer at a time

    def _dataset(self, dataset: UUID) -> Path:
        return self.folder / "datasets" / str(dataset)

    def _may_write(self, owner: str, metadata: Metadata) -> bool:
        return owner == self.owner or bool(self.groups & set(metadata.authorized_group_names))

    def _require_owner(self, entry: _Entry) -> None:
        if entry.owner != self.owner:
            raise NotPermitted(
                f"Dataset {entry.metadata.id} at {self.name} belongs to {entry.owner}; "
                f"you are {self.owner}.",
                next_step="Ask its owner, or give your dataset an id of its own.",
            )

    @contextmanager
    def _writing(self, dataset: UUID) -> Iterator[Path]:
        """The dataset's folder, held against other writers, with nothing of a write that died."""
        locks = self.folder / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / f"{dataset}.lock", timeout=LOCK_SECONDS)
        try:
            lock.acquire()
        except Timeout:
            raise OutcomeUnknown(
                f"Another upload of dataset {dataset} has held {self.name} for "
                f"{LOCK_SECONDS:.0f} s.",
                next_step="Wait for it to end, then give the same command again.",
            ) from None
        folder = self._dataset(dataset)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            flush(folder.parent)
            _sweep(folder, _read(folder))
            yield folder
        finally:
            shutil.rmtree(folder / ".staging", ignore_errors=True)
            lock.release()

    @contextmanager
    def _changing(self, dataset: UUID) -> Iterator[tuple[Path, _Entry]]:
        """The folder and entry of a dataset that is there and may be written to by us. Refused
        otherwise."""
        if not self._dataset(dataset).is_dir():
            raise unknown_dataset(dataset, self.name)
        with self._writing(dataset) as folder:
            entry = _present(folder)
            if entry is None:
                raise unknown_dataset(dataset, self.name)
            if not self._may_write(entry.owner, entry.metadata):
                self._require_owner(entry)
            yield folder, entry

    @contextmanager
    def _extracted(
        self, folder: Path, package: Package
    ) -> Iterator[tuple[duckdb.DuckDBPyConnection, dict[str, Path]]]:
        """DuckDB, and the tables of a package as files."""
        staging, limit = folder / ".staging", self.memory_limit
        staging.mkdir()
        sent, spill = extract_tables(package.tar, staging), staging / "spill"
        with engine.connect(memory_limit=limit, threads=self.threads, spill=spill) as connection:
            yield connection, sent


# Files of one dataset


def _held(folder: Path, entry: _Entry) -> dict[str, Path]:
    return {name: folder / "tables" / table.file for name, table in entry.tables.items()}


def _merge(
    connection: duckdb.DuckDBPyConnection,
    tables: Path,
    name: str,
    sent: Path,
    before: _TableFile | None,
) -> _TableFile:
    """Put the table with the sent rows into the folder `tables`; nothing points to it yet."""
    tables.mkdir(exist_ok=True)
    target = tables / f"{name}.{uuid4().hex}.parquet"
    if before is None:
        flush(sent)
        rename(sent, target)
    else:
        write_merged(connection, name, tables / before.file, sent, target)
    flush(tables)
    return _TableFile(file=target.name, rows=count_rows(connection, target))


def _present(folder: Path) -> _Entry | None:
    """The dataset of the folder; None when there is none, or it was deleted."""
    entry = _read(folder)
    return entry if entry is not None and entry.state == "present" else None


def _read(folder: Path) -> _Entry | None:
    path = folder / "dataset.json"
    try:
        return _Entry.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValidationError:
        raise DestinationRefused(
            f"{path}: not written by this program, or damaged.",
            next_step="Restore it from a backup.",
        ) from None


def _write(folder: Path, entry: _Entry) -> None:
    write_atomically(folder / "dataset.json", entry.model_dump_json(indent=1) + "\n")


def _sweep(folder: Path, entry: _Entry | None) -> None:
    """Remove what a write that died left, and the files of a dataset that was deleted."""
    gone = () if entry is not None and entry.state == "present" else ("tables", "files")
    for name in (".staging", *gone):
        shutil.rmtree(folder / name, ignore_errors=True)
    for beside in folder.glob(".dataset.json.*"):
        beside.unlink()


def _keep_only(folder: Path, files: set[Path], pattern: str = "*") -> None:
    for path in folder.glob(pattern):
        if path not in files:
            path.unlink()
