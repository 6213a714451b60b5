"""The routes about datasets' metadata: tags, datasets, collections, search.

Belongs here: those routes and who may use them. Does not: bodies (`schemas.py`) or conversions
(`views.py`).

Not known of SynDB, and decided here: a tag created again is no error; creating a collection again
adds to it; a dataset's id that anybody uses is a 422; ids of a collection's datasets: the first has
the id that was sent, the server makes up the others'.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from syndb_pipeline.destinations.base import DatasetInfo, Metadata
from syndb_pipeline.sandbox.backend import (
    Backend,
    backend_of,
    current_user,
    in_thread,
    may_write,
    verified_user,
)
from syndb_pipeline.sandbox.catalogue import Collection
from syndb_pipeline.sandbox.schemas import (
    AnimalTag,
    BrainRegionTag,
    MicroscopyTag,
    MutationTag,
    NewCollection,
    NewDataset,
    NewRegionsCollection,
    PublicationTag,
    Search,
    Since,
)
from syndb_pipeline.sandbox.users import User
from syndb_pipeline.sandbox.views import (
    matches_all,
    matches_any,
    metadata_of,
    metadata_of_part,
    region_name,
    told,
    unknown_tags,
)
from syndb_pipeline.sandbox.wire import (
    Refusal,
    answer,
    distinct,
    invalid,
    json_body,
    path_uuid,
    query,
)

TAG: Final = "/neurodata/metadata/tag"
DATASET: Final = "/neurodata/metadata/dataset"


async def create_animal(request: Request) -> Response:
    verified_user(request)
    tag = await json_body(request, AnimalTag)
    await in_thread(backend_of(request).catalogue.add_animal, int(tag.species))
    return answer(None, 201)


async def create_brain_region(request: Request) -> Response:
    verified_user(request)
    tag = await json_body(request, BrainRegionTag)
    await in_thread(
        backend_of(request).catalogue.add_region, tag.brain_structure, tag.direction.value, tag.id
    )
    return answer(None, 201)


async def create_microscopy(request: Request) -> Response:
    verified_user(request)
    tag = await json_body(request, MicroscopyTag)
    await in_thread(backend_of(request).catalogue.add_microscopy, tag.name)
    return answer(None, 201)


async def create_mutation(request: Request) -> Response:
    verified_user(request)
    tag = await json_body(request, MutationTag)
    await in_thread(
        backend_of(request).catalogue.add_mutation, tag.gene, tag.expression.value, tag.id
    )
    return answer(None, 201)


async def create_publication(request: Request) -> Response:
    verified_user(request)
    tag = await json_body(request, PublicationTag)
    await in_thread(backend_of(request).catalogue.add_publication, tag.doi)
    return answer(None, 201)


async def new_dataset(request: Request) -> Response:
    user = verified_user(request)
    new = await json_body(request, NewDataset)
    await in_thread(_register, backend_of(request), user, [metadata_of(new)])
    return answer({"id": str(new.id)}, 201)


async def info(request: Request) -> Response:
    backend = backend_of(request)
    found = await in_thread(backend.node().info, path_uuid(request))
    if found is None:
        raise Refusal(404, "There is no such dataset.")
    return answer(told(found, backend.catalogue))


async def all_datasets(request: Request) -> Response:
    return answer({"uuid_to_label": _labels(await in_thread(backend_of(request).node().all))})


async def modifiable(request: Request) -> Response:
    user = current_user(request)
    return answer(
        {
            "ids": [
                str(each.metadata.id)
                for each in await in_thread(backend_of(request).node(user.id).modifiable)
            ]
        }
    )


async def incomplete(request: Request) -> Response:
    user = current_user(request)
    return answer(
        {"uuid_to_label": _labels(await in_thread(backend_of(request).node(user.id).incomplete))}
    )


async def search(request: Request) -> Response:
    asked = await json_body(request, Search)
    return answer({"datasets": await in_thread(_found, backend_of(request), asked)})


async def new_collection(request: Request) -> Response:
    user = verified_user(request)
    new = await json_body(request, NewCollection)
    await in_thread(_collect, backend_of(request), user, new)
    return answer(None, 201)


async def new_regions_collection(request: Request) -> Response:
    user = verified_user(request)
    new = await json_body(request, NewRegionsCollection)
    return answer(
        {
            "brain_regions_to_dataset_id": await in_thread(
                _collect_regions, backend_of(request), user, new
            )
        },
        201,
    )


async def universal(request: Request) -> Response:
    since = query(request, Since).cutoff_creation_datetime
    backend = backend_of(request)
    return answer(
        await in_thread(
            lambda: _tags(backend) | {"all_datasets": _labels(_newer(backend.node().all(), since))}
        )
    )


async def of_user(request: Request) -> Response:
    user = current_user(request)
    since = query(request, Since).cutoff_creation_datetime
    return answer(await in_thread(_all_of_user, backend_of(request), user, since))


def _found(backend: Backend, asked: Search) -> list[dict[str, Any]]:
    catalogue = backend.catalogue
    return [
        told(each, catalogue)
        for each in backend.node().all()
        if matches_all(each, asked.include, catalogue)
        and not (asked.exclude is not None and matches_any(each, asked.exclude, catalogue))
    ]


def _all_of_user(backend: Backend, user: User, since: datetime | None) -> dict[str, Any]:
    node = backend.node(user.id)
    return _tags(backend) | {
        "all_datasets": _labels(_newer(node.all(), since)),
        # The published model has whole numbers here, and ids are UUIDs: each is told as the number
        # its 128 bits are.
        "modifiable_datasets": [each.metadata.id.int for each in _newer(node.modifiable(), since)],
        "upload_incomplete_uuid_to_label": _labels(_newer(node.incomplete(), since)),
    }


def _register(backend: Backend, user: User, new: list[Metadata]) -> None:
    """Register datasets, all or none of them."""
    catalogue = backend.catalogue
    node = backend.node(user.id)
    with catalogue.lock:  # nobody takes an id or removes a tag between the checks and the end
        for metadata in new:
            if node.info(metadata.id) is not None:
                raise invalid(
                    (("body", "id"), "A dataset with this id exists already", "value_error")
                )
            if any(deletion.owner != str(user.id) for deletion in node.deletions(metadata.id)):
                raise Refusal(403, "A dataset of somebody else had this id; it stays theirs.")
            if unknown := unknown_tags(metadata, catalogue):
                raise Refusal(
                    404, f"There is no {', no '.join(unknown)}. Create what is missing first."
                )
            _require_groups(backend, metadata.authorized_group_names)
            _require_collections(backend, user, metadata.dataset_collection_names)
        for metadata in new:
            node.register(metadata)
            catalogue.collect(metadata.id, metadata.dataset_collection_names)


def _require_groups(backend: Backend, names: tuple[str, ...]) -> None:
    if unknown := [name for name in names if name not in backend.users.groups]:
        raise Refusal(404, f"There is no group {', no group '.join(unknown)}.")


def _require_collections(backend: Backend, user: User, names: tuple[str, ...]) -> None:
    collections = backend.catalogue.collections
    if unknown := [name for name in names if name not in collections]:
        raise Refusal(404, f"There is no collection {', no collection '.join(unknown)}.")
    if closed := [name for name in names if not collections[name].open_to(user.id, user.groups)]:
        raise Refusal(403, f"The collection {closed[0]} belongs to somebody else.")


def _collect(backend: Backend, user: User, new: NewCollection) -> None:
    catalogue = backend.catalogue
    node = backend.node(user.id)
    with catalogue.lock:
        for place, dataset in enumerate(new.dataset_ids):
            found = node.info(dataset)
            if found is None:
                raise invalid(
                    (("body", "dataset_ids", place), "There is no such dataset", "value_error")
                )
            if not may_write(found, user):
                raise Refusal(403, f"Dataset {dataset} belongs to somebody else.")
        _keep(backend, user, new.name, new.notes, new.authorized_group_names, new.dataset_ids)


def _collect_regions(backend: Backend, user: User, new: NewRegionsCollection) -> dict[str, str]:
    parts = new.dataset_brain_regions
    ids = [new.dataset_metadata.id, *(uuid4() for _ in parts[1:])]
    datasets = [
        metadata_of_part(new.dataset_metadata, part, each)
        for part, each in zip(parts, ids, strict=True)
    ]
    names = [
        ", ".join(
            region_name(region.brain_structure, region.direction) for region in each.brain_regions
        )
        for each in datasets
    ]
    if len(set(names)) < len(names):
        raise invalid(
            (
                ("body", "dataset_brain_regions"),
                "Two datasets have the same brain regions",
                "value_error",
            )
        )
    with backend.catalogue.lock:
        _require_open(backend, user, new.name)
        _register(backend, user, datasets)
        _keep(backend, user, new.name, new.notes, new.authorized_group_names, tuple(ids))
    return dict(zip(names, map(str, ids), strict=True))


def _require_open(backend: Backend, user: User, name: str) -> None:
    old = backend.catalogue.collections.get(name)
    if old is not None and not old.open_to(user.id, user.groups):
        raise Refusal(403, f"The collection {name} belongs to somebody else.")


def _keep(
    backend: Backend,
    user: User,
    name: str,
    notes: str | None,
    groups: tuple[str, ...],
    datasets: tuple[UUID, ...],
) -> None:
    _require_open(backend, user, name)
    if unknown := [group for group in groups if group not in backend.users.groups]:
        raise invalid(
            (("body", "authorized_group_names"), f"There is no group {unknown[0]}", "value_error")
        )
    old = backend.catalogue.collections.get(name) or Collection(name=name, owner=user.id)
    backend.catalogue.keep_collection(
        old.model_copy(
            update={
                "notes": old.notes if notes is None else notes,
                "groups": distinct((*old.groups, *groups)),
                "datasets": tuple(dict.fromkeys((*old.datasets, *datasets))),
            }
        )
    )


def _tags(backend: Backend) -> dict[str, Any]:
    tags = backend.catalogue.tags
    with backend.catalogue.lock:
        return {
            "publication_dois": sorted(tags.publications),
            "mutation": [
                {"gene": gene, "expression": expression}
                for gene, expression in sorted(tags.mutations)
            ],
            "brain_region": [
                {"brain_structure": structure, "direction": direction}
                for structure, direction in sorted(tags.regions)
            ],
            "microscopy_names": sorted(tags.microscopies),
        }


def _labels(datasets: list[DatasetInfo]) -> dict[str, str]:
    return {str(each.metadata.id): each.metadata.label for each in datasets}


def _newer(datasets: list[DatasetInfo], since: datetime | None) -> list[DatasetInfo]:
    if since is None:
        return datasets
    moment = since if since.tzinfo else since.replace(tzinfo=UTC)
    return [each for each in datasets if each.registered is not None and each.registered >= moment]


def routes() -> list[BaseRoute]:
    return [
        Route(f"{TAG}/animal/create", create_animal, methods=["POST"]),
        Route(f"{TAG}/brain_region/create", create_brain_region, methods=["POST"]),
        Route(f"{TAG}/microscopy/create", create_microscopy, methods=["POST"]),
        Route(f"{TAG}/mutation/create", create_mutation, methods=["POST"]),
        Route(f"{TAG}/publication/create", create_publication, methods=["POST"]),
        Route(f"{DATASET}/new", new_dataset, methods=["POST"]),
        Route(f"{DATASET}/search", search, methods=["POST"]),
        Route(f"{DATASET}/get/all", all_datasets, methods=["GET"]),
        Route(f"{DATASET}/get/modifiable", modifiable, methods=["GET"]),
        Route(f"{DATASET}/get/incomplete", incomplete, methods=["GET"]),
        Route(f"{DATASET}/collection/new/simple", new_collection, methods=["POST"]),
        Route(
            f"{DATASET}/collection/new/multi-brain-region", new_regions_collection, methods=["POST"]
        ),
        Route(f"{DATASET}/{{dataset_id}}/info", info, methods=["GET"]),
        Route("/neurodata/metadata/get/universal", universal, methods=["GET"]),
        Route("/neurodata/metadata/get/user", of_user, methods=["GET"]),
    ]
