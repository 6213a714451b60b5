"""What pipeline.yaml says of a folder of exports, on this machine or in an object store.

Belongs here: its settings, and which addresses are taken. Does not: what is written there
(`destination.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal
from urllib.parse import parse_qsl, urlsplit
from urllib.request import url2pathname

from pydantic import AfterValidator, Field

from syndb_pipeline.config.addresses import is_loopback
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.config.yaml_file import Text
from syndb_pipeline.destinations.base import DestinationSettings

if TYPE_CHECKING:
    from syndb_pipeline.destinations.base import Destination

Format = Literal["parquet", "csv"]

_STORES: Final = ("s3", "gs", "gcs", "abfs", "abfss")
_HARMLESS: Final = ("region", "endpoint_override", "scheme")


def is_store(place: str) -> bool:
    """Whether `place` is an address, and no path of this machine."""
    return "://" in place


def safe_place(place: str) -> str:
    """A folder's path, or the address of one in an object store. Raises `ValueError` for an address
    that holds a secret, is not encrypted, or is of another kind.
    """
    if not is_store(place):
        return place
    parts = urlsplit(place)
    if parts.scheme == "file":
        return url2pathname(parts.path)
    if parts.scheme not in _STORES or not parts.hostname:
        raise ValueError(
            f"{place!r} is not the address of an object store; write it"
            " like s3://bucket/folder, gs://bucket/folder or"
            " abfss://container@account.dfs.core.windows.net/folder"
        )
    options = dict(parse_qsl(parts.query))
    named = parts.username and not parts.scheme.startswith("abfs")
    if parts.password or named or parts.fragment or {*options} - {*_HARMLESS}:
        raise ValueError(
            "an address holds no name, password or key: object stores take those from the"
            f" environment or their own files. Options it may have: {', '.join(_HARMLESS)}"
        )
    host = urlsplit(f"//{options.get('endpoint_override', '')}").hostname or ""
    if options.get("scheme", "https") != "https" and not is_loopback(host):
        raise ValueError("scheme=http is for an object store on this machine only")
    return place.rstrip("/")


class FolderDestination(DestinationSettings):
    """A folder of exports, one for each dataset, for SynDB's own command line and web page."""

    kind: Literal["folder"]
    path: Annotated[Text, Field(min_length=1), AfterValidator(safe_place)] = Field(
        default="exports",
        description="Folder, relative to `state`, or its address in an object store, e.g."
        " s3://bucket/folder. Keys of the store come from its own environment variables.",
    )

    @property
    def replaces(self) -> bool:
        return True

    @property
    def target(self) -> str:
        return self.path if is_store(self.path) else self.kind

    @property
    def speaks(self) -> str:
        return "files as SynDB's documentation has them; never tried on SynDB's own programs"

    def located(self, state: Path, beside: Path | None) -> FolderDestination:
        """The same folder by its whole path. A file `beside` a dataset names none outside of
        `state`."""
        if is_store(self.path) and not beside:
            return self
        own = FolderDestination.model_fields["path"].default
        folder = (state / (own if is_store(self.path) else Path(self.path).expanduser())).resolve()
        if beside and not folder.is_relative_to(state):
            folder = state / own
        return self.model_copy(update={"path": str(folder)})

    def open(
        self, name: str, settings: PipelineSettings, log: Callable[[str], None]
    ) -> Destination:
        from syndb_pipeline.destinations.folder.destination import ExportFolder

        return ExportFolder(name, self.path, settings)
