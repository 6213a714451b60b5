"""check_integrity: is the dataset one whole? The verdict, sealed over the chain of records.

Belongs here: what concerns the dataset as a whole, and the verdict. Does not: single cells (`validate`) or keys (`assign_ids`,
`join_relations`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from syndb_pipeline.contract.tables import DECLARED, TABLES, Declared
from syndb_pipeline.engine import literal, parquet, quote
from syndb_pipeline.findings.finding import Finding
from syndb_pipeline.sources import SourceMap
from syndb_pipeline.stages.failures import Failures, rejected_places, rejected_rows
from syndb_pipeline.stages.stage import Context, Result, Stage
from syndb_pipeline.stages.tables import columns_of, ingested, written
from syndb_pipeline.store import Rows

ACCEPTED, REJECTED = "accepted", "rejected"

TOTAL_TOLERANCE = 0.01
"""How far a declared total may lie from the sum over the children, as a fraction: room for rounding, not for a missing row of size."""

SCALE_FACTOR = 3.0
"""Medians of children's and their own parents' centroids this far apart on every axis speak of two units (a rule of this project)."""

MEDIAN_ROWS = 100_000
"""Rows, about, that a median of centroids looks at."""

_EARLIER = ("ingest", "validate", "assign_ids", "join_relations")


@dataclass(frozen=True)
class _Dataset:
    """What the checks look at."""

    context: Context
    connection: duckdb.DuckDBPyConnection
    sources: SourceMap
    tables: dict[str, Path]
    relations: dict[str, Path]
    links: dict[str, dict[str, dict[str, Any]]]  # table -> column -> {"target", "resolved"}

    def target(self, table: str, column: str) -> str | None:
        link = self.links.get(table, {}).get(column)
        return link["target"] if link else None

    @property
    def told(self) -> set[str | None]:
        """Tables of which join_relations told why their references lead nowhere."""
        return {finding.table for finding in self.context.upstream("join_relations").errors}

    @property
    def whole(self) -> bool:
        """Whether every table of the config could be read. While one is missing, nothing can be said about what leads to it."""
        return set(self.tables) == set(self.context.config.tables)

    def rows(self, table: str) -> int:
        return int(self.context.upstream("ingest").details["tables"][table]["rows"])

    def columns(self, table: str) -> list[str]:
        return columns_of(self.connection, self.tables[table])


def run(context: Context, folder: Path) -> Result:
    """Judge the dataset and seal the verdict.

    Findings: SYN-INT-001 to SYN-INT-005, SYN-UNIT-004, and all findings of the earlier stages, so that this record tells everything.
    details: `verdict` ("accepted" when no finding is an error), `chain` (stage -> digest of its record), `tables` (relations for the UI).
    """
    links = {name: table["references"] for name, table in context.upstream("join_relations").details["tables"].items()}
    with context.duckdb() as connection:
        failures = Failures(connection)
        sources = SourceMap.read(context.store.stage("ingest"))
        data = _Dataset(context, connection, sources, ingested(context), written(context, "join_relations", "relations"), links)
        own = [*_connected(data), *_parentless(data), *_declared(data), *_scales(data)]
        _synapses(data, failures)
        own = failures.findings(context, sources, lambda group: {"target": _synapse_goal(data)}) + own
        failures.write(folder)
        tables = _conserved(data, [*(context.store.stage(stage) for stage in _EARLIER), folder])
    earlier = [context.upstream(stage) for stage in _EARLIER]
    findings = [finding for record in earlier for finding in record.findings] + own
    verdict = REJECTED if any(finding.severity == "error" for finding in findings) else ACCEPTED
    details = {"verdict": verdict, "chain": {record.stage: record.digest for record in earlier}, "relations": links}
    return Result(tables=tables, findings=findings, details=details)


def _conserved(data: _Dataset, folders: list[Path]) -> dict[str, Rows]:
    """Rows by table over the whole chain: what ingest could not read and what any rule rejected, each row once."""
    rejected = rejected_rows(data.connection, data.context, folders)
    relations = data.context.upstream("join_relations").details["tables"]
    tables = {}
    for name, read in data.context.upstream("ingest").tables.items():
        lost = read.rejected + rejected.get(name, 0)
        combined = relations.get(name, {}).get("combined", 0)
        if combined and name in rejected:
            combined = _combined_of_passed(data, name, rejected_places(data.context, folders))
        tables[name] = Rows(read=read.read, passed=read.read - lost, rejected=lost, combined=combined)
    return tables


def _combined_of_passed(data: _Dataset, name: str, rejected: str) -> int:
    pair = ", ".join(quote(column) for column in TABLES[name].pair or ())
    (combined,) = data.connection.execute(
        f"""SELECT count(*) - count(DISTINCT ({pair})) FROM {parquet(data.tables[name], row_number=True)}
            WHERE file_row_number NOT IN (SELECT row_number FROM ({rejected}) WHERE tbl = {literal(name)})"""
    ).fetchone() or (0,)
    return int(combined)


def _connected(data: _Dataset) -> list[Finding]:
    """SYN-INT-001 for tables outside the largest group of related tables. An empty table (SYN-READ-013) has nothing to relate."""
    filled = [name for name in data.tables if data.rows(name)]
    groups = [{name} for name in filled]
    for table, columns in data.links.items():
        for link in columns.values():
            if link.get("resolved"):
                joined = [group for group in groups if group & {table, link["target"]}]
                groups = [group for group in groups if group not in joined] + [set().union(*joined)]
    if len(groups) < 2 or not data.whole:
        return []
    main = max(groups, key=lambda group: (len(group), -min(TABLES[name].level for name in group)))
    findings = []
    for name in filled:
        if name in main or name in data.told:
            continue
        allowed = [column for column in TABLES[name].references if column != "neuron_id"]
        if allowed:
            wanted = f"a column {' or '.join(allowed)} that names rows of {', '.join(sorted(main))}"
            advice = f"Give {name} {wanted}, or publish it as a dataset of its own."
        else:
            advice = f"Add a table that names rows of {name}, or publish it as a dataset of its own."
        findings.append(data.context.finding("SYN-INT-001", table=name, count=1, advice=advice))
    return findings


def _parentless(data: _Dataset) -> list[Finding]:
    """SYN-INT-003 for compartments that nothing ties to a parent."""
    findings = []
    for name in data.tables:
        parents = TABLES[name].parents
        tied = any(data.target(name, column) for column in ("parent_id", "neuron_id", "pre_synapse_id", "post_synapse_id"))
        tied = tied or any(data.target(other, "forms_synapse_with") == name for other in data.tables)
        unreadable = any(parent in data.context.config.tables and parent not in data.tables for parent in parents)
        if parents and not tied and not unreadable and name not in data.told:
            findings.append(data.context.finding("SYN-INT-003", table=name, parents=", ".join(parents)))
    return findings


def _synapse_goal(data: _Dataset) -> str:
    return "neuron" if "neuron" in data.tables else "row of another table"


def _synapses(data: _Dataset, failures: Failures) -> None:
    """SYN-INT-002: with neurons in the dataset every synapse leads to one; without, to a row of some other table (G, dataset integrity)."""
    if "synapse" not in data.tables or len(data.tables) == 1 or not data.whole:
        return
    relations = data.relations.get("synapse")
    named = [
        f"SELECT forms_synapse_with FROM {parquet(data.relations[name])}{' WHERE neuron_id IS NOT NULL' if 'neuron' in data.tables else ''}"
        for name in data.tables
        if data.target(name, "forms_synapse_with") == "synapse"
    ]
    if relations is None and not named:
        return  # nothing relates the table as a whole: SYN-INT-001 tells it once
    ids = parquet(written(data.context, "assign_ids", "ids")["synapse"], row_number=relations is None)
    source, number, lost = f"{ids} i", "file_row_number", "TRUE"
    if relations is not None:
        reached = "neuron_id" if "neuron" in data.tables else f"coalesce({', '.join(quote(c) for c in data.links['synapse'])})"
        source, number, lost = f"{parquet(relations)} r", "row_number", f"{reached} IS NULL"
    if named:  # a terminal or spine that takes part in the synapse leads to a neuron as well
        source += f" POSITIONAL JOIN {ids} i" if relations is not None else ""
        lost += f" AND i.cid NOT IN (SELECT * FROM ({' UNION ALL '.join(named)}) WHERE forms_synapse_with IS NOT NULL)"
    failures.add(f"SELECT 'SYN-INT-002', 'synapse', {number}, 'cid', NULL, '' FROM {source} WHERE {lost}")


def _declared(data: _Dataset) -> list[Finding]:
    """SYN-INT-004 and SYN-INT-005: declared counts and totals against the rows that are there."""
    findings = []
    for declared in DECLARED:
        if declared.table not in data.tables or declared.column not in data.columns(declared.table):
            continue
        if data.target(declared.child, "parent_id") != declared.table:
            continue
        measured = next((v for v in declared.volumes if v in data.columns(declared.child)), None)
        if declared.volumes and measured is None:
            continue
        findings += _disagreeing(data, declared, measured)
    return findings


def _disagreeing(data: _Dataset, declared: Declared, measured: str | None) -> list[Finding]:
    ids = written(data.context, "assign_ids", "ids")[declared.table]
    children = f"{parquet(data.relations[declared.child])} r"
    if measured is not None:
        children += f" POSITIONAL JOIN {parquet(data.tables[declared.child])} c"
    actual = f"sum(c.{quote(measured)})" if measured else "count(*)"
    near = f"abs(given - actual) <= {TOTAL_TOLERANCE} * greatest(abs(given), abs(actual))" if measured else "given = actual"
    query = f"""
        SELECT n, given, actual FROM (
            SELECT row_number() OVER () - 1 AS n, p.{quote(declared.column)} AS given, i.cid
            FROM {parquet(data.tables[declared.table])} p POSITIONAL JOIN {parquet(ids)} i) p
        LEFT JOIN (SELECT r.parent_id, {actual} AS found FROM {children} GROUP BY r.parent_id) f ON p.cid = f.parent_id,
        LATERAL (SELECT coalesce(f.found, 0) AS actual)
        WHERE given IS NOT NULL AND NOT ({near})"""
    (count,) = data.connection.execute(f"SELECT count(*) FROM ({query})").fetchone() or (0,)
    if not count:
        return []
    places = data.connection.execute(f"SELECT n, given, actual FROM ({query}) ORDER BY n LIMIT 5").fetchall()
    shown = "{:.6g} declared, {:.6g} found" if measured else "{:,} declared, {:,} found"
    examples = [data.sources.example(declared.table, row, declared.column, shown.format(given, found)) for row, given, found in places]
    code = "SYN-INT-005" if measured else "SYN-INT-004"
    return [data.context.finding(code, table=declared.table, column=declared.column, count=count, examples=examples, child=declared.child)]


def _scales(data: _Dataset) -> list[Finding]:
    """SYN-UNIT-004: centroids of a child table on another scale than its parents', on every axis alike."""
    findings = []
    for name in data.tables:
        parent = data.target(name, "parent_id")
        if parent is None:
            continue
        axes = [f"centroid_{axis}" for axis in "xyz"]
        if not (set(axes) <= set(data.columns(name)) and set(axes) <= set(data.columns(parent))):
            continue
        mine, theirs = _medians(data, name, parent, axes)
        ratios = [b / a for a, b in zip(mine, theirs, strict=True) if a and b]
        if len(ratios) == len(axes) and (min(ratios) > SCALE_FACTOR or max(ratios) < 1 / SCALE_FACTOR):
            factor = sorted(ratios)[1]
            findings.append(
                data.context.finding(
                    "SYN-UNIT-004",
                    table=name,
                    column="centroid_x",
                    other=parent,
                    factor=f"{max(factor, 1 / factor):.1f}",
                    than="smaller" if factor > 1 else "larger",
                )
            )
    return findings


