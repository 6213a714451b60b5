"""A dataset's metadata as SynDB's REST interface writes them, and back.

Belongs here: JSON bodies of syndb-api-client 0.7.2 as types. Does not: requests (`rest.py`), or
what metadata mean.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from syndb_pipeline.contract.vocabularies import ANIMALS, LICENSES
from syndb_pipeline.destinations.base import DatasetInfo, Metadata, Mutation, Region
from syndb_pipeline.destinations.rest.http_answer import cleaned

_DEFAULT_LICENSE: Final = LICENSES["ODC_BY"]
"""What SynDB takes when nobody chose one (D: the upload guide)."""

_NO_DIRECTION: Final = "null"

_LONGEST: Final = 1_000
"""Characters of a text that are kept; SynDB's own limits end at 280."""


def _visible(text: str) -> str:
    """`text` as a terminal and a log can show it. No metadata of ours have a control character, so
    what equals them still does.
    """
    kept = "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) == "Cc" else c
        for c in text[:_LONGEST]
    )
    return kept if len(text) <= _LONGEST else f"{kept}..."


def _identifier(text: str) -> str:
    """Ids are compared, so none is mended. Raises `ValueError`."""
    if not text.isprintable() or not 0 < len(text) <= 200:
        raise ValueError("Input should be an id of up to 200 printable characters")
    return text


Id = Annotated[str, AfterValidator(_identifier)]
Shown = Annotated[str, AfterValidator(cleaned)]
Word = Annotated[str, AfterValidator(_visible)]
Text = Annotated[Word, BeforeValidator(lambda value: "" if value is None else value)]
Direction = Annotated[
    Word, BeforeValidator(lambda value: _NO_DIRECTION if value is None else value)
]
_empty = BeforeValidator(lambda value: () if value is None else value)


class Read(BaseModel):
    """A body that a server sent. What is not known is passed over; `null` stands for nothing."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class _Region(Read):
    brain_structure: Text = ""
    direction: Direction = _NO_DIRECTION


class _Mutation(Read):
    gene: Text = ""
    expression: Text = ""


class UploadedDataset(Read):
    """`UploadedSingleDatasetSchema`: a dataset as `info` tells it."""

    id: UUID
    label: Word
    notes: Annotated[str, BeforeValidator(lambda value: "" if value is None else value)] = ""
    """May have several lines; it is compared, and shown quoted (`base.differences`)."""
    data_license: int | None = None
    animal: int
    microscopy: Text = ""
    brain_regions: Annotated[tuple[_Region, ...], _empty] = ()
    mutations: Annotated[tuple[_Mutation, ...], _empty] = ()
    publication_dois: Annotated[tuple[Word, ...], _empty] = ()
    authorized_group_names: Annotated[tuple[Word, ...], _empty] = ()
    dataset_collection_names: Annotated[tuple[Word, ...], _empty] = ()
    syndb_tables: Annotated[tuple[int, ...], _empty] = ()
    owner_id: Id
    number_of_units: int = 0

    @property
    def info(self) -> DatasetInfo:
        """The dataset; SynDB tells neither rows by table nor which uploads it took."""
        code = _DEFAULT_LICENSE if self.data_license is None else self.data_license
        metadata = Metadata(
            id=self.id,
            label=self.label,
            notes=self.notes,
            data_license=code,
            license=_name(LICENSES, code),
            animal=self.animal,
            animal_name=_name(ANIMALS, self.animal),
            microscopy=self.microscopy,
            brain_regions=tuple(
                Region(brain_structure=each.brain_structure, direction=each.direction)
                for each in self.brain_regions
            ),
            mutations=tuple(
                Mutation(gene=each.gene, expression=each.expression) for each in self.mutations
            ),
            publication_dois=self.publication_dois,
            authorized_group_names=self.authorized_group_names,
            dataset_collection_names=self.dataset_collection_names,
            syndb_tables=tuple(sorted(self.syndb_tables)),
        )
        return DatasetInfo(
            metadata=metadata,
            owner=self.owner_id,
            rows=None,
            number_of_units=self.number_of_units,
            uploads=None,
        )


class Universal(Read):
    """`UniversalMetadataResponse`: the tags there are; animals are not among them."""

    publication_dois: Annotated[tuple[Word, ...], _empty] = ()
    mutation: Annotated[tuple[_Mutation, ...], _empty] = ()
    brain_region: Annotated[tuple[_Region, ...], _empty] = ()
    microscopy_names: Annotated[tuple[Word, ...], _empty] = ()

    def missing(self, metadata: Metadata) -> list[tuple[str, str, dict[str, Any]]]:
        """The tags that `metadata` need and that are not there: kind, what it is in words, body of
        the request that creates it.
        """
        regions = {(each.brain_structure, each.direction) for each in self.brain_region}
        mutations = {(each.gene, each.expression) for each in self.mutation}
        return [
            *(
                ("brain_region", f"{each.brain_structure} ({each.direction})", each.model_dump())
                for each in _distinct(metadata.brain_regions)
                if (each.brain_structure, each.direction) not in regions
            ),
            *(
                [("microscopy", metadata.microscopy, {"name": metadata.microscopy})]
                if metadata.microscopy not in self.microscopy_names
                else []
            ),
            *(
                ("mutation", f"{each.gene} ({each.expression})", each.model_dump())
                for each in _distinct(metadata.mutations)
                if (each.gene, each.expression) not in mutations
            ),
            *(
                ("publication", doi, {"doi": doi})
                for doi in dict.fromkeys(metadata.publication_dois)
                if doi not in self.publication_dois
            ),
        ]

    def has(self, kind: str, what: str, metadata: Metadata) -> bool:
        """Whether a tag that `missing` named is there now. A DOI means the same in capitals, and a
        server may take two such for one.
        """
        same = kind == "publication" and what.casefold() in {
            known.casefold() for known in self.publication_dois
        }
        return same or (kind, what) not in {each[:2] for each in self.missing(metadata)}


class Labels(Read):
    """`Id2LabelResponse`."""

    uuid_to_label: dict[UUID, str]


class Ids(Read):
    """`IdsResponse`."""

    ids: tuple[UUID, ...]


class Profile(Read):
    """`UserProfile`; `is_verified` is SynDB's word on academic status [inferred]."""

    id: Id
    email: Shown
    is_verified: bool = False


class Bearer(Read):
    """`BearerResponse`."""

    access_token: str


class Authorization(Read):
    """`OAuth2AuthorizeResponse`."""

    authorization_url: str


class UploadForm(Read):
    """`PreSignedS3UploadUrlSchema`: where a form with `fields` and a file goes."""

    upload_url: str
    fields: dict[str, str]


class Download(Read):
    """`SearchResultDataDownload`."""

    download_url: str


class FileAddresses(Read):
    """`PreSignedS3DownloadSchema`: by dataset, addresses of units' files."""

    dataset_id_to_download_metadata: dict[UUID, tuple[str, ...]]


def new_dataset(metadata: Metadata) -> dict[str, Any]:
    """The body of `NewDatasetSchema`."""
    return metadata.model_dump(mode="json", exclude={"license", "animal_name"})


def _name(names: Mapping[str, int], code: int) -> str:
    return next((name for name, known in names.items() if known == code), f"unknown ({code})")


def _distinct(items: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(items))
