"""Totals rows that a workbook itself declares: the last rows of a table of a sheet (Excel's Table
Design, Total Row).

Belongs here: which rows of a sheet are such. Does not: rows that only look like totals
(`summary_words.py`).

Source: ECMA-376 part 1, 18.5.1.2 (table: `ref` with the totals rows in it, `totalsRowCount`) and
18.3.1.95 (tablePart).
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from syndb_pipeline.readers.workbook.faults import column_index, sheet_member

CODE: Final = "SYN-READ-017"

_MOST_BYTES: Final = 1_000_000
"""Of one part; a table of 1,000 columns takes 100,000."""

_MOST_TABLES: Final = 1_000
_TABLE_PART: Final = re.compile(rb"""<(?:\w+:)?Relationship\b[^>]*>""")
_ATTRIBUTE: Final = re.compile(rb"""([\w:]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_TABLE: Final = re.compile(rb"""<(?:\w+:)?table\b[^>]*>""")
_RANGE: Final = re.compile(r"\$?([A-Z]+)\$?[0-9]+:\$?([A-Z]+)\$?([0-9]+)")


@dataclass(frozen=True, slots=True)
class TotalsRows:
    """The spreadsheet rows `first` to `last` (from 1) of the columns `left` to `right` (from 0) are
    totals.
    """

    first: int
    last: int
    left: int
    right: int


def totals_rows(path: Path, sheet: str) -> list[TotalsRows]:
    """The totals rows of the tables of `sheet` in the workbook at `path`; none in an .xls, which
    has no such tables.
    """
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        member = sheet_member(archive, sheet)
        if member is None:
            return []
        folder, name = posixpath.split(member)
        found = []
        for relation in _TABLE_PART.findall(_small(archive, f"{folder}/_rels/{name}.rels"))[
            :_MOST_TABLES
        ]:
            told = _attributes(relation)
            if told.get("Type", "").endswith("/table"):
                target = told.get("Target", "")
                part = (
                    target.lstrip("/")
                    if target.startswith("/")
                    else posixpath.normpath(posixpath.join(folder, target))
                )
                found += _totals(_small(archive, part))
        return found


def _small(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of a part; none where it is not there, or larger than such a part is."""
    members = {member.lower(): member for member in archive.namelist()}
    member = members.get(name.lower())
    if member is None:
        return b""
    with archive.open(member) as source:
        content = source.read(_MOST_BYTES + 1)
    return content if len(content) <= _MOST_BYTES else b""


def _attributes(tag: bytes) -> dict[str, str]:
    return {
        key.decode(): (double or single).decode("utf-8", "replace")
        for key, double, single in _ATTRIBUTE.findall(tag)
    }


def _totals(part: bytes) -> list[TotalsRows]:
    tag = _TABLE.search(part)
    told = _attributes(tag[0]) if tag else {}
    place = _RANGE.fullmatch(told.get("ref", ""))
    count = told.get("totalsRowCount", "0")
    if place is None or not count.isdecimal() or not int(count):
        return []
    last = int(place[3])
    return [TotalsRows(last - int(count) + 1, last, column_index(place[1]), column_index(place[2]))]
