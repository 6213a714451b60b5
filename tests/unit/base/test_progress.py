"""The one event of progress: its pace, its words, and which of many events get a line."""

from __future__ import annotations

import pytest

from syndb_pipeline.base import progress
from syndb_pipeline.base.progress import Pace, Progress, Unit, amount, as_lines, describe, duration


class Clock:
    """A clock that stands until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    return clock


def rows(
    done: int, total: int = 23_900_000, part: str = "synapse", what: str = "validate"
) -> Progress:
    return Progress(what=what, part=part, done=done, total=total, unit="rows")


def test_a_pace_is_that_of_the_last_half_minute(clock: Clock) -> None:
    pace = Pace()
    for second in range(100):
        pace.hear(
            rows(1_000_000 + (second * 10_000 if second < 60 else 600_000 + (second - 60) * 50_000))
        )
        clock.now += 1

    assert pace.rate == pytest.approx(50_000, rel=0.01)
    assert pace.left == pytest.approx(
        (23_900_000 - 1_000_000 - 600_000 - 39 * 50_000) / 50_000, rel=0.01
    )


def test_the_first_rows_of_all_tell_nothing_yet(clock: Clock) -> None:
    pace = Pace()
    pace.hear(rows(0))
    assert (pace.rate, pace.left) == (None, None)
    clock.now += 1
    pace.hear(rows(500))
    assert (pace.rate, pace.left) == (None, None), "one small table says nothing of a large one"
    clock.now += 1
    pace.hear(rows(900_000))
    assert pace.rate == pytest.approx(450_000)


def test_what_was_there_already_tells_nothing_of_the_pace(clock: Clock) -> None:
    pace = Pace()
    for second in range(8):
        found = 0 if second < 2 else 20_000_000
        pace.hear(
            Progress(
                what="ingest",
                done=found + second * 100_000,
                total=23_900_000,
                unit="rows",
                found=found,
            )
        )
        clock.now += 1
    assert pace.rate == pytest.approx(100_000)
    assert pace.left == pytest.approx((3_900_000 - 700_000) / 100_000)


def test_a_body_that_is_sent_again_has_no_pace_at_first(clock: Clock) -> None:
    pace = Pace()
    pace.hear(rows(20_000_000))
    clock.now += 10
    pace.hear(rows(0))
    assert (pace.rate, pace.left) == (None, None)


def test_a_line_every_ten_seconds_with_rate_and_time_left(clock: Clock) -> None:
    said: list[str] = []
    watch = as_lines(said.append)

    for quarter in range(4 * 53):
        watch(rows(min(23_899_999, quarter * 112_500)))
        clock.now += 0.25
    watch(rows(23_900_000))

    assert said == [
        "validate: synapse, 4,500,000 of 23,900,000 rows, 450,000 rows/s, 43 s left",
        "validate: synapse, 9,000,000 of 23,900,000 rows, 450,000 rows/s, 33 s left",
        "validate: synapse, 13,500,000 of 23,900,000 rows, 450,000 rows/s, 23 s left",
        "validate: synapse, 18,000,000 of 23,900,000 rows, 450,000 rows/s, 13 s left",
        "validate: synapse, 22,500,000 of 23,900,000 rows, 450,000 rows/s, 3 s left",
    ]


def test_quick_stages_get_no_line(clock: Clock) -> None:
    said: list[str] = []
    watch = as_lines(said.append)

    for stage in ("ingest", "validate", "assign_ids"):
        for step in range(37):
            watch(rows(step * 100_000, what=stage))
            clock.now += 0.25
        watch(rows(23_900_000, what=stage))

    assert said == []


@pytest.mark.parametrize(
    ("part", "unit", "line"),
    [
        ("synapse", "bytes", "ingest: synapse, 45 % of 1.2 GB"),
        ("", "bytes", "ingest: 45 % of 1.2 GB"),
        ("", "files", "ingest: 45 % of 1,200,000,000 files"),
        ("axon, synapse", "rows", "ingest: axon, synapse, 540,000,000 of 1,200,000,000 rows"),
    ],
)
def test_an_event_in_words(part: str, unit: Unit, line: str) -> None:
    assert (
        describe(
            Progress(what="ingest", part=part, done=540_000_000, total=1_200_000_000, unit=unit)
        )
        == line
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (43, "43 s"), (99, "99 s"), (720, "12 min"), (11_100, "3 h 5 min")],
)
def test_a_time_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [(999, "999 bytes"), (1000, "1.0 kB"), (45_000_000, "45.0 MB"), (2 * 10**15, "2.0 PB")],
)
def test_an_amount_of_bytes_in_words(number: int, words: str) -> None:
    assert amount(number) == words
