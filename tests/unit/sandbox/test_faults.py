"""Scripted faults, as a client meets them over a real socket.

Belongs here: the faults around a toy application. Does not: the sandbox's own routes.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.sandbox.fault_script import FAULTS_HELP, ROUTES, Fault, parse_fault, route_name
from syndb_pipeline.sandbox.faults import Faults
from syndb_pipeline.sandbox.serve import MAX_HEAD, ResettableProtocol

DATASET = UUID("01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11")
UPLOAD = f"/neurodata/io/{DATASET}/upload"
PROFILE = "/user/profile/current"
LOGIN = "/user/auth/native/login"
DOWNLOAD = "/neurodata/io/download_url"
TEXT = "0123456789" * 20
TOKEN = {"authorization": "Bearer of-a-toy"}
NO_ANSWER = 0
"""The status of a request whose connection was reset."""


class Toy:
    """An application that records what reached it, behind faults, on a real port."""

    def __init__(self, port: int, *texts: str) -> None:
        self.port = port
        self.uploads: list[int] = []
        self.called: list[str] = []
        self.changes: list[tuple[UUID, Fault]] = []
        self.faults = Faults(self.change, *texts)
        app = FastAPI()
        app.include_router(self.faults.router())

        @app.patch("/neurodata/io/{dataset}/upload", status_code=204)
        async def upload(request: Request) -> None:
            self.called.append("upload")
            self.uploads.append(sum([len(piece) async for piece in request.stream()]))

        @app.post(LOGIN)
        async def login(request: Request) -> JSONResponse:
            return JSONResponse({}, 200 if await request.body() == b"good" else 400)

        @app.get("/stream")
        async def stream() -> StreamingResponse:
            return StreamingResponse(TEXT[start : start + 10] for start in range(0, len(TEXT), 10))

        @app.get("/fails")
        async def fails() -> None:
            raise RuntimeError("on purpose")

        @app.get("/{path:path}")
        async def text(request: Request) -> Response:
            self.called.append(request.url.path)
            return PlainTextResponse(TEXT)

        self.app = self.faults.around(app)

    def change(self, dataset: UUID, fault: Fault) -> bool:
        self.changes.append((dataset, fault))
        return fault.options.get("table") != "nucleus"

    @property
    def log(self) -> list[tuple[int, str, str]]:
        return self.faults.log


class Server:
    """uvicorn in a thread. Every test puts its own toy on; a request stays with the toy it came to."""

    def __init__(self, loop: str) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self.toy = Toy(self.port)
        config = uvicorn.Config(
            self, http=ResettableProtocol, loop=loop, log_level="critical", lifespan="off"
        )
        self.uvicorn = uvicorn.Server(config)
        self.thread = threading.Thread(
            target=self.uvicorn.run, kwargs={"sockets": [listener]}, daemon=True
        )
        self.thread.start()
        while not self.uvicorn.started:
            time.sleep(0.005)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.toy.app(scope, receive, send)


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    running = Server(request.param)
    yield running
    running.uvicorn.should_exit = True
    running.thread.join()


@pytest.fixture
def serve(server: Server) -> Iterator[Any]:
    with ExitStack() as stack:

        def start(*texts: str) -> tuple[Toy, httpx.Client]:
            toy = server.toy = Toy(server.port, *texts)
            url = f"http://127.0.0.1:{toy.port}"
            client = httpx.Client(base_url=url, timeout=10, trust_env=False)
            return toy, stack.enter_context(client)

        yield start


def status(client: httpx.Client, method: str, path: str, **options: Any) -> int:
    try:
        return client.request(method, path, **options).status_code
    except httpx.TransportError:
        return NO_ANSWER


def upload(client: httpx.Client, size: int = 1, **options: Any) -> int:
    return status(client, "PATCH", UPLOAD, content=b"x" * size, **options)


def raw(toy: Toy, request: str, body: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", toy.port), timeout=10)
    connection.sendall(request.replace("\n", "\r\n").encode() + body)
    return connection


def everything(connection: socket.socket) -> tuple[bytes, bool]:
    """What arrives until the end, and whether the end was a reset."""
    received = b""
    while True:
        try:
            piece = connection.recv(65536)
        except ConnectionResetError:
            return received, True
        if not piece:
            return received, False
        received += piece


def asked(path: str) -> str:
    return f"GET {path} HTTP/1.1\nHost: x\n\n"


def announced(size: int) -> str:
    return f"PATCH {UPLOAD} HTTP/1.1\nHost: x\nContent-Length: {size}\n\n"


# Statuses, and when faults happen


@pytest.mark.parametrize(
    ("fault", "statuses"),
    [
        ("500@upload", [500, 204, 204, 204]),
        ("503@upload:2", [204, 503, 204, 204]),
        ("503@upload:2,times=2", [204, 503, 503, 204]),
        ("429@upload:*", [429, 429, 429, 429]),
        ("502@2,times=3", [204, 502, 502, 204]),  # a request of another kind counts too
        ("504@*,times=2", [504, 504, 204, 204]),
        ("503@*", [503, 503, 503, 503]),
        ("drop@upload:2", [204, NO_ANSWER, 204, 204]),
        ("reset@3", [204, 204, NO_ANSWER, 204]),
    ],
)
def test_when_a_fault_happens(serve: Any, fault: str, statuses: list[int]) -> None:
    toy, client = serve(fault)
    found = []
    for number in range(4):
        found.append(upload(client))
        if number == 2:
            status(client, "GET", "/elsewhere")
    assert found == statuses
    assert len(toy.uploads) == statuses.count(204) + ("drop" in fault)
    assert toy.faults.requests == 5
    happened = [place for place, each in zip((1, 2, 3, 5), statuses, strict=True) if each != 204]
    assert [entry for entry in toy.log if entry[1] == "upload"] == [
        (place, "upload", fault) for place in happened
    ]


def test_retry_after_in_seconds_as_a_date_and_as_garbage(serve: Any) -> None:
    values = ("2", "date:5", "garbage", None, "date:-60")
    texts = [f"429@{n}" + (f",retry-after={v}" if v else "") for n, v in enumerate(values, 1)]
    toy, client = serve(*texts)
    seconds, ahead, garbage, none, past = (
        client.get(PROFILE).headers.get("retry-after") for _ in values
    )
    assert (seconds, none) == ("2", None)
    now = datetime.now(UTC)
    assert timedelta(seconds=3) < parsedate_to_datetime(ahead) - now <= timedelta(seconds=6)
    assert parsedate_to_datetime(past) < now
    assert not garbage.isdigit()
    with pytest.raises(ValueError, match="Invalid date"):
        parsedate_to_datetime(garbage)
    assert toy.called == []


def test_a_gateway_answers_html_and_the_server_json(serve: Any) -> None:
    _, client = serve("500@1", "503@2")
    assert client.get(PROFILE).json() == {"detail": "A scripted fault."}
    assert client.get(PROFILE).headers["content-type"].startswith("text/html")


def test_an_expired_token_is_refused_until_the_next_log_in(serve: Any) -> None:
    toy, client = serve("expire@2")
    steps = [
        *(("GET", PROFILE, TOKEN, each) for each in (200, 401, 401, 401)),
        ("GET", PROFILE, {}, 200),  # without a token the application decides
        ("POST", LOGIN, {}, 400),
        ("GET", PROFILE, TOKEN, 401),
        ("POST", LOGIN, {}, 200),
        ("GET", PROFILE, TOKEN, 200),
    ]
    for method, path, headers, expected in steps:
        content = b"good" if expected == 200 else b"bad"
        options = {"content": content} if method == "POST" else {}
        assert status(client, method, path, headers=headers, **options) == expected
    ended = [(each, "profile", "expire") for each in (3, 4, 7)]
    assert toy.log == [(2, "profile", "expire@2"), *ended]


def test_a_token_may_expire_at_an_upload_and_more_than_once(serve: Any) -> None:
    toy, client = serve("401@upload,times=2")
    statuses = []
    for _ in range(3):
        statuses.append(upload(client, headers=TOKEN))
        client.post(LOGIN, content=b"good")
    assert statuses == [401, 401, 204]
    assert toy.uploads == [1]


# Connections


def test_reset_gives_no_answer_and_calls_nothing(serve: Any) -> None:
    toy, client = serve("reset@1")
    assert everything(raw(toy, asked(PROFILE))) == (b"", True)
    assert toy.called == []
    assert client.get(PROFILE).status_code == 200


def test_reset_in_the_middle_of_a_body_stops_the_sender(serve: Any) -> None:
    toy, client = serve("reset@upload:*,after=300000")
    connection = raw(toy, announced(10**9))
    sent = 0
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        while sent < 10**9:
            sent += connection.send(b"x" * 65536)
    assert 300_000 <= sent < 500_000_000
    assert status(client, "PATCH", UPLOAD, content=(b"x" * 65536 for _ in range(3000))) == NO_ANSWER
    assert upload(client, 1000) == NO_ANSWER, "at the end of a shorter body"
    assert (toy.called, toy.uploads) == ([], [])
    assert toy.log[0] == (1, "upload", "reset@upload:*,after=300000")


def test_reset_waits_for_the_bytes_it_was_given(serve: Any) -> None:
    toy, _ = serve("reset@upload,after=1000")
    connection = raw(toy, announced(5000), b"x" * 999)
    connection.settimeout(0.3)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.sendall(b"x")
    connection.settimeout(10)
    assert everything(connection) == (b"", True)


def test_drop_carries_the_request_out_and_sends_not_one_byte(serve: Any) -> None:
    toy, client = serve("drop@upload")
    assert everything(raw(toy, announced(3_000_000), b"x" * 3_000_000)) == (b"", True)
    assert toy.uploads == [3_000_000]
    assert toy.log == [(1, "upload", "drop@upload")]
    assert upload(client) == 204


def test_drop_keeps_back_the_answer_to_an_error_of_the_application_too(serve: Any) -> None:
    toy, client = serve("drop@1")
    assert everything(raw(toy, asked("/fails"))) == (b"", True)
    assert client.get("/fails").status_code == 500


@pytest.mark.parametrize("path", [DOWNLOAD, "/stream"])
def test_reset_response_sends_a_part_of_the_body(serve: Any, path: str) -> None:
    toy, client = serve("reset-response@*")
    received, reset = everything(raw(toy, asked(path)))
    assert reset
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body == (TEXT[:100].encode() if path == DOWNLOAD else b"5\r\n01234\r\n")
    assert status(client, "GET", path) == NO_ANSWER


def test_reset_response_without_a_body_gives_no_answer_at_all(serve: Any) -> None:
    toy, _ = serve("reset-response@upload")
    assert everything(raw(toy, announced(1), b"x")) == (b"", True)
    assert toy.uploads == [1]


def test_a_client_that_is_gone_already_can_be_reset(serve: Any) -> None:
    faults = ["slow-answer=0.3@1", "drop@1"]
    toy, client = serve(*faults[::-1])
    connection = raw(toy, asked(PROFILE))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    time.sleep(0.5)
    assert client.get(PROFILE).status_code == 200
    assert toy.log == [(1, "profile", fault) for fault in faults]


# Time


def test_slow_waits_before_the_request_is_carried_out(serve: Any) -> None:
    toy, client = serve("slow=0.5@upload")
    assert upload(client, timeout=0.2) == NO_ANSWER
    assert toy.called == []
    start = time.monotonic()
    assert upload(client) == 204
    assert time.monotonic() - start < 0.45


def test_a_slow_answer_comes_after_the_request_is_carried_out(serve: Any) -> None:
    toy, client = serve("slow-answer=0.5@upload,times=2")
    assert upload(client, timeout=0.2) == NO_ANSWER
    assert toy.uploads == [1]
    start = time.monotonic()
    assert upload(client) == 204
    assert time.monotonic() - start >= 0.5


def test_trickle_sends_so_many_bytes_a_second(serve: Any) -> None:
    toy, client = serve("trickle=400@download")
    start = time.monotonic()
    assert client.get(DOWNLOAD).text == TEXT
    assert 0.4 < time.monotonic() - start < 2
    start = time.monotonic()
    assert client.get(DOWNLOAD).text == TEXT
    assert time.monotonic() - start < 0.45
    assert toy.log == [(1, "download", "trickle=400@download")]


def test_several_faults_meet_one_request(serve: Any) -> None:
    toy, client = serve("slow=0.2@*", "503@2", "429@2", "drop@3")
    start = time.monotonic()
    assert [status(client, "GET", PROFILE) for _ in range(3)] == [200, 503, NO_ANSWER]
    assert time.monotonic() - start > 0.6
    slow = "slow=0.2@*"
    assert [fault for _, _, fault in toy.log] == [slow, slow, "503@2", slow, "drop@3"]


# Changed tables


def test_tables_are_changed_after_an_accepted_upload_and_before_its_answer(serve: Any) -> None:
    texts = ("", "lose-row@upload:2", "truncate@upload:3,table=axon", "alter-row@upload:4")
    toy, client = serve(*texts[1:-1], f"{texts[-1]},table=nucleus")
    for number in range(4):
        assert upload(client) == 204
        assert len(toy.changes) == number
    assert {dataset for dataset, _ in toy.changes} == {DATASET}
    kinds = [(fault.kind, fault.options) for _, fault in toy.changes]
    tables = [{}, {"table": "axon"}, {"table": "nucleus"}]
    assert kinds == list(zip(("lose-row", "truncate", "alter-row"), tables, strict=True))
    assert [number for number, _, _ in toy.log] == [2, 3], "what changed nothing did not happen"


# Scripting a running server

ADMIN = "/_sandbox/faults"


def test_the_script_is_changed_over_http_and_not_counted(serve: Any) -> None:
    _, client = serve("429@1")
    assert client.get(ADMIN).json() == {"faults": ["429@1"], "requests": 0, "log": []}
    texts = ["503@profile", "slow=0.1@2"]
    assert client.put(ADMIN, json={"faults": texts}).status_code == 200
    assert client.get(PROFILE).status_code == 503
    log = [[1, "profile", "503@profile"]]
    assert client.get(ADMIN).json() == {"faults": texts, "requests": 1, "log": log}
    emptied = client.put(ADMIN, json={"faults": []}).json()
    assert emptied == {"faults": [], "requests": 0, "log": []}
    assert client.get(PROFILE).status_code == 200
    assert client.get(ADMIN).json()["requests"] == 1


def test_a_script_that_cannot_be_read_changes_nothing(serve: Any) -> None:
    toy, client = serve("429@1")
    for body in (b"", b"[]", b'{"faults": "429@1"}', b'{"faults": [429]}'):
        headers = {"content-type": "application/json"}
        assert status(client, "PUT", ADMIN, content=body, headers=headers) == 422
    answer = client.put(ADMIN, json={"faults": ["429@0"]})
    assert (answer.status_code, "Kinds" in answer.json()["detail"]) == (400, True)
    assert toy.faults.texts == ["429@1"]


def test_requests_are_shown_without_query_and_token(serve: Any) -> None:
    _, client = serve("drop@object", "429@2")
    with pytest.raises(httpx.TransportError):
        client.get("/objects/mesh/a.glb?signature=canary")
    client.get(PROFILE + "?token=canary", headers={"authorization": "Bearer canary"})
    client.get(PROFILE)
    shown = client.get("/_sandbox/requests")
    keys = ("number", "path", "route", "status", "fault")
    assert shown.json() == [
        {"method": "GET"} | dict(zip(keys, values, strict=True))
        for values in (
            (1, "/objects/mesh/a.glb", "object", 200, "drop@object"),
            (2, PROFILE, "profile", 429, "429@2"),
            (3, PROFILE, "profile", 200, None),
        )
    ]
    assert "canary" not in shown.text


@pytest.mark.parametrize("path", [ADMIN, "/_sandbox/requests"])
def test_the_script_is_for_callers_on_this_machine(serve: Any, path: str) -> None:
    _, client = serve("429@1")
    elsewhere = {"x-forwarded-for": "192.0.2.7"}  # as uvicorn gives another machine
    assert client.get(path, headers=elsewhere).status_code == 403
    assert client.get(path, headers={"host": "rebound.example.org"}).status_code == 403
    assert client.get(path, headers={"host": "localhost:1"}).status_code == 200
    assert client.put(ADMIN, json={"faults": []}, headers=elsewhere).status_code == 403
    assert client.get(ADMIN).json()["faults"] == ["429@1"]


def test_a_request_of_an_earlier_script_does_not_write_into_the_next_log(serve: Any) -> None:
    toy, _ = serve("slow=0.3@1", "drop@1")
    connection = raw(toy, asked(PROFILE))
    while not toy.log:
        time.sleep(0.01)
    toy.faults.script()
    assert everything(connection) == (b"", True), "it was met by the script it arrived under"
    assert toy.log == []


# Heads


def test_the_head_of_a_request_has_a_limit(serve: Any) -> None:
    toy, client = serve()
    connection = raw(toy, "GET / HTTP/1.1\nX-Giant: ")
    sent = 0
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        while sent < 100_000_000:
            sent += connection.send(b"x" * 8192)
    assert toy.faults.requests == 0
    assert client.get(PROFILE, headers={"x-large": "y" * (MAX_HEAD // 2)}).status_code == 200


def test_a_large_body_in_the_packet_of_the_heads_end_is_no_large_head(serve: Any) -> None:
    toy, _ = serve()
    connection = raw(toy, f"PATCH {UPLOAD} HTTP/1.1\nHost: x\n")
    time.sleep(0.1)
    rest = b"Content-Length: 900000\r\nConnection: close\r\n\r\n"
    connection.sendall(rest + b"x" * 900_000)
    assert everything(connection)[0].startswith(b"HTTP/1.1 204")
    assert toy.uploads == [900_000]


# The language

NAMED = f"""
login POST {LOGIN}
other GET {LOGIN}
logout POST /user/auth/native/logout
profile GET {PROFILE}
authorize GET /user/academic/authorize
universal GET /neurodata/metadata/get/universal
new POST /neurodata/metadata/dataset/new
tag POST /neurodata/metadata/tag/brain_region/create
all GET /neurodata/metadata/dataset/get/all
modifiable GET /neurodata/metadata/dataset/get/modifiable
incomplete GET /neurodata/metadata/dataset/get/incomplete
info GET /neurodata/metadata/dataset/{DATASET}/info
collection POST /neurodata/metadata/dataset/collection/new/multi-brain-region
upload PATCH {UPLOAD}
other PATCH {UPLOAD}/more
upload-url GET /neurodata/io/{DATASET}/upload_url/swb
download POST /neurodata/io/download_dataset
download GET {DOWNLOAD}
delete DELETE /neurodata/io/{DATASET}/delete_dataset
object POST /objects
object GET /objects/a/b
other GET /objects-of-others
other GET /
"""


def test_routes_have_names() -> None:
    for name, method, path in map(str.split, NAMED.strip().splitlines()):
        assert route_name(method, path) == name
        assert name in ROUTES and name in FAULTS_HELP


UNREADABLE = {
    "there is no kind": ["", "404@1", "600@1", "lightning@1", "status@1"],
    "does not say when": ["429"],
    "is no number of a request and no route": [
        *("429@", "429@0", "429@-1", "429@1.5", "429@uplaod"),
        *("429@upload:", "429@upload:0", "429@upload:x"),
    ],
    "is no value for": [
        *("429@1,retry-after=soon", "429@1,retry-after=-1", "429@1,retry-after", "429@1,times=0"),
        *("reset@1,after=half", "lose-row@upload,table=axons", "lose-row@upload,counts=true"),
    ],
    "it has times, retry-after": ["429@1,times=2,times=3", "429@1,after=3", "429@1,"],
    "no option 'retry-after'": ["drop@1,retry-after=3"],
    "takes an amount": ["slow@1", "slow=@1", "slow=0@1", "slow=nan@1", "trickle=0.5@1"],
    "drop takes no amount": ["drop=3@1"],
    "only an upload changes tables, not login": ["lose-row@login"],
}


@pytest.mark.parametrize("reason", UNREADABLE)
def test_what_cannot_be_read_is_refused_with_what_there_is(reason: str) -> None:
    for text in UNREADABLE[reason]:
        with pytest.raises(ConfigError) as refused:
            parse_fault(text)
        assert reason in refused.value.message and repr(text) in refused.value.message
        assert refused.value.next_step == FAULTS_HELP
