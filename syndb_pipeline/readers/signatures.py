"""What a file really is, by its first bytes, where its name promises something else.

Belongs here: the first bytes of formats, in words, with the advice for each. Does not: reading any of them.
"""

from __future__ import annotations

import codecs
import re
import struct
from pathlib import Path
from typing import Final

from syndb_pipeline.readers.files import suffix
from syndb_pipeline.readers.part import cannot_read

HEAD_BYTES: Final = 4096

_SAVE_AS: Final = "Open it in a spreadsheet program and save it as .xlsx."
_DOWNLOAD: Final = "Download the table itself, or open the page in a spreadsheet program and save it as .xlsx."
_FETCH: Final = "Download the file itself, or leave the cell empty."
_PAGE: Final = "a web page (HTML), as some programs save tables and as servers answer with errors"
SIGNATURES: Final = (
    (b"PK\x03\x04", "an .xlsx workbook or a zip archive", "If that is right, give it the suffix .xlsx."),
    (b"PAR1", "a Parquet file", "If that is right, give it the suffix .parquet."),
    (b"\xd0\xcf\x11\xe0", "an .xls workbook", "If that is right, give it the suffix .xls."),
    (b"\x1f\x8b", "compressed with gzip", "If that is right, give it a suffix such as .csv.gz."),
    (b"%PDF", "a PDF", "Export the table as .csv."),
    (b"<?xml", "XML, such as spreadsheet programs wrote in 2003", _SAVE_AS),
    (b"<!doctype html", _PAGE, _DOWNLOAD),
    (b"<html", _PAGE, _DOWNLOAD),
    (b"version https://git-lfs", "a pointer of Git LFS that stands for the file", "Fetch the file itself with: git lfs pull"),
)
SHAPES: Final = (
    (b"ply\n", "a mesh in PLY"),
    (b"ply\r", "a mesh in PLY"),
    (b"off\n", "a mesh in OFF"),
    (b"off\r", "a mesh in OFF"),
    (b"solid", "a mesh in STL text"),
    (b"# vtk datafile", "a mesh in VTK"),
    (b"kaydara fbx binary", "a mesh in FBX"),
    (b"draco", "a bare Draco stream, without glTF around it"),
    (b"gltf", "binary glTF (.glb), which is a mesh"),
    (b"\x89hdf\r\n", "HDF5"),
)
"""First bytes, in lower case, of files of meshes and skeletons under the name of another format."""

_INSTEAD: Final = {
    "an .xlsx workbook or a zip archive": "a zip archive",
    "XML, such as spreadsheet programs wrote in 2003": "XML text, such as COLLADA or NeuroML",
    _PAGE: "a web page (HTML), as servers answer with errors",
}
"""What some of `SIGNATURES` are called where no table was expected."""

_OBJ_LINE: Final = re.compile(rb"^v[ \t]+-?[0-9.]+[^\n]*$|^f[ \t]+[0-9]+[^\n]*$", re.MULTILINE)
_OBJ_WORDS: Final = (b"v", b"vn", b"vt", b"o", b"g", b"f", b"s", b"mtllib", b"usemtl")
_STL_HEAD, _STL_FACE = 84, 50
_OWN: Final = {
    ".xlsx": (b"PK", b"\xd0\xcf"),  # the latter when it is protected by a password
    ".xlsm": (b"PK", b"\xd0\xcf"),
    ".xls": (b"\xd0\xcf",),
    ".parquet": (b"PAR1",),
    ".pq": (b"PAR1",),
}
_BOMS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def check_is(path: Path, file: str, promised: str) -> None:
    """Raise `Unreadable` when the file at `path` is plainly something else than `promised`, which is what its suffix says, in words."""
    with path.open("rb") as source:
        head = source.read(HEAD_BYTES)
    if not head or head.startswith(_OWN.get(suffix(path), ())):
        return
    if known := recognise(head):
        what, advice = known
        raise cannot_read(file, f"it is no {promised} but {what}", advice)
    if suffix(path) in _OWN and (b"\0" not in head or head.startswith(_BOMS)):
        raise cannot_read(file, f"it is no {promised} but text", "If its lines are rows, give it the suffix .csv or .txt.")


def recognise(head: bytes) -> tuple[str, str] | None:
    """What a file is that starts with `head`, in words, and what to do about it; None when no signature is known to match."""
    start = head.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    return next(((what, advice) for signature, what, advice in SIGNATURES if start.startswith(signature.lower())), None)


def recognise_shape(path: Path) -> tuple[str, str]:
    """What a file is that is no mesh or skeleton of the kind its name promises, and what to do about it; both "" when that is not known.

    Raises `OSError` when it cannot be read.
    """
    with path.open("rb") as source:
        head = source.read(HEAD_BYTES)
    size = path.stat().st_size
    if known := recognise(head):
        what, advice = known
        if "git lfs" in advice:
            return what, f"{advice}."
        return _INSTEAD.get(what, what), _FETCH if what == _PAGE else ""
    start = head.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    what = next((what for signature, what in SHAPES if start.startswith(signature)), "")
    if not what and _is_obj(head):
        what = "a mesh in Wavefront OBJ text"
    if not what and size >= _STL_HEAD + _STL_FACE and size == _STL_HEAD + _STL_FACE * struct.unpack_from("<I", head, 80)[0]:
        what = "a mesh in binary STL"
    return what, "A new name does not change what a file holds: export or convert it, or leave the cell empty." if what else ""


def _is_obj(head: bytes) -> bool:
    """Whether the lines of `head`, comments aside, are those of a Wavefront OBJ file: OBJ has no signature."""
    lines = [line.strip() for line in head.removeprefix(codecs.BOM_UTF8).splitlines()]
    words = [line.split(None, 1)[0] for line in lines[: max(1, len(lines) - 1)] if line and not line.startswith(b"#")]
    return bool(words) and all(word in _OBJ_WORDS for word in words) and _OBJ_LINE.search(head) is not None
