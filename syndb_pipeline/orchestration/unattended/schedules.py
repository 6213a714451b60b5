"""When a dataset is due by the `schedule` of its config.

Belongs here: from a cron line, a time zone and what was asked for before, to whether to ask for a
run now. Does not: Dagster's sensor around it (`sensors.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from dagster._utils.schedules import (
    get_latest_completed_cron_tick,
    get_next_cron_tick,
    is_valid_cron_string,
)

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.config.schedule_settings import Schedule
from syndb_pipeline.config.settings import DatasetConfig
from syndb_pipeline.orchestration.unattended.watching import Answer, Outcome, Seen, settle


def due(
    config: DatasetConfig,
    schedule: Schedule,
    seen: Seen | None,
    *,
    now: float,
    outcome_of: Callable[[str], Outcome],
) -> Answer:
    """Decide about one dataset, with Dagster's own reading of cron lines and of time zones.

    A schedule that is new, or was changed, waits for its next time. Of the times that were missed
    while nothing ran, the last one is due, once; a run that failed for no fault of the data is
    asked for again, later each time, until the next time comes.

    Args:
        config: The dataset.
        schedule: Its schedule.
        seen: What was remembered of it; None the first time.
        now: Seconds since 1970.
        outcome_of: What came of the run with a key.

    Returns:
        What to do, and what to remember. Keys are made of the dataset and the time that was due,
        so that no time is answered twice, even by a sensor that was reset.

    Raises:
        ConfigError: The cron line has fields but no meaning.
    """
    if not is_valid_cron_string(schedule.cron):
        raise ConfigError(
            f"{config.path}: schedule: found {schedule.cron!r}, which is no cron line; write it"
            ' like "0 2 * * *".'
        )
    line = f"{schedule.cron} {schedule.time_zone}"
    if seen is None or seen.answered != line or float(seen.last) > now:  # or the clock was set
        seen = Seen(answered=line, last=str(now))
    moment = datetime.fromtimestamp(now, UTC)
    tick = get_latest_completed_cron_tick(schedule.cron, moment, schedule.time_zone)
    if tick.timestamp() > float(seen.last):
        time = f"{tick.astimezone(UTC):%Y-%m-%dT%H:%M}"
        fresh = Seen(answered=line, last=str(tick.timestamp()), content=time).asked(config.name)
        return Answer(fresh, run_key=fresh.run_key)
    answer = settle(config.name, seen, now, outcome_of)
    if answer.waiting or answer.run_key:
        return answer
    next_one = get_next_cron_tick(schedule.cron, moment, schedule.time_zone)
    return Answer(answer.seen, waiting=f"next at {next_one:%Y-%m-%d %H:%M} {schedule.time_zone}")
