"""A lab person finds the first bad cell from the printed text alone, and it is bad for the reason
the text gives.

Belongs here: reading the report as a person does and looking into the lab's files. Does not: counts
(`test_refused_sets.py`).
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from tests.command_line import Lab

DATASET = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a33"
ENDS = {"pre_id": "pre_synapse_id", "post_id": "post_synapse_id"}
PLACE = re.compile(
    r"(\S+\.(?:csv|xlsx)), (?:sheet (\S+), )?row (\d+), column (\w+): '(.*?)'(?= |$)"
)
PAIR = " -> "


@dataclass(frozen=True)
class Told:
    """A place as the text names it, with the code of its finding."""

    code: str
    file: str
    sheet: str
    row: int
    column: str
    value: str


def text_of(lab: Lab, tables: dict[str, dict[str, Any]]) -> str:
    ran = lab.run("check", lab.config("real", DATASET, tables))
    assert ran.code == 3
    assert "REJECTED real" in ran.out
    return ran.out


def places(text: str) -> list[Told]:
    """Every place below an error, in the order of the text; lines that the terminal broke are
    joined again.
    """
    found = []
    for block in re.split(r"\n(?=(?:error|warning|hint) SYN-)", text):
        if block.startswith("error "):
            code = block.split()[1]
            found += [
                Told(code, file, sheet, int(row), column, value)
                for file, sheet, row, column, value in PLACE.findall(" ".join(block.split()))
            ]
    return found


def lines_of(path: Path, sheet: str = "") -> list[list[str]]:
    """The file as a person sees it: the header is row 1."""
    if path.suffix == ".xlsx":
        rows = load_workbook(path, read_only=True)[sheet].iter_rows(values_only=True)
        return [["" if cell is None else str(cell) for cell in row] for row in rows]
    with path.open(newline="") as file:
        return list(csv.reader(file))


def cells(path: Path, column: str, sheet: str = "") -> list[str]:
    """A column of the file; number 0 is its header."""
    lines = lines_of(path, sheet)
    position = lines[0].index(column)
    return [line[position] for line in lines]


def assert_bad(lab: Lab, told: Told, neurons: list[str]) -> None:
    """The cell holds what the text says, and breaks the rule it is told under."""
    path = lab.folder / told.file
    column = cells(path, told.column, told.sheet)
    place = told.row - 1
    if told.code == "SYN-REL-006":
        pairs = [
            PAIR.join(pair)
            for pair in zip(
                cells(path, "pre_id", told.sheet), cells(path, "post_id", told.sheet), strict=True
            )
        ]
        assert pairs[place] == told.value
        assert told.value in pairs[1:place], "an earlier row has the pair"
        return
    assert column[place] == told.value
    if told.code == "SYN-ID-002":
        assert told.value in column[1:place], "an earlier row has the key"
    else:
        assert told.code == "SYN-REL-002"
        assert told.value not in neurons


@pytest.mark.parametrize(
    ("folder", "suffix", "tables", "first"),
    [
        (
            "hemibrain_da1/naive",
            "csv",
            ("synapse",),
            Told("SYN-ID-002", "tables/synapse.csv", "", 3138, "cid", "0"),
        ),
        (
            "celegans_workbooks/dirty_nmj",
            "csv",
            ("neuron", "neuron_relation"),
            Told("SYN-ID-002", "tables/neuron_relation.csv", "", 2115, "cid", "AVKR-NMJ-NMJ"),
        ),
        (
            "celegans_workbooks/clean",
            "xlsx",
            ("neuron", "neuron_relation"),
            Told(
                "SYN-REL-006",
                "tables/neuron_relation.xlsx",
                "Sheet1",
                10,
                "post_id",
                "ADAL -> AVDR",
            ),
        ),
    ],
    ids=["naive", "dirty_nmj", "workbooks"],
)
def test_the_first_bad_cell_is_where_the_text_says(
    data: Path, lab: Lab, folder: str, suffix: str, tables: tuple[str, ...], first: Told
) -> None:
    (lab.folder / "tables").symlink_to(data / folder)
    config: dict[str, dict[str, Any]] = {
        name: {"file": f"tables/{name}.{suffix}"} for name in tables
    }
    if "neuron_relation" in config:
        config["neuron_relation"]["columns"] = ENDS
    found = places(text_of(lab, config))

    assert found[0] == first
    neurons = lines_of(lab.folder / "tables" / "neuron.csv") if suffix == "csv" else []
    for told in found:
        assert_bad(lab, told, [row[0] for row in neurons])


def test_the_first_bad_cell_is_the_first_of_the_file(data: Path) -> None:
    """Reckoned without the pipeline: no earlier row of the two sets breaks the rule."""
    keys = cells(data / "hemibrain_da1" / "naive" / "synapse.csv", "cid")
    assert next(row for row, key in enumerate(keys, 1) if key in keys[: row - 1]) == 3138
    keys = cells(data / "celegans_workbooks" / "dirty_nmj" / "neuron_relation.csv", "cid")
    assert next(row for row, key in enumerate(keys, 1) if key in keys[: row - 1]) == 2115
