"""The routes about datasets' metadata: tags, datasets, collections, search; and their bodies, as
`syndb-api-client` 0.7.2 declares them.

Belongs here: those routes, what they take and give, who may use them. Does not: keeping any of it
(`backend.py`, the embedded node).

Section 4 of the contract has the limits. A limit that no source states is marked as ours: it keeps
a stranger from filling the disk. Not known of SynDB, and decided here: a tag created again is no
error; creating a collection again adds to it; a dataset's id that is in use is a 422; ids of a
collection's datasets: the first has the id that was sent, the server makes up the others'; a field
of a search holds when any of its values does.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID, uuid4

from fastapi import APIRouter, HTTPException
from neurometa.constant import (
    CulturalModelAnimalName,
    GeneExpression,
    ModelAnimal,
    NeuroanatomicalDirection,
    animal_species_to_cultural_name,
)
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from syndb_constants.data_license import DataLicense

from syndb_pipeline.contract.metadata import (
    DOI_LENGTH,
    GENE_LENGTH,
    ITEMS,
    LABEL_LENGTH,
    MICROSCOPY_LENGTH,
    NAME_LENGTH,
    NOTES_LENGTH,
    printable,
    printable_lines,
)
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.destinations.base import DatasetInfo, Metadata
from syndb_pipeline.sandbox.backend import (
    Backend,
    Catalogue,
    Collection,
    CurrentUser,
    Here,
    Tag,
    User,
    VerifiedUser,
    invalid,
    may_write,
)


def no_truth(value: Any) -> Any:
    """A number that is no `true` or `false`, which Python takes for numbers."""
    if isinstance(value, bool):
        raise ValueError("Input should be a valid integer")
    return value


_CODES: Final = sorted(table.code for table in TABLES.values())
_Item = TypeVar("_Item")
_printable = AfterValidator(printable)
_number = BeforeValidator(no_truth)

Many = Annotated[
    tuple[_Item, ...],
    Field(max_length=ITEMS),
    BeforeValidator(lambda value: [] if value is None else value),
    AfterValidator(lambda value: tuple(dict.fromkeys(value))),
]
"""Items in their order, each once; null is none."""

Some = Annotated[tuple[_Item, ...], Field(min_length=1, max_length=ITEMS)]
Label = Annotated[str, Field(min_length=1, max_length=LABEL_LENGTH), _printable]
Notes = Annotated[str, Field(max_length=NOTES_LENGTH), AfterValidator(printable_lines)]
Word = Annotated[str, Field(min_length=1, max_length=NAME_LENGTH), _printable]
Microscopy = Annotated[str, Field(min_length=1, max_length=MICROSCOPY_LENGTH), _printable]
Gene = Annotated[str, Field(min_length=1, max_length=GENE_LENGTH), _printable]
Doi = Annotated[str, Field(min_length=1, max_length=DOI_LENGTH), _printable]
Code = Annotated[int, Field(ge=_CODES[0], le=_CODES[-1]), _number]
Animal = Annotated[ModelAnimal, _number]
License = Annotated[DataLicense, _number]
Ids = Annotated[tuple[UUID, ...], Field(max_length=10_000)]  # ours


class _Body(BaseModel):
    """Keys it does not know are passed over, as pydantic's default is."""

    model_config = ConfigDict(frozen=True)


class AnimalTag(_Body):
    species: Animal


class BrainRegionTag(_Body):
    id: UUID | None = None
    brain_structure: Word  # any text: only the direction is an enumeration
    direction: NeuroanatomicalDirection


class MicroscopyTag(_Body):
    name: Microscopy


class MutationTag(_Body):
    id: UUID | None = None
    gene: Gene
    expression: GeneExpression


class PublicationTag(_Body):
    doi: Doi


class Described(_Body):
    """`SingleDatasetSchemaNoBrainRegion`."""

    authorized_group_names: Many[Word] = ()
    dataset_collection_names: Many[Word] = ()
    publication_dois: Many[Doi] = ()
    id: UUID
    label: Label
    data_license: License | None = None
    animal: Animal
    mutations: Many[MutationTag] = ()
    microscopy: Microscopy
    notes: Notes | None = None


class NewDataset(Described):
    """`NewDatasetSchema`."""

    brain_regions: Some[BrainRegionTag]
    syndb_tables: Annotated[Some[Code], Field(max_length=len(_CODES))]


class NamedRegion(BrainRegionTag):
    name: str


class UploadedDataset(Described):
    """`UploadedSingleDatasetSchema`."""

    brain_regions: tuple[NamedRegion, ...]
    syndb_tables: tuple[int, ...]
    owner_id: UUID
    number_of_units: int


class RegionsOfDataset(_Body):
    brain_regions: Some[BrainRegionTag]
    label: Label | None = None
    notes: Notes | None = None


class _NewCollection(_Body):
    authorized_group_names: Many[Word] = ()
    name: Word
    notes: Notes | None = None


class NewCollection(_NewCollection):
    """`CreateReadDatasetCollectionModel`."""

    dataset_ids: Ids


class NewRegionsCollection(_NewCollection):
    """`CreateDatasetCollectionMultiBrainRegion`."""

    dataset_brain_regions: Annotated[Some[RegionsOfDataset], Field(max_length=100)]
    dataset_metadata: Described


class MutationFilter(_Body):
    gene: str | None
    expression: GeneExpression | None


class RegionFilter(_Body):
    brain_structure: str
    direction: NeuroanatomicalDirection | None = None


