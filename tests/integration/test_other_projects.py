"""Our definitions in a Dagster project that is not ours: `examples/dagster-project`, which
`docs/dagster.md` shows.

Belongs here: what is made there, runs of it, and the project where only the wheel is installed. Does
not: our own deployment (`test_dagster_definitions.py`, `test_dagster_runs.py`).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

import syndb_pipeline
from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.destinations import load_settings
from syndb_pipeline.orchestration.definitions import build_defs
from syndb_pipeline.orchestration.plans import describe_plan
from syndb_pipeline.orchestration.resources import SynDBResource
from syndb_pipeline.orchestration.scope import Scope
from syndb_pipeline.publishing.plan import plan
from syndb_pipeline.publishing.records import PublishRecords
from syndb_pipeline.stages.runner import STAGES, run_stage
from syndb_pipeline.state.stage import Context
from tests.campaigns import WHOLE
from tests.command_line import Lab
from tests.dagster_lab import make_lab

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "dagster-project"
NEURONS, CELLS = dg.AssetKey(["segmentation", "neurons"]), dg.AssetKey(["segmentation", "cells"])
FLY = [dg.AssetKey(["fly", name]) for name in STAGES]
MOUSE = [dg.AssetKey(["labs", "mouse", name]) for name in STAGES]


class Project:
    """A copy of the example, loaded into this process."""

    def __init__(self, root: Path, definitions: dg.Definitions) -> None:
        self.root, self.definitions = root, definitions

    def run(
        self, *keys: dg.AssetKey, instance: dg.DagsterInstance | None = None
    ) -> dg.ExecuteInProcessResult:
        """Materialize assets as the UI would, in one process."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            instance=instance, asset_selection=[*keys], raise_on_error=False
        )

    def resource(self, name: str) -> SynDBResource:
        found = (self.definitions.resources or {})[name]
        assert isinstance(found, SynDBResource)
        return found

    def fly(self) -> Context:
        return self.resource("fly_pipeline").context(None, lambda _: None)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("theirs") / "project"
    shutil.copytree(EXAMPLE, root, ignore=shutil.ignore_patterns("state", "__pycache__"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SYNDB_PIPELINE_CONFIG", raising=False)
        patch.syspath_prepend(root)
        from lab_of_flies.definitions import defs  # type: ignore[import-not-found]

        yield Project(root, defs())
    for name in [each for each in sys.modules if each.split(".")[0] == "lab_of_flies"]:
        del sys.modules[name]


def sent(context: Context) -> bytes:
    with plan(context).payload.open() as tar:
        return bytes(tar.read())


def test_both_components_live_beside_what_the_project_has(project: Project) -> None:
    dg.Definitions.validate_loadable(project.definitions)
    graph = project.definitions.resolve_asset_graph()

    ingest, publish = graph.get(FLY[0]), graph.get(dg.AssetKey(["fly", "publish"]))
    assert ingest.parent_keys == {NEURONS, dg.AssetKey(["fly", "lab_files"])}
    assert ingest.partitions_def is None
    assert ingest.automation_condition
    assert publish.automation_condition == dg.AutomationCondition.eager()
    mouse = graph.get(MOUSE[0])
    assert (mouse.group_name, mouse.owners) == ("mice", ["ada@example.org"])
    assert mouse.automation_condition is None
    sensors = project.definitions.sensors or []
    assert [sensor.name for sensor in sensors] == ["labs_mouse_run_schedules"]
    jobs = {job.name for job in project.definitions.resolve_all_job_defs()}
    assert {"fly_prepare_and_publish", "fly_approve", "labs_mouse_prepare"} <= jobs


def test_everything_follows_an_upstream_asset_by_the_condition(project: Project) -> None:
    defs, keys = project.definitions, [*FLY, dg.AssetKey(["fly", "publish"])]
    with dg.DagsterInstance.ephemeral() as instance:
        before = dg.evaluate_automation_conditions(defs, instance)
        project.run(NEURONS, instance=instance)
        after = dg.evaluate_automation_conditions(defs, instance, cursor=before.cursor)
    assert (before.total_requested, after.total_requested) == (0, len(keys))
    assert all(after.get_num_requested(key) == 1 for key in keys)


def test_a_table_handed_over_in_memory_goes_to_the_receipt_as_on_the_command_line(
    project: Project, tmp_path: Path
) -> None:
    assert project.run(NEURONS, *FLY, dg.AssetKey(["fly", "publish"])).success

    context = project.fly()
    receipt = PublishRecords(context.store).receipt()
    assert receipt is not None and (receipt.approval.how, receipt.rows) == ("standing", 6)

    # The same, as the Parquet file that it became, by the command line.
    cli = Lab(tmp_path / "cli")
    config = yaml.safe_load((project.root / "lab_of_flies/defs/fly/dataset.yaml").read_text())
    config["tables"] = {
        "neuron": {"file": "neuron.parquet"},
        "axon": {"file": str(project.root / "data/axons.csv")},
    }
    shutil.copy(context.config.tables["neuron"].file, cli.folder / "neuron.parquet")
    node = f"destinations: {{local: {{kind: embedded, path: {project.root / 'state/node'}}}}}\n"
    (cli.folder / "pipeline.yaml").write_text(f"state: state\n{node}")
    path = cli.folder / "fly.yaml"
    path.write_text(yaml.safe_dump(config))
    planned = cli.call("plan", path, "--json").report
    assert planned["digest"] == receipt.plan
    settings = load_settings(cli.folder / "pipeline.yaml")
    assert sent(Context(load_dataset(path), settings)) == sent(context)

    # Nothing changed upstream, then a segment more.
    assert project.run(NEURONS, *FLY, dg.AssetKey(["fly", "publish"])).success
    assert PublishRecords(context.store).receipt() == receipt
    with (project.root / "data/supervoxels.csv").open("a") as file:
        file.write("720575940600000004,unipolar,1000\n")
    assert project.run(NEURONS, *FLY).success
    assert project.fly().ingested.tables["neuron"].read == 4
    dataset, settings_file = context.config.path, project.root / "pipeline.yaml"
    written = syndb_pipeline.report(dataset, html=tmp_path / "a.html", settings=settings_file)
    assert written.paths == (tmp_path / "a.html",)


def test_a_path_is_handed_over_and_an_inline_dataset_is_known_to_every_command(
    project: Project,
) -> None:
    ran = project.run(CELLS, *MOUSE)
    assert ran.success
    package = {each.asset_key: each for each in ran.get_asset_materialization_events()}[MOUSE[-1]]
    assert package.materialization.metadata["dagster/row_count"].value == 5

    settings = project.root / "pipeline.yaml"
    result = syndb_pipeline.check("mouse", settings=settings)
    assert (result.verdict, result.tables["neuron"].passed) == ("accepted", 5)
    # A copy of the component, or its folder under another name, does not get the dataset.
    own = project.resource("labs_mouse_pipeline")
    copy = own.model_copy(update={"near": str(project.root / "rat")})
    with pytest.raises(syndb_pipeline.ConfigError, match="have one dataset"):
        run_stage(copy.context(None, lambda _: None), "ingest")
    refused = project.run(dg.AssetKey(["labs", "mouse", "publish"]))
    (step,) = refused.get_failed_step_keys()
    failure = refused.failure_data_for_node(step)
    assert failure is not None and failure.user_failure_data is not None
    assert "labs/mouse/package" in str(failure.user_failure_data.description)


def test_a_plan_is_answered_where_the_project_is_served(project: Project) -> None:
    scope = Scope(prefix=["fly"], partitions_def=None)
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("lab"), "__repository__")
    run = dg.DagsterRun("prepare", remote_job_origin=RemoteJobOrigin(repository, "prepare"))

    shown = describe_plan(project.fly(), scope, run)
    assert "/locations/__repository__@lab/jobs/fly_publish/" in str(shown["approve and publish"])
    assert "partition" not in str(shown["approve and publish"])
    assert "approve and publish" not in describe_plan(project.fly(), scope, dg.DagsterRun("a"))


def test_one_dataset_is_watched_without_partitions(project: Project) -> None:
    (tick,) = project.definitions.sensors or []
    given = {"labs_mouse_pipeline": project.resource("labs_mouse_pipeline")}
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance, resources=given) as context,
    ):
        result = tick(context)
    assert isinstance(result, dg.SensorResult)
    assert "mouse: next at" in str(result.skip_reason)


