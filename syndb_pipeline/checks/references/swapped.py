"""Two columns of a table that hold each other's keys.

Belongs here: proving it by counts of both ways, and the setting that maps them the other way round.
Does not: single orphans (`orphans`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb

from syndb_pipeline.base.engine import literal, quote, rows_in
from syndb_pipeline.checks.references.relations import Swap, Work, say, target_setting
from syndb_pipeline.checks.references.search import CODES as ORPHANS
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.key_encoding import keys_of, rows_of
from syndb_pipeline.contract.tables import ENDS, TABLES, Kind
from syndb_pipeline.readers.headers import mapping
from syndb_pipeline.rules.catalogue import codes_explained_by
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.tables import contract_columns

CODE: Final = "SYN-REL-010"

_CONSEQUENCES: Final = codes_explained_by(CODE)
"""Rules that columns which hold each other's keys break as a consequence."""

_FEWEST_ROWS: Final = 3
"""Rows below which two columns can look swapped by chance."""

_NEARLY_ALL, _HARDLY_ANY = 0.9, 0.1

_SAMPLE_ROWS: Final = 10_000
"""Rows, about, of a larger table that are asked first, chosen by row number and so always the same:
hardly any columns are swapped."""

_ENOUGH: Final = 1_000
"""Values in the sample from which on it says anything."""

_SAMPLE_SLACK: Final = 0.1
"""How far shares of the sample may be from the bounds for all rows: ten standard deviations of a
share of so many values."""

SENDING: Final = ("pre_synaptic_terminal", "axon")
RECEIVING: Final = ("dendritic_spine", "dendrite")
"""Components by the side of a synapse they are on."""


def _held(text: str, ids: Path) -> str:
    """SQL: how many rows hold in `text` one of the keys in `ids`."""
    return f"coalesce(count_if({text} IN (SELECT key FROM {keys_of(ids)})), 0)"


def _counts(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    counted: str,
    looks_swapped: Callable[[Sequence[int], float], bool],
) -> tuple[int, ...] | None:
    """The counts `counted` of the table in `path`, where they look swapped; a sample that clearly
    does not spares counting all rows."""
    rows = f"{rows_of(path, row_number=True)} AS rows"
    every = rows_in(path) // _SAMPLE_ROWS
    if every > 1:
        [sampled] = connection.execute(
            f"SELECT {counted} FROM {rows} WHERE hash(file_row_number) % {every} = 0"
        ).fetchall()
        if not looks_swapped(sampled, _SAMPLE_SLACK):
            return None
    [counts] = connection.execute(f"SELECT {counted} FROM {rows}").fetchall()
    return counts if looks_swapped(counts, 0) else None


def _too_few(slack: float, *given: int) -> bool:
    """Whether a sample has too few values to say anything."""
    return bool(slack) and min(given) < _ENOUGH


def key_and_reference(
    connection: duckdb.DuckDBPyConnection, path: Path, column: str, ids: Mapping[str, Path]
) -> Swap | None:
    """Whether `cid` holds the keys of other rows and `column` those of the rows; `ids` are the keys
    of the tables it may point to.

    To be asked where cid repeats: there it is certain that one of the two is no key of its row.
    """
    if not ids:
        return None
    name = quote(column)
    counted = ", ".join(f"{_held('cid', file)}, {_held(name, file)}" for file in ids.values())

    def best(found: Sequence[int]) -> tuple[str, int, int]:
        return max(zip(ids, found[::2], found[1::2], strict=True), key=lambda counts: counts[1])

    def turned(counts: Sequence[int], slack: float) -> bool:
        rows, distinct, given, *found = counts
        _, other_way, as_written = best(found)
        enough = rows >= _FEWEST_ROWS and distinct >= given
        return (
            enough
            and min(given, other_way) >= (_NEARLY_ALL - slack) * rows
            and as_written <= (_HARDLY_ANY + slack) * rows
        )

    counts = _counts(
        connection, path, f"count(*), count(DISTINCT {name}), count({name}), {counted}", turned
    )
    if counts is None:
        return None
    rows, _, _, *found = counts
    target, other_way, as_written = best(found)
    proof = say("swapped_key", now=as_written, rows=rows, target=target, then=other_way)
    return Swap("cid", column, proof)


def _reference_and_value(work: Work, table: str, column: str) -> Swap | None:
    """Whether some column of numbers or words holds the keys that `column` lacks; to be asked where
    nearly all of those are orphans."""
    path, ids, name = work.tables[table], work.ids[work.targets[table, column]], quote(column)

    def missing(counts: Sequence[int], slack: float) -> bool:
        given, now = counts
        enough = given >= _FEWEST_ROWS and now <= (_HARDLY_ANY + slack) * given
        return _too_few(slack, given) or enough

    def found(counts: Sequence[int], slack: float) -> bool:
        given, then = counts
        return _too_few(slack, given) or then >= (_NEARLY_ALL - slack) * given

    counts = _counts(work.connection, path, f"count({name}), {_held(name, ids)}", missing)
    if counts is None:
        return None
    given, now = counts
    for other, declared in contract_columns(table, path).items():
        text = quote(other)
        if declared.kind in (Kind.NUMBER, Kind.INTEGER):
            whole = f"try_cast({text} AS HUGEINT)::VARCHAR"
            text = f"CASE WHEN {text} = trunc({text}) THEN {whole} END"
        elif declared.kind is not Kind.TEXT:
            continue
        if counts := _counts(work.connection, path, f"count({name}), {_held(text, ids)}", found):
            facts = {"now": now, "given": given, "column": column, "then": counts[1]}
            return Swap(column, other, say("swapped_value", other=other, **facts))
    return None


