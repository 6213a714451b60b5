"""The assets, ingest to publish: each runs one stage on one dataset and shows what came of it; the
lab's files before them, and the export beside publish.

Belongs here: which stage an asset runs, and its words for the UI. Does not: what a stage does
(`syndb_pipeline.stages`).
"""

# No `from __future__ import annotations`: Dagster reads the annotations of asset functions as
# types.

from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import Any

import dagster as dg
from pydantic import Field

from syndb_pipeline.base.errors import ApprovalError, DataRejected, OutcomeUnknown, PipelineError
from syndb_pipeline.base.progress import unwatched
from syndb_pipeline.orchestration.columns import COLUMN_SCHEMA, declared_columns
from syndb_pipeline.orchestration.failures import as_failures, failure, rejection
from syndb_pipeline.orchestration.metadata import describe_receipt, describe_record, report_link
from syndb_pipeline.orchestration.plans import PUBLISH_OP, describe_plan, shown
from syndb_pipeline.orchestration.resources import approved_how, hand_over, pipeline_of
from syndb_pipeline.orchestration.scope import Scope
from syndb_pipeline.orchestration.unattended.lab_files import LAB_FILES, lab_files, seen_by
from syndb_pipeline.orchestration.unattended.watching import UNATTENDED, wait_for_rest
from syndb_pipeline.publishing import publish as publishing
from syndb_pipeline.publishing.export import export, folder_at
from syndb_pipeline.publishing.plan import plan
from syndb_pipeline.publishing.records import PublishRecords
from syndb_pipeline.report.html import write_report
from syndb_pipeline.stages.check_integrity import STAGE as CHECK_INTEGRITY
from syndb_pipeline.stages.package import STAGE as PACKAGE
from syndb_pipeline.stages.runner import STAGES, run_stage
from syndb_pipeline.state.attempts import Attempts
from syndb_pipeline.state.stage import Stage

KINDS: dict[str, set[str]] = {
    "ingest": {"duckdb", "parquet", "csv"},
    "validate": {"duckdb", "pandera"},
    "assign_ids": {"duckdb", "parquet"},
    "join_relations": {"duckdb", "parquet"},
    "check_integrity": {"duckdb"},
    "package": {"duckdb", "parquet"},
}
PUBLISH, EXPORT = "publish", "export"
POOL = "syndb_publish"
"""Of all runs that publish, whoever started them: the instance says how many may at a time."""
IN_THE_UI = (
    "In Dagster's UI: the newest event of the asset `{package}` shows the plan, and opens a"
    " launchpad with the answer filled in."
)


def settled_in_the_ui(scope: Scope) -> str:
    """How a person says there what came of an upload."""
    job, op = scope.named(PUBLISH), scope.named(PUBLISH_OP)
    config = f"{{{op}: {{config: {{outcome: arrived}}}}}}"
    return f"Here: launch the job `{job}` again with ops: {config}, or lost"


class Outcome(Enum):
    """What a person may say of an upload that no one answered: it is there, or it is not."""

    arrived = "arrived"
    lost = "lost"


class PublishConfig(dg.Config):
    """What a person says when a run publishes."""

    approve: str = Field(
        default="",
        description=(
            "Digest of the plan, as `syndb-pipeline plan` printed it. Empty under standing approval"
            " or when approved before."
        ),
    )
    approved_by: str = Field(
        default="", description="Who approves; the operating system's user when left empty."
    )
    outcome: Outcome | None = Field(
        default=None,
        description=(
            "Your word on an upload whose outcome is unknown: it is there, or it is not. Only"
            " when a failed run asks for it."
        ),
    )


class Format(Enum):
    """Of exported tables."""

    parquet = "parquet"
    csv = "csv"


class ExportConfig(dg.Config):
    """Where an export goes, and what is in it."""

    to: str = Field(
        default="",
        description=(
            "A folder, or its address in an object store; `exports/<dataset>` beside the state when"
            " left empty. Whoever gives an address says that the dataset may go there."
        ),
    )
    format: Format = Field(default=Format.parquet, description="Of the tables.")
    tar: bool = Field(default=False, description="Put the tar of the REST interface there too.")
    id_map: bool = Field(default=False, description="Put the lab's key of each row there too.")


def _condition(stage: Stage, scope: Scope) -> dg.AutomationCondition[Any] | None:
    condition = scope.automation_condition
    if stage.after or not scope.follows:
        return condition if stage.after else None
    # Files of a lab are for `watch_files`; until they are seen, `eager` would take them as missing.
    ignoring: Callable[..., dg.AutomationCondition[Any]] | None = getattr(condition, "ignore", None)
    return ignoring(dg.AssetSelection.assets(scope.key(LAB_FILES))) if ignoring else condition


