"""Which table a reference column points to.

Belongs here: the choice among the tables that SynDB allows, and the question where it is not clear.
Does not: resolving rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import duckdb

from syndb_pipeline.base.engine import parquet, quote, rows_in
from syndb_pipeline.checks.dataset import Asking
from syndb_pipeline.checks.references import search
from syndb_pipeline.checks.references.relations import (
    Work,
    allowed_targets,
    configured_target,
    say,
    target_setting,
)
from syndb_pipeline.contract.key_encoding import (
    KEY_JOINT,
    is_number,
    keys_of,
    part_of_key,
)
from syndb_pipeline.contract.tables import Column, Table
from syndb_pipeline.readers.headers import leaving_out

_OFFERED: Final = 3
"""Tables that a question names with the setting that chooses each."""

SAMPLE_ROWS: Final = 20_000
"""Rows looked at first, in windows spread over the table: what they show hardly needs the rest."""

_WINDOWS: Final = 50

_HINT: Final = 0.25
"""Share of a sample's rows or keys from which on a second table is counted over all rows. Of a
table sorted by these keys each window is one draw: a share of a half comes out lower than this once
in some 5,000 times."""

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
    alone."""

    keys: int
    rows: int
    held: Mapping[str, tuple[int, int]]
    plain: Mapping[str, tuple[int, int]]

    def has_all(self, name: str) -> bool:
        return self.held[name][0] == self.keys

    def exceeds(self, held: tuple[int, int], share: float) -> bool:
        """Whether more than a `share` of the keys or of the rows is `held`: a few keys may be those
        of most rows."""
        return held[0] > share * self.keys or held[1] > share * self.rows

    def shares(self, asked: Collection[str]) -> str:
        """How many rows each of the tables `asked` about has the keys of, those of most first."""
        first, *others = sorted(asked, key=lambda name: -self.held[name][1])
        none = "" if any(map(self.has_all, asked)) else "no table holds all of its keys; "
        rows = f"all {self.rows:,}" if self.has_all(first) else self._of_rows(first)
        those = [
            f", {name} those of {'all' if self.has_all(name) else f'{self.held[name][1]:,}'}"
            for name in others
        ]
        return f"{none}{first} has the keys of {rows} rows{''.join(those)}"

    def _of_rows(self, name: str) -> str:
        return f"{self.held[name][1]:,} of {self.rows:,}"


