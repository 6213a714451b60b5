"""What SynDB takes as the words of a dataset's metadata: how long, how many, and of which
characters.

Belongs here: limits and the check of characters. Does not: enumerated words (`vocabularies.py`), or
reading configs (`settings.py`).

Lengths of label, notes, microscopy and gene: syndb-api-client 0.7.2 `NewDatasetSchema`. No source
limits names, DOIs and lists; theirs are ours, wide enough for any honest use, and kept by the
sandbox too.
"""

from __future__ import annotations

import unicodedata
from typing import Final

LABEL_LENGTH: Final = 120
NOTES_LENGTH: Final = 280
MICROSCOPY_LENGTH: Final = 200
GENE_LENGTH: Final = 100
NAME_LENGTH: Final = 120
"""Of a group or collection."""

DOI_LENGTH: Final = 255
ITEMS: Final = 1_000
"""Of any list: brain regions, mutations, publications, groups, collections."""


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
