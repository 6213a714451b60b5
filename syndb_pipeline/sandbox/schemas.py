"""The bodies of SynDB's REST contract, as `syndb-api-client` 0.7.2 declares them, with limits.

Belongs here: pydantic models of what comes in and goes out. Does not: deciding anything
(`metadata.py`, `files.py`, `profile.py`).

Section 4 of the contract has the limits. A limit that no source states is marked as ours: it keeps
a stranger from filling the disk.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from neurometa.constant import (
    CulturalModelAnimalName,
    GeneExpression,
    ModelAnimal,
    NeuroanatomicalDirection,
)
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
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
    printable,
    printable_lines,
)
from syndb_pipeline.contract.tables import TABLES


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
_Item = TypeVar("_Item")
_printable = AfterValidator(printable)

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
Code = Annotated[int, BeforeValidator(_whole), AfterValidator(_table)]
Animal = Annotated[ModelAnimal, BeforeValidator(_whole)]
License = Annotated[DataLicense, BeforeValidator(_whole)]
Ids = Annotated[tuple[UUID, ...], Field(max_length=10_000)]  # ours
Country = Annotated[str, Field(pattern=r"^\w{2}$")]
Place = Annotated[str, Field(max_length=200), _printable]  # ours
ScientistTag = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\w.-]+$")]  # ours


class In(BaseModel):
    """A body that arrives. Keys it does not know are passed over, as pydantic's default is."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class Login(In):
    username: Annotated[str, Field(max_length=320)]
    password: Annotated[str, Field(max_length=1_024)]
    grant_type: Annotated[str, Field(pattern="^password$")] | None = None


class NewUser(In):
    """`is_superuser` and `is_verified` are no fields: no user makes himself one."""

    email: Annotated[str, Field(max_length=320, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$"), _printable]
    password: Annotated[SecretStr, Field(min_length=3, max_length=1_024)]


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


class Described(In):
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


class RegionsOfDataset(In):
    brain_regions: Some[BrainRegionTag]
    label: Label | None = None
    notes: Notes | None = None


class _Collected(In):
    authorized_group_names: Many[Word] = ()
    name: Word
    notes: Notes | None = None


class NewCollection(_Collected):
    """`CreateReadDatasetCollectionModel`."""

    dataset_ids: Ids


class NewRegionsCollection(_Collected):
    """`CreateDatasetCollectionMultiBrainRegion`."""

    dataset_brain_regions: Annotated[Some[RegionsOfDataset], Field(max_length=100)]
    dataset_metadata: Described


class MutationFilter(In):
    gene: str | None
    expression: GeneExpression | None


class RegionFilter(In):
    brain_structure: str
    direction: NeuroanatomicalDirection | None = None


class Filter(In):
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


class UploadForm(BaseModel):
    """`PreSignedS3UploadUrlSchema`: where to post to, and the fields to send before the file."""

    upload_url: str
    fields: dict[str, str]


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


class UploadBenchmark(In):
    """`DatasetUploadBenchmarkResultSchema`; `interval` is an ISO 8601 duration."""

    creation_datetime: datetime
    payload_byte_size: int
    speed: int
    interval: Annotated[str, Field(max_length=100)]
    continent: Place | None
    country_alpha2: Country | None
    city: Place | None


class DownloadBenchmark(UploadBenchmark):
    """`NeurodataDownloadBenchmarkResultSchema`."""

    dataset_ids: Ids
