"""How far a stage is, as a person meets it: a bar at a terminal, lines in a file, lines in
Dagster's log.

Belongs here: real commands and real runs. Does not: what a bar or a line looks like
(`unit/test_bars.py`, `unit/test_progress.py`).
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import duckdb
import pytest

from syndb_pipeline.base.progress import Progress, as_lines
from syndb_pipeline.orchestration import progress
from syndb_pipeline.orchestration.failures import show_tracebacks
from syndb_pipeline.orchestration.operating.launch import LaunchResult, launch
from syndb_pipeline.stages.runner import STAGES
from syndb_pipeline.state import progress as measuring
from tests.command_line import Lab, Terminal
from tests.dagster_lab import Lab as DagsterLab
from tests.dagster_lab import make_lab
from tests.screen import Screen

DATASET = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a61"
VESICLES = 400_000

# At a terminal


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A lab with 50 axons and 400,000 vesicles."""
    lab = Lab(tmp_path_factory.mktemp("large"))
    with duckdb.connect() as connection:
        axons = "SELECT 'a' || range AS cid, 1e8 + range AS voxel_volume FROM range(50)"
        vesicles = (
            "SELECT 'v' || range AS cid, 'a' || (range % 50) AS parent_id, 20.5 AS voxel_radius"
            f" FROM range({VESICLES})"
        )
        for name, query in (("axon", axons), ("vesicle", vesicles)):
            connection.execute(f"COPY ({query}) TO '{lab.folder / name}.csv' (HEADER)")
    lab.config(
        "large",
        DATASET,
        {"axon": {"file": "axon.csv"}, "vesicle": {"file": "vesicle.csv", "parent": "axon"}},
    )
    return lab


class SlowTerminal(Terminal):
    """A terminal of 80 columns on a machine that is as slow as is needed to see a bar."""

    def __init__(self, lab: Lab, *arguments: str, **environment: str) -> None:
        super().__init__(lab, *arguments, TERM="xterm-256color", **environment)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    def crawl_until(self, shown: str, seconds: float = 60) -> None:
        """Let the command work a twentieth of the time, until it has written something that `shown`
        matches.
        """
        end = time.monotonic() + seconds
        while not re.search(shown, self.seen):
            assert time.monotonic() < end, f"not shown: {self.seen!r}"
            self._signal(signal.SIGSTOP)
            time.sleep(0.095)
            self._signal(signal.SIGCONT)
            time.sleep(0.005)
            if select.select([self.master], [], [], 0)[0]:
                self.seen += (
                    os.read(self.master, 65536).decode(errors="replace").replace("\r\n", "\n")
                )
            if self.process.poll() is not None:
                break
        assert re.search(shown, self.seen), f"ended without: {self.seen!r}"

    def _signal(self, number: signal.Signals) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)


BAR = r"  (?P<stage>\w+) (?P<table>\w*) .*━.* [\d.]+/\d+\.\d (MB|k rows) .*(\d:\d\d:\d\d|-:--:--)"


def test_check_shows_a_bar_that_goes_through_no_line(lab: Lab) -> None:
    terminal = SlowTerminal(lab, "check", "large.yaml")
    terminal.read_until(lambda seen: "ingest: started" in seen)
    terminal.crawl_until("ingest vesicle")

    *above, bar = Screen(terminal.seen).lines
    assert re.fullmatch(BAR, bar), bar
    assert len(bar) <= 80
    assert above == ["  ingest: started", "  ingest: axon", "  ingest: vesicle"]
    assert terminal.end() == 0
    lines = Screen(terminal.seen).lines
    assert not [line for line in lines if "━" in line], "a bar leaves nothing behind"
    for stage in list(STAGES)[:-1]:
        done = rf"  {stage}: done in \d+\.\d s, 0 errors"
        assert sum(re.fullmatch(done, line) is not None for line in lines) == 1
    assert any(line.startswith("ACCEPTED large") for line in lines)
    assert terminal.seen.count("\x1b[?25l") == terminal.seen.count("\x1b[?25h"), (
        "the cursor is seen again"
    )


