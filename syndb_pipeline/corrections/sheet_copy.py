"""A corrected copy of a workbook: cells replaced inside the sheet's own XML, everything else byte
for byte as it was.

Belongs here: which bytes of a sheet stand for a cell, and what stands there instead. Does not:
which values change (`returned.py`).

A spreadsheet library would write the whole workbook anew, and lose pictures, charts, and the saved
results of every formula. Sources: ECMA-376 part 1, 18.3.1 (sheet data), 18.6 (calculation chain),
22.9.2.19 (escaped characters).
"""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.contract.tables import TABLES, Kind
from syndb_pipeline.corrections.returned import Correction, Returned
from syndb_pipeline.readers.workbook.cells import cell_text
from syndb_pipeline.readers.workbook.faults import sheet_member
from syndb_pipeline.readers.workbook.merged_cells import column_letters
from syndb_pipeline.report.workbook.originals import Original

_CHUNK: Final = 1 << 20
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,14})?")
_DIGITS: Final = 16  # a point and what a spreadsheet keeps
_CHAIN: Final = "xl/calcChain.xml"
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]")
_LIKE_ESCAPE: Final = re.compile("_(?=x[0-9A-Fa-f]{4}_)")

Address = tuple[int, int]
"""Row from 1 and column from 0, as they stand in the sheet."""


@dataclass(frozen=True, slots=True)
class SheetChanges:
    """What to change in one sheet. `as_text` are cells, by row and index of the column, whose
    number has to stand there as text.
    """

    original: Original
    returned: Returned
    as_text: frozenset[tuple[int, int]] = frozenset()

    @property
    def cells(self) -> dict[Address, tuple[Correction, bool | None]]:
        """Address in the sheet -> the correction, and whether a number stands there as one; None:
        as the cell had it.
        """
        part = self.original.part
        numeric = set()
        for index, name in enumerate(part.names):
            columns = [
                TABLES[self.original.table].column(each)
                for each in self.original.config.names_of(name)
            ]
            # A key is a number too where the column stands for both, and yet keeps its text.
            if all(
                column is not None and column.kind in (Kind.NUMBER, Kind.INTEGER)
                for column in columns
            ):
                numeric.add(index)
        return {
            (row, part.positions[index]): (
                correction,
                False if (row, index) in self.as_text else index in numeric or None,
            )
            for row, cells in self.returned.cells.items()
            if row not in self.returned.removed
            for index, correction in cells.items()
        }


def write_workbook_copy(
    path: Path, target: Path, sheets: Mapping[str, SheetChanges], problems: list[str]
) -> None:
    """Copy the workbook at `path` to `target` with the changes of `sheets`, by the name of the
    sheet.

    What cannot be changed is added to `problems`, and the copy is then of no use.
    """
    with (
        zipfile.ZipFile(path) as source,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as sink,
    ):
        members = {sheet_member(source, name): changes for name, changes in sheets.items()}
        if None in members:
            raise PipelineError(
                f"{path}: a sheet of it cannot be found again.",
                next_step="Save it with a spreadsheet program, and run again.",
            )
        splices = {}
        formulas = False
        for member, changes in members.items():
            assert member is not None
            finder = _Finder(
                changes.cells, set(changes.returned.removed), changes.returned.removed, problems
            )
            with source.open(member) as xml:
                finder.read(xml)
            splices[member] = finder.splices
            formulas = formulas or finder.formulas
        for item in source.infolist():
            if formulas and item.filename.lower() == _CHAIN.lower():
                continue  # it lists cells with formulas; a spreadsheet program makes it anew
            copied = zipfile.ZipInfo(item.filename, item.date_time)
            copied.external_attr, copied.compress_type = item.external_attr, zipfile.ZIP_DEFLATED
            with (
                source.open(item) as old,
                sink.open(copied, "w", force_zip64=item.file_size > 1 << 31) as new,
            ):
                if item.filename in splices:
                    _spliced(old, new, splices[item.filename])
                elif formulas and item.filename.lower() in (
                    "xl/_rels/workbook.xml.rels",
                    "[content_types].xml",
                ):
                    new.write(
                        re.sub(
                            rb"<(?:\w+:)?(?:Relationship|Override)\b[^>]*calcChain[^>]*/>",
                            b"",
                            old.read(),
                        )
                    )
                else:
                    shutil.copyfileobj(old, new, _CHUNK)


