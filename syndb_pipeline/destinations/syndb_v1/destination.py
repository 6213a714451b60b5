"""A SynDB of generation 2 as a destination.

Belongs here: sending tables. Does not: accounts and datasets (`client.py`), which routes there are
(`openapi.py`), what tables are called (`wire.py`).

What a second upload to a dataset does there is in no source, so a dataset that has rows gets none.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from syndb_pipeline.base import engine
from syndb_pipeline.base.errors import DestinationRefused
from syndb_pipeline.base.progress import Watch, unwatched
from syndb_pipeline.base.tar_stream import FilePayload, TarPayload
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.destinations.archive import extract_tables
from syndb_pipeline.destinations.base import (
    FailedFile,
    OutgoingFile,
    Package,
    TableCheck,
    Upload,
)
from syndb_pipeline.destinations.http.bodies import FilePart
from syndb_pipeline.destinations.syndb_v1 import SyndbV1Destination as Settings
from syndb_pipeline.destinations.syndb_v1.client import EXPORT, V1Client
from syndb_pipeline.destinations.syndb_v1.wire import NAMES, write_table

_NOT_TAKEN: Final = frozenset({400, 404, 405, 406, 413, 415, 422})


class SyndbV1(V1Client):
    """The destination of generation 2 (`base.Destination`)."""

    def __init__(
        self,
        name: str,
        config: Settings,
        settings: PipelineSettings,
        log: Callable[[str], None],
    ) -> None:
        super().__init__(name, config, log)
        self._settings = settings

    def upload(self, dataset: UUID, package: Package, watch: Watch = unwatched) -> Upload:
        route, me = self.upload_route(), self.me
        if rows := self.count(dataset):
            raise self.no_way(
                f"Dataset {dataset} has {rows:,} rows at {self.name}, and what a second upload "
                "does to them is not documented. Delete it there to publish it again"
            )
        upload = Upload.of(package, me.id)  # the package's own digest, which the plan has
        scratch, settings = self._settings.state / "uploads" / str(dataset), self._settings
        # Left by a process that was killed; publishing holds the dataset's lock.
        shutil.rmtree(scratch, ignore_errors=True)
        sent = scratch / "sent"
        sent.mkdir(parents=True)
        try:
            members = []
            with engine.connect(
                memory_limit=settings.memory_limit,
                threads=settings.threads,
                spill=scratch / "spill",
            ) as connection:
                for table, path in extract_tables(package.tar, scratch).items():
                    target = sent / f"{NAMES[table][0]}.parquet"
                    write_table(connection, table, path, target)
                    path.unlink()
                    members.append(FilePayload.of(target))
            tar = TarPayload(f"{dataset}.tar", tuple(members))
            part = FilePart(route.field, tar.name, "application/x-tar", tar, watch=watch)
            answer = self.session.send_file(route.method, route.of(dataset), part)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        asked = f"to upload to dataset {dataset}"
        if answer.status in _NOT_TAKEN:
            raise DestinationRefused(
                f"{self.session.refused(answer, asked)} No row arrived.",
                next_step=f"{EXPORT}\nThe dataset is registered there, and empty.",
            )
        self.good(answer, asked, dataset)
        return upload

    def compare(self, dataset: UUID, package: Package) -> tuple[TableCheck, ...]:
        """Nothing is read back: no source says how."""
        return tuple(
            TableCheck(table=name, sent=rows, found=None, missing=None, doubled=None)
            for name, rows in package.rows.items()
        )

    def lacking(self, dataset: UUID, files: Sequence[OutgoingFile]) -> list[OutgoingFile]:
        return list(files)

    def put_files(
        self, dataset: UUID, files: Sequence[OutgoingFile], watch: Watch = unwatched
    ) -> list[FailedFile]:
        """None is sent: no source has a route for them, so a plan with files stops before."""
        return [FailedFile(file=file, reason="no route is documented") for file in files]

    def files(self, dataset: UUID) -> None:
        """Unknown: no route says how many meshes and skeletons a dataset has."""
