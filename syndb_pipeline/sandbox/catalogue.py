"""What the sandbox knows beside datasets: tags, collections and benchmark results, in one small
file.

Belongs here: keeping and finding them. Does not: the routes (`metadata.py`, `io.py`), or datasets
(the embedded node).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from threading import RLock
from typing import Any, Final
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, ValidationError

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.state.store import write_atomically

KEPT_BENCHMARKS: Final = 1_000


class Collection(BaseModel):
    """A named group of datasets; its owner and the members of its groups may add to it."""

    model_config = ConfigDict(frozen=True)

    name: str
    notes: str = ""
    owner: UUID
    groups: tuple[str, ...] = ()
    datasets: tuple[UUID, ...] = ()

    def open_to(self, user: UUID, groups: Iterable[str]) -> bool:
        return self.owner == user or bool(set(groups) & set(self.groups))


class Tags(BaseModel):
    """Tags that datasets may refer to. Regions and mutations have an id of their own."""

    animals: set[int] = set()
    regions: dict[tuple[str, str], UUID] = {}
    microscopies: set[str] = set()
    mutations: dict[tuple[str, str], UUID] = {}
    publications: set[str] = set()


class _Pair(BaseModel):
    words: tuple[str, str]
    id: UUID


class _Kept(BaseModel):
    format: int = 1
    animals: list[int] = []
    regions: list[_Pair] = []
    microscopies: list[str] = []
    mutations: list[_Pair] = []
    publications: list[str] = []
    collections: list[Collection] = []
    uploads: list[dict[str, Any]] = []
    downloads: list[dict[str, Any]] = []


class Catalogue:
    """Tags, collections and benchmark results of one sandbox. Changes hold `lock`; each is on disk
    before it is answered.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "catalogue.json"
        self.lock = RLock()
        kept = _Kept()
        if self.path.exists():
            try:
                kept = _Kept.model_validate_json(self.path.read_text(encoding="utf-8"))
            except ValidationError:
                raise ConfigError(
                    f"{self.path}: not written by this program, or damaged.",
                    next_step="Remove it; tags are made anew by publishing.",
                ) from None
        self.tags = Tags(
            animals=set(kept.animals),
            regions={pair.words: pair.id for pair in kept.regions},
            microscopies=set(kept.microscopies),
            mutations={pair.words: pair.id for pair in kept.mutations},
            publications=set(kept.publications),
        )
        self.collections = {collection.name: collection for collection in kept.collections}
        self.uploads = kept.uploads
        self.downloads = kept.downloads

    def add_animal(self, code: int) -> None:
        with self.lock:
            self.tags.animals.add(code)
            self._write()

    def add_region(self, structure: str, direction: str, tag: UUID | None) -> None:
        with self.lock:
            self.tags.regions.setdefault((structure, direction), tag or uuid4())
            self._write()

    def add_microscopy(self, name: str) -> None:
        with self.lock:
            self.tags.microscopies.add(name)
            self._write()

    def add_mutation(self, gene: str, expression: str, tag: UUID | None) -> None:
        with self.lock:
            self.tags.mutations.setdefault((gene, expression), tag or uuid4())
            self._write()

    def add_publication(self, doi: str) -> None:
        with self.lock:
            self.tags.publications.add(doi)
            self._write()

    def keep_collection(self, collection: Collection) -> None:
        """Make a collection, or change the one of its name."""
        with self.lock:
            self.collections[collection.name] = collection
            self._write()

    def collect(self, dataset: UUID, names: Iterable[str]) -> None:
        """Note that the dataset is in these collections."""
        with self.lock:
            for name in names:
                old = self.collections[name]
                self.collections[name] = old.model_copy(
                    update={"datasets": tuple(dict.fromkeys((*old.datasets, dataset)))}
                )
            self._write()

    def forget(self, dataset: UUID) -> None:
        """Take a deleted dataset out of every collection."""
        with self.lock:
            for name, old in self.collections.items():
                self.collections[name] = old.model_copy(
                    update={"datasets": tuple(each for each in old.datasets if each != dataset)}
                )
            self._write()

    def collections_of(self, dataset: UUID) -> list[str]:
        return [
            collection.name
            for collection in list(self.collections.values())
            if dataset in collection.datasets
        ]

    def note_upload(self, result: dict[str, Any]) -> None:
        with self.lock:
            self.uploads = [*self.uploads, result][-KEPT_BENCHMARKS:]
            self._write()

    def note_download(self, result: dict[str, Any]) -> None:
        with self.lock:
            self.downloads = [*self.downloads, result][-KEPT_BENCHMARKS:]
            self._write()

    def _write(self) -> None:
        kept = _Kept(
            animals=sorted(self.tags.animals),
            regions=[_Pair(words=words, id=tag) for words, tag in self.tags.regions.items()],
            microscopies=sorted(self.tags.microscopies),
            mutations=[_Pair(words=words, id=tag) for words, tag in self.tags.mutations.items()],
            publications=sorted(self.tags.publications),
            collections=list(self.collections.values()),
            uploads=self.uploads,
            downloads=self.downloads,
        )
        write_atomically(self.path, kept.model_dump_json(indent=1) + "\n")
