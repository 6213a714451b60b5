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

from syndb_pipeline.base.engine import literal, quote
from syndb_pipeline.checks.causes import Cause, causes
from syndb_pipeline.checks.cells.markers import is_marker
from syndb_pipeline.checks.dataset import Dataset
from syndb_pipeline.checks.failures import Group
from syndb_pipeline.checks.rows.stray_rows import BLANK
from syndb_pipeline.readers import summary_words
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
        parts = self.data.sources.tables[self.table]
        return [part.first_row + part.rows - 1 for part in parts]

    @property
    def empty(self) -> str:
        """SQL: all columns but the key are empty; "" where there is no other column."""
        columns = columns_of(self.data.tables[self.table])
        return " AND ".join(f"{quote(name)} IS NULL" for name in columns if name != "cid")

    @property
    def source(self) -> str:
        return self.data.source(self.table)


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
        cells = f"SELECT row, key AS value, CASE {cases} END AS cause"
        cells = f"FROM ({cells} FROM {keys.data.keys(keys.table)}) WHERE cause IS NOT NULL"
        keys.data.fail(CODE, keys.table, "cid", cells, "cause")


def describe(group: Group) -> dict[str, Any]:
    """The values of a finding about keys of one cause."""
    values = dict.fromkeys(place.value or "" for place in group.examples)
    facts = {"values": summary_words.listed(list(values)), "count": group.count}
    return _CAUSES[group.cause].described(facts)


def _is_one_of(rows: list[int]) -> str:
    return f"list_contains({literal(rows)}::BIGINT[], row)" if rows else ""


def _words(keys: Keys) -> str:
    if not keys.counts["words"]:
        return ""
    words = keys.data.fetch(
        f"""SELECT key, count(*), {summary_words.is_plain("key")},
                bool_or(list_contains({literal(keys.ends)}::BIGINT[], row))
            FROM {keys.data.keys(keys.table)} WHERE {summary_words.is_summary("key")}
            GROUP BY key ORDER BY min(row)"""
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
    whole = keys.data.count(f"FROM {keys.data.keys(keys.table)} WHERE {_WHOLE}")
    # A number between marks is a finding about its spelling (`damaged_keys.py`).
    marked = "regexp_full_match(key, '\\W*[0-9]+([.]0+)?\\W*')"
    odd_key = f"NOT (key BETWEEN '0' AND ':') AND NOT {marked} AND NOT {is_marker('key')}"
    return f"({odd_key})" if whole * 10 >= keys.rows * 9 else ""


def _remarks(keys: Keys) -> str:
    """SQL: the row has a key with blanks and nothing else; without other columns, it is one of the
    last of its file."""
    if not 0 < keys.counts["remarks"] <= max(len(keys.ends), keys.rows // _REMARKS):
        return ""
    empty = keys.empty or "TRUE"
    rows = [
        row
        for (row,) in keys.data.fetch(
            f"SELECT file_row_number FROM {keys.source} WHERE contains(cid, ' ') AND {empty}"
            " ORDER BY 1"
        )
    ]
    if keys.empty:
        filled = keys.data.some(f"FROM {keys.source} WHERE NOT ({empty})")
        return _is_one_of(rows) if filled else ""
    # From the last one up: a row before one of them is one of the last, too.
    kept: list[int] = []
    for row in reversed(rows):
        if row in keys.ends or row + 1 in kept[-1:]:
            kept.append(row)
    return _is_one_of(kept)


def _below(keys: Keys) -> str:
    """SQL: the row comes after a blank line, and no key before the first one has the shape of its
    key.

    A second group of rows may have keys of its own; so all keys before must be numbers, or the row
    must lack all values that rows before have, or its key have a blank where none before has.
    """
    data = keys.data
    files = {
        finding.file
        for finding in data.context.ingested.findings
        if (finding.table, finding.code) == (keys.table, BLANK)
    }
    before, after = [], []
    for part in data.sources.tables[keys.table]:
        first = next((index for index, _ in part.jumps if index > 0), None)
        if first is not None and files & {part.file, None}:
            middle = part.first_row + first
            before.append(f"row BETWEEN {part.first_row} AND {middle - 1}")
            after.append(f"row BETWEEN {middle} AND {part.first_row + part.rows - 1}")
    if not before:
        return ""
    rows = data.fetch(
        f"""WITH keys AS (SELECT file_row_number AS row, cid AS key, {keys.empty or "NULL"} AS empty
                FROM {keys.source} WHERE cid IS NOT NULL),
            before AS (SELECT list(DISTINCT {_SHAPE}) AS shapes, bool_and({_WHOLE}) AS numbers,
                    bool_and(empty) AS empty, bool_or(contains(key, ' ')) AS spaced
                FROM keys WHERE {" OR ".join(before)})
            SELECT row FROM (FROM keys WHERE {" OR ".join(after)}) below, before
            WHERE NOT list_contains(shapes, {_SHAPE}) AND (numbers
                OR (below.empty AND NOT before.empty) OR (contains(key, ' ') AND NOT spaced))
            ORDER BY row"""
    )
    return _is_one_of([row for (row,) in rows])
