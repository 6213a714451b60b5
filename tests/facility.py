"""A facility whose time runs fast: Dagster's real daemon watches datasets that publish to a
sandbox, in processes whose clock a test sets.

Belongs here: starting, killing and waiting; the datasets' files. Does not: any assertion.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Literal
from uuid import UUID, uuid5

import dagster as dg
import psutil
import pyarrow.parquet as pq
import yaml

from syndb_pipeline.destinations import load_settings
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.orchestration.operating.home import dagster_home, instance_config
from syndb_pipeline.orchestration.operating.up import ui_process
from tests.command_line import TERMS
from tests.rest_lab import RestLab, Sandbox

CLOCK = """\
import os, sys, threading, time
from pathlib import Path
import time_machine

FILE, SLEEP = Path(os.environ["SYNDB_TEST_CLOCK"]), time.sleep
ahead = float(FILE.read_text())
clock = time_machine.travel(time.time() + ahead, tick=True).start()

def follow(ahead):
    while True:
        SLEEP(0.2)
        now = float(FILE.read_text())
        clock.shift(now - ahead)
        ahead = now

threading.Thread(target=follow, args=(ahead,), daemon=True).start()

if "grpc" in sys.orig_argv:  # its C part waits for such times by the machine's clock
    from types import SimpleNamespace
    from grpc._cython import cygrpc
    cygrpc.time = SimpleNamespace(time=time_machine.escape_hatch.time.time)

if FILE.with_name("upgraded").exists():
    from importlib import metadata
    installed = metadata.version
    metadata.version = lambda name: installed(name) + ".9"
"""
"""Imported by every process of the facility before anything else: its clock is ahead of the
machine's by what a file says. Clocks that only go on (`time.monotonic`) are left alone, as by a
person who sets the clock. Once a file says so, every library is of a later version.
"""

Rows = dict[str, int]
"""Of axons: the lab's key -> count of terminals."""


