"""assign_ids: a UUID for every row, and the proof that keys are there, whole and distinct.

Belongs here: keys and the id map. Does not: what keys of other rows mean (`join_relations`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

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
from syndb_pipeline.checks.failures import Failures, Group
from syndb_pipeline.checks.keys import odd_keys, repeated_keys, rounded_ids, stray_keys
from syndb_pipeline.checks.original_text import examples
from syndb_pipeline.checks.references import swapped
from syndb_pipeline.checks.rows.stray_rows import BLANK
from syndb_pipeline.contract.key_encoding import is_number, joined_key, rows_of
from syndb_pipeline.contract.tables import TABLES, Table
from syndb_pipeline.readers.casts import CELLS
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.failing_cells import FILE
from syndb_pipeline.state.progress import Meter
from syndb_pipeline.state.reuse import MADE_FROM
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context, Result, Stage
from syndb_pipeline.state.tables import columns_of, content, ingested, rows_by_table, rows_read


def run(context: Context, folder: Path) -> Result:
    """Write `ids/<table>.parquet` (key BIGINT where ingest left it so, else VARCHAR; cid UUID; rows
    as in ingest) and the failing keys.

    cid = uuid5(dataset id, "<table>/<key>") (RFC 9562), so any machine, order, format or retry
    gives the same. neuron_relation may have no key of its own; its key is then "<pre key>/<post
    key>". Findings: SYN-ID-001 to SYN-ID-008. details["tables"][table] counts `rows`, `distinct`,
    `missing` and `repeated` keys; `rounded` is there where most of them look so; `swapped` where
    cid and another column hold each other's keys, and says which and why: that is told by
    join_relations (SYN-REL-010), and not as repeated keys.
    """
    sources = SourceMap.read(context.store.stage("ingest"))
    details: dict[str, Any] = {}
    made_from: dict[str, str] = {}
    findings: list[Finding] = []
    (folder / "ids").mkdir()
    tables = ingested(context)
    read, memory = rows_read(context), memory_for_queries(context.settings.memory_limit)
    with context.duckdb() as connection, Meter("assign_ids", read, "rows", context.watch) as meter:
        failures = Failures(connection)
        cells = context.store.stage("ingest") / "cells.parquet"
        damaged = _damaged_columns(connection, cells)
        for name in meter.each(tables, connection):
            path = tables[name]
            made_from[name] = content(context, sources, name)
            if (
                counts := _take_over(context, connection, name, made_from[name], folder)
            ) is not None:
                details[name] = counts
                continue
            set_memory(connection, memory_to_spill(memory, read[name]))
            table = TABLES[name]
            ids = folder / "ids" / f"{name}.parquet"
            key = _key(connection, table, path)
            named = (
                f"SELECT k AS key, row_uuid({literal(name)}, k::VARCHAR) AS cid FROM (SELECT {key}"
                f" AS k FROM {parquet(path)})"
            )
            rows = write_parquet(connection, named, ids)
            summary = _summary(connection, ids)
            missing, distinct = summary.missing, summary.distinct
            details[name] = {
                "rows": rows,
                "distinct": distinct,
                "missing": missing,
                "repeated": rows - missing - distinct,
            }
            if details[name]["repeated"] and "cid" in columns_of(path):
                details[name] |= _swapped_keys(
                    connection,
                    table,
                    path,
                    {each: folder / "ids" / f"{each}.parquet" for each in details},
                )
            if summary.kinds and "cid" in columns_of(path):
                stray_keys.add(connection, failures, _texts(context, sources, name, ids, summary))
            if table.pair is None:
                _check_keys(connection, failures, table, ids, details[name], summary)
            elif "cid" in columns_of(path):
                _check_keys(
                    connection, failures, table, ids, details[name] | {"missing": 0}, summary
                )
            if summary.marked and "cid" in columns_of(path):
                findings += _single_markers(context, connection, sources, name, ids)
            so_far = {each: folder / "ids" / f"{each}.parquet" for each in details}
            rounded = rounded_ids.check(
                context, connection, sources, name, summary.rounded, damaged.get(name, ()), so_far
            )
            if any(finding.column == "cid" for finding in rounded):
                details[name]["rounded"] = True
            findings += rounded
        odd_keys.add_cells(
            failures, cells, tables, {each: folder / "ids" / f"{each}.parquet" for each in details}
        )
        _forget_damaged(context, connection, failures, folder)
        markers.label_emptied(failures, cells)
        told = failures.findings(
            context, sources, lambda group: _describe(connection, context, folder, group, details)
        )
        findings = markers.tell_emptied(failures, told, context.config, {}) + findings
        findings += _trimmed(context, connection, sources)
        failures.write(folder)
    return Result(
        tables=rows_by_table(context, folder),
        findings=findings,
        details={"tables": details, MADE_FROM: made_from},
    )


def _take_over(
    context: Context,
    connection: duckdb.DuckDBPyConnection,
    table: str,
    made_from: str,
    folder: Path,
) -> dict[str, Any] | None:
    """Have the ids of `table` that the last run left in `folder` too; its counts, or None where
    there is something to tell or to make.
    """
    former, file = context.former, f"ids/{table}.parquet"
    if (
        former is None
        or not former.holds(table, made_from, file)
        or not former.is_clean(connection, table, FILE)
    ):
        return None
    former.take_over(file, folder)
    counts: dict[str, Any] = former.record.details["tables"][table]
    return counts


def _swapped_keys(
    connection: duckdb.DuckDBPyConnection, table: Table, path: Path, ids: dict[str, Path]
) -> dict[str, Any]:
    """`swapped` of a table's details: the column that holds the keys of its rows, while `cid` holds
    those of others, and the proof.
    """
    present = columns_of(path)
    for column in ("parent_id", *(table.pair or ())):
        if column in present:
            allowed = {
                name: file for name, file in ids.items() if name in table.columns[column].targets
            }
            if swap := swapped.key_and_reference(connection, path, column, allowed):
                return {"swapped": {"column": column, "proof": swap.proof}}
    return {}


def _key(connection: duckdb.DuckDBPyConnection, table: Table, path: Path) -> str:
    if table.pair is None or "cid" in columns_of(path):
        return "cid"
    columns = [f"{quote(column)}::VARCHAR" for column in table.pair]
    if all(is_number(path, column) for column in table.pair):
        return " || '/' || ".join(columns)  # no number holds the joint
    return joined_key(columns, "/")


@dataclass(frozen=True, slots=True)
class _Summary:
    """One scan of a table's keys: rows without one and with one, distinct ones, whether some may be
    markers, rounded or dates.
    """

    missing: int
    distinct: int
    marked: bool
    rounded: bool
    dates: bool
    keys: int
    kinds: dict[str, int]
    """Of keys that are text: how many are of each kind of `stray_keys.COUNTS`."""


def _summary(connection: duckdb.DuckDBPyConnection, ids: Path) -> _Summary:
    stored = is_number(ids, "key")
    # Whole numbers are told apart as such, in half the time, and none of them is a date.
    name = "key" if stored else "cid"
    dates = "0" if stored else f"count_if({odd_keys.IS_DATE})"
    asked = [
        f"count(*) - count({name})",
        f"count(DISTINCT {name})",
        markers.hint("key", stored=stored),
        dates,
    ]
    asked += [
        f"count({name})",
        *(() if stored else stray_keys.COUNTS.values()),
        *rounded_ids.hints("key", stored=stored),
    ]
    source = (
        parquet(ids) if stored else f"(SELECT *, {stray_keys.KIND} AS kind FROM {parquet(ids)})"
    )
    missing, distinct, marked, days, keys, *more = connection.execute(
        f"SELECT {', '.join(asked)} FROM {source}"
    ).fetchall()[0]
    kinds = {} if stored else dict(zip(stray_keys.COUNTS, more, strict=False))
    rounded = rounded_ids.is_hinted(*more[len(kinds) :])
    return _Summary(missing, distinct, bool(marked), rounded, bool(days), keys, kinds)


def _texts(
    context: Context, sources: SourceMap, name: str, ids: Path, summary: _Summary
) -> stray_keys.Table:
    """The table `name`, whose keys are text, as keys of rows that are none are looked for."""
    path = ingested(context)[name]
    told = [
        finding
        for finding in context.upstream("ingest").findings
        if finding.table == name and finding.code == BLANK
    ]
    blank = [
        source
        for source in sources.tables[name]
        if any(finding.file in (source.file, None) for finding in told)
    ]
    columns = [column for column in columns_of(path) if column not in ("cid", CELLS)]
    return stray_keys.Table(
        name, path, columns, ids, summary.kinds, summary.keys, sources.tables[name], blank
    )


def _damaged_columns(connection: duckdb.DuckDBPyConnection, cells: Path) -> dict[str, set[str]]:
    """Table -> its columns with cells that are numbers which cannot hold an id."""
    found: dict[str, set[str]] = {}
    for table, column in connection.execute(
        f"SELECT DISTINCT tbl, col FROM {parquet(cells)} WHERE kind = 'float'"
    ).fetchall():
        found.setdefault(table, set()).add(column)
    return found


def _check_keys(
    connection: duckdb.DuckDBPyConnection,
    failures: Failures,
    table: Table,
    ids: Path,
    counts: dict[str, int],
    summary: _Summary,
) -> None:
    rows = rows_of(ids, row_number=True)
    name = literal(table.name)
    if counts["missing"]:
        failures.add(
            f"SELECT 'SYN-ID-001', {name}, file_row_number, 'cid', NULL, '' FROM {rows} WHERE key"
            " IS NULL"
        )
    if counts["repeated"] and "swapped" not in counts:
        found = (
            [marker.key for marker in markers.among(connection, ids)[0]] if summary.marked else []
        )
        marked = f"list_contains({literal(found)}::VARCHAR[], key)"
        if found:
            failures.add(
                f"SELECT {literal(markers.CODE)}, {name}, file_row_number, 'cid', key, '' FROM"
                f" {rows} WHERE {marked}"
            )
        failures.add(f"""SELECT 'SYN-ID-002', {name}, file_row_number, 'cid', key, '' FROM {rows}
                WHERE NOT coalesce({marked}, FALSE)
                    AND cid IN (SELECT cid FROM {parquet(ids)} WHERE cid IS NOT NULL GROUP BY cid
                      HAVING count(*) > 1)
                QUALIFY row_number() OVER (PARTITION BY cid ORDER BY file_row_number) > 1""")
    if summary.dates:
        failures.add(
            f"SELECT {literal(odd_keys.DATE)}, {name}, file_row_number, 'cid', key, '' FROM {rows}"
            f" WHERE {odd_keys.IS_DATE}"
        )


def _single_markers(
    context: Context,
    connection: duckdb.DuckDBPyConnection,
    sources: SourceMap,
    table: str,
    ids: Path,
) -> list[Finding]:
    """The warning about markers that one row each has as its key: the row may be one all the
    same.
    """
    _, found = markers.among(connection, ids)
    if not found:
        return []
    places = connection.execute(
        f"SELECT file_row_number, key FROM {rows_of(ids, row_number=True)} WHERE list_contains(?,"
        " key) ORDER BY 1 LIMIT 5",
        [[marker.key for marker in found]],
    ).fetchall()
    cells = examples(
        connection, context, sources, table, [(row, "cid", key) for row, key in places]
    )
    values = markers.describe(connection, table, found, ingested(context))
    finding = context.finding(
        markers.CODE, table=table, column="cid", count=len(found), examples=cells, **values
    )
    return [finding.model_copy(update={"severity": "warning"})]


def _trimmed(
    context: Context, connection: duckdb.DuckDBPyConnection, sources: SourceMap
) -> list[Finding]:
    cells = parquet(context.store.stage("ingest") / "cells.parquet")
    groups = connection.execute(
        f"""SELECT tbl, col, count(*), min(struct_pack(r := row_number, v := raw), 5) FROM {cells}
            WHERE kind = 'trimmed' GROUP BY ALL ORDER BY tbl, col"""
    ).fetchall()
    return [
        context.finding(
            "SYN-ID-004",
            table=table,
            column=column,
            count=count,
            examples=[sources.example(table, place["r"], column, place["v"]) for place in places],
        )
        for table, column, count, places in groups
    ]


def _describe(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    folder: Path,
    group: Group,
    details: dict[str, Any],
) -> dict[str, Any]:
    if group.code == stray_keys.CODE:
        return stray_keys.describe(group)
    if group.code == markers.CODE:
        found, _ = markers.among(connection, folder / "ids" / f"{group.table}.parquet")
        return markers.describe(connection, group.table, found, ingested(context))
    if group.code == odd_keys.MARKED:
        return odd_keys.describe(group)
    if group.code == odd_keys.DATE:
        return {"file": group.examples[0].file, "confidence": "likely"}
    if group.code != "SYN-ID-002":
        return {}
    counts, ids = details[group.table], folder / "ids" / f"{group.table}.parquet"
    if group.cause == "marks":
        return odd_keys.describe_twins(
            group, counts["distinct"], counts["rows"] - counts["missing"]
        )
    if counts.get("rounded"):
        advice = (
            "Digits were lost, it seems (SYN-ID-005), and different ids became equal. Export the"
            " ids as text from their source first; do not take rows out for this."
        )
    else:
        advice = repeated_keys.advice(
            connection,
            context,
            SourceMap.read(context.store.stage("ingest")),
            TABLES[group.table],
            group.count,
            ids,
        )
    return {
        "distinct": f"{counts['distinct']:,}",
        "total": f"{counts['rows'] - counts['missing']:,}",
        "advice": advice,
    }


def _forget_damaged(
    context: Context, connection: duckdb.DuckDBPyConnection, failures: Failures, folder: Path
) -> None:
    """Take out repeated keys that lost digits (SYN-ID-003): they are equal because of that, and all
    their rows are told already.
    """
    both = (
        "SELECT tbl FROM failures WHERE code = 'SYN-ID-002' INTERSECT SELECT tbl FROM failures"
        " WHERE code = 'SYN-ID-003'"
    )
    for (table,) in connection.execute(f"SELECT * FROM ({both}) ORDER BY 1").fetchall():
        parts = ["cid", *context.config.tables[table].key]
        connection.execute(
            f"""DELETE FROM failures WHERE code = 'SYN-ID-002' AND tbl = {literal(table)} AND value
                  IN (
                    SELECT key FROM {rows_of(folder / "ids" / f"{table}.parquet", row_number=True)}
                    WHERE key IS NOT NULL AND file_row_number IN (
                        SELECT row_number FROM failures
                        WHERE code = 'SYN-ID-003' AND tbl = {literal(table)} AND
                          list_contains({literal(parts)}, col)))"""
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
