"""The manifests of a package, by the public validators of their formats.

Belongs here: that each is valid, and says what is there. Does not: exports (`unit/publishing`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from syndb_pipeline.config.description import Description
from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.demo import write_demo
from syndb_pipeline.destinations import Settings
from syndb_pipeline.manifests import render
from syndb_pipeline.manifests.described import TableFile
from syndb_pipeline.publishing.export import export, folder_at
from syndb_pipeline.publishing.plan import plan
from syndb_pipeline.stages.package import Manifest, describe
from syndb_pipeline.state.stage import Context
from tests.lab import run_stages

ENVIRONMENTS = Path(os.environ.get("SYNDB_VALIDATORS") or Path(__file__).parents[3] / ".validators")

MORE = {
    "version": "1.2.0",
    "creators": [
        {
            "given_name": "Ada",
            "family_name": "Lovelace",
            "orcid": "0000-0002-1825-0097",
            "affiliation": "University of Somewhere",
            "ror": "https://ror.org/03yrm5c26",
            "email": "ada@example.org",
        },
        {"given_name": "Santiago", "family_name": "Ramón y Cajal"},
    ],
    "funding": [{"funder": "A council", "award": "1", "ror": "https://ror.org/021nxhr62"}],
    "related": [{"relation": "IsDerivedFrom", "url": "https://example.org/volume"}],
    "access": {"policy": "open", "embargo_until": "2027-01-01"},
    "segmentation": {"source": "gs://images/volume", "materialization_version": 783},
    "citation": "Lovelace and Ramón y Cajal (2026)",
}


def validator(environment: str, program: str) -> str:
    """A program of one of the environments that `make validators` makes."""
    path = ENVIRONMENTS / environment / "bin" / program
    if not path.is_file():
        pytest.skip(f"{path} is not there: `make validators` installs the public validators")
    return str(path)


def validated(*folders: Path) -> list[dict[str, list[str]]]:
    """What each validator found in each folder."""
    script = Path(__file__).parents[2] / "public_validators.py"
    given = [validator("a", "python"), str(script), *map(str, folders)]
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(given, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """The demo, packed."""
    folder = tmp_path_factory.mktemp("demo")
    limits = Settings(state=folder / "state", memory_limit="1GB", threads=1)
    context = Context(load_dataset(write_demo(folder / "lab")), limits)
    run_stages(context, "package")
    return context


@pytest.fixture(scope="module")
def full(demo: Context, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's package with all that a description may hold."""
    package = demo.store.stage("package")
    folder = tmp_path_factory.mktemp("full") / "package"
    shutil.copytree(package, folder)
    manifest = Manifest.read(package)
    metadata = manifest.dataset.model_copy(update={"publication_dois": ("10.1038/s41586-024-1",)})
    described = describe(manifest, metadata, demo.ingested.inputs).model_copy(
        update={"more": Description.model_validate(MORE)}
    )
    files = [
        TableFile.of(
            name, folder / f"tables/{name}.parquet", f"tables/{name}.parquet", t.sha256, t.rows
        )
        for name, t in manifest.tables.items()
    ]
    for name, text in render(described, files).items():
        (folder / name).write_text(text)
    return folder


def broken(package: Path, folder: Path) -> Path:
    """A copy of a package in which every manifest has a mistake of its own."""
    shutil.copytree(package, folder)
    for name, find, replace in (
        ("datapackage.json", '"name": "cid"', '"name": "key"'),
        ("croissant.json", '"@type": "sc:Dataset"', '"@type": "sc:Person"'),
        ("ro-crate-metadata.json", '"hasPart"', '"hasParts"'),
        ("datacite.json", '"publicationYear": "2026"', '"publicationYear": "now"'),
        ("schema-org.jsonld", '"distribution"', '"distributed"'),
        ("CITATION.cff", "title:", "titel:"),
    ):
        text = (folder / name).read_text()
        assert find in text
        (folder / name).write_text(text.replace(find, replace))
    return folder


