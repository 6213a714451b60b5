"""Orphans as a crowd: keys that come after the target's last one, lie elsewhere, begin otherwise,
or fill a file.

Belongs here: signs of a cut file, of another release and of another naming, in SQL. Does not:
single keys (`key_forms`, `key_damage`).
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from syndb_pipeline.base.engine import literal, quote
from syndb_pipeline.checks.failures import Failures
from syndb_pipeline.checks.keys.key_damage import AGREEING, Search
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.state.row_locations import SourceMap

if TYPE_CHECKING:
    from syndb_pipeline.checks.references.orphans import Column

Facts = dict[str, dict[str, Any]]

MOST: Final = 0.8
"""The part of the orphans that must share a sign, for it to be their cause."""

_NEAR: Final = 20
"""Numbers that follow the target's last one within so many of its own steps go on where it ends;
farther ones are from elsewhere.
"""


def explain(search: Search, failures: Failures, sources: SourceMap, column: Column) -> Facts:
    """Explain what is pending as `after`, `range`, `kind`, `start`, `tail` or `file` where most of
    it agrees; facts by cause.
    """
    facts: Facts = {}
    for look in (_numbered, _beginning):
        if search.count(search.pending) >= AGREEING:
            facts |= look(search, column)
    if search.count(search.pending) >= AGREEING:
        facts |= _last_rows(search, column) or _whole_files(search, failures, sources, column)
    return facts


def _numbered(search: Search, column: Column) -> Facts:
    """Keys of one pattern that differ in their number: where the numbers of the orphans lie, and
    where those of the keys.
    """
    total = search.count(search.pending)
    search.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE numbered AS {_with_numbers(search.pending, 'value')}"
    )
    head, count = search.connection.execute(
        "SELECT head, count(*) AS n FROM numbered GROUP BY 1 ORDER BY n DESC, 1 LIMIT 1"
    ).fetchone() or ("", 0)
    if count < AGREEING or count < MOST * total:
        return {}
    same = f"SELECT * FROM ({_with_numbers(search.keys, 'key')}) WHERE head = {literal(head)}"
    keys, low, high, first, last = search.connection.execute(
        "SELECT count(*), min(number), max(number), arg_min(key, number), arg_max(key, number)"
        f" FROM ({same})"
    ).fetchone() or (0, 0, 0, "", "")
    everything = search.count(search.keys)
    if not keys and not head and everything:
        (example,) = search.connection.execute(
            f"SELECT min(key) FROM ({search.keys})"
        ).fetchone() or ("",)
        _insert(search, "kind", "SELECT value FROM numbered WHERE head = ''")
        return {"kind": {"example": example}}
    if keys < AGREEING:
        return {}
    for condition, below in ((f"number > {high}", False), (f"number < {low}", True)):
        outside = f"SELECT * FROM numbered WHERE head = {literal(head)} AND {condition}"
        beyond, nearest, farthest, least, most = search.connection.execute(
            f"""SELECT count(*), min(number), max(number), arg_min(value, number), arg_max(value, number) FROM ({outside})"""
        ).fetchone() or (0, 0, 0, "", "")
        if beyond < AGREEING or beyond < MOST * total:
            continue
        step = max((high - low) / (keys - 1), 1)
        goes_on = (
            not below
            and nearest - high <= _NEAR * step
            and farthest - high <= max(high - low, _NEAR)
        )
        _insert(search, "after" if goes_on else "range", f"SELECT value FROM ({outside})")
        told = {"low": first, "high": last, "least": least, "most": most}
        if goes_on:
            return {
                "after": (
                    told | {"in_order": _last_key(search, column) == last} | _sizes(search, column)
                )
            }
        return {"range": told}
    return {}


def _with_numbers(query: str, name: str) -> str:
    """SQL: the texts `name` that end in digits, with those as `number` and what is before them as
    `head`.
    """
    digits = f"SELECT {name}, regexp_extract({name}, '[0-9]+$') AS digits FROM ({query})"
    return f"""SELECT {name}, left({name}, length({name}) - length(digits)) AS head, try_cast(digits
          AS HUGEINT) AS number
        FROM ({digits}) WHERE length(digits) BETWEEN 1 AND 37"""


def _word(name: str) -> str:
    return f"regexp_extract({name}, '^[^0-9]+')"


def _beginning(search: Search, column: Column) -> Facts:
    """Orphans that begin alike, as no key does."""
    total = search.count(search.pending)
    word, count = search.connection.execute(
        f"SELECT {_word('value')} AS word, count(*) AS n FROM ({search.pending}) GROUP BY 1 ORDER"
        " BY n DESC, 1 LIMIT 1"
    ).fetchone() or ("", 0)
    if not word or count < AGREEING or count < MOST * total:
        return {}
    alike = f"SELECT value FROM ({search.pending}) WHERE starts_with(value, {literal(word)})"
    beginning = _common_beginning(search, alike, "value")
    if search.some(f"SELECT 1 FROM ({search.keys}) WHERE starts_with(key, {literal(beginning)})"):
        return {}
    _insert(search, "start", alike)
    return {
        "start": {"beginning": beginning, "theirs": _common_beginning(search, search.keys, "key")}
    }


def _common_beginning(search: Search, query: str, name: str) -> str:
    """What all texts `name` begin with: the beginning of the first and the last of them in
    alphabetical order.
    """
    first, last = search.connection.execute(
        f"SELECT coalesce(min({name}), ''), coalesce(max({name}), '') FROM ({query})"
    ).fetchone() or (
        "",
        "",
    )
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(letter for letter, _ in alike)


def _last_rows(search: Search, column: Column) -> Facts:
    """Both files have one order, and the child's goes on after the row that names the target's last
    one.
    """
    name = quote(column.name)
    rows = f"{rows_of(column.path, row_number=True)} WHERE {name} IS NOT NULL"
    first, lost = search.connection.execute(
        f"SELECT min(orphan.first), sum(n)::BIGINT FROM orphan JOIN ({search.pending}) USING"
        " (value)"
    ).fetchone() or (0, 0)
    if search.count(f"SELECT 1 FROM {rows} AND file_row_number >= {first}") != lost:
        return {}
    before = search.connection.execute(
        f"SELECT {name} FROM {rows} AND file_row_number < {first} ORDER BY file_row_number DESC"
        " LIMIT 1"
    ).fetchone()
    last = _last_key(search, column)
    if before is None or before[0] != last:
        return {}
    named = f"SELECT file_row_number AS n, {name} AS key FROM {rows} AND file_row_number < {first}"
    steps = (
        f"SELECT row - lag(row) OVER (ORDER BY n) AS step FROM ({named}) named JOIN ({search.keys})"
        " keys USING (key)"
    )
    if search.some(f"SELECT 1 FROM ({steps}) WHERE step < 0"):
        return {}
    (farthest,) = search.connection.execute(
        f"SELECT {name} FROM {rows} ORDER BY file_row_number DESC LIMIT 1"
    ).fetchone() or ("",)
    _insert(search, "tail", search.pending)
    return {"tail": {"high": last, "most": farthest} | _sizes(search, column)}


def _whole_files(search: Search, failures: Failures, sources: SourceMap, column: Column) -> Facts:
    """A table of several files: all rows of one are orphans, and hardly any of the others."""
    parts = sources.tables[column.table]
    if len(parts) < 2:
        return {}
    connection = search.connection
    connection.execute("CREATE OR REPLACE TEMP TABLE part (number BIGINT, start BIGINT)")
    connection.executemany(
        "INSERT INTO part VALUES (?, ?)",
        [(number, part.first_row) for number, part in enumerate(parts) if part.rows],
    )
    by_part = (
        "SELECT number, count(*) AS n FROM ({}) r ASOF JOIN part ON r.row >= part.start GROUP BY 1"
    )
    rows = (
        f"SELECT file_row_number AS row FROM {rows_of(column.path, row_number=True)} WHERE"
        f" {quote(column.name)} IS NOT NULL"
    )
    lost = (
        f"SELECT row_number AS row FROM failures WHERE {column.here} AND value IN (SELECT value"
        f" FROM ({search.pending}))"
    )
    counts = connection.execute(
        f"""SELECT number, a.n, coalesce(l.n, 0) FROM ({by_part.format(rows)}) a LEFT JOIN
              ({by_part.format(lost)}) l USING (number)
            ORDER BY 1"""
    ).fetchall()
    whole = [(number, n) for number, n, gone in counts if n >= AGREEING and gone >= 0.9 * n]
    if (
        not whole
        or len(whole) == len(counts)
        or sum(n for _, n in whole) < 0.9 * sum(gone for *_, gone in counts)
    ):
        return {}
    _insert(search, "file", search.pending)
    return {
        "file": {
            "files": list(dict.fromkeys(parts[number].file for number, _ in whole)),
            "of": len(parts),
        }
    }


def _insert(search: Search, cause: str, values: str) -> None:
    search.connection.execute(
        f"INSERT INTO explained SELECT value, {literal(cause)}, NULL, FALSE FROM ({values})"
    )


def _last_key(search: Search, column: Column) -> str:
    rows = rows_of(column.ids[column.target], row_number=True)
    (key,) = search.connection.execute(
        f"SELECT arg_max(key, file_row_number) FROM {rows}"
    ).fetchone() or ("",)
    return str(key)


def _sizes(search: Search, column: Column) -> dict[str, int]:
    """How many keys the target has, and how many different ones the column names."""
    (named,) = search.connection.execute(
        f"SELECT count(DISTINCT {quote(column.name)}) FROM {rows_of(column.path)}"
    ).fetchone() or (0,)
    return {"keys": search.count(search.keys), "named": int(named)}
