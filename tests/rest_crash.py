"""Publishing to the sandbox over a socket with something going wrong: one fault of the server's, or
a client that dies at one step.

Belongs here: fresh servers, clients that can be killed, and what is true at the end. Does not:
which cases there are.

One process imports everything once. It forks each server and each command, so that a case takes a
fraction of a second and still has processes of its own, which speak over a real socket and die by
SIGKILL.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import httpx
import yaml

from syndb_pipeline.cli import main as cli
from syndb_pipeline.cli import terminal
from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.destinations import load_settings
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.destinations.http import connections, session
from syndb_pipeline.publishing import plan as planning
from syndb_pipeline.publishing import records
from syndb_pipeline.publishing.plan import Plan, plan
from syndb_pipeline.publishing.records import PublishRecords
from syndb_pipeline.sandbox import backend
from syndb_pipeline.stages import runner
from syndb_pipeline.state.stage import Context
from tests.command_line import TERMS
from tests.forks import Child, Forks
from tests.meshes import small_mesh
from tests.rest_lab import ADA, PASSWORD, serve_sandbox

DATASET = UUID("01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a33")
LABEL = "Crash example"
COLLECTION = "Crash collection"
ROWS = {"neuron": 2, "axon": 3, "vesicle": 8}
CONFIG: dict[str, Any] = {
    "dataset": {
        "id": str(DATASET),
        "label": LABEL,
        "animal": "DROSOPHILA_MELANOGASTER",
        "microscopy": "ssTEM",
        "brain_regions": [{"structure": "hippocampus"}],
        "mutations": [{"gene": "shi", "expression": "knock-out"}],
        "publications": ["10.1234/example"],
        "collections": [COLLECTION],
    },
    "tables": {
        "neuron": {"file": "neuron.csv"},
        "axon": {"file": "axon.csv", "parent": "neuron"},
        "vesicle": {"file": "vesicle.csv", "parent": "axon"},
    },
    "publish": {"destination": "sandbox"},
    "terms": TERMS,
}
SAME_COMMAND_AGAIN = 4
"""How often at most the same command is given after a case: an unknown outcome is settled by the
next command or the one after it.
"""


def make_quick() -> None:
    """What hundreds of cases would spend minutes on; that waits are kept is shown elsewhere."""
    session._FIRST_WAIT = 0.02
    connections._SMALL = 100  # small bodies go out in pieces, as large ones
    backend._scrypt = lambda password, salt: password.encode() + salt
    runner.versions(next(iter(runner.STAGES.values())))  # looked up once
    # The dataset is prepared, and publishing recomputes the whole chain by itself: before that, the
    # command would do so twice more.
    planning.refuse_changes = lambda context, approve: None
    terminal.prepared = lambda context, **_: (
        context.store.record("check_integrity"),
        "prepared",
    )


def make_mortal(die_at: int, names: int) -> None:
    """Let this process die at step number `die_at`; every step's name goes to the descriptor
    `names`, so that the last one says where it was.
    """
    passed = 0

    def step(name: str) -> None:
        nonlocal passed
        os.write(names, f"{name}\n".encode())
        if passed == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        passed += 1

    def around(owner: Any, name: str, words: Callable[..., str]) -> None:
        function = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            step(f"before {words(*args)}")
            result = function(*args, **kwargs)
            step(f"after {words(*args)}")
            return result

        setattr(owner, name, call)

    def pieces(body: Any) -> Iterator[bytes]:
        form = type(body).__name__ == "MultipartStream"
        for number, piece in enumerate(joined(body)):
            yield piece
            if form:
                step(f"during body, piece {number}")
        if form:
            step("during body, all sent")

    around(
        PublishRecords, "note", lambda _, plan, to, what, state, *rest: f"journal {what} {state}"
    )
    around(records, "write_atomically", lambda path, text: f"record {Path(path).parent.name}")
    around(
        session.Session,
        "_send",
        lambda _, call, *rest: f"request {call.method} {call.what.split('?')[0]}",
    )
    joined = connections._joined
    connections._joined = pieces


def command(arguments: list[str], steps: str, die_at: int) -> Any:
    """`syndb-pipeline` with these arguments; returns its exit code."""
    if steps:
        make_mortal(die_at, os.open(steps, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    sys.argv = ["syndb-pipeline", *arguments]
    try:
        cli.main()
    except SystemExit as ended:
        return ended.code
    return 0


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (negative: the signal it died of), what it printed, and
    the steps it went through.
    """

    code: int
    told: str
    steps: tuple[str, ...] = ()


