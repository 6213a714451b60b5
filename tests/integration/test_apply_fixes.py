"""`report --fixes` and `apply-fixes` as a person gives them: what is printed, exit codes, and
files.

Belongs here: the commands as processes. Does not: what is in the workbook, or formats
(`tests/unit/corrections`).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from tests.command_line import Lab

DATASET = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a61"
AXON = "cid,voxel_volume\r\na1,5e9\r\na2,-7\r\na3,x\r\n"


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab with two wrong cells in one of two files of a glob, checked; its config has comments of
    its own.
    """
    made = Lab(tmp_path_factory.mktemp("checked") / "lab")
    (made.folder / "data").mkdir()
    (made.folder / "data" / "axon_1.csv").write_bytes(AXON.encode())
    (made.folder / "data" / "axon_2.csv").write_bytes(b"cid,voxel_volume\r\nb1,5e9\r\n")
    config = made.config("cells", DATASET, {"axon": {"file": "data/axon_*.csv"}})
    text = (
        config.read_text()
        .replace("tables:", "# our tables\ntables:")
        .replace("axon_*.csv", "axon_*.csv  # both of them")
    )
    config.write_text(text)
    ran = made.run("check", "cells.yaml")
    assert ran.code == 3
    assert "Rows to correct: syndb-pipeline report cells.yaml --fixes fixes.xlsx\n" in ran.out
    return made.folder


@pytest.fixture
def lab(checked: Path, tmp_path: Path) -> Lab:
    """That lab for each test."""
    return Lab(Path(shutil.copytree(checked, tmp_path / "lab")))


def correct(lab: Lab, cells: dict[str, Any], name: str = "fixes.xlsx") -> None:
    book = openpyxl.load_workbook(lab.folder / name)
    for address, value in cells.items():
        book["axon_1.csv"][address] = value
    book.save(lab.folder / name)


def test_from_rejected_to_accepted_in_two_rounds(lab: Lab) -> None:
    before = {path: path.read_bytes() for path in (lab.folder / "data").iterdir()}
    config = (lab.folder / "cells.yaml").read_text()
    ran = lab.run("report", "cells.yaml", "--fixes", "fixes.xlsx")
    assert (ran.code, ran.out) == (0, "fixes.xlsx\n")
    assert "2 of 2 rows to correct" in ran.err
    files = sorted(path.name for path in lab.folder.iterdir())
    correct(lab, {"G2": "=1+1"})
    ran = lab.run("apply-fixes", "fixes.xlsx", "--json")
    assert (ran.code, ran.report["verdict"]) == (2, None)
    assert "axon_1.csv, cell G2: this is a formula" in ran.report["error"]
    assert sorted(path.name for path in lab.folder.iterdir()) == files, "nothing is written"

    correct(lab, {"G2": "7"})
    ran = lab.run("apply-fixes", "fixes.xlsx")
    assert ran.code == 3, "one cell is still wrong"
    assert ran.out.startswith(
        "APPLIED: 1 cell corrected in 1 row, 0 rows removed, 1 left as they were\n"
        "  wrote  corrections/axon.csv\n  config cells.yaml\n"
    )
    assert "REJECTED cells: 1 error" in ran.out
    assert all(len(line) <= 80 for line in ran.out.splitlines() if str(lab.folder) not in line), (
        ran.out
    )
    ran = lab.run("apply-fixes", "fixes.xlsx")
    assert (ran.code, "no cell differs" in ran.err) == (2, True), "it is applied already"

    lab.run("report", "cells.yaml", "--fixes", "again.xlsx")
    correct(lab, {"E2": "x"}, "again.xlsx")
    ran = lab.run("apply-fixes", "again.xlsx", "--json")
    assert (ran.code, ran.report["verdict"]) == (0, "accepted")
    assert ran.report["applied"]["files"] == ["corrections/axon.csv"]
    assert ran.report["applied"]["rows_removed"] == 1
    assert (lab.folder / "corrections" / "axon.csv").read_text() == (
        "file,line,column,was,now\n"
        'data/axon_1.csv,3,voxel_volume,-7,7\ndata/axon_1.csv,4,,"a3,x",\n'
    )
    assert {path: path.read_bytes() for path in (lab.folder / "data").iterdir()} == before
    assert (lab.folder / "cells.yaml").read_text() == config


def test_without_checks_and_with_the_config_elsewhere(lab: Lab, tmp_path: Path) -> None:
    lab.run("report", "cells.yaml", "--fixes", "fixes.xlsx")
    correct(lab, {"G2": "7"})
    moved = Lab(tmp_path / "moved")
    lab.folder.rename(tmp_path / "lab2")
    ran = moved.run("apply-fixes", tmp_path / "lab2" / "fixes.xlsx")
    assert ran.code == 2
    assert "which is not there" in ran.err
    ran = moved.run(
        "apply-fixes",
        tmp_path / "lab2" / "fixes.xlsx",
        "--config",
        tmp_path / "lab2" / "cells.yaml",
        "--no-check",
    )
    assert ran.code == 0, ran.err
    assert "Next: syndb-pipeline check" in ran.out
    assert "ingest" not in ran.err
    assert moved.run("report", tmp_path / "lab2" / "cells.yaml", "--fixes", "fixes.csv").code == 2
