"""The sandbox's ASGI application: SynDB's published REST contract over an embedded node.

Belongs here: putting the parts together, and what holds for every request. Does not: any route's
work, or serving (`serve.py`).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from syndb_pipeline.base.errors import NotPermitted, PipelineError, UnknownDataset
from syndb_pipeline.config.destination_settings import is_loopback
from syndb_pipeline.sandbox import files, metadata, profile
from syndb_pipeline.sandbox.backend import Backend, Limits, without_paths
from syndb_pipeline.sandbox.catalogue import Catalogue
from syndb_pipeline.sandbox.faults import Faults
from syndb_pipeline.sandbox.objects import Objects, S3Error
from syndb_pipeline.sandbox.objects import router as objects_router
from syndb_pipeline.sandbox.users import Users

HEAVY_AT_A_TIME: Final = 2
HASHING_AT_A_TIME: Final = 4

BODY_BYTES: Final = 1_000_000
"""Bytes of a body that is no file; a dataset's metadata are a few thousand."""

_FORM_SLACK: Final = 200_000
"""Bytes of a form beside its file."""


def build_app(
    folder: Path,
    address: str,
    users: Users,
    faults: Faults,
    limits: Limits,
    *,
    objects: Objects | None = None,
    any_host: bool = False,
) -> ASGIApp:
    """The sandbox in `folder` as an application, served at `address` by `serve.ResettableProtocol`.

    Args:
        folder: Where its data are; what a server that was killed left there is removed.
        address: The server's own address, as clients reach it.
        users: Accounts and tokens.
        faults: What goes wrong, as a middleware around everything else.
        limits: How much it takes in.
        objects: Another store of meshes and skeletons than the node.
        any_host: Whether a request may call the server by any name. Otherwise by the name in
            `address`, or by one of this machine's when that is one: a web page elsewhere that
            points its own name here gets nothing.
    """
    for left in ("incoming", "outgoing"):
        shutil.rmtree(folder / left, ignore_errors=True)
    app = FastAPI(
        title="SynDB sandbox",
        version="0.7.2",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would go to whatever host the request named
        max_body_size=BODY_BYTES,
    )
    app.state.backend = Backend(
        folder=folder,
        address=address,
        signer=users.signer,
        users=users,
        catalogue=Catalogue(folder),
        objects=objects or Objects(),
        limits=limits,
        heavy=anyio.CapacityLimiter(HEAVY_AT_A_TIME),
        hashing=anyio.CapacityLimiter(HASHING_AT_A_TIME),
    )

    @app.get("/")
    async def root() -> dict[str, str]:
        return {"name": "SynDB sandbox", "contract": "syndb-api-client 0.7.2"}

    for router in (profile.router, metadata.router, files.router, faults.router()):
        app.include_router(router)
    app.include_router(files.uploads, max_body_size=limits.upload_bytes + _FORM_SLACK)
    app.include_router(objects_router, max_body_size=limits.object_bytes + _FORM_SLACK)
    for error, handler in _HANDLERS.items():
        app.add_exception_handler(error, handler)
    return faults.around(app if any_host else _only_for(app, address))


async def _on_invalid(_: Request, error: Any) -> Response:
    """422 as `HTTPValidationError` has it, without what was sent."""
    found = [{key: each[key] for key in ("loc", "msg", "type")} for each in error.errors()[:100]]
    # In ASCII, for a lone surrogate in a key that was sent could not be written otherwise.
    return Response(json.dumps({"detail": found}), 422, media_type="application/json")


async def _on_s3_error(_: Request, error: Any) -> Response:
    return Response(error.body, error.status, media_type="application/xml")


async def _on_refused(request: Request, error: Any) -> Response:
    """What the node refuses: `DatasetErrorModel` where it is about a dataset, else words."""
    detail: Any = without_paths(error.message)
    status = {NotPermitted: 403, UnknownDataset: 404}.get(type(error), 500)
    if status == 403:
        detail = "This dataset belongs to somebody else."
    if status == 404:
        detail = "There is no such dataset."
    if status < 500 and "dataset_id" in request.path_params:
        detail = {"message": detail, "dataset_id": request.path_params["dataset_id"]}
    return JSONResponse({"detail": detail}, status)


async def _on_mistake(_: Request, error: Any) -> Response:
    """A mistake of ours: nothing of its inside goes out. The server's log has it."""
    return JSONResponse(
        {"detail": "The sandbox failed in a way it should not; its log says how."},
        500,
        {"connection": "close"},
    )


_HANDLERS: Final[dict[type[Exception], Any]] = {
    RequestValidationError: _on_invalid,
    S3Error: _on_s3_error,
    PipelineError: _on_refused,
    Exception: _on_mistake,
}


def _only_for(app: ASGIApp, address: str) -> ASGIApp:
    own = urlsplit(address).hostname or ""
    refused = JSONResponse(
        {"detail": "This is the SynDB sandbox; it does not go by that name."}, 400
    )

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        wanted = scope["type"] != "http" or _is_name(Request(scope), own)
        await (app if wanted else refused)(scope, receive, send)

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
