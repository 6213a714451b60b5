"""Meshes as binary glTF: what is one, what is none and why.

Belongs here: single files, good, wrong and hostile. Does not: the findings they lead to
(`tests/unit/stages/test_files_beside.py`).
"""

from __future__ import annotations

import base64
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syndb_pipeline import demo
from syndb_pipeline.readers.glb import check_glb
from tests.meshes import ball_mesh, chunk, container, glb, small_mesh, triangle

Change = Callable[[dict[str, Any]], Any]


def check(folder: Path, content: bytes) -> str | None:
    path = folder / "m.glb"
    path.write_bytes(content)
    return check_glb(path).reason


def changed(change: Change, binary: bytes | None = None) -> bytes:
    """The triangle after `change` to its scene, with another binary chunk if one is given."""
    scene, own = triangle()
    change(scene)
    return glb(scene, own if binary is None else binary)


def draco(scene: dict[str, Any]) -> None:
    scene["extensionsUsed"] = scene["extensionsRequired"] = ["KHR_draco_mesh_compression"]
    del scene["accessors"][0]["bufferView"], scene["accessors"][1]["bufferView"]
    scene["meshes"][0]["primitives"][0]["extensions"] = {
        "KHR_draco_mesh_compression": {"bufferView": 0, "attributes": {"POSITION": 0}}
    }


def meshopt(scene: dict[str, Any]) -> None:
    name = "EXT_meshopt_compression"
    scene["extensionsUsed"] = scene["extensionsRequired"] = [name]
    scene["buffers"].append({"byteLength": 1_000_000, "extensions": {name: {"fallback": True}}})
    packed = {
        "buffer": 0,
        "byteOffset": 0,
        "byteLength": 20,
        "byteStride": 12,
        "count": 3,
        "mode": "ATTRIBUTES",
    }
    scene["bufferViews"][0] |= {
        "buffer": 1,
        "byteLength": 36,
        "byteStride": 12,
        "extensions": {name: packed},
    }
    packed = {
        "buffer": 0,
        "byteOffset": 20,
        "byteLength": 12,
        "byteStride": 2,
        "count": 3,
        "mode": "TRIANGLES",
    }
    scene["bufferViews"][1] |= {
        "buffer": 1,
        "byteOffset": 36,
        "byteLength": 6,
        "extensions": {name: packed},
    }


def within(scene: dict[str, Any]) -> None:
    scene["buffers"][0]["uri"] = (
        "data:application/octet-stream;base64," + base64.b64encode(triangle()[1]).decode()
    )


DEMO = Path(demo.__file__).with_name("lab")
GOOD: dict[str, bytes] = {
    "a triangle": small_mesh(),
    "a ball": ball_mesh((1e5, 2e5, 3e5), 1e3),
    "the demo's": (DEMO / "meshes" / "nucleus_1.glb").read_bytes(),
    "without indices": changed(lambda scene: scene["meshes"][0]["primitives"][0].pop("indices")),
    "points": changed(lambda scene: scene["meshes"][0]["primitives"][0].update(mode=0)),
    "without a scene": changed(
        lambda scene: [scene.pop(name) for name in ("scene", "scenes", "nodes")]
    ),
    "Draco": changed(draco),
    "meshopt": changed(meshopt),
    "bytes in the JSON": changed(within),
    "quantized": changed(
        lambda scene: (
            scene["accessors"][0].update(componentType=5122),
            scene.update(extensionsUsed=["KHR_mesh_quantization"]),
        )
    ),
    "sparse": changed(
        lambda scene: scene["accessors"][0].update(
            sparse={
                "count": 1,
                "indices": {"bufferView": 1, "componentType": 5123},
                "values": {"bufferView": 0},
            }
        )
    ),
    "a later chunk of another kind": container(
        chunk(b"JSON", json.dumps(triangle()[0]).encode()),
        chunk(b"BIN\0", triangle()[1]),
        chunk(b"XTRA", b"abc"),
    ),
    "extras of any kind": changed(
        lambda scene: scene.update(extras={"neuron": [1, {"x": None}]}, materials=[{"name": "m"}])
    ),
}


@pytest.mark.parametrize("name", list(GOOD))
def test_meshes(tmp_path: Path, name: str) -> None:
    assert check(tmp_path, GOOD[name]) is None


