"""What all routes of the sandbox share: the node, accounts, tags and collections, the store of
meshes and skeletons, limits, and who is asking.

Belongs here: bringing those together, and the checks and refusals that many routes make. Does not:
any route.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

import anyio
from fastapi import Depends, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel

from syndb_pipeline.base.errors import UnknownDataset
from syndb_pipeline.destinations.base import SUFFIX, DatasetInfo, FileKind, Metadata
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.sandbox.fault_script import OBJECTS
from syndb_pipeline.sandbox.schemas import UploadForm
from syndb_pipeline.sandbox.users import JsonFile, User, Users

CONTENT_TYPES: Final[dict[FileKind, str]] = {
    "mesh": "model/gltf-binary",
    "swb": "application/octet-stream",
}
"""What a form is signed for. The contract has the mesh's; the skeleton's is not known."""

FILENAME: Final = "${filename}"
"""What S3 replaces in a form's key by the name of the file that is sent."""

NODE: Final = "node"
"""The folder of the embedded node in a sandbox's folder."""

LOGIN: Final = "/user/auth/native/login"


@dataclass(frozen=True)
class Limits:
    """How much the sandbox takes in, so that one request cannot fill memory or disk."""

    upload_bytes: int = 20_000_000_000
    object_bytes: int = 5_000_000_000  # what S3 takes in one POST
    table_rows: int = 1_000_000_000
    table_bytes: int = 100_000_000_000  # of a table's columns, unpacked
    form_seconds: float = 7_200
    url_seconds: float = 3_600
    memory_limit: int = 1_000_000_000
    threads: int = 2


KEPT_BENCHMARKS: Final = 1_000

Words = tuple[str, ...]
"""What names a tag: its fields in words, such as `("hippocampus", "null")` of a brain region."""


class Collection(BaseModel):
    """A named group of datasets; its owner and the members of its groups may add to it."""

    name: str
    notes: str = ""
    owner: UUID
    groups: tuple[str, ...] = ()
    datasets: tuple[UUID, ...] = ()

    def open_to(self, user: User) -> bool:
        return self.owner == user.id or bool(user.groups & set(self.groups))


class _Tag(BaseModel):
    kind: str
    words: Words
    id: UUID


class _Kept(BaseModel):
    format: int = 1
    tags: list[_Tag] = []
    collections: list[Collection] = []
    uploads: list[dict[str, Any]] = []
    downloads: list[dict[str, Any]] = []


class Catalogue:
    """Tags, collections and benchmark results of one sandbox; each change is on disk at its end.

    Who checks and then changes holds `lock` in between.
    """

    def __init__(self, folder: Path) -> None:
        self._file = JsonFile(folder / "catalogue.json", _Kept, "tags are made again by publishing")
        self.lock = self._file.lock

    def tags(self, kind: str) -> dict[Words, UUID]:
        """The tags of a kind, in order, with their ids."""
        with self.lock:
            return {
                tag.words: tag.id
                for tag in sorted(self._file.content.tags, key=lambda tag: tag.words)
                if tag.kind == kind
            }

    def add_tag(self, kind: str, words: Words, tag: UUID | None) -> None:
        """Add a tag; one that exists stays as it is."""
        with self._file.changing() as kept:
            if words not in self.tags(kind):
                kept.tags.append(_Tag(kind=kind, words=words, id=tag or uuid4()))

    def missing(self, metadata: Metadata) -> list[str]:
        """The tags a dataset refers to that do not exist."""
        with self.lock:
            known = {(tag.kind, tag.words) for tag in self._file.content.tags}
        return [
            " ".join([kind.replace("_", " "), *(word for word in words if word != "null")])
            for kind, words in _references(metadata)
            if (kind, words) not in known
        ]

    def collection(self, name: str) -> Collection | None:
        return next((each for each in self._file.content.collections if each.name == name), None)

    def collections_of(self, info: DatasetInfo) -> list[str]:
        """Collections the dataset was registered into, and those it was added to since."""
        later = [
            each.name
            for each in list(self._file.content.collections)
            if info.metadata.id in each.datasets
        ]
        return list(dict.fromkeys((*info.metadata.dataset_collection_names, *later)))

    def collect(
        self,
        collection: Collection,
        datasets: Iterable[UUID],
        *,
        groups: Iterable[str] = (),
        notes: str | None = None,
    ) -> None:
        """Add datasets and groups to a collection, which may be a new one; give it other notes."""
        with self._file.changing() as kept:
            if collection not in kept.collections:
                kept.collections.append(collection)
            collection.datasets = tuple(dict.fromkeys((*collection.datasets, *datasets)))
            collection.groups = tuple(dict.fromkeys((*collection.groups, *groups)))
            collection.notes = collection.notes if notes is None else notes

    def forget(self, dataset: UUID) -> None:
        """Take a deleted dataset out of every collection."""
        with self._file.changing() as kept:
            for each in kept.collections:
                each.datasets = tuple(member for member in each.datasets if member != dataset)

    def benchmarks(self, way: str) -> list[dict[str, Any]]:
        """Results of `uploads` or `downloads`."""
        results: list[dict[str, Any]] = list(getattr(self._file.content, way))
        return results

    def add_benchmark(self, way: str, result: BaseModel) -> None:
        with self._file.changing() as kept:
            results = [*getattr(kept, way), result.model_dump(mode="json")]
            setattr(kept, way, results[-KEPT_BENCHMARKS:])


