"""Corrections laid over what ingest reads, by format: what applies, what does not and is said, and files that are no corrections.

Belongs here: `corrections/<table>.csv` as a person may write it. Does not: the workbook that they mostly come from
(`tests/unit/corrections`).
"""

from __future__ import annotations

import gzip
import io
import os
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import pyarrow
import pyarrow.parquet
import pytest
import xlsxwriter

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.readers import corrections
from syndb_pipeline.readers.corrections import Correction
from syndb_pipeline.readers.text import text_files
from syndb_pipeline.stages.runner import run_stage
from syndb_pipeline.state.store import Record
from tests.lab import Ingested, context_for, ingest_folder

HEADER = "file,line,column,was,now\n"
CSV = "cid,voxel_volume,note\na1,-5,x\na2,5,y\na3,zero,z\na4,7,ok\n"
RAGGED = 'cid,voxel_volume,note\na1,5,x\na2,6,y,a3,7,z\na4,"8,w\n\na5,9,v\n'
CLEAN = [("a1", 5.0), ("a2", 5.0), ("a4", 7.0)]


def parquet(**columns: pl.Series) -> bytes:
    sink = io.BytesIO()
    pl.DataFrame(columns).write_parquet(sink)
    return sink.getvalue()


def workbook(*rows: list[Any], other: bool = False) -> bytes:
    """A workbook whose values begin in row 3, column B; a text that begins with = is a formula in error."""
    sink = io.BytesIO()
    book = xlsxwriter.Workbook(sink, {"in_memory": True})
    day = book.add_format({"num_format": "yyyy-mm-dd"})
    sheet = book.add_worksheet("Axons")
    for number, row in enumerate(rows, start=2):
        for index, value in enumerate(row, start=1):
            if isinstance(value, date):
                sheet.write_datetime(number, index, value, day)
            elif isinstance(value, str) and value.startswith("="):
                sheet.write_formula(number, index, value, None, "#DIV/0!")
            else:
                sheet.write(number, index, value)
    book.close()
    return sink.getvalue()


def corrected(
    folder: Path, name: str, content: str | bytes, fixes: str, **settings: Any
) -> Ingested:
    """What ingest makes of a file of axons with `fixes` as its corrections, `{}` in them being the file's name."""
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    (folder / "corrections").mkdir(exist_ok=True)
    (folder / "corrections" / "axon.csv").write_bytes((HEADER + fixes.replace("{}", name)).encode())
    return ingest_folder(folder, {"axon": {"file": name, "ignore": ["note"]} | settings})


def rows(done: Ingested) -> list[Any]:
    return done.rows("axon", "cid", "voxel_volume")


FIXED = '{},2,voxel_volume,-5,5\n{},4,,"a3,zero,z",\n'
NO_HEADER = {"header_row": None, "names": ["cid", "voxel_volume", "note"]}


@pytest.mark.parametrize(
    ("name", "content", "fixes", "settings", "last"),
    [
        ("a.csv", CSV, FIXED, {}, 5),
        ("a.csv", CSV.replace("\n", "\r\n"), FIXED, {}, 5),
        ("a.csv", CSV.replace("\n", "\r"), FIXED, {}, 5),
        ("a.csv", "\ufeff" + CSV, FIXED.replace("\n", "\r\n"), {}, 5),
        ("a.csv.gz", gzip.compress(CSV.encode(), mtime=0), FIXED, {}, 5),
        ("a.tsv", CSV.replace(",", "\t"), FIXED.replace("a3,zero,z", "a3\tzero\tz"), {}, 5),
        ("a.txt", CSV.replace(",", ";").encode("utf-16"), FIXED.replace("a3,zero,z", "a3;zero;z"), {"encoding": "utf-16"}, 5),
        ("a.csv", CSV.replace("a1,-5", '"a1","-5"'), FIXED, {}, 5),
        ("a.csv", CSV.replace("a2,", "\n\na2,"), FIXED.replace(",4,", ",6,"), {}, 7),
        ("a.csv", CSV.partition("\n")[2], FIXED.replace(",4,", ",3,").replace(",2,", ",1,"), NO_HEADER, 4),
    ],
)  # fmt: skip
def test_text_is_read_as_corrected(
    tmp_path: Path, name: str, content: str | bytes, fixes: str, settings: dict[str, Any], last: int
) -> None:
    done = corrected(tmp_path, name, content, fixes, **settings)
    assert rows(done) == [("a1", 5.0), ("a2", 5.0), ("a4", 7.0)]
    found = done.finding("SYN-READ-025")
    assert (
        found.message
        == f"{name} is read as corrections/axon.csv says: 1 cell corrected, 1 row removed."
    )
    assert found.severity == "info"
    assert "SYN-READ-024" not in done.codes
    assert done.line("axon", 2) == last, "rows keep the lines that they have in the file"


