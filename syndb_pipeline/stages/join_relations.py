"""join_relations: the lab's keys of other rows become those rows' UUIDs, up to the neuron at the
root.

Belongs here: resolving references, table by table, parents first. Does not: judging the dataset as
a whole (`check_integrity`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from syndb_pipeline.base.digests import digest_of
from syndb_pipeline.base.engine import is_surely_full, literal, parquet, quote
from syndb_pipeline.checks.cells import markers
from syndb_pipeline.checks.failures import Failures, Group
from syndb_pipeline.checks.keys import repeated_keys
from syndb_pipeline.checks.keys.damaged_keys import DAMAGED
from syndb_pipeline.checks.references import orphans, swapped
from syndb_pipeline.checks.references.relations import (
    Join,
    Parent,
    Swap,
    Work,
    joined_keys,
    made_from,
    say,
    settings,
    take_over,
)
from syndb_pipeline.checks.references.search import CODES
from syndb_pipeline.checks.references.targets import Choice, How, ask, target_of
from syndb_pipeline.contract.key_encoding import cells_of, comparable, is_number, keys_of, rows_of
from syndb_pipeline.contract.tables import TABLES, Column, Table
from syndb_pipeline.rules.catalogue import codes_explained_by
from syndb_pipeline.stages.joins import memory_to_join, write_joins
from syndb_pipeline.state.progress import Meter
from syndb_pipeline.state.results import JoinDetails, JoinedTable, Link
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context, Result, Stage
from syndb_pipeline.state.tables import (
    FILE,
    contract_columns,
    ingested,
    rows_by_table,
    rows_read,
    written,
)

_LARGEST_INTEGER: Final = 2**31 - 1


def run(context: Context, folder: Path) -> Result:
    """Write `relations/<table>.parquet`: for each row of ingest, in its order, the UUIDs that its
    reference columns resolve to.

    Columns: row_number; parent_id UUID, parent_enum INTEGER and neuron_id UUID where the table has
    a parent; the other reference columns as UUID; for synapses `neuron_id` is any neuron reached
    through parent, pre or post. Findings: SYN-REL-001 to SYN-REL-011.
    """
    (folder / "relations").mkdir()
    sources = SourceMap.read(context.store.stage("ingest"))
    assigned = context.assigned.details.tables
    with (
        context.duckdb() as connection,
        Meter("join_relations", rows_read(context), "rows", context.watch) as meter,
    ):
        tables = ingested(context)
        work = Work(
            connection,
            context,
            sources,
            tables,
            written(context, "assign_ids", "ids"),
            Failures(connection),
            folder,
        )
        work.swaps = {
            name: Swap("cid", counts.swapped.column, counts.swapped.proof)
            for name, counts in assigned.items()
            if counts.swapped
        }
        work.joined = joined_keys(work)
        work.parents = {
            name: Parent(work.ids[name], None, name == "neuron", bool(assigned[name].repeated))
            for name in tables
        }
        # Those that reach their neuron by their ends come last of their level: they look up that of
        # rows beside them.
        for name in sorted(
            tables, key=lambda name: (TABLES[name].level, TABLES[name].reached_by_ends)
        ):
            _relate(work, TABLES[name])
        for _ in meter.each([name for name in tables if name not in work.joins], connection):
            pass  # taken over, or related to nothing
        write_joins(context, connection, work.joins, meter)
        for name in work.joins:
            _check_joined(work, TABLES[name])
        _forget_damaged_cells(work)
        swapped.find(work)
        evidences = orphans.explain(work)
        _forget_damaged_pairs(work)
        markers.label_emptied(work.failures, context.store.stage("ingest") / "cells.parquet")
        findings = work.failures.findings(
            context, sources, lambda group: _describe(work, evidences, group)
        )
        keys = {
            f"{table}.{column}": work.ids[target]
            for (table, column), target in work.targets.items()
        }
        findings = markers.explain_emptied(work.failures, findings, context.config, keys)
        work.failures.write(folder)
    return Result(
        tables=rows_by_table(context, folder),
        findings=findings + work.reported,
        details=JoinDetails(tables=work.details, made_from=work.made_from),
    )


def _relate(work: Work, table: Table) -> None:
    """Take over the relations of `table`, or plan how they are made; whoever points to it will find
    them in their file."""
    work.made_from[table.name] = made_from(work, table)
    if not take_over(work, table):
        _resolve(work, table)
    relations = work.relations(table.name)
    parent = work.parents[table.name]
    if table.pair is None and (table.name in work.joins or relations.is_file()):
        work.parents[table.name] = Parent(
            parent.ids, relations, is_neuron=False, repeated=parent.repeated
        )


def _resolve(work: Work, table: Table) -> None:
    path = work.tables[table.name]
    columns = contract_columns(table.name, path)
    targets: dict[str, str] = {}
    hows: dict[str, How] = {}
    unclear: dict[str, Choice] = {}
    for name in table.references:
        if name in columns and (choice := target_of(work, table, columns[name])):
            if choice.target is None:
                unclear[name] = choice
            else:
                targets[name], hows[name] = choice.target, choice.how
    for name in unclear:
        ask(work, table, columns[name], unclear)
    work.targets |= {(table.name, column): target for column, target in targets.items()}
    paired = table.pair and set(table.pair) <= set(columns)
    work.details[table.name] = JoinedTable(
        references={
            column: Link(target=target, how=hows[column]) for column, target in targets.items()
        },
        **(_check_pairs(work, table, table.pair) if table.pair and paired else {}),
    )
    wanted = {"parent_id": "SYN-REL-003"} if table.needs_parent else {}
    for column, code in (wanted | dict.fromkeys(table.pair or (), "SYN-REL-007")).items():
        needed = column in targets or (column in columns and columns[column].required)
        if needed and not is_surely_full(path, column):
            cells = f"SELECT * FROM {cells_of(path, column)} WHERE value IS NULL"
            work.fail(code, table.name, column, cells)
    if targets:
        work.joins[table.name] = _join(work, table, path, targets)


def _check_joined(work: Work, table: Table) -> None:
    """What only the relations show: values that resolved to nothing, or to what contradicts the
    lab's own columns."""
    targets = work.targets_of(table.name)
    references = work.details[table.name].references
    for column, resolved in _check_resolved(work, table, targets).items():
        references[column] = references[column].model_copy(update={"resolved": resolved})
    path = work.tables[table.name]
    if "parent_id" in targets and "parent_enum" in contract_columns(table.name, path):
        target = targets["parent_id"]
        code = TABLES[target].code
        cells = f"SELECT * FROM {cells_of(path, 'parent_enum')} WHERE value <> {code}"
        work.reported += work.findings(
            "SYN-REL-009", table.name, "parent_enum", cells, expected=code, target=target
        )


