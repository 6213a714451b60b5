"""Plans that standing approval does not send: holding them until a person answers, and rejecting.

Belongs here: when a hold begins and what is said of it. Does not: its reasons (`guardrails.py`),
approving (`plan.py`), sending (`publish.py`), or keeping the records (`records.py`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from textwrap import fill

from syndb_pipeline.base.errors import ApprovalError
from syndb_pipeline.publishing.plan import Plan, names, plan
from syndb_pipeline.publishing.records import Decision, Hold, How, PublishRecords
from syndb_pipeline.state.stage import Context


def rejection(context: Context, current: Plan) -> Hold | None:
    """The hold by which a person rejected this plan, or another with the same content."""
    rejected = [each for each in PublishRecords(context.store).holds() if each.rejected]
    same = (current.digest, current.sent_content) if rejected else ()
    return next((each for each in rejected if {each.plan, each.content} & {*same}), None)


def hold(context: Context, current: Plan, rejected: Hold | None = None) -> ApprovalError:
    """Keep that the plan is held, or rejected as another of its content was; what to raise."""
    records, config = PublishRecords(context.store), context.config
    known = rejected or next((e for e in records.holds() if e.plan == current.digest), None)
    held = _hold_of(current, known)
    if not held.rejected:  # an approval that counts would have sent it
        held = held.model_copy(update={"decisions": ()})
    records.keep_hold(held)
    command = f"{config.path} {current.digest[:12]}"
    step = f"Read the plan: syndb-pipeline plan {config.path}"
    step += f"\nLet it be sent: syndb-pipeline approve {command}"
    if not held.rejected:
        step += f"\nKeep it back: syndb-pipeline reject {command} --reason TEXT"
    lines = "".join(f"\n{line}" for line in held.compared.lines())
    last = records.last(None, current.destination, "upload")
    if last is not None and last.state in ("start", "unanswered"):
        lines += f"\nThat the upload of {last.at:%Y-%m-%d %H:%M} UTC arrived is still not known."
    return ApprovalError(f"{fill(f'Held {held.answered}.', 80)}{lines}", next_step=step)


def _hold_of(current: Plan, known: Hold | None) -> Hold:
    return Hold(
        plan=current.digest,
        content=current.sent_content,
        destination=current.destination,
        since=known.since if known else datetime.now(UTC),
        compared=known.compared if known and known.rejected else current.compared,
        decisions=known.decisions if known else (),
    )


def reject(context: Context, digest: str | None, by: str, how: How, reason: str) -> Hold:
    """Keep a person's no to a plan: it is never sent, nor any other of the same content, until a
    person approves it.

    Args:
        context: The dataset.
        digest: The plan's, in full or its first 12 characters or more; that of the held plan when
            it is left out.
        by: Who rejects it.
        how: In which way.
        reason: Theirs.

    Raises:
        ApprovalError: No plan is held, or the digest is that of another plan.
    """
    records, config = PublishRecords(context.store), context.config.path
    with records.lock():
        held = records.hold()
        if held is None or (digest is not None and not names(digest, held.plan)):
            if digest is None:
                raise ApprovalError(
                    "No plan is held.",
                    next_step=f"See the plan and its digest with: syndb-pipeline plan {config}\n"
                    f"Then: syndb-pipeline reject {config} DIGEST --reason TEXT",
                )
            current = plan(context)
            if not names(digest, current.digest):
                raise ApprovalError(
                    f"{digest or 'An empty digest'} is not the digest of the plan,"
                    f" {current.digest}.",
                    next_step=f"Look at the plan with: syndb-pipeline plan {config}",
                )
            known = next((each for each in records.holds() if each.plan == current.digest), None)
            held = _hold_of(current, known)
            records.keep_hold(held)
        no = Decision(answer="rejected", by=by, how=how, at=datetime.now(UTC), reason=reason)
        records.decide(held.plan, held.content, no)
        return held.model_copy(update={"decisions": (*held.decisions, no)})