def test_every_manifest_is_valid_and_its_validator_sees_a_mistake(
    demo: Context, full: Path, tmp_path: Path
) -> None:
    package, csv = demo.store.stage("package"), tmp_path / "csv"
    folder = folder_at(demo, str(csv), format="csv")
    with demo.store.lock():
        export(demo, plan(demo, folder), folder)
    whole, everything, wrong = validated(csv, full, broken(package, tmp_path / "broken"))
    for found in (whole, everything):
        assert {name: wrong for name, wrong in found.items() if wrong} == {}
    assert all(wrong.values()), wrong
    program = validator("b", "cffconvert")
    for checked, code in ((csv, 0), (full, 0), (tmp_path / "broken", 1)):
        given = [program, "--validate", "-i", str(checked / "CITATION.cff")]
        assert subprocess.run(given, capture_output=True, check=False).returncode == code


def test_all_say_the_same_of_the_dataset(demo: Context, full: Path) -> None:
    package = demo.store.stage("package")
    manifest = Manifest.read(package)

    def read(name: str, folder: Path = package) -> Any:
        return yaml.safe_load((folder / name).read_text())

    data, crate, croissant = map(
        read, ("datapackage.json", "ro-crate-metadata.json", "croissant.json")
    )
    cff, datacite, schema = map(read, ("CITATION.cff", "datacite.json", "schema-org.jsonld"))
    assert {data["title"], croissant["name"], cff["title"], schema["name"]} == {"Demo lab"}
    assert datacite["titles"] == [{"title": "Demo lab"}]
    assert {cff["license"], data["licenses"][0]["name"]} == {"CC0-1.0"}
    assert datacite["creators"] == [{"name": ":unav"}], "no one was named: none is invented"

    digests = {name: table.sha256 for name, table in manifest.tables.items()}
    assert {each["name"]: each["hash"] for each in data["resources"]} == {
        name: f"sha256:{sha256}" for name, sha256 in digests.items()
    }
    for found in (croissant["distribution"], schema["distribution"]):
        assert {each["name"]: each["sha256"] for each in found} == {
            f"tables/{name}.parquet": sha256 for name, sha256 in digests.items()
        }
    entities = {each["@id"]: each for each in crate["@graph"]}
    assert {name: entities[f"tables/{name}.parquet"]["sha256"] for name in digests} == digests

    fields = {each["name"]: each for each in data["resources"][0]["schema"]["fields"]}
    assert fields["cable_length"]["unit"] == TABLES["neuron"].columns["cable_length"].unit == "nm"
    keys = {each["name"]: each["schema"].get("foreignKeys", []) for each in data["resources"]}
    assert {key["fields"][0]: key["reference"]["resource"] for key in keys["dendritic_spine"]} == {
        "neuron_id": "neuron",
        "forms_synapse_with": "synapse",
    }

    # Where the rows come from, as PROV: lab files by name and digest, stages by their records.
    assert {f"sha256:{digest}" for digest in manifest.chain.values()} == {
        each["identifier"] for each in crate["@graph"] if "prov:Activity" in each["@type"]
    }
    read_files = {
        each["name"]: each["sha256"] for each in crate["@graph"] if "#input" in each["@id"]
    }
    lab = {name[5:]: sha256 for name, sha256 in demo.ingested.inputs.items() if name[:5] == "file:"}
    assert read_files == lab
    assert entities["#stage-ingest"]["object"] and entities["#stage-check_integrity"]["result"]
    assert entities["#syndb-pipeline"]["softwareRequirements"]

    assert read("datacite.json", full)["creators"][0]["familyName"] == "Lovelace"
    assert read("CITATION.cff", full)["authors"][1]["family-names"] == "Ramón y Cajal"


def test_manifests_leave_the_plan_and_the_tar_alone_and_name_no_folder_of_the_lab(
    demo: Context,
) -> None:
    package = demo.store.stage("package")
    names = sorted(path.name for path in package.iterdir())
    assert len(names) == 9 and re.fullmatch(r"[0-9a-f-]{36}\.tar", Manifest.read(package).tar.name)
    for path in package.glob("*.*"):
        assert str(demo.config.folder) not in path.read_text()
