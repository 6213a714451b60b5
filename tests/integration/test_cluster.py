"""Several machines: Dagster's storage and the locks in PostgreSQL, runs on Celery workers.

Everything is real, on this machine: PostgreSQL, Redis, two workers, and the processes of `up`.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import dagster as dg
import psutil
import pytest
import yaml
from dagster._core.launcher import WorkerStatus

from syndb_pipeline.base.errors import Busy, ConfigError, PipelineError
from syndb_pipeline.base.progress import Progress, unwatched
from syndb_pipeline.config.operating_settings import Locking
from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.destinations import load_settings, open_destination
from syndb_pipeline.orchestration.operating.up import ui_process
from syndb_pipeline.orchestration.unattended.lost_runs import alive, close_lost_runs
from syndb_pipeline.publishing.records import PublishRecords
from syndb_pipeline.stages.runner import run_through
from syndb_pipeline.state import locks
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import DatasetStore
from tests import dagster_lab
from tests.dagster_lab import Lab, free_port, make_lab

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
POSTGRESQL = PROGRAMS[-1].parent if PROGRAMS else None
REDIS = shutil.which("redis-server")
PASSWORD = "a-secret-of-the-test"
DATASETS = [f"night{number}" for number in range(6)]
LARGE = DATASETS[0]
"""Takes long enough to be killed in the middle."""
PATIENCE = 500

pytest.importorskip("psycopg2", reason="the extra `cluster` is not installed")
pytest.importorskip("dagster_celery", reason="the extra `cluster` is not installed")
if POSTGRESQL is None:
    pytest.skip("no PostgreSQL on this machine", allow_module_level=True)

from syndb_pipeline.orchestration.operating.worker_launcher import WorkerLauncher  # noqa: E402 - of that extra


def until(holds: Callable[[], object], logs: Path, seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            written = [f"{log.name}:\n{log.read_text()[-3000:]}" for log in logs.glob("*log")]
            raise AssertionError("\n".join(written))
        time.sleep(0.2)


@contextmanager
def process(command: list[str], log: Path, **more: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process, ended with those it started."""
    with log.open("w") as file:
        started = subprocess.Popen(command, stdout=file, stderr=file, **more)  # type: ignore[call-overload]
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(60)
        except subprocess.TimeoutExpired:
            for each in psutil.Process(started.pid).children(recursive=True):
                each.kill()
            started.kill()
            started.wait()


