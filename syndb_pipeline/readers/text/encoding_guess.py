"""In which encoding text was written that is no UTF-8: what its letters say, and what its lines
would read.

Belongs here: the evidence of a file's lines, and the words of SYN-READ-003. Does not: reading or
transcoding files (`encodings.py`).

An encoding is offered only where its letters make words and no other common one does as well: under
a wrong one every key would be read, accepted and wrong. A file whose other lines are UTF-8 has no
encoding of its own: under any other, those lines would be wrong.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from syndb_pipeline.readers.part import Places, Problem
from syndb_pipeline.readers.text.lines import physical_lines

_WINDOWS, _MAC, _DOS = "cp1252", "mac-roman", "cp850"

_SAMPLE: Final = 200
"""Broken lines whose letters are looked at."""

_ENOUGH: Final = 0.95
"""Of the letters beyond ASCII, this share must make sense in an encoding that is offered."""

_SHOWN: Final = 60
_IN_WORD: Final = re.compile(rb"[A-Za-z][\x80-\xff]|[\x80-\xff][A-Za-z]")
_VALUE_END: Final = re.compile(rb'[,;\t|"\r\n]')

UNFINISHED: Final = ", where the line stops"

UTF8: Final = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_UTF16: Final = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")

WESTERN: Final = frozenset({"cp1252", "iso8859-1", "iso8859-15", "mac-roman", "cp850", "cp437"})
"""Encodings, as Python names them, in which UTF-8's pairs of bytes make no word: `Ã¼` for ü."""

MISREAD: Final = re.compile(
    rb"\xc3[\x80-\xbf]|\xc2[\xa0-\xbf]|\xe2\x80[\x90-\xa6]|\xce[\x91-\xbf]|\xcf[\x80-\x89]"
)
"""The UTF-8 of letters that labs use: é, µ, dashes, Greek."""


CONTROL: Final = re.compile(rb"[\x80-\x9f]")
"""Bytes that are control characters in ISO 8859, and letters and quotation marks under Windows and
on Macs.
"""


