"""The benchmark commands end to end, on few rows: stages, contestants in turn, growing sizes, and
the page from their file of results.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from benchmarks.generate import FAULTS
from syndb_pipeline.stages.runner import STAGES
from tests.campaigns import WHOLE
from tests.command_line import Ran

ROOT = Path(__file__).resolve().parents[2]
ALL = ["csv", "again", "changed", "dagster", "dg", "parquet", "check", "wrong", "append", "help"]
CONTESTANTS = [*ALL, "guide"] if WHOLE else ["csv", "again", "check", "wrong", "help"]
"""All take a minute; `make bench-quick` has them all too."""
BARS_OF_ALL = [
    "Parquet, of the csv time",
    "one table of seven changed",
    "one file appended to a glob",
    "syndb-pipeline run, more than the command line",
    "Dagster's events of a run",
]


def benchmark(module: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run one of the benchmarks without the plain scripts, which are no part of the project."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("SYNDB_")
    }
    command = [sys.executable, "-m", f"benchmarks.{module}", *options]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def called(module: str, *options: str) -> Ran:
    """`benchmark` in this process: what it measures are processes of their own all the same."""
    out, err = io.StringIO(), io.StringIO()
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("SYNDB_")
    }
    with (
        chdir(ROOT),
        patch.dict(os.environ, environment, clear=True),
        patch.object(sys, "argv", [module, *options]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            code = import_module(f"benchmarks.{module}").main()
        except SystemExit as ended:
            code = ended.code
    if isinstance(code, str):  # as Python itself ends a program that raises it
        code, _ = 1, err.write(code)
    return Ran(code or 0, out.getvalue(), err.getvalue())


def test_every_stage_is_measured(tmp_path: Path) -> None:
    out = tmp_path / "report" / "bench.json"
    options = ["--rows", "2_000", "--format", "parquet", "--memory-limit", "1GB", "--threads", "1"]
    done = benchmark("run", *options, "--out", str(out), "--folder", str(tmp_path / "work"))
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text(encoding="utf-8"))
    assert [stage["stage"] for stage in report["stages"]] == list(STAGES)
    assert (
        report["total_rows"]
        == sum(report["rows"].values())
        == 2_000 + 2_000 + 400 + 200 + 80 + 80 + 20
    )
    assert report["memory_limit"] == 1_000_000_000
    for stage in report["stages"]:
        assert stage["seconds"] > 0
        assert 50_000_000 < stage["peak_memory_bytes"] < 1_000_000_000
        assert f"{stage['stage']:<16}" in done.stdout
    assert "Peak memory is within the limit." in done.stdout


def test_a_failing_stage_is_told(tmp_path: Path) -> None:
    config = tmp_path / "benchmark.yaml"
    config.write_text("dataset: {}\ntables: {}\n", encoding="utf-8")
    done = benchmark("run", "--stage", "ingest", "--config", str(config))
    assert done.returncode != 0
    assert "dataset.label: this key is missing" in done.stderr


@dataclass(frozen=True)
class Bench:
    """What `make bench` and `make bench-docs` do, on few rows."""

    results: dict[str, Any]
    compared: str
    scaled: str
    docs: Path


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("bench")
    out, docs = folder / "results" / "bench.json", folder / "docs"
    only = () if WHOLE else ("--only", ",".join(CONTESTANTS))
    compared = called("compare", "--rows", "2_000", "--rounds", "1", "--out", str(out), *only)
    assert compared.code == 0, compared.err
    scaled = called("scale", "--sizes", "2_000,1_000", "--rounds", "1", "--out", str(out))
    assert scaled.code == 0, scaled.err
    written = called("page", str(out), "--docs", str(docs))
    assert written.code == 0, written.err
    return Bench(json.loads(out.read_text(encoding="utf-8")), compared.out, scaled.out, docs)


def test_whole_runs_are_compared_in_turn_and_print_ratios_beside_their_bars(bench: Bench) -> None:
    compare = bench.results["compare"]
    installed = [
        name
        for name in CONTESTANTS
        if name != "dg" or (Path(sys.executable).parent / "dg").is_file()
    ]
    assert list(compare["contestants"]) == installed
    for name, each in compare["contestants"].items():
        [run] = each["runs"]
        assert run["seconds"] > 0
        assert run["processor"] > 0
        assert run["memory"] > (10_000_000 if name == "help" else 50_000_000)
        assert (run["disk"] > 0) == (name != "help")
        assert f"\n{name:<10}" in bench.compared
    bars = ["csv, peak memory", "nothing changed", "wrong in ten ways, of the clean check"]
    bars += BARS_OF_ALL if WHOLE else []
    for bar in bars:
        [line] = [line for line in bench.compared.splitlines() if line.startswith(bar)]
        assert line.endswith(("within", "ABOVE"))
        assert " bar " in line


def test_each_contestant_did_its_own_work(bench: Bench) -> None:
    stages = {
        name: set(each["runs"][0]["stages"])
        for name, each in bench.results["compare"]["contestants"].items()
    }
    everything = set(STAGES)
    for name in {"csv", "changed", "dagster", "parquet", "append"} & set(CONTESTANTS):
        assert stages[name] == everything, name
    assert stages["again"] == set(), "nothing changed, so nothing ran"
    assert stages["check"] == stages["wrong"] == everything - {"package"}
    assert bench.results["compare"]["faults"] == {"ways": len(FAULTS), "told": len(FAULTS)}
    assert not WHOLE or bench.results["compare"]["event_log_bytes"] > 10_000


def test_sizes_are_kept_one_beside_the_other(bench: Bench) -> None:
    scale = bench.results["scale"]
    assert list(scale) == ["1000", "2000"], "from small to large, beside the comparison"
    assert scale["2000"]["total_rows"] == 2_000 + 2_000 + 400 + 200 + 80 + 80 + 20
    for session in scale.values():
        [run] = session["runs"]
        assert list(run["stages"]) == list(STAGES)
        assert 0 < sum(run["stages"].values()) < run["seconds"]
        assert run["disk"] > session["lab_bytes"] / 2
        assert session["start_seconds"] > 0
    assert "cost per row, the highest of the lowest" in bench.scaled


def test_the_page_is_made_of_what_was_measured(bench: Bench) -> None:
    page = (bench.docs / "performance.md").read_text(encoding="utf-8")
    assert (
        json.loads((bench.docs / "performance" / "results.json").read_text(encoding="utf-8"))
        == bench.results
    )
    for each in bench.results["compare"]["contestants"].values():
        assert (
            f"| {each['told']} | {each['runs'][0]['seconds']:.2f} |"
            f" {each['runs'][0]['processor']:.2f} |" in page
        )
    assert "![" in page and "](performance/scale.svg)" in page
    assert (
        (bench.docs / "performance" / "scale.svg").read_text(encoding="utf-8").startswith("<svg ")
    )
    assert str(Path.home()) not in page + json.dumps(bench.results), (
        "no folder of the machine is told"
    )


def test_who_fails_is_out_and_the_others_go_on(tmp_path: Path) -> None:
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    for name in ("tuned_script.py", "lab_script.py"):
        (scripts / name).write_text("raise SystemExit('broken on purpose')\n", encoding="utf-8")
    # The plain tables, as a generator with the options of the yardstick's.
    (scripts / "gen.py").write_text(
        "import argparse, pathlib\n"
        "from benchmarks.generate import write_dataset\n"
        "parser = argparse.ArgumentParser()\n"
        "for option in ('--rows', '--out', '--formats'): parser.add_argument(option)\n"
        "options = parser.parse_args()\n"
        "for form in options.formats.split(',')[::-1]:\n"
        "    folder = pathlib.Path(options.out)\n"
        "    write_dataset(folder, int(options.rows), form, memory_limit=10**9, threads=1)\n"
        "(folder / 'benchmark.yaml').rename(folder / 'dataset.yaml')\n",
        encoding="utf-8",
    )
    out = tmp_path / "bench.json"
    environment = os.environ | {
        "SYNDB_YARDSTICK": str(scripts),
        "SYNDB_YARDSTICK_PYTHON": sys.executable,
    }
    command = [
        sys.executable,
        "-m",
        "benchmarks.compare",
        "--rows",
        "2000",
        "--rounds",
        "1",
        "--only",
        "tuned,help",
        "--out",
        str(out),
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, "a command that fails is no matter of time"
    assert "broken on purpose" in done.stderr
    assert "tuned is left out" in done.stderr
    assert list(json.loads(out.read_text(encoding="utf-8"))["compare"]["contestants"]) == ["help"]


def test_a_file_of_another_form_is_not_written_over(tmp_path: Path) -> None:
    out = tmp_path / "other.json"
    for content, *command in (
        ("{}", "compare", "--rows", "2000", "--out", str(out)),
        ("no json", "scale", "--sizes", "1000", "--out", str(out)),
        ('{"schema": 99}', "page", str(out)),
    ):
        out.write_text(content, encoding="utf-8")
        done = called(*command)
        assert done.code == 1
        assert "Name another file." in done.err
        assert out.read_text(encoding="utf-8") == content
