"""Words that stand for `no value` where a key should be.

Belongs here: markers used as keys (SYN-ID-007), and keys that the config's own markers emptied.
Does not: markers in references (`orphans`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb

from syndb_pipeline.base.engine import literal, parquet, quote
from syndb_pipeline.checks.cells.unparsed_cells import missing_setting
from syndb_pipeline.checks.failures import Failures
from syndb_pipeline.config.settings import DatasetConfig
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.contract.no_value import IN_KEYS, NUMBERS_IN_KEYS, OF_PROGRAMS, UUID_OF_ZEROS
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.rules.finding import Finding, settings_of
from syndb_pipeline.state.tables import columns_of

CODE: Final = "SYN-ID-007"

_NUMBERS: Final = (*NUMBERS_IN_KEYS, UUID_OF_ZEROS)
_ALL: Final = [*IN_KEYS, *_NUMBERS]
_SHORT: Final = [
    *(word for word in _ALL if len(word) < 16),
    *(f"{number}.0" for number in NUMBERS_IN_KEYS if len(number) < 16),
]
_LONG: Final = [word for word in _ALL if len(word) >= 16]
_LONGEST: Final = max(len(word.encode()) for word in _SHORT)

EMPTIED: Final = "emptied"
"""The cause of a missing key that a marker of the config took away."""

MISSING_KEYS: Final = ("SYN-ID-001", "SYN-REL-003", "SYN-REL-007")

_FEWEST_NUMBERS: Final = 3
"""Rows that must repeat a number for it to be a marker where it is in line with the others: 0 and
-1 may be there twice by mistake.
"""

_STEPS: Final = 20
"""A number that lies more steps of the other keys away from them than this is out of line with
them.
"""

_LONG_ID: Final = 2**31

_NEGATIVE_KEYS: Final = 3
"""So many other keys below 0 make one of them a key like the others."""


def is_marker(column: str) -> str:
    """SQL: the text `column` is a marker, be it written as 0 or, by a program that made floats of
    the column, as 0.0.
    """
    return f"list_contains({literal(_ALL)}, regexp_replace(lower({column}), '\\.0+$', ''))"


def hint(column: str, *, stored: bool) -> str:
    """SQL of a number, to be taken in a scan of the keys in `column` that happens anyway: above 0
    where a marker may be among them.

    `stored` says that the keys are BIGINT, of which the least and the greatest tell.
    """
    if stored:
        large = literal([int(number) for number in NUMBERS_IN_KEYS if 0 < int(number) < 2**63])
        ends = f"list_has_any({large}::BIGINT[], [min({column}), max({column})])"
        return f"(coalesce(min({column}) <= 0, FALSE) OR coalesce({ends}, FALSE))::INTEGER"
    # Numbers first: most keys that begin with a digit are none, and need not be folded.
    numbers = literal([word for word in (*_SHORT, *_LONG) if "1" <= word[0] <= "9"])
    return f"""count_if(CASE WHEN {column} BETWEEN '1' AND ':' THEN list_contains({numbers}, {column})
        WHEN strlen({column}) <= {_LONGEST} THEN list_contains({literal(_SHORT)}, lower({column}))
        ELSE list_contains({literal(_LONG)}, {column}) END)"""


@dataclass(frozen=True, slots=True)
class Marker:
    """A key that tables hold for "no value", in so many rows; `certain` when it is a word, which no
    numbering gives.
    """

    key: str
    rows: int
    certain: bool


@dataclass(frozen=True, slots=True)
class _Others:
    """The keys that are no markers: rows, rows with a number, the numbers' least and greatest above
    0, those below it, and the most rows that one of them has.
    """

    rows: int
    numbers: int
    least: float
    greatest: float
    negative: int
    repeated: int

    def is_out_of_line(self, number: float) -> bool:
        """Whether `number` cannot be one more key of the same numbering."""
        if self.numbers * 2 <= self.rows:
            return self.rows > 0
        if number < 0:
            return self.negative < _NEGATIVE_KEYS
        if self.numbers == 1:
            return max(self.least, number) >= _LONG_ID
        step = max((self.greatest - self.least) / (self.numbers - 1), 1.0)
        return not self.least - _STEPS * step <= number <= self.greatest + _STEPS * step


def among(connection: duckdb.DuckDBPyConnection, ids: Path) -> tuple[list[Marker], list[Marker]]:
    """The markers among the keys in `ids`, the commonest first: those that are surely no keys, as
    several rows have them, and the others, which are out of line with the other keys.

    A number that several rows have is a marker when it is out of line, or where nothing else
    repeats about as often: numbering that begins again repeats 0 as often as 1 and 2 (SYN-ID-002).
    """
    keys = f"{rows_of(ids)} WHERE key IS NOT NULL"
    found = connection.execute(
        f"SELECT key, count(*) AS n FROM {keys} AND {is_marker('key')} GROUP BY key ORDER BY n"
        " DESC, key"
    ).fetchall()
    if not found:
        return [], []
    others = _others(connection, keys)
    several, single = [], []
    for key, rows in found:
        number = _number(key)
        odd = number is None or others.is_out_of_line(number)
        if rows > 1 and (odd or (rows >= _FEWEST_NUMBERS and rows > 2 * others.repeated)):
            several.append(Marker(key, rows, number is None))
        elif odd and rows == 1:
            single.append(Marker(key, rows, number is None and key.lower() in OF_PROGRAMS))
    return several, single


def _number(key: str) -> float | None:
    """The number that a marker is; None for a word. The UUID of zeros is out of line with any
    number.
    """
    bare = re.sub(r"\.0+$", "", key)
    return float(bare) if bare in NUMBERS_IN_KEYS else None


def _others(connection: duckdb.DuckDBPyConnection, keys: str) -> _Others:
    others = f"SELECT key, try_cast(key AS DOUBLE) AS number FROM {keys} AND NOT {is_marker('key')}"
    rows, numbers, least, greatest, negative = connection.execute(
        f"""SELECT count(*), count(number), coalesce(min(number) FILTER (number > 0), 0),
              coalesce(max(number), 0),
                   count(*) FILTER (number < 0)
            FROM ({others})"""
    ).fetchone() or (0, 0, 0.0, 0.0, 0)
    (repeated,) = connection.execute(
        f"SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM ({others}) GROUP BY key HAVING"
        " count(*) > 1)"
    ).fetchone() or (0,)
    return _Others(rows, numbers, least, greatest, negative, repeated)


def describe(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    found: Sequence[Marker],
    tables: Mapping[str, Path],
) -> dict[str, Any]:
    """The values of a SYN-ID-007 about the markers `found` in `table`; `tables` are all tables of
    the dataset.
    """
    counted = " and ".join(
        f"{marker.key!r} in {marker.rows:,} row{'' if marker.rows == 1 else 's'}"
        for marker in found
    )
    listed = repr(found[0].key) if len(found) == 1 else counted
    named = _named(connection, table, [marker.key for marker in found], tables)
    told = ", ".join(
        f"{count:,} row{'' if count == 1 else 's'} of {name}" for name, count in named.items()
    )
    advice = (
        "If these are no rows of the dataset, as 0 is no segment, remove them; else give each a key"
        " of its own."
    )
    if named:
        advice += (
            " Where a column that names them means that there is none, leave it empty or name the"
            " marker for that column in `missing`."
        )
    advice += (
        " Declared as `missing` for the key itself, the marker leaves a row without one, which is"
        " as wrong."
    )
    named_by = (
        f"; {told} name{'s' if sum(named.values()) == 1 else ''}"
        f" {'it' if len(found) == 1 else 'them'}"
        if told
        else ""
    )
    confidence = "certain" if all(marker.certain for marker in found) else "likely"
    return {
        "value": found[0].key,
        "listed": listed,
        "named": named_by,
        "advice": advice,
        "confidence": confidence,
    }


def _named(
    connection: duckdb.DuckDBPyConnection, table: str, keys: list[str], tables: Mapping[str, Path]
) -> dict[str, int]:
    """Table -> its rows that name one of `keys` in a column that may point to `table`."""
    found: dict[str, int] = {}
    for name, path in tables.items():
        columns = [
            column
            for column in columns_of(path)
            if table in getattr(TABLES[name].columns.get(column), "targets", ())
        ]
        named = " OR ".join(
            f"list_contains({literal(keys)}, {quote(column)})" for column in columns
        )
        (count,) = (
            connection.execute(f"SELECT count(*) FROM {rows_of(path)} WHERE {named}").fetchone()
            if columns
            else None
        ) or (0,)
        found |= {name: int(count)} if count else {}
    return found


def label_emptied(failures: Failures, cells: Path) -> None:
    """Give the failing cells of MISSING_KEYS that a marker of the config emptied their cause, and
    the marker as their value.
    """
    (concerned,) = failures.connection.execute(
        f"SELECT count(*) FROM failures WHERE code IN {MISSING_KEYS}"
    ).fetchone() or (0,)
    if not concerned:
        return
    failures.connection.execute(f"""UPDATE failures SET cause = '{EMPTIED}', value = emptied.raw
            FROM (SELECT tbl, row_number, col, raw FROM {parquet(cells)} WHERE kind = 'missing')
              emptied
            WHERE failures.code IN {MISSING_KEYS} AND failures.tbl = emptied.tbl
                AND failures.row_number = emptied.row_number AND failures.col = emptied.col""")


def tell_emptied(
    failures: Failures, findings: list[Finding], config: DatasetConfig, targets: Mapping[str, Path]
) -> list[Finding]:
    """`findings`, in which those of missing keys that markers emptied say so; a cell that was empty
    before has no value.

    `targets` gives the keys of the table that each "<table>.<column>" points to. A marker that is a
    key there should be none.
    """
    return [
        _emptied(failures, finding, config, targets) if _is_emptied(finding) else finding
        for finding in findings
    ]


def _is_emptied(finding: Finding) -> bool:
    return (
        finding.code in MISSING_KEYS
        and bool(finding.examples)
        and finding.examples[0].value is not None
    )


def _emptied(
    failures: Failures, finding: Finding, config: DatasetConfig, targets: Mapping[str, Path]
) -> Finding:
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
        failures.connection.execute(
            f"SELECT DISTINCT key FROM {rows_of(ids)} WHERE list_contains(?, key)", [words]
        ).fetchall()
        if ids
        else []
    )
    if not keys:
        are = "is" if len(words) == 1 else "are"
        return finding.model_copy(
            update={
                "cause": cause,
                "cure": f"{finding.cure} {shown} {are} declared as `no value`, and so no key.",
            }
        )
    wrong = [key for (key,) in keys]
    own = config.tables[finding.table]
    left = {
        name: [word for word in declared if word not in wrong]
        for name, declared in own.missing_by_column.items()
    }
    kept = own.model_copy(update={"missing": left})
    setting = missing_setting(finding.table, kept, [])
    verb = "is the key of a row" if len(wrong) == 1 else "are keys of rows"
    cure = (
        f"{' and '.join(map(repr, wrong))} {verb} there, so take it out of the markers:"
        f" `{setting}`."
    )
    return finding.model_copy(
        update={"cause": cause, "cure": cure, "settings": settings_of(cure), "confidence": "likely"}
    )
