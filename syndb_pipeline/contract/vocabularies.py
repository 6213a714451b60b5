"""SynDB's enumerated words, read from SynDB's own packages (`neurometa`, `syndb-constants`).

Belongs here: lists of allowed words and the nearest one to a misspelt word. Does not: which column
uses which list.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from neurometa.constant import (
    NEUROTRANSMITTER_ALIAS_MAP,
    BrainStructure,
    GeneExpression,
    ModelAnimal,
    NeuroanatomicalDirection,
    NeuronPolarity,
    NeuronType,
    Neurotransmitter,
)
from syndb_constants.data_license import DataLicense


def _words(enum: Iterable[object]) -> tuple[str, ...]:
    return tuple(str(member.value) for member in enum)  # type: ignore[attr-defined]


VOCABULARIES: Final[dict[str, tuple[str, ...]]] = {
    "polarity": _words(NeuronPolarity),
    "neuron_type": _words(NeuronType),
    "neurotransmitter": _words(Neurotransmitter),
}
"""Vocabulary name -> lower-case words. Source: neurometa 1.3.4, `neurometa.constant`."""

ALIASES: Final[dict[str, dict[str, str]]] = {
    "neurotransmitter": {
        alias: member.value for alias, member in NEUROTRANSMITTER_ALIAS_MAP.items()
    },
}
"""Vocabulary name -> other spelling -> the word. Source: neurometa `NEUROTRANSMITTER_ALIAS_MAP`."""

OTHER_MEANINGS: Final[dict[str, dict[str, str]]] = {
    "neurotransmitter": {"ser": "serotonin in the tables of FlyWire and CAVE"},
}
"""Vocabulary name -> word that SynDB reads as another than many labs do -> what they mean by it."""


def means(vocabulary: str, word: str) -> str | None:
    """The word of `vocabulary` that SynDB reads `word` as; None when it knows no such word or
    spelling.
    """
    folded = word.strip().casefold()
    return folded if folded in VOCABULARIES[vocabulary] else ALIASES.get(vocabulary, {}).get(folded)


ANIMALS: Final[dict[str, int]] = {member.name: member.value for member in ModelAnimal}
COMMON_ANIMALS: Final[dict[str, str]] = {
    "mouse": "MUS_MUSCULUS",
    "mice": "MUS_MUSCULUS",
    "house mouse": "MUS_MUSCULUS",
    "rat": "RATTUS_NORVEGICUS",
    "rats": "RATTUS_NORVEGICUS",
    "brown rat": "RATTUS_NORVEGICUS",
    "gerbil": "MERIONES_UNGUICULATUS",
    "mongolian gerbil": "MERIONES_UNGUICULATUS",
    "guinea pig": "CAVIA_PORCELLUS",
    "hamster": "MESOCRICETUS_AURATUS",
    "golden hamster": "MESOCRICETUS_AURATUS",
    "macaque": "MACACA_MULATTA",
    "rhesus": "MACACA_MULATTA",
    "rhesus macaque": "MACACA_MULATTA",
    "rhesus monkey": "MACACA_MULATTA",
    "monkey": "MACACA_MULATTA",
    "marmoset": "CALLITHRIX_JACCHUS",
    "common marmoset": "CALLITHRIX_JACCHUS",
    "cat": "FELIS_CATUS",
    "dog": "CANIS_LUPUS_FAMILIARIS",
    "ferret": "MUSTELA_PUTORIUS_FURO",
    "pig": "SUS_SCROFA",
    "zebrafish": "DANIO_RERIO",
    "zebra fish": "DANIO_RERIO",
    "medaka": "ORYZIAS_LATIPES",
    "frog": "XENOPUS_LAEVIS",
    "clawed frog": "XENOPUS_LAEVIS",
    "xenopus": "XENOPUS_LAEVIS",
    "axolotl": "AMBYSTOMA_MEXICANUM",
    "chicken": "GALLUS_GALLUS_DOMESTICUS",
    "zebra finch": "TAENIOPYGIA_GUTTATA",
    "zebrafinch": "TAENIOPYGIA_GUTTATA",
    "fly": "DROSOPHILA_MELANOGASTER",
    "fruit fly": "DROSOPHILA_MELANOGASTER",
    "fruitfly": "DROSOPHILA_MELANOGASTER",
    "drosophila": "DROSOPHILA_MELANOGASTER",
    "vinegar fly": "DROSOPHILA_MELANOGASTER",
    "d. melanogaster": "DROSOPHILA_MELANOGASTER",
    "worm": "CAENORHABDITIS_ELEGANS",
    "nematode": "CAENORHABDITIS_ELEGANS",
    "c. elegans": "CAENORHABDITIS_ELEGANS",
    "celegans": "CAENORHABDITIS_ELEGANS",
    "sea hare": "APLYSIA_CALIFORNICA",
    "aplysia": "APLYSIA_CALIFORNICA",
    "crayfish": "PROCAMBARUS_CLARKII",
}
"""What people call an animal, in lower case -> SynDB's name of it. For hints only; the names are
neurometa's, the words this project's.
"""

FLY_STRUCTURES: Final[dict[str, str]] = {
    "antennal lobe": "AL",
    "anterior optic tubercle": "AOTU",
    "central lobe": "CL",
    "crest": "CRE",
    "dorsal lobe": "DL",
    "dorsomedial protocerebrum": "DM",
    "ellipsoid body": "EB",
    "fila": "FLA",
    "lateral body": "LB",
    "lateral horn": "LH",
    "lateral accessory lobe": "LAL",
    "mushroom body": "MB",
    "medial dome": "MD",
    "maxillary lobe": "MX",
    "protocerebral bridge": "PB",
    "posterior superior": "PS",
    "superior intermediate protocerebrum": "SIP",
    "superior medial protocerebrum": "SMP",
    "superior lateral protocerebrum": "SLP",
    "tract": "TR",
    "ventrolateral protocerebrum": "VLP",
    "ventroposterior neuropil": "VPN",
    "vesicle": "VES",
    "wedge": "WED",
}
"""Regions of a fly's brain -> their abbreviations. Source: neurometa 2.0.0
`DrosophilaBrainStructure`, which Python 3.11 cannot install.
"""

BRAIN_STRUCTURES: Final[tuple[str, ...]] = (*_words(BrainStructure), *FLY_STRUCTURES)
"""The regions that neurometa names: mammals' (1.3.4) and flies'. SynDB takes any other text too
(syndb-api-client 0.7.2).
"""

DIRECTIONS: Final[tuple[str, ...]] = _words(NeuroanatomicalDirection)
GENE_EXPRESSIONS: Final[tuple[str, ...]] = _words(GeneExpression)

LICENSES: Final[dict[str, int]] = {member.name: member.value for member in DataLicense}
SPDX_LICENSES: Final[dict[str, str]] = {
    "CC0-1.0": "CC0",
    "CC-BY-4.0": "CC_BY",
    "CC-BY-SA-4.0": "CC_BY_SA",
    "CC-BY-NC-4.0": "CC_BY_NC",
    "CC-BY-NC-SA-4.0": "CC_BY_NC_SA",
    "PDDL-1.0": "PDDL",
    "ODC-By-1.0": "ODC_BY",
    "ODbL-1.0": "ODC_ODbL",
}
"""SPDX identifier -> SynDB's licence name (spdx.org/licenses)."""


