"""What each stage's record says beside rows, findings and files: the models of its details.

Belongs here: fields that later stages, reports, plans and pages read. Does not: the record around
them (`store.py`). What is excluded while empty was absent from the records always, so that their
digests stay what they are.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


def _if_empty(value: Any) -> bool:
    return not value


class Details(BaseModel):
    """Details of a stage, or a part of them. A record whose details have other fields is not of
    this version, so its stage runs again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


class TableDetails(Details, Generic[T]):
    """Details of a stage that works table by table. `made_from` is by table the digest of all that
    the stage made its part of the outputs and findings from.
    """

    tables: dict[str, T]
    made_from: dict[str, str]


class IngestedTable(Details):
    """`rows` are those read, `unreadable` the lines that were refused; `columns` maps the
    contract's columns to the lab's names.
    """

    rows: int
    unreadable: int
    columns: dict[str, str]


class IngestedFile(Details):
    """One of a table's files as it was read; `names` are all in its header."""

    table: str
    file: str
    sheet: str | None
    rows: int
    bytes: int
    delimiter: str | None
    encoding: str | None
    names: list[str]


class IngestDetails(TableDetails[IngestedTable]):
    files: list[IngestedFile]

    def files_of(self, table: str) -> list[IngestedFile]:
        """The files of `table`, in the order of their rows."""
        return [file for file in self.files if file.table == table]


class Summary(Details):
    """Of one column: cells without a value, and of its finite values the least, some percentiles,
    the greatest.
    """

    nulls: int
    min: int | float | None
    p1: int | float | None
    median: int | float | None
    p99: int | float | None
    max: int | float | None


class ValidatedTable(Details):
    """The numeric columns, and in `units` those that seem to be in another unit, with that unit."""

    columns: dict[str, Summary]
    units: dict[str, str] = Field(default={}, exclude_if=_if_empty)


class SwappedKeys(Details):
    """`column` holds the keys of the rows, while `cid` holds those of others; `proof` says why."""

    column: str
    proof: str


class AssignedTable(Details):
    """Counts of rows and keys; `rounded` where most keys look so, `swapped` where cid and another
    column hold each other's keys.
    """

    rows: int
    distinct: int
    missing: int
    repeated: int
    swapped: SwappedKeys | None = Field(default=None, exclude_if=_if_empty)
    rounded: bool = Field(default=False, exclude_if=_if_empty)


class Link(Details):
    """The table that a column of references was joined to, why that one (`Relation.how`), and how
    many rows it resolved.
    """

    target: str
    how: str = Field(default="", exclude_if=_if_empty)
    resolved: int = 0


Links = dict[str, dict[str, Link]]
"""Table -> column -> what it was joined to."""


def _if_none(value: Any) -> bool:
    return value is None


class JoinedTable(Details):
    """Its references by column; of a table of pairs also the distinct pairs, the rows that have
    both ends, and those combined with others.
    """

    references: dict[str, Link]
    pairs: int | None = Field(default=None, exclude_if=_if_none)
    rows: int | None = Field(default=None, exclude_if=_if_none)
    combined: int | None = Field(default=None, exclude_if=_if_none)


class JoinDetails(TableDetails[JoinedTable]):
    @property
    def links(self) -> Links:
        """The references of each table."""
        return {name: table.references for name, table in self.tables.items()}


class RowsSetAside(Details):
    """Rows and unreadable lines of a table that were quarantined: `rows` of those `read`, `below`
    of them only for other rows' errors.
    """

    read: int
    rows: int
    below: int

    def __str__(self) -> str:
        wrong = self.rows - self.below
        why = {"wrong": wrong, "below others": self.below}
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in why.items() if count)
        return f"{self.rows:,} of {self.read:,} rows: {reasons}"


class VerdictDetails(Details):
    """The verdict ("accepted" when no finding is an error, or the rows of all of them are
    quarantined), the digest of each earlier stage's record, the relations for people, and what was
    quarantined by table.
    """

    verdict: Literal["accepted", "rejected"]
    chain: dict[str, str]
    relations: Links
    set_aside: dict[str, RowsSetAside] = Field(default={}, exclude_if=_if_empty)

    @property
    def accepted(self) -> bool:
        return self.verdict == "accepted"


class PackagedTable(Details):
    rows: int
    sha256: str
    bytes: int


class PackagedTar(Details):
    """The tar of all tables, put together while it is sent."""

    name: str
    bytes: int


class PackageDetails(TableDetails[PackagedTable]):
    """What was packed; `files` counts the meshes and skeletons."""

    tar: PackagedTar
    files: int
