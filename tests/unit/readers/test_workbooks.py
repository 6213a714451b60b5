"""Workbooks: sheets, headers, cells, and cells that look empty and are not.

Belongs here: real .xlsx and .xls files through the ingest stage. Does not: casts, mistakes that the
corpus makes too (`tests/acceptance/corpus/workbooks.py`).
"""

from __future__ import annotations

import struct
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlsxwriter
import xlwt

from syndb_pipeline.readers.workbook.cells import cell_text, column_letters, is_damaged
from syndb_pipeline.readers.workbook.package import find_faults
from tests.lab import Ingested, ingest_folder

Rows = list[list[Any]]
BOTH = pytest.mark.parametrize("name", ["v.xlsx", "v.xls"])


def write(path: Path, sheets: dict[str, Rows], merged: tuple[tuple[int, ...], ...] = ()) -> None:
    """A workbook of either format; `merged` are ranges of its last sheet: first row and column,
    last row and column.
    """
    old = path.suffix == ".xls"
    book: Any = xlwt.Workbook() if old else xlsxwriter.Workbook(path)
    day = {} if old else {"format": book.add_format({"num_format": "yyyy-mm-dd"})}
    for name, rows in sheets.items():
        sheet = book.add_sheet(name) if old else book.add_worksheet(name)
        for top, left, bottom, right in merged if name == [*sheets][-1] else ():
            ends = (top, bottom, left, right) if old else (top, left, bottom, right, "")
            (sheet.merge if old else sheet.merge_range)(*ends)
        for number, row in enumerate(rows):
            for column, value in enumerate(row):
                if isinstance(value, date) and not old:
                    sheet.write_datetime(number, column, value, day["format"])
                elif value is not None:
                    sheet.write(number, column, value)
    book.save(str(path)) if old else book.close()


def ingested(folder: Path, name: str, rows: Rows, merged: Any = (), **config: Any) -> Ingested:
    write(folder / name, {"S": rows}, merged)
    return ingest_folder(folder, {"vesicle": {"file": name, **config}})


HEAD = ["cid", "voxel_radius"]
TITLED: Rows = [["Table 1", None], ["made by us", None], HEAD, ["a", 1]]


@BOTH
@pytest.mark.parametrize(
    ("rows", "config", "codes", "found", "lines"),
    [
        (
            [["cid", "parent_id", "voxel_radius"], [5, "01", 1.5], ["a", 1.5, None]],
            {},
            [],
            [("5", "01", 1.5), ("a", "1.5", None)],
            [2, 3],
        ),
        ([HEAD, [123456789012345, 1]], {}, [], [("123456789012345", 1.0)], [2]),
        (
            [HEAD, ["a", 1], [], [" ", None], ["b", 2], [], [" "]],
            {},
            ["SYN-READ-011"],
            [("a", 1.0), ("b", 2.0)],
            [2, 5],
        ),
        ([[], [], [None, None, *HEAD], [None, None, "a", 1]], {}, ["SYN-READ-011"], [("a", 1.0)], [4]),
        (TITLED, {"header_row": 3}, [], [("a", 1.0)], [4]),
        (TITLED, {}, ["SYN-READ-006"], None, []),
        (TITLED, {"header_row": 9}, ["SYN-READ-014"], None, []),
        (TITLED[3:], {"header_row": None, "names": HEAD}, [], [("a", 1.0)], [1]),
        (TITLED[3:], {"header_row": None, "names": ["cid"]}, ["SYN-READ-014"], None, []),
        (TITLED[3:], {}, ["SYN-READ-006"], None, []),
        ([["cid", None, "voxel_radius"], ["a", None, 1]], {}, [], [("a", 1.0)], [2]),
        ([["cid", None, "voxel_radius"], ["a", "x", 1]], {}, ["SYN-READ-005"], [("a", 1.0)], [2]),
        ([HEAD], {}, ["SYN-READ-013"], [], []),
        ([], {}, ["SYN-READ-014"], None, []),
    ],
    ids=[
        *("plain", "15 digits", "blank rows", "not at A1", "header row", "titles", "no row 9"),
        *("names", "too few names", "no header", "column without name", "values without name"),
        *("header alone", "empty"),
    ],
)  # fmt: skip
def test_rows(
    tmp_path: Path, name: str, rows: Rows, config: Any, codes: Any, found: Any, lines: list[int]
) -> None:
    done = ingested(tmp_path, name, rows, **config)
    assert done.codes == codes
    assert (done.rows("vesicle") if done.has("vesicle") else None) == found
    assert [done.line("vesicle", row) for row in range(len(lines))] == lines


