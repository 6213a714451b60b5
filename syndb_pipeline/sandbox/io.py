"""The routes that move data: upload, forms for meshes and skeletons, download links, delete, and
benchmark results.

Belongs here: those routes and who may use them. Does not: storing (the embedded node), S3's part
(`objects.py`), the tar of a download.

Not known of SynDB, and decided here: what a download's tar holds (see `downloads.py`); what
`download_url` tells of each file (its link).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import anyio.to_thread
import duckdb
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from syndb_constants.dataset import S3Instance

from syndb_pipeline.base.errors import (
    DestinationRefused,
    NotAPackage,
    NotPermitted,
    PipelineError,
    UnknownDataset,
    UnknownTable,
)
from syndb_pipeline.base.tar_stream import FilePayload
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.destinations.base import FileKind, Package
from syndb_pipeline.sandbox.backend import (
    Backend,
    about_dataset,
    backend_of,
    current_user,
    in_thread,
    may_write,
    require_dataset,
    verified_user,
)
from syndb_pipeline.sandbox.downloads import download_link
from syndb_pipeline.sandbox.multipart import BadForm, ReceivedFile, TooLarge, receive_form
from syndb_pipeline.sandbox.schemas import (
    DeleteQuery,
    DownloadBenchmark,
    FilesOfUnits,
    TablesOfDatasets,
    UploadQuery,
)
from syndb_pipeline.sandbox.users import User
from syndb_pipeline.sandbox.wire import Refusal, answer, invalid, json_body, path_uuid, query

IO: Final = "/neurodata/io"
BENCHMARK: Final = "/neurodata/benchmark"
FILE_FIELD: Final = "dataset_tar_file"

_FORM_SLACK: Final = 200_000
"""Bytes of a form beside its file."""


async def upload(request: Request) -> Response:
    """Take a tar in. It is taken in once its last byte is here, whether or not the client waits for
    the answer.
    """
    user = verified_user(request)
    dataset = path_uuid(request)
    said = query(request, UploadQuery)
    backend = backend_of(request)
    await in_thread(_require_writer, backend, dataset, user)

    def check_name(_: Mapping[str, str], name: str) -> None:
        if str(dataset) not in name.lower():
            raise Refusal(
                415, _about_file(f"The file's name must hold the dataset's id, {dataset}.", name)
            )

    limit = backend.limits.upload_bytes
    try:
        # Called by the dataset's id, as the node wants it; the sender's name for it never becomes a
        # path.
        async with receive_form(
            request,
            file_field=FILE_FIELD,
            name=f"{dataset}.tar",
            folder=backend.incoming,
            limit=limit + _FORM_SLACK,
            before_file=check_name,
        ) as form:
            if form.file is None:
                raise invalid((("body", FILE_FIELD), "Field required", "missing"))
            await anyio.to_thread.run_sync(
                _take_in, backend, user, dataset, form.file, limiter=backend.heavy
            )
            await in_thread(backend.catalogue.note_upload, _benchmark(said, form.file.bytes))
    except BadForm as error:
        raise invalid((("body", FILE_FIELD), str(error), "value_error")) from None
    except TooLarge:
        raise Refusal(413, f"The upload is larger than {limit:,} bytes.") from None
    return Response(status_code=204)


async def form_for_meshes(request: Request) -> Response:
    return await _form(request, "mesh")


async def form_for_skeletons(request: Request) -> Response:
    return await _form(request, "swb")


async def _form(request: Request, kind: FileKind) -> Response:
    user = verified_user(request)
    dataset = path_uuid(request)
    backend = backend_of(request)
    info = await in_thread(require_dataset, backend, dataset)
    if not may_write(info, user):
        raise Refusal(403, "This dataset belongs to somebody else.")
    return answer(await in_thread(backend.objects.form, user.id, dataset, kind), 201)


async def download_dataset(request: Request) -> Response:
    """A link to a tar of tables. Anybody may have one, as anybody may read a dataset."""
    wanted = (await json_body(request, TablesOfDatasets)).mapping
    backend = backend_of(request)
    tables = {
        dataset: [_table(dataset, place, text) for place, text in enumerate(texts)]
        for dataset, texts in wanted.items()
    }
    await in_thread(lambda: [require_dataset(backend, dataset) for dataset in tables])
    return answer({"download_url": download_link(backend, tables)})


async def download_url(request: Request) -> Response:
    """Links to meshes or skeletons, for those of the units that have one. The contract has it as a
    GET with a JSON body.
    """
    wanted = await json_body(request, FilesOfUnits)
    backend = backend_of(request)
    kind: FileKind = "mesh" if wanted.target is S3Instance.MESH else "swb"

    def links() -> dict[str, list[str]]:
        for dataset in wanted.dataset_id_to_cids:
            require_dataset(backend, dataset)
        return {
            str(dataset): list(backend.objects.urls(dataset, kind, units).values())
            for dataset, units in wanted.dataset_id_to_cids.items()
        }

    return answer({"dataset_id_to_download_metadata": await in_thread(links)}, 201)


async def delete_dataset(request: Request) -> Response:
    user = current_user(request)
    dataset = path_uuid(request)
    override = query(request, DeleteQuery).superuser_override
    await in_thread(_delete, backend_of(request), dataset, user, override)
    return Response(status_code=204)


async def upload_benchmarks(request: Request) -> Response:
    current_user(request)
    return answer({"data": list(backend_of(request).catalogue.uploads)})


async def download_benchmarks(request: Request) -> Response:
    current_user(request)
    return answer({"data": list(backend_of(request).catalogue.downloads)})


async def new_download_benchmark(request: Request) -> Response:
    current_user(request)
    result = await json_body(request, DownloadBenchmark)
    await in_thread(backend_of(request).catalogue.note_download, result.model_dump(mode="json"))
    return answer(None, 201)


def _require_writer(backend: Backend, dataset: UUID, user: User) -> None:
    if not may_write(require_dataset(backend, dataset), user):
        raise Refusal(
            403,
            about_dataset(
                "This dataset belongs to somebody else, and you are in none of its groups.", dataset
            ),
        )


def _take_in(backend: Backend, user: User, dataset: UUID, file: ReceivedFile) -> None:
    """Give the tar to the node; what the node refuses becomes the status that the contract has for
    it.
    """
    try:
        backend.node(user.id).upload(
            dataset, Package(tar=FilePayload(file.path, file.bytes, file.sha256), rows={})
        )
    except NotAPackage as error:
        raise Refusal(415, _about_file(error.message, file.name)) from None
    except UnknownTable as error:
        raise Refusal(406, _about_file(str(error), file.name)) from None
    except NotPermitted:  # the group was left, or the dataset deleted, while the body came
        raise Refusal(
            403, about_dataset("This dataset belongs to somebody else.", dataset)
        ) from None
    except UnknownDataset:
        raise Refusal(404, about_dataset("There is no such dataset.", dataset)) from None
    except PipelineError as error:  # a bad table, above all
        raise Refusal(500, _without_paths(error.message)) from None
    except duckdb.OutOfMemoryException:
        raise Refusal(500, "The server has too little memory for this table.") from None
    except OSError as error:
        raise Refusal(500, f"The server cannot keep this: {error.strerror}.") from None


def _delete(backend: Backend, dataset: UUID, user: User, override: bool) -> None:
    info = require_dataset(backend, dataset)
    owner = UUID(info.owner)
    if owner != user.id and not (override and user.superuser):
        raise Refusal(403, about_dataset("Only its owner may delete a dataset.", dataset))
    try:
        backend.node(owner).delete(dataset)
    except DestinationRefused:  # another request was faster
        raise Refusal(404, about_dataset("There is no such dataset.", dataset)) from None
    backend.objects.forget(dataset)
    backend.catalogue.forget(dataset)


def _table(dataset: UUID, place: int, text: str) -> str:
    """A table by its name, or its code as text. Raises `Refusal` 422."""
    for name, table in TABLES.items():
        if text in (name, str(table.code)):
            return name
    raise invalid(
        (
            ("body", "mapping", str(dataset), place),
            "It is not the name or code of a SynDB table",
            "value_error",
        )
    )


def _about_file(message: str, name: str) -> dict[str, str]:
    """`detail` of a `FileErrorModel`."""
    return {"message": _without_paths(message), "name": name[:255]}


def _without_paths(message: str) -> str:
    """The message without folders of this machine; a file keeps its name."""
    return re.sub(r"(?:/[^\s/'\"]+)+/([^\s/'\"]+)", r"\1", message)


def _benchmark(said: UploadQuery, size: int) -> dict[str, Any]:
    now = datetime.now(UTC)
    start = (
        said.upload_start_time
        if said.upload_start_time.tzinfo
        else said.upload_start_time.replace(tzinfo=UTC)
    )
    seconds = max((now - start).total_seconds(), 0.001)
    return {
        "creation_datetime": now.isoformat(),
        "payload_byte_size": size,
        "speed": int(size / seconds),
        "interval": f"PT{seconds:.3f}S",
        "continent": said.continent,
        "country_alpha2": said.country_alpha2,
        "city": said.city,
    }


def routes() -> list[BaseRoute]:
    return [
        Route(f"{IO}/download_dataset", download_dataset, methods=["POST"]),
        Route(f"{IO}/download_url", download_url, methods=["GET"]),
        Route(f"{IO}/{{dataset_id}}/upload", upload, methods=["PATCH"]),
        Route(f"{IO}/{{dataset_id}}/upload_url/mesh", form_for_meshes, methods=["GET"]),
        Route(f"{IO}/{{dataset_id}}/upload_url/swb", form_for_skeletons, methods=["GET"]),
        Route(f"{IO}/{{dataset_id}}/delete_dataset", delete_dataset, methods=["DELETE"]),
        Route(
            f"{BENCHMARK}/neurodata_upload_benchmark_results", upload_benchmarks, methods=["GET"]
        ),
        Route(
            f"{BENCHMARK}/neurodata_download/benchmark_results",
            download_benchmarks,
            methods=["GET"],
        ),
        Route(
            f"{BENCHMARK}/neurodata_download/upload_benchmark_result",
            new_download_benchmark,
            methods=["POST"],
        ),
    ]
