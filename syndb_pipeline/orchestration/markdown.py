"""Small tables as Markdown, which Dagster's pages show in place while they are shorter than a
thousand characters.

Belongs here: setting cells so that they are shown as they are. Does not: which tables
(`metadata.py`, `previews.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

MAX_CELL = 40
"""Characters of a cell; the rest is cut off."""

_MARKUP = re.compile(r"[\\`*\[\]<>|~&:@]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown would not show as it is written, in a cell of a table; `_` between two letters it
does.
"""

_NUMBERS = re.compile(r"u?int\d*|float|double")


def markdown_table(
    columns: Sequence[tuple[str, str]],
    rows: Iterable[Mapping[str, Any]],
    *,
    longest: int = MAX_CELL,
) -> dg.MarkdownMetadataValue:
    """A table of `rows`; `columns` gives the name and type of each column. Numbers are aligned to
    the right; of a cell as many characters are shown as `longest` says.

    Dagster's own table has a schema that is kept with every run: ten times the bytes of such a
    table.
    """
    lines = [
        [escaped(name) for name, _ in columns],
        ["-:" if _NUMBERS.fullmatch(kind) else "-" for _, kind in columns],
    ]
    lines += [[_as_text(row[name], longest) for name, _ in columns] for row in rows]
    return dg.MetadataValue.md("\n".join(f"|{'|'.join(line)}|" for line in lines))


def _as_text(value: Any, longest: int) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    text = " ".join(str(value).splitlines())
    return escaped(text if len(text) <= longest else text[: longest - 1] + "…")


def escaped(text: str) -> str:
    """`text` as Markdown shows it as it is."""
    return _MARKUP.sub(r"\\\g<0>", text)
