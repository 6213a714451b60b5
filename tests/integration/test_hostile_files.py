"""Hostile and broken files through the real command: refused with a finding, soon, in little
memory, and nothing is left behind.

Belongs here: `syndb-pipeline check` and `init` as processes of their own, on the files of
`tests/hostile_files.py`. Does not: single looks.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from syndb_pipeline.contract.tables import TABLE_ORDER
from tests.command_line import PROGRAM, Lab
from tests.hostile_files import CASES, Hostile, gzip_bomb, sheet_bomb, small_parquet

SECONDS = 10
"""Of processor time: seconds on the wall are the same on a machine that does nothing else."""

PEAK = 500_000_000

DATASET = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11"

_MEASURE = """
import json, os, sys, time
began = time.perf_counter()
child = os.fork()
if child == 0:
    os.execv(sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(child, 0)
told = {"code": os.waitstatus_to_exitcode(status), "seconds": time.perf_counter() - began,
        "processor": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)}
open(sys.argv[1], "w").write(json.dumps(told))
"""
"""A small process between: a child's `ru_maxrss` starts with what its parent holds, and a test's
process holds much.
"""


@dataclass(frozen=True)
class Measured:
    """What one command printed and took; `processor` in seconds is independent of what else the
    machine does.
    """

    code: int
    out: str
    err: str
    seconds: float
    processor: float
    peak: int

    @property
    def findings(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.out)["findings"]
        return found


def measured(lab: Lab, *arguments: object, timeout: float = 120) -> Measured:
    """Run the command in the lab's folder and tell what it took, its own child processes included
    in time and, each for itself, in peak.
    """
    with tempfile.NamedTemporaryFile() as told:
        command = [sys.executable, "-S", "-c", _MEASURE, told.name, PROGRAM, *map(str, arguments)]
        done = subprocess.run(
            command,
            cwd=lab.folder,
            env=lab.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=True,
        )
        result = json.loads(Path(told.name).read_text())
    return Measured(
        result["code"],
        done.stdout,
        done.stderr,
        result["seconds"],
        result["processor"],
        result["peak"],
    )


GROUPS = [
    CASES[start : start + len(TABLE_ORDER)] for start in range(0, len(CASES), len(TABLE_ORDER))
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every hostile file, each in a folder of its own."""
    folder = tmp_path_factory.mktemp("hostile")
    for number, case in enumerate(CASES):
        (folder / f"case{number}").mkdir()
        case.make(folder / f"case{number}" / case.file)
    return folder


@pytest.mark.parametrize("limit", ["500MB", "2GB"])
@pytest.mark.parametrize("group", range(len(GROUPS)))
def test_hostile_files_are_refused_soon(made: Path, tmp_path: Path, group: int, limit: str) -> None:
    """As many at a time as there are tables, so each alone takes less than what is allowed for
    all.
    """
    lab = Lab(tmp_path / "lab", memory_limit=limit, threads=2)
    first = group * len(TABLE_ORDER)
    here = zip(TABLE_ORDER, GROUPS[group], strict=False)
    files = {
        table: (made / f"case{first + index}" / case.file, case)
        for index, (table, case) in enumerate(here)
    }
    config = lab.config(
        "hostile",
        DATASET,
        {table: {"file": str(path)} | case.options for table, (path, case) in files.items()},
    )
    run = measured(lab, "check", config, "--json")
    assert "Traceback" not in run.out + run.err
    assert run.code == 3, run.err
    for table, (_, case) in files.items():
        codes = [
            found["code"]
            for found in run.findings
            if found["table"] == table and found["severity"] == "error"
        ]
        assert set(codes) & set(case.codes), (case.name, codes)
    assert run.peak <= PEAK, run.peak
    assert run.processor <= SECONDS, run.processor
    assert _left(lab) == []


def _left(lab: Lab) -> list[Path]:
    """Files of the run that are no stage's outputs."""
    return [
        path
        for path in lab.store(DATASET).rglob("*")
        if (path.is_file() and ".scratch" in path.parts) or "reading" in path.parts
    ]


