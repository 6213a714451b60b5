"""The rules as asset checks: for each stage, the families of rules it checks, with counts and
places.

Belongs here: when a check fails, and what it shows. Does not: the rules and their families
(`syndb_pipeline.rules.catalogue`) or checking them.
"""

# No `from __future__ import annotations`: Dagster reads the annotations of check functions as
# types.

import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import dagster as dg

from syndb_pipeline.base.errors import Exit, PipelineError
from syndb_pipeline.orchestration.failures import as_failures, failure, rejection
from syndb_pipeline.orchestration.metadata import (
    examples_table,
    findings_table,
    out_of_bounds,
    report_link,
    rows_table,
    set_aside_table,
)
from syndb_pipeline.orchestration.resources import pipeline_of
from syndb_pipeline.orchestration.scope import Scope
from syndb_pipeline.report.terminal import by_severity, summary
from syndb_pipeline.rules.catalogue import FAMILIES, VERDICT, Family
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import Record, VerdictRecord

SHOWN_MESSAGES = 5


BLOCKING_STAGE = "check_integrity"
"""Checks up to join_relations do not block, so that one run reports everything to a lab."""


def judge(family: Family, record: Record, context: Context | None = None) -> dg.AssetCheckResult:
    """Passed, or failed with counts and places. Warnings alone fail with severity WARN, which
    blocks nothing; hints pass.

    So do errors of an accepted dataset: their rows are quarantined. With its `context`, failing
    columns are drawn.
    """
    found = [finding for finding in record.findings if family.covers(finding.code)]
    errors = [finding for finding in found if finding.severity == "error"]
    warnings = [finding for finding in found if finding.severity == "warning"]
    # The verdict is about errors; warnings are shown with their own family.
    verdict = record.details if isinstance(record, VerdictRecord) else None
    accepted = verdict is not None and verdict.accepted
    passed = accepted if family.name == VERDICT else not (errors or warnings)
    blocks = bool(errors) and not accepted
    metadata: dict[str, Any] = {
        "errors": len(errors),
        "warnings": len(warnings),
        "places": sum(finding.count for finding in errors or warnings),
    }
    if verdict and verdict.set_aside:
        metadata["quarantined"] = set_aside_table(verdict.set_aside)
    if family.name == VERDICT and errors:
        metadata |= {"rows": rows_table(record.tables, errors=errors)}
        metadata["findings"] = findings_table(errors)
    elif family.name != VERDICT and found:
        metadata |= {"findings": findings_table(found), "examples": examples_table(found)}
        metadata |= out_of_bounds(context, record, errors) if context else {}
    return dg.AssetCheckResult(
        passed=passed,
        check_name=family.name,
        severity=dg.AssetCheckSeverity.WARN
        if (errors or warnings) and not blocks
        else dg.AssetCheckSeverity.ERROR,
        description=_sentences(errors or warnings) if not passed else summary(found),
        metadata=metadata,
    )


def _sentences(findings: Sequence[Finding]) -> str:
    shown = [
        f"{finding.code}: {finding.message}" for finding in by_severity(findings)[:SHOWN_MESSAGES]
    ]
    more = len(findings) - len(shown)
    return "\n".join([f"{summary(findings)}.", *shown, *([f"... and {more} more"] if more else [])])


def _stage_checks(stage: str, families: Sequence[Family], scope: Scope) -> dg.AssetChecksDefinition:
    """The checks of one stage, as one step that reads the stage's record once; each can be run
    alone.
    """

    @dg.multi_asset_check(
        name=scope.named(f"{stage}_rules"),
        specs=[
            dg.AssetCheckSpec(
                family.name,
                asset=scope.key(stage),
                description=family.description,
                blocking=stage == BLOCKING_STAGE,
                partitions_def=scope.partitions_def,
            )
            for family in families
        ],
        can_subset=True,
        required_resource_keys={scope.resource},
    )
    def check(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        with as_failures():
            dataset = pipeline_of(scope, context).context_of(context)
            record = dataset.store.record(stage)
            if record is None:
                raise PipelineError(
                    f"{stage} has not run on {dataset.config.name}.",
                    next_step=f"Run {stage} first.",
                )
            selected = {key.name for key in context.selected_asset_check_keys}
            wanted = [family for family in families if family.name in selected]
            results = [judge(family, record, dataset) for family in wanted]
            yield from results
            refused = [
                r for r in results if not r.passed and r.severity is dg.AssetCheckSeverity.ERROR
            ]
            if stage == BLOCKING_STAGE and refused:
                # Dagster would end the run with the names of the blocking checks; a person needs to
                # read what is wrong with the data.
                reason = rejection(dataset.config.name, record.findings)
                raise failure(reason, Exit.REJECTED, report_link(dataset, scope))

    return check


def _grouped() -> dict[str, list[Family]]:
    grouped: dict[str, list[Family]] = {}
    for family in FAMILIES.values():
        grouped.setdefault(family.stage, []).append(family)
    return grouped


@cache
def checks(scope: Scope) -> list[dg.AssetChecksDefinition]:
    """The checks of the assets of `scope`."""
    with warnings.catch_warnings():
        # Partitioned checks are a preview in Dagster 1.13; without them one dataset's result would
        # be shown for all. The version is pinned.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [_stage_checks(stage, each, scope) for stage, each in _grouped().items()]
