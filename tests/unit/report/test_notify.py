"""Notifications: said once, in one message a round, by real servers on this machine; a secret is
nowhere but in the environment."""

from __future__ import annotations

import errno
import json
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from syndb_pipeline.base.errors import Busy, ConfigError
from syndb_pipeline.destinations import load_settings
from syndb_pipeline.orchestration.resources import PipelineResource
from syndb_pipeline.orchestration.scope import OWN
from syndb_pipeline.orchestration.unattended.sensors import sensors
from syndb_pipeline.publishing.overview import Line
from syndb_pipeline.report import notify as notifying
from syndb_pipeline.report.notify import notify
from syndb_pipeline.state.locks import hold
from tests import command_line
from tests.publish_lab import DATASET

SECRET = "sesame-open"


class Post(BaseHTTPRequestHandler):
    """Keeps what is posted; paths say how to answer."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, self.headers.get("Authorization"), body))  # type: ignore[attr-defined]
        self.send_response({"/broken": 500, "/moved": 307}.get(self.path, 200))
        if self.path == "/moved":
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None: ...


class Smtp(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as taking one message needs."""

    def handle(self) -> None:
        def answer(line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        answer("220 here")
        for line in self.rfile:
            word = line.decode().split()[0].upper()
            if word == "DATA":
                answer("354 go on")
                self.server.got += [b"".join(iter(self.rfile.readline, b".\r\n"))]  # type: ignore[attr-defined]
            elif word == "QUIT":
                answer("221 bye")
                return
            answer("250 ok")


@pytest.fixture(scope="module")
def web() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Post) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch, web: ThreadingHTTPServer) -> None:
    web.got = []  # type: ignore[attr-defined]
    monkeypatch.setenv("SECRET", SECRET)


def settings_with(folder: Path, *channels: str) -> Any:
    """Settings whose channels are lines of YAML."""
    lines = "".join(f"\n- {{{channel}}}" for channel in channels)
    (folder / "pipeline.yaml").write_text(f"state: state\nnotify:{lines}\n")
    (folder / "datasets").mkdir(exist_ok=True)
    return load_settings(folder / "pipeline.yaml")


def line(name: str, state: str, **more: Any) -> Line:
    values = {"why": f"{name} is {state}.", "next_step": f"syndb-pipeline check {name}.yaml"}
    return Line(name=name, config=Path(f"{name}.yaml"), state=state, **{**values, **more})  # type: ignore[arg-type]


def lines_of(path: Path) -> list[Any]:
    return [json.loads(each) for each in path.read_text().splitlines()] if path.is_file() else []


DAY_1, DAY_2 = (datetime(2026, 11, day, tzinfo=UTC) for day in (1, 2))
FILE = "kind: file, path: said.jsonl"
ROUNDS = {
    "once, and its end": (
        FILE,
        [
            ([line("a", "published")], ""),
            ([line("a", "failed")], "a:failed"),
            ([line("a", "failed", why="for another reason")], ""),
            ([line("a", "published")], "a:recovered"),
            ([line("a", "published")], ""),
            ([line("a", "failed")], "a:failed"),
        ],
    ),
    "one message for all": (
        FILE,
        [([line(name, "failed") for name in "abc"], "a:failed b:failed c:failed")],
    ),
    "another state": (
        FILE,
        [([line("a", "rejected")], "a:rejected"), ([line("a", "unknown")], "a:unknown")],
    ),
    "another plan is held": (
        FILE,
        [
            ([line("a", "held", since=DAY_1)], "a:held"),
            ([line("a", "held", since=DAY_1)], ""),
            ([line("a", "held", since=DAY_2)], "a:held"),
        ],
    ),
    "while it runs": (
        FILE,
        [
            ([line("a", "failed")], "a:failed"),
            ([line("a", "unpublished", running=DAY_1)], ""),
            ([line("a", "failed")], ""),
            ([line("a", "published", running=DAY_1, late=True)], "a:late"),
            ([line("a", "published")], "a:recovered"),
        ],
    ),
    "only what was asked for": (
        f"{FILE}, events: [failed, unpublished], datasets: [lab_*]",
        [
            ([line("lab_a", "failed"), line("b", "failed")], "lab_a:failed"),
            ([line("lab_a", "late")], ""),
            ([line("lab_a", "failed")], ""),
            ([line("lab_a", "unpublished")], "lab_a:unpublished"),
            ([line("lab_a", "published")], ""),
        ],
    ),
    "no more a dataset": (
        FILE,
        [([line("a", "failed")], "a:failed"), ([], ""), ([line("a", "published")], "")],
    ),
}


