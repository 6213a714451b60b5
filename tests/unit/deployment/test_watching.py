"""Which files the sensor watches, and for how long a tick looks at them.

Belongs here: finding them. Does not: when a run is due (`tests/integration/test_dagster_sensors.py`).
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from threading import Event

import pytest

from syndb_pipeline.orchestration.unattended.watching import Background, watched_files
from syndb_pipeline.readers.corrections import path_of
from syndb_pipeline.readers.files import find, sizes_and_times
from tests.lab import context_for


def test_corrections_are_watched_with_the_config(tmp_path: Path) -> None:
    (tmp_path / "axon.csv").write_text("cid\na1\n")
    config = context_for(tmp_path, {"axon": "axon.csv"}).config
    before = {"axon": [tmp_path / "axon.csv"], "config": [config.path]}
    assert watched_files(config) == before
    path = path_of(tmp_path, "axon")
    path.parent.mkdir()
    path.write_text("file,line,column,was,now\n")
    assert watched_files(config) == before | {"config": [config.path, path]}


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("a.csv", 1),
        ("*.csv", 3),
        ("[ab].csv", 2),
        ("x[1].csv", 1),
        (".*.csv", 1),
        ("sub/*", 1),
        ("*/*.csv", 2),
        ("**/*.csv", 5),
        ("**", 6),
        ("missing.csv", 0),
        ("missing/*.csv", 0),
        ("a.csv/*", 0),
        ("", 0),
    ],
)
def test_a_quick_look_finds_the_files_that_are_read(
    tmp_path: Path, pattern: str, files: int
) -> None:
    for name in ("a.csv", "b.csv", "x[1].csv", ".hidden.csv", "sub/c.csv", "sub/deep/d.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "link").symlink_to(tmp_path / "a.csv")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    (tmp_path / "to-sub").symlink_to(tmp_path / "sub")
    os.mkfifo(tmp_path / "sub" / "pipe")

    seen = sizes_and_times(tmp_path, pattern)

    assert [Path(path) for path, _, _ in seen] == find(tmp_path, pattern)
    assert [size for _, size, _ in seen] == [Path(path).stat().st_size for path, _, _ in seen]
    assert len(seen) == files


def test_work_that_outlasts_a_tick_is_there_at_a_later_one() -> None:
    background, done, started = Background(), Event(), 0

    def work() -> str:
        nonlocal started
        started += 1
        assert done.wait(20)
        return "found"

    start = time.monotonic()
    assert background.within(0.1)(("a", "files"), work) is None
    assert background.within(0.1)(("a", "files"), work) is None
    assert time.monotonic() - start < 5
    assert background.within(5)(("b", "files"), lambda: "another") == "another"
    done.set()
    assert background.within(5)(("a", "files"), work) == "found"
    assert started == 1

    def away() -> str:
        raise TimeoutError(110, "Connection timed out", "/share")

    for _ in range(2):
        with pytest.raises(OSError, match="timed out"):
            background.within(5)(("a", "files"), away)