def _references(metadata: Metadata) -> Iterator[tuple[str, Words]]:
    """Kind and words of each tag that a dataset refers to."""
    yield "animal", (str(metadata.animal),)
    for region in metadata.brain_regions:
        yield "brain_region", (region.brain_structure, region.direction)
    yield "microscopy", (metadata.microscopy,)
    for mutation in metadata.mutations:
        yield "mutation", (mutation.gene, mutation.expression)
    for doi in metadata.publication_dois:
        yield "publication", (doi,)


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


class Backend:
    """One sandbox's parts.

    Args:
        folder: Where its data are.
        address: The server's own, as clients reach it; it goes into links, and never what a
            request calls us.
        users: Accounts and tokens.
        limits: How much it takes in.
        objects: Where meshes and skeletons are kept.
    """

    def __init__(
        self, folder: Path, address: str, users: Users, limits: Limits, objects: Objects
    ) -> None:
        self.folder = folder
        self.address = address
        self.users = users
        self.limits = limits
        self.objects = objects
        self.signer = users.signer
        self.catalogue = Catalogue(folder)
        self.heavy = anyio.CapacityLimiter(2)
        """Uploads and downloads at work on tables at a time; each may use the whole memory
        limit.
        """
        self.file_turn = anyio.CapacityLimiter(1)
        """Meshes and skeletons kept at a time: the node takes one at a time, and its lock would let
        the others wait longer than need be."""
        self.hashing = anyio.CapacityLimiter(4)
        """Passwords hashed at a time, which takes memory and time on purpose: a flood of log-ins
        must not take all of both."""

    @property
    def incoming(self) -> Path:
        return self.folder / "incoming"

    def link(self, path: str, purpose: str, *content: object) -> str:
        """A link to one of our paths, good for a while; all it says is signed, and nothing kept."""
        word = self.signer.sign(purpose, self.limits.url_seconds, *content)
        return f"{self.address}{path}?signature={word}"

    def node(self, user: UUID | None = None) -> EmbeddedNode:
        """The node as `user` may use it; for reading, it does not matter who."""
        known = self.users.by(id=user)
        return EmbeddedNode(
            "the sandbox",
            self.folder / NODE,
            owner=str(user) if user is not None else "unknown",
            groups=known.groups if known is not None else frozenset(),
            repeats="counted",
            memory_limit=self.limits.memory_limit,
            threads=self.limits.threads,
            max_rows=self.limits.table_rows,
            max_bytes=self.limits.table_bytes,
        )

    def dataset(self, dataset: UUID) -> DatasetInfo:
        """The dataset. Raises `UnknownDataset`."""
        info = self.node().info(dataset)
        if info is None:
            raise UnknownDataset(f"There is no dataset {dataset}.")
        return info


async def _backend(request: Request) -> Backend:
    backend: Backend = request.app.state.backend
    return backend


Here = Annotated[Backend, Depends(_backend)]
Token = Annotated[str | None, Depends(OAuth2PasswordBearer(LOGIN[1:], auto_error=False))]


async def _current(token: Token, backend: Here) -> User:
    user = backend.users.holder(token) if token else None
    if user is None:
        raise HTTPException(401, "Unauthorized", {"www-authenticate": "Bearer"})
    return user


CurrentUser = Annotated[User, Depends(_current)]


async def _verified(user: CurrentUser) -> User:
    if not user.is_verified:
        raise HTTPException(
            403, "Academic verification is needed for this. Ask for it at /user/academic/authorize."
        )
    return user


VerifiedUser = Annotated[User, Depends(_verified)]


def may_write(info: DatasetInfo, user: User) -> bool:
    groups = set(info.metadata.authorized_group_names)
    return info.owner == str(user.id) or bool(user.groups & groups)


def invalid(message: str, *place: str | int) -> RequestValidationError:
    """422, as `HTTPValidationError` has it."""
    return RequestValidationError([{"loc": place, "msg": message, "type": "value_error"}])


def without_paths(message: str) -> str:
    """The message without folders of this machine; a file keeps its name."""
    return re.sub(r"(?:/[^\s/'\"]+)+/([^\s/'\"]+)", r"\1", message)
