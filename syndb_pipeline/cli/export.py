"""The command `export`.

Belongs here: its options, the question before anything leaves the machine, and what is printed.
Does not: any work; what does it is imported when the command needs it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from syndb_pipeline.base.errors import ApprovalError
from syndb_pipeline.base.progress import unwatched
from syndb_pipeline.cli import terminal
from syndb_pipeline.cli.dataset import Config, counted
from syndb_pipeline.cli.terminal import AsJson, Settings

if TYPE_CHECKING:
    from syndb_pipeline.publishing.plan import Plan

Format = Literal["parquet", "csv"]


def export(
    config: Config,
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="FOLDER", help="A folder, or s3://, gs:// or abfss:// and so on."
        ),
    ],
    settings: Settings = None,
    format: Annotated[Format, typer.Option("--format", help="Of the tables.")] = "parquet",
    tar: Annotated[
        bool, typer.Option("--tar", help="Put the tar of SynDB's REST interface 0.7.2 there too.")
    ] = False,
    id_map: Annotated[
        bool, typer.Option("--id-map", help="Put your key and the UUID of each row there too.")
    ] = False,
    absolute_paths: Annotated[
        bool, typer.Option("--absolute-paths", help="Name meshes and skeletons by whole paths.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Write to an object store without asking.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the accepted tables as files for SynDB's own command line and web page.

    Every row has its UUID, relations are complete, meshes and skeletons are
    named after their rows; README.txt says what to do next. A folder of this
    machine needs no approval: nothing leaves it.
    """
    from syndb_pipeline.publishing.export import export as write
    from syndb_pipeline.publishing.export import folder_at

    context = terminal.open_context(config, settings)
    folder = folder_at(context, to, format=format, absolute=absolute_paths)
    verdict, current = terminal.prepared(context, as_json=as_json, destination=folder)
    if folder.leaves and not yes:
        _ask(current, folder.place)
    with context.store.lock(), terminal.progress() as watch:
        written = write(context, current, folder, tar=tar, id_map=id_map, watch=watch or unwatched)
    if as_json:
        more = {"folder": folder.place, "written": written}
        terminal.print_json(verdict, digest=current.digest, export=more)
        return
    meshes = sum(file.kind == "mesh" for file in current.files)
    counts = f"{counted(current.rows, 'row')} in {counted(len(current.tables), 'table')}"
    files = f"{meshes:,} meshes, {len(current.files) - meshes:,} skeletons"
    done = "EXPORTED" if written else "UNCHANGED, already at"
    typer.echo(
        f"{done} {folder.place}\n  {current.label}: {counts}, {files}\nNext: read README.txt there"
    )


def _ask(current: Plan, place: str) -> None:
    """Raise `ApprovalError` unless a person at the terminal says that the plan may go to `place`,
    off this machine."""
    from syndb_pipeline.publishing.plan_text import describe

    typed = ""
    if sys.stdin.isatty() and sys.stderr.isatty():
        terminal.note(describe(current))
        typed = terminal.ask_person(f"Write this to {place}? Type yes", default="", err=True)
    if typed.strip().casefold() != "yes":
        raise ApprovalError(
            f"Nothing was written: no one confirmed that it may go to {place}.",
            next_step="Give the same command with --yes.",
        )
