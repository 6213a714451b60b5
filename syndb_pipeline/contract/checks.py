"""What the cells of SynDB's tables are held to, as data: the one list that pandera's schemas and
DuckDB's scan are both made from.

Belongs here: which column has which predicates, each under the code of its rule. Does not: the
predicates (`predicates.py`), pandera (`schema.py`), running anything. Imports neither pandera nor
polars: a clean table needs neither, and they take longer than a small table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from syndb_pipeline.contract.predicates import (
    Ascii,
    AtMostCharacters,
    Finite,
    OneOf,
    Predicate,
    Within,
)
from syndb_pipeline.contract.tables import INT32_MAX, TABLES, Column, Kind, Table
from syndb_pipeline.contract.vocabularies import ALIASES, VOCABULARIES

INT32_MIN: Final = -(2**31)

WORD: Final = "word"
"""The one column of `checked_words`."""


@dataclass(frozen=True, slots=True)
class Check:
    """What the cells of a column must be, and the code of the rule that those break which are not;
    cells without a value pass.
    """

    code: str
    predicate: Predicate


@dataclass(frozen=True, slots=True)
class CheckedColumn:
    """A column's kind, the checks of its cells, and whether it must be there with a value in every
    cell.
    """

    kind: Kind
    checks: tuple[Check, ...]
    required: bool
    description: str | None = None


@dataclass(frozen=True, slots=True)
class CheckedTable:
    """Columns by name, and what the table is called in messages. Columns not among them are
    refused.
    """

    name: str
    columns: Mapping[str, CheckedColumn]


def column_checks(column: Column) -> tuple[Check, ...]:
    """The checks of one column's cells, each named by the code of its rule in `findings.catalogue`;
    empty when any value will do.
    """
    checks = []
    if column.kind is Kind.NUMBER:
        checks.append(Check("SYN-VAL-002", Finite()))
    if column.kind is Kind.INTEGER and column.wire_type == "INTEGER":
        # Below its minimum a value is out of range, which says more than that it does not fit.
        checks.append(
            Check("SYN-VAL-005", Within(INT32_MIN if column.minimum is None else None, INT32_MAX))
        )
    if column.kind in (Kind.NUMBER, Kind.INTEGER) and (
        column.minimum is not None or column.maximum is not None
    ):
        checks.append(Check("SYN-VAL-001", _bounds(column)))
    if column.kind is Kind.TEXT:
        if column.max_length is not None:
            checks.append(Check("SYN-VAL-003", AtMostCharacters(column.max_length)))
        checks.append(Check("SYN-VAL-004", Ascii()))
    return tuple(checks)


def _bounds(column: Column) -> Within:
    maximum = (
        None if column.maximum == INT32_MAX else column.maximum
    )  # the type's limit, which SYN-VAL-005 holds
    # A value that is no finite number is reported once, by SYN-VAL-002.
    return Within(
        column.minimum,
        maximum,
        above=column.exclusive_minimum,
        finite_only=column.kind is Kind.NUMBER,
    )


def ruled_columns(table: Table) -> list[str]:
    """The columns of `table` whose cells have checks, in the contract's order."""
    return [name for name, column in table.columns.items() if column_checks(column)]


def checked_table(table: str, columns: Iterable[str] | None = None) -> CheckedTable:
    """SynDB's table `table`, restricted to `columns` where given. Raises `KeyError` for a table or
    column SynDB does not have.
    """
    declared = TABLES[table].columns
    chosen = declared if columns is None else {name: declared[name] for name in columns}
    return CheckedTable(
        table,
        {
            name: CheckedColumn(
                column.kind, column_checks(column), column.required, column.description
            )
            for name, column in chosen.items()
        },
    )


def checked_words(vocabulary: str) -> CheckedTable:
    """A column `WORD` of lower-case words, each of which is a word of `vocabulary` or another
    spelling of one.

    Meant for the distinct words of a column, so that its cost does not grow with the rows.
    """
    known = (*VOCABULARIES[vocabulary], *ALIASES.get(vocabulary, {}))
    return CheckedTable(
        vocabulary,
        {WORD: CheckedColumn(Kind.TEXT, (Check("SYN-VOC-001", OneOf(known)),), required=True)},
    )