class Filter(_Body):
    """`DatasetFilterSchema`: a field that is missing, null or empty asks nothing."""

    authorized_group_names: Many[str] = ()
    dataset_collection_names: Many[str] = ()
    publication_dois: Many[str] = ()
    syndb_tables: Many[Code] = ()
    data_licenses: Many[License] = ()
    animals_species: Many[Animal] = ()
    animal_cultural_names: Many[CulturalModelAnimalName] = ()
    mutations: Many[MutationFilter] = ()
    brain_regions: Many[RegionFilter] = ()
    microscopy_names: Many[str] = ()
    owner_id: Many[UUID] = ()


class Search(_Body):
    include: Filter
    exclude: Filter | None = None


_TAGS: Final[dict[str, type[BaseModel]]] = {
    "animal": AnimalTag,
    "brain_region": BrainRegionTag,
    "microscopy": MicroscopyTag,
    "mutation": MutationTag,
    "publication": PublicationTag,
}
_IDS: Final[dict[str, Any]] = {key: {"__all__": {"id"}} for key in ("mutations", "brain_regions")}

router = APIRouter(prefix="/neurodata/metadata")


def _add_tag_route(kind: str, model: type[BaseModel]) -> None:
    def create(tag: BaseModel, _: VerifiedUser, backend: Here) -> None:
        words = tuple(map(str, tag.model_dump(mode="json", exclude={"id"}).values()))
        with backend.catalogue.changing() as kept:
            if words not in backend.catalogue.tags(kind):
                kept.tags.append(
                    Tag(kind=kind, words=words, id=getattr(tag, "id", None) or uuid4())
                )

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
    every = [_uploaded(each, backend.catalogue) for each in backend.node().all()]
    found = [
        each
        for each in every
        if all(_hits(each, asked.include))
        and not (asked.exclude and any(_hits(each, asked.exclude)))
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
            brain_regions=part.model_dump(mode="json", exclude=_IDS)["brain_regions"],
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
        _open_collection(backend, user, new.name)
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


def _metadata(described: Described, **more: Any) -> Metadata:
    """What the node keeps of a dataset. Without a licence it gets SynDB's default, ODC-BY (D)."""
    content = described.model_dump(mode="json", exclude=_IDS)
    content |= {"syndb_tables": ()} | more
    license_ = DataLicense(content["data_license"] or DataLicense.ODC_BY)
    content |= {
        "notes": content["notes"] or "",
        "data_license": license_.value,
        "license": license_.name,
        "animal_name": described.animal.name,
    }
    return Metadata.model_validate(content)


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


def _hits(dataset: UploadedDataset, asked: Filter) -> list[bool]:
    """For each field that asks something, whether it holds for the dataset."""
    held = dataset.model_dump(mode="json")
    held |= {
        "data_licenses": [held["data_license"]],
        "animals_species": [held["animal"]],
        "animal_cultural_names": [int(animal_species_to_cultural_name[dataset.animal])],
        "microscopy_names": [held["microscopy"]],
        "owner_id": [held["owner_id"]],
    }
    return [
        any(_like(value, one) for value in held[name] for one in wanted)
        for name, wanted in asked.model_dump(mode="json").items()
        if wanted
    ]


def _like(value: Any, asked: Any) -> bool:
    if isinstance(asked, dict):
        return all(one in (None, value[name]) for name, one in asked.items())
    return bool(value == asked)


def _register(backend: Backend, user: User, new: list[Metadata]) -> None:
    """Register datasets, all or none of them."""
    catalogue, node = backend.catalogue, backend.node(user.id)
    with catalogue.lock:  # no id is taken, no tag removed between the checks and the end
        for each in new:
            if node.info(each.id) is not None:
                raise invalid("A dataset with this id exists already", "body", "id")
            if any(deletion.owner != str(user.id) for deletion in node.deletions(each.id)):
                raise HTTPException(403, "A dataset of somebody else had this id; it stays theirs.")
            unknown = catalogue.missing(each)
            unknown += (f"group {name}" for name in _unknown_groups(backend, each))
            unknown += (
                f"collection {name}"
                for name in each.dataset_collection_names
                if _open_collection(backend, user, name) is None
            )
            if unknown:
                raise HTTPException(
                    404, f"There is no {', no '.join(unknown)}. Create what is missing first."
                )
        for each in new:
            node.register(each)
            for collection in map(catalogue.collection, each.dataset_collection_names):
                assert collection is not None
                catalogue.collect(collection, (each.id,))


def _unknown_groups(backend: Backend, of: Metadata | _NewCollection) -> list[str]:
    return [name for name in of.authorized_group_names if name not in backend.users.groups]


def _open_collection(backend: Backend, user: User, name: str) -> Collection | None:
    """The collection of this name, if there is one; refused when it is closed to the user."""
    found = backend.catalogue.collection(name)
    if found and found.owner != user.id and user.groups.isdisjoint(found.groups):
        raise HTTPException(403, f"The collection {name} belongs to somebody else.")
    return found


def _collect(backend: Backend, user: User, new: _NewCollection, datasets: Iterable[UUID]) -> None:
    old = _open_collection(backend, user, new.name)
    if unknown := _unknown_groups(backend, new):
        raise invalid(f"There is no group {unknown[0]}", "body", "authorized_group_names")
    collection = old or Collection(name=new.name, owner=user.id)
    if new.notes is not None:
        collection.notes = new.notes
    backend.catalogue.collect(collection, datasets, new.authorized_group_names)


def _labels(datasets: Iterable[DatasetInfo]) -> dict[UUID, str]:
    return {each.metadata.id: each.metadata.label for each in datasets}


def _newer(datasets: list[DatasetInfo], since: datetime | None) -> list[DatasetInfo]:
    if since is None:
        return datasets
    moment = since if since.tzinfo else since.replace(tzinfo=UTC)
    return [each for each in datasets if each.registered and each.registered >= moment]
