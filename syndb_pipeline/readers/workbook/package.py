"""The file of a workbook: whether its archive can be believed, and what calamine does not show of
it: spreadsheet errors, formulas whose result was never saved, totals rows of its tables.

Belongs here: the zip archive of an .xlsx, the container and records of an .xls. Does not: what
unpacking takes, which the fence limits; values, headers, sheets (`workbooks.py`).

Sources: PKWARE's APPNOTE, 4.3 and 4.4; ECMA-376 part 1, 18.3.1.4 (cell `c`, type `e`), 18.3.1.40
(formula `f`), 18.3.1.95 (tablePart) and 18.5.1.2 (table: `ref` with the totals rows in it,
`totalsRowCount`); [MS-XLS] 2.4.24 (BoolErr), 2.4.127 (Formula), 2.5.133 (a formula's result) and
2.5.198 (a formula's tokens); [MS-CFB].
"""

from __future__ import annotations

import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Final
from xml.etree import ElementTree

from syndb_pipeline.readers.part import BOMB_BYTES, BOMB_RATIO, UNPACK, refused
from syndb_pipeline.readers.workbook.cells import TotalsRows, column_index

ERROR: Final = "SYN-READ-010"
UNSAVED: Final = "SYN-READ-016"

AGAIN: Final = (
    "Open it in a spreadsheet program and save it again as .xlsx, or export the sheet as .csv."
)
EXPORT: Final = (
    "Export the sheet as .csv, or write the table as .parquet; their size does not matter."
)
LONG_TEXT: Final = "a text in it is far longer than the 32,767 letters that a cell may have"

DAMAGE: Final = (
    *(zipfile.BadZipFile, zlib.error, ElementTree.ParseError, NotImplementedError),
    *(EOFError, struct.error),
)
"""What reading a damaged archive raises."""

# -- the archive

MAX_MEMBERS: Final = 10_000
"""Files in a workbook's archive. A workbook has some ten, and one for each sheet, chart and
picture.
"""

_LOCAL_BYTES: Final = 30
_LEADS_OUT: Final = re.compile(r"[/\\]|[A-Za-z]:|(?:.*[/\\])?\.\.(?:[/\\]|\Z)|.*\0", re.DOTALL)


def check_archive(path: Path, file: str) -> int:
    """The bytes of all parts of the archive at `path`, called `file` in findings. Raises
    `Unreadable` where it is not to be opened.

    Readers of zip differ in what they believe when directory and headers disagree, so nothing that
    disagrees is read.
    """
    with path.open("rb") as source:
        source.seek(-min(98, source.seek(0, 2)), 2)
        end = source.read()
    try:
        with zipfile.ZipFile(path) as archive:
            wrong = next(_wrong(archive, end), None)
            if wrong is None:
                return sum(member.file_size for member in archive.infolist())
    except (*DAMAGE, RuntimeError, ValueError):
        wrong = "its zip directory is damaged, or is not that of its files", AGAIN
    raise refused(file, *wrong)


def _wrong(archive: zipfile.ZipFile, end: bytes) -> Iterator[tuple[str, str]]:
    """Why the archive, which ends with `end`, is not to be opened, and what to do."""
    if end[-22:-18] != b"PK\5\6":
        yield "something follows the end of its zip directory", AGAIN
    members = sorted(archive.infolist(), key=lambda member: member.header_offset)
    if len(members) > MAX_MEMBERS:
        many = f"it is a zip archive of {len(members):,} files"
        yield f"{many}, and a workbook has at most {MAX_MEMBERS:,}", EXPORT
    counts = {*struct.unpack_from("<H", end, len(end) - 12)} - {0xFFFF}
    if end[:4] + end[56:60] == b"PK\6\6PK\6\7":  # an extended end, before the plain one
        counts |= {*struct.unpack_from("<Q", end, 32)}
    if counts - {len(members)}:
        yield "its zip directory contradicts itself", AGAIN
    if len({member.orig_filename.lower() for member in members}) < len(members):
        yield "its zip directory has a name twice", AGAIN
    starts = [*(member.header_offset for member in members), archive.start_dir]
    for member, (start, following) in zip(members, pairwise(starts), strict=True):
        name = member.orig_filename
        if _LEADS_OUT.match(name):
            yield f"the name {name[:100]!r} in its zip directory leads out of the archive", AGAIN
        if following - start < _LOCAL_BYTES + len(name) + member.compress_size:
            yield f"{name[:100]!r} and what follows it in the archive overlap", AGAIN
        if member.file_size > BOMB_BYTES and member.file_size > BOMB_RATIO * member.compress_size:
            sizes = f"{member.compress_size:,} bytes of it unpack to {member.file_size:,}"
            yield f"{sizes}, as no table does", UNPACK
        # Opening it compares the header there with the directory.
        with archive.open(member) as part:
            start_of = part.read(4096) if name.endswith((".xml", ".rels")) else b""
        if b"<!DOCTYPE" in start_of or b"<!ENTITY" in start_of:
            yield f"{name!r} in it declares a document type, as no workbook does", AGAIN


