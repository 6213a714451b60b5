"""The plan: exactly what would be sent where, under one digest; and the approval of that digest by
a person.

Belongs here: computing, describing and approving a plan. Does not: sending (`publish.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from pydantic import ValidationError

from syndb_pipeline.base.digests import digest_of
from syndb_pipeline.base.errors import ApprovalError, ConfigError, DataRejected
from syndb_pipeline.base.progress import amount
from syndb_pipeline.base.tar_stream import TarPayload
from syndb_pipeline.config.settings import Terms
from syndb_pipeline.contract.dataset import Metadata
from syndb_pipeline.contract.vocabularies import BRAIN_STRUCTURES, LICENSES, SPDX_LICENSES
from syndb_pipeline.destinations import open_destination
from syndb_pipeline.destinations.base import Destination, OutgoingFile, Package
from syndb_pipeline.publishing.chain import Link, recompute
from syndb_pipeline.publishing.records import Approval, How, PublishRecords
from syndb_pipeline.stages.package import Manifest, Packed, as_sent
from syndb_pipeline.state.results import Links, lines_of, relations_of
from syndb_pipeline.state.stage import Context

SHORTEST_PREFIX: Final = 12
"""Hex characters of a digest that a person must give at least."""

_TERMS: Final = {
    "accurate": "the data are not false or misleading",
    "redistributable": "you may redistribute them",
    "license_agreed": "you agree to the licence",
}


class Plan(Packed):
    """What would be sent, and where to. `digest` covers `parts`; neither knows folders, times or
    the machine.

    `relations` (table -> column -> target, how, resolved) are for people. They are no part of their
    own: the UUIDs of the rows that a column was joined to are in the tables, which `digest` covers,
    and why it was joined to them changes nothing that is sent.
    """

    digest: str
    dataset: UUID
    label: str
    destination: str
    target: str
    metadata: Metadata
    package: Path
    """Where the package is on this machine."""
    relations: Links
    parts: dict[str, str]
    inputs: dict[str, str]

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())

    @cached_property
    def payload(self) -> TarPayload:
        """The tar that is sent."""
        return as_sent(self.package, self.tar, self.tables)

    @property
    def sent(self) -> Package:
        """The tar as a destination takes it."""
        rows = {name: table.rows for name, table in self.tables.items()}
        return Package(tar=self.payload, rows=rows)

    def outgoing(self, folder: Path) -> list[OutgoingFile]:
        """Meshes and skeletons as a destination takes them: below the dataset's `folder` here."""
        return [
            OutgoingFile(
                kind=file.kind,
                unit=file.cid,
                path=folder / file.path,
                sha256=file.sha256,
                bytes=file.bytes,
            )
            for file in self.files
        ]

    @property
    def file_bytes(self) -> int:
        return sum(file.bytes for file in self.files)


def plan(context: Context, destination: Destination | None = None) -> Plan:
    """The plan of the dataset's package for a destination, the config's unless another is given.
    Nothing is run or sent; every byte involved is read again.

    Raises `ConfigError` (no such destination, nothing prepared yet), `ApprovalError` (something
    changed since the stages ran: it says what) and `DataRejected` (the verdict is not "accepted").
    """
    if destination is None:
        destination = open_destination(context.settings, context.config.publish.destination)
    links = recompute(context)
    _require_prepared(context, links)
    folder = context.store.stage("package")
    try:
        manifest = Manifest.read(folder)
    except ValidationError as error:
        place = error.errors()[0]["loc"]
        raise ConfigError(
            f"{folder / 'manifest.json'} lacks what publishing needs: {place}.",
            next_step=_again(context),
        ) from None
    _require_recorded(context, links, manifest)
    inputs = context.ingested.inputs
    parts = _parts(manifest, destination, inputs)
    return Plan(
        **{name: getattr(manifest, name) for name in Packed.model_fields},
        digest=digest_of(parts),
        dataset=context.dataset,
        label=manifest.dataset.label,
        destination=destination.name,
        target=destination.target,
        metadata=manifest.dataset,
        package=folder,
        relations=context.verdict.details.relations,
        parts=parts,
        inputs=inputs,
    )


