"""Delimited text: what is read, what is refused, and that no line is lost between the two.

Belongs here: real files through the ingest stage, and the reader's two ways held against each
other. Does not: casts.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.readers import casts
from syndb_pipeline.readers.part import Unreadable
from syndb_pipeline.readers.text import text_files
from syndb_pipeline.readers.text.lines import MAX_LINE_BYTES
from tests.ingest_helpers import Ingested, ingest_folder


def ingest_text(
    folder: Path, content: bytes | str, name: str = "vesicle.csv", **config: Any
) -> Ingested:
    """One vesicle table with this content."""
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return ingest_folder(folder, {"vesicle": {"file": name, **config}})


def test_a_plain_file(tmp_path: Path) -> None:
    done = ingest_text(
        tmp_path,
        "cid,parent_id,voxel_radius,minimum_normal_length\n01,a,1.5,12\n1,,2e1,\n1.0,b,,7\n",
    )
    assert done.findings == []
    assert done.rows("vesicle") == [
        ("01", "a", 1.5, 12),
        ("1", None, 20.0, None),
        ("1.0", "b", None, 7),
    ]
    assert done.types("vesicle") == {
        "cid": "VARCHAR",
        "parent_id": "VARCHAR",
        "voxel_radius": "DOUBLE",
        "minimum_normal_length": "BIGINT",
    }
    assert [done.line("vesicle", row) for row in range(3)] == [2, 3, 4]


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|", " "])
def test_delimiters_are_found(tmp_path: Path, delimiter: str) -> None:
    content = "\n".join(
        delimiter.join(row)
        for row in (
            ["cid", "voxel_radius", "neurotransmitter"],
            ["a", "1.5", "gaba"],
            ["b", "2", "gaba"],
        )
    )
    done = ingest_text(tmp_path, content)
    assert done.rows("vesicle") == [("a", 1.5, "gaba"), ("b", 2.0, "gaba")]
    assert done.details.files[0].delimiter == delimiter


def test_the_delimiter_is_checked_against_the_data(tmp_path: Path) -> None:
    """A header whose names hold spaces and commas inside quotes; only the semicolon fits every
    line.
    """
    done = ingest_text(
        tmp_path,
        'cid;"neuro, transmitter"\na;b, c\nd;e, f\n',
        columns={"neuro, transmitter": "neurotransmitter"},
    )
    assert done.rows("vesicle") == [("a", "b, c"), ("d", "e, f")]


def test_a_configured_delimiter_wins(tmp_path: Path) -> None:
    assert ingest_text(tmp_path, "cid:voxel_radius\na:1\n", delimiter=":").rows("vesicle") == [
        ("a", 1.0)
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends(tmp_path: Path, end: str, last: bool) -> None:
    done = ingest_text(
        tmp_path, end.join(["cid,voxel_radius", "a,1", "b,2"]) + (end if last else "")
    )
    assert done.rows("vesicle") == [("a", 1.0), ("b", 2.0)]
    assert done.findings == []


def test_mixed_line_ends(tmp_path: Path) -> None:
    done = ingest_text(tmp_path, "cid,voxel_radius\r\na,1\nb,2\r\nc,3\n")
    assert done.rows("vesicle") == [("a", 1.0), ("b", 2.0), ("c", 3.0)]


def test_quoted_values(tmp_path: Path) -> None:
    content = 'cid,neurotransmitter,mesh_path\n"a,1","b ""c""",x\n"line\nbreak","",y\nz,w,"q"\n'
    done = ingest_text(tmp_path, content)
    assert done.findings == []
    assert done.rows("vesicle") == [
        ("a,1", 'b "c"', "x"),
        ("line\nbreak", None, "y"),
        ("z", "w", "q"),
    ]
    assert [done.line("vesicle", row) for row in range(3)] == [2, 3, 5]


def test_ragged_lines_are_told_and_the_rest_is_read(tmp_path: Path) -> None:
    done = ingest_text(tmp_path, "cid,voxel_radius\na,1\nb\nc,3\nd,4,5\n\ne,x\n")
    finding = done.finding("SYN-READ-002")
    assert finding.count == 2
    assert [(example.row, example.value) for example in finding.examples] == [
        (3, "b"),
        (5, "d,4,5"),
    ]
    assert done.finding("SYN-READ-011").examples[0].row == 6
    assert done.rows("vesicle") == [("a", 1.0), ("c", 3.0), ("e", None)]
    assert done.cells() == [("vesicle", 2, "voxel_radius", "x", "uncast")]
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
    done = ingest_text(tmp_path, f"cid,voxel_radius\n{surplus}\nb,2\n")
    assert done.rows("vesicle") == [("b", 2.0)]
    assert done.tables["vesicle"].rejected == 1
    assert done.codes in (["SYN-READ-002"], ["SYN-READ-015"])


