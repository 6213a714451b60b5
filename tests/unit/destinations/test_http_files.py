"""Files over HTTP: exact bytes, sent whole or not at all, and what is certain after a failure."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from syndb_pipeline.base.errors import (
    NotAPackage,
    NotLoggedIn,
    OutcomeUnknown,
    Unreachable,
)
from syndb_pipeline.base.progress import Progress
from syndb_pipeline.base.tar_stream import FilePayload
from syndb_pipeline.destinations.rest.bodies import FilePart
from tests.scripted_server import Reply, Seen, Server, answer, certified, drop
from tests.unit.destinations.test_http import session_for

MEGABYTE = 1 << 20
SIZE = 8 * MEGABYTE + 321


@pytest.fixture
def part(tmp_path: Path) -> FilePart:
    path = tmp_path / "package.tar"
    path.write_bytes(hashlib.shake_256(b"a package").digest(SIZE))
    return part_of(path)


def part_of(path: Path, **more: object) -> FilePart:
    return FilePart("dataset_tar_file", "x.tar", "application/x-tar", FilePayload.of(path), **more)  # type: ignore[arg-type]


def file_of(part: FilePart) -> Path:
    assert isinstance(part.payload, FilePayload)
    return part.payload.path


def form_of(seen: Seen) -> list[Message]:
    """The parts of a form, as another library reads them."""
    parsed = message_from_bytes(
        f"content-type: {seen.headers['content-type']}\r\n\r\n".encode() + seen.body
    )
    parts = parsed.get_payload()
    assert isinstance(parts, list)
    return [item for item in parts if isinstance(item, Message)]


def some_then_reset(seen: Seen) -> None:
    seen.read(MEGABYTE)
    seen.reset()


def test_a_form_holds_its_fields_in_order_and_then_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"content\n")
    part = part_of(path, fields={"key": "folder/${filename}", 'odd"\r\nname': "ü"})
    with Server([answer(204)]) as server:
        assert (
            session_for(server.url)
            .send_file(
                "PATCH", "/upload", part, query={"at": "2026-01-01T00:00:00Z", "city": "São Paulo"}
            )
            .good
        )
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
            path = tmp_path / f"{size}"
            path.write_bytes(b"x" * size)
            assert session.send_file("PATCH", "/upload", part_of(path)).good
    for seen, size in zip(server.seen, sizes, strict=True):
        assert seen.whole and b"x" * size in seen.body


@pytest.mark.parametrize(
    "broken", [some_then_reset, answer(429), answer(503, b'{"detail": "busy"}')]
)
def test_a_body_that_was_not_taken_is_sent_again_whole(broken: Reply, part: FilePart) -> None:
    with Server([broken, broken, answer(204)]) as server:
        assert session_for(server.url).send_file("PATCH", "/upload", part).good
    assert len(server.seen) == 3
    assert (
        hashlib.sha256(form_of(server.seen[2])[0].get_payload(decode=True)).hexdigest()
        == part.payload.sha256
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "lost", [drop, answer(502), answer(504, b"<html>"), answer(500, b"<html>a proxy's</html>")]
)
def test_after_the_last_byte_nothing_is_sent_again(lost: Reply, part: FilePart) -> None:
    with Server([lost, answer(204)]) as server, pytest.raises(OutcomeUnknown):
        session_for(server.url).send_file("PATCH", "/upload", part)
    assert [seen.whole for seen in server.seen] == [True]


def test_the_servers_own_500_is_its_answer(part: FilePart) -> None:
    with Server([answer(500, b'{"detail": "column x does not exist"}')]) as server:
        found = session_for(server.url).send_file("PATCH", "/upload", part)
    assert (found.status, found.words) == (500, "column x does not exist")


def early(status: int, *, read: int, body: bytes = b'{"detail": "no"}') -> Reply:
    """Answer before the body is there, and close, as a proxy does with a body that is too large."""

    def reply(seen: Seen) -> None:
        seen.read(read)
        seen.send(
            f"HTTP/1.1 {status} No\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        seen.connection.shutdown(socket.SHUT_WR)
        time.sleep(
            0.3
        )  # the client is still sending; then the connection is reset, as its bytes were not read
        seen.connection.close()

    return reply


def large(folder: Path) -> FilePart:
    """More than the sockets hold between client and server."""
    path = folder / "large.tar"
    path.write_bytes(bytes(40 * MEGABYTE))
    return part_of(path)


@pytest.mark.parametrize(("status", "read"), [(403, 0), (413, MEGABYTE)])
def test_an_early_answer_is_the_answer(status: int, read: int, tmp_path: Path) -> None:
    with Server([early(status, read=read)]) as server:
        found = session_for(server.url).send_file("PATCH", "/upload", large(tmp_path))
    assert (found.status, found.words) == (status, "no")
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [500, 504])
def test_early_trouble_of_a_proxy_is_no_outcome(status: int, tmp_path: Path) -> None:
    """The server behind it cannot have had the whole body."""
    with Server([early(status, read=0, body=b"<html></html>"), answer(204)]) as server:
        assert session_for(server.url).send_file("PATCH", "/upload", large(tmp_path)).good
    assert len(server.seen) == 2


def test_an_early_401_leads_to_a_new_token(tmp_path: Path) -> None:
    with Server([early(401, read=0), answer(204)]) as server:
        session = session_for(server.url, tokens=["old", "new"])
        assert session.send_file("PATCH", "/upload", large(tmp_path)).good
    assert [seen.headers["authorization"] for seen in server.seen] == ["Bearer old", "Bearer new"]
    with Server([early(401, read=0)]) as server, pytest.raises(NotLoggedIn):
        session_for(server.url).send_file("PATCH", "/upload", large(tmp_path))


@pytest.mark.parametrize("change", ["other bytes", "shorter", "longer", "gone"])
def test_a_file_that_is_not_the_announced_one_never_arrives_whole(
    change: str, part: FilePart
) -> None:
    path = file_of(part)
    content = path.read_bytes()
    changed = {"other bytes": content[:-1] + b"?", "shorter": content[:-1]}
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(changed.get(change, content + b"?"))
    with Server([answer(204)]) as server, pytest.raises(NotAPackage):
        session_for(server.url).send_file("PATCH", "/upload", part)
    time.sleep(0.1)
    assert len(server.seen) == 1
    assert not server.seen[0].whole


def test_a_file_that_changes_while_it_is_sent_never_arrives_whole(part: FilePart) -> None:
    def slowly(seen: Seen) -> None:
        seen.read(MEGABYTE)
        with file_of(part).open("r+b") as file:
            file.seek(-1, 2)
            file.write(b"?")
        answer(204)(seen)

    big = file_of(part).with_name("big.tar")
    big.write_bytes(file_of(part).read_bytes() * 6)  # more than the sockets hold between us
    part = part_of(big)
    with (
        Server([slowly]) as server,
        pytest.raises(NotAPackage, match="it changed while it was sent"),
    ):
        session_for(server.url).send_file("PATCH", "/upload", part)
    assert not server.seen[0].whole


def test_progress_is_told_now_and_then_and_at_the_end(
    part: FilePart, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Progress] = []
    watched = part_of(file_of(part), watch=told.append)
    with Server([answer(204)]) as server:
        session_for(server.url).send_file("PATCH", "/upload", watched)
        few = len(told)
        monkeypatch.setattr("syndb_pipeline.destinations.rest.bodies.PROGRESS_SECONDS", 0.0)
        session_for(server.url).send_file("PATCH", "/upload", watched)
    assert few <= 3
    assert len(told) - few == SIZE // MEGABYTE + 1
    assert (told[-1].done, told[-1].total, told[-1].unit) == (SIZE, SIZE, "bytes")
    assert [each.done for each in told[few:]] == sorted(each.done for each in told[few:])


def test_a_stopped_session_ends_an_upload_at_the_next_piece(part: FilePart) -> None:
    session = session_for("http://127.0.0.1:9")

    def stop(seen: Seen) -> None:
        seen.read(MEGABYTE)
        session.stop()
        seen.read()

    big = file_of(part).with_name("big.tar")
    big.write_bytes(file_of(part).read_bytes() * 6)
    with Server([stop]) as server, pytest.raises(Unreachable, match="Stopped"):
        session.send_file("POST", server.url, part_of(big), what="to send a mesh", ours=False)
    assert not server.seen[0].whole


def test_an_upload_goes_over_a_connection_of_its_own(part: FilePart) -> None:
    """One that lay idle may be closed by the server at that moment, and then nobody knew what
    became of the request.
    """
    with Server([answer(200), answer(204)]) as server:
        session = session_for(server.url)
        session.ask("GET", "/thing")
        session.ask("GET", "/thing")
        assert server.connections == 1
        session.send_file("PATCH", "/upload", part)
        session.ask("POST", "/new", json={}, repeatable=False)
        assert server.connections == 3


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    import tracemalloc

    def peak(size: int) -> int:
        path = tmp_path / "large.tar"
        path.write_bytes(bytes(size))
        part = part_of(path)

        def swallow(seen: Seen) -> None:
            left = seen.announced - len(seen.body)
            buffer = bytearray(1 << 16)
            while left:
                left -= seen.connection.recv_into(buffer)
            answer(204)(Seen("", "", {}, 0, seen.connection))

        with Server([swallow]) as server:
            tracemalloc.start()
            try:
                assert session_for(server.url).send_file("PATCH", "/upload", part).good
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    peak(MEGABYTE)
    small, large = peak(8 * MEGABYTE), peak(64 * MEGABYTE)
    assert large < small + 3 * MEGABYTE


def test_an_early_answer_is_the_answer_of_an_encrypted_connection_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context = certified(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    with Server([answer(200), early(413, read=0)], context) as server:
        session = session_for(server.url)
        assert session.ask("GET", "/thing").good
        assert session.send_file("PATCH", "/upload", large(tmp_path)).status == 413


def test_threads_share_a_session(tmp_path: Path) -> None:
    with Server([answer(200, b"same")]) as server:
        session = session_for(server.url)
        found: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: found.append(session.ask("GET", "/thing").content))
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert found == [b"same"] * 20
