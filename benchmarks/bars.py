"""What is promised of speed and memory, and whether it was reached. A value above its bar is told
as such and fails nothing.

Belongs here: the bars. Does not: measuring (`arena.py`, `scale.py`) or laying out pages
(`page.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.results import Session, middle

MARGIN: Final = 3.0
"""Seconds that a rerun may take beside its share of the whole: starting, looking at every file,
packing.
"""


@dataclass(frozen=True)
class Bar:
    """What is promised: `value` is at most `limit`."""

    told: str
    value: float
    limit: float
    unit: str = ""

    @property
    def within(self) -> bool:
        """Judged as it is shown, with two digits."""
        return round(self.value, 2) <= round(self.limit, 2)

    @property
    def verdict(self) -> str:
        return "within" if self.within else "ABOVE"

    def shown(self, number: float) -> str:
        """A number with the bar's unit."""
        return f"{number:,.2f} {self.unit}".strip()


def compare_bars(session: Session) -> Iterator[Bar]:
    """The bars of whole runs in turn, as far as their contestants took part."""
    runs: Mapping[str, Any] = {
        name: each["runs"] for name, each in session["contestants"].items() if each["runs"]
    }
    seconds = {name: middle(each, "seconds") for name, each in runs.items()}
    shares = session["shares"]
    if {"csv", "tuned"} <= set(seconds):
        yield Bar("csv, of the tuned script's time", seconds["csv"] / seconds["tuned"], 1.5)
    if {"csv", "lab"} <= set(seconds):
        yield Bar("csv, of the lab script's time", seconds["csv"] / seconds["lab"], 1.0)
    if "csv" in seconds:
        yield Bar(
            "csv, peak memory",
            middle(runs["csv"], "memory") / 1e9,
            session["facts"]["memory_limit"] * 1.5 / 1e9,
            "GB",
        )
    if {"csv", "parquet"} <= set(seconds):
        yield Bar("Parquet, of the csv time", seconds["parquet"] / seconds["csv"], 0.8)
    if "again" in seconds:
        yield Bar("nothing changed", seconds["again"], MARGIN, "s")
    if {"csv", "changed"} <= set(seconds):
        yield Bar(
            "one table of seven changed",
            seconds["changed"],
            seconds["csv"] * shares["changed"] + MARGIN,
            "s",
        )
    if {"csv", "append"} <= set(seconds):
        yield Bar(
            "one file appended to a glob",
            seconds["append"],
            seconds["csv"] * shares["append"] + MARGIN,
            "s",
        )
    if {"check", "wrong"} <= set(seconds):
        yield Bar("wrong in ten ways, of the clean check", seconds["wrong"] / seconds["check"], 1.5)
        yield Bar(
            "ways to be wrong that are not told",
            session["faults"]["ways"] - session["faults"]["told"],
            0,
        )
    for name, told in (("dagster", "syndb-pipeline run"), ("dg", "dg launch")):
        if {"csv", name} <= set(seconds):
            yield Bar(f"{told}, more than the command line", seconds[name] - seconds["csv"], 5, "s")
    if session.get("event_log_bytes"):
        yield Bar("Dagster's events of a run", session["event_log_bytes"] / 1e3, 200, "KB")
    if "help" in seconds:
        yield Bar("--help", seconds["help"], 0.3, "s")
    if "guide" in seconds:
        yield Bar("check of the guide's example", seconds["guide"], 2, "s")


def scale_bars(sizes: Mapping[str, Session]) -> Iterator[Bar]:
    """The bars of one road for all sizes."""
    cost = [cost_per_row(session) for session in sizes.values()]
    if len(cost) > 1:
        yield Bar("cost per row, the highest of the lowest", max(cost) / min(cost), 1.25)
        beyond = [cost_beyond_start(session) for session in sizes.values()]
        if min(beyond) > 0:
            yield Bar("the same beyond the start", max(beyond) / min(beyond), 1.25)
    memory = {int(rows): middle(session["runs"], "memory") for rows, session in sizes.items()}
    if {10_000_000, 30_000_000} <= set(memory):
        yield Bar(
            "peak memory at 30 M rows, of that at 10 M",
            memory[30_000_000] / memory[10_000_000],
            1.0,
        )
    if sizes:
        largest = max(memory)
        limit = sizes[str(largest)]["facts"]["memory_limit"]
        yield Bar(
            f"peak memory at {millions(largest)} rows",
            memory[largest] / 1e9,
            limit * 1.5 / 1e9,
            "GB",
        )


def cost_per_row(session: Session) -> float:
    """Microseconds of the whole run for each row of all tables, at the median of the rounds."""
    return middle(session["runs"], "seconds") * 1e6 / int(session["total_rows"])


def cost_beyond_start(session: Session) -> float:
    """`cost_per_row` without the seconds that hardly any rows take as well."""
    return (
        (middle(session["runs"], "seconds") - float(session["start_seconds"]))
        * 1e6
        / int(session["total_rows"])
    )


def millions(rows: int) -> str:
    """A number of rows in words, e.g. 10 M or 20,000."""
    return f"{rows // 1_000_000:,} M" if rows and rows % 1_000_000 == 0 else f"{rows:,}"
