"""A SynDB behind its REST interface, as syndb-api-client 0.7.2 publishes it.

Belongs here: uploads, reading back, deleting, lists of datasets. Does not: HTTP (`session.py`),
accounts, refusals and new datasets (`client.py`), approval.

SynDB gives neither rows by table nor which uploads it took, and its upload has no idempotency key.
So `rows` and `uploads` are None, and an upload whose answer was lost is never sent again from here.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from syndb_pipeline.base import engine
from syndb_pipeline.base.errors import BadTable, NotAPackage, UnknownTable
from syndb_pipeline.base.progress import Watch, unwatched
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.destinations.archive import NotReadable, extract_tables, take_tables
from syndb_pipeline.destinations.base import (
    DatasetInfo,
    FailedFile,
    FileKind,
    OutgoingFile,
    Package,
    TableCheck,
    Upload,
)
from syndb_pipeline.destinations.http.bodies import FilePart
from syndb_pipeline.destinations.http.session import path_part
from syndb_pipeline.destinations.rest import RestDestination as RestSettings
from syndb_pipeline.destinations.rest.bodies import (
    Download,
    FileAddresses,
    Ids,
    UploadForm,
)
from syndb_pipeline.destinations.rest.client import IO, METADATA, RestClient
from syndb_pipeline.destinations.rest.files import Forms, lacking, put_files
from syndb_pipeline.destinations.tables import compare_table

_S3_INSTANCE: Final[dict[FileKind, int]] = {"mesh": 1, "swb": 2}
"""A file's kind as the route for downloads counts them (syndb-constants 0.17.0 `S3Instance`)."""

_NOT_OFFERED: Final = frozenset({403, 404, 405, 422, 501})
"""Answers of a route for downloads that mean: not to you, or not here."""

_REFUSALS: Final = {406: UnknownTable, 415: NotAPackage, 422: NotAPackage, 500: BadTable}
"""What an answer to an upload means."""


class RestDestination(RestClient):
    """The REST destination (`base.Destination`)."""

    # The contract (0.7.2) has groups that may change a dataset, none that alone may read it.
    keeps_access = False

    def __init__(
        self,
        name: str,
        config: RestSettings,
        settings: PipelineSettings,
        log: Callable[[str], None],
    ) -> None:
        super().__init__(name, config, log)
        self._location = config.location
        self._settings = settings
        self._scratch = settings.state / "downloads"
        self._forms: dict[UUID, Forms] = {}
        self._took: set[tuple[UUID, FileKind, UUID, str]] = set()

    # Datasets

    def owned(self) -> list[DatasetInfo]:
        return self.mine(self.modifiable())

    def modifiable(self) -> list[DatasetInfo]:
        path = f"{METADATA}/dataset/get/modifiable"
        return self.infos(self.get(Ids, path, "the datasets you may upload to").ids)

    def incomplete(self) -> list[DatasetInfo]:
        return self.mine(self.infos(self.labels("incomplete")))

    # Tables

    def upload(self, dataset: UUID, package: Package, watch: Watch = unwatched) -> Upload:
        me, tar = self.me, package.tar
        upload = Upload.of(package, me.id)  # nothing can fail after the server has taken the tar
        where = self._location
        query = {
            "upload_start_time": upload.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "continent": where.continent,
            "country_alpha2": where.country.upper(),
            "city": where.city,
            "top_mbps_up": "0",  # not measured
        }
        name = f"{dataset}.tar"
        part = FilePart("dataset_tar_file", name, "application/x-tar", tar, watch=watch)
        answer = self.session.send_file("PATCH", f"{IO}/{dataset}/upload", part, query=query)
        asked = f"to upload to dataset {dataset}"
        if kind := _REFUSALS.get(answer.status):
            raise kind(
                self.session.refused(answer, asked),
                next_step="What was sent passed every check here, so the server knows a rule that "
                "we do not. Report it with these words.",
            )
        self.good(answer, asked, dataset)
        return upload

    def compare(self, dataset: UUID, package: Package) -> tuple[TableCheck, ...]:
        scratch, settings = self._scratch / str(dataset), self._settings
        # Left by a process that was killed; publishing holds the dataset's lock.
        shutil.rmtree(scratch, ignore_errors=True)
        folders = there, sent = scratch / "there", scratch / "sent"
        for folder in folders:
            folder.mkdir(parents=True)
        try:
            tar = scratch / "downloaded.tar"
            asked = f"to read back dataset {dataset}"
            body = {"mapping": {str(dataset): list(package.rows)}}
            answer = self.session.ask("POST", f"{IO}/download_dataset", json=body, repeatable=True)
            if answer.status not in _NOT_OFFERED:
                self.good(answer, asked, dataset)
                url = self.read(Download, answer).download_url
                limit = shutil.disk_usage(scratch).free // 2
                answer = self.session.fetch(url, asked, into=tar, limit=limit)
            if not answer.good:
                return self._unseen(package, str(answer))
            held = take_tables(tar, there)
            tar.unlink()
            with engine.connect(
                memory_limit=settings.memory_limit,
                threads=settings.threads,
                spill=scratch / "spill",
            ) as connection:
                return tuple(
                    compare_table(connection, name, path, held.get(name), dataset)
                    for name, path in extract_tables(package.tar, sent).items()
                )
        except NotReadable as why:
            return self._unseen(package, f"what it gave cannot be read: {why}")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _unseen(self, package: Package, why: str) -> tuple[TableCheck, ...]:
        self.log_once(f"{self.name} does not let the rows be read back: {why}")
        return tuple(
            TableCheck(table=name, sent=rows, found=None, missing=None, doubled=None)
            for name, rows in package.rows.items()
        )

    # Meshes and skeletons

    def put_files(
        self, dataset: UUID, files: Sequence[OutgoingFile], watch: Watch = unwatched
    ) -> list[FailedFile]:
        def form(kind: FileKind) -> UploadForm:
            path = f"{IO}/{dataset}/upload_url/{path_part(kind)}"
            return self.get(UploadForm, path, f"to upload files of dataset {dataset}", dataset)

        def arrived(file: OutgoingFile) -> None:
            self._took.add((dataset, file.kind, file.unit, file.sha256))

        forms = self._forms.setdefault(dataset, Forms(form))
        return put_files(self.session, forms, files, watch, arrived)

    def lacking(self, dataset: UUID, files: Sequence[OutgoingFile]) -> list[OutgoingFile]:
        def addresses(kind: FileKind, units: list[UUID]) -> Sequence[str]:
            cids = {str(dataset): [str(unit) for unit in units]}
            body = {"target": _S3_INSTANCE[kind], "dataset_id_to_cids": cids}
            answer = self.session.ask("GET", f"{IO}/download_url", json=body)
            if answer.status in _NOT_OFFERED:
                raise NotReadable(str(answer))
            self.good(answer, f"to look for files of dataset {dataset}", dataset)
            found = self.read(FileAddresses, answer).dataset_id_to_download_metadata
            return found.get(dataset, ())

        try:
            return lacking(self.session, addresses, files, self._scratch / f"{dataset}.files")
        except NotReadable as why:
            # Then the object store's word on each file must do, as long as this process remembers
            # it.
            self.log_once(f"{self.name} does not let meshes and skeletons be seen: {why}")
            return [
                file
                for file in files
                if (dataset, file.kind, file.unit, file.sha256) not in self._took
            ]

    def files(self, dataset: UUID) -> None:
        """Unknown: no route says how many meshes and skeletons a dataset has."""
