"""Uploads whose rows appear late, are counted with others', or lie beside a clock that was set:
never sent twice, never told untrue.

Belongs here: destinations whose word comes late, and our own clock. Does not: a lost answer alone
(`test_publish_arrival.py`).
"""

from __future__ import annotations

import json
import threading
import time
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from syndb_pipeline.base.errors import OutcomeUnknown
from syndb_pipeline.base.progress import Watch, unwatched
from syndb_pipeline.base.tar_stream import FilePayload
from syndb_pipeline.destinations.base import DatasetInfo, Package, TableCheck, Upload
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.publishing import arrival
from syndb_pipeline.publishing.plan import plan
from syndb_pipeline.publishing.status import delete
from tests.publish_lab import DATASET, Lab, lab, prepared

__all__ = ["lab", "prepared"]  # fixtures

ROWS = 11


class Uncounted(EmbeddedNode):
    """A node that does not tell which tars it took, but lets its rows be read: what SynDB's REST
    contract offers.
    """

    def info(self, dataset: UUID) -> DatasetInfo | None:
        info = super().info(dataset)
        return info.model_copy(update={"uploads": None, "rows": None}) if info else None


class Blind(Uncounted):
    """A node that does not let its rows be read either."""

    def compare(self, dataset: UUID, package: Package) -> tuple[TableCheck, ...]:
        unread = {"found": None, "missing": None, "doubled": None}
        return tuple(check.model_copy(update=unread) for check in super().compare(dataset, package))


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


def as_(kind: type[EmbeddedNode], lab: Lab) -> EmbeddedNode:
    return kind(
        "local",
        lab.node.folder,
        owner="ada",
        repeats="counted",
        memory_limit=600_000_000,
        threads=1,
    )


def late(lab: Lab, **times: float) -> Late:
    node = as_(Late, lab)
    assert isinstance(node, Late)
    for name, seconds in times.items():
        setattr(node, name, seconds)
    return node


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


def test_the_time_to_settle_begins_when_the_answer_is_lost(lab: Lab) -> None:
    """Not when the upload began: a large one takes hours, and a gateway gives up before the server
    behind it does.
    """
    node = late(lab, sending=1.0)
    receipt = lab.publish(approve=plan(lab.context).digest, destination=node)
    assert (node.uploads, receipt.number_of_units) == (1, ROWS)


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

    node = late(lab)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(arrival.Arrival, "_settled", die)
        lab.publish(approve=plan(lab.context).digest, destination=node)
    set_journal(lab, -timedelta(hours=5))
    receipt = lab.publish(destination=node)
    assert (node.uploads, receipt.number_of_units) == (1, ROWS)


def test_a_clock_that_was_set_back_makes_nobody_wait_for_days(lab: Lab) -> None:
    node = late(lab, later=60.0)
    with pytest.raises(OutcomeUnknown):
        lab.publish(approve=plan(lab.context).digest, destination=node)
    node.taking.cancel()
    set_journal(lab, timedelta(days=1))
    began = time.monotonic()
    assert lab.publish(destination=as_(Uncounted, lab)).number_of_units == ROWS
    assert time.monotonic() - began < 30


def test_an_upload_before_a_deletion_is_over_whatever_the_clock_said_then(lab: Lab) -> None:
    lab.publish(approve=plan(lab.context).digest, destination=as_(Uncounted, lab))
    set_journal(lab, timedelta(days=900))
    delete(lab.context.settings, DATASET, as_(Uncounted, lab), "Guide example")
    again = lab.publish(approve=plan(lab.context).digest, destination=as_(Uncounted, lab))
    assert again.number_of_units == ROWS == lab.info().number_of_units


def test_an_upload_that_was_counted_with_somebody_elses_is_found_by_its_rows(lab: Lab) -> None:
    class Between(Uncounted):
        def upload(self, dataset: UUID, package: Package, watch: Watch = unwatched) -> Upload:
            super().upload(dataset, package)
            recount(lab, ROWS + 7)
            raise OutcomeUnknown("No answer.")

    receipt = lab.publish(approve=plan(lab.context).digest, destination=as_(Between, lab))
    assert receipt.number_of_units == ROWS + 7 and all(
        check.whole for check in receipt.tables.values()
    )


def test_a_count_that_others_made_is_no_reason_to_delete_their_rows(lab: Lab) -> None:
    class Between(Blind):
        def upload(self, dataset: UUID, package: Package, watch: Watch = unwatched) -> Upload:
            recount(lab, ROWS + 7)
            raise OutcomeUnknown("No answer.")

    with pytest.raises(
        OutcomeUnknown, match="So somebody else changed the dataset meanwhile"
    ) as unknown:
        lab.publish(approve=plan(lab.context).digest, destination=as_(Between, lab))
    assert (
        "--outcome arrived" in unknown.value.next_step
        and "--outcome lost" in unknown.value.next_step
    )
    assert "delete" not in unknown.value.next_step


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
        lab.publish(approve=plan(lab.context).digest, destination=as_(Between, lab))
    assert (
        "--outcome arrived" in unknown.value.next_step and "delete" not in unknown.value.next_step
    )
    assert lab.records.receipt() is None
    receipt = lab.publish(destination=as_(Blind, lab), outcome="arrived")
    assert receipt.number_of_units == ROWS + 7 == lab.info().number_of_units
    assert lab.publish(destination=as_(Blind, lab)) == receipt


def test_another_plan_waits_for_the_upload_of_the_one_before(lab: Lab) -> None:
    """Else its rows would be replaced by older ones that were still on their way."""
    lab.publish(approve=plan(lab.context).digest, destination=as_(Uncounted, lab))
    lab.edit("axon.csv", "4,3e8", "4,4e8").prepare()
    node = late(lab, later=60.0)
    with pytest.raises(OutcomeUnknown):
        lab.publish(approve=plan(lab.context).digest, destination=node)
    lab.edit("axon.csv", "4,4e8", "4,5e8").prepare()
    patient = as_(Uncounted, lab)
    patient.settle_seconds = 30.0
    node.taking.cancel()
    threading.Timer(0.5, node.taking.function).start()
    receipt = lab.publish(approve=plan(lab.context).digest, destination=patient)
    assert receipt.number_of_units == 3 * ROWS == lab.info().number_of_units
    assert all(check.whole for check in receipt.tables.values())


def test_a_count_that_is_shown_late_is_not_called_lost(lab: Lab) -> None:
    class Stale(Blind):
        """Its list of datasets lags behind its tables."""

        settle_seconds = 1.5
        asked = 0

        def info(self, dataset: UUID) -> DatasetInfo | None:
            info = super().info(dataset)
            if info is None or not info.number_of_units:
                return info
            self.asked += 1
            return info if self.asked > 2 else info.model_copy(update={"number_of_units": 0})

    said: list[str] = []
    receipt = lab.publish(
        approve=plan(lab.context).digest, destination=as_(Stale, lab), say=said.append
    )
    assert receipt.number_of_units == ROWS
    assert "Not all of it is counted yet; waiting up to 2 s" in said
