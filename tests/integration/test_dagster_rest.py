"""Dagster runs that publish to a server: what they log, how they fail, and that giving them again
is safe.

Belongs here: a server's refusals, limits and silences as a run shows them. Does not: the faults
themselves (`tests/unit/sandbox/`).
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import dagster as dg
import pytest

from syndb_pipeline.base.errors import Exit
from syndb_pipeline.base.progress import as_lines
from syndb_pipeline.destinations import load_settings
from syndb_pipeline.destinations.base import DatasetInfo
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.orchestration import progress
from syndb_pipeline.orchestration.assets import PUBLISH, assets, settled_in_the_ui
from syndb_pipeline.orchestration.definitions import own_defs
from syndb_pipeline.orchestration.failures import show_tracebacks
from syndb_pipeline.orchestration.operating.home import dagster_home
from syndb_pipeline.orchestration.operating.launch import LaunchResult, launch
from syndb_pipeline.orchestration.resources import PipelineResource
from syndb_pipeline.orchestration.scope import OWN
from syndb_pipeline.orchestration.unattended.sensors import sensors
from syndb_pipeline.state.registry import register
from tests.rest_lab import EVE, RestLab, Sandbox
from tests.shortcuts import log_without_waiting

log_without_waiting()

ID = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2b01"
ROWS = 50
AFTER_THE_LAST_BYTE = 10**9
"""A reset after so many bytes of the body happens once the whole of it was received, and before
anything is done with it.
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as started:
        yield started


@pytest.fixture
def lab(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RestLab]:
    """A lab with its credentials in the environment; the server has no faults, and none of its
    dataset when it is over.
    """
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    made = RestLab(tmp_path / "lab", sandbox, settle_seconds=0.5)
    for name, value in made.environment.items():
        if name.startswith(("SYNDB_", "HOME", "XDG_", "PYTHON_KEYRING")):
            monkeypatch.setenv(name, value)
    sandbox.script()
    yield made
    show_tracebacks()
    sandbox.script()
    with sandbox.client() as client:
        assert client.delete(f"/neurodata/io/{ID}/delete_dataset").status_code in (204, 404)


def pipeline_file(lab: RestLab) -> Path:
    return lab.folder / "pipeline.yaml"


def launched(lab: RestLab, **more: Any) -> LaunchResult:
    """Prepare and publish, as `syndb-pipeline run` does."""
    return launch(lab.small("night", ID, **more), pipeline_file(lab), publish=True)


def instance_of(lab: RestLab) -> dg.DagsterInstance:
    return dg.DagsterInstance.local_temp(str(dagster_home(load_settings(pipeline_file(lab)))))


def run(
    lab: RestLab, job: str, config: dict[str, Any] | None = None, **options: Any
) -> dg.ExecuteInProcessResult:
    """Run a job as the UI would."""
    definition = own_defs(pipeline_file(lab)).resolve_job_def(job)
    partition = None if job == "delete" else "night"
    with instance_of(lab) as instance:
        return definition.execute_in_process(
            instance=instance,
            partition_key=partition,
            run_config=config,
            raise_on_error=False,
            **options,
        )


def logged(lab: RestLab, run_id: str) -> list[str]:
    """What a run said, line by line, without Dagster's own events."""
    with instance_of(lab) as instance:
        return [
            entry.user_message
            for entry in instance.all_logs(run_id)
            if entry.level == logging.INFO and not entry.dagster_event
        ]


def failure_of(lab: RestLab, run_id: str) -> str:
    """The message of the failed step, as the run page shows it. A stack beside it is a failure of
    the test.
    """
    with instance_of(lab) as instance:
        [step] = [
            entry.dagster_event
            for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        ]
    assert step is not None and step.step_failure_data.error is not None
    assert list(step.step_failure_data.error.stack) == []
    return step.step_failure_data.error.message


def told(text: str) -> str:
    """`text` without what changes from run to run: times of the day, and the port of a broken
    connection.
    """
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "<time>", " ".join(text.split()))


def uploads(sandbox: Sandbox) -> int:
    return sum(request["route"] == "upload" for request in sandbox.requests())


def there(sandbox: Sandbox) -> DatasetInfo:
    info = EmbeddedNode(
        "sandbox", sandbox.node, owner="", memory_limit=500_000_000, threads=1
    ).info(UUID(ID))
    assert info is not None
    return info


def settled(word: str) -> dict[str, Any]:
    return {"ops": {"publish_dataset": {"config": {"outcome": word}}}}


