"""Deleting a published dataset: shown first, the label typed, gone for good, a tombstone kept.

Belongs here: the order of the steps. Does not: how a destination deletes.
"""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, ConfigDict

from syndb_pipeline.base.errors import ApprovalError, NotPermitted, OutcomeUnknown
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.destinations.base import (
    DatasetInfo,
    Deletion,
    Destination,
    StoredFiles,
    unknown_dataset,
)
from syndb_pipeline.publishing.records import PublishRecords, Tombstone
from syndb_pipeline.state.store import DatasetStore

_STEP = "delete"


class Preview(BaseModel):
    """What a deletion would take."""

    model_config = ConfigDict(frozen=True)

    destination: str
    info: DatasetInfo
    files: StoredFiles | None


def preview_delete(dataset: UUID, node: Destination) -> Preview:
    """What would go. Raises `DestinationRefused` when there is no such dataset, or it is another
    owner's."""
    info = node.info(dataset)
    if info is None:
        raise unknown_dataset(dataset, node.name)
    _require_owner(node, info)
    return Preview(destination=node.name, info=info, files=node.files(dataset))


def describe_preview(preview: Preview) -> str:
    """The preview as text, ending with what to type."""
    info = preview.info
    rows = info.rows or {}
    width = max(map(len, rows), default=0)
    counts = [f"{name:<{width}}  {count:>13,} rows" for name, count in rows.items()]
    if info.rows is None:
        counts = [f"{info.number_of_units:,} units, every upload counted"]
    files, uploads = "all its meshes and skeletons", "an unknown number of"
    if preview.files is not None:
        files = f"{preview.files.count:,} meshes and skeletons"
    if info.uploads is not None:
        uploads = f"{len(info.uploads):,}"
    dataset = f"{info.metadata.label} ({info.metadata.id}), owned by {info.owner}"
    lines = "".join(f"\n  {line}" for line in (dataset, *counts, files, f"{uploads} uploads"))
    return (
        f"This deletes from {preview.destination}, for good:{lines}\n"
        f"To delete it, type its label exactly: {info.metadata.label}"
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
    store = DatasetStore(settings.state, dataset)
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
    if tombstone not in records.tombstones():
        records.add_tombstone(tombstone)
    records.note("", node.name, _STEP, "done")
    return tombstone
