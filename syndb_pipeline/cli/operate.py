"""The commands of whoever runs the pipeline unattended.

Belongs here: their options, calls and what they print. Does not: any work; what does it is imported
when a command needs it.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal

from syndb_pipeline.base.errors import ConfigError, Unreachable
from syndb_pipeline.base.escape_text import visible, visible_json
from syndb_pipeline.cli import terminal
from syndb_pipeline.cli.terminal import AsJson, Settings


def notify(
    settings: Settings = None,
    test: Annotated[
        bool, typer.Option("--test", help="Send each channel a test message instead.")
    ] = False,
) -> None:
    """Notify people of what became of datasets since the last message.

    `notify` in pipeline.yaml says who, how, and of what. `run` and `publish`
    notify at their end, too.
    """
    from syndb_pipeline.report import notify as notices

    loaded, sent = terminal.open_settings(settings), list[str]()
    if not loaded.notify:
        raise ConfigError(
            "No one is to be notified: pipeline.yaml has no `notify`.",
            next_step="How to write it is in docs/operating.md.",
        )
    problems = (notices.test if test else notices.notify)(loaded, log=sent.append)
    typer.echo("\n".join(map(visible, sent)) or "Nothing was sent.")
    if problems:
        raise Unreachable(
            "\n".join(problems), next_step="What did not arrive is due again the next time."
        )


def metrics(
    settings: Settings = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FILE", help="Write them there, whole, e.g. for node_exporter."
        ),
    ] = None,
) -> None:
    """Print figures of all datasets in the text format of Prometheus."""
    from syndb_pipeline.report.metrics import metrics_text
    from syndb_pipeline.state.store import write_atomically

    text = metrics_text(terminal.open_settings(settings)).decode()
    if output:
        write_atomically(output, text)
    else:
        typer.echo(text, nl=False)


def prune(
    settings: Settings = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove old runs, and what runs that died left half written.

    After how many days is `retention` in pipeline.yaml, also for reports and
    for stages of datasets without a config. Receipts, approvals, journals,
    corrections and the stages of your datasets stay.
    """
    from syndb_pipeline.publishing.prune import Pruned
    from syndb_pipeline.publishing.prune import prune as prune_state

    loaded = terminal.open_settings(settings)
    of_runs: Pruned = terminal.launcher("dagster_prune")(loaded, dry_run=dry_run)
    of_state = prune_state(loaded, dry_run=dry_run)
    removed = [*of_state.removed, *of_runs.removed]
    notes = [*of_state.notes, *of_runs.notes]
    if as_json:
        content = {
            "dry_run": dry_run,
            "bytes": sum(each.bytes for each in removed),
            "removed": [each.model_dump() for each in removed],
            "notes": notes,
        }
        typer.echo(visible_json(json.dumps(content, indent=1, ensure_ascii=False)))
        return
    verb = "would remove" if dry_run else "removed"
    for each in removed if dry_run else ():
        typer.echo(f"{decimal(each.bytes):>9}  {each.what}")
    sizes: Counter[str] = Counter()
    for each in removed:
        sizes[each.kind] += each.bytes
    counts = Counter(each.kind for each in removed)
    for kind, count in counts.items():
        typer.echo(f"{verb} {kind}: {count:,}, {decimal(sizes[kind])}")
    if not removed:
        typer.echo("Nothing is old enough to be removed.")
    for note in notes:
        terminal.note(note)
