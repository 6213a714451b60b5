"""The JSON of a glTF 2.0 file as far as its geometry goes, and that everything it describes is in
the file.

Belongs here: names, types and ranges of single values, what leads to what. Does not: the container
and what the vertices say (`glb.py`), materials, decompression.

Source: the Khronos glTF 2.0 specification, 3.6 (buffers, views, accessors), 3.7.2 (primitives) and
5 (names, types and ranges of single values).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import from_json

from syndb_pipeline.base.arrow import pa

FLOAT: Final = 5126
_MESHOPT: Final = ("EXT_meshopt_compression", "KHR_meshopt_compression")


class _Kind(NamedTuple):
    """A type of number: its name to struct and to Arrow, and what means 1 where it is normalized
    (3.6.2.2).
    """

    code: str
    arrow: Any
    one: float

    @property
    def size(self) -> int:
        return struct.calcsize(self.code)


_KINDS: Final = {
    5120: _Kind("b", pa.int8(), 127),
    5121: _Kind("B", pa.uint8(), 255),
    5122: _Kind("h", pa.int16(), 32_767),
    5123: _Kind("H", pa.uint16(), 65_535),
    5125: _Kind("I", pa.uint32(), 1),
    FLOAT: _Kind("f", pa.float32(), 1),
}
_INDEX_TYPES: Final = (5121, 5123, 5125)
NUMBERS: Final = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
"""Numbers of each type of element."""


class NoMesh(Exception):
    """Why the file is refused, and what to do where that follows from it. `check_glb` catches
    it.
    """

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.advice = advice


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


def _or_nothing(value: object, read: ValidatorFunctionWrapHandler) -> object:
    try:
        return read(value)
    except ValidationError:
        return None


_Floats = list[Annotated[float, Field(allow_inf_nan=False)]]
_Three = Annotated[_Floats, Field(min_length=3, max_length=3)]
_Four = Annotated[_Floats, Field(min_length=4, max_length=4)]
_Sixteen = Annotated[_Floats, Field(min_length=16, max_length=16)]
Three = Annotated[_Three | None, WrapValidator(_or_nothing)]
"""Numbers without which a viewer draws the mesh all the same: None where they are no such ones."""

Four = Annotated[_Four | None, WrapValidator(_or_nothing)]
Sixteen = Annotated[_Sixteen | None, WrapValidator(_or_nothing)]

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


class Meshopt(Part):
    ext: Span | None = Field(default=None, alias="EXT_meshopt_compression")
    khr: Span | None = Field(default=None, alias="KHR_meshopt_compression")


class View(Span):
    byte_stride: Annotated[int, Field(ge=4, le=252, multiple_of=4)] | None = None
    extensions: Meshopt | None = None

    @property
    def packed(self) -> Span | None:
        return (self.extensions.ext or self.extensions.khr) if self.extensions else None


class Elements(Part):
    buffer_view: Index
    byte_offset: Index = 0


class Indices(Elements):
    component_type: Literal[5121, 5123, 5125]


class Sparse(Part):
    count: Positive
    indices: Indices
    values: Elements


class Accessor(Part):
    buffer_view: Index | None = None
    byte_offset: Index = 0
    component_type: Literal[5120, 5121, 5122, 5123, 5125, 5126]
    count: Positive
    type: Literal["SCALAR", "VEC2", "VEC3", "VEC4", "MAT2", "MAT3", "MAT4"]
    sparse: Sparse | None = None
    normalized: bool = False
    min: Three = None
    max: Three = None

    @property
    def kind(self) -> _Kind:
        return _KINDS[self.component_type]

    @property
    def element(self) -> int:
        """Bytes of one element."""
        return NUMBERS[self.type] * self.kind.size


class DracoMesh(Part):
    buffer_view: Index
    packed: Attributes = Field(alias="attributes")


class Draco(Part):
    mesh: DracoMesh | None = Field(default=None, alias="KHR_draco_mesh_compression")


class Primitive(Part):
    attributes: Attributes
    indices: Index | None = None
    mode: Annotated[int, Field(ge=0, le=6)] = 4
    extensions: Draco | None = None

    @property
    def draco(self) -> DracoMesh | None:
        return self.extensions.mesh if self.extensions else None


class Mesh(Part):
    primitives: Annotated[Few[Primitive], Field(min_length=1)]


class Image(Part):
    uri: str | None = None


class Node(Part):
    mesh: Index | None = None
    children: Few[Index] = []
    matrix: Sixteen = None
    translation: Three = None
    rotation: Four = None
    scale: Three = None


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


_LISTS: Final = {
    "buffer": "buffers",
    "buffer_view": "buffer_views",
    "attributes": "accessors",
    "indices": "accessors",
    "mesh": "meshes",
    "children": "nodes",
    "nodes": "nodes",
    "scene": "scenes",
}
"""What the numbers lead to that are in a field called so."""


def parse(text: bytes) -> Gltf:
    """The JSON chunk as far as meshes need it. The parser bounds nesting; of many faults the first
    of a list is reported.
    """
    try:
        gltf = Gltf.model_validate(from_json(text, allow_inf_nan=False))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
        place = "".join(steps).lstrip(".")[:80] or "its start"
        why = first["msg"].removeprefix("Input ").removeprefix("Value error, ")
        raise NoMesh(f"its JSON chunk is no glTF at {place}: {why}") from None
    except ValueError as error:
        raise NoMesh(f"its JSON chunk is no JSON: {error}") from None
    version = gltf.asset.min_version or gltf.asset.version
    if not gltf.asset.version.startswith("2.") or (gltf.asset.min_version or "2.0") != "2.0":
        raise NoMesh(f"it is glTF {version[:20]!r}, not 2.0")
    return gltf


def _parts(part: Part, place: str = "") -> Iterator[tuple[str, Part]]:
    """`part` and every part within it, each with its place in the JSON."""
    yield place, part
    for name, value in vars(part).items():
        if isinstance(value, Part) or (isinstance(value, list) and value):
            at = f"{place}.{type(part).model_fields[name].alias}".lstrip(".")
            if isinstance(value, Part):
                yield from _parts(value, at)
            elif isinstance(value[0], Part):
                for number, each in enumerate(value):
                    yield from _parts(each, f"{at}[{number}]")


def check(gltf: Gltf, binary: tuple[int, int] | None) -> None:
    """Raise `NoMesh` for what leads nowhere, and for bytes that are not in this file.

    `binary` is where the binary chunk starts and how long it is.
    """
    every = list(_parts(gltf))
    for place, part in every:
        for name, wanted in vars(part).items():
            if name in _LISTS and wanted is not None:
                count = len(getattr(gltf, _LISTS[name]))
                indexes = wanted.values() if isinstance(wanted, dict) else wanted
                for index in [wanted] if isinstance(wanted, int) else indexes:
                    if isinstance(index, int) and index >= count:
                        uses = f"{to_camel(_LISTS[name])}[{index}]"
                        raise NoMesh(f"{place or 'it'} uses {uses}, and there are {count}")
    for place, part in every:
        if isinstance(part, Buffer | Image) and not (part.uri or "data:").startswith("data:"):
            uri = str(part.uri)
            shown = repr(uri if len(uri) <= 60 else uri[:60] + "...")
            raise NoMesh(
                f"{place} is in another file, {shown}, which SynDB does not get; pack everything"
                " into the .glb"
            )
        if isinstance(part, Buffer):
            _check_buffer(place, part, binary if place == "buffers[0]" else None)
        elif isinstance(part, Span):
            if part.byte_offset + part.byte_length > gltf.buffers[part.buffer].byte_length:
                raise NoMesh(f"{place} reaches beyond the end of buffers[{part.buffer}]")
        elif isinstance(part, Accessor):
            _check_accessor(gltf, place, part)
        elif isinstance(part, Primitive):
            _check_primitive(gltf, place, part)
    if not any("POSITION" in primitive.attributes for primitive in primitives(gltf)):
        raise NoMesh("it holds no mesh whose vertices have a POSITION")


def _check_buffer(place: str, buffer: Buffer, binary: tuple[int, int] | None) -> None:
    """A buffer's bytes must be in this file: the binary chunk, a data: URI, or none because a
    compressed buffer replaces them.
    """
    packed = [buffer.extensions.get(name) for name in _MESHOPT]
    if buffer.uri is not None:
        head, _, encoded = buffer.uri.partition(",")
        present = len(encoded) * 3 // 4 if ";base64" in head else len(encoded)
    elif any(isinstance(each, dict) and each.get("fallback") is True for each in packed):
        return
    elif binary is not None:
        present = binary[1]
    else:
        why = (
            "there is no binary chunk"
            if place == "buffers[0]"
            else "only the first may have no uri"
        )
        raise NoMesh(f"{place} has no bytes: {why}")
    if buffer.byte_length > present:
        raise NoMesh(f"{place} announces {buffer.byte_length:,} bytes and has {present:,}")


def _check_accessor(gltf: Gltf, place: str, accessor: Accessor) -> None:
    component, element = accessor.kind.size, accessor.element

    def check_room(part: Any, where: str, count: int, stride: int, size: int) -> None:
        view = gltf.buffer_views[part.buffer_view]
        if part.byte_offset + (count - 1) * stride + size > view.byte_length:
            raise NoMesh(
                f"{where} wants {count:,} elements, and bufferViews[{part.buffer_view}] is too"
                " short for them"
            )

    if accessor.buffer_view is not None:
        view = gltf.buffer_views[accessor.buffer_view]
        stride = view.byte_stride or element
        if stride < element:
            raise NoMesh(
                f"{place} has elements of {element} bytes, more than the {stride} from one to the"
                " next"
            )
        check_room(accessor, place, accessor.count, stride, element)
        if accessor.byte_offset % component or view.byte_offset % component:
            raise NoMesh(
                f"{place} does not start at a multiple of the {component} bytes of its numbers"
            )
    if sparse := accessor.sparse:
        if sparse.count > accessor.count:
            raise NoMesh(f"{place} replaces {sparse.count:,} of {accessor.count:,} elements")
        size = _KINDS[sparse.indices.component_type].size
        check_room(sparse.indices, f"{place}.sparse", sparse.count, size, size)
        check_room(sparse.values, f"{place}.sparse", sparse.count, element, element)


def _check_primitive(gltf: Gltf, place: str, primitive: Primitive) -> None:
    every = {name: gltf.accessors[index] for name, index in primitive.attributes.items()}
    if (position := every.get("POSITION")) is not None:
        quantized = "KHR_mesh_quantization" in gltf.extensions_used
        if position.type != "VEC3" or (position.component_type != FLOAT and not quantized):
            raise NoMesh(f"{place} has a POSITION that is not of three floats")
        packed = primitive.draco is not None and "POSITION" in primitive.draco.packed
        if position.buffer_view is None and position.sparse is None and not packed:
            raise NoMesh(f"{place} has a POSITION without data")
    if len({accessor.count for accessor in every.values()}) > 1:
        raise NoMesh(f"{place} has attributes of different counts")
    if primitive.indices is not None:
        indices = gltf.accessors[primitive.indices]
        if indices.type != "SCALAR" or indices.component_type not in _INDEX_TYPES:
            raise NoMesh(f"{place} has indices that are not whole numbers of their own")


def primitives(gltf: Gltf) -> list[Primitive]:
    return [primitive for mesh in gltf.meshes for primitive in mesh.primitives]
