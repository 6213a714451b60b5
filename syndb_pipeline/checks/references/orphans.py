"""Why a key that should name another row names none.

Belongs here: which causes are tried on orphans, in which order, which of several holds, and what
their sentences name. Does not: finding the orphans (`join_relations`), the causes (`orphans.toml`),
comparing keys (`search.py`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

from syndb_pipeline.base.engine import literal, quote
from syndb_pipeline.checks.causes import AGREEING, Count
from syndb_pipeline.checks.cells.markers import is_marker, missing_setting
from syndb_pipeline.checks.failures import Group
from syndb_pipeline.checks.references import search
from syndb_pipeline.checks.references.relations import Work, target_setting
from syndb_pipeline.checks.references.search import CAUSES, CODES, Evidence, Search
from syndb_pipeline.contract.key_encoding import KEY_JOINT, part_of_key, rows_of, unescaped_key
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.rules.finding import Confidence

_CHANCE: Final = 0.05
"""The part of a column's long ids that may look rounded by chance: one in 100 ends in two zeros,
one in 128 is a multiple of 128."""

_MOST: Final = 0.8
"""The part of the orphans that must share a sign, for it to be their cause."""

_NEAR: Final = 20
"""Numbers that follow the target's last one within so many of its own steps go on where it ends;
farther ones are from elsewhere."""

_SHORT_NUMBER: Final = "regexp_full_match(value, '[0-9]{1,8}')"
"""Numbers so short that two tables hold the same ones by chance."""

_UNDAMAGED: Final = {
    "float": "is_long(x) AND NOT is_of_double(x)",
    "sheet": "is_long(x) AND NOT ends_in_zeros(x)",
}
"""SQL by cause: a text is a long id that the program of that cause cannot have written."""

Facts = dict[str, dict[str, Any]]
"""By cause, what its sentences name beside what is known of every orphan."""

Evidences = dict[tuple[str, str, str], Evidence]
"""By table, column and cause."""


def explain(work: Work) -> Evidences:
    """Set `cause` of every orphan among the failures of `work`, "" where nothing explains it; the
    evidence.

    Works on distinct orphans, by hash joins on a form of the key, within the connection's memory.
    """
    found: Evidences = {}
    names = work.fetch(f"SELECT DISTINCT tbl, col FROM failures WHERE code IN {CODES} ORDER BY ALL")
    if names:
        search.prepare(work.connection)
    for table, column in names:
        target = work.targets[table, column]
        orphans = Search(work.connection, work, table, column, target, f"FROM {work.keys(target)}")
        facts = _explain_column(orphans, work.joined.get(target))
        work.connection.execute(
            "UPDATE failures SET cause = explained.cause FROM explained WHERE "
            f"{orphans.orphaned} AND failures.value = explained.value"
        )
        for cause, value, key, distinct, several in work.fetch(
            """SELECT coalesce(cause, ''), arg_min(value, first), arg_min(key, first), count(*),
                  count(*) FILTER (several)
                FROM orphan LEFT JOIN explained USING (value) GROUP BY 1"""
        ):
            found[table, column, cause] = Evidence(
                orphans, cause, value, key, distinct, several, facts.get(cause, {})
            )
    return found


def _explain_column(orphans: Search, joined: Sequence[str] | None) -> Facts:
    """Fill the tables `orphan` (value, n rows, first row) and `explained` (value, cause, key,
    several); `joined` are the columns that make a key of the target together."""
    orphans.connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE orphan AS
            SELECT value, count(*) AS n, min(row_number) AS first FROM failures
            WHERE {orphans.orphaned} GROUP BY value;
            CREATE OR REPLACE TEMP TABLE explained
                (value VARCHAR, cause VARCHAR, key VARCHAR, several BOOLEAN)"""
    )
    facts = _parts(orphans, joined) if joined else {}
    orphans.written_otherwise()
    orphans.explain("sentinel", f"{orphans.pending} WHERE {is_marker('value')}")
    _of_other_tables(orphans, orphans.data.ids, f"NOT {_SHORT_NUMBER}")
    for damage in ("encoding", "rounded", "date", "prefix", "suffix", "cut"):
        if not orphans.some(orphans.pending):
            break
        if damage == "encoding":
            orphans.read_otherwise()
        elif damage == "rounded":
            orphans.rounded()
        else:
            orphans.look(damage)
    _forget_chance(orphans)
    facts |= _explain_crowd(orphans)
    if orphans.some(orphans.pending):
        _of_other_tables(orphans, [*{*orphans.data.ids} - {orphans.table}], _SHORT_NUMBER)
        orphans.look("glyph")
    return facts | _lacking_of_other_tables(orphans)


