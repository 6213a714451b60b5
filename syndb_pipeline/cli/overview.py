"""The commands that say how datasets are and what became of them.

Belongs here: their options, and their lines for a person. Does not: judging, which
`publishing/overview.py` does, or the history and differences themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from textwrap import TextWrapper
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from syndb_pipeline.base.errors import Exit
from syndb_pipeline.base.escape_text import visible, visible_json
from syndb_pipeline.cli import terminal
from syndb_pipeline.cli.dataset import Config
from syndb_pipeline.cli.terminal import AsJson, Settings

if TYPE_CHECKING:
    from syndb_pipeline.publishing.differences import Cell, Difference
    from syndb_pipeline.publishing.overview import Line, State

_WIDTH: Final = 80
_INDENT: Final = " " * 13
_LINES: Final = 8
"""Of a reason as many as are shown among many datasets."""

_EXITS: Final[dict[State, Exit]] = {
    "unusable": Exit.USAGE,
    "unknown": Exit.UNKNOWN,
    "failed": Exit.REFUSED,
    "held": Exit.APPROVAL,
    "rejected": Exit.REJECTED,
    "late": Exit.REFUSED,
    "unpublished": Exit.APPROVAL,
}


def status(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="DATASET", help="Its YAML, or its name; all when left out."),
    ] = None,
    settings: Settings = None,
    as_json: AsJson = False,
    check: Annotated[
        bool, typer.Option("--check", help="End with a code other than 0 if a dataset needs you.")
    ] = False,
) -> None:
    """How every dataset is, in a line each; or one: its stages, plan, approval and receipt.

    Of all datasets, records alone are read; those that need a person come
    first, with what to type. With --check: 2 unusable, 3 rejected, 4 waits
    for approval, 5 failed or late, 6 outcome unknown, of the first that it
    lists.
    """
    if config is not None:
        _status_of(config, settings, as_json)
        return
    from syndb_pipeline.publishing.overview import overview

    lines = overview(terminal.open_settings(settings))
    code = _EXITS.get(lines[0].state, Exit.OK) if check and lines else Exit.OK
    if as_json:
        _print_json(datasets=[line.model_dump(mode="json") for line in lines], exit=int(code))
    else:
        typer.echo(visible("\n".join(_overview(lines))))
    raise typer.Exit(code)


def _print_json(**content: Any) -> None:
    typer.echo(visible_json(json.dumps(content, indent=1, ensure_ascii=False, default=str)))


def _overview(lines: Sequence[Line]) -> Iterator[str]:
    from syndb_pipeline.publishing.overview import NEEDS_A_PERSON

    urgent = [line for line in lines if line.state in NEEDS_A_PERSON]
    others = [line for line in lines if line.state not in NEEDS_A_PERSON]
    if not lines:
        yield "No dataset is known yet.\nNext: syndb-pipeline init FOLDER"
    width = max((len(line.name) for line in lines), default=0)
    if urgent:
        yield f"{len(urgent)} of {len(lines)} datasets need{'s' * (len(urgent) == 1)} a person"
    for line in urgent:
        yield _head(line, width, f"since {_time(line.since)}" if line.since else "")
        yield from _indented(line)
    if others:
        yield f"{len(others)} of {len(lines)} in order"
    for line in others:
        yield _head(line, width, _time(line.last_success) if line.last_success else line.why)


def _head(line: Line, width: int, more: str) -> str:
    under_way = f", a run began {_time(line.running)}" if line.running else ""
    return f"{line.state:<12} {line.name:<{width}}  {more}{under_way}".rstrip()


def _indented(line: Line) -> Iterator[str]:
    reason = [
        part
        for paragraph in line.why.splitlines()
        for part in _wrapped(f"{_INDENT}{paragraph}", _INDENT)
    ]
    yield from reason[:_LINES]
    if len(reason) > _LINES:
        yield f"{_INDENT}... all of it: syndb-pipeline status --json"
    for step in line.next_step.splitlines():
        yield f"{_INDENT}{step}".replace(str(line.config), str(terminal.here(line.config)))
    if line.late and line.state != "late":
        yield f"{_INDENT}It is late too: its last success was {_time(line.last_success)}"


def _wrapped(line: str, indent: str) -> list[str]:
    # No digest, path or code is broken.
    return TextWrapper(_WIDTH, subsequent_indent=indent, break_on_hyphens=False).wrap(line)


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else "never"


def _status_of(config: Path, settings: Path | None, as_json: bool) -> None:
    from syndb_pipeline.cli.doctor import impatient
    from syndb_pipeline.destinations import open_destination
    from syndb_pipeline.publishing.status import status as ask

    context = terminal.open_context(config, settings)
    destination = context.config.publish.destination
    node = open_destination(impatient(context.settings), destination, terminal.say)
    found = ask(context, node)
    if as_json:
        terminal.print_json(
            context.store.verdict,
            digest=found.digest,
            receipt=found.receipt,
            exit_code=Exit.OK,
            status=found.model_dump(mode="json"),
        )
        return
    sent = f"{found.published:%Y-%m-%d %H:%M} UTC" if found.published else "not this plan"
    rows = {
        "verdict": found.verdict or "none yet",
        "plan": found.digest or found.obstacle or "none",
        "quarantined": "; ".join(f"{name} {each}" for name, each in found.set_aside.items()),
        "approved": "yes" if found.approved else "no",
        "held": found.hold.answered if found.hold else "",
        "published": sent,
        "destination": destination + (f", not asked: {found.unasked}" if found.unasked else ""),
    }
    lines = [f"{found.label} ({found.dataset})"]
    for link in found.stages:
        lines += [f"  {link.stage:<16} {link.state}", *(f"      {each}" for each in link.changes)]
    lines += [f"  {label:<16} {value}" for label, value in rows.items() if value]
    terminal.console().print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def history(config: Config, settings: Settings = None, as_json: AsJson = False) -> None:
    """What became of a dataset: each publication, approval, rejection, failure, deletion.

    An end that repeats the one before is in there once, with its first time.
    """
    from syndb_pipeline.publishing.history import history as events_of

    context = terminal.open_context(config, settings)
    events = events_of(context.store)
    if as_json:
        _print_json(events=[event.model_dump(mode="json") for event in events], exit=0)
        return
    if not events:
        typer.echo(f"Nothing became of {context.config.name} yet.")
    for event in events:
        rows = "" if event.rows is None else f"{event.rows:,} rows"
        facts = [event.by, rows, event.plan[:12]]
        text = ", ".join(filter(None, facts)) + (": " if any(facts) and event.why else "")
        head = f"{_time(event.at)}  {event.what:<11}"
        lines = _wrapped(f"{head} {text}{event.why}", _INDENT)
        typer.echo(visible("\n".join(lines)))


def diff(
    config: Config,
    before: Annotated[
        str | None,
        typer.Argument(metavar="A", help="Digest of a publication; the last when left out."),
    ] = None,
    after: Annotated[
        str, typer.Argument(metavar="B", help="The same; what is packed now when left out.")
    ] = "now",
    settings: Settings = None,
    rows: Annotated[int, typer.Option(min=0, help="How many rows of each table to show.")] = 10,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FOLDER", help="All of them, a file for each table."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Rows added, changed and withdrawn between two publications, by the keys that you gave.

    Without A and B: from the last publication to what is packed now.
    """
    from syndb_pipeline.publishing.differences import difference
    from syndb_pipeline.report.exports import write_differences

    context = terminal.open_context(config, settings)
    export = partial(write_differences, csv) if csv else None
    found = difference(context, before, after, rows=rows, export=export)
    if as_json:
        _print_json(difference=found.model_dump(mode="json"), exit=0)
    else:
        typer.echo(visible("\n".join(_difference(found, csv))))


def _difference(found: Difference, csv: Path | None) -> Iterator[str]:
    was, now = found.before, found.after
    made = "what was packed" if now.plan == "now" else f"the publication {now.plan[:12]} of"
    yield f"From the publication {was.plan[:12]} of {_time(was.at)}"
    yield f"to {made} {_time(now.at)}"
    changed = {name: each for name, each in found.tables.items() if str(each.changes)}
    if not changed:
        yield "  no row differs"
    marks = {"added": "+", "changed": "~", "withdrawn": "-"}
    for name, table in changed.items():
        yield f"{name}: {table.changes}"
        for row in table.rows:
            cells = "; ".join(f"{each.column} {_cell(each)}" for each in row.cells)
            line = f"  {marks[row.change]} {row.key}  {cells}".rstrip()
            yield from _wrapped(line, "      ")
        more = sum(dict(table.changes).values()) - len(table.rows)
        if more:
            yield f"  and {more:,} more" + ("" if csv else "; all of them: --csv FOLDER")
    if csv:
        yield f"All rows are in {terminal.here(csv)}"


def _cell(cell: Cell) -> str:
    return " -> ".join("no value" if each is None else each for each in (cell.was, cell.now))