def test_misplaced_and_open_quotes(tmp_path: Path) -> None:
    done = ingest_text(tmp_path, 'cid,neurotransmitter\na,"x"y\nb,"open\nc,z\nd,"fine"\n')
    finding = done.finding("SYN-READ-015")
    assert finding.count == 2
    assert [(example.row, example.value) for example in finding.examples] == [
        (2, 'a,"x"y'),
        (3, 'b,"open'),
    ]
    assert done.rows("vesicle") == [("c", "z"), ("d", "fine")]


def test_spaces_around_quoted_values_are_no_part_of_them(tmp_path: Path) -> None:
    done = ingest_text(tmp_path, 'cid, neurotransmitter\n"a", "x, y"\nb\x20,"z" \n\n')
    assert done.rows("vesicle") == [("a", "x, y"), ("b", "z")]
    assert done.cells() == [("vesicle", 1, "cid", "b ", "trimmed")]


def test_blank_lines_are_counted(tmp_path: Path) -> None:
    done = ingest_text(tmp_path, "\ncid,voxel_radius\n\na,1\n   \nb,2\n\n\n")
    assert done.finding("SYN-READ-011").count == 5
    assert [done.line("vesicle", row) for row in range(2)] == [4, 6]


def test_blank_lines_at_the_end_do_not_need_the_careful_way(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("cid,voxel_radius\na,1\n\n\r\n\n")
    part = text_files.read(
        tmp_path / "v.csv", "v.csv", TABLES["vesicle"], TableConfig(file="v.csv"), tmp_path
    )
    assert part.rows == 1
    (tmp_path / "v.csv").write_text("cid,voxel_radius\na,1\n\n\n")
    part = text_files.read(
        tmp_path / "v.csv", "v.csv", TABLES["vesicle"], TableConfig(file="v.csv"), tmp_path
    )
    assert (part.rows, part.exact) == (1, False)
    done = ingest_folder(tmp_path, {"vesicle": "v.csv"})
    assert [example.row for example in done.finding("SYN-READ-011").examples] == [3, 4]
    (tmp_path / "v.csv").write_text("cid,voxel_radius\na,1\n" + "\n" * 100)
    assert ingest_folder(tmp_path, {"vesicle": "v.csv"}).finding("SYN-READ-011").count == 100


def test_byte_order_marks(tmp_path: Path) -> None:
    content = "cid,neurotransmitter\né,ü\n"
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        done = ingest_text(tmp_path, content.encode(encoding))
        assert done.rows("vesicle") == [("é", "ü")], encoding
    done = ingest_text(tmp_path, '"cid",neurotransmitter\na,b\n\nc\n'.encode("utf-8-sig"))
    assert done.rows("vesicle") == [("a", "b")]


def test_a_named_encoding(tmp_path: Path) -> None:
    done = ingest_text(
        tmp_path, "cid,neurotransmitter\nMüller,µ\n".encode("cp1252"), encoding="cp1252"
    )
    assert done.rows("vesicle") == [("Müller", "µ")]
    assert done.details.files[0].encoding == "cp1252"


def test_bytes_that_are_not_utf8_refuse_their_line(tmp_path: Path) -> None:
    done = ingest_text(tmp_path, "cid,neurotransmitter\na,b\nMüller,x\nc,d\n".encode("cp1252"))
    finding = done.finding("SYN-READ-003")
    assert finding.examples[0].row == 3
    assert "line 3, byte 2 is 0xFC" in finding.message
    assert "encoding: cp1252" in finding.fix
    assert done.rows("vesicle") == [("a", "b"), ("c", "d")]


def test_bytes_that_the_named_encoding_lacks(tmp_path: Path) -> None:
    done = ingest_text(tmp_path, b"cid,neurotransmitter\na,b\nM\xfcller,x\n", encoding="ascii")
    assert "byte 27 of the file, near line 3" in done.finding("SYN-READ-003").message
    assert not done.has("vesicle")


def test_an_encoding_nobody_knows_is_a_config_error(tmp_path: Path) -> None:
    for name in ("utf-9", "base64", "rot13"):
        with pytest.raises(ConfigError, match="encoding"):
            ingest_text(tmp_path, b"cid\na\n", encoding=name)


def test_no_header(tmp_path: Path) -> None:
    done = ingest_text(tmp_path, "29 8419602 9.0\n29 9469519 1.0\n", "edges.txt")
    assert done.codes == ["SYN-READ-006"]
    assert "'29, 8419602, 9.0'" in done.findings[0].message
    assert not done.has("vesicle")


@pytest.mark.parametrize(
    "title", ["# exported, 2019", "Vesicles of terminal 1", "made,by,us,in 2019"]
)
def test_names_below_a_title_are_found(tmp_path: Path, title: str) -> None:
    content = f"{title}\n\ncid,voxel_radius,centroid_x\na,1,2\n"
    (finding,) = ingest_text(tmp_path, content).findings
    assert (finding.code, finding.fix.split("`")[1]) == (
        "SYN-READ-006",
        "tables.vesicle.header_row: 3",
    )
    assert ingest_text(tmp_path, content, header_row=3).rows("vesicle") == [("a", 1.0, 2.0)]


def test_a_wrong_delimiter_of_the_config_is_told(tmp_path: Path) -> None:
    (finding,) = ingest_text(tmp_path, "cid;voxel_radius\na;1\n", delimiter=",").findings
    assert (finding.code, '`tables.vesicle.delimiter: ";"`' in finding.fix) == (
        "SYN-READ-014",
        True,
    )


def test_no_header_by_config(tmp_path: Path) -> None:
    done = ingest_text(tmp_path, "a 1\nb 2", header_row=None, names=["cid", "voxel_radius"])
    assert done.rows("vesicle") == [("a", 1.0), ("b", 2.0)]
    assert [done.line("vesicle", row) for row in range(2)] == [1, 2]


def test_names_that_do_not_fit_the_width(tmp_path: Path) -> None:
    done = ingest_text(tmp_path, "a,1,x\nb,2,y\n", header_row=None, names=["cid", "voxel_radius"])
    assert done.finding("SYN-READ-002").count == 2


def test_lines_before_the_header_are_skipped(tmp_path: Path) -> None:
    done = ingest_text(
        tmp_path, '# made by "us\n# 2020, or later\ncid,voxel_radius\na,1\n', header_row=3
    )
    assert done.rows("vesicle") == [("a", 1.0)]
    assert done.line("vesicle", 0) == 4


def test_a_header_over_two_lines(tmp_path: Path) -> None:
    done = ingest_text(
        tmp_path, 'cid,"radius\n(nm)"\na,1\n', columns={"radius\n(nm)": "voxel_radius"}
    )
    assert done.rows("vesicle") == [("a", 1.0)]
    assert done.line("vesicle", 0) == 3


def test_header_only(tmp_path: Path) -> None:
    for content in ("cid,voxel_radius\n", "cid,voxel_radius"):
        done = ingest_text(tmp_path, content)
        assert done.codes == ["SYN-READ-013"]
        assert done.rows("vesicle") == []


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"\n\n \n", "blank lines"),
        (b"PK\x03\x04zip", "workbook"),
        (b"PAR1", "Parquet"),
    ],
)
def test_files_that_are_no_table(tmp_path: Path, content: bytes, word: str) -> None:
    done = ingest_text(tmp_path, content)
    assert done.codes == ["SYN-READ-014"]
    assert word in done.findings[0].message