def test_progress_and_waiting_are_told_in_the_log(
    lab: RestLab, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "as_lines", partial(as_lines, every=0))
    sandbox.script("503@info", "429@upload,retry-after=1")

    result = launched(lab)

    assert result.succeeded, result.message
    said = "\n".join(logged(lab, result.run_id))
    for line in (
        r"^sandbox answered 503 .*; waiting \d\.\d s, attempt 2 of 8$",
        rf"^Sending {ROWS} rows$",
        r"^sandbox answered 429 .*; waiting 1\.\d s, attempt 2 of 8$",
        rf"^{ID}\.tar: 100 % of \d+\.\d kB$",
        r"^Reading back$",
        rf"^Published {ROWS} rows in 2 tables to sandbox\. Receipt: ",
    ):
        assert re.search(line, said, re.MULTILINE), f"{line} not in:\n{said}"
    assert uploads(sandbox) == 2


REFUSALS = {
    "it-falls-silent": (f"reset@upload,after={AFTER_THE_LAST_BYTE}", Exit.UNKNOWN),
    "it-loses-a-row": ("lose-row@upload", Exit.REFUSED),
}


@pytest.mark.parametrize(("fault", "code"), REFUSALS.values(), ids=REFUSALS)
def test_a_failed_run_says_what_the_command_line_says(
    lab: RestLab, sandbox: Sandbox, fault: str, code: Exit
) -> None:
    sandbox.script(fault)
    failed = launched(lab)
    sandbox.script(fault)
    ran = lab.run("publish", "night.yaml")

    assert (failed.succeeded, failed.exit, ran.code) == (False, code, code)
    command, dagster = told(ran.err), told(failed.message)
    assert dagster in command
    assert dagster in told(failure_of(lab, failed.run_id))
    assert len(dagster) > 100


