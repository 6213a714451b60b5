"""The columns of each stage's tables, as Dagster shows them with the asset: what the contract says,
and no run changes.

Belongs here: names, types, units, bounds and descriptions in Dagster's words. Does not: what a run
found or wrote (`metadata.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg

from syndb_pipeline.contract.tables import PUBLISHED_RELATION_COLUMNS, TABLES, Column, Kind, Table

COLUMN_SCHEMA = "dagster/column_schema"
"""Where Dagster looks for the columns of an asset."""

_OF_EVERY_STAGE = {
    "key": "The lab's key of the row, exactly as written.",
    "cid": "UUID of the row: uuid5(dataset id, table/key).",
    "parent_id": "UUID of the row this one is part of.",
    "parent_enum": "SynDB's code of the parent's table.",
    "neuron_id": "UUID of the neuron at the root.",
    "row_number": "Row of the table, counted from 0.",
}
"""What columns that a stage makes hold; the contract describes those of the lab."""


def declared_columns(stage: str) -> dg.TableSchema:
    """The columns that the tables of `stage` may have by the contract, as `<table>.<column>`; those
    of ingest for one that only checks.
    """
    return dg.TableSchema(
        columns=[
            _column(table, name, kind)
            for table in TABLES.values()
            for name, kind in _kinds(stage, table)
        ]
    )


def _kinds(stage: str, table: Table) -> Iterator[tuple[str, str]]:
    match stage:
        case "assign_ids":
            yield from (("key", "varchar"), ("cid", "uuid"))
        case "join_relations":
            if table.references:
                yield "row_number", "bigint"
            for name, declared in table.columns.items():
                if name != "neuron_id" and (
                    declared.kind is Kind.REFERENCE or name in PUBLISHED_RELATION_COLUMNS
                ):
                    yield name, declared.wire_type.lower()
            if table.references and table.pair is None:
                yield "neuron_id", "uuid"
        case "package":
            for name, kind in table.published.items():
                yield name, kind.lower()
        case _:
            for name, declared in table.columns.items():
                yield name, declared.sql_type.lower()


def _column(table: Table, name: str, kind: str) -> dg.TableColumn:
    label = f"{table.name}.{name}"
    declared = table.columns.get(name)
    if declared is None or (kind == "uuid" and name in _OF_EVERY_STAGE):
        return dg.TableColumn(label, kind, _OF_EVERY_STAGE[name])
    return dg.TableColumn(
        label, kind, declared.description, dg.TableColumnConstraints(**_constraints(declared))
    )


def _constraints(declared: Column) -> dict[str, Any]:
    other = [
        declared.unit,
        declared.bounds,
        f"words: {declared.vocabulary}" if declared.vocabulary else "",
        f"at most {declared.max_length} characters" if declared.max_length else "",
        f"row of {' or '.join(declared.targets)}" if declared.targets else "",
        "" if declared.published else "not sent",
    ]
    return {
        "nullable": not declared.required,
        "unique": declared.kind is Kind.KEY and declared.required,
        "other": [text for text in other if text],
    }