def _join(work: Work, table: Table, path: Path, targets: dict[str, str]) -> Join:
    """How the columns of `targets` are looked up in what they point to, as far as that is related
    by now."""
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
        if column == "neuron_id":
            roots.append(f"{alias}.cid")
        else:
            found.append(f"{alias}.cid AS {quote(column)}")
            columns.append(quote(column))
            if column == "parent_id" or table.reached_by_ends:
                roots.insert(0 if column == "parent_id" else len(roots), f"{alias}.{neuron}")
                wanted[neuron] = None
        if column == "parent_id":
            columns.append(
                f"if(parent_id IS NULL, NULL, {TABLES[target].code})::INTEGER AS parent_enum"
            )
        # A subquery keeps rows that find nothing where they are; a left join puts them behind
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
            f"SELECT row_number, {', '.join(found)} FROM (SELECT {', '.join(keys)} FROM "
            f"{any_order}) c {joins}"
        ),
        columns=", ".join(columns),
        after=frozenset(
            target
            for target in targets.values()
            if target in work.joins and work.parents[target].relations
        ),
        memory=memory_to_join(read[target] for target in targets.values()),
    )


def _check_resolved(work: Work, table: Table, targets: dict[str, str]) -> dict[str, int]:
    """Rows that each column resolved, by column; the others that have a value are orphans."""
    path, relations = work.tables[table.name], work.relations(table.name)
    names = ", ".join(f"count({quote(column)})" for column in targets)
    given, resolved = (
        work.row(f"SELECT {names} FROM {parquet(file)}") for file in (path, relations)
    )
    found = f"{parquet(relations)} r"
    for column, had, has in zip(targets, given, resolved, strict=True):
        value = f"(SELECT {quote(column)} AS value FROM {rows_of(path)}) c"
        paired = f"SELECT row_number AS row, value FROM {value} POSITIONAL JOIN {found} WHERE"
        if column == "neuron_id" and "parent_id" in targets:
            own = "r.neuron_id IS DISTINCT FROM row_uuid('neuron', value)"
            work.fail("SYN-REL-008", table.name, column, f"{paired} value IS NOT NULL AND {own}")
            # Some of them contradict nothing: they name no neuron at all.
            work.connection.execute(
                f"""UPDATE failures SET code = 'SYN-REL-002'
                    WHERE code = 'SYN-REL-008' AND tbl = {literal(table.name)}
                    AND value NOT IN (SELECT key FROM {keys_of(work.ids["neuron"])})"""
            )
        elif had != has:
            code = "SYN-REL-001" if column == "parent_id" else "SYN-REL-002"
            lost = f"{paired} value IS NOT NULL AND r.{quote(column)} IS NULL"
            work.fail(code, table.name, column, lost)
    return dict(zip(targets, resolved, strict=True))


