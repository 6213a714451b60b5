"""DAGSTER_HOME: where Dagster keeps its runs, one for the command line and the UI.

Belongs here: finding it and putting `dagster.yaml` there. Does not: what is in it, which is
Dagster's.
"""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
from filelock import FileLock

from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.state.store import write_atomically

_PLACES = (
    Path(__file__).parents[3] / "config" / "dagster.yaml",
    Path(__file__).parent / "dagster.yaml",
)
"""`dagster.yaml` of the project folder; of an installed package, which holds a copy."""


def dagster_home(settings: PipelineSettings) -> Path:
    """The folder that DAGSTER_HOME names, else `<state>/dagster`; made, with our `dagster.yaml`
    unless it has one, and its storage. Raises
    `ConfigError`.
    """
    named = os.environ.get("DAGSTER_HOME")
    home = Path(named).expanduser().absolute() if named else settings.state / "dagster"
    target = home / "dagster.yaml"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            write_atomically(target, instance_config())
        _make_storage(home, target)
    except OSError as error:
        if target.exists() and not os.access(home, os.W_OK):
            return home  # given to us as it is, e.g. with its storage in PostgreSQL
        raise ConfigError(
            f"{error.filename}: cannot be written: {error.strerror}.",
            next_step=(
                "Give DAGSTER_HOME, or `state` in pipeline.yaml, a folder that can be written."
            ),
        ) from None
    return home


def _make_storage(home: Path, config: Path) -> None:
    """Open the instance once by itself: two processes that make its tables at the same moment leave
    them damaged.
    """
    made, mark = home / ".made", digest_file(config)
    if made.is_file() and made.read_bytes() == mark.encode():
        return
    with FileLock(home / ".made.lock"), dg.DagsterInstance.local_temp(str(home)):
        write_atomically(made, mark)


def instance_config() -> str:
    """The text of our `dagster.yaml`."""
    return next(place for place in _PLACES if place.is_file()).read_text(encoding="utf-8")
