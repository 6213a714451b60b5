"""Which files the sensor watches.

Belongs here: finding them. Does not: when a run is due (`tests/integration/test_dagster_sensors.py`).
"""

from __future__ import annotations

from pathlib import Path

from dagster_defs.watching import watched_files
from syndb_pipeline.readers.corrections import path_of
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
