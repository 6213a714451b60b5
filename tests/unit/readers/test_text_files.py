"""Delimited text: what is read, what is refused, and that no line is lost between the two.

Belongs here: real files through the ingest stage, and the reader's two ways held against each
other. Does not: casts.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any, Final

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.readers import casts
from syndb_pipeline.readers.part import Part, Unreadable
from syndb_pipeline.readers.text import text_files
from syndb_pipeline.readers.text.lines import MAX_LINE_BYTES
from tests.lab import ingest_folder, ingest_text

AB: Final = [("a", 1.0), ("b", 2.0)]
HEAD: Final = "cid,voxel_radius\n"
NO_HEADER: Final = {"header_row": None, "names": ["cid", "voxel_radius"]}


@pytest.mark.parametrize(
    ("content", "config", "rows", "lines", "codes"),
    [
        *((f"cid{mark}voxel_radius\na{mark}1\nb{mark}2", {}, AB, [2, 3], []) for mark in ",\t;| "),
        *(
            (end.join(["cid,voxel_radius", "a,1", "b,2"]) + last, {}, AB, [2, 3], [])
            for end in ("\n", "\r\n", "\r")
            for last in ("", end)
        ),
        ("cid,voxel_radius\r\na,1\nb,2\r\n", {}, AB, [2, 3], []),
        ("cid:voxel_radius\na:1\nb:2\n", {"delimiter": ":"}, AB, [2, 3], []),
        ("a 1\nb 2", NO_HEADER, AB, [1, 2], []),
        ('# by "us\n# 2020, or later\n' + HEAD + "a,1\n", {"header_row": 3}, AB[:1], [4], []),
        (
            'cid,"radius\n(nm)"\na,1\n',
            {"columns": {"radius\n(nm)": "voxel_radius"}},
            AB[:1],
            [3],
            [],
        ),
        ("\n" + HEAD + "\na,1\n   \nb,2\n\n\n", {}, AB, [4, 6], ["SYN-READ-011"]),
        (HEAD, {}, [], [], ["SYN-READ-013"]),
        (HEAD.strip(), {}, [], [], ["SYN-READ-013"]),
        ('cid\na\n\n""\nb\n', {}, [("a",), (None,), ("b",)], [2, 4, 5], ["SYN-READ-011"]),
        # A header whose names hold commas inside of quotation marks; only the semicolon fits.
        (
            'cid;"neuro, transmitter"\na;b, c\nd;e, f\n',
            {"columns": {"neuro, transmitter": "neurotransmitter"}},
            [("a", "b, c"), ("d", "e, f")],
            [2, 3],
            [],
        ),
        (
            'cid,neurotransmitter,mesh_path\n"a,1","b ""c""",x\n"line\nbreak","",y\nz,w,"q"\n',
            {},
            [("a,1", 'b "c"', "x"), ("line\nbreak", None, "y"), ("z", "w", "q")],
            [2, 3, 5],
            [],
        ),
        (
            'cid,neurotransmitter\na,"x"y\nb,"open\nc,z\nd,"fine"\n',
            {},
            [("c", "z"), ("d", "fine")],
            [4, 5],
            ["SYN-READ-015"],
        ),
    ],
)
def test_rows_and_their_lines(
    tmp_path: Path,
    content: str,
    config: dict[str, Any],
    rows: list[tuple[Any, ...]],
    lines: list[int],
    codes: list[str],
) -> None:
    done = ingest_text(tmp_path, content, **config)
    assert (done.rows("vesicle"), done.codes) == (rows, codes)
    assert [done.line("vesicle", row) for row in range(len(rows))] == lines


def test_types_and_cells(tmp_path: Path) -> None:
    done = ingest_text(
        tmp_path,
        "cid,parent_id,voxel_radius,minimum_normal_length\n01, a,1.5,12\n1,,2e1,\n1.0,\u00a0b,,x\n",
    )
    assert done.rows("vesicle") == [
        ("01", "a", 1.5, 12),
        ("1", None, 20.0, None),
        ("1.0", "b", None, None),
    ]
    assert list(done.types("vesicle").values()) == ["VARCHAR", "VARCHAR", "DOUBLE", "BIGINT"]
    assert done.cells() == [
        ("vesicle", 0, "parent_id", " a", "trimmed"),
        ("vesicle", 2, "parent_id", "\u00a0b", "trimmed"),
        ("vesicle", 2, "minimum_normal_length", "x", "uncast"),
    ]


def test_ragged_lines_are_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    done = ingest_text(tmp_path, HEAD + "a,1\nb\nc,3\nd,4,5\n\ne,x\n")
    finding = done.finding("SYN-READ-002")
    assert finding.count == 2
    assert [(each.row, each.value) for each in finding.examples] == [(3, "b"), (5, "d,4,5")]
    assert done.finding("SYN-READ-011").examples[0].row == 6
    assert done.rows("vesicle") == [("a", 1.0), ("c", 3.0), ("e", None)]
    assert [done.line("vesicle", row) for row in range(3)] == [2, 4, 7]
    assert (done.tables["vesicle"].read, done.tables["vesicle"].rejected) == (5, 2)
    assert done.details.tables["vesicle"].model_dump() == {
        "rows": 3,
        "unreadable": 2,
        "columns": {"cid": "cid", "voxel_radius": "voxel_radius"},
    }


