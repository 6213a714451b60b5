"""What is in the fix-me workbook: the lab's own rows as they are, the failing cells explained,
hostile values harmless.

Belongs here: the workbook as it is written. Does not: what comes back (`test_returned.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlsxwriter

from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.report.workbook import workbook
from syndb_pipeline.report.workbook.layout import LONGEST_CELL, OWN_COLUMNS, shown
from syndb_pipeline.state.stage import Context
from tests.correcting_lab import applied, check, corrections, fixes, set_cell
from tests.lab import context_for

HOSTILE = [
    "=1+1",
    "+SUM(A1)",
    "@x",
    "007",
    "1e5",
    "\tx",
    " lead",
    "_x0041_",
    "a\x01b\x1b[31m",
    "é𝄞",
    "",
    "x" * 40_000,
    "01.02.2020",
]


def written(tmp_path: Path, tables: dict[str, Any], **config: Any) -> tuple[Context, Any]:
    context = context_for(tmp_path, tables, **config)
    check(context)
    return context, openpyxl.load_workbook(fixes(context, tmp_path / "fixes.xlsx"))


def row_of(sheet: Any, row: int) -> list[Any]:
    (found,) = [cells for cells in sheet.iter_rows(min_row=2) if cells[2].value == str(row)]
    return list(found)


def read_me(book: Any) -> str:
    return "\n".join(
        str(cell.value) for cells in book["Read me"].iter_rows() for cell in cells if cell.value
    )


def test_values_stand_as_in_the_file_and_nothing_else_does(tmp_path: Path) -> None:
    columns = [f"note{i}" for i in range(len(HOSTILE))]
    quoted = ",".join('"' + value.replace('"', '""') + '"' for value in HOSTILE)
    (tmp_path / "axon.csv").write_bytes(
        f"cid,{','.join(columns)},voxel_volume\na1,{quoted},-5\na2{',x' * len(HOSTILE)},5\n".encode()
    )
    context, book = written(tmp_path, {"axon": {"file": "axon.csv", "ignore": columns}})
    assert book.sheetnames == ["Read me", "axon.csv", "syndb-pipeline"]
    sheet = book["axon.csv"]
    assert [cell.value for cell in sheet[1]] == [*OWN_COLUMNS, "cid", *columns, "voxel_volume"]
    assert sheet.max_row == 2, "a row without fault is not shown"
    cells = row_of(sheet, 2)
    values = cells[len(OWN_COLUMNS) + 1 : -1]
    assert all(
        cell.data_type in "sn" and (cell.value is None or isinstance(cell.value, str))
        for cell in values
    )
    assert all(cell.number_format == "@" for cell in cells)
    texts = ["" if cell.value is None else cell.value.replace("_x005F_", "_") for cell in values]
    assert texts == [shown(value) for value in HOSTILE]
    assert texts[8] == "a\u2401b\u241b[31m"
    assert len(texts[11]) <= LONGEST_CELL
    failing = cells[-1]
    assert (failing.value, failing.fill.fgColor.rgb) == ("-5", "FFFFB3B3")
    assert "SYN-VAL-001" in failing.comment.text
    assert "Fix:" in failing.comment.text
    assert sheet.freeze_panes == "D2"
    assert [cell.value for cell in cells[:4]] == [
        "axon.csv",
        "",
        "2",
        "voxel_volume: SYN-VAL-001 Value out of range",
    ]
    # The whole value comes back as it was when another cell is corrected.
    before = (tmp_path / "axon.csv").read_bytes()
    applied(context, set_cell(tmp_path / "fixes.xlsx", "axon.csv", 2, "voxel_volume", "5"))
    assert (tmp_path / "axon.csv").read_bytes() == before
    assert corrections(tmp_path, "axon") == [(2, "voxel_volume", "-5", "5")]


def test_rows_without_a_cell_to_blame_are_pale_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "neuron.csv").write_text(
        "cid,cable_length\nstring,float\na,5000\nb,-7\ncid,cable_length\nc,9000\n"
    )
    context, book = written(tmp_path, {"neuron": "neuron.csv"})
    sheet = book["neuron.csv"]
    assert [(row[2], row[5:]) for row in sheet.iter_rows(min_row=2, values_only=True)] == [
        ("2", ("string", "float")),
        ("4", ("b", "-7")),
        ("5", ("cid", "cable_length")),
    ]
    cells = row_of(sheet, 2)
    assert {cell.fill.fgColor.rgb for cell in cells[5:]} == {"FFFFE5E5"}
    assert "SYN-READ-017" in cells[3].comment.text
    path = tmp_path / "fixes.xlsx"
    for row, column, value in ((2, "remove", "x"), (4, "cable_length", "7"), (5, "remove", "x")):
        set_cell(path, "neuron.csv", row, column, value)
    done, _ = applied(context, path)
    assert (done.cells, done.rows_removed) == (1, 2)
    assert corrections(tmp_path, "neuron") == [
        (2, "", "string,float", ""),
        (4, "cable_length", "-7", "7"),
        (5, "", "cid,cable_length", ""),
    ]
    assert check(context).errors == []


def test_warnings_kept_as_cells_have_their_own_colour(tmp_path: Path) -> None:
    (tmp_path / "axon.csv").write_text("cid,voxel_volume\na1,-5\na2,5\n")
    _, book = written(tmp_path, {"axon": "axon.csv"}, rules={"SYN-VAL-001": "warning"})
    assert row_of(book["axon.csv"], 2)[-1].fill.fgColor.rgb == "FFFFE699"


def test_what_no_cell_cures_is_on_the_first_sheet_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "axon.csv").write_text("cid,voxel_volum\na1,5\n")
    _, book = written(tmp_path, {"axon": "axon.csv"})
    assert book.sheetnames == ["Read me", "syndb-pipeline"]
    text = read_me(book)
    assert "No row is wrong" in text
    assert "SYN-COL-001" in text
    assert "tables:\n  axon:\n    columns: {voxel_volum: voxel_volume}" in text
    assert "apply-fixes" in text


def test_the_limit_is_told_and_errors_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "".join(f"a{i},{'x' if i % 2 else '-5'}\n" for i in range(40))
    (tmp_path / "axon.csv").write_text(f"cid,voxel_volume\n{lines}")
    context = context_for(tmp_path, {"axon": "axon.csv"}, rules={"SYN-VAL-001": "warning"})
    check(context)
    monkeypatch.setattr(workbook.write_workbook, "__kwdefaults__", {"limit": 25})
    book = openpyxl.load_workbook(fixes(context, tmp_path / "fixes.xlsx"))
    rows = [int(cells[2].value) for cells in book["axon.csv"].iter_rows(min_row=2)]
    assert len(rows) == 25
    assert set(range(3, 42, 2)) <= set(rows), "errors before warnings"
    assert rows == sorted(rows)
    text = read_me(book)
    assert "25 of 40 rows" in text
    assert "There was no room for 15 more" in text


def test_cells_that_only_the_reader_sees_are_shown(tmp_path: Path) -> None:
    book = xlsxwriter.Workbook(str(tmp_path / "axon.xlsx"))
    sheet = book.add_worksheet("A")
    sheet.write_row(2, 1, ["cid", "voxel_volume"])
    for row in range(3, 6):
        sheet.write_row(row, 1, [f"a{row}", 5])
    sheet.write_formula(4, 2, "=1/0", None, "#DIV/0!")
    book.close()
    context = context_for(tmp_path, {"axon": {"file": "axon.xlsx", "header_row": 3}})
    assert "SYN-READ-010" in {finding.code for finding in check(context).errors}
    path = fixes(context, tmp_path / "fixes.xlsx")
    cells = row_of(openpyxl.load_workbook(path)["axon.xlsx A"], 5)
    assert cells[-1].value == "#DIV/0!"
    assert "SYN-READ-010" in cells[-1].comment.text
    _, after = applied(context, set_cell(path, "axon.xlsx A", 5, "voxel_volume", "7.5"))
    assert check(after).errors == []
    assert corrections(tmp_path, "axon") == [(5, "voxel_volume", "#DIV/0!", "7.5")]


def test_equal_checks_give_equal_workbooks(tmp_path: Path) -> None:
    (tmp_path / "axon.csv").write_text("cid,voxel_volume\na1,-5\n")
    context, _ = written(tmp_path, {"axon": "axon.csv"})
    assert (
        fixes(context, tmp_path / "one.xlsx").read_bytes()
        == fixes(context, tmp_path / "two.xlsx").read_bytes()
    )
    assert not list(tmp_path.glob(".*.xlsx*")), "nothing half written is left"


def test_titles_are_such_as_a_spreadsheet_takes_and_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "a very long name of a file [with] odd: signs?"
    for number in (1, 2, 3):
        (tmp_path / f"{long}{number}.csv").write_text(f"cid,voxel_volume\na{number},-5\n")
    monkeypatch.setattr(workbook, "MAX_SHEETS", 2)
    _, book = written(tmp_path, {"axon": {"file": "a very*.csv"}})
    assert "There was no room for 1 more" in read_me(book)
    titles = book.sheetnames[1:-1]
    assert len(titles) == 2
    assert all(len(title) <= 31 and not set(title) & set("[]:*?/\\") for title in titles)


def test_a_file_that_changed_since_the_checks_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "axon.csv").write_text("cid,voxel_volume\na1,-5\n")
    context, _ = written(tmp_path, {"axon": "axon.csv"})
    (tmp_path / "axon.csv").write_text("cid,voxel_volume\na0,5\na1,-5\n")
    with pytest.raises(PipelineError, match=r"axon\.csv is not as it was") as error:
        fixes(context, tmp_path / "again.xlsx")
    assert "syndb-pipeline check" in error.value.next_step
    (tmp_path / "axon.csv").unlink()
    with pytest.raises(PipelineError, match=r"axon\.csv is not as it was"):
        fixes(context, tmp_path / "again.xlsx")
    assert not (tmp_path / "again.xlsx").exists()


def test_a_file_of_two_tables_has_one_sheet_and_corrections_for_both(tmp_path: Path) -> None:
    (tmp_path / "both.csv").write_text("cid,voxel_volume\nn1,-5\nn2,5,5\nn3,7\n")
    context, book = written(tmp_path, {"axon": "both.csv", "dendrite": "both.csv"})
    assert book.sheetnames == ["Read me", "both.csv", "unreadable lines", "syndb-pipeline"]
    assert [sheet.max_row for sheet in book.worksheets[1:3]] == [2, 2]
    set_cell(tmp_path / "fixes.xlsx", "both.csv", 2, "voxel_volume", "5")
    path = set_cell(tmp_path / "fixes.xlsx", "unreadable lines", 3, "remove", "x")
    done, _ = applied(context, path)
    assert done.files == ["corrections/axon.csv", "corrections/dendrite.csv"]
    for table in ("axon", "dendrite"):
        expected = [(2, "voxel_volume", "-5", "5"), (3, "", "n2,5,5", "")]
        assert corrections(tmp_path, table) == expected
    assert {finding.code for finding in check(context).errors} == {"SYN-INT-001"}


def test_a_repeated_key_says_where_it_stands_first(tmp_path: Path) -> None:
    (tmp_path / "a1.csv").write_text("cid,voxel_volume\na1,5\na2,5\n")
    (tmp_path / "a2.csv").write_text("cid,voxel_volume\na3,5\na2,6\na2,7\n")
    _, book = written(tmp_path, {"axon": "a*.csv"})
    for row in (3, 4):
        assert "The key is first in a1.csv, row 3." in row_of(book["a2.csv"], row)[5].comment.text
