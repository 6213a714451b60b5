"""Why a key that should name another row names none.

Belongs here: which causes are tried on orphans, in which order, which of several holds, and what
their sentences name. Does not: finding the orphans (`join_relations`), the causes (`orphans.toml`),
comparing keys (`search.py`), orphans as a crowd (`crowds.py`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from syndb_pipeline.base.engine import literal, quote
from syndb_pipeline.checks.causes import AGREEING, Count
from syndb_pipeline.checks.cells import wrong_encoding
from syndb_pipeline.checks.cells.markers import is_marker, missing_setting
from syndb_pipeline.checks.failures import Group
from syndb_pipeline.checks.references import crowds, search
from syndb_pipeline.checks.references.relations import Work, target_setting
from syndb_pipeline.checks.references.search import CAUSES, CODES, Column, Evidence, Search
from syndb_pipeline.contract.key_encoding import (
    KEY_JOINT,
    keys_of,
    part_of_key,
    rows_of,
    unescaped_key,
)
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.rules.finding import Confidence

_CHANCE: Final = 0.05
"""The part of a column's long ids that may look rounded by chance: one in 100 ends in two zeros,
one in 128 is a multiple of 128."""

_SHORT_NUMBER: Final = "regexp_full_match(value, '[0-9]{1,8}')"
"""Numbers so short that two tables hold the same ones by chance."""

_UNDAMAGED: Final = {
    "float": "is_long(x) AND NOT is_of_double(x)",
    "sheet": "is_long(x) AND NOT ends_in_zeros(x)",
}
"""SQL by cause: a text is a long id that the program of that cause cannot have written."""


def explain(work: Work) -> None:
    """Set `cause` of every orphan among the failures of `work`, "" where nothing explains it, and
    the evidence of `work`.

    Works on distinct orphans, by hash joins on a form of the key, within the connection's memory.
    """
    connection = work.connection
    names = connection.execute(
        f"SELECT DISTINCT tbl, col FROM failures WHERE code IN {CODES} ORDER BY ALL"
    ).fetchall()
    if names:
        search.prepare(connection)
    for table, name in names:
        target = work.targets[table, name]
        column = Column(table, name, target, work.ids, work.tables[table], work.sources)
        facts = _explain_column(work, column)
        connection.execute(
            "UPDATE failures SET cause = explained.cause FROM explained WHERE "
            f"{column.orphaned} AND failures.value = explained.value"
        )
        for cause, value, key, distinct, several in connection.execute(
            """SELECT coalesce(cause, ''), arg_min(value, first), arg_min(key, first), count(*),
                  count_if(several)
               FROM orphan LEFT JOIN explained USING (value) GROUP BY 1"""
        ).fetchall():
            work.evidence[table, name, cause] = Evidence(
                column, cause, value, key, distinct, several, facts.get(cause, {})
            )


def _explain_column(work: Work, column: Column) -> dict[str, dict[str, Any]]:
    """Fill the tables `orphan` (value, n rows, first row) and `explained` (value, cause, key,
    several); facts by cause."""
    work.connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE orphan AS
            SELECT value, count(*) AS n, min(row_number) AS first FROM failures WHERE
              {column.orphaned} GROUP BY value;
            CREATE OR REPLACE TEMP TABLE explained (value VARCHAR, cause VARCHAR, key VARCHAR,
              several BOOLEAN)"""
    )
    keys = f"FROM {keys_of(column.ids[column.target])}"
    orphans = Search(
        work.connection, "SELECT value, first FROM orphan ANTI JOIN explained USING (value)", keys
    )
    facts = _parts(orphans, work.joined[column.target]) if column.target in work.joined else {}
    orphans.written_otherwise()
    orphans.explain("sentinel", f"{orphans.pending} WHERE {is_marker('value')}")
    names = [
        column.name,
        *(part.columns.get(column.name, column.name) for part in work.sources.tables[column.table]),
    ]
    orphans.explain("header", f"{orphans.pending} WHERE list_contains({literal(names)}, value)")
    if orphans.some("SELECT 1 FROM explained WHERE cause = 'zeros:both'"):
        _zeros_or_cut(orphans)
    _of_other_tables(orphans, column, f"NOT {_SHORT_NUMBER}")
    for damage in ("encoding", "rounded", "date", "prefix", "suffix", "cut"):
        if not orphans.some(orphans.pending):
            break
        if damage == "encoding":
            wrong_encoding.look(orphans)
        elif damage == "rounded":
            orphans.rounded()
        else:
            orphans.look(damage)
    _forget_refuted(orphans, column)
    _forget_thin(orphans, column)
    if orphans.some(orphans.pending):
        facts |= crowds.explain(orphans, column)
    if orphans.some(orphans.pending):
        _of_other_tables(orphans, column, _SHORT_NUMBER)
    if orphans.some(orphans.pending):
        orphans.look("glyph")
    return facts | _lacking_of_other_tables(orphans, column)


