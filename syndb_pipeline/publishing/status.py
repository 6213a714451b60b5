"""What became of a dataset: its state here and at its destination, the datasets that a destination
has, and deleting one of them.

Belongs here: gathering what the store and the destinations say; the order of a deletion's steps:
shown first, the label typed, gone for good, a tombstone kept. Does not: how a destination deletes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from syndb_pipeline.base.errors import (
    ApprovalError,
    NotLoggedIn,
    NotPermitted,
    OutcomeUnknown,
    PipelineError,
    Unreachable,
)
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.destinations import open_destination
from syndb_pipeline.destinations.base import DatasetInfo, Deletion, Destination, unknown_dataset
from syndb_pipeline.publishing import holds
from syndb_pipeline.publishing.plan import Link, plan, recompute
from syndb_pipeline.publishing.publish import valid_approvals
from syndb_pipeline.publishing.records import Approval, Hold, PublishRecords, Receipt, Tombstone
from syndb_pipeline.state.results import RowsSetAside
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import DatasetStore

_STEP = "delete"


class Status(BaseModel):
    """The state of a dataset. `digest` is the plan's, None with `obstacle` saying why when there is
    no plan to approve; `set_aside` has by table the rows that it leaves out.

    `approved` says whether a kept approval of exactly this plan counts now; `hold` is the plan's,
    when it was held or rejected and that is not settled. `published` is the
    time of this plan's receipt, if it has one. `unasked` says why the destination could not be
    asked, if so; then both rest on what is kept here alone.
    """

    model_config = ConfigDict(frozen=True)

    dataset: UUID
    label: str
    stages: tuple[Link, ...]
    verdict: str | None
    digest: str | None
    obstacle: str | None
    set_aside: dict[str, RowsSetAside] = {}
    approved: bool
    hold: Hold | None = None
    approvals: tuple[Approval, ...]
    published: datetime | None
    unasked: str | None = None
    receipt: Receipt | None
    tombstones: tuple[Tombstone, ...]


class Listed(BaseModel):
    """A dataset at a destination. Incomplete: registered with tables of which nothing arrived."""

    model_config = ConfigDict(frozen=True)

    info: DatasetInfo
    complete: bool


def status(context: Context, destination: Destination | None = None) -> Status:
    """The dataset's status. Reads every byte of the chain again; the destination is asked only
    about the dataset itself."""
    if destination is None:
        destination = open_destination(context.settings, context.config.publish.destination)
    records, links = PublishRecords(context.store), recompute(context)
    current = obstacle = published = unasked = hold = None
    approved = False
    try:
        current = plan(context, destination)
    except PipelineError as error:
        obstacle = str(error)
    else:
        try:
            gone = destination.info(context.dataset) is None
            known = destination.deletions(context.dataset)
            deleted = records.deleted(destination.name, known, gone=gone)
        except (NotLoggedIn, Unreachable) as error:
            unasked = error.message
            deleted = records.deleted(destination.name)
        hold = holds.rejection(context, current) or records.hold()
        if hold is not None and not hold.rejected and hold.plan != current.digest:
            hold = None
        no = hold is not None and hold.rejected
        approved = not no and bool(valid_approvals(context, current, deleted))
        own = records.receipt(current.digest)
        if own is not None and all(each.before(own) for each in deleted):
            published = own.published
    checked = any(link.stage == "check_integrity" and link.digest for link in links)
    return Status(
        dataset=context.dataset,
        label=context.config.dataset.label,
        stages=tuple(links),
        verdict=context.verdict.details.verdict if checked else None,
        digest=current.digest if current else None,
        obstacle=obstacle,
        set_aside=current.set_aside if current else {},
        approved=approved,
        hold=hold,
        approvals=tuple(records.approvals()),
        published=published,
        unasked=unasked,
        receipt=records.receipt(),
        tombstones=tuple(records.tombstones()),
    )


def datasets(
    node: Destination, which: Literal["owned", "modifiable", "incomplete"] = "owned"
) -> list[Listed]:
    """Datasets at a destination, by label: those we own, may upload to, or own and have not
    filled."""
    incomplete = node.incomplete()
    found = incomplete
    if which != "incomplete":
        found = node.owned() if which == "owned" else node.modifiable()
    unfinished = {info.metadata.id for info in incomplete}
    return [Listed(info=info, complete=info.metadata.id not in unfinished) for info in found]


# Deletion


def preview_delete(dataset: UUID, node: Destination) -> str:
    """What a deletion would take, as text that ends with what to type. Raises `DestinationRefused`
    when there is no such dataset, or it is another owner's."""
    info = node.info(dataset)
    if info is None:
        raise unknown_dataset(dataset, node.name)
    _require_owner(node, info)
    rows, stored = info.rows or {}, node.files(dataset)
    width = max(map(len, rows), default=0)
    counts = [f"{name:<{width}}  {count:>13,} rows" for name, count in rows.items()]
    if info.rows is None:
        counts = [f"{info.number_of_units:,} units, every upload counted"]
    files = "all its" if stored is None else f"{stored.count:,}"
    uploads = "an unknown number of" if info.uploads is None else f"{len(info.uploads):,}"
    lines = [
        f"{info.metadata.label} ({dataset}), owned by {info.owner}",
        *counts,
        f"{files} meshes and skeletons",
        f"{uploads} uploads",
    ]
    return (
        f"This deletes from {node.name}, for good:{''.join(f'{chr(10)}  {line}' for line in lines)}"
        f"\nTo delete it, type its label exactly: {info.metadata.label}"
    )