@pytest.mark.parametrize("surplus", ["a,1,", "a,1,,", '"a",1,', '"a",1,""', '"a" "b",1'])
def test_lenient_reading_is_not_taken(tmp_path: Path, surplus: str) -> None:
    """Lines that DuckDB's strict mode passes over in silence."""
    done = ingest_text(tmp_path, HEAD + f"{surplus}\nb,2\n")
    assert done.rows("vesicle") == [("b", 2.0)]
    assert done.tables["vesicle"].rejected == 1
    assert done.codes in (["SYN-READ-002"], ["SYN-READ-015"])


def test_spaces_around_quoted_values_are_no_part_of_them(tmp_path: Path) -> None:
    done = ingest_text(tmp_path, 'cid, neurotransmitter\n"a", "x, y"\nb\x20,"z" \n\n')
    assert done.rows("vesicle") == [("a", "x, y"), ("b", "z")]
    assert done.cells() == [("vesicle", 1, "cid", "b ", "trimmed")]


def part_of(folder: Path, **config: Any) -> Part:
    settings = TableConfig(file="v.csv", **config)
    return text_files.read(folder / "v.csv", "v.csv", TABLES["vesicle"], settings, folder)


def test_blank_lines_at_the_end_do_not_need_the_careful_way(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text(HEAD + "a,1\n\n\n")
    part = part_of(tmp_path)
    assert (part.rows, part.exact) == (1, False)
    assert [each.row for each in part.problems[0].examples] == [3, 4]
    for blank in ("\n\r\n\n", "\n" * 100):
        done = ingest_text(tmp_path, HEAD + "a,1\n" + blank)
        assert (done.finding("SYN-READ-011").count, len(done.rows("vesicle"))) == (
            blank.count("\n"),
            1,
        )


def test_byte_order_marks_and_a_named_encoding(tmp_path: Path) -> None:
    content = "cid,neurotransmitter\né,ü\n"
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        assert ingest_text(tmp_path, content.encode(encoding)).rows("vesicle") == [("é", "ü")]
    done = ingest_text(tmp_path, '"cid",neurotransmitter\na,b\n\nc\n'.encode("utf-8-sig"))
    assert done.rows("vesicle") == [("a", "b")]
    done = ingest_text(tmp_path, content.encode("cp1252"), encoding="cp1252")
    assert (done.rows("vesicle"), done.details.files[0].encoding) == ([("é", "ü")], "cp1252")
    finding = ingest_text(tmp_path, content.encode("cp1252"), encoding="ascii").finding(
        "SYN-READ-003"
    )
    assert "byte 22 of the file, near line 2" in finding.message
    for name in ("utf-9", "base64", "rot13"):
        with pytest.raises(ConfigError, match="encoding"):
            ingest_text(tmp_path, b"cid\na\n", encoding=name)


def test_bytes_that_are_not_utf8_refuse_their_line(tmp_path: Path) -> None:
    done = ingest_text(tmp_path, "cid,neurotransmitter\na,b\nMüller,x\nc,d\n".encode("cp1252"))
    finding = done.finding("SYN-READ-003")
    assert finding.examples[0].row == 3
    assert "line 3, byte 2 is 0xFC" in finding.message
    assert "encoding: cp1252" in finding.fix
    assert done.rows("vesicle") == [("a", "b"), ("c", "d")]


@pytest.mark.parametrize(
    ("content", "config", "code", "said"),
    [
        (b"29 8419602 9.0\n29 9469519 1.0\n", {}, "SYN-READ-006", "'29, 8419602, 9.0'"),
        *(
            (
                title + b"\n\ncid,voxel_radius,centroid_x\na,1,2\n",
                {},
                "SYN-READ-006",
                "`tables.vesicle.header_row: 3`",
            )
            for title in (b"# exported, 2019", b"Vesicles of terminal 1", b"made,by,us,in 2019")
        ),
        (
            b"cid;voxel_radius\na;1\n",
            {"delimiter": ","},
            "SYN-READ-014",
            '`tables.vesicle.delimiter: ";"`',
        ),
        (b"a,1,x\nb,2,y\n", NO_HEADER, "SYN-READ-002", "2 lines"),
        (b"", {}, "SYN-READ-014", "empty"),
        (b"\n\n \n", {}, "SYN-READ-014", "blank lines"),
        (b"PK\x03\x04zip", {}, "SYN-READ-014", "workbook"),
        (b"PAR1", {}, "SYN-READ-014", "Parquet"),
        (
            b"cid,mesh_path\na," + b"x" * (MAX_LINE_BYTES + 5) + b"\n",
            {},
            "SYN-READ-014",
            "line 2 is longer",
        ),
        # Why lines have a value too many.
        (HEAD.encode() + b"a,1,\nb,2, \n", {}, "SYN-READ-002", "end with a delimiter"),
        (HEAD.encode() + b"1,a,1\n2,b,2\n", {}, "SYN-READ-002", "one name for each value"),
        (HEAD.encode() + b"a,1,x\nb,2\n", {}, "SYN-READ-002", "Quote values"),
        (HEAD.encode() + b"a,1,\nb,2,3,\n", {}, "SYN-READ-002", "Quote values"),
    ],
)
def test_files_that_are_no_table(
    tmp_path: Path, content: bytes, config: dict[str, Any], code: str, said: str
) -> None:
    finding = ingest_text(tmp_path, content, **config).finding(code)
    assert said in f"{finding.message} {finding.fix}"


def test_gzip(tmp_path: Path) -> None:
    def ingest(packed: bytes, code: str) -> str:
        (tmp_path / "v.csv.gz").write_bytes(packed)
        done = ingest_folder(tmp_path, {"vesicle": "v.csv.gz"})
        return done.finding(code).message if code else str(done.rows("vesicle"))

    packed = gzip.compress(HEAD.encode() + b"a,1\n")
    assert ingest(packed, "") == "[('a', 1.0)]"
    assert "compressed" in ingest(packed[:20], "SYN-READ-018")
    assert "gzip" in ingest(packed[:-8] + bytes(8), "SYN-READ-014")


def test_a_folder_name_with_glob_characters(tmp_path: Path) -> None:
    folder = tmp_path / "a[1]*"
    folder.mkdir()
    assert ingest_text(folder, HEAD + "a,1\n").rows("vesicle") == [("a", 1.0)]
    assert ingest_text(folder, HEAD + "a,1\n\nb\n").tables["vesicle"].read == 2


VALUES = ["1", "ab", "", '"q"', '"x,y"', " z", '"a""b"', ' "s" ', '"l\nm"', "é", '5" disc']
tame_lines = st.lists(st.sampled_from(VALUES), min_size=1, max_size=4).map(",".join)
wild_lines = st.text(alphabet='a1,," \n\r\té', max_size=12)
bodies = st.lists(
    st.tuples(
        st.one_of(tame_lines, tame_lines, wild_lines), st.sampled_from(["\n", "\n", "\n\n", "\r\n"])
    ),
    max_size=8,
)
heads = ["cid,parent_id\n", "cid,parent_id,mesh_path\n", "cid\n", '\n"cid",parent_id\r\n']


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(heads), bodies)
def test_the_fast_way_and_the_careful_way_agree(
    tmp_path_factory: pytest.TempPathFactory, head: str, body: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("csv")
    path = folder / "v.csv"
    path.write_bytes((head + "".join(line + end for line, end in body)).encode())
    try:
        part = part_of(folder)
    except Unreadable as error:
        stray = {"SYN-READ-014"} if b"\r" in path.read_bytes().replace(b"\r\n", b"") else set()
        codes = {problem.code for problem in error.problems}
        assert codes <= {"SYN-READ-006", "SYN-READ-015"} | stray
        return
    try:
        fast = duckdb.sql(f"SELECT * FROM {part.source}").fetchall()
    except duckdb.InvalidInputException:
        assert not part.exact
        fast = None
    full = part if part.exact else text_files.careful(part, folder)
    careful = duckdb.sql(f"SELECT * FROM {full.source}").fetchall()
    assert len(careful) == full.rows
    if not part.exact and fast is not None and len(fast) == part.rows:
        assert full.refused == 0
        # Rows of delimiters alone: the careful way passes over them, ingest takes them out of what
        # the fast way gave (stray_rows.py).
        assert careful == [
            row
            for row in fast
            if len(row) == 1 or any(value and value.strip(" \t") for value in row)
        ]


_VALUES = st.sampled_from(
    ["1", "ab", "", " ", " 1", "1 ", "\t1", "é", "\u00a0x", '"q"', '" q "', "\x1f7"]
)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.lists(_VALUES | st.just("1"), min_size=2, max_size=2), min_size=1, max_size=6),
    name=st.sampled_from(["parent_id", "parent id", "père"]),
    delimiter=st.sampled_from([",", "\t", ";", " "]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_values_said_to_be_trimmed_are(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[list[str]],
    name: str,
    delimiter: str,
    end: str,
) -> None:
    folder = tmp_path_factory.mktemp("text")
    content = "".join(delimiter.join(line) + end for line in [["cid", name], *rows])
    (folder / "v.csv").write_bytes(content.encode())
    try:
        part = part_of(folder, delimiter=delimiter, columns={name: "parent_id"})
    except Unreadable as error:
        assert delimiter in " \t"
        assert "are between its values" in error.reason
        return
    try:
        rows_read = duckdb.sql(f"FROM {part.source}").fetchall()
    except duckdb.Error:  # as ingest does
        part = text_files.careful(part, folder)
        rows_read = duckdb.sql(f"FROM {part.source}").fetchall()
    read = [value for row in rows_read for value in row if value]
    if part.trimmed:
        assert read == [value.strip(casts.WHITE_SPACE) for value in read]
    if all(value in ("1", "ab", "") for row in rows for value in row):
        assert part.trimmed
