"""Scripted faults, as a client meets them over a real socket.

Belongs here: the faults around a toy application. Does not: the sandbox's own routes.
"""

from __future__ import annotations

import asyncio
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
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from syndb_pipeline.base.errors import ConfigError, Exit
from syndb_pipeline.sandbox.fault_script import parse_fault, route_name
from syndb_pipeline.sandbox.faults import FAULTS_HELP, ROUTES, Faults, ResettableProtocol
from syndb_pipeline.sandbox.protocol import MAX_HEAD
from syndb_pipeline.sandbox.tamper import Counts, DataFault

DATASET = UUID("01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11")
UPLOAD = f"/neurodata/io/{DATASET}/upload"
PROFILE = "/user/profile/current"
LOGIN = "/user/auth/native/login"
DOWNLOAD = "/neurodata/io/download_url"
TEXT = "0123456789" * 20
TOKEN = {"authorization": "Bearer of-a-toy"}


class Toy:
    """An application that tells what reached it, behind faults, on a real port."""

    def __init__(self, *texts: str, **options: Any) -> None:
        self.uploads: list[int] = []
        self.called: list[str] = []
        self.faults = Faults(*texts, **options)
        self.port = 0

        async def upload(request: Request) -> Response:
            self.called.append("upload")
            size = 0
            async for piece in request.stream():
                size += len(piece)
            self.uploads.append(size)
            return Response(status_code=204)

        async def text(request: Request) -> Response:
            self.called.append(request.url.path)
            return PlainTextResponse(TEXT)

        async def stream(request: Request) -> Response:
            async def pieces() -> Any:
                for start in range(0, len(TEXT), 10):
                    yield TEXT[start : start + 10]

            return StreamingResponse(pieces())

        async def login(request: Request) -> Response:
            good = (await request.body()) == b"good"
            return (
                JSONResponse({"access_token": "new"})
                if good
                else JSONResponse({"detail": "no"}, 400)
            )

        async def fails(request: Request) -> Response:
            raise RuntimeError("on purpose")

        routes = [
            Route("/neurodata/io/{dataset}/upload", upload, methods=["PATCH"]),
            Route(LOGIN, login, methods=["POST"]),
            Route("/stream", stream),
            Route("/fails", fails),
            *self.faults.routes(),
            Route("/{path:path}", text, methods=["GET", "POST"]),
        ]
        self.app = self.faults.around(Starlette(routes=routes))


class Server:
    """uvicorn in a thread. Every test puts its own toy on; a request stays with the toy it came
    to.
    """

    def __init__(self, loop: str) -> None:
        self.toy = Toy()
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self.uvicorn = uvicorn.Server(
            uvicorn.Config(
                self, http=ResettableProtocol, loop=loop, log_level="critical", lifespan="off"
            )
        )
        self.thread = threading.Thread(
            target=self.uvicorn.run, kwargs={"sockets": [listener]}, daemon=True
        )
        self.thread.start()
        while not self.uvicorn.started:
            time.sleep(0.005)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.toy.app(scope, receive, send)

    def stop(self) -> None:
        self.uvicorn.should_exit = True
        self.thread.join()


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    running = {loop: Server(loop) for loop in ("asyncio", "uvloop")}
    yield running
    for server in running.values():
        server.stop()


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def serve(servers: dict[str, Server]) -> Iterator[Any]:
    with ExitStack() as stack:

        def start(*texts: str, loop: str = "asyncio", **options: Any) -> tuple[Toy, httpx.Client]:
            toy = servers[loop].toy = Toy(*texts, **options)
            toy.port = servers[loop].port
            return toy, stack.enter_context(
                httpx.Client(base_url=f"http://127.0.0.1:{toy.port}", timeout=10, trust_env=False)
            )

        yield start


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


# Statuses


def test_a_status_answers_the_request_of_its_number_and_no_other(serve: Any) -> None:
    toy, client = serve("429@3")
    assert [client.get(PROFILE).status_code for _ in range(5)] == [200, 200, 429, 200, 200]
    assert toy.called == [PROFILE] * 4
    assert toy.faults.requests == 5
    assert toy.faults.log == [(3, "profile", "429@3")]


