"""The rules as asset checks: for each stage, the families of rules it checks, with counts and
places.

Belongs here: which rules make a family, and when a check fails. Does not: the rules
(`syndb_pipeline.rules.catalogue`) or checking them.
"""

# No `from __future__ import annotations`: Dagster reads the annotations of check functions as
# types.

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from dagster_defs.failures import failure, rejection, tell_failures
from dagster_defs.metadata import examples_table, findings_table, set_aside_table
from dagster_defs.partitions import DATASETS
from dagster_defs.resources import PipelineResource
from syndb_pipeline.base.errors import Exit, PipelineError
from syndb_pipeline.report.report import by_severity, summary
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.stages.check_integrity import ACCEPTED
from syndb_pipeline.state.store import Record

VERDICT = "verdict"
TOLD_CAUSES = 5


@dataclass(frozen=True)
class Family:
    """Rules that are checked, and shown, together: those of `stage` whose codes start with one of
    `codes`.
    """

    name: str
    stage: str
    codes: tuple[str, ...]
    description: str

    def findings(self, record: Record) -> list[Finding]:
        return [finding for finding in record.findings if finding.code.startswith(self.codes)]


FAMILIES = (
    Family(
        "files_are_readable",
        "ingest",
        ("SYN-READ-",),
        "Every file is there and every line, cell and byte of it can be read.",
    ),
    Family(
        "columns_are_known",
        "ingest",
        ("SYN-COL-",),
        "Every column is one that SynDB's table has, and none that it needs is missing.",
    ),
    Family(
        "values_follow_the_contract",
        "validate",
        ("SYN-TYPE-", "SYN-VAL-", "SYN-PATH-"),
        "Numbers are numbers and within their range, texts fit, files named in cells exist.",
    ),
    Family(
        "words_are_known",
        "validate",
        ("SYN-VOC-",),
        "Words of a vocabulary are SynDB's; others are kept, with a warning.",
    ),
    Family(
        "units_are_plausible",
        "validate",
        ("SYN-UNIT-",),
        "Lengths, areas and volumes look like nanometres and agree with each other.",
    ),
    Family(
        "keys_are_unique",
        "assign_ids",
        ("SYN-ID-",),
        "Every row has a key of its own that no spreadsheet damaged.",
    ),
    Family(
        "relations_resolve",
        "join_relations",
        ("SYN-REL-",),
        "Every parent and reference names a row that is there.",
    ),
    Family(
        "dataset_is_connected",
        "check_integrity",
        ("SYN-INT-", "SYN-UNIT-004"),
        "All tables hang together, synapses lead to neurons, declared counts agree with the rows.",
    ),
    Family(
        "columns_are_sent",
        "check_integrity",
        ("SYN-COL-004",),
        "The values of every column that is read reach SynDB.",
    ),
    Family(
        VERDICT,
        "check_integrity",
        ("SYN-",),
        "No rule of any stage found an error. While this fails, nothing is packaged or sent.",
    ),
)
"""The families by stage. Checks up to join_relations do not block, so that one run tells a lab
everything; check_integrity's do.
"""

BLOCKING_STAGE = "check_integrity"


def judge(family: Family, record: Record) -> dg.AssetCheckResult:
    """Passed, or failed with counts and places. Warnings alone fail with severity WARN, which
    blocks nothing; hints pass.

    So do errors of an accepted dataset: their rows are set aside.
    """
    found = family.findings(record)
    errors = [finding for finding in found if finding.severity == "error"]
    warnings = [finding for finding in found if finding.severity == "warning"]
    # The verdict is about errors; the warnings stand with the family that they belong to.
    passed = (
        record.details["verdict"] == ACCEPTED
        if family.name == VERDICT
        else not (errors or warnings)
    )
    blocks = bool(errors) and record.details.get("verdict") != ACCEPTED
    metadata: dict[str, Any] = {
        "errors": len(errors),
        "warnings": len(warnings),
        "places": sum(finding.count for finding in errors or warnings),
    }
    if aside := record.details.get("set_aside"):
        metadata["set aside"] = set_aside_table(aside)
    if family.name == VERDICT and errors:
        metadata["findings"] = findings_table(errors)
    elif family.name != VERDICT and found:
        metadata |= {"findings": findings_table(found, places=0), "examples": examples_table(found)}
    return dg.AssetCheckResult(
        passed=passed,
        asset_key=family.stage,
        check_name=family.name,
        severity=dg.AssetCheckSeverity.WARN
        if (errors or warnings) and not blocks
        else dg.AssetCheckSeverity.ERROR,
        description=_sentences(errors or warnings) if not passed else summary(found),
        metadata=metadata,
    )


def _sentences(findings: Sequence[Finding]) -> str:
    told = [f"{finding.code}: {finding.cause}" for finding in by_severity(findings)[:TOLD_CAUSES]]
    more = len(findings) - len(told)
    return "\n".join([f"{summary(findings)}.", *told, *([f"... and {more} more"] if more else [])])


def _stage_checks(stage: str, families: Sequence[Family]) -> dg.AssetChecksDefinition:
    """The checks of one stage, as one step that reads the stage's record once; each can be run
    alone.
    """

    @dg.multi_asset_check(
        name=f"{stage}_rules",
        specs=[
            dg.AssetCheckSpec(
                family.name,
                asset=stage,
                description=family.description,
                blocking=stage == BLOCKING_STAGE,
                partitions_def=DATASETS,
            )
            for family in families
        ],
        can_subset=True,
    )
    def check(
        context: dg.AssetCheckExecutionContext, pipeline: PipelineResource
    ) -> Iterator[dg.AssetCheckResult]:
        with tell_failures():
            dataset = pipeline.context(context.partition_key, context.log.info)
            record = dataset.store.record(stage)
            if record is None:
                raise PipelineError(
                    f"{stage} has not run on {dataset.config.name}.",
                    next_step=f"Run {stage} first.",
                )
            selected = {key.name for key in context.selected_asset_check_keys}
            results = [judge(family, record) for family in families if family.name in selected]
            yield from results
            refused = [
                r for r in results if not r.passed and r.severity is dg.AssetCheckSeverity.ERROR
            ]
            if stage == BLOCKING_STAGE and refused:
                # Dagster would end the run with the names of the blocking checks; a person needs to
                # read what is wrong with the data.
                raise failure(rejection(dataset.config.name, record.findings), Exit.REJECTED)

    return check


def _grouped() -> dict[str, list[Family]]:
    grouped: dict[str, list[Family]] = {}
    for family in FAMILIES:
        grouped.setdefault(family.stage, []).append(family)
    return grouped


def _checks() -> list[dg.AssetChecksDefinition]:
    with warnings.catch_warnings():
        # Partitioned checks are a preview in Dagster 1.13; without them one dataset's result would
        # stand for all. The version is pinned.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [_stage_checks(stage, families) for stage, families in _grouped().items()]


CHECKS = _checks()
