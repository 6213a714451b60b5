"""What pipeline.yaml says of a SynDB node in a folder of this machine.

Belongs here: its settings. Does not: the node (`node.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.config.yaml_file import Text
from syndb_pipeline.destinations.base import DestinationSettings

if TYPE_CHECKING:
    from syndb_pipeline.destinations.base import Destination


class EmbeddedDestination(DestinationSettings):
    """A SynDB node in a folder of this machine."""

    kind: Literal["embedded"] = "embedded"
    path: Path = Field(default=Path("node"), description="Folder of the node; relative to `state`.")
    owner: Text = Field(
        default="", description="Who publishes; the operating system's user when empty."
    )

    @property
    def target(self) -> str:
        return self.kind

    @property
    def speaks(self) -> str:
        return "rules of SynDB REST 0.7.2 (generation 1), on this machine"

    def located(self, state: Path, beside: Path | None) -> EmbeddedDestination:
        """The same node by its whole path. A file `beside` a dataset names none outside of
        `state`."""
        node = (state / self.path.expanduser()).resolve()
        if beside and not node.is_relative_to(state):
            node = state / EmbeddedDestination().path
        return self.model_copy(update={"path": node})

    def open(
        self, name: str, settings: PipelineSettings, log: Callable[[str], None]
    ) -> Destination:
        from syndb_pipeline.destinations.embedded.node import EmbeddedNode

        limit, threads = settings.memory_limit, settings.threads
        return EmbeddedNode(name, self.path, owner=self.owner, memory_limit=limit, threads=threads)
