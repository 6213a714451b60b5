"""What the benchmarks make of measurements: bars, the page and its plot, the file of results; and
measuring itself.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import page, results
from benchmarks.bars import Bar, compare_bars, cost_per_row, scale_bars
from benchmarks.measured import disk_used, measure, tree_memory
from benchmarks.plot import scale_plot

DOCS = Path(__file__).resolve().parents[3] / "docs"

FACTS = {
    "date": "2026-11-23",
    "processor": "Abacus",
    "cores": 2,
    "memory_bytes": 24_000_000_000,
    "system": "Linux",
    "python": "3.11.7",
    "libraries": {"duckdb": "2.0.0"},
    "memory_limit": 1_000_000_000,
    "threads": 2,
}


def run(seconds: float, memory: float = 1.2e9, **stages: float) -> dict[str, Any]:
    return {
        "seconds": seconds,
        "processor": seconds * 1.5,
        "memory": int(memory),
        "disk": 3_000_000_000,
        "stages": stages,
    }


def compared(**seconds: float) -> dict[str, Any]:
    """A comparison in which each contestant took `seconds`, with a slow and a fast round beside."""
    runs = {name: [run(took + 40), run(took), run(took / 2)] for name, took in seconds.items()}
    if "csv" in runs:
        runs["csv"] = [
            run(each["seconds"], ingest=each["seconds"] / 2, validate=each["seconds"] / 4)
            for each in runs["csv"]
        ]
    return {
        "facts": FACTS,
        "rows": 10_000_000,
        "total_rows": 23_900_000,
        "lab_bytes": 2_600_000_000,
        "rounds": 3,
        "shares": {"changed": 0.05, "append": 0.04},
        "faults": {"ways": 10, "told": 9},
        "event_log_bytes": 150_000,
        "contestants": {
            name: {"told": f"what {name} is", "runs": each} for name, each in runs.items()
        },
    }


def size(rows: int, seconds: float, memory: float = 1.2e9) -> dict[str, Any]:
    """One size, run once."""
    found = {
        "facts": FACTS,
        "rows": rows,
        "total_rows": rows * 2,
        "lab_bytes": rows * 150,
        "rounds": 1,
        "start_seconds": 1.0,
    }
    return found | {"runs": [run(seconds, memory, ingest=seconds / 2)]}


def sizes(*found: dict[str, Any]) -> dict[str, Any]:
    return {str(each["rows"]): each for each in found}


def reached(bars: list[Bar]) -> dict[str, tuple[float, float, str]]:
    return {bar.told: (round(bar.value, 3), round(bar.limit, 3), bar.verdict) for bar in bars}


def test_bars_are_judged_on_medians() -> None:
    found = reached(
        list(
            compare_bars(
                compared(
                    csv=30,
                    tuned=25,
                    lab=120,
                    parquet=27,
                    again=2,
                    changed=4.6,
                    append=4.1,
                    dagster=36,
                    dg=34,
                )
            )
        )
    )
    assert found["csv, of the tuned script's time"] == (1.2, 1.5, "within")
    assert found["csv, of the lab script's time"] == (0.25, 1.0, "within")
    assert found["csv, peak memory"] == (1.2, 1.5, "within")
    assert found["Parquet, of the csv time"] == (0.9, 0.8, "ABOVE")
    assert found["nothing changed"] == (2.0, 3.0, "within")
    assert found["one table of seven changed"] == (4.6, 30 * 0.05 + 3, "ABOVE")
    assert found["one file appended to a glob"] == (4.1, 30 * 0.04 + 3, "within")
    assert found["syndb-pipeline run, more than the command line"] == (6.0, 5.0, "ABOVE")
    assert found["dg launch, more than the command line"] == (4.0, 5.0, "within")
    assert found["Dagster's events of a run"] == (150.0, 200.0, "within")


def test_a_way_to_be_wrong_that_is_not_told_is_above_its_bar() -> None:
    found = reached(list(compare_bars(compared(check=10, wrong=12))))
    assert found["wrong in ten ways, of the clean check"] == (1.2, 1.5, "within")
    assert found["ways to be wrong that are not told"] == (1.0, 0.0, "ABOVE")


@pytest.mark.parametrize(
    ("value", "verdict"), [(1.5, "within"), (1.5049, "within"), (1.506, "ABOVE"), (-3, "within")]
)
def test_a_bar_is_judged_as_it_is_shown(value: float, verdict: str) -> None:
    assert Bar("x", value, 1.5).verdict == verdict


def test_the_spread_of_the_cost_and_the_growth_of_memory() -> None:
    series = sizes(size(1_000_000, 5), size(10_000_000, 40, 1.2e9), size(30_000_000, 126, 1.25e9))
    assert [cost_per_row(each) for each in series.values()] == [2.5, 2.0, 2.1]
    found = reached(list(scale_bars(series)))
    assert found["cost per row, the highest of the lowest"] == (1.25, 1.25, "within")
    assert found["the same beyond the start"] == (1.068, 1.25, "within")
    assert found["peak memory at 30 M rows, of that at 10 M"] == (1.042, 1.0, "ABOVE")
    assert found["peak memory at 30 M rows"] == (1.25, 1.5, "within")
    assert [bar.told for bar in scale_bars(sizes(size(2_000, 1)))] == ["peak memory at 2,000 rows"]


def test_the_page_shows_every_figure_and_hides_no_miss() -> None:
    told = page.page(
        {
            "schema": 1,
            "compare": compared(csv=30, tuned=25, lab=120, parquet=27, again=2, changed=4.6),
            "scale": sizes(
                size(1_000_000, 5),
                size(100_000_000, 400) | {"facts": FACTS | {"date": "2026-11-24"}},
            ),
        }
    )
    assert "| csv | what csv is | 30.00 | 45.00 | 1.20 GB | 3.00 GB |" in told
    assert "| Parquet, of the csv time | 0.90 | 0.80 | **ABOVE** |" in told
    assert "| csv, of the tuned script's time | 1.20 | 1.50 | within |" in told
    assert "| ingest | 15.00 | 50 % |" in told
    assert "| outside the stages | 7.50 | 25 % |" in told
    assert "| the tuned script | 25.00 | 83 % |" in told
    assert "The run takes 5.00 s more than the tuned script." in told
    assert (
        "nothing changed 2.00 s, one table changed 4.60 s, where the script takes its 25.00 s"
        " again." in told
    )
    assert (
        "| 100 M | 200,000,000 | 15.00 GB | 1 | 400.00 | 600.00 | 2.00 | 2.00 | 1.20 GB | 3.00 GB |"
        in told
    )
    assert (
        "| 1 M | 2,000,000 | 150 MB | 1 | 5.00 | 7.50 | 2.50 | 2.00 | 1.20 GB | 3.00 GB |" in told
    )
    assert (
        "- the comparison, 1 M rows: 2026-11-23; Abacus, 2 cores, 24 GB of memory, Linux;" in told
    )
    assert "- 100 M rows: 2026-11-24; Abacus" in told
    assert "\n\n\n" not in told


def test_the_page_in_the_docs_is_that_of_its_measurements() -> None:
    found = results.read(DOCS / "performance" / "results.json")
    older = (
        "is older than docs/performance/results.json: make bench-docs"
        " RESULTS=docs/performance/results.json"
    )
    assert (DOCS / "performance.md").read_text(encoding="utf-8") == page.page(found), (
        f"docs/performance.md {older}"
    )
    assert (DOCS / "performance" / "scale.svg").read_text(encoding="utf-8") == scale_plot(
        found["scale"]
    ), f"its plot {older}"


def test_a_size_replaces_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "new" / "bench.json"
    results.keep(path, scale=size(30_000_000, 5))
    results.keep(path, compare=compared(csv=3))
    results.keep(path, scale=size(1_000_000, 5))
    results.keep(path, scale=size(30_000_000, 7))
    found = json.loads(path.read_text(encoding="utf-8"))
    assert list(found["scale"]) == ["1000000", "30000000"]
    assert found["scale"]["30000000"]["runs"][0]["seconds"] == 7
    assert found["compare"]["rows"] == 10_000_000


def test_a_disk_that_is_too_small_is_told_before_anything_is_made(tmp_path: Path) -> None:
    results.require_disk(tmp_path, 1)
    with pytest.raises(SystemExit, match=r"takes some 1000000000 GB of disk .* TMPDIR"):
        results.require_disk(tmp_path, 10**18)


HUNGRY = """\
import subprocess, sys, time
held = bytearray(150_000_000)
if len(sys.argv) > 1:
    subprocess.run([sys.executable, "-c", sys.argv[1]], check=True)
