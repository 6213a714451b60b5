"""The routes about datasets' metadata: tags, datasets, collections, search.

Belongs here: those routes and who may use them. Does not: the bodies (`schemas.py`).

Not known of SynDB, and decided here: a tag created again is no error; creating a collection again
adds to it; a dataset's id that is in use is a 422; ids of a collection's datasets: the first has
the id that was sent, the server makes up the others'; a field of a search holds when any of its
values does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

from fastapi import APIRouter, HTTPException
from neurometa.constant import ModelAnimal, animal_species_to_cultural_name
from pydantic import BaseModel
from syndb_constants.data_license import DataLicense

from syndb_pipeline.destinations.base import DatasetInfo, Metadata
from syndb_pipeline.sandbox.backend import (
    Backend,
    Catalogue,
    Collection,
    CurrentUser,
    Here,
    VerifiedUser,
    invalid,
    may_write,
)
from syndb_pipeline.sandbox.schemas import (
    AnimalTag,
    BrainRegionTag,
    Described,
    Filter,
    MicroscopyTag,
    MutationTag,
    NewCollection,
    NewDataset,
    NewRegionsCollection,
    PublicationTag,
    Search,
    UploadedDataset,
)
from syndb_pipeline.sandbox.users import User

_TAGS: Final[dict[str, type[BaseModel]]] = {
    "animal": AnimalTag,
    "brain_region": BrainRegionTag,
    "microscopy": MicroscopyTag,
    "mutation": MutationTag,
    "publication": PublicationTag,
}

router = APIRouter(prefix="/neurodata/metadata")


def _add_tag_route(kind: str, model: type[BaseModel]) -> None:
    def create(tag: BaseModel, _: VerifiedUser, backend: Here) -> None:
        content = tag.model_dump(mode="json", exclude={"id"})
        backend.catalogue.add_tag(kind, tuple(map(str, content.values())), getattr(tag, "id", None))

    create.__annotations__["tag"] = model
    router.post(f"/tag/{kind}/create", status_code=201, name=f"create_{kind}")(create)


for _kind, _model in _TAGS.items():
    _add_tag_route(_kind, _model)


@router.post("/dataset/new", status_code=201)
def new_dataset(new: NewDataset, user: VerifiedUser, backend: Here) -> dict[str, UUID]:
    _register(backend, user, [_metadata(new, syndb_tables=sorted(set(new.syndb_tables)))])
    return {"id": new.id}


@router.post("/dataset/search")
def search(asked: Search, backend: Here) -> dict[str, list[UploadedDataset]]:
    found = [
        _uploaded(each, backend.catalogue)
        for each in backend.node().all()
        if all(_hits(each, asked.include, backend.catalogue))
        and not (asked.exclude and any(_hits(each, asked.exclude, backend.catalogue)))
    ]
    return {"datasets": found}


@router.get("/dataset/get/all")
def all_datasets(backend: Here) -> dict[str, dict[UUID, str]]:
    return {"uuid_to_label": _labels(backend.node().all())}


@router.get("/dataset/get/modifiable")
def modifiable(user: CurrentUser, backend: Here) -> dict[str, list[UUID]]:
    return {"ids": [each.metadata.id for each in backend.node(user.id).modifiable()]}


@router.get("/dataset/get/incomplete")
def incomplete(user: CurrentUser, backend: Here) -> dict[str, dict[UUID, str]]:
    return {"uuid_to_label": _labels(backend.node(user.id).incomplete())}


@router.post("/dataset/collection/new/simple", status_code=201)
def new_collection(new: NewCollection, user: VerifiedUser, backend: Here) -> None:
    node = backend.node()
    with backend.catalogue.lock:
        for place, dataset in enumerate(new.dataset_ids):
            found = node.info(dataset)
            if found is None:
                raise invalid("There is no such dataset", "body", "dataset_ids", place)
            if not may_write(found, user):
                raise HTTPException(403, f"Dataset {dataset} belongs to somebody else.")
        _collect(backend, user, new, new.dataset_ids)


@router.post("/dataset/collection/new/multi-brain-region", status_code=201)
def new_regions_collection(
    new: NewRegionsCollection, user: VerifiedUser, backend: Here
) -> dict[str, dict[str, UUID]]:
    shared, parts = new.dataset_metadata, new.dataset_brain_regions
    ids = [shared.id, *(uuid4() for _ in parts[1:])]
    datasets = [
        _metadata(
            shared,
            id=each,
            label=part.label or shared.label,
            notes=shared.notes if part.notes is None else part.notes,
            **part.model_dump(mode="json", exclude=_NO_NAMES),
        )
        for part, each in zip(parts, ids, strict=True)
    ]
    names = [
        ", ".join(_name(each.brain_structure, each.direction) for each in dataset.brain_regions)
        for dataset in datasets
    ]
    if len(set(names)) < len(names):
        raise invalid("Two datasets have the same brain regions", "body", "dataset_brain_regions")
    with backend.catalogue.lock:
        _require_open(backend, user, new.name)
        _register(backend, user, datasets)
        _collect(backend, user, new, ids)
    return {"brain_regions_to_dataset_id": dict(zip(names, ids, strict=True))}


@router.get("/dataset/{dataset_id}/info")
def info(dataset_id: UUID, backend: Here) -> UploadedDataset:
    return _uploaded(backend.dataset(dataset_id), backend.catalogue)


@router.get("/get/universal")
def universal(backend: Here, cutoff_creation_datetime: datetime | None = None) -> dict[str, Any]:
    tags = {kind: list(backend.catalogue.tags(kind)) for kind in _TAGS}
    return {
        "publication_dois": [doi for (doi,) in tags["publication"]],
        "mutation": [{"gene": gene, "expression": word} for gene, word in tags["mutation"]],
        "brain_region": [
            {"brain_structure": structure, "direction": direction}
            for structure, direction in tags["brain_region"]
        ],
        "microscopy_names": [name for (name,) in tags["microscopy"]],
        "all_datasets": _labels(_newer(backend.node().all(), cutoff_creation_datetime)),
    }


@router.get("/get/user")
def of_user(
    user: CurrentUser, backend: Here, cutoff_creation_datetime: datetime | None = None
) -> dict[str, Any]:
    node, since = backend.node(user.id), cutoff_creation_datetime
    return universal(backend, since) | {
        # The published model has whole numbers here, and ids are UUIDs: each as the number of its
        # bits.
        "modifiable_datasets": [each.metadata.id.int for each in _newer(node.modifiable(), since)],
        "upload_incomplete_uuid_to_label": _labels(_newer(node.incomplete(), since)),
    }


_NO_IDS: Final[dict[str, Any]] = {"__all__": {"id"}}
_NO_NAMES: Final[dict[str, Any]] = {"label": True, "notes": True, "brain_regions": _NO_IDS}


def _metadata(described: Described, **more: Any) -> Metadata:
    """What the node keeps of a dataset. Without a licence it gets SynDB's default, ODC-BY (D)."""
    content = described.model_dump(
        mode="json", exclude={"mutations": _NO_IDS, "brain_regions": _NO_IDS}
    )
    content |= {"syndb_tables": ()} | more
    license_ = DataLicense(content["data_license"] or DataLicense.ODC_BY)
    return Metadata.model_validate(
        content
        | {
            "notes": content["notes"] or "",
            "data_license": license_.value,
            "license": license_.name,
            "animal_name": described.animal.name,
        }
    )