def test_a_pipe_among_the_files_of_a_glob(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    (tmp_path / "n1.csv").write_text("cid\na\n")
    os.mkfifo(tmp_path / "n2.csv")
    (tmp_path / "n3.csv").symlink_to("n2.csv")
    ran = lab.run(
        "check", lab.config("glob", DATASET, {"neuron": {"file": "*.csv"}}), "--json", timeout=30
    )
    assert ran.code == 3
    assert [(found["code"], found["file"]) for found in ran.errors] == [
        ("SYN-READ-020", "n2.csv"),
        ("SYN-READ-020", "n3.csv"),
    ]


def test_only_allowed_folders_are_read(tmp_path: Path) -> None:
    lab, allowed, other = Lab(tmp_path / "lab"), tmp_path / "allowed", tmp_path / "other"
    for folder in (allowed, other):
        folder.mkdir()
        (folder / "neuron.csv").write_text("cid,swc_path\na,\n")
    (allowed / "link.csv").symlink_to(other / "neuron.csv")
    (lab.folder / "beside.csv").write_text(
        f"cid,swc_path\na,{allowed / 'none.swc'}\nb,{other / 'n.swc'}\nc,../other/none.swc\n"
    )
    settings = yaml.safe_load((lab.folder / "pipeline.yaml").read_text())
    (lab.folder / "pipeline.yaml").write_text(
        yaml.safe_dump(settings | {"data_folders": ["../allowed"]})
    )

    assert (
        lab.run(
            "check", lab.config("d", DATASET, {"neuron": {"file": "../allowed/*r*n.csv"}}), "--json"
        ).codes
        == {}
    )
    places = [
        "../other/neuron.csv",
        str(other / "neuron.csv"),
        str(other / "*.csv"),
        "../allowed/link.csv",
        "../allowed/../other/none.csv",
    ]
    tables = dict(zip(TABLE_ORDER[1:], places, strict=False)) | {"neuron": "beside.csv"}
    ran = lab.run(
        "check",
        lab.config("d", DATASET, {table: {"file": file} for table, file in tables.items()}),
        "--json",
    )
    told = {
        (found["table"], found["code"]): found["count"]
        for found in ran.errors
        if found["code"].startswith(("SYN-READ", "SYN-PATH"))
    }
    outside = {(table, "SYN-READ-021"): 1 for table in TABLE_ORDER[1:][: len(places)]}
    assert told == outside | {("neuron", "SYN-PATH-001"): 1, ("neuron", "SYN-READ-021"): 2}
    found = next(found for found in ran.errors if found["code"] == "SYN-READ-021")
    assert "data_folders" in found["fix"] and str(allowed) in found["message"]
    (lab.folder / "pipeline.yaml").write_text(yaml.safe_dump(settings))
    assert (
        lab.run(
            "check", lab.config("d", DATASET, {"neuron": {"file": "../other/neuron.csv"}}), "--json"
        ).codes
        == {}
    )


def test_init_on_a_folder_of_hostile_files(made: Path, tmp_path: Path) -> None:
    lab, folder = Lab(tmp_path / "lab", threads=2), tmp_path / "tables"
    folder.mkdir()
    (folder / "neuron.csv").write_text("cid,cable_length\na,1\n")
    for number, case in enumerate(CASES):
        path = made / f"case{number}" / case.file
        (folder / f"{number:02}_{case.file}").symlink_to(path)
    run = measured(lab, "init", folder, "--out", lab.folder / "first.yaml")
    assert "Traceback" not in run.out + run.err
    assert run.code == 0, run.err
    assert run.peak <= PEAK and run.processor <= SECONDS, run
    written = yaml.safe_load((lab.folder / "first.yaml").read_text())
    assert written["tables"]["neuron"]["file"].endswith("neuron.csv")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            "a0: &a0 [x, x]\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)),
            "aliases",
        ),
        (
            "a0: &a0 {x: 1}\n"
            + "".join(
                f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
            ),
            "aliases",
        ),
        ("dataset: &a [*a]\n", "alias is within"),
        ("a: " + "[" * 400_000, "levels"),
        ("a: " + "9" * 400_000, "no such key"),
        ("a: 1" + ":1" * 200_000, "no such key"),
        ("- a\n" * 120_000, "values"),
        ("a: b\n" * 20_000_000, "bytes"),
    ],
    ids=["laughs", "merged laughs", "circle", "deep", "digits", "base 60", "long", "100 MB"],
)
def test_hostile_yaml_is_refused_soon(tmp_path: Path, content: str, told: str) -> None:
    lab = Lab(tmp_path, threads=2)
    (tmp_path / "hostile.yaml").write_text(content)
    run = measured(lab, "check", "hostile.yaml")
    assert run.code == 2 and told in run.err and "Traceback" not in run.err, run.err
    assert run.peak <= PEAK and run.processor <= SECONDS, run


