"""The sandbox as a server strangers can reach: wrong bodies, tokens, names; floods; start and stop.

Belongs here: what holds for every route, over a real socket. Does not: uploads and signed forms
(their own tests), or the published bodies (`test_sandbox_contract.py`).
"""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from filelock import FileLock

from syndb_pipeline.base.errors import ConfigError, PipelineError
from syndb_pipeline.sandbox.backend import DEMO_ACCOUNTS, Users
from syndb_pipeline.sandbox.fault_script import FAULTS_HELP
from syndb_pipeline.sandbox.serve import serve
from tests.rest_lab import ADA, BOB, EVE, PASSWORD, TOM, UPLOAD, Sandbox, new_dataset, register

NEW = "/neurodata/metadata/dataset/new"
PROFILE = "/user/profile/current"
LOGIN = "/user/auth/native/login"
URL_ENCODED = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json"}


def places(answer: httpx.Response) -> list[list[Any]]:
    """Where a 422 finds something wrong."""
    assert answer.status_code == 422, answer.text
    assert all(set(each) == {"loc", "msg", "type"} for each in answer.json()["detail"])
    return [each["loc"] for each in answer.json()["detail"]]


def anonymous(sandbox: Sandbox, method: str, path: str, **options: Any) -> httpx.Response:
    return httpx.request(method, sandbox.url + path, trust_env=False, timeout=60, **options)


def raw(sandbox: Sandbox, request: bytes) -> bytes:
    """All that comes back for these very bytes, until the server closes or is silent."""
    answer = b""
    with socket.create_connection(("127.0.0.1", sandbox.port)) as connection:
        connection.settimeout(0.5)
        try:
            connection.sendall(request)
            while piece := connection.recv(1 << 16):
                answer += piece
        except (TimeoutError, ConnectionError):
            pass
    return answer


# Bodies, paths and queries

OUT_OF_LIMITS: dict[str, list[Any]] = {
    "id": ["no uuid", None, 7],
    "label": ["", "x" * 121, "a\0b", "a\x1bb", ["x"], None],
    "notes": ["x" * 281, "a\0b"],
    "data_license": [0, 9, True, "CC0"],
    "animal": [0, 22, 1.5, True, 10**400],
    "microscopy": ["", "x" * 201],
    "mutations": [
        [{"gene": "x" * 101, "expression": "knock-out"}],
        [{"gene": "x", "expression": "knocked"}],
        {"gene": "x"},
    ],
    "brain_regions": [
        [],
        None,
        [{"brain_structure": "", "direction": "null"}],
        [{"brain_structure": "hippocampus", "direction": "upwards"}],
        [{"brain_structure": "hippocampus"}],
    ],
    "syndb_tables": [[], [0], [12], [True], ["neuron"]],
    "publication_dois": [["x" * 256]],
    "authorized_group_names": [[""], "lab"],
    "dataset_collection_names": [[None], ["x"] * 1001],
}


@pytest.mark.parametrize("field", OUT_OF_LIMITS)
def test_a_field_out_of_its_limits_is_named(ada: httpx.Client, field: str) -> None:
    for value in OUT_OF_LIMITS[field]:
        answer = ada.post(NEW, json=new_dataset(**{field: value}))
        assert all(place[:2] == ["body", field] for place in places(answer)), value


def test_words_of_any_script_come_back_as_they_were_sent(ada: httpx.Client) -> None:
    odd = ["脑🧠", "e\u0301", "'; DROP TABLE neuron; --", "../../etc/passwd", "<script>", "‮rtl"]
    for label in ("x" * 120, "Νευρώνας Ω", *odd):
        made = register(ada, label=label, notes="two\nlines\tand a tab")
        info = ada.get(f"/neurodata/metadata/dataset/{made}/info").json()
        assert (info["label"], info["notes"]) == (label, "two\nlines\tand a tab")
        ada.delete(f"/neurodata/io/{made}/delete_dataset").raise_for_status()


