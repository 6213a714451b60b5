"""The pandera schemas of SynDB's tables, made from `contract.tables`, and the same contract as a page to read.

Belongs here: one check for each rule of a column, named by its code. Does not: running the checks over a dataset (`stages/validate.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pandera.polars as pa
import polars as pl
from pandera.api.polars.types import PolarsData

from syndb_pipeline.contract.predicates import Ascii, AtMostCharacters, Finite, OneOf, Predicate, Within
from syndb_pipeline.contract.tables import INT32_MAX, TABLES, Column, Kind, Table
from syndb_pipeline.contract.vocabularies import (
    ALIASES,
    ANIMALS,
    BRAIN_STRUCTURES,
    DIRECTIONS,
    GENE_EXPRESSIONS,
    LICENSES,
    SPDX_LICENSES,
    VOCABULARIES,
)

INT32_MIN: Final = -(2**31)
INT64_MAX: Final = 2**63 - 1

WORD: Final = "word"
"""The one column of a frame that `words_schema` checks."""

_PREDICATE: Final = "predicate"

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


def _check(code: str, predicate: Predicate) -> pa.Check:
    """A check of whole columns that fails where `predicate` does; cells without a value pass. `predicate_of` gives it back."""

    def holds(data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(predicate.polars(pl.col(data.key or "*")))

    return pa.Check(holds, name=code, statistics={_PREDICATE: predicate})


def predicate_of(check: pa.Check) -> Predicate:
    """The predicate of a check of `table_schema` or `words_schema`: what compiles it to SQL. Raises `KeyError` for other checks."""
    found: Predicate = (check.statistics or {})[_PREDICATE]
    return found


def column_checks(column: Column) -> list[pa.Check]:
    """The checks of one column's cells, each named by the code of its rule in `findings.catalogue`; empty when any value will do."""
    checks = []
    if column.kind is Kind.NUMBER:
        checks.append(_check("SYN-VAL-002", Finite()))
    if column.kind is Kind.INTEGER and column.wire_type == "INTEGER":
        # Below its minimum a value is out of range, which tells more than that it does not fit.
        checks.append(_check("SYN-VAL-005", Within(INT32_MIN if column.minimum is None else None, INT32_MAX)))
    if column.kind in (Kind.NUMBER, Kind.INTEGER) and (column.minimum is not None or column.maximum is not None):
        checks.append(_check("SYN-VAL-001", _bounds(column)))
    if column.kind is Kind.TEXT:
        if column.max_length is not None:
            checks.append(_check("SYN-VAL-003", AtMostCharacters(column.max_length)))
        checks.append(_check("SYN-VAL-004", Ascii()))
    return checks


def _bounds(column: Column) -> Within:
    maximum = None if column.maximum == INT32_MAX else column.maximum  # the type's limit, which SYN-VAL-005 holds
    # A value that is no finite number is told once, by SYN-VAL-002.
    return Within(column.minimum, maximum, above=column.exclusive_minimum, finite_only=column.kind is Kind.NUMBER)


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
    known = (*VOCABULARIES[vocabulary], *ALIASES.get(vocabulary, {}))
    return pa.DataFrameSchema(
        {WORD: pa.Column(pl.String, checks=[_check("SYN-VOC-001", OneOf(known))], nullable=False)},
        name=vocabulary,
        strict=True,
        coerce=False,
    )


_CONFIG_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "animal": tuple(ANIMALS),
    "brain_regions: structure": tuple(BRAIN_STRUCTURES),
    "brain_regions: direction": tuple(DIRECTIONS),
    "mutations: expression": tuple(GENE_EXPRESSIONS),
    "license": (*LICENSES, *SPDX_LICENSES),
}
"""Keys of a dataset's metadata -> the words they may have."""


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
    lines += ["# Words of a dataset's YAML", "", "Under `dataset:`; written with or without capitals.", ""]
    for key, listed in _CONFIG_WORDS.items():
        lines += [f"## {key}", "", ", ".join(f"`{word}`" for word in listed), ""]
    return "\n".join(lines)
