"""Rows that are none: repeated headers, units, words, delimiters alone; each reported once, kept, and
gone from the table.

Belongs here: real files in every format through the ingest stage. Does not: lines that cannot be
read (`test_text.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from syndb_pipeline.readers.part import Part, jumps_without
from tests.lab import Ingested, ingest_folder
from tests.written_lab import write_rows

HEADER = ["cid", "cable_length", "mesh_volume", "neuron_type"]
FORMATS = ["csv", "xlsx", "xls", "parquet"]


def write_table(
    folder: Path, rows: Sequence[Sequence[Any]], kind: str, name: str = "neuron"
) -> str:
    return write_rows(folder / f"{name}.{kind}", rows)


def unreadable(done: Ingested) -> list[tuple[Any, ...]]:
    return duckdb.sql(
        f"SELECT file, line, text, code FROM '{done.folder / 'unreadable.parquet'}'"
    ).fetchall()


@pytest.mark.parametrize(
    ("kind", "repeated"),
    [
        *((kind, HEADER) for kind in FORMATS),
        ("csv", ["CID", "Cable_Length", "mesh_volume", "neuron_type"]),
    ],
)
def test_a_header_among_the_rows(tmp_path: Path, kind: str, repeated: list[str]) -> None:
    rows = [
        HEADER,
        ["n1", "5", "6", "basket"],
        ["n2", "7", "8", "cable_length"],
        repeated,
        ["n3", "9", "10", ""],
    ]
    done = ingest_folder(tmp_path, {"neuron": write_table(tmp_path, rows, kind)})

    line = 3 if kind == "parquet" else 4
    finding = done.finding("SYN-READ-017")
    assert (finding.count, finding.confidence) == (1, "certain")
    assert finding.message == f"1 row of neuron.{kind} repeats the header."
    assert (finding.examples[0].row, finding.examples[0].value) == (line, ",".join(repeated))
    assert done.codes == ["SYN-READ-017"]
    assert done.rows("neuron") == [
        ("n1", 5, 6, "basket"),
        ("n2", 7, 8, "cable_length"),
        ("n3", 9, 10, None),
    ]
    assert [done.line("neuron", row) for row in range(3)] == [line - 2, line - 1, line + 1]
    assert done.cells() == []
    assert unreadable(done) == [(f"neuron.{kind}", line, ",".join(repeated), "SYN-READ-017")]
    assert (done.tables["neuron"].read, done.tables["neuron"].rejected) == (4, 1)


UNITS: list[Any] = [
    (["", "nm", "nm3", ""], "names units", None),
    (["string", "[um]", "(µm^3)", "-"], "names units", "cable_length: um, mesh_volume: um"),
    (["-", "nm", "Microns³", "n/a"], "names units", "mesh_volume: um"),
    (["str", "float64", "float64", "object"], "names types", None),
    (["<chr>", "<dbl>", "<dbl>", "<fct>"], "names types", None),
]


@pytest.mark.parametrize(
    ("kind", "units", "what", "setting"),
    [*(("csv", *each) for each in UNITS), *((kind, *UNITS[1]) for kind in FORMATS[1:])],
)
def test_a_row_of_units_or_types(
    tmp_path: Path, kind: str, units: list[str], what: str, setting: str | None
) -> None:
    rows = [HEADER, units, ["n1", "5", "6", "basket"], ["n2", "7", "", ""]]
    done = ingest_folder(tmp_path, {"neuron": write_table(tmp_path, rows, kind)})

    finding = done.finding("SYN-READ-017")
    assert what in finding.message
    assert finding.settings == (
        [f"tables:\n  neuron:\n    units: {{{setting}}}"] if setting else []
    )
    assert done.codes == ["SYN-READ-017"]
    assert done.rows("neuron", "cid") == [("n1",), ("n2",)]
    assert [done.line("neuron", row) for row in range(2)] == (
        [2, 3] if kind == "parquet" else [3, 4]
    )


def test_a_row_of_words(tmp_path: Path) -> None:
    words = ["key of the cell", "length of its cable", "volume of its mesh", ""]
    rows = [HEADER, words, ["n1", "5", "6", "basket"]]
    done = ingest_folder(tmp_path, {"neuron": write_table(tmp_path, rows, "xlsx")})
    finding = done.finding("SYN-READ-017")
    assert "describes the columns instead of holding values" in finding.message
    assert (finding.confidence, done.rows("neuron", "cid")) == ("likely", [("n1",)])


@pytest.mark.parametrize(
    ("kind", "columns"),
    [("csv", ["cid"]), ("parquet", ["cid"]), *((kind, ["cid", "neuron_type"]) for kind in FORMATS)],
)
def test_a_header_in_a_table_without_numbers(tmp_path: Path, kind: str, columns: list[str]) -> None:
    rows = [columns, ["n1", "basket"][: len(columns)], columns, ["n2", "cid"][: len(columns)]]
    done = ingest_folder(tmp_path, {"neuron": write_table(tmp_path, rows, kind)})
    assert done.codes == ["SYN-READ-017"]
    assert done.rows("neuron", "cid") == [("n1",), ("n2",)]


def test_files_joined_end_to_end_are_one_finding(tmp_path: Path) -> None:
    piece = "root,len\n" + "".join(f"n{{}}{number},5\n" for number in range(3))
    pieces = [piece.replace("{}", str(part)) for part in range(6)]
    (tmp_path / "a.csv").write_text("".join(pieces[:4]))
    (tmp_path / "b.csv").write_text("".join(pieces[4:]))
    config = {"file": "?.csv", "columns": {"root": "cid", "len": "cable_length"}}
    done = ingest_folder(tmp_path, {"neuron": config})
    finding = done.finding("SYN-READ-017")
    said = "4 rows of 2 files of neuron repeat the header."
    assert (finding.count, finding.file, finding.message) == (4, None, said)
    places = [(place.file, place.row) for place in finding.examples]
    assert places == [("a.csv", 5), ("a.csv", 9), ("a.csv", 13), ("b.csv", 5)]
    assert done.codes == ["SYN-READ-017"]
    keys = [f"n{part}{number}" for part in range(6) for number in range(3)]
    assert [row for (row,) in done.rows("neuron", "cid")] == keys
    assert [done.line("neuron", row) for row in (0, 3, 6, 9, 12, 15)] == [2, 6, 10, 14, 2, 6]


def test_a_header_with_its_names_in_another_order(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text(
        "cid,cable_length,mesh_volume\nn1,5,6\ncid,mesh_volume,cable_length\nn2,6,5\n"
    )
    finding = ingest_folder(tmp_path, {"neuron": "n.csv"}).finding("SYN-READ-017")
    assert finding.message == "1 row of n.csv repeats the header in another order."
    assert "wrong columns" in finding.fix


@pytest.mark.parametrize(
    "row",
    [
        "n9,nm,6,basket",  # a key and a volume: one broken cell
        "n9,NA,NA,NA",
        ",NA,NA,",
        "n9,12 nm,6 nm3,basket",
        "nm,5,6,nm",
        "cid,5,6,basket",
        "n9,see notes,see notes,basket",
        "n9,,,",
        ",5,6,",
    ],
)
def test_rows_that_only_resemble(tmp_path: Path, row: str) -> None:
    (tmp_path / "n.csv").write_text(f"{','.join(HEADER)}\n{row}\nn1,5,6,basket\n")
    done = ingest_folder(tmp_path, {"neuron": "n.csv"})
    assert done.codes == []
    assert len(done.rows("neuron")) == 2


@pytest.mark.parametrize(
    ("blank", "quoted"),
    [
        *((blank, False) for blank in (",,,", " , ,\t, ", '"","","",""', ",", ",,,,,,,", "\t")),
        (",,,", True),
    ],
)
def test_delimiters_alone_are_a_blank_line(tmp_path: Path, blank: str, quoted: bool) -> None:
    last = 'n3,9,10,"basket"' if quoted else "n3,9,10,basket"
    (tmp_path / "n.csv").write_text(
        f"{','.join(HEADER)}\nn1,5,6,basket\n{blank}\n{blank}\nn2,7,8,basket\n{last}\n{blank}\n"
    )
    done = ingest_folder(tmp_path, {"neuron": {"file": "n.csv", "missing": ["NA"]}})
    finding = done.finding("SYN-READ-011")
    assert (finding.count, [place.row for place in finding.examples]) == (3, [3, 4, 7])
    assert done.codes == ["SYN-READ-011"]
    assert [row for (row,) in done.rows("neuron", "cid")] == ["n1", "n2", "n3"]
    assert [done.line("neuron", row) for row in range(3)] == [2, 5, 6]
    assert unreadable(done) == []


def test_an_ignored_column_makes_a_row_of_it(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text("cid,cable_length,note\nn1,5,\n,,total\n,,\nNA,NA,\n")
    done = ingest_folder(
        tmp_path, {"neuron": {"file": "n.csv", "ignore": ["note"], "missing": ["NA"]}}
    )
    assert done.rows("neuron") == [("n1", 5), (None, None), (None, None)]
    assert [done.line("neuron", row) for row in range(3)] == [2, 3, 5]
    assert [place.row for place in done.finding("SYN-READ-011").examples] == [4]


def test_rows_keep_their_order_and_lines_in_a_large_table(tmp_path: Path) -> None:
    rows = [f"n{number},{number}" for number in range(50_000)]
    stray = {17: "cid,cable_length", 18: ",", 25_000: "cid,cable_length", 49_999: ","}
    (tmp_path / "n.csv").write_text(
        "cid,cable_length\n"
        + "".join(stray.get(number, row) + "\n" for number, row in enumerate(rows))
    )
    done = ingest_folder(tmp_path, {"neuron": "n.csv"})
    kept = [number for number in range(50_000) if number not in stray]
    assert done.rows("neuron") == [(f"n{number}", number) for number in kept]
    assert [done.line("neuron", row) for row in (0, 16, 17, 24_996, 24_997, 24_998, 49_995)] == [
        2,
        18,
        21,
        25_000,
        25_001,
        25_003,
        50_000,
    ]
    assert [(finding.code, finding.count) for finding in done.findings] == [
        ("SYN-READ-017", 2),
        ("SYN-READ-011", 2),
    ]


@pytest.mark.parametrize("jumps", [(), ((0, 1), (3, 2), (7, 5))])
@pytest.mark.parametrize(
    "gone", [[0], [9], [0, 1, 2], [3], [2, 3], [6, 7, 8, 9], [1, 3, 5, 7, 9], list(range(10))]
)
def test_jumps_lead_to_the_same_lines_as_before(
    jumps: tuple[tuple[int, int], ...], gone: list[int]
) -> None:
    def line(row: int, of: tuple[tuple[int, int], ...]) -> int:
        return row + max([(start, shift) for start, shift in of if start <= row], default=(0, 0))[1]

    part = Part(Path("x"), "x", ("cid",), ("VARCHAR",), "", rows=10, jumps=jumps)
    kept = [row for row in range(10) if row not in gone]
    now = jumps_without(part, gone)
    assert [line(row, now) for row in range(len(kept))] == [line(row, jumps) for row in kept]
    assert all(row < len(kept) for row, _ in now)
