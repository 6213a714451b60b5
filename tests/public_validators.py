"""The public validators of the manifests, as a program of their own environment: it prints what
each finds, as a line of JSON for each folder it is given.

Belongs here: calling them. Does not: anything of ours, which that environment does not have; what
may be found (`unit/manifests/`).

The context of RO-Crate is on the network, which tests do without. In its place is one with those of
its terms that our crates use, all of schema.org 10.0: a term that is not among them is reported.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TERMS = (
    "CreateAction CreativeWork Dataset DefinedTerm Person SoftwareApplication about affiliation"
    " citation conditionsOfAccess contentSize creator datePublished description email"
    " encodingFormat familyName givenName hasPart identifier instrument isBasedOn keywords license"
    " name object result softwareRequirements softwareVersion termCode version"
)
CONTEXT = {
    **{term: f"http://schema.org/{term}" for term in TERMS.split()},
    "File": "http://schema.org/MediaObject",
    "conformsTo": {"@id": "http://purl.org/dc/terms/conformsTo", "@type": "@id"},
}


def frictionless(folder: Path) -> list[str]:
    """Reads every row of every table too: types, keys, foreign keys, bytes, digests."""
    from frictionless import validate

    report = validate(str(folder / "datapackage.json"))
    return [error.message for error in report.errors] + [
        error.message for task in report.tasks for error in task.errors
    ]


def by_pandas(folder: Path) -> list[str]:
    """Whether pandas reads every table with the columns and as many rows as are announced."""
    import pandas

    package = json.loads((folder / "datapackage.json").read_text(encoding="utf-8"))
    found = []
    for each in package["resources"]:
        read = pandas.read_csv if each["format"] == "csv" else pandas.read_parquet
        table = read(folder / each["path"])
        columns = [field["name"] for field in each["schema"]["fields"]]
        if [*table.columns] != columns or f"{len(table):,} rows" not in each["description"]:
            found.append(f"{each['name']}: {len(table)} rows of {[*table.columns]}")
    return found


def croissant(folder: Path) -> list[str]:
    """Loads the rows of csv tables too; it cannot read the UUIDs of Parquet."""
    import mlcroissant

    try:
        dataset = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    except mlcroissant.ValidationError as error:
        return [str(error)]
    found = [*dataset.metadata.issues.errors]
    for records in dataset.metadata.record_sets if [*folder.glob("*.csv")] else ():
        read = sum(1 for _ in dataset.records(records.uuid))
        if f"{read:,} rows" not in str(records.description):
            found.append(f"{records.uuid}: {read} rows read; {records.description}")
    return found


def crate(folder: Path) -> list[str]:
    import requests
    from rocrate.rocrate import ROCrate
    from rocrate_validator import services
    from rocrate_validator.models import Severity
    from rocrate_validator.utils.http import HttpRequester

    class Answer(requests.Response):
        def __init__(self, content: Any) -> None:
            super().__init__()
            self.status_code, self._content = 200, json.dumps(content).encode()
            self.headers["Content-Type"] = "application/ld+json"

    def get(self: Any, url: str, **options: Any) -> Any:
        assert url == "https://w3id.org/ro/crate/1.1/context", url
        return Answer({"@context": CONTEXT})

    HttpRequester.get = get
    ROCrate(folder)
    settings = services.ValidationSettings(
        rocrate_uri=str(folder),
        profile_identifier="ro-crate-1.1",
        requirement_severity=Severity.REQUIRED,
        no_cache=True,
    )
    return [str(issue.message) for issue in services.validate(settings).get_issues()]


def datacite(folder: Path) -> list[str]:
    from datacite import schema45

    content = json.loads((folder / "datacite.json").read_text(encoding="utf-8"))
    return [error.message for error in schema45.validator.iter_errors(content)]


def schema_org(folder: Path) -> list[str]:
    """There is no validator of schema.org that works without a network: this reads the JSON-LD."""
    from rdflib import RDF, Graph, URIRef

    graph = Graph().parse(folder / "schema-org.jsonld", format="json-ld")
    kinds = {str(kind) for kind in graph.objects(None, RDF.type)}
    [dataset] = graph.subjects(RDF.type, URIRef("https://schema.org/Dataset"))
    files = list(graph.objects(dataset, URIRef("https://schema.org/distribution")))
    odd = {kind for kind in kinds if not kind.startswith("https://schema.org/")}
    return [*odd, *([] if files else ["no distribution"])]


if __name__ == "__main__":
    checks = (frictionless, by_pandas, croissant, crate, datacite, schema_org)
    for given in map(Path, sys.argv[1:]):
        print(json.dumps({check.__name__: check(given) for check in checks}))
