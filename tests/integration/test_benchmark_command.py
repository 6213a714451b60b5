"""The benchmark command end to end, on few rows: every stage is run, measured and reported."""

from __future__ import annotations

import json
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


def test_a_failing_stage_is_told(tmp_path: Path) -> None:
    config = tmp_path / "benchmark.yaml"
    config.write_text("dataset: {}\ntables: {}\n", encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.run", "--stage", "ingest", "--config", str(config)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "dataset.label: this key is missing" in done.stderr
