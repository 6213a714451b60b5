"""Parents against their children: declared counts and totals.

Belongs here: SYN-INT-004 and SYN-INT-005. Does not: where parents and children lie (`places.py`),
relations themselves (`join_relations`), the verdict (`check_integrity`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import duckdb

from syndb_pipeline.base.engine import literal, parquet, quote
from syndb_pipeline.checks.original_text import examples
from syndb_pipeline.contract.tables import DECLARED, Declared
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Example, Finding
from syndb_pipeline.state.failing_cells import FILE, rejected_places
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.tables import written

TOTAL_TOLERANCE: Final = 0.01
"""How far a declared total may lie from the sum over the children, as a fraction: room for
rounding, not for a missing row of size.
"""

_NEARLY_ALL: Final = 0.9
EARLIER: Final = ("ingest", "validate", "assign_ids", "join_relations")
"""The stages that the checks of the dataset as a whole look back on."""


class Related(Protocol):
    """What these checks look at: the tables of a dataset and what their references resolved to."""

    @property
    def context(self) -> Context: ...
    @property
    def connection(self) -> duckdb.DuckDBPyConnection: ...
    @property
    def sources(self) -> SourceMap: ...
    @property
    def tables(self) -> Mapping[str, Path]: ...
    @property
    def relations(self) -> Mapping[str, Path]: ...
    def target(self, table: str, column: str) -> str | None: ...
    def columns(self, table: str) -> list[str]: ...
    def rows(self, table: str) -> int: ...


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
    """Whether nearly all totals disagree and validate told that one of the two columns is in
    another unit: then that is why.
    """
    units = {
        (table, column)
        for table, told in data.context.upstream("validate").details.get("tables", {}).items()
        for column in told.get("units", {})
    }
    if not units & {(declared.table, declared.column), (declared.child, measured)}:
        return False
    (given,) = data.connection.execute(
        f"SELECT count({quote(declared.column)}) FROM {parquet(data.tables[declared.table])}"
    ).fetchone() or (0,)
    return count >= _NEARLY_ALL * int(given)


def _disagreeing(data: Related, declared: Declared, measured: str | None) -> list[Finding]:
    """The finding for parents whose declared number is not that of their rows. None for what
    rejected or unread rows explain.

    A row that is rejected counts or not, as suits the declared number: nobody knows yet whether it
    will be mended or removed.
    """
    lost = _lost(data, declared.child)
    data.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE disagreeing AS {_disagreeing_rows(data, declared, measured)}"
    )
    missing = "greatest(given - most, 0)" if measured is None else "(given > most)::BIGINT"
    count, short = data.connection.execute(
        f"SELECT count(*), coalesce(sum({missing}), 0)::BIGINT FROM disagreeing"
    ).fetchone() or (0, 0)
    if lost and short <= lost:
        (count,) = data.connection.execute(
            "DELETE FROM disagreeing WHERE given > most; SELECT count(*) FROM disagreeing"
        ).fetchone() or (0,)
    if not count or _explained_by_unit(data, declared, measured, count):
        return []
    rows = data.connection.execute(
        f"SELECT n, given, most FROM disagreeing ORDER BY n LIMIT {MAX_EXAMPLES}"
    ).fetchall()
    cells = examples(
        data.connection,
        data.context,
        data.sources,
        declared.table,
        [(n, declared.column, given) for n, given, _ in rows],
    )
    found = [f"{most:.6g}" if measured else f"{most:,}" for _, _, most in rows]
    places = [
        cell.model_copy(update={"value": f"{cell.value} declared, {there} found"})
        for cell, there in zip(cells, found, strict=True)
    ]
    part = (
        f"{lost:,} row{'' if lost == 1 else 's'} of {declared.child} could not be read or related,"
        " which explains only a part"
    )
    return [
        data.context.finding(
            "SYN-INT-005" if measured else "SYN-INT-004",
            table=declared.table,
            column=declared.column,
            count=count,
            examples=places,
            child=declared.child,
            besides=f"; {part}" if lost and short else "",
        )
    ]


def _lost(data: Related, child: str) -> int:
    """Rows of `child` of which nobody knows whose they are: unread, or without a parent that is
    there.
    """
    unreadable = int(data.context.upstream("ingest").tables[child].rejected)
    (orphans,) = data.connection.execute(
        f"SELECT count(*) - count(parent_id) FROM {parquet(data.relations[child])}"
    ).fetchone() or (0,)
    return unreadable + int(orphans)


def _disagreeing_rows(data: Related, declared: Declared, measured: str | None) -> str:
    """A query for n (row of the parent), given, and `most`, what all its children come to, of the
    rows that disagree.
    """
    context = data.context
    ids = written(context, "assign_ids", "ids")[declared.table]
    folders = [context.store.stage(stage) for stage in EARLIER]
    rejected = (
        f"SELECT row_number FROM ({rejected_places(context, folders)}) WHERE tbl ="
        f" {literal(declared.child)}"
    )
    children = f"{parquet(data.relations[declared.child])} r"
    if measured is not None:
        children += (
            f" POSITIONAL JOIN (SELECT {quote(measured)} AS size FROM"
            f" {parquet(data.tables[declared.child])}) c"
        )
    kept = f"FILTER (r.row_number NOT IN ({rejected}))"
    most = "sum(size)" if measured else "count(*)"
    unmeasured = "count(*) > count(size)" if measured else "FALSE"
    near = (
        f"given >= least - {TOTAL_TOLERANCE} * greatest(abs(given), abs(least)) "
        f"AND (given <= most + {TOTAL_TOLERANCE} * greatest(abs(given), abs(most)) OR unmeasured)"
        if measured
        else "given BETWEEN least AND most"
    )
    # A number that is out of range is told as such.
    told = f"""SELECT row_number FROM {parquet(context.store.stage("validate") / FILE)}
               WHERE tbl = {literal(declared.table)} AND col = {literal(declared.column)}"""
    return f"""
        SELECT n, given, most FROM (
            SELECT row_number() OVER () - 1 AS n, p.{quote(declared.column)} AS given, i.cid
            FROM {parquet(data.tables[declared.table])} p POSITIONAL JOIN {parquet(ids)} i) p
        LEFT JOIN (SELECT r.parent_id, {most} AS all_of_them, {most} {kept} AS passed, {unmeasured}
          AS lacking
                   FROM {children} GROUP BY r.parent_id) f ON p.cid = f.parent_id,
        LATERAL (SELECT coalesce(all_of_them, 0) AS most, coalesce(passed, 0) AS least,
          coalesce(lacking, FALSE) AS unmeasured)
        WHERE given IS NOT NULL AND NOT ({near}) AND n NOT IN ({told})"""


# -- first places of a table


def first_rows(data: Related, table: str, column: str) -> list[Example]:
    """The first row of `table`, by its cell in `column`, as the example of a finding about the
    whole table.
    """
    source = parquet(data.tables[table], row_number=True)
    rows: list[tuple[int, Any]] = data.connection.execute(
        f"SELECT file_row_number, {quote(column)} FROM {source} ORDER BY file_row_number LIMIT 1"
    ).fetchall()
    return examples(
        data.connection,
        data.context,
        data.sources,
        table,
        [(row, column, value) for row, value in rows],
    )
