"""Where packages go: SynDB nodes of any kind behind one interface.

Belongs here: the interface, its implementations, and opening one by its name in pipeline.yaml. Does
not: stages, plans, approvals.
"""

from __future__ import annotations

from collections.abc import Callable

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.contract.vocabularies import nearest
from syndb_pipeline.destinations.base import Destination


def _silent(_: str) -> None:
    return None


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
    settings: PipelineSettings, name: str, say: Callable[[str], None] = _silent
) -> Destination:
    """The destination called `name` in pipeline.yaml; `say` hears what it does and waits for.

    Raises `ConfigError` with the names there are.
    """
    require_named(settings, name)
    opened: Destination = settings.destinations[name].open(name, settings, say)
    return opened