@pytest.mark.parametrize(
    ("fault", "statuses"),
    [
        ("500@upload", [500, 204, 204, 204]),
        ("503@upload:2", [204, 503, 204, 204]),
        ("503@upload:2,times=2", [204, 503, 503, 204]),
        ("429@upload:*", [429, 429, 429, 429]),
        ("502@2,times=3", [204, 502, 502, 204]),  # a request of another kind counts too
        ("504@*,times=2", [504, 504, 204, 204]),
    ],
)
def test_when_a_fault_happens(serve: Any, fault: str, statuses: list[int]) -> None:
    toy, client = serve(fault)
    found = []
    for number in range(4):
        found.append(client.patch(UPLOAD, content=b"x").status_code)
        if number == 2:
            client.get("/elsewhere")
    assert found == statuses
    assert len(toy.uploads) == statuses.count(204)


def test_a_fault_for_every_request_has_no_end(serve: Any) -> None:
    toy, client = serve("503@*")
    assert {client.get(PROFILE).status_code for _ in range(20)} == {503}
    assert toy.called == []


def test_retry_after_in_seconds_as_a_date_and_as_garbage(serve: Any) -> None:
    toy, client = serve(
        "429@1,retry-after=2",
        "429@2,retry-after=date:5",
        "503@3,retry-after=garbage",
        "429@4",
        "429@5,retry-after=date:-60",
    )
    answers = [client.get(PROFILE) for _ in range(5)]
    assert answers[0].headers["retry-after"] == "2"
    ahead = parsedate_to_datetime(answers[1].headers["retry-after"]) - datetime.now(UTC)
    assert timedelta(seconds=3) < ahead <= timedelta(seconds=6)
    with pytest.raises(ValueError, match="invalid literal"):
        int(answers[2].headers["retry-after"])
    with pytest.raises(ValueError, match="Invalid date"):
        parsedate_to_datetime(answers[2].headers["retry-after"])
    assert "retry-after" not in answers[3].headers
    assert parsedate_to_datetime(answers[4].headers["retry-after"]) < datetime.now(UTC)
    assert toy.called == []


def test_a_gateway_answers_html_and_the_server_json(serve: Any) -> None:
    _, client = serve("500@1", "503@2")
    assert client.get(PROFILE).json() == {"detail": "A scripted fault."}
    assert client.get(PROFILE).headers["content-type"].startswith("text/html")


def test_a_status_in_the_middle_of_a_large_body_leaves_the_connection_usable(serve: Any) -> None:
    toy, client = serve("429@upload")
    large = b"x" * 8_000_000
    assert client.patch(UPLOAD, content=large).status_code == 429
    assert client.patch(UPLOAD, content=large).status_code == 204
    assert toy.uploads == [8_000_000]


# The token


def test_an_expired_token_is_refused_until_the_next_log_in(serve: Any) -> None:
    toy, client = serve("expire@2")
    assert [client.get(PROFILE, headers=TOKEN).status_code for _ in range(4)] == [
        200,
        401,
        401,
        401,
    ]
    assert client.get(PROFILE).status_code == 200, "without a token the application decides"
    assert client.post(LOGIN, content=b"bad").status_code == 400
    assert client.get(PROFILE, headers=TOKEN).status_code == 401
    assert client.post(LOGIN, content=b"good").status_code == 200
    assert client.get(PROFILE, headers=TOKEN).status_code == 200
    assert toy.faults.log == [
        (2, "profile", "expire@2"),
        (3, "profile", "expire"),
        (4, "profile", "expire"),
        (7, "profile", "expire"),
    ]


def test_a_token_may_expire_at_an_upload_and_more_than_once(serve: Any) -> None:
    toy, client = serve("401@upload,times=2")
    statuses = []
    for _ in range(3):
        statuses.append(client.patch(UPLOAD, content=b"x", headers=TOKEN).status_code)
        client.post(LOGIN, content=b"good")
    assert statuses == [401, 401, 204]
    assert toy.uploads == [1]


# Connections


def test_reset_gives_no_answer_and_calls_nothing(serve: Any, loop: str) -> None:
    toy, client = serve("reset@1", loop=loop)
    assert everything(raw(toy, f"GET {PROFILE} HTTP/1.1\nHost: x\n\n")) == (b"", True)
    assert toy.called == []
    assert client.get(PROFILE).status_code == 200


