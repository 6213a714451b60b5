"""Cells read again to the letter from csv, workbooks and Parquet, wherever they lie in the file.

Belongs here: rows, columns and texts. Does not: which cells are wanted (`stages/as_written.py`).
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from syndb_pipeline.config.settings import TableConfig
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.readers.fence import Fence
from syndb_pipeline.readers.formats import LabFile, Means, Texts, format_of


def cells(
    path: Path, wanted: list[str], lines: list[int], first_line: int = 2, **config: Any
) -> list[Texts]:
    delimiter, sheet = config.pop("delimiter", ","), config.pop("sheet", None)
    lab_file = LabFile(
        path, TABLES["neuron"], TableConfig(file=path.name, **config), first_line, sheet, delimiter
    )
    scratch = path.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    own = format_of(path)
    assert own is not None
    with duckdb.connect() as connection, Fence() as fence:
        return list(own.cells(lab_file, wanted, lines, Means(connection, fence, scratch)))


def csv_file(folder: Path, content: bytes, name: str = "neuron.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_cells_are_given_letter_by_letter(tmp_path: Path) -> None:
    path = csv_file(tmp_path, b'cid,size,note\na, -0.50 ,x\n"b ""b""",1e3,"two\nlines"\n\nc,,\n')
    assert cells(path, ["size", "cid"], [2, 3, 6]) == [
        (" -0.50 ", "a"),
        ("1e3", 'b "b"'),
        (None, "c"),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_any_line_end(tmp_path: Path, end: str, last: bool) -> None:
    path = csv_file(
        tmp_path, (end.join(["cid,size", "a,1", "b,2", "c,3"]) + (end if last else "")).encode()
    )
    assert cells(path, ["size"], [2, 4]) == [("1",), ("3",)]


def test_far_apart_rows(tmp_path: Path) -> None:
    path = csv_file(
        tmp_path,
        b"\xef\xbb\xbfcid,size\n"
        + b"".join(b'k%d,"%d\n."\n' % (number, number) for number in range(500)),
    )
    lines = [2, 4, 300, 302, 1000]
    assert cells(path, ["cid", "size"], lines) == [
        (f"k{line // 2 - 1}", f"{line // 2 - 1}\n.") for line in lines
    ]


def test_other_encodings_delimiters_and_compression(tmp_path: Path) -> None:
    text = "cid;gr\u00f6\u00dfe\n\u00e4;1,5\n"
    assert cells(
        csv_file(tmp_path, text.encode("cp1252")),
        ["gr\u00f6\u00dfe"],
        [2],
        encoding="cp1252",
        delimiter=";",
    ) == [("1,5",)]
    assert cells(csv_file(tmp_path, text.encode("utf-16")), ["cid"], [2], delimiter=";") == [
        ("\u00e4",)
    ]
    packed = csv_file(tmp_path, gzip.compress(text.encode()), "neuron.csv.gz")
    assert cells(packed, ["gr\u00f6\u00dfe"], [2], delimiter=";") == [("1,5",)]


def test_a_header_further_down_or_none(tmp_path: Path) -> None:
    path = csv_file(tmp_path, b"made by us\n\ncid,size\na,1\n")
    assert cells(path, ["size"], [4], first_line=4, header_row=2) == [("1",)]
    bare = csv_file(tmp_path, b"a,1\nb,2\n")
    assert cells(bare, ["size"], [2], first_line=1, header_row=None, names=["cid", "size"]) == [
        ("2",)
    ]


def test_a_workbook(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in [["cid", " size "], ["a", -1.0], ["b", 0.02], [], ["c", " 7 "]]:
        book.active.append(row)
    book.active.title = "neurons"
    path = tmp_path / "neuron.xlsx"
    book.save(path)
    assert cells(path, ["size"], [2, 3, 5], sheet="neurons") == [("-1",), ("0.02",), (" 7 ",)]


def test_a_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "neuron.parquet"
    pq.write_table(pa.table({"cid": ["a", "b"], "Size": [-1.0, 0.1], "size": ["x", None]}), path)
    assert cells(path, ["Size", "size"], [1, 2], first_line=1) == [("-1", "x"), ("0.1", None)]


def test_rows_and_columns_that_are_not_there_any_more(tmp_path: Path) -> None:
    path = csv_file(tmp_path, b"cid,size\na,1\nb\n")
    assert cells(path, ["size"], [3, 9]) == [(None,), (None,)]
    with pytest.raises(ValueError, match="not in"):
        cells(path, ["length"], [2])
    with pytest.raises(OSError, match="nowhere"):
        cells(tmp_path / "nowhere.csv", ["size"], [2])
