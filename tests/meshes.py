"""The smallest meshes there are, as bytes of binary glTF.

Belongs here: putting chunks together, right or wrong. Does not: what anybody should think of them.
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any

Point = tuple[float, float, float]


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


def ball(centre: Point, radius: float) -> tuple[list[Point], list[tuple[int, int, int]]]:
    """The corners of a closed round mesh, and its triangles, counter-clockwise from outside."""
    corners: list[Point] = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
    upper = [(0, 2, 4), (2, 1, 4), (1, 3, 4), (3, 0, 4)]
    triangles = upper + [(b, a, 5) for a, b, _ in upper]

    def middle(a: int, b: int) -> int:
        x, y, z = (p + q for p, q in zip(corners[a], corners[b], strict=True))
        size = math.hypot(x, y, z)
        place = (x / size, y / size, z / size)
        if place not in corners:
            corners.append(place)
        return corners.index(place)

    for _ in range(2):  # each triangle becomes four, its edges' middles pushed out to the sphere
        finer = []
        for a, b, c in triangles:
            ab, bc, ca = middle(a, b), middle(b, c), middle(c, a)
            finer += [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
        triangles = finer
    x, y, z = centre
    # Whole nanometres: float32, which glTF stores, holds them exactly.
    grown = [
        (round(x + radius * u), round(y + radius * v), round(z + radius * w)) for u, v, w in corners
    ]
    return grown, triangles


def ball_mesh(centre: Point, radius: float, unit: float = 1) -> bytes:
    """A closed ball, given in nanometres and written in a unit of which `unit` are one nanometre."""
    corners, triangles = ball(centre, radius)
    corners = [(x * unit, y * unit, z * unit) for x, y, z in corners]
    points = b"".join(struct.pack("<3f", *corner) for corner in corners)
    faces = b"".join(struct.pack("<3H", *triangle) for triangle in triangles)
    scene, _ = triangle("a ball")
    axes = list(zip(*corners, strict=True))
    scene["accessors"][0] |= {
        "count": len(corners),
        "min": [min(axis) for axis in axes],
        "max": [max(axis) for axis in axes],
    }
    scene["accessors"][1]["count"] = 3 * len(triangles)
    scene["bufferViews"] = [
        {"buffer": 0, "byteLength": len(points)},
        {"buffer": 0, "byteOffset": len(points), "byteLength": len(faces)},
    ]
    scene["buffers"] = [{"byteLength": len(points + faces)}]
    return glb(scene, points + faces)
