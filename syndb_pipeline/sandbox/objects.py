"""Meshes and skeletons as S3 takes and gives them: signed forms to send one with, signed links to
fetch one.

Belongs here: making and honouring those forms and links, with S3's answers. Does not: who may have
one (`io.py`).

As S3, it looks at the policy and never into a file. The bucket's path is `/objects/<mesh|swb>`; a
file's key is `<dataset id>/<unit id>.<glb|swc>`. `Objects` is the interface, so that a real S3 can
stand in its place.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol
from urllib.parse import urlencode
from uuid import UUID

import anyio
import anyio.to_thread
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from syndb_pipeline.base.errors import DestinationRefused
from syndb_pipeline.destinations.base import SUFFIX, FileKind
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.sandbox.fault_script import OBJECTS
from syndb_pipeline.sandbox.multipart import BadForm, TooLarge, receive_form
from syndb_pipeline.sandbox.wire import drain

CONTENT_TYPES: Final[dict[FileKind, str]] = {
    "mesh": "model/gltf-binary",
    "swb": "application/octet-stream",
}
"""What a form is signed for. The contract has the mesh's; the skeleton's is not known."""

FILENAME: Final = "${filename}"
"""What S3 replaces in a form's key by the name of the file that is sent."""

_FORM_SLACK: Final = 200_000
"""Bytes of a form beside its file."""


class UploadForm(BaseModel):
    """`PreSignedS3UploadUrlSchema`: where to post to, and the fields to send before the file."""

    upload_url: str
    fields: dict[str, str]


class Objects(Protocol):
    """Where meshes and skeletons are kept. Its methods may block."""

    def form(self, user: UUID, dataset: UUID, kind: FileKind) -> UploadForm:
        """A form with which anyone may send files of this kind for the dataset, in the name of
        `user`, until it expires.
        """
        ...

    def urls(self, dataset: UUID, kind: FileKind, units: Iterable[UUID]) -> dict[UUID, str]:
        """For each of `units` that has a file, a link with which anyone may GET it until it
        expires.
        """
        ...

    def forget(self, dataset: UUID) -> None:
        """Remove the files of a dataset that was deleted."""
        ...

    def routes(self) -> list[BaseRoute]:
        """What has to be served for the forms and links to work."""
        ...


