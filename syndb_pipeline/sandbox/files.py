"""The routes that move data: upload, download, deletion, benchmark results; meshes and skeletons as
S3 takes and gives them.

Belongs here: those routes, what they take and give, who may use them. Does not: storing (the
embedded node).

Not known of SynDB, and decided here: what `download_url` gives for each file (its link), and what a
download's tar holds: one `<dataset id>/<table>.parquet` for each table asked for that has rows, its
first column `dataset_id`, as SynDB adds it to every row. A table that was never uploaded is not in
it. As S3, the routes of objects look at the signed policy and never into a file. The bucket's path
is `/objects/<mesh|swb>`; a file's key is `<dataset id>/<unit id>.<glb|swc>`.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from html import escape
from io import BufferedReader
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Any, BinaryIO, Final, Literal, cast
from uuid import UUID, uuid4

import anyio
import anyio.to_thread
import duckdb
from fastapi import APIRouter, HTTPException, Query, Request, UploadFile
from fastapi.responses import FileResponse, Response, StreamingResponse
from itsdangerous import BadData, SignatureExpired
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field
from starlette.exceptions import HTTPException as BadBody
from syndb_constants.dataset import S3Instance

from syndb_pipeline.base import engine
from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.base.engine import flush, parquet, write_parquet
from syndb_pipeline.base.errors import DestinationRefused, NotAPackage, UnknownTable
from syndb_pipeline.base.tar_stream import FilePayload
from syndb_pipeline.contract.metadata import printable
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.destinations.base import SUFFIX, FileKind, Package
from syndb_pipeline.sandbox.backend import (
    KEPT_BENCHMARKS,
    Backend,
    CurrentUser,
    Here,
    User,
    VerifiedUser,
    invalid,
    may_write,
    without_paths,
)
from syndb_pipeline.sandbox.fault_script import OBJECTS
from syndb_pipeline.sandbox.metadata import Ids, no_truth
from syndb_pipeline.state.store import link_or_copy

IO: Final = "/neurodata/io"
BENCHMARK: Final = "/neurodata/benchmark"
TAR: Final = f"{OBJECTS}/tables/syndb_download.tar"
PIECE: Final = 1 << 20
CONTENT_TYPES: Final[dict[FileKind, str]] = {
    "mesh": "model/gltf-binary",
    "swb": "application/octet-stream",
}
"""What a form is signed for. The contract has the mesh's; the skeleton's is not known."""

FILENAME: Final = "${filename}"
"""What S3 replaces in a form's key by the name of the file that is sent."""

Country = Annotated[str, Field(pattern=r"^\w{2}$")]
Place = Annotated[str, Field(max_length=200), AfterValidator(printable)]  # ours

uploads = APIRouter()
"""The one route whose body may be large."""

router = APIRouter()


class UploadQuery(BaseModel):
    """What must be said with every upload."""

    upload_start_time: datetime
    continent: Place
    country_alpha2: Country
    city: Place
    top_mbps_up: Annotated[int, Field(ge=-(2**31), lt=2**31)]


class UploadForm(BaseModel):
    """`PreSignedS3UploadUrlSchema`: where to post to, and the fields to send before the file."""

    upload_url: str
    fields: dict[str, str]


class TablesOfDatasets(BaseModel):
    """`DatasetId2SyndbTables`: names or codes of tables, as text."""

    mapping: Annotated[
        dict[UUID, Annotated[tuple[str, ...], Field(max_length=100)]],
        Field(min_length=1, max_length=100),
    ]  # ours


class FilesOfUnits(BaseModel):
    """`S3PreSignedDownloadRequest`."""

    target: Annotated[S3Instance, BeforeValidator(no_truth)]
    dataset_id_to_cids: Annotated[dict[UUID, Ids], Field(max_length=100)]  # ours


class UploadBenchmark(BaseModel):
    """`DatasetUploadBenchmarkResultSchema`; `interval` is an ISO 8601 duration."""

    creation_datetime: datetime
    payload_byte_size: int
    speed: int
    interval: Annotated[str, Field(max_length=100)]
    continent: Place | None
    country_alpha2: Country | None
    city: Place | None


class DownloadBenchmark(UploadBenchmark):
    """`NeurodataDownloadBenchmarkResultSchema`."""

    dataset_ids: Ids


