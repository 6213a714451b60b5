"""`SynDBUploadComponent`: one dataset of another Dagster project, as a few lines of YAML.

Belongs here: its attributes and what `dg scaffold` writes. Does not: the definitions
(`definitions.py`).
"""

# No `from __future__ import annotations`: Dagster reads the annotations as types.

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import dagster as dg
from pydantic import BaseModel, ConfigDict, Field

from syndb_pipeline.config.settings import nearest_pipeline_file
from syndb_pipeline.orchestration.scope import GROUP, OWNERS


class ScaffoldParams(BaseModel):
    """Options of `dg scaffold defs`."""

    tables: str | None = Field(
        default=None, description="Folder of tables, to write the first dataset.yaml from."
    )


class UploadScaffolder(dg.Scaffolder[ScaffoldParams]):
    """Writes `defs.yaml`, and `dataset.yaml` where a folder of tables is given."""

    @classmethod
    def get_scaffold_params(cls) -> type[ScaffoldParams]:
        return ScaffoldParams

    def scaffold(self, request: dg.ScaffoldRequest[ScaffoldParams]) -> None:
        dg.scaffold_component(request, {"dataset": "dataset.yaml", "publish": "manual"})
        if request.params.tables:
            from syndb_pipeline.scaffold import init

            print(init(Path(request.params.tables), request.target_path / "dataset.yaml"))  # noqa: T201


@dg.scaffold_with(UploadScaffolder)
class SynDBUploadComponent(dg.Component, dg.Model, dg.Resolvable):
    """Check a lab's tables, give them SynDB's ids, relate and package them, and publish the package
    once it is approved.

    Its assets have no partitions: they are one dataset. State, locks and receipts are those of the
    command line, by the same `pipeline.yaml`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    dataset: Annotated[
        str | dict[str, Any],
        dg.Resolver.default(
            description="The dataset's YAML, by its path from here, or what would be in it.",
            examples=["dataset.yaml"],
        ),
    ]
    tables: Annotated[
        Mapping[str, str],
        dg.Resolver.default(
            description="Table of SynDB -> the asset that hands over its rows.",
            examples=[{"neuron": "my/neurons"}],
        ),
    ] = {}
    pipeline: Annotated[
        str | None,
        dg.Resolver.default(
            description="pipeline.yaml, by its path from here; else the nearest above."
        ),
    ] = None
    prefix: Annotated[
        str | Sequence[str] | None,
        dg.Resolver.default(description="Of asset keys and names; else the folder's name."),
    ] = None
    group: str = GROUP
    owners: Sequence[str] = OWNERS
    deps: Annotated[
        Sequence[str],
        dg.Resolver.default(description="Other assets that ingest comes after."),
    ] = []
    automation_condition: Annotated[
        dg.AutomationCondition[Any] | None,
        dg.Resolver.default(
            model_field_type=str | None,
            description="When stages follow by themselves; publish where it is `standing`.",
            examples=["{{ automation_condition.eager() }}"],
        ),
    ] = None
    publish: Annotated[
        Literal["manual", "standing"] | None,
        dg.Resolver.default(
            description="In place of `publish.approval` of the dataset's YAML.",
        ),
    ] = None
    sensors: Annotated[bool, dg.Resolver.default(description="Watch files, and notify people.")] = (
        False
    )
    schedules: Annotated[
        bool, dg.Resolver.default(description="Keep the `schedule` of the YAML.")
    ] = False

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions of the dataset. Its YAML is read by the runs, not here: a mistake in it
        takes no other asset of the project away.
        """
        from syndb_pipeline.orchestration.definitions import build_defs
        from syndb_pipeline.orchestration.resources import SynDBResource

        here = context.path if context.path.is_dir() else context.path.parent
        named = "SYNDB_PIPELINE_CONFIG" in os.environ
        nearest = None if named else nearest_pipeline_file(here)
        pipeline = here / self.pipeline if self.pipeline else nearest
        given = self.dataset
        if isinstance(given, dict):
            tables = given.get("tables") or {}
            unread = {name: {"file": name, **tables.get(name, {})} for name in self.tables}
            # Dagster's config takes what JSON has.
            given = json.loads(json.dumps({**given, "tables": {**tables, **unread}}, default=str))
        resource = SynDBResource(
            pipeline_file=str(pipeline) if pipeline else None,
            near=str(here),
            dataset_file=str(here / given) if isinstance(given, str) else None,
            dataset_config=given if isinstance(given, dict) else None,
            tables=dict(self.tables),
            approval=self.publish,
        )
        return build_defs(
            prefix=here.name if self.prefix is None else self.prefix,
            group=self.group,
            deps=self.deps,
            resources={"pipeline": resource},
            owners=self.owners,
            automation_condition=self.automation_condition,
            with_sensors=self.sensors,
            with_schedules=self.schedules,
        )
