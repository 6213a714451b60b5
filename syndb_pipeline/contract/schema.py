"""The pandera schemas of SynDB's tables, made from `contract.tables`, and the same contract as a page to read.

Belongs here: one check for each rule of a column, named by its code. Does not: running the checks over a dataset (`stages/validate.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import pandera.polars as pa
import polars as pl
from pandera.api.polars.types import PolarsData

from syndb_pipeline.contract.tables import INT32_MAX, TABLES, Column, Kind, Table
from syndb_pipeline.contract.vocabularies import ALIASES, VOCABULARIES

INT32_MIN: Final = -(2**31)
INT64_MAX: Final = 2**63 - 1

WORD: Final = "word"
"""The one column of a frame that `words_schema` checks."""

POLARS_TYPES: Final[dict[Kind, type[pl.DataType]]] = {
    Kind.KEY: pl.String,
    Kind.REFERENCE: pl.String,
    Kind.NUMBER: pl.Float64,
    Kind.INTEGER: pl.Int64,
    Kind.BOOLEAN: pl.Boolean,
    Kind.TEXT: pl.String,
    Kind.PATH: pl.String,
}
"""What `Column.sql_type` is in polars."""


def _check(code: str, holds: Callable[[pl.Expr], pl.Expr]) -> pa.Check:
    """A check of whole columns that fails where `holds` is false; cells without a value pass."""
    return pa.Check(lambda data: data.lazyframe.select(_of(data, holds)), name=code)


def _of(data: PolarsData, holds: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
    return holds(pl.col(data.key or "*"))


def column_checks(column: Column) -> list[pa.Check]:
    """The checks of one column's cells, each named by the code of its rule in `findings.catalogue`; empty when any value will do."""
    checks = []
    if column.kind is Kind.NUMBER:
        checks.append(_check("SYN-VAL-002", lambda cell: cell.is_finite()))
    if column.kind is Kind.INTEGER and column.wire_type == "INTEGER":
        checks.append(_check("SYN-VAL-005", _fits_in_32_bits(column)))
    if column.kind in (Kind.NUMBER, Kind.INTEGER) and (column.minimum is not None or column.maximum is not None):
        checks.append(_check("SYN-VAL-001", _in_bounds(column)))
    if column.kind is Kind.TEXT:
        if column.max_length is not None:
            limit = column.max_length
            checks.append(_check("SYN-VAL-003", lambda cell: cell.str.len_chars() <= limit))
        # In UTF-8 exactly the ASCII characters take one byte.
        checks.append(_check("SYN-VAL-004", lambda cell: cell.str.len_bytes() == cell.str.len_chars()))
    return checks


def _fits_in_32_bits(column: Column) -> Callable[[pl.Expr], pl.Expr]:
    # Below its minimum a value is out of range, which tells more than that it does not fit.
    if column.minimum is not None:
        return lambda cell: cell <= INT32_MAX
    return lambda cell: (cell <= INT32_MAX) & (cell >= INT32_MIN)


def _in_bounds(column: Column) -> Callable[[pl.Expr], pl.Expr]:
    minimum, maximum = column.minimum, column.maximum
    if maximum == INT32_MAX:
        maximum = None  # the type's limit, which SYN-VAL-005 holds

    def holds(cell: pl.Expr) -> pl.Expr:
        inside = pl.lit(True)
        if minimum is not None:
            inside = inside & ((cell > minimum) if column.exclusive_minimum else (cell >= minimum))
        if maximum is not None:
            inside = inside & (cell <= maximum)
        # A value that is no finite number is told once, by SYN-VAL-002.
        return inside | ~cell.is_finite() if column.kind is Kind.NUMBER else inside

    return holds


def ruled_columns(table: Table) -> list[str]:
    """The columns of `table` whose cells have checks, in the contract's order."""
    return [name for name, column in table.columns.items() if column_checks(column)]


