"""Meshes and skeletons that are not there, are something else, or are broken.

Belongs here: mistakes under SYN-PATH rules. Does not: the tables themselves.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from typing import Any

from tests.acceptance.corpus.case import Case, finds, wrong
from tests.acceptance.corpus.changes import beside, each, file, put, together
from tests.meshes import small_mesh

NEU = "neuron"
MESH = "derived_glb/754534424.glb"
SKELETON = "test_neuron.swc"
PLY = (
    b"ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float"
    b" z\nend_header\n0 0 0\n1 0 0\n0 1 0\n"
)


def _lines(function: Callable[[list[str]], list[str]]) -> Callable[[bytes], bytes]:
    return lambda written: (
        "\n".join(function(written.decode().rstrip("\n").split("\n"))) + "\n"
    ).encode()


def _samples(number: int, *values: str) -> Callable[[bytes], bytes]:
    """Line `number` (from 1) of a skeleton is another."""
    return _lines(lambda lines: [*lines[: number - 1], *values, *lines[number:]])


def _places_times(factor: float) -> Callable[[bytes], bytes]:
    """A skeleton with its coordinates and radii times `factor`."""

    def scaled(line: str) -> str:
        values = line.split()
        if line.startswith("#") or len(values) != 7:
            return line
        return " ".join(
            [*values[:2], *(repr(float(value) * factor) for value in values[2:6]), values[6]]
        )

    return _lines(lambda lines: [scaled(line) for line in lines])


def _node_scaled(factor: float) -> Callable[[dict[str, Any]], object]:
    """What places the mesh makes it larger or smaller."""

    def apply(told: dict[str, Any]) -> None:
        for node in told["nodes"]:
            if "mesh" in node:
                node.pop("matrix", None)
                node["scale"] = [factor] * 3

    return apply


def _at_one_place(written: bytes) -> bytes:
    """The mesh, its vertices last in the file, with all of them at the origin."""
    (size,) = struct.unpack_from("<I", written, 12)
    told = json.loads(written[20 : 20 + size])
    vertices = told["bufferViews"][
        told["accessors"][told["meshes"][0]["primitives"][0]["attributes"]["POSITION"]][
            "bufferView"
        ]
    ]
    start = 20 + size + 8 + vertices["byteOffset"]
    return (
        written[:start] + bytes(vertices["byteLength"]) + written[start + vertices["byteLength"] :]
    )


def _with_json(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    """The mesh with another JSON chunk; the chunk's and the file's lengths are right."""

    def apply(written: bytes) -> bytes:
        (size,) = struct.unpack_from("<I", written, 12)
        told = json.loads(written[20 : 20 + size])
        change(told)
        text = json.dumps(told).encode()
        text += b" " * (-len(text) % 4)
        rest = written[20 + size :]
        return (
            struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text) + len(rest), len(text), b"JSON")
            + text
            + rest
        )

    return apply


PATHS = (
    wrong(
        "a mesh that was never exported",
        "hemibrain",
        beside(MESH, None),
        finds("SYN-PATH-001", NEU, "mesh_path", 3, 1, "754534424.glb"),
    ),
    wrong(
        "another mesh of the same name beside the table",
        "hemibrain",
        together(file(NEU, "tables/neuron.csv"), beside(f"tables/{MESH}", small_mesh("older"))),
        finds("SYN-PATH-010", NEU, "mesh_path", 3, 1, "754534424.glb"),
    ),
    wrong(
        "paths of the Windows machine where the table was made",
        "hemibrain",
        each(NEU, "swc_path", lambda path: "C:\\data\\" + path.replace("/", "\\")),
        finds("SYN-PATH-001", NEU, "swc_path", 2, 5, "/"),
    ),
    wrong(
        "capitals in a file's name that the file does not have",
        "hemibrain",
        put(NEU, "mesh_path", 4, "derived_glb/754538881.GLB"),
        finds("SYN-PATH-001", NEU, "mesh_path", 4, 1, "capitals"),
    ),
    wrong(
        "a folder instead of a skeleton",
        "skeletons",
        put(NEU, "swc_path", 4, "."),
        finds("SYN-PATH-002", NEU, "swc_path", 4, 1, ".swc"),
    ),
    wrong(
        "meshes as Wavefront .obj",
        "hemibrain",
        each(NEU, "mesh_path", lambda path: path.replace(".glb", ".obj")),
        finds("SYN-PATH-002", NEU, "mesh_path", 2, 5, ".glb"),
    ),
)

MESHES = (
    wrong(
        "a download that broke off",
        "hemibrain",
        beside(MESH, lambda mesh: mesh[:-5000]),
        finds("SYN-PATH-003", NEU, "mesh_path", 3, 1, "end is missing"),
    ),
    wrong(
        "a .ply that was renamed",
        "hemibrain",
        beside(MESH, PLY),
        finds("SYN-PATH-003", NEU, "mesh_path", 3, 1, "PLY", "convert"),
    ),
    wrong(
        "a cloud of points instead of a mesh",
        "hemibrain",
        beside(MESH, _with_json(lambda told: told["meshes"][0]["primitives"][0].update(mode=0))),
        finds("SYN-PATH-008", NEU, "mesh_path", 3, 1, "points", "754534424.glb"),
    ),
    wrong(
        "all vertices of a mesh at one place",
        "hemibrain",
        beside(MESH, _at_one_place),
        finds("SYN-PATH-008", NEU, "mesh_path", 3, 1, "area"),
    ),
    wrong(
        "a mesh in micrometres",
        "hemibrain",
        beside(MESH, _with_json(_node_scaled(1e-3))),
        finds("SYN-PATH-009", NEU, "mesh_path", 3, 1, "1,000 times smaller", "micrometres"),
    ),
)

SKELETONS = (
    wrong(
        "a skeleton that ends within a sample",
        "skeletons",
        beside(SKELETON, lambda swc: swc[: swc.rindex(b" ") - 3]),
        finds("SYN-PATH-004", NEU, "swc_path", 3, 1, "line 10", "7"),
    ),
    wrong(
        "a skeleton saved as csv",
        "skeletons",
        beside(SKELETON, lambda swc: swc.replace(b" ", b",")),
        finds("SYN-PATH-004", NEU, "swc_path", 3, 1, "comma"),
    ),
    wrong(
        "more columns than seven in a skeleton, as Vaa3D writes them",
        "skeletons",
        beside(
            SKELETON,
            _lines(
                lambda lines: [
                    "##n,type,x,y,z,radius,parent,seg_id,level",
                    *(f"{line} 0 1" for line in lines),
                ]
            ),
        ),
        finds("SYN-PATH-004", NEU, "swc_path", 3, 1, "eSWC", "first seven"),
    ),
    wrong(
        "a skeleton in micrometres",
        "hemibrain",
        beside("original/swc/754534424.swc", _places_times(8e-3)),
        finds("SYN-PATH-009", NEU, "swc_path", 3, 1, "1,000 times smaller", "cable_length"),
    ),
    wrong(
        "a neuron in two pieces",
        "skeletons",
        beside(SKELETON, _samples(8, "8 3 0.0 8.0 0.0 0.5 -1")),
        finds("SYN-PATH-005", NEU, "swc_path", 3, 1, "2 roots", "line 8"),
    ),
    wrong(
        "a sample stands twice in one place",
        "skeletons",
        beside(SKELETON, _lines(lambda lines: [*lines, "11 3 0.0 4.0 0.0 0.5 5"])),
        finds("SYN-PATH-006", NEU, "swc_path", 3, 1, "line 11"),
    ),
    wrong(
        "-1 for radii that were not measured",
        "skeletons",
        beside(SKELETON, lambda swc: re.sub(rb"(?m) 0\.5 (\d+)$", rb" -1 \1", swc)),
        finds("SYN-PATH-007", NEU, "swc_path", 3, 1, "line 2"),
    ),
    wrong(
        "two skeletons are broken for two reasons",
        "skeletons",
        together(beside(SKELETON, b""), beside("sample.swc", lambda swc: swc[:-7])),
        finds("SYN-PATH-004", NEU, "swc_path", 3, 1, "no sample"),
        finds("SYN-PATH-004", NEU, "swc_path", 2, 1, "line 55"),
    ),
)

CASES: tuple[Case, ...] = (*PATHS, *MESHES, *SKELETONS)
