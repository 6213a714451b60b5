"""Two columns of a table that hold each other's keys.

Belongs here: proving it by counts of both ways, and the setting that maps them the other way round. Does not: single orphans (`orphans`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from syndb_pipeline.contract.tables import TABLES, Kind
from syndb_pipeline.engine import quote
from syndb_pipeline.readers.headers import yaml_word
from syndb_pipeline.sources import SourceMap
from syndb_pipeline.stored_keys import rows_of
from syndb_pipeline.table_settings import TableConfig

CODE: Final = "SYN-REL-010"

FEWEST_ROWS: Final = 3
"""Rows below which two columns can look swapped by chance."""

_NEARLY_ALL, _HARDLY_ANY = 0.9, 0.1

SENDING: Final = ("pre_synaptic_terminal", "axon")
RECEIVING: Final = ("dendritic_spine", "dendrite")
"""Components by the side of a synapse they lie on."""


@dataclass(frozen=True, slots=True)
class Swap:
    """Columns `first` and `second` read the other way round: `proof` says in counts why."""

    first: str
    second: str
    proof: str
    anatomy: bool = False  # all keys are found, and only their sides speak against them


def _held(text: str, ids: Path) -> str:
    """SQL: how many rows hold in `text` one of the keys in `ids`."""
    return f"coalesce(count_if({text} IN (SELECT key FROM {rows_of(ids)} WHERE key IS NOT NULL)), 0)"


def key_and_reference(connection: duckdb.DuckDBPyConnection, path: Path, column: str, ids: Mapping[str, Path]) -> Swap | None:
    """Whether `cid` holds the keys of other rows and `column` those of the rows; `ids` are the keys of the tables it may point to.

    To be asked where cid repeats: there it is certain that one of the two is no key of its row.
    """
    if not ids:
        return None
    name = quote(column)
    counted = ", ".join(f"{_held('cid', file)}, {_held(name, file)}" for file in ids.values())
    rows, distinct, given, *found = connection.execute(
        f"SELECT count(*), count(DISTINCT {name}), count({name}), {counted} FROM {rows_of(path)}"
    ).fetchone() or (0, 0, 0)
    if rows < FEWEST_ROWS or distinct < given or given < _NEARLY_ALL * rows:
        return None
    by_table = zip(ids, found[::2], found[1::2], strict=True)
    target, other_way, as_written = max(by_table, key=lambda counts: counts[1])
    if other_way < _NEARLY_ALL * rows or as_written > _HARDLY_ANY * rows:
        return None
    proof = (
        f"as they are, {as_written:,} of {rows:,} rows find their {target}; the other way round, {other_way:,} do, and no two have one key"
    )
    return Swap("cid", column, proof)


def reference_and_value(
    connection: duckdb.DuckDBPyConnection, table: str, path: Path, column: str, ids: Path, present: Iterable[str]
) -> Swap | None:
    """Whether some column of numbers or words holds the keys that `column` lacks; to be asked where nearly all of those are orphans.

    `present` are the columns of the table that the files have.
    """
    declared = TABLES[table].columns
    name = quote(column)
    given, now = connection.execute(f"SELECT count({name}), {_held(name, ids)} FROM {rows_of(path)}").fetchone() or (0, 0)
    if given < FEWEST_ROWS or now > _HARDLY_ANY * given:
        return None
    for other in present:
        kind = declared[other].kind
        if kind not in (Kind.NUMBER, Kind.INTEGER, Kind.TEXT):
            continue
        text = (
            quote(other)
            if kind is Kind.TEXT
            else f"CASE WHEN {quote(other)} = trunc({quote(other)}) THEN try_cast({quote(other)} AS HUGEINT)::VARCHAR END"
        )
        (then,) = connection.execute(f"SELECT {_held(text, ids)} FROM {rows_of(path)}").fetchone() or (0,)
        if then >= _NEARLY_ALL * given:
            proof = f"{now:,} of {given:,} values of {column} are keys of the table it points to, and {then:,} of {other}"
            return Swap(column, other, proof)
    return None


def two_references(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    path: Path,
    targets: Mapping[str, str],
    ids: Mapping[str, Path],
    pair: tuple[str, str],
) -> Swap | None:
    """Whether the columns `pair`, which point to `targets`, find their rows the other way round; to be asked where one has orphans.

    With `neuron_id` as the second, parent_id seems to point to neurons, and neuron_id holds keys of some table that it may point to.
    """
    first, second = pair
    mine, theirs = targets[first], targets[second]
    allowed = TABLES[table].columns
    if second == "neuron_id":
        others = [name for name in allowed[first].targets if name in ids and name != theirs]
    else:
        others = [mine] if mine != theirs and mine in allowed[second].targets and theirs in allowed[first].targets else []

    def held(column: str, name: str) -> str:
        return _held(quote(column), ids[name])

    for other in others:
        counted = f"count({quote(first)}), count({quote(second)}), {held(first, theirs)}, {held(second, other)}, {held(second, theirs)}"
        firsts, seconds, first_then, second_then, second_now, first_now = connection.execute(
            f"SELECT {counted}, {held(first, mine)} FROM {rows_of(path)}"
        ).fetchone() or (0, 0, 0, 0, 0, 0)
        if mine == theirs:
            first_now = 0  # found among the neurons is what a neuron_id would be
        turned = first_then >= _NEARLY_ALL * firsts and second_then >= _NEARLY_ALL * seconds
        if min(firsts, seconds) >= FEWEST_ROWS and turned and first_now <= _HARDLY_ANY * firsts and second_now <= _HARDLY_ANY * seconds:
            total, now, then = firsts + seconds, first_now + second_now, first_then + second_then
            proof = f"as they are, {now:,} of {total:,} keys are where they should be; the other way round, {then:,}"
            return Swap(first, second, proof)
    return None


def against_anatomy(targets: Mapping[str, str], config: TableConfig) -> Swap | None:
    """A synapse that goes from spines or dendrites to terminals or axons, where the config does not say so itself."""
    pre, post = targets.get("pre_synapse_id"), targets.get("post_synapse_id")
    if pre in RECEIVING and post in SENDING and not {"pre_synapse_id", "post_synapse_id"} <= set(config.references):
        proof = f"pre_synapse_id names rows of {pre}, which receives, and post_synapse_id rows of {post}, which sends"
        return Swap("pre_synapse_id", "post_synapse_id", proof, anatomy=True)
    return None


def columns_setting(table: str, config: TableConfig, sources: SourceMap, swap: Swap) -> str:
    """`tables.<table>.columns: {...}` that maps the two columns the other way round, in the lab's names, with what is mapped already."""
    other = {swap.first: swap.second, swap.second: swap.first}
    mapped = {lab: name for lab, name in config.columns.items() if _meant(table, name) not in other}
    for part in sources.tables[table]:
        mapped |= {part.columns[name]: other[name] for name in other if name in part.columns}
    listed = ", ".join(f"{yaml_word(lab)}: {name}" for lab, name in mapped.items())
    return f"tables.{table}.columns: {{{listed}}}"


def _meant(table: str, name: str) -> str:
    column = TABLES[table].column(name)
    return column.name if column else name
