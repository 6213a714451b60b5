"""What the user reads when the server misbehaves, and what is at the server afterwards: each
scripted fault, through the real command.

Belongs here: words, exit codes, waits, next steps. Does not: every request in turn
(`test_rest_exactly_once.py`).
"""

from __future__ import annotations

import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from syndb_pipeline.destinations.base import DatasetInfo
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from tests.command_line import PROGRAM
from tests.meshes import small_mesh
from tests.rest_lab import ADA, RestLab, Sandbox

NEURONS, AXONS = 20, 30
ROWS = NEURONS + AXONS


@dataclass(frozen=True)
class Told:
    """How a command ended, and its lines with the moment each was read."""

    code: int
    lines: tuple[tuple[float, str], ...]
    ended: float

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
        following = self.lines[at + 1][0] if at + 1 < len(self.lines) else self.ended
        return following - self.lines[at][0]


class Case:
    """A dataset of its own, not published yet, and the sandbox that it goes to."""

    def __init__(self, lab: RestLab, sandbox: Sandbox, *, axons: int = AXONS) -> None:
        self.lab, self.sandbox = lab, sandbox
        self.dataset = str(uuid4())
        self.config = lab.small(self.dataset[:8], self.dataset, neurons=NEURONS, axons=axons)
        self.rows = {"neuron": NEURONS, "axon": axons}

    def publish(self, *faults: str, token: str = "") -> Told:
        """Publish with these faults. The requests at the server are counted anew. With `token`
        there is no password.
        """
        self.sandbox.script(*faults)
        environment = {"SYNDB_TOKEN__SANDBOX": token} if token else {}
        return self._told("publish", self.config, **environment)

    def delete(self, *faults: str) -> Told:
        self.sandbox.script(*faults)
        return self._told("delete", self.config, "--label", self.label)

    @property
    def label(self) -> str:
        return self.dataset[:8]

    def _told(self, *arguments: object, **environment: str) -> Told:
        lines = []
        process = self.lab.start(*arguments, **environment)
        assert process.stderr is not None and process.stdout is not None
        with process:
            for line in process.stderr:
                lines.append((time.monotonic(), line.rstrip("\n")))
            ended = time.monotonic()
            lines += [(ended, line.rstrip("\n")) for line in process.stdout]
        told = Told(process.returncode, tuple(lines), ended)
        assert "Traceback" not in told.text
        return told

    def requests(self, route: str) -> int:
        return sum(seen["route"] == route for seen in self.sandbox.requests())

    @property
    def info(self) -> DatasetInfo | None:
        node = EmbeddedNode("as it is", self.sandbox.node, memory_limit=500_000_000, threads=1)
        return node.info(UUID(self.dataset))

    def require_whole(self) -> None:
        """All rows are there, counted once, of one upload; and there is a receipt."""
        info = self.info
        assert info is not None and info.uploads is not None
        assert (info.rows, info.number_of_units, len(info.uploads)) == (
            self.rows,
            sum(self.rows.values()),
            1,
        )
        assert self.receipt.is_file()

    def require_nothing(self) -> None:
        """The dataset may be registered; of its rows there is none, and no receipt says
        otherwise.
        """
        info = self.info
        assert info is None or (info.rows, info.number_of_units, info.uploads) == ({}, 0, ())
        assert not self.receipt.exists()

    @property
    def receipt(self) -> Path:
        return self.lab.store(self.dataset) / "publish" / "receipt.json"


