"""pyarrow, imported when something of it is first used: it takes a tenth of a second, and 30 MB
that a process which only looks at configs and records does not need.

Belongs here: that. Does not: any reading or writing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class _Later:
    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        found = getattr(import_module(self._module), name)
        setattr(self, name, found)
        return found


# They carry no types.
pa: Any = _Later("pyarrow")
pq: Any = _Later("pyarrow.parquet")
pc: Any = _Later("pyarrow.compute")
