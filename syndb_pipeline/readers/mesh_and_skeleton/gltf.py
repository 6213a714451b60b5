"""The JSON of a glTF 2.0 file, as far as its geometry goes, and the geometry that it describes: the
box around its vertices, and whether any of its faces has an area.

Belongs here: names, types and ranges of single values (Khronos glTF 2.0 specification, section 5);
what vertices say, placed as nodes place them. Does not: whether a file is glTF (`glb.py`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from math import hypot, inf, isfinite
from typing import Annotated, Any, BinaryIO, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field
from pydantic.alias_generators import to_camel

Index = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Item = TypeVar("Item")
Few = Annotated[list[Item], FailFast(), Field(max_length=20_000)]
"""A list that stays small in memory, whatever is in it: its first fault ends the reading."""


def _few_attributes(value: object) -> object:
    """A primitive has less than ten. They are counted before they are looked at: each wrong one of
    a million would be a fault to keep.
    """
    if isinstance(value, dict) and len(value) > 64:
        raise ValueError("more than 64 attributes")
    return value


Attributes = Annotated[dict[str, Index], BeforeValidator(_few_attributes)]


class Part(BaseModel):
    """Strict and blind to what it does not name: files carry names, materials and extras of all
    kinds.
    """

    model_config = ConfigDict(strict=True, alias_generator=to_camel, extra="ignore")


class Asset(Part):
    version: str
    min_version: str | None = None


class Buffer(Part):
    byte_length: Positive
    uri: str | None = None
    extensions: dict[str, Any] = {}


class Span(Part):
    """Bytes of a buffer: a buffer view, or where an extension keeps a view's compressed bytes."""

    buffer: Index
    byte_offset: Index = 0
    byte_length: Positive


class View(Span):
    byte_stride: Annotated[int, Field(ge=4, le=252, multiple_of=4)] | None = None
    extensions: dict[str, Any] = {}


class SparseIndices(Part):
    buffer_view: Index
    byte_offset: Index = 0
    component_type: Literal[5121, 5123, 5125]


class SparseValues(Part):
    buffer_view: Index
    byte_offset: Index = 0


class Sparse(Part):
    count: Positive
    indices: SparseIndices
    values: SparseValues


class Accessor(Part):
    buffer_view: Index | None = None
    byte_offset: Index = 0
    component_type: Literal[5120, 5121, 5122, 5123, 5125, 5126]
    count: Positive
    type: Literal["SCALAR", "VEC2", "VEC3", "VEC4", "MAT2", "MAT3", "MAT4"]
    sparse: Sparse | None = None
    normalized: bool = False
    min: Any = (
        None  # what these hold is looked at where it is used: a viewer draws the mesh without them
    )
    max: Any = None


class Primitive(Part):
    attributes: Attributes
    indices: Index | None = None
    mode: Annotated[int, Field(ge=0, le=6)] = 4
    extensions: dict[str, Any] = {}


class Draco(Part):
    buffer_view: Index
    attributes: Attributes


class Mesh(Part):
    primitives: Annotated[Few[Primitive], Field(min_length=1)]


class Image(Part):
    uri: str | None = None


class Node(Part):
    mesh: Index | None = None
    children: Few[Index] = []
    matrix: Any = None
    translation: Any = None
    rotation: Any = None
    scale: Any = None


class Scene(Part):
    nodes: Few[Index] = []


class Gltf(Part):
    asset: Asset
    extensions_used: Few[str] = []
    buffers: Few[Buffer] = []
    buffer_views: Few[View] = []
    accessors: Few[Accessor] = []
    meshes: Few[Mesh] = []
    images: Few[Image] = []
    nodes: Few[Node] = []
    scenes: Few[Scene] = []
    scene: Index | None = None


Box = tuple[float, float, float, float, float, float]
"""Smallest x, y, z, then largest x, y, z."""

MAX_FACES: Final = 20_000
"""Faces of a file, evenly spread, that are looked at for one with an area. The first or second
mostly has one.
"""

_TRIANGLES, _STRIP = 4, 5
FLOAT: Final = 5126
_BLOCK: Final = 12_000
COMPONENT_BYTES: Final = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
_FORMATS: Final = {5120: "b", 5121: "B", 5122: "h", 5123: "H", 5125: "I", 5126: "f"}
_NORMALIZED: Final = {5120: 127, 5121: 255, 5122: 32_767, 5123: 65_535}
"""What a whole number that means 1 is, by type (glTF 2.0, 3.6.2.2)."""

_FLAT: Final = 1e-6
"""A triangle whose area is smaller than this, in squares of its longest side, has none: floats of
32 bits round more.
"""

MESHOPT: Final = ("EXT_meshopt_compression", "KHR_meshopt_compression")
DRACO: Final = "KHR_draco_mesh_compression"
_PACKED: Final = (DRACO, *MESHOPT)
_Matrix = tuple[float, ...]  # sixteen numbers, column by column, as glTF has them
_IDENTITY: Final[_Matrix] = (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1)


