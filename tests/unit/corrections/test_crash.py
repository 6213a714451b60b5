"""Whatever moment the process dies at, each table has its old corrections or the new ones, and the
same command goes on.

Belongs here: real processes that are killed. Does not: the command around it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.correcting_lab import applied, check, corrections, fixes, set_cell
from tests.ingest_helpers import context_for

ROOT = Path(__file__).resolve().parents[3]
DIES = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.correcting_lab import applied
from syndb_pipeline.corrections import apply
from syndb_pipeline.state import store
from syndb_pipeline.config.settings import PipelineSettings, load_dataset
from syndb_pipeline.state.stage import Context
folder = Path({folder!r})
settings = PipelineSettings(state=folder / ".state", memory_limit="1GB", threads=2)
context = Context(load_dataset(folder / "dataset.yaml"), settings)
real, calls = {module}.{name}, []
def die(*given, **named):
    if len(calls) == {after}:
        os.kill(os.getpid(), signal.SIGKILL)
    calls.append(given)
    return real(*given, **named)
{module}.{name} = die
applied(context, folder / "fixes.xlsx")
"""


@pytest.mark.parametrize(
    ("module", "name", "after", "written"),
    [
        ("apply", "write_atomically", 0, 0),
        ("apply", "write_atomically", 1, 1),
        ("os", "fsync", 0, 0),
        ("apply", "_applied", 0, 2),
    ],
)
def test_a_crash_leaves_the_old_or_the_new(
    tmp_path: Path, module: str, name: str, after: int, written: int
) -> None:
    tables = {}
    for table in ("axon", "dendrite"):
        (tmp_path / f"{table}.csv").write_text("cid,voxel_volume\na1,-5\na2,-6\na3,5\n")
        tables[table] = f"{table}.csv"
    context = context_for(tmp_path, tables)
    check(context)
    workbook = fixes(context, tmp_path / "fixes.xlsx")
    for table in tables:
        set_cell(workbook, f"{table}.csv", 2, "voxel_volume", "5")
        set_cell(workbook, f"{table}.csv", 3, "remove", "x")
    script = DIES.format(
        root=str(ROOT), folder=str(tmp_path), module=module, name=name, after=after
    )
    died = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    expected = [(2, "voxel_volume", "-5", "5"), (3, "", "a2,-6", "")]
    assert [corrections(tmp_path, table) for table in tables].count(expected) == written
    if written < 2:
        applied(context, workbook)
    assert [corrections(tmp_path, table) for table in tables] == [expected, expected]
    codes = {finding.code for finding in check(context).errors}
    assert codes == {"SYN-INT-001"}, (
        "the tables have nothing to do with each other, and no other error"
    )
