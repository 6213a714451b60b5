"""Datasets as folders of files that SynDB's own command line and web page take.

Belongs here: what is in such a folder, and publishing into it (`base.Destination`). Does not: how a
folder is replaced (`shelves.py`).

A folder holds what was exported last and nothing else. It is never taken from anybody: where a file
is in it that no export wrote, or that was changed since, nothing is done.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import duckdb
import jinja2
from pydantic import BaseModel, ConfigDict, ValidationError

from syndb_pipeline.base.digests import digest_of
from syndb_pipeline.base.engine import (
    connect,
    given,
    literal,
    parquet,
    quote,
    types_of,
    write_parquet,
)
from syndb_pipeline.base.errors import ConfigError, DestinationRefused, NotAPackage
from syndb_pipeline.base.progress import Watch, unwatched
from syndb_pipeline.base.system import user
from syndb_pipeline.base.tar_stream import FilePayload, Payload, TarPayload
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.contract.metadata import COLUMN
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
    unknown_dataset,
)
from syndb_pipeline.destinations.folder import Format, is_store
from syndb_pipeline.destinations.folder.shelves import AGAIN, MARKER, SUMS, Shelf, shelf_at
from syndb_pipeline.destinations.tables import compare_table
from syndb_pipeline.manifests import render
from syndb_pipeline.manifests.described import FileFolder, TableFile

_FOLDERS: Final[dict[FileKind, str]] = {"mesh": "meshes", "swb": "skeletons"}
_COLUMNS: Final = {kind: column for column, kind in COLUMN.items()}
_README: Final = "README.txt"
_LEFT_SECONDS: Final = 7 * 24 * 3600
_VERSION: Final = 1
"""Raised where the same package is written as other files."""


class Entry(BaseModel):
    """`syndb-export.json`: what a folder is of.

    `files` are its files by name with their digests: also meshes and skeletons that have still to
    come, and, with none, files that go. `made_from` is a digest of all that decides what they are.
    """

    model_config = ConfigDict(frozen=True)

    metadata: Metadata
    owner: str = ""
    registered: datetime | None = None
    made_from: str = ""
    files: dict[str, str] = {}
    rows: dict[str, int] = {}
    uploads: tuple[Upload, ...] = ()
    number_of_units: int = 0


def name_of(file: OutgoingFile) -> str:
    """The place of a mesh or skeleton in the folder."""
    return f"{_FOLDERS[file.kind]}/{file.unit}{SUFFIX[file.kind]}"


class ExportFolder:
    """A folder of exports (`base.Destination`), or one export.

    Args:
        name: The destination's name.
        place: A path, or an address in an object store.
        settings: Limits of memory and threads.
        format: Of the tables; a destination can compare those of Parquet only.
        alone: Whether `place` is that of a single dataset, and not of a folder for each.
        absolute: Whether tables name meshes and skeletons by their whole path.
    """

    settle_seconds = 0.0

    def __init__(
        self,
        name: str,
        place: str,
        settings: PipelineSettings,
        *,
        format: Format = "parquet",
        alone: bool = False,
        absolute: bool = False,
    ) -> None:
        self.name, self.place, self.leaves = name, place, is_store(place)
        self.target = place if self.leaves else "folder"
        self.keeps_access = not self.leaves
        self._settings, self._format = settings, format
        self._alone, self._absolute = alone, absolute

    # As a destination

    def who_am_i(self) -> Identity:
        return Identity(id=user(), name=user(), verified=True)

    def register(self, metadata: Metadata, policy: Policy = "open") -> DatasetInfo:
        shelf, entry = self._found(metadata.id)
        if entry is None:
            new = Entry(metadata=metadata, owner=user(), registered=datetime.now(UTC))
            entry = self._replace(shelf, new, {})
        return _info(shelf, entry)

    def owned(self) -> list[DatasetInfo]:
        home = shelf_at(self.place)
        inside = [home.below(name[: -len(MARKER) - 1]) for name in home.sizes(f"/{MARKER}")]
        found = ((shelf, _entry(shelf)) for shelf in inside)
        return by_label(_info(shelf, entry) for shelf, entry in found if entry)

    def modifiable(self) -> list[DatasetInfo]:
        return self.owned()

    def incomplete(self) -> list[DatasetInfo]:
        return [info for info in self.owned() if not info.rows]

    def info(self, dataset: UUID) -> DatasetInfo | None:
        shelf = self._shelf(dataset)
        return _info(shelf, entry) if (entry := _entry(shelf)) else None

    def delete(self, dataset: UUID) -> Deletion:
        shelf, entry = self._changing(dataset)
        deletion = Deletion.of(_info(shelf, entry), self.files(dataset), user())
        shelf.replace({}, unwatched)
        return deletion

    def deletions(self, dataset: UUID) -> tuple[Deletion, ...]:
        return ()

    def upload(self, dataset: UUID, package: Package, watch: Watch = unwatched) -> Upload:
        shelf, entry = self._changing(dataset)
        made_from, upload = self._made_from(package), Upload.of(package, user())
        newest = entry.uploads[-1:]
        if (made_from, package.rows) == (entry.made_from, _info(shelf, entry).rows) and newest:
            return newest[0]
        units = entry.number_of_units + sum(package.rows.values())
        uploads = (*entry.uploads, upload)
        update = {"made_from": made_from, "uploads": uploads, "number_of_units": units}
        new = entry.model_copy(update={**update, "rows": package.rows})
        announced = {name_of(file): file.sha256 for file in package.files}
        there = shelf.sizes()
        stay = {
            name: None
            for name, sha256 in announced.items()
            if name in there and entry.files[name] == sha256
        }
        with self._scratch() as scratch:
            made = self._made(shelf, package, scratch)
            self._replace(shelf, new, {**stay, **made}, announced, watch)
        return upload

    def compare(self, dataset: UUID, package: Package) -> tuple[TableCheck, ...]:
        shelf, _ = self._changing(dataset)
        there = shelf.sizes()
        with self._scratch() as scratch, self._duckdb(scratch) as connection:
            (copies := scratch / "copies").mkdir()
            return tuple(
                compare_table(
                    connection,
                    table,
                    sent.path,
                    shelf.fetch(name, copies) if (name := f"{table}.parquet") in there else None,
                )
                for table, sent in _tables(package.tar, scratch).items()
            )

    def lacking(self, dataset: UUID, files: Sequence[OutgoingFile]) -> list[OutgoingFile]:
        shelf, entry = self._changing(dataset)
        has = {(name, entry.files[name]) for name in shelf.sizes() if name in entry.files}
        return [file for file in files if (name_of(file), file.sha256) not in has]

    def put_files(
        self, dataset: UUID, files: Sequence[OutgoingFile], watch: Watch = unwatched
    ) -> list[FailedFile]:
        shelf, entry = self._changing(dataset)
        come = _payloads(file for file in files if _is_as_announced(file))
        stay = {name: None for name in shelf.sizes() if entry.files.get(name)}
        self._replace(shelf, entry, {**stay, **come}, entry.files, watch)
        why = "its bytes are not those announced"
        return [FailedFile(file=file, reason=why) for file in files if name_of(file) not in come]

    def files(self, dataset: UUID) -> StoredFiles:
        sizes = self._shelf(dataset).sizes().items()
        found = [size for name, size in sizes if name.partition("/")[0] in _FOLDERS.values()]
        return StoredFiles(count=len(found), bytes=sum(found))

    # As one export

    def export(
        self, package: Package, more: Mapping[str, Payload], watch: Watch = unwatched
    ) -> bool:
        """Have the folder hold the package, its meshes and skeletons, and `more` files by name.
        Returns whether anything had to be written. Raises `ConfigError` where a destination, or
        anything else, keeps its files there.
        """
        assert package.described is not None
        shelf, entry = self._found(package.described.metadata.id)
        if entry and entry.uploads:
            raise _refused(shelf, "a destination keeps a dataset in it")
        made_from = self._made_from(package, more)
        if entry and entry.made_from == made_from and shelf.is_whole():
            shelf.sweep()
            return False
        new = Entry(metadata=package.described.metadata, made_from=made_from, rows=package.rows)
        with self._scratch() as scratch:
            made = self._made(shelf, package, scratch)
            self._replace(shelf, new, {**made, **_payloads(package.files), **more}, watch=watch)
        return True

    # What is in a folder

    def _made_from(self, package: Package, more: Mapping[str, Payload] | None = None) -> str:
        assert package.described is not None
        beside = [(name_of(file), file.sha256) for file in package.files]
        beside += [(name, payload.sha256) for name, payload in (more or {}).items()]
        how = [_VERSION, self._format, self._absolute and self.place, package.tar.sha256]
        return digest_of([how, package.described.model_dump(mode="json"), sorted(beside)])

    def _made(self, shelf: Shelf, package: Package, scratch: Path) -> dict[str, FilePayload]:
        """The tables, what describes them, and what to do with them."""
        described, made, tables = package.described, dict[str, FilePayload](), []
        assert described is not None
        with self._duckdb(scratch) as connection:
            for table, sent in _tables(package.tar, scratch).items():
                name = f"{table}.{self._format}"
                made[name], columns = self._table(
                    connection, table, sent, package, scratch / name, shelf
                )
                size, sha256 = made[name].bytes, made[name].sha256
                tables.append(TableFile(table, name, size, sha256, package.rows[table], columns))
        folders = []
        for kind, folder in _FOLDERS.items():
            if sizes := [file.bytes for file in package.files if file.kind == kind]:
                text = f"{folder.capitalize()}, each named after the UUID of its row."
                folders.append(FileFolder(folder, text, SUFFIX[kind], len(sizes), sum(sizes)))
        template = (Path(__file__).parent / f"{_README}.jinja").read_text(encoding="utf-8")
        readme = jinja2.Template(template, trim_blocks=True, lstrip_blocks=True).render(
            described=described,
            tables=tables,
            folders=folders,
            absolute=self._absolute,
            parents=package.parents,
        )
        texts = render(described, tables, folders) | {_README: readme}
        return made | {name: _text(scratch / name, text) for name, text in texts.items()}

    def _table(
        self,
        connection: duckdb.DuckDBPyConnection,
        table: str,
        sent: FilePayload,
        package: Package,
        path: Path,
        shelf: Shelf,
    ) -> tuple[FilePayload, tuple[str, ...]]:
        """The file of a table, and its columns: as it is sent, or in another form, with the parents
        that are not sent and the names of meshes and skeletons.
        """
        columns, joins = [*types_of(sent.path)], ""
        files = [file for file in package.files if file.table == table]
        paths = sorted({_COLUMNS[file.kind] for file in files})
        named: dict[UUID, dict[str, str]] = {}
        for file in files:
            beside = f"{shelf.address}/" if self._absolute else ""
            named.setdefault(file.unit, {})[_COLUMNS[file.kind]] = beside + name_of(file)
        rows = [[str(unit), *map(names.get, paths)] for unit, names in named.items()]
        own = [f"t.{quote(column)}" for column in columns]
        parents = package.parents.get(table, ())
        if parents:
            ids, relations = (parquet(each.path) for each in parents)
            pairs = f"SELECT cid, parent_id FROM {ids} POSITIONAL JOIN {relations}"
            joins += f" LEFT JOIN ({pairs}) p ON p.cid = t.cid"
            columns.append("parent_id")
        if paths:
            joins += " LEFT JOIN named ON unit::UUID = t.cid"
            columns += paths
        if not joins and self._format == "parquet":
            return sent, tuple(columns)
        order = " ORDER BY file_row_number" if joins else ""
        query = (
            f"SELECT {', '.join([*own, *columns[len(own) :]])} FROM"
            f" {parquet(sent.path, row_number=True)} t{joins}{order}"
        )
        with given(connection, "named", dict.fromkeys(["unit", *paths], "VARCHAR"), rows):
            if self._format == "csv":
                connection.execute(f"COPY ({query}) TO {literal(str(path))} (FORMAT csv, HEADER)")
            else:
                write_parquet(connection, query, path, published=True)
        if any(each.proof() is None for each in (sent, *parents)):
            raise NotAPackage(f"{table} was prepared again meanwhile.", next_step=AGAIN)
        return FilePayload.of(path), tuple(columns)

    # Whose it is, and replacing it

    def _shelf(self, dataset: UUID) -> Shelf:
        shelf = shelf_at(self.place)
        return shelf if self._alone else shelf.below(str(dataset))

    def _found(self, dataset: UUID) -> tuple[Shelf, Entry | None]:
        """The folder of a dataset and what it is of; None where nothing is there. Refused where
        anything is there that is not of an export of this dataset, or was changed since.
        """
        shelf = self._shelf(dataset)
        there, entry = shelf.sizes(), _entry(shelf)
        if entry is None and there:
            raise _refused(shelf, "there are files in it that no export wrote", there)
        if entry and entry.metadata.id != dataset:
            raise _refused(shelf, f"it has the export of another dataset, {entry.metadata.id}")
        odd = [
            name
            for name in there.keys() - {MARKER, SUMS}
            if entry and shelf.digest(name) not in (None, entry.files.get(name))
        ]
        if odd:
            raise _refused(shelf, "these are not as they were exported", odd)
        return shelf, entry

    def _changing(self, dataset: UUID) -> tuple[Shelf, Entry]:
        shelf, entry = self._found(dataset)
        if entry is None:
            raise unknown_dataset(dataset, self.name)
        return shelf, entry

    def _replace(
        self,
        shelf: Shelf,
        entry: Entry,
        content: Mapping[str, Payload | None],
        announced: Mapping[str, str] | None = None,
        watch: Watch = unwatched,
    ) -> Entry:
        """Have the folder hold `content`, and be complete once it has what was `announced`."""
        digests = {n: each.sha256 if each else entry.files[n] for n, each in content.items()}
        whole = {name: sha256 for name, sha256 in (announced or {}).items() if sha256} | digests
        # Those that go are ours until they have gone.
        going = dict.fromkeys(shelf.sizes().keys() - {MARKER, SUMS}, "")
        entry = entry.model_copy(update={"files": going | whole})
        with self._scratch() as scratch:
            marker = _text(scratch / MARKER, entry.model_dump_json(indent=1) + "\n")
            files = {**content, MARKER: marker}
            if digests.keys() == whole.keys():
                named = sorted({**whole, MARKER: marker.sha256}.items())
                sums = "".join(f"{sha256}  {name}\n" for name, sha256 in named)
                files[SUMS] = _text(scratch / SUMS, sums)
            shelf.replace(files, watch)
        return entry

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        self._settings.state.mkdir(parents=True, exist_ok=True)
        for left in self._settings.state.glob(".export-*"):  # by one that was killed
            if time.time() - left.stat().st_mtime > _LEFT_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=self._settings.state, prefix=".export-") as folder:
            yield Path(folder)

    def _duckdb(self, scratch: Path) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        limit, threads = self._settings.memory_limit, self._settings.threads
        return connect(memory_limit=limit, threads=threads, spill=scratch / "spill")


def _entry(shelf: Shelf) -> Entry | None:
    content = shelf.read(MARKER)
    try:
        return None if content is None else Entry.model_validate_json(content)
    except ValidationError:
        raise DestinationRefused(
            f"{shelf.address}: its {MARKER} was not written by this program, or is damaged.",
            next_step="Restore it from a backup, or name another folder.",
        ) from None


def _info(shelf: Shelf, entry: Entry) -> DatasetInfo:
    tables = {name.partition(".")[0] for name in shelf.sizes()}
    return DatasetInfo(
        metadata=entry.metadata,
        owner=entry.owner,
        rows={name: count for name, count in entry.rows.items() if name in tables},
        number_of_units=entry.number_of_units,
        uploads=entry.uploads,
        registered=entry.registered,
    )


def _refused(shelf: Shelf, why: str, names: Iterable[str] = ()) -> ConfigError:
    listed = sorted(names)
    more = [f"and {len(listed) - 5} more"] if len(listed) > 5 else []
    return ConfigError(
        "\n  ".join([f"Nothing was written to {shelf.address}: {why}.", *listed[:5], *more]),
        next_step="Name another folder, or move away what is in it.",
    )


def _tables(tar: Payload, scratch: Path) -> dict[str, FilePayload]:
    if isinstance(tar, TarPayload):
        return {member.path.stem: member for member in tar.members}
    return {name: FilePayload.of(path) for name, path in extract_tables(tar, scratch).items()}


def _payload(file: OutgoingFile) -> FilePayload:
    return FilePayload(file.path, file.bytes, file.sha256)


def _payloads(files: Iterable[OutgoingFile]) -> dict[str, FilePayload]:
    return {name_of(file): _payload(file) for file in files}


def _is_as_announced(file: OutgoingFile) -> bool:
    return file.path.is_file() and _payload(file).proof() is not None


def _text(path: Path, text: str) -> FilePayload:
    path.write_text(text, encoding="utf-8")
    return FilePayload.of(path)
