"""Ids that went through a number which could not hold them, and were printed in full: they are on a
grid that chance does not give.

Belongs here: how likely chance is to give a grid, and the finding (SYN-ID-005). Does not: the grids
(`rounded_ids.toml`), ids whose spelling shows the damage (`readers/casts.py`), and what an orphan
was before (`references/search.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import log2, log10
from pathlib import Path
from typing import Any, Final

from syndb_pipeline.base.engine import parquet, quote
from syndb_pipeline.checks.causes import Cause, causes
from syndb_pipeline.checks.dataset import Dataset
from syndb_pipeline.contract.key_encoding import is_number, keys_of
from syndb_pipeline.contract.tables import TABLES, Kind
from syndb_pipeline.readers.casts import EXACT_FLOAT
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.tables import columns_of

CODE: Final = "SYN-ID-005"

_SIXTEEN_DIGITS: Final = 10**15
"""The least number of which a spreadsheet loses digits."""

_UNLIKELY: Final = log2(1_000)
"""Bits of chance from which a grid is reported: less than once in a thousand columns."""

_SURELY_STEPPED: Final = log2(10_000)
"""Bits of chance from which ids are on a grid so much wider than a number's that the lab numbers
them in steps."""

_SAMPLE: Final = 1_000


class Grid(Cause):
    """What a program leaves of long ids: see the head of `rounded_ids.toml`."""

    rounded_by: str
    long: str
    on_it: str
    bits: str
    wider: str
    wider_bits: float = 0.0


_GRIDS: Final = causes(Path(__file__).with_name("rounded_ids.toml"), Grid)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """`grid`, on which `found` of `ids` different ids are; chance gives it once in 2 to the power
    of `bits`."""

    grid: Grid
    ids: int
    found: int
    bits: float
    low: int
    high: int


def long_number(column: str, *, stored: bool) -> str:
    """SQL: the id in `column` as a number; NULL where it is none of 16 to 20 digits. `stored` says
    that it is BIGINT."""
    if stored:
        return (
            f"CASE WHEN {column} NOT BETWEEN {1 - _SIXTEEN_DIGITS} AND {_SIXTEEN_DIGITS - 1} THEN "
            f"{column} END"
        )
    return (
        f"CASE WHEN strlen({column}) BETWEEN 16 AND 20 AND {column} < ':' THEN try_cast({column} "
        "AS HUGEINT) END"
    )


def hints(name: str, *, stored: bool) -> list[str]:
    """SQL of counts over `name`, a column of `long_number`, to be taken in a scan that happens
    anyway, for `is_hinted`."""
    beyond = f"{name} NOT BETWEEN {-EXACT_FLOAT} AND {EXACT_FLOAT}"
    double = f"try_cast({name}::DOUBLE AS {'BIGINT' if stored else 'HUGEINT'})"
    counted = (beyond, f"{beyond} AND {double} = {name}", f"{name} IS NOT NULL", f"{name} % 10 = 0")
    return [f"count(*) FILTER ({condition})" for condition in counted]


def is_hinted(long: int, doubles: int, digits: int, zeros: int) -> bool:
    """Whether the counts of `hints` are such that the column may be on a grid."""
    return (long > 0 and doubles * 4 >= long * 3) or (digits > 0 and zeros * 2 > digits)


def check(data: Dataset, table: str, damaged: Iterable[str], *, hinted: bool) -> list[Finding]:
    """The findings about the keys of a table, its references and 64-bit ids.

    Columns that point elsewhere are looked at in their first rows, and whole where these are on a
    grid. References that find no row because they are rounded are left to the finding about these
    (`references/orphans.py`).

    Args:
        data: the dataset, with the keys of the tables so far, those that `table` may point to among
            them.
        table: whose columns are looked at.
        damaged: columns of it that are damaged for certain, and left out.
        hinted: whether a scan of its keys hinted at something (`is_hinted`).
    """
    path, leave = data.tables[table], set(damaged)
    declared = {
        name: column
        for name in columns_of(path)
        if (column := TABLES[table].columns.get(name)) and name not in leave
    }
    long = {
        name: column.kind is Kind.INTEGER or is_number(path, name)
        for name, column in declared.items()
        if column.kind in (Kind.KEY, Kind.REFERENCE) or column.wire_type == "BIGINT"
    }
    in_doubt = _hinted_by_first_rows(
        data, path, {name: stored for name, stored in long.items() if name != "cid"}
    )
    findings = []
    for name in [*(["cid"] if hinted and "cid" in long else []), *in_doubt]:
        number = f"abs({long_number(quote(name), stored=long[name])}::HUGEINT)"
        source = (
            f"(SELECT file_row_number AS row, {quote(name)} AS value, {number} AS v FROM "
            f"{parquet(path, row_number=True)})"
        )
        sample = f"(SELECT * FROM {source} LIMIT {_SAMPLE})"
        targets = [data.ids[target] for target in declared[name].targets if target in data.ids]
        if name != "cid" and not (
            _judge(data, sample) and (not targets or _finds_rows(data, sample, targets))
        ):
            continue
        if verdict := _judge(data, source):
            grid = verdict.grid
            on_it = (
                f"SELECT row, value FROM {source} WHERE v IS NOT NULL AND {grid.long} AND "
                f"{grid.on_it}"
            )
            [(first,)] = data.fetch(f"SELECT arg_min(value::VARCHAR, row) FROM ({on_it})")
            findings += data.findings(
                CODE,
                table,
                name,
                on_it,
                value=first,
                rounded_by=grid.rounded_by,
                **_described(verdict),
            )
    return findings


def _hinted_by_first_rows(data: Dataset, path: Path, columns: Mapping[str, bool]) -> list[str]:
    """Those of the columns, given with whether they are BIGINT, of which the first rows are such
    that ids may be on a grid."""
    numbers = ", ".join(
        f"{long_number(quote(name), stored=stored)} AS {quote(name)}"
        for name, stored in columns.items()
    )
    counts = ", ".join(
        f"[{', '.join(hints(quote(name), stored=stored))}]" for name, stored in columns.items()
    )
    first = f"SELECT {', '.join(map(quote, columns))} FROM {parquet(path)} LIMIT {_SAMPLE}"
    found = data.row(f"SELECT {counts} FROM (SELECT {numbers} FROM ({first}))") if columns else ()
    return [name for name, counted in zip(columns, found, strict=True) if is_hinted(*counted)]


def _finds_rows(data: Dataset, sample: str, targets: Iterable[Path]) -> bool:
    """Whether most of the ids of `sample` are keys of one of the tables whose ids are in
    `targets`."""
    keys = " UNION ALL ".join(f"SELECT key FROM {keys_of(path)}" for path in targets)
    named = f"SELECT DISTINCT value::VARCHAR AS id FROM {sample} WHERE v IS NOT NULL"
    found, every = data.row(f"SELECT count(*) FILTER (id IN ({keys})), count(*) FROM ({named})")
    return bool(found * 2 > every)


def _judge(data: Dataset, source: str) -> _Verdict | None:
    """The grid on which the different ids v of `source` are, the least likely one; None where
    chance gives it."""
    data.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE long_ids AS SELECT DISTINCT v FROM {source} WHERE v IS "
        "NOT NULL"
    )
    verdicts = [verdict for grid in _GRIDS.values() if (verdict := _on_grid(data, grid))]
    return max(verdicts, key=lambda verdict: verdict.bits, default=None)


def _on_grid(data: Dataset, grid: Grid) -> _Verdict | None:
    judged = (
        f"SELECT {grid.on_it} AS on_it, {grid.wider} AS wider, {grid.bits} AS bits FROM long_ids "
        f"WHERE {grid.long}"
    )
    ids, found, wider, bits, low, high = data.row(
        f"""SELECT count(*), count(*) FILTER (on_it), count(*) FILTER (on_it AND wider),
                   coalesce(sum(bits) FILTER (on_it), 0), coalesce(min(bits) FILTER (on_it), 0),
                     coalesce(max(bits) FILTER (on_it), 0)
            FROM ({judged})"""
    )
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


def _described(verdict: _Verdict) -> dict[str, Any]:
    """The values of the finding's sentences."""
    low, high, power = verdict.low, verdict.high, verdict.bits * log10(2)
    facts = {
        "ids": verdict.ids,
        "found": verdict.found,
        "of": "" if verdict.found == verdict.ids else f" of {verdict.ids:,}",
        "chance": f"{round(10**power, -max(int(power) - 1, 0)):,.0f}"
        if power < 9
        else f"10^{power:.0f}",
        "step": f"{high:,}" if low == high else f"{low:,} to {high:,}",
    }
    return verdict.grid.described(facts, "likely")
