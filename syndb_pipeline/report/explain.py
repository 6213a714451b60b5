"""A rule's page at a terminal or in a pipe, and the list of all rules.

Belongs here: what `syndb-pipeline explain` prints. Does not: the pages' text (`page.py`).
"""

from __future__ import annotations

import re
from typing import Final

from rich.console import Console
from rich.markdown import Markdown
from rich.text import Text

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.contract.vocabularies import nearest
from syndb_pipeline.report.report import STYLES
from syndb_pipeline.rules.catalogue import RULES
from syndb_pipeline.rules.page import page_markdown, read_page, severity_of

WIDTH: Final = 80
"""A page is no wider, however wide the terminal."""


def explain(console: Console, code: str | None) -> None:
    """Print the page of rule `code`, or the list of all rules for None. Raises `ConfigError` for an
    unknown code, with near ones.

    At a terminal Markdown is shown as headings, lists and coloured code; in a pipe or file it is
    plain text.
    """
    if code is None:
        console.print(overview(), soft_wrap=True)
        return
    known = _known(code)
    markdown = page_markdown(read_page(known))
    if console.is_terminal:
        console.print(Markdown(markdown, code_theme="ansi_dark"), width=min(WIDTH, console.width))
    else:
        console.print(Text(plain(markdown)), soft_wrap=True)


def overview() -> Text:
    """Every rule in a line: code, severity, title."""
    code_width, severity_width = (
        max(map(len, words)) for words in (RULES, [severity_of(rule) for rule in RULES.values()])
    )
    lines = []
    for rule in RULES.values():
        severity = severity_of(rule).ljust(severity_width)
        lines.append(
            Text.assemble(
                (rule.code.ljust(code_width), "bold"),
                "  ",
                (severity, STYLES[rule.severity]),
                "  ",
                rule.title,
            )
        )
    lines += [Text(), Text("The page of one of them: syndb-pipeline explain CODE")]
    return Text("\n").join(lines)


def plain(markdown: str) -> str:
    """A page's Markdown without its marks: headings stand alone, code is indented."""
    lines, in_code = [], False
    for line in markdown.splitlines():
        if line.startswith("```"):
            in_code = not in_code
        elif in_code:
            lines.append(f"    {line}".rstrip())
        else:
            lines.append(re.sub(r"^#+ (.*)$", r"\1", line))
    return "\n".join(lines)


def _known(code: str) -> str:
    folded = code.strip().upper()
    if folded in RULES:
        return folded
    near = nearest(folded, RULES, 3)
    hint = f"Did you mean {', '.join(near)}? All codes" if near else "All codes"
    raise ConfigError(
        f"There is no finding with the code {code!r}.", next_step=f"{hint}: syndb-pipeline explain"
    )
