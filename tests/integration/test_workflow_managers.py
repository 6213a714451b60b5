"""The examples for Snakemake and Airflow, run as their users run them.

Belongs here: that they go to the receipt, stop at what is wrong, and plan what the command line
plans. Does not: what the commands do.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.main import get_command

from syndb_pipeline.base.errors import Exit
from syndb_pipeline.cli.main import app
from tests.campaigns import WHOLE
from tests.command_line import PROGRAM, Lab

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = os.pathsep.join((str(Path(PROGRAM).parent), os.environ["PATH"]))
SNAKEMAKE = shutil.which("snakemake", path=PROGRAMS)
DAG = EXAMPLES / "airflow" / "syndb_dag.py"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """The dataset of the examples, its tables made, as one has it who knows no workflow manager."""
    lab = Lab(tmp_path / "own")
    shutil.copytree(EXAMPLES / "snakemake", lab.folder, dirs_exist_ok=True)
    rows = [row.split(",") for row in (lab.folder / "raw" / "axons.csv").read_text().split()[1:]]
    made = [f"{axon},{neuron},{int(voxels) * 640}" for axon, neuron, voxels in rows]
    lines = ["cid,parent_id,voxel_volume", *made, ""]
    (lab.folder / "axon.csv").write_bytes("\r\n".join(lines).encode())
    return lab


def digest_of(lab: Lab) -> str:
    return str(lab.run("plan", "dataset.yaml", "--json").report["digest"])


def run(
    command: list[str], folder: Path, more: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    variables = os.environ | {"PATH": PROGRAMS, "SYNDB_STATE": str(folder / "state")} | more
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    if SNAKEMAKE is None:
        pytest.skip("Snakemake is not installed: pip install snakemake")
    return Path(shutil.copytree(EXAMPLES / "snakemake", tmp_path / "workflow"))


def snakemake(
    workflow: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    return run([str(SNAKEMAKE), "--cores", "1", *arguments], workflow, variables)


def test_snakemake_publishes_what_the_command_line_plans(lab: Lab, workflow: Path) -> None:
    digest = digest_of(lab)
    # The same destination, a state of its own.
    settings = str(lab.folder / "pipeline.yaml")
    approved = ("--config", f"syndb={{approve: {digest}}}")
    done = snakemake(workflow, "syndb_publish", *approved, SYNDB_PIPELINE_CONFIG=settings)
    assert done.returncode == 0, done.stderr
    results = workflow / "results" / "syndb"
    receipt = json.loads((results / "receipt.json").read_text())
    assert (receipt["digest"], receipt["receipt"]["plan"]) == (digest, digest)
    assert json.loads((results / "check.json").read_text())["verdict"] == "accepted"


@pytest.mark.skipif(not WHOLE, reason="a sample of the tests")
def test_snakemake_keeps_the_report_on_rejected_data(workflow: Path) -> None:
    with (workflow / "vesicle.csv").open("a") as table:
        table.write("v5,a9,20\n")
    done = snakemake(workflow, "syndb_publish")
    assert done.returncode == 1
    assert "SYN-REL-001" in done.stderr and "status 3" in done.stderr
    results = workflow / "results" / "syndb"
    assert "a9" in (results / "report.html").read_text()
    assert not (results / "check.json").exists()


def test_the_dag_calls_commands_that_there_are() -> None:
    tree = ast.parse(DAG.read_text())
    names = {
        node.targets[0].id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    assert ast.literal_eval(names["TRY_AGAIN"]) == {
        *(Exit.INTERNAL, Exit.REFUSED, Exit.UNKNOWN, Exit.BUSY, Exit.INTERRUPTED)
    }
    called = [
        node.value.elts[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and isinstance(node.value, ast.List)
    ]
    assert called == ["check", "plan", "publish"]
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert "--approve=" in ast.literal_eval(names["approve"])
    assert any("--approve" in option.opts for option in commands["publish"].params)
    assert set(called) <= set(commands)


AIRFLOW = os.environ.get("SYNDB_AIRFLOW")
"""Folder of an environment with Airflow 3, which cannot be in that of our own libraries."""


@pytest.mark.skipif(not AIRFLOW, reason="SYNDB_AIRFLOW names no environment with Airflow")
def test_airflow_publishes_what_was_approved(lab: Lab, tmp_path: Path) -> None:
    variables = {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAG.parent),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "SYNDB_PIPELINE": PROGRAM,
        "SYNDB_DATASET": str(lab.folder / "dataset.yaml"),
    }
    airflow = f"{AIRFLOW}/bin/airflow"
    for command in (["db", "migrate"], ["dags", "reserialize"]):
        assert run([airflow, *command], tmp_path, variables).returncode == 0
    tested = [airflow, "dags", "test", "syndb"]
    done = run(tested, tmp_path, variables)
    assert "publish ended with 4" in done.stdout + done.stderr
    done = run([*tested, "--conf", json.dumps({"approve": digest_of(lab)})], tmp_path, variables)
    assert "PUBLISHED" in done.stdout + done.stderr
