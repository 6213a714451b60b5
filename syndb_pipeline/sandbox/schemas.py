"""The bodies of SynDB's REST contract, as `syndb-api-client` 0.7.2 declares them, with the limits
SynDB states.

Belongs here: pydantic models of what comes in and goes out. Does not: deciding anything
(`metadata.py`, `io.py`, `profile.py`).

Section 4 of the contract has the limits. A limit that no source states is marked as ours: it keeps
a stranger from filling the disk.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from neurometa.constant import (
    CulturalModelAnimalName,
    GeneExpression,
    ModelAnimal,
    NeuroanatomicalDirection,
)
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
)
from syndb_constants.data_license import DataLicense
from syndb_constants.dataset import S3Instance

from syndb_pipeline.contract.metadata import (
    DOI_LENGTH,
    GENE_LENGTH,
    ITEMS,
    LABEL_LENGTH,
    MICROSCOPY_LENGTH,
    NAME_LENGTH,
    NOTES_LENGTH,
)
from syndb_pipeline.contract.tables import TABLES


def _printable(value: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("it holds a control character")
    return value


def _printable_lines(value: str) -> str:
    _printable(value.replace("\n", "").replace("\r", "").replace("\t", ""))
    return value


def _table(code: int) -> int:
    if code not in _CODES:
        raise ValueError(
            f"it is not the code of a SynDB table; those are {min(_CODES)} to {max(_CODES)}"
        )
    return code


def _whole(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("Input should be a valid integer")
    return value


_CODES = {table.code for table in TABLES.values()}
_LIST = Field(max_length=ITEMS)
_none_is_empty = BeforeValidator(lambda value: [] if value is None else value)

Label = Annotated[
    str, StringConstraints(min_length=1, max_length=LABEL_LENGTH), AfterValidator(_printable)
]
Notes = Annotated[str, StringConstraints(max_length=NOTES_LENGTH), AfterValidator(_printable_lines)]
Word = Annotated[
    str, StringConstraints(min_length=1, max_length=NAME_LENGTH), AfterValidator(_printable)
]
Microscopy = Annotated[
    str, StringConstraints(min_length=1, max_length=MICROSCOPY_LENGTH), AfterValidator(_printable)
]
Gene = Annotated[
    str, StringConstraints(min_length=1, max_length=GENE_LENGTH), AfterValidator(_printable)
]
Doi = Annotated[
    str, StringConstraints(min_length=1, max_length=DOI_LENGTH), AfterValidator(_printable)
]
Code = Annotated[int, BeforeValidator(_whole), AfterValidator(_table)]
Animal = Annotated[ModelAnimal, BeforeValidator(_whole)]
License = Annotated[DataLicense, BeforeValidator(_whole)]
Words = Annotated[tuple[Word, ...], _LIST, _none_is_empty]
Ids = Annotated[tuple[UUID, ...], Field(max_length=10_000)]  # ours
Country = Annotated[str, StringConstraints(pattern=r"^\w{2}$")]
Place = Annotated[str, StringConstraints(max_length=200), AfterValidator(_printable)]  # ours


class In(BaseModel):
    """A body that arrives. Keys it does not know are passed over, as pydantic's default is in a
    FastAPI server.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


# Users


class Login(In):
    username: Annotated[str, StringConstraints(max_length=320)]
    password: Annotated[SecretStr, Field(max_length=1_024)]
    grant_type: Annotated[str, StringConstraints(pattern="^password$")] | None = None


