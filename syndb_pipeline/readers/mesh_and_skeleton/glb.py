"""Meshes as binary glTF 2.0 (.glb): whether a file holds a mesh that a viewer could read, judged
from its structure.

Belongs here: the container, the JSON, and that what it describes is inside the file. Does not:
geometry (`gltf.py`), materials, decompression.
"""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow
import pyarrow.compute
from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

from syndb_pipeline.readers.mesh_and_skeleton.gltf import (
    COMPONENT_BYTES,
    DRACO,
    FLOAT,
    MESHOPT,
    Accessor,
    Box,
    Draco,
    Gltf,
    Primitive,
    Span,
    View,
    box_of,
    is_plain,
    place_of,
    why_no_surface,
)
from syndb_pipeline.readers.signatures import recognise_shape

pa: Any = pyarrow  # it carries no types
pc: Any = pyarrow.compute

MAX_JSON: Final = 4_000_000
"""Bytes of a JSON chunk that are read. A mesh needs about a thousand; parsed they may take thirty
times their size.
"""

_MAX_CHUNKS: Final = 64
_BLOCK: Final = 1 << 20
_JSON: Final = 0x4E4F534A
_BIN: Final = 0x004E4942
_INDEX_TYPES: Final[dict[int, Any]] = {5121: pa.uint8(), 5123: pa.uint16(), 5125: pa.uint32()}
_SHAPES: Final = {
    "SCALAR": (1, 1),
    "VEC2": (1, 2),
    "VEC3": (1, 3),
    "VEC4": (1, 4),
    "MAT2": (2, 2),
    "MAT3": (3, 3),
    "MAT4": (4, 4),
}
"""Columns and rows of each type of element."""


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


class _NoMesh(Exception):
    """Why the file is refused, and what to do where that follows from it. Never leaves this
    module.
    """

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.advice = advice


def check_glb(path: Path) -> GlbReport:
    """Whether `path` is a readable mesh in binary glTF 2.0.

    Held to the Khronos glTF 2.0 specification: header and chunks (4.4), buffers, views and
    accessors (3.6), primitives (3.7.2). Geometry that `KHR_draco_mesh_compression` or
    `EXT_meshopt_compression` packs is taken at its structure. Everything must lie in the one file:
    no address is ever followed. Nothing is raised: what is wrong with the file, even that it cannot
    be opened, is the report's `reason`. Memory is bounded.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return GlbReport("it is no regular file")
        with path.open("rb") as file:
            return _check(path, file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        return GlbReport(f"it cannot be opened: {error.strerror}")
    except _NoMesh as fault:
        reason = "".join(
            letter if letter.isprintable() else "?" for letter in str(fault)
        )  # it may quote the file
        return GlbReport(reason, fault.advice)
    except ValueError:
        return GlbReport("its path is no path of a file")


def _check(path: Path, file: BinaryIO, size: int) -> GlbReport:
    text, binary = _chunks(path, file, size)
    gltf = _parse(text)
    del text
    _check_buffers(gltf, binary)
    for number, view in enumerate(gltf.buffer_views):
        _check_view(gltf, number, view)
    for number, accessor in enumerate(gltf.accessors):
        _check_accessor(gltf, f"accessors[{number}]", accessor)
    _check_scenes(gltf)
    positions = [
        _check_primitive(gltf, f"meshes[{m}].primitives[{p}]", part)
        for m, p, part in _primitives(gltf)
    ]
    if not any(positions):
        raise _NoMesh("it holds no mesh whose vertices have a POSITION")
    start = binary[0] if binary is not None else None
    if start is not None:
        _check_indices(file, gltf, start, budget=size)
    return GlbReport(
        box=box_of(file, gltf, start, budget=size), bare=why_no_surface(file, gltf, start)
    )


def _chunks(path: Path, file: BinaryIO, size: int) -> tuple[bytes, tuple[int, int] | None]:
    """The JSON chunk's bytes, and where the binary chunk starts and how long it is."""
    head = file.read(12)
    if head[:4] != b"glTF":
        if head.lstrip()[:1] == b"{":
            raise _NoMesh(
                "it is JSON text, such as a .gltf file; export the mesh as binary glTF (.glb)"
            )
        if not size:
            raise _NoMesh("it is empty")
        what, advice = recognise_shape(path)
        raise _NoMesh(
            "it does not start as a binary glTF file does" + (f"; it is {what}" if what else ""),
            advice,
        )
    if len(head) < 12:
        raise _NoMesh(f"it ends after {size} bytes, within its header")
    version, length = struct.unpack_from("<II", head, 4)
    if version != 2:
        raise _NoMesh(f"it is binary glTF of version {version}, not 2")
    if length != size:
        raise _NoMesh(
            f"its header announces {length:,} bytes and it has {size:,}"
            + (", so its end is missing" if size < length else "")
        )
    at, text, binary = 12, None, None
    for number in range(_MAX_CHUNKS):
        if at == size and number:
            break
        file.seek(at)
        header = file.read(8)
        if len(header) < 8:
            raise _NoMesh(f"it ends within the header of its chunk {number + 1}")
        length, kind = struct.unpack("<II", header)
        at += 8
        if at + length > size:
            raise _NoMesh(
                f"its chunk {number + 1} announces {length:,} bytes and {size - at:,} follow"
            )
        if number == 0:
            if kind != _JSON:
                raise _NoMesh("its first chunk is not the JSON chunk")
            if length > MAX_JSON:
                raise _NoMesh(
                    f"its JSON chunk has {length:,} bytes, more than the {MAX_JSON:,} that are"
                    " read; leave out what is no geometry"
                )
            text = file.read(length)
        elif number == 1 and kind == _BIN:
            binary = (at, length)
        at += length
    else:
        raise _NoMesh(f"it has more than {_MAX_CHUNKS} chunks")
    assert text is not None
    return text, binary


