"""A stage's meter: what it says while DuckDB works, and that it says nothing that is not so."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from syndb_pipeline.base.progress import Progress
from syndb_pipeline.stages.runner import STAGES
from syndb_pipeline.state import progress
from syndb_pipeline.state.progress import NEVER_MORE, Meter
from tests.lab import Lab, csv, run_stages

ROWS = 2_000_000
SLOW = "SELECT max(sha1(r::VARCHAR)) FROM numbers"
"""Some 0.3 s of work, row by row."""


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.01)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as opened:
        opened.execute(
            "SET enable_progress_bar = false; CREATE TABLE numbers AS SELECT range AS r FROM"
            f" range({ROWS})"
        )
        yield opened


def threads() -> list[str]:
    return [
        thread.name for thread in threading.enumerate() if thread.name.startswith("progress of")
    ]


def test_a_slow_query_is_told_as_it_goes(connection: duckdb.DuckDBPyConnection) -> None:
    told: list[Progress] = []

    with Meter("validate", {"axon": 100, "synapse": 900}, "rows", told.append) as meter:
        for name in meter.each(["axon", "synapse"], connection):
            if name == "synapse":
                connection.execute(SLOW).fetchall()

    done = [event.done for event in told]
    assert all(earlier <= later for earlier, later in pairwise(done)), "never backwards"
    assert len({number for number in done if 100 < number < 990}) >= 5, "and not only in the end"
    assert all(number <= 1000 * NEVER_MORE for number in done[:-1]), "never done before it is"
    assert replace(told[-1], found=0) == Progress(
        what="validate", part="", done=1000, total=1000, unit="rows"
    )
    assert {event.part for event in told} <= {"", "axon", "synapse"}
    assert "synapse" in {event.part for event in told}
    assert threads() == []


def test_a_table_that_took_no_time_is_no_measure_of_the_pace(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.1)
    told: list[Progress] = []

    with Meter("ingest", {"axon": 900, "synapse": 100}, "bytes", told.append) as meter:
        for name in meter.each(["axon", "synapse"], connection):
            if name == "synapse":
                connection.execute(SLOW).fetchall()

    assert {event.found for event in told} == {900}
    assert all(event.done >= 900 for event in told)


def test_two_tables_at_a_time_are_told_together(connection: duckdb.DuckDBPyConnection) -> None:
    told: list[Progress] = []

    def work(name: str) -> None:
        with connection.cursor() as own, meter.table(name, own):
            own.execute(SLOW).fetchall()

    with (
        Meter("package", {"axon": 500, "synapse": 500}, "rows", told.append) as meter,
        ThreadPoolExecutor(2) as pool,
    ):
        list(pool.map(work, ["axon", "synapse"]))

    done = [event.done for event in told]
    assert any(set(event.part.split(", ")) == {"axon", "synapse"} and event.done for event in told)
    assert done == sorted(done)
    assert done[-1] == 1000 > done[-2]


def test_where_nobody_listens_nothing_is_done(connection: duckdb.DuckDBPyConnection) -> None:
    with Meter("validate", {"axon": 100}, "rows", None) as meter, meter.table("axon", connection):
        assert threads() == []
        assert connection.execute("SELECT current_setting('enable_progress_bar')").fetchone() == (
            False,
        )


def test_a_stage_without_rows_has_nothing_to_tell(connection: duckdb.DuckDBPyConnection) -> None:
    told: list[Progress] = []

    with Meter("validate", {}, "rows", told.append) as meter:
        assert list(meter.each([], connection)) == []
        assert threads() == []

    assert told == []


def test_what_fails_is_never_told_as_done(connection: duckdb.DuckDBPyConnection) -> None:
    told: list[Progress] = []
    meter = Meter("ingest", {"axon": 100}, "bytes", told.append)

    with pytest.raises(duckdb.ConversionException), meter:
        for _ in meter.each(["axon"], connection):
            time.sleep(0.05)
            connection.execute("SELECT 'x'::INTEGER").fetchall()

    connection.close()  # as the stage does next
    assert told
    assert all(event.done < event.total for event in told)
    assert threads() == []


def test_a_connection_that_was_closed_is_no_longer_asked(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    told: list[Progress] = []

    with (
        Meter("ingest", {"axon": 100}, "bytes", told.append) as meter,
        meter.table("axon", connection),
    ):
        connection.close()
        time.sleep(0.05)

    assert told[-1].done == 100


def test_what_a_listener_raises_ends_the_stage(connection: duckdb.DuckDBPyConnection) -> None:
    def broken(_: Progress) -> None:
        raise BrokenPipeError("nobody reads any longer")

    with (
        pytest.raises(BrokenPipeError),
        Meter("ingest", {"axon": 100}, "bytes", broken) as meter,
        meter.table("axon", connection),
    ):
        time.sleep(0.05)

    assert threads() == []


def test_listeners_know_who_started_the_stage(connection: duckdb.DuckDBPyConnection) -> None:
    who: ContextVar[str] = ContextVar("who")
    who.set("this test")
    heard: list[str] = []

    with (
        Meter("ingest", {"axon": 100}, "bytes", lambda _: heard.append(who.get())) as meter,
        meter.table("axon", connection),
    ):
        time.sleep(0.05)

    assert set(heard) == {"this test"}


class Asked:
    """A connection that gives these answers, one after the other."""

    def __init__(self, *answers: float) -> None:
        self.answers = list(answers)

    def query_progress(self) -> float:
        return self.answers.pop(0)


def parts(*answers: float, reach: float = 100.0) -> list[float]:
    """What is taken to be done of a table after each answer."""
    work = progress._Work(Asked(*answers), reach, [1.0])  # type: ignore[arg-type]
    seen = []
    for _ in answers:
        work.look()
        seen.append(round(work.part, 3))
    return seen


def test_what_is_done_of_a_table_after_each_answer() -> None:
    """The main statement is most of a table, the next most of the rest, short ones are nothing, and
    an estimate that falls takes nothing back.
    """
    assert parts(-1, 25, 50, 100, -1, 50, 100) == [0, 0, 0.4, 0.8, 0.8, 0.8, 0.96]
    assert parts(50, 100, 2, 50) == [0, 0.8, 0.8, 0.88]
    assert parts(40, 50, 45, 60) == [0, 0.4, 0.4, 0.48]
    assert parts(15, 15, 30, reach=30) == [0, 0.4, 0.8]
    assert parts(*[100, -1] * 50)[-1] == 0
    assert parts(*[90, 100, -1] * 20)[-1] == NEVER_MORE


def test_steps_hold_each_statement_to_its_place() -> None:
    work = progress._Work(Asked(50, 100, 50, 50, 100), 100.0, [0.25, 1.0])  # type: ignore[arg-type]
    seen = []
    for number in range(5):
        if number == 2:
            work.step()
        work.look()
        seen.append(round(work.part, 3))
    assert seen == [0, 0.2, 0.25, 0.55, 0.85]


NEURONS = csv("cid,polarity", *(f"n{i},bipolar" for i in range(50)))
AXONS = csv("cid,parent_id,voxel_volume", *(f"a{i},n{i % 50},{1e8 + i}" for i in range(20_000)))


def test_every_stage_is_told_and_stays_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.001)
    lab = Lab(tmp_path, {"neuron": NEURONS, "axon": AXONS})
    context = lab.context
    quiet = lab.run("package")
    told: list[Progress] = []
    again = replace(
        context,
        settings=context.settings.model_copy(update={"state": tmp_path / "other"}),
        watch=told.append,
    )

    watched = run_stages(again, "package")

    assert {name: record.outputs for name, record in watched.items()} == {
        name: record.outputs for name, record in quiet.items()
    }
    in_order = [event.what for event in told if event.done == event.total]
    assert in_order == [name for name in STAGES if name != "check_integrity"], (
        "each once, and at its end"
    )
    totals = {event.what: (event.total, event.unit) for event in told}
    size = sum((tmp_path / f"{table}.csv").stat().st_size for table in ("neuron", "axon"))
    assert totals.pop("ingest") == (size, "bytes")
    assert set(totals.values()) == {(20_050, "rows")}
    parts_told = {name for event in told for name in event.part.split(", ")}
    assert parts_told <= {"", "neuron", "axon"}
    assert "axon" in parts_told
    for name in in_order:
        done = [event.done for event in told if event.what == name]
        assert done == sorted(done)
