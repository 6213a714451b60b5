"""Reading a fix-me workbook that a person gives back: which cells hold another value than the lab's
file, and which rows shall go.

Belongs here: the workbook as untrusted input, and what is refused in it. Does not: files of the
lab, or writing.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import openpyxl as untyped_openpyxl
from openpyxl.utils.exceptions import InvalidFileException
from pydantic import ValidationError

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.readers.casts import WHITE_SPACE
from syndb_pipeline.readers.part import Unreadable
from syndb_pipeline.readers.workbook.archive import check_archive
from syndb_pipeline.readers.workbook.cells import cell_text, is_damaged
from syndb_pipeline.readers.workbook.merged_cells import column_letters
from syndb_pipeline.report.workbook.record import (
    FORMAT,
    OWN_COLUMNS,
    PLACEHOLDERS,
    README,
    RECORD,
    REMOVE,
    ROW,
    FixRecord,
    SheetRecord,
    is_cut,
    shown,
)

openpyxl: Any = untyped_openpyxl

MAX_BYTES: Final = 200_000_000
MAX_UNPACKED: Final = 1_000_000_000
MAX_SHEET_ROWS: Final = 1_048_576
"""Limits of a workbook that is read: its size, the size of what it unpacks to, rows of a sheet
(Excel's own).
"""

_SHOWN_PROBLEMS: Final = 12
_ESCAPED: Final = re.compile("_x([0-9A-Fa-f]{4})_")
_AGAIN: Final = "Correct the workbook, save it, and give the same command again."


@dataclass(frozen=True, slots=True)
class Correction:
    """The new text of a cell, and where it stands in the workbook."""

    text: str
    address: str


@dataclass
class Returned:
    """What came back of one sheet's record: new texts by row and index of the column (0 for a whole
    line), and the rows to remove. `texts` are those that the lab's file has, as corrected.
    """

    record: SheetRecord
    texts: Mapping[int, list[str]]
    cells: dict[int, dict[int, Correction]] = field(default_factory=dict)
    removed: dict[int, Correction] = field(default_factory=dict)
    absent: int = 0
    moved: bool = False
    repeated: int = 0

    @property
    def changed(self) -> bool:
        return bool(self.cells or self.removed)


class Workbook:
    """An opened workbook. `record` says what it was made of; `problems` fills while its sheets are
    read.
    """

    def __init__(self, path: Path, book: Any) -> None:
        self.path = path
        self.problems: list[str] = []
        self._book = book
        self.record = _record(path, book)

    def changes(
        self, record: SheetRecord, originals: Mapping[int, list[str]], comma: bool
    ) -> Returned:
        """What a person changed in rows of `record`, whose texts in the lab's file are `originals`.

        `comma`: numbers that the spreadsheet holds as such are given with a decimal comma, as the
        file has them.
        """
        returned = Returned(record, originals)
        if record.title not in self._book.sheetnames:
            returned.absent = len(record.rows)
            return returned
        rows = self._rows(record)
        if not self._header_fits(record, next(rows, ())):
            return returned
        expected = set(record.rows)
        seen: dict[int, tuple[str, ...]] = {}
        for number, cells in enumerate(rows, start=2):
            if number > MAX_SHEET_ROWS:
                self.problems.append(
                    f"{record.title}: it has more rows than a spreadsheet can have"
                )
                break
            row = self._place(record, number, cells, expected)
            if row is None:
                continue
            texts = [
                self._text(record, number, index, cell, comma) for index, cell in enumerate(cells)
            ]
            texts += [""] * (len(OWN_COLUMNS) + max(1, len(record.columns)) - len(texts))
            told = tuple(texts[REMOVE:])
            if row in seen:
                if seen[row] != told:
                    self.problems.append(
                        f"{record.title}, row {number}: row {row} of {record.file} is there twice,"
                        " with different values"
                    )
                returned.repeated += 1
                continue
            returned.moved = returned.moved or (bool(seen) and row < next(reversed(seen)))
            seen[row] = told
            if row in originals:  # else it was taken out since
                self._compare(returned, number, row, texts, originals[row])
        returned.absent = len(expected - set(seen))
        return returned

    def finish(self) -> None:
        """Raise `ConfigError` with what was wrong, if anything was."""
        if not self.problems:
            return
        lines = [f"  {problem}" for problem in self.problems[:_SHOWN_PROBLEMS]]
        if len(self.problems) > _SHOWN_PROBLEMS:
            lines.append(f"  and {len(self.problems) - _SHOWN_PROBLEMS:,} more")
        raise ConfigError(
            f"{self.path} cannot be applied; nothing was written:\n" + "\n".join(lines),
            next_step=_AGAIN,
        )

    @property
    def unknown_sheets(self) -> list[str]:
        """Sheets that are not of our making, or were renamed."""
        own = {
            README,
            RECORD,
            *(sheet.title for sheet in (*self.record.sheets, *self.record.unreadable)),
        }
        return [name for name in self._book.sheetnames if name not in own]

    def _rows(self, record: SheetRecord) -> Iterator[tuple[Any, ...]]:
        sheet = self._book[record.title]
        sheet.reset_dimensions()  # what a sheet says of its size need not be true
        yield from islice(sheet.iter_rows(), MAX_SHEET_ROWS + 1)

    def _header_fits(self, record: SheetRecord, cells: Iterable[Any]) -> bool:
        found = ["" if cell.value is None else _unescaped(str(cell.value)) for cell in cells]
        wanted = [
            *OWN_COLUMNS,
            *(shown(column) for column in record.columns or ["line as it is in the file"]),
        ]
        while len(found) > len(wanted) and not found[-1]:
            found.pop()
        found += [""] * (len(wanted) - len(found))
        if found == wanted:
            return True
        at = next(
            (i for i, (one, other) in enumerate(zip(found, wanted, strict=False)) if one != other),
            len(wanted),
        )
        what = f"{found[at]!r}" if at < len(found) and found[at] else "nothing"
        expected = repr(wanted[at]) if at < len(wanted) else "no further column"
        self.problems.append(
            f"{_address(record, 1, at)}: the header holds {what} where {expected} was; columns may"
            " not be changed or added"
        )
        return False

    def _place(
        self, record: SheetRecord, number: int, cells: tuple[Any, ...], expected: set[int]
    ) -> int | None:
        """The row of the lab's file that a row of the workbook stands for; None for empty ones,
        other files' lines and what is refused.
        """
        values = [cell.value for cell in cells]
        if all(value is None or value == "" for value in values):
            return None
        own = [
            "" if value is None else _unescaped(cell_text(value))
            for value in [*values, *[None] * len(OWN_COLUMNS)][: len(OWN_COLUMNS)]
        ]
        if not record.columns and (own[0], own[1]) != (
            shown(record.file),
            shown(record.sheet or ""),
        ):
            others = {
                (shown(other.file), shown(other.sheet or "")) for other in self.record.unreadable
            }
            if (own[0], own[1]) in others:
                return None
        row = int(own[ROW]) if own[ROW].isdecimal() and len(own[ROW]) < 19 else None
        if (
            (own[0], own[1]) != (shown(record.file), shown(record.sheet or ""))
            or row is None
            or row not in expected
        ):
            problem = (
                f"{record.title}, row {number}: its grey cells name no row of this workbook; rows"
                " cannot be added here, only in the file"
            )
            if problem not in self.problems:
                self.problems.append(problem)
            return None
        if any(
            value not in (None, "")
            for value in values[len(OWN_COLUMNS) + max(1, len(record.columns)) :]
        ):
            self.problems.append(
                f"{record.title}, row {number}: there is a value behind the last column"
            )
        return row

    def _text(self, record: SheetRecord, number: int, index: int, cell: Any, comma: bool) -> str:
        """The text of a cell; what is no value is a problem."""
        if index < len(OWN_COLUMNS) and index != REMOVE:
            return ""
        value = cell.value
        if value is None:
            return ""
        problem = ""
        if cell.data_type == "f":
            problem = "this is a formula; put its value in its place"
        elif cell.data_type == "e":
            problem = f"this is a spreadsheet error, {value}"
        elif isinstance(value, date | time | timedelta):
            problem = (
                "the spreadsheet made a date of this; format the cell as text and write it again"
            )
        elif is_damaged(value):
            problem = (
                "this number has more digits than a spreadsheet keeps; format the cell as text and"
                " write it again"
            )
        if problem:
            self.problems.append(f"{_address(record, number, index)}: {problem}")
            return ""
        text = _unescaped(cell_text(value))
        return text.replace(".", ",") if comma and isinstance(value, float) else text

    def _compare(
        self, returned: Returned, number: int, row: int, texts: list[str], original: list[str]
    ) -> None:
        record = returned.record
        mark = texts[REMOVE].strip().casefold()
        if mark not in ("", "x"):
            self.problems.append(
                f"{_address(record, number, REMOVE)}: found {texts[REMOVE]!r}; write x to remove"
                " the row, or leave it empty"
            )
        elif mark:
            returned.removed[row] = Correction("", _address(record, number, REMOVE))
            return
        for index, (text, value) in enumerate(
            zip(texts[len(OWN_COLUMNS) :], original, strict=False)
        ):
            before = shown(value)
            # A spreadsheet writes line ends in its own way.
            if text == before or text.replace("\r\n", "\n").replace("\r", "\n") == before:
                continue
            address = _address(record, number, len(OWN_COLUMNS) + index)
            if is_cut(before):
                self.problems.append(
                    f"{address}: the value was too long to stand here whole; correct it in"
                    f" {record.file}, row {row}"
                )
            elif left := (PLACEHOLDERS & set(text)) & set(before):
                self.problems.append(
                    f"{address}: it still holds {sorted(left)[0]!r}, which stands for a character"
                    " no workbook can hold"
                )
            else:
                returned.cells.setdefault(row, {})[index] = Correction(text, address)
        after = {
            index: correction.text for index, correction in returned.cells.get(row, {}).items()
        }
        if (
            record.columns
            and after
            and not any(
                after.get(index, value).strip(WHITE_SPACE) for index, value in enumerate(original)
            )
        ):
            self.problems.append(
                f"{_address(record, number, REMOVE)}: nothing is left in this row; write x here to"
                " remove it"
            )


@contextmanager
def opened(path: Path) -> Iterator[Workbook]:
    """The workbook at `path`, opened for reading. Raises `ConfigError` when it is none of ours, or
    not safe to read.
    """
    _check_bytes(path)
    try:
        book = openpyxl.load_workbook(path, read_only=True, keep_links=False)
    except (
        InvalidFileException,
        zipfile.BadZipFile,
        KeyError,
        ValueError,
        TypeError,
        ElementTree.ParseError,
    ) as error:
        raise ConfigError(
            f"{path}: it is damaged, or no workbook ({_first_line(error)}).", next_step=_NOT_OURS
        ) from None
    try:
        yield Workbook(path, book)
    except (zipfile.BadZipFile, ElementTree.ParseError) as error:
        raise ConfigError(
            f"{path}: it is damaged ({_first_line(error)}).", next_step=_NOT_OURS
        ) from None
    finally:
        book.close()


_NOT_OURS: Final = (
    "Give the .xlsx file that `syndb-pipeline report CONFIG --fixes FILE` wrote and you corrected."
)


def _check_bytes(path: Path) -> None:
    """Raise `ConfigError` when `path` is not a zip archive of a size that is safe to unpack, or
    would have entities resolved.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ConfigError(f"{path}: it is no plain file.", next_step=_NOT_OURS)
        if size > MAX_BYTES:
            raise ConfigError(
                f"{path}: {size:,} bytes are more than a workbook to correct can have.",
                next_step=_NOT_OURS,
            )
        if not zipfile.is_zipfile(path):
            raise ConfigError(f"{path}: it is no workbook.", next_step=_NOT_OURS)
        if check_archive(path, path.name) > MAX_UNPACKED:
            raise ConfigError(
                f"{path}: it would unpack to more than {MAX_UNPACKED:,} bytes.",
                next_step=_NOT_OURS,
            )
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ConfigError(f"{path}: {damaged!r} in it is damaged.", next_step=_NOT_OURS)
    except Unreadable as error:
        reason = error.problems[0].values.get("reason", "it is no workbook that is safe to read")
        raise ConfigError(f"{path}: {reason}.", next_step=_NOT_OURS) from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror or error}.", next_step=_NOT_OURS
        ) from None


