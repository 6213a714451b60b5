"""Plan, approval, publishing and deleting, on a small dataset that went through the real stages
into a real node.

Belongs here: what is refused and why, what is kept, what the second time does. Does not: crashes
(`integration/test_publish_crash.py`).
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import duckdb
import pytest

from syndb_pipeline.base import engine
from syndb_pipeline.base.errors import (
    ApprovalError,
    ConfigError,
    DataRejected,
    DestinationRefused,
    Exit,
    PipelineError,
)
from syndb_pipeline.contract.metadata import TERMS
from syndb_pipeline.destinations.base import Metadata
from syndb_pipeline.publishing.plan import plan
from syndb_pipeline.publishing.plan_text import describe
from syndb_pipeline.publishing.status import datasets, delete, preview_delete, status
from syndb_pipeline.stages import runner
from tests.publish_lab import DATASET, Lab, lab, prepared

ROWS = {"axon": 3, "vesicle": 8}


def test_the_digest_is_the_same_in_another_folder_at_another_time(prepared: Lab, lab: Lab) -> None:
    first, copied = plan(prepared.context), plan(lab.context)
    assert first.digest == copied.digest and len(first.digest) == 64
    shutil.rmtree(lab.root / "state")
    assert plan(lab.prepare().context).digest == first.digest


__all__ = ["lab", "prepared"]  # fixtures


def test_the_plan_tells_a_person_what_would_be_sent(lab: Lab) -> None:
    current = plan(lab.context)
    text = describe(current)
    for said in (
        "Guide example",
        str(DATASET),
        "local (embedded)",
        "ODC_BY (ODC-By-1.0)",
        "accepted by Ada on 2026-11-23",
        current.digest,
    ):
        assert said in text
    lines = [line for line in text.splitlines() if line.startswith("  ")]
    statements = [line for line in lines if line.startswith(" " * 13)]
    assert [line.split(":")[0].strip() for line in statements[:3]] == [*TERMS]
    assert [line.split()[:3] for line in lines if line not in statements] == [
        ["axon", "3", "rows"],
        ["vesicle", "8", "rows"],
        ["in", "all", "11"],
        ["vesicle.parent_id", "->", "axon"],
    ]
    assert current.model_dump()["relations"] == {
        "axon": {},
        "vesicle": {"parent_id": {"target": "axon", "how": "configured", "resolved": 8}},
    }
    assert "2 meshes, 0 skeletons, 1.2 kB" in text
    assert json.loads(current.model_dump_json())["digest"] == current.digest


def test_nothing_is_sent_without_approval(lab: Lab) -> None:
    with pytest.raises(ApprovalError, match="No one has approved") as refused:
        lab.publish()
    assert refused.value.exit == Exit.APPROVAL
    assert f"--approve {lab.digest[:12]}" in refused.value.next_step
    assert lab.node.info(DATASET) is None


def test_publishing_what_was_approved(lab: Lab) -> None:
    current = plan(lab.context)
    receipt = lab.publish(approve=current.digest[:12].upper(), by="Grace")
    info = lab.info()
    assert (info.rows, info.number_of_units, info.owner) == (ROWS, 11, "ada")
    found = (receipt.plan, receipt.owner, receipt.license, receipt.files)
    assert found == (current.digest, "ada", "ODC_BY", 2)
    checks = receipt.tables.items()
    assert {name: (each.sent, each.found, each.missing) for name, each in checks} == {
        name: (rows, rows, 0) for name, rows in ROWS.items()
    }
    assert receipt.upload == info.uploads[-1]
    assert receipt.upload.tar_sha256 == current.payload.sha256
    assert (receipt.approval.by, receipt.approval.how) == ("Grace", "option")
    assert set(receipt.chain) == {*runner.STAGES} - {"package"}
    assert json.loads(lab.records.receipt_path.read_text())["plan"] == current.digest
    meshes = {file.unit: file.sha256 for file in lab.node.stored(DATASET)}
    assert meshes == {file.cid: file.sha256 for file in current.files} and len(meshes) == 2
    parents = "SELECT count(DISTINCT parent_id) FROM '{}' WHERE parent_enum = 4"
    path = lab.node.table_files(DATASET)["vesicle"]
    assert duckdb.sql(parents.format(path)).fetchall() == [(3,)]


@pytest.mark.parametrize("given", ["", "0" * 64, "abc"])
def test_a_digest_of_another_plan_is_no_approval_even_beside_a_kept_one(
    lab: Lab, given: str
) -> None:
    lab.approved()
    with pytest.raises(ApprovalError, match="not the digest of the plan"):
        lab.publish(approve=given)
    with pytest.raises(ApprovalError, match="at least 12"):
        lab.publish(approve=lab.digest[:11])
    assert lab.node.info(DATASET) is None


def test_publishing_the_same_plan_again_sends_nothing(lab: Lab) -> None:
    first = lab.send()
    said: list[str] = []
    assert lab.publish(say=said.append) == first
    assert said and "nothing to send" in said[0]
    info = lab.info()
    assert info.number_of_units == 11 and info.uploads is not None and len(info.uploads) == 1
    assert len(lab.records.approvals()) == 1


@pytest.mark.parametrize("approval", ["manual", "standing"])
def test_the_same_rows_in_other_bytes_are_not_sent_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, approval: str
) -> None:
    lab.edit("guide.yaml", "approval: manual", f"approval: {approval}").prepare()
    first = lab.approved().publish()
    before, sent = lab.info(), plan(lab.context)

    # A library's patch: the stages run again, and the files have other bytes.
    patched = runner._installed() | {"duckdb": "2.99.0"}
    monkeypatch.setattr(runner, "_installed", lambda: patched)
    monkeypatch.setattr(engine, "ROW_GROUP_ROWS", 2048)
    monkeypatch.setattr(engine, "DICTIONARY_VALUES", 1)
    current = plan(lab.prepare().context)
    assert current.digest != sent.digest
    assert current.tables["vesicle"].sha256 != sent.tables["vesicle"].sha256

    again = lab.publish()

    assert lab.info() == before
    assert (again.plan, again.published) == (current.digest, first.published)
    assert lab.records.receipt() == again
    assert lab.publish() == again


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("vesicle.csv", "3,1,20.5", "3,1,20.6"),
        ("vesicle.csv", "3,1,20.5", "3,2,20.5"),
        ("vesicle.csv", "3,1,20.5", "3,1,"),
        ("vesicle.csv", "3,1,20.5\n", ""),
        ("axon.csv", "two.glb", "one.glb"),
    ],
)
def test_other_rows_or_files_are_sent(lab: Lab, name: str, old: str, new: str) -> None:
    first = lab.approved().publish()
    second = lab.edit(name, old, new).prepare().approved().publish()
    assert second.published > first.published


def test_the_plan_and_receipt_say_what_changed_since_the_last_publication(lab: Lab) -> None:
    assert plan(lab.context).since is None
    lab.approved().publish()
    lab.edit("vesicle.csv", "3,1,20.5\n4,1,20.5\n", "3,1,20.6\nnew,1,20.5\nnewer,1,20.5\n")
    lab.edit("vesicle.csv", "0,1,20.5\n", "")
    current = plan(lab.prepare().context)

    assert current.since is not None
    assert {name: str(each) for name, each in current.since.tables.items()} == {
        "axon": "",
        "vesicle": "2 added, 1 changed, 2 withdrawn",
    }
    shown = describe(current)
    assert "\n  vesicle  2 added, 1 changed, 2 withdrawn\n  Withdrawn rows stay at local." in shown
    said: list[str] = []
    receipt = lab.approved().publish(say=said.append)
    assert receipt.since == current.since
    assert [line for line in said if line.startswith("vesicle: 2 rows of an earlier upload stay")]

    unchanged = plan(lab.context).since
    assert unchanged is not None and unchanged.withdrawn == 0
    assert unchanged.plan == receipt.plan
    assert "UTC\n  no row changed\nFiles" in describe(plan(lab.context))
    assert len(list((lab.records.folder / "tables").iterdir())) == 2


def test_a_column_or_a_table_more_or_less_is_a_change(lab: Lab) -> None:
    lab.approved().publish()
    lab.edit("axon.csv", "cid,voxel_volume,mesh_path", "cid,mesh_volume,mesh_path").prepare()
    since = plan(lab.context).since
    assert since is not None and str(since.tables["axon"]) == "3 changed"
    lab.edit("guide.yaml", "  vesicle: {file: vesicle.csv, parent: axon}\n", "").prepare()
    since = plan(lab.context).since
    assert since is not None and str(since.tables["vesicle"]) == "8 withdrawn"


def test_after_a_deletion_there_is_nothing_to_compare_with(lab: Lab) -> None:
    lab.approved().publish()
    delete(lab.context.settings, DATASET, lab.node, "Guide example")
    assert plan(lab.context).since is None


def test_standing_approval_is_given_by_the_person_of_the_terms(lab: Lab) -> None:
    lab.edit("guide.yaml", "approval: manual", "approval: standing")
    receipt = lab.publish()
    assert (receipt.approval.by, receipt.approval.how) == ("Ada", "standing")


@pytest.mark.parametrize("key", ["accurate", "redistributable", "license_agreed"])
def test_every_term_must_be_accepted(lab: Lab, key: str) -> None:
    lab.edit("guide.yaml", f"{key}: true", f"{key}: false").prepare()
    for act in (lab.send, lab.approved):
        with pytest.raises(ApprovalError, match=rf"terms\.{key}") as refused:
            act()
        assert f"set terms.{key} to true" in refused.value.next_step
    assert f"except {key}" in describe(plan(lab.context))


def test_terms_must_be_there_and_not_of_the_future(lab: Lab) -> None:
    lab.edit("guide.yaml", "2026-11-23", "2926-11-23").prepare()
    with pytest.raises(ApprovalError, match="still to come"):
        lab.send()
    config = lab.root / "guide.yaml"
    lines = config.read_text().splitlines()
    config.write_text("\n".join(line for line in lines if not line.startswith("terms:")))
    lab.prepare()
    with pytest.raises(ApprovalError, match="No one has accepted SynDB's terms") as refused:
        lab.send()
    keys = "accepted_by, accepted_on, accurate, redistributable, license_agreed"
    assert keys in refused.value.next_step
    assert "not accepted yet" in describe(plan(lab.context))


def test_rejected_data_have_no_plan(lab: Lab) -> None:
    lab.edit("vesicle.csv", "7,4,20.5", "7,5,20.5").prepare()
    for act in (lambda: plan(lab.context), lambda: lab.publish()):
        with pytest.raises(DataRejected, match="was rejected") as refused:
            act()
        assert refused.value.exit == Exit.REJECTED
    assert status(lab.context).verdict == "rejected"


def test_a_dataset_that_was_not_prepared_has_no_plan(lab: Lab) -> None:
    shutil.rmtree(lab.root / "state")
    with pytest.raises(ConfigError, match="ingest has not run"):
        plan(lab.context)
    lab.prepare()
    shutil.rmtree(lab.context.store.stage("package"))
    with pytest.raises(ConfigError, match="package has not run"):
        plan(lab.context)


def _flip(path: Path, at: int = -9) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


CHANGES = {
    "a lab file": ("vesicle.csv", "lab's file .*vesicle.csv changed"),
    "a mesh": ("one.glb", "changed"),
    "a table ingest read": ("ingest/tables/axon.parquet", "ingest/tables/axon.parquet"),
    "the ids": ("assign_ids/ids/axon.parquet", "assign_ids/ids/axon.parquet"),
    "the relations": (
        "join_relations/relations/vesicle.parquet",
        "join_relations/relations/vesicle.parquet",
    ),
    "a table of the package": ("package/tables/axon.parquet", "package/tables/axon.parquet"),
    "the manifest": ("package/manifest.json", "package/manifest.json"),
}


@pytest.mark.parametrize(("name", "reason"), CHANGES.values(), ids=CHANGES)
def test_one_flipped_byte_since_approval_is_refused_and_named(
    lab: Lab, name: str, reason: str
) -> None:
    lab.approved()
    path = lab.root / name if (lab.root / name).is_file() else lab.context.store.folder / name
    _flip(path, -3)
    for options in ({}, {"approve": lab.records.approvals()[0].digest}):
        with pytest.raises(ApprovalError, match=reason) as refused:
            lab.publish(**options)
        assert refused.value.exit == Exit.APPROVAL
    assert lab.node.info(DATASET) is None


def test_a_changed_record_is_refused(lab: Lab) -> None:
    lab.approved()
    for stage in list(runner.STAGES)[:-1]:
        path = lab.context.store.stage(stage) / "record.json"
        whole = path.read_text()
        record = json.loads(whole)
        next(iter(record["tables"].values()))["read"] += 1
        path.write_text(json.dumps(record))
        with pytest.raises(ApprovalError, match=f"what {stage} found changed"):
            lab.publish()
        record["details"]["note"] = "added"  # no such detail
        for unlike in (json.dumps(record), "{"):
            path.write_text(unlike)
            with pytest.raises(ApprovalError, match=f"{stage}/record.json"):
                lab.publish()
        path.write_text(whole)
    assert lab.publish()


def test_a_changed_config_is_refused(lab: Lab) -> None:
    lab.approved().edit("guide.yaml", "label: Guide example", "label: Renamed")
    with pytest.raises(ApprovalError, match=r"the config .* changed"):
        lab.publish()


def test_approval_of_an_earlier_plan_does_not_count_and_it_says_what_changed(lab: Lab) -> None:
    lab.approved().edit("vesicle.csv", "7,4,20.5", "7,4,20.7").prepare()
    old = lab.records.approvals()[0].digest
    with pytest.raises(
        ApprovalError,
        match=r"approved by Ada .* is another: these changed: lab files, table vesicle",
    ):
        lab.publish()
    with pytest.raises(ApprovalError, match="since that approval, these changed"):
        lab.publish(approve=old)
    lab.approved()
    assert lab.publish().plan != old
    assert [approval.digest == old for approval in lab.records.approvals()] == [
        True,
        False,
    ], "approvals are kept as history"


def test_the_destination_is_part_of_what_is_approved(lab: Lab) -> None:
    lab.approved()
    lab.edit(
        "pipeline.yaml", "  local:", "  other: {kind: embedded, path: other, owner: ada}\n  local:"
    )
    lab.edit("guide.yaml", "destination: local", "destination: other")
    with pytest.raises(ApprovalError, match="these changed: destination"):
        lab.publish()
    lab.edit("guide.yaml", "destination: other", "destination: locl")
    with pytest.raises(ConfigError, match="did you mean local"):
        lab.publish()


def test_corrected_data_upsert_into_the_same_dataset(lab: Lab) -> None:
    lab.send()
    lab.edit("vesicle.csv", "7,4,20.5\n", "8,4,20.5\n").prepare()
    receipt = lab.send()
    check = receipt.tables["vesicle"]
    assert (check.sent, check.found, check.missing) == (
        8,
        9,
        0,
    ), "the row of the first upload stays, as in SynDB"
    assert receipt.number_of_units == 22


def test_going_back_to_an_earlier_plan_restores_its_rows(lab: Lab) -> None:
    first = lab.send()
    lab.edit("vesicle.csv", "7,4,20.5", "7,4,30.5").prepare().send()
    lab.edit("vesicle.csv", "7,4,30.5", "7,4,20.5").prepare()
    again = lab.publish()
    assert again.plan == first.plan and again.published > first.published
    assert duckdb.sql(
        f"SELECT max(voxel_radius) FROM '{lab.node.table_files(DATASET)['vesicle']}'"
    ).fetchall() == [(20.5,)]
    assert lab.publish() == again


def test_other_metadata_at_the_destination_are_told_not_overwritten(lab: Lab) -> None:
    lab.send()
    lab.edit("guide.yaml", "microscopy: ssTEM", "microscopy: FIB-SEM").prepare()
    with pytest.raises(
        DestinationRefused, match="microscopy: here 'FIB-SEM', there 'ssTEM'"
    ) as refused:
        lab.send()
    assert refused.value.exit == Exit.REFUSED
    info = lab.info()
    assert info.metadata.microscopy == "ssTEM" and info.number_of_units == 11


def test_another_owners_dataset_is_neither_changed_nor_deleted(lab: Lab) -> None:
    lab.send()
    lab.edit("pipeline.yaml", "owner: ada", "owner: mallory")
    lab.edit("vesicle.csv", "7,4,20.5", "7,4,30.5").prepare()
    with pytest.raises(DestinationRefused, match="belongs to ada; you are mallory"):
        lab.send()
    for act in (
        lambda: preview_delete(DATASET, lab.node),
        lambda: delete(lab.context.settings, DATASET, lab.node, "Guide example"),
    ):
        with pytest.raises(DestinationRefused, match="belongs to ada"):
            act()
    assert lab.info().number_of_units == 11
    assert datasets(lab.node) == []


def test_meshes_that_went_missing_there_are_sent_again(lab: Lab) -> None:
    first = lab.send()
    next((lab.node.folder / "datasets").rglob("*.glb")).unlink()
    again = lab.publish()
    assert again.files == 2 and again.upload == first.upload and lab.node.files(DATASET).count == 2


def test_status_says_where_the_dataset_stands(lab: Lab) -> None:
    fresh = status(lab.context)
    assert [link.state for link in fresh.stages] == ["current"] * 6
    assert (fresh.verdict, fresh.digest, fresh.approved, fresh.receipt) == (
        "accepted",
        lab.digest,
        False,
        None,
    )
    assert status(lab.approved().context).approved
    receipt = lab.publish()
    done = status(lab.context)
    assert done.receipt == receipt and done.published == receipt.published
    assert json.loads(done.model_dump_json())["receipt"]["plan"] == receipt.plan
    lab.edit("vesicle.csv", "7,4,20.5", "7,4,30.5")
    changed = status(lab.context)
    assert [link.state for link in changed.stages] == ["stale"] * 6
    assert changed.stages[0].changes and changed.stages[1].behind == "ingest"
    assert (
        changed.digest is None
        and changed.obstacle is not None
        and "vesicle.csv" in changed.obstacle
    )
    shutil.rmtree(lab.context.store.stage("package"))
    assert status(lab.context).stages[-1].state == "missing"


def test_datasets_lists_what_is_complete_and_what_is_not(lab: Lab) -> None:
    lab.send()
    other = Metadata.model_validate(
        plan(lab.context).metadata.model_dump() | {"id": UUID(int=7), "label": "Another"}
    )
    lab.node.register(other)
    listed = datasets(lab.node)
    assert [(item.info.metadata.label, item.complete) for item in listed] == [
        ("Another", False),
        ("Guide example", True),
    ]


def test_the_journal_survives_a_line_cut_off_by_a_crash(lab: Lab) -> None:
    lab.send()
    journal = lab.records.folder / "journal.jsonl"
    whole = lab.records.journal()
    assert [(line.step, line.state) for line in whole] == [
        (step, state)
        for step in ("register", "upload", "files", "read-back")
        for state in ("start", "done")
    ] + [("receipt", "done")]
    with journal.open("ab") as file:
        file.write(b'{"at": "2026-11-2')
    assert lab.records.journal() == whole
    lab.records.note("p", "local", "upload", "start")
    assert len(lab.records.journal()) == len(whole) + 1
    assert lab.records.journal()[-1].at <= datetime.now(UTC)


@pytest.mark.parametrize("name", ["receipt.json", "journal.jsonl", "approvals/damaged.json"])
def test_a_damaged_record_of_publishing_is_named_and_never_guessed(lab: Lab, name: str) -> None:
    lab.approved().publish()
    lab.edit("axon.csv", "4,3e8", "4,4e8").prepare().approved()
    damaged = lab.records.folder / name
    whole = damaged.read_bytes() if damaged.exists() else b""
    damaged.write_bytes(b"\xff{no record}\n")

    with pytest.raises(
        PipelineError, match=f"{name}: not written by this program, or damaged"
    ) as caught:
        lab.publish()
    assert caught.value.next_step
    assert len(lab.info().uploads or ()) == 1

    damaged.write_bytes(whole) if whole else damaged.unlink()
    lab.publish()
    assert len(lab.info().uploads or ()) == 2


def test_a_lost_receipt_is_written_again_and_nothing_sent(lab: Lab) -> None:
    before = lab.approved().publish()
    shutil.rmtree(lab.records.folder / "receipts")
    lab.records.receipt_path.unlink()

    after = lab.publish()

    assert (after.plan, after.tables) == (before.plan, before.tables)
    assert len(lab.info().uploads or ()) == 1


def test_rows_of_a_table_that_the_plan_no_longer_has_are_told(lab: Lab) -> None:
    lab.approved().publish()
    said: list[str] = []
    config = lab.root / "guide.yaml"
    config.write_text(
        "".join(
            line for line in config.read_text().splitlines(keepends=True) if "vesicle" not in line
        )
    )
    lab.prepare().approved().publish(say=said.append)

    assert [line for line in said if "of an earlier upload stay at local" in line]
    assert "vesicle" in lab.info().rows


def test_a_damaged_table_at_the_node_is_refused_by_name(lab: Lab) -> None:
    lab.approved().publish()
    held = lab.node.table_files(DATASET)["axon"]
    held.write_bytes(b"xx")
    lab.edit("axon.csv", "4,3e8", "4,4e8").prepare().approved()
    with pytest.raises(DestinationRefused, match="the rows that are there cannot be read"):
        lab.publish()
    assert len(lab.info().uploads or ()) == 1
