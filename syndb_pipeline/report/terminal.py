"""Findings and rules as text for a terminal, findings as one JSON object for scripts, and as
annotations of GitHub.

Belongs here: what a person or script reads after a run. Does not: deciding anything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.base.escape_text import visible
from syndb_pipeline.contract.vocabularies import nearest
from syndb_pipeline.rules.catalogue import GUIDES, RULES, SEVERITIES, page_markdown
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Example, Finding
from syndb_pipeline.state.results import Relation, lines_of
from syndb_pipeline.state.store import Rows

REPORT_VERSION: Final = 2
"""Of the JSON object; changes when a key goes or means something else, not when one is added."""

STYLES: Final = {"error": "bold red", "warning": "yellow", "hint": "cyan", "info": "dim"}

WIDTH: Final = 80
"""A rule's page is no wider, however wide the terminal."""


def as_json(
    *,
    verdict: str | None,
    tables: Mapping[str, Rows],
    findings: Iterable[Finding],
    digest: str | None = None,
    receipt: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The object that every command prints with --json, and `more` of its own (docs/report.md)."""
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
    counted = []
    for severity in reversed(SEVERITIES):
        count = sum(finding.severity == severity for finding in findings)
        if count:
            counted.append(f"{count} {severity}{'' if count == 1 or severity == 'info' else 's'}")
    return ", ".join(counted) or "no findings"


def describe(finding: Finding) -> str:
    """A finding in plain text: what, first places, fix. Used where there is no terminal."""
    places = "".join(f"\n    {example}" for example in finding.examples)
    settings = "".join(f"\n    {line}" for line in _pasted(finding))
    head = f"{finding.severity.upper()} {finding.code} {finding.title}{_how_sure(finding)}"
    return visible(f"{head}\n  {finding.message}{places}\n  -> {finding.fix}{settings}")


def _how_sure(finding: Finding) -> str:
    """What follows a finding's title when its diagnosis is not certain."""
    return "" if finding.confidence == "certain" else f" (diagnosis: {finding.confidence})"


def _pasted(finding: Finding) -> list[str]:
    """The lines of YAML that would fix a finding: the first of its settings, which is the
    likeliest.
    """
    return finding.settings[0].splitlines() if finding.settings else []


def tables_of(rows: Mapping[str, Rows]) -> Table:
    """Rows read, passed, rejected and combined by table; those rejected only for others apart."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    below = ("wrong", "below") if any(counts.below for counts in rows.values()) else ()
    shown = ("read", "passed", "rejected", *below, "combined")
    table.add_column("table")
    for column in shown:
        table.add_column(column, justify="right")
    for name, counts in rows.items():
        values = (getattr(counts, column) for column in shown)
        style = "red" if counts.rejected else ""
        table.add_row(name, *(f"{value:,}" if value else "-" for value in values), style=style)
    return table


def finding_block(finding: Finding) -> RenderableType:
    """One finding for a terminal: head line, message, places, fix."""
    head = Text.assemble(
        (finding.severity, STYLES[finding.severity]),
        " ",
        (finding.code, "bold"),
        f" {finding.title}",
        (_how_sure(finding), "dim"),
    )
    places = [Text(visible(str(example)), style="dim") for example in finding.examples]
    fix = Text.assemble(("-> ", "green"), visible(finding.fix))
    return Group(
        head,
        Padding(Text(visible(finding.message)), (0, 0, 0, 2)),
        *(Padding(place, (0, 0, 0, 4)) for place in places),
        Padding(fix, (0, 0, 0, 2)),
        *(
            Text(f"     {visible(line)}", style="green", no_wrap=True, overflow="ignore")
            for line in _pasted(finding)
        ),
        "",
    )


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
    """Print a check's tables, references, findings by severity, verdict and next command.

    Args:
        verdict: Of the dataset; the name of the stage where that gives none.
        name: Of the dataset.
        html: Where the HTML report is.
        config: Path of the dataset's YAML, for the command that writes the rows to correct.
    """
    console.print(tables_of(tables))
    if relations:
        console.print(" references, the tables they point to, rows, and how the table was chosen")
        lines = "".join(f" {line}\n" for line in lines_of(relations))
        console.print(lines, soft_wrap=True)
    shown = by_severity(findings)
    for finding in shown:
        # Not cropped: a line to paste is whole, however narrow the terminal is.
        console.print(finding_block(finding), crop=False)
    accepted = verdict == "accepted"
    lost = sum(counts.rejected for counts in tables.values())
    aside = f"; {lost:,} quarantined row{'' if lost == 1 else 's'}" if lost and accepted else ""
    console.print(
        f"[bold {'green' if accepted else 'red'}]{verdict.upper()}[/] {escape(visible(name))}:"
        f" {summary(findings)}{aside}"
    )
    for lead, text in (
        (
            "What a code means, with fixes: syndb-pipeline explain ",
            shown[0].code if verdict == "rejected" else "",
        ),
        ("Report: ", html),
        (
            "Rows to correct: syndb-pipeline report ",
            f"{config} --fixes fixes.xlsx" if config and lost else "",
        ),
        ("Next: ", next_step),
    ):
        if text:
            console.print(f"{lead}{escape(visible(str(text)))}", soft_wrap=True)


# -- annotations of GitHub

_LEVELS: Final = {"error": "error", "warning": "warning", "hint": "notice"}


def workflow_commands(findings: Iterable[Finding], config: Path, root: Path) -> Iterator[str]:
    """Findings as workflow commands, which GitHub shows beside the lines of the lab's files.

    Of each kind GitHub shows ten a step, so the first place of every finding comes before the
    second of any.

    Args:
        config: The dataset's YAML; findings that are about no file are shown at it.
        root: Folder of the repository.
    """
    shown = [finding for finding in by_severity(findings) if finding.severity in _LEVELS]
    for turn in range(MAX_EXAMPLES):
        for finding in shown:
            places = finding.examples or [Example(file=finding.file or config.name)]
            if turn < len(places):
                place = places[turn]
                text = f"{finding.message}\n{place}\n-> {finding.fix}"
                yield annotation(
                    _LEVELS[finding.severity],
                    f"{finding.code} {finding.title}",
                    text,
                    config.parent / place.file,
                    root,
                    place.row,
                )


def annotation(
    level: str, title: str, text: str, file: Path, root: Path, line: int | None = None
) -> str:
    """One workflow command: `level` is error, warning or notice; the rest is escaped."""
    # As it is called in the repository: git-annex and others keep links there.
    called = Path(os.path.abspath(file))  # noqa: PTH100 - pathlib has none that keeps links
    places = [
        (path, folder) for path in (called, file.resolve()) for folder in (root, root.resolve())
    ]
    shown = next((path.relative_to(at) for path, at in places if path.is_relative_to(at)), called)
    where = {"file": shown.as_posix(), "line": line, "title": title}
    properties = ",".join(
        f"{name}={_escaped(str(value)).replace(':', '%3A').replace(',', '%2C')}"
        for name, value in where.items()
        if value is not None
    )
    return f"::{level} {properties}::{_escaped(text)}"


def _escaped(text: str) -> str:
    return visible(text).replace("%", "%25").replace("\n", "%0A")


# -- rules


def explain(console: Console, code: str | None) -> None:
    """Print the page of rule `code`, the guide called so, or the list of all rules for None.

    At a terminal Markdown is shown as headings, lists and coloured code; in a pipe it is plain
    text.

    Raises:
        ConfigError: There is no such code; it names near ones.
    """
    if code is None:
        console.print(overview(), soft_wrap=True)
        return
    folded = code.strip().upper()
    guide = GUIDES.get(folded)
    if guide is None and folded not in RULES:
        near = ", ".join(nearest(folded, RULES, 3))
        hint = f"Did you mean {near}? All codes" if near else "All codes"
        raise ConfigError(
            f"There is no finding with the code {code!r}.",
            next_step=f"{hint}: syndb-pipeline explain",
        )
    markdown = guide.read_text(encoding="utf-8") if guide else page_markdown(RULES[folded])
    if console.is_terminal:
        from rich.markdown import Markdown  # which no other command needs

        console.print(Markdown(markdown, code_theme="ansi_dark"), width=min(WIDTH, console.width))
    else:
        console.print(Text(plain(markdown)), soft_wrap=True)


def overview() -> Text:
    """Every rule in a line: code, severity, title."""
    codes, severities = max(map(len, RULES)), [rule.shown_severity for rule in RULES.values()]
    widths = codes, max(map(len, severities))
    text = Text()
    for rule in RULES.values():
        text.append(rule.code.ljust(widths[0]), "bold").append("  ")
        text.append(rule.shown_severity.ljust(widths[1]), STYLES[rule.severity])
        text.append(f"  {rule.title}\n")
    return text.append("\nThe page of one of them: syndb-pipeline explain CODE")


def plain(markdown: str) -> str:
    """A page's Markdown without its marks: headings are lines of their own, code is indented."""
    lines, in_code = [], False
    for line in markdown.splitlines():
        if line.startswith("```"):
            in_code = not in_code
        else:
            lines.append(f"    {line}".rstrip() if in_code else re.sub(r"^#+ (.*)$", r"\1", line))
    return "\n".join(lines)
