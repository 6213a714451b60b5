"""The HTML report: one file that needs no network and no script.

Belongs here: what the template is given, and putting the file in its place. Does not: facts
(`gather.py`), pictures (`drawings.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment
from markdown_it import MarkdownIt
from markupsafe import Markup

from syndb_pipeline import __version__
from syndb_pipeline.base import escape_text
from syndb_pipeline.base.digests import digest_of
from syndb_pipeline.contract.vocabularies import SPDX_LICENSES
from syndb_pipeline.report import drawings
from syndb_pipeline.report.gather import Case, Report, StageState, gathered, states
from syndb_pipeline.report.terminal import summary
from syndb_pipeline.rules.catalogue import HEADINGS, RULES, SEVERITIES
from syndb_pipeline.rules.finding import MAX_EXAMPLES
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import write_atomically

LONGEST: Final = 200
"""Characters of a value that are shown; what a sentence quotes may be longer."""
LONGEST_SENTENCE: Final = 800

MOST_CASES: Final = 200
"""Findings that are shown; of more, the CSV and JSON have all."""

FULL_CASES: Final = 50
"""Findings shown with all their places; further ones have five. So the page stays below 5 MB."""

MOST_FILES: Final = 200

_STATES: Final = {
    "not run": "has not run",
    "outdated": "is older than the stage before it",
    "damaged": "left files that were changed since",
}


def default_path(context: Context) -> Path:
    """Where the report of a dataset is: beside the folders of its stages."""
    return context.store.report_path


def write_report(context: Context, path: Path | None = None) -> Path:
    """Write the HTML report and return its path.

    The default one is kept while it is of the same runs and config. The dataset's lock must be
    held.

    Raises:
        PipelineError: Nothing was ingested.
    """
    target = path or default_path(context)
    if path is None and _key_in(target) == _key(context, states(context.store)):
        return target
    with gathered(context) as (report, _):
        write_atomically(target, render(report))
    return target


def _key(context: Context, stages: Sequence[StageState]) -> str:
    """A digest of everything a report is made of: records, runs, the config, and the templates."""
    records = [
        (stage.name, stage.state, stage.record.digest, str(stage.record.run))
        for stage in stages
        if stage.record
    ]
    loader = _environment().loader
    assert loader is not None
    names = ("report.html", "report.css", "drawings.svg")
    sources = [loader.get_source(_environment(), name)[0] for name in names]
    config = context.config
    return digest_of([records, config.name, config.model_dump(mode="json"), __version__, sources])


def _key_in(path: Path) -> str | None:
    """The key that a report was written with; None when there is no report, or something else."""
    try:
        with path.open("rb") as file:
            start = file.read(4_096).decode("utf-8", "replace")
    except OSError:
        return None
    found = re.search(r'<meta name="syndb-report" content="([0-9a-f]{64})">', start)
    return found[1] if found else None


def render(report: Report) -> str:
    """The report as HTML. Equal records and config give equal text."""
    config = report.context.config
    cases = [
        case if index < FULL_CASES else replace(case, places=case.places[:MAX_EXAMPLES])
        for index, case in enumerate(report.cases[:MOST_CASES])
    ]
    by_rule: dict[str, list[Case]] = {}
    for case in cases:
        by_rule.setdefault(case.finding.code, []).append(case)
    licences = {name: spdx for spdx, name in SPDX_LICENSES.items()}
    views = [drawings.scatter(report.clouds, 0, vertical) for vertical in (1, 2)]
    template = _environment().get_template("report.html")
    return template.render(
        report=report,
        config=config,
        version=__version__,
        summary=summary(report.findings),
        verdict=_verdict(report),
        severities=tuple(reversed(SEVERITIES)),
        rules=list(by_rule.items()),
        left_out=len(report.cases) - len(cases),
        diagram=drawings.hierarchy(report.tables, report.relations),
        views=[view for view in views if view],
        files=sorted(report.files.items())[:MOST_FILES],
        spdx=licences.get(config.dataset.license),
        key=_key(report.context, report.stages),
    )


def visible(value: object, longest: int = LONGEST) -> str:
    """`value` with what does not show as escapes, and cut when it is long."""
    text = str(value)
    shown = escape_text.visible(text[: longest + 1])
    return shown if len(shown) <= longest else f"{shown[:longest]}… ({len(text):,} characters)"


def _verdict(report: Report) -> dict[str, str]:
    """Word, meaning and next command of the banner."""
    yaml = visible(report.context.config.path.name)
    if report.verdict == "accepted":
        meaning = "SynDB's rules hold for every row. The dataset can be packaged and published."
        if lost := report.quarantined:
            rows = f"{lost:,} row{' is' if lost == 1 else 's are'} quarantined and not published"
            meaning = (
                f"SynDB's rules hold for every row that is kept; {rows}. The rest can be packaged"
                " and published."
            )
        return {"word": "Accepted", "meaning": meaning, "next": f"syndb-pipeline plan {yaml}"}
    check = f"syndb-pipeline check {yaml}"
    if report.verdict == "rejected":
        meaning = (
            "Nothing is packaged or published while there are errors. Each one below says where it"
            " is and what to do."
        )
        rejected = any(rows.rejected for rows in report.tables.values())
        fixes = f"syndb-pipeline report {yaml} --fixes fixes.xlsx" if rejected else ""
        return {"word": "Rejected", "meaning": meaning, "fixes": fixes, "next": check}
    missing = "; ".join(
        f"{stage.name} {_STATES[stage.state]}" for stage in report.stages if stage.state in _STATES
    )
    return {
        "word": "Not judged yet",
        "meaning": f"There is no verdict yet: {missing}.",
        "next": check,
    }


@cache
def _environment() -> Environment:
    environment = drawings.environment()
    environment.filters |= {
        "visible": visible,
        "sentence": _sentence,
        "number": lambda value: f"{value:,}",
        "short": drawings.short,
        "histogram": drawings.histogram,
        "moment": lambda moment: f"{moment:%Y-%m-%d %H:%M:%S} UTC",
        "words": lambda name: str(name).replace("_", " "),
        "colour": drawings.colour,
        "megabytes": lambda size: f"{size / 1e6:,.0f} MB",
        "page": _page,
    }
    return environment


def _sentence(text: str) -> Markup:
    """A finding's sentence, what it quotes between backticks as code."""
    parts = visible(text, LONGEST_SENTENCE).split("`")
    shown: list[Any] = []
    for index, part in enumerate(parts):
        closed = index % 2 == 1 and index < len(parts) - 1
        quoted = Markup("<code>{}</code>").format(part) if closed else part
        shown.append(quoted if closed or index % 2 == 0 else f"`{part}")
    return Markup("").join(shown)


def _page(code: str) -> list[tuple[str, Markup]]:
    """The page of rule `code` but for its related rules, by heading; HTML in it is text."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    sections = RULES[code].sections
    return [(heading, Markup(markdown.render(sections[heading]))) for heading in HEADINGS[:-1]]
