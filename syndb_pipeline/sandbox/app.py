"""The sandbox's ASGI application: every route of SynDB's published REST contract that a publication
needs, over an embedded node.

Belongs here: putting the parts together, and what holds for every request. Does not: any route's
work, or serving (`serve.py`).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from syndb_pipeline.config.destination_settings import is_loopback
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.sandbox import downloads, io, metadata, profile
from syndb_pipeline.sandbox.backend import NODE, Backend, Limits, node_of
from syndb_pipeline.sandbox.catalogue import Catalogue
from syndb_pipeline.sandbox.faults import Faults, NodeTamper
from syndb_pipeline.sandbox.objects import NodeObjects, Objects
from syndb_pipeline.sandbox.users import Users, folder_secret
from syndb_pipeline.sandbox.wire import (
    Refusal,
    answer,
    on_disconnect,
    on_http_error,
    on_mistake,
    on_refusal,
)

HEAVY_AT_A_TIME: Final = 2
HASHING_AT_A_TIME: Final = 4


def build_app(
    folder: Path,
    address: str,
    *,
    faults: Faults | None = None,
    users: Users | None = None,
    limits: Limits | None = None,
    objects: Objects | None = None,
    any_host: bool = False,
) -> ASGIApp:
    """The sandbox in `folder` as an application, to be served at `address` with
    `sandbox.protocol.ResettableProtocol`.

    `objects` keeps meshes and skeletons; the node does when there is none. Unless `any_host`, a
    request must call the server by the name in `address`, or by one of this machine's when that is
    one: a web page elsewhere that points its own name here gets nothing.
    """
    limits = limits or Limits()
    secret = folder_secret(folder)
    users = users or Users(folder, secret)

    def node(user: UUID | None) -> EmbeddedNode:
        return node_of(folder, limits, users, user)

    for left in ("incoming", "outgoing"):  # of a server that was killed
        shutil.rmtree(folder / left, ignore_errors=True)
    if objects is None:
        objects = NodeObjects(
            address,
            secret,
            node,
            folder / "incoming",
            form_seconds=limits.form_seconds,
            url_seconds=limits.url_seconds,
            object_bytes=limits.object_bytes,
        )
    backend = Backend(
        folder=folder,
        address=address,
        secret=secret,
        users=users,
        catalogue=Catalogue(folder),
        objects=objects,
        limits=limits,
        heavy=anyio.CapacityLimiter(HEAVY_AT_A_TIME),
        hashing=anyio.CapacityLimiter(HASHING_AT_A_TIME),
    )
    app = Starlette(
        routes=[
            Route("/", root, methods=["GET"]),
            *profile.routes(),
            *metadata.routes(),
            *io.routes(),
            *downloads.routes(),
            *objects.routes(),
            *(faults.routes() if faults is not None else ()),
        ],
        exception_handlers={
            Refusal: on_refusal,
            HTTPException: on_http_error,
            ClientDisconnect: on_disconnect,
            Exception: on_mistake,
        },
    )
    app.state.backend = backend
    app.router.redirect_slashes = False  # a redirect would go to whatever host the request named
    if faults is not None and faults.tamper is None:
        faults.tamper = NodeTamper(
            folder / NODE, memory_limit=limits.memory_limit, threads=limits.threads
        )
    guarded: ASGIApp = app if any_host else _only_for(app, address)
    return faults.around(guarded) if faults is not None else guarded


async def root(_: Request) -> Response:
    return answer({"name": "SynDB sandbox", "contract": "syndb-api-client 0.7.2"})


def _only_for(app: ASGIApp, address: str) -> ASGIApp:
    own = urlsplit(address).hostname or ""
    refused = Refusal(400, "This is the SynDB sandbox; it does not go by that name.")

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_name(Request(scope), own):
            await refused.response(scope, receive, send)
        else:
            await app(scope, receive, send)

    return guarded


def _is_name(request: Request, own: str) -> bool:
    hosts = request.headers.getlist("host")
    if len(hosts) != 1:
        return False
    try:
        name = urlsplit(f"//{hosts[0]}").hostname or ""
    except ValueError:
        return False
    return name == own or (is_loopback(own) and is_loopback(name))
