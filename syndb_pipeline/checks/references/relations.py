"""What join_relations carries from table to table, and what of it the last run left.

Belongs here: parents as their children see them, and which relations still hold. Does not:
resolving anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from syndb_pipeline.base.digests import digest_of
from syndb_pipeline.base.engine import parquet
from syndb_pipeline.checks.causes import sentences
from syndb_pipeline.checks.dataset import Dataset
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.key_encoding import KEY_JOINT, is_number
from syndb_pipeline.contract.tables import Column, Table
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.results import JoinDetails, JoinedTable
from syndb_pipeline.state.tables import content

_LOOKED_AT: Final = 100
"""Keys that show whether a lab wrote all of them as a parent and a cid."""


say: Final = sentences(Path(__file__).with_name("sentences.toml"))


@dataclass(frozen=True)
class Parent:
    """A table as its children see it: where its keys and UUIDs are, and where its rows' neurons."""

    ids: Path
    relations: (
        Path | None
    )  # has neuron_id; None when the table is the neurons themselves, or knows no neuron
    is_neuron: bool
    repeated: bool  # some key is repeated, so a join by key would double the children

    def rows(self) -> str:
        """A FROM item with key, cid and neuron_id, one row for each key."""
        ids = parquet(self.ids)
        if self.relations is not None:
            relations = parquet(self.relations)
            rows = f"SELECT i.key, i.cid, r.neuron_id FROM {ids} i POSITIONAL JOIN {relations} r"
        else:
            neuron = "cid" if self.is_neuron else "NULL::UUID"
            rows = f"SELECT key, cid, {neuron} AS neuron_id FROM {ids}"
        if self.repeated:
            least = "min(cid) AS cid, min(neuron_id) AS neuron_id"
            rows = f"SELECT key, {least} FROM ({rows}) GROUP BY key"
        return f"({rows})"


@dataclass(frozen=True)
class Join:
    """How the relations of a table are made.

    Both queries give the same rows, of which `columns` are worked out. Those of `in_order` come in
    the order of the table's rows, in whole chunks, from a connection with one thread and `memory`
    bytes; those of `in_any_order` may be joined from either side, and on disk.
    """

    path: Path
    rows: int
    in_order: str
    in_any_order: str
    columns: str
    after: frozenset[str]  # tables whose relations are read, and are made by a join too
    memory: int


@dataclass(frozen=True, slots=True)
class Swap:
    """Columns `first` and `second` read the other way round: `proof` says in counts why."""

    first: str
    second: str
    proof: str
    anatomy: bool = False  # all keys are found, and only their sides speak against them


@dataclass
class Work(Dataset):
    """What the stage carries from table to table."""

    folder: Path
    parents: dict[str, Parent] = field(default_factory=dict)
    targets: dict[tuple[str, str], str] = field(default_factory=dict)
    joined: dict[str, Sequence[str]] = field(
        default_factory=dict
    )  # what makes a key together, of tables where several columns do
    joins: dict[str, Join] = field(default_factory=dict)
    reported: list[Finding] = field(default_factory=list)
    swaps: dict[str, Swap] = field(default_factory=dict)
    details: dict[str, JoinedTable] = field(default_factory=dict)
    made_from: dict[str, str] = field(default_factory=dict)

    def relations(self, table: str) -> Path:
        """The file of a table's relations, in the new folder."""
        return self.folder / "relations" / f"{table}.parquet"

    def targets_of(self, table: str) -> dict[str, str]:
        """The table that each column of `table` points to."""
        return {column: target for (name, column), target in self.targets.items() if name == table}

    def config(self, table: str) -> TableConfig:
        return self.context.config.tables[table]


def joined_keys(work: Work) -> dict[str, Sequence[str]]:
    """What makes a key together, by table: the columns that the config names, or a parent and a cid
    where the lab wrote keys like 1:5."""
    joined: dict[str, Sequence[str]] = {}
    two_parts = f"regexp_full_match(key, '[^{KEY_JOINT}]+{KEY_JOINT}[^{KEY_JOINT}]+')"
    for name, ids in work.ids.items():
        if parts := work.config(name).key:
            joined[name] = parts
        elif not is_number(ids, "key"):
            some = f"SELECT key FROM {work.keys(name)} LIMIT {_LOOKED_AT}"
            if work.row(f"SELECT bool_and({two_parts}) FROM ({some})")[0]:
                joined[name] = ("parent", "cid")
    return joined


def settings(table: TableConfig) -> dict[str, Any]:
    """The settings of a table that its relations depend on."""
    return {"parent": table.parent, "references": table.references, "combine": table.combine}


def configured_target(config: TableConfig, column: str) -> str | None:
    """The table that the config says `column` points to."""
    return config.parent if column == "parent_id" else config.references.get(column)


def allowed_targets(config: TableConfig, column: Column) -> list[str]:
    """The tables that `column` may point to: the one that the config names, else all that the
    contract allows."""
    configured = configured_target(config, column.name)
    return [name for name in column.targets if configured in (None, name)]


def target_setting(table: str, config: TableConfig, targets: Mapping[str, str]) -> str:
    """The setting of `table` that says which table each of some columns points to: `parent_id`
    alone, or others and what is said already."""
    if "parent_id" in targets:
        return f"tables.{table}.parent: {targets['parent_id']}"
    every = {**config.references, **targets}
    listed = ", ".join(f"{column}: {target}" for column, target in every.items())
    return f"tables.{table}.references: {{{listed}}}"


def made_from(work: Work, table: Table) -> str:
    """Digest of all that the relations of `table` depend on: its rows, the settings, and the keys
    of all that it may point to."""
    context, config = work.context, work.config(table.name)
    there = context.ingested.details.tables[table.name].columns
    targets = {
        target
        for name, column in table.references.items()
        if name in there
        for target in allowed_targets(config, column)
        if target in work.ids
    }

    def state(name: str) -> list[Any]:
        rows = content(context, work.sources, name)
        return [rows, work.made_from.get(name), name in work.swaps]

    return digest_of(
        [
            content(context, work.sources, table.name),
            settings(config),
            sorted(context.config.tables),
            {name: state(name) for name in sorted(targets)},
        ]
    )


def take_over(work: Work, table: Table) -> bool:
    """Have the relations of `table` that the last run left in the new folder too; False where there
    is something to report or to make."""
    file, made = f"relations/{table.name}.parquet", work.made_from[table.name]
    if table.name in work.swaps:
        return False
    if (details := work.reuse(JoinDetails, table.name, made, file, work.folder)) is None:
        return False
    work.details[table.name] = details
    for column, link in details.references.items():
        work.targets[table.name, column] = link.target
    return True
