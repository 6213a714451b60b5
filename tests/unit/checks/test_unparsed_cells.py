"""Numbers that people write otherwise: each form told for what it is, and cured by the line that is
offered, in every format.

Belongs here: files through ingest and validate. Does not: single labels (`test_validate.py`),
single casts (`test_casts.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
import yaml

from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.stages.runner import run_through
from tests.ingest_helpers import context_for


def write(folder: Path, kind: str, values: list[str]) -> str:
    path = folder / f"n.{kind}"
    if kind == "csv":
        cells = ["centroid_x", *('"' + value.replace('"', '""') + '"' for value in values)]
        path.write_text(
            "".join(
                f"n{number}\t{cell}\n" if number else f"cid\t{cell}\n"
                for number, cell in enumerate(cells)
            ),
            encoding="utf-8",
        )
    elif kind == "xlsx":
        with xlsxwriter.Workbook(path) as book:
            sheet = book.add_worksheet()
            for number, value in enumerate(["centroid_x", *values]):
                sheet.write_string(number, 0, f"n{number}" if number else "cid")
                sheet.write_string(number, 1, value)
    else:
        pq.write_table(
            pa.table(
                {"cid": [f"n{number + 1}" for number in range(len(values))], "centroid_x": values}
            ),
            path,
        )
    return path.name


def check(folder: Path, config: dict[str, Any]) -> tuple[list[Finding], list[float | None]]:
    """Findings of ingest and validate, and the values of the one column."""
    context = context_for(folder, {"neuron": config})
    with context.store.lock():
        records = list(run_through(context, "validate"))
    file = context.store.stage("ingest") / "tables" / "neuron.parquet"
    values = [value for (value,) in duckdb.sql(f"SELECT centroid_x FROM '{file}'").fetchall()]
    return [finding for record in records for finding in record.findings], values


@pytest.mark.parametrize("kind", ["csv", "xlsx", "parquet"])
@pytest.mark.parametrize(
    ("written", "meant", "settings"),
    [
        (["1,23", "4,5", "7", "1,5E+03"], [1.23, 4.5, 7, 1500], [{"decimal": ","}]),
        (
            ["1.234,5", "2.345.678,25", "7.000.000", "1 234,5", "1’234,5"],
            [1234.5, 2345678.25, 7e6, 1234.5, 1234.5],
            [{"decimal": ","}],
        ),
        (
            ["1,234", "12,345,678.5", "12,34,567", "7"],
            [1234, 12345678.5, 1234567, 7],
            [{"thousands": ","}],
        ),
        (
            ["1 234", "12\u00a0345.5", "1\u202f234 567", "7"],
            [1234, 12345.5, 1234567, 7],
            [{"thousands": " "}],
        ),
        (["1'234", "12’345.5"], [1234, 12345.5], [{"thousands": "'"}]),
        (["1_234", "5"], [1234, 5], [{"thousands": "_"}]),
        (["1,234", "2,345"], [1.234, 2.345], [{"decimal": ","}, {"thousands": ","}]),
        (["NA", "5"], [None, 5], [{"missing": ["NA"]}]),
    ],
)
def test_the_line_that_is_offered_cures(
    tmp_path: Path,
    kind: str,
    written: list[str],
    meant: list[float],
    settings: list[dict[str, Any]],
) -> None:
    config: dict[str, Any] = {"file": write(tmp_path, kind, written)}
    findings, _ = check(tmp_path, config)
    (finding,) = findings
    assert finding.code == "SYN-TYPE-001"
    assert [yaml.safe_load(block)["tables"]["neuron"] for block in finding.settings] == settings
    assert finding.confidence == (
        "possible" if len(settings) > 1 else "likely" if "missing" in settings[0] else "certain"
    )
    assert check(tmp_path, config | settings[0]) == ([], meant)


def test_the_other_line_that_is_offered_cures_as_well(tmp_path: Path) -> None:
    config = {"file": write(tmp_path, "csv", ["1,234", "2,345"]), "thousands": ","}
    assert check(tmp_path, config) == ([], [1234, 2345])


def test_points_after_a_decimal_comma_was_declared(tmp_path: Path) -> None:
    config = {"file": write(tmp_path, "csv", ["1.234", "1.234,5"]), "decimal": ","}
    findings, values = check(tmp_path, config)
    assert ([yaml.safe_load(finding.settings[0]) for finding in findings], values) == (
        [{"tables": {"neuron": {"thousands": "."}}}],
        [None, 1234.5],
    )
    assert check(tmp_path, config | {"thousands": "."}) == ([], [1234, 1234.5])


@pytest.mark.parametrize(
    "text", ["1,23", "1234,567", "12,3456", ",123", "1,234,", "1,2345.6", "1.234,5"]
)
def test_what_is_not_grouped_by_threes_stays_a_question(tmp_path: Path, text: str) -> None:
    findings, values = check(tmp_path, {"file": write(tmp_path, "csv", [text]), "thousands": ","})
    assert ([finding.code for finding in findings], values) == (["SYN-TYPE-001"], [None])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("'12'", "Quotation marks"),
        ("“12”", "Quotation marks"),
        ('"12.5"', "Quotation marks"),
        ('="12"', "Quotation marks"),
        ("$12", "money"),
        ("12 €", "money"),
        ("(12)", "brackets"),
        ("12;13", "Several numbers"),
        ("12 13", "Several numbers"),
        ("1/2", "Several numbers"),
        ("12*", "without the text behind it"),
        ("12%", "without the text behind it"),
        ("１２", "another script"),
        ("12 um", "`tables.neuron.units: {centroid_x: um}`"),
        ("twelve", "Write a plain number"),
    ],
)
def test_what_only_the_file_can_cure(tmp_path: Path, value: str, said: str) -> None:
    (finding,) = check(tmp_path, {"file": write(tmp_path, "csv", [value, "5"])})[0]
    assert (finding.code, finding.count) == ("SYN-TYPE-001", 1)
    assert said in finding.fix


def test_a_column_of_whole_numbers_has_no_decimal_comma(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("cid;minimum_normal_length\na;1,234\n")
    context = context_for(tmp_path, {"vesicle": "v.csv"})
    with context.store.lock():
        findings = [
            finding for record in run_through(context, "validate") for finding in record.findings
        ]
    assert [yaml.safe_load(finding.settings[0]) for finding in findings] == [
        {"tables": {"vesicle": {"thousands": ","}}}
    ]