def test_what_is_said_of_rows_and_headers(tmp_path: Path) -> None:
    blank = ingested(tmp_path, "v.xlsx", [HEAD, ["a", 1], [], [" ", None], ["b", 2], []])
    finding = blank.finding("SYN-READ-011")
    assert (finding.count, [example.row for example in finding.examples]) == (2, [3, 4])
    for wrong in (1, 4):
        (finding,) = ingested(tmp_path, "v.xlsx", TITLED, header_row=wrong).findings
        assert "`tables.vesicle.header_row: 3`" in finding.fix


@BOTH
def test_several_sheets_are_asked_about(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, {"Notes": [["hello"]], "Vesicles": [HEAD, ["b", 1]], "Data": [HEAD]})
    done = ingest_folder(tmp_path, {"vesicle": name})
    assert done.finding("SYN-READ-007").message.endswith("has 3 sheets: Notes, Vesicles, Data.")
    assert "`tables.vesicle.sheet: Vesicles`" in done.finding("SYN-READ-007").fix
    done = ingest_folder(tmp_path, {"vesicle": {"file": name, "sheet": "Vesicles"}})
    assert (done.rows("vesicle"), done.details.files[0].sheet) == ([("b", 1.0)], "Vesicles")
    done = ingest_folder(tmp_path, {"vesicle": {"file": name, "sheet": "data"}})
    assert "Notes, Vesicles, Data" in done.finding("SYN-READ-009").message
    assert "`tables.vesicle.sheet: Data`" in done.finding("SYN-READ-009").fix
    write(tmp_path / name, {"Notes": [["hello"]], "Data": [HEAD]})
    done = ingest_folder(tmp_path, {"vesicle": name})
    assert "`tables.vesicle.sheet: Data`" in done.finding("SYN-READ-007").fix


def test_cells_that_are_no_text_and_no_exact_number(tmp_path: Path) -> None:
    """Dates and true or false stay visible; numbers of too many digits are not taken as keys."""
    rows = [HEAD, [datetime(2020, 1, 2), date(2020, 1, 2)], ["b", True], [9007199254740996, 1]]
    done = ingested(tmp_path, "v.xlsx", rows)
    assert done.rows("vesicle")[:2] == [("2020-01-02", None), ("b", None)]
    assert [cell[1:] for cell in done.cells()] == [
        (0, "voxel_radius", "2020-01-02", "uncast"),
        (1, "voxel_radius", "true", "uncast"),
        (2, "cid", "9007199254740996", "float"),
    ]
    (finding,) = (finding for finding in done.findings if finding.code == "SYN-ID-006")
    assert (finding.severity, finding.column, finding.count) == ("warning", "cid", 1)
    assert (finding.examples[0].row, finding.examples[0].value) == (2, "2020-01-02")
    write(tmp_path / "s.xlsx", {"S": [["cid", "cave_id"], ["a", 8.646911280000001e17], ["b", 12]]})
    done = ingest_folder(tmp_path, {"synapse": "s.xlsx"})
    assert (done.rows("synapse"), done.cells()[0][4]) == ([("a", None), ("b", 12)], "uncast")


@BOTH
def test_merged_cells(tmp_path: Path, name: str) -> None:
    header = ingested(tmp_path, name, [["cid", "centre"], ["a", 1, 2]], [(0, 1, 0, 2)])
    assert "(B1:C1)" in header.finding("SYN-READ-008").message
    above = [["Table 1"], HEAD, ["a", 1]]
    assert ingested(tmp_path, name, above, [(0, 0, 0, 1)], header_row=2).findings == []
    columns = ["cid", "parent_id", "note", "voxel_radius"]
    rows = [
        columns,
        ["a", "p", "x", 1],
        ["b", None, "y", 2],
        ["c", "q", None, 3],
        ["d", "q", None, 4],
    ]
    # Of parent_id in rows 2 and 3, of the ignored note in rows 4 and 5.
    merged = [(1, 1, 2, 1), (3, 2, 4, 2)]
    done = ingested(tmp_path, name, rows, merged, ignore=["note"])
    finding = done.finding("SYN-READ-022")
    assert (finding.count, finding.column, finding.severity) == (1, "parent_id", "error")
    assert "(B2:B3)" in finding.message
    assert str(finding.examples[0]) == f"{name}, sheet S, row 2, column parent_id: 'p'"
    rows = [[*HEAD, "note"], ["Group 1"], ["a", 1], ["b", 2]]
    done = ingested(tmp_path, name, rows, [(1, 0, 1, 2), (3, 1, 3, 2)], ignore=["note"])
    assert [str(place) for place in done.finding("SYN-READ-022").examples] == [
        f"{name}, sheet S, row 2, column cid: 'Group 1'"
    ]


