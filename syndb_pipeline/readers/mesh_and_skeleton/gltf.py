"""The JSON of a glTF 2.0 file, as far as its geometry goes.

Belongs here: names, types and ranges of single values (Khronos glTF 2.0 specification, section 5).
Does not: how parts refer to each other.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field
from pydantic.alias_generators import to_camel

Index = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Item = TypeVar("Item")
Few = Annotated[list[Item], FailFast(), Field(max_length=20_000)]
"""A list that stays small in memory, whatever is in it: its first fault ends the reading."""


def _few_attributes(told: object) -> object:
    """A primitive has less than ten. They are counted before they are looked at: each wrong one of
    a million would be a fault to keep.
    """
    if isinstance(told, dict) and len(told) > 64:
        raise ValueError("more than 64 attributes")
    return told


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