class NewUser(In):
    """`is_superuser` and `is_verified` are no fields: nobody makes himself one."""

    email: Annotated[
        str,
        StringConstraints(max_length=320, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$"),
        AfterValidator(_printable),
    ]
    password: Annotated[SecretStr, Field(min_length=3, max_length=1_024)]


class ScientistTag(In):
    scientist_tag: Annotated[
        str, StringConstraints(min_length=1, max_length=100, pattern=r"^[\w.-]+$")
    ]  # ours


class Callback(In):
    state: Annotated[str, StringConstraints(max_length=2_000)] | None = None
    code: str | None = None
    error: str | None = None


# Metadata


class AnimalTag(In):
    species: Animal


class BrainRegionTag(In):
    id: UUID | None = None
    brain_structure: Word  # any text: only the direction is an enumeration
    direction: NeuroanatomicalDirection


class MicroscopyTag(In):
    name: Microscopy


class MutationTag(In):
    id: UUID | None = None
    gene: Gene
    expression: GeneExpression


class PublicationTag(In):
    doi: Doi


class _Described(In):
    authorized_group_names: Words = ()
    dataset_collection_names: Words = ()
    publication_dois: Annotated[tuple[Doi, ...], _LIST, _none_is_empty] = ()
    id: UUID
    label: Label
    data_license: License | None = None
    animal: Animal
    mutations: Annotated[tuple[MutationTag, ...], _LIST, _none_is_empty] = ()
    microscopy: Microscopy
    notes: Notes | None = None


class NewDataset(_Described):
    """`NewDatasetSchema`."""

    brain_regions: Annotated[tuple[BrainRegionTag, ...], Field(min_length=1, max_length=ITEMS)]
    syndb_tables: Annotated[tuple[Code, ...], Field(min_length=1, max_length=len(_CODES))]


class RegionsOfDataset(In):
    brain_regions: Annotated[tuple[BrainRegionTag, ...], Field(min_length=1, max_length=ITEMS)]
    label: Label | None = None
    notes: Notes | None = None


class NewCollection(In):
    """`CreateReadDatasetCollectionModel`."""

    authorized_group_names: Words = ()
    name: Word
    notes: Notes | None = None
    dataset_ids: Ids


class NewRegionsCollection(In):
    """`CreateDatasetCollectionMultiBrainRegion`."""

    authorized_group_names: Words = ()
    name: Word
    notes: Notes | None = None
    dataset_brain_regions: Annotated[
        tuple[RegionsOfDataset, ...], Field(min_length=1, max_length=100)
    ]
    dataset_metadata: _Described


class Since(In):
    cutoff_creation_datetime: datetime | None = None


class MutationFilter(In):
    gene: str | None
    expression: GeneExpression | None


class RegionFilter(In):
    brain_structure: str
    direction: NeuroanatomicalDirection | None = None


class Filter(In):
    """`DatasetFilterSchema`: a field that is missing, null or empty asks nothing."""

    authorized_group_names: Annotated[tuple[str, ...], _LIST, _none_is_empty] = ()
    dataset_collection_names: Annotated[tuple[str, ...], _LIST, _none_is_empty] = ()
    publication_dois: Annotated[tuple[str, ...], _LIST, _none_is_empty] = ()
    syndb_tables: Annotated[tuple[Code, ...], _LIST, _none_is_empty] = ()
    data_licenses: Annotated[tuple[License, ...], _LIST, _none_is_empty] = ()
    animals_species: Annotated[tuple[Animal, ...], _LIST, _none_is_empty] = ()
    animal_cultural_names: Annotated[
        tuple[CulturalModelAnimalName, ...], _LIST, _none_is_empty
    ] = ()
    mutations: Annotated[tuple[MutationFilter, ...], _LIST, _none_is_empty] = ()
    brain_regions: Annotated[tuple[RegionFilter, ...], _LIST, _none_is_empty] = ()
    microscopy_names: Annotated[tuple[str, ...], _LIST, _none_is_empty] = ()
    owner_id: Annotated[tuple[UUID, ...], _LIST, _none_is_empty] = ()


class Search(In):
    include: Filter
    exclude: Filter | None = None


# Data in and out


class UploadQuery(In):
    """What must be said with every upload."""

    upload_start_time: datetime
    continent: Place
    country_alpha2: Country
    city: Place
    top_mbps_up: Annotated[int, Field(ge=-(2**31), lt=2**31)]


class DeleteQuery(In):
    superuser_override: bool = False


class TablesOfDatasets(In):
    """`DatasetId2SyndbTables`: names or codes of tables, as text."""

    mapping: Annotated[
        dict[UUID, Annotated[tuple[str, ...], Field(max_length=100)]],
        Field(min_length=1, max_length=100),
    ]  # ours


class FilesOfUnits(In):
    """`S3PreSignedDownloadRequest`."""

    target: Annotated[S3Instance, BeforeValidator(_whole)]
    dataset_id_to_cids: Annotated[dict[UUID, Ids], Field(max_length=100)]  # ours


class _Benchmark(In):
    creation_datetime: datetime
    payload_byte_size: int
    speed: int
    interval: Annotated[str, StringConstraints(max_length=100)]
    continent: Place | None
    country_alpha2: Country | None
    city: Place | None


class UploadBenchmark(_Benchmark):
    """`DatasetUploadBenchmarkResultSchema`; `interval` is an ISO 8601 duration."""


class DownloadBenchmark(_Benchmark):
    """`NeurodataDownloadBenchmarkResultSchema`."""

    dataset_ids: Ids