def _parts(orphans: Search, joined: Sequence[str]) -> Facts:
    """`part` for orphans that are the `cid` alone of a key that several columns make together,
    `joint` for whole keys without the backslash that a colon inside a part has there."""
    cid = part_of_key("key", joined.index("cid"), len(joined))
    values = f"SELECT value, value AS form FROM ({orphans.pending})"
    for cause, form in (("part", cid), ("joint", unescaped_key("key"))):
        orphans.match(f"'{cause}'", values, f"SELECT row, {form} AS form FROM ({orphans.keys})")
    first = orphans.fetch(f"SELECT key FROM ({orphans.keys}) ORDER BY row LIMIT 2")
    examples = " and ".join(repr(key) for (key,) in first)
    written = {"joined": KEY_JOINT.join(joined), "parts": " and ".join(joined)}
    return {"part": {**written, "examples": examples}}


def _of_other_tables(orphans: Search, tables: Iterable[str], which: str) -> None:
    """`table:<name>` for orphans that are keys of one of `tables`, other than the target.

    An orphan that the target has in another writing as well goes with the explanation that holds
    for more of its neighbours.
    """
    for other in tables:
        if other != orphans.target and "cid" in TABLES[other].columns:
            found = (
                f"SELECT value FROM orphan WHERE {which}"
                " AND value NOT IN (SELECT value FROM explained WHERE cause = 'part')"
                f" AND value IN (SELECT key FROM {orphans.data.keys(other)})"
            )
            orphans.explain(f"table:{other}", found, "value")
    orphans.settle()


def _lacking_of_other_tables(orphans: Search) -> Facts:
    """For each cause `table:<name>`, how many values of the column that table `lacks`, and the
    first of them as `example`."""
    facts = {}
    for (cause,) in orphans.fetch(
        "SELECT DISTINCT cause FROM explained WHERE starts_with(cause, 'table:')"
    ):
        keys = f"SELECT key FROM {orphans.data.keys(cause.partition(':')[2])}"
        lacks, example = orphans.row(
            f"SELECT count(DISTINCT x), min(x) FROM ({orphans.rows}) WHERE x NOT IN ({keys})"
        )
        facts[cause] = {"lacks": lacks, "example": example}
    return facts


def _forget_chance(orphans: Search) -> None:
    """Drop explanations that chance gives as well.

    A program rounds a whole column: where other long ids kept their digits, an orphan whose digits
    look rounded was none, and ids of another release differ from a key in the last digits only by
    chance. What most of a column shares is no chance, whatever the rest is. Nor is a beginning or
    end that all values of its side have, however few they are; else it takes several orphans that
    share it, and so does a cut end, or that they are keys of their own table.
    """

    def by_chance(kind: str, side: str, affix: str, count: int) -> bool:
        if kind in _UNDAMAGED:
            sides = [each for each in ("here", "there") if side in (each, "both")]
            kept = [
                orphans.count(
                    f"SELECT DISTINCT x FROM ({orphans.values(each)}) WHERE {_UNDAMAGED[kind]}"
                )
                for each in sides
            ]
            return any(ids and count <= max(AGREEING - 1, ids * _CHANCE) for ids in kept)
        own = kind == "table" and side == orphans.table
        if count >= AGREEING or kind not in ("prefix", "suffix"):
            return count < AGREEING and (own or kind == "cut")
        has = f"{'starts' if kind == 'prefix' else 'ends'}_with(x, {literal(affix)})"
        return orphans.some(f"FROM ({orphans.values(side)}) WHERE NOT {has}")

    for cause, count in orphans.fetch(
        "SELECT cause, count(*) FROM explained GROUP BY 1 ORDER BY 1"
    ):
        kind, _, rest = cause.partition(":")
        side, _, affix = rest.partition(":")
        if by_chance(kind, side, affix, count):
            orphans.fetch("DELETE FROM explained WHERE cause = ?", [cause])