def test_several_datasets_are_partitions_that_the_project_names(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab")
    lab.add("good")
    partitions = dg.StaticPartitionsDefinition(["good", "to-come"])
    given = {"pipeline": SynDBResource(pipeline_file=str(lab.pipeline_file))}
    defs = build_defs(prefix="x-1", partitions_def=partitions, resources=given)

    job = defs.resolve_job_def("x_1_prepare")
    with dg.DagsterInstance.ephemeral() as instance:
        good = job.execute_in_process(instance=instance, partition_key="good")
        to_come = job.execute_in_process(
            instance=instance, partition_key="to-come", raise_on_error=False
        )
        with dg.build_sensor_context(instance, resources={"x_1_pipeline": given["pipeline"]}) as at:
            tick = next(each for each in defs.sensors or [] if each.name == "x_1_discover_datasets")
            result = tick(at)
    assert good.success and not to_come.success
    assert isinstance(result, dg.SensorResult)
    assert "1 dataset" in str(result.skip_reason) and not result.dynamic_partitions_requests


def test_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    with pytest.raises(syndb_pipeline.ConfigError, match="give yours another name"):
        build_defs(resources={"pipeline": "mine"})
    resource = SynDBResource(dataset_file=str(tmp_path / "none.yaml"))
    with pytest.raises(syndb_pipeline.ConfigError, match=r"none\.yaml"):
        resource.dataset()
    with pytest.raises(syndb_pipeline.ConfigError, match="`dataset_file`"):
        SynDBResource().dataset()


def test_the_python_of_the_documentation_gives_definitions(project: Project) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/dagster.md").read_text(), re.S)
    place: dict[str, Any] = {"__name__": "a_lab"}
    exec(compile(code, "dagster.md", "exec"), place)

    dg.Definitions.validate_loadable(place["defs"])
    fly = project.resource("fly_pipeline")
    assert place["rows_of_the_rat"](rat_pipeline=fly) == {"neuron": 4, "axon": 3}


@pytest.mark.skipif(not WHOLE, reason="takes a minute: SYNDB_TESTS=all")
def test_the_project_runs_where_only_the_wheel_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")  # builds the wheel, without a network
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "-w", tmp_path, ROOT], check=True, timeout=120)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    python = tmp_path / "env" / "bin" / "python"
    (packages,) = (tmp_path / "env").glob("lib/*/site-packages")
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(packages)
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("state", "__pycache__"))
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "DAGSTER_HOME": str(home),
        "VIRTUAL_ENV": str(tmp_path / "env"),
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
    }

    def run(*command: str | Path) -> str:
        done = subprocess.run(
            [python, *command],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def dg_cli(*arguments: str) -> str:
        return run("-c", "from dagster_dg_cli.cli import main; main()", *arguments)

    assert str(packages) in run("-c", "import syndb_pipeline; print(syndb_pipeline.__file__)")
    assert "syndb_pipeline.orchestration.SynDBUploadComponent" in dg_cli("list", "components")
    kind = "syndb_pipeline.orchestration.SynDBUploadComponent"
    dg_cli("scaffold", "defs", kind, "upload", "--tables", "data")
    made = project / "lab_of_flies" / "defs" / "upload"
    assert yaml.safe_load((made / "defs.yaml").read_text())["type"] == kind
    assert "axon:" in (made / "dataset.yaml").read_text()
    assert "successfully" in dg_cli("check", "defs")
    dg_cli("launch", "--assets", "segmentation/neurons")
    dg_cli("launch", "--job", "fly_prepare_and_publish")
    (receipt,) = project.glob("state/datasets/*/publish/receipt.json")
    assert receipt.is_file()
