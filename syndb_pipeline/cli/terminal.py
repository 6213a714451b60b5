"""What commands share at a terminal: the context, progress and its bar, reports, the question for
approval.

Belongs here: talking to a person or a script. Does not: the commands or any work.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.filesize import pick_unit_and_suffix

from syndb_pipeline.base.errors import ApprovalError, Exit, PipelineError
from syndb_pipeline.base.escape_text import visible, visible_json
from syndb_pipeline.base.progress import Pace, Progress, Unit, Watch
from syndb_pipeline.base.system import interrupt_waits

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Drawn

    from syndb_pipeline.config.settings import PipelineSettings
    from syndb_pipeline.destinations.base import Destination
    from syndb_pipeline.publishing.plan import Plan
    from syndb_pipeline.publishing.records import Receipt
    from syndb_pipeline.state.stage import Context
    from syndb_pipeline.state.store import Record, VerdictRecord


# Options that many commands have
Settings = Annotated[
    Path | None,
    typer.Option(
        "--settings", metavar="FILE", help="pipeline.yaml; found by itself when left out."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]

_drawn: list[Bars] = []
"""What draws now, last: a line printed past it would go through the bar."""


def open_context(config: Path, settings: Path | None) -> Context:
    """The dataset of a config, or of a name that `status` lists."""
    from syndb_pipeline import api

    context = api.open_context(config, settings, say)
    _note_file(context.settings)
    return context


def open_settings(file: Path | None, *, near: Path | None = None) -> PipelineSettings:
    """`settings.load_settings`, which file that is being said where a person may expect another."""
    from syndb_pipeline.destinations import load_settings

    loaded = load_settings(file, near=near)
    _note_file(loaded)
    return loaded


def _note_file(settings: PipelineSettings) -> None:
    if settings.note is not None:
        note(settings.note)


def say(line: str) -> None:
    """Progress goes to standard error, so that standard output is the report alone."""
    if _drawn:
        _drawn[-1].say(f"  {visible(line)}")
    else:
        typer.echo(f"  {visible(line)}", err=True)


@contextmanager
def progress() -> Iterator[Watch | None]:
    """A bar at a terminal, below what `say` prints; None elsewhere, where `say` hears of progress
    in lines.
    """
    from rich.console import Console

    screen = Console(stderr=True)
    if not sys.stderr.isatty() or screen.is_dumb_terminal:
        yield None
        return
    drawn = Bars(screen)
    _drawn.append(drawn)
    try:
        yield drawn.watch
    finally:
        _drawn.pop()
        drawn.clear()


@contextmanager
def notified(settings: PipelineSettings) -> Iterator[None]:
    """Notify those whom pipeline.yaml names once the block has ended, however it did; not after
    Ctrl+C, when a person is there.
    """
    try:
        yield
    finally:
        if settings.notify and not isinstance(sys.exception(), KeyboardInterrupt):
            from syndb_pipeline.report.notify import notify

            try:
                for problem in notify(settings):
                    note(f"Not notified: {problem}")
            except Exception as error:  # noqa: BLE001 - what the command came to counts, whatever this does
                note(f"Not notified: {error}")


def note(message: str) -> None:
    typer.echo(visible(message), err=True)


def ask_person(question: str, **options: Any) -> str:
    """What a person types under `question`; `options` are those of `typer.prompt`. Ctrl+C ends the
    question at once.
    """
    interrupt_waits()
    return str(typer.prompt(question, **options))


def console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def run_stages(context: Context, last: str, first: str = "ingest") -> list[Record]:
    """`api.run_stages` with a bar."""
    from syndb_pipeline import api

    with progress() as watch:
        return api.run_stages(replace(context, watch=watch), last, first)


def prepared(
    context: Context,
    *,
    as_json: bool = False,
    say: Callable[[str], None] | None = None,
    destination: Destination | None = None,
) -> tuple[VerdictRecord, Plan]:
    """The verdict, and the plan for the config's destination or another one; stages that are not
    current run.

    Ends the command with exit code 3, after a report, when the verdict is "rejected".
    """
    context = replace(context, say=say or context.say)
    with context.store.lock():
        run_stages(context, "package")
        from syndb_pipeline.publishing.plan import plan as planned

        verdict = context.verdict
        if verdict.details.accepted:
            return verdict, planned(context, destination)
    report(context, verdict, as_json, correct(here(context.config.path)))
    raise typer.Exit(Exit.REJECTED)


def here(path: Path) -> Path:
    """`path` as seen from the working folder, where it is below that."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def correct(config: Path) -> str:
    return f"correct the tables, then: syndb-pipeline check {config}"


