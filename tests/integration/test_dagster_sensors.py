"""Ticks: datasets discovered, files dropped, growing, dropped again.

Belongs here: the sensors, evaluated tick by tick. Does not: the runs they ask for.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.remote_origin import RegisteredCodeLocationOrigin
from dagster._grpc.impl import get_external_sensor_execution

from syndb_pipeline.base.errors import Exit, PipelineError
from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.orchestration.definitions import own_defs
from syndb_pipeline.orchestration.failures import failure, show_tracebacks
from syndb_pipeline.orchestration.resources import DESTINATION
from syndb_pipeline.orchestration.scope import OWN
from syndb_pipeline.orchestration.unattended.datasets import (
    SHOWN_IN_PLACE,
    datasets,
    describe_datasets,
)
from syndb_pipeline.orchestration.unattended.sensors import sensors
from syndb_pipeline.orchestration.unattended.watching import UNATTENDED, wait_for_rest
from syndb_pipeline.publishing.overview import Line
from syndb_pipeline.publishing.records import Compared, Decision, Hold, PublishRecords
from syndb_pipeline.state.registry import claim, register
from tests.dagster_lab import Lab, make_lab

discover_datasets, watch_files = sensors(OWN)
ORIGIN = RegisteredCodeLocationOrigin("dagster_defs")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_lab(tmp_path / "lab")


@pytest.fixture
def instance(lab: Lab) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def rest(lab: Lab, seconds: float = 60) -> None:
    """Let every file of the lab look as if it had been left alone for `seconds`; later calls keep
    the order of changes visible.
    """
    for path in (lab.root / "datasets").rglob("*.*"):
        if time.time() - path.stat().st_mtime < seconds:
            os.utime(path, (time.time() - seconds,) * 2)


class Ticks:
    """A sensor, tick after tick, as the daemon would call it."""

    def __init__(
        self, lab: Lab, instance: dg.DagsterInstance, sensor: dg.SensorDefinition = watch_files
    ) -> None:
        self.lab, self.instance, self.cursor, self.sensor = lab, instance, None, sensor

    def __call__(self) -> dg.SensorResult:
        given = {"pipeline": self.lab.pipeline}
        with dg.build_sensor_context(self.instance, self.cursor, resources=given) as context:
            result = self.sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return result

    def requests(self) -> list[dg.RunRequest]:
        return list(self().run_requests or [])

    def succeed(self) -> list[dg.RunRequest]:
        """The requests of a tick, each of which then succeeds."""
        requests = self.requests()
        for request in requests:
            done(self.instance, request)
        return requests


def done(instance: dg.DagsterInstance, request: dg.RunRequest) -> None:
    """Leave a run of `request` that succeeded."""

    @dg.job
    def run() -> None:
        pass

    run.execute_in_process(instance=instance, tags={"dagster/run_key": request.run_key or ""})


@pytest.fixture
def tick(lab: Lab, instance: dg.DagsterInstance) -> Ticks:
    return Ticks(lab, instance)


def discover(lab: Lab, instance: dg.DagsterInstance) -> tuple[list[str], str]:
    """One tick of `discover_datasets`: the partitions after it, and what it said."""
    with dg.build_sensor_context(instance, resources={"pipeline": lab.pipeline}) as context:
        result = discover_datasets(context)
    assert isinstance(result, dg.SensorResult)
    for request in result.dynamic_partitions_requests or []:
        if isinstance(request, dg.AddDynamicPartitionsRequest):
            instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
        else:
            for key in request.partition_keys:
                instance.delete_dynamic_partition(request.partitions_def_name, key)
    said = result.skip_reason.skip_message if result.skip_reason else ""
    return sorted(instance.get_dynamic_partitions("dataset")), said or ""


def test_datasets_come_and_go_with_their_configs(lab: Lab, instance: dg.DagsterInstance) -> None:
    assert discover(lab, instance)[0] == []
    lab.add("good")
    lab.add("manual")
    assert discover(lab, instance)[0] == ["good", "manual"]
    lab.config("good").unlink()
    assert discover(lab, instance) == (["manual"], "1 dataset")


@pytest.mark.parametrize("number", [0, 1])
def test_the_daemons_way_to_a_sensor(lab: Lab, number: int) -> None:
    """By the definitions and the place of the instance, which is opened once."""
    lab.add("good")
    repository = own_defs(lab.pipeline_file).get_repository_def()
    with lab.instance() as instance, pytest.MonkeyPatch.context() as patch:
        opened = []
        usual = dg.DagsterInstance.from_ref
        patch.setattr(dg.DagsterInstance, "from_ref", lambda ref: opened.append(ref) or usual(ref))
        for _ in range(3):
            name = sensors(OWN)[number].name
            given = get_external_sensor_execution(
                repository, ORIGIN, instance.get_ref(), name, None, None, None, None, None
            )
            assert isinstance(given, SensorExecutionData), given
        assert len(opened) == 1
    assert ("1 dataset" if number == 0 else "good: ") in (given.skip_message or "")


def test_a_broken_config_is_told_and_keeps_its_partition(
    lab: Lab, instance: dg.DagsterInstance
) -> None:
    lab.add("good")
    discover(lab, instance)
    lab.config("good").write_text("dataset: {label: x}\n")
    lab.config("other").write_text(": : :\n")

    partitions, said = discover(lab, instance)

    assert partitions == ["good"]
    assert "dataset.animal: this key is missing" in said
    assert str(lab.config("other")) in said


def test_the_asset_datasets_says_how_each_is_whenever_that_changed(
    lab: Lab, instance: dg.DagsterInstance
) -> None:
    cursor: str | None = None

    def events() -> list[dg.AssetMaterialization]:
        nonlocal cursor
        given = {"pipeline": lab.pipeline}
        with dg.build_sensor_context(instance, cursor, resources=given) as context:
            result = discover_datasets(context)
        assert isinstance(result, dg.SensorResult)
        cursor = result.cursor
        return [each for each in result.asset_events if isinstance(each, dg.AssetMaterialization)]

    lab.add("good")
    lab.add("manual")
    lab.config("other").write_text("dataset: {label: x}\n")
    [first] = events()
    assert first.asset_key == dg.AssetKey("datasets")
    assert first.metadata["summary"].value == "1 unusable, 2 never run"
    broken = str(first.metadata["unusable"].value)
    assert "dataset.animal" in broken and "last success: never" in broken
    good, manual = str(first.metadata["never run"].value).split("\n\n")
    assert good.startswith("**[good](/assets/publish?view=events&partition=good)**")
    assert manual.startswith("**[manual](/assets/publish?view=events&partition=manual)**")
    assert events() == []

    lab.config("other").unlink()
    lab.run(instance, "prepare", "manual")
    [second] = events()
    name, why, command = str(second.metadata["unpublished"].value).split("\\\n")
    assert name.startswith("**[manual](/assets/package?view=events&partition=manual)**")
    assert "waits for a person" in why and command.startswith("syndb-pipeline publish")
    assert events() == []
    again = dg.materialize([datasets(OWN)], instance=instance, resources={"pipeline": lab.pipeline})
    assert again.success


def test_a_long_overview_is_shown_in_parts() -> None:
    line = Line(name="a_name", config=Path("/a.yaml"), state="published")
    shown = describe_datasets([line.model_copy(update={"name": f"set_{i}"}) for i in range(40)])

    parts = [str(each.value) for name, each in shown.items() if name.startswith("published")]
    assert max(map(len, parts)) < SHOWN_IN_PLACE
    assert sum(part.count("last success") for part in parts) == 40


def test_a_broken_pipeline_file_is_told_and_changes_nothing(
    lab: Lab, instance: dg.DagsterInstance, tick: Ticks
) -> None:
    lab.add("good")
    discover(lab, instance)
    lab.pipeline_file.write_text("stat: here\n")

    partitions, said = discover(lab, instance)

    assert partitions == ["good"]
    assert "stat: there is no such key; did you mean state" in said
    assert tick().skip_reason is not None


def test_files_are_answered_once_they_rest(lab: Lab, tick: Ticks) -> None:
    lab.add("good")
    rest(lab)

    assert tick.requests() == []  # seen for the first time: they may be growing
    result = tick()
    (request,), (event,) = result.run_requests or [], result.asset_events
    done(tick.instance, request)
    assert (request.job_name, request.partition_key) == ("prepare", "good")
    assert (event.asset_key, event.partition) == (dg.AssetKey("lab_files"), "good")
    last = tick()
    assert not last.run_requests and not last.asset_events


def test_a_growing_file_is_waited_for(lab: Lab, tick: Ticks) -> None:
    lab.add("good")
    rest(lab)
    tick.requests()
    for row in range(3):
        with lab.table("good", "vesicle").open("a") as file:
            file.write(f"w{row},1,20.5,glutamate\n")
        os.utime(lab.table("good", "vesicle"), (time.time() - 50 + row,) * 2)
        result = tick()
        assert not result.run_requests
        assert "waiting until they rest" in str(result.skip_reason)
    assert len(tick.requests()) == 1


def test_a_file_written_a_moment_ago_is_waited_for_even_if_unchanged(lab: Lab, tick: Ticks) -> None:
    lab.add("good")
    tick.requests()

    assert tick.requests() == []

    rest(lab)
    tick.requests()
    assert len(tick.requests()) == 1


def test_a_file_dropped_again_is_answered_under_a_new_key(lab: Lab, tick: Ticks) -> None:
    lab.add("good")
    table = lab.table("good", "vesicle")
    first = table.read_bytes()
    keys = []
    for age, content in ((60, first), (50, first + b"w,1,20.5,glutamate\n"), (40, first)):
        table.write_bytes(content)
        rest(lab, age)
        tick.requests()
        keys += [request.run_key for request in tick.succeed()]

    assert len(keys) == len(set(keys)) == 3
    assert keys[0].split(":")[1] == keys[2].split(":")[1] != keys[1].split(":")[1]  # type: ignore[union-attr]


def test_a_file_touched_without_change_is_left_alone(lab: Lab, tick: Ticks) -> None:
    lab.add("good")
    rest(lab)
    tick.requests()
    assert len(tick.succeed()) == 1
    os.utime(lab.table("good", "vesicle"), (time.time() - 30,) * 2)

    assert [tick.requests() for _ in range(3)] == [[], [], []]


def test_standing_approval_publishes_and_the_partition_is_added(
    lab: Lab, tick: Ticks, instance: dg.DagsterInstance
) -> None:
    lab.add("good", approval="standing")
    rest(lab)
    tick()

    result = tick()

    assert [request.job_name for request in result.run_requests or []] == ["prepare_and_publish"]
    assert [request.partition_keys for request in result.dynamic_partitions_requests or []] == [
        ["good"]
    ]


def test_unwatched_and_incomplete_datasets_ask_for_nothing(lab: Lab, tick: Ticks) -> None:
    lab.add("manual", more="watch: false")
    lab.add("good")
    lab.table("good", "axon").unlink()
    rest(lab)

    said = [str(tick().skip_reason) for _ in range(3)]

    assert all("good: no file yet for axon" in line and "manual" not in line for line in said)


def test_the_cursor_is_json_and_does_not_grow(lab: Lab, tick: Ticks) -> None:
    for name in ("good", "manual", "bad"):
        lab.add(name)
    rest(lab)
    for _ in range(5):
        tick()
    assert set(json.loads(tick.cursor or "")["datasets"]) == {"good", "manual", "bad"}
    size = len(tick.cursor or "")
    lab.config("bad").unlink()
    tick()

    assert set(json.loads(tick.cursor or "")["datasets"]) == {"good", "manual"}
    assert len(tick.cursor or "") < size < 2000


def test_a_reset_cursor_asks_anew_under_new_keys(
    lab: Lab, tick: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.add("good")
    rest(lab)
    tick()
    (before,) = tick.requests()
    later = time.time() + 100
    monkeypatch.setattr("syndb_pipeline.orchestration.unattended.sensors.time.time", lambda: later)
    tick.cursor = "not json"
    tick()

    (after,) = tick.requests()

    assert after.run_key != before.run_key


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the time that the sensor sees forward by some seconds."""
    passed = [0.0]
    real = time.time

    def forward(seconds: float) -> None:
        passed[0] += seconds

    monkeypatch.setattr(
        "syndb_pipeline.orchestration.unattended.sensors.time.time", lambda: real() + passed[0]
    )
    return forward


