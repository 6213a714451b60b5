"""Words that stand for `no value` where a key should be.

Belongs here: markers used as keys (SYN-ID-007), and keys that the config's own markers emptied. Does not: markers in references
(`orphans`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import duckdb

from syndb_pipeline.engine import literal, parquet
from syndb_pipeline.findings.finding import Finding, settings_of
from syndb_pipeline.settings import DatasetConfig
from syndb_pipeline.stages.failures import Failures
from syndb_pipeline.stages.uncast import missing_setting
from syndb_pipeline.stored_keys import rows_of

CODE: Final = "SYN-ID-007"

SENTINELS: Final = (
    *("na", "n/a", "n.a.", "#n/a", "<na>", "nan", "none", "null", "nil", "unknown", "undefined", "missing", "not found", "unassigned"),
    *("-", "--", "---", "–", "—", ".", "..", "?", "??", "0", "-1", "-2", "-9", "-99", "-999", "-9999", "-99999", "9999", "99999", "999999"),
    *("4294967295", "2147483647", "-2147483648", "18446744073709551615", "9223372036854775807", "-9223372036854775808"),
    "00000000-0000-0000-0000-000000000000",
)
"""What tables hold where there is no key, in small letters; the long numbers are those with which integer columns say so."""

EMPTIED: Final = "emptied"
"""The cause of a missing key that a marker of the config took away."""

MISSING_KEYS: Final = ("SYN-ID-001", "SYN-REL-003", "SYN-REL-007")

_FEWEST_NUMBERS: Final = 3
"""Rows that must repeat a number for it to be a marker: 0 and -1 are good keys once, and stand twice by mistake."""


def is_marker(column: str) -> str:
    """SQL: the text `column` is a marker, be it written as 0 or, by a program that made floats of the column, as 0.0."""
    return f"list_contains({literal(list(SENTINELS))}, regexp_replace(lower({column}), '\\.0+$', ''))"


def repeated_markers(connection: duckdb.DuckDBPyConnection, ids: Path) -> list[str]:
    """The markers that repeat among the keys in `ids`, the commonest first; for a number, only where nothing else repeats about as often.

    Numbering that begins again repeats 0 as often as 1 and 2, and is told as SYN-ID-002.
    """
    rows = connection.execute(
        f"""WITH counted AS (SELECT key, count(*) AS n FROM {rows_of(ids)} WHERE key IS NOT NULL GROUP BY key HAVING count(*) > 1),
                 judged AS (SELECT key, n, {is_marker("key")} AS marker, regexp_full_match(key, '-?[0-9]+(\\.0+)?') AS number FROM counted)
            SELECT key FROM judged WHERE marker AND (NOT number OR
                (n >= {_FEWEST_NUMBERS} AND n > 2 * coalesce((SELECT max(n) FROM judged WHERE NOT marker), 0))) ORDER BY n DESC, key"""
    ).fetchall()
    return [key for (key,) in rows]


def describe(found: list[str]) -> dict[str, Any]:
    """The values of a SYN-ID-007."""
    others = found[1:]
    reason = f", and others the {'marker' if len(others) == 1 else 'markers'} {', '.join(map(repr, others))}" if others else ""
    advice = (
        "Give each of these rows a key of its own, or remove it. Declared as `missing` the marker leaves it without one, which is as wrong."
    )
    number = all(word.lstrip("-").replace(".", "").isdigit() for word in found)
    return {"value": found[0], "reason": reason, "advice": advice, "confidence": "likely" if number else "certain"}


def label_emptied(failures: Failures, cells: Path) -> None:
    """Give the failing cells of MISSING_KEYS that a marker of the config emptied their cause, and the marker as their value."""
    (concerned,) = failures.connection.execute(f"SELECT count(*) FROM failures WHERE code IN {MISSING_KEYS}").fetchone() or (0,)
    if not concerned:
        return
    failures.connection.execute(
        f"""UPDATE failures SET cause = '{EMPTIED}', value = emptied.raw
            FROM (SELECT tbl, row_number, col, raw FROM {parquet(cells)} WHERE kind = 'missing') emptied
            WHERE failures.code IN {MISSING_KEYS} AND failures.tbl = emptied.tbl
                AND failures.row_number = emptied.row_number AND failures.col = emptied.col"""
    )


def tell_emptied(failures: Failures, findings: list[Finding], config: DatasetConfig, targets: Mapping[str, Path]) -> list[Finding]:
    """`findings`, in which those of missing keys that markers emptied say so; a cell that was empty before has no value.

    `targets` gives the keys of the table that each "<table>.<column>" points to. A marker that is a key there should be none.
    """
    return [_emptied(failures, finding, config, targets) if _is_emptied(finding) else finding for finding in findings]


def _is_emptied(finding: Finding) -> bool:
    return finding.code in MISSING_KEYS and bool(finding.examples) and finding.examples[0].value is not None


def _emptied(failures: Failures, finding: Finding, config: DatasetConfig, targets: Mapping[str, Path]) -> Finding:
    assert finding.table is not None
    rows = failures.connection.execute(
        """SELECT value FROM failures WHERE code = ? AND tbl = ? AND col = ? AND cause = ?
           GROUP BY value ORDER BY count(*) DESC, value LIMIT 5""",
        [finding.code, finding.table, finding.column, EMPTIED],
    ).fetchall()
    words = [value.strip() for (value,) in rows]
    shown = " and ".join(map(repr, words))
    cause = f"{finding.cause.rstrip('.')}: `missing` of the config emptied {shown}."
    ids = targets.get(f"{finding.table}.{finding.column}")
    keys = (
        failures.connection.execute(f"SELECT DISTINCT key FROM {rows_of(ids)} WHERE list_contains(?, key)", [words]).fetchall()
        if ids
        else []
    )
    if not keys:
        are = "is" if len(words) == 1 else "are"
        return finding.model_copy(update={"cause": cause, "cure": f"{finding.cure} {shown} {are} declared as `no value`, and so no key."})
    wrong = [key for (key,) in keys]
    own = config.tables[finding.table]
    kept = own.model_copy(update={"missing": [word for word in own.missing if word not in wrong]})
    setting = missing_setting(finding.table, kept, [])
    verb = "is the key of a row" if len(wrong) == 1 else "are keys of rows"
    cure = f"{' and '.join(map(repr, wrong))} {verb} there, so take it out of the markers: `{setting}`."
    return finding.model_copy(update={"cause": cause, "cure": cure, "settings": settings_of(cure), "confidence": "likely"})
