"""Meshes and skeletons as S3 takes and gives them: signed forms to send one with, signed links.

Belongs here: making and honouring those forms and links, with S3's answers. Does not: who may have
one (`files.py`).

As S3, it looks at the policy and never into a file. The bucket's path is `/objects/<mesh|swb>`; a
file's key is `<dataset id>/<unit id>.<glb|swc>`. Another `Objects` may keep them in a real S3.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from functools import lru_cache
from html import escape
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO, Final, cast
from uuid import UUID

import anyio
import anyio.to_thread
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from itsdangerous import BadData, SignatureExpired
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.base.errors import DestinationRefused
from syndb_pipeline.destinations.base import SUFFIX, FileKind
from syndb_pipeline.sandbox.backend import Backend, Here
from syndb_pipeline.sandbox.fault_script import OBJECTS
from syndb_pipeline.sandbox.schemas import UploadForm

CONTENT_TYPES: Final[dict[FileKind, str]] = {
    "mesh": "model/gltf-binary",
    "swb": "application/octet-stream",
}
"""What a form is signed for. The contract has the mesh's; the skeleton's is not known."""

FILENAME: Final = "${filename}"
"""What S3 replaces in a form's key by the name of the file that is sent."""

_ERRORS: Final = {
    "AccessDenied": (403, "Access Denied"),
    "EntityTooLarge": (400, "Your proposed upload exceeds the maximum allowed size"),
    "InvalidArgument": (400, "POST requires exactly one file upload per request."),
    "MalformedPOSTRequest": (400, "The body of your POST request is not well-formed form-data."),
    "NoSuchBucket": (404, "The specified bucket does not exist"),
    "NoSuchKey": (404, "The specified key does not exist."),
    "SignatureDoesNotMatch": (403, "The request signature does not match the one we calculated."),
}
_ID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

router = APIRouter(prefix=OBJECTS, include_in_schema=False)


class S3Error(Exception):
    """A refusal in S3's XML, by its code."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(code)
        self.status, known = _ERRORS[code]
        self.body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{code}</Code><Message>{escape(message or known)}</Message></Error>"
        )


class Objects:
    """Where meshes and skeletons are kept: the embedded node. Its methods may block."""

    def form(self, backend: Backend, user: UUID, dataset: UUID, kind: FileKind) -> UploadForm:
        """A form with which anyone may send files of this kind for the dataset until it expires.

        It acts in the name of `user`.
        """
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

    def url(self, backend: Backend, dataset: UUID, kind: FileKind, unit: UUID) -> str:
        """A link with which anyone may GET the unit's file until it expires."""
        path = f"{OBJECTS}/{kind}/{dataset}/{unit}{SUFFIX[kind]}"
        return backend.link(path, "link", path)

    def units(self, backend: Backend, dataset: UUID, kind: FileKind) -> set[UUID]:
        """Units of the dataset that have such a file."""
        return {file.unit for file in backend.node().stored(dataset) if file.kind == kind}

    def forget(self, dataset: UUID) -> None:
        """Remove the files of a dataset that was deleted; the node has removed its own."""


@router.post("/{bucket}")
async def post(bucket: str, request: Request, backend: Here) -> Response:
    if bucket not in SUFFIX:
        raise S3Error("NoSuchBucket")
    try:
        form = await request.form(max_files=1, max_fields=100, max_part_size=100_000)
    except HTTPException as error:
        raise S3Error(
            "EntityTooLarge" if error.status_code == 413 else "MalformedPOSTRequest"
        ) from None
    fields: dict[str, str] = {}
    for name, value in form.multi_items():  # what comes after the file does not count
        if isinstance(value, UploadFile) and name == "file":
            break
        fields[name] = str(value)
    else:
        raise S3Error("InvalidArgument")
    user, kind, dataset, unit = _allowed(backend, bucket, fields, value.filename or "")
    if (value.size or 0) > backend.limits.object_bytes:
        raise S3Error("EntityTooLarge")
    etag = await anyio.to_thread.run_sync(
        _keep, backend, user, dataset, kind, unit, value.file, limiter=backend.heavy
    )
    return Response(status_code=204, headers={"etag": etag})


@router.get("/{key:path}")
def get(request: Request, backend: Here, signature: str = "") -> Response:
    path = request.url.path
    if _read(backend, "link", signature) != [path]:
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


def _allowed(
    backend: Backend, bucket: str, fields: dict[str, str], name: str
) -> tuple[UUID, FileKind, UUID, UUID]:
    """Who sends which kind of file for which dataset and unit, as the signed form allows."""
    word = f"{fields.get('policy', '')}.{fields.get('x-amz-signature', '')}"
    user, dataset, kind = cast(tuple[str, str, FileKind], _read(backend, "form", word))
    key = fields.get("key", "").replace(FILENAME, name)
    unit = re.fullmatch(rf"{dataset}/({_ID}){re.escape(SUFFIX[kind])}", key)
    if unit is None or (bucket, fields.get("Content-Type")) != (kind, CONTENT_TYPES[kind]):
        raise S3Error("AccessDenied", "Invalid according to Policy: Policy Condition failed.")
    return UUID(user), kind, UUID(dataset), UUID(unit[1])


def _read(backend: Backend, purpose: str, word: str) -> list[str]:
    try:
        return backend.signer.read(purpose, word)[1:]
    except SignatureExpired:
        raise S3Error("AccessDenied", "Invalid according to Policy: Policy expired.") from None
    except BadData:
        raise S3Error("SignatureDoesNotMatch") from None


def _keep(
    backend: Backend, user: UUID, dataset: UUID, kind: FileKind, unit: UUID, sent: BinaryIO
) -> str:
    """Keep the file in the node. Returns its ETag."""
    with NamedTemporaryFile(dir=backend.incoming) as file:
        shutil.copyfileobj(sent, file, 1 << 20)
        file.flush()
        path = Path(file.name)
        try:
            node = backend.node(user)
            return _etag(node.put_file(dataset, kind, unit, path, digest_file(path)).path)
        except DestinationRefused:
            raise S3Error("AccessDenied") from None


@lru_cache(maxsize=100_000)
def _etag(path: Path) -> str:
    """A stored file's ETag. Its name holds its digest, so what a path holds never changes."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return f'"{digest.hexdigest()}"'
