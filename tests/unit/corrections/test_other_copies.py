"""Corrected copies of workbooks and Parquet files: the changed values, and everything else as it
was.

Belongs here: single cells of odd workbooks, old Excel, types of Parquet. Does not: text files.
"""

from __future__ import annotations

import datetime
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
import xlwt

from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.corrections.parquet_copy import write_parquet_copy
from syndb_pipeline.corrections.proof import differing
from syndb_pipeline.corrections.returned import Correction, Returned
from syndb_pipeline.corrections.sheet_copy import SheetChanges, write_workbook_copy
from syndb_pipeline.report.workbook.originals import Original, open_original, prepare
from syndb_pipeline.report.workbook.record import SheetRecord
from tests.correcting_lab import applied, check, fixes, set_cell
from tests.ingest_helpers import context_for

CONNECTION = duckdb.connect()
prepare(CONNECTION)


def opened(path: Path, name: str = "scratch", **config: Any) -> Original:
    return open_original(
        CONNECTION,
        path,
        path.name,
        "axon",
        TableConfig(file=path.name, **config),
        path.parent / name,
        10**9,
    )


def back(cells: dict[tuple[int, int], str], *removed: int) -> Returned:
    returned = Returned(SheetRecord(title="t", table="axon", file="f"))
    for (row, index), text in cells.items():
        returned.cells.setdefault(row, {})[index] = Correction(text, f"X{row}")
    returned.removed = {row: Correction("", f"E{row}") for row in removed}
    return returned


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


