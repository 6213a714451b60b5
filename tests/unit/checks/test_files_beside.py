"""Meshes and skeletons beside a table, as the whole pipeline meets them: told by cell, and looked
at again when they change.

Belongs here: findings of validate on what named files hold. Does not: the formats
(`tests/unit/readers`).
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import duckdb
import pytest

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.checks.units import mesh_and_skeleton_files
from tests.meshes import glb, small_mesh, triangle
from tests.stage_lab import Checked, Lab, csv

SKELETON = "# a skeleton\n1 1 0 0 0 3 -1\n2 3 0 1 0 1 1\n3 3 0 2 0 1 2\n"


def lab_with(folder: Path, column: str, files: dict[str, bytes], **config: object) -> Lab:
    """A lab whose neurons name `files`, in their order, in `column`; the first row is line 2."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return Lab(
        folder,
        {"neuron": csv(f"cid,{column}", *(f"n{at},{name}" for at, name in enumerate(files)))},
        **config,
    )


def told(checked: Checked, code: str) -> list[tuple[str, int, list[int | None]]]:
    """Cause, count and lines of each finding of `code`."""
    return [
        (finding.message, finding.count, [place.row for place in finding.examples])
        for finding in checked.all(code)
    ]


def test_good_files_say_nothing(tmp_path: Path) -> None:
    lab = Lab(
        tmp_path, {"neuron": csv("cid,mesh_path,swc_path", "a,a.glb,a.swc", "b,a.glb,", "c,,a.swc")}
    )
    (tmp_path / "a.glb").write_bytes(small_mesh())
    (tmp_path / "a.swc").write_text(SKELETON)
    checked = lab.check()
    assert (checked.verdict, checked.faults) == ("accepted", [])


def test_a_mesh_that_cannot_be_read_is_told_with_cell_reason_and_cure(tmp_path: Path) -> None:
    checked = lab_with(
        tmp_path, "mesh_path", {"good.glb": small_mesh(), "short.glb": small_mesh()[:-9]}
    ).check()
    finding = checked.finding("SYN-PATH-003")
    size = len(small_mesh())
    assert (
        finding.message
        == "1 file named in neuron.mesh_path cannot be read as binary glTF 2.0, e.g. 'short.glb': "
        f"its header announces {size} bytes and it has {size - 9}, so its end is missing."
    )
    assert "Export the mesh again" in finding.fix
    assert [(place.row, place.column, place.value) for place in finding.examples] == [
        (3, "mesh_path", "short.glb")
    ]
    assert checked.verdict == "rejected"
    assert (checked.rows("neuron").passed, checked.rows("neuron").rejected) == (1, 1)


def test_many_files_of_one_cause_are_one_finding(tmp_path: Path) -> None:
    scene, binary = triangle()
    scene["buffers"][0]["uri"] = "elsewhere.bin"
    files = {f"{n:02}.glb": small_mesh()[: -4 * n] for n in range(1, 9)} | {
        "a.glb": glb(scene, binary),
        "b.glb": b"a mesh?",
        "c.glb": b"no mesh",
    }
    files |= {"d.glb": small_mesh()}
    found = told(lab_with(tmp_path, "mesh_path", files).check(), "SYN-PATH-003")
    assert sorted((count, lines) for _, count, lines in found) == [
        (1, [10]),
        (2, [11, 12]),
        (8, [2, 3, 4, 5, 9]),
    ]
    assert "'elsewhere.bin', which SynDB does not get" in next(
        cause for cause, count, _ in found if count == 1
    )


