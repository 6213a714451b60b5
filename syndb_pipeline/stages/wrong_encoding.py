"""Keys whose text was read in a wrong encoding on one side: HÃ¼gel or H?gel for Hügel.

Belongs here: what a wrongly read text may have been, as SQL. Does not: the encoding of a file that is read now (`readers/encodings`).
"""

from __future__ import annotations

from typing import Final

from syndb_pipeline.engine import literal
from syndb_pipeline.stages.key_damage import Search

_CODE_PAGES: Final = ("cp1252", "mac_roman", "cp437", "cp850")
"""Encodings of one byte a letter in which western labs' programs read text: Windows and Latin-1, old Macs, DOS."""

_BYTES: Final = "".join(map(chr, range(0x80, 0x100)))
"""The characters whose code is the byte that they stand for here."""

_LOST: Final = r"[?\x{fffd}]+"
"""What programs write for bytes that they cannot read, or letters that they cannot write."""


def look(search: Search) -> None:
    """Explain orphans as `encoding:<where>` where a key is the word that they were before it was read wrongly, or the other way round."""
    names = {"here": ("value", search.pending, "key", search.keys), "there": ("key", search.keys, "value", search.pending)}
    sources = {"value": "value", "key": "row"}
    for where, (wrong, spoilt, right, whole) in names.items():
        whole = f"SELECT * FROM ({whole}) WHERE {_beyond_ascii(right)}"
        if not search.some(whole):
            continue
        for condition, meanings, form in (
            (_beyond_ascii(wrong), _meanings(wrong), f"nfc_normalize({right})"),
            (f"regexp_matches({wrong}, '{_LOST}')", f"[{_without_lost(wrong)}]", _without_lost(right)),
        ):
            read_wrongly = f"SELECT {sources[wrong]}, unnest({meanings}) AS form FROM ({spoilt}) WHERE {condition}"
            words = f"SELECT {sources[right]}, {form} AS form FROM ({whole})"
            orphans, keys = (read_wrongly, words) if where == "here" else (words, read_wrongly)
            search.match(f"'encoding:{where}'", orphans, keys)
            search.settle()


def _beyond_ascii(name: str) -> str:
    return f"strlen({name}) > length({name})"


def _without_lost(name: str) -> str:
    """SQL: `name` with one mark in place of each run of letters beyond ASCII, and of what stands for lost ones."""
    return rf"regexp_replace({name}, '([^\x00-\x7f]|[?])+', '?', 'g')"


def _characters(code_page: str) -> str:
    """The 128 characters of a code page beyond ASCII; a byte that it leaves open is the control character of that number."""
    return "".join(bytes([byte]).decode(code_page, "ignore") or chr(byte) for byte in range(0x80, 0x100))


def _from_utf8(name: str, code_page: str) -> str:
    """SQL: the text of which UTF-8 read as `code_page` gave `name`; NULL when there is none."""
    characters = _characters(code_page)
    known = characters + (_BYTES[:32] if code_page == "cp1252" else "")  # Latin-1 has control characters there
    byte = f"translate({name}, {literal(characters)}, {literal(_BYTES)})"
    code = "printf('%02x', unicode(letter))"
    whole = f"array_to_string(list_transform(string_split({byte}, ''), lambda letter: {code}), '')"
    return f"CASE WHEN regexp_full_match({name}, {literal(f'[{chr(1)}-{chr(127)}{known}]+')}) THEN TRY(decode(unhex({whole}))) END"


def _meanings(name: str) -> str:
    """SQL: the list of what the text `name` may have been before it was read in a wrong encoding."""
    found = [_from_utf8(name, page) for page in _CODE_PAGES]
    found.append(_from_utf8(f"({_from_utf8(name, 'cp1252')})", "cp1252"))  # twice
    found += [
        f"translate({name}, {literal(_characters(read_as))}, {literal(_characters(written))})"
        for read_as in _CODE_PAGES
        for written in _CODE_PAGES
        if read_as != written
    ]
    real = f"list_filter([{', '.join(found)}], lambda text: text IS NOT NULL AND text <> {name})"
    return f"list_distinct(list_transform({real}, lambda text: nfc_normalize(text)))"
