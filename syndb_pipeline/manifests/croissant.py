"""`croissant.json`: the tables as machine learning libraries load them.

Belongs here: what Croissant 1.0 (MLCommons) adds to schema.org's Dataset. Does not: that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from syndb_pipeline.contract.tables import Column, Kind
from syndb_pipeline.manifests import schema_org
from syndb_pipeline.manifests.described import (
    MEDIA_TYPES,
    Described,
    FileFolder,
    TableFile,
    meaning,
)

_OWN: Final = (
    "citeAs column equivalentProperty extract field fileObject fileProperty fileSet format"
    " includes isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated"
    " replace samplingRate separator source subField transform"
)
_CONTEXT: Final = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    **{name: f"cr:{name}" for name in _OWN.split()},
}
_TYPES: Final = {Kind.NUMBER: "Float", Kind.INTEGER: "Integer", Kind.BOOLEAN: "Boolean"}
_PARQUET: Final = "application/x-parquet"
"""What Croissant calls it."""


def of(
    described: Described, tables: Sequence[TableFile], folders: Sequence[FileFolder]
) -> dict[str, Any]:
    """The dataset with its files and their columns."""
    return {
        "@context": _CONTEXT,
        **schema_org.dataset(described),
        **({"citeAs": described.more.citation} if described.more.citation else {}),
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "distribution": [*map(_file, tables), *map(_file_set, folders)],
        "recordSet": [_record_set(table) for table in tables],
    }


def _file(table: TableFile) -> dict[str, Any]:
    own = {"@type": "cr:FileObject", "@id": table.name}
    if table.name.endswith(".parquet"):
        own["encodingFormat"] = _PARQUET
    return schema_org.file(table) | own


def _file_set(folder: FileFolder) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": folder.name,
        "name": folder.name,
        "description": folder.text,
        "encodingFormat": MEDIA_TYPES[folder.suffix],
        "includes": f"{folder.name}/*{folder.suffix}",
    }


def _record_set(table: TableFile) -> dict[str, Any]:
    names = [name for name in table.key if name in table.column_names]
    return {
        "@type": "cr:RecordSet",
        "@id": table.table,
        "name": table.table,
        "description": table.text,
        "key": [{"@id": f"{table.table}/{name}"} for name in names],
        "field": [_field(table, column) for column in table.columns],
    }


def _field(table: TableFile, column: Column) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{table.table}/{column.name}",
        "name": column.name,
        "description": meaning(column),
        "dataType": f"sc:{_TYPES.get(column.kind, 'Text')}",
        "source": {"fileObject": {"@id": table.name}, "extract": {"column": column.name}},
    }
