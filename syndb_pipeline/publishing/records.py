"""What is kept of publishing: approvals, holds, receipts, tombstones and the journal, in
`<store>/publish/`.

Belongs here: the records and writing them so that a crash loses none. Does not: deciding
(`plan.py`, `guardrails.py`, `publish.py`).

    approvals/<time>-<digest>.json   every approval ever given
    holds/<plan digest>.json         every plan that was held; `held` names that of the newest plan
    receipts/<plan digest>.json      the last receipt of each plan; receipt.json is the newest
    tables/<plan digest>/            the tables of the newest receipts (`kept_tables.py`)
    tombstones/<time>.json           every deletion
    journal.jsonl                    each step, before and after, one line each
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from textwrap import wrap
from typing import Any, Final, Literal, NamedTuple, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.config.description import Description
from syndb_pipeline.contract.metadata import Metadata
from syndb_pipeline.destinations.base import Deletion, TableCheck, Upload
from syndb_pipeline.publishing.kept_tables import Kept, KeptTables
from syndb_pipeline.state.locks import require_held
from syndb_pipeline.state.results import RowsSetAside, Summary
from syndb_pipeline.state.store import (
    DatasetStore,
    append_line,
    whole_lines,
    write_atomically,
)


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Numbered(_Kept):
    """A record whose `order` is its number among all of the dataset, from 1: what came later is
    never asked of the clock, which may have been set. It is 0 in records of before they were
    numbered: those came first, and among them the time decides."""

    order: int = 0


How = Literal["prompt", "option", "standing", "ui"]

State = Literal["start", "unanswered", "done", "refused"]
"""Of a step in the journal. A start that nothing follows may have happened or not; one that was
refused did not.

`unanswered` says when we began to wait for what a start may still bring: an upload may have started
hours before its answer was lost.
"""


class Approval(_Numbered):
    """A person's consent to send exactly one plan. `parts` are the plan's parts by digest, to say
    later what changed."""

    digest: str
    by: str
    how: How
    at: datetime
    destination: str
    parts: dict[str, str] = {}


ReasonKind = Literal[
    "terms",
    "licence",
    "destination",
    "access",
    "metadata",
    "table-gone",
    "rows-fallen",
    "rows-grown",
    "keys-replaced",
    "rows-withdrawn",
    "empty-cells",
    "values-moved",
    "new-finding",
    "new-version",
    "not-comparable",
]


class Reason(_Kept):
    """One difference between a plan and the last publication that a standing approval does not
    cover: `of` is the table, column or setting, `limit` the one that is passed, if there is one."""

    kind: ReasonKind
    of: str
    change: str
    was: str
    now: str
    limit: str = ""

    def __str__(self) -> str:
        limit = f" (limit {self.limit})" if self.limit else ""
        return f"{self.of}: {self.change}{limit}; was {self.was}, now {self.now}"


class Compared(_Kept):
    """A plan beside the last publication: the reasons to hold it under standing approval, and in
    `notes` what could not be compared, and why. `published` is that publication's time."""

    published: datetime | None = None
    reasons: tuple[Reason, ...] = ()
    notes: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """It as text, for people; none where nothing is to be said."""
        if self.published and (self.reasons or self.notes):
            yield f"Compared with the publication of {self.published:%Y-%m-%d %H:%M} UTC"
        for each in (*self.reasons, *self.notes):
            yield from wrap(str(each), 80, initial_indent="  ", subsequent_indent="    ")


class Decision(_Kept):
    """A person's answer to a plan that is held; `reason` is theirs."""

    answer: Literal["approved", "rejected"]
    by: str
    how: How
    at: datetime
    reason: str = ""


class Hold(_Numbered):
    """A plan that standing approval did not send, or that a person rejected.

    `content` is a digest of what the plan would send, whatever its bytes, so that a rejection holds
    for them all. `since` is when the plan was held first; `decisions` are in the order of time.
    """

    plan: str
    content: str
    destination: str
    since: datetime
    compared: Compared
    decisions: tuple[Decision, ...] = ()

    @property
    def decision(self) -> Decision | None:
        """The last; None while no one has decided."""
        return self.decisions[-1] if self.decisions else None

    @property
    def answered(self) -> str:
        """Since when, and what a person said."""
        since, last = f"since {self.since:%Y-%m-%d %H:%M} UTC", self.decision
        if last is None:
            return f"{since}: it changes more than standing approval covers"
        why = f": {last.reason}" if last.reason else ""
        return f"{since}: {last.by} {last.answer} this plan on {last.at:%Y-%m-%d %H:%M} UTC{why}"

    @property
    def rejected(self) -> bool:
        return self.decision is not None and self.decision.answer == "rejected"


class Changes(_Kept):
    """Of one table: rows that were not published before, that were with other values, and that were
    and are not among the rows now."""

    added: int
    changed: int
    withdrawn: int

    def __str__(self) -> str:
        return ", ".join(f"{count:,} {what}" for what, count in self if count)


