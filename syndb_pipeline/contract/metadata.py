"""A dataset's metadata and the files beside its rows, as SynDB takes them.

Belongs here: SynDB's `NewDatasetSchema` (syndb-api-client 0.7.2), kinds of files, how long texts
and lists may be and of which characters. Does not: enumerated words (`vocabularies.py`), what a lab
writes in its config (`config/`), or what a destination answers.

Lengths of label, notes, microscopy and gene are that schema's. No source limits names, DOIs and
lists; theirs are ours, wide enough for any honest use, and kept by the sandbox too.
"""

from __future__ import annotations

import unicodedata
from typing import Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from syndb_pipeline.base.digests import digest_of

FileKind = Literal["mesh", "swb"]
"""A file beside a row: its mesh (.glb) or its skeleton (.swc), under the names SynDB's upload route
has for them (C17 `S3DataType`)."""

SUFFIX: dict[FileKind, str] = {"mesh": ".glb", "swb": ".swc"}

COLUMN: dict[str, FileKind] = {"mesh_path": "mesh", "swc_path": "swb"}
"""The columns that name such files."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Region(_Frozen):
    brain_structure: str
    direction: str


class Mutation(_Frozen):
    gene: str
    expression: str


class Metadata(_Frozen):
    """A dataset's metadata as the package's manifest holds it.

    `data_license`, `animal` and `syndb_tables` are SynDB's codes; `license` and `animal_name` the
    same in words, for people.
    """

    id: UUID
    label: str
    notes: str
    data_license: int
    license: str
    animal: int
    animal_name: str
    microscopy: str
    brain_regions: tuple[Region, ...]
    mutations: tuple[Mutation, ...] = ()
    publication_dois: tuple[str, ...] = ()
    authorized_group_names: tuple[str, ...] = ()
    dataset_collection_names: tuple[str, ...] = ()
    syndb_tables: tuple[int, ...]


# -- limits

LABEL_LENGTH: Final = 120
NOTES_LENGTH: Final = 280
MICROSCOPY_LENGTH: Final = 200
GENE_LENGTH: Final = 100
NAME_LENGTH: Final = 120
"""Of a group or collection."""

DOI_LENGTH: Final = 255
ITEMS: Final = 1_000
"""Of any list: brain regions, mutations, publications, groups, collections."""


# -- terms

TERMS: Final = {
    "accurate": "the data are not false or misleading",
    "redistributable": "you may redistribute them",
    "license_agreed": "you agree to the licence",
}
"""What a data owner accepts, by the key of `terms` in a config that says so."""

TERMS_SOURCE: Final = "SynDB's upload guide, as retrieved on 2026-11-30"
"""Of the three; the full text of the terms is not public."""

TERMS_DIGEST: Final = digest_of([TERMS, TERMS_SOURCE])
"""Which statements were accepted: part of receipts."""


def printable(text: str) -> str:
    """`text` as it is. Raises `ValueError` when it holds a control character, such as a line end, a
    tab or NUL.
    """
    for place, character in enumerate(text, 1):
        if unicodedata.category(character) == "Cc":
            raise ValueError(
                f"{_shown(text)} has a control character, {character!r}, in place {place};"
                " remove it"
            )
    return text


def printable_lines(text: str) -> str:
    """`printable` for a text that may have several lines, and tabs."""
    printable(text.translate(_BETWEEN_WORDS))
    return text


_BETWEEN_WORDS: Final = str.maketrans("\n\r\t", "   ")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
