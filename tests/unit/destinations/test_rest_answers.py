"""The REST destination before servers that answer otherwise than the sandbox does, as the contract
lets them or as it does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from syndb_pipeline.base.errors import (
    DestinationRefused,
    NotAPackage,
    NotPermitted,
    NotVerified,
    OutcomeUnknown,
    PipelineError,
    UnknownTable,
)
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.destinations.base import SUFFIX
from syndb_pipeline.destinations.rest import RestDestination as RestSettings
from syndb_pipeline.destinations.rest import files as rest_files
from syndb_pipeline.destinations.rest.destination import RestDestination
from tests.rest_lab import Sandbox
from tests.rest_place import DATASET, destination, mesh, metadata, package
from tests.scripted_server import Reply, Seen, Server, answer

ME = {"id": "00000000-0000-0000-0000-000000000001", "email": "me@lab.example", "is_verified": True}
PROFILE, ALL, INFO = (
    "/user/profile/current",
    "/neurodata/metadata/dataset/get/all",
    f"/neurodata/metadata/dataset/{DATASET}/info",
)
UPLOAD = f"/neurodata/io/{DATASET}/upload"
FORM = f"{UPLOAD}_url/mesh"
DOWNLOAD, LINKS = "/neurodata/io/download_dataset", "/neurodata/io/download_url"


def as_json(body: Any, status: int = 200) -> Reply:
    return answer(status, json.dumps(body).encode(), content_type="application/json")


class Routes(Server):
    """A server that answers each path with its reply; 404 elsewhere."""

    def __init__(self, routes: dict[str, Reply]) -> None:
        super().__init__([self._by_path])
        self.routes = {PROFILE: as_json(ME)} | routes

    def _by_path(self, seen: Seen) -> None:
        self.routes.get(seen.target.partition("?")[0], answer(404, b'{"detail": "Not Found"}'))(
            seen
        )

    @property
    def paths(self) -> list[str]:
        return [seen.target.partition("?")[0] for seen in self.seen]


def at(server: Server, tmp_path: Path, said: list[str] | None = None) -> RestDestination:
    config = RestSettings(kind="rest", url=server.url, attempts=2)
    settings = PipelineSettings(state=tmp_path / "state", memory_limit=600_000_000, threads=1)
    place = RestDestination("syndb", config, settings, (said if said is not None else []).append)
    place.use(SecretStr("token"))
    return place


def no(status: int, detail: Any = "no") -> Reply:
    return as_json({"detail": detail}, status)


def uploaded(**other: Any) -> dict[str, Any]:
    """`UploadedSingleDatasetSchema`, with as little in it as it allows."""
    least = {"id": str(DATASET), "label": "A", "animal": 1, "microscopy": "TEM"}
    more = {"owner_id": "somebody", "brain_regions": [], "syndb_tables": [4, 1]}
    return least | more | {"number_of_units": 3} | other


# Metadata


NOTHING = dict.fromkeys(
    [
        "notes",
        "data_license",
        "mutations",
        "publication_dois",
        "authorized_group_names",
        "dataset_collection_names",
    ]
)
CODES = {"animal": 99, "data_license": 98, "syndb_tables": [97]}


@pytest.mark.parametrize(
    ("other", "license", "animal", "tables"),
    [
        ({}, "ODC_BY", "MUS_MUSCULUS", (1, 4)),
        (NOTHING, "ODC_BY", "MUS_MUSCULUS", (1, 4)),
        ({"unknown": {"key": 1}}, "ODC_BY", "MUS_MUSCULUS", (1, 4)),
        (CODES, "unknown (98)", "unknown (99)", (97,)),
    ],
)
def test_what_a_server_leaves_out_sends_as_null_or_codes_otherwise(
    other: dict[str, Any], license: str, animal: str, tables: tuple[int, ...], tmp_path: Path
) -> None:
    with Routes({INFO: as_json(uploaded(**other))}) as server:
        info = at(server, tmp_path).info(DATASET)
    assert info is not None
    found = info.metadata
    assert (found.license, found.animal_name, found.syndb_tables) == (license, animal, tables)
    assert (found.notes, found.mutations) == ("", ())


# Refusals that may mean "there is none"


def listed(dataset: object) -> Reply:
    return as_json({"uuid_to_label": {str(dataset): "A"}})


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [(403, NotPermitted, r"somebody else.*no"), (422, DestinationRefused, r"422.*no")],
)
def test_a_refusal_about_a_dataset_that_is_not_listed_means_that_there_is_none(
    status: int, error: type[PipelineError], said: str, tmp_path: Path
) -> None:
    with Routes({INFO: no(status), ALL: listed(uuid4())}) as server:
        assert at(server, tmp_path).info(DATASET) is None
    routes = {INFO: no(status), ALL: listed(str(DATASET).upper())}
    with Routes(routes) as server, pytest.raises(error, match=said):
        at(server, tmp_path).info(DATASET)


def test_who_is_not_verified_and_may_see_nothing_is_said_that(tmp_path: Path) -> None:
    first = no(403, "verify first")
    routes = {INFO: first, ALL: first, PROFILE: as_json(ME | {"is_verified": False})}
    with Routes(routes) as server, pytest.raises(NotVerified, match="verify first"):
        at(server, tmp_path).info(DATASET)


@pytest.mark.parametrize(
    "detail", ["not yours", {"message": "not yours", "dataset_id": str(DATASET)}]
)
def test_both_forms_of_403_name_dataset_and_owner(detail: Any, tmp_path: Path) -> None:
    owner = as_json({"id": "somebody", "email": "owner@lab.example"})
    routes = {
        UPLOAD: no(403, detail),
        INFO: as_json(uploaded()),
        "/user/profile/id/somebody": owner,
    }
    with Routes(routes) as server, pytest.raises(NotPermitted) as caught:
        at(server, tmp_path).upload(DATASET, package(tmp_path, DATASET))
    said = f"Dataset {DATASET} at syndb belongs to owner@lab.example; you are me@lab.example"
    assert caught.value.message.startswith(said)
    assert caught.value.message.endswith("not yours")


@pytest.mark.parametrize(
    ("status", "detail", "error"),
    [
        (406, {"message": "unknown table", "name": "x"}, UnknownTable),
        (415, {"message": "no tar", "name": "x"}, NotAPackage),
        (422, [{"loc": ["query", "city"], "msg": "required", "type": "missing"}], NotAPackage),
        (413, "too large", DestinationRefused),
    ],
)
def test_refusals_of_an_upload(
    status: int, detail: Any, error: type[PipelineError], tmp_path: Path
) -> None:
    with (
        Routes({UPLOAD: no(status, detail)}) as server,
        pytest.raises(error) as caught,
    ):
        at(server, tmp_path).upload(DATASET, package(tmp_path, DATASET))
    assert type(caught.value) is error
    assert f"({server.url.removeprefix('http://')}) answered {status}" in caught.value.message


def test_the_uploads_query_says_where_and_when(tmp_path: Path) -> None:
    with Routes({UPLOAD: answer(204)}) as server:
        at(server, tmp_path).upload(DATASET, package(tmp_path, DATASET))
    upload = next(seen for seen in server.seen if seen.method == "PATCH")
    query = dict(pair.split("=") for pair in upload.target.partition("?")[2].split("&"))
    assert set(query) == {"upload_start_time", "continent", "country_alpha2", "city", "top_mbps_up"}
    assert query["upload_start_time"].endswith("Z")
    assert (query["country_alpha2"], query["continent"], query["top_mbps_up"]) == (
        "XX",
        "unknown",
        "0",
    )
    assert f'filename="{DATASET}.tar"'.encode() in upload.body


def test_a_deletion_that_is_answered_and_not_done_is_not_known(tmp_path: Path) -> None:
    routes = {INFO: as_json(uploaded()), f"/neurodata/io/{DATASET}/delete_dataset": answer(204)}
    with Routes(routes) as server, pytest.raises(OutcomeUnknown, match="still shows it"):
        at(server, tmp_path).delete(DATASET)


# Addresses


def test_a_link_of_verification_that_is_no_safe_address_is_neither_opened_nor_shown(
    tmp_path: Path,
) -> None:
    with (
        Routes({"/user/academic/authorize": as_json({"authorization_url": "-h"})}) as server,
        pytest.raises(DestinationRefused) as caught,
    ):
        at(server, tmp_path).authorization_url()
    assert "leads to something that is no address" in caught.value.message


def test_addresses_from_the_server_are_not_trusted(tmp_path: Path) -> None:
    url = "http://192.0.2.1/x?signature=canary"
    form = {"upload_url": url, "fields": {"key": "${filename}", "policy": "canary"}}
    routes = {
        DOWNLOAD: as_json({"download_url": url}),
        FORM: as_json(form, 201),
    }
    with Routes(routes) as server:
        place = at(server, tmp_path)
        with pytest.raises(DestinationRefused) as caught:
            place.compare(DATASET, package(tmp_path, DATASET))
        [failed] = place.put_files(DATASET, [mesh(tmp_path)])
    assert "canary" not in str(caught.value) + failed.reason
    assert "syndb leads to" in failed.reason


@pytest.mark.parametrize("body", [b"no tar at all", b""])
def test_a_download_that_is_no_tar_is_said_and_compares_nothing(
    body: bytes, tmp_path: Path
) -> None:
    said: list[str] = []
    with Routes({"/file": answer(200, body)}) as server:
        server.routes[DOWNLOAD] = as_json({"download_url": f"{server.url}/file?signature=canary"})
        checks = at(server, tmp_path, said).compare(DATASET, package(tmp_path, DATASET))
    assert [check.found for check in checks] == [None, None]
    assert "what it gave cannot be read" in said[-1]
    assert "canary" not in "".join(said)


def test_a_form_that_does_not_name_files_is_refused(tmp_path: Path) -> None:
    with Routes({}) as server:
        form = {"upload_url": f"{server.url}/store", "fields": {"key": f"{DATASET}/fixed"}}
        server.routes[FORM] = as_json(form, 201)
        [failed] = at(server, tmp_path).put_files(DATASET, [mesh(tmp_path)])
    assert "would take the place of the one before" in failed.reason
    assert "/store" not in server.paths


def test_a_form_that_ended_is_asked_for_again(tmp_path: Path) -> None:
    number = iter(range(1, 10))

    def form(seen: Seen) -> None:
        fields = {"key": "${filename}", "Content-Type": "x/y"}
        url = f"{server.url}/store{next(number)}"
        as_json({"upload_url": url, "fields": fields}, 201)(seen)

    denied = answer(
        403, b"<Error><Code>AccessDenied</Code><Message>Policy expired</Message></Error>"
    )
    with Routes({FORM: form, "/store1": denied, "/store2": answer(204)}) as server:
        place = at(server, tmp_path)
        assert place.put_files(DATASET, [mesh(tmp_path) for _ in range(6)]) == []
        assert server.paths.count("/store2") == 6
        [sent, *_] = [seen.body for seen in server.seen if seen.target == "/store2"]
        assert b"Content-Type: x/y" in sent
        server.routes |= {"/store2": denied, "/store3": denied}
        [failed] = place.put_files(DATASET, [mesh(tmp_path)])
    assert failed.reason == "the object store answered 403 Forbidden: AccessDenied: Policy expired"


def test_a_form_is_not_used_to_its_last_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Routes({"/store": answer(204)}) as server:
        path = f"/neurodata/io/{DATASET}/upload_url/swb"
        server.routes[path] = as_json(
            {"upload_url": f"{server.url}/store", "fields": {"key": "${filename}"}}, 201
        )
        place = at(server, tmp_path)
        place.put_files(DATASET, [mesh(tmp_path, "swb")])
        place.put_files(DATASET, [mesh(tmp_path, "swb")])
        assert server.paths.count(path) == 1
        monkeypatch.setattr(rest_files, "FORM_SECONDS", 0.0)
        place.put_files(DATASET, [mesh(tmp_path, "swb")])
        assert server.paths.count(path) > 1


# Object stores


@pytest.mark.parametrize("etag", ['"0123456789abcdef0123456789abcdef"', '"abc-2"', ""])
@pytest.mark.parametrize("ranges", [True, False])
def test_an_etag_that_is_no_digest_leads_to_reading(
    etag: str, ranges: bool, tmp_path: Path
) -> None:
    file, other = mesh(tmp_path), mesh(tmp_path)
    content = {file.unit: file.path.read_bytes(), other.unit: bytes(other.bytes)}

    def stored(unit: UUID) -> Reply:
        def reply(seen: Seen) -> None:
            whole = content[unit]
            if ranges and "range" in seen.headers:
                answer(206, whole[:1], content_range=f"bytes 0-0/{len(whole)}", etag=etag)(seen)
            else:
                answer(200, whole, etag=etag)(seen)

        return reply

    with Routes({f"/{DATASET}/{unit}.glb": stored(unit) for unit in content}) as server:
        urls = [f"{server.url}/{DATASET}/{unit}.glb?signature=canary" for unit in reversed(content)]
        server.routes[LINKS] = as_json(
            {"dataset_id_to_download_metadata": {str(DATASET): urls}}, 201
        )
        assert at(server, tmp_path).lacking(DATASET, [file, other]) == [other]


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("moto"), moto=True) as sandbox:
        yield sandbox


def test_an_s3_of_others_takes_and_shows_files(moto: Sandbox, tmp_path: Path) -> None:
    place, wanted = destination(moto, tmp_path), metadata()
    place.register(wanted)
    files = [mesh(tmp_path, kind) for kind in SUFFIX for _ in range(5)]
    assert place.put_files(wanted.id, files[:8]) == []
    assert place.lacking(wanted.id, files) == files[8:]
    files[0].path.write_bytes(files[0].path.read_bytes()[::-1])
    assert (
        place.lacking(wanted.id, files) == files[8:]
    )  # what was announced is there, whatever became of it here