JSON_ROUTES = [
    ("POST", "/user/auth/register"),
    *(
        ("POST", f"/neurodata/metadata/tag/{kind}/create")
        for kind in ("animal", "brain_region", "microscopy", "mutation", "publication")
    ),
    ("POST", NEW),
    ("POST", "/neurodata/metadata/dataset/search"),
    ("POST", "/neurodata/metadata/dataset/collection/new/simple"),
    ("POST", "/neurodata/metadata/dataset/collection/new/multi-brain-region"),
    ("POST", "/neurodata/io/download_dataset"),
    ("GET", "/neurodata/io/download_url"),
    ("POST", "/neurodata/benchmark/neurodata_download/upload_benchmark_result"),
]
ODD_BODIES = [
    *(b"", b"null", b'"x"', b"{", b"{}", b'{"name": NaN}', b'{"name": "\\u0000"}'),
    b"[" * 200_000,
    b'{"id": ' + b"9" * 100_000 + b"}",
    b'{"label": "\\ud800"}',
    b'{"mapping": {"\\ud800": []}, "email": "\\ud800@x.y", "password": "\\ud800\\ud800\\ud800"}',
    b'{"name": "\xff\xfe"}',
    json.dumps({"include": {"animals_species": "x"}, "id": {}, "mapping": [], "species": []}),
]


@pytest.mark.parametrize("route", JSON_ROUTES, ids=lambda route: route[1])
def test_odd_bodies_are_refused_everywhere(ada: httpx.Client, route: tuple[str, str]) -> None:
    for body in ODD_BODIES:
        answer = ada.request(*route, content=body, headers=JSON)
        if answer.status_code == 400:
            assert answer.json() == {"detail": "There was an error parsing the body"}
        else:
            places(answer)
    places(ada.request(*route, content=b'{"name": "x"}', headers={"content-type": "text/plain"}))
    assert ada.request(*route, content=b" " * 1_000_001, headers=JSON).status_code == 413


def test_wrong_queries_are_validation_errors(ada: httpx.Client, dataset: str) -> None:
    tag = "/user/profile/current/set_scientist_tag?scientist_tag=a/b"
    assert places(ada.post(tag)) == [["query", "scientist_tag"]]
    path = f"/neurodata/io/{dataset}/upload"
    tar = {"dataset_tar_file": (f"{dataset}.tar", b"x")}
    assert places(ada.patch(path, files=tar)) == [["query", name] for name in UPLOAD]
    wrong = UPLOAD | {"country_alpha2": "NLD", "city": "a\0", "top_mbps_up": "1.5"}
    found = places(ada.patch(path, params=wrong, files=tar))
    assert found == [["query", name] for name in ("country_alpha2", "city", "top_mbps_up")]


def test_an_unexpected_error_shows_nothing_of_its_inside(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "sandbox") as sandbox, sandbox.client(ADA) as ada:
        broken = sandbox.node / "datasets" / str(uuid4()) / "dataset.json"
        broken.mkdir(parents=True)
        answer = ada.get("/neurodata/metadata/dataset/get/all")
        assert (answer.status_code, set(answer.json())) == (500, {"detail"})
        assert str(tmp_path) not in answer.text
        until = time.monotonic() + 10
        while "IsADirectoryError" not in sandbox.log():  # written once the answer is out
            assert time.monotonic() < until
            time.sleep(0.05)


# Who asks


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer x", "Basic YTpi", "bearer é", "Bearer " + "x" * 20_000]
)
def test_a_bad_token_is_unauthorized(sandbox: Sandbox, header: str) -> None:
    headers = {"authorization": header.encode()} if header else {}
    answer = anonymous(sandbox, "GET", PROFILE, headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"detail": "Unauthorized"})
    assert answer.headers["www-authenticate"] == "Bearer"


def test_what_is_signed_elsewhere_or_for_another_thing_is_worth_nothing(
    sandbox: Sandbox, ada: httpx.Client, dataset: str, tmp_path: Path
) -> None:
    token = sandbox.token(ADA)
    with Sandbox(tmp_path / "other") as other:
        strange = other.token(ADA)
    url = ada.get("/user/academic/authorize").json()["authorization_url"]
    state = httpx.URL(url).params["state"]
    tables = {"mapping": {dataset: ["neuron"]}}
    link = ada.post("/neurodata/io/download_dataset", json=tables).json()["download_url"]
    signature = httpx.URL(link).params["signature"]
    # Not the last character: some of its bits are no part of what base64 encodes.
    turned = token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1]
    cut = (token[:-2], token.rpartition(".")[0] + ".", token[1:], "." + token, token + "x")
    for word in (strange, turned, token.upper(), *cut, state, signature, "null", "a.b", "\xff"):
        header = [(b"authorization", b"Bearer " + word.encode("latin-1"))]
        assert anonymous(sandbox, "GET", PROFILE, headers=header).status_code == 401
    for word in (token, signature):
        assert ada.get("/_sandbox/academic", params={"state": word}).status_code == 400
    for word in (token, state):
        assert ada.get(httpx.URL(link).copy_set_param("signature", word)).status_code == 403


