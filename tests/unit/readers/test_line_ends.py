"""Files whose lines end in CR, or in several ways, and the marks that old programs put behind the
last line; lines split in Python.

Belongs here: real files through the ingest stage, bytes in and records out. Does not: files that
are cut off (`test_endings.py`).
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syndb_pipeline.readers.text.lines import (
    MAX_RECORD_LINES,
    Splitter,
    joined,
    records,
    records_at,
    settled,
)
from tests.lab import ingest_folder, ingest_text

KINDS = [("v.csv", b","), ("v.tsv", b"\t"), ("v.txt", b";"), ("v.csv.gz", b",")]


@pytest.mark.parametrize(("rows", "last"), [(1, b"\n"), (2, b"\r\n"), (20, b"\r"), (9_000, b"")])
@pytest.mark.parametrize(("name", "mark"), KINDS)
def test_cr_lines_whose_last_ends_otherwise(
    tmp_path: Path, name: str, mark: bytes, rows: int, last: bytes
) -> None:
    lines = [b"cid,voxel_radius", *(b"k%d,%d" % (number, number + 1) for number in range(rows))]
    done = ingest_text(tmp_path, (b"\r".join(lines) + last).replace(b",", mark), name)
    assert done.codes == []
    assert done.rows("vesicle") == [(f"k{number}", float(number + 1)) for number in range(rows)]
    assert done.line("vesicle", rows - 1) == rows + 1


@pytest.mark.parametrize(("name", "mark"), KINDS[:2])
@pytest.mark.parametrize(("inside", "last"), [(b"\n", b"\r"), (b"\r\n", b"\n"), (b"\n", b"")])
def test_cr_lines_with_a_line_break_in_a_quoted_value(
    tmp_path: Path, name: str, mark: bytes, inside: bytes, last: bytes
) -> None:
    quoted = b'a,"ga' + inside + b'ba",1'
    lines = [b"cid,neurotransmitter,voxel_radius", quoted, b'b,"x ""y""",2', b"c,5' disc,3"]
    done = ingest_text(tmp_path, (b"\r".join(lines) + last).replace(b",", mark), name)
    rows = [("a", f"ga{inside.decode()}ba", 1.0), ("b", 'x "y"', 2.0), ("c", "5' disc", 3.0)]
    assert (done.codes, done.rows("vesicle")) == ([], rows)


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b'cid,neurotransmitter\na,"ga\rba"\nb,gaba\n', [("a", "ga\rba"), ("b", "gaba")]),
        (b"cid,voxel_radius\r\r\na,1\r\r\nb,2\r\r\n", [("a", 1.0), ("b", 2.0)]),
        (b"cid,voxel_radius\na,1\nm1,2\rm2,3", [("a", 1.0), ("m1", 2.0), ("m2", 3.0)]),
    ],
)
def test_line_ends_of_several_kinds(tmp_path: Path, content: bytes, rows: list[object]) -> None:
    done = ingest_text(tmp_path, content)
    assert (done.codes, done.rows("vesicle")) == ([], rows)


def test_cr_lines_far_below_others(tmp_path: Path) -> None:
    unix = b"".join(b"u%d,1\n" % number for number in range(40_000))
    done = ingest_text(tmp_path, b"cid,voxel_radius\n" + unix + b"m1,2\rm2,3\rm3,4")
    assert done.codes == []
    assert done.rows("vesicle")[-3:] == [("m1", 2.0), ("m2", 3.0), ("m3", 4.0)]
    assert done.tables["vesicle"].read == 40_003


@pytest.mark.parametrize(
    "content", [b"cid,neurotransmitter\na,ga\rba\nb,gaba\nc,gaba\n", b"cid\na\rb\nc\nd\n"]
)
def test_a_cr_that_may_be_part_of_a_value_is_asked_for(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "v.csv").write_bytes(content)
    for quarantine in ({}, {"on_invalid": "quarantine"}):
        done = ingest_folder(tmp_path, {"vesicle": "v.csv"}, **quarantine)
        assert done.codes == ["SYN-READ-014"]
        assert "line 2 holds a carriage return (CR)" in done.findings[0].message
        assert not done.has("vesicle")


def test_a_broken_line_among_cr_lines_is_reported_alone(tmp_path: Path) -> None:
    done = ingest_text(tmp_path, b"cid,voxel_radius\ra,1\rb\rc,3\n")
    assert done.codes == ["SYN-READ-002"]
    assert [(each.row, each.value) for each in done.findings[0].examples] == [(3, "b")]


def test_a_cr_file_may_have_more_values_than_columns_are_allowed(tmp_path: Path) -> None:
    lines = [b"cid,voxel_radius", *(b"k%d,1" % number for number in range(10_000))]
    assert ingest_text(tmp_path, b"\r".join(lines) + b"\n").codes == []


def test_what_ends_in_one_way_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "v.csv"
    for content in (b"a,b\n1,2\n", b"a,b\r\n1,2\r\n", b"a,b\r1,2\r", b'a,b\n"1\r",2\n', b""):
        path.write_bytes(content)
        assert settled(path, None, tmp_path).path == path


def test_a_stray_quotation_mark_hides_no_line_end(tmp_path: Path) -> None:
    rows = b"".join(b"k%d,x\r" % number for number in range(2_000))
    path = tmp_path / "v.csv"
    path.write_bytes(b'cid,neurotransmitter\ra,"open\r' + rows + b'z,"fine"\n')
    text = settled(path, None, tmp_path).path.read_bytes()
    assert (text.count(b"\n"), text.count(b"\r")) == (2_003, 0)