def _parts(manifest: Manifest, destination: Destination, inputs: dict[str, str]) -> dict[str, str]:
    """The plan in named parts, each by digest. Files are named by their row: where they are on this
    machine is not part of the plan."""
    files = [[f.kind, f.table, str(f.cid), f.sha256, f.bytes] for f in manifest.files]
    parts: dict[str, Any] = {
        "destination": [destination.name, destination.target],
        "metadata and licence": manifest.dataset.model_dump(mode="json"),
        "terms": manifest.terms,
        "verdict": manifest.verdict,
    }
    for name, table in manifest.tables.items():
        parts[f"table {name}"] = [table.rows, table.sha256]
    if manifest.set_aside:
        aside = {name: each.model_dump() for name, each in manifest.set_aside.items()}
        parts["quarantined rows"] = aside
    parts["meshes and skeletons"] = sorted(files)
    of_lab = ("file:", "corrections:")
    lab_files = (digest for name, digest in inputs.items() if name.startswith(of_lab))
    parts["lab files"] = sorted(lab_files)
    return {name: digest_of(part) for name, part in parts.items()}


# What has to hold


def _again(context: Context) -> str:
    return f"Prepare it again and look at the new plan: syndb-pipeline plan {context.config.path}"


def _require_prepared(context: Context, links: list[Link]) -> None:
    """The stages to the verdict are current, the verdict is "accepted", the package is current: in
    this order, as a person would ask."""
    *checked, package = links
    _require_current(context, checked, "prepared")
    verdict = context.verdict
    if not verdict.details.accepted:
        count = len(verdict.errors)
        raise DataRejected(
            f"Dataset {context.config.name} was rejected: "
            f"{count} kind{'s' if count != 1 else ''} of errors.",
            next_step=f"See them with: syndb-pipeline check {context.config.path}",
        )
    _require_current(context, [package], "packed")


def _require_current(context: Context, links: list[Link], done: str) -> None:
    if changes := [change for link in links for change in link.changes]:
        raise ApprovalError(
            f"Something changed since the dataset was {done}:\n{in_lines(changes)}",
            next_step=_again(context),
        )
    if missing := [link.stage for link in links if link.state == "missing"]:
        raise ConfigError(
            f"Dataset {context.config.name} is not prepared: {missing[0]} has not run.",
            next_step=_again(context),
        )


def _require_recorded(context: Context, links: list[Link], manifest: Manifest) -> None:
    """The manifest speaks of this dataset and of the very records that are there."""
    records = {link.stage: link.digest for link in links}
    unlike = [name for name, digest in manifest.chain.items() if records.get(name) != digest]
    if unlike or manifest.dataset.id != context.dataset or manifest.verdict != "accepted":
        which = f": {', '.join(unlike)}" if unlike else ""
        raise ApprovalError(
            f"The package was made from other results than those that are there{which}.",
            next_step=_again(context),
        )


def require_consent(terms: Terms | None, config_path: Path) -> Terms:
    """The accepted terms. Raises `ApprovalError` naming the keys of `terms:` that are not accepted
    (SynDB's upload guide, step 1)."""
    if terms is None:
        raise ApprovalError(
            "Nobody has accepted SynDB's terms for this dataset.",
            next_step=f"Add `terms:` with accepted_by, accepted_on, {', '.join(_TERMS)} to "
            f"{config_path}.",
        )
    # A day of grace: it is tomorrow somewhere already.
    if terms.accepted_on > datetime.now(UTC).date() + timedelta(days=1):
        raise ApprovalError(
            f"SynDB's terms are accepted on {terms.accepted_on}, which is still to come.",
            next_step=f"Correct terms.accepted_on in {config_path}, and prepare again.",
        )
    if refused := [key for key in _TERMS if not getattr(terms, key)]:
        reasons = in_lines(f"terms.{key} is false: {_TERMS[key]}" for key in refused)
        keys = ", ".join(f"terms.{key}" for key in refused)
        raise ApprovalError(
            f"SynDB's terms are not accepted in full:\n{reasons}",
            next_step=f"If they hold, set {keys} to true in {config_path}, and prepare again.",
        )
    return terms


def require_metadata(metadata: Metadata, config_path: Path) -> None:
    """Raises `ConfigError` when the licence is none of SynDB's, or metadata that SynDB requires are
    empty."""
    if LICENSES.get(metadata.license) != metadata.data_license:
        raise ConfigError(
            f"dataset.license: {metadata.license!r} is not a licence SynDB knows.",
            next_step=f"Set it in {config_path} to one of: {', '.join(LICENSES)}",
        )
    required = ("label", "animal_name", "microscopy", "brain_regions")
    empty = [f"dataset.{name}" for name in required if not getattr(metadata, name)]
    if not metadata.syndb_tables:
        empty.append("tables")
    if empty:
        raise ConfigError(
            f"Metadata that SynDB requires are missing: {', '.join(empty)}.",
            next_step=f"Fill them in in {config_path}.",
        )


