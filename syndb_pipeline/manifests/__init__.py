"""Descriptions of a dataset's files that repositories, catalogues and readers of data understand.

Belongs here: what is known of a dataset (`described.py`) and the six forms it is written in. Does
not: the files themselves, or where they are kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from syndb_pipeline.manifests import citation, croissant, datapackage, ro_crate, schema_org
from syndb_pipeline.manifests.described import Described, FileFolder, TableFile, as_json


def render(
    described: Described, tables: Sequence[TableFile], folders: Sequence[FileFolder] = ()
) -> dict[str, str]:
    """The manifests of a folder, as texts by their names in it.

    Args:
        description: The dataset.
        tables: The files of its tables.
        folders: Its folders of meshes and skeletons.
    """
    return {
        "datapackage.json": as_json(datapackage.of(described, tables)),
        "ro-crate-metadata.json": as_json(ro_crate.of(described, tables, folders)),
        "croissant.json": as_json(croissant.of(described, tables, folders)),
        "schema-org.jsonld": as_json(schema_org.of(described, tables)),
        "datacite.json": as_json(citation.datacite(described, tables)),
        "CITATION.cff": citation.cff(described),
    }
