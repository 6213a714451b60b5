"""Why a key that should name another row names none.

Belongs here: telling orphans apart by cause, with the cure of each. Does not: finding them (`join_relations`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from syndb_pipeline.engine import literal, parquet
from syndb_pipeline.stages.failures import Failures, Group

CODES = ("SYN-REL-001", "SYN-REL-002")
SENTINELS = ("0", "-1", "na", "n/a", "nan", "none", "null", "unknown", "undefined", "-", "?")

_BARE = "trim({0}, ' \t\r\n\"''`')"  # without the white space and quotation marks that exports leave around keys
_WHOLE = "regexp_replace({0}, '\\.0+$', '')"  # 1.0 -> 1
_UNPADDED = "ltrim({0}, '0')"


def _same(form: str) -> str:
    """SQL: the orphan and the key it resembles are equal in this form."""
    return f"{form.format('o.value')} = {form.format('k.key')}"


_NORMAL = "lower(" + _UNPADDED.format(_WHOLE.format(_BARE)) + ")"

_ADVICE = {
    "decimal": "Write the key alike in both files, as text; a column with empty cells makes pandas and spreadsheets turn 1 into 1.0.",
    "zeros": "Leading zeros were lost in one of the files; export the key as text from its source.",
    "case": "Write the key with the same capitals in both files.",
    "quotes": "Remove the quotation marks or blanks that stand inside the values.",
    "spelling": "Write the key alike in both files, as text.",
}


def explain(failures: Failures, targets: dict[tuple[str, str], str], ids: dict[str, Path]) -> None:
    """Set `cause` of every orphan in `failures`: decimal, zeros, case, quotes, spelling, sentinel, `table:<other table>`, or "".

    `targets` says which table each (table, column) points to; `ids` where each table's keys are.
    """
    connection = failures.connection
    for table, column in connection.execute(f"SELECT DISTINCT tbl, col FROM failures WHERE code IN {CODES} ORDER BY ALL").fetchall():
        target = targets[table, column]
        here = f"code IN {CODES} AND tbl = {literal(table)} AND col = {literal(column)}"
        connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE explained AS
                SELECT o.value, CASE
                    WHEN bool_or({_same(_WHOLE)}) THEN 'decimal' WHEN bool_or({_same(_UNPADDED)}) THEN 'zeros'
                    WHEN bool_or({_same("lower({0})")}) THEN 'case' WHEN bool_or({_same(_BARE)}) THEN 'quotes' ELSE 'spelling' END AS cause
                FROM (SELECT DISTINCT value FROM failures WHERE {here}) o
                JOIN {parquet(ids[target])} k ON {_NORMAL.format("o.value")} = {_NORMAL.format("k.key")}
                GROUP BY o.value"""
        )
        connection.execute(f"UPDATE failures SET cause = e.cause FROM explained e WHERE {here} AND failures.value = e.value")
        connection.execute(f"UPDATE failures SET cause = 'sentinel' WHERE {here} AND cause = '' AND lower(value) IN {SENTINELS}")
        for other, path in ids.items():
            if other not in (target, table):
                connection.execute(
                    f"""UPDATE failures SET cause = {literal(f"table:{other}")}
                        WHERE {here} AND cause = '' AND value IN (SELECT key FROM {parquet(path)})"""
                )


def describe(failures: Failures, group: Group, target: str, ids: Path) -> dict[str, Any]:
    """The words of an orphans' finding: target, reason and advice, for one cause."""
    connection = failures.connection
    (distinct,) = connection.execute(
        "SELECT count(DISTINCT value) FROM failures WHERE code = ? AND tbl = ? AND col = ? AND cause = ?",
        [group.code, group.table, group.column, group.cause],
    ).fetchone() or (1,)
    others = f", nor {'is' if distinct == 2 else 'are'} {distinct - 1:,} other value{'' if distinct == 2 else 's'}" if distinct > 1 else ""
    if group.cause in _ADVICE:
        (key,) = connection.execute(
            f"SELECT min(key) FROM {parquet(ids)} WHERE {_NORMAL.format('key')} = {_NORMAL.format(literal(group.value))}"
        ).fetchone() or ("",)
        return {"target": target, "reason": f"{others}; {target} has {key!r}", "advice": _ADVICE[group.cause]}
    if group.cause == "sentinel":
        advice = f"If {group.value!r} means that there is none, say so: `tables.{group.table}.missing: [{_yaml(group.value)}]`."
        return {"target": target, "reason": others, "advice": advice}
    if group.cause.startswith("table:"):
        other = group.cause.removeprefix("table:")
        key = f"parent: {other}" if group.column == "parent_id" else f"references: {{{group.column}: {other}}}"
        advice = f"If the column points to {other}, say so: `tables.{group.table}.{key}`. One column points to one table."
        return {"target": target, "reason": f"{others}; {other} has it", "advice": advice}
    advice = f"Add the missing rows to {target}, or remove the rows that point to them."
    return {"target": target, "reason": others, "advice": advice}


def _yaml(value: str) -> str:
    return '"' + value.replace('"', '\\"') + '"'