def _record(path: Path, book: Any) -> FixRecord:
    if RECORD not in book.sheetnames:
        raise ConfigError(
            f"{path}: it lacks the hidden sheet {RECORD!r} that says which files its rows are of.",
            next_step=_NOT_OURS,
        )
    sheet = book[RECORD]
    sheet.reset_dimensions()
    chunks = [row[0].value for row in islice(sheet.iter_rows(), 10_000) if row]
    text = "".join(_unescaped(str(chunk)) for chunk in chunks if chunk is not None)
    try:
        record = FixRecord.model_validate_json(text)
    except ValidationError:
        raise ConfigError(
            f"{path}: its hidden sheet {RECORD!r} was changed or damaged.", next_step=_NOT_OURS
        ) from None
    if record.format != FORMAT:
        raise ConfigError(
            f"{path}: it is of format {record.format}; this syndb-pipeline applies format"
            f" {FORMAT}.",
            next_step="Write it again with this version: syndb-pipeline report CONFIG --fixes FILE",
        )
    return record


def _unescaped(text: str) -> str:
    """`text` with the escapes that workbooks write for some characters (ECMA-376 part 1, 22.9.2.19)
    as those characters.
    """
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text) if "_x" in text else text


def _address(record: SheetRecord, row: int, index: int) -> str:
    return f"{record.title}, cell {column_letters(index)}{row}"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
