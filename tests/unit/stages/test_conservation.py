"""No row is lost, whatever is wrong: for any mixture of errors every row of the lab's files is
passed or rejected, and none is invented.

Belongs here: the property, over generated datasets. Does not: making or reading them
(`tests/broken_tables.py`).
"""

from __future__ import annotations

import pytest

from syndb_pipeline.rules.catalogue import RULES
from tests.broken_tables import CHECKED, READ, Checked, checked


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