def accessor(number: int, **values: Any) -> bytes:
    return changed(lambda scene: scene["accessors"][number].update(values))


def primitive(**values: Any) -> bytes:
    return changed(lambda scene: scene["meshes"][0]["primitives"][0].update(values))


MESH = small_mesh()
REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "it is empty"),
    "a text": (b"solid mesh\n", "it does not start as a binary glTF file does"),
    "a .gltf": (
        json.dumps(triangle()[0]).encode(),
        "it is JSON text, such as a .gltf file; export the mesh as binary glTF",
    ),
    "a header cut off": (MESH[:9], "it ends after 9 bytes, within its header"),
    "version 1": (container(version=1), "it is binary glTF of version 1, not 2"),
    "cut off": (MESH[:-7], "so its end is missing"),
    "something behind": (MESH + b"more", "its header announces"),
    "no chunk": (container(), "it ends within the header of its chunk 1"),
    "BIN first": (container(chunk(b"BIN\0", b"abcd")), "its first chunk is not the JSON chunk"),
    "a chunk that lies": (
        container(struct.pack("<I4s", 1 << 31, b"JSON") + b"{}  "),
        "its chunk 1 announces 2,147,483,648 bytes and 4 follow",
    ),
    "a JSON of megabytes": (
        container(chunk(b"JSON", b" " * 4_000_001)),
        "its JSON chunk has 4,000,004 bytes, more than",
    ),
    "no JSON": (container(chunk(b"JSON", b"{not JSON}")), "its JSON chunk is no JSON"),
    "deep": (container(chunk(b"JSON", b"[" * 1_000_000)), "recursion limit exceeded"),
    "NaN": (
        container(chunk(b"JSON", b'{"asset": {"version": "2.0"}, "extras": NaN}')),
        "its JSON chunk is no JSON",
    ),
    "a list": (glb([]), "its JSON chunk is no glTF at its start"),
    "no asset": (glb({}), "its JSON chunk is no glTF at asset: Field required"),
    "glTF 1": (
        changed(lambda scene: scene["asset"].update(version="1.0")),
        "it is glTF '1.0', not 2.0",
    ),
    "no mesh": (
        changed(
            lambda scene: (
                scene.pop("meshes"),
                scene.pop("nodes"),
                scene.pop("scenes"),
                scene.pop("scene"),
            )
        ),
        "it holds no mesh",
    ),
    "no POSITION": (
        primitive(attributes={"NORMAL": 0}),
        "it holds no mesh whose vertices have a POSITION",
    ),
    "no primitive": (
        changed(lambda scene: scene["meshes"][0].update(primitives=[])),
        "meshes[0].primitives: List should have at least 1 item",
    ),
    "a file beside": (
        changed(lambda scene: scene["buffers"][0].update(uri="mesh.bin")),
        "buffers[0] is in another file, 'mesh.bin', which",
    ),
    "a picture beside": (
        changed(lambda scene: scene.update(images=[{"uri": "../../skin.png"}])),
        "images[0] is in another file",
    ),
    "no binary chunk": (glb(triangle()[0]), "buffers[0] has no bytes: there is no binary chunk"),
    "a second buffer": (
        changed(lambda scene: scene["buffers"].append({"byteLength": 1})),
        "buffers[1] has no bytes: only the first",
    ),
    "a buffer too long": (
        changed(lambda scene: scene["buffers"][0].update(byteLength=45)),
        "buffers[0] announces 45 bytes and has 44",
    ),
    "a data: URI too short": (
        changed(lambda scene: scene["buffers"][0].update(uri="data:;base64,AAAA")),
        "announces 42 bytes and has 3",
    ),
    "a view outside": (
        changed(lambda scene: scene["bufferViews"][1].update(byteOffset=40)),
        "bufferViews[1] reaches beyond the end of buffers[0]",
    ),
    "a packed view outside": (
        changed(
            lambda scene: (
                meshopt(scene),
                scene["bufferViews"][0]["extensions"]["EXT_meshopt_compression"].update(
                    byteLength=99
                ),
            )
        ),
        "bufferViews[0].extensions.EXT_meshopt_compression reaches beyond the end of buffers[0]",
    ),
    "a packed view of no kind": (
        changed(
            lambda scene: scene["bufferViews"][0].update(extensions={"EXT_meshopt_compression": 7})
        ),
        "no glTF at bufferViews[0].extensions.EXT_meshopt_compression: should be",
    ),
    "too many elements": (
        accessor(0, count=4),
        "accessors[0] wants 4 elements, and bufferViews[0] is too short for them",
    ),
    "numbers of no kind": (
        accessor(0, componentType=5124),
        "accessors[0].componentType: should be",
    ),
    "off its beat": (
        accessor(1, byteOffset=1, count=2),
        "accessors[1] does not start at a multiple of the 2 bytes",
    ),
    "a stride too small": (
        changed(lambda scene: scene["bufferViews"][0].update(byteStride=8)),
        "elements of 12 bytes, more than the 8",
    ),
    "sparse without end": (
        accessor(
            0,
            sparse={
                "count": 9,
                "indices": {"bufferView": 1, "componentType": 5123},
                "values": {"bufferView": 0},
            },
        ),
        "accessors[0] replaces 9 of 3 elements",
    ),
    "sparse outside": (
        accessor(
            0,
            sparse={
                "count": 3,
                "indices": {"bufferView": 1, "componentType": 5125},
                "values": {"bufferView": 0},
            },
        ),
        "accessors[0].sparse wants 3 elements, and bufferViews[1] is too short",
    ),
    "places of whole numbers": (
        accessor(0, componentType=5123),
        "has a POSITION that is not of three floats",
    ),
    "places nowhere": (
        changed(lambda scene: scene["accessors"][0].pop("bufferView")),
        "has a POSITION without data",
    ),
    "attributes of two counts": (
        changed(
            lambda scene: (
                scene["accessors"].append({"componentType": 5126, "count": 2, "type": "VEC3"}),
                scene["meshes"][0]["primitives"][0]["attributes"].update(NORMAL=2),
            )
        ),
        "has attributes of different counts",
    ),
    "many attributes": (
        primitive(attributes={f"_{n}": -1 for n in range(1_000)}),
        "attributes: more than 64 attributes",
    ),
    "indices of floats": (primitive(indices=0), "has indices that are not whole numbers"),
    "an index too large": (
        changed(lambda scene: None, struct.pack("<9f3H", *[0] * 9, 0, 1, 3)),
        "accessors[1] has the index 3 and only 3 vertices",
    ),
}


