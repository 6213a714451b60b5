"""A SynDB behind its REST interface, as syndb-api-client 0.7.2 publishes it.

Belongs here: datasets, uploads, reading back. Does not: HTTP (`http.py`), accounts and refusals
(`rest_client.py`), approval.

SynDB tells neither rows by table nor which uploads it took, and its upload has no idempotency key.
So `rows` and `uploads` are None, and an upload whose answer was lost is never sent again from here.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from syndb_pipeline.base.errors import BadTable, NotAPackage, OutcomeUnknown, UnknownTable
from syndb_pipeline.base.progress import Watch, nobody
from syndb_pipeline.config.destination_settings import RestDestination as RestSettings
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.destinations.base import (
    DatasetInfo,
    Deletion,
    FailedFile,
    FileKind,
    Metadata,
    OutgoingFile,
    Package,
    StoredFiles,
    TableCheck,
    Upload,
)
from syndb_pipeline.destinations.rest.client import IO, METADATA, RestClient
from syndb_pipeline.destinations.rest.download import NotReadable, compare_download
from syndb_pipeline.destinations.rest.files import Forms, lacking, put_files
from syndb_pipeline.destinations.rest.http import path_part
from syndb_pipeline.destinations.rest.http_body import FilePart
from syndb_pipeline.destinations.rest.metadata import Download, FileAddresses, Ids, UploadForm
from syndb_pipeline.destinations.rest.register import register

S3_INSTANCE: Final[dict[FileKind, int]] = {"mesh": 1, "swb": 2}
"""A file's kind as the route for downloads counts them (syndb-constants 0.17.0 `S3Instance`)."""

_NOT_OFFERED: Final = frozenset({403, 404, 405, 422, 501})
"""Answers of a route for downloads that mean: not to you, or not here."""