def test_control_c_takes_the_bar_away(lab: Lab) -> None:
    touched = (lab.folder / "vesicle.csv").read_text().replace("v1,", "second,", 1)
    (lab.folder / "vesicle.csv").write_text(touched)
    terminal = SlowTerminal(lab, "check", "large.yaml")
    terminal.read_until(lambda seen: "ingest: started" in seen)
    terminal.crawl_until("ingest vesicle")
    terminal.process.send_signal(signal.SIGINT)

    assert terminal.end() == 130
    lines = Screen(terminal.seen).lines
    assert (
        lines[-1].startswith("Interrupted. Give the same command again")
        or "Interrupted." in lines[-2]
    )
    assert not [line for line in lines if "━" in line]
    assert terminal.seen.count("\x1b[?25l") == terminal.seen.count("\x1b[?25h")


def test_no_terminal_and_one_that_cannot_take_a_line_back_get_lines(lab: Lab) -> None:
    terminal = Terminal(lab, "check", "large.yaml", TERM="dumb")
    assert terminal.end() == 0
    ran = lab.run("check", "large.yaml", TERM="xterm-256color")
    assert ran.code == 0
    for shown in (terminal.seen, ran.err):
        assert "  ingest: " in shown
        assert "\x1b" not in shown and "━" not in shown


# In Dagster's log


@pytest.fixture
def dagster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterLab]:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    lab = make_lab(tmp_path / "lab")
    lab.add("good")
    yield lab
    show_tracebacks()


def logged(lab: DagsterLab, result: LaunchResult) -> list[str]:
    with lab.instance() as instance:
        return [
            entry.user_message
            for entry in instance.all_logs(result.run_id)
            if entry.dagster_event is None
        ]


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks and lines come so often that even a small stage has some."""
    monkeypatch.setattr(measuring, "LOOK_SECONDS", 0.002)
    monkeypatch.setattr(progress, "as_lines", partial(as_lines, every=0))


@pytest.mark.usefixtures("talkative")
def test_every_stage_tells_dagsters_log_how_far_it_is(dagster: DagsterLab) -> None:
    said: list[str] = []
    result = launch(dagster.config("good"), dagster.pipeline_file, say=said.append)

    assert result.succeeded, result.message
    lines = logged(dagster, result)
    for stage in STAGES:
        unit = r"\d+ % of \d+\.\d kB" if stage == "ingest" else r"\d+ of 370 rows"
        told = [line for line in lines if re.match(rf"{stage}: (\w+(, \w+)*, )?{unit}", line)]
        assert bool(told) == (stage != "check_integrity"), f"{stage}: {lines}"
    assert set(said) >= {line for line in lines if " of " in line}, (
        "the terminal hears it in lines where it has no bar"
    )


@pytest.mark.usefixtures("talkative")
def test_what_the_bar_shows_is_told_to_the_log_alone(dagster: DagsterLab) -> None:
    said: list[str] = []
    drawn: list[Progress] = []
    result = launch(
        dagster.config("good"), dagster.pipeline_file, say=said.append, watch=drawn.append
    )

    assert result.succeeded, result.message
    assert [line for line in logged(dagster, result) if re.search(r" of 370 rows", line)]
    assert not [line for line in said if " of 370 rows" in line]
    assert {"ingest: started", "package: started"} <= set(said)
    assert [event.what for event in drawn if event.done == event.total] == [
        name for name in STAGES if name != "check_integrity"
    ]


def test_quick_stages_leave_no_line_in_dagsters_log(dagster: DagsterLab) -> None:
    result = launch(dagster.config("good"), dagster.pipeline_file)

    assert result.succeeded, result.message
    assert not [
        line for line in logged(dagster, result) if " of 370 rows" in line or " % of " in line
    ]
