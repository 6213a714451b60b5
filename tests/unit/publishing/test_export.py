"""`export`: what is in the folder, and when nothing is written.

Belongs here: the demo's export. Does not: real tables (`acceptance/test_exported_sets.py`), publishing
into a folder (`unit/destinations/test_folder.py`).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.command_line import Lab
from tests.exported import Export

DEMO = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11"
COUNTS = {
    "neuron": 6,
    "neuron_relation": 28,
    "dendrite": 15,
    "axon": 6,
    "synapse": 60,
    "pre_synaptic_terminal": 60,
    "dendritic_spine": 75,
    "nucleus": 6,
    "endoplasmic_reticulum": 15,
    "mitochondria": 18,
    "vesicle": 455,
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The demo, exported to `out` as Parquet and to `csv` as csv."""
    lab = Lab(tmp_path_factory.mktemp("export"))
    lab.call("demo", "lab")
    ran = lab.call("export", "lab/demo.yaml", "--to", "out", "--id-map", "--tar")
    assert ran.code == 0, ran.err
    assert ran.out == (
        "EXPORTED out\n  Demo lab: 744 rows in 11 tables, 4 meshes, 3 skeletons\n"
        "Next: read README.txt there\n"
    )
    more = ("--format", "csv", "--id-map", "--absolute-paths", "--json")
    ran = lab.call("export", "lab/demo.yaml", "--to", "csv", *more)
    assert ran.report["export"] == {"folder": "csv", "written": True}
    return lab


@pytest.mark.parametrize("form", ["out", "csv"])
def test_the_demo_is_read_back_and_taken_in_again(lab: Lab, form: str, tmp_path: Path) -> None:
    export = Export(lab.folder / form)
    assert export.counts == COUNTS
    export.check(DEMO)
    export.taken_in_again(Lab(tmp_path / "lab"))
    names = {path.name for path in export.folder.glob("*/*")}
    assert len([name for name in names if name.endswith((".glb", ".swc"))]) == 7
    [mesh] = export.rows("SELECT min(mesh_path) FROM neuron")
    assert Path(mesh[0]).is_absolute() == (form == "csv")


def test_the_tables_without_files_and_the_tar_are_those_that_are_sent(lab: Lab) -> None:
    package = lab.store(DEMO) / "package"
    for path in (package / "tables").iterdir():
        same = path.read_bytes() == (lab.folder / "out" / path.name).read_bytes()
        assert same == (path.stem not in ("neuron", "nucleus")), path.name
    manifest = json.loads((package / "manifest.json").read_text())
    tar = lab.folder / "out" / manifest["tar"]["name"]
    assert tar.stat().st_size == manifest["tar"]["bytes"]


def test_the_readme_fits_a_terminal_and_names_every_table(lab: Lab) -> None:
    text = (lab.folder / "out" / "README.txt").read_text()
    assert max(map(len, text.splitlines())) <= 80
    for table, count in COUNTS.items():
        assert f"{f'{table}.parquet':<30} {count:>13,} rows" in text


def copied(lab: Lab, folder: Path) -> Path:
    return Path(shutil.copytree(lab.folder / "out", folder / "out"))


def again(lab: Lab, folder: Path, *more: str) -> tuple[int, str]:
    ran = lab.call("export", "lab/demo.yaml", "--to", folder, "--id-map", "--tar", *more)
    return ran.code, ran.out + ran.err


def test_the_same_again_writes_nothing_and_what_is_missing_comes_back(
    lab: Lab, tmp_path: Path
) -> None:
    out = copied(lab, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    code, text = again(lab, out)
    assert code == 0 and text.count("UNCHANGED") == 1
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before

    (out / "SHA256SUMS").unlink()
    (out / "vesicle.parquet").unlink()
    (out / ".DS_Store").write_text("a file manager's")
    assert "EXPORTED" in again(lab, out)[1]
    Export(out).check(DEMO)
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "nothing is left beside it"


@pytest.mark.parametrize("harm", ["a file of mine", "a changed table", "not ours", "of another"])
def test_nothing_of_anybodys_is_replaced(lab: Lab, harm: str, tmp_path: Path) -> None:
    out = copied(lab, tmp_path)
    if harm == "a file of mine":
        (out / "notes.txt").write_text("mine")
    elif harm == "a changed table":
        (out / "vesicle.parquet").write_bytes(b"corrected")
    elif harm == "not ours":
        (out / "syndb-export.json").unlink()
    else:
        marker = out / "syndb-export.json"
        marker.write_text(marker.read_text().replace(DEMO, DEMO[:-1] + "2"))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    code, text = again(lab, out)
    assert code == 2 and f"Nothing was written to {out}" in text
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_what_was_rejected_is_not_exported(lab: Lab, tmp_path: Path) -> None:
    assert lab.call("export", "lab/demo_errors.yaml", "--to", tmp_path / "out").code == 3
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("http://host/folder", "is not the address of an object store"),
        ("s3://key:secret@bucket/folder", "holds no name, password or key"),
        ("s3://bucket/folder?access_key=k", "holds no name, password or key"),
        ("s3://bucket/folder?scheme=http&endpoint_override=host", "on this machine only"),
    ],
)
def test_an_address_holds_no_secret_and_is_encrypted(lab: Lab, place: str, reason: str) -> None:
    ran = lab.call("export", "lab/demo.yaml", "--to", place, "--yes")
    assert ran.code == 2 and reason in ran.err


def test_nothing_leaves_the_machine_unconfirmed(lab: Lab) -> None:
    ran = lab.call("export", "lab/demo.yaml", "--to", "s3://bucket/folder")
    assert ran.code == 4 and "--yes" in ran.err
