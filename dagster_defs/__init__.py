"""SynDB's pipeline as Dagster shows it: `dagster dev -m dagster_defs`, `dg dev` and
`workspace.yaml` all load `defs` from here.

Belongs here: the one name that Dagster looks for, and how its process begins. Does not: anything
else.
"""

import gc

# As for the command line (`syndb_pipeline.cli.main`); a run's process imports as much.
gc.set_threshold(100_000, 20, 20)

from dagster_defs.definitions import defs  # noqa: E402 - first what makes importing cheaper

__all__ = ["defs"]