def test_a_line_without_end(tmp_path: Path) -> None:
    done = ingest_text(tmp_path, b"cid,mesh_path\na," + b"x" * (MAX_LINE_BYTES + 5) + b"\n")
    assert "line 2 is longer" in done.finding("SYN-READ-014").message


def test_utf16_without_mark(tmp_path: Path) -> None:
    done = ingest_text(tmp_path, "cid,voxel_radius\na,1\n".encode("utf-16-le"))
    assert "encoding: utf-16" in done.finding("SYN-READ-003").fix


def test_gzip(tmp_path: Path) -> None:
    packed = gzip.compress(b"cid,voxel_radius\na,1\n")
    assert ingest_text(tmp_path, packed, "v.csv.gz").rows("vesicle") == [("a", 1.0)]
    assert (
        "compressed"
        in ingest_text(tmp_path, packed[:20], "v.csv.gz").finding("SYN-READ-018").message
    )
    damaged = packed[:-8] + bytes(8)
    assert "gzip" in ingest_text(tmp_path, damaged, "v.csv.gz").finding("SYN-READ-014").message


def test_one_column(tmp_path: Path) -> None:
    done = ingest_text(tmp_path, 'cid\na\n\n""\nb\n')
    assert done.rows("vesicle") == [("a",), (None,), ("b",)]
    assert done.finding("SYN-READ-011").count == 1
    assert [done.line("vesicle", row) for row in range(3)] == [2, 4, 5]


