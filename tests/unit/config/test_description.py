"""The `description` of a dataset: what is taken, what is refused and in which words, and where it
shows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from syndb_pipeline.base.errors import ApprovalError
from syndb_pipeline.config.description import Access, Creator, Description
from syndb_pipeline.contract.metadata import TERMS_DIGEST
from syndb_pipeline.contract.ontologies import (
    PATTERNS,
    animal_term,
    identifier,
    region_term,
    term,
)
from syndb_pipeline.contract.vocabularies import ANIMALS, BRAIN_STRUCTURES, VOCABULARIES
from syndb_pipeline.publishing.plan import plan
from syndb_pipeline.publishing.plan_text import describe
from tests.publish_lab import DATASET, Lab, lab, prepared

ADA = {"given_name": "Ada", "family_name": "Byron"}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"creators": [ADA | {"orcid": "0000-0002-1825-0098"}]}, "is mistyped"),
        ({"creators": [ADA | {"orcid": "ada"}]}, "not an ORCID iD"),
        ({"creators": [ADA | {"ror": "https://example.org"}]}, "not a ROR id"),
        ({"creators": [{"family_name": "Byron"}]}, "given_name"),
        ({"related": [{"relation": "likes", "doi": "10.1000/1"}]}, "none of DataCite's relations"),
        ({"related": [{"relation": "Cites"}]}, "either `doi` or `url`"),
        ({"related": [{"relation": "Cites", "url": "example.org"}]}, "with https:// in front"),
        ({"access": {"policy": "secret"}}, "'open', 'registered' or 'restricted'"),
        ({"segmentation": {"voxel_size": [4, 4, 0]}}, "greater than 0"),
        ({"animal_term": "10090"}, "write it like NCBITaxon:10090"),
        ({"region_terms": {"hippocampus": "UBERON:1"}}, "write it like UBERON:0001885 or FBbt"),
    ],
)
def test_what_is_mistyped_is_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Description.model_validate(given)


def test_public_identifiers_are_kept_in_one_form() -> None:
    creator = Creator.model_validate(
        ADA | {"orcid": "https://orcid.org/0000-0002-1825-0097", "ror": "ror.org/03yrm5c26"}
    )
    assert (creator.orcid, creator.ror) == ("0000-0002-1825-0097", "https://ror.org/03yrm5c26")
    assert Creator.model_validate(ADA | {"orcid": "0000-0002-1694-233x"}).orcid.endswith("X")  # type: ignore[union-attr]
    assert creator.name == "Byron, Ada"


def test_terms_are_of_words_that_syndb_has_and_fit_the_animal() -> None:
    assert all(animal_term(animal) for animal in ANIMALS)
    found = [region_term(word, "MUS_MUSCULUS") for word in BRAIN_STRUCTURES]
    assert sum(each is not None for each in found) > 100
    assert {each.id.partition(":")[0] for each in found if each} == {"UBERON"}
    assert region_term("mushroom body", "DROSOPHILA_MELANOGASTER").id == "FBbt:00005801"  # type: ignore[union-attr]
    assert region_term("mushroom body", "MUS_MUSCULUS") is None
    assert region_term("pons", "CAENORHABDITIS_ELEGANS") is None
    assert region_term("hippocampus", "MUS_MUSCULUS") is None  # could be three terms
    words = VOCABULARIES["neurotransmitter"]
    terms = [found for word in words if (found := term("neurotransmitter", word))]
    assert len(terms) > 40
    assert all(identifier(each.id, *PATTERNS) for each in terms)
    assert terms[0].uri.startswith("http://purl.obolibrary.org/obo/CHEBI_")


@pytest.mark.parametrize(
    ("access", "days", "closed"),
    [
        ({}, 0, False),
        ({"policy": "restricted"}, 0, True),
        ({"policy": "registered"}, 0, True),
        ({"embargo_until": "2026-02-01"}, -1, True),
        ({"embargo_until": "2026-02-01"}, 0, False),
    ],
)
def test_who_may_read_it_on_a_day(access: dict[str, Any], days: int, closed: bool) -> None:
    day = date(2026, 2, 1) + timedelta(days=days)
    assert bool(Access.model_validate(access).closed(day)) == closed


def test_a_closed_dataset_is_not_sent_where_everyone_could_read_it(lab: Lab) -> None:
    before = plan(lab.context)
    later = datetime.now(UTC).date() + timedelta(days=2)
    creator = "creators: [{given_name: Ada, family_name: Byron}]"
    access = f"access: {{embargo_until: {later}}}"
    lab.edit("guide.yaml", "terms:", f"description: {{{creator}, {access}}}\nterms:").prepare()
    current = plan(lab.context)
    assert (current.digest != before.digest, current.tar) == (True, before.tar)
    shown = describe(current)
    assert "Creators     Byron, Ada" in shown
    assert f"not for everyone yet: description.access.embargo_until is {later}" in shown
    with pytest.raises(ApprovalError, match="can be read by everyone"):
        lab.publish(approve=current.digest)
    assert lab.node.info(DATASET) is None
    lab.edit("guide.yaml", f", {access}", "").prepare()
    receipt = lab.send()
    assert receipt.description.creators[0].name == "Byron, Ada"
    assert receipt.statements == TERMS_DIGEST


__all__ = ["lab", "prepared"]  # fixtures