def box_of(file: BinaryIO, gltf: Gltf, start: int | None, budget: int) -> Box | None:
    """The box around all vertices of `gltf`, placed as its nodes place them; None where that is not
    known.

    Args:
        file: the file, of which the binary chunk starts at `start` (None without one).
        gltf: its JSON, every index of which leads somewhere.
        budget: bytes that may be read, where accessors do not say their smallest and largest as
            they must (glTF 2.0, 3.7.2.1).
    """
    boxes: dict[int, tuple[list[float], list[float]] | None] = {}
    low, high = [inf] * 3, [-inf] * 3
    for mesh, matrix in _placed(gltf):
        for primitive in gltf.meshes[mesh].primitives:
            index = primitive.attributes.get("POSITION")
            if index is None:
                continue
            if index not in boxes:
                boxes[index], budget = _bounds(file, gltf, index, start, budget)
            if (bounds := boxes[index]) is None:
                return None
            for corner in range(8):
                x, y, z = (bounds[corner >> axis & 1][axis] for axis in range(3))
                for axis in range(3):
                    value = (
                        matrix[axis] * x
                        + matrix[axis + 4] * y
                        + matrix[axis + 8] * z
                        + matrix[axis + 12]
                    )
                    low[axis], high[axis] = min(low[axis], value), max(high[axis], value)
    box = (*low, *high)
    return box if len(box) == 6 and all(isfinite(value) for value in box) else None


def why_no_surface(file: BinaryIO, gltf: Gltf, start: int | None) -> str:
    """Why a mesh has no surface, in words: no face, or none that has an area. "" where it has one,
    or that cannot be known.
    """
    primitives = [
        primitive
        for mesh in gltf.meshes
        for primitive in mesh.primitives
        if "POSITION" in primitive.attributes
    ]
    faced = [(primitive, faces) for primitive in primitives if (faces := _faces(gltf, primitive))]
    if not faced:
        only = " points" if all(primitive.mode == 0 for primitive in primitives) else ""
        return f"it holds{only or ' points or lines'} only and no faces"
    total, seen = sum(faces for _, faces in faced), 0
    for primitive, faces in faced:
        step = max(1, -(-total // MAX_FACES))
        vertices = gltf.accessors[primitive.attributes["POSITION"]]
        indices = gltf.accessors[primitive.indices] if primitive.indices is not None else None
        if start is None or any(name in primitive.extensions for name in _PACKED):
            return ""
        if not is_plain(gltf, vertices) or (indices is not None and not is_plain(gltf, indices)):
            return ""
        for face in range(0, faces, step):
            if seen == MAX_FACES:
                break
            seen += 1
            numbers = [*_corners(primitive.mode, face)]
            if indices is not None:
                numbers = [
                    int(_element(file, gltf, indices, start, number)[0]) for number in numbers
                ]
            if any(number >= vertices.count for number in numbers) or _has_area(
                *(_element(file, gltf, vertices, start, number) for number in numbers)
            ):
                return ""
    looked = (
        f"its {total:,} triangle{'' if total == 1 else 's'}"
        if seen == total
        else f"{seen:,} of its {total:,} triangles"
    )
    return f"none of {looked} has an area"


def _faces(gltf: Gltf, primitive: Primitive) -> int:
    """How many triangles a primitive has: none for points and lines."""
    index = primitive.indices if primitive.indices is not None else primitive.attributes["POSITION"]
    count = gltf.accessors[index].count
    if primitive.mode < _TRIANGLES:
        return 0
    return count // 3 if primitive.mode == _TRIANGLES else max(0, count - 2)


def _corners(mode: int, face: int) -> tuple[int, int, int]:
    if mode == _TRIANGLES:
        return 3 * face, 3 * face + 1, 3 * face + 2
    return (face, face + 1, face + 2) if mode == _STRIP else (0, face + 1, face + 2)


def is_plain(gltf: Gltf, accessor: Accessor) -> bool:
    """Whether the accessor's elements are in the binary chunk as they are."""
    if accessor.buffer_view is None or accessor.sparse is not None:
        return False
    view = gltf.buffer_views[accessor.buffer_view]
    return (
        view.buffer == 0 and gltf.buffers[0].uri is None and not set(_PACKED) & set(view.extensions)
    )


def place_of(gltf: Gltf, accessor: Accessor, start: int) -> tuple[int, int, int]:
    """Where the first element of a plain accessor is, how far it is to the next, and how many
    numbers each has.
    """
    assert accessor.buffer_view is not None
    view, numbers = gltf.buffer_views[accessor.buffer_view], 3 if accessor.type == "VEC3" else 1
    stride = view.byte_stride or numbers * COMPONENT_BYTES[accessor.component_type]
    return start + view.byte_offset + accessor.byte_offset, stride, numbers


def _element(
    file: BinaryIO, gltf: Gltf, accessor: Accessor, start: int, number: int
) -> tuple[float, ...]:
    at, stride, numbers = place_of(gltf, accessor, start)
    layout = struct.Struct(f"<{numbers}{_FORMATS[accessor.component_type]}")
    file.seek(at + number * stride)
    content = file.read(layout.size)
    return layout.unpack(content) if len(content) == layout.size else (0.0,) * numbers


def _has_area(a: tuple[float, ...], b: tuple[float, ...], c: tuple[float, ...]) -> bool:
    u, v, w = (
        [q - p for p, q in zip(first, second, strict=True)]
        for first, second in ((a, b), (a, c), (b, c))
    )
    area = hypot(u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0])
    return area > _FLAT * max(hypot(*u), hypot(*v), hypot(*w)) ** 2


def _bounds(
    file: BinaryIO, gltf: Gltf, index: int, start: int | None, budget: int
) -> tuple[tuple[list[float], list[float]] | None, int]:
    """Smallest and largest vertex of accessor `index`, None where they are not known, and what is
    left of `budget`.
    """
    accessor = gltf.accessors[index]
    low, high = _numbers(accessor.min, 3), _numbers(accessor.max, 3)
    if low is None or high is None:
        if start is None or accessor.component_type != FLOAT or not is_plain(gltf, accessor):
            return None, budget
        at, stride, _ = place_of(gltf, accessor, start)
        budget -= accessor.count * stride
        if budget < 0:
            return None, 0
        low, high = [inf] * 3, [-inf] * 3
        for x in _vertices(file, at, stride, accessor.count):
            low, high = (
                [min(pair) for pair in zip(low, x, strict=True)],
                [max(pair) for pair in zip(high, x, strict=True)],
            )
    one = _NORMALIZED.get(accessor.component_type, 1) if accessor.normalized else 1
    bounds = [value / one for value in low], [value / one for value in high]
    return (bounds if all(isfinite(value) for value in (*low, *high)) else None), budget


def _vertices(file: BinaryIO, at: int, stride: int, count: int) -> Iterator[tuple[float, ...]]:
    layout = struct.Struct(f"<3f{stride - 12}x")
    for first in range(0, count, _BLOCK):
        some = min(_BLOCK, count - first)
        file.seek(at + first * stride)
        content = file.read(some * stride).ljust(
            some * stride, b"\0"
        )  # the last one may end before its stride does
        yield from layout.iter_unpack(content)


def _numbers(value: Any, count: int) -> list[float] | None:
    """`value` as so many finite numbers; None when it is something else."""
    if not isinstance(value, list) or len(value) != count:
        return None
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in value):
        return None
    try:
        numbers = [float(each) for each in value]
    except OverflowError:
        return None
    return numbers if all(isfinite(each) for each in numbers) else None


