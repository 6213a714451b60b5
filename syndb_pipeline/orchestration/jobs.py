"""The jobs a person or a sensor starts: prepare, publish, both, and delete.

Belongs here: what a job runs. Does not: when (`sensors.py`, `schedules.py`) or how (`assets.py`).
"""

# No `from __future__ import annotations`: Dagster reads the annotations of op functions as types.

from typing import Any
from uuid import UUID

import dagster as dg
from pydantic import Field

from syndb_pipeline.destinations import default_destination, open_destination
from syndb_pipeline.orchestration.assets import PUBLISH, PublishConfig
from syndb_pipeline.orchestration.failures import tell_failures
from syndb_pipeline.orchestration.metadata import NOT_REPORTED
from syndb_pipeline.orchestration.plans import PUBLISH_OP
from syndb_pipeline.orchestration.resources import PipelineResource
from syndb_pipeline.orchestration.unattended.decisions import DECISIONS
from syndb_pipeline.publishing.records import PublishRecords
from syndb_pipeline.publishing.status import delete as remove
from syndb_pipeline.stages.runner import STAGES
from syndb_pipeline.state.store import DatasetStore

PREPARE_SELECTION = dg.AssetSelection.assets(*STAGES)

prepare = dg.define_asset_job(
    "prepare",
    selection=PREPARE_SELECTION,
    description=(
        "Read, check and package one dataset. Stages whose inputs are unchanged have nothing to do."
        " Sends nothing."
    ),
)

publish_job = dg.define_asset_job(
    "publish",
    selection=dg.AssetSelection.assets(PUBLISH),
    description=(
        "Send one prepared dataset. Give the plan's digest as `approve`, unless the dataset's"
        " config has standing approval."
    ),
)

prepare_and_publish = dg.define_asset_job(
    "prepare_and_publish",
    selection=PREPARE_SELECTION | dg.AssetSelection.assets(PUBLISH),
    description=(
        "Read, check, package and send one dataset, under standing approval or with the plan's"
        " digest as `approve`."
    ),
)


def approval(digest: str | None) -> dg.RunConfig:
    """The run config of a job that publishes, with the digest of the approved plan."""
    return dg.RunConfig(ops={PUBLISH_OP: PublishConfig(approve=digest or "")})


class DeleteConfig(dg.Config):
    """Which published dataset to delete, and the word that shows somebody means it."""

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


@dg.op(
    description=(
        "Delete a published dataset for good. Nothing happens unless `label` is the dataset's"
        " label, letter for letter."
    )
)
def delete_dataset(
    context: dg.OpExecutionContext, config: DeleteConfig, pipeline: PipelineResource
) -> None:
    with tell_failures():
        dataset, destination = _target(pipeline, config)
        settings = pipeline.settings()
        node = open_destination(settings, destination, context.log.info)
        who = node.who_am_i()
        tombstone = remove(settings, dataset, node, config.label)
        gone = tombstone.deletion
        context.log.info(f"Deleted {gone.label} ({dataset}) from {destination}, for good.")
        context.add_output_metadata(
            {
                "dataset": f"{gone.label} ({dataset})",
                "destination": destination,
                "rows": gone.rows if gone.rows is not None else NOT_REPORTED,
                "files": gone.files if gone.files is not None else NOT_REPORTED,
                "deleted by": who.name if gone.by == who.id else gone.by,
                "tombstones": dg.MetadataValue.path(
                    str(PublishRecords(DatasetStore(settings.state, dataset)).folder / "tombstones")
                ),
            }
        )


def _target(pipeline: PipelineResource, config: DeleteConfig) -> tuple[UUID, str]:
    """Id and destination of the dataset to delete. Raises `ConfigError`."""
    try:
        dataset = UUID(config.dataset)
    except ValueError:
        known = pipeline.dataset(config.dataset)
        return known.dataset.id, config.destination or known.publish.destination
    return dataset, config.destination or default_destination(pipeline.settings())


@dg.job(
    name="delete",
    description=(
        "Delete a published dataset for good and leave a tombstone receipt. The label has to be"
        " typed."
    ),
)
def delete() -> None:
    delete_dataset()


JOBS: list[Any] = [prepare, publish_job, prepare_and_publish, *DECISIONS, delete]
