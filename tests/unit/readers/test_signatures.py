"""Files that are something else than their name says, and text in another encoding than was thought.

Belongs here: real files through the ingest stage. Does not: files of the right kind that are broken (`test_endings.py`).
"""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import polars as pl
import pytest
import xlsxwriter
import yaml

from tests.ingest_helpers import ingest_folder

TEXT = "cid,voxel_radius\nn1,5.5\nn2,6.5\n"


def workbook() -> bytes:
    target = io.BytesIO()
    with xlsxwriter.Workbook(target) as book:
        sheet = book.add_worksheet("S")
        sheet.write_row(0, 0, ["cid", "voxel_radius"])
        sheet.write_row(1, 0, ["n1", 5.5])
    return target.getvalue()


def parquet() -> bytes:
    target = io.BytesIO()
    pl.DataFrame({"cid": ["n1"], "voxel_radius": [5.5]}).write_parquet(target)
    return target.getvalue()


PAGE = b"<html><body><table><tr><th>cid</th></tr></table></body></html>"


@pytest.mark.parametrize(
    ("name", "content", "said", "advice"),
    [
        ("v.csv", workbook(), "no text but an .xlsx workbook", ".xlsx"),
        ("v.csv", parquet(), "no text but a Parquet file", ".parquet"),
        ("v.csv", gzip.compress(TEXT.encode(), mtime=0), "no text but compressed with gzip", ".csv.gz"),
        ("v.csv", b"\n" + PAGE, "a web page", "Download"),
        ("v.xlsx", TEXT.encode(), "no workbook but text", ".csv"),
        ("v.xls", TEXT.replace(",", "\t").encode("utf-16"), "no workbook but text", ".csv"),
        ("v.xls", PAGE, "no workbook but a web page", "save it as .xlsx"),
        ("v.xls", b'\xef\xbb\xbf<?xml version="1.0"?><Workbook/>', "no workbook but XML", "save it as .xlsx"),
        ("v.xls", workbook(), "no .xls workbook but an .xlsx workbook", ".xlsx"),
        ("v.xlsx", parquet(), "no workbook but a Parquet file", ".parquet"),
        ("v.parquet", TEXT.encode(), "no Parquet file but text", ".csv"),
        ("v.parquet", workbook(), "no Parquet file but an .xlsx workbook", ".xlsx"),
    ],
)
def test_a_file_under_a_wrong_name(tmp_path: Path, name: str, content: bytes, said: str, advice: str) -> None:
    (tmp_path / name).write_bytes(content)
    done = ingest_folder(tmp_path, {"vesicle": name})
    assert done.codes == ["SYN-READ-014"]
    assert said in done.findings[0].cause
    assert advice in done.findings[0].cure


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "cp1252"])
def test_the_encoding_that_is_offered_cures(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "v.csv").write_bytes(TEXT.replace("n1", "n\u00fc").encode(encoding))
    finding = ingest_folder(tmp_path, {"vesicle": "v.csv"}).finding("SYN-READ-003")
    setting = yaml.safe_load(finding.settings[0])["tables"]["vesicle"]
    assert setting == {"encoding": encoding}
    done = ingest_folder(tmp_path, {"vesicle": {"file": "v.csv", **setting}})
    assert (done.codes, done.rows("vesicle")) == ([], [("n\u00fc", 5.5), ("n2", 6.5)])


def test_utf16_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text(TEXT)
    finding = ingest_folder(tmp_path, {"vesicle": {"file": "v.csv", "encoding": "utf-16"}}).finding("SYN-READ-003")
    assert finding.settings == ["tables:\n  vesicle:\n    encoding: utf-8"]


def test_zero_bytes_in_text(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_bytes(TEXT.encode().replace(b"n2", b"\0\0"))
    assert "zero bytes, as damaged files do, first in line 3" in ingest_folder(tmp_path, {"vesicle": "v.csv"}).finding("SYN-READ-014").cause


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_with_decimal_commas(tmp_path: Path, delimiter: str) -> None:
    (tmp_path / "v.csv").write_text(TEXT.replace(",", delimiter).replace(".", ","))
    done = ingest_folder(tmp_path, {"vesicle": {"file": "v.csv", "decimal": ","}})
    assert (done.codes, done.rows("vesicle")) == ([], [("n1", 5.5), ("n2", 6.5)])