def _parse(text: bytes) -> Gltf:
    """The JSON chunk as far as meshes need it. The parser bounds nesting; of many faults the first
    of a list is reported.
    """
    try:
        told = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise _NoMesh(f"its JSON chunk is no JSON: {error}") from None
    try:
        gltf = Gltf.model_validate(told)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = "".join(
            f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"]
        ).lstrip(".")
        raise _NoMesh(
            f"its JSON chunk is no glTF at {place[:80] or 'its start'}: {_in_words(first)}"
        ) from None
    if not gltf.asset.version.startswith("2.") or (gltf.asset.min_version or "2.0") != "2.0":
        raise _NoMesh(
            f"it is glTF {(gltf.asset.min_version or gltf.asset.version)[:20]!r}, not 2.0"
        )
    return gltf


def _in_words(fault: ErrorDetails) -> str:
    return fault["msg"].removeprefix("Input ").removeprefix("Value error, ")


def _part(parts: list[Any], index: int, kind: str, asked_by: str) -> Any:
    """The part `index` of a list. Raises `_NoMesh` when there is none."""
    if index >= len(parts):
        raise _NoMesh(f"{asked_by} uses {kind} {index}, and there are {len(parts)}")
    return parts[index]


def _check_buffers(gltf: Gltf, binary: tuple[int, int] | None) -> None:
    """Every buffer's bytes must be in this file: the binary chunk, a data: URI, or none because a
    compressed buffer replaces them.
    """
    addresses = [(f"buffers[{number}]", buffer.uri) for number, buffer in enumerate(gltf.buffers)]
    addresses += [(f"images[{number}]", image.uri) for number, image in enumerate(gltf.images)]
    for name, uri in addresses:
        if uri is not None and not uri.startswith("data:"):
            shown = repr(uri if len(uri) <= 60 else uri[:60] + "...")
            raise _NoMesh(
                f"{name} lies in another file, {shown}, which SynDB does not get; pack everything"
                " into the .glb"
            )
    for number, buffer in enumerate(gltf.buffers):
        if buffer.uri is not None:
            encoded = len(buffer.uri.partition(",")[2])
            present = encoded * 3 // 4 if ";base64" in buffer.uri.partition(",")[0] else encoded
        elif any(
            isinstance(told := buffer.extensions.get(name), dict) and told.get("fallback") is True
            for name in MESHOPT
        ):
            continue
        elif number == 0 and binary is not None:
            present = binary[1]
        else:
            raise _NoMesh(
                f"buffers[{number}] has no bytes: "
                + ("there is no binary chunk" if number == 0 else "only the first may have no uri")
            )
        if buffer.byte_length > present:
            raise _NoMesh(
                f"buffers[{number}] announces {buffer.byte_length:,} bytes and has {present:,}"
            )