def test_reset_in_the_middle_of_a_body_stops_the_sender(serve: Any, loop: str) -> None:
    toy, _ = serve("reset@upload,after=300000", loop=loop)
    connection = raw(toy, f"PATCH {UPLOAD} HTTP/1.1\nHost: x\nContent-Length: 1000000000\n\n")
    sent = 0
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        while sent < 1_000_000_000:
            sent += connection.send(b"x" * 65536)
    assert 300_000 <= sent < 500_000_000
    assert toy.called == []
    assert toy.uploads == []
    assert toy.faults.log == [(1, "upload", "reset@upload,after=300000")]


def test_reset_waits_for_the_bytes_it_was_told(serve: Any) -> None:
    toy, _ = serve("reset@upload,after=1000")
    connection = raw(toy, f"PATCH {UPLOAD} HTTP/1.1\nHost: x\nContent-Length: 5000\n\n", b"x" * 999)
    connection.settimeout(0.3)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.sendall(b"x")
    connection.settimeout(10)
    assert everything(connection) == (b"", True)


def test_reset_beyond_the_end_of_a_body_happens_at_its_end(serve: Any) -> None:
    toy, client = serve("reset@upload,after=1000000")
    with pytest.raises(httpx.TransportError):
        client.patch(UPLOAD, content=b"x" * 1000)
    assert toy.called == []


def test_httpx_sees_a_reset_body_as_a_transport_error(serve: Any, loop: str) -> None:
    toy, client = serve("reset@upload,after=65536", loop=loop)
    # httpx passes over the reset it meets in writing, and then finds no answer to read.
    with pytest.raises((httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)):
        client.patch(UPLOAD, content=(b"x" * 65536 for _ in range(3000)))
    assert toy.uploads == []


def test_drop_carries_the_request_out_and_sends_not_one_byte(serve: Any, loop: str) -> None:
    toy, client = serve("drop@upload", loop=loop)
    body = b"x" * 3_000_000
    connection = raw(
        toy, f"PATCH {UPLOAD} HTTP/1.1\nHost: x\nContent-Length: {len(body)}\n\n", body
    )
    assert everything(connection) == (b"", True)
    assert toy.uploads == [3_000_000]
    assert toy.faults.log == [(1, "upload", "drop@upload")]
    assert client.patch(UPLOAD, content=b"x").status_code == 204


def test_drop_keeps_back_the_answer_to_an_error_of_the_application_too(serve: Any) -> None:
    toy, client = serve("drop@1")
    assert everything(raw(toy, "GET /fails HTTP/1.1\nHost: x\n\n")) == (b"", True)
    assert client.get("/fails").status_code == 500


def test_drop_at_every_request_on_one_kept_connection_after_the_other(serve: Any) -> None:
    toy, client = serve()
    for index in range(1, 5):
        toy.faults.script(f"drop@{index}")
        for request in range(1, 5):
            if request == index:
                with pytest.raises(httpx.TransportError):
                    client.get(PROFILE)
            else:
                assert client.get(PROFILE).status_code == 200
        assert toy.faults.requests == 4
        assert toy.faults.log == [(index, "profile", f"drop@{index}")]
    assert len(toy.called) == 16


@pytest.mark.parametrize("path", [DOWNLOAD, "/stream"])
def test_reset_response_sends_a_part_of_the_body(serve: Any, loop: str, path: str) -> None:
    toy, client = serve("reset-response@*", loop=loop)
    received, reset = everything(raw(toy, f"GET {path} HTTP/1.1\nHost: x\n\n"))
    assert reset
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body == (TEXT[:100].encode() if path == DOWNLOAD else b"5\r\n01234\r\n")
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        client.get(path)


def test_reset_response_without_a_body_gives_no_answer_at_all(serve: Any) -> None:
    toy, _ = serve("reset-response@upload")
    assert everything(
        raw(toy, f"PATCH {UPLOAD} HTTP/1.1\nHost: x\nContent-Length: 1\n\n", b"x")
    ) == (b"", True)
    assert toy.uploads == [1]


def test_a_client_that_is_gone_already_can_be_reset(serve: Any, loop: str) -> None:
    toy, client = serve("drop@1", "slow-answer=0.3@1", loop=loop)
    connection = raw(toy, f"GET {PROFILE} HTTP/1.1\nHost: x\n\n")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    time.sleep(0.5)
    assert client.get(PROFILE).status_code == 200
    assert toy.faults.log == [(1, "profile", "slow-answer=0.3@1"), (1, "profile", "drop@1")]


