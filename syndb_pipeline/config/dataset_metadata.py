"""A dataset's metadata as a lab writes them in its config: the key `dataset`.

Belongs here: what SynDB stores about a dataset, and the words it knows. Does not: what other
archives ask beside it (`description.py`), nor the rest of the config (`settings.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field

from syndb_pipeline.config.yaml_file import Strict, Text
from syndb_pipeline.contract import metadata
from syndb_pipeline.contract.vocabularies import (
    ANIMALS,
    BRAIN_STRUCTURES,
    COMMON_ANIMALS,
    DIRECTIONS,
    GENE_EXPRESSIONS,
    LICENSES,
    SPDX_LICENSES,
    nearest,
)

Line = Annotated[Text, AfterValidator(metadata.printable)]
Name = Annotated[Line, Field(min_length=1, max_length=metadata.NAME_LENGTH)]
"""A group's or a collection's."""

_FEW_WORDS = 12
"""As many words as an error lists whole."""


def _one_of(
    known: Mapping[str, Any] | tuple[str, ...], what: str, common: Mapping[str, str] | None = None
) -> AfterValidator:
    """A word of the vocabulary `known`, in any case; `common` are usual names of some of them."""
    folded = {word.casefold(): word for word in known}

    def check(value: str) -> str:
        if value.casefold() in folded:
            return folded[value.casefold()]
        meant = (common or {}).get(" ".join(value.replace("_", " ").split()).casefold())
        near = [meant] if meant else nearest(value, known, 3)
        few = len(known) <= _FEW_WORDS
        some = f"allowed: {', '.join(list(known)[:_FEW_WORDS])}{'' if few else ' ...'}"
        hint = f"did you mean {', '.join(near)}?" if near else some
        every = "" if few else f" All {len(known)}: syndb-pipeline schema tables"
        raise ValueError(f"{value!r} is not {what}; {hint}{every}")

    return AfterValidator(check)


def _words(known: Iterable[str]) -> Any:
    """The words of a setting in its JSON Schema, for editors to offer."""
    return Field(json_schema_extra={"type": "string", "enum": list(known)})


def _license(value: str) -> str:
    words = {**SPDX_LICENSES, **{name: name for name in LICENSES}}
    known = {word.casefold().replace("-", "_"): name for word, name in words.items()}
    if name := known.get(value.casefold().replace("-", "_")):
        return name
    raise ValueError(
        f"{value!r} is not a licence SynDB knows; allowed: {', '.join(LICENSES)}, or SPDX"
        f" {', '.join(SPDX_LICENSES)}"
    )


def _doi(value: str) -> str:
    bare = re.sub(r"^(https?://(dx\.)?doi\.org/|doi:)", "", value.strip(), flags=re.IGNORECASE)
    if not re.fullmatch(r"10\.[0-9]{4,9}/\S+", bare):
        raise ValueError(f"{value!r} is not a DOI; write it like 10.1126/science.add9330")
    return bare


def _structure(value: str) -> str:
    """A region as neurometa writes it; any other text is kept as it is (SYN-VOC-005 reports it)."""
    folded = {word.casefold(): word for word in BRAIN_STRUCTURES}
    return folded.get(value.casefold(), value)


Doi = Annotated[Line, AfterValidator(_doi), Field(max_length=metadata.DOI_LENGTH)]


class BrainRegion(Strict):
    structure: Annotated[
        Name,
        AfterValidator(_structure),
        # Any text will do; the words that are known are what an editor offers.
        Field(json_schema_extra={"anyOf": [{"enum": [*BRAIN_STRUCTURES]}, {"type": "string"}]}),
    ]
    direction: Annotated[
        Text, _one_of(DIRECTIONS, "a direction SynDB knows"), _words(DIRECTIONS)
    ] = "null"


class Mutation(Strict):
    gene: Annotated[Line, Field(min_length=1, max_length=metadata.GENE_LENGTH)]
    expression: Annotated[
        str,
        _one_of(GENE_EXPRESSIONS, "a kind of gene expression SynDB knows"),
        _words(GENE_EXPRESSIONS),
    ]


class DatasetMetadata(Strict):
    """What SynDB stores about a dataset (syndb-api-client 0.7.2 `NewDatasetSchema`)."""

    id: UUID = Field(
        description=(
            "UUID of the dataset; `syndb-pipeline init` writes a new UUIDv7. The id of an existing"
            " dataset selects it."
        )
    )
    label: Annotated[Line, Field(min_length=1, max_length=metadata.LABEL_LENGTH)]
    notes: Annotated[
        Text, Field(max_length=metadata.NOTES_LENGTH), AfterValidator(metadata.printable_lines)
    ] = ""
    license: Annotated[str, AfterValidator(_license), _words([*LICENSES, *SPDX_LICENSES])] = (
        "ODC_BY"
    )
    animal: Annotated[
        str, _one_of(ANIMALS, "an animal SynDB knows", COMMON_ANIMALS), _words(ANIMALS)
    ]
    microscopy: Annotated[Line, Field(min_length=1, max_length=metadata.MICROSCOPY_LENGTH)]
    brain_regions: list[BrainRegion] = Field(min_length=1, max_length=metadata.ITEMS)
    mutations: list[Mutation] = Field(default=[], max_length=metadata.ITEMS)
    publications: list[Doi] = Field(default=[], max_length=metadata.ITEMS)
    groups: list[Name] = Field(
        default=[],
        max_length=metadata.ITEMS,
        description="Groups whose members may change the dataset.",
    )
    collections: list[Name] = Field(
        default=[], max_length=metadata.ITEMS, description="Collections the dataset belongs to."
    )
