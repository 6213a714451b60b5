"""The command line: which commands there are, those around datasets, and how each of them ends.

Belongs here: the program's entry and its overview. Does not: any work; what does it is imported
when a command needs it.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from syndb_pipeline import __version__
from syndb_pipeline.base.errors import (
    ApprovalError,
    ConfigError,
    Exit,
    Interrupted,
    PipelineError,
    of_the_machine,
)
from syndb_pipeline.base.system import print_utf8
from syndb_pipeline.cli import connection, dataset, export, operate, overview, select, terminal
from syndb_pipeline.cli.terminal import AsJson, Settings

Destination = Annotated[
    str | None,
    typer.Option("--destination", metavar="NAME", help="A destination of pipeline.yaml."),
]


class _Commands(TyperGroup):
    """Ctrl+C ends a command with a message; Typer by itself would say nothing."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _interrupted() from None


def _interrupted() -> Interrupted:
    return Interrupted("Interrupted.", next_step="Give the same command again to go on.")


def datasets(
    settings: Settings = None,
    destination: Destination = None,
    modifiable: Annotated[
        bool, typer.Option("--modifiable", help="Those you may upload to: yours and your groups'.")
    ] = False,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Yours that have tables of which nothing arrived.")
    ] = False,
    show: Annotated[
        str | None,
        typer.Option("--show", metavar="DATASET", help="One, by id, YAML or name: there and here."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the datasets you own at a destination, to choose one from; or show one of them."""
    from syndb_pipeline.cli.doctor import impatient
    from syndb_pipeline.destinations import default_destination, open_destination
    from syndb_pipeline.publishing.status import datasets as listed

    if show is not None:
        select.show(*select.meant(show, settings, destination), as_json)
        return
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
        content = [item.model_dump(mode="json") for item in found]
        typer.echo(json.dumps(content, indent=1, ensure_ascii=False))
    elif not found:
        none = "There is none" if modifiable or incomplete else "You own no dataset"
        typer.echo(f"{none} at {destination}.")
    else:
        for item in found:
            info = item.info
            number, what = info.number_of_units, "units"
            if info.rows is not None:
                number, what = sum(info.rows.values()), "rows"
            label = f"{'' if item.complete else 'incomplete  '}{info.metadata.label}"
            typer.echo(f"{info.metadata.id}  {number:>12,} {what}  {label}")


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
    from syndb_pipeline.destinations import open_destination
    from syndb_pipeline.publishing.status import delete as remove
    from syndb_pipeline.publishing.status import preview_delete

    identity, _, loaded, where = select.meant(dataset, settings, destination)
    node = open_destination(loaded, where, terminal.say)
    if label is None:
        typer.echo(preview_delete(identity, node))
        if not sys.stdin.isatty():
            raise ApprovalError(
                "Nothing was deleted: the label was not typed.",
                next_step="Give it as an option: --label LABEL",
            )
        label = terminal.ask_person("Label", default="", show_default=False)
    tombstone = remove(loaded, identity, node, label)
    typer.echo(f"Deleted {tombstone.deletion.label} ({identity}) from {where}, for good.")


def demo(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write the demo lab.")],
) -> None:
    """Write a small, complete lab to try things with."""
    from syndb_pipeline.demo import write_demo

    config = write_demo(folder)
    typer.echo(f"Wrote a demo lab to {folder}.\nNext: syndb-pipeline run {config}")
    typer.echo("Every demo lab is the same dataset: one state runs one folder of it only.")


Host = Annotated[str, typer.Option(help="Address of this machine to serve on; loopback only.")]
Port = Annotated[
    int | None, typer.Option(help="Port; the first free one from 3000 on when left out.")
]


def up(
    settings: Settings = None,
    host: Host = "127.0.0.1",
    port: Port = None,
    no_ui: Annotated[
        bool, typer.Option("--no-ui", help="Sensors, schedules and queue alone.")
    ] = False,
    grace: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0, help="How long runs in progress may finish at the end."
        ),
    ] = 60,
) -> None:
    """Run sensors, schedules, queue and UI until Ctrl+C or SIGTERM."""
    terminal.launcher("dagster_ui")(
        terminal.open_settings(settings),
        host,
        port,
        ui=not no_ui,
        join=False,
        grace=grace,
        settings_path=settings,
        say=typer.echo,
    )


def ui(
    settings: Settings = None,
    run_id: Annotated[
        str | None, typer.Option("--run", metavar="ID", help="Open on this run.")
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = None,
) -> None:
    """Say where the Dagster UI is; bring it up when nothing is running yet."""
    terminal.launcher("dagster_ui")(
        terminal.open_settings(settings), host, port, run_id, settings_path=settings, say=typer.echo
    )


def schema(
    what: Annotated[
        str,
        typer.Argument(help="dataset or pipeline (JSON Schema), tables (Markdown), or words."),
    ] = "dataset",
    name: Annotated[
        str | None, typer.Argument(help="A table, e.g. synapse, or a key, e.g. animal.")
    ] = None,
) -> None:
    """Print the JSON Schema of a config, SynDB's tables and columns, or the words it knows."""
    from syndb_pipeline.config.yaml_file import suggestion
    from syndb_pipeline.contract import vocabularies
    from syndb_pipeline.contract.tables import TABLES

    words = vocabularies.CONFIG_WORDS | vocabularies.VOCABULARIES
    known = {key.split()[-1]: words[key] for key in words}
    if name is not None and name not in (among := known if what == "words" else TABLES):
        raise ConfigError(f"There is no {name!r}; {suggestion(name, among)}")
    if what == "tables":
        from syndb_pipeline.contract.schema import data_dictionary

        typer.echo(data_dictionary(name))
    elif what == "words":
        typer.echo("\n".join(known[name] if name else known))
    elif what in ("dataset", "pipeline"):
        from syndb_pipeline.config.json_schema import schema_text
        from syndb_pipeline.destinations import Settings as Destined

        typer.echo(schema_text(what, Destined))
    else:
        raise ConfigError(
            f"There is no schema {what!r}.", next_step="Choose dataset, pipeline, tables or words."
        )


COMMANDS = {
    "Prepare a dataset": (
        dataset.init,
        dataset.check,
        dataset.report,
        dataset.apply_fixes,
        dataset.explain,
        dataset.prepare,
        dataset.stage,
        dataset.plan,
    ),
    "Publish it": (dataset.approve, dataset.reject, dataset.publish, dataset.run, export.export),
    "See what became of it": (overview.status, overview.history, overview.diff),
    "Where it goes": (
        connection.login,
        connection.logout,
        connection.whoami,
        connection.doctor,
        datasets,
        delete,
    ),
    "Run it unattended": (up, ui, operate.notify, operate.metrics, operate.prune),
    "Try things, and look around": (demo, connection.sandbox, schema),
}
"""Headings of the overview; headings and commands are in the order in which a lab meets them."""

app = typer.Typer(
    cls=_Commands,
    name="syndb-pipeline",
    help=(
        "Bring a lab's tables of reconstructed neurons into SynDB: check, relate, package, publish."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _panel, _commands in COMMANDS.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", "-V", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def _wants_json() -> bool:
    return "--json" in sys.argv[1:] and sys.argv[1:2] != ["report"]  # there it names a file


def _fail(error: PipelineError) -> int:
    if _wants_json():
        terminal.print_json(None, exit_code=error.exit, error=str(error))
    terminal.note(str(error))
    return int(error.exit)


def _wrong_usage(error: typer.TyperException) -> int:
    """An unknown command, or an option or argument that is wrong. Its message is empty when help
    was printed instead.
    """
    if not error.format_message():
        return Exit.USAGE
    place = getattr(error, "ctx", None)
    help_of = place.command_path if place else "syndb-pipeline"
    return _fail(ConfigError(error.format_message(), next_step=f"See: {help_of} --help"))


def _unexpected(error: Exception) -> int:
    """A mistake of ours, or of the machine, in one message."""
    if (known := of_the_machine(error)) is not None:
        return _fail(known)
    if os.environ.get("SYNDB_DEBUG"):
        traceback.print_exc()
    return _fail(
        PipelineError(
            f"syndb-pipeline failed in a way it should not: {type(error).__name__}: {error}",
            next_step=(
                "Please report it, with what SYNDB_DEBUG=1 prints. Nothing is half done: the same"
                " command may be given again."
            ),
        )
    )


def main() -> None:
    """Entry point of `syndb-pipeline`: runs a command and exits with a code of `errors.Exit`."""
    # What the imports make stays for good: looking through it for garbage again and again takes a
    # seventh of a short command.
    gc.set_threshold(200_000, 20, 20)
    print_utf8()
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # a service manager's stop ends as Ctrl+C does: with a message
    try:
        code = app(prog_name="syndb-pipeline", standalone_mode=False)
    except PipelineError as error:
        code = _fail(error)
    except typer.TyperException as error:
        code = _wrong_usage(error)
    except (KeyboardInterrupt, typer.Abort):
        code = _fail(_interrupted())
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # the reader, e.g. `head`, has seen enough
        code = Exit.OK
    except Exception as error:  # noqa: BLE001 - the last line of defence: a user never sees a traceback
        code = _unexpected(error)
    sys.exit(int(code or 0))
