"""`schema-org.jsonld`: what search engines for datasets read.

Belongs here: schema.org's Dataset, which other formats add to. Does not: those formats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from syndb_pipeline.config.description import Creator
from syndb_pipeline.manifests.described import (
    Described,
    TableFile,
    address_of,
    meaning,
    without_nothing,
)


def of(described: Described, tables: Sequence[TableFile]) -> dict[str, Any]:
    """The dataset with its files and what was measured."""
    measured = {column.name: column for table in tables for column in table.columns if column.unit}
    return {
        "@context": {"@vocab": "https://schema.org/"},
        "@id": described.urn,
        **dataset(described),
        "distribution": [file(table) for table in tables],
        "variableMeasured": [
            {
                "@type": "PropertyValue",
                "name": column.name,
                "description": meaning(column),
                "unitText": column.unit,
            }
            for column in measured.values()
        ],
    }


def dataset(described: Described) -> dict[str, Any]:
    """A Dataset without its files."""
    content = {
        "@type": "Dataset",
        "name": described.metadata.label,
        "description": described.text,
        "identifier": described.urn,
        "license": described.license_url,
        "datePublished": str(described.day) if described.day else None,
        "keywords": described.keywords,
        "version": described.more.version,
        "creditText": described.more.citation,
        "conditionsOfAccess": described.more.access.policy,
        "about": [
            {"@type": "DefinedTerm", "@id": each.uri, "name": each.label, "termCode": each.id}
            for each in described.topics
        ],
        "creator": [creator(each) for each in described.creators],
        "funding": [
            without_nothing(
                {
                    "@type": "Grant",
                    "name": each.title,
                    "identifier": each.award,
                    "funder": without_nothing(
                        {"@type": "Organization", "@id": each.ror, "name": each.funder}
                    ),
                }
            )
            for each in described.more.funding
        ],
        "citation": [address_of(each) for each in described.related],
        "isBasedOn": described.more.segmentation and described.more.segmentation.source,
    }
    return without_nothing(content)


def creator(each: Creator) -> dict[str, Any]:
    """A person."""
    affiliation = {"@type": "Organization", "@id": each.ror, "name": each.affiliation}
    content = {
        "@type": "Person",
        "@id": f"https://orcid.org/{each.orcid}" if each.orcid else None,
        "name": f"{each.given_name} {each.family_name}",
        "givenName": each.given_name,
        "familyName": each.family_name,
        "email": each.email,
        "affiliation": without_nothing(affiliation) if each.affiliation else None,
    }
    return without_nothing(content)


def file(table: TableFile) -> dict[str, Any]:
    """The file of a table, to be downloaded."""
    return {
        "@type": "DataDownload",
        "name": table.name,
        "description": table.text,
        "contentUrl": table.name,
        "encodingFormat": table.media_type,
        "contentSize": f"{table.bytes} B",
        "sha256": table.sha256,
    }
