"""Two columns of a table that hold each other's keys.

Belongs here: proving it by counts of both ways, and the setting that maps them the other way round.
Does not: single orphans (`orphans`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from syndb_pipeline.base.engine import literal, quote
from syndb_pipeline.checks.dataset import Dataset
from syndb_pipeline.checks.references.relations import Swap, Work, say, target_setting
from syndb_pipeline.checks.references.search import CODES as ORPHANS
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import ENDS, TABLES, Kind
from syndb_pipeline.readers.headers import mapping
from syndb_pipeline.rules.catalogue import codes_explained_by
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.tables import columns_of, contract_columns

CODE: Final = "SYN-REL-010"

_CONSEQUENCES: Final = codes_explained_by(CODE)
"""Rules that columns which hold each other's keys break as a consequence."""

_FEWEST_ROWS: Final = 3
"""Rows below which two columns can look swapped by chance."""

_NEARLY_ALL, _HARDLY_ANY = 0.9, 0.1

SENDING: Final = ("pre_synaptic_terminal", "axon")
RECEIVING: Final = ("dendritic_spine", "dendrite")
"""Components by the side of a synapse they are on."""


def _held(data: Dataset, text: str, target: str) -> str:
    """SQL: how many rows hold in `text` a key of `target`."""
    return f"count(*) FILTER ({text} IN (SELECT key FROM {data.keys(target)}))"


def _counts(data: Dataset, table: str, *counted: str) -> Sequence[int]:
    return data.row(f"SELECT {', '.join(counted)} FROM {data.source(table)} AS rows")


def swapped_keys(data: Dataset, table: str) -> Swap | None:
    """Whether `cid` of a table holds the keys of other rows and another column those of its own.

    To be asked where cid repeats: there it is certain that one of the two is no key of its row.
    """
    declared, present = TABLES[table], columns_of(data.tables[table])
    for column in ("parent_id", *(declared.pair or ())):
        if column not in present:
            continue
        name = quote(column)
        targets = [other for other in data.ids if other in declared.columns[column].targets]
        rows, distinct, given = _counts(
            data, table, "count(*)", f"count(DISTINCT {name})", f"count({name})"
        )
        if rows < _FEWEST_ROWS or distinct < given or given < _NEARLY_ALL * rows or not targets:
            continue
        held = _counts(data, table, *(_held(data, "cid", target) for target in targets))
        other_way, target = max(zip(held, targets, strict=True), key=lambda found: found[0])
        (as_written,) = _counts(data, table, _held(data, name, target))
        if other_way >= _NEARLY_ALL * rows and as_written <= _HARDLY_ANY * rows:
            facts = {"now": as_written, "rows": rows, "target": target, "then": other_way}
            return Swap("cid", column, say("swapped_key", **facts))
    return None


def _reference_and_value(work: Work, table: str, column: str) -> Swap | None:
    """Whether some column of numbers or words holds the keys that `column` lacks; to be asked where
    nearly all of those are orphans."""
    target, name = work.targets[table, column], quote(column)
    for other, declared in contract_columns(table, work.tables[table]).items():
        text = quote(other)
        if declared.kind in (Kind.NUMBER, Kind.INTEGER):
            whole = f"try_cast({text} AS HUGEINT)::VARCHAR"
            text = f"CASE WHEN {text} = trunc({text}) THEN {whole} END"
        elif declared.kind is not Kind.TEXT:
            continue
        given, now, then = _counts(
            work, table, f"count({name})", _held(work, name, target), _held(work, text, target)
        )
        if now <= _HARDLY_ANY * given and then >= _NEARLY_ALL * given:
            facts = {"now": now, "given": given, "column": column, "then": then}
            return Swap(column, other, say("swapped_value", other=other, **facts))
    return None


