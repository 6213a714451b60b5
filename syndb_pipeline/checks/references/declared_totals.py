"""Parents against their children: declared counts and totals.

Belongs here: SYN-INT-004 and SYN-INT-005. Does not: where parents and children are
(`units/places.py`), relations themselves (`join_relations`), the verdict (`check_integrity`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from syndb_pipeline.base.engine import literal, parquet, quote
from syndb_pipeline.checks.dataset import Dataset
from syndb_pipeline.contract.tables import DECLARED, Declared
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.results import Links
from syndb_pipeline.state.tables import FILE, rejected_places

TOTAL_TOLERANCE: Final = 0.01
"""How far a declared total may be from the sum over the children, as a fraction: room for
rounding, not for a missing row of size.
"""

_NEARLY_ALL: Final = 0.9
EARLIER: Final = ("ingest", "validate", "assign_ids", "join_relations")
"""The stages that the checks of the dataset as a whole look back on."""


@dataclass
class Related(Dataset):
    """A dataset and what its references resolved to: `links` says of each table and column its
    `target` and how many rows it `resolved`; `present` are the columns of each table, asked for
    once, for every check wants them."""

    relations: dict[str, Path]
    links: Links
    present: dict[str, list[str]]

    def target(self, table: str, column: str) -> str | None:
        link = self.links.get(table, {}).get(column)
        return link.target if link else None

    def rows(self, table: str) -> int:
        return self.context.ingested.details.tables[table].rows

    def columns(self, table: str) -> list[str]:
        return self.present[table]


def check_declared(data: Related) -> list[Finding]:
    """SYN-INT-004 and SYN-INT-005: declared counts and totals against the rows that are there."""
    findings = []
    for declared in DECLARED:
        if declared.table not in data.tables or declared.column not in data.columns(declared.table):
            continue
        if data.target(declared.child, "parent_id") != declared.table:
            continue
        measured = next(
            (volume for volume in declared.volumes if volume in data.columns(declared.child)), None
        )
        if declared.volumes and measured is None:
            continue
        findings += _disagreeing(data, declared, measured)
    return findings


def _explained_by_unit(data: Related, declared: Declared, measured: str | None, count: int) -> bool:
    """Whether nearly all totals disagree and validate reported that one of the two columns is in
    another unit: then that is why.
    """
    tables = data.context.validated.details.tables
    columns = ((declared.table, declared.column), (declared.child, measured))
    if not any(column in tables[table].units for table, column in columns):
        return False
    path = parquet(data.tables[declared.table])
    (given,) = data.row(f"SELECT count({quote(declared.column)}) FROM {path}")
    return bool(count >= _NEARLY_ALL * given)


def _disagreeing(data: Related, declared: Declared, measured: str | None) -> list[Finding]:
    """The finding for parents whose declared number is not that of their rows. None for what
    rejected or unread rows explain.

    A row that is rejected counts or not, as suits the declared number: it is not known yet whether
    it will be corrected or removed.
    """
    child = declared.child
    # Rows of which it is not known whose they are: unread, or without a parent that is there.
    relations = parquet(data.relations[child])
    (orphans,) = data.row(f"SELECT count(*) - count(parent_id) FROM {relations}")
    lost = data.context.ingested.tables[child].rejected + orphans
    data.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE disagreeing AS {_disagreeing_rows(data, declared, measured)}"
    )
    missing = "(given > most)::BIGINT" if measured else "greatest(given - most, 0)"
    (short,) = data.row(f"SELECT coalesce(sum({missing}), 0)::BIGINT FROM disagreeing")
    if lost and short <= lost:
        data.connection.execute("DELETE FROM disagreeing WHERE given > most")
    count = data.count("FROM disagreeing")
    if not count or _explained_by_unit(data, declared, measured, count):
        return []
    cells = data.examples(
        declared.table, declared.column, "SELECT n AS row, given AS value FROM disagreeing"
    )
    most = data.fetch(f"SELECT most FROM disagreeing ORDER BY n LIMIT {len(cells)}")
    places = [
        cell.model_copy(
            update={"value": f"{cell.value} declared, {there:{'.6g' if measured else ','}} found"}
        )
        for cell, (there,) in zip(cells, most, strict=True)
    ]
    part = f"{lost:,} row{'' if lost == 1 else 's'} of {child} could not be read or related"
    return [
        data.context.finding(
            "SYN-INT-005" if measured else "SYN-INT-004",
            table=declared.table,
            column=declared.column,
            count=count,
            examples=places,
            child=child,
            besides=f"; {part}, which explains only a part" if lost and short else "",
        )
    ]


def _disagreeing_rows(data: Related, declared: Declared, measured: str | None) -> str:
    """A query for n (row of the parent), given, and `most`, what all its children come to, of the
    rows that disagree.
    """
    context, child = data.context, declared.child
    rejected = rejected_places(context, [context.store.stage(stage) for stage in EARLIER])
    of_child = f"SELECT row_number FROM ({rejected}) WHERE tbl = {literal(child)}"
    kept = f"FILTER (r.row_number NOT IN ({of_child}))"
    children, most, unmeasured = f"{parquet(data.relations[child])} r", "count(*)", "FALSE"
    near = "given BETWEEN least AND most"
    if measured:
        sizes = f"SELECT {quote(measured)} AS size FROM {parquet(data.tables[child])}"
        children += f" POSITIONAL JOIN ({sizes}) c"
        most, unmeasured = "sum(size)", "count(*) > count(size)"
        slack = f"{TOTAL_TOLERANCE} * greatest(abs(given), abs({{}}))"
        near = f"""given >= least - {slack.format("least")}
            AND (given <= most + {slack.format("most")} OR unmeasured)"""
    # A number that is out of range is reported as such.
    failing = parquet(context.store.stage("validate") / FILE)
    column, table = literal(declared.column), literal(declared.table)
    reported = f"SELECT row_number FROM {failing} WHERE tbl = {table} AND col = {column}"
    parents = parquet(data.tables[declared.table])
    return f"""
        SELECT n, given, most FROM (
            SELECT row_number() OVER () - 1 AS n, p.{quote(declared.column)} AS given, i.cid
            FROM {parents} p POSITIONAL JOIN {parquet(data.ids[declared.table])} i) p
        LEFT JOIN (SELECT r.parent_id, {most} AS every, {most} {kept} AS passed,
                {unmeasured} AS lacking FROM {children} GROUP BY r.parent_id) f
            ON p.cid = f.parent_id,
        LATERAL (SELECT coalesce(every, 0) AS most, coalesce(passed, 0) AS least,
            coalesce(lacking, FALSE) AS unmeasured)
        WHERE given IS NOT NULL AND NOT ({near}) AND n NOT IN ({reported})"""
