"""What pipeline.yaml says of any SynDB behind HTTP, whatever interface it speaks.

Belongs here: settings that every such destination has, and what they mean for addresses. Does not:
an interface's routes (`rest/`, `syndb_v1/`), secrets (`credentials.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PrivateAttr

from syndb_pipeline.config.addresses import safe_address
from syndb_pipeline.destinations.base import DestinationSettings

UNTESTED: Final = "tested against the sandbox alone, never against the real SynDB"
"""What has to be said with the name of each interface."""


def origin_of(url: str) -> str:
    """`scheme://host[:port]`, in lower case and without the scheme's own port: what a token belongs
    to.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    port = (
        ""
        if parts.port in (None, {"http": 80, "https": 443}.get(parts.scheme))
        else f":{parts.port}"
    )
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"


def same_address(one: str, other: str) -> bool:
    """Whether two addresses have the same origin and the same base path."""

    def bare(url: str) -> tuple[str, str]:
        return origin_of(url.strip()), urlsplit(url.strip()).path.rstrip("/")

    try:
        return bare(one) == bare(other)
    except ValueError:  # no address at all, as a port that is no number
        return False


Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600)]


class HttpDestination(DestinationSettings):
    """A SynDB behind HTTP. Who logs in is kept apart: `syndb-pipeline login`."""

    url: Annotated[str, AfterValidator(safe_address)] = Field(
        description="Address of the server, with its base path; https, or loopback."
    )
    connect_seconds: Seconds = Field(default=10, description="How long to wait for a connection.")
    answer_seconds: Seconds = Field(
        default=300, description="How long the server may be silent before its answer."
    )
    total_seconds: Seconds = Field(
        default=6 * 3600, description="How long one request may take with all its retries."
    )
    attempts: int = Field(
        default=8,
        ge=1,
        le=100,
        description="How often a request is tried that the server did not take.",
    )
    settle_seconds: float = Field(
        default=120,
        ge=0,
        description="How long after an unanswered upload its rows may still appear.",
    )
    parallel_files: int = Field(
        default=4, ge=1, le=64, description="Meshes and skeletons sent at a time."
    )

    generation: ClassVar[int]
    """Of SynDB's interface."""

    _beside: Path | None = PrivateAttr(None)

    @property
    def target(self) -> str:
        return self.url

    @property
    def beside(self) -> Path | None:
        """The pipeline.yaml that names this address, where no person chose that file: it is beside
        a dataset. None for the user's own.
        """
        return self._beside

    @property
    def origin(self) -> str:
        """What a token belongs to: see `origin_of`."""
        return origin_of(self.url)

    @property
    def sent_along(self) -> str:
        """What an upload says beside its tables, for people; "" for nothing."""
        return ""

    def located(self, state: Path, beside: Path | None) -> Self:
        """The same server. As the file `beside` a dataset names it, no secret of the environment
        belongs to its address by itself."""
        copy = self.model_copy()
        copy._beside = beside
        return copy
