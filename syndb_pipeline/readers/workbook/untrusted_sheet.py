"""How far the cells of a worksheet reach and how many there are, from its XML as it passes by.

Belongs here: counting without a parser. Does not: whether that is too much
(`untrusted_workbook.py`), values (`workbook.py`).

Source: ECMA-376 part 1, 18.3.1.4 (cell `c`) and 18.3.1.73 (row).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_LONGEST_TAG: Final = 1 << 16
_OVERLAP: Final = 64
_MARKS: Final = (b'"e"', b"<f", b":f")
_REFERENCE: Final = re.compile(rb'r="([A-Z]+)([0-9]+)"')
_ANY_REFERENCE: Final = re.compile(rb"""\br\s*=\s*["']\s*([A-Za-z]+)([0-9]+)""")
_ROW: Final = re.compile(rb"""row\b[^<>]*?\br\s*=\s*["']\s*([0-9]+)""")
_CELL: Final = re.compile(rb"<(?:\w+:)?c[\s/>]")
_ROW_END: Final = re.compile(rb"</(?:\w+:)?row")
_SPACE: Final = bytes.maketrans(b"\t\r\n", b"   ")


@dataclass
class Extent:
    """How far the cells of a sheet reach, and how many there can be.

    Cells and rows may leave their place out and then follow the one before, so those are counted;
    where they are is never guessed.
    """

    tags: int = 0
    texts: int = 0
    merges: int = 0
    inline: bool = False
    suspect: bool = False
    named_row: int = 0
    unnamed_rows: int = 0
    cell_row: int = 0
    cell_column: int = 0
    unnamed_cells: int = 0
    _row_so_far: int = 0
    _seam: bytes = b""

    @property
    def rows(self) -> int:
        return max(self.cell_row, self.named_row + self.unnamed_rows)

    @property
    def columns(self) -> int:
        return self.cell_column + self.unnamed_cells

    def add(self, piece: bytes) -> None:
        self.tags += piece.count(b"<")
        both = self._seam + piece
        cut = both.rfind(b"<", max(len(both) - _LONGEST_TAG, 0))
        self._look(both[:cut] if cut >= 0 else both)
        self._seam = both[cut:] if cut >= 0 else both[-_OVERLAP:]

    def finish(self) -> None:
        self._look(self._seam)

    def _look(self, text: bytes) -> None:
        plain = (
            b"'" not in text
            and b"<!" not in text
            and text.count(b"=") == text.count(b'="')
            and b' ="' not in text.translate(_SPACE)
        )
        found = _REFERENCE.findall(text) if plain else []
        if len(found) < text.count(b"<c") + text.count(b":c"):
            found = _ANY_REFERENCE.findall(text)
            self._count_unnamed(text, len(_CELL.findall(text)) - len(found))
        if found:
            letters, numbers = zip(*found, strict=True)
            self.cell_column = max(self.cell_column, *(_column(each) for each in set(letters)))
            self.cell_row = max(self.cell_row, *(int(each[:12]) for each in set(numbers)))
        named = _ROW.findall(text)
        self.unnamed_rows += max(text.count(b"<row") + text.count(b":row") // 2 - len(named), 0)
        self.named_row = max(self.named_row, *(int(each[:12]) for each in named), 0)
        self.texts += text.count(b't="s"') if plain else text.count(b"<") // 4
        self.merges += text.count(b"mergeCell")
        self.inline = self.inline or not plain or b"<t" in text or b't="str"' in text
        self.suspect = self.suspect or not plain or any(mark in text for mark in _MARKS)

    def _count_unnamed(self, text: bytes, count: int) -> None:
        if count <= 0:
            return
        for number, row in enumerate(_ROW_END.split(text)):
            self._row_so_far = len(_CELL.findall(row)) + (0 if number else self._row_so_far)
            self.unnamed_cells = max(self.unnamed_cells, self._row_so_far)


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters.upper()[:4]:
        number = number * 26 + letter - ord("A") + 1
    return number
