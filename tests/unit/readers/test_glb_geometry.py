"""What a mesh measures: the box around it, wherever its nodes place it, and whether it has a
surface.

Belongs here: single files. Does not: whether they are glTF (`test_glb.py`), what a row says
(`tests/unit/stages/test_file_scales.py`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syndb_pipeline.readers.glb import GlbReport, check_glb
from tests.meshes import ball_mesh, glb, triangle

Change = Callable[[dict[str, Any]], Any]


def look(folder: Path, content: bytes) -> GlbReport:
    path = folder / "m.glb"
    path.write_bytes(content)
    report = check_glb(path)
    assert report.reason is None
    return report


def changed(change: Change, binary: bytes | None = None) -> bytes:
    scene, own = triangle()
    change(scene)
    return glb(scene, own if binary is None else binary)


def node(**values: Any) -> Change:
    return lambda scene: scene["nodes"][0].update(values)


def position(**values: Any) -> Change:
    return lambda scene: scene["accessors"][0].update(values)


def without_bounds(scene: dict[str, Any]) -> None:
    del scene["accessors"][0]["min"], scene["accessors"][0]["max"]


def below_another(scene: dict[str, Any]) -> None:
    scene["nodes"] = [
        {"children": [1], "scale": [1000, 1000, 1000]},
        {"mesh": 0, "translation": [1, 2, 3]},
    ]


def twice(scene: dict[str, Any]) -> None:
    scene["nodes"] = [{"mesh": 0}, {"mesh": 0, "translation": [0, 0, 9]}]


def quantized(scene: dict[str, Any]) -> None:
    scene["extensionsUsed"] = ["KHR_mesh_quantization"]
    scene["accessors"][0] |= {
        "componentType": 5122,
        "normalized": True,
        "min": [0, 0, 0],
        "max": [32767, 32767, 0],
    }


@pytest.mark.parametrize(
    ("content", "box"),
    [
        (changed(lambda scene: None), (0, 0, 0, 1, 1, 0)),
        (changed(node(scale=[1e-9, 1e-9, 1e-9])), (0, 0, 0, 1e-9, 1e-9, 0)),
        (
            changed(node(matrix=[2, 0, 0, 0, 0, 3, 0, 0, 0, 0, 4, 0, 5, 6, 7, 1])),
            (5, 6, 7, 7, 9, 7),
        ),
        (
            changed(node(rotation=[0, 0, 2**-0.5, 2**-0.5], translation=[10, 0, 0])),
            (9, 0, 0, 10, 1, 0),
        ),
        (changed(below_another), (1000, 2000, 3000, 2000, 3000, 3000)),
        (changed(twice), (0, 0, 0, 1, 1, 9)),
        (
            changed(lambda scene: [scene.pop(name) for name in ("scene", "scenes", "nodes")]),
            (0, 0, 0, 1, 1, 0),
        ),
        (changed(without_bounds), (0, 0, 0, 1, 1, 0)),
        (changed(position(min="low", max=[1, 1, None])), (0, 0, 0, 1, 1, 0)),
        (changed(quantized), (0, 0, 0, 1, 1, 0)),
        (
            changed(
                lambda scene: scene.update(nodes=[{"children": [1]}, {"children": [0], "mesh": 0}])
            ),
            (0, 0, 0, 1, 1, 0),
        ),
    ],
    ids=[
        "plain",
        "scale",
        "matrix",
        "turned",
        "below another",
        "twice",
        "no nodes",
        "no bounds",
        "strange bounds",
        "whole",
        "a circle",
    ],
)
def test_the_box_is_where_the_nodes_place_the_mesh(
    tmp_path: Path, content: bytes, box: tuple[float, ...]
) -> None:
    assert look(tmp_path, content).box == pytest.approx(box, abs=1e-12)


def test_a_box_that_nobody_knows(tmp_path: Path) -> None:
    packed = {"KHR_draco_mesh_compression": {"bufferView": 0, "attributes": {"POSITION": 0}}}

    def draco(scene: dict[str, Any]) -> None:
        without_bounds(scene)
        del scene["accessors"][0]["bufferView"], scene["accessors"][1]["bufferView"]
        scene["meshes"][0]["primitives"][0]["extensions"] = packed

    report = look(tmp_path, changed(draco))
    assert (report.box, report.bare) == (None, "")


def corners(*numbers: float) -> bytes:
    return struct.pack("<9f3H", *numbers, 0, 1, 2)


def mode(number: int) -> Change:
    return lambda scene: scene["meshes"][0]["primitives"][0].update(mode=number)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (changed(mode(0)), "it holds points only and no faces"),
        (changed(mode(3)), "it holds points or lines only and no faces"),
        (
            changed(lambda scene: scene["accessors"][1].update(count=2)),
            "it holds points or lines only and no faces",
        ),
        (changed(lambda scene: None, corners(*[0] * 9)), "none of its 1 triangle has an area"),
        (
            changed(lambda scene: None, corners(*[7e5, 8e5, 9e5] * 3)),
            "none of its 1 triangle has an area",
        ),
        (
            changed(lambda scene: None, corners(0, 0, 0, 1e5, 2e5, 3e5, 3e5, 6e5, 9e5)),
            "none of its 1 triangle has an area",
        ),
        (changed(mode(5), corners(*[0] * 9)), "none of its 1 triangle has an area"),
        (changed(mode(6), corners(*[0] * 9)), "none of its 1 triangle has an area"),
        (changed(mode(5)), ""),
        (changed(mode(6)), ""),
        (changed(lambda scene: scene["meshes"][0]["primitives"][0].pop("indices")), ""),
        (
            changed(
                lambda scene: scene["meshes"][0]["primitives"].append(
                    {"attributes": {"POSITION": 0}, "mode": 0}
                )
            ),
            "",
        ),
        (ball_mesh((5e5, 4e5, 8e4), 900), ""),
        (ball_mesh((0, 0, 0), 900, 1e-9), ""),
    ],
)
def test_what_a_mesh_without_a_surface_is(tmp_path: Path, content: bytes, why: str) -> None:
    assert look(tmp_path, content).bare == why


def many(triangles: int, good: int | None) -> bytes:
    """A mesh of `triangles` without an area, but for the one numbered `good`."""
    scene, _ = triangle()
    scene["accessors"][0]["count"] = 3
    scene["accessors"][1] |= {"count": 3 * triangles, "componentType": 5121}
    indices = bytearray(3 * triangles)
    if good is not None:
        indices[3 * good : 3 * good + 3] = bytes([0, 1, 2])
    scene["bufferViews"][1]["byteLength"] = len(indices)
    scene["buffers"][0]["byteLength"] = 36 + len(indices)
    return glb(scene, triangle()[1][:36] + bytes(indices))


def test_many_triangles_without_an_area(tmp_path: Path) -> None:
    assert look(tmp_path, many(5_000, None)).bare == "none of its 5,000 triangles has an area"
    assert look(tmp_path, many(5_000, 4_999)).bare == ""
    assert (
        look(tmp_path, many(50_000, None)).bare
        == "none of 16,667 of its 50,000 triangles has an area"
    )