def _uploaded(found: DatasetInfo, catalogue: Catalogue) -> UploadedDataset:
    content = found.metadata.model_dump(exclude={"license", "animal_name"})
    ids = catalogue.tags("mutation") | catalogue.tags("brain_region")
    for each in (*content["mutations"], *content["brain_regions"]):
        each["id"] = ids.get(tuple(each.values()))
    for each in content["brain_regions"]:
        each["name"] = _name(each["brain_structure"], each["direction"])
    content["dataset_collection_names"] = catalogue.collections_of(found)
    return UploadedDataset(
        **content, owner_id=UUID(found.owner), number_of_units=found.number_of_units
    )


def _name(structure: str, direction: str) -> str:
    return structure if direction == "null" else f"{direction} {structure}"


def _hits(found: DatasetInfo, asked: Filter, catalogue: Catalogue) -> list[bool]:
    """For each field that asks something, whether it holds for the dataset."""
    held = found.metadata
    sets: dict[str, set[Any]] = {
        "authorized_group_names": set(held.authorized_group_names),
        "dataset_collection_names": set(catalogue.collections_of(found)),
        "publication_dois": set(held.publication_dois),
        "syndb_tables": set(held.syndb_tables),
        "data_licenses": {held.data_license},
        "animals_species": {held.animal},
        "animal_cultural_names": {int(animal_species_to_cultural_name[ModelAnimal(held.animal)])},
        "microscopy_names": {held.microscopy},
        "owner_id": {found.owner},
    }
    lists: dict[str, Sequence[BaseModel]] = {
        "mutations": held.mutations,
        "brain_regions": held.brain_regions,
    }
    wanted = asked.model_dump(mode="json")
    return [
        *(bool(sets[name].intersection(wanted[name])) for name in sets if wanted[name]),
        *(
            any(
                all(value in (None, getattr(each, field)) for field, value in one.items())
                for one in wanted[name]
                for each in items
            )
            for name, items in lists.items()
            if wanted[name]
        ),
    ]


