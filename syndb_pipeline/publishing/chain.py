"""Does everything still hold that the stages left? The whole chain recomputed, nothing run.

Belongs here: comparing records with lab files, config, versions and outputs as they are now. Does
not: repairing anything.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.stages import runner
from syndb_pipeline.state.stage import Context, Stage
from syndb_pipeline.state.store import Record

StageState = Literal["current", "stale", "missing"]


class Link(BaseModel):
    """One stage of the chain: whether its outputs are whole and made from what it would read now.

    `changes` say in words what is not as it was; they are empty for a stage that is stale only
    because of an earlier one, `behind`.
    """

    model_config = ConfigDict(frozen=True)

    stage: str
    state: StageState
    changes: tuple[str, ...] = ()
    behind: str | None = None
    digest: str | None = None


def recompute(context: Context) -> list[Link]:
    """Every stage's link, in order: digests of lab files, config and outputs taken again, versions
    compared. Reads every byte involved.
    """
    links: list[Link] = []
    for stage in runner.STAGES.values():
        behind = next((link.stage for link in links if link.state != "current"), None)
        links.append(_link(context, stage, behind))
    return links


def _link(context: Context, stage: Stage, behind: str | None) -> Link:
    record = context.store.record(stage.name)
    if record is None and context.store.record_path(stage.name).is_file():
        damage = f"{stage.name}/record.json, which the pipeline wrote, was changed"
        return Link(stage=stage.name, state="stale", changes=(damage,), behind=behind)
    if record is None:
        return Link(stage=stage.name, state="missing", behind=behind)
    # What a stage would read now cannot be known while the one before it is not whole.
    changes = _changes(context, stage, record) if behind is None else _damage(context, record)
    state: StageState = "stale" if changes or behind else "current"
    return Link(
        stage=stage.name, state=state, changes=tuple(changes), behind=behind, digest=record.digest
    )


def _changes(context: Context, stage: Stage, record: Record) -> list[str]:
    changes = []
    try:
        now = runner.expected_inputs(context, stage)
        changes += [
            _input_change(name, name in record.inputs, name in now)
            for name in _unequal(record.inputs, now)
        ]
    except PipelineError as error:
        changes.append(error.message)
    versions = runner.versions(stage)
    for name in _unequal(record.versions, versions):
        changes.append(
            f"the version of {name} is {versions.get(name)}, it was {record.versions.get(name)}"
        )
    return changes + _damage(context, record)


def _damage(context: Context, record: Record) -> list[str]:
    return [
        f"{name}, which the pipeline wrote, was changed or removed"
        for name in context.store.mismatches(record)
    ]


def _unequal(before: dict[str, str], now: dict[str, str]) -> list[str]:
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def _input_change(name: str, was_there: bool, is_there: bool) -> str:
    kind, _, rest = name.partition(":")
    how = "changed" if was_there and is_there else "is gone" if was_there else "is new"
    if kind == "file":
        return f"the lab's file {rest} {how}"
    if kind == "corrections":
        return f"the file of corrections of {rest} {how}"
    if kind == "record":
        return f"what {rest} found {how}"
    if kind == "config":
        return f"the config{f' ({rest})' if rest else ''} {how}"
    if name in ("paths", "files"):
        return "meshes or skeletons, or the paths to them, changed or are gone"
    return f"{name} {how}"