@uploads.patch(f"{IO}/{{dataset_id}}/upload", status_code=204)
async def upload(
    dataset_id: UUID,
    query: Annotated[UploadQuery, Query()],
    dataset_tar_file: UploadFile,
    user: VerifiedUser,
    backend: Here,
) -> None:
    """Take a tar in. It is taken in once its last byte is here, whoever waits for the answer."""
    await anyio.to_thread.run_sync(
        _take_in, backend, user, dataset_id, dataset_tar_file, limiter=backend.heavy
    )
    now, start = datetime.now(UTC), query.upload_start_time
    start = start if start.tzinfo else start.replace(tzinfo=UTC)
    seconds, size = max((now - start).total_seconds(), 0.001), dataset_tar_file.size or 0
    result = UploadBenchmark(
        creation_datetime=now,
        payload_byte_size=size,
        speed=int(size / seconds),
        interval=f"PT{seconds:.3f}S",
        **query.model_dump(include={"continent", "country_alpha2", "city"}),
    )
    await anyio.to_thread.run_sync(_keep_benchmark, backend, "uploads", result)


@router.get(f"{IO}/{{dataset_id}}/upload_url/mesh", status_code=201)
def form_for_meshes(dataset_id: UUID, user: VerifiedUser, backend: Here) -> UploadForm:
    return _form(backend, user, dataset_id, "mesh")


@router.get(f"{IO}/{{dataset_id}}/upload_url/swb", status_code=201)
def form_for_skeletons(dataset_id: UUID, user: VerifiedUser, backend: Here) -> UploadForm:
    return _form(backend, user, dataset_id, "swb")


@router.post(f"{IO}/download_dataset")
def download_dataset(asked: TablesOfDatasets, backend: Here) -> dict[str, str]:
    """A link with which anyone may GET a tar of these tables until it expires."""
    wanted = {
        str(dataset): [_table(dataset, place, text) for place, text in enumerate(texts)]
        for dataset, texts in asked.mapping.items()
    }
    for dataset in asked.mapping:
        backend.dataset(dataset)
    return {"download_url": backend.link(TAR, "tables", wanted)}


@router.get(f"{IO}/download_url", status_code=201)
def download_url(asked: FilesOfUnits, backend: Here) -> dict[str, dict[UUID, list[str]]]:
    """Links to meshes or skeletons, for those of the units that have one.

    The contract has it as a GET with a JSON body.
    """
    kind: FileKind = "mesh" if asked.target is S3Instance.MESH else "swb"
    links = {}
    for dataset, units in asked.dataset_id_to_cids.items():
        backend.dataset(dataset)
        held = units_with(backend, dataset, kind)
        links[dataset] = [
            signed_link(backend, dataset, kind, each) for each in units if each in held
        ]
    return {"dataset_id_to_download_metadata": links}


@router.delete(f"{IO}/{{dataset_id}}/delete_dataset", status_code=204)
def delete_dataset(
    dataset_id: UUID, user: CurrentUser, backend: Here, superuser_override: bool = False
) -> None:
    owner = UUID(backend.dataset(dataset_id).owner)
    backend.node(owner if superuser_override and user.is_superuser else user.id).delete(dataset_id)
    backend.catalogue.forget(dataset_id)


@router.get(f"{BENCHMARK}/neurodata_upload_benchmark_results")
def upload_benchmarks(_: CurrentUser, backend: Here) -> dict[str, list[dict[str, Any]]]:
    return {"data": backend.catalogue.content.uploads}


@router.get(f"{BENCHMARK}/neurodata_download/benchmark_results")
def download_benchmarks(_: CurrentUser, backend: Here) -> dict[str, list[dict[str, Any]]]:
    return {"data": backend.catalogue.content.downloads}


@router.post(f"{BENCHMARK}/neurodata_download/upload_benchmark_result", status_code=201)
def new_download_benchmark(result: DownloadBenchmark, _: CurrentUser, backend: Here) -> None:
    _keep_benchmark(backend, "downloads", result)


@router.get(TAR, include_in_schema=False)
def download(backend: Here, signature: str = "") -> StreamingResponse:
    try:
        _, wanted = backend.signer.read("tables", signature)
    except BadData:
        raise HTTPException(403, "This link is not one of ours, or has expired.") from None
    place = backend.folder / "outgoing" / uuid4().hex
    members = []
    for name, tables in wanted.items():
        files = backend.node().table_files(UUID(name))
        place.mkdir(parents=True, mode=0o700, exist_ok=True)
        for table in dict.fromkeys(tables):
            if table in files:  # a second name, so that an upload in between takes nothing away
                kept = place / f"{name}.{table}"
                link_or_copy(files[table], kept)
                members.append((UUID(name), table, kept))
    return StreamingResponse(_tar(backend, members, place), media_type="application/x-tar")


