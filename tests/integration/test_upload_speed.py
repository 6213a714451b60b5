"""What an upload takes from the machine that sends it: memory, and time beside curl's with the same
file.

Belongs here: the two bars, measured by the code of `make bench-upload`. Does not: what arrives (the
sandbox's tests).

Memory does not depend on who else uses the machine, so it is asserted as it is measured. Time does.
So curl and we send in turn, to one server that keeps nothing, each time in a new process that times
the transfer alone. Three transfers of each are a round. A round counts by its medians; all rounds
so far count by the fastest transfer of each, the one that others disturbed least. The bar is missed
only when three rounds miss it both ways. If by then far more processes want to run than there are
processors, the test is skipped and says so.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from benchmarks.memory import peak_memory
from benchmarks.package import write_package
from benchmarks.servers import ROOT, running
from benchmarks.upload import AT_LEAST, Server, download, send_by_curl, send_by_us
from syndb_pipeline.destinations.base import Package

SMALL, LARGE = 64_000_000, 512_000_000
TRANSFERS, ROUNDS = 3, 3


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("sink")
    with running("sink", folder / "server") as (url, password):
        yield Server.at(url, password, folder)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Package]:
    folder = tmp_path_factory.mktemp("large")
    yield write_package(folder / "package", LARGE)
    shutil.rmtree(folder)


def test_peak_memory_is_of_this_process_alone(tmp_path: Path) -> None:
    held = bytearray(300_000_000)
    held[::4096] = b"x" * len(held[::4096])
    ask = "from benchmarks.memory import peak_memory; x = b'x' * {}; print(peak_memory())"
    little, more = (
        int(
            subprocess.run(
                [sys.executable, "-c", ask.format(size)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for size in (1, 50_000_000)
    )
    assert peak_memory() > 300_000_000 > more
    assert 45_000_000 < more - little < 55_000_000


def test_memory_does_not_grow_with_the_package(
    sink: Server, large: Package, tmp_path: Path
) -> None:
    small = write_package(tmp_path / "package", SMALL)
    assert abs(small.tar.bytes - SMALL) < SMALL / 10
    assert abs(large.tar.bytes - LARGE) < LARGE / 10
    peaks = [send_by_us(sink, package).peak_memory for package in (small, large)]
    assert abs(peaks[1] - peaks[0]) < 8_000_000, peaks


def test_memory_does_not_grow_with_a_download(sink: Server) -> None:
    peaks = [download(sink, size).peak_memory for size in (SMALL, LARGE)]
    assert abs(peaks[1] - peaks[0]) < 8_000_000, peaks


needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None, reason="curl is not installed, and uploads are measured beside it"
)


@needs_curl
def test_the_benchmark_reports_both_servers(tmp_path: Path) -> None:
    out = tmp_path / "report" / "upload.json"
    command = [
        sys.executable,
        "-m",
        "benchmarks.upload",
        "--sizes",
        "1MB",
        "--repetitions",
        "1",
        "--files",
        "3",
        "--file-size",
        "10KB",
    ]
    done = subprocess.run(
        [*command, "--out", str(out)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text(encoding="utf-8"))
    assert list(report["servers"]) == ["sink", "sandbox"]
    for kind, found in report["servers"].items():
        assert f"to the {kind}" in done.stdout
        assert [round(each["bytes"], -6) for each in found["uploads"]] == [1_000_000]
        assert all(
            each["curl_bytes_per_second"] > 0 and each["our_bytes_per_second"] > 0
            for each in found["uploads"]
        )
        assert [len(each["our_seconds"]) for each in found["uploads"]] == [1]
        assert [each["parallel"] for each in found["files"]] == [1, 4, 8]
        for each in (*found["uploads"], *found["downloads"], *found["files"]):
            assert 30_000_000 < each["peak_memory_bytes"] < 1_000_000_000


@pytest.mark.alone
@needs_curl
def test_an_upload_is_not_much_slower_than_curls(sink: Server, large: Package) -> None:
    curls: list[float] = []
    ours: list[float] = []
    told = []
    for _ in range(ROUNDS):
        for _ in range(TRANSFERS):
            curls.append(send_by_curl(sink, large).seconds)
            ours.append(send_by_us(sink, large).seconds)
        medians, fastest = (
            median(curls[-TRANSFERS:]) / median(ours[-TRANSFERS:]),
            min(curls) / min(ours),
        )
        told.append(f"medians {medians:.2f}, fastest {fastest:.2f}")
        if max(medians, fastest) >= AT_LEAST:
            print(f"throughput beside curl's: {'; '.join(told)}")
            return
    wanting, processors = os.getloadavg()[0], os.cpu_count() or 1
    if wanting > 2 * processors:
        pytest.skip(
            f"{wanting:.0f} processes want {processors} processors: nothing can be timed here"
            f" ({'; '.join(told)})"
        )
    pytest.fail(f"less than {AT_LEAST} of curl's throughput: {'; '.join(told)}")
