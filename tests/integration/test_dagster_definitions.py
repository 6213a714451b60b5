"""What Dagster shows before anything ran: assets, checks, jobs, schedules, the instance.

Belongs here: definitions. Does not: runs (`test_dagster_runs.py`) or ticks
(`test_dagster_sensors.py`).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.remote_origin import RemoteJobOrigin
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from dagster_defs import defs
from syndb_pipeline.orchestration.assets import PUBLISH
from syndb_pipeline.orchestration.definitions import build_defs, own_defs
from syndb_pipeline.orchestration.operating.home import dagster_home
from syndb_pipeline.orchestration.operating.launch import _SERVED
from syndb_pipeline.rules.catalogue import FAMILIES
from syndb_pipeline.stages.runner import STAGES
from tests.dagster_lab import Lab, make_lab

PROJECT = Path(__file__).parents[2]
ASSETS = [*STAGES, "publish"]


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_lab(tmp_path / "lab")


def test_everything_loads(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.add("good", more='schedule: "0 2 * * *"')
    monkeypatch.setenv("SYNDB_PIPELINE_CONFIG", str(lab.pipeline_file))

    loaded = defs()

    dg.Definitions.validate_loadable(loaded)
    assert {job.name for job in loaded.resolve_all_job_defs()} >= {
        "prepare",
        "publish",
        "export",
        "prepare_and_publish",
        "approve",
        "reject",
        "delete",
    }
    assert {sensor.name for sensor in loaded.sensors or []} == {
        "discover_datasets",
        "watch_files",
    }


def test_seven_assets_in_a_row() -> None:
    graph = own_defs().resolve_asset_graph()

    known = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert known == {"lab_files", *ASSETS, "export", "datasets"}
    assert graph.get(dg.AssetKey("export")).parent_keys == {dg.AssetKey("package")}
    assert graph.get(dg.AssetKey("lab_files")).is_observable
    for before, name in zip(["lab_files", *ASSETS], ASSETS, strict=False):
        node = graph.get(dg.AssetKey(name))
        assert node.parent_keys == {dg.AssetKey(before)}
        assert node.group_name == "syndb"
        assert isinstance(node.partitions_def, dg.DynamicPartitionsDefinition)
        assert node.partitions_def.name == "dataset"
        assert node.owners and node.kinds and node.description
        assert node.code_version == (STAGES[name].version if name in STAGES else "1")


def test_stages_may_follow_by_themselves(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNDB_PIPELINE_CONFIG", str(lab.pipeline_file))
    for broken in ("automation: eagre\n", "automation: manual\n"):
        lab.pipeline_file.write_text(broken)
        graph = defs().resolve_asset_graph()
        assert not any(node.automation_condition for node in graph.asset_nodes)
    lab.pipeline_file.write_text("automation: eager\n")
    condition, graph = dg.AutomationCondition.eager(), defs().resolve_asset_graph()

    assert {
        key.to_user_string()
        for key in graph.get_all_asset_keys()
        if graph.get(key).automation_condition == condition
    } == set(STAGES) - {"ingest"}


def test_several_sets_live_beside_what_another_project_has() -> None:
    @dg.asset
    def ingest(pipeline: dg.ResourceParam[str]) -> None: ...

    theirs = dg.Definitions(
        [ingest], resources={"pipeline": "another"}, executor=dg.multiprocess_executor
    )
    condition = dg.AutomationCondition.eager()
    merged = dg.Definitions.merge(
        theirs,
        build_defs(prefix="fly", deps=["ingest"], automation_condition=condition),
        build_defs(
            prefix=["labs", "mouse"],
            group="mice",
            owners=["ada@example.org"],
            partitions_def=dg.StaticPartitionsDefinition(["a", "b"]),
            executor=dg.multiprocess_executor,
            with_sensors=False,
        ),
    )

    dg.Definitions.validate_loadable(merged)
    assert merged.executor is dg.multiprocess_executor
    executors = {job.name: job.executor_def.name for job in merged.resolve_all_job_defs()}
    assert executors["fly_prepare"] == "in_process"
    assert executors["labs_mouse_prepare"] == executors["labs_mouse_delete"] == "multiprocess"
    graph = merged.resolve_asset_graph()
    mouse, fly = (
        graph.get(dg.AssetKey(["labs", "mouse", "package"])),
        dg.AssetKey(["fly", "ingest"]),
    )
    assert (mouse.group_name, mouse.owners) == ("mice", ["ada@example.org"])
    assert mouse.parent_keys == {dg.AssetKey(["labs", "mouse", "check_integrity"])}
    assert graph.get(fly).parent_keys == {dg.AssetKey("ingest"), dg.AssetKey(["fly", "lab_files"])}
    assert graph.get(fly).automation_condition is not None
    assert graph.get(dg.AssetKey(["fly", "publish"])).automation_condition is None
    assert {key.asset_key.path[0] for key in graph.asset_check_keys} == {"fly", "labs"}
    assert {sensor.name for sensor in merged.sensors or []} == {
        *("fly_discover_datasets", "fly_watch_files"),
        "labs_mouse_run_schedules",
    }


def test_columns_are_told_before_anything_ran() -> None:
    graph = own_defs().resolve_asset_graph()
    columns = {
        stage: {
            column.name: column
            for column in graph.get(dg.AssetKey(stage)).metadata["dagster/column_schema"].columns
        }
        for stage in STAGES
    }

    for stage in ("ingest", "validate", "check_integrity", "package"):
        radius = columns[stage]["vesicle.voxel_radius"]
        assert radius.type == "double"
        assert list(radius.constraints.other) == ["nm", "> 0"]
        assert radius.description
    assert columns["ingest"]["vesicle.cid"].type == "varchar"
    assert (
        columns["package"]["vesicle.cid"].type
        == columns["assign_ids"]["vesicle.cid"].type
        == "uuid"
    )
    assert (
        columns["join_relations"]["vesicle.neuron_id"].description
        == "UUID of the neuron at the root."
    )
    assert "neuron.mesh_path" in columns["ingest"] and "neuron.mesh_path" not in columns["package"]


def test_checks_are_partitioned_and_those_of_the_verdict_block() -> None:
    graph = own_defs().resolve_asset_graph()

    checks = {key: graph.get(key) for key in graph.asset_check_keys}

    assert {key.name for key in checks} == set(FAMILIES)
    assert all(
        isinstance(check.partitions_def, dg.DynamicPartitionsDefinition)
        for check in checks.values()
    )
    assert {key.asset_key.to_user_string() for key, check in checks.items() if check.blocking} == {
        "check_integrity"
    }
    assert all(
        check.blocking
        for key, check in checks.items()
        if key.asset_key == dg.AssetKey("check_integrity")
    )


@pytest.mark.skipif(
    shutil.which("dg", path=str(Path(sys.executable).parent)) is None, reason="dg is not installed"
)
def test_dg_finds_the_project() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "dg", "check", "defs"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert yaml.safe_load((PROJECT / "workspace.yaml").read_text()) == {
        "load_from": [{"python_module": "dagster_defs"}]
    }


def test_the_instance_keeps_to_itself_and_runs_a_dataset_once_at_a_time(lab: Lab) -> None:
    home = dagster_home(lab.settings)

    with dg.DagsterInstance.local_temp(str(home)) as instance:
        assert home == lab.settings.state / "dagster"
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        limits = instance.get_concurrency_config().run_queue_config.tag_concurrency_limits
        assert {limit["key"]: limit["limit"] for limit in limits} == {
            "dagster/partition": 1,
            "syndb/destination": 2,
        }
        assert all(limit["value"] == {"applyLimitPerUniqueValue": True} for limit in limits)


def test_storage_is_made_by_one_process_alone(lab: Lab) -> None:
    code = (
        "import sys; import dagster as dg; from pathlib import Path;"
        "from syndb_pipeline.orchestration.operating.home import dagster_home;"
        "from syndb_pipeline.config.settings import load_settings;"
        "home = dagster_home(load_settings(Path(sys.argv[1])));"
        "dg.DagsterInstance.local_temp(str(home)).get_runs()"
    )
    together = [
        subprocess.Popen([sys.executable, "-c", code, lab.pipeline_file], stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [(each.communicate()[1], each.returncode) for each in together] == [(b"", 0)] * 3


def test_an_edited_instance_config_is_left_alone(lab: Lab) -> None:
    target = dagster_home(lab.settings) / "dagster.yaml"
    target.write_text("telemetry: {enabled: false}\n")

    dagster_home(lab.settings)

    assert target.read_text() == "telemetry: {enabled: false}\n"


def test_two_runs_publish_at_a_time_whoever_started_them(lab: Lab) -> None:
    """And a run of another kind does not wait for them."""
    home = dagster_home(lab.settings)
    config = yaml.safe_load((home / "dagster.yaml").read_text())
    config["concurrency"]["runs"]["max_concurrent_runs"] = 10
    (home / "dagster.yaml").write_text(yaml.safe_dump(config))
    loaded = own_defs(lab.pipeline_file)
    by_hand = [PUBLISH, "__ASSET_JOB", "prepare_and_publish", PUBLISH, "prepare"]
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for number, name in enumerate(by_hand):
            job = loaded.get_repository_def().get_job(name)
            instance.create_run_for_job(
                job,
                status=dg.DagsterRunStatus.QUEUED,
                tags={"dagster/partition": str(number)},
                remote_job_origin=RemoteJobOrigin(_SERVED, name),
            )
        daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
        limits = instance.get_concurrency_config()
        # Before the first look of all, Dagster has not heard of the pool.
        _, started = (daemon._get_runs_to_dequeue(instance, limits, None) for _ in range(2))
    assert [run.tags["dagster/partition"] for run in started] == ["0", "1", "4"]