class Since(_Kept):
    """What changed since a publication, by table; tables of either. `stay` says whether withdrawn
    rows stay at the destination."""

    published: datetime
    plan: str
    tables: dict[str, Changes]
    stay: bool = Field(default=True, exclude_if=bool)

    @property
    def withdrawn(self) -> int:
        """Rows that are published and not among the rows now."""
        return sum(table.withdrawn for table in self.tables.values())

    def lines(self, destination: str) -> Iterator[str]:
        """It as text, for people."""
        yield f"Since the publication of {self.published:%Y-%m-%d %H:%M} UTC"
        changed = {name: each for name, each in self.tables.items() if any(dict(each).values())}
        width = max(map(len, changed), default=0)
        yield from (f"  {name:<{width}}  {each}" for name, each in changed.items())
        if not changed:
            yield "  no row changed"
        if self.withdrawn and self.stay:
            yield f"  Withdrawn rows stay at {destination}. Only deleting the whole dataset there,"
            yield "  for good (syndb-pipeline delete), and publishing it again removes them."


class Receipt(_Numbered):
    """What was published, to whom, and what was found there afterwards.

    `tables` holds each table's rows sent and found; more found than sent are rows of earlier
    uploads. `content`, `columns` and `findings` are those of the plan. `account` is what the
    destination calls who sent it, `speaks` its interface, for people. Receipts of before these were
    kept have none.
    `set_aside` has by table the rows that were not sent, `since` what changed since the receipt
    before, `statements` is the digest of the terms that were accepted.
    """

    plan: str
    dataset: UUID
    label: str
    destination: str
    target: str
    speaks: str = ""
    owner: str
    account: str = ""
    metadata: Metadata
    license: str
    terms: dict[str, Any]
    statements: str = ""
    description: Description | None = None
    approval: Approval
    upload: Upload
    tables: dict[str, TableCheck]
    content: dict[str, str] = {}
    columns: dict[str, dict[str, Summary]] | None = None
    findings: tuple[str, ...] | None = None
    since: Since | None = None
    set_aside: dict[str, RowsSetAside] = {}
    number_of_units: int
    files: int
    file_bytes: int
    chain: dict[str, str]
    inputs: dict[str, str]
    versions: dict[str, str]
    published: datetime

    @property
    def rows(self) -> int:
        """Rows sent, all tables together."""
        return sum(table.sent for table in self.tables.values())


class Tombstone(_Numbered):
    """What was deleted, where, by whom. `receipt` is the plan digest of the newest receipt at that
    time."""

    destination: str
    deletion: Deletion
    receipt: str | None = None


class Deleted(NamedTuple):
    """A deletion: when, and its number among our records; None where the destination alone knows
    of it."""

    at: datetime
    order: int | None

    def before(self, record: Approval | Receipt) -> bool:
        """Whether it came before a record was kept."""
        if self.order is None or self.order == record.order:
            return self.at < (record.at if isinstance(record, Approval) else record.published)
        return self.order < record.order


class JournalLine(_Kept):
    at: datetime
    plan: str
    destination: str
    step: str
    state: State
    details: dict[str, Any] = {}


_N = TypeVar("_N", bound=_Numbered)
_K = TypeVar("_K", bound=_Kept)

_NUMBERING_SECONDS: Final = 30


