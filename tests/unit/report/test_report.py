"""What a person and a script read after a run."""

from __future__ import annotations

import io
import json

from rich.console import Console

from syndb_pipeline.report.terminal import as_json, by_severity, describe, print_report, summary
from syndb_pipeline.rules.finding import Example, Finding, build
from syndb_pipeline.state.store import Rows

HINT = build("SYN-ID-004", table="axon", column="cid", count=1_234)
WARNING = build("SYN-INT-003", table="axon", parents="neuron_relation, neuron")
PLACES = [
    Example(file="axon.csv", row=3, column="id", value="[red]7[/red]"),
    Example(file="b.xlsx", sheet="S 1", row=9),
]
ERROR = build("SYN-ID-001", table="axon", column="cid", count=2, examples=PLACES)
OTHER_ERROR = build("SYN-REL-003", table="vesicle", column="parent_id", count=1)
FINDINGS = [HINT, ERROR, WARNING, OTHER_ERROR]
ROWS = {
    "axon": Rows(read=12_345, passed=12_343, rejected=2),
    "neuron_relation": Rows(read=10, passed=10, rejected=0, combined=4),
}


def printed(**more: object) -> str:
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=False)
    values: dict[str, object] = {
        "verdict": "rejected",
        "name": "lab",
        "tables": ROWS,
        "findings": FINDINGS,
        "next_step": "correct [them]",
    }
    print_report(console, **(values | more))  # type: ignore[arg-type]
    return out.getvalue()


def test_errors_come_first_and_keep_their_order() -> None:
    assert by_severity(FINDINGS) == [ERROR, OTHER_ERROR, WARNING, HINT]
    assert by_severity([]) == []


def test_the_summary_counts_kinds() -> None:
    assert summary(FINDINGS) == "2 errors, 1 warning, 1 hint"
    assert summary([HINT, HINT]) == "2 hints"
    assert summary([HINT.model_copy(update={"severity": "info"})] * 2) == "2 info"
    assert summary([]) == "no findings"


def test_the_json_for_scripts_holds_findings_that_can_be_read_back() -> None:
    printed = as_json(verdict="rejected", tables=ROWS, findings=iter(FINDINGS), dataset="lab")
    assert list(printed)[:5] == ["verdict", "tables", "findings", "digest", "receipt"]
    assert printed["dataset"] == "lab"
    assert printed["tables"]["neuron_relation"]["combined"] == 4
    assert json.loads(json.dumps(printed)) == printed
    found = [Finding.model_validate(finding) for finding in printed["findings"]]
    assert found == by_severity(FINDINGS)


def test_a_finding_in_plain_text_leads_to_the_cell() -> None:
    assert describe(ERROR).splitlines() == [
        "ERROR SYN-ID-001 Missing key",
        "  2 rows of axon have no cid.",
        "    axon.csv, row 3, column id: '[red]7[/red]'",
        "    b.xlsx, sheet S 1, row 9",
        "  -> Give each row a key of its own; any text will do.",
    ]


def test_the_report_says_rows_findings_verdict_and_the_next_step() -> None:
    text = printed()
    lines = [line.split() for line in text.splitlines()]
    assert ["axon", "12,345", "12,343", "2", "-"] in lines
    assert ["neuron_relation", "10", "10", "-", "4"] in lines
    places = [
        text.index(part)
        for part in (
            "error SYN-ID-001",
            "error SYN-REL-003",
            "warning SYN-INT-003",
            "hint SYN-ID-004",
            "REJECTED lab",
        )
    ]
    assert places == sorted(places)
    assert "REJECTED lab: 2 errors, 1 warning, 1 hint" in text
    assert text.rstrip().endswith("Next: correct [them]")


def test_a_rejection_names_the_page_of_its_first_error_before_the_next_step() -> None:
    *_, page, following = printed().rstrip().splitlines()
    assert page == "What a code means, with fixes: syndb-pipeline explain SYN-ID-001"
    assert following == "Next: correct [them]"
    assert "explain" not in printed(verdict="accepted", findings=[WARNING])


def test_what_a_lab_wrote_is_shown_as_it_is_not_as_markup() -> None:
    text = printed(name="[bold]x[/bold]")
    assert "'[red]7[/red]'" in text
    assert "REJECTED [bold]x[/bold]:" in text


def test_a_clean_report_is_short() -> None:
    text = printed(verdict="accepted", findings=[], next_step="")
    assert "ACCEPTED lab: no findings" in text
    assert "Next" not in text
