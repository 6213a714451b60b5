"""How keys are kept on disk: whole numbers where every key of a column is one as DuckDB would write
it, else text.

Belongs here: reading either as the text that keys are, and SQL that gives a number only where its
digits are the text. Does not: which tables there are.

A long id takes 8 bytes as a number, which Parquet packs well and DuckDB joins and counts fast, and
18 as text. `01`, `1.0` and `1e3` are no such numbers: one of them keeps its whole column text. So
the same keys are kept the same way, whatever file they came in.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import duckdb

from syndb_pipeline.base.engine import literal, parquet, quote, types_of
from syndb_pipeline.contract.tables import TABLES, Kind

KEY_COLUMNS: Final = frozenset(
    {"key"}
    | {
        column.name
        for table in TABLES.values()
        for column in table.columns.values()
        if column.kind in (Kind.KEY, Kind.REFERENCE)
    }
)
"""Columns that hold keys: `key` in the id maps of assign_ids, the others in the tables of
ingest.
"""

_LEAST_OF_LENGTH: Final = literal([10**digits for digits in range(19)])
"""SQL list: the least number of one digit, of two digits, ...; beyond the end of the list is
NULL.
"""

_NOT_WHOLE: Final = "no whole number: "

KEY_JOINT: Final = ":"
"""Is between the parts of a key that several columns make together."""


def rows_of(path: Path, *, row_number: bool = False) -> str:
    """A FROM item: the rows of a table of ingest, or of an id map, with every key as text;
    `row_number` as in `engine.parquet`.
    """
    source = parquet(path, row_number=row_number)
    numbers = sorted(
        name for name, kind in types_of(path).items() if kind == "int64" and name in KEY_COLUMNS
    )
    if not numbers:
        return source
    return (
        "(SELECT * REPLACE"
        f" ({', '.join(f'{quote(name)}::VARCHAR AS {quote(name)}' for name in numbers)}) FROM"
        f" {source})"
    )


def keys_of(path: Path) -> str:
    """A FROM item: row, counted from 0, and key as text, of the rows of an id map that have one."""
    rows = rows_of(path, row_number=True)
    return f"(SELECT file_row_number AS row, key FROM {rows} WHERE key IS NOT NULL)"


def cells_of(path: Path, column: str) -> str:
    """A FROM item: row, counted from 0, and value of a column, every key as text."""
    rows = rows_of(path, row_number=True)
    return f"(SELECT file_row_number AS row, {quote(column)} AS value FROM {rows})"


def is_number(path: Path, column: str) -> bool:
    """Whether the column of keys is in the Parquet file at `path` as BIGINT; it is VARCHAR
    otherwise.
    """
    return types_of(path)[column] == "int64"


def comparable(one: tuple[Path, str], other: tuple[Path, str]) -> tuple[str, str]:
    """SQL of two columns of keys, each given as (file, column), so that equal keys are equal
    however each of them is there.
    """
    numbers = [is_number(*each) for each in (one, other)]
    left, right = (
        quote(column) if numbers[0] == numbers[1] else f"{quote(column)}::VARCHAR"
        for _, column in (one, other)
    )
    return left, right


def kept_columns(path: Path, columns: Sequence[str], numbers: Collection[str]) -> str:
    """The `columns` of the Parquet file at `path` to select, the keys of those in `numbers` as
    BIGINT, others as text.
    """

    def kept(name: str) -> str:
        column, stored = quote(name), is_number(path, name)
        if name not in KEY_COLUMNS or stored == (name in numbers):
            return column
        return (
            f"{column}::VARCHAR AS {column}"
            if stored
            else f"{whole_number(f'try_cast({column} AS BIGINT)', column, name)} AS {column}"
        )

    return ", ".join(kept(name) for name in columns)


def whole_number(number: str, text: str, name: str) -> str:
    """SQL: `number`, which is `text` cast to BIGINT, where its digits are the text. Any other text
    ends the query: see `not_whole`.
    """
    same = (
        f"CASE WHEN {surely_digits(number, text)} THEN {number} WHEN {number}::VARCHAR = {text}"
        f" THEN {number}"
    )
    return f"{same} WHEN {text} IS NOT NULL THEN error({literal(_NOT_WHOLE + name)}) END"


def surely_digits(number: str, text: str) -> str:
    """SQL: `number`, which is `text` cast to BIGINT, is certain to be written as `text`; of other
    numbers a comparison shows, which takes twice as long.

    What begins with 1 to 9 and gives a number of as many digits as it has characters is these
    digits, for a point, a blank or a mark between digits takes a character more; but for `1e2`, and
    any other that an exponent makes as long, which ends in two zeros.
    """
    return (
        f"{number} % 100 <> 0 AND {text} >= '1' AND {number} >= {_LEAST_OF_LENGTH}[strlen({text})]"
    )


def not_whole(error: duckdb.Error) -> str | None:
    """The `name` of the `whole_number` that ended a query with `error`; None where something else
    did.
    """
    _, found, name = str(error).partition(_NOT_WHOLE)
    return name.splitlines()[0].strip() if found else None


def joined_key(parts: Sequence[str], joint: str = KEY_JOINT) -> str:
    """SQL of the key that the texts `parts` (SQL) make together, NULL where one of them is; no two
    rows of parts give one key.

    Where a part holds the joint itself, a backslash is put before every joint and every backslash
    inside the parts: (`a`, `b:c`) is `a:b\\:c` and (`a:b`, `c`) is `a\\:b:c`. Every other key is
    its parts as they are, with the joint between them: it has fewer joints than any of the former.
    """
    plain = f" || {literal(joint)} || ".join(parts)
    holds = " OR ".join(f"contains({part}, {literal(joint)})" for part in parts)
    escaped = [
        f"replace(replace({part}, '\\', '\\\\'), {literal(joint)}, {literal(chr(92) + joint)})"
        for part in parts
    ]
    return f"CASE WHEN {holds} THEN {f' || {literal(joint)} || '.join(escaped)} ELSE {plain} END"


def part_of_key(key: str, index: int, parts: int) -> str:
    """SQL of the part at `index`, counted from 0, of a `joined_key` (SQL) that so many parts
    make.
    """
    backslash, colon = "chr(1)", "chr(2)"
    hidden = f"replace(replace({key}, '\\\\', {backslash}), '\\{KEY_JOINT}', {colon})"
    shown = (
        f"replace(replace(split_part({hidden}, '{KEY_JOINT}', {index + 1}), {backslash}, '\\'),"
        f" {colon}, '{KEY_JOINT}')"
    )
    plain = f"length({key}) - length(replace({key}, '{KEY_JOINT}', '')) = {parts - 1}"
    return f"CASE WHEN {plain} THEN split_part({key}, '{KEY_JOINT}', {index + 1}) ELSE {shown} END"


def unescaped_key(key: str) -> str:
    """SQL of the parts of a `joined_key` (SQL) with the joint between them and no backslash put
    before any.
    """
    return (
        f"replace(replace(replace({key}, '\\\\', chr(1)), '\\{KEY_JOINT}', '{KEY_JOINT}'), chr(1),"
        " '\\')"
    )