def _check_pairs(work: Work, table: Table, pair: tuple[str, str]) -> dict[str, int]:
    """Rows that repeat a pair: combined when the config says how, else failures."""
    path = work.tables[table.name]
    first, second = map(quote, pair)
    both = f"{first} IS NOT NULL AND {second} IS NOT NULL"
    total, distinct = work.row(
        f"SELECT count(*), count(DISTINCT ({first}, {second})) FROM {parquet(path)} WHERE {both}"
    )
    repeated, combine = total - distinct, work.context.config.tables[table.name].combine
    if repeated and not combine:
        later = (
            f"QUALIFY row_number() OVER (PARTITION BY {first}, {second} ORDER BY file_row_number) "
            "> 1"
        )
        cell = f"SELECT file_row_number AS row, {first} || ' -> ' || {second} AS value"
        cells = f"{cell} FROM {rows_of(path, row_number=True)} WHERE {both} {later}"
        work.fail("SYN-REL-006", table.name, pair[1], cells)
    present = contract_columns(table.name, path)
    for column, how in combine.items():
        if column in present:
            _check_combined(work, table, pair, present[column], how)
        elif how != "count":
            advice = say("no_such_column", table=table.name, column=column)
            file = work.sources.tables[table.name][0].file
            work.reported.append(
                work.context.finding(
                    "SYN-COL-006",
                    table=table.name,
                    file=file,
                    column=column,
                    key="combine",
                    near="",
                    advice=advice,
                )
            )
    return {"pairs": distinct, "rows": total, "combined": repeated if combine else 0}


def _check_combined(
    work: Work, table: Table, pair: tuple[str, str], column: Column, how: str
) -> None:
    """SYN-REL-011 for values that count replaces, and for empty cells that a sum takes for
    nothing."""
    name, keys = quote(column.name), ", ".join(map(quote, pair))
    source = rows_of(work.tables[table.name], row_number=True)
    cells = f"SELECT file_row_number AS row, {name} AS value FROM {source}"
    if how == "count":
        cells += f" WHERE {name} IS NOT NULL"
    elif how == "sum" and work.some(f"{cells} WHERE {name} IS NULL"):
        some = f"SELECT {keys} FROM {source} GROUP BY {keys}"
        some += f" HAVING count({name}) BETWEEN 1 AND count(*) - 1"
        cells += f" SEMI JOIN ({some}) USING ({keys}) WHERE {name} IS NULL"
    else:
        return
    facts = {"table": table.name, "column": column.name, "count": work.count(cells)}
    work.reported += work.findings(
        "SYN-REL-011",
        table.name,
        column.name,
        cells,
        what=say(f"{how}_what", **facts),
        advice=say(how, **facts),
    )


def _forget_damaged_pairs(work: Work) -> None:
    """Take out repeated pairs of rows one end of which lost digits: they are equal because of that,
    and their rows are reported already."""
    lost = " OR ".join(
        f"starts_with(cause, '{kind}:here')"
        for kind in ("float", "sheet", "scientific", "date", "cut")
    )
    damaged = f"""SELECT tbl, row_number FROM failures WHERE code IN {CODES} AND ({lost})
        UNION ALL SELECT tbl, row_number FROM {_damaged_cells(work)}"""
    work.connection.execute(
        f"DELETE FROM failures WHERE code = 'SYN-REL-006' AND (tbl, row_number) IN ({damaged})"
    )


def _damaged_cells(work: Work) -> str:
    """A FROM item: tbl, row_number and col of the references that assign_ids reported as damaged by
    a float."""
    failing = parquet(work.context.store.stage("assign_ids") / FILE)
    return f"(SELECT tbl, row_number, col FROM {failing} WHERE code = '{DAMAGED}' AND col <> 'cid')"


def _forget_damaged_cells(work: Work) -> None:
    """Take out orphans whose cell is damaged: they name nothing because of that."""
    work.connection.execute(
        f"DELETE FROM failures WHERE code IN {codes_explained_by(DAMAGED)} AND "
        f"(tbl, row_number, col) IN (FROM {_damaged_cells(work)})"
    )


def _describe(work: Work, evidences: orphans.Evidences, group: Group) -> dict[str, Any]:
    """What the sentences of a group of failing cells name."""
    if group.code in CODES:
        return orphans.describe(work, evidences, group)
    if group.code == swapped.CODE:
        return swapped.describe(work, group.table)
    if group.code == "SYN-REL-006":
        pairs, keys = work.details[group.table], work.context.assigned.details.tables
        rounded = any(keys[target].rounded for target in work.targets_of(group.table).values())
        advice = repeated_keys.pair_advice(work, TABLES[group.table], rounded=rounded)
        return {"distinct": f"{pairs.pairs:,}", "total": f"{pairs.rows:,}", "advice": advice}
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
    "10",
    "Turn the lab's keys of parents and partners into their UUIDs, up to the neuron at the root.",
)