def is_whole(path: Path) -> bool:
    """Whether every part of the archive at `path` has the checksum that it should have."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (*DAMAGE, RuntimeError):
        return False


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _related(archive: zipfile.ZipFile, part: str) -> dict[str | None, tuple[str, str | None]]:
    """What `part` of the archive leads to: kind and name of another part by its identifier."""
    folder, name = posixpath.split(part)
    names = {each.lower(): each for each in archive.namelist()}
    relations = names.get(f"{folder}/_rels/{name}.rels".lower())
    if relations is None:
        return {}
    found = {}
    for element in ElementTree.fromstring(archive.read(relations)):
        target = posixpath.normpath(posixpath.join(f"/{folder}", element.get("Target", "")))
        found[element.get("Id")] = element.get("Type", ""), names.get(target[1:].lower())
    return found


def _sheet_part(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """The part that holds `sheet`."""
    names = {each.lower(): each for each in archive.namelist()}
    book = names.get("xl/workbook.xml")
    if book is None:
        return None
    related = _related(archive, book)
    for element in ElementTree.fromstring(archive.read(book)).iter():
        if _name(element) == "sheet" and element.get("name") == sheet:
            numbers = (value for key, value in element.attrib.items() if key.endswith("}id"))
            return related.get(next(numbers, None), ("", None))[1]
    return None


# -- cells that calamine shows as empty


@dataclass(frozen=True, slots=True)
class Fault:
    """A cell at spreadsheet row `row` (from 1) and column `column` (from 0): what it holds, and the
    rule it breaks.
    """

    row: int
    column: int
    shown: str
    code: str


_CHUNK: Final = 1 << 20
_SUSPECT: Final = re.compile(
    rb"""\st\s*=\s*["']e["']|<(?:\w+:)?f\b[^>]*/>\s*</|</(?:\w+:)?f>\s*(?:</|<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</)"""
)
_MARKS: Final = (b'"e"', b"'e'", b"<f", b":f")
"""What no match of `_SUSPECT` lacks, and most sheets do: looked for first, being many times faster
to look for.
"""


def find_faults(path: Path, file: str, sheet: str) -> list[Fault]:
    """The faulty cells of `sheet` in the workbook at `path`, which calamine could open; in the
    order of the file.
    """
    if not zipfile.is_zipfile(path):
        return list(_biff_faults(path.read_bytes(), sheet))
    with zipfile.ZipFile(path) as archive:
        part = _sheet_part(archive, sheet)
        if part is None:
            return []
        with archive.open(part) as xml:
            if not _looks_suspect(xml, file):
                return []
        with archive.open(part) as xml:
            return list(_xml_faults(xml))


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
        name = _name(element)
        if name == "row" and event == "start":
            number = element.get("r", "")
            row, column = int(number) if number.isdecimal() else row + 1, 0
        elif name == "row":
            element.clear()
        elif name == "c" and event == "end":
            column = column_index(element.get("r") or "") if element.get("r") else column
            parts = {_name(child): child.text or "" for child in element}
            if element.get("t") == "e":
                yield Fault(row, column, parts.get("v") or "#ERROR", ERROR)
            elif (
                "f" in parts
                and not parts.get("v")
                and not (element.get("t") == "str" and "v" in parts)
            ):
                yield Fault(row, column, "=" + parts["f"], UNSAVED)
            column += 1


def totals_rows(path: Path, sheet: str) -> list[TotalsRows]:
    """The totals rows of the tables of `sheet` in the workbook at `path`; none in an .xls, which
    has no such tables.
    """
    if not zipfile.is_zipfile(path):
        return []
    found = []
    with zipfile.ZipFile(path) as archive:
        part = _sheet_part(archive, sheet)
        for kind, member in _related(archive, part).values() if part else ():
            if member and kind.endswith("/table"):
                table = ElementTree.fromstring(archive.read(member))
                count = table.get("totalsRowCount", "0")
                place = re.fullmatch(r"([A-Z]+)\d+:([A-Z]+)(\d+)", table.get("ref", ""))
                if place and count.isdecimal() and int(count):
                    first = int(place[3]) - int(count) + 1
                    ends = column_index(place[1]), column_index(place[2])
                    found.append(TotalsRows(first, int(place[3]), *ends))
    return found


# -- .xls

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

_ENDS, _SHEET, _BOOLERR = 0x000A, 0x0085, 0x0205
_LEAST_BYTES: Final = {_BOOLERR: 8, 0x0006: 14, 0x0206: 14, 0x0406: 14}
"""Of a BOOLERR record, and of a formula's."""

_BEGINS: Final = (0x0809, 0x0409, 0x0209, 0x0009)
_OF_ERROR, _OF_EMPTY_TEXT = 2, 3
"""Kinds of a formula's result."""

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


