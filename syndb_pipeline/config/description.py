"""What makes a dataset findable and citable, beyond what SynDB's REST contract 0.7.2 stores: the
`description` of a dataset's config.

Belongs here: its model, and the shapes of public identifiers (ORCID, ROR, ontology terms). Does
not: SynDB's own metadata (`dataset_metadata.py`), nor writing it as anybody's format
(`manifests/`).

All of it is optional. Names of relations and identifiers are DataCite's (Metadata Schema 4.6).
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from syndb_pipeline.config.dataset_metadata import Doi, Line, Name
from syndb_pipeline.config.yaml_file import Strict, Text
from syndb_pipeline.contract import metadata
from syndb_pipeline.contract.ontologies import identifier

Policy = Literal["open", "registered", "restricted"]
"""Who may read a dataset (SynDB's documentation of its `/v1`)."""

RELATIONS: Final = """
IsCitedBy Cites IsSupplementTo IsSupplementedBy IsContinuedBy Continues IsDescribedBy Describes
HasMetadata IsMetadataFor HasVersion IsVersionOf IsNewVersionOf IsPreviousVersionOf IsPartOf HasPart
IsPublishedIn IsReferencedBy References IsDocumentedBy Documents IsCompiledBy Compiles
IsVariantFormOf IsOriginalFormOf IsIdenticalTo IsReviewedBy Reviews IsDerivedFrom IsSourceOf
IsRequiredBy Requires IsObsoletedBy Obsoletes IsCollectedBy Collects IsTranslationOf HasTranslation
""".split()  # noqa: SIM905
"""DataCite's `relationType`: how this dataset is related to the other thing."""


def _orcid(value: str) -> str:
    bare = re.sub(r"^https?://orcid\.org/", "", value.strip()).upper()
    digits = bare.replace("-", "")
    if re.fullmatch(r"[0-9]{4}(-[0-9]{4}){2}-[0-9]{3}[0-9X]", bare):
        total = 0
        for digit in digits[:-1]:
            total = (total + int(digit)) * 2
        # ISO 7064, MOD 11-2 (ORCID, "Structure of the ORCID identifier")
        check = (12 - total % 11) % 11
        if digits[-1] == ("X" if check == 10 else str(check)):
            return bare
        raise ValueError(f"{value!r} is mistyped: its last character does not fit the others")
    raise ValueError(f"{value!r} is not an ORCID iD; write it like 0000-0002-1825-0097")


def _ror(value: str) -> str:
    bare = re.sub(r"^(https?://)?ror\.org/", "", value.strip().lower())
    if not re.fullmatch(r"0[a-hj-km-np-tv-z0-9]{6}[0-9]{2}", bare):
        raise ValueError(f"{value!r} is not a ROR id; write it like https://ror.org/03yrm5c26")
    return f"https://ror.org/{bare}"


def _web_address(value: str) -> str:
    if not re.fullmatch(r"(https?|s3|gs|precomputed)://\S+", value):
        raise ValueError(f"{value!r} is not an address; write it with https:// in front")
    return value


def _relation(value: str) -> str:
    known = {each.casefold(): each for each in RELATIONS}
    if found := known.get(value.casefold()):
        return found
    raise ValueError(f"{value!r} is none of DataCite's relations, e.g. {', '.join(RELATIONS[:3])}")


def _taxon(value: str) -> str:
    return identifier(value, "NCBITaxon")


def _region(value: str) -> str:
    return identifier(value, "UBERON", "FBbt")


Address = Annotated[Line, AfterValidator(_web_address), Field(max_length=2_000)]
Ror = Annotated[Line, AfterValidator(_ror)]


class Creator(Strict):
    """A person who made the dataset, as citations name them."""

    given_name: Name
    family_name: Name
    orcid: Annotated[Line, AfterValidator(_orcid)] | None = None
    affiliation: Name | None = None
    ror: Ror | None = Field(default=None, description="ROR id of the affiliation.")
    email: Annotated[Line, Field(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None

    @property
    def name(self) -> str:
        """Family name first, as DataCite wants it."""
        return f"{self.family_name}, {self.given_name}"


class Funding(Strict):
    funder: Name
    ror: Ror | None = Field(default=None, description="ROR id of the funder.")
    award: Name | None = Field(default=None, description="The number of the grant.")
    title: Annotated[Line, Field(max_length=500)] | None = None


class Related(Strict):
    """Something else that the dataset belongs to, by DOI or address."""

    relation: Annotated[
        str, AfterValidator(_relation), Field(json_schema_extra={"enum": RELATIONS})
    ] = Field(description="How this dataset is related to it, in DataCite's words.")
    doi: Doi | None = None
    url: Address | None = None

    @model_validator(mode="after")
    def _one(self) -> Related:
        if (self.doi is None) == (self.url is None):
            raise ValueError("give either `doi` or `url`")
        return self


class Access(Strict):
    """Who may read the dataset, and from when on."""

    policy: Policy = "open"
    embargo_until: date | None = Field(default=None, description="The first day it is public.")

    def closed(self, today: date) -> str | None:
        """Why it may not be public on that day, in words; None when it may."""
        if self.policy != "open":
            return f"description.access.policy is {self.policy}"
        if self.embargo_until and self.embargo_until > today:
            return f"description.access.embargo_until is {self.embargo_until}"
        return None


class Segmentation(Strict):
    """The images and the segmentation that the tables were measured in."""

    source: Address | None = Field(default=None, description="Address of the image volume.")
    voxel_size: (
        tuple[
            Annotated[float, Field(gt=0)],
            Annotated[float, Field(gt=0)],
            Annotated[float, Field(gt=0)],
        ]
        | None
    ) = Field(default=None, description="x, y, z in nanometres.")
    materialization_version: Annotated[int, Field(ge=0)] | Line | None = Field(
        default=None, description="Of the segmentation, e.g. CAVE's number."
    )
    software: Line | None = None


class Description(Strict):
    """Who made the dataset, who paid, what it belongs to, who may read it."""

    version: Annotated[Line, Field(min_length=1, max_length=40)] | None = Field(
        default=None, description="The lab's own version of the dataset, e.g. 1.2."
    )
    creators: list[Creator] = Field(default=[], max_length=metadata.ITEMS)
    funding: list[Funding] = Field(default=[], max_length=metadata.ITEMS)
    related: list[Related] = Field(default=[], max_length=metadata.ITEMS)
    access: Access = Access()
    segmentation: Segmentation | None = None
    citation: Annotated[Text, AfterValidator(metadata.printable_lines)] | None = Field(
        default=None, max_length=2_000, description="How the dataset is to be cited."
    )
    animal_term: Annotated[Line, AfterValidator(_taxon)] | None = Field(
        default=None, description="NCBITaxon; found from the animal when left out."
    )
    region_terms: dict[Name, Annotated[Line, AfterValidator(_region)]] = Field(
        default={},
        description="Brain region -> UBERON or FBbt term; found where the word names one only.",
    )
