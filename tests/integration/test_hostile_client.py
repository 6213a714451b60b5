"""A malicious client, or a web page in a browser, before the sandbox: what it can take, forge,
reach or exhaust.

Belongs here: what no client of ours would send, over a real socket. Does not: the contract
(`test_sandbox_contract.py`).
"""

from __future__ import annotations

import socket
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.rest_lab import ADA, BOB, EVE, PASSWORD, TOM, Sandbox

MEGABYTE = 1_000_000
UPLOAD = {
    "upload_start_time": "2026-01-01T00:00:00Z",
    "continent": "x",
    "country_alpha2": "XX",
    "city": "x",
    "top_mbps_up": 0,
}
REGION = {"brain_structure": "hippocampus", "direction": "null"}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        with running.client(ADA) as ada:
            for kind, tag in (
                ("animal", {"species": 1}),
                ("brain_region", REGION),
                ("microscopy", {"name": "ssTEM"}),
            ):
                ada.post(f"/neurodata/metadata/tag/{kind}/create", json=tag).raise_for_status()
        yield running


@pytest.fixture(scope="module")
def ada(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with sandbox.client(ADA) as client:
        yield client


@pytest.fixture(scope="module")
def eve(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with sandbox.client(EVE) as client:
        yield client


@pytest.fixture
def dataset(ada: httpx.Client) -> str:
    body = new_dataset()
    ada.post("/neurodata/metadata/dataset/new", json=body).raise_for_status()
    return str(body["id"])


def new_dataset(**other: Any) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "label": "L",
        "animal": 1,
        "microscopy": "ssTEM",
        "brain_regions": [REGION],
        "syndb_tables": [1],
    } | other


def raw(sandbox: Sandbox, request: bytes) -> bytes:
    """All that comes back for these very bytes, until the server closes or is silent."""
    with socket.create_connection(("127.0.0.1", sandbox.port)) as connection:
        connection.settimeout(0.5)
        connection.sendall(request)
        answer = b""
        try:
            while piece := connection.recv(1 << 16):
                answer += piece
        except TimeoutError:
            pass
        return answer


# Other people's


def test_every_route_that_changes_a_dataset_refuses_a_stranger(
    ada: httpx.Client, eve: httpx.Client, dataset: str
) -> None:
    before = ada.get(f"/neurodata/metadata/dataset/{dataset}/info").json()
    tar = {"dataset_tar_file": (f"{dataset}.tar", b"x")}
    collection = {"name": f"of {dataset}", "dataset_ids": [dataset], "notes": "x"}
    answers = [
        eve.patch(f"/neurodata/io/{dataset}/upload", params=UPLOAD, files=tar),
        *(eve.get(f"/neurodata/io/{dataset}/upload_url/{kind}") for kind in ("mesh", "swb")),
        *(
            eve.delete(
                f"/neurodata/io/{dataset}/delete_dataset", params={"superuser_override": word}
            )
            for word in ("false", "true")
        ),
        eve.post("/neurodata/metadata/dataset/collection/new/simple", json=collection),
        eve.post("/neurodata/metadata/dataset/new", json=new_dataset(id=dataset, label="Eve's")),
    ]
    assert [answer.status_code for answer in answers] == [403, 403, 403, 403, 403, 403, 422]
    assert ada.get(f"/neurodata/metadata/dataset/{dataset}/info").json() == before


def test_one_of_many_who_register_an_id_at_once_gets_it(sandbox: Sandbox) -> None:
    body = new_dataset()
    clients = [sandbox.client(email) for email in (ADA, BOB, EVE) * 3]
    with ThreadPoolExecutor(len(clients)) as pool:
        answers = list(
            pool.map(
                lambda client: (
                    client.post("/neurodata/metadata/dataset/new", json=body).status_code
                ),
                clients,
            )
        )
    assert sorted(answers) == [201] + [422] * (len(clients) - 1)


def test_nobody_is_verified_by_himself(sandbox: Sandbox) -> None:
    with sandbox.client(TOM) as tom:
        page = httpx.URL(tom.get("/user/academic/authorize").json()["authorization_url"])
        state = page.params["state"]
        for code in (None, "", "0" * 64, "\xe9", state):
            said = {"state": state} | ({"code": code} if code is not None else {})
            assert tom.get("/user/academic/callback", params=said).status_code == 403
        assert tom.get("/user/profile/current").json()["is_verified"] is False


# Words that the sandbox signed


def test_what_is_signed_for_one_thing_is_worth_nothing_for_another(
    sandbox: Sandbox, ada: httpx.Client, dataset: str
) -> None:
    token = sandbox.token()
    state = httpx.URL(ada.get("/user/academic/authorize").json()["authorization_url"]).params[
        "state"
    ]
    link = ada.post(
        "/neurodata/io/download_dataset", json={"mapping": {dataset: ["neuron"]}}
    ).json()["download_url"]
    signature = httpx.URL(link).params["signature"]
    for word in (
        state,
        signature,
        token[:-2],
        token.rpartition(".")[0] + ".",
        token[1:],
        "null",
        "a.b",
        "\xff",
    ):
        header = [(b"authorization", b"Bearer " + word.encode("latin-1"))]
        assert (
            httpx.get(
                f"{sandbox.url}/user/profile/current", headers=header, trust_env=False
            ).status_code
            == 401
        )
    for word in (token, signature):
        assert ada.get("/_sandbox/academic", params={"state": word}).status_code == 400
    for word in (token, state):
        assert ada.get(httpx.URL(link).copy_set_param("signature", word)).status_code == 403


def test_a_token_ends_with_its_log_out_however_it_is_written(sandbox: Sandbox) -> None:
    token = sandbox.token()

    def ask(method: str, path: str, word: str) -> int:
        return httpx.request(
            method, sandbox.url + path, headers={"authorization": f"Bearer {word}"}, trust_env=False
        ).status_code

    assert ask("POST", "/user/auth/native/logout", token) == 200
    assert {
        ask("GET", "/user/profile/current", word)
        for word in (token, token + "=", token + "==", f" {token}")
    } == {401}


@pytest.mark.parametrize(
    "name",
    [
        "../{}.glb",
        "{}.glb\0",
        "{}.glb/",
        "x/{}.glb",
        "\N{FULLWIDTH FULL STOP}\N{FULLWIDTH FULL STOP}/{}.glb",
        "{}.GLB",
        "{}.swc",
    ],
)
def test_a_file_is_named_after_its_unit_or_refused(
    ada: httpx.Client, dataset: str, name: str
) -> None:
    form = ada.get(f"/neurodata/io/{dataset}/upload_url/mesh").json()
    file = {"file": (name.format(uuid4()), b"mesh")}
    answer = httpx.post(form["upload_url"], data=form["fields"], files=file, trust_env=False)
    assert (answer.status_code, "AccessDenied" in answer.text) == (403, True)


@pytest.mark.parametrize(
    "part",
    [
        "%2e%2e%2f",
        "..%2f..%2fsecret",
        "%00",
        "\N{FULLWIDTH DIGIT ZERO}" * 32,
        "%2fetc%2fpasswd",
        "*",
    ],
)
def test_an_id_leads_to_no_path(ada: httpx.Client, part: str) -> None:
    assert ada.get(f"/neurodata/metadata/dataset/{part}/info").status_code in (404, 422)
    assert ada.get(f"/neurodata/io/{part}/upload_url/mesh").status_code in (404, 422)
    assert ada.delete(f"/neurodata/io/{part}/delete_dataset").status_code in (404, 422)


# A web page in a browser on this machine


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost:1@evil.example", "", "a b", "[::1"],
)
def test_a_page_that_points_its_own_name_here_gets_nothing(sandbox: Sandbox, host: str) -> None:
    for start in (
        b"GET /neurodata/metadata/dataset/get/all",
        b"PUT /_sandbox/faults",
        b"GET /_sandbox/requests",
    ):
        answer = raw(
            sandbox,
            start
            + f" HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode(),
        )
        assert answer.startswith(b"HTTP/1.1 400 "), answer
        assert b"uuid_to_label" not in answer and b'"path"' not in answer


def test_another_sites_page_is_allowed_nothing(sandbox: Sandbox) -> None:
    """Without leave a browser sends no PUT, DELETE or JSON to another site, and shows no answer; a
    form is all it can send.
    """
    headers = {"origin": "https://evil.example", "access-control-request-method": "PUT"}
    for path in ("/_sandbox/faults", "/user/auth/register", "/neurodata/metadata/dataset/new"):
        answer = httpx.options(sandbox.url + path, headers=headers, trust_env=False)
        assert answer.status_code == 405 and not any(
            name.startswith("access-control") for name in answer.headers
        )
    body = b'{"email": "mallory@evil.example", "password": "xxx"}'
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=B",
        "",
    ):
        answer = httpx.post(
            f"{sandbox.url}/user/auth/register",
            content=body,
            headers={"content-type": kind},
            trust_env=False,
        )
        assert answer.status_code == 422
    assert (
        httpx.post(
            f"{sandbox.url}/_sandbox/faults", data={"faults": "500@*"}, trust_env=False
        ).status_code
        == 405
    )


