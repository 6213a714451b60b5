"""How many bytes Dagster keeps of each run's events, metadata included: what the UI has to load to
show the run.

Belongs here: asking Dagster's instance. Does not: the bar (`bars.py`). Runs as a program, so that
the benchmark itself loads no Dagster.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping

_BYTES = "events "
"""How the line of output begins that holds the answer: Dagster may print lines of its own."""


def event_log_bytes(environment: Mapping[str, str]) -> list[int]:
    """Bytes of the event log of each run in the instance at DAGSTER_HOME of `environment`, the
    latest run first.
    """
    command = [sys.executable, "-m", "benchmarks.event_log"]
    done = subprocess.run(
        command, env=dict(environment), capture_output=True, text=True, check=False
    )
    found = [
        line.removeprefix(_BYTES) for line in done.stdout.splitlines() if line.startswith(_BYTES)
    ]
    if done.returncode or not found:
        raise SystemExit(f"The event log of Dagster could not be read:\n{done.stderr[-2000:]}")
    return list(json.loads(found[0]))


def main() -> int:
    """Print the bytes of each run's events, as Dagster serialises them into its storage."""
    # here only: the benchmark, which asks this program, stays small beside what it measures
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        sizes = [
            sum(len(dg.serialize_value(event).encode()) for event in instance.all_logs(run.run_id))
            for run in instance.get_runs()
        ]
    print(_BYTES + json.dumps(sizes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
