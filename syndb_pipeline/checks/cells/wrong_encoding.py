"""Keys whose text was read in a wrong encoding on one side: HÃ¼gel or H?gel for Hügel.

Belongs here: what a wrongly read text was, and what a text becomes. Does not: the encoding of a
file that is read now (`readers/encodings`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from typing import Final

from syndb_pipeline.base.engine import given
from syndb_pipeline.checks.references.search import Search

_CODE_PAGES: Final = ("cp1252", "mac_roman", "cp437", "cp850", "latin-1")
"""Encodings of one byte a letter in which western labs' programs read text: Windows, old Macs, DOS,
and Unix.
"""

_SAMPLE: Final = 1_000
"""Orphans of which it is seen how they were read: a table is read in one way."""

_TOGETHER: Final = 50_000

Reading = Callable[[str], str]
"""What a text was, or becomes. Raises `UnicodeError` where it was nothing."""


def look(search: Search) -> None:
    """Explain orphans as `encoding:<where>` where a key is the word that they were before it was
    read wrongly, or the other way round.
    """
    orphans = f"SELECT value, first FROM ({search.pending}) WHERE {_beyond_ascii('value')}"
    for where, readings in (("here", _MEANINGS), ("there", _MISREADINGS)):
        if not search.some(orphans):
            break
        _read(search, f"{orphans} ORDER BY first LIMIT {_SAMPLE}", readings)
        found = search.connection.execute(
            f"""SELECT reading FROM read_otherwise WHERE form IN (SELECT key FROM ({search.keys}))
                GROUP BY reading ORDER BY count(*) DESC, reading"""
        ).fetchall()
        for (number,) in found:
            _read(search, orphans, readings[number : number + 1])
            search.match(
                f"'encoding:{where}'",
                "SELECT value, form FROM read_otherwise",
                f"SELECT row, key AS form FROM ({search.keys})",
            )
    search.look("encoding")


def _read(search: Search, orphans: str, readings: tuple[Reading, ...]) -> None:
    """Make the table `read_otherwise` (value, reading, form) of what each of the `orphans` is by
    each of `readings`.
    """
    search.connection.execute(
        "CREATE OR REPLACE TEMP TABLE read_otherwise (value VARCHAR, reading BIGINT, form VARCHAR)"
    )
    search.connection.execute(f"CREATE OR REPLACE TABLE to_read AS SELECT value FROM ({orphans})")
    columns = {"value": "VARCHAR", "reading": "BIGINT", "form": "VARCHAR"}
    # A connection with an open result takes no other statement; a cursor is a second one on the
    # same database.
    with search.connection.cursor() as cursor:
        cursor.execute("SELECT value FROM to_read")
        while some := cursor.fetchmany(_TOGETHER):
            with given(
                search.connection,
                "some_texts",
                columns,
                list(_forms([value for (value,) in some], readings)),
            ):
                search.connection.execute("INSERT INTO read_otherwise FROM some_texts")


def _forms(values: list[str], readings: tuple[Reading, ...]) -> Iterator[tuple[str, int, str]]:
    for number, reading in enumerate(readings):
        for value in values:
            try:
                form = reading(value)
            except UnicodeError:
                continue
            if form != value:
                yield value, number, form


def _beyond_ascii(name: str) -> str:
    return f"strlen({name}) > length({name})"


def _characters(code_page: str) -> str:
    """The 128 characters of a code page beyond ASCII; a byte that it leaves open is the control
    character of that number.
    """
    return "".join(
        bytes([byte]).decode(code_page, "ignore") or chr(byte) for byte in range(0x80, 0x100)
    )


def _between(one: str, other: str) -> dict[int, int]:
    """What each character of code page `one` is where its byte is read as `other`."""
    return str.maketrans(_characters(one), _characters(other))


def _was_utf8(code_page: str) -> Reading:
    to_bytes, known = _between(code_page, "latin-1"), set(_characters(code_page))

    def reading(text: str) -> str:
        if not all(letter < "\x80" or letter in known for letter in text):
            raise UnicodeError(text)
        return unicodedata.normalize("NFC", text.translate(to_bytes).encode("latin-1").decode())

    return reading


def _utf8_as(code_page: str) -> Reading:
    to_letters = _between("latin-1", code_page)
    return lambda text: text.encode().decode("latin-1").translate(to_letters)


def _twice(reading: Reading) -> Reading:
    return lambda text: reading(reading(text))


def _page_as(one: str, other: str) -> Reading:
    letters = _between(one, other)
    return lambda text: text.translate(letters)


_PAIRS: Final = tuple(
    _page_as(one, other) for one in _CODE_PAGES for other in _CODE_PAGES if one != other
)

_MEANINGS: Final = (*map(_was_utf8, _CODE_PAGES), _twice(_was_utf8("cp1252")), *_PAIRS)
"""What a text may have been before it was read in a wrong encoding, once or twice."""

_MISREADINGS: Final = (*map(_utf8_as, _CODE_PAGES), _twice(_utf8_as("cp1252")), *_PAIRS)
"""What a text may become where it is read in a wrong encoding, once or twice."""
