"""A year in fast motion: the real daemon watches datasets while files, configs, the server, clocks
and processes do what they do in a year.

Belongs here: months of events, drawn by the campaigns' seed, and that every accepted change is
published exactly once. Does not: the facility (`tests/facility.py`).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Literal

import dagster as dg
import pytest

from syndb_pipeline.publishing.overview import overview
from tests.campaigns import SEED, WHOLE
from tests.facility import Dataset, Facility

DAY = 86_400.0
NAMES = ["amber", "birch", "cedar", "dahlia"]

Event = Callable[[Dataset, Random], Iterator[str]]
"""What happens to a dataset: the first part is done, then the state that `status` should show comes
out, then what a person does about it is done.
"""


@pytest.fixture
def facility(tmp_path: Path) -> Iterator[Facility]:
    made = Facility(tmp_path, NAMES)
    try:
        yield made
    finally:
        made.stop()


def accept(dataset: Dataset) -> None:
    """What the files hold now is to be published."""
    dataset.published.append(dict(dataset.rows))


def corrected(dataset: Dataset, random: Random) -> Iterator[str]:
    dataset.correct(random)
    dataset.write()
    accept(dataset)
    yield "published"


def dropped_twice(dataset: Dataset, random: Random) -> Iterator[str]:
    yield from corrected(dataset, random)
    dataset.write()


def half_written(dataset: Dataset, random: Random) -> Iterator[str]:
    dataset.correct(random)
    text = dataset.text()
    for part in range(1, 10):  # at each look it is longer than at the one before
        dataset.write(text[: len(text) * part // 10])
        time.sleep(1)
    dataset.write()
    accept(dataset)
    yield "published"


def wrong(dataset: Dataset, random: Random) -> Iterator[str]:
    dataset.write(dataset.text().replace(",n3,", ",n33,"))
    yield "rejected"
    yield from corrected(dataset, random)


def deleted(dataset: Dataset, _: Random) -> Iterator[str]:
    dataset.table.unlink()
    yield "published"
    dataset.write()


def renamed(dataset: Dataset, random: Random) -> Iterator[str]:
    moved = dataset.table.rename(dataset.folder / f"axon {random.randrange(10**6)}.csv")
    dataset.edit(lambda c: c["tables"]["axon"].update(file=f"{dataset.folder.name}/{moved.name}"))
    yield "published"
    moved.rename(dataset.table)
    dataset.edit(lambda c: c["tables"]["axon"].update(file=f"{dataset.folder.name}/axon.csv"))


def mistyped(dataset: Dataset, random: Random) -> Iterator[str]:
    right = dataset.config.read_text()
    dataset.config.write_text(right.replace("approval:", "aproval:"))
    yield "unusable"
    dataset.config.write_text(right)
    yield from corrected(dataset, random)


def other_terms(dataset: Dataset, random: Random) -> Iterator[str]:
    dataset.edit(lambda content: content["terms"].update(accepted_by=f"Ada {random.random()}"))
    dataset.correct(random)
    dataset.write()
    yield "held"
    approve(dataset)
    accept(dataset)


def shrunk(dataset: Dataset, _: Random) -> Iterator[str]:
    whole = dict(dataset.rows)
    dataset.rows = dict(list(whole.items())[:3])
    dataset.write()
    yield "held"
    answer = dataset.facility.command("reject", str(dataset.config), "--reason", "a cut export")
    assert answer.returncode == 0, answer.stderr
    dataset.rows = whole
    dataset.write()


def approve(dataset: Dataset) -> None:
    facility = dataset.facility
    status = facility.command("status", str(dataset.config), "--json")
    digest = json.loads(status.stdout)["digest"]
    answer = facility.command("approve", str(dataset.config), digest)
    assert answer.returncode == 0, answer.stderr
    answer = facility.command("publish", str(dataset.config))
    assert answer.returncode == 0, answer.stderr


HAPPENINGS: list[Event] = [
    corrected, dropped_twice, half_written, wrong, deleted, renamed, mistyped, other_terms, shrunk,
]  # fmt: skip


# What happens to the machine, the server, the share, meanwhile.


@contextmanager
def nothing(_: Facility) -> Iterator[None]:
    yield


@contextmanager
def server_down(facility: Facility) -> Iterator[None]:
    facility.server.stop()
    failed = len(_failed(facility))
    yield
    failing = any(dataset.at_server() != dataset.wanted() for dataset in facility.all)
    for night in range(3):
        if failing:
            facility.until(partial(_more_failed, facility, failed + night), "a night fails")
        facility.later(DAY)
    states = {line.state for line in overview(facility.settings)}
    assert not failing or "failed" in states, states
    facility.server.start()


def _more_failed(facility: Facility, than: int) -> bool:
    return len(_failed(facility)) > than


def _failed(facility: Facility) -> list[dg.DagsterRun]:
    return [run for run in facility.runs() if run.status is dg.DagsterRunStatus.FAILURE]


@contextmanager
def answers_lost(facility: Facility) -> Iterator[None]:
    facility.server.script("drop@upload", "reset-response@upload:3", "503@new,times=2")
    yield


def _killed(what: Literal["daemon", "run", "tree"]) -> Callable[[Facility], Iterator[None]]:
    @contextmanager
    def killed(facility: Facility) -> Iterator[None]:
        yield
        due = any(dataset.at_server() != dataset.wanted() for dataset in facility.all)
        if due:
            facility.until(
                lambda: any(run.status is dg.DagsterRunStatus.STARTED for run in facility.runs()),
                "a run starts",
            )
        facility.kill(what)

    killed.__name__ = f"killed {what}"
    return killed


def _uploads(facility: Facility) -> int:
    return sum(dataset.at_server()[0] for dataset in facility.all)


@contextmanager
def too_slow(facility: Facility) -> Iterator[None]:
    """The server takes an upload and says nothing: `max_runtime` ends the run."""
    facility.server.script("slow-answer=100@upload")
    before = _uploads(facility)
    yield
    if all(dataset.at_server() == dataset.wanted() for dataset in facility.all):
        return
    facility.until(lambda: _uploads(facility) > before, "an upload is taken")
    facility.later(3 * DAY)
    until, whys = time.monotonic() + 90, [""]
    while not any(re.match("unknown: .*is not known", why) for why in whys):
        assert time.monotonic() < until, f"{whys}\n{facility.story()}"
        time.sleep(0.5)  # and no time passes by the clock, or the run would be tried again
        whys = [f"{line.state}: {line.why}" for line in overview(facility.settings)]


@contextmanager
def clock_ahead(facility: Facility) -> Iterator[None]:
    facility.later(40 * DAY)
    yield


@contextmanager
def clock_back(facility: Facility) -> Iterator[None]:
    yield
    facility.later(-10 * DAY)


@contextmanager
def upgraded(facility: Facility) -> Iterator[None]:
    facility.upgrade()
    facility.kill("tree")
    yield


@contextmanager
def share_away(facility: Facility) -> Iterator[None]:
    yield
    away = facility.datasets.with_name("away")
    facility.datasets.rename(away)
    for _ in range(8):
        time.sleep(1)
        facility.later(30)
    away.rename(facility.datasets)


MACHINES = [
    nothing, server_down, answers_lost, _killed("daemon"), _killed("run"), _killed("tree"),
    clock_ahead, clock_back, upgraded, share_away, too_slow,
]  # fmt: skip


def settled(facility: Facility, states: dict[str, str]) -> bool:
    if any(not run.is_finished for run in facility.runs()):
        return False
    if any(dataset.at_server() != dataset.wanted() for dataset in facility.all):
        return False
    return {line.name: line.state for line in overview(facility.settings)} == states


@pytest.mark.timeout(1800)
def test_every_accepted_change_is_published_exactly_once(facility: Facility) -> None:
    random = Random(SEED)
    facility.start()
    facility.watch()
    for dataset in facility.all:
        dataset.create()
        accept(dataset)
    fine = dict.fromkeys(NAMES, "published")
    facility.until(lambda: settled(facility, fine), "the first publications")

    months = random.sample(MACHINES, len(MACHINES) if WHOLE else 1)
    for machine in months:
        facility.later(30 * DAY)
        begun = {
            dataset.name: random.choice(HAPPENINGS)(dataset, random) for dataset in facility.all
        }
        print(f"month of {machine.__name__}")
        with machine(facility):
            states = {name: next(events) for name, events in begun.items()}
        facility.until(partial(settled, facility, states), f"{machine.__name__}: {states}")
        for events in begun.values():
            for _ in events:
                pass
        facility.until(partial(settled, facility, fine), f"after {machine.__name__}")