MARKS = [b"\x1a", b"\r\n\x1a", b"\x1a\x1a\r\n", b"\n\x1a\0\0\0\0", b"\x1a" * 200]


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize(
    ("end", "encoding", "name"),
    [(b"\r\n", "utf-8", "v.csv"), (b"\n", "cp1252", "v.csv.gz"), (b"\r", "utf-16", "v.csv")],
)
def test_the_end_mark_of_dos(
    tmp_path: Path, name: str, mark: bytes, end: bytes, encoding: str
) -> None:
    text = end.join([b"cid,neurotransmitter", "ä,gaba".encode(), b"b,glutamate"])
    text += mark.replace(b"\r\n", end).replace(b"\n", end)
    settings = {"encoding": encoding} if encoding == "cp1252" else {}
    done = ingest_text(tmp_path, text.decode().encode(encoding), name, **settings)
    assert (done.codes, done.rows("vesicle")) == ([], [("ä", "gaba"), ("b", "glutamate")])


def test_the_end_mark_alone_or_within(tmp_path: Path) -> None:
    assert "it is empty" in ingest_text(tmp_path, b"\x1a").findings[0].message
    done = ingest_text(tmp_path, b"cid,neurotransmitter\na\x1ab,gaba\nc,d\n")
    assert done.tables["vesicle"].read == 2


@pytest.mark.parametrize(
    ("rows", "zeros", "table", "name"),
    [
        (2, 1, "vesicle", "v.csv"),
        (2, 100, "neuron", "v.csv.gz"),
        (3_000, 10_000, "neuron", "v.csv"),
    ],
)
def test_zeros_at_the_end_are_a_broken_copy(
    tmp_path: Path, rows: int, zeros: int, table: str, name: str
) -> None:
    content = b"cid\n" + b"".join(b"%d\n" % number for number in range(rows)) + bytes(zeros)
    (finding,) = ingest_text(tmp_path, content, name, table).findings
    assert (finding.code, finding.settings) == ("SYN-READ-014", [])
    assert f"ends in {zeros:,} zero byte" in finding.message
    assert f"line {rows + 2:,}" in finding.message


def test_zeros_in_the_middle_and_data_of_a_program(tmp_path: Path) -> None:
    content = b"cid,neurotransmitter\n" + b"".join(b"%d,gaba\n" % number for number in range(5_000))
    (finding,) = ingest_text(tmp_path, content.replace(b"4000,gaba", b"4000,g\0\0a")).findings
    assert "holds zero bytes, as damaged files do, first in line 4,002" in finding.message
    (finding,) = ingest_text(tmp_path, bytes(range(256)) * 4).findings
    assert "no text but binary data" in finding.message


# Records


@pytest.mark.parametrize(
    ("content", "end", "start", "expected"),
    [
        (
            b'a,"b\nc"\n\nd,e\n',
            b"\n",
            1,
            [(1, 2, [b"a", b"b\nc"]), (3, 1, []), (4, 1, [b"d", b"e"])],
        ),
        (b'"\nb,1\nc,2', b"\n", 2, [(2, 1, [b"b", b"1"]), (3, 1, [b"c", b"2"])]),
        (b"a,1\rb,2", b"\r", 1, [(1, 1, [b"a", b"1"]), (2, 1, [b"b", b"2"])]),
    ],
)
def test_records_know_their_lines(
    tmp_path: Path, content: bytes, end: bytes, start: int, expected: list[object]
) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    found = list(records(path, b",", end, start))
    assert [(each.line, each.spans, each.values) for each in found] == expected
    assert not any(each.fault for each in found)


def test_an_open_quote_costs_one_line_only(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    rows = b"".join(b"%d,x\n" % i for i in range(MAX_RECORD_LINES + 50))
    path.write_bytes(b'a,"open\n' + rows)
    found = list(records(path, b",", b"\n"))
    assert [each.line for each in found] == [*range(1, MAX_RECORD_LINES + 52)]
    assert [each.line for each in found if each.fault] == [1]
    at = [1, 2, 700, MAX_RECORD_LINES + 51, MAX_RECORD_LINES + 99]
    assert list(records_at(path, b",", b"\n", at)) == [
        next((each for each in found if each.line == line), None) for line in at
    ]


def test_lines_inside_an_open_quotation_mark_are_read_once(tmp_path: Path) -> None:
    """As `split` reads the whole, whatever is inside: marks that are meant, values that end and
    begin, one that never ends.
    """
    for inside in (b'b""b', b'b","b', b'","', b'""', b'x"y', b'b"', b'""",""'):
        text = b'n1,"a\n' + (inside + b"\n") * 50 + b'last"\nn2,c\n'
        (tmp_path / "a.csv").write_bytes(text)
        whole = list(records(tmp_path / "a.csv", b",", b"\n"))
        for record in whole:
            if not record.fault:
                assert record.values == Splitter(b",").split(record.raw)
        assert sum(record.spans for record in whole) == text.count(b"\n")


@pytest.mark.parametrize("text", [b'"x"y,1', b'a,"x" "y"', b'"a"",1'])
def test_misplaced_quotes_are_refused(text: bytes) -> None:
    with pytest.raises((ValueError, EOFError)):
        Splitter(b",").split(text)


@given(st.lists(st.text(alphabet='ab,"\n é', max_size=6), min_size=2, max_size=5))
def test_splitting_agrees_with_joining_and_with_pythons_csv(values: list[str]) -> None:
    encoded = [value.encode() for value in values]
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow(values)
    for line in (joined(encoded, b","), written.getvalue().encode()):
        assert Splitter(b",").split(line) == encoded