def test_white_space_of_keys_is_told(tmp_path: Path) -> None:
    done = ingest_text(tmp_path, "cid,parent_id\n a,\u00a0p\nb\t,p\n")
    assert done.rows("vesicle") == [("a", "p"), ("b", "p")]
    assert done.cells() == [
        ("vesicle", 0, "cid", " a", "trimmed"),
        ("vesicle", 0, "parent_id", "\u00a0p", "trimmed"),
        ("vesicle", 1, "cid", "b\t", "trimmed"),
    ]


def test_a_folder_name_with_glob_characters(tmp_path: Path) -> None:
    folder = tmp_path / "a[1]*"
    folder.mkdir()
    assert ingest_text(folder, "cid,voxel_radius\na,1\n").rows("vesicle") == [("a", 1.0)]
    assert ingest_text(folder, "cid,voxel_radius\na,1\n\nb\n").tables["vesicle"].read == 2


VALUES = ["1", "ab", "", '"q"', '"x,y"', " z", '"a""b"', ' "s" ', '"l\nm"', "é", '5" disc']
tame_lines = st.lists(st.sampled_from(VALUES), min_size=1, max_size=4).map(",".join)
wild_lines = st.text(alphabet='a1,," \n\r\té', max_size=12)
bodies = st.lists(
    st.tuples(
        st.one_of(tame_lines, tame_lines, wild_lines), st.sampled_from(["\n", "\n", "\n\n", "\r\n"])
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(
        ["cid,parent_id\n", "cid,parent_id,mesh_path\n", "cid\n", '\n"cid",parent_id\r\n']
    ),
    bodies,
)
def test_the_fast_way_and_the_careful_way_agree(
    tmp_path_factory: pytest.TempPathFactory, head: str, body: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("csv")
    path = folder / "v.csv"
    path.write_bytes((head + "".join(line + end for line, end in body)).encode())
    try:
        part = text_files.read(path, "v.csv", TABLES["vesicle"], TableConfig(file="v.csv"), folder)
    except Unreadable as error:
        stray = {"SYN-READ-014"} if b"\r" in path.read_bytes().replace(b"\r\n", b"") else set()
        assert {problem.code for problem in error.problems} <= {
            "SYN-READ-006",
            "SYN-READ-015",
        } | stray
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


def test_why_lines_have_a_value_too_many(tmp_path: Path) -> None:
    def cure(content: str) -> str:
        return ingest_text(tmp_path, content).finding("SYN-READ-002").fix

    assert "end with a delimiter" in cure("cid,voxel_radius\na,1,\nb,2, \n")
    assert "name for each value" in cure("cid,voxel_radius\n1,a,1\n2,b,2\n")
    assert "Quote values" in cure("cid,voxel_radius\na,1,x\nb,2\n")
    assert "Quote values" in cure("cid,voxel_radius\na,1,\nb,2,3,\n")


_VALUES = st.sampled_from(
    ["1", "ab", "", " ", " 1", "1 ", "\t1", "é", "\u00a0x", '"q"', '" q "', "\x1f7"]
)


@settings(max_examples=300, deadline=None)
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
    lines = [["cid", name], *rows]
    (folder / "v.csv").write_text(
        "".join(delimiter.join(line) + end for line in lines), encoding="utf-8", newline=""
    )
    (folder / "scratch").mkdir()
    config = TableConfig(file="v.csv", delimiter=delimiter, columns={name: "parent_id"})
    try:
        part = text_files.read(
            folder / "v.csv", "v.csv", TABLES["vesicle"], config, folder / "scratch"
        )
    except Unreadable as error:
        assert delimiter in " \t"
        assert "stand between its values" in error.reason
        return
    try:
        rows_read = duckdb.sql(f"FROM {part.source}").fetchall()
    except duckdb.Error:  # as ingest does
        part = text_files.careful(part, folder / "scratch")
        rows_read = duckdb.sql(f"FROM {part.source}").fetchall()
    read = [value for row in rows_read for value in row if value]
    if part.trimmed:
        assert read == [value.strip(casts.WHITE_SPACE) for value in read]
    if all(value in ("1", "ab", "") for row in rows for value in row):
        assert part.trimmed
