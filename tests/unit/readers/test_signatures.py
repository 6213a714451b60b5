"""Files that are something else than their name says, and text in another encoding than was
thought.

Belongs here: real files through the ingest stage. Does not: files of the right kind that are broken
(`test_endings.py`).
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import random
import sqlite3
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
import xlsxwriter
import yaml

from tests.lab import ingest_folder

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
        (
            "v.csv",
            gzip.compress(TEXT.encode(), mtime=0),
            "no text but compressed with gzip",
            ".csv.gz",
        ),
        ("v.csv", b"\n" + PAGE, "a web page", "Download"),
        ("v.xlsx", TEXT.encode(), "no workbook but text", ".csv"),
        ("v.xls", TEXT.replace(",", "\t").encode("utf-16"), "no workbook but text", ".csv"),
        ("v.xls", PAGE, "no workbook but a web page", "save it as .xlsx"),
        (
            "v.xls",
            b'\xef\xbb\xbf<?xml version="1.0"?><Workbook/>',
            "no workbook but XML",
            "save it as .xlsx",
        ),
        ("v.xls", workbook(), "no .xls workbook but an .xlsx workbook", ".xlsx"),
        ("v.xlsx", parquet(), "no workbook but a Parquet file", ".parquet"),
        ("v.parquet", TEXT.encode(), "no Parquet file but text", ".csv"),
        ("v.parquet", workbook(), "no Parquet file but an .xlsx workbook", ".xlsx"),
    ],
)
def test_a_file_under_a_wrong_name(
    tmp_path: Path, name: str, content: bytes, said: str, advice: str
) -> None:
    (tmp_path / name).write_bytes(content)
    done = ingest_folder(tmp_path, {"vesicle": name})
    assert done.codes == ["SYN-READ-014"]
    assert said in done.findings[0].message
    assert advice in done.findings[0].fix


def database(connect: Callable[[str], Any]) -> bytes:
    """The bytes of a database with one empty table, made by `connect`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "d"
        with closing(connect(str(path))) as connection:
            connection.execute("CREATE TABLE t (a INTEGER)")
            connection.commit()
        return path.read_bytes()


def arrow(*, stream: bool) -> bytes:
    table = pa.table({"cid": ["n1"], "voxel_radius": [5.5]})
    target = io.BytesIO()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(target, table.schema) as writer:
        writer.write_table(table)
    return target.getvalue()


def packed(*, archive: bool) -> bytes:
    target = io.BytesIO()
    if archive:
        with zipfile.ZipFile(target, "w") as zipped:
            zipped.writestr("v.csv", TEXT)
    else:
        with tarfile.open(fileobj=target, mode="w") as tarred:
            entry = tarfile.TarInfo("v.csv")
            entry.size = len(TEXT)
            tarred.addfile(entry, io.BytesIO(TEXT.encode()))
    return target.getvalue()


STRANGE = {
    "Feather (Arrow)": arrow(stream=False),
    "Feather (Arrow) file": arrow(stream=True),
    "SQLite": database(sqlite3.connect),
    "DuckDB": database(duckdb.connect),
    "zstd": pa.compress(TEXT.encode() * 100, "zstd", asbytes=True),
    "bzip2": bz2.compress(TEXT.encode()),
    "compressed with xz": lzma.compress(TEXT.encode()),
    "a zip archive": packed(archive=True),
    "a tar archive": packed(archive=False),
    "HDF5": b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0" + bytes(100),
    "MATLAB": b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + b" " * 90 + bytes(50),
    "NumPy": b"\x93NUMPY\x01\0v\0{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }"
    + bytes(40),
    "R data (.RData)": b"RDX3\nX\n\0\0\0\3\0\4\1\0" + bytes(40),
    "R data (.rds), compressed with gzip": gzip.compress(b"X\n\0\0\0\3\0\4\1\0" + bytes(40)),
    "pickle": pickle.dumps({"cid": ["n1"]}),
    "JSON": json.dumps([{"cid": "n1"}]).encode(),
    "JSON text": b'\xef\xbb\xbf\n{"cid": "n1"}\n{"cid": "n2"}\n',
    "web page": b"\n<TABLE border=1><tr><td>cid</td></tr></TABLE>",
    "ORC": b"ORC\x0a\x03\0\0"[:3] + b"\x11\0\0" + bytes(40),
    "PDF": b"%PDF-1.7\n%\xe2\xe3",
    "SPSS": b"$FL2@(#) SPSS DATA FILE",
    "image": b"\x89PNG\r\n\x1a\n" + bytes(40),
}


@pytest.mark.parametrize("what", STRANGE)
@pytest.mark.parametrize("name", ["v.dat", "v.parquet"])
def test_a_format_that_is_not_read(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / name).write_bytes(STRANGE[what])
    (finding,) = ingest_folder(tmp_path, {"vesicle": name}).findings
    assert (finding.code, finding.settings) == ("SYN-READ-014", [])
    assert what in finding.message
    assert "utf-16" not in finding.message + finding.fix
    assert "zero bytes" not in finding.message


@pytest.mark.parametrize(
    "first",
    [
        "ORC",
        "RDX3",
        "[cid]",
        "{cid}",
        "<cid>",
        "BZh9",
        "PK",
        "GIF",
        "MATLAB",
        "FEA1",
        "my DUCK",
        "%volume",
    ],
)
def test_names_of_columns_that_look_like_a_signature(tmp_path: Path, first: str) -> None:
    (tmp_path / "v.csv").write_text(f"{first},cid\n1,n1\n")
    assert (
        ingest_folder(
            tmp_path, {"vesicle": {"file": "v.csv", "columns": {first: "voxel_radius"}}}
        ).codes
        == []
    )


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
    finding = ingest_folder(tmp_path, {"vesicle": {"file": "v.csv", "encoding": "utf-16"}}).finding(
        "SYN-READ-003"
    )
    assert finding.settings == ["tables:\n  vesicle:\n    encoding: utf-8"]


def test_zero_bytes_in_text(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_bytes(TEXT.encode().replace(b"n2", b"\0\0"))
    assert (
        "zero bytes, as damaged files do, first in line 3"
        in ingest_folder(tmp_path, {"vesicle": "v.csv"}).finding("SYN-READ-014").message
    )


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_with_decimal_commas(tmp_path: Path, delimiter: str) -> None:
    (tmp_path / "v.csv").write_text(TEXT.replace(",", delimiter).replace(".", ","))
    done = ingest_folder(tmp_path, {"vesicle": {"file": "v.csv", "decimal": ","}})
    assert (done.codes, done.rows("vesicle")) == ([], [("n1", 5.5), ("n2", 6.5)])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TEXT.encode(), "not compressed, though its name ends in .gz"),
        (STRANGE["zstd"], "zstd"),
        (STRANGE["a zip archive"], "zip archive"),
    ],
)
def test_a_name_of_gzip_without_gzip(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "v.csv.gz").write_bytes(content)
    (finding,) = ingest_folder(tmp_path, {"vesicle": "v.csv.gz"}).findings
    assert (finding.code, said in finding.message) == ("SYN-READ-014", True)


def test_bytes_of_no_known_format(tmp_path: Path) -> None:
    noise = bytes(byte or 1 for byte in random.Random(1).randbytes(20_000))
    (tmp_path / "v.csv").write_bytes(noise)
    assert (
        "no text but binary data"
        in ingest_folder(tmp_path, {"vesicle": "v.csv"}).findings[0].message
    )
