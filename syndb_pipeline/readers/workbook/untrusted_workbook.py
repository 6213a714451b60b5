"""Workbooks that would harm whoever reads them: zip directories that lie, sheets that inflate to
gigabytes, chains of sectors in circles.

Belongs here: what must hold before calamine may open a workbook, and what one of its sheets takes
in memory. Does not: cells.

Source: ECMA-376 part 2 (relations of a package) and part 1, 12.3.24 and 18.2 (workbook), 18.4
(shared texts).
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final
from xml.etree import ElementTree

from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import Table
from syndb_pipeline.contract.vocabularies import nearest
from syndb_pipeline.readers import headers
from syndb_pipeline.readers.part import Problem, Unreadable
from syndb_pipeline.readers.untrusted_archive import AGAIN, EXPORT, directory, inflated
from syndb_pipeline.readers.untrusted_limits import MAX_COLUMNS, refused, too_many_columns
from syndb_pipeline.readers.workbook import untrusted_compound
from syndb_pipeline.readers.workbook.untrusted_sheet import Extent

MAX_ROWS: Final = 1_048_576
"""Rows of a sheet, as the format has it."""

MAX_SHEETS: Final = 1_000
"""Of one workbook. People make some ten; programs that write a sheet for each cell or animal make
hundreds.
"""

MAX_CELL_LETTERS: Final = 32_767
MAX_CELL_BYTES: Final = 8 * MAX_CELL_LETTERS
"""Of one cell, as the format has it; a letter takes up to 8 bytes as `&quot;` or as `_x000D_`."""

OTHER_PROCESS_BYTES: Final = 250_000_000
"""Of the memory limit: what the process holds before a workbook is opened (200 MB), and some for
the rows on their way.
"""

_SMALL_PART: Final = 16_000_000
"""Bytes of styles, sheet list or relations. The format allows 65,490 cell styles, which take 10
MB.
"""

_SMALL_TAGS: Final = {"styles": 1_000_000, "": 100_000}
"""`<` in such a part; each is an object for whoever reads it."""

_BYTES_PER_CELL: Final = 72
"""What calamine takes for a cell with a value: 40 bytes where it collects them and 32 in the
finished sheet.
"""

_BYTES_PER_TEXT: Final = 40
"""What a text takes beside its letters."""

_LOOKED_AT: Final = 64_000_000
"""Bytes of all sheets together that are looked through to guess which of several is meant."""

_STEP: Final = 1 << 20
_WINDOW: Final = 1 << 17
_TEXT_END: Final = re.compile(rb"</(?:\w+:)?si>")
_TEXT_CELL: Final = re.compile(
    rb"""<(?:\w+:)?c\b[^>]*\bt\s*=\s*["']s["'][^>]*>.{0,9000}?<(?:\w+:)?v>\s*([0-9]+)""", re.DOTALL
)


def glance(path: Path, file: str) -> None:
    """Raise `Unreadable` when a workbook's directory lies, or its sectors run in circles. What is
    no workbook is left to the reader.
    """
    with path.open("rb") as source:
        magic = source.read(8)
        if magic.startswith(b"PK"):
            directory(source, file)
        elif magic == untrusted_compound.MAGIC:
            untrusted_compound.glance(source, file)


@dataclass
class Measured:
    """What the sheets that may be loaded hold: for each name, whether it may have cells that
    calamine shows as empty.
    """

    suspect: dict[str, bool]

    def may_have_faults(self, sheet: str) -> bool:
        return self.suspect.get(sheet, True)


def measure(
    path: Path, file: str, table: Table | None, config: TableConfig, memory_limit: int
) -> Measured:
    """Look through everything of the workbook at `path` that is going to be read. Raises
    `Unreadable` when it must not be.

    `memory_limit` is that of the run. Each byte is inflated once and none is kept.
    """
    room = max(memory_limit - OTHER_PROCESS_BYTES, 100_000_000)
    with path.open("rb") as source:
        magic = source.read(8)
        if magic == untrusted_compound.MAGIC:
            untrusted_compound.try_out(path, file, room)
            return Measured({})
        members = {member.filename.lower(): member for member in directory(source, file)}
        return _Workbook(source, file, members, room).measure(table, config)