else:
    time.sleep(0.5)
"""


@pytest.mark.skipif(
    not Path("/proc/self/statm").is_file(), reason="the system tells nothing of other processes"
)
def test_the_memory_of_all_processes_counts() -> None:
    alone = measure([sys.executable, "-c", HUNGRY], os.environ)
    both = measure([sys.executable, "-c", HUNGRY, HUNGRY], os.environ)
    assert 150_000_000 < alone.memory < 250_000_000
    assert 300_000_000 < both.memory < 450_000_000
    assert tree_memory(os.getpid()) > 10_000_000
    assert tree_memory(2**22 + 1) == 0


def test_the_most_disk_at_any_moment_counts(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time\n"
        "file = pathlib.Path(sys.argv[1], 'below', 'spill')\n"
        "file.parent.mkdir()\n"
        "file.write_bytes(bytes(5_000_000))\n"
        "time.sleep(0.4)\n"
        "file.unlink()\n"
    )
    found = measure(
        [sys.executable, "-c", script, str(tmp_path)],
        os.environ,
        watched=(tmp_path, tmp_path / "never"),
    )
    assert 5_000_000 <= found.disk < 6_000_000
    assert found.seconds > 0.4
    assert disk_used(tmp_path) == 0


def test_wrong_work_has_no_speed() -> None:
    with pytest.raises(SystemExit, match=r"(?s)ended with 3:.*because"):
        measure([sys.executable, "-c", "import sys; print('because'); sys.exit(3)"], os.environ)
    assert (
        measure([sys.executable, "-c", "import sys; sys.exit(3)"], os.environ, exits=(3,)).seconds
        > 0
    )
