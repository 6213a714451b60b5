"""Secrets that no run may leave behind: a password and tokens, searched for in everything, after
runs that went well and runs that did not.

Belongs here: the runs, from the command line and through Dagster, and where it is looked. Does not:
how it is looked (`canary.py`).
"""

from __future__ import annotations

import gzip
import json
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import zlib
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import quote_plus

import pytest
from canary import Arguments, contents, search

from tests.command_line import PROGRAM, Terminal
from tests.meshes import small_mesh
from tests.rest_lab import ADA, EVE, TOM, RestLab, Sandbox

ID = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2c{:02d}"
SIGNED = re.compile(
    rb"x-amz-signature|[?&]signature=|authorization\W{1,4}bearer|bearer [\w.~+/-]{16}",
    re.IGNORECASE,
)
"""What a pre-signed form, a pre-signed address and our own header are known by, whatever their
values.
"""

TOKEN = re.compile(rb"(\.eJ|Wz)[\w-]{50,}\.[\w-]{27,}")
"""Any token of the sandbox: a list in JSON, packed when that is shorter, and its signature. So
those of unseen log-ins are found too.
"""

UNFORESEEN = """
import os
if os.environ.get("LET_IT_BREAK"):
    import httpcore
    sent = httpcore.ConnectionPool.handle_request
    def handle_request(self, request):
        authorization = dict(request.headers).get(b"authorization", b"")
        if request.method == b"PATCH":
            raise ZeroDivisionError(f"not foreseen: {request!r} {len(authorization)}")
        return sent(self, request)
    httpcore.ConnectionPool.handle_request = handle_request
"""
"""A mistake in the deepest layer, with the token in a local variable of the frame that breaks."""


class Stranger(RestLab):
    """A lab whose commands know no user, and show tracebacks."""

    @property
    def environment(self) -> dict[str, str]:
        known = super().environment
        del known["SYNDB_USERNAME__SANDBOX"], known["SYNDB_PASSWORD__SANDBOX"]
        return known | {"SYNDB_KEYRING": "off", "SYNDB_DEBUG": "1"}


@dataclass
class Aftermath:
    """What the runs left: a folder with everything, what was printed by which run, and the secrets."""

    root: Path
    lab: RestLab
    secrets: dict[str, str]
    arguments: Arguments
    printed: dict[str, str] = field(default_factory=dict)
    routes: set[str] = field(default_factory=set)

    @property
    def credentials(self) -> Path:
        return self.lab.folder / "home" / "credentials.json"

    def kept_token(self) -> str:
        [entry] = json.loads(self.credentials.read_text())["origins"].values()
        assert TOKEN.fullmatch(entry["token"].encode())
        return str(entry["token"])

    def keep(self, name: str, expected: int, code: int, shown: str) -> None:
        assert code == expected, f"{name}: {shown}"
        self.printed[name] = shown
        (self.root / "printed").mkdir(exist_ok=True)
        (self.root / "printed" / f"{name}.txt").write_text(shown)


