"""`datapackage.json`: the tables with their columns, for Frictionless Data.

Belongs here: that format (version 1 of the standard, which version 2 reads). Does not: any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from syndb_pipeline.contract.tables import Column, Kind
from syndb_pipeline.manifests.described import Described, TableFile, meaning, without_nothing

_TYPES: Final = {Kind.NUMBER: "number", Kind.INTEGER: "integer", Kind.BOOLEAN: "boolean"}


def of(described: Described, tables: Sequence[TableFile]) -> dict[str, Any]:
    """The package of the tables."""
    keyed = {table.table for table in tables}
    content = {
        "name": str(described.metadata.id),
        "id": described.urn,
        "title": described.metadata.label,
        "description": described.text,
        "created": f"{described.day}T00:00:00Z" if described.day else None,
        "version": described.more.version,
        "keywords": described.keywords,
        "licenses": [{"name": described.spdx, "path": described.license_url}],
        "contributors": [
            without_nothing(
                {
                    "title": f"{each.given_name} {each.family_name}",
                    "path": f"https://orcid.org/{each.orcid}" if each.orcid else None,
                    "email": each.email,
                    "organization": each.affiliation,
                    "role": "author",
                }
            )
            for each in described.creators
        ],
        "resources": [_resource(table, keyed) for table in tables],
    }
    return without_nothing(content)


def _resource(table: TableFile, keyed: set[str]) -> dict[str, Any]:
    names = table.column_names
    foreign = [
        {"fields": [name], "reference": {"resource": target, "fields": ["cid"]}}
        for name, target in _only_targets(table, keyed).items()
    ]
    schema = {
        "fields": [_field(column, table) for column in table.columns],
        "primaryKey": [name for name in table.key if name in names],
        "foreignKeys": foreign,
    }
    resource = {
        "name": table.table,
        "title": table.table.replace("_", " "),
        "description": table.text,
        "path": table.name,
        "format": table.name.rpartition(".")[2],
        "mediatype": table.media_type,
        # frictionless does not count the bytes of Parquet, and calls any number wrong.
        "bytes": None if table.name.endswith(".parquet") else table.bytes,
        "hash": f"sha256:{table.sha256}",
        "schema": without_nothing(schema),
    }
    return without_nothing(resource)


def _only_targets(table: TableFile, keyed: set[str]) -> dict[str, str]:
    """The columns that can point to one table alone, which is here, and that table. `parent_enum`
    says which one `parent_id` points to, row by row: the standard has no word for that.
    """
    return {
        column.name: column.targets[0]
        for column in table.columns
        if len(column.targets) == 1 and column.targets[0] in keyed
    }


def _field(column: Column, table: TableFile) -> dict[str, Any]:
    uuid = column.kind in (Kind.KEY, Kind.REFERENCE)
    # A reader of Parquet gives UUIDs as such, and the standard has no type for them.
    typed = uuid and table.name.endswith(".parquet")
    field = {
        "name": column.name,
        "type": "any" if typed else _TYPES.get(column.kind, "string"),
        "format": "uuid" if uuid and not typed else None,
        "description": meaning(column),
        "unit": column.unit,
        "constraints": {"required": True} if column.name in table.key else None,
    }
    return without_nothing(field)