@pytest.fixture(scope="module")
def postgresql() -> Iterator[dict[str, str]]:
    """The environment in which libpq finds a new database."""
    assert POSTGRESQL is not None
    # It refuses to run as root, and its user has to reach the folder.
    other = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}
    who = other if os.getuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="syndb-pg-"))
    try:
        (folder / "password").write_text(PASSWORD)
        if who:
            for path in (folder, folder / "password"):
                shutil.chown(path, "nobody")
        made = [POSTGRESQL / "initdb", "-D", folder / "data", "-U", "syndb", "--no-sync"]
        made += ["-A", "scram-sha-256", f"--pwfile={folder / 'password'}"]
        subprocess.run(made, check=True, capture_output=True, cwd=folder, **who)  # type: ignore[call-overload]
        port = free_port()
        settings = ["listen_addresses=127.0.0.1", f"port={port}", "fsync=off"]
        settings += [f"unix_socket_directories={folder}"]
        command = [str(POSTGRESQL / "postgres"), "-D", str(folder / "data")]
        command += [word for each in settings for word in ("-c", each)]
        (folder / "log").touch()
        with process(command, folder / "log", cwd=folder, **who):
            found = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "syndb"}
            found |= {"PGDATABASE": "postgres", "PGPASSWORD": PASSWORD}
            ready = [POSTGRESQL / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
            until(lambda: subprocess.run(ready).returncode == 0, folder)
            yield found
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def reached(postgresql: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Locking:
    for name, value in postgresql.items():
        monkeypatch.setenv(name, value)
    return Locking(kind="postgresql")


def break_connections() -> None:
    """End every session that holds a lock, as a network does that fails."""
    import psycopg2

    with psycopg2.connect("") as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'syndb-pipeline'"
        )


def test_one_at_a_time_across_machines(reached: Locking, tmp_path: Path) -> None:
    stores = [DatasetStore(tmp_path / each, UUID(int=1), reached) for each in ("one", "other")]
    with stores[0].lock():
        with pytest.raises(Busy, match="under way"), stores[1].lock():
            pass
        with (
            PublishRecords(stores[1]).lock(),
            pytest.raises(Busy),
            PublishRecords(stores[0]).lock(),
        ):
            pass
    with stores[1].lock(wait=5):
        pass


def test_who_lost_the_lock_stops_before_the_next_step(reached: Locking, tmp_path: Path) -> None:
    store = DatasetStore(tmp_path, UUID(int=1), reached)
    records = PublishRecords(store)
    event = Progress(what="a.tar", done=1, total=2, unit="bytes")
    with records.lock():
        watch = locks.while_held(unwatched)
        records.note("plan", "local", "upload", "start")
        break_connections()
        with pytest.raises(PipelineError, match="another machine may have taken it up"):
            records.note("plan", "local", "files", "start")
        watch(event)  # asks now and then only
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("syndb_pipeline.state.locks._ASK_SECONDS", -1)
            with pytest.raises(PipelineError, match="is lost"):
                watch(event)
        with PublishRecords(DatasetStore(tmp_path, UUID(int=1), reached)).lock():
            pass  # another machine has it now
    assert [line.step for line in records.journal()] == ["upload"]


@pytest.mark.parametrize(
    ("connection", "error", "words"),
    [
        ("port=1", PipelineError, "cannot be used"),
        ("password=x", PipelineError, "cannot be used"),
    ],
)
def test_a_server_that_gives_no_lock(
    reached: Locking, tmp_path: Path, connection: str, error: type[Exception], words: str
) -> None:
    asked = reached.model_copy(update={"connection": connection})
    with (
        pytest.raises(error, match=words) as told,
        DatasetStore(tmp_path, UUID(int=1), asked).lock(),
    ):
        pass
    assert PASSWORD not in str(told.value)


def test_without_the_library_a_sentence_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    store = DatasetStore(tmp_path, UUID(int=1), Locking(kind="postgresql"))
    with pytest.raises(ConfigError, match=r"pip install 'syndb-pipeline\[cluster\]'"), store.lock():
        pass


def test_a_run_lives_as_long_as_it_holds_its_lock(
    reached: Locking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever Celery says: it is not even there."""
    lab = make_lab(tmp_path / "lab")
    lab.pipeline_file.write_text("lock: {kind: postgresql}")
    monkeypatch.setenv("SYNDB_PIPELINE_CONFIG", str(lab.pipeline_file))
    launcher = WorkerLauncher("dagster", broker="redis://127.0.0.1:1/0")

    def status(run_id: str) -> WorkerStatus:
        run = instance.get_run_by_id(run_id)
        assert run is not None
        return launcher.check_run_worker_health(run).status

    with dg.DagsterInstance.ephemeral() as instance:
        launcher.register_instance(instance)
        runs = [
            instance.create_run_for_job(
                dg.JobDefinition(name="job", graph_def=dg.GraphDefinition(name="job")),
                status=dg.DagsterRunStatus.STARTED,
                tags={"syndb/host": "another"},
            ).run_id
            for _ in range(2)
        ]
        killed, silent = runs
        with alive(instance, killed, reached):
            assert status(killed) is WorkerStatus.RUNNING
            assert close_lost_runs(instance, reached) == []
        assert status(killed) is WorkerStatus.FAILED
        assert status(silent) is WorkerStatus.RUNNING  # it has yet to say where it lives
        assert not launcher.terminate(killed)
        with monkeypatch.context() as away:
            away.setenv("PGPORT", "1")
            assert status(killed) is WorkerStatus.RUNNING  # who cannot ask does not know
            assert close_lost_runs(instance, reached) == []
        assert close_lost_runs(instance, reached) == [killed]


@dataclass(frozen=True)
class Night:
    """What two workers made of the datasets, one of them killed."""

    lab: Lab
    killed: str
    runs: list[dg.DagsterRun]


LAUNCH = """
mutation($asked: ExecutionParams!) {
  launchRun(executionParams: $asked) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}
"""


def start_run(root: str, name: str) -> str:
    """Start a run as the UI's launchpad does; returns its id."""
    job = {
        "repositoryLocationName": "dagster_defs",
        "repositoryName": "__repository__",
        "jobName": "prepare_and_publish",
    }
    tags = [{"key": "dagster/partition", "value": name}]
    asked = {"selector": job, "executionMetadata": {"tags": tags}, "runConfigData": {}}
    request = urllib.request.Request(
        f"{root}/graphql",
        json.dumps({"query": LAUNCH, "variables": {"asked": asked}}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        launched = json.load(answer)["data"]["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return str(launched["run"]["runId"])


def write_datasets(root: Path) -> Lab:
    lab = make_lab(root)
    for number, name in enumerate(DATASETS):
        dagster_lab.IDS[name] = f"01939c0e-7b1a-7c3e-9f53-6f0c6b1d3a{number:02d}"
        lab.add(name, approval="standing")
    rows = "".join(f"v{row},{row % 50},20.5,glutamate\n" for row in range(40_000))
    lab.table(LARGE, "vesicle").write_text(f"cid,parent_id,voxel_radius,neurotransmitter\n{rows}")
    return lab


@pytest.fixture(scope="module")
def night(postgresql: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    if REDIS is None:
        pytest.skip("no redis-server on this machine")
    folder = tmp_path_factory.mktemp("cluster")
    lab = write_datasets(folder / "lab")
    with lab.pipeline_file.open("a") as file:
        file.write("lock: {kind: postgresql}\n")
    home, root = folder / "home", Path(__file__).parents[2]
    home.mkdir()
    shutil.copy(root / "deploy" / "dagster-cluster.yaml", home / "dagster.yaml")
    port = free_port()
    with pytest.MonkeyPatch.context() as patch, ExitStack() as started:

        def start(command: list[str], log: str) -> subprocess.Popen[bytes]:
            return started.enter_context(process(command, folder / log, cwd=folder))

        queue = f"redis://127.0.0.1:{port}/0"
        environment = postgresql | {"CELERY_BROKER_URL": queue, "CELERY_RESULT_BACKEND": queue}
        environment |= {"DAGSTER_HOME": str(home), "PYTHONPATH": str(root)}
        environment |= {"SYNDB_PIPELINE_CONFIG": str(lab.pipeline_file), "PYTHONWARNINGS": "ignore"}
        for name, value in environment.items():
            patch.setenv(name, value)
        redis = [REDIS, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir"]
        start([*redis, str(folder)], "redis.log")
        command, _, url = ui_process(lab.settings, port=free_port())
        site = url.rsplit("/", 1)[0]
        instance = started.enter_context(dg.DagsterInstance.get())
        instance.add_dynamic_partitions("dataset", DATASETS)
        compose = yaml.safe_load((root / "deploy" / "compose.yaml").read_text())
        _, *options = compose["services"]["worker"]["command"]
        celery = [sys.executable, "-m", "celery", *options, "--loglevel", "warning", "--hostname"]
        workers = [start([*celery, f"{each}@%h"], f"{each}.log") for each in ("one", "two")]
        served = start(command, "up.log")
        until(lambda: "Ctrl+C" in (folder / "up.log").read_text(), folder)
        killed, *_ = [start_run(site, name) for name in DATASETS]
        made = dg.DagsterEventType.ASSET_MATERIALIZATION
        until(lambda: instance.all_logs(killed, of_type=made), folder)
        run = instance.get_run_by_id(killed)
        assert run is not None and not run.is_finished, run
        pool = psutil.Process(int(run.tags[".dagster/syndb_process"].partition("@")[0]))
        worker = next(each for each in workers if each.pid in {up.pid for up in pool.parents()})
        for each in (worker.pid, pool.pid):  # at once, as when its machine is gone
            os.kill(each, signal.SIGKILL)

        def finished() -> bool:
            runs = instance.get_runs()
            done = {run.tags["dagster/partition"] for run in runs if run.is_success}
            return done == set(DATASETS) and all(run.is_finished for run in runs)

        until(finished, folder)
        yield Night(lab, killed, list(instance.get_runs()))
        for each in (served, *workers):
            if each is not worker:
                each.terminate()  # all at once, to wait once


@pytest.mark.timeout(900)
def test_two_workers_one_killed_publish_each_dataset_once(night: Night) -> None:
    """And what they send is what one machine makes."""
    of_killed = [run for run in night.runs if run.tags["dagster/partition"] == LARGE]
    assert [run.status for run in of_killed] == [
        dg.DagsterRunStatus.SUCCESS,
        dg.DagsterRunStatus.FAILURE,
    ]
    assert of_killed[1].run_id == night.killed
    assert (
        of_killed[0].tags[".dagster/syndb_process"] != of_killed[1].tags[".dagster/syndb_process"]
    )
    assert len(night.runs) == len(DATASETS) + 1
    node = open_destination(load_settings(night.lab.pipeline_file), "local")
    alone = write_datasets(night.lab.root.parent / "alone")
    for name in DATASETS:
        config = load_dataset(alone.config(name))
        *_, package = run_through(context := Context(config, alone.settings), "package")
        there = DatasetStore(night.lab.settings.state, context.dataset)
        assert there.record("package") == package.model_copy(
            update={"run": there.record("package").run}
        )  # type: ignore[union-attr]
        info = node.info(context.dataset)
        assert info is not None and info.uploads is not None
        assert len(info.uploads) == 1, name
        steps = [(line.step, line.state) for line in PublishRecords(there).journal()]
        assert steps.count(("upload", "start")) == steps.count(("upload", "done")) == 1, steps