def _placed(gltf: Gltf) -> Iterator[tuple[int, _Matrix]]:
    """Every mesh with the matrix of each node that places it; one that no node places stays where
    it is.
    """
    below = {child for node in gltf.nodes for child in node.children}
    waiting = [(number, _IDENTITY) for number in range(len(gltf.nodes)) if number not in below]
    visited, meshes = set(), set()
    while waiting:
        number, matrix = waiting.pop()
        if (
            number in visited
        ):  # a node has one parent; files that say otherwise are not walked for ever
            continue
        visited.add(number)
        node = gltf.nodes[number]
        if (node.matrix, node.translation, node.rotation, node.scale) != (None,) * 4:
            matrix = _times(
                matrix, _local(node.matrix, node.translation, node.rotation, node.scale)
            )
        if node.mesh is not None:
            meshes.add(node.mesh)
            yield node.mesh, matrix
        waiting += [(child, matrix) for child in node.children]
    yield from ((mesh, _IDENTITY) for mesh in range(len(gltf.meshes)) if mesh not in meshes)


def _local(matrix: Any, translation: Any, rotation: Any, scale: Any) -> _Matrix:
    """A node's own matrix, from its `matrix` or from translation, rotation (x, y, z, w) and scale
    (glTF 2.0, 3.5.3).
    """
    if numbers := _numbers(matrix, 16):
        return tuple(numbers)
    x, y, z, w = _numbers(rotation, 4) or (0, 0, 0, 1)
    a, b, c = _numbers(scale, 3) or (1, 1, 1)
    return (
        *(a * (1 - 2 * (y * y + z * z)), a * 2 * (x * y + w * z), a * 2 * (x * z - w * y), 0),
        *(b * 2 * (x * y - w * z), b * (1 - 2 * (x * x + z * z)), b * 2 * (y * z + w * x), 0),
        *(c * 2 * (x * z + w * y), c * 2 * (y * z - w * x), c * (1 - 2 * (x * x + y * y)), 0),
        *(_numbers(translation, 3) or (0, 0, 0)),
        1,
    )


def _times(a: _Matrix, b: _Matrix) -> _Matrix:
    return tuple(
        sum(a[row + 4 * k] * b[k + 4 * column] for k in range(4))
        for column in range(4)
        for row in range(4)
    )
