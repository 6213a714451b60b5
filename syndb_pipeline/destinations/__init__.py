"""Where packages go: SynDB nodes of any kind behind one interface.

Belongs here: the interface, its implementations, and opening one by its name in pipeline.yaml. Does not: stages, plans, approvals.
"""

from __future__ import annotations

from syndb_pipeline.contract.vocabularies import nearest
from syndb_pipeline.destinations.base import Destination
from syndb_pipeline.destinations.embedded import EmbeddedNode
from syndb_pipeline.errors import ConfigError
from syndb_pipeline.settings import PipelineSettings


def open_destination(settings: PipelineSettings, name: str) -> Destination:
    """The destination called `name` in pipeline.yaml. Raises `ConfigError` with the names there are."""
    if name not in settings.destinations:
        near = nearest(name, settings.destinations, 3, 0.5)
        hint = (
            f"did you mean {', '.join(near)}?"
            if near
            else f"allowed: {', '.join(settings.destinations) or 'none; pipeline.yaml names none'}"
        )
        raise ConfigError(
            f"publish.destination: there is no destination {name!r}; {hint}", next_step="Destinations stand in pipeline.yaml."
        )
    config = settings.destinations[name]
    return EmbeddedNode(name, config.path, owner=config.owner, memory_limit=settings.memory_limit, threads=settings.threads)
