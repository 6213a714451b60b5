"""The benchmark command end to end, on few rows: every stage is run, measured and reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from syndb_pipeline.stages.runner import STAGES

ROOT = Path(__file__).resolve().parents[2]


def test_every_stage_is_measured(tmp_path: Path) -> None:
    out = tmp_path / "report" / "bench.json"
    command = [sys.executable, "-m", "benchmarks.run", "--rows", "2_000", "--format", "parquet", "--memory-limit", "1GB", "--threads", "1"]
    done = subprocess.run(
        [*command, "--out", str(out), "--folder", str(tmp_path / "work")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text(encoding="utf-8"))
    assert [stage["stage"] for stage in report["stages"]] == list(STAGES)
    assert report["total_rows"] == sum(report["rows"].values()) == 2_000 + 2_000 + 400 + 200 + 80 + 80 + 20
    assert report["memory_limit"] == 1_000_000_000
    for stage in report["stages"]:
        assert stage["seconds"] > 0
        assert 50_000_000 < stage["peak_memory_bytes"] < 1_000_000_000
        assert f"{stage['stage']:<16}" in done.stdout
    assert "Peak memory is within the limit." in done.stdout


def test_whole_runs_are_compared_in_turn_and_print_ratios_beside_their_bars(tmp_path: Path) -> None:
    out = tmp_path / "compare.json"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SYNDB_YARDSTICK")}
    command = [sys.executable, "-m", "benchmarks.compare", "--rows", "2_000", "--rounds", "1", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    runs = json.loads(out.read_text(encoding="utf-8"))["runs"]
    assert list(runs) == ["csv", "again", "changed", "dagster", "parquet", "check"]
    for name, measured in runs.items():
        assert len(measured) == 1 and measured[0]["seconds"] > 0
        assert measured[0]["memory"] > 50_000_000
        assert f"\n{name:<10}" in done.stdout
    for bar in ("Parquet, of the csv time", "nothing changed", "as a Dagster run, more than the CLI", "one table of seven changed"):
        [line] = [line for line in done.stdout.splitlines() if line.startswith(bar)]
        assert line.endswith(("within", "ABOVE")) and " bar " in line


def test_a_failing_stage_is_told(tmp_path: Path) -> None:
    config = tmp_path / "benchmark.yaml"
    config.write_text("dataset: {}\ntables: {}\n", encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.run", "--stage", "ingest", "--config", str(config)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "dataset.label: this key is missing" in done.stderr
