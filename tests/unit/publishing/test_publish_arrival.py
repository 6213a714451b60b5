"""Publishing when an answer is lost or late, rows are lost or counted with others', a clock was
set, or our own state is gone: what is there is found out, never guessed, and nothing sent twice.

Belongs here: destinations that tell little, and late. Does not: real sockets (`integration/`).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest

from syndb_pipeline.base.errors import DestinationRefused, Exit, OutcomeUnknown, Unreachable
from syndb_pipeline.base.progress import Watch, unwatched
from syndb_pipeline.base.tar_stream import FilePayload
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
from syndb_pipeline.publishing import arrival
from syndb_pipeline.publishing.plan import plan
from syndb_pipeline.publishing.status import delete
from tests.publish_lab import DATASET, Lab, lab, prepared

__all__ = ["lab", "prepared"]  # fixtures

ROWS = 11


class Uncounted(EmbeddedNode):
    """A node that does not tell which tars it took, but lets its rows be read: what SynDB's REST
    contract offers. `shown_after` is how often it is asked before it counts what it has.
    """

    shown_after = 0

    def info(self, dataset: UUID) -> DatasetInfo | None:
        info = super().info(dataset)
        if info is None:
            return None
        hidden = {"uploads": None, "rows": None}
        if info.number_of_units and self.shown_after:
            self.shown_after -= 1
            hidden["number_of_units"] = 0
        return info.model_copy(update=hidden)


class Blind(Uncounted):
    """A node that does not let its rows be read either."""

    def compare(self, dataset: UUID, package: Package) -> tuple[TableCheck, ...]:
        unread = {"found": None, "missing": None, "doubled": None}
        return tuple(check.model_copy(update=unread) for check in super().compare(dataset, package))


class Silent(EmbeddedNode):
    """A node that takes an upload, or does not, and gives no answer. `then` is done in between."""

    takes = True
    then = staticmethod(lambda: None)

    def upload(self, dataset: UUID, package: Package, watch: Watch = unwatched) -> Upload:
        if self.takes:
            super().upload(dataset, package, watch)
        self.then()
        raise OutcomeUnknown("No answer within 300 s.")


class BlindAndSilent(Silent, Blind):
    pass


class UncountedAndSilent(Silent, Uncounted):
    pass


class Late(Uncounted):
    """A node whose upload takes `sending` seconds, is not answered, and is taken in `later` seconds
    after that.
    """

    settle_seconds = 0.8
    sending, later = 0.0, 0.3
    uploads = 0

    def upload(self, dataset: UUID, package: Package, watch: Watch = unwatched) -> Upload:
        self.uploads += 1
        time.sleep(self.sending)
        take = super().upload
        arrived = self.folder.parent / "arrived" / package.tar.name
        arrived.parent.mkdir()
        with package.tar.open() as file:
            arrived.write_bytes(file.read())
        sent = package.model_copy(update={"tar": FilePayload.of(arrived)})
        self.taking = threading.Timer(self.later, lambda: take(dataset, sent))
        self.taking.start()
        raise OutcomeUnknown("No answer.")


class Away(EmbeddedNode):
    """A node that cannot be reached."""

    def who_am_i(self) -> Identity:
        raise Unreachable("local cannot be reached.", next_step="Look at the network.")


class Lossy(EmbeddedNode):
    """A node that keeps only a part of what it took, as one server did."""

    def upload(self, dataset: UUID, package: Package, watch: Watch = unwatched) -> Upload:
        upload = super().upload(dataset, package, watch)
        path = self.table_files(dataset)["vesicle"]
        duckdb.sql(f"COPY (FROM '{path}' LIMIT 3) TO '{path}.part' (FORMAT parquet)")
        Path(f"{path}.part").replace(path)
        return upload


class Forgets(EmbeddedNode):
    """A node that says it took meshes and skeletons, and has none of them."""

    def put_files(
        self, dataset: UUID, files: Sequence[OutgoingFile], watch: Watch = unwatched
    ) -> list[FailedFile]:
        return []


def recount(lab: Lab, units: int) -> None:
    entry = lab.node.folder / "datasets" / str(DATASET) / "dataset.json"
    entry.write_text(json.dumps(json.loads(entry.read_text()) | {"number_of_units": units}))


def set_journal(lab: Lab, by: timedelta) -> None:
    """As if the clock had been wrong by so much when the journal was written."""
    path = lab.records.folder / "journal.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line["at"] = (datetime.fromisoformat(line["at"]) + by).isoformat()
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def lose_state(lab: Lab) -> None:
    """All that publishing left on this machine, the approvals excepted."""
    records = lab.records
    for path in (records.folder / "journal.jsonl", *records.folder.rglob("receipt*/*.json")):
        path.unlink()
    records.receipt_path.unlink()


def correct(lab: Lab, value: str = "4e8") -> None:
    lab.edit("axon.csv", "4,3e8" if value == "4e8" else "4,4e8", f"4,{value}").prepare()


# No answer


@pytest.mark.parametrize("kind", [Silent, BlindAndSilent])
def test_an_unanswered_upload_that_arrived_is_found_and_not_sent_again(
    lab: Lab, kind: type[EmbeddedNode]
) -> None:
    receipt = lab.send(kind)
    assert receipt.number_of_units == ROWS == lab.info().number_of_units
    assert receipt.upload.tar_sha256 == plan(lab.context).payload.sha256


@pytest.mark.parametrize(("kind", "later"), [(Silent, EmbeddedNode), (BlindAndSilent, Blind)])
def test_an_unanswered_upload_that_did_not_arrive_is_unknown_then_settled_by_the_same_command(
    lab: Lab, kind: type[EmbeddedNode], later: type[EmbeddedNode]
) -> None:
    with pytest.raises(OutcomeUnknown, match="No answer within 300 s") as unknown:
        lab.send(lab.at(kind, takes=False))
    assert unknown.value.exit == Exit.UNKNOWN
    assert f"syndb-pipeline publish {lab.root / 'guide.yaml'}" in unknown.value.next_step
    assert lab.publish(later).number_of_units == ROWS


def test_an_upload_without_an_answer_stays_unknown_while_the_destination_cannot_be_asked(
    lab: Lab,
) -> None:
    with pytest.raises(Unreachable):
        lab.send(Away)
    with pytest.raises(OutcomeUnknown):
        lab.send(lab.at(BlindAndSilent, takes=False))
    said = r"local cannot be reached\.\nSo it is still not known whether the upload started on"
    with pytest.raises(OutcomeUnknown, match=said) as unknown:
        lab.publish(Away)
    assert unknown.value.next_step == "Look at the network."
    assert lab.publish(Blind).number_of_units == ROWS


def test_a_part_that_arrived_is_neither_sent_again_nor_called_whole(lab: Lab) -> None:
    with pytest.raises(OutcomeUnknown):
        lab.send(lab.at(BlindAndSilent, takes=False))
    recount(lab, 5)
    said = "0 units before and 5 now; all of it would be 11"
    with pytest.raises(OutcomeUnknown, match=said) as unknown:
        lab.publish(Blind)
    assert f"syndb-pipeline delete {DATASET} --destination " in unknown.value.next_step


# Our state lost


def test_with_local_state_lost_the_rows_there_tell_that_the_plan_arrived(lab: Lab) -> None:
    first = lab.send(Uncounted)
    lose_state(lab)
    again = lab.publish(Uncounted)
    assert (again.plan, again.number_of_units) == (first.plan, ROWS)
    assert again.upload.tar_sha256 == first.upload.tar_sha256


@pytest.mark.parametrize(("kind", "lost"), [(Uncounted, True), (Blind, False)])
def test_another_plan_is_sent_to_the_rows_that_are_there(
    lab: Lab, kind: type[EmbeddedNode], lost: bool
) -> None:
    """Told apart by the rows, or by a count that is still that of our receipt."""
    lab.send(kind)
    correct(lab)
    if lost:
        lose_state(lab)
    assert lab.send(kind).number_of_units == 2 * ROWS


@pytest.mark.parametrize(("word", "units"), [("arrived", ROWS), ("lost", 2 * ROWS)])
def test_what_cannot_be_known_is_settled_by_a_persons_word(lab: Lab, word: Any, units: int) -> None:
    lab.send(Blind)
    lose_state(lab)
    with pytest.raises(OutcomeUnknown, match="has 11 units at local") as unknown:
        lab.publish(Blind)
    assert f"{lab.root / 'guide.yaml'} --outcome {word}" in unknown.value.next_step
    assert lab.info().number_of_units == ROWS
    settled = lab.publish(Blind, outcome=word)
    assert settled.number_of_units == units == lab.info().number_of_units


def test_a_destination_that_tells_little_takes_nothing_twice(lab: Lab) -> None:
    first = lab.send(Blind)
    assert first.tables["vesicle"].missing is None and first.tables["vesicle"].found is None
    assert lab.publish(Blind) == first
    for receipt in lab.records.folder.rglob("receipt*/*.json"):
        receipt.unlink()
    lab.records.receipt_path.unlink()
    assert lab.publish(Blind).number_of_units == ROWS


# Late


@pytest.mark.parametrize("kind", [BlindAndSilent, Blind])
def test_rows_that_are_counted_late_are_waited_for(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, kind: type[EmbeddedNode]
) -> None:
    """After an answer as without one; they are neither sent again nor called lost."""
    monkeypatch.setattr(arrival, "_ASK_AGAIN_SECONDS", 0.01)
    node, said = lab.at(kind, settle_seconds=1.5, shown_after=5), list[str]()
    assert lab.send(node, say=said.append).number_of_units == ROWS
    assert node.shown_after == 0
    assert kind is not Blind or "Not all of it is counted yet; waiting up to 2 s" in said


def test_the_time_to_settle_begins_when_the_answer_is_lost(lab: Lab) -> None:
    """Not when the upload began: a large one takes hours, and a gateway gives up before the server
    behind it does.
    """
    node = lab.at(Late, sending=1.0)
    assert (lab.send(node).number_of_units, node.uploads) == (ROWS, 1)


def test_a_client_that_died_waits_the_whole_time_when_it_comes_back(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its journal says when it began to send, hours ago; the last byte may have been sent a moment
    ago.
    """

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    node = lab.at(Late)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(arrival.Arrival, "_settled", die)
        lab.send(node)
    set_journal(lab, -timedelta(hours=5))
    assert (lab.publish(node).number_of_units, node.uploads) == (ROWS, 1)


