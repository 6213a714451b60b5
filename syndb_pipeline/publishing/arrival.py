"""Whether an upload arrived: what journal, counts and rows can tell when no answer did.

Belongs here: deciding, for one plan, between there, not there and unknown. Does not: sending
(`stages/publish.py`).

SynDB names no upload: it adds its rows to the dataset's count, and gives rows back where it lets us
read (contract, section 5). So our journal keeps the count from before each upload, and a count or
rows that we cannot explain are never taken for an answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from syndb_pipeline.base.errors import DestinationRefused, OutcomeUnknown
from syndb_pipeline.destinations.base import DatasetInfo, Destination, Identity, Package, Upload
from syndb_pipeline.publishing.deletion import deleted_at
from syndb_pipeline.publishing.plan import Plan
from syndb_pipeline.publishing.records import JournalLine, PublishRecords
from syndb_pipeline.state.store import DatasetStore

Outcome = Literal["arrived", "lost"]
"""A person's word on an upload whose outcome neither the destination nor our journal can tell."""

_FIRST_PAUSE_SECONDS, _ASK_AGAIN_SECONDS = 0.1, 2.0
_WORTH_TELLING_SECONDS = 1.0


def package_of(current: Plan) -> Package:
    """The plan's tar as a destination takes it."""
    rows = {name: table.rows for name, table in current.tables.items()}
    return Package(tar=current.payload, rows=rows)


@contextmanager
def unknown_until_asked(records: PublishRecords, destination: Destination) -> Iterator[None]:
    """Inside: a destination that cannot be asked leaves an upload that nobody answered unknown,
    whatever the reason it gives.
    """
    try:
        yield
    except DestinationRefused as trouble:
        last = records.last(None, destination.name, "upload")
        if last is None or last.state not in ("start", "unanswered"):
            raise
        raise OutcomeUnknown(
            f"{trouble.message}\nSo it is still not known whether the upload begun on"
            f" {last.at:%Y-%m-%d %H:%M} UTC arrived.",
            next_step=trouble.next_step,
        ) from None


