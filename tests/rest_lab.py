"""The sandbox as tests meet it: a server in a process of its own, reached over a real socket.

Belongs here: starting, scripting, killing it, and a small lab that publishes to it. Does not: any
assertion.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import yaml

from syndb_pipeline.destinations.base import SUFFIX, FileKind
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.sandbox import files
from syndb_pipeline.sandbox.files import CONTENT_TYPES, FILENAME, UploadForm
from tests.command_line import Lab, forks
from tests.forks import Child

PASSWORD = "a password of the tests"
ADA, BOB, EVE, TOM = "ada@lab.example", "bob@lab.example", "eve@other.example", "tom@lab.example"
"""Ada and Bob are in the group `lab`; Eve is verified and in no group; Tom is not verified."""

REGION = {"brain_structure": "hippocampus", "direction": "null"}
TAGS = {"animal": {"species": 18}, "microscopy": {"name": "ssTEM"}, "brain_region": REGION}
"""What datasets of `new_dataset` refer to."""

UPLOAD = {
    "upload_start_time": "2026-11-23T10:00:00Z",
    "continent": "Europe",
    "country_alpha2": "NL",
    "city": "Leiden",
    "top_mbps_up": "10",
}
"""What must be said with an upload."""


def new_dataset(**changed: Any) -> dict[str, Any]:
    """The body that registers a dataset."""
    return {
        "id": str(uuid4()),
        "label": "x",
        "animal": 18,
        "microscopy": "ssTEM",
        "brain_regions": [REGION],
        "syndb_tables": [1],
    } | changed


def register(client: httpx.Client, **changed: Any) -> str:
    """Register a dataset. Returns its id."""
    answer = client.post("/neurodata/metadata/dataset/new", json=new_dataset(**changed))
    made: str = answer.raise_for_status().json()["id"]
    return made


def serve_sandbox(options: dict[str, Any]) -> None:
    """`serve` with options as JSON has them."""
    from syndb_pipeline.sandbox.backend import Limits
    from syndb_pipeline.sandbox.serve import serve

    if options.pop("moto", False):
        keep_objects_in_moto()
    accounts = Path(options["accounts"]) if options.get("accounts") else None
    own = {"folder": Path(options["folder"]), "accounts": accounts}
    serve(**{**options, **own, "limits": Limits(**options.get("limits", {}))})


class Sandbox:
    """A sandbox in `folder`, started on entering the block and stopped on leaving it.

    `faults` are texts such as `429@upload`; `accounts` is a list of accounts in the place of the
    demo ones; `limits` are fields of `backend.Limits`; with `moto`, meshes and skeletons go to
    moto's S3 in the server's process. `v1` is "v1" or "v1_upload", to speak generation 2.
    """

    def __init__(
        self,
        folder: Path,
        *,
        faults: Sequence[str] = (),
        accounts: list[dict[str, Any]] | None = None,
        token_seconds: float = 3600,
        limits: dict[str, Any] | None = None,
        moto: bool = False,
        port: int = 0,
        v1: str = "",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.faults = list(faults)
        self.token_seconds = token_seconds
        self.limits = limits or {}
        self.moto = moto
        self.v1 = v1
        self.port = port
        self.accounts: Path | None = None
        if accounts is not None:
            self.accounts = folder / "accounts.yaml"
            self.accounts.write_text(yaml.safe_dump({"users": accounts}))
        self.output = folder / "server.log"
        self.url = ""
        self.process: Child | None = None

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def node(self) -> Path:
        """The folder of the embedded node behind the server."""
        return self.folder / "node"

    def start(self) -> None:
        """Start the server and wait until it answers. A restarted one has its old port, data,
        accounts and tokens.
        """
        options = {
            "folder": str(self.folder),
            "port": self.port,
            "faults": self.faults,
            "accounts": str(self.accounts) if self.accounts else None,
            "token_seconds": self.token_seconds,
            "limits": self.limits,
            "moto": self.moto,
            **({self.v1: True} if self.v1 else {}),
        }
        address = self.folder / "address"
        address.unlink(missing_ok=True)
        environment = {"HOME": str(self.folder), "SYNDB_SANDBOX_PASSWORD": PASSWORD}
        self.process = forks().start(
            serve_sandbox, self.folder, self.output, environment, options=options
        )
        until = time.monotonic() + 60
        while not address.is_file():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the sandbox did not start:\n{self.log()}")
            time.sleep(0.02)
        self.url = address.read_text().strip()
        self.port = int(self.url.rpartition(":")[2])
        self._admin("GET", "/_sandbox/faults")

    def stop(self) -> int:
        """Stop it as an operator does. Returns its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut does."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def script(self, *faults: str) -> None:
        """Replace the faults; the count of requests starts again at 1. Without any there are
        none.
        """
        self._admin("PUT", "/_sandbox/faults", json={"faults": list(faults)})

    def script_log(self) -> list[list[Any]]:
        """Which faults happened: number of the request, its route, the fault's text."""
        log: list[list[Any]] = self._admin("GET", "/_sandbox/faults")["log"]
        return log

    def requests(self) -> list[dict[str, Any]]:
        """Every request since the script was set: number, method, path, route, status, fault."""
        seen: list[dict[str, Any]] = self._admin("GET", "/_sandbox/requests")
        return seen

    def log(self) -> str:
        """What the server printed."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def memory(self) -> int:
        """The most memory the server's process ever used, in bytes."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(
            int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")
        )

    def token(self, email: str = ADA, password: str = PASSWORD) -> str:
        """A token of an account, asked for over HTTP."""
        answer = httpx.post(
            f"{self.url}/user/auth/native/login",
            data={"username": email, "password": password},
            trust_env=False,
        )
        token: str = answer.raise_for_status().json()["access_token"]
        return token

    def client(self, email: str | None = ADA) -> httpx.Client:
        """An HTTP client that is logged in as `email`; not at all for None."""
        headers = {"authorization": f"Bearer {self.token(email)}"} if email else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=120, trust_env=False)

    def create_tags(self) -> None:
        """Create the tags that datasets of `new_dataset` refer to."""
        with self.client() as client:
            for kind, tag in TAGS.items():
                path = f"/neurodata/metadata/tag/{kind}/create"
                client.post(path, json=tag).raise_for_status()

    def verify(self, email: str) -> None:
        """Go through academic verification as a person in a browser does."""
        with self.client(email) as client:
            page = client.get("/user/academic/authorize").json()["authorization_url"]
            state = httpx.URL(page).params["state"]
            client.post(page, data={"state": state}, follow_redirects=True).raise_for_status()

    def _end(self, how: signal.Signals) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(how)
        code = self.process.wait(60)
        self.process = None
        return code

    def _admin(self, method: str, path: str, **options: Any) -> Any:
        answer = httpx.request(method, self.url + path, timeout=30, trust_env=False, **options)
        answer.raise_for_status()
        return answer.json()


