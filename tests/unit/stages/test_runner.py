"""runner: nothing is done twice, nothing that changed is kept, and a crash or a second run leaves
one whole state.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.stages.runner import (
    STAGES,
    expected_inputs,
    run_stage,
)
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import Record
from tests.lab import Lab, csv
from tests.meshes import small_mesh

ALL = ["ingest", "validate", "assign_ids", "join_relations", "check_integrity", "package"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("prepared")
    lab = Lab(
        folder,
        {
            "neuron": csv("cid,mesh_volume", "n1,5", "n2,6"),
            "axon": csv("cid,parent_id,mesh_path", "a1,n1,a1.glb", "a2,n2,"),
        },
    )
    (folder / "a1.glb").write_bytes(small_mesh())
    lab.run("package")
    return lab


@pytest.fixture
def lab(prepared: Lab, tmp_path: Path) -> Lab:
    """A lab whose stages have run."""
    return prepared.copied(tmp_path)


@pytest.fixture
def fresh(lab: Lab) -> Lab:
    """A lab of which no stage has run."""
    shutil.rmtree(lab.limits.state)
    return lab


def reran(before: dict[str, Record], after: dict[str, Record]) -> list[str]:
    return [
        name
        for name, record in after.items()
        if name not in before or record.run != before[name].run
    ]


def test_the_stages_are_one_chain_in_their_order() -> None:
    assert list(STAGES) == ALL
    assert [stage.after for stage in STAGES.values()] == [None, *ALL[:-1]]
    assert all(
        stage.name == name and stage.version and stage.description.endswith(".")
        for name, stage in STAGES.items()
    )


def test_nothing_is_done_when_nothing_changed(lab: Lab) -> None:
    first = lab.run("package")
    assert list(first) == ALL
    assert reran(first, lab.run("package")) == []


def test_a_run_ends_where_it_is_asked_to(fresh: Lab) -> None:
    assert list(fresh.run("assign_ids")) == ALL[:3]


CHANGES: dict[str, tuple[Callable[[Lab], object], list[str]]] = {
    "a byte of a file": (
        lambda lab: lab.write("neuron", csv("cid,mesh_volume", "n1,5", "n2,7")),
        ALL,
    ),
    "a file written again with the same bytes": (
        lambda lab: lab.write("neuron", csv("cid,mesh_volume", "n1,5", "n2,6")),
        [],
    ),
    "how a file is read": (lambda lab: lab.config["tables"]["neuron"].update(missing=["NA"]), ALL),
    "a unit": (lambda lab: lab.config["tables"]["neuron"].update(units={"mesh_volume": "um"}), ALL),
    "a rule's severity": (lambda lab: lab.config.update(rules={"SYN-VAL-001": "warning"}), ALL[1:]),
    "a rule of reading": (lambda lab: lab.config.update(rules={"SYN-READ-011": "warning"}), ALL),
    "a relation": (lambda lab: lab.config["tables"]["axon"].update(parent="neuron"), ALL[3:]),
    "the label": (
        lambda lab: lab.config.update(dataset=lab.config["dataset"] | {"label": "another"}),
        ["package"],
    ),
    "the terms": (
        lambda lab: lab.config.update(
            terms={
                "accepted_by": "A",
                "accepted_on": "2026-11-23",
                "accurate": True,
                "redistributable": True,
                "license_agreed": True,
            }
        ),
        ["package"],
    ),
    "a mesh": (lambda lab: (lab.folder / "a1.glb").write_bytes(small_mesh("another")), ALL[1:]),
    "the schedule": (lambda lab: lab.config.update(schedule="0 2 * * *"), []),
    "an output that went away": (
        lambda lab: (lab.context.store.stage("assign_ids") / "ids" / "axon.parquet").unlink(),
        ["assign_ids"],
    ),
    "an output that was changed": (
        lambda lab: (lab.context.store.stage("package") / "manifest.json").write_text("{}"),
        ["package"],
    ),
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_what_changed_is_done_again_and_nothing_else(lab: Lab, change: str) -> None:
    first = lab.run("package")
    do, stages = CHANGES[change]
    do(lab)
    assert reran(first, lab.run("package")) == stages


def test_a_stage_of_another_version_is_done_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lab.run("package")
    monkeypatch.setitem(
        STAGES, "join_relations", replace(STAGES["join_relations"], version="another")
    )
    assert reran(first, lab.run("package")) == ALL[3:]


def test_one_stage_can_be_done_again_alone_and_leaves_the_same(lab: Lab) -> None:
    first = lab.run("package")
    again = lab.run_one("join_relations", force=True)
    assert again.run != first["join_relations"].run
    assert again.digest == first["join_relations"].digest
    assert reran(first, lab.run("package")) == ["join_relations"], (
        "what follows is still made from the same"
    )


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("details", [{"tables": {"neuron": {"n": 1}}, "made_from": {}}, "missing"])
def test_a_record_of_other_details_is_made_again(lab: Lab, stage: str, details: object) -> None:
    before = lab.run("package")
    path = lab.context.store.record_path(stage)
    content = json.loads(path.read_text()) | {"details": details}
    if details == "missing":
        del content["details"]
    path.write_text(json.dumps(content))
    assert lab.context.store.record(stage) is None
    after = lab.run("package")
    assert reran(before, after) == [stage]
    assert {name: record.digest for name, record in after.items()} == {
        name: record.digest for name, record in before.items()
    }


def test_a_stage_whose_upstream_never_ran_says_so(fresh: Lab) -> None:
    with pytest.raises(PipelineError, match="assign_ids needs validate, which has not run") as told:
        fresh.run_one("assign_ids")
    assert told.value.next_step == "Run validate first."


def test_a_stage_whose_upstream_lost_what_it_stands_on_says_so(lab: Lab) -> None:
    lab.run()
    shutil.rmtree(lab.context.store.stage("ingest"))
    for stage in ("assign_ids", "join_relations", "check_integrity", "package"):
        with pytest.raises(PipelineError, match="ingest has left nothing to work on"):
            lab.run_one(stage, force=True)


def test_stages_of_different_runs_are_not_put_together(lab: Lab) -> None:
    lab.run()
    lab.write("neuron", csv("cid,mesh_volume", "n2,5", "n1,6"))
    lab.run_one("ingest")
    for stage in ("assign_ids", "join_relations", "check_integrity", "package"):
        with pytest.raises(
            PipelineError, match="validate was made from an earlier run of ingest"
        ) as told:
            lab.run_one(stage)
        assert told.value.next_step == "Run validate and the stages after it again."
    lab.run_one("validate")
    with pytest.raises(PipelineError, match="assign_ids was made from an earlier run of validate"):
        lab.run_one("join_relations")
    assert lab.check().verdict == "accepted"


@pytest.mark.parametrize("stage", ALL)
def test_a_crash_between_the_two_renames_is_healed_by_the_next_run(lab: Lab, stage: str) -> None:
    first = lab.run("package")
    folder = lab.context.store.stage(stage)
    folder.rename(
        folder.with_name(f".{stage}.{uuid4().hex}")
    )  # as `replace_folder` leaves it when it is killed there
    after = lab.run("package")
    assert reran(first, after) == [stage]
    assert {name: record.digest for name, record in after.items()} == {
        name: record.digest for name, record in first.items()
    }
    assert {path.name for path in folder.parent.iterdir()} == {
        *ALL,
        ".lock",
        ".digests.json",
        "attempts",
        "config.json",
    }, "what was put aside is gone"


def test_half_a_stage_left_by_a_crash_is_not_mixed_into_the_next(fresh: Lab) -> None:
    first = fresh.run("assign_ids")
    scratch = fresh.context.store.scratch / "join_relations" / "relations"
    scratch.mkdir(parents=True)
    (scratch / "neuron.parquet").write_bytes(b"half")
    after = fresh.run("package")
    assert sorted(after["join_relations"].outputs) == ["failures.parquet", "relations/axon.parquet"]
    assert reran(first, after) == ALL[3:]


def test_two_runs_at_a_time_are_one_too_many(lab: Lab) -> None:
    with (
        lab.context.store.lock(),
        pytest.raises(PipelineError, match=r"Another run of dataset .* is under way") as told,
    ):
        lab.run_one("ingest")
    assert "Wait for it to end" in told.value.next_step
    assert lab.run_one("ingest").stage == "ingest", "the lock is free again"


def test_a_stage_that_fails_leaves_what_was_there(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = lab.run("package")

    def fails(context: Context, folder: Path) -> None:
        (folder / "half.parquet").write_bytes(b"half")
        raise PipelineError("the disk is full")

    monkeypatch.setitem(STAGES, "assign_ids", replace(STAGES["assign_ids"], run=fails))  # type: ignore[arg-type]
    with pytest.raises(PipelineError, match="the disk is full"):
        lab.run_one("assign_ids", force=True)
    monkeypatch.undo()
    assert reran(before, lab.run("package")) == []


def test_a_record_tells_what_it_was_made_from(lab: Lab) -> None:
    records = lab.run("package")
    for name, record in records.items():
        stage = STAGES[name]
        assert record.inputs == expected_inputs(lab.context, stage)
        if stage.after:
            assert record.inputs[f"record:{stage.after}"] == records[stage.after].digest
        assert record.versions[name] == stage.version
        assert {"syndb-pipeline", "duckdb", "pandera", "syndb-constants"} <= set(record.versions)
        assert record.run is not None
        assert record.run.peak_memory_bytes > 1_000_000
        written = json.loads((lab.context.store.stage(name) / "record.json").read_text())
        assert type(record).model_validate(written).digest == record.digest
    assert "file:neuron.csv" in records["ingest"].inputs


def test_it_says_what_it_is_doing(fresh: Lab) -> None:
    said: list[str] = []
    context = replace(fresh.context, say=said.append)
    with context.store.lock():
        run_stage(context, "ingest")
        run_stage(context, "ingest")
    assert said[0] == "ingest: started"
    assert any(line.startswith("ingest: done in ") and line.endswith(" 0 errors") for line in said)
    assert said[-1] == "ingest: unchanged"