# Lies about lengths


@pytest.mark.parametrize(
    "lines",
    [
        b"content-length: 2\r\ncontent-length: 3",
        b"content-length: 2\r\ntransfer-encoding: chunked",
        b"content-length: \xb2",
        b"content-length: -1",
        b"content-length: 99999999999999999999999",
        b"transfer-encoding: chunked, identity",
    ],
)
def test_a_request_with_two_readings_has_none(sandbox: Sandbox, lines: bytes) -> None:
    hidden = b"0\r\n\r\nGET /_sandbox/requests HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    answer = raw(
        sandbox,
        b"POST /user/auth/native/login HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        + lines
        + b"\r\n\r\n"
        + hidden,
    )
    assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1 ") == 1, answer


# What it can use up


def test_no_body_fills_the_memory(sandbox: Sandbox) -> None:
    """Bodies of 100 MB where a few bytes are expected, from somebody who is not logged in."""

    def huge(start: bytes) -> Iterator[bytes]:
        yield start
        for _ in range(100):
            yield bytes(MEGABYTE)

    httpx.get(sandbox.url, trust_env=False)
    before = sandbox.memory()
    form = {"content-type": "multipart/form-data; boundary=B"}
    starts = [
        b'--B\r\nContent-Disposition: form-data; name="',
        b"--B\r\n",
        b"",
        b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n',
    ]
    answers = [
        httpx.post(
            f"{sandbox.url}/objects/mesh", content=huge(start), headers=form, trust_env=False
        )
        for start in starts
    ]
    url_encoded = {"content-type": "application/x-www-form-urlencoded"}
    answers += [
        httpx.post(
            f"{sandbox.url}/user/auth/native/login",
            content=huge(b""),
            headers=url_encoded,
            trust_env=False,
        ),
        httpx.post(
            f"{sandbox.url}/_sandbox/academic",
            content=huge(b""),
            headers=url_encoded,
            trust_env=False,
        ),
        httpx.put(f"{sandbox.url}/_sandbox/faults", content=huge(b""), trust_env=False),
    ]
    assert [answer.status_code for answer in answers] == [400, 400, 400, 400, 413, 413, 413]
    assert sandbox.memory() - before < 40 * MEGABYTE


