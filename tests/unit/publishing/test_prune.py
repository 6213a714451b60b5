"""Pruning: what is old goes, what says what happened stays, and a run that is under way is left
alone."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import dagster as dg
import pytest

from syndb_pipeline.cli import terminal
from syndb_pipeline.config.operating_settings import Retention
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.orchestration.operating.prune import prune_job, prune_runs
from syndb_pipeline.orchestration.resources import PipelineResource
from syndb_pipeline.publishing.prune import DAY, Pruned, bytes_of, prune
from tests import command_line
from tests.publish_lab import Lab, lab, prepared

__all__ = ["lab", "prepared"]

OLD = UUID("01939c0e-7b1a-7c3e-9f53-6f0c6b1d2aff")
"""A dataset that no config names."""


def settings_of(lab: Lab, **days: int | None) -> PipelineSettings:
    return lab.context.settings.model_copy(update={"retention": Retention(**days)})


def write(path: Path, *, days: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x" * 100)
    for each in (path, path.parent):
        os.utime(each, (time.time() - days * DAY,) * 2)
    return path


def tree(state: Path) -> set[Path]:
    return {path for path in state.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.fixture
def worn(lab: Lab) -> Lab:
    """A published dataset after some crashes and a year, beside one whose config is gone."""
    lab.send()
    (lab.root / "datasets").mkdir()
    shutil.copy(lab.root / "guide.yaml", lab.root / "datasets")
    store = lab.context.store.folder
    write(store / f".package.{'a' * 32}" / "tables" / "axon.parquet", days=9)
    os.utime(store / f".package.{'a' * 32}", (time.time() - 9 * DAY,) * 2)
    write(store / ".scratch" / "spill.tmp", days=9)
    write(store / "publish" / ".spill-k2_x" / "spill.tmp", days=9)
    write(store / "publish" / "tables" / f".{'b' * 64}" / "axon.parquet", days=9)
    write(store / "publish" / "receipts" / f".1.json.{'c' * 32}", days=9)
    write(store / "publish" / f".receipt.json.{'d' * 32}", days=0)  # not old
    write(store / "report" / "report.html", days=300)
    for path in (store / "ingest", *(store / "ingest").rglob("*")):
        os.utime(path, (time.time() - 300 * DAY,) * 2)
    gone = lab.context.settings.state / "datasets" / str(OLD)
    write(gone / "ingest" / "record.json", days=300)
    write(gone / "publish" / "receipt.json", days=300)
    return lab


@dataclass(frozen=True)
class Case:
    days: dict[str, int | None]
    gone: tuple[str, ...]


LEFTOVERS = ("spill.tmp", "spill.tmp", "axon.parquet", "axon.parquet", f".1.json.{'c' * 32}")
CASES = {
    "as it comes": Case({}, LEFTOVERS),
    "reports": Case({"reports": 90}, (*LEFTOVERS, "report.html")),
    "reports of late": Case({"reports": 365}, LEFTOVERS),
    "stages": Case({"stages": 90}, (*LEFTOVERS, "record.json")),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_is_old_goes_and_the_rest_stays(worn: Lab, case: Case) -> None:
    settings = settings_of(worn, **case.days)
    before = tree(settings.state)
    would = prune(settings, dry_run=True)
    assert tree(settings.state) == before
    done = prune(settings, dry_run=False)
    assert done == would and done.notes == []
    removed = before - tree(settings.state)
    assert sorted(path.name for path in removed) == sorted(case.gone)
    assert sum(each.bytes for each in done.removed) == 100 * len(removed)
    assert prune(settings, dry_run=False) == Pruned()
    worn.prepare()
    assert worn.send().published == worn.records.receipt().published, "nothing is sent again"


def test_a_dataset_at_work_is_left_alone(worn: Lab) -> None:
    settings = settings_of(worn, reports=90)
    before = tree(settings.state)
    with worn.records.lock():
        done = prune(settings, dry_run=False)
    assert done.removed == [] and "is being published" in done.notes[0]
    assert tree(settings.state) >= {path for path in before if ".scratch" not in path.parts} - {
        path for path in before if ".package" in str(path)
    }


@pytest.mark.parametrize("broken", ["datasets: [", None])
def test_stages_stay_while_a_config_may_only_be_away(worn: Lab, broken: str | None) -> None:
    settings = settings_of(worn, stages=90)
    if broken is None:
        (worn.root / "datasets").rename(worn.root / "unmounted")
    else:
        (worn.root / "datasets" / "new.yaml").write_text(broken)
    done = prune(settings, dry_run=False)
    assert [each.kind for each in done.removed].count("stages") == 0
    assert "left as they are" in done.notes[0]


@dg.op
def _nothing() -> None: ...


@dg.job
def small() -> None:
    _nothing()


@dg.op
def _fails() -> None:
    raise ValueError("no")


@dg.job
def broken() -> None:
    _fails()


def test_old_runs_go_with_all_they_left_but_the_last_ones(lab: Lab) -> None:
    settings = lab.context.settings
    home = settings.state / "dagster"
    home.mkdir(parents=True)
    ran: list[str] = []
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        for job, dataset in (
            (small, "a"),
            (small, "a"),
            (broken, "a"),
            (broken, "a"),
            (small, "b"),
        ):
            done = job.execute_in_process(
                instance=instance, raise_on_error=False, tags={"dagster/partition": dataset}
            )
            ran.append(done.run_id)
        for count in range(3):
            overview = dg.AssetMaterialization("datasets", metadata={"dagster/row_count": count})
            instance.report_runless_asset_event(overview)
        month = time.time() + 31 * DAY
        options = {"instance": instance, "now": month}
        assert prune_runs(settings, dry_run=False, instance=instance) == Pruned()
        would = prune_runs(settings, dry_run=True, **options)
        before = bytes_of(home)
        done = prune_runs(settings, dry_run=False, **options)
        removed = [each.what.split()[1] for each in done.removed[:2]]
        assert removed == [ran[2], ran[0]]
        assert done.removed[2].what == "2 old events of the asset datasets"
        [kept] = instance.fetch_materializations(dg.AssetKey("datasets"), limit=9).records
        assert kept.asset_materialization is not None
        assert kept.asset_materialization.metadata["dagster/row_count"].value == 2
        assert would.removed == done.removed and done.notes == []
        assert before - bytes_of(home) >= sum(each.bytes for each in done.removed) > 200_000
        left = {record.dagster_run.run_id for record in instance.get_run_records()}
        assert left == {ran[1], ran[3], ran[4]}
        assert not [*home.rglob(f"*{ran[0]}*")]
        assert instance.all_logs(ran[1])
        assert prune_runs(settings, dry_run=False, **options) == Pruned()

        write(lab.records.folder / f".receipt.json.{'e' * 32}", days=9)
        pipeline = PipelineResource(pipeline_file=str(lab.root / "pipeline.yaml"))
        by_job = prune_job.execute_in_process(instance=instance, resources={"pipeline": pipeline})
        [event] = [each for each in by_job.all_events if each.is_successful_output]
        metadata = event.step_output_data.metadata
        assert [metadata[key].value for key in ("removed", "bytes")] == [1, 100]


def test_the_command_says_what_it_would_remove(worn: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    # The entry point is the installed package's, which may be of before this command.
    monkeypatch.setattr(terminal, "launcher", lambda name: prune_runs)
    command = command_line.Lab(worn.root.parent / "beside")
    shutil.copy(worn.root / "pipeline.yaml", command.folder)
    worn.root.joinpath("state").rename(command.folder / "state")
    said = command.call("prune", "--dry-run")
    assert said.code == 0 and "would remove leftovers: 5, 500 bytes" in said.out
    report = json.loads(command.call("prune", "--json").out)
    assert report["bytes"] == sum(each["bytes"] for each in report["removed"]) == 500
    assert command.call("prune").out == "Nothing is old enough to be removed.\n"