def check(
    config: Path,
    settings: Path | None,
    as_json: bool,
    judged: Callable[[Context, VerdictRecord], None] | None = None,
    **more: Any,
) -> None:
    """Run the checks and print their report, with `more` in its JSON. `judged` is called with the
    verdict. Ends the command with exit code 3 when the verdict is "rejected".
    """
    from syndb_pipeline.report.html import write_report

    context = open_context(config, settings)
    with context.store.lock():
        run_stages(context, "check_integrity")
        record = context.verdict
        html = write_report(context)
    accepted = record.details.accepted
    following = f"syndb-pipeline plan {config}" if accepted else correct(config)
    report(context, record, as_json, following, digest=record.digest, html=html, **more)
    if judged:
        judged(context, record)
    if not accepted:
        raise typer.Exit(Exit.REJECTED)


def ask_approval(context: Context, current: Plan) -> str | None:
    """What a person at the terminal types under the plan; None when no person is there, or approval
    is not needed.
    """
    from syndb_pipeline.publishing.plan_text import describe
    from syndb_pipeline.publishing.status import status as ask

    if context.config.publish.approval == "standing" or not (
        sys.stdin.isatty() and sys.stderr.isatty()
    ):
        return None
    found = ask(context)
    if found.approved or found.published:
        return None
    note(describe(current))
    typed = ask_person(
        "To publish, type the first 12 characters of the plan's digest",
        default="",
        show_default=False,
        err=True,
    )
    if not typed:
        raise ApprovalError(
            "Nothing was sent: the plan was not approved.",
            next_step=f"Later: syndb-pipeline publish {context.config.path}",
        )
    return typed


def report(
    context: Context,
    record: Record,
    as_json: bool,
    following: str,
    *,
    digest: str | None = None,
    html: Path | None = None,
    **more: Any,
) -> None:
    if as_json:
        shown: dict[str, Any] = ({"html": str(html)} if html else {}) | more
        print_json(record, digest=digest, **shown)
        return
    from syndb_pipeline.report.terminal import print_report
    from syndb_pipeline.state.results import relations_of

    print_report(
        console(),
        verdict=getattr(record.details, "verdict", record.stage),
        name=context.config.name,
        tables=record.tables,
        findings=record.findings,
        relations=relations_of(getattr(record.details, "relations", {})),
        next_step=following,
        html=html,
        config=here(context.config.path),
    )


def print_json(
    record: Record | None,
    *,
    digest: str | None = None,
    receipt: Receipt | None = None,
    exit_code: Exit | None = None,
    **more: Any,
) -> None:
    """Print the object of --json. Its `exit` is the command's exit code; when left out it follows
    from the verdict.
    """
    from syndb_pipeline.report.terminal import as_json
    from syndb_pipeline.state.results import relations_of

    verdict = getattr(record.details, "verdict", None) if record else None
    following = Exit.REJECTED if verdict == "rejected" else Exit.OK
    content = as_json(
        verdict=verdict,
        tables=record.tables if record else {},
        findings=record.findings if record else [],
        digest=digest,
        receipt=receipt.model_dump(mode="json") if receipt else None,
        exit=int(following if exit_code is None else exit_code),
        relations=(
            [each.as_json() for each in relations_of(getattr(record.details, "relations", {}))]
            if record
            else []
        ),
        **more,
    )
    typer.echo(visible_json(json.dumps(content, indent=1, ensure_ascii=False, default=str)))


def print_work(context: Context) -> None:
    """What each stage did, in a line."""
    ingest, record = context.ingested, context.verdict
    keys = context.assigned.details.tables.values()
    links = context.joined.details.links.values()
    resolved = [link.resolved for columns in links for link in columns.values()]
    rows = sum(rows.read for rows in ingest.tables.values())
    files = sum(name.startswith("file:") for name in ingest.inputs)
    typer.echo(
        f"  read      {rows:,} rows from {files} files\n"
        f"  assigned  {sum(table.rows - table.missing for table in keys):,} UUIDs\n"
        f"  related   {sum(resolved):,} references in {len(resolved)} columns\n"
        f"  checked   {record.details.verdict}, verdict recorded as {record.digest[:12]}"
    )


def callable_here(command: str) -> str:
    """`command` as this shell can call it: by its path where its environment is not
    active.
    """
    if shutil.which("syndb-pipeline"):
        return command
    return command.replace("syndb-pipeline", sys.argv[0], 1)


def print_receipt(context: Context) -> None:
    from syndb_pipeline.publishing.records import PublishRecords

    records = PublishRecords(context.store)
    receipt = records.receipt()
    assert receipt is not None
    read = all(table.found is not None for table in receipt.tables.values())
    how = "read back and compared" if read else "counted by the destination"
    tables = f"{len(receipt.tables)} table{'' if len(receipt.tables) == 1 else 's'}"
    aside = [f"  quarantined, not sent: {name} {each}" for name, each in receipt.set_aside.items()]
    lines = [
        f"PUBLISHED {receipt.label} to {receipt.destination} on {receipt.published:%Y-%m-%d %H:%M}"
        f" UTC, as {receipt.account or receipt.owner}",
        f"  {receipt.rows:,} rows in {tables}, {how}; {receipt.files:,} meshes and skeletons",
        *aside,
        f"  dataset  {receipt.dataset}",
        f"  plan     {receipt.plan}",
        f"  receipt  {records.receipt_path}",
        *textwrap.wrap(
            f"  speaks   {receipt.speaks}" if receipt.speaks else "",
            80,
            subsequent_indent=" " * 11,
        ),
    ]
    typer.echo("\n".join(lines))


