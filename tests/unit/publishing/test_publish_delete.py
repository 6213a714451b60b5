"""Deleting what was published: shown first, the label typed, asked again, a tombstone kept.

Belongs here: deletion and what comes after it. Does not: crashes
(`integration/test_publish_crash.py`).
"""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta, tzinfo
from uuid import UUID

import pytest

from syndb_pipeline.base.errors import ApprovalError, DestinationRefused, OutcomeUnknown
from syndb_pipeline.destinations.base import Deletion
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.publishing.status import datasets, delete, preview_delete, status
from tests.publish_lab import DATASET, Lab, lab, prepared


def test_the_preview_says_what_goes(lab: Lab) -> None:
    lab.send()
    text = preview_delete(DATASET, lab.node)
    for said in ("Guide example", "3 rows", "8 rows", "2 meshes", "1 uploads", "type its label"):
        assert said in text


__all__ = ["lab", "prepared"]  # fixtures


@pytest.mark.parametrize("typed", ["", "guide example", "Guide example ", str(DATASET)])
def test_deleting_wants_the_label_exactly(lab: Lab, typed: str) -> None:
    lab.send()
    with pytest.raises(ApprovalError, match="nothing was deleted"):
        delete(lab.context.settings, DATASET, lab.node, typed)
    assert lab.info().number_of_units == 11


def test_a_deleted_dataset_leaves_a_tombstone_and_comes_back_only_by_a_new_approval(
    lab: Lab,
) -> None:
    first = lab.send()
    tombstone = delete(lab.context.settings, DATASET, lab.node, "Guide example")
    assert lab.node.info(DATASET) is None and datasets(lab.node) == []
    assert (
        tombstone.receipt == first.plan
        and tombstone.deletion.rows == {"axon": 3, "vesicle": 8}
        and tombstone.deletion.files == 2
    )
    assert lab.records.tombstones() == [tombstone]
    assert lab.node.deletions(DATASET) == (tombstone.deletion,)
    with pytest.raises(DestinationRefused, match="There is no dataset"):
        delete(lab.context.settings, DATASET, lab.node, "Guide example")
    with pytest.raises(
        ApprovalError, match=r"was deleted at local .* earlier approvals do not count"
    ):
        lab.publish()
    lab.edit("guide.yaml", "approval: manual", "approval: standing")
    with pytest.raises(ApprovalError, match="was deleted"):
        lab.publish()
    again = lab.publish(approve=first.plan)
    assert again.published > first.published and lab.info().number_of_units == 11
    assert lab.node.deletions(DATASET) == (tombstone.deletion,), "the id's history stays to be seen"


def test_a_dataset_deleted_behind_our_back_needs_a_new_approval_too(lab: Lab) -> None:
    first = lab.send()
    shutil.rmtree(lab.node.folder)
    with pytest.raises(ApprovalError, match="was deleted at local"):
        lab.publish()
    assert status(lab.context).published is None
    lab.approved()
    assert lab.publish().published > first.published


class Ahead(datetime):
    """A clock that is ten years ahead."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Ahead:  # type: ignore[override]
        return cls.fromisoformat((datetime.now(tz) + timedelta(days=3653)).isoformat())


@pytest.mark.parametrize("numbered", [True, False], ids=["now", "records of before"])
@pytest.mark.parametrize("ahead", ["destinations.base", "publishing.plan"])
def test_an_approval_counts_by_its_order_whatever_the_clock_was(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, ahead: str, numbered: bool
) -> None:
    """The clock is ahead when the dataset is deleted, or when it is approved before that."""
    with monkeypatch.context() as patch:
        patch.setattr(f"syndb_pipeline.{ahead}.datetime", Ahead)
        lab.send()
        delete(lab.context.settings, DATASET, lab.node, "Guide example")
    if not numbered:
        for path in lab.records.folder.rglob("*.json"):
            record = json.loads(path.read_text())
            assert record.pop("order") > 0
            path.write_text(json.dumps(record))
    if ahead == "publishing.plan" and not numbered:
        assert lab.publish(), "the times alone are known: the approval looks like the later one"
        return
    with pytest.raises(ApprovalError, match="was deleted"):
        lab.publish()
    assert status(lab.context).approved is False
    lab.approved()
    if ahead == "destinations.base":
        # The node says by time alone what we know by number.
        assert lab.node.deletions(DATASET)[0].at > datetime.now().astimezone()
    assert status(lab.context).approved is True
    assert lab.publish().order == (5 if numbered else 2)


class Forgetful(EmbeddedNode):
    """A node that deletes, or does not, without answering, and keeps no memory of it."""

    deletes = True

    def delete(self, dataset: UUID) -> Deletion:
        if self.deletes:
            super().delete(dataset)
        raise OutcomeUnknown("No answer.")

    def deletions(self, dataset: UUID) -> tuple[Deletion, ...]:
        return ()


def test_an_unanswered_deletion_is_settled_by_asking(lab: Lab) -> None:
    lab.send()
    settings = lab.context.settings
    with pytest.raises(OutcomeUnknown, match="still at local"):
        delete(settings, DATASET, lab.at(Forgetful, deletes=False), "Guide example")
    assert lab.records.tombstones() == [] and lab.info().number_of_units == 11
    tombstone = delete(settings, DATASET, lab.at(Forgetful), "Guide example")
    assert tombstone.deletion.rows == {"axon": 3, "vesicle": 8}
    assert lab.records.tombstones() == [tombstone] and lab.node.info(DATASET) is None
