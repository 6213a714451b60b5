"""The commands about one dataset, from a folder of tables to what is published.

Belongs here: their options, calls and what is printed around a report. Does not: any work; what
does it is imported when a command needs it.
"""

from __future__ import annotations

import dataclasses
import os
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args
from uuid import uuid4

import typer

from syndb_pipeline.base.errors import ConfigError, Exit, PipelineError
from syndb_pipeline.cli import terminal
from syndb_pipeline.cli.terminal import AsJson, Settings

if TYPE_CHECKING:
    from syndb_pipeline.publishing.plan import Plan
    from syndb_pipeline.publishing.records import How
    from syndb_pipeline.state.stage import Context
    from syndb_pipeline.state.store import VerdictRecord

_WIDTH: Final = 80

StageName = Literal[
    "ingest", "validate", "assign_ids", "join_relations", "check_integrity", "package"
]
_ANSWERS: Final = ("approve", "reject")
"""The commands that answer a held plan."""

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="The dataset's YAML, or its name.")]
Approve = Annotated[
    str | None,
    typer.Option(
        "--approve",
        metavar="DIGEST",
        help="Digest of the plan, in full or its first 12 characters.",
    ),
]


def _file(name: str, holds: str) -> Any:
    """The option `name` for a file to write."""
    return typer.Option(name, metavar="FILE", help=holds)


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the lab's tables.")],
    out: Annotated[
        Path | None, _file("--out", "Where to write it; FOLDER/dataset.yaml when left out.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there.")
    ] = False,
    from_dataset: Annotated[
        str | None,
        typer.Option(
            "--from-dataset", metavar="ID", help="Select this dataset, with its metadata."
        ),
    ] = None,
    destination: Annotated[
        str | None, typer.Option("--destination", metavar="NAME", help="Where that dataset is.")
    ] = None,
    settings: Settings = None,
) -> None:
    """Look at a folder of tables and write a first config."""
    from syndb_pipeline.cli.select import known_dataset
    from syndb_pipeline.scaffold import init as scaffold

    known = known_dataset(from_dataset, destination, settings) if from_dataset else None
    out = out or folder / "dataset.yaml"
    typer.echo(str(scaffold(folder, out, overwrite=overwrite, known=known)))


def check(
    config: Config,
    settings: Settings = None,
    as_json: AsJson = False,
    form: Annotated[
        Literal["text", "github"],
        typer.Option("--format", help="github: the report, and annotations for a pull request."),
    ] = "text",
) -> None:
    """Read, check and relate the tables; say what is wrong and where. Nothing is sent."""
    if form == "text":
        terminal.check(config, settings, as_json)
    elif as_json:
        raise ConfigError(
            "--json and --format github are two forms of output.",
            next_step="Give one; as JSON afterwards: syndb-pipeline report CONFIG --json FILE",
        )
    else:
        with _annotated(config) as judged:
            terminal.check(config, settings, as_json, judged)


@contextmanager
def _annotated(config: Path) -> Iterator[Callable[[Context, VerdictRecord], None]]:
    """Print annotations of GitHub below what the block prints: those of the verdict that it hands
    over, or of the error it ends with.

    What the block prints may hold values of the lab's files, so GitHub is to look for no commands
    in it.
    """
    from syndb_pipeline.report.terminal import annotation, workflow_commands

    root = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd())
    token, lines = uuid4().hex, list[str]()
    typer.echo(f"::stop-commands::{token}")
    try:
        yield lambda context, record: lines.extend(
            workflow_commands(record.findings, context.config.path, root)
        )
    except PipelineError as error:
        lines.append(annotation("error", "syndb-pipeline check", str(error), config, root))
        raise
    finally:
        typer.echo("\n".join((f"::{token}::", *lines)))


