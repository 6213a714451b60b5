"""Numbers that people write otherwise: each form named for what it is, and healed by the line that
is offered, in every format.

Belongs here: files through ingest and validate. Does not: single labels (`test_validate.py`),
single casts (`test_casts.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from syndb_pipeline.rules.finding import Finding
from tests.lab import Lab
from tests.written_lab import written_lab


def check(lab: Lab, **settings: Any) -> tuple[list[Finding], list[float | None]]:
    """Findings of ingest and validate, and the values of centroid_x, once `settings` are the
    table's.
    """
    lab.config["tables"]["neuron"] |= settings
    records = lab.run("validate").values()
    values = lab.query("SELECT centroid_x FROM {f}", f="ingest/tables/neuron.parquet")
    return [each for record in records for each in record.findings], [value for (value,) in values]


def written(folder: Path, values: list[str], suffix: str = "csv", **settings: Any) -> Lab:
    columns = {"cid": [f"n{number}" for number in range(len(values))], "centroid_x": values}
    return written_lab(folder, {"neuron": columns}, suffix, {"neuron": settings})


@pytest.mark.parametrize(
    ("suffix", "values", "meant", "settings"),
    [
        ("tsv", ["1,23", "4,5", "7", "1,5E+03"], [1.23, 4.5, 7, 1500], [{"decimal": ","}]),
        (
            *("xlsx", ["1.234,5", "2.345.678,25", "7.000.000", "1 234,5", "1’234,5"]),
            [1234.5, 2345678.25, 7e6, 1234.5, 1234.5],
            [{"decimal": ","}],
        ),
        (
            *("csv", ["1,234", "12,345,678.5", "12,34,567", "7"]),
            [1234, 12345678.5, 1234567, 7],
            [{"thousands": ","}],
        ),
        (
            *("parquet", ["1 234", "12\u00a0345.5", "1\u202f234 567", "7"]),
            [1234, 12345.5, 1234567, 7],
            [{"thousands": " "}],
        ),
        ("xlsx", ["1'234", "12’345.5"], [1234, 12345.5], [{"thousands": "'"}]),
        ("parquet", ["1_234", "5"], [1234, 5], [{"thousands": "_"}]),
        ("csv", ["1,234", "2,345"], [1.234, 2.345], [{"decimal": ","}, {"thousands": ","}]),
        ("csv", ["NA", "5"], [None, 5], [{"missing": ["NA"]}]),
    ],
)
def test_the_line_that_is_offered_heals(
    tmp_path: Path,
    suffix: str,
    values: list[str],
    meant: list[float],
    settings: list[dict[str, Any]],
) -> None:
    lab = written(tmp_path, values, suffix)
    ([finding], _) = check(lab)
    assert finding.code == "SYN-TYPE-001"
    assert [yaml.safe_load(block)["tables"]["neuron"] for block in finding.settings] == settings
    assert finding.confidence == (
        "possible" if len(settings) > 1 else "likely" if "missing" in settings[0] else "certain"
    )
    assert check(lab, **settings[0]) == ([], meant)
    if len(settings) > 1:
        del lab.config["tables"]["neuron"]["decimal"]
        assert check(lab, **settings[1]) == ([], [1234, 2345])


def test_points_after_a_decimal_comma_was_declared(tmp_path: Path) -> None:
    lab = written(tmp_path, ["1.234", "1.234,5"], "tsv", decimal=",")
    ([finding], values) = check(lab)
    assert yaml.safe_load(finding.settings[0]) == {"tables": {"neuron": {"thousands": "."}}}
    assert values == [None, 1234.5]
    assert check(lab, thousands=".") == ([], [1234, 1234.5])


def test_what_is_not_grouped_by_threes_stays_a_question(tmp_path: Path) -> None:
    texts = ["1,23", "1234,567", "12,3456", ",123", "1,234,", "1,2345.6", "1.234,5"]
    findings, values = check(written(tmp_path, texts, thousands=","))
    assert {finding.code for finding in findings} == {"SYN-TYPE-001"}
    assert values == [None] * len(texts)


def test_what_only_the_file_can_heal(tmp_path: Path) -> None:
    forms = {
        "Quotation marks": ["'12'", "“12”", '"12.5"', '="12"'],
        "money": ["$12", "12 €"],
        "brackets": ["(12)"],
        "Several numbers": ["12;13", "12 13", "1/2"],
        "without the text behind it": ["12*", "12%"],
        "another script": ["１２"],
        "`tables.neuron.units: {centroid_x: um}`": ["12 um"],
        "Write a plain number": ["twelve"],
    }
    texts = [text for each in forms.values() for text in each]
    findings, _ = check(written(tmp_path, texts))
    found = {finding.examples[0].value: finding for finding in findings}
    for said, values in forms.items():
        finding = found[values[0]]
        assert (finding.code, finding.count) == ("SYN-TYPE-001", len(values))
        assert said in finding.fix


def test_a_column_of_whole_numbers_has_no_decimal_comma(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"vesicle": "cid;minimum_normal_length\na;1,234\n"})
    [finding] = lab.run("validate")["validate"].findings
    assert yaml.safe_load(finding.settings[0]) == {"tables": {"vesicle": {"thousands": ","}}}
