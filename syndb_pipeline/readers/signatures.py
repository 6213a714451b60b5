"""What a file really is, by its first bytes, where its name promises something else.

Belongs here: the first bytes of formats, in words, with the advice for each. Does not: reading any
of them.
"""

from __future__ import annotations

import codecs
import re
import struct
import zlib
from pathlib import Path
from typing import Final

from syndb_pipeline.readers.formats import format_of, suffix
from syndb_pipeline.readers.gzipped import gunzipped
from syndb_pipeline.readers.part import cannot_read

HEAD_BYTES: Final = 4096

_SAVE_AS: Final = "Open it in a spreadsheet program and save it as .xlsx."
_DOWNLOAD: Final = (
    "Download the table itself, or open the page in a spreadsheet program and save it as .xlsx."
)
_FETCH: Final = "Download the file itself, or leave the cell empty."
_PAGE: Final = "a web page (HTML), as some programs save tables and as servers answer with errors"
_EXPORT: Final = "Export the table from it as .parquet or .csv."
_UNPACK: Final = "Unpack it, and name the table that is in it."
_R: Final = (
    "Load it in R and write the table with: write.csv(table, 'table.csv', row.names = FALSE)"
)
_MATLAB: Final = "Load it in MATLAB and export the table with: writetable(table, 'table.csv')"
_PYTHON: Final = (
    "Load it in Python and write the table with pandas: frame.to_parquet('table.parquet')"
)
_STATISTICS: Final = (
    "Open it in its program, or with pandas, and export the table as .parquet or .csv."
)


def _begins(*starts: bytes) -> re.Pattern[bytes]:
    """One of `starts`, whatever its case."""
    return re.compile(b"|".join(map(re.escape, starts)), re.IGNORECASE)


