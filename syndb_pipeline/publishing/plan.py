"""The plan: exactly what would be sent where, under one digest; the chain of stages that it rests
on, recomputed; and the approval of that digest by a person.

Belongs here: computing, describing and approving a plan. Does not: sending (`publish.py`), running
or repairing a stage.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from syndb_pipeline.base.digests import digest_of
from syndb_pipeline.base.engine import digest_of_rows, types_of
from syndb_pipeline.base.errors import ApprovalError, ConfigError, DataRejected, PipelineError
from syndb_pipeline.base.tar_stream import FilePayload, TarPayload
from syndb_pipeline.config.description import Access
from syndb_pipeline.config.settings import Terms
from syndb_pipeline.contract.metadata import TERMS, TERMS_DIGEST, Metadata
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.destinations import open_destination
from syndb_pipeline.destinations.base import Destination, OutgoingFile, Package
from syndb_pipeline.publishing.differences import changes_since
from syndb_pipeline.publishing.guardrails import compare
from syndb_pipeline.publishing.records import (
    Approval,
    Compared,
    Decision,
    How,
    PublishRecords,
    Since,
)
from syndb_pipeline.stages import runner
from syndb_pipeline.stages.package import TABLES_FOLDER, Manifest, Packed, as_sent, describe
from syndb_pipeline.state.results import Links, Summary
from syndb_pipeline.state.stage import Context, Stage
from syndb_pipeline.state.store import DatasetStore, Record
from syndb_pipeline.state.tables import written

SHORTEST_PREFIX: Final = 12
"""Hex characters of a digest that a person must give at least."""

SENT_BESIDE_TABLES: Final = ("destination", "metadata and licence", "meshes and skeletons")
"""Parts of a plan."""

_LOUD: Final = ("warning", "error")

# The chain

StageState = Literal["current", "stale", "missing"]


class Link(BaseModel):
    """One stage of the chain: whether its outputs are whole and made from what it would read now.

    `changes` say in words what is not as it was; they are empty for a stage that is stale only
    because of an earlier one, `behind`.
    """

    model_config = ConfigDict(frozen=True)

    stage: str
    state: StageState
    changes: tuple[str, ...] = ()
    behind: str | None = None
    digest: str | None = None


def recompute(context: Context) -> list[Link]:
    """Every stage's link, in order: digests of lab files, config and outputs taken again, versions
    compared. Reads every byte involved."""
    links: list[Link] = []
    for stage in runner.STAGES.values():
        behind = next((link.stage for link in links if link.state != "current"), None)
        record, changes = context.store.record(stage.name), []
        if record is not None:
            # What it would read now cannot be known while the one before it is not whole.
            changes = _inputs_changed(context, stage, record) if behind is None else []
            damaged = context.store.mismatches(record)
            changes += [
                f"{name}, which the pipeline wrote, was changed or removed" for name in damaged
            ]
        elif context.store.record_path(stage.name).is_file():
            changes = [f"{stage.name}/record.json, which the pipeline wrote, was changed"]
        links.append(
            Link(
                stage=stage.name,
                state="stale"
                if changes or (record and behind)
                else "current"
                if record
                else "missing",
                changes=tuple(changes),
                behind=behind,
                digest=record.digest if record else None,
            )
        )
    return links


def _inputs_changed(context: Context, stage: Stage, record: Record) -> list[str]:
    """What a stage read, or would be read with, that is not as it was, in words."""
    changes = []
    try:
        now = runner.expected_inputs(context, stage)
        for name in _unequal(record.inputs, now):
            how = "changed" if name in now else "is gone"
            changes.append(f"{_input(name)} {how if name in record.inputs else 'is new'}")
    except PipelineError as error:
        changes.append(error.message)
    was, versions = record.versions, runner.versions(stage)
    for name in _unequal(was, versions):
        changes.append(f"the version of {name} is {versions.get(name)}, it was {was.get(name)}")
    return changes


def _unequal(before: dict[str, str], now: dict[str, str]) -> list[str]:
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def _input(name: str) -> str:
    kind, _, rest = name.partition(":")
    known = {
        "file": f"the lab's file {rest}",
        "corrections": f"the file of corrections of {rest}",
        "record": f"what {rest} found",
        "config": f"the config{f' ({rest})' if rest else ''}",
        "paths": "a path to a mesh or skeleton",
        "files": "a mesh or skeleton",
    }
    return known.get(kind, name)


# The plan


class Plan(Packed):
    """What would be sent, and where to. `digest` covers `parts`; neither knows folders, times or
    the machine.

    `since` says what changed since it was published last, as far as that is known; `compared` which
    of that standing approval does not cover. `columns` are the summaries of the numeric columns by
    table, `findings` the codes of warnings and errors.

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
    columns: dict[str, dict[str, Summary]]
    findings: tuple[str, ...]
    statements: str = TERMS_DIGEST
    """Digest of what `terms` are accepted of."""
    since: Since | None = None
    compared: Compared = Compared()
    speaks: str = ""
    obstacles: tuple[str, ...] = ()
    parents: dict[str, tuple[FilePayload, FilePayload]] = Field(default={}, exclude=True)
    """See `Package`."""

    def __str__(self) -> str:
        from syndb_pipeline.publishing.plan_text import describe  # which is about this class

        return describe(self)

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())

    @property
    def access(self) -> Access:
        """Who may read it."""
        return self.description.access if self.description else Access()

    @cached_property
    def payload(self) -> TarPayload:
        """The tar that is sent."""
        return as_sent(self.package, self.tar, self.tables)

    @cached_property
    def content(self) -> dict[str, str]:
        """A digest of each table's rows and columns, whatever wrote its file. Reads the files."""
        return {name: digest_of_rows(path) for name, path in self.table_files.items()}

    @cached_property
    def sent_content(self) -> str:
        """A digest of `content` and of what is sent beside it, where and under which terms. Reads
        the files."""
        return digest_of(
            [self.content, *(self.parts[part] for part in (*SENT_BESIDE_TABLES, "terms"))]
        )

    @property
    def table_files(self) -> dict[str, Path]:
        """The packed file of each table, on this machine."""
        return _table_files(self.package, self.tables)

    @cached_property
    def sent(self) -> Package:
        """The tar as a destination takes it."""
        return Package(
            tar=self.payload,
            rows={name: table.rows for name, table in self.tables.items()},
            files=tuple(self.outgoing(Path())),
            described=describe(self, self.metadata, self.inputs),
            parents=self.parents,
        )

    def outgoing(self, folder: Path) -> list[OutgoingFile]:
        """Meshes and skeletons as a destination takes them: below the dataset's `folder` here."""
        return [
            OutgoingFile(
                kind=file.kind,
                unit=file.cid,
                path=folder / file.path,
                sha256=file.sha256,
                bytes=file.bytes,
                table=file.table,
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
    # In this order, as a person would ask: prepared, accepted, packed.
    *checked, package = recompute(context)
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
    folder = context.store.stage("package")
    # Whole and made from these very records, for its own record says so.
    manifest, inputs = Manifest.read(folder), context.ingested.inputs
    where = destination.name, destination.target
    parts = _parts(manifest, where, inputs)
    since = changes_since(
        context.settings,
        PublishRecords(context.store),
        where,
        _table_files(folder, manifest.tables),
    )
    summaries = context.validated.details.tables
    own = context.settings.destinations.get(destination.name)
    if since and own and own.replaces:
        since = since.model_copy(update={"stay": False})
    current = Plan(
        **{name: getattr(manifest, name) for name in Packed.model_fields},
        digest=digest_of(parts),
        dataset=context.dataset,
        label=manifest.dataset.label,
        destination=destination.name,
        target=destination.target,
        metadata=manifest.dataset,
        package=folder,
        relations=verdict.details.relations,
        parts=parts,
        inputs=inputs,
        columns={name: table.columns for name, table in summaries.items()},
        findings=tuple(sorted({each.code for each in verdict.findings if each.severity in _LOUD})),
        since=since,
        speaks=own.speaks if own else "",
        obstacles=tuple(own.cannot_send(manifest.tables, len(manifest.files)) if own else ()),
        parents=_unsent_parents(context, manifest.tables),
    )
    return current.model_copy(update={"compared": compare(context, current)})


def digest_on_record(store: DatasetStore, destination: tuple[str, str]) -> str | None:
    """The digest of the plan of what is packed, as far as the records say: neither what they were
    made from nor the destination, a name and a target, is looked at. None when the newest verdict
    is not packed.

    Raises `PipelineError` when a record is damaged.
    """
    records = {stage: store.record(stage) for stage in ("ingest", "check_integrity", "package")}
    for stage, record in records.items():
        if record is None and (path := store.record_path(stage)).is_file():
            raise PipelineError(
                f"{path} is damaged, or of another version of this program.",
                next_step="The next run of the dataset writes it again.",
            )
    ingest, verdict, package = records.values()
    if not (ingest and verdict and package):
        return None
    if package.inputs["record:check_integrity"] != verdict.digest:
        return None
    manifest = Manifest.read(store.stage("package"))
    return digest_of(_parts(manifest, destination, ingest.inputs))


def _unsent_parents(
    context: Context, tables: Iterable[str]
) -> dict[str, tuple[FilePayload, FilePayload]]:
    """See `Package.parents`."""
    found = {}
    for name, path in written(context, "join_relations", "relations").items():
        if (
            name in tables
            and "parent_id" in types_of(path)
            and "parent_id" not in TABLES[name].published
        ):
            ids = written(context, "assign_ids", "ids")[name]
            found[name] = (FilePayload.of(ids), FilePayload.of(path))
    return found


def _table_files(package: Path, tables: Iterable[str]) -> dict[str, Path]:
    return {name: package / TABLES_FOLDER / f"{name}.parquet" for name in tables}


def _require_current(context: Context, links: list[Link], done: str) -> None:
    again = f"Prepare it again and look at the new plan: syndb-pipeline plan {context.config.path}"
    if changes := [change for link in links for change in link.changes]:
        raise ApprovalError(
            f"Something changed since the dataset was {done}:\n{in_lines(changes)}",
            next_step=again,
        )
    if missing := [link.stage for link in links if link.state == "missing"]:
        raise ConfigError(
            f"Dataset {context.config.name} is not prepared: {missing[0]} has not run.",
            next_step=again,
        )


def _parts(
    manifest: Manifest, destination: tuple[str, str], inputs: dict[str, str]
) -> dict[str, str]:
    """The plan in named parts, each by digest. Files are named by their row: where they are on this
    machine is not part of the plan."""
    files = [[f.kind, f.table, str(f.cid), f.sha256, f.bytes] for f in manifest.files]
    parts: dict[str, Any] = {
        "destination": [*destination],
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
    if manifest.description:
        parts["description"] = manifest.description.model_dump(mode="json")
    return {name: digest_of(part) for name, part in parts.items()}


# Approval


def refuse_changes(context: Context, approve: str | None) -> None:
    """Raise `ApprovalError` when a byte of what a person approved, with `approve` or before, has
    changed since: preparing it again would hide that.
    """
    by_a_person = approve or (
        context.config.publish.approval == "manual" and PublishRecords(context.store).approvals()
    )
    if by_a_person and context.store.record("package") is not None:
        plan(context)


def require_consent(terms: Terms | None, config_path: Path) -> Terms:
    """The accepted terms. Raises `ApprovalError` naming the keys of `terms:` that are not accepted
    (SynDB's upload guide, step 1)."""
    if terms is None:
        raise ApprovalError(
            "No one has accepted SynDB's terms for this dataset.",
            next_step=f"Add `terms:` with accepted_by, accepted_on, {', '.join(TERMS)} to "
            f"{config_path}.",
        )
    # A day of grace: it is tomorrow somewhere already.
    if terms.accepted_on > datetime.now(UTC).date() + timedelta(days=1):
        raise ApprovalError(
            f"SynDB's terms are accepted on {terms.accepted_on}, which is still to come.",
            next_step=f"Correct terms.accepted_on in {config_path}, and prepare again.",
        )
    if refused := [key for key in TERMS if not getattr(terms, key)]:
        reasons = in_lines(f"terms.{key} is false: {TERMS[key]}" for key in refused)
        keys = ", ".join(f"terms.{key}" for key in refused)
        raise ApprovalError(
            f"SynDB's terms are not accepted in full:\n{reasons}",
            next_step=f"If they hold, set {keys} to true in {config_path}, and prepare again.",
        )
    return terms


def require_access(current: Plan, destination: Destination, config_path: Path) -> None:
    """Raise `ApprovalError` when the dataset is not for everyone yet and the destination publishes
    to everyone."""
    today, access = datetime.now(UTC).date(), current.access
    until = access.embargo_until
    embargoed = until is not None and until > today
    closed = access.closed(today)
    if closed and (embargoed or not destination.keeps_access):
        keeps = "no embargo" if destination.keeps_access else "no access policies"
        raise ApprovalError(
            f"{closed}, but {current.destination} ({current.target}) has {keeps}: what "
            "is uploaded can be read by everyone.",
            next_step=f"Wait, or, if everyone may read it now, correct {config_path} and prepare "
            "again.",
        )


def names(given: str, digest: str) -> bool:
    """Whether `given` is the digest, or at least its first `SHORTEST_PREFIX` characters."""
    folded = given.strip().casefold()
    return len(folded) >= SHORTEST_PREFIX and digest.startswith(folded)


def approve(context: Context, current: Plan, digest: str, by: str, how: How) -> Approval:
    """Keep `by`'s approval of the plan that was just computed.

    Args:
        context: The dataset.
        current: Its plan.
        digest: What `by` gave, in full or its first 12 characters or more.
        by: Who approves.
        how: In which way.

    Raises:
        ApprovalError: The digest is not that of the plan, or the terms are not accepted.
    """
    path = context.config.path
    require_consent(context.config.terms, path)
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
    approval = records.add_approval(approval)
    if how != "standing" and records.holds():
        yes = Decision(answer="approved", by=by, how=how, at=approval.at)
        records.decide(current.digest, current.sent_content, yes)
    return approval


def changed_since(approval: Approval, current: Plan) -> str:
    """In words, which parts of the plan are not those that were approved."""
    changed = {name for name, _ in approval.parts.items() ^ current.parts.items()}
    return f"these changed: {', '.join(sorted(changed))}" if changed else "nothing changed"


def in_lines(items: Iterable[str]) -> str:
    """The first items, one a line, and how many more there are."""
    lines = [f"  {item}" for item in items]
    more = [f"  and {len(lines) - 20} more"] if len(lines) > 20 else []
    return "\n".join(lines[:20] + more)
