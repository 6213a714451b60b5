"""What became of a dataset, event by event: publications, approvals, holds and answers to them,
rejections, failures, deletions.

Belongs here: gathering them from what is kept. Does not: keeping any of it (`records.py`,
`state/attempts.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict

from syndb_pipeline.base.errors import Exit
from syndb_pipeline.publishing.records import PublishRecords
from syndb_pipeline.state.attempts import LOST, Attempts, End
from syndb_pipeline.state.store import DatasetStore

_WAITING: Final = "waiting"

_WORDS: Final = {
    Exit.OK: "recovered",
    Exit.REJECTED: "rejected",
    Exit.APPROVAL: _WAITING,
    Exit.UNKNOWN: "unknown",
    Exit.INTERRUPTED: "interrupted",
}


class Event(BaseModel):
    """One event: `what` in a word, `by` whom where a person did it, `rows` and the digest `plan` of
    what it was about where it was about a plan, and `why`."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    what: str
    by: str = ""
    rows: int | None = None
    plan: str = ""
    why: str = ""
    next_step: str = ""


def history(store: DatasetStore) -> list[Event]:
    """Every event of a dataset, oldest first. Raises `PipelineError` where a record is damaged."""
    records, attempts = PublishRecords(store), Attempts(store.folder)
    events = [*_publications(records), *_decisions(records), *map(_ended, attempts.history())]
    for kind in ("prepare", "publish"):
        last = attempts.last(kind)
        if last.broke_off and last.started:
            events.append(Event(at=last.started, what="failed", why=f"{last.step}: {LOST.message}"))
    return sorted(events, key=lambda event: event.at)


def _publications(records: PublishRecords) -> Iterator[Event]:
    """From the journal, for a plan that is published again has but one receipt."""
    sent = set()
    for line in records.journal():
        if (line.step, line.state) == ("upload", "done"):
            sent.add(line.plan)
        if (line.step, line.state) != ("receipt", "done"):
            continue
        receipt = records.receipt(line.plan)
        new = line.plan in sent
        sent.discard(line.plan)
        yield Event(
            at=line.at,
            what="published" if new else "unchanged",
            by=receipt.approval.by if receipt else "",
            rows=receipt.rows if receipt else None,
            plan=line.plan,
            why="" if new else "The same content was there already; nothing was sent.",
        )


def _decisions(records: PublishRecords) -> Iterator[Event]:
    for each in records.approvals():
        yield Event(
            at=each.at,
            what="approved",
            by=each.by,
            plan=each.digest,
            why="by standing approval" if each.how == "standing" else "",
        )
    for hold in records.holds():
        reasons = "; ".join(map(str, hold.compared.reasons))
        yield Event(at=hold.since, what="held", plan=hold.plan, why=reasons)
        for no in hold.decisions:
            if no.answer == "rejected":
                yield Event(at=no.at, what="refused", by=no.by, plan=hold.plan, why=no.reason)
    for gone in records.tombstones():
        yield Event(
            at=gone.deletion.at,
            what="deleted",
            by=gone.deletion.by,
            rows=None if gone.deletion.rows is None else sum(gone.deletion.rows.values()),
            plan=gone.receipt or "",
            why=f"at {gone.destination}, for good",
        )


def _ended(end: End) -> Event:
    what, said = _WORDS.get(end.exit, "failed"), end.message
    if what == _WAITING:  # the hold has the comparison
        said = " ".join(said.partition("\nCompared with")[0].split())
    why = f"{end.step}: {said}"
    return Event(
        at=end.ended, what=what, why=why if end.message else end.step, next_step=end.next_step
    )