def _parts(orphans: Search, joined: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`part` for orphans that are the `cid` alone of a key that several columns make together,
    `joint` for whole keys without the backslash that a colon inside a part has there."""
    values = f"SELECT value, value AS form FROM ({orphans.pending})"
    for cause, form in (
        ("part", part_of_key("key", joined.index("cid"), len(joined))),
        ("joint", unescaped_key("key")),
    ):
        orphans.match(
            f"'{cause}:here'", values, f"SELECT row, {form} AS form FROM ({orphans.keys})"
        )
    keys = [
        repr(key)
        for (key,) in orphans.fetch(f"SELECT key FROM ({orphans.keys}) ORDER BY row LIMIT 2")
    ]
    return {
        "part:here": {
            "joined": KEY_JOINT.join(joined),
            "parts": " and ".join(joined),
            "examples": " and ".join(keys),
        }
    }


def _zeros_or_cut(orphans: Search) -> None:
    """Where keys seem to have more zeros than orphans that have some, the orphans may as well be
    cut: what explains more of them holds."""
    padded, cuts = "cause = 'zeros:both'", "starts_with(cause, 'cut:')"
    orphans.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE padded AS SELECT value FROM explained WHERE {padded}"
    )
    unclear = (
        "SELECT value, 0 AS first FROM padded UNION ALL SELECT value, first FROM "
        f"({orphans.pending})"
    )
    replace(orphans, pending=unclear).look("cut")
    cut, lost = (
        orphans.count(f"SELECT 1 FROM explained WHERE {which}") for which in (cuts, padded)
    )
    weaker = (
        f"{padded} AND value IN (SELECT value FROM explained WHERE {cuts})"
        if cut >= max(lost, AGREEING)
        else cuts
    )
    orphans.connection.execute(f"DELETE FROM explained WHERE {weaker}")


def _of_other_tables(orphans: Search, column: Column, which: str) -> None:
    """`table:<name>` for orphans that are keys of another table, `own` for keys of their own.

    An orphan that the target has in another writing as well goes with the explanation that holds
    for more of its neighbours.
    """
    for other, path in column.ids.items():
        own = other == column.table
        if other == column.target or (own and "cid" not in TABLES[other].columns):
            continue
        whole = "value NOT IN (SELECT value FROM explained WHERE cause = 'part:here')"
        found = (
            f"SELECT value FROM orphan WHERE {which} AND {whole} AND value IN (SELECT key FROM "
            f"{keys_of(path)})"
        )
        if not own:
            orphans.explain(f"table:{other}", found, "value")
        elif (
            orphans.count(found) >= AGREEING
        ):  # a chance meeting with a key of the own table says nothing
            orphans.explain(
                "own", f"{found} AND value NOT IN (SELECT value FROM explained)", "value"
            )
    orphans.settle()


def _lacking_of_other_tables(orphans: Search, column: Column) -> dict[str, dict[str, Any]]:
    """For each cause `table:<name>`, how many values of the column that table `lacks`, and the
    first of them as `example`."""
    facts = {}
    for (cause,) in orphans.fetch(
        "SELECT DISTINCT cause FROM explained WHERE starts_with(cause, 'table:')"
    ):
        keys = f"SELECT key FROM {keys_of(column.ids[cause.partition(':')[2]])}"
        own = column.values("here", orphans)
        [(lacks, example)] = orphans.fetch(
            f"SELECT count(DISTINCT x), min(x) FROM ({own}) WHERE x NOT IN ({keys})"
        )
        facts[cause] = {"lacks": lacks, "example": example}
    return facts


def _forget(orphans: Search, kinds: tuple[str, ...], refuted: Callable[[str, int], bool]) -> None:
    """Drop the explanations of some `kinds` of cause of which `refuted`, given a cause and how many
    orphans have it, says so."""
    for cause, count in orphans.fetch(
        f"SELECT cause, count(*) FROM explained WHERE split_part(cause, ':', 1) IN {kinds} "
        "GROUP BY 1 ORDER BY 1"
    ):
        if refuted(cause, count):
            orphans.connection.execute("DELETE FROM explained WHERE cause = ?", [cause])


def _forget_refuted(orphans: Search, column: Column) -> None:
    """Drop a few roundings that the rest of their column refutes.

    A program rounds a whole column: where other long ids kept their digits, an orphan whose digits
    look rounded was none, and ids of another release differ from a key in the last digits only by
    chance. What most of a column shares is no chance, whatever the rest is.
    """

    def refuted(cause: str, count: int) -> bool:
        kind, _, where = cause.partition(":")
        sides = [
            column.values(side, orphans) for side in ("here", "there") if where in (side, "both")
        ]
        kept = [
            orphans.count(f"SELECT DISTINCT x FROM ({side}) WHERE {_UNDAMAGED[kind]}")
            for side in sides
        ]
        return any(ids and count <= max(AGREEING - 1, ids * _CHANCE) for ids in kept)

    _forget(orphans, ("float", "sheet"), refuted)


def _forget_thin(orphans: Search, column: Column) -> None:
    """Drop explanations that chance gives as well: a beginning or end that too few orphans share,
    and a cut end.

    A beginning or end that all values of its side have is no chance, however few they are.
    """

    def refuted(cause: str, count: int) -> bool:
        kind, side, *affix = cause.split(":", 2)
        if count >= AGREEING or kind == "cut":
            return count < AGREEING
        has = f"{'starts_with' if kind == 'prefix' else 'ends_with'}(x, {literal(affix[0])})"
        return orphans.some(f"SELECT 1 FROM ({column.values(side, orphans)}) WHERE NOT {has}")

    _forget(orphans, ("prefix", "suffix", "cut"), refuted)


# -- what the sentences name


def describe(work: Work, group: Group) -> dict[str, Any]:
    """The values of an orphans' finding: target, reason, advice, confidence."""
    evidence = work.evidence[group.table, group.column, group.cause]
    column, (kind, _, rest) = evidence.column, evidence.cause.partition(":")
    side, _, affix = rest.partition(":")
    name, facts, sure = _variant(work, group, evidence, kind)
    cause = CAUSES[name]
    here, there = f"{column.table}.{column.name}", f"{column.target}.cid"
    both = f"{here} and {there}"
    where, elsewhere = {"here": (here, there), "there": (there, here)}.get(side, (both, both))
    known = {
        "table": column.table,
        "column": column.name,
        "target": column.target,
        "table_file": _file(work, column.table),
        "target_file": _file(work, column.target),
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
        described["advice"] += f" Correct {column.target} first."
    others = Count(evidence.distinct - 1)
    nor = f", nor {others:is|are} {others:,} other value{others:|s}" if others else ""
    return {**described, "target": column.target, "reason": nor + described["reason"]}


def _file(work: Work, table: str) -> str:
    """The table's file by name, or the table where it has several."""
    files = {part.file for part in work.sources.tables[table]}
    return files.pop() if len(files) == 1 else table


def _characters(evidence: Evidence, categories: Sequence[str]) -> str:
    """The characters that make the difference, by their Unicode names: " (U+200B ZERO WIDTH
    SPACE)"."""
    text = evidence.value + (evidence.key or "")
    found = [
        c
        for c in dict.fromkeys(text)
        if unicodedata.category(c) in categories and (c > "\x7f" or c < " ")
    ]
    named = ", ".join(
        f"U+{ord(c):04X} {unicodedata.name(c, 'control character')}" for c in found[:3]
    )
    return f" ({named})" if named else ""


def _variant(
    work: Work, group: Group, evidence: Evidence, kind: str
) -> tuple[str, dict[str, Any], Confidence | None]:
    """The record whose sentences hold, facts that they name beside, and how sure it is where the
    record's own `sure` does not say so."""
    value, column, many = evidence.value, evidence.column, evidence.distinct >= AGREEING
    number = value.isdigit()
    if kind == "sentinel":
        return *_sentinel(work, column), "certain" if any(c.isalpha() for c in value) else "likely"
    if kind == "table":
        sure: Confidence = (
            "possible" if number and len(value) <= 8 else "certain" if many else "likely"
        )
        return *_other_table(work, group, evidence), sure
    if kind == "part":
        several = (
            f" A cid alone does not say which row: {column.target} has several of the same cid."
            if evidence.several
            else ""
        )
        return kind, {"several_cids": several}, "certain" if many or not number else "likely"
    if kind == "joint":
        return kind, {}, "possible" if evidence.several else "certain"
    if kind in ("own", "after", "start"):
        alike = {
            "own": not number,
            "after": evidence.facts.get("in_order"),
            "start": evidence.distinct >= 10,
        }
        return kind, {}, "likely" if alike[kind] else "possible"
    if kind:
        return (
            kind,
            {},
            "possible"
            if evidence.several * 2 > evidence.distinct and not CAUSES[kind].ambiguous
            else None,
        )
    read, ids = work.context.ingested.tables, work.context.assigned.details.tables
    if unread := read[column.target].rejected + ids[column.target].missing:
        return "unread", {"unread": unread}, None
    segments = (
        " Ids of segments change with every edit of a segmentation: take both tables from one "
        "version of it."
    )
    return (
        "nowhere",
        {"segments": segments if many and number and 16 <= len(value) <= 20 else ""},
        None,
    )


def _other_table(work: Work, group: Group, evidence: Evidence) -> tuple[str, dict[str, Any]]:
    """What of another table that has the keys holds."""
    column, other = evidence.column, evidence.cause.split(":", 1)[1]
    config = work.context.config.tables[column.table]
    others = work.details[column.table].references[column.name].resolved
    if other not in TABLES[column.table].columns[column.name].targets:
        return "table_not_allowed", {}
    if evidence.facts["lacks"]:
        return "table_lacks_some", {}
    if others > group.count:
        return "table_of_few", {"others": others}
    return "table", {"setting": target_setting(column.table, config, {column.name: other})}


def _sentinel(work: Work, column: Column) -> tuple[str, dict[str, Any]]:
    """What holds of the sentinels among a table's orphans, all columns together: to be declared as
    missing, or not for what else they are."""
    table, path = column.table, work.tables[column.table]
    found = work.connection.execute(
        f"""SELECT value, count(*) AS n, list(DISTINCT col) FROM failures
            WHERE tbl = {literal(table)} AND code IN {CODES} AND cause = 'sentinel' GROUP BY value
              ORDER BY n DESC, value LIMIT 10"""
    ).fetchall()
    words = [value for value, *_ in found]
    declared = TABLES[table].columns[column.name]
    needed = declared.required or (column.name == "parent_id" and TABLES[table].needs_parent)
    facts = {
        "refused": f" Rows without {column.name} are refused all the same: give it, or remove them."
        if needed
        else ""
    }
    if work.connection.execute(
        f"SELECT 1 FROM {keys_of(work.ids[table])} WHERE list_contains(?, key) LIMIT 1", [words]
    ).fetchall():
        return "sentinel_is_key", facts
    orphaned = {name for *_, names in found for name in names} | {"cid"}
    described = work.connection.execute(f"DESCRIBE SELECT * FROM {rows_of(path)}").fetchall()
    numbers = literal([float(word) for word in words if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", word)])
    counts = [
        f"count(*) FILTER (list_contains({literal(words)}, {quote(name)}))"
        if kind == "VARCHAR"
        else f"count(*) FILTER (list_contains({numbers}::DOUBLE[], {quote(name)}::DOUBLE))"
        for name, kind, *_ in described
        if not name.startswith("_") and name not in orphaned and kind != "BOOLEAN"
    ]
    [(cells,)] = work.connection.execute(
        f"SELECT {' + '.join(counts) or 'count(NULL)'} FROM {rows_of(path)}"
    ).fetchall()
    if cells:
        return "sentinel_counts", facts | {"other_cells": int(cells)}
    return "sentinel", facts | {
        "setting": missing_setting(table, work.context.config.tables[table], words)
    }
