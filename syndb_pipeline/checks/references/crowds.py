"""Orphans as a crowd: keys that come after the target's last one, are elsewhere, begin otherwise,
or fill a file.

Belongs here: signs of a cut file, of another release and of another naming, in SQL. Does not:
single keys (`search.py`).
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any, Final

from syndb_pipeline.base.engine import literal
from syndb_pipeline.checks.causes import AGREEING
from syndb_pipeline.checks.references.search import Search

Facts = dict[str, dict[str, Any]]

_MOST: Final = 0.8
"""The part of the orphans that must share a sign, for it to be their cause."""

_NEAR: Final = 20
"""Numbers that follow the target's last one within so many of its own steps go on where it ends;
farther ones are from elsewhere."""


def explain(orphans: Search) -> Facts:
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