CONFIG_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "animal": (*ANIMALS,),
    "brain_regions: structure": BRAIN_STRUCTURES,
    "brain_regions: direction": DIRECTIONS,
    "mutations: expression": GENE_EXPRESSIONS,
    "license": (*LICENSES, *SPDX_LICENSES),
}
"""Key below `dataset:` of a YAML -> its words."""


def nearest_structures(structure: str) -> list[str]:
    """Up to three of `BRAIN_STRUCTURES` that may be meant by another word: the one it abbreviates,
    else the most alike.
    """
    meant = [word for word, short in FLY_STRUCTURES.items() if short == structure.strip().upper()]
    return meant or nearest(structure, BRAIN_STRUCTURES, 3)


def nearest(word: str, known: Iterable[str], count: int = 1, cutoff: float = 0.6) -> list[str]:
    """Up to `count` of `known` most like `word`, best first; compared without case. Empty when none
    is near.
    """
    by_folded: dict[str, str] = {}
    for candidate in known:
        by_folded.setdefault(candidate.casefold(), candidate)
    return [
        by_folded[hit]
        for hit in get_close_matches(word.casefold(), by_folded, n=count, cutoff=cutoff)
    ]


def suggest(vocabulary: str, word: str) -> str | None:
    """The word of `vocabulary` that `word` probably means: by alias, by prefix, else by spelling;
    None when nothing is near.
    """
    folded = word.strip().casefold()
    alias = ALIASES.get(vocabulary, {}).get(folded)
    if alias:
        return alias
    hits = nearest(folded, VOCABULARIES[vocabulary])
    return hits[0] if hits else None
