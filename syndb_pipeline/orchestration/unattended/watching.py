"""When a dataset's files have changed and come to rest, and when a run of them that failed is due
again: the decision behind the drop-folder sensor.

Belongs here: what was seen, which run was asked for, and whether to ask now. Does not: Dagster
(`sensors.py`).
"""

from __future__ import annotations

import glob
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from enum import Enum
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Thread
from typing import Any, Final, Protocol

from pydantic import BaseModel, ConfigDict

from syndb_pipeline.base.digests import digest_file, digest_of
from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.config.settings import DatasetConfig
from syndb_pipeline.readers.corrections import path_of
from syndb_pipeline.readers.files import find, sizes_and_times

SETTLE_SECONDS = 10.0
"""A file written to within this time may still be growing."""


UNATTENDED = "syndb/unattended"
"""Tag of runs that a schedule starts, at a time when somebody may be copying files."""

CONFIG: Final = "config"
"""Among the tables, a dataset's config and its corrections."""

REST_LIMIT_SECONDS = 600.0
"""How long an unattended run waits for files to rest before it gives up."""

RETRY_SECONDS: Final = 60.0
"""The wait after the first run that failed for no fault of the files; each further one doubles it,
up to `LONGEST_WAIT`.
"""
LONGEST_WAIT: Final = 6 * 3600.0


class Outcome(Enum):
    """What came of a run that was asked for."""

    ABSENT = "no such run"
    UNFINISHED = "queued or running"
    ANSWERED = "succeeded, was cancelled, or failed for what only a person can change"
    FAILED = "failed for what may be otherwise the next time: a server, a machine, a lost process"


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
    said = False
    while True:
        age = time.time() - glance(config).newest
        if age < 0 or age >= settle:  # a time to come is another clock's
            return
        if time.monotonic() > give_up:
            raise PipelineError(
                f"The files of {config.name} have been written to for {limit / 60:.0f} minutes.",
                next_step="Run it again once they are complete.",
            )
        if not said:
            say(
                f"The files of {config.name} were written to a moment ago; waiting until they rest."
            )
            said = True
        time.sleep(min(1.0, settle / 4))


class Seen(BaseModel):
    """What the sensor remembers of one dataset: digests of sizes and times at the last tick and at
    the last answer, and of its content.

    `run_key` is that of a run whose outcome is not settled, `failures` counts those in a row that
    failed, and `due` (seconds since 1970) is when the next is. `epoch`, when the dataset was first
    seen, makes the run keys of a sensor that forgot it new ones: Dagster never forgets a run key.
    `approved` is the approval of a held plan that a run was asked for, `shown` the version of the
    files that the asset `lab_files` shows.
    """

    model_config = ConfigDict(frozen=True)

    last: str = ""
    answered: str = ""
    content: str = ""
    attempt: int = 0
    epoch: int = 0
    run_key: str = ""
    failures: int = 0
    due: float = 0.0
    approved: str = ""
    shown: str = ""

    def asked(self, name: str) -> Seen:
        """This, once another run of the same content is asked for."""
        attempt = self.attempt + 1
        key = f"{name}:{self.content[:16]}:{self.epoch}.{attempt}"
        return self.model_copy(update={"attempt": attempt, "run_key": key, "due": 0.0})


class Memory(BaseModel):
    """A sensor's cursor: what it remembers of each dataset, and two digests of what was reported of
    all (`datasets.py`)."""

    model_config = ConfigDict(frozen=True)

    datasets: dict[str, Seen] = {}
    traces: str = ""
    shown: str = ""


@dataclass(frozen=True)
class Answer:
    """What to remember, and either why nothing is done or the key of the run that is due; and the
    files, where they are others than the asset `lab_files` shows and have rested for a tick.
    """

    seen: Seen
    waiting: str = ""
    run_key: str = ""
    files: Glance | None = None


def watched_files(config: DatasetConfig) -> dict[str, list[Path]]:
    """The files of each table, as ingest would find them now, and the config with corrections."""
    corrections = (path_of(config.folder, name) for name in config.tables)
    return {name: find(config.folder, table.file) for name, table in config.tables.items()} | {
        CONFIG: [config.path, *(path for path in corrections if path.is_file())]
    }


@dataclass(frozen=True)
class Glance:
    """What can be seen of a dataset's files without opening them: a digest of their sizes and
    times, the newest time in seconds since 1970, and for each table, and its config, how many files
    there are, of how many bytes, and the newest time in nanoseconds.
    """

    state: str
    newest: float
    tables: dict[str, tuple[int, int, int]]

    @property
    def missing(self) -> list[str]:
        """The tables that have no file."""
        return [name for name, (files, _, _) in self.tables.items() if not files]

    @property
    def version(self) -> str:
        """The state, short."""
        return self.state[:16]


def glance(config: DatasetConfig) -> Glance:
    """Look at the files of `watched_files`, without their contents."""
    found = {
        name: sizes_and_times(config.folder, table.file) for name, table in config.tables.items()
    }
    own = [config.path, *(path_of(config.folder, name) for name in config.tables)]
    found[CONFIG] = [
        line for path in own for line in sizes_and_times(path.parent, glob.escape(path.name))
    ]
    tables = {
        name: (
            len(lines),
            sum(size for _, size, _ in lines),
            max((changed for _, _, changed in lines), default=0),
        )
        for name, lines in found.items()
    }
    every = [line for lines in found.values() for line in lines]
    return Glance(
        state=sha256(repr(every).encode()).hexdigest(),
        newest=max(newest for _, _, newest in tables.values()) / 1e9,
        tables=tables,
    )


