"""Lines whose values no single character separates, and `names` that are too many or too few: the
cause that is told.

Belongs here: real files through the ingest stage. Does not: delimiters that are found
(`test_text.py`), column names (`test_headers.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xlsxwriter

from tests.ingest_helpers import Ingested, ingest_folder

MARKS = [",", ";", "\t", "|"]


def ingest(folder: Path, content: str, name: str = "v.csv", **config: Any) -> Ingested:
    (folder / name).write_text(content, encoding="utf-8")
    return ingest_folder(folder, {"vesicle": {"file": name, **config}})


def lines(header: str, rows: int) -> list[str]:
    return [header, *(f"k{number},{number},gaba" for number in range(rows))]


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("rows", [1, 20, 20_000])
@pytest.mark.parametrize("header", ["cid,voxel_radius,neurotransmitter", "root,Radius (um),nt"])
def test_each_line_in_quotation_marks(tmp_path: Path, mark: str, rows: int, header: str) -> None:
    content = "\n".join(f'"{line.replace(",", mark)}"' for line in lines(header, rows))
    (finding,) = ingest(tmp_path, content).findings
    assert (finding.code, finding.settings) == ("SYN-READ-014", [])
    assert (
        f"each line as a whole is in quotation marks, so it is one value, although {mark!r}"
        " separates" in finding.message
    )


def test_each_row_in_quotation_marks_below_a_plain_header(tmp_path: Path) -> None:
    done = ingest(tmp_path, 'cid,voxel_radius\n"a,1"\n"b,2"\n')
    assert (
        "Each of these lines as a whole is in quotation marks" in done.finding("SYN-READ-002").fix
    )
    done = ingest(tmp_path, '"a,1"\n"b,2"\n', header_row=None, names=["cid", "voxel_radius"])
    assert "each line as a whole is in quotation marks" in done.findings[0].message


def test_whole_lines_in_one_cell_of_a_workbook_or_parquet_file(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(tmp_path / "v.xlsx") as book:
        book.add_worksheet().write_column(0, 0, lines("cid,voxel_radius,neurotransmitter", 3))
    pl.DataFrame({"cid;voxel_radius": ["a;1"]}).write_parquet(tmp_path / "v.parquet")
    for name in ("v.xlsx", "v.parquet"):
        (finding,) = ingest_folder(tmp_path, {"vesicle": name}).findings
        assert (
            finding.code,
            "the whole line is one cell" in finding.message,
            finding.settings,
        ) == (
            "SYN-READ-014",
            True,
            [],
        )


def test_quoted_values_that_hold_a_comma_are_values(tmp_path: Path) -> None:
    done = ingest(tmp_path, '"name, first"\n"b, c"\n"d, e"\n', columns={"name, first": "cid"})
    assert (done.codes, done.rows("vesicle")) == ([], [("b, c",), ("d, e",)])
    assert ingest(tmp_path, '"cid"\n"b, c"\n"d, e"\n').codes == []
    assert ingest(tmp_path, '"cid","voxel_radius"\n"a","1"\n').codes == []


@pytest.mark.parametrize("rows", [1, 2, 20, 20_000])
@pytest.mark.parametrize("header", ["cid voxel_radius neurotransmitter", "root radius nt"])
@pytest.mark.parametrize("indent", ["", "  "])
def test_columns_that_blanks_align(tmp_path: Path, rows: int, header: str, indent: str) -> None:
    written = [line.replace(",", " ").split() for line in lines(header, rows)]
    content = "".join(
        f"{indent}{first:<12}{second:>14}   {third}\n" for first, second, third in written
    )
    for name in ("v.txt", "v.csv"):
        (finding,) = ingest(tmp_path, content, name).findings
        assert (finding.code, finding.settings) == ("SYN-READ-014", [])
        assert "several blanks stand between its values" in finding.message
    body = content.split("\n", 1)[1]
    (finding,) = ingest(
        tmp_path, body, header_row=None, names=["cid", "voxel_radius", "neurotransmitter"]
    ).findings
    assert "several blanks" in finding.message


def test_columns_that_tabs_align(tmp_path: Path) -> None:
    (finding,) = ingest(tmp_path, "cid\t\tvoxel_radius\na\t\t\t1\nlong_name\t2\n", "v.tsv").findings
    assert "several tabs stand between its values" in finding.message


@pytest.mark.parametrize(
    "content",
    [
        "cid voxel_radius\na 1\nb 2\n",
        "cid,neurotransmitter\na,two  blanks\nb,x  y\n",
        "cid\nx  y\nz  w\n",
        "cid\tvoxel_radius\tneurotransmitter\na\t\tgaba\nb\t1\t\n",
        "cid,   voxel_radius\na,   1\nb,  22\n",
    ],
)
def test_blanks_and_tabs_that_align_nothing(tmp_path: Path, content: str) -> None:
    assert [
        finding.code
        for finding in ingest(tmp_path, content).findings
        if finding.severity == "error"
    ] == []


@pytest.mark.parametrize("mark", [*MARKS, " "])
@pytest.mark.parametrize("rows", [1, 3, 20_000])
@pytest.mark.parametrize(
    "names", [["cid", "voxel_radius"], ["cid", "voxel_radius", "neurotransmitter", "centroid_x"]]
)
def test_names_that_are_too_few_or_too_many(
    tmp_path: Path, mark: str, rows: int, names: list[str]
) -> None:
    content = "\n".join(line.replace(",", mark) for line in lines("", rows)[1:])
    done = ingest(tmp_path, content, "v.txt", header_row=None, names=names)
    (finding,) = [finding for finding in done.findings if finding.code != "SYN-READ-013"]
    assert (finding.code, finding.count, finding.settings) == ("SYN-READ-002", rows, [])
    assert f"the {len(names)} values that `names` lists" in finding.message
    assert f"Each line has 3 values and `names` has {len(names)}" in finding.fix
    assert "delimiter" not in finding.message + finding.fix


def test_a_wrong_delimiter_beside_names(tmp_path: Path) -> None:
    done = ingest(
        tmp_path, "a\t1\nb\t2\n", delimiter=",", header_row=None, names=["cid", "voxel_radius"]
    )
    assert [finding.settings for finding in done.findings] == [
        ['tables:\n  vesicle:\n    delimiter: "\\t"']
    ]


def test_a_header_with_too_few_names(tmp_path: Path) -> None:
    finding = ingest(tmp_path, "cid;voxel_radius\na;1;x;y\nb;2;x;y\n").finding("SYN-READ-002")
    assert "Each line has 4 values and the header has 2" in finding.fix