def _two_references(work: Work, table: str, pair: tuple[str, str]) -> Swap | None:
    """Whether the columns `pair` find their rows the other way round; to be asked where one has
    orphans.

    With `neuron_id` as the second, parent_id seems to point to neurons, and neuron_id holds keys of
    some table that it may point to.
    """
    (first, second), targets = pair, work.targets_of(table)
    mine, theirs = targets[first], targets[second]
    allowed = {column: TABLES[table].columns[column].targets for column in pair}
    if second == "neuron_id":
        others = [name for name in allowed[first] if name in work.ids and name != theirs]
    elif mine != theirs and mine in allowed[second] and theirs in allowed[first]:
        others = [mine]
    else:
        others = []

    def held(column: str, name: str) -> str:
        return _held(quote(column), work.ids[name])

    def turned(counts: Sequence[int], slack: float) -> bool:
        firsts, seconds, first_then, second_then, first_now, second_now = counts
        if _too_few(slack, firsts, seconds):
            return True
        nearly_all, hardly_any = _NEARLY_ALL - slack, _HARDLY_ANY + slack
        then = first_then >= nearly_all * firsts and second_then >= nearly_all * seconds
        now = first_now <= hardly_any * firsts and second_now <= hardly_any * seconds
        return min(firsts, seconds) >= _FEWEST_ROWS and then and now

    for other in others:
        # Found among the neurons is what a neuron_id would be.
        now = "0" if mine == theirs else held(first, mine)
        given = f"count({quote(first)}), count({quote(second)})"
        then = f"{held(first, theirs)}, {held(second, other)}"
        counted = f"{given}, {then}, {now}, {held(second, theirs)}"
        if counts := _counts(work.connection, work.tables[table], counted, turned):
            sums = {
                name: counts[at] + counts[at + 1]
                for name, at in (("keys", 0), ("then", 2), ("now", 4))
            }
            return Swap(first, second, say("swapped_references", **sums))
    return None


def _against_anatomy(work: Work, table: str) -> Swap | None:
    """A synapse that goes from spines or dendrites to terminals or axons, where the config does not
    say so itself."""
    pre, post = (work.targets.get((table, end)) for end in ENDS)
    configured = work.context.config.tables[table].references
    if pre not in RECEIVING or post not in SENDING or set(ENDS) <= set(configured):
        return None
    return Swap(ENDS[0], ENDS[1], say("swapped_ends", pre=pre, post=post), anatomy=True)


def find(work: Work) -> None:
    """Fill the swaps of `work`, and report SYN-REL-010 in place of the orphans of their columns,
    for all rows of their table."""
    lost = set(work.fetch(f"SELECT DISTINCT tbl, col FROM failures WHERE code IN {ORPHANS}"))
    for name in work.tables:
        columns = {column for table, column in lost if table == name}
        if name not in work.swaps and (swap := _find(work, name, columns)):
            work.swaps[name] = swap
    for name, swap in work.swaps.items():
        work.connection.execute(
            f"""DELETE FROM failures WHERE code IN {_CONSEQUENCES} AND tbl = {literal(name)}
                AND (code = 'SYN-REL-006' OR col IN {(swap.first, swap.second)})"""
        )
        first, second = quote(swap.first), quote(swap.second)
        rows = rows_of(work.tables[name], row_number=True)
        cells = f"SELECT file_row_number AS row, {first} AS value FROM {rows}"
        cells += f" WHERE {first} IS NOT NULL OR {second} IS NOT NULL"
        work.fail(CODE, name, swap.first, cells)


def _find(work: Work, table: str, lost: set[str]) -> Swap | None:
    """The columns of a table, of which those of `lost` have orphans, that hold each other's
    keys."""
    targets = work.targets_of(table)
    for pair in (ENDS, ("parent_id", "neuron_id")):
        asked = set(pair) <= set(targets) and lost & set(pair)
        if asked and (swap := _two_references(work, table, pair)):
            return swap
    if TABLES[table].reached_by_ends and (swap := _against_anatomy(work, table)):
        return swap
    found = (_reference_and_value(work, table, column) for column in targets if column in lost)
    return next((swap for swap in found if swap), None)


def describe(work: Work, table: str) -> dict[str, Any]:
    """What the sentences of SYN-REL-010 about a table name."""
    swap, config = work.swaps[table], work.context.config.tables[table]
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
    mapped = {
        lab: [name for name in config.names_of(lab) if _meant(table, name) not in other]
        for lab in config.columns
    }
    for part in sources.tables[table]:
        for name in other:
            names = (
                mapped.setdefault(part.columns[name], []) if name in part.columns else [other[name]]
            )
            if other[name] not in names:
                names.append(other[name])
    return mapping(table, {lab: names for lab, names in mapped.items() if names})


def _meant(table: str, name: str) -> str:
    column = TABLES[table].column(name)
    return column.name if column else name