def ended(instance: dg.DagsterInstance, key: str | None, exit_code: Exit | None) -> None:
    """Leave a run of `key` that ended with `exit_code`; None stands for a process that was lost."""

    @dg.op
    def fail() -> None:
        if exit_code is not None:
            raise failure("It went wrong.", exit_code)
        raise RuntimeError

    @dg.job
    def run() -> None:
        fail()

    run.execute_in_process(
        instance=instance, tags={"dagster/run_key": key or ""}, raise_on_error=False
    )
    show_tracebacks()


@pytest.mark.parametrize("exit_code", [Exit.REFUSED, Exit.UNKNOWN, Exit.BUSY, Exit.INTERNAL, None])
def test_what_failed_for_no_fault_of_the_files_is_tried_again_later_each_time(
    lab: Lab,
    tick: Ticks,
    instance: dg.DagsterInstance,
    clock: Callable[[float], None],
    exit_code: Exit | None,
) -> None:
    lab.add("good", approval="standing")
    rest(lab)
    tick()
    keys = [tick.requests()[0].run_key]
    for minutes in (1, 2, 4):
        ended(instance, keys[-1], exit_code)
        result = tick()
        assert not result.run_requests
        assert "good: its last run failed for no fault of the files" in str(result.skip_reason)
        clock(minutes * 60 - 10)
        assert tick.requests() == []
        clock(20)
        (request,) = tick.requests()
        assert request.job_name == "prepare_and_publish"
        keys.append(request.run_key)
    assert len(set(keys)) == 4