def report(
    config: Config,
    settings: Settings = None,
    html: Annotated[Path | None, _file("--html", "One page for people; needs no network.")] = None,
    csv: Annotated[Path | None, _file("--csv", "Every failing cell, a line each.")] = None,
    as_json: Annotated[
        Path | None, _file("--json", "The object that --json prints, and more.")
    ] = None,
    fixes: Annotated[
        Path | None, _file("--fixes", "Failing rows as a workbook to correct.")
    ] = None,
    quarantine: Annotated[
        Path | None, _file("--quarantine", "Quarantined rows, with reasons, as CSV.")
    ] = None,
) -> None:
    """Write what the checks found as files. Nothing is run; without options, the HTML page beside
    the stages.
    """
    from syndb_pipeline.report.exports import Wanted, write_files

    context = terminal.open_context(config, settings)
    with context.store.lock():
        for path in write_files(context, Wanted(html, csv, as_json, fixes, quarantine)):
            typer.echo(str(path))


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
    context, shown = terminal.open_context(path, settings), terminal.here(path)
    with context.store.lock():
        applied = apply(context, book)
    if not as_json:
        counts = (
            f"{counted(applied.cells, 'cell')} corrected in"
            f" {counted(applied.rows_corrected, 'row')}, {counted(applied.rows_removed, 'row')}"
            f" removed, {applied.rows_untouched:,} left as they were"
        )
        lines = [f"APPLIED: {counts}", *(f"  wrote  {name}" for name in applied.files)]
        lines.append(f"  config {terminal.here(Path(applied.config))}")
        for note in applied.notes:
            lines += textwrap.wrap(f"  note   {note}", _WIDTH, subsequent_indent=" " * 9)
        typer.echo("\n".join(lines))
    content = dataclasses.asdict(applied)
    if check:
        terminal.check(shown, settings, as_json, applied=content)
    elif as_json:
        terminal.print_json(None, applied=content)
    else:
        typer.echo(f"Next: syndb-pipeline check {shown}")


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def explain(
    code: Annotated[
        str | None, typer.Argument(metavar="CODE", help="e.g. SYN-ID-002; or licence, terms.")
    ] = None,
) -> None:
    """Say what a finding means, why SynDB cares and what to do; without CODE, list all codes."""
    from syndb_pipeline.report.terminal import explain as print_page

    print_page(terminal.console(), code)


def prepare(
    config: Config,
    settings: Settings = None,
    first: Annotated[
        StageName, typer.Option("--from", metavar="STAGE", help="The first that runs.")
    ] = "ingest",
    last: Annotated[
        StageName, typer.Option("--until", metavar="STAGE", help="The last that runs.")
    ] = "package",
    as_json: AsJson = False,
) -> None:
    """Run the stages from the files to the package, or some of them. What is unchanged is left.

    The stages are ingest, validate, assign_ids, join_relations,
    check_integrity and package. Those before --from are left as they are, even
    where the lab's files have changed since.
    """
    context, order = terminal.open_context(config, settings), get_args(StageName)
    with context.store.lock():
        records = terminal.run_stages(context, last, first)
    if not records:
        raise ConfigError(
            f"{first} comes after {last}, so nothing was run.",
            next_step=f"Their order is: {', '.join(order)}",
        )
    record = context.verdict if records[-1].stage == "package" else records[-1]
    following = f"syndb-pipeline plan {config}"
    if rejected := getattr(record.details, "verdict", "") == "rejected":
        following = terminal.correct(config)
    elif record is records[-1]:
        following = f"syndb-pipeline stage {order[order.index(record.stage) + 1]} {config}"
    terminal.report(context, record, as_json, following, digest=record.digest, stage=record.stage)
    if rejected:
        raise typer.Exit(Exit.REJECTED)


