"""The command `apply-fixes`: take a corrected workbook back, and check again.

Belongs here: its options and what it prints. Does not: the work (`apply.py`), the report
(`findings/`).
"""

from __future__ import annotations

import dataclasses
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.cli import terminal
from syndb_pipeline.cli.terminal import AsJson, Settings

if TYPE_CHECKING:
    from syndb_pipeline.corrections.apply import Applied

WIDTH: Final = 80


def apply_fixes(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The workbook that `report --fixes` wrote, corrected."),
    ],
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="CONFIG", help="The dataset's YAML, where it is not where it was."
        ),
    ] = None,
    settings: Settings = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Whether to run the checks again.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Keep what you corrected in a workbook, and check the tables as corrected.

    Your corrections are written to corrections/TABLE.csv beside the dataset's
    YAML, or added to it; your files and the YAML stay as they are. Ends as
    `check` does; with 2 when the workbook cannot be applied, or nothing in it
    was changed.
    """
    from syndb_pipeline.corrections.apply import apply
    from syndb_pipeline.corrections.returned import opened

    book = opened(file)
    path = config or Path(book.record.config)
    if config is None and not path.is_file():
        raise ConfigError(
            f"{file} was made for {path}, which is not there.",
            next_step=(
                f"Say where the dataset's YAML is: syndb-pipeline apply-fixes {file} --config"
                " CONFIG"
            ),
        )
    context = terminal.open_context(path, settings)
    with context.store.lock():
        applied = apply(context, book)
    content = dataclasses.asdict(applied)
    if not as_json:
        _print(applied)
    if check:
        terminal.check(terminal.here(path), settings, as_json, applied=content)
    elif as_json:
        terminal.print_json(None, applied=content)
    else:
        typer.echo(f"Next: syndb-pipeline check {terminal.here(path)}")


def _print(applied: Applied) -> None:
    removed = f"{applied.rows_removed:,} row{'' if applied.rows_removed == 1 else 's'} removed"
    cells = f"{applied.cells:,} cell{'' if applied.cells == 1 else 's'}"
    rows = f"{applied.rows_corrected:,} row{'' if applied.rows_corrected == 1 else 's'}"
    typer.echo(
        f"APPLIED: {cells} corrected in {rows}, {removed}, {applied.rows_untouched:,} left as they"
        " were"
    )
    for name in applied.files:
        typer.echo(f"  wrote  {name}")
    typer.echo(f"  config {terminal.here(Path(applied.config))}")
    for note in applied.notes:
        typer.echo(
            textwrap.fill(note, WIDTH, initial_indent="  note   ", subsequent_indent="         ")
        )
