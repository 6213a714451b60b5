"""The pandera schemas of SynDB's tables, made from `contract.checks`, and the same contract as a
page to read.

Belongs here: what a declared check is in pandera. Does not: which columns have which (`checks.py`),
running them over a dataset (`checks/cells/pandera_judge.py`). Only what has pandera judge, and the
page, import this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Final, Self

import pandera.polars as pa
import polars as pl
from pandera.api.polars.types import PolarsData
from pandera.backends.polars.components import ColumnBackend

from syndb_pipeline.contract import ontologies, vocabularies
from syndb_pipeline.contract.checks import Check, CheckedTable
from syndb_pipeline.contract.tables import TABLES, Column, Kind

POLARS_TYPES: Final[dict[Kind, type[pl.DataType]]] = {
    **dict.fromkeys(Kind, pl.String),
    Kind.NUMBER: pl.Float64,
    Kind.INTEGER: pl.Int64,
    Kind.BOOLEAN: pl.Boolean,
}
"""What `Column.sql_type` is in polars."""


def _check(check: Check) -> pa.Check:
    """`check` as pandera's check of a whole column, named by its code."""

    def holds(data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(check.predicate.polars(pl.col(data.key or "*")))

    return pa.Check(holds, name=check.code)


class _Column(pa.Column):
    """A column of a schema that is made for one validation: what pandera copies of it, deeply each
    time, need not be another one in its parts.
    """

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return copy(self)


_Column.register_backend(pl.LazyFrame, ColumnBackend)


def schema_of(table: CheckedTable) -> pa.DataFrameSchema:
    """The schema of `table`.

    Types are exact (nothing is coerced), columns that it does not name are refused, optional
    columns may be absent, and only required columns refuse cells without a value.
    """
    return pa.DataFrameSchema(
        {
            name: _Column(
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


def _rules(column: Column) -> Iterator[str]:
    """What the cells of `column` must be, in words."""
    if column.bounds:
        yield column.bounds
    if column.kind is Kind.NUMBER:
        yield "finite"
    if column.kind is Kind.INTEGER:
        yield "32 bit" if column.wire_type == "INTEGER" else "64 bit"
    if column.max_length is not None:
        yield f"at most {column.max_length} characters"
    if column.kind is Kind.TEXT:
        yield "ASCII, sent in lower case"
    if column.vocabulary:
        yield f"words: [{column.vocabulary}](#{column.vocabulary})"
    if column.suffix:
        yield f"a {column.suffix} file"
    if column.targets:
        yield f"a `cid` of {', '.join(column.targets)}"


def data_dictionary(table: str | None = None) -> str:
    """The contract as a Markdown page: every table and column with type, unit, bounds, vocabulary
    and source, then the vocabularies; or the part of it that is about one table.
    """
    from jinja2 import Environment, PackageLoader  # no stage writes a page

    environment = Environment(loader=PackageLoader("syndb_pipeline.contract", ""))
    page = environment.get_template("dictionary.md.jinja").render(
        tables=TABLES.values(),
        rules=_rules,
        vocabularies=vocabularies.VOCABULARIES,
        aliases=vocabularies.ALIASES,
        config_words=vocabularies.CONFIG_WORDS,
        term=ontologies.term,
    )
    if table is not None:
        page = f"## {table}\n" + page.partition(f"## {table}\n")[2].partition("\n#")[0]
    return f"{page.rstrip()}\n"
