"""What a person may give back, and what is refused with its cell: formulas, dates, added rows,
other files, hostile archives.

Belongs here: reading the workbook, and everything that keeps files untouched. Does not: what is
written from good corrections.
"""

from __future__ import annotations

import datetime
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlsxwriter

from syndb_pipeline.base.errors import ConfigError, PipelineError
from syndb_pipeline.corrections import returned
from syndb_pipeline.readers import part as limits
from syndb_pipeline.state.stage import Context
from tests.correcting_lab import applied, check, corrections, edit, fixes, set_cell
from tests.lab import context_for

AXON = "cid,voxel_volume,note\na1,-5,x\na2,5,y\na3,zero,z\na4,7,ok\n"


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that was checked, and its workbook."""
    folder = tmp_path_factory.mktemp("checked")
    (folder / "axon.csv").write_text(AXON)
    context = context_for(folder, {"axon": {"file": "axon.csv", "ignore": ["note"]}})
    check(context)
    fixes(context, folder / "fixes.xlsx")
    return folder


@pytest.fixture
def lab(checked: Path, tmp_path: Path) -> tuple[Context, Path]:
    """The folder for each test, and its workbook."""
    folder = Path(shutil.copytree(checked, tmp_path / "lab"))
    return context_for(
        folder, {"axon": {"file": "axon.csv", "ignore": ["note"]}}
    ), folder / "fixes.xlsx"


def refused(lab: tuple[Context, Path], path: Path) -> str:
    """Why the workbook at `path` is refused. Nothing may be written then."""
    context, _ = lab
    before = {
        name: (context.config.folder / name).read_bytes() for name in ("axon.csv", "dataset.yaml")
    }
    with pytest.raises(ConfigError) as error:
        applied(context, path)
    assert {name: (context.config.folder / name).read_bytes() for name in before} == before
    assert not (context.config.folder / "corrections").exists()
    assert error.value.next_step
    return str(error.value)


def put(path: Path, cells: dict[str, Any], sheet: str = "axon.csv") -> Path:
    """The workbook with other values in some cells."""

    def change(book: Any) -> None:
        for address, value in cells.items():
            book[sheet][address] = value

    return edit(path, change)


WRONG: list[tuple[str, object, str]] = [
    ("G2", "=5*1", "axon.csv, cell G2: this is a formula"),
    ("G2", datetime.date(2020, 1, 2), "axon.csv, cell G2: the spreadsheet made a date of this"),
    ("G2", 12345678901234567890, "axon.csv, cell G2: this number has more digits"),
    ("E2", "yes please", "axon.csv, cell E2: found 'yes please'; write x"),
    ("C2", "77", "axon.csv, row 2: its grey cells name no row of this workbook"),
    ("A2", "other.csv", "axon.csv, row 2: its grey cells name no row"),
    ("C4", "3", "axon.csv, row 4: its grey cells name no row"),
    ("G1", "volume", "axon.csv, cell G1: the header holds 'volume' in place of 'voxel_volume'"),
    ("I1", "more", "axon.csv, cell I1: the header holds 'more' in place of ''"),
    ("I2", "more", "axon.csv, row 2: there is a value behind the last column"),
]


def test_what_is_no_correction_is_refused_with_its_place(lab: tuple[Context, Path]) -> None:
    for address, value, why in WRONG:
        found = refused(lab, put(lab[1], {address: value}))
        assert why in found
        assert "nothing was written" in found
    why = refused(lab, put(lab[1], {"G2": "=1", "G3": "=2"}))
    assert "cell G2" in why and "cell G3" in why, "all at once"
    why = refused(lab, put(lab[1], dict.fromkeys(("F2", "G2", "H2"))))
    assert "axon.csv, cell E2: nothing is left in this row; write x here to remove it" in why
    for unchanged in (lab[1], edit(lab[1], lambda book: None)):
        assert "no cell differs from your files" in refused(lab, unchanged)


def test_a_row_twice_with_different_values_is_refused_and_alike_is_merged_once(
    lab: tuple[Context, Path],
) -> None:
    row = {"A": "axon.csv", "C": "2", "F": "a1", "H": "x", "G": "5"}
    twice = {"G2": "5"} | {f"{column}4": value for column, value in row.items()}
    why = refused(lab, put(lab[1], twice | {"G4": "6"}))
    assert "row 2 of axon.csv is there twice, with different values" in why
    done, _ = applied(lab[0], put(lab[1], twice))
    assert done.cells == 1
    assert done.notes == []


def test_deleted_and_sorted_rows_change_nothing_by_themselves(lab: tuple[Context, Path]) -> None:
    def change(book: Any) -> None:
        sheet = book["axon.csv"]
        rows = [[each.value for each in cells] for cells in sheet.iter_rows(min_row=2)]
        rows[1][6] = "9"
        for number, row in enumerate(reversed(rows), start=2):
            for column, value in enumerate(row, start=1):
                sheet.cell(number, column).value = value

    done, _ = applied(lab[0], edit(lab[1], change))
    assert corrections(lab[0].config.folder, "axon") == [(4, "voxel_volume", "zero", "9")]
    assert (done.cells, done.rows_corrected, done.rows_removed, done.rows_untouched) == (1, 1, 0, 1)


def test_a_deleted_row_stays_and_a_marked_one_goes(lab: tuple[Context, Path]) -> None:
    def change(book: Any) -> None:
        book["axon.csv"].delete_rows(2)
        book["axon.csv"]["E2"] = " X "

    done, _ = applied(lab[0], edit(lab[1], change))
    assert corrections(lab[0].config.folder, "axon") == [(4, "", "a3,zero,z", "")]
    assert "read as they are: 1." in done.notes[0]


def test_numbers_typed_as_numbers_are_taken(lab: tuple[Context, Path]) -> None:
    done, _ = applied(lab[0], put(lab[1], {"G2": 12.5, "G3": 7}))
    assert done.files == ["corrections/axon.csv"]
    assert (lab[0].config.folder / done.files[0]).read_text() == (
        "file,line,column,was,now\naxon.csv,2,voxel_volume,-5,12.5\naxon.csv,4,voxel_volume,zero,7\n"
    )


def test_numbers_get_the_files_decimal_comma(tmp_path: Path) -> None:
    (tmp_path / "axon.csv").write_text("cid;voxel_volume\na1;-5,5\n")
    context = context_for(tmp_path, {"axon": {"file": "axon.csv", "decimal": ","}})
    check(context)
    path = fixes(context, tmp_path / "fixes.xlsx")
    applied(context, set_cell(path, "axon.csv", 2, "voxel_volume", 5.5))
    assert corrections(tmp_path, "axon") == [(2, "voxel_volume", "-5,5", "5,5")]


def test_another_dataset_is_refused(lab: tuple[Context, Path]) -> None:
    other = {"id": "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a99"}
    context = context_for(lab[0].config.folder, {"axon": "axon.csv"}, dataset=other)
    assert "was made for dataset" in refused((context, lab[1]), lab[1])


def test_a_file_that_changed_since_is_refused(lab: tuple[Context, Path]) -> None:
    fixed = set_cell(lab[1], "axon.csv", 2, "voxel_volume", "5")
    (lab[0].config.folder / "axon.csv").write_text("note\n" + AXON)
    assert "axon.csv changed since" in refused(lab, fixed)


def test_a_config_that_reads_otherwise_now_is_refused(lab: tuple[Context, Path]) -> None:
    fixed = set_cell(lab[1], "axon.csv", 2, "voxel_volume", "5")
    context = context_for(
        lab[0].config.folder, {"axon": {"file": "axon.csv", "ignore": ["note"], "delimiter": ";"}}
    )
    with pytest.raises(PipelineError):
        applied(context, fixed)
    context = context_for(lab[0].config.folder, {"axon": {"file": "nothing.csv"}})
    assert "axon.csv changed since" in refused((context, fixed), fixed)


def test_what_is_no_workbook_of_ours_is_refused(lab: tuple[Context, Path], tmp_path: Path) -> None:
    plain = tmp_path / "plain.xlsx"
    openpyxl.Workbook().save(plain)
    assert "it lacks the hidden sheet" in refused(lab, plain)
    text = tmp_path / "text.xlsx"
    text.write_text("no zip")
    assert "it is no workbook" in refused(lab, text)
    assert "cannot be read: No such file" in refused(lab, tmp_path / "missing.xlsx")
    os.mkfifo(tmp_path / "pipe.xlsx")
    assert "it is a named pipe, no plain file" in refused(lab, tmp_path / "pipe.xlsx")
    cut = tmp_path / "cut.xlsx"
    cut.write_bytes(lab[1].read_bytes()[:-300])
    assert "no workbook" in refused(lab, cut)


def test_a_damaged_or_later_record_is_refused(lab: tuple[Context, Path]) -> None:
    def later(book: Any) -> None:
        sheet = book["syndb-pipeline"]
        sheet["A1"] = sheet["A1"].value.replace('"format":2', '"format":3')

    assert "it is of format 3" in refused(lab, edit(lab[1], later))
    assert "changed or damaged" in refused(lab, put(lab[1], {"A1": "{"}, "syndb-pipeline"))


def test_what_takes_too_much_is_refused(
    lab: tuple[Context, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * (limits.BOMB_BYTES + 1))
    assert "as no table does" in refused(lab, bomb), "as every workbook is"
    monkeypatch.setattr(returned, "MAX_MEMORY", 5_000_000)
    with xlsxwriter.Workbook(bomb, {"constant_memory": True}) as book:
        sheet = book.add_worksheet()
        for row in range(3_000):
            sheet.write_row(row, 0, [row * 1000.5] * 100)
    assert "it takes more memory or time" in refused(lab, bomb)


def test_what_a_cell_could_not_show_is_not_taken_for_a_value(tmp_path: Path) -> None:
    (tmp_path / "axon.csv").write_bytes(
        b"cid,voxel_volume,note\na1,-5,a\x01b\na2,-6," + b"x" * 40_000 + b"\n"
    )
    context = context_for(tmp_path, {"axon": {"file": "axon.csv", "ignore": ["note"]}})
    check(context)
    path = fixes(context, tmp_path / "fixes.xlsx")
    why = refused((context, path), put(path, {"H2": "a\u2401bc", "H3": "short"}))
    assert "cell H2: it still holds '\u2401'" in why
    assert "cell H3: the value was too long to be here whole; correct it in axon.csv, row 3" in why


def test_a_second_workbook_adds_to_the_first(lab: tuple[Context, Path], tmp_path: Path) -> None:
    context, first = lab
    set_cell(first, "axon.csv", 2, "voxel_volume", "-7")
    applied(context, first)
    assert "no cell differs" in str(again(context, first)), "it was applied already"
    check(context)
    second = fixes(context, tmp_path / "second.xlsx")
    shown = openpyxl.load_workbook(second)["axon.csv"]
    assert [shown["G2"].value, shown["G3"].value] == ["-7", "zero"], "rows are shown as corrected"
    set_cell(second, "axon.csv", 2, "voxel_volume", "7")
    set_cell(second, "axon.csv", 2, "note", "w")
    stale = set_cell(first, "axon.csv", 2, "voxel_volume", "-8")
    assert "corrections/axon.csv changed since" in str(again(context, stale))
    applied(context, second)
    was_stays = [(2, "note", "x", "w"), (2, "voxel_volume", "-5", "7")]
    assert corrections(context.config.folder, "axon") == was_stays
    check(context)
    third = set_cell(fixes(context, tmp_path / "third.xlsx"), "axon.csv", 4, "remove", "x")
    applied(context, third)
    assert corrections(context.config.folder, "axon") == [*was_stays, (4, "", "a3,zero,z", "")]
    assert check(context).errors == []


def test_a_cell_set_back_and_a_row_that_goes_leave_no_correction_of_a_cell(
    lab: tuple[Context, Path], tmp_path: Path
) -> None:
    context, path = lab
    row = [(2, "", "a1,-5,x", "")]
    for column, value, left in (("voxel_volume", "-5", []), ("remove", "x", row)):
        applied(context, set_cell(path, "axon.csv", 2, "voxel_volume", "-7"))
        check(context)
        path = fixes(context, tmp_path / f"{column}.xlsx")
        applied(context, set_cell(path, "axon.csv", 2, column, value))
        assert corrections(context.config.folder, "axon") == left
        check(context)
        path = fixes(context, tmp_path / "again.xlsx")


def again(context: Context, path: Path) -> ConfigError:
    with pytest.raises(ConfigError) as error:
        applied(context, path)
    return error.value


def test_a_line_that_became_two_rows_is_corrected_as_a_whole_again(tmp_path: Path) -> None:
    (tmp_path / "axon.csv").write_text("cid,voxel_volume\na1,5\na2,6,a3,-7\na4,8\n")
    context = context_for(tmp_path, {"axon": "axon.csv"})
    check(context)
    sheet = "unreadable lines"

    def correct(name: str, text: str) -> list[tuple[int, str, str, str]]:
        path = fixes(context, tmp_path / name)
        column = "line as it is in the file"
        applied(context, set_cell(path, sheet, 3, column, text))
        check(context)
        return corrections(tmp_path, "axon")

    assert correct("1.xlsx", "a2,6\na3,-7") == [(3, "", "a2,6,a3,-7", "a2,6\na3,-7")]
    book = openpyxl.load_workbook(fixes(context, tmp_path / "2.xlsx"))
    assert book.sheetnames == ["Read me", sheet, "syndb-pipeline"]
    assert book[sheet]["F2"].value == "a2,6\na3,-7"
    assert "SYN-VAL-001" in book[sheet]["D2"].value
    assert correct("2.xlsx", "a2,6\na3,7") == [(3, "", "a2,6,a3,-7", "a2,6\na3,7")]
    assert check(context).errors == []
