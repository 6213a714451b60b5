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
from syndb_pipeline.checks.references.search import Column, Search

Facts = dict[str, dict[str, Any]]

_MOST: Final = 0.8
"""The part of the orphans that must share a sign, for it to be their cause."""

_NEAR: Final = 20
"""Numbers that follow the target's last one within so many of its own steps go on where it ends;
farther ones are from elsewhere."""


def explain(orphans: Search, column: Column) -> Facts:
    """Explain what is pending as `after`, `range`, `kind`, `start`, `tail` or `file` where most of
    it agrees; facts by cause."""
    facts: Facts = {}
    for look in (_numbered, _beginning, _last_rows, _whole_files):
        if orphans.count(orphans.pending) >= AGREEING:
            facts |= look(orphans, column)
    return facts


def _enough(count: int, total: int) -> bool:
    return count >= AGREEING and count >= _MOST * total


def _numbered(orphans: Search, column: Column) -> Facts:
    """Keys of one pattern that differ in their number: where the numbers of the orphans are, and
    where those of the keys."""
    total = orphans.count(orphans.pending)
    orphans.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE numbered AS {_with_numbers(orphans.pending, 'value')}"
    )
    found = orphans.fetch(
        "SELECT head, count(*) AS n FROM numbered GROUP BY 1 ORDER BY n DESC, 1 LIMIT 1"
    )
    head, count = found[0] if found else ("", 0)
    if not _enough(count, total):
        return {}
    same = f"SELECT * FROM ({_with_numbers(orphans.keys, 'key')}) WHERE head = {literal(head)}"
    [(keys, low, high, first, last)] = orphans.fetch(
        "SELECT count(*), min(number), max(number), arg_min(x, number), arg_max(x, number) "
        f"FROM ({same})"
    )
    if not keys and not head:
        [(example,)] = orphans.fetch(f"SELECT min(key) FROM ({orphans.keys})")
        if example is not None:
            orphans.explain("kind", "SELECT x AS value FROM numbered WHERE head = ''")
            return {"kind": {"example": example}}
    if keys < AGREEING:
        return {}
    for condition, below in ((f"number > {high}", False), (f"number < {low}", True)):
        outside = f"SELECT * FROM numbered WHERE head = {literal(head)} AND {condition}"
        [(beyond, nearest, farthest, least, most)] = orphans.fetch(
            "SELECT count(*), min(number), max(number), arg_min(x, number), arg_max(x, "
            f"number) FROM ({outside})"
        )
        if not _enough(beyond, total):
            continue
        step = max((high - low) / (keys - 1), 1)
        goes_on = (
            not below
            and nearest - high <= _NEAR * step
            and farthest - high <= max(high - low, _NEAR)
        )
        cause = "after" if goes_on else "range"
        orphans.explain(cause, f"SELECT x AS value FROM ({outside})")
        facts = {
            "low": first,
            "high": last,
            "least": least,
            "most": most,
            "in_order": _last_key(orphans) == last,
        }
        return {cause: facts | (_sizes(orphans, column) if goes_on else {})}
    return {}


def _with_numbers(query: str, name: str) -> str:
    """SQL: the texts `name` that end in digits as `x`, with those as `number` and what is before
    them as `head`."""
    digits = f"SELECT {name} AS x, regexp_extract({name}, '[0-9]+$') AS digits FROM ({query})"
    return f"""SELECT x, left(x, length(x) - length(digits)) AS head, try_cast(digits AS HUGEINT) AS
          number
        FROM ({digits}) WHERE length(digits) BETWEEN 1 AND 37"""