def _form(backend: Backend, user: User, dataset: UUID, kind: FileKind) -> UploadForm:
    if not may_write(backend.dataset(dataset), user):
        raise HTTPException(403, "This dataset belongs to somebody else.")
    return signed_form(backend, user.id, dataset, kind)


def _keep_benchmark(
    backend: Backend, way: Literal["uploads", "downloads"], result: UploadBenchmark
) -> None:
    with backend.catalogue.changing() as kept:
        results: list[dict[str, Any]] = getattr(kept, way)
        results.append(result.model_dump(mode="json"))
        del results[:-KEPT_BENCHMARKS]


@dataclass(frozen=True)
class _Received(FilePayload):
    """A tar in a temporary file that has no name; `path` is what its sender calls it."""

    file: BinaryIO

    def open(self) -> BufferedReader:
        self.file.seek(0)
        return cast(BufferedReader, self.file)


def _take_in(backend: Backend, user: User, dataset: UUID, sent: UploadFile) -> None:
    """Give the tar to the node; what it refuses becomes the status that the contract has for it."""
    name = sent.filename or ""
    sent.file.seek(0)
    sha256 = hashlib.file_digest(sent.file, "sha256").hexdigest()  # type: ignore[arg-type]
    tar = _Received(Path(name.lower()), sent.size or 0, sha256, sent.file)
    try:
        backend.node(user.id).upload(dataset, Package(tar=tar, rows={}))
    except (NotAPackage, UnknownTable) as error:
        status = 415 if isinstance(error, NotAPackage) else 406
        detail = {"message": without_paths(error.message), "name": name[:255]}
        raise HTTPException(status, detail) from None
    except duckdb.OutOfMemoryException:
        raise HTTPException(500, "The server has too little memory for this table.") from None
    except OSError as error:
        raise HTTPException(500, f"The server cannot keep this: {error.strerror}.") from None


async def _tar(
    backend: Backend, members: list[tuple[UUID, str, Path]], place: Path
) -> AsyncIterator[bytes]:
    """The tar's bytes. No more than one table is on disk a second time."""
    try:
        for dataset, table, source in members:
            path = place / "member.parquet"
            await anyio.to_thread.run_sync(
                _write_member, backend, dataset, source, path, limiter=backend.heavy
            )
            header = tarfile.TarInfo(f"{dataset}/{table}.parquet")
            header.size = path.stat().st_size
            yield header.tobuf(tarfile.PAX_FORMAT)
            with path.open("rb") as file:
                while piece := await anyio.to_thread.run_sync(file.read, PIECE):
                    yield piece
            yield bytes(-header.size % tarfile.BLOCKSIZE)
            source.unlink()
        yield bytes(2 * tarfile.BLOCKSIZE)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _write_member(backend: Backend, dataset: UUID, source: Path, path: Path) -> None:
    path.unlink(missing_ok=True)
    limits = backend.limits
    spill = path.with_name("spill")
    with engine.connect(
        memory_limit=limits.memory_limit, threads=limits.threads, spill=spill
    ) as connection:
        query = f"SELECT '{dataset}'::UUID AS dataset_id, * FROM {parquet(source)}"
        write_parquet(connection, query, path, published=True)
    flush(path)


def _table(dataset: UUID, place: int, text: str) -> str:
    """A table by its name, or its code as text. 422 for any other text."""
    for name, table in TABLES.items():
        if text in (name, str(table.code)):
            return name
    message = "It is not the name or code of a SynDB table"
    raise invalid(message, "body", "mapping", str(dataset), place)


# Meshes and skeletons

_ERRORS: Final = {
    **dict.fromkeys(("EntityTooLarge", "InvalidArgument", "MalformedPOSTRequest"), 400),
    **dict.fromkeys(("AccessDenied", "SignatureDoesNotMatch"), 403),
    **dict.fromkeys(("NoSuchBucket", "NoSuchKey"), 404),
}
_ID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

objects = APIRouter(prefix=OBJECTS, include_in_schema=False)


