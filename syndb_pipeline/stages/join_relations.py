"""join_relations: the lab's keys of other rows become those rows' UUIDs, up to the neuron at the
root.

Belongs here: resolving references, table by table, parents first. Does not: judging the dataset as
a whole (`check_integrity`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from syndb_pipeline.base.digests import digest_of
from syndb_pipeline.base.engine import literal, parquet, quote
from syndb_pipeline.checks.cells import markers
from syndb_pipeline.checks.failures import Failures, Group
from syndb_pipeline.checks.keys import repeated_keys
from syndb_pipeline.checks.original_text import examples
from syndb_pipeline.checks.references import orphan_words, orphans, swapped
from syndb_pipeline.checks.references.relations import (
    Join,
    Parent,
    Work,
    made_from,
    settings,
    take_over,
)
from syndb_pipeline.checks.references.targets import ENDS, Choice, How, ask, joined_keys, target_of
from syndb_pipeline.contract.key_encoding import comparable, is_number, rows_of
from syndb_pipeline.contract.tables import TABLES, Column, Table
from syndb_pipeline.rules.finding import MAX_EXAMPLES
from syndb_pipeline.stages.joins import memory_to_join, write_joins
from syndb_pipeline.state.failing_cells import FILE
from syndb_pipeline.state.progress import Meter
from syndb_pipeline.state.reuse import MADE_FROM
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context, Result, Stage
from syndb_pipeline.state.tables import (
    contract_columns,
    ingested,
    rows_by_table,
    rows_read,
    written,
)

_LARGEST_INTEGER: Final = 2**31 - 1

_TOLD_BY_SWAP = (*orphans.CODES, "SYN-REL-003", "SYN-REL-006", "SYN-REL-008")
"""Rules that columns which hold each other's keys break as a consequence."""


def run(context: Context, folder: Path) -> Result:
    """Write `relations/<table>.parquet`: for each row of ingest, in its order, the UUIDs that its
    reference columns resolve to.

    Columns: row_number; parent_id UUID, parent_enum INTEGER and neuron_id UUID where the table has
    a parent; the other reference columns as UUID; for synapses `neuron_id` is any neuron reached
    through parent, pre or post. Findings: SYN-REL-001 to SYN-REL-011.
    """
    (folder / "relations").mkdir()
    sources = SourceMap.read(context.store.stage("ingest"))
    assigned = context.upstream("assign_ids").details["tables"]
    repeated = {name: bool(counts["repeated"]) for name, counts in assigned.items()}
    with (
        context.duckdb() as connection,
        Meter("join_relations", rows_read(context), "rows", context.watch) as meter,
    ):
        work = Work(
            context,
            connection,
            Failures(connection),
            sources,
            folder,
            written(context, "assign_ids", "ids"),
        )
        tables = ingested(context)
        told = {name: counts["swapped"] for name, counts in assigned.items() if "swapped" in counts}
        work.swaps = {
            name: swapped.Swap("cid", found["column"], found["proof"])
            for name, found in told.items()
        }
        work.joined = joined_keys(work)
        work.parents = {
            name: Parent(work.ids[name], None, name == "neuron", repeated[name]) for name in tables
        }
        # Synapses come last of their level: they look up the neuron of the terminals and spines
        # beside them.
        for name in sorted(tables, key=lambda name: (TABLES[name].level, name == "synapse")):
            _relate(work, TABLES[name], tables[name])
        for _ in meter.each([name for name in tables if name not in work.joins], connection):
            pass  # taken over, or related to nothing
        write_joins(context, connection, work.joins, meter)
        for name in work.joins:
            _check_joined(work, TABLES[name], tables[name])
        _forget_damaged_cells(work)
        _find_swaps(work, tables)
        work.evidence = orphans.explain(
            work.failures, sources, work.targets, work.ids, tables, work.joined
        )
        _forget_damaged_pairs(work)
        markers.label_emptied(work.failures, context.store.stage("ingest") / "cells.parquet")
        findings = work.failures.findings(context, sources, lambda group: _describe(work, group))
        keys = {
            f"{table}.{column}": work.ids[target]
            for (table, column), target in work.targets.items()
        }
        findings = markers.tell_emptied(work.failures, findings, context.config, keys)
        work.failures.write(folder)
    return Result(
        tables=rows_by_table(context, folder),
        findings=findings + work.findings,
        details={"tables": work.details, MADE_FROM: work.made_from},
    )