def test_a_reset_needs_the_protocol_and_says_so() -> None:
    async def call() -> None:
        scope = {
            "type": "http",
            "method": "GET",
            "path": PROFILE,
            "headers": [],
            "query_string": b"",
            "client": None,
        }
        await Toy("reset@1").app(scope, unused, unused)

    async def unused(*_: Any) -> Any:
        raise AssertionError("nothing is read or sent")

    with pytest.raises(ConfigError, match="http=ResettableProtocol"):
        asyncio.run(call())


# Time


def test_slow_waits_before_the_request_is_carried_out(serve: Any) -> None:
    toy, client = serve("slow=0.5@upload")
    with pytest.raises(httpx.ReadTimeout):
        client.patch(UPLOAD, content=b"x", timeout=0.2)
    assert toy.called == []
    start = time.monotonic()
    assert client.patch(UPLOAD, content=b"x").status_code == 204
    assert time.monotonic() - start < 0.45


def test_a_slow_answer_comes_after_the_request_is_carried_out(serve: Any) -> None:
    toy, client = serve("slow-answer=0.5@upload,times=2")
    with pytest.raises(httpx.ReadTimeout):
        client.patch(UPLOAD, content=b"x", timeout=0.2)
    assert toy.uploads == [1]
    start = time.monotonic()
    assert client.patch(UPLOAD, content=b"x").status_code == 204
    assert time.monotonic() - start >= 0.5


def test_trickle_sends_so_many_bytes_a_second(serve: Any) -> None:
    toy, client = serve("trickle=400@download")
    start = time.monotonic()
    assert client.get(DOWNLOAD).text == TEXT
    assert 0.4 < time.monotonic() - start < 2
    start = time.monotonic()
    assert client.get(DOWNLOAD).text == TEXT
    assert time.monotonic() - start < 0.45
    assert toy.faults.log == [(1, "download", "trickle=400@download")]


def test_several_faults_meet_one_request(serve: Any) -> None:
    toy, client = serve("slow=0.2@*", "503@2", "429@2", "drop@3")
    start = time.monotonic()
    assert [client.get(PROFILE).status_code for _ in range(2)] == [200, 503]
    with pytest.raises(httpx.TransportError):
        client.get(PROFILE)
    assert time.monotonic() - start > 0.6
    assert [fault for _, _, fault in toy.faults.log] == [
        "slow=0.2@*",
        "slow=0.2@*",
        "503@2",
        "slow=0.2@*",
        "drop@3",
    ]


# Spoilt data


class Recorder:
    """A hook that only tells when it was called."""

    def __init__(self) -> None:
        self.calls: list[tuple[UUID, DataFault, str | None, Counts]] = []

    def change(self, dataset: UUID, fault: DataFault, table: str | None, counts: Counts) -> bool:
        self.calls.append((dataset, fault, table, counts))
        return table != "nucleus"


def test_data_are_spoilt_after_an_accepted_upload_and_before_its_answer(serve: Any) -> None:
    hook = Recorder()
    toy, client = serve(
        "lose-row@upload:2",
        "truncate@upload:3,table=axon,counts=stored",
        "alter-row@upload:4,table=nucleus",
        tamper=hook,
    )
    for number in range(4):
        assert client.patch(UPLOAD, content=b"x").status_code == 204
        assert len(hook.calls) == number
    assert hook.calls == [
        (DATASET, "lose-row", None, "sent"),
        (DATASET, "truncate", "axon", "stored"),
        (DATASET, "alter-row", "nucleus", "sent"),
    ]
    assert [number for number, _, _ in toy.faults.log] == [2, 3], (
        "what changed nothing is not told as done"
    )


def test_data_are_not_spoilt_when_the_upload_never_reached_the_application(serve: Any) -> None:
    hook = Recorder()
    _, client = serve("double-row@*", "503@upload:1", tamper=hook)
    assert client.patch(UPLOAD, content=b"x").status_code == 503
    assert client.get(PROFILE).status_code == 200
    assert hook.calls == []
    assert client.patch(UPLOAD, content=b"x").status_code == 204
    assert len(hook.calls) == 1


