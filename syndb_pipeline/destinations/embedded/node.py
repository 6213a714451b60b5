"""A SynDB node in a folder of this machine: datasets, owners, tables as Parquet, uploads, meshes
and skeletons.

Belongs here: storing and reading datasets so that readers and writers never see a half. Does not:
deciding what may be published.

One dataset is one folder, `<node>/datasets/<id>/`. Its `dataset.json` says all: metadata, owner,
uploads, and which files of `tables/` are the tables now. Table files are never changed, only added;
a write ends by renaming one new `dataset.json` over the old, so a reader has the dataset before the
upload or after it. Writers of one dataset wait for each other. As SynDB does, rows upsert by
(dataset, cid), pairs by their two ends, and `number_of_units` grows at each upload.

A deleted dataset's `dataset.json` stays as its tombstone. Its id can be registered again by the
same owner only: its UUIDs may have been cited, and nobody else may put other rows behind them.
"""

from __future__ import annotations

import getpass
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal
from uuid import UUID, uuid4

import duckdb
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from syndb_pipeline.base import engine
from syndb_pipeline.base.engine import flush
from syndb_pipeline.base.errors import (
    DestinationRefused,
    NotAPackage,
    NotPermitted,
    OutcomeUnknown,
    UnknownDataset,
)
from syndb_pipeline.base.progress import Progress, Watch, nobody
from syndb_pipeline.contract.tables import TABLES, ordered
from syndb_pipeline.destinations.archive import extract_tables
from syndb_pipeline.destinations.base import (
    DatasetInfo,
    Deletion,
    FailedFile,
    FileKind,
    Identity,
    Metadata,
    OutgoingFile,
    Package,
    StoredFiles,
    TableCheck,
    Upload,
    differences,
)
from syndb_pipeline.destinations.embedded.files import StoredFile, keep_file, stored_files
from syndb_pipeline.destinations.embedded.tables import (
    check_size,
    check_table,
    compare_table,
    count_rows,
    write_merged,
)
from syndb_pipeline.state.store import write_atomically

LOCK_SECONDS: Final = 600.0
"""How long a writer waits for another writer of the same dataset."""


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


