"""The bar at a terminal: what a person reads in it, and that it goes through no other line."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import pytest
from rich.console import Console

from syndb_pipeline.base.progress import Progress, Unit
from syndb_pipeline.cli import terminal
from syndb_pipeline.cli.terminal import Bars
from syndb_pipeline.contract.tables import TABLE_ORDER
from syndb_pipeline.stages.runner import STAGES
from tests.screen import Screen


class Shown:
    """Bars on a terminal of 80 columns, and a clock that goes as the test sets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, width: int = 80) -> None:
        self.file = io.StringIO()
        self.now = 1000.0
        monkeypatch.setattr(terminal.time, "monotonic", lambda: self.now)
        self.bars = Bars(
            Console(
                file=self.file,
                force_terminal=True,
                width=width,
                height=24,
                color_system=None,
                legacy_windows=False,
            )
        )

    def hear(
        self,
        what: str,
        done: int,
        total: int,
        unit: Unit = "rows",
        part: str = "",
        after: float = 1.0,
    ) -> None:
        self.now += after
        self.bars.watch(Progress(what=what, part=part, done=done, total=total, unit=unit))

    @property
    def lines(self) -> list[str]:
        return Screen(self.file.getvalue()).lines


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shown]:
    terminal = Shown(monkeypatch)
    yield terminal
    terminal.bars.clear()


def test_stage_table_share_rate_and_time_left(shown: Shown) -> None:
    for second in range(11):
        shown.hear("validate", 450_000 * second, 23_900_000, part="synapse")

    [line] = shown.lines
    assert re.fullmatch(r"  validate synapse +━+[╸╺]?━* +4\.5/23\.9 M rows +450 k/s +0:00:43", line)
    assert len(line) == 80


@pytest.mark.parametrize(
    ("done", "total", "unit", "said"),
    [
        (45_000_000, 173_000_000, "bytes", "45.0/173.0 MB"),
        (999, 9_999, "rows", "999/9,999 rows"),
        (30, 600, "files", "30/600 files"),
        (9_999, 10_000, "rows", "9.9/10.0 k rows"),
        (23_899_999, 23_900_000, "rows", "23.8/23.9 M rows"),
        (99_999_999_999, 1_000_000_000_000, "bytes", "0.0/1.0 TB"),
    ],
)
def test_both_amounts_in_one_unit_and_what_is_not_done_looks_so(
    shown: Shown, done: int, total: int, unit: Unit, said: str
) -> None:
    shown.hear("ingest", 0, total, unit)
    shown.hear("ingest", done, total, unit)
    assert f" {said} " in shown.lines[0]


def test_no_stage_and_no_table_is_too_long_for_80_columns(shown: Shown) -> None:
    several = "pre_synaptic_terminal, endoplasmic_reticulum"
    for stage in ("join_relations", "package"):
        for table in (*TABLE_ORDER, several):
            for second in range(8):
                shown.hear(stage, 123_456_789_000 * second, 987_654_321_000, part=table)
            [line] = shown.lines
            assert len(line) <= 80
            assert table == several or line.startswith(f"  {stage} {table} ")
            assert line.count("━") > 2
            assert "864.1/987.6 G rows" in line
            assert line.endswith("123 G/s 0:00:01")
            shown.hear(stage, 987_654_321_000, 987_654_321_000)


def test_lines_are_above_the_bar_which_leaves_nothing_behind(shown: Shown) -> None:
    shown.bars.say("  ingest: started")
    for second in range(5):
        shown.hear("ingest", second, 100, part="axon")
        shown.bars.say(f"  ingest: [bold] line {second} {'x' * 90 if second == 3 else ''}".rstrip())
    during = shown.lines
    shown.hear("ingest", 100, 100)
    shown.bars.say("  ingest: done")

    assert during[-1].startswith("  ingest axon")
    said = " ".join(shown.lines)
    assert "━" not in said
    assert "0:00" not in said
    assert [line[:24] for line in shown.lines if line.startswith("  ")] == [
        "  ingest: started",
        *(f"  ingest: [bold] line {second}" + (" " if second == 3 else "") for second in range(5)),
        "  ingest: done",
    ]
    assert shown.file.getvalue().endswith("  ingest: done\n")
    assert shown.file.getvalue().count("\x1b[?25l") == shown.file.getvalue().count("\x1b[?25h"), (
        "the cursor is seen again"
    )


def test_what_is_over_at_once_does_not_flicker(shown: Shown) -> None:
    for stage in STAGES:
        shown.hear(stage, 0, 100, after=0.25)
        shown.hear(stage, 50, 100, after=0.2)
        shown.hear(stage, 100, 100, after=0.2)
    assert shown.file.getvalue() == ""


def test_what_broke_off_makes_room_for_the_next(shown: Shown) -> None:
    shown.hear("ingest", 1, 100)
    shown.hear("ingest", 2, 100)
    shown.hear("a.tar", 1, 100, "bytes")
    shown.hear("a.tar", 2, 100, "bytes")
    [line] = shown.lines
    assert line.startswith("  package ")


def test_small_files_by_the_thousand_are_not_drawn_one_by_one(shown: Shown) -> None:
    for number in range(5_000):
        shown.hear("meshes and skeletons", number, 5_000, "files", after=0.001)
    assert shown.file.getvalue().count("meshes") < 50


def test_standard_output_stays_what_it_is(shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    shown.hear("ingest", 1, 100)
    shown.hear("ingest", 2, 100)
    print("a result")
    assert shown.lines
    assert capsys.readouterr().out == "a result\n"
