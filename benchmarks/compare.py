"""The whole road against itself and against plain scripts: all contestants in turn, medians, and
ratios beside their bars.

Belongs here: the command and what it prints. Does not: the contestants (`arena.py`), single stages
(`run.py`), sizes (`scale.py`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks import results
from benchmarks.arena import Arena, Contestant, compete
from benchmarks.bars import Bar, compare_bars
from benchmarks.event_log import event_log_bytes
from benchmarks.generate import FAULTS
from benchmarks.results import Session, middle
from syndb_pipeline.config.yaml_file import as_bytes

DISK_PER_ROW: Final = 2_000
"""Bytes on the disk for each row of the largest tables, for refusing what cannot fit: tables in all
forms, two states, a script's files.
"""


def as_session(arena: Arena, contestants: list[Contestant]) -> Session:
    """What was measured, for the file of results."""
    limit = as_bytes(arena.memory_limit)
    ran_dagster = any(each.name in ("dagster", "dg") and each.runs for each in contestants)
    return {
        "facts": results.facts(limit, arena.threads),
        "rows": arena.rows,
        "total_rows": arena.total_rows(),
        "lab_bytes": arena.lab_bytes(),
        "rounds": arena.rounds,
        "shares": arena.shares(),
        "faults": {"ways": len(FAULTS), "told": arena.told_faults},
        "event_log_bytes": max(event_log_bytes(arena.environment), default=0) if ran_dagster else 0,
        "contestants": {
            each.name: {"told": each.told, "runs": results.as_json(each.runs)}
            for each in contestants
            if each.runs
        },
    }


def as_lines(session: Session) -> Iterator[str]:
    """The table of medians, then each bar with what was reached."""
    facts = session["facts"]
    yield (
        f"{session['rows']:,} rows in the largest tables, {facts['memory_limit'] / 1e9:g} GB,"
        f" {facts['threads']} threads, medians of {session['rounds']}"
    )
    yield ""
    yield f"{'':<10}{'seconds':>10}{'processor':>12}{'peak memory':>14}{'most disk':>14}"
    for name, each in session["contestants"].items():
        seconds, processor, memory, disk = (
            middle(each["runs"], what) for what in ("seconds", "processor", "memory", "disk")
        )
        yield (
            f"{name:<10}{seconds:>10.2f}{processor:>12.2f}{memory / 1e6:>11,.0f}"
            f" MB{disk / 1e6:>11,.0f} MB"
        )
    yield ""
    yield from bar_lines(compare_bars(session))


def bar_lines(bars: Iterator[Bar]) -> Iterator[str]:
    """A line for each bar."""
    for bar in bars:
        yield (
            f"{bar.told:<44}{bar.shown(bar.value):>11}  bar {bar.shown(bar.limit):>9} "
            f" {bar.verdict}"
        )


def main() -> int:
    """Parse the options, make the tables, run everybody, print. Returns 1 when a command failed,
    whatever the times are:

    a busy machine is no fault of a change.
    """
    parser = argparse.ArgumentParser(
        description=(
            "Whole runs, in turn: csv, Parquet, nothing changed, one table changed, wrong, Dagster."
        )
    )
    parser.add_argument(
        "--rows",
        type=lambda text: int(text.replace("_", "")),
        default=1_000_000,
        help="rows of the largest tables",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-limit", default="1GB", help="memory of each run, e.g. 1GB")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        help="these contestants, and those whose state they need, e.g. csv,tuned",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="keep the measurements in this JSON file, beside what it holds of other sizes",
    )
    options = parser.parse_args()
    if options.out:
        results.read(options.out)  # refused now rather than after an hour
    folder = Path(tempfile.mkdtemp(prefix="syndb-compare-"))
    try:
        results.require_disk(folder, options.rows * DISK_PER_ROW)
        arena = Arena(folder, options.rows, options.memory_limit, options.threads, options.rounds)
        contestants = arena.contestants()
        if options.only:
            needed = {
                name
                for each in contestants
                if each.name in options.only
                for name in (each.name, *each.after)
            }
            contestants = [each for each in contestants if each.name in needed]
        arena.make()
        compete(arena, contestants)
        session = as_session(arena, contestants)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(as_lines(session)))
    if options.out and session["contestants"]:
        results.keep(options.out, compare=session)
        print(f"Measurements: {options.out}")
    failed = [each for each in contestants if each.failed]
    for each in failed:
        print(f"{each.name} is left out: {each.failed.splitlines()[0]}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
