"""The page of a rule as Markdown, and all pages as one document, docs/findings.md.

Belongs here: putting pages and the document together. Does not: the rules (`catalogue.py`).
"""

from __future__ import annotations

import re
from pathlib import Path

from syndb_pipeline.rules.catalogue import GROUPS, RULES, Rule


def page_markdown(rule: Rule, *, level: int = 1, linked: bool = False) -> str:
    """A rule's page, its title a heading of `level`; with `linked`, related codes are links."""
    parts = [f"{'#' * level} {rule.heading}", f"Severity: {rule.shown_severity}"]
    for heading, body in rule.sections.items():
        if heading == "Related":
            related = [RULES[code] for code in rule.related]
            body = "\n".join(f"- {_link(each) if linked else each.heading}" for each in related)
        parts += [f"{'#' * (level + 1)} {heading}", body]
    return "\n\n".join(parts) + "\n"


def document() -> str:
    """`docs/findings.md`: how to read findings, an index, and the page of every rule."""
    introduction = Path(__file__).with_name("introduction.md").read_text(encoding="utf-8")
    parts = [introduction.rstrip(), "## Index"]
    for group, about in GROUPS.items():
        lines = [
            f"| {_link(rule, rule.code)} | {rule.title} | {rule.shown_severity} |"
            for rule in RULES.values()
            if rule.code.startswith(f"SYN-{group}-")
        ]
        table = ["| code | title | severity |", "|---|---|---|", *lines]
        parts += [f"### {about}", "\n".join(table)]
    parts += [page_markdown(rule, level=2, linked=True).rstrip() for rule in RULES.values()]
    return "\n\n".join(parts) + "\n"


def write_document(path: Path) -> None:
    """Write `document()` to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document(), encoding="utf-8")


def _link(rule: Rule, text: str = "") -> str:
    """A link to the rule's heading, under the name that GitHub and other viewers give a heading."""
    anchor = re.sub(r"[^\w\- ]", "", rule.heading.lower()).replace(" ", "-")
    return f"[{text or rule.heading}](#{anchor})"
