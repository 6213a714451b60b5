"""JSON Schema of the two YAML files, for editors that complete and check while one types.

Belongs here: the schemas, derived from the pydantic settings and the contract's words. Does not:
reading YAML (`settings.py`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from syndb_pipeline.config import settings, yaml_file
from syndb_pipeline.config.table_settings import ALL_COLUMNS
from syndb_pipeline.contract.tables import TABLES, Kind, Table

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
FILES: Final = {"dataset": "dataset.schema.json", "pipeline": "pipeline.schema.json"}
"""Kind of YAML -> name of its published schema, below `config/schema/`."""


class _YamlSchema(GenerateJsonSchema):
    """pydantic's schema, where some settings take a number where they keep text, or the other
    way round.
    """

    def function_before_schema(
        self, schema: core_schema.BeforeValidatorFunctionSchema
    ) -> JsonSchemaValue:
        inner = super().function_before_schema(schema)
        function = schema["function"]["function"]
        if function is yaml_file.as_text:
            return inner | {"type": ["string", "number"]}
        if function is yaml_file.as_bytes:
            return {"type": ["string", "integer"], "examples": ["2GB", "1500MiB"]}
        return inner


def dataset_schema() -> dict[str, Any]:
    """JSON Schema of `config/datasets/*.yaml`: tables with their own columns, parents and
    references, and SynDB's words.
    """
    schema = _schema("dataset", settings.DatasetConfig, "A dataset of syndb-pipeline")
    common = schema["$defs"].pop("TableConfig")
    schema["$defs"] |= {name: _table_schema(common, table) for name, table in TABLES.items()}
    tables = schema["properties"]["tables"]
    tables |= _closed({name: {"$ref": f"#/$defs/{name}"} for name in TABLES})
    tables["description"] = "SynDB's table -> where its rows are."
    return schema


def pipeline_schema(model: type[settings.PipelineSettings]) -> dict[str, Any]:
    """JSON Schema of `config/pipeline.yaml`, as `model` reads it."""
    return _schema("pipeline", model, "Settings of syndb-pipeline")


def schema_text(
    kind: str, pipeline: type[settings.PipelineSettings] = settings.PipelineSettings
) -> str:
    """The schema of `kind` ("dataset" or "pipeline") as it is published, a JSON text that ends in a
    line break; `pipeline` are the settings with the destinations that there are.
    """
    schema = dataset_schema() if kind == "dataset" else pipeline_schema(pipeline)
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write_schemas(folder: Path, pipeline: type[settings.PipelineSettings]) -> None:
    """Write both schemas into `folder`; `config/schema/` of the project holds them, and a test that
    they are up to date.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for kind, name in FILES.items():
        (folder / name).write_text(schema_text(kind, pipeline), encoding="utf-8")


def _schema(kind: str, model: type[BaseModel], title: str) -> dict[str, Any]:
    own = model.model_json_schema(schema_generator=_YamlSchema)
    name = {"$id": f"urn:syndb-pipeline:schema:{kind}", "title": title}
    return {"$schema": DIALECT} | own | name


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {"properties": properties, "additionalProperties": False}


def _table_schema(common: dict[str, Any], table: Table) -> dict[str, Any]:
    """The settings of one table: what every table has, with the words that fit this one."""
    properties: dict[str, Any] = {name: dict(value) for name, value in common["properties"].items()}
    columns = table.columns.values()
    names = [name for column in columns for name in (column.name, *column.aliases)]
    name = {"type": "string", "enum": names}
    several = {"type": "array", "items": name, "minItems": 1, "uniqueItems": True}
    properties["columns"]["additionalProperties"] = {"anyOf": [name, several]}
    measured = [c.name for c in columns if c.dimension is not None and c.kind is Kind.NUMBER]
    properties["units"]["propertyNames"] = {"enum": measured}
    one_list, by_column = properties["missing"]["oneOf"]
    by_column = by_column | {"propertyNames": {"enum": [ALL_COLUMNS, *names]}}
    properties["missing"]["oneOf"] = [one_list, by_column]
    if table.has_parent:
        properties["parent"]["anyOf"] = [
            {"type": "string", "enum": list(table.parents)},
            {"type": "null"},
        ]
    else:
        del properties["parent"]
    properties["references"] |= _closed(
        {c.name: {"enum": list(c.targets)} for c in table.references.values()}
    )
    if table.pair is None:
        del properties["combine"]
    else:
        numbers = [c.name for c in columns if c.kind in (Kind.NUMBER, Kind.INTEGER)]
        properties["combine"]["propertyNames"] = {"enum": numbers}
    return common | {
        "title": table.name,
        "description": f"Rows of SynDB's table {table.name}.",
        "properties": properties,
    }
