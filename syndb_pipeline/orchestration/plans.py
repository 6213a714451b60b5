"""The plan of a package as the asset page shows it, and how it is answered there.

Belongs here: the plan in Markdown, its digest, and links that open a launchpad with the answer
filled in. Does not: what a plan is (`syndb_pipeline.publishing.plan`), or what the jobs do
(`decisions.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import dagster as dg
import yaml

from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.contract.tables import ordered
from syndb_pipeline.contract.vocabularies import BRAIN_STRUCTURES
from syndb_pipeline.orchestration.markdown import escaped, markdown_table
from syndb_pipeline.orchestration.scope import LOCATION, Scope
from syndb_pipeline.publishing.plan import SHORTEST_PREFIX, Plan, plan
from syndb_pipeline.publishing.plan_text import in_words
from syndb_pipeline.state.stage import Context

PUBLISH_OP = "publish_dataset"
"""Op of the asset `publish`; Dagster keeps the names of ops and jobs apart, and `publish` is a
job.
"""

APPROVE, REJECT = "approve", "reject"
"""Names of the jobs that answer a plan; their ops are `<name>_plan`."""

_LAUNCHPAD = "/locations/{served}/jobs/{job}/playground/setup?{query}"
"""Below the address at which the UI is open, whatever that is."""

Metadata = dict[str, Any]


def describe_plan(context: Context, scope: Scope, run: dg.DagsterRun) -> Metadata:
    """What the asset `package` shows of the plan, as it is now.

    Args:
        context: The dataset.
        scope: The definitions that the asset is among.
        run: The run that shows it.

    Returns:
        Where the plan would be sent, what it changes there, as much of its digest as approving
        it takes, and the answers. Where there is no plan, the reason.
    """
    try:
        current = plan(context)
    except PipelineError as error:
        return {"plan": f"There is none. {error}"}
    return {
        "plan": dg.MetadataValue.md(_as_markdown(current)),
        "plan_digest": current.digest[:SHORTEST_PREFIX],
        **_answers(context.config.name, current.digest[:SHORTEST_PREFIX], scope, run),
    }


def _answers(dataset: str, digest: str, scope: Scope, run: dg.DagsterRun) -> Metadata:
    """Links that open the launchpad of a job with its config filled in, and the config of
    `publish`, to be pasted where a link cannot be followed."""
    send = {"ops": {scope.named(PUBLISH_OP): {"config": {"approve": digest, "approved_by": ""}}}}
    plan = {"dataset": dataset, "digest": digest, "by": ""}
    keep = {"ops": {scope.named(f"{APPROVE}_plan"): {"config": plan}}}
    refuse = {"ops": {scope.named(f"{REJECT}_plan"): {"config": plan | {"reason": ""}}}}
    config = {"config of publish": dg.MetadataValue.md(f"```yaml\n{_as_yaml(send)}```")}
    if (served := _served(scope, run)) is None:
        return config
    partition = dataset if scope.partitions_def else None
    links = {
        "approve and publish": _launchpad(served, scope.named("publish"), send, partition),
        "approve for later": _launchpad(served, scope.named(APPROVE), keep),
        "reject": _launchpad(served, scope.named(REJECT), refuse),
    }
    return {
        answer: dg.MetadataValue.md(f"[open the launchpad, filled in]({link})")
        for answer, link in links.items()
    } | config


def _served(scope: Scope, run: dg.DagsterRun) -> str | None:
    """Repository and code location that the UI has the jobs of `scope` in; None for a run of
    another project's definitions that was not started through a UI or daemon."""
    if run.remote_job_origin:
        origin = run.remote_job_origin.repository_origin
        return f"{origin.repository_name}@{origin.code_location_origin.location_name}"
    return None if scope.prefix else f"__repository__@{LOCATION}"


def shown(dataset: str, scope: Scope) -> Metadata:
    """A link to what `describe_plan` shows of a dataset."""
    return {"plan": dg.MetadataValue.url(scope.page("package", dataset))}


def _as_yaml(config: dict[str, Any]) -> str:
    return yaml.safe_dump(config, sort_keys=False)


def _launchpad(served: str, job: str, config: dict[str, Any], partition: str | None = None) -> str:
    given = {"config": _as_yaml(config)}
    if partition:
        given |= {"tags[0][key]": "dagster/partition", "tags[0][value]": partition}
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in given.items())
    return _LAUNCHPAD.format(served=served, job=job, query=query)


def _as_markdown(current: Plan) -> str:
    since = current.since.tables if current.since else {}
    columns = [("table", "string"), ("rows", "int")]
    columns += [(name, "int") for name in ("added", "changed", "withdrawn") if since]
    lines = [
        {"table": name, "rows": current.tables[name].rows if name in current.tables else 0}
        | (since[name].model_dump() if name in since else {})
        for name in ordered({*current.tables, *since})
    ]
    table = markdown_table(columns, lines).md_str
    compared = "It was not published there before, as far as this machine knows."
    if current.since:
        compared = f"Compared with the publication of {current.since.published:%Y-%m-%d %H:%M} UTC."
    where = f"{current.destination} ({current.target})"
    head = [
        f"**{escaped(current.label)}** to {escaped(where)}",
        f"Licence: {escaped(current.metadata.license)}. Terms: {escaped(in_words(current.terms))}.",
        compared,
    ]
    warnings = [f"- {escaped(each)}" for each in _warnings(current)]
    return "\n\n".join([*head, str(table), "\n".join(warnings)]).rstrip()


def _warnings(current: Plan) -> Iterator[str]:
    yield from map(str, (*current.compared.reasons, *current.compared.notes))
    for region in current.metadata.brain_regions:
        if region.brain_structure not in BRAIN_STRUCTURES:
            yield f"Brain region {region.brain_structure}: not in SynDB's vocabulary."
    for name, aside in current.set_aside.items():
        yield f"{name}: quarantined, not sent: {aside}"
    if current.since and current.since.withdrawn and current.since.stay:
        yield (f"Withdrawn rows stay at {current.destination} until the dataset is deleted there.")
