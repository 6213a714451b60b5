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


FAR = b"\xef\xbb\xbfcid,size\n" + b"".join(b'k%d,"%d\n."\n' % (n, n) for n in range(500))
UMLAUTS = "cid;größe\nä;1,5\n"
SEMICOLON = {"delimiter": ";"}


@pytest.mark.parametrize(
    ("content", "wanted", "lines", "expected", "config"),
    [
        (
            b'cid,size,note\na, -0.50 ,x\n"b ""b""",1e3,"two\nlines"\n\nc,,\n',
            ["size", "cid"],
            [2, 3, 6],
            [(" -0.50 ", "a"), ("1e3", 'b "b"'), (None, "c")],
            {},
        ),
        *(
            (
                end.join([b"cid,size", b"a,1", b"b,2", b"c,3"]) + last,
                ["size"],
                [2, 4],
                [("1",), ("3",)],
                {},
            )
            for end in (b"\n", b"\r\n", b"\r")
            for last in (b"", end)
        ),
        (FAR, ["size", "cid"], [2, 302, 1000], [(f"{n}\n.", f"k{n}") for n in (0, 150, 499)], {}),
        (UMLAUTS.encode("cp1252"), ["größe"], [2], [("1,5",)], SEMICOLON | {"encoding": "cp1252"}),
        (UMLAUTS.encode("utf-16"), ["cid"], [2], [("ä",)], SEMICOLON),
        (gzip.compress(UMLAUTS.encode(), mtime=0), ["größe"], [2], [("1,5",)], SEMICOLON),
        (b"made by us\n\ncid,size\na,1\n", ["size"], [4], [("1",)], {"header_row": 2}),
        (
            b"a,1\nb,2\n",
            ["size"],
            [2],
            [("2",)],
            {"header_row": None, "names": ["cid", "size"]},
        ),
        # Rows and columns that are not there any more.
        (b"cid,size\na,1\nb\n", ["size"], [3, 9], [(None,), (None,)], {}),
    ],
)
def test_cells_of_text_are_given_letter_by_letter(
    tmp_path: Path,
    content: bytes,
    wanted: list[str],
    lines: list[int],
    expected: list[Texts],
    config: dict[str, Any],
) -> None:
    path = tmp_path / ("neuron.csv.gz" if content.startswith(b"\x1f\x8b") else "neuron.csv")
    path.write_bytes(content)
    assert cells(path, wanted, lines, **config) == expected


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


def test_columns_and_files_that_are_not_there_any_more(tmp_path: Path) -> None:
    (tmp_path / "neuron.csv").write_bytes(b"cid,size\na,1\n")
    with pytest.raises(ValueError, match="not in"):
        cells(tmp_path / "neuron.csv", ["length"], [2])
    with pytest.raises(OSError, match="nowhere"):
        cells(tmp_path / "nowhere.csv", ["size"], [2])