def _relate(work: Work, table: Table, path: Path) -> None:
    """Take over the relations of `table`, or plan how they are made; whoever points to it will find
    them in their file.
    """
    work.made_from[table.name] = made_from(work, table)
    if not take_over(work, table):
        _resolve(work, table, path)
    relations = work.relations(table.name)
    parent = work.parents[table.name]
    if table.pair is None and (table.name in work.joins or relations.is_file()):
        work.parents[table.name] = Parent(
            parent.ids, relations, is_neuron=False, repeated=parent.repeated
        )


def _resolve(work: Work, table: Table, path: Path) -> None:
    columns = contract_columns(table.name, path)
    targets: dict[str, str] = {}
    hows: dict[str, How] = {}
    unclear: dict[str, Choice] = {}
    for name in table.references:
        if name in columns and (choice := target_of(work, table, columns[name], path)):
            if choice.target is None:
                unclear[name] = choice
            else:
                targets[name], hows[name] = choice.target, choice.how
    for name in unclear:
        ask(work, table, path, columns[name], unclear)
    work.targets |= {(table.name, column): target for column, target in targets.items()}
    details: dict[str, Any] = {
        "references": {
            column: {"target": target, "how": hows[column]} for column, target in targets.items()
        }
    }
    work.details[table.name] = details
    if table.pair and set(table.pair) <= set(columns):
        details |= _check_pairs(work, table, path)
    _check_missing(
        work, table, path, [name for name in columns if name in targets or columns[name].required]
    )
    if targets:
        work.joins[table.name] = _join(work, table, path, targets)


def _check_joined(work: Work, table: Table, path: Path) -> None:
    """What only the relations tell: values that resolved to nothing, or to what contradicts the
    lab's own columns.
    """
    targets = {
        column: target for (name, column), target in work.targets.items() if name == table.name
    }
    for column, resolved in _check_resolved(
        work, table, path, targets, work.relations(table.name)
    ).items():
        work.details[table.name]["references"][column]["resolved"] = resolved
    if "parent_id" in targets and "parent_enum" in contract_columns(table.name, path):
        _check_parent_enum(work, table, path, targets["parent_id"])


