"""What goes over the wire: JSON bodies of SynDB's REST interface (syndb-api-client 0.7.2) as types.

Belongs here: what is read and what is written. Does not: sending it, what metadata mean, or what
every interface's bodies share (`http/`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import UUID

from syndb_pipeline.contract.vocabularies import ANIMALS, LICENSES
from syndb_pipeline.destinations.base import DatasetInfo, Metadata
from syndb_pipeline.destinations.http.bodies import Body, Id, Shown, Word, Words

_DEFAULT_LICENSE: Final = LICENSES["ODC_BY"]
"""What SynDB takes when no person chose one (D: the upload guide)."""


class _Region(Body):
    brain_structure: Word = ""
    direction: Word = "null"


class _Mutation(Body):
    gene: Word = ""
    expression: Word = ""


class UploadedDataset(Body):
    """`UploadedSingleDatasetSchema`: a dataset as `info` gives it."""

    id: UUID
    label: Word
    notes: str = ""
    """May have several lines; it is compared, and shown quoted (`base.differences`)."""
    data_license: int = _DEFAULT_LICENSE
    animal: int
    microscopy: Word = ""
    brain_regions: tuple[_Region, ...] = ()
    mutations: tuple[_Mutation, ...] = ()
    publication_dois: Words = ()
    authorized_group_names: Words = ()
    dataset_collection_names: Words = ()
    syndb_tables: tuple[int, ...] = ()
    owner_id: Id
    number_of_units: int

    @property
    def info(self) -> DatasetInfo:
        """The dataset; SynDB gives neither rows by table nor which uploads it took."""
        known = self.model_dump(exclude={"owner_id", "number_of_units"}) | {
            "license": _name(LICENSES, self.data_license),
            "animal_name": _name(ANIMALS, self.animal),
            "syndb_tables": sorted(self.syndb_tables),
        }
        return DatasetInfo(
            metadata=Metadata.model_validate(known),
            owner=self.owner_id,
            rows=None,
            number_of_units=self.number_of_units,
            uploads=None,
        )


Tag = tuple[str, str, dict[str, Any]]
"""A tag's kind, what it is in words, and the body of the request that creates it."""


class Universal(Body):
    """`UniversalMetadataResponse`: the tags there are; animals are not among them."""

    publication_dois: Words = ()
    mutation: tuple[_Mutation, ...] = ()
    brain_region: tuple[_Region, ...] = ()
    microscopy_names: Words = ()

    def missing(self, metadata: Metadata) -> list[Tag]:
        """The tags that `metadata` need and that are not there."""
        there = [each.model_dump() for each in (*self.brain_region, *self.mutation)]
        there += [{"name": name} for name in self.microscopy_names]
        there += [{"doi": doi} for doi in self.publication_dois]
        return [tag for tag in _tags(metadata) if tag[2] not in there]

    def has(self, kind: str, what: str, metadata: Metadata) -> bool:
        """Whether a tag that `missing` named is there now. A DOI means the same in capitals, and a
        server may take two such for one."""
        same = what.casefold() in map(str.casefold, self.publication_dois)
        return same or (kind, what) not in {tag[:2] for tag in self.missing(metadata)}


def _tags(metadata: Metadata) -> Iterator[Tag]:
    for region in dict.fromkeys(metadata.brain_regions):
        place = f"{region.brain_structure} ({region.direction})"
        yield "brain_region", place, region.model_dump()
    yield "microscopy", metadata.microscopy, {"name": metadata.microscopy}
    for change in dict.fromkeys(metadata.mutations):
        yield "mutation", f"{change.gene} ({change.expression})", change.model_dump()
    for doi in dict.fromkeys(metadata.publication_dois):
        yield "publication", doi, {"doi": doi}


class Labels(Body):
    """`Id2LabelResponse`."""

    uuid_to_label: dict[UUID, str]


class Ids(Body):
    """`IdsResponse`."""

    ids: tuple[UUID, ...]


class Profile(Body):
    """`UserProfile`; `is_verified` is SynDB's word on academic status [inferred]."""

    id: Id
    email: Shown
    is_verified: bool = False


class Bearer(Body):
    """`BearerResponse`."""

    access_token: str


class Authorization(Body):
    """`OAuth2AuthorizeResponse`."""

    authorization_url: str


class UploadForm(Body):
    """`PreSignedS3UploadUrlSchema`: where a form with `fields` and a file goes."""

    upload_url: str
    fields: dict[str, str]


class Download(Body):
    """`SearchResultDataDownload`."""

    download_url: str


class FileAddresses(Body):
    """`PreSignedS3DownloadSchema`: by dataset, addresses of units' files."""

    dataset_id_to_download_metadata: dict[UUID, tuple[str, ...]]


def new_dataset(metadata: Metadata) -> dict[str, Any]:
    """The body of `NewDatasetSchema`."""
    return metadata.model_dump(mode="json", exclude={"license", "animal_name"})


def _name(names: Mapping[str, int], code: int) -> str:
    return next((name for name, known in names.items() if known == code), f"unknown ({code})")
