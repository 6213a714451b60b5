"""The sandbox as a server strangers can reach: wrong bodies, wrong tokens, wrong names, and how it
starts and stops.

Belongs here: what holds for every route. Does not: uploads and signed forms (their own tests), or
the published bodies.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from syndb_pipeline.base.errors import ConfigError, PipelineError
from syndb_pipeline.sandbox.serve import serve
from tests.rest_lab import ADA, BOB, EVE, PASSWORD, TOM, Sandbox

REGION = {"brain_structure": "hippocampus", "direction": "null"}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("app") / "sandbox") as running:
        yield running
        assert "Traceback" not in running.log()
        assert running.memory() < 400_000_000


@pytest.fixture(scope="module")
def ada(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with sandbox.client(ADA) as client:
        for tag, body in (
            ("animal", {"species": 18}),
            ("microscopy", {"name": "ssTEM"}),
            ("brain_region", REGION),
        ):
            client.post(f"/neurodata/metadata/tag/{tag}/create", json=body).raise_for_status()
        yield client


def new(**changed: Any) -> dict[str, Any]:
    fixed = {
        "id": str(uuid4()),
        "label": "x",
        "animal": 18,
        "microscopy": "ssTEM",
        "brain_regions": [REGION],
        "syndb_tables": [1],
    }
    return fixed | changed


def register(client: httpx.Client, **changed: Any) -> httpx.Response:
    return client.post("/neurodata/metadata/dataset/new", json=new(**changed))


def places(answer: httpx.Response) -> list[list[Any]]:
    """Where a 422 finds something wrong."""
    assert answer.status_code == 422, answer.text
    assert all(set(each) == {"loc", "msg", "type"} for each in answer.json()["detail"])
    return [each["loc"] for each in answer.json()["detail"]]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "no uuid"),
        ("id", None),
        ("id", 7),
        ("label", ""),
        ("label", "x" * 121),
        ("label", "a\0b"),
        ("label", "a\x1bb"),
        ("label", ["x"]),
        ("label", None),
        ("notes", "x" * 281),
        ("notes", "a\0b"),
        ("data_license", 0),
        ("data_license", 9),
        ("data_license", True),
        ("data_license", "CC0"),
        ("animal", 0),
        ("animal", 22),
        ("animal", 1.5),
        ("animal", True),
        ("animal", 10**400),
        ("microscopy", ""),
        ("microscopy", "x" * 201),
        ("mutations", [{"gene": "x" * 101, "expression": "knock-out"}]),
        ("mutations", [{"gene": "x", "expression": "knocked"}]),
        ("mutations", {"gene": "x"}),
        ("brain_regions", []),
        ("brain_regions", None),
        ("brain_regions", [{"brain_structure": "", "direction": "null"}]),
        ("brain_regions", [{"brain_structure": "hippocampus", "direction": "upwards"}]),
        ("brain_regions", [{"brain_structure": "hippocampus"}]),
        ("syndb_tables", []),
        ("syndb_tables", [0]),
        ("syndb_tables", [12]),
        ("syndb_tables", [True]),
        ("syndb_tables", ["neuron"]),
        ("publication_dois", ["x" * 256]),
        ("authorized_group_names", [""]),
        ("authorized_group_names", "lab"),
        ("dataset_collection_names", [None]),
        ("dataset_collection_names", ["x"] * 1001),
    ],
)
def test_a_field_out_of_its_limits_is_named(ada: httpx.Client, field: str, value: Any) -> None:
    found = places(register(ada, **{field: value}))
    assert all(place[:2] == ["body", field] for place in found)


@pytest.mark.parametrize(
    "field", ["id", "label", "animal", "microscopy", "brain_regions", "syndb_tables"]
)
def test_a_missing_field_is_named(ada: httpx.Client, field: str) -> None:
    body = new()
    del body[field]
    assert places(ada.post("/neurodata/metadata/dataset/new", json=body)) == [["body", field]]


def test_of_many_who_register_one_id_at_a_time_one_does(
    sandbox: Sandbox, ada: httpx.Client
) -> None:
    made = str(uuid4())
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: register(ada, id=made, label="the same").status_code, range(16))
        )
    assert sorted(answers) == [201] + [422] * 15


def test_words_of_any_script_come_back_as_they_were_sent(ada: httpx.Client) -> None:
    for label in (
        "x" * 120,
        "Νευρώνας Ω",
        "脑🧠",
        "e\u0301",
        "'; DROP TABLE neuron; --",
        "../../etc/passwd",
        "<script>",
        "‮rtl",
    ):
        made = register(ada, label=label, notes="two\nlines\tand a tab")
        assert made.status_code == 201, made.text
        info = ada.get(f"/neurodata/metadata/dataset/{made.json()['id']}/info").json()
        assert (info["label"], info["notes"]) == (label, "two\nlines\tand a tab")
        ada.delete(f"/neurodata/io/{made.json()['id']}/delete_dataset").raise_for_status()


JSON_ROUTES = [
    ("POST", "/user/auth/register"),
    ("POST", "/neurodata/metadata/tag/animal/create"),
    ("POST", "/neurodata/metadata/tag/brain_region/create"),
    ("POST", "/neurodata/metadata/tag/microscopy/create"),
    ("POST", "/neurodata/metadata/tag/mutation/create"),
    ("POST", "/neurodata/metadata/tag/publication/create"),
    ("POST", "/neurodata/metadata/dataset/new"),
    ("POST", "/neurodata/metadata/dataset/search"),
    ("POST", "/neurodata/metadata/dataset/collection/new/simple"),
    ("POST", "/neurodata/metadata/dataset/collection/new/multi-brain-region"),
    ("POST", "/neurodata/io/download_dataset"),
    ("GET", "/neurodata/io/download_url"),
    ("POST", "/neurodata/benchmark/neurodata_download/upload_benchmark_result"),
]
ODD_BODIES = [
    b"",
    b"null",
    b"[]",
    b"1",
    b'"x"',
    b"{",
    b"{}",
    b"[" * 200_000,
    b'{"a":' * 100_000,
    b'{"id": ' + b"9" * 100_000 + b"}",
    b'{"label": "\\ud800"}',
    b'{"name": "\\u0000"}',
    b'{"name": "\xff\xfe"}',
    b"\xef\xbb\xbf{}",
    b'{"name": NaN}',
    json.dumps(
        {"include": {"animals_species": "x" * 1000}, "id": {}, "mapping": [], "species": []}
    ).encode(),
]


@pytest.mark.parametrize("route", JSON_ROUTES, ids=lambda route: route[1])
def test_odd_bodies_are_validation_errors_everywhere(
    ada: httpx.Client, route: tuple[str, str]
) -> None:
    method, path = route
    for body in ODD_BODIES:
        places(
            ada.request(method, path, content=body, headers={"content-type": "application/json"})
        )
    places(
        ada.request(method, path, content=b'{"name": "x"}', headers={"content-type": "text/plain"})
    )
    assert (
        ada.request(
            method, path, content=b" " * 1_000_001, headers={"content-type": "application/json"}
        ).status_code
        == 413
    )


def test_a_body_without_end_is_cut_off(sandbox: Sandbox, ada: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(20):
            yield b"[" * 1_000_000

    headers = {"content-type": "application/json"}
    assert (
        ada.post("/neurodata/metadata/dataset/new", content=endless(), headers=headers).status_code
        == 413
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"username=ada",
        b"username=a&password=" + b"x" * 2000,
        b"username=" + b"x" * 400 + b"&password=x",
        b"username=%ff&password=%ff",
        b"&".join(b"a=b" for _ in range(1000)),
        b"username=a&password=b&grant_type=other",
        b"\xff\xfe",
    ],
)
def test_odd_logins_are_validation_errors(sandbox: Sandbox, body: bytes) -> None:
    url = f"{sandbox.url}/user/auth/native/login"
    places(
        httpx.post(
            url,
            content=body,
            headers={"content-type": "application/x-www-form-urlencoded"},
            trust_env=False,
        )
    )
    places(httpx.post(url, json={"username": ADA, "password": PASSWORD}, trust_env=False))


@pytest.mark.parametrize("part", ["x", "%00", "..", "%2e%2e%2f", "00000000", "🧠", "x" * 3000])
def test_a_path_that_holds_no_uuid(ada: httpx.Client, part: str) -> None:
    for method, path in (
        ("GET", f"/neurodata/metadata/dataset/{part}/info"),
        ("DELETE", f"/neurodata/io/{part}/delete_dataset"),
        ("PATCH", f"/neurodata/io/{part}/upload"),
        ("GET", f"/user/profile/id/{part}"),
    ):
        assert ada.request(method, path).status_code in (404, 422)


def test_wrong_queries_are_validation_errors(ada: httpx.Client) -> None:
    dataset = register(ada).json()["id"]
    assert places(
        ada.get("/neurodata/metadata/get/universal?cutoff_creation_datetime=yesterday")
    ) == [["query", "cutoff_creation_datetime"]]
    assert places(
        ada.delete(f"/neurodata/io/{dataset}/delete_dataset?superuser_override=perhaps")
    ) == [["query", "superuser_override"]]
    assert places(ada.post("/user/profile/current/set_scientist_tag")) == [
        ["query", "scientist_tag"]
    ]
    assert places(ada.post("/user/profile/current/set_scientist_tag?scientist_tag=a/b")) == [
        ["query", "scientist_tag"]
    ]
    path = f"/neurodata/io/{dataset}/upload"
    wanted = ["upload_start_time", "continent", "country_alpha2", "city", "top_mbps_up"]
    assert places(ada.patch(path, files={"dataset_tar_file": (f"{dataset}.tar", b"x")})) == [
        ["query", name] for name in wanted
    ]
    said = {
        "upload_start_time": "2026-11-23T10:00:00Z",
        "continent": "x",
        "country_alpha2": "NLD",
        "city": "a\0",
        "top_mbps_up": "1.5",
    }
    found = places(
        ada.patch(path, params=said, files={"dataset_tar_file": (f"{dataset}.tar", b"x")})
    )
    assert found == [["query", name] for name in wanted[2:]]


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer x", "Basic YTpi", "bearer é", "Bearer " + "x" * 20_000, "Bearer a b c"],
)
def test_a_bad_token_is_unauthorized(sandbox: Sandbox, header: str) -> None:
    headers = {"authorization": header.encode()} if header else {}
    answer = httpx.get(f"{sandbox.url}/user/profile/current", headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()) == (401, {"detail": "Unauthorized"})
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_token_of_another_sandbox_or_with_a_letter_changed_is_unauthorized(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    token = sandbox.token(ADA)
    with Sandbox(tmp_path / "other") as other:
        strange = other.token(ADA)
    for bad in (
        strange,
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        token.upper(),
        token + "x",
        "." + token,
    ):
        headers = {"authorization": f"Bearer {bad}"}
        assert (
            httpx.get(
                f"{sandbox.url}/user/profile/current", headers=headers, trust_env=False
            ).status_code
            == 401
        )


def test_tokens_and_their_end_outlive_the_server(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "sandbox") as sandbox:
        kept, ended = sandbox.client(BOB), sandbox.client(BOB)
        ended.post("/user/auth/native/logout").raise_for_status()
        sandbox.restart()
        assert kept.get("/user/profile/current").status_code == 200
        assert ended.get("/user/profile/current").status_code == 401
        sandbox.token_seconds = 1
        sandbox.restart()
        brief = sandbox.client(BOB)
        time.sleep(1)
        assert brief.get("/user/profile/current").status_code == 401
        assert kept.get("/user/profile/current").status_code == 200


def test_nobody_registers_as_verified_or_superuser(sandbox: Sandbox) -> None:
    wish = {
        "email": "mallory@x.example",
        "password": "abc",
        "is_verified": True,
        "is_superuser": True,
        "is_active": False,
    }
    made = httpx.post(f"{sandbox.url}/user/auth/register", json=wish, trust_env=False).json()
    assert (made["is_verified"], made["is_superuser"], made["is_active"]) == (False, False, True)
    for email in ("x", "a@b", "a b@c.d", "a@b.c\n", "x" * 400 + "@x.y"):
        assert (
            httpx.post(
                f"{sandbox.url}/user/auth/register",
                json={"email": email, "password": "abc"},
                trust_env=False,
            ).status_code
            == 422
        )


def test_a_scientist_tag_belongs_to_one(sandbox: Sandbox) -> None:
    with sandbox.client(ADA) as ada, sandbox.client(EVE) as eve:
        assert (
            ada.post(
                "/user/profile/current/set_scientist_tag", params={"scientist_tag": "the-first"}
            ).status_code
            == 200
        )
        assert (
            ada.post(
                "/user/profile/current/set_scientist_tag", params={"scientist_tag": "the-first"}
            ).status_code
            == 200
        )
        assert (
            eve.post(
                "/user/profile/current/set_scientist_tag", params={"scientist_tag": "the-first"}
            ).status_code
            == 422
        )
    assert (
        httpx.get(f"{sandbox.url}/user/profile/scientist_tag/nobody", trust_env=False).status_code
        == 404
    )


def test_verification_needs_the_signed_state_and_the_institutions_word(sandbox: Sandbox) -> None:
    with sandbox.client(TOM) as tom:
        page = httpx.URL(tom.get("/user/academic/authorize").json()["authorization_url"])
        state = page.params["state"]
        back = f"{sandbox.url}/user/academic/callback"
        for given, expected in (
            ({}, 400),
            ({"state": "x", "code": "y"}, 400),
            ({"state": state}, 403),
            ({"state": state, "code": "guessed"}, 403),
            ({"state": state, "code": "…"}, 403),
            ({"state": state, "error": "denied"}, 400),
        ):
            answer = httpx.get(back, params=given, trust_env=False)
            assert (answer.status_code, type(answer.json()["detail"])) == (expected, str)
        assert (
            httpx.get(page.copy_with(params={"state": "<script>"}), trust_env=False).status_code
            == 400
        )
        shown = httpx.get(page, trust_env=False)
        assert shown.headers["content-security-policy"].startswith("default-src 'none'")
        assert not tom.get("/user/profile/current").json()["is_verified"], (
            "looking at the page verifies nobody"
        )
        sandbox.verify(TOM)
        assert tom.get("/user/profile/current").json()["is_verified"]
        assert register(tom).status_code != 403


def raw(sandbox: Sandbox, request: bytes) -> bytes:
    """What the server answers to these bytes, up to the first 4 kB."""
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=10) as connection:
        try:
            connection.sendall(request)
            return connection.recv(4096)
        except ConnectionError:
            return b""


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "",
        "[",
        "a b",
        "evil.example:80\r\nHost: 127.0.0.1",
    ],
)
def test_a_name_that_is_not_the_servers_gets_nothing(sandbox: Sandbox, host: str) -> None:
    answer = raw(
        sandbox,
        f"GET /user/academic/authorize HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Host:"
        " localhost\r\n\r\n".encode(),
    )
    assert answer.split()[1] == b"400"


def test_links_never_hold_the_name_a_request_gave(sandbox: Sandbox, ada: httpx.Client) -> None:
    for headers in (
        {"host": f"localhost:{sandbox.port}"},
        {"host": "[::1]:80"},
        {"x-forwarded-host": "evil.example", "forwarded": "host=evil"},
    ):
        assert (
            ada.get("/user/academic/authorize", headers=headers)
            .json()["authorization_url"]
            .startswith(sandbox.url + "/")
        )


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 2_000_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 300_000 + b"\r\n",
        b"GET /" + b"x" * 2_000_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"\0" * 1000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=range(8),
)
def test_heads_that_are_giant_or_no_http_end_the_connection(
    sandbox: Sandbox, request_head: bytes
) -> None:
    answer = raw(sandbox, request_head)
    assert answer == b"" or answer.split()[1].startswith(b"4")
    assert httpx.get(sandbox.url, trust_env=False).status_code == 200


def test_unknown_routes_and_methods_read_like_every_refusal(ada: httpx.Client) -> None:
    for method, path, status in (
        ("GET", "/none", 404),
        ("PUT", "/neurodata/metadata/dataset/new", 405),
        ("GET", "/../../etc/passwd", 404),
    ):
        answer = ada.request(method, path)
        assert (answer.status_code, set(answer.json())) == (status, {"detail"})


def test_an_unexpected_error_tells_nothing_of_its_inside(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "sandbox") as sandbox, sandbox.client(ADA) as ada:
        broken = sandbox.node / "datasets" / str(uuid4()) / "dataset.json"
        broken.parent.mkdir(parents=True)
        broken.mkdir()
        answer = ada.get("/neurodata/metadata/dataset/get/all")
        assert answer.status_code == 500
        assert set(answer.json()) == {"detail"}
        assert str(tmp_path) not in answer.text
        until = time.monotonic() + 10
        while "IsADirectoryError" not in sandbox.log():  # written once the answer is out
            assert time.monotonic() < until
            time.sleep(0.05)


def test_secrets_on_disk_are_the_owners_alone_and_no_passwords(sandbox: Sandbox) -> None:
    for name in ("secret", "users.json"):
        assert stat.S_IMODE((sandbox.folder / name).stat().st_mode) == 0o600
    for path in sandbox.folder.rglob("*.json"):
        assert PASSWORD not in path.read_text()


def test_made_up_passwords_are_the_same_at_each_start_and_others_elsewhere(tmp_path: Path) -> None:
    from syndb_pipeline.sandbox.users import DEMO_ACCOUNTS, Users, folder_secret

    made = [
        Users(tmp_path / name, folder_secret(tmp_path / name)).add(DEMO_ACCOUNTS)
        for name in ("a", "a", "b")
    ]
    assert made[0] == made[1] != made[2]
    assert len(set(made[0].values())) == 4
    assert all(len(password) >= 16 for password in made[0].values())


def test_accounts_of_a_file(tmp_path: Path) -> None:
    accounts = [
        {"email": "zoe@lab.example", "password": "her own", "verified": True, "groups": ["flies"]},
        {"email": "yan@lab.example"},
    ]
    with Sandbox(tmp_path / "sandbox", accounts=accounts) as sandbox:
        assert sandbox.token("zoe@lab.example", "her own")
        assert sandbox.token("yan@lab.example", PASSWORD)
        with pytest.raises(httpx.HTTPStatusError):
            sandbox.token(ADA)
        sandbox.verify("yan@lab.example")
        sandbox.restart()
        with sandbox.client("yan@lab.example") as yan:
            assert yan.get("/user/profile/current").json()["is_verified"], (
                "verified once, verified for good"
            )
    (tmp_path / "wrong.yaml").write_text("users: [{mail: x}]")
    with pytest.raises(ConfigError, match="email"):
        serve(tmp_path / "s", port=0, accounts=tmp_path / "wrong.yaml")


def test_only_this_machine_unless_told_otherwise(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "sandbox.example", ""):
        with pytest.raises(ConfigError, match="--host"):
            serve(tmp_path / "s", host=host, port=0)
    assert not (tmp_path / "s").exists()


def test_one_server_to_a_folder_and_to_a_port(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="Another sandbox"):
        serve(sandbox.folder, port=0)
    with pytest.raises(ConfigError, match=str(sandbox.port)):
        serve(tmp_path / "s", port=sandbox.port)
    with pytest.raises(ConfigError, match="no kind"):
        serve(tmp_path / "s", port=0, faults=["nonsense@1"])


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_orderly(tmp_path: Path, how: signal.Signals) -> None:
    sandbox = Sandbox(tmp_path / "sandbox")
    sandbox.start()
    assert sandbox.process is not None
    assert (sandbox.folder / "address").read_text().strip() == sandbox.url
    os.kill(sandbox.process.pid, how)
    assert sandbox.process.wait(20) == 0
    assert not (sandbox.folder / "address").exists()
    assert f"kind: rest, url: '{sandbox.url}'" in sandbox.log()
    assert "Traceback" not in sandbox.log()


def test_many_requests_at_a_time_while_uploads_are_slow(
    sandbox: Sandbox, ada: httpx.Client
) -> None:
    """A request that waits for a lock of the node does not hold up the others."""
    from filelock import FileLock

    dataset = register(ada).json()["id"]
    said = {
        "upload_start_time": "2026-11-23T10:00:00Z",
        "continent": "x",
        "country_alpha2": "NL",
        "city": "x",
        "top_mbps_up": "1",
    }
    head_path = httpx.URL(f"/neurodata/io/{dataset}/upload", params=said).raw_path
    body = (
        '--b\r\nContent-Disposition: form-data; name="dataset_tar_file";'
        f' filename="{dataset}.tar"\r\n\r\nx\r\n--b--\r\n'.encode()
    )
    head = (
        b"PATCH %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n"
        % (head_path, sandbox.token(ADA).encode(), len(body))
    )
    with FileLock(sandbox.node / "locks" / f"{dataset}.lock"):
        waiting = [socket.create_connection(("127.0.0.1", sandbox.port)) for _ in range(8)]
        for each in waiting:
            each.sendall(head + body)
        start = time.monotonic()
        for _ in range(20):
            assert ada.get("/neurodata/metadata/dataset/get/all").status_code == 200
        assert time.monotonic() - start < 5
    for each in waiting:
        each.settimeout(30)
        assert b" 415 " in each.recv(4096)
        each.close()