def test_a_stranger_and_a_wrong_password_are_told_apart(
    lab: RestLab, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert launched(lab).succeeded
    shutil.rmtree(lab.folder / "state")
    monkeypatch.setenv("SYNDB_USERNAME__SANDBOX", EVE)
    stranger = launched(lab)
    monkeypatch.setenv("SYNDB_PASSWORD__SANDBOX", "not it")
    unknown = launched(lab)

    assert [stranger.exit, unknown.exit] == [Exit.REFUSED, Exit.REFUSED]
    assert f"you are {EVE}" in stranger.message and "Ask its owner" in stranger.message
    assert "syndb-pipeline login --destination sandbox" in unknown.message
    assert there(sandbox).number_of_units == ROWS


def test_after_a_silence_the_same_run_sends_once(lab: RestLab, sandbox: Sandbox) -> None:
    """Nothing arrived, which the count tells; so the second run sends it."""
    sandbox.script(f"reset@upload,after={AFTER_THE_LAST_BYTE}")
    assert launched(lab).exit is Exit.UNKNOWN
    assert (uploads(sandbox), there(sandbox).number_of_units) == (1, 0)
    sandbox.script()

    assert run(lab, "publish").success
    assert run(lab, "publish").success

    assert (uploads(sandbox), there(sandbox).number_of_units) == (1, ROWS)


def test_after_a_lost_answer_the_same_run_sends_nothing(lab: RestLab, sandbox: Sandbox) -> None:
    """All arrived and the server went down before it could be asked; the second run finds it."""

    def go_down_when_asked(line: str) -> None:
        if "Asking sandbox what arrived" in line:
            sandbox.script("503@*,retry-after=86400")

    sandbox.script("drop@upload")
    lost = launch(lab.small("night", ID), pipeline_file(lab), publish=True, say=go_down_when_asked)
    assert lost.exit is Exit.UNKNOWN, lost.message
    assert (
        "still not known whether the upload started" in lost.message
        and "answered 503" in lost.message
    )
    assert there(sandbox).number_of_units == ROWS
    sandbox.script()

    assert run(lab, "publish").success

    assert (uploads(sandbox), there(sandbox).number_of_units) == (0, ROWS)


@pytest.mark.parametrize("fault", [f"reset@upload:*,after={AFTER_THE_LAST_BYTE}", "500@upload:*"])
def test_no_retry_policy_repeats_a_publication(lab: RestLab, sandbox: Sandbox, fault: str) -> None:
    assert launch(lab.small("night", ID), pipeline_file(lab)).succeeded
    stubborn = dg.define_asset_job(
        "stubborn",
        selection=dg.AssetSelection.assets(PUBLISH),
        op_retry_policy=dg.RetryPolicy(max_retries=3, delay=0),
    )
    definitions = dg.Definitions(
        assets=assets(OWN),
        jobs=[stubborn],
        resources={"pipeline": PipelineResource(pipeline_file=str(pipeline_file(lab)))},
    )
    sandbox.script(fault)
    with instance_of(lab) as instance:
        result = definitions.resolve_job_def("stubborn").execute_in_process(
            instance=instance, partition_key="night", raise_on_error=False
        )

    assert not result.success
    assert uploads(sandbox) == 1
    assert not [event for event in result.all_events if event.is_step_up_for_retry]


def test_a_person_settles_what_nobody_can_know(lab: RestLab, sandbox: Sandbox) -> None:
    """The state of this machine is lost, and the server lets no one read: only a person can approve
    the plan again, and know whether the rows there are these.
    """
    assert launched(lab).succeeded
    shutil.rmtree(lab.folder / "state")
    sandbox.script("501@download:*")

    held = launched(lab)
    assert (held.exit, uploads(sandbox)) == (Exit.APPROVAL, 0)
    digest = lab.call("plan", "night.yaml", "--json").report["digest"]
    assert lab.call("approve", "night.yaml", digest).code == 0
    unknown = launched(lab)
    ran = lab.run("publish", "night.yaml")

    assert (unknown.exit, ran.code) == (Exit.UNKNOWN, Exit.UNKNOWN)
    assert unknown.message.endswith(settled_in_the_ui(OWN))
    assert told(unknown.message.removesuffix(settled_in_the_ui(OWN))) in told(ran.err)
    arrived = run(lab, "publish", settled("arrived"))
    assert arrived.success
    [shown] = arrived.asset_materializations_for_node("publish_dataset")
    rows = [line.data for line in shown.metadata["rows"].records]  # type: ignore[attr-defined]
    assert rows == [
        {"table": "neuron", "sent": 20, "found": "not reported"},
        {"table": "axon", "sent": 30, "found": "not reported"},
    ]
    assert shown.metadata["read back"].value == f"no row can be read there; it counts {ROWS} units"
    assert (uploads(sandbox), there(sandbox).number_of_units) == (0, ROWS)
    assert (
        lab.run("status", "night.yaml", "--json").report["receipt"]["tables"]["axon"]["found"]
        is None
    )


def test_a_scheduled_run_waits_where_the_server_limits_it(
    lab: RestLab, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lab.small("night", ID)
    path.write_text(path.read_text() + 'schedule: "0 2 * * *"\n')
    long_ago = time.time() - 3600
    for file in [path, *path.parent.glob("night-files/*")]:
        os.utime(file, (long_ago, long_ago))
    register(load_settings(pipeline_file(lab)), path)
    requests: list[dg.RunRequest] = []
    cursor = None
    with instance_of(lab) as instance:
        for day in (0, 1):
            monkeypatch.setattr(
                "syndb_pipeline.orchestration.unattended.sensors.time.time",
                lambda d=day: long_ago + d * 86_400,
            )
            given = {"pipeline": PipelineResource(pipeline_file=str(pipeline_file(lab)))}
            with dg.build_sensor_context(instance, cursor, resources=given) as tick:
                result = sensors(OWN)[0](tick)
            assert isinstance(result, dg.SensorResult)
            cursor = result.cursor
            requests += result.run_requests or []
            for added in result.dynamic_partitions_requests or []:
                instance.add_dynamic_partitions("dataset", list(added.partition_keys))
    [request] = requests
    sandbox.script(
        "429@profile,retry-after=1",
        "429@upload,times=2,retry-after=1",
        "429@download,retry-after=date:1",
    )

    result = run(lab, "prepare_and_publish", dict(request.run_config), tags=dict(request.tags))

    assert result.success
    assert uploads(sandbox) == 3
    waits = [line for line in logged(lab, result.run_id) if "429" in line]
    assert len(waits) == 4 and all(
        re.search(r"; waiting \d(\.\d)? s, attempt \d of 8$", line) for line in waits
    )
    assert there(sandbox).number_of_units == ROWS


def test_deleting_by_id_asks_the_only_destination(lab: RestLab, sandbox: Sandbox) -> None:
    assert launched(lab, label="To be deleted").succeeded

    def delete(**config: str) -> dg.ExecuteInProcessResult:
        return run(
            lab, "delete", {"ops": {"delete_dataset": {"config": {"dataset": ID, **config}}}}
        )

    refused = delete(label="to be deleted")
    assert "nothing was deleted" in failure_of(lab, refused.run_id)
    sandbox.script("503@delete")
    done = delete(label="To be deleted")

    assert done.success
    assert any("503" in line and "attempt 2" in line for line in logged(lab, done.run_id))
    assert "There is no dataset" in failure_of(lab, delete(label="To be deleted").run_id)
