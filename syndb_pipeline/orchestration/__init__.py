"""The stages as Dagster shows them: assets, checks, jobs, sensors and schedules.

Belongs here: all that imports Dagster, for our own deployment and for other projects, which import
`build_defs`, `SynDBResource` and `SynDBUploadComponent` from here. `unattended` holds what runs by
itself, `operating` the instance and its processes. Does not: what a stage does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from syndb_pipeline.orchestration.component import SynDBUploadComponent
    from syndb_pipeline.orchestration.definitions import build_defs
    from syndb_pipeline.orchestration.resources import SynDBResource

__all__ = ["SynDBResource", "SynDBUploadComponent", "build_defs"]

_MODULES = {
    "SynDBResource": "resources",
    "SynDBUploadComponent": "component",
    "build_defs": "definitions",
}


def __getattr__(name: str) -> Any:
    # Imported with the first use: the command line, and a step of ours, need parts of the room.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_MODULES]
