"""What a person sees on a terminal after a program has written to it.

Belongs here: the few control sequences that a bar uses. Does not: starting programs
(`command_line.py`).
"""

from __future__ import annotations

import re

_PIECES = re.compile(
    r"\x1b\[(?P<number>\d*)(?P<act>[AK])|\x1b\[[0-9;?]*[a-zA-Z]|(?P<move>[\r\n])|(?P<text>[^\x1b\r\n]+)"
)


class Screen:
    """The lines that `written` leaves to read, from the first on; what left the screen above counts
    too.
    """

    def __init__(self, written: str) -> None:
        self._lines = [""]
        self._row = self._column = 0
        for piece in _PIECES.finditer(written):
            if piece["act"] == "A":
                self._row = max(0, self._row - int(piece["number"] or 1))
            elif piece["act"] == "K":
                self._lines[self._row] = ""
            elif piece["move"] == "\r":
                self._column = 0
            elif piece["move"] == "\n":
                self._row, self._column = self._row + 1, 0  # as a terminal set to translate it
                if self._row == len(self._lines):
                    self._lines.append("")
            elif piece["text"]:
                line = self._lines[self._row].ljust(self._column)
                self._lines[self._row] = (
                    line[: self._column] + piece["text"] + line[self._column + len(piece["text"]) :]
                )
                self._column += len(piece["text"])

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._lines if line.strip()]
