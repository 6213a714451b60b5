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
    for each in DECLARED:
        if each.column not in data.present.get(each.table, ()):
            continue
        if data.target(each.child, "parent_id") != each.table:
            continue
        measured = [volume for volume in each.volumes if volume in data.columns(each.child)]
        if measured or not each.volumes:
            findings += _disagreeing(data, each, measured[0] if measured else None)
    return findings


def _explained_by_unit(data: Related, declared: Declared, measured: str | None, count: int) -> bool:
    """Whether nearly all totals disagree and validate reported that one of the two columns is in
    another unit: then that is why.
    """
    tables = data.context.validated.details.tables
    columns = ((declared.table, declared.column), (declared.child, measured))
    if not any(column in tables[table].units for table, column in columns):
        return False
    cells = data.cells(declared.table, declared.column)
    return count >= _NEARLY_ALL * data.count(f"FROM {cells} WHERE value IS NOT NULL")


def _disagreeing(data: Related, declared: Declared, measured: str | None) -> list[Finding]:
    """The finding for parents whose declared number is not that of their rows. None for what
    rejected or unread rows explain.

    A row that is rejected counts or not, as suits the declared number: it is not known yet whether
    it will be corrected or removed.
    """
    child = declared.child
    # Rows of which it is not known whose they are: unread, or without a parent that is there.
    orphans = data.count(f"FROM {parquet(data.relations[child])} WHERE parent_id IS NULL")
    lost = data.context.ingested.tables[child].rejected + orphans
    missing = "(given > most)::BIGINT" if measured else "greatest(given - most, 0)"
    data.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE disagreeing AS {_disagreeing_rows(data, declared, measured)}"
    )
    (short,) = data.row(f"SELECT coalesce(sum({missing}), 0)::BIGINT FROM disagreeing")
    if lost and short <= lost:
        data.connection.execute("DELETE FROM disagreeing WHERE given > most")
    count = data.count("FROM disagreeing")
    if not count or _explained_by_unit(data, declared, measured, count):
        return []
    form = "{:.6g}" if measured else "{:,}"
    cells = data.examples(
        declared.table, declared.column, "SELECT row, given AS value FROM disagreeing"
    )
    most = data.fetch(f"SELECT most FROM disagreeing ORDER BY row LIMIT {len(cells)}")
    places = [
        cell.model_copy(update={"value": f"{cell.value} declared, {form.format(there)} found"})
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
    """A query for row (of the parent), given, and `most`, what all its children come to, of the
    rows that disagree.
    """
    context, child = data.context, declared.child
    column, table = literal(declared.column), literal(declared.table)
    rejected = rejected_places(context, [context.store.stage(stage) for stage in EARLIER])
    of_child = f"SELECT row_number FROM ({rejected}) WHERE tbl = {literal(child)}"
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
    reported = f"SELECT row_number FROM {failing} WHERE tbl = {table} AND col = {column}"
    parents = f"{data.cells(declared.table, declared.column)} p"
    return f"""
        SELECT row, given, coalesce(every, 0) AS most, coalesce(passed, 0) AS least,
            coalesce(lacking, FALSE) AS unmeasured
        FROM (SELECT row, value AS given, cid
            FROM {parents} POSITIONAL JOIN {parquet(data.ids[declared.table])} i) p
        LEFT JOIN (SELECT parent_id, {most} AS every,
                {most} FILTER (row_number NOT IN ({of_child})) AS passed, {unmeasured} AS lacking
            FROM {children} GROUP BY parent_id) f ON cid = parent_id
        WHERE given IS NOT NULL AND NOT ({near}) AND row NOT IN ({reported})"""