@dataclass
class Dataset:
    """One dataset of the facility: 8 neurons and their axons. `rows` is what its files should hold
    now, `published` what should have been sent, in order.
    """

    facility: Facility
    name: str
    id: UUID
    rows: Rows
    published: list[Rows] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.facility.datasets / f"{self.name}.yaml"

    @property
    def folder(self) -> Path:
        return self.facility.datasets / f"{self.name}-files"

    @property
    def table(self) -> Path:
        return self.folder / "axon.csv"

    def text(self) -> str:
        lines = (f"{key},n{int(key[1:]) % 8},{count}" for key, count in self.rows.items())
        return "\n".join(["cid,parent_id,terminal_count", *lines]) + "\n"

    def create(self) -> None:
        self.folder.mkdir(parents=True)
        neurons = "".join(f"n{number},{1000.5 + number}\n" for number in range(8))
        (self.folder / "neuron.csv").write_text("cid,voxel_volume\n" + neurons)
        self.write()
        content = {
            "dataset": {
                "id": str(self.id),
                "label": self.name,
                "animal": "DROSOPHILA_MELANOGASTER",
                "microscopy": "ssTEM",
                "brain_regions": [{"structure": "hippocampus"}],
            },
            "tables": {
                "neuron": {"file": f"{self.folder.name}/neuron.csv"},
                "axon": {"file": f"{self.folder.name}/axon.csv"},
            },
            "terms": TERMS,
            "publish": {"destination": "sandbox", "approval": "standing"},
            "max_runtime": "2d",
        }
        self.config.write_text(yaml.safe_dump(content, sort_keys=False))

    def correct(self, random: Random) -> None:
        """Other counts in two rows, and one row more: less than holds a plan."""
        for key in random.sample(sorted(self.rows), 2):
            self.rows[key] = (self.rows[key] + 1 + random.randrange(5)) % 7
        self.rows[f"a{len(self.rows)}"] = random.randrange(7)

    def write(self, text: str | None = None) -> None:
        """The table as it should be, or another `text`, at once."""
        beside = self.table.with_suffix(".new")
        beside.write_text(self.text() if text is None else text)
        beside.replace(self.table)

    def edit(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the config."""
        content = yaml.safe_load(self.config.read_text())
        change(content)
        self.config.write_text(yaml.safe_dump(content, sort_keys=False))

    def at_server(self) -> tuple[int, dict[str, int]]:
        """How many uploads the server took, and UUID -> count of the rows that it has."""
        node = EmbeddedNode("sandbox", self.facility.server.node, memory_limit=10**9, threads=1)
        info = node.info(self.id)
        if info is None or not info.uploads:
            return 0, {}
        stored = pq.read_table(node.table_files(self.id)["axon"]).to_pylist()
        return len(info.uploads), {str(row["cid"]): row["terminal_count"] for row in stored}

    def wanted(self) -> tuple[int, dict[str, int]]:
        """The same as it should be."""
        last = self.published[-1] if self.published else {}
        ids = {str(uuid5(self.id, f"axon/{key}")): count for key, count in last.items()}
        return len(self.published), ids


class Facility:
    """Datasets, a server they publish to, and the daemon that watches them."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.server = Sandbox(folder / "server")
        self.server.start()
        self.lab = RestLab(folder / "lab", self.server, settle_seconds=1)
        self.datasets = self.lab.folder / "datasets"
        self.clock = folder / "clock"
        self.clock.write_text("0")
        site = folder / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(CLOCK)
        self.settings = load_settings(self.lab.folder / "pipeline.yaml")
        self.home = dagster_home(self.settings)
        config = yaml.safe_load(instance_config())
        config["run_coordinator"]["config"] = {"dequeue_interval_seconds": 1}
        (self.home / "dagster.yaml").write_text(yaml.safe_dump(config))
        self.runs()  # two processes that make the storage at once would damage it
        self.environment = self.lab.environment | {
            "DAGSTER_HOME": str(self.home),
            "SYNDB_PIPELINE_CONFIG": str(self.lab.folder / "pipeline.yaml"),
            "SYNDB_TEST_CLOCK": str(self.clock),
            "PYTHONPATH": os.pathsep.join([str(site), *sys.path[:1], str(Path.cwd())]),
        }
        self.log = folder / "daemon.log"
        self._up: psutil.Popen | None = None
        self.all = [
            Dataset(self, name, UUID(int=0x01939C0E7B1A7C3E9F536F0C6B1D2B00 + number),
                    {f"a{axon}": axon % 7 for axon in range(40)})
            for number, name in enumerate(names)
        ]  # fmt: skip

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`syndb-pipeline` in a process of its own, with the facility's clock."""
        program = str(Path(sys.executable).with_name("syndb-pipeline"))
        return subprocess.run(
            [program, *arguments], env=self.environment, cwd=self.lab.folder,
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    def start(self) -> None:
        """Start the code server and the daemon, as an operator or the system does."""
        command, *_ = ui_process(self.settings, ui=False)
        with self.log.open("ab") as log:
            begun = log.tell()
            self._up = psutil.Popen(
                command, env=self.environment, cwd=self.lab.folder, stdout=log, stderr=log
            )
        until = time.monotonic() + 120
        while "Running (Ctrl+C" not in self.log.read_text(errors="replace")[begun:]:
            assert time.monotonic() < until and self._up.is_running(), self.log.read_text()
            time.sleep(0.2)

    def watch(self) -> None:
        """Switch the drop-folder sensor on."""
        done = subprocess.run(
            [sys.executable, "-m", "dagster", "sensor", "start", "watch_files",
             "-m", "dagster_defs"],
            env=self.environment, cwd=self.lab.folder, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def kill(self, what: Literal["daemon", "run", "tree"]) -> None:
        """End the daemon, each run, or all there is, as a power cut does."""
        assert self._up is not None
        every = _with_children(self._up)
        if what == "daemon":
            every = [each for each in self._up.children() if "daemon.py" in str(each.cmdline())]
        elif what == "run":
            tags = [run.tags for run in self.runs() if not run.is_finished]
            living = {tag.get(".dagster/syndb_process", "").partition("@")[0] for tag in tags}
            every = [each for each in every if str(each.pid) in living]
        for process in every:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if what == "tree":
            self._up.wait(30)
            self.start()

    def stop_watching(self) -> None:
        for process in _with_children(self._up) if self._up else ():
            process.kill()
        self._up = None

    def stop(self) -> None:
        self.stop_watching()
        self.server.stop()

    def upgrade(self) -> None:
        """From now on processes that start have later libraries."""
        self.clock.with_name("upgraded").touch()

    def later(self, seconds: float) -> None:
        """Set the clock so far ahead of what it shows, or behind."""
        beside = self.clock.with_suffix(".new")
        beside.write_text(str(float(self.clock.read_text()) + seconds))
        beside.replace(self.clock)

    def runs(self) -> list[dg.DagsterRun]:
        with dg.DagsterInstance.from_config(str(self.home)) as instance:
            return list(instance.get_runs())

    def until(self, true: Callable[[], bool], what: str, seconds: float = 240) -> None:
        """Wait until something is true, while minutes pass as seconds when no run is under way: a
        run that does not start in three minutes is given up.
        """
        until = time.monotonic() + seconds
        while not true():
            if time.monotonic() > until:
                raise AssertionError(f"not after {seconds:.0f} s: {what}\n{self.story()}")
            time.sleep(0.5)
            if all(run.is_finished for run in self.runs()):
                self.later(30)

    def story(self) -> str:
        """What happened, for a person who reads a failure."""
        runs = [f"{run.status.value} {run.tags.get('dagster/partition')}" for run in self.runs()]
        status = self.command("status", "--settings", str(self.lab.folder / "pipeline.yaml"))
        log = self.log.read_text(errors="replace").splitlines()
        notable = [line for line in log if " DEBUG " not in line][-40:]
        return "\n".join([*runs, status.stdout, status.stderr, *notable])


def _with_children(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)] if process.is_running() else []