# -- orphans as a crowd: signs of a cut file, of another release and of another naming


def _explain_crowd(orphans: Search) -> Facts:
    """Explain what is pending as `after`, `range`, `start` or `file` where most of it agrees;
    facts by cause."""
    facts: Facts = {}
    for look in (_numbered, _beginning, _whole_files):
        if (total := orphans.count(orphans.pending)) >= AGREEING:
            facts |= look(orphans, total)
    return facts


def _enough(count: int, total: int) -> bool:
    return count >= AGREEING and count >= _MOST * total


def _numbered(orphans: Search, total: int) -> Facts:
    """Keys of one pattern that differ in their number: where the numbers of the orphans are, and
    where those of the keys."""
    orphans.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE numbered AS {_with_numbers(orphans.pending, 'value')}"
    )
    found = orphans.fetch(
        "SELECT head, count(*) AS n FROM numbered GROUP BY 1 ORDER BY n DESC, 1 LIMIT 1"
    )
    head, count = found[0] if found else ("", 0)
    if not _enough(count, total):
        return {}

    def ends(query: str, where: str = "TRUE") -> tuple[Any, ...]:
        return orphans.row(
            "SELECT count(*), min(number), max(number), arg_min(x, number), arg_max(x, number) "
            f"FROM ({query}) WHERE head = {literal(head)} AND {where}"
        )

    keys, low, high, first, last = ends(_with_numbers(orphans.keys, "key"))
    if keys < AGREEING:
        return {}
    for below, condition in enumerate((f"number > {high}", f"number < {low}")):
        beyond, nearest, farthest, least, most = ends("FROM numbered", condition)
        if not _enough(beyond, total):
            continue
        step = max((high - low) / (keys - 1), 1)
        near = nearest - high <= _NEAR * step and farthest - high <= max(high - low, _NEAR)
        cause = "after" if near and not below else "range"
        outside = f"SELECT x AS value FROM numbered WHERE head = {literal(head)} AND {condition}"
        orphans.explain(cause, outside)
        facts = {"low": first, "high": last, "least": least, "most": most}
        return {cause: facts | _sizes(orphans)}
    return {}


def _with_numbers(query: str, name: str) -> str:
    """SQL: the texts `name` that end in digits as `x`, with those as `number` and what is before
    them as `head`."""
    digits = f"SELECT {name} AS x, regexp_extract({name}, '[0-9]+$') AS digits FROM ({query})"
    return f"""SELECT x, left(x, length(x) - length(digits)) AS head,
            try_cast(digits AS HUGEINT) AS number
        FROM ({digits}) WHERE length(digits) BETWEEN 1 AND 37"""


def _beginning(orphans: Search, total: int) -> Facts:
    """Orphans that begin alike, as no key does."""
    word, count = orphans.row(
        "SELECT regexp_extract(value, '^[^0-9]+') AS word, count(*) AS n FROM "
        f"({orphans.pending}) GROUP BY 1 ORDER BY n DESC, 1 LIMIT 1"
    )
    if not word or not _enough(count, total):
        return {}
    alike = f"SELECT value FROM ({orphans.pending}) WHERE starts_with(value, {literal(word)})"

    def beginning(query: str, name: str) -> str:
        # What the first and the last text in alphabetical order share, all do.
        ends = f"SELECT coalesce(min({name}), ''), coalesce(max({name}), '') FROM ({query})"
        first, last = orphans.row(ends)
        alike = takewhile(lambda each: each[0] == each[1], zip(first, last, strict=False))
        return "".join(letter for letter, _ in alike)

    ours, theirs = beginning(alike, "value"), beginning(orphans.keys, "key")
    if orphans.some(f"FROM ({orphans.keys}) WHERE starts_with(key, {literal(ours)})"):
        return {}
    orphans.explain("start", alike)
    those = f"; those of {orphans.target} begin with {theirs!r}" if theirs else ""
    return {"start": {"beginning": ours, "theirs": those}}


