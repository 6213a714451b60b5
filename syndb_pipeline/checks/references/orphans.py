"""Why a key that should name another row names none.

Belongs here: which explanations are tried on orphans, in which order, and which of several holds.
Does not: finding the orphans (`join_relations`), the SQL of one explanation (`key_forms`,
`key_damage`, `key_ranges`), or its words (`orphan_words`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from syndb_pipeline.base.engine import literal, quote
from syndb_pipeline.checks.cells import wrong_encoding
from syndb_pipeline.checks.cells.markers import is_marker
from syndb_pipeline.checks.failures import Failures
from syndb_pipeline.checks.keys import key_damage, key_forms, key_ranges
from syndb_pipeline.checks.keys.key_damage import AGREEING, Search
from syndb_pipeline.contract.key_encoding import part_of_key, rows_of, unescaped_key
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.state.row_locations import SourceMap

CODES: Final = ("SYN-REL-001", "SYN-REL-002")

_CHANCE: Final = 0.05
"""The part of a column's long ids that may look rounded by chance: one in 100 ends in two zeros,
one in 128 is a multiple of 128.
"""

_SHORT_NUMBER: Final = "regexp_full_match(value, '[0-9]{1,8}')"
"""Numbers so short that two tables hold the same ones by chance."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the orphans of one column that share a cause.

    `value` is the first of them in the file, `key` the key it resembles, `distinct` how many there
    are, `several` for how many of them more than one key would do; `facts` are what the words of
    the cause need beside.
    """

    cause: str
    value: str = ""
    key: str | None = None
    distinct: int = 1
    several: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Column:
    """A column with orphans: the table it should point to, all tables' keys, and where its own
    table is.
    """

    table: str
    name: str
    target: str
    ids: Mapping[str, Path]
    path: Path
    joined: Sequence[
        str
    ] = ()  # the columns that make a key of the target together, where several do

    @property
    def here(self) -> str:
        """The condition for its orphans among the failing cells."""
        return f"code IN {CODES} AND tbl = {literal(self.table)} AND col = {literal(self.name)}"

    @property
    def own_keys(self) -> bool:
        return "cid" in TABLES[self.table].columns


def explain(
    failures: Failures,
    sources: SourceMap,
    targets: Mapping[tuple[str, str], str],
    ids: Mapping[str, Path],
    tables: Mapping[str, Path],
    joined_keys: Mapping[str, Sequence[str]],
) -> dict[tuple[str, str, str], Evidence]:
    """Set `cause` of every orphan in `failures`; the evidence by table, column and cause. "" where
    nothing explains it.

    `targets` says which table each (table, column) points to, `ids` where each table's keys are,
    `tables` where its rows, `joined_keys` the columns that make a key together, of tables where
    several do. Works on distinct orphans, by hash joins on a form of the key, within the
    connection's memory.
    """
    connection = failures.connection
    found: dict[tuple[str, str, str], Evidence] = {}
    names = connection.execute(
        f"SELECT DISTINCT tbl, col FROM failures WHERE code IN {CODES} ORDER BY ALL"
    ).fetchall()
    if names:
        key_forms.prepare(connection)
    for table, name in names:
        target = targets[table, name]
        column = Column(table, name, target, ids, tables[table], joined_keys.get(target, ()))
        facts = _explain_column(failures, sources, column)
        connection.execute(
            f"UPDATE failures SET cause = explained.cause FROM explained WHERE {column.here} AND"
            " failures.value = explained.value"
        )
        for cause, value, key, distinct, several in connection.execute(
            """SELECT coalesce(cause, ''), arg_min(value, first), arg_min(key, first), count(*),
                  count_if(several)
               FROM orphan LEFT JOIN explained USING (value) GROUP BY 1"""
        ).fetchall():
            found[table, name, cause] = Evidence(
                cause, value, key, distinct, several, facts.get(cause, {})
            )
    return found


def _explain_column(
    failures: Failures, sources: SourceMap, column: Column
) -> dict[str, dict[str, Any]]:
    """Fill the tables `orphan` (value, n rows, first row) and `explained` (value, cause, key,
    several); facts by cause.
    """
    connection = failures.connection
    connection.execute(f"""CREATE OR REPLACE TEMP TABLE orphan AS
            SELECT value, count(*) AS n, min(row_number) AS first FROM failures WHERE {column.here}
              GROUP BY value""")
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE explained (value VARCHAR, cause VARCHAR, key VARCHAR, several"
        " BOOLEAN)"
    )
    keys = (
        "SELECT file_row_number AS row, key FROM"
        f" {rows_of(column.ids[column.target], row_number=True)} WHERE key IS NOT NULL"
    )
    search = Search(
        connection, "SELECT value, first FROM orphan ANTI JOIN explained USING (value)", keys
    )
    facts: dict[str, dict[str, Any]] = {}
    if column.joined:
        facts |= _parts(search, column.joined)
    _written_otherwise(search)
    if search.some(search.pending):
        connection.execute(
            f"""INSERT INTO explained SELECT value, 'sentinel', NULL, FALSE FROM ({search.pending})
                WHERE {is_marker("value")}"""
        )
        names = list(
            {
                column.name,
                *(
                    lab
                    for part in sources.tables[column.table]
                    for lab in [part.columns.get(column.name)]
                    if lab
                ),
            }
        )
        connection.execute(
            f"""INSERT INTO explained SELECT value, 'header', NULL, FALSE FROM ({search.pending})
                WHERE list_contains({literal(names)}, value)"""
        )
    if search.some("SELECT 1 FROM explained WHERE cause = 'zeros:both'"):
        _zeros_or_cut(search)
    _of_other_tables(search, column, f"NOT {_SHORT_NUMBER}")
    for damage in (
        wrong_encoding.look,
        key_damage.rounded,
        key_damage.dates,
        key_damage.affixes,
        key_damage.cut,
    ):
        if search.some(search.pending):
            damage(search)
    _forget_refuted(search, column)
    _forget_thin(search, column)
    if search.some(search.pending):
        facts |= key_ranges.explain(search, failures, sources, column)
    if search.some(search.pending):
        _of_other_tables(search, column, _SHORT_NUMBER)
    if search.some(search.pending):
        key_damage.glyphs(search)
    return facts | _lacking_of_other_tables(search, column)


def _lacking_of_other_tables(search: Search, column: Column) -> dict[str, dict[str, Any]]:
    """For each cause `table:<name>`, how many values of the column that table `lacks`, and the
    first of them as `example`.
    """
    facts = {}
    own, name = _sides(search, column)["here"]
    for (cause,) in search.connection.execute(
        "SELECT DISTINCT cause FROM explained WHERE starts_with(cause, 'table:') ORDER BY cause"
    ).fetchall():
        keys = (
            f"SELECT key FROM {rows_of(column.ids[cause.partition(':')[2]])} WHERE key IS NOT NULL"
        )
        lacks, example = search.connection.execute(
            f"SELECT count(DISTINCT {name}), min({name}) FROM ({own}) WHERE {name} NOT IN ({keys})"
        ).fetchone() or (0, None)
        facts[cause] = {"lacks": int(lacks), "example": example}
    return facts


def _parts(search: Search, joined: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`part` for orphans that are the `cid` alone of a key that several columns make together,
    `joint` for whole keys without the backslash that a colon inside a part has there.
    """
    cid = part_of_key("key", joined.index("cid"), len(joined))
    orphans = f"SELECT value, value AS form FROM ({search.pending})"
    search.match("'part:here'", orphans, f"SELECT row, {cid} AS form FROM ({search.keys})")
    search.match(
        "'joint:here'", orphans, f"SELECT row, {unescaped_key('key')} AS form FROM ({search.keys})"
    )
    keys = [
        key
        for (key,) in search.connection.execute(
            f"SELECT key FROM ({search.keys}) ORDER BY row LIMIT 2"
        ).fetchall()
    ]
    return {"part:here": {"joined": joined, "keys": keys}}