class TimedLab(RestLab):
    """`start` with variables of its own, and output that comes line by line."""

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        token = "SYNDB_TOKEN__SANDBOX" in environment
        own = {
            name: value
            for name, value in self.environment.items()
            if not (token and name.startswith("SYNDB_") and "__" in name)
        }
        return subprocess.Popen(
            [PROGRAM, *map(str, arguments)],
            cwd=self.folder,
            env=own | environment | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture(scope="module")
def lab_with(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TimedLab]:
    """A lab whose destination has these settings; the same settings give the same lab."""
    labs: dict[str, TimedLab] = {}

    def lab(**destination: float) -> TimedLab:
        settings: dict[str, Any] = {"attempts": 3, "settle_seconds": 0.3} | destination
        name = repr(sorted(settings.items()))
        if name not in labs:
            labs[name] = TimedLab(tmp_path_factory.mktemp("lab"), sandbox, **settings)
        return labs[name]

    return lab


@pytest.fixture
def case(lab_with: Callable[..., TimedLab], sandbox: Sandbox) -> Case:
    return Case(lab_with(), sandbox)


# Too many requests


@pytest.mark.parametrize(
    ("route", "given", "least", "most"),
    [("upload", "2", 2, 2.5), ("info", "date:5", 2, 6.5), ("new", "garbage", 0.4, 1.1)],
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
    lab_with: Callable[..., TimedLab], sandbox: Sandbox
) -> None:
    case = Case(lab_with(total_seconds=5), sandbox)
    told = case.publish("429@upload,retry-after=3600")
    assert told.code == 5
    assert "sandbox answered 429 Too Many Requests" in told.text
    assert (
        "It asks to be left alone until " in told.text
        and " UTC; give the same command again after that." in told.text
    )
    assert case.requests("upload") == 1 and told.pause_after("Sending 50 rows") < 60
    case.require_nothing()
    assert case.publish().code == 0
    case.require_whole()


def test_429_without_end_is_given_up_and_nothing_was_sent(case: Case) -> None:
    told = case.publish("429@upload:*")
    assert told.code == 5
    assert (
        "429 Too Many Requests: A scripted fault (3 attempts); asked: PATCH /neurodata/io/"
        in told.text
    )
    assert told.text.endswith(
        "See what is wrong, then try again: syndb-pipeline doctor --destination sandbox"
    )
    assert case.requests("upload") == 3
    case.require_nothing()
    assert case.publish().code == 0
    case.require_whole()


# 5xx


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_trouble_while_asking_is_tried_again(case: Case, status: int) -> None:
    told = case.publish(f"{status}@info")
    assert told.code == 0, told.text
    assert f"sandbox answered {status} " in told.line("waiting") and told.line("waiting").endswith(
        "s, attempt 2 of 3"
    )
    assert told.pause_after("waiting") >= 0.4
    case.require_whole()


def test_trouble_without_end_while_asking_is_given_up(case: Case) -> None:
    told = case.publish("503@info:*,retry-after=1")
    assert told.code == 5
    assert (
        "sandbox answered 503 Service Unavailable (3 attempts); asked: GET"
        " /neurodata/metadata/dataset/" in told.text
    )
    assert (
        "See what is wrong, then try again: syndb-pipeline doctor --destination sandbox"
        in told.text
    )
    assert (case.requests("info"), case.requests("upload")) == (3, 0)
    case.require_nothing()


def test_503_at_the_upload_is_tried_again_with_the_whole_body(case: Case) -> None:
    told = case.publish("503@upload,retry-after=1,times=2")
    assert told.code == 0, told.text
    assert (
        "attempt 2 of 3" in told.text
        and "attempt 3 of 3" in told.text
        and case.requests("upload") == 3
    )
    case.require_whole()


@pytest.mark.parametrize("status", [500, 501, 505, 507])
def test_a_refused_upload_is_told_with_the_servers_words_and_not_tried_again(
    case: Case, status: int
) -> None:
    told = case.publish(f"{status}@upload")
    assert told.code == 5
    assert (
        f"answered {status} " in told.text
        and "A scripted fault." in told.text
        and f"to upload to dataset {case.dataset}" in told.text
    )
    assert "waiting" not in told.text and case.requests("upload") == 1
    if status == 500:  # the contract's answer for what its database does not take
        assert "Report it with these words." in told.text
    case.require_nothing()
    assert case.publish().code == 0
    case.require_whole()


@pytest.mark.parametrize("status", [502, 504])
def test_a_gateways_trouble_after_the_upload_leaves_open_what_happened(
    case: Case, status: int
) -> None:
    told = case.publish(f"{status}@upload")
    assert told.code == 6
    assert (
        f"sandbox answered {status} " in told.text
        and "Whether it was done is not known." in told.text
    )
    assert (
        f"Ask again in a while with: syndb-pipeline publish {case.config}\nIt sends only what is"
        " not there." in told.text
    )
    assert "fail" not in told.text and case.requests("upload") == 1
    case.require_nothing()
    assert case.publish().code == 0
    case.require_whole()


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
    (case.lab.folder / f"{case.label}.glb").write_bytes(small_mesh(case.dataset))
    files = case.lab.folder / f"{case.label}-files"
    table = (files / "neuron.csv").read_text().splitlines()
    (files / "neuron.csv").write_text(
        "\n".join(
            [
                table[0] + ",mesh_path",
                table[1] + f",{case.label}.glb",
                *(f"{row}," for row in table[2:]),
            ]
        )
        + "\n"
    )
    told = case.publish(f"reset-response@{route}")
    assert told.code == 0, told.text
    assert "gave no answer" in told.text or route == "new"  # 201 had been said by then
    case.require_whole()


def test_an_upload_that_did_not_arrive_is_unknown_and_the_same_command_settles_it(
    case: Case,
) -> None:
    told = case.publish("reset@upload,after=1000000")  # all of it is read, and nothing done
    assert told.code == 6
    assert (
        "gave no answer" in told.text
        and f"The upload of dataset {case.dataset} is not at sandbox, or not yet." in told.text
    )
    assert (
        f"Ask again in a while with: syndb-pipeline publish {case.config}" in told.text
        and "fail" not in told.text
    )
    case.require_nothing()
    assert case.publish().code == 0
    case.require_whole()


def test_a_connection_reset_mid_body_is_made_again_and_the_body_sent_whole(
    lab_with: Callable[..., TimedLab], sandbox: Sandbox
) -> None:
    """No server can have taken a body whose end was never sent, so there is nothing to ask: it is
    sent again at once.
    """
    case = Case(lab_with(), sandbox)
    chance = random.Random(7)
    columns = (
        "voxel_volume",
        "voxel_radius",
        "mesh_volume",
        "mesh_surface_area",
        "centroid_z",
        "centroid_x",
        "centroid_y",
    )
    rows = (
        f"n{n},{','.join(repr(1000 + 1000 * chance.random()) for _ in columns)}\n"
        for n in range(200_000)
    )
    (case.lab.folder / f"{case.label}-files" / "neuron.csv").write_text(
        f"cid,{','.join(columns)}\n{''.join(rows)}"
    )
    case.rows["neuron"] = 200_000
    told = case.publish("reset@upload,after=100000")
    assert told.code == 0, told.text
    assert (
        told.line("gave no answer").endswith("s, attempt 2 of 3")
        and "is not known" not in told.text
    )
    assert case.requests("upload") == 2
    case.require_whole()


def test_a_deletion_whose_answer_was_lost_is_confirmed_by_asking(case: Case) -> None:
    assert case.publish().code == 0
    told = case.delete("drop@delete")
    assert told.code == 0, told.text
    assert "gave no answer" in told.line("waiting")
    assert f"Deleted {case.label} ({case.dataset}) from sandbox, for good." in told.text
    assert case.info is None


# Slow servers


def test_a_slow_server_is_waited_for(case: Case) -> None:
    told = case.publish("slow=1@info", "slow-answer=1@upload", "trickle=20000@object:1")
    assert told.code == 0, told.text
    assert "waiting" not in told.text and case.requests("upload") == 1
    case.require_whole()


def test_a_server_silent_for_too_long_is_asked_again(
    lab_with: Callable[..., TimedLab], sandbox: Sandbox
) -> None:
    case = Case(lab_with(answer_seconds=2), sandbox)
    told = case.publish("slow=5@info")
    assert told.code == 0, told.text
    assert "gave no answer (it was silent for too long); waiting " in told.line("attempt 2 of 3")
    case.require_whole()


def test_an_upload_silent_for_too_long_is_never_sent_twice(
    lab_with: Callable[..., TimedLab], sandbox: Sandbox
) -> None:
    case = Case(lab_with(answer_seconds=2, settle_seconds=30), sandbox)
    told = case.publish("slow-answer=5@upload")
    assert told.code == 0, told.text
    assert "it was silent for too long" in told.line("Asking sandbox what arrived")
    assert case.requests("upload") == 1
    case.require_whole()


def test_a_download_that_never_ends_is_given_up_in_time(
    lab_with: Callable[..., TimedLab], sandbox: Sandbox
) -> None:
    case = Case(lab_with(total_seconds=6, attempts=2), sandbox)
    told = case.publish("trickle=40@object:*")
    assert told.code == 5
    assert "took too long" in told.text and "total_seconds" in told.text
    assert told.pause_after("Reading back") < 60 and case.requests("upload") == 1
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
    case: Case, sandbox: Sandbox
) -> None:
    told = case.publish("expire@upload", token=sandbox.token())
    assert told.code == 5
    assert "does not know you any more: 401 Unauthorized" in told.text
    assert told.text.endswith("Log in with: syndb-pipeline login --destination sandbox")
    assert (case.requests("login"), case.requests("upload")) == (0, 1)
    case.require_nothing()
    assert case.publish(token=sandbox.token()).code == 0
    case.require_whole()


