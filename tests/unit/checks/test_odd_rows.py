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

from syndb_pipeline.base.engine import connect, literal
from syndb_pipeline.readers import summary_words
from syndb_pipeline.rules.finding import Finding
from tests.lab import context_for, ingest_folder, run_stages
from tests.written_lab import crossed, write_rows

CODE = "SYN-READ-023"
KINDS = ["csv", "tsv", "xlsx", "xls", "parquet"]
Rows = Sequence[Sequence[Any]]


def write(folder: Path, rows: Rows, kind: str, name: str = "n") -> str:
    return write_rows(folder / f"{name}.{kind}", rows, numbers=True)


def reported(folder: Path, table: str, config: str | dict[str, Any], **more: Any) -> list[Finding]:
    """The findings about rows that may be none, of a run up to assign_ids."""
    context = context_for(folder, {table: config}, **more)
    records = run_stages(context, "assign_ids").values()
    return [finding for record in records for finding in record.findings if finding.code == CODE]


def numbered(count: int, cells: Sequence[str] = ()) -> list[list[str]]:
    return [[str(number + 1), *cells] for number in range(count)]


def names(count: int, keys: str = "n{}") -> list[list[str]]:
    return [[keys.format(number + 1), "5"] for number in range(count)]


NOTES = [["note: measured by hand", ""], ["n=2", ""]]
ODD: list[tuple[Rows, str, list[str], str]] = [
    # rows, column, values that are odd, words of the finding
    *(
        ([*numbered(count, ["5"]), [word, "5000"]], "cid", [word], f"the key says '{word}'")
        for count, word in ((1, "Total"), (2, "Mean:"), (20, "SD"), (500, "max"))
    ),
    *(
        (
            [*names(count, keys), [f"{mark}7", "5"], [f"{mark}end of file", ""]],
            "cid",
            [f"{mark}7", f"{mark}end of file"],
            "as a comment does",
        )
        for count, keys, mark in ((2, "{}", "#"), (20, "n{}", "//"), (300, "{}", "%"))
    ),
    *(
        (
            [*names(count, keys), ["", ""], *notes],
            "cid",
            [note[0] for note in notes],
            "after a blank line",
        )
        for count, keys, notes in (
            (2, "{}", NOTES),
            (20, "n{}", NOTES),
            (300, "n{}", NOTES),
            (20, "{}", [["Region", "5"]]),
        )
    ),
    (
        [["AVAL", "5"], ["AVAR", "5"], ["", ""], ["see the methods", "5"]],
        "cid",
        ["see the methods"],
        "after a blank line",
    ),
    ([*names(300), ["measured by hand", ""]], "cid", ["measured by hand"], "reads like a remark"),
    ([["Purkinje", "5"], *names(60, "{}")], "cid", ["Purkinje"], "nearly all others are"),
    *(
        ([*names(9), ["t", "45", "Total"]], column, ["Total"], f"{column} says 'Total' there")
        for column in ("neuron_type", "polarity")
    ),
]


@pytest.mark.parametrize(
    ("kind", "rows", "column", "values", "words"),
    [*(("csv", *each) for each in ODD), *crossed("odd rows", 12, KINDS[1:], ODD)],
)
def test_rows_that_may_be_no_data(
    tmp_path: Path, kind: str, rows: Rows, column: str, values: list[str], words: str
) -> None:
    header = ["cid", "voxel_volume", *([column] if column != "cid" else [])]
    file = write(tmp_path, [header, *([*row, ""][: len(header)] for row in rows)], kind)
    (finding,) = reported(tmp_path, "neuron", file)
    assert (finding.severity, finding.count, finding.column) == ("warning", len(values), column)
    assert [example.value for example in finding.examples] == values
    assert words in finding.message and finding.settings == []


@pytest.mark.parametrize("kind", KINDS)
def test_remarks_in_a_table_of_nothing_but_keys(tmp_path: Path, kind: str) -> None:
    rows = [["cid"], *([f"n{number}"] for number in range(12)), ["measured by hand"]]
    (finding,) = reported(tmp_path, "neuron", write(tmp_path, rows, kind))
    assert finding.examples[0].value == "measured by hand"


LABELS = [
    (["Mean", "SD", "Min", "Max"], 4),
    (["Grand Total"], 1),
    (["Mittelwert", "Summe"], 2),
    (["average (n=2)"], 1),
    (["St. dev."], 1),
    (["SD"], 1),  # the last row
    *(([word], 0) for word in ("Totalis", "Maxine", "Sumatra", "cell")),
]


