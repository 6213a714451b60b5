"""When a dataset's files have changed and come to rest: the decision behind the drop-folder sensor.

Belongs here: what was seen, what was answered, and whether to answer now. Does not: Dagster
(`sensors.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from syndb_pipeline.base.digests import digest_file, digest_of
from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.config.settings import DatasetConfig
from syndb_pipeline.readers.corrections import path_of
from syndb_pipeline.readers.files import find

SETTLE_SECONDS = 10.0
"""A file written to within this time may still be growing."""


UNATTENDED = "syndb/unattended"
"""Tag of runs that a schedule starts, at a time when somebody may be copying files."""

REST_LIMIT_SECONDS = 600.0
"""How long an unattended run waits for files to rest before it gives up."""


def wait_for_rest(
    config: DatasetConfig,
    say: Callable[[str], None],
    *,
    settle: float = SETTLE_SECONDS,
    limit: float = REST_LIMIT_SECONDS,
) -> None:
    """Return once no file of the dataset was written to for `settle` seconds, so that a file half
    copied is not taken for a whole one.

    Raises `PipelineError` when they are still being written to after `limit` seconds.
    """
    give_up = time.monotonic() + limit
    told = False
    while True:
        times = [
            path.stat().st_mtime
            for found in watched_files(config).values()
            for path in found
            if path.exists()
        ]
        ages = [
            age for age in (time.time() - modified for modified in times) if age >= 0
        ]  # a time to come is another clock's
        if min(ages, default=settle) >= settle:
            return
        if time.monotonic() > give_up:
            raise PipelineError(
                f"The files of {config.name} have been written to for {limit / 60:.0f} minutes.",
                next_step="Run it again once they are complete.",
            )
        if not told:
            say(
                f"The files of {config.name} were written to a moment ago; waiting until they rest."
            )
            told = True
        time.sleep(min(1.0, settle / 4))


class Seen(BaseModel):
    """What the sensor remembers of one dataset: digests of sizes and times at the last tick and at
    the last answer, and of its content.
    """

    model_config = ConfigDict(frozen=True)

    last: str = ""
    answered: str = ""
    content: str = ""
    attempt: int = 0


class Memory(BaseModel):
    """The sensor's cursor. `epoch` makes run keys of a reset sensor new ones: Dagster never forgets
    a run key.
    """

    model_config = ConfigDict(frozen=True)

    epoch: int
    datasets: dict[str, Seen] = {}


@dataclass(frozen=True)
class Answer:
    """What to remember, and either why nothing is done or the key of the run that is due."""

    seen: Seen
    waiting: str = ""
    run_key: str = ""


def watched_files(config: DatasetConfig) -> dict[str, list[Path]]:
    """The files of each table, as ingest would find them now, and the config with corrections."""
    corrections = (path_of(config.folder, name) for name in config.tables)
    return {name: find(config.folder, table.file) for name, table in config.tables.items()} | {
        "config": [config.path, *(path for path in corrections if path.is_file())]
    }


def look(config: DatasetConfig, seen: Seen, *, epoch: int, now: float) -> Answer:
    """Decide about one dataset at time `now` (seconds since 1970).

    Sizes and times are compared first; contents are read only when those changed and have rested
    for a tick and `SETTLE_SECONDS`. A file dropped again with the content before last is a change:
    only the last answer counts. Raises `OSError` when a file vanishes meanwhile.
    """
    files = watched_files(config)
    missing = [name for name, found in files.items() if not found]
    paths = [path for found in files.values() for path in found]
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    state = digest_of(stats)
    remembered = seen.model_copy(update={"last": state})
    if missing:
        return Answer(remembered, waiting=f"no file yet for {', '.join(missing)}")
    if state == seen.answered:
        return Answer(remembered)
    if state != seen.last:
        return Answer(
            remembered, waiting="files changed since the last look; waiting until they rest"
        )
    # A time in the future comes from another clock and says nothing; having rested for a tick has
    # to do.
    if 0 <= now - max(time for _, _, time in stats) / 1e9 < SETTLE_SECONDS:
        return Answer(
            remembered, waiting="files were written to a moment ago; waiting until they rest"
        )
    content = digest_of([(str(path), digest_file(path)) for path in paths])
    if content == seen.content:
        return Answer(remembered.model_copy(update={"answered": state}))
    attempt = seen.attempt + 1
    answered = Seen(last=state, answered=state, content=content, attempt=attempt)
    return Answer(answered, run_key=f"{config.name}:{content[:16]}:{epoch}.{attempt}")
