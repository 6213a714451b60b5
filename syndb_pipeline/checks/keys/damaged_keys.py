"""Keys that a program wrote otherwise than they are: in short form, as a date, with quotation
marks, as a formula, or rounded by a number that could not hold them.

Belongs here: finding them in cells that ingest marked, in the id map and by the grid that rounded
ids are on (`rounded_ids.toml`), and what to say of them. Does not: keys that tables hold for "no
value" (`cells/markers.py`), keys that find no row (`references`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from math import log2, log10
from pathlib import Path
from typing import Any, Final

from syndb_pipeline.base.engine import literal, parquet, quote
from syndb_pipeline.checks.causes import Cause, causes
from syndb_pipeline.checks.dataset import Dataset
from syndb_pipeline.checks.failures import Group
from syndb_pipeline.contract.key_encoding import is_number
from syndb_pipeline.contract.tables import TABLES, Kind
from syndb_pipeline.readers.casts import EXACT_FLOAT, WHITE_SPACE
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.tables import contract_columns

DATE: Final = "SYN-ID-006"
DAMAGED: Final = "SYN-ID-003"
MARKED: Final = "SYN-ID-008"
ROUNDED: Final = "SYN-ID-005"

_MONTHS = (
    "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec",
    "Jan|Feb|Mrz|Mär|Apr|Mai|Jun|Jul|Aug|Sep|Okt|Nov|Dez",
)
_DAY = rf"[0-9]{{1,2}}-({_MONTHS[0]})|({_MONTHS[0]})-[0-9]{{2}}|[0-9]{{2}}\. ({_MONTHS[1]})"
"""How spreadsheets write into text files what they took for a day: 3-Mar, Mar-26, 03. Mrz. A person
writes MAR3 or Mar-3."""

IS_DATE: Final = f"""CASE WHEN strlen(key) < 9 THEN CASE WHEN key < 'T'
    THEN regexp_full_match(key, {literal(_DAY)}) ELSE FALSE END ELSE FALSE END"""
"""SQL: `key`, a text, is a day to a spreadsheet. Of most keys the quick tests before the pattern
see that they are none.
"""

_TRIMMED: Final = f"trim(value, {literal(WHITE_SPACE)})"
_BARE: Final = f"regexp_replace({_TRIMMED}, '^[^0-9A-Za-z]+|[^0-9A-Za-z]+$', '', 'g')"
"""SQL: what a key with marks is without them."""

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


def add_cells(data: Dataset, marked: str) -> None:
    """Add the cells that ingest marked, of the FROM item `marked`, to the failing ones: numbers in
    short form (SYN-ID-003) and keys with marks (SYN-ID-008).

    A number such as 3e17, which may be a name, counts where another cell of its column is surely a
    number in short form, or where all are written so. A key with marks that another row has without
    them is there twice (SYN-ID-002).
    """
    kinds = f"SELECT tbl, col, kind, count(*) FROM {marked} GROUP BY ALL ORDER BY ALL"
    counts = {tuple(names): count for *names, count in data.fetch(kinds)}
    for (table, column, kind), count in counts.items():
        cells = f"""SELECT row_number AS row, raw AS value FROM {marked}
            WHERE kind = {literal(kind)} AND tbl = {literal(table)} AND col = {literal(column)}"""
        values = f"FROM {data.cells(table, column)} WHERE value IS NOT NULL"
        sure = kind == "float" or (kind == "short" and (table, column, "float") in counts)
        if sure or (kind == "short" and count == data.count(values)):
            data.fail(DAMAGED, table, column, cells)
        elif kind == "marks":
            # A reference that finds no row for its marks is reported as such, with the key that it
            # means (`references/orphans.py`).
            known = [name for name in TABLES[table].columns[column].targets if name in data.ids]
            found = f" AND {_TRIMMED} IN ({_keys(data, known)})" if known else ""
            cause = f"if(starts_with({_TRIMMED}, '='), 'formula', 'quotes')"
            data.fail(MARKED, table, column, cells + found, cause)
            if column == "cid":
                twins = f"{cells} AND {_BARE} IN ({_keys(data, [table])})"
                data.fail("SYN-ID-002", table, column, twins, "'marks'")


def _keys(data: Dataset, tables: Iterable[str]) -> str:
    return " UNION ALL ".join(f"SELECT key FROM {data.keys(table)}" for table in tables)


def _bare(group: Group) -> str:
    return group.written.strip().lstrip("=").strip("\"'`´‘’‚“”„«»‹› ")


def describe_marks(group: Group) -> dict[str, Any]:
    """The values of the sentences about keys with marks (SYN-ID-008)."""
    formula = group.cause == "formula"
    advice = (
        f"Write {_bare(group)} instead of {group.written}: export the keys again as plain text. "
        "Do so in all tables that name these rows."
    )
    marks = "the signs of a spreadsheet's formula" if formula else "quotation marks"
    return {"marks": marks, "advice": advice}


def twins_advice(group: Group) -> str:
    """What to do about keys that another row has without their marks (SYN-ID-002)."""
    return (
        f"{group.written} and {_bare(group)} are one key: remove the marks, then find out which "
        "of the two rows is right."
    )


# -- ids that were rounded and printed in full: on a grid that chance does not give


@dataclass(frozen=True, slots=True)
class _Verdict:
    """`grid`, on which `found` of `ids` different ids are; chance gives it once in 2 to the power
    of `bits`. Its steps are `low` to `high`."""

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
        short = f"BETWEEN {1 - _SIXTEEN_DIGITS} AND {_SIXTEEN_DIGITS - 1}"
        return f"CASE WHEN {column} NOT {short} THEN {column} END"
    digits = f"strlen({column}) BETWEEN 16 AND 20 AND {column} < ':'"
    return f"CASE WHEN {digits} THEN try_cast({column} AS HUGEINT) END"


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


def check_rounded(
    data: Dataset, table: str, damaged: Collection[str], *, hinted: bool
) -> list[Finding]:
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
    path, numbers, findings = data.tables[table], {}, []
    declared = contract_columns(table, path)
    for name, column in declared.items():
        key = column.kind in (Kind.KEY, Kind.REFERENCE)
        if name not in damaged and (key or column.wire_type == "BIGINT"):
            stored = not key or is_number(path, name)
            numbers[name] = long_number(quote(name), stored=stored)
    if not numbers:
        return []
    # Mostly nothing in the first rows hints at a grid, and no column needs a look of its own.
    first = f"(FROM {parquet(path)} LIMIT {_SAMPLE})"
    some = data.row(
        f"SELECT {', '.join(f'list({each})' for each in numbers.values())} FROM {first}"
    )
    long = {
        name: _ids(name, numbers[name], first)
        for name, ids in zip(numbers, some, strict=True)
        if name != "cid" and _may_be_on_grid({abs(each) for each in ids or () if each is not None})
    }
    likely = _judge(data, [*long.values()])
    for name in sorted(numbers, key=lambda name: name != "cid"):
        if not (hinted if name == "cid" else name in likely):
            continue
        targets = [target for target in declared[name].targets if target in data.ids]
        if name != "cid" and not _finds_rows(data, long[name], targets):
            continue
        source = _ids(name, numbers[name], parquet(path, row_number=True), "file_row_number AS row")
        if verdict := _judge(data, [source]).get(name):
            grid = verdict.grid
            on_it = f"SELECT row, value FROM ({source}) WHERE {grid.long} AND {grid.on_it}"
            (example,) = data.row(f"SELECT arg_min(value::VARCHAR, row) FROM ({on_it})")
            values = {"value": example, "rounded_by": grid.rounded_by, **_described(verdict)}
            findings += data.findings(ROUNDED, table, name, on_it, **values)
    return findings


def _may_be_on_grid(ids: Collection[int]) -> bool:
    """Whether more than half of the different long `ids` are doubles, or end in a zero, as all do
    that are on a grid."""
    doubles = [int(float(each)) == each for each in ids if each > EXACT_FLOAT]
    zeros = [[each % 10 == 0 for each in ids if each >= least] for least in (0, 10**16)]
    return any(sum(found) * 2 > len(found) for found in (doubles, *zeros))


def _ids(name: str, number: str, source: str, row: str = "") -> str:
    """A query for the ids of a column: its name, value as it is there, v as a number."""
    cells = f"{literal(name)} AS col, {quote(name)} AS value, abs({number}::HUGEINT) AS v"
    return f"SELECT {', '.join([cells, *filter(None, [row])])} FROM {source}"


def _finds_rows(data: Dataset, ids: str, targets: Collection[str]) -> bool:
    """Whether most of `ids`, a query of `_ids`, are keys of one of `targets`; they are where there
    are none."""
    if not targets:
        return True
    named = f"SELECT DISTINCT value::VARCHAR AS id FROM ({ids}) WHERE v IS NOT NULL"
    found, every = data.row(
        f"SELECT count(*) FILTER (id IN ({_keys(data, targets)})), count(*) FROM ({named})"
    )
    return bool(found * 2 > every)


def _judge(data: Dataset, columns: Sequence[str]) -> dict[str, _Verdict]:
    """By column, each a query of `_ids`, the grid on which its different ids are, the least likely
    one; no columns where chance gives it."""
    if not columns:
        return {}
    tests, counts = [], []
    for name, grid in _GRIDS.items():
        # In a CASE, as a logarithm of 0 would end the query.
        for what in ("on_it", "wider", "bits"):
            tests.append(f"CASE WHEN {grid.long} THEN {getattr(grid, what)} END AS {what}_{name}")
        on_it, wider, bits = (f"{what}_{name}" for what in ("on_it", "wider", "bits"))
        counts.append(
            f"""row(count(*) FILTER ({grid.long}), count(*) FILTER ({on_it}),
                count(*) FILTER ({on_it} AND {wider}), coalesce(sum({bits}) FILTER ({on_it}), 0),
                coalesce(min({bits}) FILTER ({on_it}), 0),
                coalesce(max({bits}) FILTER ({on_it}), 0))"""
        )
    ids = " UNION ALL ".join(f"(SELECT col, v FROM ({column}))" for column in columns)
    found = data.fetch(
        f"""SELECT col, {", ".join(counts)} FROM (SELECT *, {", ".join(tests)}
            FROM (SELECT DISTINCT col, v FROM ({ids}) WHERE v IS NOT NULL)) GROUP BY col"""
    )
    verdicts = {
        column: [_on_grid(*each) for each in zip(_GRIDS.values(), measured, strict=True)]
        for column, *measured in found
    }
    return {
        column: max(likely, key=lambda verdict: verdict.bits)
        for column, each in verdicts.items()
        if (likely := [verdict for verdict in each if verdict and verdict.bits >= _UNLIKELY])
    }


def _on_grid(grid: Grid, counts: tuple[int, int, int, float, float, float]) -> _Verdict | None:
    ids, found, wider, bits, low, high = counts
    if found * 2 <= ids or (wider == found and found * grid.wider_bits >= _SURELY_STEPPED):
        return None
    share = found / ids
    # So many of them in any order: of n ids there are at most 2^(n * H) choices of k (H is the
    # entropy of k / n).
    entropy = -(share * log2(share) + (1 - share) * log2(1 - share)) if share < 1 else 0.0
    return _Verdict(grid, ids, found, bits - ids * entropy, round(2**low), round(2**high))


def _described(verdict: _Verdict) -> dict[str, Any]:
    """The values of the finding's sentences."""
    ids, found, low, high = verdict.ids, verdict.found, verdict.low, verdict.high
    power = verdict.bits * log10(2)
    chance = f"{round(10**power, 1 - int(power)):,.0f}" if power < 9 else f"10^{power:.0f}"
    facts = {
        "ids": ids,
        "found": found,
        "of": "" if found == ids else f" of {ids:,}",
        "chance": chance,
        "step": f"{high:,}" if low == high else f"{low:,} to {high:,}",
    }
    return verdict.grid.described(facts, "likely")