class _S3Error(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message

    @property
    def response(self) -> Response:
        body = f"<Error><Code>{self.code}</Code><Message>{escape(self.message)}</Message></Error>"
        return Response(
            f'<?xml version="1.0" encoding="UTF-8"?>\n{body}',
            self.status,
            media_type="application/xml",
        )


class NodeObjects:
    """`Objects` of an embedded node, served by the sandbox itself.

    `node` gives the node as a user may use it: a form acts for the one it was made for. Forms and
    links are signed with `secret`.
    """

    def __init__(
        self,
        address: str,
        secret: bytes,
        node: Callable[[UUID | None], EmbeddedNode],
        incoming: Path,
        *,
        form_seconds: float,
        url_seconds: float,
        object_bytes: int,
    ) -> None:
        self.address = address
        self._secret = hmac.digest(secret, b"objects", "sha256")
        self._node = node
        self._incoming = incoming
        self._form_seconds = form_seconds
        self._url_seconds = url_seconds
        self._object_bytes = object_bytes
        self._turns: dict[
            UUID, anyio.Lock
        ] = {}  # the node takes one at a time, and its lock lets the others wait longer than need be

    def form(self, user: UUID, dataset: UUID, kind: FileKind) -> UploadForm:
        key = f"{dataset}/"
        fields = {
            "key": key + FILENAME,
            "Content-Type": CONTENT_TYPES[kind],
            "x-amz-credential": str(user),
            "x-amz-algorithm": "HMAC-SHA256",
        }
        expires = datetime.fromtimestamp(time.time() + self._form_seconds, UTC)
        conditions: list[Any] = [
            {"bucket": kind},
            ["starts-with", "$key", key],
            *(
                {name: fields[name]}
                for name in ("Content-Type", "x-amz-credential", "x-amz-algorithm")
            ),
        ]
        policy = base64.b64encode(
            json.dumps({"expiration": expires.isoformat(), "conditions": conditions}).encode()
        ).decode()
        return UploadForm(
            upload_url=f"{self.address}{OBJECTS}/{kind}",
            fields=fields | {"policy": policy, "x-amz-signature": self._sign("POST", policy)},
        )

    def urls(self, dataset: UUID, kind: FileKind, units: Iterable[UUID]) -> dict[UUID, str]:
        there = self._paths(dataset, kind)
        return {unit: self._url(dataset, kind, unit) for unit in units if unit in there}

    def forget(self, dataset: UUID) -> None:
        """Nothing is left to do: the node removes a dataset's files with it."""

    def routes(self) -> list[BaseRoute]:
        return [
            Route(OBJECTS + "/{bucket}", self._post, methods=["POST"]),
            Route(OBJECTS + "/{bucket}/{key:path}", self._get, methods=["GET"]),
        ]

    async def _post(self, request: Request) -> Response:
        bucket = request.path_params["bucket"]
        target: tuple[UUID, FileKind, UUID, UUID] | None = None

        def check(fields: Mapping[str, str], name: str) -> None:
            nonlocal target
            target = self._checked(bucket, fields, name)

        limit = self._object_bytes + _FORM_SLACK
        try:
            if bucket not in SUFFIX:
                _refuse(404, "NoSuchBucket", "The specified bucket does not exist")
            try:
                async with receive_form(
                    request,
                    file_field="file",
                    name="file",
                    folder=self._incoming,
                    limit=limit,
                    before_file=check,
                    md5=True,
                ) as form:
                    if form.file is None or target is None:
                        _refuse(
                            400,
                            "InvalidArgument",
                            "POST requires exactly one file upload per request.",
                        )
                    if form.file.bytes > self._object_bytes:
                        raise TooLarge
                    user, kind, dataset, unit = target
                    file = form.file
                    node = self._node(user)
                    async with self._turns.setdefault(dataset, anyio.Lock()):
                        await anyio.to_thread.run_sync(
                            lambda: node.put_file(dataset, kind, unit, file.path, file.sha256)
                        )
            except BadForm as error:
                _refuse(400, "MalformedPOSTRequest", str(error))
            except TooLarge:
                _refuse(
                    400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size"
                )
            except DestinationRefused:
                _refuse(403, "AccessDenied", "Access Denied")
        except _S3Error as error:
            await drain(request)
            return error.response
        return Response(status_code=204, headers={"etag": f'"{file.md5}"'})

    def _checked(
        self, bucket: str, fields: Mapping[str, str], name: str
    ) -> tuple[UUID, FileKind, UUID, UUID]:
        """Who sends which kind of file for which dataset and unit; raises `_S3Error` unless the
        signed policy allows it.
        """
        policy = fields.get("policy", "")
        if not hmac.compare_digest(
            fields.get("x-amz-signature", "").encode(), self._sign("POST", policy).encode()
        ):
            _refuse(
                403,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided.",
            )
        said = json.loads(base64.b64decode(policy))  # ours, as the signature says
        if datetime.fromisoformat(said["expiration"]) <= datetime.now(UTC):
            _refuse(403, "AccessDenied", "Invalid according to Policy: Policy expired.")
        key = fields.get("key", "").replace(FILENAME, name)
        given = {**fields, "key": key, "bucket": bucket}
        for condition in said["conditions"]:
            if isinstance(condition, list):
                _, field, start = condition
                held = given.get(field[1:], "").startswith(start)
            else:
                ((field, value),) = condition.items()
                held = given.get(field) == value
            if not held:
                _refuse(
                    403,
                    "AccessDenied",
                    "Invalid according to Policy: Policy Condition failed:"
                    f" {json.dumps(condition)}",
                )
        found = _read_key(bucket, key)
        if found is None:
            _refuse(
                403,
                "AccessDenied",
                "Invalid according to Policy: a key is <dataset id>/<unit id> with the suffix of"
                " the bucket's files",
            )
        return UUID(fields["x-amz-credential"]), *found

    async def _get(self, request: Request) -> Response:
        bucket, key = request.path_params["bucket"], request.path_params["key"]
        expires, signature = (
            request.query_params.get("Expires", ""),
            request.query_params.get("Signature", ""),
        )
        expected = self._sign(request.method, f"{OBJECTS}/{bucket}/{key}", expires)
        try:
            if not hmac.compare_digest(signature.encode(), expected.encode()):
                _refuse(
                    403,
                    "SignatureDoesNotMatch",
                    "The request signature we calculated does not match the signature you"
                    " provided.",
                )
            if int(expires) <= time.time():
                _refuse(403, "AccessDenied", "Request has expired")
            found = _read_key(bucket, key)
            if found is None:
                _refuse(404, "NoSuchKey", "The specified key does not exist.")
            kind, dataset, unit = found
            path = (await anyio.to_thread.run_sync(self._paths, dataset, kind, unit)).get(unit)
            if path is None:
                _refuse(404, "NoSuchKey", "The specified key does not exist.")
            md5 = await anyio.to_thread.run_sync(_md5, path)
        except _S3Error as error:
            return error.response
        media_type = CONTENT_TYPES["mesh" if bucket == "mesh" else "swb"]
        return FileResponse(path, headers={"etag": f'"{md5}"'}, media_type=media_type)

    def _url(self, dataset: UUID, kind: FileKind, unit: UUID) -> str:
        path = f"{OBJECTS}/{kind}/{dataset}/{unit}{SUFFIX[kind]}"
        expires = str(int(time.time() + self._url_seconds))
        return f"{self.address}{path}?" + urlencode(
            {"Expires": expires, "Signature": self._sign("GET", path, expires)}
        )

    def _paths(self, dataset: UUID, kind: FileKind, unit: UUID | None = None) -> dict[UUID, Path]:
        node = self._node(None)
        if node.info(dataset) is None:
            return {}
        return {file.unit: file.path for file in node.stored(dataset, unit) if file.kind == kind}

    def _sign(self, *parts: str) -> str:
        return hmac.new(
            self._secret, "\n".join(parts).encode("utf-8", "surrogatepass"), hashlib.sha256
        ).hexdigest()


def _refuse(status: int, code: str, message: str) -> NoReturn:
    raise _S3Error(status, code, message)


def _read_key(bucket: str, key: str) -> tuple[FileKind, UUID, UUID] | None:
    """Kind, dataset and unit of a key; None when it is not written exactly as one is."""
    for kind, suffix in SUFFIX.items():
        if bucket == kind and re.fullmatch(rf"{_ID}/{_ID}{re.escape(suffix)}", key):
            dataset, _, unit = key.removesuffix(suffix).partition("/")
            return kind, UUID(dataset), UUID(unit)
    return None


_ID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@lru_cache(maxsize=100_000)
def _md5(path: Path) -> str:
    """A stored file's ETag. Its name holds its digest, so what a path holds never changes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
