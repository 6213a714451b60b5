"""Publishing when an answer is lost, rows are lost, or our own state is: what is there is found
out, never guessed.

Belongs here: destinations that tell little. Does not: real sockets (`integration/`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import duckdb
import pytest

from syndb_pipeline.base.errors import DestinationRefused, Exit, OutcomeUnknown, Unreachable
from syndb_pipeline.base.progress import Watch, unwatched
from syndb_pipeline.destinations.base import (
    DatasetInfo,
    FailedFile,
    Identity,
    OutgoingFile,
    Package,
    TableCheck,
    Upload,
)
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.publishing.plan import plan
from tests.publish_lab import DATASET, Lab, lab, prepared


class Silent(EmbeddedNode):
    """A node that takes an upload, or does not, and gives no answer."""

    takes = True

    def upload(self, dataset: UUID, package: Package, watch: Watch = unwatched) -> Upload:
        if self.takes:
            super().upload(dataset, package, watch)
        raise OutcomeUnknown("No answer within 300 s.")


__all__ = ["lab", "prepared"]  # fixtures


class Blind(EmbeddedNode):
    """A node that does not tell which tars it took, nor compares rows: what a first HTTP
    destination can do.
    """

    def info(self, dataset: UUID) -> DatasetInfo | None:
        info = super().info(dataset)
        return info.model_copy(update={"uploads": None, "rows": None}) if info else None

    def compare(self, dataset: UUID, package: Package) -> tuple[TableCheck, ...]:
        unread = {"found": None, "missing": None, "doubled": None}
        return tuple(check.model_copy(update=unread) for check in super().compare(dataset, package))


class BlindAndSilent(Silent, Blind):
    pass


def _as(kind: type[EmbeddedNode], lab: Lab, *, takes: bool = True) -> EmbeddedNode:
    repeats: Literal["counted", "ignored"] = (
        "counted" if issubclass(kind, Blind | Uncounted) else "ignored"
    )
    node = kind(
        "local", lab.node.folder, owner="ada", repeats=repeats, memory_limit=600_000_000, threads=1
    )
    if isinstance(node, Silent):
        node.takes = takes
    return node


@pytest.mark.parametrize("kind", [Silent, BlindAndSilent])
def test_an_unanswered_upload_that_arrived_is_found_and_not_sent_again(
    lab: Lab, kind: type[EmbeddedNode]
) -> None:
    receipt = lab.publish(approve=plan(lab.context).digest, destination=_as(kind, lab))
    assert (
        receipt.number_of_units == 11
        and receipt.upload.tar_sha256 == plan(lab.context).payload.sha256
    )
    assert lab.info().number_of_units == 11


@pytest.mark.parametrize(("kind", "later"), [(Silent, EmbeddedNode), (BlindAndSilent, Blind)])
def test_an_unanswered_upload_that_did_not_arrive_is_unknown_then_settled_by_the_same_command(
    lab: Lab, kind: type[EmbeddedNode], later: type[EmbeddedNode]
) -> None:
    with pytest.raises(OutcomeUnknown, match="No answer within 300 s") as unknown:
        lab.publish(approve=plan(lab.context).digest, destination=_as(kind, lab, takes=False))
    assert unknown.value.exit == Exit.UNKNOWN
    assert f"syndb-pipeline publish {lab.root / 'guide.yaml'}" in unknown.value.next_step
    assert lab.publish(destination=_as(later, lab)).number_of_units == 11


class Away(EmbeddedNode):
    """A node that cannot be reached."""

    def who_am_i(self) -> Identity:
        raise Unreachable("local cannot be reached.", next_step="Look at the network.")


def test_an_upload_nobody_answered_stays_unknown_while_nobody_can_be_asked(lab: Lab) -> None:
    with pytest.raises(Unreachable):
        lab.publish(approve=plan(lab.context).digest, destination=_as(Away, lab))
    with pytest.raises(OutcomeUnknown):
        lab.publish(
            approve=plan(lab.context).digest, destination=_as(BlindAndSilent, lab, takes=False)
        )
    with pytest.raises(
        OutcomeUnknown,
        match=r"local cannot be reached\.\nSo it is still not known whether the upload started on",
    ) as unknown:
        lab.publish(destination=_as(Away, lab))
    assert unknown.value.next_step == "Look at the network."
    assert lab.publish(destination=_as(Blind, lab)).number_of_units == 11


def test_a_part_that_arrived_is_neither_sent_again_nor_called_whole(lab: Lab) -> None:
    with pytest.raises(OutcomeUnknown):
        lab.publish(
            approve=plan(lab.context).digest, destination=_as(BlindAndSilent, lab, takes=False)
        )
    entry = lab.node.folder / "datasets" / str(DATASET) / "dataset.json"
    content = json.loads(entry.read_text())
    entry.write_text(json.dumps(content | {"number_of_units": 5}))
    with pytest.raises(
        OutcomeUnknown, match="0 units before and 5 now; all of it would be 11"
    ) as unknown:
        lab.publish(destination=_as(Blind, lab))
    assert f"syndb-pipeline delete {DATASET} --destination " in unknown.value.next_step


class Uncounted(EmbeddedNode):
    """A node that does not tell which tars it took, but lets its rows be read: what SynDB's REST
    contract offers.
    """

    def info(self, dataset: UUID) -> DatasetInfo | None:
        info = super().info(dataset)
        return info.model_copy(update={"uploads": None, "rows": None}) if info else None


def _lose_state(lab: Lab) -> None:
    """All that publishing left on this machine, the approvals excepted."""
    for path in (
        lab.records.folder / "journal.jsonl",
        lab.records.receipt_path,
        *(lab.records.folder / "receipts").iterdir(),
    ):
        path.unlink()


def test_with_local_state_lost_the_rows_there_tell_that_the_plan_arrived(lab: Lab) -> None:
    first = lab.publish(approve=plan(lab.context).digest, destination=_as(Uncounted, lab))
    _lose_state(lab)
    again = lab.publish(destination=_as(Uncounted, lab))
    assert (again.plan, again.number_of_units, again.upload.tar_sha256) == (
        first.plan,
        11,
        first.upload.tar_sha256,
    )


def test_with_local_state_lost_another_plan_is_sent_to_the_rows_that_are_there(lab: Lab) -> None:
    lab.publish(approve=plan(lab.context).digest, destination=_as(Uncounted, lab))
    lab.edit("axon.csv", "4,3e8", "4,4e8").prepare()
    _lose_state(lab)
    assert (
        lab.publish(
            approve=plan(lab.context).digest, destination=_as(Uncounted, lab)
        ).number_of_units
        == 22
    )


def test_a_later_plan_is_sent_when_nothing_was_uploaded_since_the_last_receipt(lab: Lab) -> None:
    lab.publish(approve=plan(lab.context).digest, destination=_as(Blind, lab))
    lab.edit("axon.csv", "4,3e8", "4,4e8").prepare()
    assert (
        lab.publish(approve=plan(lab.context).digest, destination=_as(Blind, lab)).number_of_units
        == 22
    )


@pytest.mark.parametrize(("word", "units"), [("arrived", 11), ("lost", 22)])
def test_what_nobody_can_tell_is_settled_by_a_persons_word(lab: Lab, word: Any, units: int) -> None:
    lab.publish(approve=plan(lab.context).digest, destination=_as(Blind, lab))
    _lose_state(lab)
    with pytest.raises(OutcomeUnknown, match="has 11 units at local") as unknown:
        lab.publish(destination=_as(Blind, lab))
    assert f"{lab.root / 'guide.yaml'} --outcome {word}" in unknown.value.next_step
    assert lab.info().number_of_units == 11
    settled = lab.publish(destination=_as(Blind, lab), outcome=word)
    assert settled.number_of_units == units == lab.info().number_of_units


def test_an_unanswered_upload_is_asked_for_until_it_has_had_time_to_settle(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of an unanswered upload appear late: the one command waits for them and sends
    nothing again.
    """
    monkeypatch.setattr("syndb_pipeline.publishing.arrival._ASK_AGAIN_SECONDS", 0.01)
    asked = 0

    class Late(BlindAndSilent):
        settle_seconds = 1.5

        def info(self, dataset: UUID) -> DatasetInfo | None:
            nonlocal asked
            info = super().info(dataset)
            if info is None or not info.number_of_units:
                return info
            asked += 1
            return info if asked > 5 else info.model_copy(update={"number_of_units": 0})

    receipt = lab.publish(approve=plan(lab.context).digest, destination=_as(Late, lab))
    assert asked > 5 and receipt.number_of_units == 11


