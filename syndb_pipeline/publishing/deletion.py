"""Deleting a published dataset: shown first, the label typed, gone for good, a tombstone kept.

Belongs here: the order of the steps. Does not: how a destination deletes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from syndb_pipeline.base.errors import (
    ApprovalError,
    DestinationRefused,
    NotPermitted,
    OutcomeUnknown,
    UnknownDataset,
)
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.destinations import open_destination
from syndb_pipeline.destinations.base import DatasetInfo, Deletion, Destination, StoredFiles
from syndb_pipeline.publishing.records import JournalLine, PublishRecords, Tombstone
from syndb_pipeline.state.store import DatasetStore

_STEP = "delete"


class Preview(BaseModel):
    """What a deletion would take."""

    model_config = ConfigDict(frozen=True)

    destination: str
    info: DatasetInfo
    files: StoredFiles | None


def preview_delete(
    settings: PipelineSettings, dataset: UUID, destination: Destination | str
) -> Preview:
    """What would go. Raises `DestinationRefused` when there is no such dataset, or it is another
    owner's.
    """
    node = _open(settings, destination)
    info = node.info(dataset)
    if info is None:
        raise _unknown(dataset, node)
    _require_owner(node, info)
    return Preview(destination=node.name, info=info, files=node.files(dataset))


def describe_preview(preview: Preview) -> str:
    """The preview as text, ending with what to type."""
    info = preview.info
    rows = info.rows or {}
    width = max((len(name) for name in rows), default=0)
    uploads = "an unknown number of" if info.uploads is None else f"{len(info.uploads):,}"
    return "\n".join(
        [
            f"This deletes from {preview.destination}, for good:",
            f"  {info.metadata.label} ({info.metadata.id}), owned by {info.owner}",
            *(f"  {name:<{width}}  {count:>13,} rows" for name, count in rows.items()),
            *(
                []
                if info.rows is not None
                else [f"  {info.number_of_units:,} units, every upload counted"]
            ),
            (
                "  all its meshes and skeletons"
                if preview.files is None
                else f"  {preview.files.count:,} meshes and skeletons"
            ),
            f"  {uploads} uploads",
            f"To delete it, type its label exactly: {info.metadata.label}",
        ]
    )


def delete(
    settings: PipelineSettings, dataset: UUID, destination: Destination | str, typed_label: str
) -> Tombstone:
    """Delete a dataset with all its rows and files, for good, and keep a tombstone in its store
    (and in the node, when it keeps any).

    May be given again after a crash: a deletion that happened is settled, not repeated. Raises
    `ApprovalError` when `typed_label` is not the dataset's label, `DestinationRefused` (no such
    dataset, another owner's), `OutcomeUnknown` when no answer tells whether it is gone.
    """
    node = _open(settings, destination)
    store = DatasetStore(settings.state, dataset)
    if node.info(dataset) is None and not store.folder.is_dir():
        raise _unknown(dataset, node)
    records = PublishRecords(store)
    with records.lock():
        info = node.info(dataset)
        if info is None:
            return _settle(records, node, dataset, typed_label)
        _require_owner(node, info)
        _require_label(typed_label, info.metadata.label)
        files = node.files(dataset)
        by = node.who_am_i().id
        foreseen = Deletion(
            dataset=dataset,
            label=info.metadata.label,
            owner=info.owner,
            rows=info.rows,
            files=files.count if files is not None else None,
            uploads=info.uploads or (),
            by=by,
            at=datetime.now(UTC),
        )
        records.note("", node.name, _STEP, "start", foreseen.model_dump(mode="json"))
        try:
            deletion = node.delete(dataset)
        except OutcomeUnknown:
            deletion = foreseen
        if node.info(dataset) is not None:
            raise OutcomeUnknown(
                f"Dataset {dataset} is still at {node.name}.",
                next_step=(
                    f"Ask in a while with: syndb-pipeline datasets --destination {node.name}\nIf it"
                    f" is still there: syndb-pipeline delete {dataset} --destination {node.name}"
                ),
            )
        return _bury(records, node, deletion)


def deleted_at(
    store: DatasetStore, destination: Destination, dataset: UUID, info: DatasetInfo | None
) -> datetime | None:
    """When the dataset was last deleted at the destination, as far as the store or the destination
    knows; None when it never was.
    """
    records = PublishRecords(store)
    times = [
        tombstone.deletion.at
        for tombstone in records.tombstones()
        if tombstone.destination == destination.name
    ]
    times += [deletion.at for deletion in destination.deletions(dataset)]
    receipt = records.receipt()
    if info is None and receipt is not None and receipt.destination == destination.name:
        times.append(receipt.published)  # it was there then, and is not now
    return max(times, default=None)


def _open(settings: PipelineSettings, destination: Destination | str) -> Destination:
    return open_destination(settings, destination) if isinstance(destination, str) else destination


def _unknown(dataset: UUID, node: Destination) -> DestinationRefused:
    return UnknownDataset(
        f"There is no dataset {dataset} at {node.name}.",
        next_step=f"List those there are with: syndb-pipeline datasets --destination {node.name}",
    )


def _require_owner(node: Destination, info: DatasetInfo) -> None:
    who = node.who_am_i()
    if info.owner != who.id:
        raise NotPermitted(
            f"Dataset {info.metadata.id} at {node.name} belongs to {info.owner}; you are"
            f" {who.name}.",
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
    """The tombstone of a deletion that was begun, is done at the destination, and was cut off
    before it was written down.
    """
    begun = _begun(records, node)
    if begun is None:
        raise _unknown(dataset, node)
    foreseen = Deletion.model_validate(begun.details)
    _require_label(typed_label, foreseen.label)
    kept = [
        each
        for each in records.tombstones()
        if each.destination == node.name and each.deletion.at >= foreseen.at
    ]
    if kept:  # cut off between the tombstone and the journal's last line
        records.note("", node.name, _STEP, "done")
        return kept[-1]
    known = [deletion for deletion in node.deletions(dataset) if deletion.at >= foreseen.at]
    return _bury(records, node, known[-1] if known else foreseen)


def _begun(records: PublishRecords, node: Destination) -> JournalLine | None:
    line = records.last("", node.name, _STEP)
    return line if line is not None and line.state == "start" else None


def _bury(records: PublishRecords, node: Destination, deletion: Deletion) -> Tombstone:
    receipt = records.receipt()
    tombstone = Tombstone(
        destination=node.name, deletion=deletion, receipt=receipt.plan if receipt else None
    )
    if tombstone not in records.tombstones():
        records.add_tombstone(tombstone)
    records.note("", node.name, _STEP, "done")
    return tombstone