def _written_otherwise(search: Search) -> None:
    """Orphans of which the target has the key, written differently: `<step>:<where>` (see
    `key_forms`).
    """
    orphans = key_forms.with_form(search.pending, "value")
    keys = key_forms.with_form(search.keys, "key")
    order = literal(["decimal", "zeros", "case", *key_forms.STEPS, "spelling"])
    search.match(
        key_forms.difference("value", "key"),
        f"SELECT value, nullif(form, '') AS form FROM ({orphans})",
        f"SELECT row, form FROM ({keys})",
        rank=f"list_position({order}, split_part(cause, ':', 1))",
    )


def _zeros_or_cut(search: Search) -> None:
    """Where keys seem to have more zeros than orphans that have some, the orphans may as well be
    cut: what explains more of them holds.
    """
    search.connection.execute(
        "CREATE OR REPLACE TEMP TABLE padded AS SELECT value FROM explained WHERE cause ="
        " 'zeros:both'"
    )
    unclear = (
        "SELECT value, 0 AS first FROM padded UNION ALL SELECT value, first FROM"
        f" ({search.pending})"
    )
    key_damage.cut(Search(search.connection, unclear, search.keys))
    cuts = "starts_with(cause, 'cut:')"
    padded = "cause = 'zeros:both'"
    cut, lost = (search.count(f"SELECT 1 FROM explained WHERE {which}") for which in (cuts, padded))
    weaker = (
        f"{padded} AND value IN (SELECT value FROM explained WHERE {cuts})"
        if cut >= max(lost, AGREEING)
        else cuts
    )
    search.connection.execute(f"DELETE FROM explained WHERE {weaker}")


def _of_other_tables(search: Search, column: Column, which: str) -> None:
    """`table:<name>` for orphans that are keys of another table, `own` for keys of their own.

    An orphan that the target has in another writing as well goes with the explanation that holds
    for more of its neighbours.
    """
    for other, path in column.ids.items():
        if other == column.target or (other == column.table and not column.own_keys):
            continue
        cause = "own" if other == column.table else f"table:{other}"
        whole = "value NOT IN (SELECT value FROM explained WHERE cause = 'part:here')"
        here = (
            f"SELECT value FROM orphan WHERE {which} AND {whole} AND value IN (SELECT key FROM"
            f" {rows_of(path)})"
        )
        # A chance meeting with a key of the own table says nothing.
        if cause == "own" and search.count(here) < AGREEING:
            continue
        search.connection.execute(
            f"""INSERT INTO explained SELECT value, {literal(cause)}, value, FALSE FROM ({here})
                {"ANTI JOIN explained USING (value)" if cause == "own" else ""}"""
        )
    search.settle()


