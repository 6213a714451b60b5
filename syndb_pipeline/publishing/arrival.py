"""Whether an upload arrived: what journal, counts and rows can say when no answer did.

Belongs here: deciding, for one plan, between there, not there and unknown. Does not: sending
(`publish.py`).

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
from typing import Any, Literal

from syndb_pipeline.base.errors import DestinationRefused, OutcomeUnknown
from syndb_pipeline.destinations.base import (
    DatasetInfo,
    Destination,
    Identity,
    TableCheck,
    Upload,
)
from syndb_pipeline.publishing.plan import Plan
from syndb_pipeline.publishing.records import JournalLine, PublishRecords, State

Outcome = Literal["arrived", "lost"]
"""A person's word on an upload whose outcome neither the destination nor our journal can give."""

_FIRST_PAUSE_SECONDS, _ASK_AGAIN_SECONDS = 0.1, 2.0
_WORTH_LOGGING_SECONDS = 1.0


@contextmanager
def unknown_until_asked(records: PublishRecords, destination: Destination) -> Iterator[None]:
    """Inside: a destination that cannot be asked leaves an upload without an answer unknown,
    whatever the reason it gives."""
    try:
        yield
    except DestinationRefused as trouble:
        last = records.last(None, destination.name, "upload")
        if last is None or last.state not in ("start", "unanswered"):
            raise
        raise OutcomeUnknown(
            f"{trouble.message}\nSo it is still not known whether the upload started on "
            f"{last.at:%Y-%m-%d %H:%M} UTC arrived.",
            next_step=trouble.next_step,
        ) from None


