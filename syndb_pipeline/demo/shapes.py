"""Closed triangle meshes and skeletons, and the .glb and .swc files that hold them.

Belongs here: a few lines of geometry and the two file formats. Does not: what the shapes stand for
(`lab.py`).
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass

Point = tuple[float, float, float]

_OCTAHEDRON: tuple[list[Point], list[tuple[int, int, int]]] = (
    [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)],
    [(0, 2, 4), (2, 1, 4), (1, 3, 4), (3, 0, 4), (2, 0, 5), (1, 2, 5), (3, 1, 5), (0, 3, 5)],
)


@dataclass(frozen=True)
class Mesh:
    """A closed mesh in nanometres; each triangle is seen counter-clockwise from outside."""

    vertices: list[Point]
    triangles: list[tuple[int, int, int]]

    @property
    def area(self) -> float:
        """Surface area in nm2."""
        return math.fsum(
            math.dist((0, 0, 0), _cross(_minus(b, a), _minus(c, a))) / 2
            for a, b, c in self._corners()
        )

    @property
    def volume(self) -> float:
        """Enclosed volume in nm3, by the divergence theorem."""
        # Relative to a vertex: far from the origin the signed volumes would be large numbers that
        # cancel.
        origin = self.vertices[0]
        moved = (
            (_minus(a, origin), _minus(b, origin), _minus(c, origin)) for a, b, c in self._corners()
        )
        return math.fsum(_dot(a, _cross(b, c)) / 6 for a, b, c in moved)

    def _corners(self) -> list[tuple[Point, Point, Point]]:
        return [
            (self.vertices[a], self.vertices[b], self.vertices[c]) for a, b, c in self.triangles
        ]


def sphericity(area: float, volume: float) -> float:
    """Surface of the sphere that has `volume`, over `area`."""
    return math.cbrt(math.pi * 36 * volume * volume) / area


def ball(centre: Point, radius: float, *, spikes: dict[int, float] | None = None) -> Mesh:
    """A round mesh of 66 vertices; `spikes` (vertex -> factor) pulls some vertices out, the way
    neurites leave a cell body.
    """
    vertices, triangles = _OCTAHEDRON
    for _ in range(2):
        vertices, triangles = _split(vertices, triangles)
    reach = spikes or {}
    grown = []
    for index, vertex in enumerate(vertices):
        far = radius * reach.get(index, 1.0) / math.dist((0, 0, 0), vertex)
        # Whole nanometres: float32, which glTF stores, holds them exactly.
        grown.append(tuple(float(round(c + far * v)) for c, v in zip(centre, vertex, strict=True)))
    return Mesh(grown, triangles)  # type: ignore[arg-type]


def _split(
    vertices: list[Point], triangles: list[tuple[int, int, int]]
) -> tuple[list[Point], list[tuple[int, int, int]]]:
    """Each triangle becomes four, its edges' middles pushed out to the unit sphere."""
    grown = list(vertices)
    middles: dict[tuple[int, int], int] = {}

    def middle(a: int, b: int) -> int:
        edge = (min(a, b), max(a, b))
        if edge not in middles:
            x, y, z = ((p + q) / 2 for p, q in zip(grown[a], grown[b], strict=True))
            size = math.sqrt(x * x + y * y + z * z)
            middles[edge] = len(grown)
            grown.append((x / size, y / size, z / size))
        return middles[edge]

    finer = []
    for a, b, c in triangles:
        ab, bc, ca = middle(a, b), middle(b, c), middle(c, a)
        finer += [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return grown, finer


def glb(mesh: Mesh) -> bytes:
    """The mesh as binary glTF 2.0: header, JSON chunk, binary chunk (Khronos glTF 2.0
    specification, section 4.4).

    The binary chunk holds the vertices (float32 triples), then the triangles (uint16 triples).
    Chunks start and end on multiples of four.
    """
    points = b"".join(struct.pack("<3f", *vertex) for vertex in mesh.vertices)
    faces = b"".join(struct.pack("<3H", *triangle) for triangle in mesh.triangles)
    axes = list(zip(*mesh.vertices, strict=True))
    scene = {
        "asset": {"version": "2.0", "generator": "syndb-pipeline demo"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "mode": 4}]}],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": 5126,
                "count": len(mesh.vertices),
                "type": "VEC3",
                "min": [min(axis) for axis in axes],
                "max": [max(axis) for axis in axes],
            },
            {
                "bufferView": 1,
                "componentType": 5123,
                "count": 3 * len(mesh.triangles),
                "type": "SCALAR",
            },
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": len(points), "target": 34962},
            {"buffer": 0, "byteOffset": len(points), "byteLength": len(faces), "target": 34963},
        ],
        "buffers": [{"byteLength": len(points) + len(faces)}],
    }
    text = json.dumps(scene, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    binary = points + faces
    binary += b"\0" * (-len(binary) % 4)
    body = (
        struct.pack("<I4s", len(text), b"JSON")
        + text
        + struct.pack("<I4s", len(binary), b"BIN\0")
        + binary
    )
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


@dataclass(frozen=True)
class Node:
    """One point of a skeleton. `kind` is SWC's: 1 soma, 2 axon, 3 dendrite. `parent` is an earlier
    node's index, None for the root.
    """

    kind: int
    place: Point
    radius: float
    parent: int | None


def cable_length(nodes: list[Node]) -> float:
    """Summed length of a skeleton's edges in nm."""
    return sum(
        math.dist(node.place, nodes[node.parent].place) for node in nodes if node.parent is not None
    )


def branch_points(nodes: list[Node]) -> int:
    """Nodes of a skeleton with more than one child."""
    parents = [node.parent for node in nodes if node.parent is not None]
    return sum(parents.count(parent) > 1 for parent in set(parents))


def swc(nodes: list[Node], comment: str) -> str:
    """The skeleton as SWC text: index, kind, x, y, z, radius, parent's index (-1 for the root)."""
    lines = [f"# {comment}", "# index type x y z radius parent (nanometres)"]
    for index, node in enumerate(nodes, start=1):
        parent = -1 if node.parent is None else node.parent + 1
        lines.append(
            f"{index} {node.kind} {' '.join(f'{c:.1f}' for c in node.place)} {node.radius:.1f}"
            f" {parent}"
        )
    return "\n".join(lines) + "\n"


def _minus(a: Point, b: Point) -> Point:
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])


def _dot(a: Point, b: Point) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _cross(a: Point, b: Point) -> Point:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
