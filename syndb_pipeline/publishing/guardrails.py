"""The guardrails of standing approval: what a plan changes beyond what a person consented to.

Belongs here: comparing a plan with the last publication. Does not: what follows from it
(`holds.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

from syndb_pipeline.base.engine import rows_in, types_of, values_in
from syndb_pipeline.config.limits import Limits
from syndb_pipeline.contract.tables import ordered
from syndb_pipeline.destinations.base import changed_fields
from syndb_pipeline.publishing.records import (
    Approval,
    Compared,
    PublishRecords,
    Reason,
    ReasonKind,
    Receipt,
)
from syndb_pipeline.rules.catalogue import RULES
from syndb_pipeline.state.stage import Context

if TYPE_CHECKING:
    from syndb_pipeline.publishing.plan import Plan

_PARTS: Final[Mapping[str, ReasonKind]] = {
    "terms": "terms",
    "destination": "destination",
    "metadata and licence": "metadata",
}
"""Parts of a plan that a person consents to, and what a change of them is called."""

_FIELDS: Final[Mapping[str, tuple[ReasonKind, str]]] = {
    "license": ("licence", "license"),
    "authorized_group_names": ("access", "groups"),
    "dataset_collection_names": ("metadata", "collections"),
    "publication_dois": ("metadata", "publications"),
    "animal_name": ("metadata", "animal"),
}
"""What a change of a field of the metadata is called, and the field's name in the YAML; of every
other, "metadata" and its own."""

_CODES: Final = ("data_license", "animal")
"""Fields that say in SynDB's code what `license` and `animal_name` say."""

_PERCENTILES: Final = {"p1": "1st percentile", "median": "median", "p99": "99th percentile"}

_FEWEST_FOR_ENDS: Final = 100
"""Rows below which the 1st and 99th percentile are single rows, which come and go."""


def compare(context: Context, current: Plan) -> Compared:
    """A plan beside the newest publication that was not deleted since, and beside what a person
    approved last. Empty before the first publication.

    Terms, metadata and destination count as consented to when either of the two has them.
    """
    records, limits = PublishRecords(context.store), context.config.publish.limits
    receipt, deleted = records.receipt(), records.deleted(current.destination)
    if receipt is not None and receipt.destination == current.destination:
        receipt = receipt if all(each.before(receipt) for each in deleted) else None
    rejected = {each.plan for each in records.holds() if each.rejected}
    by_person = [
        each
        for each in records.approvals()
        if each.how != "standing"
        and each.digest not in rejected
        and all(gone.before(each) for gone in deleted)
    ]
    consents = by_person[-1:] + ([receipt.approval] if receipt else [])
    reasons = list(_consent(current, consents, receipt)) if consents else []
    if receipt is None:
        return Compared(reasons=tuple(reasons))
    notes: list[str] = []
    if (receipt.destination, receipt.target) == (current.destination, current.target):
        reasons += _rows(current, receipt, limits)
        of_before = f"the publication of {receipt.published:%Y-%m-%d} is of before they were kept"
        if current.since is None:
            kept = "keys and empty cells"
            if receipt.columns is None:
                notes.append(f"{kept} cannot be compared: {of_before}")
            else:
                lost = {"was": "lost", "now": "there", "change": "published tables lost or damaged"}
                reasons.append(Reason(kind="not-comparable", of=kept, **lost))
        elif limits.empty_cells is not None:
            before = records.kept.tables(receipt.plan)
            reasons += _empty_cells(before, current.table_files, limits.empty_cells)
        if receipt.columns is None:
            unknown = "values and findings" if receipt.content else "values, findings and versions"
            notes.append(f"{unknown} cannot be compared: {of_before}")
        reasons += _values(receipt, current, limits.values_moved)
        reasons += _findings(receipt, current, limits)
    else:
        notes.append(f"rows and values are not compared: {receipt.destination} had the last ones")
    reasons += _version(current, receipt, limits)
    return Compared(published=receipt.published, reasons=tuple(reasons), notes=tuple(notes))


def _consent(current: Plan, consents: list[Approval], receipt: Receipt | None) -> Iterator[Reason]:
    """Terms, metadata and destination that are in none of `consents`."""
    last = consents[0]
    changed = {
        part
        for part in _PARTS
        if all(each.parts.get(part) != current.parts[part] for each in consents)
    }
    if receipt is None:
        approved = f"as {last.by} approved on {last.at:%Y-%m-%d}"
        for part in sorted(changed):
            yield _changed(_PARTS[part], part, approved, "other")
        return
    if "terms" in changed:
        was, now = receipt.terms, current.terms or {}
        for key in {**was, **now}:
            if was.get(key) != now.get(key):
                yield _changed("terms", f"terms.{key}", str(was.get(key)), str(now.get(key)))
    if "destination" in changed:
        there = [f"{each.destination} ({each.target})" for each in (receipt, current)]
        yield _changed("destination", "destination", *there)
    if "metadata and licence" in changed:
        for field, new, old in changed_fields(current.metadata, receipt.metadata):
            if field not in _CODES:
                kind, name = _FIELDS.get(field, ("metadata", field))
                yield _changed(kind, f"dataset.{name}", old, new)