def first(name: str, **new: Any) -> bytes:
    return changed(lambda scene: scene[name][0].update(new))


REFUSED |= {
    "a view of nothing": (
        first("bufferViews", buffer=9),
        "bufferViews[0] uses buffers[9], and there are 1",
    ),
    "elements of nothing": (accessor(0, bufferView=9), "accessors[0] uses bufferViews[9]"),
    "a node of nothing": (first("nodes", mesh=9), "nodes[0] uses meshes[9]"),
    "a child of nothing": (first("nodes", children=[0, 9]), "nodes[0] uses nodes[9]"),
    "a scene of nothing": (first("scenes", nodes=[9]), "scenes[0] uses nodes[9]"),
    "attributes lead nowhere": (
        primitive(attributes={"POSITION": 7}),
        "meshes[0].primitives[0] uses accessors[7]",
    ),
    "indices lead nowhere": (primitive(indices=7), "meshes[0].primitives[0] uses accessors[7]"),
    "the scene leads nowhere": (
        changed(lambda scene: scene.update(scene=3)),
        "it uses scenes[3], and there are 1",
    ),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_is_no_mesh(tmp_path: Path, name: str) -> None:
    content, reason = REFUSED[name]
    told = check(tmp_path, content)
    assert told is not None and reason in told
    assert len(told) < 250


def test_a_reason_quotes_nothing_that_moves_a_terminal(tmp_path: Path) -> None:
    told = check(tmp_path, primitive(attributes={"\x1b[2J\x1b]0;": -1}))
    assert told is not None and "attributes.?[2J?]0;: should be" in told


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.glb")
    assert check_glb(tmp_path / "pipe.glb").reason == "it is no regular file"
    assert check_glb(tmp_path).reason == "it is no regular file"
    assert (
        check_glb(tmp_path / "none.glb").reason == "it cannot be opened: No such file or directory"
    )
    assert check_glb(tmp_path / "a\0.glb").reason == "its path is no path of a file"


HOSTILE = {
    "many buffers": (
        b'{"asset":{"version":"2.0"},"buffers":[' + b'{"byteLength":1},' * 230_000 + b"{}]}"
    ),
    "many nodes": b'{"asset":{"version":"2.0"},"nodes":[' + b"{}," * 1_300_000 + b"{}]}",
    "many faults": b'{"asset":{"version":"2.0"},"accessors":[' + b"0," * 1_900_000 + b"0]}",
    "many keys": (
        b'{"asset":{"version":"2.0"},"extras":{'
        + b",".join(b'"%d":[]' % n for n in range(300_000))
        + b"}}"
    ),
}


def test_bombs_take_little_memory(tmp_path: Path) -> None:
    for name, content in HOSTILE.items():
        (tmp_path / name).write_bytes(container(chunk(b"JSON", content)))
    script = (
        "import resource, sys\nfrom pathlib import Path\nfrom"
        " syndb_pipeline.readers.glb import check_glb\nbefore ="
        " resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nfor path in"
        " Path(sys.argv[1]).iterdir():\n    assert check_glb(path).reason\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 150_000, "kilobytes"


def test_a_mesh_of_gigabytes_is_not_read_whole(tmp_path: Path) -> None:
    """A hole in the file stands for two gigabytes of vertices; only the indices behind them are
    read.
    """
    count = 170_000_000
    scene, _ = triangle()
    scene["accessors"][0]["count"] = count
    scene["bufferViews"][0]["byteLength"] = scene["bufferViews"][1]["byteOffset"] = count * 12
    scene["buffers"][0]["byteLength"] = count * 12 + 8
    text = chunk(b"JSON", json.dumps(scene).encode())
    size = 12 + len(text) + 8 + count * 12 + 8
    path = tmp_path / "m.glb"
    path.write_bytes(
        struct.pack("<4sII", b"glTF", 2, size)
        + text
        + struct.pack("<I4s", count * 12 + 8, b"BIN\0")
    )
    os.truncate(path, size)
    assert check_glb(path).reason is None


def test_indices_that_share_their_bytes_are_not_read_for_ever(tmp_path: Path) -> None:
    """Thousands of accessors over the same two megabytes would be gigabytes to read."""
    size = 2_000_000
    scene, _ = triangle()
    scene["bufferViews"][1] = {"buffer": 0, "byteOffset": 36, "byteLength": size}
    scene["buffers"][0]["byteLength"] = size + 36
    scene["accessors"] += [
        {"bufferView": 1, "componentType": 5121, "count": size, "type": "SCALAR"}
        for _ in range(10_000)
    ]
    scene["meshes"][0]["primitives"] += [
        {"attributes": {"POSITION": 0}, "indices": n + 2} for n in range(10_000)
    ]
    binary = triangle()[1] + bytes(size)
    started = time.process_time()
    assert check(tmp_path, glb(scene, binary)) is None
    assert time.process_time() - started < 10


@settings(max_examples=150, deadline=None)
@given(data=st.data(), name=st.sampled_from(list(GOOD)))
def test_no_damage_raises(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, name: str
) -> None:
    content = bytearray(GOOD[name])
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
        assert check(tmp_path_factory.getbasetemp(), bytes(content)) is not None, (
            "its header tells how long it was"
        )
        return
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    told = check(tmp_path_factory.getbasetemp(), bytes(content))
    assert told is None or (told.isprintable() and told)


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 5),
        st.integers(),
        st.floats(allow_nan=False),
        st.text(max_size=5),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_value_in_any_place_raises(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """One value of the scene, wherever it stands, becomes something else."""
    scene, binary = triangle()
    data.draw(st.sampled_from([draco, meshopt, within, lambda scene: None]))(scene)
    place: Any = scene
    while True:
        key = data.draw(
            st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place)))
        )
        if (
            not isinstance(place[key], dict | list)
            or not place[key]
            or data.draw(st.integers(0, 3)) == 0
        ):
            break
        place = place[key]
    place[key] = data.draw(JSON)
    told = check(tmp_path_factory.getbasetemp(), glb(scene, binary))
    assert told is None or (told.isprintable() and told)
