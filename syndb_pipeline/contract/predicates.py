"""What a cell must be, said once and in two tongues: a polars expression, which pandera holds, and
SQL, which DuckDB scans with.

Belongs here: the kinds of predicates. Does not: which column has which (`checks.py`), or running
them (`stages/frames.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from syndb_pipeline.base.engine import literal

if TYPE_CHECKING:
    import polars as pl


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
