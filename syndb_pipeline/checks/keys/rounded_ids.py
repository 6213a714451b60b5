"""Ids that went through a number which could not hold them, and were printed in full: they lie on a
grid that chance does not give.

Belongs here: the grids that programs leave, how likely chance is to give one, and the finding
(SYN-ID-005). Does not: ids whose spelling shows the damage (`readers/casts.py`), and what an orphan
was before (`key_damage`).

A double (IEEE 754, 64 bits) keeps 53 bits: of the numbers between 2^59 and 2^60, the ids of many
segmentations, it holds every 128th. Spreadsheets keep 15 digits and write zeros for the others (as
Excel documents it); JavaScript prints 16 or 17 and then zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import log2, log10
from pathlib import Path
from typing import Any, Final

import duckdb

from syndb_pipeline.base.engine import parquet, quote
from syndb_pipeline.checks.original_text import examples
from syndb_pipeline.contract.key_encoding import is_number, rows_of
from syndb_pipeline.contract.tables import TABLES, Kind
from syndb_pipeline.readers.id_spelling import EXACT_FLOAT
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.tables import columns_of, ingested

CODE: Final = "SYN-ID-005"

SHEET_DIGITS: Final = 15

_UNLIKELY: Final = log2(1_000)
"""Bits of chance from which a grid is told: less than once in a thousand columns."""

_SURELY_STEPPED: Final = log2(10_000)
"""Bits of chance from which ids lie on a grid so much wider than a number's that the lab numbers
them in steps.
"""

_SAMPLE: Final = 1_000

_NUMBER: Final = "v"
_DIGITS: Final = f"length({_NUMBER}::VARCHAR)"
_STEP: Final = f"pow(10, {_DIGITS} - {SHEET_DIGITS})::HUGEINT"
_SPACING: Final = f"pow(2, floor(log2({_NUMBER}::DOUBLE)) - 52)"


@dataclass(frozen=True, slots=True)
class _Grid:
    """What a program leaves of long ids: which ids it could have changed, which lie on the grid,
    and bits of chance of each of them.

    `wider` is a wider grid that each id on this one lies on by chance as well, with `wider_bits`
    bits.
    """

    name: str
    long: str
    on_it: str
    bits: str
    wider: str
    wider_bits: float


_GRIDS: Final = (
    _Grid(
        "double",
        f"{_NUMBER} > {EXACT_FLOAT}",
        f"{_NUMBER}::DOUBLE::HUGEINT = {_NUMBER}",
        f"log2({_SPACING})",
        f"({_NUMBER}::DOUBLE / {_SPACING})::HUGEINT % 16 = 0",
        log2(16),
    ),
    _Grid(
        "sheet",
        f"{_NUMBER} >= {10**SHEET_DIGITS}",
        f"{_NUMBER} % {_STEP} = 0",
        f"log2({_STEP}::DOUBLE)",
        # Numbers of more digits that end in so many zeros come of counting in steps too; they are
        # told all the same.
        f"{_DIGITS} = {SHEET_DIGITS + 1} AND {_NUMBER} % ({_STEP} * 10) = 0",
        log2(10),
    ),
    _Grid(
        "short",
        f"{_NUMBER} >= {10 ** (SHEET_DIGITS + 1)}",
        f"{_NUMBER} % 100 = 0",
        f"{log2(100)!r}::DOUBLE",
        "FALSE",
        0.0,
    ),
)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """`grid`, on which `found` of `ids` different ids lie; chance gives it once in 2 to the power
    of `bits`.
    """

    grid: _Grid
    ids: int
    found: int
    bits: float
    low: int
    high: int


def _as_number(column: str, *, stored: bool) -> str:
    """SQL: the id in `column` without sign as HUGEINT; NULL where it is no number of 16 to 20
    digits. `stored` says that it is BIGINT.
    """
    if stored:
        return (
            f"CASE WHEN {column} >= {10**SHEET_DIGITS} OR {column} <= -{10**SHEET_DIGITS} THEN"
            f" abs({column}::HUGEINT) END"
        )
    return (
        f"CASE WHEN strlen({column}) BETWEEN {SHEET_DIGITS + 1} AND 20 AND {column} < ':' THEN"
        f" abs(try_cast({column} AS HUGEINT)) END"
    )


def hints(column: str, *, stored: bool) -> list[str]:
    """SQL of counts, to be taken in a scan of `column` that happens anyway, for `is_hinted`."""
    number = _as_number(column, stored=stored)
    if stored:
        long = f"abs({column}) > {EXACT_FLOAT}"
        return [
            f"count(*) FILTER ({long})",
            f"count(*) FILTER ({long} AND try_cast({column}::DOUBLE AS BIGINT) = {column})",
            f"count(*) FILTER ({column} >= {10**SHEET_DIGITS})",
            f"count(*) FILTER ({column} >= {10**SHEET_DIGITS} AND {column} % 10 = 0)",
        ]
    return [
        f"count(*) FILTER ({number} > {EXACT_FLOAT})",
        f"count(*) FILTER ({number} > {EXACT_FLOAT} AND ({number})::DOUBLE::HUGEINT = {number})",
        f"count(*) FILTER ({number} IS NOT NULL)",
        f"count(*) FILTER ({number} % 10 = 0)",
    ]


def is_hinted(long: int, doubles: int, digits: int, zeros: int) -> bool:
    """Whether the counts of `hints` are such that the column may lie on a grid."""
    return (long > 0 and doubles * 4 >= long * 3) or (digits > 0 and zeros * 2 > digits)


def check(
    context: Context,
    connection: duckdb.DuckDBPyConnection,
    sources: SourceMap,
    table: str,
    hinted: bool,
    damaged: Iterable[str],
    ids: Mapping[str, Path],
) -> list[Finding]:
    """The findings about the keys of `table`, where a scan `hinted` at something, its references
    and 64-bit ids.

    Columns that point elsewhere are looked at in their first rows, and whole where these lie on a
    grid. Columns that are `damaged` for certain are left out, and so are references that find no
    row because of it: they are told with the keys that they were (`orphans`). `ids` has the keys of
    the tables so far, those that `table` may point to among them.
    """
    path, leave = ingested(context)[table], set(damaged)
    declared = {
        name: TABLES[table].columns[name]
        for name in columns_of(path)
        if name in TABLES[table].columns and name not in leave
    }
    long = [
        name
        for name, column in declared.items()
        if column.kind in (Kind.KEY, Kind.REFERENCE) or column.wire_type == "BIGINT"
    ]
    stored = {name: declared[name].kind is Kind.INTEGER or is_number(path, name) for name in long}
    in_doubt = _hinted_by_first_rows(
        connection, path, {name: stored[name] for name in long if name != "cid"}
    )
    findings = []
    for name in [*(["cid"] if hinted and "cid" in long else []), *in_doubt]:
        numbered = (
            f"SELECT file_row_number AS row, {quote(name)} AS written,"
            f" {_as_number(quote(name), stored=stored[name])} AS {_NUMBER}"
        )
        source = f"({numbered} FROM {parquet(path, row_number=True)})"
        sample = f"(SELECT * FROM {source} LIMIT {_SAMPLE})"
        if name != "cid" and not _judge(connection, sample):
            continue
        targets = [ids[target] for target in declared[name].targets if target in ids]
        if targets and not _finds_rows(connection, sample, targets):
            continue
        if verdict := _judge(connection, source):
            findings.append(_finding(context, connection, sources, table, name, source, verdict))
    return findings


def _hinted_by_first_rows(
    connection: duckdb.DuckDBPyConnection, path: Path, stored: Mapping[str, bool]
) -> list[str]:
    """Those of the columns, given with whether they are BIGINT, of which the first rows are such
    that ids may lie on a grid.
    """
    if not stored:
        return []
    counts = [
        count for name, number in stored.items() for count in hints(quote(name), stored=number)
    ]
    first = f"SELECT {', '.join(map(quote, stored))} FROM {parquet(path)} LIMIT {_SAMPLE}"
    found = connection.execute(f"SELECT {', '.join(counts)} FROM ({first})").fetchone() or ()
    each = len(counts) // len(stored)
    return [
        name
        for index, name in enumerate(stored)
        if is_hinted(*found[index * each : (index + 1) * each])
    ]


def _finds_rows(
    connection: duckdb.DuckDBPyConnection, sample: str, targets: Iterable[Path]
) -> bool:
    """Whether most of the ids of `sample` are keys of one of the tables whose ids are in
    `targets`.
    """
    keys = " UNION ALL ".join(
        f"SELECT key FROM {rows_of(path)} WHERE key IS NOT NULL" for path in targets
    )
    named = f"SELECT DISTINCT written::VARCHAR AS id FROM {sample} WHERE {_NUMBER} IS NOT NULL"
    found, all_of_them = connection.execute(
        f"SELECT count(*) FILTER (id IN ({keys})), count(*) FROM ({named})"
    ).fetchone() or (0, 0)
    return bool(found * 2 > all_of_them)


def _judge(connection: duckdb.DuckDBPyConnection, source: str) -> _Verdict | None:
    """The grid on which the different ids of `source` (columns row and v) lie, the least likely
    one; None where chance gives it.
    """
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE long_ids AS SELECT DISTINCT {_NUMBER} FROM {source} WHERE"
        f" {_NUMBER} IS NOT NULL"
    )
    verdicts = [verdict for grid in _GRIDS if (verdict := _on_grid(connection, grid))]
    return max(verdicts, key=lambda verdict: verdict.bits, default=None)


def _on_grid(connection: duckdb.DuckDBPyConnection, grid: _Grid) -> _Verdict | None:
    ids, found, wider, bits, low, high = connection.execute(
        f"""WITH judged AS (SELECT {grid.on_it} AS on_it, {grid.wider} AS wider, {grid.bits} AS bits
                            FROM long_ids WHERE {grid.long}),
                 counted AS (SELECT count(*) AS ids, count(*) FILTER (on_it) AS found, count(*)
                   FILTER (on_it AND wider) AS wide
                             FROM judged)
            SELECT ids, found, wide, coalesce(sum(bits), 0), coalesce(min(bits), 0),
              coalesce(max(bits), 0)
            FROM counted LEFT JOIN judged ON on_it GROUP BY ALL"""
    ).fetchone() or (0, 0, 0, 0.0, 0.0, 0.0)
    if found * 2 <= ids or (wider == found and found * grid.wider_bits >= _SURELY_STEPPED):
        return None
    share = found / ids
    # So many of them in any order: of n ids there are at most 2^(n * H) choices of k (H is the
    # entropy of k / n).
    entropy = -(share * log2(share) + (1 - share) * log2(1 - share)) if share < 1 else 0.0
    chance = bits - ids * entropy
    return (
        _Verdict(grid, ids, found, chance, round(2**low), round(2**high))
        if chance >= _UNLIKELY
        else None
    )


def _finding(
    context: Context,
    connection: duckdb.DuckDBPyConnection,
    sources: SourceMap,
    table: str,
    column: str,
    source: str,
    verdict: _Verdict,
) -> Finding:
    on_it = f"{source} WHERE {_NUMBER} IS NOT NULL AND {verdict.grid.long} AND {verdict.grid.on_it}"
    (count,) = connection.execute(f"SELECT count(*) FROM {on_it}").fetchone() or (0,)
    places = connection.execute(
        f"SELECT row, written::VARCHAR FROM {on_it} ORDER BY row LIMIT 5"
    ).fetchall()
    cells = examples(
        connection, context, sources, table, [(row, column, value) for row, value in places]
    )
    return context.finding(
        CODE,
        table=table,
        column=column,
        count=count,
        examples=cells,
        value=places[0][1],
        confidence="likely",
        **_words(verdict),
    )


def _words(verdict: _Verdict) -> dict[str, Any]:
    of = "" if verdict.found == verdict.ids else f" of {verdict.ids:,}"
    ids = f"{verdict.found:,}{of} different id{'' if verdict.ids == 1 else 's'}"
    power = verdict.bits * log10(2)
    chance = f"{round(10**power, -max(int(power) - 1, 0)):,.0f}" if power < 9 else f"10^{power:.0f}"
    by_chance = f"by chance that happens once in {chance} times"
    if verdict.grid.name == "double":
        step = (
            f"{verdict.high:,}"
            if verdict.low == verdict.high
            else f"{verdict.low:,} to {verdict.high:,}"
        )
        return {
            "rounded_by": "a double (a floating-point number of 64 bits)",
            "reason": (
                f"{ids} {'is a multiple' if verdict.ids == 1 else 'are multiples'} of {step};"
                f" {by_chance}"
            ),
            "advice": (
                "Compare with the source of the ids and export them as text. R, MATLAB, pandas (a"
                " column with an empty cell) and formats such as %.0f make doubles of ids."
            ),
        }
    by_sheet = verdict.grid.name == "sheet"
    zeros = f"zeros from the {SHEET_DIGITS + 1}th digit on" if by_sheet else "two zeros"
    return {
        "rounded_by": "a spreadsheet" if by_sheet else "a spreadsheet or JavaScript",
        "reason": f"{ids} {'has' if verdict.ids == 1 else 'have'} {zeros}; {by_chance}",
        "advice": "Compare with the source of the ids and export them as text.",
    }