def content_of(config: DatasetConfig) -> str:
    """A digest of what is in the dataset's files. Raises `OSError` when one vanished meanwhile."""
    paths = [path for found in watched_files(config).values() for path in found]
    return digest_of([(str(path), digest_file(path)) for path in paths])


class Worker(Protocol):
    """Does work on a dataset, or gives None while it is not done yet."""

    def __call__(self, about: tuple[str, ...], work: Callable[[], object]) -> Any: ...


class Background:
    """Does work in threads that may outlast the tick that asked for it: a glob over a whole disk,
    the digest of 100 GB, a server that does not answer. A tick has to end within a minute, or
    Dagster gives it up, and would never come further.
    """

    def __init__(self) -> None:
        self._works: dict[tuple[str, ...], Future[object]] = {}

    def within(self, seconds: float) -> Worker:
        """A worker that waits for at most so long, all its work together."""
        end = time.monotonic() + seconds

        def worker(about: tuple[str, ...], work: Callable[[], object]) -> Any:
            if about not in self._works:
                for other, future in [*self._works.items()]:
                    if other[0] == about[0] and future.done():  # of files that changed meanwhile
                        del self._works[other]
                self._works[about] = Future()
                work_on = partial(_fulfil, self._works[about], work)
                Thread(target=work_on, daemon=True).start()
            if not wait([self._works[about]], max(0.05, end - time.monotonic())).done:
                return None
            return self._works.pop(about).result()

        return worker


def _fulfil(future: Future[object], work: Callable[[], object]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001 - raised again where the result is asked for
        future.set_exception(error)


def look(
    config: DatasetConfig,
    seen: Seen,
    found: Glance | None,
    *,
    now: float,
    outcome_of: Callable[[str], Outcome],
    approved: str,
    worker: Worker,
) -> Answer:
    """Decide about one dataset.

    Sizes and times are compared first; contents are read only when those changed and have rested
    for a tick and `SETTLE_SECONDS`. A file dropped again with the content before last is a change:
    only the last answer counts.

    Args:
        config: The dataset.
        seen: What was remembered of it.
        found: Its files; None while they are not found yet.
        now: Seconds since 1970.
        outcome_of: What came of the run with a key.
        approved: A held plan that a person approved, and when; empty where there is none.
        worker: Reads the files.

    Returns:
        What to do, and what to remember. A run that failed for no fault of the files is asked for
        again, later each time, and one of the same files once for each approval; files are answered
        by a run's end, not by asking for it.

    Raises:
        OSError: A file vanished meanwhile.
    """
    if found is None:
        return Answer(seen, waiting="still looking for its files; a narrower glob is found sooner")
    shown = found.version if found.state == seen.last else seen.shown
    remembered = seen.model_copy(update={"last": found.state, "shown": shown})
    if found.missing:
        return Answer(remembered, waiting=f"no file yet for {', '.join(found.missing)}")
    if found.state == seen.answered and approved not in ("", seen.approved) and not seen.run_key:
        asked = remembered.model_copy(update={"approved": approved, "failures": 0})
        asked = asked.asked(config.name)
        return Answer(asked, run_key=asked.run_key)
    if found.state == seen.answered:
        return settle(config.name, remembered, now, outcome_of)
    if found.state != seen.last:
        return Answer(
            remembered, waiting="files changed since the last look; waiting until they rest"
        )
    # A time in the future comes from another clock and says nothing; having rested for a tick has
    # to do.
    if 0 <= now - found.newest < SETTLE_SECONDS:
        return Answer(
            remembered, waiting="files were written to a moment ago; waiting until they rest"
        )
    content = worker((str(config.path), found.state), partial(content_of, config))
    if content is None:
        return Answer(remembered, waiting="its files have changed and are still being read")
    answered = remembered.model_copy(update={"answered": found.state})
    if content == seen.content:
        return settle(config.name, answered, now, outcome_of)
    changed = answered.model_copy(update={"content": content, "failures": 0})
    asked = changed.asked(config.name)
    return Answer(asked, run_key=asked.run_key)


def settle(name: str, seen: Seen, now: float, outcome_of: Callable[[str], Outcome]) -> Answer:
    """What the outcome of the run that was asked for last calls for, its files being the same."""
    outcome = outcome_of(seen.run_key) if seen.run_key else Outcome.ANSWERED
    if outcome is Outcome.ANSWERED:
        return Answer(seen.model_copy(update={"run_key": "", "failures": 0, "due": 0.0}))
    if outcome is Outcome.UNFINISHED:
        return Answer(seen)
    if outcome is Outcome.ABSENT:  # asked for, and never started; Dagster starts a key once
        return Answer(seen, run_key=seen.run_key)
    wait = min(RETRY_SECONDS * 2**seen.failures, LONGEST_WAIT)
    due = min(seen.due or now + wait, now + wait)  # the clock may have been set back since
    if now < due:
        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(due))
        waiting = f"its last run failed for no fault of the files; trying again at {when}"
        return Answer(seen.model_copy(update={"due": due}), waiting=waiting)
    asked = seen.model_copy(update={"failures": seen.failures + 1}).asked(name)
    return Answer(asked, run_key=asked.run_key)
