"""Keys by which a row may be no data: totals, remarks below the table, lines commented out.

Belongs here: keys unlike those of the other rows. Does not: columns that are not read
(`rows/stray_rows.py`), keys that are damaged, missing or repeated (`assign_ids`).

What a look at all keys costs is counted where they are counted anyway (`COUNTS`); only where these
counts leave a doubt are keys looked at again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from syndb_pipeline.base.engine import literal, parquet, quote
from syndb_pipeline.checks.causes import Cause, causes
from syndb_pipeline.checks.cells.markers import is_marker
from syndb_pipeline.checks.dataset import Dataset
from syndb_pipeline.checks.failures import Group
from syndb_pipeline.checks.rows.stray_rows import BLANK
from syndb_pipeline.contract.key_encoding import keys_of
from syndb_pipeline.readers import summary_words
from syndb_pipeline.readers.casts import CELLS
from syndb_pipeline.state.tables import columns_of

CODE: Final = summary_words.CODE

_CAUSES: Final = causes(Path(__file__).with_name("stray_keys.toml"), Cause)

_WHOLE: Final = "regexp_full_match(key, '[+-]?[0-9]+([.]0+)?')"
_SPREADSHEET_ERROR: Final = "#(N/A|REF!|DIV/0!|VALUE!|NAME[?]|NUM!|NULL!).*"
_COMMENT: Final = rf"""CASE WHEN key < '0' THEN regexp_matches(key, '^(#|%|//|/[*]|--)\s*[^\s-]')
    AND NOT regexp_full_match(key, '{_SPREADSHEET_ERROR}') ELSE FALSE END"""
"""SQL; the first test is quick, and true of few keys."""

KIND: Final = f"""CASE WHEN key >= 'A' THEN CASE WHEN {summary_words.is_summary("key")} THEN 'words'
        WHEN contains(key, ' ') THEN 'remarks' END
    WHEN key >= '0' AND key < ':' THEN 'digits' WHEN {_COMMENT} THEN 'comments'
    WHEN contains(key, ' ') THEN 'remarks' END"""
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
class Keys:
    """The keys of a table, which are text: `counts` are those of `COUNTS`, and `rows` how many rows
    have a key."""

    data: Dataset
    table: str
    counts: Mapping[str, int]
    rows: int

    @property
    def ends(self) -> list[int]:
        """The last row of each file."""
        return [
            source.first_row + source.rows - 1 for source in self.data.sources.tables[self.table]
        ]

    @property
    def empty(self) -> str:
        """SQL: all columns but the key are empty; "" where there is no other column."""
        columns = [
            column
            for column in columns_of(self.data.tables[self.table])
            if column not in ("cid", CELLS)
        ]
        return " AND ".join(f"{quote(column)} IS NULL" for column in columns)

    @property
    def ids(self) -> str:
        return parquet(self.data.ids[self.table], row_number=True)

    @property
    def file(self) -> str:
        return parquet(self.data.tables[self.table], row_number=True)


def add(keys: Keys) -> None:
    """Add the odd ones of `keys` to the failing cells, each under the cause that says most."""
    tests: dict[str, Callable[[Keys], str]] = {
        "word": _words,
        "comment": _comments,
        "below": _below,
        "remark": _remarks,
        "number": _numbers,
    }
    cases = " ".join(
        f"WHEN {when} THEN {literal(cause)}" for cause in _CAUSES if (when := tests[cause](keys))
    )
    if cases:
        cells = (
            f"SELECT row, key AS value, CASE {cases} END AS cause FROM "
            f"{keys_of(keys.data.ids[keys.table])}"
        )
        keys.data.fail(
            CODE, keys.table, "cid", f"SELECT * FROM ({cells}) WHERE cause <> ''", "cause"
        )


def describe(group: Group) -> dict[str, Any]:
    """The values of a finding about keys of one cause."""
    values = summary_words.listed(
        list(dict.fromkeys(place.value or "" for place in group.examples))
    )
    return _CAUSES[group.cause].described({"values": values, "count": group.count})


def _is_one_of(rows: list[int]) -> str:
    return f"list_contains({literal(rows)}::BIGINT[], row)" if rows else ""


def _words(keys: Keys) -> str:
    if not keys.counts["words"]:
        return ""
    words = keys.data.fetch(
        f"""SELECT key, count(*), {summary_words.is_plain("key")},
              bool_or(list_contains({literal(keys.ends)}::BIGINT[], file_row_number))
            FROM {keys.ids} WHERE {summary_words.is_summary("key")} GROUP BY key ORDER BY
              min(file_row_number)"""
    )
    numbers = keys.counts["digits"] >= keys.rows - keys.counts["words"] - keys.counts["comments"]
    found = {key: (count, plain) for key, count, plain, _ in words}
    last = [key for key, *_, ends_file in words if ends_file]
    meant = summary_words.meant(found, keys.rows, len(keys.ends), last, sure=numbers)
    return f"list_contains({literal(meant)}, key)" if meant else ""


def _comments(keys: Keys) -> str:
    return _COMMENT if 0 < keys.counts["comments"] * 2 <= keys.rows else ""


def _numbers(keys: Keys) -> str:
    digits = keys.counts["digits"]
    odd = keys.rows - digits
    if not odd or digits < _FEWEST_NUMBERS or odd > max(1, digits // _NUMBERS_FOR_EACH):
        return ""
    if keys.data.count(f"SELECT 1 FROM {keys.ids} WHERE {_WHOLE}") * 10 < keys.rows * 9:
        return ""
    # A number between marks is a finding about its spelling (`odd_keys.py`).
    return (
        "(NOT (key >= '0' AND key < ':') AND NOT regexp_full_match(key, "
        f"'\\W*[0-9]+([.]0+)?\\W*') AND NOT {is_marker('key')})"
    )


def _remarks(keys: Keys) -> str:
    """SQL: the row has a key with blanks and nothing else; without other columns, it is one of the
    last of its file."""
    if not 0 < keys.counts["remarks"] <= max(len(keys.ends), keys.rows // _REMARKS):
        return ""
    empty = keys.empty or "TRUE"
    query = (
        f"SELECT file_row_number FROM {keys.file} WHERE contains(cid, ' ') AND {empty} ORDER BY 1"
    )
    rows = [row for (row,) in keys.data.fetch(query)]
    if keys.empty:
        return (
            _is_one_of(rows)
            if keys.data.some(f"SELECT 1 FROM {keys.file} WHERE NOT ({empty})")
            else ""
        )
    # From the last one up: a row before one of them is one of the last, too.
    kept: list[int] = []
    for row in reversed(rows):
        if row in keys.ends or (kept and row + 1 == kept[-1]):
            kept.append(row)
    return _is_one_of(kept)


def _below(keys: Keys) -> str:
    """SQL: the row comes after a blank line, and no key before the first one has the shape of its
    key.

    A second group of rows may have keys of its own; so all keys before must be numbers, or the row
    must lack all values that rows before have, or its key have a blank where none before has.
    """
    data = keys.data
    reported = [
        finding
        for finding in data.context.ingested.findings
        if (finding.table, finding.code) == (keys.table, BLANK)
    ]
    ranges = [
        (source.first_row, source.first_row + first, source.first_row + source.rows)
        for source in data.sources.tables[keys.table]
        if any(finding.file in (source.file, None) for finding in reported)
        and (first := next((index for index, _ in source.jumps if index > 0), None)) is not None
    ]
    if not ranges:
        return ""
    before = " OR ".join(f"row BETWEEN {start} AND {middle - 1}" for start, middle, _ in ranges)
    after = " OR ".join(f"row BETWEEN {middle} AND {end - 1}" for _, middle, end in ranges)
    rows = data.fetch(
        f"""WITH keys AS (SELECT file_row_number AS row, cid AS key, {keys.empty or "NULL"} AS empty
                FROM {keys.file} WHERE cid IS NOT NULL),
            before AS (SELECT list(DISTINCT {_SHAPE}) AS shapes, bool_and({_WHOLE}) AS numbers,
                bool_and(empty) AS empty, bool_or(contains(key, ' ')) AS spaced FROM keys WHERE
                  {before})
            SELECT row FROM (SELECT row, key, empty FROM keys WHERE {after}) below, before
            WHERE NOT list_contains(shapes, {_SHAPE})
                AND (numbers OR (below.empty AND NOT before.empty) OR (contains(key, ' ') AND NOT
                  spaced))
            ORDER BY row"""
    )
    return _is_one_of([row for (row,) in rows])
