"""What is known of a dataset and its files: the one source of all manifests.

Belongs here: the model, its words for people, media types. Does not: any format.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path, PurePath
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from syndb_pipeline.base.engine import types_of
from syndb_pipeline.config.description import Description, Related
from syndb_pipeline.contract.metadata import Metadata
from syndb_pipeline.contract.ontologies import Term, animal_term, region_term
from syndb_pipeline.contract.tables import TABLES, Column, Kind
from syndb_pipeline.contract.vocabularies import SPDX_LICENSES
from syndb_pipeline.state.results import RowsSetAside
from syndb_pipeline.state.store import RECORDS

MEDIA_TYPES: Final = {
    ".parquet": "application/vnd.apache.parquet",
    ".csv": "text/csv",
    ".glb": "model/gltf-binary",
    ".swc": "text/plain",
}

_MADE_OF_TIME: Final = 7
"""The version of a UUID that begins with the time it was made, in ms (RFC 9562, 5.7)."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Described(_Frozen):
    """A dataset: what a person wrote about it, and what it was made from.

    `inputs` are digests by what was read, `chain` digests of the records of the stages by stage,
    `quarantined` the rows that were read and are not in the tables. `more` is the config's
    `description`.
    """

    metadata: Metadata
    terms: dict[str, Any] | None = None
    chain: dict[str, str] = {}
    inputs: dict[str, str] = {}
    versions: dict[str, str] = {}
    quarantined: dict[str, RowsSetAside] = {}
    more: Description = Description()

    @property
    def urn(self) -> str:
        return self.metadata.id.urn

    @property
    def text(self) -> str:
        """What the dataset is, in a sentence or two."""
        described = self.metadata
        regions = ", ".join(region.brain_structure for region in described.brain_regions)
        by = f"Neuronal structures of {self.animal} ({regions}), by {described.microscopy}."
        return f"{described.notes.strip()}\n{by}".strip()

    @property
    def animal(self) -> str:
        """The animal's scientific name."""
        return self.metadata.animal_name.replace("_", " ").capitalize()

    @property
    def keywords(self) -> list[str]:
        described = self.metadata
        regions = [region.brain_structure for region in described.brain_regions]
        words = ["neuroscience", "connectomics", self.animal, described.microscopy, *regions]
        return [*dict.fromkeys(words)]

    @property
    def spdx(self) -> str:
        """The licence's identifier at spdx.org."""
        return next(spdx for spdx, own in SPDX_LICENSES.items() if own == self.metadata.license)

    @property
    def license_url(self) -> str:
        return f"https://spdx.org/licenses/{self.spdx}"

    @property
    def day(self) -> date | None:
        """The day on which a person accepted the terms, else that of the dataset's id; None where
        it has none. Never today: the same dataset has the same manifests on any day.
        """
        if self.terms:
            return date.fromisoformat(self.terms["accepted_on"])
        identity = self.metadata.id
        if identity.version != _MADE_OF_TIME:
            return None
        return datetime.fromtimestamp((identity.int >> 80) / 1000, UTC).date()

    @property
    def stages(self) -> list[str]:
        """The stages of the chain, in their order."""
        return [stage for stage in RECORDS if stage in self.chain]

    @property
    def related(self) -> list[Related]:
        """The publications among them, which the dataset is a supplement to."""
        named = {each.doi for each in self.more.related}
        dois = [doi for doi in self.metadata.publication_dois if doi not in named]
        own = [Related(relation="IsSupplementTo", doi=doi) for doi in dois]
        return [*own, *self.more.related]

    @property
    def topics(self) -> list[Term]:
        """The animal and the brain regions, as far as terms of them are known."""
        animal = self.metadata.animal_name
        own = {self.animal: self.more.animal_term, **self.more.region_terms}
        known = {self.animal: animal_term(animal)}
        for region in self.metadata.brain_regions:
            known[region.brain_structure] = region_term(region.brain_structure, animal)
        terms = {name: own.get(name) or (term and term.id) for name, term in known.items()}
        return [Term(term, name) for name, term in terms.items() if term]

    @property
    def lab_files(self) -> dict[str, str]:
        """The bare name of each file that was read, by its digest: where it was does not leave the
        machine.
        """
        of_lab = ("file:", "corrections:")
        return {
            sha256: PurePath(name.partition(":")[2]).name
            for name, sha256 in self.inputs.items()
            if name.startswith(of_lab)
        }

    @property
    def quarantine_text(self) -> str:
        """The rows that are not in the tables, in words."""
        aside = [f"{name} {rows}" for name, rows in self.quarantined.items()]
        return f"Rows quarantined: {'; '.join(aside) or 'none'}."


@dataclass(frozen=True)
class TableFile:
    """The file of a table: its name in the folder, its bytes, its rows and columns."""

    table: str
    name: str
    bytes: int
    sha256: str
    rows: int
    column_names: tuple[str, ...]

    @classmethod
    def of(cls, table: str, path: Path, name: str, sha256: str, rows: int) -> TableFile:
        """That of a Parquet file. Raises `OSError`."""
        return cls(table, name, path.stat().st_size, sha256, rows, tuple(types_of(path)))

    @property
    def columns(self) -> list[Column]:
        """What the contract has to say of them."""
        return [TABLES[self.table].columns[name] for name in self.column_names]

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row."""
        return TABLES[self.table].pair or ("cid",)

    @property
    def is_parquet(self) -> bool:
        return self.name.endswith(".parquet")

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES[PurePath(self.name).suffix]

    @property
    def text(self) -> str:
        """What it holds, in a sentence."""
        return f"{self.rows:,} rows of SynDB's table {self.table}."


@dataclass(frozen=True)
class FileFolder:
    """A folder of files that are each named after a row's UUID."""

    name: str
    text: str
    suffix: str
    count: int
    bytes: int

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES[self.suffix]


def meaning(column: Column) -> str:
    """What a column holds, once the lab's keys are UUIDs."""
    text = column.description.replace("`cid`", "UUID")
    if column.kind is Kind.KEY:
        text = "UUID of the row."
    return f"{text} Unit: {column.unit}." if column.unit else text
