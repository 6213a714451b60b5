"""The sensor that notifies people of runs that no command of theirs started.

Belongs here: asking for it once a minute. Does not: what is said, and to whom
(`syndb_pipeline.report.notify`).
"""

# No `from __future__ import annotations`: Dagster reads the annotations of sensor functions as
# types.

from functools import cache

import dagster as dg

from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.orchestration.partitions import Scope
from syndb_pipeline.orchestration.resources import SynDBResource, pipeline_of
from syndb_pipeline.report.notify import notify


@cache
def notices(scope: Scope) -> dg.SensorDefinition:
    """The sensor of `scope`."""

    @dg.sensor(
        name=scope.named("notices"),
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        required_resource_keys={scope.resource},
        description=(
            "Sends what became of datasets to everyone that `notify` in pipeline.yaml names. Starts"
            " no run, and has nothing to do where nobody is named."
        ),
    )
    def look(context: dg.SensorEvaluationContext, **_: object) -> dg.SkipReason:
        return _notify(context, pipeline_of(scope, context))

    return look


def _notify(context: dg.SensorEvaluationContext, pipeline: SynDBResource) -> dg.SkipReason:
    said: list[str] = []
    try:
        settings = pipeline.settings()
        if not settings.notify:
            return dg.SkipReason("pipeline.yaml has no `notify`.")
        for problem in notify(settings, wait=0, log=said.append):
            context.log.warning(problem)
            said.append(f"Not notified: {problem}")
    except (PipelineError, OSError) as error:
        said.append(str(error))
    return dg.SkipReason("\n".join(said) or "Nothing new to say.")
