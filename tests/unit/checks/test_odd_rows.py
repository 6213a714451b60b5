"""Rows that may be no data: totals, statistics, remarks, commented lines; in every format, table
and size, and their neighbours that are right.

Belongs here: real files through the stages up to assign_ids. Does not: headers
(`test_head_rows.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
import xlsxwriter
import yaml

from syndb_pipeline.base.engine import connect, literal
from syndb_pipeline.readers import summary_words
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.stages.runner import run_through
from tests.ingest_helpers import context_for, ingest_folder
from tests.written_lab import crossed, write_rows

CODE = "SYN-READ-023"
KINDS = ["csv", "tsv", "xlsx", "xls", "parquet"]
Rows = Sequence[Sequence[Any]]


def write(folder: Path, rows: Rows, kind: str, name: str = "n") -> str:
    return write_rows(folder / f"{name}.{kind}", rows, numbers=True)


def told(folder: Path, table: str, config: str | dict[str, Any], **more: Any) -> list[Finding]:
    """The findings about rows that may be none, of a run up to assign_ids."""
    context = context_for(folder, {table: config}, **more)
    with context.store.lock():
        records = run_through(context, "assign_ids")
    return [finding for record in records for finding in record.findings if finding.code == CODE]


def numbered(count: int, cells: Sequence[str] = ()) -> list[list[str]]:
    return [[str(number + 1), *cells] for number in range(count)]


WORDS = [("neuron", "Total"), ("vesicle", "Mean:"), ("synapse", "SD"), ("axon", "max")]


@pytest.mark.parametrize(
    ("kind", "count", "table", "word"), crossed("sums", 10, KINDS, [1, 2, 20, 500], WORDS)
)
def test_a_word_that_sums_up_among_numbers(
    tmp_path: Path, kind: str, count: int, table: str, word: str
) -> None:
    name = "mesh_volume"
    file = write(tmp_path, [["cid", name], *numbered(count, ["5"]), [word, "5000"]], kind)
    (finding,) = told(tmp_path, table, file)
    assert (finding.severity, finding.count, finding.column) == ("warning", 1, "cid")
    assert f"the key says '{word}'" in finding.message
    assert finding.examples[0].row == count + (1 if kind == "parquet" else 2)
    assert (finding.examples[0].value, finding.settings) == (word, [])


LABELS = [
    (["Mean", "SD", "Min", "Max"], 4),
    (["Total"], 1),
    (["Grand Total"], 1),
    (["Mittelwert", "Summe"], 2),
    (["average (n=2)"], 1),
    (["St. dev."], 1),
    (["SD"], 1),  # the last row
    *(([word], 0) for word in ("Totalis", "Maxine", "Sumatra", "cell")),
]


@pytest.mark.parametrize(
    ("kind", "count", "words", "found"), crossed("labels", 16, KINDS, [2, 20, 500], LABELS)
)
def test_a_column_that_is_not_read_says_so(
    tmp_path: Path, kind: str, count: int, words: list[str], found: int
) -> None:
    rows = [[str(number + 1), f"cell{number}", "10", "3.5"] for number in range(count)]
    rows += [[str(count + number + 1), word, "10", "3.5"] for number, word in enumerate(words)]
    file = write(tmp_path, [["cid", "Label", "mesh_surface_area", "Mean"], *rows], kind)
    findings = told(tmp_path, "neuron", {"file": file, "ignore": ["Label", "Mean"]})
    assert [finding.count for finding in findings] == ([found] if found else [])
    if found:
        (finding,) = findings
        assert finding.examples[0].column == "Label"
        assert all(repr(word) in finding.message for word in words)
        assert [example.value for example in finding.examples] == words
        lines = [example.row for example in finding.examples]
        assert lines == list(range(lines[0], lines[0] + found))
        done = ingest_folder(tmp_path, {"neuron": {"file": file, "ignore": ["Label", "Mean"]}})
        assert done.rows("neuron", "cid")[-1] == (str(count + found),)
        assert done.cells() == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_that_stands_in_summary_rows_alone(tmp_path: Path, kind: str) -> None:
    rows = [*([str(number), "", "5"] for number in range(9)), ["9", "Mean", "5"], ["10", "SD", "0"]]
    file = write(tmp_path, [["cid", "what", "voxel_volume"], *rows], kind)
    (finding,) = told(tmp_path, "neuron", {"file": file, "ignore": ["what"]})
    assert finding.count == 2


@pytest.mark.parametrize(
    ("kind", "column"), [("csv", "polarity"), *((kind, "neuron_type") for kind in KINDS)]
)
def test_a_text_column_says_so(tmp_path: Path, kind: str, column: str) -> None:
    rows = [*([f"n{number}", "", "5"] for number in range(9)), ["t", "Total", "45"]]
    file = write(tmp_path, [["cid", column, "voxel_volume"], *rows], kind)
    (finding,) = told(tmp_path, "neuron", file)
    assert (finding.count, finding.column, finding.examples[0].value) == (1, column, "Total")
    assert f"{column} says 'Total' there" in finding.message


def test_each_of_several_files_has_its_totals(tmp_path: Path) -> None:
    for part in range(4):
        write(
            tmp_path,
            [["cid", "Label", "voxel_volume"], [f"{part}1", "a", "5"], [f"{part}2", "Mean", "5"]],
            "csv",
            f"part{part}",
        )
    (finding,) = told(tmp_path, "neuron", {"file": "part*.csv", "ignore": ["Label"]})
    assert (finding.count, finding.file) == (4, None)
    assert [(place.file, place.row) for place in finding.examples] == [
        (f"part{part}.csv", 3) for part in range(4)
    ]


@pytest.mark.parametrize(
    "labels",
    [
        ["mean"] * 10,  # the rows are means
        ["mean", "sd"] * 5,
        ["max", "slice"] * 5,
        ["MAX", *(f"cell{number}" for number in range(9))],  # a name, and not the last row
        ["note"] * 10,
        ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"],
    ],
)
def test_labels_that_are_data(tmp_path: Path, labels: list[str]) -> None:
    rows = [[str(number), label, "5"] for number, label in enumerate(labels)]
    file = write(tmp_path, [["cid", "Label", "voxel_volume"], *rows], "csv")
    assert told(tmp_path, "neuron", {"file": file, "ignore": ["Label"]}) == []


@pytest.mark.parametrize(
    ("kind", "count", "keys"), crossed("comments", 6, KINDS, [2, 20, 500], ["{}", "n{}"])
)
def test_lines_that_are_commented_out(tmp_path: Path, kind: str, count: int, keys: str) -> None:
    rows = [[keys.format(number + 1), "5"] for number in range(count)]
    for mark in ("#", "//"):
        file = write(
            tmp_path,
            [["cid", "voxel_volume"], *rows, [f"{mark}7", "5"], [f"{mark}end of file", ""]],
            kind,
        )
        (finding,) = told(tmp_path, "neuron", file)
        assert finding.count == 2
        assert "as a comment does" in finding.message
        assert [place.value for place in finding.examples] == [f"{mark}7", f"{mark}end of file"]


REMARKS = [
    ("{}", [["note: measured by hand", ""], ["n=2", ""]]),
    ("n{}", [["note: measured by hand", ""], ["n=2", ""]]),
    ("{}", [["Region", "5"]]),
    ("AVA", [["see the methods", "5"]]),
]


@pytest.mark.parametrize(
    ("kind", "count", "keys", "notes"), crossed("remarks", 10, KINDS, [2, 20, 300], REMARKS)
)
def test_remarks_below_a_blank_row(
    tmp_path: Path, kind: str, count: int, keys: str, notes: list[list[str]]
) -> None:
    rows = [
        [
            keys.format(number + 1)
            if "{" in keys
            else keys + "LMNOPR"[number % 6] * (number // 6 + 1),
            "5",
        ]
        for number in range(count)
    ]
    file = write(tmp_path, [["cid", "voxel_volume"], *rows, ["", ""], *notes], kind)
    (finding,) = told(tmp_path, "neuron", file)
    assert finding.count == len(notes)
    assert "after a blank line" in finding.message
    assert [place.value for place in finding.examples] == [note[0] for note in notes]


@pytest.mark.parametrize(
    "rows",
    [
        [["1", "5"], ["2", "5"], ["", ""], ["3", "5"]],
        [["n1", "5"], ["n2", "5"], ["", ""], ["axon_1", "5"]],
        [["n1", "5"], ["n2", ""], ["", ""], ["n3", ""]],
        [["AVAL", "5"], ["AVAR", "5"], ["", ""], ["RIH", ""]],
        [["giant fiber", "5"], ["AVAR", "5"], ["", ""], ["big one 2", "5"]],
    ],
)
def test_rows_below_a_blank_row_that_are_data(tmp_path: Path, rows: list[list[str]]) -> None:
    file = write(tmp_path, [["cid", "voxel_volume"], *rows], "csv")
    assert told(tmp_path, "neuron", file) == []


@pytest.mark.parametrize(("kind", "count"), [("csv", 300), ("xlsx", 12), ("parquet", 12)])
def test_remarks_without_a_blank_row(tmp_path: Path, kind: str, count: int) -> None:
    rows = [*([f"n{number}", "5"] for number in range(count)), ["measured by hand", ""]]
    (finding,) = told(tmp_path, "neuron", write(tmp_path, [["cid", "voxel_volume"], *rows], kind))
    assert (finding.count, "reads like a remark" in finding.message) == (1, True)
    (finding,) = told(
        tmp_path, "neuron", write(tmp_path, [["cid"], *([key] for key, _ in rows)], kind)
    )
    assert finding.examples[0].value == "measured by hand"


@pytest.mark.parametrize(
    ("kind", "count", "odd"),
    [("csv", 10, 1), ("tsv", 60, 1), ("csv", 200, 4), ("xlsx", 60, 1), ("parquet", 700, 12)],
)
def test_a_few_words_among_many_numbers(tmp_path: Path, kind: str, count: int, odd: int) -> None:
    rows = numbered(count, ["5"])
    for number in range(odd):
        rows.insert(number * 3, [f"Purkinje{'abcdefghijklmno'[number]}", "5"])
    (finding,) = told(tmp_path, "neuron", write(tmp_path, [["cid", "voxel_volume"], *rows], kind))
    assert (finding.count, finding.confidence) == (odd, "possible")
    assert "nearly all others are" in finding.message


@pytest.mark.parametrize(
    "keys",
    [
        [str(number) for number in range(50)],
        [f"n{number}" for number in range(50)],
        [*(str(number) for number in range(50)), "12a", "13b"],  # cells that were split
        [
            *(str(number) for number in range(20)),
            *(f"n{number}" for number in range(10)),
        ],  # two ways of naming
        ["-1", *(str(number) for number in range(20))],
        [f"#{number}" for number in range(20)],
        [f"{number:08x}-{number % 7}" for number in range(50)],
        ["giant fiber", "lateral horn", *(f"n{number}" for number in range(5))],
        ["MAX", "n1", "n2", "n3"],
        ["Sumo", "Meanie", "Totalis", "n1"],
        ["AVAL", "AVAR", "RIH"],
    ],
)
def test_keys_that_are_data(tmp_path: Path, keys: list[str]) -> None:
    file = write(tmp_path, [["cid", "voxel_volume"], *([key, "5"] for key in keys)], "csv")
    assert told(tmp_path, "neuron", file) == []


def test_the_config_may_make_an_error_of_it(tmp_path: Path) -> None:
    file = write(tmp_path, [["cid", "voxel_volume"], *numbered(3, ["5"]), ["Total", "15"]], "csv")
    (finding,) = told(tmp_path, "neuron", file, rules={CODE: "error"})
    assert finding.severity == "error"


@pytest.mark.parametrize("label", ["Total", None])
@pytest.mark.parametrize("below", [[], [["9", 900.0]]])
def test_the_totals_row_that_a_workbook_declares(
    tmp_path: Path, label: str | None, below: list[list[Any]]
) -> None:
    with xlsxwriter.Workbook(tmp_path / "n.xlsx") as book:
        sheet = book.add_worksheet("S")
        columns = [
            {"header": "cid", "total_string": label} if label else {"header": "cid"},
            {"header": "voxel_volume", "total_function": "sum"},
        ]
        sheet.add_table(
            1,
            1,
            5,
            2,
            {
                "total_row": True,
                "columns": columns,
                "data": [["1", 10.0], ["2", 20.0], ["3", 30.0]],
            },
        )
        for number, row in enumerate(below, start=6):
            sheet.write_row(number, 1, row)
    done = ingest_folder(tmp_path, {"neuron": "n.xlsx"})
    assert set(done.codes) == {"SYN-READ-017", "SYN-READ-011"}, "a blank line above the header"
    finding = done.finding("SYN-READ-017")
    assert (finding.count, finding.examples[0].row, finding.severity) == (1, 6, "error")
    assert "totals row" in finding.message
    assert done.rows("neuron", "cid") == [("1",), ("2",), ("3",), *((key,) for key, _ in below)]
    assert done.tables["neuron"].rejected == 1
    assert [done.line("neuron", row) for row in range(3 + len(below))] == [3, 4, 5, 7][
        : 3 + len(below)
    ]
    assert duckdb.sql(
        f"SELECT line, code FROM '{done.folder / 'unreadable.parquet'}'"
    ).fetchall() == [(6, "SYN-READ-017")]


def test_a_totals_row_of_another_table_beside_is_none(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(tmp_path / "n.xlsx") as book:
        sheet = book.add_worksheet("S")
        for number, row in enumerate(
            [["cid", "voxel_volume"], *([str(cell), cell * 10.0] for cell in range(1, 6))]
        ):
            sheet.write_row(number, 0, row)
        columns = [
            {"header": "stage", "total_string": "Total"},
            {"header": "count", "total_function": "sum"},
        ]
        sheet.add_table(
            0, 2, 3, 3, {"total_row": True, "columns": columns, "data": [["a", 1], ["b", 2]]}
        )
    done = ingest_folder(tmp_path, {"neuron": {"file": "n.xlsx", "ignore": ["stage", "count"]}})
    assert "SYN-READ-017" not in done.codes
    assert len(done.rows("neuron")) == 5


def test_a_table_without_totals_row(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(tmp_path / "n.xlsx") as book:
        data = [["1", 10.0], ["2", 20.0]]
        book.add_worksheet("S").add_table(
            0, 0, 2, 1, {"columns": [{"header": "cid"}, {"header": "voxel_volume"}], "data": data}
        )
    done = ingest_folder(tmp_path, {"neuron": "n.xlsx"})
    assert (done.codes, done.rows("neuron")) == ([], [("1", 10.0), ("2", 20.0)])


SUMS = "Total|TOTAL:|grand total|Sub-Total|Sum|Sum of all|Mean ± SD|Average|st. dev.|Median (n = 5)"
SUMS += "|Max.|n"
OTHERS = "|12|totally|meander|summit|Maximus|max planck|Minnie|name|count dracula|sd-1"


@pytest.mark.parametrize(("words", "sums"), [(SUMS, True), (OTHERS, False)])
def test_words_that_sum_up_and_words_that_do_not(tmp_path: Path, words: str, sums: bool) -> None:
    asked = [f"{summary_words.is_summary(literal(word))}" for word in words.split("|")]
    with connect(memory_limit=500_000_000, threads=1, spill=tmp_path) as connection:
        found = connection.execute(f"SELECT {', '.join(asked)}").fetchone() or ()
    assert [word for word, so in zip(words.split("|"), found, strict=True) if so != sums] == []


def test_nothing_is_said_of_rows_that_quarantine_takes_out(tmp_path: Path) -> None:
    """With quarantined rows for another reason, the warning stays a warning."""
    rows = [*numbered(3, ["5"]), ["Total", "-5"]]
    file = write(tmp_path, [["cid", "voxel_volume"], *rows], "csv")
    (finding,) = told(tmp_path, "neuron", file, on_invalid="quarantine")
    assert finding.severity == "warning"
    assert yaml.safe_load((tmp_path / "dataset.yaml").read_text())["on_invalid"] == "quarantine"
