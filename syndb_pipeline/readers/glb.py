"""Meshes as binary glTF 2.0 (.glb): whether a file holds a mesh that a viewer could read, the box
around it, and whether it has a surface.

Belongs here: the container (Khronos glTF 2.0 specification, 4.4), what vertices and faces say. Does
not: the JSON and whether it holds together (`gltf.py`).
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import hypot, inf, isfinite
from pathlib import Path
from typing import BinaryIO, Final

import polars as pl

from syndb_pipeline.base.arrow import pa
from syndb_pipeline.readers.gltf import (
    NUMBERS,
    Accessor,
    Gltf,
    Node,
    NoMesh,
    Primitive,
    check,
    parse,
    primitives,
)
from syndb_pipeline.readers.signatures import recognise_shape

Box = tuple[float, float, float, float, float, float]
"""Smallest x, y, z, then largest x, y, z."""

MAX_JSON: Final = 4_000_000
"""Bytes of a JSON chunk that are read. A mesh needs about a thousand; parsed they may take thirty
times their size.
"""

MAX_FACES: Final = 20_000
"""Faces of a file, evenly spread, that are looked at for one with an area. The first or second
mostly has one.
"""

_BLOCK: Final = 1 << 20
_TRIANGLES, _STRIP = 4, 5
_FLAT: Final = 1e-6
"""A triangle whose area is smaller than this, in squares of its longest side, has none: floats of
32 bits round more.
"""

# -- whether it is a mesh


@dataclass(frozen=True, slots=True)
class GlbReport:
    """What a file holds. `reason` says why it is no mesh that can be read, and `advice` what to do
    where that follows from it.

    Of a mesh, `box` is the one around its vertices where it is known, and `bare` says why it has no
    surface ("" when it has one).
    """

    reason: str | None = None
    advice: str = ""
    box: Box | None = None
    bare: str = ""


def check_glb(path: Path) -> GlbReport:
    """Whether `path` is a readable mesh in binary glTF 2.0.

    Geometry that is packed by `KHR_draco_mesh_compression` or `EXT_meshopt_compression` is taken at
    its structure. Everything must be in the one file: no address is ever followed. Nothing is
    raised: what is wrong with the file, even that it cannot be opened, is the report's `reason`.
    Memory is bounded.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return GlbReport("it is no regular file")
        with path.open("rb") as file:
            text, binary = _chunks(path, file, size := os.fstat(file.fileno()).st_size)
            gltf = parse(text)
            del text
            check(gltf, binary)
            shape = _Shape(file, gltf, binary[0] if binary else None, budget=size)
            shape.check_indices()
            return GlbReport(box=shape.box(), bare=shape.why_no_surface())
    except OSError as error:
        return GlbReport(f"it cannot be opened: {error.strerror}")
    except NoMesh as fault:  # it may quote the file
        reason = "".join(letter if letter.isprintable() else "?" for letter in str(fault))
        return GlbReport(reason, fault.advice)
    except ValueError:
        return GlbReport("its path is no path of a file")


def _chunks(path: Path, file: BinaryIO, size: int) -> tuple[bytes, tuple[int, int] | None]:
    """The JSON chunk's bytes, and where the binary chunk starts and how long it is."""
    head = file.read(12)
    if head[:4] != b"glTF":
        if head.lstrip()[:1] == b"{":
            raise NoMesh(
                "it is JSON text, such as a .gltf file; export the mesh as binary glTF (.glb)"
            )
        what, advice = recognise_shape(path)
        reason = "it does not start as a binary glTF file does" + (what and f"; it is {what}")
        raise NoMesh(reason if size else "it is empty", advice)
    if len(head) < 12:
        raise NoMesh(f"it ends after {size} bytes, within its header")
    version, length = struct.unpack_from("<II", head, 4)
    if version != 2:
        raise NoMesh(f"it is binary glTF of version {version}, not 2")
    if length != size:
        missing = ", so its end is missing" if size < length else ""
        raise NoMesh(f"its header announces {length:,} bytes and it has {size:,}{missing}")
    kind, at, length = _chunk(file, 1, 12, size)
    if kind != b"JSON":
        raise NoMesh("its first chunk is not the JSON chunk")
    if length > MAX_JSON:
        raise NoMesh(
            f"its JSON chunk has {length:,} bytes, more than the {MAX_JSON:,} that are read; leave"
            " out what is no geometry"
        )
    text = file.read(length)
    if at + length == size:
        return text, None
    kind, at, length = _chunk(file, 2, at + length, size)
    return text, (at, length) if kind == b"BIN\0" else None


