"""assign_ids: a UUID for every row, and the proof that keys are there, whole and distinct.

Belongs here: keys and the id map. Does not: what keys of other rows mean (`join_relations`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syndb_pipeline.base.engine import (
    literal,
    memory_for_queries,
    memory_to_spill,
    parquet,
    quote,
    set_memory,
    write_parquet,
)
from syndb_pipeline.checks.cells import markers
from syndb_pipeline.checks.dataset import Dataset
from syndb_pipeline.checks.failures import Failures, Group
from syndb_pipeline.checks.keys import damaged_keys, repeated_keys, stray_keys
from syndb_pipeline.checks.references import swapped
from syndb_pipeline.contract.key_encoding import is_number, joined_key, keys_of, rows_of
from syndb_pipeline.contract.tables import TABLES, Table
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.progress import Meter
from syndb_pipeline.state.results import AssignedTable, SwappedKeys, TableDetails
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context, Result, Stage
from syndb_pipeline.state.tables import columns_of, content, ingested, rows_by_table, rows_read


def run(context: Context, folder: Path) -> Result:
    """Write `ids/<table>.parquet` (key BIGINT where ingest left it so, else VARCHAR; cid UUID; rows
    as in ingest) and the failing keys.

    cid = uuid5(dataset id, "<table>/<key>") (RFC 9562), so any machine, order, format or retry
    gives the same. neuron_relation may have no key of its own; its key is then "<pre key>/<post
    key>". Findings: SYN-ID-001 to SYN-ID-008. `details.tables[table]` counts `rows`, `distinct`,
    `missing` and `repeated` keys; `rounded` is there where most of them look so; `swapped` where
    cid and another column hold each other's keys, and says which and why: that is reported by
    join_relations (SYN-REL-010), and not as repeated keys.
    """
    sources = SourceMap.read(context.store.stage("ingest"))
    details: dict[str, AssignedTable] = {}
    made_from: dict[str, str] = {}
    findings: list[Finding] = []
    (folder / "ids").mkdir()
    tables = ingested(context)
    read, memory = rows_read(context), memory_for_queries(context.settings.memory_limit)
    with context.duckdb() as connection, Meter("assign_ids", read, "rows", context.watch) as meter:
        failures = Failures(connection)
        data = Dataset(connection, context, sources, tables, {}, failures)
        marked_cells = context.store.stage("ingest") / "cells.parquet"
        cells = parquet(marked_cells)
        damaged = set(data.fetch(f"SELECT DISTINCT tbl, col FROM {cells} WHERE kind = 'float'"))
        for name in meter.each(tables, connection):
            made_from[name] = content(context, sources, name)
            data.ids[name] = folder / "ids" / f"{name}.parquet"
            file = f"ids/{name}.parquet"
            left = data.reuse(TableDetails[AssignedTable], name, made_from[name], file, folder)
            if left is not None:
                details[name] = left
                continue
            set_memory(connection, memory_to_spill(memory, read[name]))
            named = (
                f"SELECT k AS key, row_uuid({literal(name)}, k::VARCHAR) AS cid FROM (SELECT "
                f"{_key(data, name)} AS k FROM {parquet(tables[name])})"
            )
            rows = write_parquet(connection, named, data.ids[name])
            summary = _summary(data, name)
            repeated, named_cid = summary.keys - summary.distinct, "cid" in columns_of(tables[name])
            swap = swapped.swapped_keys(data, name) if repeated and named_cid else None
            counts = AssignedTable(
                rows=rows,
                distinct=summary.distinct,
                missing=rows - summary.keys,
                repeated=repeated,
                swapped=SwappedKeys(column=swap.second, proof=swap.proof) if swap else None,
            )
            if named_cid:
                if summary.kinds:
                    stray_keys.add(stray_keys.Keys(data, name, summary.kinds, summary.keys))
                _check_keys(data, TABLES[name], counts, summary)
                findings += _single_markers(data, name) if summary.marked else []
            rounded = damaged_keys.check_rounded(
                data,
                name,
                [column for table, column in damaged if table == name],
                hinted=summary.rounded,
            )
            of_cid = any(finding.column == "cid" for finding in rounded)
            details[name] = counts.model_copy(update={"rounded": of_cid})
            findings += rounded
        damaged_keys.add_cells(data, cells)
        _forget_damaged(data)
        markers.label_emptied(failures, marked_cells)
        reported = failures.findings(
            context, sources, lambda group: _describe(data, group, details)
        )
        findings = markers.explain_emptied(failures, reported, context.config, {}) + findings
        findings += _trimmed(data, cells)
        failures.write(folder)
    return Result(
        tables=rows_by_table(context, folder),
        findings=findings,
        details=TableDetails[AssignedTable](tables=details, made_from=made_from),
    )


def _key(data: Dataset, name: str) -> str:
    """SQL of the key of a row: its cid, or its pair where it has none."""
    path, pair = data.tables[name], TABLES[name].pair
    if pair is None or "cid" in columns_of(path):
        return "cid"
    columns = [f"{quote(column)}::VARCHAR" for column in pair]
    if all(is_number(path, column) for column in pair):
        return " || '/' || ".join(columns)  # no number holds the joint
    return joined_key(columns, "/")


@dataclass(frozen=True, slots=True)
class _Summary:
    """One scan of a table's keys: how many rows have one, distinct ones, whether some may be
    markers, rounded or dates."""

    keys: int
    distinct: int
    marked: bool
    rounded: bool
    dates: bool
    kinds: dict[str, int]
    """Of keys that are text: how many are of each kind of `stray_keys.COUNTS`."""


def _summary(data: Dataset, table: str) -> _Summary:
    stored = is_number(data.ids[table], "key")
    # Whole numbers are compared as such, in half the time, and none of them is a date.
    name, kind, dates = (
        ("key", "NULL", "0")
        if stored
        else ("cid", stray_keys.KIND, f"count_if({damaged_keys.IS_DATE})")
    )
    source = (
        f"SELECT *, {kind} AS kind, {damaged_keys.long_number('key', stored=stored)} AS long FROM "
        f"{parquet(data.ids[table])}"
    )
    kinds, hints = (
        ", ".join(stray_keys.COUNTS.values()),
        ", ".join(damaged_keys.hints("long", stored=stored)),
    )
    keys, distinct, marked, days, rounded, *counts = data.row(
        f"""SELECT count({name}), count(DISTINCT {name}), {markers.hint("key", stored=stored)},
              {dates}, [{hints}]
            {"" if stored else f", {kinds}"} FROM ({source})"""
    )
    found = {} if stored else dict(zip(stray_keys.COUNTS, counts, strict=True))
    return _Summary(
        keys, distinct, bool(marked), damaged_keys.is_hinted(*rounded), bool(days), found
    )


def _check_keys(data: Dataset, table: Table, counts: AssignedTable, summary: _Summary) -> None:
    """Report missing keys but of a relation, which may have none, repeated keys, and dates."""
    ids = parquet(data.ids[table.name])
    cells = f"""SELECT file_row_number AS row, key AS value
        FROM {rows_of(data.ids[table.name], row_number=True)} WHERE"""

    def fail(code: str, which: str) -> None:
        data.fail(code, table.name, "cid", f"{cells} {which}")

    if counts.missing and table.pair is None:
        fail("SYN-ID-001", "key IS NULL")
    if counts.repeated and not counts.swapped:
        several, _ = (
            markers.among(data.connection, data.ids[table.name]) if summary.marked else ([], [])
        )
        marked = f"list_contains({literal([marker.key for marker in several])}::VARCHAR[], key)"
        if several:
            fail(markers.CODE, marked)
        repeated = f"SELECT cid FROM {ids} WHERE cid IS NOT NULL GROUP BY cid HAVING count(*) > 1"
        later = "row_number() OVER (PARTITION BY cid ORDER BY file_row_number) > 1"
        which = f"NOT coalesce({marked}, FALSE) AND cid IN ({repeated}) QUALIFY {later}"
        fail("SYN-ID-002", which)
    if summary.dates:
        fail(damaged_keys.DATE, damaged_keys.IS_DATE)


def _single_markers(data: Dataset, table: str) -> list[Finding]:
    """The warning about markers that one row each has as its key: the row may be one all the
    same."""
    _, found = markers.among(data.connection, data.ids[table])
    keys = literal([marker.key for marker in found])
    cells = (
        f"SELECT row, key AS value FROM {keys_of(data.ids[table])} WHERE list_contains({keys}, key)"
    )
    values = markers.describe(data.connection, table, found, data.tables) if found else {}
    findings = data.findings(markers.CODE, table, "cid", cells, **values) if found else []
    return [finding.model_copy(update={"severity": "warning"}) for finding in findings]


def _trimmed(data: Dataset, cells: str) -> list[Finding]:
    """SYN-ID-004 for each column with keys that had white space around them."""
    trimmed = (
        f"SELECT tbl, col, row_number AS row, raw AS value FROM {cells} WHERE kind = 'trimmed'"
    )
    columns = data.fetch(f"SELECT DISTINCT tbl, col FROM ({trimmed}) ORDER BY ALL")
    return [
        finding
        for table, column in columns
        for finding in data.findings(
            "SYN-ID-004",
            table,
            column,
            f"SELECT * FROM ({trimmed}) WHERE (tbl, col) = ({literal(table)}, {literal(column)})",
        )
    ]


def _describe(data: Dataset, group: Group, details: dict[str, AssignedTable]) -> dict[str, Any]:
    """What the sentences of a group of failing keys name."""
    if group.code == stray_keys.CODE:
        return stray_keys.describe(group)
    if group.code == markers.CODE:
        found, _ = markers.among(data.connection, data.ids[group.table])
        return markers.describe(data.connection, group.table, found, data.tables)
    if group.code == damaged_keys.MARKED:
        return damaged_keys.describe_marks(group)
    if group.code == damaged_keys.DATE:
        return {"file": group.examples[0].file, "confidence": "likely"}
    if group.code != "SYN-ID-002":
        return {}
    counts = details[group.table]
    distinct = counts.distinct
    if group.cause == "marks":
        distinct, advice = distinct - group.count, damaged_keys.twins_advice(group)
    else:
        advice = repeated_keys.advice(
            data, TABLES[group.table], group.count, rounded=counts.rounded
        )
    return {
        "distinct": f"{distinct:,}",
        "total": f"{counts.rows - counts.missing:,}",
        "advice": advice,
    }


def _forget_damaged(data: Dataset) -> None:
    """Take out repeated keys that lost digits (SYN-ID-003): they are equal because of that, and all
    their rows are reported already."""
    tables = data.fetch("SELECT DISTINCT tbl FROM failures WHERE code = 'SYN-ID-003' ORDER BY 1")
    for (table,) in tables:
        parts = literal(["cid", *data.context.config.tables[table].key])
        of_table = f"tbl = {literal(table)}"
        rows = f"""SELECT row_number FROM failures
            WHERE code = 'SYN-ID-003' AND {of_table} AND list_contains({parts}, col)"""
        damaged = f"SELECT key FROM {keys_of(data.ids[table])} WHERE row IN ({rows})"
        data.connection.execute(
            f"DELETE FROM failures WHERE code = 'SYN-ID-002' AND {of_table} AND value IN "
            f"({damaged})"
        )


def _inputs(context: Context) -> dict[str, str]:
    return {}


STAGE = Stage(
    "assign_ids",
    run,
    _inputs,
    "validate",
    "9",
    "Give every row its UUID: uuid5(dataset id, table/key). The id map stays open to read.",
)
