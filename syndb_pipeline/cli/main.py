"""The command line: parse, call, print, exit code.

Belongs here: commands, options and what is printed around a report. Does not: any work; what does
it is imported when a command needs it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer
from typer.core import TyperGroup

from syndb_pipeline import __version__
from syndb_pipeline.base.errors import ApprovalError, ConfigError, Exit, Interrupted, PipelineError
from syndb_pipeline.cli import connection, terminal
from syndb_pipeline.cli.corrections import apply_fixes
from syndb_pipeline.cli.terminal import AsJson, Settings

if TYPE_CHECKING:
    from syndb_pipeline.publishing.plan import Plan


class _Commands(TyperGroup):
    """Ctrl+C ends a command with a message; Typer by itself would say nothing."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted(
                "Interrupted.", next_step="Give the same command again to go on."
            ) from None


app = typer.Typer(
    cls=_Commands,
    name="syndb-pipeline",
    help=(
        "Bring a lab's tables of reconstructed neurons into SynDB: check, relate, package, publish."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="The dataset's YAML.")]
Approve = Annotated[
    str | None,
    typer.Option(
        "--approve",
        metavar="DIGEST",
        help="Digest of the plan, in full or its first 12 characters.",
    ),
]
Destination = Annotated[
    str | None,
    typer.Option("--destination", metavar="NAME", help="A destination of pipeline.yaml."),
]


def _file(name: str, holds: str) -> Any:
    """The option `name` for a file to write."""
    return typer.Option(name, metavar="FILE", help=holds)


PREPARE, PUBLISH, DESTINATIONS, AROUND = (
    "Prepare a dataset",
    "Publish it",
    "Where it goes",
    "Try things, and look around",
)
"""Headings of the overview; headings and commands are in the order in which a lab meets them."""


class Outcome(StrEnum):
    """What a person may say of an upload without an answer."""

    arrived = "arrived"
    lost = "lost"


@app.command(rich_help_panel=PREPARE)
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the lab's tables.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Where to write it; FOLDER/dataset.yaml when left out."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there.")
    ] = False,
) -> None:
    """Look at a folder of tables and write a first config."""
    from syndb_pipeline.scaffold import init as scaffold

    typer.echo(str(scaffold(folder, out or folder / "dataset.yaml", overwrite=overwrite)))


@app.command(rich_help_panel=PREPARE)
def check(config: Config, settings: Settings = None, as_json: AsJson = False) -> None:
    """Read, check and relate the tables; say what is wrong and where. Nothing is sent."""
    terminal.check(config, settings, as_json)


@app.command(rich_help_panel=PREPARE)
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
    from syndb_pipeline.report.report_files import Wanted, write_files

    context = terminal.open_context(config, settings)
    with context.store.lock():
        for path in write_files(context, Wanted(html, csv, as_json, fixes, quarantine)):
            typer.echo(str(path))


app.command(rich_help_panel=PREPARE)(apply_fixes)


@app.command(rich_help_panel=PREPARE)
def explain(
    code: Annotated[
        str | None, typer.Argument(metavar="CODE", help="A finding's code, e.g. SYN-ID-002.")
    ] = None,
) -> None:
    """Say what a finding means, why SynDB cares and what to do; without CODE, list all codes."""
    from syndb_pipeline.report.terminal import explain as print_page

    print_page(terminal.console(), code)


@app.command(rich_help_panel=PREPARE)
def plan(config: Config, settings: Settings = None, as_json: AsJson = False) -> None:
    """Prepare the package and show exactly what would be sent where, with its digest."""
    context = terminal.open_context(config, settings)
    verdict, current = terminal.prepared(context, as_json=as_json)
    if as_json:
        terminal.print_json(verdict, digest=current.digest, plan=current.model_dump(mode="json"))
    else:
        from syndb_pipeline.publishing.plan import describe

        typer.echo(describe(current))
        typer.echo(f"Next: syndb-pipeline publish {config}")


@app.command(rich_help_panel=PUBLISH)
def approve(
    config: Config,
    digest: Annotated[str, typer.Argument(help="The plan's digest, as `plan` printed it.")],
    settings: Settings = None,
) -> None:
    """Approve the plan of this digest, so that it may be published later or in the UI."""
    from syndb_pipeline.destinations.embedded.node import operating_system_user
    from syndb_pipeline.publishing.plan import approve as approve_digest

    context = terminal.open_context(config, settings)
    approval = approve_digest(context, digest, operating_system_user(), "option")
    typer.echo(
        f"Approved plan {approval.digest[:12]} of {context.config.dataset.label}.\nNext:"
        f" syndb-pipeline publish {config}"
    )


