"""The asset `lab_files`: the files of every dataset as they were last seen, so that the UI shows
which datasets are older than their files.

Belongs here: the asset, and what it shows. Does not: looking at files (`watching.py`), or when
(`sensors.py`).
"""

# No `from __future__ import annotations`: Dagster reads the annotations of asset functions as
# types.

import time
import warnings
from collections.abc import Iterator
from typing import Any

import dagster as dg

from syndb_pipeline.base.progress import amount
from syndb_pipeline.config.settings import DatasetConfig
from syndb_pipeline.orchestration.failures import as_failures
from syndb_pipeline.orchestration.markdown import markdown_table
from syndb_pipeline.orchestration.resources import pipeline_of
from syndb_pipeline.orchestration.scope import Scope
from syndb_pipeline.orchestration.unattended.watching import Glance, glance

LAB_FILES = "lab_files"

_COLUMNS = (("table", "string"), ("files", "int"), ("size", "int"), ("last written", "string"))


def lab_files(scope: Scope) -> dg.AssetsDefinition:
    """The asset of `scope`."""
    spec = dg.AssetSpec(
        scope.key(LAB_FILES),
        partitions_def=scope.partitions_def,
        group_name=scope.group,
        owners=scope.owners,
        kinds={"file"},
        skippable=True,
        description=(
            "The lab's files of each dataset, as they were last seen: by `watch_files`, by a run"
            " that read them, or by Observe. When one has another size or time of change since"
            " ingest read it, ingest is out of date."
        ),
    )

    def observe(context: dg.AssetExecutionContext) -> Iterator[dg.ObserveResult]:
        with as_failures():
            for name, config in pipeline_of(scope, context).datasets().items():
                chosen = not context.has_partition_key or context.partition_key == name
                if chosen and isinstance(config, DatasetConfig):
                    context.log_event(observation(scope, name, glance(config)))
        # Observe gives no partition, and a result is of the run's partition.
        yield from ()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # in Dagster 1.13
        made = dg.multi_observable_source_asset(
            name=scope.named(f"observe_{LAB_FILES}"),
            specs=[spec],
            required_resource_keys={scope.resource},
        )
    asset: dg.AssetsDefinition = made(observe)
    return asset


def seen_by(context: dg.AssetExecutionContext, config: DatasetConfig, scope: Scope) -> None:
    """Note that the asset of `context`, which depends on `lab_files`, is about to read the files as
    they are now.
    """
    context.log_event(observation(scope, config.name, glance(config)))
    # Dagster took note of what the asset depends on before the step began.
    step = context.get_step_execution_context()
    step.wipe_input_asset_version_info(scope.key(LAB_FILES))


def observation(scope: Scope, dataset: str, seen: Glance) -> dg.AssetObservation:
    """That the files of a dataset were seen as they are."""
    return dg.AssetObservation(
        scope.key(LAB_FILES),
        partition=dataset if scope.partitions_def else None,
        tags={
            "dagster/data_version": seen.version,
            "dagster/data_version_is_user_provided": "true",
        },
        metadata=describe_files(seen),
    )


def describe_files(seen: Glance) -> dict[str, Any]:
    """What the page of the asset shows: the files of each table, how large, and how old."""
    lines = [
        {
            "table": table,
            "files": files,
            "size": amount(size) if files else "missing",
            "last written": _moment(newest) if files else "",
        }
        for table, (files, size, newest) in seen.tables.items()
    ]
    return {"files": markdown_table(_COLUMNS, lines)}


def _moment(nanoseconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(nanoseconds / 1e9))
