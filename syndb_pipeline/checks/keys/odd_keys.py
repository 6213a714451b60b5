"""Keys that a program wrote otherwise than they are: in short form, as a date, with quotation marks
or as a formula.

Belongs here: finding them in cells that ingest marked and in the id map, and what to say of them.
Does not: keys that tables hold for "no value" (`cells/markers.py`), ids that were rounded and
printed in full (`rounded_ids.py`), keys that find no row (`references`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from syndb_pipeline.base.engine import literal
from syndb_pipeline.checks.dataset import Dataset
from syndb_pipeline.checks.failures import Group
from syndb_pipeline.contract.key_encoding import cells_of, keys_of
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.readers.casts import WHITE_SPACE

DATE: Final = "SYN-ID-006"
DAMAGED: Final = "SYN-ID-003"
MARKED: Final = "SYN-ID-008"

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
        short = kind == "short" and (
            (table, column, "float") in counts
            or count
            == data.count(f"FROM {cells_of(data.tables[table], column)} WHERE value IS NOT NULL")
        )
        if kind == "float" or short:
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
    return " UNION ALL ".join(f"SELECT key FROM {keys_of(data.ids[table])}" for table in tables)


def _bare(group: Group) -> str:
    return group.written.strip().lstrip("=").strip("\"'`´‘’‚“”„«»‹› ")


def describe(group: Group) -> dict[str, Any]:
    """The values of the sentences about keys with marks (SYN-ID-008)."""
    if group.cause == "formula":
        marks, fix = (
            "the signs of a spreadsheet's formula",
            ", and format the column as text where a spreadsheet takes zeros away",
        )
    else:
        marks, fix = "quotation marks", ": export the keys again so that text is quoted once"
    advice = (
        f"Write {_bare(group)} instead of {group.written}{fix}. Do so in all tables that name "
        "these rows."
    )
    return {"marks": marks, "advice": advice}


def twins_advice(group: Group) -> str:
    """What to do about keys that another row has without their marks (SYN-ID-002)."""
    return (
        f"{group.written} and {_bare(group)} are one key: remove the marks, then find out which "
        "of the two rows is right."
    )
