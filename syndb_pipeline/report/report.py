"""Findings as text for a terminal and as one JSON object for scripts.

Belongs here: what a person or script reads after a run. Does not: deciding anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from syndb_pipeline.base.escape_text import visible
from syndb_pipeline.rules.catalogue import SEVERITIES
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.relation import Relation, lines_of
from syndb_pipeline.state.store import Rows

REPORT_VERSION = 1
"""Of the JSON object; it changes when a key goes or means something else, not when one is added
(docs/report.md).
"""

STYLES = {"error": "bold red", "warning": "yellow", "hint": "cyan", "info": "dim"}


def as_json(
    *,
    verdict: str | None,
    tables: Mapping[str, Rows],
    findings: Iterable[Finding],
    digest: str | None = None,
    receipt: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The object that every command prints with --json: these keys, `report_version`, and what a
    command adds (docs/report.md).
    """
    return {
        "verdict": verdict,
        "tables": {name: rows.model_dump() for name, rows in tables.items()},
        "findings": [finding.model_dump() for finding in by_severity(findings)],
        "digest": digest,
        "receipt": receipt,
        "report_version": REPORT_VERSION,
    } | more


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """Errors first; within a severity as the stages found them."""
    return sorted(findings, key=lambda finding: -SEVERITIES.index(finding.severity))


def summary(findings: Sequence[Finding]) -> str:
    """E.g. "2 errors, 1 warning"; "no findings" when there are none."""
    counts = {
        severity: sum(finding.severity == severity for finding in findings)
        for severity in reversed(SEVERITIES)
    }
    told = [
        f"{count} {severity}{'' if count == 1 or severity == 'info' else 's'}"
        for severity, count in counts.items()
        if count
    ]
    return ", ".join(told) or "no findings"


def describe(finding: Finding) -> str:
    """A finding in plain text: what, first places, cure. Used where there is no terminal (Dagster,
    exceptions).
    """
    places = "".join(f"\n    {example}" for example in finding.examples)
    settings = "".join(f"\n    {line}" for line in _pasted(finding))
    head = f"{finding.severity.upper()} {finding.code} {finding.title}{_how_sure(finding)}"
    return visible(f"{head}\n  {finding.cause}{places}\n  -> {finding.cure}{settings}")


def _how_sure(finding: Finding) -> str:
    """What stands behind a finding's title when its diagnosis is not certain."""
    return "" if finding.confidence == "certain" else f" (diagnosis: {finding.confidence})"


def _pasted(finding: Finding) -> list[str]:
    """The lines of the dataset's YAML that would cure a finding: the first of its settings, which
    is the likeliest.
    """
    return finding.settings[0].splitlines() if finding.settings else []


def tables_of(rows: Mapping[str, Rows]) -> Table:
    """Rows read, passed, rejected and combined, a line for each table; where some were lost only
    for others, those apart.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("table")
    below = any(counts.below for counts in rows.values())
    for column in (
        "read",
        "passed",
        "rejected",
        *(("wrong", "below") if below else ()),
        "combined",
    ):
        table.add_column(column, justify="right")
    for name, counts in rows.items():
        apart = (counts.wrong, counts.below) if below else ()
        values = (counts.read, counts.passed, counts.rejected, *apart, counts.combined)
        table.add_row(
            name,
            *(f"{value:,}" if value else "-" for value in values),
            style="red" if counts.rejected else "",
        )
    return table


def finding_block(finding: Finding) -> RenderableType:
    """One finding for a terminal: head line, cause, places, cure."""
    style = STYLES[finding.severity]
    head = Text.assemble(
        (finding.severity, style),
        " ",
        (finding.code, "bold"),
        " ",
        finding.title,
        (_how_sure(finding), "dim"),
    )
    lines: list[RenderableType] = [head, Padding(Text(visible(finding.cause)), (0, 0, 0, 2))]
    lines += [
        Padding(Text(visible(str(example)), style="dim"), (0, 0, 0, 4))
        for example in finding.examples
    ]
    lines.append(Padding(Text.assemble(("-> ", "green"), visible(finding.cure)), (0, 0, 0, 2)))
    lines += [
        Text(f"     {visible(line)}", style="green", no_wrap=True, overflow="ignore")
        for line in _pasted(finding)
    ]
    return Group(*lines, "")


def print_report(
    console: Console,
    *,
    verdict: str,
    name: str,
    tables: Mapping[str, Rows],
    findings: Sequence[Finding],
    next_step: str,
    html: object = None,
    config: object = None,
    relations: Sequence[Relation] = (),
) -> None:
    """The report of a check: a line a table and a column of references, the findings by severity,
    the verdict, where the HTML report is, the next command.

    With `config`, the command that writes the rejected rows as a workbook to correct.
    """
    console.print(tables_of(tables))
    if relations:
        console.print(" references, the tables they point to, rows, and how the table was chosen")
        console.print("\n".join(f" {line}" for line in lines_of(relations)), soft_wrap=True)
        console.print()
    for finding in by_severity(findings):
        console.print(
            finding_block(finding), crop=False
        )  # a line to paste is whole, however narrow the terminal is
    style = "bold green" if verdict == "accepted" else "bold red"
    rejected = sum(counts.rejected for counts in tables.values()) if verdict == "accepted" else 0
    aside = f"; {rejected:,} row{'' if rejected == 1 else 's'} set aside" if rejected else ""
    console.print(
        f"[{style}]{verdict.upper()}[/] {escape(visible(name))}: {summary(findings)}{aside}"
    )
    if verdict == "rejected":
        console.print(
            "What a code means, with cures: syndb-pipeline explain"
            f" {by_severity(findings)[0].code}",
            soft_wrap=True,
        )
    if html:
        console.print(f"Report: {escape(visible(str(html)))}", soft_wrap=True)
    if config and any(counts.rejected for counts in tables.values()):
        console.print(
            f"Rows to correct: syndb-pipeline report {escape(visible(str(config)))} --fixes"
            " fixes.xlsx",
            soft_wrap=True,
        )
    if next_step:
        console.print(f"Next: {escape(visible(next_step))}", soft_wrap=True)
