"""Each check of the doctor by itself: what it says of a machine, a clock, a network, and what one
is to do.

Belongs here: the checks and a look at a server. Does not: the command, or a whole lab
(`integration/test_connection.py`).
"""

from __future__ import annotations

import datetime
import socket
from email.utils import format_datetime
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr

from syndb_pipeline.base.errors import DestinationRefused, Exit, PipelineError, Unreachable
from syndb_pipeline.cli.doctor import (
    Check,
    check_clock,
    check_disk,
    check_memory,
    examine,
    exit_code,
    impatient,
    variables_of,
    where,
)
from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.destinations import load_settings
from syndb_pipeline.destinations.http.connections import reach
from syndb_pipeline.destinations.http.credentials import Credentials
from syndb_pipeline.destinations.rest import RestDestination as RestSettings
from tests.scripted_server import Server, answer, certified

DATASET = UUID("01939c0e-7b1a-7c3e-9f53-6f0c6b1d2c01")
CONFIG = f"""\
dataset:
  id: {DATASET}
  label: Guide example
  animal: DROSOPHILA_MELANOGASTER
  microscopy: ssTEM
  brain_regions: [{{structure: hippocampus}}]
tables:
  axon: {{file: "axon*.csv"}}
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with settings and one dataset of two files, 3,000 bytes together; nothing of the
    real home is read.
    """
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SYNDB_CREDENTIALS", str(tmp_path / "home" / "credentials.json"))
    monkeypatch.setenv("SYNDB_KEYRING", "off")
    (tmp_path / "pipeline.yaml").write_text(
        "state: state\ndestinations: {local: {kind: embedded, owner: ada}}\n"
    )
    (tmp_path / "guide.yaml").write_text(CONFIG)
    (tmp_path / "axon1.csv").write_bytes(b"x" * 1_000)
    (tmp_path / "axon2.csv").write_bytes(b"x" * 2_000)
    return tmp_path


def at(url: str) -> RestSettings:
    return RestSettings(kind="rest", url=url, connect_seconds=2)


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


# -- the machine


@pytest.mark.parametrize(
    ("ahead", "state", "said"),
    [
        (0.9, "ok", "as the server's"),
        (-59.0, "ok", "59 s ahead of the server"),
        (61.0, "warning", "61 s behind the server"),
        (-7200.0, "failed", "7,200 s ahead of"),
        (None, "warning", "gives no time"),
    ],
)
def test_clock(ahead: float | None, state: str, said: str) -> None:
    check = check_clock(ahead)

    assert check.state == state
    assert said in check.found
    assert bool(check.next_step) == (state != "ok")
    assert check.exit == (Exit.INTERNAL if state == "failed" else Exit.OK)


@pytest.mark.parametrize(
    ("limit", "state"), [(8_000, "ok"), (8_001, "warning"), (10_000, "warning"), (10_001, "failed")]
)
def test_memory(limit: int, state: str) -> None:
    check = check_memory(limit * 1_000_000, 10_000 * 1_000_000)

    assert check.state == state
    assert ("Set memory_limit in pipeline.yaml to 8000MB or less." in check.next_step) == (
        state != "ok"
    )


def test_disk_is_held_against_the_files_of_the_dataset(lab: Path) -> None:
    settings, dataset = load_settings(lab / "pipeline.yaml"), load_dataset(lab / "guide.yaml")

    assert check_disk(settings, dataset, 9_000).state == "ok"
    short = check_disk(settings, dataset, 8_999)
    assert (short.state, short.exit) == ("failed", Exit.INTERNAL)
    assert short.found == "9.0 kB free; 2 files of 3.0 kB may need 9.0 kB"
    assert check_disk(settings, None, 999_999_999).state == "warning"
    assert check_disk(settings, None, 1_000_000_000).state == "ok"


def test_a_state_folder_that_cannot_be_is_found_and_not_made(lab: Path) -> None:
    good = by_name(list(examine(settings=lab / "pipeline.yaml")))
    assert good["state"].found == f"{lab / 'state'} can be made"
    assert not (lab / "state").exists()

    (lab / "state").write_text("no folder")
    wrong = list(examine(settings=lab / "pipeline.yaml"))
    assert by_name(wrong)["state"].state == "failed"
    assert f"{lab / 'state'} is no folder" in by_name(wrong)["state"].found
    assert exit_code(wrong) == Exit.INTERNAL


# -- settings and datasets


def test_a_wrong_dataset_does_not_end_the_other_checks(lab: Path) -> None:
    (lab / "guide.yaml").write_text(CONFIG.replace("axon:", "axxon:"))
    checks = list(examine(lab / "guide.yaml", lab / "pipeline.yaml"))

    assert by_name(checks)["dataset"].state == "failed"
    assert "did you mean axon" in by_name(checks)["dataset"].found
    assert by_name(checks)["owner"].state == "ok"
    assert exit_code(checks) == Exit.USAGE


