"""What holds whatever is wrong: no row is lost, for every row of the lab's files is passed or rejected
and none is invented; every address that a finding gives, looked up in the lab's own file by another
reader, holds the value that it gives; no setting that is offered does harm.

Belongs here: the properties, over generated datasets. Does not: making or reading them
(`tests/broken_tables.py`), the comparison (`tests/harm.py`).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from syndb_pipeline.rules.catalogue import RULES
from syndb_pipeline.rules.finding import Example, Finding
from tests.broken_tables import CHECKED, READ, Checked, checked
from tests.harm import harms


def person_counts(done: Checked, table: str) -> int | None:
    """The rows of a table's files as a person counts them; None when one of its files gives no rows
    at all.
    """
    files = [each for each in done.records["ingest"].details.files if each.table == table]
    if not files:
        return None
    return sum(done.rows_of(each.file, each.sheet) for each in files)


def conserved(done: Checked, stage: str) -> int:
    """Hold the rows of every table against a person's count; how many tables were compared."""
    compared = 0
    for table, rows in done.records[stage].tables.items():
        assert rows.read == rows.passed + rows.rejected, done.words
        assert min(rows.passed, rows.rejected) >= 0, done.words
        expected = person_counts(done, table)
        if expected is not None:
            assert (table, rows.read) == (table, expected), done.words
            compared += 1
    return compared


@pytest.mark.parametrize("part", range(4))
def test_whatever_is_wrong_every_row_a_person_counts_is_read(part: int) -> None:
    seeds = READ[part::4]
    assert sum(conserved(checked(seed, "ingest"), "ingest") for seed in seeds) > 0.8 * len(seeds)


@pytest.mark.parametrize("part", range(2))
def test_whatever_is_wrong_every_row_is_passed_or_rejected_for_a_reason(part: int) -> None:
    compared, seeds = 0, CHECKED[part::2]
    for seed in seeds:
        done = checked(seed)
        sealed = done.records["check_integrity"]
        compared += conserved(done, "check_integrity")
        errors = {finding.table for finding in sealed.findings if finding.severity == "error"}
        assert {table for table, rows in sealed.tables.items() if rows.rejected} <= errors, (
            done.words
        )
        assert {finding.code for finding in sealed.findings} <= set(RULES), done.words
    assert compared > 0.6 * len(seeds)


MANY_ADDRESSES = 17
"""Seed of a dataset whose findings give 21 of them, each of which must lead to its value."""

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
    # A dataset of many addresses is always among them: some have none, a sample may be of those.
    looked_up, seeds = 0, sorted({*CHECKED[part::2], MANY_ADDRESSES})
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


@pytest.mark.parametrize("part", range(4))
def test_no_setting_does_harm_whatever_else_is_wrong(part: int) -> None:
    for seed in CHECKED[part::4]:
        done = checked(seed)
        assert list(harms(done.context)) == [], done.words
