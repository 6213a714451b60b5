"""Cells of a workbook that calamine shows as empty though they are not: spreadsheet errors, and
formulas whose result was never saved.

Belongs here: looking for them in the file's own bytes, in .xls through the container of old Office
files. Does not: values, headers, sheets.

Sources: ECMA-376 part 1, 18.3.1.4 (cell `c`, type `e`) and 18.3.1.40 (formula `f`); [MS-XLS] 2.4.24
(BoolErr), 2.4.127 (Formula), 2.5.133 (a formula's result), 2.5.198 (a formula's tokens); [MS-CFB].
"""

from __future__ import annotations

import posixpath
import re
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from xml.etree import ElementTree

from syndb_pipeline.readers.part import refused
from syndb_pipeline.readers.workbook.archive import EXPORT

ERROR: Final = "SYN-READ-010"
UNSAVED: Final = "SYN-READ-016"

LONG_TEXT: Final = "a text in it is far longer than the 32,767 letters that a cell may have"
MAX_CELL: Final = 8 * 32_767
"""Of one cell; a letter takes up to 8 bytes in the file."""

_CHUNK: Final = 1 << 20
_SUSPECT: Final = re.compile(
    rb"""\st\s*=\s*["']e["']|<(?:\w+:)?f\b[^>]*/>\s*</|</(?:\w+:)?f>\s*(?:</|<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</)"""
)
_MARKS: Final = (b'"e"', b"'e'", b"<f", b":f")
"""What no match of `_SUSPECT` lacks, and most sheets do: looked for first, being many times faster
to look for.
"""

_ERROR_TEXTS: Final = {
    0x00: "#NULL!",
    0x07: "#DIV/0!",
    0x0F: "#VALUE!",
    0x17: "#REF!",
    0x1D: "#NAME?",
    0x24: "#NUM!",
    0x2A: "#N/A",
    0x2B: "#GETTING_DATA",
}


_EMPTY_TEXT: Final = 3
"""Kind of a formula's result in an .xls file: a text without characters."""

_TOKEN_BYTES: Final = {
    **dict.fromkeys(range(0x03, 0x17), 1),  # operators, brackets, an argument left out
    **{0x01: 5, 0x02: 5, 0x1C: 2, 0x1D: 2, 0x1E: 3, 0x1F: 9},  # shared, table, constants
    **{0x20: 8, 0x21: 3, 0x22: 4, 0x23: 5, 0x24: 5, 0x25: 9, 0x26: 7, 0x27: 7, 0x28: 7, 0x29: 3},
    **{0x2A: 5, 0x2B: 9, 0x2C: 5, 0x2D: 9, 0x39: 7, 0x3A: 7, 0x3B: 11, 0x3C: 7, 0x3D: 11},
}
"""Size of each token of a formula, its first byte included; tokens from 0x40 on are those from 0x20
on in other classes.
"""

_TEXT, _ATTRIBUTE, _CHOOSE, _SUM = 0x17, 0x19, 0x04, 0x10
_NO_TEXT: Final = frozenset(
    {*range(0x03, 0x08), *range(0x09, 0x0F), 0x12, 0x13, 0x14, 0x1C, 0x1D, 0x1E, 0x1F}
)
"""Tokens that make a number, true or false, or an error of what comes before them."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A cell at spreadsheet row `row` (from 1) and column `column` (from 0): what it holds, and the
    rule it breaks.
    """

    row: int
    column: int
    shown: str
    code: str


def find_faults(path: Path, file: str, sheet: str) -> list[Fault]:
    """The faulty cells of `sheet` in the workbook at `path`, which calamine could open; in the
    order of the file.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            member = sheet_member(archive, sheet)
            if member is None:
                return []
            with archive.open(member) as xml:
                if not _looks_suspect(xml, file):
                    return []
            with archive.open(member) as xml:
                return list(_xml_faults(xml))
    stream = read_stream(path, ("Workbook", "Book"))
    return list(_biff_faults(stream, sheet)) if stream else []


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def sheet_member(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """The archive member that holds `sheet`, by way of the workbook's relations."""
    names = {name.lower(): name for name in archive.namelist()}
    workbook = names.get("xl/workbook.xml")
    relations = names.get("xl/_rels/workbook.xml.rels")
    if workbook is None or relations is None:
        return None
    identifier = None
    for element in ElementTree.fromstring(archive.read(workbook)).iter():
        if _local(element.tag) == "sheet" and element.get("name") == sheet:
            identifier = next(
                (value for key, value in element.attrib.items() if _local(key) == "id"), None
            )
    for element in ElementTree.fromstring(archive.read(relations)).iter():
        if _local(element.tag) == "Relationship" and element.get("Id") == identifier:
            target = element.get("Target", "")
            member = (
                target.lstrip("/")
                if target.startswith("/")
                else posixpath.normpath(posixpath.join("xl", target))
            )
            return names.get(member.lower())
    return None


