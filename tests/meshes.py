"""The smallest meshes there are, as bytes of binary glTF.

Belongs here: putting chunks together, right or wrong. Does not: what anybody should think of them.
"""

from __future__ import annotations

import json
import struct
from typing import Any

from syndb_pipeline.demo import shapes


def chunk(kind: bytes, content: bytes, padding: bytes = b" ") -> bytes:
    """A chunk with its header, filled up to a multiple of four bytes."""
    content += padding * (-len(content) % 4)
    return struct.pack("<I4s", len(content), kind) + content


def container(*chunks: bytes, version: int = 2) -> bytes:
    """A file of these chunks."""
    body = b"".join(chunks)
    return struct.pack("<4sII", b"glTF", version, 12 + len(body)) + body


def glb(scene: Any, binary: bytes | None = None) -> bytes:
    """A file whose JSON chunk says `scene`."""
    text = chunk(b"JSON", json.dumps(scene).encode())
    return container(text, *([chunk(b"BIN\0", binary, b"\0")] if binary is not None else []))


def triangle(name: str = "a triangle") -> tuple[dict[str, Any], bytes]:
    """A scene of one triangle and the bytes it speaks of: three places of three floats, then three
    indices of two bytes.
    """
    binary = struct.pack("<9f3H", 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 2)
    scene = {
        "asset": {"version": "2.0", "generator": name},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": 5126,
                "count": 3,
                "type": "VEC3",
                "min": [0, 0, 0],
                "max": [1, 1, 0],
            },
            {"bufferView": 1, "componentType": 5123, "count": 3, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": 36},
            {"buffer": 0, "byteOffset": 36, "byteLength": 6},
        ],
        "buffers": [{"byteLength": 42}],
    }
    return scene, binary


def small_mesh(name: str = "a triangle") -> bytes:
    """A good file; another name gives other bytes."""
    return glb(*triangle(name))


def ball_mesh(centre: shapes.Point, radius: float, unit: float = 1) -> bytes:
    """A closed ball, given in nanometres and written in a unit of which `unit` are one
    nanometre.
    """
    ball = shapes.ball(centre, radius)
    return shapes.glb(
        shapes.Mesh([(x * unit, y * unit, z * unit) for x, y, z in ball.vertices], ball.triangles)
    )
