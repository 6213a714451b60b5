"""The plan: exactly what would be sent where, under one digest; and the approval of that digest by
a person.

Belongs here: computing, describing and approving a plan. Does not: sending (`stages/publish.py`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from syndb_pipeline.base.digests import digest_of
from syndb_pipeline.base.errors import ApprovalError, ConfigError, DataRejected
from syndb_pipeline.base.progress import amount
from syndb_pipeline.base.tar_stream import TarPayload
from syndb_pipeline.config.settings import Terms
from syndb_pipeline.contract.vocabularies import BRAIN_STRUCTURES, LICENSES, SPDX_LICENSES
from syndb_pipeline.destinations import open_destination
from syndb_pipeline.destinations.base import Destination, Metadata
from syndb_pipeline.publishing.chain import Link, recompute
from syndb_pipeline.publishing.manifest import (
    Manifest,
    PackagedFile,
    PackagedTable,
    PackagedTar,
    RowsSetAside,
    as_sent,
)
from syndb_pipeline.publishing.records import Approval, How, PublishRecords
from syndb_pipeline.state.relation import lines_of, relations_of
from syndb_pipeline.state.stage import Context

SHORTEST_PREFIX: Final = 12
"""Hex characters of a digest that a person must give at least."""

_TERMS: Final = {
    "accurate": "the data are not false or misleading",
    "redistributable": "you may redistribute them",
    "license_agreed": "you agree to the licence",
}


class Plan(BaseModel):
    """What would be sent, and where to. `digest` covers `parts`; neither knows folders, times or
    the machine.

    `relations` (table -> column -> target, how, resolved) are for people. They are no part of their
    own: the UUIDs of the rows that a column was joined to are in the tables, which `digest` covers,
    and why it was joined to them changes nothing that is sent.
    """

    model_config = ConfigDict(frozen=True)

    digest: str
    dataset: UUID
    label: str
    destination: str
    target: str
    metadata: Metadata
    terms: dict[str, Any] | None
    tables: dict[str, PackagedTable]
    tar: PackagedTar
    package: Path
    """Where the package is on this machine."""
    files: tuple[PackagedFile, ...]
    set_aside: dict[str, RowsSetAside] = {}
    relations: dict[str, dict[str, dict[str, Any]]] = {}
    parts: dict[str, str]
    chain: dict[str, str]
    versions: dict[str, str]
    inputs: dict[str, str]

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())

    @cached_property
    def payload(self) -> TarPayload:
        """The tar that is sent."""
        return as_sent(self.package, self.tar, self.tables)

    @property
    def file_bytes(self) -> int:
        return sum(file.bytes for file in self.files)


def plan(context: Context, destination: Destination | None = None) -> Plan:
    """The plan of the dataset's package for the config's destination. Nothing is run or sent; every
    byte involved is read again.

    Raises `ConfigError` (no such destination, nothing prepared yet), `ApprovalError` (something
    changed since the stages ran: it says what) and `DataRejected` (the verdict is not "accepted").
    """
    destination = destination or open_destination(
        context.settings, context.config.publish.destination
    )
    links = recompute(context)
    _require_prepared(context, links)
    folder = context.store.stage("package")
    try:
        manifest = Manifest.read(folder)
    except ValidationError as error:
        raise ConfigError(
            f"{folder / 'manifest.json'} lacks what publishing needs: {error.errors()[0]['loc']}.",
            next_step=_again(context),
        ) from None
    _require_sealed(context, links, manifest)
    inputs = context.upstream("ingest").inputs
    parts = _parts(manifest, destination, inputs)
    return Plan(
        digest=digest_of(parts),
        dataset=context.dataset,
        label=manifest.dataset.label,
        destination=destination.name,
        target=destination.target,
        metadata=manifest.dataset,
        terms=manifest.terms,
        tables=manifest.tables,
        tar=manifest.tar,
        package=folder,
        files=manifest.files,
        set_aside=manifest.set_aside,
        relations=context.upstream("check_integrity").details["relations"],
        parts=parts,
        chain=manifest.chain,
        versions=manifest.versions,
        inputs=inputs,
    )


def _parts(manifest: Manifest, destination: Destination, inputs: dict[str, str]) -> dict[str, str]:
    """The plan in named parts, each by digest. Files are named by their row: where they lie on this
    machine is not part of the plan.
    """
    files = [
        [file.kind, file.table, str(file.cid), file.sha256, file.bytes] for file in manifest.files
    ]
    aside = {name: each.model_dump() for name, each in manifest.set_aside.items()}
    return {
        "destination": digest_of([destination.name, destination.target]),
        "metadata and licence": digest_of(manifest.dataset.model_dump(mode="json")),
        "terms": digest_of(manifest.terms),
        "verdict": digest_of(manifest.verdict),
        **{
            f"table {name}": digest_of([table.rows, table.sha256])
            for name, table in manifest.tables.items()
        },
        **({"rows set aside": digest_of(aside)} if aside else {}),
        "meshes and skeletons": digest_of(sorted(files)),
        "lab files": digest_of(
            sorted(digest for name, digest in inputs.items() if name.startswith("file:"))
        ),
    }


def _again(context: Context) -> str:
    return f"Prepare it anew and look at the new plan: syndb-pipeline plan {context.config.path}"


def _require_prepared(context: Context, links: list[Link]) -> None:
    """The stages to the verdict are current, the verdict is "accepted", the package is current: in
    this order, as a person would ask.
    """
    changes = [change for link in links if link.stage != "package" for change in link.changes]
    missing = [link.stage for link in links if link.stage != "package" and link.state == "missing"]
    if changes:
        raise ApprovalError(
            "Something changed since the dataset was prepared:\n" + in_lines(changes),
            next_step=_again(context),
        )
    if missing:
        raise ConfigError(
            f"Dataset {context.config.name} is not prepared: {missing[0]} has not run.",
            next_step=_again(context),
        )
    sealed = context.upstream("check_integrity")
    if sealed.details.get("verdict") != "accepted":
        raise DataRejected(
            f"Dataset {context.config.name} was rejected: {len(sealed.errors)}"
            f" kind{'s' if len(sealed.errors) != 1 else ''} of errors.",
            next_step=f"See them with: syndb-pipeline check {context.config.path}",
        )
    package = links[-1]
    if package.state == "missing":
        raise ConfigError(
            f"Dataset {context.config.name} is not prepared: {package.stage} has not run.",
            next_step=_again(context),
        )
    if package.changes:
        raise ApprovalError(
            "Something changed since the dataset was packed:\n" + in_lines(package.changes),
            next_step=_again(context),
        )


def _require_sealed(context: Context, links: list[Link], manifest: Manifest) -> None:
    """The manifest speaks of this dataset and of the very records that are there."""
    records = {link.stage: link.digest for link in links}
    unlike = [stage for stage, digest in manifest.chain.items() if records.get(stage) != digest]
    if unlike or manifest.dataset.id != context.dataset or manifest.verdict != "accepted":
        raise ApprovalError(
            "The package was made from other results than those that are"
            f" there{': ' + ', '.join(unlike) if unlike else ''}.",
            next_step=_again(context),
        )


def require_consent(terms: Terms | None, config_path: Path) -> Terms:
    """The accepted terms. Raises `ApprovalError` naming the keys of `terms:` that are not accepted
    (SynDB's upload guide, step 1).
    """
    if terms is None:
        raise ApprovalError(
            "Nobody has accepted SynDB's terms for this dataset.",
            next_step=(
                f"Add `terms:` with accepted_by, accepted_on, {', '.join(_TERMS)} to {config_path}."
            ),
        )
    if terms.accepted_on > datetime.now(UTC).date() + timedelta(
        days=1
    ):  # a day of grace: it is tomorrow somewhere already
        raise ApprovalError(
            f"SynDB's terms are accepted on {terms.accepted_on}, which is still to come.",
            next_step=f"Correct terms.accepted_on in {config_path}, and prepare again.",
        )
    refused = [key for key in _TERMS if not getattr(terms, key)]
    if refused:
        raise ApprovalError(
            "SynDB's terms are not accepted in full:\n"
            + in_lines([f"terms.{key} is false: {_TERMS[key]}" for key in refused]),
            next_step=(
                f"If they hold, set {', '.join(f'terms.{key}' for key in refused)} to true in"
                f" {config_path}, and prepare again."
            ),
        )
    return terms


def require_metadata(metadata: Metadata, config_path: Path) -> None:
    """Raises `ConfigError` when the licence is none of SynDB's, or metadata that SynDB requires are
    empty.
    """
    if LICENSES.get(metadata.license) != metadata.data_license:
        raise ConfigError(
            f"dataset.license: {metadata.license!r} is not a licence SynDB knows.",
            next_step=f"Set it in {config_path} to one of: {', '.join(LICENSES)}",
        )
    empty = [
        f"dataset.{name}"
        for name in ("label", "animal_name", "microscopy", "brain_regions")
        if not getattr(metadata, name)
    ]
    if not metadata.syndb_tables:
        empty.append("tables")
    if empty:
        raise ConfigError(
            f"Metadata that SynDB requires are missing: {', '.join(empty)}.",
            next_step=f"Fill them in in {config_path}.",
        )


def names(given: str, digest: str) -> bool:
    """Whether `given` is the digest, or at least its first `SHORTEST_PREFIX` characters."""
    folded = given.strip().casefold()
    return len(folded) >= SHORTEST_PREFIX and digest.startswith(folded)


def approve(
    context: Context, digest: str, by: str, how: How, destination: Destination | None = None
) -> Approval:
    """Keep `by`'s approval of the plan that `digest` names (in full, or its first 12 characters or
    more). The plan is computed anew.

    Raises `ApprovalError` when the digest is not that of the plan as it is now, or the terms are
    not accepted, and what `plan` raises.
    """
    return approve_plan(context, plan(context, destination), digest, by, how)


def approve_plan(context: Context, current: Plan, digest: str, by: str, how: How) -> Approval:
    """`approve` for a plan that was just computed."""
    terms = require_consent(context.config.terms, context.config.path)
    require_metadata(current.metadata, context.config.path)
    if how == "standing" and (
        context.config.publish.approval != "standing" or by != terms.accepted_by
    ):
        raise ApprovalError(
            "There is no standing approval by this person.",
            next_step=f"Set publish.approval in {context.config.path}.",
        )
    records = PublishRecords(context.store)
    if not names(digest, current.digest):
        short = (
            f"at least {SHORTEST_PREFIX} characters are needed"
            if len(digest.strip()) < SHORTEST_PREFIX
            else _unlike(records, digest, current)
        )
        raise ApprovalError(
            f"{digest.strip() or 'An empty digest'} is not the digest of the plan,"
            f" {current.digest}: {short}.",
            next_step=f"Look at the plan with: syndb-pipeline plan {context.config.path}",
        )
    approval = Approval(
        digest=current.digest,
        by=by,
        how=how,
        at=datetime.now(UTC),
        destination=current.destination,
        parts=current.parts,
    )
    records.add_approval(approval)
    return approval


def _unlike(records: PublishRecords, digest: str, current: Plan) -> str:
    earlier = [approval for approval in records.approvals() if names(digest, approval.digest)]
    return (
        f"since that approval, {changed_since(earlier[-1], current)}"
        if earlier
        else "it names another plan"
    )


def changed_since(approval: Approval, current: Plan) -> str:
    """In words, which parts of the plan are not those that were approved."""
    changed = sorted(
        name
        for name in {*approval.parts, *current.parts}
        if approval.parts.get(name) != current.parts.get(name)
    )
    return f"these changed: {', '.join(changed)}" if changed else "nothing changed"


def _rows(count: int) -> str:
    return f"{count:>13,} {'row ' if count == 1 else 'rows'}"


def describe(current: Plan) -> str:
    """The plan as text: what a person reads before approving it."""
    spdx = next(
        (spdx for spdx, name in SPDX_LICENSES.items() if name == current.metadata.license), ""
    )
    licence = f"{current.metadata.license}{f' ({spdx})' if spdx else ''}"
    width = max(len(name) for name in [*current.tables, *current.set_aside])
    meshes = sum(file.kind == "mesh" for file in current.files)
    return "\n".join(
        [
            f"Dataset      {current.label}",
            f"Id           {current.dataset}",
            f"Destination  {current.destination} ({current.target})",
            f"Licence      {licence}",
            *(
                f"Brain region {name}: not in SynDB's vocabulary, published as written"
                for name in _unknown_regions(current)
            ),
            f"Terms        {_terms(current.terms)}",
            "Tables",
            *(
                f"  {name:<{width}}  {table.rows:>13,} {'row ' if table.rows == 1 else 'rows'} "
                f" {amount(table.bytes):>9}"
                for name, table in current.tables.items()
            ),
            (
                f"  {'in all':<{width}}  {_rows(current.rows)}  {amount(current.tar.bytes):>9} in"
                f" {current.tar.name}"
            ),
            *(
                ["References, the tables they point to, rows, and how the table was chosen"]
                if current.relations
                else []
            ),
            *(f"  {line}" for line in lines_of(relations_of(current.relations))),
            *(["Set aside, not sent"] if current.set_aside else []),
            *(f"  {name:<{width}}  {each}" for name, each in current.set_aside.items()),
            (
                f"Files        {meshes:,} meshes, {len(current.files) - meshes:,} skeletons,"
                f" {amount(current.file_bytes)}"
            ),
            f"Digest       {current.digest}",
        ]
    )


def _unknown_regions(current: Plan) -> list[str]:
    return [
        region.brain_structure
        for region in current.metadata.brain_regions
        if region.brain_structure not in BRAIN_STRUCTURES
    ]


def _terms(terms: dict[str, Any] | None) -> str:
    if terms is None:
        return "not accepted yet"
    refused = [key for key in _TERMS if not terms.get(key)]
    return f"accepted by {terms['accepted_by']} on {terms['accepted_on']}" + (
        f", except {', '.join(refused)}" if refused else ""
    )


def in_lines(items: list[str] | tuple[str, ...]) -> str:
    """The first items, one a line, and how many more there are."""
    shown = [f"  {item}" for item in items[:20]]
    return "\n".join(shown + ([f"  and {len(items) - 20} more"] if len(items) > 20 else []))
