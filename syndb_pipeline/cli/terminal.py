"""What commands share at a terminal: the context, progress, reports, the question for approval, and
how errors end.

Belongs here: talking to a person or a script. Does not: the commands (`cli.py`) or any work.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syndb_pipeline.base.errors import (
    ApprovalError,
    ConfigError,
    Exit,
    PipelineError,
    of_the_machine,
)
from syndb_pipeline.base.escape_text import visible, visible_json
from syndb_pipeline.base.progress import Watch
from syndb_pipeline.cli.bars import Bars, bars

if TYPE_CHECKING:
    from rich.console import Console

    from syndb_pipeline.config.settings import PipelineSettings
    from syndb_pipeline.publishing.plan import Plan
    from syndb_pipeline.publishing.records import Receipt
    from syndb_pipeline.state.stage import Context
    from syndb_pipeline.state.store import VerdictRecord


# Options that many commands have
Settings = Annotated[
    Path | None,
    typer.Option(
        "--settings", metavar="FILE", help="pipeline.yaml; found by itself when left out."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]

_drawn: list[Bars | None] = [None]
"""What draws now, last: a line printed past it would go through the bar."""


def open_context(config: Path, settings: Path | None) -> Context:
    from syndb_pipeline.config.settings import load_dataset
    from syndb_pipeline.state.stage import Context

    dataset = load_dataset(config)
    return Context(dataset, open_settings(settings, near=dataset.folder), say)


def open_settings(file: Path | None, *, near: Path | None = None) -> PipelineSettings:
    """`settings.load_settings`, which file that is being said where a person may expect another."""
    from syndb_pipeline.destinations import load_settings

    loaded = load_settings(file, near=near)
    if loaded.note is not None:
        note(loaded.note)
    return loaded


def say(line: str) -> None:
    """Progress goes to standard error, so that standard output is the report alone."""
    if drawn := _drawn[-1]:
        drawn.say(f"  {visible(line)}")
    else:
        typer.echo(f"  {visible(line)}", err=True)


@contextmanager
def progress() -> Iterator[Watch | None]:
    """A bar at a terminal, below what `say` prints; None elsewhere, where `say` hears of progress
    in lines.
    """
    with bars() as drawn:
        _drawn.append(drawn)
        try:
            yield drawn.watch if drawn else None
        finally:
            _drawn.pop()


def note(message: str) -> None:
    typer.echo(visible(message), err=True)


def ask_person(question: str, **options: Any) -> str:
    """What a person types under `question`; `options` are those of `typer.prompt`. Ctrl+C ends the
    question at once.
    """
    # polars, once imported, lets a read go on after Ctrl+C, so that nothing would happen before the
    # next Enter.
    signal.siginterrupt(signal.SIGINT, True)
    return str(typer.prompt(question, **options))


def console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def run_through(
    context: Context, last: str, *, locked: Callable[[], AbstractContextManager[None]] | None = None
) -> None:
    from syndb_pipeline.stages.runner import run_through

    with (locked or context.store.lock)(), progress() as watch:
        context = replace(context, watch=watch)
        for _ in run_through(context, last):
            pass


def prepared(
    context: Context, *, as_json: bool = False, say: Callable[[str], None] | None = None
) -> tuple[VerdictRecord, Plan]:
    """The verdict and the plan; stages that are not current run.

    Ends the command with exit code 3, after a report, when the verdict is "rejected".
    """
    from syndb_pipeline.publishing.plan import plan as planned

    context = replace(context, say=say or context.say)
    with context.store.lock():
        run_through(context, "package", locked=nullcontext)
        verdict = context.verdict
        if verdict.details.accepted:
            return verdict, planned(context)
    report(context, verdict, as_json, _correct(here(context.config.path)))
    raise typer.Exit(Exit.REJECTED)


def here(path: Path) -> Path:
    """`path` as seen from the working folder, where it is below that."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _correct(config: Path) -> str:
    return f"correct the tables, then: syndb-pipeline check {config}"


def check(config: Path, settings: Path | None, as_json: bool, **more: Any) -> None:
    """Run the checks and print their report, with `more` in its JSON. Ends the command with exit
    code 3 when the verdict is "rejected".
    """
    from syndb_pipeline.report.html import write_report

    context = open_context(config, settings)
    with context.store.lock():
        run_through(context, "check_integrity", locked=nullcontext)
        record = context.verdict
        html = write_report(context)
    accepted = record.details.accepted
    following = f"syndb-pipeline plan {config}" if accepted else _correct(config)
    report(context, record, as_json, following, digest=record.digest, html=html, **more)
    if not accepted:
        raise typer.Exit(Exit.REJECTED)