def operating_system_user() -> str:
    """The user this process runs as; the number when the system knows no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # 3.11 raises KeyError, later versions OSError
        return f"uid-{os.getuid()}"


class EmbeddedNode:
    """The embedded destination (`base.Destination`).

    `owner` is who acts, a member of `groups`: owners and members of a dataset's authorised groups
    may upload to it, its owner alone may delete it (S). `repeats` says what becomes of the newest
    upload sent again: nothing, or counted once more as SynDB does (S). A table that announces more
    than `max_rows` rows, or `max_bytes` bytes once unpacked, is not read at all.
    """

    settle_seconds = 0.0

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
        self.owner = owner or operating_system_user()
        self.groups = groups
        self.repeats = repeats
        self.memory_limit = memory_limit
        self.threads = threads
        self.max_rows = max_rows
        self.max_bytes = max_bytes

    @property
    def target(self) -> str:
        # Not the folder's path: the same plan has the same digest wherever the node lies.
        return "embedded"

    def who_am_i(self) -> Identity:
        return Identity(id=self.owner, name=self.owner, verified=True)

    def register(self, metadata: Metadata) -> DatasetInfo:
        with self._writing(metadata.id) as folder:
            entry = _read(folder)
            if entry is not None:
                self._require_owner(entry)
                if entry.state == "present":
                    if found := differences(metadata, entry.metadata):
                        raise DestinationRefused(
                            f"Dataset {metadata.id} is at {self.name} with other metadata:\n"
                            + "\n".join(f"  {line}" for line in found),
                            next_step=(
                                "Give the config the metadata that are there, or delete the dataset"
                                " there and publish it anew."
                            ),
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
        return [
            info
            for info in self.all()
            if info.owner == self.owner or self.groups & set(info.metadata.authorized_group_names)
        ]

    def incomplete(self) -> list[DatasetInfo]:
        return [
            info
            for info in self.owned()
            if {TABLES[name].code for name in info.rows or {}} < set(info.metadata.syndb_tables)
        ]

    def all(self) -> list[DatasetInfo]:
        """Every dataset of the node, whoever owns it, by label."""
        entries = (_read(path) for path in (self.folder / "datasets").glob("*/"))
        present = [
            entry.info for entry in entries if entry is not None and entry.state == "present"
        ]
        return sorted(present, key=lambda info: (info.metadata.label, str(info.metadata.id)))

    def info(self, dataset: UUID) -> DatasetInfo | None:
        entry = _read(self._dataset(dataset))
        return entry.info if entry is not None and entry.state == "present" else None

    def table_files(self, dataset: UUID) -> dict[str, Path]:
        """The Parquet files of the dataset's tables, all of one moment. A file stays readable until
        the second upload after this call.
        """
        folder = self._dataset(dataset)
        entry = _read(folder)
        if entry is None or entry.state != "present":
            raise self._unknown(dataset)
        return {name: folder / "tables" / table.file for name, table in entry.tables.items()}

    def upload(self, dataset: UUID, package: Package, watch: Watch = nobody) -> Upload:
        tar = package.tar
        with self._changing(dataset) as (folder, entry):
            if (
                self.repeats == "ignored"
                and entry.uploads
                and entry.uploads[-1].tar_sha256 == tar.sha256
            ):
                return entry.uploads[-1]
            # An older upload of the same tar is no reason to stop: one in between may have replaced
            # its rows.
            if str(dataset) not in tar.name:
                raise NotAPackage(
                    f"{tar.name}: the name of a package must hold the dataset's id, {dataset}."
                )
            staging = folder / ".staging"
            staging.mkdir()
            sent = extract_tables(tar, staging)
            with self._duckdb(folder) as connection:
                for path in sent.values():
                    check_size(connection, path, max_rows=self.max_rows, max_bytes=self.max_bytes)
                rows = {name: check_table(connection, name, path) for name, path in sent.items()}
                merged = {
                    name: _merge(connection, folder / "tables", name, path, entry.tables.get(name))
                    for name, path in sent.items()
                }
            upload = Upload(
                tar_sha256=tar.sha256,
                bytes=tar.bytes,
                rows=rows,
                by=self.owner,
                at=datetime.now(UTC),
            )
            codes = tuple(
                sorted({*entry.metadata.syndb_tables, *(TABLES[name].code for name in sent)})
            )
            new = entry.model_copy(
                update={
                    "metadata": entry.metadata.model_copy(update={"syndb_tables": codes}),
                    "tables": {
                        name: (entry.tables | merged)[name]
                        for name in ordered({*entry.tables, *merged})
                    },
                    "uploads": (*entry.uploads, upload),
                    "number_of_units": entry.number_of_units + sum(rows.values()),
                }
            )
            _write(folder, new)
            # Files of the entry before stay for readers that have just read it.
            _keep_only(
                folder / "tables",
                {table.file for each in (entry, new) for table in each.tables.values()},
            )
            return upload

    def compare(self, dataset: UUID, package: Package) -> tuple[TableCheck, ...]:
        with self._changing(dataset) as (folder, entry):
            staging = folder / ".staging"
            staging.mkdir()
            sent = extract_tables(package.tar, staging)
            with self._duckdb(folder) as connection:
                held = {
                    name: folder / "tables" / table.file for name, table in entry.tables.items()
                }
                return tuple(
                    compare_table(connection, name, path, held.get(name))
                    for name, path in sent.items()
                )

    def lacking(self, dataset: UUID, files: Sequence[OutgoingFile]) -> list[OutgoingFile]:
        there = {(file.kind, file.unit): file.sha256 for file in self.stored(dataset)}
        return [file for file in files if there.get((file.kind, file.unit)) != file.sha256]

    def put_files(
        self, dataset: UUID, files: Sequence[OutgoingFile], watch: Watch = nobody
    ) -> list[FailedFile]:
        failed = []
        for done, file in enumerate(files, 1):
            try:
                self.put_file(dataset, file.kind, file.unit, file.path, file.sha256)
            except (NotAPackage, OSError) as error:
                failed.append(
                    FailedFile(
                        file=file,
                        reason=(
                            error.message if isinstance(error, NotAPackage) else str(error.strerror)
                        ),
                    )
                )
            watch(Progress(what="meshes and skeletons", done=done, total=len(files), unit="files"))
        return failed

    def put_file(
        self, dataset: UUID, kind: FileKind, unit: UUID, path: Path, sha256: str
    ) -> StoredFile:
        """Keep a copy of `path`, whose bytes must have the digest `sha256`, as the mesh or skeleton
        of the row `unit`.
        """
        with self._changing(dataset) as (folder, _):
            return keep_file(folder, kind, unit, path, sha256)

    def files(self, dataset: UUID) -> StoredFiles:
        stored = self.stored(dataset)
        return StoredFiles(count=len(stored), bytes=sum(file.bytes for file in stored))

    def stored(self, dataset: UUID, unit: UUID | None = None) -> list[StoredFile]:
        """The dataset's meshes and skeletons, or those of one row."""
        if self.info(dataset) is None:
            raise self._unknown(dataset)
        return stored_files(self._dataset(dataset), unit)

    def delete(self, dataset: UUID) -> Deletion:
        with self._changing(dataset) as (folder, entry):
            self._require_owner(entry)
            deletion = Deletion(
                dataset=dataset,
                label=entry.metadata.label,
                owner=entry.owner,
                rows=entry.info.rows,
                files=len(stored_files(folder)),
                uploads=entry.uploads,
                by=self.owner,
                at=datetime.now(UTC),
            )
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

    def _dataset(self, dataset: UUID) -> Path:
        return self.folder / "datasets" / str(dataset)

    def _unknown(self, dataset: UUID) -> UnknownDataset:
        return UnknownDataset(
            f"There is no dataset {dataset} at {self.name}.",
            next_step=(
                f"List those there are with: syndb-pipeline datasets --destination {self.name}"
            ),
        )

    def _require_owner(self, entry: _Entry) -> None:
        if entry.owner != self.owner:
            raise NotPermitted(
                f"Dataset {entry.metadata.id} at {self.name} belongs to {entry.owner}; you are"
                f" {self.owner}.",
                next_step="Ask its owner, or give your dataset an id of its own.",
            )

    def _require_writer(self, entry: _Entry) -> None:
        if not self.groups & set(entry.metadata.authorized_group_names):
            self._require_owner(entry)

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
                f"Another upload of dataset {dataset} has held {self.name} for"
                f" {LOCK_SECONDS:.0f} s.",
                next_step="Wait for it to end, then give the same command again.",
            ) from None
        try:
            folder = self._dataset(dataset)
            folder.mkdir(parents=True, exist_ok=True)
            flush(folder.parent)
            _sweep(folder, _read(folder))
            yield folder
        finally:
            shutil.rmtree(self._dataset(dataset) / ".staging", ignore_errors=True)
            lock.release()

    @contextmanager
    def _changing(self, dataset: UUID) -> Iterator[tuple[Path, _Entry]]:
        """The folder and entry of a dataset that is there and may be written to by us. Refused
        otherwise.
        """
        if not self._dataset(dataset).is_dir():
            raise self._unknown(dataset)
        with self._writing(dataset) as folder:
            entry = _read(folder)
            if entry is None or entry.state != "present":
                raise self._unknown(dataset)
            self._require_writer(entry)
            yield folder, entry

    @contextmanager
    def _duckdb(self, folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
        spill = folder / ".staging" / "spill"
        with engine.connect(
            memory_limit=self.memory_limit, threads=self.threads, spill=spill
        ) as connection:
            yield connection


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
        sent.replace(target)
    else:
        write_merged(connection, name, tables / before.file, sent, target)
    flush(tables)
    return _TableFile(file=target.name, rows=count_rows(connection, target))


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
    shutil.rmtree(folder / ".staging", ignore_errors=True)
    if entry is None or entry.state == "deleted":
        shutil.rmtree(folder / "tables", ignore_errors=True)
        shutil.rmtree(folder / "files", ignore_errors=True)
    for beside in folder.glob(".dataset.json.*"):
        beside.unlink()


def _keep_only(tables: Path, names: set[str]) -> None:
    for path in tables.iterdir():
        if path.name not in names:
            path.unlink()