@pytest.mark.parametrize(
    ("content", "what", "advice"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
            "a pointer of Git LFS",
            "git lfs pull",
        ),
        (
            b"<!DOCTYPE html><html><body>404</body></html>",
            "a web page (HTML)",
            "Download the file itself",
        ),
        (
            b"# made by hand\nv 0.5 0 0\nv 1 0 0\nv 0 1 0\nf 1//1 2//2 3//3\n",
            "a mesh in Wavefront OBJ text",
            "export or convert",
        ),
        (
            b"mtllib a.mtl\no cell\nv 0 0 0\n" + b"v 1 2 3\n" * 2_000,
            "a mesh in Wavefront OBJ text",
            "export or convert",
        ),
        (b"ply\nformat ascii 1.0\n", "a mesh in PLY", "export or convert"),
        (b"solid cell\nfacet normal 0 0 1\n", "a mesh in STL text", "export or convert"),
        (
            b"cell".ljust(80) + struct.pack("<I", 2) + bytes(100),
            "a mesh in binary STL",
            "export or convert",
        ),
        (b"OFF\n3 1 0\n", "a mesh in OFF", "export or convert"),
        (b"DRACO\x02\x02", "a bare Draco stream", "export or convert"),
        (b"\x1f\x8b\x08\0", "compressed with gzip", "Export the mesh again"),
        (b'<?xml version="1.0"?><COLLADA>', "XML text, such as COLLADA", "Export the mesh again"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_another_kind_of_file_really_is(
    tmp_path: Path, content: bytes, what: str, advice: str
) -> None:
    finding = lab_with(tmp_path, "mesh_path", {"a.glb": content}).check().finding("SYN-PATH-003")
    assert f"it does not start as a binary glTF file does; it is {what}" in finding.message
    assert advice in finding.fix


def test_a_skeleton_that_is_no_tree_is_told_with_its_line(tmp_path: Path) -> None:
    files = {
        "good.swc": SKELETON,
        "orphan.swc": SKELETON + "4 3 0 0 0 1 44\n",
        "orphan_too.swc": "# more\n" + SKELETON + "9 3 0 0 0 1 99\n",
        "circle.swc": SKELETON + "4 3 0 0 0 1 5\n5 3 0 0 0 1 4\n",
    }
    checked = lab_with(
        tmp_path, "swc_path", {name: text.encode() for name, text in files.items()}
    ).check()
    assert sorted(told(checked, "SYN-PATH-004"), key=lambda finding: finding[1]) == [
        (
            (
                "1 file named in neuron.swc_path is not a skeleton in SWC text, e.g. 'circle.swc': "
                "line 5: the parents of sample 4 go round in a circle and lead to no root."
            ),
            1,
            [5],
        ),
        (
            (
                "2 files named in neuron.swc_path are not skeletons in SWC text, e.g. 'orphan.swc': "
                "line 5: sample 4 has the parent 44, which is no sample of the file."
            ),
            2,
            [3, 4],
        ),
    ]
    assert (checked.verdict, checked.rows("neuron").rejected) == ("rejected", 3)


def test_strange_skeletons_are_warned_of_and_taken(tmp_path: Path) -> None:
    files = {
        "pieces.swc": SKELETON + "4 3 9 9 9 1 -1\n",
        "more_pieces.swc": SKELETON + "4 3 9 9 9 1 -1\n5 3 9 9 8 1 -1\n",
        "repeated.swc": SKELETON + "4 3 0 2 0 1 3\n",
        "negative.swc": SKELETON + "4 3 0 3 0 -1 3\n",
    }
    checked = lab_with(
        tmp_path, "swc_path", {name: text.encode() for name, text in files.items()}
    ).check()
    assert checked.verdict == "accepted"
    assert checked.faults == ["SYN-PATH-005", "SYN-PATH-006", "SYN-PATH-007"]
    assert told(checked, "SYN-PATH-005") == [
        (
            (
                "2 skeletons of neuron.swc_path are in several pieces, e.g. 'pieces.swc': 2 roots,"
                " the second in line 5."
            ),
            2,
            [2, 3],
        )
    ]
    assert (
        "'repeated.swc': 1 of 4 samples, the first in line 5"
        in checked.finding("SYN-PATH-006").message
    )
    assert (
        "'negative.swc': 1 of 4 samples, the first in line 5"
        in checked.finding("SYN-PATH-007").message
    )


def test_pieces_may_be_made_an_error_and_broken_files_never_a_warning(tmp_path: Path) -> None:
    pieces = {"pieces.swc": (SKELETON + "4 3 9 9 9 1 -1\n").encode()}
    assert (
        lab_with(tmp_path / "one", "swc_path", pieces, rules={"SYN-PATH-005": "error"})
        .check()
        .verdict
        == "rejected"
    )
    for code in ("SYN-PATH-003", "SYN-PATH-004"):
        with pytest.raises(ConfigError, match=code):
            lab_with(tmp_path / code, "swc_path", pieces, rules={code: "warning"}).check()


def test_tables_that_name_the_same_file(tmp_path: Path) -> None:
    """Each cell is told in its own table; one file is wrong for a mesh, its neighbour for a
    skeleton.
    """
    tables = {
        "neuron": csv("cid,mesh_path,swc_path", "n,bad.glb,bad.swc"),
        "axon": csv("cid,parent_id,mesh_path", "a,n,bad.glb", "b,n,bad.glb"),
    }
    lab = Lab(tmp_path, tables)
    (tmp_path / "bad.glb").write_bytes(b"no")
    (tmp_path / "bad.swc").write_bytes(b"no")
    found = [
        (finding.table, finding.code, finding.count)
        for finding in lab.check().findings
        if finding.code.startswith("SYN-PATH")
    ]
    assert found == [
        ("neuron", "SYN-PATH-003", 1),
        ("neuron", "SYN-PATH-004", 1),
        ("axon", "SYN-PATH-003", 2),
    ]


def test_a_path_that_is_awkward_to_quote(tmp_path: Path) -> None:
    checked = lab_with(tmp_path, "swc_path", {"it's {odd} %s.swc": b"1 2 3\n"}).check()
    assert (
        '"it\'s {odd} %s.swc": line 1: it has 3 values' in checked.finding("SYN-PATH-004").message
    )


def test_a_changed_file_is_looked_at_again(tmp_path: Path) -> None:
    lab = lab_with(tmp_path, "mesh_path", {"a.glb": small_mesh()})
    first = lab.run()
    assert lab.run()["validate"].run == first["validate"].run, "nothing changed"
    (tmp_path / "a.glb").write_bytes(small_mesh()[:-1] + b"x")
    again = lab.run()
    assert again["validate"].inputs["paths"] != first["validate"].inputs["paths"]
    assert again["validate"].run != first["validate"].run
    (tmp_path / "a.glb").write_bytes(b"ruined")
    assert lab.check().verdict == "rejected"
    (tmp_path / "a.glb").write_bytes(small_mesh())
    restored = lab.run()
    assert restored["validate"].digest == first["validate"].digest
    assert restored["check_integrity"].digest == first["check_integrity"].digest


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    lab = lab_with(tmp_path, "swc_path", {"mine.swc": SKELETON.encode()})
    (tmp_path / "mine.swc").chmod(0)
    assert "it cannot be opened: Permission denied" in lab.check().finding("SYN-PATH-004").message


def test_more_files_than_are_asked_for_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand rows name a thousand files, in several batches; every 100th is wrong."""
    rows = 1_000
    monkeypatch.setattr(mesh_and_skeleton_files, "_BATCH", 300)
    folder = tmp_path / "swc"
    folder.mkdir()
    (tmp_path / "good.swc").write_text(SKELETON)
    (tmp_path / "bad.swc").write_text("# nothing\n")
    for n in range(rows):
        (folder / f"{n}.swc").hardlink_to(tmp_path / ("good.swc" if n % 100 else "bad.swc"))
    lab = Lab(
        tmp_path, {"neuron": csv("cid,swc_path", *(f"n{n},swc/{n}.swc" for n in range(rows)))}
    )
    lab.run("validate")
    failures = duckdb.read_parquet(str(lab.context.store.stage("validate") / "failures.parquet"))
    assert failures.order("row_number").fetchall() == [
        ("SYN-PATH-004", "neuron", n, "swc_path", f"swc/{n}.swc", "it holds no sample")
        for n in range(0, rows, 100)
    ]
