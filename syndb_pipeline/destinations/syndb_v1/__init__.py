"""What pipeline.yaml says of a SynDB that speaks `/v1`, generation 2 of its interface.

Belongs here: its settings. Does not: what generation 2 calls tables (`wire.py`), secrets (`http/`).

No server of this kind was ever at hand. What this folder knows is from **P**, SynDB's documentation
site, and **M**, notes in its maintainer's public repositories; what neither says is taken from the
server's own `/openapi.json`, which P calls the authoritative reference, or not done at all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from syndb_pipeline.config.addresses import safe_address
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.destinations.http import UNTESTED, HttpDestination
from syndb_pipeline.destinations.syndb_v1.wire import cannot_send

if TYPE_CHECKING:
    from syndb_pipeline.destinations.base import Destination


class SyndbV1Destination(HttpDestination):
    """A SynDB of generation 2 (`/v1`). Who logs in is kept apart: `syndb-pipeline login`."""

    generation = 2
    kind: Literal["syndb_v1"]
    url: Annotated[
        str, AfterValidator(safe_address), AfterValidator(lambda url: url.removesuffix("/v1"))
    ] = Field(description="Address of the server, with or without /v1; https, or loopback.")
    settle_seconds: float = Field(
        default=360,
        ge=0,
        description="How long after an unanswered upload its rows may still appear; SynDB keeps"
        " its counts for five minutes.",
    )

    @property
    def target(self) -> str:
        return f"{self.url}/v1"

    @property
    def speaks(self) -> str:
        return f"SynDB /v1 (generation 2), as SynDB's documentation site has it; {UNTESTED}"

    def cannot_send(self, tables: Collection[str], files: int) -> list[str]:
        return cannot_send(tables, files)

    def open(
        self, name: str, settings: PipelineSettings, log: Callable[[str], None]
    ) -> Destination:
        from syndb_pipeline.destinations.syndb_v1.destination import SyndbV1  # needs httpx

        return SyndbV1(name, self, settings, log)
