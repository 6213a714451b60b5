"""Lines whose values no single character separates, and `names` that are too many or too few: the
cause that is reported.

Belongs here: real files through the ingest stage. Does not: delimiters that are found
(`test_text_files.py`), column names (`test_headers.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xlsxwriter

from tests.lab import ingest_folder, ingest_text

MARKS = [",", ";", "\t", "|"]
NAMES = ["cid", "voxel_radius", "neurotransmitter"]


def lines(header: str, rows: int) -> list[str]:
    return [header, *(f"k{number},{number},gaba" for number in range(rows))]


def refused(folder: Path, content: str, said: str, name: str = "v.csv", **config: Any) -> None:
    """The only finding is that the file cannot be read, without a setting to paste."""
    (finding,) = ingest_text(folder, content, name, **config).findings
    assert (finding.code, finding.settings) == ("SYN-READ-014", [])
    assert said in finding.message


@pytest.mark.parametrize(("mark", "rows"), [(",", 1), (";", 20), ("\t", 3_000), ("|", 2)])
@pytest.mark.parametrize("header", [",".join(NAMES), "root,Radius (um),nt"])
def test_each_line_in_quotation_marks(tmp_path: Path, mark: str, rows: int, header: str) -> None:
    content = "\n".join(f'"{line.replace(",", mark)}"' for line in lines(header, rows))
    said = f"in quotation marks, so it is one value, although {mark!r} separates"
    refused(tmp_path, content, said)


def test_each_row_in_quotation_marks_below_a_plain_header(tmp_path: Path) -> None:
    done = ingest_text(tmp_path, 'cid,voxel_radius\n"a,1"\n"b,2"\n')
    said = "Each of these lines as a whole is in quotation marks"
    assert said in done.finding("SYN-READ-002").fix
    refused(tmp_path, '"a,1"\n"b,2"\n', "quotation marks", header_row=None, names=NAMES[:2])


def test_whole_lines_in_one_cell_of_a_workbook_or_parquet_file(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(tmp_path / "v.xlsx") as book:
        book.add_worksheet().write_column(0, 0, lines(",".join(NAMES), 3))
    pl.DataFrame({"cid;voxel_radius": ["a;1"]}).write_parquet(tmp_path / "v.parquet")
    for name in ("v.xlsx", "v.parquet"):
        (finding,) = ingest_folder(tmp_path, {"vesicle": name}).findings
        assert (finding.code, finding.settings) == ("SYN-READ-014", [])
        assert "the whole line is one cell" in finding.message


@pytest.mark.parametrize(("rows", "indent"), [(1, ""), (2, "  "), (20, ""), (3_000, "  ")])
@pytest.mark.parametrize("header", ["cid voxel_radius neurotransmitter", "root radius nt"])
def test_columns_that_blanks_align(tmp_path: Path, rows: int, header: str, indent: str) -> None:
    written = [line.replace(",", " ").split() for line in lines(header, rows)]
    content = "".join(
        f"{indent}{first:<12}{second:>14}   {third}\n" for first, second, third in written
    )
    said = "several blanks are between its values"
    refused(tmp_path, content, said, "v.txt")
    refused(tmp_path, content.split("\n", 1)[1], said, header_row=None, names=NAMES)


def test_columns_that_tabs_align(tmp_path: Path) -> None:
    said = "several tabs are between its values"
    refused(tmp_path, "cid\t\tvoxel_radius\na\t\t\t1\nlong_name\t2\n", said, "v.tsv")


@pytest.mark.parametrize(
    ("content", "config"),
    [
        ("cid voxel_radius\na 1\nb 2\n", {}),
        ("cid,neurotransmitter\na,two  blanks\nb,x  y\n", {}),
        ("cid\nx  y\nz  w\n", {}),
        ("cid\tvoxel_radius\tneurotransmitter\na\t\tgaba\nb\t1\t\n", {}),
        ("cid,   voxel_radius\na,   1\nb,  22\n", {}),
        ('"name, first"\n"b, c"\n"d, e"\n', {"columns": {"name, first": "cid"}}),
        ('"cid"\n"b, c"\n"d, e"\n', {}),
        ("b, c\nd, e\n", {"delimiter": ";", "header_row": None, "names": ["cid"]}),
    ],
)
def test_blanks_tabs_and_commas_that_separate_nothing(
    tmp_path: Path, content: str, config: dict[str, Any]
) -> None:
    found = ingest_text(tmp_path, content, **config).findings
    assert [each.code for each in found if each.severity == "error"] == []


@pytest.mark.parametrize(
    ("mark", "rows"), [(",", 1), (";", 3), ("\t", 1), ("|", 3_000), (" ", 3), (" ", 1)]
)
@pytest.mark.parametrize("names", [NAMES[:2], [*NAMES, "centroid_x"]])
def test_names_that_are_too_few_or_too_many(
    tmp_path: Path, mark: str, rows: int, names: list[str]
) -> None:
    content = "\n".join(line.replace(",", mark) for line in lines("", rows)[1:])
    done = ingest_text(tmp_path, content, "v.txt", header_row=None, names=names)
    (finding,) = [finding for finding in done.findings if finding.code != "SYN-READ-013"]
    assert (finding.code, finding.count, finding.settings) == ("SYN-READ-002", rows, [])
    assert f"the {len(names)} values that `names` lists" in finding.message
    assert f"Each line has 3 values and `names` has {len(names)}" in finding.fix
    assert "delimiter" not in finding.message + finding.fix


def test_a_wrong_delimiter_beside_names(tmp_path: Path) -> None:
    config = {"delimiter": ",", "header_row": None, "names": NAMES[:2]}
    (finding,) = ingest_text(tmp_path, "a\t1\nb\t2\n", **config).findings
    assert finding.settings == ['tables:\n  vesicle:\n    delimiter: "\\t"']


def test_a_header_with_too_few_names(tmp_path: Path) -> None:
    done = ingest_text(tmp_path, "cid;voxel_radius\na;1;x;y\nb;2;x;y\n")
    fix = done.finding("SYN-READ-002").fix
    assert "Each line has 4 values and the header has 2" in fix
