"""The state of a dataset: each stage, the verdict, the plan, approvals, receipt, tombstones; and
what a destination holds.

Belongs here: gathering what the store and the destinations say. Does not: changing anything.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from syndb_pipeline.base.errors import NotLoggedIn, PipelineError, Unreachable
from syndb_pipeline.destinations import open_destination
from syndb_pipeline.destinations.base import DatasetInfo, Destination
from syndb_pipeline.publishing.chain import Link, recompute
from syndb_pipeline.publishing.plan import plan
from syndb_pipeline.publishing.publish import valid_approvals
from syndb_pipeline.publishing.records import Approval, PublishRecords, Receipt, Tombstone
from syndb_pipeline.state.results import RowsSetAside
from syndb_pipeline.state.stage import Context


class Status(BaseModel):
    """The state of a dataset. `digest` is the plan's, None with `obstacle` saying why when there is
    no plan to approve; `set_aside` has by table the rows that it leaves out.

    `approved` says whether a kept approval of exactly this plan counts now. `published` is the
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
    current = obstacle = published = unasked = None
    approved = False
    try:
        current = plan(context, destination)
    except PipelineError as error:
        obstacle = str(error)
    else:
        try:
            gone = destination.info(context.dataset) is None
            known = destination.deletions(context.dataset)
            since = records.deleted_at(destination.name, known, gone=gone)
        except (NotLoggedIn, Unreachable) as error:
            unasked = error.message
            since = records.deleted_at(destination.name)
        approved = bool(valid_approvals(context, current, since))
        own = records.receipt(current.digest)
        if own is not None and (since is None or own.published > since):
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
