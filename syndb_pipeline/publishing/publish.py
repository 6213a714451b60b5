"""publish: send an approved plan, read it back, keep a receipt. Safe to give again at any moment.

Belongs here: the order of the steps and how they are taken up again. Does not: what a plan is
(`publication/plan.py`) or wire formats.

It is no `Stage`: its result is not a folder that follows from inputs. Each step goes into a journal
before and after, but the destination is the authority on what is there: every step asks it first
and does only what is missing, so after a crash the same command completes with nothing twice.

A deletion is a person's word that the data should not be there. So approvals given before the
dataset was deleted (by us, or by anybody: the destination no longer has what a receipt says it had)
do not count any more, and neither does a standing approval until a person has approved a plan
since.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from syndb_pipeline.base import digests
from syndb_pipeline.base.errors import (
    ApprovalError,
    DestinationRefused,
    NotPermitted,
    NotVerified,
    OutcomeUnknown,
)
from syndb_pipeline.base.progress import Watch, as_lines
from syndb_pipeline.destinations import open_destination
from syndb_pipeline.destinations.base import (
    DatasetInfo,
    Destination,
    Identity,
    OutgoingFile,
    TableCheck,
    Upload,
    differences,
)
from syndb_pipeline.destinations.embedded.node import operating_system_user
from syndb_pipeline.publishing.arrival import (
    Arrival,
    Outcome,
    gone,
    package_of,
    unknown_until_asked,
)
from syndb_pipeline.publishing.deletion import deleted_at
from syndb_pipeline.publishing.plan import (
    Plan,
    approve_plan,
    changed_since,
    in_lines,
    names,
    plan,
    require_consent,
    require_metadata,
)
from syndb_pipeline.publishing.records import Approval, JournalLine, PublishRecords, Receipt, State
from syndb_pipeline.state.stage import Context


def publish(
    context: Context,
    approve: str | None = None,
    say: Callable[[str], None] | None = None,
    *,
    by: str | None = None,
    destination: Destination | None = None,
    wait: float = 0,
    watch: Watch | None = None,
    outcome: Outcome | None = None,
) -> Receipt:
    """Publish the dataset's package to the config's destination. Returns the receipt, the old one
    when the same plan is there already.

    `approve` is the digest of the plan (in full or its first 12 characters or more), given by `by`
    (the operating system's user when left out); without it a kept or standing approval of exactly
    this plan must be there. `destination` stands in for the one the config names. The caller may
    hold the dataset's lock; publishing has one of its own, for which it waits `wait` seconds at
    most. `watch` is told how far the sending is; without it `say` hears of it in lines. `outcome`
    settles an upload that ended with `OutcomeUnknown`.

    Raises `ApprovalError` (4: terms, approval, or a byte changed since), `ConfigError` (2: licence,
    metadata, destination, nothing prepared), `DataRejected` (3), `DestinationRefused` (5),
    `OutcomeUnknown` (6: no answer tells whether something arrived; the same command asks first and
    settles it).
    """
    say = say or context.say
    records = PublishRecords(context.store)
    destination = destination or open_destination(
        context.settings, context.config.publish.destination, say
    )
    with records.lock(wait=wait, say=say), unknown_until_asked(records, destination):
        require_consent(context.config.terms, context.config.path)
        digests.forget()
        current = plan(context, destination)
        require_metadata(current.metadata, context.config.path)
        who = destination.who_am_i()
        if approve is not None and not names(approve, current.digest):
            approve_plan(context, current, approve, "", "option")  # raises, and says why
        info = destination.info(current.dataset)
        if (receipt := _published(context, records, destination, current, info)) is not None:
            say(f"Published already on {receipt.published:%Y-%m-%d %H:%M} UTC; nothing to send.")
            return receipt
        approval = _approval(
            context, records, destination, current, info, approve, by or operating_system_user()
        )
        return _Publication(
            context,
            records,
            destination,
            current,
            approval,
            who,
            say,
            watch or as_lines(say),
            outcome,
        ).run()


def _published(
    context: Context,
    records: PublishRecords,
    destination: Destination,
    current: Plan,
    info: DatasetInfo | None,
) -> Receipt | None:
    """The receipt of this very plan, when all of it is still at the destination."""
    receipt = records.receipt(current.digest)
    if receipt is None or info is None or info.owner != receipt.owner:
        return None
    if info.rows is not None and any(
        info.rows.get(name, 0) < table.rows for name, table in current.tables.items()
    ):
        return None
    # Another upload since may have replaced rows of this one. Where uploads are not told, the count
    # that each of them adds to tells.
    if info.uploads is None:
        other = info.number_of_units != receipt.number_of_units
    else:
        other = not info.uploads or info.uploads[-1].tar_sha256 != current.payload.sha256
    if other and not all(
        check.whole for check in destination.compare(current.dataset, package_of(current))
    ):
        return None
    if destination.lacking(current.dataset, outgoing(context, current)):
        return None
    if (
        records.last(current.digest, destination.name, "receipt") is None
        or records.receipt() != receipt
    ):  # killed in between
        records.write_receipt(receipt)
        records.note(current.digest, destination.name, "receipt", "done")
    return receipt


def outgoing(context: Context, current: Plan) -> list[OutgoingFile]:
    """The plan's meshes and skeletons as a destination takes them: where they lie on this
    machine.
    """
    folder = context.config.folder
    return [
        OutgoingFile(
            kind=file.kind,
            unit=file.cid,
            path=folder / file.path,
            sha256=file.sha256,
            bytes=file.bytes,
        )
        for file in current.files
    ]


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
    by_person = [
        approval
        for approval in every
        if approval.how != "standing" and (since is None or approval.at > since)
    ]
    if context.config.publish.approval == "standing" and (since is None or by_person):
        terms = require_consent(context.config.terms, context.config.path)
        return approve_plan(context, current, current.digest, terms.accepted_by, "standing")
    reason = "Nobody has approved this plan"
    if since is not None and any(approval.at <= since for approval in every):
        reason = (
            f"The dataset was deleted at {destination.name} (known since {since:%Y-%m-%d %H:%M}"
            " UTC); earlier approvals do not count"
        )
    elif every:
        last = every[-1]
        reason = (
            f"The plan approved by {last.by} on {last.at:%Y-%m-%d %H:%M} UTC is another:"
            f" {changed_since(last, current)}"
        )
    raise ApprovalError(
        f"{reason}.",
        next_step=(
            f"Read it with: syndb-pipeline plan {context.config.path}\nThen approve exactly this"
            f" plan with: syndb-pipeline publish {context.config.path} --approve"
            f" {current.digest[:12]}"
        ),
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
    watch: Watch
    outcome: Outcome | None
    created: bool = False
    """Whether this run created the dataset."""

    def run(self) -> Receipt:
        self._register()
        upload = self._upload()
        self._files()
        checks, info = self._read_back()
        receipt = Receipt(
            plan=self.plan.digest,
            dataset=self.plan.dataset,
            label=self.plan.label,
            destination=self.destination.name,
            target=self.destination.target,
            owner=info.owner,
            account=self.who.name,
            metadata=self.plan.metadata,
            license=self.plan.metadata.license,
            terms=self.plan.terms or {},
            approval=self.approval,
            upload=upload,
            tables={check.table: check for check in checks},
            set_aside=self.plan.set_aside,
            number_of_units=info.number_of_units,
            files=len(self.plan.files),
            file_bytes=self.plan.file_bytes,
            chain=self.plan.chain,
            inputs=self.plan.inputs,
            versions=self.plan.versions,
            published=datetime.now(UTC),
        )
        path = self.records.write_receipt(receipt)
        self._note("receipt", "done")
        tables = f"{len(checks)} table{'' if len(checks) == 1 else 's'}"
        self.say(
            f"Published {receipt.rows:,} rows in {tables} to {self.destination.name}. Receipt:"
            f" {path}"
        )
        return receipt

    def _note(self, step: str, state: State, details: dict[str, Any] | None = None) -> None:
        self.records.note(self.plan.digest, self.destination.name, step, state, details)

    def _register(self) -> None:
        """Register the dataset, or select the one that is there, with the same metadata. Metadata
        are never changed in silence.
        """
        info = self.destination.info(self.plan.dataset)
        if info is None:
            if not self.who.verified:
                raise NotVerified(
                    f"{self.destination.name} has not verified that {self.who.name} is an academic;"
                    " without it nothing can be uploaded.",
                    next_step=(
                        "Follow the link that this shows: syndb-pipeline login --destination"
                        f" {self.destination.name}"
                    ),
                )
            self.say(f"Registering {self.plan.label} at {self.destination.name} as {self.who.name}")
            self._note("register", "start")
            info = self.destination.register(self.plan.metadata)
            self.created = info.new
            self._note("register", "done")
        if info.owner != self.who.id and self.plan.dataset not in {
            each.metadata.id for each in self.destination.modifiable()
        }:
            raise NotPermitted(
                f"Dataset {self.plan.dataset} at {self.destination.name} belongs to {info.owner};"
                f" you are {self.who.name}.",
                next_step=(
                    "Ask its owner to let a group of yours write to it, or give your dataset an id"
                    " of its own."
                ),
            )
        if found := differences(self.plan.metadata, info.metadata):
            raise DestinationRefused(
                f"Dataset {self.plan.dataset} is at {self.destination.name} with other metadata:\n"
                + "\n".join(f"  {line}" for line in found),
                next_step=(
                    "Give the config the metadata that are there; or delete the dataset there and"
                    " publish it anew; or give this dataset an id of its own."
                ),
            )

    def _upload(self) -> Upload:
        """Send the tar, unless it is there."""
        info = self._info()
        upload = self._arrival.upload(info)
        if upload is None:
            earlier = sum((info.rows or {}).values()) or info.number_of_units
            self.say(
                f"Sending {self.plan.rows:,} rows"
                + (f" to the {earlier:,} that are there" if earlier else "")
            )
            before = {"number_of_units": info.number_of_units, "rows": self.plan.rows}
            self._note("upload", "start", before)
            try:
                upload = self.destination.upload(
                    self.plan.dataset, package_of(self.plan), self.watch
                )
            except OutcomeUnknown as silence:
                upload = self._settle(silence)
            except DestinationRefused:
                self._note(
                    "upload", "refused", before
                )  # nothing is under way, so nobody has to wait for it
                raise
        self._note("upload", "done", upload.model_dump(mode="json"))
        return upload

    def _settle(self, silence: OutcomeUnknown) -> Upload:
        """After an unanswered upload: ask whether it arrived; never send again here, for it may
        still be on its way.
        """
        self.say(f"{silence.message} Asking {self.destination.name} what arrived.")
        try:
            upload = self._arrival.upload(self._info())
        except (
            DestinationRefused
        ) as trouble:  # that it cannot be asked now says nothing of what became of the upload
            raise OutcomeUnknown(
                f"{silence.message}\nNor can it be asked: {trouble.message}",
                next_step=(
                    f"Once it answers again, settle it with: {self._command}\nIt asks first, and"
                    " sends only what is not there."
                ),
            ) from None
        if upload is None:
            raise OutcomeUnknown(
                f"{silence.message} The upload of dataset {self.plan.dataset} is not at"
                f" {self.destination.name}, or not yet.",
                next_step=(
                    f"Ask again in a while with: {self._command}\nIt sends only what is not there."
                ),
            )
        return upload

    def _files(self) -> None:
        """Send the meshes and skeletons that are not there."""
        wanted = self.destination.lacking(self.plan.dataset, outgoing(self.context, self.plan))
        if not wanted:
            return
        for file in wanted:
            if not file.path.is_file():
                raise ApprovalError(
                    f"{file.path} is gone since the plan was approved.",
                    next_step="Restore it and give the same command again.",
                )
        self.say(f"Sending {len(wanted):,} meshes and skeletons")
        self._note("files", "start", {"files": len(wanted)})
        failed = self.destination.put_files(self.plan.dataset, wanted, self.watch)
        if failed:
            raise DestinationRefused(
                f"{len(failed):,} of {len(wanted):,} meshes and skeletons did not arrive:\n"
                + in_lines([f"{each.file.path}: {each.reason}" for each in failed]),
                next_step=(
                    "Mend what they say and give the same command again; it sends these alone:"
                    f" {self._command}"
                ),
            )
        self._note("files", "done", {"files": len(wanted)})

    def _read_back(self) -> tuple[tuple[TableCheck, ...], DatasetInfo]:
        """What is there now, held against the plan: each row of each table, each file. Raises
        `DestinationRefused` when anything lacks.
        """
        self.say("Reading back")
        self._note("read-back", "start")
        info, checks = self._seen()
        lacking = [_told(check) for check in checks if check.found is not None and not check.whole]
        lacking += [
            f"{name}: not found"
            for name in self.plan.tables
            if name not in {check.table for check in checks}
        ]
        if any(check.found is None for check in checks):
            self.say(
                f"{self.destination.name} does not let its rows be read; its count is all that can"
                " be compared"
            )
            lacking += self._require_count(info)
        elif not lacking and (counted := self._miscounted(info)):
            # Each row is there once, as it was sent; yet whoever looks at the count there should
            # know why it is another.
            self.say(
                f"{counted[0]} at {self.destination.name}: another upload was counted meanwhile."
                " Every row is there once, as it was sent"
            )
        mend = (
            f"Delete it and publish again: syndb-pipeline delete {self.plan.dataset} --destination"
            f" {self.destination.name}"
        )
        if files := self.destination.lacking(self.plan.dataset, outgoing(self.context, self.plan)):
            mend = (
                mend
                if lacking
                else f"Give the same command again; it sends these alone: {self._command}"
            )
            lacking.append(f"{len(files):,} of {len(self.plan.files):,} meshes and skeletons")
        if lacking:
            told = "\n".join(f"  {line}" for line in lacking)
            raise DestinationRefused(
                f"What is at {self.destination.name} is not what was sent:\n{told}", next_step=mend
            )
        self._note("read-back", "done", {check.table: check.found for check in checks})
        for name in (info.rows or {}).keys() - self.plan.tables.keys():
            there = (info.rows or {})[name]
            self.say(
                f"{name}: {there:,} rows of an earlier upload stay at {self.destination.name}; this"
                " plan has no such table"
            )
        for check in checks:
            if check.table in self.plan.set_aside and (check.found or 0) > check.sent:
                stay = (
                    f"{(check.found or 0) - check.sent:,} rows of an earlier upload stay at"
                    f" {self.destination.name}"
                )
                self.say(
                    f"{check.table}: {stay}; they may be earlier forms of rows that are set"
                    " aside now"
                )
        return checks, info

    def _require_count(self, info: DatasetInfo) -> list[str]:
        """`_miscounted` where only the count can be compared. More than expected may be another's
        upload: no reason to delete anything.
        """
        counted = self._miscounted(info)
        if not counted or info.number_of_units < self._expected:
            return counted
        if self.outcome == "arrived":
            self.say(f"{counted[0]}; another upload was counted meanwhile, as you say")
            return []
        raise OutcomeUnknown(
            f"{counted[0]} at {self.destination.name}. Either another upload was counted meanwhile,"
            " or this one twice.",
            next_step=(
                f"Look at the dataset there. If it is whole, say so with: {self._command} --outcome"
                " arrived"
            ),
        )

    def _seen(self) -> tuple[DatasetInfo, tuple[TableCheck, ...]]:
        """The dataset and its tables; later, when not all is counted yet: an upload may be answered
        before it is shown everywhere.
        """
        info = self._info()
        checks = self.destination.compare(self.plan.dataset, package_of(self.plan))
        seconds = self.destination.settle_seconds
        if (
            info.number_of_units < self._expected
            and seconds
            and not all(check.whole for check in checks)
        ):
            self.say(f"Not all of it is counted yet; waiting up to {seconds:.0f} s")
            info = self._arrival.once_counted(self._expected, seconds, info)
            checks = self.destination.compare(self.plan.dataset, package_of(self.plan))
        return info, checks

    @property
    def _expected(self) -> int:
        """The destination's count with this plan's rows in it, at least: what it was before is
        known when this machine sent them.
        """
        start = self._start
        return (int(start.details["number_of_units"]) if start is not None else 0) + self.plan.rows

    @property
    def _start(self) -> JournalLine | None:
        return self.records.last(self.plan.digest, self.destination.name, "upload", "start")

    def _miscounted(self, info: DatasetInfo) -> list[str]:
        """In words, when the destination's count did not grow by the plan's rows; nothing when we
        cannot know what it was before.
        """
        expected = self._expected
        if info.number_of_units == expected or (
            self._start is None and info.number_of_units > expected
        ):
            return []
        return [f"all tables: {expected:,} units expected, {info.number_of_units:,} counted"]

    def _info(self) -> DatasetInfo:
        info = self.destination.info(self.plan.dataset)
        if info is None:
            raise gone(self.plan, self.destination, self._command)
        return info

    @property
    def _arrival(self) -> Arrival:
        return Arrival(
            self.context.store,
            self.records,
            self.destination,
            self.plan,
            self.who,
            self.say,
            self.outcome,
            self._command,
            alone=self.created,
        )

    @property
    def _command(self) -> str:
        return f"syndb-pipeline publish {self.context.config.path}"


def _told(check: TableCheck) -> str:
    text = (
        f"{check.table}: {check.sent:,} rows sent, {check.found:,} found, {check.missing or 0:,}"
        " not as sent"
    )
    return text + (f", {check.doubled:,} doubled" if check.doubled else "")