def _looks_suspect(xml: IO[bytes], file: str) -> bool:
    """Whether a sheet may hold an error or an unsaved formula: a search that costs little, for
    nearly no sheet does.
    """
    tail = b""
    while chunk := xml.read(_CHUNK):
        if len(chunk) == _CHUNK and b"<" not in chunk:
            raise refused(file, LONG_TEXT, EXPORT)
        seam = tail + chunk
        if any(mark in seam for mark in _MARKS) and _SUSPECT.search(seam):
            return True
        tail = chunk[-4096:]
    return False


def _xml_faults(xml: IO[bytes]) -> Iterator[Fault]:
    row = column = 0
    for event, element in ElementTree.iterparse(xml, events=("start", "end")):
        name = _local(element.tag)
        if event == "start":
            if name == "row":
                number = element.get("r", "")
                row, column = int(number) if number.isdecimal() else row + 1, 0
            continue
        if name == "row":
            element.clear()
        if name != "c":
            continue
        reference = element.get("r")
        if reference:
            column = column_index(reference)
        parts = {_local(child.tag): child for child in element}
        value = parts["v"].text if "v" in parts else None
        if element.get("t") == "e":
            yield Fault(row, column, value or "#ERROR", ERROR)
        elif "f" in parts and not value and not (element.get("t") == "str" and "v" in parts):
            yield Fault(row, column, "=" + (parts["f"].text or ""), UNSAVED)
        column += 1


def column_index(reference: str) -> int:
    """The column (from 0) of a cell's reference: 27 of AB12."""
    index = 0
    for letter in reference.upper():
        if not "A" <= letter <= "Z":
            break
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1