def _medians(data: _Dataset, name: str, parent: str, axes: list[str]) -> tuple[list[float | None], list[float | None]]:
    """Medians of |axis| over rows of `name`, and over the parents of the same rows, axis by axis."""
    every = max(1, data.rows(name) // MEDIAN_ROWS)  # an exact median holds all its values in memory; a fixed stride is as good here
    columns = ", ".join(quote(axis) for axis in axes)
    data.connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE sample AS SELECT r.parent_id, {columns}
            FROM {parquet(data.tables[name])} POSITIONAL JOIN {parquet(data.relations[name])} r WHERE r.row_number % {every} = 0"""
    )
    ids = written(data.context, "assign_ids", "ids")[parent]
    parents = f"(SELECT i.cid, {columns} FROM {parquet(data.tables[parent])} POSITIONAL JOIN {parquet(ids)} i)"
    medians = ", ".join(f"quantile_disc(abs({side}.{quote(axis)}), 0.5)" for side in ("c", "p") for axis in axes)
    found = data.connection.execute(f"SELECT {medians} FROM sample c JOIN {parents} p ON c.parent_id = p.cid").fetchone() or ()
    return list(found[: len(axes)]), list(found[len(axes) :])


def _inputs(context: Context) -> dict[str, str]:
    return {}


STAGE = Stage(
    "check_integrity",
    run,
    _inputs,
    "join_relations",
    "1",
    "Prove that the dataset is one whole, and seal the verdict over all stages before.",
)