def _forget_refuted(search: Search, column: Column) -> None:
    """Drop a few roundings that the rest of their column refutes.

    A program rounds a whole column: where other long ids kept their digits, an orphan whose digits
    look rounded was none, and ids of another release differ from a key in the last digits only by
    chance. What most of a column shares is no chance, whatever the rest is.
    """
    causes = search.connection.execute(
        "SELECT cause, count(*) FROM explained WHERE split_part(cause, ':', 1) IN ('float',"
        " 'sheet') GROUP BY cause ORDER BY cause"
    ).fetchall()
    for cause, count in causes:
        kind, _, where = cause.partition(":")
        for side, (values, name) in _sides(search, column).items():
            if where not in (side, "both"):
                continue
            whole = search.count(
                f"SELECT DISTINCT {name} FROM ({values}) WHERE"
                f" {key_damage.keeps_its_digits(name, kind)}"
            )
            if whole and count <= max(AGREEING - 1, whole * _CHANCE):
                search.connection.execute("DELETE FROM explained WHERE cause = ?", [cause])


def _sides(search: Search, column: Column) -> dict[str, tuple[str, str]]:
    """The two columns that a difference may be in, `here` and `there`: a query for all their
    values, and the name these have in it.
    """
    own = (
        f"SELECT {quote(column.name)} AS value FROM {rows_of(column.path)} WHERE"
        f" {quote(column.name)} IS NOT NULL"
    )
    return {"here": (own, "value"), "there": (search.keys, "key")}


def _forget_thin(search: Search, column: Column) -> None:
    """Drop explanations that chance gives as well: a beginning or end that too few orphans share,
    and a cut end.

    A beginning or end that all values of its side have is no chance, however few they are.
    """
    for kind in ("prefix", "suffix", "cut"):
        rows = search.connection.execute(
            f"SELECT cause, count(*) FROM explained WHERE split_part(cause, ':', 1) = '{kind}'"
            " GROUP BY cause"
        ).fetchall()
        for cause, count in rows:
            if count >= AGREEING or (kind != "cut" and _shared_by_all(search, column, cause)):
                continue
            search.connection.execute("DELETE FROM explained WHERE cause = ?", [cause])


def _shared_by_all(search: Search, column: Column, cause: str) -> bool:
    """Whether every value of the side that has the beginning or end of `cause` has it."""
    kind, side, affix = cause.split(":", 2)
    values, name = _sides(search, column)[side]
    has = f"{'starts_with' if kind == 'prefix' else 'ends_with'}({name}, {literal(affix)})"
    return not search.some(f"SELECT 1 FROM ({values}) WHERE NOT {has}")


def markers(failures: Failures, table: str, ids: Path, path: Path) -> dict[str, Any]:
    """What must be known before the sentinels among a table's orphans are declared as missing, by
    the names of `orphan_words.Place`.

    `markers` are the sentinels, the commonest first; `key_is_marker` those that are keys of the
    table's own rows; `other_cells` how many cells in other columns hold one of them.
    """
    connection = failures.connection
    orphaned = f"tbl = {literal(table)} AND code IN {CODES} AND cause = 'sentinel'"
    found = connection.execute(
        f"SELECT value, count(*) AS n, list(DISTINCT col) FROM failures WHERE {orphaned} GROUP BY"
        " value ORDER BY n DESC, value LIMIT 10"
    ).fetchall()
    words = [value for value, *_ in found]
    columns = {column for *_, columns in found for column in columns}
    own = connection.execute(
        f"SELECT DISTINCT key FROM {rows_of(ids)} WHERE list_contains(?, key)", [words]
    ).fetchall()
    described = connection.execute(f"DESCRIBE SELECT * FROM {rows_of(path)}").fetchall()
    others = {
        name: kind
        for name, kind, *_ in described
        if not name.startswith("_") and name not in {*columns, "cid"}
    }
    numbers = [number for word in words if (number := _number(word)) is not None]
    counts = [
        (
            f"count(*) FILTER (list_contains({literal(words)}, {quote(name)}))"
            if kind == "VARCHAR"
            else (
                f"count(*) FILTER (list_contains({literal(numbers)}::DOUBLE[],"
                f" {quote(name)}::DOUBLE))"
            )
        )
        for name, kind in others.items()
        if kind != "BOOLEAN"
    ]
    (other_cells,) = connection.execute(
        f"SELECT {' + '.join(counts) or '0'} FROM {rows_of(path)}"
    ).fetchone() or (0,)
    return {
        "markers": tuple(words),
        "key_is_marker": frozenset(key for (key,) in own),
        "other_cells": int(other_cells),
    }


def _number(word: str) -> float | None:
    return float(word) if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", word) else None