@dataclass
class _Workbook:
    source: BinaryIO
    file: str
    members: dict[str, zipfile.ZipInfo]
    room: int

    def measure(self, table: Table | None, config: TableConfig) -> Measured:
        root = self._relations("_rels/.rels", "")
        book = next(
            (target for kind, target in root.values() if kind == "officedocument"),
            "xl/workbook.xml",
        )
        folder = posixpath.dirname(book)
        relations = self._relations(f"{folder}/_rels/{posixpath.basename(book)}.rels", folder)
        for kind, target in [*relations.values(), ("styles", "xl/styles.xml")]:
            if kind in ("styles", "theme"):
                self._small(target, "styles")
        sheets = self._sheets(book, relations)
        if len(sheets) > MAX_SHEETS:
            raise refused(
                self.file,
                f"it has {len(sheets):,} sheets, and no more than {MAX_SHEETS:,} are looked"
                " through",
                EXPORT,
            )
        texts = {target for kind, target in relations.values() if kind == "sharedstrings"} | {
            "xl/sharedstrings.xml"
        }
        shared = max(
            filter(None, map(self._shared, texts)),
            key=lambda each: each.longest,
            default=_Shared(array("I")),
        )
        chosen = {name: target for name, target in sheets.items() if config.sheet in (None, name)}
        total = sum(
            self.members[target].file_size for target in chosen.values() if target in self.members
        )
        if len(chosen) > 1 and total > _LOOKED_AT:
            names = list(chosen)
            example = headers.yaml_word(((nearest(table.name, names) if table else []) or names)[0])
            listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
            raise Unreadable(
                Problem(
                    "SYN-READ-007",
                    self.file,
                    count=len(names),
                    values={"sheets": listed, "example": example},
                )
            )
        return Measured(
            {name: self._sheet(name, target, shared) for name, target in chosen.items()}
        )

    def _relations(self, name: str, folder: str) -> dict[str, tuple[str, str]]:
        """Kind and target, both in lower case, of each relation in the part `name`."""
        found = {}
        for element in self._elements(name):
            if (
                element.tag.rpartition("}")[2] == "Relationship"
                and element.get("TargetMode") != "External"
            ):
                target = element.get("Target", "")
                member = (
                    target.lstrip("/")
                    if target.startswith("/")
                    else posixpath.normpath(posixpath.join(folder, target))
                )
                found[element.get("Id", "")] = (
                    element.get("Type", "").rpartition("/")[2].lower(),
                    member.lower(),
                )
        return found

    def _sheets(self, book: str, relations: dict[str, tuple[str, str]]) -> dict[str, str]:
        found = {}
        for element in self._elements(book):
            if element.tag.rpartition("}")[2] == "sheet":
                identifier = next(
                    (
                        value
                        for key, value in element.attrib.items()
                        if key.rpartition("}")[2] == "id"
                    ),
                    "",
                )
                kind, target = relations.get(identifier, ("", ""))
                if kind == "worksheet":
                    found[element.get("name", "")] = target
        return found

    def _elements(self, name: str) -> Iterator[ElementTree.Element]:
        content = self._small(name, "")
        if content:
            try:
                yield from ElementTree.fromstring(content).iter()
            except ElementTree.ParseError as error:
                raise refused(self.file, f"{name!r} in it is no XML ({error})", AGAIN) from None

    def _small(self, name: str, kind: str) -> bytes:
        """A part that never is large, or b"" when there is none."""
        member = self.members.get(name.lower())
        if member is None:
            return b""
        if member.file_size > _SMALL_PART:
            raise self._too_large(member, member.file_size)
        content = b"".join(self._inflated(member))
        if content.count(b"<") > _SMALL_TAGS[kind]:
            raise refused(
                self.file,
                f"{member.filename!r} in it has {content.count(b'<'):,} elements, as no workbook"
                " needs",
                EXPORT,
            )
        return content

    def _too_large(self, member: zipfile.ZipInfo, size: int) -> Unreadable:
        return refused(
            self.file,
            f"{member.filename!r} in it takes {size:,} bytes, more than this run can hold in"
            " memory",
            EXPORT,
        )

    def _inflated(self, member: zipfile.ZipInfo) -> Iterator[bytes]:
        since = 0  # bytes since the last tag
        for piece in inflated(self.source, member, self.file):
            for start in range(0, len(piece), _WINDOW):
                tag = piece.find(b"<", start, start + _WINDOW)
                since += (tag if tag >= 0 else min(start + _WINDOW, len(piece))) - start
                if since > MAX_CELL_BYTES:
                    reason = (
                        f"a text in {member.filename!r} is longer than the {MAX_CELL_LETTERS:,}"
                        " letters that a cell may have"
                    )
                    raise refused(self.file, reason, EXPORT)
                if tag >= 0:
                    since = min(start + _WINDOW, len(piece)) - piece.rfind(
                        b"<", start, start + _WINDOW
                    )
            yield piece

    def _shared(self, target: str) -> _Shared | None:
        """Count and measure the texts that cells share."""
        member = self.members.get(target)
        if member is None:
            return None
        if member.file_size > self.room:
            raise self._too_large(member, member.file_size)
        tags, open_since, lengths = 0, 0, array("I")
        for piece in self._inflated(member):
            tags += piece.count(b"<")
            first, *others = _TEXT_END.split(piece)
            if others:
                lengths.append(open_since + len(first))
                lengths.extend(map(len, others[:-1]))
                open_since = len(others[-1])
            else:
                open_since += len(first)
        need = member.file_size + tags // 4 * (_BYTES_PER_TEXT + 24)
        if need > self.room:
            raise self._too_large(member, need)
        return _Shared(lengths, max(lengths, default=0), need)

    def _sheet(self, name: str, target: str, shared: _Shared) -> bool:
        """Look through one sheet. Returns whether it may have cells that calamine shows as
        empty.
        """
        member = self.members.get(target)
        if member is None:
            return True
        if member.file_size > 4 * self.room:
            raise self._too_large(member, member.file_size)
        extent = Extent()
        for piece in self._inflated(member):
            extent.add(piece)
        extent.finish()
        if extent.columns > MAX_COLUMNS:
            raise too_many_columns(self.file, extent.columns)
        if extent.rows > MAX_ROWS:
            raise refused(
                self.file,
                f"a cell of its sheet {name!r} is in row {extent.rows:,}; a sheet has {MAX_ROWS:,}",
                AGAIN,
            )
        cells = extent.tags // 4  # <c>, <v>, </v>, </c>; texts and formulas have more
        text = member.file_size if extent.inline else 0
        loose = shared.longest * extent.texts
        text += (
            self._letters(member, shared) if loose > self.room // 4 and shared.lengths else loose
        )
        spread = extent.rows * extent.columns * 32
        need = (
            shared.need
            + cells * _BYTES_PER_CELL
            + max(spread - cells * 32, 0)
            + extent.texts * _BYTES_PER_TEXT
            + text
        )
        need += extent.merges * 200
        if need > self.room:
            reason = (
                f"its sheet {name!r} of {extent.rows:,} rows and {extent.columns:,} columns takes"
                f" about {need / 1e6:,.0f} MB of memory"
            )
            if spread > 10 * cells * _BYTES_PER_CELL:
                reason += f", nearly all of it for empty cells: only {cells:,} hold something"
            raise refused(
                self.file, f"{reason}; this run has {self.room / 1e6:,.0f} MB for it", EXPORT
            )
        return extent.suspect

    def _letters(self, member: zipfile.ZipInfo, shared: _Shared) -> int:
        """Bytes of the shared texts that the cells of a sheet repeat."""
        total, seam = 0, b""
        for piece in self._inflated(member):
            *cells, seam = (seam + piece).split(b"</c>")
            for index in _TEXT_CELL.findall(b"</c>".join(cells)):
                total += shared.lengths[min(int(index[:12]), len(shared.lengths) - 1)]
            seam = seam[-_STEP:]
        return total


@dataclass(frozen=True)
class _Shared:
    """The texts that cells share: the bytes each takes at most, the most of them, and what all take
    in memory.
    """

    lengths: array[int]
    longest: int = 0
    need: int = 0
