"""Files whose lines end in CR, or in several ways, and the marks that old programs put behind the
last line.

Belongs here: real files through the ingest stage. Does not: files that are cut off
(`test_endings.py`).
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from syndb_pipeline.readers.text import lines
from tests.ingest_helpers import Ingested, ingest_folder


def ingest(folder: Path, content: bytes, name: str, **config: Any) -> Ingested:
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return ingest_folder(folder, {"vesicle": {"file": name, **config}})


NAMES = [("v.csv", b","), ("v.tsv", b"\t"), ("v.txt", b";"), ("v.csv.gz", b",")]


@pytest.mark.parametrize(("name", "mark"), NAMES)
@pytest.mark.parametrize("rows", [1, 2, 20, 30_000])
@pytest.mark.parametrize("last", [b"\n", b"\r\n", b"\r", b""])
def test_cr_lines_whose_last_ends_otherwise(
    tmp_path: Path, name: str, mark: bytes, rows: int, last: bytes
) -> None:
    lines = [b"cid,voxel_radius", *(b"k%d,%d" % (number, number + 1) for number in range(rows))]
    done = ingest(tmp_path, (b"\r".join(lines) + last).replace(b",", mark), name)
    assert done.codes == []
    assert done.rows("vesicle") == [(f"k{number}", float(number + 1)) for number in range(rows)]
    assert done.line("vesicle", rows - 1) == rows + 1


@pytest.mark.parametrize(("name", "mark"), NAMES)
@pytest.mark.parametrize("inside", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [b"\n", b"\r", b""])
def test_cr_lines_with_a_line_break_in_a_quoted_value(
    tmp_path: Path, name: str, mark: bytes, inside: bytes, last: bytes
) -> None:
    content = (
        b"\r".join(
            [
                b"cid,neurotransmitter,voxel_radius",
                b'a,"ga' + inside + b'ba",1',
                b'b,"x, ""y""",2',
                b"c,5' disc,3",
            ]
        )
        + last
    )
    done = ingest(tmp_path, content.replace(b"x, ", b"x ").replace(b",", mark), name)
    assert done.codes == []
    assert done.rows("vesicle") == [
        ("a", f"ga{inside.decode()}ba", 1.0),
        ("b", 'x "y"', 2.0),
        ("c", "5' disc", 3.0),
    ]


def test_lf_lines_with_a_cr_in_a_quoted_value(tmp_path: Path) -> None:
    done = ingest(tmp_path, b'cid,neurotransmitter\na,"ga\rba"\nb,gaba\n', "v.csv")
    assert (done.codes, done.rows("vesicle")) == ([], [("a", "ga\rba"), ("b", "gaba")])


@pytest.mark.parametrize("end", [b"\r\r\n", b"\r\n"])
def test_line_ends_that_were_converted_twice(tmp_path: Path, end: bytes) -> None:
    done = ingest(tmp_path, end.join([b"cid,voxel_radius", b"a,1", b"b,2", b""]), "v.csv")
    assert (done.codes, done.rows("vesicle")) == ([], [("a", 1.0), ("b", 2.0)])


@pytest.mark.parametrize("rows", [10, 400_000])
def test_parts_with_several_ends_in_one_file(tmp_path: Path, rows: int) -> None:
    """Lines of a Mac below those of Unix, beyond the first bytes that are looked at in the larger
    one.
    """
    unix = b"".join(b"u%d,1\n" % number for number in range(rows))
    done = ingest(tmp_path, b"cid,voxel_radius\n" + unix + b"m1,2\rm2,3\rm3,4", "v.csv")
    assert done.codes == []
    assert done.rows("vesicle")[-3:] == [("m1", 2.0), ("m2", 3.0), ("m3", 4.0)]
    assert done.tables["vesicle"].read == rows + 3


@pytest.mark.parametrize(
    "content", [b"cid,neurotransmitter\na,ga\rba\nb,gaba\nc,gaba\n", b"cid\na\rb\nc\nd\n"]
)
def test_a_cr_that_may_be_part_of_a_value_is_asked_for(tmp_path: Path, content: bytes) -> None:
    for quarantine in ({}, {"on_invalid": "quarantine"}):
        (tmp_path / "v.csv").write_bytes(content)
        done = ingest_folder(tmp_path, {"vesicle": "v.csv"}, **quarantine)
        assert done.codes == ["SYN-READ-014"]
        assert "line 2 holds a carriage return (CR)" in done.findings[0].message
        assert not done.has("vesicle")


