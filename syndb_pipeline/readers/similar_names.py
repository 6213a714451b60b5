"""Names of columns that may mean the same.

Belongs here: how alike two names are. Does not: what a name means in a table (`headers.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from syndb_pipeline.contract.vocabularies import nearest

_MISSPELT: Final = 0.8
"""How alike two names must be, by difflib's ratio, to be one name with a slip of the pen:
`presynapse_id` and `pre_synapse_id`.
"""

_UNITS: Final = frozenset(
    {"nm", "um", "µm", "μm", "mm", "cm", "pm", "nm2", "nm3", "um2", "um3", "µm2", "µm3"}
    | {"px", "pixel", "pixels", "voxels", "vx", "micron", "microns"}
)
"""Words of a column's name that say in what it was measured, not what."""

_MEANINGS: Final = {"cell": "neuron"}
"""Words of labs that mean one of SynDB's."""


def spelling(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.casefold())


def _words(name: str) -> frozenset[str]:
    """The words of a name, those of units apart: `Major_Length_um` has major and length,
    `neuronType (nm)` neuron and type.
    """
    words = re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).casefold())
    return frozenset(_MEANINGS.get(word, word) for word in words if word not in _UNITS)


def near_names(name: str, known: Mapping[str, Sequence[str]]) -> list[str]:
    """Up to three of `known`, names with their other spellings, that `name` may mean, the likeliest
    first.

    A name is near when it is spelt nearly alike, or when all words of one are in the other: `x` or
    `soma centroid x` and `centroid_x`, but not `Major_Length_um` and `parent_enum`, which merely
    have letters in common.
    """
    own, words = spelling(name), _words(name)
    spellings: dict[str, str] = {}
    for candidate in known:
        spellings.setdefault(spelling(candidate), candidate)
    alike = [spellings[hit] for hit in nearest(own, spellings, 3, _MISSPELT)]
    within = []
    for candidate, others in known.items():
        sets = filter(None, map(_words, (candidate, *others)))
        if words and any(some <= words or words <= some for some in sets):
            within.append(candidate)
    within.sort(
        key=lambda candidate: (
            not spelling(candidate).endswith(f"_{own}"),
            len(_words(candidate) ^ words),
        )
    )
    return list(dict.fromkeys([*alike, *within]))[:3]
