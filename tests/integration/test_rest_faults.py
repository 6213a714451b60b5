"""What the user reads when the server misbehaves, and what is at the server afterwards: each
scripted fault, over a real socket.

Belongs here: words, exit codes, waits, next steps, as the command prints them. Does not: the
command around them (`test_rest_road.py`), every request in turn (`test_rest_exactly_once.py`).
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest
import yaml

from syndb_pipeline.base import engine
from syndb_pipeline.base.errors import Exit, PipelineError
from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.destinations import load_settings, open_destination
from syndb_pipeline.destinations.base import DatasetInfo
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.publishing.plan import approve, plan
from syndb_pipeline.publishing.publish import publish
from syndb_pipeline.publishing.status import delete
from syndb_pipeline.stages import runner
from syndb_pipeline.state.stage import Context
from tests.meshes import small_mesh
from tests.rest_lab import ADA, PASSWORD, RestLab, Sandbox

DATASET = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a55"
NEURONS, AXONS = 20, 30
DOCTOR = "See what is wrong, then try again: syndb-pipeline doctor --destination sandbox"


@dataclass(frozen=True)
class Told:
    """How a command ended, and its lines with the moment each was said."""

    code: int
    lines: tuple[tuple[float, str], ...]

    @property
    def text(self) -> str:
        return "\n".join(line for _, line in self.lines)

    def line(self, words: str) -> str:
        """The only line with these words."""
        [found] = [line for _, line in self.lines if words in line]
        return found

    def pause_after(self, words: str) -> float:
        """Seconds from the only line with these words to the next line, or to the end."""
        [at] = [number for number, (_, line) in enumerate(self.lines) if words in line]
        return self.lines[at + 1][0] - self.lines[at][0]


class Case:
    """A prepared dataset, not published yet, and the sandbox that it goes to."""

    def __init__(self, folder: Path, sandbox: Sandbox, rows: dict[str, int], **more: float) -> None:
        self.folder, self.sandbox, self.rows = folder, sandbox, rows
        settings = yaml.safe_load((folder / "pipeline.yaml").read_text())
        settings["destinations"]["sandbox"] |= {"attempts": 3, "settle_seconds": 0.3}
        settings["destinations"]["sandbox"] |= more
        (folder / "pipeline.yaml").write_text(yaml.safe_dump(settings))
        shutil.rmtree(sandbox.node / "datasets" / DATASET, ignore_errors=True)
        # The dataset is this copy's.
        (folder / "state" / "datasets" / DATASET / "config.json").unlink(missing_ok=True)
        self.config = folder / "example.yaml"
        self.digest = plan(self.context).digest
        self.receipt = self.context.store.folder / "publish" / "receipt.json"

    @property
    def context(self) -> Context:
        return Context(load_dataset(self.config), load_settings(self.folder / "pipeline.yaml"))

    def publish(self, *faults: str, approve: bool = True) -> Told:
        """Publish with these faults. The requests at the server are counted from one again."""
        digest = self.digest if approve else None
        return self._told(faults, lambda say: publish(self.context, digest, say))

    def delete(self, *faults: str) -> Told:
        def act(say: Callable[[str], None]) -> None:
            settings = self.context.settings
            delete(settings, UUID(DATASET), open_destination(settings, "sandbox", say), "example")

        return self._told(faults, act)

    def _told(self, faults: tuple[str, ...], act: Callable[[Callable[[str], None]], Any]) -> Told:
        self.sandbox.script(*faults)
        lines: list[tuple[float, str]] = []

        def say(text: str) -> None:
            lines.extend((time.monotonic(), line) for line in text.splitlines())

        code = Exit.OK
        try:
            act(say)
        except PipelineError as error:
            code = error.exit
            say(str(error))
        lines.append((time.monotonic(), ""))
        return Told(code, tuple(lines))

    def requests(self, route: str) -> int:
        return sum(seen["route"] == route for seen in self.sandbox.requests())

    @property
    def info(self) -> DatasetInfo | None:
        node = EmbeddedNode("as it is", self.sandbox.node, memory_limit=500_000_000, threads=1)
        return node.info(UUID(DATASET))

    def require_whole(self) -> None:
        """All rows are there, counted once, of one upload; and there is a receipt."""
        info = self.info
        assert info is not None and info.uploads is not None
        found = (info.rows, info.number_of_units, len(info.uploads))
        assert found == (self.rows, sum(self.rows.values()), 1)
        assert self.receipt.is_file()

    def require_nothing(self) -> None:
        """The dataset may be registered; of its rows there is none, and no receipt says
        otherwise.
        """
        info = self.info
        assert info is None or (info.rows, info.number_of_units, info.uploads) == ({}, 0, ())
        assert not self.receipt.exists()

    def require_the_same_command_settles_it(self) -> None:
        self.require_nothing()
        assert self.publish().code == 0
        self.require_whole()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    home = tmp_path_factory.mktemp("home")
    environment = {
        "HOME": str(home),
        "SYNDB_CREDENTIALS": str(home / "credentials.json"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "SYNDB_USERNAME__SANDBOX": ADA,
        "SYNDB_PASSWORD__SANDBOX": PASSWORD,
    }
    with pytest.MonkeyPatch.context() as patched, Sandbox(home / "sandbox") as running:
        for name, value in environment.items():
            patched.setenv(name, value)
        yield running


@pytest.fixture(scope="module")
def prepared(
    sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int, int], Path]:
    """A lab of so many neurons and axons, and one mesh, that went through the stages once."""

    @cache
    def folder(neurons: int, axons: int) -> Path:
        lab = RestLab(tmp_path_factory.mktemp("lab"), sandbox)
        config = lab.small("example", DATASET, axons=axons)
        table = lab.folder / "example-files" / "neuron.csv"
        measures = ("voxel_volume", "voxel_radius", "mesh_volume", "mesh_surface_area")
        columns = ", ".join(f"1000 + 1000 * random() AS {name}" for name in measures)
        duckdb.sql(
            f"COPY (SELECT 'n' || i AS cid, {columns}, if(i = 0, 'one.glb', '') AS mesh_path"
            f" FROM range({neurons}) t(i)) TO '{table}'"
        )
        (lab.folder / "one.glb").write_bytes(small_mesh("one"))
        context = Context(load_dataset(config), load_settings(lab.folder / "pipeline.yaml"))
        with context.store.lock():
            list(runner.run_through(context, "package"))
        return lab.folder

    return folder


@pytest.fixture
def case_with(
    prepared: Callable[[int, int], Path], sandbox: Sandbox, tmp_path: Path
) -> Callable[..., Case]:
    """A case of its own, whose destination has these settings."""

    def made(*, neurons: int = NEURONS, axons: int = AXONS, **destination: float) -> Case:
        shutil.copytree(prepared(neurons, axons), tmp_path / "lab")
        rows = {"neuron": neurons, "axon": axons}
        return Case(tmp_path / "lab", sandbox, rows, **destination)

    return made


@pytest.fixture
def case(case_with: Callable[..., Case]) -> Case:
    return case_with()


# Too many requests


@pytest.mark.parametrize(
    ("route", "given", "least", "most"),
    [("upload", "2", 2, 2.5), ("info", "date:3", 1, 4.5), ("new", "garbage", 0.4, 1.1)],
)
def test_429_is_waited_for_as_long_as_it_says(
    case: Case, route: str, given: str, least: float, most: float
) -> None:
    told = case.publish(f"429@{route},retry-after={given}")
    assert told.code == 0, told.text
    waits = re.search(
        r"sandbox answered 429 Too Many Requests: A scripted fault; waiting ([\d.]+) s, attempt 2"
        r" of 3$",
        told.line("429 Too Many Requests"),
    )
    assert waits is not None and least <= float(waits[1]) <= most
    assert told.pause_after("429 Too Many Requests") >= float(waits[1]) - 0.1
    case.require_whole()
    assert case.requests("upload") == (2 if route == "upload" else 1)


def test_429_for_longer_than_we_may_wait_says_when_to_come_again(
    case_with: Callable[..., Case],
) -> None:
    case = case_with(total_seconds=5)
    told = case.publish("429@upload,retry-after=3600")
    assert told.code == 5 and "sandbox answered 429 Too Many Requests" in told.text
    assert re.search(
        r"asks to be left alone until .* UTC; give the same command again after that\.", told.text
    )
    assert case.requests("upload") == 1 and told.pause_after("Sending 50 rows") < 60
    case.require_the_same_command_settles_it()


@pytest.mark.parametrize(
    ("fault", "said", "requests"),
    [
        (
            "429@upload:*",
            "429 Too Many Requests: A scripted fault (3 attempts); asked: PATCH /neurodata/io/",
            ("upload", 3),
        ),
        (
            "503@info:*,retry-after=1",
            "sandbox answered 503 Service Unavailable (3 attempts); asked: GET"
            " /neurodata/metadata/dataset/",
            ("info", 3),
        ),
    ],
)
def test_trouble_without_end_is_given_up_and_nothing_was_sent(
    case: Case, fault: str, said: str, requests: tuple[str, int]
) -> None:
    told = case.publish(fault)
    assert told.code == 5 and said in told.text and told.text.rstrip().endswith(DOCTOR)
    assert case.requests(requests[0]) == requests[1]
    case.require_the_same_command_settles_it()


# 5xx


@pytest.mark.parametrize("status", [500, 504])
def test_trouble_while_asking_is_tried_again(case: Case, status: int) -> None:
    told = case.publish(f"{status}@info")
    assert told.code == 0, told.text
    line = told.line("waiting")
    assert f"sandbox answered {status} " in line and line.endswith("s, attempt 2 of 3")
    assert told.pause_after("waiting") >= 0.4
    case.require_whole()


def test_503_at_the_upload_is_tried_again_with_the_whole_body(case: Case) -> None:
    told = case.publish("503@upload,retry-after=1,times=2")
    assert told.code == 0, told.text
    assert "attempt 2 of 3" in told.text and "attempt 3 of 3" in told.text
    assert case.requests("upload") == 3
    case.require_whole()


@pytest.mark.parametrize("status", [500, 507])
def test_a_refused_upload_is_told_with_the_servers_words_and_not_tried_again(
    case: Case, status: int
) -> None:
    told = case.publish(f"{status}@upload")
    assert told.code == 5
    for said in (f"answered {status} ", "A scripted fault.", f"to upload to dataset {DATASET}"):
        assert said in told.text
    # The contract's answer for what its database does not take.
    assert status != 500 or "Report it with these words." in told.text
    assert "waiting" not in told.text and case.requests("upload") == 1
    case.require_the_same_command_settles_it()


@pytest.mark.parametrize("status", [502, 504])
def test_a_gateways_trouble_after_the_upload_leaves_open_what_happened(
    case: Case, status: int
) -> None:
    told = case.publish(f"{status}@upload")
    assert told.code == 6
    assert f"sandbox answered {status} " in told.text
    assert "Whether it was done is not known." in told.text
    again = (
        f"Ask again in a while with: syndb-pipeline publish {case.config}\nIt sends only what is"
    )
    assert f"{again} not there." in told.text
    assert "fail" not in told.text and case.requests("upload") == 1
    case.require_the_same_command_settles_it()


# The connection


def test_a_lost_answer_is_asked_for_and_nothing_is_sent_again(case: Case) -> None:
    told = case.publish("drop@upload")
    assert told.code == 0, told.text
    assert "Whether it was done is not known. Asking sandbox what arrived." in told.line(
        "gave no answer"
    )
    assert case.requests("upload") == 1
    case.require_whole()


@pytest.mark.parametrize(
    "route", ["login", "profile", "universal", "new", "upload-url", "download", "object"]
)
def test_an_answer_cut_in_half_is_asked_for_again(case: Case, route: str) -> None:
    told = case.publish(f"reset-response@{route}")
    assert told.code == 0, told.text
    assert "gave no answer" in told.text or route == "new"  # 201 had been said by then
    case.require_whole()


def test_an_upload_that_did_not_arrive_is_unknown_and_the_same_command_settles_it(
    case: Case,
) -> None:
    told = case.publish("reset@upload,after=1000000")  # all of it is read, and nothing done
    assert told.code == 6
    assert "gave no answer" in told.text and "fail" not in told.text
    assert f"The upload of dataset {DATASET} is not at sandbox, or not yet." in told.text
    assert f"Ask again in a while with: syndb-pipeline publish {case.config}" in told.text
    case.require_the_same_command_settles_it()


def test_a_connection_reset_mid_body_is_made_again_and_the_body_sent_whole(
    case_with: Callable[..., Case],
) -> None:
    """No server can have taken a body whose end was never sent, so there is nothing to ask: it is
    sent again at once.
    """
    case = case_with(neurons=300_000)
    told = case.publish("reset@upload,after=100000")
    assert told.code == 0, told.text
    assert told.line("gave no answer").endswith("s, attempt 2 of 3")
    assert "is not known" not in told.text and case.requests("upload") == 2
    case.require_whole()


def test_the_same_rows_in_other_bytes_are_not_counted_again(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert case.publish().code == 0
    patched = runner._installed() | {"duckdb": "2.99.0"}
    monkeypatch.setattr(runner, "_installed", lambda: patched)
    monkeypatch.setattr(engine, "DICTIONARY_VALUES", 1)
    with case.context.store.lock():
        list(runner.run_through(case.context, "package"))
    assert plan(case.context).digest != case.digest
    again = case.publish(approve=False)
    assert again.code == 0, again.text
    assert "nothing to send" in again.text and case.requests("upload") == 0
    case.require_whole()


def test_a_held_plan_is_sent_once_it_is_approved_and_not_before(case: Case) -> None:
    assert case.publish().code == 0
    axons = case.folder / "example-files" / "axon.csv"
    lines = axons.read_text().splitlines(keepends=True)
    axons.write_text("".join(lines[: len(lines) // 2]))
    with case.context.store.lock():
        list(runner.run_through(case.context, "package"))
    for _ in range(2):
        held = case.publish(approve=False)
        assert held.code == Exit.APPROVAL and held.line("Held since"), held.text
        assert "(limit 20%); was" in held.line("axon: rows fell by")
        assert case.requests("upload") == 0
    current = plan(case.context)
    approve(case.context, current, current.digest, "Ada", "option")
    assert case.publish(approve=False).code == 0 and case.requests("upload") == 1
    assert "nothing to send" in case.publish(approve=False).text


def test_a_deletion_whose_answer_was_lost_is_confirmed_by_asking(case: Case) -> None:
    assert case.publish().code == 0
    told = case.delete("drop@delete")
    assert told.code == 0, told.text
    assert "gave no answer" in told.line("waiting")
    assert case.info is None


# Slow servers


def test_a_slow_server_is_waited_for(case: Case) -> None:
    told = case.publish("slow=1@info", "slow-answer=1@upload", "trickle=20000@object:1")
    assert told.code == 0, told.text
    assert "waiting" not in told.text and case.requests("upload") == 1
    case.require_whole()


def test_a_server_silent_for_too_long_is_asked_again(case_with: Callable[..., Case]) -> None:
    case = case_with(answer_seconds=1)
    told = case.publish("slow=3@info")
    assert told.code == 0, told.text
    assert "gave no answer (it was silent for too long); waiting " in told.line("attempt 2 of 3")
    case.require_whole()


def test_an_upload_silent_for_too_long_is_never_sent_twice(case_with: Callable[..., Case]) -> None:
    case = case_with(answer_seconds=1, settle_seconds=30)
    told = case.publish("slow-answer=3@upload")
    assert told.code == 0, told.text
    assert "it was silent for too long" in told.line("Asking sandbox what arrived")
    assert case.requests("upload") == 1
    case.require_whole()


def test_a_download_that_never_ends_is_given_up_in_time(case_with: Callable[..., Case]) -> None:
    case = case_with(total_seconds=4, attempts=2)
    told = case.publish("trickle=40@object:*")
    assert told.code == 5 and "took too long" in told.text and "total_seconds" in told.text
    assert case.requests("upload") == 1
    assert not case.receipt.exists(), "what was not read back is not said to be published"
    assert case.publish().code == 0 and case.requests("upload") == 0
    case.require_whole()


# The token


def test_a_token_that_ends_is_renewed_with_user_name_and_password(case: Case) -> None:
    told = case.publish("expire@upload")
    assert told.code == 0, told.text
    assert f"sandbox does not take the token any more; logging in again as {ADA}" in told.text
    assert (case.requests("login"), case.requests("upload")) == (2, 2)
    case.require_whole()


def test_without_a_password_a_token_that_ends_asks_for_a_log_in(
    case: Case, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYNDB_USERNAME__SANDBOX")
    monkeypatch.delenv("SYNDB_PASSWORD__SANDBOX")
    monkeypatch.setenv("SYNDB_TOKEN__SANDBOX", sandbox.token())
    told = case.publish("expire@upload")
    assert told.code == 5
    assert "does not know you any more: 401 Unauthorized" in told.text
    assert told.text.rstrip().endswith("Log in with: syndb-pipeline login --destination sandbox")
    assert (case.requests("login"), case.requests("upload")) == (0, 1)
    sandbox.script()
    monkeypatch.setenv("SYNDB_TOKEN__SANDBOX", sandbox.token())
    case.require_the_same_command_settles_it()


# A server that does not keep what it took


@pytest.mark.parametrize(
    ("fault", "counts", "words"),
    [
        ("lose-row", "sent", "axon: 1,500 rows sent, 1,499 found, 1 not as sent"),
        ("double-row", "stored", "axon: 1,500 rows sent, 1,501 found, 0 not as sent, 1 doubled"),
        ("alter-row", "sent", "axon: 1,500 rows sent, 1,500 found, 1 not as sent"),
        ("truncate", "stored", "axon: 1,500 rows sent, 1,000 found, 500 not as sent"),
        ("truncate", "sent", "axon: 1,500 rows sent, 1,000 found, 500 not as sent"),
    ],
)
def test_rows_that_are_not_as_sent_are_told_by_table(
    case_with: Callable[..., Case], fault: str, words: str, counts: str
) -> None:
    case = case_with(axons=1_500)
    told = case.publish(f"{fault}@upload,table=axon,counts={counts}")
    assert told.code == 5 and "What is at sandbox is not what was sent:" in told.text
    assert told.line("rows sent,").strip() == words
    fix = f"syndb-pipeline delete {DATASET} --destination sandbox"
    assert told.text.rstrip().endswith(f"Delete it and publish again: {fix}")
    assert not case.receipt.exists()
    again = case.publish()
    found = (again.code, again.line("rows sent,").strip(), case.requests("upload"))
    assert found == (5, words, 0), "the same, for it is still so"


def test_what_it_says_to_do_fixes_it(case: Case) -> None:
    assert case.publish("lose-row@upload", approve=False).code == 5
    assert case.delete().code == 0
    told = case.publish(approve=False)
    assert told.code == 4, "data that somebody deleted are sent again by a person's word only"
    command = told.line("Then approve exactly this plan with: ")
    assert command.endswith(f"publish {case.config} --approve {case.digest[:12]}")
    assert case.publish().code == 0
    case.require_whole()
