"""The pandera schemas of SynDB's tables, made from `contract.checks`, and the same contract as a
page to read.

Belongs here: what a declared check is in pandera. Does not: which columns have which (`checks.py`),
running them over a dataset (`stages/validate.py`). Only what has pandera judge imports this module.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pandera.polars as pa
import polars as pl
from pandera.api.polars.types import PolarsData

from syndb_pipeline.contract.checks import Check, CheckedTable, checked_table, checked_words
from syndb_pipeline.contract.tables import TABLES, Column, Kind, Table
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


def _check(check: Check) -> pa.Check:
    """`check` as pandera's check of a whole column, named by its code."""

    def holds(data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(check.predicate.polars(pl.col(data.key or "*")))

    return pa.Check(holds, name=check.code)


def schema_of(table: CheckedTable) -> pa.DataFrameSchema:
    """The schema of `table`.

    Types are exact (nothing is coerced), columns that it does not name are refused, optional
    columns may be absent, and only required columns refuse cells without a value.
    """
    return pa.DataFrameSchema(
        {
            name: pa.Column(
                POLARS_TYPES[column.kind],
                checks=[_check(check) for check in column.checks],
                nullable=not column.required,
                required=column.required,
                description=column.description,
            )
            for name, column in table.columns.items()
        },
        name=table.name,
        strict=True,
        coerce=False,
    )


def table_schema(table: str, columns: Iterable[str] | None = None) -> pa.DataFrameSchema:
    """The schema of SynDB's table `table`, restricted to `columns` where given.

    Raises `KeyError` for a table or column SynDB does not have.
    """
    return schema_of(checked_table(table, columns))


def words_schema(vocabulary: str) -> pa.DataFrameSchema:
    """The schema of a frame of lower-case words, as `checked_words` describes it."""
    return schema_of(checked_words(vocabulary))


_CONFIG_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "animal": tuple(ANIMALS),
    "brain_regions: structure": tuple(BRAIN_STRUCTURES),
    "brain_regions: direction": tuple(DIRECTIONS),
    "mutations: expression": tuple(GENE_EXPRESSIONS),
    "license": (*LICENSES, *SPDX_LICENSES),
}
"""Keys of a dataset's metadata -> the words they may have."""

_OTHER_REGIONS: Final = (
    "Any other name of a region is published as it is written, with a warning (SYN-VOC-005)."
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
        f"Code {table.code}, level {table.level} of the hierarchy; a row is identified by"
        f" {identity}. "
        + (
            f"Parents, nearest first: {', '.join(table.parents)}."
            if table.parents
            else "It has no parent."
        ),
        "",
        (
            "| column | type in your file | type in SynDB | unit | rules | what it is | also called"
            " | source |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    for column in table.columns.values():
        name = f"`{column.name}`" + (" (required)" if column.required else "")
        wire = column.wire_type if column.published else "not sent"
        also = ", ".join(column.aliases)
        cells = [
            name,
            column.kind.value,
            wire,
            column.unit,
            _rules_in_words(column),
            column.description,
            also,
            column.source,
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return [*lines, ""]


def data_dictionary() -> str:
    """The contract as a Markdown page: every table and column with type, unit, bounds, vocabulary
    and source, then the vocabularies.
    """
    lines = [
        "# SynDB's tables and columns",
        "",
        (
            "Lengths are in nm, areas in nm2, volumes in nm3. Columns that are not required may be"
            " left out, and their cells may be empty."
        ),
        (
            "Sources: C15 and C17 are syndb-constants 0.15.0 and 0.17.0, G is SynDB's contributors'"
            " guide, R is a rule of this pipeline."
        ),
        "",
    ]
    for table in TABLES.values():
        lines += _table_page(table)
    lines += [
        "# Vocabularies",
        "",
        "Source: neurometa. Words are compared without regard to case.",
        "",
    ]
    for name, words in VOCABULARIES.items():
        lines += [f"## {name}", "", ", ".join(f"`{word}`" for word in words), ""]
        aliases = ALIASES.get(name, {})
        other = [f"`{alias}` for {word}" for alias, word in aliases.items() if alias not in words]
        if other:
            lines += ["Other spellings that are understood: " + ", ".join(other), ""]
    lines += [
        "# Words of a dataset's YAML",
        "",
        "Under `dataset:`; written with or without capitals.",
        "",
    ]
    for key, listed in _CONFIG_WORDS.items():
        lines += [f"## {key}", "", ", ".join(f"`{word}`" for word in listed), ""]
        lines += [f"{_OTHER_REGIONS}", ""] if key == "brain_regions: structure" else []
    return "\n".join(lines)