def _records(stream: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at + 4 <= len(stream):
        kind, size = struct.unpack_from("<HH", stream, at)
        yield kind, stream[at + 4 : at + 4 + size]
        at += 4 + size


def _biff_faults(content: bytes, sheet: str) -> Iterator[Fault]:
    """Faults of an .xls sheet: BOUNDSHEET says where its records start; BOOLERR and FORMULA records
    hold the errors.

    A program that works nothing out (Python's xlwt) saves an empty text as the result of every
    formula. A spreadsheet program saves that too where a formula gives it, as `=IF(A1>5,"x","")`
    may. So a formula that cannot give it was never worked out; nor were the others of a sheet in
    which no formula has a result, but for those that name the empty text where no formula of the
    first kind proves it.
    """
    stream = _Compound.stream_of(content)
    start = len(stream)
    for kind, body in _records(stream, 0):
        if kind == _SHEET and _title(body) == sheet:
            (start,) = struct.unpack_from("<I", body)
        elif kind == _ENDS:  # the workbook's own records
            break
    depth = 0
    saved = False
    empty: list[
        tuple[Fault, bool, bool]
    ] = []  # whether it can be, and whether the formula names it
    for kind, body in _records(stream, start):
        depth += (kind in _BEGINS) - (kind == _ENDS)  # a chart inside the sheet has its own
        if depth == 0:
            break
        if depth > 1 or len(body) < _LEAST_BYTES.get(kind, len(body) + 1):
            continue
        row, column = struct.unpack_from("<HH", body)
        result = body[6] if body[12:14] == b"\xff\xff" else None
        if result == _OF_ERROR or (kind == _BOOLERR and body[7] == 1):
            number = body[6] if kind == _BOOLERR else body[8]
            yield Fault(row + 1, column, _ERROR_TEXTS.get(number, "#ERROR"), ERROR)
        elif result == _OF_EMPTY_TEXT:
            empty.append((Fault(row + 1, column, "=...", UNSAVED), *_may_be_empty(body[20:])))
        else:
            saved = saved or kind != _BOOLERR
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


def _title(body: bytes) -> str:
    length, wide = body[6], body[7] & 1
    if wide:
        return body[8 : 8 + 2 * length].decode("utf-16-le", "replace")
    return body[8 : 8 + length].decode("latin-1")


_MAGIC: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_FREE: Final = 0xFFFFFFFF
_LAST: Final = 0xFFFFFFFA
"""Sector numbers from here on are marks: end of chain, free, and the like."""


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
    used = max((at for at, following in enumerate(compound.next) if following != _FREE), default=-1)
    return len(data) < (used + 1) * int(compound.size) + 512


class _Compound:
    """A file of streams in sectors, each of which says which one follows it."""

    def __init__(self, data: bytes) -> None:
        sector, mini = struct.unpack_from("<HH", data, 30)
        self.data, self.size, self.mini_size = data[1 << sector :], 1 << sector, 1 << mini
        (self.directory,) = struct.unpack_from("<I", data, 48)
        self.cutoff, mini_table, _, further, count = struct.unpack_from("<IIIII", data, 56)
        tables = list(struct.unpack_from("<109I", data, 76))
        for _ in range(count):
            if further >= _LAST:
                break
            *more, further = self._numbers(further)
            tables += more
        self.next = [each for table in tables if table < _LAST for each in self._numbers(table)]
        content = self._chain(mini_table)
        self.mini_next = list(struct.unpack(f"<{len(content) // 4}I", content))

    def _numbers(self, sector: int) -> tuple[int, ...]:
        return struct.unpack_from(f"<{self.size // 4}I", self.data, sector * self.size)

    def _chain(self, number: int, mini: bytes | None = None) -> bytes:
        """The content of the sectors from `number` on, or of the small ones in `mini`."""
        data, size, following = self.data, self.size, self.next
        if mini is not None:
            data, size, following = mini, self.mini_size, self.mini_next
        pieces: list[bytes] = []
        while number < _LAST and len(pieces) <= len(following):
            pieces.append(data[number * size : (number + 1) * size])
            number = following[number]
        return b"".join(pieces)

    @classmethod
    def stream_of(cls, data: bytes) -> bytes:
        """The records of the workbook in `data`; none when it is no compound file, or broken."""
        if not data.startswith(_MAGIC):
            return b""
        try:
            compound = cls(data)
            directory = compound._chain(compound.directory)
            for at in range(0, len(directory) - 127, 128):
                (size,) = struct.unpack_from("<H", directory, at + 64)
                name = directory[at : at + max(size - 2, 0)].decode("utf-16-le", "replace")
                if name in ("Workbook", "Book") and directory[at + 66] == 2:
                    start, size = struct.unpack_from("<II", directory, at + 116)
                    small = size < compound.cutoff
                    (root,) = struct.unpack_from("<I", directory, 116)
                    return compound._chain(start, compound._chain(root) if small else None)[:size]
        except (struct.error, IndexError):  # a table points outside the file
            pass
        return b""
