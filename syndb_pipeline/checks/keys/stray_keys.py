"""Keys by which a row may be no data: totals, remarks below the table, lines commented out.

Belongs here: keys unlike those of the other rows. Does not: columns that are not read
(`label_rows.py`), keys that are damaged, missing or repeated (`assign_ids.py`).

What a look at all keys costs is counted where they are counted anyway (`COUNTS`); only where these
counts leave a doubt are keys looked at again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb

from syndb_pipeline.base.engine import literal, parquet, quote
from syndb_pipeline.checks.cells.markers import is_marker
from syndb_pipeline.checks.failures import Failures, Group
from syndb_pipeline.readers import summary_words
from syndb_pipeline.state.row_locations import Source

CODE: Final = summary_words.CODE

_WHOLE: Final = "regexp_full_match(key, '[+-]?[0-9]+([.]0+)?')"
_SPREADSHEET_ERROR: Final = "#(N/A|REF!|DIV/0!|VALUE!|NAME[?]|NUM!|NULL!).*"
_COMMENT: Final = rf"""CASE WHEN key < '0' THEN regexp_matches(key, '^(#|%|//|/[*]|--)\s*[^\s-]')
    AND NOT regexp_full_match(key, '{_SPREADSHEET_ERROR}') ELSE FALSE END"""
"""SQL; the first test is quick, and true of few keys."""

KIND: Final = f"""CASE WHEN key >= 'A' THEN CASE WHEN {summary_words.is_summary("key")} THEN 'words'
        WHEN contains(key, ' ') THEN 'remarks' END
    WHEN key >= '0' AND key < ':' THEN 'digits' WHEN {_COMMENT} THEN 'comments' WHEN contains(key, ' ') THEN 'remarks' END"""
"""SQL: what a key looks like at a quick look; NULL for most."""

COUNTS: Final = {
    kind: f"count(*) FILTER (kind = '{kind}')"
    for kind in ("digits", "words", "comments", "remarks")
}
"""SQL of what is counted of the keys of a table that are text, beside `KIND`."""

_FEWEST_NUMBERS: Final = 10
_NUMBERS_FOR_EACH: Final = 50
"""Whole numbers among which one other key is odd."""

_REMARKS: Final = 10
"""One key in so many may be a remark."""

_SHAPE: Final = r"regexp_replace(regexp_replace(key, '[0-9]+', '9', 'g'), '\pL+', 'a', 'g')"


@dataclass(frozen=True)
class Table:
    """A table whose keys are text.

    `file` is its Parquet file of ingest and `columns` those of it that are no keys of its rows;
    `ids` is its id map. `counts` are those of `COUNTS`, and `rows` how many rows have a key.
    `blank` are the sources of its rows that have blank lines.
    """

    name: str
    file: Path
    columns: Sequence[str]
    ids: Path
    counts: Mapping[str, int]
    rows: int
    sources: Sequence[Source]
    blank: Sequence[Source]


def add(connection: duckdb.DuckDBPyConnection, failures: Failures, table: Table) -> None:
    """Add the odd keys of `table` to `failures`, each under the cause that says most."""
    found = {
        "word": _words(connection, table),
        "comment": _COMMENT if 0 < table.counts["comments"] * 2 <= table.rows else "",
        "below": _below(connection, table),
        "remark": _remarks(connection, table),
        "number": _numbers(connection, table),
    }
    cases = " ".join(f"WHEN {when} THEN {literal(cause)}" for cause, when in found.items() if when)
    if not cases:
        return
    keys = (
        f"SELECT file_row_number AS row, key FROM {parquet(table.ids, row_number=True)} WHERE key"
        " IS NOT NULL"
    )
    failures.add(f"""SELECT {literal(CODE)}, {literal(table.name)}, row, 'cid', key, cause
            FROM (SELECT row, key, CASE {cases} END AS cause FROM ({keys})) WHERE cause IS NOT
              NULL""")


def describe(group: Group) -> dict[str, Any]:
    """The values of a finding about keys of one cause."""
    values = summary_words.listed(
        list(dict.fromkeys(place.value or "" for place in group.examples))
    )
    one = group.count == 1
    reason = {
        "word": f"the key says {values}",
        "comment": (
            f"the key{' begins' if one else 's begin'} as a comment does, {values}, and others"
            " do not"
        ),
        "below": (
            f"after a blank line {'comes' if one else 'come'} {values}, unlike the keys before it"
        ),
        "remark": f"nothing but the key is filled, {values}, and it reads like a remark",
        "number": (
            f"the key{'' if one else 's'} {values} {'is no number' if one else 'are no numbers'},"
            " and nearly all others are"
        ),
    }[group.cause]
    return {"reason": reason, "confidence": "possible" if group.cause == "number" else "likely"}


def _words(connection: duckdb.DuckDBPyConnection, table: Table) -> str:
    if not table.counts["words"]:
        return ""
    word = summary_words.is_summary("key")
    rows = parquet(table.ids, row_number=True)
    ends = [source.first_row + source.rows - 1 for source in table.sources]
    words = connection.execute(f"""SELECT key, count(*), {summary_words.is_plain("key")},
              bool_or(list_contains({literal(ends)}::BIGINT[], file_row_number))
            FROM {rows} WHERE {word} GROUP BY key ORDER BY min(file_row_number)""").fetchall()
    numbers = (
        table.counts["digits"] >= table.rows - table.counts["words"] - table.counts["comments"]
    )
    told = {key: (count, plain) for key, count, plain, _ in words}
    last = [key for key, *_, ends_file in words if ends_file]
    meant = summary_words.meant(told, table.rows, len(table.sources), last, sure=numbers)
    return f"list_contains({literal(meant)}, key)" if meant else ""


def _numbers(connection: duckdb.DuckDBPyConnection, table: Table) -> str:
    digits = table.counts["digits"]
    odd = table.rows - digits
    if not odd or digits < _FEWEST_NUMBERS or odd > max(1, digits // _NUMBERS_FOR_EACH):
        return ""
    [(whole,)] = connection.execute(
        f"SELECT count(*) FILTER ({_WHOLE}) FROM {parquet(table.ids)}"
    ).fetchall()
    if whole * 10 < table.rows * 9:
        return ""
    # A number between marks is a finding about its spelling (`odd_keys.py`).
    return (
        "(NOT (key >= '0' AND key < ':') AND NOT regexp_full_match(key, '\\W*[0-9]+([.]0+)?\\W*')"
        f" AND NOT {is_marker('key')})"
    )


def _remarks(connection: duckdb.DuckDBPyConnection, table: Table) -> str:
    """SQL: the row has a key with blanks and nothing else; without other columns, it is one of the
    last of its file.
    """
    if not 0 < table.counts["remarks"] <= max(len(table.sources), table.rows // _REMARKS):
        return ""
    empty = " AND ".join(f"{quote(column)} IS NULL" for column in table.columns) or "TRUE"
    query = (
        f"SELECT file_row_number FROM {parquet(table.file, row_number=True)} WHERE contains(cid, '"
        f" ') AND {empty} ORDER BY 1"
    )
    rows = [row for (row,) in connection.execute(query).fetchall()]
    if table.columns:
        if not connection.execute(
            f"SELECT 1 FROM {parquet(table.file)} WHERE NOT ({empty}) LIMIT 1"
        ).fetchall():
            return ""
    else:
        ends = {source.first_row + source.rows - 1 for source in table.sources}
        # From the last one up: a row before one of them is one of the last, too.
        kept: list[int] = []
        for row in reversed(rows):
            if row in ends or (kept and row + 1 == kept[-1]):
                kept.append(row)
        rows = kept
    return f"list_contains({literal(rows)}::BIGINT[], row)" if rows else ""


def _below(connection: duckdb.DuckDBPyConnection, table: Table) -> str:
    """SQL: the row comes after a blank line, and no key before the first one has the shape of its
    key.

    A second group of rows may have keys of its own; so all keys before must be numbers, or the row
    must lack all values that rows before have, or its key have a blank where none before has.
    """
    ranges = []
    for source in table.blank:
        first = next((index for index, _ in source.jumps if index > 0), None)
        if first is not None:
            start = source.first_row
            ranges.append((start, start + first, start + source.rows))
    if not ranges:
        return ""
    empty = " AND ".join(f"{quote(column)} IS NULL" for column in table.columns) or "NULL"
    before = " OR ".join(f"row BETWEEN {start} AND {middle - 1}" for start, middle, _ in ranges)
    after = " OR ".join(f"row BETWEEN {middle} AND {end - 1}" for _, middle, end in ranges)
    rows = connection.execute(
        f"""WITH keys AS (SELECT file_row_number AS row, cid AS key, {empty} AS empty
                FROM {parquet(table.file, row_number=True)} WHERE cid IS NOT NULL),
            before AS (SELECT list(DISTINCT {_SHAPE}) AS shapes, bool_and({_WHOLE}) AS numbers,
                bool_and(empty) AS empty, bool_or(contains(key, ' ')) AS spaced FROM keys WHERE
                  {before})
            SELECT row FROM (SELECT row, key, empty FROM keys WHERE {after}) below, before
            WHERE NOT list_contains(shapes, {_SHAPE})
                AND (numbers OR (below.empty AND NOT before.empty) OR (contains(key, ' ') AND NOT
                  spaced))
            ORDER BY row"""
    ).fetchall()
    return f"list_contains({literal([row for (row,) in rows])}::BIGINT[], row)" if rows else ""