def test_a_token_ends_with_its_log_out_however_it_is_written(sandbox: Sandbox) -> None:
    token = sandbox.token()

    def ask(method: str, path: str, word: str) -> int:
        headers = {"authorization": f"Bearer {word}"}
        return anonymous(sandbox, method, path, headers=headers).status_code

    assert ask("POST", "/user/auth/native/logout", token) == 200
    for word in (token, token + "=", token + "==", f" {token}"):
        assert ask("GET", PROFILE, word) == 401


def test_what_was_signed_outlives_the_server(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "sandbox") as sandbox:
        sandbox.create_tags()
        kept, ended = sandbox.client(BOB), sandbox.client(BOB)
        ended.post("/user/auth/native/logout").raise_for_status()
        dataset, unit = register(kept), str(uuid4())
        form = kept.get(f"/neurodata/io/{dataset}/upload_url/mesh").json()

        def send() -> int:
            file = {"file": (f"{unit}.glb", b"x")}
            sent = httpx.post(form["upload_url"], data=form["fields"], files=file, trust_env=False)
            return sent.status_code

        assert send() == 204
        wanted = {"target": 1, "dataset_id_to_cids": {dataset: [unit]}}
        links = kept.request("GET", "/neurodata/io/download_url", json=wanted).json()
        [link] = links["dataset_id_to_download_metadata"][dataset]
        sandbox.kill()
        sandbox.token_seconds = 1
        sandbox.start()
        brief = sandbox.client(BOB)
        assert [each.get(PROFILE).status_code for each in (kept, ended)] == [200, 401]
        assert (send(), httpx.get(link, trust_env=False).content) == (204, b"x")
        time.sleep(1)
        assert [each.get(PROFILE).status_code for each in (kept, brief)] == [200, 401]


def test_no_user_registers_as_verified_or_superuser(sandbox: Sandbox) -> None:
    rights = {"is_verified": True, "is_superuser": True, "is_active": False}
    wish = {"email": "mallory@x.example", "password": "abc", **rights}
    made = anonymous(sandbox, "POST", "/user/auth/register", json=wish).json()
    assert {name: made[name] for name in rights} == {name: not rights[name] for name in rights}
    assert "password" not in made
    for email in ("x", "a@b", "a b@c.d", "a@b.c\n", "x" * 400 + "@x.y"):
        wish = {"email": email, "password": "abc"}
        places(anonymous(sandbox, "POST", "/user/auth/register", json=wish))


def test_a_scientist_tag_belongs_to_one(sandbox: Sandbox) -> None:
    tag = {"params": {"scientist_tag": "the-first"}}
    with sandbox.client(ADA) as ada, sandbox.client(EVE) as eve:
        path = "/user/profile/current/set_scientist_tag"
        asked = [client.post(path, **tag).status_code for client in (ada, ada, eve)]
    assert asked == [200, 200, 422]
    assert anonymous(sandbox, "GET", "/user/profile/scientist_tag/nobody").status_code == 404


def test_verification_needs_the_signed_state_and_the_institutions_word(sandbox: Sandbox) -> None:
    with sandbox.client(TOM) as tom:
        page = httpx.URL(tom.get("/user/academic/authorize").json()["authorization_url"])
        state = page.params["state"]
        for given, expected in (
            ({}, 400),
            ({"state": "x", "code": "y"}, 400),
            ({"state": state, "error": "denied"}, 400),
            ({"state": state}, 403),
            *(({"state": state, "code": code}, 403) for code in ("", "0" * 64, "\xe9…", state)),
        ):
            answer = anonymous(sandbox, "GET", "/user/academic/callback", params=given)
            assert (answer.status_code, type(answer.json()["detail"])) == (expected, str)
        bad = page.copy_with(params={"state": "<script>"})
        assert httpx.get(bad, trust_env=False).status_code == 400
        shown = httpx.get(page, trust_env=False)
        assert shown.headers["content-security-policy"].startswith("default-src 'none'")
        assert not tom.get(PROFILE).json()["is_verified"], "looking at the page verifies no one"
        assert tom.post(NEW, json=new_dataset()).status_code == 403
        sandbox.verify(TOM)
        assert tom.get(PROFILE).json()["is_verified"]
        assert tom.post(NEW, json=new_dataset()).status_code == 201


