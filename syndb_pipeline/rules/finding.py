"""A finding: one cause, however many rows it touches.

Belongs here: the record and how it is built from the catalogue. Does not: the codes themselves
(`catalogue.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from syndb_pipeline.rules.catalogue import RULES, Severity

MAX_EXAMPLES = 5

Confidence = Literal["certain", "likely", "possible"]
"""How sure a diagnosis is: it follows from what was read; nothing else explains it as well; one
explanation among others.
"""

NUMBERED = {
    "s": ("", "s"),
    "verb_s": ("s", ""),
    "a": ("a ", ""),
    "are": ("is", "are"),
    "were": ("was", "were"),
    "have": ("has", "have"),
    "do": ("does", "do"),
    "they": ("it", "they"),
    "them": ("it", "them"),
    "their": ("its", "their"),
}
"""Words of a template that follow the count: for one, and for any other number."""


class Example(BaseModel):
    """One place a finding was seen. `row` is the line a person sees in a spreadsheet or editor, the
    header being counted.
    """

    model_config = ConfigDict(frozen=True)

    file: str
    sheet: str | None = None
    row: int | None = None
    column: str | None = None
    value: str | None = None

    def __str__(self) -> str:
        place = self.file + (f", sheet {self.sheet}" if self.sheet else "")
        place += f", row {self.row}" if self.row is not None else ""
        place += f", column {self.column}" if self.column else ""
        return place + (f": {self.value!r}" if self.value is not None else "")


class Finding(BaseModel):
    """One cause, with its count, its first places and how to fix it.

    `column` is the name in the lab's file where it has one. `confidence` is that of the diagnosis
    in `message`, not of the count. `settings` are what `fix` would set in the dataset's YAML, a
    block each, ready to be merged into it; where there are several, any one of them will do.
    """

    model_config = ConfigDict(frozen=True)

    code: str
    severity: Severity
    title: str
    table: str | None = None
    file: str | None = None
    column: str | None = None
    count: int = 1
    examples: list[Example] = []
    message: str
    fix: str
    confidence: Confidence = "certain"
    settings: list[str] = []


_SETTING = re.compile(r"`tables\.(\w+)\.(\w+): ([^`]+)`")
_PASTED_WIDTH = 52
"""Characters after which a pasted line of YAML ends at the next chance: with one more word it still
fits a terminal of 80.
"""
_PLACEHOLDER = re.compile(r"<[^>]+>|\.\.\.")


def settings_of(fix: str) -> list[str]:
    """The settings that `fix` names between backticks with their values, as blocks of YAML; not
    those that a person has to complete.
    """
    blocks = {}
    for table, key, text in _SETTING.findall(fix):
        value = _loaded(text)
        if value is None or _PLACEHOLDER.search(text):
            continue
        # Apostrophes need no backslash where the block is shown as JSON.
        plainer = re.sub(r'"([^"\\\']*)"', r"'\1'", text)
        text = plainer if _loaded(plainer) == value else text
        lines = [f"    {key}:"]
        for piece in re.split(r"(?<=,) (?! )", text):  # where YAML reads a line's end as a space
            if len(lines[-1]) > _PASTED_WIDTH:
                lines.append("     ")
            lines[-1] += f" {piece}"
        blocks["\n".join(("tables:", f"  {table}:", *lines))] = True
    return list(blocks)


def _loaded(text: str) -> tuple[Any] | None:
    """The value that `text` is as YAML; None where it is none."""
    try:
        return (YAML(typ="safe", pure=True).load(text),)
    except YAMLError:
        return None


def build(
    code: str,
    *,
    table: str | None = None,
    file: str | None = None,
    column: str | None = None,
    count: int = 1,
    examples: list[Example] | None = None,
    severities: Mapping[str, Severity] | None = None,
    confidence: Confidence = "certain",
    **values: Any,
) -> Finding:
    """The finding of rule `code`, its sentences filled from `values` and from table, file, column
    and count.

    `severities` is the config's `rules`. Raises `KeyError` for an unknown code or a value its
    template lacks: a mistake of ours.
    """
    rule = RULES[code]
    numbered = {name: one if count == 1 else many for name, (one, many) in NUMBERED.items()}
    known = (
        {"table": table, "file": file, "column": column, "count": f"{count:,}"} | numbered | values
    )
    shown = list(examples or [])[:MAX_EXAMPLES]
    fix = rule.fix.format(**known)
    return Finding(
        code=code,
        severity=(severities or {}).get(code, rule.severity),
        title=rule.title,
        table=table,
        file=file or (shown[0].file if shown and len({e.file for e in shown}) == 1 else None),
        column=column,
        count=count,
        examples=shown,
        message=rule.message.format(**known),
        fix=fix,
        confidence=confidence,
        settings=settings_of(fix),
    )
