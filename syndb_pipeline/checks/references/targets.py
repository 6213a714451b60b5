"""Which table a reference column points to.

Belongs here: the choice among the tables that SynDB allows, and the question where it is not clear.
Does not: resolving rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, NamedTuple

from syndb_pipeline.base.engine import parquet, quote, rows_in, values_in
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
    unescaped_key,
)
from syndb_pipeline.contract.tables import ENDS, Column, Table
from syndb_pipeline.readers.headers import leaving_out

_OFFERED: Final = 3
"""Tables that a question names with the setting that chooses each."""

SAMPLE_ROWS: Final = 20_000
"""Rows, about, looked at first, spread over the table: what they show hardly needs the rest."""

_HINT: Final = 0.25
"""Share of a sample's rows or keys from which on a second table is counted over all rows."""

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


class _Held(NamedTuple):
    """Distinct keys of a column, and its rows that have one of them."""

    keys: int
    rows: int


_Counts = dict[str, _Held]
"""What each table holds; under `_ALL` what there is, under `_PLAIN` and its name what a table holds
by `cid` alone."""

_ALL, _PLAIN = "", "cid of "


def _exceeds(counts: _Counts, name: str, share: float) -> bool:
    """Whether more than a `share` of the keys or of the rows is held: a few keys may be those of
    most rows."""
    held, every = counts[name], counts[_ALL]
    return held.keys > share * every.keys or held.rows > share * every.rows