def _whole_files(orphans: Search, _: int) -> Facts:
    """A table of several files: all rows of one are orphans, and hardly any of the others."""
    parts = orphans.data.sources.tables[orphans.table]
    if len(parts) < 2:
        return {}
    listed = ", ".join(f"({n}, {part.first_row})" for n, part in enumerate(parts) if part.rows)
    lost = f"""SELECT row_number AS row FROM failures WHERE {orphans.orphaned}
        AND value IN (SELECT value FROM ({orphans.pending}))"""
    counts = orphans.fetch(
        f"""SELECT number, count(*), count(lost.row)
            FROM ({orphans.rows}) rows LEFT JOIN ({lost}) lost USING (row)
            ASOF JOIN (VALUES {listed}) part(number, start) ON rows.row >= start
            GROUP BY 1 ORDER BY 1"""
    )
    whole = {number: n for number, n, gone in counts if n >= AGREEING and gone >= 0.9 * n}
    all_gone = sum(gone for *_, gone in counts)
    if not whole or len(whole) == len(counts) or sum(whole.values()) < 0.9 * all_gone:
        return {}
    orphans.explain("file", orphans.pending)
    files = list(dict.fromkeys(parts[number].file for number in whole))
    names = ", ".join(files[:3]) + (", ..." if len(files) > 3 else "")
    return {"file": {"names": names, "of": len(parts)}}


def _sizes(orphans: Search) -> dict[str, int]:
    """How many keys the target has, and how many different ones the column names."""
    named = orphans.count(f"SELECT DISTINCT x FROM ({orphans.rows})")
    return {"keys": orphans.count(orphans.keys), "named": named}


# -- what the sentences name


def describe(work: Work, evidences: Evidences, group: Group) -> dict[str, Any]:
    """The values of an orphans' finding: target, reason, advice, confidence."""
    evidence = evidences[group.table, group.column, group.cause]
    orphans, (kind, _, rest) = evidence.orphans, evidence.cause.partition(":")
    side, _, affix = rest.partition(":")
    name, facts, sure = _variant(work, group, evidence, kind)
    cause = CAUSES[name]
    here, there = f"{orphans.table}.{orphans.column}", f"{orphans.target}.cid"
    both = f"{here} and {there}"
    where, elsewhere = {"here": (here, there), "there": (there, here)}.get(side, (both, both))
    known = {
        "table": orphans.table,
        "column": orphans.column,
        "target": orphans.target,
        "table_file": _file(work, orphans.table),
        "target_file": _file(work, orphans.target),
        "here": here,
        "where": where,
        "elsewhere": elsewhere,
        "value": evidence.value,
        "key": evidence.key,
        "distinct": evidence.distinct,
        "among_others": " among others" if evidence.several else "",
        "length": len(evidence.value if side == "here" else evidence.key or ""),
        "characters": _characters(evidence, cause.characters),
        "affix": affix,
        "other": rest,
    }
    described = cause.described({**known, **evidence.facts, **facts}, sure)
    if side == "there" and cause.first:
        described["advice"] += f" Correct {orphans.target} first."
    others = Count(evidence.distinct - 1)
    nor = f", nor {others:is|are} {others:,} other value{others:|s}" if others else ""
    return {**described, "target": orphans.target, "reason": nor + described["reason"]}


def _file(work: Work, table: str) -> str:
    """The table's file by name, or the table where it has several."""
    files = {part.file for part in work.sources.tables[table]}
    return files.pop() if len(files) == 1 else table


