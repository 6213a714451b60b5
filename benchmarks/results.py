"""The file of results: what was measured when, on what machine, with which versions. One JSON file,
written piece by piece.

Belongs here: its form, reading and merging. Does not: measuring, or telling it to people
(`page.py`).
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.measured import Measured
from syndb_pipeline.state.store import write_atomically

SCHEMA: Final = 1

LIBRARIES: Final = (
    "syndb-pipeline",
    "duckdb",
    "pandera",
    "polars",
    "pyarrow",
    "dagster",
    "pydantic",
)

Session = dict[str, Any]
"""What was measured in one go: `facts`, `rows` of the largest tables, `total_rows`, `lab_bytes`,
`rounds`, and what it is about.
"""


def facts(memory_limit: int, threads: int) -> dict[str, Any]:
    """The circumstances that figures depend on. No names: neither the machine's nor a folder's."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": memory,
        "system": platform.system(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "memory_limit": memory_limit,
        "threads": threads,
    }


def _processor() -> str:
    """What the processor calls itself; its architecture where the system does not tell."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.is_file() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def require_disk(folder: Path, needed: int) -> None:
    """Raise `SystemExit` when fewer than `needed` bytes are free at `folder`: rather now than in
    the middle.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SystemExit(
            f"This takes some {needed / 1e9:.0f} GB of disk and {free / 1e9:.0f} GB are free. Set"
            " TMPDIR to a folder with more room."
        )


def read(path: Path) -> dict[str, Any]:
    """The results in `path`, or empty ones. Raises `SystemExit` for a file of another form, which
    is not to be overwritten.
    """
    if not path.is_file():
        return {"schema": SCHEMA, "scale": {}}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise SystemExit(f"{path} is no JSON: {error}. Name another file.") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise SystemExit(
            f"{path} holds no results of this benchmark (schema {SCHEMA}). Name another file."
        )
    return found


def keep(path: Path, *, compare: Session | None = None, scale: Session | None = None) -> None:
    """Put a session into the results in `path`, in the place of an earlier one of its kind (and,
    for `scale`, of its size).
    """
    found = read(path)
    if compare is not None:
        found["compare"] = compare
    if scale is not None:
        sizes = found["scale"] | {str(scale["rows"]): scale}
        found["scale"] = {rows: sizes[rows] for rows in sorted(sizes, key=int)}
    write_atomically(path, json.dumps(found, indent=1) + "\n")


def as_json(runs: list[Measured]) -> list[dict[str, Any]]:
    """Runs as they stand in the file."""
    return [asdict(run) for run in runs]


def middle(runs: list[dict[str, Any]], what: str) -> float:
    """The median of `what` (seconds, processor, memory, disk) over runs."""
    return float(median(run[what] for run in runs))


def middle_stages(runs: list[dict[str, Any]]) -> dict[str, float]:
    """The median seconds of each stage over runs."""
    return {
        stage: float(median(run["stages"][stage] for run in runs))
        for stage in (runs[0]["stages"] if runs else {})
    }
