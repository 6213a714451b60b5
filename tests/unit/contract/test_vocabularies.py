"""Words: what people call things, and SynDB's own names.

Belongs here: tables of this project that lead to SynDB's words. Does not: SynDB's lists themselves.
"""

from __future__ import annotations

from syndb_pipeline.contract.vocabularies import ANIMALS, COMMON_ANIMALS


def test_common_names_lead_to_animals_that_syndb_knows_and_every_animal_has_one() -> None:
    assert set(COMMON_ANIMALS.values()) == set(ANIMALS)
    assert all(name == name.casefold() for name in COMMON_ANIMALS)
