"""HTTP below a destination: what is sent again and what never, files, tokens, redirects, words."""

from __future__ import annotations

import hashlib
import logging
import socket
import threading
import time
import tracemalloc
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from syndb_pipeline.base.errors import (
    DestinationRefused,
    NotAPackage,
    NotLoggedIn,
    OutcomeUnknown,
    PipelineError,
    Unreachable,
)
from syndb_pipeline.base.progress import Progress
from syndb_pipeline.base.tar_stream import FilePayload
from syndb_pipeline.destinations.http.answers import Answer
from syndb_pipeline.destinations.http.bodies import FilePart
from syndb_pipeline.destinations.http.session import Session
from syndb_pipeline.destinations.rest import RestDestination as RestSettings
from tests.scripted_server import Reply, Seen, Server, answer, certified, drop

TOKEN = "token-canary"
MEGABYTE = 1 << 20
SIZE = 16 * MEGABYTE + 321
"""More than the sockets hold between client and server."""


def session_for(
    url: str, said: list[str] | None = None, *, tokens: list[str] | None = None, **settings: Any
) -> Session:
    """A session that has the first of `tokens`, and the next one each time it is refused."""
    left = [SecretStr(token) for token in tokens or []]

    def renew(refused: SecretStr | None) -> bool:
        if left and left[0] == refused:
            left.pop(0)
        return bool(left)

    patience = {"attempts": 4, "connect_seconds": 2, "answer_seconds": 5, **settings}
    return Session(
        "syndb",
        RestSettings(kind="rest", url=url, **patience),
        (said if said is not None else []).append,
        token=lambda: left[0] if left else None,
        renew=renew,
    )


@pytest.fixture(scope="module")
def content() -> bytes:
    return hashlib.shake_256(b"a package").digest(SIZE)