@pytest.mark.parametrize("exit_code", [Exit.REJECTED, Exit.APPROVAL, Exit.USAGE])
def test_what_only_a_person_can_change_waits_for_new_files(
    lab: Lab,
    tick: Ticks,
    instance: dg.DagsterInstance,
    clock: Callable[[float], None],
    exit_code: Exit,
) -> None:
    lab.add("good")
    rest(lab)
    tick()
    ended(instance, tick.requests()[0].run_key, exit_code)
    for _ in range(3):
        clock(86_400)
        assert tick.requests() == []


def test_a_held_plan_is_asked_for_once_more_after_its_approval(
    lab: Lab, tick: Ticks, instance: dg.DagsterInstance
) -> None:
    lab.add("good", approval="standing")
    rest(lab)
    tick()
    ended(instance, tick.requests()[0].run_key, Exit.APPROVAL)
    context = lab.pipeline.context("good", print)
    records, now = PublishRecords(context.store), datetime.now(UTC)
    hold = Hold(
        plan="0" * 64, content="", destination="local", since=now, compared=Compared(published=now)
    )
    records.keep_hold(hold)
    assert [tick.requests() for _ in range(3)] == [[], [], []]
    no = Decision(answer="rejected", by="Ada", how="ui", at=now)
    records.decide(hold.plan, "", no)
    assert [tick.requests() for _ in range(3)] == [[], [], []]
    records.decide(hold.plan, "", no.model_copy(update={"answer": "approved"}))
    (request,) = tick.succeed()
    assert request.job_name == "prepare_and_publish"
    assert [tick.requests() for _ in range(3)] == [[], [], []]