class PublishRecords:
    """The `publish` folder of a dataset's store."""

    def __init__(self, store: DatasetStore) -> None:
        self.dataset = store.dataset
        self._store = store
        self.folder = store.folder / "publish"
        self.receipt_path = self.folder / "receipt.json"
        self.kept = KeptTables(self.folder / "tables")
        self._held = self.folder / "held"
        self._journal = self.folder / "journal.jsonl"

    @contextmanager
    def lock(
        self, *, wait: float = 0, log: Callable[[str], None] = lambda line: None
    ) -> Iterator[None]:
        """Hold the dataset's publication. Raises `PipelineError` when another process has it for
        more than `wait` seconds."""
        message = f"Dataset {self.dataset} is being published or deleted by another process."
        with self._store.held("publish/.lock", message, wait=wait, say=log):
            yield

    def approvals(self) -> list[Approval]:
        """Every approval, oldest first."""
        return self._all(Approval, "approvals")

    def add_approval(self, approval: Approval) -> Approval:
        """Keep an approval; returns it as it is kept."""
        return self._add(approval, f"approvals/{_stamp(approval.at)}-{approval.digest[:12]}.json")

    def hold(self) -> Hold | None:
        """The hold of the newest plan; None when that was sent, or has nothing to send."""
        if not self._held.is_file():
            return None
        path = self.folder / "holds" / f"{self._held.read_text(errors='replace')}.json"
        return _kept(Hold, path.read_bytes() if path.is_file() else b"", path)

    def holds(self) -> list[Hold]:
        """Every plan that was ever held or rejected."""
        return self._all(Hold, "holds")

    def keep_hold(self, hold: Hold) -> None:
        """Keep a hold as that of the newest plan."""
        self._add(hold, f"holds/{hold.plan}.json")
        write_atomically(self._held, hold.plan)

    def decide(self, plan: str, content: str, decision: Decision) -> None:
        """Keep a decision with the holds of a plan, and with those of the same content."""
        for kept in self.holds():
            if kept.plan == plan or kept.content == content:
                decided = kept.model_copy(update={"decisions": (*kept.decisions, decision)})
                self._add(decided, f"holds/{kept.plan}.json")

    def end_hold(self) -> None:
        """Have no hold: the newest plan was sent, or has nothing to send."""
        self._held.unlink(missing_ok=True)

    def receipt(self, plan: str | None = None) -> Receipt | None:
        """The receipt of a plan, or the newest of all; None when there is none."""
        path = self.folder / "receipts" / f"{plan}.json" if plan else self.receipt_path
        return _kept(Receipt, path.read_bytes(), path) if path.is_file() else None

    def receipts(self) -> list[Receipt]:
        """The last receipt of each plan, oldest first."""
        return sorted(self._all(Receipt, "receipts"), key=lambda each: (each.order, each.published))

    def write_receipt(self, receipt: Receipt, kept: Kept) -> Receipt:
        """Keep a receipt and what was published; returns it as it is kept. A crash in between is
        repaired by writing again."""
        self.kept.keep(receipt.plan, kept)
        numbered = self._add(receipt, f"receipts/{receipt.plan}.json", self.receipt_path.name)
        # Plans of the same content are one publication.
        newest = {each.published: each.plan for each in self.receipts()}
        self.kept.forget_all_but([*newest.values()][-kept.versions :])
        return numbered

    def tombstones(self) -> list[Tombstone]:
        """Every deletion, oldest first."""
        return self._all(Tombstone, "tombstones")

    def add_tombstone(self, tombstone: Tombstone) -> Tombstone:
        """Keep a tombstone; returns it as it is kept."""
        return self._add(tombstone, f"tombstones/{_stamp(tombstone.deletion.at)}.json")

    def deleted(
        self, destination: str, deletions: Iterable[Deletion] = (), *, gone: bool = False
    ) -> list[Deleted]:
        """The deletions of the dataset at a destination, as far as they are known.

        Args:
            destination: Its name.
            deletions: Those that it knows itself.
            gone: Whether the dataset is not there now.
        """
        ours = [each for each in self.tombstones() if each.destination == destination]
        found = [Deleted(each.deletion.at, each.order) for each in ours]
        kept = [each.deletion for each in ours]
        found += [Deleted(each.at, None) for each in deletions if each not in kept]
        receipt = self.receipt()
        if gone and receipt is not None and receipt.destination == destination:
            # It was there then, and is not now.
            found.append(Deleted(receipt.published, receipt.order))
        return found

    def journal(self) -> list[JournalLine]:
        """The journal, oldest first."""
        return [_kept(JournalLine, line, self._journal) for line in whole_lines(self._journal)]

    def note(
        self,
        plan: str,
        destination: str,
        step: str,
        state: State,
        details: dict[str, Any] | None = None,
    ) -> None:
        """Append a line to the journal and force it to disk.

        Args:
            plan: The plan's digest; empty for a deletion.
            destination: Its name.
            step: What is done.
            state: How far it is.
            details: What the step will need should it be taken up again.

        Raises `PipelineError` when a step would start and a lock of this process was lost.
        """
        if state == "start":
            require_held()
        line = JournalLine(
            at=datetime.now(UTC),
            plan=plan,
            destination=destination,
            step=step,
            state=state,
            details=details or {},
        )
        append_line(self._journal, line.model_dump_json())

    def last(
        self, plan: str | None, destination: str, step: str, state: State | None = None
    ) -> JournalLine | None:
        """The last line the journal has of a step: its start when it is not known how it ended.

        `plan` None means of any plan, `state` None of any state.
        """
        wanted = (plan, destination, step, state)
        for line in reversed(self.journal()):
            found = (line.plan, line.destination, line.step, line.state)
            if all(value in (None, own) for value, own in zip(wanted, found, strict=True)):
                return line
        return None

    def _all(self, kind: type[_N], folder: str) -> list[_N]:
        paths = sorted((self.folder / folder).glob("[!.]*.json"))
        records = [_kept(kind, path.read_bytes(), path) for path in paths]
        return sorted(records, key=lambda record: record.order)

    def _add(self, record: _N, *names: str) -> _N:
        """Give a record its number and write it under each of the names."""
        message = f"A record of dataset {self.dataset} is being written by another process."
        with self._store.held("publish/.order", message, wait=_NUMBERING_SECONDS):
            kept = [*self.approvals(), *self.holds(), *self.tombstones(), self.receipt()]
            order = 1 + max((each.order for each in kept if each), default=0)
            record = record.model_copy(update={"order": order})
            for name in names:
                write_atomically(self.folder / name, record.model_dump_json(indent=1) + "\n")
        return record


def _kept(kind: type[_K], content: bytes, path: Path) -> _K:
    """A record as it was kept. Raises `PipelineError` when it is damaged: what was approved or sent
    must never be guessed."""
    try:
        return kind.model_validate_json(content)
    except ValidationError:
        raise PipelineError(
            f"{path}: not written by this program, or damaged.",
            next_step="Restore it from a backup, or move it out of that folder; then give the same "
            "command again. It asks the destination what is there, and sends nothing twice.",
        ) from None


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