class RestDestination(RestClient):
    """The REST destination (`base.Destination`). `say` hears what is created and what is waited
    for.
    """

    def __init__(
        self,
        name: str,
        config: RestSettings,
        settings: PipelineSettings,
        say: Callable[[str], None],
    ) -> None:
        super().__init__(name, config, say)
        self.settle_seconds = config.settle_seconds
        self._settings = settings
        self._forms: dict[UUID, Forms] = {}
        self._took: set[tuple[UUID, FileKind, UUID, str]] = set()
        self._said: set[str] = set()

    @property
    def target(self) -> str:
        return self.config.url

    # Datasets

    def register(self, metadata: Metadata) -> DatasetInfo:
        return register(self, metadata)

    def all(self) -> list[DatasetInfo]:
        """Every dataset of the server that it shows, whoever owns it, by label."""
        return self._infos(self.labels("all"))

    def owned(self) -> list[DatasetInfo]:
        me = self.who_am_i().id
        return [info for info in self.modifiable() if info.owner == me]

    def modifiable(self) -> list[DatasetInfo]:
        answer = self.session.ask("GET", f"{METADATA}/dataset/get/modifiable")
        self.good(answer, "the datasets you may upload to")
        return self._infos(self.read(Ids, answer).ids)

    def incomplete(self) -> list[DatasetInfo]:
        me = self.who_am_i().id
        return [info for info in self._infos(self.labels("incomplete")) if info.owner == me]

    def _infos(self, datasets: Iterable[UUID]) -> list[DatasetInfo]:
        with ThreadPoolExecutor(self.config.parallel_files) as pool:
            found = [
                info for info in pool.map(self.info, dict.fromkeys(datasets)) if info is not None
            ]
        return sorted(found, key=lambda info: (info.metadata.label, str(info.metadata.id)))

    def delete(self, dataset: UUID) -> Deletion:
        info = self.info(dataset)
        if info is None:
            raise self.unknown(dataset)
        me = self.me
        answer = self.session.ask("DELETE", f"{IO}/{dataset}/delete_dataset")
        if (
            answer.status != 404
        ):  # gone: by this request, whose first answer may have been lost, or by another
            self.good(answer, f"to delete dataset {dataset}", dataset)
        if self.info(dataset) is not None:
            raise OutcomeUnknown(
                f"{self.name} answered that dataset {dataset} is deleted, and still shows it.",
                next_step="Give the same command again in a while.",
            )
        return Deletion(
            dataset=dataset,
            label=info.metadata.label,
            owner=info.owner,
            rows=None,
            files=None,
            uploads=(),
            by=me.id,
            at=datetime.now(UTC),
        )

    def deletions(self, dataset: UUID) -> tuple[Deletion, ...]:
        return ()

    # Tables

    def upload(self, dataset: UUID, package: Package, watch: Watch = nobody) -> Upload:
        me = self.me
        # of a tar it is read from the disk: nothing that can fail comes after the server has taken
        # it
        sha256 = package.tar.sha256
        at, where = datetime.now(UTC), self.config.location
        query = {
            "upload_start_time": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "continent": where.continent,
            "country_alpha2": where.country.upper(),
            "city": where.city,
            "top_mbps_up": "0",  # not measured
        }
        part = FilePart(
            "dataset_tar_file", f"{dataset}.tar", "application/x-tar", package.tar, watch=watch
        )
        answer = self.session.send_file("PATCH", f"{IO}/{dataset}/upload", part, query=query)
        asked = f"to upload to dataset {dataset}"
        if kind := {406: UnknownTable, 415: NotAPackage, 422: NotAPackage, 500: BadTable}.get(
            answer.status
        ):
            raise kind(
                self.session.refused(answer, asked),
                next_step=(
                    "What was sent passed every check here, so the server knows a rule that we do"
                    " not. Report it with these words."
                ),
            )
        self.good(answer, asked, dataset)
        return Upload(
            tar_sha256=sha256, bytes=package.tar.bytes, rows=package.rows, by=me.id, at=at
        )

    def compare(self, dataset: UUID, package: Package) -> tuple[TableCheck, ...]:
        scratch = self._settings.state / "downloads" / str(dataset)
        shutil.rmtree(
            scratch, ignore_errors=True
        )  # of a process that was killed; publishing holds the dataset's lock
        scratch.mkdir(parents=True)
        try:
            tar = scratch / "downloaded.tar"
            asked = f"to read back dataset {dataset}"
            body = {"mapping": {str(dataset): list(package.rows)}}
            answer = self.session.ask("POST", f"{IO}/download_dataset", json=body, repeatable=True)
            if answer.status not in _NOT_OFFERED:
                self.good(answer, asked, dataset)
                url = self.read(Download, answer).download_url
                answer = self.session.fetch(
                    url, asked, into=tar, limit=shutil.disk_usage(scratch).free // 2
                )
            if not answer.good:
                return self._unseen(package, str(answer))
            limits = {
                "memory_limit": self._settings.memory_limit,
                "threads": self._settings.threads,
            }
            return compare_download(package, dataset, tar, scratch, **limits)
        except NotReadable as why:
            return self._unseen(package, f"what it gave cannot be read: {why}")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _unseen(self, package: Package, why: str) -> tuple[TableCheck, ...]:
        self._say_once(f"{self.name} does not let the rows be read back: {why}")
        return tuple(
            TableCheck(table=name, sent=rows, found=None, missing=None, doubled=None)
            for name, rows in package.rows.items()
        )

    # Meshes and skeletons

    def put_files(
        self, dataset: UUID, files: Sequence[OutgoingFile], watch: Watch = nobody
    ) -> list[FailedFile]:
        def form(kind: FileKind) -> UploadForm:
            answer = self.session.ask("GET", f"{IO}/{dataset}/upload_url/{path_part(kind)}")
            self.good(answer, f"to upload files of dataset {dataset}", dataset)
            return self.read(UploadForm, answer)

        forms = self._forms.setdefault(dataset, Forms(form))
        return put_files(
            self.session,
            forms,
            files,
            watch,
            lambda file: self._took.add((dataset, file.kind, file.unit, file.sha256)),
        )

    def lacking(self, dataset: UUID, files: Sequence[OutgoingFile]) -> list[OutgoingFile]:
        def addresses(kind: FileKind, units: list[UUID]) -> Sequence[str]:
            body = {
                "target": S3_INSTANCE[kind],
                "dataset_id_to_cids": {str(dataset): [str(unit) for unit in units]},
            }
            answer = self.session.ask("GET", f"{IO}/download_url", json=body)
            if answer.status in _NOT_OFFERED:
                raise NotReadable(str(answer))
            self.good(answer, f"to look for files of dataset {dataset}", dataset)
            return self.read(FileAddresses, answer).dataset_id_to_download_metadata.get(dataset, ())

        try:
            return lacking(
                self.session,
                addresses,
                files,
                self._settings.state / "downloads" / f"{dataset}.files",
            )
        except NotReadable as why:
            # Then the object store's word on each file must do, as long as this process remembers
            # it.
            self._say_once(f"{self.name} does not let meshes and skeletons be seen: {why}")
            return [
                file
                for file in files
                if (dataset, file.kind, file.unit, file.sha256) not in self._took
            ]

    def files(self, dataset: UUID) -> StoredFiles | None:
        return None

    def _say_once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self.say(line)
