"""What standing approval holds, how that is answered, and what it sends all the same.

Belongs here: the comparison with the last publication, holds, approval and rejection of them. Does
not: what changed row by row (`test_publish.py`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from syndb_pipeline.base.errors import ApprovalError, Exit, PipelineError, Unreachable
from syndb_pipeline.destinations.base import Package, TableCheck
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.publishing.holds import reject
from syndb_pipeline.publishing.plan import approve, plan
from syndb_pipeline.publishing.plan_text import describe
from syndb_pipeline.publishing.records import Compared
from syndb_pipeline.publishing.status import delete
from tests.publish_lab import DATASET, Lab, prepared

__all__ = ["prepared"]  # a fixture


@pytest.fixture(scope="module")
def published(prepared: Lab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A dataset of a hundred vesicles, published once under standing approval."""
    root = tmp_path_factory.mktemp("published") / "lab"
    shutil.copytree(prepared.root, root, ignore=shutil.ignore_patterns("state", "node"))
    lab = write(Lab(root), *some(100)).edit(CONFIG, "manual", "standing").prepare()
    assert lab.publish().approval.how == "standing"
    return lab


@pytest.fixture
def lab(published: Lab, tmp_path: Path) -> Lab:
    return published.copy(tmp_path / "lab")


def write(lab: Lab, *rows: str) -> Lab:
    """Other rows for the table of vesicles."""
    (lab.root / "vesicle.csv").write_text("\n".join(["cid,parent_id,voxel_radius", *rows, ""]))
    return lab


def some(number: int, key: str = "", at: float = 20.5) -> list[str]:
    """The first rows as they were published, or with other keys or radii."""
    return [f"{key}{n},{1 + n % 2},{at + n % 10}" for n in range(number)]


def touched(lab: Lab) -> Lab:
    """One cell that is not as it was published, which no limit is about."""
    return lab.edit("vesicle.csv", "\n0,1,20.5", "\n0,1,20.6")


def limited(lab: Lab, limits: str) -> Lab:
    return lab.edit(CONFIG, "approval: standing", f"approval: standing, limits: {{{limits}}}")


def held(lab: Lab) -> ApprovalError:
    with pytest.raises(ApprovalError) as refused:
        lab.publish()
    assert refused.value.exit == Exit.APPROVAL
    return refused.value


CONFIG, LABEL, RADIUS = "guide.yaml", "label: Guide", "vesicle.voxel_radius"
VESICLE = "  vesicle: {file: vesicle.csv, parent: axon}\n"
OTHER = "  other: {kind: embedded, path: other, owner: ada}\n  local:"
HELD: dict[str, tuple[Callable[[Lab], Lab], list[tuple[str, str]], str]] = {
    # what is changed -> how, each kind of reason and of what, the limits that switch them off
    "consent": (
        lambda lab: (
            touched(lab)
            .edit(CONFIG, "11-23", "11-24")
            .edit(CONFIG, LABEL, f"license: CC0\n  groups: [others]\n  {LABEL}")
            .edit(CONFIG, "ssTEM", "SEM")
        ),
        [
            ("terms", "terms.accepted_on"),
            ("licence", "dataset.license"),
            ("metadata", "dataset.microscopy"),
            ("access", "dataset.groups"),
        ],
        "",
    ),
    "destination": (
        lambda lab: lab.edit("pipeline.yaml", "  local:", OTHER).edit(
            CONFIG, "destination: local", "destination: other"
        ),
        [("destination", "destination")],
        "",
    ),
    "a table": (
        lambda lab: lab.edit(CONFIG, VESICLE, ""),
        [("table-gone", "vesicle")],
        "rows_fallen: null, rows_withdrawn: null",
    ),
    "counts": (
        lambda lab: write(lab, *some(70)).edit(
            "axon.csv", "4,3e8,\n", "4,3e8,\n5,1e8,\n6,2e8,one.glb\n7,2e8,\n8,3e8,two.glb\n"
        ),
        [("rows-grown", "axon"), ("rows-fallen", "vesicle")],
        "rows_grown: null, rows_fallen: null, rows_withdrawn: null",
    ),
    "keys": (
        lambda lab: write(lab, *some(75), *some(10, "new")).edit("axon.csv", "4,3e8", "5,3e8"),
        [("keys-replaced", "axon"), ("rows-withdrawn", "vesicle")],
        "keys_replaced: null, rows_withdrawn: null",
    ),
    "cells": (
        lambda lab: write(
            lab, *some(85, at=28.5), *(f"{n},1," for n in range(85, 100)), "Total,2,24.5"
        ),
        [
            ("empty-cells", RADIUS),
            ("values-moved", RADIUS),
            ("new-finding", "SYN-READ-023"),
        ],
        "empty_cells: null, values_moved: null, new_findings: null",
    ),
}