def _register(backend: Backend, user: User, new: list[Metadata]) -> None:
    """Register datasets, all or none of them."""
    catalogue, node = backend.catalogue, backend.node(user.id)
    with catalogue.lock:  # no id is taken, no tag removed between the checks and the end
        for each in new:
            if node.info(each.id) is not None:
                raise invalid("A dataset with this id exists already", "body", "id")
            if any(deletion.owner != str(user.id) for deletion in node.deletions(each.id)):
                raise HTTPException(403, "A dataset of somebody else had this id; it stays theirs.")
            if unknown := catalogue.missing(each):
                raise HTTPException(
                    404, f"There is no {', no '.join(unknown)}. Create what is missing first."
                )
            if unknown := _unknown_groups(backend, each.authorized_group_names):
                raise HTTPException(404, f"There is no group {', no group '.join(unknown)}.")
            for name in each.dataset_collection_names:
                if _require_open(backend, user, name) is None:
                    raise HTTPException(404, f"There is no collection {name}.")
        for each in new:
            node.register(each)
            for name in each.dataset_collection_names:
                collection = catalogue.collection(name)
                assert collection is not None
                catalogue.collect(collection, (each.id,))


def _unknown_groups(backend: Backend, names: Iterable[str]) -> list[str]:
    return [name for name in names if name not in backend.users.groups]


def _require_open(backend: Backend, user: User, name: str) -> Collection | None:
    """The collection of this name, if there is one; refused when it is closed to the user."""
    collection = backend.catalogue.collection(name)
    if collection is not None and not collection.open_to(user):
        raise HTTPException(403, f"The collection {name} belongs to somebody else.")
    return collection


def _collect(
    backend: Backend,
    user: User,
    new: NewCollection | NewRegionsCollection,
    datasets: Iterable[UUID],
) -> None:
    old = _require_open(backend, user, new.name)
    if unknown := _unknown_groups(backend, new.authorized_group_names):
        raise invalid(f"There is no group {unknown[0]}", "body", "authorized_group_names")
    backend.catalogue.collect(
        old or Collection(name=new.name, owner=user.id),
        datasets,
        groups=new.authorized_group_names,
        notes=new.notes,
    )


def _labels(datasets: Iterable[DatasetInfo]) -> dict[UUID, str]:
    return {each.metadata.id: each.metadata.label for each in datasets}


def _newer(datasets: list[DatasetInfo], since: datetime | None) -> list[DatasetInfo]:
    if since is None:
        return datasets
    moment = since if since.tzinfo else since.replace(tzinfo=UTC)
    return [each for each in datasets if each.registered and each.registered >= moment]