def refuse_changes(context: Context, approve: str | None) -> None:
    """Raise `ApprovalError` when a byte of what a person approved has changed since: preparing it
    again would hide that.
    """
    from syndb_pipeline.publishing.plan import plan as planned
    from syndb_pipeline.publishing.records import PublishRecords

    by_a_person = approve or (
        context.config.publish.approval == "manual" and PublishRecords(context.store).approvals()
    )
    if by_a_person and context.store.record("package") is not None:
        planned(context)


def ask_approval(context: Context, current: Plan) -> str | None:
    """What a person at the terminal types under the plan; None when no person is there, or approval
    is not needed.
    """
    from syndb_pipeline.publishing.plan import describe
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
    record: VerdictRecord,
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
        verdict=record.details.verdict,
        name=context.config.name,
        tables=record.tables,
        findings=record.findings,
        relations=relations_of(record.details.relations),
        next_step=following,
        html=html,
        config=here(context.config.path),
    )


def print_json(
    record: VerdictRecord | None,
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

    verdict = record.details.verdict if record else None
    following = Exit.REJECTED if verdict == "rejected" else Exit.OK
    content = as_json(
        verdict=verdict,
        tables=record.tables if record else {},
        findings=record.findings if record else [],
        digest=digest,
        receipt=receipt.model_dump(mode="json") if receipt else None,
        exit=int(following if exit_code is None else exit_code),
        relations=(
            [each.as_json() for each in relations_of(record.details.relations)] if record else []
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
    files = sum(name.startswith("file:") for name in ingest.inputs)
    typer.echo(
        f"  read      {sum(rows.read for rows in ingest.tables.values()):,} rows from {files} files"
    )
    typer.echo(f"  assigned  {sum(table.rows - table.missing for table in keys):,} UUIDs")
    typer.echo(f"  related   {sum(resolved):,} references in {len(resolved)} columns")
    typer.echo(f"  checked   {record.details.verdict}, verdict recorded as {record.digest[:12]}")


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
    account = receipt.account or receipt.owner
    typer.echo(
        f"PUBLISHED {receipt.label} to {receipt.destination} on {receipt.published:%Y-%m-%d %H:%M}"
        f" UTC, as {account}"
    )
    read = all(table.found is not None for table in receipt.tables.values())
    how = "read back and compared" if read else "counted by the destination"
    tables = f"{len(receipt.tables)} table{'' if len(receipt.tables) == 1 else 's'}"
    typer.echo(
        f"  {receipt.rows:,} rows in {tables}, {how}; {receipt.files:,} meshes and skeletons"
    )
    for name, aside in receipt.set_aside.items():
        typer.echo(f"  quarantined, not sent: {name} {aside}")
    typer.echo(
        f"  dataset  {receipt.dataset}\n  plan     {receipt.plan}\n  receipt "
        f" {records.receipt_path}"
    )


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


def _wants_json() -> bool:
    return "--json" in sys.argv[1:] and sys.argv[1:2] != ["report"]  # there it names a file


def fail(error: PipelineError) -> int:
    if _wants_json():
        content: dict[str, Any] = {
            "verdict": None,
            "tables": {},
            "findings": [],
            "digest": None,
            "receipt": None,
            "error": str(error),
            "exit": int(error.exit),
        }
        typer.echo(visible_json(json.dumps(content, indent=1, ensure_ascii=False)))
    note(str(error))
    return int(error.exit)


def wrong_usage(error: typer.TyperException) -> int:
    """An unknown command, or an option or argument that is wrong. Its message is empty when help
    was printed instead.
    """
    if not error.format_message():
        return Exit.USAGE
    place = getattr(error, "ctx", None)
    return fail(
        ConfigError(
            error.format_message(),
            next_step=f"See: {place.command_path if place else 'syndb-pipeline'} --help",
        )
    )


def unexpected(error: Exception) -> int:
    """A mistake of ours, or of the machine, in one message."""
    if (known := of_the_machine(error)) is not None:
        return fail(known)
    if os.environ.get("SYNDB_DEBUG"):
        traceback.print_exc()
    return fail(
        PipelineError(
            f"syndb-pipeline failed in a way it should not: {type(error).__name__}: {error}",
            next_step=(
                "Please report it, with what SYNDB_DEBUG=1 prints. Nothing is half done: the same"
                " command may be given again."
            ),
        )
    )