@dataclass
class Pointing(Asking):
    """The column of references, in the Parquet at `path`, and the id maps of the tables it may
    point to, the nearest level first.

    `joined` gives the columns that make the key of a table together, for tables where several do.
    `preferred` are tables that the config names for a column like this one: where one of them holds
    any of the keys, and another table is chosen, it is not clear.
    """

    path: Path
    column: str
    candidates: Mapping[str, Path]
    joined: Mapping[str, Sequence[str]]
    preferred: Collection[str] = ()

    def choose(self, *, every_key: bool = False) -> Choice:
        """The one of the candidates that the keys of the column point to.

        It is the one that holds all keys, or at least half of them, so that the others can be
        reported as orphans: as they are written, else in another writing. It is not clear where a
        second table holds more than half of the keys or rows, where other tables together hold
        nearly all keys, or where the keys are plain cids of a table whose keys are made of several
        columns: a few wrong keys must not decide between tables that are numbered alike. A column
        without any key goes to the nearest table. With `every_key`, only a table that holds all
        keys of a sample will do.
        """
        names = list(self.candidates)
        if len(names) == 1 and not every_key:
            return Choice(names[0])
        held = self._first_counts()
        if not held[_ALL].keys:
            return Choice(names[0])

        def is_complete(name: str) -> bool:
            return held[name].keys == held[_ALL].keys

        def shares(asked: Sequence[str]) -> str:
            first, *others = sorted(asked, key=lambda name: -held[name].rows)
            none = "" if any(map(is_complete, asked)) else "no table holds all of its keys; "
            rows = "all" if is_complete(first) else f"{held[first].rows:,} of"
            those = [
                f", {name} those of {'all' if is_complete(name) else f'{held[name].rows:,}'}"
                for name in others
            ]
            return f"{none}{first} has the keys of {rows} {held[_ALL].rows:,} rows{''.join(those)}"

        def unclear(asked: Sequence[str], reason: str, plain: str | None = None) -> Choice:
            lacks = next((name for name in asked if name != plain and not is_complete(name)), None)
            closest = sorted(
                asked, key=lambda each: (each not in self.preferred, names.index(each))
            )
            return Choice(None, reason, closest=tuple(closest), lacks=lacks, plain=plain)

        rivals = [name for name in names if is_complete(name) or _exceeds(held, name, 0.5)]
        likely = rivals or [name for name in names if held[name].keys * 2 >= held[_ALL].keys]
        if every_key and not any(map(is_complete, names)):
            likely = []
        for name in self._composite:
            if name not in rivals and _exceeds(held, _PLAIN + name, 0.5):
                reasons = [shares(likely)] if likely else []
                reasons.append(self._plain_reason(name, held))
                return unclear([*likely, name], "; ".join(reasons), name)
        if len(likely) == 1:
            others = [name for name in names if name != likely[0] and held[name].keys]
            named = [name for name in others if name in self.preferred]
            together = not named and self._together(held, others)
            if not named and not together:
                return Choice(likely[0])
            asked = [*likely, *(named or others)]
            reason = shares(asked)
            if together:
                *first, last = others
                reason = say("together", shares=reason, others=", ".join(first), last=last)
            return unclear(asked, reason)
        if likely:
            every = say("all_keys_in_each", tables=" and in ".join(likely))
            return unclear(likely, every if all(map(is_complete, likely)) else shares(likely))
        if not every_key and (alike := self._alike(held[_ALL].keys)):
            return Choice(alike)
        closest = sorted(names, key=lambda name: -held[name].keys)
        reason = say("keys_in_none", tables=" and ".join(names))
        if held[closest[0]].keys:
            shown = ", ".join(f"{name} {held[name].keys:,}" for name in closest)
            reason = say("some_keys_in_each", keys=held[_ALL].keys, held=shown)
        return Choice(None, reason, closest=tuple(closest))

    @property
    def _composite(self) -> list[str]:
        return [name for name in self.joined if name in self.candidates]

    def _keys(self, *, sampled: bool) -> str:
        """A query for the distinct keys k of the column, as they are stored, and the rows n of
        each; of a sample if `sampled`."""
        every, name = rows_in(self.path) // SAMPLE_ROWS if sampled else 0, quote(self.column)
        some = f" AND file_row_number % {every} = 0" if every > 1 else ""
        source = parquet(self.path, row_number=bool(some))
        return (
            f"SELECT {name} AS k, count(*) AS n FROM {source} "
            f"WHERE {name} IS NOT NULL{some} GROUP BY 1"
        )

    def _counts(self, *, sampled: bool) -> _Counts:
        tests = {_ALL: "TRUE", **{name: self._held(name) for name in self.candidates}}
        for name in self._composite:
            cid = part_of_key("key", self.joined[name].index("cid"), len(self.joined[name]))
            keys = f"SELECT {cid} FROM {keys_of(self.candidates[name])}"
            tests[_PLAIN + name] = f"k::VARCHAR IN ({keys})"
        # Not as conditions of one count: DuckDB would then hold all keys of a candidate, rather
        # than these few.
        asked = ", ".join(
            f"(SELECT [count(*), coalesce(sum(n), 0)::BIGINT] FROM keys WHERE {test})"
            for test in tests.values()
        )
        keys = self._keys(sampled=sampled)
        found = self.row(f"WITH keys AS MATERIALIZED ({keys}) SELECT {asked}")
        return {name: _Held(*counts) for name, counts in zip(tests, found, strict=True)}

    def _held(self, name: str) -> str:
        """SQL: the table has the key k. Numbers are compared as such where the keys of both are
        some."""
        ids = self.candidates[name]
        if is_number(self.path, self.column) and is_number(ids, "key"):
            return f"k IN (SELECT key FROM {parquet(ids)})"
        return f"k::VARCHAR IN (SELECT key FROM {keys_of(ids)})"

    def _first_counts(self) -> _Counts:
        """The counts of a sample, or of all rows where it leaves a doubt."""
        counts = self._counts(sampled=True)
        many = {name for name in self.candidates if _exceeds(counts, name, _HINT)}
        few = [each for each in {*self.preferred} - many if each in counts and counts[each].keys]
        sampled = rows_in(self.path) >= 2 * SAMPLE_ROWS
        return self._counts(sampled=False) if sampled and (len(many) > 1 or few) else counts

    def _together(self, held: _Counts, others: Sequence[str]) -> bool:
        """Whether the tables `others`, none of which holds most keys, hold nearly all of them
        together."""
        enough = _NEARLY_ALL * held[_ALL].keys
        if len(others) < 2 or sum(held[name].keys for name in others) < enough:
            return False
        every = " UNION ALL ".join(
            f"SELECT key FROM {keys_of(self.candidates[name])}" for name in others
        )
        keys = self._keys(sampled=False)
        return self.count(f"FROM ({keys}) WHERE k::VARCHAR IN ({every})") >= enough

    def _plain_reason(self, name: str, held: _Counts) -> str:
        """That the column holds plain cids of a table whose keys are made of several columns."""
        keys = self.fetch(f"SELECT key FROM {keys_of(self.candidates[name])} LIMIT 2")
        return say(
            "plain_cids",
            table=name,
            rows=held[_PLAIN + name].rows,
            all_rows=held[_ALL].rows,
            joined=KEY_JOINT.join(self.joined[name]),
            examples=" and ".join(repr(key) for (key,) in keys),
        )

    def _alike(self, keys: int) -> str | None:
        """The only table that holds half of a sample of so many keys in another writing."""
        search.prepare(self.connection)
        distinct = f"SELECT k::VARCHAR AS k FROM ({self._keys(sampled=True)})"
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE sampled AS {search.with_form(distinct, 'k')}"
        )
        most = []
        for name, ids in self.candidates.items():
            key = unescaped_key("key") if name in self.joined else "key"
            theirs = search.with_form(f"SELECT {key} AS key FROM {keys_of(ids)}", "key")
            held = f"nullif(form, '') IN (SELECT form FROM ({theirs}))"
            if self.count(f"FROM sampled WHERE {held}") * 2 >= keys:
                most.append(name)
        return most[0] if len(most) == 1 else None


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
        choice = Pointing(
            work.connection,
            work.tables[table.name],
            column.name,
            candidates,
            work.joined,
            [name for end, name in config.references.items() if {end, column.name} == {*ENDS}],
        ).choose(every_key=unreadable)
        if choice.target is None:
            return None if unreadable else choice
        how: How = "configured" if asked else "only" if len(candidates) == 1 else "inferred"
        return replace(choice, how=how)
    # A column without a value points to nothing.
    points = column.required or (
        len(configured) > 1 and values_in(work.tables[table.name], column.name)
    )
    if points and not unreadable:
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