def test_a_clock_that_was_set_back_makes_no_one_wait_for_days(lab: Lab) -> None:
    node = lab.at(Late, later=60.0)
    with pytest.raises(OutcomeUnknown):
        lab.send(node)
    node.taking.cancel()
    set_journal(lab, timedelta(days=1))
    began = time.monotonic()
    assert lab.publish(Uncounted).number_of_units == ROWS
    assert time.monotonic() - began < 30


def test_an_upload_before_a_deletion_is_over_whatever_the_clock_said_then(lab: Lab) -> None:
    lab.send(Uncounted)
    set_journal(lab, timedelta(days=900))
    delete(lab.context.settings, DATASET, lab.at(Uncounted), "Guide example")
    assert lab.send(Uncounted).number_of_units == ROWS == lab.info().number_of_units


def test_another_plan_waits_for_the_upload_of_the_one_before(lab: Lab) -> None:
    """Else its rows would be replaced by older ones that were still on their way."""
    lab.send(Uncounted)
    correct(lab)
    node = lab.at(Late, later=60.0)
    with pytest.raises(OutcomeUnknown):
        lab.send(node)
    correct(lab, "5e8")
    node.taking.cancel()
    threading.Timer(0.5, node.taking.function).start()
    receipt = lab.send(lab.at(Uncounted, settle_seconds=30.0))
    assert receipt.number_of_units == 3 * ROWS == lab.info().number_of_units
    assert all(check.whole for check in receipt.tables.values())


