"""Files that stop before their end, and whole ones that only lack their last line break.

Belongs here: real files, cut, through the ingest stage. Does not: other broken lines
(`test_text_files.py`).
"""

from __future__ import annotations

import gzip
import random
import uuid
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
import xlwt

from tests.lab import ingest_folder, ingest_text

CODE = "SYN-READ-018"


@pytest.mark.parametrize(
    ("end", "last"), [("\n", "c"), ("\r\n", "c,3"), ("\r", 'c,3,"gab'), ("\n", 'c,3,"gab')]
)
def test_a_last_line_with_too_few_values(tmp_path: Path, end: str, last: str) -> None:
    head = ["cid,voxel_radius,neurotransmitter", 'a,1,"gaba"', "b,2,gaba"]
    done = ingest_text(tmp_path, end.join([*head, last]))
    finding = done.finding(CODE)
    assert done.codes == [CODE]
    assert (finding.severity, finding.confidence, finding.count) == ("error", "certain", 1)
    assert (finding.examples[0].row, finding.examples[0].value) == (4, last)
    assert done.rows("vesicle", "cid") == [("a",), ("b",)]
    assert (done.tables["vesicle"].read, done.tables["vesicle"].rejected) == (3, 1)
    unreadable = f"SELECT line, text, code FROM '{done.folder / 'unreadable.parquet'}'"
    assert duckdb.sql(unreadable).fetchall() == [(4, last, CODE)]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("cid,neurotransmitter\na,µ\nb,µ".encode()[:-1], CODE),
        (b"cid,voxel_radius\na\nb,1\nc", "SYN-READ-002"),
        (b"cid,voxel_radius\na,1\nb,1,2", "SYN-READ-002"),
        (b"cid,voxel_radius\na,1\nb\n", "SYN-READ-002"),
    ],
)
def test_last_lines_that_are_broken(tmp_path: Path, content: bytes, code: str) -> None:
    assert ingest_text(tmp_path, content).codes == [code]


def rows(values: list[str], column: str = "neurotransmitter") -> str:
    lines = (f"k{number:03},1,{value}" for number, value in enumerate(values))
    return "\n".join([f"cid,voxel_radius,{column}", *lines])


UUIDS = [str(uuid.UUID(int=number << 96 | number)) for number in range(30)]
FIXED = [f"{number * 7.3:.3f}" for number in range(30)]
FLOATS = [repr(random.Random(number).random() * 1000) for number in range(30)]
NAMES = ["gaba", "acetylcholine", "glutamate"] * 10
IDS = [f"{864691135000000000 + (number * 7919 * 10**9) % 10**15}" for number in range(30)]


@pytest.mark.parametrize(
    ("values", "last", "confidence"),
    [
        (UUIDS, UUIDS[0][:20], "likely"),
        (FIXED, "7.3", "likely"),
        (FIXED, "7", "likely"),
        (FLOATS, "12.5e", "likely"),
        (FLOATS, "5.10", "likely"),
        (["1", "2"], "-", "possible"),
        (["1e-5", "2"], "2e-", "likely"),
        (NAMES, "glutam", "possible"),
        (NAMES, "", "possible"),
        # Numbers with fewer digits than the others.
        ([str(number) for number in range(1020, 999, -1)], "999", None),
        ([f"n{number}" for number in range(1020, 999, -1)], "n999", None),
        ([str(number) for number in range(100_020, 99_999, -1)], "99999", None),
        (["1000", "1007", "1003"] * 8, "999", "possible"),
        (["n1000", "n1007", "n1003"] * 8, "n99", "possible"),
        (IDS, IDS[0][:-1], "possible"),
        (IDS, IDS[0][:9], "likely"),
        ([f"ab{number:04}" for number in range(30)], "ab", "likely"),
    ],
)
def test_a_last_value_that_may_be_cut(
    tmp_path: Path, values: list[str], last: str, confidence: str | None
) -> None:
    content = rows([*values, last])
    for written in (content, content.replace("k000,1", '"k000",1')):
        done = ingest_text(tmp_path, written)
        assert done.codes == ([CODE] if confidence else [])
        for finding in done.findings:
            severity = "error" if confidence == "likely" else "warning"
            assert (finding.severity, finding.confidence) == (severity, confidence)
            place = finding.examples[0]
            assert (place.row, place.column) == (len(values) + 2, "neurotransmitter")
            assert place.value == last
        assert done.tables["vesicle"].rejected == 0