def test_a_run_that_never_came_is_asked_for_again_under_the_same_key(
    lab: Lab, tick: Ticks, instance: dg.DagsterInstance
) -> None:
    lab.add("good")
    rest(lab)
    tick()
    (first,) = tick.requests()
    (again,) = tick.requests()
    assert again.run_key == first.run_key
    done(instance, first)
    assert tick.requests() == []


def test_a_typo_for_one_tick_uses_no_run_key_again(
    lab: Lab, tick: Ticks, instance: dg.DagsterInstance
) -> None:
    config = lab.add("good")
    instance.add_dynamic_partitions("dataset", ["good"])
    rest(lab)
    tick()
    (before,) = tick.requests()
    done(instance, before)
    text = config.read_text()
    config.write_text("dataset: {label: x}\n")
    tick()
    config.write_text(text)
    lab.table("good", "vesicle").write_text(lab.table("good", "vesicle").read_text() + "\n")
    rest(lab, 40)
    tick()

    (after,) = tick.requests()

    assert after.run_key != before.run_key


@pytest.mark.parametrize("gone", ["the folder", "what is in it"])
def test_a_share_that_is_away_takes_no_dataset_with_it(
    lab: Lab, instance: dg.DagsterInstance, gone: str
) -> None:
    lab.add("good")
    lab.add("manual")
    discover(lab, instance)
    folder = lab.root / "datasets"
    folder.rename(lab.root / "elsewhere")
    if gone == "what is in it":
        folder.mkdir()

    partitions, said = discover(lab, instance)

    assert partitions == ["good", "manual"]
    assert f"The configs of good, manual are away with their whole folder ({folder}" in said


