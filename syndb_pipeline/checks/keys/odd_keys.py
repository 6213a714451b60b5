"""Keys that a program wrote otherwise than they are: in short form, as a date, with quotation marks
or as a formula.

Belongs here: finding them in cells that ingest marked and in the id map, and what to say of them.
Does not: keys that tables hold for "no value" (`markers`), ids that were rounded and printed in
full (`rounded_ids`), keys that find no row (`orphans`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from syndb_pipeline.base.engine import literal, parquet, quote
from syndb_pipeline.checks.failures import Failures, Group
from syndb_pipeline.contract.key_encoding import rows_of
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
writes MAR3 or Mar-3.
"""

IS_DATE: Final = f"length(key) < 9 AND regexp_full_match(key, {literal(_DAY)})"
"""SQL: `key`, a text, is a day to a spreadsheet."""

_TRIMMED: Final = f"trim(raw, {literal(WHITE_SPACE)})"
_BARE: Final = f"regexp_replace({_TRIMMED}, '^[^0-9A-Za-z]+|[^0-9A-Za-z]+$', '', 'g')"
"""SQL: what a key with marks is without them."""


def add_cells(
    failures: Failures, cells: Path, tables: Mapping[str, Path], ids: Mapping[str, Path]
) -> None:
    """Add the cells that ingest marked: numbers in short form (SYN-ID-003) and keys with marks
    (SYN-ID-008).

    A number such as 3e17, which may be a name, counts where another cell of its column is surely a
    number in short form, or where all are written so. A key with marks that another row has without
    them is there twice (SYN-ID-002). `tables` and `ids` say where the rows and the keys of each
    table are.
    """
    source = parquet(cells)
    kinds = failures.connection.execute(
        f"SELECT tbl, col, kind, count(*) FROM {source} GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    counts = {(table, column, kind): count for table, column, kind, count in kinds}
    failures.add(
        f"SELECT {literal(DAMAGED)}, tbl, row_number, col, raw, '' FROM {source} WHERE kind ="
        " 'float'"
    )
    for (table, column, kind), count in counts.items():
        of_column = (
            f"FROM {source} WHERE kind = {literal(kind)} AND tbl = {literal(table)} AND col ="
            f" {literal(column)}"
        )
        if kind == "short" and (
            (table, column, "float") in counts or count == _filled(failures, tables[table], column)
        ):
            failures.add(f"SELECT {literal(DAMAGED)}, tbl, row_number, col, raw, '' {of_column}")
        elif kind == "marks":
            # A reference that finds no row for its marks is told as such, with the key that it
            # means (`orphans`).
            known = [ids[name] for name in TABLES[table].columns[column].targets if name in ids]
            keys = " UNION ALL ".join(
                f"SELECT key FROM {rows_of(path)} WHERE key IS NOT NULL" for path in known
            )
            found = f" AND {_TRIMMED} IN ({keys})" if keys else ""
            cause = f"if(starts_with({_TRIMMED}, '='), 'formula', 'quotes')"
            failures.add(
                f"SELECT {literal(MARKED)}, tbl, row_number, col, raw, {cause} {of_column}{found}"
            )
            if column == "cid":
                failures.add(f"""SELECT 'SYN-ID-002', tbl, row_number, col, raw, 'marks' {of_column}
                        AND {_BARE} IN (SELECT key FROM {rows_of(ids[table])} WHERE key IS NOT
                          NULL)""")


def _filled(failures: Failures, path: Path, column: str) -> int:
    (count,) = failures.connection.execute(
        f"SELECT count({quote(column)}) FROM {parquet(path)}"
    ).fetchone() or (0,)
    return int(count)


def _bare(group: Group) -> str:
    return group.written.strip().lstrip("=").strip("\"'`´‘’‚“”„«»‹› ")


def describe(group: Group) -> dict[str, Any]:
    """The values of the sentences about keys with marks (SYN-ID-008)."""
    bare = _bare(group)
    if group.cause == "formula":
        marks = "the signs of a spreadsheet's formula"
        advice = (
            f"Write {bare} instead of {group.written}, and format the column as text where a"
            " spreadsheet takes zeros away."
        )
    else:
        marks = "quotation marks"
        advice = (
            f"Write {bare} instead of {group.written}: export the keys again so that text is quoted"
            " once."
        )
    return {"marks": marks, "advice": f"{advice} Do so in all tables that name these rows."}


def describe_twins(group: Group, distinct: int, total: int) -> dict[str, Any]:
    """The values of the sentences about keys that another row has without their marks
    (SYN-ID-002).
    """
    advice = (
        f"{group.written} and {_bare(group)} are one key: remove the marks, then find out which of"
        " the two rows is right."
    )
    return {"distinct": f"{distinct - group.count:,}", "total": f"{total:,}", "advice": advice}
