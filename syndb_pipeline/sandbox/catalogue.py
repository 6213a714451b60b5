"""What the sandbox knows beside datasets: tags, collections, transfer benchmarks, in one JSON file.

Belongs here: keeping and finding them. Does not: the routes (`metadata.py`, `files.py`), or
datasets (the embedded node).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from pydantic import BaseModel

from syndb_pipeline.destinations.base import DatasetInfo, Metadata
from syndb_pipeline.sandbox.storage import JsonFile
from syndb_pipeline.sandbox.users import User

KEPT_BENCHMARKS: Final = 1_000

Words = tuple[str, ...]
"""What names a tag: its fields in words, such as `("hippocampus", "null")` of a brain region."""


class Collection(BaseModel):
    """A named group of datasets; its owner and the members of its groups may add to it."""

    name: str
    notes: str = ""
    owner: UUID
    groups: tuple[str, ...] = ()
    datasets: tuple[UUID, ...] = ()

    def open_to(self, user: User) -> bool:
        return self.owner == user.id or bool(user.groups & set(self.groups))


class _Tag(BaseModel):
    kind: str
    words: Words
    id: UUID


class _Kept(BaseModel):
    format: int = 1
    tags: list[_Tag] = []
    collections: list[Collection] = []
    uploads: list[dict[str, Any]] = []
    downloads: list[dict[str, Any]] = []


class Catalogue:
    """Tags, collections and benchmark results of one sandbox; each change is on disk at its end.

    Who checks and then changes holds `lock` in between.
    """

    def __init__(self, folder: Path) -> None:
        self._file = JsonFile(folder / "catalogue.json", _Kept, "tags are made again by publishing")
        self.lock = self._file.lock

    def tags(self, kind: str) -> dict[Words, UUID]:
        """The tags of a kind, in order, with their ids."""
        with self.lock:
            return {
                tag.words: tag.id
                for tag in sorted(self._file.content.tags, key=lambda tag: tag.words)
                if tag.kind == kind
            }

    def add_tag(self, kind: str, words: Words, tag: UUID | None) -> None:
        """Add a tag; one that exists stays as it is."""
        with self._file.changing() as kept:
            if words not in self.tags(kind):
                kept.tags.append(_Tag(kind=kind, words=words, id=tag or uuid4()))

    def missing(self, metadata: Metadata) -> list[str]:
        """The tags a dataset refers to that do not exist."""
        with self.lock:
            known = {(tag.kind, tag.words) for tag in self._file.content.tags}
        return [
            " ".join([kind.replace("_", " "), *(word for word in words if word != "null")])
            for kind, words in _references(metadata)
            if (kind, words) not in known
        ]

    def collection(self, name: str) -> Collection | None:
        return next((each for each in self._file.content.collections if each.name == name), None)

    def collections_of(self, info: DatasetInfo) -> list[str]:
        """Collections the dataset was registered into, and those it was added to since."""
        later = [
            each.name
            for each in list(self._file.content.collections)
            if info.metadata.id in each.datasets
        ]
        return list(dict.fromkeys((*info.metadata.dataset_collection_names, *later)))

    def collect(
        self,
        collection: Collection,
        datasets: Iterable[UUID],
        *,
        groups: Iterable[str] = (),
        notes: str | None = None,
    ) -> None:
        """Add datasets and groups to a collection, which may be a new one; give it other notes."""
        with self._file.changing() as kept:
            if collection not in kept.collections:
                kept.collections.append(collection)
            collection.datasets = tuple(dict.fromkeys((*collection.datasets, *datasets)))
            collection.groups = tuple(dict.fromkeys((*collection.groups, *groups)))
            collection.notes = collection.notes if notes is None else notes

    def forget(self, dataset: UUID) -> None:
        """Take a deleted dataset out of every collection."""
        with self._file.changing() as kept:
            for each in kept.collections:
                each.datasets = tuple(member for member in each.datasets if member != dataset)

    def benchmarks(self, way: str) -> list[dict[str, Any]]:
        """Results of `uploads` or `downloads`."""
        results: list[dict[str, Any]] = list(getattr(self._file.content, way))
        return results

    def add_benchmark(self, way: str, result: BaseModel) -> None:
        with self._file.changing() as kept:
            results = [*getattr(kept, way), result.model_dump(mode="json")]
            setattr(kept, way, results[-KEPT_BENCHMARKS:])


def _references(metadata: Metadata) -> Iterator[tuple[str, Words]]:
    """Kind and words of each tag that a dataset refers to."""
    yield "animal", (str(metadata.animal),)
    for region in metadata.brain_regions:
        yield "brain_region", (region.brain_structure, region.direction)
    yield "microscopy", (metadata.microscopy,)
    for mutation in metadata.mutations:
        yield "mutation", (mutation.gene, mutation.expression)
    for doi in metadata.publication_dois:
        yield "publication", (doi,)