@pytest.mark.parametrize("gone", ["datasets", "desk"])
def test_a_share_that_is_away_takes_no_dataset_while_others_are_there(
    lab: Lab, tmp_path: Path, instance: dg.DagsterInstance, gone: str
) -> None:
    lab.add("good")
    register(lab.settings, lab.add("elsewhere", folder=tmp_path / "desk"))
    assert discover(lab, instance)[0] == ["elsewhere", "good"]
    folder = lab.root / "datasets" if gone == "datasets" else tmp_path / "desk"
    folder.rename(tmp_path / "away")

    partitions, said = discover(lab, instance)

    assert partitions == ["elsewhere", "good"]
    assert f"The configs of {'good' if gone == 'datasets' else 'elsewhere'} are away" in said


def test_a_dataset_whose_config_alone_is_gone_is_taken_away(
    lab: Lab, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    lab.add("good")
    config = lab.add("elsewhere", folder=tmp_path / "desk")
    register(lab.settings, config)
    discover(lab, instance)
    config.unlink()
    assert discover(lab, instance)[0] == ["good"]


def test_configs_that_share_an_id_or_have_no_usable_name_are_said(
    lab: Lab, instance: dg.DagsterInstance
) -> None:
    text = lab.add("good").read_text()
    for name in ("copy.yaml", "größe.yaml", "other.yml"):
        (lab.root / "datasets" / name).write_text(text)
    lab.add("manual")

    partitions, said = discover(lab, instance)

    assert partitions == ["manual"]
    assert f"{lab.config('copy')} and {lab.config('good')} have one dataset.id" in said
    claim(lab.settings, load_dataset(lab.config("manual")))
    lab.config("copy").unlink()
    lab.config("copy").write_text(lab.config("manual").read_text())
    assert discover(lab, instance)[0] == ["good", "manual"]
    assert "größe.yaml is not used: a dataset's name may hold letters of a to z" in said
    assert "other.yml is not used: the name of a dataset's config ends in .yaml" in said


def test_a_damaged_registry_is_said_and_stops_nothing(
    lab: Lab, instance: dg.DagsterInstance
) -> None:
    lab.add("good")
    lab.settings.state.mkdir(parents=True)
    (lab.settings.state / "registry.json").write_text('{"elsewhere": "/data/else')

    partitions, said = discover(lab, instance)

    assert partitions == ["good"]
    assert "registry.json is damaged" in said


def test_an_unattended_run_waits_until_files_rest(lab: Lab) -> None:
    config = load_dataset(lab.add("good"))
    rest(lab)
    said: list[str] = []
    wait_for_rest(config, said.append, settle=0.4, limit=5)
    assert said == []
    vesicles = lab.root / "datasets" / "good" / "vesicle.csv"
    os.utime(vesicles)
    before = time.monotonic()
    wait_for_rest(config, said.append, settle=0.4, limit=5)
    assert 0.3 < time.monotonic() - before < 3
    assert len(said) == 1
    os.utime(vesicles)
    with pytest.raises(PipelineError, match="written to"):
        wait_for_rest(config, said.append, settle=30, limit=0)


def at(text: str, zone: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("schedule", "looks"),
    [
        (  # seen at noon; asked for once, in the summer and in the winter time of Vienna
            '{cron: "0 2 * * *", time_zone: Europe/Vienna}',
            {
                "2026-10-23T12:00": None,
                "2026-10-24T01:59": None,
                "2026-10-24T02:00": "2026-10-24T00:00",
                "2026-10-24T02:01": None,
                "2026-10-26T02:00": "2026-10-26T01:00",
            },
        ),
        (  # away for a week: the last one, once
            '{cron: "30 1 * * 1-5", time_zone: Europe/Vienna}',
            {
                "2026-11-02T12:00": None,
                "2026-11-14T12:00": "2026-11-13T00:30",
                "2026-11-14T12:01": None,
            },
        ),
        (  # the clock was set ahead, and back
            '"0 2 * * *"',
            {
                "2026-11-02T12:00": None,
                "2027-11-02T12:00": "2027-11-02T02:00",
                "2026-11-02T12:01": None,
                "2026-11-03T12:00": "2026-11-03T02:00",
            },
        ),
    ],
)
def test_a_schedule_is_kept_in_its_time_zone(
    lab: Lab,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    schedule: str,
    looks: dict[str, str | None],
) -> None:
    lab.add("good", approval="standing", more=f"schedule: {schedule}")
    tick = Ticks(lab, instance, discover_datasets)
    zone = "Europe/Vienna" if "Vienna" in schedule else "UTC"
    for moment, due in looks.items():
        monkeypatch.setattr(
            "syndb_pipeline.orchestration.unattended.sensors.time.time",
            lambda m=moment: at(m, zone),
        )
        requests = tick.succeed()
        assert [request.run_key for request in requests] == ([f"good:{due}:0.1"] if due else [])
        for request in requests:
            assert (request.job_name, request.partition_key) == ("prepare_and_publish", "good")
            assert request.tags.items() >= {UNATTENDED: "true", DESTINATION: "local"}.items()


def test_a_schedule_that_is_added_changed_or_wrong_needs_no_reload(
    lab: Lab,
    instance: dg.DagsterInstance,
    clock: Callable[[float], None],
) -> None:
    config = lab.add("good")
    lab.add("manual", more='schedule: "99 2 * * *"')
    tick = Ticks(lab, instance, discover_datasets)
    assert "99 2 * * *" in (said := str(tick().skip_reason)) and "which is no cron line" in said
    plain = config.read_text()
    config.write_text(f'{plain}schedule: "* * * * *"\n')
    assert "good: next at " in str(tick().skip_reason)
    clock(60)
    (first,) = tick.requests()
    assert (first.job_name, first.partition_key) == ("prepare", "good")
    tick.cursor = None  # a person reset it
    tick()
    ended(instance, first.run_key, Exit.REFUSED)
    config.write_text(f'{plain}schedule: "0 0 1 1 *"\n')  # that time is past: it waits for the next
    assert tick.requests() == []


def test_a_scheduled_run_that_failed_for_no_fault_of_the_data_is_tried_again(
    lab: Lab, instance: dg.DagsterInstance, clock: Callable[[float], None]
) -> None:
    lab.add("good", more='schedule: "0 2 * * *"')
    tick = Ticks(lab, instance, discover_datasets)
    tick()
    clock(86_400)
    (first,) = tick.requests()
    ended(instance, first.run_key, Exit.UNKNOWN)
    assert "good: its last run failed for no fault of the files" in str(tick().skip_reason)
    clock(61)
    (again,) = tick.requests()
    assert again.run_key == f"{(first.run_key or '')[:-1]}2"
    ended(instance, again.run_key, Exit.REJECTED)
    assert "good: next at" in str(tick().skip_reason)