@dataclass(kw_only=True)
class Arrival:
    """What can be known of one plan's upload at its destination.

    `command` is the one a person gives to go on. `created` says whether this run created the
    dataset, so that no other can have started to send to it.
    """

    records: PublishRecords
    destination: Destination
    plan: Plan
    who: Identity
    log: Callable[[str], None]
    outcome: Outcome | None
    command: str
    created: bool = False

    def note(self, step: str, state: State, details: dict[str, Any] | None = None) -> None:
        """Journal how far a step of this plan is."""
        self.records.note(self.plan.digest, self.destination.name, step, state, details)

    def arrived(self, info: DatasetInfo) -> Upload | None:
        """The upload of this tar, when it is there; None when it is certain that it is not. Raises
        `OutcomeUnknown`."""
        last = self._last_upload()  # also shows, before anything is sent, that the journal is whole
        if info.uploads is not None:
            newest = info.uploads[-1] if info.uploads else None
            return newest if newest and newest.tar_sha256 == self.plan.payload.sha256 else None
        # A destination that does not say which tars it took: our journal knows what was sent, its
        # counts and rows say what arrived.
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
        # Another upload may have been counted in between; then the rows say it, where they can be
        # read.
        if all(check.whole for check in self.compared()):
            return self._sent()
        raise self._unexplained(before, info)

    def _last_upload(self) -> JournalLine | None:
        """The journal's last word on an upload since the dataset was last deleted. For our own
        deletions by the order of lines: a clock may be set back."""
        name = self.destination.name
        journal = [line for line in self.records.journal() if line.destination == name]
        deleted = self.records.deleted(name, self.destination.deletions(self.plan.dataset))
        others = [each.at for each in deleted if each.order is None]
        done = sum((line.step, line.state) == ("delete", "done") for line in journal)
        unnoted = len(deleted) - len(others) > done  # killed once the tombstone was written
        for line in reversed(journal):
            if line.step == "delete" and (line.state == "done" or unnoted):
                break
            if line.step == "upload":
                return line if all(line.at > at for at in others) else None
        return None

    def _settled(self, last: JournalLine, info: DatasetInfo) -> DatasetInfo:
        """The dataset once an upload without an answer, of this plan or another, is counted, or has
        had its time to be.

        Its time begins when we begin to wait: how long ago the last byte was sent is not known, and
        the clock may have been set.
        """
        counted = int(last.details["number_of_units"]) + int(last.details["rows"])
        if info.number_of_units == counted or self.outcome is not None:
            return info
        left = self.destination.settle_seconds
        if last.state == "start":
            self.records.note(last.plan, last.destination, last.step, "unanswered", last.details)
        else:
            left = min(left, left - (datetime.now(UTC) - last.at).total_seconds())
        if left >= _WORTH_LOGGING_SECONDS:
            wait = f"waiting up to {left:.0f} s to see whether it arrives"
            self.log(f"An upload was not answered; {wait}")
        return self.once_counted(counted, left, info)

    def _unexplained(self, before: int, info: DatasetInfo) -> OutcomeUnknown:
        whole, now, dataset = before + self.plan.rows, info.number_of_units, self.plan.dataset
        name = self.destination.name
        message = (
            f"An upload of dataset {dataset} was not answered. {name} counted {before:,} units "
            f"before and {now:,} now; all of it would be {whole:,}."
        )
        if before < now < whole:
            return OutcomeUnknown(
                message,
                next_step=f"Ask again in a while with: {self.command}\nIf the number stays, a part "
                "was lost. Then delete it and publish again: "
                f"syndb-pipeline delete {dataset} --destination {name}",
            )
        return OutcomeUnknown(
            f"{message} So somebody else changed the dataset meanwhile.",
            next_step=self._ask_person("Look at the dataset there. If these rows are in it"),
        )

    def _ask_person(self, look: str) -> str:
        return (
            f"{look}, say so with: {self.command} --outcome arrived\n"
            f"If these rows have still to be sent: {self.command} --outcome lost"
        )

    def once_counted(self, units: int, seconds: float, info: DatasetInfo) -> DatasetInfo:
        """The dataset once its count is `units`, or once so many seconds have passed."""
        end, pause = time.monotonic() + seconds, _FIRST_PAUSE_SECONDS
        while info.number_of_units != units and self.outcome is None:
            left = end - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(pause, _ASK_AGAIN_SECONDS, left))
            pause *= 2
            info = self.info()
        return info

    def _unseen(self, info: DatasetInfo) -> Upload | None:
        """Whether this plan is there although our journal does not speak of it: another machine
        sent it, or our state was lost."""
        name, receipt = self.destination.name, self.records.receipt()
        seconds = self.destination.settle_seconds
        if info.number_of_units == 0 and not self.created and seconds and self.outcome is None:
            # Another machine may be sending this very plan, or this one did before it lost its
            # state: there will be no answer, but a count.
            self.log(
                f"The dataset was at {name} before, and empty. Waiting up to {seconds:.0f} s to "
                "see whether an upload of it is under way"
            )
            info = self.once_counted(self.plan.rows, seconds, info)
        units = info.number_of_units
        if units == 0 or self.outcome == "lost":
            return None
        if self.outcome == "arrived":
            return self._sent()
        if receipt and receipt.destination == name and receipt.number_of_units == units:
            return None  # nothing was uploaded since our last receipt, which is of another plan
        self.log(f"{name} counts {units:,} units that this machine does not know of; reading them")
        checks = self.compared()
        if all(check.whole for check in checks):
            return self._sent()
        if all(check.found is not None for check in checks):
            return None
        raise OutcomeUnknown(
            f"Dataset {self.plan.dataset} has {units:,} units at {name}. This machine has no "
            "record of sending them, and the destination does not let it read them.",
            next_step=self._ask_person("Look at the dataset there. If it is this one, whole"),
        )

    def _sent(self) -> Upload:
        return Upload.of(self.plan.sent, self.who.id)

    def compared(self) -> tuple[TableCheck, ...]:
        """The plan's tables held against those that are there."""
        return self.destination.compare(self.plan.dataset, self.plan.sent)

    def info(self) -> DatasetInfo:
        """The dataset, which was there. Raises `OutcomeUnknown` when it is not any more."""
        info = self.destination.info(self.plan.dataset)
        if info is not None:
            return info
        name = self.destination.name
        raise OutcomeUnknown(
            f"Dataset {self.plan.dataset} is not at {name}, though it was registered a moment ago.",
            next_step="See whether somebody deleted it with: "
            f"syndb-pipeline datasets --destination {name}\nThen: {self.command}",
        )
