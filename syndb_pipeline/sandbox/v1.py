"""The sandbox as generation 2: the routes below `/v1` that a publication needs, over the same
accounts and node.

Belongs here: those routes, families of refresh tokens, errors as `{"error": ...}`. Does not:
keeping accounts and datasets (`backend.py`).

Each route is on the API page of SynDB's documentation site, as are the bodies of log-in, renewal
and validation, and how long tokens are good; that the count of rows has a `total_rows` is on its
page of analytics. **Ours**, for no source has it: names of metadata and of the other answers, what
its vocabularies hold (neurometa's words), and the one route that takes tables, which is declared
only where it is asked for, so that both kinds of server can be met.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from uuid import UUID, uuid4

import anyio.to_thread
from fastapi import APIRouter, HTTPException, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from itsdangerous import BadData
from pydantic import BaseModel, Field, SecretStr
from starlette.exceptions import HTTPException as StarletteException

from syndb_pipeline.base import engine
from syndb_pipeline.base.errors import NotPermitted, PipelineError, UnknownDataset
from syndb_pipeline.base.tar_stream import FilePayload, TarPayload
from syndb_pipeline.contract.metadata import Metadata
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.contract.vocabularies import ANIMALS, BRAIN_STRUCTURES, LICENSES, SPDX_LICENSES
from syndb_pipeline.destinations.archive import NotReadable, take_tables
from syndb_pipeline.destinations.base import DatasetInfo, Package
from syndb_pipeline.destinations.syndb_v1.wire import NAMES, forms, read_table, species_of
from syndb_pipeline.sandbox.backend import (
    Backend,
    CurrentUser,
    Here,
    Token,
    User,
    VerifiedUser,
    without_paths,
)

REFRESH_SECONDS: Final = 30 * 24 * 3600.0
_OURS: Final = {plural: name for name, (plural, _) in NAMES.items()}
_SPECIES: Final = {form: name for name in ANIMALS for form in forms(species_of(name))}
_KNOWN: Final = {*_SPECIES, *(form for each in BRAIN_STRUCTURES for form in forms(each))}


class Login(BaseModel):
    email: Annotated[str, Field(max_length=320)]
    password: Annotated[SecretStr, Field(max_length=1_024)]


class Renewal(BaseModel):
    refresh_token: Annotated[str, Field(max_length=16_384)]


class Terms(BaseModel):
    terms: Annotated[list[str], Field(max_length=1_000)]


class NewDataset(BaseModel):
    """What the data profile requires, under names of ours."""

    id: UUID
    label: Annotated[str, Field(min_length=1, max_length=120)]
    notes: Annotated[str, Field(max_length=280)] = ""
    license: Literal[tuple(SPDX_LICENSES)]  # type: ignore[valid-type]
    access_policy: Literal["open", "registered", "restricted"]
    species: str
    microscopy: str
    brain_regions: Annotated[list[str], Field(min_length=1)]
    tables: Annotated[list[Literal[tuple(_OURS)]], Field(min_length=1)]  # type: ignore[valid-type]


public, auth = APIRouter(), APIRouter(prefix="/v1/user")
datasets, tables = APIRouter(prefix="/v1/neurodata/datasets"), APIRouter()


@public.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


@public.post("/v1/ontology/terms/validate")
def validate(asked: Terms) -> dict[str, list[str]]:
    valid = [term for term in asked.terms if term in _KNOWN]
    return {"valid": valid, "invalid": [term for term in asked.terms if term not in _KNOWN]}


@public.get("/v1/analytics/summary")
def summary(dataset_ids: UUID, user: CurrentUser, backend: Here) -> dict[str, Any]:
    total = backend.dataset(dataset_ids).number_of_units
    return {"datasets": [{"dataset_id": dataset_ids, "total_rows": total}]}


# Accounts


@auth.post("/auth/login")
def log_in(login: Login, backend: Here) -> dict[str, str]:
    token = backend.users.log_in(login.email, login.password.get_secret_value())
    if token is None:
        raise HTTPException(401, "Wrong e-mail address or password")
    family = uuid4().hex
    with backend.catalogue.changing() as content:
        content.families[family] = 0
    return _pair(backend, token, family, 0)


@auth.post("/auth/refresh")
def refresh(renewal: Renewal, backend: Here) -> dict[str, str]:
    """Another pair. A refresh token that was used already ends its whole family."""
    try:
        _, user, family, number = backend.signer.read("refresh", renewal.refresh_token)
    except BadData:
        raise HTTPException(401, "This is no refresh token, or it has ended") from None
    with backend.catalogue.changing() as content:
        good = content.families.pop(family, None) == number
        if good:
            content.families[family] = number + 1
    if not good:
        raise HTTPException(401, "This refresh token was used already; its family is ended")
    return _pair(backend, backend.users.token(user), family, number + 1)


def _pair(backend: Backend, token: str, family: str, number: int) -> dict[str, str]:
    _, user, _ = backend.signer.read("token", token)
    word = backend.signer.sign("refresh", REFRESH_SECONDS, user, family, number)
    return {"access_token": token, "refresh_token": word, "token_type": "bearer"}


@auth.post("/auth/logout")
def log_out(
    token: Token, _: CurrentUser, backend: Here, renewal: Renewal | None = None
) -> dict[str, str]:
    backend.users.revoke(token or "")
    if renewal is not None:
        with suppress(BadData), backend.catalogue.changing() as content:
            content.families.pop(backend.signer.read("refresh", renewal.refresh_token)[2], None)
    return {"status": "ok"}


@auth.post("/auth/register-service", status_code=201)
def register_service(new: Login, request: Request, backend: Here) -> dict[str, str]:
    secret = request.headers.get("x-service-secret", "")
    if secret != backend.signer.password("service accounts"):
        raise HTTPException(403, "The service secret is wrong")
    user = backend.users.register(new.email, new.password)
    if user is None:
        raise HTTPException(409, "The address is taken")
    with backend.users.changing():
        user.is_verified = True
    return {"id": str(user.id)}


@auth.get("/profile")
def profile(user: CurrentUser) -> dict[str, str]:
    account = "academic" if user.is_verified else "regular"
    return {"id": str(user.id), "email": user.email, "account_type": account}


# Datasets


@datasets.post("", status_code=201)
def register(new: NewDataset, user: VerifiedUser, backend: Here) -> dict[str, UUID]:
    if unknown := [each for each in (new.species, *new.brain_regions) if each not in _KNOWN]:
        raise HTTPException(400, f"Not in the vocabularies: {', '.join(unknown)}")
    with backend.catalogue.changing() as content:
        if backend.node().info(new.id) is not None:
            raise HTTPException(409, "A dataset has this id already")
        license = SPDX_LICENSES[new.license]
        metadata = {
            **new.model_dump(include={"id", "label", "notes", "microscopy"}),
            "data_license": LICENSES[license],
            "license": license,
            "animal": ANIMALS[_SPECIES[new.species]],
            "animal_name": _SPECIES[new.species],
            "brain_regions": [
                {"brain_structure": each, "direction": "null"} for each in new.brain_regions
            ],
            "syndb_tables": sorted(TABLES[_OURS[each]].code for each in new.tables),
        }
        backend.node(user.id).register(Metadata.model_validate(metadata))
        content.policies[new.id] = new.access_policy
    return {"id": new.id}


@datasets.get("/{which}")
def listed_or_one(
    which: Literal["owned", "modifiable", "incomplete"] | UUID,
    user: CurrentUser,
    backend: Here,
) -> Any:
    if isinstance(which, UUID):
        return _shown(backend.dataset(which), backend)
    node = backend.node(user.id)
    return [_shown(each, backend) for each in getattr(node, which)()]


@datasets.delete("/{dataset_id}", status_code=204)
def delete(dataset_id: UUID, user: CurrentUser, backend: Here) -> None:
    backend.dataset(dataset_id)
    backend.node(user.id).delete(dataset_id)


@datasets.get("/{dataset_id}/provenance")
def provenance(dataset_id: UUID, user: CurrentUser, backend: Here) -> list[dict[str, Any]]:
    uploads = backend.dataset(dataset_id).uploads or ()
    return [{"event": "upload", "by": each.by, "at": each.at} for each in uploads]


def _shown(info: DatasetInfo, backend: Backend) -> dict[str, Any]:
    known, names = info.metadata, {name: spdx for spdx, name in SPDX_LICENSES.items()}
    return {
        **known.model_dump(include={"id", "label", "notes", "microscopy"}),
        "license": names[known.license],
        "species": species_of(known.animal_name),
        "brain_regions": [each.brain_structure for each in known.brain_regions],
        "access_policy": backend.catalogue.content.policies.get(known.id),
        "owner_id": info.owner,
    }


@tables.post("/v1/neurodata/datasets/{dataset_id}/tables", status_code=204)
async def upload(
    dataset_id: UUID, tables_tar: UploadFile, user: VerifiedUser, backend: Here
) -> None:
    """Take a tar of `<table>.parquet` in, each table under generation 2's names."""
    await anyio.to_thread.run_sync(
        _take_in, backend, user, dataset_id, tables_tar, limiter=backend.heavy
    )