def test_one_of_many_who_register_an_id_at_once_gets_it(sandbox: Sandbox) -> None:
    body = new_dataset()
    clients = [sandbox.client(email) for email in (ADA, BOB, EVE) * 5]
    with ThreadPoolExecutor(len(clients)) as pool:
        answers = pool.map(lambda client: client.post(NEW, json=body).status_code, clients)
    assert sorted(answers) == [201] + [422] * 14


# A web page in a browser on this machine


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost:1@evil.example",
        "",
        "[",
        "[::1",
        "a b",
        "evil.example:80\r\nHost: 127.0.0.1",
    ],
)
def test_a_page_that_points_its_own_name_here_gets_nothing(sandbox: Sandbox, host: str) -> None:
    for start in ("GET /neurodata/metadata/dataset/get/all", "PUT /_sandbox/faults"):
        head = f"{start} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Host: localhost\r\n"
        answer = raw(sandbox, f"{head}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 400 ") and b"uuid_to_label" not in answer


def test_links_never_hold_the_name_a_request_gave(sandbox: Sandbox, ada: httpx.Client) -> None:
    for headers in (
        {"host": f"localhost:{sandbox.port}"},
        {"host": "[::1]:80"},
        {"x-forwarded-host": "evil.example", "forwarded": "host=evil"},
    ):
        answer = ada.get("/user/academic/authorize", headers=headers).json()
        assert answer["authorization_url"].startswith(sandbox.url + "/")


# Heads, lengths, floods

HEAD = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
POST = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.mark.parametrize(
    "request_head",
    [
        HEAD + b"X: " + b"x" * 2_000_000 + b"\r\n\r\n",
        HEAD + b"X: y\r\n" * 300_000 + b"\r\n",
        b"GET /" + b"x" * 2_000_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        POST + b"Content-Length: x\r\n\r\n",
        b"\0" * 1000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=range(7),
)
def test_heads_that_are_giant_or_no_http_end_the_connection(
    sandbox: Sandbox, request_head: bytes
) -> None:
    answer = raw(sandbox, request_head)
    assert answer == b"" or answer.split()[1].startswith(b"4")
    assert anonymous(sandbox, "GET", "/").status_code == 200


def test_no_body_fills_the_memory(sandbox: Sandbox) -> None:
    """Bodies of 100 MB where a few bytes are expected, from a caller who is not logged in."""

    def huge(start: bytes) -> Iterator[bytes]:
        yield start
        for _ in range(100):
            yield bytes(1_000_000)

    def sent(method: str, path: str, start: bytes = b"", **headers: str) -> int:
        return anonymous(sandbox, method, path, content=huge(start), headers=headers).status_code

    anonymous(sandbox, "GET", "/")
    before = sandbox.memory()
    form = {"content-type": "multipart/form-data; boundary=B"}
    part = b"--B\r\nContent-Disposition: form-data; name="
    starts = [part + b'"', b"--B\r\n", b"", part + b'"a"\r\n\r\n']
    assert [sent("POST", "/objects/mesh", start, **form) for start in starts] == [400] * 4
    assert sent("POST", LOGIN, **URL_ENCODED) == 413
    assert sent("POST", "/_sandbox/academic", **URL_ENCODED) == 413
    assert sent("PUT", "/_sandbox/faults") == 413
    assert sandbox.memory() - before < 40_000_000


def test_a_flood_of_log_ins_leaves_memory_and_other_requests_alone(
    sandbox: Sandbox, ada: httpx.Client
) -> None:
    """Each password is hashed with 16 MB, on purpose."""
    sandbox.token()
    before = sandbox.memory()
    over = threading.Event()

    def log_in() -> None:
        while not over.is_set():
            anonymous(sandbox, "POST", LOGIN, data={"username": "x", "password": PASSWORD})

    with ThreadPoolExecutor(30) as pool:
        for _ in range(30):
            pool.submit(log_in)
        try:
            path = "/neurodata/metadata/dataset/get/modifiable"
            assert ada.get(path, timeout=5).status_code == 200
        finally:
            over.set()
    assert sandbox.memory() - before < 120_000_000


def test_many_requests_at_a_time_while_uploads_are_slow(
    sandbox: Sandbox, ada: httpx.Client, dataset: str
) -> None:
    """A request that waits for a lock of the node does not hold up the others."""
    path = httpx.URL(f"/neurodata/io/{dataset}/upload", params=UPLOAD).raw_path
    name = f'name="dataset_tar_file"; filename="{dataset}.tar"'.encode()
    body = b"--b\r\nContent-Disposition: form-data; %s\r\n\r\nx\r\n--b--\r\n" % name
    request = (
        b"PATCH %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n%s"
    ) % (path, sandbox.token(ADA).encode(), len(body), body)
    with FileLock(sandbox.node / "locks" / f"{dataset}.lock"):
        waiting = [socket.create_connection(("127.0.0.1", sandbox.port)) for _ in range(60)]
        for each in waiting:
            each.sendall(request)
        start = time.monotonic()
        for _ in range(20):
            assert ada.get("/neurodata/metadata/dataset/get/all").status_code == 200
        assert time.monotonic() - start < 5
    for each in waiting:
        each.settimeout(30)
        assert b" 415 " in each.recv(4096)
        each.close()


# Accounts, and starting and stopping


def test_secrets_on_disk_are_the_owners_alone_and_no_passwords(sandbox: Sandbox) -> None:
    for name in ("secret", "users.json"):
        assert stat.S_IMODE((sandbox.folder / name).stat().st_mode) == 0o600
    for path in sandbox.folder.rglob("*"):
        if path.is_file() and path.name != "server.log":
            assert PASSWORD.encode() not in path.read_bytes()


def test_made_up_passwords_are_the_same_at_each_start_and_others_elsewhere(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "a", "b")]
    made = [Users(folder).add(DEMO_ACCOUNTS) for folder in folders]
    assert made[0] == made[1] != made[2]
    assert len(set(made[0].values())) == 4
    assert all(len(password) >= 16 for password in made[0].values())


