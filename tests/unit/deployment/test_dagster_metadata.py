"""Tables of findings on Dagster's pages: complete while they are short, and they say so where they
are not.
"""

from __future__ import annotations

from syndb_pipeline.orchestration.metadata import MAX_FINDINGS, findings_table, relations_table
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.results import Link, relations_of


def findings(count: int) -> list[Finding]:
    return [
        Finding(
            code="SYN-VAL-001",
            severity="error",
            title="Value out of range",
            table="vesicle",
            column=f"c{i}",
            message=f"cause {i}",
            fix="fix",
        )
        for i in range(count)
    ]


def test_findings_are_told_in_full_up_to_the_limit() -> None:
    table = findings_table(findings(MAX_FINDINGS))

    assert [line.data["message"] for line in table.records] == [
        f"cause {i} -> fix" for i in range(MAX_FINDINGS)
    ]


def test_a_table_that_leaves_findings_out_says_how_many() -> None:
    table = findings_table(findings(MAX_FINDINGS + 12))

    assert len(table.records) == MAX_FINDINGS + 1
    last = table.records[-1].data
    assert {name: text for name, text in last.items() if text} == {
        "message": "... and 12 more: see the report"
    }
    assert set(last) == {column.name for column in table.schema.columns}


def test_the_table_that_a_column_was_joined_to_is_shown_with_the_reason() -> None:
    links = {
        "axon": {"parent_id": Link(target="neuron", how="configured", resolved=7)},
        "nucleus": {},
    }
    assert relations_table(relations_of(links)).md_str.splitlines() == [
        "|reference|points to|rows|chosen|",
        "|-|-|-:|-|",
        "|axon.parent_id|neuron|7|configured|",
    ]