@app.command(rich_help_panel=PUBLISH)
def publish(
    config: Config,
    settings: Settings = None,
    approve: Approve = None,
    outcome: Annotated[
        Outcome | None,
        typer.Option(
            "--outcome",
            help="Your word on an upload whose outcome is unknown: it is there, or it is not.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send the prepared and approved plan, read back what arrived, and write the receipt."""
    from syndb_pipeline.publishing.publish import publish as send

    context = terminal.open_context(config, settings)
    terminal.refuse_changes(context, approve)
    verdict, current = terminal.prepared(context, as_json=as_json)
    approve = approve or terminal.ask_approval(context, current)
    with terminal.progress() as watch:
        receipt = send(
            context, approve, terminal.say, watch=watch, outcome=outcome.value if outcome else None
        )
    if as_json:
        terminal.print_json(verdict, digest=current.digest, receipt=receipt)
    else:
        terminal.print_receipt(context)


@app.command(rich_help_panel=PUBLISH)
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
    launch = terminal.launcher()
    unattended = approve is not None or context.config.publish.approval == "standing"
    with terminal.progress() as watch:
        result = launch(
            config,
            settings,
            publish=publish and unattended,
            approve=approve,
            say=terminal.say,
            watch=watch,
        )
    record = context.store.verdict
    judged = record is not None and (
        "check_integrity" in result.records or result.exit is Exit.REJECTED
    )
    plan_now: Plan | None = None
    if result.succeeded and publish and not unattended:
        _, plan_now = terminal.prepared(context, say=lambda line: None)
        # None where an approval is kept already; without one the run ends with exit 4 and says how
        # to approve.
        typed = terminal.ask_approval(context, plan_now)
        with terminal.progress() as watch:
            result = launch(
                config, settings, publish=True, approve=typed, say=terminal.say, watch=watch
            )
    if as_json:
        receipt = result.receipt
        terminal.print_json(
            record if judged else None,
            exit_code=result.exit,
            digest=receipt.plan if receipt else (plan_now.digest if plan_now else None),
            receipt=receipt,
            run_id=result.run_id,
            ui=result.ui_command,
            error=None if result.succeeded else result.message,
        )
    else:
        if judged and record is not None:
            rejected = result.exit is Exit.REJECTED
            html = default_path(context) if "check_integrity" in result.records else None
            following = f"correct the tables, then: syndb-pipeline run {config}" if rejected else ""
            terminal.report(context, record, False, following, html=html)
        if result.succeeded:
            terminal.print_work(context)
        if result.receipt:
            terminal.print_receipt(context)
        if not result.succeeded and result.exit is not Exit.REJECTED:
            terminal.note(result.message)
        typer.echo(f"See this run in the Dagster UI: {terminal.callable_here(result.ui_command)}")
    raise typer.Exit(result.exit)


@app.command(rich_help_panel=PUBLISH)
def status(config: Config, settings: Settings = None, as_json: AsJson = False) -> None:
    """How far the dataset is: each stage, the verdict, the plan, its approval and its receipt."""
    from syndb_pipeline.cli.doctor import impatient
    from syndb_pipeline.destinations import open_destination
    from syndb_pipeline.publishing.status import status as ask

    context = terminal.open_context(config, settings)
    found = ask(
        context,
        open_destination(
            impatient(context.settings), context.config.publish.destination, terminal.say
        ),
    )
    record = context.store.verdict
    if as_json:
        terminal.print_json(
            record,
            digest=found.digest,
            receipt=found.receipt,
            exit_code=Exit.OK,
            status=found.model_dump(mode="json"),
        )
        return
    aside = "; ".join(f"{name} {each}" for name, each in found.set_aside.items())
    unasked = f", not asked: {found.unasked}" if found.unasked else ""
    rows = {
        "verdict": found.verdict or "none yet",
        "plan": found.digest or found.obstacle or "none",
        **({"quarantined": aside} if aside else {}),
        "approved": "yes" if found.approved else "no",
        "published": f"{found.published:%Y-%m-%d %H:%M} UTC"
        if found.published
        else "not this plan",
        "destination": f"{context.config.publish.destination}{unasked}",
    }
    lines = [f"{found.label} ({found.dataset})"]
    for link in found.stages:
        lines += [f"  {link.stage:<16} {link.state}", *(f"      {each}" for each in link.changes)]
    lines += [f"  {label:<16} {value}" for label, value in rows.items()]
    terminal.console().print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


for _command in (connection.login, connection.logout, connection.whoami, connection.doctor):
    app.command(rich_help_panel=DESTINATIONS)(_command)


@app.command(rich_help_panel=DESTINATIONS)
def datasets(
    settings: Settings = None,
    destination: Destination = None,
    modifiable: Annotated[
        bool, typer.Option("--modifiable", help="Those you may upload to: yours and your groups'.")
    ] = False,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Yours that have tables of which nothing arrived.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the datasets you own at a destination, to choose one from."""
    from syndb_pipeline.cli.doctor import impatient
    from syndb_pipeline.destinations import default_destination, open_destination
    from syndb_pipeline.publishing.status import datasets as listed

    if modifiable and incomplete:
        raise ConfigError(
            "--modifiable and --incomplete are two lists.", next_step="Give one of them."
        )
    loaded = impatient(terminal.open_settings(settings))
    destination = destination or default_destination(loaded)
    found = listed(
        open_destination(loaded, destination, terminal.say),
        "modifiable" if modifiable else "incomplete" if incomplete else "owned",
    )
    if as_json:
        typer.echo(
            json.dumps(
                [item.model_dump(mode="json") for item in found], indent=1, ensure_ascii=False
            )
        )
        return
    if not found:
        typer.echo(
            f"There is none at {destination}."
            if modifiable or incomplete
            else f"You own no dataset at {destination}."
        )
    for item in found:
        info = item.info
        count = (
            f"{info.number_of_units:>12,} units"
            if info.rows is None
            else f"{sum(info.rows.values()):>12,} rows"
        )
        typer.echo(
            f"{info.metadata.id}  {count} "
            f" {'' if item.complete else 'incomplete  '}{info.metadata.label}"
        )


@app.command(rich_help_panel=DESTINATIONS)
def delete(
    dataset: Annotated[str, typer.Argument(help="The dataset's id, or its YAML.")],
    settings: Settings = None,
    destination: Destination = None,
    label: Annotated[
        str | None,
        typer.Option("--label", help="The dataset's label, instead of typing it at the prompt."),
    ] = None,
) -> None:
    """Delete a dataset you own at a destination, for good."""
    from syndb_pipeline.config.settings import load_dataset
    from syndb_pipeline.destinations import default_destination, open_destination
    from syndb_pipeline.publishing.deletion import delete as remove
    from syndb_pipeline.publishing.deletion import describe_preview, preview_delete

    try:
        identity = UUID(dataset)
    except ValueError:
        config = load_dataset(dataset)
        identity, loaded = config.dataset.id, terminal.open_settings(settings, near=config.folder)
        where = destination or config.publish.destination
    else:
        loaded = terminal.open_settings(settings)
        where = destination or default_destination(loaded)
    node = open_destination(loaded, where, terminal.say)
    if label is None:
        typer.echo(describe_preview(preview_delete(identity, node)))
        if not sys.stdin.isatty():
            raise ApprovalError(
                "Nothing was deleted: the label was not typed.",
                next_step="Give it as an option: --label LABEL",
            )
        label = terminal.ask_person("Label", default="", show_default=False)
    tombstone = remove(loaded, identity, node, label)
    typer.echo(f"Deleted {tombstone.deletion.label} ({identity}) from {where}, for good.")


@app.command(rich_help_panel=AROUND)
def demo(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write the demo lab.")],
) -> None:
    """Write a small, complete lab to try things with."""
    from syndb_pipeline.demo import write_demo

    config = write_demo(folder)
    typer.echo(f"Wrote a demo lab to {folder}.\nNext: syndb-pipeline run {config}")


app.command(rich_help_panel=AROUND)(connection.sandbox)


@app.command(rich_help_panel=AROUND)
def ui(
    settings: Settings = None,
    run_id: Annotated[
        str | None, typer.Option("--run", metavar="ID", help="Open on this run.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address of this machine to serve on; loopback only.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="Port; the first free one from 3000 on when left out.")
    ] = None,
) -> None:
    """Serve the Dagster UI on this machine."""
    terminal.launcher("dagster_ui")(
        terminal.open_settings(settings), host, port, run_id, settings_path=settings, say=typer.echo
    )


@app.command(rich_help_panel=AROUND)
def schema(
    what: Annotated[
        str, typer.Argument(help="dataset or pipeline (JSON Schema), or tables (Markdown).")
    ] = "dataset",
) -> None:
    """Print the JSON Schema of a config, or the dictionary of SynDB's tables and columns."""
    if what == "tables":
        from syndb_pipeline.contract.schema import data_dictionary

        typer.echo(data_dictionary())
    elif what in ("dataset", "pipeline"):
        from syndb_pipeline.config.json_schema import schema_text
        from syndb_pipeline.destinations import Settings as Destined

        typer.echo(schema_text(what, Destined))
    else:
        raise ConfigError(
            f"There is no schema {what!r}.", next_step="Choose dataset, pipeline or tables."
        )


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point of `syndb-pipeline`: runs a command and exits with a code of `errors.Exit`."""
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # a service manager's stop ends as Ctrl+C does: with a message
    try:
        code = app(standalone_mode=False)
    except PipelineError as error:
        code = terminal.fail(error)
    except typer.TyperException as error:
        code = terminal.wrong_usage(error)
    except (KeyboardInterrupt, typer.Abort):
        code = terminal.fail(
            Interrupted("Interrupted.", next_step="Give the same command again to go on.")
        )
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # the reader, e.g. `head`, has seen enough
        code = Exit.OK
    except Exception as error:  # noqa: BLE001 - the last line of defence: a user never sees a traceback
        code = terminal.unexpected(error)
    sys.exit(int(code or 0))
