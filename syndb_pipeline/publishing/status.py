"""Where a dataset stands: each stage, the verdict, the plan, approvals, receipt, tombstones; and
what a destination holds.

Belongs here: gathering what the store and the destinations say. Does not: changing anything.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from syndb_pipeline.base.errors import NotLoggedIn, PipelineError, Unreachable
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.destinations import open_destination
from syndb_pipeline.destinations.base import DatasetInfo, Destination
from syndb_pipeline.publishing.chain import Link, recompute
from syndb_pipeline.publishing.deletion import deleted_at
from syndb_pipeline.publishing.manifest import RowsSetAside
from syndb_pipeline.publishing.plan import plan
from syndb_pipeline.publishing.publish import valid_approvals
from syndb_pipeline.publishing.records import Approval, PublishRecords, Receipt, Tombstone
from syndb_pipeline.state.stage import Context


class Status(BaseModel):
    """Where a dataset stands. `digest` is the plan's, None with `obstacle` saying why when there is
    no plan to approve; `set_aside` tells by table the rows that it leaves out.

    `approved` tells whether a kept approval of exactly this plan counts now. `published` is the
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
    about the dataset itself.
    """
    destination = destination or open_destination(
        context.settings, context.config.publish.destination
    )
    records = PublishRecords(context.store)
    links = recompute(context)
    digest = obstacle = published = unasked = None
    approved, set_aside = False, {}
    try:
        current = plan(context, destination)
    except PipelineError as error:
        obstacle = str(error)
    else:
        digest, set_aside = current.digest, current.set_aside
        try:
            since = deleted_at(
                context.store, destination, context.dataset, destination.info(context.dataset)
            )
        except (NotLoggedIn, Unreachable) as error:
            unasked = error.message
            since = max(
                (
                    each.deletion.at
                    for each in records.tombstones()
                    if each.destination == destination.name
                ),
                default=None,
            )
        approved = bool(valid_approvals(context, current, since))
        own = records.receipt(digest)
        published = (
            own.published if own is not None and (since is None or own.published > since) else None
        )
    sealed = next((link for link in links if link.stage == "check_integrity"), None)
    verdict = (
        context.upstream("check_integrity").details.get("verdict")
        if sealed is not None and sealed.digest is not None
        else None
    )
    return Status(
        dataset=context.dataset,
        label=context.config.dataset.label,
        stages=tuple(links),
        verdict=verdict,
        digest=digest,
        obstacle=obstacle,
        set_aside=set_aside,
        approved=approved,
        approvals=tuple(records.approvals()),
        published=published,
        unasked=unasked,
        receipt=records.receipt(),
        tombstones=tuple(records.tombstones()),
    )


def datasets(
    settings: PipelineSettings,
    destination: Destination | str,
    which: Literal["owned", "modifiable", "incomplete"] = "owned",
) -> list[Listed]:
    """Datasets at a destination, by label: those we own, may upload to, or own and have not
    filled.
    """
    node = open_destination(settings, destination) if isinstance(destination, str) else destination
    unfinished = {info.metadata.id: info for info in node.incomplete()}
    found = (
        unfinished.values()
        if which == "incomplete"
        else node.owned()
        if which == "owned"
        else node.modifiable()
    )
    return [Listed(info=info, complete=info.metadata.id not in unfinished) for info in found]
