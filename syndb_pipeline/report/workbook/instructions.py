"""The first sheet of the fix-me workbook: how to correct, what will happen, and what no cell can
fix.

Belongs here: its words. Does not: cells and colours (`workbook.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from syndb_pipeline.report.gather import Report
from syndb_pipeline.report.workbook.failing_rows import about_rows
from syndb_pipeline.rules.finding import Finding

Row = tuple[tuple[str, str], ...]
"""Cells of one row: text, and the name of its format."""

_HOW = (
    (
        "1",
        (
            "Each further sheet holds rows of one of your files as they stand there. A coloured"
            " cell is wrong; its comment says why."
        ),
    ),
    (
        "2",
        (
            "Write the right value into the cell, as it should stand in your file. Leave a cell"
            " empty where there is no value."
        ),
    ),
    (
        "3",
        (
            "To take a whole row out, write x under `remove`. Deleting a row here changes nothing"
            " in your file."
        ),
    ),
    (
        "4",
        (
            "Values only, no formulas. Do not add rows, rename or move columns, or change the grey"
            " cells. Sorting and filtering do no harm."
        ),
    ),
    ("5", "Save the workbook as .xlsx and give it back: syndb-pipeline apply-fixes FILE"),
)
_THEN = (
    "Your files stay as they are, byte for byte. What you changed is written to `corrections/` beside"
    " the dataset's YAML, a line for each cell or row, and the checks run again: they read your"
    " files with these corrections. Rows that are not in this workbook are read as they are. If one"
    " of your files changed meanwhile, nothing is written, and you are told so."
)


def instructions(report: Report, rows: int, total: int) -> Iterator[Row]:
    """The rows of the sheet, for a workbook that shows `rows` of `total` failing rows."""
    yield ((f"{report.name}: rows to correct", "h1"),)
    yield (("", "wrap"),)
    if total == 0:
        yield (("", "wrap"), ("No row is wrong in a way that a cell could fix.", "strong"))
    else:
        yield (
            ("", "wrap"),
            (
                f"This workbook shows {rows:,} of {total:,} rows in which something was found.",
                "strong",
            ),
        )
    if total > rows:
        left = (
            f"There was no room for {total - rows:,} more: correct these, apply them, and write the"
            " workbook again."
        )
        yield (("", "wrap"), (left, "wrap error"))
    yield (("", "wrap"),)
    yield (("How to correct", "h2"), ("", "h2"))
    for number, text in _HOW:
        yield ((number, "wrap"), (text, "wrap"))
    yield (("What then happens", "h2"), ("", "h2"))
    yield (("", "wrap"), (_THEN, "wrap"))
    yield (("Colours", "h2"), ("", "h2"))
    yield (("error", "wrap error"), ("refuses the row; it has to be corrected or removed", "wrap"))
    yield (("warning", "wrap warning"), ("look at it; the row is taken as it is", "wrap"))
    yield (("hint", "wrap hint"), ("worth knowing", "wrap"))
    yield (
        ("row", "row error"),
        (
            (
                "a whole row in a pale colour: the fault lies in no cell of it, e.g. in a column"
                " that the file lacks"
            ),
            "wrap",
        ),
    )
    concerned = about_rows(report)
    for heading, told in (
        (
            "Not about single rows: fix these in the file as a whole, or in the dataset's YAML",
            False,
        ),
        ("About the rows in this workbook", True),
    ):
        findings = [
            finding
            for finding, of_rows in zip(report.findings, concerned, strict=True)
            if of_rows is told
        ]
        findings = [
            finding for finding in findings if told or finding.severity in ("error", "warning")
        ]
        if findings:
            yield (("", "wrap"),)
            yield ((heading, "h2"), ("", "h2"), ("lines for the YAML, where one cures it", "h2"))
            for finding in findings:
                yield from _finding(finding)


def _finding(finding: Finding) -> Iterator[Row]:
    where = (
        ""
        if not finding.examples or finding.examples[0].row is None
        else f"\nFirst: {finding.examples[0]}"
    )
    text = f"{finding.code} {finding.title}\n{finding.message}{where}\nFix: {finding.fix}"
    settings = finding.settings[0] if finding.settings else ""
    yield ((finding.severity, f"wrap {finding.severity}"), (text, "wrap"), (settings, "code"))
