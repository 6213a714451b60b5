"""What a fix-me workbook remembers of its own making, so that corrections reach the very rows they
were made for.

Belongs here: the record in the hidden sheet, the columns beside the lab's own, how a value is
in a cell. Does not: reading or writing.
"""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict

FORMAT: Final = 2
"""Of the workbook; it changes when one of today can no longer be applied by the reader of
tomorrow.
"""

README: Final = "Read me"
RECORD: Final = "syndb-pipeline"
"""Titles of the first sheet, and of the hidden one that holds the record."""

OWN_COLUMNS: Final = ("file", "sheet", "row", "what is wrong", "remove")
"""Columns before the lab's own. `remove` is the person's: an x takes the row out."""
REMOVE: Final = OWN_COLUMNS.index("remove")
LINE: Final = "line as it is in the file"
"""The column of the sheet of unreadable lines."""

LONGEST_CELL: Final = 32_767
"""Characters that a cell of a workbook holds (Excel's own limit); a longer value is shown cut and
cannot be edited.
"""

_CUT: Final = " ... (too long for a workbook; correct it in the file)"
_CONTROL: Final = {code: 0x2400 + code for code in range(32) if code not in (9, 10)} | {
    0x7F: 0x2421
}
_NOT_XML: Final = re.compile("[\ud800-\udfff\ufffe\uffff]")
PLACEHOLDERS: Final = frozenset({chr(picture) for picture in _CONTROL.values()} | {"\ufffd"})
"""What a cell holds for a character that none can hold."""


class SheetRecord(BaseModel):
    """One sheet of the workbook: rows of `file` (and its `sheet`), read as the config reads
    `table`. `rows` as a person counts them there.

    On a sheet of unreadable lines `columns` is empty, and the line is one cell.
    """

    model_config = ConfigDict(frozen=True)

    title: str
    table: str
    file: str
    sheet: str | None = None
    columns: list[str] = []
    rows: list[int] = []


class FixRecord(BaseModel):
    """The workbook's record. `files` are the lab's files whose rows it holds, by the name findings
    give them, with their SHA-256; `corrections` the same of the corrections of its tables.
    """

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    dataset: UUID
    config: str
    files: dict[str, str] = {}
    corrections: dict[str, str] = {}
    sheets: list[SheetRecord] = []
    unreadable: list[SheetRecord] = []


def shown(value: str) -> str:
    """`value` as it is in a cell: line ends as line feeds, a control picture for a control
    character, cut where it is too long.
    """
    text = value.replace("\r\n", "\n").replace("\r", "\n") if "\r" in value else value
    text = _NOT_XML.sub("\ufffd", text.translate(_CONTROL))
    # A spreadsheet counts in UTF-16, where a character beyond U+FFFF is two.
    if len(text) * 2 > LONGEST_CELL and len(text.encode("utf-16-le")) // 2 > LONGEST_CELL:
        text = (
            text.encode("utf-16-le")[: 2 * (LONGEST_CELL - len(_CUT))].decode("utf-16-le", "ignore")
            + _CUT
        )
    return text


def is_cut(text: str) -> bool:
    """Whether `text`, as `shown` gave it, is only the beginning of the value."""
    return text.endswith(_CUT)