@pytest.mark.parametrize(("channel", "rounds"), ROUNDS.values(), ids=ROUNDS.keys())
def test_what_is_said_in_which_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channel: str, rounds: Any
) -> None:
    settings, said, number = settings_with(tmp_path, channel), tmp_path / "said.jsonl", 0
    for lines, expected in rounds:
        monkeypatch.setattr(notifying, "overview", lambda _, lines=lines: lines)
        assert notify(settings) == []
        new = lines_of(said)[number:]
        number += len(new)
        assert len(new) == bool(expected), "one message a round"
        events = [f"{each['name']}:{each['event']}" for one in new for each in one["datasets"]]
        assert " ".join(events) == expected
    assert len({one["id"] for one in lines_of(said)}) == number


def test_real_servers_get_it_escaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, web: Any
) -> None:
    slack = pytest.importorskip("apprise.plugins.slack").NotifySlack
    monkeypatch.setattr(slack, "webhook_url", f"http://127.0.0.1:{web.server_port}/slack")
    hook = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    monkeypatch.setenv("SLACK", hook)
    monkeypatch.setenv("JSON", f"json://127.0.0.1:{web.server_port}/service")
    bad = "<!channel> *bold* \x1b[31m\u202e & <b>x</b>"
    monkeypatch.setattr(notifying, "overview", lambda _: [line("a", "failed", why=bad)])
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Smtp) as mail:
        mail.got = []  # type: ignore[attr-defined]
        threading.Thread(target=mail.serve_forever, daemon=True).start()
        settings = settings_with(
            tmp_path,
            f'kind: webhook, url: "http://127.0.0.1:{web.server_port}/hook", token: "${{SECRET}}"',
            "kind: email, to: [ada@example.org, b@example.org], sender: p@example.org, server:"
            f" 127.0.0.1, port: {mail.server_address[1]}, security: none",
            'kind: slack, url: "${SLACK}"',
            'kind: apprise, url: "${JSON}"',
        )
        said: list[str] = []
        assert notify(settings, log=said.append) == []
        assert notify(settings) == []
        mail.shutdown()
    assert len(said) == 4 and not any(SECRET in one or "TIiaj" in one for one in said)
    assert {path.split("/")[1]: token for path, token, _ in web.got} == {
        "hook": f"Bearer {SECRET}",
        "slack": None,
        "service": None,
    }
    posted = {path.split("/")[1]: json.loads(body) for path, _, body in web.got}
    own = posted["hook"]
    assert own["version"] == 1 and own["title"] == "a: failed"
    assert own["datasets"][0]["why"] == "<!channel> *bold* \\x1b[31m\\u202e & <b>x</b>"
    assert "  Next: syndb-pipeline check a.yaml" in own["text"]
    sent = posted["slack"]["attachments"][0]["text"]
    assert "&lt;!channel&gt;" in sent and "<" not in sent and posted["slack"]["mrkdwn"] is False
    [first, second] = mail.got  # type: ignore[attr-defined]
    assert b"To: ada@example.org" in first and b"To: b@example.org" in second
    assert b"Content-Type: text/plain" in first and b"text/html" not in first
    assert b"Subject: a: failed" in first and b"\x1b" not in first