@pytest.mark.parametrize(
    ("kind", "count", "words", "found"), crossed("labels", 14, KINDS, [2, 20, 300], LABELS)
)
def test_a_column_that_is_not_read_says_so(
    tmp_path: Path, kind: str, count: int, words: list[str], found: int
) -> None:
    rows = [[str(number + 1), f"cell{number}", "10", "3.5"] for number in range(count)]
    rows += [[str(count + number + 1), word, "10", "3.5"] for number, word in enumerate(words)]
    file = write(tmp_path, [["cid", "Label", "mesh_surface_area", "Mean"], *rows], kind)
    config = {"file": file, "ignore": ["Label", "Mean"]}
    findings = reported(tmp_path, "neuron", config)
    assert [finding.count for finding in findings] == ([found] if found else [])
    for finding in findings:
        assert {example.column for example in finding.examples} == {"Label"}
        assert all(repr(word) in finding.message for word in words)
        assert [example.value for example in finding.examples] == words
        lines = [example.row or 0 for example in finding.examples]
        assert lines == list(range(lines[0], lines[0] + found))
        done = ingest_folder(tmp_path, {"neuron": config})
        assert done.rows("neuron", "cid")[-1] == (str(count + found),)
        assert done.cells() == []


def test_each_of_several_files_has_its_totals(tmp_path: Path) -> None:
    for part in range(4):
        rows = [["cid", "Label", "voxel_volume"], [f"{part}1", "a", "5"], [f"{part}2", "Mean", "5"]]
        write(tmp_path, rows, "csv", f"part{part}")
    (finding,) = reported(tmp_path, "neuron", {"file": "part*.csv", "ignore": ["Label"]})
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
        [str(number) for number in range(10)],
    ],
)
def test_labels_that_are_data(tmp_path: Path, labels: list[str]) -> None:
    rows = [[str(number), label, "5"] for number, label in enumerate(labels)]
    file = write(tmp_path, [["cid", "Label", "voxel_volume"], *rows], "csv")
    assert reported(tmp_path, "neuron", {"file": file, "ignore": ["Label"]}) == []


@pytest.mark.parametrize(
    "rows",
    [
        # Below a blank row.
        [["1", "5"], ["2", "5"], ["", ""], ["3", "5"]],
        [["n1", "5"], ["n2", "5"], ["", ""], ["axon_1", "5"]],
        [["n1", "5"], ["n2", ""], ["", ""], ["n3", ""]],
        [["AVAL", "5"], ["AVAR", "5"], ["", ""], ["RIH", ""]],
        [["giant fiber", "5"], ["AVAR", "5"], ["", ""], ["big one 2", "5"]],
        names(50),
        [*names(50, "{}"), ["12a", "5"], ["13b", "5"]],  # cells that were split
        [*names(20, "{}"), *names(10)],  # two ways of naming
        [["-1", "5"], *names(20, "{}")],
        names(20, "#{}"),
        [[f"{number:08x}-{number % 7}", "5"] for number in range(50)],
        [["giant fiber", "5"], ["lateral horn", "5"], *names(5)],
        [["MAX", "5"], *names(3)],
        [[key, "5"] for key in ("Sumo", "Meanie", "Totalis", "n1")],
    ],
)
def test_keys_that_are_data(tmp_path: Path, rows: Rows) -> None:
    file = write(tmp_path, [["cid", "voxel_volume"], *rows], "csv")
    assert reported(tmp_path, "neuron", file) == []


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


SUMS = "Total|TOTAL:|grand total|Sub-Total|Sum|Sum of all|Mean ± SD|Average|st. dev.|Median (n = 5)"
SUMS += "|Max.|n"
OTHERS = "|12|totally|meander|summit|Maximus|max planck|Minnie|name|count dracula|sd-1"


@pytest.mark.parametrize(("words", "sums"), [(SUMS, True), (OTHERS, False)])
def test_words_that_sum_up_and_words_that_do_not(tmp_path: Path, words: str, sums: bool) -> None:
    asked = [f"{summary_words.is_summary(literal(word))}" for word in words.split("|")]
    with connect(memory_limit=500_000_000, threads=1, spill=tmp_path) as connection:
        found = connection.execute(f"SELECT {', '.join(asked)}").fetchone() or ()
    assert [word for word, so in zip(words.split("|"), found, strict=True) if so != sums] == []


@pytest.mark.parametrize(
    ("more", "severity"),
    [({"rules": {CODE: "error"}}, "error"), ({"on_invalid": "quarantine"}, "warning")],
)
def test_the_config_alone_may_make_an_error_of_it(
    tmp_path: Path, more: dict[str, Any], severity: str
) -> None:
    rows = [["cid", "voxel_volume"], *numbered(3, ["5"]), ["Total", "-5"]]
    (finding,) = reported(tmp_path, "neuron", write(tmp_path, rows, "csv"), **more)
    assert finding.severity == severity