_Z: Final = "compressed with {}"
SIGNATURES: Final[tuple[tuple[re.Pattern[bytes], str, str], ...]] = (
    (
        re.compile(rb"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis", re.DOTALL),
        "an OpenDocument file (.ods)",
        _SAVE_AS,
    ),
    (
        re.compile(rb"PK\x03\x04.{26}[\w./ -]{1,200}?\.npy", re.DOTALL),
        "a NumPy archive (.npz)",
        _PYTHON,
    ),
    (
        re.compile(
            rb"PK\x03\x04.{26}(?!\[Content_Types\]|xl/|docProps/|_rels/)[\w./"
            rb" -]{1,200}?\.(?i:csv|tsv|txt|parquet|xlsx?)",
            re.DOTALL,
        ),
        "a zip archive",
        _UNPACK,
    ),
    (
        re.compile(rb"PK\x05\x06"),
        "an empty zip archive",
        "Pack it again, or name the table itself.",
    ),
    (
        _begins(b"PK\x03\x04"),
        "an .xlsx workbook or a zip archive",
        "If that is right, give it the suffix .xlsx.",
    ),
    (_begins(b"PAR1"), "a Parquet file", "If that is right, give it the suffix .parquet."),
    (
        _begins(b"\xd0\xcf\x11\xe0"),
        "an .xls workbook",
        "If that is right, give it the suffix .xls.",
    ),
    (
        _begins(b"\x1f\x8b"),
        "compressed with gzip",
        "If that is right, give it a suffix such as .csv.gz.",
    ),
    (
        re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
        _Z.format("zstd (Zstandard)"),
        "Unpack it with unzstd, or export the table again as .parquet or .csv.",
    ),
    (
        re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"),
        _Z.format("bzip2"),
        "Unpack it with bunzip2, or export the table again as .parquet or .csv.",
    ),
    (
        _begins(b"\xfd7zXZ\0"),
        _Z.format("xz"),
        "Unpack it with unxz, or export the table again as .parquet or .csv.",
    ),
    (
        re.compile(rb"\x04\x22\x4d\x18"),
        _Z.format("lz4"),
        "Unpack it with unlz4, or export the table again as .parquet or .csv.",
    ),
    (
        re.compile(rb"\xff\x06\0\0sNaPpY"),
        _Z.format("snappy"),
        "Export the table again as .parquet or .csv.",
    ),
    (
        re.compile(rb"\x1f[\x9d\xa0]"),
        _Z.format("compress (.Z)"),
        "Unpack it with uncompress, or export the table again as .parquet or .csv.",
    ),
    (_begins(b"7z\xbc\xaf\x27\x1c"), "a 7-Zip archive", _UNPACK),
    (_begins(b"Rar!\x1a\x07"), "a RAR archive", _UNPACK),
    (re.compile(rb".{257}ustar(?:\0|  \0)", re.DOTALL), "a tar archive", _UNPACK),
    (
        re.compile(rb"ARROW1\0|FEA1\0|\xff{4}.{3}\0\x10\0\0\0", re.DOTALL),
        "a Feather (Arrow) file",
        f"{_EXPORT} pandas reads it.",
    ),
    (re.compile(rb"SQLite format 3\0"), "a SQLite database", _EXPORT),
    (re.compile(rb".{8}DUCK..\0{6}", re.DOTALL), "a DuckDB database", _EXPORT),
    (re.compile(rb"\0\x01\0\0Standard (?:Jet|ACE) DB"), "an Access database", _EXPORT),
    (re.compile(rb"MATLAB [0-9.]+ MAT-file"), "a MATLAB file (.mat)", _MATLAB),
    (_begins(b"\x89HDF\r\n\x1a\n"), "an HDF5 file", f"{_EXPORT} h5py or pandas read it."),
    (re.compile(rb"CDF[\x01\x02\x05]\0"), "a NetCDF file", _EXPORT),
    (re.compile(rb"RD[AX][123]\n[AXB]\n"), "R data (.RData)", _R),
    (
        re.compile(rb"X\n\0\0\0[\x01-\x03]\0|A\n[123]\n[0-9]+\n|B\n[\x01-\x03]\0\0\0"),
        "R data (.rds)",
        _R,
    ),
    (_begins(b"\x93NUMPY"), "a NumPy array (.npy)", _PYTHON),
    (
        re.compile(rb"\x80[\x02-\x05](?:\x95.{8}|[\]}(cq\x58\x8a\x8c])", re.DOTALL),
        "a Python pickle",
        _PYTHON,
    ),
    (re.compile(rb"ORC[\0-\x08\x0e-\x1f\x80-\xff]"), "an ORC file", _EXPORT),
    (re.compile(rb"Obj\x01"), "an Avro file", _EXPORT),
    (re.compile(rb"<stata_dta>|[\x6c-\x77][\x01\x02]\x01\0"), "a Stata file (.dta)", _STATISTICS),
    (re.compile(rb"\$FL[23]@\(#\)"), "an SPSS file (.sav)", _STATISTICS),
    (re.compile(rb"\0{12}\xc2\xea\x81\x60\xb3\x14\x11\xcf"), "a SAS file (.sas7bdat)", _STATISTICS),
    (
        re.compile(rb"\0\x05\x16[\0\x07]\0\x02\0\0"),
        "what macOS keeps beside a file (AppleDouble)",
        "Name the file without ._ before its name.",
    ),
    (re.compile(rb"bplist0"), "a property list of macOS", _EXPORT),
    (
        re.compile(rb"\{\\rtf", re.IGNORECASE),
        "a text document (RTF)",
        "Save the table as .csv or .xlsx.",
    ),
    (
        re.compile(
            rb"\x89PNG\r\n|\xff\xd8\xff[\xdb\xe0-\xef]|GIF8[79]a|(?:II\*\0|MM\0\*|II\+\0|MM\0\+)"
        ),
        "an image",
        "Name the table instead.",
    ),
    (_begins(b"%PDF-", b"%!PS"), "a PDF", "Export the table as .csv."),
    (_begins(b"<?xml"), "XML, such as spreadsheet programs wrote in 2003", _SAVE_AS),
    (
        re.compile(
            rb"<(?:!doctype html|html|head|body|table|meta|style|script|div)[\s>]", re.IGNORECASE
        ),
        _PAGE,
        _DOWNLOAD,
    ),
    (
        _begins(b"version https://git-lfs"),
        "a pointer of Git LFS that stands for the file",
        "Fetch the file itself with: git lfs pull",
    ),
    (
        re.compile(rb"\{\s*(?:\"[^\"\n]{0,200}\"\s*:|\})|\[\s*[\[{]\s*[\"\]}\[{0-9-]"),
        "JSON text",
        f"{_EXPORT} pandas reads it.",
    ),
)
"""What the beginnings of files are, in words, with the advice for each. The more special stand
before the more general.
"""

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
_GZIP: Final = b"\x1f\x8b"
_BOMS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def check_is(path: Path, file: str, promised: str) -> None:
    """Raise `Unreadable` when the file at `path` is plainly something else than `promised`, which
    is what its suffix says, in words.
    """
    with path.open("rb") as source:
        head = source.read(HEAD_BYTES)
    own = format_of(path)
    starts = own.suffixes[suffix(path)] if own else ()
    if not head or head.startswith(starts):
        return
    if known := look_into(path, file):
        what, advice = known
        raise cannot_read(file, f"it is no {promised} but {what}", advice)
    if starts and (b"\0" not in head or head.startswith(_BOMS)):
        raise cannot_read(
            file,
            f"it is no {promised} but text",
            "If its lines are rows, give it the suffix .csv or .txt.",
        )


