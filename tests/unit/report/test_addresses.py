"""Every address that a finding gives, looked up in the lab's own file by another reader, holds the
value the finding tells.

Belongs here: the property, over generated datasets, and the forms in which a value may be told.
Does not: making or reading the files (`tests/broken_tables.py`).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from syndb_pipeline.rules.finding import Example, Finding
from tests.broken_tables import CHECKED, checked

WHOLE_LINES = {"SYN-READ-002", "SYN-READ-003", "SYN-READ-015", "SYN-READ-017"}
"""Their places are lines; the value is the line as it stands."""


def is_told(value: str, cell: Any) -> bool:
    """Whether `value` is what stands in a cell: its text, or a workbook's and Parquet's number,
    date or truth in plain words.
    """
    if isinstance(cell, bool):
        return value == str(cell).lower()
    if isinstance(cell, int | float):
        return value.lower() == str(cell).lower() or float(value) == cell
    if isinstance(cell, datetime | date):
        return value == str(cell)
    return value == cell


def told_cells(finding: Finding, example: Example) -> list[tuple[str, str]]:
    """Columns and values that an example tells: mostly one; both ends of a pair, and what a row
    declares beside what was found.
    """
    assert example.value is not None and example.column is not None
    if finding.code in ("SYN-INT-004", "SYN-INT-005"):
        return [(example.column, example.value.split(" declared, ")[0])]
    if finding.code == "SYN-REL-006":
        return [(example.column, example.value.split(" -> ")[1])]
    return [(example.column, example.value)]


@pytest.mark.parametrize("part", range(2))
def test_an_address_leads_to_the_value(part: int) -> None:
    looked_up, seeds = 0, CHECKED[part::2]
    for seed in seeds:
        done = checked(seed)
        for finding in done.records["check_integrity"].findings:
            for example in finding.examples:
                if example.row is None or example.value is None or finding.code in WHOLE_LINES:
                    continue
                for column, value in told_cells(finding, example):
                    cell = done.cell_of(example.file, example.sheet, example.row, column)
                    assert is_told(value, cell), (
                        f"{done.words}: {finding.code} {example} but the file has {cell!r}"
                    )
                    looked_up += 1
    assert looked_up > 4 * len(seeds)


def test_a_finding_about_values_or_rows_gives_a_place() -> None:
    placeless = set()
    for seed in CHECKED:
        for finding in checked(seed).records["check_integrity"].findings:
            if not finding.code.startswith(("SYN-COL-", "SYN-READ-")) and not finding.examples:
                placeless.add(finding.code)
    assert placeless == set()
