"""A dataset with a pipeline.yaml beside it, which another person wrote: where our secrets go, and
where we write.

Belongs here: every command that asks a server or writes state, against a server that keeps what it
receives. Does not: which address a secret is for (`unit/destinations/test_credentials.py`), or which file
is found (`unit/config/test_settings.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from tests.command_line import Lab, Ran

ID = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2d01"
SECRET = "canary-5d1f"
TOKEN = {"SYNDB_TOKEN__THEIRS": f"{SECRET}-token"}
PASSWORD = {
    "SYNDB_USERNAME__THEIRS": "ada@lab.example",
    "SYNDB_PASSWORD__THEIRS": f"{SECRET}-password",
}


@dataclass
class Server:
    """An address, and every request that came there, whole."""

    url: str
    requests: list[str] = field(default_factory=list)

    @property
    def got_a_secret(self) -> bool:
        return any(SECRET in request for request in self.requests)


@pytest.fixture
def server() -> Iterator[Server]:
    class Keeps(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode("latin-1")
            kept.requests.append(f"{self.requestline}\n{self.headers}\n{body}")
            self.send_response(401)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"detail": "Unauthorized"}')

        do_GET = do_POST = do_PATCH = do_DELETE = do_HEAD = answer

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Keeps) as listening:
        kept = Server(f"http://127.0.0.1:{listening.server_port}")
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield kept
        listening.shutdown()
        thread.join()


class Colleague(Lab):
    """Somebody's folder with a dataset and a pipeline.yaml; commands are given in another folder,
    `mine`, with a home of its own.
    """

    def __init__(self, folder: Path, server: Server) -> None:
        theirs = folder / "colleague"
        super().__init__(theirs)
        settings = {
            "state": "state",
            "data_folders": ["/"],
            "destinations": {
                "theirs": {"kind": "rest", "url": server.url, "attempts": 1},
                "local": {"kind": "embedded", "path": "/node"},
            },
        }
        self.settings = theirs / "pipeline.yaml"
        self.settings.write_text(yaml.safe_dump(settings))
        (theirs / "neuron.csv").write_text("cid,voxel_volume\nn1,5e9\nn2,6e9\n")
        self.dataset = self.config(
            "d",
            ID,
            {"neuron": {"file": "neuron.csv"}},
            publish={"destination": "theirs", "approval": "standing"},
        )
        self.before = {path.name for path in theirs.iterdir()}
        self.folder, self.theirs = folder / "mine", theirs
        self.folder.mkdir()

    run = Lab.call

    @property
    def environment(self) -> dict[str, str]:
        home = self.folder.parent / "home"
        own = {
            "HOME": str(home),
            "XDG_DATA_HOME": str(home / "data"),
            "SYNDB_CREDENTIALS": str(home / "credentials.json"),
            "SYNDB_KEYRING": "off",
        }
        return super().environment | own

    @property
    def untouched(self) -> bool:
        return {path.name for path in self.theirs.iterdir()} == self.before

    def mine(self, url: str) -> None:
        """A pipeline.yaml of one's own, which calls another server by the same name."""
        content = {
            "state": "state",
            "destinations": {"theirs": {"kind": "rest", "url": url, "attempts": 1}},
        }
        (self.folder / "pipeline.yaml").write_text(yaml.safe_dump(content))


@pytest.fixture
def lab(tmp_path: Path, server: Server) -> Colleague:
    return Colleague(tmp_path, server)


COMMANDS: dict[str, list[str]] = {
    "doctor": ["doctor", "CONFIG"],
    "publish": ["publish", "CONFIG"],
    "run": ["run", "CONFIG"],
    "check": ["check", "CONFIG"],
    "delete": ["delete", "CONFIG", "--label", "d"],
}


def run(lab: Colleague, command: str, **environment: str) -> Ran:
    return lab.run(
        *[str(lab.dataset) if word == "CONFIG" else word for word in COMMANDS[command]],
        **environment,
    )