def _beginning(orphans: Search, column: Column) -> Facts:
    """Orphans that begin alike, as no key does."""
    [(word, count)] = orphans.fetch(
        "SELECT regexp_extract(value, '^[^0-9]+') AS word, count(*) AS n FROM "
        f"({orphans.pending}) GROUP BY 1 ORDER BY n DESC, 1 LIMIT 1"
    )
    if not word or not _enough(count, orphans.count(orphans.pending)):
        return {}
    alike = f"SELECT value FROM ({orphans.pending}) WHERE starts_with(value, {literal(word)})"
    beginning = _common_beginning(orphans, alike, "value")
    if orphans.some(f"SELECT 1 FROM ({orphans.keys}) WHERE starts_with(key, {literal(beginning)})"):
        return {}
    theirs = _common_beginning(orphans, orphans.keys, "key")
    orphans.explain("start", alike)
    return {
        "start": {
            "beginning": beginning,
            "theirs": f"; those of {column.target} begin with {theirs!r}" if theirs else "",
        }
    }


def _common_beginning(orphans: Search, query: str, name: str) -> str:
    """What all texts `name` begin with: the beginning of the first and the last of them in
    alphabetical order."""
    [ends] = orphans.fetch(
        f"SELECT coalesce(min({name}), ''), coalesce(max({name}), '') FROM ({query})"
    )
    alike = takewhile(lambda letters: letters[0] == letters[1], zip(*ends, strict=False))
    return "".join(letter for letter, _ in alike)


def _last_rows(orphans: Search, column: Column) -> Facts:
    """Both files have one order, and the child's goes on after the row that names the target's last
    one."""
    [(first, lost)] = orphans.fetch(
        f"SELECT min(orphan.first), sum(n)::BIGINT FROM orphan JOIN ({orphans.pending}) USING "
        "(value)"
    )
    before = f"SELECT row, x AS key FROM ({column.rows}) WHERE row < {first}"
    [(last_named, after, farthest)] = orphans.fetch(
        f"""SELECT arg_max(x, row) FILTER (row < {first}), count(*) FILTER (row >= {first}),
                   arg_max(x, row) FROM ({column.rows})"""
    )
    last = _last_key(orphans)
    if after != lost or last_named != last:
        return {}
    steps = (
        f"SELECT keys.row - lag(keys.row) OVER (ORDER BY named.row) AS step FROM ({before}) named "
        f"JOIN ({orphans.keys}) keys USING (key)"
    )
    if orphans.some(f"SELECT 1 FROM ({steps}) WHERE step < 0"):
        return {}
    orphans.explain("tail", orphans.pending)
    return {"tail": {"high": last, "most": farthest} | _sizes(orphans, column)}


def _whole_files(orphans: Search, column: Column) -> Facts:
    """A table of several files: all rows of one are orphans, and hardly any of the others."""
    parts = column.sources.tables[column.table]
    if len(parts) < 2:
        return {}
    listed = ", ".join(
        f"({number}, {part.first_row})" for number, part in enumerate(parts) if part.rows
    )
    lost = (
        f"SELECT row_number AS row FROM failures WHERE {column.orphaned} AND value IN (SELECT "
        f"value FROM ({orphans.pending}))"
    )
    counts = orphans.fetch(
        f"""SELECT number, count(*), count(lost.row) FROM ({column.rows}) rows LEFT JOIN ({lost})
              lost USING (row)
            ASOF JOIN (VALUES {listed}) part(number, start) ON rows.row >= start GROUP BY 1 ORDER BY
              1"""
    )
    whole = {number: n for number, n, gone in counts if n >= AGREEING and gone >= 0.9 * n}
    if (
        not whole
        or len(whole) == len(counts)
        or sum(whole.values()) < 0.9 * sum(gone for *_, gone in counts)
    ):
        return {}
    orphans.explain("file", orphans.pending)
    files = list(dict.fromkeys(parts[number].file for number in whole))
    return {
        "file": {
            "names": ", ".join(files[:3]) + (", ..." if len(files) > 3 else ""),
            "of": len(parts),
        }
    }


def _last_key(orphans: Search) -> str:
    """The last key of the target."""
    [(key,)] = orphans.fetch(f"SELECT arg_max(key, row) FROM ({orphans.keys})")
    return str(key)


def _sizes(orphans: Search, column: Column) -> dict[str, int]:
    """How many keys the target has, and how many different ones the column names."""
    return {
        "keys": orphans.count(orphans.keys),
        "named": orphans.count(f"SELECT DISTINCT x FROM ({column.rows})"),
    }
