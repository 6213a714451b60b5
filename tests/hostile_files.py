"""Files that would harm whoever reads them, made small on disk: what the tests of refusing them
share.

Belongs here: making each file, and the code it must be refused with. Does not: running anything.

Bombs are written as what they claim to be, with their bytes repeated by the compressor or left out
by the file system.
"""

from __future__ import annotations

import gzip
import io
import os
import random
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"

UNREAD, STRANGE, FORBIDDEN, BROKEN = "SYN-READ-019", "SYN-READ-020", "SYN-READ-021", "SYN-READ-014"


@dataclass(frozen=True)
class Hostile:
    """A file called `file`, written into a folder by `make`; any of `codes` is a right refusal.
    `options` stand in the config beside it.
    """

    name: str
    file: str
    make: Callable[[Path], None]
    codes: tuple[str, ...] = (UNREAD,)
    options: dict[str, Any] = field(default_factory=dict)


def repeated(piece: bytes, size: int, before: bytes = b"", after: bytes = b"") -> Iterator[bytes]:
    """`size` bytes and more of `piece`, a megabyte at a time."""
    yield before
    block = piece * max(1, (1 << 20) // len(piece))
    for _ in range(size // len(block) + 1):
        yield block
    yield after


def deflated(pieces: Iterator[bytes], level: int = 1) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return b"".join([*(packer.compress(piece) for piece in pieces), packer.flush()])


# -- zip, byte by byte, so that it may lie


@dataclass
class Member:
    name: str
    data: bytes = b""  # as it lies in the archive
    size: int = 0
    crc: int = 0
    method: int = 8
    local_name: str | None = None
    local_size: int | None = None

    @classmethod
    def of(cls, name: str, content: str | bytes) -> Member:
        raw = content.encode() if isinstance(content, str) else content
        return cls(name, deflated(iter([raw])), len(raw), zlib.crc32(raw))


def archive(
    path: Path, members: list[Member], *, after: bytes = b"", overlap: bool = False
) -> None:
    body, directory = io.BytesIO(), io.BytesIO()
    first = None
    for member in members:
        at = body.tell()
        if overlap and first is not None and member.name.startswith("xl/worksheets/"):
            at = first
        else:
            name = (member.local_name or member.name).encode()
            size = member.size if member.local_size is None else member.local_size
            head = struct.pack(
                "<4s5H3L2H",
                b"PK\3\4",
                20,
                0,
                member.method,
                0,
                33,
                member.crc,
                len(member.data),
                size,
                len(name),
                0,
            )
            body.write(head + name + member.data)
            if member.name.startswith("xl/worksheets/"):
                first = at
        name = member.name.encode()
        fields = (
            20,
            20,
            0,
            member.method,
            0,
            33,
            member.crc,
            len(member.data),
            member.size,
            len(name),
            0,
            0,
            0,
            0,
            0,
            at,
        )
        directory.write(struct.pack("<4s6H3L5H2L", b"PK\1\2", *fields) + name)
    start, length = body.tell(), directory.tell()
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(members), len(members), length, start, 0)
    path.write_bytes(body.getvalue() + directory.getvalue() + end + after)


def workbook_parts(
    sheets: list[str], *, shared: bool = False, book: str | None = None
) -> list[Member]:
    """Everything of a workbook but its sheets, which lie in xl/worksheets/sheet1.xml and so on."""
    listed = "".join(
        f'<sheet name="{name}" sheetId="{i}" r:id="rId{i}"/>'
        for i, name in enumerate(sheets, start=1)
    )
    to = "".join(
        f'<Relationship Id="rId{i}" Type="{OFFICE}/worksheet" Target="worksheets/sheet{i}.xml"/>'
        for i in range(1, len(sheets) + 1)
    )
    if shared:
        to += f'<Relationship Id="rIdS" Type="{OFFICE}/sharedStrings" Target="sharedStrings.xml"/>'
    root = f'<Relationship Id="rId1" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
    return [
        Member.of(
            "[Content_Types].xml",
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        ),
        Member.of("_rels/.rels", f'<Relationships xmlns="{PACKAGE}">{root}</Relationships>'),
        Member.of(
            "xl/workbook.xml",
            book
            or f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{listed}</sheets></workbook>',
        ),
        Member.of(
            "xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{PACKAGE}">{to}</Relationships>'
        ),
    ]


SHEET_START = f'<worksheet xmlns="{MAIN}"><sheetData>'.encode()
SHEET_END = b"</sheetData></worksheet>"
HEADER_ROW = b'<row r="1"><c r="A1" t="inlineStr"><is><t>cid</t></is></c></row>'


def sheet(path: Path, rows: bytes | str, **options: Any) -> None:
    raw = rows.encode() if isinstance(rows, str) else rows
    archive(
        path,
        [
            *workbook_parts(["S"]),
            Member.of("xl/worksheets/sheet1.xml", SHEET_START + HEADER_ROW + raw + SHEET_END),
        ],
        **options,
    )


GIGABYTES = 2_500_000_000


def quickly_repeated(
    name: str, piece: bytes, size: int, before: bytes, after: bytes, *, told: int | None = None
) -> Member:
    """A member that unpacks to `size` bytes of `piece`; `told` is what the directory says instead.

    A megabyte is compressed once and repeated, for a flushed block may stand anywhere.
    """
    block = piece * ((1 << 20) // len(piece))
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = packer.compress(before) + packer.flush(zlib.Z_FULL_FLUSH)
    body = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    times = size // len(block)
    total = len(before) + times * len(block) + len(after)
    return Member(
        name,
        head + body * times + packer.compress(after) + packer.flush(),
        total if told is None else told,
        1,
    )


def sheet_bomb(path: Path, *, told: int | None = None, size: int = GIGABYTES) -> None:
    rows = b'<row><c t="n"><v>1</v></c></row>'
    member = quickly_repeated(
        "xl/worksheets/sheet1.xml", rows, size, SHEET_START + HEADER_ROW, SHEET_END, told=told
    )
    archive(path, [*workbook_parts(["S"]), member])


def strings_bomb(path: Path) -> None:
    start = f'<sst xmlns="{MAIN}">'.encode()
    strings = quickly_repeated(
        "xl/sharedStrings.xml", b"<si><t>a</t></si>", GIGABYTES, start, b"</sst>"
    )
    sheets = Member.of("xl/worksheets/sheet1.xml", SHEET_START + HEADER_ROW + SHEET_END)
    archive(path, [*workbook_parts(["S"], shared=True), strings, sheets])


def repeated_text(path: Path) -> None:
    """One text of 32,767 letters that 100,000 cells share: 3 GB for whoever copies it into each."""
    text = "a" * 32_767
    strings = Member.of("xl/sharedStrings.xml", f'<sst xmlns="{MAIN}"><si><t>{text}</t></si></sst>')
    rows = "".join(f'<row r="{n}"><c r="A{n}" t="s"><v>0</v></c></row>' for n in range(2, 100_002))
    sheets = Member.of(
        "xl/worksheets/sheet1.xml", SHEET_START + HEADER_ROW + rows.encode() + SHEET_END
    )
    archive(path, [*workbook_parts(["S"], shared=True), strings, sheets])


def laughs(path: Path) -> None:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    book = (
        f'<?xml version="1.0"?><!DOCTYPE w [<!ENTITY l0 "lol">{entities}]><workbook'
        f' xmlns="{MAIN}">&l9;</workbook>'
    )
    archive(
        path,
        [
            *workbook_parts(["S"], book=book),
            Member.of("xl/worksheets/sheet1.xml", SHEET_START + SHEET_END),
        ],
    )


def entities_in_sheet(path: Path) -> None:
    rows = (
        f'<!DOCTYPE w [<!ENTITY a "{"x" * 1000}">]><worksheet'
        f' xmlns="{MAIN}"><sheetData/></worksheet>'
    )
    archive(path, [*workbook_parts(["S"]), Member.of("xl/worksheets/sheet1.xml", rows)])


def deep_sheet(path: Path) -> None:
    member = quickly_repeated("xl/worksheets/sheet1.xml", b"<a>", 1_500_000_000, SHEET_START, b"")
    archive(path, [*workbook_parts(["S"]), member])


def many_sheets(path: Path) -> None:
    names = [f"S{n}" for n in range(60_000)]
    archive(
        path,
        [
            *workbook_parts(names),
            *(Member.of(f"xl/worksheets/sheet{n}.xml", "<a/>") for n in range(1, 1000)),
        ],
    )


def many_members(path: Path) -> None:
    archive(path, [Member(f"xl/{number}.xml", method=0) for number in range(60_000)])


def nested_zip(path: Path) -> None:
    inner = path.with_name("inner.zip")
    sheet_bomb(inner, size=200_000_000)
    archive(path, [Member.of("inner.xlsx", inner.read_bytes())])
    inner.unlink()


def letters(index: int) -> str:
    name = ""
    while index:
        index, rest = divmod(index - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def wide_sheet(path: Path, columns: int = 16_384) -> None:
    cells = "".join(f'<c r="{letters(n)}2"><v>1</v></c>' for n in range(1, columns + 1))
    sheet(path, f'<row r="2">{cells}</row>')


def huge_sheet_cell(path: Path) -> None:
    """Letters that hardly compress, so that only their number gives them away."""
    block = random.Random(1).randbytes(500_000).hex().encode()
    before, after = (
        SHEET_START + HEADER_ROW + b'<row r="2"><c r="A2" t="inlineStr"><is><t>',
        b"</t></is></c></row>" + SHEET_END,
    )
    raw = before + block * 100 + after
    archive(
        path,
        [
            *workbook_parts(["S"]),
            Member("xl/worksheets/sheet1.xml", raw, len(raw), zlib.crc32(raw), 0),
        ],
    )


def with_member(*extra: Member) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        sheets = Member.of("xl/worksheets/sheet1.xml", SHEET_START + HEADER_ROW + SHEET_END)
        archive(path, [*workbook_parts(["S"]), sheets, *extra])

    return make


def overlapping(path: Path) -> None:
    same = Member.of("xl/worksheets/sheet1.xml", SHEET_START + HEADER_ROW + SHEET_END)
    again = Member(**(vars(same) | {"name": "xl/worksheets/sheet2.xml"}))
    archive(path, [*workbook_parts(["S", "T"]), same, again], overlap=True)


def other_header(path: Path) -> None:
    lying = Member.of("xl/worksheets/sheet1.xml", SHEET_START + HEADER_ROW + SHEET_END)
    lying.local_name = "xl/worksheets/sheetX.xml"
    archive(path, [*workbook_parts(["S"]), lying])


# -- compound files


def compound(path: Path, *, circle: str) -> None:
    """An .xls of a few sectors whose chain named `circle` leads back into itself."""
    sector = 512
    table = [0xFFFFFFFF] * 128
    table[0] = 0xFFFFFFFD  # this table
    table[1] = 0xFFFFFFFE  # directory
    for number in range(2, 20):
        table[number] = number + 1
    table[20] = 0xFFFFFFFE
    if circle == "stream":
        table[20] = 2
    if circle == "directory":
        table[1] = 1
    directory = b""
    for name, kind, start, size in (
        ("Root Entry", 5, 0xFFFFFFFE, 0),
        ("Workbook", 2, 2, 0x7FFFFFFF if circle == "stream" else 9_000),
    ):
        encoded = name.encode("utf-16-le")
        entry = (
            encoded.ljust(64, b"\0")
            + struct.pack("<HBB", len(encoded) + 2, kind, 1)
            + struct.pack("<III", *[0xFFFFFFFF] * 3)
        )
        directory += entry.ljust(116, b"\0") + struct.pack("<IQ", start, size)
    first_difat, difats = (21, 1) if circle == "difat" else (0xFFFFFFFE, 0)
    header = (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
        + bytes(16)
        + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6)
        + bytes(6)
    )
    header += struct.pack(
        "<IIIIIIIII", 0, 1, 1, 0, 4096, 0xFFFFFFFE, 0, first_difat, difats
    ) + struct.pack("<109I", 0, *[0xFFFFFFFF] * 108)
    stream = struct.pack("<HHHHHHII", 0x0809, 16, 0x0600, 5, 0, 0, 0, 0)
    body = (
        struct.pack("<128I", *table)
        + directory.ljust(sector, b"\0")
        + stream.ljust(19 * sector, b"\0")
    )
    body += struct.pack("<128I", *[0xFFFFFFFF] * 127, 21)
    path.write_bytes(header + body)


def spread_xls(path: Path) -> None:
    """An .xls whose two cells lie at the first and the last place of the format, and beyond it: 140
    GB as a full sheet.
    """

    def record(kind: int, body: bytes) -> bytes:
        return struct.pack("<HH", kind, len(body)) + body

    start = record(0x0809, struct.pack("<HHHHII", 0x0600, 5, 0, 0, 0, 0))
    name = record(0x0085, struct.pack("<IBBBB", 0, 0, 0, 1, 0) + b"S")
    ends = record(0x000A, b"")
    at = len(start) + len(name) + len(ends)
    name = record(0x0085, struct.pack("<IBBBB", at, 0, 0, 1, 0) + b"S")
    cells = b"".join(
        record(0x0203, struct.pack("<HHHd", row, column, 0, 1.0))
        for row, column in ((0, 0), (65_535, 65_535))
    )
    stream = (
        start
        + name
        + ends
        + record(0x0809, struct.pack("<HHHHII", 0x0600, 16, 0, 0, 0, 0))
        + cells
        + ends
    ).ljust(4608, b"\0")
    compound(path, circle="")
    whole = bytearray(path.read_bytes())
    whole[512 * 3 : 512 * 3 + len(stream)] = stream
    path.write_bytes(bytes(whole))


# -- text


def sparse(path: Path, size: int = 2_000_000_000) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def long_line(path: Path, size: int = 2_000_000_000) -> None:
    """Letters without a line end, the first 8 MB of them written and the rest left out."""
    with path.open("wb") as file:
        file.write(b"cid,cable_length,neuron_type," + b"abcdefg," * 1_000_000)
        file.truncate(size)


def pressed_line(path: Path, size: int = 2_000_000_000) -> None:
    block = b"abcdefgh" * 131_072
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    body = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(head + body * (size // len(block)) + packer.flush())


def gzip_bomb(path: Path, size: int = 1_500_000_000) -> None:
    block = b"n1,1\n" * 200_000
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(b"cid,cable_length\n") + packer.flush(zlib.Z_FULL_FLUSH)
    body = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(head + body * (size // len(block)) + packer.flush())


def gzip_members(path: Path) -> None:
    one = gzip.compress(b"n1,1\n" * 2_000_000, 9, mtime=0)
    path.write_bytes(gzip.compress(b"cid,cable_length\n", mtime=0) + one * 100)


def gzip_nothing(path: Path) -> None:
    path.write_bytes(gzip.compress(b"cid\n", mtime=0) + gzip.compress(b"", mtime=0) * 500_000)


def gzip_of_gzip(path: Path) -> None:
    inner = path.with_name("inner.csv.gz")
    gzip_bomb(inner)
    path.write_bytes(gzip.compress(inner.read_bytes(), mtime=0))
    inner.unlink()


def gzip_name(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"\x1f\x8b\x08\x08" + bytes(6))
        file.write(b"a" * 30_000_000)


def write(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def many_columns(path: Path, count: int, ends: bytes = b"\nn1\n") -> None:
    path.write_bytes(b"cid" + b",c" * count + ends)


def large_cell(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"cid,neuron_type\n" + b"n1,a\n" * 1000 + b'n2,"')
        file.writelines(repeated(b"abcdefgh", 100_000_000))
        file.write(b'"\nn3,a\n')


def stray_quotes(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"cid,neuron_type\n")
        for number in range(20):
            file.write(b'n%d,"a\n' % number + b'x,b""b%s\n' % (b"b" * 1_500) * 1_300)


# -- Parquet


def rle_rows(path: Path, groups: int = 200) -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int8()), pa.array(["a"]))
    table = pa.table({"cid": column})
    with pq.ParquetWriter(path, table.schema) as writer:
        for _ in range(groups):
            writer.write_table(table, row_group_size=1_000_000)


def giant_page(path: Path, size: int = 150_000_000) -> None:
    offsets = pa.py_buffer(struct.pack("<qq", 0, size))
    text = pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, pa.py_buffer(b"a" * size)])
    pq.write_table(pa.table({"cid": text}), path, compression="zstd", write_statistics=False)


def small_parquet(path: Path) -> bytes:
    pq.write_table(
        pa.table({"cid": [f"n{n}" for n in range(1000)]}),
        path,
        compression="none",
        write_statistics=False,
    )
    return path.read_bytes()


def lying_page(path: Path) -> None:
    """The first page says that it unpacks to 2 GB."""
    raw = small_parquet(path)
    assert raw[4:7] == b"\x15\x04\x15"  # a dictionary page, then its size
    after = next(at for at in range(7, 12) if raw[at] < 0x80) + 1
    told = b"\xfe\xff\xff\xff\x0f"
    path.write_bytes(
        raw[:7] + told + raw[after + 5 - len(told) :]
        if after == 12
        else raw[:7] + told + raw[after:]
    )


def far_footer(path: Path) -> None:
    raw = small_parquet(path)
    path.write_bytes(raw[:-8] + struct.pack("<I", 0x7FFFFFFF) + b"PAR1")


def large_footer(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"PAR1")
        file.seek(1_900_000_004)
        file.write(struct.pack("<I", 1_900_000_000) + b"PAR1")


def schema_footer(path: Path, elements: int) -> None:
    """A schema of `elements` columns, each of a few bytes, and no row."""
    one = b"\x15\x02\x25\x00\x18\x01c\x00"
    schema = (
        b"\x15\x02\x19\xfc"
        + varint(elements + 1)
        + b"\x48\x01r\x15"
        + varint(2 * elements)
        + b"\x00"
        + one * elements
    )
    footer = schema + b"\x16\x00\x19\x0c\x00"
    path.write_bytes(b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1")


def nested_footer(path: Path, depth: int = 4_000) -> None:
    one = b"\x35\x02\x18\x01g\x15\x02\x00"  # optional group of one
    leaf = b"\x15\x02\x25\x02\x18\x01c\x00"
    schema = b"\x15\x02\x19\xfc" + varint(depth + 2) + b"\x48\x01r\x15\x02\x00" + one * depth + leaf
    footer = schema + b"\x16\x00\x19\x0c\x00"
    path.write_bytes(b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1")


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


# -- what is no file


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's path may have some 100 characters only
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


CASES = (
    Hostile("sheet of 2.5 GB", "a.xlsx", sheet_bomb),
    Hostile(
        "sheet of 2.5 GB, told as 1 MB", "a.xlsx", lambda path: sheet_bomb(path, told=1_000_000)
    ),
    Hostile(
        "sheet of 90 MB, told as 1 kB",
        "a.xlsx",
        lambda path: sheet_bomb(path, told=1_000, size=90_000_000),
    ),
    Hostile("shared texts of 2.5 GB", "a.xlsx", strings_bomb),
    Hostile("one text in 100,000 cells, 3 GB", "a.xlsx", repeated_text),
    Hostile(
        "two cells, 16,384 columns apart and 1,048,576 rows",
        "a.xlsx",
        lambda path: sheet(path, '<row r="2"><c r="XFD1048576"><v>1</v></c></row>'),
    ),
    Hostile(
        "the same with 100 columns, spelt oddly",
        "a.xlsx",
        lambda path: sheet(path, "<row><c t='n' r = 'cv1048576'><v>1</v></c></row>"),
    ),
    Hostile(
        "row 4,000,000,000",
        "a.xlsx",
        lambda path: sheet(path, '<row r="4000000000"><c r="A4000000000"><v>1</v></c></row>'),
    ),
    Hostile("sheet of 16,384 columns", "a.xlsx", wide_sheet),
    Hostile("billion laughs in the workbook", "a.xlsx", laughs),
    Hostile("entities in the sheet", "a.xlsx", entities_in_sheet),
    Hostile("500 million elements in each other", "a.xlsx", deep_sheet),
    Hostile("60,000 sheets", "a.xlsx", many_sheets),
    Hostile("60,000 files in the zip", "a.xlsx", many_members),
    Hostile("workbook in a zip in a workbook", "a.xlsx", nested_zip, (UNREAD, BROKEN)),
    Hostile("cell of 100 MB in a workbook", "a.xlsx", huge_sheet_cell),
    Hostile("zip with a name twice", "a.xlsx", with_member(Member.of("xl/workbook.xml", "<a/>"))),
    Hostile("zip with a name ..", "a.xlsx", with_member(Member.of("../../evil.xml", "<a/>"))),
    Hostile("zip with an absolute name", "a.xlsx", with_member(Member.of("/etc/evil.xml", "<a/>"))),
    Hostile("zip members over each other", "a.xlsx", overlapping),
    Hostile("zip directory unlike its headers", "a.xlsx", other_header),
    Hostile("zip with something behind", "a.xlsx", lambda path: sheet(path, b"", after=b"x" * 30)),
    Hostile(".xls, stream in a circle", "a.xls", lambda path: compound(path, circle="stream")),
    Hostile(
        ".xls, directory in a circle", "a.xls", lambda path: compound(path, circle="directory")
    ),
    Hostile(
        ".xls, list of sectors in a circle", "a.xls", lambda path: compound(path, circle="difat")
    ),
    Hostile(".xls, two cells as far apart as can be", "a.xls", spread_xls),
    Hostile("2 GB of zero bytes", "a.csv", sparse, (BROKEN,)),
    Hostile("2 GB in a line", "a.csv", long_line, (BROKEN,)),
    Hostile(
        "2 GB in a line, as gzip",
        "a.csv.gz",
        pressed_line,
        (BROKEN,),
    ),
    Hostile("10,000,000 columns", "a.csv", lambda path: many_columns(path, 10_000_000), (BROKEN,)),
    Hostile("900,000 columns", "a.csv", lambda path: many_columns(path, 900_000)),
    Hostile(
        "45,000 columns in each of 40 lines", "a.csv", write((b"c" + b";c" * 45_000 + b"\n") * 40)
    ),
    Hostile("cell of 100 MB", "a.csv", large_cell, (BROKEN, "SYN-READ-015")),
    Hostile("quotation marks without end", "a.csv", stray_quotes, ("SYN-READ-015",)),
    Hostile(
        "zero bytes among text",
        "a.csv",
        write(b"cid,neuron_type\nn1,\0\0\n" * 1000),
        ("SYN-READ-003", BROKEN),
    ),
    Hostile(
        "noise",
        "a.csv",
        write(random.Random(2).randbytes(3_000_000)),
        ("SYN-READ-003", BROKEN, UNREAD, "SYN-READ-015"),
    ),
    Hostile("gzip bomb", "a.csv.gz", gzip_bomb),
    Hostile("gzip bomb of 100 parts", "a.csv.gz", gzip_members),
    Hostile("gzip of 500,000 empty parts", "a.csv.gz", gzip_nothing),
    Hostile("gzip bomb in gzip", "a.csv.gz", gzip_of_gzip, (BROKEN,)),
    Hostile("gzip header without end", "a.csv.gz", gzip_name),
    Hostile("200 million rows of one value", "a.parquet", rle_rows),
    Hostile("page of 150 MB", "a.parquet", giant_page),
    Hostile("page said to have 2 GB", "a.parquet", lying_page, (UNREAD, BROKEN)),
    Hostile("footer outside the file", "a.parquet", far_footer),
    Hostile("footer of 1.9 GB", "a.parquet", large_footer),
    Hostile(
        "10,000,000 columns in Parquet", "a.parquet", lambda path: schema_footer(path, 10_000_000)
    ),
    Hostile(
        "1,000,000 columns in Parquet", "a.parquet", lambda path: schema_footer(path, 1_000_000)
    ),
    Hostile("groups in groups, 4,000 deep", "a.parquet", nested_footer, (UNREAD, BROKEN)),
    Hostile("named pipe", "a.csv", pipe, (STRANGE,)),
    Hostile("socket", "a.csv", listening, (STRANGE,)),
    Hostile("link to /dev/zero", "a.csv", link_to("/dev/zero"), (STRANGE,)),
    Hostile("link to /proc/kmsg", "a.csv", link_to("/proc/kmsg"), (STRANGE,)),
    Hostile("link to itself", "a.csv", link_to("a.csv"), (STRANGE,)),
    Hostile("folder", "a.csv", lambda path: path.mkdir(), (BROKEN,)),
)
"""Every kind of file that must be refused."""