@pytest.mark.parametrize("command", ["doctor", "publish", "run", "delete"])
def test_a_secret_of_the_environment_is_not_sent_where_a_file_beside_a_dataset_points(
    command: str, lab: Colleague, server: Server
) -> None:
    all_three = TOKEN | PASSWORD
    # A run of Dagster takes ten seconds.
    for secrets in [all_three] if command == "run" else [TOKEN, PASSWORD, all_three]:
        ran = run(lab, command, **secrets)
        assert not server.got_a_secret
        assert SECRET not in ran.out + ran.err
        said = " ".join((ran.out + ran.err).split())
        assert "not sent to" in said
        assert "SYNDB_URL__THEIRS" in said
        assert f"Settings: {lab.settings}, which is beside the dataset" in ran.err
    assert lab.untouched


@pytest.mark.parametrize("command", ["doctor", "publish"])
def test_the_address_is_named_in_the_environment(
    command: str, lab: Colleague, server: Server
) -> None:
    run(lab, command, SYNDB_URL__THEIRS=f"{server.url}/", **TOKEN)
    assert server.got_a_secret
    server.requests.clear()
    run(lab, command, SYNDB_URL__THEIRS=f"{server.url}0", **TOKEN)
    assert not server.got_a_secret
    assert lab.untouched


def test_ones_own_settings_name_the_server(lab: Colleague, server: Server) -> None:
    lab.mine("http://127.0.0.1:9")
    run(lab, "doctor", **TOKEN)
    assert not server.requests, "the name is the working folder's"
    assert f"Not used: {lab.settings}" in run(lab, "check").err
    lab.mine(server.url)
    run(lab, "doctor", **TOKEN)
    assert server.got_a_secret
    server.requests.clear()
    run(lab, "doctor", SYNDB_URL__THEIRS="https://elsewhere.example", **TOKEN)
    assert not server.got_a_secret, (
        "also one's own settings do not send what is meant for another server"
    )


def test_settings_that_are_named_are_ones_own(lab: Colleague, server: Server) -> None:
    lab.run("doctor", str(lab.dataset), "--settings", str(lab.settings), **TOKEN)
    assert server.got_a_secret
    assert (
        f"Settings: {lab.settings}\n"
        in lab.run("check", str(lab.dataset), "--settings", str(lab.settings)).err
    )
    server.requests.clear()
    lab.run("doctor", str(lab.dataset), SYNDB_PIPELINE_CONFIG=str(lab.settings), **TOKEN)
    assert server.got_a_secret


@pytest.mark.parametrize("command", ["check", "plan", "run"])
def test_state_is_ones_own_and_folders_are_not_widened(command: str, lab: Colleague) -> None:
    arguments = [command, str(lab.dataset), *(["--no-publish"] if command == "run" else [])]
    ran = lab.run(*arguments)
    assert ran.code == 0, ran.err
    assert lab.untouched
    assert (
        lab.folder.parent / "home" / "data" / "syndb-pipeline" / ".syndb" / "datasets" / ID
    ).is_dir()
    assert f"Settings: {lab.settings}, which is beside the dataset" in ran.err
    if command == "run":  # which reads its settings as the others do, and takes ten seconds
        return
    own = {"state": "state", "data_folders": ["."]}
    (lab.folder / "pipeline.yaml").write_text(yaml.safe_dump(own))
    (lab.folder.parent / "other").mkdir()
    (lab.folder.parent / "other" / "axon.csv").write_text("cid,parent_id\na1,n1\n")
    content = yaml.safe_load(lab.dataset.read_text())
    content["tables"]["axon"] = {"file": "../other/axon.csv"}
    content["publish"]["destination"] = "local"
    lab.dataset.write_text(yaml.safe_dump(content))
    ran = lab.run(*arguments)
    assert ran.code == 3, ran.out + ran.err
    assert "SYN-READ-021" in ran.out
    assert (lab.folder / "state" / "datasets" / ID).is_dir()
    assert lab.untouched