def table_schema(table: str, columns: Iterable[str] | None = None) -> pa.DataFrameSchema:
    """The schema of SynDB's table `table`, restricted to `columns` where given.

    Types are exact (nothing is coerced), columns that the contract does not know are refused, optional columns may be absent, and only
    required columns refuse cells without a value. Raises `KeyError` for a table or column SynDB does not have.
    """
    declared = TABLES[table].columns
    chosen = declared if columns is None else {name: declared[name] for name in columns}
    return pa.DataFrameSchema(
        {
            name: pa.Column(
                POLARS_TYPES[column.kind],
                checks=column_checks(column),
                nullable=not column.required,
                required=column.required,
                description=column.description,
            )
            for name, column in chosen.items()
        },
        name=table,
        strict=True,
        coerce=False,
    )


def words_schema(vocabulary: str) -> pa.DataFrameSchema:
    """The schema of a frame whose column `WORD` holds lower-case words: each is a word of `vocabulary` or another spelling of one.

    Meant for the distinct words of a column, so that its cost does not grow with the rows.
    """
    known = [*VOCABULARIES[vocabulary], *ALIASES.get(vocabulary, {})]
    return pa.DataFrameSchema(
        {WORD: pa.Column(pl.String, checks=[_check("SYN-VOC-001", lambda cell: cell.is_in(known))], nullable=False)},
        name=vocabulary,
        strict=True,
        coerce=False,
    )


def _rules_in_words(column: Column) -> str:
    rules = [column.bounds] if column.bounds else []
    if column.kind is Kind.NUMBER:
        rules.append("finite")
    if column.kind is Kind.INTEGER:
        rules.append("32 bit" if column.wire_type == "INTEGER" else "64 bit")
    if column.max_length is not None:
        rules.append(f"at most {column.max_length} characters")
    if column.kind is Kind.TEXT:
        rules.append("ASCII, sent in lower case")
    if column.vocabulary:
        rules.append(f"words: [{column.vocabulary}](#{column.vocabulary})")
    if column.suffix:
        rules.append(f"a {column.suffix} file")
    if column.targets:
        rules.append(f"a `cid` of {', '.join(column.targets)}")
    return "; ".join(rules)


def _table_page(table: Table) -> list[str]:
    identity = f"the pair {table.pair[0]}, {table.pair[1]}" if table.pair else "`cid`"
    lines = [
        f"## {table.name}",
        "",
        f"Code {table.code}, level {table.level} of the hierarchy; a row is identified by {identity}. "
        + (f"Parents, nearest first: {', '.join(table.parents)}." if table.parents else "It has no parent."),
        "",
        "| column | type in your file | type in SynDB | unit | rules | what it is | also called | source |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for column in table.columns.values():
        name = f"`{column.name}`" + (" (required)" if column.required else "")
        wire = column.wire_type if column.published else "not sent"
        also = ", ".join(column.aliases)
        cells = [name, column.kind.value, wire, column.unit, _rules_in_words(column), column.description, also, column.source]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return [*lines, ""]


def data_dictionary() -> str:
    """The contract as a Markdown page: every table and column with type, unit, bounds, vocabulary and source, then the vocabularies."""
    lines = [
        "# SynDB's tables and columns",
        "",
        "Lengths are in nm, areas in nm2, volumes in nm3. Columns that are not required may be left out, and their cells may be empty.",
        "Sources: C15 and C17 are syndb-constants 0.15.0 and 0.17.0, G is SynDB's contributors' guide, R is a rule of this pipeline.",
        "",
    ]
    for table in TABLES.values():
        lines += _table_page(table)
    lines += ["# Vocabularies", "", "Source: neurometa. Words are compared without regard to case.", ""]
    for name, words in VOCABULARIES.items():
        lines += [f"## {name}", "", ", ".join(f"`{word}`" for word in words), ""]
        aliases = ALIASES.get(name, {})
        other = [f"`{alias}` for {word}" for alias, word in aliases.items() if alias not in words]
        if other:
            lines += ["Other spellings that are understood: " + ", ".join(other), ""]
    return "\n".join(lines)
