"""How every known dataset is, in a line each: what needs a person first.

Belongs here: judging a dataset by what is kept of it. Does not: reading tables, asking a
destination (`status.py`), or keeping anything.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple, get_args
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from syndb_pipeline.base.errors import ConfigError, Exit, PipelineError
from syndb_pipeline.config.settings import DatasetConfig, PipelineSettings, load_dataset
from syndb_pipeline.destinations import require_named
from syndb_pipeline.publishing.plan import digest_on_record
from syndb_pipeline.publishing.records import Hold, PublishRecords
from syndb_pipeline.stages.runner import rejection
from syndb_pipeline.state.attempts import LOST, Attempts, Last
from syndb_pipeline.state.registry import configs, is_away, owners, read_configs
from syndb_pipeline.state.store import DatasetStore

State = Literal[
    "unusable",
    "unknown",
    "failed",
    "held",
    "rejected",
    "late",
    "unpublished",
    "never run",
    "published",
]
"""In the order in which they need a person."""

NEEDS_A_PERSON: Final = get_args(State)[:7]


class Line(BaseModel):
    """How a dataset is. `why` says it in a sentence or more, empty where it is published;
    `next_step` is what to type. `since` is when it became so, where that is known.

    `last_success` is when it was last published, or there was nothing to send; `late` whether that
    is longer ago than its `late_after`, whatever its state. `digest` is that of the plan of what is
    packed. `running` is when a run that is under way began.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    config: Path
    dataset: UUID | None = None
    destination: str = ""
    state: State
    since: datetime | None = None
    last_success: datetime | None = None
    late: bool = False
    running: datetime | None = None
    digest: str | None = None
    why: str = ""
    next_step: str = ""


def overview(settings: PipelineSettings) -> list[Line]:
    """How every known dataset is, those that need a person first, then by name. Reads records alone
    and asks no destination; what cannot be read makes its own dataset `unusable`."""
    paths, read = configs(settings), read_configs(settings)
    lines = [_line(settings, paths[name], read[name]) for name in read.keys() & paths.keys()]
    here = {line.config.resolve() for line in lines} | {line.dataset for line in lines}
    for identity, path in owners(settings).items():
        if here & {identity, path.resolve()}:
            continue
        if path.is_file():  # it was never run by its path, but prepared or published
            lines.append(_line(settings, path))
        elif is_away(path):
            why = f"{path} is not there, nor any other config beside it."
            step = "If its folder is on a share, see whether it is mounted."
            lines.append(_unusable(path, PipelineError(why, next_step=step), identity))
    order = get_args(State)
    return sorted(lines, key=lambda line: (order.index(line.state), line.name))


def _line(
    settings: PipelineSettings, path: Path, config: DatasetConfig | ConfigError | None = None
) -> Line:
    identity = None
    try:
        if isinstance(config, ConfigError):
            raise config
        config = config or load_dataset(path)
        identity = config.dataset.id
        return _Dataset(settings, config).line()
    except PipelineError as error:
        return _unusable(path, error, identity)
    except (OSError, ValueError) as error:  # a file that cannot be read, or holds something else
        return _unusable(path, PipelineError(f"Its state cannot be read: {error}"), identity)


def _unusable(path: Path, error: PipelineError, dataset: UUID | None = None) -> Line:
    return Line(
        name=path.stem,
        config=path,
        dataset=dataset,
        state="unusable",
        why=error.message,
        next_step=error.next_step or f"Correct it, then: syndb-pipeline check {path}",
    )


_WHILE_SENDING = (Exit.INTERRUPTED, Exit.INTERNAL, Exit.REFUSED)
"""Ends that leave open what became of an upload that had started."""


class _Found(NamedTuple):
    """What is to be said of a dataset; without a `next_step` it is to be published."""

    state: State
    since: datetime | None
    why: str
    next_step: str = ""


