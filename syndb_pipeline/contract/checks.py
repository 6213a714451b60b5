"""What the cells of SynDB's tables are held to, as data: the one list that pandera's schemas and
DuckDB's scan are both made from.

Belongs here: the kinds of predicates, each as a polars expression, which pandera holds, and as SQL,
which DuckDB scans with; which column has which, under the code of its rule. Does not: pandera
(`schema.py`), running anything. Imports neither pandera nor polars: a clean table needs neither,
and they take longer than a small table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from syndb_pipeline.base.engine import literal
from syndb_pipeline.contract.tables import INT32_MAX, TABLES, Column, Kind, Table
from syndb_pipeline.contract.vocabularies import ALIASES, VOCABULARIES

if TYPE_CHECKING:
    import polars as pl

INT32_MIN: Final = -(2**31)

WORD: Final = "word"
"""The one column of `checked_words`."""


class Predicate(Protocol):
    """A condition on one cell. A cell without a value gives no answer in either form, which counts
    as holding.
    """

    def polars(self, cell: pl.Expr) -> pl.Expr:
        """The condition as a boolean polars expression over the column `cell`."""
        ...

    def sql(self, cell: str) -> str:
        """The condition as boolean DuckDB SQL over the column expression `cell`."""
        ...

    def extremes(self, cell: str) -> tuple[str, ...]:
        """DuckDB's aggregates of the cells among which one fails if any cell of the column does;
        none where no few cells speak for all.
        """
        ...


@dataclass(frozen=True, slots=True)
class Finite:
    """Neither NaN nor an infinity."""

    def polars(self, cell: pl.Expr) -> pl.Expr:
        return cell.is_finite()

    def sql(self, cell: str) -> str:
        return f"isfinite({cell})"

    def extremes(self, cell: str) -> tuple[str, ...]:
        return (f"min({cell})", f"max({cell})")  # NaN counts as the largest number


@dataclass(frozen=True, slots=True)
class Within:
    """Between `minimum` and `maximum`, both included unless `above` leaves the minimum out. With
    `finite_only`, NaN and infinities hold.
    """

    minimum: float | int | None = None
    maximum: float | int | None = None
    above: bool = False
    finite_only: bool = False

    def polars(self, cell: pl.Expr) -> pl.Expr:
        import polars as pl  # asked for by pandera alone, which has it imported

        inside = pl.lit(True)
        if self.minimum is not None:
            inside = inside & ((cell > self.minimum) if self.above else (cell >= self.minimum))
        if self.maximum is not None:
            inside = inside & (cell <= self.maximum)
        return inside | ~cell.is_finite() if self.finite_only else inside

    def sql(self, cell: str) -> str:
        bounds = (
            [f"{cell} {'>' if self.above else '>='} {literal(self.minimum)}"]
            if self.minimum is not None
            else []
        )
        bounds += [f"{cell} <= {literal(self.maximum)}"] if self.maximum is not None else []
        inside = " AND ".join(bounds) or "TRUE"
        return f"({inside} OR NOT isfinite({cell}))" if self.finite_only else f"({inside})"

    def extremes(self, cell: str) -> tuple[str, ...]:
        return (f"min({cell})", f"max({cell})")


@dataclass(frozen=True, slots=True)
class AtMostCharacters:
    """No longer than `limit` characters (code points)."""

    limit: int

    def polars(self, cell: pl.Expr) -> pl.Expr:
        return cell.str.len_chars() <= self.limit

    def sql(self, cell: str) -> str:
        return f"length({cell}) <= {self.limit}"

    def extremes(self, cell: str) -> tuple[str, ...]:
        return (f"arg_max({cell}, length({cell}))",)


@dataclass(frozen=True, slots=True)
class Ascii:
    """Of ASCII characters alone: exactly these take one byte in UTF-8."""

    def polars(self, cell: pl.Expr) -> pl.Expr:
        return cell.str.len_bytes() == cell.str.len_chars()

    def sql(self, cell: str) -> str:
        return f"strlen({cell}) = length({cell})"

    def extremes(self, cell: str) -> tuple[str, ...]:
        return (f"arg_max({cell}, strlen({cell}) - length({cell}))",)


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of `words`, as written."""

    words: tuple[str, ...]

    def polars(self, cell: pl.Expr) -> pl.Expr:
        return cell.is_in(list(self.words))

    def sql(self, cell: str) -> str:
        return f"{cell} IN ({', '.join(map(literal, self.words))})"

    def extremes(self, cell: str) -> tuple[str, ...]:
        return ()


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