def _join(work: Work, table: Table, path: Path, targets: dict[str, str]) -> Join:
    """How the columns of `targets` are looked up in what they point to, as far as that is related
    by now.
    """
    found: list[str] = []
    columns, keys = ["row_number::BIGINT AS row_number"], ["row_number"]
    roots: list[str] = []
    looked_up: list[str] = []
    joined: list[tuple[bool, str]] = []
    for index, (column, target) in enumerate(targets.items()):
        alias = f"t{index}"
        # Cast in subqueries: a cast within the comparison has DuckDB join twice, and the rows come
        # in another order.
        own, theirs = comparable((path, column), (work.parents[target].ids, "key"))
        keys.append(f"{own} AS key{index}")
        rows = (
            f"(SELECT {theirs} AS key, cid, neuron_id FROM {work.parents[target].rows()}) {alias}"
        )
        named = f"c.key{index} = {alias}.key"
        neuron = "cid" if work.parents[target].is_neuron else "neuron_id"
        wanted = {"cid": None}
        if column != "neuron_id":
            found.append(f"{alias}.cid AS {quote(column)}")
            columns.append(quote(column))
        if column == "parent_id":
            columns.append(
                f"if(parent_id IS NULL, NULL, {TABLES[target].code})::INTEGER AS parent_enum"
            )
            roots.insert(0, f"{alias}.{neuron}")
            wanted[neuron] = None
        elif column == "neuron_id":
            roots.append(f"{alias}.cid")
        elif table.name == "synapse":
            roots.append(f"{alias}.{neuron}")
            wanted[neuron] = None
        # A subquery keeps rows that find nothing where they stand; a left join puts them behind
        # others.
        looked_up.append(
            f"(SELECT struct_pack({', '.join(wanted)}) FROM {rows} WHERE {named}) AS {alias}"
        )
        joined.append((is_number(path, column), f"LEFT JOIN {rows} ON {named}"))
    if table.pair is None:
        found.append(f"coalesce({', '.join([*roots, 'NULL::UUID'])}) AS neuron_id")
        columns.append("neuron_id")
    read = rows_read(work.context)
    number = "INTEGER" if read[table.name] <= _LARGEST_INTEGER else "BIGINT"
    # Whatever the chunks of ingest's file, those beside a range are whole, and row groups end where
    # they should.
    in_order = f"{parquet(path)} POSITIONAL JOIN range({read[table.name]}) numbers(row_number)"
    any_order = (
        f"(SELECT *, file_row_number::{number} AS row_number FROM {parquet(path, row_number=True)})"
    )
    # Text that one join leaves to the next goes to the disk with all else that does not fit, so it
    # is looked up first.
    joins = " ".join(join for _, join in sorted(joined))
    return Join(
        path=work.relations(table.name),
        rows=read[table.name],
        in_order=f"""SELECT row_number, {", ".join(found)}
            FROM (SELECT row_number, {", ".join(looked_up)} FROM (SELECT {", ".join(keys)} FROM
              {in_order}) c)""",
        in_any_order=(
            f"SELECT row_number, {', '.join(found)} FROM (SELECT {', '.join(keys)} FROM"
            f" {any_order}) c {joins}"
        ),
        columns=", ".join(columns),
        after=frozenset(
            target
            for target in targets.values()
            if target in work.joins and work.parents[target].relations
        ),
        memory=memory_to_join(read[target] for target in targets.values()),
    )


def _check_resolved(
    work: Work, table: Table, path: Path, targets: dict[str, str], relations: Path
) -> dict[str, int]:
    """Rows that each column resolved, by column; the others that have a value are orphans."""
    names = ", ".join(f"count({quote(column)})" for column in targets)
    given = work.connection.execute(f"SELECT {names} FROM {parquet(path)}").fetchone() or ()
    resolved = work.connection.execute(f"SELECT {names} FROM {parquet(relations)}").fetchone() or ()
    paired = f"{rows_of(path)} c POSITIONAL JOIN {parquet(relations)} r"
    for column, had, has in zip(targets, given, resolved, strict=True):
        code = "SYN-REL-001" if column == "parent_id" else "SYN-REL-002"
        name = quote(column)
        if column == "neuron_id" and "parent_id" in targets:
            work.failures.add(
                f"""SELECT 'SYN-REL-008', {literal(table.name)}, r.row_number, 'neuron_id',
                      c.neuron_id, '' FROM {paired}
                    WHERE c.neuron_id IS NOT NULL AND r.neuron_id IS DISTINCT FROM
                      row_uuid('neuron', c.neuron_id)"""
            )
            # Some of them contradict nothing: they name no neuron at all.
            work.connection.execute(
                f"""UPDATE failures SET code = 'SYN-REL-002' WHERE code = 'SYN-REL-008' AND tbl =
                      {literal(table.name)}
                    AND value NOT IN (SELECT key FROM {rows_of(work.ids["neuron"])} WHERE key IS NOT
                      NULL)"""
            )
        elif had != has:
            work.failures.add(
                f"""SELECT {literal(code)}, {literal(table.name)}, r.row_number, {literal(column)},
                      c.{name}, '' FROM {paired}
                    WHERE c.{name} IS NOT NULL AND r.{name} IS NULL"""
            )
    return dict(zip(targets, resolved, strict=True))


