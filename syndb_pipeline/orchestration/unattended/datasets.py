"""The asset `datasets`: how every dataset is, on one page, those that need a person first.

Belongs here: showing the overview, and knowing cheaply whether it may have changed. Does not: how
a dataset is (`syndb_pipeline.publishing.overview`), or when it is looked at (`sensors.py`).
"""

# No `from __future__ import annotations`: Dagster reads the annotations of asset functions as
# types.

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg

from syndb_pipeline.base.digests import digest_of
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.orchestration.failures import as_failures
from syndb_pipeline.orchestration.markdown import escaped
from syndb_pipeline.orchestration.resources import pipeline_of
from syndb_pipeline.orchestration.scope import OWN, Scope
from syndb_pipeline.publishing.overview import Line, overview
from syndb_pipeline.state.registry import configs

DATASETS_ASSET = "datasets"

SHOWN_IN_PLACE = 1000
"""Characters of Markdown from which on Dagster's pages show a button instead."""

MAX_WHY = 240
_LATE_SECONDS = 900
"""How often it is looked at where nothing changed: a dataset becomes late by the clock alone."""

_PAGES = {"held": "package", "unpublished": "package", "rejected": "check_integrity"}
"""The asset whose page says more of a dataset in a state; that of `publish` of every other."""


def describe_datasets(lines: Sequence[Line], scope: Scope = OWN) -> dict[str, Any]:
    """The overview as metadata: counts, and the datasets in each state, in as many parts as are
    needed for Dagster to show them in place."""
    counts = Counter(line.state for line in lines)
    metadata: dict[str, Any] = {
        "summary": ", ".join(f"{count} {state}" for state, count in counts.items()) or "none yet",
        "dagster/row_count": len(lines),
    }
    for state in counts:
        shown = [_as_markdown(line, scope) for line in lines if line.state == state]
        for number, part in enumerate(_parts(shown), 1):
            name = state if number == 1 else f"{state} ({number})"
            metadata[name] = dg.MetadataValue.md("\n\n".join(part))
    return metadata


def _as_markdown(line: Line, scope: Scope) -> str:
    """A paragraph: in a table, the paths of commands would leave no room for why."""
    page = scope.page(_PAGES.get(line.state, "publish"), line.name)
    success = f"{line.last_success:%Y-%m-%d %H:%M}" if line.last_success else "never"
    late = ", late" if line.late else ""
    said = [
        f"**[{escaped(line.name)}]({page})** last success: {success}{late}",
        *(escaped(each) for each in (_short(line.why), *line.next_step.splitlines()) if each),
    ]
    return "\\\n".join(said)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_WHY else f"{text[: MAX_WHY - 1]}…"


def _parts(paragraphs: Sequence[str]) -> Iterator[list[str]]:
    """`paragraphs` in parts that are shown in place; one that alone is too long is a part."""
    part: list[str] = []
    for each in paragraphs:
        if part and sum(map(len, (*part, each))) + 2 * len(part) >= SHOWN_IN_PLACE:
            yield part
            part = []
        part.append(each)
    if part:
        yield part


@cache
def datasets(scope: Scope) -> dg.AssetsDefinition:
    """The asset of `scope`."""

    @dg.asset(
        key=scope.key(DATASETS_ASSET),
        group_name=scope.group,
        owners=scope.owners,
        required_resource_keys={scope.resource},
        description=(
            "How every dataset is: what needs a person first, why, and what to type. Brought up to"
            " date by the sensor `discover_datasets` when something changed, or by Materialize."
        ),
    )
    def run(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        with as_failures():
            found = overview(pipeline_of(scope, context).settings())
            context.add_asset_metadata(describe_datasets(found, scope))
            return dg.MaterializeResult()

    return run


def shown_again(
    settings: PipelineSettings, scope: Scope, shown: str
) -> tuple[list[dg.AssetMaterialization], str]:
    """What a sensor reports of the asset, nothing where it shows what it did; and the digest of
    what it shows, as `shown` is of what it did."""
    lines = [line.model_copy(update={"running": None}) for line in overview(settings)]
    found = digest_of([line.model_dump(mode="json") for line in lines])
    if found == shown:
        return [], found
    metadata = describe_datasets(lines, scope)
    return [dg.AssetMaterialization(scope.key(DATASETS_ASSET), metadata=metadata)], found


def traces(settings: PipelineSettings) -> str:
    """A digest that is another one whenever a dataset's line may be, of names and times alone:
    every record is put in its place by a rename, which its folder's time shows. And now and then,
    as a dataset becomes late by the clock."""
    found = [[repr(settings.notify), int(time.time() // _LATE_SECONDS)]]
    found += [_entry(path) for path in configs(settings).values()]
    for folder in sorted(settings.state.glob("datasets/*")):
        each = (folder, folder / "attempts", *sorted((folder / "publish").glob("[!.]*")))
        found += map(_entry, each)
    return digest_of(found)


def _entry(path: Path) -> list[Any]:
    try:
        found = path.stat()
    except OSError:
        return [str(path)]
    return [str(path), found.st_mtime_ns, found.st_size]
