"""Workbooks: sheets, headers, cells, and cells that look empty and are not.

Belongs here: real .xlsx and .xls files through the ingest stage. Does not: casts.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlsxwriter
import xlwt

from syndb_pipeline.readers.workbook.cells import cell_text, column_letters, is_damaged
from syndb_pipeline.readers.workbook.package import find_faults
from tests.ingest_helpers import Ingested, ingest_folder

Rows = list[list[Any]]


def write_xlsx(path: Path, sheets: dict[str, Rows]) -> None:
    with xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd"}) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)


def write_xls(path: Path, sheets: dict[str, Rows]) -> None:
    book = xlwt.Workbook()
    for name, rows in sheets.items():
        sheet = book.add_sheet(name)
        for number, row in enumerate(rows):
            for column, value in enumerate(row):
                if value is not None:
                    sheet.write(number, column, value)
    book.save(str(path))


def ingest_rows(folder: Path, rows: Rows, **config: Any) -> Ingested:
    write_xlsx(folder / "v.xlsx", {"S": rows})
    return ingest_folder(folder, {"vesicle": {"file": "v.xlsx", **config}})


@pytest.mark.parametrize(("name", "write"), [("v.xlsx", write_xlsx), ("v.xls", write_xls)])
def test_a_plain_sheet(
    tmp_path: Path, name: str, write: Callable[[Path, dict[str, Rows]], None]
) -> None:
    write(
        tmp_path / name,
        {
            "S": [
                ["cid", "parent_id", "voxel_radius", "minimum_normal_length"],
                [5, "01", 1.5, 12],
                ["a", 1.5, None, 3.0],
            ]
        },
    )
    done = ingest_folder(tmp_path, {"vesicle": name})
    assert done.findings == []
    assert done.rows("vesicle") == [("5", "01", 1.5, 12), ("a", "1.5", None, 3)]
    assert [done.line("vesicle", row) for row in range(2)] == [2, 3]
    assert done.details.files[0].sheet == "S"


@pytest.mark.parametrize(("name", "write"), [("v.xlsx", write_xlsx), ("v.xls", write_xls)])
def test_several_sheets_are_asked_about(
    tmp_path: Path, name: str, write: Callable[[Path, dict[str, Rows]], None]
) -> None:
    write(tmp_path / name, {"Connectome": [["cid"], ["a"]], "Sensory": [["cid"], ["b"]]})
    done = ingest_folder(tmp_path, {"vesicle": name})
    assert done.finding("SYN-READ-007").message.endswith("has 2 sheets: Connectome, Sensory.")
    assert not done.has("vesicle")
    assert ingest_folder(tmp_path, {"vesicle": {"file": name, "sheet": "Sensory"}}).rows(
        "vesicle"
    ) == [("b",)]
    assert (
        "Connectome, Sensory"
        in ingest_folder(tmp_path, {"vesicle": {"file": name, "sheet": "x"}})
        .finding("SYN-READ-009")
        .message
    )


def test_dates_and_booleans_stay_visible(tmp_path: Path) -> None:
    done = ingest_rows(
        tmp_path,
        [["cid", "voxel_radius"], [datetime(2020, 1, 2, 3, 4), date(2020, 1, 2)], ["b", True]],
    )
    assert done.rows("vesicle") == [("2020-01-02 03:04:00", None), ("b", None)]
    assert done.cells() == [
        ("vesicle", 0, "voxel_radius", "2020-01-02", "uncast"),
        ("vesicle", 1, "voxel_radius", "true", "uncast"),
    ]


def test_long_numbers_as_keys_are_told(tmp_path: Path) -> None:
    path = tmp_path / "v.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("S")
        sheet.write_row(0, 0, ["cid", "parent_id"])
        sheet.write_row(1, 0, [123456789012345, "864691128000000123"])
        sheet.write_row(2, 0, [9007199254740996, 8.646911280000001e17])
    done = ingest_folder(tmp_path, {"vesicle": "v.xlsx"})
    assert done.rows("vesicle")[0] == ("123456789012345", "864691128000000123")
    assert [(row, column, kind) for _, row, column, _, kind in done.cells()] == [
        (1, "cid", "float"),
        (1, "parent_id", "float"),
    ]


def test_long_whole_numbers_in_integer_columns_are_not_taken_as_exact(tmp_path: Path) -> None:
    write_xlsx(
        tmp_path / "s.xlsx", {"S": [["cid", "cave_id"], ["a", 8.646911280000001e17], ["b", 123456]]}
    )
    done = ingest_folder(tmp_path, {"synapse": "s.xlsx"})
    assert done.rows("synapse") == [("a", None), ("b", 123456)]
    assert done.cells()[0][4] == "uncast"


def test_blank_rows_between_are_counted_and_trailing_ones_are_not(tmp_path: Path) -> None:
    done = ingest_rows(
        tmp_path, [["cid", "voxel_radius"], ["a", 1], [], [" ", None], ["b", 2], [], [" "]]
    )
    finding = done.finding("SYN-READ-011")
    assert (finding.count, [example.row for example in finding.examples]) == (2, [3, 4])
    assert done.rows("vesicle") == [("a", 1.0), ("b", 2.0)]
    assert [done.line("vesicle", row) for row in range(2)] == [2, 5]


def test_a_sheet_that_does_not_start_at_a1(tmp_path: Path) -> None:
    done = ingest_rows(
        tmp_path, [[], [], [None, None, "cid", "voxel_radius"], [None, None, "a", 1]]
    )
    assert done.rows("vesicle") == [("a", 1.0)]
    assert done.line("vesicle", 0) == 4
    assert done.finding("SYN-READ-011").count == 2


def test_header_row(tmp_path: Path) -> None:
    rows: Rows = [["Table 1", None], ["made by us", None], ["cid", "voxel_radius"], ["a", 1]]
    done = ingest_rows(tmp_path, rows, header_row=3)
    assert done.findings == []
    assert done.line("vesicle", 0) == 4
    assert ingest_rows(tmp_path, rows[3:], header_row=None, names=["cid", "voxel_radius"]).rows(
        "vesicle"
    ) == [("a", 1.0)]
    assert (
        "names"
        in ingest_rows(tmp_path, rows[3:], header_row=None, names=["cid"])
        .finding("SYN-READ-014")
        .fix
    )
    assert "row 9" in ingest_rows(tmp_path, rows, header_row=9).finding("SYN-READ-014").message
    assert ingest_rows(tmp_path, rows[3:]).codes == ["SYN-READ-006"]
    for wrong in (1, 4):
        (finding,) = ingest_rows(tmp_path, rows, header_row=wrong).findings
        assert (finding.code, "`tables.vesicle.header_row: 3`" in finding.fix) == (
            "SYN-READ-006",
            True,
        )


def test_keys_that_a_spreadsheet_made_dates_of_are_told(tmp_path: Path) -> None:
    done = ingest_rows(
        tmp_path,
        [["cid", "parent"], ["a", "x"], [date(2024, 3, 1), "y"]],
        columns={"parent": "parent_id"},
    )
    (finding,) = done.findings
    assert (finding.code, finding.severity, finding.column, finding.count) == (
        "SYN-ID-006",
        "warning",
        "cid",
        1,
    )
    assert (finding.examples[0].row, finding.examples[0].value) == (3, "2024-03-01")
    assert "is a date to the spreadsheet" in finding.message


def test_the_sheet_that_fits_is_proposed(tmp_path: Path) -> None:
    table: Rows = [["cid", "voxel_radius"], ["a", 1]]
    for name in ("Vesicles", "Data"):
        write_xlsx(tmp_path / "v.xlsx", {"Notes": [["hello"]], name: table})
        assert (
            f"`tables.vesicle.sheet: {name}`"
            in ingest_folder(tmp_path, {"vesicle": "v.xlsx"}).finding("SYN-READ-007").fix
        )
    done = ingest_folder(tmp_path, {"vesicle": {"file": "v.xlsx", "sheet": "data"}})
    assert "`tables.vesicle.sheet: Data`" in done.finding("SYN-READ-009").fix


@pytest.mark.parametrize(
    ("content", "said"), [("cid,voxel_radius\na,1\n", "no workbook but text"), ("", "it is empty")]
)
def test_text_called_a_workbook(tmp_path: Path, content: str, said: str) -> None:
    for name in ("v.xlsx", "v.xls"):
        (tmp_path / name).write_text(content)
        assert said in ingest_folder(tmp_path, {"vesicle": name}).finding("SYN-READ-014").message


@pytest.mark.parametrize("name", ["v.xlsx", "v.xls"])
def test_merged_header(tmp_path: Path, name: str) -> None:
    if name == "v.xls":
        book = xlwt.Workbook()
        sheet = book.add_sheet("S")
        sheet.write(0, 0, "cid")
        sheet.write_merge(0, 0, 1, 2, "centre")
        sheet.write(1, 0, "a")
        book.save(str(tmp_path / name))
    else:
        with xlsxwriter.Workbook(tmp_path / name) as modern:
            page = modern.add_worksheet("S")
            page.write_row(0, 0, ["cid"])
            page.merge_range("B1:C1", "centre")
            page.write_row(1, 0, ["a", 1, 2])
    done = ingest_folder(tmp_path, {"vesicle": name})
    assert "(B1:C1)" in done.finding("SYN-READ-008").message


def test_merged_cells_elsewhere_are_no_header(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(tmp_path / "v.xlsx") as book:
        sheet = book.add_worksheet("S")
        sheet.merge_range("A1:B1", "Table 1")
        sheet.write_row(1, 0, ["cid", "voxel_radius"])
        sheet.write_row(2, 0, ["a", 1])
    assert ingest_folder(tmp_path, {"vesicle": {"file": "v.xlsx", "header_row": 2}}).findings == []


@pytest.mark.parametrize("name", ["v.xlsx", "v.xls"])
def test_merged_cells_among_the_rows(tmp_path: Path, name: str) -> None:
    rows: Rows = [
        ["cid", "parent_id", "note", "voxel_radius"],
        ["a", "p", "x", 1],
        ["b", None, "y", 2],
        ["c", "q", None, 3],
        ["d", "q", None, 4],
    ]
    ranges = [
        (1, 1, 2, 1),
        (3, 2, 4, 2),
    ]  # of parent_id in rows 2 and 3, of the ignored note in rows 4 and 5
    if name.endswith("x"):
        with xlsxwriter.Workbook(tmp_path / name) as new:
            sheet = new.add_worksheet("S")
            for first, left, last, right in ranges:
                sheet.merge_range(first, left, last, right, "")
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
    else:
        old = xlwt.Workbook()
        page = old.add_sheet("S")
        for number, row in enumerate(rows):
            for column, value in enumerate(row):
                if value is not None:
                    page.write(number, column, value)
        for first, left, last, right in ranges:
            page.merge(first, last, left, right)
        old.save(str(tmp_path / name))
    done = ingest_folder(tmp_path, {"vesicle": {"file": name, "ignore": ["note"]}})
    finding = done.finding("SYN-READ-022")
    assert (finding.count, finding.column, finding.severity) == (1, "parent_id", "error")
    assert "(B2:B3)" in finding.message
    assert [str(place) for place in finding.examples] == [
        f"{name}, sheet S, row 2, column parent_id: 'p'"
    ]
    assert done.codes == ["SYN-READ-022"]


def test_merged_cells_of_one_row(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(tmp_path / "v.xlsx") as book:
        sheet = book.add_worksheet("S")
        sheet.write_row(0, 0, ["cid", "voxel_radius", "note"])
        sheet.merge_range("A2:C2", "Group 1")
        sheet.write_row(2, 0, ["a", 1])
        sheet.merge_range("B4:C4", 2)
        sheet.write(3, 0, "b")
    done = ingest_folder(tmp_path, {"vesicle": {"file": "v.xlsx", "ignore": ["note"]}})
    assert [str(place) for place in done.finding("SYN-READ-022").examples] == [
        "v.xlsx, sheet S, row 2, column cid: 'Group 1'"
    ]


def test_an_unnamed_column_counts_only_when_it_holds_something(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(tmp_path / "v.xlsx") as book:
        sheet = book.add_worksheet("S")
        sheet.write_row(0, 0, ["cid", "", "voxel_radius"])
        sheet.write_row(1, 0, ["a", "", 1])
        sheet.write_string(1, 4, " ")
    assert ingest_folder(tmp_path, {"vesicle": "v.xlsx"}).codes == ["SYN-READ-005"]
    assert ingest_rows(tmp_path, [["cid", None, "voxel_radius"], ["a", None, 1]]).findings == []
    assert ingest_rows(tmp_path, [["cid", None, "voxel_radius"], ["a", "x", 1]]).codes == [
        "SYN-READ-005"
    ]


def test_spreadsheet_errors_in_xlsx(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(tmp_path / "v.xlsx") as book:
        sheet = book.add_worksheet("S & co")
        sheet.write_row(0, 1, ["cid", "voxel_radius", "comment"])
        sheet.write_row(1, 1, ["a", 1])
        sheet.write_string(1, 3, "#N/A")
        sheet.write_string(2, 1, "b")
        sheet.write_formula(2, 2, "=1/0", None, "#DIV/0!")
        sheet.write_formula(3, 1, "=NA()", None, "#N/A")
        sheet.write_formula(4, 1, '="d"', None, "d")
        sheet.write_formula(4, 2, "=1+1", None, 2)
        sheet.write_formula(4, 3, "=1/0", None, "#DIV/0!")
    done = ingest_folder(tmp_path, {"vesicle": {"file": "v.xlsx", "ignore": ["comment"]}})
    finding = done.finding("SYN-READ-010")
    assert [str(example) for example in finding.examples] == [
        "v.xlsx, sheet S & co, row 3, column voxel_radius: '#DIV/0!'",
        "v.xlsx, sheet S & co, row 4, column cid: '#N/A'",
    ]
    assert done.rows("vesicle") == [("a", 1.0), ("b", None), (None, None), ("d", 2.0)]
    assert done.finding("SYN-READ-010").count == 2
    declared = ingest_folder(
        tmp_path, {"vesicle": {"file": "v.xlsx", "ignore": ["comment"], "missing": ["#N/A"]}}
    )
    assert declared.finding("SYN-READ-010").count == 1


def test_spreadsheet_errors_in_xls(tmp_path: Path) -> None:
    book = xlwt.Workbook()
    book.add_sheet("other").write(0, 0, "cid")
    sheet = book.add_sheet("Tabelle \u00e4")
    for column, name in enumerate(["cid", "voxel_radius"]):
        sheet.write(0, column, name)
    sheet.write(1, 0, "a")
    sheet.row(1).set_cell_error(1, 0x2A)
    sheet.write(2, 0, "b")
    sheet.write(2, 1, 2)
    book.save(str(tmp_path / "v.xls"))
    done = ingest_folder(tmp_path, {"vesicle": {"file": "v.xls", "sheet": "Tabelle \u00e4"}})
    assert [
        (example.row, example.column, example.value)
        for example in done.finding("SYN-READ-010").examples
    ] == [(2, "voxel_radius", "#N/A")]
    assert find_faults(tmp_path / "v.xls", "v.xls", "other") == []


def test_a_large_xls_is_searched_to_its_end(tmp_path: Path) -> None:
    """Beyond the container's small streams, across many sectors."""
    book = xlwt.Workbook()
    sheet = book.add_sheet("S")
    for row in range(3000):
        for column in range(4):
            sheet.write(row, column, f"cell {row} {column}")
    sheet.row(3000).set_cell_error(2, 0x07)
    book.save(str(tmp_path / "v.xls"))
    (fault,) = find_faults(tmp_path / "v.xls", "v.xls", "S")
    assert (fault.row, fault.column, fault.shown) == (3001, 2, "#DIV/0!")


