"""The HTML report: one file that needs no network and no script.

Belongs here: what the template is given, and putting the file in its place. Does not: facts
(`gather.py`), pictures (`charts.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from syndb_pipeline import __version__
from syndb_pipeline.base.digests import digest_of
from syndb_pipeline.contract.vocabularies import SPDX_LICENSES
from syndb_pipeline.report.charts import colour, histogram, scatter, short
from syndb_pipeline.report.diagram import hierarchy
from syndb_pipeline.report.failing import Case
from syndb_pipeline.report.gather import Report, StageState, gathered, states
from syndb_pipeline.report.report import summary
from syndb_pipeline.rules.catalogue import SEVERITIES
from syndb_pipeline.rules.finding import MAX_EXAMPLES
from syndb_pipeline.rules.page import read_page
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import write_atomically

FOLDER: Final = "report"
FILE: Final = "report.html"
TEMPLATES: Final = ("report.html", "report.css")

LONGEST: Final = 200
"""Characters of a value that are shown; what a sentence quotes may be longer."""
LONGEST_SENTENCE: Final = 800

MOST_CASES: Final = 200
"""Findings that are shown; of more, the CSV and JSON have all."""

FULL_CASES: Final = 50
"""Findings that are shown with all their places; further ones have five. So the page stays below 5
MB, whatever the values are.
"""

MOST_FILES: Final = 200

_TOLD_OF_PAGE: Final = ("What it means", "Why SynDB cares", "Example", "Cures")

ORDER: Final = tuple(reversed(SEVERITIES))


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule's findings in this dataset, and its page of the catalogue."""

    code: str
    title: str
    severity: str
    cases: list[Case]
    page: list[tuple[str, Markup]]

    @property
    def count(self) -> int:
        return sum(case.finding.count for case in self.cases)


def default_path(context: Context) -> Path:
    """Where the report of a dataset lies: beside the folders of its stages."""
    return context.store.folder / FOLDER / FILE


def write_report(context: Context, path: Path | None = None) -> Path:
    """Write the HTML report and return its path; the default one is left alone while it tells of
    the same runs and the same config.

    The dataset's lock must be held. Raises `PipelineError` when nothing was ingested.
    """
    target = path or default_path(context)
    if path is None and _key_in(target) == _key(context, states(context.store)):
        return target
    with gathered(context) as (report, _):
        write_atomically(target, render(report))
    return target


def _key(context: Context, stages: Sequence[StageState]) -> str:
    """A digest of everything a report tells of: records and when they were made, the config, and
    how reports look.
    """
    records = [
        (stage.name, stage.state, stage.record.digest, str(stage.record.run))
        for stage in stages
        if stage.record
    ]
    sources = [_source(name) for name in TEMPLATES]
    return digest_of(
        [records, context.config.name, context.config.model_dump(mode="json"), __version__, sources]
    )


def _source(name: str) -> str:
    loader = _environment().loader
    assert loader is not None
    return loader.get_source(_environment(), name)[0]


def _key_in(path: Path) -> str | None:
    """The key that a report was written with; None when there is no report, or what is there is
    none.
    """
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
    rules = list(_rules(cases))
    return (
        _environment()
        .get_template("report.html")
        .render(
            report=report,
            config=config,
            version=__version__,
            summary=summary(report.findings),
            verdict=_verdict(report),
            severities=[
                (severity, [rule for rule in rules if rule.severity == severity])
                for severity in ORDER
            ],
            left_out=len(report.cases) - len(cases),
            diagram=hierarchy(report.tables, report.relations),
            views=[
                view
                for view in (scatter(report.clouds, 0, 1), scatter(report.clouds, 0, 2))
                if view
            ],
            files=sorted(report.files.items())[:MOST_FILES],
            spdx=next(
                (spdx for spdx, name in SPDX_LICENSES.items() if name == config.dataset.license),
                None,
            ),
            key=_key(report.context, report.stages),
        )
    )


def visible(value: object, longest: int = LONGEST) -> str:
    """`value` as a person can see it: control, invisible and direction-changing characters as
    escapes, and cut when it is long.
    """
    text = str(value)
    shown = "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii")
        for c in text[: longest + 1]
    )
    return shown if len(shown) <= longest else f"{shown[:longest]}… ({len(text):,} characters)"


def _verdict(report: Report) -> dict[str, str]:
    """Word, meaning and next command of the banner."""
    yaml = visible(report.context.config.path.name)
    if report.verdict == "accepted":
        told = "SynDB's rules hold for every row. The dataset can be packaged and published."
        if report.set_aside:
            rows = (
                f"{report.set_aside:,} row{' is' if report.set_aside == 1 else 's are'} set aside"
                " and not published"
            )
            told = (
                f"SynDB's rules hold for every row that is kept; {rows}. The rest can be packaged"
                " and published."
            )
        return {
            "word": "Accepted",
            "style": "accepted",
            "told": told,
            "next": f"syndb-pipeline plan {yaml}",
        }
    if report.verdict == "rejected":
        told = (
            "Nothing is packaged or published while there are errors. Each one below says where it"
            " is and what to do."
        )
        fixes = (
            f"syndb-pipeline report {yaml} --fixes fixes.xlsx"
            if any(rows.rejected for rows in report.tables.values())
            else ""
        )
        return {
            "word": "Rejected",
            "style": "rejected",
            "told": told,
            "fixes": fixes,
            "next": f"syndb-pipeline check {yaml}",
        }
    why = {
        "not run": "has not run",
        "outdated": "is older than the stage before it",
        "damaged": "left files that were changed since",
    }
    told = (
        "There is no verdict yet:"
        f" {'; '.join(f'{stage.name} {why[stage.state]}' for stage in report.missing)}."
    )
    return {
        "word": "Not judged yet",
        "style": "open",
        "told": told,
        "next": f"syndb-pipeline check {yaml}",
    }


def _rules(cases: list[Case]) -> Iterator[Rule]:
    """The cases by rule, the rules in the order of the cases."""
    order = {case.finding.code: index for index, case in reversed(list(enumerate(cases)))}
    for code, own in groupby(
        sorted(cases, key=lambda case: order[case.finding.code]), key=lambda case: case.finding.code
    ):
        together = list(own)
        first = together[0].finding
        sections = read_page(code).sections
        page = [(heading, _markdown(sections[heading])) for heading in _TOLD_OF_PAGE]
        yield Rule(code, first.title, first.severity, together, page)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("syndb_pipeline.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "visible": visible,
        "sentence": _sentence,
        "number": lambda value: f"{value:,}",
        "short": short,
        "histogram": histogram,
        "moment": lambda moment: f"{moment:%Y-%m-%d %H:%M:%S} UTC",
        "words": lambda name: str(name).replace("_", " "),
        "colour": colour,
        "megabytes": lambda size: f"{size / 1e6:,.0f} MB",
    }
    return environment


def _sentence(text: str) -> Markup:
    """A finding's sentence, what it quotes between backticks as code."""
    parts = visible(text, LONGEST_SENTENCE).split("`")
    told: list[Any] = []
    for index, part in enumerate(parts):
        closed = index % 2 == 1 and index < len(parts) - 1
        told.append(
            Markup("<code>{}</code>").format(part)
            if closed
            else Markup.escape(("`" if index % 2 == 1 else "") + part)
        )
    return Markup("").join(told)


def _markdown(text: str) -> Markup:
    """A section of our own catalogue; HTML in it is text."""
    return Markup(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))