def _stage_asset(stage: Stage, scope: Scope) -> dg.AssetsDefinition:
    """The asset that runs `stage` on the partition's dataset, from what the stage before it left on
    disk.
    """
    # Given here: a dep that is added to a finished asset draws an edge and orders nothing.
    deps = [scope.key(stage.after)] if stage.after else [scope.key(LAB_FILES), *scope.deps]
    tables = {} if stage.after else scope.tables

    @dg.asset(
        key=scope.key(stage.name),
        deps=deps,
        partitions_def=scope.partitions_def,
        group_name=scope.group,
        owners=scope.owners,
        kinds=KINDS[stage.name],
        description=stage.description,
        code_version=stage.version,
        metadata={COLUMN_SCHEMA: declared_columns(stage.name)},
        ins={name: dg.AssetIn(key) for name, key in tables.items()},
        automation_condition=_condition(stage, scope),
        required_resource_keys={scope.resource},
    )
    def run(context: dg.AssetExecutionContext, **given: Any) -> dg.MaterializeResult[None]:
        with as_failures():
            pipeline = pipeline_of(scope, context)
            dataset = pipeline.context_of(context)
            # The lock is held for one stage only, so that a person can rerun another stage, or the
            # command line, between two steps.
            if stage.after is None and UNATTENDED in context.run.tags:
                try:
                    wait_for_rest(dataset.config, context.log.info)
                except PipelineError:
                    # Kept as the failure of the stage, so that `status` says why nothing ran.
                    attempts = Attempts(dataset.store.folder)
                    with dataset.store.lock(), attempts.attempt("prepare", stage.name):
                        raise
            try:
                with dataset.store.lock(wait=pipeline.patience, say=context.log.info):
                    if stage.after is None:
                        if given:
                            hand_over(dataset, given)
                            dataset = pipeline.context_of(context)
                        seen_by(context, dataset.config, scope)
                    record = run_stage(dataset, stage.name)
                    if stage is CHECK_INTEGRITY:
                        write_report(dataset)
                    planned = describe_plan(dataset, scope, context.run) if stage is PACKAGE else {}
            except DataRejected as error:
                sealed = dataset.store.record(CHECK_INTEGRITY.name)
                if sealed is None or not sealed.errors:
                    raise
                reason = rejection(dataset.config.name, sealed.findings)
                raise failure(reason, error.exit, report_link(dataset, scope)) from None
            # Metadata of the result would be stored twice: with the step's output as well, which
            # no one looks at.
            context.add_asset_metadata(planned | describe_record(dataset, record, scope))
            return dg.MaterializeResult(data_version=dg.DataVersion(record.digest))

    return run


def _publish_asset(scope: Scope) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=scope.named(PUBLISH_OP),
        specs=[
            dg.AssetSpec(
                scope.key(PUBLISH),
                deps=[scope.key(PACKAGE.name)],
                group_name=scope.group,
                owners=scope.owners,
                kinds={"syndb"},
                automation_condition=scope.automation_condition if scope.publishes else None,
                description=(
                    "Send the package to its destination, read it back, compare, and write the"
                    " receipt. Needs approval of exactly this plan: its digest in the run's config"
                    " (`approve`), or `publish.approval: standing` in the dataset's config."
                    " Publishing the same plan again sends nothing and shows the old receipt."
                ),
                code_version="1",
            )
        ],
        partitions_def=scope.partitions_def,
        required_resource_keys={scope.resource},
        pool=POOL,
    )
    def publish(
        context: dg.AssetExecutionContext, config: PublishConfig
    ) -> dg.MaterializeResult[None]:
        with as_failures():
            pipeline = pipeline_of(scope, context)
            dataset = pipeline.context_of(context)
            try:
                receipt = publishing.publish(
                    dataset,
                    config.approve or None,
                    by=config.approved_by or None,
                    how=approved_how(),
                    wait=pipeline.patience,
                    watch=dataset.watch,
                    outcome=config.outcome.value if config.outcome else None,
                )
            except ApprovalError as error:
                if config.approve:
                    raise
                package = scope.key(PACKAGE.name)
                said = IN_THE_UI.format(package=package.to_user_string())
                where = shown(dataset.config.name, scope)
                raise failure(f"{error}\n{said}", error.exit, where) from None
            except OutcomeUnknown as error:
                if "--outcome" not in error.next_step:
                    raise
                said = settled_in_the_ui(scope)
                raise failure(f"{error}\n{said}", error.exit) from None
            path = PublishRecords(dataset.store).receipt_path
            context.add_asset_metadata(describe_receipt(receipt, path, scope))
            return dg.MaterializeResult(data_version=dg.DataVersion(receipt.plan))

    return publish


def _export_asset(scope: Scope) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=scope.named("export_dataset"),
        specs=[
            dg.AssetSpec(
                scope.key(EXPORT),
                deps=[scope.key(PACKAGE.name)],
                group_name=scope.group,
                owners=scope.owners,
                kinds={"parquet", "csv"},
                description=(
                    "The package as files for SynDB's own command line and web page, with UUIDs,"
                    " meshes, checksums, manifests and a README. The same again writes nothing."
                ),
                code_version="1",
            )
        ],
        partitions_def=scope.partitions_def,
        required_resource_keys={scope.resource},
    )
    def run(context: dg.AssetExecutionContext, config: ExportConfig) -> dg.MaterializeResult[None]:
        with as_failures():
            pipeline = pipeline_of(scope, context)
            dataset = pipeline.context_of(context)
            place = config.to or str(dataset.settings.state / "exports" / dataset.config.name)
            folder = folder_at(dataset, place, format=config.format.value)
            with dataset.store.lock(wait=pipeline.patience, say=context.log.info):
                current = plan(dataset, folder)
                watch = dataset.watch or unwatched
                export(dataset, current, folder, tar=config.tar, id_map=config.id_map, watch=watch)
            shown = {"folder": folder.place, "rows": current.rows, "files": len(current.files)}
            context.add_asset_metadata(shown)
            return dg.MaterializeResult(data_version=dg.DataVersion(current.digest))

    return run


@cache
def assets(scope: Scope) -> list[dg.AssetsDefinition]:
    """The assets of `scope`: the lab's files, ingest to publish, and export."""
    stages = [_stage_asset(stage, scope) for stage in STAGES.values()]
    return [lab_files(scope), *stages, _publish_asset(scope), _export_asset(scope)]
