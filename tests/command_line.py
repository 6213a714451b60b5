"""`syndb-pipeline` as a person or a script runs it: a process of its own, in a folder of its own.

Belongs here: starting it and reading what it printed. Does not: any assertion about data.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import pkgutil
import pty
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch
from uuid import UUID

import duckdb
import yaml

import syndb_pipeline
from syndb_pipeline.base.engine import parquet
from syndb_pipeline.cli.main import main
from syndb_pipeline.destinations import load_settings
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from tests.forks import Forks

PROGRAM = str(Path(sys.executable).with_name("syndb-pipeline"))
TERMS = {
    "accepted_by": "Ada",
    "accepted_on": "2026-11-23",
    "accurate": True,
    "redistributable": True,
    "license_agreed": True,
}


@dataclass(frozen=True)
class Ran:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """Standard output as the one JSON object it must be, which tells the exit code too."""
        told = json.loads(self.out)
        assert isinstance(told, dict)
        assert told.get("exit", self.code) == self.code
        return told

    @property
    def codes(self) -> dict[str, int]:
        """Code of each error -> its count, all findings of the code together."""
        counts: dict[str, int] = {}
        for finding in self.errors:
            counts[finding["code"]] = counts.get(finding["code"], 0) + finding["count"]
        return counts

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [finding for finding in self.report["findings"] if finding["severity"] == "error"]

    def finding(self, code: str) -> dict[str, Any]:
        """The only finding of this code."""
        [found] = [finding for finding in self.report["findings"] if finding["code"] == code]
        return found


class Lab:
    """A folder with `pipeline.yaml`, dataset configs and, below `state`, everything the pipeline
    keeps.
    """

    def __init__(
        self, folder: Path, *, owner: str = "ada", memory_limit: str = "1GB", threads: int = 1
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        settings = {
            "state": "state",
            "memory_limit": memory_limit,
            "threads": threads,
            "destinations": {"local": {"kind": "embedded", "path": "node", "owner": owner}},
        }
        (folder / "pipeline.yaml").write_text(yaml.safe_dump(settings))

    @property
    def environment(self) -> dict[str, str]:
        """What a command is given."""
        return _inherited() | {"COLUMNS": "80", "PYTHONFAULTHANDLER": "0"}

    def config(
        self,
        name: str,
        dataset: str,
        tables: Mapping[str, Mapping[str, Any]],
        *,
        approval: str = "manual",
        label: str = "",
        terms: Mapping[str, Any] | None = TERMS,
        **more: Any,
    ) -> Path:
        """Write a dataset config beside `pipeline.yaml` and return its path."""
        content: dict[str, Any] = {
            "dataset": {
                "id": dataset,
                "label": label or name,
                "animal": "DROSOPHILA_MELANOGASTER",
                "microscopy": "ssTEM",
                "brain_regions": [{"structure": "hippocampus"}],
            },
            "tables": {table: dict(options) for table, options in tables.items()},
            "publish": {"destination": "local", "approval": approval},
            **more,
        }
        if terms is not None:
            content["terms"] = dict(terms)
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    def run(
        self, *arguments: object, stdin: str | None = None, timeout: float = 120, **environment: str
    ) -> Ran:
        """Run the command in the lab's folder, in a process of its own. A traceback anywhere is a
        failure of the test, whatever the test is about.
        """
        ran = self.fork(*arguments, stdin=stdin, timeout=timeout, **environment)
        assert "Traceback" not in ran.out + ran.err
        return ran

    def fork(
        self, *arguments: object, stdin: str | None = None, timeout: float = 120, **environment: str
    ) -> Ran:
        """`run`, tracebacks and all. The process is forked from one that has imported what commands
        import.
        """
        with tempfile.TemporaryDirectory() as folder:
            given, out, err = (Path(folder, name) for name in ("given", "out", "err"))
            given.write_text(stdin or "")
            child = forks().start(
                run_forked,
                self.folder,
                out,
                arguments=[*map(str, arguments)],
                variables=self.environment | environment,
                stdin=str(given),
                stderr=str(err),
            )
            return Ran(child.wait(timeout), out.read_text(), err.read_text())

    def program(self, *arguments: object, **environment: str) -> Ran:
        """`run` as an interpreter of its own, which reads its environment as it starts."""
        done = subprocess.run(
            [PROGRAM, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def call(
        self, *arguments: object, stdin: str | None = None, timeout: float = 0, **environment: str
    ) -> Ran:
        """`run` in this process, which starts at once: for what asks no person and is not
        killed."""
        out, err = io.StringIO(), io.StringIO()
        ended: int | str | None = None
        stop = signal.getsignal(signal.SIGTERM)
        with (
            chdir(self.folder),
            patch.dict(os.environ, self.environment | environment, clear=True),
            patch.object(sys, "argv", ["syndb-pipeline", *map(str, arguments)]),
            patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO((stdin or "").encode()))),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as end:
                ended = end.code
            finally:
                signal.signal(signal.SIGTERM, stop)
        assert isinstance(ended, int)
        assert "Traceback" not in out.getvalue() + err.getvalue()
        return Ran(ended, out.getvalue(), err.getvalue())

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        """Start the command and return the process, its standard error open for reading line by
        line.
        """
        return subprocess.Popen(
            [PROGRAM, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def store(self, dataset: str) -> Path:
        """The folder of the dataset's stages."""
        return self.folder / "state" / "datasets" / dataset

    def node(self, owner: str = "ada") -> EmbeddedNode:
        """The embedded SynDB node, as a reader sees it."""
        settings = load_settings(self.folder / "pipeline.yaml")
        return EmbeddedNode(
            "local",
            settings.destinations["local"].path,
            owner=owner,
            memory_limit=500_000_000,
            threads=1,
        )

    def published(self, dataset: str) -> Published:
        """The dataset's tables in the node."""
        return Published(self.node().table_files(UUID(dataset)))