@dataclass
class _Pointing(Asking):
    """The column of references, in the Parquet at `path`, and the id maps of the tables it may
    point to, the nearest level first.

    `joined` gives the columns that make the key of a table together, for those of them where
    several do.
    """

    path: Path
    column: str
    candidates: Mapping[str, Path]
    joined: Mapping[str, Sequence[str]]

    def keys(self, *, sampled: bool = False) -> str:
        """A query for the distinct keys k of the column, as they are stored, and the rows n of
        each; of a sample if `sampled`."""
        rows, windows, name = rows_in(self.path), "TRUE", quote(self.column)
        if sampled and rows > SAMPLE_ROWS:
            size = SAMPLE_ROWS // _WINDOWS
            starts = [(rows - size) * window // (_WINDOWS - 1) for window in range(_WINDOWS)]
            # Ranges, of which DuckDB reads only the row groups they are in.
            windows = " OR ".join(
                f"file_row_number BETWEEN {start} AND {start + size - 1}" for start in starts
            )
        source = parquet(self.path, row_number=windows != "TRUE")
        return (
            f"SELECT {name} AS k, count(*) AS n FROM {source} "
            f"WHERE {name} IS NOT NULL AND ({windows}) GROUP BY 1"
        )

    def counts(self, keys: str, tables: Collection[str]) -> _Counts:
        """The counts of `keys`, a query of `keys()`, of which `tables` may hold some."""
        joined = [name for name in self.joined if name in tables]
        plain = [
            f"k::VARCHAR IN (SELECT {self._plain(name)} FROM {keys_of(self.candidates[name])})"
            for name in joined
        ]
        # Not as conditions of one count: DuckDB would then hold all keys of a candidate, rather
        # than these few.
        asked = ", ".join(
            f"(SELECT [count(*), coalesce(sum(n), 0)::BIGINT] FROM keys WHERE {each})"
            for each in ["TRUE", *map(self._held, tables), *plain]
        )
        (keys_, rows), *found = self.row(f"WITH keys AS MATERIALIZED ({keys}) SELECT {asked}")
        pairs = [(keys_held, rows_held) for keys_held, rows_held in found]
        none = dict.fromkeys(self.candidates, (0, 0))
        return _Counts(
            keys_,
            rows,
            none | dict(zip(tables, pairs, strict=False)),
            none | dict(zip(joined, pairs[len(tables) :], strict=True)),
        )

    def _held(self, name: str) -> str:
        """SQL: the table has the key k. Numbers are compared as such where the keys of both are
        some."""
        ids = self.candidates[name]
        if is_number(self.path, self.column) and is_number(ids, "key"):
            return f"k IN (SELECT key FROM {parquet(ids)})"
        return f"k::VARCHAR IN (SELECT key FROM {keys_of(ids)})"

    def _plain(self, name: str) -> str:
        """SQL: the `cid` alone, of a key of the table that several columns make together."""
        return part_of_key("key", self.joined[name].index("cid"), len(self.joined[name]))

    def first_counts(self) -> _Counts:
        """The counts of a sample, or of all rows where it leaves a doubt, of the tables that it
        shows."""
        counts = self.counts(self.keys(sampled=True), self.candidates)
        if rows_in(self.path) <= SAMPLE_ROWS:
            return counts
        found = [name for name, held in counts.held.items() if held[0]]
        many = [name for name in found if counts.exceeds(counts.held[name], _HINT)]
        return counts if len(many) < 2 else self.counts(self.keys(), found)

    def plain_reason(self, counts: _Counts, name: str) -> str:
        """That the column holds plain cids of a table whose keys are made of several columns."""
        keys = self.fetch(f"SELECT key FROM {keys_of(self.candidates[name])} LIMIT 2")
        return say(
            "plain_cids",
            table=name,
            rows=counts.plain[name][1],
            all_rows=counts.rows,
            joined=KEY_JOINT.join(self.joined[name]),
            examples=" and ".join(repr(key) for (key,) in keys),
        )

    def alike(self, keys: int) -> str | None:
        """The only table that holds half of a sample of so many keys in another writing."""
        search.prepare(self.connection)
        distinct = f"SELECT k::VARCHAR AS k FROM ({self.keys(sampled=True)})"
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE sampled AS {search.with_form(distinct, 'k')}"
        )
        most = []
        for name, ids in self.candidates.items():
            theirs = search.with_form(f"SELECT key FROM {keys_of(ids)}", "key")
            held = f"nullif(form, '') IN (SELECT form FROM ({theirs}))"
            if self.count(f"FROM sampled WHERE {held}") * 2 >= keys:
                most.append(name)
        return most[0] if len(most) == 1 else None


def choose_target(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    column: str,
    candidates: Mapping[str, Path],
    *,
    every_key: bool = False,
    joined: Mapping[str, Sequence[str]] | None = None,
) -> Choice:
    """The one of `candidates` that the keys of a column point to.

    It is the one that holds all keys, or at least half of them, so that the others can be reported
    as orphans: as they are written, else in another writing. It is not clear where a second table
    holds more than half of the keys or rows, or where the keys are plain cids of a table whose keys
    are made of several columns: a few wrong keys must not decide between tables that are numbered
    alike. A column without any key goes to the nearest table.

    Args:
        connection: DuckDB, in which temporary tables and macros are made.
        path: the Parquet of the table that has the column.
        column: the column of references.
        candidates: table -> its `ids` Parquet, the nearest level first.
        every_key: whether only a table that holds all keys of a sample will do.
        joined: table -> the columns that make its key together, for those where several do.
    """
    names = list(candidates)
    if len(names) == 1 and not every_key:
        return Choice(names[0])
    composite = {name: parts for name, parts in (joined or {}).items() if name in candidates}
    pointing = _Pointing(connection, path, column, candidates, composite)
    counts = pointing.first_counts()
    if not counts.keys:
        return Choice(names[0])
    held = counts.held

    def unclear(asked: Sequence[str], reason: str, plain: str | None = None) -> Choice:
        lacks = next((name for name in asked if name != plain and not counts.has_all(name)), None)
        closest = sorted(asked, key=names.index)
        return Choice(None, reason, closest=tuple(closest), lacks=lacks, plain=plain)

    complete = [name for name in names if counts.has_all(name)]
    rivals = [name for name in names if counts.has_all(name) or counts.exceeds(held[name], 0.5)]
    plain = next(
        (
            name
            for name in composite
            if name not in rivals and counts.exceeds(counts.plain[name], 0.5)
        ),
        None,
    )
    likely = rivals or [name for name in names if held[name][0] * 2 >= counts.keys]
    if every_key and not complete:
        likely = []
    if plain:
        reasons = [counts.shares(likely)] if likely else []
        reason = "; ".join([*reasons, pointing.plain_reason(counts, plain)])
        return unclear([*likely, plain], reason, plain)
    if len(likely) == 1:
        return Choice(likely[0])
    if likely:
        every = say("all_keys_in_each", tables=" and in ".join(likely))
        return unclear(likely, every if len(complete) == len(likely) else counts.shares(likely))
    some_held = any(keys for keys, _ in held.values())
    if not every_key and (alike := pointing.alike(counts.keys)):
        return Choice(alike)
    closest = sorted(names, key=lambda name: -held[name][0])
    reason = say("keys_in_none", tables=" and ".join(names))
    if some_held:
        shown = ", ".join(f"{name} {held[name][0]:,}" for name in closest)
        reason = say("some_keys_in_each", keys=counts.keys, held=shown)
    return Choice(None, reason, closest=tuple(closest))