@pytest.mark.parametrize(
    "values",
    [
        UUIDS,
        FIXED,
        FLOATS,
        NAMES,
        ["1", "2", "3"],
        ["1.", "2."],
        [""] * 30,
        ["a", "ab", "abc"] * 10 + ["abc"],
        [str(n * n) for n in range(9, 40)],
    ],
)
def test_whole_files_raise_nothing(tmp_path: Path, values: list[str]) -> None:
    for content in (rows(values), rows(values) + "\n", rows([*values, "x"]) + "\n"):
        assert ingest_text(tmp_path, content).codes == []


@pytest.mark.parametrize(
    ("values", "last", "column"),
    [
        (IDS, IDS[0][:9], "parent_id"),
        (UUIDS, UUIDS[0][:20], "neuron_id"),
        (["k1000", "k1007"] * 15, "k1", "parent_id"),
    ],
)
def test_a_reference_is_judged_by_the_rows_it_may_point_to(
    tmp_path: Path, values: list[str], last: str, column: str
) -> None:
    finding = ingest_text(tmp_path, rows([*values, last], column)).finding(CODE)
    assert (finding.severity, finding.confidence) == ("warning", "possible")


def test_a_size_of_whole_blocks(tmp_path: Path) -> None:
    content = "cid,voxel_radius\n" + "\n".join(f"v{number},{number + 10}" for number in range(600))
    content = content.replace("v0,", f"v0{'x' * (8192 - len(content))},")
    assert ingest_text(tmp_path, content).finding(CODE).confidence == "possible"
    assert ingest_text(tmp_path, content + "0").codes == []
    assert ingest_text(tmp_path, content, "v.csv.gz").codes == []


def test_a_long_file_is_sampled_at_both_ends(tmp_path: Path) -> None:
    lines = "".join(f"v{number},{number}.125\n" for number in range(40_000))
    content = "cid,voxel_radius\n" + lines
    finding = ingest_text(tmp_path, content[:-3]).finding(CODE)
    place = finding.examples[0]
    assert (place.row, place.value, finding.confidence) == (40_001, "39999.1", "likely")
    assert ingest_text(tmp_path, content[:-1]).codes == []


def test_formats_that_say_where_they_end(tmp_path: Path) -> None:
    keys = [f"v{number}" for number in range(300)]
    pq.write_table(pa.table({"cid": keys}), tmp_path / "v.parquet")
    with xlsxwriter.Workbook(tmp_path / "v.xlsx") as book:
        book.add_worksheet().write_column(0, 0, ["cid", *keys])
    old = xlwt.Workbook()
    sheet = old.add_sheet("S")
    for number, text in enumerate(["cid", *keys]):
        sheet.write(number, 0, text)
    old.save(str(tmp_path / "v.xls"))
    (tmp_path / "v.csv.gz").write_bytes(gzip.compress("\n".join(["cid", *keys, ""]).encode()))
    for name in ("v.parquet", "v.xlsx", "v.xls", "v.csv.gz", "v.csv"):
        path = tmp_path / name
        if name == "v.csv":
            path.write_bytes("cid\nv1\n".encode("utf-16")[:-1])
        else:
            content = path.read_bytes()
            path.write_bytes(content[: len(content) * 2 // 3])
        finding = ingest_folder(tmp_path, {"vesicle": name}).finding(CODE)
        assert (finding.file, finding.confidence) == (name, "certain")
