"""Reading a fix-me workbook that a person gives back: which cells hold another value than the lab's
file, and which rows are to go.

Belongs here: the workbook as untrusted input, and what is refused in it. Does not: files of the
lab, or writing.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, Final

import openpyxl as untyped_openpyxl
from pydantic import ValidationError

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.base.irregular_files import irregular
from syndb_pipeline.readers.casts import WHITE_SPACE
from syndb_pipeline.readers.fence import Fence, LimitReached
from syndb_pipeline.readers.part import Unreadable, cannot_read
from syndb_pipeline.readers.workbook.cells import cell_text, column_letters, is_damaged
from syndb_pipeline.readers.workbook.package import check_archive
from syndb_pipeline.report.workbook.layout import (
    FORMAT,
    LINE,
    OWN_COLUMNS,
    PLACEHOLDERS,
    README,
    RECORD,
    REMOVE,
    FixRecord,
    SheetRecord,
    is_cut,
    shown,
)

openpyxl: Any = untyped_openpyxl

MAX_MEMORY: Final = 1_000_000_000
MAX_SECONDS: Final = 300
MAX_SHEET_ROWS: Final = 1_048_576
"""Limits of reading a workbook: bytes, processor time, rows of a sheet (Excel's own)."""

_OWN: Final = len(OWN_COLUMNS)
_SHOWN_PROBLEMS: Final = 12
_ESCAPED: Final = re.compile("_x([0-9A-Fa-f]{4})_")
_AGAIN: Final = "Correct the workbook, save it, and give the same command again."
_NOT_OURS: Final = (
    "Give the .xlsx file that `syndb-pipeline report CONFIG --fixes FILE` wrote and you corrected."
)
_AS_TEXT: Final = "format the cell as text and write it again"


@dataclass(frozen=True, slots=True)
class Wrong:
    """A cell that holds no value, and why."""

    why: str


Cell = str | float | Wrong
"""What is read of a cell: a text, empty where there is nothing, or a number that is one in the
spreadsheet.
"""


@dataclass
class Returned:
    """What came back of one sheet's record: new texts by row and index of the column (0 for a whole
    line), and the rows to remove. `texts` are those that the lab's file has, as corrected.
    """

    record: SheetRecord
    texts: Mapping[int, list[str]]
    cells: dict[int, dict[int, str]] = field(default_factory=dict)
    removed: set[int] = field(default_factory=set)
    absent: int = 0

    @property
    def changed(self) -> bool:
        return bool(self.cells or self.removed)


class Workbook:
    """A workbook that was read. `record` says what it was made of; `problems` are what is refused
    in it.
    """

    def __init__(
        self, path: Path, record: FixRecord, sheets: Mapping[str, list[list[Cell]]]
    ) -> None:
        self.path = path
        self.record = record
        self.problems: list[str] = []
        self._found: dict[tuple[str, str, str], dict[int, tuple[int, list[Cell]]]] = {}
        of_sheet: dict[str, list[SheetRecord]] = {}
        for each in (*record.sheets, *record.unreadable):
            of_sheet.setdefault(each.title, []).append(each)
        for title, records in of_sheet.items():
            if title in sheets:
                self._read(title, records, sheets[title])
        self.unknown_sheets = [name for name in sheets if name not in {README, RECORD, *of_sheet}]

    def _read(self, title: str, records: list[SheetRecord], rows: list[list[Cell]]) -> None:
        """Find the rows of `records` among those of the sheet called `title`."""
        columns = records[0].columns or [LINE]
        wanted = [*OWN_COLUMNS, *map(shown, columns)]
        header = zip_longest(rows[0] if rows else [], wanted, fillvalue="")
        for at, (found, expected) in enumerate(header):
            if found != expected:
                self.problems.append(
                    f"{_address(title, 1, at)}: the header holds {found!r} in place of"
                    f" {expected!r}; columns may not be changed or added"
                )
                return
        places = {(title, *_source(record)): {*record.rows} for record in records}
        for number, cells in enumerate(rows[1:], start=2):
            if not any(cell != "" for cell in cells):
                continue
            file, sheet, row = (_text(cell) for cell in [*cells, "", "", ""][:3])
            place = (title, file, sheet)
            line = int(row) if row.isdecimal() and len(row) < 19 else 0
            if line not in places.get(place, ()):
                self.problems.append(
                    f"{title}, row {number}: its grey cells name no row of this workbook; rows"
                    " cannot be added here, only in the file"
                )
                continue
            if any(cell != "" for cell in cells[len(wanted) :]):
                self.problems.append(
                    f"{title}, row {number}: there is a value behind the last column"
                )
            own = [*cells, *[""] * len(wanted)][REMOVE : len(wanted)]
            of_place = self._found.setdefault(place, {})
            if of_place.setdefault(line, (number, own))[1] != own:
                self.problems.append(
                    f"{title}, row {number}: row {line} of {file} is there twice, with different"
                    " values"
                )

    def changes(
        self, record: SheetRecord, texts: Mapping[int, list[str]], *, comma: bool
    ) -> Returned:
        """What a person changed in rows of `record`, whose texts in the lab's file are `texts`.

        `comma`: numbers that the spreadsheet holds as such are given with a decimal comma, as the
        file has them. A row that the file has no more is passed over.
        """
        found = self._found.get((record.title, *_source(record)), {})
        returned = Returned(record, texts, absent=len(record.rows) - len(found))
        for line, (number, cells) in found.items():
            if line in texts:
                self._compare(returned, line, number, cells, comma=comma)
        return returned

    def _compare(
        self, returned: Returned, line: int, number: int, cells: list[Cell], *, comma: bool
    ) -> None:
        record, original = returned.record, returned.texts[line]

        def refuse(index: int, why: str) -> None:
            self.problems.append(f"{_address(record.title, number, index)}: {why}")

        mark = _text(cells[0])
        if mark.strip().casefold() == "x":
            returned.removed.add(line)
            return
        if mark.strip():
            refuse(REMOVE, f"found {mark!r}; write x to remove the row, or leave it empty")
        after = list(original)
        for index, (cell, value) in enumerate(zip(cells[1:], original, strict=False)):
            text, before = _text(cell, comma=comma), shown(value)
            # A spreadsheet writes line ends in its own way.
            if text in (before, value) or text.replace("\r\n", "\n").replace("\r", "\n") == before:
                continue
            if isinstance(cell, Wrong):
                refuse(_OWN + index, cell.why)
            elif is_cut(before):
                where = f"correct it in {record.file}, row {line}"
                refuse(_OWN + index, f"the value was too long to be here whole; {where}")
            elif left := (PLACEHOLDERS & set(text)) & set(before):
                why = (
                    f"it still holds {sorted(left)[0]!r}, which is for a character no workbook can"
                    " hold"
                )
                refuse(_OWN + index, why)
            else:
                returned.cells.setdefault(line, {})[index] = after[index] = text
        if (
            record.columns
            and line in returned.cells
            and not any(t.strip(WHITE_SPACE) for t in after)
        ):
            refuse(REMOVE, "nothing is left in this row; write x here to remove it")

    def finish(self) -> None:
        """Raise `ConfigError` with what was wrong, if anything was."""
        problems = list(dict.fromkeys(self.problems))
        if problems:
            lines = [f"  {problem}" for problem in problems[:_SHOWN_PROBLEMS]]
            if len(problems) > _SHOWN_PROBLEMS:
                lines.append(f"  and {len(problems) - _SHOWN_PROBLEMS:,} more")
            raise ConfigError(
                f"{self.path} cannot be applied; nothing was written:\n" + "\n".join(lines),
                next_step=_AGAIN,
            )


def opened(path: Path) -> Workbook:
    """The workbook at `path`. Raises `ConfigError` when it is none of ours, or not safe to read."""
    try:
        if what := irregular(path):
            raise cannot_read(path.name, f"it is {what}, no plain file", "")
        with path.open("rb"), Fence() as fence:
            # The process behind the fence may have another working folder.
            whole = path.absolute()
            sheets = fence.call(sheets_of, whole, memory=MAX_MEMORY, seconds=MAX_SECONDS)
    except Unreadable as error:
        raise _not_ours(path, error.reason) from None
    except OSError as error:
        raise _not_ours(path, f"cannot be read: {error.strerror or error}") from None
    except LimitReached:
        raise _not_ours(
            path, "it takes more memory or time than a workbook to correct can"
        ) from None
    except RuntimeError:  # what openpyxl raises there
        raise _not_ours(path, "it is damaged, or no workbook") from None
    if RECORD not in sheets:
        raise _not_ours(
            path, f"it lacks the hidden sheet {RECORD!r} that says which files its rows are of"
        )
    try:
        record = FixRecord.model_validate_json(
            "".join(_text(row[0]) for row in sheets[RECORD] if row)
        )
    except ValidationError:
        raise _not_ours(path, f"its hidden sheet {RECORD!r} was changed or damaged") from None
    if record.format != FORMAT:
        raise ConfigError(
            f"{path}: it is of format {record.format}; this syndb-pipeline applies format"
            f" {FORMAT}.",
            next_step="Write it again with this version: syndb-pipeline report CONFIG --fixes FILE",
        )
    return Workbook(path, record, sheets)


def _not_ours(path: Path, why: str) -> ConfigError:
    return ConfigError(f"{path}: {why.rstrip('.')}.", next_step=_NOT_OURS)


def sheets_of(path: Path) -> dict[str, list[list[Cell]]]:
    """The cells of all sheets of the workbook at `path`, by title. Runs behind the fence."""
    if not zipfile.is_zipfile(path):
        raise cannot_read(path.name, "it is no workbook", "")
    check_archive(path, path.name)
    book = openpyxl.load_workbook(path, read_only=True, keep_links=False)
    sheets = {}
    for name in book.sheetnames:
        sheet = book[name]
        sheet.reset_dimensions()  # what a sheet says of its size need not be true
        rows = islice(sheet.iter_rows(), MAX_SHEET_ROWS)
        sheets[name] = [[_cell(cell) for cell in row] for row in rows]
    return sheets


def _cell(cell: Any) -> Cell:
    value = cell.value
    if value is None:
        return ""
    if cell.data_type == "f":
        return Wrong("this is a formula; put its value in its place")
    if cell.data_type == "e":
        return Wrong(f"this is a spreadsheet error, {value}")
    if isinstance(value, date | time | timedelta):
        return Wrong(f"the spreadsheet made a date of this; {_AS_TEXT}")
    if is_damaged(value):
        return Wrong(f"this number has more digits than a spreadsheet keeps; {_AS_TEXT}")
    if isinstance(value, float):
        return value
    # ECMA-376 part 1, 22.9.2.19: how workbooks escape some characters.
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), cell_text(value))


def _text(cell: Cell, *, comma: bool = False) -> str:
    if isinstance(cell, Wrong):
        return f"({cell.why})"
    if isinstance(cell, str):
        return cell
    return cell_text(cell).replace(".", ",") if comma else cell_text(cell)


def _source(record: SheetRecord) -> tuple[str, str]:
    """The file and the sheet of `record` as they are in its rows."""
    return shown(record.file), shown(record.sheet or "")


def _address(title: str, row: int, index: int) -> str:
    return f"{title}, cell {column_letters(index)}{row}"
