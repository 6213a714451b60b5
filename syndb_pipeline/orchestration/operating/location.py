"""The code location that `up`, `dagster dev`, `dg` and `workspace.yaml` load.

Belongs here: the one name that Dagster looks for, and how its process begins. Does not: any
definition.
"""

import gc

import dagster as dg

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.destinations import load_settings
from syndb_pipeline.orchestration.definitions import own_defs

# As for the command line (`syndb_pipeline.cli.main`); a run's process imports as much.
gc.set_threshold(100_000, 20, 20)


@dg.definitions
def defs() -> dg.Definitions:
    """All definitions, for the pipeline.yaml that the command line would find."""
    try:
        eager = load_settings().automation == "eager"
    except ConfigError:  # `discover_datasets` says what is wrong with it
        eager = False
    condition = dg.AutomationCondition.eager() if eager else None
    return own_defs(automation_condition=condition)
