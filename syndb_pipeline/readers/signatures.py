"""What a file really is, by its first bytes, where its name promises something else.

Belongs here: the first bytes of formats, in words, with the advice for each. Does not: reading any of them.
"""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Final

from syndb_pipeline.readers.files import suffix
from syndb_pipeline.readers.part import cannot_read

HEAD_BYTES: Final = 4096

_SAVE_AS: Final = "Open it in a spreadsheet program and save it as .xlsx."
_DOWNLOAD: Final = "Download the table itself, or open the page in a spreadsheet program and save it as .xlsx."
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
    for signature, what, advice in SIGNATURES:
        if head.removeprefix(codecs.BOM_UTF8).lstrip()[: len(signature)].lower() == signature.lower():
            raise cannot_read(file, f"it is no {promised} but {what}", advice)
    if suffix(path) in _OWN and (b"\0" not in head or head.startswith(_BOMS)):
        raise cannot_read(file, f"it is no {promised} but text", "If its lines are rows, give it the suffix .csv or .txt.")
