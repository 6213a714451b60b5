"""Tables given back: a signed link, behind it a tar that is written while it is sent.

Belongs here: that link and that tar. Does not: which route hands the link out (`io.py`).

What SynDB's tar holds is not known. Here: one `<dataset id>/<table>.parquet` for each table asked
for that has rows, its first column `dataset_id`, as SynDB adds it to every row. A table that was
never uploaded is left out.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlencode
from uuid import UUID, uuid4

import anyio.to_thread
from itsdangerous import BadData, URLSafeSerializer
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from syndb_pipeline.base import engine
from syndb_pipeline.base.engine import parquet, write_parquet
from syndb_pipeline.base.errors import UnknownDataset
from syndb_pipeline.sandbox.backend import Backend, backend_of
from syndb_pipeline.sandbox.fault_script import OBJECTS
from syndb_pipeline.sandbox.wire import Refusal

PATH: Final = f"{OBJECTS}/tables/syndb_download.tar"
PIECE: Final = 1 << 20


def download_link(backend: Backend, tables: Mapping[UUID, Sequence[str]]) -> str:
    """A link with which anyone may GET a tar of these tables until it expires. All it says is
    signed, so nothing is kept here.
    """
    said = [
        {str(dataset): list(names) for dataset, names in tables.items()},
        time.time() + backend.limits.url_seconds,
    ]
    token = _signer(backend).dumps(said)
    return f"{backend.address}{PATH}?{urlencode({'signature': token})}"


async def download(request: Request) -> Response:
    backend = backend_of(request)
    try:
        wanted, expires = _signer(backend).loads(request.query_params.get("signature", ""))
    except BadData:
        raise Refusal(403, "This link is not one of ours.") from None
    if expires <= time.time():
        raise Refusal(403, "This link has expired.")
    place = backend.folder / "outgoing" / uuid4().hex
    members = await anyio.to_thread.run_sync(_hold, backend, wanted, place)
    return StreamingResponse(_tar(backend, members, place), media_type="application/x-tar")


def _hold(
    backend: Backend, wanted: dict[str, list[str]], place: Path
) -> list[tuple[UUID, str, Path]]:
    """Each table's file under a second name, so that an upload in between takes nothing away."""
    place.mkdir(parents=True, mode=0o700)
    held = []
    for name, tables in wanted.items():
        dataset = UUID(name)
        try:
            files = backend.node().table_files(dataset)
        except UnknownDataset:
            shutil.rmtree(place, ignore_errors=True)
            raise Refusal(404, "There is no such dataset any more.") from None
        for table in dict.fromkeys(tables):
            if table in files:
                kept = place / f"{dataset}.{table}"
                os.link(files[table], kept)
                held.append((dataset, table, kept))
    return held


async def _tar(
    backend: Backend, members: list[tuple[UUID, str, Path]], place: Path
) -> AsyncIterator[bytes]:
    """The tar's bytes. No more than one table lies on disk a second time."""
    try:
        for dataset, table, source in members:
            path = place / "member.parquet"
            await anyio.to_thread.run_sync(
                _write_member, backend, dataset, source, path, limiter=backend.heavy
            )
            size = path.stat().st_size
            header = tarfile.TarInfo(f"{dataset}/{table}.parquet")
            header.size = size
            yield header.tobuf(tarfile.PAX_FORMAT)
            with path.open("rb") as file:
                while piece := await anyio.to_thread.run_sync(file.read, PIECE):
                    yield piece
            yield bytes(-size % tarfile.BLOCKSIZE)
            source.unlink()
        yield bytes(2 * tarfile.BLOCKSIZE)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _write_member(backend: Backend, dataset: UUID, source: Path, path: Path) -> None:
    path.unlink(missing_ok=True)
    limits = backend.limits
    with engine.connect(
        memory_limit=limits.memory_limit, threads=limits.threads, spill=path.with_name("spill")
    ) as connection:
        write_parquet(
            connection,
            f"SELECT '{dataset}'::UUID AS dataset_id, * FROM {parquet(source)}",
            path,
            published=True,
        )


def _signer(backend: Backend) -> URLSafeSerializer:
    return URLSafeSerializer(
        backend.secret, salt="download", signer_kwargs={"digest_method": hashlib.sha256}
    )


def routes() -> list[BaseRoute]:
    return [Route(PATH, download, methods=["GET"])]
