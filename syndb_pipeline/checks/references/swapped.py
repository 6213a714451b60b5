"""Two columns of a table that hold each other's keys.

Belongs here: proving it by counts of both ways, and the setting that maps them the other way round.
Does not: single orphans (`orphans`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from syndb_pipeline.base.engine import quote
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.contract.tables import TABLES, Kind
from syndb_pipeline.readers.headers import mapping
from syndb_pipeline.state.row_locations import SourceMap

CODE: Final = "SYN-REL-010"

FEWEST_ROWS: Final = 3
"""Rows below which two columns can look swapped by chance."""

_NEARLY_ALL, _HARDLY_ANY = 0.9, 0.1

_SAMPLE_ROWS: Final = 10_000
"""Rows, about, of a larger table that are asked first, chosen by row number and so always the same:
hardly any columns are swapped.
"""

_SAMPLE_TELLS: Final = 1_000
"""Values in the sample from which on it tells anything."""

_SAMPLE_SLACK: Final = 0.1
"""How far shares of the sample may lie from the bounds for all rows: ten standard deviations of a
share of so many values.
"""

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
    return (
        f"coalesce(count_if({text} IN (SELECT key FROM {rows_of(ids)} WHERE key IS NOT NULL)), 0)"
    )


def _counts(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    counted: str,
    looks_swapped: Callable[[Sequence[int], float], bool],
) -> tuple[int, ...] | None:
    """The counts `counted` of the table in `path`, where they look swapped; a sample that clearly
    does not spares counting all rows.
    """
    rows = f"{rows_of(path, row_number=True)} AS rows"
    (total,) = connection.execute(f"SELECT count(*) FROM {rows}").fetchone() or (0,)
    every = total // _SAMPLE_ROWS
    if every > 1:
        sample = f"{rows} WHERE hash(file_row_number) % {every} = 0"
        if not looks_swapped(
            connection.execute(f"SELECT {counted} FROM {sample}").fetchone() or (), _SAMPLE_SLACK
        ):
            return None
    counts = connection.execute(f"SELECT {counted} FROM {rows}").fetchone() or ()
    return counts if looks_swapped(counts, 0) else None


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
        nearly_all, hardly_any = (_NEARLY_ALL - slack) * rows, (_HARDLY_ANY + slack) * rows
        enough = rows >= FEWEST_ROWS and distinct >= given
        return enough and min(given, other_way) >= nearly_all and as_written <= hardly_any

    counts = _counts(
        connection, path, f"count(*), count(DISTINCT {name}), count({name}), {counted}", turned
    )
    if counts is None:
        return None
    rows, _, _, *found = counts
    target, other_way, as_written = best(found)
    proof = (
        f"as they are, {as_written:,} of {rows:,} rows find their {target}; the other way round,"
        f" {other_way:,} do, and no two have one key"
    )
    return Swap("cid", column, proof)


def reference_and_value(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    path: Path,
    column: str,
    ids: Path,
    present: Iterable[str],
) -> Swap | None:
    """Whether some column of numbers or words holds the keys that `column` lacks; to be asked where
    nearly all of those are orphans.

    `present` are the columns of the table that the files have.
    """
    declared = TABLES[table].columns
    name = quote(column)

    def missing(counts: Sequence[int], slack: float) -> bool:
        given, now = counts
        if slack and given < _SAMPLE_TELLS:
            return True
        return given >= FEWEST_ROWS and now <= (_HARDLY_ANY + slack) * given

    def found(counts: Sequence[int], slack: float) -> bool:
        given, then = counts
        return bool(slack and given < _SAMPLE_TELLS) or then >= (_NEARLY_ALL - slack) * given

    if (counts := _counts(connection, path, f"count({name}), {_held(name, ids)}", missing)) is None:
        return None
    given, now = counts
    for other in present:
        kind = declared[other].kind
        if kind not in (Kind.NUMBER, Kind.INTEGER, Kind.TEXT):
            continue
        text = (
            quote(other)
            if kind is Kind.TEXT
            else (
                f"CASE WHEN {quote(other)} = trunc({quote(other)}) THEN try_cast({quote(other)} AS"
                " HUGEINT)::VARCHAR END"
            )
        )
        if counts := _counts(connection, path, f"count({name}), {_held(text, ids)}", found):
            proof = (
                f"{now:,} of {given:,} values of {column} are keys of the table it points to, and"
                f" {counts[1]:,} of {other}"
            )
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
    """Whether the columns `pair`, which point to `targets`, find their rows the other way round; to
    be asked where one has orphans.

    With `neuron_id` as the second, parent_id seems to point to neurons, and neuron_id holds keys of
    some table that it may point to.
    """
    first, second = pair
    mine, theirs = targets[first], targets[second]
    allowed = TABLES[table].columns
    if second == "neuron_id":
        others = [name for name in allowed[first].targets if name in ids and name != theirs]
    else:
        others = (
            [mine]
            if mine != theirs
            and mine in allowed[second].targets
            and theirs in allowed[first].targets
            else []
        )

    def held(column: str, name: str) -> str:
        return _held(quote(column), ids[name])

    def turned(counts: Sequence[int], slack: float) -> bool:
        firsts, seconds, first_then, second_then, first_now, second_now = counts
        if slack and min(firsts, seconds) < _SAMPLE_TELLS:
            return True
        nearly_all, hardly_any = _NEARLY_ALL - slack, _HARDLY_ANY + slack
        then = first_then >= nearly_all * firsts and second_then >= nearly_all * seconds
        now = first_now <= hardly_any * firsts and second_now <= hardly_any * seconds
        return min(firsts, seconds) >= FEWEST_ROWS and then and now

    for other in others:
        # Found among the neurons is what a neuron_id would be.
        now = "0" if mine == theirs else held(first, mine)
        counted = (
            f"count({quote(first)}), count({quote(second)}), {held(first, theirs)},"
            f" {held(second, other)}, {now}, {held(second, theirs)}"
        )
        if counts := _counts(connection, path, counted, turned):
            firsts, seconds, first_then, second_then, first_now, second_now = counts
            now_found, then_found = first_now + second_now, first_then + second_then
            proof = (
                f"as they are, {now_found:,} of {firsts + seconds:,} keys are where they should be;"
                f" the other way round, {then_found:,}"
            )
            return Swap(first, second, proof)
    return None


def against_anatomy(targets: Mapping[str, str], config: TableConfig) -> Swap | None:
    """A synapse that goes from spines or dendrites to terminals or axons, where the config does not
    say so itself.
    """
    pre, post = targets.get("pre_synapse_id"), targets.get("post_synapse_id")
    if (
        pre in RECEIVING
        and post in SENDING
        and not {"pre_synapse_id", "post_synapse_id"} <= set(config.references)
    ):
        proof = (
            f"pre_synapse_id names rows of {pre}, which receives, and post_synapse_id rows of"
            f" {post}, which sends"
        )
        return Swap("pre_synapse_id", "post_synapse_id", proof, anatomy=True)
    return None


def columns_setting(table: str, config: TableConfig, sources: SourceMap, swap: Swap) -> str:
    """The setting `columns` of the table that maps the two columns the other way round, in the
    lab's names, with what is mapped already.
    """
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
