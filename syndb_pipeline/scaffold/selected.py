"""What a first config says of a dataset that exists at a destination already.

Belongs here: its metadata as YAML, by the keys of `dataset:`. Does not: asking for it, or the
rest of the config.
"""

from __future__ import annotations

import json

from syndb_pipeline.destinations.base import DatasetInfo


def known_of(info: DatasetInfo, destination: str) -> dict[str, str]:
    """Key of `dataset:` -> YAML, without what the destination does not say; and `destination`."""
    there = info.metadata
    values: dict[str, tuple[str, object]] = {
        "label": ("label", there.label),
        "notes": ("notes", there.notes),
        "license": ("license", there.license),
        "animal": ("animal_name", there.animal_name),
        "microscopy": ("microscopy", there.microscopy),
        "brain_regions": (
            "brain_regions",
            [
                {"structure": each.brain_structure, "direction": each.direction}
                for each in there.brain_regions
            ],
        ),
        "mutations": ("mutations", [each.model_dump() for each in there.mutations]),
        "publications": ("publication_dois", there.publication_dois),
        "groups": ("authorized_group_names", there.authorized_group_names),
        "collections": ("dataset_collection_names", there.dataset_collection_names),
    }
    said = {
        key: json.dumps(value, ensure_ascii=False)
        for key, (field, value) in values.items()
        if field not in info.unsaid and (value or key == "notes")
    }
    return said | {"id": str(there.id), "destination": json.dumps(destination)}