def utf16_of(head: bytes) -> str | None:
    """The encoding of two or four bytes a letter in which `head`, which has no byte order mark, is
    text; None when it is none.
    """
    for name in _UTF16:
        width = 2 if "16" in name else 4
        text = head[: len(head) // width * width].decode(name, "replace")
        marks = sum(character.isprintable() or character in "\t\r\n" for character in text)
        # Text in which every second character is a zero, or hardly one is printed, is damage or no
        # text.
        if (
            text
            and "\0" not in text
            and marks >= 0.95 * len(text)
            and sum(map(str.isascii, text)) * 2 >= len(text)
        ):
            return name
    return None


@dataclass
class Evidence:
    """What the lines of a file say that is read as UTF-8 and is none. `returns` says that its
    lines end in CR, as old Macs wrote them.
    """

    returns: bool = False
    count: int = 0
    first: tuple[int, bytes] | None = None
    _texts: list[bytes] = field(default_factory=list)
    is_mixed: bool = False

    def add_good(self, line: bytes) -> None:
        """A line of valid UTF-8."""
        self.is_mixed = self.is_mixed or not line.isascii()

    def add_bad(self, number: int, line: bytes) -> None:
        """Line `number`, which is no UTF-8."""
        self.count += 1
        self.first = self.first or (number, line)
        self.is_mixed = self.is_mixed or UTF8.search(line) is not None
        if len(self._texts) < _SAMPLE:
            self._texts.append(line)

    @property
    def readings(self) -> dict[str, str]:
        """The encodings in which the lines make sense, each with what the first of them reads."""
        return _readings(self._texts, self.returns)

    def values(self, table: str, *, several: bool) -> dict[str, Any]:
        """The values of a SYN-READ-003 about these lines, read for SynDB's `table`; `several` says
        that it has more files than this.
        """
        assert self.first is not None
        number, line = self.first
        reason = what_is_wrong(number, line) + (
            f"; {self.count:,} lines in all" if self.count > 1 else ""
        )
        readings = self.readings
        if self.is_mixed:
            those = "this line" if self.count == 1 else "these lines"
            shown = " or ".join(f"{text!r} in {name}" for name, text in readings.items())
            advice = (
                f"The file is UTF-8 but for {those}, so no encoding fits it as a whole. Write"
                f" {those} again as UTF-8{f' (line {number:,} may read {shown})' if shown else ''};"
                " the other lines need no change."
            )
            return {"encoding": "utf-8", "reason": reason, "advice": advice}
        return {
            "encoding": "utf-8",
            "reason": reason,
            "advice": _advice(table, readings, f"line {number:,}", several),
        }


def readings_of(lines: Iterable[bytes]) -> dict[str, str] | None:
    """The encodings in which the `lines` of a file make sense, each with what the first of them
    reads; None where some are UTF-8.
    """
    evidence = Evidence()
    for number, line in enumerate(lines, start=1):
        try:
            line.decode()
        except UnicodeDecodeError:
            evidence.add_bad(number, line)
        else:
            evidence.add_good(line)
    return None if evidence.is_mixed else evidence.readings


def doubts(
    utf8: Path, end: bytes, file: str, table: str, encoding: str, *, several: bool
) -> list[Problem]:
    """A warning where the config's `encoding` makes no words of the text that is now at `utf8`, and
    another common one does.

    Args:
        utf8: The file as UTF-8, read in `encoding`, its lines ending in `end`; it is called `file`
            in findings.
        table: SynDB's table, which settings are named for.
        several: Whether the table has more files than this.
    """
    if encoding not in WESTERN:
        return []
    lines, places = [], Places(file)
    with utf8.open("rb") as source:
        for number, line in enumerate(physical_lines(source, end), start=1):
            if not line.isascii() and _IN_WORD.search(
                raw := line.decode().encode(encoding)
            ):  # a sign by itself says nothing
                lines.append(raw)
                places.add(number, line.decode())
                if len(lines) == _SAMPLE:
                    break
    if not lines or _reading(lines, encoding) is not None:
        return []
    readings = {
        name: text
        for name, text in _readings(lines, returns=end == b"\r").items()
        if name != encoding
    }
    if not readings:
        return []
    text = places.examples[0].value or ""
    at = next(index for index, character in enumerate(text) if not character.isascii())
    word = value_at(text.encode(), len(text[:at].encode())).decode("utf-8", "replace")
    reason = f"line {places.examples[0].row:,} reads {word!r} in it, whose letters make no word"
    (problem,) = places.problem(
        "SYN-READ-003",
        encoding=encoding,
        reason=reason,
        advice=_advice(table, readings, f"line {places.examples[0].row:,}", several),
    )
    return [replace(problem, severity="warning", confidence="likely")]


def what_is_wrong(number: int, line: bytes) -> str:
    """Where line `number` stops being UTF-8, in words."""
    try:
        line.decode()
    except UnicodeDecodeError as error:
        place = f"line {number:,}, byte {error.start + 1} is 0x{line[error.start]:02X}"
        return place + (UNFINISHED if error.reason == "unexpected end of data" else "")
    raise AssertionError("the line is UTF-8")


def advice_for(table: str, encoding: str, piece: bytes, *, several: bool) -> str:
    """What to do about a file of `table` whose `piece` the configured `encoding` cannot decode."""
    try:
        piece.decode()
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            lines = [line for line in piece.splitlines() if not line.isascii()]
            readings = {
                name: text
                for name, text in _readings(lines[:_SAMPLE], returns=False).items()
                if name != encoding
            }
            return _advice(table, readings, "the text", several)
    if b"\0" in piece:
        return name_it(table, utf16_of(piece[:4096]) or "utf-8", several=several)
    return name_it(table, "utf-8", several=several)


def name_it(table: str, encoding: str, *, several: bool) -> str:
    """What to do about a file of `table` whose encoding is known. The setting is for all files of a
    table, so it may spoil the others.
    """
    if several:
        return (
            f"It is in {encoding}, and all files of a table are read in one encoding: save it in"
            " that of the others, best UTF-8."
        )
    return f"Save it as UTF-8, or name its encoding: `tables.{table}.encoding: {encoding}`."


def _advice(table: str, readings: dict[str, str], place: str, several: bool) -> str:
    if len(readings) == 1:
        ((name, text),) = readings.items()
        return f"{name_it(table, name, several=several)} In it {place} reads {text!r}."
    if readings:
        shown = ", or ".join(
            f"{name}, in which {place} reads {text!r}" for name, text in readings.items()
        )
        return (
            f"Save it as UTF-8, or name its encoding, `encoding` of `tables.{table}`. It may be"
            f" {shown}: choose the one that is right."
        )
    return (
        "Save it as UTF-8 with the program that wrote it. The letters make no words in the"
        " encodings that are common in the West; if you know the file's encoding, e.g. cp1251,"
        f" shift_jis or gb18030, name it as `encoding` of `tables.{table}`."
    )


def _readings(lines: list[bytes], returns: bool) -> dict[str, str]:
    """The encodings in which `lines` make sense, each with what the first of them reads there.

    Windows' encoding has its letters where Mac Roman has signs and rare capitals, and the other way
    round: bytes from 0x80 to 0x9F are letters on Macs and under DOS, and those from 0xC0 on are
    under Windows.
    """
    low = any(0x80 <= byte <= 0x9F for line in lines for byte in line)
    likely = {
        name: text for name in (_WINDOWS, _MAC) if (text := _reading(lines, name)) is not None
    }
    if returns and low and _MAC in likely:
        return {_MAC: likely[_MAC]}
    if not low and not returns and _WINDOWS in likely:
        return {_WINDOWS: likely[_WINDOWS]}
    if _WINDOWS not in likely and not returns and (text := _reading(lines, _DOS)) is not None:
        likely[_DOS] = text
    return likely if len(set(likely.values())) > 1 else dict([*likely.items()][:1])


def _reading(lines: Iterable[bytes], encoding: str) -> str | None:
    """The first value beyond ASCII of `lines` in `encoding`; None where their letters make no sense
    in it.
    """
    sensible = total = 0
    first = None
    for line in lines:
        text = line.decode(
            encoding, "replace"
        )  # one character a byte: these encodings have no others
        for index, character in enumerate(text):
            if not character.isascii():
                total += 1
                sensible += _makes_sense(text, index, encoding)
                first = first or value_at(line, index).decode(encoding, "replace")
    return first if total and sensible >= _ENOUGH * total else None


def value_at(line: bytes, at: int) -> bytes:
    """The value of a delimited line that its byte `at` is in, or the beginning of it."""
    start = (
        max(line.rfind(mark, 0, at) for mark in (b",", b";", b"\t", b"|", b'"', b"\r", b"\n")) + 1
    )
    value = _VALUE_END.split(line[start:], maxsplit=1)[0]
    return value if len(value) <= _SHOWN else line[max(start, at - _SHOWN // 2) : at + _SHOWN // 2]


_NO_LETTERS: Final = "ªºƒı"


def _is_latin(character: str) -> bool:
    return (
        character.isalpha()
        and character not in _NO_LETTERS
        and unicodedata.name(character, "").startswith("LATIN ")
    )


def _makes_sense(text: str, index: int, encoding: str) -> bool:
    """Whether the character beyond ASCII at `index` of `text` may well be there, between its
    neighbours.
    """
    own, before, after = text[index], text[max(index - 3, 0) : index], text[index + 1 : index + 3]
    last, following = before[-1:], after[:1]
    if _is_latin(own):
        if all(
            len(some) == 2
            and not some.isascii()
            and not some[0].isascii()
            and not some[1].isascii()
            for some in (before[-2:], after)
        ):
            return False  # words of nothing but such letters are of another script
        if len(before) >= 2 and not before[-1].isascii() and not before[-2].isascii():
            return False
        if own.isupper():
            return not (last.islower() or (last.isalpha() and following.islower()))
        return not (len(before) >= 2 and before[-1].isupper() and before[-2].isupper())
    if encoding == _DOS:
        return False  # its signs are drawn lines and fractions
    between = last.isalnum() and following.isalnum()
    match own:
        case "µ":
            return not last.isalpha() and (following in "mMlLgsA" or not following.isalnum())
        case "°":
            return (not last or not last.isalpha()) and not following.islower()
        case "²" | "³":
            return last in ("m", "M") and not following.isalnum()
        case "’":
            return last.isalpha()
        case "–" | "—" | "\u00a0":
            return bool(last or following)
        case "“" | "‘" | "«" | "„":
            return not last.isalnum()
        case "”" | "»":
            return not following.isalnum()
        case "±" | "×" | "≤" | "≥" | "≈":
            return not last.isalpha() and not following.isalpha()
        case "…" | "®" | "™":
            return not between
        case "§" | "€" | "£":
            return not last.isalpha() and not following.isalpha()
        case "½" | "¼" | "¾":
            return not last.isalpha() and not following.isalnum()
    return False
