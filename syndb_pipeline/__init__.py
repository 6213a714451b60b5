"""syndb-pipeline: a lab's tables of reconstructed neurons, brought into SynDB.

Belongs here: the domain, usable without any orchestrator, and what others import of it. Does not:
Dagster, which `orchestration` wraps around it.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from syndb_pipeline.api import (
        Exported,
        ReportFiles,
        Result,
        check,
        export,
        init,
        plan,
        prepare,
        publish,
        report,
    )
    from syndb_pipeline.base.errors import (
        ApprovalError,
        Busy,
        ConfigError,
        DataRejected,
        DestinationRefused,
        Exit,
        OutcomeUnknown,
        PipelineError,
    )

__version__ = "0.1.0"

__all__ = [
    "ApprovalError",
    "Busy",
    "ConfigError",
    "DataRejected",
    "DestinationRefused",
    "Exit",
    "Exported",
    "OutcomeUnknown",
    "PipelineError",
    "ReportFiles",
    "Result",
    "check",
    "export",
    "init",
    "plan",
    "prepare",
    "publish",
    "report",
]


class _Package(ModuleType):
    """Imports `api` with the first use of it, and keeps `report` the function, where Python would
    have it be the room of that name once that is imported.
    """

    def __getattr__(self, name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from syndb_pipeline import api
        from syndb_pipeline.base import errors

        return getattr(api if hasattr(api, name) else errors, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *__all__]


sys.modules[__name__].__class__ = _Package
