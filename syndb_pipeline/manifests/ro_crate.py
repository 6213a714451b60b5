"""`ro-crate-metadata.json`: the folder as a research object, with where its rows come from.

Belongs here: RO-Crate 1.1, and the chain of stages in it, in PROV's words. Does not: how the stages
are recorded (`state/`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from syndb_pipeline import __version__
from syndb_pipeline.manifests import schema_org
from syndb_pipeline.manifests.described import (
    MEDIA_TYPES,
    Described,
    FileFolder,
    TableFile,
    without_nothing,
)

_CONTEXT: Final = [
    "https://w3id.org/ro/crate/1.1/context",
    {"prov": "http://www.w3.org/ns/prov#", "sha256": "https://schema.org/sha256"},
]
_SOFTWARE: Final = "#syndb-pipeline"


def of(
    described: Described, tables: Sequence[TableFile], folders: Sequence[FileFolder]
) -> dict[str, Any]:
    """The crate of a folder."""
    files = [_file(table, described) for table in tables]
    shelves = [_folder(folder) for folder in folders]
    dataset = schema_org.dataset(described)
    # In a crate every thing is an entity of its own, that others refer to.
    people, topics = dataset.get("creator", []), dataset.get("about", [])
    for number, person in enumerate(people, 1):
        person.setdefault("@id", f"#creator-{number}")
        person |= {"affiliation": person["affiliation"]["name"]} if "affiliation" in person else {}
    root = dataset | {
        "@id": "./",
        "license": _to(described.license_url),
        "creator": [*map(_name_of, people)],
        "about": [*map(_name_of, topics)],
        "hasPart": [*map(_name_of, (*files, *shelves))],
    }
    for other in ("funding", "creditText"):  # an entity of its own; newer than the context
        root.pop(other, None)
    descriptor = {
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "conformsTo": _to("https://w3id.org/ro/crate/1.1"),
        "about": _to("./"),
    }
    licence = {"@id": described.license_url, "@type": "CreativeWork", "name": described.spdx}
    graph = [descriptor, without_nothing(root), licence, *people, *topics, *files, *shelves]
    return {"@context": _CONTEXT, "@graph": [*graph, *_provenance(described, files)]}


def _to(name: str) -> dict[str, str]:
    return {"@id": name}


def _file(table: TableFile, described: Described) -> dict[str, Any]:
    by = [_to(_of_stage(stage)) for stage in described.stages[-1:]]
    content = {
        "@id": table.name,
        "@type": ["File", "prov:Entity"],
        "name": table.table,
        "description": table.text,
        "encodingFormat": table.media_type,
        "contentSize": str(table.bytes),
        "sha256": table.sha256,
        "prov:wasGeneratedBy": by,
    }
    return without_nothing(content)


def _folder(folder: FileFolder) -> dict[str, Any]:
    return {
        "@id": f"{folder.name}/",
        "@type": "Dataset",
        "name": folder.name,
        "description": f"{folder.text} {folder.count:,} files, {folder.bytes:,} bytes.",
        "encodingFormat": MEDIA_TYPES[folder.suffix],
    }


def _name_of(entity: dict[str, Any]) -> dict[str, str]:
    return _to(str(entity["@id"]))


def _of_stage(stage: str) -> str:
    return f"#stage-{stage}"


def _provenance(described: Described, files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The files that were read, the program, and an action for each stage, which used what the one
    before it made; the last made the tables.
    """
    read = [
        {
            "@id": f"#input-{sha256[:16]}",
            "@type": ["CreativeWork", "prov:Entity"],
            "name": name,
            "sha256": sha256,
        }
        for sha256, name in described.lab_files.items()
    ]
    stages = described.stages
    actions = []
    for before, stage in zip([None, *stages], stages, strict=False):
        last = stage == stages[-1]
        actions.append(
            without_nothing(
                {
                    "@id": _of_stage(stage),
                    "@type": ["CreateAction", "prov:Activity"],
                    "name": stage.replace("_", " "),
                    "description": _quarantined(described) if last else "",
                    "identifier": f"sha256:{described.chain[stage]}",
                    "instrument": _to(_SOFTWARE),
                    "object": [] if before else [*map(_name_of, read)],
                    "result": [*map(_name_of, files)] if last else [],
                    "prov:wasInformedBy": _to(_of_stage(before)) if before else None,
                }
            )
        )
    software = {
        "@id": _SOFTWARE,
        "@type": ["SoftwareApplication", "prov:SoftwareAgent"],
        "name": "syndb-pipeline",
        "softwareVersion": __version__,
        "softwareRequirements": [f"{name} {each}" for name, each in described.versions.items()],
    }
    return [*read, software, *actions]


def _quarantined(described: Described) -> str:
    aside = [f"{name} {rows}" for name, rows in described.quarantined.items()]
    return f"Rows quarantined: {'; '.join(aside) or 'none'}."