@pytest.fixture(scope="module")
def whole(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "package.tar"
    path.write_bytes(content)
    return path


@pytest.fixture
def path(content: bytes, tmp_path: Path) -> Path:
    """A copy of `whole` that a test may change."""
    path = tmp_path / "package.tar"
    path.write_bytes(content)
    return path


def part_of(path: Path, **more: object) -> FilePart:
    return FilePart("dataset_tar_file", "x.tar", "application/x-tar", FilePayload.of(path), **more)  # type: ignore[arg-type]


def form_of(seen: Seen) -> list[Message]:
    """The parts of a form, as another library reads them."""
    parsed = message_from_bytes(
        f"content-type: {seen.headers['content-type']}\r\n\r\n".encode() + seen.body
    )
    parts = parsed.get_payload()
    assert isinstance(parts, list)
    return [item for item in parts if isinstance(item, Message)]


def upload(session: Session, path: Path) -> Answer:
    return session.send_file("PATCH", "/upload", part_of(path))


def test_a_good_answer_comes_with_what_was_asked() -> None:
    with Server([answer(200, b'{"a": 1}')]) as server:
        session = session_for(f"{server.url}/base", tokens=[TOKEN])
        found = session.ask("POST", "/thing", json={"b": 2}, repeatable=True)
    assert found.content == b'{"a": 1}'
    [seen] = server.seen
    assert (seen.method, seen.target, seen.body) == ("POST", "/base/thing", b'{"b":2}')
    assert seen.headers["authorization"] == f"Bearer {TOKEN}"
    assert seen.headers["user-agent"].startswith("syndb-pipeline/")
    assert seen.headers["accept-encoding"] == "identity"


# Sending again


def reset(seen: Seen) -> None:
    seen.reset()


def nonsense(seen: Seen) -> None:
    seen.read()
    seen.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    seen.connection.close()


def half(seen: Seen) -> None:
    seen.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
    seen.reset()


def some_then_reset(seen: Seen) -> None:
    seen.read(MEGABYTE)
    seen.reset()


def early(status: int, *, read: int = 0, body: bytes = b'{"detail": "no"}') -> Reply:
    """Answer before the body is there, and close, as a proxy does with a body that is too large."""

    def reply(seen: Seen) -> None:
        seen.read(read)
        head = f"HTTP/1.1 {status} No\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        seen.send(head.encode() + body)
        seen.connection.shutdown(socket.SHUT_WR)
        # The client is still sending; then the connection is reset, as its bytes were not read.
        time.sleep(0.3)
        seen.connection.close()

    return reply


NO, BUSY, PAGE = b'{"detail": "no"}', b'{"detail": "busy"}', b"<html>a proxy's</html>"
GOOD = answer(200, b"whole")
LOST = [answer(502), answer(504), answer(503, PAGE), answer(500, PAGE), nonsense, drop]


@pytest.mark.parametrize(
    ("way", "replies", "outcome", "requests"),
    [
        # An answer for good is given at once
        *(("GET", [answer(status, NO)], status, 1) for status in (400, 403, 404, 405, 406)),
        *(("GET", [answer(status, NO)], status, 1) for status in (409, 413, 415, 422, 501)),
        ("UPLOAD", [answer(500, b'{"detail": "column x does not exist"}')], 500, 1),
        ("UPLOAD", [early(413)], 413, 1),
        ("UPLOAD", [early(403, read=MEGABYTE)], 403, 1),
        ("POST", [half], 200, 1),
        # What a server did not take is sent again, and whole
        *(
            (way, [answer(status, BUSY), answer(status, retry_after="0"), GOOD], 200, 3)
            for status in (408, 425, 429, 503)
            for way in ("GET", "POST")
        ),
        ("UPLOAD", [answer(429), answer(503, BUSY), GOOD], 200, 3),
        ("UPLOAD", [some_then_reset, early(500, body=PAGE), early(504, body=PAGE), GOOD], 200, 4),
        # What may be repeated is
        *(("GET", [broken, GOOD], 200, 2) for broken in (*LOST, answer(500), reset, half)),
        ("GET", [answer(502)], Unreachable, 4),
        # Anything else is sent once
        *((way, [lost, GOOD], OutcomeUnknown, 1) for lost in LOST for way in ("POST", "UPLOAD")),
        ("DELETE", [drop], OutcomeUnknown, 4),
    ],
)
def test_what_is_sent_again(
    way: str,
    replies: list[Reply],
    outcome: int | type[PipelineError],
    requests: int,
    whole: Path,
    content: bytes,
) -> None:
    said: list[str] = []

    def ask() -> Answer:
        if way == "UPLOAD":
            return upload(session, whole)
        return session.ask(way, "/thing", repeatable=False if way == "POST" else None)

    with Server(replies) as server:
        session = session_for(server.url, said)
        if isinstance(outcome, int):
            found = ask()
            assert found.status == outcome
            assert replies[-1] is not GOOD or found.content == b"whole"
            assert replies[-1] is GOOD or found.words in ("", "no", "column x does not exist")
        else:
            with pytest.raises(outcome) as caught:
                ask()
            asked = "PATCH /upload" if way == "UPLOAD" else f"{way} /thing"
            assert asked in caught.value.message
    assert len(server.seen) == requests
    assert [line.rpartition(", ")[2] for line in said] == [
        f"attempt {number} of 4" for number in range(2, requests + 1)
    ]
    if way == "UPLOAD" and replies[-1] is GOOD and outcome == 200:
        assert server.seen[-1].whole and content in server.seen[-1].body


def test_a_status_is_an_outcome_though_its_body_takes_too_long() -> None:
    def slowly(seen: Seen) -> None:
        seen.send(b"HTTP/1.1 201 Created\r\ncontent-length: 1000\r\n\r\n")
        for _ in range(20):
            seen.send(b"x")
            time.sleep(0.05)

    with Server([slowly]) as server:
        session = session_for(server.url, total_seconds=0.4)
        assert session.ask("POST", "/thing", json={}, repeatable=False).status == 201
        with pytest.raises(OutcomeUnknown):
            session.ask("DELETE", "/thing")


def test_trouble_comes_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    said: list[str] = []
    with pytest.raises(Unreachable, match="cannot be reached") as caught:
        session_for(f"http://127.0.0.1:{port}", said, attempts=2).ask("POST", "/thing")
    assert f"syndb (127.0.0.1:{port})" in str(caught.value)
    assert len(said) == 1
    page = answer(502, b"<html><title>Bad gateway</title></html>")
    with Server([answer(503, BUSY), page]) as server, pytest.raises(Unreachable) as caught:
        session_for(server.url, said).ask("GET", "/thing")
    assert "502 Bad Gateway: Bad gateway (4 attempts); asked: GET /thing" in str(caught.value)
    assert said[1].startswith("syndb answered 503")
    assert "busy; waiting 0.0 s, attempt 2 of 4" in said[1]


# Limits


def test_retry_after_is_honoured() -> None:
    said: list[str] = []
    with Server([answer(429, retry_after="0.5"), answer(200)]) as server:
        began = time.monotonic()
        assert session_for(server.url, said).ask("GET", "/thing").good
    assert 0.45 <= time.monotonic() - began < 3
    assert "waiting" in said[0]


@pytest.mark.parametrize("value", ["999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_retry_after_beyond_the_limit_ends_at_once(value: str) -> None:
    with Server([answer(429, retry_after=value)]) as server, pytest.raises(Unreachable) as caught:
        session_for(server.url, total_seconds=60).ask("GET", "/thing")
    assert len(server.seen) == 1
    assert "left alone until 20" in caught.value.next_step


def silent(seen: Seen) -> None:
    time.sleep(3)


def test_a_silent_server_is_waited_for_no_longer_than_the_settings_say() -> None:
    with Server([silent]) as server, pytest.raises(Unreachable, match="silent for too long"):
        session_for(server.url, answer_seconds=0.2, attempts=2).ask("GET", "/thing")
    assert len(server.seen) == 2


@pytest.mark.parametrize("slow", [silent, answer(503)])
def test_one_request_ends_within_the_total_limit(slow: Reply) -> None:
    began = time.monotonic()
    with Server([slow]) as server, pytest.raises(Unreachable):
        session_for(server.url, total_seconds=0.7, attempts=100).ask("GET", "/thing")
    assert time.monotonic() - began < 2


def test_an_endless_answer_is_not_kept(tmp_path: Path) -> None:
    into = tmp_path / "file"
    with Server([answer(200, b"x" * 100_000)]) as server:
        session, url = session_for(server.url), f"{server.url}/object?secret=1"
        with pytest.raises(DestinationRefused, match="more than 50,000 bytes"):
            session.fetch(url, "to read", into=into, limit=50_000)
        assert len(session.fetch(url, "to read", limit=10, cut=True).content) < 100_000
        assert session.fetch(url, "to read", into=into, limit=100_000).good
    assert into.stat().st_size == 100_000


# Files


def test_a_form_holds_its_fields_in_order_and_then_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content\n")
    part = part_of(tmp_path / "a", fields={"key": "folder/${filename}", 'odd"\r\nname': "ü"})
    query = {"at": "2026-01-01T00:00:00Z", "city": "São Paulo"}
    with Server([answer(204)]) as server:
        assert session_for(server.url).send_file("PATCH", "/upload", part, query=query).good
    [seen] = server.seen
    assert seen.whole
    assert seen.target == "/upload?at=2026-01-01T00%3A00%3A00Z&city=S%C3%A3o+Paulo"
    key, odd, file = form_of(seen)
    assert key.get_payload() == "folder/${filename}"
    assert odd["content-disposition"] == 'form-data; name="odd%22%0D%0Aname"'
    assert file["content-disposition"] == 'form-data; name="dataset_tar_file"; filename="x.tar"'
    assert file.get_content_type() == "application/x-tar"
    assert file.get_payload(decode=True) == b"content\n"


def test_the_announced_length_is_exact(tmp_path: Path) -> None:
    sizes = [0, 1, MEGABYTE - 1, MEGABYTE, MEGABYTE + 1, 3 * MEGABYTE]
    with Server([answer(204)]) as server:
        session = session_for(server.url)
        for size in sizes:
            (tmp_path / f"{size}").write_bytes(b"x" * size)
            assert upload(session, tmp_path / f"{size}").good
    for seen, size in zip(server.seen, sizes, strict=True):
        assert seen.whole and b"x" * size in seen.body


@pytest.mark.parametrize("change", ["other bytes", "shorter", "longer", "gone"])
def test_a_file_that_is_not_the_announced_one_never_arrives_whole(
    change: str, path: Path, content: bytes
) -> None:
    part = part_of(path)
    changed = {"other bytes": content[:-1] + b"?", "shorter": content[:-1]}
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(changed.get(change, content + b"?"))
    with Server([answer(204)]) as server, pytest.raises(NotAPackage):
        session_for(server.url).send_file("PATCH", "/upload", part)
    time.sleep(0.1)
    assert [seen.whole for seen in server.seen] == [False]


def test_a_file_that_changes_while_it_is_sent_never_arrives_whole(path: Path) -> None:
    def slowly(seen: Seen) -> None:
        seen.read(MEGABYTE)
        with path.open("r+b") as file:
            file.seek(-1, 2)
            file.write(b"?")
        answer(204)(seen)

    with Server([slowly]) as server, pytest.raises(NotAPackage, match="changed while it was sent"):
        upload(session_for(server.url), path)
    assert not server.seen[0].whole


def test_progress_is_reported_now_and_then_and_at_the_end(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Progress] = []
    watched = part_of(whole, watch=shown.append)
    with Server([answer(204)]) as server:
        session_for(server.url).send_file("PATCH", "/upload", watched)
        few = len(shown)
        monkeypatch.setattr("syndb_pipeline.destinations.http.bodies.PROGRESS_SECONDS", 0.0)
        session_for(server.url).send_file("PATCH", "/upload", watched)
    assert few <= 8
    assert len(shown) - few == SIZE // MEGABYTE + 1
    assert (shown[-1].done, shown[-1].total, shown[-1].unit) == (SIZE, SIZE, "bytes")
    done = [each.done for each in shown[few:]]
    assert done == sorted(done)


def test_a_stopped_session_ends_an_upload_at_the_next_piece(whole: Path) -> None:
    session = session_for("http://127.0.0.1:9")

    def stop(seen: Seen) -> None:
        seen.read(MEGABYTE)
        session.stop()
        seen.read()

    with Server([stop]) as server, pytest.raises(Unreachable, match="Stopped"):
        session.send_file("POST", server.url, part_of(whole), what="to send a mesh", ours=False)
    assert not server.seen[0].whole


def test_an_upload_goes_over_a_connection_of_its_own(tmp_path: Path) -> None:
    """One that was idle may be closed by the server at that moment, and then it is not known what
    became of the request."""
    (tmp_path / "a").write_bytes(b"x")
    with Server([answer(200)]) as server:
        session = session_for(server.url)
        session.ask("GET", "/thing")
        session.ask("GET", "/thing")
        assert server.connections == 1
        upload(session, tmp_path / "a")
        session.ask("POST", "/new", json={}, repeatable=False)
        assert server.connections == 3


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def swallow(seen: Seen) -> None:
        left = seen.announced - len(seen.body)
        buffer = bytearray(1 << 16)
        while left:
            left -= seen.connection.recv_into(buffer)
        answer(204)(Seen("", "", {}, 0, seen.connection))

    def peak(size: int) -> int:
        (tmp_path / "file").write_bytes(bytes(size))
        with Server([swallow]) as server:
            tracemalloc.start()
            try:
                assert upload(session_for(server.url), tmp_path / "file").good
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    peak(MEGABYTE)
    small, large = peak(8 * MEGABYTE), peak(64 * MEGABYTE)
    assert large < small + 3 * MEGABYTE


def test_an_early_answer_is_the_answer_of_an_encrypted_connection_too(
    whole: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context = certified(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    with Server([answer(200), early(413)], context) as server:
        session = session_for(server.url)
        assert session.ask("GET", "/thing").good
        assert upload(session, whole).status == 413


# Tokens


def by_token(good: str) -> Reply:
    def reply(seen: Seen) -> None:
        known = seen.headers.get("authorization") == f"Bearer {good}"
        answer(200 if known else 401, b'{"detail": "Unauthorized"}')(seen)

    return reply


def test_a_refused_token_is_renewed_and_the_request_made_again(whole: Path) -> None:
    bearers = ["Bearer old", "Bearer new"]
    with Server([by_token("new")]) as server:
        session = session_for(server.url, tokens=["old", "new"])
        assert session.ask("POST", "/thing", json={}, repeatable=False).good
    assert [seen.headers["authorization"] for seen in server.seen] == bearers
    with Server([early(401), answer(204)]) as server:
        assert upload(session_for(server.url, tokens=["old", "new"]), whole).good
    assert [seen.headers["authorization"] for seen in server.seen] == bearers


@pytest.mark.parametrize(("tokens", "requests"), [([], 1), (["old"], 1), (["old", "older"], 2)])
def test_without_another_token_a_person_has_to_log_in(tokens: list[str], requests: int) -> None:
    with Server([by_token("new")]) as server, pytest.raises(NotLoggedIn) as caught:
        session_for(server.url, tokens=tokens).ask("GET", "/thing")
    assert caught.value.next_step == "Log in with: syndb-pipeline login --destination syndb"
    assert len(server.seen) == requests


def test_addresses_and_tokens_are_neither_logged_nor_in_errors(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    path, into = "/object?X-Amz-Signature=canary", tmp_path / "file"
    no = answer(400, f'{{"detail": "bad header Bearer {TOKEN}"}}'.encode())
    with Server([no, answer(200, b"x"), drop]) as server:
        session = session_for(server.url, tokens=[TOKEN])
        assert session.ask("GET", "/thing").words == "bad header Bearer ***"
        assert session.fetch(server.url + path, "to read", into=into, limit=10).good
        with pytest.raises(PipelineError) as caught:
            session.fetch(server.url + path, "to read", into=into, limit=10)
    error = caught.value
    shown = f"{caplog.text} {error} {error.__cause__!r} {error.__context__!r}"
    assert "canary" not in shown
    assert server.seen[1].target == path
    assert "authorization" not in server.seen[1].headers


def test_threads_share_a_session_and_no_proxy_sees_what_goes_to_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[bytes] = []
    with Server([answer(200, b"same")]) as server, Server([answer(200)]) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        session = session_for(server.url, tokens=[TOKEN])
        threads = [
            threading.Thread(target=lambda: found.append(session.ask("GET", "/thing").content))
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert found == [b"same"] * 20
    assert (len(server.seen), len(proxy.seen)) == (20, 0)


# Redirects


def test_a_get_is_redirected_with_the_token_at_home_and_without_it_elsewhere() -> None:
    with (
        Server([answer(200, b"there")]) as other,
        Server([answer(307, location="/second")]) as server,
    ):
        server.script.append(answer(302, location=f"{other.url}/third"))
        assert session_for(server.url, tokens=[TOKEN]).ask("GET", "/first").content == b"there"
    assert [seen.headers.get("authorization") for seen in server.seen] == [f"Bearer {TOKEN}"] * 2
    assert "authorization" not in other.seen[0].headers


def test_a_401_of_another_host_does_not_send_it_a_new_token() -> None:
    with (
        Server([answer(401)]) as other,
        Server([answer(302, location=f"{other.url}/")]) as server,
        pytest.raises(NotLoggedIn),
    ):
        session_for(server.url, tokens=["one", "two"]).ask("GET", "/first")
    assert not any("authorization" in seen.headers for seen in other.seen)


def test_redirects_in_a_circle_end() -> None:
    with (
        Server([answer(302, location="/again")]) as server,
        pytest.raises(DestinationRefused, match="in a circle"),
    ):
        session_for(server.url).ask("GET", "/first")
    assert len(server.seen) == 6


def test_an_address_that_is_less_safe_is_not_followed() -> None:
    unsafe = "http://192.0.2.1/x?sig=canary"
    with Server([answer(302, location=unsafe)]) as server:
        session = session_for(server.url, tokens=[TOKEN])
        for ask, why in (
            (lambda: session.ask("GET", "/first"), r"leads to http://192\.0\.2\.1/x, "),
            (lambda: session.fetch(unsafe, "to read", limit=10), "which is not encrypted"),
            (lambda: session.fetch("https://a..b/x", "to read", limit=10), "is no address"),
        ):
            with pytest.raises(DestinationRefused, match=why) as caught:
                ask()
            assert "canary" not in str(caught.value)
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_only_a_get_is_redirected(status: int) -> None:
    moved = answer(status, location="https://new.example/base/thing?secret=canary")
    with Server([moved]) as server, pytest.raises(DestinationRefused) as caught:
        session_for(f"{server.url}/base").ask("POST", "/thing", json={}, repeatable=True)
    assert "has moved to https://new.example/base/thing (" in caught.value.message
    assert caught.value.next_step == "If that is right, correct url of syndb in pipeline.yaml."
    assert "canary" not in str(caught.value)
