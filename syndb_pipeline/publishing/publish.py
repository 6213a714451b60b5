"""publish: send an approved plan, read it back, keep a receipt. Safe to give again at any moment.

Belongs here: the order of the steps and how they are taken up again. Does not: what a plan is
(`plan.py`) or wire formats.

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
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from syndb_pipeline.base import digests
from syndb_pipeline.base.errors import (
    ApprovalError,
    DestinationRefused,
    NotPermitted,
    NotVerified,
    OutcomeUnknown,
)
from syndb_pipeline.base.progress import Watch, as_lines
from syndb_pipeline.base.system import user
from syndb_pipeline.destinations import open_destination
from syndb_pipeline.destinations.base import (
    DatasetInfo,
    Destination,
    OutgoingFile,
    TableCheck,
    Upload,
    differences,
)
from syndb_pipeline.publishing import holds
from syndb_pipeline.publishing import plan as planning
from syndb_pipeline.publishing.arrival import Arrival, Outcome, unknown_until_asked
from syndb_pipeline.publishing.kept_tables import IDS, Kept
from syndb_pipeline.publishing.plan import Plan, changed_since, in_lines, require_consent
from syndb_pipeline.publishing.records import (
    Approval,
    Compared,
    Deleted,
    How,
    PublishRecords,
    Reason,
    Receipt,
)
from syndb_pipeline.state.attempts import Attempts
from syndb_pipeline.state.locks import while_held
from syndb_pipeline.state.registry import claim
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.tables import written


def publish(
    context: Context,
    approve: str | None = None,
    say: Callable[[str], None] | None = None,
    *,
    by: str | None = None,
    how: How = "option",
    destination: Destination | None = None,
    wait: float = 0,
    watch: Watch | None = None,
    outcome: Outcome | None = None,
) -> Receipt:
    """Publish the dataset's package to the config's destination.

    Args:
        context: The dataset. The caller may hold its lock; publishing has one of its own.
        approve: The plan's digest (in full or its first 12 characters or more); without it a kept
            or standing approval of exactly this plan must be there.
        say: Called with lines about what is done.
        by: Who gives `approve`; the operating system's user when it is left out.
        how: In which way `approve` was given.
        destination: In place of the one the config names.
        wait: How many seconds to wait for another process that publishes the dataset.
        watch: Called with how far the sending is; without it `say` is, in lines.
        outcome: Settles an upload that ended with `OutcomeUnknown`.

    Returns:
        The receipt, the old one when the same plan is there already.

    Raises:
        ApprovalError: Exit 4: terms, approval, or a byte changed since.
        ConfigError: Exit 2: licence, metadata, destination, nothing prepared.
        DataRejected: Exit 3.
        DestinationRefused: Exit 5.
        OutcomeUnknown: Exit 6: no answer says whether something arrived; the same command asks
            first and settles it.
    """
    say = say or context.say
    config, records = context.config, PublishRecords(context.store)
    if destination is None:
        destination = open_destination(context.settings, config.publish.destination, say)
    with ExitStack() as stack:
        stack.enter_context(records.lock(wait=wait, log=say))
        claim(context.settings, config)  # another config's attempt would be kept as this one's
        stack.enter_context(Attempts(context.store.folder).attempt("publish", "publish"))
        stack.enter_context(unknown_until_asked(records, destination))
        require_consent(config.terms, config.path)
        digests.forget()
        current = planning.plan(context, destination)
        planning.require_access(current, destination, config.path)
        if current.obstacles:
            raise DestinationRefused(
                f"{destination.name} has no place for a part of this, so nothing was sent:\n"
                f"{in_lines(current.obstacles)}",
                next_step="SynDB's own command line and web page take the tables as files: "
                f"syndb-pipeline export {config.path} --to FOLDER",
            )
        run = _Publication(
            context=context,
            records=records,
            destination=destination,
            plan=current,
            who=destination.who_am_i(),
            log=say,
            watch=while_held(watch or as_lines(say)),
            outcome=outcome,
            command=f"syndb-pipeline publish {config.path}",
        )
        if approve is not None and not planning.names(approve, current.digest):
            planning.approve(context, current, approve, "", how)  # raises, and says why
        info = destination.info(current.dataset)
        if (receipt := run.published(info)) is not None:
            say(f"Published already on {_time(receipt.published)}; nothing to send.")
        else:
            receipt = run.run(run.approval(info, approve, by or user(), how))
        records.end_hold()
        return receipt


def valid_approvals(context: Context, current: Plan, deleted: list[Deleted]) -> list[Approval]:
    """The kept approvals of exactly this plan, given after every deletion."""
    every = PublishRecords(context.store).approvals()
    return [each for each in every if each.digest == current.digest and _after(each, deleted)]


def _after(approval: Approval, deleted: list[Deleted]) -> bool:
    return all(each.before(approval) for each in deleted)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


@dataclass(kw_only=True)
class _Publication(Arrival):
    """One run of the steps of a plan."""

    context: Context
    watch: Watch

    def published(self, info: DatasetInfo | None) -> Receipt | None:
        """The receipt of this very plan, when all of it is still at the destination."""
        receipt = self.records.receipt(self.plan.digest) or self._of_the_same_content()
        if receipt is None or info is None or info.owner != receipt.owner:
            return None
        if info.access is not None and self.plan.access.policy not in ("open", info.access):
            return None
        there = info.rows
        tables = self.plan.tables.items()
        if there is not None and any(there.get(name, 0) < table.rows for name, table in tables):
            return None
        # Another upload since may have replaced rows of this one. Where uploads are not shown, the
        # count that each of them adds to is.
        if info.uploads is None:
            same = info.number_of_units == receipt.number_of_units
        else:
            ours = self.plan.payload.sha256, receipt.upload.tar_sha256
            same = bool(info.uploads) and info.uploads[-1].tar_sha256 in ours
        if not same and not all(check.whole for check in self.compared()):
            return None
        if self._lacking():
            return None
        noted = self.records.last(self.plan.digest, self.destination.name, "receipt")
        if noted is None or self.records.receipt() != receipt:  # killed in between
            receipt = self.records.write_receipt(receipt, self._kept())
            self.note("receipt", "done")
        return receipt

    def _of_the_same_content(self) -> Receipt | None:
        """The newest receipt, as that of this plan, when what it published is the same: rows and
        columns, metadata, meshes and skeletons, and where. What differs is then how a library or
        this program writes them, or a lab file that holds the same.
        """
        receipt = self.records.receipt()
        if receipt is None or not receipt.content:
            return None
        before, now = receipt.approval.parts, self.plan.parts
        if any(before.get(part) != now[part] for part in planning.SENT_BESIDE_TABLES):
            return None
        if receipt.content != self.plan.content:
            return None
        return receipt.model_copy(update={"plan": self.plan.digest})

    def approval(self, info: DatasetInfo | None, given: str | None, by: str, how: How) -> Approval:
        """The approval of this plan: kept, `given` by a person now, or standing. Raises
        `ApprovalError`."""
        context, current, name = self.context, self.plan, self.destination.name
        deletions = self.destination.deletions(current.dataset)
        deleted = self.records.deleted(name, deletions, gone=info is None)
        config, every = context.config, self.records.approvals()
        standing = config.publish.approval == "standing"
        kept = valid_approvals(context, current, deleted)
        if standing and not self._under_way():
            # One of an earlier publication says nothing about going back to it.
            kept = [each for each in kept if each.how != "standing"]
        rejected = holds.rejection(context, current)
        if kept and rejected is None:
            return kept[-1]
        if given is not None:
            return planning.approve(context, current, given, by, how)
        if rejected is not None:
            raise holds.hold(context, current, rejected)
        by_person = any(each.how != "standing" and _after(each, deleted) for each in every)
        if standing and (not deleted or by_person):
            compared = self._beside(current.compared, info)
            if compared.reasons:
                current = current.model_copy(update={"compared": compared})
                raise holds.hold(context, current)
            person = require_consent(config.terms, config.path).accepted_by
            return planning.approve(context, current, current.digest, person, "standing")
        reason = "No one has approved this plan"
        if any(not _after(each, deleted) for each in every):
            known = f"known since {_time(max(each.at for each in deleted))}"
            reason = f"The dataset was deleted at {name} ({known}); earlier approvals do not count"
        elif every:
            last = every[-1]
            approved = f"The plan approved by {last.by} on {_time(last.at)}"
            reason = f"{approved} is another: {changed_since(last, current)}"
        raise ApprovalError(
            f"{reason}.",
            next_step=f"Read it with: syndb-pipeline plan {config.path}\n"
            f"Then approve exactly this plan with: {self.command} --approve {current.digest[:12]}",
        )

    def _beside(self, compared: Compared, info: DatasetInfo | None) -> Compared:
        """With the reason that rows are there which this machine knows nothing of, and which are
        not the plan's: its state was lost, or another machine published the dataset."""
        units = info.number_of_units if info else 0
        if not units or self.records.receipt() or self._last_upload():
            return compared
        if all(check.whole for check in self.compared()):
            return compared
        name, now = self.destination.name, f"{self.plan.rows:,} rows"
        why, was = "has units that this machine has no receipt of", f"{units:,} units"
        unknown = Reason(kind="not-comparable", of=name, change=why, was=was, now=now)
        return compared.model_copy(update={"reasons": (*compared.reasons, unknown)})

    def _under_way(self) -> bool:
        """Whether the last upload that was started is of this plan."""
        last = self.records.last(None, self.destination.name, "upload")
        return last is not None and last.plan == self.plan.digest

    def run(self, approval: Approval) -> Receipt:
        """Register, send, read back; the receipt. What is there already is not done again."""
        self._register()
        upload = self._upload()
        self._files()
        checks, info = self._read_back()
        current = self.plan
        # What the receipt says of the plan, it has under the plan's own names.
        fields = Receipt.model_fields
        same = {name: getattr(current, name) for name in fields if hasattr(current, name)}
        own = {
            "plan": current.digest,
            "owner": info.owner,
            "account": self.who.name,
            "license": current.metadata.license,
            "approval": approval,
            "upload": upload,
            "tables": {check.table: check for check in checks},
            "number_of_units": info.number_of_units,
            "files": len(current.files),
            "published": datetime.now(UTC),
        }
        receipt = Receipt.model_validate(same | own)
        receipt = self.records.write_receipt(receipt, self._kept())
        self.note("receipt", "done")
        tables = f"{len(checks)} table{'' if len(checks) == 1 else 's'}"
        where = f"to {self.destination.name}. Receipt: {self.records.receipt_path}"
        self.log(f"Published {receipt.rows:,} rows in {tables} {where}")
        return receipt

    def _kept(self) -> Kept:
        ids = written(self.context, "assign_ids", IDS).values()
        versions = self.context.settings.retention.versions
        return Kept(self.plan.table_files.values(), ids, versions)

    def _register(self) -> None:
        """Register the dataset, or select the one that is there, with the same metadata. Metadata
        are never changed in silence."""
        dataset, name = self.plan.dataset, self.destination.name
        info = self.destination.info(dataset)
        if info is None:
            if not self.who.verified:
                raise NotVerified(
                    f"{name} has not verified that {self.who.name} is an academic; without it "
                    "nothing can be uploaded.",
                    next_step="Follow the link that this shows: "
                    f"syndb-pipeline login --destination {name}",
                )
            self.log(f"Registering {self.plan.label} at {name} as {self.who.name}")
            self.note("register", "start")
            info = self.destination.register(self.plan.metadata, self.plan.access.policy)
            self.created = info.new
            self.note("register", "done")
        if info.owner != self.who.id and all(
            each.metadata.id != dataset for each in self.destination.modifiable()
        ):
            raise NotPermitted(
                f"Dataset {dataset} at {name} belongs to {info.owner}; you are {self.who.name}.",
                next_step="Ask its owner to let a group of yours write to it, or give your dataset "
                "an id of its own.",
            )
        policy = self.plan.access.policy
        ours = self.records.last(self.plan.digest, name, "register")
        said = info.access or (policy if ours is not None and ours.state == "done" else None)
        if policy not in ("open", said):
            raise DestinationRefused(
                f"Dataset {dataset} is to be {policy}, and at {name} it is "
                f"{info.access or 'for readers who are not known'}: its rows were not sent.",
                next_step=f"Have its access policy changed at {name}, or correct "
                "description.access.policy.",
            )
        if found := differences(self.plan.metadata, info.metadata, info.unsaid):
            raise DestinationRefused(
                f"Dataset {dataset} is at {name} with other metadata:\n{in_lines(found)}",
                next_step="Give the config the metadata that are there; or delete the dataset "
                "there and publish it again; or give this dataset an id of its own.",
            )

    def _upload(self) -> Upload:
        """Send the tar, unless it is there."""
        info = self.info()
        upload = self.arrived(info)
        if upload is None:
            earlier = sum((info.rows or {}).values()) or info.number_of_units
            there = f" to the {earlier:,} that are there" if earlier else ""
            self.log(f"Sending {self.plan.rows:,} rows{there}")
            before = {"number_of_units": info.number_of_units, "rows": self.plan.rows}
            self.note("upload", "start", before)
            try:
                upload = self.destination.upload(self.plan.dataset, self.plan.sent, self.watch)
            except OutcomeUnknown as silence:
                upload = self._settle(silence)
            except DestinationRefused:
                # Nothing is under way, so there is nothing to wait for.
                self.note("upload", "refused", before)
                raise
        self.note("upload", "done", upload.model_dump(mode="json"))
        return upload

    def _settle(self, silence: OutcomeUnknown) -> Upload:
        """After an upload without an answer: ask whether it arrived; never send again here, for it
        may still be on its way."""
        name = self.destination.name
        self.log(f"{silence.message} Asking {name} what arrived.")
        upload = self.arrived(self.info())
        if upload is not None:
            return upload
        raise OutcomeUnknown(
            f"{silence.message} The upload of dataset {self.plan.dataset} is not at {name}, or not "
            "yet.",
            next_step=f"Ask again in a while with: {self.command}\n"
            "It sends only what is not there.",
        )

    def _lacking(self) -> list[OutgoingFile]:
        files = self.plan.outgoing(self.context.config.folder)
        return self.destination.lacking(self.plan.dataset, files)

    def _files(self) -> None:
        """Send the meshes and skeletons that are not there."""
        wanted = self._lacking()
        if not wanted:
            return
        if gone := [str(file.path) for file in wanted if not file.path.is_file()]:
            raise ApprovalError(
                f"These are gone since the plan was approved:\n{in_lines(gone)}",
                next_step="Restore them and give the same command again.",
            )
        self.log(f"Sending {len(wanted):,} meshes and skeletons")
        self.note("files", "start", {"files": len(wanted)})
        failed = self.destination.put_files(self.plan.dataset, wanted, self.watch)
        if failed:
            reasons = in_lines(f"{each.file.path}: {each.reason}" for each in failed)
            raise DestinationRefused(
                f"{len(failed):,} of {len(wanted):,} meshes and skeletons did not arrive:\n"
                f"{reasons}",
                next_step="Correct what they say and give the same command again; it sends these "
                f"alone: {self.command}",
            )
        self.note("files", "done", {"files": len(wanted)})

    def _read_back(self) -> tuple[tuple[TableCheck, ...], DatasetInfo]:
        """What is there now, held against the plan: each row of each table, each file. Raises
        `DestinationRefused` when anything lacks."""
        name, dataset = self.destination.name, self.plan.dataset
        self.log("Reading back")
        self.note("read-back", "start")
        # The destination's count before we sent the plan's rows; not known when we did not.
        start = self.records.last(self.plan.digest, name, "upload", "start")
        before = int(start.details["number_of_units"]) if start is not None else None
        expected = (before or 0) + self.plan.rows
        info, checks = self._seen(expected)
        now = info.number_of_units
        lacking = [_unlike(each) for each in checks if each.found is not None and not each.whole]
        compared = {check.table for check in checks}
        lacking += [f"{table}: not found" for table in self.plan.tables if table not in compared]
        blind = any(check.found is None for check in checks)
        if blind:
            self.log(f"{name} does not let its rows be read; its count is all that can be compared")
        if now < expected or (now > expected and before is not None):
            counted = f"all tables: {expected:,} units expected, {now:,} counted"
            if blind and now < expected:
                lacking.append(counted)
            elif blind and self.outcome is None:
                # It may be another's upload: no reason to delete anything.
                raise OutcomeUnknown(
                    f"{counted} at {name}. Either another upload was counted meanwhile, or this "
                    "one twice.",
                    next_step="Look at the dataset there. If it is whole, say so with: "
                    f"{self.command} --outcome arrived",
                )
            elif not lacking:
                # Whoever looks at the count there should know why it is another.
                sure = "as you say" if blind else "every row is there once, as it was sent"
                self.log(f"{counted} at {name}; another upload was counted meanwhile, {sure}")
        advice = (
            f"Delete it and publish again: syndb-pipeline delete {dataset} --destination {name}"
        )
        if files := self._lacking():
            if not lacking:
                again = "Give the same command again; it sends these alone"
                advice = f"{again}: {self.command}"
            lacking.append(f"{len(files):,} of {len(self.plan.files):,} meshes and skeletons")
        if lacking:
            raise DestinationRefused(
                f"What is at {name} is not what was sent:\n{in_lines(lacking)}", next_step=advice
            )
        self.note("read-back", "done", {check.table: check.found for check in checks})
        self._log_earlier_rows(info, checks)
        return checks, info

    def _seen(self, expected: int) -> tuple[DatasetInfo, tuple[TableCheck, ...]]:
        """The dataset and its tables; later, when not all is counted yet: an upload may be answered
        before it is shown everywhere."""
        info, checks = self.info(), self.compared()
        seconds = self.destination.settle_seconds
        behind = info.number_of_units < expected and not all(check.whole for check in checks)
        if behind and seconds:
            self.log(f"Not all of it is counted yet; waiting up to {seconds:.0f} s")
            info = self.once_counted(expected, seconds, info)
            checks = self.compared()
        return info, checks

    def _log_earlier_rows(self, info: DatasetInfo, checks: tuple[TableCheck, ...]) -> None:
        stay = f"rows of an earlier upload stay at {self.destination.name}"
        for table, rows in (info.rows or {}).items():
            if table not in self.plan.tables:
                self.log(f"{table}: {rows:,} {stay}; this plan has no such table")
        for check in checks:
            if (more := (check.found or 0) - check.sent) > 0:
                why = "this plan does not have them"
                if check.table in self.plan.set_aside:
                    why = "they may be earlier forms of rows that are quarantined now"
                self.log(f"{check.table}: {more:,} {stay}; {why}")


def _unlike(check: TableCheck) -> str:
    doubled = f", {check.doubled:,} doubled" if check.doubled else ""
    found = f"{check.found:,} found, {check.missing or 0:,} not as sent"
    return f"{check.table}: {check.sent:,} rows sent, {found}{doubled}"