def delete(
    settings: PipelineSettings, dataset: UUID, node: Destination, typed_label: str
) -> Tombstone:
    """Delete a dataset with all its rows and files, for good, and keep a tombstone in its store
    (and in the node, when it keeps any).

    May be given again after a crash: a deletion that happened is settled, not repeated.

    Args:
        settings: Where the store is.
        dataset: Its id.
        node: Where it is deleted.
        typed_label: What a person typed.

    Raises:
        ApprovalError: `typed_label` is not the dataset's label.
        DestinationRefused: There is no such dataset, or it is another owner's.
        OutcomeUnknown: No answer says whether it is gone.
    """
    store = DatasetStore(settings.state, dataset, settings.lock)
    if node.info(dataset) is None and not store.folder.is_dir():
        raise unknown_dataset(dataset, node.name)
    records = PublishRecords(store)
    with records.lock():
        info = node.info(dataset)
        if info is None:
            return _settle(records, node, dataset, typed_label)
        _require_owner(node, info)
        _require_label(typed_label, info.metadata.label)
        foreseen = Deletion.of(info, node.files(dataset), node.who_am_i().id)
        records.note("", node.name, _STEP, "start", foreseen.model_dump(mode="json"))
        try:
            deletion = node.delete(dataset)
        except OutcomeUnknown:
            deletion = foreseen
        if node.info(dataset) is not None:
            at = f"--destination {node.name}"
            raise OutcomeUnknown(
                f"Dataset {dataset} is still at {node.name}.",
                next_step=f"Ask in a while with: syndb-pipeline datasets {at}\n"
                f"If it is still there: syndb-pipeline delete {dataset} {at}",
            )
        return _write_tombstone(records, node, deletion)


def _require_owner(node: Destination, info: DatasetInfo) -> None:
    who = node.who_am_i()
    if info.owner != who.id:
        raise NotPermitted(
            f"Dataset {info.metadata.id} at {node.name} belongs to {info.owner}; "
            f"you are {who.name}.",
            next_step="Only its owner may delete it.",
        )


def _require_label(typed: str, label: str) -> None:
    if typed != label:
        raise ApprovalError(
            f"{typed!r} is not the dataset's label; nothing was deleted.",
            next_step=f"Type it exactly: {label}",
        )


def _settle(
    records: PublishRecords, node: Destination, dataset: UUID, typed_label: str
) -> Tombstone:
    """The tombstone of a deletion that is done at the destination, and was cut off before it was
    written down."""
    started = records.last("", node.name, _STEP)
    if started is None or started.state != "start":
        raise unknown_dataset(dataset, node.name)
    foreseen = Deletion.model_validate(started.details)
    _require_label(typed_label, foreseen.label)
    for kept in reversed(records.tombstones()):
        if kept.destination == node.name and kept.deletion.at >= foreseen.at:
            # Cut off between the tombstone and the journal's last line.
            records.note("", node.name, _STEP, "done")
            return kept
    known = [deletion for deletion in node.deletions(dataset) if deletion.at >= foreseen.at]
    return _write_tombstone(records, node, known[-1] if known else foreseen)


def _write_tombstone(records: PublishRecords, node: Destination, deletion: Deletion) -> Tombstone:
    receipt = records.receipt()
    plan = receipt.plan if receipt else None
    tombstone = Tombstone(destination=node.name, deletion=deletion, receipt=plan)
    same = [each for each in records.tombstones() if each.deletion == deletion]
    tombstone = same[0] if same else records.add_tombstone(tombstone)
    records.note("", node.name, _STEP, "done")
    return tombstone