def _chunk(file: BinaryIO, number: int, at: int, size: int) -> tuple[bytes, int, int]:
    """The kind of the chunk whose header is at `at`, where its content starts and how long it
    is.
    """
    file.seek(at)
    header = file.read(8)
    if len(header) < 8:
        raise NoMesh(f"it ends within the header of its chunk {number}")
    length, kind = struct.unpack("<I4s", header)
    if at + 8 + length > size:
        raise NoMesh(f"its chunk {number} announces {length:,} bytes and {size - at - 8:,} follow")
    return kind, at + 8, length


# -- its geometry

_Matrix = tuple[float, ...]  # sixteen numbers, column by column, as glTF has them
_IDENTITY: Final[_Matrix] = (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1)


@dataclass
class _Shape:
    """What the vertices and faces of `gltf` say, every index of which leads somewhere.

    The binary chunk starts at `start` (None without one). `budget` are the bytes that may be read:
    accessors over each other could have one file read for ever.
    """

    file: BinaryIO
    gltf: Gltf
    start: int | None
    budget: int

    def _place(self, accessor: Accessor) -> tuple[int, int] | None:
        """Where the accessor's first element is and how far it is to the next; None unless they are
        in the binary chunk as they are.
        """
        if accessor.buffer_view is None or accessor.sparse is not None or self.start is None:
            return None
        view = self.gltf.buffer_views[accessor.buffer_view]
        if view.buffer or self.gltf.buffers[0].uri or view.packed:
            return None
        stride = view.byte_stride or accessor.element
        return self.start + view.byte_offset + accessor.byte_offset, stride

    def _read(self, accessor: Accessor) -> Iterator[list[tuple[float, float]]]:
        """Smallest and largest of each number of the accessor's elements, block by block; nothing
        where they are not in the file as they are, or too many.
        """
        place = self._place(accessor)
        if place is None or accessor.count * place[1] > self.budget:
            return
        at, stride = place
        self.budget -= accessor.count * stride
        kind, numbers = accessor.kind, NUMBERS[accessor.type]
        self.file.seek(at)
        some = max(1, _BLOCK // stride)
        for first in range(0, accessor.count, some):
            size = min(some, accessor.count - first) * stride
            # The last one may end before its stride does.
            block = self.file.read(size).ljust(size, b"\0")
            array = pa.Array.from_buffers(
                kind.arrow, size // kind.size, [None, pa.py_buffer(block)]
            )
            every = pl.Series(array)
            step = stride // kind.size
            apart = [
                every.gather_every(step, axis) if step > 1 else every for axis in range(numbers)
            ]
            yield [(float(axis.min()), float(axis.max())) for axis in apart]  # type: ignore[arg-type]

    def check_indices(self) -> None:
        """Hold indices that are plainly in the binary chunk against the count of vertices, each
        accessor once.
        """
        vertices: dict[int, int] = {}  # accessor of indices -> fewest vertices of its primitives
        for primitive in primitives(self.gltf):
            index, position = primitive.indices, primitive.attributes.get("POSITION")
            if index is not None and position is not None and primitive.draco is None:
                count = self.gltf.accessors[position].count
                vertices[index] = min(count, vertices.get(index, count))
        for index, count in vertices.items():
            accessor = self.gltf.accessors[index]
            largest = max((ends[0][1] for ends in self._read(accessor)), default=0)
            if largest >= count:
                raise NoMesh(
                    f"accessors[{index}] has the index {largest:,.0f} and only {count:,} vertices"
                )

    def box(self) -> Box | None:
        """The box around all vertices, placed as the nodes place them; None where that is not
        known.
        """
        boxes: dict[int, list[tuple[float, float]]] = {}
        low, high = [inf] * 3, [-inf] * 3
        for mesh, matrix in _placed(self.gltf):
            for primitive in self.gltf.meshes[mesh].primitives:
                index = primitive.attributes.get("POSITION")
                if index is None:
                    continue
                if index not in boxes:
                    boxes[index] = self._bounds(self.gltf.accessors[index])
                if not boxes[index]:
                    return None
                for axis in range(3):
                    ends = [
                        sorted(matrix[axis + 4 * number] * end for end in pair)
                        for number, pair in enumerate(boxes[index])
                    ]
                    low[axis] = min(low[axis], sum(end[0] for end in ends) + matrix[axis + 12])
                    high[axis] = max(high[axis], sum(end[1] for end in ends) + matrix[axis + 12])
        box = (low[0], low[1], low[2], high[0], high[1], high[2])
        return box if all(map(isfinite, box)) else None

    def _bounds(self, accessor: Accessor) -> list[tuple[float, float]]:
        """Smallest and largest x, y and z of the accessor's vertices; nothing where they are not
        known.
        """
        bounds = list(zip(accessor.min or (), accessor.max or (), strict=False))
        if not bounds:
            for ends in self._read(accessor):
                bounds = [
                    (min(a, c), max(b, d))
                    for (a, b), (c, d) in zip(bounds or ends, ends, strict=True)
                ]
        one = accessor.kind.one if accessor.normalized else 1
        return [(small / one, large / one) for small, large in bounds]

    def why_no_surface(self) -> str:
        """Why a mesh has no surface, in words: no face, or none that has an area. "" where it has
        one, or that cannot be known.
        """
        every = [each for each in primitives(self.gltf) if "POSITION" in each.attributes]
        faced = [(primitive, faces) for primitive in every if (faces := self._faces(primitive))]
        if not faced:
            only = (
                "points" if all(primitive.mode == 0 for primitive in every) else "points or lines"
            )
            return f"it holds {only} only and no faces"
        total, seen = sum(faces for _, faces in faced), 0
        step = -(-total // MAX_FACES)
        for primitive, faces in faced:
            vertices = self.gltf.accessors[primitive.attributes["POSITION"]]
            indices = None if primitive.indices is None else self.gltf.accessors[primitive.indices]
            plain = all(self._place(each) for each in (vertices, indices) if each)
            if not plain or primitive.draco:
                return ""
            for face in range(0, faces, step):
                seen += 1
                numbers = _corners(primitive.mode, face)
                if indices is not None:
                    numbers = [int(self._element(indices, number)[0]) for number in numbers]
                if any(number >= vertices.count for number in numbers):
                    return ""
                if _has_area(*(self._element(vertices, number) for number in numbers)):
                    return ""
        some = f"{seen:,} of " if seen < total else ""
        return f"none of {some}its {total:,} triangle{'' if total == 1 else 's'} has an area"

    def _faces(self, primitive: Primitive) -> int:
        """How many triangles a primitive has: none for points and lines."""
        index = primitive.indices
        index = primitive.attributes["POSITION"] if index is None else index
        count = self.gltf.accessors[index].count
        if primitive.mode < _TRIANGLES:
            return 0
        return count // 3 if primitive.mode == _TRIANGLES else max(0, count - 2)

    def _element(self, accessor: Accessor, number: int) -> tuple[float, ...]:
        """An element of an accessor that has a place."""
        at, stride = self._place(accessor) or (0, 0)
        layout = struct.Struct(f"<{NUMBERS[accessor.type]}{accessor.kind.code}")
        self.file.seek(at + number * stride)
        return layout.unpack(self.file.read(layout.size).ljust(layout.size, b"\0"))


def _corners(mode: int, face: int) -> list[int]:
    if mode == _TRIANGLES:
        return [3 * face, 3 * face + 1, 3 * face + 2]
    return [face if mode == _STRIP else 0, face + 1, face + 2]


def _has_area(a: tuple[float, ...], b: tuple[float, ...], c: tuple[float, ...]) -> bool:
    u, v, w = (
        [q - p for p, q in zip(first, second, strict=True)]
        for first, second in ((a, b), (a, c), (b, c))
    )
    area = hypot(u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0])
    return area > _FLAT * max(hypot(*u), hypot(*v), hypot(*w)) ** 2


def _placed(gltf: Gltf) -> Iterator[tuple[int, _Matrix]]:
    """Every mesh with the matrix of each node that places it; one that no node places stays where
    it is.
    """
    below = {child for node in gltf.nodes for child in node.children}
    waiting = [(number, _IDENTITY) for number in range(len(gltf.nodes)) if number not in below]
    visited, meshes = set(), set()
    while waiting:
        number, matrix = waiting.pop()
        if number in visited:  # a node has one parent; files may say otherwise
            continue
        visited.add(number)
        node = gltf.nodes[number]
        if node.matrix or node.translation or node.rotation or node.scale:
            matrix = _times(matrix, _local(node))
        if node.mesh is not None:
            meshes.add(node.mesh)
            yield node.mesh, matrix
        waiting += [(child, matrix) for child in node.children]
    yield from ((mesh, _IDENTITY) for mesh in range(len(gltf.meshes)) if mesh not in meshes)


def _local(node: Node) -> _Matrix:
    """A node's own matrix, from its `matrix` or from translation, rotation (x, y, z, w) and scale
    (3.5.3).
    """
    if node.matrix:
        return tuple(node.matrix)
    x, y, z, w = node.rotation or (0, 0, 0, 1)
    a, b, c = node.scale or (1, 1, 1)
    return (
        *(a * (1 - 2 * (y * y + z * z)), a * 2 * (x * y + w * z), a * 2 * (x * z - w * y), 0),
        *(b * 2 * (x * y - w * z), b * (1 - 2 * (x * x + z * z)), b * 2 * (y * z + w * x), 0),
        *(c * 2 * (x * z + w * y), c * 2 * (y * z - w * x), c * (1 - 2 * (x * x + y * y)), 0),
        *(node.translation or (0, 0, 0)),
        1,
    )


def _times(a: _Matrix, b: _Matrix) -> _Matrix:
    return tuple(
        sum(a[row + 4 * k] * b[k + 4 * column] for k in range(4))
        for column in range(4)
        for row in range(4)
    )
