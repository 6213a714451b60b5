"""Words and numbers that mean `no value`: as keys, in the config's `missing`, and what that
emptied.

Belongs here: markers used as keys (SYN-ID-007), keys and values that the config's own markers
emptied, and the setting that declares markers. Does not: the list of them (`contract/no_value.py`),
markers in references (`orphans`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import duckdb

from syndb_pipeline.base.engine import literal, parquet, quote
from syndb_pipeline.checks.causes import Cause, causes, read
from syndb_pipeline.checks.dataset import Inspected
from syndb_pipeline.checks.failures import Failures
from syndb_pipeline.config.settings import DatasetConfig
from syndb_pipeline.config.table_settings import ALL_COLUMNS, TableConfig
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.contract.no_value import (
    IN_KEYS,
    IN_TEXT,
    NUMBERS_IN_KEYS,
    OF_PROGRAMS,
    UUID_OF_ZEROS,
)
from syndb_pipeline.contract.tables import TABLES, Column, Kind
from syndb_pipeline.contract.vocabularies import means
from syndb_pipeline.readers.casts import FALSE_WORDS, TRUE_WORDS, WHITE_SPACE, true_markers
from syndb_pipeline.rules.finding import Finding, settings_of
from syndb_pipeline.state.tables import columns_of

CODE: Final = "SYN-ID-007"

_ALL: Final = [*IN_KEYS, *NUMBERS_IN_KEYS, UUID_OF_ZEROS]
EMPTIED: Final = "emptied"
"""The cause of a missing key that a marker of the config took away."""

MISSING_KEYS: Final = ("SYN-ID-001", "SYN-REL-003", "SYN-REL-007")

_FEWEST_NUMBERS: Final = 3
"""Rows that must repeat a number in line with the others for it to be a marker: two may be a
mistake.
"""

_STEPS: Final = 20
"""A number that is more steps of the other keys away from them than this is out of line with
them.
"""

_LONG_ID: Final = 2**31

_NEGATIVE_KEYS: Final = 3
"""So many other keys below 0 make one of them a key like the others."""

CAUSES: Final = causes(Path(__file__).with_suffix(".toml"), Cause)
UNPARSED: Final = Path(__file__).with_name("unparsed_cells.toml")
NUMBER: Final = str(read(UNPARSED)["macros"]["number"])


# -- markers used as keys


def is_marker(column: str) -> str:
    """SQL: the text `column` is a marker, written as 0 or, by a program that made floats of it, as
    0.0.
    """
    return f"list_contains({literal(_ALL)}, regexp_replace(lower({column}), '\\.0+$', ''))"


def hint(column: str, *, stored: bool) -> str:
    """SQL of a number, for a scan of keys that happens anyway: above 0 where a marker may be among
    them.

    `stored` says that the keys are BIGINT, of which the least and the greatest say enough.
    """
    if stored:
        large = literal([int(number) for number in NUMBERS_IN_KEYS if 0 < int(number) < 2**63])
        ends = f"list_has_any({large}::BIGINT[], [min({column}), max({column})])"
        return f"(coalesce(min({column}) <= 0, FALSE) OR coalesce({ends}, FALSE))::INTEGER"
    # Most keys end with a digit, as of the markers only numbers do: these need not be folded.
    words = [*_ALL, *(f"{number}.0" for number in NUMBERS_IN_KEYS)]
    numbers = literal([word for word in words if word[-1].isdigit()])
    others = [word for word in words if not word[-1].isdigit()]
    return f"""count_if(CASE WHEN {column}[-1] BETWEEN '0' AND '9'
            THEN CASE WHEN {column} < 'A' THEN list_contains({numbers}, {column}) ELSE FALSE END
        WHEN strlen({column}) <= {max(len(word.encode()) for word in others)}
            THEN list_contains({literal(others)}, lower({column}))
        ELSE FALSE END)"""


@dataclass(frozen=True, slots=True)
class Marker:
    """A key for "no value" in so many rows; `certain` when it is a word, which no numbering
    gives.
    """

    key: str
    rows: int
    certain: bool


def among(connection: duckdb.DuckDBPyConnection, ids: Path) -> tuple[list[Marker], list[Marker]]:
    """The markers among the keys in `ids`, the commonest first.

    First those that are surely no keys, as several rows have them, then the others, which are out
    of line with the other keys. A number that several rows have is a marker when it is out of line,
    or where nothing else repeats about as often: numbering that begins again repeats 0 as often as
    1 and 2 (SYN-ID-002).
    """
    counted = f"SELECT key, count(*) AS rows FROM {rows_of(ids)}"
    marker = is_marker("key")
    found = connection.execute(
        f"{counted} WHERE {marker} GROUP BY key ORDER BY rows DESC, key"
    ).fetchall()
    if not found:
        return [], []
    [(rows, numbers, least, greatest, negative, repeated)] = connection.execute(
        f"""SELECT coalesce(sum(rows), 0), coalesce(sum(rows) FILTER (number IS NOT NULL), 0),
                  coalesce(min(number) FILTER (number > 0), 0), coalesce(max(number), 0),
                  coalesce(sum(rows) FILTER (number < 0), 0), coalesce(max(rows) FILTER (rows > 1),
                    0)
           FROM (SELECT *, try_cast(key AS DOUBLE) AS number FROM
             ({counted} WHERE NOT {marker} GROUP BY key))"""
    ).fetchall()

    def is_out_of_line(number: float) -> bool:
        """Whether `number` cannot be one more key of the same numbering."""
        if numbers * 2 <= rows:
            return bool(rows)
        if number < 0:
            return bool(negative < _NEGATIVE_KEYS)
        if numbers == 1:
            return bool(max(least, number) >= _LONG_ID)
        room = _STEPS * max((greatest - least) / (numbers - 1), 1.0)
        return bool(not least - room <= number <= greatest + room)

    several, single = [], []
    for key, times in found:
        number = _number(key)
        odd = number is None or is_out_of_line(number)
        if times > 1 and (odd or (times >= _FEWEST_NUMBERS and times > 2 * repeated)):
            several.append(Marker(key, times, number is None))
        elif odd and times == 1:
            single.append(Marker(key, times, number is None and key.lower() in OF_PROGRAMS))
    return several, single


def _number(key: str) -> float | None:
    """The number that a marker is; None for a word. The UUID of zeros is out of line with any
    number.
    """
    bare = re.sub(r"\.0+$", "", key)
    return float(bare) if bare in NUMBERS_IN_KEYS else None


def describe(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    found: Sequence[Marker],
    tables: Mapping[str, Path],
) -> dict[str, Any]:
    """The values of a SYN-ID-007 about the markers `found` in `table`; `tables` are all of the
    dataset.
    """

    def rows(count: int) -> str:
        return f"{count:,} row{'' if count == 1 else 's'}"

    counted = " and ".join(f"{marker.key!r} in {rows(marker.rows)}" for marker in found)
    named = _named(connection, table, [marker.key for marker in found], tables)
    listed = ", ".join(f"{rows(count)} of {name}" for name, count in named.items())
    facts = {"listed": listed, "rows": sum(named.values()), "keys": len(found)}
    by = CAUSES["named_key"].described(facts) if named else {"reason": "", "advice": ""}
    return {
        "value": found[0].key,
        "listed": counted if found[1:] else repr(found[0].key),
        "named": by["reason"],
        "advice": CAUSES["key"].advice(named=by["advice"]),
        "confidence": "certain" if all(marker.certain for marker in found) else "likely",
    }


def _named(
    connection: duckdb.DuckDBPyConnection, table: str, keys: list[str], tables: Mapping[str, Path]
) -> dict[str, int]:
    """Table -> its rows that name one of `keys` in a column that may point to `table`."""
    found: dict[str, int] = {}
    for name, path in tables.items():
        named = " OR ".join(
            f"list_contains({literal(keys)}, {quote(column)})"
            for column in columns_of(path)
            if column in TABLES[name].columns and table in TABLES[name].columns[column].targets
        )
        if named:
            query = f"SELECT count(*) FROM {rows_of(path)} WHERE {named}"
            [(count,)] = connection.execute(query).fetchall()
            found |= {name: count} if count else {}
    return found


# -- keys that the config's markers emptied


def label_emptied(failures: Failures, cells: Path) -> None:
    """Give the failing cells of MISSING_KEYS that a marker of the config emptied their cause, and
    the marker.
    """
    failures.connection.execute(f"""UPDATE failures SET cause = '{EMPTIED}', value = emptied.raw
            FROM (SELECT tbl, row_number, col, raw FROM {parquet(cells)} WHERE kind = 'missing')
              emptied
            WHERE failures.code IN {MISSING_KEYS} AND failures.tbl = emptied.tbl
                AND failures.row_number = emptied.row_number AND failures.col = emptied.col""")


def explain_emptied(
    failures: Failures, findings: list[Finding], config: DatasetConfig, targets: Mapping[str, Path]
) -> list[Finding]:
    """`findings`, in which those of missing keys that markers emptied say so.

    `targets` gives the keys of the table that each "<table>.<column>" points to; a marker that is a
    key there should be none. A cell that was empty before has no value.
    """
    return [
        _emptied(failures, each, config, targets)
        if each.code in MISSING_KEYS and each.examples and each.examples[0].value is not None
        else each
        for each in findings
    ]


def _emptied(
    failures: Failures, finding: Finding, config: DatasetConfig, targets: Mapping[str, Path]
) -> Finding:
    table, column = finding.table or "", finding.column or ""
    rows = failures.connection.execute(
        """SELECT value FROM failures WHERE code = ? AND tbl = ? AND col = ? AND cause = ?
           GROUP BY value ORDER BY count(*) DESC, value LIMIT 5""",
        [finding.code, table, column, EMPTIED],
    ).fetchall()
    words = [value.strip() for (value,) in rows]
    facts = {"message": finding.message.rstrip("."), "fix": finding.fix}
    values = CAUSES["emptied"].described(
        facts | {"shown": " and ".join(map(repr, words)), "words": len(words)}
    )
    changed: dict[str, Any] = {"message": values["reason"], "fix": values["advice"]}
    if ids := targets.get(f"{table}.{column}"):
        query = f"SELECT DISTINCT key FROM {rows_of(ids)} WHERE list_contains(?, key)"
        if wrong := [key for (key,) in failures.connection.execute(query, [words]).fetchall()]:
            without = dict.fromkeys((ALL_COLUMNS, column), wrong)
            setting = missing_setting(table, config.tables[table], without=without)
            listed = " and ".join(map(repr, wrong))
            fix = CAUSES["emptied_key"].advice(wrong=listed, keys=len(wrong), setting=setting)
            changed |= {"fix": fix, "settings": settings_of(fix), "confidence": "likely"}
    return finding.model_copy(update=changed)


# -- values that the config's markers emptied


def check_emptied(table: Inspected) -> list[Finding]:
    """SYN-VAL-006: values that a marker for all columns emptied although they may be true ones.

    The fix names the marker for the columns that have gaps and in which it empties no value that
    may be true.
    """
    cells = parquet(table.context.store.stage("ingest") / "cells.parquet")
    counts = table.fetch(
        f"""SELECT col, count(*), min(trim(raw, {literal(WHITE_SPACE)})), min(row_number),
              arg_min(raw, row_number)
            FROM {cells} WHERE kind = 'emptied' AND tbl = {literal(table.name)} GROUP BY col"""
    )
    if not counts:
        return []
    order = list(table.declared)
    counts.sort(key=lambda each: order.index(each[0]))
    columns = [name for name, *_ in counts]
    config, declared = table.config, table.declared
    markers = [each for name in columns for each in true_markers(declared[name], config)]
    others = [
        name
        for name in table.columns
        if name not in columns and declared[name].kind is not Kind.KEY
    ]
    gaps = "".join(f", count_if({quote(name)} IS NULL)" for name in others)
    _, *empty = table.row(f"SELECT 0{gaps} FROM {table.source}" if others else "SELECT 0")
    setting = missing_setting(
        table.name,
        config,
        alone={name: markers for name, count in zip(others, empty, strict=True) if count},
        without={ALL_COLUMNS: markers},
    )
    shown = " or ".join(map(repr, dict.fromkeys(markers)))
    return [
        table.context.finding(
            "SYN-VAL-006",
            table=table.name,
            count=sum(count for _, count, *_ in counts),
            examples=[
                table.sources.example(table.name, row, name, raw) for name, _, _, row, raw in counts
            ],
            listed=", ".join(f"{name} ({count:,})" for name, count, *_ in counts),
            value=min(text for _, _, text, *_ in counts),
            advice=CAUSES["emptied_value"].advice(shown=shown, setting=setting),
        )
    ]


# -- the setting that declares markers


def safe_setting(table: Inspected, markers: Mapping[str, Collection[str]]) -> str:
    """`missing_setting` for `markers`, each with the columns where it was found.

    It is for these alone where another column would lose a value. Reads the table once.
    """
    asked = [
        (marker, condition)
        for marker, columns in markers.items()
        for name in columns_of(table.file)
        if name not in columns and (condition := _holds(table.declared[name], marker, table.config))
    ]
    counts = "".join(f", count_if({condition})" for _, condition in asked)
    _, *held = table.row(f"SELECT 0{counts} FROM {rows_of(table.file)}" if asked else "SELECT 0")
    elsewhere = {marker for (marker, _), count in zip(asked, held, strict=True) if count}
    alone: dict[str, list[str]] = {}
    for marker, columns in markers.items():
        for column in sorted(columns) if marker in elsewhere else ():
            alone.setdefault(column, []).append(marker)
    found = [each for each in markers if each not in elsewhere]
    return missing_setting(table.name, table.config, found, alone)


def _holds(column: Column, marker: str, config: TableConfig) -> str:
    """SQL: a cell of `column` is a value that `marker` would empty if it counted in all columns; ""
    for never.

    The usual words for "no value" are of no value anywhere but where they are a key, an answer, or
    a word of SynDB's too.
    """
    cell, word = quote(column.name), marker.lower()
    if column.kind in (Kind.NUMBER, Kind.INTEGER):
        point = marker.replace(config.decimal, ".")
        if not re.fullmatch(NUMBER, point, flags=re.IGNORECASE):
            return ""
        value = float(point) * config.factor(column)
        return f"{cell}::DOUBLE = {value!r}::DOUBLE" if column.allows(value) else ""
    if column.kind is Kind.BOOLEAN:
        return cell if word in TRUE_WORDS else f"NOT {cell}" if word in FALSE_WORDS else ""
    meant = column.vocabulary and means(column.vocabulary, marker)
    if column.kind is not Kind.KEY and word in IN_TEXT and not meant:
        return ""
    return f"trim({cell}, {literal(WHITE_SPACE)}) = {literal(marker)}"


_NONE: Final[Mapping[str, Iterable[str]]] = MappingProxyType({})


def missing_setting(
    table: str,
    config: TableConfig,
    found: Iterable[str] = (),
    alone: Mapping[str, Iterable[str]] = _NONE,
    without: Mapping[str, Iterable[str]] = _NONE,
) -> str:
    """`tables.<table>.missing: [...]` as YAML ready to paste.

    Args:
        table: SynDB's name.
        config: What it declares already stays.
        found: Further markers for all columns.
        alone: Further markers for single columns.
        without: What is taken out of those of a column, or of all.
    """
    more = {ALL_COLUMNS: found, **alone}
    markers = {}
    for name in dict.fromkeys([*config.missing_by_column, *more]):
        words = dict.fromkeys([*config.missing_by_column.get(name, ()), *more.get(name, ())])
        markers[name] = [word for word in words if word not in without.get(name, ())]
    # JSON is YAML.
    listed = {
        name: json.dumps(words, ensure_ascii=False) for name, words in markers.items() if words
    }
    if markers.keys() <= {ALL_COLUMNS}:
        return f"tables.{table}.missing: {listed.get(ALL_COLUMNS, '[]')}"
    columns = ", ".join(f"{name}: {words}" for name, words in listed.items())
    return f"tables.{table}.missing: {{{columns}}}"
