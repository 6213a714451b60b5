"""What each stage's record says beside rows, findings and files: the models of its details.

Belongs here: fields that later stages, reports, plans and pages read, and the words for relations
that all of those share. Does not: the record around them (`store.py`). What is excluded while empty
was absent from the records always, so that their digests stay what they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Generic, Literal, TypeVar

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


_REASONS: Final = {"configured": "configured", "only": "only table", "inferred": "by its keys"}


@dataclass(frozen=True, slots=True)
class Relation:
    """The rows of `table` whose `column` names a row of `target`, and those that name one that is
    not there.

    `how` is "configured" where the config names the target, "only" where the dataset has no other
    table that the column may point to, and "inferred" where its keys decided; "" where an earlier
    version left the record, which does not say.
    """

    table: str
    column: str
    target: str
    how: str
    resolved: int
    orphans: int = 0

    @property
    def name(self) -> str:
        return f"{self.table}.{self.column}"

    @property
    def reason(self) -> str:
        """`how` in words."""
        return _REASONS.get(self.how, "")

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def relations_of(
    links: Links, orphans: Mapping[tuple[str, str], int] | None = None
) -> list[Relation]:
    """The relations in `links`, which are the `relations` of check_integrity's details; `orphans`
    counts theirs by table and column.
    """
    counts = orphans or {}
    return [
        Relation(
            table,
            column,
            link.target,
            link.how,
            link.resolved,
            counts.get((table, column), 0),
        )
        for table, columns in links.items()
        for column, link in columns.items()
    ]


_USUAL_NAME: Final = 31
"""Characters of all columns' names but `forms_synapse_with`; longer ones push their target, which
is short, to the right.
"""


def lines_of(relations: Sequence[Relation]) -> list[str]:
    """A line of text for each relation: column, target, rows, reason; of at most 80 characters up
    to a million rows.
    """
    width = min(max((len(each.name) for each in relations), default=0), _USUAL_NAME)
    ends = [f"{each.name:<{width}} -> {each.target}" for each in relations]
    longest = max(map(len, ends), default=0)
    counts = [f"{each.resolved:,}" for each in relations]
    digits = max(map(len, counts), default=0)
    return [
        f"{end:<{longest}}  {count:>{digits}}  {each.reason}".rstrip()
        for each, end, count in zip(relations, ends, counts, strict=True)
    ]
