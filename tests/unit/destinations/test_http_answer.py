"""A server's words and headers, made fit for a person."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import urljoin

import httpx
import pytest

from syndb_pipeline.base.errors import DestinationRefused
from syndb_pipeline.destinations.http import origin_of
from syndb_pipeline.destinations.http.answers import (
    MAX_WORDS,
    Answer,
    cleaned,
    redirected,
    require_safe,
    retry_after,
    shown,
    words_of,
)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"detail": "No such dataset"}', "No such dataset"),
        (b'{"detail": {"message": "not yours", "dataset_id": "1"}}', "not yours"),
        (b'{"detail": {"message": "unknown table", "name": "x.parquet"}}', "unknown table"),
        (b'{"detail": {"code": "LOGIN_BAD_CREDENTIALS", "reason": "wrong"}}', "wrong"),
        (b'{"detail": {"other": 1}}', '{"other": 1}'),
        (
            (
                b'{"detail": [{"loc": ["body", "label"], "msg": "too long", "type": "x"}, {"loc":'
                b' [], "msg": "no"}]}'
            ),
            "body.label: too long; no",
        ),
        (
            json.dumps({"detail": [{"loc": ["a"], "msg": "b"}] * 9}).encode(),
            "a: b; a: b; a: b; a: b; a: b; and 4 more",
        ),
        (b'{"error": "the next generation"}', "the next generation"),
        (
            (
                b"<?xml"
                b" version='1.0'?><Error><Code>AccessDenied</Code><Message>Expired</Message><StringToSign>canary</StringToSign></Error>"
            ),
            "AccessDenied: Expired",
        ),
        (
            b"<html><head><TITLE>502 Bad gateway</TITLE></head><body>nginx</body></html>",
            "502 Bad gateway",
        ),
        (b"<html><body>nothing to say</body></html>", ""),
        (b"plain  text\r\n on lines", "plain text on lines"),
        (b"\x1b[31mred\x07\x00 \xff\xe2\x80\xae", "[31mred \ufffd"),
        (b"", ""),
        (b'{"detail": null}', '{"detail": null}'),
        (b"[" * 100_000, "[" * (MAX_WORDS - 3) + "..."),
    ],
)
def test_words_of_an_error(body: bytes, words: str) -> None:
    assert words_of(body) == words


def test_words_are_bounded_and_hold_no_secret() -> None:
    assert len(words_of(json.dumps({"detail": "x " * 10_000}).encode())) == MAX_WORDS
    words = words_of(b'{"detail": "your password is canary!"}', ["", "canary"])
    assert words == "your password is ***!"
    assert cleaned("a" * 5 + "secret" * 1000, ["secret"]).startswith("aaaaa***")
    assert str(Answer(404, httpx.Headers(), b"", "gone")) == "404 Not Found: gone"
    assert str(Answer(599, httpx.Headers(), b"")) == "599"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 1.5 ", 1.5),
        ("Mon, 23 Nov 2026 12:00:10 GMT", 10),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0),
        ("Mon, 23 Nov 2026 14:00:00 +0200", 0),
        ("Monday, 23-Nov-26 12:00:10 GMT", 10),
        ("soon", None),
        ("-1", None),
        ("1" * 500, None),
        ("Thu, 99 Foo 2026 99:99:99 GMT", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("1e3", None),
        ("", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert retry_after(httpx.Headers({"retry-after": value}), now) == seconds


def test_addresses_in_words() -> None:
    shown_as = "https://host.example:1/a/b"
    assert shown("https://user:pass@host.example:1/a/b?signature=canary#x") == shown_as
    assert origin_of("HTTPS://Host.Example:443/base") == "https://host.example"
    assert origin_of("http://127.0.0.1:8000/v1") == "http://127.0.0.1:8000"
    assert origin_of("http://[::1]:80/") == "http://[::1]"


AWAY, HERE = "https://api.example.org/x", "http://127.0.0.1:1/x"


@pytest.mark.parametrize(
    ("base", "url", "why"),
    [
        (AWAY, "https://store.example/x", ""),
        (AWAY, "/y", ""),
        (HERE, "http://127.0.0.1:2/y", ""),
        (HERE, "https://store.example/x", ""),
        ("https://127.0.0.1:1/x", "https://127.0.0.1:2/y", ""),
        ("https://127.0.0.1:1/x", HERE, "not encrypted"),
        (HERE, "http://store.example/x?sig=canary", "not encrypted"),
        (AWAY, "http://169.254.169.254/latest/meta-data", "not encrypted"),
        (AWAY, "https://127.0.0.1/x", "this machine"),
        (AWAY, "https://localhost:8443/x", "this machine"),
        (AWAY, "https://[::1]/x", "this machine"),
        *(
            (HERE, url, "no address")
            for url in (
                "https://user:canary@store.example/x",
                "https://xn--a/",
                "javascript:alert(1)",
                "file:///etc/passwd",
                "gopher://127.0.0.1/",
                "https://h:99999/",
                "https:///x",
                "https://[::1",
            )
        ),
    ],
)
def test_an_address_that_is_less_safe_than_what_leads_to_it_is_refused(
    base: str, url: str, why: str
) -> None:
    if not why:
        assert redirected(base, url, "syndb", "to ask") == urljoin(base, url)
        return
    for judge in (redirected, lambda base, url, *words: require_safe(url, base, *words)):
        with pytest.raises(DestinationRefused, match=why) as caught:
            judge(base, url, "syndb", "to ask")
        assert "canary" not in str(caught.value)
        assert str(caught.value).replace("\n", "").isprintable()