def test_lines_that_were_no_rows_become_rows(tmp_path: Path) -> None:
    fixes = '{},3,,"a2,6,y,a3,7,z","a2,6,y\na3,7,z"\n{},4,,"a4,""8,w","a4,8,""two\nlines"""\n'
    done = corrected(tmp_path, "a.csv", RAGGED, fixes)
    assert rows(done) == [("a1", 5.0), ("a2", 6.0), ("a3", 7.0), ("a4", 8.0), ("a5", 9.0)]
    assert [done.line("axon", row) for row in range(5)] == [2, 3, 3, 4, 6]
    assert sorted(done.codes) == ["SYN-READ-011", "SYN-READ-025"]
    assert done.finding("SYN-READ-025").message.endswith("2 rows rewritten.")


def test_a_line_that_is_no_row_goes_or_stays_refused(tmp_path: Path) -> None:
    done = corrected(tmp_path, "a.csv", RAGGED, '{},3,,"a2,6,y,a3,7,z",\n{},4,,"a4,""8,w","a4,8"\n')
    assert rows(done) == [("a1", 5.0), ("a5", 9.0)]
    assert done.tables["axon"].rejected == 1
    assert str(done.finding("SYN-READ-002").examples[0]) == "a.csv, row 4: 'a4,8'"
    assert done.finding("SYN-READ-025").message.endswith("1 row rewritten, 1 row removed.")


def test_a_last_line_that_seemed_cut_is_corrected(tmp_path: Path) -> None:
    cut = "cid,voxel_volume\na1,5\na2,5.25\na3,7."
    assert "SYN-READ-018" in corrected(tmp_path, "a.csv", cut, "", ignore=[]).codes
    done = corrected(tmp_path, "a.csv", cut, "{},4,voxel_volume,7.,7.5\n", ignore=[])
    assert done.codes == ["SYN-READ-025"]


SHEET = workbook(
    ["cid", "voxel_volume", "note"],
    ["a1", -5, "x"],
    [],
    ["a2", "=1/0", "y"],
    ["a3", 6, "z"],
    [date(2020, 5, 1), 7, "d"],
)


def test_a_sheet_is_read_as_corrected(tmp_path: Path) -> None:
    fixes = '{},4,voxel_volume,-5,5\n{},6,voxel_volume,#DIV/0!,5\n{},7,,"a3,6,z",\n{},8,cid,2020-05-01,a4\n'
    done = corrected(tmp_path, "a.xlsx", SHEET, fixes, header_row=3)
    assert rows(done) == [("a1", 5.0), ("a2", 5.0), ("a4", 7.0)]
    assert [done.line("axon", row) for row in range(3)] == [4, 6, 8]
    assert sorted(done.codes) == ["SYN-READ-011", "SYN-READ-025"], (
        "no error in a cell, no date among the keys any more"
    )
    assert (
        str(done.finding("SYN-READ-025").examples[0])
        == "a.xlsx, sheet Axons, row 4, column voxel_volume: '-5'"
    )
    whole = corrected(tmp_path, "a.xlsx", SHEET, '{},7,,"a3,6,z","a3,6,q"\n', header_row=3)
    assert (
        "rows are replaced as a whole in text files only" in whole.finding("SYN-READ-024").message
    )


def test_a_key_of_too_many_digits_is_corrected_in_a_sheet(tmp_path: Path) -> None:
    content = workbook(["cid", "voxel_volume"], [720575940612345678, 5], [17, 6])
    wrong = corrected(tmp_path, "a.xlsx", content, "", header_row=3, ignore=[])
    assert [cell[-1] for cell in wrong.cells()] == ["float"]
    fixes = "{},4,cid,720575940612345728,720575940612345678\n"
    right = corrected(tmp_path, "a.xlsx", content, fixes, header_row=3, ignore=[])
    assert right.cells() == []
    assert rows(right)[0][0] == "720575940612345678"