# Approval


def names(given: str, digest: str) -> bool:
    """Whether `given` is the digest, or at least its first `SHORTEST_PREFIX` characters."""
    folded = given.strip().casefold()
    return len(folded) >= SHORTEST_PREFIX and digest.startswith(folded)


def approve(
    context: Context, digest: str, by: str, how: How, destination: Destination | None = None
) -> Approval:
    """Keep `by`'s approval of the plan that `digest` names (in full, or its first 12 characters or
    more). The plan is computed again.

    Raises `ApprovalError` when the digest is not that of the plan as it is now, or the terms are
    not accepted, and what `plan` raises.
    """
    return approve_plan(context, plan(context, destination), digest, by, how)


def approve_plan(context: Context, current: Plan, digest: str, by: str, how: How) -> Approval:
    """`approve` for a plan that was just computed."""
    path = context.config.path
    terms = require_consent(context.config.terms, path)
    require_metadata(current.metadata, path)
    standing = context.config.publish.approval == "standing" and by == terms.accepted_by
    if how == "standing" and not standing:
        raise ApprovalError(
            "There is no standing approval by this person.",
            next_step=f"Set publish.approval in {path}.",
        )
    records, given = PublishRecords(context.store), digest.strip()
    if not names(given, current.digest):
        why = "it names another plan"
        if len(given) < SHORTEST_PREFIX:
            why = f"at least {SHORTEST_PREFIX} characters are needed"
        elif earlier := [each for each in records.approvals() if names(given, each.digest)]:
            why = f"since that approval, {changed_since(earlier[-1], current)}"
        raise ApprovalError(
            f"{given or 'An empty digest'} is not the digest of the plan, {current.digest}: {why}.",
            next_step=f"Look at the plan with: syndb-pipeline plan {path}",
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


def changed_since(approval: Approval, current: Plan) -> str:
    """In words, which parts of the plan are not those that were approved."""
    changed = {name for name, _ in approval.parts.items() ^ current.parts.items()}
    return f"these changed: {', '.join(sorted(changed))}" if changed else "nothing changed"


# For people


def describe(current: Plan) -> str:
    """The plan as text: what a person reads before approving it."""
    license = current.metadata.license
    spdx = "".join(f" ({spdx})" for spdx, name in SPDX_LICENSES.items() if name == license)
    width = max(len(name) for name in [*current.tables, *current.set_aside])
    meshes = sum(file.kind == "mesh" for file in current.files)
    skeletons = len(current.files) - meshes
    rows = {name: (table.rows, amount(table.bytes)) for name, table in current.tables.items()}
    rows["in all"] = current.rows, f"{amount(current.tar.bytes):>9} in {current.tar.name}"
    relations = list(lines_of(relations_of(current.relations)))
    lines = [
        f"Dataset      {current.label}",
        f"Id           {current.dataset}",
        f"Destination  {current.destination} ({current.target})",
        f"Licence      {license}{spdx}",
        *(
            f"Brain region {region.brain_structure}: not in SynDB's vocabulary, "
            "published as written"
            for region in current.metadata.brain_regions
            if region.brain_structure not in BRAIN_STRUCTURES
        ),
        f"Terms        {_terms(current.terms)}",
        "Tables",
        *(
            f"  {name:<{width}}  {count:>13,} {'row ' if count == 1 else 'rows'}  {size:>9}"
            for name, (count, size) in rows.items()
        ),
    ]
    if relations:
        lines.append("References, the tables they point to, rows, and how the table was chosen")
        lines += (f"  {line}" for line in relations)
    if current.set_aside:
        lines.append("Quarantined, not sent")
        lines += (f"  {name:<{width}}  {each}" for name, each in current.set_aside.items())
    files = f"{meshes:,} meshes, {skeletons:,} skeletons, {amount(current.file_bytes)}"
    return "\n".join([*lines, f"Files        {files}", f"Digest       {current.digest}"])


def _terms(terms: dict[str, Any] | None) -> str:
    if terms is None:
        return "not accepted yet"
    refused = ", ".join(key for key in _TERMS if not terms.get(key))
    accepted = f"accepted by {terms['accepted_by']} on {terms['accepted_on']}"
    return accepted + (f", except {refused}" if refused else "")


def in_lines(items: Iterable[str]) -> str:
    """The first items, one a line, and how many more there are."""
    lines = [f"  {item}" for item in items]
    more = [f"  and {len(lines) - 20} more"] if len(lines) > 20 else []
    return "\n".join(lines[:20] + more)