def test_spreadsheet_errors_in_xlsx(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(tmp_path / "v.xlsx") as book:
        sheet = book.add_worksheet("S & co")
        sheet.write_row(0, 1, [*HEAD, "comment"])
        sheet.write_row(1, 1, ["a", 1, "#N/A"])
        sheet.write_string(2, 1, "b")
        sheet.write_formula(2, 2, "=1/0", None, "#DIV/0!")
        sheet.write_formula(3, 1, "=NA()", None, "#N/A")
        sheet.write_formula(4, 1, '="d"', None, "d")
        sheet.write_formula(4, 2, "=1+1", None, 2)
        sheet.write_formula(4, 3, "=1/0", None, "#DIV/0!")
    table = {"file": "v.xlsx", "ignore": ["comment"]}
    done = ingest_folder(tmp_path, {"vesicle": table})
    assert [str(example) for example in done.finding("SYN-READ-010").examples] == [
        "v.xlsx, sheet S & co, row 3, column voxel_radius: '#DIV/0!'",
        "v.xlsx, sheet S & co, row 4, column cid: '#N/A'",
    ]
    assert done.rows("vesicle") == [("a", 1.0), ("b", None), (None, None), ("d", 2.0)]
    declared = ingest_folder(tmp_path, {"vesicle": table | {"missing": ["#N/A"]}})
    assert declared.finding("SYN-READ-010").count == 1


def test_spreadsheet_errors_in_xls(tmp_path: Path) -> None:
    """Of one sheet of several, beyond the container's small streams, across many sectors."""
    book = xlwt.Workbook()
    book.add_sheet("other").write(0, 0, "cid")
    sheet = book.add_sheet("Tabelle \u00e4")
    for row in range(3000):
        for column in range(4):
            sheet.write(row, column, f"cell {row} {column}")
    sheet.row(3000).set_cell_error(2, 0x07)
    sheet.row(3001).set_cell_error(1, 0x2A)
    book.save(str(tmp_path / "v.xls"))
    faults = find_faults(tmp_path / "v.xls", "v.xls", "Tabelle \u00e4")
    assert [(fault.row, fault.column, fault.shown, fault.code) for fault in faults] == [
        (3001, 2, "#DIV/0!", "SYN-READ-010"),
        (3002, 1, "#N/A", "SYN-READ-010"),
    ]
    assert find_faults(tmp_path / "v.xls", "v.xls", "other") == []


def test_formulas_without_a_saved_result(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (HEAD, ["a", "=1+1"], ["b", 2]):
        book.active.append(row)
    book.save(tmp_path / "v.xlsx")
    done = ingest_folder(tmp_path, {"vesicle": "v.xlsx"})
    assert [str(example) for example in done.finding("SYN-READ-016").examples] == [
        "v.xlsx, sheet Sheet, row 2, column voxel_radius: '=1+1'"
    ]
    assert done.rows("vesicle") == [("a", None), ("b", 2.0)]


def write_formulas(path: Path, rows: Rows) -> None:
    """An .xls sheet by xlwt, which saves no formula's result: a text that begins with = is a
    formula.
    """
    book = xlwt.Workbook()
    sheet = book.add_sheet("S")
    for number, row in enumerate(rows):
        for column, cell in enumerate(row):
            if cell is not None:
                sheet.write(
                    number,
                    column,
                    xlwt.Formula(cell[1:])
                    if isinstance(cell, str) and cell.startswith("=")
                    else cell,
                )
    book.save(str(path))


def faulty(path: Path, formulas: Rows) -> list[tuple[int, int, str]]:
    write_formulas(path, [HEAD, *formulas])
    found = find_faults(path, path.name, "S")
    return [(fault.row, fault.column, fault.code[-3:]) for fault in found]


@pytest.mark.parametrize(
    ("formulas", "columns"),
    [
        (["=1+2", "=A2*1500000"], [0, 1]),
        (["=A3", "=SUM(B2:B3)"], [0, 1]),
        (["=(A2+1)", "=AVERAGE(B2:B3)"], [0, 1]),
        (['="n"&5', "=-B2"], [0, 1]),
        (['=CONCATENATE("n",4)', None], [0]),
        (["=VLOOKUP(A2,A2:B3,1)", "=IF(B2>1,B2,B3)"], [0, 1]),
        (['=IF(B2>1,"n9","")', "=B2*2"], [0, 1]),
        ([9, "=B2*2"], [1]),
        # As a spreadsheet program saves them: no fault where nothing proves that they were not
        # worked out.
        (['=IF(A2>1,"x","")', '=IF(A3>1,"","y")'], []),
        (['=LEFT(B2,0)&""', None], []),
    ],
)
def test_formulas_without_a_saved_result_in_xls(
    tmp_path: Path, formulas: list[Any], columns: list[int]
) -> None:
    path = tmp_path / "v.xls"
    expected = [(3, column, "016") for column in columns]
    assert faulty(path, [[1, 10], formulas, [5, 50]]) == expected
    done = ingest_folder(tmp_path, {"vesicle": "v.xls"})
    assert [finding.count for finding in done.findings if finding.code == "SYN-READ-016"] == (
        [len(columns)] if columns else []
    )


def test_one_saved_result_shows_that_an_xls_was_worked_out(tmp_path: Path) -> None:
    path = tmp_path / "v.xls"
    assert len(faulty(path, [[1, "=1+1"], [2, "=B9"], [3, "=2*2"]])) == 3
    unsaved, saved = struct.pack("<Q", 0xFFFF000000000003), struct.pack("<d", 2.0)
    path.write_bytes(path.read_bytes().replace(unsaved, saved, 1))
    done = ingest_folder(tmp_path, {"vesicle": "v.xls"})
    assert [example.row for example in done.finding("SYN-READ-016").examples] == [4], (
        "=B9 may be an empty text, 2*2 may not"
    )
    assert done.rows("vesicle") == [("1", 2.0), ("2", None), ("3", None)]


@pytest.mark.parametrize("name", ["v.xlsx", "v.xls", "~$v.xlsx"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"PK\x03\x04 broken", ""),
        (b"cid\na\n", "no workbook but text"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\xff" * 600, ""),
    ],
)
def test_broken_workbooks(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    done = ingest_folder(tmp_path, {"vesicle": name})
    cut = content.startswith(b"PK") and name == "v.xlsx"
    assert done.codes == ["SYN-READ-018" if cut else "SYN-READ-014"]
    assert name[0] == "~" or said in done.findings[0].message


@BOTH
def test_a_workbook_cut_short(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, {"S": [["cid"], ["a"]]})
    whole = (tmp_path / name).read_bytes()
    for keep in (len(whole) // 3, len(whole) * 9 // 10):
        (tmp_path / name).write_bytes(whole[:keep])
        assert ingest_folder(tmp_path, {"vesicle": name}).codes == ["SYN-READ-018"]


def test_bytes_that_a_disk_lost_are_called_damage(tmp_path: Path) -> None:
    write(tmp_path / "v.xlsx", {"S": [HEAD, *([f"v{n}", n] for n in range(2000))]})
    whole = bytearray((tmp_path / "v.xlsx").read_bytes())
    at = whole.index(b"xl/worksheets/sheet1.xml") + 2000
    whole[at : at + 64] = bytes(64)
    (tmp_path / "v.xlsx").write_bytes(whole)
    (finding,) = ingest_folder(tmp_path, {"vesicle": "v.xlsx"}).findings
    assert finding.code == "SYN-READ-014" and "it is damaged." in finding.message


@pytest.mark.parametrize(
    ("cell", "text", "damaged"),
    [
        (5.0, "5", False),
        (5, "5", False),
        (0.1, "0.1", False),
        (0.1 + 0.2, "0.30000000000000004", True),
        (1e300, "1e+300", True),
        (True, "true", False),
        (-3.0, "-3", False),
        (123456789012345.0, "123456789012345", False),
        (1234567890123456.0, "1234567890123456", True),
        (864691128000000000.0, "864691128000000000", True),
        (date(2020, 1, 2), "2020-01-02", False),
        ("5.0", "5.0", False),
    ],
)
def test_cells_as_text(cell: Any, text: str, damaged: bool) -> None:
    assert (cell_text(cell), is_damaged(cell)) == (text, damaged)


def test_column_letters() -> None:
    assert [column_letters(index) for index in (0, 25, 26, 701, 702)] == [
        "A",
        "Z",
        "AA",
        "ZZ",
        "AAA",
    ]