TYPED = {
    "cid": pl.Series([720575940612345678, 2], dtype=pl.UInt64),
    "voxel_volume": pl.Series([0.1, -2.0], dtype=pl.Float32),
    "terminal_count": pl.Series([1, 2], dtype=pl.UInt8),
    "note": ["x", None],
}


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    fixes = "{},2,voxel_volume,-2,2.5\n{},1,terminal_count,1,\n{},2,note,,new\n"
    done = corrected(tmp_path, "a.parquet", parquet(**TYPED), fixes)
    float32 = 0.10000000149011612
    assert done.rows("axon", "cid", "voxel_volume", "terminal_count") == [
        ("720575940612345678", float32, None),
        ("2", 2.5, 2),
    ]
    one = corrected(tmp_path, "a.parquet", parquet(**TYPED), '{},2,,"2,-2,2,",\n')
    assert rows(one) == [("720575940612345678", float32)]
    assert one.types("axon") == done.types("axon")


@pytest.mark.parametrize(
    ("kind", "value", "was", "fits", "does_not"),
    [
        (pyarrow.uint8(), 1, "1", ["2", ""], ["1.5", "300", "two", "-1"]),
        (pyarrow.int64(), 1, "1", ["9007199254740993"], ["1e3", "9223372036854775808"]),
        (pyarrow.float64(), 1.5, "1.5", ["2e3", " 2 "], ["nan", "inf", "1,5", "1e999"]),
        (pyarrow.decimal128(6, 2), Decimal(1), "1", ["2.50", "-3"], ["2.505", "123456"]),
        (pyarrow.bool_(), True, "true", ["false", "FALSE", ""], ["0", "no"]),
        (
            pyarrow.date32(),
            date(2020, 5, 1),
            "2020-05-01",
            ["2021-02-28"],
            ["2021-02-30", "1.2.20"],
        ),
        (
            pyarrow.binary(16),
            UUID(int=1).bytes,
            str(UUID(int=1)),
            [str(UUID(int=10)).upper()],
            ["2"],
        ),
        (pyarrow.dictionary(pyarrow.int8(), pyarrow.string()), "a", "a", [" b ", ""], []),
    ],
)
def test_a_text_has_to_fit_the_type_of_its_column(
    tmp_path: Path, kind: Any, value: object, was: str, fits: list[str], does_not: list[str]
) -> None:
    table = pyarrow.table(
        {"cid": ["a1"], "voxel_volume": [5.0], "note": pyarrow.array([value], kind)}
    )
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    for now in (*fits, *does_not):
        done = corrected(tmp_path, "a.parquet", content, f'{{}},1,note,{was},"{now}"\n')
        assert done.codes == ["SYN-READ-025" if now in fits else "SYN-READ-024"], now


@pytest.mark.parametrize(
    ("fixes", "severity", "reason"),
    [
        ("{},2,voxel_volume,-6,5", "error", "a.csv holds another text there than `was`"),
        ("{},2,voxel_volume,,5", "error", "a.csv holds another text there than `was`"),
        ('{},4,,"a3;zero;z",', "error", "a.csv holds another text there than `was`"),
        ('{},4,,"a3;zero;z","a3,1,z"', "error", "a.csv holds another text there than `was`"),
        ("{},3,voxel_volume,-5,5", "hint", "a.csv holds the corrected text itself"),
        ("{},1,cid,cid,id", "error", "a.csv has no row there"),
        ("{},6,cid,a5,a6", "error", "a.csv has no row there"),
        ("{},999999999999999999,,a5,", "error", "a.csv has no row there"),
        ("{},2,volume,-5,5", "error", "a.csv has no such column"),
        ("../b.csv,2,voxel_volume,-5,5", "warning", "axon does not read ../b.csv"),
    ],
)
def test_what_does_not_apply_is_said(
    tmp_path: Path, fixes: str, severity: str, reason: str
) -> None:
    done = corrected(tmp_path, "a.csv", CSV, fixes + "\n")
    found = done.finding("SYN-READ-024")
    assert found.severity == severity
    assert found.message == f"1 correction in corrections/axon.csv does not apply: {reason}."
    assert "corrections/axon.csv" in found.fix
    assert found.examples[0].row == int(fixes.split(",")[1])
    assert rows(done) == rows(corrected(tmp_path, "a.csv", CSV, ""))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "line 1: the header has to be file,line,column,was,now"),
        (b"file;line;column;was;now\n", "line 1: the header has to be"),
        (b"a.csv,2\n", "line 2: it has 2 values in place of 5"),
        (b"a.csv,2,cid,a,b,c\n", "line 2: it has 6 values in place of 5"),
        (b"\na.csv,two,cid,a,b\n", "line 3: 'two' is not the number of a line"),
        (b"a.csv,0,cid,a,b\n", "line 2: '0' is not"),
        ("a.csv,\u0662,cid,a,b\n".encode(), "is not the number of a line"),
        (b"a.csv," + b"9" * 5000 + b",cid,a,b\n", "is not the number of a line"),
        (b'a.csv,2,cid,"a,b\n', "line 2: a quotation mark is not closed properly"),
        (b"a.csv,2,cid,a,\xff\n", "line 2: it is not UTF-8 text"),
        (b"a.csv,2,cid,a,b\na.csv,2,cid,a,c\n", "line 3: line 2 of a.csv is corrected twice"),
        (b"a.csv,2,cid,a,b\na.csv,2,,a,c\n", "or as a whole and cell by cell"),
        (b"a.csv,2,cid,a," + b"x" * 3_000_000, "line 2: it is too long"),
    ],
)
def test_a_file_that_holds_no_corrections_is_refused_with_its_line(
    tmp_path: Path, content: bytes, why: str
) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    (tmp_path / "corrections").mkdir()
    start = b"" if why.startswith("line 1") else HEADER.encode()
    (tmp_path / "corrections" / "axon.csv").write_bytes(start + content)
    with pytest.raises(ConfigError) as error:
        ingest_folder(tmp_path, {"axon": {"file": "a.csv", "ignore": ["note"]}})
    assert f"corrections/axon.csv, {why}" in str(error.value) or (
        why in str(error.value) and not why.startswith("line")
    )
    assert error.value.next_step
    assert len(str(error.value)) < 400