def test_a_destination_that_is_not_there(lab: Path) -> None:
    checks = list(examine(lab / "guide.yaml", lab / "pipeline.yaml", "lokal"))

    assert checks[-1].state == "failed"
    assert checks[-1].destination == "lokal"
    assert "did you mean local" in checks[-1].found
    assert exit_code(checks) == Exit.USAGE


def test_the_first_failure_gives_the_exit_code() -> None:
    fine, warned = Check(name="a", state="ok", found=""), Check(name="b", state="warning", found="")
    machine = Check(name="c", state="failed", found="", exit=Exit.INTERNAL)
    refused = Check(name="d", state="failed", found="", exit=Exit.REFUSED)

    assert exit_code([fine, warned]) == 0
    assert exit_code([fine, refused, machine]) == 5
    assert exit_code([machine, refused]) == 1


def test_a_person_is_not_kept_waiting(lab: Path) -> None:
    (lab / "pipeline.yaml").write_text(
        "destinations: {local: {}, a: {kind: rest, url: 'https://a.example', connect_seconds: 3}}\n"
    )
    settings = load_settings(lab / "pipeline.yaml")
    own = impatient(settings).destinations["a"]

    assert isinstance(own, RestSettings)
    assert (own.connect_seconds, own.answer_seconds, own.total_seconds, own.attempts) == (
        3,
        60,
        90,
        3,
    )
    assert impatient(settings).destinations["local"] == settings.destinations["local"]


def test_where_credentials_come_from_is_said_without_them() -> None:
    pair = Credentials(username="ada", password=SecretStr("canary"), source="environment")
    assert variables_of("my-lab.org", pair) == [
        "SYNDB_USERNAME__MY_LAB_ORG",
        "SYNDB_PASSWORD__MY_LAB_ORG",
    ]
    assert (
        where("x", Credentials(token=SecretStr("canary"), source="environment"))
        == "from the environment: SYNDB_TOKEN__X"
    )
    assert where("x", Credentials(token=SecretStr("canary"), source="keyring")) == "in the keyring"


# -- the network


def failing(url: str) -> PipelineError:
    with pytest.raises(PipelineError) as caught:
        reach(at(url))
    assert caught.value.next_step
    return caught.value


def test_name_connection_and_encryption_are_distinguished() -> None:
    assert failing("https://syndb.invalid").message.startswith(
        "DNS: the name syndb.invalid is not known here"
    )
    with Server([answer(200)]) as server:
        plain = failing(server.url.replace("http:", "https:"))
    assert isinstance(plain, Unreachable)
    assert plain.message.startswith(
        f"TLS: 127.0.0.1:{server.port} takes connections, but not encrypted ones"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert (
        failing(f"http://127.0.0.1:{port}").message
        == f"TCP: 127.0.0.1:{port} takes no connection (Connection refused)."
    )
    with Server([lambda seen: seen.reset()]) as server:
        assert failing(server.url).message.startswith(
            f"HTTP: 127.0.0.1:{server.port} takes connections, but does not answer"
        )


def test_a_certificate_that_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = certified(tmp_path)
    with Server([answer(200)], context) as server:
        refused = failing(server.url)
        assert isinstance(refused, DestinationRefused)
        assert "does not prove that it is this server: self-signed certificate" in refused.message
        assert "SSL_CERT_FILE" in refused.next_step
        assert server.seen == []

        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        assert reach(at(server.url)).status == 200
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent.pem"))
        assert "SSL_CERT_FILE" in failing(server.url).message


def test_any_answer_is_reached_and_its_clock_is_read() -> None:
    date = format_datetime(
        datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1), usegmt=True
    )
    with Server(
        [
            answer(404, date=date),
            answer(503),
            answer(302, date="today", location="http://192.0.2.1/"),
        ]
    ) as server:
        first, second, third = (reach(at(server.url + "/base")) for _ in range(3))

    assert first.status == 404
    assert first.ahead == pytest.approx(3600, abs=5)
    assert first.summary.startswith(f"127.0.0.1:{server.port} answers (")
    assert (second.status, second.ahead) == (503, None)
    assert "answers 503 Service Unavailable" in second.summary
    assert (third.status, third.ahead) == (302, None), "a redirect is not followed"
    assert {seen.target for seen in server.seen} == {"/base/"}
    assert all("authorization" not in seen.headers for seen in server.seen)


def test_a_proxy_takes_the_place_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server([answer(502)]) as proxy, Server([answer(200)]) as near:
        monkeypatch.setenv("https_proxy", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        assert failing("https://syndb.invalid").message.startswith(
            "HTTP: syndb.invalid does not answer through the proxy (502"
        )
        assert proxy.seen[0].method == "CONNECT"
        assert reach(at(near.url)).status == 200, "this machine is asked directly"
        assert len(near.seen) == 1
    monkeypatch.setenv("https_proxy", "http://proxy.invalid:3128")
    assert failing("https://syndb.invalid").message.startswith(
        "DNS: the name proxy.invalid, the proxy, is not known here"
    )
