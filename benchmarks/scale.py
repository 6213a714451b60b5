"""The same road for growing sizes: seconds, cost per row, memory and disk of a run from csv to the
package.

Belongs here: the command that measures one size after another. Does not: other contestants
(`arena.py`), the plot (`plot.py`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import results
from benchmarks.arena import ROOT
from benchmarks.bars import cost_per_row, scale_bars
from benchmarks.compare import bar_lines
from benchmarks.generate import rows_by_table
from benchmarks.measured import Measured, measure
from benchmarks.results import Session, middle
from syndb_pipeline.config.yaml_file import as_bytes

DISK_PER_ROW: Final = 500
"""Bytes on the disk for each row of the largest tables, at least: the csv files and all a run
writes. A size that cannot fit is refused.
"""


START_ROWS: Final = 1_000
"""Rows of a run in which hardly anything but starting and stopping takes time."""


def measure_size(rows: int, rounds: int, memory_limit: str, threads: int) -> Session:
    """Make the tables of one size, run them `rounds` times from nothing to the package, and remove
    everything.

    Raises `SystemExit` when the disk is too small for it, or when a run fails.
    """
    folder = Path(tempfile.mkdtemp(prefix="syndb-scale-"))
    try:
        results.require_disk(folder, rows * DISK_PER_ROW)
        state, lab = folder / "state", folder / "lab"
        environment = os.environ | {
            "SYNDB_MEMORY_LIMIT": memory_limit,
            "SYNDB_THREADS": str(threads),
            "SYNDB_STATE": str(state),
            "PYTHONPATH": str(ROOT),
        }
        limits = ("--memory-limit", memory_limit, "--threads", str(threads))
        for count, place in ((rows, lab), (START_ROWS, folder / "start")):
            measure(
                [
                    sys.executable,
                    "-m",
                    "benchmarks.generate",
                    str(place),
                    "--rows",
                    str(count),
                    *limits,
                ],
                environment,
            )
        os.sync()
        runs: list[Measured] = []
        starts: list[Measured] = []
        for number in range(1, rounds + 1):
            for place, found in ((folder / "start", starts), (lab, runs)):
                shutil.rmtree(state, ignore_errors=True)
                os.sync()
                words = ["plan", str(place / "benchmark.yaml")]
                command = [
                    sys.executable,
                    "-c",
                    "from syndb_pipeline.cli.main import main; main()",
                    *words,
                ]
                found.append(measure(command, environment, watched=(state,), state=state))
            print(
                f"{rows:,} rows, round {number}: {runs[-1].seconds:.2f} s",
                file=sys.stderr,
                flush=True,
            )
        return {
            "facts": results.facts(as_bytes(memory_limit), threads),
            "rows": rows,
            "total_rows": sum(rows_by_table(rows).values()),
            "lab_bytes": sum(file.stat().st_size for file in lab.glob("*.csv")),
            "rounds": rounds,
            "start_seconds": median(run.seconds for run in starts),
            "runs": results.as_json(runs),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def as_lines(sizes: Mapping[str, Session]) -> Iterator[str]:
    """A line for each size, then the bars."""
    yield (
        f"{'rows':>14}{'of all tables':>15}{'seconds':>10}{'processor':>11}{'us a row':>10}{'peak memory':>14}{'most disk':>13}"
    )
    for session in sizes.values():
        seconds, processor, memory, disk = (
            middle(session["runs"], what) for what in ("seconds", "processor", "memory", "disk")
        )
        yield (
            f"{session['rows']:>14,}{session['total_rows']:>15,}{seconds:>10.2f}{processor:>11.2f}{cost_per_row(session):>10.2f}{memory / 1e6:>11,.0f}"
            f" MB{disk / 1e6:>10,.0f} MB"
        )
    yield ""
    yield from bar_lines(scale_bars(sizes))


def main() -> int:
    """Parse the options, measure the sizes from the smallest on, print. Each size is kept as soon
    as it is measured.
    """
    parser = argparse.ArgumentParser(
        description=(
            "Runs from csv to the package for growing sizes, each of rows of the largest tables."
        )
    )
    parser.add_argument(
        "--sizes",
        type=lambda text: sorted({int(each.replace("_", "")) for each in text.split(",")}),
        default=[1_000_000, 10_000_000, 30_000_000],
        help="e.g. 1000000,10000000,30000000",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-limit", default="1GB", help="memory of each run, e.g. 1GB")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--out",
        type=Path,
        help="keep the measurements in this JSON file, beside what it holds already",
    )
    options = parser.parse_args()
    if options.out:
        results.read(options.out)
    measured: dict[str, Session] = {}
    for rows in options.sizes:
        measured[str(rows)] = measure_size(
            rows, options.rounds, options.memory_limit, options.threads
        )
        if options.out:
            results.keep(options.out, scale=measured[str(rows)])
    print("\n".join(as_lines(results.read(options.out)["scale"] if options.out else measured)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
