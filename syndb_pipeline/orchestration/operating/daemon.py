"""Dagster's daemon, which begins by forgetting times that are still to come.

Belongs here: that. Does not: starting it again when the clock was set back (`supervisor.py`).

A sensor's next tick is counted from its last one: where the clock was ahead then, it would sleep
until that time has come.
"""

from __future__ import annotations

import time
from typing import Any

import dagster as dg
from dagster._daemon.cli import main
from dagster._grpc import server_watcher


def forget_times_to_come(instance: dg.DagsterInstance) -> None:
    """Take `now` for every later time that the instance keeps of sensors and schedules."""
    now = time.time()
    for state in instance.all_instigator_state():
        data = state.instigator_data
        if data is None:
            continue
        later: dict[str, Any] = {
            name: now
            for name, value in data._asdict().items()
            if name.endswith("timestamp") and value is not None and value > now
        }
        if later:
            instance.update_instigator_state(state.with_data(data._replace(**later)))


if __name__ == "__main__":
    # Seconds between questions whether the code server is still the same: each is a connection.
    server_watcher.WATCH_INTERVAL = 5
    with dg.DagsterInstance.get() as found:
        forget_times_to_come(found)
    main()
