"""Files that stop before their end, and whole ones that only lack their last line break.

Belongs here: real files, cut, through the ingest stage. Does not: other broken lines
(`test_text.py`).
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

from tests.ingest_helpers import Ingested, ingest_folder

CODE = "SYN-READ-018"


def ingest_text(folder: Path, content: str | bytes, **config: object) -> Ingested:
    (folder / "v.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    return ingest_folder(folder, {"vesicle": {"file": "v.csv", **config}})


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", ["c", "c,3", 'c,3,"gab'])
def test_a_last_line_with_too_few_values(tmp_path: Path, end: str, last: str) -> None:
    done = ingest_text(
        tmp_path, end.join(["cid,voxel_radius,neurotransmitter", 'a,1,"gaba"', "b,2,gaba", last])
    )
    finding = done.finding(CODE)
    assert done.codes == [CODE]
    assert (finding.severity, finding.confidence, finding.count) == ("error", "certain", 1)
    assert (finding.examples[0].row, finding.examples[0].value) == (4, last)
    assert done.rows("vesicle", "cid") == [("a",), ("b",)]
    assert (done.tables["vesicle"].read, done.tables["vesicle"].rejected) == (3, 1)
    kept = duckdb.sql(
        f"SELECT line, text, code FROM '{done.folder / 'unreadable.parquet'}'"
    ).fetchall()
    assert kept == [(4, last, CODE)]


def test_a_last_line_cut_inside_a_character(tmp_path: Path) -> None:
    done = ingest_text(tmp_path, "cid,neurotransmitter\na,µ\nb,µ".encode()[:-1])
    assert done.codes == [CODE]
    assert done.rows("vesicle", "cid") == [("a",)]


@pytest.mark.parametrize(
    "content",
    ["cid,voxel_radius\na\nb,1\nc", "cid,voxel_radius\na,1\nb,1,2", "cid,voxel_radius\na,1\nb\n"],
)
def test_lines_that_are_broken_otherwise(tmp_path: Path, content: str) -> None:
    assert ingest_text(tmp_path, content).codes == ["SYN-READ-002"]


def rows(values: list[str]) -> str:
    return "cid,voxel_radius,neurotransmitter\n" + "\n".join(
        f"k{number:03},1,{value}" for number, value in enumerate(values)
    )


UUIDS = [str(uuid.UUID(int=number << 96 | number)) for number in range(30)]
FIXED = [f"{number * 7.3:.3f}" for number in range(30)]
FLOATS = [repr(random.Random(number).random() * 1000) for number in range(30)]
NAMES = ["gaba", "acetylcholine", "glutamate"] * 10


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize(
    ("values", "last", "sure"),
    [
        (UUIDS, UUIDS[0][:20], True),
        (FIXED, "7.3", True),
        (FIXED, "7", True),
        (FLOATS, "12.5e", True),
        (FLOATS, "5.10", True),
        (["1", "2"], "-", False),
        (["1e-5", "2"], "2e-", True),
        (NAMES, "glutam", False),
        (NAMES, "", False),
    ],
)
def test_a_last_value_that_is_cut(
    tmp_path: Path, values: list[str], last: str, sure: bool, quoted: bool
) -> None:
    content = rows([*values, last])
    if quoted:
        content = content.replace("k000,1", '"k000",1')
    done = ingest_text(tmp_path, content)
    finding = done.finding(CODE)
    assert done.codes == [CODE]
    assert (finding.severity, finding.confidence) == (
        ("error", "likely") if sure else ("warning", "possible")
    )
    place = finding.examples[0]
    assert (place.row, place.column, place.value) == (len(values) + 2, "neurotransmitter", last)
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
@pytest.mark.parametrize("end", ["", "\n"])
def test_whole_files_raise_nothing(tmp_path: Path, values: list[str], end: str) -> None:
    assert ingest_text(tmp_path, rows(values) + end).codes == []
    assert ingest_text(tmp_path, rows([*values, "x"]) + "\n").codes == []


IDS = [f"{864691135000000000 + (number * 7919 * 10**9) % 10**15}" for number in range(30)]


@pytest.mark.parametrize(
    ("values", "last", "told"),
    [
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
def test_a_number_with_fewer_digits_than_the_others(
    tmp_path: Path, values: list[str], last: str, told: str | None
) -> None:
    done = ingest_text(tmp_path, rows([*values, last]))
    assert [(found.code, found.confidence) for found in done.findings] == (
        [(CODE, told)] if told else []
    )
    assert all(
        found.severity == ("error" if told == "likely" else "warning") for found in done.findings
    )


@pytest.mark.parametrize(
    ("values", "last"), [(IDS, IDS[0][:9]), (UUIDS, UUIDS[0][:20]), (["k1000", "k1007"] * 15, "k1")]
)
@pytest.mark.parametrize("column", ["parent_id", "neuron_id"])
def test_a_reference_is_judged_by_the_rows_it_may_point_to(
    tmp_path: Path, values: list[str], last: str, column: str
) -> None:
    (tmp_path / "v.csv").write_text(rows([*values, last]).replace("neurotransmitter", column))
    finding = ingest_folder(tmp_path, {"vesicle": "v.csv"}).finding(CODE)
    assert (finding.severity, finding.confidence) == ("warning", "possible")


def test_a_size_of_whole_blocks(tmp_path: Path) -> None:
    content = "cid,voxel_radius\n" + "\n".join(f"v{number},{number + 10}" for number in range(600))
    content = content.replace("v0,", f"v0{'x' * (8192 - len(content))},")
    assert ingest_text(tmp_path, content).finding(CODE).confidence == "possible"
    assert ingest_text(tmp_path, content + "0").codes == []
    (tmp_path / "v.csv.gz").write_bytes(gzip.compress(content.encode()))
    assert ingest_folder(tmp_path, {"vesicle": "v.csv.gz"}).codes == []


def test_a_long_file_is_sampled_at_both_ends(tmp_path: Path) -> None:
    content = "cid,voxel_radius\n" + "".join(
        f"v{number},{number}.125\n" for number in range(100_000)
    )
    finding = ingest_text(tmp_path, content[:-3]).finding(CODE)
    assert (finding.examples[0].row, finding.examples[0].value, finding.confidence) == (
        100_001,
        "99999.1",
        "likely",
    )
    assert ingest_text(tmp_path, content[:-1]).codes == []


def test_formats_that_say_where_they_end(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"cid": [str(number) for number in range(1000)]}), tmp_path / "v.parquet"
    )
    with xlsxwriter.Workbook(tmp_path / "v.xlsx") as book:
        book.add_worksheet().write_column(0, 0, ["cid", *(f"v{number}" for number in range(1000))])
    old = xlwt.Workbook()
    sheet = old.add_sheet("S")
    for number in range(1000):
        sheet.write(number, 0, f"v{number}" if number else "cid")
    old.save(str(tmp_path / "v.xls"))
    (tmp_path / "v.csv.gz").write_bytes(
        gzip.compress(b"cid\n" + b"".join(b"v%d\n" % number for number in range(1000)))
    )
    (tmp_path / "v.csv").write_bytes("cid\nv1\n".encode("utf-16")[:-1])
    for name in ("v.parquet", "v.xlsx", "v.xls", "v.csv.gz", "v.csv"):
        path = tmp_path / name
        if name != "v.csv":
            assert ingest_folder(tmp_path, {"vesicle": name}).codes == []
            content = path.read_bytes()
            path.write_bytes(content[: len(content) * 2 // 3])
        finding = ingest_folder(tmp_path, {"vesicle": name}).finding(CODE)
        assert (finding.file, finding.confidence) == (name, "certain")
