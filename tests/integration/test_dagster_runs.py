"""Runs through Dagster, from the command line's `launch` and as the UI starts them.

Belongs here: what a run leaves, shows and refuses. Does not: what the stages compute.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qs
from uuid import UUID, uuid4, uuid5

import dagster as dg
import duckdb
import pytest
import yaml
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from syndb_pipeline.base.errors import ConfigError, Exit
from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.orchestration.definitions import own_defs
from syndb_pipeline.orchestration.failures import show_tracebacks
from syndb_pipeline.orchestration.jobs import PREPARE
from syndb_pipeline.orchestration.operating.launch import LaunchResult, launch
from syndb_pipeline.orchestration.unattended.lost_runs import close_lost_runs, process_tags
from syndb_pipeline.publishing.plan import plan
from syndb_pipeline.stages.runner import STAGES
from syndb_pipeline.state.registry import configs
from syndb_pipeline.state.stage import Context, Result
from syndb_pipeline.state.store import DatasetStore, Record
from tests.dagster_lab import IDS, ORPHANS, VESICLES, Lab, cells, failures, make_lab

SMALL = 12_000
"""Bytes of an asset's metadata as JSON; it may grow with tables and columns, never with rows."""


@dataclass(frozen=True)
class Ran:
    lab: Lab
    good: LaunchResult
    bad: LaunchResult
    said: list[str]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """A lab in which the good dataset was published and the bad one refused."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DAGSTER_HOME", raising=False)
        lab = make_lab(tmp_path_factory.mktemp("runs"))
        good = lab.add("good", approval="standing")
        bad = lab.add("bad", bad=True)
        said: list[str] = []
        yield Ran(
            lab,
            launch(good, lab.pipeline_file, publish=True, say=said.append),
            launch(bad, lab.pipeline_file),
            said,
        )


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    yield make_lab(tmp_path / "lab")
    show_tracebacks()


def test_what_was_prepared_is_exported(ran: Ran) -> None:
    given = {"ops": {"export_dataset": {"config": {"format": "csv", "id_map": True}}}}
    with ran.lab.instance() as instance:
        result = ran.lab.run(instance, "export", "good", config=given)
    assert result.success
    out = ran.lab.settings.state / "exports" / "good"
    assert (out / "SHA256SUMS").is_file() and (out / "vesicle.csv").is_file()
    [event] = result.get_asset_materialization_events()
    shown = event.materialization.metadata
    assert shown["folder"].value == str(out) and shown["rows"].value > 0


def record(lab: Lab, name: str, stage: str) -> Record:
    found = DatasetStore(lab.settings.state, lab.pipeline.dataset(name).dataset.id).record(stage)
    assert found is not None
    return found


def materialization(lab: Lab, run_id: str, asset: str) -> dg.AssetMaterialization:
    with lab.instance() as instance:
        events = [
            entry.asset_materialization
            for entry in instance.all_logs(run_id)
            if entry.asset_materialization
        ]
    return next(event for event in events if event.asset_key == dg.AssetKey(asset))


def evaluations(lab: Lab, run_id: str) -> dict[str, dg.AssetCheckEvaluation]:
    with lab.instance() as instance:
        logs = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    data = [entry.dagster_event.event_specific_data for entry in logs if entry.dagster_event]
    return {evaluation.check_name: evaluation for evaluation in data}  # type: ignore[union-attr,misc]


def test_a_good_dataset_goes_through_all_seven(ran: Ran) -> None:
    assert ran.good.message == ""
    assert (ran.good.succeeded, ran.good.exit) == (True, Exit.OK)
    assert list(ran.good.records) == list(STAGES)
    assert ran.good.receipt is not None
    assert ran.good.receipt.rows == 20 + 50 + VESICLES
    assert ran.good.ui_command.startswith(f"syndb-pipeline ui --run {ran.good.run_id}")


def test_the_run_is_on_the_instance_of_the_ui(ran: Ran) -> None:
    with ran.lab.instance() as instance:
        run = instance.get_run_by_id(ran.good.run_id)
        assert run is not None
        assert run.status is dg.DagsterRunStatus.SUCCESS
        assert run.tags["dagster/partition"] == "good"
        assert sorted(instance.get_dynamic_partitions("dataset")) == ["bad", "good"]


@pytest.mark.parametrize("asset", STAGES)
def test_each_stage_shows_what_came_of_it(ran: Ran, asset: str) -> None:
    shown = materialization(ran.lab, ran.good.run_id, asset)

    made = record(ran.lab, "good", asset)
    assert shown.partition == "good"
    assert (shown.tags or {})["dagster/data_version"] == made.digest
    assert Path(str(shown.metadata["folder"].value)).is_dir()
    assert {"summary", "rows", "files", "seconds", "peak_memory_mb"} <= set(shown.metadata)
    assert len(json.dumps(dg.serialize_value(shown))) < SMALL


def test_findings_are_shown_with_count_cause_cure_and_place(ran: Ran) -> None:
    metadata = materialization(ran.lab, ran.bad.run_id, "check_integrity").metadata

    assert metadata["verdict"].value == "rejected"
    (orphans,) = [
        line.data
        for line in metadata["findings"].records
        if line.data["finding"] == f"error SYN-REL-001 ({ORPHANS})"
    ]  # type: ignore[attr-defined]
    assert " -> Write the key" in orphans["message"]
    assert orphans["where"] == "bad/vesicle.csv, row 2, column parent_id: '1.0'"


@pytest.mark.parametrize(
    ("asset", "first_key"),
    [("ingest", "v0"), ("package", str(uuid5(UUID(IDS["good"]), "vesicle/v0")))],
)
def test_tables_are_shown_with_counts_and_a_few_rows(ran: Ran, asset: str, first_key: str) -> None:
    metadata = materialization(ran.lab, ran.good.run_id, asset).metadata

    rows = {line["table"]: line for line in cells(metadata["rows"].value)}
    assert rows["vesicle"] == {
        "table": "vesicle",
        "read": f"{VESICLES}",
        "passed": f"{VESICLES}",
        "rejected": "0",
        "combined": "0",
    }
    assert list(rows) == ["neuron", "axon", "vesicle"]
    assert metadata["dagster/partition_row_count"].value == 20 + 50 + VESICLES
    lines = cells(metadata["preview vesicle"].value)
    first = {line["column"]: line["row 1"] for line in lines}
    assert (first["cid"], first["voxel_radius"], first["neurotransmitter"]) == (
        first_key,
        "20.5",
        "glutamate",
    )
    assert list(lines[0]) == ["column", "row 1", "row 2"]
    assert not [name for name in first if name.startswith("_")], (
        "columns of ours stay between the stages"
    )


def test_ingest_is_out_of_date_from_when_changed_files_are_seen_until_it_read_them(
    lab: Lab,
) -> None:
    lab.add("good")
    key, ingest = dg.AssetKey("lab_files"), dg.AssetKey("ingest")
    definitions = own_defs(lab.pipeline_file)
    with lab.instance() as instance:

        def causes() -> list[tuple[str, dg.AssetKey | None]]:
            graph, context = definitions.resolve_asset_graph(), LoadingContextForTest(instance)
            resolver = CachingStaleStatusResolver(instance, graph, context)
            found = resolver.get_stale_causes(ingest, "good")
            return [(cause.reason, cause.dependency_asset_key) for cause in found]

        def observe() -> None:
            job = definitions.resolve_implicit_global_asset_job_def()
            done = job.execute_in_process(instance=instance, asset_selection=[key])
            assert done.success

        def change() -> None:
            table.write_text(table.read_text() + f"v{table.stat().st_size},1,20.5,glutamate\n")

        table = lab.table("good", "vesicle")
        assert lab.run(instance, "prepare", "good", assets=["ingest"]).success
        observe()
        assert causes() == []
        change()
        observe()
        assert causes() == [("has a new dependency data version", key)]
        # What a run read itself is known, though no one looked before it.
        change()
        assert lab.run(instance, "prepare", "good", assets=["ingest"]).success
        observe()
        assert causes() == []
        (last,) = instance.fetch_observations(key, limit=1).records
        assert last.asset_observation is not None
        files = cells(last.asset_observation.metadata["files"].value)
        assert [(line["table"], line["files"]) for line in files] == [
            (name, "1") for name in ("neuron", "axon", "vesicle", "config")
        ]


def test_the_package_tells_which_columns_are_sent(ran: Ran) -> None:
    sent = cells(materialization(ran.lab, ran.good.run_id, "package").metadata["columns"].value)

    (vesicle,) = [line for line in sent if line["table"] == "vesicle"]
    assert set(vesicle["sent"].split(", ")) == {
        "cid",
        "parent_id",
        "parent_enum",
        "neuron_id",
        "voxel_radius",
        "neurotransmitter",
    }
    assert (
        "voxel_volume" in vesicle["not given"].split(", ")
        and "voxel_radius" not in vesicle["not given"]
    )


def test_failing_cells_are_shown(ran: Ran) -> None:
    (shown,) = [
        value.value
        for name, value in materialization(ran.lab, ran.bad.run_id, "validate").metadata.items()
        if name.startswith("preview failing cells")
    ]

    (cell,) = cells(shown)
    assert [cell[name] for name in ("code", "tbl", "row_number", "col", "value")] == [
        "SYN-VAL-001",
        "vesicle",
        "3",
        "voxel_radius",
        "-5",
    ]


def test_a_bad_dataset_tells_everything_in_one_run(ran: Ran) -> None:
    assert (ran.bad.succeeded, ran.bad.exit, ran.bad.receipt) == (False, Exit.REJECTED, None)
    assert list(ran.bad.records) == [name for name in STAGES if name != "package"]
    assert ran.bad.message.startswith("bad is rejected: 2 errors")
    assert "SYN-VAL-001" in ran.bad.message and "SYN-REL-001" in ran.bad.message
    assert f"{ORPHANS} rows of vesicle" in ran.bad.message
    assert "bad/vesicle.csv, row 2, column parent_id: '1.0'" in ran.bad.message


def test_checks_show_counts_and_places(ran: Ran) -> None:
    checks = evaluations(ran.lab, ran.bad.run_id)

    assert {name for name, check in checks.items() if not check.passed} == {
        "values_follow_the_contract",
        "relations_resolve",
        "verdict",
    }
    vesicle = cells(checks["verdict"].metadata["rows"].value)[-1]
    assert vesicle["rejected"] == f"{ORPHANS + 1}"
    assert vesicle["errors"] == f"SYN-VAL-001 (1), SYN-REL-001 ({ORPHANS})"
    drawn = checks["values_follow_the_contract"].metadata["values of vesicle.voxel_radius"].value
    assert str(drawn).startswith("-5 ▁") and "█ 20.5\n" in str(drawn) and "1 outside" in str(drawn)
    relations = checks["relations_resolve"]
    assert relations.partition == "bad"
    assert relations.severity is dg.AssetCheckSeverity.ERROR
    assert relations.metadata["places"].value == ORPHANS
    examples = [line.data for line in relations.metadata["examples"].records]  # type: ignore[attr-defined]
    assert (examples[0]["file"], examples[0]["row"], examples[0]["value"]) == (
        "bad/vesicle.csv",
        2,
        "1.0",
    )
    assert f"{ORPHANS} rows of vesicle" in (relations.description or "")
    verdict = [line.data for line in checks["verdict"].metadata["findings"].records]  # type: ignore[attr-defined]
    found = [line["finding"] for line in verdict]
    assert found == ["error SYN-VAL-001 (1)", f"error SYN-REL-001 ({ORPHANS})"]
    assert all("bad/vesicle.csv, row" in line["where"] for line in verdict)
    assert all(check.passed for check in evaluations(ran.lab, ran.good.run_id).values())


def test_a_refused_run_shows_the_findings_and_no_traceback(ran: Ran) -> None:
    with ran.lab.instance() as instance:
        events = [
            entry.dagster_event
            for entry in instance.all_logs(ran.bad.run_id)
            if entry.dagster_event
        ]
    steps = [event for event in events if event.is_step_failure]
    (end,) = [event for event in events if event.is_run_failure]

    (step,) = steps
    assert step.step_failure_data.error is not None
    assert list(step.step_failure_data.error.stack) == []
    for shown in (
        step.step_failure_data.error,
        end.job_failure_data.first_step_failure_event.step_failure_data.error,
    ):  # type: ignore[union-attr]
        assert str(shown).startswith("Failure: bad is rejected: 2 errors")
        assert "Traceback" not in str(shown) and ".py" not in str(shown)
    assert not hasattr(sys, "tracebacklimit")


def test_package_alone_refuses_what_was_rejected(lab: Lab) -> None:
    lab.add("bad", bad=True)
    with lab.instance() as instance:
        lab.run(instance, "prepare", "bad")

        result = lab.run(instance, "prepare", "bad", assets=["package"])

    assert failures(result)["package"].startswith("Failure: bad is rejected: 2 errors")


def test_an_asset_alone_uses_what_its_upstream_left(lab: Lab) -> None:
    lab.add("good")
    with lab.instance() as instance:
        assert lab.run(
            instance, "prepare", "good", assets=["ingest", "validate", "assign_ids"]
        ).success
        before = record(lab, "good", "assign_ids").digest

        assert lab.run(instance, "prepare", "good", assets=["join_relations"]).success

    joined = record(lab, "good", "join_relations")
    assert joined.inputs["record:assign_ids"] == before
    assert "check_integrity" not in {
        path.name for path in DatasetStore(lab.settings.state, joined.dataset).folder.iterdir()
    }


def test_an_asset_without_its_upstream_says_what_to_run(lab: Lab) -> None:
    lab.add("good")
    with lab.instance() as instance:
        alone = {
            asset: failures(lab.run(instance, "prepare", "good", assets=[asset]))[asset]
            for asset in ("validate", "package")
        }

    for asset, before in (("validate", "ingest"), ("package", "check_integrity")):
        assert (
            alone[asset].strip()
            == f"Failure: {asset} needs {before}, which has not run.\nRun {before} first."
        )


def test_a_dataset_that_is_busy_is_not_touched(lab: Lab) -> None:
    config = lab.add("good")
    with DatasetStore(lab.settings.state, lab.pipeline.dataset("good").dataset.id).lock():
        result = launch(config, lab.pipeline_file)

    assert not result.succeeded
    assert "is under way" in result.message
    assert result.exit is Exit.BUSY


def test_a_plan_is_shown_and_answered_without_a_terminal(lab: Lab) -> None:
    config = lab.add("manual")
    with lab.instance() as instance:
        unprepared = failures(lab.run(instance, "publish", "manual"))["publish_dataset"]
        prepared = lab.run(instance, "prepare", "manual")
        shown = prepared.asset_materializations_for_node("package")[0].metadata
        refused = lab.run(instance, "publish", "manual")
        digest = plan(lab.pipeline.context("manual", print)).digest
        ways = {answer: _filled_in(shown[answer]) for answer in ANSWERS}
        answered = {
            answer: lab.run(instance, job, None, config=filled)
            for answer, (job, filled) in ways.items()
            if job != "publish"
        }
        no = answered["reject"]
        rejected = lab.run(instance, "publish", "manual")
        job, filled = ways["approve and publish"]
        done = lab.run(instance, job, "manual", config=filled)

    assert "has not run" in unprepared
    assert shown["plan_digest"].value == digest[:12]
    said = str(shown["plan"].value)
    for each in ("manual vesicles", "local", "ODC_BY", "accepted by Ada", f"|vesicle|{VESICLES}|"):
        assert each in said
    assert len(said) < 1000, "longer ones are not shown in place"
    assert "No one has approved this plan" in failures(refused)["publish_dataset"]
    [failed] = [event.step_failure_data for event in refused.all_events if event.is_step_failure]
    link = failed.user_failure_data.metadata["plan"].value  # type: ignore[union-attr]
    assert link == "/assets/package?view=events&partition=manual"
    assert no.success and answered["approve for later"].success
    assert "rejected this plan" in failures(rejected)["publish_dataset"]
    assert done.success
    again = launch(config, lab.pipeline_file, publish=True)
    assert again.receipt is not None and again.receipt.plan == digest
    assert again.receipt.approval.how == "ui" and again.receipt.approval.by


ANSWERS = ("approve for later", "reject", "approve and publish")


def _filled_in(link: dg.MetadataValue) -> tuple[str, dict[str, object]]:  # type: ignore[type-arg]
    """The job whose launchpad a link opens, and the config it fills in."""
    path, _, query = str(link.value).removesuffix(")").partition("?")
    job = path.removesuffix("/playground/setup").rsplit("/", 1)[1]
    return job, yaml.safe_load(parse_qs(query)["config"][0])


def test_deleting_wants_the_label_typed(lab: Lab) -> None:
    launch(lab.add("good", approval="standing"), lab.pipeline_file, publish=True)
    with lab.instance() as instance:
        refused = lab.run(instance, "delete", None, config=_delete("good", "Good vesicles"))
        done = lab.run(instance, "delete", None, config=_delete("good", "good vesicles"))
        gone = lab.run(instance, "delete", None, config=_delete("good", "good vesicles"))

    assert "nothing was deleted" in failures(refused)["delete_dataset"]
    assert done.success
    assert "There is no dataset" in failures(gone)["delete_dataset"]


def _delete(dataset: str, label: str) -> dict[str, object]:
    return {"ops": {"delete_dataset": {"config": {"dataset": dataset, "label": label}}}}


def test_a_config_from_anywhere_is_known_by_its_name_afterwards(lab: Lab, tmp_path: Path) -> None:
    elsewhere = lab.add("elsewhere", folder=tmp_path / "desk")

    assert launch(elsewhere, lab.pipeline_file).succeeded

    assert configs(lab.settings) == {"elsewhere": elsewhere}
    with lab.instance() as instance:
        assert lab.run(instance, "prepare", "elsewhere", assets=["check_integrity"]).success


def test_two_configs_of_one_name_are_told_apart(lab: Lab, tmp_path: Path) -> None:
    here = lab.add("good", folder=tmp_path / "desk")
    assert launch(here, lab.pipeline_file).succeeded
    there = lab.add("good")
    another = there.read_text().replace(str(load_dataset(there).dataset.id), str(uuid4()))

    def refused(why: str) -> None:
        for config in (here, there):
            with pytest.raises(ConfigError, match=why):
                launch(config, lab.pipeline_file)

    refused(f"{here} and {there} have one dataset.id")
    there.write_text(another)
    refused(f"{here}, which keeps it, and {there}")


def test_a_copy_of_a_config_does_not_get_its_dataset(lab: Lab, tmp_path: Path) -> None:
    config = lab.add("good", approval="standing")
    assert launch(config, lab.pipeline_file, publish=True).succeeded
    copy = config.with_name("copy.yaml")
    text = config.read_text()
    copy.write_text(text)
    why = f"have one dataset.id, .* {config} keeps it"

    with lab.instance() as instance:
        refused = failures(lab.run(instance, "prepare", "copy", assets=["ingest"]))["ingest"]
        assert re.search(why, refused) and f"Give {copy} a new one" in refused
        assert "Another id makes other rows" in refused
        assert lab.run(instance, "prepare", "good", assets=["ingest"]).success
        config.write_text("a mistake")
        assert "keeps it" in failures(lab.run(instance, "publish", "copy"))["publish_dataset"]
        config.unlink()  # moved, that is
        assert lab.run(instance, "prepare", "copy", assets=["ingest"]).success


def test_a_run_whose_process_died_is_closed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with lab.instance() as instance:
        here = process_tags("")
        boot, _, namespace = here[".dagster/syndb_boot"].partition("/")
        own, _, start = here[".dagster/syndb_process"].partition("@")
        elsewhere = {".dagster/syndb_process": f"{dead.pid}@{start}"}
        living = [
            _started(instance, more)
            for more in (
                {},
                elsewhere | {".dagster/syndb_boot": f"{boot}/{namespace}1"},  # of another container
                elsewhere | {"syndb/host": "another"},
                elsewhere | {".dagster/syndb_run": "its parent"},  # run again, and yet to say where
            )
        ]
        lost = [
            _started(instance, more)
            for more in (
                elsewhere,
                {".dagster/syndb_process": f"{own}@1.00"},  # its id was given to another process
                {".dagster/syndb_boot": f"before/{namespace}"},
                {".dagster/syndb_boot": f"before/{namespace}1"},
            )
        ]

        assert sorted(close_lost_runs(instance)) == sorted(lost)

        statuses = {run.run_id: run.status for run in instance.get_runs()}
        assert statuses == dict.fromkeys(living, dg.DagsterRunStatus.STARTED) | dict.fromkeys(
            lost, dg.DagsterRunStatus.FAILURE
        )
        monkeypatch.setattr(
            "syndb_pipeline.orchestration.unattended.lost_runs._SILENT", timedelta(0)
        )
        assert close_lost_runs(instance) == living[-1:]
        silent = instance.create_run_for_job(_empty, status=dg.DagsterRunStatus.STARTED).run_id
        assert close_lost_runs(instance, jobs=["another"]) == []
        assert close_lost_runs(instance, jobs=["_empty"]) == [silent]


def test_a_clock_that_is_set_ends_no_living_run(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with lab.instance() as instance:
        _started(instance)
        monkeypatch.setattr("psutil.Process.create_time", lambda process: 1.0)
        assert close_lost_runs(instance) == []


def test_a_run_says_which_process_it_lives_in_and_how_long_it_may(lab: Lab) -> None:
    lab.add("good", more="max_runtime: 90min")
    with lab.instance() as instance:
        assert lab.run(instance, "prepare", "good", assets=["ingest"]).success
        (run,) = instance.get_runs()
    assert process_tags(run.run_id).items() <= run.tags.items()
    assert run.tags["dagster/max_runtime"] == "5400"


def _started(instance: dg.DagsterInstance, tags: Mapping[str, str] = MappingProxyType({})) -> str:
    run_id = str(uuid4())
    instance.create_run_for_job(
        _empty,
        run_id=run_id,
        status=dg.DagsterRunStatus.STARTED,
        tags=process_tags(run_id) | dict(tags),
    )
    return run_id


@dg.job
def _empty() -> None:
    pass


def test_an_interrupted_launch_says_so_and_can_be_given_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(context: Context, folder: Path) -> Result:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(20)
        raise AssertionError("the signal was lost")

    config = lab.add("good")
    with monkeypatch.context() as patch:
        patch.setitem(STAGES, "assign_ids", replace(STAGES["assign_ids"], run=interrupted))
        cut = launch(config, lab.pipeline_file)

    assert (cut.exit, list(cut.records)) == (Exit.INTERRUPTED, ["ingest", "validate"])
    assert "assign_ids" in cut.message
    assert launch(config, lab.pipeline_file).succeeded


def test_a_trouble_of_the_machine_is_told_in_words(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = lab.add("good")
    for trouble, told in (
        (
            duckdb.IOException("No space left on device"),
            "A file in the state folder: its disk is full.",
        ),
        (duckdb.OutOfMemoryException("could not allocate"), "The memory limit is too small for"),
        (
            PermissionError(13, "Permission denied", "/a/file"),
            "/a/file: this user may not open or change it.",
        ),
    ):

        def troubled(context: Context, folder: Path, trouble: Exception = trouble) -> Result:
            raise trouble

        monkeypatch.setitem(STAGES, "ingest", replace(STAGES["ingest"], run=troubled))
        result = launch(config, lab.pipeline_file)

        assert result.exit is Exit.INTERNAL
        assert result.message.startswith(told)


def test_a_mistake_of_ours_keeps_its_traceback_for_the_ui(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(context: Context, folder: Path) -> Result:
        raise ZeroDivisionError("seven")

    monkeypatch.setitem(STAGES, "validate", replace(STAGES["validate"], run=mistaken))
    result = launch(lab.add("good"), lab.pipeline_file)

    assert (result.exit, result.message) == (
        Exit.INTERNAL,
        "validate broke off: ZeroDivisionError: seven",
    )
    with lab.instance() as instance:
        events = [
            entry.dagster_event for entry in instance.all_logs(result.run_id) if entry.dagster_event
        ]
    (error,) = [event.step_failure_data.error for event in events if event.is_step_failure]
    assert error is not None and error.cause is not None
    assert any("mistaken" in frame for frame in error.cause.stack)


def test_a_launch_in_a_fresh_process_is_quick_and_quiet(lab: Lab) -> None:
    config = lab.add("good")
    code = (
        "import sys; from pathlib import Path; from syndb_pipeline.orchestration.operating.launch import launch;"
        "print(launch(Path(sys.argv[1]), Path(sys.argv[2])).run_id)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, config, lab.pipeline_file],
        capture_output=True,
        text=True,
        timeout=60,
        env={key: value for key, value in os.environ.items() if key != "DAGSTER_HOME"},
    )

    assert done.stderr == ""
    assert len(done.stdout.split()) == 1
    with lab.instance() as instance:
        assert [(run.run_id, run.job_name, run.is_success) for run in instance.get_runs()] == [
            (done.stdout.strip(), PREPARE, True)
        ]
