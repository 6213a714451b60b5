"""Whatever moment the process dies at, the lab has its old config or the new one, and applying
again works.

Belongs here: real processes that are killed. Does not: the command around it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.correcting_lab import applied, check, fixes, set_cell
from tests.ingest_helpers import context_for

ROOT = Path(__file__).resolve().parents[3]
DIES = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{root!r}, {here!r}]
from tests.correcting_lab import applied
from syndb_pipeline.corrections import apply, config_edit
from syndb_pipeline.config.settings import PipelineSettings, load_dataset
from syndb_pipeline.state.stage import Context
folder = Path({folder!r})
context = Context(load_dataset(folder / "dataset.yaml"), PipelineSettings(state=folder / ".state", memory_limit="1GB", threads=2))
def die(*given, **named):
    os.kill(os.getpid(), signal.SIGKILL)
{module}.{name} = die
applied(context, folder / "fixes.xlsx")
"""


@pytest.mark.parametrize(
    ("module", "name", "copies"),
    [
        ("apply", "differing", 0),
        ("apply", "flush", 0),
        ("apply", "require_same_files", 1),
        ("config_edit", "write_atomically", 1),
    ],
)
def test_a_crash_leaves_the_old_or_the_new(
    tmp_path: Path, module: str, name: str, copies: int
) -> None:
    (tmp_path / "axon.csv").write_text("cid,voxel_volume\na1,-5\n")
    context = context_for(tmp_path, {"axon": "axon.csv"})
    check(context)
    workbook = set_cell(fixes(context, tmp_path / "fixes.xlsx"), "axon.csv", 2, "voxel_volume", "5")
    config = context.config.path.read_bytes()
    script = DIES.format(
        root=str(ROOT),
        here=str(Path(__file__).parent),
        folder=str(tmp_path),
        module=module,
        name=name,
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert context.config.path.read_bytes() == config, "the config names what it named"
    assert (tmp_path / "axon.csv").read_text() == "cid,voxel_volume\na1,-5\n"
    assert (
        len([path for path in (tmp_path / "corrected").iterdir() if path.name.isdecimal()])
        == copies
    )
    told, after = applied(context, workbook)
    assert told.folder == f"corrected/{1 + copies}"
    assert (tmp_path / told.files[0]).read_text() == "cid,voxel_volume\na1,5\n"
    assert after.config.tables["axon"].file == told.files[0]
    assert [
        path.name for path in (tmp_path / "corrected").iterdir() if path.name.startswith(".")
    ] == [], "what a crash left is cleared"