class Bench:
    """One server at a time on one port, and a lab prepared once for it. Cases on one bench follow
    each other; benches work side by side.
    """

    def __init__(self, folder: Path, *, v1: bool = False) -> None:
        folder.mkdir(parents=True)
        self.folder, self.v1 = folder, v1
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._forks = Forks(make_quick, _environment(folder))
        self._accounts = folder / "accounts.yaml"
        self._accounts.write_text(
            yaml.safe_dump({"users": [{"email": ADA, "password": PASSWORD, "verified": True}]})
        )
        self._server: Child | None = None
        self._cases = 0
        self.prepared = folder / "prepared" / "lab"
        (folder / "prepared" / "server").mkdir(parents=True)
        write_lab(self.prepared, self.url, v1=v1)
        context = context_of(self.prepared)
        with context.store.lock():
            list(runner.run_through(context, "package"))
        self.plan = plan(context)
        self.content = content_of({name: self._sent(name) for name in ROWS})

    def _sent(self, table: str) -> Path:
        [path] = [member.path for member in self.plan.payload.members if member.path.stem == table]
        return path

    def close(self) -> None:
        self.stop_server()
        self._forks.close()

    def case(self, *faults: str) -> Case:
        """A fresh server with these faults and a fresh copy of the prepared lab; the case before it
        is gone.
        """
        return self._case(self.prepared.parent, faults)

    def published_case(self, *faults: str) -> Case:
        """As `case`, with the dataset published."""
        kept = self.folder / "published"
        if not kept.is_dir():
            case = self.case()
            assert case.publish().code == 0, case.story
            case.require_whole()
            self.stop_server()
            shutil.copytree(case.folder, kept)
        return self._case(kept, faults)

    def _case(self, like: Path, faults: Sequence[str]) -> Case:
        self.stop_server()
        shutil.rmtree(self.folder / f"case-{self._cases}", ignore_errors=True)
        self._cases += 1
        folder = self.folder / f"case-{self._cases}"
        shutil.copytree(like, folder)
        self.start_server(folder / "server", faults)
        return Case(self, folder)

    def start_server(self, folder: Path, faults: Sequence[str] = ()) -> None:
        self._server = self._forks.start(
            serve_sandbox,
            folder,
            folder / "server.log",
            options={
                "folder": str(folder),
                "port": self.port,
                "accounts": str(self._accounts),
                "faults": list(faults),
                "v1_upload": self.v1,
            },
        )
        until = time.monotonic() + 30
        while not (folder / "address").is_file():
            if time.monotonic() > until:
                raise RuntimeError(
                    f"the sandbox did not start:\n{(folder / 'server.log').read_text()}"
                )
            time.sleep(0.005)

    def stop_server(self) -> None:
        if self._server is not None:
            self._server.send_signal(signal.SIGKILL)
            self._server.wait()
            self._server = None

    def start(
        self,
        folder: Path,
        arguments: Sequence[str],
        token: str | None = None,
        steps: Path | None = None,
        die_at: int = -1,
    ) -> Child:
        """Start `syndb-pipeline` with these arguments."""
        return self._forks.start(
            command,
            folder,
            folder / "output",
            logged_in(token),
            arguments=list(arguments),
            steps=str(steps or ""),
            die_at=die_at,
        )