Splice = tuple[int, int, bytes]
"""First byte, the byte behind the last, and what stands there instead."""


@dataclass
class _Cell:
    start: int
    row: int
    column: int
    tag: str
    attributes: dict[str, str]
    shared: bool = False


@dataclass
class _Finder:
    """Finds, in one reading of a sheet, the bytes that stand for the cells to change and the rows
    to empty.
    """

    cells: dict[Address, tuple[Correction, bool | None]]
    removed: set[int]
    marks: Mapping[int, Correction]
    problems: list[str]
    splices: list[Splice] = field(default_factory=list)
    formulas: bool = False
    _row: int = 0
    _column: int = 0
    _row_start: int = 0  # of the row's element
    _row_tag: bytes = b""
    _inside: int | None = None  # where the content of a row to empty begins
    _left: dict[int, tuple[Correction, bool | None]] = field(
        default_factory=dict
    )  # cells of the row not met yet, by column
    _cell: _Cell | None = None
    _ended: Any = None  # what to do with the place where the element that ended ends

    def read(self, xml: IO[bytes]) -> None:
        self._by_row: dict[int, dict[int, tuple[Correction, bool | None]]] = {}
        for (row, column), told in self.cells.items():
            self._by_row.setdefault(row, {})[column] = told
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.DefaultHandler = self._other
        while chunk := xml.read(_CHUNK):
            self._parser.Parse(chunk, False)
        self._parser.Parse(b"", True)
        self._other("")
        self.splices.sort()

    def _doctype(self, *_: object) -> None:
        raise PipelineError(
            "A sheet of the workbook declares a document type.",
            next_step="Save it with a spreadsheet program.",
        )

    def _other(self, _: str) -> None:
        if self._ended is not None:
            ended, self._ended = self._ended, None
            ended(self._parser.CurrentByteIndex)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._other("")
        name = tag.rpartition(":")[2]
        if name == "row":
            number = attributes.get("r", "")
            self._row = int(number) if number.isdecimal() else self._row + 1
            self._column = 0
            self._row_start = self._parser.CurrentByteIndex
            self._left = dict(self._by_row.get(self._row, {}))
            if self._row in self.removed or self._left:
                self._row_tag = _opening(tag, attributes)
                if self._row in self.removed:
                    self._ended = self._begin_row
        elif name == "c":
            self._column = _column(attributes.get("r", ""), self._column)
            if self._row in self.removed or self._left:
                self._insert_before(tag, self._column, self._parser.CurrentByteIndex)
                self._cell = _Cell(
                    self._parser.CurrentByteIndex, self._row, self._column, tag, attributes
                )
        elif name == "f" and self._cell is not None:
            touched = self._row in self.removed or self._column in self._left
            self.formulas = self.formulas or touched
            self._cell.shared = "ref" in attributes and attributes.get("t") in (
                "shared",
                "array",
                "dataTable",
            )

    def _begin_row(self, at: int) -> None:
        self._inside = at

    def _insert_before(self, tag: str, column: int, at: int) -> None:
        """Put in the cells to change that the sheet does not have, as empty ones are, before the
        one at `column`.
        """
        for absent in sorted(column_ for column_ in self._left if column_ < column):
            correction, numeric = self._left.pop(absent)
            self.splices.append(
                (at, at, _cell_bytes(tag, self._row, absent, {}, correction.text, numeric))
            )

    def _end(self, tag: str) -> None:
        self._other("")
        name = tag.rpartition(":")[2]
        if name == "c":
            cell, self._cell = self._cell, None
            column, self._column = self._column, self._column + 1
            if (
                cell is not None
                and cell.shared
                and (self._row in self.removed or column in self._left)
            ):
                place = (
                    self.marks[self._row] if self._row in self.removed else self._left[column][0]
                )
                self.problems.append(
                    f"{place.address}: other cells of the file are computed by the formula that"
                    f" {column_letters(column)}{self._row} begins; replace the formulas in the file"
                    " by their values first"
                )
            if cell is not None and column in self._left and self._row not in self.removed:
                correction, numeric = self._left.pop(column)
                # A key keeps its very text.
                key = (
                    cell.attributes.get("t", "n") == "n"
                    and number_in_cell(correction.text) == correction.text
                )
                number = key if numeric is None else numeric
                piece = _cell_bytes(
                    cell.tag, self._row, column, cell.attributes, correction.text, number
                )
                self._ended = lambda at: self.splices.append((cell.start, at, piece))
        elif name == "row":
            here = self._parser.CurrentByteIndex
            if self._row in self.removed:
                if self._inside is not None and self._inside < here:
                    self.splices.append((self._inside, here, b""))
                self._inside = None
            elif self._left:
                prefix = tag.rpartition(":")[0]
                cell_tag = f"{prefix}:c" if prefix else "c"
                pieces = []
                for column in sorted(self._left):
                    correction, numeric = self._left[column]
                    pieces.append(
                        _cell_bytes(cell_tag, self._row, column, {}, correction.text, numeric)
                    )
                if here == self._row_start:  # `<row/>`: begin and end are one
                    whole = self._row_tag + b"".join(pieces) + b"</" + tag.encode() + b">"
                    self._ended = lambda at: self.splices.append((here, at, whole))
                else:
                    self.splices.append((here, here, b"".join(pieces)))
                self._left = {}