@pytest.mark.parametrize(("change", "reasons", "off"), HELD.values(), ids=HELD)
def test_a_plan_beyond_a_limit_is_held(
    lab: Lab, change: Callable[[Lab], Lab], reasons: list[tuple[str, str]], off: str
) -> None:
    change(lab).prepare()
    before = lab.info()
    said = str(held(lab))

    hold = lab.records.hold()
    assert hold is not None and hold.plan == lab.digest and hold.decision is None
    assert [(each.kind, each.of) for each in hold.compared.reasons] == reasons
    shown = describe(plan(lab.context))
    for line in hold.compared.lines():
        assert line in said and line in shown and len(line) <= 80
    assert f"approve {lab.root / CONFIG} {hold.plan[:12]}" in said
    assert lab.info() == before

    assert str(held(lab)) == said
    again = lab.records.hold()
    assert again is not None and (again.since, again.compared) == (hold.since, hold.compared)
    if off:
        assert not plan(limited(lab, off).context).compared.reasons
        receipt = lab.publish()
        assert (receipt.plan, receipt.approval.how) == (hold.plan, "standing")
        assert lab.records.hold() is None


def test_what_is_within_the_limits_is_sent_and_what_did_not_change_is_not(lab: Lab) -> None:
    first = lab.records.receipt()
    lab.edit("pipeline.yaml", "threads: 1", "threads: 2")
    assert lab.publish() == first
    write(lab, *some(95), *some(12, "new"), *some(3, "newer", at=30))
    lab.edit("axon.csv", "4,3e8", "4,9e8").prepare()  # the greatest of three
    assert not plan(lab.context).compared.reasons
    assert lab.publish().since.withdrawn == 5
    # A quarter of the rows that are published now.
    write(lab, *some(80)).prepare()
    assert "rows fell by 27.3% (limit 20%); was 110, now 80" in str(held(lab))
    # Nothing to send is never held.
    write(lab, *some(95), *some(12, "new"), *some(3, "newer", at=30)).prepare().publish()
    assert lab.records.hold() is None


def test_an_approved_plan_is_sent_and_later_ones_compare_with_it(lab: Lab) -> None:
    write(lab, *some(30)).edit(CONFIG, "11-23", "11-24").prepare()
    held(lab)
    current = plan(lab.context)
    approve(lab.context, current, current.digest[:12], "Bob", "option")
    hold = lab.records.hold()
    assert hold is not None and hold.decision is not None and hold.decision.by == "Bob"
    assert lab.publish().approval.by == "Bob"
    assert lab.records.hold() is None
    assert lab.publish().plan == current.digest
    assert lab.edit("vesicle.csv", "0,1,20.5", "0,1,20.6").prepare().publish().approval.how == (
        "standing"
    )
    # A standing approval of the first plan says nothing about going back to it.
    write(lab, *some(100)).edit(CONFIG, "11-24", "11-23").prepare()
    held(lab)


def test_an_approval_counts_for_the_plan_alone_and_its_terms_for_later_ones(lab: Lab) -> None:
    write(lab, *some(70)).edit(CONFIG, "11-23", "11-24").prepare()
    held(lab)
    lab.approved()
    write(lab, *some(69)).prepare()
    held(lab)
    (reason,) = plan(lab.context).compared.reasons
    assert (reason.kind, reason.was, reason.now) == (
        "rows-fallen",
        "100",
        "69 (31 withdrawn)",
    )
    lab.approved()
    reject(lab.context, None, "Bob", "option", "after all")
    write(lab, *some(70)).prepare()
    assert len(plan(lab.context).compared.reasons) == 1, "Ada's first approval has these terms too"
    for kept in (lab.records.folder / "approvals").glob("*.json"):
        if plan(lab.context).digest in kept.read_text():
            kept.unlink()
    assert [each.kind for each in plan(lab.context).compared.reasons] == ["terms", "rows-fallen"]


def test_a_rejected_plan_is_not_sent_until_its_content_changes(lab: Lab) -> None:
    with pytest.raises(ApprovalError, match="No plan is held"):
        reject(lab.context, None, "Bob", "option", "")
    write(lab, *some(70)).prepare()
    since = held(lab)
    with pytest.raises(ApprovalError, match="is not the digest of the plan"):
        reject(lab.context, "0" * 12, "Bob", "option", "")
    reject(lab.context, None, "Bob", "option", "the export was cut off")
    said = str(held(lab))
    assert "UTC: Bob rejected this plan on" in said and "the export was cut off." in said
    assert since.message.split("\n")[1:] == said.split("\n")[2:4]
    # Other bytes, the same content; and limits that would let it pass.
    limited(lab, "rows_fallen: null, rows_withdrawn: null")
    lab.edit("vesicle.csv", "0,1,20.5\n", "0,1,20.50\n").prepare()
    hold = lab.records.hold()
    assert "Bob rejected" in str(held(lab))
    again = lab.records.hold()
    assert hold and again and again.rejected
    assert again.plan != hold.plan and (again.since, again.compared) == (hold.since, hold.compared)

    assert write(lab, *some(71)).prepare().publish().approval.how == "standing"
    assert lab.records.hold() is None
    write(lab, *some(70)).prepare()
    assert "Bob rejected" in str(held(lab))
    lab.approved()
    assert lab.publish().approval.how == "prompt"