def test_a_destination_that_tells_little_takes_nothing_twice(lab: Lab) -> None:
    first = lab.publish(approve=plan(lab.context).digest, destination=_as(Blind, lab))
    assert first.tables["vesicle"].missing is None and first.tables["vesicle"].found is None
    assert lab.publish(destination=_as(Blind, lab)) == first
    for receipt in (
        lab.records.receipt_path,
        lab.records.folder / "receipts" / f"{first.plan}.json",
    ):
        receipt.unlink()
    assert lab.publish(destination=_as(Blind, lab)).number_of_units == 11


class Lossy(EmbeddedNode):
    """A node that keeps only a part of what it took, as one server did."""

    def upload(self, dataset: UUID, package: Package, watch: Watch = unwatched) -> Upload:
        upload = super().upload(dataset, package, watch)
        path = self.table_files(dataset)["vesicle"]
        duckdb.sql(f"COPY (FROM '{path}' LIMIT 3) TO '{path}.part' (FORMAT parquet)")
        Path(f"{path}.part").replace(path)
        return upload


def test_rows_lost_on_the_way_are_seen_when_reading_back(lab: Lab) -> None:
    with pytest.raises(DestinationRefused, match="vesicle: 8 rows sent, 3 found, 5 not as sent"):
        lab.publish(approve=plan(lab.context).digest, destination=_as(Lossy, lab))
    assert lab.records.receipt() is None


class Forgets(EmbeddedNode):
    """A node that says it took meshes and skeletons, and has none of them."""

    def put_files(
        self, dataset: UUID, files: Sequence[OutgoingFile], watch: Watch = unwatched
    ) -> list[FailedFile]:
        return []


def test_meshes_that_did_not_stay_are_no_reason_to_delete_the_rows(lab: Lab) -> None:
    with pytest.raises(DestinationRefused, match="2 of 2 meshes and skeletons") as refused:
        lab.publish(approve=plan(lab.context).digest, destination=_as(Forgets, lab))
    assert (
        refused.value.next_step
        == "Give the same command again; it sends these alone: syndb-pipeline publish"
        f" {lab.root / 'guide.yaml'}"
    )
    assert lab.publish().files == 2 and lab.info().number_of_units == 11
