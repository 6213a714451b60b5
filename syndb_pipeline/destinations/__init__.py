"""Where packages go: SynDB nodes of any kind behind one interface.

Belongs here: which kinds of destination there are, pipeline.yaml with them, and opening one by its
name. Does not: what a kind is set with (its folder's `__init__`), stages, plans, approvals.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.config import settings as config
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.contract.vocabularies import nearest
from syndb_pipeline.destinations.base import Destination, DestinationSettings
from syndb_pipeline.destinations.embedded import EmbeddedDestination
from syndb_pipeline.destinations.folder import FolderDestination
from syndb_pipeline.destinations.rest import RestDestination
from syndb_pipeline.destinations.syndb_v1 import SyndbV1Destination


def _kind(value: Any) -> str:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return "embedded" if kind is None else str(kind)


Kind = Annotated[
    Annotated[EmbeddedDestination, Tag("embedded")]
    | Annotated[FolderDestination, Tag("folder")]
    | Annotated[RestDestination, Tag("rest")]
    | Annotated[SyndbV1Destination, Tag("syndb_v1")],  # another kind: one more line
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


def default_destination(settings: PipelineSettings) -> str:
    """The destination meant when none is named: "local" where there is one, else the first of
    pipeline.yaml. Raises `ConfigError`.
    """
    if not settings.destinations:
        raise ConfigError(
            "pipeline.yaml names no destination.",
            next_step="Add one below `destinations:`, e.g. local: {kind: embedded}",
        )
    return "local" if "local" in settings.destinations else next(iter(settings.destinations))


def require_named(settings: PipelineSettings, name: str) -> None:
    """Raises `ConfigError`, with the names there are, unless pipeline.yaml has a destination called
    `name`."""
    known = settings.destinations
    if name in known:
        return
    near = ", ".join(nearest(name, known, 3, 0.5))
    hint = f"did you mean {near}?" if near else f"there are: {', '.join(known) or 'none'}"
    raise ConfigError(
        f"There is no destination {name!r}; {hint}",
        next_step=f"They are in {settings.file or 'pipeline.yaml'}, below `destinations:`.",
    )


def open_destination(
    settings: PipelineSettings, name: str, log: Callable[[str], None] = lambda line: None
) -> Destination:
    """The destination called `name` in pipeline.yaml; `log` is called with what it does and waits
    for.

    Raises `ConfigError` with the names there are.
    """
    require_named(settings, name)
    opened: Destination = settings.destinations[name].open(name, settings, log)
    return opened
