"""What is kept of publishing: approvals, receipts, tombstones and the journal, in
`<store>/publish/`.

Belongs here: the records and writing them so that a crash loses none. Does not: deciding
(`plan.py`, `stages/publish.py`).

    approvals/<time>-<digest>.json   every approval ever given receipts/<plan digest>.json      the
    last receipt of each plan; receipt.json is the newest of all tombstones/<time>.json
    every deletion journal.jsonl                    each step, before and after, one line each
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, ValidationError

from syndb_pipeline.base.engine import flush
from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.destinations.base import Deletion, Metadata, TableCheck, Upload
from syndb_pipeline.publishing.manifest import RowsSetAside
from syndb_pipeline.state.store import DatasetStore, hold, write_atomically


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True)


How = Literal["prompt", "option", "standing", "ui"]

State = Literal["start", "unanswered", "done", "refused"]
"""Of a step in the journal. A start that nothing follows may have happened or not; one that was
refused did not.

`unanswered` says when we began to wait for what a start may still bring: an upload may have begun
hours before its answer was lost.
"""


class Approval(_Kept):
    """A person's consent to send exactly one plan. `parts` are the plan's parts by digest, to tell
    later what changed.
    """

    digest: str
    by: str
    how: How
    at: datetime
    destination: str
    parts: dict[str, str] = {}


class Receipt(_Kept):
    """What was published, to whom, and what was found there afterwards.

    `tables` holds each table's rows sent and found; more found than sent are rows of earlier
    uploads. `account` is what the destination calls who sent it, for people; empty in receipts of
    before it was kept. `set_aside` tells by table the rows that were left out.
    """

    plan: str
    dataset: UUID
    label: str
    destination: str
    target: str
    owner: str
    account: str = ""
    metadata: Metadata
    license: str
    terms: dict[str, Any]
    approval: Approval
    upload: Upload
    tables: dict[str, TableCheck]
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


class Tombstone(_Kept):
    """What was deleted, where, by whom. `receipt` is the plan digest of the newest receipt at that
    time.
    """

    destination: str
    deletion: Deletion
    receipt: str | None = None


class JournalLine(_Kept):
    at: datetime
    plan: str
    destination: str
    step: str
    state: State
    details: dict[str, Any] = {}


class PublishRecords:
    """The `publish` folder of a dataset's store."""

    def __init__(self, store: DatasetStore) -> None:
        self.dataset = store.dataset
        self.folder = store.folder / "publish"

    @contextmanager
    def lock(
        self, *, wait: float = 0, say: Callable[[str], None] = lambda line: None
    ) -> Iterator[None]:
        """Hold the dataset's publication. Raises `PipelineError` when another process has it for
        more than `wait` seconds.
        """
        message = f"Dataset {self.dataset} is being published or deleted by another process."
        with hold(self.folder / ".lock", message, wait=wait, say=say):
            yield

    def approvals(self) -> list[Approval]:
        """Every approval, oldest first."""
        return [_kept(Approval, path.read_bytes(), path) for path in self._sorted("approvals")]

    def add_approval(self, approval: Approval) -> None:
        self._add("approvals", f"{_stamp(approval.at)}-{approval.digest[:12]}", approval)

    def receipt(self, plan: str | None = None) -> Receipt | None:
        """The receipt of a plan, or the newest of all; None when there is none."""
        path = self.folder / (f"receipts/{plan}.json" if plan else "receipt.json")
        return _kept(Receipt, path.read_bytes(), path) if path.is_file() else None

    def write_receipt(self, receipt: Receipt) -> Path:
        """Keep a receipt; returns where the newest lies. A crash between the two files is mended by
        writing again.
        """
        text = receipt.model_dump_json(indent=1) + "\n"
        write_atomically(self.folder / "receipts" / f"{receipt.plan}.json", text)
        write_atomically(self.receipt_path, text)
        return self.receipt_path

    @property
    def receipt_path(self) -> Path:
        return self.folder / "receipt.json"

    def tombstones(self) -> list[Tombstone]:
        """Every deletion, oldest first."""
        return [_kept(Tombstone, path.read_bytes(), path) for path in self._sorted("tombstones")]

    def add_tombstone(self, tombstone: Tombstone) -> Path:
        return self._add("tombstones", _stamp(tombstone.deletion.at), tombstone)

    def journal(self) -> list[JournalLine]:
        """The journal, oldest first. A line cut off by a crash was never acted upon and is left
        out.
        """
        path = self.folder / "journal.jsonl"
        if not path.is_file():
            return []
        whole = path.read_bytes().rpartition(b"\n")[0]
        return [_kept(JournalLine, line, path) for line in whole.split(b"\n") if line]

    def note(
        self,
        plan: str,
        destination: str,
        step: str,
        state: State,
        details: dict[str, Any] | None = None,
    ) -> None:
        """Append a line to the journal and force it to disk."""
        line = JournalLine(
            at=datetime.now(UTC),
            plan=plan,
            destination=destination,
            step=step,
            state=state,
            details=details or {},
        )
        text = (
            json.dumps(line.model_dump(mode="json"), separators=(",", ":"), ensure_ascii=False)
            + "\n"
        ).encode()
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "journal.jsonl"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        with os.fdopen(descriptor, "r+b") as file:
            # A cut-off line goes, so that every line of the file stays readable.
            file.truncate(_whole_length(file.read()))
            file.seek(0, os.SEEK_END)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        flush(self.folder)

    def last(
        self, plan: str | None, destination: str, step: str, state: State | None = None
    ) -> JournalLine | None:
        """The last line the journal has of a step: its start when nobody knows how it ended.

        `plan` None means of any plan, `state` None of any state.
        """
        lines = [
            line
            for line in self.journal()
            if (line.destination, line.step) == (destination, step)
            and plan in (None, line.plan)
            and state in (None, line.state)
        ]
        return lines[-1] if lines else None

    def _sorted(self, kind: str) -> list[Path]:
        return sorted((self.folder / kind).glob("[!.]*.json"))

    def _add(self, kind: str, name: str, record: BaseModel) -> Path:
        path = self.folder / kind / f"{name}.json"
        if path.exists():
            path = path.with_name(f"{name}-{uuid4().hex[:8]}.json")
        write_atomically(path, record.model_dump_json(indent=1) + "\n")
        return path


_K = TypeVar("_K", bound=_Kept)


def _kept(kind: type[_K], content: bytes, path: Path) -> _K:
    """A record as it was kept. Raises `PipelineError` when it is damaged: what was approved or sent
    must never be guessed.
    """
    try:
        return kind.model_validate_json(content)
    except ValidationError:
        raise PipelineError(
            f"{path}: not written by this program, or damaged.",
            next_step=(
                "Restore it from a backup, or move it out of that folder; then give the same"
                " command again. It asks the destination what is there, and sends nothing twice."
            ),
        ) from None


def _whole_length(content: bytes) -> int:
    return content.rfind(b"\n") + 1


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
