"""publish: send an approved plan, read it back, keep a receipt. Safe to give again at any moment.

Belongs here: the order of the steps and how they are taken up again. Does not: what a plan is (`publication/plan.py`) or wire formats.

It is no `Stage`: its result is not a folder that follows from inputs. Each step goes into a journal before and after, but the destination
is the authority on what is there: every step asks it first and does only what is missing, so after a crash the same command completes with
nothing twice.

A deletion is a person's word that the data should not be there. So approvals given before the dataset was deleted (by us, or by anybody:
the destination no longer has what a receipt says it had) do not count any more, and neither does a standing approval until a person has
approved a plan since.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from syndb_pipeline.destinations import open_destination
from syndb_pipeline.destinations.base import DatasetInfo, Destination, Identity, StoredFile, TableCheck, Upload, differences
from syndb_pipeline.destinations.embedded import operating_system_user
from syndb_pipeline.errors import ApprovalError, DestinationRefused, OutcomeUnknown
from syndb_pipeline.publication.manifest import PackagedFile
from syndb_pipeline.publication.plan import Plan, approve_plan, changed_since, names, plan, require_consent, require_metadata
from syndb_pipeline.publication.records import Approval, JournalLine, PublishRecords, Receipt
from syndb_pipeline.stages.stage import Context
from syndb_pipeline.store import DatasetStore


def publish(
    context: Context,
    approve: str | None = None,
    say: Callable[[str], None] | None = None,
    *,
    by: str | None = None,
    destination: Destination | None = None,
    wait: float = 0,
) -> Receipt:
    """Publish the dataset's package to the config's destination. Returns the receipt, the old one when the same plan is there already.

    `approve` is the digest of the plan (in full or its first 12 characters or more), given by `by` (the operating system's user when left
    out); without it a kept or standing approval of exactly this plan must be there. `destination` stands in for the one the config names.
    The caller may hold the dataset's lock; publishing has one of its own, for which it waits `wait` seconds at most.

    Raises `ApprovalError` (4: terms, approval, or a byte changed since), `ConfigError` (2: licence, metadata, destination, nothing
    prepared), `DataRejected` (3), `DestinationRefused` (5), `OutcomeUnknown` (6: no answer tells whether something arrived; the same
    command asks first and settles it).
    """
    say = say or context.say
    records = PublishRecords(context.store)
    destination = destination or open_destination(context.settings, context.config.publish.destination)
    with records.lock(wait=wait, say=say):
        require_consent(context.config.terms, context.config.path)
        current = plan(context, destination)
        require_metadata(current.metadata, context.config.path)
        who = destination.who_am_i()
        if approve is not None and not names(approve, current.digest):
            approve_plan(context, current, approve, "", "option")  # raises, and says why
        info = destination.info(current.dataset)
        if (receipt := _published(records, destination, current, info)) is not None:
            say(f"Published already on {receipt.published:%Y-%m-%d %H:%M} UTC; nothing to send.")
            return receipt
        approval = _approval(context, records, destination, current, info, approve, by or operating_system_user())
        return _Publication(context, records, destination, current, approval, who, say).run()


def _published(records: PublishRecords, destination: Destination, current: Plan, info: DatasetInfo | None) -> Receipt | None:
    """The receipt of this very plan, when all of it is still at the destination."""
    receipt = records.receipt(current.digest)
    if receipt is None or info is None or info.owner != receipt.owner:
        return None
    if any(info.rows.get(name, 0) < table.rows for name, table in current.tables.items()):
        return None
    # Another upload since may have replaced rows of this one.
    other = info.uploads is not None and (not info.uploads or info.uploads[-1].tar_sha256 != current.tar.sha256)
    if other and any(check.missing for check in destination.compare(current.dataset, current.tar_path)):
        return None
    if _files_to_send(current, destination.files(current.dataset)):
        return None
    if records.last(current.digest, destination.name, "receipt") is None or records.receipt() != receipt:  # killed in between
        records.write_receipt(receipt)
        records.note(current.digest, destination.name, "receipt", "done")
    return receipt


def deleted_at(store: DatasetStore, destination: Destination, dataset: UUID, info: DatasetInfo | None) -> datetime | None:
    """When the dataset was last deleted at the destination, as far as the store or the destination knows; None when it never was."""
    records = PublishRecords(store)
    times = [tombstone.deletion.at for tombstone in records.tombstones() if tombstone.destination == destination.name]
    times += [deletion.at for deletion in destination.deletions(dataset)]
    receipt = records.receipt()
    if info is None and receipt is not None and receipt.destination == destination.name:
        times.append(receipt.published)  # it was there then, and is not now
    return max(times, default=None)


def valid_approvals(context: Context, current: Plan, since: datetime | None) -> list[Approval]:
    """The kept approvals of exactly this plan, given after `since`."""
    return [
        approval
        for approval in PublishRecords(context.store).approvals()
        if approval.digest == current.digest and (since is None or approval.at > since)
    ]


def _approval(
    context: Context,
    records: PublishRecords,
    destination: Destination,
    current: Plan,
    info: DatasetInfo | None,
    given: str | None,
    by: str,
) -> Approval:
    since = deleted_at(context.store, destination, current.dataset, info)
    if kept := valid_approvals(context, current, since):
        return kept[-1]
    if given is not None:
        return approve_plan(context, current, given, by, "option")
    every = records.approvals()
    by_person = [approval for approval in every if approval.how != "standing" and (since is None or approval.at > since)]
    if context.config.publish.approval == "standing" and (since is None or by_person):
        terms = require_consent(context.config.terms, context.config.path)
        return approve_plan(context, current, current.digest, terms.accepted_by, "standing")
    reason = "Nobody has approved this plan"
    if since is not None and any(approval.at <= since for approval in every):
        reason = f"The dataset was deleted at {destination.name} (known since {since:%Y-%m-%d %H:%M} UTC); earlier approvals do not count"
    elif every:
        last = every[-1]
        reason = f"The plan approved by {last.by} on {last.at:%Y-%m-%d %H:%M} UTC is another: {changed_since(last, current)}"
    raise ApprovalError(
        f"{reason}.",
        next_step=f"Read it with: syndb-pipeline plan {context.config.path}\n"
        f"Then approve exactly this plan with: syndb-pipeline publish {context.config.path} --approve {current.digest[:12]}",
    )


@dataclass
class _Publication:
    """One run of the steps of an approved plan."""

    context: Context
    records: PublishRecords
    destination: Destination
    plan: Plan
    approval: Approval
    who: Identity
    say: Callable[[str], None]

    def run(self) -> Receipt:
        self._register()
        upload = self._upload()
        self._files()
        checks, info, stored = self._read_back()
        ours = {(file.kind, file.unit) for file in stored} & {(file.kind, file.cid) for file in self.plan.files}
        receipt = Receipt(
            plan=self.plan.digest,
            dataset=self.plan.dataset,
            label=self.plan.label,
            destination=self.destination.name,
            target=self.destination.target,
            owner=info.owner,
            metadata=self.plan.metadata,
            license=self.plan.metadata.license,
            terms=self.plan.terms or {},
            approval=self.approval,
            upload=upload,
            tables={check.table: check for check in checks},
            number_of_units=info.number_of_units,
            files=len(ours),
            file_bytes=self.plan.file_bytes,
            chain=self.plan.chain,
            inputs=self.plan.inputs,
            versions=self.plan.versions,
            published=datetime.now(UTC),
        )
        path = self.records.write_receipt(receipt)
        self._note("receipt", "done")
        self.say(f"Published {receipt.rows:,} rows in {len(checks)} tables to {self.destination.name}. Receipt: {path}")
        return receipt

    def _note(self, step: str, state: Literal["start", "done"], details: dict[str, Any] | None = None) -> None:
        self.records.note(self.plan.digest, self.destination.name, step, state, details)

    def _register(self) -> None:
        """Register the dataset, or select the one that is there: ours, with the same metadata. Metadata are never changed in silence."""
        info = self.destination.info(self.plan.dataset)
        if info is None:
            self.say(f"Registering {self.plan.label} at {self.destination.name} as {self.who.name}")
            self._note("register", "start")
            info = self.destination.register(self.plan.metadata)
            self._note("register", "done")
        if info.owner != self.who.id:
            raise DestinationRefused(
                f"Dataset {self.plan.dataset} at {self.destination.name} belongs to {info.owner}; you are {self.who.name}.",
                next_step="Ask its owner, or give your dataset an id of its own.",
            )
        if found := differences(self.plan.metadata, info.metadata):
            raise DestinationRefused(
                f"Dataset {self.plan.dataset} is at {self.destination.name} with other metadata:\n"
                + "\n".join(f"  {line}" for line in found),
                next_step="Give the config the metadata that are there; or delete the dataset there and publish it anew; or give "
                "this dataset an id of its own.",
            )

    def _upload(self) -> Upload:
        """Send the tar, unless it is there."""
        info = self._info()
        last = self.records.last(self.plan.digest, self.destination.name, "upload")
        upload = self._arrived(info, last)
        if upload is None:
            earlier = sum(info.rows.values())
            self.say(f"Sending {self.plan.rows:,} rows" + (f" to the {earlier:,} that are there" if earlier else ""))
            self._note("upload", "start", {"number_of_units": info.number_of_units})
            try:
                upload = self.destination.upload(self.plan.dataset, self.plan.tar_path, self.plan.tar.sha256)
            except OutcomeUnknown as silence:
                upload = self._settle(info.number_of_units, silence)
        self._note("upload", "done", upload.model_dump(mode="json"))
        return upload

    def _settle(self, units_before: int, silence: OutcomeUnknown) -> Upload:
        """After an unanswered upload: ask whether it arrived; never send again here, for it may still be on its way."""
        line = self.records.last(self.plan.digest, self.destination.name, "upload")
        upload = self._arrived(self._info(), line)
        if upload is None:
            raise OutcomeUnknown(
                f"{silence.message} The upload of dataset {self.plan.dataset} is not at {self.destination.name}, or not yet.",
                next_step=f"Ask again in a while with: {self._command}\nIt sends only what is not there.",
            )
        return upload

    def _arrived(self, info: DatasetInfo, last: JournalLine | None) -> Upload | None:
        """The upload of this tar, when it is the newest that is there; None when it is not there. Raises `OutcomeUnknown`."""
        if info.uploads is not None:
            return info.uploads[-1] if info.uploads and info.uploads[-1].tar_sha256 == self.plan.tar.sha256 else None
        # A destination that does not tell which tars it took: the journal knows what was sent, its counts what arrived.
        since = deleted_at(self.context.store, self.destination, self.plan.dataset, info)
        if last is None or (since is not None and last.at <= since):
            return None
        if last.state == "done":
            return Upload.model_validate(last.details)
        before = int(last.details["number_of_units"])
        if info.number_of_units == before:
            return None
        if info.number_of_units == before + self.plan.rows:
            rows = {name: table.rows for name, table in self.plan.tables.items()}
            return Upload(tar_sha256=self.plan.tar.sha256, bytes=self.plan.tar.bytes, rows=rows, by=self.who.id, at=datetime.now(UTC))
        raise OutcomeUnknown(
            f"An upload of dataset {self.plan.dataset} was not answered. {self.destination.name} counted {before:,} units before and "
            f"{info.number_of_units:,} now; all of it would be {before + self.plan.rows:,}.",
            next_step=f"If it is still being taken in, ask again in a while with: {self._command}\n"
            f"If the number stays, a part was lost: syndb-pipeline delete {self.plan.dataset}, then publish again.",
        )

    def _files(self) -> None:
        """Send the meshes and skeletons that are not there."""
        wanted = _files_to_send(self.plan, self.destination.files(self.plan.dataset))
        if not wanted:
            return
        self.say(f"Sending {len(wanted):,} meshes and skeletons")
        self._note("files", "start", {"files": len(wanted)})
        for file in wanted:
            path = self.context.config.folder / file.path
            if not path.is_file():
                raise ApprovalError(f"{path} is gone since the plan was approved.", next_step="Restore it and give the same command again.")
            self.destination.put_file(self.plan.dataset, file.kind, file.cid, path, file.sha256)
        self._note("files", "done", {"files": len(wanted)})

    def _read_back(self) -> tuple[tuple[TableCheck, ...], DatasetInfo, list[StoredFile]]:
        """What is there now, held against the plan: each row of each table, each file. Raises `DestinationRefused` when anything lacks."""
        self.say("Reading back")
        self._note("read-back", "start")
        info = self._info()
        checks = self.destination.compare(self.plan.dataset, self.plan.tar_path)
        stored = self.destination.files(self.plan.dataset)
        lacking = [
            f"{check.table}: {check.sent:,} rows sent, {check.found:,} found, {check.missing or check.sent - check.found:,} not as sent"
            for check in checks
            if check.missing or check.found < check.sent
        ]
        lacking += [f"{name}: not found" for name in self.plan.tables if name not in {check.table for check in checks}]
        if files := _files_to_send(self.plan, stored):
            lacking.append(f"{len(files):,} of {len(self.plan.files):,} meshes and skeletons")
        if lacking:
            raise DestinationRefused(
                f"What is at {self.destination.name} is not what was sent:\n" + "\n".join(f"  {line}" for line in lacking),
                next_step=f"Delete it and publish again: syndb-pipeline delete {self.plan.dataset}",
            )
        self._note("read-back", "done", {check.table: check.found for check in checks})
        for name in info.rows.keys() - self.plan.tables.keys():
            self.say(f"{name}: {info.rows[name]:,} rows of an earlier upload stay at {self.destination.name}; this plan has no such table")
        return checks, info, stored

    def _info(self) -> DatasetInfo:
        info = self.destination.info(self.plan.dataset)
        if info is None:
            raise OutcomeUnknown(
                f"Dataset {self.plan.dataset} is not at {self.destination.name}, though it was registered a moment ago.",
                next_step=f"See whether somebody deleted it with: syndb-pipeline datasets. Then: {self._command}",
            )
        return info

    @property
    def _command(self) -> str:
        return f"syndb-pipeline publish {self.context.config.path}"


def _files_to_send(current: Plan, stored: list[StoredFile]) -> list[PackagedFile]:
    there = {(file.kind, file.unit): file.sha256 for file in stored}
    return [file for file in current.files if there.get((file.kind, file.cid)) != file.sha256]
