"""A small dataset that is wrong in one way, written to disk and taken through the real stages.

Belongs here: writing its files, running them, and showing them in Markdown as a rule's page does.
Does not: which mistakes there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from textwrap import fill, wrap
from typing import Any

import polars as pl
import yaml

from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.report.terminal import describe
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import Record
from tests.lab import context_for, run_stages
from tests.lab_files import Cell, Formula, workbook

PAGE_WIDTH = 76


@dataclass(frozen=True)
class Workbook:
    """Sheets by name, each a list of rows. A number stays a number, as it would when a person types
    it; `merged` are ranges of cells.
    """

    sheets: Mapping[str, Sequence[Sequence[Cell]]]
    merged: tuple[str, ...] = ()

    @property
    def content(self) -> bytes:
        return workbook(self.sheets, self.merged)


Content = str | bytes | Workbook | pl.DataFrame


@dataclass(frozen=True)
class WrongInput:
    """A dataset that breaks rule `code`: its files by name, and what the config says of each table.

    Without `tables`, each file that is called as a table holds it. `count` and `first` are those of its finding; `first` is the first place as findings print it,
    or the file or table and the column where a finding has no places. `also` are the codes of all
    other findings of the run. `lead` opens the example on the rule's page, and `fixed_by` tells
    which config of the page's cures, counted from 1, makes the finding go away; 0 when none does.
    """

    code: str
    lead: str
    files: Mapping[str, Content]
    first: str
    count: int = 1
    tables: Mapping[str, str | Mapping[str, Any]] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    unseen: frozenset[str] = frozenset()  # files that the page does not show
    fixed_by: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)  # further keys of the YAML
    data_folders: tuple[str, ...] | None = None  # of pipeline.yaml

    def context(self, folder: Path, cure: Mapping[str, Any] | None = None) -> Context:
        """Write the dataset into `folder`. `cure` is pasted into the config before."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                path.write_text(content, encoding="utf-8")
            elif isinstance(content, bytes):
                path.write_bytes(content)
            elif isinstance(content, Workbook):
                path.write_bytes(content.content)
            else:
                content.write_parquet(path)
        called = {Path(file).stem: file for file in self.files if "/" not in file}
        named = self.tables or {table: file for table, file in called.items() if table in TABLES}
        tables = {
            name: {"file": table} if isinstance(table, str) else dict(table)
            for name, table in named.items()
        }
        for name, settings in (cure or {}).get("tables", {}).items():
            tables[name] = tables.get(name, {}) | settings
        context = context_for(folder, tables, **self.config)
        if self.data_folders is not None:
            allowed = {"data_folders": [Path(allowed) for allowed in self.data_folders]}
            context = replace(context, settings=context.settings.model_copy(update=allowed))
        return context

    def run(self, folder: Path, cure: Mapping[str, Any] | None = None) -> dict[str, Record]:
        """Write the dataset into `folder` and check it; the records by stage."""
        return run_stages(self.context(folder, cure))

    def example(self, finding: Finding) -> str:
        """The example of the rule's page: the files, what the config says beyond their names, and
        what the pipeline says, word by word.
        """
        parts = [fill(self.lead, PAGE_WIDTH)]
        parts += [
            f"`{name}`:\n\n{_shown(content)}"
            for name, content in self.files.items()
            if name not in self.unseen
        ]
        settings = {
            name: dict(table) for name, table in self.tables.items() if not isinstance(table, str)
        }
        shown = dict(self.config) | ({"tables": settings} if settings else {})
        if shown:
            parts.append(
                "The config:\n\n"
                + fenced("yaml", yaml.safe_dump(shown, sort_keys=False, allow_unicode=True))
            )
        if self.data_folders is not None:
            parts.append(
                "pipeline.yaml:\n\n"
                + fenced("yaml", yaml.safe_dump({"data_folders": list(self.data_folders)}))
            )
        parts.append("The pipeline says:\n\n" + fenced("text", _wrapped(describe(finding))))
        return "\n\n".join(parts)


def fenced(language: str, text: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"


def place_of(finding: Finding) -> str:
    """Where a finding leads first, in words: its first place, else its file or table, and
    column.
    """
    if finding.examples:
        return str(finding.examples[0])
    return (finding.file or finding.table or "") + (
        f", column {finding.column}" if finding.column is not None else ""
    )


def _wrapped(text: str) -> str:
    """`text` in lines of at most PAGE_WIDTH, what is broken off standing deeper than its line."""
    lines: list[str] = []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        broken = wrap(
            line,
            PAGE_WIDTH,
            subsequent_indent=indent + "   ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines += broken or [line]
    return "\n".join(lines)


def _shown(content: Content) -> str:
    if isinstance(content, Workbook):
        return "\n\n".join(
            f"Sheet {name}:\n\n{fenced('text', _grid(rows))}"
            for name, rows in content.sheets.items()
        )
    if isinstance(content, pl.DataFrame):
        types = [f"{name} ({str(kind).lower()})" for name, kind in content.schema.items()]
        return fenced(
            "text",
            _columns(
                [
                    types,
                    *(
                        ["" if cell is None else str(cell) for cell in row]
                        for row in content.rows()
                    ),
                ]
            ),
        )
    return fenced(
        "text", content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    )


def _grid(rows: Sequence[Sequence[Cell]]) -> str:
    """Rows of a sheet with the numbers and letters a spreadsheet shows beside them."""
    width = max(len(row) for row in rows)
    letters = ["", *(chr(ord("A") + column) for column in range(width))]
    return _columns(
        [
            letters,
            *(
                [str(number), *(_cell_text(cell) for cell in row)]
                for number, row in enumerate(rows, start=1)
            ),
        ]
    )


def _cell_text(cell: Cell) -> str:
    if isinstance(cell, Formula):
        return cell.result or cell.text
    if isinstance(cell, date):
        return f"{cell.day} {cell:%b %Y}"
    return "" if cell is None else str(cell)


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    return "\n".join(
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in rows
    )
