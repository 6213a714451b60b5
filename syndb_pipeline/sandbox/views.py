"""A dataset between its three forms: as it arrives, as the node keeps it, as it is told and
searched.

Belongs here: those conversions. Does not: routes or rights (`metadata.py`).
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from neurometa.constant import ModelAnimal, animal_species_to_cultural_name
from syndb_constants.data_license import DataLicense

from syndb_pipeline.contract.vocabularies import ANIMALS, LICENSES
from syndb_pipeline.destinations.base import DatasetInfo, Metadata, Mutation, Region
from syndb_pipeline.sandbox.catalogue import Catalogue
from syndb_pipeline.sandbox.schemas import (
    BrainRegionTag,
    Filter,
    NewDataset,
    RegionsOfDataset,
    _Described,
)
from syndb_pipeline.sandbox.wire import distinct

_ANIMAL_NAMES: Final = {code: name for name, code in ANIMALS.items()}
_LICENSE_NAMES: Final = {code: name for name, code in LICENSES.items()}


def metadata_of(new: NewDataset) -> Metadata:
    """What the node keeps of a new dataset. Without a licence it gets SynDB's default, ODC-BY
    (D).
    """
    return _metadata(
        new, new.id, new.label, new.notes, new.brain_regions, tuple(sorted(set(new.syndb_tables)))
    )


def metadata_of_part(shared: _Described, part: RegionsOfDataset, dataset: UUID) -> Metadata:
    """One dataset of a collection over several brain regions. Its tables are not told in
    advance.
    """
    notes = shared.notes if part.notes is None else part.notes
    return _metadata(shared, dataset, part.label or shared.label, notes, part.brain_regions, ())


def _metadata(
    new: _Described,
    dataset: UUID,
    label: str,
    notes: str | None,
    regions: tuple[BrainRegionTag, ...],
    tables: tuple[int, ...],
) -> Metadata:
    license_code = int((new.data_license or DataLicense.ODC_BY).value)
    return Metadata(
        id=dataset,
        label=label,
        notes=notes or "",
        data_license=license_code,
        license=_LICENSE_NAMES[license_code],
        animal=int(new.animal),
        animal_name=_ANIMAL_NAMES[int(new.animal)],
        microscopy=new.microscopy,
        brain_regions=tuple(
            Region(brain_structure=each.brain_structure, direction=each.direction.value)
            for each in regions
        ),
        mutations=tuple(
            Mutation(gene=each.gene, expression=each.expression.value) for each in new.mutations
        ),
        publication_dois=distinct(new.publication_dois),
        authorized_group_names=distinct(new.authorized_group_names),
        dataset_collection_names=distinct(new.dataset_collection_names),
        syndb_tables=tables,
    )


def unknown_tags(metadata: Metadata, catalogue: Catalogue) -> list[str]:
    """In words, the tags a dataset refers to that nobody has created."""
    tags = catalogue.tags
    wanted = [
        *([f"animal {metadata.animal}"] if metadata.animal not in tags.animals else []),
        *(
            f"brain region {region_name(*_pair(each))}"
            for each in metadata.brain_regions
            if _pair(each) not in tags.regions
        ),
        *(
            [f"microscopy {metadata.microscopy}"]
            if metadata.microscopy not in tags.microscopies
            else []
        ),
        *(
            f"mutation {each.gene} {each.expression}"
            for each in metadata.mutations
            if (each.gene, each.expression) not in tags.mutations
        ),
        *(
            f"publication {doi}"
            for doi in metadata.publication_dois
            if doi not in tags.publications
        ),
    ]
    return wanted


def region_name(structure: str, direction: str) -> str:
    return structure if direction == "null" else f"{direction} {structure}"


def told(info: DatasetInfo, catalogue: Catalogue) -> dict[str, Any]:
    """`UploadedSingleDatasetSchema`."""
    metadata = info.metadata
    return {
        "id": str(metadata.id),
        "label": metadata.label,
        "notes": metadata.notes,
        "data_license": metadata.data_license,
        "animal": metadata.animal,
        "microscopy": metadata.microscopy,
        "mutations": [
            {
                "id": _id(catalogue.tags.mutations.get((each.gene, each.expression))),
                "gene": each.gene,
                "expression": each.expression,
            }
            for each in metadata.mutations
        ],
        "brain_regions": [
            {
                "id": _id(catalogue.tags.regions.get(_pair(each))),
                "brain_structure": each.brain_structure,
                "direction": each.direction,
                "name": region_name(*_pair(each)),
            }
            for each in metadata.brain_regions
        ],
        "publication_dois": list(metadata.publication_dois),
        "authorized_group_names": list(metadata.authorized_group_names),
        "dataset_collection_names": collections_of(info, catalogue),
        "owner_id": info.owner,
        "syndb_tables": list(metadata.syndb_tables),
        "number_of_units": info.number_of_units,
    }


def collections_of(info: DatasetInfo, catalogue: Catalogue) -> list[str]:
    """Collections the dataset was registered into, and those it was added to since."""
    return list(
        distinct(
            (*info.metadata.dataset_collection_names, *catalogue.collections_of(info.metadata.id))
        )
    )


def matches_all(info: DatasetInfo, wanted: Filter, catalogue: Catalogue) -> bool:
    """Whether every field that asks something holds for the dataset; a field holds when any of its
    values does [not known of SynDB].
    """
    return all(_hits(info, wanted, catalogue))


def matches_any(info: DatasetInfo, unwanted: Filter, catalogue: Catalogue) -> bool:
    return any(_hits(info, unwanted, catalogue))


def _hits(info: DatasetInfo, asked: Filter, catalogue: Catalogue) -> list[bool]:
    held = info.metadata
    cultural = int(animal_species_to_cultural_name[ModelAnimal(held.animal)])
    pairs: list[tuple[tuple[Any, ...], set[Any]]] = [
        (asked.authorized_group_names, set(held.authorized_group_names)),
        (asked.dataset_collection_names, set(collections_of(info, catalogue))),
        (asked.publication_dois, set(held.publication_dois)),
        (asked.syndb_tables, set(held.syndb_tables)),
        (tuple(each.value for each in asked.data_licenses), {held.data_license}),
        (asked.animals_species, {held.animal}),
        (asked.animal_cultural_names, {cultural}),
        (asked.microscopy_names, {held.microscopy}),
        (tuple(map(str, asked.owner_id)), {info.owner}),
    ]
    hits = [bool(set(values) & there) for values, there in pairs if values]
    if asked.mutations:
        hits.append(
            any(
                _is_mutation(each, one.gene, one.expression)
                for one in asked.mutations
                for each in held.mutations
            )
        )
    if asked.brain_regions:
        hits.append(
            any(
                _is_region(each, one.brain_structure, one.direction)
                for one in asked.brain_regions
                for each in held.brain_regions
            )
        )
    return hits


def _is_mutation(held: Mutation, gene: str | None, expression: Any) -> bool:
    return gene in (None, held.gene) and (expression is None or expression.value == held.expression)


def _is_region(held: Region, structure: str, direction: Any) -> bool:
    return structure == held.brain_structure and (
        direction is None or direction.value == held.direction
    )


def _pair(region: Region) -> tuple[str, str]:
    return region.brain_structure, region.direction


def _id(tag: UUID | None) -> str | None:
    return str(tag) if tag is not None else None