class S3Error(Exception):
    """A refusal in S3's XML, by its code."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(code)
        self.status = _ERRORS[code]
        self.body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{code}</Code><Message>{escape(message or code)}</Message></Error>"
        )


def signed_form(backend: Backend, user: UUID, dataset: UUID, kind: FileKind) -> UploadForm:
    """A form with which anyone may send files of this kind for the dataset until it expires. It
    acts in the name of `user`."""
    seconds = backend.limits.form_seconds
    word = backend.signer.sign("form", seconds, str(user), str(dataset), kind)
    policy, _, signature = word.rpartition(".")
    return UploadForm(
        upload_url=f"{backend.address}{OBJECTS}/{kind}",
        fields={
            "key": f"{dataset}/{FILENAME}",
            "Content-Type": CONTENT_TYPES[kind],
            "policy": policy,
            "x-amz-signature": signature,
        },
    )


def signed_link(backend: Backend, dataset: UUID, kind: FileKind, unit: UUID) -> str:
    """A link with which anyone may GET the unit's file until it expires."""
    path = f"{OBJECTS}/{kind}/{dataset}/{unit}{SUFFIX[kind]}"
    return backend.link(path, "link", path)


def units_with(backend: Backend, dataset: UUID, kind: FileKind) -> set[UUID]:
    """Units of the dataset that have such a file."""
    return {file.unit for file in backend.node().stored(dataset) if file.kind == kind}


@objects.post("/{bucket}")
async def post(bucket: str, request: Request, backend: Here) -> Response:
    if bucket not in SUFFIX:
        raise S3Error("NoSuchBucket")
    try:
        form = await request.form(max_files=1, max_fields=100, max_part_size=100_000)
    except BadBody as error:
        raise S3Error(
            "EntityTooLarge" if error.status_code == 413 else "MalformedPOSTRequest"
        ) from None
    fields: dict[str, str] = {}
    for name, value in form.multi_items():  # what comes after the file does not count
        if name == "file" and not isinstance(value, str):
            break
        fields[name] = str(value)
    else:
        raise S3Error("InvalidArgument")
    word = f"{fields.get('policy', '')}.{fields.get('x-amz-signature', '')}"
    user, dataset, kind = cast(tuple[str, str, FileKind], _signed(backend, "form", word))
    key = fields.get("key", "").replace(FILENAME, value.filename or "")
    unit = re.fullmatch(rf"{dataset}/({_ID}){re.escape(SUFFIX[kind])}", key)
    if unit is None or (bucket, fields.get("Content-Type")) != (kind, CONTENT_TYPES[kind]):
        raise S3Error("AccessDenied", "Invalid according to Policy: Policy Condition failed.")
    if (value.size or 0) > backend.limits.object_bytes:
        raise S3Error("EntityTooLarge")
    place = (UUID(dataset), kind, UUID(unit[1]))
    etag = await anyio.to_thread.run_sync(
        _keep, backend, UUID(user), place, value.file, limiter=backend.file_turn
    )
    return Response(status_code=204, headers={"etag": etag})


@objects.get("/{key:path}")
def get(request: Request, backend: Here, signature: str = "") -> Response:
    path = request.url.path
    if _signed(backend, "link", signature) != [path]:
        raise S3Error("SignatureDoesNotMatch")
    _, _, kind, dataset, name = path.split("/")
    try:
        stored = backend.node().stored(UUID(dataset), UUID(Path(name).stem))
    except DestinationRefused:
        stored = []
    for file in stored:
        if file.kind == kind:
            headers = {"etag": _etag(file.path)}
            return FileResponse(file.path, headers=headers, media_type=CONTENT_TYPES[file.kind])
    raise S3Error("NoSuchKey")


def _signed(backend: Backend, purpose: str, word: str) -> list[str]:
    try:
        return backend.signer.read(purpose, word)[1:]
    except SignatureExpired:
        raise S3Error("AccessDenied", "Invalid according to Policy: Policy expired.") from None
    except BadData:
        raise S3Error("SignatureDoesNotMatch") from None


def _keep(backend: Backend, user: UUID, place: tuple[UUID, FileKind, UUID], sent: BinaryIO) -> str:
    """Keep a file in the node: its dataset's, of its kind, for its unit. Returns its ETag."""
    with NamedTemporaryFile(dir=backend.incoming) as file:
        shutil.copyfileobj(sent, file, PIECE)
        file.flush()
        path = Path(file.name)
        try:
            return _etag(backend.node(user).put_file(*place, path, digest_file(path)).path)
        except DestinationRefused:
            raise S3Error("AccessDenied") from None


@lru_cache(maxsize=100_000)
def _etag(path: Path) -> str:
    """A stored file's ETag. Its name holds its digest, so what a path holds never changes."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return f'"{digest.hexdigest()}"'