def _records(stream: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at + 4 <= len(stream):
        kind, size = struct.unpack_from("<HH", stream, at)
        yield kind, stream[at + 4 : at + 4 + size]
        at += 4 + size


def _biff_faults(stream: bytes, sheet: str) -> Iterator[Fault]:
    """Faults of an .xls sheet: BOUNDSHEET says where its records start; BOOLERR and FORMULA records
    hold the errors.

    A program that works nothing out (Python's xlwt) saves an empty text as the result of every
    formula. A spreadsheet program saves that too where a formula gives it, as `=IF(A1>5,"x","")`
    may. So a formula that cannot give it was never worked out; nor were the others of a sheet in
    which no formula has a result, but for those that name the empty text where no formula of the
    first kind proves it.
    """
    start = None
    for kind, body in _records(stream, 0):
        if kind == 0x0085 and _bound_sheet_name(body) == sheet:
            (start,) = struct.unpack_from("<I", body)
        elif kind == 0x000A:  # EOF of the workbook's own records
            break
    if start is None:
        return
    depth = 0
    saved = False
    empty: list[
        tuple[Fault, bool, bool]
    ] = []  # formulas that gave an empty text: whether they can, and whether they name it
    for kind, body in _records(stream, start):
        if kind in (0x0809, 0x0409, 0x0209, 0x0009):  # BOF; a chart inside the sheet has its own
            depth += 1
        elif kind == 0x000A:
            depth -= 1
            if depth == 0:
                break
        elif depth == 1 and kind == 0x0205 and len(body) >= 8 and body[7] == 1:
            row, column = struct.unpack_from("<HH", body)
            yield Fault(row + 1, column, _ERROR_TEXTS.get(body[6], "#ERROR"), ERROR)
        elif depth == 1 and kind in (0x0006, 0x0206, 0x0406) and len(body) >= 14:
            row, column = struct.unpack_from("<HH", body)
            result = body[6] if body[12:14] == b"\xff\xff" else None
            if result == 2:
                yield Fault(row + 1, column, _ERROR_TEXTS.get(body[8], "#ERROR"), ERROR)
            if result == _EMPTY_TEXT:
                empty.append((Fault(row + 1, column, "=...", UNSAVED), *_may_be_empty(body[20:])))
            else:
                saved = True
    never = not saved and any(not may_be for _, may_be, _ in empty)
    yield from (
        fault for fault, may_be, named in empty if not may_be or never or not (saved or named)
    )


def _may_be_empty(formula: bytes) -> tuple[bool, bool]:
    """Whether a formula of an .xls file, the size of its tokens first, may give an empty text, and
    whether it names one.
    """
    if len(formula) < 2:
        return True, True
    (size,) = struct.unpack_from("<H", formula)
    tokens, at = formula[2 : 2 + size], 0
    last, named = 0, False
    while at < len(tokens):
        token = tokens[at]
        token = token if token < 0x40 else 0x20 | token & 0x1F
        if token == _TEXT and at + 2 < len(tokens):
            length, wide = tokens[at + 1], tokens[at + 2] & 1
            named = named or not length
            last = (
                token if not length else 0x1E
            )  # a text with characters is as good as a number here
            at += 3 + length * (1 + wide)
        elif token == _ATTRIBUTE and at + 3 < len(tokens):
            (data,) = struct.unpack_from("<H", tokens, at + 2)
            last = (
                0x03 if tokens[at + 1] & _SUM else last
            )  # otherwise a blank, or a jump that works nothing out
            at += 4 + (2 * (data + 1) if tokens[at + 1] & _CHOOSE else 0)
        elif token in _TOKEN_BYTES:
            last = token if token != 0x15 else last  # brackets change nothing
            at += _TOKEN_BYTES[token]
        else:
            return True, True  # nothing is known of it
    return last not in _NO_TEXT, named


def _bound_sheet_name(body: bytes) -> str:
    length, wide = body[6], body[7] & 1
    return (
        body[8 : 8 + 2 * length].decode("utf-16-le", "replace")
        if wide
        else body[8 : 8 + length].decode("latin-1")
    )


_MAGIC: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_FREE: Final = 0xFFFFFFFF
_LAST: Final = 0xFFFFFFFA
"""Sector numbers from here on are marks: end of chain, free, and the like."""


def read_stream(path: Path, names: tuple[str, ...]) -> bytes | None:
    """The first stream called one of `names` in the compound file at `path`; None when there is
    none or the file is none or broken.
    """
    data = path.read_bytes()
    if not data.startswith(_MAGIC) or len(data) < 512:
        return None
    try:
        return _Compound(data).stream(names)
    except (struct.error, IndexError):  # a table points outside the file
        return None


def is_cut(path: Path) -> bool:
    """Whether the compound file at `path` is shorter than its own table of sectors says; False when
    it is no compound file.
    """
    with path.open("rb") as source:
        if source.read(len(_MAGIC)) != _MAGIC:
            return False
    data = path.read_bytes()
    try:
        compound = _Compound(data)
    except (struct.error, IndexError):
        return True
    used = max(
        (number for number, following in enumerate(compound.next) if following != _FREE), default=-1
    )
    return bool(len(data) < (used + 1) * compound.sector + 512)


class _Compound:
    def __init__(self, data: bytes) -> None:
        self.data = data
        sector_shift, mini_shift = struct.unpack_from("<HH", data, 30)
        self.sector, self.mini = 1 << sector_shift, 1 << mini_shift
        (self.directory,) = struct.unpack_from("<I", data, 48)
        self.mini_cutoff, mini_table, _, difat, difat_count = struct.unpack_from("<IIIII", data, 56)
        tables = list(struct.unpack_from("<109I", data, 76))
        per_sector = self.sector // 4
        for _ in range(difat_count):
            if difat >= _LAST:
                break
            entries = struct.unpack_from(f"<{per_sector}I", self._at(difat))
            tables += entries[:-1]
            difat = entries[-1]
        self.next: list[int] = []
        for number in tables:
            if number < _LAST:
                self.next += struct.unpack_from(f"<{per_sector}I", self._at(number))
        mini_bytes = self._chain(mini_table)
        self.mini_next = list(struct.unpack(f"<{len(mini_bytes) // 4}I", mini_bytes))

    def _at(self, number: int) -> bytes:
        start = (number + 1) * self.sector
        return self.data[start : start + self.sector]

    def _chain(self, number: int) -> bytes:
        pieces: list[bytes] = []
        while number < _LAST and len(pieces) <= len(self.next):
            pieces.append(self._at(number))
            number = self.next[number]
        return b"".join(pieces)

    def stream(self, names: tuple[str, ...]) -> bytes | None:
        directory = self._chain(self.directory)
        root_start = struct.unpack_from("<I", directory, 116)[0]
        for at in range(0, len(directory) - 127, 128):
            (name_bytes,) = struct.unpack_from("<H", directory, at + 64)
            name = directory[at : at + max(name_bytes - 2, 0)].decode("utf-16-le", "replace")
            if name in names and directory[at + 66] == 2:
                start, size = struct.unpack_from("<II", directory, at + 116)
                if size >= self.mini_cutoff:
                    return self._chain(start)[:size]
                return self._mini_chain(start, self._chain(root_start))[:size]
        return None

    def _mini_chain(self, number: int, container: bytes) -> bytes:
        pieces: list[bytes] = []
        while number < _LAST and len(pieces) <= len(self.mini_next):
            pieces.append(container[number * self.mini : (number + 1) * self.mini])
            number = self.mini_next[number]
        return b"".join(pieces)
