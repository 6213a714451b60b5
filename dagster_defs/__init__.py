"""SynDB's pipeline as Dagster shows it: `dagster dev -m dagster_defs`, `dg dev` and
`workspace.yaml` all load `defs` from here.

Belongs here: the one name that Dagster looks for, and how its process begins. Does not: anything
else. The definitions are loaded when they are asked for: webserver and daemon import modules of
this package for what `dagster.yaml` names, and have no use for them.
"""

import gc
from typing import Any

# As for the command line (`syndb_pipeline.cli.main`); a run's process imports as much.
gc.set_threshold(100_000, 20, 20)

__all__ = ["defs"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dagster_defs.definitions import defs

    return defs


def __dir__() -> list[str]:
    return __all__
