"""syndb-pipeline: a lab's tables of reconstructed neurons, brought into SynDB.

Belongs here: the domain, usable without any orchestrator, and in `orchestration`, loaded only where
it is wanted, what Dagster shows of it. Does not: a deployment, which is `dagster_defs`.
"""

__version__ = "0.1.0"