def _check_missing(work: Work, table: Table, path: Path, columns: list[str]) -> None:
    """Rows without a parent, and relations without one of their ends. A synapse may lack any one of
    its ways to a neuron.
    """
    wanted = {"parent_id": "SYN-REL-003"} if table.name != "synapse" else {}
    wanted |= dict.fromkeys(table.pair or (), "SYN-REL-007")
    for column, code in wanted.items():
        if column in columns:
            work.failures.add(f"""SELECT {literal(code)}, {literal(table.name)}, file_row_number,
                      {literal(column)}, NULL, ''
                    FROM {parquet(path, row_number=True)} WHERE {quote(column)} IS NULL""")


def _check_pairs(work: Work, table: Table, path: Path) -> dict[str, int]:
    """Rows that repeat a pair: combined when the config says how, else failures."""
    assert table.pair is not None
    first, second = (quote(column) for column in table.pair)
    total, distinct = work.connection.execute(
        f"SELECT count(*), count(DISTINCT ({first}, {second})) FROM {parquet(path)} WHERE {first}"
        f" IS NOT NULL AND {second} IS NOT NULL"
    ).fetchone() or (0, 0)
    repeated = total - distinct
    combine = work.context.config.tables[table.name].combine
    if repeated and not combine:
        work.failures.add(f"""SELECT 'SYN-REL-006', {literal(table.name)}, file_row_number,
                  {literal(table.pair[1])},
                       {first} || ' -> ' || {second}, '' FROM {rows_of(path, row_number=True)}
                WHERE {first} IS NOT NULL AND {second} IS NOT NULL
                QUALIFY row_number() OVER (PARTITION BY {first}, {second} ORDER BY file_row_number)
                  > 1""")
    present = contract_columns(table.name, path)
    for column, how in combine.items():
        if column in present:
            _check_combined(work, table, path, present[column], how)
        elif how != "count":
            _tell_missing(work, table, column)
    return {"pairs": distinct, "rows": total, "combined": repeated if combine else 0}


def _check_combined(work: Work, table: Table, path: Path, column: Column, how: str) -> None:
    """SYN-REL-011 for values that count replaces, and for empty cells that a sum takes for
    nothing.
    """
    assert table.pair is not None
    name, pair = quote(column.name), ", ".join(quote(each) for each in table.pair)
    source = rows_of(path, row_number=True)
    if how == "count":
        found = (
            f"SELECT file_row_number AS row, {name} AS value FROM {source} WHERE {name} IS NOT NULL"
        )
        what = f"a {column.name}, which the number of rows of {{their}} pair replaces"
        advice = (
            "Nothing to do if the rows are to be counted. To add the values up:"
            f" `tables.{table.name}.combine: {{{column.name}: sum}}`."
        )
    elif (
        how == "sum"
        and work.connection.execute(
            f"SELECT 1 FROM {parquet(path)} WHERE {name} IS NULL LIMIT 1"
        ).fetchone()
    ):
        some = (
            f"SELECT {pair} FROM {source} GROUP BY {pair} HAVING count({name}) BETWEEN 1 AND"
            " count(*) - 1"
        )
        found = (
            f"SELECT file_row_number AS row, NULL AS value FROM {source} SEMI JOIN ({some}) USING"
            f" ({pair}) WHERE {name} IS NULL"
        )
        what = f"no {column.name} and {{add}} nothing to the sum of {{their}} pair"
        advice = "Fill in what is known. Nothing to do where an empty cell means 0."
    else:
        return
    (count,) = work.connection.execute(f"SELECT count(*) FROM ({found})").fetchone() or (0,)
    if count:
        places = work.connection.execute(
            f"SELECT row, value::VARCHAR FROM ({found}) ORDER BY row LIMIT {MAX_EXAMPLES}"
        ).fetchall()
        cells = examples(
            work.connection,
            work.context,
            work.sources,
            table.name,
            [(row, column.name, value) for row, value in places],
        )
        told = what.format(
            their="its" if count == 1 else "their", add="adds" if count == 1 else "add"
        )
        work.findings.append(
            work.context.finding(
                "SYN-REL-011",
                table=table.name,
                column=column.name,
                count=count,
                examples=cells,
                what=told,
                advice=advice,
            )
        )