def look_into(path: Path, file: str) -> tuple[str, str] | None:
    """What `recognise` says of the file at `path`, called `file` in findings, also where gzip hides
    it.
    """
    with path.open("rb") as source:
        head = source.read(HEAD_BYTES)
    if inside := _packed(path, file, head):
        return f"{inside[0]}, compressed with gzip", inside[1]
    if head.startswith(_GZIP) and file.lower().endswith(".gz"):
        return "compressed with gzip twice", "Unpack it once."
    return recognise(head)


def _packed(path: Path, file: str, head: bytes) -> tuple[str, str] | None:
    """What is recognised in the gzip file at `path`, as R writes its data; None where it may be a
    table, or is no gzip file.
    """
    if not head.startswith(_GZIP):
        return None
    try:
        with path.open("rb") as source:
            return recognise(next(gunzipped(source, file), b"")[:HEAD_BYTES])
    except (zlib.error, EOFError):
        return None


def recognise(head: bytes) -> tuple[str, str] | None:
    """What a file is that starts with `head`, in words, and what to do about it; None when no
    signature is known to match.
    """
    start = head.removeprefix(codecs.BOM_UTF8)
    text = start.lstrip()
    return next(
        (
            (what, advice)
            for mark, what, advice in SIGNATURES
            if mark.match(start) or mark.match(text)
        ),
        None,
    )


def recognise_shape(path: Path) -> tuple[str, str]:
    """What a file is that is no mesh or skeleton of the kind its name promises, and what to do
    about it; both "" when that is not known.

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
    if (
        not what
        and size >= _STL_HEAD + _STL_FACE
        and size == _STL_HEAD + _STL_FACE * struct.unpack_from("<I", head, 80)[0]
    ):
        what = "a mesh in binary STL"
    return (
        what,
        (
            "A new name does not change what a file holds: export or convert it, or leave the cell"
            " empty."
            if what
            else ""
        ),
    )


def _is_obj(head: bytes) -> bool:
    """Whether the lines of `head`, comments aside, are those of a Wavefront OBJ file: OBJ has no
    signature.
    """
    lines = [line.strip() for line in head.removeprefix(codecs.BOM_UTF8).splitlines()]
    words = [
        line.split(None, 1)[0]
        for line in lines[: max(1, len(lines) - 1)]
        if line and not line.startswith(b"#")
    ]
    return (
        bool(words)
        and all(word in _OBJ_WORDS for word in words)
        and _OBJ_LINE.search(head) is not None
    )