def target_of(work: Work, table: Table, column: Column) -> Choice | None:
    """The table that `column` points to, or that it is not clear; None, with a finding where that
    is wrong, where no table will do."""
    if table.name in work.swaps and column.name == work.swaps[table.name].second:
        return None
    configured, config = work.context.config.tables, work.config(table.name)
    asked, allowed = configured_target(config, column.name), allowed_targets(config, column)
    candidates = {
        name: work.ids[name] for name in allowed if name in work.ids and name not in work.swaps
    }
    # Reported already: by ingest, or as swapped columns.
    unreadable = any(name in configured and name not in candidates for name in allowed)
    if candidates:
        choice = choose_target(
            work.connection,
            work.tables[table.name],
            column.name,
            candidates,
            every_key=unreadable,
            joined=work.joined,
        )
        if choice.target is None:
            return None if unreadable else choice
        how: How = "configured" if asked else "only" if len(candidates) == 1 else "inferred"
        return replace(choice, how=how)
    if not unreadable and (len(configured) > 1 or column.required):
        others = [name for name in column.targets if name in configured]
        if asked is not None and others:
            setting = target_setting(table.name, config, {column.name: others[0]})
            advice = say("add_or_point_elsewhere", other=others[0], setting=setting)
        elif column.required:
            advice = say("add_needed", tables=" or ".join(allowed), table=table.name)
        else:
            lab = work.lab_name(table.name, column.name)
            setting = leaving_out(table.name, config, lab, column.name)
            advice = say("add_or_leave_out", setting=setting)
        _report(work, "SYN-REL-005", table, column, targets=" or ".join(allowed), advice=advice)
    return None


def ask(work: Work, table: Table, column: Column, unclear: Mapping[str, Choice]) -> None:
    """SYN-REL-004 for `column`, one of the columns of `table` of which it is `unclear` to which
    table they point."""
    choice, config = unclear[column.name], work.config(table.name)
    # One line for all columns: the line of a second finding would replace that of the first.
    chosen = {
        name: each.closest[0]
        for name, each in unclear.items()
        if "parent_id" not in (name, column.name)
    }
    settings = [
        f"`{target_setting(table.name, config, chosen | {column.name: target})}`"
        for target in choice.closest[:_OFFERED]
    ]
    whole = "choose_whole_keys" if choice.plain else "choose"
    advice = say(whole, settings=" or ".join(settings), plain=choice.plain, column=column.name)
    values = {"reason": choice.reason, "advice": advice}
    _report(work, "SYN-REL-004", table, column, choice.lacks, **values)


def _report(
    work: Work, code: str, table: Table, column: Column, lacking: str | None = None, **values: str
) -> None:
    """Report a finding about a whole column, by its first cells, those before the others that name
    something.

    With `lacking`, only cells whose keys that table has not.
    """
    cells = f"SELECT row, value FROM {work.cells(table.name, column.name)}"
    if lacking:
        cells += f" WHERE value NOT IN (SELECT key FROM {work.keys(lacking)})"
    shown = work.examples(table.name, column.name, cells, most=2, order="value IS NULL, row")
    work.reported.append(
        work.context.finding(code, table=table.name, column=column.name, examples=shown, **values)
    )
