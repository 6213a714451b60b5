"""The destinations of pipeline.yaml: which kinds there are, and the settings with them.

Belongs here: the list of kinds. Does not: what a kind is set with (`<kind>/settings.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from syndb_pipeline.config import settings as config
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.destinations.base import DestinationSettings
from syndb_pipeline.destinations.embedded.settings import EmbeddedDestination
from syndb_pipeline.destinations.rest.settings import RestDestination


def _kind(value: Any) -> str:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return "embedded" if kind is None else str(kind)


Kind = Annotated[
    Annotated[EmbeddedDestination, Tag("embedded")]
    | Annotated[RestDestination, Tag("rest")],  # another kind: one more line
    Discriminator(_kind),
]


class Settings(PipelineSettings):
    __doc__ = PipelineSettings.__doc__

    destinations: dict[str, Kind] = Field(default={"local": EmbeddedDestination()})

    def located(self, state: Path, beside: Path | None) -> dict[str, DestinationSettings]:
        return {name: own.located(state, beside) for name, own in self.destinations.items()}


def load_settings(path: Path | None = None, *, near: Path | None = None) -> Settings:
    """`config.load_settings` with the destinations."""
    return config.load_settings(path, near=near, model=Settings)
