"""The sandbox's ASGI application: SynDB's published REST contract over an embedded node.

Belongs here: putting the parts together, and what holds for every request. Does not: any route's
work, or serving (`serve.py`).
"""

from __future__ import annotations

import json
import shutil
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from syndb_pipeline.base.errors import NotPermitted, PipelineError, UnknownDataset
from syndb_pipeline.destinations.rest import is_loopback
from syndb_pipeline.sandbox import files, metadata, profile
from syndb_pipeline.sandbox.backend import Backend, Limits, without_paths
from syndb_pipeline.sandbox.faults import Faults
from syndb_pipeline.sandbox.files import S3Error

BODY_BYTES: Final = 1_000_000
"""Bytes of a body that is no file; a dataset's metadata are a few thousand."""

_FORM_SLACK: Final = 200_000
"""Bytes of a form beside its file."""


def build_api(faults: Faults, limits: Limits) -> FastAPI:
    """The routes, and what answers when one refuses."""
    api = FastAPI(
        title="SynDB sandbox",
        version="0.7.2",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would go to whatever host the request named
        max_body_size=BODY_BYTES,
    )

    @api.get("/")
    async def root() -> dict[str, str]:
        return {"name": "SynDB sandbox", "contract": "syndb-api-client 0.7.2"}

    for router in (profile.router, metadata.router, files.router, faults.router()):
        api.include_router(router)
    api.include_router(files.uploads, max_body_size=limits.upload_bytes + _FORM_SLACK)
    api.include_router(files.objects, max_body_size=limits.object_bytes + _FORM_SLACK)
    for error, handler in _HANDLERS.items():
        api.add_exception_handler(error, handler)
    return api


def build_app(backend: Backend, faults: Faults, *, any_host: bool = False) -> ASGIApp:
    """The sandbox as an application, to be served by `serve.ResettableProtocol`.

    Args:
        backend: What it serves; what a server that was killed left there is removed.
        faults: What goes wrong, as a middleware around everything else.
        any_host: Whether a request may call the server by any name. Otherwise by the name in its
            address, or by one of this machine's when that is one: a web page elsewhere that
            points its own name here gets nothing.
    """
    for left in ("incoming", "outgoing"):
        shutil.rmtree(backend.folder / left, ignore_errors=True)
    api = build_api(faults, backend.limits)
    api.state.backend = backend
    return faults.around(api if any_host else _only_for(api, backend.address))


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