def test_names_cannot_command_a_terminal(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    name = "a\x1b]0;owned\x07\x1b[31m\u202evsc.exe\n\x9b2J.csv"
    (tmp_path / name).write_text("cid,cid\x1b[2J\u202e\na,b\n")
    config = lab.config("names", DATASET, {"neuron": {"file": name}})
    shown = lab.run("check", config)
    listed = lab.run("check", config, "--json")
    looked = lab.run("init", tmp_path, "--out", tmp_path / "first.yaml")
    broken = lab.run("check", tmp_path / f"{name}.yaml")
    assert (shown.code, listed.code, looked.code, broken.code) == (3, 3, 0, 2)
    assert listed.errors[0]["file"] == name  # to a script it is the name as it is
    page = next((lab.store(DATASET) / "report").glob("*.html")).read_text()
    for text in (
        shown.out,
        shown.err,
        listed.out,
        listed.err,
        looked.out,
        looked.err,
        broken.out,
        broken.err,
        page,
    ):
        assert not set(text) & {"\x1b", "\x07", "\u202e", "\x9b"}, text
    assert r"a\x1b]0;owned" in shown.out.replace("\n", "")


def test_large_honest_files_are_read(tmp_path: Path) -> None:
    """A gzip file at 20 to 1 of more than a bomb's free size, a sheet of many rows and a Parquet
    file of counted keys.
    """
    lab = Lab(tmp_path, memory_limit="500MB", threads=2)
    with gzip.open(tmp_path / "neuron.csv.gz", "wt", compresslevel=1) as file:
        file.write("cid,neuron_type\n")
        for number in range(250_000):
            file.write(f"neuron{number:07},{'stellate ' * 50}\n")
    small_parquet(tmp_path / "axon.parquet")
    ran = lab.run(
        "check", lab.config("large", DATASET, {"neuron": {"file": "neuron.csv.gz"}}), "--json"
    )
    assert ran.code == 0, ran.err
    assert ran.report["tables"]["neuron"]["read"] == 250_000


def test_a_refused_file_is_looked_at_again_once_it_changed(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    gzip_bomb(tmp_path / "neuron.csv.gz", size=200_000_000)
    config = lab.config("again", DATASET, {"neuron": {"file": "neuron.csv.gz"}})
    assert lab.run("check", config, "--json").codes == {"SYN-READ-019": 1}
    (tmp_path / "neuron.csv.gz").write_bytes(gzip.compress(b"cid\na\n"))
    assert lab.run("check", config, "--json").code == 0
    sheet_bomb(tmp_path / "n.xlsx", told=1_000, size=50_000_000)
    config = lab.config("again", DATASET, {"neuron": {"file": "n.xlsx"}})
    assert lab.run("check", config, "--json").codes == {"SYN-READ-019": 1}


def test_every_case_has_its_own_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES) and all(
        isinstance(case, Hostile) for case in CASES
    )