def test_accounts_of_a_file(tmp_path: Path) -> None:
    zoe = {"email": "zoe@lab.example", "password": "her own", "verified": True, "groups": ["flies"]}
    with Sandbox(tmp_path / "sandbox", accounts=[zoe, {"email": "yan@lab.example"}]) as sandbox:
        assert sandbox.token("zoe@lab.example", "her own")
        assert sandbox.token("yan@lab.example", PASSWORD)
        with pytest.raises(httpx.HTTPStatusError):
            sandbox.token(ADA)
        sandbox.verify("yan@lab.example")
        sandbox.restart()
        with sandbox.client("yan@lab.example") as yan:
            assert yan.get(PROFILE).json()["is_verified"], "verified once, verified for good"
    (tmp_path / "wrong.yaml").write_text("users: [{mail: x}]")
    with pytest.raises(ConfigError, match="email"):
        serve(tmp_path / "s", port=0, accounts=tmp_path / "wrong.yaml")


def test_what_an_older_version_kept_is_read(tmp_path: Path) -> None:
    user = {"id": str(uuid4()), "email": TOM, "password": "a$b", "verified": True, "groups": []}
    (tmp_path / "users.json").write_text(json.dumps({"format": 1, "users": [user], "revoked": {}}))
    known = Users(tmp_path).by(email=TOM)
    assert known is not None and known.is_verified


def test_only_this_machine_unless_it_is_allowed(tmp_path: Path) -> None:
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
    (tmp_path / "s" / "users.json").write_text("{")
    with pytest.raises(ConfigError, match="damaged"):
        serve(tmp_path / "s", port=0)


def test_without_its_extra_the_command_names_it_and_still_lists_faults() -> None:
    code = (
        "import sys; sys.modules['fastapi'] = None; sys.argv[0] = 'syndb-pipeline'\n"
        "from syndb_pipeline.cli.main import main; main()"
    )

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, "sandbox", *options]
        return subprocess.run(command, capture_output=True, text=True)

    refused = run()
    assert refused.returncode == 2
    assert "a package that is not installed: fastapi" in refused.stderr
    assert 'pip install "syndb-pipeline[sandbox]"' in refused.stderr
    assert "Traceback" not in refused.stderr
    listed = run("--faults")
    assert (listed.returncode, listed.stdout.strip()) == (0, FAULTS_HELP)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_orderly(tmp_path: Path, how: signal.Signals) -> None:
    sandbox = Sandbox(tmp_path / "sandbox")
    sandbox.start()
    assert sandbox.process is not None
    assert (sandbox.folder / "address").read_text().strip() == sandbox.url
    sandbox.process.send_signal(how)
    assert sandbox.process.wait(20) == 0
    assert not (sandbox.folder / "address").exists()
    assert f"kind: rest, url: '{sandbox.url}'" in sandbox.log()
    assert "Traceback" not in sandbox.log()
