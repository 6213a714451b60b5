"""What all routes of the sandbox share: the node, accounts, tags, stored files, limits, and who is
asking.

Belongs here: bringing those together and the checks that many routes make. Does not: any route.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, ParamSpec, TypeVar
from uuid import UUID

import anyio
import anyio.to_thread
from starlette.requests import Request

from syndb_pipeline.destinations.base import DatasetInfo
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.sandbox.catalogue import Catalogue
from syndb_pipeline.sandbox.objects import Objects
from syndb_pipeline.sandbox.users import User, Users
from syndb_pipeline.sandbox.wire import Refusal

NODE: Final = "node"
"""The folder of the embedded node in a sandbox's folder."""

NOT_VERIFIED: Final = (
    "Academic verification is needed for this. Ask for it at /user/academic/authorize."
)

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


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
    """One sandbox's parts. `address` is its own, as clients reach it: it goes into links, and never
    what a request calls us.
    """

    folder: Path
    address: str
    secret: bytes = field(repr=False)
    users: Users
    catalogue: Catalogue
    objects: Objects
    limits: Limits
    heavy: anyio.CapacityLimiter
    """Uploads and downloads at work on tables at a time; each may use the whole memory limit."""
    hashing: anyio.CapacityLimiter
    """Passwords hashed at a time, which takes memory and time on purpose: a flood of log-ins must
    not take all of both.
    """

    def node(self, user: UUID | None = None) -> EmbeddedNode:
        """The node as `user` may use it; for reading, it does not matter who."""
        return node_of(self.folder, self.limits, self.users, user)

    @property
    def incoming(self) -> Path:
        return self.folder / "incoming"


def node_of(folder: Path, limits: Limits, users: Users, user: UUID | None) -> EmbeddedNode:
    known = users.by_id(user) if user is not None else None
    return EmbeddedNode(
        "the sandbox",
        folder / NODE,
        owner=str(user) if user is not None else "nobody",
        groups=known.groups if known is not None else frozenset(),
        repeats="counted",
        memory_limit=limits.memory_limit,
        threads=limits.threads,
        max_rows=limits.table_rows,
        max_bytes=limits.table_bytes,
    )


def backend_of(request: Request) -> Backend:
    backend = request.app.state.backend
    assert isinstance(backend, Backend)
    return backend


def token_of(request: Request) -> str | None:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" and token.strip() else None


def current_user(request: Request) -> User:
    """Who asks. Raises `Refusal` 401 without a token that is good."""
    token = token_of(request)
    user = backend_of(request).users.holder(token) if token else None
    if user is None:
        raise Refusal(401, "Unauthorized", headers={"www-authenticate": "Bearer"})
    return user


def verified_user(request: Request) -> User:
    """Who asks, of verified academic status. Raises `Refusal` 401, or 403."""
    user = current_user(request)
    if not user.verified:
        raise Refusal(403, NOT_VERIFIED)
    return user


def require_dataset(backend: Backend, dataset: UUID) -> DatasetInfo:
    """The dataset. Raises `Refusal` 404."""
    info = backend.node().info(dataset)
    if info is None:
        raise Refusal(404, about_dataset("There is no such dataset.", dataset))
    return info


def may_write(info: DatasetInfo, user: User) -> bool:
    return info.owner == str(user.id) or bool(
        user.groups & set(info.metadata.authorized_group_names)
    )


def about_dataset(message: str, dataset: UUID) -> dict[str, str]:
    """`detail` of a `DatasetErrorModel`."""
    return {"message": message, "dataset_id": str(dataset)}


async def in_thread(
    work: Callable[_Given, _Result], *args: _Given.args, **kwargs: _Given.kwargs
) -> _Result:
    """Do blocking work without holding up other requests. It is done to its end even if the client
    goes away.
    """
    return await anyio.to_thread.run_sync(lambda: work(*args, **kwargs))