class Case:
    """One server, one lab, and what happens between them."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self.folder = folder
        self.lab = folder / "lab"
        self.log: list[str] = []

    def publish(self, **options: Any) -> Ended:
        return self.command(*self._publishing, **options)

    def delete(self, **options: Any) -> Ended:
        return self.command("delete", "example.yaml", "--label", LABEL, **options)

    @property
    def _publishing(self) -> tuple[str, ...]:
        return "publish", "example.yaml", "--approve", self.bench.plan.digest

    def command(
        self, *arguments: str, die_at: int | None = None, token: str | None = None
    ) -> Ended:
        """Run a command. With `die_at` it dies at that step; -1 counts the steps only. With `token`
        it has nothing else to log in with.
        """
        steps = self.lab / "steps" if die_at is not None else None
        (self.lab / "output").unlink(missing_ok=True)
        die_at = -1 if die_at is None else die_at
        child = self.bench.start(self.lab, arguments, token, steps, die_at)
        return self.ended(self.lab, child, steps)

    def start(self, lab: Path) -> Child:
        """Start to publish from a lab; `ended` waits for it."""
        return self.bench.start(lab, self._publishing)

    def ended(self, lab: Path, child: Child, steps: Path | None = None) -> Ended:
        code = child.wait()
        told = (lab / "output").read_text()
        self.log += [f"--- exit {code}", told]
        return Ended(code, told, tuple(steps.read_text().splitlines()) if steps else ())

    def until_done(self, allowed: Iterable[int] = (6,)) -> int:
        """Give the same command until it says that it is done; returns how often. Every exit code
        on the way must be an allowed one.
        """
        for times in range(1, SAME_COMMAND_AGAIN + 1):
            ended = self.publish()
            if ended.code == 0:
                return times
            assert ended.code in allowed, self.story
        raise AssertionError(f"not settled by {SAME_COMMAND_AGAIN} commands\n{self.story}")

    def lose_state(self) -> None:
        """Everything that publishing keeps on this machine is gone."""
        shutil.rmtree(self.records.folder)

    @property
    def records(self) -> PublishRecords:
        return PublishRecords(context_of(self.lab).store)

    @property
    def node(self) -> EmbeddedNode:
        return EmbeddedNode(
            "as it is", self.folder / "server" / "node", memory_limit=300_000_000, threads=1
        )

    def requests(self) -> list[dict[str, Any]]:
        """Every request that reached the server: number, method, path, route, status, fault."""
        seen: list[dict[str, Any]] = httpx.get(
            f"{self.bench.url}/_sandbox/requests", trust_env=False
        ).json()
        return seen

    def routes(self) -> Counter[str]:
        return Counter(seen["route"] for seen in self.requests())

    def token(self) -> str:
        answer = httpx.post(
            f"{self.bench.url}/user/auth/native/login",
            data={"username": ADA, "password": PASSWORD},
            trust_env=False,
        )
        token: str = answer.raise_for_status().json()["access_token"]
        return token

    @property
    def story(self) -> str:
        """What was said and asked, for a test that fails."""
        asked = [
            f"{seen['number']:>3} {seen['method']} {seen['path']} {seen['status']}"
            f" {seen['fault'] or ''}"
            for seen in self.requests()
        ]
        return "\n".join([*self.log, "--- requests", *asked])

    def require_whole(self, *, uploads: int = 1) -> None:
        """The dataset is at the server, every row of every table once and as sent, counted once;
        each file once; one receipt, one plan.
        """
        wanted, node, v1 = self.bench.plan, self.node, self.bench.v1
        [info] = node.all()
        assert info.rows == ROWS, self.story
        if v1:  # whose tar is another, and which has neither files nor collections
            assert len(info.uploads or ()) == uploads, self.story
            assert info.number_of_units == uploads * sum(ROWS.values()), self.story
            assert content_of(node.table_files(DATASET)) == self.bench.content, self.story
            self.require_receipt(self.lab, wanted)
            return
        assert (
            info.uploads is not None
            and [upload.tar_sha256 for upload in info.uploads] == [wanted.payload.sha256] * uploads
        ), self.story
        assert info.number_of_units == uploads * sum(ROWS.values()), self.story
        assert content_of(node.table_files(DATASET)) == self.bench.content, self.story
        files = [(file.kind, file.unit, file.sha256) for file in node.stored(DATASET)]
        assert sorted(files) == sorted(
            (file.kind, file.cid, file.sha256) for file in wanted.files
        ), self.story
        kept = json.loads((self.folder / "server" / "catalogue.json").read_text())
        assert [(each["name"], each["datasets"]) for each in kept["collections"]] == [
            (COLLECTION, [str(DATASET)])
        ]
        kinds = Counter(each["kind"] for each in kept["tags"])
        assert all(
            kinds[kind] == 1 for kind in ("brain_region", "mutation", "publication", "microscopy")
        ), kinds
        self.require_receipt(self.lab, wanted)

    def require_receipt(self, lab: Path, wanted: Plan) -> None:
        records = PublishRecords(context_of(lab).store)
        receipt = records.receipt()
        assert receipt is not None, self.story
        assert [path.stem for path in (records.folder / "receipts").iterdir()] == [wanted.digest], (
            self.story
        )
        assert receipt == records.receipt(wanted.digest)
        assert (receipt.plan, receipt.upload.tar_sha256, receipt.files) == (
            wanted.digest,
            wanted.payload.sha256,
            len(wanted.files),
        )
        seen = {
            name: (check.found, check.missing, check.doubled)
            for name, check in receipt.tables.items()
        }
        if self.bench.v1:  # which gives no rows back
            assert seen == dict.fromkeys(ROWS, (None, None, None)), self.story
        else:
            assert seen == {name: (rows, 0, 0) for name, rows in ROWS.items()}, self.story
        assert {line.plan for line in records.journal() if line.step != "delete"} == {wanted.digest}


def context_of(lab: Path) -> Context:
    return Context(load_dataset(lab / "example.yaml"), load_settings(lab / "pipeline.yaml"))


def write_lab(folder: Path, url: str, *, v1: bool = False, settle_seconds: float = 1.5) -> None:
    folder.mkdir()
    destination = {
        "kind": "syndb_v1" if v1 else "rest",
        "url": url,
        "attempts": 4,
        "answer_seconds": 20,
        "total_seconds": 60,
        "settle_seconds": settle_seconds,
        "parallel_files": 2,
    }
    settings = {
        "state": "state",
        "memory_limit": "500MB",
        "threads": 1,
        "destinations": {"sandbox": destination},
    }
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(settings))
    (folder / "example.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False))
    for name in ("one", "two", "three"):
        (folder / f"{name}.glb").write_bytes(small_mesh(name))
    neurons = "cid,voxel_volume,mesh_path\nA,1e9,one.glb\nB,2e9,\n"
    axons = "cid,parent_id,voxel_volume,mesh_path\n1,A,1e8,two.glb\n2,A,2e8,three.glb\n4,B,3e8,\n"
    for name, text in {"neuron": neurons, "axon": axons}.items():
        lines = (line.rpartition(",")[0] if v1 else line for line in text.splitlines())
        (folder / f"{name}.csv").write_text("\n".join([*lines, ""]))
    parents = (1, 1, 1, 1, 1, 2, 2, 4)
    (folder / "vesicle.csv").write_text(
        "cid,parent_id\n" + "".join(f"{number},{parent}\n" for number, parent in enumerate(parents))
    )


def content_of(tables: dict[str, Path]) -> dict[str, list[Any]]:
    """Every row of each table, in an order of its own."""
    with duckdb.connect(config={"threads": 1}) as connection:
        return {
            name: connection.execute(f"FROM read_parquet('{path}') ORDER BY ALL").fetchall()
            for name, path in sorted(tables.items())
        }


def logged_in(token: str | None) -> dict[str, str]:
    """The environment of a command: a token alone, or a user name and a password."""
    if token is not None:
        return {"SYNDB_TOKEN__SANDBOX": token}
    return {"SYNDB_USERNAME__SANDBOX": ADA, "SYNDB_PASSWORD__SANDBOX": PASSWORD}


def _environment(folder: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SYNDB_", "DAGSTER_", "COV_", "COVERAGE_"))
    }
    own = {
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "SYNDB_CREDENTIALS": str(folder / "credentials.json"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "COLUMNS": "120",
        "OMP_NUM_THREADS": "1",
    }
    return kept | own
