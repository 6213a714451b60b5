"""A malicious or broken server before our client: what it can make the client read, wait for, show,
send or follow.

Belongs here: raw sockets that answer as no good server does. Does not: faults of an honest server
(`test_rest_faults.py`).
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from syndb_pipeline.base.errors import ConfigError, DestinationRefused, Unreachable
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.destinations.base import differences
from syndb_pipeline.destinations.http.bodies import FilePart
from syndb_pipeline.destinations.http.connections import reach
from syndb_pipeline.destinations.http.session import Session
from syndb_pipeline.destinations.rest import RestDestination as RestSettings
from syndb_pipeline.destinations.rest.destination import RestDestination
from tests.rest_lab import RestLab
from tests.rest_place import metadata, package
from tests.scripted_server import Reply, Seen, Server, answer, certified

TOKEN = "token-canary"
TERMINAL = "\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202e\nfake line"
ME = {"id": "1d2a11", "email": "ada@lab.example", "is_verified": True}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syndb_pipeline.destinations.http.session._FIRST_WAIT", 0.01)
    for name in (
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "https_proxy",
        "http_proxy",
        "all_proxy",
        "no_proxy",
    ):
        monkeypatch.delenv(name, raising=False)


def reply_with(body: Any, status: int = 200, **headers: str) -> Reply:
    return answer(status, body if isinstance(body, bytes) else json.dumps(body).encode(), **headers)


def place(url: str, folder: Path, **settings: Any) -> RestDestination:
    config = RestSettings(
        kind="rest",
        url=url,
        **{"attempts": 2, "connect_seconds": 2, "answer_seconds": 2, **settings},
    )
    whole = PipelineSettings(
        state=folder / "state", memory_limit=600_000_000, threads=1, destinations={"syndb": config}
    )
    destination = RestDestination("syndb", config, whole, lambda line: None)
    destination.use(SecretStr(TOKEN))
    return destination


def session(url: str, **settings: Any) -> Session:
    config = RestSettings(
        kind="rest",
        url=url,
        **{"attempts": 1, "connect_seconds": 2, "answer_seconds": 2, **settings},
    )
    return Session(
        "syndb",
        config,
        lambda line: None,
        token=lambda: SecretStr(TOKEN),
        renew=lambda refused: False,
    )


def dataset(identity: UUID, **other: Any) -> dict[str, Any]:
    body = {
        "id": str(identity),
        "label": "L",
        "animal": 1,
        "microscopy": "ssTEM",
        "owner_id": "1d2a11",
        "number_of_units": 1,
    }
    return (
        body
        | {
            "brain_regions": [{"brain_structure": "hippocampus", "direction": "null"}],
            "syndb_tables": [1],
        }
        | other
    )


def require_harmless(text: str, longest: int = 2_000) -> None:
    """One that moves no cursor, turns no text round, makes up no line, and fits on a screen."""
    assert text.replace("\n", "").isprintable() and "fake line" not in text.splitlines()
    assert len(text) < longest


# What it makes us wait for


def trickle(head: bytes, piece: bytes) -> Reply:
    def reply(seen: Seen) -> None:
        seen.read()
        seen.send(head)
        while True:
            time.sleep(0.1)
            seen.send(piece)

    return reply


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nx: ", b"x"),
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"0"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", b"x"),
    ],
    ids=["head", "interim answers", "length of a chunk", "body"],
)
def test_a_trickle_ends_with_the_total_limit(head: bytes, piece: bytes) -> None:
    """Each byte comes in time for `answer_seconds`; it is `total_seconds` that has to end it."""
    with Server([trickle(head, piece)]) as server:
        began = time.monotonic()
        with pytest.raises(Unreachable, match=r"took too long") as caught:
            session(server.url, total_seconds=1).ask("GET", "/thing")
    assert time.monotonic() - began < 3
    assert "total_seconds" in caught.value.next_step


def test_reaching_for_a_trickle_ends_too() -> None:
    with Server([trickle(b"HTTP/1.1 200 OK\r\nx: ", b"x")]) as server:
        began = time.monotonic()
        with pytest.raises(Unreachable, match="does not answer"):
            reach(RestSettings(kind="rest", url=server.url, connect_seconds=0.5))
    assert time.monotonic() - began < 4


# What it makes us read


def test_an_answer_without_end_is_not_read_to_it() -> None:
    def endless(seen: Seen) -> None:
        seen.read()
        seen.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            seen.send(bytes(1 << 16))

    with (
        Server([endless]) as server,
        pytest.raises(DestinationRefused, match="answered with more than 67,108,864 bytes"),
    ):
        session(server.url).ask("GET", "/thing")


def test_nothing_is_unpacked() -> None:
    import gzip

    packed = gzip.compress(bytes(1_000_000))
    with Server([reply_with(packed, content_encoding="gzip")]) as server:
        assert session(server.url).ask("GET", "/thing").content == packed


@pytest.mark.parametrize("depth", [300, 960, 5_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"message":', "}"), ('{"a":', "}")])
def test_an_error_nested_without_end_is_an_error_still(
    depth: int, opening: str, closing: str
) -> None:
    body = '{"detail":' + opening * depth + "1" + closing * depth + "}"
    with Server([reply_with(body.encode(), 422)]) as server:
        require_harmless(str(session(server.url).ask("GET", "/thing")))


@pytest.mark.parametrize(
    "body", [b"<Error>" * 9_000, b"<Error>" * 4_000 + b"<Code>" * 5_000, b"<title>" * 9_000]
)
def test_looking_for_words_takes_no_time(body: bytes) -> None:
    with Server([reply_with(body, 403)]) as server:
        began = time.process_time()
        session(server.url).ask("GET", "/thing")
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"7",
        b"{}",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"id": 1, "email": []}',
        b'{"id": "a", "email": "\\ud800"}',
        b"NaN",
    ],
)
def test_a_body_of_another_kind_is_refused_in_words(body: bytes, tmp_path: Path) -> None:
    with Server([reply_with(body)]) as server:
        client = place(server.url, tmp_path)
        asks = [
            client.who_am_i,
            client.modifiable,
            client.incomplete,
            client.authorization_url,
            lambda: client.info(uuid4()),
        ]
        asks += [lambda: client.login("ada", SecretStr("p")), lambda: client.register(metadata())]
        for ask in asks:
            with pytest.raises(DestinationRefused) as caught:
                ask()
            require_harmless(str(caught.value))


@pytest.mark.parametrize("units", ["1e400", "9" * 5_000, '"many"', "null", "1.5", "[]"])
def test_a_count_that_is_none_is_refused(units: str, tmp_path: Path) -> None:
    identity = uuid4()
    body = json.dumps(dataset(identity, number_of_units="HERE")).replace('"HERE"', units)
    with (
        Server([reply_with(body.encode())]) as server,
        pytest.raises(DestinationRefused, match="published contract does not have"),
    ):
        place(server.url, tmp_path).info(identity)


def test_another_dataset_than_was_asked_for_decides_nothing(tmp_path: Path) -> None:
    """A cache mixed answers up: the label that a person types to delete a dataset would be
    another's.
    """
    asked, other = uuid4(), uuid4()
    with Server([reply_with(ME), reply_with(dataset(other))]) as server:
        client = place(server.url, tmp_path)
        client.who_am_i()
        with pytest.raises(
            DestinationRefused, match=f"was asked for dataset {asked} and answered with {other}"
        ):
            client.delete(asked)
        assert [seen.method for seen in server.seen] == ["GET", "GET"]


@pytest.mark.parametrize("token", ["x" * 20_000, "a b", "a\r\nX-Evil: 1", "é", "", TERMINAL])
def test_a_token_that_is_none_is_neither_used_nor_shown(token: str, tmp_path: Path) -> None:
    with (
        Server([reply_with({"access_token": token})]) as server,
        pytest.raises(DestinationRefused) as caught,
    ):
        place(server.url, tmp_path).login("ada", SecretStr("password-canary"))
    require_harmless(str(caught.value))
    assert not token or token not in str(caught.value)


# What it makes us show


def test_words_from_outside_move_no_cursor(tmp_path: Path) -> None:
    identity = uuid4()
    words = dict.fromkeys(("label", "microscopy"), TERMINAL)
    words |= {
        name: [TERMINAL, "x" * 1_000_000]
        for name in ("authorized_group_names", "dataset_collection_names", "publication_dois")
    }
    words |= {"notes": TERMINAL, "mutations": [{"gene": TERMINAL, "expression": TERMINAL}]}
    with Server(
        [reply_with(dataset(identity, **words)), reply_with(ME | {"email": TERMINAL * 1_000})]
    ) as server:
        client = place(server.url, tmp_path)
        found = client.info(identity)
        assert found is not None
        require_harmless("\n".join(differences(metadata(id=identity), found.metadata)))
        require_harmless(
            found.metadata.label.replace("\u202e", "")
        )  # a label may be of a language that is written from the right
        require_harmless(client.who_am_i().name)


@pytest.mark.parametrize(
    "body",
    [{"id": TERMINAL, "email": "a"}, {"id": "x" * 500, "email": "a"}, {"id": "", "email": "a"}],
)
def test_an_id_is_an_id(body: dict[str, str], tmp_path: Path) -> None:
    """Ids decide whose a dataset is, so none is cut or changed."""
    with (
        Server([reply_with(body)]) as server,
        pytest.raises(DestinationRefused, match="published contract does not have") as caught,
    ):
        place(server.url, tmp_path).who_am_i()
    require_harmless(str(caught.value))


@pytest.mark.parametrize("key", [TERMINAL, "x" * 1_000_000])
def test_a_key_made_up_by_the_server_is_shown_safely(key: str, tmp_path: Path) -> None:
    with (
        Server([reply_with({"uuid_to_label": {key: "label"}})]) as server,
        pytest.raises(DestinationRefused) as caught,
    ):
        place(server.url, tmp_path).labels("all")
    require_harmless(str(caught.value))


def test_whoami_and_datasets_at_a_terminal(tmp_path: Path) -> None:
    """The commands themselves, against a server whose every word is an attack."""
    identity = uuid4()

    def reply(seen: Seen) -> None:
        bodies = {
            "/user/profile/current": ME | {"email": TERMINAL},
            "/neurodata/metadata/dataset/get/modifiable": {"ids": [str(identity)]},
            "/neurodata/metadata/dataset/get/incomplete": {
                "uuid_to_label": {str(identity): TERMINAL}
            },
        }
        reply_with(bodies.get(seen.target, dataset(identity, label=TERMINAL)))(seen)

    with Server([reply]) as server:
        lab = RestLab(tmp_path, server)  # type: ignore[arg-type]
        for command in (["whoami"], ["datasets"], ["delete", str(identity)]):
            named = [*command, "--destination", "sandbox"]
            ran = lab.call(
                *named,
                SYNDB_TOKEN__SANDBOX=TOKEN,
                SYNDB_USERNAME__SANDBOX="",
                SYNDB_PASSWORD__SANDBOX="",
            )
            assert "owned" in ran.out + ran.err
            require_harmless((ran.out + ran.err).replace("\u202e", ""))


# Where it makes us go


def test_a_cookie_is_kept_from_everybody() -> None:
    with Server([reply_with({}, set_cookie="session=canary; Path=/")]) as server:
        asking = session(server.url)
        for _ in range(2):
            asking.ask("GET", "/thing")
        assert all("cookie" not in seen.headers for seen in server.seen)


def test_a_netrc_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text(
        "machine 127.0.0.1 login ada password netrc-canary\ndefault login ada password"
        " netrc-canary\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with Server([reply_with({})]) as server:
        session(server.url).ask("GET", "/thing", ours=False)
        assert "authorization" not in server.seen[0].headers


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks5://user:canary@127.0.0.1:1080"),
        ("HTTPS_PROXY", "foo://user:canary@x"),
        ("HTTPS_PROXY", "http://:canary@:99999"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    asked = session("https://syndb.invalid")
    with pytest.raises(ConfigError, match="names a proxy that cannot be used") as caught:
        asked.ask("GET", "/thing")
    assert "canary" not in str(caught.value)
    with Server([reply_with({})]) as server:  # nothing is between this machine and itself
        assert session(server.url).ask("GET", "/thing").status == 200
    # An exception that is no address is passed over, and those beside it count.
    monkeypatch.setenv("NO_PROXY", "[::1, http://x:y, ,*bad*,syndb.invalid")
    with pytest.raises(Unreachable, match="cannot be reached"):
        asked.ask("GET", "/thing")


@pytest.mark.parametrize(
    ("host", "days", "believed", "reason"),
    [
        ("127.0.0.1", 9, True, None),
        ("127.0.0.1", 9, False, "self-signed certificate"),
        ("127.0.0.1", -1, True, "certificate has expired"),
        ("syndb.example", 9, True, "IP address mismatch"),
    ],
)
def test_a_certificate_has_to_prove_that_it_is_this_server(
    host: str,
    days: int,
    believed: bool,
    reason: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = certified(tmp_path, host, days)
    if believed:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    with Server([reply_with({})], context) as server:
        if reason is None:
            assert session(server.url).ask("GET", "/thing").status == 200
            return
        for ask in (
            lambda: session(server.url).ask("GET", "/thing"),
            lambda: reach(RestSettings(kind="rest", url=server.url)),
        ):
            with pytest.raises(
                DestinationRefused, match=f"does not prove that it is this server: .*{reason}"
            ):
                ask()
        assert server.seen == []


# What it makes us believe


def test_a_date_from_outside_is_no_number_to_trust() -> None:
    moment = "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"
    with Server([reply_with({}, date=moment)]) as server:
        assert reach(RestSettings(kind="rest", url=server.url)).status == 200


def test_a_form_with_hostile_fields_stays_one_form(tmp_path: Path) -> None:
    fields = {
        "key": "d/${filename}",
        'a"; x="\r\nX-Evil: 1': "v",
        "b": "v\r\n--boundary--\r\n",
        "Content-Type": "a/b\r\nX-Evil: 1",
    }
    sent = package(tmp_path, uuid4(), rows=1)
    part = FilePart("file", "one.glb", "model/gltf-binary", sent.tar, fields=fields)
    with Server([answer(204)]) as server:
        assert (
            session(server.url)
            .send_file("POST", f"{server.url}/o", part, what="to send", ours=False)
            .status
            == 204
        )
        [seen] = server.seen
    boundary = seen.headers["content-type"].partition("boundary=")[2].encode()
    parts = seen.body.split(b"--" + boundary)[1:-1]
    assert len(parts) == len(fields) + 1 and seen.whole
    for piece in parts:
        assert b"X-Evil" not in piece.split(b"\r\n\r\n")[0].replace(b"%0D%0AX-Evil", b""), piece[
            :200
        ]
    assert "x-evil" not in seen.headers and "authorization" not in seen.headers