def test_a_broken_line_among_cr_lines_is_told_alone(tmp_path: Path) -> None:
    done = ingest(tmp_path, b"cid,voxel_radius\ra,1\rb\rc,3\n", "v.csv")
    assert done.codes == ["SYN-READ-002"]
    assert [(each.row, each.value) for each in done.findings[0].examples] == [(3, "b")]


def test_keys_are_no_columns_of_data(tmp_path: Path) -> None:
    settings = {"ignore": ["voxel_radius\ra", "1\rb", "2"]}
    done = ingest(tmp_path, b"cid,voxel_radius\ra,1\rb,2\n", "v.csv", **settings)
    assert set(done.codes) == {"SYN-COL-006"}


def test_a_cr_file_may_have_more_values_than_columns_are_allowed(tmp_path: Path) -> None:
    lines = [b"cid,voxel_radius", *(b"k%d,1" % number for number in range(10_000))]
    assert ingest(tmp_path, b"\r".join(lines) + b"\n", "v.csv").codes == []


def test_what_ends_in_one_way_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "v.csv"
    for content in (b"a,b\n1,2\n", b"a,b\r\n1,2\r\n", b"a,b\r1,2\r", b'a,b\n"1\r",2\n', b""):
        path.write_bytes(content)
        assert lines.settled(path, None, tmp_path).path == path


def test_a_stray_quotation_mark_hides_no_line_end(tmp_path: Path) -> None:
    rows = b"".join(b"k%d,x\r" % number for number in range(2_000))
    path = tmp_path / "v.csv"
    path.write_bytes(b'cid,neurotransmitter\ra,"open\r' + rows + b'z,"fine"\n')
    text = lines.settled(path, None, tmp_path).path.read_bytes()
    assert (text.count(b"\n"), text.count(b"\r")) == (2_003, 0)


@pytest.mark.parametrize("name", ["v.csv", "v.csv.gz"])
@pytest.mark.parametrize(
    "mark", [b"\x1a", b"\r\n\x1a", b"\x1a\x1a\r\n", b"\n\x1a\0\0\0\0", b"\x1a" * 200]
)
@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_the_end_mark_of_dos(
    tmp_path: Path, name: str, mark: bytes, end: bytes, encoding: str
) -> None:
    text = end.join([b"cid,neurotransmitter", "ä,gaba".encode(), b"b,glutamate"]) + mark.replace(
        b"\r\n", end
    ).replace(b"\n", end)
    settings = {"encoding": encoding} if encoding == "cp1252" else {}
    done = ingest(tmp_path, text.decode().encode(encoding), name, **settings)
    assert (done.codes, done.rows("vesicle")) == ([], [("ä", "gaba"), ("b", "glutamate")])


def test_the_end_mark_alone_or_within(tmp_path: Path) -> None:
    assert "it is empty" in ingest(tmp_path, b"\x1a", "v.csv").findings[0].message
    assert (
        ingest(tmp_path, b"cid,neurotransmitter\na\x1ab,gaba\nc,d\n", "v.csv")
        .tables["vesicle"]
        .read
        == 2
    )


@pytest.mark.parametrize(("rows", "zeros"), [(2, 1), (2, 100), (3_000, 10_000), (200_000, 7)])
@pytest.mark.parametrize("table", ["vesicle", "neuron"])
@pytest.mark.parametrize("name", ["v.csv", "v.csv.gz"])
def test_zeros_at_the_end_are_a_broken_copy(
    tmp_path: Path, rows: int, zeros: int, table: str, name: str
) -> None:
    content = b"cid\n" + b"".join(b"%d\n" % number for number in range(rows)) + bytes(zeros)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    (finding,) = ingest_folder(tmp_path, {table: name}).findings
    assert (finding.code, finding.settings) == ("SYN-READ-014", [])
    assert f"ends in {zeros:,} zero byte" in finding.message
    assert f"line {rows + 2:,}" in finding.message


def test_zeros_in_the_middle_of_a_long_file(tmp_path: Path) -> None:
    content = b"cid,neurotransmitter\n" + b"".join(b"%d,gaba\n" % number for number in range(5_000))
    (finding,) = ingest(tmp_path, content.replace(b"4000,gaba", b"4000,g\0\0a"), "v.csv").findings
    assert "holds zero bytes, as damaged files do, first in line 4,002" in finding.message


def test_data_of_a_program_are_no_text(tmp_path: Path) -> None:
    (finding,) = ingest(tmp_path, bytes(range(256)) * 4, "v.csv").findings
    assert "no text but binary data" in finding.message