# Counted with others'


def test_an_upload_that_was_counted_with_somebody_elses_is_found_by_its_rows(lab: Lab) -> None:
    node = lab.at(UncountedAndSilent, then=lambda: recount(lab, ROWS + 7))
    receipt = lab.send(node)
    assert receipt.number_of_units == ROWS + 7
    assert all(check.whole for check in receipt.tables.values())


def test_a_count_that_others_made_is_no_reason_to_delete_their_rows(lab: Lab) -> None:
    node = lab.at(BlindAndSilent, takes=False, then=lambda: recount(lab, ROWS + 7))
    said = "So somebody else changed the dataset meanwhile"
    with pytest.raises(OutcomeUnknown, match=said) as unknown:
        lab.send(node)
    advice = unknown.value.next_step
    assert "--outcome arrived" in advice and "--outcome lost" in advice and "delete" not in advice


def test_more_than_was_sent_is_settled_by_a_persons_word(lab: Lab) -> None:
    """The upload was answered; a colleague's was counted before ours was read back. To delete both
    would be no way out.
    """

    class Between(Blind):
        def upload(self, dataset: UUID, package: Package, watch: Watch = unwatched) -> Upload:
            upload = super().upload(dataset, package)
            recount(lab, ROWS + 7)
            return upload

    with pytest.raises(OutcomeUnknown, match="11 units expected, 18 counted at local") as unknown:
        lab.send(Between)
    advice = unknown.value.next_step
    assert "--outcome arrived" in advice and "delete" not in advice
    assert lab.records.receipt() is None
    receipt = lab.publish(Blind, outcome="arrived")
    assert receipt.number_of_units == ROWS + 7 == lab.info().number_of_units
    assert lab.publish(Blind) == receipt


# Lost


def test_rows_lost_on_the_way_are_seen_when_reading_back(lab: Lab) -> None:
    with pytest.raises(DestinationRefused, match="vesicle: 8 rows sent, 3 found, 5 not as sent"):
        lab.send(Lossy)
    assert lab.records.receipt() is None


def test_meshes_that_did_not_stay_are_no_reason_to_delete_the_rows(lab: Lab) -> None:
    with pytest.raises(DestinationRefused, match="2 of 2 meshes and skeletons") as refused:
        lab.send(Forgets)
    again = "Give the same command again; it sends these alone: syndb-pipeline publish"
    assert refused.value.next_step == f"{again} {lab.root / 'guide.yaml'}"
    assert lab.publish().files == 2 and lab.info().number_of_units == ROWS