def test_a_rejection_outweighs_an_earlier_approval_and_works_without_a_limit(lab: Lab) -> None:
    lab.edit(CONFIG, "standing", "manual").edit("vesicle.csv", "0,1,20.5", "0,1,20.6").prepare()
    lab.approved()
    reject(lab.context, lab.digest, "Bob", "option", "")
    assert "Bob rejected this plan" in str(held(lab))
    assert lab.send().approval.how == "option"


def test_other_content_by_a_newer_version_is_held(lab: Lab) -> None:
    """The receipt as another version would have left it: other content of the same lab files."""
    old = json.loads(lab.records.receipt_path.read_text())
    old["content"]["vesicle"] = "other"
    lab.records.receipt_path.write_text(json.dumps(old))
    assert not plan(lab.context).compared.reasons, "by the same version it is a person's config"
    old["versions"]["duckdb"] = "1.0.0"
    lab.records.receipt_path.write_text(json.dumps(old))
    (reason,) = plan(lab.context).compared.reasons
    assert (reason.kind, reason.was) == ("new-version", "duckdb 1.0.0")
    assert not plan(limited(lab, "new_version: null").context).compared.reasons
    touched(lab).prepare()
    assert not plan(lab.context).compared.reasons, "the lab files are others"


def test_records_of_before_are_named_and_lost_ones_are_a_reason(lab: Lab) -> None:
    """A receipt of before the guardrails does not hold; a part of one of today that is gone does."""
    write(lab, *some(75), *some(25, "new")).prepare()
    (table,) = (lab.records.folder / "tables").glob("*/vesicle.parquet")
    for damage in (lambda: table.write_bytes(b"PAR1"), table.unlink):
        damage()
        (reason,) = plan(lab.context).compared.reasons
        assert (reason.kind, reason.of) == ("not-comparable", "keys and empty cells")

    content = lab.records.receipt_path.read_text()
    old = json.loads(content)
    for name in ("columns", "findings", "content", "since"):
        del old[name]
    lab.records.receipt_path.write_text(json.dumps(old))
    compared = plan(lab.context).compared
    assert not compared.reasons
    assert [each.split(" cannot be compared: ")[0] for each in compared.notes] == [
        "keys and empty cells",
        "values, findings and versions",
    ]
    assert "cannot be compared: the publication of" in describe(plan(lab.context))
    # What every receipt has is compared all the same.
    write(lab, *some(70)).edit(CONFIG, "11-23", "11-24").prepare()
    assert [each.kind for each in plan(lab.context).compared.reasons] == ["terms", "rows-fallen"]


def test_rows_there_that_this_machine_knows_nothing_of_are_a_reason(lab: Lab) -> None:
    shutil.rmtree(lab.records.folder)
    before = lab.info()
    assert lab.publish().approval.how == "standing" and lab.info() == before, "they are these"
    shutil.rmtree(lab.records.folder)
    touched(lab).prepare()
    assert "local: has units that this machine has no receipt of; was 103 units" in str(held(lab))
    assert lab.info() == before
    lab.approved().publish()


def test_a_hold_says_that_an_upload_was_not_answered(lab: Lab) -> None:
    details = {"number_of_units": 103, "rows": 103}
    lab.records.note("an earlier plan", "local", "upload", "unanswered", details)
    write(lab, *some(70)).prepare()
    assert "UTC arrived is still not known." in str(held(lab))


def test_after_a_deletion_there_is_nothing_to_hold_against(lab: Lab) -> None:
    delete(lab.context.settings, DATASET, lab.node, "Guide example")
    write(lab, *some(30)).prepare()
    assert plan(lab.context).compared == Compared()
    lab.approved().publish()


def test_a_publication_cut_off_goes_on_whatever_the_limits_say_then(lab: Lab) -> None:
    write(lab, *some(90)).prepare()

    class Deaf(EmbeddedNode):
        def compare(self, dataset: UUID, package: Package) -> tuple[TableCheck, ...]:
            raise Unreachable("No answer.")

    with pytest.raises(PipelineError):
        lab.publish(lab.at(Deaf))
    limited(lab, "rows_fallen: 0")
    assert lab.publish().approval.how == "standing"
