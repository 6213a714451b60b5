"""Which table each column of references was joined to, and why that one: the same words for
terminal, JSON, plan, pages and Dagster.

Belongs here: reading them from a record of join_relations or check_integrity. Does not: choosing
the table (`stages/targets.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from syndb_pipeline.state.results import Links

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
