"""Whatever moment the process dies at, each table has its old corrections or the new ones, and the
same command goes on.

Belongs here: real processes that are killed. Does not: the command around it.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.correcting_lab import applied, check, corrections, fixes, set_cell
from tests.lab import context_for

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


TABLES = {table: f"{table}.csv" for table in ("axon", "dendrite")}


@pytest.fixture(scope="module")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that was checked, and its workbook as a person corrected it."""
    folder = tmp_path_factory.mktemp("corrected")
    for file in TABLES.values():
        (folder / file).write_text("cid,voxel_volume\na1,-5\na2,-6\na3,5\n")
    context = context_for(folder, TABLES)
    check(context)
    workbook = fixes(context, folder / "fixes.xlsx")
    for file in TABLES.values():
        set_cell(workbook, file, 2, "voxel_volume", "5")
        set_cell(workbook, file, 3, "remove", "x")
    return folder


@pytest.mark.parametrize(
    ("module", "name", "after", "written"),
    [
        ("apply", "write_atomically", 0, 0),
        ("apply", "write_atomically", 1, 1),
        ("apply", "_applied", 0, 2),
    ],
)
def test_a_crash_leaves_the_old_or_the_new(
    corrected: Path, tmp_path: Path, module: str, name: str, after: int, written: int
) -> None:
    folder = Path(shutil.copytree(corrected, tmp_path / "lab"))
    context, workbook = context_for(folder, TABLES), folder / "fixes.xlsx"
    script = DIES.format(root=str(ROOT), folder=str(folder), module=module, name=name, after=after)
    died = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    expected = [(2, "voxel_volume", "-5", "5"), (3, "", "a2,-6", "")]
    assert [corrections(folder, table) for table in TABLES].count(expected) == written
    if written < 2:
        applied(context, workbook)
    assert [corrections(folder, table) for table in TABLES] == [expected, expected]
    codes = {finding.code for finding in check(context).errors}
    assert codes == {"SYN-INT-001"}, (
        "the tables have nothing to do with each other, and no other error"
    )