def _characters(evidence: Evidence, categories: Sequence[str]) -> str:
    """The characters that make the difference, by their Unicode names: " (U+200B ZERO WIDTH
    SPACE)"."""
    named = [
        f"U+{ord(c):04X} {unicodedata.name(c, 'control character')}"
        for c in dict.fromkeys(evidence.value + (evidence.key or ""))
        if unicodedata.category(c) in categories and (c > "\x7f" or c < " ")
    ]
    return f" ({', '.join(named[:3])})" if named else ""


def _variant(
    work: Work, group: Group, evidence: Evidence, kind: str
) -> tuple[str, Mapping[str, Any], Confidence | None]:
    """The record whose sentences hold, facts that they name beside, and how sure it is where the
    record's own `sure` does not say so."""
    value, target, several = evidence.value, evidence.orphans.target, evidence.several
    if kind == "sentinel":
        return *_sentinel(work, evidence.orphans), None
    if kind == "table":
        short = value.isdigit() and len(value) <= 8
        return *_other_table(work, group, evidence), "possible" if short else None
    if kind:
        unclear = several * 2 > evidence.distinct and not CAUSES[kind].ambiguous
        note = f" A cid alone does not say which row: {target} has several of the same cid."
        return kind, {"several_cids": note if several else ""}, "possible" if unclear else None
    rejected = work.context.ingested.tables[target].rejected
    if unread := rejected + work.context.assigned.details.tables[target].missing:
        return "unread", {"unread": unread}, None
    note = " Ids of segments change with every edit: take both tables from one version of it."
    segments = evidence.distinct >= AGREEING and value.isdigit() and 16 <= len(value) <= 20
    return "nowhere", {"segments": note if segments else ""}, None


def _other_table(work: Work, group: Group, evidence: Evidence) -> tuple[str, dict[str, Any]]:
    """What of another table that has the keys holds. To point the column there is offered only
    where that makes orphans of no other row."""
    table, column = evidence.orphans.table, evidence.orphans.column
    other = evidence.cause.split(":", 1)[1]
    if evidence.facts["lacks"]:
        return "table_lacks_some", {}
    allowed = other in TABLES[table].columns[column].targets
    if not allowed or work.details[table].references[column].resolved > group.count:
        return "table_of_few", {}
    setting = target_setting(table, work.config(table), {column: other})
    return "table", {"setting": setting}


def _sentinel(work: Work, orphans: Search) -> tuple[str, dict[str, Any]]:
    """What holds of the sentinels among a table's orphans, all columns together: to be declared as
    missing, or not where that would empty other cells."""
    table, path = orphans.table, work.tables[orphans.table]
    found = work.fetch(
        f"""SELECT value, count(*) AS n, list(DISTINCT col) FROM failures
            WHERE tbl = {literal(table)} AND code IN {CODES} AND cause = 'sentinel'
            GROUP BY value ORDER BY n DESC, value LIMIT 10"""
    )
    words = [value for value, *_ in found]
    declared = TABLES[table].columns[orphans.column]
    needed = declared.required or (declared.name == "parent_id" and TABLES[table].needs_parent)
    refused = f" Rows without {declared.name} are refused all the same: give it, or remove them."
    facts: dict[str, Any] = {"refused": refused if needed else ""}
    left = {name for *_, names in found for name in names}
    numbers = [float(word) for word in words if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", word)]
    counts = [
        f"count(*) FILTER (list_contains({literal(words)}, {quote(name)}))"
        if kind == "VARCHAR"
        else f"count(*) FILTER (list_contains({literal(numbers)}::DOUBLE[], {quote(name)}::DOUBLE))"
        for name, kind, *_ in work.fetch(f"DESCRIBE SELECT * FROM {rows_of(path)}")
        if not name.startswith("_") and name not in left and kind != "BOOLEAN"
    ]
    (cells,) = work.row(f"SELECT ({' + '.join(counts) or 'count(NULL)'}) FROM {rows_of(path)}")
    if cells:
        return "sentinel_counts", facts | {"other_cells": int(cells)}
    setting = missing_setting(table, work.config(table), words)
    return "sentinel", facts | {"setting": setting}