def _take_in(backend: Backend, user: User, dataset: UUID, sent: UploadFile) -> None:
    with tempfile.TemporaryDirectory(dir=backend.incoming) as name:
        folder = Path(name)
        with (folder / "sent.tar").open("wb") as file:
            shutil.copyfileobj(sent.file, file)
        limits, members = backend.limits, []
        try:
            with engine.connect(
                memory_limit=limits.memory_limit, threads=limits.threads, spill=folder / "spill"
            ) as connection:
                for plural, path in take_tables(folder / "sent.tar", folder, _OURS).items():
                    target = folder / f"{_OURS[plural]}.parquet"
                    read_table(connection, _OURS[plural], path, target)
                    members.append(FilePayload.of(target))
        except NotReadable as why:
            raise HTTPException(400, f"The tar cannot be read: {why}") from None
        tar = TarPayload(f"{dataset}.tar", tuple(members))
        backend.node(user.id).upload(dataset, Package(tar=tar, rows={}))


# The application


async def _on_http(_: Request, error: Any) -> Response:
    return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)


async def _on_invalid(_: Request, error: Any) -> Response:
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return JSONResponse({"error": f"{place}: {first['msg']}"}, 400)


async def _on_refused(_: Request, error: Any) -> Response:
    status = {NotPermitted: 403, UnknownDataset: 404}.get(type(error), 400)
    return JSONResponse({"error": without_paths(error.message)}, status)


HANDLERS: Final[dict[type[Exception], Any]] = {
    StarletteException: _on_http,
    RequestValidationError: _on_invalid,
    PipelineError: _on_refused,
}
ROUTERS: Final = (public, auth, datasets)
"""Without `tables`, which takes them."""
