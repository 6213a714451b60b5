"""The jobs `approve` and `reject`: a person's answer to a plan, given in the UI.

Belongs here: what their launchpads take. Does not: what an answer does
(`syndb_pipeline.publishing`) or the links that fill the launchpads in (`plans.py`).
"""

# No `from __future__ import annotations`: Dagster reads the annotations of op functions as types.

from functools import cache

import dagster as dg
from pydantic import Field

from syndb_pipeline.base.system import user
from syndb_pipeline.orchestration.failures import as_failures
from syndb_pipeline.orchestration.plans import APPROVE, REJECT
from syndb_pipeline.orchestration.resources import pipeline_of
from syndb_pipeline.orchestration.scope import Scope
from syndb_pipeline.publishing.holds import reject as keep_back
from syndb_pipeline.publishing.plan import approve, plan


class AnswerConfig(dg.Config):
    """Which plan is answered, and by whom."""

    dataset: str = Field(description="Name of the dataset: the stem of its config file.")
    digest: str = Field(
        description=(
            "The plan's digest, which the asset `package` and `syndb-pipeline plan` show: in full,"
            " or its first 12 characters or more."
        )
    )
    by: str = Field(
        default="", description="Who answers; the operating system's user when left empty."
    )


class RejectConfig(AnswerConfig):
    """Which plan is rejected, by whom and why."""

    reason: str = Field(default="", description="Why, for whoever reads it later.")


@cache
def decisions(scope: Scope) -> dict[str, dg.JobDefinition]:
    """The jobs of `scope`, by their names in our own deployment."""

    @dg.op(
        name=scope.named(f"{APPROVE}_plan"),
        required_resource_keys={scope.resource},
        description="Keep the approval of exactly this plan. Nothing is sent by it.",
    )
    def approve_plan(context: dg.OpExecutionContext, config: AnswerConfig) -> None:
        with as_failures():
            dataset = pipeline_of(scope, context).context(config.dataset, context.log.info)
            by = config.by or user()
            kept = approve(dataset, plan(dataset), config.digest, by, "ui")
            context.log.info(
                f"{by} approved plan {kept.digest[:12]} of {dataset.config.name}. To send it,"
                f" launch the job `{scope.named('publish')}` for this dataset; a schedule or sensor"
                " that publishes it does so at its next turn."
            )

    @dg.op(
        name=scope.named(f"{REJECT}_plan"),
        required_resource_keys={scope.resource},
        description="Keep that this plan is not to be sent, until its content changes.",
    )
    def reject_plan(context: dg.OpExecutionContext, config: RejectConfig) -> None:
        with as_failures():
            dataset = pipeline_of(scope, context).context(config.dataset, context.log.info)
            by = config.by or user()
            held = keep_back(dataset, config.digest, by, "ui", config.reason)
            context.log.info(
                f"{by} rejected plan {held.plan[:12]} of {dataset.config.name}; it is not sent."
            )

    @dg.job(
        name=scope.named(APPROVE),
        executor_def=scope.executor,
        description=(
            "Approve a plan, so that it may be sent later. To approve and send at once, launch"
            " `publish` with the digest."
        ),
    )
    def approve_job() -> None:
        approve_plan()

    @dg.job(
        name=scope.named(REJECT),
        executor_def=scope.executor,
        description=(
            "Reject a plan: it is not sent until its content changes or a person approves it."
        ),
    )
    def reject_job() -> None:
        reject_plan()

    return {APPROVE: approve_job, REJECT: reject_job}
