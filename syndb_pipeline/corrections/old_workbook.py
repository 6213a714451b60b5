"""An old Excel workbook (.xls) as .xlsx, so that cells of it can be corrected: nothing writes the
old format any more.

Belongs here: the smallest .xlsx that reads as the .xls did. Does not: formats, pictures, formulas;
a copy has values only.

Source: ECMA-376 part 1, 18.3.1 (sheet data), 18.18.11 (types of cells); part 2 (the archive).
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import date, time
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from python_calamine import CalamineWorkbook, SheetTypeEnum

from syndb_pipeline.corrections.sheet_copy import xml_text
from syndb_pipeline.readers.workbook.faults import ERROR, find_faults
from syndb_pipeline.readers.workbook.merged_cells import column_letters

_HEAD: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_SHEET: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)


def write_as_xlsx(path: Path, target: Path) -> None:
    """Write every sheet of the workbook at `path` to `target`: values, errors and dates as our
    reader sees them.
    """
    workbook = CalamineWorkbook.from_path(path)
    names = [
        sheet.name for sheet in workbook.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet
    ]
    numbers = range(1, len(names) + 1)
    types = "".join(
        f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{_SHEET}.worksheet+xml"/>'
        for n in numbers
    )
    sheets = "".join(
        f'<sheet name={quoteattr(name)} sheetId="{n}" r:id="rId{n}"/>'
        for n, name in zip(numbers, names, strict=True)
    )
    related = "".join(
        f'<Relationship Id="rId{n}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n in numbers
    )
    parts = {
        "[Content_Types].xml": (
            f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels"'
            ' ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override'
            f' PartName="/xl/workbook.xml" ContentType="{_SHEET}.sheet.main+xml"/>{types}</Types>'
        ),
        "_rels/.rels": (
            f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1"'
            f' Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
        ),
        "xl/workbook.xml": (
            f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{sheets}</sheets></workbook>'
        ),
        "xl/_rels/workbook.xml.rels": (
            f'<Relationships xmlns="{_PACKAGE}/relationships">{related}</Relationships>'
        ),
    }
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(_member(name), _HEAD + text)
        for number, name in zip(numbers, names, strict=True):
            errors = {
                (fault.row, fault.column): fault.shown
                for fault in find_faults(path, path.name, name)
                if fault.code == ERROR
            }
            with archive.open(
                _member(f"xl/worksheets/sheet{number}.xml"), "w", force_zip64=True
            ) as sheet:
                sheet.write(f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetData>'.encode())
                for line in _rows(workbook.get_sheet_by_name(name), errors):
                    sheet.write(line.encode())
                sheet.write(b"</sheetData></worksheet>")


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _EARLIEST)
    member.compress_type = zipfile.ZIP_DEFLATED
    return member


def _rows(sheet: Any, errors: dict[tuple[int, int], str]) -> Iterator[str]:
    if sheet.start is None:
        return
    first = sheet.start[1]
    for number, row in enumerate(sheet.iter_rows(), start=1):
        cells = []
        for column, value in enumerate(row, start=first):
            place = f'r="{column_letters(column)}{number}"'
            error = errors.get((number, column))
            if error is not None:
                cells.append(f'<c {place} t="e"><v>{xml_text(error)}</v></c>')
            elif value != "":
                cells.append(_cell(place, value))
        if cells:
            yield f'<row r="{number}">{"".join(cells)}</row>'


def _cell(place: str, value: Any) -> str:
    if isinstance(value, bool):
        return f'<c {place} t="b"><v>{int(value)}</v></c>'
    if isinstance(value, int | float):
        # as exact as it was: a spreadsheet library would round to 16 digits
        return f"<c {place}><v>{value!r}</v></c>"
    if isinstance(value, date | time):
        return f'<c {place} t="d"><v>{value.isoformat()}</v></c>'
    return (
        f'<c {place} t="inlineStr"><is><t xml:space="preserve">{xml_text(str(value))}</t></is></c>'
    )