def _two_references(work: Work, table: str, pair: tuple[str, str]) -> Swap | None:
    """Whether the columns `pair` find their rows the other way round; to be asked where nearly all
    values of the second are orphans.

    With `neuron_id` as the second, parent_id seems to point to neurons, and neuron_id holds keys of
    some table that it may point to.
    """
    (first, second), targets = pair, work.targets_of(table)
    mine, theirs = targets[first], targets[second]
    allowed = {column: TABLES[table].columns[column].targets for column in pair}
    others: list[str] = []
    if second == "neuron_id":
        others = [name for name in allowed[first] if name in work.ids and name != theirs]
    elif mine != theirs and mine in allowed[second] and theirs in allowed[first]:
        others = [mine]
    one, two = quote(first), quote(second)
    for other in others:
        ones, twos, one_then, two_then, one_now, two_now = _counts(
            work,
            table,
            f"count({one})",
            f"count({two})",
            _held(work, one, theirs),
            _held(work, two, other),
            # Found among the neurons is what a neuron_id would be.
            "0" if mine == theirs else _held(work, one, mine),
            _held(work, two, theirs),
        )
        then = one_then >= _NEARLY_ALL * ones and two_then >= _NEARLY_ALL * twos
        now = one_now <= _HARDLY_ANY * ones and two_now <= _HARDLY_ANY * twos
        if min(ones, twos) >= _FEWEST_ROWS and then and now:
            facts = {"keys": ones + twos, "then": one_then + two_then, "now": one_now + two_now}
            return Swap(first, second, say("swapped_references", **facts))
    return None


def _against_anatomy(work: Work, table: str) -> Swap | None:
    """A synapse that goes from spines or dendrites to terminals or axons, where the config does not
    say so itself."""
    pre, post = (work.targets.get((table, end)) for end in ENDS)
    if pre not in RECEIVING or post not in SENDING or {*ENDS} <= {*work.config(table).references}:
        return None
    return Swap(*ENDS, say("swapped_ends", pre=pre, post=post), anatomy=True)


def find(work: Work) -> None:
    """Fill the swaps of `work`, and report SYN-REL-010 in place of the orphans of their columns,
    for all rows of their table."""
    for name in work.tables:
        if name not in work.swaps and (swap := _find(work, name)):
            work.swaps[name] = swap
    for name, swap in work.swaps.items():
        work.connection.execute(
            f"""DELETE FROM failures WHERE code IN {_CONSEQUENCES} AND tbl = {literal(name)}
                AND (code = 'SYN-REL-006' OR col IN {(swap.first, swap.second)})"""
        )
        first, second = quote(swap.first), quote(swap.second)
        cells = f"SELECT file_row_number AS row, {first} AS value FROM {work.source(name)}"
        cells += f" WHERE {first} IS NOT NULL OR {second} IS NOT NULL"
        work.fail(CODE, name, swap.first, cells)


def _find(work: Work, table: str) -> Swap | None:
    """The columns of a table that hold each other's keys, of which nearly all are orphans then."""
    targets = work.targets_of(table)
    orphans = dict(
        work.fetch(
            f"SELECT col, count(*) FROM failures WHERE code IN {ORPHANS} AND tbl = {literal(table)}"
            " GROUP BY col"
        )
    )
    lost = set()
    for column, count in orphans.items():
        (given,) = _counts(work, table, f"count({quote(column)})")
        if given >= _FEWEST_ROWS and count >= _NEARLY_ALL * given:
            lost.add(column)
    for pair in (ENDS, ("parent_id", "neuron_id")):
        asked = pair[0] in targets and pair[1] in lost
        if asked and (swap := _two_references(work, table, pair)):
            return swap
    if TABLES[table].reached_by_ends and (swap := _against_anatomy(work, table)):
        return swap
    found = (_reference_and_value(work, table, column) for column in targets if column in lost)
    return next((swap for swap in found if swap), None)


def describe(work: Work, table: str) -> dict[str, Any]:
    """What the sentences of SYN-REL-010 about a table name."""
    swap, config = work.swaps[table], work.config(table)
    setting = columns_setting(table, config, work.sources, swap)
    advice, sure = say("map_otherwise", setting=setting), "certain"
    if swap.anatomy:
        as_it_is = target_setting(table, config, {end: work.targets[table, end] for end in ENDS})
        advice = say("map_otherwise_or_confirm", setting=setting, as_it_is=as_it_is)
        sure = "likely"
    return {"other": swap.second, "proof": swap.proof, "advice": advice, "confidence": sure}


def columns_setting(table: str, config: TableConfig, sources: SourceMap, swap: Swap) -> str:
    """The setting `columns` of the table that maps the two columns the other way round, in the
    lab's names, with what is mapped already."""
    other = {swap.first: swap.second, swap.second: swap.first}
    declared = TABLES[table]

    def kept(name: str) -> bool:
        column = declared.column(name)
        return (column.name if column else name) not in other

    mapped = {lab: [*filter(kept, config.names_of(lab))] for lab in config.columns}
    for part in sources.tables[table]:
        for name in other:
            there = name in part.columns
            names = mapped.setdefault(part.columns[name], []) if there else [other[name]]
            if other[name] not in names:
                names.append(other[name])
    return mapping(table, {lab: names for lab, names in mapped.items() if names})