def _tell_missing(work: Work, table: Table, column: str) -> None:
    """SYN-COL-006 for a column that `combine` names and the file lacks."""
    source = work.sources.tables[table.name][0]
    setting = f"`tables.{table.name}.combine: {{{column}: count}}`"
    advice = (
        "Map the column of the file that holds it, or have the rows of each pair counted:"
        f" {setting}."
    )
    work.findings.append(
        work.context.finding(
            "SYN-COL-006",
            table=table.name,
            file=source.file,
            column=column,
            key="combine",
            near="",
            advice=advice,
        )
    )


def _forget_damaged_pairs(work: Work) -> None:
    """Take out repeated pairs of rows one end of which lost digits: they are equal because of that,
    and their rows are told already.
    """
    lost = " OR ".join(
        f"starts_with(cause, '{kind}:here')"
        for kind in ("float", "sheet", "scientific", "date", "cut")
    )
    damaged = f"""SELECT tbl, row_number FROM failures WHERE code IN {orphans.CODES} AND ({lost})
        UNION ALL SELECT tbl, row_number FROM
          {parquet(work.context.store.stage("assign_ids") / FILE)}
        WHERE code = 'SYN-ID-003' AND col <> 'cid'"""
    work.connection.execute(
        f"""DELETE FROM failures USING ({damaged}) damaged WHERE failures.code = 'SYN-REL-006'
                AND failures.tbl = damaged.tbl AND failures.row_number = damaged.row_number"""
    )


def _check_parent_enum(work: Work, table: Table, path: Path, target: str) -> None:
    code = TABLES[target].code
    wrong = (
        f"{parquet(path, row_number=True)} WHERE parent_enum IS NOT NULL AND parent_enum <> {code}"
    )
    (count,) = work.connection.execute(f"SELECT count(*) FROM {wrong}").fetchone() or (0,)
    if count:
        places = work.connection.execute(
            f"SELECT file_row_number, parent_enum::VARCHAR FROM {wrong} ORDER BY ALL LIMIT 5"
        ).fetchall()
        cells = examples(
            work.connection,
            work.context,
            work.sources,
            table.name,
            [(row, "parent_enum", value) for row, value in places],
        )
        work.findings.append(
            work.context.finding(
                "SYN-REL-009",
                table=table.name,
                column="parent_enum",
                count=count,
                examples=cells,
                expected=code,
                target=target,
            )
        )


def _forget_damaged_cells(work: Work) -> None:
    """Take out orphans whose cell assign_ids told as damaged by a float: they name nothing because
    of that.
    """
    told = parquet(work.context.store.stage("assign_ids") / FILE)
    work.connection.execute(
        f"""DELETE FROM failures USING (SELECT tbl, row_number, col FROM {told} WHERE code =
              'SYN-ID-003' AND col <> 'cid') damaged
            WHERE failures.code IN {orphans.CODES} AND failures.tbl = damaged.tbl AND
              failures.row_number = damaged.row_number
                AND failures.col = damaged.col"""
    )


