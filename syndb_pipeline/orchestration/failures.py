"""Our errors as Dagster failures: the message a person can act on, no traceback.

Belongs here: turning one into the other. Does not: deciding what is an error.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg
import duckdb

from syndb_pipeline.base.errors import Exit, PipelineError, of_the_machine
from syndb_pipeline.report.terminal import by_severity, describe, summary
from syndb_pipeline.rules.finding import Finding

SHOWN_FINDINGS = 10
"""Errors that a failure's message says in full; the others are in the asset's findings table."""


class Failure(dg.Failure):
    """A failed step as the run page shows it."""


# Python writes an exception's module before its name unless it is a builtin; people should read
# "Failure: ...", not our module's path.
Failure.__module__ = "builtins"


def failure(message: str, exit_code: Exit, metadata: Mapping[str, Any] | None = None) -> Failure:
    """A failure that Dagster shows as `message` and `metadata` alone, that no retry policy repeats,
    and that the command line maps to `exit_code`.
    """
    # Dagster stores a stack with every failed step. There is nothing in it for a person whose data
    # were refused, and Python leaves it out at limit 0. A run has its own process, and
    # `as_failures` gives tracebacks back to whatever comes next in it.
    sys.tracebacklimit = 0
    shown = {**(metadata or {}), "exit_code": int(exit_code)}
    return Failure(description=message, metadata=shown, allow_retries=False)


def reason_in(failed: Any) -> tuple[Exit, str] | None:
    """The exit code and message that `failure` gave to the failure of a step (Dagster's
    `StepFailureData`); None where another error ended it."""
    data = failed.user_failure_data if failed else None
    if data is None or "exit_code" not in data.metadata:
        return None
    return Exit(int(str(data.metadata["exit_code"].value))), data.description or ""


def exit_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Exit | None:
    """The exit code of a run that failed: that of its first failed step which has one."""
    entries = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    events = (entry.dagster_event for entry in entries if entry.dagster_event)
    codes = (found[0] for event in events if (found := reason_in(event.step_failure_data)))
    return next(codes, None)


def show_tracebacks() -> None:
    """Undo what `failure` did to tracebacks."""
    if hasattr(sys, "tracebacklimit"):
        del sys.tracebacklimit


@contextmanager
def as_failures() -> Iterator[None]:
    """Around the body of every asset, check and op: our own errors and the machine's become
    failures; mistakes keep their traceback.
    """
    show_tracebacks()
    try:
        yield
    except PipelineError as error:
        raise failure(str(error), error.exit) from None
    except (OSError, duckdb.Error) as error:
        reason = of_the_machine(error)
        if reason is None:
            raise
        raise failure(str(reason), reason.exit) from None


def rejection(dataset: str, findings: Sequence[Finding]) -> str:
    """The message of a run whose data were refused: the counts, then each error with its places and
    fix.
    """
    errors = [finding for finding in by_severity(findings) if finding.severity == "error"]
    shown = [describe(finding) for finding in errors[:SHOWN_FINDINGS]]
    if len(errors) > SHOWN_FINDINGS:
        shown.append(
            f"... and {len(errors) - SHOWN_FINDINGS} more; see the findings of check_integrity."
        )
    return "\n\n".join([f"{dataset} is rejected: {summary(findings)}.", *shown])
