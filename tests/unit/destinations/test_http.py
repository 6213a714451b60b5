"""HTTP below a destination: what is sent again and what never, tokens, redirects, words."""

from __future__ import annotations

import logging
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from syndb_pipeline.base.errors import (
    DestinationRefused,
    NotLoggedIn,
    OutcomeUnknown,
    PipelineError,
    Unreachable,
)
from syndb_pipeline.destinations.rest import RestDestination as RestSettings
from syndb_pipeline.destinations.rest.session import Session
from tests.scripted_server import Reply, Seen, Server, answer, drop

TOKEN = "token-canary"


def session_for(
    url: str, told: list[str] | None = None, *, tokens: list[str] | None = None, **settings: Any
) -> Session:
    """A session that has the first of `tokens`, and the next one each time it is refused."""
    left = [SecretStr(token) for token in tokens or []]

    def renew(refused: SecretStr | None) -> bool:
        if left and left[0] == refused:
            left.pop(0)
        return bool(left)

    config = RestSettings(
        kind="rest",
        url=url,
        **{"attempts": 4, "connect_seconds": 2, "answer_seconds": 5, **settings},
    )
    return Session(
        "syndb",
        config,
        (told if told is not None else []).append,
        token=lambda: left[0] if left else None,
        renew=renew,
    )


def test_a_good_answer_comes_with_what_was_asked() -> None:
    with Server([answer(200, b'{"a": 1}')]) as server:
        found = session_for(f"{server.url}/base", tokens=[TOKEN]).ask(
            "POST", "/thing", json={"b": 2}, repeatable=True
        )
    assert found.content == b'{"a": 1}'
    [seen] = server.seen
    assert (seen.method, seen.target, seen.body) == ("POST", "/base/thing", b'{"b":2}')
    assert seen.headers["authorization"] == f"Bearer {TOKEN}"
    assert seen.headers["user-agent"].startswith("syndb-pipeline/")
    assert seen.headers["accept-encoding"] == "identity"


# Sending again


def test_permanent_answers_are_given_at_once() -> None:
    with Server([]) as server:
        session = session_for(server.url)
        for number, status in enumerate((400, 403, 404, 405, 406, 409, 413, 415, 422, 501), 1):
            server.script.append(answer(status, b'{"detail": "no"}'))
            found = session.ask("GET", "/thing")
            assert (found.status, found.words, len(server.seen)) == (status, "no", number)


@pytest.mark.parametrize("status", [408, 425, 429, 503])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_a_server_did_not_take_is_sent_again(status: int, method: str) -> None:
    told: list[str] = []
    with Server(
        [answer(status, b'{"detail": "busy"}'), answer(status, retry_after="0"), answer(200)]
    ) as server:
        assert session_for(server.url, told).ask(method, "/thing", repeatable=False).good
    assert len(server.seen) == 3
    assert told[0].startswith(f"syndb answered {status}")
    assert "busy; waiting 0.0 s, attempt 2 of 4" in told[0]
    assert told[1].endswith("attempt 3 of 4")


def test_a_503_that_may_be_a_gateways_leaves_open_what_happened() -> None:
    unknown = pytest.raises(OutcomeUnknown, match="Whether it was done is not known")
    with Server([answer(503, b"<html>Service Unavailable</html>")]) as server, unknown:
        session_for(server.url).ask("POST", "/thing", repeatable=False)
    assert len(server.seen) == 1


def reset(seen: Seen) -> None:
    seen.reset()


def nonsense(seen: Seen) -> None:
    seen.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    seen.connection.close()


def half(seen: Seen) -> None:
    seen.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
    seen.reset()


BROKEN: list[Reply] = [answer(500), answer(502), answer(504), reset, nonsense, half]


@pytest.mark.parametrize("broken", BROKEN)
def test_what_may_be_repeated_is(broken: Reply) -> None:
    with Server([broken, answer(200, b"whole")]) as server:
        found = session_for(server.url).ask("GET", "/thing")
    assert (found.content, len(server.seen)) == (b"whole", 2)