def _find_swaps(work: Work, tables: dict[str, Path]) -> None:
    """SYN-REL-010 in place of the orphans of columns that hold each other's keys, for all rows of
    their table.
    """
    lost = set(
        work.connection.execute(
            f"SELECT DISTINCT tbl, col FROM failures WHERE code IN {orphans.CODES}"
        ).fetchall()
    )
    for name, path in tables.items():
        targets = {
            column: target for (table, column), target in work.targets.items() if table == name
        }
        for pair in (ENDS, ("parent_id", "neuron_id")):
            if (
                name not in work.swaps
                and set(pair) <= set(targets)
                and any((name, column) in lost for column in pair)
            ):
                swap = swapped.two_references(work.connection, name, path, targets, work.ids, pair)
                work.swaps |= {name: swap} if swap else {}
        if name == "synapse" and name not in work.swaps:
            swap = swapped.against_anatomy(targets, work.context.config.tables[name])
            work.swaps |= {name: swap} if swap else {}
        for column in targets:
            if name not in work.swaps and (name, column) in lost:
                present = contract_columns(name, path)
                swap = swapped.reference_and_value(
                    work.connection, name, path, column, work.ids[targets[column]], present
                )
                work.swaps |= {name: swap} if swap else {}
    for name, swap in work.swaps.items():
        first, second = quote(swap.first), quote(swap.second)
        work.connection.execute(
            f"""DELETE FROM failures WHERE code IN ({", ".join(map(literal, _TOLD_BY_SWAP))}) AND
                  tbl = {literal(name)}
                AND (code = 'SYN-REL-006' OR col IN ({literal(swap.first)},
                  {literal(swap.second)}))"""
        )
        work.failures.add(f"""SELECT {literal(swapped.CODE)}, {literal(name)}, file_row_number,
                  {literal(swap.first)}, {first}, ''
                FROM {rows_of(tables[name], row_number=True)} WHERE {first} IS NOT NULL OR {second}
                  IS NOT NULL""")


def _described_swap(work: Work, table: str) -> dict[str, Any]:
    swap, config = work.swaps[table], work.context.config.tables[table]
    advice = (
        "Map them the other way round:"
        f" {swapped.columns_setting(table, config, work.sources, swap)}."
    )
    targets = {
        column: work.targets[table, column]
        for column in (swap.first, swap.second)
        if (table, column) in work.targets
    }
    if swap.anatomy:
        listed = ", ".join(
            f"{column}: {target}" for column, target in (dict(config.references) | targets).items()
        )
        advice += f" If they are truly so, say it: `tables.{table}.references: {{{listed}}}`."
    return {
        "other": swap.second,
        "proof": swap.proof,
        "advice": advice,
        "confidence": "likely" if swap.anatomy else "certain",
    }


def _describe_orphans(work: Work, group: Group) -> dict[str, Any]:
    table, target = group.table, work.targets[group.table, group.column]
    ingest, ids = (
        work.context.upstream("ingest"),
        work.context.upstream("assign_ids").details["tables"],
    )
    place = orphan_words.Place(
        table=table,
        column=group.column,
        target=target,
        config=work.context.config,
        sources=work.sources,
        unread=ingest.tables[target].rejected + ids[target]["missing"],
        others=work.details[table]["references"][group.column]["resolved"],
        rows=group.count,
        **(
            orphans.markers(work.failures, table, work.ids[table], ingested(work.context)[table])
            if group.cause == "sentinel"
            else {}
        ),
    )
    return orphan_words.describe(place, work.evidence[table, group.column, group.cause])


def _describe(work: Work, group: Group) -> dict[str, Any]:
    if group.code in orphans.CODES:
        return _describe_orphans(work, group)
    if group.code == swapped.CODE:
        return _described_swap(work, group.table)
    if group.code == "SYN-REL-006":
        pairs, keys = (
            work.details[group.table],
            work.context.upstream("assign_ids").details["tables"],
        )
        rounded = any(
            keys[target].get("rounded")
            for (name, _), target in work.targets.items()
            if name == group.table
        )
        advice = repeated_keys.pair_advice(
            work.connection, work.context, work.sources, TABLES[group.table], rounded=rounded
        )
        return {"distinct": f"{pairs['pairs']:,}", "total": f"{pairs['rows']:,}", "advice": advice}
    return {}


def _inputs(context: Context) -> dict[str, str]:
    return {
        "config:relations": digest_of(
            {name: settings(table) for name, table in context.config.tables.items()}
        )
    }


STAGE = Stage(
    "join_relations",
    run,
    _inputs,
    "assign_ids",
    "9",
    "Turn the lab's keys of parents and partners into their UUIDs, up to the neuron at the root.",
)