def _check_view(gltf: Gltf, number: int, view: View) -> None:
    name = f"bufferViews[{number}]"
    spans: list[tuple[str, Span]] = [(name, view)]
    for extension in MESHOPT:
        if extension in view.extensions:
            spans.append(
                (
                    f"{name}.{extension}",
                    _extension(Span, view.extensions[extension], f"{name}.{extension}"),
                )
            )
    for place, span in spans:
        buffer = _part(gltf.buffers, span.buffer, "buffer", place)
        if span.byte_offset + span.byte_length > buffer.byte_length:
            raise _NoMesh(f"{place} reaches beyond the end of buffer {span.buffer}")


def _extension(model: type[Any], told: Any, place: str) -> Any:
    try:
        return model.model_validate(told)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        at = ".".join(str(step) for step in first["loc"])[:80]
        raise _NoMesh(
            f"{place} is not as its extension wants it at {at or 'its start'}: {_in_words(first)}"
        ) from None


def _element_bytes(accessor: Accessor) -> int:
    """Bytes of one element; a matrix's columns start at multiples of four."""
    columns, rows = _SHAPES[accessor.type]
    column = rows * COMPONENT_BYTES[accessor.component_type]
    return column if columns == 1 else columns * (-(-column // 4) * 4)


def _check_accessor(gltf: Gltf, name: str, accessor: Accessor) -> None:
    if accessor.buffer_view is not None:
        view = _part(gltf.buffer_views, accessor.buffer_view, "bufferView", name)
        component, element = COMPONENT_BYTES[accessor.component_type], _element_bytes(accessor)
        stride = view.byte_stride or element
        if stride < element:
            raise _NoMesh(
                f"{name} has elements of {element} bytes, more than the {stride} from one to the"
                " next"
            )
        if accessor.byte_offset + (accessor.count - 1) * stride + element > view.byte_length:
            raise _NoMesh(
                f"{name} wants {accessor.count:,} elements, and bufferView {accessor.buffer_view}"
                " is too short for them"
            )
        if accessor.byte_offset % component or view.byte_offset % component:
            raise _NoMesh(
                f"{name} does not start at a multiple of the {component} bytes of its numbers"
            )
    if accessor.sparse is not None:
        sparse = accessor.sparse
        if sparse.count > accessor.count:
            raise _NoMesh(f"{name} replaces {sparse.count:,} of {accessor.count:,} elements")
        for part, size in (
            (sparse.indices, COMPONENT_BYTES[sparse.indices.component_type]),
            (sparse.values, _element_bytes(accessor)),
        ):
            view = _part(gltf.buffer_views, part.buffer_view, "bufferView", f"{name}.sparse")
            if part.byte_offset + sparse.count * size > view.byte_length:
                raise _NoMesh(
                    f"{name}.sparse wants {sparse.count:,} elements, and bufferView"
                    f" {part.buffer_view} is too short for them"
                )


def _check_scenes(gltf: Gltf) -> None:
    if gltf.scene is not None:
        _part(gltf.scenes, gltf.scene, "scene", "scene")
    for number, scene in enumerate(gltf.scenes):
        for root in scene.nodes:
            _part(gltf.nodes, root, "node", f"scenes[{number}]")
    for number, node in enumerate(gltf.nodes):
        for child in node.children:
            _part(gltf.nodes, child, "node", f"nodes[{number}]")
        if node.mesh is not None:
            _part(gltf.meshes, node.mesh, "mesh", f"nodes[{number}]")


def _primitives(gltf: Gltf) -> list[tuple[int, int, Primitive]]:
    return [
        (m, p, primitive)
        for m, mesh in enumerate(gltf.meshes)
        for p, primitive in enumerate(mesh.primitives)
    ]


def _check_primitive(gltf: Gltf, name: str, primitive: Primitive) -> bool:
    """Whether the primitive has vertices with a place."""
    draco = (
        _extension(Draco, primitive.extensions[DRACO], f"{name}.{DRACO}")
        if DRACO in primitive.extensions
        else None
    )
    if draco is not None:
        _part(gltf.buffer_views, draco.buffer_view, "bufferView", f"{name}.{DRACO}")
    for attribute, index in primitive.attributes.items():
        accessor = _part(gltf.accessors, index, "accessor", f"{name}.{attribute[:40]}")
        if attribute == "POSITION":
            quantized = "KHR_mesh_quantization" in gltf.extensions_used
            if accessor.type != "VEC3" or (accessor.component_type != FLOAT and not quantized):
                raise _NoMesh(f"{name} has a POSITION that is not of three floats")
            packed = draco is not None and "POSITION" in draco.attributes
            if accessor.buffer_view is None and accessor.sparse is None and not packed:
                raise _NoMesh(f"{name} has a POSITION without data")
        if accessor.count != gltf.accessors[next(iter(primitive.attributes.values()))].count:
            raise _NoMesh(f"{name} has attributes of different counts")
    if primitive.indices is not None:
        accessor = _part(gltf.accessors, primitive.indices, "accessor", f"{name}.indices")
        if accessor.type != "SCALAR" or accessor.component_type not in _INDEX_TYPES:
            raise _NoMesh(f"{name} has indices that are not whole numbers of their own")
    return "POSITION" in primitive.attributes


def _check_indices(file: BinaryIO, gltf: Gltf, start: int, budget: int) -> None:
    """Hold indices that lie plainly in the binary chunk against the count of vertices.

    They are read in blocks, each accessor once and all together `budget` bytes at most: overlapping
    accessors could have one file read for ever.
    """
    # Accessor of indices -> fewest vertices of the primitives that use it.
    vertices: dict[int, tuple[int, str]] = {}
    for m, p, primitive in _primitives(gltf):
        if (
            primitive.indices is not None
            and "POSITION" in primitive.attributes
            and DRACO not in primitive.extensions
        ):
            count = gltf.accessors[primitive.attributes["POSITION"]].count
            known = vertices.get(primitive.indices)
            if known is None or count < known[0]:
                vertices[primitive.indices] = (count, f"meshes[{m}].primitives[{p}]")
    for index, (count, name) in vertices.items():
        accessor = gltf.accessors[index]
        if not is_plain(gltf, accessor):
            continue
        at, stride, _ = place_of(gltf, accessor, start)
        size = accessor.count * stride
        if stride != COMPONENT_BYTES[accessor.component_type] or size > budget:
            continue
        budget -= size
        largest = _largest(file, at, size, _INDEX_TYPES[accessor.component_type])
        if largest >= count:
            raise _NoMesh(f"{name} has the index {largest:,} and only {count:,} vertices")


def _largest(file: BinaryIO, at: int, size: int, kind: Any) -> int:
    """The largest of the little-endian whole numbers in `size` bytes from `at`."""
    file.seek(at)
    largest = 0
    while size:
        block = file.read(min(_BLOCK, size))
        if not block:
            raise _NoMesh("it became shorter while it was read")
        size -= len(block)
        numbers = pa.Array.from_buffers(
            kind, len(block) // (kind.bit_width // 8), [None, pa.py_buffer(block)]
        )
        largest = max(largest, pc.max(numbers).as_py())
    return int(largest)
