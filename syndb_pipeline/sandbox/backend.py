"""What all routes of the sandbox share: the node, accounts, tags, limits, and who is asking.

Belongs here: bringing those together, and the checks and refusals that many routes make. Does not:
any route.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

import anyio
from fastapi import Depends, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.security import OAuth2PasswordBearer

from syndb_pipeline.base.errors import UnknownDataset
from syndb_pipeline.destinations.base import DatasetInfo
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.sandbox.catalogue import Catalogue
from syndb_pipeline.sandbox.storage import Signer
from syndb_pipeline.sandbox.users import User, Users

if TYPE_CHECKING:
    from syndb_pipeline.sandbox.objects import Objects

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


@dataclass(frozen=True)
class Backend:
    """One sandbox's parts. `address` goes into links, and never what a request calls us."""

    folder: Path
    address: str
    signer: Signer
    users: Users
    catalogue: Catalogue
    objects: Objects
    limits: Limits
    heavy: anyio.CapacityLimiter
    """Uploads and downloads at work on tables at a time; each may use the whole memory limit."""
    hashing: anyio.CapacityLimiter
    """Passwords hashed at a time, which takes memory and time on purpose: a flood of log-ins must
    not take all of both."""

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
