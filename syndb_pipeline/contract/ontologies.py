"""Terms of public ontologies for SynDB's words, looked up offline.

Belongs here: the table of terms, and what an identifier of one looks like. Does not: SynDB's words
themselves (`vocabularies.py`).
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

PATTERNS: Final = {
    "NCBITaxon": r"NCBITaxon:[1-9][0-9]{0,8}",
    "UBERON": r"UBERON:[0-9]{7}",
    "FBbt": r"FBbt:[0-9]{8}",
    "CHEBI": r"CHEBI:[1-9][0-9]{0,7}",
}
"""Ontology -> what its identifiers look like, as compact URIs (OBO Foundry)."""

_INVERTEBRATES: Final = frozenset(
    {
        "DROSOPHILA_MELANOGASTER",
        "CAENORHABDITIS_ELEGANS",
        "APLYSIA_CALIFORNICA",
        "PROCAMBARUS_CLARKII",
    }
)


class Term(NamedTuple):
    """A term: its compact URI, e.g. `NCBITaxon:10090`, and the ontology's label of it."""

    id: str
    label: str

    @property
    def uri(self) -> str:
        """The term's address, which also identifies it."""
        return uri(self.id)


def uri(identifier: str) -> str:
    """The permanent address of a compact URI (OBO Foundry's identifier policy)."""
    return f"http://purl.obolibrary.org/obo/{identifier.replace(':', '_')}"


def animal_term(animal: str) -> Term | None:
    """The NCBITaxon term of SynDB's name of an animal, e.g. MUS_MUSCULUS."""
    return term("animal", animal)


def region_term(structure: str, animal: str) -> Term | None:
    """The term of a brain region: UBERON's in a vertebrate, FBbt's in a fruit fly, else None; None
    also where the word could mean several.
    """
    found = _known("region", structure.casefold())
    if found is None:
        return None
    of_fly = found.id.startswith("FBbt")
    fits = animal == "DROSOPHILA_MELANOGASTER" if of_fly else animal not in _INVERTEBRATES
    return found if fits else None


def term(vocabulary: str, word: str) -> Term | None:
    """The term of a word of one of SynDB's vocabularies, `neurotransmitter` (ChEBI), `animal` or
    `brain_regions: structure` (as `region_term`, whatever the animal); None of others.
    """
    kind = "region" if vocabulary.endswith("structure") else vocabulary
    return _known(kind, word if kind == "animal" else word.casefold())


def identifier(text: str, *ontologies: str) -> str:
    """`text` as it is. Raises `ValueError` unless it is an identifier of one of `ontologies`."""
    if not any(re.fullmatch(PATTERNS[each], text) for each in ontologies):
        shapes = {"NCBITaxon": "NCBITaxon:10090", "UBERON": "UBERON:0001885"} | {
            "FBbt": "FBbt:00005801",
            "CHEBI": "CHEBI:28790",
        }
        like = " or ".join(shapes[each] for each in ontologies)
        raise ValueError(f"{text!r} is no term of {' or '.join(ontologies)}; write it like {like}")
    return text


def _known(kind: str, word: str) -> Term | None:
    found = _terms().get(kind, {}).get(word)
    return Term(*found) if found else None


@cache
def _terms() -> dict[str, dict[str, list[str]]]:
    text = Path(__file__).with_name("ontologies.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