@cache
def forks() -> Forks:
    """Where this process's commands and servers come from."""
    return Forks(import_all, _inherited())


def _inherited() -> dict[str, str]:
    """The environment of this process, without what would lead a command to another lab."""
    others = ("SYNDB_", "DAGSTER_", "COV_", "COVERAGE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(others)}


def import_all() -> None:
    """Import what commands import when they need it, but for what looks at the environment then."""
    for name in ("dagster", *_modules(syndb_pipeline)):
        importlib.import_module(name)


def _modules(package: ModuleType) -> list[str]:
    return [
        module.name
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not module.name.endswith("__main__")
    ]


def run_forked(
    arguments: list[str], variables: dict[str, str], stdin: str, stderr: str
) -> int | str | None:
    """`syndb-pipeline` in a forked process, as if it had been started there."""
    os.dup2(os.open(stdin, os.O_RDONLY), 0)
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT, 0o600), 2)
    os.environ.clear()
    os.environ.update(variables)
    sys.path[:] = [path for path in sys.path if path]
    sys.argv = ["syndb-pipeline", *arguments]
    try:
        main()
    except SystemExit as ended:
        return ended.code
    return 0


class Published:
    """Published Parquet files under their table names, to be asked in SQL."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.files = dict(files)
        self.connection = duckdb.connect(config={"threads": 1})
        for table, path in self.files.items():
            self.connection.execute(f"CREATE VIEW {table} AS FROM {parquet(path)}")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()

    def value(self, query: str) -> Any:
        [(value,)] = self.rows(query)
        return value

    @property
    def counts(self) -> dict[str, int]:
        return {table: self.value(f"SELECT count(*) FROM {table}") for table in self.files}


class Terminal:
    """A command on a terminal of its own, so that it asks as it would ask a person."""

    def __init__(self, lab: Lab, *arguments: str, **environment: str) -> None:
        self.master, slave = pty.openpty()
        environment = lab.environment | {"TERM": "dumb"} | environment
        self.process = subprocess.Popen(
            [PROGRAM, *arguments],
            cwd=lab.folder,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.seen = ""

    def read_until(self, told: Callable[[str], bool], seconds: float = 60) -> None:
        """Read what is shown until `told` holds, or the command has ended."""
        end = time.monotonic() + seconds
        while not told(self.seen):
            assert time.monotonic() < end, f"not shown: {self.seen}"
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    piece = os.read(self.master, 65536)
                except OSError:  # Linux says so when the other side has closed
                    return
                if not piece:
                    return
                self.seen += piece.decode(errors="replace").replace("\r\n", "\n")

    def answer(self, text: str) -> None:
        os.write(self.master, text.encode() + b"\n")

    def end(self) -> int:
        self.read_until(lambda seen: False)
        os.close(self.master)
        return self.process.wait(timeout=30)
