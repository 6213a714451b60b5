"""`datacite.json` and `CITATION.cff`: how the dataset is registered and cited.

Belongs here: DataCite's JSON (schema 4.5) and the Citation File Format 1.2.0. Does not: asking for
a DOI.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Final

from syndb_pipeline.config.description import Creator
from syndb_pipeline.manifests.described import (
    Described,
    TableFile,
    without_nothing,
)

_UNAVAILABLE, _TO_BE_ANNOUNCED = ":unav", ":tba"
"""DataCite's words for a value that is not known, and for one that is not decided yet."""

_NO_AUTHOR: Final = "Authors not given"


def datacite(described: Described, tables: Sequence[TableFile]) -> dict[str, Any]:
    """What DataCite asks for to register a DOI. Who publishes the dataset is for them to say."""
    day, open_from = described.day, described.more.access.embargo_until
    topics = {each.label: each for each in described.topics}
    content = {
        "schemaVersion": "http://datacite.org/schema/kernel-4",
        "types": {"resourceTypeGeneral": "Dataset", "resourceType": "Reconstructed neurons"},
        "titles": [{"title": described.metadata.label}],
        "creators": [*map(_creator, described.creators)] or [{"name": _UNAVAILABLE}],
        "publisher": {"name": _TO_BE_ANNOUNCED},
        "publicationYear": str(day.year) if day else _UNAVAILABLE,
        "alternateIdentifiers": [
            {"alternateIdentifier": described.urn, "alternateIdentifierType": "UUID"}
        ],
        "descriptions": [{"description": described.text, "descriptionType": "Abstract"}],
        "version": described.more.version,
        "subjects": [
            *({"subject": word} for word in described.keywords if word not in topics),
            *(
                {"subject": name, "subjectScheme": each.id.split(":")[0], "valueUri": each.uri}
                for name, each in topics.items()
            ),
        ],
        "dates": [{"date": str(open_from), "dateType": "Available"}] if open_from else None,
        "rightsList": [
            {
                "rightsUri": described.license_url,
                "rightsIdentifier": described.spdx,
                "rightsIdentifierScheme": "SPDX",
            }
        ],
        "relatedIdentifiers": [
            {
                "relatedIdentifier": each.doi or each.url,
                "relatedIdentifierType": "DOI" if each.doi else "URL",
                "relationType": each.relation,
            }
            for each in described.related
        ],
        "fundingReferences": [
            without_nothing(
                {
                    "funderName": each.funder,
                    "funderIdentifier": each.ror,
                    "funderIdentifierType": "ROR" if each.ror else None,
                    "awardNumber": each.award,
                    "awardTitle": each.title,
                }
            )
            for each in described.more.funding
        ],
        "formats": sorted({table.media_type for table in tables}),
    }
    return without_nothing(content)


def _creator(each: Creator) -> dict[str, Any]:
    affiliation = {
        "name": each.affiliation,
        "affiliationIdentifier": each.ror,
        "affiliationIdentifierScheme": "ROR" if each.ror else None,
    }
    orcid = {"nameIdentifier": each.orcid, "nameIdentifierScheme": "ORCID"}
    content = {
        "name": each.name,
        "nameType": "Personal",
        "givenName": each.given_name,
        "familyName": each.family_name,
        "nameIdentifiers": [orcid] if each.orcid else None,
        "affiliation": [without_nothing(affiliation)] if each.affiliation else None,
    }
    return without_nothing(content)


def cff(described: Described) -> str:
    """CITATION.cff, which GitHub and Zenodo show."""
    from ruamel.yaml import YAML

    content = {
        "cff-version": "1.2.0",
        "message": described.more.citation or "Please cite this dataset as described here.",
        "type": "dataset",
        "title": described.metadata.label,
        "version": described.more.version,
        "authors": [*map(_author, described.creators)] or [{"name": _NO_AUTHOR}],
        "abstract": described.text,
        "license": described.spdx,
        "date-released": described.day,
        "keywords": described.keywords,
        "identifiers": [
            {"type": "other", "value": described.urn, "description": "The dataset's id in SynDB."}
        ],
    }
    text, yaml = io.StringIO(), YAML()
    yaml.allow_unicode, yaml.width = True, 100
    yaml.dump(without_nothing(content), text)
    return text.getvalue()


def _author(each: Creator) -> dict[str, Any]:
    content = {
        "family-names": each.family_name,
        "given-names": each.given_name,
        "orcid": f"https://orcid.org/{each.orcid}" if each.orcid else None,
        "affiliation": each.affiliation,
        "email": each.email,
    }
    return without_nothing(content)