def test_a_server_without_tables_refuses_such_a_script() -> None:
    faults = Faults("429@1")
    with pytest.raises(ConfigError, match="keeps no tables"):
        faults.script("lose-row@upload")
    assert faults.texts == ["429@1"]


# Scripting a running server


def test_the_script_is_changed_over_http_and_not_counted(serve: Any) -> None:
    toy, client = serve("429@1")
    assert client.get("/_sandbox/faults").json() == {"faults": ["429@1"], "requests": 0, "log": []}
    assert (
        client.put("/_sandbox/faults", json={"faults": ["503@profile", "slow=0.1@2"]}).status_code
        == 200
    )
    assert client.get(PROFILE).status_code == 503
    assert client.get("/_sandbox/faults").json() == {
        "faults": ["503@profile", "slow=0.1@2"],
        "requests": 1,
        "log": [[1, "profile", "503@profile"]],
    }
    assert client.delete("/_sandbox/faults").json() == {"faults": [], "requests": 0, "log": []}
    assert client.get(PROFILE).status_code == 200
    assert toy.faults.requests == 1


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"faults": "429@1"}', b'{"faults": [429]}', b'{"faults": ["429@0"]}']
)
def test_a_script_that_cannot_be_read_changes_nothing(serve: Any, body: bytes) -> None:
    toy, client = serve("429@1")
    answer = client.put("/_sandbox/faults", content=body)
    assert answer.status_code == 400
    assert "Kinds" in answer.json()["detail"]
    assert toy.faults.texts == ["429@1"]


def test_requests_are_told_without_query_and_token(serve: Any) -> None:
    _, client = serve("drop@object", "429@2")
    with pytest.raises(httpx.TransportError):
        client.get("/objects/mesh/a.glb?signature=canary")
    client.get(PROFILE + "?token=canary", headers={"authorization": "Bearer canary"})
    client.get(PROFILE)
    told = client.get("/_sandbox/requests")
    assert told.json() == [
        {
            "number": 1,
            "method": "GET",
            "path": "/objects/mesh/a.glb",
            "route": "object",
            "status": 200,
            "fault": "drop@object",
        },
        {
            "number": 2,
            "method": "GET",
            "path": PROFILE,
            "route": "profile",
            "status": 429,
            "fault": "429@2",
        },
        {
            "number": 3,
            "method": "GET",
            "path": PROFILE,
            "route": "profile",
            "status": 200,
            "fault": None,
        },
    ]
    assert "canary" not in told.text


@pytest.mark.parametrize("path", ["/_sandbox/faults", "/_sandbox/requests"])
def test_the_script_is_for_callers_on_this_machine(serve: Any, path: str) -> None:
    _, client = serve("429@1")
    assert client.get(path, headers={"x-forwarded-for": "192.0.2.7"}).status_code == 403, (
        "as uvicorn tells another machine"
    )
    assert client.get(path, headers={"host": "rebound.example.org"}).status_code == 403
    assert client.get(path, headers={"host": "localhost:1"}).status_code == 200
    if path.endswith("faults"):
        assert client.delete(path, headers={"x-forwarded-for": "192.0.2.7"}).status_code == 403
        assert client.get(path).json()["faults"] == ["429@1"]


def test_a_request_of_an_earlier_script_does_not_write_into_the_log_of_the_next(serve: Any) -> None:
    toy, _ = serve("slow=0.3@1", "drop@1")
    connection = raw(toy, f"GET {PROFILE} HTTP/1.1\nHost: x\n\n")
    while not toy.faults.log:
        time.sleep(0.01)
    toy.faults.script()
    assert everything(connection) == (b"", True), "it was met by the script it arrived under"
    assert toy.faults.log == []


