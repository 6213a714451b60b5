"""What pipeline.yaml says of a SynDB behind its REST interface.

Belongs here: what this interface alone is set with. Does not: what every server is set with
(`http/`), or secrets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.config.yaml_file import Strict, Text
from syndb_pipeline.destinations.http import UNTESTED, HttpDestination

if TYPE_CHECKING:
    from syndb_pipeline.destinations.base import Destination


class UploadLocation(Strict):
    """Where uploads come from, which SynDB asks with each (A: the upload's query). Nothing is given
    unless somebody writes it here.
    """

    continent: Text = "unknown"
    country: str = Field(
        default="XX", pattern=r"^[A-Za-z]{2}$", description="ISO 3166-1 alpha-2; XX says nothing."
    )
    city: Text = "unknown"


class RestDestination(HttpDestination):
    """A SynDB behind its REST interface. Who logs in is kept apart: `syndb-pipeline login`."""

    generation = 1
    kind: Literal["rest"]
    location: UploadLocation = UploadLocation()

    @property
    def speaks(self) -> str:
        return f"SynDB REST 0.7.2 (generation 1); {UNTESTED}"

    @property
    def sent_along(self) -> str:
        place = self.location
        return (
            f"; uploads say where they come from: city {place.city}, country {place.country}, "
            f"continent {place.continent}"
        )

    def open(
        self, name: str, settings: PipelineSettings, log: Callable[[str], None]
    ) -> Destination:
        from syndb_pipeline.destinations.rest import destination  # no other needs httpx

        return destination.RestDestination(name, self, settings, log)