def stage(
    name: Annotated[
        StageName, typer.Argument(metavar="STAGE", help="Its name; they are in prepare --help.")
    ],
    config: Config,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Run one stage on what the stage before it left, and say what it found."""
    prepare(config, settings, name, name, as_json)


def plan(config: Config, settings: Settings = None, as_json: AsJson = False) -> None:
    """Prepare the package and show exactly what would be sent where, with its digest."""
    context = terminal.open_context(config, settings)
    verdict, current = terminal.prepared(context, as_json=as_json)
    if as_json:
        terminal.print_json(verdict, digest=current.digest, plan=current.model_dump(mode="json"))
    else:
        from syndb_pipeline.publishing.plan_text import describe

        following = f"publish {config}"
        if current.compared.reasons and context.config.publish.approval == "standing":
            answers = (f"{answer} {config} {current.digest[:12]}" for answer in _ANSWERS)
            following = "\n  or: syndb-pipeline ".join(answers)
        typer.echo(f"{describe(current)}\nNext: syndb-pipeline {following}")


def approve(
    config: Config,
    digest: Annotated[str, typer.Argument(help="The plan's digest, as `plan` printed it.")],
    settings: Settings = None,
) -> None:
    """Approve the plan of this digest, so that it may be published later or in the UI."""
    from syndb_pipeline.base.system import user
    from syndb_pipeline.publishing.plan import approve as approve_digest
    from syndb_pipeline.publishing.plan import plan as planned

    context = terminal.open_context(config, settings)
    person = user()
    approval = approve_digest(context, planned(context), digest, person, "option")
    typer.echo(
        f"Approved plan {approval.digest[:12]} of {context.config.dataset.label}.\nNext:"
        f" syndb-pipeline publish {config}"
    )


def reject(
    config: Config,
    digest: Annotated[
        str | None,
        typer.Argument(help="The plan's digest; the held plan when left out."),
    ] = None,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why, for whoever reads it later.")
    ] = "",
    settings: Settings = None,
) -> None:
    """Keep a held plan from being sent, until its content changes or somebody approves it."""
    from syndb_pipeline.base.system import user
    from syndb_pipeline.publishing.holds import reject as keep

    context = terminal.open_context(config, settings)
    held = keep(context, digest, user(), "option", reason)
    typer.echo(
        f"Rejected plan {held.plan[:12]} of {context.config.dataset.label}; it is not sent.\nNext:"
        f" correct the tables, then: syndb-pipeline plan {config}"
    )


def publish(
    config: Config,
    settings: Settings = None,
    approve: Approve = None,
    outcome: Annotated[
        Literal["arrived", "lost"] | None,
        typer.Option(
            "--outcome",
            help="Your word on an upload whose outcome is unknown: it is there, or it is not.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send the prepared and approved plan, read back what arrived, and write the receipt."""
    from syndb_pipeline.publishing import plan as planning
    from syndb_pipeline.publishing.publish import publish as send

    context = terminal.open_context(config, settings)
    with terminal.notified(context.settings):
        planning.refuse_changes(context, approve)
        verdict, current = terminal.prepared(context, as_json=as_json)
        how: How = "option" if approve else "prompt"
        approve = approve or terminal.ask_approval(context, current)
        with terminal.progress() as watch:
            receipt = send(context, approve, terminal.say, how=how, watch=watch, outcome=outcome)
        if as_json:
            terminal.print_json(verdict, digest=current.digest, receipt=receipt)
        else:
            terminal.print_receipt(context)


def run(
    config: Config,
    settings: Settings = None,
    approve: Approve = None,
    publish: Annotated[
        bool, typer.Option("--publish/--no-publish", help="Whether to publish once prepared.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Do everything, as a Dagster run that the UI shows: prepare, and publish what is approved."""
    from syndb_pipeline.report.html import default_path

    context = terminal.open_context(config, settings)
    with terminal.notified(context.settings):
        launch = terminal.launcher()

        def launched(publish: bool, approve: str | None, how: How = "option") -> Any:
            with terminal.progress() as watch:
                return launch(
                    context.config.path,
                    settings,
                    publish=publish,
                    approve=approve,
                    how=how,
                    say=terminal.say,
                    watch=watch,
                )

        unattended = approve is not None or context.config.publish.approval == "standing"
        result = launched(publish and unattended, approve)
        record = context.store.verdict
        if "check_integrity" not in result.records and result.exit is not Exit.REJECTED:
            record = None  # it is of an earlier run
        plan_now: Plan | None = None
        if result.succeeded and publish and not unattended:
            _, plan_now = terminal.prepared(context, say=lambda line: None)
            # None where an approval is kept already; without one the run ends with exit 4 and says
            # how to approve.
            result = launched(True, terminal.ask_approval(context, plan_now), "prompt")
        receipt = result.receipt
        if as_json:
            terminal.print_json(
                record,
                exit_code=result.exit,
                digest=receipt.plan if receipt else (plan_now.digest if plan_now else None),
                receipt=receipt,
                run_id=result.run_id,
                ui=result.ui_command,
                error=None if result.succeeded else result.message,
            )
            raise typer.Exit(result.exit)
        rejected = result.exit is Exit.REJECTED
        if record is not None:
            html = default_path(context) if "check_integrity" in result.records else None
            following = f"correct the tables, then: syndb-pipeline run {config}" if rejected else ""
            terminal.report(context, record, False, following, html=html)
        if result.succeeded:
            terminal.print_work(context)
        elif not rejected:
            terminal.note(result.message)
        if receipt:
            terminal.print_receipt(context)
        typer.echo(f"See this run in the Dagster UI: {terminal.callable_here(result.ui_command)}")
        raise typer.Exit(result.exit)
