"""`syndb-pipeline up`: the process that keeps Dagster's others running, with small ones in their
place and with the real ones.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.remote_origin import RemoteInstigatorOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
)

from syndb_pipeline.base.errors import Busy, ConfigError
from syndb_pipeline.orchestration.operating.daemon import forget_times_to_come
from syndb_pipeline.orchestration.operating.home import dagster_home
from syndb_pipeline.orchestration.operating.launch import _SERVED
from syndb_pipeline.orchestration.operating.up import open_ui, ui_process
from tests.dagster_lab import make_lab
from tests.facility import CLOCK

STAYS = "import time; time.sleep(60)"
WAITS_FOR_ITS_RUN = """
import subprocess, sys, signal, time
run = subprocess.Popen([sys.executable, "-S", "-c", {run!r}])
signal.signal(signal.SIGTERM, signal.default_int_handler)
try:
    run.wait()
except KeyboardInterrupt:
    run.wait()
"""
"""As Dagster's code server: at SIGTERM it waits for its runs, which do not hear of it."""


@contextmanager
def supervised(asked: list[str], log: Path, **more: object) -> Iterator[subprocess.Popen[bytes]]:
    """The process of `asked`, with SIGINT ignored as in a shell's background, and killed at the
    end.
    """
    with log.open("w") as file:
        process = subprocess.Popen(
            asked,
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
            **more,  # type: ignore[call-overload]
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def small(tmp_path: Path, *codes: str, grace: float = 0) -> list[str]:
    """The command of a supervisor of processes that run `codes`."""
    asked = {
        "children": [
            (f"child {number}", [sys.executable, "-S", "-c", code], None)
            for number, code in enumerate(codes)
        ],
        "url": "http://127.0.0.1:1",
        "ready": "all are up",
        "grace": grace,
        "lock": str(tmp_path / "up.lock"),
        "folder": str(tmp_path / "folder"),
    }
    (tmp_path / "folder").mkdir(exist_ok=True)
    supervisor = Path(open_ui.__code__.co_filename).with_name("supervisor.py")
    return [sys.executable, "-P", str(supervisor), json.dumps(asked)]


def until(holds: Callable[[], object], log: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def said(log: Path, words: str) -> Callable[[], bool]:
    return lambda: words in log.read_text()


def below(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    found = []
    for each in processes:
        with suppress(psutil.NoSuchProcess):
            if each.is_running() and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
    return found


@pytest.mark.parametrize(
    ("run", "grace", "words"),
    [
        ("import time; time.sleep(1)", 30, "Waiting up to 30 s"),
        (STAYS, 0.2, "Interrupting the runs in progress"),
    ],
    ids=["finishes", "is interrupted"],
)
def test_stopped_with_a_run_in_progress_it_leaves_no_process(
    tmp_path: Path, run: str, grace: float, words: str
) -> None:
    log = tmp_path / "log"
    code = WAITS_FOR_ITS_RUN.format(run=run)
    with supervised(small(tmp_path, code, STAYS, grace=grace), log) as process:
        until(lambda: len(below(process)) == 3, log)
        children = below(process)
        process.terminate()
        assert process.wait(30) == 0
        assert not alive(children)
    assert words in log.read_text()
    assert ("Interrupting" in log.read_text()) == (grace < 1)
    assert not (tmp_path / "folder").exists()


def test_what_ends_is_started_again_but_not_for_ever(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with supervised(small(tmp_path, STAYS, STAYS), log) as process:
        until(lambda: len(below(process)) == 2, log)
        first = below(process)[0]
        first.kill()
        until(said(log, "The child 0 ended (signal SIGKILL); starting it again in 1 s."), log)
        until(lambda: len(alive(below(process))) == 2, log)
        again = subprocess.run(small(tmp_path, STAYS), capture_output=True, text=True, timeout=30)
        assert again.returncode == 7, again
        assert "already" in again.stderr
        children = below(process)
        process.kill()  # takes the others with it
        until(lambda: not alive(children), log)
    with supervised(small(tmp_path, "raise SystemExit(3)"), log) as process:
        until(said(log, "The child 0 ended (exit code 3); starting it again in 2 s."), log)


def test_the_second_is_started_again_when_the_clock_is_set_back(tmp_path: Path) -> None:
    log, clock, site = tmp_path / "log", tmp_path / "clock", tmp_path / "site"
    clock.write_text("0")
    site.mkdir()
    (site / "sitecustomize.py").write_text(CLOCK)
    environment = os.environ | {"SYNDB_TEST_CLOCK": str(clock), "PYTHONPATH": str(site)}
    with supervised(small(tmp_path, STAYS, STAYS), log, env=environment) as process:
        until(said(log, "all are up"), log)
        before = {each.pid for each in below(process)}
        for ahead in (5000, 4970, 0):  # ahead, and back by too little, and far
            time.sleep(1)
            assert {each.pid for each in below(process)} == before
            (tmp_path / "beside").write_text(str(ahead))
            (tmp_path / "beside").replace(clock)
        until(said(log, "The clock was set back by 50"), log)
        until(lambda: len(alive(below(process))) == 2, log)
        assert len({each.pid for each in below(process)} & before) == 1


def test_a_sensor_does_not_sleep_until_a_clock_that_was_ahead_is_there(tmp_path: Path) -> None:
    origin = RemoteInstigatorOrigin(_SERVED, "watch_files")
    now = time.time()
    data = SensorInstigatorData(last_tick_timestamp=now - 60, last_tick_start_timestamp=now + 9e6)
    state = InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, data)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        instance.add_instigator_state(state)
        forget_times_to_come(instance)
        [kept] = instance.all_instigator_state()
    assert isinstance(kept.instigator_data, SensorInstigatorData)
    assert kept.instigator_data.last_tick_timestamp == now - 60
    assert 0 <= time.time() - (kept.instigator_data.last_tick_start_timestamp or 0) < 60


def test_dagsters_own_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    lab, log = make_lab(tmp_path / "lab"), tmp_path / "log"
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    command, environment, _ = ui_process(lab.settings, settings_path=lab.pipeline_file, ui=False)
    with supervised(command, log, env=environment, cwd=lab.root) as process:
        until(said(log, "Running"), log)
        children = below(process)
        assert len(children) == 2
        with pytest.raises(Busy, match="are running already"):
            open_ui(lab.settings, join=False)
        process.terminate()
        assert process.wait(60) == 0, log.read_text()
        assert not alive(children)
    assert "Traceback" not in log.read_text()
    assert (dagster_home(lab.settings) / "up.lock").read_text() == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.org"])
def test_the_ui_is_served_to_this_machine_alone(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="has no login"):
        ui_process(make_lab(tmp_path / "lab").settings, host)