def test_more_corrections_than_fit_into_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corrections, "MAX_CORRECTIONS", 2)
    with pytest.raises(ConfigError, match="line 4: it has more than 2 corrections"):
        corrected(tmp_path, "a.csv", CSV, "".join(f"{{}},{line},cid,a,b\n" for line in (1, 2, 3)))


def test_what_is_no_plain_file_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corrected(tmp_path, "a.csv", CSV, "")
    path = tmp_path / "corrections" / "axon.csv"
    monkeypatch.setattr(corrections, "MAX_BYTES", 5)
    with pytest.raises(ConfigError, match="is larger than 5 bytes"):
        corrections.find(tmp_path, "axon", None)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="is a named pipe, so it is not read"):
        corrections.find(tmp_path, "axon", None)
    path.unlink()
    path.symlink_to("/etc/hostname")
    with pytest.raises(ConfigError, match="leads out of the allowed folders"):
        corrections.find(tmp_path, "axon", [tmp_path])


HOSTILE = [
    "=1+1",
    "+SUM(A1)",
    "@x",
    " lead",
    '"',
    'a "b"',
    "two\nlines",
    "\r",
    ",",
    "\u202e\u0000x",
    "\x1b[31m",
    "é𝄞",
    "",
    "x" * 200_000,
]


def test_any_text_goes_through_the_file_and_back(tmp_path: Path) -> None:
    path = tmp_path / "axon.csv"
    every = [Correction(f"a{text[:50]}.csv", 2, text, text, text[::-1]) for text in HOSTILE if text]
    path.write_bytes(corrections.as_csv(reversed(every)).encode())
    assert sorted(corrections.read(path), key=lambda each: each.place) == sorted(
        every, key=lambda each: each.place
    )
    windows = replace(every[6], was="two\r\nlines")
    path.write_bytes(corrections.as_csv([windows]).encode())
    assert corrections.read(path) == [every[6]], "version control may change the ends of lines"


def test_nothing_is_read_line_by_line_for_a_cell_or_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(text_files, "careful")
    assert len(rows(corrected(tmp_path, "a.csv", CSV, FIXED))) == 3


def test_corrections_are_an_input_of_their_table_alone(tmp_path: Path) -> None:
    for name in ("axon", "dendrite"):
        (tmp_path / f"{name}.csv").write_text(CSV.replace("a", name[0]))
    context = context_for(
        tmp_path,
        {name: {"file": f"{name}.csv", "ignore": ["note"]} for name in ("axon", "dendrite")},
    )
    path = tmp_path / "corrections" / "axon.csv"

    def ingested() -> Record:
        with context.store.lock():
            return run_stage(context, "ingest")

    before = ingested()
    path.parent.mkdir()
    path.write_text(HEADER + "axon.csv,2,voxel_volume,-5,5\n")
    after = ingested()
    assert after.inputs.keys() - before.inputs.keys() == {"corrections:axon"}
    changed = {name for name in after.outputs if after.outputs[name] != before.outputs[name]}
    assert changed == {"tables/axon.parquet"}
    assert after.details.made_from["dendrite"] == before.details.made_from["dendrite"]
    assert after.details.made_from["axon"] != before.details.made_from["axon"]
    path.unlink()
    assert ingested().digest == before.digest