@dataclass
class Arrival:
    """What can be known of one plan's upload at its destination. `command` is the one a person
    gives to go on.
    """

    store: DatasetStore
    records: PublishRecords
    destination: Destination
    plan: Plan
    who: Identity
    say: Callable[[str], None]
    outcome: Outcome | None
    command: str
    alone: bool = False
    """Whether this run created the dataset, so that nobody else can have begun to send to it."""

    def upload(self, info: DatasetInfo) -> Upload | None:
        """The upload of this tar, when it is there; None when it is certain that it is not. Raises
        `OutcomeUnknown`.
        """
        last = self._last_upload()  # also shows, before anything is sent, that the journal is whole
        if info.uploads is not None:
            return (
                info.uploads[-1]
                if info.uploads and info.uploads[-1].tar_sha256 == self.plan.payload.sha256
                else None
            )
        # A destination that does not tell which tars it took: our journal knows what was sent, its
        # counts and rows tell what arrived.
        since = deleted_at(self.store, self.destination, self.plan.dataset, info)
        if last is not None and since is not None and last.at <= since:
            last = None
        if last is not None and last.state in ("start", "unanswered"):
            info = self._settled(last, info)
        if last is None or last.plan != self.plan.digest:
            return self._unseen(info)
        if last.state == "done":
            return Upload.model_validate(last.details)
        before = int(last.details["number_of_units"])
        if info.number_of_units == before + self.plan.rows or self.outcome == "arrived":
            return self._sent()
        if info.number_of_units == before or self.outcome == "lost":
            return None
        # Another upload may have been counted in between; then the rows tell, where they can be
        # read.
        if all(
            check.whole
            for check in self.destination.compare(self.plan.dataset, package_of(self.plan))
        ):
            return self._sent()
        raise self._unexplained(before, info)

    def _last_upload(self) -> JournalLine | None:
        """The journal's last word on an upload since we last deleted the dataset. By the order of
        lines: a clock may be set back.
        """
        lines = [
            line
            for line in self.records.journal()
            if line.destination == self.destination.name
            and (line.step == "upload" or (line.step, line.state) == ("delete", "done"))
        ]
        return lines[-1] if lines and lines[-1].step == "upload" else None

    def _settled(self, last: JournalLine, info: DatasetInfo) -> DatasetInfo:
        """The dataset once an upload that nothing answered, of this plan or another, is counted, or
        has had its time to be.

        Its time begins when we begin to wait: how long ago the last byte was sent is not known, and
        the clock may have been set.
        """
        before, rows = int(last.details["number_of_units"]), int(last.details["rows"])
        if info.number_of_units == before + rows or self.outcome is not None:
            return info
        left = self.destination.settle_seconds
        if last.state == "start":
            self.records.note(last.plan, last.destination, last.step, "unanswered", last.details)
        else:
            left = min(left, left - (datetime.now(UTC) - last.at).total_seconds())
        if left >= _WORTH_TELLING_SECONDS:
            self.say(
                f"An upload was not answered; waiting up to {left:.0f} s to see whether it arrives"
            )
        return self.once_counted(before + rows, left, info)

    def _unexplained(self, before: int, info: DatasetInfo) -> OutcomeUnknown:
        whole = before + self.plan.rows
        told = (
            f"An upload of dataset {self.plan.dataset} was not answered. {self.destination.name}"
            f" counted {before:,} units before and {info.number_of_units:,} now; all of it would be"
            f" {whole:,}."
        )
        if before < info.number_of_units < whole:
            return OutcomeUnknown(
                told,
                next_step=(
                    f"If it is still being taken in, ask again in a while with: {self.command}\nIf"
                    " the number stays, a part was lost. Then delete it and publish again:"
                    f" syndb-pipeline delete {self.plan.dataset} --destination"
                    f" {self.destination.name}"
                ),
            )
        return OutcomeUnknown(
            f"{told} So somebody else changed the dataset meanwhile.",
            next_step=(
                f"Look at the dataset there. If these rows are in it, say so with: {self.command}"
                f" --outcome arrived\nIf they have still to be sent: {self.command} --outcome lost"
            ),
        )

    def once_counted(self, units: int, seconds: float, info: DatasetInfo) -> DatasetInfo:
        """The dataset once its count is `units`, or once so many seconds have passed."""
        end, pause = time.monotonic() + seconds, _FIRST_PAUSE_SECONDS
        while (
            info.number_of_units != units
            and (left := end - time.monotonic()) > 0
            and self.outcome is None
        ):
            time.sleep(min(pause, _ASK_AGAIN_SECONDS, left))
            pause *= 2
            info = self._info()
        return info

    def _unseen(self, info: DatasetInfo) -> Upload | None:
        """Whether this plan is there although our journal does not speak of it: another machine
        sent it, or our state was lost.
        """
        receipt = self.records.receipt()
        if (
            info.number_of_units == 0
            and not self.alone
            and self.destination.settle_seconds
            and self.outcome is None
        ):
            # Another machine may be sending this very plan, or this one did before it lost its
            # state: no answer tells, but the count will.
            self.say(
                f"The dataset was at {self.destination.name} before, and empty. Waiting up to"
                f" {self.destination.settle_seconds:.0f} s to see whether an upload of it is"
                " under way"
            )
            info = self.once_counted(self.plan.rows, self.destination.settle_seconds, info)
        if info.number_of_units == 0 or self.outcome == "lost":
            return None
        if self.outcome == "arrived":
            return self._sent()
        if (
            receipt is not None
            and receipt.destination == self.destination.name
            and receipt.number_of_units == info.number_of_units
        ):
            return None  # nothing was uploaded since our last receipt, which is of another plan
        self.say(
            f"{self.destination.name} counts {info.number_of_units:,} units that this machine does"
            " not know of; reading them"
        )
        checks = self.destination.compare(self.plan.dataset, package_of(self.plan))
        if all(check.whole for check in checks):
            return self._sent()
        if all(check.found is not None for check in checks):
            return None
        raise OutcomeUnknown(
            f"Dataset {self.plan.dataset} has {info.number_of_units:,} units at"
            f" {self.destination.name}. This machine has no record of sending them, and the"
            " destination does not let it read them.",
            next_step=(
                f"Look at the dataset there. If it is this one, whole, say so with: {self.command}"
                f" --outcome arrived\nIf these rows have still to be sent: {self.command} --outcome"
                " lost"
            ),
        )

    def _sent(self) -> Upload:
        package = package_of(self.plan)
        return Upload(
            tar_sha256=package.tar.sha256,
            bytes=package.tar.bytes,
            rows=package.rows,
            by=self.who.id,
            at=datetime.now(UTC),
        )

    def _info(self) -> DatasetInfo:
        info = self.destination.info(self.plan.dataset)
        if info is None:
            raise gone(self.plan, self.destination, self.command)
        return info


def gone(current: Plan, destination: Destination, command: str) -> OutcomeUnknown:
    """A registered dataset that is not there any more."""
    return OutcomeUnknown(
        f"Dataset {current.dataset} is not at {destination.name}, though it was registered a moment"
        " ago.",
        next_step=(
            "See whether somebody deleted it with: syndb-pipeline datasets --destination"
            f" {destination.name}\nThen: {command}"
        ),
    )
