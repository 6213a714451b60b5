"""What letters beyond ASCII say of the encoding that they are in, where it may be one of those that
are common in the West.

Belongs here: whether letters make words in an encoding, and the value around one. Does not: files,
UTF-8 (`encodings.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

SAMPLE: Final = 200
"""Lines whose letters are looked at."""

_ENOUGH: Final = 0.95
"""Of the letters beyond ASCII, this share must make sense in an encoding that is offered."""

_SHOWN: Final = 60
_BEYOND_ASCII: Final = re.compile(rb"[\x80-\xff]")
IN_WORD: Final = re.compile(rb"[A-Za-z][\x80-\xff]|[\x80-\xff][A-Za-z]")
_BETWEEN_VALUES: Final = re.compile(rb'[,;\t|"\r\n]')

NO_LETTER: Final = re.compile(rb"[\x80-\x9f]")
"""Bytes that are control characters in ISO 8859, and letters and quotation marks under Windows and
on Macs.
"""

_CAPITALS, _SMALL = "À-ÖØ-ÞŒŠŽŸ", "ß-öø-ÿœšžﬁﬂ"
_LETTERS: Final = re.compile(
    r"(?<![^\x00-\x7f]{2})(?:(?<![a-zSMALL])(?:(?<![A-ZCAPITALS])[CAPITALS]"
    r"|[CAPITALS](?![a-zSMALL]))|(?<![A-ZCAPITALS]{2})[SMALL])".replace(
        "CAPITALS", _CAPITALS
    ).replace("SMALL", _SMALL)
)
"""Letters beyond ASCII where a word may have them: few beside one another, capitals at its
beginning or among capitals.
"""

_SIGNS: Final = re.compile(
    r"(?<![^\W\d_])(?:µ(?:(?=[mMlLgsA])|(?![^\W_]))|°(?![a-zß-öø-ÿ])|[±×≤≥≈§€£](?![^\W\d_])|[½¼¾](?![^\W_]))"
    r"|(?<=[mM])[²³](?![^\W_])|(?<=[^\W\d_])’|(?<=.)[–—\xa0]|[–—\xa0](?=.)|(?<![^\W_])[“‘«„…®™]|[”»…®™](?![^\W_])"
)
"""Signs beyond ASCII where a text may have them: µ before a unit, ² behind one, ’ behind a
letter.
"""


def readings_of(lines: Sequence[bytes], returns: bool) -> dict[str, str]:
    """The encodings in which `lines` make sense, each with what the first of them reads there.

    Windows' encoding has its letters where Mac Roman has signs and rare capitals, and the other way
    round: bytes from 0x80 to 0x9F are letters on Macs and under DOS, and those from 0xC0 on are
    under Windows.
    """
    low = any(map(NO_LETTER.search, lines))
    likely = {
        name: text
        for name in ("cp1252", "mac-roman")
        if (text := reading_of(lines, name)) is not None
    }
    if returns and low and "mac-roman" in likely:
        return {"mac-roman": likely["mac-roman"]}
    if not low and not returns and "cp1252" in likely:
        return {"cp1252": likely["cp1252"]}
    if "cp1252" not in likely and not returns and (text := reading_of(lines, "cp850")) is not None:
        likely["cp850"] = text
    return likely if len(set(likely.values())) > 1 else dict([*likely.items()][:1])


def reading_of(lines: Sequence[bytes], encoding: str) -> str | None:
    """The first value beyond ASCII of `lines` in `encoding`; None where their letters make no sense
    in it.
    """
    beyond = [line for line in lines if not line.isascii()]
    total = sum(len(_BEYOND_ASCII.findall(line)) for line in beyond)
    # One character a byte: these encodings have no others. Signs of DOS are drawn lines.
    texts = [line.decode(encoding, "replace") for line in beyond]
    patterns = (_LETTERS,) if encoding == "cp850" else (_LETTERS, _SIGNS)
    sensible = sum(len(pattern.findall(text)) for pattern in patterns for text in texts)
    if not total or sensible < _ENOUGH * total:
        return None
    return first_value(beyond[0]).decode(encoding, "replace")


def first_value(line: bytes) -> bytes:
    """The first value of a delimited line that has a byte beyond ASCII."""
    found = _BEYOND_ASCII.search(line)
    assert found is not None
    return value_at(line, found.start())


def value_at(line: bytes, at: int) -> bytes:
    """The value of a delimited line that its byte `at` is in, or the part of it around the byte."""
    before = _BETWEEN_VALUES.split(line[:at])[-1]
    value = before + _BETWEEN_VALUES.split(line[at:], maxsplit=1)[0]
    half = _SHOWN // 2
    return value if len(value) <= _SHOWN else value[max(len(before) - half, 0) : len(before) + half]
