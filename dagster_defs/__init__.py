"""SynDB's pipeline as Dagster shows it: `dagster dev -m dagster_defs`, `dg dev` and
`workspace.yaml` all load `defs` from here.

Belongs here: the one name that Dagster looks for. Does not: anything else.
"""

from dagster_defs.definitions import defs

__all__ = ["defs"]