def test_the_head_of_a_request_has_a_limit(serve: Any) -> None:
    toy, client = serve()
    connection = raw(toy, "GET / HTTP/1.1\nX-Giant: ")
    sent = 0
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        while sent < 100_000_000:
            sent += connection.send(b"x" * 8192)
    assert toy.faults.requests == 0
    assert client.get(PROFILE, headers={"x-large": "y" * (MAX_HEAD // 2)}).status_code == 200


def test_a_large_body_that_begins_in_the_same_packet_as_the_heads_end_is_no_large_head(
    serve: Any,
) -> None:
    toy, _ = serve()
    connection = raw(toy, f"PATCH {UPLOAD} HTTP/1.1\nHost: x\n")
    time.sleep(0.1)
    connection.sendall(b"Content-Length: 900000\r\nConnection: close\r\n\r\n" + b"x" * 900_000)
    assert everything(connection)[0].startswith(b"HTTP/1.1 204")
    assert toy.uploads == [900_000]


# The language


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", LOGIN, "login"),
        ("GET", LOGIN, "other"),
        ("POST", "/user/auth/native/logout", "logout"),
        ("GET", PROFILE, "profile"),
        ("GET", "/user/academic/authorize", "authorize"),
        ("GET", "/neurodata/metadata/get/universal", "universal"),
        ("POST", "/neurodata/metadata/dataset/new", "new"),
        ("POST", "/neurodata/metadata/tag/brain_region/create", "tag"),
        ("GET", "/neurodata/metadata/dataset/get/all", "all"),
        ("GET", "/neurodata/metadata/dataset/get/modifiable", "modifiable"),
        ("GET", "/neurodata/metadata/dataset/get/incomplete", "incomplete"),
        ("GET", f"/neurodata/metadata/dataset/{DATASET}/info", "info"),
        ("POST", "/neurodata/metadata/dataset/collection/new/multi-brain-region", "collection"),
        ("PATCH", UPLOAD, "upload"),
        ("PATCH", UPLOAD + "/more", "other"),
        ("GET", f"/neurodata/io/{DATASET}/upload_url/swb", "upload-url"),
        ("POST", "/neurodata/io/download_dataset", "download"),
        ("GET", DOWNLOAD, "download"),
        ("DELETE", f"/neurodata/io/{DATASET}/delete_dataset", "delete"),
        ("POST", "/objects", "object"),
        ("GET", "/objects/a/b", "object"),
        ("GET", "/objects-of-others", "other"),
        ("GET", "/", "other"),
    ],
)
def test_routes_have_names(method: str, path: str, name: str) -> None:
    assert route_name(method, path) == name
    assert name in ROUTES
    assert name in FAULTS_HELP


def test_pre_signed_urls_may_lie_elsewhere() -> None:
    assert route_name("GET", "/s3/bucket/a", "/s3/") == "object"
    assert route_name("GET", "/objects/a", "/s3") == "other"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no kind ''"),
        ("404@1", "no kind '404'"),
        ("600@1", "no kind '600'"),
        ("lightning@1", "no kind 'lightning'"),
        ("429", "does not say when"),
        ("429@", "'' is no number of a request and no route"),
        ("429@0", "'0' is no number"),
        ("429@-1", "'-1' is no number"),
        ("429@1.5", "'1.5' is no number"),
        ("429@uplaod", "'uplaod' is no number of a request and no route"),
        ("429@upload:", "'' after upload:"),
        ("429@upload:0", "'0' after upload:"),
        ("429@upload:x", "'x' after upload:"),
        ("429@1,retry-after=soon", "'soon' is no value for retry-after"),
        ("429@1,retry-after=-1", "'-1' is no value"),
        ("429@1,retry-after", "'' is no value"),
        ("429@1,times=0", "'0' is no value for times"),
        ("429@1,times=2,times=3", "times stands twice"),
        ("429@1,after=3", "no option 'after'; its options: times, retry-after"),
        ("429@1,", "no option ''"),
        ("drop@1,retry-after=3", "no option 'retry-after'"),
        ("reset@1,after=half", "'half' is no value for after"),
        ("slow@1", "slow needs an amount"),
        ("slow=@1", "'' is no amount"),
        ("slow=0@1", "'0' is no amount"),
        ("slow=nan@1", "'nan' is no amount"),
        ("trickle=0.5@1", "'0.5' is no amount"),
        ("drop=3@1", "drop takes no amount"),
        ("lose-row@login", "only an upload changes tables, not login"),
        ("lose-row@upload,table=axons", "'axons' is no value for table"),
        ("lose-row@upload,counts=true", "'true' is no value for counts"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_there_is(text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_fault(text)
    assert reason in refused.value.message
    assert repr(text) in refused.value.message
    assert refused.value.next_step == FAULTS_HELP
    assert refused.value.exit is Exit.USAGE