# A server that does not keep what it took


@pytest.mark.parametrize("counts", ["sent", "stored"])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("lose-row", "axon: 1,500 rows sent, 1,499 found, 1 not as sent"),
        ("double-row", "axon: 1,500 rows sent, 1,501 found, 0 not as sent, 1 doubled"),
        ("alter-row", "axon: 1,500 rows sent, 1,500 found, 1 not as sent"),
        ("truncate", "axon: 1,500 rows sent, 1,000 found, 500 not as sent"),
    ],
)
def test_rows_that_are_not_as_sent_are_told_by_table(
    lab_with: Callable[..., TimedLab], sandbox: Sandbox, fault: str, words: str, counts: str
) -> None:
    case = Case(lab_with(), sandbox, axons=1_500)
    told = case.publish(f"{fault}@upload,table=axon,counts={counts}")
    assert told.code == 5
    assert (
        "What is at sandbox is not what was sent:" in told.text
        and told.line("rows sent,").strip() == words
    )
    assert told.text.endswith(
        f"Delete it and publish again: syndb-pipeline delete {case.dataset} --destination sandbox"
    )
    assert not case.receipt.exists()
    again = case.publish()
    assert (again.code, again.line("rows sent,").strip(), case.requests("upload")) == (
        5,
        words,
        0,
    ), "the same, for it is still so"


def test_what_it_says_to_do_mends_it(case: Case) -> None:
    assert case.publish("lose-row@upload").code == 5
    assert case.delete().code == 0
    told = case.publish()
    assert told.code == 4, "data that somebody deleted are sent again by a person's word only"
    command = told.line("Then approve exactly this plan with: ").rpartition(": ")[2]
    assert case.lab.run(*command.split()[1:]).code == 0
    case.require_whole()