@pytest.mark.parametrize(
    "broken", [answer(502), answer(504), answer(500, b"<html>proxy</html>"), reset, nonsense, drop]
)
def test_what_may_not_be_repeated_is_sent_once(broken: Reply) -> None:
    with (
        Server([broken, answer(200)]) as server,
        pytest.raises(OutcomeUnknown, match="Whether it was done is not known"),
    ):
        session_for(server.url).ask("POST", "/thing", json={}, repeatable=False)
    assert len(server.seen) == 1


def test_a_status_that_came_is_an_outcome_though_its_body_did_not() -> None:
    with Server([half]) as server:
        assert (
            session_for(server.url).ask("POST", "/thing", json={}, repeatable=False).status == 200
        )


def slowly(seen: Seen) -> None:
    seen.send(b"HTTP/1.1 201 Created\r\ncontent-length: 1000\r\n\r\n")
    for _ in range(20):
        seen.send(b"x")
        time.sleep(0.05)


def test_a_status_is_an_outcome_though_its_body_takes_too_long() -> None:
    with Server([slowly]) as server:
        session = session_for(server.url, total_seconds=0.4)
        assert session.ask("POST", "/thing", json={}, repeatable=False).status == 201
        with pytest.raises(OutcomeUnknown):
            session.ask("DELETE", "/thing")


def test_trouble_without_end_is_told_with_the_number_of_attempts() -> None:
    with (
        Server([answer(502, b"<html><title>Bad gateway</title></html>")]) as server,
        pytest.raises(Unreachable) as caught,
    ):
        session_for(server.url).ask("GET", "/thing")
    assert len(server.seen) == 4
    assert "502 Bad Gateway: Bad gateway (4 attempts); asked: GET /thing" in str(caught.value)


def test_a_deletion_that_may_have_happened_is_no_failure() -> None:
    with Server([drop]) as server, pytest.raises(OutcomeUnknown):
        session_for(server.url).ask("DELETE", "/thing")
    assert len(server.seen) == 4


def test_no_connection_is_told_as_that() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    told: list[str] = []
    with pytest.raises(Unreachable, match="cannot be reached") as caught:
        session_for(f"http://127.0.0.1:{port}", told, attempts=2).ask(
            "POST", "/thing", repeatable=False
        )
    assert f"syndb (127.0.0.1:{port})" in str(caught.value)
    assert len(told) == 1


# Retry-After


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


# Limits


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


def test_an_endless_answer_is_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Server([answer(200, b"x" * 100_000)]) as server:
        session = session_for(server.url)
        with pytest.raises(DestinationRefused, match="more than 50,000 bytes"):
            session.fetch(
                f"{server.url}/object?secret=1", "to read", into=tmp_path / "file", limit=50_000
            )
        assert (
            len(session.fetch(f"{server.url}/object", "to read", limit=10, cut=True).content)
            < 100_000
        )
        assert session.fetch(
            f"{server.url}/object", "to read", into=tmp_path / "file", limit=100_000
        ).good
    assert (tmp_path / "file").stat().st_size == 100_000


# Tokens


def by_token(good: str) -> Reply:
    def reply(seen: Seen) -> None:
        answer(
            200 if seen.headers.get("authorization") == f"Bearer {good}" else 401,
            b'{"detail": "Unauthorized"}',
        )(seen)

    return reply


def test_a_refused_token_is_renewed_and_the_request_made_again() -> None:
    with Server([by_token("new")]) as server:
        assert (
            session_for(server.url, tokens=["old", "new"])
            .ask("POST", "/thing", json={}, repeatable=False)
            .good
        )
    assert [seen.headers["authorization"] for seen in server.seen] == ["Bearer old", "Bearer new"]


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


def test_no_proxy_sees_what_goes_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server([answer(200)]) as server, Server([answer(200)]) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert session_for(server.url, tokens=[TOKEN]).ask("GET", "/thing").good
    assert (len(server.seen), len(proxy.seen)) == (1, 0)


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
        session_for(f"{server.url}/base", tokens=[TOKEN]).ask(
            "POST", "/thing", json={}, repeatable=True
        )
    assert caught.value.next_step == "If that is right, correct url of syndb in pipeline.yaml."
    assert "canary" not in str(caught.value)