@pytest.mark.parametrize(
    ("channel", "reason"),
    [
        ("kind: webhook, url: 'URL/broken'", "answered 500"),
        ("kind: webhook, url: 'URL/moved'", "answered 307"),
        ("kind: webhook, url: 'http://127.0.0.1:9'", "was not sent"),
        ("kind: webhook, url: '${FAR}'", "no address that starts with https"),
        ("kind: webhook, url: 'URL/hook', token: '${NONE}'", "NONE is not set"),
        ("kind: webhook, url: 'URL/hook', token: '${BAD}'", "cannot be sent"),
        ("kind: file, path: /proc/none/said", "No such file"),
        ("kind: slack, url: '${SECRET}'", "none that apprise knows"),
        ("kind: apprise, url: '${FAR_JSON}'", "not an encrypted one"),
        ("kind: apprise, url: '${BROKEN}'", "was not sent"),
    ],
)
def test_what_does_not_arrive_is_due_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, web: Any, channel: str, reason: str
) -> None:
    for name, value in {
        "FAR": f"http://example.org/{SECRET}",
        "BAD": f"{SECRET}\r\nX: y",
        "FAR_JSON": f"json://example.org/{SECRET}",
        "BROKEN": f"json://{SECRET}@127.0.0.1:9/broken",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NONE", raising=False)
    url = f"http://127.0.0.1:{web.server_port}"
    monkeypatch.setattr(notifying, "overview", lambda _: [line("a", "failed")])
    settings = settings_with(tmp_path, channel.replace("URL", url), FILE)
    tries = [notify(settings), notify(settings)]
    assert tries[0] == tries[1] and len(tries[0]) == 1 and reason in tries[0][0]
    assert len(lines_of(tmp_path / "said.jsonl")) == 1, "the other channel is not held back"
    kept = (settings.state / "notices.json").read_text()
    assert reason in kept or "is not set" in kept
    assert SECRET not in kept + str(tries)
    assert [path for path, _, _ in web.got if "elsewhere" in path] == []
    ids = {json.loads(body).get("id") for path, _, body in web.got if path in ("/broken", "/moved")}
    assert len(ids) <= 1, "the same message has the same id"


def test_state_that_is_damaged_or_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifying, "overview", lambda _: [line("a", "failed")])
    settings = settings_with(tmp_path, FILE)
    notify(settings)
    (settings.state / "notices.json").write_text('{"version": 1, "chan')
    with hold(settings.state / ".notices.lock", ""), pytest.raises(Busy):
        notify(settings, wait=0)
    assert len(lines_of(tmp_path / "said.jsonl")) == 1
    notify(settings)
    assert len(lines_of(tmp_path / "said.jsonl")) == 2

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (settings.state / "notices.json").unlink()
    monkeypatch.setattr(notifying, "write_atomically", full)
    with pytest.raises(OSError):
        notify(settings)
    assert len(lines_of(tmp_path / "said.jsonl")) == 2, "nothing is sent that cannot be kept"


