"""What goes over the wire: JSON bodies of SynDB's REST interface (syndb-api-client 0.7.2) as types,
and the file of a form, streamed.

Belongs here: what is read, made fit to be shown, and what is written. Does not: sending it
(`session.py`), what metadata mean. The form around a file is httpx's.
"""

from __future__ import annotations

import dataclasses
import time
import unicodedata
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from syndb_pipeline.base.errors import NotAPackage
from syndb_pipeline.base.progress import Progress, Watch, unwatched
from syndb_pipeline.base.tar_stream import Payload
from syndb_pipeline.contract.vocabularies import ANIMALS, LICENSES
from syndb_pipeline.destinations.base import DatasetInfo, Metadata
from syndb_pipeline.destinations.rest.answers import cleaned

_DEFAULT_LICENSE: Final = LICENSES["ODC_BY"]
"""What SynDB takes when no person chose one (D: the upload guide)."""

_LONGEST: Final = 1_000
"""Characters of a text that are kept; SynDB's own limits end at 280."""


def _visible(text: str) -> str:
    """`text` as a terminal and a log can show it. No metadata of ours have a control character, so
    what equals them still does."""
    kept = text[:_LONGEST] + ("..." if len(text) > _LONGEST else "")
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in kept)


def _identifier(text: str) -> str:
    """Ids are compared, so none is changed. Raises `ValueError`."""
    if not text.isprintable() or not 0 < len(text) <= 200:
        raise ValueError("Input should be an id of up to 200 printable characters")
    return text


Id = Annotated[str, AfterValidator(_identifier)]
Shown = Annotated[str, AfterValidator(cleaned)]
Word = Annotated[str, AfterValidator(_visible)]
Words = tuple[Word, ...]


class Body(BaseModel):
    """A body that a server sent. What is not known is passed over; `null` is as good as nothing."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        return {name: value for name, value in body.items() if value is not None}


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


# The file of a form

_PIECE: Final = 1 << 20
"""Bytes read and sent at a time."""

PROGRESS_SECONDS: Final = 0.5
"""Progress is reported no more often than this."""


@dataclass(frozen=True)
class FilePart:
    """The file of a form: its field, the name and content type it is sent under, and its bytes."""

    field: str
    name: str
    content_type: str
    payload: Payload
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Fields that go before it, in this order: S3 reads a form up to its file."""
    watch: Watch = unwatched
    """Called with how many bytes of the file went out."""


class PartReader:
    """The bytes of a form's file as httpx reads them, for one request.

    `whole` says whether all of them were read. As long as they were not, no server can have the
    whole body: its length was announced. The end is reported only once the bytes have proved to be
    those announced; if they are not, `NotAPackage` is raised in its place. `go_on` is called before
    each piece and may raise.
    """

    def __init__(self, part: FilePart, go_on: Callable[[], None]) -> None:
        self.whole = False
        self._part = part
        self._go_on = go_on
        self._pieces = self._read()

    def read(self, size: int = -1) -> bytes:
        return next(self._pieces, b"")

    def seek(self, offset: int, whence: int = 0) -> int:  # how httpx learns the number of bytes
        return self._part.payload.bytes if whence else 0

    def tell(self) -> int:
        return 0

    def close(self) -> None:
        self._pieces.close()

    def _read(self) -> Generator[bytes, None, None]:
        payload, done, reported = self._part.payload, 0, 0.0
        try:
            # Digested while it went out, a file would be read no faster than it is digested; its
            # stamp says as much.
            before = payload.proof()
            with payload.open() as file:
                while piece := file.read(min(_PIECE, payload.bytes - done)):
                    if before is None:
                        break
                    self._go_on()
                    yield piece
                    done += len(piece)
                    if done < payload.bytes and time.monotonic() - reported >= PROGRESS_SECONDS:
                        reported = time.monotonic()
                        self._report(done)
                if before is None or done != payload.bytes or payload.proof() != before:
                    raise NotAPackage(
                        f"{payload}: its bytes are not those announced; it changed while it was "
                        "sent. Nothing of it was taken in.",
                        next_step="Prepare the dataset again, and look at the new plan.",
                    )
        except OSError as error:
            raise NotAPackage(
                f"{error.filename or payload} cannot be read: {error.strerror}.",
                next_step="Restore it and give the same command again.",
            ) from None
        self._report(done)
        self.whole = True

    def _report(self, done: int) -> None:
        part = self._part
        total = part.payload.bytes
        part.watch(Progress(what=part.name, done=done, total=total, unit="bytes"))
