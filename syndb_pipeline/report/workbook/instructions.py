"""The first sheet of the fix-me workbook: how to correct, what will happen, and what no cell can fix.

Belongs here: which rows it has. Does not: what they say and how they look (`look.toml`), writing
them (`workbook.py`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any, Final

from syndb_pipeline.report.gather import Report
from syndb_pipeline.report.workbook.failing_rows import about_rows
from syndb_pipeline.rules.finding import Finding

LOOK: Final[dict[str, Any]] = tomllib.loads(
    files(__package__).joinpath("look.toml").read_text(encoding="utf-8")
)
"""Formats, colours and texts."""

Row = Sequence[Sequence[str]]
"""Cells of one row: the name of its format, and text."""


def instructions(report: Report, rows: int, total: int) -> Iterator[Row]:
    """The rows of the sheet, for a workbook that shows `rows` of `total` failing rows."""
    counts = {"rows": f"{rows:,}", "total": f"{total:,}", "left": f"{total - rows:,}"}
    beginning = ("title", "some" if total else "none", *(("more",) if total > rows else ()))
    for row in [row for part in beginning for row in LOOK["read_me"][part]]:
        yield [(style, text.format(name=report.name, **counts)) for style, text in row]
    yield from LOOK["read_me"]["how"]
    pairs = list(zip(report.findings, about_rows(report), strict=True))
    whole = [each for each, of_rows in pairs if not of_rows]
    parts = {
        "whole": [finding for finding in whole if finding.severity in ("error", "warning")],
        "of_rows": [finding for finding, of_rows in pairs if of_rows],
    }
    for heading, findings in parts.items():
        if findings:
            yield from LOOK["read_me"][heading]
            yield from map(_row, findings)


def _row(finding: Finding) -> Row:
    first = finding.examples[0] if finding.examples else None
    where = f"\nFirst: {first}" if first and first.row is not None else ""
    text = f"{finding.code} {finding.title}\n{finding.message}{where}\nFix: {finding.fix}"
    style = f"wrap {finding.severity}"
    settings = finding.settings[0] if finding.settings else ""
    return ((style, finding.severity), ("wrap", text), ("code", settings))
