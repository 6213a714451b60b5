"""Which table a reference column points to.

Belongs here: the choice among the tables that SynDB allows, and the question where it is not clear.
Does not: resolving rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import duckdb

from syndb_pipeline.base.engine import parquet, quote
from syndb_pipeline.base.footers import rows_in
from syndb_pipeline.checks.keys import key_forms
from syndb_pipeline.checks.original_text import examples
from syndb_pipeline.checks.references.relations import Work, allowed_targets
from syndb_pipeline.contract.key_encoding import (
    KEY_JOINT,
    is_number,
    part_of_key,
    rows_of,
    unescaped_key,
)
from syndb_pipeline.contract.tables import Column, Table
from syndb_pipeline.readers.headers import leaving_out
from syndb_pipeline.rules.finding import Example

ENDS: Final = ("pre_synapse_id", "post_synapse_id")
"""The columns of a synapse that point to tables alike."""

_OFFERED: Final = 3
"""Tables that a question names with the setting that chooses each."""

_LOOKED_AT: Final = 100
"""Keys that show whether a lab wrote all of them as a parent and a cid."""

SAMPLE_ROWS: Final = 20_000
"""Rows looked at first, in windows spread over the table: what they show hardly needs the rest."""

_WINDOWS: Final = 50

_HINT: Final = 0.25
"""Share of a sample's rows or keys from which on a second table is counted over all rows. Of a
table sorted by these keys each window is one draw: a share of a half comes out lower than this once
in some 5,000 times.
"""

_NEARLY_ALL: Final = 0.9
"""Share of the keys from which on several tables together may be what a column points to."""

How = Literal["configured", "only", "inferred"]
"""Why a column points to its table: the config says so, the dataset has no other table that it
may point to, or the column's keys say so."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The table chosen, or None with the `reason` why it is not clear and the tables in question,
    the likeliest first.

    `lacks` is one of those that has a good part of the keys, not all. `plain` is one whose keys are
    made of several columns (`key:`), of which the column holds the `cid` alone.
    """

    target: str | None
    reason: str = ""
    how: How = "inferred"
    closest: tuple[str, ...] = ()
    lacks: str | None = None
    plain: str | None = None


@dataclass(frozen=True, slots=True)
class _Counts:
    """Distinct keys and rows of a column, and how many of each every table holds; `plain` by `cid`
    alone.
    """

    keys: int
    rows: int
    held: Mapping[str, tuple[int, int]]
    plain: Mapping[str, tuple[int, int]]

    def has_all(self, name: str) -> bool:
        return self.held[name][0] == self.keys

    def exceeds(self, held: tuple[int, int], share: float) -> bool:
        """Whether more than a `share` of the keys or of the rows is `held`: a few keys may be those
        of most rows.
        """
        return held[0] > share * self.keys or held[1] > share * self.rows


def choose_target(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    column: str,
    candidates: Mapping[str, Path],
    *,
    every_key: bool = False,
    preferred: Collection[str] = (),
    joined: Mapping[str, Sequence[str]] | None = None,
) -> Choice:
    """The one of `candidates` that the keys of a column point to.

    It is the one that holds all keys, or at least half of them, so that the others can be reported
    as orphans: as they are written, else in another writing, else, when none of them is anywhere,
    the only one whose keys look alike. It is not clear where a second table holds more than half of
    the keys or rows, where other tables together hold nearly all keys, or where the keys are plain
    cids of a table whose keys are made of several columns: a few wrong keys must not decide between
    tables that are numbered alike. A column without any key goes to the nearest table.

    Args:
        connection: DuckDB, in which temporary tables and macros are made.
        path: the Parquet of the table that has the column.
        column: the column of references.
        candidates: table -> its `ids` Parquet, the nearest level first.
        every_key: whether only a table that holds all keys of a sample will do.
        preferred: tables that the config names for a column like this one. Where one of them holds
            any of the keys, and another table is chosen, it is not clear.
        joined: table -> the columns that make its key together, for those where several do.
    """
    names = list(candidates)
    if len(names) == 1 and not every_key:
        return Choice(names[0])
    composite = {name: parts for name, parts in (joined or {}).items() if name in candidates}
    sample = _keys(path, column, sampled=True)
    number = is_number(path, column)
    counts = _count(connection, sample, candidates, composite, number=number)
    if rows_in(path) > SAMPLE_ROWS and (hinted := _hinted(counts, preferred)):
        some = {name: candidates[name] for name in names if name in hinted}
        counts = _count(connection, _keys(path, column), some, composite, number=number)
        counts = _Counts(
            counts.keys, counts.rows, dict.fromkeys(names, (0, 0)) | dict(counts.held), counts.plain
        )
    if not counts.keys:
        return Choice(names[0])
    complete = [name for name in names if counts.has_all(name)]
    rivals = [
        name for name in names if counts.has_all(name) or counts.exceeds(counts.held[name], 0.5)
    ]
    plain = next(
        (
            name
            for name in composite
            if name not in rivals and counts.exceeds(counts.plain[name], 0.5)
        ),
        None,
    )
    likely = rivals or [name for name in names if counts.held[name][0] * 2 >= counts.keys]
    if every_key and not complete:
        likely = []
    if len(likely) == 1 and plain is None:
        others = [name for name in names if name != likely[0] and counts.held[name][0]]
        named = [name for name in others if name in preferred]
        together = not named and _together(
            connection, _keys(path, column), counts, {name: candidates[name] for name in others}
        )
        if not named and not together:
            return Choice(likely[0])
        asked = _ordered(names, preferred, [*likely, *(named or others)])
        also = f"; {_and(others)} together have nearly all of them" if together else ""
        return Choice(
            None, _shares(counts, asked) + also, closest=tuple(asked), lacks=_lacking(counts, asked)
        )
    if len(likely) > 1 or plain:
        asked = _ordered(names, preferred, [*likely, *([plain] if plain else [])])
        if plain:
            reason = _plain_reason(
                connection, counts, composite[plain], candidates[plain], plain, likely
            )
        elif len(complete) == len(likely):
            reason = f"all of its keys are in {' and in '.join(asked)}"
        else:
            reason = _shares(counts, asked)
        return Choice(
            None, reason, closest=tuple(asked), lacks=_lacking(counts, likely), plain=plain
        )
    closest = sorted(names, key=lambda name: -counts.held[name][0])
    distinct = f"SELECT k::VARCHAR AS k FROM ({sample})"
    total, some_held = counts.keys, any(keys for keys, _ in counts.held.values())
    whole = {name: candidates[name] for name in composite}
    if not every_key and (
        alike := _unescaped(connection, distinct, whole, total)
        or _most_alike(connection, distinct, candidates, total, some_held)
    ):
        return Choice(alike)
    if not some_held:
        return Choice(
            None, f"none of {' and '.join(names)} holds any of its keys", closest=tuple(closest)
        )
    held = ", ".join(f"{name} {counts.held[name][0]:,}" for name in closest)
    return Choice(
        None,
        f"no table holds all of its keys; of {total:,} looked at, these hold {held}",
        closest=tuple(closest),
    )


def _keys(path: Path, column: str, *, sampled: bool = False) -> str:
    """A query for the distinct keys k of a column, as they are stored, and the rows n of each; of a
    sample if `sampled`.
    """
    rows, where = rows_in(path), ""
    if sampled and rows > SAMPLE_ROWS:
        size = SAMPLE_ROWS // _WINDOWS
        starts = [(rows - size) * window // (_WINDOWS - 1) for window in range(_WINDOWS)]
        # Ranges, of which DuckDB reads only the row groups they lie in.
        windows = " OR ".join(
            f"file_row_number BETWEEN {start} AND {start + size - 1}" for start in starts
        )
        where = f" AND ({windows})"
    source = parquet(path, row_number=bool(where))
    return (
        f"SELECT {quote(column)} AS k, count(*) AS n FROM {source} WHERE {quote(column)} IS NOT"
        f" NULL{where} GROUP BY 1"
    )


def _hinted(counts: _Counts, preferred: Collection[str]) -> set[str]:
    """The tables to be counted over all rows, going by the counts of a sample; none where the
    sample leaves no doubt.
    """
    found = {name for name, held in counts.held.items() if counts.exceeds(held, _HINT)}
    if len(found) < 2 and not any(
        held[0] for name, held in counts.held.items() if name in preferred and name not in found
    ):
        return set()
    return {name for name, held in counts.held.items() if held[0]}


def _count(
    connection: duckdb.DuckDBPyConnection,
    keys: str,
    candidates: Mapping[str, Path],
    composite: Mapping[str, Sequence[str]],
    *,
    number: bool,
) -> _Counts:
    """The counts of `keys`, a query of `_keys` for a column that is stored as a `number`, or as
    text.
    """
    conditions = [_held(ids, number=number) for ids in candidates.values()]
    conditions += [
        f"k::VARCHAR IN (SELECT {_plain('key', composite[name])} FROM {rows_of(candidates[name])})"
        for name in composite
        if name in candidates
    ]
    # Not as conditions of one count: DuckDB would then hold all keys of a candidate, rather than
    # these few.
    held = [
        "(SELECT struct_pack(k := count(*), n := coalesce(sum(n), 0)::BIGINT) FROM keys WHERE"
        f" {each})"
        for each in conditions
    ]
    counted = ", ".join(
        ["(SELECT count(*) FROM keys)", "(SELECT coalesce(sum(n), 0)::BIGINT FROM keys)", *held]
    )
    total, rows, *found = connection.execute(
        f"WITH keys AS MATERIALIZED ({keys}) SELECT {counted}"
    ).fetchone() or (0, 0)
    pairs = [(each["k"], each["n"]) for each in found]
    plain = dict.fromkeys(composite, (0, 0)) | dict(
        zip(
            [name for name in composite if name in candidates],
            pairs[len(candidates) :],
            strict=True,
        )
    )
    return _Counts(total, rows, dict(zip(candidates, pairs[: len(candidates)], strict=True)), plain)


def _held(ids: Path, *, number: bool) -> str:
    """SQL: the id map `ids` has the key k, which is stored as a `number`, or as text. Numbers are
    compared as such where both are some.
    """
    if number and is_number(ids, "key"):
        return f"k IN (SELECT key FROM {parquet(ids)})"
    return f"k::VARCHAR IN (SELECT key FROM {rows_of(ids)})"


def _plain(key: str, parts: Sequence[str]) -> str:
    """SQL: the `cid` alone, of a key that `parts` make together."""
    return part_of_key(key, parts.index("cid"), len(parts))


def _together(
    connection: duckdb.DuckDBPyConnection, keys: str, counts: _Counts, others: Mapping[str, Path]
) -> bool:
    """Whether the tables `others`, none of which holds most keys, hold nearly all of them
    together.
    """
    if len(others) < 2 or sum(counts.held[name][0] for name in others) < _NEARLY_ALL * counts.keys:
        return False
    every = " UNION ALL ".join(f"SELECT key FROM {rows_of(ids)}" for ids in others.values())
    (held,) = connection.execute(
        f"SELECT count(*) FROM ({keys}) WHERE k::VARCHAR IN ({every})"
    ).fetchone() or (0,)
    return int(held) >= _NEARLY_ALL * counts.keys


def _ordered(names: Sequence[str], preferred: Collection[str], asked: Collection[str]) -> list[str]:
    """The tables `asked` about: those that the config names for the other end, then the nearest
    level first.
    """
    return sorted(asked, key=lambda name: (name not in preferred, names.index(name)))


def _lacking(counts: _Counts, asked: Iterable[str]) -> str | None:
    """The nearest of the tables `asked` about that lacks some keys."""
    return next((name for name in asked if not counts.has_all(name)), None)


def _shares(counts: _Counts, asked: Collection[str]) -> str:
    """How many rows each of the tables `asked` about has the keys of, those of most first."""
    told: list[str] = []
    none = "" if any(counts.has_all(name) for name in asked) else "no table holds all of its keys; "
    for name in sorted(asked, key=lambda name: -counts.held[name][1]):
        if not told:
            whole = (
                f"all {counts.rows:,} rows"
                if counts.has_all(name)
                else f"{counts.held[name][1]:,} of {counts.rows:,} rows"
            )
            told.append(f"{name} has the keys of {whole}")
        else:
            told.append(
                f"{name} those of {'all' if counts.has_all(name) else f'{counts.held[name][1]:,}'}"
            )
    return none + ", ".join(told)


def _plain_reason(
    connection: duckdb.DuckDBPyConnection,
    counts: _Counts,
    parts: Sequence[str],
    ids: Path,
    name: str,
    likely: Collection[str],
) -> str:
    rows = connection.execute(
        f"SELECT key FROM {rows_of(ids)} WHERE key IS NOT NULL LIMIT 2"
    ).fetchall()
    written = (
        f"keys of {name} are written {KEY_JOINT.join(parts)} here, e.g."
        f" {' and '.join(repr(key) for (key,) in rows)}"
    )
    plain = f"{name} has {counts.plain[name][1]:,} of {counts.rows:,} as plain cids, but {written}"
    return f"{_shares(counts, likely)}; {plain}" if likely else plain


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _unescaped(
    connection: duckdb.DuckDBPyConnection, sample: str, composite: Mapping[str, Path], total: int
) -> str | None:
    """The only one of the tables `composite`, whose keys are made of several columns, that holds
    half of the sample but for backslashes.
    """
    most = []
    for name, ids in composite.items():
        keys = f"SELECT {unescaped_key('key')} FROM {rows_of(ids)} WHERE key IS NOT NULL"
        (count,) = connection.execute(
            f"SELECT count(*) FROM ({sample}) WHERE k IN ({keys})"
        ).fetchone() or (0,)
        most += [name] if count * 2 >= total else []
    return most[0] if len(most) == 1 else None


def _most_alike(
    connection: duckdb.DuckDBPyConnection,
    sample: str,
    candidates: Mapping[str, Path],
    total: int,
    some_held: bool,
) -> str | None:
    """The only candidate that holds half of the sample in another writing, or whose keys have its
    shape, e.g. n12 and n7.
    """
    key_forms.prepare(connection)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE sampled AS {key_forms.with_form(sample, 'k')}"
    )
    counts = {}
    for name, ids in candidates.items():
        forms = (
            "SELECT form FROM"
            f" ({key_forms.with_form(f'SELECT key FROM {rows_of(ids)} WHERE key IS NOT NULL', 'key')})"
        )
        (counts[name],) = connection.execute(
            f"SELECT count(*) FROM sampled WHERE form <> '' AND form IN ({forms})"
        ).fetchone() or (0,)
    if not some_held and not any(counts.values()):
        for name, ids in candidates.items():
            shapes = (
                f"SELECT key_shape(key) FROM (SELECT key FROM {rows_of(ids)} WHERE key IS NOT NULL"
                f" LIMIT {SAMPLE_ROWS})"
            )
            (counts[name],) = connection.execute(
                f"SELECT count(*) FROM sampled WHERE key_shape(k) IN ({shapes})"
            ).fetchone() or (0,)
    most = [name for name, count in counts.items() if count * 2 >= total]
    return most[0] if len(most) == 1 else None


def joined_keys(work: Work) -> dict[str, Sequence[str]]:
    """What makes a key together, by table: the columns that the config names, or a parent and a cid
    where the lab wrote keys like 1:5.
    """
    joined: dict[str, Sequence[str]] = {}
    for name, ids in work.ids.items():
        if parts := work.context.config.tables[name].key:
            joined[name] = parts
        elif not is_number(ids, "key"):
            keys, alike = work.connection.execute(f"""SELECT count(*), count_if(regexp_full_match(key,
                      '[^{KEY_JOINT}]+{KEY_JOINT}[^{KEY_JOINT}]+'))
                    FROM (SELECT key FROM {rows_of(ids)} WHERE key IS NOT NULL LIMIT
                      {_LOOKED_AT})""").fetchone() or (0, 0)
            if keys and keys == alike:
                joined[name] = ("parent", "cid")
    return joined


def target_of(work: Work, table: Table, column: Column, path: Path) -> Choice | None:
    """The table that `column` points to, or that it is not clear; None, with a finding where that
    is wrong, where no table will do.
    """
    if table.name in work.swaps and column.name == work.swaps[table.name].second:
        return None
    config = work.context.config.tables[table.name]
    asked = config.parent if column.name == "parent_id" else config.references.get(column.name)
    allowed = allowed_targets(config, column)
    candidates = {
        name: work.ids[name] for name in allowed if name in work.ids and name not in work.swaps
    }
    configured = work.context.config.tables
    unreadable = any(
        name in configured and name not in candidates for name in allowed
    )  # told already: by ingest, or as swapped columns
    if candidates:
        other_end = [
            name for end, name in config.references.items() if {end, column.name} == set(ENDS)
        ]
        choice = choose_target(
            work.connection,
            path,
            column.name,
            candidates,
            every_key=unreadable,
            preferred=other_end,
            joined=work.joined,
        )
        if choice.target is None:
            return None if unreadable else choice
        return replace(
            choice, how="configured" if asked else "only" if len(candidates) == 1 else "inferred"
        )
    if not unreadable and (len(configured) > 1 or column.required):
        lab = work.sources.tables[table.name][0].columns.get(column.name, column.name)
        advice = (
            "Add the table, or leave the column out:"
            f" {leaving_out(table.name, config, lab, column.name)}."
        )
        if column.required:
            advice = (
                f"Add the table of {' or '.join(allowed)} whose rows these keys name; {table.name}"
                " cannot do without the column."
            )
        others = [name for name in column.targets if name in configured]
        if asked is not None and others:
            key = (
                f"parent: {others[0]}"
                if column.name == "parent_id"
                else f"references: {{{column.name}: {others[0]}}}"
            )
            advice = (
                f"Add the table, or if the column points to {others[0]}, say so:"
                f" `tables.{table.name}.{key}`."
            )
        work.findings.append(
            work.context.finding(
                "SYN-REL-005",
                table=table.name,
                column=column.name,
                examples=_first_cells(work, table, path, column),
                targets=" or ".join(allowed),
                advice=advice,
            )
        )
    return None


def ask(
    work: Work, table: Table, path: Path, column: Column, unclear: Mapping[str, Choice]
) -> None:
    """SYN-REL-004 for `column`, one of the columns of `table` of which it is `unclear` to which
    table they point.
    """
    choice, config = unclear[column.name], work.context.config.tables[table.name]
    settings = []
    for target in choice.closest[:_OFFERED]:
        if column.name == "parent_id":
            settings.append(f"`tables.{table.name}.parent: {target}`")
        else:
            # One line for all columns: the line of a second finding would replace that of the
            # first.
            chosen = {
                name: each.closest[0] for name, each in unclear.items() if name != "parent_id"
            }
            listed = ", ".join(
                f"{name}: {each}"
                for name, each in (config.references | chosen | {column.name: target}).items()
            )
            settings.append(f"`tables.{table.name}.references: {{{listed}}}`")
    advice = f"Choose one: {' or '.join(settings)}."
    if choice.plain:
        advice += (
            f" Where it is {choice.plain}, write the whole keys of {choice.plain} into"
            f" {column.name}: its plain cids name none."
        )
    work.findings.append(
        work.context.finding(
            "SYN-REL-004",
            table=table.name,
            column=column.name,
            examples=_first_cells(
                work, table, path, column, work.ids[choice.lacks] if choice.lacks else None
            ),
            reason=choice.reason,
            advice=advice,
        )
    )


def _first_cells(
    work: Work, table: Table, path: Path, column: Column, lacking: Path | None = None
) -> list[Example]:
    """The first cells of `column`, those before the others that name something, as examples of a
    finding about the whole column.

    With `lacking`, only cells whose keys are not in that id map.
    """
    cell = quote(column.name)
    where = (
        f"WHERE {cell} NOT IN (SELECT key FROM {rows_of(lacking)} WHERE key IS NOT NULL)"
        if lacking
        else ""
    )
    rows = work.connection.execute(
        f"SELECT file_row_number, {cell} FROM {rows_of(path, row_number=True)} {where} ORDER BY"
        f" {cell} IS NULL, 1 LIMIT 2"
    ).fetchall()
    return examples(
        work.connection,
        work.context,
        work.sources,
        table.name,
        [(row, column.name, value) for row, value in rows],
    )