@pytest.mark.parametrize(
    ("channel", "where", "reason"),
    [
        ("kind: slack, url: https://hooks.example.org/T/B/X", "notify.0.url", "a secret is not"),
        (
            f"kind: webhook, url: https://a.org, token: {SECRET}",
            "notify.0.token",
            "a secret is not",
        ),
        ("kind: webhook, url: http://a.org/x", "notify.0.url", "not encrypted"),
        ("kind: webhook, url: https://u:p@a.org", "notify.0.url", "no password"),
        ("kind: file, path: x, events: [fails]", "notify.0.events.0", "'failed'"),
        ("kind: pigeon", "notify.0", "'email'"),
        (
            "kind: email, to: ['a@b.c, d@e.f'], sender: a@b.c, server: s",
            "notify.0.to.0",
            "not an e-mail address",
        ),
        (
            "kind: email, to: [a@b.c], sender: a@b.c, server: s, security: none, password: '${X}'",
            "notify.0.security",
            "without encryption",
        ),
    ],
)
def test_channels_that_are_refused(tmp_path: Path, channel: str, where: str, reason: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settings_with(tmp_path, channel)
    assert f"line 3: {where}: " in str(refused.value) and reason in str(refused.value)
    assert SECRET not in str(refused.value)


def figures(lab: command_line.Lab) -> dict[tuple[str, ...], float]:
    """What `metrics` prints, as Prometheus reads it: name and labels -> value."""
    families = text_string_to_metric_families(lab.call("metrics").out)
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_dataset_on_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejected, corrected, published: by the command, then by the sensor."""
    lab = command_line.Lab(tmp_path)
    pipeline = tmp_path / "pipeline.yaml"
    pipeline.write_text(pipeline.read_text() + f"datasets: .\nnotify: [{{{FILE}}}]\n")
    (tmp_path / "axon.csv").write_text("cid,voxel_volume\n1,1e8\n2,-5\n")
    config = lab.config("guide", str(DATASET), {"axon": {"file": "axon.csv"}}, approval="standing")
    (tmp_path / "datasets").mkdir()
    config = config.rename(tmp_path / "datasets" / config.name)
    (tmp_path / "axon.csv").rename(tmp_path / "datasets" / "axon.csv")
    pipeline.write_text(pipeline.read_text().replace("datasets: .", "datasets: datasets"))
    said = tmp_path / "said.jsonl"

    assert lab.call("publish", config).code == 3
    [first] = lines_of(said)
    assert first["title"] == "guide: rejected" and "Value out of range" in first["text"]
    assert lab.call("publish", config).code == 3
    assert len(lines_of(said)) == 1, "said already"
    rejected = figures(lab)
    assert rejected["syndb_dataset_state", "guide", "rejected"] == 1
    assert rejected["syndb_rows", "guide", "rejected", "axon"] == 1
    assert rejected["syndb_findings", "SYN-VAL-001", "guide", "error"] == 1
    assert rejected["syndb_attempts_total", "guide", "rejected"] == 1

    (tmp_path / "datasets" / "axon.csv").write_text("cid,voxel_volume\n1,1e8\n2,5e8\n")
    (tmp_path / "said.jsonl").rename(tmp_path / "kept.jsonl")
    said.mkdir()  # a channel that fails does not let the command fail
    done = lab.call("publish", config)
    assert done.code == 0 and "Not notified: file said.jsonl: " in done.err
    said.rmdir()
    published = figures(lab)
    assert published["syndb_dataset_state", "guide", "published"] == 1
    assert published["syndb_dataset_state", "guide", "rejected"] == 0
    assert published["syndb_rows", "guide", "passed", "axon"] == 2
    assert published["syndb_package_bytes", "guide"] > 0
    assert published["syndb_stage_seconds", "guide", "package"] > 0
    assert published["syndb_last_success_timestamp_seconds", "guide"] > time.time() - 600
    assert published["syndb_notification_undelivered", "file said.jsonl"] == 1
    assert lab.call("metrics", "--output", "syndb.prom").out == ""
    assert (tmp_path / "syndb.prom").read_text() == lab.call("metrics").out
    resource = PipelineResource(pipeline_file=str(pipeline))
    heard, cursor = [], None
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(2):
            given = {"pipeline": resource}
            with dg.build_sensor_context(instance, cursor, resources=given) as context:
                result = sensors(OWN)[0](context)
            assert isinstance(result, dg.SensorResult)
            heard.append("guide: recovered" in str(result.skip_reason))
            cursor = result.cursor
    assert heard == [True, False]
    assert lines_of(said)[0]["title"] == "guide: recovered"

    tested = lab.call("notify", "--test")
    assert tested.code == 0 and tested.out == "Sent a test message: file said.jsonl\n"
    assert lines_of(said)[-1]["title"] == "A test message"
    assert lab.call("notify").out == "Nothing was sent.\n"

    pipeline.write_text(pipeline.read_text().replace(FILE, "kind: apprise, url: '${SECRET}'"))
    monkeypatch.setitem(sys.modules, "apprise", None)
    missing = lab.call("notify", "--test", SECRET=SECRET)
    assert missing.code == 5 and 'pip install "syndb-pipeline[operate]"' in missing.err
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    assert 'pip install "syndb-pipeline[operate]"' in lab.call("metrics").err
    pipeline.write_text(pipeline.read_text().partition("notify:")[0])
    assert lab.call("notify").code == 2