def launcher(name: str = "dagster") -> Callable[..., Any]:
    """What runs the stages under an orchestrator: an entry point, because this package must not
    know any.
    """
    found = [
        point for point in entry_points(group="syndb_pipeline.launchers") if point.name == name
    ]
    if not found:
        raise PipelineError(
            "syndb-pipeline is not installed whole: its Dagster part is missing.",
            next_step="Install it again: pip install .",
        )
    launcher: Callable[..., Any] = found[0].load()
    return launcher


# Progress drawn as a bar, one at a time, with every other line above it

_DESCRIPTION: Final = 26
"""Characters kept for what is at work, so that the bar stays where it is from table to table."""

_LONGEST: Final = 38
"""Characters it may take at most: those of the longest names of a stage and of a table."""

_PATIENCE_SECONDS: Final = 0.5
"""What ends sooner gets no bar: it would only flicker."""

_DRAW_SECONDS: Final = 0.1
"""Seconds between two drawings at least: there may be thousands of events on small files."""


class Bars:
    """What draws progress at a terminal.

    There is a bar only while something is under way, and it leaves nothing behind.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._what = ""
        self._pace = Pace()
        self._bar: Drawn | None = None
        self._next = 0.0  # when the bar may be drawn again

    def watch(self, event: Progress) -> None:
        """Draw `event`. Its last takes the bar away."""
        if event.done >= event.total or event.what != self._what:
            self.clear()  # what broke off sends no last event
        if event.done >= event.total:
            return
        now = time.monotonic()
        if not self._what:
            self._what, self._pace, self._next = event.what, Pace(), now + _PATIENCE_SECONDS
        self._pace.hear(event)
        if now < self._next:
            return
        self._next = now + _DRAW_SECONDS
        if self._bar is None:
            self._bar = _bar(self._console)
            self._bar.add_task("", amount="", rate="", left="")
            self._bar.start()
        left = self._pace.left
        what = "package" if event.what.endswith(".tar") else event.what
        self._bar.update(
            self._bar.task_ids[0],
            description=f"{f'{what} {event.part}'.strip():<{_DESCRIPTION}}",
            completed=event.done,
            total=event.total,
            amount=_share(event),
            rate=_rate(self._pace.rate, event.unit),
            left="-:--:--" if left is None else str(timedelta(seconds=round(left))),
        )
        self._bar.refresh()

    def say(self, line: str) -> None:
        """Print `line` above the bar."""
        self._console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def clear(self) -> None:
        """Take the bar away."""
        self._what, bar = "", self._bar
        self._bar = None
        if bar is not None:
            bar.stop()


def _bar(console: Console) -> Drawn:
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Drawn
    from rich.table import Column

    described = TextColumn(
        "  {task.description}",
        markup=False,
        table_column=Column(no_wrap=True, max_width=_LONGEST),
    )
    figures = [
        TextColumn(
            f"{{task.fields[{field}]}}",
            justify="right",
            table_column=Column(min_width=width, no_wrap=True, justify="right"),
        )
        for field, width in (("amount", 16), ("rate", 9), ("left", 7))
    ]
    return Drawn(
        described,
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4, max_width=30)),
        *figures,
        console=console,
        transient=True,
        expand=True,
        auto_refresh=False,
        redirect_stdout=False,  # what is printed there may go to no terminal
    )


def _scaled(number: float, unit: Unit) -> tuple[int, str]:
    """The thousands in which `number` is shown, and their letter, e.g. `M` or `MB`."""
    scale, letter = pick_unit_and_suffix(int(number), ["", "k", "M", "G", "T"], 1000)
    return scale, f"{letter}B" if unit == "bytes" else letter


def _share(event: Progress) -> str:
    """Done and total in one unit, e.g. `4.5/23.9 M rows`."""
    if event.unit != "bytes" and event.total < 10_000:
        return f"{event.done:,}/{event.total:,} {event.unit}"
    scale, letter = _scaled(event.total, event.unit)
    # Rounded down: what is not done must not look as if it were.
    done, total = (
        str(number) if scale == 1 else f"{number * 10 // scale / 10:.1f}"
        for number in (event.done, event.total)
    )
    return f"{done}/{total} {letter}{'' if event.unit == 'bytes' else f' {event.unit}'}"


def _rate(rate: float | None, unit: Unit) -> str:
    if not rate:
        return ""
    scale, letter = _scaled(rate, unit)
    digits = 0 if rate >= 100 * scale or scale == 1 else 1
    return f"{rate / scale:.{digits}f} {letter}".rstrip() + "/s"
