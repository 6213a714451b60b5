"""syndb-pipeline: a lab's tables of reconstructed neurons, brought into SynDB.

Belongs here: the domain, usable without any orchestrator. Does not: Dagster, which `dagster_defs`
wraps around it.
"""

__version__ = "0.1.0"