def test_a_flood_of_log_ins_leaves_memory_and_other_requests_alone(
    sandbox: Sandbox, ada: httpx.Client
) -> None:
    """Each password is hashed with 16 MB, on purpose."""
    sandbox.token()
    before = sandbox.memory()
    over = threading.Event()

    def log_in() -> None:
        while not over.is_set():
            httpx.post(
                f"{sandbox.url}/user/auth/native/login",
                data={"username": "x", "password": PASSWORD},
                timeout=60,
                trust_env=False,
            )

    with ThreadPoolExecutor(30) as pool:
        for _ in range(30):
            pool.submit(log_in)
        try:
            assert (
                ada.get("/neurodata/metadata/dataset/get/modifiable", timeout=5).status_code == 200
            )
        finally:
            over.set()
    assert sandbox.memory() - before < 120 * MEGABYTE


def test_secrets_in_its_folder_are_for_its_user_alone(sandbox: Sandbox) -> None:
    for name in ("secret", "users.json"):
        assert stat.S_IMODE((sandbox.folder / name).stat().st_mode) == 0o600
    written = [
        path
        for path in sandbox.folder.rglob("*")
        if path.is_file() and path.name not in ("server.log",)
    ]
    assert not [path for path in written if PASSWORD.encode() in Path(path).read_bytes()]