def test_formulas_without_a_saved_result(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    page = book.active
    page.append(["cid", "voxel_radius"])
    page.append(["a", "=1+1"])
    page.append(["b", 2])
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


@pytest.mark.parametrize(
    ("formulas", "cells"),
    [
        (["=1+2", "=2*1500000"], 2),
        (["=A2+1", "=SUM(B2:B3)"], 2),
        (['="n"&5', "=-B2"], 2),
        (["=(A2+1)", "=AVERAGE(B2:B3)"], 2),
        (["=A3", "=B3"], 2),
        (['=CONCATENATE("n",4)', None], 1),
        (["=VLOOKUP(A2,A2:B3,1)", "=IF(B2>1,B2,B3)"], 2),
        (['=IF(B2>1,"n9","")', "=B2*2"], 2),
        ([9, "=B2*2"], 1),
    ],
)
@pytest.mark.parametrize("last", [True, False])
def test_rows_of_formulas_without_a_saved_result_in_xls(
    tmp_path: Path, formulas: list[Any], cells: int, last: bool
) -> None:
    write_formulas(
        tmp_path / "v.xls",
        [["cid", "voxel_radius"], [1, 10], [2, 20], formulas, *([] if last else [[5, 50]])],
    )
    done = ingest_folder(tmp_path, {"vesicle": "v.xls"})
    assert done.codes == ["SYN-READ-016"]
    assert (done.finding("SYN-READ-016").count, done.finding("SYN-READ-016").examples[0].row) == (
        cells,
        4,
    )
    assert done.tables["vesicle"].read == (3 if last else 4)


@pytest.mark.parametrize(
    "formulas", [['=IF(A2>1,"x","")', '=IF(A3>1,"","y")'], ['=LEFT(B2,0)&""', None]]
)
def test_formulas_that_gave_an_empty_text_in_xls(tmp_path: Path, formulas: list[Any]) -> None:
    """As a spreadsheet program saves them: no fault where nothing proves that they were not worked
    out.
    """
    write_formulas(
        tmp_path / "v.xls",
        [["cid", "comment"], [1, "a"], [2, formulas[0]], [None, formulas[1]], [4, None]],
    )
    done = ingest_folder(tmp_path, {"vesicle": {"file": "v.xls", "ignore": ["comment"]}})
    assert [code for code in done.codes if code != "SYN-READ-011"] == []
    assert find_faults(tmp_path / "v.xls", "v.xls", "S") == []


def test_one_saved_result_shows_that_an_xls_was_worked_out(tmp_path: Path) -> None:
    write_formulas(
        tmp_path / "v.xls", [["cid", "voxel_radius"], [1, "=1+1"], [2, "=B9"], [3, "=C9"]]
    )
    unsaved, saved = struct.pack("<Q", 0xFFFF000000000003), struct.pack("<d", 2.0)
    written = (tmp_path / "v.xls").read_bytes()
    (tmp_path / "v.xls").write_bytes(written.replace(unsaved, saved, 1))
    assert find_faults(tmp_path / "v.xls", "v.xls", "S") == []
    assert ingest_folder(tmp_path, {"vesicle": "v.xls"}).rows("vesicle")[0] == ("1", 2.0)


@pytest.mark.parametrize("name", ["v.xlsx", "v.xls", "~$v.xlsx"])
@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 broken", b"cid\na\n", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\xff" * 600],
)
def test_broken_workbooks_are_told_plainly(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    done = ingest_folder(tmp_path, {"vesicle": name})
    cut = content.startswith(b"PK") and name == "v.xlsx"
    assert done.codes == ["SYN-READ-018" if cut else "SYN-READ-014"]


def test_a_workbook_cut_short(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "v.xlsx", {"S": [["cid"], ["a"]]})
    write_xls(tmp_path / "v.xls", {"S": [["cid"], ["a"]]})
    for name in ("v.xlsx", "v.xls"):
        whole = (tmp_path / name).read_bytes()
        for keep in (len(whole) // 3, len(whole) // 2, len(whole) * 9 // 10):
            (tmp_path / name).write_bytes(whole[:keep])
            assert ingest_folder(tmp_path, {"vesicle": name}).codes == ["SYN-READ-018"]


def test_an_empty_sheet(tmp_path: Path) -> None:
    assert "empty" in ingest_rows(tmp_path, []).finding("SYN-READ-014").message
    assert ingest_rows(tmp_path, [["cid", "voxel_radius"]]).codes == ["SYN-READ-013"]


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
