"""The jobs a person or a sensor starts: prepare, publish, both, and delete.

Belongs here: what a job runs. Does not: when (`sensors.py`, `schedules.py`) or how (`assets.py`).
"""

# No `from __future__ import annotations`: Dagster reads the annotations of op functions as types.

from functools import cache
from typing import Any
from uuid import UUID

import dagster as dg
from pydantic import Field

from syndb_pipeline.destinations import default_destination, open_destination
from syndb_pipeline.orchestration.assets import EXPORT, PUBLISH, PublishConfig
from syndb_pipeline.orchestration.failures import as_failures
from syndb_pipeline.orchestration.metadata import NOT_REPORTED
from syndb_pipeline.orchestration.plans import PUBLISH_OP
from syndb_pipeline.orchestration.resources import SynDBResource, pipeline_of
from syndb_pipeline.orchestration.scope import OWN, Scope
from syndb_pipeline.orchestration.unattended.decisions import decisions
from syndb_pipeline.publishing.records import PublishRecords
from syndb_pipeline.publishing.status import delete as remove
from syndb_pipeline.stages.runner import STAGES
from syndb_pipeline.state.store import DatasetStore

PREPARE, PREPARE_AND_PUBLISH = "prepare", "prepare_and_publish"

_DESCRIPTIONS = {
    PREPARE: (
        "Read, check and package one dataset. Stages whose inputs are unchanged have nothing to do."
        " Sends nothing."
    ),
    "publish": (
        "Send one prepared dataset. Give the plan's digest as `approve`, unless the dataset's"
        " config has standing approval."
    ),
    EXPORT: (
        "Write one prepared dataset as files for SynDB's own command line and web page. Nothing"
        " leaves the machine, unless `to` is an address."
    ),
    PREPARE_AND_PUBLISH: (
        "Read, check, package and send one dataset, under standing approval or with the plan's"
        " digest as `approve`."
    ),
}


def approval(digest: str | None, scope: Scope = OWN) -> dg.RunConfig:
    """The run config of a job that publishes, with the digest of the approved plan."""
    return dg.RunConfig(ops={scope.named(PUBLISH_OP): PublishConfig(approve=digest or "")})


class DeleteConfig(dg.Config):
    """Which published dataset to delete, and the word that shows that it is meant."""

    dataset: str = Field(
        description="Name of the dataset (the stem of its config file), or its id."
    )
    label: str = Field(description="The dataset's label, typed in full. Deletion is for good.")
    destination: str = Field(
        default="",
        description=(
            "Where it is. Left empty: where the dataset's config publishes to; for an id, `local`,"
            " else the pipeline's first."
        ),
    )


def _target(pipeline: SynDBResource, config: DeleteConfig) -> tuple[UUID, str]:
    """Id and destination of the dataset to delete. Raises `ConfigError`."""
    try:
        dataset = UUID(config.dataset)
    except ValueError:
        known = pipeline.dataset(config.dataset)
        return known.dataset.id, config.destination or known.publish.destination
    return dataset, config.destination or default_destination(pipeline.settings())


def _delete_job(scope: Scope) -> dg.JobDefinition:
    @dg.op(
        name=scope.named("delete_dataset"),
        required_resource_keys={scope.resource},
        description=(
            "Delete a published dataset for good. Nothing happens unless `label` is the dataset's"
            " label, letter for letter."
        ),
    )
    def delete_dataset(context: dg.OpExecutionContext, config: DeleteConfig) -> None:
        with as_failures():
            pipeline = pipeline_of(scope, context)
            dataset, destination = _target(pipeline, config)
            settings = pipeline.settings()
            node = open_destination(settings, destination, context.log.info)
            who = node.who_am_i()
            tombstone = remove(settings, dataset, node, config.label)
            gone = tombstone.deletion
            context.log.info(f"Deleted {gone.label} ({dataset}) from {destination}, for good.")
            records = PublishRecords(DatasetStore(settings.state, dataset))
            context.add_output_metadata(
                {
                    "dataset": f"{gone.label} ({dataset})",
                    "destination": destination,
                    "rows": gone.rows if gone.rows is not None else NOT_REPORTED,
                    "files": gone.files if gone.files is not None else NOT_REPORTED,
                    "deleted by": who.name if gone.by == who.id else gone.by,
                    "tombstones": dg.MetadataValue.path(str(records.folder / "tombstones")),
                }
            )

    @dg.job(
        name=scope.named("delete"),
        executor_def=scope.executor,
        description=(
            "Delete a published dataset for good and leave a tombstone receipt. The label has to be"
            " typed."
        ),
    )
    def delete() -> None:
        delete_dataset()

    return delete


@cache
def jobs(scope: Scope) -> dict[str, Any]:
    """The jobs of `scope`, by their names in our own deployment."""
    stages = dg.AssetSelection.assets(*map(scope.key, STAGES))
    publish = dg.AssetSelection.assets(scope.key(PUBLISH))
    export = dg.AssetSelection.assets(scope.key(EXPORT))
    selections = {
        PREPARE: stages,
        "publish": publish,
        EXPORT: export,
        PREPARE_AND_PUBLISH: stages | publish,
    }
    made = {
        name: dg.define_asset_job(
            scope.named(name),
            selection=selection,
            description=_DESCRIPTIONS[name],
            executor_def=scope.executor,
        )
        for name, selection in selections.items()
    }
    return {**made, **decisions(scope), "delete": _delete_job(scope)}