class _Dataset:
    """What is kept of one dataset."""

    def __init__(self, settings: PipelineSettings, config: DatasetConfig) -> None:
        self.config, self.where = config, config.publish.destination
        require_named(settings, self.where)
        self.store = DatasetStore(settings.state, config.dataset.id)
        self.records, attempts = PublishRecords(self.store), Attempts(self.store.folder)
        self.prepared, self.sent = attempts.last("prepare"), attempts.last("publish")
        target = settings.destinations[self.where].target
        self.digest = digest_on_record(self.store, (self.where, target))
        self.deleted = self.records.deleted(self.where)
        receipt = self.records.receipt()
        if receipt and not all(each.before(receipt) for each in self.deleted):
            receipt = None
        self.receipt = receipt if receipt and receipt.destination == self.where else None
        # A plan of before the newest is not what is there, even if it is packed again.
        self.published = bool(self.receipt and self.receipt.plan == self.digest)

    def line(self) -> Line:
        """The dataset's line."""
        config, limit = self.config, self.config.late_after
        success = self._last_success()
        late = bool(limit and success and datetime.now(UTC) - success > limit)
        found = self._unknown() or self._not_prepared() or self._not_published()
        if found is None and late:
            hours = limit.total_seconds() / 3600 if limit else 0
            why = f"For more than {hours:g} hours it was neither published nor found unchanged."
            found = _Found("late", success, why)
        sent = self.receipt.published if self.receipt else None
        state, since, why, next_step = found or _Found("published", sent, "")
        running = [each.started for each in (self.prepared, self.sent) if each.running]
        return Line(
            name=config.name,
            config=config.path,
            dataset=config.dataset.id,
            destination=self.where,
            state=state,
            since=since,
            last_success=success,
            late=late,
            running=running[0] if running else None,
            digest=self.digest,
            why=why,
            next_step=next_step or (self._command("publish") if why else ""),
        )

    def _command(self, command: str) -> str:
        return f"syndb-pipeline {command} {self.config.path}"

    def _last_success(self) -> datetime | None:
        """When it was published, or there was nothing to send: publishing said so, or preparing
        found the package that is published still to hold."""
        if self.receipt is None:
            return None
        times = [self.receipt.published]
        if self.sent.end and self.sent.end.succeeded:
            times.append(self.sent.end.ended)
        if self.published:
            found = self.store.record_path("package").stat().st_mtime
            times.append(datetime.fromtimestamp(found, UTC))
        return max(times)

    def _unknown(self) -> _Found | None:
        end, last = self.sent.end, self.records.last(None, self.where, "upload")
        deletion = self.records.last(None, self.where, "delete")
        unanswered = last is not None and last.state in ("start", "unanswered")
        if unanswered and self.sent.broke_off:
            why = "It was being sent when that broke off; whether it arrived is not known."
            return _Found("unknown", self.sent.started, why)
        if end and not self.sent.broke_off and end.exit is Exit.UNKNOWN:
            return _Found("unknown", end.since, end.message, end.next_step)
        if unanswered and not self.sent.running and end and end.exit in _WHILE_SENDING:
            why = f"{end.message} Whether what was being sent arrived is not known."
            return _Found("unknown", end.since, why, end.next_step)
        if deletion and deletion.state == "start":
            command = f"syndb-pipeline delete {self.store.dataset} --destination {self.where}"
            return _Found("unknown", deletion.at, "Whether it was deleted is not known.", command)
        return None

    def _not_prepared(self) -> _Found | None:
        end, verdict = self.prepared.end, self.store.verdict
        if failed := _failed(self.prepared, Exit.REJECTED):
            return failed
        if verdict is None:
            why = "It was never checked to the end."
            return _Found("never run", None, why, self._command("plan"))
        if not verdict.details.accepted:
            since = end.since if end and not end.succeeded else None
            return _Found("rejected", since, rejection(verdict), self._command("check"))
        return None

    def _not_published(self) -> _Found | None:
        end, hold = self.sent.end, self.records.hold()
        done = end is None or end.succeeded or self.sent.broke_off  # after the receipt was written
        if self.published and done:
            return None
        if failed := _failed(self.sent, Exit.APPROVAL, Exit.REJECTED):
            return failed
        if hold and hold.plan == self.digest and (hold.decision is None or hold.rejected):
            return self._held(hold)
        return self._unpublished()

    def _held(self, hold: Hold) -> _Found:
        command, no = f"{self.config.path} {hold.plan[:12]}", hold.decision
        reasons = "; ".join(map(str, hold.compared.reasons))
        why = f"Held {hold.answered}" + ("" if no else f": {reasons}")
        commands = f"syndb-pipeline approve {command}"
        commands += "" if no else f"\nsyndb-pipeline reject {command}"
        return _Found("held", no.at if no else hold.since, why, commands)

    def _unpublished(self) -> _Found:
        end, gone = self.sent.end, [each.at for each in self.deleted]
        package = self.store.record("package")
        packed = package.run.started if package and package.run else None
        if self.digest is None or package is None:
            why = "It was accepted, and is not packed yet."
            return _Found("unpublished", None, why, self._command("plan"))
        if end and end.exit is Exit.APPROVAL and packed and packed < end.ended:
            return _Found("unpublished", end.since, end.message, end.next_step)
        if gone and not self.receipt:
            why = f"It was deleted at {self.where} on {max(gone):%Y-%m-%d %H:%M} UTC."
            return _Found("unpublished", max(gone), why)
        approvals = [each for each in self.records.approvals() if each.digest == self.digest]
        if approvals:
            why = f"{approvals[-1].by} approved this plan, and it was not sent since."
            return _Found("unpublished", approvals[-1].at, why)
        standing = self.config.publish.approval == "standing"
        waits = "was not sent yet" if standing else "waits for a person's approval"
        return _Found("unpublished", packed, f"It is packed, and {waits}.")


def _failed(last: Last, *others: Exit) -> _Found | None:
    """The failure that attempts ended with last, unless it is one of `others`."""
    if last.broke_off:
        return _Found("failed", last.started, f"{last.step}: {LOST.message}")
    end = last.end
    if end is None or end.succeeded or end.exit in others:
        return None
    return _Found("failed", end.since, f"{end.step}: {end.message}", end.next_step)
