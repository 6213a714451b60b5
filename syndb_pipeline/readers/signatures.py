"""What a file really is, by its first bytes, where its name promises something else.

Belongs here: looking for the signatures of `signatures.toml`. Does not: reading any of those
formats.
"""

from __future__ import annotations

import codecs
import re
import struct
import tomllib
import zlib
from functools import cache
from pathlib import Path
from typing import Final

from syndb_pipeline.readers.formats import format_of, suffix
from syndb_pipeline.readers.part import cannot_read, gunzipped

HEAD_BYTES: Final = 4096

_UNCHANGED: Final = (
    "A new name does not change what a file holds: export or convert it, or leave the cell empty."
)
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


@cache
def _signatures(kind: str) -> tuple[tuple[re.Pattern[bytes], dict[str, str]], ...]:
    """Those of `signatures.toml`: "signature" for files of any kind, "mesh"."""
    entries = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))[kind]
    return tuple((re.compile(entry["start"].encode(), re.DOTALL), entry) for entry in entries)


def _known(head: bytes, kind: str) -> dict[str, str] | None:
    start = head.removeprefix(codecs.BOM_UTF8)
    text = start.lstrip()
    return next(
        (entry for mark, entry in _signatures(kind) if mark.match(start) or mark.match(text)), None
    )


def recognise(head: bytes) -> tuple[str, str] | None:
    """What a file is that starts with `head`, in words, and what to do about it; None when no
    signature is known to match.
    """
    known = _known(head, "signature")
    return (known["is"], known["advice"]) if known else None


def recognise_shape(path: Path) -> tuple[str, str]:
    """What a file is that is no mesh or skeleton of the kind its name promises, and what to do
    about it; both "" when that is not known.

    Raises `OSError` when it cannot be read.
    """
    with path.open("rb") as source:
        head = source.read(HEAD_BYTES)
    if known := _known(head, "signature"):
        return known.get("beside_meshes", known["is"]), known.get("mesh_advice", "")
    size = path.stat().st_size - _STL_HEAD
    if known := _known(head, "mesh"):
        return known["is"], _UNCHANGED
    if size >= _STL_FACE and size == _STL_FACE * struct.unpack_from("<I", head, 80)[0]:
        return "a mesh in binary STL", _UNCHANGED
    return "", ""