class Runs:
    """Runs one thing after another and keeps what each printed."""

    def __init__(self, left: Aftermath, sandbox: Sandbox, home: dict[str, str]) -> None:
        self.left, self.sandbox, self.lab, self.home = left, sandbox, left.lab, home
        self.number = 0

    def dataset(self, name: str, **metadata: Any) -> str:
        """A small dataset of its own, with a mesh, and the name of its config."""
        self.number += 1
        path = self.lab.small(name, ID.format(self.number), **metadata)
        neurons = self.lab.folder / f"{name}-files" / "neuron.csv"
        header, first, *others = neurons.read_text().splitlines()
        (neurons.parent / "one.glb").write_bytes(small_mesh(name))
        rows = [
            f"{header},mesh_path",
            f"{first},{neurons.parent.name}/one.glb",
            *(f"{row}," for row in others),
        ]
        neurons.write_text("\n".join(rows) + "\n")
        return path.name

    def command(
        self,
        name: str,
        code: int,
        *arguments: str,
        faults: tuple[str, ...] = (),
        stdin: str = "",
        **environment: str,
    ) -> None:
        """A run that ends with `code`."""
        self._script(faults)
        ran = self.lab.fork(*arguments, stdin=stdin, timeout=180, **environment)
        self.left.keep(name, code, ran.code, ran.out + ran.err)

    def _run(
        self,
        name: str,
        code: int,
        command: list[str],
        faults: tuple[str, ...],
        environment: dict[str, str],
    ) -> None:
        """The same as a program, which breaks where it is told to."""
        self._script(faults)
        ran = subprocess.run(
            command,
            cwd=self.lab.folder,
            env=self.home | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        self.left.keep(name, code, ran.returncode, ran.stdout + ran.stderr)

    def unforeseen(self, name: str, code: int, *arguments: str) -> None:
        """A run that meets a mistake of ours."""
        self._run(name, code, [PROGRAM, *arguments], (), {"LET_IT_BREAK": "1"})

    def broken_off(
        self, name: str, code: int, config: str, how: signal.Signals, *, faults: tuple[str, ...]
    ) -> None:
        """Publish, and send a signal while the tar is on its way. The machine is one that keeps
        core files.
        """
        self._script(faults)
        process = subprocess.Popen(
            [PROGRAM, "publish", config],
            cwd=self.lab.folder,
            env=self.home | {"PYTHONFAULTHANDLER": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_CORE, (_core_limit(), _core_limit())
            ),
        )
        assert process.stderr is not None
        shown = ""
        while "Sending" not in shown:
            line = process.stderr.readline()
            assert line, shown
            shown += line
        while not any(request["route"] == "upload" for request in self.sandbox.requests()):
            assert process.poll() is None
        process.send_signal(how)
        shown += process.stderr.read()
        self.left.keep(name, code, process.wait(60), shown)

    def dagster(
        self, name: str, code: int, config: str, *, faults: tuple[str, ...] = (), **more: str
    ) -> None:
        """The job `publish` in a process of its own, as Dagster's daemon starts one, with what it
        prints captured by Dagster.
        """
        tags = json.dumps({"dagster/partition": Path(config).stem})
        job = ["-m", "dagster", "job", "execute", "-m", "dagster_defs", "-j", "publish", "--tags"]
        home = {
            "DAGSTER_HOME": str(self.lab.folder / "state" / "dagster"),
            "SYNDB_PIPELINE_CONFIG": str(self.lab.folder / "pipeline.yaml"),
        }
        self._run(name, code, [sys.executable, *job, tags], faults, home | more)

    def forms_last(self, seconds: float) -> None:
        """Let the object store refuse, or take again, what is sent with a pre-signed form."""
        self._script(())
        self.sandbox.limits = {"form_seconds": seconds}
        self.sandbox.restart()

    def _script(self, faults: tuple[str, ...]) -> None:
        self.left.routes |= {request["route"] for request in self.sandbox.requests()}
        self.sandbox.script(*faults)


def _core_limit() -> int:
    return resource.getrlimit(resource.RLIMIT_CORE)[1]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    """Everything that can happen to a publication, once, with canaries for secrets."""
    root = tmp_path_factory.mktemp("canary")
    secrets = {
        "the password": f"s3cret &+/%=ü {token_hex(16)}",
        "a wrong token": f"wrong.{token_hex(24)}",
        "a wrong password": token_hex(20),
    }
    accounts = [
        {"email": ADA, "password": secrets["the password"], "verified": True, "groups": ["lab"]},
        {"email": EVE, "password": secrets["the password"], "verified": True},
        {"email": TOM, "password": secrets["the password"], "groups": ["lab"]},
    ]
    with Sandbox(root / "server", accounts=accounts) as sandbox, Arguments(secrets) as arguments:
        lab = Stranger(root / "lab", sandbox, settle_seconds=0.2, attempts=2)
        left = Aftermath(root, lab, secrets, arguments)
        home = lab.environment | {"PYTHONPATH": str(root / "broken")}
        (root / "broken").mkdir()
        (root / "broken" / "sitecustomize.py").write_text(UNFORESEEN)
        runs = Runs(left, sandbox, home)
        from_the_command_line(runs, secrets)
        through_dagster(runs, secrets)
        runs.command("logout", 0, "logout")
        runs._script(())
    yield left


def from_the_command_line(runs: Runs, secrets: dict[str, str]) -> None:
    login = Terminal(runs.lab, "login", "--username", ADA, "--no-browser")
    login.read_until(
        lambda seen: seen.endswith(f"Password of {ADA}: ")
    )  # the space comes once nothing typed is shown any more
    login.answer(secrets["the password"])
    runs.left.keep("login", 0, login.end(), login.seen)
    secrets["the first token"] = runs.left.kept_token()

    wrong = {"SYNDB_TOKEN__SANDBOX": secrets["a wrong token"]}
    stranger, unverified = (
        {"SYNDB_USERNAME__SANDBOX": user, "SYNDB_PASSWORD__SANDBOX": secrets["the password"]}
        for user in (EVE, TOM)
    )

    def log_in(name: str, code: int, secret: str, *arguments: str) -> None:
        given = secrets[secret] + "\n"
        runs.command(name, code, "login", "--password-stdin", *arguments, stdin=given)

    def publish(name: str, code: int, config: str, *faults: str, **environment: str) -> None:
        runs.command(name, code, "publish", config, faults=faults, **environment)

    log_in("login-with-wrong-token", 5, "a wrong token", "--token")
    log_in("login-with-wrong-password", 5, "a wrong password", "--username", ADA)
    runs.command("doctor", 0, "doctor", "--json")
    good, new = runs.dataset("good", groups=["lab"]), runs.dataset("new")
    publish("publish", 0, good, "503@new", "429@object,retry-after=1")
    runs.command("whoami-wrong-token-401", 5, "whoami", **wrong)
    runs.command("stranger-403", 5, "delete", good, "--label", "good", **stranger)
    publish("publish-expired-401", 5, new, "expire@upload")
    log_in("login-by-stdin", 0, "the password", "--username", ADA, "--remember-password")
    secrets["the second token"] = runs.left.kept_token()
    publish("publish-500", 5, new, "500@upload")
    publish("publish-reset", 6, new, "reset@upload,after=1000000")
    runs.unforeseen("publish-unforeseen", 1, "publish", new)
    slow = ("slow=30@upload",)
    runs.broken_off("publish-interrupted", 130, new, signal.SIGINT, faults=slow)
    runs.broken_off("publish-crashed", -signal.SIGABRT, new, signal.SIGABRT, faults=slow)
    publish("publish-not-verified", 5, runs.dataset("unverified", groups=["lab"]), **unverified)
    runs.forms_last(1e-6)
    publish("publish-form-expired-403", 5, runs.dataset("late"))
    runs.forms_last(7200)


def through_dagster(runs: Runs, secrets: dict[str, str]) -> None:
    known = {"SYNDB_USERNAME__SANDBOX": ADA, "SYNDB_PASSWORD__SANDBOX": secrets["the password"]}
    wrong, night = {"SYNDB_TOKEN__SANDBOX": secrets["a wrong token"]}, runs.dataset("night")
    runs.command("run-refused-500", 5, "run", night, faults=("500@upload",), **known)
    runs.dagster("dagster-wrong-token-401", 1, night, **wrong)
    runs.dagster("dagster-unforeseen", 1, night, LET_IT_BREAK="1", **known)
    faults = ("429@upload,retry-after=1", "expire@download")
    runs.dagster("dagster-publish", 0, night, faults=faults, **known)


def test_the_runs_were_what_they_are_taken_for(left: Aftermath) -> None:
    asked = "login profile info new upload upload-url object download logout"
    assert set(asked.split()) <= left.routes
    for run, words in {
        "publish-unforeseen": "ZeroDivisionError",
        "publish-crashed": "Fatal Python error: Aborted",
        "publish-form-expired-403": "403 Forbidden",
    }.items():
        assert words in left.printed[run], run
    assert "Traceback" in left.printed["publish-unforeseen"]
    assert left.secrets["the first token"] != left.secrets["the second token"]


def test_nothing_left_behind_holds_a_secret(left: Aftermath) -> None:
    # The server's own files are its own; the credentials file is where the token was to be kept,
    # and is empty of it after log-out.
    found, files = search(left.root, left.secrets, leave_out=(left.root / "server",))

    assert found == []
    assert not list(left.lab.folder.glob("core*")), "a core file holds all of a process's memory"
    assert files > 100
    for place in (
        "printed",
        "lab/state",
        "lab/state/dagster/storage",
        "lab/state/dagster/history",
        "lab/home",
    ):
        assert any(path.is_file() for path in (left.root / place).rglob("*")), place
    assert not (left.credentials.exists() and "token" in left.credentials.read_text())


def test_no_process_was_given_a_secret_as_an_argument(left: Aftermath) -> None:
    assert left.arguments.found == []
    assert any(PROGRAM.encode() in line and b"publish" in line for line in left.arguments.seen)
    assert any(b"dagster\0job\0execute" in line for line in left.arguments.seen)


def test_no_token_no_signature_and_no_header_is_kept(left: Aftermath) -> None:
    kept = [
        path
        for place in ("lab", "printed")
        for path in (left.root / place).rglob("*")
        if path.is_file()
    ]

    assert [
        path
        for path in kept
        if any(SIGNED.search(piece) or TOKEN.search(piece) for piece in contents(path))
    ] == []
    logs = b"".join(piece for path in kept if path.suffix == ".db" for piece in contents(path))
    assert b"answered 429" in logs and b"ZeroDivisionError" in logs, (
        "the search did reach the event logs"
    )


PLACES: dict[str, Callable[[Path, str], object]] = {
    "plain": lambda path, secret: path.write_text(f"a {secret} b"),
    "address": lambda path, secret: path.write_text(f"https://x?password={quote_plus(secret)}"),
    "basic": lambda path, secret: path.write_bytes(b64encode(f"someone:{secret}".encode())),
    "token-payload": lambda path, secret: path.write_bytes(
        urlsafe_b64encode(f'["{secret}"]'.encode())
    ),
    "json": lambda path, secret: path.write_text(json.dumps(json.dumps({"p": secret}))),
    "utf-16": lambda path, secret: path.write_text(secret, encoding="utf-16"),
    "gzip": lambda path, secret: path.write_bytes(gzip.compress(secret.encode())),
    "database": lambda path, secret: _database(path, "a" * 5000 + secret),
    "packed": lambda path, secret: _database(path, zlib.compress(secret.encode())),
    "name": lambda path, secret: path.with_name(quote_plus(secret)).touch(),
}


def _database(path: Path, value: object) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE t (v)")
        connection.execute("INSERT INTO t VALUES (?)", [value])
    connection.close()


@pytest.mark.parametrize("place", PLACES)
def test_the_search_finds_what_is_there(tmp_path: Path, place: str) -> None:
    secret = f"s3cret &+/%=ü {token_hex(16)}"
    PLACES[place](tmp_path / "file", secret)

    assert [line.split(" in ")[0] for line in search(tmp_path, {"it": secret})[0]] == ["it"]
    assert search(tmp_path, {"another": token_hex(16)})[0] == []