def _changed(kind: ReasonKind, of: str, was: str, now: str) -> Reason:
    return Reason(kind=kind, of=of, change="changed", was=was, now=now)


def _rows(current: Plan, receipt: Receipt, limits: Limits) -> Iterator[Reason]:
    """At most one reason a table."""
    for table in ordered({*receipt.tables, *current.tables}):
        before, now = receipt.tables.get(table), current.tables.get(table)
        was, rows = before.sent if before else 0, now.rows if now else 0
        changes = current.since.tables.get(table) if current.since else None
        withdrawn = changes.withdrawn if changes else 0
        replaced = min(changes.added, withdrawn) if changes else 0
        measured: list[tuple[ReasonKind, str, int, float | None]] = [
            ("rows-fallen", "rows fell by", was - rows, limits.rows_fallen),
            ("rows-grown", "rows grew by", rows - was, limits.rows_grown),
            ("keys-replaced", "other keys replaced", replaced, limits.keys_replaced),
            ("rows-withdrawn", "rows withdrawn are", withdrawn, limits.rows_withdrawn),
        ]
        shown = {"was": f"{was:,}", "now": f"{rows:,}"}
        if changes and (detail := str(changes)):
            shown["now"] += f" ({detail})"
        if now is None and limits.rows_fallen is not None:
            yield Reason(kind="table-gone", of=table, change="no longer in the dataset", **shown)
            continue
        for kind, what, count, limit in measured:
            if limit is None or count <= 0:
                continue
            share = 100 * count / was if was else float("inf")
            if share > limit:
                change = f"{what} {_percent(share)}" if was else "is new"
                yield Reason(kind=kind, of=table, change=change, limit=_percent(limit), **shown)
                break


def _empty_cells(
    before: Mapping[str, Path], now: Mapping[str, Path], limit: float
) -> Iterator[Reason]:
    """Columns of which another share of the cells is empty; of one that is not there, all are."""
    for table in ordered(before.keys() & now.keys()):
        files = before[table], now[table]
        if files[0].samefile(files[1]) or not all(map(rows_in, files)):
            continue
        for column in dict.fromkeys(chain.from_iterable(map(types_of, files))):
            was, share = (_empty(path, column) for path in files)
            if abs(share - was) > limit:
                yield Reason(
                    kind="empty-cells",
                    of=f"{table}.{column}",
                    change="share of empty cells moved",
                    was=_percent(was),
                    now=_percent(share),
                    limit=f"{limit:g} points",
                )


def _empty(path: Path, column: str) -> float:
    values = values_in(path, column) if column in types_of(path) else 0
    return 100 * (1 - values / rows_in(path))


def _values(receipt: Receipt, current: Plan, limit: float | None) -> Iterator[Reason]:
    """Columns of which a percentile moved, one reason each, the median before the others."""
    if limit is None or receipt.columns is None:
        return
    for table, columns in receipt.columns.items():
        few = table not in receipt.tables or receipt.tables[table].sent < _FEWEST_FOR_ENDS
        for column, was in columns.items():
            found = current.columns.get(table, {}).get(column)
            for name in ("median",) if few else ("median", "p1", "p99"):
                old, new = getattr(was, name), getattr(found, name, None)
                if old is None or new is None or was.p1 is None or was.p99 is None:
                    continue
                span = was.p99 - was.p1 or abs(old)
                if abs(new - old) > span * limit / 100:
                    yield Reason(
                        kind="values-moved",
                        of=f"{table}.{column}",
                        change=f"{_PERCENTILES[name]} moved",
                        was=f"{old:g}",
                        now=f"{new:g}",
                        limit=f"{_percent(limit)} of its range, {span:g}",
                    )
                    break


def _findings(receipt: Receipt, current: Plan, limits: Limits) -> Iterator[Reason]:
    if limits.new_findings is not None and receipt.findings is not None:
        for code in sorted({*current.findings} - {*receipt.findings}):
            change = f"new finding, {RULES[code].title}"
            yield Reason(kind="new-finding", of=code, change=change, was="not found", now="found")


def _version(current: Plan, receipt: Receipt, limits: Limits) -> Iterator[Reason]:
    """That the same lab files, read with the same config, have other content by newer versions."""
    was, now = receipt.versions, current.versions
    if limits.new_version is None or was == now or receipt.inputs != current.inputs:
        return
    if receipt.content and receipt.content != current.content:
        names = [name for name in now if now[name] != was.get(name)]
        yield Reason(
            kind="new-version",
            of="the same lab files",
            change="other content by newer versions",
            was=", ".join(f"{name} {was.get(name, 'none')}" for name in names),
            now=", ".join(f"{name} {now[name]}" for name in names),
        )


def _percent(share: float) -> str:
    return f"{share:.{1 if share < 100 else 0}f}".removesuffix(".0") + "%"
