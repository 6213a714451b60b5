"""The published JSON Schemas: up to date, valid, and of one mind with the settings they
describe.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.config.json_schema import (
    DIALECT,
    FILES,
    dataset_schema,
    pipeline_schema,
    schema_text,
)
from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.demo import CLEAN_CONFIG, ERRORS_CONFIG, write_demo
from syndb_pipeline.destinations import Settings, load_settings

ROOT = Path(__file__).resolve().parents[3]


def plain(text: str) -> Any:
    """YAML as an editor's schema check sees it: dates are text."""
    return json.loads(json.dumps(yaml.safe_load(text), default=str))


def written(folder: Path, text: str) -> Path:
    path = folder / "d.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def complaints(schema: dict[str, Any], content: Any) -> list[str]:
    return [error.message for error in Draft202012Validator(schema).iter_errors(content)]


@pytest.mark.parametrize("kind", list(FILES))
def test_the_published_schemas_are_up_to_date(kind: str) -> None:
    published = (ROOT / "config" / "schema" / FILES[kind]).read_text(encoding="utf-8")
    assert published == schema_text(kind, Settings), "write them with: make schema"


@pytest.mark.parametrize("schema", [dataset_schema(), pipeline_schema(Settings)])
def test_a_schema_is_valid(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == DIALECT


def test_the_demo_configs_satisfy_it(tmp_path: Path) -> None:
    write_demo(tmp_path)
    for name in (CLEAN_CONFIG, ERRORS_CONFIG):
        assert complaints(dataset_schema(), plain((tmp_path / name).read_text())) == []


def test_every_config_of_the_project_satisfies_it() -> None:
    assert (
        complaints(
            pipeline_schema(Settings),
            plain((ROOT / "config" / "pipeline.yaml").read_text(encoding="utf-8")),
        )
        == []
    )
    for path in sorted((ROOT / "config" / "datasets").glob("*.yaml")):
        assert complaints(dataset_schema(), plain(path.read_text(encoding="utf-8"))) == [], path


def test_every_table_has_its_own_words() -> None:
    definitions = dataset_schema()["$defs"]
    for name, table in TABLES.items():
        properties = definitions[name]["properties"]
        one, several = properties["columns"]["additionalProperties"]["anyOf"]
        assert set(table.columns) <= set(one["enum"]) and several["items"] == one
        assert ("parent" in properties) == table.has_parent
        assert ("combine" in properties) == (table.pair is not None)


DATASET = (
    "dataset: {id: 01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11, label: L, animal: MUS_MUSCULUS,"
    " microscopy: M, brain_regions: [{structure: cortex}]}\n"
)

BOTH_REFUSE = [
    DATASET + "tables: {neurons: {file: a.csv}}",
    DATASET + "tables: {neuron: {file: a.csv, shet: A}}",
    DATASET + "tables: {neuron: {file: a.csv, columns: {x: no_such}}}",
    DATASET + "tables: {synapse: {file: a.csv, columns: {x: [cid, no_such]}}}",
    DATASET + "tables: {synapse: {file: a.csv, columns: {x: []}}}",
    DATASET + "tables: {neuron_relation: {file: a.csv, combine: {connection_score: number}}}",
    DATASET + "tables: {neuron: {file: a.csv, units: {cid: um}}}",
    DATASET + "tables: {vesicle: {file: a.csv, parent: mitochondria}}",
    DATASET + "tables: {neuron: {file: a.csv, combine: {cable_length: sum}}}",
    DATASET + "tables: {synapse: {file: a.csv, references: {pre_synapse_id: vesicle}}}",
    DATASET + "tables: {neuron: {file: a.csv}}\nrules: {SYN-NO-001: error}",
    DATASET + "tables: {neuron: {file: a.csv, header_row: 0}}",
    DATASET + "tables: {}",
    DATASET.replace("MUS_MUSCULUS", "UNICORN") + "tables: {neuron: {file: a.csv}}",
    DATASET.replace("cortex", "''") + "tables: {neuron: {file: a.csv}}",
    DATASET.replace("cortex", "cortex, direction: upwards") + "tables: {neuron: {file: a.csv}}",
    DATASET.replace("label: L", f"label: {'x' * 121}") + "tables: {neuron: {file: a.csv}}",
    "tables: {neuron: {file: a.csv}}",
]

BOTH_ACCEPT = [
    DATASET.replace("cortex", "mushroom body") + "tables: {neuron: {file: a.csv}}",
    DATASET.replace("cortex", "nerve ring") + "tables: {neuron: {file: a.csv}}",
    DATASET + "tables: {neuron: {file: a.csv}}",
    DATASET.replace("label: L", "label: 12") + "tables: {neuron: {file: a.csv, missing: [-1, NA]}}",
    DATASET + "tables: {neuron: {file: a.csv, columns: {7: cid}, header_row: null, names: [1, 2]}}",
    DATASET + "tables: {synapse: {file: a.csv, columns: {x: [cid, cave_id], y: [pre_id]}}}",
    DATASET + "tables: {neuron_relation: {file: a.csv, combine: {connection_score: count}}}",
    DATASET + "tables: {synapse: {file: a.csv, columns: {p: pre_id}, references: {pre_synapse_id:"
    " neuron}}}",
    DATASET + "tables: {vesicle: {file: a.csv, parent: axon, units: {voxel_radius: um}}}",
    DATASET + 'tables: {neuron: {file: a.csv}}\nschedule: "0 2 * * *"\nrules: {SYN-VOC-001: hint}',
]


@pytest.mark.parametrize("text", BOTH_REFUSE)
def test_what_the_settings_refuse_the_schema_refuses(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        load_dataset(written(tmp_path, text))
    assert complaints(dataset_schema(), plain(text))


@pytest.mark.parametrize("text", BOTH_ACCEPT)
def test_what_the_settings_accept_the_schema_accepts(tmp_path: Path, text: str) -> None:
    load_dataset(written(tmp_path, text))
    assert complaints(dataset_schema(), plain(text)) == []


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("memory_limit: 2GB", True),
        ("memory_limit: 2000000000", True),
        ("memory: 1", False),
        ("threads: 0", False),
    ],
)
def test_the_pipelines_schema_agrees_with_its_settings(
    tmp_path: Path, text: str, valid: bool
) -> None:
    path = written(tmp_path, text)
    assert (complaints(pipeline_schema(Settings), plain(text)) == []) is valid
    if valid:
        load_settings(path)
    else:
        with pytest.raises(ConfigError):
            load_settings(path)