SHEET = """<?xml version="1.0" encoding="UTF-8"?>
<x:worksheet xmlns:x="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><x:sheetData>
<x:row r="3"><x:c r="B3" t="inlineStr"><x:is><x:t>cid</x:t></x:is></x:c><x:c r="C3" t="inlineStr"><x:is><x:t>voxel_volume</x:t></x:is></x:c>
<x:c r="D3" t="inlineStr"><x:is><x:t>note</x:t></x:is></x:c></x:row>
<x:row r="4" spans="2:4"><x:c r="B4"><x:v>1</x:v></x:c><x:c r="D4" s="0"><x:v>5</x:v></x:c></x:row>
<x:row r="5"><x:c r="B5"><x:v>2</x:v></x:c>
<x:c r="C5" t="str"><x:f>1+1</x:f><x:v>two</x:v></x:c><x:c r="D5" t="b"><x:v>1</x:v></x:c></x:row>
<x:row r="6"><x:c r="B6"><x:v>3</x:v></x:c><!-- a note --><x:c r="C6"><x:v>7.5</x:v></x:c></x:row>
</x:sheetData></x:worksheet>"""


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A workbook with prefixes, a table that starts at B3, absent cells, formulas and their
    chain.
    """
    path = tmp_path / "odd.xlsx"
    book = xlsxwriter.Workbook(str(path))
    book.add_worksheet("A").write(0, 0, "x")
    book.close()
    told = members(path)
    told["xl/worksheets/sheet1.xml"] = SHEET.encode()
    told["xl/calcChain.xml"] = (
        b'<calcChain xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><c r="C5"'
        b' i="1"/></calcChain>'
    )
    link = (
        b'<Relationship Id="rId9" Type="http://x/calcChain"'
        b' Target="calcChain.xml"/></Relationships>'
    )
    told["xl/_rels/workbook.xml.rels"] = told["xl/_rels/workbook.xml.rels"].replace(
        b"</Relationships>", link
    )
    kind = b'<Override PartName="/xl/calcChain.xml" ContentType="application/x"/></Types>'
    told["[Content_Types].xml"] = told["[Content_Types].xml"].replace(b"</Types>", kind)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in told.items():
            archive.writestr(name, data)
    return path


def copied(path: Path, returned: Returned, problems: list[str] | None = None) -> Path:
    original = opened(path, f"scratch{len(list(path.parent.iterdir()))}", header_row=3)
    target = path.parent / "copy.xlsx"
    write_workbook_copy(
        path,
        target,
        {"A": SheetChanges(original, returned)},
        problems if problems is not None else [],
    )
    return target


def test_only_the_changed_cells_of_the_xml_change(odd: Path) -> None:
    target = copied(
        odd, back({(4, 1): "12.50", (5, 2): "a <b> & é\u0001_x0041_", (6, 0): "007", (6, 2): "end"})
    )
    before, after = members(odd), members(target)
    assert {name for name in before if after[name] != before[name]} == {"xl/worksheets/sheet1.xml"}
    expected = SHEET.replace('<x:c r="D4"', '<x:c r="C4"><x:v>12.5</x:v></x:c><x:c r="D4"')
    text = (
        '<x:is><x:t xml:space="preserve">a &lt;b&gt; &amp; &#233;_x0001__x005F_x0041_</x:t></x:is>'
    )
    expected = expected.replace(
        '<x:c r="D5" t="b"><x:v>1</x:v></x:c>', f'<x:c r="D5" t="inlineStr">{text}</x:c>'
    )
    key = '<x:c r="B6" t="inlineStr"><x:is><x:t xml:space="preserve">007</x:t></x:is></x:c>'
    expected = expected.replace('<x:c r="B6"><x:v>3</x:v></x:c>', key)
    last = '<x:c r="D6" t="inlineStr"><x:is><x:t xml:space="preserve">end</x:t></x:is></x:c>'
    expected = expected.replace(
        "<x:v>7.5</x:v></x:c></x:row>", f"<x:v>7.5</x:v></x:c>{last}</x:row>"
    )
    assert after["xl/worksheets/sheet1.xml"].decode() == expected
    rows = opened(target, "after", header_row=3).rows(CONNECTION, [4, 5, 6])
    assert rows == {
        4: ["1", "12.5", "5"],
        5: ["2", "two", "a <b> & é\u0001_x0041_"],
        6: ["007", "7.5", "end"],
    }


def test_a_formula_that_goes_leaves_the_chain_too(odd: Path) -> None:
    after = members(copied(odd, back({(5, 1): "2"})))
    assert b'<x:c r="C5"><x:v>2</x:v></x:c>' in after["xl/worksheets/sheet1.xml"]
    assert "xl/calcChain.xml" not in after
    assert not any(
        b"calcChain" in after[name]
        for name in ("[Content_Types].xml", "xl/_rels/workbook.xml.rels")
    )


def test_a_removed_row_is_emptied_and_others_keep_their_place(odd: Path) -> None:
    target = copied(odd, back({}, 5))
    assert b'<x:row r="5"></x:row>' in members(target)["xl/worksheets/sheet1.xml"]
    original, after = opened(odd, "before", header_row=3), opened(target, "after", header_row=3)
    assert differing(CONNECTION, original, after, back({}, 5), {}) == set()
    assert after.rows(CONNECTION, [4, 5, 6]) == {4: ["1", "", "5"], 6: ["3", "7.5", ""]}


def test_a_formula_that_others_need_is_refused(odd: Path) -> None:
    told = members(odd)
    told["xl/worksheets/sheet1.xml"] = SHEET.replace(
        "<x:f>", '<x:f t="shared" ref="C5:C6" si="0">'
    ).encode()
    with zipfile.ZipFile(odd, "w") as archive:
        for name, data in told.items():
            archive.writestr(name, data)
    problems: list[str] = []
    copied(odd, back({(5, 1): "2"}), problems)
    assert problems == [
        "X5: other cells of the file are computed by the formula that C5 begins; replace the"
        " formulas in the file by their values first"
    ]


def test_a_number_in_a_cell_of_dates_stands_as_text(tmp_path: Path) -> None:
    book = xlsxwriter.Workbook(str(tmp_path / "axon.xlsx"))
    sheet = book.add_worksheet("A")
    sheet.write_row(0, 0, ["cid", "voxel_volume"])
    sheet.write_datetime(
        1, 1, datetime.datetime(2020, 3, 1), book.add_format({"num_format": "yyyy-mm-dd"})
    )
    sheet.write(1, 0, "a1")
    book.close()
    context = context_for(tmp_path, {"axon": "axon.xlsx"})
    assert check(context).errors
    _, after = applied(
        context,
        set_cell(
            fixes(context, tmp_path / "fixes.xlsx"), "axon.xlsx A", 2, "voxel_volume", "43891"
        ),
    )
    assert check(after).errors == []
    assert openpyxl.load_workbook(tmp_path / "corrected/1/axon.xlsx")["A"]["B2"].value == "43891"


def test_old_excel_comes_back_as_xlsx(tmp_path: Path) -> None:
    book = xlwt.Workbook()
    style = xlwt.easyxf(num_format_str="yyyy-mm-dd")
    for title, values in {"axons": [("a1", -5.0), ("a2", 0.1 + 0.2)], "Other": [("m1", 5)]}.items():
        sheet = book.add_sheet(title)
        for column, name in enumerate(["cid", "voxel_volume", "when", "flag"]):
            sheet.write(0, column, name)
        for row, (key, volume) in enumerate(values, start=1):
            sheet.write(row, 0, key)
            sheet.write(row, 1, volume)
            sheet.write(row, 2, datetime.date(2020, 3, row), style)
            sheet.write(row, 3, True)
    book.save(str(tmp_path / "lab.xls"))
    tables = {
        "axon": {"file": "lab.xls", "sheet": "axons", "ignore": ["when", "flag"]},
        "mitochondria": {"file": "lab.xls", "sheet": "Other", "ignore": ["when", "flag"]},
    }
    context = context_for(tmp_path, tables)
    check(context)
    before = (tmp_path / "lab.xls").read_bytes()
    done, after = applied(
        context,
        set_cell(fixes(context, tmp_path / "fixes.xlsx"), "lab.xls axons", 2, "voxel_volume", "5"),
    )
    assert done.files == ["corrected/1/lab.xlsx"]
    assert any("copied as .xlsx" in note for note in done.notes)
    assert {table.file for table in after.config.tables.values()} == {"corrected/1/lab.xlsx"}
    sheet = openpyxl.load_workbook(tmp_path / "corrected/1/lab.xlsx")["axons"]
    assert [[cell.value for cell in row] for row in sheet.iter_rows(min_row=2, max_col=2)] == [
        ["a1", 5],
        ["a2", 0.30000000000000004],
    ]
    assert "SYN-VAL-001" not in {finding.code for finding in check(after).errors}
    assert (tmp_path / "lab.xls").read_bytes() == before


# -- Parquet


def table_of_types() -> pa.Table:
    return pa.table(
        {
            "cid": pa.array(["a", "b", "c", "d"], pa.string()).dictionary_encode(),
            "whole": pa.array([1, 2, 3, 4], pa.int32()),
            "real": pa.array([0.1, float("nan"), None, 4.5], pa.float32()),
            "amount": pa.array([Decimal(1), Decimal(2), Decimal(3), Decimal(4)], pa.decimal128(9, 2)),
            "flag": pa.array([True, False, None, True]),
            "when": pa.array([datetime.date(2020, 1, day) for day in range(1, 5)]),
            "uuid": pa.array([bytes([day]) * 16 for day in range(4)], pa.binary(16)),
            "many": pa.array([[1, 2], [], None, [3]]),
            "must": pa.array([1, 2, 3, 4], pa.int64()),
        },
        schema=None,
    ).cast(
        pa.schema(
            [
                ("cid", pa.dictionary(pa.int32(), pa.string())), ("whole", pa.int32()), ("real", pa.float32()),
                ("amount", pa.decimal128(9, 2)), ("flag", pa.bool_()), ("when", pa.date32()), ("uuid", pa.binary(16)),
                ("many", pa.list_(pa.int64())), pa.field("must", pa.int64(), nullable=False),
            ],
            metadata={"made": "by a lab"},
        )
    )  # fmt: skip


def test_parquet_keeps_schema_types_and_row_groups(tmp_path: Path) -> None:
    path, target = tmp_path / "t.parquet", tmp_path / "copy.parquet"
    pq.write_table(table_of_types(), path, row_group_size=2, compression="zstd")
    original = opened(path)
    returned = back(
        {
            (1, 0): "new", (2, 1): "-7", (2, 2): "2.5", (3, 3): "9.25", (3, 4): "TRUE", (4, 5): "2021-02-03",
            (4, 6): "12345678-1234-5678-1234-567812345678", (1, 2): "",
        },
        3,
    )  # fmt: skip
    problems: list[str] = []
    returned.cells.pop(3)
    write_parquet_copy(original, returned, target, problems)
    assert problems == []
    copy = pq.ParquetFile(target)
    assert copy.schema_arrow.equals(pq.ParquetFile(path).schema_arrow, check_metadata=True)
    assert copy.num_row_groups == 2
    assert copy.metadata.row_group(0).column(1).compression == "ZSTD"
    rows = pq.read_table(target).to_pylist()
    assert [row["cid"] for row in rows] == ["new", "b", "d"]
    assert [row["whole"] for row in rows] == [1, -7, 4]
    assert [row["real"] for row in rows] == [None, 2.5, 4.5]
    assert rows[2]["when"] == datetime.date(2021, 2, 3)
    assert rows[2]["uuid"].hex() == "12345678123456781234567812345678"
    assert [row["many"] for row in rows] == [[1, 2], [], [3]]
    assert differing(CONNECTION, original, opened(target, "after"), returned, {}) == set()


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("whole", "2.5"),
        ("whole", "99999999999"),
        ("real", "five"),
        ("real", "nan"),
        ("flag", "perhaps"),
        ("when", "soon"),
        ("uuid", "x"),
        ("many", "[1]"),
        ("must", ""),
    ],
)
def test_a_text_that_does_not_fit_the_type_is_refused_with_its_cell(
    tmp_path: Path, column: str, text: str
) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(table_of_types(), path)
    problems: list[str] = []
    write_parquet_copy(
        opened(path),
        back({(2, table_of_types().schema.get_field_index(column)): text}),
        tmp_path / "copy",
        problems,
    )
    assert len(problems) == 1
    assert problems[0].startswith("X2: ")
    assert column in problems[0]


def test_parquet_through_the_whole_road(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"cid": [1, 2, 2], "voxel_volume": [5.0, -1.0, 7.0], "terminal_count": [1, None, 3]}
    )
    frame.write_parquet(tmp_path / "axon.parquet")
    context = context_for(tmp_path, {"axon": "axon.parquet"})
    check(context)
    path = fixes(context, tmp_path / "fixes.xlsx")
    set_cell(path, "axon.parquet", 2, "voxel_volume", "6")
    set_cell(path, "axon.parquet", 3, "cid", "3")
    _, after = applied(context, path)
    assert check(after).errors == []
    right = pl.DataFrame(
        {"cid": [1, 2, 3], "voxel_volume": [5.0, 6.0, 7.0], "terminal_count": [1, None, 3]}
    )
    assert pl.read_parquet(tmp_path / "corrected/1/axon.parquet").equals(right)