def _opening(tag: str, attributes: Mapping[str, str]) -> bytes:
    return f"<{tag}{''.join(f' {name}={quoteattr(value)}' for name, value in attributes.items())}>".encode()


def _column(reference: str, following: int) -> int:
    """The column of a cell's reference such as `AB7`, from 0; `following` when it has none."""
    index = 0
    for letter in reference.upper():
        if not "A" <= letter <= "Z":
            break
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1 if index else following


def number_in_cell(text: str) -> str | None:
    """`text` as a spreadsheet gives it back once it holds it as a number, e.g. 5 for 5.0; None when
    it is no plain number.
    """
    return cell_text(float(text)) if _NUMBER.fullmatch(text) and len(text) <= _DIGITS else None


def _cell_bytes(
    tag: str, row: int, column: int, attributes: Mapping[str, str], text: str, number: bool | None
) -> bytes:
    """The element of a cell that holds `text`, with the style of the one it replaces."""
    prefix = f"{tag.rpartition(':')[0]}:" if ":" in tag else ""
    style = f" s={quoteattr(attributes['s'])}" if "s" in attributes else ""
    place = f'<{tag} r="{column_letters(column)}{row}"{style}'
    if not text:
        return f"{place}/>".encode()
    held = number_in_cell(text) if number else None
    if held is not None:
        return f"{place}><{prefix}v>{held}</{prefix}v></{tag}>".encode()
    inner = f'<{prefix}is><{prefix}t xml:space="preserve">{xml_text(text)}</{prefix}t></{prefix}is>'
    # References for all that is not ASCII fit whatever encoding the sheet has.
    return f'{place} t="inlineStr">{inner}</{tag}>'.encode("ascii", "xmlcharrefreplace")


def xml_text(text: str) -> str:
    """`text` as it stands in a workbook's XML: escaped as XML wants it, and characters that XML
    cannot hold as workbooks write them.
    """
    return _CONTROL.sub(
        lambda match: f"_x{ord(match[0]):04X}_", escape(_LIKE_ESCAPE.sub("_x005F_", text))
    )


def _spliced(old: IO[bytes], new: IO[bytes], splices: list[Splice]) -> None:
    """Copy `old` to `new`, other bytes standing in the places of `splices`."""
    at = 0
    for start, end, piece in splices:
        for chunk in _pieces(old, start - at):
            new.write(chunk)
        for _ in _pieces(old, end - start):
            pass
        new.write(piece)
        at = end
    shutil.copyfileobj(old, new, _CHUNK)


def _pieces(file: IO[bytes], count: int) -> Iterator[bytes]:
    """The next `count` bytes of `file`, in pieces."""
    while count > 0 and (chunk := file.read(min(count, _CHUNK))):
        count -= len(chunk)
        yield chunk
