"""The benchmark command: each stage in a process of its own, with its rows per second and the most
memory that process held.

Belongs here: measuring and reporting. Does not: the data (`generate.py`). Run it with `make bench
ROWS=10000000 MEMORY=2GB`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.generate import rows_by_table, write_dataset
from benchmarks.memory import peak_memory
from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.config.yaml_file import as_bytes
from syndb_pipeline.destinations import load_settings
from syndb_pipeline.stages.runner import STAGES, run_stage
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import VerdictRecord

ROOT = Path(__file__).resolve().parent.parent


def measure(
    rows: int, file_format: str, memory_limit: str, threads: int, folder: Path
) -> dict[str, Any]:
    """Make the dataset in `folder` and run every stage on it. Returns what was measured, with the
    settings it was measured under.

    Raises `SystemExit` when a stage fails or the dataset is not accepted: a benchmark of wrong work
    tells nothing.
    """
    clock = time.perf_counter()
    config = write_dataset(
        folder / "lab", rows, file_format, memory_limit=as_bytes(memory_limit), threads=threads
    )
    made = time.perf_counter() - clock
    environment = os.environ | {
        "SYNDB_MEMORY_LIMIT": memory_limit,
        "SYNDB_THREADS": str(threads),
        "SYNDB_STATE": str(folder / "state"),
        "PYTHONPATH": str(ROOT),
    }
    counts = rows_by_table(rows)
    stages = []
    for stage in STAGES:
        print(f"{stage} ...", file=sys.stderr, flush=True)
        command = [
            sys.executable,
            "-m",
            "benchmarks.run",
            "--stage",
            stage,
            "--config",
            str(config),
        ]
        process = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
        )
        if process.returncode:
            raise SystemExit(
                f"{stage} failed with exit code {process.returncode}:\n{process.stderr[-4000:]}"
            )
        stages.append(json.loads(process.stdout.splitlines()[-1]))
    total = sum(counts.values())
    return {
        "rows": counts,
        "total_rows": total,
        "format": file_format,
        "lab_bytes": sum(file.stat().st_size for file in (folder / "lab").iterdir()),
        "memory_limit": as_bytes(memory_limit),
        "threads": threads,
        "machine": {
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "duckdb": version("duckdb"),
            "system": platform.system(),
        },
        "making_the_data_seconds": round(made, 1),
        "stages": [
            stage | {"rows_per_second": round(total / stage["seconds"])} for stage in stages
        ],
        "total_seconds": round(sum(stage["seconds"] for stage in stages), 1),
    }


def run_one(stage: str, config: Path) -> dict[str, Any]:
    """Run one stage in this process. `seconds` leaves out starting Python; `peak_memory_bytes`
    leaves out nothing.
    """
    context = Context(load_dataset(config), load_settings(near=config.parent))
    with context.store.lock():
        clock = time.perf_counter()
        record = run_stage(context, stage)
        seconds = time.perf_counter() - clock
    rejected = isinstance(record, VerdictRecord) and not record.details.accepted
    if record.errors or rejected:
        raise SystemExit(
            "\n".join(f"{finding.code} {finding.message}" for finding in record.errors)
        )
    return {
        "stage": stage,
        "seconds": round(seconds, 2),
        "peak_memory_bytes": peak_memory(),
        "written_bytes": sum(output.bytes for output in record.outputs.values()),
    }


def as_table(report: dict[str, Any]) -> str:
    """The report for people."""
    counts = ", ".join(f"{table} {rows:,}" for table, rows in report["rows"].items())
    lines = [
        f"{report['total_rows']:,} rows as {report['format']}: {counts}",
        (
            f"memory limit {report['memory_limit'] / 1e9:.2f} GB, {report['threads']} threads, lab"
            f" files {report['lab_bytes'] / 1e6:,.0f} MB"
        ),
        "",
        f"{'stage':<16}{'seconds':>10}{'rows/s':>14}{'peak memory':>14}{'written':>12}",
    ]
    for stage in report["stages"]:
        lines.append(
            f"{stage['stage']:<16}{stage['seconds']:>10.1f}{stage['rows_per_second']:>14,}"
            f"{stage['peak_memory_bytes'] / 1e6:>11,.0f} MB{stage['written_bytes'] / 1e6:>9,.0f} MB"
        )
    peak = max(stage["peak_memory_bytes"] for stage in report["stages"])
    rate = report["total_rows"] / max(report["total_seconds"], 0.01)
    lines.append(
        f"{'all':<16}{report['total_seconds']:>10.1f}{rate:>14,.0f}{peak / 1e6:>11,.0f} MB"
    )
    within = "within" if peak <= report["memory_limit"] else "ABOVE"
    return "\n".join([*lines, "", f"Peak memory is {within} the limit."])


def main() -> int:
    """Parse the options, measure, print the table and write the JSON. Returns 1 when a stage took
    more memory than the limit.
    """
    parser = argparse.ArgumentParser(
        description=(
            "Rows per second and peak memory of each stage, on an invented dataset four levels"
            " deep."
        )
    )
    parser.add_argument(
        "--rows",
        type=lambda text: int(text.replace("_", "")),
        default=1_000_000,
        help="rows of the largest tables",
    )
    parser.add_argument(
        "--format", choices=["csv", "parquet"], default="csv", help="what the lab's files are"
    )
    parser.add_argument("--memory-limit", default="2GB", help="memory of each stage, e.g. 2GB")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, help="write the measurements to this JSON file as well")
    parser.add_argument(
        "--folder",
        type=Path,
        help="work here and keep everything (default: a temporary folder, removed at the end)",
    )
    parser.add_argument("--stage", choices=list(STAGES), help=argparse.SUPPRESS)
    parser.add_argument("--config", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        print(json.dumps(run_one(options.stage, options.config)))
        return 0
    folder = options.folder or Path(tempfile.mkdtemp(prefix="syndb-benchmark-"))
    try:
        report = measure(
            options.rows, options.format, options.memory_limit, options.threads, folder.absolute()
        )
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(as_table(report))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        print(f"Measurements: {options.out}")
    return int(
        max(stage["peak_memory_bytes"] for stage in report["stages"]) > report["memory_limit"]
    )


if __name__ == "__main__":
    sys.exit(main())