def keep_objects_in_moto() -> None:
    """From now on this process's sandbox keeps meshes and skeletons in moto's S3, which runs in
    threads of it; boto3 signs forms and links.
    """
    import boto3
    from botocore.config import Config
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # its lines hold signatures
    server.start()
    host, port = server.get_host_and_port()
    s3 = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        aws_access_key_id="an id",
        aws_secret_access_key="a key",
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, proxies={}),
    )
    for kind in SUFFIX:
        s3.create_bucket(Bucket=kind)

    def form(_: object, user: UUID, dataset: UUID, kind: FileKind) -> UploadForm:
        fields = {"Content-Type": CONTENT_TYPES[kind]}
        made = s3.generate_presigned_post(
            kind, f"{dataset}/{FILENAME}", Fields=dict(fields), Conditions=[fields], ExpiresIn=7200
        )
        return UploadForm(upload_url=made["url"], fields=made["fields"])

    def link(_: object, dataset: UUID, kind: FileKind, unit: UUID) -> str:
        wanted = {"Bucket": kind, "Key": f"{dataset}/{unit}{SUFFIX[kind]}"}
        signed: str = s3.generate_presigned_url("get_object", Params=wanted)
        return signed

    def keys(dataset: UUID, kind: FileKind) -> list[str]:
        found = s3.list_objects_v2(Bucket=kind, Prefix=f"{dataset}/")
        return [each["Key"] for each in found.get("Contents", ())]

    def delete(node: EmbeddedNode, dataset: UUID) -> Any:
        for kind in SUFFIX:
            for key in keys(dataset, kind):
                s3.delete_object(Bucket=kind, Key=key)
        return delete_rows(node, dataset)

    delete_rows = EmbeddedNode.delete
    EmbeddedNode.delete = delete  # type: ignore[method-assign]
    files.signed_form, files.signed_link = form, link
    files.units_with = lambda _, dataset, kind: {UUID(Path(k).stem) for k in keys(dataset, kind)}


class RestLab(Lab):
    """A lab in `folder` that publishes to a sandbox: its destination is called `sandbox`; commands
    log in as `user` by the environment.
    """

    def __init__(
        self,
        folder: Path,
        sandbox: Sandbox,
        *,
        user: str = ADA,
        memory_limit: str = "1GB",
        **destination: Any,
    ) -> None:
        super().__init__(folder, memory_limit=memory_limit)
        self.user = user
        settings = {
            "state": "state",
            "memory_limit": memory_limit,
            "threads": 1,
            "destinations": {"sandbox": {"kind": "rest", "url": sandbox.url, **destination}},
        }
        (folder / "pipeline.yaml").write_text(yaml.safe_dump(settings))

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of it is this machine's user's own: home and credentials lie in the lab."""
        own = {
            "HOME": str(self.folder / "home"),
            "XDG_CONFIG_HOME": str(self.folder / "home" / "config"),
            "SYNDB_CREDENTIALS": str(self.folder / "home" / "credentials.json"),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "SYNDB_USERNAME__SANDBOX": self.user,
            "SYNDB_PASSWORD__SANDBOX": PASSWORD,
        }
        return super().environment | own

    def small(
        self,
        name: str,
        dataset: str,
        *,
        neurons: int = 20,
        axons: int = 30,
        approval: str = "standing",
        **metadata: Any,
    ) -> Path:
        """Write a dataset of neurons and their axons and return its config's path. `metadata` are
        keys of `dataset:`.
        """
        files = self.folder / f"{name}-files"
        files.mkdir(exist_ok=True)
        (files / "neuron.csv").write_text(
            "cid,voxel_volume\n" + "".join(f"n{n},{1000.5 + n}\n" for n in range(neurons))
        )
        (files / "axon.csv").write_text(
            "cid,parent_id,terminal_count\n"
            + "".join(f"a{n},n{n % neurons},{n % 7}\n" for n in range(axons))
        )
        tables = {table: {"file": f"{files.name}/{table}.csv"} for table in ("neuron", "axon")}
        path = self.config(
            name, dataset, tables, publish={"destination": "sandbox", "approval": approval}
        )
        content = yaml.safe_load(path.read_text())
        content["dataset"] |= metadata
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path
